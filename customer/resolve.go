package customer

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// keyIdentifier is the type of the keys that the Registry itself keeps beside the matcher's: the value of an identifier, whatever its type
// and issuer. They propose nobody.
const keyIdentifier = "find"

// quiet marks the keys of a node that is too common to propose anybody: it is found by them, and no more.
const quiet = "~"

// Limits of what proposes candidates (invariant 10).
const (
	// MaxHolders is how many distinct nodes may hold a key that the matcher does not cap. An identifier that more hold proposes nobody.
	MaxHolders = 256
	// MaxAlike is how many live records may say the same, word for word, where that is not enough to take them for one party: a common
	// name and nothing else. A node of more proposes nobody.
	MaxAlike = 50
)

// graph is what a transaction changes of the nodes, and what the keys that these hold or held propose. A node is born when its first
// record comes to life, or when a common one has become rare again; it dies when its last record leaves, or when it has become too
// common.
type graph struct {
	world    *world
	features map[NodeID]*Features // of nodes, without links
	born     map[NodeID]bool
	died     map[NodeID]bool
	old      map[Key][]Holder        // holders as stored, a few more than the limit
	now      map[Key]map[NodeID]bool // and after this transaction
	generic  map[Key]bool            // of those keys: does it propose nobody now
	sample   map[NodeID]RecordID     // a record that says, or said, what the node says
	resident map[NodeID]RecordID     // one that the store knows under the node: leads to its component
	leavers  int                     // most that leave one node
	pairs    map[NodePair]bool       // to be scored
	doubt    map[NodePair]bool       // edges that may have lost the key they stood on
}

func newGraph() *graph {
	return &graph{
		world: newWorld(), features: map[NodeID]*Features{}, born: map[NodeID]bool{}, died: map[NodeID]bool{}, old: map[Key][]Holder{},
		generic: map[Key]bool{}, sample: map[NodeID]RecordID{}, resident: map[NodeID]RecordID{}, pairs: map[NodePair]bool{},
		doubt: map[NodePair]bool{},
	}
}

// resolve brings matching up to date with the records that changed: keys, edges, components, customers (invariant 4: what comes
// out depends on the live records, the decisions and the model only).
func (w *work) resolve(ctx context.Context) error {
	g := newGraph()
	if err := w.meet(ctx, g); err != nil {
		return err
	}
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

// meet reads where the touched records are, and those that a decision or a source's link puts beside them.
func (w *work) meet(ctx context.Context, g *graph) error {
	of := slices.Clone(w.touched)
	for _, id := range w.touched {
		of = append(of, w.after[id].links()...)
	}
	for _, d := range w.decisions {
		of = append(of, d.A, d.B)
	}
	return w.gather(ctx, g.world, of)
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

// says answers what a node says. Its sample record must have been loaded.
func (w *work) says(g *graph, n NodeID) *Features {
	f := g.features[n]
	if f == nil {
		id := g.sample[n]
		if f = w.feature(id); f == nil || f.Node != n { // as it was before this transaction
			f = w.r.matcher.Standardise(w.before[id])
		}
		f = f.as(n)
		f.Links = nil
		g.features[n] = f
	}
	return f
}

// alike tells whether records that say what f says are one party by that alone.
func (w *work) alike(f *Features) bool {
	e, _ := w.r.matcher.Score(f, f)
	return e.Joins()
}

// keys answers all keys of a node.
func (w *work) keys(f *Features) []Key {
	keys := slices.Clone(w.r.matcher.Keys(f))
	for _, id := range f.Identifiers {
		keys = append(keys, identifierKey(id.Value))
	}
	slices.SortFunc(keys, compareKeys)
	return slices.Compact(keys)
}

// reindex moves the touched records between nodes, finds the nodes that are born and that die by it, writes their keys, and reads who
// else holds those.
func (w *work) reindex(ctx context.Context, g *graph) error {
	joins, leaves := map[NodeID][]RecordID{}, map[NodeID][]RecordID{}
	for _, id := range w.touched {
		m, f := g.world.members[id], w.feature(id)
		was, is := m.says(), NodeID{}
		if f != nil {
			is = f.Node
		}
		if was == is && slices.Equal(w.before[id].links(), w.after[id].links()) {
			continue
		}
		g.world.stir(id)
		m.Node, m.Live = is, f != nil
		if was == is {
			continue
		}
		if !was.IsZero() {
			leaves[was] = append(leaves[was], id)
			g.sample[was] = id
		}
		if f != nil {
			joins[is] = append(joins[is], id)
		}
	}
	for n, ids := range joins {
		g.sample[n] = ids[0]
	}
	if err := w.census(ctx, g, joins, leaves); err != nil {
		return err
	}
	return w.holders(ctx, g)
}

// census counts the records of the nodes that some join or leave.
func (w *work) census(ctx context.Context, g *graph, joins, leaves map[NodeID][]RecordID) error {
	var nodes []NodeID
	for n, ids := range leaves {
		nodes, g.leavers = append(nodes, n), max(g.leavers, len(ids))
	}
	for n := range joins {
		if leaves[n] == nil {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, compareNodes)
	if len(nodes) == 0 {
		return nil
	}
	stored, err := w.tx.Nodes(ctx, nodes, MaxAlike+g.leavers+1)
	if err != nil {
		return err
	}
	var beside []RecordID // who is there already shows where the newcomers belong
	for i, n := range nodes {
		if len(stored[i]) > 0 && len(joins[n]) > 0 {
			beside = append(beside, stored[i][0])
		}
		w.count(g, n, len(stored[i]), len(stored[i])-len(leaves[n])+len(joins[n]))
	}
	return w.gather(ctx, g.world, beside)
}

// count settles what becomes of a node with so many records before and after, as far as they were counted.
func (w *work) count(g *graph, n NodeID, before, after int) {
	f := w.says(g, n)
	speaks := func(count int) bool { return count > 0 && (count <= MaxAlike || w.alike(f)) }
	was, is := speaks(before), speaks(after)
	if was == is && (before > 0) == (after > 0) {
		return
	}
	set := KeySet{Node: n}
	if after > 0 {
		set = w.keySet(n, f, is)
	}
	g.born[n], g.died[n] = is && !was, was && !is
	w.delta.Keys = append(w.delta.Keys, set)
}

// holders reads which nodes hold the keys of the born and of the dead, and computes which will.
func (w *work) holders(ctx context.Context, g *graph) error {
	joins, leaves := map[Key][]NodeID{}, map[Key][]NodeID{}
	for _, set := range w.delta.Keys {
		for _, k := range w.r.matcher.Keys(w.says(g, set.Node)) {
			if g.born[set.Node] {
				joins[k] = append(joins[k], set.Node)
			} else if g.died[set.Node] {
				leaves[k] = append(leaves[k], set.Node)
			}
		}
	}
	keys, most := []Key{}, 0 // leavers of one key: they may hide among the holders that are read
	for k := range joins {
		keys = append(keys, k)
	}
	for k, nodes := range leaves {
		most = max(most, len(nodes))
		if joins[k] == nil {
			keys = append(keys, k)
		}
	}
	g.now = make(map[Key]map[NodeID]bool, len(keys))
	if err := w.read(ctx, g, keys, most); err != nil {
		return err
	}
	for _, k := range keys {
		now := make(map[NodeID]bool, len(g.old[k])+1)
		for _, h := range g.old[k] {
			if !g.died[h.Node] {
				now[h.Node] = true
			}
		}
		for _, n := range joins[k] {
			now[n] = true
		}
		g.now[k] = now
	}
	return nil
}

// limit answers how many distinct nodes may hold a key of that type before it proposes nobody.
func (w *work) limit(keyType string) int {
	return cmp.Or(w.r.matcher.Cap(keyType), MaxHolders)
}

// read reads the holders of keys, so many more than a key's limit that it can be told on which side of it the key is.
func (w *work) read(ctx context.Context, g *graph, keys []Key, more int) error {
	byLimit := map[int][]Key{}
	for _, k := range keys {
		byLimit[w.limit(k.Type)] = append(byLimit[w.limit(k.Type)], k)
	}
	for _, limit := range slices.Sorted(maps.Keys(byLimit)) {
		some := byLimit[limit]
		slices.SortFunc(some, compareKeys)
		found, err := w.tx.Holders(ctx, some, limit+more+1)
		if err != nil {
			return err
		}
		for i, hs := range found {
			g.old[some[i]] = hs
			for _, h := range hs {
				g.resident[h.Node] = h.Record
				if _, known := g.sample[h.Node]; !known {
					g.sample[h.Node] = h.Record
				}
			}
		}
	}
	return nil
}

// propose lists the pairs to score: each born node with those that it shares a speaking key with, and, where a key began to
// speak, all its pairs. It answers the holders of the keys that fell silent: what they stood on must be looked at again. Whether a key
// speaks depends on who holds it now, never on who came first.
func (w *work) propose(g *graph) (silenced map[NodeID][]Key) {
	silenced = map[NodeID][]Key{}
	for k, now := range g.now {
		was, is := len(g.old[k]) > w.limit(k.Type), len(now) > w.limit(k.Type)
		g.generic[k] = is
		switch {
		case is && !was:
			w.out.Silenced += b2i(w.r.matcher.Cap(k.Type) == 0)
			for _, h := range g.old[k] {
				silenced[h.Node] = append(silenced[h.Node], k)
			}
		case is:
		default:
			for a := range now {
				for b := range now {
					if a != b && (was || g.born[a]) {
						g.pairs[NewNodePair(a, b)] = true
					}
				}
			}
		}
	}
	return silenced
}

// question puts the edges in doubt that may have stood on keys which fell silent.
func (w *work) question(ctx context.Context, g *graph, silenced map[NodeID][]Key) error {
	if len(silenced) == 0 {
		return nil
	}
	var of []RecordID
	for n := range silenced {
		of = append(of, g.resident[n])
	}
	comps, err := w.tx.Components(ctx, distinct(of))
	if err != nil {
		return err
	}
	for _, c := range comps {
		for _, e := range c.Edges {
			if slices.ContainsFunc(silenced[e.A], func(k Key) bool { return slices.Contains(silenced[e.B], k) }) {
				g.doubt[e.NodePair] = true
			}
		}
	}
	return nil
}

// score answers the edges between the proposed pairs; pairs in doubt lose theirs unless another key still speaks for them.
func (w *work) score(ctx context.Context, g *graph) ([]Edge, error) {
	var ids []RecordID
	for _, pairs := range []map[NodePair]bool{g.pairs, g.doubt} {
		for p := range pairs {
			ids = append(ids, g.sample[p.A], g.sample[p.B])
		}
	}
	if err := w.load(ctx, ids); err != nil {
		return nil, err
	}
	if err := w.settle(ctx, g); err != nil {
		return nil, err
	}
	var edges []Edge
	for p := range g.pairs {
		w.out.Candidates++
		if e, keep := w.r.matcher.Score(w.says(g, p.A), w.says(g, p.B)); keep {
			e.NodePair = p
			edges = append(edges, e)
		}
	}
	slices.SortFunc(edges, compareEdges)
	return edges, nil
}

// settle takes a pair out of doubt if the two share another key that speaks.
func (w *work) settle(ctx context.Context, g *graph) error {
	shared := map[NodePair][]Key{}
	ask := map[Key]bool{}
	for p := range g.doubt {
		if g.pairs[p] || g.died[p.A] || g.died[p.B] {
			delete(g.doubt, p)
			continue
		}
		kb := w.r.matcher.Keys(w.says(g, p.B))
		for _, k := range w.r.matcher.Keys(w.says(g, p.A)) {
			if slices.Contains(kb, k) {
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
	if err := w.read(ctx, g, keys, 0); err != nil {
		return err
	}
	for p, ks := range shared {
		if slices.ContainsFunc(ks, func(k Key) bool {
			if generic, known := g.generic[k]; known {
				return !generic
			}
			return len(g.old[k]) <= w.limit(k.Type)
		}) {
			delete(g.doubt, p)
		}
	}
	return nil
}

func compareEdges(a, b Edge) int { return cmp.Or(compareNodes(a.A, b.A), compareNodes(a.B, b.B)) }
