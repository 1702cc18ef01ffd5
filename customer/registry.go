package customer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/event"
)

// Registry is the one door to the customers: changes go in by Absorb, decisions by Join and Split, and what is known is
// asked for. It starts no goroutine and reads no clock. It is safe for concurrent use as far as its store is.
type Registry struct {
	store   Store
	matcher Matcher
	merger  Merger
	ids     IDs
}

// NewRegistry returns the registry over a store.
func NewRegistry(store Store, matcher Matcher, merger Merger, ids IDs) *Registry {
	return &Registry{store: store, matcher: matcher, merger: merger, ids: ids}
}

// Limits of questions.
const (
	MaxFound    = 1_000 // customers that Find answers
	MaxTimeline = 1_000 // interactions that Timeline answers
)

// Customer answers the customer of an id; of an alias the customer that it now leads to. ErrNotFound if the id was never published.
func (r *Registry) Customer(ctx context.Context, id CustomerID) (*Customer, error) {
	var c *Customer
	err := r.store.View(ctx, func(v View) (err error) {
		c, err = follow(ctx, v, id)
		return err
	})
	return c, err
}

// follow answers the customer that an id leads to. Aliases have no cycles, so the chain ends, however long it has become; if a damaged
// store says otherwise, it is told as damage.
func follow(ctx context.Context, v View, id CustomerID) (*Customer, error) {
	seen := map[CustomerID]bool{}
	for next := id; !seen[next]; {
		seen[next] = true
		found, err := v.Customers(ctx, []CustomerID{next})
		if err != nil {
			return nil, err
		}
		c := found[0]
		switch {
		case c == nil:
			return nil, fmt.Errorf("customer %s: %w", id, ErrNotFound)
		case c.Status != Merged:
			return c, nil
		}
		next = c.AliasOf
	}
	return nil, event.Errorf(event.Permanent, "internal", "id",
		"customer %s: its aliases lead in a circle: the store is damaged; restore a backup of it", id)
}

// Timeline answers the interactions of a customer, newest first; limit 0 is 100.
func (r *Registry) Timeline(ctx context.Context, id CustomerID, limit int) ([]*Interaction, error) {
	if limit == 0 {
		limit = 100
	}
	if limit < 0 || limit > MaxTimeline {
		return nil, event.Errorf(event.Permanent, "validation", "limit", "a limit is 1 to %d", MaxTimeline)
	}
	var out []*Interaction
	err := r.store.View(ctx, func(v View) error {
		c, err := follow(ctx, v, id)
		if err != nil {
			return err
		}
		of := make([]RecordID, len(c.Members))
		for i, m := range c.Members {
			of[i] = m.Record
		}
		out, err = v.Timeline(ctx, of, limit)
		return err
	})
	return out, err
}

// Query finds customers by anything that names a person. Empty fields say nothing; at least one must be given. A customer is
// found if one of its records holds every given value.
type Query struct {
	Email      string
	Phone      string
	Name       string // given and family name
	BirthDate  string // ISO 8601
	Identifier string // "type:value", or a value alone
	Source     string // with Key: the customer of one source's party
	Key        string
	Limit      int // at most so many; 0 is 20, more than MaxFound is refused
}

// probe answers the query in the form of a record, so that it is standardised as records are.
func (q Query) probe() *Record {
	s := Scope{Name: "probe:", Head: Version{Source: SourceVersion{Kind: ByPosition}}}
	add := func(name string, v Value) {
		if !v.IsZero() {
			s.Cells = append(s.Cells, Cell{Path: Path{Name: name}, State: Set, Value: v, Version: s.Head})
		}
	}
	add("birthDate", Text(q.BirthDate))
	add(FieldEmail, Text(q.Email))
	add("fullName", Text(q.Name))
	add(FieldPhone, Text(q.Phone))
	return &Record{Scopes: []Scope{s}}
}

// Find answers the active customers that a query names, in the order of their ids.
func (r *Registry) Find(ctx context.Context, q Query) ([]*Customer, error) {
	if q.Limit == 0 {
		q.Limit = 20
	}
	if q.Limit < 0 || q.Limit > MaxFound {
		return nil, event.Errorf(event.Permanent, "validation", "limit", "a limit is 1 to %d", MaxFound)
	}
	if q == (Query{Limit: q.Limit}) {
		return nil, event.Errorf(event.Permanent, "validation", "",
			"say whom to look for: email, phone, name, birthDate, identifier, or source and key")
	}
	if (q.Source == "") != (q.Key == "") {
		return nil, event.Errorf(event.Permanent, "validation", "key", "source and key go together")
	}
	var out []*Customer
	err := r.store.View(ctx, func(v View) error {
		found, err := r.candidates(ctx, v, q)
		if err != nil || len(found) == 0 {
			return err
		}
		out, err = r.customersOf(ctx, v, found, q.Limit)
		return err
	})
	return out, err
}

// candidates answers the ids of the records that hold everything that the query names.
func (r *Registry) candidates(ctx context.Context, v View, q Query) ([]RecordID, error) {
	probe := r.matcher.Standardise(q.probe())
	if q.Source != "" {
		return []RecordID{r.ids.Record(q.Source, q.Key)}, nil
	}
	var keys []Key
	kind, value := "", q.Identifier
	if before, after, typed := strings.Cut(q.Identifier, ":"); typed && slices.Contains(IdentifierTypes(), before) {
		kind, value = before, after
	}
	if value != "" {
		keys = []Key{identifierKey(value)}
	} else {
		keys = r.matcher.Keys(probe)
	}
	if len(keys) == 0 {
		return nil, event.Errorf(event.Permanent, "validation", "",
			"nothing in the question can be looked up: it may be a placeholder, or not in the form of an address, number, name or date")
	}
	for _, k := range keys { // and under what they are kept by nodes that propose nobody
		if k.Type != keyIdentifier {
			keys = append(keys, Key{Type: quiet + k.Type, Hash: k.Hash})
		}
	}
	holders, err := v.Holders(ctx, keys, MaxFound)
	if err != nil {
		return nil, err
	}
	var nodes []NodeID
	for _, hs := range holders {
		for _, h := range hs {
			nodes = append(nodes, h.Node)
		}
	}
	slices.SortFunc(nodes, compareNodes)
	of, err := v.Nodes(ctx, slices.Compact(nodes), MaxFound)
	if err != nil {
		return nil, err
	}
	ids := slices.Concat(of...)
	ids = distinct(ids)
	records, err := v.Records(ctx, ids)
	if err != nil {
		return nil, err
	}
	var out []RecordID
	for i, rec := range records {
		if rec != nil && rec.Live() && r.answers(probe, kind, value, r.matcher.Standardise(rec)) {
			out = append(out, ids[i])
		}
	}
	return out, nil
}

// answers tells whether a record's features hold everything that was asked for.
func (r *Registry) answers(probe *Features, kind, value string, f *Features) bool {
	if value != "" && !slices.ContainsFunc(f.Identifiers, func(id Identifier) bool {
		return (kind == "" || id.Type == kind) && identifierKey(id.Value) == identifierKey(value)
	}) {
		return false
	}
	for _, e := range probe.Emails {
		if !slices.ContainsFunc(f.Emails, func(g Email) bool { return g.Local == e.Local && g.Domain == e.Domain }) {
			return false
		}
	}
	for _, p := range probe.Phones {
		if !slices.ContainsFunc(f.Phones, func(g string) bool { return samePhone(p, g) }) {
			return false
		}
	}
	names := slices.Concat(f.Given, f.Family, f.Middle, strings.Fields(f.Name))
	for _, n := range slices.Concat(probe.Given, probe.Family, probe.Middle) {
		if !slices.Contains(names, n) {
			return false
		}
	}
	return probe.Birth == (Date{}) || probe.Birth == f.Birth
}

// samePhone compares a number that may lack its country with one that has it.
func samePhone(asked, held string) bool {
	a, h := strings.TrimLeft(asked, "+0"), strings.TrimLeft(held, "+0")
	return a == h || len(a) >= 7 && strings.HasSuffix(h, a)
}

func (r *Registry) customersOf(ctx context.Context, v View, of []RecordID, limit int) ([]*Customer, error) {
	comps, err := v.Components(ctx, of)
	if err != nil {
		return nil, err
	}
	var ids []CustomerID
	for _, c := range comps {
		for _, m := range c.Members {
			if slices.Contains(of, m.Record) {
				ids = append(ids, m.Customer)
			}
		}
	}
	slices.SortFunc(ids, func(a, b CustomerID) int { return bytes.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	found, err := v.Customers(ctx, ids)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(c *Customer) bool { return c == nil || c.Status != Active })
	return found[:min(limit, len(found))], nil
}

// Join takes a person's word that two records are the same party. It outranks every score and survives later data.
func (r *Registry) Join(ctx context.Context, d Decision) error {
	d.Kind = Same
	return r.decide(ctx, d)
}

// Split takes a person's word that two records are not the same party. It outranks every score and every other decision.
func (r *Registry) Split(ctx context.Context, d Decision) error {
	d.Kind = NotSame
	return r.decide(ctx, d)
}

func (r *Registry) decide(ctx context.Context, d Decision) error {
	d.Pair = NewPair(d.A, d.B)
	if d.A == d.B {
		return event.Errorf(event.Permanent, "validation", "b",
			"both names lead to record %s: a decision is about two different records; name another one", d.A)
	}
	if err := signed(d.Author, d.At); err != nil {
		return err
	}
	if d.ID == "" {
		d.ID = d.id()
	}
	return r.store.Update(ctx, func(tx Tx) error {
		said, err := tx.Decisions(ctx, []string{d.ID})
		if err != nil {
			return err
		}
		if said[0] != nil && said[0].Undone {
			return nil // said again, as from an older log, it stays undone
		}
		return r.settle(ctx, tx, d, d.At)
	})
}

// signed tells whose decision it is that cannot be taken.
func signed(author string, at time.Time) error {
	if author == "" {
		return event.Errorf(event.Permanent, "validation", "author", "a decision names its author: say who decides")
	}
	if at.IsZero() {
		return event.Errorf(event.Permanent, "validation", "at", "a decision carries the time at which it was made: state it")
	}
	return nil
}

// settle lays a decision down, and brings the customers up to date with it.
func (r *Registry) settle(ctx context.Context, tx Tx, d Decision, now time.Time) error {
	known, err := tx.Records(ctx, []RecordID{d.A, d.B})
	if err != nil {
		return err
	}
	for i, rec := range known {
		if rec == nil {
			return event.Errorf(event.Permanent, "validation", []string{"a", "b"}[i],
				"record %s: %w; onefold customer get lists the records of a customer", []RecordID{d.A, d.B}[i], ErrNotFound)
		}
	}
	w := newWork(r, tx, now)
	w.decide(d, known)
	if err := w.resolve(ctx); err != nil {
		return err
	}
	return tx.Apply(ctx, &w.delta)
}

// Undo takes a decision back. It is not deleted: it stays known as undone, by whom and when, and the evidence and the other decisions
// speak again. One that is undone already stays as it is. It answers the decision as it stands then.
func (r *Registry) Undo(ctx context.Context, id, author string, at time.Time) (*Decision, error) {
	if err := signed(author, at); err != nil {
		return nil, err
	}
	var out Decision
	err := r.store.Update(ctx, func(tx Tx) error {
		found, err := tx.Decisions(ctx, []string{id})
		if err != nil {
			return err
		}
		if found[0] == nil {
			return event.Errorf(event.Permanent, "validation", "id",
				"a decision of that id: %w; onefold customer why shows the decision between two records", ErrNotFound)
		}
		if out = *found[0]; out.Undone {
			return nil
		}
		out.Undone, out.UndoneBy, out.UndoneAt = true, author, at
		return r.settle(ctx, tx, out, at)
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// id names a decision by what it says, who said it and when: said twice, it is one decision.
func (d *Decision) id() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%q|%d", d.Kind, d.A, d.B, d.Author, d.At.UnixNano()))
	return "dec_" + hex.EncodeToString(sum[:12])
}

func distinct(ids []RecordID) []RecordID {
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}

func compareIDs(a, b RecordID) int { return bytes.Compare(a[:], b[:]) }
