// Package export writes customers out: all there are, or the canonical form that tells whether two stores hold the same.
package export

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
)

// Exporter writes the customers of a store.
type Exporter struct{ store customer.Exporter }

// New returns the exporter of a store.
func New(store customer.Exporter) *Exporter { return &Exporter{store: store} }

// Export writes every active customer as one JSON object a line. The canonical form leaves out what depends on how commits fell (ids,
// versions, histories, recorded times, positions) and is sorted: it is byte-equal after any crash, permutation or duplication of
// the same events (invariant 4). It is gathered in memory.
func (e *Exporter) Export(ctx context.Context, out io.Writer, canonical bool) error {
	w := bufio.NewWriter(out)
	var lines []canonicalCustomer
	err := e.store.EachCustomer(ctx, func(c *customer.Customer, _ []*customer.Record, interactions []*customer.Interaction) error {
		if canonical {
			lines = append(lines, canonicalOf(c, interactions))
			return nil
		}
		return writeLine(w, struct {
			*customer.Customer
			Interactions []*customer.Interaction `json:"interactions"`
		}{c, interactions})
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	slices.SortFunc(lines, func(a, b canonicalCustomer) int {
		return slices.CompareFunc(a.Members, b.Members, func(a, b canonicalMember) int {
			return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key))
		})
	})
	for i := range lines {
		if err := writeLine(w, lines[i]); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return w.Flush()
}

func writeLine(w *bufio.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := w.Write(line); err != nil {
		return err
	}
	return w.WriteByte('\n')
}

// The canonical form of a customer.
type (
	canonicalCustomer struct {
		Members      []canonicalMember      `json:"members"`
		Attributes   []canonicalAttribute   `json:"attributes"`
		Interactions []canonicalInteraction `json:"interactions,omitempty"`
	}
	canonicalMember struct {
		Source string `json:"source"`
		Key    string `json:"key"`
	}
	canonicalAttribute struct {
		Path customer.Path `json:"path"`
		canonicalClaim
		Rule   string           `json:"rule"`
		Losers []canonicalClaim `json:"losers,omitempty"`
	}
	canonicalClaim struct {
		Value    customer.Value         `json:"value"`
		Source   string                 `json:"source"`
		Key      string                 `json:"key"`
		Version  customer.SourceVersion `json:"version"`
		Verified bool                   `json:"verified,omitempty"`
	}
	canonicalInteraction struct {
		customer.Interaction
		Parties []customer.Party       `json:"parties"`
		Version customer.SourceVersion `json:"version"`
		ID      string                 `json:"id,omitempty"`
		Event   string                 `json:"event,omitempty"`
	}
)

func canonicalOf(c *customer.Customer, interactions []*customer.Interaction) canonicalCustomer {
	claim := func(c customer.Claim) canonicalClaim {
		return canonicalClaim{Value: c.Value, Source: c.Source, Key: c.Key, Version: c.Version.Positionless(), Verified: c.Verified}
	}
	var out canonicalCustomer
	for _, m := range c.Members {
		out.Members = append(out.Members, canonicalMember{Source: m.Source, Key: m.Key})
	}
	for _, a := range c.Attributes {
		line := canonicalAttribute{Path: a.Path, canonicalClaim: claim(a.Claim), Rule: a.Rule}
		for _, l := range a.Losers {
			line.Losers = append(line.Losers, claim(l))
		}
		out.Attributes = append(out.Attributes, line)
	}
	for _, in := range interactions {
		line := canonicalInteraction{Interaction: *in, Version: in.Version.Positionless()}
		for _, p := range in.Parties {
			line.Parties = append(line.Parties, customer.Party{Role: p.Role, Key: p.Key})
		}
		out.Interactions = append(out.Interactions, line)
	}
	slices.SortFunc(out.Interactions, func(a, b canonicalInteraction) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key))
	})
	return out
}
