package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func partition(source, topic string, n int32) event.Partition {
	return event.Partition{Source: source, Topic: topic, Partition: n}
}

func offsets(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i)
	}
	return out
}

// balanced fails unless every message received has an outcome (invariant 7).
func balanced(t *testing.T, s *scene, received int64) pipeline.Totals {
	t.Helper()
	total := s.ingest.Totals()
	if total.Received != received || total.InFlight() != 0 {
		t.Fatalf("received %d, in flight %d: want %d and none (%+v)", total.Received, total.InFlight(), received, total)
	}
	return total
}

func TestOrderIsKeptWhateverIsMappedFirst(t *testing.T) {
	bank := pipeline.Source{Name: "bank", Topic: "bank.statements", Adapter: "iso20022", Source: mapFunc(uneven), Mapping: 1}
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(uneven), bank}})
	want := map[event.Partition][]int64{}
	for p := range int32(3) {
		s.broker.fill("shop", "shop.webhooks", p, 300)
		want[partition("shop", "shop.webhooks", p)] = offsets(300)
	}
	for i := range 300 { // control records and compaction leave gaps
		s.broker.put("bank", "bank.statements", 0, int64(7+i*i), "v")
		want[partition("bank", "bank.statements", 0)] = append(want[partition("bank", "bank.statements", 0)], int64(7+i*i))
	}
	stop := s.start(t)
	s.await(t, 1200)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	balanced(t, s, 1200)
	pos := s.positions[partition("bank", "bank.statements", 0)]
	if pos.Next != 7+299*299+1 || pos.Epoch != 3 || pos.TopicID != "00000000000000000000000000000001" {
		t.Errorf("position %+v: want it behind the last message, with topic id and epoch", pos)
	}
}

// uneven lets later messages be ready before earlier ones.
func uneven(ctx context.Context, m *event.Message) ([]customer.Change, error) {
	if m.Offset%7 == 0 {
		time.Sleep(time.Duration(m.Offset%3) * time.Millisecond)
	}
	return plain(ctx, m)
}

func TestGoesOnWhereTheStoreStands(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
	s.broker.fill("shop", "shop.webhooks", 0, 100)
	id := partition("shop", "shop.webhooks", 0)
	s.positions[id] = event.Position{Partition: id, Next: 60, Owner: 4}
	stop := s.start(t)
	s.await(t, 40)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(offsets(100)[60:], s.effects[id]); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	balanced(t, s, 40)
}

// What the transport cannot read is kept as it lies, with the reason; no adapter sees it, and its partition goes on.
func TestUnreadableIsDead(t *testing.T) {
	var mapped atomic.Int64
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		mapped.Add(1)
		return plain(ctx, m)
	})}})
	s.broker.fill("shop", "shop.webhooks", 0, 3)
	why := event.Errorf(event.Poison, "decode", "", "the record batch of offsets 3 to 9 cannot be read: mend the client that wrote it")
	s.broker.put("shop", "shop.webhooks", 0, 9, "the batch's bytes").Refused = why
	s.broker.put("shop", "shop.webhooks", 0, 10, "v")
	var kept customer.Mapped
	s.before = func(_ int, b customer.Batch) error {
		for _, m := range b.Messages {
			if m.Message.Refused != nil {
				kept = m
			}
		}
		return nil
	}
	stop := s.start(t)
	s.await(t, 5)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	want := []event.Refusal{{Outcome: event.Dead, Err: why}}
	if diff := cmp.Diff(want, kept.Refusals); diff != "" || len(kept.Changes) > 0 || kept.Adapter != "" || string(kept.Message.Value) != "the batch's bytes" {
		t.Errorf("absorbed %+v, refusals (-want +got):\n%s", kept, diff)
	}
	if n := s.positions[partition("shop", "shop.webhooks", 0)].Next; n != 11 || mapped.Load() != 4 {
		t.Errorf("position %d and %d messages mapped, want 11 and 4", n, mapped.Load())
	}
	if total := balanced(t, s, 5); total.Dead != 1 || total.Applied != 4 {
		t.Errorf("totals %+v", total)
	}
}

// Where the log goes on without an event the position moves all the same, also behind the last one: nothing is mapped for it,
// nothing counted, and a store that fails for good makes no dead letter of it.
func TestPositionMovesWhereNoEventIs(t *testing.T) {
	var mapped atomic.Int64
	counting := func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		mapped.Add(1)
		return plain(ctx, m)
	}
	bank := pipeline.Source{Name: "bank", Topic: "bank.statements", Adapter: "iso20022", Source: mapFunc(counting), Mapping: 1}
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(counting), bank}, Limits: pipeline.Limits{RetryMin: time.Millisecond}})
	blank := func(source, topic string, offset int64) {
		m := s.broker.put(source, topic, 0, offset, "")
		m.Blank, m.Time, m.Value, m.Epoch = true, time.Time{}, nil, 7
	}
	s.broker.fill("shop", "shop.webhooks", 0, 2)
	blank("shop", "shop.webhooks", 4)
	marked := s.broker.put("shop", "shop.webhooks", 0, 5, "v")
	marked.Next, marked.Epoch = 8, 7
	blank("bank", "bank.statements", 41) // nothing but aborted transactions
	refuse := func(b customer.Batch) bool { return len(b.Messages) == 0 && len(b.Advances) > 0 }
	var refused atomic.Int64
	s.before = func(_ int, b customer.Batch) error {
		if refuse(b) && refused.Add(1) < 3 {
			return event.Errorf(event.Permanent, "internal", "", "the store is not to be had")
		}
		return nil
	}
	stop := s.start(t)
	s.await(t, 3)
	one, two := partition("shop", "shop.webhooks", 0), partition("bank", "bank.statements", 0)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		a, b := s.positions[one], s.positions[two]
		s.mu.Unlock()
		if a.Next == 8 && b.Next == 42 {
			if a.Epoch != 7 || b.Epoch != 7 {
				t.Errorf("epochs %d and %d, want those of the last batches, 7", a.Epoch, b.Epoch)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("positions %+v and %+v, want 8 and 42", a, b)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if total := balanced(t, s, 3); total.Applied != 3 || mapped.Load() != 3 || len(s.dead) > 0 {
		t.Errorf("totals %+v, %d mapped, %d dead: want 3, 3 and none", total, mapped.Load(), len(s.dead))
	}
}

func TestGroupsKeepTheirLimits(t *testing.T) {
	threeChanges := mapFunc(func(_ context.Context, m *event.Message) ([]customer.Change, error) {
		c := customer.Change{Key: "k", Op: customer.Patch}
		return []customer.Change{c, c, c}, nil
	})
	tests := []struct {
		name   string
		source mapFunc
		limits pipeline.Limits
		most   int
	}{
		{"messages", plain, pipeline.Limits{GroupMessages: 10}, 10},
		{"changes", threeChanges, pipeline.Limits{GroupChanges: 12}, 4},
		{"bytes", plain, pipeline.Limits{GroupBytes: 9}, 4}, // a value of two digits each, one digit for the first ten
		{"one message over the limit goes alone", threeChanges, pipeline.Limits{GroupChanges: 2}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(tt.source)}, Limits: tt.limits})
			s.delay = time.Millisecond
			for i := range 100 {
				s.broker.put("shop", "shop.webhooks", 0, int64(i), fmt.Sprintf("%02d", i))
			}
			stop := s.start(t)
			s.await(t, 100)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if got := slices.Max(s.sizes); got != tt.most {
				t.Errorf("the largest group has %d messages, want %d", got, tt.most)
			}
		})
	}
}

func TestLingerWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			time.Sleep(time.Duration(m.Offset) * 3 * time.Millisecond)
			return plain(ctx, m)
		})
		s := newScene(pipeline.IngestConfig{
			Sources: []pipeline.Source{shop(late)}, Limits: pipeline.Limits{Linger: 5 * time.Millisecond, MapConcurrent: 10},
		})
		s.broker.fill("shop", "shop.webhooks", 0, 4) // ready at 0, 3, 6 and 9 ms
		begin := time.Now()
		stop := s.start(t)
		s.await(t, 2)
		if took := time.Since(begin); took != 5*time.Millisecond {
			t.Errorf("the first group left after %s, want 5ms", took)
		}
		s.await(t, 4)
		if took := time.Since(begin); took != 9*time.Millisecond { // all is ready: waiting longer would be in vain
			t.Errorf("the second group left after %s, want 9ms", took)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{2, 2}, s.sizes); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
	})
}

func TestLingerIsShortWhereNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
		s.broker.window = 10
		s.broker.fill("shop", "shop.webhooks", 0, 100)
		begin := time.Now()
		stop := s.start(t)
		s.await(t, 100)
		if took := time.Since(begin); took != 10*time.Millisecond {
			t.Errorf("ten groups of a full window took %s, want a millisecond each", took)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRefusals(t *testing.T) {
	secret := "ana@example.com"
	tests := []struct {
		name    string
		value   string
		source  mapFunc
		outcome event.Outcome
		reason  string
	}{
		{"poison", "x", fails(event.Errorf(event.Poison, "decode", "a.b", "a brace is missing")), event.Dead, "decode"},
		{"permanent", "x", fails(event.Errorf(event.Permanent, "mapping", "", "no such event")), event.Dead, "mapping"},
		{"wrapped", "x", fails(fmt.Errorf("map: %w", event.Errorf(event.Poison, "schema", "", "not an object"))), event.Dead, "schema"},
		{"ignored by design", "x", fails(event.Ignore("test-mode", "the shop is in test mode")), event.Ignored, "test-mode"},
		{"a refusal without a reason", "x", fails(event.Refusals{{Outcome: event.Dead}}), event.Dead, "internal"},
		{"panic", "x", func(context.Context, *event.Message) ([]customer.Change, error) { panic(secret) }, event.Dead, "internal"},
		{"nil map", "x", func(context.Context, *event.Message) ([]customer.Change, error) {
			none := map[bool]map[string]int{}
			none[true][secret] = 1
			return nil, nil
		}, event.Dead, "internal"},
		{"too large", strings.Repeat("x", 101), plain, event.Dead, "too_large"},
		{"the limit itself", strings.Repeat("x", 100), plain, event.Applied, ""},
		{"a change without a key", "x", func(context.Context, *event.Message) ([]customer.Change, error) {
			return []customer.Change{{Op: customer.Patch}}, nil
		}, event.Dead, "validation"},
		{"nothing stated", "x", func(context.Context, *event.Message) ([]customer.Change, error) { return nil, nil }, event.Ignored, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
				if m.Offset == 1 {
					return plain(ctx, m)
				}
				return tt.source(ctx, m)
			})}, Limits: pipeline.Limits{MessageBytes: 100}})
			bad := s.broker.put("shop", "shop.webhooks", 0, 0, tt.value)
			s.broker.put("shop", "shop.webhooks", 0, 1, "good")
			stop := s.start(t)
			s.await(t, 2)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			total := balanced(t, s, 2)
			want := int64(1)
			if tt.outcome == event.Applied {
				want = 2
			}
			if got := total.Outcome(tt.outcome); got != want {
				t.Errorf("%d messages are %s, want %d: %+v", got, tt.outcome, want, total)
			}
			dead, ok := s.dead[bad.ID()]
			if ok != (tt.outcome == event.Dead) {
				t.Fatalf("a dead letter: %t", ok)
			}
			if ok && (dead.Err.Reason != tt.reason || strings.Contains(dead.Err.Error(), secret)) {
				t.Errorf("dead letter %q %q: want the reason %q and no value", dead.Err.Reason, dead.Err.Error(), tt.reason)
			}
		})
	}
}

func fails(err error) mapFunc {
	return func(context.Context, *event.Message) ([]customer.Change, error) { return nil, err }
}

func TestOneBadPartDoesNotHoldTheOthers(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		changes, _ := plain(ctx, m)
		return changes, event.Refusals{{Part: "Ntry[17]", Outcome: event.Dead, Err: event.Errorf(event.Permanent, "validation", "", "no amount")}}
	})}})
	var seen customer.Batch
	s.before = func(_ int, b customer.Batch) error { seen = b; return nil }
	m := s.broker.put("shop", "shop.webhooks", 0, 0, "1")
	stop := s.start(t)
	s.await(t, 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := seen.Messages[0]
	if len(got.Changes) != 1 || got.Changes[0].Source != "shop" || got.Changes[0].Version.Mapping != 3 || got.Adapter != "shopify@3" || got.Attempts != 1 {
		t.Errorf("mapped %+v: want one sealed change", got)
	}
	if r := s.dead[m.ID()]; r.Part != "Ntry[17]" {
		t.Errorf("dead part %q", r.Part)
	}
}

func TestRetryableHoldsItsPartitionOnly(t *testing.T) {
	for _, class := range []event.Class{event.Retryable, event.Throttled, event.Auth} {
		t.Run(string(class), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var down atomic.Bool
				down.Store(true)
				s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
					if m.Partition == 0 && m.Offset == 5 && down.Load() {
						return nil, event.Errorf(class, "plugin", "", "the schema registry does not answer")
					}
					return plain(ctx, m)
				})}})
				s.broker.fill("shop", "shop.webhooks", 0, 10)
				s.broker.fill("shop", "shop.webhooks", 1, 10)
				reg := prometheus.NewRegistry()
				s.metrics = pipeline.NewMetrics(reg)
				stop := s.start(t)
				time.Sleep(time.Hour)
				if got := scrape(t, reg)["partitions_held{shop}"]; got != 1 {
					t.Errorf("%v partitions are held, want 1", got)
				}
				if got := s.count(); got != 15 {
					t.Errorf("%d messages have taken effect while one is held, want 15", got)
				}
				st := s.ingest.Status()
				if len(st) != 1 || st[0].Held != 1 || s.ingest.Ready() == nil {
					t.Errorf("status %+v: want one held partition", st)
				}
				if got := s.ingest.Totals().InFlight(); got != 5 {
					t.Errorf("in flight %d, want 5", got)
				}
				down.Store(false)
				time.Sleep(time.Minute)
				if err := s.ingest.Ready(); err != nil {
					t.Error(err)
				}
				if got := scrape(t, reg)["partitions_held{shop}"]; got != 0 {
					t.Errorf("%v partitions are held, want none", got)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if total := balanced(t, s, 20); total.Applied != 20 {
					t.Errorf("totals %+v: nothing may be dropped", total)
				}
			})
		})
	}
}

func TestMapTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return plain(ctx, m)
		})}})
		s.broker.fill("shop", "shop.webhooks", 0, 1)
		stop := s.start(t)
		time.Sleep(pipeline.DefaultMapTimeout + time.Millisecond)
		if err := s.ingest.Ready(); err == nil || !strings.Contains(err.Error(), "longer than 30s") {
			t.Errorf("ready: %v", err)
		}
		s.await(t, 1)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		balanced(t, s, 1)
	})
}

func TestSlowMapDoesNotHoldOtherPartitions(t *testing.T) {
	slow := make(chan struct{})
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		if m.Partition == 0 && m.Offset == 0 {
			<-slow
		}
		return plain(ctx, m)
	})}})
	s.broker.fill("shop", "shop.webhooks", 0, 100)
	s.broker.fill("shop", "shop.webhooks", 1, 1000)
	stop := s.start(t)
	s.await(t, 1000)
	close(slow)
	s.await(t, 1100)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	balanced(t, s, 1100)
}

func TestMapConcurrencyIsBounded(t *testing.T) {
	var now, most atomic.Int32
	s := newScene(pipeline.IngestConfig{
		Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(100 * time.Microsecond)
			return plain(ctx, m)
		})},
		Limits: pipeline.Limits{MapConcurrent: 3},
	})
	s.broker.fill("shop", "shop.webhooks", 0, 200)
	stop := s.start(t)
	s.await(t, 200)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := most.Load(); got != 3 {
		t.Errorf("%d messages were mapped at a time, want 3", got)
	}
}

func TestPendingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			limits pipeline.Limits
			want   int64
		}{
			{pipeline.Limits{Pending: 7}, 7},
			{pipeline.Limits{PendingBytes: 5}, 5}, // a byte a message
		}
		for _, tt := range tests {
			gate := make(chan struct{})
			s := newScene(pipeline.IngestConfig{
				Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
					<-gate
					return plain(ctx, m)
				})},
				Limits: tt.limits,
			})
			for i := range 50 {
				s.broker.put("shop", "shop.webhooks", 0, int64(i), "x")
			}
			stop := s.start(t)
			synctest.Wait()
			if got := s.ingest.Totals().InFlight(); got != tt.want {
				t.Errorf("%d messages were taken, want %d", got, tt.want)
			}
			close(gate)
			s.await(t, 50)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFramesWithoutMessageOrClaimEndTheRun(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
	m := s.broker.put("shop", "shop.webhooks", 0, 0, "x")
	m.Source = "nobody"
	stop := s.start(t)
	time.Sleep(20 * time.Millisecond)
	if err := stop(); err == nil || !strings.Contains(err.Error(), "had not claimed") {
		t.Errorf("Run answered %v", err)
	}
	if s.count() != 0 {
		t.Error("the message took effect")
	}
}

func TestCommittedIsCalledAfterEachCommit(t *testing.T) {
	var calls atomic.Int32
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}, Committed: func() { calls.Add(1) }})
	s.broker.fill("shop", "shop.webhooks", 0, 10)
	stop := s.start(t)
	s.await(t, 10)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if int(calls.Load()) != len(s.sizes) {
		t.Errorf("called %d times after %d commits", calls.Load(), len(s.sizes))
	}
}

func TestABusyPartitionStarvesNone(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}, Limits: pipeline.Limits{GroupMessages: 10}})
	s.delay = time.Millisecond
	for p := range int32(3) {
		s.broker.fill("shop", "shop.webhooks", p, 1000)
	}
	stop := s.start(t)
	s.await(t, 600)
	s.mu.Lock()
	for p := range int32(3) {
		if got := len(s.effects[partition("shop", "shop.webhooks", p)]); got < 100 {
			t.Errorf("%d of 600 messages that have taken effect are of partition %d", got, p)
		}
	}
	s.mu.Unlock()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestAClockThatStandsHoldsNothing(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}, Now: func() time.Time { return noon }})
	var seen time.Time
	s.before = func(_ int, b customer.Batch) error { seen = b.Now; return nil }
	s.broker.fill("shop", "shop.webhooks", 0, 3)
	stop := s.start(t)
	s.await(t, 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !seen.Equal(noon) {
		t.Errorf("the batch says %s, the clock %s", seen, noon)
	}
}

// What is still on its way from before a new claim must not leave a gap there.
func TestVoidDeliveriesAreLeftOut(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
	s.broker.fill("shop", "shop.webhooks", 0, 10)
	over, end := context.WithCancel(t.Context())
	end()
	s.broker.first = func(out chan<- *message.Message) {
		m := s.broker.logs[shop0][5]
		void := message.NewMessage(m.ID(), m.Value)
		void.SetContext(event.NewContext(over, m))
		out <- void
		<-void.Nacked()
	}
	stop := s.start(t)
	s.await(t, 10)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(offsets(10), s.effects[shop0]); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	balanced(t, s, 10)
}

// A subscriber that begins anew claims again, and delivers what was in flight a second time: it takes effect once, and is
// counted once.
func TestAPartitionClaimedAnew(t *testing.T) {
	gate := make(chan struct{})
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		if m.Offset == 50 {
			<-gate
		}
		return plain(ctx, m)
	})}})
	for i := range 100 {
		s.broker.put("shop", "shop.webhooks", 0, int64(i), "x")
	}
	stop := s.start(t)
	s.await(t, 50)
	s.broker.reclaim(t, shop0)
	close(gate)
	s.await(t, 100)
	for s.ingest.Totals().InFlight() > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(offsets(100), s.effects[shop0]); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if total := balanced(t, s, 100); total.Applied != 100 {
		t.Errorf("%+v", total)
	}
}

// Every message absorbed once, and the drain is bounded, however the end falls.
func TestDrainFinishesWhatItCan(t *testing.T) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(uneven)}})
	s.delay = 5 * time.Millisecond
	s.broker.fill("shop", "shop.webhooks", 0, 2000)
	stop := s.start(t)
	s.await(t, 300)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	first := s.count()
	if first >= 2000 {
		t.Fatal("all was done before the end: the test shows nothing")
	}
	// Two frames at most were between the subscriber and the router when the end came: they are left to the next start.
	if in := s.ingest.Totals(); in.Applied != int64(first) || in.InFlight() > 2 {
		t.Errorf("%+v after %d effects: a quiet drain finishes what was taken", in, first)
	}
	s.metrics = nil
	stop = s.restart(t)
	s.await(t, 2000)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(offsets(2000), s.effects[partition("shop", "shop.webhooks", 0)]); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// restart begins anew on the same store.
func (s *scene) restart(tb tester) func() error {
	s.config.Positions = pipeline.NewPositions(s.vault)
	logs := s.broker.logs
	s.broker = newBroker(s.config.Positions, s.config.Sources...)
	s.broker.logs = logs
	return s.start(tb)
}

func TestDrainIsBounded(t *testing.T) {
	tests := []struct {
		name   string
		source mapFunc
		before func(int, customer.Batch) error
		delay  time.Duration
		within time.Duration
	}{
		{name: "a message that is tried again is left at once", within: 5 * time.Second, source: func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if m.Offset == 5 {
				return nil, errors.New("down")
			}
			return plain(ctx, m)
		}},
		{
			name: "a store that is down is left at once", within: 5 * time.Second, source: plain,
			before: func(int, customer.Batch) error { return errors.New("disk full") },
		},
		{name: "a slow adapter is stopped at the deadline", within: 5 * time.Second, source: func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if m.Offset == 5 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return plain(ctx, m)
		}},
		{name: "a slow store is stopped at the deadline", within: 5 * time.Second, source: plain, delay: time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(tt.source)}, Limits: pipeline.Limits{Drain: 100 * time.Millisecond}})
			s.before, s.delay = tt.before, tt.delay
			s.broker.fill("shop", "shop.webhooks", 0, 50)
			stop := s.start(t)
			time.Sleep(50 * time.Millisecond)
			begin := time.Now()
			if err := stop(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took > tt.within {
				t.Errorf("the drain took %s", took)
			}
			total, done := s.ingest.Totals(), s.count()
			if total.Received-total.InFlight() != int64(done) {
				t.Errorf("%+v after %d effects", total, done)
			}
			if diff := cmp.Diff(offsets(done), s.effects[partition("shop", "shop.webhooks", 0)], emptyIsNil()); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
		})
	}
}

func emptyIsNil() cmp.Option {
	return cmp.Comparer(func(a, b []int64) bool { return slices.Equal(a, b) })
}
