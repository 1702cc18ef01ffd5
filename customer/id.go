package customer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/onefold/onefold/customer/id"
	"github.com/onefold/onefold/event"
)

// Ids of records, customers, interactions, nodes and pairs that wait for people; customer/id says how they are made.
type (
	// RecordID names what one source says about one party.
	RecordID = id.RecordID
	// CustomerID names a customer master for ever.
	CustomerID = id.CustomerID
	// InteractionID names an interaction.
	InteractionID = id.InteractionID
	// NodeID names what records say, whoever says it.
	NodeID = id.NodeID
	// ReviewID names a pair that may be one, by its customers.
	ReviewID = id.ReviewID
	// IDs makes ids from names with the installation's key.
	IDs = id.IDs
)

// NewIDs returns the ids of the installation whose secret key is given; at least 16 bytes.
func NewIDs(key []byte) (IDs, error) { return id.NewIDs(key) }

// NewReviewID puts two customer ids in order.
func NewReviewID(a, b CustomerID) ReviewID { return id.NewReviewID(a, b) }

// Keys answers the keys of all parties that the message names, as far as they are known.
func (m *Mapped) Keys() []string {
	var out []string
	for i := range m.Changes {
		out = append(out, m.Changes[i].keys()...)
	}
	for i := range m.Refusals {
		out = append(out, m.Refusals[i].Keys...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// keys answers the keys of the parties that the change names.
func (c *Change) keys() []string {
	out := append([]string{c.Key}, c.Others...)
	for i := range c.Interactions {
		for _, p := range c.Interactions[i].Parties {
			out = append(out, p.Key)
		}
	}
	return slices.DeleteFunc(out, func(key string) bool { return key == "" })
}

// Pair is two records, the smaller id first.
type Pair struct {
	A RecordID `json:"a"`
	B RecordID `json:"b"`
}

// NewPair puts two record ids in order.
func NewPair(a, b RecordID) Pair {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return Pair{A: a, B: b}
}

// NodePair is two nodes, the smaller id first.
type NodePair struct{ A, B NodeID }

// NewNodePair puts two node ids in order.
func NewNodePair(a, b NodeID) NodePair {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return NodePair{A: a, B: b}
}

func compareNodes(a, b NodeID) int { return bytes.Compare(a[:], b[:]) }

func compareKeys(a, b Key) int {
	return cmp.Or(strings.Compare(a.Type, b.Type), cmp.Compare(a.Hash, b.Hash))
}

// identifierKey passes over case, blanks and the marks that people put between digits.
func identifierKey(value string) Key {
	h := fnv.New64a()
	h.Write([]byte(strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\u00a0', '-', '.', '/':
			return -1
		}
		return unicode.ToLower(r)
	}, value)))
	return Key{Type: keyIdentifier, Hash: h.Sum64()}
}

// VersionKind says what a source's version is made of, and so how two of them compare.
type VersionKind string

// The kinds of version.
const (
	ByTime     VersionKind = "time"     // an instant; Value is RFC 3339 in UTC with nine decimals
	BySequence VersionKind = "sequence" // a growing number of any size; Value is its decimal digits
	ByPosition VersionKind = "position" // where the message stood on its topic, for sources that have none
)

// SourceVersion is a source's own word on which of two statements is the newer one. Two of them compare
// within one kind and scope only.
type SourceVersion struct {
	Kind  VersionKind `json:"kind"`
	Value string      `json:"value"`
	Scope string      `json:"scope,omitempty"`
}

// Version orders the changes of one record: source version, then the revision of the mapping that read it, then the
// hash of what it says. Two changes of the same version say the same.
type Version struct {
	Source  SourceVersion `json:"source"`
	Mapping int64         `json:"mapping,omitempty"`
	Hash    uint64        `json:"hash,omitempty,string"`
}

// MaxVersionDigits limits a sequence version (invariant 10).
const MaxVersionDigits = 100

const versionLayout = "2006-01-02T15:04:05.000000000Z"

// TimeVersion makes a version of an instant. Seal refuses one outside the years 1 to 9999: as a text it would not be in order.
func TimeVersion(t time.Time, scope string) SourceVersion {
	return SourceVersion{Kind: ByTime, Scope: scope, Value: t.UTC().Format(versionLayout)}
}

// SequenceVersion makes a version of a growing, non-negative whole number written in decimal digits.
func SequenceVersion(digits, scope string) (SourceVersion, error) {
	trimmed := strings.TrimLeft(digits, "0")
	if digits == "" || len(trimmed) > MaxVersionDigits || strings.Trim(trimmed, "0123456789") != "" {
		return SourceVersion{}, errors.New(badSequence)
	}
	return SourceVersion{Kind: BySequence, Scope: scope, Value: trimmed}, nil
}

const badSequence = "a sequence version is a non-negative whole number of at most 100 digits"

// check answers why a version cannot be put in order with others, nothing if it can.
func (v SourceVersion) check() string {
	if len(v.Scope) > MaxWord || !clean(v.Scope) {
		return fmt.Sprintf("the scope of a version is at most %d bytes of UTF-8 without NUL: name it in the mapping", MaxWord)
	}
	switch v.Kind {
	case ByTime:
		if t, err := time.Parse(versionLayout, v.Value); err != nil || !event.TimeFits(t) || t.Format(versionLayout) != v.Value {
			return "a time version is RFC 3339 in UTC with nine decimals, within the years 1 to 9999: use TimeVersion, or mend it at the source"
		}
	case BySequence:
		if w, err := SequenceVersion("0"+v.Value, v.Scope); err != nil || w != v {
			return badSequence + " without leading zeros: use SequenceVersion"
		}
	case ByPosition:
		if v.Value == "" || len(v.Value) > MaxKey || !clean(v.Value) {
			return fmt.Sprintf("a position version is 1 to %d bytes of UTF-8 without NUL: leave the version out, the message's place is it", MaxKey)
		}
	default:
		return "there is no such kind of version: use time, sequence, or none for the message's place"
	}
	return ""
}

// PositionVersion makes a version of the place of a message.
func PositionVersion(m *event.Message) SourceVersion {
	return SourceVersion{Kind: ByPosition, Value: fmt.Sprintf("%s/%010d/%020d", m.TopicID, m.Partition, m.Offset)}
}

// scope names the set of versions that this one compares with.
func (v SourceVersion) scope() string { return string(v.Kind) + ":" + v.Scope }

// IsZero tells the version that is older than every other: "never".
func (v Version) IsZero() bool { return v.Source.Kind == "" }

// Compare orders two versions of one scope; between scopes the answer is fixed but means nothing. The zero version comes first.
func (v Version) Compare(w Version) int {
	if v.IsZero() || w.IsZero() {
		return cmp.Compare(b2i(!v.IsZero()), b2i(!w.IsZero()))
	}
	return cmp.Or(
		cmp.Compare(v.Source.scope(), w.Source.scope()),
		compareValue(v.Source, w.Source),
		cmp.Compare(v.Mapping, w.Mapping),
		cmp.Compare(v.Hash, w.Hash),
	)
}

func compareValue(a, b SourceVersion) int {
	if a.Kind == BySequence {
		return cmp.Or(cmp.Compare(len(a.Value), len(b.Value)), cmp.Compare(a.Value, b.Value))
	}
	return cmp.Compare(a.Value, b.Value)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// last answers the greatest version of the same source version. Not later than an erasure is meant by the source's version: a mended
// mapping must not bring back what was erased.
func (v Version) last() Version {
	v.Mapping, v.Hash = math.MaxInt64, math.MaxUint64
	return v
}

// Positionless answers the source's own version; where it has none but the position of the message, nothing.
func (v Version) Positionless() SourceVersion {
	if v.Source.Kind == ByPosition {
		return SourceVersion{Kind: ByPosition}
	}
	return v.Source
}

func later(a, b Version) Version {
	if a.Compare(b) >= 0 {
		return a
	}
	return b
}

// erased answers the erasure of a scope, zero if there was none.
func (r *Record) erased(scope string) Version {
	if i, found := r.find(scope); found {
		return r.Scopes[i].Erased
	}
	return Version{}
}

// Pieces in which a question is answered: nodes of a key read at first, and nodes whose records are read at once.
const (
	heldAtFirst    = 1_000
	examinedAtOnce = 200
)

// holding answers the nodes that hold a key of every group, and whether these are all. A group of which there are more than are read
// says nothing, if there is another; if there is none, more are read.
func (q *question) holding(ctx context.Context, v View) (held []Holder, whole bool, err error) {
	var keys []Key
	for _, group := range q.groups {
		for _, k := range group {
			keys = append(keys, k, Key{Type: quiet + k.Type, Hash: k.Hash}) // too common to propose anybody, but kept to be found
		}
	}
	for _, limit := range []int{heldAtFirst, MaxHeld} {
		found, err := v.Holders(ctx, keys, limit+1)
		if err != nil {
			return nil, false, err
		}
		for i, group := range q.groups {
			of, all := found[:2*len(group)], true
			found = found[2*len(group):]
			for j, hs := range of {
				all = all && len(hs) <= limit
				of[j] = hs[:min(len(hs), limit)]
			}
			switch union := distinctHolders(slices.Concat(of...)); {
			case i == 0 || all && !whole:
				held, whole = union, all
			case all:
				held = slices.DeleteFunc(held, func(h Holder) bool {
					_, both := slices.BinarySearchFunc(union, h, compareHolders)
					return !both
				})
			}
		}
		if whole {
			break
		}
	}
	return held, whole, nil
}

func compareHolders(a, b Holder) int { return compareNodes(a.Node, b.Node) }

func distinctHolders(hs []Holder) []Holder {
	slices.SortFunc(hs, compareHolders)
	return slices.CompactFunc(hs, func(a, b Holder) bool { return a.Node == b.Node })
}

func distinct(ids []RecordID) []RecordID {
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}

func compareIDs(a, b RecordID) int { return bytes.Compare(a[:], b[:]) }

// leave notes which customers of the components that were divided anew may be one, for people to decide. It depends on what the division
// depends on, so that a decision, a merge, an update or an erasure takes away what it has settled.
func (w *work) leave(ctx context.Context, world *world) error {
	roots, gone := map[RecordID]bool{}, map[RecordID]bool{}
	for _, m := range world.members {
		roots[m.Component] = true
	}
	known := map[RecordID]bool{}
	for _, was := range world.stored {
		known[was.Component] = true
		gone[was.Component] = gone[was.Component] || !roots[was.Component]
	}
	of := world.byNode()
	for _, root := range slices.SortedFunc(maps.Keys(world.anew), compareIDs) {
		set := PossibleSet{Component: root, Pairs: w.possible(world, of, root)}
		if len(set.Pairs) > 0 {
			if err := w.hanging(ctx, world, set); err != nil {
				return err
			}
		}
		if len(set.Pairs) > 0 || known[root] {
			w.delta.Possible = append(w.delta.Possible, set)
		}
	}
	for _, root := range slices.SortedFunc(maps.Keys(gone), compareIDs) {
		if gone[root] && !root.IsZero() {
			w.delta.Possible = append(w.delta.Possible, PossibleSet{Component: root})
		}
	}
	return nil
}

// possible answers the pairs of customers of a component between which evidence stands, and neither a decision nor a rule: those that come
// closest first.
func (w *work) possible(world *world, of map[NodeID][]RecordID, root RecordID) []Possible {
	best, settled := map[ReviewID]Possible{}, map[ReviewID]bool{}
	for _, d := range world.decisions {
		if a, b := world.members[d.A], world.members[d.B]; d.Kind == NotSame && !d.Undone && a != nil && b != nil && a.Live && b.Live {
			settled[NewReviewID(a.Customer, b.Customer)] = true
		}
	}
	for _, e := range world.within[root] {
		for _, a := range world.each(of[e.A]) {
			for _, b := range world.each(of[e.B]) {
				id := NewReviewID(a.Customer, b.Customer)
				p := Possible{ID: id, A: a, B: b, Weight: e.Weight, Threshold: e.Threshold, Since: w.now, State: Waiting}
				if p.A.Customer != id.A {
					p.A, p.B = b, a
				}
				if known, twice := best[id]; id.A != id.B && (!twice || closer(&p, &known) < 0) {
					best[id] = p
				}
				settled[id] = settled[id] || e.Rule == CannotLink
			}
		}
	}
	var out []Possible
	for id, p := range best {
		if !settled[id] {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Possible) int { return closer(&a, &b) })
	return out[:min(len(out), MaxPossible)]
}

// closer puts first what is nearer to joining.
func closer(a, b *Possible) int {
	return cmp.Or(cmp.Compare(b.Weight-b.Threshold, a.Weight-a.Threshold), compareNames(a.ID.A, b.ID.A), compareNames(a.ID.B, b.ID.B),
		compareIDs(a.A.Record, b.A.Record), compareIDs(a.B.Record, b.B.Record))
}

// each answers the first record of each customer that has some of the records.
func (world *world) each(ids []RecordID) (out []Side) {
	for _, id := range ids {
		c := world.members[id].Customer
		if !slices.ContainsFunc(out, func(s Side) bool { return s.Customer == c }) {
			out = append(out, Side{Member: Member{Record: id}, Customer: c})
		}
	}
	return out
}
