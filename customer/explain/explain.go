// Package explain answers why records are, or are not, one customer: why two are, what keeps two apart, how a customer came to be, why a
// value won, and what would become of a record that nobody has sent. It reads, and changes nothing.
package explain

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Explainer answers from one consistent state of the store. It is safe for concurrent use as far as its store is.
type Explainer struct {
	store    Store
	matcher  Matcher
	registry Supposer
	ids      customer.IDs
	adopted  *atomic.Pointer[Matcher] // instead of matcher, once there is one
}

// New returns an explainer over a registry's store, with the matcher that the registry has.
func New(store Store, matcher Matcher, registry Supposer, ids customer.IDs) *Explainer {
	return &Explainer{store: store, matcher: matcher, registry: registry, ids: ids, adopted: new(atomic.Pointer[Matcher])}
}

// Adopt makes the explainer explain by another matcher: the one that the registry has adopted.
func (e *Explainer) Adopt(m Matcher) { e.adopted.Store(&m) }

// Store is where customers rest.
type Store interface {
	View(ctx context.Context, fn func(customer.View) error) error
}

// Supposer works out what would come of changes.
type Supposer interface {
	Suppose(ctx context.Context, v customer.View, b customer.Batch) (*customer.Absorbed, *customer.Delta, error)
}

// Matcher is the registry's own, and says how it comes to its answers. customer/match is the one we ship.
type Matcher interface {
	Standardise(r *customer.Record) *customer.Features
	Keys(f *customer.Features) []customer.Key
	Cap(keyType string) int
	Score(a, b *customer.Features) (e customer.Edge, keep bool)
	// Explain answers the steps whose weights add up to the score's, exactly.
	Explain(a, b *customer.Features) customer.Evidence
	// Retrace answers the clusters of a component as the registry's matcher does, and the unions that led to them. Of their members
	// the record's id is enough.
	Retrace(records []*customer.Features, edges []customer.Edge, decisions []customer.Decision) ([][]customer.RecordID, []customer.Union)
}

// Limits of an explanation (invariant 10).
const (
	MaxSpeakers = 500    // nodes of a customer that are compared with another's: those of its first records
	MaxRetold   = 20_000 // live records of a component whose clustering is made again
	MaxApart    = 50     // refused unions that are shown
)

// talk is one question: what was read for it.
type talk struct {
	*Explainer
	v        customer.View
	records  map[customer.RecordID]*customer.Record
	features map[customer.RecordID]*customer.Features
}

// ask answers one question on one state of the store.
func (e *Explainer) ask(ctx context.Context, fn func(*talk) error) error {
	now := *e
	if m := e.adopted.Load(); m != nil {
		now.matcher = *m
	}
	return e.store.View(ctx, func(v customer.View) error {
		return fn(&talk{
			Explainer: &now, v: v,
			records: map[customer.RecordID]*customer.Record{}, features: map[customer.RecordID]*customer.Features{},
		})
	})
}

// load reads records that were not read yet.
func (t *talk) load(ctx context.Context, ids []customer.RecordID) error {
	missing := slices.DeleteFunc(slices.Clone(ids), func(id customer.RecordID) bool { return t.records[id] != nil })
	if len(missing) == 0 {
		return nil
	}
	found, err := t.v.Records(ctx, missing)
	for i, rec := range found {
		if rec != nil {
			t.records[missing[i]] = rec
		}
	}
	return err
}

// feature answers the features of a record that was loaded; nil if it is not live.
func (t *talk) feature(id customer.RecordID) *customer.Features {
	f, known := t.features[id]
	if !known {
		if rec := t.records[id]; rec != nil && rec.Live() {
			f = t.matcher.Standardise(rec)
		}
		t.features[id] = f
	}
	return f
}

// member names a record that was loaded.
func (t *talk) member(id customer.RecordID) customer.Member {
	m := customer.Member{Record: id}
	if rec := t.records[id]; rec != nil {
		m.Source, m.Key = rec.Source, rec.Key
	}
	return m
}

// named answers the live records that a name stands for; side is where the name was given.
func (t *talk) named(ctx context.Context, side, name string) ([]customer.RecordID, error) {
	var cus customer.CustomerID
	var rec customer.RecordID
	switch {
	case cus.UnmarshalText([]byte(name)) == nil:
		c, err := customer.Follow(ctx, t.v, cus)
		if err != nil {
			return nil, err
		}
		var ids []customer.RecordID
		for _, m := range c.Members {
			ids = append(ids, m.Record)
		}
		return ids, nil
	case rec.UnmarshalText([]byte(name)) != nil:
		source, key, ok := strings.Cut(name, "/")
		if !ok {
			return nil, event.Errorf(event.Permanent, "validation", side,
				"this names nobody: name a customer (cus_...), a record (rec_...), or source/key")
		}
		rec = t.ids.Record(source, key)
	}
	if err := t.load(ctx, []customer.RecordID{rec}); err != nil {
		return nil, err
	}
	if t.feature(rec) == nil {
		return nil, event.Errorf(event.Permanent, "validation", side,
			"a live record of that name: %w; onefold customer find --source --key, or by what it says, finds its customer", customer.ErrNotFound)
	}
	return []customer.RecordID{rec}, nil
}

// loudest answers the pair across two sides that comes closest to joining, the record of the first side first. Records that say the same
// speak equally loud, unless their source has linked one of them, so that nodes are compared, and all linked records.
func (t *talk) loudest(as, bs []customer.RecordID) (a, b customer.RecordID, found bool) {
	var best customer.Edge
	try := func(x, y customer.RecordID) {
		e, _ := t.matcher.Score(t.feature(x), t.feature(y))
		must, had := e.Rule == customer.MustLink, best.Rule == customer.MustLink
		if !found || must && !had || must == had && e.Weight-e.Threshold > best.Weight-best.Threshold {
			a, b, best, found = x, y, e, true
		}
	}
	t.linked(as, bs, try)
	t.linked(bs, as, func(y, x customer.RecordID) { try(x, y) })
	nodes := t.byNode(bs)
	for _, ga := range t.byNode(as) {
		for _, gb := range nodes {
			if x, y, ok := different(ga, gb); ok {
				try(x, y)
			}
		}
	}
	return a, b, found
}

// linked calls fn for every record of one side that its source has joined with one of the other.
func (t *talk) linked(from, to []customer.RecordID, fn func(x, y customer.RecordID)) {
	other := map[customer.RecordID]bool{}
	for _, id := range to {
		other[id] = t.feature(id) != nil
	}
	for _, id := range from {
		if f := t.feature(id); f != nil {
			for _, l := range f.Links {
				if other[l] && l != id {
					fn(id, l)
				}
			}
		}
	}
}

// byNode answers the live records by what they say, in their order, at most MaxSpeakers lists.
func (t *talk) byNode(ids []customer.RecordID) [][]customer.RecordID {
	at := map[customer.NodeID]int{}
	var out [][]customer.RecordID
	for _, id := range ids {
		if f := t.feature(id); f != nil {
			i, known := at[f.Node]
			if !known && len(out) == MaxSpeakers {
				continue
			}
			if !known {
				i = len(out)
				at[f.Node], out = i, append(out, nil)
			}
			out[i] = append(out[i], id)
		}
	}
	return out
}

// different answers the first two records of two nodes that are not one record.
func different(as, bs []customer.RecordID) (a, b customer.RecordID, ok bool) {
	for _, a := range as {
		for _, b := range bs[:min(2, len(bs))] {
			if a != b {
				return a, b, true
			}
		}
	}
	return a, b, false
}

// sharedKeys answers the keys under which two records could have met.
func (t *talk) sharedKeys(ctx context.Context, a, b *customer.Features) ([]customer.SharedKey, error) {
	kb := t.matcher.Keys(b)
	keys := slices.DeleteFunc(slices.Clone(t.matcher.Keys(a)), func(k customer.Key) bool { return !slices.Contains(kb, k) })
	holders, err := t.v.Holders(ctx, keys, customer.MaxHolders+1)
	if err != nil {
		return nil, err
	}
	out := make([]customer.SharedKey, len(keys))
	for i, k := range keys {
		held := func(n customer.NodeID) bool {
			return slices.ContainsFunc(holders[i], func(h customer.Holder) bool { return h.Node == n })
		}
		limit := cmp.Or(t.matcher.Cap(k.Type), customer.MaxHolders)
		out[i] = customer.SharedKey{Type: k.Type, Generic: len(holders[i]) > limit || !held(a.Node) || !held(b.Node)}
	}
	return out, nil
}
