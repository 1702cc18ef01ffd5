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
	Keys []customer.SharedKey
	Path []customer.Member
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
		wish := console.Wish{Kind: kind, A: args[0], B: args[1], Author: *author, Reason: *reason}
		if wish.Author == "" {
			wish.Author, _ = p.lookup("USER")
		}
		if wish.Author == "" {
			return &usage{text: "a decision names its author", hint: "add --author"}
		}
		return p.explain(c.Context(), http.MethodPost, "/decisions", nil, wish)
	}
	return c
}
