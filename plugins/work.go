package plugins

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins/proto"
)

// request is one message that waits for its answer.
type request struct {
	ctx    context.Context //nolint:containedctx // of the caller, who may have gone
	id     string
	record *proto.Record
	size   int
	closer bool        // a few suspects and it were in a call that failed: it comes alone
	answer chan answer // takes one
}

type answer struct {
	changes []customer.Change
	err     error
}

func newRequest(ctx context.Context, m *event.Message) *request {
	record := recordOf(m)
	return &request{ctx: ctx, id: m.ID(), record: record, size: sizeOf(record), answer: make(chan answer, 1)}
}

// reply answers a request; it is called once for each.
func (r *request) reply(changes []customer.Change, err error) {
	r.answer <- answer{changes: changes, err: err}
}

// call is a batch and what became of it.
type call struct {
	batch   []*request
	suspect bool // a few suspects, or one, and nothing else in flight
	results []*proto.Result
	err     error
}

// shift is what one life of the process is at. It is used by one goroutine.
type shift struct {
	*Host
	p        *process
	inFlight int
	done     chan *call
	ill      chan error // Health did not answer
	worked   bool
}

// work hands requests to the process until ctx ends or the process does. What was in a call that the process did not survive
// becomes suspect: it comes again to the next life, with a few others and then alone. It answers whether a call succeeded.
func (h *Host) work(ctx context.Context, p *process) (worked bool, err error) {
	s := &shift{Host: h, p: p, done: make(chan *call, h.c.Limits.Window), ill: make(chan error, 1)}
	living, die := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() { p.child.watch(h.c.Limits.Memory) })
	watching.Go(func() { s.nurse(living) })
	if err = s.loop(ctx, living); err == nil { // ctx has ended: what is in flight is answered, within Limits.Call
		for err == nil && s.inFlight > 0 {
			err = s.take(<-s.done)
		}
		p.drain()
	}
	die()
	p.end()
	for s.inFlight > 0 {
		_ = s.take(<-s.done) // the process has ended, which err tells already
	}
	watching.Wait()
	return s.worked, err
}

// loop answers nil when ctx has ended, and else why the process must end.
func (s *shift) loop(ctx, living context.Context) error {
	for {
		s.hand(living)
		var queue chan *request // nobody is taken in while a suspect waits, or while enough calls are made
		if len(s.suspects) == 0 && s.inFlight < s.c.Limits.Window {
			if r := s.carried; r != nil {
				s.carried = nil
				s.send(living, s.gather(ctx, r), false)
				continue
			}
			queue = s.queue
		}
		select {
		case r := <-queue:
			s.send(living, s.gather(ctx, r), false)
		case c := <-s.done:
			if err := s.take(c); err != nil {
				return err
			}
		case err := <-s.ill:
			return err
		case <-s.p.child.exited:
			return s.broken()
		case <-ctx.Done():
			return nil
		}
	}
}

// hand sends the next few suspects, or one that comes alone, once nothing else is in flight.
func (s *shift) hand(living context.Context) {
	for len(s.suspects) > 0 && s.inFlight == 0 {
		var batch []*request
		for len(s.suspects) > 0 && len(batch) < fewSuspects {
			r := s.suspects[0]
			if r.closer && len(batch) > 0 {
				break
			}
			s.suspects = s.suspects[1:]
			if r.ctx.Err() == nil {
				batch = append(batch, r)
			}
			if r.closer {
				break
			}
		}
		s.send(living, batch, true)
	}
}

// gather fills a batch with what else arrives within a moment, up to a number and a size (invariant 10); a record that would
// make it too large begins the next one. A message that has broken the process before does not go into one.
func (s *shift) gather(ctx context.Context, r *request) (batch []*request) {
	linger := time.NewTimer(s.c.Limits.Linger)
	defer linger.Stop()
	for size := 0; ; {
		_, struck := s.strikes[r.id]
		switch {
		case r.ctx.Err() != nil: // its caller has gone
		case struck:
			r.closer = true
			s.suspects = append(s.suspects, r)
		case len(batch) > 0 && size+r.size > s.c.Limits.BatchBytes:
			s.carried = r
			return batch
		default:
			batch = append(batch, r)
			size += r.size
		}
		if len(batch) >= s.c.Limits.Batch || size >= s.c.Limits.BatchBytes || len(s.suspects) > 0 {
			return batch
		}
		select {
		case r = <-s.queue:
		case <-linger.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
}

// send has a batch mapped, if there is anything in it.
func (s *shift) send(living context.Context, batch []*request, suspect bool) {
	if len(batch) == 0 {
		return
	}
	s.inFlight++
	c := &call{batch: batch, suspect: suspect}
	records := make([]*proto.Record, len(batch))
	for i, r := range batch {
		r.record.Number = uint64(i)
		records[i] = r.record
	}
	go func() {
		ctx, cancel := context.WithTimeout(living, s.c.Limits.Call)
		defer cancel()
		answered, err := s.p.rpc.MapBatch(ctx, &proto.MapBatchRequest{Records: records}, grpc.MaxCallRecvMsgSize(s.c.Limits.AnswerBytes))
		c.results, c.err = answered.GetResults(), err
		s.done <- c
	}()
}

// take answers the requests of a call. An error says that the process must end.
func (s *shift) take(c *call) error {
	s.inFlight--
	if c.err == nil {
		s.worked = true
		s.answer(c)
		return nil
	}
	fatal := s.fate(c.err)
	switch {
	case !c.suspect || len(c.batch) > 1:
		for _, r := range c.batch {
			r.closer = c.suspect
		}
		s.suspects = append(s.suspects, c.batch...)
	case fatal == nil:
		s.convict(c.batch[0], "its answer cannot be used: "+status.Code(c.err).String())
	default:
		s.strike(c.batch[0], fatal)
	}
	return fatal
}

// fate tells why a failed call means that the process must end, nil if it need not: it has answered, though not well.
func (s *shift) fate(err error) error {
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		s.p.child.endFor("it hangs: a call took longer than " + s.c.Limits.Call.String())
		return s.broken()
	case codes.Unavailable, codes.Canceled, codes.Aborted:
		return s.broken()
	case codes.Internal, codes.Unknown: // what is left of a call when the process ends may look like an answer
		t := time.NewTimer(lastMoment)
		defer t.Stop()
		select {
		case <-s.p.child.exited:
			return s.broken()
		case <-t.C:
			return nil
		}
	default:
		return nil
	}
}

// broken says how the process ended; it waits for that.
func (s *shift) broken() error {
	t := time.NewTimer(drainGrace)
	defer t.Stop()
	select {
	case <-s.p.child.exited:
	case <-t.C: // it has closed its socket and lives on
		s.p.child.endFor("it does not listen any more")
		<-s.p.child.exited
	}
	return event.Errorf(event.Retryable, "plugin", "", "%s", s.p.child.how())
}

// strike remembers that a message alone broke the process. It is tried again, until it has done so too often.
func (s *shift) strike(r *request, why error) {
	if _, known := s.strikes[r.id]; !known && len(s.strikes) >= maxStrikes {
		for id := range s.strikes { // any one makes room
			delete(s.strikes, id)
			break
		}
	}
	s.strikes[r.id]++
	if s.strikes[r.id] >= s.c.Limits.Strikes {
		s.convict(r, "it has broken the process whenever it came alone: "+say(why))
		return
	}
	s.suspects = append(s.suspects, r)
}

// convict refuses a message for good: the others go on.
func (s *shift) convict(r *request, why string) {
	delete(s.strikes, r.id)
	r.reply(nil, event.Errorf(event.Permanent, "plugin", "",
		"the plugin %s cannot map the message: %s. Mend the plugin and replay the message", s.c.name(), why))
}

// answer gives each request its result. What has none, or one that makes no sense, is the plugin's mistake.
func (s *shift) answer(c *call) {
	byNumber := make([]*proto.Result, len(c.batch))
	twice := make([]bool, len(c.batch))
	for _, result := range c.results {
		if n := result.GetNumber(); n < uint64(len(c.batch)) {
			twice[n] = byNumber[n] != nil
			byNumber[n] = result
		}
	}
	for i, r := range c.batch {
		switch {
		case byNumber[i] == nil:
			s.convict(r, "it has no result among the answers")
		case twice[i]:
			s.convict(r, "it has more than one result among the answers")
		default:
			delete(s.strikes, r.id)
			changes, err := outcomeOf(byNumber[i], s.c.name())
			r.reply(changes, err)
		}
	}
}

// nurse asks for the process's health until it is gone.
func (s *shift) nurse(living context.Context) {
	tick := time.NewTicker(s.c.Limits.HealthEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-living.Done():
			return
		}
		ctx, cancel := context.WithTimeout(living, s.c.Limits.Health)
		_, err := s.p.rpc.Health(ctx, &proto.HealthRequest{})
		cancel()
		if err == nil || living.Err() != nil {
			continue
		}
		why := "it says that it is not well"
		if status.Code(err) == codes.DeadlineExceeded {
			why = "it does not answer Health within " + s.c.Limits.Health.String()
		}
		s.p.child.endFor(why)
		s.ill <- event.Errorf(event.Retryable, "plugin", "", "%s", why)
		return
	}
}

// sizeOf answers the bytes of a record as they count for a batch.
func sizeOf(r *proto.Record) int {
	n := len(r.GetKey()) + len(r.GetValue())
	for _, h := range r.GetHeaders() {
		n += len(h.GetKey()) + len(h.GetValue())
	}
	return n
}
