package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// commit has a group absorbed, whatever it takes: what may pass by itself is tried again, what fails for good is bisected
// until the one message is found. Only the end of ctx or of the drain gives up, and then the whole lane of every message that
// is left: what stands behind it must not be absorbed before it.
func (s *Sequencer) commit(ctx context.Context, group []*ticket) {
	for try := 0; ; try++ {
		if group = s.open(group); len(group) == 0 {
			return
		}
		done, err := s.absorb(ctx, group)
		if err == nil {
			s.settle(group, done)
			return
		}
		if ctx.Err() != nil {
			s.yield(group)
			return
		}
		moved, known, forGood := false, true, final(event.ClassOf(err))
		if forGood || errors.Is(err, event.ErrFenced) || errors.Is(err, event.ErrAlready) {
			moved, known = s.reconcile(ctx, group)
		}
		switch {
		case moved || !known || !forGood:
		case len(group) > 1:
			s.log.Warn("a group fails for good, looking for the message", slog.Int("messages", len(group)), slog.String("error", err.Error()))
			s.commit(ctx, group[:len(group)/2])
			s.commit(ctx, group[len(group)/2:])
			return
		case !group[0].dead && !group[0].message.Blank:
			s.bury(group[0], err)
			moved = true
		}
		if moved {
			s.committed()
			try = -1
		} else if !s.persist(ctx, err, try) {
			s.yield(group)
			return
		}
	}
}

// persist notes a failure and waits for the next try. It answers false where there is none.
func (s *Sequencer) persist(ctx context.Context, err error, try int) bool {
	s.metrics.retries.WithLabelValues("absorb", string(event.ClassOf(err))).Inc()
	s.mu.Lock()
	news := s.failing == nil
	s.failing = err
	s.mu.Unlock()
	if news {
		s.log.Error("the store does not take what is ready, trying again", slog.String("error", err.Error()))
	}
	return s.backoff.wait(ctx, s.draining, try)
}

// yield gives up the lanes of a group.
func (s *Sequencer) yield(group []*ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range group {
		if !t.finished {
			s.cut(t.lane, 0, errAbandoned)
		}
	}
}

// open leaves out the messages that were given up meanwhile.
func (s *Sequencer) open(group []*ticket) []*ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(group), func(t *ticket) bool { return t.finished })
}

// absorb has a group absorbed in one transaction, and its positions moved with it (invariant 1).
func (s *Sequencer) absorb(ctx context.Context, group []*ticket) (*customer.Absorbed, error) {
	b := customer.Batch{Now: s.now(), Messages: make([]customer.Mapped, 0, len(group)), Advances: advances(group)}
	for _, t := range group {
		if !t.message.Blank {
			b.Messages = append(b.Messages, t.mapped)
		}
	}
	return s.take(ctx, b)
}

// take has a batch absorbed. A panic fails it for good; what it panicked with may quote a message and is left out (invariant 9).
func (s *Sequencer) take(ctx context.Context, b customer.Batch) (out *customer.Absorbed, err error) {
	begin, messages := s.now(), len(b.Messages)
	defer func() {
		if recover() != nil {
			err = event.Errorf(event.Permanent, "internal", "", "absorbing panicked at %s: this is a mistake in the program", panicked())
		}
		if !b.Dry {
			s.metrics.absorbed(s.now().Sub(begin), messages, out, err)
		}
	}()
	out, err = s.absorber.Absorb(ctx, b)
	if err == nil && (out == nil || len(out.Results) != messages) {
		panic("an outcome is missing") // invariant 7
	}
	return out, err
}

// advances moves the position of each partition of a group behind its last message, in a fixed order, so that two
// processes cannot wait for each other.
func advances(group []*ticket) []event.Advance {
	var out []event.Advance
	at := map[*lane]int{}
	for _, t := range group {
		i, ok := at[t.lane]
		if !ok {
			i = len(out)
			at[t.lane] = i
			out = append(out, event.Advance{Position: t.lane.position, Expect: t.lane.position.Next})
		}
		out[i].TopicID, out[i].Epoch, out[i].Next = t.message.TopicID, t.message.Epoch, t.message.After()
	}
	slices.SortFunc(out, func(a, b event.Advance) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition.Partition, b.Partition.Partition))
	})
	return out
}

// settle counts what a group came to (invariant 7) and lets its handlers return.
func (s *Sequencer) settle(group []*ticket, done *customer.Absorbed) {
	now := s.now()
	s.mu.Lock()
	results := done.Results
	for _, t := range group {
		var r event.Result // of a blank message none
		if !t.message.Blank {
			r, results = results[0], results[1:]
		}
		s.end(t, r, now)
	}
	recovered := s.failing != nil
	s.failing = nil
	s.mu.Unlock()
	if recovered {
		s.log.Info("the store takes what is ready again")
	}
	s.committed()
}

// end counts a message that has taken effect, moves its lane behind it, and lets its handler return.
func (s *Sequencer) end(t *ticket, r event.Result, now time.Time) {
	m, l := t.message, t.lane
	if !m.Blank {
		s.metrics.ledger.settle(t.inlet.source.Name, r.Outcome)
		t.inlet.metrics.ended(r, since(now, m.Time))
	}
	l.position.Next, l.position.TopicID, l.position.Epoch = m.After(), m.TopicID, m.Epoch
	if l.queue[0] != t {
		panic("a message was finished before the one that stands before it")
	}
	l.queue[0] = nil
	l.queue = l.queue[1:]
	l.taken--
	s.free(t)
	t.finish(nil)
	s.turnGate()
}

// bury makes a dead letter of a message that cannot be absorbed.
func (s *Sequencer) bury(t *ticket, err error) {
	s.log.Error("a message cannot be absorbed and is kept as a dead letter", slog.String("event", t.message.ID()),
		slog.String("adapter", t.mapped.Adapter), slog.String("error", err.Error()))
	t.dead = true
	names := t.mapped.Keys()
	t.mapped.Changes = nil
	t.mapped.Attempts++
	t.mapped.Refusals = []event.Refusal{{Outcome: event.Dead, Keys: names, Err: event.Errorf(event.Permanent, "internal", "",
		"the message was mapped but could not be absorbed: %s; replay it when that is mended", say(err))}}
}

// reconcile finds out where the partitions of a group stand in the store, after it refused to move them or failed in a way
// that may hide a commit. What has taken effect is finished (invariant 2); a partition that another process has claimed is
// given up and ends the run. It answers whether anything came of it, and whether the store could be asked.
func (s *Sequencer) reconcile(ctx context.Context, group []*ticket) (moved, known bool) {
	stored, err := s.positions.stored(ctx)
	if err != nil {
		s.log.Warn("the positions cannot be read", slog.String("error", err.Error()))
		return false, false
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range group {
		if t.finished {
			continue
		}
		l := t.lane
		at, ok := stored[l.position.Partition]
		switch {
		case !ok || at.Owner != l.position.Owner:
			moved = true
			s.lose(l, event.ErrFenced)
		case at.Next > t.message.Offset:
			moved = true
			s.end(t, presumed(t), now)
		case at.Next < l.position.Next:
			moved = true
			s.lose(l, fmt.Errorf("the position was moved from %d back to %d by somebody else", l.position.Next, at.Next))
		case at.Next > l.position.Next: // it stands in the gap before this message
			moved = true
			l.position.Next = at.Next
		}
	}
	return moved, true
}

// lose gives up a claim of a partition. The run ends with it, unless it was we who have claimed the partition anew.
func (s *Sequencer) lose(l *lane, err error) {
	p := l.position.Partition
	err = fmt.Errorf("%s/%s/%d: %w", p.Source, p.Topic, p.Partition, err)
	s.cut(l, 0, err)
	if claim, _ := s.positions.claim(p); claim.Owner == l.position.Owner {
		s.fail(err)
	}
}

// presumed is the outcome of a message whose effect is durable although the answer was lost: what was refused is known, the
// rest is found applied already, which is what duplicate means.
func presumed(t *ticket) event.Result {
	var parts []event.Part
	for _, r := range t.mapped.Refusals {
		parts = append(parts, event.Part{Path: r.Part, Outcome: r.Outcome, Reason: r.Err.Reason})
	}
	for i := range t.mapped.Changes {
		parts = append(parts, event.Part{Path: t.mapped.Changes[i].Part, Outcome: event.Duplicate})
	}
	return event.Result{Outcome: event.Worst(parts), Parts: parts}
}
