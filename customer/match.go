package customer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onefold/onefold/event"
)

// Matcher says which records are the same party. It is pure: the same records give the same answer in every
// process, in any order (invariant 4). customer/match is the one we ship.
type Matcher interface {
	// Standardise brings a record's standing values into the form in which they compare.
	Standardise(r *Record) *Features
	// Keys answers the keys under which the record meets those it might be the same as, distinct and in order.
	Keys(f *Features) []Key
	// Cap answers how many distinct holders a key of that type may have before it proposes nothing; 0 is no cap.
	Cap(keyType string) int
	// Score compares two records. The answer is the same whichever comes first. Keep tells whether the edge is worth storing.
	// Of records without links it depends on their nodes only.
	Score(a, b *Features) (e Edge, keep bool)
	// Cluster divides the records of a component, given the edges between their nodes and the decisions between them, into those of
	// one party each: sorted by record id inside, and by the first of them outside.
	Cluster(records []*Features, edges []Edge, decisions []Decision) [][]RecordID
	// Explain answers the steps whose weights add up to the edge's, exactly.
	Explain(a, b *Features) []Step
}

// Merger says which values survive among the records of one customer, and what they won against. Pure.
// customer/merge is the one we ship.
type Merger interface {
	Survive(records []*Record) []Attribute
}

// Features are a record's standing values in the form in which they compare. The originals are kept in the record.
type Features struct {
	Record       RecordID
	Origin       uint64 // hash of source and key, the same in every installation: breaks ties, where a record's id would not do
	Node         NodeID // hash of all that follows but Links
	Organisation bool
	Given        []string // tokens: folded, transliterated, honorifics and suffixes apart
	Family       []string // tokens
	Middle       []string // tokens
	Unsplit      bool     // given and family were read from one field: their order is a guess
	Suffix       string   // generation: jr sr ii iii
	Name         string   // of an organisation, without its legal form
	Gender       string   // m f x
	Birth        Date     // partial allowed
	BirthPlace   string
	Job          string
	Emails       []Email
	Phones       []Phone
	Places       []Place
	Identifiers  []Identifier // that pass the rules for placeholders
	Links        []RecordID   // records that the source itself joined with this one
}

// Date is a calendar date of which parts may be missing (0).
type Date struct{ Year, Month, Day int }

// Email is an e-mail address in matching form.
type Email struct {
	Local, Domain string // lower case
	Role          bool   // info@, sales@: a box, not a person
	Disposable    bool
	Verified      bool
}

// Phone is a telephone number in matching form.
type Phone struct {
	Number   string // E.164 where a country is known, else digits
	Verified bool
}

// Place is a postal address in matching form.
type Place struct{ Street, Number, Extra, City, Region, Postcode, Country string }

// Identifier is a number that an issuer gave to a party.
type Identifier struct {
	Type, Issuer, Value string
	Strength            Strength
	Verified            bool
}

// Key is one index entry of a record: records that share a key which is not over its cap are compared.
type Key struct {
	Type string // "email", "name+birth", ...; few and short
	Hash uint64
}

// Edge is the evidence between two nodes: between any record of the one and any of the other.
type Edge struct {
	NodePair
	Weight    Weight  `json:"weight"`    // sum over the comparisons
	Threshold Weight  `json:"threshold"` // what this pair must reach to join by itself
	Levels    []uint8 `json:"levels"`    // level of each comparison, in the model's order; 0 is missing
	Rule      Rule    `json:"rule,omitempty"`
	Against   bool    `json:"against,omitempty"` // exactly one personal trait speaks against: clustered last
}

// Joins tells whether the evidence joins two records by itself, if nothing else speaks against it.
func (e *Edge) Joins() bool { return e.Rule == MustLink || e.Rule == NoRule && e.Weight >= e.Threshold }

// Rule is what a pair is bound by, whatever its weight.
type Rule string

// The rules.
const (
	NoRule     Rule = ""
	MustLink   Rule = "must-link"   // share a strong identifier, or the source joined them
	CannotLink Rule = "cannot-link" // hold two different verified exclusive identifiers
)

// Step is one step of an explanation.
type Step struct {
	Comparison string `json:"comparison"` // name birthDate email phone place identifier household
	Level      string `json:"level"`
	Weight     Weight `json:"weight"`
	Detail     string `json:"detail,omitempty"` // may hold personal data
}

// Explanation tells why two records are, or are not, the same party.
type Explanation struct {
	A         Member      `json:"a"`
	B         Member      `json:"b"`
	CustomerA CustomerID  `json:"customerA"`
	CustomerB CustomerID  `json:"customerB"`
	Same      bool        `json:"same"`    // are they one customer now
	Verdict   string      `json:"verdict"` // a sentence
	Steps     []Step      `json:"steps"`   // their weights add up to Weight, exactly
	Weight    Weight      `json:"weight"`
	Threshold Weight      `json:"threshold"`
	Rule      Rule        `json:"rule,omitempty"`
	Decision  *Decision   `json:"decision,omitempty"`
	Keys      []SharedKey `json:"keys"`           // what brought them together
	Path      []Member    `json:"path,omitempty"` // one customer, but not directly: the records that lie between
}

// SharedKey is a key that two records share.
type SharedKey struct {
	Type    string `json:"type"`
	Generic bool   `json:"generic"` // over its cap, or held by a node that is too common: it proposes nothing
}

// Why explains two parties to each other. Each is named by a customer's id, a record's id, or source/key; of a customer the
// record that speaks loudest for the other side is taken.
func (r *Registry) Why(ctx context.Context, a, b string) (*Explanation, error) {
	var out *Explanation
	err := r.store.View(ctx, func(v View) error {
		as, err := r.named(ctx, v, "a", a)
		if err != nil {
			return err
		}
		bs, err := r.named(ctx, v, "b", b)
		if err != nil {
			return err
		}
		w := newWork(r, v, time.Time{})
		if err := w.load(ctx, slices.Concat(as, bs)); err != nil {
			return err
		}
		best, e, found := w.loudest(as, bs)
		if !found {
			return event.Errorf(event.Permanent, "validation", "b",
				"two different live records are needed, and there is one: name two customers or two records")
		}
		if out, err = w.explain(ctx, best, e); err == nil && !slices.Contains(as, out.A.Record) {
			out.A, out.B, out.CustomerA, out.CustomerB = out.B, out.A, out.CustomerB, out.CustomerA
			slices.Reverse(out.Path)
		}
		return err
	})
	return out, err
}

// MaxSpeakers is how many nodes of a customer are heard when it is explained (invariant 10): those of its first records.
const MaxSpeakers = 500

// loudest answers the pair across two sides that comes closest to joining. Records that say the same speak equally loud, unless their
// source has linked one of them, so that nodes are compared, and all linked records.
func (w *work) loudest(as, bs []RecordID) (pair Pair, best Edge, found bool) {
	try := func(a, b RecordID) {
		e, _ := w.r.matcher.Score(w.feature(a), w.feature(b))
		if !found || e.Rule == MustLink && best.Rule != MustLink ||
			(e.Rule == MustLink) == (best.Rule == MustLink) && e.Weight-e.Threshold > best.Weight-best.Threshold {
			pair, best, found = NewPair(a, b), e, true
		}
	}
	for _, side := range [][2][]RecordID{{as, bs}, {bs, as}} {
		other := map[RecordID]bool{}
		for _, id := range side[1] {
			other[id] = w.feature(id) != nil
		}
		for _, id := range side[0] {
			if f := w.feature(id); f != nil {
				for _, l := range f.Links {
					if other[l] && l != id {
						try(id, l)
					}
				}
			}
		}
	}
	nodes := w.byNode(bs)
	for _, ga := range w.byNode(as) {
		for _, gb := range nodes {
			if a, b, ok := different(ga, gb); ok {
				try(a, b)
			}
		}
	}
	return pair, best, found
}

// byNode answers the live records by what they say, in their order, at most MaxSpeakers lists.
func (w *work) byNode(ids []RecordID) [][]RecordID {
	at := map[NodeID]int{}
	var out [][]RecordID
	for _, id := range ids {
		if f := w.feature(id); f != nil {
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
func different(as, bs []RecordID) (a, b RecordID, ok bool) {
	for _, a := range as {
		for _, b := range bs[:min(2, len(bs))] {
			if a != b {
				return a, b, true
			}
		}
	}
	return a, b, false
}

func (w *work) explain(ctx context.Context, p Pair, e Edge) (*Explanation, error) {
	comps, err := w.tx.Components(ctx, []RecordID{p.A, p.B})
	if err != nil {
		return nil, err
	}
	fa, fb := w.feature(p.A), w.feature(p.B)
	out := &Explanation{
		A: w.member(p.A), B: w.member(p.B), Weight: e.Weight, Threshold: e.Threshold, Rule: e.Rule,
		Steps: w.r.matcher.Explain(fa, fb),
	}
	for _, c := range comps {
		for _, m := range c.Members {
			if m.Record == p.A {
				out.CustomerA = m.Customer
			}
			if m.Record == p.B {
				out.CustomerB = m.Customer
			}
		}
		for _, d := range c.Decisions {
			if d.Pair == p && !d.Undone && (out.Decision == nil || d.Kind == NotSame) {
				out.Decision = &d
			}
		}
	}
	out.Same = out.CustomerA == out.CustomerB
	if out.Same {
		if err := w.way(ctx, out, comps, p); err != nil {
			return nil, err
		}
	}
	if out.Keys, err = w.sharedKeys(ctx, fa, fb); err != nil {
		return nil, err
	}
	out.Verdict = out.sentence()
	return out, nil
}

func (w *work) member(id RecordID) Member {
	rec := w.record(id)
	return Member{Record: id, Source: rec.Source, Key: rec.Key}
}

// way finds the shortest chain of joining edges within the customer, if the two are not joined directly. It goes from node to node,
// and shows one record of each.
func (w *work) way(ctx context.Context, x *Explanation, comps []*Component, p Pair) error {
	next := map[NodeID][]NodeID{}
	shown := map[NodeID]RecordID{}
	for _, c := range comps {
		for _, m := range c.Members {
			if _, known := shown[m.Node]; m.Live && m.Customer == x.CustomerA && !known {
				shown[m.Node] = m.Record
			}
		}
		for _, e := range c.Edges {
			_, a := shown[e.A]
			_, b := shown[e.B]
			if a && b && (e.Weight >= e.Threshold || e.Rule == MustLink) {
				next[e.A], next[e.B] = append(next[e.A], e.B), append(next[e.B], e.A)
			}
		}
	}
	first, last := w.feature(p.A).Node, w.feature(p.B).Node
	from := map[NodeID]NodeID{first: first}
	for queue := []NodeID{first}; len(queue) > 0; queue = queue[1:] {
		for _, n := range next[queue[0]] {
			if _, seen := from[n]; !seen {
				from[n] = queue[0]
				queue = append(queue, n)
			}
		}
	}
	var between []RecordID
	if _, reached := from[last]; reached && first != last {
		for n := from[last]; n != first; n = from[n] {
			between = append(between, shown[n])
		}
	}
	slices.Reverse(between)
	if err := w.load(ctx, between); err != nil {
		return err
	}
	for _, id := range between {
		x.Path = append(x.Path, w.member(id))
	}
	return nil
}

func (w *work) sharedKeys(ctx context.Context, a, b *Features) ([]SharedKey, error) {
	kb := w.r.matcher.Keys(b)
	keys := slices.DeleteFunc(slices.Clone(w.r.matcher.Keys(a)), func(k Key) bool { return !slices.Contains(kb, k) })
	holders, err := w.tx.Holders(ctx, keys, MaxHolders+1)
	if err != nil {
		return nil, err
	}
	out := make([]SharedKey, len(keys))
	for i, k := range keys {
		held := func(n NodeID) bool {
			return slices.ContainsFunc(holders[i], func(h Holder) bool { return h.Node == n })
		}
		out[i] = SharedKey{Type: k.Type, Generic: len(holders[i]) > w.limit(k.Type) || !held(a.Node) || !held(b.Node)}
	}
	return out, nil
}

// sentence says the verdict in words, without personal data.
func (x *Explanation) sentence() string {
	relation := fmt.Sprintf("%.1f bits of evidence, %.1f needed", x.Weight.Float(), x.Threshold.Float())
	switch {
	case x.Decision != nil && x.Decision.Kind == NotSame:
		return "kept apart by a decision of " + x.Decision.Author
	case x.Decision != nil && x.Same:
		return "joined by a decision of " + x.Decision.Author
	case x.Rule == CannotLink && !x.Same:
		return "kept apart: they hold different verified identifiers of a kind of which a party has one"
	case x.Rule == MustLink && x.Same:
		return "joined: they share a strong identifier, or their source joined them"
	case x.Same && len(x.Path) > 0:
		return fmt.Sprintf("one customer by way of %d other records; between these two alone %s", len(x.Path), relation)
	case x.Same:
		return "joined: " + relation
	case x.Weight >= x.Threshold && !slices.ContainsFunc(x.Keys, func(k SharedKey) bool { return !k.Generic }):
		return "not joined, although there is " + relation + ": all that they share is held by too many to propose anybody"
	case x.Weight >= x.Threshold:
		return "not joined, although there is " + relation + ": other records of the two customers speak against it"
	default:
		return "not joined: " + relation
	}
}

// standing tells whether a decision of that kind stands between its two records.
func standing(ctx context.Context, v View, d Decision) (bool, error) {
	comps, err := v.Components(ctx, []RecordID{d.A, d.B})
	for _, c := range comps {
		if slices.ContainsFunc(c.Decisions, func(o Decision) bool { return o.Pair == d.Pair && o.Kind == d.Kind && !o.Undone }) {
			return true, err
		}
	}
	return false, err
}
