package pipeline

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/onefold/onefold/event"
)

// Sequencer puts messages that were mapped concurrently back into the order of their partitions, gathers what is ready over
// all partitions into groups, and has each group absorbed in one transaction, one group at a time.
//
// The subscriber delivers a partition in the order of offsets, with gaps where the log has control records or was compacted.
// Each delivery is entered here before the router starts a goroutine for it, so what comes next in a partition is known
// exactly, whichever goroutine is the first to be ready.
type Sequencer struct {
	absorber  Absorber
	positions *Positions
	limits    Limits
	backoff   backoff
	now       func() time.Time
	committed func()
	log       *slog.Logger
	metrics   *Metrics
	intents   IntentStore       // nil: nothing is remembered across the death of the process
	inlets    map[string]*inlet // by source; not changed after construction

	woken    chan struct{} // 1: there is something to gather
	draining chan struct{} // closed when intake ends
	failed   chan struct{} // closed with the first failure

	mu         sync.Mutex
	lanes      map[event.Partition]*lane // of the newest claims
	order      []*lane                   // the same, in the order of their first message
	turn       int                       // which of them the next group begins with
	prepared   load                      // what is ready in all lanes and in no group
	unfinished int                       // messages taken and not finished
	arrived    time.Time                 // when the last message was taken
	since      time.Time                 // when the oldest of it became so; zero: it has waited enough
	failing    error                     // why the last try to absorb failed; nil where it went well
	fault      error                     // what ended the run
	gate       gate
	drained    bool // nothing more is taken
}

func newSequencer(c IngestConfig, a Absorber, log *slog.Logger, m *Metrics) *Sequencer {
	s := &Sequencer{
		absorber: a, positions: c.Positions, limits: c.Limits, now: c.Now, committed: c.Committed, log: log, metrics: m,
		backoff: newBackoff(c.Limits.RetryMin, c.Limits.RetryMax, c.Jitter),
		inlets:  map[string]*inlet{}, lanes: map[event.Partition]*lane{},
		intents: c.Intents, gate: gate{marks: map[event.Partition]int64{}, waiting: map[*ticket]chan struct{}{}},
		woken: make(chan struct{}, 1), draining: make(chan struct{}), failed: make(chan struct{}),
	}
	for i := range c.Sources {
		src := &c.Sources[i]
		s.inlets[src.Name] = &inlet{
			source: src, label: src.label(), metrics: m.source(src),
			slots: make(chan struct{}, cmp.Or(src.Concurrent, c.Limits.MapConcurrent)), room: make(chan struct{}, 1),
		}
	}
	return s
}

// ready tells that a message is mapped.
func (s *Sequencer) ready(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.finished {
		return
	}
	t.ready = true
	l, before := t.lane, s.prepared.messages
	for n := l.taken + l.ready; n < len(l.queue) && l.queue[n].ready; n++ {
		l.ready++
		s.prepared.add(l.queue[n])
	}
	if before == 0 && s.prepared.messages > 0 {
		s.since = s.now()
		signal(s.woken)
	} else if s.full() || s.idle() {
		signal(s.woken)
	}
}

// full tells that a group can be gathered that need not wait for more.
func (s *Sequencer) full() bool {
	p := &s.prepared
	return p.messages >= s.limits.GroupMessages || p.changes >= s.limits.GroupChanges || p.bytes >= s.limits.GroupBytes
}

// over tells that a group would be too large.
func (s *Sequencer) over(l *load) bool {
	return l.messages > s.limits.GroupMessages || l.changes > s.limits.GroupChanges || l.bytes > s.limits.GroupBytes
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// abandon gives up a message that could not be mapped in time: it and what stands behind it are left to the next start, what
// stands before it may still be absorbed.
func (s *Sequencer) abandon(t *ticket, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(t.lane.queue, t); i >= 0 {
		s.cut(t.lane, i, err)
	}
}

// hold tells that a message waits for its next try, and why: its partition stands still meanwhile.
func (s *Sequencer) hold(t *ticket, err error) {
	s.metrics.retries.WithLabelValues("map", string(event.ClassOf(err))).Inc()
	s.mu.Lock()
	news := !t.finished && !t.held
	t.lane.holding = err
	if news {
		t.held = true
		if t.lane.held++; t.lane.held == 1 {
			t.inlet.metrics.held.Inc()
		}
	}
	s.mu.Unlock()
	if !news {
		return
	}
	s.log.Warn("a message holds its partition and is tried again", slog.String("event", t.message.ID()),
		slog.String("adapter", t.mapped.Adapter), slog.String("class", string(event.ClassOf(err))), slog.String("error", say(err)))
}

// release tells that a message waits no more.
func (s *Sequencer) release(t *ticket) {
	s.mu.Lock()
	held := s.unhold(t)
	s.mu.Unlock()
	if held {
		s.log.Info("a message holds its partition no more", slog.String("event", t.message.ID()), slog.Int("attempts", t.mapped.Attempts))
	}
}

// fail ends the run with its first failure.
func (s *Sequencer) fail(err error) {
	if s.fault == nil {
		s.fault = err
		close(s.failed)
	}
}

// failure answers what ended the run, nil if nothing did.
func (s *Sequencer) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// drain ends intake: what comes now is left to the next start, and nothing is tried again.
func (s *Sequencer) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return
	}
	s.drained = true
	close(s.draining)
	for _, in := range s.inlets {
		signal(in.room)
	}
}

// run absorbs group after group until ctx ends. Then every message that is left is given up, and none is taken any more.
func (s *Sequencer) run(ctx context.Context) {
	for s.linger(ctx) {
		s.commit(ctx, s.gather())
	}
	s.drain()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.order {
		s.cut(l, 0, errAbandoned)
	}
}

// linger waits until there is enough for a group: the limits are reached, or the first message that is ready has waited long
// enough, or it would wait in vain, because all that was delivered is ready and nothing has come for a while: a subscriber that
// has reached its own limit delivers no more before something is committed. It answers false when ctx ends.
func (s *Sequencer) linger(ctx context.Context) bool {
	for waited := time.Duration(0); ctx.Err() == nil; {
		s.mu.Lock()
		now, some := s.now(), s.prepared.messages > 0
		rest := s.limits.Linger - max(waited, now.Sub(s.since))
		if s.idle() {
			rest = min(rest, s.limits.Linger/quietShare-now.Sub(s.arrived))
		}
		enough := s.full() || s.since.IsZero() || rest <= 0 || s.gate.alone != nil // what is tried alone has nobody to wait for
		s.mu.Unlock()
		if some && enough {
			return true
		}
		if s.doze(ctx, some, rest) {
			waited += rest // for clocks that stand still
		}
	}
	return false
}

// doze waits to be woken, or for a while if something is ready. It tells whether that while is over.
func (s *Sequencer) doze(ctx context.Context, some bool, wait time.Duration) bool {
	var over <-chan time.Time
	if some {
		t := time.NewTimer(wait)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
	case <-s.woken:
	case <-over:
		return true
	}
	return false
}

// quietShare is which part of Linger without a new message is quiet.
const quietShare = 5

// idle tells that all that was taken is ready: nobody is mapping.
func (s *Sequencer) idle() bool { return s.prepared.messages == s.unfinished }

// gather takes a group: what is ready of each lane, in order, as far as the limits go. Lanes take turns to be the first, so
// that a busy one starves none.
func (s *Sequencer) gather() []*ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var group []*ticket
	var sum load
	for i := range s.order {
		l := s.order[(s.turn+i)%len(s.order)]
		for l.ready > 0 {
			t := l.queue[l.taken]
			sum.add(t)
			if len(group) > 0 && s.over(&sum) {
				sum.remove(t)
				break
			}
			l.ready--
			l.taken++
			s.prepared.remove(t)
			group = append(group, t)
		}
	}
	s.turn++
	s.since = time.Time{} // what is left has waited enough
	return group
}
