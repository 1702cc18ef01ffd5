package customer

import (
	"context"
	"maps"
	"slices"
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

// Evidence is what two records say about being one party.
type Evidence struct {
	Model     string `json:"model"`     // version of the model that weighed it
	Steps     []Step `json:"steps"`     // their weights add up to Weight, exactly
	Weight    Weight `json:"weight"`    // in bits
	Threshold Weight `json:"threshold"` // what this pair must reach to join by itself
	Possible  Weight `json:"possible"`  // from here on a person should look at it
	// Prior is the part of the threshold that stands for how unlikely it is that any two records are one party: the more records there
	// are, the more agree by chance.
	Prior Weight `json:"prior"`
	Rule  Rule   `json:"rule,omitempty"`
}

// Step is one comparison of an explanation, or one correction of their sum.
type Step struct {
	Comparison  string      `json:"comparison"` // name birthDate email phone place identifier gender birthPlace jobTitle household alone rule
	Level       string      `json:"level"`
	Weight      Weight      `json:"weight"`
	Detail      string      `json:"detail,omitempty"`      // may hold personal data
	Frequencies []Frequency `json:"frequencies,omitempty"` // of the values, where the weight depends on them
}

// Frequency says how common a value is under the model: one in so many records has it.
type Frequency struct {
	Of    string `json:"of"`
	OneIn int64  `json:"oneIn"`
}

// Side is one of two records that are compared, and where it is.
type Side struct {
	Member
	Customer CustomerID `json:"customer"`
}

// Explanation tells why two records are, or are not, the same party.
type Explanation struct {
	A       Side   `json:"a"`
	B       Side   `json:"b"`
	Same    bool   `json:"same"`    // are they one customer now
	Verdict string `json:"verdict"` // a sentence
	Evidence
	Decision *Decision   `json:"decision,omitempty"`
	Keys     []SharedKey `json:"keys"`           // what brought them together
	Path     []Member    `json:"path,omitempty"` // one customer, but not directly: the records that lie between
	Apart    []Obstacle  `json:"apart,omitempty"`
}

// SharedKey is a key that two records share.
type SharedKey struct {
	Type    string `json:"type"`
	Generic bool   `json:"generic"` // over its cap, or held by a node that is too common: it proposes nothing
}

// Obstacle is one thing that keeps two parties apart.
type Obstacle struct {
	Kind string `json:"kind"` // decision rule keys weight mean twins family settled limit
	Text string `json:"text"` // a sentence, without personal data
	// Missing is how many bits more it takes: of weight to the threshold, of mean to the margin.
	Missing Weight `json:"missing,omitempty"`
	Union   *Union `json:"union,omitempty"` // the step of clustering that was refused
}

// Union is one step of clustering: two groups of records that were joined, or could have been and were not.
type Union struct {
	Step  int    `json:"step,omitempty"` // number of one that was joined, from 1
	By    By     `json:"by"`
	A     Member `json:"a"`               // the deciding pair: one of the left group
	B     Member `json:"b"`               // and one of the right
	Alike int    `json:"alike,omitempty"` // of ByAlike: how many records say the same
	Left  Group  `json:"left"`
	Right Group  `json:"right"`
	// Of the deciding pair.
	Weight    Weight `json:"weight"`
	Threshold Weight `json:"threshold"`
	Rule      Rule   `json:"rule,omitempty"`
	// The guard: the votes of all pairs across the two groups, added up, must reach the margin times their number. Records that say the
	// same vote once; a person's decision and a rule ask nobody.
	Sum     Sum     `json:"sum"`
	Pairs   int     `json:"pairs"`
	Margin  Weight  `json:"margin"`
	Refused Refused `json:"refused,omitempty"`
}

// Group is one side of a union.
type Group struct {
	Step    int `json:"step,omitempty"` // the union that made it; 0 for a record, or for several that say the same
	Records int `json:"records"`
}

// By is what a union comes by, in the order in which a clustering asks.
type By string

// What joins records.
const (
	ByAlike        By = "alike"        // they say the same, and that is enough
	ByDecision     By = "decision"     // a person's word
	ByRule         By = "rule"         // must-link: a strong identifier, or their source
	ByEvidence     By = "evidence"     // weight over the threshold, and the guard
	ByContradicted By = "contradicted" // the same, though one personal trait speaks against
)

// Refused is why a union did not come about.
type Refused string

// What stands between two groups.
const (
	RefusedByDecision Refused = "decision" // a person has parted two of their records
	RefusedByRule     Refused = "rule"     // cannot-link: two of them hold different exclusive numbers
	RefusedByMean     Refused = "mean"     // the guard: the mean of their votes is below the margin
	RefusedAsSettled  Refused = "settled"  // of a contradicted pair: both sides were said more than once, so it is no slip
	RefusedAsTwins    Refused = "twins"    // of a contradicted pair: the given names differ, and no e-mail of one's own speaks for one person
	RefusedAsFamily   Refused = "family"   // of a contradicted pair: others live there, so it may be twins
	RefusedByLimit    Refused = "limit"    // the component is over its limit and has lost its weakest edges
)

// Making tells how a customer came to be of those records: the steps of the clustering, made again.
type Making struct {
	Asked    CustomerID `json:"asked"`
	Customer CustomerID `json:"customer"`
	Members  []Member   `json:"members"` // live, by source and key
	Model    string     `json:"model"`
	Steps    []Union    `json:"steps"` // that made it, in order; with those of ByAlike first
	Apart    []Union    `json:"apart"` // refused between it and others, in order
	Cut      bool       `json:"cut"`   // there are more refused than are shown
	// Current tells that the steps lead to what stands in the store. They do, unless the program or the model is another one since.
	Current bool `json:"current"`
}

// Lineage tells why a customer has its values at a path: each with the claim that won, the rule that decided, and the claims that lost.
type Lineage struct {
	Asked      CustomerID `json:"asked"`
	Customer   CustomerID `json:"customer"`
	Version    int64      `json:"version"`
	Attributes []Reasoned `json:"attributes"`
}

// Reasoned is an attribute, and in words why it won.
type Reasoned struct {
	Attribute
	Reason string `json:"reason"`
}

// Supposition tells what would come of a record that nobody has sent: nothing of it is kept.
type Supposition struct {
	Outcome   string     `json:"outcome"`
	Reason    string     `json:"reason,omitempty"`
	Records   []Side     `json:"records"`   // that were supposed, and the customer of each
	Customers []Supposed `json:"customers"` // that would be new or another than now
}

// Suppose works out what Absorb would make of a batch, and writes nothing: what it would change is answered, with what the messages
// would come to. The view is one of this registry's store.
func (r *Registry) Suppose(ctx context.Context, v View, b Batch) (*Absorbed, *Delta, error) {
	w := newWork(r, v, b.Now)
	if err := w.absorb(ctx, b.Messages); err != nil {
		return nil, nil, err
	}
	return &w.out, &w.delta, nil
}

// Supposed is one customer as it would be.
type Supposed struct {
	*Customer
	New    bool         `json:"new"`
	Merges []CustomerID `json:"merges,omitempty"` // customers that would become its aliases
	Values []Difference `json:"values,omitempty"` // that would be others than now
}

// Difference is a value of a customer, now and then.
type Difference struct {
	Path   Path   `json:"path"`
	Before *Value `json:"before,omitempty"` // none where there is no such value now
	After  *Value `json:"after,omitempty"`  // none where there would be none
}

// rematch scores all pairs of some nodes anew, and clusters what they are in. In the first round it only sees to it that their keys are
// those of the matcher: which nodes of many records speak depends on it.
func (w *work) rematch(ctx context.Context, nodes []NodeID, indexed bool) error {
	held, err := w.tx.Nodes(ctx, nodes, MaxHeld)
	if err != nil {
		return err
	}
	g := newGraph()
	if err := w.load(ctx, slices.Concat(held...)); err != nil {
		return err
	}
	ours, holding := map[NodeID]bool{}, map[Key][]NodeID{}
	for i, n := range nodes {
		if ours[n] = true; len(held[i]) == 0 {
			continue
		}
		g.sample[n], g.resident[n] = held[i][0], held[i][0]
		f := w.says(g, n)
		speaks := len(held[i]) <= MaxAlike || w.alike(f)
		switch {
		case !indexed && len(held[i]) > MaxAlike:
			w.delta.Keys = append(w.delta.Keys, w.keySet(n, f, speaks))
		case indexed && speaks:
			for _, k := range w.r.matcher.Keys(f) {
				holding[k] = append(holding[k], n)
			}
		}
	}
	if !indexed {
		return nil
	}
	if err := w.gather(ctx, g.world, slices.Concat(held...)); err != nil {
		return err
	}
	for _, id := range slices.Concat(held...) {
		g.world.stir(id)
	}
	if err := w.read(ctx, g, slices.Collect(maps.Keys(holding)), 0); err != nil {
		return err
	}
	for k, some := range holding {
		if g.generic[k] = len(g.old[k]) > w.limit(k.Type); g.generic[k] {
			continue
		}
		for _, a := range some {
			for _, h := range g.old[k] {
				if h.Node != a {
					g.pairs[NewNodePair(a, h.Node)] = true
				}
			}
		}
	}
	edges, err := w.score(ctx, g)
	if err != nil {
		return err
	}
	for p := range g.world.edges { // what no key speaks for any more
		if ours[p.A] || ours[p.B] {
			g.doubt[p] = true
		}
	}
	return w.recluster(ctx, g, edges)
}

// keySet answers the keys of a node that has live records: all where it speaks, else those by which it is found.
func (w *work) keySet(n NodeID, f *Features, speaks bool) KeySet {
	set := KeySet{Node: n, Keys: w.keys(f)}
	if !speaks {
		for i, k := range set.Keys {
			if k.Type != keyIdentifier {
				set.Keys[i].Type = quiet + k.Type
			}
		}
		slices.SortFunc(set.Keys, compareKeys)
	}
	return set
}

// as answers a copy under the node that the store knows: an older program may have read the same record otherwise.
func (f *Features) as(n NodeID) *Features {
	c := *f
	c.Node = n
	return &c
}
