package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
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
	refuses   func(*message.Message) error // the whole batch, before anything is sent
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
	for _, m := range messages {
		if o.refuses == nil {
			break
		}
		if err := o.refuses(m); err != nil {
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

// An entry that can never be sent holds up nobody: it is passed, and the order of the others holds, tombstones too.
func TestRelayPassesWhatIsRefusedForGood(t *testing.T) {
	for name, c := range map[string]struct {
		refusal error
		reason  string
	}{
		"too large":    {event.Errorf(event.Permanent, "too_large", "", "raise the limit"), "too_large"},
		"unacceptable": {event.Errorf(event.Poison, "validation", "", "of no time"), "validation"},
		"of no name":   {event.Errorf(event.Poison, "decode", "", "whatever"), "other"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				reg := prometheus.NewRegistry()
				o := &outbox{refuses: func(m *message.Message) error {
					if bytes.Contains(m.Payload, []byte("secret")) {
						return fmt.Errorf("publish: %w", c.refusal)
					}
					return nil
				}}
				var want []string
				for v := range int64(20) {
					for of := range byte(3) {
						value := []byte("{}")
						switch {
						case of == 1 && v%7 == 3:
							value = []byte("secret")
						case of == 1 && v%7 == 4:
							value = nil
						}
						if o.add(of, v+1, value); string(value) != "secret" {
							want = append(want, fmt.Sprintf("%s %d %t", customer.CustomerID{of}, v+1, value == nil))
						}
					}
				}
				r := pipeline.NewRelay(pipeline.RelayConfig{Topic: "onefold.customers", Now: time.Now, Batch: 16}, o, o,
					slog.New(slog.NewTextHandler(&log, nil)), pipeline.NewMetrics(reg))
				if got := r.Passed(); got != "" {
					t.Errorf("at the start it says %q", got)
				}
				stop := runRelay(t, r)
				synctest.Wait()
				stop()
				var got []string
				for _, m := range o.topic {
					got = append(got, fmt.Sprintf("%s %s %t", m.Metadata.Get("onefold-key"), m.Metadata.Get("onefold-version"), m.Metadata.Get("onefold-tombstone") == "true"))
				}
				if diff := cmp.Diff(want, got); diff != "" || o.left() != 0 {
					t.Errorf("%d are left; published (-want +got):\n%s", o.left(), diff)
				}
				if n := scrape(t, reg)["outbox_refused_total{"+c.reason+"}"]; n != 3 {
					t.Errorf("%v refusals are counted, want 3", n)
				}
				last := customer.CustomerID{1}.String()
				if err := r.Ready(); err != nil || !strings.Contains(r.Passed(), "3 versions") || !strings.Contains(r.Passed(), last) {
					t.Errorf("it says %q, %v", r.Passed(), err)
				}
				if text := log.String(); strings.Count(text, last) != 3 || strings.Contains(text, "secret") {
					t.Errorf("the log says %s", text)
				}
			})
		})
	}
}

// What is not about an entry waits for whoever mends it.
func TestRelayWaitsForWhatCanBeMended(t *testing.T) {
	for name, err := range map[string]error{
		"a refusal of the whole topic": event.Errorf(event.Permanent, "broker", "", "no such topic"),
		"a mistake in the settings":    event.Errorf(event.Permanent, "validation", "", "no such compression"),
		"a credential":                 event.Errorf(event.Auth, "broker", "", "not allowed"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &outbox{refuses: func(*message.Message) error { return err }}
				o.add(1, 1, []byte("{}"))
				r := relay(o, pipeline.RelayConfig{}, nil)
				stop := runRelay(t, r)
				time.Sleep(time.Hour)
				if o.left() != 1 || r.Ready() == nil || r.Passed() != "" {
					t.Errorf("%d are left, ready %v, passed %q", o.left(), r.Ready(), r.Passed())
				}
				stop()
			})
		})
	}
}

// master makes a customer of attributes and members.
func master(attributes []customer.Attribute, members int, key string) *customer.Customer {
	c := &customer.Customer{
		ID: customer.CustomerID{1}, Version: math.MaxInt64, Status: customer.Active, Attributes: attributes, Members: []customer.Member{},
	}
	for i := range members {
		c.Members = append(c.Members, customer.Member{Record: customer.RecordID{byte(i), byte(i >> 8)}, Source: "shop", Key: fmt.Sprint(key, i)})
	}
	return c
}

// list makes n elements of a list, each of a text, with losers of another.
func list(name string, n int, text string, losers int, lost string) (out []customer.Attribute) {
	for i := range n {
		a := customer.Attribute{Path: customer.Path{Name: name, ID: strconv.Itoa(i + 1)}, Claim: customer.Claim{Value: customer.Text(text)}}
		for range losers {
			a.Losers = append(a.Losers, customer.Claim{Value: customer.Text(lost)})
		}
		out = append(out, a)
	}
	return out
}

// What is too large to be published whole is published in a shorter form that says so; it depends on nothing but the value.
func TestShorten(t *testing.T) {
	text := strings.Repeat("v", 10_000)
	field := customer.Attribute{Path: customer.Path{Name: "jobTitle"}, Claim: customer.Claim{Value: customer.Text(text)}}
	for name, c := range map[string]struct {
		of                                  *customer.Customer
		losers, attributes, members         int // left out, at least
		maxLosers, maxAttributes, maxMember int // and at most
		kept                                []string
	}{
		"losers go first": {
			of: master(list("email", 100, "a@b.test", 10, text), 1000, "k"), losers: 1000, maxLosers: 1000,
			kept: []string{"email[1]", "email[100]"},
		},
		"fields stay, the last elements go": {
			of:     master(append(append(list("email", 100, text, 0, ""), field), list("phone", 100, text, 0, "")...), 1000, "k"),
			losers: 0, attributes: 105, maxAttributes: 120, kept: []string{"jobTitle", "email[40]", "phone[40]"},
		},
		"a source's own fields go before any other": {
			of:         master(append(list("custom", 200, text, 0, ""), list("email", 50, text, 0, "")...), 1, "k"),
			attributes: 155, maxAttributes: 165, kept: []string{"custom[1]", "email[1]", "email[50]"},
		},
		"members go where they are the many": {
			of: master(list("email", 1, text, 0, ""), 2000, strings.Repeat("<", 500)), members: 1600, maxMember: 1750, kept: []string{"email[1]"},
		},
		"each has half": {
			of:         master(list("email", 200, text, 0, ""), 2000, strings.Repeat("k", 900)),
			attributes: 140, maxAttributes: 160, members: 1500, maxMember: 1600, kept: []string{"email[1]", "email[40]"},
		},
		"one value that has no room is left out alone": {
			of:         master(append(list("tag", 1, strings.Repeat("<", 200_000), 0, ""), list("zip", 1, "z", 0, "")...), 1, "k"),
			attributes: 1, maxAttributes: 1, kept: []string{"zip[1]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := c.of.Published()
			if err != nil || len(whole) <= pipeline.MaxPublished {
				t.Fatalf("%d bytes: %v", len(whole), err)
			}
			short := pipeline.Shorten(whole)
			if len(short) > pipeline.MaxPublished || !bytes.Equal(short, pipeline.Shorten(slices.Clone(whole))) || !bytes.Equal(short, pipeline.Shorten(short)) {
				t.Errorf("%d bytes are left, or it is not the same twice", len(short))
			}
			var got struct {
				customer.Customer
				Truncated bool
				Omitted   struct{ Losers, Attributes, Members int }
			}
			if err := json.Unmarshal(short, &got); err != nil || !got.Truncated || got.ID != c.of.ID || got.Version != c.of.Version {
				t.Fatalf("%+v, %v", got.ID, err)
			}
			o := got.Omitted
			if len(got.Attributes)+o.Attributes != len(c.of.Attributes) || len(got.Members)+o.Members != len(c.of.Members) {
				t.Errorf("the counts do not add up: %+v", o)
			}
			if o.Losers < c.losers || o.Losers > c.maxLosers || o.Attributes < c.attributes || o.Attributes > c.maxAttributes ||
				o.Members < c.members || o.Members > c.maxMember {
				t.Errorf("left out: %+v", o)
			}
			var paths []string
			for _, a := range got.Attributes {
				paths = append(paths, a.Path.String())
			}
			for _, p := range c.kept {
				if !slices.Contains(paths, p) {
					t.Errorf("%s is left out", p)
				}
			}
		})
	}
}

func TestShortenLeavesAlone(t *testing.T) {
	small, err := master(list("email", 3, "a@b.test", 3, "c@d.test"), 3, "k").Published()
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range [][]byte{nil, {}, small, []byte(strings.Repeat("x", pipeline.MaxPublished+1))} {
		if got := pipeline.Shorten(value); !bytes.Equal(got, value) || (got == nil) != (value == nil) {
			t.Errorf("%d bytes became %d", len(value), len(got))
		}
	}
}

// The table of limits says what the program does (invariant 10).
func TestThePublishedLimitIsWritten(t *testing.T) {
	page, err := os.ReadFile("../docs/identity.md")
	if err != nil {
		t.Fatal(err)
	}
	if row := "\n| bytes of a value on the topic of customers | 950,000 |"; pipeline.MaxPublished != 950_000 || !bytes.Contains(page, []byte(row)) {
		t.Errorf("docs/identity.md lacks the row %q", row[1:])
	}
}

// A customer too large for the topic leaves all the same, and so does everybody behind.
func TestRelayShortensWhatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large, err := master(list("email", 200, strings.Repeat("v", 10_000), 0, ""), 1, "k").Published()
		if err != nil {
			t.Fatal(err)
		}
		reg := prometheus.NewRegistry()
		o := &outbox{}
		o.add(1, 1, large)
		o.add(2, 1, []byte("{}"))
		stop := runRelay(t, relay(o, pipeline.RelayConfig{}, pipeline.NewMetrics(reg)))
		synctest.Wait()
		stop()
		if len(o.topic) != 2 || !bytes.Equal(o.topic[0].Payload, pipeline.Shorten(large)) || o.left() != 0 {
			t.Errorf("%d are published, %d left", len(o.topic), o.left())
		}
		if n := scrape(t, reg)["outbox_truncated_total{}"]; n != 1 {
			t.Errorf("%v are counted", n)
		}
	})
}
