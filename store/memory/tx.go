package memory

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// View runs fn on the store as it stands; writers wait meanwhile.
func (s *Store) View(ctx context.Context, fn func(customer.View) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(view{s})
}

// conflicts bounds how often Update calls its function (invariant 10).
const conflicts = 10

// Update runs fn alone. What it asks for is done only when it has returned nil.
func (s *Store) Update(ctx context.Context, fn func(customer.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range conflicts {
		if err = s.update(ctx, fn); !errors.Is(err, customer.ErrConflict) {
			break
		}
	}
	return err
}

func (s *Store) update(ctx context.Context, fn func(customer.Tx) error) error {
	if s.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &tx{view: view{s}}
	if err := fn(t); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.delta != nil {
		if err := s.apply(t.delta); err != nil { // before anything is changed
			return err
		}
	}
	for _, a := range t.advances {
		s.positions[a.Partition] = a.Position
	}
	return nil
}

// tx gathers what a transaction asks for.
type tx struct {
	view
	advances []event.Advance
	delta    *customer.Delta
}

// Advance checks the positions against what stands (invariants 1 and 2).
func (t *tx) Advance(ctx context.Context, advances []event.Advance) error {
	for _, a := range advances {
		now, known := t.s.positions[a.Partition]
		if !known {
			now = event.Position{Next: -1}
		}
		for _, before := range t.advances { // of this transaction
			if before.Partition == a.Partition {
				now = before.Position
			}
		}
		switch {
		case now.Owner == 0 || now.Owner != a.Owner: // whoever claims is 1 or more
			return event.ErrFenced
		case now.Next != a.Expect:
			return event.ErrAlready
		}
		t.advances = append(t.advances, a)
	}
	return ctx.Err()
}

// Apply takes the delta; it is written when the transaction ends well.
func (t *tx) Apply(ctx context.Context, d *customer.Delta) error {
	if t.delta != nil {
		return errors.New("a transaction applies one delta")
	}
	t.delta = d
	return ctx.Err()
}

func (s *Store) apply(d *customer.Delta) error {
	entries := make([]customer.OutboxEntry, len(d.Customers))
	for i, c := range d.Customers { // what can fail comes first
		value, err := c.Published()
		if err != nil {
			return err
		}
		entries[i] = customer.OutboxEntry{ID: c.PublishedID(), Customer: c.ID, Version: c.Version, Time: c.UpdatedAt, Value: value}
	}
	if err := s.stand(d); err != nil {
		return err
	}
	for _, r := range d.Records {
		s.records[r.ID] = r
	}
	for _, k := range d.Keys {
		s.hold(k)
	}
	for _, p := range d.DropEdges {
		for _, n := range []customer.NodeID{p.A, p.B} {
			if delete(s.edges[n], p); len(s.edges[n]) == 0 {
				delete(s.edges, n)
			}
		}
	}
	for _, e := range d.Edges {
		for _, n := range []customer.NodeID{e.A, e.B} {
			if s.edges[n] == nil {
				s.edges[n] = map[customer.NodePair]customer.Edge{}
			}
			s.edges[n][e.NodePair] = e
		}
	}
	for _, m := range d.Members {
		s.move(m)
	}
	for i, c := range d.Customers {
		s.customers[c.ID] = c
		s.seq++
		entries[i].Seq = s.seq
		s.outbox = append(s.outbox, entries[i])
		s.line(c.ID)
	}
	for _, in := range d.Interactions {
		s.tell(in)
	}
	for _, dec := range d.Decisions {
		if _, known := s.decisions[dec.ID]; !known {
			s.decided[dec.A] = append(s.decided[dec.A], dec.ID)
			s.decided[dec.B] = append(s.decided[dec.B], dec.ID)
		}
		s.decisions[dec.ID] = dec
	}
	s.leave(d.Possible)
	for _, l := range d.Dead {
		s.lay(l)
	}
	s.name(d.Named)
	s.settle(d.Settled)
	s.forget(d)
	return nil
}

// forget follows an erasure to its copies: what still waits to be published of the customers that a record is or once was part of, what
// dead letters hold of it, and the reasons of decisions about it. The newest versions stay: they say what is true now.
func (s *Store) forget(d *customer.Delta) {
	touched, messages := map[customer.CustomerID]bool{}, map[string]bool{}
	for _, r := range d.Erased {
		for id := range s.stays[r] {
			touched[id] = true
		}
		for _, id := range s.decided[r] {
			dec := s.decisions[id]
			dec.Reason = ""
			s.decisions[id] = dec
		}
		maps.Copy(messages, s.named[r])
		delete(s.named, r)
	}
	for message := range messages {
		delete(s.contents, message)
	}
	s.blank(messages)
	for _, c := range d.Customers {
		if c.Status == customer.Erased {
			touched[c.ID] = true
			s.unsay(c.ID)
		}
	}
	if len(touched) == 0 {
		return
	}
	for id := range touched {
		if c := s.customers[id]; c != nil && c.Status == customer.Merged {
			s.unlearn(id)
		}
	}
	s.outbox = slices.DeleteFunc(slices.Clone(s.outbox), func(e customer.OutboxEntry) bool {
		return touched[e.Customer] && e.Version < s.customers[e.Customer].Version
	})
}

// hold replaces a node's keys.
func (s *Store) hold(set customer.KeySet) {
	for _, k := range s.held[set.Node].Keys {
		if s.holders[k] = without(s.holders[k], set.Node); len(s.holders[k]) == 0 {
			delete(s.holders, k)
		}
	}
	delete(s.held, set.Node)
	if len(set.Keys) == 0 {
		return
	}
	for _, k := range set.Keys {
		s.holders[k] = with(s.holders[k], set.Node)
	}
	s.held[set.Node] = set
}

// with and without answer a sorted list with an id and without it. The list stays as it was: somebody may have been given it.
func with[ID ~[16]byte](ids []ID, id ID) []ID {
	i, found := slices.BinarySearchFunc(ids, id, compare)
	if found {
		return ids
	}
	return slices.Insert(slices.Clone(ids), i, id)
}

func without[ID ~[16]byte](ids []ID, id ID) []ID {
	i, found := slices.BinarySearchFunc(ids, id, compare)
	if !found {
		return ids
	}
	return slices.Delete(slices.Clone(ids), i, i+1)
}

// move replaces a record's membership.
func (s *Store) move(m customer.Membership) {
	if old, known := s.members[m.Record]; known {
		if s.components[old.Component] = without(s.components[old.Component], m.Record); len(s.components[old.Component]) == 0 {
			delete(s.components, old.Component)
		}
		if s.nodes[old.Node] = without(s.nodes[old.Node], m.Record); len(s.nodes[old.Node]) == 0 {
			delete(s.nodes, old.Node)
		}
		delete(s.ofCustomer[old.Customer], m.Record)
	}
	s.members[m.Record] = m
	s.components[m.Component] = with(s.components[m.Component], m.Record)
	if m.Live {
		s.nodes[m.Node] = with(s.nodes[m.Node], m.Record)
	}
	if s.ofCustomer[m.Customer] == nil {
		s.ofCustomer[m.Customer] = map[customer.RecordID]bool{}
	}
	s.ofCustomer[m.Customer][m.Record] = true
	if s.stays[m.Record] == nil {
		s.stays[m.Record] = map[customer.CustomerID]bool{}
	}
	s.stays[m.Record][m.Customer] = true
	if s.residents[m.Customer] == nil {
		s.residents[m.Customer] = map[customer.RecordID]bool{}
	}
	s.residents[m.Customer][m.Record] = true
}

// tell replaces an interaction.
func (s *Store) tell(in *customer.Interaction) {
	if old := s.interactions[in.ID]; old != nil {
		for _, p := range old.Parties {
			delete(s.ofRecord[p.Record], in.ID)
		}
	}
	s.interactions[in.ID] = in
	for _, p := range in.Parties {
		if s.ofRecord[p.Record] == nil {
			s.ofRecord[p.Record] = map[customer.InteractionID]bool{}
		}
		s.ofRecord[p.Record][in.ID] = true
	}
}
