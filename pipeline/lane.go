package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// inlet is one source's way in.
type inlet struct {
	source  *Source
	label   string // of the adapter
	metrics *sourceMetrics
	slots   chan struct{} // one a call of Map
	room    chan struct{} // 1: something was finished
	pending load          // taken and not finished; guarded by Sequencer.mu
}

// lane is one claim of one partition: its messages in the order of offsets. A new claim of the partition opens a new lane. All
// of it is guarded by Sequencer.mu.
type lane struct {
	position event.Position // where it stands: Next is what the store expects with the next Advance, -1 where never read
	queue    []*ticket      // taken and not finished
	taken    int            // of these, how many are in the group being absorbed
	ready    int            // how many behind those are mapped, without one between that is not
	last     int64          // offset that was delivered last
	counted  int64          // offset up to which messages were counted as received, over all claims of the partition
	noted    int64          // offset before which the store knows that messages may be tried
	suspects int            // messages that are tried alone
	held     int            // messages that wait for their next try
	holding  error          // why the last of them does
	closed   error          // why nothing more is taken
}

// ticket is one delivery of one message, from its arrival until its effect is durable.
type ticket struct {
	inlet   *inlet
	lane    *lane
	message *event.Message
	mapped  customer.Mapped // the stages' until the ticket is ready, then the sequencer's
	bytes   int64
	of      *ticket // the delivery that this one repeats; it waits for that one's end
	done    chan struct{}
	err     error // set before done is closed

	ready, held, finished bool // guarded by Sequencer.mu
	dead                  bool // made a dead letter by bisecting

	// Of the gate: it is tried alone, it is let in, it waits outside for its next try. Guarded by Sequencer.mu but for suspect, which stays.
	suspect, inside, resting bool
	ahead                    bool // it goes further than the store knows; of whoever takes it in
}

// load is an amount of work.
type load struct {
	messages, changes int
	bytes             int64
}

func (l *load) add(t *ticket) {
	l.messages++
	l.changes += len(t.mapped.Changes)
	l.bytes += t.bytes
}

func (l *load) remove(t *ticket) {
	l.messages--
	l.changes -= len(t.mapped.Changes)
	l.bytes -= t.bytes
}

type ticketKey struct{}

// ticketOf answers the ticket that arrive put into a frame's context; every frame has passed there.
func ticketOf(msg *message.Message) *ticket {
	t, _ := msg.Context().Value(ticketKey{}).(*ticket)
	return t
}

// wait blocks until the message has taken effect, or was given up.
func (t *ticket) wait() error {
	if t.of != nil {
		t = t.of
	}
	<-t.done
	return t.err
}

// arrive enters a delivery of a source into its lane, in the order in which the subscriber delivers, and waits while the source
// has too much in flight (invariant 10). It runs before the router starts a goroutine for the message.
func (s *Sequencer) arrive(source string, msg *message.Message) {
	in := s.inlets[source]
	m := event.FromContext(msg.Context())
	t := &ticket{inlet: in, message: m, done: make(chan struct{})}
	msg.SetContext(context.WithValue(msg.Context(), ticketKey{}, t))
	if m == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refuse(t, fmt.Errorf("%s: the subscriber delivered a frame without its message", source))
		return
	}
	t.mapped = customer.Mapped{Message: m, Adapter: in.label}
	t.bytes = size(m)
	for !s.enter(msg.Context(), t) {
		<-in.room
	}
	s.note(msg.Context(), t)
}

func size(m *event.Message) int64 {
	n := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// enter puts a ticket at the end of its lane; false tells to wait for room. A delivery whose context has ended is void: the
// subscriber delivers anew from where its newest claim says, and what is still on its way from before would leave a gap there.
// So the context is looked at after the claim.
func (s *Sequencer) enter(ctx context.Context, t *ticket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		t.finish(errAbandoned)
		return true
	}
	p := &t.inlet.pending
	if p.messages > 0 && (p.messages >= s.limits.Pending || p.bytes+t.bytes > s.limits.PendingBytes) {
		return false
	}
	l, err := s.lane(t.message)
	switch {
	case err != nil:
		s.refuse(t, err)
	case ctx.Err() != nil:
		t.finish(errAbandoned)
	case l.closed != nil:
		t.finish(l.closed)
	case t.message.Offset <= l.last:
		s.repeat(l, t)
	default:
		t.lane = l
		l.last = t.message.Offset
		l.queue = append(l.queue, t)
		s.arrived = s.now()
		s.unfinished++
		p.messages++
		p.bytes += t.bytes
		t.ahead = s.intents != nil && !t.message.Blank && t.message.Offset >= l.noted
		if t.suspect = !t.message.Blank && t.message.Offset < s.gate.marks[l.position.Partition]; t.suspect {
			s.gate.suspects++
			l.suspects++
		}
		s.count(l, t)
	}
	return true
}

// refuse ends the run with an error that a message brought: the subscriber has broken its word.
func (s *Sequencer) refuse(t *ticket, err error) {
	s.fail(err)
	t.finish(err)
}

// count counts a message as received, once, however often it is delivered. It answers whether this was the first time.
func (s *Sequencer) count(l *lane, t *ticket) bool {
	if t.message.Blank || t.message.Offset <= l.counted {
		return false
	}
	l.counted = t.message.Offset
	s.metrics.ledger.receive(t.inlet.source.Name)
	t.inlet.metrics.size.Observe(float64(len(t.message.Value)))
	return true
}

// lane answers the lane of the newest claim of a message's partition. The lane of an older claim takes no more; only the group
// that is being absorbed is left to it.
func (s *Sequencer) lane(m *event.Message) (*lane, error) {
	id := event.Partition{Source: m.Source, Topic: m.Topic, Partition: m.Partition}
	claim, ok := s.positions.claim(id)
	if !ok {
		return nil, fmt.Errorf("%s: the subscriber delivered from a partition that it had not claimed", m.ID())
	}
	old := s.lanes[id]
	if old != nil && old.position.Owner == claim.Owner {
		return old, nil
	}
	l := &lane{position: claim, last: claim.Next - 1, counted: -1}
	if old == nil {
		s.order = append(s.order, l)
	} else {
		l.counted = old.counted
		s.cut(old, old.taken, errAbandoned)
		s.order[slices.Index(s.order, old)] = l
	}
	s.lanes[id] = l
	return l, nil
}

// repeat answers a delivery that is not the first of its message. One that is still in flight is waited for; of one whose
// effect is durable nothing is left to do, and it counts as a duplicate if it comes from before this process (invariant 7).
func (s *Sequencer) repeat(l *lane, t *ticket) {
	at, found := slices.BinarySearchFunc(l.queue, t.message.Offset, func(q *ticket, offset int64) int {
		return cmp.Compare(q.message.Offset, offset)
	})
	switch {
	case found:
		t.of = l.queue[at]
	case t.message.Offset < l.position.Next:
		if s.count(l, t) {
			s.metrics.ledger.settle(t.inlet.source.Name, event.Duplicate)
		}
		t.finish(nil)
	default:
		s.refuse(t, fmt.Errorf("%s: the subscriber delivered it after offset %d", t.message.ID(), l.last))
	}
}

// finish lets the handler of a ticket return.
func (t *ticket) finish(err error) {
	t.err, t.finished = err, true
	close(t.done)
}

// cut gives up the messages of a lane behind the first keep, which may still be absorbed, and lets it take no more. They
// stay in flight as far as counting goes: whoever reads them next finishes them.
func (s *Sequencer) cut(l *lane, keep int, err error) {
	l.closed = errors.Join(l.closed, err)
	for i := keep; i < len(l.queue); i++ {
		t := l.queue[i]
		if i >= l.taken && i < l.taken+l.ready {
			s.prepared.remove(t)
		}
		s.free(t)
		t.finish(err)
	}
	clear(l.queue[keep:])
	l.queue = l.queue[:keep]
	l.taken = min(l.taken, keep)
	l.ready = min(l.ready, keep-l.taken)
	s.turnGate()
}

// free takes a ticket out of what its source has in flight.
func (s *Sequencer) free(t *ticket) {
	s.unhold(t)
	s.outGate(t)
	if t.suspect {
		s.gate.suspects--
		t.lane.suspects--
	}
	s.unfinished--
	p := &t.inlet.pending
	p.messages--
	p.bytes -= t.bytes
	signal(t.inlet.room)
}

// unhold tells that a message does not wait for its next try any more. It answers whether it did.
func (s *Sequencer) unhold(t *ticket) bool {
	if !t.held {
		return false
	}
	t.held = false
	if t.lane.held--; t.lane.held == 0 {
		t.inlet.metrics.held.Dec()
	}
	return true
}
