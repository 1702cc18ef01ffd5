package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
)

func (p *program) whatIfCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "what-if [FILE]", Args: cobra.MaximumNArgs(1),
		Short: "Tell what would become of a record that nobody has sent: nothing of it is kept",
		Long: "Tell which customer a record would be part of, what would be merged, and which values would change. Nothing is written.\n" +
			"FILE, or standard input, holds an object of source, key and values, or what onefold map try -o json prints.",
		Example: `  echo '{"source":"crm","key":"17","values":{"fullName":"Ana Silva","email[1]":"ana@example.com"}}' |` + "\n" +
			"    onefold customer what-if\n" +
			"  onefold map try shopify order.json -o json | onefold customer what-if --source shop-eu",
	}
	source := c.Flags().String("source", "", "the source that would send it, where the input does not say")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		raw, err := p.value(args)
		if err != nil {
			return err
		}
		thought, err := thoughtOf(raw)
		if err != nil {
			return err
		}
		if thought.Source == "" && len(thought.Changes) == 0 {
			thought.Source = *source
		}
		for i := range thought.Changes {
			if thought.Changes[i].Source == "" {
				thought.Changes[i].Source = *source
			}
		}
		var s customer.Supposition
		if err := p.ask(c.Context(), http.MethodPost, "/what-if", nil, thought, &s); err != nil {
			return err
		}
		return p.one(s, func(w io.Writer) error { return printSupposition(w, &s) })
	}
	return c
}

// thoughtOf reads a record, or what a mapping has made of a message.
func thoughtOf(raw []byte) (*console.Thought, error) {
	var t console.Thought
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if dec.Decode(&t) == nil {
		return &t, nil
	}
	var tried struct{ Changes []customer.Change } // beside them stands what the mapping refused
	if json.Unmarshal(raw, &tried) == nil && len(tried.Changes) > 0 {
		return &console.Thought{Changes: tried.Changes}, nil
	}
	return nil, &usage{
		text: "this is neither a record nor what a mapping made of a message",
		hint: `write {"source": "crm", "key": "17", "values": {"givenName": "Ana"}}, or pipe onefold map try -o json`,
	}
}

func printSupposition(w io.Writer, s *customer.Supposition) error {
	reason := ""
	if s.Reason != "" {
		reason = " (" + s.Reason + ")"
	}
	fmt.Fprintf(w, "it would be %s%s; nothing was written\n\n", s.Outcome, plain(reason))
	var rows [][]string
	for _, r := range s.Records {
		rows = append(rows, []string{r.Record.String(), r.Source + "/" + r.Key, r.Customer.String()})
	}
	if err := table(w, []string{"record", "of", "would be part of"}, rows); err != nil {
		return err
	}
	for i := range s.Customers {
		if err := printSupposed(w, &s.Customers[i]); err != nil {
			return err
		}
	}
	return nil
}

func printSupposed(w io.Writer, c *customer.Supposed) error {
	how := "would change"
	switch {
	case c.New:
		how = "would be new"
	case c.Status != customer.Active:
		how = "would be " + string(c.Status)
	}
	fmt.Fprintf(w, "\n%s  %s  %s, of %s\n", c.ID, plain(nameOf(c.Customer)), how, many(len(c.Members), "record"))
	for _, id := range c.Merges {
		fmt.Fprintf(w, "%s would be merged into it\n", id)
	}
	text := func(v *customer.Value) string {
		if v == nil {
			return "-"
		}
		return valueText(*v)
	}
	var rows [][]string
	for _, d := range c.Values {
		rows = append(rows, []string{d.Path.String(), text(d.Before), text(d.After)})
	}
	if len(rows) == 0 {
		return nil
	}
	return table(w, []string{"path", "now", "then"}, rows)
}
