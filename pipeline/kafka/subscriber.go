package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/event"
)

// Defaults of SubscriberOptions.
const (
	DefaultMaxInFlight      = 256
	DefaultMaxInFlightBytes = 16 << 20
	DefaultMaxQueuedBytes   = 256 << 20
	DefaultPartitionBytes   = 1 << 20
	DefaultRequestBytes     = 16 << 20
	DefaultMaxWait          = 500 * time.Millisecond
	DefaultRefresh          = 30 * time.Second
	DefaultGoneAfter        = 30 * time.Second
)

// Positions is where sources stand: the store's, in the transaction of whose effects they move. Claim makes partitions ours,
// fencing off who held them before, and answers where each resumes; Next is -1 for one that was never read, which begins at
// its earliest record.
type Positions interface {
	Claim(ctx context.Context, source, topic string, partitions []int32) ([]event.Position, error)
}

// SubscriberOptions bound what a Subscriber holds (invariant 10); a zero takes the default.
type SubscriberOptions struct {
	MaxInFlight      int           // messages handed on and not acknowledged, a partition; 1 hands on one after the other
	MaxInFlightBytes int64         // their keys and values; one larger message alone is still handed on
	MaxQueuedBytes   int64         // fetched and not handed on, of all partitions together; then one that has nothing is asked for little
	PartitionBytes   int32         // of log asked for, a partition
	RequestBytes     int32         // of log asked for, a request
	MaxWait          time.Duration // the broker's patience where nothing is new
	MaxRedelivery    time.Duration // after a Nack: the wait begins at 100 ms and doubles up to this while nothing is acknowledged
	Refresh          time.Duration // between looks at the topic's partitions
	GoneAfter        time.Duration // a topic that was read may be missing for so long: brokers that start miss it for a moment
	Rack             string        // where we are, as brokers name their racks: a replica there is read rather than the leader
	Log              *slog.Logger  // nil: silent
}

func (o SubscriberOptions) withDefaults() SubscriberOptions {
	o.MaxInFlight = cmp.Or(o.MaxInFlight, DefaultMaxInFlight)
	o.MaxInFlightBytes = cmp.Or(o.MaxInFlightBytes, DefaultMaxInFlightBytes)
	o.MaxQueuedBytes = cmp.Or(o.MaxQueuedBytes, DefaultMaxQueuedBytes)
	o.PartitionBytes = cmp.Or(o.PartitionBytes, DefaultPartitionBytes)
	o.RequestBytes = cmp.Or(o.RequestBytes, DefaultRequestBytes)
	o.MaxWait = cmp.Or(o.MaxWait, DefaultMaxWait)
	o.MaxRedelivery = cmp.Or(o.MaxRedelivery, maxBackoff)
	o.Refresh = cmp.Or(o.Refresh, DefaultRefresh)
	o.GoneAfter = cmp.Or(o.GoneAfter, DefaultGoneAfter)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Subscriber reads sources (message.Subscriber). It hands the messages of a partition on in offset order, a bounded number
// ahead of the oldest that is not acknowledged; between partitions there is no order. Nothing is recorded on Ack: the
// position moves in the store, with the effect (invariant 1).
//
// Each message carries its *event.Message in its context (event.FromContext), its UUID is the event's ID, its metadata are
// the record's headers. Where the log goes on without an event, behind the marker of an aborted transaction, a message that is
// Blank says so, for the position alone. A Nack hands on again, after a while, every message of that partition from the oldest that is not
// acknowledged; what was handed on before is void and its context ends.
type Subscriber struct {
	client    *Client
	positions Positions
	sources   map[string]string
	o         SubscriberOptions
	queued    atomic.Int64 // bytes, of all partitions

	mu       sync.Mutex
	paused   map[string]bool // sources
	subs     []*subscription
	fetchers map[int32]*fetcher // by broker; they live as long as there are subscriptions
	reading  context.Context
	rest     context.CancelFunc // ends reading
	closed   bool
	ended    sync.WaitGroup
}

// NewSubscriber makes a subscriber of topics, each the topic of the source that sources names for it. It starts nothing.
func NewSubscriber(client *Client, positions Positions, sources map[string]string, o SubscriberOptions) *Subscriber {
	return &Subscriber{
		client: client, positions: positions, sources: sources, o: o.withDefaults(),
		fetchers: map[int32]*fetcher{}, paused: map[string]bool{},
	}
}

// Subscribe reads all partitions of a topic, those added later too, until ctx ends or Close. A topic that does not exist is
// waited for, never created. A second subscription of the same topic takes the partitions from the first.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	source, ok := s.sources[topic]
	if !ok {
		return nil, fmt.Errorf("subscribe to %s: no source reads this topic", topic)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("subscribe to " + topic + ": the subscriber is closed")
	}
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan *message.Message)
	sub := newSubscription(s, source, topic, out, cancel)
	sub.paused.Store(s.paused[source])
	if len(s.subs) == 0 {
		s.reading, s.rest = context.WithCancel(context.WithoutCancel(ctx))
	}
	s.subs = append(s.subs, sub)
	s.ended.Go(func() {
		defer close(out)
		defer cancel()
		sub.run(ctx)
		s.end(sub)
	})
	return out, nil
}

// end forgets a subscription, and with the last the fetchers.
func (s *Subscriber) end(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = slices.DeleteFunc(s.subs, func(other *subscription) bool { return other == sub })
	if len(s.subs) == 0 {
		s.rest()
		clear(s.fetchers)
	}
}

// assign has a partition read where it is to be read: at its leader, or at a replica that is nearer.
func (s *Subscriber) assign(p *partition) {
	switch f := s.fetcher(p.node()); {
	case f == nil:
	case p.move(f):
		f.join()
	default:
		f.wake()
	}
}

// fetcher answers the fetcher of a broker, and starts one where there is none. It stays: a broker that has lost its partitions
// may lead some again.
func (s *Subscriber) fetcher(node int32) *fetcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.fetchers[node]
	if ctx := s.reading; !ok && ctx.Err() == nil { // else it is the last answer of a fetcher that ends
		f = &fetcher{s: s, node: node, woken: make(chan struct{}, 1)}
		s.fetchers[node] = f
		s.ended.Go(func() { f.run(ctx) })
	}
	return f
}

// queue notes that so many bytes more are fetched and not handed on. Where there is room again for all, every fetcher is woken.
func (s *Subscriber) queue(bytes int64) {
	if now := s.queued.Add(bytes); now >= s.o.MaxQueuedBytes || now-bytes < s.o.MaxQueuedBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fetchers {
		f.wake()
	}
}

// crowded tells that what is fetched and not handed on is as much as may be.
func (s *Subscriber) crowded() bool { return s.queued.Load() >= s.o.MaxQueuedBytes }

// all answers the partitions of all subscriptions.
func (s *Subscriber) all() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []*partition
	for _, sub := range s.subs {
		parts = append(parts, sub.all()...)
	}
	return parts
}

// Close ends all subscriptions, closes their channels and waits for all that they started. Messages that are not acknowledged
// are void. The client stays open.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, sub := range s.subs {
		sub.cancel()
	}
	s.mu.Unlock()
	s.ended.Wait()
	return nil
}

// Pause lets no more messages of a source be handed on, also before it is subscribed to, until Resume. Those that were handed on
// end as they would: a pause loses nothing and holds nothing up. How long the log has become is still asked, now and then.
func (s *Subscriber) Pause(source string) { s.pause(source, true) }

// Resume goes on with a source where Pause left off.
func (s *Subscriber) Resume(source string) { s.pause(source, false) }

func (s *Subscriber) pause(source string, paused bool) {
	s.mu.Lock()
	s.paused[source] = paused
	subs := slices.Clone(s.subs)
	s.mu.Unlock()
	for _, sub := range subs {
		if sub.source == source {
			sub.pause(paused)
		}
	}
}

// State answers how far each partition is, by source and partition.
func (s *Subscriber) State() []PartitionState {
	s.mu.Lock()
	var states []PartitionState
	for _, sub := range s.subs {
		states = append(states, sub.state()...)
	}
	s.mu.Unlock()
	slices.SortFunc(states, func(a, b PartitionState) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition.Partition, b.Partition.Partition))
	})
	return states
}

// Why a partition stands still until somebody decides: reading on would lose records or read other ones, so nothing is ever
// reset in silence. Denied alone is tried again, once a minute.
const (
	HaltTruncated = "truncated"  // the log ends before our position, or was cut and has grown again
	HaltDataLost  = "data-lost"  // retention has removed records that we had not read
	HaltCorrupt   = "corrupt"    // a batch fails its checksum
	HaltGone      = "topic-gone" // the topic was deleted
	HaltRecreated = "recreated"  // the topic was deleted and made anew: our position means nothing in it
	HaltDenied    = "denied"     // the broker lets us not read it
)

// PartitionState is how far one partition is read and why it stands still, if it does.
type PartitionState struct {
	event.Partition           // Partition is -1 while the topic's partitions are not known
	TopicID         string    // 32 hex digits
	Next            int64     // offset to fetch next; -1 before the first
	HighWatermark   int64     // offset after the last record; -1 where unknown
	LastStable      int64     // offset up to which transactions are decided: we are held there by an open one
	LastTime        time.Time // of the last message fetched; zero where none was
	InFlight        int       // messages handed on and not acknowledged
	Queued          int       // messages fetched and not handed on
	Halted          string    // a Halt code, or empty
	Paused          bool      // at somebody's wish
	Err             error     // what is wrong, also where it is being retried
}
