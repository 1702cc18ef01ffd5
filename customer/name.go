package customer

import (
	"bytes"
	"cmp"
	"context"
	"slices"
)

// claim is a cluster's claim to a customer id that some of its records had.
type claim struct {
	of      *cluster
	id      CustomerID
	records int
	oldest  RecordID
}

// name gives each cluster its customer id: the one that most of its records had (tie: the oldest, then the smallest); a cluster that
// gets none takes its oldest record's birth id if that is free. It answers the stored customers of all ids involved.
func (w *work) name(ctx context.Context, world *world, clusters []*cluster) (map[CustomerID]*Customer, error) {
	known := map[CustomerID]*Customer{}
	var prior []CustomerID
	var claims []claim
	for _, c := range clusters {
		slices.SortFunc(c.records, w.older)
		first := len(claims)
		for _, id := range c.records {
			had := world.members[id].Customer
			if had.IsZero() {
				continue
			}
			i := first + slices.IndexFunc(claims[first:], func(cl claim) bool { return cl.id == had })
			if i < first {
				i = len(claims)
				claims = append(claims, claim{of: c, id: had, oldest: id})
			}
			claims[i].records++
		}
	}
	for _, m := range world.members {
		prior = append(prior, m.Customer)
	}
	if err := w.customers(ctx, known, prior); err != nil {
		return nil, err
	}
	world.own(known)
	claims = slices.DeleteFunc(claims, func(cl claim) bool { return !world.owned[cl.id] })
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(b.records, a.records), w.older(a.oldest, b.oldest), bytes.Compare(a.id[:], b.id[:]))
	})
	taken := map[CustomerID]bool{}
	for _, cl := range claims {
		switch {
		case !cl.of.id.IsZero(): // has one
		case taken[cl.id]:
			cl.of.split = true
		default:
			cl.of.id, taken[cl.id] = cl.id, true
		}
	}
	return known, w.birth(ctx, world, clusters, known, taken)
}

// own finds out which customers' fate is decided here: those that have live records here, and then have all of them here, and
// those that have none anywhere. A record that comes back to life may remember a customer that others carry on elsewhere.
func (world *world) own(known map[CustomerID]*Customer) {
	world.owned = map[CustomerID]bool{}
	for _, m := range world.stored {
		if c := known[m.Customer]; c != nil && (m.Live || c.Status != Active) {
			world.owned[m.Customer] = true
		}
	}
}

// older puts the record that we heard of first first.
func (w *work) older(a, b RecordID) int {
	return cmp.Or(w.record(a).Born.Compare(w.record(b).Born), compareIDs(a, b))
}

// birth names the clusters that no claim named.
func (w *work) birth(
	ctx context.Context, world *world, clusters []*cluster, known map[CustomerID]*Customer, taken map[CustomerID]bool,
) error {
	var nameless []*cluster
	for _, c := range clusters {
		if c.id.IsZero() {
			nameless = append(nameless, c)
		}
	}
	for n := 0; len(nameless) > 0; n++ { // a second round is needed only by a record split from its own first id
		var ids []CustomerID
		for _, c := range nameless {
			for _, id := range c.records {
				ids = append(ids, id.Birth(n))
			}
		}
		if err := w.customers(ctx, known, ids); err != nil {
			return err
		}
		nameless = slices.DeleteFunc(nameless, func(c *cluster) bool {
			for _, rec := range c.records {
				id := rec.Birth(n)
				if old := known[id]; !taken[id] && (old == nil || world.owned[id] || old.Status != Active) {
					c.id, taken[id] = id, true
					return true
				}
			}
			return false
		})
	}
	return nil
}

// customers reads customers that were not read yet.
func (w *work) customers(ctx context.Context, known map[CustomerID]*Customer, ids []CustomerID) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id CustomerID) bool { return id.IsZero() || known[id] != nil })
	slices.SortFunc(ids, func(a, b CustomerID) int { return bytes.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return nil
	}
	found, err := w.tx.Customers(ctx, ids)
	for i, c := range found {
		if c != nil {
			known[ids[i]] = c
		}
	}
	return err
}

// retire settles the customers that no cluster carries on: an alias of the one that most of their records went to, or gone.
func (w *work) retire(world *world, clusters []*cluster, known map[CustomerID]*Customer) {
	carried := map[CustomerID]bool{}
	for _, c := range clusters {
		carried[c.id] = true
	}
	heirs := map[CustomerID]map[CustomerID]int{} // former customer -> customer -> live records
	erased := map[CustomerID]bool{}
	for id, was := range world.stored {
		if was.Customer.IsZero() {
			continue
		}
		now := world.members[id]
		if heirs[was.Customer] == nil {
			heirs[was.Customer] = map[CustomerID]int{}
		}
		if now.Live {
			heirs[was.Customer][now.Customer]++
		}
		erased[was.Customer] = erased[was.Customer] || w.changed[id] && w.after[id].Erased()
	}
	for former, to := range heirs {
		old := known[former]
		if carried[former] || !world.owned[former] {
			continue
		}
		next := &Customer{ID: former, Version: old.Version + 1, CreatedAt: old.CreatedAt, UpdatedAt: w.now, Status: Gone}
		for heir, n := range to {
			if best := to[next.AliasOf]; next.AliasOf.IsZero() || n > best || n == best && bytes.Compare(heir[:], next.AliasOf[:]) < 0 {
				next.AliasOf, next.Status = heir, Merged
			}
		}
		if next.Status == Gone && erased[former] {
			next.Status = Erased
		}
		if old.Status == next.Status && old.AliasOf == next.AliasOf || old.Status == Erased && next.Status == Gone {
			continue
		}
		if next.Status == Merged {
			w.out.Merged++
		}
		w.delta.Customers = append(w.delta.Customers, next)
	}
	slices.SortFunc(w.delta.Customers, func(a, b *Customer) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}
