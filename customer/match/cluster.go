package match

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
)

// MaxComponent is how many records of a component are clustered together (invariant 10). A larger one loses its weakest edges
// until every part fits.
const MaxComponent = 2_000

// Cluster divides the records of a component into those of one party each: sorted by record id inside, and by the first of them
// outside. The answer is the same in whatever order nodes, edges and decisions come (invariant 4).
//
// People's decisions come first, not-same before same; then what rules bind; then edges over their threshold, the strongest
// first, each joining two clusters if no rule or decision stands between any two of their records and the mean evidence over all
// cross pairs is above the margin; last the pairs that one personal trait speaks against.
func (m *Matcher) Cluster(nodes []*customer.Features, edges []customer.Edge, decisions []customer.Decision) [][]customer.RecordID {
	g := m.newClustering(nodes, edges, decisions)
	var out [][]customer.RecordID
	for _, part := range g.parts() {
		out = append(out, g.divide(part)...)
	}
	slices.SortFunc(out, func(a, b []customer.RecordID) int { return compareRecords(a[0], b[0]) })
	return out
}

// clustering is one call of Cluster. Records are numbered in the order of their origins: a tie must fall the same way in every
// installation, and record ids are made with a key of the installation.
type clustering struct {
	m      *Matcher
	nodes  []*customer.Features
	edges  []link // strongest first
	same   []link // decisions, by pair
	apart  map[[2]int]bool
	known  map[[2]int]*link // edges by numbers
	class  []int            // the first record with equal features: its pairs weigh the same
	seen   map[[2]int]int32 // votes of pairs without an edge, by class
	excuse map[[2]string]bool
	bearer []bool // holds an exclusive number
}

// link is an edge between two numbered records, the smaller first.
type link struct {
	a, b    int
	over    customer.Weight // weight over the threshold
	vote    customer.Weight
	rule    customer.Rule
	against bool
}

func (m *Matcher) newClustering(nodes []*customer.Features, edges []customer.Edge, decisions []customer.Decision) *clustering {
	g := &clustering{m: m, nodes: slices.Clone(nodes), apart: map[[2]int]bool{}, known: map[[2]int]*link{}, seen: map[[2]int]int32{}}
	slices.SortFunc(g.nodes, func(a, b *customer.Features) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), compareRecords(a.Record, b.Record))
	})
	g.nodes = slices.CompactFunc(g.nodes, func(a, b *customer.Features) bool { return a.Record == b.Record })
	at := make(map[customer.RecordID]int, len(g.nodes))
	first := map[uint64]int{}
	g.class, g.bearer = make([]int, len(g.nodes)), make([]bool, len(g.nodes))
	for i, f := range g.nodes {
		at[f.Record], g.class[i] = i, i
		if j, ok := first[f.Node]; ok && f.Node != 0 {
			g.class[i] = j
		} else {
			first[f.Node] = i
		}
		g.bearer[i] = slices.ContainsFunc(f.Identifiers, func(id customer.Identifier) bool { return exclusive(&id) })
	}
	g.excuses(at)
	pair := func(p customer.Pair) (a, b int, ok bool) {
		a, okA := at[p.A]
		b, okB := at[p.B]
		return min(a, b), max(a, b), okA && okB && a != b
	}
	for _, e := range edges {
		if a, b, ok := pair(e.Pair); ok {
			g.edges = append(g.edges, link{
				a: a, b: b, over: e.Weight - e.Threshold, vote: m.vote(e.Weight, e.Threshold, e.Levels, e.Against), rule: e.Rule, against: e.Against,
			})
		}
	}
	slices.SortFunc(g.edges, strongerLink)
	for i := range g.edges {
		l := &g.edges[i]
		if g.known[[2]int{l.a, l.b}] == nil {
			g.known[[2]int{l.a, l.b}] = l
		}
	}
	for _, d := range decisions {
		a, b, ok := pair(d.Pair)
		switch {
		case !ok || d.Undone:
		case d.Kind == customer.NotSame:
			g.apart[[2]int{a, b}] = true
		case d.Kind == customer.Same:
			g.same = append(g.same, link{a: a, b: b})
		}
	}
	slices.SortFunc(g.same, strongerLink)
	return g
}

// strongerLink puts what binds first: rules, then weight over the threshold, then the order of records.
func strongerLink(x, y link) int {
	return cmp.Or(
		trueFirst(x.rule == customer.MustLink, y.rule == customer.MustLink), cmp.Compare(y.over, x.over),
		cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b), strings.Compare(string(x.rule), string(y.rule)),
	)
}

// excuses notes the exclusive numbers that a source itself has declared to be one party's, by joining two of its records.
func (g *clustering) excuses(at map[customer.RecordID]int) {
	g.excuse = map[[2]string]bool{}
	for i, f := range g.nodes {
		for _, l := range f.Links {
			j, ok := at[l]
			if !ok || !g.bearer[i] || !g.bearer[j] {
				continue
			}
			conflict(f.Identifiers, g.nodes[j].Identifiers, func(x, y *customer.Identifier) bool {
				a, b := x.Type+"\x00"+x.Issuer+"\x00"+x.Value, y.Type+"\x00"+y.Issuer+"\x00"+y.Value
				g.excuse[[2]string{min(a, b), max(a, b)}] = true
				return true
			})
		}
	}
}

func (g *clustering) excused(x, y *customer.Identifier) bool {
	a, b := x.Type+"\x00"+x.Issuer+"\x00"+x.Value, y.Type+"\x00"+y.Issuer+"\x00"+y.Value
	return g.excuse[[2]string{min(a, b), max(a, b)}]
}

// parts answers the connected parts by edges and same-decisions, none of more than MaxComponent records: the weakest edges of the
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
	if len(part) == 1 {
		return [][]customer.RecordID{{g.nodes[part[0]].Record}}
	}
	d := &division{clustering: g, of: make([]int, len(g.nodes)), refused: map[[2]int]bool{}}
	in := make(map[int]bool, len(part))
	for k, i := range part {
		in[i] = true
		d.of[i] = k
		d.members = append(d.members, []int{i})
	}
	for _, l := range g.same {
		if in[l.a] {
			d.join(l, func(x, y []int) bool { return !d.decidedApart(x, y) })
		}
	}
	pass := func(which func(l *link) bool, may func(x, y []int) bool) {
		clear(d.refused)
		for i := range g.edges {
			if l := &g.edges[i]; in[l.a] && which(l) {
				d.join(*l, may)
			}
		}
	}
	free := func(x, y []int) bool { return !d.decidedApart(x, y) && !d.barred(x, y) }
	pass(func(l *link) bool { return l.rule == customer.MustLink }, free)
	scored := func(l *link) bool { return l.rule == customer.NoRule && l.over >= 0 }
	pass(func(l *link) bool { return scored(l) && !l.against }, func(x, y []int) bool { return free(x, y) && d.mean(x, y, false) })
	pass(func(l *link) bool { return scored(l) && l.against }, func(x, y []int) bool {
		return (len(x) == 1 || len(y) == 1) && free(x, y) && d.mean(x, y, true) && !d.housemate(part, x, y)
	})
	var out [][]customer.RecordID
	for _, is := range d.members {
		if len(is) == 0 {
			continue
		}
		slices.Sort(is)
		ids := make([]customer.RecordID, len(is))
		for k, i := range is {
			ids[k] = g.nodes[i].Record
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
	if !may(d.members[x], d.members[y]) {
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

func (d *division) decidedApart(x, y []int) bool {
	if len(d.apart) == 0 {
		return false
	}
	return d.anyPair(x, y, func(a, b int) bool { return d.apart[[2]int{a, b}] })
}

// barred tells whether a rule stands between two clusters: exclusive numbers that differ.
func (d *division) barred(x, y []int) bool {
	return d.anyPair(x, y, func(a, b int) bool {
		if d.bearer[a] && d.bearer[b] {
			return !linked(d.nodes[a], d.nodes[b]) && conflict(d.nodes[a].Identifiers, d.nodes[b].Identifiers, d.excused)
		}
		l := d.known[[2]int{a, b}]
		return l != nil && l.rule == customer.CannotLink
	})
}

func (d *division) anyPair(x, y []int, is func(a, b int) bool) bool {
	for _, i := range x {
		for _, j := range y {
			if is(min(i, j), max(i, j)) {
				return true
			}
		}
	}
	return false
}

// mean tells whether the mean evidence over all cross pairs of two clusters is above the margin. A contradicted pair
// counts by its weight once its own turn has come.
func (d *division) mean(x, y []int, contradicted bool) bool {
	sum := int64(0)
	for _, i := range x {
		for _, j := range y {
			sum += int64(d.between(min(i, j), max(i, j), contradicted))
		}
	}
	return sum >= int64(d.m.model.Weights.Cluster.Margin)*int64(len(x)*len(y))
}

// between answers the vote of a pair, from its edge or by comparing it.
func (g *clustering) between(a, b int, contradicted bool) customer.Weight {
	if l := g.known[[2]int{a, b}]; l != nil {
		if l.rule == customer.MustLink {
			return g.m.model.Weights.Cluster.Most
		}
		if l.against && contradicted {
			return g.m.clamped(l.over)
		}
		return l.vote
	}
	key := [2]int{min(g.class[a], g.class[b]), max(g.class[a], g.class[b])}
	if v, ok := g.seen[key]; ok {
		return customer.Weight(v)
	}
	e := g.m.compare(g.nodes[a], g.nodes[b])
	v := g.m.vote(e.weight, e.threshold, e.levels[:], e.against)
	g.seen[key] = int32(v)
	return v
}

func (m *Matcher) clamped(over customer.Weight) customer.Weight {
	p := &m.model.Weights.Cluster
	return min(max(over, p.Least), p.Most)
}

// vote answers what a pair says in the mean: its weight over the threshold within bounds. A pair that says little counts little,
// not "no"; one that differs in given name and birth date says "no".
func (m *Matcher) vote(weight, threshold customer.Weight, levels []uint8, against bool) customer.Weight {
	p := &m.model.Weights.Cluster
	if len(levels) < comparisons {
		return m.clamped(weight - threshold)
	}
	given, date := levels[cGiven], levels[cBirth]
	switch {
	case given == nameDiffers && (date == birthDiffers || date == birthDecade) && m.model.Snapshot.Households.Live():
		return p.Both
	case against:
		return p.Contradicted
	case given != nameDiffers && levels[cFamily] != nameDiffers && levels[cIdentifier] != idDiffers:
		return max(m.clamped(weight-threshold), p.Quiet)
	}
	return m.clamped(weight - threshold)
}

// housemate tells whether somebody else lives with a contradicted pair: a record of the same family name and place that differs
// from the single one in given name and birth date. Then they are a family, and the pair may be twins.
func (d *division) housemate(part, x, y []int) bool {
	for _, single := range [][]int{x, y} {
		if len(single) != 1 {
			continue
		}
		for _, i := range part {
			if i == single[0] || slices.Contains(x, i) || slices.Contains(y, i) {
				continue
			}
			e := d.m.compare(d.nodes[single[0]], d.nodes[i])
			if e.levels[cFamily] >= nameAlike && e.levels[cPlace] == placeSame && e.levels[cGiven] == nameDiffers &&
				(e.levels[cBirth] == birthDiffers || e.levels[cBirth] == birthDecade) {
				return true
			}
		}
	}
	return false
}
