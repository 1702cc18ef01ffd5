package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Claim takes the partitions for the caller: whoever claimed them before is fenced off. It answers where to resume, Next -1
// where nothing was read yet.
func (s *Store) Claim(_ context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	out := make([]event.Position, len(partitions))
	for i, n := range partitions {
		p := event.Partition{Source: source, Topic: topic, Partition: n}
		pos, known := s.positions[p]
		if !known {
			pos = event.Position{Partition: p, Next: -1, Epoch: -1}
		}
		pos.Owner++
		s.positions[p] = pos
		out[i] = pos
	}
	return out, nil
}

// Positions answers how far each partition has taken effect, in order.
func (s *Store) Positions(context.Context) ([]event.Position, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]event.Position, 0, len(s.positions))
	for _, p := range s.positions {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b event.Position) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Topic, b.Topic),
			cmp.Compare(a.Partition.Partition, b.Partition.Partition))
	})
	return out, s.alive()
}

// EachCustomer walks over all active customers; writers wait meanwhile.
func (s *Store) EachCustomer(
	ctx context.Context, fn func(*customer.Customer, []*customer.Record, []*customer.Interaction) error,
) error {
	return s.View(ctx, func(v customer.View) error {
		for id, c := range s.customers {
			if c.Status != customer.Active {
				continue
			}
			var records []*customer.Record
			var ids []customer.RecordID
			for rec := range s.ofCustomer[id] {
				if s.members[rec].Live {
					records, ids = append(records, s.records[rec]), append(ids, rec)
				}
			}
			slices.SortFunc(records, func(a, b *customer.Record) int { return compare(a.ID, b.ID) })
			line, err := v.Timeline(ctx, ids, len(s.interactions))
			if err != nil {
				return err
			}
			if err := fn(c, records, line); err != nil {
				return err
			}
		}
		return nil
	})
}

// Pending answers the oldest outbox entries after a sequence number.
func (s *Store) Pending(_ context.Context, after int64, limit int) ([]customer.OutboxEntry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, _ := slices.BinarySearchFunc(s.outbox, after+1, func(e customer.OutboxEntry, seq int64) int { return cmp.Compare(e.Seq, seq) })
	rest := s.outbox[i:]
	rest = rest[:within(limit, len(rest))]
	for i, size := 0, 0; i < len(rest); i++ {
		if size += len(rest[i].Value); size >= customer.MaxPending {
			rest = rest[:i+1]
		}
	}
	return slices.Clone(rest), s.alive()
}

// Published lets the entries up to a sequence number go.
func (s *Store) Published(_ context.Context, upTo int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.outbox, upTo+1, func(e customer.OutboxEntry, seq int64) int { return cmp.Compare(e.Seq, seq) })
	s.outbox = slices.Clone(s.outbox[i:])
	return s.alive()
}

// Counts answers how much the store holds.
func (s *Store) Counts(context.Context) (customer.Counts, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := customer.Counts{DeadLetters: int64(len(s.dead)), Outbox: int64(len(s.outbox))}
	for _, m := range s.members {
		if m.Live {
			c.Records++
		}
	}
	for _, cus := range s.customers {
		switch cus.Status {
		case customer.Active:
			c.Customers++
		case customer.Merged:
			c.Merges++
		}
	}
	for _, in := range s.interactions {
		if !in.Forgotten() {
			c.Interactions++
		}
	}
	return c, s.alive()
}

// MappingRevision answers the revision of a version of a source's mapping: 1, 2, 3 in the order in which they came.
func (s *Store) MappingRevision(_ context.Context, source, version string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.revisions[source], version)
	if i < 0 {
		i = len(s.revisions[source])
		s.revisions[source] = append(s.revisions[source], version)
	}
	return int64(i + 1), s.alive()
}

// InstallationKey answers the secret that record ids are made with: 32 bytes, the same for the store's life.
func (s *Store) InstallationKey(context.Context) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return bytes.Clone(s.key), s.alive()
}

// Pause remembers that a source is paused; one that is paused already stays so since it was.
func (s *Store) Pause(_ context.Context, p event.Pause) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, paused := s.pauses[p.Source]; !paused {
		s.pauses[p.Source] = p
	}
	return s.alive()
}

// Resume forgets that a source is paused.
func (s *Store) Resume(_ context.Context, source string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pauses, source)
	return s.alive()
}

// Pauses answers which sources are paused, by their names.
func (s *Store) Pauses(context.Context) ([]event.Pause, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []event.Pause
	for _, source := range slices.Sorted(maps.Keys(s.pauses)) {
		out = append(out, s.pauses[source])
	}
	return out, s.alive()
}

// Model answers what KeepModel kept last, nil where nothing was.
func (s *Store) Model(context.Context) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return bytes.Clone(s.model), s.alive()
}

// KeepModel keeps what the registry matches by, whatever that is.
func (s *Store) KeepModel(_ context.Context, model []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model = bytes.Clone(model)
	return s.alive()
}

// Check finds nothing wrong with a store in memory.
func (s *Store) Check(context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.alive()
}

// Close lets everything go. What comes after it is refused.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *Store) alive() error {
	if s.closed {
		return ErrClosed
	}
	return nil
}

// Intents answers what processes were about when they ended.
func (s *Store) Intents(context.Context) ([]event.Intent, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]event.Intent, 0, len(s.intents))
	for _, i := range s.intents {
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b event.Intent) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Topic, b.Topic),
			cmp.Compare(a.Partition.Partition, b.Partition.Partition))
	})
	return out, s.alive()
}

// Intend changes what is noted of a partition, and answers it.
func (s *Store) Intend(_ context.Context, p event.Partition, change func(*event.Intent)) (event.Intent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, known := s.intents[p]
	if !known {
		now = event.Intent{Partition: p, Mark: -1, Trying: -1}
	}
	if err := s.alive(); err != nil {
		return now, err
	}
	change(&now)
	s.intents[p] = now
	return now, nil
}
