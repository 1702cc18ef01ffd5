package review

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
	// Apply is the seal of the preview. Without it nothing is decided; if by now the verdict would fall on others, neither.
	Apply string `json:"apply,omitempty"`
}

// Decided is what a bulk verdict comes to.
type Decided struct {
	Matched []customer.Possible `json:"matched"` // that the verdict is on
	Seal    string              `json:"seal"`    // of these pairs: their number, and a print of which they are
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

// DecideAll shows which pairs a verdict would fall on, or, told their seal, lets it fall on them: nobody decides about a pair unseen. Each
// is a decision of its own.
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
	if err != nil {
		return nil, err
	}
	if out.Seal = seal(b.Verdict, out.Matched); b.Apply == "" {
		return out, nil
	}
	if b.Apply != out.Seal {
		return nil, event.Errorf(event.Permanent, "changed", "apply",
			"the verdict would not fall on the pairs that were shown any more, but on %d of which some are others: look at them again",
			len(out.Matched))
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

// seal tells pairs from others by which they are, and by the records that stand for them.
func seal(verdict string, pairs []customer.Possible) string {
	sum := sha256.New()
	sum.Write([]byte(verdict))
	for i := range pairs {
		p := &pairs[i]
		for _, id := range [][]byte{p.ID.A[:], p.ID.B[:], p.A.Record[:], p.B.Record[:]} {
			sum.Write(id)
		}
	}
	return fmt.Sprintf("%d-%x", len(pairs), sum.Sum(nil)[:6])
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
