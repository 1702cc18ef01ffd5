package pipeline_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

// broker delivers as pipeline/kafka does: each partition in the order of offsets from where the store says, a bounded number
// ahead of the oldest that is not acknowledged, and again from there after a nack.
type broker struct {
	positions *pipeline.Positions
	window    int
	topics    map[string]string                 // topic to source
	first     func(out chan<- *message.Message) // delivers something before all else; may be nil

	mu      sync.Mutex
	logs    map[event.Partition][]*event.Message
	nacked  int
	subs    []context.CancelFunc
	lanes   map[event.Partition]*session
	running sync.WaitGroup
}

func newBroker(p *pipeline.Positions, sources ...pipeline.Source) *broker {
	b := &broker{positions: p, window: 256, topics: map[string]string{}, logs: map[event.Partition][]*event.Message{}, lanes: map[event.Partition]*session{}}
	for _, s := range sources {
		b.topics[s.Topic] = s.Name
	}
	return b
}

// put appends a message to a partition at an offset; before Run only.
func (b *broker) put(source, topic string, partition int32, offset int64, value string) *event.Message {
	m := &event.Message{
		Source: source, Topic: topic, TopicID: "00000000000000000000000000000001", Partition: partition, Offset: offset, Epoch: 3,
		Time: time.Unix(1700000000, 0).UTC(), Value: []byte(value),
	}
	id := event.Partition{Source: source, Topic: topic, Partition: partition}
	b.logs[id] = append(b.logs[id], m)
	return m
}

// fill appends n messages from offset 0 on.
func (b *broker) fill(source, topic string, partition int32, n int) {
	for i := range n {
		b.put(source, topic, partition, int64(i), strconv.Itoa(i))
	}
}

func (b *broker) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs = append(b.subs, cancel)
	var mine []int32
	for id := range b.logs {
		if id.Topic == topic {
			mine = append(mine, id.Partition)
		}
	}
	slices.Sort(mine)
	out := make(chan *message.Message)
	b.running.Go(func() {
		defer close(out)
		defer cancel()
		claims, err := b.positions.Claim(ctx, b.topics[topic], topic, mine)
		if err != nil {
			return
		}
		if b.first != nil {
			b.first(out)
		}
		var parts sync.WaitGroup
		for _, c := range claims {
			parts.Go(func() { b.deliver(ctx, c, out, &parts) })
		}
		<-ctx.Done() // reclaim is not called after the end
		parts.Wait()
	})
	return out, nil
}

func (b *broker) deliver(ctx context.Context, from event.Position, out chan<- *message.Message, parts *sync.WaitGroup) {
	b.mu.Lock()
	log := b.logs[from.Partition]
	mine := &session{ctx: ctx, out: out, parts: parts, ended: make(chan struct{})}
	b.lanes[from.Partition] = mine
	ctx, mine.end = context.WithCancel(ctx)
	b.mu.Unlock()
	defer close(mine.ended)
	defer mine.end()
	var flight []*message.Message
	next := slices.IndexFunc(log, func(m *event.Message) bool { return m.Offset >= from.Next })
	if next < 0 {
		next = len(log)
	}
	for {
		var send chan<- *message.Message
		var frame *message.Message
		if next < len(log) && len(flight) < b.window {
			frame = message.NewMessage(log[next].ID(), log[next].Value)
			frame.SetContext(event.NewContext(ctx, log[next]))
			send = out
		}
		var acked, nacked <-chan struct{}
		if len(flight) > 0 {
			acked, nacked = flight[0].Acked(), flight[0].Nacked()
		}
		select {
		case send <- frame:
			flight = append(flight, frame)
			next++
		case <-acked:
			flight = flight[1:]
		case <-nacked:
			b.mu.Lock()
			b.nacked++
			b.mu.Unlock()
			next -= len(flight)
			flight = nil
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (b *broker) Close() error {
	b.mu.Lock()
	for _, cancel := range b.subs {
		cancel()
	}
	b.mu.Unlock()
	b.running.Wait()
	return nil
}

// session is one claim's delivery of a partition.
type session struct {
	ctx   context.Context // of the subscription
	out   chan<- *message.Message
	end   context.CancelFunc
	parts *sync.WaitGroup
	ended chan struct{}
}

// reclaim voids what a partition has in flight, claims it again and delivers from where the store says now.
func (b *broker) reclaim(tb tester, id event.Partition) {
	tb.Helper()
	b.mu.Lock()
	s := b.lanes[id]
	b.mu.Unlock()
	s.end()
	<-s.ended
	claims, err := b.positions.Claim(s.ctx, id.Source, id.Topic, []int32{id.Partition})
	if err != nil {
		tb.Fatal(err)
	}
	s.parts.Go(func() { b.deliver(s.ctx, claims[0], s.out, s.parts) })
}

// vault is a store that keeps positions, and an absorber that notes what took effect. It refuses what a real one refuses.
type vault struct {
	before func(call int, b customer.Batch) error // fails the transaction
	after  func(call int, b customer.Batch) error // loses the answer of a transaction that was committed
	delay  time.Duration

	mu        sync.Mutex
	positions map[event.Partition]event.Position
	effects   map[event.Partition][]int64 // offsets in the order of their effect
	dead      map[string]event.Refusal    // by message id
	sizes     []int                       // messages of each committed batch
	calls     int
	changed   chan struct{}
}

func newVault() *vault {
	return &vault{
		positions: map[event.Partition]event.Position{}, effects: map[event.Partition][]int64{}, dead: map[string]event.Refusal{},
		changed: make(chan struct{}, 1),
	}
}

func (v *vault) Claim(_ context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []event.Position
	for _, n := range partitions {
		id := event.Partition{Source: source, Topic: topic, Partition: n}
		p, ok := v.positions[id]
		if !ok {
			p = event.Position{Partition: id, Next: -1, Epoch: -1}
		}
		p.Owner++
		v.positions[id] = p
		out = append(out, p)
	}
	return out, nil
}

func (v *vault) Positions(context.Context) ([]event.Position, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Values(v.positions)), nil
}

func (v *vault) Absorb(ctx context.Context, b customer.Batch) (*customer.Absorbed, error) {
	v.mu.Lock()
	v.calls++
	call := v.calls
	v.mu.Unlock()
	if v.delay > 0 {
		select {
		case <-time.After(v.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if v.before != nil {
		if err := v.before(call, b); err != nil {
			return nil, err
		}
	}
	out, err := v.commit(b)
	if err == nil && v.after != nil {
		err = v.after(call, b)
	}
	if err != nil {
		return nil, fmt.Errorf("absorb: %w", err)
	}
	return out, nil
}

func (v *vault) commit(b customer.Batch) (*customer.Absorbed, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range b.Advances {
		switch p := v.positions[a.Partition]; {
		case p.Owner != a.Owner:
			return nil, event.ErrFenced
		case p.Next != a.Expect:
			return nil, event.ErrAlready
		}
	}
	for _, a := range b.Advances {
		v.positions[a.Partition] = a.Position
	}
	out := &customer.Absorbed{Created: 1, Candidates: len(b.Messages), Largest: 2, Silenced: 1}
	for _, m := range b.Messages {
		id := event.Partition{Source: m.Message.Source, Topic: m.Message.Topic, Partition: m.Message.Partition}
		v.effects[id] = append(v.effects[id], m.Message.Offset)
		var parts []event.Part
		for range m.Changes {
			parts = append(parts, event.Part{Outcome: event.Applied})
		}
		for _, r := range m.Refusals {
			parts = append(parts, event.Part{Path: r.Part, Outcome: r.Outcome, Reason: r.Err.Reason})
			if r.Outcome == event.Dead {
				v.dead[m.Message.ID()] = r
			}
		}
		out.Results = append(out.Results, event.Result{Outcome: event.Worst(parts), Parts: parts})
	}
	v.sizes = append(v.sizes, len(b.Messages))
	select {
	case v.changed <- struct{}{}:
	default:
	}
	return out, nil
}

func (v *vault) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, offsets := range v.effects {
		n += len(offsets)
	}
	return n
}

// await waits until n messages have taken effect.
func (v *vault) await(tb tester, n int) {
	tb.Helper()
	late := time.After(20 * time.Second)
	for v.count() < n {
		select {
		case <-v.changed:
		case <-late:
			tb.Fatalf("%d messages have taken effect, want %d", v.count(), n)
		}
	}
}

// tester is what the helpers need of a test, a benchmark or a rapid check.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

// mapFunc is a Source made of a function.
type mapFunc func(ctx context.Context, m *event.Message) ([]customer.Change, error)

func (f mapFunc) Map(ctx context.Context, m *event.Message) ([]customer.Change, error) {
	return f(ctx, m)
}

// plain maps every message to one change.
func plain(_ context.Context, m *event.Message) ([]customer.Change, error) {
	return []customer.Change{{Key: "k" + string(m.Value), Op: customer.Patch}}, nil
}

// scene is an ingest with its broker and its store.
type scene struct {
	*vault
	broker  *broker
	ingest  *pipeline.Ingest
	config  pipeline.IngestConfig
	metrics *pipeline.Metrics
}

func shop(f mapFunc) pipeline.Source {
	return pipeline.Source{Name: "shop", Topic: "shop.webhooks", Adapter: "shopify", Source: f, Mapping: 3}
}

func newScene(c pipeline.IngestConfig) *scene {
	s := &scene{vault: newVault(), config: c}
	if c.Now == nil {
		s.config.Now = time.Now
	}
	s.config.Positions = pipeline.NewPositions(s.vault)
	s.broker = newBroker(s.config.Positions, c.Sources...)
	return s
}

// start runs the ingest until stop is called, which answers what Run did.
func (s *scene) start(tb tester) (stop func() error) {
	tb.Helper()
	if s.metrics == nil {
		s.metrics = pipeline.NewMetrics(nil)
	}
	s.ingest = pipeline.NewIngest(s.config, s.broker, s.vault, nil, s.metrics)
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ingest.Run(ctx) }()
	return func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second):
			tb.Fatal("Run does not end")
			return nil
		}
	}
}
