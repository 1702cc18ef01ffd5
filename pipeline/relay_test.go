package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/pipeline"
)

// outbox is an outbox in memory, and the topic that it is published to.
type outbox struct {
	mu        sync.Mutex
	entries   []customer.OutboxEntry
	seq       int64
	topic     []*message.Message
	published func(try int) error // nil: publishes; an error after it was sent
	before    func(try int) error // an error before
	marked    func(try int) error
	tries     int
	marks     int
}

func (o *outbox) add(c byte, version int64, value []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seq += 2 // numbers may be missing
	id := customer.CustomerID{c}
	o.entries = append(o.entries, customer.OutboxEntry{
		Seq: o.seq, ID: id.String() + "." + strconv.FormatInt(version, 10), Customer: id, Version: version, Value: value,
		Time: time.Date(2026, 1, 2, 3, 4, 5, int(version)*1e6, time.FixedZone("", 3600)),
	})
}

func (o *outbox) Pending(_ context.Context, after int64, limit int) ([]customer.OutboxEntry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []customer.OutboxEntry
	for _, e := range o.entries {
		if e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (o *outbox) Published(_ context.Context, upTo int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.marks++
	if o.marked != nil {
		if err := o.marked(o.marks); err != nil {
			return err
		}
	}
	o.entries = slices.DeleteFunc(o.entries, func(e customer.OutboxEntry) bool { return e.Seq <= upTo })
	return nil
}

func (o *outbox) Publish(topic string, messages ...*message.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if topic != "onefold.customers" {
		return fmt.Errorf("topic %q", topic)
	}
	o.tries++
	if o.before != nil {
		if err := o.before(o.tries); err != nil {
			return err
		}
	}
	o.topic = append(o.topic, messages...)
	if o.published != nil {
		return o.published(o.tries)
	}
	return nil
}

func (o *outbox) Close() error { return nil }

func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.entries)
}

func relay(o *outbox, c pipeline.RelayConfig, m *pipeline.Metrics) *pipeline.Relay {
	c.Topic, c.Now = "onefold.customers", time.Now
	return pipeline.NewRelay(c, o, o, nil, m)
}

// runRelay runs a relay until stop is called.
func runRelay(t *testing.T, r *pipeline.Relay) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run answered %v", err)
		}
	}
}

func TestRelayPublishesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		o.add(1, 1, []byte(`{"v":1}`))
		o.add(2, 1, []byte(`{}`))
		o.add(1, 2, nil)
		o.add(2, 2, []byte{})
		stop := runRelay(t, relay(o, pipeline.RelayConfig{Batch: 3}, nil))
		synctest.Wait()
		stop()
		type sent struct {
			Key, ID, Version, Tombstone, UUID, Time string
			Value                                   []byte
		}
		var got []sent
		for _, m := range o.topic {
			got = append(got, sent{
				m.Metadata.Get("onefold-key"), m.Metadata.Get("onefold-id"), m.Metadata.Get("onefold-version"), m.Metadata.Get("onefold-tombstone"),
				m.UUID, m.Metadata.Get("onefold-time"), m.Payload,
			})
		}
		one, two := customer.CustomerID{1}.String(), customer.CustomerID{2}.String()
		want := []sent{
			{one, one + ".1", "1", "", one + ".1", "2026-01-02T02:04:05.001Z", []byte(`{"v":1}`)},
			{two, two + ".1", "1", "", two + ".1", "2026-01-02T02:04:05.001Z", []byte(`{}`)},
			{one, one + ".2", "2", "true", one + ".2", "2026-01-02T02:04:05.002Z", nil},
			{two, two + ".2", "2", "", two + ".2", "2026-01-02T02:04:05.002Z", []byte{}}, // empty is not null
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		if o.left() != 0 || o.tries != 2 {
			t.Errorf("%d entries left after %d publishes", o.left(), o.tries)
		}
	})
}

func TestRelayWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		r := relay(o, pipeline.RelayConfig{}, nil)
		stop := runRelay(t, r)
		time.Sleep(10 * time.Millisecond)
		o.add(1, 1, []byte("{}"))
		r.Wake()
		synctest.Wait()
		if o.left() != 0 {
			t.Error("a call of Wake was not noticed at once")
		}
		o.add(1, 2, []byte("{}"))
		time.Sleep(pipeline.DefaultRelayPoll)
		synctest.Wait()
		if o.left() != 0 {
			t.Error("an entry that nobody told of was not noticed in time")
		}
		stop()
	})
}

func TestRelaySkipsNothing(t *testing.T) {
	down := errors.New("the broker does not answer")
	early := func(try int) error {
		if try < 5 {
			return down
		}
		return nil
	}
	tests := []struct {
		name     string
		o        *outbox
		repeated bool
	}{
		{"the broker is down", &outbox{before: early}, false},
		{"the answer is lost", &outbox{published: early}, true},
		{"it cannot be marked", &outbox{marked: early}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				for i := range 10 {
					tt.o.add(byte(i%2), int64(i/2+1), []byte("{}"))
				}
				r := relay(tt.o, pipeline.RelayConfig{Batch: 4}, pipeline.NewMetrics(reg))
				stop := runRelay(t, r)
				time.Sleep(200 * time.Millisecond)
				if r.Ready() == nil {
					t.Error("the relay says that all is well")
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if err := r.Ready(); err != nil {
					t.Error(err)
				}
				stop()
				newest, seen := map[string]int{}, 0
				for _, m := range tt.o.topic { // as a reader does that ignores what is not newer
					v, _ := strconv.Atoi(m.Metadata.Get("onefold-version"))
					key := m.Metadata.Get("onefold-key")
					switch {
					case v == newest[key]+1:
						newest[key] = v
						seen++
					case v > newest[key]:
						t.Fatalf("%s: version %d after %d", key, v, newest[key])
					case !tt.repeated:
						t.Fatalf("%s: version %d twice", key, v)
					}
				}
				if seen != 10 || tt.o.left() != 0 {
					t.Errorf("%d versions were published, %d are left", seen, tt.o.left())
				}
				if got := scrape(t, reg)["retries_total{retryable,publish}"]; got != 4 {
					t.Errorf("%v retries were counted", got)
				}
			})
		})
	}
}

func TestRelayEndsWhileItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{before: func(int) error { return errors.New("down") }}
		o.add(1, 1, []byte("{}"))
		stop := runRelay(t, relay(o, pipeline.RelayConfig{}, nil))
		time.Sleep(time.Minute)
		stop()
		if o.left() != 1 || len(o.topic) != 0 {
			t.Errorf("%d left, %d published", o.left(), len(o.topic))
		}
	})
}
