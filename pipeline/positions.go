package pipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Positions claims partitions in the store for the subscriber, and remembers what it was answered: from where each partition
// goes on, and under which fence. The sequencer needs both to move a position (invariants 1 and 2).
type Positions struct {
	store PositionStore

	mu      sync.Mutex
	claimed map[event.Partition]event.Position
}

// PositionStore keeps how far each source has taken effect.
type PositionStore interface {
	// Claim makes the caller the owner of partitions, and answers where each stands: Next -1 where it was never read.
	Claim(ctx context.Context, source, topic string, partitions []int32) ([]event.Position, error)
	// Positions answers where every partition stands.
	Positions(ctx context.Context) ([]event.Position, error)
}

// NewPositions makes Positions of a store's.
func NewPositions(store PositionStore) *Positions {
	return &Positions{store: store, claimed: map[event.Partition]event.Position{}}
}

// Claim is PositionStore.Claim, remembered.
func (p *Positions) Claim(ctx context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	p.mu.Lock() // held over the call: two claims of a partition are remembered in the order in which the store made them
	defer p.mu.Unlock()
	claims, err := p.store.Claim(ctx, source, topic, partitions)
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		p.claimed[c.Partition] = c
	}
	return claims, nil
}

// RewindStore is a store whose positions are moved by a person's decision.
type RewindStore interface {
	PositionStore
	Update(ctx context.Context, do func(customer.Tx) error) error
}

// Rewind lets the next reader of partitions begin at an offset, -1 for their earliest record, in whatever log there is by then:
// the topic's id and the leader's epoch are forgotten with the position. Who reads them now is fenced off. It answers where they
// stood.
func Rewind(ctx context.Context, store RewindStore, source, topic string, partitions []int32, to int64) ([]event.Position, error) {
	stood, err := store.Claim(ctx, source, topic, partitions)
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	moves := make([]event.Advance, len(stood))
	for i, p := range stood {
		moves[i] = event.Advance{Position: event.Position{Partition: p.Partition, Next: to, Epoch: -1, Owner: p.Owner}, Expect: p.Next}
	}
	err = store.Update(ctx, func(tx customer.Tx) error {
		if err := tx.Advance(ctx, moves); err != nil {
			return err
		}
		return tx.Apply(ctx, &customer.Delta{})
	})
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	return stood, nil
}

// claim answers the newest claim of a partition.
func (p *Positions) claim(of event.Partition) (event.Position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.claimed[of]
	return c, ok
}

// stored reads where partitions stand in the store now.
func (p *Positions) stored(ctx context.Context) (map[event.Partition]event.Position, error) {
	all, err := p.store.Positions(ctx)
	if err != nil {
		return nil, err
	}
	at := make(map[event.Partition]event.Position, len(all))
	for _, pos := range all {
		at[pos.Partition] = pos
	}
	return at, nil
}
