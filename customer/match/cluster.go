package match

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/onefold/onefold/customer"
)

// MaxComponent is how many nodes of a component are clustered together (invariant 10). A larger one loses its weakest edges
// until every part fits.
const MaxComponent = 2_000

// Cluster divides the records of a component into those of one party each: sorted by record id inside, and by the first of them
// outside. The answer is the same in whatever order records, edges and decisions come (invariant 4).
//
// Records that say the same are one from the start, where that is enough and no decision parts them: fifty guest checkouts of one person
// weigh like one. People's decisions come first, not-same before same; then what rules bind; then edges over their threshold, the strongest
// first, each joining two clusters if no rule or decision stands between any two of their records and the mean evidence over all
// cross pairs is above the margin; last the pairs that one personal trait speaks against.
func (m *Matcher) Cluster(records []*customer.Features, edges []customer.Edge, decisions []customer.Decision) [][]customer.RecordID {
	return m.newClustering(records, edges, decisions).clusters()
}

func (g *clustering) clusters() (out [][]customer.RecordID) {
	g.tell.alike(g)
	for _, part := range g.parts() {
		out = append(out, g.divide(part)...)
	}
	slices.SortFunc(out, func(a, b []customer.RecordID) int { return compareRecords(a[0], b[0]) })
	return out
}

// clustering is one call of Cluster. Units are numbered in the order of the origins of their first records: a tie must fall the same way in
// every installation, and record ids are made with a key of the installation.
type clustering struct {
	m       *Matcher
	nodes   []*customer.Features // of each unit: what its records say
	records [][]customer.RecordID
	at      map[customer.RecordID]int
	edges   []link // strongest first
	same    []link // decisions, by pair
	apart   map[[2]int]bool
	party   sets             // units that a source has joined, and their exclusive numbers
	known   map[[2]int]*link // edges by numbers
	class   []int            // the first unit with equal features: its pairs weigh the same
	seen    map[[2]int]int32 // votes of pairs without an edge, by class
	bearer  []bool           // holds an exclusive number
	tell    *retelling       // listens, where somebody wants to know how it went
}

// link is an edge between two numbered units, the smaller first.
type link struct {
	a, b    int
	over    customer.Weight // weight over the threshold
	vote    customer.Weight
	rule    customer.Rule
	against bool
	twins   bool
}

func (m *Matcher) newClustering(records []*customer.Features, edges []customer.Edge, decisions []customer.Decision) *clustering {
	g := &clustering{
		m: m, at: make(map[customer.RecordID]int, len(records)), party: sets{},
		apart: map[[2]int]bool{}, known: map[[2]int]*link{}, seen: map[[2]int]int32{},
	}
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b *customer.Features) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), compareRecords(a.Record, b.Record))
	})
	records = slices.CompactFunc(records, func(a, b *customer.Features) bool { return a.Record == b.Record })
	of := g.units(records, decisions)
	for _, e := range edges {
		as, bs := of[e.A], of[e.B]
		if !e.Joins() { // joins nobody: it only tells who is near whom
			as, bs = as[:min(1, len(as))], bs[:min(1, len(bs))]
		}
		for _, a := range as {
			for _, b := range bs {
				g.edge(a, b, e)
			}
		}
	}
	g.links(records)
	slices.SortFunc(g.edges, strongerLink)
	for i := range g.edges {
		l := &g.edges[i]
		if g.known[[2]int{l.a, l.b}] == nil {
			g.known[[2]int{l.a, l.b}] = l
		}
	}
	for _, d := range decisions {
		a, okA := g.at[d.A]
		b, okB := g.at[d.B]
		a, b = min(a, b), max(a, b)
		switch {
		case !okA || !okB || a == b || d.Undone:
		case d.Kind == customer.NotSame:
			g.apart[[2]int{a, b}] = true
		case d.Kind == customer.Same:
			g.same = append(g.same, link{a: a, b: b})
		}
	}
	slices.SortFunc(g.same, strongerLink)
	return g
}

// units puts the records that say the same into one unit, where that makes them one party and nobody has parted one of them from another
// record. It answers the units of each node.
func (g *clustering) units(records []*customer.Features, decisions []customer.Decision) map[customer.NodeID][]int {
	parted, count := map[customer.RecordID]bool{}, map[customer.NodeID]int{}
	for _, d := range decisions {
		if d.Kind == customer.NotSame && !d.Undone {
			parted[d.A], parted[d.B] = true, true
		}
	}
	for _, f := range records {
		count[f.Node]++
	}
	of, whole, self := map[customer.NodeID][]int{}, map[customer.NodeID]int{}, map[customer.NodeID]*customer.Edge{}
	for _, f := range records {
		node := *f
		node.Links = nil
		if self[f.Node] == nil && count[f.Node] > 1 {
			e, _ := g.m.Score(&node, &node)
			self[f.Node] = &e
		}
		unit, ok := whole[f.Node]
		if ok && !parted[f.Record] {
			g.records[unit] = append(g.records[unit], f.Record)
			g.at[f.Record] = unit
			continue
		}
		unit = len(g.nodes)
		of[f.Node] = append(of[f.Node], unit)
		first := of[f.Node][0]
		g.nodes, g.records, g.class = append(g.nodes, &node), append(g.records, []customer.RecordID{f.Record}), append(g.class, first)
		g.bearer = append(g.bearer, slices.ContainsFunc(f.Identifiers, func(id customer.Identifier) bool { return exclusive(&id) }))
		g.at[f.Record] = unit
		if count[f.Node] == 1 || !self[f.Node].Joins() {
			continue
		}
		if !parted[f.Record] {
			whole[f.Node] = unit
		}
		for _, other := range of[f.Node] {
			g.edge(other, unit, *self[f.Node])
		}
	}
	return of
}

// edge adds an edge between two units.
func (g *clustering) edge(a, b int, e customer.Edge) {
	if a != b {
		g.edges = append(g.edges, link{
			a: min(a, b), b: max(a, b), over: e.Weight - e.Threshold, vote: g.m.vote(e.Weight, e.Threshold, e.Levels, e.Against),
			rule: e.Rule, against: e.Against, twins: twins(e.Levels),
		})
	}
}

// links adds what the sources themselves have joined. All exclusive numbers of records that are joined so, by whatever way, are declared to
// be one party's by it.
func (g *clustering) links(records []*customer.Features) {
	for _, f := range records {
		for _, l := range f.Links {
			a := g.at[f.Record]
			b, ok := g.at[l]
			if !ok || a == b {
				continue
			}
			e, _ := g.m.Score(g.nodes[a], g.nodes[b])
			e.Rule = customer.MustLink
			g.edge(a, b, e)
			for _, unit := range []int{a, b} {
				name := strconv.Itoa(unit)
				g.party.join(strconv.Itoa(a), name)
				for i := range g.nodes[unit].Identifiers {
					if id := &g.nodes[unit].Identifiers[i]; exclusive(id) {
						g.party.join(name, issued(id))
					}
				}
			}
		}
	}
}

func (g *clustering) excused(x, y *customer.Identifier) bool {
	return g.party.root(issued(x)) == g.party.root(issued(y))
}

// parts answers the connected parts by edges and same-decisions, none of more than MaxComponent units: the weakest edges of the
// whole are left out in ascending order until that holds. Decisions are kept; people do not make thousands.
func (g *clustering) parts() [][]int {
	parts := g.connected(len(g.edges))
	fits := func(parts [][]int) bool {
		return !slices.ContainsFunc(parts, func(p []int) bool { return len(p) > MaxComponent })
	}
	if fits(parts) {
		return parts
	}
	low, high := 0, len(g.edges) // the first low edges fit, the first high ones do not
	for high-low > 1 {
		if mid := (low + high) / 2; fits(g.connected(mid)) {
			low = mid
		} else {
			high = mid
		}
	}
	for _, l := range g.edges[low:] {
		delete(g.known, [2]int{l.a, l.b})
	}
	g.tell.left(g, g.edges[low:])
	g.edges = g.edges[:low]
	return g.connected(low)
}

// connected answers the parts that the strongest n edges and the decisions connect.
func (g *clustering) connected(n int) [][]int {
	root := make([]int, len(g.nodes))
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	for _, ls := range [][]link{g.same, g.edges[:n]} {
		for i := range ls {
			if a, b := find(ls[i].a), find(ls[i].b); a != b {
				root[max(a, b)] = min(a, b)
			}
		}
	}
	at := map[int]int{}
	var out [][]int
	for i := range root {
		r := find(i)
		k, ok := at[r]
		if !ok {
			k = len(out)
			at[r], out = k, append(out, nil)
		}
		out[k] = append(out[k], i)
	}
	return out
}

// division is the clusters of one part while they grow.
type division struct {
	*clustering
	of      []int   // cluster of each record
	members [][]int // of each cluster
	refused map[[2]int]bool
}

func (g *clustering) divide(part []int) [][]customer.RecordID {
	d := &division{clustering: g, of: make([]int, len(g.nodes)), refused: map[[2]int]bool{}}
	in := make(map[int]bool, len(part))
	for k, i := range part {
		in[i] = true
		d.of[i] = k
		d.members = append(d.members, []int{i})
	}
	g.tell.begin(customer.ByDecision)
	for _, l := range g.same {
		if in[l.a] {
			d.join(l, func(x, y []int) bool { return !d.decidedApart(x, y) })
		}
	}
	pass := func(by customer.By, which func(l *link) bool, may func(x, y []int) bool) {
		g.tell.begin(by)
		clear(d.refused)
		for i := range g.edges {
			if l := &g.edges[i]; in[l.a] && which(l) {
				d.join(*l, may)
			}
		}
	}
	free := func(x, y []int) bool { return !d.decidedApart(x, y) && !d.barred(x, y) }
	pass(customer.ByRule, func(l *link) bool { return l.rule == customer.MustLink }, free)
	scored := func(l *link) bool { return l.rule == customer.NoRule && l.over >= 0 }
	pass(customer.ByEvidence, func(l *link) bool { return scored(l) && !l.against }, func(x, y []int) bool {
		return free(x, y) && d.mean(x, y, false)
	})
	pass(customer.ByContradicted, func(l *link) bool { return scored(l) && l.against && !l.twins }, func(x, y []int) bool {
		return (d.lone(x) || d.lone(y)) && free(x, y) && d.mean(x, y, true) && !d.housemate(part, x, y)
	})
	g.tell.twins(d, in)
	var out [][]customer.RecordID
	for _, is := range d.members {
		if len(is) == 0 {
			continue
		}
		var ids []customer.RecordID
		for _, i := range is {
			ids = append(ids, g.records[i]...)
		}
		slices.SortFunc(ids, compareRecords)
		out = append(out, ids)
	}
	return out
}

// join joins the clusters of a link's records, if they may. Two clusters are asked about once until one of them grows.
func (d *division) join(l link, may func(x, y []int) bool) {
	x, y := d.of[l.a], d.of[l.b]
	if x == y || d.refused[[2]int{min(x, y), max(x, y)}] {
		return
	}
	joins := may(d.members[x], d.members[y])
	d.tell.asked(d, l, x, y, joins)
	if !joins {
		d.refused[[2]int{min(x, y), max(x, y)}] = true
		return
	}
	z := len(d.members)
	d.members = append(d.members, slices.Concat(d.members[x], d.members[y]))
	d.members[x], d.members[y] = nil, nil
	for _, i := range d.members[z] {
		d.of[i] = z
	}
}
