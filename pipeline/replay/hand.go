package replay

import (
	"context"
	"errors"
	"log/slog"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Limits of what people do to letters (invariant 10).
const (
	MaxEdit    = 1 << 20 // bytes of an edit's value and headers
	MaxDiscard = 10_000  // letters in one call of Discard
)

// Edit puts other bytes in the place of a letter's, for its next replays; what came stays beside them. A nil edit takes back the one that
// stands; one without headers keeps those that came. It is no way around a check: the edit is read by the source's adapter like the
// message, and whom it names is noted, so that an erasure finds it; where one of those was erased before, the letter is blanked. It answers
// what a replay would come to.
func (d *Desk) Edit(ctx context.Context, id string, e *event.Edit) (event.Result, error) {
	l, err := d.letter(ctx, id)
	switch {
	case err != nil:
		return event.Result{}, err
	case l.Erased:
		return event.Result{}, event.Errorf(event.Permanent, "validation", "id",
			"the letter's message named a party that was erased, so its bytes are gone: there is nothing to edit")
	case e != nil && size(e) > MaxEdit:
		return event.Result{}, event.Errorf(event.Permanent, "validation", "value", "an edit has at most 1 MiB: let the source send it again")
	}
	if l.Edit = e; e != nil {
		whole := *e
		whole.At = d.c.Now()
		if whole.Headers == nil {
			whole.Headers = l.Headers
		}
		l.Edit = &whole
	}
	mapped, err := d.c.Flow.Map(ctx, l.Again())
	if err != nil {
		return event.Result{}, err
	}
	// It is laid down once more as it was, with the names of all that the edit reads.
	again := customer.Mapped{Message: mapped.Message, Adapter: l.Mapping, Attempts: l.Attempts, Letter: l, Refusals: []event.Refusal{{
		Part: l.Part, Outcome: event.Dead, Keys: mapped.Keys(),
		Err: &event.Error{Class: l.Class, Reason: l.Reason, Path: l.Path, Text: l.Message},
	}}}
	if _, err := d.c.Flow.Replay(ctx, customer.Batch{Now: d.c.Now(), Messages: []customer.Mapped{again}}); err != nil {
		return event.Result{}, err
	}
	d.c.Handled(l.Source, "edited")
	d.c.Log.InfoContext(ctx, "a dead letter is edited",
		slog.String("letter", l.ID), slog.String("source", l.Source), slog.Bool("back", e == nil))
	if l, err = d.letter(ctx, id); err != nil {
		return event.Result{}, err
	}
	if l.Erased {
		return event.Result{}, event.Errorf(event.Permanent, "validation", "value",
			"the edit names a party that was erased: nothing of it is kept, and the letter is blanked")
	}
	out, err := d.c.Flow.Replay(ctx, customer.Batch{Now: d.c.Now(), Messages: []customer.Mapped{part(mapped, l)}, Dry: true})
	if err != nil {
		return event.Result{}, err
	}
	return out.Results[0], nil
}

func size(e *event.Edit) int {
	n := len(e.Value)
	for _, h := range e.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// letter reads one letter, customer.ErrNotFound if there is none of that id.
func (d *Desk) letter(ctx context.Context, id string) (*event.DeadLetter, error) {
	found, err := d.c.Letters.DeadLetters(ctx, event.LetterQuery{IDs: []string{id}, Limit: 1})
	if err == nil && len(found) == 0 {
		err = customer.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// Discard lets go of letters without a replay, the oldest first; who did so and why is written down of each, in the transaction in which
// it goes. It answers how many went, and whether more are chosen than go in one call.
func (d *Desk) Discard(ctx context.Context, w event.ReplayWish, why string) (gone int64, more bool, err error) {
	w.Rate = 0
	if err := check(&w); err != nil {
		return 0, false, err
	}
	if why == "" {
		return 0, false, event.Errorf(event.Permanent, "validation", "reason", "what is discarded is lost: say why")
	}
	q := w.Query()
	if now := d.c.Now(); q.Until.IsZero() || q.Until.After(now) {
		q.Until = now.Add(1) // what is laid down meanwhile is not meant
	}
	q.Oldest, q.Bare, q.Limit = true, true, together
	for gone < MaxDiscard {
		found, err := d.c.Letters.DeadLetters(ctx, q)
		if err != nil {
			return gone, false, err
		}
		if len(found) == 0 {
			return gone, false, nil
		}
		last := &found[len(found)-1]
		q.After, q.AfterAt = last.ID, last.At
		n, err := d.discard(ctx, found, w.Author, why)
		gone += n
		if err != nil {
			return gone, false, err
		}
	}
	left, err := d.c.Letters.CountDeadLetters(ctx, q)
	return gone, left > 0, err
}

// discard lets go of letters in one transaction; where one was changed meanwhile, one by one, and that one stays.
func (d *Desk) discard(ctx context.Context, letters []event.DeadLetter, by, why string) (gone int64, err error) {
	var delta customer.Delta
	for i := range letters {
		l := &letters[i]
		delta.Settled = append(delta.Settled, event.Settlement{
			ID: l.ID, Revision: l.Revision, Note: l.Note("discarded", by, why, d.c.Now()), Sweep: true,
		})
	}
	err = d.c.Store.Update(ctx, func(tx customer.Tx) error { return tx.Apply(ctx, &delta) })
	switch {
	case errors.Is(err, event.ErrLetterChanged) && len(letters) == 1:
		return 0, nil
	case errors.Is(err, event.ErrLetterChanged):
		for i := range letters {
			n, one := d.discard(ctx, letters[i:i+1], by, why)
			if gone += n; one != nil {
				return gone, one
			}
		}
		return gone, nil
	case err != nil:
		return 0, err
	}
	for i := range letters {
		d.c.Handled(letters[i].Source, "discarded")
		d.c.Log.InfoContext(ctx, "a dead letter is discarded", slog.String("letter", letters[i].ID), slog.String("source", letters[i].Source))
	}
	return int64(len(letters)), nil
}
