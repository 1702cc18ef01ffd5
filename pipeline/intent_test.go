package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

// notes is where a process tells what it is about.
type notes struct {
	mu     sync.Mutex
	of     map[event.Partition]event.Intent
	writes int
	fails  atomic.Bool
}

func (n *notes) Intents(context.Context) ([]event.Intent, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []event.Intent
	for _, i := range n.of {
		out = append(out, i)
	}
	return out, nil
}

func (n *notes) Intend(_ context.Context, p event.Partition, change func(*event.Intent)) (event.Intent, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fails.Load() {
		return event.Intent{}, errors.New("the disk is full")
	}
	n.writes++
	now, ok := n.of[p]
	if !ok {
		now = event.Intent{Partition: p, Mark: -1, Trying: -1}
	}
	change(&now)
	n.of[p] = now
	return now, nil
}

func newNotes(killed ...event.Intent) *notes {
	n := &notes{of: map[event.Partition]event.Intent{}}
	for _, i := range killed {
		n.of[i.Partition] = i
	}
	return n
}

// solo answers a source that tells when a message below a mark is mapped beside another.
func solo(t *testing.T, mark int64) mapFunc {
	var inside, suspects atomic.Int64
	return func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		n := inside.Add(1)
		defer inside.Add(-1)
		suspect := m.Offset < mark && m.Partition < 2
		if suspect {
			suspects.Add(1)
			defer suspects.Add(-1)
		}
		time.Sleep(50 * time.Microsecond)
		if suspect && n > 1 || !suspect && suspects.Load() > 0 {
			t.Errorf("%s is tried beside another", m.ID())
		}
		return plain(ctx, m)
	}
}

// After a kill, what may have been tried is tried alone in the process, in order, and everything takes effect.
func TestSuspectsAreTriedAlone(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(solo(t, 40))}})
	n := newNotes(
		event.Intent{Partition: partition("shop", "shop.webhooks", 0), Mark: 40, Trying: -1},
		event.Intent{Partition: partition("shop", "shop.webhooks", 1), Mark: 40, Trying: -1},
	)
	s.config.Intents = n
	for i := range 3 {
		s.broker.fill("shop", "shop.webhooks", int32(i), 200)
	}
	stop := s.start(t)
	s.await(t, 600)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if got := s.effects[partition("shop", "shop.webhooks", int32(i))]; !slices.Equal(got, offsets(200)) {
			t.Errorf("partition %d: %v", i, got)
		}
	}
	balanced(t, s, 600)
	for p, i := range n.of {
		if i.Mark != -1 {
			t.Errorf("after a clean end %v is noted at %d", p, i.Mark)
		}
	}
}

// A clean run notes ahead of what it takes, seldom, and before it maps it.
func TestTheNoteIsAhead(t *testing.T) {
	n := newNotes()
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if at := n.of[partition("shop", m.Topic, m.Partition)]; m.Offset >= at.Mark {
			return nil, event.Errorf(event.Permanent, "internal", "", "it is mapped before it is noted")
		}
		return plain(ctx, m)
	})}})
	s.config.Intents = n
	s.broker.fill("shop", "shop.webhooks", 0, 2_500)
	n.fails.Store(true)
	stop := s.start(t)
	time.Sleep(5 * time.Millisecond)
	n.fails.Store(false)
	s.await(t, 2_500)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(s.dead) > 0 || n.writes != 4 { // three times a thousand, and the end
		t.Errorf("%d dead, %d writes", len(s.dead), n.writes)
	}
}

// The message that was being tried each time that a process ended is a dead letter after the third, whoever stands beside it.
func TestTheMessageThatKillsIsFound(t *testing.T) {
	for tries, dead := range map[int]bool{0: false, 2: false, 3: true} {
		var mapped atomic.Int64
		s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if m.Offset == 7 {
				mapped.Add(1)
			}
			return plain(ctx, m)
		})}})
		p := partition("shop", "shop.webhooks", 0)
		s.config.Intents = newNotes(event.Intent{Partition: p, Mark: 20, Trying: 7, Tries: tries})
		s.positions[p] = event.Position{Partition: p, Next: 7, Owner: 1} // what stands before it has taken effect
		s.broker.fill("shop", "shop.webhooks", 0, 30)
		stop := s.start(t)
		s.await(t, 23)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		refused, is := s.dead["shop/shop.webhooks/0/7"]
		told := is && refused.Err.Reason == "killed" && strings.Contains(refused.Err.Text, "3 times")
		if is != dead || told != dead || len(s.dead) > 1 || mapped.Load() == 0 != dead {
			t.Errorf("after %d tries: %+v, mapped %d times", tries, s.dead, mapped.Load())
		}
	}
}

// A suspect that waits for its next try holds its partition only; that it was tried is taken back.
func TestASuspectThatWaitsLetsOthersPass(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	s := newScene(pipeline.IngestConfig{
		Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if sick.Load() && m.Offset == 3 {
				return nil, event.Errorf(event.Retryable, "away", "", "away")
			}
			return plain(ctx, m)
		})},
		Limits: pipeline.Limits{RetryMin: time.Millisecond, RetryMax: 2 * time.Millisecond},
	})
	n := newNotes(
		event.Intent{Partition: partition("shop", "shop.webhooks", 0), Mark: 10, Trying: -1},
		event.Intent{Partition: partition("shop", "shop.webhooks", 1), Mark: 2, Trying: -1},
	)
	s.config.Intents = n
	for i := range 3 {
		s.broker.fill("shop", "shop.webhooks", int32(i), 100)
	}
	stop := s.start(t)
	s.await(t, 3+3+3) // each partition stands at its own 3
	time.Sleep(10 * time.Millisecond)
	sick.Store(false)
	s.await(t, 300)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if i := n.of[partition("shop", "shop.webhooks", 0)]; i.Trying != 9 || i.Tries != 1 || len(s.dead) > 0 {
		t.Errorf("%+v, %v", i, s.dead)
	}
}
