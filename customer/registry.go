package customer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
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
	adopted *atomic.Pointer[Matcher] // instead of matcher, once there is one
}

// NewRegistry returns the registry over a store.
func NewRegistry(store Store, matcher Matcher, merger Merger, ids IDs) *Registry {
	return &Registry{store: store, matcher: matcher, merger: merger, ids: ids, adopted: new(atomic.Pointer[Matcher])}
}

// Limits of questions.
const (
	MaxFound    = 1_000  // customers that Find answers
	MaxHeld     = 10_000 // nodes that hold one key and are looked at to answer a question
	MaxExamined = 5_000  // nodes whose records are read to answer a question
	MaxTimeline = 1_000  // interactions that Timeline answers
)

// Customer answers the customer of an id; of an alias the customer that it now leads to. ErrNotFound if the id was never published.
func (r *Registry) Customer(ctx context.Context, id CustomerID) (*Customer, error) {
	var c *Customer
	err := r.store.View(ctx, func(v View) (err error) {
		c, err = Follow(ctx, v, id)
		return err
	})
	return c, err
}

// Follow answers the customer that an id leads to. Aliases have no cycles, so the chain ends, however long it has become; if a damaged
// store says otherwise, it is told as damage.
func Follow(ctx context.Context, v View, id CustomerID) (*Customer, error) {
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
		c, err := Follow(ctx, v, id)
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
// found if one of its live records holds every given value.
type Query struct {
	Email      string
	Phone      string
	Name       string // given and family name
	BirthDate  string // ISO 8601; of a year or a month alone only with something else
	Identifier string // "type:value", or a value alone
	Source     string // with Key: the customer of one source's party
	Key        string
	Limit      int // at most so many; 0 is 20, more than MaxFound is refused
}

// Found is the answer to a Query.
type Found struct {
	Customers []*Customer `json:"customers"` // active, by id
	// Cut tells that there are, or may be, others: more than the limit, or too many records hold what was asked for to look at all.
	// Anything else that is known of the customer, given with the first, narrows it down.
	Cut bool `json:"cut"`
}

// Find answers the active customers that a query names.
func (r *Registry) Find(ctx context.Context, q Query) (*Found, error) {
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
		return nil, event.Errorf(event.Permanent, "validation", "key", "source and key go together: give both or none")
	}
	ask, err := r.question(q)
	if err != nil {
		return nil, err
	}
	var out *Found
	err = r.store.View(ctx, func(v View) (err error) {
		out, err = r.look(ctx, v, ask)
		return err
	})
	return out, err
}

// probe answers the query in the form of a record, so that it is standardised as records are.
func (q Query) probe() *Record {
	s := Scope{Name: "probe:", Head: Version{Source: SourceVersion{Kind: ByPosition}}}
	for _, f := range [][2]string{{"birthDate", q.BirthDate}, {FieldEmail, q.Email}, {"fullName", q.Name}, {FieldPhone, q.Phone}} {
		if f[1] != "" {
			s.Cells = append(s.Cells, Cell{Path: Path{Name: f[0]}, State: Set, Value: Text(f[1]), Version: s.Head})
		}
	}
	return &Record{Scopes: []Scope{s}}
}

// question reads a query. A field of which nothing can be looked up is refused: without it the answer would be too wide.
func (r *Registry) question(q Query) (*question, error) {
	ask := &question{probe: r.matcher.Standardise(q.probe()), limit: q.Limit}
	if q.Source != "" {
		ask.record = r.ids.Record(q.Source, q.Key)
	}
	nothing := r.matcher.Standardise(Query{}.probe()).Node
	for _, part := range []struct {
		path  string
		asked string
		alone Query
	}{
		{"email", q.Email, Query{Email: q.Email}},
		{"phone", q.Phone, Query{Phone: q.Phone}},
		{"name", q.Name, Query{Name: q.Name}},
		{"birthDate", q.BirthDate, Query{BirthDate: q.BirthDate}},
	} {
		if part.asked == "" {
			continue
		}
		f := r.matcher.Standardise(part.alone.probe())
		if f.Node == nothing {
			return nil, unsearchable(part.path)
		}
		keys := r.matcher.Keys(f)
		if part.path == "name" && len(keys) > 0 { // names are kept under several keys, of which one that is written otherwise has some
			ask.groups = append(ask.groups, keys)
			continue
		}
		for i := range keys {
			ask.groups = append(ask.groups, keys[i:i+1])
		}
	}
	if q.Identifier != "" {
		ask.value = q.Identifier
		if before, after, typed := strings.Cut(q.Identifier, ":"); typed && slices.Contains(IdentifierTypes(), before) {
			ask.kind, ask.value = before, after
		}
		key := identifierKey(ask.value)
		if key == identifierKey("") {
			return nil, unsearchable("identifier")
		}
		ask.groups = append(ask.groups, []Key{key})
	}
	if len(ask.groups) == 0 && ask.record.IsZero() {
		return nil, event.Errorf(event.Permanent, "validation", "birthDate",
			"too many have it to look for it alone: give the whole date, or something else with it")
	}
	return ask, nil
}

func unsearchable(path string) error {
	return event.Errorf(event.Permanent, "validation", path,
		"this cannot be looked up: it is a placeholder, or not in the form of an address, number, name or date; mend it or leave it out")
}

// look answers a question. It reads records piece by piece, until there are more customers than were asked for.
func (r *Registry) look(ctx context.Context, v View, ask *question) (*Found, error) {
	out := &Found{Customers: []*Customer{}}
	if !ask.record.IsZero() {
		records, err := v.Records(ctx, []RecordID{ask.record})
		if err != nil || records[0] == nil || !records[0].Live() || !ask.answered(r.matcher.Standardise(records[0])) {
			return out, err
		}
		return out, r.gather(ctx, v, []RecordID{ask.record}, out)
	}
	held, whole, err := ask.holding(ctx, v)
	if err != nil {
		return nil, err
	}
	out.Cut = !whole || len(held) > MaxExamined
	for piece := range slices.Chunk(held[:min(len(held), MaxExamined)], examinedAtOnce) {
		records, all, err := r.answering(ctx, v, ask, piece)
		if err != nil {
			return nil, err
		}
		if err := r.gather(ctx, v, records, out); err != nil {
			return nil, err
		}
		out.Cut = out.Cut || !all
		if len(out.Customers) > ask.limit {
			out.Customers, out.Cut = out.Customers[:ask.limit], true
			break
		}
	}
	return out, nil
}

// answering answers the records of those nodes that answer a question, and whether these are all. The records of a node say the same.
func (r *Registry) answering(ctx context.Context, v View, ask *question, held []Holder) (records []RecordID, all bool, err error) {
	shown := make([]RecordID, len(held))
	for i, h := range held {
		shown[i] = h.Record
	}
	found, err := v.Records(ctx, shown)
	if err != nil {
		return nil, false, err
	}
	var nodes []NodeID
	for i, rec := range found {
		if rec != nil && rec.Live() && ask.answered(r.matcher.Standardise(rec)) {
			nodes = append(nodes, held[i].Node)
		}
	}
	of, err := v.Nodes(ctx, nodes, MaxFound+1)
	return slices.Concat(of...), !slices.ContainsFunc(of, func(ids []RecordID) bool { return len(ids) > MaxFound }), err
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
	if len(d.Reason) > MaxValue || !clean(d.Reason) || len(d.ID) > MaxKey || !clean(d.ID) {
		return event.Errorf(event.Permanent, "validation", "reason",
			"a reason is at most %d bytes of UTF-8 without NUL, an id %d: say it shorter", MaxValue, MaxKey)
	}
	named := d.ID != ""
	if !named {
		d.ID = d.id()
	}
	return r.store.Update(ctx, func(tx Tx) error {
		if stands, err := standing(ctx, tx, d); err != nil || stands && !named {
			return err // decided already: a second decision of the kind would outlive the undoing of the first
		}
		said, err := tx.Decisions(ctx, []string{d.ID})
		if err != nil {
			return err
		}
		switch known := said[0]; {
		case known == nil:
		case known.Kind != d.Kind || known.Pair != d.Pair:
			return event.Errorf(event.Permanent, "validation", "id",
				"decision %s is known and says something else: give this one another id, or none", d.ID)
		case known.Undone:
			return nil // said again, as from an older log, it stays undone
		}
		return r.settle(ctx, tx, d, d.At)
	})
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

// answered tells whether a record's features hold everything that was asked for.
func (q *question) answered(f *Features) bool {
	if q.value != "" && !slices.ContainsFunc(f.Identifiers, func(id Identifier) bool {
		return (q.kind == "" || id.Type == q.kind) && identifierKey(id.Value) == identifierKey(q.value)
	}) {
		return false
	}
	for _, e := range q.probe.Emails {
		if !slices.ContainsFunc(f.Emails, func(g Email) bool { return g.Local == e.Local && g.Domain == e.Domain }) {
			return false
		}
	}
	for _, p := range q.probe.Phones {
		if !slices.ContainsFunc(f.Phones, func(g Phone) bool { return samePhone(p.Number, g.Number) }) {
			return false
		}
	}
	names := slices.Concat(f.Given, f.Family, f.Middle, strings.Fields(f.Name))
	for _, n := range slices.Concat(q.probe.Given, q.probe.Family, q.probe.Middle, strings.Fields(q.probe.Name)) {
		if !slices.Contains(names, n) {
			return false
		}
	}
	return q.probe.Birth == (Date{}) || q.probe.Birth == f.Birth
}

// samePhone compares a number that may lack its country with one that has it.
func samePhone(asked, held string) bool {
	a, h := strings.TrimLeft(asked, "+0"), strings.TrimLeft(held, "+0")
	return a == h || len(a) >= 7 && strings.HasSuffix(h, a)
}
