package review

import (
	"context"
	"errors"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Bulk is one verdict on many pairs.
type Bulk struct {
	Verdict string `json:"verdict"`
	Author  string `json:"author"`
	Reason  string `json:"reason,omitempty"`
	// Of pairs whose weight is so many bits over what they need, at least and at most; negative is under it. None: any.
	From *customer.Weight `json:"from,omitempty"`
	To   *customer.Weight `json:"to,omitempty"`
	// Source of one of the two records; empty: any.
	Source string `json:"source,omitempty"`
	Limit  int    `json:"limit"` // at most so many pairs, the most urgent ones
	// Apply is how many pairs the preview showed. Without it nothing is decided; if by now there are more or fewer, neither.
	Apply *int `json:"apply,omitempty"`
}

// Decided is what a bulk verdict comes to.
type Decided struct {
	Matched []customer.Possible `json:"matched"` // that the verdict is on
	More    bool                `json:"more"`    // there are, or may be, others that it would fit
	Applied bool                `json:"applied"`
	Settled int                 `json:"settled"` // of those matched, that another of these verdicts settled first
	// Reviewed are the verdicts taken; each decision can be undone.
	Reviewed []customer.Reviewed `json:"reviewed"`
}

// Limits of a bulk verdict (invariant 10).
const (
	MaxBulk  = 500   // pairs
	MaxSeen  = 5_000 // pairs that are looked at to find them
	seenOnce = 200
)

// DecideAll shows which pairs a verdict would fall on, or, told their number, lets it fall on them. Each is a decision of its own.
func (q *Queue) DecideAll(ctx context.Context, b Bulk, now time.Time) (*Decided, error) {
	if b.Limit < 1 || b.Limit > MaxBulk {
		return nil, event.Errorf(event.Permanent, "validation", "limit", "a limit is 1 to %d", MaxBulk)
	}
	if b.Verdict != Same && b.Verdict != NotSame && b.Verdict != Later {
		return nil, event.Errorf(event.Permanent, "validation", "verdict", "there is no such verdict: one of same, not-same, later")
	}
	if b.Author == "" {
		return nil, event.Errorf(event.Permanent, "validation", "author", "a verdict names its author: say who decides")
	}
	if err := q.store.Release(ctx, now); err != nil {
		return nil, err
	}
	out, err := q.matching(ctx, &b)
	if err != nil || b.Apply == nil {
		return out, err
	}
	if *b.Apply != len(out.Matched) {
		return nil, event.Errorf(event.Permanent, "changed", "apply",
			"%d pairs were shown, and now there are %d: look at them again", *b.Apply, len(out.Matched))
	}
	out.Applied = true
	for i := range out.Matched {
		done, err := q.Decide(ctx, out.Matched[i].ID, b.Verdict, b.Author, b.Reason, now)
		switch {
		case errors.Is(err, customer.ErrNotFound), errors.Is(err, customer.ErrHeld):
			out.Settled++
		case err != nil:
			return out, err
		default:
			out.Reviewed = append(out.Reviewed, *done)
		}
	}
	return out, nil
}

// matching answers the pairs that a bulk verdict is on: none that somebody looks at, or has put off.
func (q *Queue) matching(ctx context.Context, b *Bulk) (*Decided, error) {
	out := &Decided{Matched: []customer.Possible{}, Reviewed: []customer.Reviewed{}}
	ask := customer.ReviewQuery{State: customer.Waiting, Limit: seenOnce}
	for seen := 0; ; {
		page, err := q.store.Reviews(ctx, ask)
		if err != nil {
			return nil, err
		}
		if err := q.name(ctx, page); err != nil {
			return nil, err
		}
		for _, p := range page {
			over := p.Weight - p.Threshold
			if b.From != nil && over < *b.From || b.To != nil && over > *b.To || b.Source != "" && p.A.Source != b.Source && p.B.Source != b.Source {
				continue
			}
			if len(out.Matched) == b.Limit {
				out.More = true
				return out, nil
			}
			out.Matched = append(out.Matched, p)
		}
		if seen += len(page); len(page) < seenOnce || seen >= MaxSeen {
			out.More = len(page) == seenOnce
			return out, nil
		}
		ask.After = page[len(page)-1].ID
	}
}
