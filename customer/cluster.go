package customer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
)

// world is the components that a transaction touches, as they will be.
type world struct {
	stored    map[RecordID]Membership
	members   map[RecordID]*Membership
	edges     map[Pair]Edge
	within    map[RecordID][]Edge // edges by component
	decisions []Decision
	dirty     map[RecordID]bool // records whose component must be clustered anew
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
	}
	w.decisions = append(w.decisions, d)
	w.delta.Decisions = append(w.delta.Decisions, d)
}

// recluster divides every component that was touched into customers anew.
func (w *work) recluster(ctx context.Context, g *graph, edges []Edge) error {
	world, err := w.gather(ctx, g, edges)
	if err != nil {
		return err
	}
	w.connect(g, world, edges)
	var clusters []*cluster
	for _, part := range world.parts() {
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
	return nil
}

// gather reads the components of all that is touched.
func (w *work) gather(ctx context.Context, g *graph, edges []Edge) (*world, error) {
	of := slices.Clone(w.touched)
	for _, e := range edges {
		of = append(of, e.A, e.B)
	}
	for p := range g.doubt {
		of = append(of, p.A, p.B)
	}
	for _, d := range w.decisions {
		of = append(of, d.A, d.B)
	}
	of = distinct(of)
	out := &world{
		stored: map[RecordID]Membership{}, members: map[RecordID]*Membership{},
		edges: map[Pair]Edge{}, dirty: map[RecordID]bool{},
	}
	comps, err := w.tx.Components(ctx, of)
	if err != nil {
		return nil, err
	}
	var all []RecordID
	for _, c := range comps {
		for _, m := range c.Members {
			out.stored[m.Record] = m
			out.members[m.Record] = &m
			all = append(all, m.Record)
		}
		for _, e := range c.Edges {
			out.edges[e.Pair] = e
		}
		out.decisions = append(out.decisions, c.Decisions...)
	}
	for _, id := range of {
		if out.members[id] == nil {
			out.members[id] = &Membership{Record: id}
		}
	}
	out.decisions = slices.DeleteFunc(out.decisions, func(d Decision) bool { // an undo takes the place of what is stored
		return slices.ContainsFunc(w.decisions, func(fresh Decision) bool { return fresh.ID == d.ID })
	})
	out.decisions = append(out.decisions, w.decisions...)
	return out, w.load(ctx, all)
}

// connect brings liveness and edges up to date, and marks what must be clustered anew.
func (w *work) connect(g *graph, world *world, edges []Edge) {
	for id, m := range world.members {
		m.Live = w.feature(id) != nil
		if g.changed[id] {
			world.dirty[id] = true
		}
	}
	fresh := map[Pair]Edge{}
	for _, e := range edges {
		fresh[e.Pair] = e
	}
	for p, e := range world.edges {
		now, again := fresh[p]
		switch {
		case again && sameEdge(now, e):
			delete(fresh, p)
		case !again && (g.changed[p.A] || g.changed[p.B] || g.doubt[p] || g.pairs[p]):
			delete(world.edges, p)
			w.delta.DropEdges = append(w.delta.DropEdges, p)
			world.dirty[p.A], world.dirty[p.B] = true, true
		}
	}
	for p, e := range fresh {
		world.edges[p] = e
		w.delta.Edges = append(w.delta.Edges, e)
		world.dirty[p.A], world.dirty[p.B] = true, true
	}
	for _, d := range w.decisions {
		world.dirty[d.A], world.dirty[d.B] = true, true
	}
	slices.SortFunc(w.delta.DropEdges, comparePairs)
	slices.SortFunc(w.delta.Edges, func(a, b Edge) int { return comparePairs(a.Pair, b.Pair) })
}

func sameEdge(a, b Edge) bool {
	return a.Weight == b.Weight && a.Threshold == b.Threshold && a.Rule == b.Rule && a.Against == b.Against && bytes.Equal(a.Levels, b.Levels)
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

// parts answers the connected components: edges connect live records, decisions connect any. Each is sorted; it is named by its
// smallest record.
func (world *world) parts() [][]RecordID {
	root := map[RecordID]RecordID{}
	var find func(id RecordID) RecordID
	find = func(id RecordID) RecordID {
		if r, ok := root[id]; ok && r != id {
			root[id] = find(r)
			return root[id]
		}
		return id
	}
	union := func(p Pair) {
		if world.members[p.A] == nil || world.members[p.B] == nil {
			return
		}
		if q := NewPair(find(p.A), find(p.B)); q.A != q.B {
			root[q.B] = q.A
		}
	}
	for p := range world.edges {
		union(p)
	}
	for _, d := range world.decisions {
		if !d.Undone {
			union(d.Pair)
		}
	}
	byRoot := map[RecordID]int{}
	var out [][]RecordID
	for _, id := range world.order() {
		r := find(id)
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
		r := world.members[p.A].Component
		world.within[r] = append(world.within[r], e)
	}
	return out
}

// divide answers the clusters of a component's live records. Where nothing changed, they stand as they are: clustering is a
// function of the component (invariant 4).
func (w *work) divide(world *world, part []RecordID) [][]RecordID {
	var nodes []*Features
	dirty, live := false, map[RecordID]bool{}
	for _, id := range part {
		dirty = dirty || world.dirty[id] || world.stored[id].Live != world.members[id].Live
		if f := w.feature(id); f != nil {
			nodes = append(nodes, f)
			live[id] = true
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	if !dirty {
		return world.standing(part)
	}
	if len(nodes) == 1 {
		return [][]RecordID{{nodes[0].Record}}
	}
	edges := world.within[world.members[part[0]].Component]
	slices.SortFunc(edges, func(a, b Edge) int { return comparePairs(a.Pair, b.Pair) })
	var decisions []Decision
	for _, d := range world.decisions {
		if live[d.A] && live[d.B] && !d.Undone {
			decisions = append(decisions, d)
		}
	}
	slices.SortFunc(decisions, func(a, b Decision) int { return strings.Compare(a.ID, b.ID) })
	return w.r.matcher.Cluster(nodes, edges, decisions)
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
	if !slices.Equal(a.Members, b.Members) || len(a.Attributes) != len(b.Attributes) {
		return false
	}
	ja, erra := json.Marshal(a.Attributes)
	jb, errb := json.Marshal(b.Attributes)
	return erra == nil && errb == nil && bytes.Equal(ja, jb)
}
