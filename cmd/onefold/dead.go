package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
)

func (p *program) deadCommand() *cobra.Command {
	c := &cobra.Command{Use: "dead", Short: "Look at messages that could not be applied"}
	c.AddCommand(p.deadListCommand(), p.deadShowCommand())
	return c
}

func (p *program) deadListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Args: cobra.NoArgs, Short: "List dead letters, newest first"}
	source := c.Flags().String("source", "", "of one source only")
	limit := c.Flags().Int("limit", 50, "at most so many")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *limit < 1 {
			return &usage{text: fmt.Sprintf("a limit of %d shows nothing", *limit), hint: "--limit is at least 1"}
		}
		letters := []console.Letter{}
		for after := ""; len(letters) < *limit; {
			query := url.Values{"limit": {strconv.Itoa(min(*limit-len(letters), console.MaxLetters))}}
			for name, value := range map[string]string{"source": *source, "after": after} {
				if value != "" {
					query.Set(name, value)
				}
			}
			var page console.Letters
			if err := p.ask(c.Context(), http.MethodGet, "/dead-letters", query, nil, &page); err != nil {
				return err
			}
			letters = append(letters, page.DeadLetters...)
			if after = page.Next; after == "" {
				break
			}
		}
		l := listing{columns: []string{"id", "source", "at", "reason", "where", "message"}, items: letters, empty: "there is no dead letter"}
		for _, d := range letters {
			where := fmt.Sprintf("%s/%d/%d", d.Topic, d.Partition, d.Offset)
			if d.Part != "" {
				where += " " + d.Part
			}
			l.rows = append(l.rows, []string{d.ID, d.Source, d.At.UTC().Format("2006-01-02 15:04:05"), d.Reason, where, d.Message})
		}
		return p.list(l)
	}
	return c
}

func (p *program) deadShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "show ID", Args: cobra.ExactArgs(1),
		Short: "Show one dead letter with its bytes; letters and digits of values are masked",
	}
	reveal := c.Flags().Bool("reveal", false, "show values as they are; the service notes it in its log")
	c.RunE = func(c *cobra.Command, args []string) error {
		var open console.OpenLetter
		query := url.Values{"reveal": {strconv.FormatBool(*reveal)}}
		if err := p.ask(c.Context(), http.MethodGet, "/dead-letters/"+escape(args[0]), query, nil, &open); err != nil {
			return err
		}
		return p.one(open, func(w io.Writer) error { return printLetter(w, &open) })
	}
	return c
}

func printLetter(w io.Writer, d *console.OpenLetter) error {
	rows := [][]string{
		{"id", d.ID},
		{"source", d.Source},
		{"stood at", fmt.Sprintf("%s, partition %d, offset %d", d.Topic, d.Partition, d.Offset)},
		{"part", d.Part},
		{"reason", d.Reason + " (" + string(d.Class) + ")"},
		{"message", d.Message},
		{"read by", d.Mapping},
		{"attempts", strconv.Itoa(d.Attempts)},
		{"laid down", d.At.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"key", payload(d.Key)},
	}
	if d.Erased {
		rows = append(rows, []string{"erased", "its bytes went with a party that it named"})
	}
	for _, h := range d.Headers {
		rows = append(rows, []string{"header " + h.Key, payload(h.Value)})
	}
	if err := table(w, nil, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", payload(d.Value))
	return err
}

// payload writes bytes as text if they are text.
func payload(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case utf8.Valid(b):
		return plain(string(b))
	default:
		return fmt.Sprintf("%q", b)
	}
}
