package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Names of the metadata that a published message carries. The transport makes the key and the null and the record's time of
// three of them, headers of the others.
const (
	MetadataKey       = "onefold-key"       // the customer's id
	MetadataTombstone = "onefold-tombstone" // "true": the value is null
	MetadataID        = "onefold-id"        // deterministic: the same at every try, so that readers can drop what comes twice
	MetadataVersion   = "onefold-version"   // of the customer, decimal
	MetadataTime      = "onefold-time"      // when the version came about, RFC 3339: the record's time
)

// Defaults of RelayConfig (invariant 10).
const (
	DefaultRelayBatch = 500
	DefaultRelayPoll  = 250 * time.Millisecond
)

// RelayConfig is what a Relay needs to know; zero numbers take the defaults.
type RelayConfig struct {
	Topic    string        // compacted: "onefold.customers"
	Batch    int           // entries a publish
	Poll     time.Duration // longest time that an entry waits to be noticed if nobody calls Wake
	RetryMin time.Duration
	RetryMax time.Duration
	Now      func() time.Time // the clock; it must be given
	Jitter   func() float64
}

// Relay publishes the outbox: each version of each customer, in the order in which they were committed (invariants 5 and 6).
// What is too large for the topic leaves in a shorter form (Shorten). What the broker refuses for good all the same is passed, so that one
// customer does not hold up the others: it is counted, logged and told by Passed, and the customer's next version leaves as ever.
// It publishes at least once: a batch whose answer was lost goes out again as a whole, under the same ids, and readers
// ignore a version that is not newer than what they have. Versions of one customer that wait together are not folded into
// the newest; the topic is compacted, who needs every version sees each of them.
type Relay struct {
	c         RelayConfig
	outbox    customer.Outbox
	publisher message.Publisher
	log       *slog.Logger
	metrics   *Metrics
	backoff   backoff
	woken     chan struct{}
	failing   atomic.Pointer[error]
	passed    atomic.Pointer[string]
	passes    int // Run's
}

// NewRelay makes a relay from an outbox to a topic. It starts nothing.
func NewRelay(c RelayConfig, outbox customer.Outbox, pub message.Publisher, log *slog.Logger, m *Metrics) *Relay {
	c.Batch = cmp.Or(c.Batch, DefaultRelayBatch)
	c.Poll = cmp.Or(c.Poll, DefaultRelayPoll)
	c.RetryMin, c.RetryMax = cmp.Or(c.RetryMin, DefaultRetryMin), cmp.Or(c.RetryMax, DefaultRetryMax)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if m == nil {
		m = NewMetrics(nil)
	}
	return &Relay{
		c: c, outbox: outbox, publisher: pub, log: log, metrics: m,
		backoff: newBackoff(c.RetryMin, c.RetryMax, c.Jitter), woken: make(chan struct{}, 1),
	}
}

// Wake tells that the outbox may have become longer. It never blocks.
func (r *Relay) Wake() { signal(r.woken) }

// Ready answers nil while entries leave, else why they do not.
func (r *Relay) Ready() error {
	if err := r.failing.Load(); err != nil {
		return fmt.Errorf("%s: customers cannot be published and are tried again: %w", r.c.Topic, *err)
	}
	return nil
}

// Passed says what could not be published since the start, for good, and what to do about it; empty where all could.
func (r *Relay) Passed() string {
	if s := r.passed.Load(); s != nil {
		return *s
	}
	return ""
}

// Run publishes until ctx ends. What fails is tried until it goes out, and what comes after it waits, so that the order of each
// customer's versions holds; only what is refused for good is passed.
func (r *Relay) Run(ctx context.Context) error {
	for after := int64(0); ctx.Err() == nil; {
		entries := r.pending(ctx, after)
		if len(entries) == 0 {
			r.idle(ctx)
			continue
		}
		last := entries[len(entries)-1].Seq
		if !r.deliver(ctx, entries) {
			break
		}
		// Published already: at the end of ctx it is still worth a moment to say so, to publish less again at the next start.
		release, cancel := ctx, context.CancelFunc(func() {})
		if ctx.Err() != nil {
			release, cancel = context.WithTimeout(context.WithoutCancel(ctx), releaseGrace)
		}
		r.insist(release, func(ctx context.Context) error {
			return r.timed(opRelease, func() error { return r.outbox.Published(ctx, last) })
		})
		cancel()
		after = last
	}
	return nil
}

// releaseGrace is how long a last batch may take to be marked at the end.
const releaseGrace = time.Second

// pending reads the oldest entries behind a sequence number, none when ctx ends.
func (r *Relay) pending(ctx context.Context, after int64) (entries []customer.OutboxEntry) {
	r.insist(ctx, func(ctx context.Context) error {
		return r.timed(opClaim, func() (err error) {
			entries, err = r.outbox.Pending(ctx, after, r.c.Batch)
			return err
		})
	})
	for i := range entries {
		if short := Shorten(entries[i].Value); len(short) < len(entries[i].Value) {
			entries[i].Value = short
			r.metrics.truncated.Inc()
		}
	}
	return entries
}

// deliver publishes entries, or answers false when ctx ends. Entries of which one is refused for good are halved until that one is found.
func (r *Relay) deliver(ctx context.Context, entries []customer.OutboxEntry) bool {
	var refused *event.Error
	done := r.insist(ctx, func(ctx context.Context) (err error) {
		refused, err = refusal(r.publish(ctx, entries))
		return err
	})
	switch half := len(entries) / 2; {
	case !done || refused == nil:
		return done
	case half > 0:
		return r.deliver(ctx, entries[:half]) && r.deliver(ctx, entries[half:])
	}
	r.pass(&entries[0], refused)
	return true
}

// refusal tells an error by which what was to be published cannot go out, now or later, from all others: what concerns the topic, the
// broker or the configuration is mended by somebody, and waits for it.
func refusal(err error) (refused *event.Error, rest error) {
	if errors.As(err, &refused) && (refused.Class == event.Poison || refused.Class == event.Permanent && refused.Reason == "too_large") {
		return refused, nil
	}
	return nil, err
}

// pass leaves an entry out for good, and says so. Neither its id nor the refusal holds personal data (invariant 9).
func (r *Relay) pass(e *customer.OutboxEntry, why *event.Error) {
	r.passes++
	reason := why.Reason
	if !slices.Contains(refusals(), reason) {
		reason = other
	}
	r.metrics.refused.WithLabelValues(reason).Inc()
	r.log.Error("a version of a customer cannot be published and is passed", slog.String("topic", r.c.Topic),
		slog.String("customer", e.Customer.String()), slog.Int64("version", e.Version), slog.Int("bytes", len(e.Value)),
		slog.String("error", why.Error()))
	said := fmt.Sprintf("%d versions of customers were refused for good and are not on %s, the last of them version %d of %s: %s. "+
		"Mend that; the next change of a customer is published again", r.passes, r.c.Topic, e.Version, e.Customer, why.Error())
	r.passed.Store(&said)
}

// idle waits until there may be something to do.
func (r *Relay) idle(ctx context.Context) {
	poll := time.NewTimer(r.c.Poll)
	defer poll.Stop()
	select {
	case <-ctx.Done():
	case <-r.woken:
	case <-poll.C:
	}
}

// insist tries until it succeeds, or answers false when ctx ends.
func (r *Relay) insist(ctx context.Context, try func(context.Context) error) bool {
	for n := 0; ; n++ {
		err := try(ctx)
		if err == nil {
			if r.failing.Swap(nil) != nil {
				r.log.Info("customers are published again")
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if r.failing.Swap(&err) == nil {
			r.log.Error("customers cannot be published, trying again", slog.String("topic", r.c.Topic), slog.String("error", err.Error()))
		}
		r.metrics.retries.WithLabelValues("publish", string(event.ClassOf(err))).Inc()
		if !r.backoff.wait(ctx, nil, n) {
			return false
		}
	}
}

// publish sends a batch in its order.
func (r *Relay) publish(ctx context.Context, entries []customer.OutboxEntry) error {
	frames := make([]*message.Message, len(entries))
	for i := range entries {
		e := &entries[i]
		f := message.NewMessageWithContext(ctx, e.ID, e.Value)
		f.Metadata.Set(MetadataKey, e.Customer.String())
		f.Metadata.Set(MetadataID, e.ID)
		f.Metadata.Set(MetadataVersion, strconv.FormatInt(e.Version, 10))
		f.Metadata.Set(MetadataTime, e.Time.UTC().Format(time.RFC3339Nano))
		if e.Value == nil {
			f.Metadata.Set(MetadataTombstone, "true")
		}
		frames[i] = f
	}
	begin := r.c.Now()
	err := r.publisher.Publish(r.c.Topic, frames...)
	r.metrics.publishing.Observe(since(r.c.Now(), begin))
	if err != nil {
		return fmt.Errorf("publish %d customers: %w", len(entries), err)
	}
	return nil
}

// timed notes how long an operation of the store took.
func (r *Relay) timed(op string, do func() error) error {
	begin := r.c.Now()
	err := do()
	r.metrics.op(op, r.c.Now().Sub(begin), err)
	return err
}

// MaxPublished is the most bytes of a value on the topic of customers (invariant 10). With the key, the headers and what Kafka writes
// around a record it stays below the 1,048,588 bytes that brokers take unless they are told otherwise, and below what a publisher takes.
const (
	MaxPublished = 950_000
	envelope     = 1_000 // of them for all that is neither attribute nor member
)

// shortened is what is published of a customer who is too large to be published whole.
type shortened struct {
	customer.Customer
	Truncated bool    `json:"truncated"`
	Omitted   omitted `json:"omitted"`
}

// omitted counts what was left out.
type omitted struct {
	Losers     int `json:"losers"`
	Attributes int `json:"attributes"`
	Members    int `json:"members"`
}

// Shorten answers what leaves for a customer's published value: the value as it is where it has no more than MaxPublished bytes, else a
// form that has, says that it is one, and depends on the value alone. First all losers are left out; then, of attributes and members, what
// finds no room. Fields of one value come before elements of lists, the first element of each list before the second of any, fields of a
// source's own last; members have up to half of the room for themselves.
func Shorten(value []byte) []byte {
	if len(value) <= MaxPublished {
		return value
	}
	out := shortened{Truncated: true}
	if json.Unmarshal(value, &out.Customer) != nil {
		return value // nothing that was published by a customer
	}
	for i := range out.Attributes {
		out.Omitted.Losers += len(out.Attributes[i].Losers)
		out.Attributes[i].Losers = nil
	}
	attributes, members, room := len(out.Attributes), len(out.Members), MaxPublished-envelope
	all, _ := json.Marshal(out.Members) // read from JSON: it can be written
	kept := min(len(all), room/2)
	out.Attributes, room = fit(out.Attributes, room-kept, func(a customer.Attribute) int {
		n, err := strconv.Atoi(a.Path.ID)
		switch {
		case a.Path.ID == "":
			return 0
		case a.Path.Name == "custom":
			return math.MaxInt
		case err != nil:
			return 1
		}
		return n
	})
	out.Members, _ = fit(out.Members, room+kept, func(customer.Member) int { return 0 })
	out.Omitted.Attributes, out.Omitted.Members = attributes-len(out.Attributes), members-len(out.Members)
	short, err := json.Marshal(&out)
	if err != nil {
		return value
	}
	return short
}

// fit answers, in their order, those that find room; the lowest rank chooses first. It answers the room that is left, too.
func fit[T any](all []T, room int, rank func(T) int) ([]T, int) {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(all[a]), rank(all[b])) })
	kept := order[:0:len(order)]
	for _, i := range order {
		raw, err := json.Marshal(all[i])
		if size := len(raw) + 1; err == nil && size <= room {
			kept = append(kept, i)
			room -= size
		}
	}
	slices.Sort(kept)
	out := make([]T, len(kept))
	for i, at := range kept {
		out[i] = all[at]
	}
	return out, room
}
