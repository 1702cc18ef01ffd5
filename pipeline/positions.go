package pipeline

import (
	"context"
	"sync"

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
