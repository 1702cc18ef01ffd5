package writeback_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/customer/merge"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/writeback"
	"github.com/onefold/onefold/store/memory"
)

// loop is a registry with a crm that is written to and that tells of changes.
type loop struct {
	t      *testing.T
	store  *memory.Store
	crm    *crm
	sync   *writeback.Sync
	absorb writeback.Absorber
	offset int64
	ids    customer.IDs
	stop   func()
}

func newLoop(t *testing.T) *loop {
	t.Helper()
	ids, err := customer.NewIDs([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{t: t, store: memory.New(), crm: newCRM(), ids: ids}
	c := config()
	c.Source = "crm-events"
	l.sync = writeback.New(c, l.crm, l.store, nil, nil)
	registry := customer.NewRegistry(l.store, match.New(), merge.New(merge.Policy{}), ids)
	l.absorb = writeback.NewEchoes(registry, l.store, ids, []*writeback.Sync{l.sync})
	l.stop = run(t, l.sync)
	return l
}

// tell lets a source say something, and answers what became of it.
func (l *loop) tell(source string, c customer.Change) event.Part {
	l.t.Helper()
	l.offset++
	m := &event.Message{Source: source, Topic: source, Offset: l.offset, Time: time.Now().UTC()}
	sealed, refused := customer.Seal([]customer.Change{c}, m, 1)
	if len(refused) > 0 {
		l.t.Fatal(refused[0].Err)
	}
	out, err := l.absorb.Absorb(l.t.Context(), customer.Batch{Now: time.Now().UTC(), Messages: []customer.Mapped{{Message: m, Changes: sealed, Attempts: 1}}})
	if err != nil {
		l.t.Fatal(err)
	}
	l.sync.Wake()
	return out.Results[0].Parts[0]
}

func set(name, text string) customer.Statement {
	return customer.Statement{Path: customer.Path{Name: name}, State: customer.Set, Value: customer.Text(text)}
}

func email(text string) customer.Statement {
	return customer.Statement{Path: customer.Path{Name: "email", ID: "1"}, State: customer.Set, Value: customer.Text(text)}
}

func cleared(name string) customer.Statement {
	return customer.Statement{Path: customer.Path{Name: name}, State: customer.Cleared}
}

func ours(id string) customer.Statement {
	return customer.Statement{
		Path: customer.Path{Name: customer.FieldIdentifier, ID: "onefold"}, State: customer.Set,
		Value: customer.Value{Parts: map[string]string{"type": "externalId", "value": id, "strength": "S4"}},
	}
}

// shop lets the shop say who customer n is.
func (l *loop) shop(n int, name string) {
	l.t.Helper()
	l.tell("shop", customer.Change{
		Key: strconv.Itoa(n), Op: customer.Upsert, At: time.Now(), Version: customer.Version{Source: customer.TimeVersion(time.Now(), "shop")},
		Party: []customer.Statement{set("fullName", name), email(fmt.Sprintf("%d@example.org", n))},
	})
}

// webhook is what the crm tells of an entry as it is, or as somebody has changed it.
func (l *loop) webhook(remote, external string, version int, op customer.Op, party ...customer.Statement) event.Part {
	l.t.Helper()
	v, err := customer.SequenceVersion(strconv.Itoa(version), "contact")
	if err != nil {
		l.t.Fatal(err)
	}
	if external != "" {
		party = append(party, ours(external))
	}
	return l.tell("crm-events", customer.Change{Key: remote, Op: op, At: time.Now(), Version: customer.Version{Source: v}, Party: party})
}

// the answers the one entry that the crm holds.
func (l *loop) the() entry {
	l.t.Helper()
	l.crm.mu.Lock()
	defer l.crm.mu.Unlock()
	if len(l.crm.entries) != 1 {
		l.t.Fatalf("the crm holds %d entries", len(l.crm.entries))
	}
	for _, e := range l.crm.entries {
		return *e
	}
	return entry{}
}

func (l *loop) customers() (out []*customer.Customer) {
	l.t.Helper()
	err := l.store.EachCustomer(l.t.Context(), func(c *customer.Customer, _ []*customer.Record, _ []*customer.Interaction) error {
		out = append(out, c)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func isEcho(t *testing.T, what string, p event.Part) {
	t.Helper()
	if p.Outcome != event.Ignored || p.Reason != "echo" {
		t.Errorf("%s is %s %s, want ignored as an echo", what, p.Outcome, p.Reason)
	}
}

func isNews(t *testing.T, what string, p event.Part) {
	t.Helper()
	if p.Outcome != event.Applied {
		t.Errorf("%s is %s %s, want applied", what, p.Outcome, p.Reason)
	}
}

// What was written comes back and is no news, whole or as a patch, in the target's spelling, with or without our id, before the answer or
// late; an edit is, by the version of the entry also one back to what it was before.
func TestEchoesAndEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.shop(1, "Ann Lee")
		time.Sleep(time.Second)
		e := l.the()
		same := []customer.Statement{set("fullName", "Ann  Lee"), email("1@EXAMPLE.org")}
		for _, op := range []customer.Op{customer.Upsert, customer.Patch} {
			isEcho(t, "a new entry by "+string(op), l.webhook(e.remote, e.external, e.version, op, same...))
			isEcho(t, "one without our id by "+string(op), l.webhook(e.remote, "", e.version, op, same...))
			isEcho(t, "an empty field by "+string(op), l.webhook(e.remote, e.external, e.version, op, append(same, cleared("jobTitle"))...))
		}
		before := len(l.crm.said())
		time.Sleep(time.Hour)
		if n := len(l.crm.said()); n != before {
			t.Fatalf("echoes cost %d pushes", n-before)
		}
		// Somebody edits the name: it is the newest word, it wins, and it stands in the crm.
		isNews(t, "an edit", l.webhook(e.remote, e.external, e.version+1, customer.Patch, set("fullName", "Anna Lee"), email("1@example.org")))
		time.Sleep(time.Minute)
		if got := l.the().body; got != `{"name":"Anna Lee","email":"1@example.org"}` {
			t.Errorf("after an edit the crm holds %s", got)
		}
		if all := l.customers(); len(all) != 1 || all[0].ID.String() != e.external {
			t.Fatalf("the edit made %d customers", len(all))
		}
		e2 := l.the()
		isEcho(t, "the late echo of the first write", l.webhook(e.remote, e.external, e.version, customer.Patch, same...))
		isEcho(t, "the echo of the second", l.webhook(e.remote, e.external, e2.version, customer.Patch, set("fullName", "Anna Lee")))
		isNews(t, "an edit back to what it was", l.webhook(e.remote, e.external, e2.version+1, customer.Patch, set("fullName", "Ann Lee")))
		time.Sleep(time.Minute)
		if got := l.the().body; got != `{"name":"Ann Lee","email":"1@example.org"}` {
			t.Errorf("after the edit back the crm holds %s", got)
		}
		l.crm.blame(t)
	})
}

// A whole statement of which one field is an edit does not take away what the entry has said before.
func TestEchoLeavesWhatWasSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.shop(1, "Ann")
		time.Sleep(time.Second)
		e := l.the()
		isNews(t, "an edit of the name", l.webhook(e.remote, e.external, e.version+1, customer.Upsert, set("fullName", "Anna"), email("1@example.org")))
		time.Sleep(time.Minute)
		v := l.the().version
		isNews(t, "an edit of the title", l.webhook(e.remote, e.external, v+1, customer.Upsert,
			set("fullName", "Anna"), email("1@example.org"), set("jobTitle", "clerk")))
		time.Sleep(time.Minute)
		c := l.customers()[0]
		if c.Text("fullName") != "Anna" || c.Text("jobTitle") != "clerk" {
			t.Errorf("the customer is %q, %q", c.Text("fullName"), c.Text("jobTitle"))
		}
	})
}

// A late echo of an address of which the last write has kept a part is still an echo.
func TestLateEchoOfParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		at := func(road string) customer.Statement {
			return customer.Statement{
				Path: customer.Path{Name: "address"}, State: customer.Set,
				Value: customer.Value{Parts: map[string]string{"streetAddress": road, "addressLocality": "Biel"}},
			}
		}
		lives := func(road string) {
			l.tell("shop", customer.Change{
				Key: "1", Op: customer.Upsert, At: time.Now(), Version: customer.Version{Source: customer.TimeVersion(time.Now(), "shop")},
				Party: []customer.Statement{set("fullName", "Ann"), email("1@example.org"), at(road)},
			})
			time.Sleep(time.Second)
		}
		lives("Seeweg 4")
		first := l.the()
		lives("Bahnhofplatz 1")
		isEcho(t, "a late echo of the first write", l.webhook(first.remote, first.external, first.version, customer.Patch,
			set("fullName", "Ann"), email("1@example.org"), at("Seeweg 4")))
	})
}

// An edit that loses is written over: the crm and the master are the same in the end. Two who write against each other do so ever more
// seldom.
func TestLosingEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.shop(1, "Ann")
		time.Sleep(time.Hour)
		l.shop(1, "Anne")
		time.Sleep(time.Second)
		e := l.the()
		old := func(version int, at time.Time) {
			v, _ := customer.SequenceVersion(strconv.Itoa(version), "contact")
			l.tell("crm-events", customer.Change{
				Key: e.remote, Op: customer.Patch, At: at, Version: customer.Version{Source: v}, Party: []customer.Statement{set("fullName", "WRONG"), ours(e.external)},
			})
		}
		begin := time.Now()
		pushed := len(l.crm.said())
		for range 500 { // a workflow of the crm, whose clock is late, sets it whenever it is written
			l.crm.mu.Lock()
			now := l.crm.entries[e.remote]
			if now.body != "WRONG" {
				now.body = "WRONG"
				l.crm.clock++
				now.version = l.crm.clock
				version := now.version
				l.crm.mu.Unlock()
				old(version, begin.Add(-24*time.Hour))
			} else {
				l.crm.mu.Unlock()
			}
			time.Sleep(10 * time.Second)
		}
		if n := len(l.crm.said()) - pushed; n < 3 || n > 30 {
			t.Errorf("%d pushes in %s against somebody who writes against them", n, time.Since(begin))
		}
		time.Sleep(time.Hour) // it gives in
		if got := l.the().body; got != `{"name":"Anne","email":"1@example.org"}` {
			t.Errorf("in the end the crm holds %s", got)
		}
	})
}

// What is told of an entry that we have removed brings nobody back, and its deletion is no news; an entry that somebody deletes by hand
// comes back as long as there is a customer.
func TestEchoesOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.shop(1, "Ann")
		time.Sleep(time.Second)
		e := l.the()
		isNews(t, "a deletion by hand", func() event.Part {
			l.crm.mu.Lock()
			delete(l.crm.entries, e.remote)
			l.crm.mu.Unlock()
			isNews(t, "an edit before", l.webhook(e.remote, e.external, e.version+1, customer.Patch, set("jobTitle", "clerk")))
			return l.webhook(e.remote, "", e.version+2, customer.Delete)
		}())
		time.Sleep(time.Minute)
		e = l.the()
		var id customer.CustomerID
		if err := id.UnmarshalText([]byte(e.external)); err != nil {
			t.Fatal(err)
		}
		registry := customer.NewRegistry(l.store, match.New(), merge.New(merge.Policy{}), l.ids)
		if err := registry.Forget(t.Context(), id, time.Now()); err != nil {
			t.Fatal(err)
		}
		isEcho(t, "what was said before the erasure", l.webhook(e.remote, e.external, e.version, customer.Upsert, set("fullName", "Ann"), email("1@example.org")))
		l.sync.Wake()
		time.Sleep(time.Minute)
		if len(l.crm.holds()) != 0 {
			t.Fatal("an erased customer is still there")
		}
		isEcho(t, "what is told late", l.webhook(e.remote, e.external, e.version+1, customer.Upsert, set("fullName", "Ann"), email("1@example.org")))
		time.Sleep(time.Minute)
		if all := l.customers(); len(all) != 0 || len(l.crm.holds()) != 0 {
			t.Errorf("an echo brought somebody back: %d customers, %q", len(all), l.crm.holds())
		}
	})
}

// The entry of a customer that was merged is removed by us. That the target tells so before it has answered is no deletion by somebody: not
// of what people wrote into it, and not of the survivor's entry.
func TestEchoOfARemovalBeforeItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.shop(1, "Ann")
		l.shop(2, "Bob")
		time.Sleep(time.Second)
		remotes := map[string]*entry{}
		l.crm.mu.Lock()
		for _, e := range l.crm.entries {
			there := *e
			remotes[there.external] = &there
		}
		l.crm.mu.Unlock()
		for _, e := range remotes {
			isNews(t, "an edit", l.webhook(e.remote, e.external, e.version+1, customer.Patch, set("jobTitle", "clerk")))
		}
		time.Sleep(time.Minute)
		var told []event.Part
		l.crm.mu.Lock()
		before := len(l.crm.pushed)
		l.crm.after = func(int) error {
			for external, e := range remotes {
				l.crm.mu.Lock()
				gone := l.crm.entries[e.remote] == nil
				l.crm.mu.Unlock()
				if gone {
					delete(remotes, external)
					part := l.webhook(e.remote, "", e.version+10, customer.Delete)
					l.crm.locked(func() { told = append(told, part) })
				}
			}
			return nil
		}
		l.crm.mu.Unlock()
		registry := customer.NewRegistry(l.store, match.New(), merge.New(merge.Policy{}), l.ids)
		of := customer.NewPair(l.ids.Record("shop", "1"), l.ids.Record("shop", "2"))
		if err := registry.Join(t.Context(), customer.Decision{Pair: of, Author: "kim", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		l.sync.Wake()
		time.Sleep(time.Minute)
		var parts []event.Part
		l.crm.locked(func() { parts = told })
		if len(parts) != 1 {
			t.Fatalf("%d entries were removed", len(parts))
		}
		isEcho(t, "our own removal", parts[0])
		if n := len(l.customers()[0].Members); n != 4 {
			t.Errorf("of two customers and what was written into both entries %d records are left", n)
		}
		if pushed := l.crm.said()[before:]; len(pushed) != 2 {
			t.Errorf("the survivor is written once and the other removed, not %q", pushed)
		}
		l.crm.blame(t)
	})
}

// Of customers that were merged into one that is erased no receipt tells more than that the target holds nothing.
func TestErasureReachesReceiptsOfTheMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.shop(1, "Ann")
		l.shop(2, "Bob")
		time.Sleep(time.Minute)
		var ids []customer.CustomerID
		for _, c := range l.customers() {
			ids = append(ids, c.ID)
		}
		registry := customer.NewRegistry(l.store, match.New(), merge.New(merge.Policy{}), l.ids)
		of := customer.NewPair(l.ids.Record("shop", "1"), l.ids.Record("shop", "2"))
		if err := registry.Join(t.Context(), customer.Decision{Pair: of, Author: "kim", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		l.sync.Wake()
		time.Sleep(time.Minute)
		l.the()
		if err := registry.Forget(t.Context(), l.customers()[0].ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		l.sync.Wake()
		time.Sleep(time.Minute)
		all, err := l.store.Receipts(t.Context(), "crm", ids)
		if err != nil || len(all) != 2 {
			t.Fatal(len(all), err)
		}
		for _, r := range all {
			bare := event.Receipt{Target: r.Target, Customer: r.Customer, Version: r.Version, State: event.Removed, At: r.At}
			want(t, "what is left", bare, *r)
		}
	})
}

// A contact that a user of the crm makes is news, becomes a customer, and is not made a second time.
func TestAdoptsTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.crm.locked(func() { l.crm.entries["77"] = &entry{remote: "77", version: 1, body: "theirs"} })
		isNews(t, "a new contact", l.webhook("77", "", 1, customer.Upsert, set("fullName", "Zoe"), email("z@example.org")))
		time.Sleep(time.Minute)
		e := l.the()
		if e.remote != "77" || e.external == "" || e.body != `{"name":"Zoe","email":"z@example.org"}` {
			t.Errorf("the crm holds %+v", e)
		}
		isEcho(t, "its echo", l.webhook("77", e.external, e.version, customer.Upsert, set("fullName", "Zoe"), email("z@example.org")))
		if all := l.customers(); len(all) != 1 || all[0].Text("fullName") != "Zoe" {
			t.Errorf("%d customers", len(all))
		}
		l.crm.blame(t)
	})
}

// With a target that tells no version, an echo may come at any time: what was ever written is one.
func TestEchoesWithoutVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.crm.locked(func() { l.crm.silent = true })
		l.shop(1, "A")
		time.Sleep(time.Second)
		e := l.the()
		l.shop(1, "B")
		time.Sleep(time.Second)
		for n := range 20 { // both echoes, again and again, in the wrong order
			isEcho(t, "the second write", l.webhook(e.remote, e.external, 100+2*n, customer.Patch, set("fullName", "B")))
			isEcho(t, "the first write", l.webhook(e.remote, e.external, 101+2*n, customer.Patch, set("fullName", "A")))
			time.Sleep(time.Minute)
		}
		if n := len(l.crm.said()); n > 4 {
			t.Errorf("%d pushes for two changes", n)
		}
		if got := l.the().body; got != `{"name":"B","email":"1@example.org"}` {
			t.Errorf("the crm holds %s", got)
		}
		isNews(t, "an edit", l.webhook(e.remote, e.external, 500, customer.Patch, set("fullName", "C")))
		time.Sleep(time.Minute)
		if got := l.the().body; got != `{"name":"C","email":"1@example.org"}` {
			t.Errorf("after an edit the crm holds %s", got)
		}
	})
}

// The absorber behind is asked for everything else as it was.
func TestEchoesLeaveOthersAlone(t *testing.T) {
	var seen []customer.Batch
	next := absorber(func(b customer.Batch) (*customer.Absorbed, error) {
		seen = append(seen, b)
		return &customer.Absorbed{}, nil
	})
	store := memory.New()
	e := writeback.NewEchoes(next, store, customer.IDs{}, []*writeback.Sync{writeback.New(config(), newCRM(), store, nil, nil)})
	b := customer.Batch{Messages: []customer.Mapped{{Message: &event.Message{Source: "shop"}, Changes: []customer.Change{{Key: "1"}}}}}
	if _, err := e.Absorb(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want(t, "the batch", []customer.Batch{b}, seen)
}

type absorber func(customer.Batch) (*customer.Absorbed, error)

func (a absorber) Absorb(_ context.Context, b customer.Batch) (*customer.Absorbed, error) {
	return a(b)
}

// A change that still carries the id of a customer who was merged is compared with what its survivor was given.
func TestEchoOfAMergedCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		apply(t, l.store, person(1, 1, "Ann"))
		time.Sleep(time.Second)
		apply(t, l.store, become(1, 2, customer.Merged, 2), person(2, 1, "Anna"))
		time.Sleep(time.Minute)
		e := l.the()
		if e.external != cus(2).String() {
			t.Fatalf("the entry is %s's", e.external)
		}
		isEcho(t, "the survivor's value under the old id", l.webhook(e.remote, cus(1).String(), e.version, customer.Patch, set("fullName", "Anna")))
		isEcho(t, "the merged one's, late", l.webhook(e.remote, cus(1).String(), 1, customer.Patch, set("fullName", "Ann")))
		before := len(l.crm.said())
		time.Sleep(time.Hour)
		if n := len(l.crm.said()); n != before {
			t.Errorf("echoes cost %d pushes", n-before)
		}
	})
}

// A target's ids and versions are kept up to a length.
func TestLongRemoteIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t)
		defer l.stop()
		l.crm.locked(func() { l.crm.long = true })
		apply(t, l.store, person(1, 1, "Ann"))
		time.Sleep(time.Second)
		if r := receipt(t, l.store, 1); r.State != event.Held || r.RemoteID != "" || r.RemoteVersion != "" {
			t.Errorf("a receipt keeps an id of %d bytes and a version of %d", len(r.RemoteID), len(r.RemoteVersion))
		}
	})
}
