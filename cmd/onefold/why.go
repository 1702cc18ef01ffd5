package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
)

func (p *program) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why A B", Args: cobra.ExactArgs(2),
		Short: "Explain why two parties are, or are not, the same: each a customer id, a record id or source/key",
		RunE: func(c *cobra.Command, args []string) error {
			return p.explain(c.Context(), http.MethodGet, "/why", url.Values{"a": {args[0]}, "b": {args[1]}}, nil)
		},
	}
}

// explanation is customer.Explanation as it comes back: weights are bits there.
type explanation struct {
	A, B                 customer.Member
	CustomerA, CustomerB customer.CustomerID
	Verdict              string
	Weight, Threshold    float64
	Steps                []struct {
		Comparison, Level, Detail string
		Weight                    float64
	}
	Decision *customer.Decision
	Keys     []customer.SharedKey
	Path     []customer.Member
}

// explain prints what the API explains.
func (p *program) explain(ctx context.Context, method, path string, query url.Values, body any) error {
	var raw json.RawMessage
	if err := p.ask(ctx, method, path, query, body, &raw); err != nil {
		return err
	}
	return p.one(raw, func(w io.Writer) error {
		var x explanation
		if err := json.Unmarshal(raw, &x); err != nil {
			return p.stranger(err)
		}
		return x.print(w)
	})
}

func (x *explanation) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", plain(x.Verdict))
	side := func(name string, m customer.Member, id customer.CustomerID) []string {
		return []string{name, m.Record.String(), m.Source + "/" + m.Key, id.String()}
	}
	sides := [][]string{side("A", x.A, x.CustomerA), side("B", x.B, x.CustomerB)}
	if err := table(w, []string{"", "record", "of", "customer"}, sides); err != nil {
		return err
	}
	if d := x.Decision; d != nil {
		fmt.Fprintf(w, "\ndecision: %s, %s, %s\n", plain(d.ID), plain(d.Author), d.At.UTC().Format("2006-01-02 15:04 UTC"))
	}
	var rows [][]string
	for _, s := range x.Steps {
		rows = append(rows, []string{s.Comparison, s.Level, bits(s.Weight), s.Detail})
	}
	rows = append(rows, []string{"sum", "", bits(x.Weight), ""}, []string{"needed", "", bits(x.Threshold), ""})
	fmt.Fprintln(w)
	if err := table(w, []string{"comparison", "level", "bits", "detail"}, rows); err != nil {
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
	return nil
}

func bits(w float64) string { return fmt.Sprintf("%+.2f", w) }

func (p *program) decisionCommand(name string, kind customer.DecisionKind, short string) *cobra.Command {
	c := &cobra.Command{
		Use: name + " A B", Args: cobra.ExactArgs(2), Short: short,
		Long: short + ".\nThe decision outranks every score and survives later data.",
	}
	author := c.Flags().String("author", "", "who decides; default the USER of the environment")
	reason := c.Flags().String("reason", "", "why, for those who ask later")
	c.RunE = func(c *cobra.Command, args []string) error {
		who, err := p.author(*author)
		if err != nil {
			return err
		}
		wish := console.Wish{Kind: kind, A: args[0], B: args[1], Author: who, Reason: *reason}
		return p.explain(c.Context(), http.MethodPost, "/decisions", nil, wish)
	}
	return c
}

// author answers who decides: the one who is named, else the user of the environment.
func (p *program) author(named string) (string, error) {
	if named == "" {
		named, _ = p.lookup("USER")
	}
	if named == "" {
		return "", &usage{text: "a decision names its author", hint: "add --author"}
	}
	return named, nil
}

func (p *program) undoCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "undo DECISION", Args: cobra.ExactArgs(1), Short: "Take a decision of merge or split back",
		Long: "Take a decision of merge or split back. It stays known as undone, but counts no longer.\n" +
			"customer why shows the decision that stands between two records.",
	}
	author := c.Flags().String("author", "", "who takes it back; default the USER of the environment")
	c.RunE = func(c *cobra.Command, args []string) error {
		who, err := p.author(*author)
		if err != nil {
			return err
		}
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		var d customer.Decision
		path := "/decisions/" + escape(args[0]) + "/undo"
		if err := p.ask(c.Context(), http.MethodPost, path, nil, console.Regret{Author: who}, &d); err != nil {
			return err
		}
		return p.one(d, func(w io.Writer) error {
			said := "the same"
			if d.Kind == customer.NotSame {
				said = "not the same"
			}
			_, err := fmt.Fprintf(w, "%s, that %s and %s are %s, was taken back by %s; customer why shows how they stand now\n",
				plain(d.ID), d.A, d.B, said, plain(d.UndoneBy))
			return err
		})
	}
	return c
}
