package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/customer"
)

func (p *program) whyCommand() *cobra.Command {
	return p.pairCommand("why", "Explain why two parties are, or are not, the same: each a customer id, a record id or source/key")
}

func (p *program) whyNotCommand() *cobra.Command {
	return p.pairCommand("why-not", "Tell what keeps two parties apart, and what it would take: each a customer id, a record id or source/key")
}

func (p *program) pairCommand(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " A B", Args: cobra.ExactArgs(2), Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			return p.explain(c.Context(), http.MethodGet, "/"+name, url.Values{"a": {args[0]}, "b": {args[1]}}, nil)
		},
	}
}

// explain prints what the API explains.
func (p *program) explain(ctx context.Context, method, path string, query url.Values, body any) error {
	if err := p.only("table", "json", "ndjson"); err != nil {
		return err
	}
	var x customer.Explanation
	if err := p.ask(ctx, method, path, query, body, &x); err != nil {
		return err
	}
	return p.one(x, func(w io.Writer) error { return printExplanation(w, &x) })
}

func printExplanation(w io.Writer, x *customer.Explanation) error {
	fmt.Fprintf(w, "%s\n\n", plain(x.Verdict))
	side := func(name string, s customer.Side) []string {
		return []string{name, s.Record.String(), s.Source + "/" + s.Key, s.Customer.String()}
	}
	if err := table(w, []string{"", "record", "of", "customer"}, [][]string{side("A", x.A), side("B", x.B)}); err != nil {
		return err
	}
	if d := x.Decision; d != nil {
		fmt.Fprintf(w, "\ndecision: %s, %s, %s\n", plain(d.ID), plain(d.Author), d.At.UTC().Format("2006-01-02 15:04 UTC"))
	}
	fmt.Fprintln(w)
	if err := table(w, []string{"comparison", "level", "bits", "detail"}, evidenceRows(&x.Evidence)); err != nil {
		return err
	}
	var keys []string
	for _, k := range x.Keys {
		if k.Generic {
			k.Type += " (too common to propose)"
		}
		keys = append(keys, k.Type)
	}
	if len(keys) > 0 {
		fmt.Fprintf(w, "\nthey share: %s\n", plain(strings.Join(keys, ", ")))
	}
	for _, m := range x.Path {
		fmt.Fprintf(w, "by way of: %s\n", plain(m.Source+"/"+m.Key))
	}
	if len(x.Apart) > 0 {
		fmt.Fprintln(w, "\nin the way:")
	}
	for _, o := range x.Apart {
		missing := ""
		if o.Missing > 0 {
			missing = fmt.Sprintf(" (%.2f bits missing)", o.Missing.Float())
		}
		fmt.Fprintf(w, "  %s: %s%s\n", o.Kind, plain(o.Text), missing)
	}
	return nil
}

// evidenceRows lists the steps, and what they come to.
func evidenceRows(e *customer.Evidence) (rows [][]string) {
	for _, s := range e.Steps {
		detail := s.Detail
		for _, f := range s.Frequencies {
			detail += fmt.Sprintf("; %s 1 in %d", f.Of, f.OneIn)
		}
		rows = append(rows, []string{s.Comparison, s.Level, bits(s.Weight.Float()), detail})
	}
	note := fmt.Sprintf("of them %s for the number of records; model %s", bits(e.Prior.Float()), e.Model)
	return append(rows, []string{"sum", "", bits(e.Weight.Float()), ""},
		[]string{"needed", "", bits(e.Threshold.Float()), note},
		[]string{"possible", "", bits(e.Possible.Float()), "from here on a person should look"})
}

// many writes a number of things.
func many(n int, noun string) string { return strings.TrimSpace(count(n, noun, "")) }

func bits(w float64) string { return fmt.Sprintf("%+.2f", w) }

func (p *program) howCommand() *cobra.Command {
	return &cobra.Command{
		Use: "how ID", Args: cobra.ExactArgs(1),
		Short: "Tell how a customer came to be of its records, step by step, and what was refused",
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.only("table", "json", "ndjson"); err != nil {
				return err
			}
			var m customer.Making
			if err := p.ask(c.Context(), http.MethodGet, "/customers/"+escape(args[0])+"/how", nil, nil, &m); err != nil {
				return err
			}
			return p.one(m, func(w io.Writer) error { return printMaking(w, &m) })
		},
	}
}

func printMaking(w io.Writer, m *customer.Making) error {
	fmt.Fprintf(w, "%s is made of %s", m.Customer, many(len(m.Members), "record"))
	if m.Model != "" {
		fmt.Fprintf(w, ", under model %s", plain(m.Model))
	}
	fmt.Fprintln(w)
	if !m.Current {
		fmt.Fprintln(w, "the steps lead to something else than what stands: the program or the model has changed since")
	}
	if len(m.Steps) > 0 {
		fmt.Fprintln(w)
		columns := []string{"step", "by", "left", "right", "decided by", "bits", "needed", "mean", "pairs"}
		if err := table(w, columns, unionRows(m.Steps)); err != nil {
			return err
		}
	}
	if len(m.Apart) > 0 {
		fmt.Fprintln(w, "\nnot joined with others:")
		rows := unionRows(m.Apart)
		for i := range rows {
			rows[i][0] = string(m.Apart[i].Refused)
		}
		if err := table(w, []string{"refused by", "by", "left", "right", "between", "bits", "needed", "mean", "pairs"}, rows); err != nil {
			return err
		}
	}
	if m.Cut {
		fmt.Fprintln(w, "and more")
	}
	return nil
}

func unionRows(unions []customer.Union) (rows [][]string) {
	group := func(g customer.Group) string {
		if g.Step > 0 {
			return fmt.Sprintf("step %d (%s)", g.Step, many(g.Records, "record"))
		}
		return many(g.Records, "record")
	}
	for _, u := range unions {
		row := []string{"", string(u.By), "", "", u.A.Source + "/" + u.A.Key + " ~ " + u.B.Source + "/" + u.B.Key, "", "", "", ""}
		if u.Step > 0 {
			row[0] = fmt.Sprint(u.Step)
		}
		if u.By == customer.ByAlike {
			row[2] = many(u.Alike, "record") + " that say the same"
			rows = append(rows, row)
			continue
		}
		row[2], row[3] = group(u.Left), group(u.Right)
		if u.By != customer.ByDecision {
			row[5], row[6] = bits(u.Weight.Float()), bits(u.Threshold.Float())
		}
		if u.Pairs > 0 {
			row[7], row[8] = fmt.Sprintf("%s of %s", bits(u.Sum.Float()/float64(u.Pairs)), bits(u.Margin.Float())), fmt.Sprint(u.Pairs)
		}
		rows = append(rows, row)
	}
	return rows
}

func (p *program) whyValueCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why-value ID PATH", Args: cobra.ExactArgs(2),
		Short:   "Tell why a customer has its value at a path, and what it won against",
		Example: "  onefold customer why-value cus_0g7v1c8m3k5q2w9x4z6y8b1d3f givenName",
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.only("table", "json", "ndjson"); err != nil {
				return err
			}
			var l customer.Lineage
			path := "/customers/" + escape(args[0]) + "/why-value"
			if err := p.ask(c.Context(), http.MethodGet, path, url.Values{"path": {args[1]}}, nil, &l); err != nil {
				return err
			}
			return p.one(l, func(w io.Writer) error { return printLineage(w, &l) })
		},
	}
}

func printLineage(w io.Writer, l *customer.Lineage) error {
	for i := range l.Attributes {
		a := &l.Attributes[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", plain(a.Path.String()), plain(a.Reason))
		row := func(name string, c *customer.Claim) []string {
			at, verified := "", ""
			if !c.At.IsZero() {
				at = c.At.UTC().Format("2006-01-02 15:04")
			}
			if c.Verified {
				verified = "yes"
			}
			return []string{name, valueText(c.Value), c.Source + "/" + c.Key, at, verified, c.Event}
		}
		rows := [][]string{row("won", &a.Claim)}
		for j := range a.Losers {
			rows = append(rows, row("lost", &a.Losers[j]))
		}
		if err := table(w, []string{"", "value", "of", "since (UTC)", "verified", "event"}, rows); err != nil {
			return err
		}
	}
	return nil
}
