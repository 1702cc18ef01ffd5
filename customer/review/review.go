// Package review is the queue of possible matches: pairs of customers that may be one, for people to decide. What waits is kept by the
// registry with everything else; here it is shown, claimed, decided and put off.
package review

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Queue is the door of the stewards. It reads no clock, and is safe for concurrent use as far as its store is.
type Queue struct {
	store    Store
	registry Registry
	ids      customer.IDs
	told     func(verdict string)
}

// New returns the queue over a registry's store. told hears of each verdict that was taken; nil: nobody does.
func New(store Store, registry Registry, ids customer.IDs, told func(verdict string)) *Queue {
	if told == nil {
		told = func(string) {}
	}
	return &Queue{store: store, registry: registry, ids: ids, told: told}
}

// Store is where pairs wait, and where decisions rest.
type Store interface {
	Pairs
	View(ctx context.Context, fn func(customer.View) error) error
	// DecisionLog answers the decisions behind an id, undone ones too, in the order of their ids.
	DecisionLog(ctx context.Context, after string, limit int) ([]customer.Decision, error)
}

// Pairs are those that wait.
type Pairs interface {
	// Reviews answers pairs, the most urgent first; customer.ErrNotFound if the one to begin behind is not there.
	Reviews(ctx context.Context, q customer.ReviewQuery) ([]customer.Possible, error)
	// Review answers one pair; customer.ErrNotFound if it does not wait.
	Review(ctx context.Context, id customer.ReviewID) (*customer.Possible, error)
	// Hold notes who looks at a pair, or puts it off; customer.ErrHeld if somebody else does.
	Hold(ctx context.Context, id customer.ReviewID, h customer.Hold) error
	// Release lets the pairs wait again that were held until a time, or before.
	Release(ctx context.Context, now time.Time) error
	ReviewCounts(ctx context.Context) (customer.ReviewCounts, error)
}

// Registry takes decisions.
type Registry interface {
	Join(ctx context.Context, d customer.Decision) error
	Split(ctx context.Context, d customer.Decision) error
	Undo(ctx context.Context, id, author string, at time.Time) (*customer.Decision, error)
}

// The verdicts on a pair.
const (
	Same    = string(customer.Same)
	NotSame = string(customer.NotSame)
	Later   = string(customer.Later)
)

// Limits of the queue (invariant 10).
const (
	MaxListed = 200                // pairs in one answer
	Window    = 20                 // of the most urgent pairs, weighed anew for who asks for the next one
	Claim     = 15 * time.Minute   // how long a pair is held for who asked for it
	PutOff    = 7 * 24 * time.Hour // how long a pair is put off by later
)

// List answers a page of pairs, the most urgent first.
func (q *Queue) List(ctx context.Context, ask customer.ReviewQuery, now time.Time) (*customer.ReviewPage, error) {
	switch {
	case ask.Limit == 0:
		ask.Limit = 20
	case ask.Limit < 0 || ask.Limit > MaxListed:
		return nil, event.Errorf(event.Permanent, "validation", "limit", "a limit is 1 to %d", MaxListed)
	}
	if !slices.Contains([]customer.ReviewState{"", customer.Waiting, customer.Claimed, customer.Later}, ask.State) {
		return nil, event.Errorf(event.Permanent, "validation", "state", "there is no such state: one of waiting, claimed, later")
	}
	if err := q.store.Release(ctx, now); err != nil {
		return nil, err
	}
	found, err := q.store.Reviews(ctx, ask)
	if err != nil {
		return nil, err
	}
	out := &customer.ReviewPage{Reviews: append([]customer.Possible{}, found...)}
	if len(found) == ask.Limit {
		out.Next = found[len(found)-1].ID.String()
	}
	if out.ReviewCounts, err = q.store.ReviewCounts(ctx); err != nil {
		return nil, err
	}
	return out, q.name(ctx, out.Reviews)
}

// Get answers one pair; customer.ErrNotFound if it does not wait, or waits no more.
func (q *Queue) Get(ctx context.Context, id customer.ReviewID, now time.Time) (*customer.Possible, error) {
	if err := q.store.Release(ctx, now); err != nil {
		return nil, err
	}
	p, err := q.store.Review(ctx, id)
	if err != nil {
		return nil, err
	}
	one := []customer.Possible{*p}
	return &one[0], q.name(ctx, one)
}

// Next claims the most urgent pair that nobody looks at, for a while: who asks again has it still. It answers nil if there is none. Of the
// most urgent ones it is counted anew what hangs on them.
func (q *Queue) Next(ctx context.Context, author string, now time.Time) (*customer.Possible, error) {
	if author == "" || len(author) > customer.MaxKey {
		return nil, event.Errorf(event.Permanent, "validation", "author", "a pair is claimed by somebody: say who asks")
	}
	if err := q.store.Release(ctx, now); err != nil {
		return nil, err
	}
	mine, err := q.claimed(ctx, author)
	if err != nil {
		return nil, err
	}
	found := mine
	if len(found) == 0 {
		if found, err = q.store.Reviews(ctx, customer.ReviewQuery{State: customer.Waiting, Limit: Window}); err != nil {
			return nil, err
		}
		if err := q.weigh(ctx, found); err != nil {
			return nil, err
		}
	}
	for i := range found {
		p := &found[i]
		h := customer.Hold{State: customer.Claimed, By: author, Until: now.Add(Claim), Now: now}
		switch err := q.store.Hold(ctx, p.ID, h); {
		case errors.Is(err, customer.ErrHeld), errors.Is(err, customer.ErrNotFound):
			continue // another was faster
		case err != nil:
			return nil, err
		}
		p.State, p.By, p.Until = h.State, h.By, h.Until
		return p, q.name(ctx, found[i:i+1])
	}
	return nil, nil
}

// claimed answers what somebody looks at already.
func (q *Queue) claimed(ctx context.Context, author string) ([]customer.Possible, error) {
	for after := (customer.ReviewID{}); ; {
		found, err := q.store.Reviews(ctx, customer.ReviewQuery{State: customer.Claimed, After: after, Limit: MaxListed})
		if err != nil {
			return nil, err
		}
		for i := range found {
			if found[i].By == author {
				return found[i : i+1], nil
			}
		}
		if len(found) < MaxListed {
			return nil, nil
		}
		after = found[len(found)-1].ID
	}
}

// Decide takes a person's verdict on a pair: same and not-same are decisions like any other, later puts it off.
func (q *Queue) Decide(
	ctx context.Context, id customer.ReviewID, verdict, author, reason string, now time.Time,
) (*customer.Reviewed, error) {
	say := map[string]func(context.Context, customer.Decision) error{Same: q.registry.Join, NotSame: q.registry.Split, Later: nil}
	decide, known := say[verdict]
	switch {
	case !known:
		return nil, event.Errorf(event.Permanent, "validation", "verdict", "there is no such verdict: one of same, not-same, later")
	case author == "" || len(author) > customer.MaxKey:
		return nil, event.Errorf(event.Permanent, "validation", "author", "a verdict names its author: say who decides")
	}
	p, err := q.store.Review(ctx, id)
	if err != nil {
		return nil, err
	}
	if p.State == customer.Claimed && p.By != author && p.Until.After(now) {
		return nil, event.Errorf(event.Permanent, "held", "id", "%s looks at this pair until %s: %w",
			p.By, p.Until.UTC().Format("15:04 UTC"), customer.ErrHeld)
	}
	out := &customer.Reviewed{Review: id, Verdict: verdict}
	if decide == nil {
		h := customer.Hold{State: customer.Later, By: author, Until: now.Add(PutOff), Now: now}
		if err := q.store.Hold(ctx, id, h); err != nil {
			return nil, err
		}
		out.Until = h.Until
		q.told(verdict)
		return out, nil
	}
	d := customer.Decision{Pair: customer.NewPair(p.A.Record, p.B.Record), Author: author, Reason: reason, At: now}
	if err := decide(ctx, d); err != nil {
		return nil, err
	}
	q.told(verdict)
	out.Decision, err = q.stands(ctx, d.Pair, customer.DecisionKind(verdict))
	return out, err
}

// stands answers the decision that stands between two records.
func (q *Queue) stands(ctx context.Context, of customer.Pair, kind customer.DecisionKind) (out *customer.Decision, err error) {
	err = q.store.View(ctx, func(v customer.View) error {
		comps, err := v.Components(ctx, []customer.RecordID{of.A, of.B})
		for _, c := range comps {
			for _, d := range c.Decisions {
				if d.Pair == of && d.Kind == kind && !d.Undone {
					out = &d
				}
			}
		}
		return err
	})
	return out, err
}

// name says whose the records of pairs are.
func (q *Queue) name(ctx context.Context, pairs []customer.Possible) error {
	ids := make([]customer.RecordID, 0, 2*len(pairs))
	for i := range pairs {
		ids = append(ids, pairs[i].A.Record, pairs[i].B.Record)
	}
	return q.store.View(ctx, func(v customer.View) error {
		records, err := v.Records(ctx, ids)
		if err != nil {
			return err
		}
		for i := range pairs {
			for j, side := range []*customer.Side{&pairs[i].A, &pairs[i].B} {
				if rec := records[2*i+j]; rec != nil {
					side.Source, side.Key = rec.Source, rec.Key
				}
			}
		}
		return nil
	})
}

// weigh counts anew what hangs on pairs, and puts them in the order that comes of it.
func (q *Queue) weigh(ctx context.Context, pairs []customer.Possible) error {
	err := q.store.View(ctx, func(v customer.View) error {
		for i := range pairs {
			p := &pairs[i]
			found, err := v.Customers(ctx, []customer.CustomerID{p.ID.A, p.ID.B})
			if err != nil {
				return err
			}
			p.Records, p.Interactions = 0, 0
			for _, c := range found {
				if c == nil {
					continue
				}
				of := make([]customer.RecordID, len(c.Members))
				for j, m := range c.Members {
					of[j] = m.Record
				}
				line, err := v.Timeline(ctx, of, customer.MaxHanging)
				if err != nil {
					return err
				}
				p.Records, p.Interactions = p.Records+len(of), p.Interactions+len(line)
			}
			p.Weigh()
		}
		return nil
	})
	slices.SortStableFunc(pairs, func(a, b customer.Possible) int { return cmp.Compare(b.Priority, a.Priority) })
	return err
}
