package writeback

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/event"
)

// push brings what does not have to wait to the target.
func (s *Sync) push(ctx context.Context, r *round) error {
	var items []*item
	for _, it := range r.items {
		if it.delivery != nil && !it.late {
			items = append(items, it)
		}
	}
	s.bring(ctx, items)
	for _, it := range items {
		s.judge(it, r.now)
	}
	return nil
}

// part brings what had to wait: the entries of customers that were merged. Where the target can and knows both, they become one; else
// the merged one's is removed. As long as the survivor's is not there, it waits on: nobody is without an entry meanwhile.
func (s *Sync) part(ctx context.Context, r *round) error {
	var items []*item
	for _, it := range r.items {
		if it.delivery == nil || !it.late {
			continue
		}
		if to := it.survivor; to != nil {
			switch to.receipt.State {
			case event.Owed, event.Sending:
				it.receipt.State, it.receipt.Next = event.Owed, s.later(to.receipt.Next)
				continue
			case event.Held:
				refused := it.was.State == event.Refused // then it is removed
				if s.merges && !refused && it.receipt.RemoteID != "" && to.receipt.RemoteID != "" && it.receipt.RemoteID != to.receipt.RemoteID {
					it.delivery.Op, it.delivery.Into = adapters.Merge, to.receipt.RemoteID
				}
			case event.Refused, event.Removed:
			}
		}
		items = append(items, it)
	}
	s.bring(ctx, items)
	for _, it := range items {
		merged := it.delivery.Op == adapters.Merge
		s.judge(it, r.now)
		if to := it.survivor; merged && it.receipt.State == event.Removed && to != nil { // its entry has taken something over
			if it.done.RemoteID != "" {
				to.receipt.RemoteID = it.done.RemoteID
			}
			to.receipt.State, to.receipt.Next = event.Owed, r.now
			to.receipt.Class, to.receipt.Reason = event.Retryable, reasonMerged
			to.receipt.Error = "another entry has become part of it: it is written again"
			to.again = true
		}
	}
	return nil
}

// reasonMerged is why a customer is owed whose entry has taken another one over.
const reasonMerged = "merged"

// later answers when to look again at what waits for another: when that one is tried again, and not at once.
func (s *Sync) later(next time.Time) time.Time {
	soon := s.c.Now().UTC().Add(s.c.RetryMin)
	if next.After(soon) {
		return next
	}
	return soon
}

// bring pushes deliveries, a batch a call and a bounded number of calls at a time. When one shows that there is no use, no further begins.
func (s *Sync) bring(ctx context.Context, items []*item) {
	if len(items) == 0 {
		return
	}
	longer, cancel := s.graced(ctx)
	defer cancel()
	var calls sync.WaitGroup
	slots := make(chan struct{}, s.c.Parallel)
	for first := 0; first < len(items); first += s.batch {
		batch := items[first:min(first+s.batch, len(items))]
		slots <- struct{}{}
		if ctx.Err() != nil || s.held() {
			<-slots
			break
		}
		calls.Go(func() {
			defer func() { <-slots }()
			s.call(longer, batch)
		})
	}
	calls.Wait()
}

// call pushes one batch. Each delivery of it then has its receipt.
func (s *Sync) call(ctx context.Context, batch []*item) {
	deliveries := make([]adapters.Delivery, len(batch))
	for i, it := range batch {
		deliveries[i] = *it.delivery
	}
	begin := s.c.Now()
	receipts, err := s.try(ctx, deliveries)
	s.series.seconds.Observe(max(0, s.c.Now().Sub(begin).Seconds()))
	if err != nil && len(batch) > 1 && final(event.ClassOf(err)) { // one of them is bad, or all: each is asked for itself
		s.call(ctx, batch[:len(batch)/2])
		s.call(ctx, batch[len(batch)/2:])
		return
	}
	if err != nil {
		var e *event.Error
		if !errors.As(err, &e) {
			e = event.Errorf(event.Retryable, "internal", "", "the adapter answered an error without a class: this is a mistake in the adapter")
		}
		receipts = make([]adapters.Receipt, len(batch))
		for i := range receipts {
			receipts[i].Problem = &adapters.Problem{Error: *e}
		}
	}
	for i, it := range batch {
		it.done = &receipts[i]
	}
	s.learn(batch)
}

// try makes one call of Push. An answer that is none, and a panic, are mistakes of the adapter; nothing is known of any delivery then.
func (s *Sync) try(ctx context.Context, deliveries []adapters.Delivery) (receipts []adapters.Receipt, err error) {
	defer func() {
		if recover() != nil {
			receipts, err = nil, event.Errorf(event.Retryable, "internal", "", "the adapter panicked: this is a mistake in the adapter")
		}
	}()
	receipts, err = s.target.Push(ctx, deliveries)
	if err == nil && len(receipts) != len(deliveries) {
		return nil, event.Errorf(event.Retryable, "internal", "",
			"the adapter answered %d receipts for %d deliveries: this is a mistake in the adapter", len(receipts), len(deliveries))
	}
	return receipts, err
}

// final tells the classes of error that no patience mends.
func final(c event.Class) bool { return c == event.Permanent || c == event.Poison }

// judge makes the receipt of what became of a delivery.
func (s *Sync) judge(it *item, now time.Time) {
	r := &it.receipt
	r.At = s.c.Now().UTC()
	if it.done == nil { // not tried: it is due as it was
		s.untried(it, now)
		return
	}
	problem := it.done.Problem
	if problem == nil {
		s.arrived(it)
		return
	}
	if id := it.done.RemoteID; id != "" && len(id) <= maxRemote {
		r.RemoteID = id
	}
	switch {
	case final(problem.Class):
		s.refuse(it, &problem.Error)
		if it.delivery.Op != adapters.Upsert {
			r.Next = r.At.Add(removeAgain)
		}
	case problem.Class == event.Throttled, problem.Class == event.Auth && !it.own: // no fault of this customer
		r.State, r.Next = event.Owed, r.At
		tell(r, &problem.Error)
		if problem.Class == event.Throttled {
			s.series.throttled.Inc()
		} else {
			r.Tries++ // who is refused alone, again and again, is told by it from a credential that does not work
		}
	default:
		r.State, r.Next = event.Owed, r.At.Add(s.delay(r.Tries))
		r.Tries++
		tell(r, &problem.Error)
		s.series.postponed.Inc()
	}
}

// untried puts a receipt back as it was before a delivery that was not even begun, and has it due.
func (s *Sync) untried(it *item, now time.Time) {
	r := event.Receipt{Target: s.c.Name, Customer: it.id.String(), RemoteID: it.receipt.RemoteID, RemoteVersion: it.receipt.RemoteVersion}
	if it.was != nil {
		remote, version := r.RemoteID, r.RemoteVersion
		r = *it.was
		r.RemoteID, r.RemoteVersion = remote, version // it may have been given an entry by a merge
	}
	r.Version, r.State, r.Next, r.At = it.customer.Version, event.Owed, now, it.receipt.At
	it.receipt = r
}

// arrived notes that a delivery was done.
func (s *Sync) arrived(it *item) {
	r := &it.receipt
	if it.delivery.Op != adapters.Upsert {
		s.removed(r, it)
		if it.delivery.Op == adapters.Merge {
			s.series.merged.Inc()
		} else {
			s.series.removed.Inc()
		}
		return
	}
	if id := it.done.RemoteID; id != "" && len(id) <= maxRemote {
		r.RemoteID = id
	}
	if r.RemoteVersion = it.done.RemoteVersion; len(r.RemoteVersion) > maxRemote {
		r.RemoteVersion = ""
	}
	r.State, r.Tries, r.Next = event.Held, 0, time.Time{}
	r.Class, r.Reason, r.Error = "", "", ""
	s.series.upserted.Inc()
}

// patience is what a target has asked for, or what it needs.
type patience struct {
	until    time.Time
	reason   string // throttled down auth; empty while all is well
	text     string // of the last error
	since    time.Time
	failures int // calls in a row that failed as a whole
}

// Reasons why a target is held.
const (
	heldThrottled = "throttled"
	heldDown      = "down"
	heldAuth      = "auth"
)

func reasons() []string { return []string{heldThrottled, heldDown, heldAuth} }

// learn lets the target's patience know how a call went.
func (s *Sync) learn(batch []*item) {
	now := s.c.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.patience
	passing := func(it *item) bool { return it.done.Problem != nil && !final(it.done.Problem.Class) } // else it has answered
	failed := 0
	for _, it := range batch {
		if passing(it) {
			failed++
		}
	}
	lone := len(batch) == 1 && batch[0].receipt.Tries > 0 && p.failures == 0 // its own trouble, as far as anybody can tell
	rank := map[event.Class]int{event.Auth: 3, event.Throttled: 2, event.Retryable: 1}
	if lone || failed < len(batch) {
		rank[event.Auth] = 1 // the credential works for others
	}
	var worst *adapters.Problem
	for _, it := range batch {
		it.own = rank[event.Auth] == 1
		if problem := it.done.Problem; passing(it) && (worst == nil || rank[problem.Class] > rank[worst.Class] ||
			rank[problem.Class] == rank[worst.Class] && problem.After > worst.After) {
			worst = problem
		}
	}
	switch {
	case worst == nil:
		s.well(now)
	case rank[worst.Class] == 3:
		p.failures++
		s.hold(heldAuth, now, s.spread(s.c.RetryMin, wrongLogin, p.failures-1), worst)
	case worst.Class == event.Throttled:
		wait := min(worst.After, longestPause)
		if wait <= 0 {
			wait = s.delay(p.failures)
		}
		p.failures++
		s.hold(heldThrottled, now, wait, worst)
	case failed == len(batch) && !lone:
		p.failures++
		s.hold(heldDown, now, s.delay(p.failures-1), worst)
	case failed < len(batch):
		s.well(now)
	}
}

// well ends what held the target.
func (s *Sync) well(now time.Time) {
	s.last = now
	if s.patience.reason == "" {
		return
	}
	if s.patience.told() {
		s.log.Info("the target takes customers again", slog.String("reason", s.patience.reason))
	}
	s.patience = patience{}
	s.series.hold("")
}

// told tells whether a hold was worth telling: a target that asks for a moment's patience, or does not answer once, is not.
func (p *patience) told() bool {
	return p.reason == heldAuth || p.reason == heldDown && p.failures >= downAfter
}

func (s *Sync) hold(reason string, now time.Time, wait time.Duration, why *adapters.Problem) {
	p := &s.patience
	told := p.told() && p.reason == reason
	if p.reason != reason {
		p.since = now
	}
	p.reason, p.text = reason, why.Error.Error()
	if until := now.Add(wait); until.After(p.until) {
		p.until = until
	}
	if p.told() && !told {
		s.log.Error("the target takes no customers, they wait", slog.String("reason", reason), slog.String("error", p.text))
	}
	if p.told() || reason == heldThrottled {
		s.series.hold(reason)
	}
}

// held tells whether the target is to be left alone now.
func (s *Sync) held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c.Now().UTC().Before(s.patience.until)
}

// trying tells whether the next round finds out if a target is well again: a few customers do for that.
func (s *Sync) trying() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.patience.reason == heldDown || s.patience.reason == heldAuth
}

// rest waits while the target is to be left alone. It answers false when ctx ends first.
func (s *Sync) rest(ctx context.Context) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		wait := s.patience.until.Sub(s.c.Now())
		s.mu.Unlock()
		if wait <= 0 {
			return true
		}
		s.sleep(ctx, wait, false)
	}
	return false
}
