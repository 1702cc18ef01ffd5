// Package customer holds the nouns of Onefold and its one door, the Registry: changes go in, customers come out.
// It computes; where things rest is the store's business, who is who the matcher's, which value survives the
// merger's. Their interfaces are declared here, by their consumer.
package customer

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Customer is the master record: the records that were resolved to be one party, and the values that survive among them,
// each with its lineage.
type Customer struct {
	ID      CustomerID `json:"id"`
	Version int64      `json:"version"` // grows by one with each published change
	Status  Status     `json:"status"`
	// AliasOf names the customer that this one was merged into. Of such a customer the members are the records that it stood for when
	// it was merged, without source and key: an alias follows them if what it leads to comes apart. It has nothing else to say.
	AliasOf    CustomerID  `json:"aliasOf,omitzero"`
	Attributes []Attribute `json:"attributes"` // by path
	Members    []Member    `json:"members"`    // of an active customer its live records, by source and key
	CreatedAt  time.Time   `json:"createdAt"`
	UpdatedAt  time.Time   `json:"updatedAt"`
}

// Status says whether there is anybody behind a customer's id.
type Status string

// The states of a customer.
const (
	Active Status = "active"
	Merged Status = "merged" // AliasOf says into which
	Gone   Status = "gone"   // every record of it was deleted
	Erased Status = "erased" // at the wish of the data subject
)

// Member is one record of a customer.
type Member struct {
	Record RecordID `json:"record"`
	Source string   `json:"source"`
	Key    string   `json:"key"`
}

// Attribute is a surviving value with its lineage: where it comes from, why it won, and what lost.
type Attribute struct {
	Path Path `json:"path"`
	Claim
	Rule   string  `json:"rule"` // which rule of the policy decided: only trust current verified recent whole denial union tie
	Losers []Claim `json:"losers,omitempty"`
}

// Claim is a value as one record states it.
type Claim struct {
	Value    Value     `json:"value"`
	Source   string    `json:"source"`
	Key      string    `json:"key"`
	Version  Version   `json:"version"`
	At       time.Time `json:"at,omitzero"` // by the source's clock
	Verified bool      `json:"verified,omitempty"`
	Event    string    `json:"event,omitempty"` // message that said it
}

// Published answers the value that tells the world about the customer, as it stands in the outbox and on the customers
// topic: the whole customer, {"aliasOf": ID} for a merged one, nil (a tombstone) when nobody is behind the id any more.
func (c *Customer) Published() ([]byte, error) {
	switch c.Status {
	case Merged:
		return json.Marshal(struct {
			AliasOf CustomerID `json:"aliasOf"`
			Version int64      `json:"version"`
		}{c.AliasOf, c.Version})
	case Gone, Erased:
		return nil, nil
	default:
		return json.Marshal(c)
	}
}

// PublishedID is the deterministic id of that message: customer and version.
func (c *Customer) PublishedID() string {
	return c.ID.String() + "." + strconv.FormatInt(c.Version, 10)
}

// Text answers the text of the attribute under a path's name, the first of a list; empty where there is none.
func (c *Customer) Text(name string) string {
	for i := range c.Attributes {
		if c.Attributes[i].Path.Name == name {
			return c.Attributes[i].Value.Text
		}
	}
	return ""
}

// Export writes every active customer as one JSON object a line. The canonical form leaves out what depends on how commits fell (ids,
// versions, histories, recorded times, positions) and is sorted: it is byte-equal after any crash, permutation or duplication of
// the same events (invariant 4). It is gathered in memory.
func (r *Registry) Export(ctx context.Context, out io.Writer, canonical bool) error {
	w := bufio.NewWriter(out)
	var lines []canonicalCustomer
	err := r.store.EachCustomer(ctx, func(c *Customer, _ []*Record, interactions []*Interaction) error {
		if canonical {
			lines = append(lines, c.canonical(interactions))
			return nil
		}
		return writeLine(w, struct {
			*Customer
			Interactions []*Interaction `json:"interactions"`
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
		Path Path `json:"path"`
		canonicalClaim
		Rule   string           `json:"rule"`
		Losers []canonicalClaim `json:"losers,omitempty"`
	}
	canonicalClaim struct {
		Value    Value         `json:"value"`
		Source   string        `json:"source"`
		Key      string        `json:"key"`
		Version  SourceVersion `json:"version"`
		Verified bool          `json:"verified,omitempty"`
	}
	canonicalInteraction struct {
		Interaction
		Parties []Party       `json:"parties"`
		Version SourceVersion `json:"version"`
		ID      string        `json:"id,omitempty"`
		Event   string        `json:"event,omitempty"`
	}
)

func (c *Customer) canonical(interactions []*Interaction) canonicalCustomer {
	claim := func(c Claim) canonicalClaim {
		return canonicalClaim{Value: c.Value, Source: c.Source, Key: c.Key, Version: c.Version.positionless(), Verified: c.Verified}
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
		line := canonicalInteraction{Interaction: *in, Version: in.Version.positionless()}
		for _, p := range in.Parties {
			line.Parties = append(line.Parties, Party{Role: p.Role, Key: p.Key})
		}
		out.Interactions = append(out.Interactions, line)
	}
	slices.SortFunc(out.Interactions, func(a, b canonicalInteraction) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key))
	})
	return out
}

// positionless answers the source's own version; where it has none but the position of the message, nothing.
func (v Version) positionless() SourceVersion {
	if v.Source.Kind == ByPosition {
		return SourceVersion{Kind: ByPosition}
	}
	return v.Source
}

// Forget erases a customer at the wish of its data subject: every record that is or ever was part of it, living or deleted, unless it is
// a living part of somebody else by now, and all that these records took part in. Customers that were merged into it are it. Its id stays
// known as erased. What the same sources say later is accepted only where it is provably later.
func (r *Registry) Forget(ctx context.Context, id CustomerID, now time.Time) error {
	return r.store.Update(ctx, func(tx Tx) error {
		w := newWork(r, tx, now)
		c, err := follow(ctx, tx, id)
		if err != nil {
			return err
		}
		records, err := w.subject(ctx, id, c.ID)
		if err != nil {
			return err
		}
		if err := w.eraseAll(ctx, records); err != nil {
			return err
		}
		if err := w.finish(ctx); err != nil {
			return err
		}
		w.end(c)
		return tx.Apply(ctx, &w.delta)
	})
}

// subject answers the records that an erasure of a customer reaches; asked is the id or the alias by which it was named.
func (w *work) subject(ctx context.Context, asked, id CustomerID) ([]RecordID, error) {
	known := map[CustomerID]*Customer{}
	var reached []RecordID
	seen := map[CustomerID]bool{asked: true, id: true}
	for of := slices.Collect(maps.Keys(seen)); len(of) > 0; {
		found, err := w.tx.Members(ctx, of)
		if err != nil {
			return nil, err
		}
		members := slices.Concat(found...)
		var records []RecordID
		for _, m := range members {
			records = append(records, m.Record)
		}
		customers, err := w.tx.Former(ctx, records)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			customers = append(customers, m.Customer)
		}
		if err := w.chains(ctx, known, customers); err != nil {
			return nil, err
		}
		for _, m := range members {
			if !m.Live || lead(known, m.Customer) == id {
				reached = append(reached, m.Record)
			}
		}
		of = nil
		for _, c := range customers {
			if lead(known, c) == id && !seen[c] {
				seen[c] = true
				of = append(of, c)
			}
		}
	}
	return distinct(reached), nil
}

// eraseAll lays an erasure on records in every scope that is known of them: their own statements' and those of what they took part in.
func (w *work) eraseAll(ctx context.Context, ids []RecordID) error {
	if err := w.load(ctx, ids); err != nil {
		return err
	}
	heard := map[RecordID]*Record{} // the newest versions known, by scope
	for _, id := range ids {
		if rec := w.before[id]; rec != nil {
			heard[id] = &Record{}
			for i := range rec.Scopes {
				heard[id].hear(later(rec.Scopes[i].Head, rec.Scopes[i].gone()))
			}
		}
	}
	err := w.partaken(ctx, ids, func(in *Interaction) {
		for _, p := range in.Parties {
			if rec := heard[p.Record]; rec != nil {
				rec.hear(in.Version)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if rec := heard[id]; rec != nil && w.open(id, "").cover(rec.erasures()) {
			w.touch(id)
			w.erased[id] = true
		}
	}
	return nil
}

// hear notes a version as erased if it is the newest of its scope.
func (r *Record) hear(v Version) {
	if !v.IsZero() {
		s := r.scope(v.Source.scope())
		s.Erased = later(s.Erased, v.last())
	}
}

// cascade carries erasures on to the records that the source had merged or re-keyed into an erased one, and from those to theirs.
func (w *work) cascade(ctx context.Context) error {
	for from := distinct(w.reach); len(from) > 0; {
		var lost []RecordID
		for _, id := range from {
			lost = append(lost, w.record(id).lost()...)
		}
		if err := w.load(ctx, lost); err != nil {
			return err
		}
		var next []RecordID
		for _, id := range from {
			rec := w.record(id)
			for _, loser := range rec.lost() {
				if w.open(loser, rec.Source).cover(rec.erasures()) {
					w.touch(loser)
					w.erased[loser] = true
					next = append(next, loser)
				}
			}
		}
		from = distinct(next)
	}
	return nil
}

// pageOfErased is how many interactions of erased records are read at a time. There may be any number of pages.
const pageOfErased = 10_000

// partaken calls fn for every stored interaction that any of the records takes part in.
func (w *work) partaken(ctx context.Context, of []RecordID, fn func(*Interaction)) error {
	for after := (InteractionID{}); len(of) > 0; {
		page, err := w.tx.Partaken(ctx, of, after, pageOfErased)
		if err != nil {
			return err
		}
		for _, in := range page {
			fn(in)
		}
		if len(page) < pageOfErased {
			return nil
		}
		after = page[len(page)-1].ID
	}
	return nil
}

// end makes sure that a forgotten customer is known as erased, also if there was nothing left of it to erase.
func (w *work) end(c *Customer) {
	byID := func(c *Customer, id CustomerID) int { return bytes.Compare(c.ID[:], id[:]) }
	i, written := slices.BinarySearchFunc(w.delta.Customers, c.ID, byID)
	switch {
	case written && w.delta.Customers[i].Status == Gone:
		w.delta.Customers[i].Status = Erased
	case !written && c.Status != Erased:
		w.delta.Customers = slices.Insert(w.delta.Customers, i, &Customer{
			ID: c.ID, Version: c.Version + 1, Status: Erased, CreatedAt: c.CreatedAt, UpdatedAt: w.now,
		})
	}
}
