package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Whatever partitions, gaps, delays and failures: every message takes effect exactly once, in the order of its partition,
// the positions stand behind the last, and the books balance (invariants 1, 2 and 7). Stops in the middle included.
func TestLawEveryMessageOnceInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		dice := func(n int64, salt uint64) uint64 { return mix(seed ^ salt ^ uint64(n)) }
		s := newScene(pipeline.IngestConfig{
			Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
				switch d := dice(m.Offset*8+int64(m.Partition), 1) % 40; d {
				case 0:
					time.Sleep(time.Millisecond)
				case 1:
					return nil, event.Errorf(event.Poison, "decode", "", "bad")
				case 2:
					panic("bad")
				case 3:
					return nil, event.Ignore("test-mode", "by design")
				}
				return plain(ctx, m)
			})},
			Limits: pipeline.Limits{
				GroupMessages: rapid.IntRange(1, 40).Draw(rt, "group"), Linger: 200 * time.Microsecond, RetryMin: 50 * time.Microsecond,
				RetryMax: time.Millisecond, MapConcurrent: rapid.IntRange(1, 6).Draw(rt, "concurrent"), Drain: 2 * time.Second,
			},
		})
		s.broker.window = rapid.IntRange(1, 60).Draw(rt, "window")
		total := 0
		want := map[event.Partition][]int64{}
		for p := range rapid.Int32Range(1, 4).Draw(rt, "partitions") {
			id, offset := partition("shop", "shop.webhooks", p), int64(0)
			for range rapid.IntRange(1, 60).Draw(rt, "messages") {
				offset += 1 + int64(dice(offset, 2)%3)
				s.broker.put("shop", "shop.webhooks", p, offset, itoa(offset))
				want[id] = append(want[id], offset)
				total++
			}
		}
		faults(s, seed, rapid.Uint64Range(2, 9).Draw(rt, "faults"))
		stops := rapid.IntRange(0, 2).Draw(rt, "stops")
		finished := runs(rt, s, total, stops)
		if stops == 0 && finished != int64(total) {
			rt.Fatalf("%d messages were counted, there are %d", finished, total)
		}
		check(rt, s, want, finished)
	})
}

// faults makes the store fail before and after commits, for good on one message in thirty.
func faults(s *scene, seed, often uint64) {
	var mu sync.Mutex
	s.before = func(call int, b customer.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range b.Messages {
			if len(m.Changes) > 0 && mix(seed^7^uint64(m.Message.Offset))%30 == 0 {
				return event.Errorf(event.Permanent, "internal", "", "refused")
			}
		}
		if mix(seed^3^uint64(call))%often == 0 {
			return errors.New("busy")
		}
		return nil
	}
	s.after = func(call int, _ customer.Batch) error {
		switch mix(seed^5^uint64(call)) % (2 * often) {
		case 0:
			return errors.New("the answer is lost")
		case 1:
			return event.Errorf(event.Permanent, "internal", "", "the answer is garbled")
		}
		return nil
	}
}

// runs starts and stops the ingest some times, and then lets it finish. It answers what was counted as finished.
func runs(rt *rapid.T, s *scene, total, stops int) (finished int64) {
	for i := range stops + 1 {
		s.metrics = pipeline.NewMetrics(nil)
		stop := s.restart(rt)
		s.await(rt, total*(i+1)/(stops+1))
		for i == stops && s.ingest.Totals().InFlight() > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		if err := stop(); err != nil {
			rt.Fatal(err)
		}
		t := s.ingest.Totals()
		finished += t.Received - t.InFlight()
	}
	return finished
}

func check(rt *rapid.T, s *scene, want map[event.Partition][]int64, finished int64) {
	total := int64(0)
	for id, offsets := range want {
		total += int64(len(offsets))
		if got := s.effects[id]; !slices.Equal(got, offsets) {
			rt.Fatalf("partition %d: effects %v, want %v", id.Partition, got, offsets)
		}
		if got := s.positions[id].Next; got != offsets[len(offsets)-1]+1 {
			rt.Fatalf("partition %d stands at %d, the last message at %d", id.Partition, got, offsets[len(offsets)-1])
		}
	}
	// A stop may fall between a commit and its lost answer: then nobody of this life knows, and the next does not see it.
	if finished > total {
		rt.Fatalf("%d messages were counted, there are %d", finished, total)
	}
}

// mix is a hash of one number (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
