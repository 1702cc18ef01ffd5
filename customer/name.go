package customer

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
)

// naming gives the clusters of a world their customer ids, and settles the ids that they leave behind. Three rules: each cluster keeps
// the id that most of its records had; an id goes only where people of its own went; an alias keeps leading to where most of the
// people went that it stood for.
type naming struct {
	*work
	world    *world
	clusters []*cluster
	at       map[RecordID]*cluster    // of each live record
	known    map[CustomerID]*Customer // stored customers of all ids involved
	former   map[CustomerID]*former   // customers that records of this world were in
	taken    map[CustomerID]bool      // ids that clusters carry on
	homes    map[CustomerID]*cluster  // aliases of what comes apart here: where most of the people went that they stood for
}

// former is a stored customer, seen from a world.
type former struct {
	here    bool       // its live records are in this world, all of them
	stayed  []RecordID // those that are live still, the oldest first
	revived []RecordID // not live when stored, and live now
	apart   bool       // those that stayed are in more than one cluster
	erased  bool       // a record of it was erased in this transaction
}

// nobody tells whether none of the people stayed behind the id: then a record that comes back to life finds home to it.
func (f *former) nobody(old *Customer) bool {
	return old.Status == Gone || old.Status == Erased || old.Status == Active && f.here && len(f.stayed) == 0
}

// claim is a cluster's claim to a customer id that some of its records had.
type claim struct {
	of      *cluster
	id      CustomerID
	live    bool // the records were live in it until now
	records int
	oldest  RecordID
}

// name gives each cluster its customer id: the one that most of its records had (tie: the oldest, then the smallest). A cluster that
// gets none so takes up an alias that stood for all its records, else its oldest record's birth id, if it is free.
func (w *work) name(ctx context.Context, world *world, clusters []*cluster) (*naming, error) {
	n := &naming{
		work: w, world: world, clusters: clusters, at: make(map[RecordID]*cluster, len(world.members)),
		known: map[CustomerID]*Customer{}, former: map[CustomerID]*former{}, taken: map[CustomerID]bool{},
	}
	if err := n.look(ctx); err != nil {
		return nil, err
	}
	for _, cl := range n.claims() {
		switch {
		case !cl.of.id.IsZero(): // has one
		case n.taken[cl.id]:
			cl.of.split = true
		default:
			n.take(cl.of, cl.id)
		}
	}
	if err := n.findHomes(ctx); err != nil {
		return nil, err
	}
	n.restore()
	return n, n.birth(ctx)
}

func (n *naming) take(c *cluster, id CustomerID) { c.id, n.taken[id] = id, true }

// look finds out what becomes of the customers that were.
func (n *naming) look(ctx context.Context) error {
	for _, c := range n.clusters {
		slices.SortFunc(c.records, n.older)
		for _, id := range c.records {
			n.at[id] = c
		}
	}
	for id, was := range n.world.stored {
		if was.Customer.IsZero() {
			continue
		}
		f := n.former[was.Customer]
		if f == nil {
			f = &former{}
			n.former[was.Customer] = f
		}
		f.here = f.here || was.Live
		f.erased = f.erased || n.changed[id] && n.after[id].Erased()
		switch c := n.at[id]; {
		case c == nil, was.lodged():
		case was.Live:
			f.apart = f.apart || len(f.stayed) > 0 && n.at[f.stayed[0]] != c
			f.stayed = append(f.stayed, id)
		default:
			f.revived = append(f.revived, id)
		}
	}
	for _, f := range n.former {
		slices.SortFunc(f.stayed, n.older)
		slices.SortFunc(f.revived, n.older)
	}
	return n.customers(ctx, n.known, slices.Collect(maps.Keys(n.former)))
}

// claims answers the claims to ids, the strongest first. A live record claims the customer that it was in. One that comes back to
// life claims the one that it remembers only where nobody is left, and after the living: what others carry on, or what was merged
// into another meanwhile, is not its to take.
func (n *naming) claims() []claim {
	var claims []claim
	for _, c := range n.clusters {
		first := len(claims)
		for _, id := range c.records {
			was := n.world.stored[id]
			old := n.known[was.Customer]
			if old == nil || old.Status == Merged || was.lodged() || !was.Live && !n.former[was.Customer].nobody(old) {
				continue
			}
			i := first + slices.IndexFunc(claims[first:], func(cl claim) bool { return cl.id == was.Customer })
			if i < first {
				i = len(claims)
				claims = append(claims, claim{of: c, id: was.Customer, live: was.Live, oldest: id})
			}
			claims[i].records++
		}
	}
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(b2i(b.live)-b2i(a.live), cmp.Compare(b.records, a.records), n.older(a.oldest, b.oldest), compareNames(a.id, b.id))
	})
	return claims
}

func compareNames(a, b CustomerID) int { return bytes.Compare(a[:], b[:]) }

// older puts the record that we heard of first first.
func (w *work) older(a, b RecordID) int {
	return cmp.Or(w.record(a).Born.Compare(w.record(b).Born), compareIDs(a, b))
}

// findHomes follows the people of aliases whose customers come apart here.
func (n *naming) findHomes(ctx context.Context) error {
	var parting []RecordID
	for _, f := range n.former {
		if f.apart {
			parting = append(parting, f.stayed...)
		}
	}
	if len(parting) == 0 {
		return nil
	}
	ids, err := n.tx.Former(ctx, distinct(parting))
	if err != nil {
		return err
	}
	if err := n.chains(ctx, n.known, ids); err != nil {
		return err
	}
	n.homes = map[CustomerID]*cluster{}
	for _, id := range ids {
		old := n.known[id]
		if old == nil || old.Status != Merged {
			continue
		}
		to := lead(n.known, id)
		if f := n.former[to]; f != nil && f.apart {
			if c := n.most(n.people(old, to), n.heir(to)); c != nil {
				n.homes[id] = c
			}
		}
	}
	return nil
}

// chains reads aliases and all that they lead to, one link of every chain at a time.
func (w *work) chains(ctx context.Context, known map[CustomerID]*Customer, ids []CustomerID) error {
	for len(ids) > 0 {
		if err := w.customers(ctx, known, ids); err != nil {
			return err
		}
		var next []CustomerID
		for _, id := range ids {
			if c := known[id]; c != nil && c.Status == Merged && known[c.AliasOf] == nil {
				next = append(next, c.AliasOf)
			}
		}
		ids = next
	}
	return nil
}

// lead answers where an id leads to among customers whose chains were read. Aliases have no cycles: each is pointed at a customer that
// is active at the end of its transaction, and one that is active points nowhere.
func lead(known map[CustomerID]*Customer, id CustomerID) CustomerID {
	for range known { // not more, whatever a damaged store says
		c := known[id]
		if c == nil || c.Status != Merged {
			break
		}
		id = c.AliasOf
	}
	return id
}

// people answers the records that an alias stood for and that came to be parted here, the oldest first.
func (n *naming) people(alias *Customer, of CustomerID) []RecordID {
	var out []RecordID
	for _, m := range alias.Members {
		if was := n.world.stored[m.Record]; was.Live && was.Customer == of && n.at[m.Record] != nil {
			out = append(out, m.Record)
		}
	}
	slices.SortFunc(out, n.older)
	return out
}

// most answers the cluster that most of the records are in (tie: the preferred one, then that of the oldest record).
func (n *naming) most(records []RecordID, preferred *cluster) (best *cluster) {
	count := map[*cluster]int{}
	for _, id := range records {
		count[n.at[id]]++
	}
	for _, id := range records {
		if c := n.at[id]; count[c] > count[best] || count[c] == count[best] && c == preferred {
			best = c
		}
	}
	return best
}

// heir answers the cluster that carries a customer's id on, else the one that most of its people went to; nil if there are none.
func (n *naming) heir(id CustomerID) *cluster {
	f := n.former[id]
	if n.taken[id] {
		for _, rec := range f.stayed {
			if c := n.at[rec]; c.id == id {
				return c
			}
		}
	}
	return n.most(f.stayed, nil)
}

// restore gives a cluster without an id an alias that stood for every record of it, before it was merged into what comes apart now:
// so a split that restores an old membership restores the old id. Of several the one that stood for the fewest.
func (n *naming) restore() {
	aliases := slices.SortedFunc(maps.Keys(n.homes), func(a, b CustomerID) int {
		return cmp.Or(cmp.Compare(len(n.known[a].Members), len(n.known[b].Members)), compareNames(a, b))
	})
	for _, id := range aliases {
		c := n.homes[id]
		if c.id.IsZero() && !slices.ContainsFunc(c.records, func(rec RecordID) bool {
			return !slices.ContainsFunc(n.known[id].Members, func(m Member) bool { return m.Record == rec })
		}) {
			n.take(c, id)
		}
	}
}

// birth names the clusters that have no id yet. An id is free if it was never published, or is an alias whose people came here.
func (n *naming) birth(ctx context.Context) error {
	var nameless []*cluster
	for _, c := range n.clusters {
		if c.id.IsZero() {
			nameless = append(nameless, c)
		}
	}
	for i, read := 0, 0; len(nameless) > 0; i++ { // a second round is needed only by records whose own first ids stand for others
		if i == read { // ever more rounds at once: a record may have been born often
			read = 2*read + 1
			var ids []CustomerID
			for _, c := range nameless {
				for _, id := range c.records {
					for round := i; round < read; round++ {
						ids = append(ids, id.Birth(round))
					}
				}
			}
			if err := n.customers(ctx, n.known, ids); err != nil {
				return err
			}
		}
		nameless = slices.DeleteFunc(nameless, func(c *cluster) bool {
			for _, rec := range c.records {
				id := rec.Birth(i)
				if old := n.known[id]; !n.taken[id] && (old == nil || old.Status == Merged && n.homes[id] == c) {
					n.take(c, id)
					return true
				}
			}
			return false
		})
	}
	return nil
}

// customers reads customers that were not read yet.
func (w *work) customers(ctx context.Context, known map[CustomerID]*Customer, ids []CustomerID) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id CustomerID) bool { return id.IsZero() || known[id] != nil })
	slices.SortFunc(ids, compareNames)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return nil
	}
	found, err := w.tx.Customers(ctx, ids)
	for i, c := range found {
		if c != nil {
			known[ids[i]] = c
		}
	}
	return err
}

// retire settles the ids that no cluster carries on: a customer becomes an alias of the one that most of its records went to, or is
// gone; an alias follows its people where they left what it led to.
func (n *naming) retire() {
	retired := map[CustomerID]CustomerID{}
	for id, f := range n.former {
		if n.taken[id] {
			continue
		}
		if next := n.last(n.known[id], f); next != nil {
			if next.Status == Merged {
				n.out.Merged++
				retired[id] = next.AliasOf
			}
			n.delta.Customers = append(n.delta.Customers, next)
		}
	}
	for id, home := range n.homes {
		if old := n.known[id]; !n.taken[id] && n.leads(old.AliasOf, retired) != home.id {
			next := n.successor(old, Merged)
			next.AliasOf, next.Members = home.id, old.Members
			n.delta.Customers = append(n.delta.Customers, next)
		}
	}
	slices.SortFunc(n.delta.Customers, func(a, b *Customer) int { return compareNames(a.ID, b.ID) })
}

// last answers what becomes of a customer that no cluster carries on, nil if it stays as it is. That a record touched here
// remembers it decides nothing: its people may live elsewhere, by that id or by the one that it leads to.
func (n *naming) last(old *Customer, f *former) *Customer {
	if old == nil || old.Status == Merged || old.Status == Active && !f.here {
		return nil
	}
	people := f.stayed
	if f.nobody(old) {
		people = f.revived
	}
	if heir := n.most(people, nil); heir != nil {
		next := n.successor(old, Merged)
		next.AliasOf = heir.id
		for _, id := range people {
			next.Members = append(next.Members, Member{Record: id})
		}
		slices.SortFunc(next.Members, compareMembers)
		return next
	}
	status := Gone
	if f.erased || old.Status == Erased {
		status = Erased
	}
	if status == old.Status {
		return nil
	}
	return n.successor(old, status)
}

// successor answers the next version of a customer, empty.
func (n *naming) successor(old *Customer, status Status) *Customer {
	return &Customer{ID: old.ID, Version: old.Version + 1, Status: status, CreatedAt: old.CreatedAt, UpdatedAt: n.now}
}

// leads answers where an id leads to at the end of the transaction, if the aliases that are not settled yet go home.
func (n *naming) leads(id CustomerID, retired map[CustomerID]CustomerID) CustomerID {
	for !n.taken[id] {
		if c := n.homes[id]; c != nil {
			return c.id
		}
		next, ok := retired[id]
		if !ok {
			next = n.known[id].AliasOf
		}
		id = next
	}
	return id
}
