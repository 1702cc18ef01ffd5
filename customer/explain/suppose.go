package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// MaxSupposed is how many changes are supposed at once (invariant 10).
const MaxSupposed = 100

// WhatIf tells what would come of changes if a source sent them now: which customer each record would be part of, what would be merged,
// and the values afterwards. Nothing is written. A change needs a source and a key; one without a version counts as newer than all that
// the same source has said without one, and a time as now.
func (e *Explainer) WhatIf(ctx context.Context, changes []customer.Change, now time.Time) (*customer.Supposition, error) {
	if len(changes) == 0 || len(changes) > MaxSupposed {
		return nil, event.Errorf(event.Permanent, "validation", "changes", "1 to %d changes can be supposed at once", MaxSupposed)
	}
	var out *customer.Supposition
	err := e.ask(ctx, func(t *talk) error {
		batch, err := t.batch(ctx, changes, now)
		if err == nil {
			out, err = t.suppose(ctx, batch)
		}
		return err
	})
	return out, err
}

// batch seals changes as if each were a message of its own, the last of its source.
func (t *talk) batch(ctx context.Context, changes []customer.Change, now time.Time) (customer.Batch, error) {
	out := customer.Batch{Now: now}
	ids := make([]customer.RecordID, len(changes))
	for i := range changes {
		ids[i] = t.ids.Record(changes[i].Source, changes[i].Key)
	}
	if err := t.load(ctx, ids); err != nil {
		return out, err
	}
	for i := range changes {
		c := changes[i]
		if c.Source == "" {
			return out, event.Errorf(event.Permanent, "validation", "source", "a change names the source that would send it: set source")
		}
		m := &event.Message{Source: c.Source, Topic: "what-if", TopicID: "\uffff", Offset: 1<<62 + int64(i), Time: now}
		sealed, refused := customer.Seal([]customer.Change{c}, m, t.revision(ids[i]))
		if len(refused) > 0 {
			return out, refused[0].Complete().Err
		}
		out.Messages = append(out.Messages, customer.Mapped{Message: m, Changes: sealed, Adapter: "what-if"})
	}
	return out, nil
}

// revision answers the newest revision of a mapping that has read a record: the one that would read it now.
func (t *talk) revision(id customer.RecordID) (n int64) {
	if rec := t.records[id]; rec != nil {
		for i := range rec.Scopes {
			n = max(n, rec.Scopes[i].Head.Mapping)
		}
	}
	return n
}

func (t *talk) suppose(ctx context.Context, batch customer.Batch) (*customer.Supposition, error) {
	absorbed, delta, err := t.registry.Suppose(ctx, t.v, batch)
	if err != nil {
		return nil, err
	}
	out := &customer.Supposition{Records: []customer.Side{}, Customers: []customer.Supposed{}}
	var parts []event.Part
	for _, r := range absorbed.Results {
		parts = append(parts, r.Parts...)
	}
	worst := event.Worst(parts)
	out.Outcome = worst.String()
	for _, p := range parts {
		if p.Outcome == worst {
			out.Reason = p.Reason
		}
	}
	if err := t.standing(ctx, batch, delta, out); err != nil {
		return nil, err
	}
	return out, t.differences(ctx, delta, out)
}

// standing answers where each record of a batch would be.
func (t *talk) standing(ctx context.Context, batch customer.Batch, delta *customer.Delta, out *customer.Supposition) error {
	where := map[customer.RecordID]customer.CustomerID{}
	var ids []customer.RecordID
	seen := map[customer.RecordID]bool{}
	for _, m := range batch.Messages {
		for _, c := range m.Changes {
			id := t.ids.Record(c.Source, c.Key)
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
				out.Records = append(out.Records, customer.Side{Member: customer.Member{Record: id, Source: c.Source, Key: c.Key}})
			}
		}
	}
	comps, err := t.v.Components(ctx, ids)
	if err != nil {
		return err
	}
	for _, c := range comps {
		for _, m := range c.Members {
			where[m.Record] = m.Customer
		}
	}
	for _, m := range delta.Members {
		where[m.Record] = m.Customer
	}
	for i := range out.Records {
		out.Records[i].Customer = where[out.Records[i].Record]
	}
	return nil
}

// differences answers the customers that would be new or others, with what would change of them.
func (t *talk) differences(ctx context.Context, delta *customer.Delta, out *customer.Supposition) error {
	ids := make([]customer.CustomerID, len(delta.Customers))
	for i, c := range delta.Customers {
		ids[i] = c.ID
	}
	before, err := t.v.Customers(ctx, ids)
	if err != nil {
		return err
	}
	at := map[customer.CustomerID]int{}
	for i, c := range delta.Customers {
		if c.Status == customer.Merged {
			continue
		}
		at[c.ID] = len(out.Customers)
		was := before[i]
		s := customer.Supposed{Customer: c, New: was == nil}
		if was == nil || was.Status != customer.Active {
			was = &customer.Customer{}
		}
		s.Values = differing(was.Attributes, c.Attributes)
		out.Customers = append(out.Customers, s)
	}
	for _, c := range delta.Customers {
		if i, known := at[c.AliasOf]; known && c.Status == customer.Merged {
			out.Customers[i].Merges = append(out.Customers[i].Merges, c.ID)
		}
	}
	slices.SortFunc(out.Customers, func(a, b customer.Supposed) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return nil
}

// differing compares two lists of attributes, each by path.
func differing(before, after []customer.Attribute) []customer.Difference {
	var out []customer.Difference
	values := map[customer.Path]*customer.Value{}
	for i := range before {
		values[before[i].Path] = &before[i].Value
	}
	for i := range after {
		was := values[after[i].Path]
		delete(values, after[i].Path)
		if was == nil || !sameValue(was, &after[i].Value) {
			out = append(out, customer.Difference{Path: after[i].Path, Before: was, After: &after[i].Value})
		}
	}
	for i := range before {
		if values[before[i].Path] != nil {
			out = append(out, customer.Difference{Path: before[i].Path, Before: &before[i].Value})
		}
	}
	return out
}

func sameValue(a, b *customer.Value) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
