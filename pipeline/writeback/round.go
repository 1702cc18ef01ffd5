package writeback

import (
	"context"
	"slices"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// round is some customers on their way through the stages.
type round struct {
	now      time.Time
	position int64 // in the feed, behind the last of them
	renewals int   // of the target, when the round began
	items    []*item
	by       map[customer.CustomerID]*item
}

// item is one customer in a round.
type item struct {
	id       customer.CustomerID
	customer *customer.Customer
	was      *event.Receipt // as it was kept; nil where there is none
	receipt  event.Receipt  // as it is to be kept
	survivor *item          // of a customer that was merged: what it leads to, if that is active
	erased   bool           // it is, or leads to who is: what the target holds of it goes for good
	delivery *adapters.Delivery
	late     bool // the delivery waits until all others of the round are done
	keep     bool // the receipt differs from what was kept, before anything is pushed
	again    bool // and once more afterwards, though nothing was pushed
	done     *adapters.Receipt
	own      bool // that it failed says nothing of the target: others are taken
}

// touch is what was noticed of a customer at the target while the customer was in a round.
type touch struct {
	heard  []uint64
	edited bool // the target holds something else now
	gone   bool // or nothing
}

func (r *round) add(c *customer.Customer) *item {
	if it := r.by[c.ID]; it != nil {
		return it
	}
	it := &item{id: c.ID, customer: c}
	r.items, r.by[c.ID] = append(r.items, it), it
	return it
}

// gather takes customers that are owed and, behind them, the next of the feed. Of a target that was down or locked it takes a few.
func (s *Sync) gather(ctx context.Context, r *round) error {
	size, trying := s.c.Round, s.trying()
	if trying {
		size = min(size, probe)
	}
	owed, err := s.store.OwedReceipts(ctx, s.c.Name, r.now, (size+1)/2)
	if err != nil {
		return err
	}
	if trying && len(owed) > 0 {
		size = len(owed) + 1 // the others stay in the feed until it is known that there is a use; one shows it if it is the owed that always fail
	}
	if r.position, r.renewals, err = s.stand(ctx); err != nil {
		return err
	}
	changed, position, err := s.store.Changed(ctx, r.position, size-len(owed))
	if err != nil {
		return err
	}
	for _, c := range changed { // they are newer than what is read of the owed
		r.add(c)
	}
	r.position = position
	ids := make([]customer.CustomerID, 0, len(owed))
	for i := range owed {
		var id customer.CustomerID
		if id.UnmarshalText([]byte(owed[i].Customer)) == nil && r.by[id] == nil {
			ids = append(ids, id)
		}
	}
	found, err := s.customers(ctx, ids)
	for _, c := range found {
		r.add(c)
	}
	return err
}

// stand answers how far the target has been given the feed.
func (s *Sync) stand(ctx context.Context) (position int64, renewals int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.position < 0 {
		if s.position, err = s.store.TargetPosition(ctx, s.c.Name); err != nil {
			s.position = -1
		}
	}
	return s.position, s.renewals, err
}

// customers reads customers; one that is not known is left out.
func (s *Sync) customers(ctx context.Context, ids []customer.CustomerID) (out []*customer.Customer, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.store.View(ctx, func(v customer.View) error {
		out, err = v.Customers(ctx, ids)
		return err
	})
	return slices.DeleteFunc(slices.Clone(out), func(c *customer.Customer) bool { return c == nil }), err
}

// follow takes into the round what merged customers lead to, and what is known of everybody at the target. From here on until the round
// lands, an edit at the target is left to the round.
func (s *Sync) follow(ctx context.Context, r *round) error {
	for hops := 0; hops < maxAliases; hops++ {
		var next []customer.CustomerID
		for _, it := range r.items {
			if c := it.customer; c.Status == customer.Merged && r.by[c.AliasOf] == nil {
				next = append(next, c.AliasOf)
			}
		}
		if len(next) == 0 {
			break
		}
		found, err := s.customers(ctx, next)
		if err != nil {
			return err
		}
		for _, c := range found {
			r.add(c)
		}
	}
	ids := make([]customer.CustomerID, len(r.items))
	for i, it := range r.items {
		ids[i] = it.id
		end := r.end(it)
		it.erased = end != nil && end.customer.Status == customer.Erased
		if end != nil && end.customer.Status == customer.Active {
			it.survivor = end
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, err := s.store.Receipts(ctx, s.c.Name, ids)
	if err != nil {
		return err
	}
	for i, it := range r.items {
		s.flight[it.id] = &touch{}
		it.receipt = event.Receipt{Target: s.c.Name, Customer: it.id.String()}
		if it.was = known[i]; it.was != nil {
			it.receipt = *it.was
		}
	}
	return nil
}

// end answers the customer that a merged one leads to, nil where that is not known.
func (r *round) end(it *item) *item {
	for hops := 0; it != nil && it.customer.Status == customer.Merged && hops < maxAliases; hops++ {
		it = r.by[it.customer.AliasOf]
	}
	return it
}

// note keeps, before anything is pushed, what is about to be: an echo may be here before the answer, and whoever starts after a crash
// finds what may have arrived. What needs no push is kept with it.
func (s *Sync) note(ctx context.Context, r *round) error {
	var receipts []event.Receipt
	for _, it := range r.items {
		if it.delivery != nil {
			it.receipt.State, it.receipt.Next = event.Sending, r.now
		}
		if it.delivery != nil || it.keep {
			it.receipt.At = r.now
			receipts = append(receipts, it.receipt)
		}
	}
	if len(receipts) == 0 {
		return nil
	}
	return s.store.KeepReceipts(ctx, s.c.Name, receipts, -1)
}

// keep writes what became of the round, and the position in the feed with it. It insists until the store has taken it or ctx has ended
// for a while: what was pushed is known only here.
func (s *Sync) keep(ctx context.Context, r *round) error {
	ctx, cancel := s.graced(ctx)
	defer cancel()
	for tries := 0; ; tries++ {
		err := s.write(ctx, r)
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.trouble(ctx, err)
		s.sleep(ctx, s.delay(tries), false)
	}
}

func (s *Sync) write(ctx context.Context, r *round) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var receipts []event.Receipt
	renewed, position := r.renewals != s.renewals, r.position
	if renewed {
		position = -1 // it was set back meanwhile
	}
	for _, it := range r.items {
		receipt := it.receipt
		touched := s.touched(&receipt, s.flight[it.id])
		if renewed {
			receipt.Hash = "" // nobody knows whether it was written before or after that
		}
		if it.delivery != nil || it.again || touched {
			receipts = append(receipts, receipt)
		}
	}
	if len(receipts) == 0 && position == s.position {
		return nil
	}
	if err := s.store.KeepReceipts(ctx, s.c.Name, receipts, position); err != nil {
		return err
	}
	if position >= 0 {
		s.position = position
	}
	return nil
}

// land ends a round: what is noticed of its customers from now on is written at once.
func (s *Sync) land() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.flight)
}

// graced answers a context that lives a while longer than ctx.
func (s *Sync) graced(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(s.c.Drain)
		defer t.Stop()
		select {
		case <-t.C:
		case <-longer.Done():
		}
		cancel()
	})
	return longer, func() { stop(); cancel() }
}

// touched lets a receipt know what was noticed at the target: it does not hold any more what was written, so the master's word is written
// again after a while, each time after a longer one, so that two who write against each other do not do so for ever. It answers whether
// anything has changed.
func (s *Sync) touched(r *event.Receipt, t *touch) bool {
	if t == nil || !t.edited && !t.gone && len(t.heard) == 0 {
		return false
	}
	hear(r, t.heard)
	if t.gone {
		r.RemoteID, r.RemoteVersion = "", ""
	}
	if t.edited || t.gone {
		r.State = event.Owed
		r.Next = s.c.Now().UTC().Add(s.spread(2*s.c.Settle, s.c.Contest, r.Contests))
		r.Contests++
		r.Class, r.Reason, r.Error = event.Retryable, reasonEdited, "somebody has changed it at the target since it was written"
	}
	return true
}

// reasonEdited is why a customer is owed that was edited at the target.
const reasonEdited = "edited"

// touch notes what was noticed of a customer at the target.
func (s *Sync) touch(ctx context.Context, id customer.CustomerID, t *touch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if flying := s.flight[id]; flying != nil {
		flying.heard = append(flying.heard, t.heard...)
		flying.edited, flying.gone = flying.edited || t.edited, flying.gone || t.gone
		return nil
	}
	known, err := s.store.Receipts(ctx, s.c.Name, []customer.CustomerID{id})
	if err != nil || known[0] == nil || known[0].State == event.Removed {
		return err
	}
	if !s.touched(known[0], t) {
		return nil
	}
	return s.store.KeepReceipts(ctx, s.c.Name, []event.Receipt{*known[0]}, -1)
}
