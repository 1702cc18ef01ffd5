package customer

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Keys that the Registry itself keeps beside the matcher's. They propose nobody.
const (
	keyIdentifier = "find" // value of an identifier, whatever its type and issuer
	keyLink       = "link" // record that this one's source joined with it
)

// maxHolders bounds how many records of a key are read; a key with more is generic whatever its cap.
const maxHolders = 100

// identifierKey passes over case, blanks and the marks that people put between digits.
func identifierKey(value string) Key {
	h := fnv.New64a()
	h.Write([]byte(strings.ToLower(strings.NewReplacer(" ", "", "\u00a0", "", "-", "", ".", "", "/", "").Replace(value))))
	return Key{Type: keyIdentifier, Hash: h.Sum64()}
}

func linkKey(to RecordID) Key { return Key{Type: keyLink, Hash: binary.BigEndian.Uint64(to[:8])} }

// graph is the part of the world that a transaction's changed records can reach: who holds the keys they hold or held.
type graph struct {
	changed map[RecordID]bool       // features, links or liveness changed
	old     map[Key][]Holder        // holders as stored, at most limit
	now     map[Key]map[Holder]bool // and after this transaction
	generic map[Key]bool            // of those keys: does it propose nobody now
	pairs   map[Pair]bool           // to be scored
	doubt   map[Pair]bool           // edges between unchanged records that may have lost the key they stood on
}

// resolve brings matching up to date with the records that changed: keys, edges, components, customers (invariant 4: what comes
// out depends on the live records, the decisions and the model only).
func (w *work) resolve(ctx context.Context) error {
	g := &graph{changed: map[RecordID]bool{}, pairs: map[Pair]bool{}, doubt: map[Pair]bool{}}
	if err := w.reindex(ctx, g); err != nil {
		return err
	}
	if err := w.question(ctx, g, w.propose(g)); err != nil {
		return err
	}
	edges, err := w.score(ctx, g)
	if err != nil {
		return err
	}
	return w.recluster(ctx, g, edges)
}

// feature answers the features of a record as it is after this transaction; nil if it is not live.
func (w *work) feature(id RecordID) *Features {
	f, known := w.features[id]
	if !known {
		if rec := w.record(id); rec != nil && rec.Live() {
			f = w.r.matcher.Standardise(rec)
		}
		w.features[id] = f
	}
	return f
}

// keys answers all keys of a live record, none of one that is not.
func (w *work) keys(f *Features) []Key {
	if f == nil {
		return nil
	}
	keys := slices.Clone(w.r.matcher.Keys(f))
	for _, id := range f.Identifiers {
		keys = append(keys, identifierKey(id.Value))
	}
	for _, l := range f.Links {
		keys = append(keys, linkKey(l))
	}
	slices.SortFunc(keys, compareKeys)
	return slices.Compact(keys)
}

func compareKeys(a, b Key) int {
	return cmp.Or(strings.Compare(a.Type, b.Type), cmp.Compare(a.Hash, b.Hash))
}

// reindex finds the records whose features changed, writes their keys, and reads who else holds those keys.
func (w *work) reindex(ctx context.Context, g *graph) error {
	joins, leaves := map[Key][]Holder{}, map[Key][]RecordID{}
	for _, id := range w.touched {
		var was *Features
		if old := w.before[id]; old != nil && old.Live() {
			was = w.r.matcher.Standardise(old)
		}
		is := w.feature(id)
		if was != nil && is != nil && was.Node == is.Node && slices.Equal(was.Links, is.Links) || was == nil && is == nil {
			continue
		}
		g.changed[id] = true
		set := KeySet{Record: id, Keys: w.keys(is)}
		for _, k := range w.keys(was) {
			leaves[k] = append(leaves[k], id)
		}
		if is != nil {
			set.Node = is.Node
			joins[linkKey(id)] = append(joins[linkKey(id)], []Holder{}...) // who links to it is asked for, too
		}
		for _, k := range set.Keys {
			joins[k] = append(joins[k], Holder{Record: id, Node: set.Node})
		}
		w.delta.Keys = append(w.delta.Keys, set)
	}
	return w.holders(ctx, g, joins, leaves)
}

// holders reads who holds the keys, and computes who will.
func (w *work) holders(ctx context.Context, g *graph, joins map[Key][]Holder, leaves map[Key][]RecordID) error {
	var capped, free []Key
	add := func(k Key) {
		if k.Type != keyIdentifier {
			if k.Type == keyLink || w.r.matcher.Cap(k.Type) == 0 {
				free = append(free, k)
			} else {
				capped = append(capped, k)
			}
		}
	}
	for k := range joins {
		add(k)
	}
	for k := range leaves {
		if _, both := joins[k]; !both {
			add(k)
		}
	}
	most := 0 // leavers of one key: they may hide among the holders that are read
	for _, ids := range leaves {
		most = max(most, len(ids))
	}
	slices.SortFunc(capped, compareKeys)
	slices.SortFunc(free, compareKeys)
	g.old, g.now = map[Key][]Holder{}, map[Key]map[Holder]bool{}
	if err := w.read(ctx, g, capped, maxHolders+most+1); err != nil {
		return err
	}
	if err := w.read(ctx, g, free, maxFree); err != nil {
		return err
	}
	for k, old := range g.old {
		now := make(map[Holder]bool, len(old)+1)
		for _, h := range old {
			now[h] = true
		}
		for _, h := range old {
			if g.changed[h.Record] {
				delete(now, h)
			}
		}
		for _, h := range joins[k] {
			now[h] = true
		}
		g.now[k] = now
	}
	return nil
}

// maxFree bounds the holders of a key without a cap: the limit of a component.
const maxFree = 2_000

func (w *work) read(ctx context.Context, g *graph, keys []Key, limit int) error {
	if len(keys) == 0 {
		return nil
	}
	found, err := w.tx.Holders(ctx, keys, limit)
	for i, hs := range found {
		g.old[keys[i]] = hs
	}
	return err
}

// generic tells whether holders make a key propose nobody: more distinct ones than its cap. Records of equal features
// count once. It depends on who holds the key now, never on who came first.
func (w *work) generic(k Key, holders iter.Seq[Holder], count int) bool {
	limit := w.r.matcher.Cap(k.Type)
	if limit == 0 || count <= limit {
		return false
	}
	nodes := map[uint64]bool{}
	for h := range holders {
		nodes[h.Node] = true
	}
	return count > maxHolders || len(nodes) > limit
}

func (w *work) genericOld(k Key, hs []Holder) bool { return w.generic(k, slices.Values(hs), len(hs)) }

func (w *work) genericNow(k Key, hs map[Holder]bool) bool {
	return w.generic(k, maps.Keys(hs), len(hs))
}

// propose lists the pairs to score: each changed record with those that it shares a speaking key with, and, where a key began to
// speak, all its pairs. It answers the holders of the keys that fell silent: what they stood on must be looked at again.
func (w *work) propose(g *graph) (silenced map[RecordID][]Key) {
	g.generic = map[Key]bool{}
	silenced = map[RecordID][]Key{}
	for k, now := range g.now {
		if k.Type == keyLink {
			w.proposeLinks(g, k, now)
			continue
		}
		was, is := w.genericOld(k, g.old[k]), w.genericNow(k, now)
		g.generic[k] = is
		switch {
		case is && !was:
			for _, h := range g.old[k] {
				silenced[h.Record] = append(silenced[h.Record], k)
			}
		case was && !is:
			eachPair(now, func(p Pair) { g.pairs[p] = true })
		case !is:
			for a := range now {
				if g.changed[a.Record] {
					for b := range now {
						if a.Record != b.Record {
							g.pairs[NewPair(a.Record, b.Record)] = true
						}
					}
				}
			}
		}
	}
	for id := range g.changed {
		if f := w.feature(id); f != nil {
			for _, l := range f.Links {
				g.pairs[NewPair(id, l)] = true
			}
		}
	}
	return silenced
}

// question puts the edges in doubt that may have stood on keys which fell silent.
func (w *work) question(ctx context.Context, g *graph, silenced map[RecordID][]Key) error {
	if len(silenced) == 0 {
		return nil
	}
	comps, err := w.tx.Components(ctx, slices.SortedFunc(maps.Keys(silenced), compareIDs))
	if err != nil {
		return err
	}
	for _, c := range comps {
		for _, e := range c.Edges {
			if slices.ContainsFunc(silenced[e.A], func(k Key) bool { return slices.Contains(silenced[e.B], k) }) {
				g.doubt[e.Pair] = true
			}
		}
	}
	return nil
}

// proposeLinks proposes a changed record to those that link to it.
func (w *work) proposeLinks(g *graph, k Key, now map[Holder]bool) {
	for id := range g.changed {
		if linkKey(id) == k {
			for h := range now {
				if h.Record != id {
					g.pairs[NewPair(id, h.Record)] = true
				}
			}
		}
	}
}

func eachPair(hs map[Holder]bool, fn func(Pair)) {
	for a := range hs {
		for b := range hs {
			if slices.Compare(a.Record[:], b.Record[:]) < 0 {
				fn(Pair{A: a.Record, B: b.Record})
			}
		}
	}
}

// score answers the edges between the proposed pairs; pairs in doubt lose theirs unless another key still speaks for them.
func (w *work) score(ctx context.Context, g *graph) ([]Edge, error) {
	var ids []RecordID
	for p := range g.pairs {
		ids = append(ids, p.A, p.B)
	}
	for p := range g.doubt {
		ids = append(ids, p.A, p.B)
	}
	if err := w.load(ctx, ids); err != nil {
		return nil, err
	}
	if err := w.settle(ctx, g); err != nil {
		return nil, err
	}
	var edges []Edge
	for p := range g.pairs {
		a, b := w.feature(p.A), w.feature(p.B)
		if a == nil || b == nil {
			continue
		}
		w.out.Candidates++
		if e, keep := w.r.matcher.Score(a, b); keep {
			edges = append(edges, e)
		}
	}
	slices.SortFunc(edges, func(a, b Edge) int { return comparePairs(a.Pair, b.Pair) })
	return edges, nil
}

// settle takes a pair out of doubt if the two share another key that speaks, or are linked.
func (w *work) settle(ctx context.Context, g *graph) error {
	shared := map[Pair][]Key{}
	ask := map[Key]bool{}
	for p := range g.doubt {
		a, b := w.feature(p.A), w.feature(p.B)
		if g.pairs[p] || a == nil || b == nil || slices.Contains(a.Links, p.B) || slices.Contains(b.Links, p.A) {
			delete(g.doubt, p)
			continue
		}
		kb := w.keys(b)
		for _, k := range w.keys(a) {
			if _, found := slices.BinarySearchFunc(kb, k, compareKeys); found && k.Type != keyIdentifier && k.Type != keyLink {
				shared[p] = append(shared[p], k)
				ask[k] = g.now[k] == nil
			}
		}
	}
	var keys []Key
	for k, unknown := range ask {
		if unknown {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareKeys)
	if err := w.read(ctx, g, keys, maxHolders+1); err != nil {
		return err
	}
	for p, ks := range shared {
		if slices.ContainsFunc(ks, func(k Key) bool {
			if generic, known := g.generic[k]; known {
				return !generic
			}
			return !w.genericOld(k, g.old[k])
		}) {
			delete(g.doubt, p)
		}
	}
	return nil
}

func comparePairs(p, q Pair) int { return cmp.Or(compareIDs(p.A, q.A), compareIDs(p.B, q.B)) }
