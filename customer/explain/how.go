package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// How tells how a customer came to be of its records: the clustering of its component is made again, and each step told with the pair that
// decided it and the sum of the guard. An alias is followed.
func (e *Explainer) How(ctx context.Context, id customer.CustomerID) (out *customer.Making, err error) {
	err = e.ask(ctx, func(t *talk) error {
		c, err := customer.Follow(ctx, t.v, id)
		if err != nil {
			return err
		}
		out = &customer.Making{
			Asked: id, Customer: c.ID, Members: []customer.Member{}, Steps: []customer.Union{}, Apart: []customer.Union{}, Current: true,
		}
		if c.Status != customer.Active {
			return nil
		}
		out.Members = c.Members
		of := make([]customer.RecordID, len(c.Members))
		for i, m := range c.Members {
			of[i] = m.Record
		}
		comps, err := t.v.Components(ctx, of)
		if err != nil {
			return err
		}
		r, err := t.retrace(ctx, comps)
		if err != nil {
			return err
		}
		if err := r.making(ctx, out); err != nil {
			return err
		}
		first := t.feature(of[0])
		out.Model = t.matcher.Explain(first, first).Model
		return nil
	})
	return out, err
}

// retold is a clustering that was made again.
type retold struct {
	*talk
	in      map[customer.RecordID]customer.CustomerID // live records of the components, and where they are
	unions  []customer.Union
	current bool // it leads to what is stored
}

// retrace clusters components again.
func (t *talk) retrace(ctx context.Context, comps []*customer.Component) (*retold, error) {
	r := &retold{talk: t, in: map[customer.RecordID]customer.CustomerID{}, current: true}
	var live []customer.Membership
	var ids []customer.RecordID
	for _, c := range comps {
		for _, m := range c.Members {
			if m.Live {
				live, ids = append(live, m), append(ids, m.Record)
				r.in[m.Record] = m.Customer
			}
		}
	}
	if len(live) > MaxRetold {
		return nil, event.Errorf(event.Permanent, "too_large", "", "it is connected with %d records, and how %d are divided is made again "+
			"at most: ask why of two of its records", len(live), MaxRetold)
	}
	if err := t.load(ctx, ids); err != nil {
		return nil, err
	}
	var parts [][]customer.RecordID
	for _, c := range comps {
		records, decisions := []*customer.Features{}, []customer.Decision{}
		for _, m := range c.Members {
			if f := t.feature(m.Record); f != nil && m.Live {
				as := *f
				as.Node = m.Node // an older program may have read the same record otherwise
				records = append(records, &as)
			}
		}
		for _, d := range c.Decisions {
			_, a := r.in[d.A]
			if _, b := r.in[d.B]; a && b && !d.Undone {
				decisions = append(decisions, d)
			}
		}
		divided, unions := t.matcher.Retrace(records, c.Edges, decisions)
		parts, r.unions = append(parts, divided...), append(r.unions, unions...)
	}
	r.current = r.matches(parts)
	for i := range r.unions {
		u := &r.unions[i]
		u.A, u.B = t.member(u.A.Record), t.member(u.B.Record)
	}
	return r, nil
}

// matches tells whether a partition is that which stands.
func (r *retold) matches(parts [][]customer.RecordID) bool {
	seen := map[customer.CustomerID]bool{}
	n := 0
	for _, part := range parts {
		c := r.in[part[0]]
		if seen[c] || slices.ContainsFunc(part, func(id customer.RecordID) bool { return r.in[id] != c }) {
			return false
		}
		seen[c] = true
		n += len(part)
	}
	return n == len(r.in)
}

// making picks what concerns one customer: the steps within it, numbered anew, and what was refused between it and others.
func (r *retold) making(_ context.Context, out *customer.Making) error {
	number := map[int]int{}
	renumber := func(u *customer.Union) {
		u.Left.Step, u.Right.Step = number[u.Left.Step], number[u.Right.Step]
	}
	for _, u := range r.unions {
		a, b := r.in[u.A.Record] == out.Customer, r.in[u.B.Record] == out.Customer
		switch {
		case u.Refused == "" && a && b:
			if u.By != customer.ByAlike {
				number[u.Step] = len(number) + 1
				u.Step = number[u.Step]
			}
			renumber(&u)
			out.Steps = append(out.Steps, u)
		case u.Refused != "" && a != b:
			renumber(&u)
			out.Apart = append(out.Apart, u)
		}
	}
	out.Current = r.current
	if len(out.Apart) > MaxApart {
		out.Apart, out.Cut = out.Apart[:MaxApart], true
	}
	return nil
}

// WhyNot tells what keeps two parties apart, as Why names them: everything that is in the way, what it would take, and what the clustering
// refused. Of two that are one customer nothing is in the way.
func (e *Explainer) WhyNot(ctx context.Context, a, b string) (out *customer.Explanation, err error) {
	err = e.ask(ctx, func(t *talk) error {
		p, err := t.pair(ctx, a, b)
		if err != nil {
			return err
		}
		if out, err = t.explain(ctx, p); err != nil || out.Same {
			return err
		}
		out.Apart, err = t.obstacles(ctx, p, out)
		return err
	})
	return out, err
}

// obstacles answers what keeps the customers of a pair apart, the strongest first.
func (t *talk) obstacles(ctx context.Context, p *pairing, x *customer.Explanation) ([]customer.Obstacle, error) {
	var out []customer.Obstacle
	add := func(kind string, missing customer.Weight, u *customer.Union, format string, args ...any) {
		out = append(out, customer.Obstacle{Kind: kind, Missing: missing, Union: u, Text: fmt.Sprintf(format, args...)})
	}
	between := func(a, b customer.RecordID) bool {
		inA, inB := p.where[a].Customer, p.where[b].Customer
		return inA == p.inA && inB == p.inB || inA == p.inB && inB == p.inA
	}
	for _, c := range p.comps {
		for _, d := range c.Decisions {
			if d.Kind == customer.NotSame && !d.Undone && between(d.A, d.B) {
				add("decision", 0, nil, "%s has decided on %s that two of their records are not the same; onefold customer undo %s takes it back",
					d.Author, d.At.UTC().Format("2006-01-02"), d.ID)
			}
		}
	}
	if x.Rule == customer.CannotLink {
		add("rule", 0, nil, "they hold different verified identifiers of a kind of which a party has one")
	}
	edges, err := t.tried(ctx, p, between)
	if err != nil {
		return nil, err
	}
	for i := range edges {
		u := &edges[i]
		if kind := string(u.Refused); !slices.ContainsFunc(out, func(o customer.Obstacle) bool { return o.Kind == kind }) {
			missing := customer.Weight(0)
			if u.Refused == customer.RefusedByMean {
				missing = u.Margin - customer.Weight(int64(u.Sum)/int64(u.Pairs))
			}
			add(kind, missing, u, "%s", refusal(u))
		}
	}
	joins := x.Rule == customer.MustLink || x.Weight >= x.Threshold
	if !joins {
		add("weight", x.Threshold-x.Weight, nil, "the pair that comes closest has %.1f bits of evidence and needs %.1f",
			x.Weight.Float(), x.Threshold.Float())
	}
	switch known := slices.ContainsFunc(p.comps, func(c *customer.Component) bool {
		return slices.ContainsFunc(c.Edges, func(e customer.Edge) bool {
			return e.NodePair == customer.NewNodePair(p.where[p.a].Node, p.where[p.b].Node)
		})
	}); {
	case known || proposed(x.Keys):
	case len(x.Keys) == 0:
		add("keys", 0, nil, "the pair that comes closest shares no key, so nothing brings the two together")
	default:
		add("keys", 0, nil, "all keys that the pair that comes closest shares are held by too many to propose anybody")
	}
	return out, nil
}

// tried answers the unions between two customers that the clustering refused. In two components there are none.
func (t *talk) tried(ctx context.Context, p *pairing, between func(a, b customer.RecordID) bool) ([]customer.Union, error) {
	if len(p.comps) != 1 {
		return nil, nil
	}
	r, err := t.retrace(ctx, p.comps)
	if err != nil {
		return nil, err
	}
	unions := slices.DeleteFunc(r.unions, func(u customer.Union) bool {
		return u.Refused == "" || !between(u.A.Record, u.B.Record)
	})
	// What was refused last was refused of the largest groups: it tells how the two stand in the end.
	slices.Reverse(unions)
	slices.SortStableFunc(unions, func(a, b customer.Union) int {
		return cmp.Compare(b.Left.Records+b.Right.Records, a.Left.Records+a.Right.Records)
	})
	return unions, nil
}

// refusal says in words why a union was refused.
func refusal(u *customer.Union) string {
	switch u.Refused {
	case customer.RefusedByDecision:
		return "a person has decided that two of their records are not the same"
	case customer.RefusedByRule:
		return "two of their records hold different verified identifiers of a kind of which a party has one"
	case customer.RefusedByMean:
		return fmt.Sprintf("the mean evidence over all %d pairs of their records is %+.1f bits, and %+.1f are needed",
			u.Pairs, u.Sum.Float()/float64(u.Pairs), u.Margin.Float())
	case customer.RefusedAsSettled:
		return "one personal trait speaks against it, and both sides were said more than once: it is no slip"
	case customer.RefusedAsTwins:
		return "the given names differ and the rest agrees: they may be twins"
	case customer.RefusedAsFamily:
		return "one personal trait speaks against it, and others of the family live there: they may be twins, or parent and child"
	case customer.RefusedByLimit:
		return "more records are connected here than are divided together, and the weakest connections were left out"
	}
	return string(u.Refused)
}
