package review

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Told is a decision in the words of its sources: it says the same in another installation, whose ids are others.
type Told struct {
	ID       string                `json:"id"`
	Kind     customer.DecisionKind `json:"kind"`
	A        Named                 `json:"a"`
	B        Named                 `json:"b"`
	Author   string                `json:"author"`
	Reason   string                `json:"reason,omitempty"`
	At       time.Time             `json:"at"`
	Undone   bool                  `json:"undone,omitempty"`
	UndoneBy string                `json:"undoneBy,omitempty"`
	UndoneAt time.Time             `json:"undoneAt,omitzero"`
}

// Named names a record by its source and key.
type Named struct {
	Source string `json:"source"`
	Key    string `json:"key"`
}

// Limits of the log (invariant 10).
const (
	MaxTold  = 200 // decisions that are taken at once
	readOnce = 500
)

// ExportDecisions writes all decisions, undone ones too, one JSON object a line, by id. One about a record that was erased names it no
// more, and is left out.
func (q *Queue) ExportDecisions(ctx context.Context, to io.Writer) error {
	w := bufio.NewWriter(to)
	for after := ""; ; {
		page, err := q.store.DecisionLog(ctx, after, readOnce)
		if err != nil {
			return err
		}
		told, err := q.tell(ctx, page)
		if err != nil {
			return err
		}
		for i := range told {
			line, err := json.Marshal(&told[i])
			if err != nil {
				return err
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		if len(page) < readOnce {
			return w.Flush()
		}
		after = page[len(page)-1].ID
	}
}

// tell puts decisions into the words of their sources.
func (q *Queue) tell(ctx context.Context, decisions []customer.Decision) (out []Told, err error) {
	ids := make([]customer.RecordID, 0, 2*len(decisions))
	for i := range decisions {
		ids = append(ids, decisions[i].A, decisions[i].B)
	}
	err = q.store.View(ctx, func(v customer.View) error {
		records, err := v.Records(ctx, ids)
		if err != nil {
			return err
		}
		for i, d := range decisions {
			a, b := records[2*i], records[2*i+1]
			if a == nil || b == nil || a.Key == "" || b.Key == "" {
				continue
			}
			if cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key)) > 0 { // the same in every installation
				a, b = b, a
			}
			out = append(out, Told{
				ID: d.ID, Kind: d.Kind, A: Named{a.Source, a.Key}, B: Named{b.Source, b.Key}, Author: d.Author, Reason: d.Reason, At: d.At,
				Undone: d.Undone, UndoneBy: d.UndoneBy, UndoneAt: d.UndoneAt,
			})
		}
		return nil
	})
	return out, err
}

// Taken is what came of decisions that were told.
type Taken struct {
	Taken int `json:"taken"` // are known now, or were
	// Unknown are the ids of those about records that are not known here yet: tell them again when they are.
	Unknown []string `json:"unknown"`
}

// ImportDecisions takes decisions as ExportDecisions writes them. Told twice they are one; one that was undone in either place is undone,
// and an undone one stays so.
func (q *Queue) ImportDecisions(ctx context.Context, told []Told, now time.Time) (*Taken, error) {
	if len(told) > MaxTold {
		return nil, event.Errorf(event.Permanent, "validation", "decisions", "at most %d decisions are taken at once", MaxTold)
	}
	out := &Taken{Unknown: []string{}}
	for i := range told {
		switch err := q.take(ctx, &told[i], now); {
		case errors.Is(err, customer.ErrNotFound):
			out.Unknown = append(out.Unknown, told[i].ID)
		case err != nil:
			return out, err
		default:
			out.Taken++
		}
	}
	return out, nil
}

func (q *Queue) take(ctx context.Context, t *Told, now time.Time) error {
	if t.ID == "" || t.A.Key == "" || t.B.Key == "" {
		return event.Errorf(event.Permanent, "validation", "decisions", "a decision has an id, and names two records by source and key")
	}
	if len(t.UndoneBy) > customer.MaxKey {
		return event.Errorf(event.Permanent, "validation", "undoneBy", "an author is at most %d bytes", customer.MaxKey)
	}
	d := customer.Decision{
		ID: t.ID, Pair: customer.NewPair(q.ids.Record(t.A.Source, t.A.Key), q.ids.Record(t.B.Source, t.B.Key)), Author: t.Author,
		Reason: t.Reason, At: t.At, Undone: t.Undone, UndoneBy: t.UndoneBy, UndoneAt: t.UndoneAt,
	}
	say := q.registry.Join
	switch t.Kind {
	case customer.Same:
	case customer.NotSame:
		say = q.registry.Split
	default:
		return event.Errorf(event.Permanent, "validation", "kind", "there is no such kind of decision: one of same, not-same")
	}
	if err := say(ctx, d); err != nil || !t.Undone {
		return err
	}
	by, at := t.UndoneBy, t.UndoneAt
	if by == "" || at.IsZero() {
		by, at = t.Author, now
	}
	_, err := q.registry.Undo(ctx, t.ID, by, at) // it was known here, and stood
	return err
}
