package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
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

// Run publishes until ctx ends. It skips nothing: what fails is tried until it goes out, and what comes after it waits, so
// that the order of each customer's versions holds.
func (r *Relay) Run(ctx context.Context) error {
	for after := int64(0); ctx.Err() == nil; {
		entries := r.pending(ctx, after)
		if len(entries) == 0 {
			r.idle(ctx)
			continue
		}
		last := entries[len(entries)-1].Seq
		if !r.insist(ctx, func(ctx context.Context) error { return r.publish(ctx, entries) }) {
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
	return entries
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
