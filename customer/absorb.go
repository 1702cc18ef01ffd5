package customer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/onefold/onefold/event"
)

// Absorb takes a batch into the master record in one transaction (invariants 1, 2, 5) and says what each message came to.
// It is synchronous and reads no clock. Of a dry batch it says what it would come to. ErrFenced and ErrAlready tell that the positions
// were refused and nothing has changed.
func (r *Registry) Absorb(ctx context.Context, b Batch) (*Absorbed, error) {
	var w *work
	compute := func(v View) error { w = newWork(r, v, b.Now); return w.absorb(ctx, b.Messages) }
	var err error
	if b.Dry {
		err = r.store.View(ctx, compute)
	} else {
		err = r.store.Update(ctx, func(tx Tx) error {
			if err := tx.Advance(ctx, b.Advances); err != nil {
				return err
			}
			if err := compute(tx); err != nil {
				return err
			}
			return tx.Apply(ctx, &w.delta)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("absorb %s: %w", b.place(), err)
	}
	return &w.out, nil
}

// place names the batch by its first message.
func (b *Batch) place() string {
	switch len(b.Messages) {
	case 0:
		return "no message"
	case 1:
		return b.Messages[0].Message.ID()
	}
	return fmt.Sprintf("%s and %d more", b.Messages[0].Message.ID(), len(b.Messages)-1)
}

// work is one transaction's computing: what was read, what becomes of it.
type work struct {
	r   *Registry
	tx  View
	now time.Time

	before  map[RecordID]*Record // as stored; nil where unknown
	after   map[RecordID]*Record // folded into in this transaction
	changed map[RecordID]bool    // and really changed
	touched []RecordID           // those that changed, in the order in which they did
	erased  map[RecordID]bool    // on which an erasure took effect
	reach   []RecordID           // whose erasures may reach records that were merged into them

	interactions map[InteractionID]*Interaction // newest known of those named
	isFresh      map[InteractionID]bool         // to be written
	fresh        []InteractionID

	features  map[RecordID]*Features // of records as they are after this transaction
	decisions []Decision             // new ones

	delta Delta
	out   Absorbed
}

func newWork(r *Registry, tx View, now time.Time) *work {
	return &work{
		r: r.current(), tx: tx, now: now,
		before: map[RecordID]*Record{}, after: map[RecordID]*Record{}, changed: map[RecordID]bool{}, erased: map[RecordID]bool{},
		interactions: map[InteractionID]*Interaction{}, isFresh: map[InteractionID]bool{},
		features: map[RecordID]*Features{},
	}
}

// step is one statement about one record.
type step struct {
	record     RecordID
	key        string
	op         Op
	statements []Statement
	silent     bool // says nothing but that the record is there: has no outcome of its own
}

func (w *work) absorb(ctx context.Context, messages []Mapped) error {
	steps := map[*Change][]step{}
	var records []RecordID
	var interactions []InteractionID
	for i := range messages {
		for j := range messages[i].Changes {
			c := &messages[i].Changes[j]
			steps[c] = w.r.steps(c)
			for _, s := range steps[c] {
				records = append(records, s.record)
			}
			for k := range c.Interactions {
				interactions = append(interactions, w.r.ids.Interaction(c.Source, c.Interactions[k].Key))
			}
		}
		records = append(records, w.refused(&messages[i])...)
	}
	if err := w.load(ctx, records); err != nil {
		return err
	}
	if err := w.loadInteractions(ctx, interactions); err != nil {
		return err
	}
	letters := make([]int, len(messages)+1) // how many there are before each message
	for i := range messages {
		w.out.Results = append(w.out.Results, w.message(&messages[i], steps))
		letters[i+1] = len(w.delta.Dead)
	}
	if err := w.cascade(ctx); err != nil {
		return err
	}
	for i := range messages {
		w.nameDead(&messages[i], w.delta.Dead[letters[i]:letters[i+1]], steps)
	}
	if err := w.finish(ctx); err != nil {
		return err
	}
	return w.lodge(ctx, w.unborn(steps))
}

// finish turns folded records into customers.
func (w *work) finish(ctx context.Context) error {
	if err := w.dropErased(ctx); err != nil {
		return err
	}
	for _, id := range w.touched {
		w.after[id].Revision++
		w.delta.Records = append(w.delta.Records, w.after[id])
	}
	for _, id := range w.fresh {
		w.delta.Interactions = append(w.delta.Interactions, w.interactions[id])
	}
	w.delta.Erased = slices.SortedFunc(maps.Keys(w.erased), compareIDs)
	return w.resolve(ctx)
}

// load reads records that were not read yet.
func (w *work) load(ctx context.Context, ids []RecordID) error {
	ids = slices.DeleteFunc(distinct(slices.Clone(ids)), func(id RecordID) bool {
		_, known := w.before[id]
		return known
	})
	if len(ids) == 0 {
		return nil
	}
	records, err := w.tx.Records(ctx, ids)
	for i, rec := range records {
		w.before[ids[i]] = rec
	}
	return err
}

// record answers a record as it is after this transaction, nil where there is none. It must have been loaded.
func (w *work) record(id RecordID) *Record {
	if rec := w.after[id]; rec != nil {
		return rec
	}
	return w.before[id]
}

// open answers a record to fold into, a new one if need be. It must have been loaded.
func (w *work) open(id RecordID, source string) *Record {
	rec := w.after[id]
	if rec == nil {
		if old := w.before[id]; old != nil {
			rec = old.Clone()
		} else {
			rec = &Record{ID: id, Source: source, Born: w.now}
		}
		w.after[id] = rec
	}
	return rec
}

// touch marks a record as really changed.
func (w *work) touch(id RecordID) {
	if !w.changed[id] {
		w.changed[id] = true
		w.touched = append(w.touched, id)
	}
}

// fold folds a statement into a record, a new one if need be.
func (w *work) fold(id RecordID, op Op, c *Change, statements []Statement) (event.Outcome, string) {
	rec := w.open(id, c.Source)
	news := false
	if op != Erase {
		news, _ = rec.lose(c.Version, statements)
	}
	outcome, reason := rec.Fold(op, c, statements)
	if news || outcome != event.Ignored && outcome != event.Duplicate { // those two change nothing else
		w.touch(id)
	}
	if op == Erase && outcome == event.Applied {
		w.erased[id] = true
	}
	if news || w.erased[id] {
		w.reach = append(w.reach, id)
	}
	return outcome, reason
}

func (w *work) loadInteractions(ctx context.Context, ids []InteractionID) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := w.tx.Interactions(ctx, ids)
	for i, in := range found {
		w.interactions[ids[i]] = in
	}
	return err
}

// message folds one message and answers its result. Each part ends in exactly one outcome (invariant 7).
func (w *work) message(m *Mapped, steps map[*Change][]step) event.Result {
	var parts []event.Part
	before := len(w.delta.Dead)
	for i := range m.Changes {
		c := &m.Changes[i]
		part := w.change(c, steps[c])
		parts = append(parts, part)
		if part.Outcome == event.Dead {
			w.delta.Dead = append(w.delta.Dead, m.dead(full(c), -1-i, w.now))
		}
	}
	same := map[string]int{} // refused parts of one name
	for i := range m.Refusals {
		r := m.Refusals[i].Complete()
		parts = append(parts, event.Part{Path: r.Part, Outcome: r.Outcome, Reason: r.Err.Reason})
		if r.Outcome == event.Dead {
			w.delta.Dead = append(w.delta.Dead, m.dead(&r, same[r.Part], w.now))
			same[r.Part]++
		}
	}
	if died := w.delta.Dead[before:]; m.Letter != nil && len(died) > 0 { // it stays the one letter that it is
		w.delta.Dead = append(w.delta.Dead[:before], m.Letter.Died(&died[0]))
	} else if m.Letter != nil {
		w.delta.Settled = append(w.delta.Settled, m.Letter.Settle(w.now))
	}
	return event.Result{Outcome: event.Worst(parts), Parts: parts}
}

// change folds one change: its records and its interactions. Its outcome is the worst of theirs; of a bare reference, which says no
// more than that the record is there, the record's.
func (w *work) change(c *Change, steps []step) event.Part {
	var parts []event.Part
	for _, s := range steps {
		outcome, reason := w.fold(s.record, s.op, c, s.statements)
		if rec := w.after[s.record]; !rec.Erased() {
			rec.Key = s.key
		}
		if !s.silent || outcome == event.Dead || len(steps)+len(c.Interactions) == 1 {
			parts = append(parts, event.Part{Path: c.Part, Outcome: outcome, Reason: reason})
		}
	}
	for i := range c.Interactions {
		parts = append(parts, w.interaction(c, &c.Interactions[i]))
	}
	worst := event.Worst(parts)
	return parts[slices.IndexFunc(parts, func(p event.Part) bool { return p.Outcome == worst })]
}

// interaction keeps the newest version of an interaction. Of one that an erasure of a party covers only the id and the version
// are kept, so that an older version of it cannot take its place.
func (w *work) interaction(c *Change, in *Interaction) event.Part {
	fresh := *in
	fresh.ID = w.r.ids.Interaction(c.Source, in.Key)
	fresh.Parties = slices.Clone(in.Parties)
	part := event.Part{Path: c.Part, Outcome: event.Applied}
	for i := range fresh.Parties {
		p := &fresh.Parties[i]
		p.Record = w.r.ids.Record(c.Source, p.Key)
		if rec := w.record(p.Record); rec != nil && rec.Forgets(in.Version) {
			part.Outcome, part.Reason = event.Ignored, "erased"
		}
	}
	d := 1
	if known := w.interactions[fresh.ID]; known != nil {
		d = in.Version.Compare(known.Version)
	}
	switch {
	case d > 0 && part.Outcome == event.Ignored:
		w.keep(fresh.forgotten())
	case d > 0:
		w.keep(&fresh)
	case part.Outcome == event.Ignored:
	case d == 0:
		part.Outcome = event.Duplicate
	default:
		part.Outcome = event.Stale
	}
	return part
}

// keep marks an interaction to be written.
func (w *work) keep(in *Interaction) {
	if !w.isFresh[in.ID] {
		w.isFresh[in.ID] = true
		w.fresh = append(w.fresh, in.ID)
	}
	w.interactions[in.ID] = in
}

// forgotten answers what is left of an interaction after the erasure of a party.
func (in *Interaction) forgotten() *Interaction { return &Interaction{ID: in.ID, Version: in.Version} }

// Forgotten tells what is left of an interaction after the erasure of a party: its id and its version.
func (in *Interaction) Forgotten() bool { return in.Type == "" }

// dropErased forgets the interactions that the erasure of a party covers, those stored and those of this transaction.
func (w *work) dropErased(ctx context.Context) error {
	if len(w.erased) == 0 {
		return nil
	}
	err := w.partaken(ctx, slices.SortedFunc(maps.Keys(w.erased), compareIDs), func(in *Interaction) {
		if named := w.interactions[in.ID]; named != nil {
			in = named
		}
		w.forget(in)
	})
	for _, id := range slices.Clone(w.fresh) {
		w.forget(w.interactions[id])
	}
	return err
}

// forget leaves of an interaction only its id and version, if an erasure of this transaction covers it.
func (w *work) forget(in *Interaction) {
	if slices.ContainsFunc(in.Parties, func(p Party) bool { return w.erased[p.Record] && w.after[p.Record].Forgets(in.Version) }) {
		w.keep(in.forgotten())
	}
}

// refused answers the records that the refused parts of a message name.
func (w *work) refused(m *Mapped) (out []RecordID) {
	for i := range m.Refusals {
		for _, key := range m.Refusals[i].Keys {
			out = append(out, w.r.ids.Record(m.Message.Source, key))
		}
	}
	return out
}

// nameDead ties the dead letters of a message to the records that it names, so that an erasure finds them. Where one has come before, and
// nothing shows that the message is later, they are laid down without what they could tell.
func (w *work) nameDead(m *Mapped, letters []event.DeadLetter, steps map[*Change][]step) {
	if len(letters) == 0 {
		return
	}
	erased := false
	named := w.refused(m)
	for _, id := range named {
		rec := w.record(id)
		erased = erased || rec != nil && rec.wasErased() // a refused part has no version: nothing shows that it is later
	}
	for i := range m.Changes {
		for _, s := range steps[&m.Changes[i]] {
			named = append(named, s.record)
			erased = erased || w.after[s.record].Forgets(m.Changes[i].Version)
		}
	}
	if len(named) > 0 {
		w.delta.Named = append(w.delta.Named, Naming{Message: m.Message.ID(), Records: distinct(named)})
	}
	for i := range letters {
		if erased {
			letters[i].Erase()
		}
	}
}

// full refuses what a record had no room for.
func full(c *Change) *event.Refusal {
	return &event.Refusal{Part: c.Part, Outcome: event.Dead, Err: event.Errorf(event.Permanent, reasonFull, "party",
		"the record has no room for all that the change says, the rest was taken: a record has at most %d elements of lists, %d bytes of "+
			"them, %d scopes of versions, and in each %d records that were merged into it. Let the mapping give elements and scopes ids that "+
			"do not change, or map fewer", MaxElements, MaxRecord, MaxScopes, MaxLosers)}
}

// dead answers the dead letter of a refused part.
func (m *Mapped) dead(r *event.Refusal, number int, now time.Time) event.DeadLetter {
	l := event.NewDeadLetter(m.Message, r, number)
	l.Part, l.Path, l.Message = cutText(l.Part, MaxKey), cutText(l.Path, MaxKey), cutText(l.Message, MaxExplained)
	l.Mapping, l.Attempts, l.At = m.Adapter, max(1, m.Attempts), now
	return l
}
