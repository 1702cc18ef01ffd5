package writeback

import (
	"context"
	"fmt"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Status is how one target is doing.
type Status struct {
	Target   string                       `json:"target"`
	Source   string                       `json:"source,omitempty"` // on which its own changes come back
	State    string                       `json:"state"`            // ok, throttled, down or auth
	Reason   string                       `json:"reason,omitempty"` // why it is held, for a person
	Since    time.Time                    `json:"since,omitzero"`
	Until    time.Time                    `json:"until,omitzero"`  // it is left alone
	Waiting  int64                        `json:"waiting"`         // customers that have changed since they were looked at for it
	Oldest   time.Time                    `json:"oldest,omitzero"` // when the first of them changed
	Last     time.Time                    `json:"last,omitzero"`   // it last took a customer since the start
	Receipts map[event.ReceiptState]int64 `json:"receipts"`        // customers by what is known of them there
}

// Name answers the target's name.
func (s *Sync) Name() string { return s.c.Name }

// Source answers the source on which the target tells of changes; empty where it tells of none.
func (s *Sync) Source() string { return s.c.Source }

// Ready answers nil while customers reach the target, else why they do not. Patience that a target asks for is no trouble.
func (s *Sync) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.patience
	switch {
	case s.storing != nil:
		return fmt.Errorf("%s: the store does not do its part and is tried again: %w", s.c.Name, s.storing)
	case !p.told():
		return nil
	case p.reason == heldAuth:
		return fmt.Errorf("%s: the target does not accept our credential since %s: %s; renew it in the configuration, the customers wait",
			s.c.Name, p.since.Format(time.RFC3339), p.text)
	}
	return fmt.Errorf("%s: the target is down since %s and tried again: %s", s.c.Name, p.since.Format(time.RFC3339), p.text)
}

// counter is a store that knows how many receipts there are.
type counter interface {
	CountReceipts(ctx context.Context, target string) (map[event.ReceiptState]int64, error)
}

// Status answers how the target is doing.
func (s *Sync) Status(ctx context.Context, counts counter) (*Status, error) {
	position, _, err := s.stand(ctx)
	if err != nil {
		return nil, err
	}
	out := &Status{Target: s.c.Name, Source: s.c.Source, State: "ok"}
	if out.Receipts, err = counts.CountReceipts(ctx, s.c.Name); err != nil {
		return nil, err
	}
	if out.Waiting, out.Oldest, err = s.store.Behind(ctx, position); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Last = s.last
	if p := &s.patience; p.reason != "" {
		out.State, out.Reason, out.Since, out.Until = p.reason, p.text, p.since, p.until
	}
	return out, nil
}

// Preview is what would be done about one customer now.
type Preview struct {
	Target   string         `json:"target"`
	Customer string         `json:"customer"`
	Op       string         `json:"op"`             // upsert, remove, merge; none where the target holds what it shall
	Body     string         `json:"body,omitempty"` // what the target would be given
	Receipt  *event.Receipt `json:"receipt,omitempty"`
}

// Preview answers what would be done about a customer now. Nothing is.
func (s *Sync) Preview(ctx context.Context, id customer.CustomerID) (*Preview, error) {
	found, err := s.customers(ctx, []customer.CustomerID{id})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w", id, customer.ErrNotFound)
	}
	r := &round{now: s.c.Now().UTC(), by: map[customer.CustomerID]*item{}}
	it := r.add(found[0])
	known, err := s.store.Receipts(ctx, s.c.Name, []customer.CustomerID{id})
	if err != nil {
		return nil, err
	}
	it.receipt = event.Receipt{Target: s.c.Name, Customer: id.String()}
	if it.was = known[0]; it.was != nil {
		it.receipt = *it.was
	}
	out := &Preview{Target: s.c.Name, Customer: id.String(), Op: "none", Receipt: it.was}
	asking := New(s.c, s.target, s.store, nil, nil) // what it counts nobody reads
	if err := asking.plan(ctx, r); err != nil {
		return nil, err
	}
	if it.delivery != nil {
		out.Op, out.Body = string(it.delivery.Op), string(it.delivery.Body)
	}
	return out, nil
}
