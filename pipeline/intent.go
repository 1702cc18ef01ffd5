package pipeline

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/event"
)

// A message may kill the process: exhaust its memory, or crash what no recover reaches. So that it is found, each partition notes in the
// store, ahead of what it takes, how far that may go. A process that comes to its end clears the note. Where one was killed, the next tries
// the messages below the note alone in the whole process, each with its own note. The one that was being tried each time that a process
// ended is a dead letter after the third; the others have passed.

// Limits of intents (invariant 10).
const (
	markStep  = 1_000           // offsets that a partition's note is ahead of what it takes: one more write to the store each
	maxKilled = 3               // processes that may end while a message is tried alone; then it is a dead letter
	cleanTime = 5 * time.Second // to clear the notes at the end
)

// IntentStore remembers, across the death of a process, what it was about.
type IntentStore interface {
	// Intents answers what processes were about when they ended.
	Intents(ctx context.Context) ([]event.Intent, error)
	// Intend changes what is noted of a partition, durably, and answers it.
	Intend(ctx context.Context, p event.Partition, change func(*event.Intent)) (event.Intent, error)
}

// gate lets messages be tried at the same time, but a suspect alone. All of it is guarded by Sequencer.mu. A suspect is let in as the
// first of its lane only, and nobody else behind a suspect of its own lane: what is let in can always be committed.
type gate struct {
	marks    map[event.Partition]int64 // offsets below which messages are suspects; empty after a clean end
	suspects int                       // that are not finished
	alone    *ticket                   // the suspect that is let in
	others   int                       // that are let in, and not mapped yet
	waiting  map[*ticket]chan struct{}
}

// remember reads what the process before was about.
func (s *Sequencer) remember(ctx context.Context) error {
	if s.intents == nil {
		return nil
	}
	all, err := s.intents.Intents(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Mark >= 0 && s.inlets[i.Source] != nil {
			s.gate.marks[i.Partition] = i.Mark
		}
	}
	if len(s.gate.marks) > 0 {
		s.log.Warn("the process before was killed: what it may have been trying is tried one message at a time",
			slog.Int("partitions", len(s.gate.marks)))
	}
	return nil
}

// forget notes that this process comes to its end: whatever it has tried has not killed it.
func (s *Sequencer) forget(ctx context.Context) {
	if s.intents == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	s.mu.Lock()
	lanes := slices.Collect(maps.Keys(s.lanes))
	s.mu.Unlock()
	for _, p := range lanes {
		if _, err := s.intents.Intend(ctx, p, func(i *event.Intent) { i.Mark = -1 }); err != nil {
			s.log.Warn("it cannot be noted that the end was clean: the next start tries one message at a time", slog.String("error", err.Error()))
			return
		}
	}
}

// note tells the store how far a partition may be tried, ahead of the message that goes further. It runs where the message arrives, so
// that it is done before it is mapped.
func (s *Sequencer) note(ctx context.Context, t *ticket) {
	if !t.ahead {
		return
	}
	upTo := t.message.Offset + markStep
	for try := 0; ; try++ {
		_, err := s.intents.Intend(ctx, t.lane.position.Partition, func(i *event.Intent) { i.Mark = max(i.Mark, upTo) })
		if err == nil {
			s.mu.Lock()
			t.lane.noted = upTo
			s.mu.Unlock()
			return
		}
		if try == 0 {
			s.log.Warn("it cannot be noted what is tried next, trying again", slog.String("error", err.Error()))
		}
		if !s.backoff.wait(ctx, s.draining, try) {
			return
		}
	}
}

// guard is the stage that lets a message pass the gate, and counts what is tried alone. A message that waits for its next try does so
// outside.
func (in *Ingest) guard(ctx context.Context) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			t := ticketOf(msg)
			if len(in.seq.gate.marks) == 0 { // the end before was clean
				return next(msg)
			}
			if !in.seq.enterGate(ctx, t) {
				return nil, errAbandoned
			}
			err := in.seq.tryAlone(ctx, t)
			if err == nil {
				_, err = next(msg)
			}
			if !t.suspect || err != nil && !final(event.ClassOf(err)) {
				in.seq.leaveGate(ctx, t, err)
			}
			return nil, err
		}
	}
}

// tryAlone counts one more try of a suspect. One that was being tried each time that a process ended is refused.
func (s *Sequencer) tryAlone(ctx context.Context, t *ticket) error {
	if !t.suspect {
		return nil
	}
	offset := t.message.Offset
	now, err := s.intents.Intend(ctx, t.lane.position.Partition, func(i *event.Intent) {
		if i.Trying != offset {
			i.Trying, i.Tries = offset, 0
		}
		i.Tries++
	})
	if err != nil || now.Tries <= maxKilled {
		return err
	}
	s.log.Error("a message has ended the process each time that it was tried, and is kept as a dead letter",
		slog.String("event", t.message.ID()), slog.String("adapter", t.mapped.Adapter))
	t.mapped.Attempts = now.Tries - 1
	return event.Errorf(event.Poison, "killed", "",
		"the process ended %d times while this message was tried, alone: find out why, by the service's log, before you replay it", now.Tries-1)
}

// enterGate waits until a message may be tried. It answers false where it is given up meanwhile.
func (s *Sequencer) enterGate(ctx context.Context, t *ticket) bool {
	turn := make(chan struct{})
	s.mu.Lock()
	if t.finished {
		s.mu.Unlock()
		return false
	}
	t.resting = false
	if !t.suspect && s.gate.suspects == 0 && s.gate.alone == nil {
		t.inside = true
		s.gate.others++
		s.mu.Unlock()
		return true
	}
	s.gate.waiting[t] = turn
	s.turnGate()
	s.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-t.done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gate.waiting, t)
	return false
}

// leaveGate lets a message out that is mapped, or waits for its next try after err: that it was tried alone is then taken back, for the
// process lives. A suspect that is mapped stays inside until its effect is durable: what it changes may kill, too.
func (s *Sequencer) leaveGate(ctx context.Context, t *ticket, err error) {
	if t.suspect {
		_, err := s.intents.Intend(context.WithoutCancel(ctx), t.lane.position.Partition, func(i *event.Intent) {
			if i.Trying == t.message.Offset && i.Tries > 0 {
				i.Tries--
			}
		})
		if err != nil {
			s.log.Warn("it cannot be noted that a message was tried without harm", slog.String("error", err.Error()))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.resting = err != nil
	s.outGate(t)
	s.turnGate()
}

// outGate takes a message out of those that are let in.
func (s *Sequencer) outGate(t *ticket) {
	switch {
	case !t.inside:
	case s.gate.alone == t:
		s.gate.alone = nil
	default:
		s.gate.others--
	}
	t.inside = false
}

// turnGate lets in whoever may be tried now.
func (s *Sequencer) turnGate() {
	g := &s.gate
	if g.alone != nil || len(g.waiting) == 0 {
		return
	}
	in := func(t *ticket) {
		t.inside = true
		close(g.waiting[t])
		delete(g.waiting, t)
	}
	busy := g.others > 0 || s.prepared.messages > 0 // somebody is mapped, or absorbed
	for _, l := range s.order {
		busy = busy || l.taken > 0
	}
	wanted := false // a suspect is at the head of its lane and does not wait for its next try
	for _, l := range s.order {
		if g.suspects == 0 || len(l.queue) == 0 || !l.queue[0].suspect || l.queue[0].resting || l.queue[0].finished {
			continue
		}
		wanted = true
		if head := l.queue[0]; !busy && g.waiting[head] != nil {
			g.alone = head
			in(head)
			return
		}
	}
	if wanted {
		return
	}
	for t := range g.waiting {
		if !t.suspect && t.lane.suspects == 0 {
			g.others++
			in(t)
		}
	}
}
