package writeback

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// plan says for each customer of the round what is to be done about it, from what it is and from what is known of it at the target. Those
// that were merged come first: the entry of one may become its survivor's.
func (s *Sync) plan(ctx context.Context, r *round) error {
	for _, it := range r.items {
		if it.customer.Status == customer.Merged {
			s.planMerged(it, r.now)
		}
	}
	if err := s.adopt(ctx, r); err != nil {
		return err
	}
	for _, it := range r.items {
		switch it.customer.Status {
		case customer.Active:
			s.planActive(it, r.now)
		case customer.Gone, customer.Erased:
			s.planRemoval(it)
		case customer.Merged:
		}
	}
	return nil
}

// stands tells whether the target may hold something of a customer.
func (it *item) stands() bool { return it.was != nil && it.was.State != event.Removed }

// planMerged lets the survivor have the entry of a customer that was merged into it, if it belongs there and has none; else the two entries
// become one, if the target can, or the merged one's is removed, when the survivor's is there.
func (s *Sync) planMerged(it *item, now time.Time) {
	r := &it.receipt
	if !it.stands() {
		it.settle()
		return
	}
	if to := it.survivor; to != nil && !to.stands() && to.receipt.RemoteID == "" && r.RemoteID != "" && s.belongs(to.customer) {
		said, last := r.Said, r.Last
		to.receipt.RemoteID, to.receipt.RemoteVersion, to.receipt.Hash = r.RemoteID, r.RemoteVersion, ""
		to.receipt.Said, to.receipt.Last, to.receipt.State = append([]uint64{}, said...), last, event.Sending
		to.keep, it.keep = true, true
		s.removed(r, it)
		r.RemoteID, r.At = "", now
		return
	}
	it.deliver(adapters.Remove)
	if it.late = true; it.erased {
		it.delivery.ID += ".erased" // another request than the one that was to remove it
	}
}

// planActive has a customer written if the target does not hold what it shall.
func (s *Sync) planActive(it *item, now time.Time) {
	rendering, err := s.render(it.customer)
	r := &it.receipt
	switch {
	case err != nil:
		r.Version, r.Hash = it.customer.Version, ""
		s.refuse(it, err)
		it.keep = true
		return
	case rendering == nil:
		s.planRemoval(it)
		return
	}
	hash := s.print.body(rendering.Body)
	same := it.was != nil && it.was.Hash == hash && it.receipt.Hash == hash
	switch {
	case same && r.State == event.Held, same && r.State == event.Refused:
		it.settle()
		s.series.unchanged.Inc()
		return
	case same && r.State == event.Owed && r.Next.After(now):
		return
	}
	if r.State == event.Removed { // the entry is no more; this one is a new one
		*r = event.Receipt{Target: r.Target, Customer: r.Customer, RemoteID: ""}
	}
	if it.was == nil || it.was.Hash != "" && it.was.Hash != hash {
		r.Contests, r.Heard = 0, nil
	}
	r.Hash, r.Version = hash, it.customer.Version
	remember(r, s.print.say(it.customer, rendering.Said))
	it.deliver(adapters.Upsert)
	it.delivery.Body = rendering.Body
}

// planRemoval has the entry of a customer removed that the target shall not hold any more.
func (s *Sync) planRemoval(it *item) {
	if !it.stands() {
		if r := &it.receipt; it.was != nil && it.customer.Status == customer.Erased && (r.RemoteID != "" || len(r.Said) > 0) {
			s.removed(r, it) // it was removed before, and is erased now
			it.keep = true
		}
		it.settle()
		return
	}
	it.receipt.Version = it.customer.Version
	it.deliver(adapters.Remove)
}

// settle takes a date off a receipt on which nothing is to be done.
func (it *item) settle() {
	if !it.receipt.Next.IsZero() {
		it.receipt.Next = time.Time{}
		it.keep = true
	}
}

func (it *item) deliver(op adapters.Op) {
	it.delivery = &adapters.Delivery{
		ID: it.id.String() + "." + strconv.FormatInt(it.customer.Version, 10) + "." + string(op),
		Op: op, Customer: it.id, Version: it.customer.Version, RemoteID: it.receipt.RemoteID,
		Erased: op == adapters.Remove && (it.erased || it.customer.Status == customer.Erased),
	}
}

// belongs tells whether the target shall hold something of a customer. One that cannot be rendered does: what is there of it stays.
func (s *Sync) belongs(c *customer.Customer) bool {
	rendering, err := s.render(c)
	return err != nil || rendering != nil
}

// render asks the target what it shall hold. A panic is a mistake in the adapter; what it panicked with may quote a value and is left out
// (invariant 9).
func (s *Sync) render(c *customer.Customer) (r *adapters.Rendering, err error) {
	defer func() {
		if recover() != nil {
			r, err = nil, event.Errorf(event.Permanent, "internal", "", "the adapter panicked: this is a mistake in the adapter")
		}
	}()
	return s.target.Render(c)
}

// adopt gives customers that the target was never given the entry that it already has of them: one of its own records is a part of them,
// and nobody else's.
func (s *Sync) adopt(ctx context.Context, r *round) error {
	if s.c.Source == "" {
		return nil
	}
	wanted := map[string]*item{}
	var keys []string
	for _, it := range r.items {
		if it.customer.Status != customer.Active || it.stands() || it.receipt.RemoteID != "" {
			continue
		}
		for _, m := range it.customer.Members {
			if m.Source == s.c.Source && m.Key != "" {
				wanted[m.Key] = it
				keys = append(keys, m.Key)
				break
			}
		}
	}
	taken, err := s.store.ReceiptsOf(ctx, s.c.Name, keys)
	if err != nil {
		return err
	}
	for i := range taken {
		delete(wanted, taken[i].RemoteID)
	}
	for _, it := range r.items {
		delete(wanted, it.receipt.RemoteID)
	}
	for key, it := range wanted {
		it.receipt = event.Receipt{Target: s.c.Name, Customer: it.receipt.Customer, State: event.Sending, RemoteID: key}
	}
	return nil
}

// refuse notes that the target does not take a version.
func (s *Sync) refuse(it *item, err error) {
	r := &it.receipt
	r.State, r.Tries, r.Next = event.Refused, 0, time.Time{}
	tell(r, err)
	s.series.refused.Inc()
}

// removed notes that the target holds nothing of a customer any more. Of one that is erased or gone, or was merged into such a one, nothing
// is kept but that; of others what is needed to know a late echo.
func (s *Sync) removed(r *event.Receipt, it *item) {
	left := event.Receipt{Target: r.Target, Customer: r.Customer, Version: it.customer.Version, State: event.Removed, At: r.At}
	if it.customer.Status == customer.Active || it.survivor != nil {
		left.RemoteID, left.Said, left.Last = r.RemoteID, r.Said, r.Last
	}
	*r = left
}

// tell puts an error into a receipt.
func tell(r *event.Receipt, err error) {
	r.Class, r.Reason, r.Error = event.ClassOf(err), "", err.Error()
	var e *event.Error
	if errors.As(err, &e) {
		r.Reason = e.Reason
	} else {
		r.Error = fmt.Sprintf("an error that has no class (%T): give it one", err) // it may quote anything (invariant 9)
	}
	r.Error = r.Error[:min(len(r.Error), maxTold)]
}
