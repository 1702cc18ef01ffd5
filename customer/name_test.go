package customer_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/store/memory"
)

func upsert(source, key string, version int, party []customer.Statement) customer.Change {
	return customer.Change{Source: source, Key: key, Op: customer.Upsert, Version: sequence(version, "p"), Party: party}
}

func deletion(source, key string, version int) customer.Change {
	return customer.Change{Source: source, Key: key, Op: customer.Delete, Version: sequence(version, "p")}
}

// pair names two records as "source/key".
func (h *house) pair(a, b [2]string) customer.Pair {
	return customer.NewPair(h.ids.Record(a[0], a[1]), h.ids.Record(b[0], b[1]))
}

func (h *house) join(t require, a, b [2]string) {
	t.Helper()
	h.now = h.now.Add(1)
	if err := h.Join(context.Background(), customer.Decision{Pair: h.pair(a, b), Author: "steward", At: h.now}); err != nil {
		t.Fatal(err)
	}
}

// leadsTo answers the customer that an id leads to.
func (h *house) leadsTo(t require, id customer.CustomerID) *customer.Customer {
	t.Helper()
	c, err := h.Customer(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	luis = person("Luis", "Moreau", "1971-11-30", "luis@mail.test", "+442071838750")
	ana  = person("Ana", "Ruiz", "1980-02-03", "ana@mail.test", "+34600111222")
	zoe  = person("Zoe", "Quill", "1999-01-09", "zoe@mail.test", "")
)

// An alias outlives what its dead records become: they are deleted again, or come back as somebody else.
func TestAnAliasIsNotADeadRecords(t *testing.T) {
	for name, key := range map[string]string{"the record that gave the id": "1", "another": "2"} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			h.absorb(t, upsert("a", "1", 1, luis))
			h.absorb(t, upsert("a", "2", 1, luis))
			alias, left := h.of(t, "a", "1").ID, map[string]string{"1": "2", "2": "1"}[key]
			h.absorb(t, deletion("a", key, 2))
			h.absorb(t, upsert("b", "1", 1, ana), upsert("b", "2", 1, ana))
			to := h.of(t, "b", "1").ID
			h.join(t, [2]string{"a", left}, [2]string{"b", "1"})
			same := func(when string) {
				t.Helper()
				if c := h.leadsTo(t, alias); c.ID != to || c.Status != customer.Active {
					t.Errorf("%s: the alias leads to %s, which is %s", when, c.ID, c.Status)
				}
			}
			same("joined")
			h.absorb(t, deletion("a", key, 3))
			same("deleted again")
			h.absorb(t, upsert("a", key, 4, zoe))
			same("come back as somebody else")
			if c := h.of(t, "a", key); c.ID == to || len(c.Members) != 1 {
				t.Errorf("the stranger is customer %s of %d records", c.ID, len(c.Members))
			}
			h.absorb(t, deletion("a", key, 5))
			same("and deleted once more")
			back := h.of(t, "a", left)
			h.absorb(t, upsert("a", key, 6, zoe))
			if c := h.of(t, "a", key); c == nil || c.ID == back.ID {
				t.Error("the stranger does not find home")
			}
		})
	}
}

// Whoever comes home first takes a customer of whom nobody is left, the one who comes second and is somebody else does not.
func TestHomeIsForWhoComesFirst(t *testing.T) {
	h := open(t)
	h.absorb(t, upsert("a", "1", 1, luis))
	h.absorb(t, upsert("a", "2", 1, luis))
	id := h.of(t, "a", "1").ID
	h.absorb(t, deletion("a", "1", 2), deletion("a", "2", 2))
	if c := h.leadsTo(t, id); c.Status != customer.Gone {
		t.Fatalf("without its records the customer is %s", c.Status)
	}
	h.absorb(t, upsert("a", "2", 3, luis))
	if c := h.of(t, "a", "2"); c.ID != id {
		t.Errorf("a record that came back is customer %s, was %s", c.ID, id)
	}
	h.absorb(t, upsert("a", "1", 3, zoe))
	if c := h.of(t, "a", "1"); c.ID == id || h.leadsTo(t, id).ID != id {
		t.Error("the second to come back took the id from the first")
	}
}

// become lets the records of source a say that they are somebody, in one batch.
func (h *house) become(t require, version int, who []customer.Statement, keys ...string) {
	t.Helper()
	var changes []customer.Change
	for _, key := range keys {
		changes = append(changes, upsert("a", key, version, who))
	}
	h.absorb(t, changes...)
}

// A split that restores an old membership restores the old id, whichever record had given it; so does one that restores what was an
// alias's alias.
func TestASplitRestoresTheOldID(t *testing.T) {
	for name, open := range houses() {
		t.Run(name, func(t *testing.T) { restores(t, open(t)) })
	}
}

func restores(t *testing.T, h *house) {
	h.absorb(t, upsert("b", "1", 1, ana), upsert("b", "2", 1, ana), upsert("b", "3", 1, ana), upsert("b", "4", 1, ana))
	h.become(t, 1, luis, "1", "2")
	h.become(t, 1, zoe, "3")
	first, second, third := h.of(t, "b", "1").ID, h.of(t, "a", "1").ID, h.of(t, "a", "3").ID
	h.become(t, 2, luis, "3")
	h.become(t, 3, ana, "1", "2", "3")
	if h.leadsTo(t, second).ID != first || h.leadsTo(t, third).ID != first {
		t.Fatal("the smaller parts did not become aliases")
	}
	h.become(t, 4, luis, "1", "2", "3")
	if b, a := h.of(t, "b", "1").ID, h.of(t, "a", "3").ID; b != first || a != second || h.leadsTo(t, third).ID != second {
		t.Errorf("parted again they are %s and %s, were %s and %s", b, a, first, second)
	}
	h.become(t, 5, ana, "1", "2", "3")
	h.become(t, 6, zoe, "3")
	if c := h.of(t, "a", "3"); c.ID != third || h.leadsTo(t, second).ID != first {
		t.Errorf("the alias's alias is customer %s, was %s", c.ID, third)
	}
}

// An alias follows most of its people where they leave what it leads to, and does not follow one of them.
func TestAnAliasFollowsMostOfItsPeople(t *testing.T) {
	for name, leaves := range map[string][]string{"one": {"1"}, "most": {"1", "2"}} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			h.absorb(t, upsert("c", "0", 1, zoe)) // older than all, and with them when they leave
			h.absorb(t, upsert("b", "1", 1, ana), upsert("b", "2", 1, ana), upsert("b", "3", 1, ana), upsert("b", "4", 1, ana))
			h.become(t, 1, luis, "1", "2", "3")
			alias, to := h.of(t, "a", "1").ID, h.of(t, "b", "1").ID
			h.become(t, 2, ana, "1", "2", "3")
			if h.leadsTo(t, alias).ID != to {
				t.Fatal("the records of one person are not one customer")
			}
			h.become(t, 3, zoe, leaves...)
			want := to
			if name == "most" {
				want = h.of(t, "c", "0").ID
			}
			if c := h.leadsTo(t, alias); c.ID != want {
				t.Errorf("the alias leads to %s of %d records", c.ID, len(c.Members))
			}
		})
	}
}

// However often a customer becomes another's, its first id leads to the last.
func TestALongChainOfAliases(t *testing.T) {
	n := 3_000
	if testing.Short() {
		n = 300
	}
	h := open(t)
	keys := make([]string, n)
	var changes []customer.Change
	for i := range keys {
		keys[i] = fmt.Sprint(i)
		changes = append(changes, upsert("a", keys[i], 1, []customer.Statement{set("email", fmt.Sprintf("x%d@mail%d.test", i, i))}))
	}
	slices.SortFunc(keys, func(a, b string) int { // of records that were born at one time the smaller id is the older
		x, y := h.ids.Record("a", a), h.ids.Record("a", b)
		return bytes.Compare(y[:], x[:])
	})
	h.absorb(t, changes...)
	last := h.of(t, "a", keys[0]).ID
	h.absorb(t, upsert("a", keys[0], 2, ana))
	for i := range keys[1:] { // each becomes the one before, is the older, and is left alone
		changes = []customer.Change{upsert("a", keys[i+1], 2, ana)}
		if i > 0 {
			changes = append(changes, deletion("a", keys[i-1], 3))
		}
		h.absorb(t, changes...)
	}
	if c := h.leadsTo(t, last); c.ID != h.of(t, "a", keys[n-1]).ID {
		t.Errorf("after %d merges the id leads to %s", n-1, c.ID)
	}
}

// register is what the law of ids speaks of: what every id that was ever published is, and who is where.
type register struct {
	ids map[customer.CustomerID]*customer.Customer
	of  map[customer.RecordID]customer.CustomerID // live records
}

// register reads it, and checks that a live record is in one customer.
func (h *house) register(t require) register {
	t.Helper()
	out := register{map[customer.CustomerID]*customer.Customer{}, map[customer.RecordID]customer.CustomerID{}}
	entries, err := h.store.Pending(context.Background(), 0, 1_000_000) // nothing relays them here
	if err != nil {
		t.Fatal(err)
	}
	var ids []customer.CustomerID
	for _, e := range entries {
		ids = append(ids, e.Customer)
	}
	err = h.store.View(context.Background(), func(v customer.View) error {
		found, err := v.Customers(context.Background(), ids)
		for i, c := range found {
			out.ids[ids[i]] = c
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, c := range out.ids {
		switch {
		case c == nil:
			t.Fatalf("customer %s was published and is not known", id)
		case c.Status == customer.Active:
			for _, m := range c.Members {
				if other, twice := out.of[m.Record]; twice {
					t.Fatalf("record %s is in customers %s and %s", m.Record, other, id)
				}
				out.of[m.Record] = id
			}
		}
	}
	return out
}

// lead answers the id that another leads to.
func (r register) lead(t require, id customer.CustomerID) customer.CustomerID {
	t.Helper()
	for range len(r.ids) + 1 {
		switch c := r.ids[id]; {
		case c == nil:
			t.Fatalf("an alias leads to %s, which was never published", id)
		case c.Status != customer.Merged:
			return id
		}
		id = r.ids[id].AliasOf
	}
	t.Fatalf("aliases lead in a circle at %s", id)
	return id
}

// past is what was true until now, as the law of ids needs it.
type past struct {
	register
	stood map[customer.CustomerID]map[customer.RecordID]bool // whom an alias stood for when it was merged
	last  map[customer.RecordID]customer.CustomerID          // the customer that a record is in, or was in last
}

// people answers the records that an id stood for before and that are live still.
func (p *past) people(t require, id customer.CustomerID, now register) map[customer.RecordID]bool {
	out, lead := map[customer.RecordID]bool{}, p.lead(t, id)
	for rec, of := range p.of {
		if _, live := now.of[rec]; live && of == lead && (id == lead || p.stood[id][rec]) {
			out[rec] = true
		}
	}
	return out
}

// step checks that every id leads where the rules say, and moves on.
func (p *past) step(t require, now register) {
	t.Helper()
	stood := map[customer.CustomerID]map[customer.RecordID]bool{}
	for id, old := range p.ids {
		people := p.people(t, id, now)
		p.check(t, id, people, now)
		if now.ids[id].Status == customer.Merged {
			if stood[id] = people; old.Status == customer.Merged {
				stood[id] = p.stood[id]
			} else if len(people) == 0 { // people who came back
				for rec := range now.of {
					stood[id][rec] = p.last[rec] == id
				}
			}
		}
	}
	p.register, p.stood = now, stood
	for rec, id := range now.of {
		p.last[rec] = id
	}
}

func (p *past) check(t require, id customer.CustomerID, people map[customer.RecordID]bool, now register) {
	t.Helper()
	was, is := p.lead(t, id), now.lead(t, id)
	parts := map[customer.CustomerID]int{} // where they went
	for rec := range people {
		parts[now.of[rec]]++
	}
	switch {
	case id != was && len(people) == 0:
		if next := p.ids[id].AliasOf; now.lead(t, next) != is { // it goes where the one goes that it was merged into
			t.Fatalf("alias %s, of whose people nobody was in %s, left %s for %s", id, was, next, is)
		}
	case len(people) == 0:
		if now.ids[is].Status == customer.Active && !slices.ContainsFunc(now.ids[is].Members, func(m customer.Member) bool {
			_, lived := p.of[m.Record]
			return p.last[m.Record] == id && !lived
		}) {
			t.Fatalf("customer %s, of whom nobody was left, came to strangers: %s", id, is)
		}
	case parts[is] == 0:
		t.Fatalf("customer %s leads to %s, where none of its people are, but %v", id, is, parts)
	default:
		for other, n := range parts {
			if n <= parts[is] {
				continue
			}
			if id != was || now.ids[id].Status == customer.Merged {
				t.Fatalf("customer %s leads to %s with %d of its people, %d are in %s", id, is, parts[is], n, other)
			}
			had := 0 // a part may leave an id to a smaller one if it keeps another that as many of it had
			for rec, of := range p.of {
				had += map[bool]int{true: 1}[of == other && now.of[rec] == other]
			}
			if had < n {
				t.Fatalf("customer %s stays with %d of its people, %d are in %s", id, parts[is], n, other)
			}
		}
	}
}

// life is a random history: what sources say, and what people decide about records that are known.
type life struct {
	*house
	past
	known     map[[2]string]bool
	decisions []customer.Decision
	changes   []customer.Change
	waiting   []customer.Change // for one batch
}

// flush absorbs what waits.
func (l *life) flush(t *rapid.T) {
	if len(l.waiting) > 0 {
		l.absorb(t, l.waiting...)
		l.waiting = nil
		l.holds(t)
	}
}

// holds checks the law after a transaction.
func (l *life) holds(t *rapid.T) {
	now := l.house.register(t)
	l.past.step(t, now)
	for id := range now.ids {
		if c, err := l.Customer(context.Background(), id); err != nil || c.ID != now.lead(t, id) {
			t.Fatalf("customer %s leads to %v: %v", id, c, err)
		}
	}
}

func (l *life) draw(t *rapid.T) {
	record := rapid.Custom(func(t *rapid.T) [2]string {
		return [2]string{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "source"), fmt.Sprint(rapid.IntRange(1, 4).Draw(t, "key"))}
	})
	at := record.Draw(t, "record")
	c := customer.Change{Source: at[0], Key: at[1], Version: sequence(len(l.changes)+1, "p")}
	switch rapid.IntRange(0, 9).Draw(t, "act") {
	case 0, 1, 2, 3:
		c.Op, c.Party = customer.Upsert, rapid.SampledFrom([][]customer.Statement{luis, luis, ana, ana, zoe, nil}).Draw(t, "party")
	case 4, 5:
		c.Op = customer.Delete
	case 6:
		c.Op = customer.Erase
	case 7, 8:
		other := record.Draw(t, "other")
		if other == at || !l.known[other] || !l.known[at] {
			return
		}
		l.flush(t)
		d := customer.Decision{
			Pair: l.pair(at, other), Kind: rapid.SampledFrom([]customer.DecisionKind{customer.Same, customer.NotSame}).Draw(t, "kind"),
			ID: fmt.Sprint("d", len(l.decisions)), Author: "steward", At: l.now,
		}
		l.decisions = append(l.decisions, d)
		l.say(t, d)
		l.holds(t)
		return
	default:
		if len(l.decisions) > 0 {
			d := &l.decisions[rapid.IntRange(0, len(l.decisions)-1).Draw(t, "undo")]
			if _, err := l.Undo(context.Background(), d.ID, "steward", l.now); err != nil {
				t.Fatal(err)
			}
			d.Undone = true
			l.holds(t)
		}
		return
	}
	l.known[at] = true
	l.changes, l.waiting = append(l.changes, c), append(l.waiting, c)
	if len(l.waiting) >= rapid.IntRange(1, 4).Draw(t, "batch") {
		l.flush(t)
	}
}

func (h *house) say(t require, d customer.Decision) {
	t.Helper()
	say := h.Join
	if d.Kind == customer.NotSame {
		say = h.Split
	}
	if err := say(context.Background(), d); err != nil {
		t.Fatal(err)
	}
}

// Every id ever published leads somewhere for ever: to where most of the records went that it stood for, whatever sources and people
// say afterwards; and what was said in another order leads to the same customers.
func TestEveryIDResolvesForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{house: open(t), known: map[[2]string]bool{}, past: past{last: map[customer.RecordID]customer.CustomerID{}}}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			l.draw(t)
		}
		l.flush(t)
		other := over(memory.New(), installation(t, 1))
		for _, i := range rapid.Permutation(indices(len(l.changes))).Draw(t, "order") {
			other.absorb(t, l.changes[i])
		}
		for _, i := range rapid.Permutation(indices(len(l.decisions))).Draw(t, "order of decisions") {
			other.say(t, l.decisions[i])
		}
		if diff := cmp.Diff(l.canonical(t), other.canonical(t)); diff != "" {
			t.Fatalf("another order gives other customers:\n%s", diff)
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// A record whose delete came first was never live with anybody. It is lodged with whom it would have been, for an erasure to find it, and
// has no claim to the id when it comes back and nobody else is left.
func TestWhoNeverLivedClaimsNothing(t *testing.T) {
	h := open(t)
	h.absorb(t, upsert("b", "1", 1, luis))
	id := h.of(t, "b", "1").ID
	h.absorb(t, deletion("a", "1", 2), upsert("a", "1", 1, luis))
	h.absorb(t, deletion("b", "1", 2))
	h.absorb(t, upsert("a", "1", 3, luis))
	if got := h.of(t, "a", "1"); got == nil || got.ID == id {
		t.Errorf("it came to %+v", got)
	}
	if c, err := h.Customer(t.Context(), id); err != nil || c.Status != customer.Gone {
		t.Errorf("the id leads to %+v, %v", c, err)
	}
}
