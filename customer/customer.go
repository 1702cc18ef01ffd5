// Package customer holds the nouns of Onefold and its one door, the Registry: changes go in, customers come out.
// It computes; where things rest is the store's business, who is who the matcher's, which value survives the
// merger's. Their interfaces are declared here, by their consumer.
package customer

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Customer is the master record: the records that were resolved to be one party, and the values that survive among them,
// each with its lineage.
type Customer struct {
	ID      CustomerID `json:"id"`
	Version int64      `json:"version"` // grows by one with each published change
	Status  Status     `json:"status"`
	// AliasOf names the customer that this one was merged into. Of such a customer the members are the records that it stood for when
	// it was merged, without source and key: an alias follows them if what it leads to comes apart. It has nothing else to say.
	AliasOf    CustomerID  `json:"aliasOf,omitzero"`
	Attributes []Attribute `json:"attributes"` // by path
	Members    []Member    `json:"members"`    // of an active customer its live records, by source and key
	CreatedAt  time.Time   `json:"createdAt"`
	UpdatedAt  time.Time   `json:"updatedAt"`
}

// Status says whether there is anybody behind a customer's id.
type Status string

// The states of a customer.
const (
	Active Status = "active"
	Merged Status = "merged" // AliasOf says into which
	Gone   Status = "gone"   // every record of it was deleted
	Erased Status = "erased" // at the wish of the data subject
)

// Member is one record of a customer.
type Member struct {
	Record RecordID `json:"record"`
	Source string   `json:"source"`
	Key    string   `json:"key"`
}

// Attribute is a surviving value with its lineage: where it comes from, why it won, and what lost.
type Attribute struct {
	Path Path `json:"path"`
	Claim
	Rule   string  `json:"rule"` // which rule of the policy decided: only trust current verified recent whole denial union tie
	Losers []Claim `json:"losers,omitempty"`
}

// Claim is a value as one record states it.
type Claim struct {
	Value    Value     `json:"value"`
	Source   string    `json:"source"`
	Key      string    `json:"key"`
	Version  Version   `json:"version"`
	At       time.Time `json:"at,omitzero"` // by the source's clock
	Verified bool      `json:"verified,omitempty"`
	Event    string    `json:"event,omitempty"` // message that said it
}

// Published answers the value that tells the world of the customer, as it stands in the outbox: the whole customer, of whom the topic has
// a shorter form if it is too large, {"aliasOf": ID} for a merged one, nil (a tombstone) when nobody is behind the id any more.
func (c *Customer) Published() ([]byte, error) {
	switch c.Status {
	case Merged:
		return json.Marshal(struct {
			AliasOf CustomerID `json:"aliasOf"`
			Version int64      `json:"version"`
		}{c.AliasOf, c.Version})
	case Gone, Erased:
		return nil, nil
	default:
		return json.Marshal(c)
	}
}

// PublishedID is the deterministic id of that message: customer and version.
func (c *Customer) PublishedID() string {
	return c.ID.String() + "." + strconv.FormatInt(c.Version, 10)
}

// Text answers the text of the attribute under a path's name, the first of a list; empty where there is none.
func (c *Customer) Text(name string) string {
	for i := range c.Attributes {
		if c.Attributes[i].Path.Name == name {
			return c.Attributes[i].Value.Text
		}
	}
	return ""
}

// Forget erases a customer at the wish of its data subject: every record that is or ever was part of it, living or deleted, unless it is
// a part of somebody else by now, or was when it was deleted, and all that these records took part in. Customers that were merged into
// it are it. Its id stays known as erased until a record of it is heard of again. What the same sources say later is accepted only
// where it is provably later.
func (r *Registry) Forget(ctx context.Context, id CustomerID, now time.Time) error {
	return r.store.Update(ctx, func(tx Tx) error {
		w := newWork(r, tx, now)
		c, err := Follow(ctx, tx, id)
		if err != nil {
			return err
		}
		records, err := w.subject(ctx, id, c.ID)
		if err != nil {
			return err
		}
		if err := w.eraseAll(ctx, records); err != nil {
			return err
		}
		if err := w.finish(ctx); err != nil {
			return err
		}
		w.end(c)
		return tx.Apply(ctx, &w.delta)
	})
}

// subject answers the records that an erasure of a customer reaches; asked is the id or the alias by which it was named.
func (w *work) subject(ctx context.Context, asked, id CustomerID) ([]RecordID, error) {
	known := map[CustomerID]*Customer{}
	var reached []RecordID
	seen := map[CustomerID]bool{asked: true, id: true}
	for of := slices.Collect(maps.Keys(seen)); len(of) > 0; {
		found, err := w.tx.Members(ctx, of)
		if err != nil {
			return nil, err
		}
		members := slices.Concat(found...)
		var records []RecordID
		for _, m := range members {
			records = append(records, m.Record)
		}
		customers, err := w.tx.Former(ctx, records)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			customers = append(customers, m.Customer)
		}
		if err := w.chains(ctx, known, customers); err != nil {
			return nil, err
		}
		for _, m := range members {
			if lead(known, m.Customer) == id { // of one that is not live where it was last
				reached = append(reached, m.Record)
			}
		}
		of = nil
		for _, c := range customers {
			if lead(known, c) == id && !seen[c] {
				seen[c] = true
				of = append(of, c)
			}
		}
	}
	return distinct(reached), nil
}

// unborn answers what this transaction says of records that are not alive after it, as if no delete had come.
func (w *work) unborn(steps map[*Change][]step) map[RecordID]*Record {
	out := map[RecordID]*Record{}
	for c, all := range steps {
		for _, s := range all {
			rec := w.after[s.record]
			if s.op == Delete || s.op == Erase || rec.Live() || rec.Forgets(c.Version) {
				continue
			}
			if out[s.record] == nil {
				out[s.record] = &Record{ID: s.record, Source: c.Source, Key: s.key, Born: rec.Born}
			}
			out[s.record].Fold(s.op, c, s.statements)
		}
	}
	return out
}

// lodge notes with whom a record belongs that was never seen alive, because its delete came first: with whom it would have been, had
// what is said of it come in time. Else an erasure of that customer would not reach what the record took part in.
func (w *work) lodge(ctx context.Context, said map[RecordID]*Record) error {
	stored := newWorld()
	if err := w.gather(ctx, stored, slices.Collect(maps.Keys(said))); err != nil || len(said) == 0 {
		return err
	}
	alive := newWork(w.r, w.tx, w.now) // as it would be: nothing of it is kept but with whom they are
	alive.touched, alive.changed = slices.Clone(w.touched), maps.Clone(w.changed)
	alive.before, alive.after = maps.Clone(w.before), maps.Clone(w.after)
	maps.DeleteFunc(said, func(id RecordID, _ *Record) bool { return !stored.stored[id].Customer.IsZero() })
	for id, rec := range said {
		alive.after[id] = rec
		alive.touch(id)
	}
	if err := alive.resolve(ctx); err != nil || len(said) == 0 {
		return err
	}
	born := map[CustomerID]bool{} // there is nobody of that id but for them
	for _, c := range alive.delta.Customers {
		born[c.ID] = c.Version == 1
	}
	for _, c := range w.delta.Customers {
		delete(born, c.ID)
	}
	for _, m := range alive.delta.Members {
		if said[m.Record] == nil || born[m.Customer] {
			continue
		}
		i := slices.IndexFunc(w.delta.Members, func(now Membership) bool { return now.Record == m.Record })
		if i < 0 {
			i = len(w.delta.Members)
			w.delta.Members = append(w.delta.Members, stored.stored[m.Record])
		}
		w.delta.Members[i].Customer, w.delta.Members[i].Node = m.Customer, m.Node
	}
	return nil
}

// eraseAll lays an erasure on records in every scope that is known of them: their own statements' and those of what they took part in.
func (w *work) eraseAll(ctx context.Context, ids []RecordID) error {
	if err := w.load(ctx, ids); err != nil {
		return err
	}
	heard := map[RecordID]*Record{} // the newest versions known, by scope
	for _, id := range ids {
		if rec := w.before[id]; rec != nil {
			heard[id] = &Record{}
			for i := range rec.Scopes {
				heard[id].hear(later(rec.Scopes[i].Head, rec.Scopes[i].gone()))
			}
		}
	}
	err := w.partaken(ctx, ids, func(in *Interaction) {
		for _, p := range in.Parties {
			if rec := heard[p.Record]; rec != nil {
				rec.hear(in.Version)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if rec := heard[id]; rec != nil && len(rec.Scopes) > 0 && w.open(id, "").cover(rec) {
			w.touch(id)
			w.erased[id] = true
		}
	}
	return nil
}

// hear notes a version as erased if it is the newest of its scope, and if there is room for the scope.
func (r *Record) hear(v Version) {
	if !v.IsZero() && !r.crowded(v.Source.scope()) {
		s := r.scope(v.Source.scope())
		s.Erased = later(s.Erased, v.last())
	}
}

// cascade carries a source's erasures on to the records that it had merged or re-keyed into an erased one, and from those to theirs.
// What a person asks for goes no further than it went: whoever lives apart by then was spared, and stays so whatever is heard later.
func (w *work) cascade(ctx context.Context) error {
	for from := distinct(w.reach); len(from) > 0; {
		var lost []RecordID
		for _, id := range from {
			lost = append(lost, w.record(id).lost()...)
		}
		if err := w.load(ctx, lost); err != nil {
			return err
		}
		var next []RecordID
		for _, id := range from {
			rec := w.record(id)
			for _, loser := range rec.lost() {
				if w.open(loser, rec.Source).withdraw(rec.withdrawn()) {
					w.touch(loser)
					w.erased[loser] = true
					next = append(next, loser)
				}
			}
		}
		from = distinct(next)
	}
	return nil
}

// pageOfErased is how many interactions of erased records are read at a time. There may be any number of pages.
const pageOfErased = 10_000

// partaken calls fn for every stored interaction that any of the records takes part in.
func (w *work) partaken(ctx context.Context, of []RecordID, fn func(*Interaction)) error {
	for after := (InteractionID{}); len(of) > 0; {
		page, err := w.tx.Partaken(ctx, of, after, pageOfErased)
		if err != nil {
			return err
		}
		for _, in := range page {
			fn(in)
		}
		if len(page) < pageOfErased {
			return nil
		}
		after = page[len(page)-1].ID
	}
	return nil
}

// end makes sure that a forgotten customer is known as erased, also if there was nothing left of it to erase.
func (w *work) end(c *Customer) {
	byID := func(c *Customer, id CustomerID) int { return bytes.Compare(c.ID[:], id[:]) }
	i, written := slices.BinarySearchFunc(w.delta.Customers, c.ID, byID)
	switch {
	case written && w.delta.Customers[i].Status == Gone:
		w.delta.Customers[i].Status = Erased
	case !written && c.Status != Erased:
		w.delta.Customers = slices.Insert(w.delta.Customers, i, &Customer{
			ID: c.ID, Version: c.Version + 1, Status: Erased, CreatedAt: c.CreatedAt, UpdatedAt: w.now,
		})
	}
}

// cover lays down an erasure that names scopes: what each of them says later is heard, what all others say cannot be shown to be later
// and is not. Of several erasures each must let a statement through: so an erasure only ever takes away, and arrival cannot matter. It
// answers whether anything is covered that was not.
func (r *Record) cover(by *Record) bool {
	before := r.erasures()
	if by.Deaf || r.Deaf {
		r.Deaf = true
	}
	heard := map[string]Version{} // scopes that all erasures name
	for _, e := range by.Scopes {
		s := before.erased(e.Name)
		if !r.Deaf && !e.Erased.IsZero() && (!s.IsZero() || !r.wasErased()) {
			heard[e.Name] = later(s, e.Erased)
		}
	}
	r.Deaf = len(heard) == 0
	for name := range heard {
		r.scope(name)
	}
	for i := range r.Scopes {
		s := &r.Scopes[i]
		if s.Erased = heard[s.Name]; s.Erased.IsZero() {
			*s = Scope{Name: s.Name, Losers: s.Losers}
			continue
		}
		s.purge()
	}
	r.Scopes = slices.DeleteFunc(r.Scopes, func(s Scope) bool { return s.Head.IsZero() && s.Erased.IsZero() && len(s.Losers) == 0 })
	if r.Erased() {
		r.Key = ""
	}
	after := r.erasures()
	return before.Deaf != after.Deaf || !slices.EqualFunc(before.Scopes, after.Scopes, func(a, b Scope) bool {
		return a.Name == b.Name && a.Erased == b.Erased
	})
}

// gather adds the customers of records to what was found.
func (r *Registry) gather(ctx context.Context, v View, of []RecordID, out *Found) error {
	comps, err := v.Components(ctx, of)
	if err != nil {
		return err
	}
	wanted, known := map[RecordID]bool{}, map[CustomerID]bool{}
	for _, id := range of {
		wanted[id] = true
	}
	for _, c := range out.Customers {
		known[c.ID] = true
	}
	var ids []CustomerID
	for _, c := range comps {
		for _, m := range c.Members {
			if wanted[m.Record] && !known[m.Customer] {
				known[m.Customer] = true
				ids = append(ids, m.Customer)
			}
		}
	}
	found, err := v.Customers(ctx, ids)
	if err != nil {
		return err
	}
	for _, c := range found {
		if c != nil && c.Status == Active {
			out.Customers = append(out.Customers, c)
		}
	}
	slices.SortFunc(out.Customers, func(a, b *Customer) int { return compareNames(a.ID, b.ID) })
	return nil
}
