// Package storetest is the one suite that every store passes: what customer.Store and the small interfaces beside it promise.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Store is all that a store does for the rooms of Onefold.
type Store interface {
	customer.Store
	customer.Outbox
	Claim(ctx context.Context, source, topic string, partitions []int32) ([]event.Position, error)
	Positions(ctx context.Context) ([]event.Position, error)
	DeadLetters(ctx context.Context, source, after string, limit int) ([]event.DeadLetter, error)
	DeadLetter(ctx context.Context, id string) (*event.DeadLetter, error)
	Counts(ctx context.Context) (customer.Counts, error)
	MappingRevision(ctx context.Context, source, version string) (int64, error)
	InstallationKey(ctx context.Context) ([]byte, error)
	Check(ctx context.Context) error
	Close() error
}

// Run runs the suite; open answers a fresh, empty store that the test closes.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"what is written is read, in the order asked for": testRoundTrip,
		"keys are held by live records, in order":         testHolders,
		"components are whole and distinct":               testComponents,
		"timelines are newest first":                      testTimeline,
		"positions fence and count once":                  testPositions,
		"a failed transaction leaves nothing":             testRollback,
		"a transaction applies one delta":                 testOneDelta,
		"the outbox keeps what is not published":          testOutbox,
		"dead letters keep their bytes":                   testDeadLetters,
		"revisions of mappings grow":                      testRevisions,
		"the installation key is made once":               testInstallationKey,
		"customers are walked over whole":                 testEachCustomer,
		"readers see whole commits":                       testIsolation,
		"a cancelled context is refused":                  testCancelled,
		"a forgotten interaction leaves its version":      testForgotten,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { _ = s.Close() })
			test(t, s)
			if err := s.Check(t.Context()); err != nil {
				t.Errorf("the store is not sound afterwards: %v", err)
			}
		})
	}
	t.Run("a closed store refuses", func(t *testing.T) {
		s := open(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.View(t.Context(), func(customer.View) error { return nil }); err == nil {
			t.Error("a closed store answers")
		}
	})
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

func id(n byte) customer.RecordID { return customer.RecordID{15: n} }

func version(n string) customer.Version {
	return customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: n, Scope: "s"}, Mapping: 2, Hash: 1<<63 + 7}
}

func record(n byte) *customer.Record {
	v := version("7")
	return &customer.Record{
		ID: id(n), Source: "shop", Key: "k\"ü", Born: at, Revision: 3,
		Scopes: []customer.Scope{{
			Name: "sequence:s", Head: v, Snapshot: v, Deleted: version("1"), Erased: version("0"),
			Cells: []customer.Cell{
				{Path: customer.Path{Name: "address", ID: "1"}, State: customer.Set, Value: customer.Value{Parts: map[string]string{"postalCode": "0\u00e91"}}, Version: v, At: at, Event: "e", Verified: true},
				{Path: customer.Path{Name: "givenName"}, State: customer.Cleared, Version: v, Absent: v, Unknown: v},
			},
		}},
	}
}

func master(n byte, version int64, members ...customer.Member) *customer.Customer {
	return &customer.Customer{
		ID: id(n).Birth(0), Version: version, Status: customer.Active, Members: members, CreatedAt: at, UpdatedAt: at,
		Attributes: []customer.Attribute{{
			Path: customer.Path{Name: "givenName"}, Rule: "recent",
			Claim:  customer.Claim{Value: customer.Text("Zoë"), Source: "shop", Key: "1", At: at},
			Losers: []customer.Claim{{Value: customer.Text("Zoe"), Source: "bank", Key: "2"}},
		}},
	}
}

func interaction(t *testing.T, n byte, when time.Time, records ...customer.RecordID) *customer.Interaction {
	t.Helper()
	amount, err := customer.NewAmount("90071992547409.930", "EUR")
	if err != nil {
		t.Fatal(err)
	}
	in := &customer.Interaction{
		ID: customer.InteractionID{15: n}, Key: "order:1", Type: "order", OccurredAt: when, Amount: amount, Source: "shop", Version: version("1"),
		Items: []customer.Item{{SKU: "a", Quantity: "2", Amount: amount}}, References: []customer.Reference{{Type: "orderNumber", Value: "#1"}},
	}
	for _, r := range records {
		in.Parties = append(in.Parties, customer.Party{Role: "customer", Key: "k", Record: r})
	}
	return in
}

func live(n, component byte) customer.Membership {
	return customer.Membership{Record: id(n), Component: id(component), Customer: id(component).Birth(0), Live: true}
}

func apply(t *testing.T, s Store, d customer.Delta) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) }); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s Store, fn func(customer.View) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// same compares what was read with what was written; an absent list and an empty one are the same.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	opts := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b customer.Amount) bool { return a.String() == b.String() })}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func testRoundTrip(t *testing.T, s Store) {
	in := interaction(t, 1, at, id(1))
	apply(t, s, customer.Delta{
		Records: []*customer.Record{record(1), record(2)}, Customers: []*customer.Customer{master(1, 1)},
		Interactions: []*customer.Interaction{in},
	})
	for range 2 { // the second time after a change
		view(t, s, func(v customer.View) error {
			records, err := v.Records(t.Context(), []customer.RecordID{id(9), id(2), id(1), id(2)})
			same(t, "records", []*customer.Record{nil, record(2), record(1), record(2)}, records)
			customers, err2 := v.Customers(t.Context(), []customer.CustomerID{id(1).Birth(0), id(2).Birth(0)})
			same(t, "customers", []*customer.Customer{master(1, 1), nil}, customers)
			interactions, err3 := v.Interactions(t.Context(), []customer.InteractionID{{}, in.ID})
			same(t, "interactions", []*customer.Interaction{nil, in}, interactions)
			return errors.Join(err, err2, err3)
		})
		apply(t, s, customer.Delta{Records: []*customer.Record{record(1)}})
	}
	changed := record(1)
	changed.Revision = 4
	apply(t, s, customer.Delta{Records: []*customer.Record{changed}})
	view(t, s, func(v customer.View) error {
		got, err := v.Records(t.Context(), []customer.RecordID{id(1)})
		same(t, "a changed record", []*customer.Record{changed}, got)
		empty, err2 := v.Records(t.Context(), nil)
		same(t, "nothing", []*customer.Record(nil), empty)
		return errors.Join(err, err2)
	})
}

func testHolders(t *testing.T, s Store) {
	k1, k2 := customer.Key{Type: "email", Hash: 1<<64 - 1}, customer.Key{Type: "phone", Hash: 1<<64 - 1}
	set := func(n byte, node uint64, keys ...customer.Key) customer.KeySet {
		return customer.KeySet{Record: id(n), Node: node, Keys: keys}
	}
	apply(t, s, customer.Delta{Keys: []customer.KeySet{set(3, 1<<63, k1), set(1, 5, k1, k2), set(2, 5, k1)}})
	want := func(title string, limit int, keys []customer.Key, want [][]customer.Holder) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			got, err := v.Holders(t.Context(), keys, limit)
			same(t, title, want, got)
			return err
		})
	}
	h := func(n byte, node uint64) customer.Holder { return customer.Holder{Record: id(n), Node: node} }
	want("all", 9, []customer.Key{k2, k1, {Type: "none", Hash: 1}}, [][]customer.Holder{{h(1, 5)}, {h(1, 5), h(2, 5), h(3, 1<<63)}, nil})
	want("limited", 2, []customer.Key{k1}, [][]customer.Holder{{h(1, 5), h(2, 5)}})
	apply(t, s, customer.Delta{Keys: []customer.KeySet{set(1, 6, k2), set(2, 0)}})
	want("replaced", 9, []customer.Key{k1, k2}, [][]customer.Holder{{h(3, 1<<63)}, {h(1, 6)}})
}

func testComponents(t *testing.T, s Store) {
	edge := func(a, b byte) customer.Edge {
		return customer.Edge{Pair: customer.NewPair(id(a), id(b)), Weight: -5 * customer.Bits, Threshold: 3, Levels: []uint8{0, 200}, Rule: customer.MustLink, Against: true}
	}
	same1 := customer.Decision{ID: "d1", Kind: customer.NotSame, Pair: customer.NewPair(id(1), id(2)), Author: "a", At: at}
	undone := same1
	undone.ID, undone.Undone = "d0", true
	apply(t, s, customer.Delta{
		Members: []customer.Membership{live(2, 1), live(1, 1), live(3, 1), live(4, 4)},
		Edges:   []customer.Edge{edge(1, 2), edge(2, 3)}, Decisions: []customer.Decision{same1, undone},
	})
	want := func(title string, of []byte, want ...*customer.Component) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			var ids []customer.RecordID
			for _, n := range of {
				ids = append(ids, id(n))
			}
			got, err := v.Components(t.Context(), ids)
			same(t, title, want, got)
			return err
		})
	}
	whole := &customer.Component{
		Members: []customer.Membership{live(1, 1), live(2, 1), live(3, 1)}, Edges: []customer.Edge{edge(1, 2), edge(2, 3)},
		Decisions: []customer.Decision{same1},
	}
	alone := &customer.Component{Members: []customer.Membership{live(4, 4)}}
	want("both, once each", []byte{4, 3, 9, 1}, alone, whole)
	moved := live(3, 3)
	moved.Live = false
	apply(t, s, customer.Delta{Members: []customer.Membership{moved}, DropEdges: []customer.Pair{edge(2, 3).Pair}})
	want("after a record left", []byte{3, 2}, &customer.Component{Members: []customer.Membership{moved}}, &customer.Component{
		Members: []customer.Membership{live(1, 1), live(2, 1)}, Edges: []customer.Edge{edge(1, 2)}, Decisions: []customer.Decision{same1},
	})
	undo := same1
	undo.Undone = true
	apply(t, s, customer.Delta{Decisions: []customer.Decision{undo}})
	want("after an undo", []byte{1}, &customer.Component{
		Members: []customer.Membership{live(1, 1), live(2, 1)}, Edges: []customer.Edge{edge(1, 2)},
	})
}

func testTimeline(t *testing.T, s Store) {
	old, mid, both := interaction(t, 1, at, id(1)), interaction(t, 2, at.Add(time.Hour), id(1)), interaction(t, 3, at.Add(time.Minute), id(1), id(2))
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{old, mid, both}})
	want := func(title string, of []customer.RecordID, limit int, want ...*customer.Interaction) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			got, err := v.Timeline(t.Context(), of, limit)
			same(t, title, want, got)
			return err
		})
	}
	want("of two", []customer.RecordID{id(1), id(2)}, 9, mid, both, old)
	want("limited", []customer.RecordID{id(1)}, 2, mid, both)
	moved := interaction(t, 3, at.Add(-time.Hour), id(1))
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{moved}})
	want("moved", []customer.RecordID{id(1)}, 9, mid, old, moved)
	want("left", []customer.RecordID{id(2)}, 9)
}

func testForgotten(t *testing.T, s Store) {
	in := interaction(t, 1, at, id(1))
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{in}})
	left := &customer.Interaction{ID: in.ID, Version: in.Version}
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{left}})
	view(t, s, func(v customer.View) error {
		line, err := v.Timeline(t.Context(), []customer.RecordID{id(1)}, 9)
		same(t, "the timeline", []*customer.Interaction(nil), line)
		got, err2 := v.Interactions(t.Context(), []customer.InteractionID{in.ID})
		same(t, "what is left", []*customer.Interaction{left}, got)
		return errors.Join(err, err2)
	})
	if c, err := s.Counts(t.Context()); err != nil || c.Interactions != 0 {
		t.Errorf("a forgotten interaction counts: %+v, %v", c, err)
	}
}

func testPositions(t *testing.T, s Store) {
	ctx := t.Context()
	first, err := s.Claim(ctx, "shop", "t", []int32{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	want := event.Position{Partition: event.Partition{Source: "shop", Topic: "t", Partition: 1}, Next: -1, Epoch: -1, Owner: 1}
	same(t, "a first claim", want, first[1])
	moved := want
	moved.Next, moved.Epoch, moved.TopicID = 10, 4, "ab"
	advance := func(a event.Advance) error {
		return s.Update(ctx, func(tx customer.Tx) error {
			if err := tx.Advance(ctx, []event.Advance{a}); err != nil {
				return err
			}
			return tx.Apply(ctx, &customer.Delta{Records: []*customer.Record{record(byte(a.Next))}})
		})
	}
	if err := advance(event.Advance{Position: moved, Expect: -1}); err != nil {
		t.Fatal(err)
	}
	again := moved
	again.Next = 20
	if err := advance(event.Advance{Position: again, Expect: -1}); !errors.Is(err, event.ErrAlready) {
		t.Errorf("a second effect of the same messages: %v", err)
	}
	second, err := s.Claim(ctx, "shop", "t", []int32{1})
	if err != nil {
		t.Fatal(err)
	}
	claimed := moved
	claimed.Owner = 2
	same(t, "a second claim", claimed, second[0])
	if err := advance(event.Advance{Position: again, Expect: 10}); !errors.Is(err, event.ErrFenced) {
		t.Errorf("a zombie moves the position: %v", err)
	}
	positions, err := s.Positions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "positions", []event.Position{first[0], claimed}, positions)
	view(t, s, func(v customer.View) error {
		got, err := v.Records(ctx, []customer.RecordID{id(10), id(20)})
		same(t, "effects", []*customer.Record{record(10), nil}, got)
		return err
	})
}

func testRollback(t *testing.T, s Store) {
	broken := errors.New("broken")
	pos, err := s.Claim(t.Context(), "shop", "t", []int32{0})
	if err != nil {
		t.Fatal(err)
	}
	to := pos[0]
	to.Next = 5
	err = s.Update(t.Context(), func(tx customer.Tx) error {
		if err := tx.Advance(t.Context(), []event.Advance{{Position: to, Expect: -1}}); err != nil {
			return err
		}
		if err := tx.Apply(t.Context(), &customer.Delta{
			Records: []*customer.Record{record(1)}, Customers: []*customer.Customer{master(1, 1)}, Members: []customer.Membership{live(1, 1)},
			Dead: []event.DeadLetter{{ID: "d"}},
		}); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("the error of the transaction is lost: %v", err)
	}
	counts, err := s.Counts(t.Context())
	same(t, "counts", customer.Counts{}, counts)
	after, err2 := s.Positions(t.Context())
	same(t, "positions", pos, after)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

func testOneDelta(t *testing.T, s Store) {
	err := s.Update(t.Context(), func(tx customer.Tx) error {
		if err := tx.Apply(t.Context(), &customer.Delta{}); err != nil {
			t.Fatal(err)
		}
		return tx.Apply(t.Context(), &customer.Delta{})
	})
	if err == nil {
		t.Error("a second delta is taken")
	}
}

func testOutbox(t *testing.T, s Store) {
	merged := master(2, 3)
	merged.Status, merged.AliasOf, merged.Attributes = customer.Merged, id(1).Birth(0), nil
	gone := &customer.Customer{ID: id(3).Birth(0), Version: 9, Status: customer.Gone, CreatedAt: at, UpdatedAt: at}
	apply(t, s, customer.Delta{Customers: []*customer.Customer{master(1, 1), merged}})
	apply(t, s, customer.Delta{Customers: []*customer.Customer{gone, master(1, 2)}})
	all, err := s.Pending(t.Context(), 0, 100)
	if err != nil || len(all) != 4 {
		t.Fatalf("%d entries wait: %v", len(all), err)
	}
	for i, c := range []*customer.Customer{master(1, 1), merged, gone, master(1, 2)} {
		value, err := c.Published()
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && all[i].Seq <= all[i-1].Seq {
			t.Errorf("entry %d does not follow entry %d", i, i-1)
		}
		same(t, "an entry", customer.OutboxEntry{Seq: all[i].Seq, ID: c.PublishedID(), Customer: c.ID, Version: c.Version, Value: value}, all[i])
		if (value == nil) != (all[i].Value == nil) {
			t.Errorf("entry %d is not the tombstone it should be, or is one", i)
		}
	}
	if err := s.Published(t.Context(), all[1].Seq); err != nil {
		t.Fatal(err)
	}
	rest, err := s.Pending(t.Context(), 0, 1)
	same(t, "what still waits, limited", all[2:3], rest)
	behind, err2 := s.Pending(t.Context(), all[2].Seq, 100)
	same(t, "what waits behind", all[3:], behind)
	counts, err3 := s.Counts(t.Context())
	same(t, "counts", customer.Counts{Customers: 1, Merges: 1, Outbox: 2}, counts)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	apply(t, s, customer.Delta{Customers: []*customer.Customer{master(4, 1)}})
	if last, err := s.Pending(t.Context(), all[3].Seq, 9); err != nil || len(last) != 1 {
		t.Errorf("a sequence number was used twice: %+v, %v", last, err)
	}
}

func testDeadLetters(t *testing.T, s Store) {
	letter := func(id, source string, n int) event.DeadLetter {
		return event.DeadLetter{
			ID: id, Source: source, Topic: "t", TopicID: "x", Partition: 1, Offset: 1<<53 + 1, Part: "Ntry[1]", Time: at, Class: event.Poison, Reason: "decode",
			Path: "a.b", Message: "m", Mapping: "shopify@1", Attempts: n, At: at.Add(time.Duration(n) * time.Second),
			Key: []byte{}, Value: []byte{0, 255}, Headers: []event.Header{{Key: "h", Value: []byte{0xff}}, {Key: "h"}},
		}
	}
	null := letter("b", "shop", 2)
	null.Key, null.Value = nil, nil
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{letter("a", "shop", 1), null, letter("c", "bank", 3)}})
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{letter("a", "shop", 1)}})
	all, err := s.DeadLetters(t.Context(), "", "", 10)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d dead letters: %v", len(all), err)
	}
	same(t, "newest first", []event.DeadLetter{letter("c", "bank", 3), null, letter("a", "shop", 1)}, all)
	if all[1].Value != nil || all[1].Key != nil || all[2].Key == nil {
		t.Error("null and empty became the same")
	}
	page, err := s.DeadLetters(t.Context(), "shop", "b", 1)
	same(t, "the next of one source", []event.DeadLetter{letter("a", "shop", 1)}, page)
	one, err2 := s.DeadLetter(t.Context(), "a")
	same(t, "one", letter("a", "shop", 1), *one)
	if _, err := s.DeadLetter(t.Context(), "z"); !errors.Is(err, customer.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

func testRevisions(t *testing.T, s Store) {
	for _, c := range []struct {
		source, version string
		want            int64
	}{{"shop", "a", 1}, {"shop", "b", 2}, {"bank", "b", 1}, {"shop", "a", 1}, {"shop", "c", 3}} {
		if got, err := s.MappingRevision(t.Context(), c.source, c.version); err != nil || got != c.want {
			t.Errorf("%s %s: revision %d, %v; want %d", c.source, c.version, got, err, c.want)
		}
	}
}

func testInstallationKey(t *testing.T, s Store) {
	a, err := s.InstallationKey(t.Context())
	b, err2 := s.InstallationKey(t.Context())
	if err != nil || err2 != nil || len(a) != 32 || !bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 32)) {
		t.Errorf("keys %x and %x: %v, %v", a, b, err, err2)
	}
}

func testEachCustomer(t *testing.T, s Store) {
	member := func(n byte) customer.Member { return customer.Member{Record: id(n), Source: "shop", Key: "k"} }
	dead := live(3, 1)
	dead.Live = false
	gone := master(4, 2)
	gone.Status = customer.Gone
	in := interaction(t, 1, at, id(1), id(2))
	apply(t, s, customer.Delta{
		Records: []*customer.Record{record(1), record(2), record(3)}, Members: []customer.Membership{live(1, 1), live(2, 1), dead},
		Customers: []*customer.Customer{master(1, 1, member(1), member(2)), gone}, Interactions: []*customer.Interaction{in},
	})
	seen := 0
	err := s.EachCustomer(t.Context(), func(c *customer.Customer, records []*customer.Record, line []*customer.Interaction) error {
		seen++
		same(t, "the customer", master(1, 1, member(1), member(2)), c)
		same(t, "its live records", []*customer.Record{record(1), record(2)}, records)
		same(t, "their interactions", []*customer.Interaction{in}, line)
		return nil
	})
	if err != nil || seen != 1 {
		t.Errorf("%d customers: %v", seen, err)
	}
	broken := errors.New("enough")
	if err := s.EachCustomer(t.Context(), func(*customer.Customer, []*customer.Record, []*customer.Interaction) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the error of the walker is lost: %v", err)
	}
}

// testIsolation reads pairs of records while a writer changes both of each together.
func testIsolation(t *testing.T, s Store) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	write := func(n int64) error {
		a, b := record(1), record(2)
		a.Revision, b.Revision = n, n
		return s.Update(t.Context(), func(tx customer.Tx) error {
			return tx.Apply(t.Context(), &customer.Delta{Records: []*customer.Record{a, b}})
		})
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for n := int64(1); n <= int64(rounds); n++ {
			if err := write(n); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for last := int64(0); last < int64(rounds); {
		view(t, s, func(v customer.View) error {
			a, err := v.Records(t.Context(), []customer.RecordID{id(1)})
			if err != nil {
				return err
			}
			b, err := v.Records(t.Context(), []customer.RecordID{id(2)})
			if err != nil {
				return err
			}
			if a[0].Revision != b[0].Revision || a[0].Revision < last {
				t.Fatalf("a reader saw revisions %d and %d after %d", a[0].Revision, b[0].Revision, last)
			}
			last = a[0].Revision
			return nil
		})
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			done <- nil
		default:
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func testCancelled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Update(ctx, func(tx customer.Tx) error {
		return tx.Apply(ctx, &customer.Delta{Records: []*customer.Record{record(1)}})
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled update: %v", err)
	}
	view(t, s, func(v customer.View) error {
		got, err := v.Records(t.Context(), []customer.RecordID{id(1)})
		if slices.ContainsFunc(got, func(r *customer.Record) bool { return r != nil }) {
			t.Error("a cancelled update left something")
		}
		return err
	})
}
