package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

var shop0 = event.Partition{Source: "shop", Topic: "shop.webhooks"}

func holds(b customer.Batch, offset int64) bool {
	return slices.ContainsFunc(b.Messages, func(m customer.Mapped) bool {
		return m.Message.Offset == offset && m.Message.Partition == 0 && len(m.Changes) > 0
	})
}

func TestAbsorbIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}, Jitter: func() float64 { return 1 }})
		var down atomic.Bool
		var tries []time.Duration
		begin := time.Now()
		down.Store(true)
		s.before = func(int, customer.Batch) error {
			tries = append(tries, time.Since(begin))
			if down.Load() {
				return errors.New("the disk is full")
			}
			return nil
		}
		s.broker.fill("shop", "shop.webhooks", 0, 20)
		stop := s.start(t)
		time.Sleep(time.Second)
		if err := s.ingest.Ready(); err == nil || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("ready: %v", err)
		}
		down.Store(false)
		s.await(t, 20)
		time.Sleep(time.Second)
		if err := s.ingest.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		ms := time.Millisecond // the wait doubles
		if diff := cmp.Diff([]time.Duration{1 * ms, 101 * ms, 301 * ms, 701 * ms, 1501 * ms}, tries); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
		balanced(t, s, 20)
	})
}

func TestBackoffIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
		var last time.Time
		var longest time.Duration
		s.before = func(int, customer.Batch) error {
			if !last.IsZero() {
				longest = max(longest, time.Since(last))
			}
			last = time.Now()
			return errors.New("down")
		}
		s.broker.fill("shop", "shop.webhooks", 0, 1)
		stop := s.start(t)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if longest > pipeline.DefaultRetryMax || longest < pipeline.DefaultRetryMax/2 {
			t.Errorf("the longest wait was %s", longest)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBisectFindsTheMessage(t *testing.T) {
	tests := []struct {
		name string
		fail func() error
	}{
		{"permanent", func() error { return event.Errorf(event.Permanent, "internal", "", "the store refuses the row") }},
		{"poison", func() error { return event.Errorf(event.Poison, "internal", "", "the store refuses the row") }},
		{"panic", func() error { panic("ana@example.com") }},
	}
	for _, tt := range tests {
		for _, bad := range []int64{0, 123, 499} {
			t.Run(tt.name, func(t *testing.T) {
				s := newScene(pipeline.IngestConfig{
					Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{Linger: 300 * time.Millisecond},
				})
				s.broker.window = 1000
				s.broker.fill("shop", "shop.webhooks", 0, 500)
				s.before = func(_ int, b customer.Batch) error {
					if holds(b, bad) {
						return tt.fail()
					}
					return nil
				}
				stop := s.start(t)
				s.await(t, 500)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(offsets(500), s.effects[shop0]); diff != "" {
					t.Errorf("effects (-want +got):\n%s", diff)
				}
				total := balanced(t, s, 500)
				if total.Dead != 1 || total.Applied != 499 || len(s.dead) != 1 {
					t.Errorf("%+v: want one dead letter", total)
				}
				for id, r := range s.dead {
					if !strings.HasSuffix(id, "/"+itoa(bad)) || r.Err.Reason != "internal" || strings.Contains(r.Err.Error(), "ana@") {
						t.Errorf("dead letter %s %q %q", id, r.Err.Reason, r.Err.Error())
					}
					if len(r.Keys) != 1 || !strings.HasPrefix(r.Keys[0], "k") { // an erasure of the party must find it
						t.Errorf("dead letter %s names the parties %q", id, r.Keys)
					}
				}
				if s.calls > 22 { // one group; two a level of nine; the message itself and its dead letter
					t.Errorf("%d calls to find one message in 500", s.calls)
				}
			})
		}
	}
}

func TestADeadLetterThatCannotBeKeptHoldsThePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
		var broken atomic.Bool
		broken.Store(true)
		s.before = func(_ int, b customer.Batch) error {
			if broken.Load() && slices.ContainsFunc(b.Messages, func(m customer.Mapped) bool { return m.Message.Offset == 3 }) {
				return event.Errorf(event.Permanent, "internal", "", "broken")
			}
			return nil
		}
		s.broker.fill("shop", "shop.webhooks", 0, 10)
		stop := s.start(t)
		time.Sleep(time.Hour)
		if got := s.count(); got != 3 {
			t.Errorf("%d messages have taken effect, want the 3 before the one that cannot be kept", got)
		}
		if s.ingest.Ready() == nil {
			t.Error("the service says that all is well")
		}
		broken.Store(false)
		time.Sleep(time.Minute) // the store is asked half a minute later
		s.await(t, 10)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if total := balanced(t, s, 10); total.Dead != 1 {
			t.Errorf("%+v", total)
		}
	})
}

func TestALostAnswerTakesEffectOnce(t *testing.T) {
	lost := errors.New("the connection broke")
	bug := event.Errorf(event.Permanent, "internal", "", "the answer cannot be read")
	for name, fail := range map[string]error{"retryable": lost, "permanent": bug} {
		t.Run(name, func(t *testing.T) {
			s := newScene(pipeline.IngestConfig{
				Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{RetryMin: time.Millisecond, GroupMessages: 50},
			})
			s.after = func(call int, _ customer.Batch) error {
				if call%3 == 1 {
					return fail
				}
				return nil
			}
			for p := range int32(2) {
				for i := range 200 { // with gaps, so that a position does not stand where the next message does
					s.broker.put("shop", "shop.webhooks", p, int64(3*i), "x")
				}
			}
			stop := s.start(t)
			s.await(t, 400)
			for s.ingest.Totals().InFlight() > 0 {
				time.Sleep(time.Millisecond)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			for p := range int32(2) {
				got := s.effects[partition("shop", "shop.webhooks", p)]
				if len(got) != 200 || !slices.IsSorted(got) || len(slices.Compact(got)) != 200 {
					t.Errorf("partition %d: %d effects", p, len(got))
				}
			}
			if total := balanced(t, s, 400); total.Applied+total.Duplicate != 400 || total.Duplicate == 0 {
				t.Errorf("%+v: want those whose answer was lost as duplicates", total)
			}
		})
	}
}

func TestALostAnswerWithGapsInTheMiddleOfAGroup(t *testing.T) {
	s := newScene(pipeline.IngestConfig{
		Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{RetryMin: time.Millisecond, Linger: 20 * time.Millisecond},
	})
	for _, o := range []int64{5, 9, 40, 41, 90} {
		s.broker.put("shop", "shop.webhooks", 0, o, "x")
	}
	// The position stands in a gap of the group that is tried: as if a group of another cut had been committed.
	s.before = func(call int, _ customer.Batch) error {
		if call == 1 {
			s.mu.Lock()
			defer s.mu.Unlock()
			p := s.positions[shop0]
			p.Next = 30
			s.positions[shop0] = p
			s.effects[shop0] = []int64{5, 9}
		}
		return nil
	}
	stop := s.start(t)
	s.await(t, 5)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{5, 9, 40, 41, 90}, s.effects[shop0]); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	balanced(t, s, 5)
}

func TestFencedEndsTheRun(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{GroupMessages: 10}})
	s.broker.fill("shop", "shop.webhooks", 0, 100)
	s.broker.fill("shop", "shop.webhooks", 1, 100)
	s.before = func(call int, _ customer.Batch) error {
		if call == 3 {
			_, _ = s.Claim(t.Context(), "shop", "shop.webhooks", []int32{0}) // another process
		}
		return nil
	}
	config := s.config
	metrics := pipeline.NewMetrics(nil)
	err := pipeline.NewIngest(config, s.broker, s.vault, nil, metrics).Run(t.Context())
	if !errors.Is(err, event.ErrFenced) || !strings.Contains(err.Error(), "shop/shop.webhooks/0") {
		t.Fatalf("Run answered %v, want fenced and which partition", err)
	}
	if got := len(s.effects[shop0]); got >= 100 || got%10 != 0 && got > 20 {
		t.Errorf("%d messages of the lost partition have taken effect", got)
	}
	for p := range int32(2) {
		got := s.effects[partition("shop", "shop.webhooks", p)]
		if !slices.Equal(got, offsets(len(got))) {
			t.Errorf("partition %d: %v", p, got)
		}
	}
}

func TestAPositionMovedBackEndsTheRun(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{GroupMessages: 10}})
	s.broker.fill("shop", "shop.webhooks", 0, 100)
	s.before = func(call int, _ customer.Batch) error {
		if call == 3 {
			s.mu.Lock()
			defer s.mu.Unlock()
			p := s.positions[shop0]
			p.Next = 2
			s.positions[shop0] = p
		}
		return nil
	}
	err := pipeline.NewIngest(s.config, s.broker, s.vault, nil, nil).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "back to 2") {
		t.Fatalf("Run answered %v", err)
	}
}

// A group that is given up in the middle of bisecting must not let its second half pass the first.
func TestGivingUpWhileBisectingSkipsNothing(t *testing.T) {
	s := newScene(pipeline.IngestConfig{
		Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{Linger: 50 * time.Millisecond, Drain: 100 * time.Millisecond},
	})
	s.broker.fill("shop", "shop.webhooks", 0, 100)
	bisecting := make(chan struct{})
	s.before = func(call int, b customer.Batch) error {
		switch {
		case call == 1:
			return event.Errorf(event.Permanent, "internal", "", "refused")
		case call == 2:
			close(bisecting)
		}
		if holds(b, 10) {
			return errors.New("down")
		}
		return nil
	}
	stop := s.start(t)
	<-bisecting
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.effects[shop0]; !slices.Equal(got, offsets(len(got))) || len(got) > 10 {
		t.Errorf("effects %v: the first half was skipped", got)
	}
	s.before = nil
	stop = s.restart(t)
	s.await(t, 100)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(offsets(100), s.effects[shop0]); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

func TestAnAbsorberThatForgetsAnOutcomeLosesNothing(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{RetryMin: time.Millisecond}})
	s.broker.fill("shop", "shop.webhooks", 0, 20)
	forgetful := absorbFunc(func(ctx context.Context, b customer.Batch) (*customer.Absorbed, error) {
		out, err := s.Absorb(ctx, b)
		if err == nil {
			out.Results = out.Results[1:]
		}
		return out, err
	})
	in := pipeline.NewIngest(s.config, s.broker, forgetful, nil, nil)
	s.ingest = in
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- in.Run(ctx) }()
	s.await(t, 20)
	for in.Totals().InFlight() > 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if total := balanced(t, s, 20); total.Duplicate != 20 {
		t.Errorf("%+v", total)
	}
	if diff := cmp.Diff(offsets(20), s.effects[shop0]); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

type absorbFunc func(context.Context, customer.Batch) (*customer.Absorbed, error)

func (f absorbFunc) Absorb(ctx context.Context, b customer.Batch) (*customer.Absorbed, error) {
	return f(ctx, b)
}
