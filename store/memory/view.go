package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
)

// view answers from the state; the store's lock is held for as long as it is used.
type view struct{ s *Store }

func (v view) Records(ctx context.Context, ids []customer.RecordID) ([]*customer.Record, error) {
	return pick(ctx, v.s.records, ids)
}

func (v view) Customers(ctx context.Context, ids []customer.CustomerID) ([]*customer.Customer, error) {
	return pick(ctx, v.s.customers, ids)
}

// Former reads what move has noted.
func (v view) Former(ctx context.Context, of []customer.RecordID) ([]customer.CustomerID, error) {
	var out []customer.CustomerID
	for _, rec := range of {
		for id := range v.s.stays[rec] {
			if !id.IsZero() {
				out = append(out, id)
			}
		}
	}
	slices.SortFunc(out, func(a, b customer.CustomerID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(out), ctx.Err()
}

func (v view) Decisions(ctx context.Context, ids []string) ([]*customer.Decision, error) {
	out := make([]*customer.Decision, len(ids))
	for i, id := range ids {
		if d, known := v.s.decisions[id]; known {
			out[i] = &d
		}
	}
	return out, ctx.Err()
}

func (v view) Interactions(ctx context.Context, ids []customer.InteractionID) ([]*customer.Interaction, error) {
	return pick(ctx, v.s.interactions, ids)
}

func pick[K comparable, V any](ctx context.Context, from map[K]*V, ids []K) ([]*V, error) {
	out := make([]*V, len(ids))
	for i, id := range ids {
		out[i] = from[id]
	}
	return out, ctx.Err()
}

func (v view) Holders(ctx context.Context, keys []customer.Key, limit int) ([][]customer.Holder, error) {
	out := make([][]customer.Holder, len(keys))
	for i, k := range keys {
		for _, n := range v.s.holders[k] {
			if of := v.s.nodes[n]; len(of) > 0 && len(out[i]) < limit {
				out[i] = append(out[i], customer.Holder{Node: n, Record: of[0]})
			}
		}
	}
	return out, ctx.Err()
}

func (v view) Nodes(ctx context.Context, nodes []customer.NodeID, limit int) ([][]customer.RecordID, error) {
	out := make([][]customer.RecordID, len(nodes))
	for i, n := range nodes {
		of := v.s.nodes[n]
		out[i] = slices.Clone(of[:within(limit, len(of))])
	}
	return out, ctx.Err()
}

func (v view) Indexed(ctx context.Context, after customer.NodeID, limit int) ([]customer.NodeID, error) {
	var out []customer.NodeID
	for n := range v.s.held {
		if compare(n, after) > 0 {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, compare)
	return out[:within(limit, len(out))], ctx.Err()
}

func (v view) Components(ctx context.Context, of []customer.RecordID) ([]*customer.Component, error) {
	seen := map[customer.RecordID]bool{}
	var out []*customer.Component
	for _, id := range of {
		m, known := v.s.members[id]
		if !known || seen[m.Component] {
			continue
		}
		seen[m.Component] = true
		out = append(out, v.component(m.Component))
	}
	return out, ctx.Err()
}

func (v view) component(name customer.RecordID) *customer.Component {
	c := &customer.Component{}
	inside := map[customer.RecordID]bool{}
	nodes := map[customer.NodeID]bool{}
	for _, id := range v.s.components[name] {
		m := v.s.members[id]
		c.Members = append(c.Members, m)
		if inside[id] = true; m.Live {
			nodes[m.Node] = true
		}
	}
	for n := range nodes {
		for p, e := range v.s.edges[n] {
			if p.A == n {
				c.Edges = append(c.Edges, e)
			}
		}
	}
	decisions := map[string]bool{}
	for _, m := range c.Members {
		for _, id := range v.s.decided[m.Record] {
			if d := v.s.decisions[id]; !d.Undone && inside[d.A] && inside[d.B] && !decisions[id] {
				decisions[id] = true
				c.Decisions = append(c.Decisions, d)
			}
		}
	}
	slices.SortFunc(c.Edges, func(a, b customer.Edge) int {
		return cmp.Or(bytes.Compare(a.A[:], b.A[:]), bytes.Compare(a.B[:], b.B[:]))
	})
	slices.SortFunc(c.Decisions, func(a, b customer.Decision) int { return strings.Compare(a.ID, b.ID) })
	return c
}

func (v view) Timeline(ctx context.Context, of []customer.RecordID, limit int) ([]*customer.Interaction, error) {
	seen := map[customer.InteractionID]bool{}
	var out []*customer.Interaction
	for _, rec := range of {
		for id := range v.s.ofRecord[rec] {
			if !seen[id] {
				seen[id] = true
				out = append(out, v.s.interactions[id])
			}
		}
	}
	slices.SortFunc(out, func(a, b *customer.Interaction) int {
		return cmp.Or(b.OccurredAt.Compare(a.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out[:within(limit, len(out))], ctx.Err()
}

func (v view) Partaken(
	ctx context.Context, of []customer.RecordID, after customer.InteractionID, limit int,
) ([]*customer.Interaction, error) {
	var ids []customer.InteractionID
	for _, rec := range of {
		for id := range v.s.ofRecord[rec] {
			if bytes.Compare(id[:], after[:]) > 0 {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, func(a, b customer.InteractionID) int { return bytes.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	return v.Interactions(ctx, ids[:within(limit, len(ids))])
}

func (v view) Members(ctx context.Context, of []customer.CustomerID) ([][]customer.Membership, error) {
	out := make([][]customer.Membership, len(of))
	for i, c := range of {
		for _, rec := range slices.SortedFunc(maps.Keys(v.s.residents[c]), compare) {
			out[i] = append(out[i], v.s.members[rec])
		}
	}
	return out, ctx.Err()
}

func compare[ID ~[16]byte](a, b ID) int { return bytes.Compare(a[:], b[:]) }

// within answers how many of n a limit lets through; one below zero is zero.
func within(limit, n int) int { return max(0, min(limit, n)) }
