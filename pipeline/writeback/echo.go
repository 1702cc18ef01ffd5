package writeback

import (
	"context"
	"slices"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Absorber takes a batch into the master record in one transaction; customer.Registry is one.
type Absorber interface {
	Absorb(ctx context.Context, b customer.Batch) (*customer.Absorbed, error)
}

// Echoes is an Absorber that stands before another. Of the changes that a target tells of, it leaves out what was written to it: that is
// no news, and taken for news it would speak for the target, come back to it, and so on for ever. What differs is an edit by somebody and
// goes on; survivorship decides about it as about any other statement. Whose entry a change speaks of is known by our id that the entry
// carries, or by the target's own id of it.
type Echoes struct {
	next  Absorber
	store Store
	ids   customer.IDs
	of    map[string]*Sync // by source
}

// NewEchoes makes one before an absorber, for the targets that name a source.
func NewEchoes(next Absorber, store Store, ids customer.IDs, targets []*Sync) *Echoes {
	e := &Echoes{next: next, store: store, ids: ids, of: map[string]*Sync{}}
	for _, s := range targets {
		if s.c.Source != "" {
			e.of[s.c.Source] = s
		}
	}
	return e
}

// heard is one change that a target tells of, and what is known of whom it speaks of.
type heard struct {
	sync     *Sync
	change   *customer.Change
	named    customer.CustomerID // our id that the change carries; zero where it carries none
	receipts []*event.Receipt    // of the entry: the one of the customer that it belongs to last
	customer *customer.Customer  // that the entry belongs to, aliases followed; nil where nobody knows
	settled  bool                // our record of it has its place
}

// Absorb leaves out echoes and hands on the rest.
func (e *Echoes) Absorb(ctx context.Context, b customer.Batch) (*customer.Absorbed, error) {
	if len(e.of) == 0 || !slices.ContainsFunc(b.Messages, func(m customer.Mapped) bool { return e.of[m.Message.Source] != nil }) {
		return e.next.Absorb(ctx, b)
	}
	messages := slices.Clone(b.Messages)
	var all []*heard
	for i := range messages {
		m := &messages[i]
		if s := e.of[m.Message.Source]; s != nil {
			m.Changes = slices.Clone(m.Changes)
			for j := range m.Changes {
				all = append(all, &heard{sync: s, change: &m.Changes[j], named: named(&m.Changes[j])})
			}
		}
	}
	if err := e.recognise(ctx, all); err != nil {
		return nil, err
	}
	for i := range messages {
		m := &messages[i]
		if e.of[m.Message.Source] == nil {
			continue
		}
		n := len(m.Changes)
		var err error
		if m.Changes, m.Refusals, err = e.sift(ctx, all[:n], m.Refusals); err != nil {
			return nil, err
		}
		all = all[n:]
	}
	b.Messages = messages
	return e.next.Absorb(ctx, b)
}

// sift answers of a message's changes what is news, and the others as ignored.
func (e *Echoes) sift(ctx context.Context, changes []*heard, refused []event.Refusal) ([]customer.Change, []event.Refusal, error) {
	var left []customer.Change
	refused = slices.Clone(refused)
	for _, h := range changes {
		news, t := h.hear()
		if h.customer != nil && t != nil && (t.edited || t.gone || len(t.heard) > 0) {
			if err := h.sync.touch(ctx, h.customer.ID, t); err != nil {
				return nil, nil, err
			}
		}
		if news {
			e.link(h)
			left = append(left, *h.change)
			continue
		}
		refused = append(refused, event.Refusal{Part: h.change.Part, Outcome: event.Ignored, Err: &event.Error{
			Class: event.Permanent, Reason: "echo", Text: "it says what was written to the target",
		}})
	}
	return left, refused, nil
}

// named answers our id that a change carries: an identifier of the party that is one of ours.
func named(c *customer.Change) (id customer.CustomerID) {
	for i := range c.Party {
		if isOurs(&c.Party[i]) && id.UnmarshalText([]byte(c.Party[i].Value.Parts["value"])) == nil {
			return id
		}
	}
	return customer.CustomerID{}
}

// isOurs tells a statement that repeats our own id.
func isOurs(st *customer.Statement) bool {
	var id customer.CustomerID
	return st.Path.Name == customer.FieldIdentifier && st.State == customer.Set && st.Value.Parts["type"] == "externalId" &&
		id.UnmarshalText([]byte(st.Value.Parts["value"])) == nil
}

// names tells a statement that says which entry this is, by our id or the target's own: it goes along with news, and is none.
func (h *heard) names(st *customer.Statement) bool {
	return isOurs(st) || st.Path.Name == customer.FieldIdentifier && st.State == customer.Set && st.Value.Parts["value"] == h.change.Key
}

// recognise finds out whose entries changes speak of.
func (e *Echoes) recognise(ctx context.Context, all []*heard) error {
	by := map[*Sync][]*heard{}
	for _, h := range all {
		by[h.sync] = append(by[h.sync], h)
	}
	for s, of := range by {
		if err := e.remotes(ctx, s, of); err != nil {
			return err
		}
	}
	if err := e.whom(ctx, all); err != nil {
		return err
	}
	for s, of := range by {
		var ids []customer.CustomerID
		for _, h := range of {
			ids = append(ids, h.named)
			if h.customer != nil {
				ids = append(ids, h.customer.ID)
			}
		}
		known, err := e.store.Receipts(ctx, s.c.Name, ids)
		if err != nil {
			return err
		}
		for _, h := range of {
			n := 1
			if h.customer != nil {
				n = 2
			}
			for _, r := range known[:n] {
				if r != nil && !slices.ContainsFunc(h.receipts, func(o *event.Receipt) bool { return o.Customer == r.Customer }) {
					h.receipts = append(h.receipts, r)
				}
			}
			known = known[n:]
			slices.SortStableFunc(h.receipts, func(a, b *event.Receipt) int { return h.rank(a) - h.rank(b) })
		}
	}
	return nil
}

// rank puts the receipt of the customer that an entry belongs to behind those of others that it belonged to.
func (h *heard) rank(r *event.Receipt) int {
	if h.customer != nil && r.Customer == h.customer.ID.String() {
		return 1
	}
	return 0
}

// remotes looks for whom the target's own ids of the entries stand.
func (e *Echoes) remotes(ctx context.Context, s *Sync, of []*heard) error {
	keys := make([]string, len(of))
	for i, h := range of {
		keys[i] = h.change.Key
	}
	found, err := e.store.ReceiptsOf(ctx, s.c.Name, keys)
	if err != nil {
		return err
	}
	for _, h := range of {
		for i := range found {
			if found[i].RemoteID != h.change.Key {
				continue
			}
			h.receipts = append(h.receipts, &found[i])
			if h.named.IsZero() || found[i].State != event.Removed {
				_ = h.named.UnmarshalText([]byte(found[i].Customer)) // a store gives it back as it was
			}
		}
	}
	return nil
}

// whom reads the customers that the entries belong to, and whether our record of an entry has its place already.
func (e *Echoes) whom(ctx context.Context, all []*heard) error {
	return e.store.View(ctx, func(v customer.View) error {
		known := map[customer.CustomerID]*customer.Customer{}
		next := make([]customer.CustomerID, 0, len(all))
		records := make([]customer.RecordID, len(all))
		for i, h := range all {
			next = append(next, h.named)
			records[i] = e.ids.Record(h.change.Source, h.change.Key)
		}
		for hops := 0; len(next) > 0 && hops < maxAliases; hops++ {
			found, err := v.Customers(ctx, next)
			if err != nil {
				return err
			}
			next = nil
			for _, c := range found {
				if c == nil {
					continue
				}
				known[c.ID] = c
				if c.Status == customer.Merged && known[c.AliasOf] == nil {
					next = append(next, c.AliasOf)
				}
			}
		}
		stored, err := v.Records(ctx, records)
		for i, h := range all {
			h.settled = err == nil && stored[i] != nil && stored[i].Live()
			h.customer = known[h.named]
			for hops := 0; h.customer != nil && h.customer.Status == customer.Merged && hops < maxAliases; hops++ {
				h.customer = known[h.customer.AliasOf]
			}
		}
		return err
	})
}

// hear decides what of a change is news, and changes it to say no more than that. With it, it answers what the target's receipt is to
// know of it.
func (h *heard) hear() (news bool, t *touch) {
	if len(h.receipts) == 0 {
		return true, nil // it was never written to: whoever is in there was there before us
	}
	ended := h.customer == nil || h.customer.Status != customer.Active
	removed := !slices.ContainsFunc(h.receipts, func(r *event.Receipt) bool { return r.State != event.Removed })
	switch h.change.Op {
	case customer.Delete, customer.Erase:
		if of := h.entry(); ended || of != nil && (of.State == event.Removed || of.Customer != h.customer.ID.String()) {
			h.sync.series.echoes.Inc() // we have removed it, or are about to: who was merged keeps no entry
			return false, nil
		}
		h.sync.series.edits.Inc()
		return true, &touch{gone: true}
	case customer.Merge, customer.Unmerge, customer.Rekey:
		return true, &touch{edited: true}
	}
	if ended || removed { // what was said before it was removed: it must not bring anybody back
		h.sync.series.echoes.Inc()
		return false, nil
	}
	return h.compare()
}

// entry answers the receipt of the entry that the target's own id names; nil where none does.
func (h *heard) entry() *event.Receipt {
	for _, r := range h.receipts {
		if r.RemoteID == h.change.Key {
			return r
		}
	}
	return nil
}

// link ties our record of an entry to the customer whose entry it is, when it is first heard of: by the record that gave the customer its
// id, or another one of it. Our id itself is left out: of customers that were one and are two it would speak for both.
func (e *Echoes) link(h *heard) {
	if h.customer == nil || h.customer.Status != customer.Active {
		return
	}
	party := slices.DeleteFunc(slices.Clone(h.change.Party), func(st customer.Statement) bool { return isOurs(&st) })
	h.change.Party = party
	switch h.change.Op {
	case customer.Upsert, customer.Patch, customer.Merge:
	default:
		return
	}
	own := e.ids.Record(h.change.Source, h.change.Key)
	var to customer.RecordID
	for _, m := range h.customer.Members {
		if m.Record == own {
			return
		}
		if to.IsZero() || m.Record.Birth(0) == h.customer.ID {
			to = m.Record
		}
	}
	if !h.settled && !to.IsZero() {
		h.change.Party = append(party, customer.WrittenFrom(to))
	}
}
