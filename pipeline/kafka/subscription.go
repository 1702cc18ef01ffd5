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
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// subscription reads one topic. It watches the topic's metadata, claims partitions as they appear, and has each read by the
// fetcher of the broker that leads it.
type subscription struct {
	s         *Subscriber
	cancel    context.CancelFunc
	client    *Client
	positions Positions
	source    string
	topic     string
	o         SubscriberOptions
	log       *slog.Logger
	out       chan<- *message.Message
	kicked    chan struct{} // 1: look at the metadata now
	paused    atomic.Bool

	missing time.Time // since when there is no such topic; run's own

	mu         sync.Mutex
	id         [16]byte
	partitions []*partition // by number
	err        error        // why there are none, or why they are not looked after
}

func newSubscription(s *Subscriber, source, topic string, out chan<- *message.Message, cancel context.CancelFunc) *subscription {
	return &subscription{
		s: s, cancel: cancel, client: s.client, positions: s.positions, source: source, topic: topic, o: s.o, out: out,
		log:    s.o.Log.With("source", source),
		kicked: make(chan struct{}, 1),
	}
}

// kick asks for a look at the metadata.
func (s *subscription) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// run reads until ctx ends, and waits for all that it started.
func (s *subscription) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for failures := 0; ctx.Err() == nil; {
		err := s.look(ctx, &running)
		if ctx.Err() != nil {
			return
		}
		s.note(err)
		wait, kicked := s.o.Refresh, s.kicked
		if err != nil {
			wait, kicked = s.client.backoff(failures), nil
			failures++
		} else {
			failures = 0
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-kicked:
			_ = sleep(ctx, s.client.backoff(0)) // many partitions ask at once; the loop looks at ctx
		}
		t.Stop()
	}
}

// note keeps an error for State, and logs it once.
func (s *subscription) note(err error) {
	s.mu.Lock()
	news := err != nil && (s.err == nil || s.err.Error() != err.Error())
	s.err = err
	s.mu.Unlock()
	if news {
		s.log.Warn("the topic cannot be looked at, trying again", "topic", s.topic, "error", err)
	}
}

// look reads the topic's metadata and does what has changed.
func (s *subscription) look(ctx context.Context, running *sync.WaitGroup) error {
	s.client.refresh(ctx)
	t, err := s.client.topic(ctx, s.topic)
	if errors.Is(err, errNoTopic) {
		return s.gone(time.Now())
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		err = fmt.Errorf("%w: grant this user READ and DESCRIBE", err)
	}
	if err != nil {
		return err
	}
	s.missing = time.Time{}
	known := s.all()
	if len(known) > 0 && s.id != t.id {
		return s.recreated(known, t.id)
	}
	if err := s.claim(ctx, t, running); err != nil {
		return err
	}
	for _, p := range s.all() {
		if l, ok := t.leader(p.Partition.Partition); ok && l.node >= 0 {
			p.led(l, time.Now())
			s.s.assign(p)
		}
	}
	if !t.led() {
		return errors.New("some of its partitions have no leader")
	}
	return nil
}

// gone handles a topic that is not there: it is waited for before it was ever read, and halted after.
func (s *subscription) gone(now time.Time) error {
	known := s.all()
	if s.missing.IsZero() {
		s.missing = now
	}
	if len(known) > 0 && now.Sub(s.missing) >= s.o.GoneAfter {
		for _, p := range known {
			s.halt(p, HaltGone, errors.New("the topic was deleted"), now)
		}
		return nil
	}
	return fmt.Errorf("%w: create it, or mend the source's topic", errNoTopic)
}

func (s *subscription) recreated(known []*partition, id [16]byte) error {
	for _, p := range known {
		s.halt(p, HaltRecreated, fmt.Errorf("the topic was deleted and made anew: its id was %s and is %s",
			idText(p.topicID), idText(id)), time.Now())
	}
	return nil
}

// claim takes the partitions that are new to us, and starts handing on from where the store says.
func (s *subscription) claim(ctx context.Context, t *topic, running *sync.WaitGroup) error {
	var fresh []int32
	for _, l := range t.partitions {
		if !slices.ContainsFunc(s.all(), func(p *partition) bool { return p.Partition.Partition == l.partition }) {
			fresh = append(fresh, l.partition)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	positions, err := s.positions.Claim(ctx, s.source, s.topic, fresh)
	if err != nil {
		return fmt.Errorf("claim partitions: %w", err)
	}
	if len(positions) != len(fresh) {
		return fmt.Errorf("claimed %d partitions, got %d positions", len(fresh), len(positions))
	}
	var added []*partition
	for _, pos := range positions {
		p := s.newPartition(pos, t)
		added = append(added, p)
		running.Go(func() { p.deliver(ctx) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = t.id
	s.partitions = append(slices.Clone(s.partitions), added...) // others hold the old slice
	slices.SortFunc(s.partitions, func(a, b *partition) int { return cmp.Compare(a.Partition.Partition, b.Partition.Partition) })
	return nil
}

// newPartition begins at a stored position. A position of another topic of the same name halts before anything is read.
func (s *subscription) newPartition(pos event.Position, t *topic) *partition {
	p := &partition{
		Partition: event.Partition{Source: s.source, Topic: s.topic, Partition: pos.Partition.Partition},
		sub:       s,
		topicID:   t.id,
		limits:    s.o, out: s.out, backoff: s.client.backoff,
		filled: make(chan struct{}, 1),
		at:     leader{node: anyNode}, near: anyNode,
		next: pos.Next, epoch: -1, high: -1, stable: -1,
	}
	if pos.Next < 0 {
		return p
	}
	p.epoch = pos.Epoch
	if id := idText(t.id); pos.TopicID != "" && id != "" && pos.TopicID != id {
		s.halt(p, HaltRecreated, fmt.Errorf("the topic was deleted and made anew: the position %d is of topic id %s, this one is %s",
			pos.Next, pos.TopicID, id), time.Now())
	}
	return p
}

// halt lets a partition stand still, and says so once.
func (s *subscription) halt(p *partition, code string, err error, now time.Time) {
	if p.halt(code, err, now) {
		s.log.Error("a partition is halted", "topic", s.topic, "partition", p.Partition.Partition, "code", code, "error", err)
	}
}

// all answers the partitions; the slice is not changed any more.
func (s *subscription) all() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partitions
}

func (s *subscription) state() []PartitionState {
	s.mu.Lock()
	parts, err := s.partitions, s.err
	s.mu.Unlock()
	if len(parts) == 0 {
		return []PartitionState{{
			Partition: event.Partition{Source: s.source, Topic: s.topic, Partition: -1},
			Next:      -1, HighWatermark: -1, LastStable: -1, Err: err,
		}}
	}
	states := make([]PartitionState, len(parts))
	for i, p := range parts {
		states[i] = p.state()
		states[i].Err = cmp.Or(states[i].Err, err)
	}
	return states
}

func (p *partition) state() PartitionState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PartitionState{
		Partition: p.Partition, TopicID: idText(p.topicID), Next: p.next, HighWatermark: p.high, LastStable: p.stable,
		LastTime: p.last, InFlight: p.inFlight, Queued: len(p.queue), Halted: p.halted, Err: p.err, Paused: p.sub.paused.Load(),
	}
}

// peekEvery is how often a paused partition is asked how long its log has become: what waits is told while nothing is read.
const peekEvery = 5 * time.Second

// peek is hungry of a partition that is paused; its lock is held.
func (p *partition) peek(now time.Time) (yes, full bool, later time.Time) {
	if later = p.peeked.Add(peekEvery); now.Before(later) {
		return false, false, later
	}
	p.peeked = now
	return true, false, time.Time{}
}

// seen notes how long the log is, from an answer that is not taken.
func (p *partition) seen(rp *kmsg.FetchResponseTopicPartition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rp.ErrorCode == 0 && rp.HighWatermark > p.high {
		p.high, p.stable = rp.HighWatermark, rp.LastStableOffset
	}
}

// pause lets nothing more be handed on, or goes on; what was handed on ends as it would.
func (s *subscription) pause(paused bool) {
	s.paused.Store(paused)
	for _, p := range s.all() {
		p.mu.Lock()
		f := p.fetcher
		p.mu.Unlock()
		select {
		case p.filled <- struct{}{}:
		default:
		}
		if f != nil {
			f.wake()
		}
	}
}
