package customer

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// world is the components that a transaction touches, as they will be.
type world struct {
	stored    map[RecordID]Membership
	members   map[RecordID]*Membership
	edges     map[NodePair]Edge
	within    map[RecordID][]Edge // edges by component
	decisions []Decision
	stirred   map[RecordID]bool // stored components that must be clustered anew
	anew      map[RecordID]bool // components, as they will be, that were
}

func newWorld() *world {
	return &world{
		stored: map[RecordID]Membership{}, members: map[RecordID]*Membership{}, edges: map[NodePair]Edge{},
		stirred: map[RecordID]bool{}, anew: map[RecordID]bool{},
	}
}

// cluster is records of one party, and the customer they become.
type cluster struct {
	records []RecordID
	id      CustomerID
	split   bool // its records had a customer that others kept
}

// decide puts a new decision on the table.
func (w *work) decide(d Decision, known []*Record) {
	for _, rec := range known {
		w.before[rec.ID] = rec
		if rec.wasErased() {
			d.Reason = "" // it may name whom the erasure was for
		}
	}
	w.decisions = append(w.decisions, d)
	w.delta.Decisions = append(w.delta.Decisions, d)
}

// recluster divides every component that was touched into customers anew.
func (w *work) recluster(ctx context.Context, g *graph, edges []Edge) error {
	world := g.world
	if err := w.surround(ctx, g, edges); err != nil {
		return err
	}
	w.connect(g, edges)
	var clusters []*cluster
	for _, part := range w.parts(world) {
		w.out.Largest = max(w.out.Largest, len(part))
		for _, records := range w.divide(world, part) {
			clusters = append(clusters, &cluster{records: records})
		}
	}
	names, err := w.name(ctx, world, clusters)
	if err != nil {
		return err
	}
	if err := w.survive(world, clusters, names.known); err != nil {
		return err
	}
	names.retire()
	for _, id := range world.order() {
		if m := world.members[id]; *m != world.stored[id] {
			w.delta.Members = append(w.delta.Members, *m)
		}
	}
	return w.leave(ctx, world)
}

// gather reads the components of records into the world; one that nobody knows yet is alone.
func (w *work) gather(ctx context.Context, world *world, of []RecordID) error {
	of = slices.DeleteFunc(distinct(slices.Clone(of)), func(id RecordID) bool { return world.members[id] != nil })
	if len(of) == 0 {
		return nil
	}
	comps, err := w.tx.Components(ctx, of)
	if err != nil {
		return err
	}
	for _, c := range comps {
		for _, m := range c.Members {
			world.stored[m.Record] = m
			world.members[m.Record] = &m
		}
		for _, e := range c.Edges {
			world.edges[e.NodePair] = e
		}
		world.decisions = append(world.decisions, c.Decisions...)
	}
	for _, id := range of {
		if world.members[id] == nil {
			world.members[id] = &Membership{Record: id}
		}
	}
	return nil
}

// surround reads the rest of what the outcome depends on: the records of both nodes of every edge that is new or in doubt, and what
// all records of the world say.
func (w *work) surround(ctx context.Context, g *graph, edges []Edge) error {
	ends := map[NodeID]bool{}
	for _, e := range edges {
		ends[e.A], ends[e.B] = true, true
	}
	for p := range g.doubt {
		ends[p.A], ends[p.B] = true, true
	}
	if len(ends) > 0 { // of a node that speaks all records are read, or share a component with those that are; leavers are among them
		found, err := w.tx.Nodes(ctx, slices.SortedFunc(maps.Keys(ends), compareNodes), MaxAlike+g.leavers+1)
		if err != nil {
			return err
		}
		if err := w.gather(ctx, g.world, slices.Concat(found...)); err != nil {
			return err
		}
	}
	world := g.world
	fresh := map[string]bool{} // an undo, or the same said again, takes the place of what is stored
	for _, d := range w.decisions {
		fresh[d.ID] = true
	}
	world.decisions = slices.DeleteFunc(world.decisions, func(d Decision) bool { return fresh[d.ID] })
	world.decisions = append(world.decisions, w.decisions...)
	return w.load(ctx, slices.Collect(maps.Keys(world.members)))
}

// stir marks the component of a record, as it is stored, to be clustered anew.
func (world *world) stir(id RecordID) { world.stirred[world.stored[id].Component] = true }

// connect brings the edges up to date, and marks what must be clustered anew.
func (w *work) connect(g *graph, edges []Edge) {
	world := g.world
	of := world.byNode()
	stir := func(p NodePair) {
		for _, id := range slices.Concat(of[p.A], of[p.B]) {
			world.stir(id)
		}
	}
	fresh := map[NodePair]Edge{}
	for _, e := range edges {
		fresh[e.NodePair] = e
	}
	for p, e := range world.edges {
		now, again := fresh[p]
		switch {
		case again && sameEdge(now, e):
			delete(fresh, p)
		case !again && (g.died[p.A] || g.died[p.B] || g.doubt[p] || g.pairs[p]):
			delete(world.edges, p)
			w.delta.DropEdges = append(w.delta.DropEdges, p)
			stir(p)
		}
	}
	for p, e := range fresh {
		world.edges[p] = e
		w.delta.Edges = append(w.delta.Edges, e)
		stir(p)
	}
	for _, d := range w.decisions {
		world.stir(d.A)
		world.stir(d.B)
	}
	slices.SortFunc(w.delta.DropEdges, func(a, b NodePair) int { return cmp.Or(compareNodes(a.A, b.A), compareNodes(a.B, b.B)) })
	slices.SortFunc(w.delta.Edges, compareEdges)
}

func sameEdge(a, b Edge) bool {
	return a.Weight == b.Weight && a.Threshold == b.Threshold && a.Rule == b.Rule && a.Against == b.Against && bytes.Equal(a.Levels, b.Levels)
}

// byNode answers the live records of the world by what they say.
func (world *world) byNode() map[NodeID][]RecordID {
	out := map[NodeID][]RecordID{}
	for _, id := range world.order() {
		if m := world.members[id]; m.Live {
			out[m.Node] = append(out[m.Node], id)
		}
	}
	return out
}

// order answers the records of the world in the order of their ids.
func (world *world) order() []RecordID {
	ids := make([]RecordID, 0, len(world.members))
	for id := range world.members {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

// forest is disjoint sets of records, each under the smallest id of it.
type forest map[RecordID]RecordID

func (f forest) root(id RecordID) RecordID {
	r, ok := f[id]
	if !ok || r == id {
		return id
	}
	f[id] = f.root(r)
	return f[id]
}

func (f forest) join(a, b RecordID) {
	if p := NewPair(f.root(a), f.root(b)); p.A != p.B {
		f[p.B] = p.A
	}
}

// parts answers the connected components. What connects: edges between nodes, saying the same where that is enough, links by a source,
// decisions; the last two connect records that are not live, too. Each part is sorted; it is named by its smallest record.
func (w *work) parts(world *world) [][]RecordID {
	sets, of := forest{}, world.byNode()
	all := func(ids []RecordID) {
		for _, id := range ids[1:] {
			sets.join(ids[0], id)
		}
	}
	for p := range world.edges {
		if ids := slices.Concat(of[p.A], of[p.B]); len(ids) > 0 {
			all(ids)
		}
	}
	for _, ids := range of {
		if len(ids) > 1 && w.alike(w.feature(ids[0])) {
			all(ids)
		}
	}
	for id, m := range world.members {
		if m.Live {
			for _, to := range w.record(id).links() {
				if world.members[to] != nil {
					sets.join(id, to)
				}
			}
		}
	}
	for _, d := range world.decisions {
		if !d.Undone && world.members[d.A] != nil && world.members[d.B] != nil {
			sets.join(d.A, d.B)
		}
	}
	byRoot := map[RecordID]int{}
	var out [][]RecordID
	for _, id := range world.order() {
		r := sets.root(id)
		world.members[id].Component = r
		i, ok := byRoot[r]
		if !ok {
			i = len(out)
			byRoot[r], out = i, append(out, nil)
		}
		out[i] = append(out[i], id)
	}
	world.within = map[RecordID][]Edge{}
	for p, e := range world.edges {
		if ids := of[p.A]; len(ids) > 0 {
			r := world.members[ids[0]].Component
			world.within[r] = append(world.within[r], e)
		}
	}
	return out
}

// divide answers the clusters of a component's live records. Where nothing changed, they stand as they are: clustering is a
// function of the component (invariant 4).
func (w *work) divide(world *world, part []RecordID) [][]RecordID {
	var records []*Features
	dirty, live := false, map[RecordID]bool{}
	for _, id := range part {
		m, was := world.members[id], world.stored[id]
		dirty = dirty || world.stirred[was.Component] || was.Component != m.Component && m.Live
		live[id] = m.Live
	}
	if !dirty {
		return world.standing(part)
	}
	world.anew[world.members[part[0]].Component] = true
	for _, id := range part {
		if live[id] {
			records = append(records, w.feature(id).as(world.members[id].Node))
		}
	}
	if len(records) == 0 {
		return nil
	}
	if len(records) == 1 {
		return [][]RecordID{{records[0].Record}}
	}
	edges := world.within[world.members[part[0]].Component]
	slices.SortFunc(edges, compareEdges)
	var decisions []Decision
	for _, d := range world.decisions {
		if live[d.A] && live[d.B] && !d.Undone {
			decisions = append(decisions, d)
		}
	}
	slices.SortFunc(decisions, func(a, b Decision) int { return strings.Compare(a.ID, b.ID) })
	return w.r.matcher.Cluster(records, edges, decisions)
}

// standing answers the clusters of a component as they are stored.
func (world *world) standing(part []RecordID) [][]RecordID {
	at := map[CustomerID]int{}
	var out [][]RecordID
	for _, id := range part {
		m := world.members[id]
		if !m.Live {
			continue
		}
		i, ok := at[m.Customer]
		if !ok {
			i = len(out)
			at[m.Customer], out = i, append(out, nil)
		}
		out[i] = append(out[i], id)
	}
	return out
}

// survive computes the values of each cluster's customer and writes those that changed.
func (w *work) survive(world *world, clusters []*cluster, known map[CustomerID]*Customer) error {
	for _, c := range clusters {
		old := known[c.id]
		stands := old != nil && old.Status == Active && len(old.Members) == len(c.records)
		for _, id := range c.records {
			m := world.members[id]
			stands = stands && !w.changed[id] && m.Customer == c.id && world.stored[id].Live
			m.Customer = c.id
		}
		if stands {
			continue
		}
		now := w.master(c)
		switch {
		case old == nil:
			now.Version, now.CreatedAt = 1, w.now
			if c.split {
				w.out.Split++
			} else {
				w.out.Created++
			}
		case old.Status == Active && sameMaster(old, now):
			continue
		default:
			now.Version, now.CreatedAt = old.Version+1, old.CreatedAt
			w.out.Split += b2i(old.Status == Merged)
		}
		w.delta.Customers = append(w.delta.Customers, now)
	}
	return nil
}

// master answers the customer that a cluster makes.
func (w *work) master(c *cluster) *Customer {
	records := make([]*Record, len(c.records))
	out := &Customer{ID: c.id, Status: Active, UpdatedAt: w.now}
	for i, id := range c.records {
		records[i] = w.record(id)
		out.Members = append(out.Members, Member{Record: id, Source: records[i].Source, Key: records[i].Key})
	}
	slices.SortFunc(out.Members, compareMembers)
	out.Attributes = w.r.merger.Survive(records)
	return out
}

func compareMembers(a, b Member) int {
	return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key), compareIDs(a.Record, b.Record))
}

// sameMaster tells whether two versions of a customer would be published with the same content.
func sameMaster(a, b *Customer) bool {
	if !slices.Equal(a.Members, b.Members) {
		return false
	}
	return slices.EqualFunc(a.Attributes, b.Attributes, func(a, b Attribute) bool {
		return a.Path == b.Path && a.Rule == b.Rule && sameClaim(a.Claim, b.Claim) && slices.EqualFunc(a.Losers, b.Losers, sameClaim)
	})
}

// sameClaim tells whether two claims are published alike: a time at the same instant, written with the same offset.
func sameClaim(a, b Claim) bool {
	_, ahead := a.At.Zone()
	_, too := b.At.Zone()
	return a.Value.Text == b.Value.Text && a.Source == b.Source && a.Key == b.Key && a.Version == b.Version && a.At.Equal(b.At) &&
		ahead == too && a.Verified == b.Verified && a.Event == b.Event && maps.Equal(a.Value.Parts, b.Value.Parts)
}
