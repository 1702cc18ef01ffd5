package plugins

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins/proto"
)

// push is one Push on its way: some calls, after which every delivery has its receipt.
type push struct {
	t          *Target
	deliveries []adapters.Delivery
	receipts   []adapters.Receipt
	broken     bool // there is no process, or a call broke it, so the others wait for the next Push
}

// Push has the process do deliveries, in calls of a bounded size. A process that does not answer in time is ended, and started anew by
// Run. Whoever was in a call that failed comes alone the next time, behind the others: so a customer that breaks the plugin holds up
// itself.
func (t *Target) Push(ctx context.Context, deliveries []adapters.Delivery) ([]adapters.Receipt, error) {
	p := &push{t: t, deliveries: deliveries, receipts: make([]adapters.Receipt, len(deliveries))}
	for _, part := range t.parts(deliveries) {
		p.part(ctx, part)
	}
	return p.receipts, nil
}

// parts divides deliveries, by their number, among calls: those that nothing is known against in calls of at most BatchBytes, then each
// suspect alone, the worst last.
func (t *Target) parts(deliveries []adapters.Delivery) (parts [][]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var clean, alone []int
	for n := range deliveries {
		if t.suspects[deliveries[n].Customer] > 0 {
			alone = append(alone, n)
		} else {
			clean = append(clean, n)
		}
	}
	size := 0
	for i, n := range clean {
		size += len(deliveries[n].Body)
		if i == 0 || size > t.c.Limits.BatchBytes {
			parts, size = append(parts, nil), len(deliveries[n].Body)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], n)
	}
	slices.SortStableFunc(alone, func(a, b int) int {
		return cmp.Compare(t.suspects[deliveries[a].Customer], t.suspects[deliveries[b].Customer])
	})
	for _, n := range alone {
		parts = append(parts, []int{n})
	}
	return parts
}

// part makes one call and notes what became of it. What the plugin would refuse for good as a whole is asked in halves: it may be one of
// them that is bad.
func (p *push) part(ctx context.Context, part []int) {
	if p.broken {
		p.fail(part, event.Errorf(event.Retryable, "plugin", "", "the plugin %s is started again: this was not yet asked", p.t.c.name()))
		return
	}
	receipts, err := p.call(ctx, part)
	switch {
	case err == nil:
		p.t.absolve(p.deliveries, part)
		for i, n := range part {
			p.receipts[n] = receipts[i]
		}
	case event.ClassOf(err) == event.Permanent || event.ClassOf(err) == event.Poison:
		if len(part) == 1 {
			p.t.absolve(p.deliveries, part)
			p.fail(part, err)
			return
		}
		p.part(ctx, part[:len(part)/2])
		p.part(ctx, part[len(part)/2:])
	default:
		p.fail(part, err)
	}
}

// fail gives each delivery of a call the same problem.
func (p *push) fail(part []int, err error) {
	var e *event.Error
	if !errors.As(err, &e) {
		e = event.Errorf(event.Retryable, "plugin", "", "the plugin %s did not answer", p.t.c.name())
	}
	for _, n := range part {
		p.receipts[n] = adapters.Receipt{RemoteID: p.deliveries[n].RemoteID, Problem: &adapters.Problem{Error: *e}}
	}
}

// suspect notes that customers were in a call that failed.
func (t *Target) suspect(deliveries []adapters.Delivery, part []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range part {
		c := deliveries[n].Customer
		if _, known := t.suspects[c]; !known && len(t.suspects) >= maxStrikes {
			clear(t.suspects) // whoever deserves it is here again soon (invariant 10)
		}
		t.suspects[c]++
	}
}

// absolve notes that the process has answered for customers.
func (t *Target) absolve(deliveries []adapters.Delivery, part []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range part {
		delete(t.suspects, deliveries[n].Customer)
	}
}

// call makes one call of the process's Push. Its answer is a receipt for each delivery of the part, in order.
func (p *push) call(ctx context.Context, part []int) ([]adapters.Receipt, error) {
	l, err := p.t.enter(ctx)
	if err != nil {
		p.broken = true // the others of this Push do not wait as long once more
		return nil, err
	}
	defer l.calls.Done()
	limits, name := p.t.c.Limits, p.t.c.name()
	req := &proto.PushRequest{Deliveries: make([]*proto.Delivery, len(part))}
	for i, n := range part {
		d := &p.deliveries[n]
		req.Deliveries[i] = &proto.Delivery{
			Number: uint64(i), Customer: d.Body, Remote: text(d.RemoteID), Id: text(d.ID), Op: string(d.Op), Key: d.Customer.String(),
			Version: d.Version, Into: text(d.Into), Erased: d.Erased,
		}
	}
	call, cancel := context.WithTimeout(ctx, limits.Call)
	defer cancel()
	resp, err := l.rpc.Push(call, req, grpc.MaxCallRecvMsgSize(limits.AnswerBytes))
	switch {
	case err == nil:
		l.worked.Store(true)
		return p.read(part, resp)
	case ctx.Err() != nil:
		return nil, p.t.unwaited(ctx)
	case call.Err() != nil:
		l.child.endFor("it does not answer Push in time")
		p.broke(l)
		return nil, p.suspicious(part, "the plugin %s does not answer Push within %s, so it is ended", name, limits.Call)
	case status.Code(err) == codes.ResourceExhausted:
		return nil, p.suspicious(part, "the plugin %s answers more than %d bytes: mend the plugin", name, limits.AnswerBytes)
	case status.Code(err) == codes.Unavailable: // nobody is there any more, or not for long
		p.broke(l)
		return nil, p.suspicious(part, "the plugin %s ended while it was asked, and may have done some of it", name)
	}
	return nil, p.suspicious(part, "the plugin %s answers Push with an error of gRPC, %s: mend the plugin", name, status.Code(err))
}

// broke notes that a process is of no more use: whoever comes next waits for another.
func (p *push) broke(l *life) {
	p.broken = true
	l.child.kill()
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	if p.t.life == l {
		p.t.life = nil
	}
}

// suspicious is the error of a call that the process did not answer as it must. Who was in it comes alone the next time: it may have been
// one of them.
func (p *push) suspicious(part []int, format string, args ...any) error {
	p.t.suspect(p.deliveries, part)
	return event.Errorf(event.Retryable, "plugin", "", format, args...)
}

// nonsense is suspicious of an answer that makes no sense.
func (p *push) nonsense(part []int, what string) error {
	return p.suspicious(part, "the plugin %s answers what makes no sense: %s. Mend the plugin: this is asked again", p.t.c.name(), what)
}

// read reads what became of each delivery. Of an answer that makes no sense in one place nothing is believed.
func (p *push) read(part []int, resp *proto.PushResponse) ([]adapters.Receipt, error) {
	if e := resp.GetError(); e != nil {
		err, ok := spoken(e)
		switch {
		case !ok:
			return nil, p.nonsense(part, "its error lacks a class that there is, a reason or a text")
		case len(resp.GetReceipts()) > 0:
			return nil, p.nonsense(part, "it answers receipts, and an error in place of them")
		}
		return nil, err
	}
	out, heard := make([]adapters.Receipt, len(part)), make([]bool, len(part))
	for _, r := range resp.GetReceipts() {
		i := r.GetNumber()
		switch {
		case i >= uint64(len(out)):
			return nil, p.nonsense(part, "a receipt is of a delivery that it was not given")
		case heard[i]:
			return nil, p.nonsense(part, "a delivery has two receipts")
		}
		heard[i] = true
		out[i] = adapters.Receipt{RemoteID: r.GetRemote(), RemoteVersion: r.GetVersion()}
		if r.GetError() == nil {
			continue
		}
		err, ok := spoken(r.GetError())
		if !ok {
			return nil, p.nonsense(part, "its error lacks a class that there is, a reason or a text")
		}
		out[i].Problem = &adapters.Problem{Error: *err, After: time.Duration(r.GetAfterSeconds()) * time.Second}
	}
	if slices.Contains(heard, false) {
		return nil, p.nonsense(part, "a delivery has no receipt")
	}
	return out, nil
}

// spoken reads an error of a plugin, if it is one.
func spoken(e *proto.Error) (*event.Error, bool) {
	class := event.Class(e.GetClass())
	known := []event.Class{event.Retryable, event.Throttled, event.Auth, event.Permanent, event.Poison}
	if !slices.Contains(known, class) || e.GetReason() == "" || e.GetText() == "" {
		return nil, false
	}
	return &event.Error{Class: class, Reason: line(e.GetReason()), Path: line(e.GetPath()), Text: sentence(e)}, true
}
