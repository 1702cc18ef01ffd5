package explain

import (
	"context"
	"fmt"
	"slices"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Why explains two parties to each other. Each is named by a customer's id, a record's id, or source/key; of a customer the
// record that speaks loudest for the other side is taken.
func (e *Explainer) Why(ctx context.Context, a, b string) (out *customer.Explanation, err error) {
	err = e.ask(ctx, func(t *talk) error {
		p, err := t.pair(ctx, a, b)
		if err == nil {
			out, err = t.explain(ctx, p)
		}
		return err
	})
	return out, err
}

// pairing is two records that are compared, and what surrounds them.
type pairing struct {
	a, b         customer.RecordID
	inA, inB     customer.CustomerID
	comps        []*customer.Component
	where        map[customer.RecordID]customer.Membership
	sideA, sideB []customer.RecordID // all that were named
}

func (t *talk) pair(ctx context.Context, a, b string) (*pairing, error) {
	as, err := t.named(ctx, "a", a)
	if err != nil {
		return nil, err
	}
	bs, err := t.named(ctx, "b", b)
	if err != nil {
		return nil, err
	}
	if err := t.load(ctx, slices.Concat(as, bs)); err != nil {
		return nil, err
	}
	p := &pairing{sideA: as, sideB: bs, where: map[customer.RecordID]customer.Membership{}}
	var found bool
	if p.a, p.b, found = t.loudest(as, bs); !found {
		return nil, event.Errorf(event.Permanent, "validation", "b",
			"two different live records are needed, and there is one: name two customers or two records")
	}
	if p.comps, err = t.v.Components(ctx, []customer.RecordID{p.a, p.b}); err != nil {
		return nil, err
	}
	for _, c := range p.comps {
		for _, m := range c.Members {
			p.where[m.Record] = m
		}
	}
	p.inA, p.inB = p.where[p.a].Customer, p.where[p.b].Customer
	return p, nil
}

func (t *talk) explain(ctx context.Context, p *pairing) (*customer.Explanation, error) {
	fa, fb := t.feature(p.a), t.feature(p.b)
	out := &customer.Explanation{
		A: customer.Side{Member: t.member(p.a), Customer: p.inA}, B: customer.Side{Member: t.member(p.b), Customer: p.inB},
		Same: p.inA == p.inB, Evidence: t.matcher.Explain(fa, fb),
	}
	pair := customer.NewPair(p.a, p.b)
	for _, c := range p.comps {
		for _, d := range c.Decisions {
			if d.Pair == pair && !d.Undone && (out.Decision == nil || d.Kind == customer.NotSame) {
				out.Decision = &d
			}
		}
	}
	if out.Same {
		if err := t.way(ctx, out, p); err != nil {
			return nil, err
		}
	}
	var err error
	if out.Keys, err = t.sharedKeys(ctx, fa, fb); err != nil {
		return nil, err
	}
	out.Verdict = sentence(out)
	return out, nil
}

// way finds the shortest chain of joining edges within the customer, if the two are not joined directly. It goes from node to node,
// and shows one record of each.
func (t *talk) way(ctx context.Context, x *customer.Explanation, p *pairing) error {
	next := map[customer.NodeID][]customer.NodeID{}
	shown := map[customer.NodeID]customer.RecordID{}
	for _, c := range p.comps {
		for _, m := range c.Members {
			if _, known := shown[m.Node]; m.Live && m.Customer == p.inA && !known {
				shown[m.Node] = m.Record
			}
		}
		for _, e := range c.Edges {
			_, a := shown[e.A]
			_, b := shown[e.B]
			if a && b && (e.Weight >= e.Threshold || e.Rule == customer.MustLink) {
				next[e.A], next[e.B] = append(next[e.A], e.B), append(next[e.B], e.A)
			}
		}
	}
	first, last := p.where[p.a].Node, p.where[p.b].Node
	from := map[customer.NodeID]customer.NodeID{first: first}
	for queue := []customer.NodeID{first}; len(queue) > 0; queue = queue[1:] {
		for _, n := range next[queue[0]] {
			if _, seen := from[n]; !seen {
				from[n] = queue[0]
				queue = append(queue, n)
			}
		}
	}
	var between []customer.RecordID
	if _, reached := from[last]; reached && first != last {
		for n := from[last]; n != first; n = from[n] {
			between = append(between, shown[n])
		}
	}
	slices.Reverse(between)
	if err := t.load(ctx, between); err != nil {
		return err
	}
	for _, id := range between {
		x.Path = append(x.Path, t.member(id))
	}
	return nil
}

// proposed tells whether the two share a key that speaks.
func proposed(keys []customer.SharedKey) bool {
	return slices.ContainsFunc(keys, func(k customer.SharedKey) bool { return !k.Generic })
}

// sentence says the verdict in words, without personal data.
func sentence(x *customer.Explanation) string {
	relation := fmt.Sprintf("%.1f bits of evidence, %.1f needed", x.Weight.Float(), x.Threshold.Float())
	switch {
	case x.Decision != nil && x.Decision.Kind == customer.NotSame:
		return "kept apart by a decision of " + x.Decision.Author
	case x.Decision != nil && x.Same:
		return "joined by a decision of " + x.Decision.Author
	case x.Rule == customer.CannotLink && !x.Same:
		return "kept apart: they hold different verified identifiers of a kind of which a party has one"
	case x.Rule == customer.MustLink && x.Same:
		return "joined: they share a strong identifier, or their source joined them"
	case x.Same && len(x.Path) > 0:
		return fmt.Sprintf("one customer by way of %d other records; between these two alone %s", len(x.Path), relation)
	case x.Same:
		return "joined: " + relation
	case x.Weight >= x.Threshold && !proposed(x.Keys):
		return "not joined, although there is " + relation + ": all that they share is held by too many to propose anybody"
	case x.Weight >= x.Threshold:
		return "not joined, although there is " + relation + ": other records of the two customers speak against it"
	default:
		return "not joined: " + relation
	}
}
