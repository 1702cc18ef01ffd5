package match

import (
	"math"
	"slices"

	"github.com/onefold/onefold/customer"
)

// What stands between two clusters, and what their records say of each other.

// decidedApart tells whether a person has parted any two records of two clusters.
func (d *division) decidedApart(x, y []int) bool {
	return len(d.apart) > 0 && d.anyPair(x, y, func(a, b int) bool { return d.apart[[2]int{a, b}] })
}

// barred tells whether a rule stands between two clusters: exclusive numbers that differ.
func (d *division) barred(x, y []int) bool {
	return d.anyPair(x, y, func(a, b int) bool {
		if d.bearer[a] && d.bearer[b] {
			return conflict(d.nodes[a].Identifiers, d.nodes[b].Identifiers, d.excused)
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
	return d.votes(x, y, contradicted) >= int64(d.m.model.Weights.Cluster.Margin)*int64(len(x)*len(y))
}

func (d *division) votes(x, y []int, contradicted bool) (sum int64) {
	for _, i := range x {
		for _, j := range y {
			sum += int64(d.between(min(i, j), max(i, j), contradicted))
		}
	}
	return sum
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

// housemate tells whether somebody else lives with a contradicted pair: a record of the same family name and place that differs
// from the single one in given name and birth date. Then they are a family, and the pair may be twins.
func (d *division) housemate(part, x, y []int) bool {
	for _, single := range [][]int{x, y} {
		if !d.lone(single) {
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

// lone tells a cluster of one record: what was said twice is no slip.
func (d *division) lone(x []int) bool { return len(x) == 1 && len(d.records[x[0]]) == 1 }

// twins tells, of a contradicted pair, whether it is the given name that speaks against, and no e-mail speaks for.
func twins(levels []uint8) bool {
	return len(levels) == comparisons && levels[cGiven] < nameClose && levels[cEmail] < emailLocal
}

// clamped keeps a pair from outvoting all others.
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
	case given >= nameClose && date == birthDiffers && levels[cEmail] < emailLocal && m.model.Snapshot.Households.Live():
		return p.Namesake
	case against:
		return p.Contradicted
	case given != nameDiffers && levels[cFamily] != nameDiffers && levels[cIdentifier] != idDiffers:
		return max(m.clamped(weight-threshold), p.Quiet)
	}
	return m.clamped(weight - threshold)
}

// retelling hears how a clustering goes. One that is nil hears nothing.
type retelling struct {
	by     customer.By
	unions []customer.Union
	steps  int         // of those that were joined
	made   map[int]int // which step has made a cluster of the part under way
}

// Retrace clusters as Cluster does, and tells the steps in their order, with those that were refused. What it answers depends on records,
// edges and decisions only, as the clusters do.
func (m *Matcher) Retrace(
	records []*customer.Features, edges []customer.Edge, decisions []customer.Decision,
) ([][]customer.RecordID, []customer.Union) {
	g := m.newClustering(records, edges, decisions)
	g.tell = &retelling{by: customer.ByEvidence}
	return g.clusters(), g.tell.unions
}

// begin says what the unions that follow come by.
func (r *retelling) begin(by customer.By) {
	if r == nil {
		return
	}
	if r.by = by; by == customer.ByDecision { // a part begins with those
		r.made = map[int]int{}
	}
}

// asked hears whether the clusters x and y were joined.
func (r *retelling) asked(d *division, l link, x, y int, joined bool) {
	if r == nil {
		return
	}
	xs, ys := d.members[x], d.members[y]
	u := d.union(l, r.by)
	u.Left, u.Right = r.group(d, x), r.group(d, y)
	u.Sum, u.Pairs = customer.Sum(d.votes(xs, ys, r.by == customer.ByContradicted)), len(xs)*len(ys)
	u.Margin = d.m.model.Weights.Cluster.Margin
	switch {
	case joined:
		r.steps++
		u.Step, r.made[len(d.members)] = r.steps, r.steps
	case d.decidedApart(xs, ys):
		u.Refused = customer.RefusedByDecision
	case d.barred(xs, ys):
		u.Refused = customer.RefusedByRule
	case r.by == customer.ByContradicted && !d.lone(xs) && !d.lone(ys):
		u.Refused = customer.RefusedAsSettled
	case d.mean(xs, ys, r.by == customer.ByContradicted):
		u.Refused = customer.RefusedAsFamily
	default:
		u.Refused = customer.RefusedByMean
	}
	r.unions = append(r.unions, u)
}

// twins hears of the pairs that nobody asks about: their given names speak against them, and no e-mail of one's own for them.
func (r *retelling) twins(d *division, in map[int]bool) {
	if r == nil {
		return
	}
	for _, l := range d.edges {
		if in[l.a] && l.rule == customer.NoRule && l.over >= 0 && l.against && l.twins && d.of[l.a] != d.of[l.b] {
			u := d.union(l, customer.ByContradicted)
			u.Left, u.Right = r.group(d, d.of[l.a]), r.group(d, d.of[l.b])
			u.Refused = customer.RefusedAsTwins
			r.unions = append(r.unions, u)
		}
	}
}

// group answers one side of a union.
func (r *retelling) group(d *division, x int) customer.Group {
	return customer.Group{Step: r.made[x], Records: d.count(d.members[x])}
}

// left hears which edges a component over its limit had to leave out.
func (r *retelling) left(d *clustering, edges []link) {
	if r == nil {
		return
	}
	for _, l := range edges {
		u := d.union(l, customer.ByEvidence)
		u.Refused = customer.RefusedByLimit
		r.unions = append(r.unions, u)
	}
}

// alike hears which records say the same and are one by that.
func (r *retelling) alike(g *clustering) {
	if r == nil {
		return
	}
	for _, of := range g.records {
		if len(of) > 1 {
			r.unions = append(r.unions, customer.Union{
				By: customer.ByAlike, A: customer.Member{Record: of[0]}, B: customer.Member{Record: of[1]}, Alike: len(of),
			})
		}
	}
}

// union answers the deciding pair of a union.
func (g *clustering) union(l link, by customer.By) customer.Union {
	u := customer.Union{By: by, A: customer.Member{Record: g.records[l.a][0]}, B: customer.Member{Record: g.records[l.b][0]}}
	if by != customer.ByDecision {
		e := g.m.compare(g.nodes[l.a], g.nodes[l.b])
		u.Weight, u.Threshold, u.Rule = e.weight, e.threshold, l.rule
	}
	return u
}

// count answers how many records units have.
func (g *clustering) count(units []int) (n int) {
	for _, i := range units {
		n += len(g.records[i])
	}
	return n
}

// rarity answers how common the values are that a comparison weighs by it. Of two that differ the commoner one says what agreement
// would weigh.
func (m *Matcher) rarity(comparison string, a, b *customer.Features) (out []customer.Frequency) {
	say := func(of string, x, y []string, f *frequencies) {
		if len(x) > 0 && len(y) > 0 && x[0] != "" && y[0] != "" {
			w := min(f.ofName(x), f.ofName(y))
			out = append(out, customer.Frequency{Of: of, OneIn: int64(math.Round(math.Exp2(w.Float()) / agreeing))})
		}
	}
	switch comparison {
	case "name":
		say("givenName", a.Given, b.Given, m.given)
		say("familyName", a.Family, b.Family, m.family)
	case "place":
		if len(a.Places) > 0 && len(b.Places) > 0 {
			x, y := &a.Places[0], &b.Places[0]
			say("city", []string{x.City}, []string{y.City}, m.city)
			say("postcode", []string{x.Postcode}, []string{y.Postcode}, m.postcode)
		}
	case "birthPlace":
		say(comparison, []string{a.BirthPlace}, []string{b.BirthPlace}, m.birthPlace)
	case "jobTitle":
		say(comparison, []string{a.Job}, []string{b.Job}, m.job)
	}
	return out
}
