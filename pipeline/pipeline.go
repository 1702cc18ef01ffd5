// Package pipeline is the flow: messages in, customers out. Ingest maps messages concurrently and has them absorbed in
// order, many in one transaction; Relay publishes what changed. It is the only room that knows Watermill, and it knows
// neither the broker nor the store: both come as small interfaces.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
)

// Ingest takes the messages of all sources into the master record. A message is acknowledged when its effect is durable, not
// before; it is never dropped: what cannot be mapped becomes a dead letter, what may pass by itself is tried until it does.
type Ingest struct {
	c          IngestConfig
	subscriber message.Subscriber
	log        *slog.Logger
	metrics    *Metrics
	seq        *Sequencer
}

// Source is one configured source: where its messages stand and who reads them.
type Source struct {
	Name       string          // "shop-eu"
	Topic      string          // no two sources share one
	Adapter    string          // "shopify"
	Source     adapters.Source // what reads its messages
	Mapping    int64           // revision of the adapter's content, stamped on every change
	Concurrent int             // calls of Map at a time, where Source gathers many of them into one; else Limits.MapConcurrent
}

// label names the adapter and its revision, as dead letters say it.
func (s *Source) label() string { return fmt.Sprintf("%s@%d", s.Adapter, s.Mapping) }

// Absorber takes a batch into the master record in one transaction; customer.Registry is one.
type Absorber interface {
	Absorb(ctx context.Context, b customer.Batch) (*customer.Absorbed, error)
}

// IngestConfig is what an Ingest needs to know.
type IngestConfig struct {
	Sources   []Source
	Positions *Positions       // the one that the subscriber claims with
	Intents   IntentStore      // where it is noted what may kill the process; nil: nowhere
	Committed func()           // called after each commit: Relay.Wake; may be nil
	Limits    Limits           // zero fields take the defaults
	Now       func() time.Time // the clock; it must be given
	Jitter    func() float64   // in [0,1), spreads retries; nil: math/rand
}

// NewIngest makes an Ingest that reads its sources' topics from a subscriber, which claims with c.Positions. It starts
// nothing.
func NewIngest(c IngestConfig, sub message.Subscriber, absorber Absorber, log *slog.Logger, m *Metrics) *Ingest {
	c.Limits = c.Limits.withDefaults()
	if c.Committed == nil {
		c.Committed = func() {}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if m == nil {
		m = NewMetrics(nil)
	}
	return &Ingest{c: c, subscriber: sub, log: log, metrics: m, seq: newSequencer(c, absorber, log, m)}
}

// Run takes messages in until ctx ends, and then for at most Limits.Drain finishes what is in flight; what is not finished is
// left to the next start, nothing of it is lost (invariant 1). It waits for all that it started. It answers nil after ctx has
// ended or every subscription has, and an error if it had to stop by itself: event.ErrFenced is in its chain when another
// process has claimed a partition of ours. Run is called once.
func (in *Ingest) Run(ctx context.Context) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: in.c.Limits.Drain + closeGrace}, talk{in.log})
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	if err := in.seq.remember(ctx); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	defer in.seq.forget(ctx)
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	in.route(work, router)
	var sequencing sync.WaitGroup
	sequencing.Go(func() { in.seq.run(work) })
	routed := make(chan error, 1)
	go func() { routed <- router.Run(context.WithoutCancel(ctx)) }()

	select {
	case <-ctx.Done():
		err = in.drain(router, routed, abandon)
	case <-in.seq.failed:
		err = in.drain(router, routed, abandon)
	case err = <-routed:
	}
	abandon()
	sequencing.Wait()
	if err = errors.Join(in.seq.failure(), err); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

// drain ends intake and waits for the messages in flight, for a while: then they are abandoned. A router that has not begun
// cannot be closed, so its beginning is waited for.
func (in *Ingest) drain(router *message.Router, routed <-chan error, abandon func()) error {
	in.seq.drain()
	deadline := time.AfterFunc(in.c.Limits.Drain, abandon)
	defer deadline.Stop()
	select {
	case <-router.Running():
	case err := <-routed:
		return err
	}
	if err := errors.Join(router.Close(), <-routed); err != nil {
		return fmt.Errorf("an adapter did not answer within the drain of %s: %w", in.c.Limits.Drain, err)
	}
	return nil
}

// closeGrace is what the router is given on top of the drain, in which every message in flight is told that it is over.
const closeGrace = 2 * time.Second

// route gives each source its handler, and all of them the same stages, outermost first. They work until ctx ends, whatever
// becomes of the subscription.
func (in *Ingest) route(ctx context.Context, router *message.Router) {
	router.AddMiddleware(in.await, in.refuse, in.retry(ctx), in.guard(ctx), in.limit(ctx), in.measure, in.recover)
	handle := func(msg *message.Message) error { return in.handle(ctx, msg) }
	for i := range in.c.Sources {
		src := &in.c.Sources[i]
		arrive := func(msg *message.Message) { in.seq.arrive(src.Name, msg) }
		sub, _ := message.MessageTransformSubscriberDecorator(arrive)(in.subscriber) // it answers no error
		router.AddConsumerHandler(src.Name, src.Topic, sub, handle)
	}
}

// talk carries what the router has to say into our log: its errors, and at debug level what it begins and ends. What it says
// of every single message is left out; that costs more than the rest of the router.
type talk struct{ log *slog.Logger }

func (t talk) Error(msg string, err error, _ watermill.LogFields) {
	t.log.Error("the router fails", slog.String("doing", msg), slog.String("error", err.Error()))
}

func (t talk) Info(msg string, _ watermill.LogFields) {
	t.log.Debug("the router reports", slog.String("doing", msg))
}

func (talk) Debug(string, watermill.LogFields) {}

func (talk) Trace(string, watermill.LogFields) {}

func (t talk) With(watermill.LogFields) watermill.LoggerAdapter { return t }

// Status is how one source is doing.
type Status struct {
	Source  string   `json:"source"`
	Held    int      `json:"held"`              // partitions that stand still because a message is being tried again
	Reasons []string `json:"reasons,omitempty"` // why it is degraded, for a person; empty when all is well
}

// Status answers how every source is doing, by name.
func (in *Ingest) Status() []Status { return in.seq.status() }

// Ready answers nil when every source flows, else why which does not: the service is degraded, it is not broken.
func (in *Ingest) Ready() error {
	var errs []error
	for _, s := range in.Status() {
		for _, reason := range s.Reasons {
			errs = append(errs, fmt.Errorf("%s: %s", s.Source, reason))
		}
	}
	return errors.Join(errs...)
}

// Totals answers what was received since the start, and what became of it.
func (in *Ingest) Totals() Totals { return in.metrics.ledger.totals() }

func (s *Sequencer) status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[string]*Status{}
	for name := range s.inlets {
		by[name] = &Status{Source: name}
		if s.failing != nil {
			by[name].Reasons = append(by[name].Reasons, "what is ready cannot be stored and is tried again: "+s.failing.Error())
		}
	}
	for _, l := range s.order {
		st, p := by[l.position.Source], l.position.Partition
		if l.held > 0 {
			st.Held++
			st.Reasons = append(st.Reasons, fmt.Sprintf("partition %d of %s is held from offset %d on: %s",
				p.Partition, p.Topic, l.waiting(), say(l.holding)))
		}
		if l.closed != nil && !s.drained {
			st.Reasons = append(st.Reasons, fmt.Sprintf("partition %d of %s is given up: %s", p.Partition, p.Topic, l.closed))
		}
	}
	out := make([]Status, 0, len(by))
	for _, st := range by {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Source, b.Source) })
	return out
}

// waiting answers the offset of the first message of a lane that waits for its next try.
func (l *lane) waiting() int64 {
	for _, t := range l.queue {
		if t.held {
			return t.message.Offset
		}
	}
	return l.last
}
