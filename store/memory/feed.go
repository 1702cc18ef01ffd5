package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// place is where a customer stands in the feed of targets: at the number of an entry of the outbox.
type place struct {
	seq int64
	id  customer.CustomerID
}

// line puts a customer at the end of the feed, at the number of the entry that was just written.
func (s *Store) line(id customer.CustomerID) {
	s.feed = append(s.feed, place{s.seq, id})
	s.places[id] = s.seq
	if len(s.feed) > 2*len(s.places)+64 {
		s.feed = slices.DeleteFunc(s.feed, func(p place) bool { return s.places[p.id] != p.seq })
	}
}

// behind answers the feed behind a place; entries of customers that stand further back by now are still among them.
func (s *Store) behind(after int64) []place {
	i, _ := slices.BinarySearchFunc(s.feed, after+1, func(p place, seq int64) int { return cmp.Compare(p.seq, seq) })
	return s.feed[i:]
}

// Changed answers customers behind a place in the feed, each once, as they are now, in the order in which they last changed, at most
// limit. With them it answers the place of the last one; where there is none, the one given.
func (s *Store) Changed(_ context.Context, after int64, limit int) ([]*customer.Customer, int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*customer.Customer
	for _, p := range s.behind(after) {
		if len(out) >= limit {
			break
		}
		if s.places[p.id] == p.seq {
			out, after = append(out, s.customers[p.id]), p.seq
		}
	}
	return out, after, s.alive()
}

// Behind answers how many customers stand in the feed behind a place, and when the first of them changed; zero where none does.
func (s *Store) Behind(_ context.Context, after int64) (waiting int64, oldest time.Time, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.behind(after) {
		if s.places[p.id] != p.seq {
			continue
		}
		if waiting++; waiting == 1 {
			oldest = s.customers[p.id].UpdatedAt
		}
	}
	return waiting, oldest, s.alive()
}

// TargetPosition answers how far a target has been given the feed; 0 for one that was given nothing.
func (s *Store) TargetPosition(_ context.Context, target string) (int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.targets[target], s.alive()
}

// KeepReceipts writes receipts of a target and, unless it is negative, its position in the feed, together.
func (s *Store) KeepReceipts(ctx context.Context, target string, receipts []event.Receipt, position int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]customer.CustomerID, len(receipts))
	for i := range receipts {
		if err := ids[i].UnmarshalText([]byte(receipts[i].Customer)); err != nil {
			return fmt.Errorf("a receipt of %s: %w", target, err)
		}
	}
	if err := cmp.Or(s.alive(), ctx.Err()); err != nil {
		return err
	}
	if s.receipts[target] == nil {
		s.receipts[target] = map[customer.CustomerID]event.Receipt{}
	}
	for i, r := range receipts {
		r.Target, r.Said, r.Heard = target, slices.Clone(r.Said), slices.Clone(r.Heard)
		s.receipts[target][ids[i]] = r
	}
	if position >= 0 {
		s.targets[target] = position
	}
	return nil
}

// Renew sets a target back to the beginning of the feed and forgets what it holds, so that everything is written to it again.
func (s *Store) Renew(_ context.Context, target string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets[target] = 0
	for id, r := range s.receipts[target] {
		r.Hash = ""
		s.receipts[target][id] = r
	}
	return s.alive()
}

// unsay takes out of receipts what tells of an erased customer's values; that it must be removed stays known.
func (s *Store) unsay(id customer.CustomerID) {
	for _, of := range s.receipts {
		if r, known := of[id]; known {
			r.Hash, r.Said, r.Last, r.Heard = "", nil, 0, nil
			of[id] = r
		}
	}
}

// unlearn takes all out of the receipts of a customer that was merged and removed: there is no later word on it, and the one whom it came
// to is erased.
func (s *Store) unlearn(id customer.CustomerID) {
	for _, of := range s.receipts {
		if r, known := of[id]; known && r.State == event.Removed {
			r.RemoteID, r.RemoteVersion, r.Hash, r.Said, r.Last, r.Heard = "", "", "", nil, 0, nil
			of[id] = r
		}
	}
}

// Receipts answers a target's receipt of each customer, nil where there is none.
func (s *Store) Receipts(_ context.Context, target string, of []customer.CustomerID) ([]*event.Receipt, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*event.Receipt, len(of))
	for i, id := range of {
		if r, known := s.receipts[target][id]; known {
			r.Said, r.Heard = slices.Clone(r.Said), slices.Clone(r.Heard)
			out[i] = &r
		}
	}
	return out, s.alive()
}

// ReceiptsOf answers a target's receipts of entries that it knows under ids of its own, in any order; where it knows none, nothing.
func (s *Store) ReceiptsOf(_ context.Context, target string, remotes []string) ([]event.Receipt, error) {
	return s.choose(target, func(r *event.Receipt) bool { return r.RemoteID != "" && slices.Contains(remotes, r.RemoteID) })
}

// OwedReceipts answers a target's receipts of what is to be done by a time, the earliest first, at most limit.
func (s *Store) OwedReceipts(_ context.Context, target string, due time.Time, limit int) ([]event.Receipt, error) {
	out, err := s.choose(target, func(r *event.Receipt) bool { return !r.Next.IsZero() && !r.Next.After(due) })
	slices.SortStableFunc(out, func(a, b event.Receipt) int { return a.Next.Compare(b.Next) })
	return out[:within(limit, len(out))], err
}

// RefusedReceipts answers the receipts of customers that a target has refused, in the order of their ids, behind the id after (from the
// first where it is empty), at most limit.
func (s *Store) RefusedReceipts(_ context.Context, target, after string, limit int) ([]event.Receipt, error) {
	var from customer.CustomerID
	if after != "" {
		if err := from.UnmarshalText([]byte(after)); err != nil {
			return nil, fmt.Errorf("refused customers after %q: %w", after, customer.ErrNotFound)
		}
	}
	out, err := s.choose(target, func(r *event.Receipt) bool { return r.State == event.Refused })
	at, found := slices.BinarySearchFunc(out, from, func(r event.Receipt, id customer.CustomerID) int {
		var of customer.CustomerID
		_ = of.UnmarshalText([]byte(r.Customer)) // it was kept under it
		return compare(of, id)
	})
	if found {
		at++
	}
	out = out[at:]
	return out[:within(limit, len(out))], err
}

// CountReceipts answers how many receipts of a target are in each state.
func (s *Store) CountReceipts(_ context.Context, target string) (map[event.ReceiptState]int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[event.ReceiptState]int64{}
	for _, r := range s.receipts[target] {
		out[r.State]++
	}
	return out, s.alive()
}

// choose answers receipts of a target by the ids of their customers.
func (s *Store) choose(target string, is func(*event.Receipt) bool) ([]event.Receipt, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []event.Receipt
	of := s.receipts[target]
	for _, id := range slices.SortedFunc(maps.Keys(of), compare) {
		if r := of[id]; is(&r) {
			r.Said, r.Heard = slices.Clone(r.Said), slices.Clone(r.Heard)
			out = append(out, r)
		}
	}
	return out, s.alive()
}

// Republish has every customer leave once more as it is now: an entry of the outbox for each whose newest version does not wait there
// already, aliases and tombstones with them. It answers how many. Targets are not given them again.
func (s *Store) Republish(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(); err != nil {
		return 0, err
	}
	waits := map[string]bool{}
	for _, e := range s.outbox {
		waits[e.ID] = true
	}
	var n int64
	for _, id := range slices.SortedFunc(maps.Keys(s.customers), func(a, b customer.CustomerID) int { return slices.Compare(a[:], b[:]) }) {
		c := s.customers[id]
		if waits[c.PublishedID()] {
			continue
		}
		value, err := c.Published()
		if err != nil {
			return n, err
		}
		s.seq++
		s.outbox = append(s.outbox, customer.OutboxEntry{
			Seq: s.seq, ID: c.PublishedID(), Customer: id, Version: c.Version, Time: c.UpdatedAt, Value: value,
		})
		n++
	}
	return n, nil
}
