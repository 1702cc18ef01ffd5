package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
)

func (p *program) customerCommand() *cobra.Command {
	c := &cobra.Command{Use: "customer", Short: "Find, explain, export, join and split customers of the running service"}
	c.AddCommand(p.findCommand(), p.getCommand(), p.whyCommand(), p.whyNotCommand(), p.howCommand(), p.whyValueCommand(),
		p.whatIfCommand(), p.exportCommand(), p.publishCommand(),
		p.decisionCommand("merge", customer.Same, "Say that two parties are the same: A and B are customer ids, record ids or source/key"),
		p.decisionCommand("split", customer.NotSame, "Say that two records are not the same party: A and B are record ids or source/key"),
		p.undoCommand())
	return c
}

func (p *program) findCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "find", Args: cobra.NoArgs,
		Short: "Find the customers one of whose records holds everything that is asked for",
		Long: "Find the customers one of whose live records holds everything that is asked for.\n" +
			"If there are, or may be, others than those that are listed, stderr says so, whatever the output:\n" +
			"raise --limit, or add what else is known of the customer.",
		Example: "  onefold customer find --email ana@example.com\n  onefold customer find --source shop-eu --key 6789 -o json",
	}
	asked := map[string]*string{}
	for _, f := range []struct{ flag, parameter, help string }{
		{"email", "email", "an e-mail address"},
		{"phone", "phone", "a telephone number"},
		{"name", "name", "given and family name"},
		{"birth-date", "birthDate", "a date of birth, 1980-02-29"},
		{"identifier", "identifier", "an identifier: type:value, or a value alone"},
		{"source", "source", "with --key: one source's party"},
		{"key", "key", "the party's key in --source"},
	} {
		asked[f.parameter] = c.Flags().String(f.flag, "", f.help)
	}
	limit := c.Flags().Int("limit", 20, "at most so many")
	c.RunE = func(c *cobra.Command, _ []string) error {
		query := url.Values{"limit": {strconv.Itoa(*limit)}}
		for parameter, value := range asked {
			if *value != "" {
				query.Set(parameter, *value)
			}
		}
		var found customer.Found
		if err := p.ask(c.Context(), http.MethodGet, "/customers", query, nil, &found); err != nil {
			return err
		}
		l := listing{items: found.Customers, empty: "no customer is found"}
		l.columns = []string{"id", "name", "email", "phone", "records", "sources"}
		for _, c := range found.Customers {
			l.rows = append(l.rows, []string{
				c.ID.String(), nameOf(c), c.Text(customer.FieldEmail), c.Text(customer.FieldPhone),
				strconv.Itoa(len(c.Members)), strings.Join(sourcesOf(c), " "),
			})
		}
		if err := p.list(l); err != nil || !found.Cut {
			return err
		}
		fmt.Fprintln(p.err, "there are, or may be, others than these: raise --limit, or add what else is known of the customer")
		return nil
	}
	return c
}

// nameOf answers what a person would call the customer.
func nameOf(c *customer.Customer) string {
	name := strings.TrimSpace(c.Text("givenName") + " " + c.Text("familyName"))
	for _, other := range []string{"fullName", "legalName"} {
		if name == "" {
			name = c.Text(other)
		}
	}
	return name
}

func sourcesOf(c *customer.Customer) []string {
	var names []string
	for _, m := range c.Members {
		names = append(names, m.Source)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (p *program) getCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Args: cobra.ExactArgs(1),
		Short: "Show one customer: each value with its origin, the records, and what happened last",
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.only("table", "json", "ndjson"); err != nil {
				return err
			}
			var answer console.Answer
			if err := p.ask(c.Context(), http.MethodGet, "/customers/"+escape(args[0]), nil, nil, &answer); err != nil {
				return err
			}
			return p.one(answer, func(w io.Writer) error {
				var line console.Timeline
				query := url.Values{"limit": {"10"}}
				if err := p.ask(c.Context(), http.MethodGet, "/customers/"+escape(args[0])+"/timeline", query, nil, &line); err != nil {
					return err
				}
				return printCustomer(w, &answer, line.Interactions)
			})
		},
	}
}

func printCustomer(w io.Writer, a *console.Answer, line []*customer.Interaction) error {
	fmt.Fprintf(w, "%s  %s  version %d  %s\n", a.ID, plain(nameOf(a.Customer)), a.Version, a.Status)
	if a.Asked != a.ID {
		fmt.Fprintf(w, "%s was merged into it\n", a.Asked)
	}
	var rows [][]string
	for _, at := range a.Attributes {
		rows = append(rows, []string{at.Path.String(), valueText(at.Value), at.Source + "/" + at.Key, at.Rule, strconv.Itoa(len(at.Losers))})
	}
	fmt.Fprintln(w)
	if err := table(w, []string{"path", "value", "from", "rule", "lost to it"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, m := range a.Members {
		rows = append(rows, []string{m.Record.String(), m.Source + "/" + m.Key})
	}
	fmt.Fprintln(w)
	if err := table(w, []string{"record", "of"}, rows); err != nil || len(line) == 0 {
		return err
	}
	rows = nil
	for _, in := range line {
		amount := ""
		if !in.Amount.IsZero() {
			amount = in.Amount.String()
		}
		rows = append(rows, []string{in.OccurredAt.UTC().Format("2006-01-02 15:04"), in.Type, amount, in.Title, in.Source})
	}
	fmt.Fprintln(w)
	return table(w, []string{"when (UTC)", "what", "amount", "title", "source"}, rows)
}

// valueText writes a value in one line, parts in the order of their names.
func valueText(v customer.Value) string {
	if v.Parts == nil {
		return v.Text
	}
	var parts []string
	for name, text := range v.Parts {
		parts = append(parts, name+"="+text)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func (p *program) exportCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "export", Args: cobra.NoArgs,
		Short: "Write every active customer as one JSON object a line",
	}
	canonical := c.Flags().Bool("canonical", false,
		"leave out ids, versions and recorded times, sorted: byte-equal for the same events in any order")
	c.RunE = func(c *cobra.Command, _ []string) error {
		query := url.Values{"canonical": {strconv.FormatBool(*canonical)}}
		resp, err := p.request(c.Context(), http.MethodGet, "/export", query, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(p.out, resp.Body); err != nil {
			return fmt.Errorf("the export broke off, what was written is not the whole: %w", err)
		}
		return nil
	}
	return c
}
