package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

func testClosed(t *testing.T, s Store) {
	ctx := t.Context()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	for name, ask := range map[string]func() error{
		"View":            func() error { return s.View(ctx, func(customer.View) error { return nil }) },
		"Update":          func() error { return s.Update(ctx, func(customer.Tx) error { return nil }) },
		"Claim":           func() error { _, err := s.Claim(ctx, "a", "b", []int32{0}); return err },
		"Positions":       func() error { _, err := s.Positions(ctx); return err },
		"Pending":         func() error { _, err := s.Pending(ctx, 0, 1); return err },
		"Published":       func() error { return s.Published(ctx, 1) },
		"DeadLetters":     func() error { _, err := s.DeadLetters(ctx, event.LetterQuery{Limit: 1}); return err },
		"DropDeadLetters": func() error { _, err := s.DropDeadLetters(ctx, at, 1); return err },
		"Counts":          func() error { _, err := s.Counts(ctx); return err },
		"MappingRevision": func() error { _, err := s.MappingRevision(ctx, "a", "b"); return err },
		"InstallationKey": func() error { _, err := s.InstallationKey(ctx); return err },
		"Model":           func() error { _, err := s.Model(ctx); return err },
		"KeepModel":       func() error { return s.KeepModel(ctx, []byte("a")) },
		"Check":           func() error { return s.Check(ctx) },
		"EachCustomer": func() error {
			return s.EachCustomer(ctx, func(*customer.Customer, []*customer.Record, []*customer.Interaction) error { return nil })
		},
	} {
		if ask() == nil {
			t.Errorf("%s of a closed store answers", name)
		}
	}
}

func testConflict(t *testing.T, s Store) {
	calls := 0
	err := s.Update(t.Context(), func(tx customer.Tx) error {
		if calls++; calls < 3 {
			if err := tx.Apply(t.Context(), &customer.Delta{Records: []*customer.Record{record(byte(calls))}}); err != nil {
				return err
			}
			return customer.ErrConflict
		}
		return tx.Apply(t.Context(), &customer.Delta{Records: []*customer.Record{record(3)}})
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls: %v", calls, err)
	}
	view(t, s, func(v customer.View) error {
		got, err := v.Records(t.Context(), []customer.RecordID{id(1), id(2), id(3)})
		same(t, "effects of the last try alone", []*customer.Record{nil, nil, record(3)}, got)
		return err
	})
	calls = 0
	err = s.Update(t.Context(), func(customer.Tx) error { calls++; return customer.ErrConflict })
	if !errors.Is(err, customer.ErrConflict) || calls < 2 || calls > 100 {
		t.Errorf("a conflict without end: %d calls, %v", calls, err)
	}
}

func testPanic(t *testing.T, s Store) {
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is swallowed")
			}
		}()
		_ = s.Update(t.Context(), func(tx customer.Tx) error {
			if err := tx.Apply(t.Context(), &customer.Delta{Records: []*customer.Record{record(1)}}); err != nil {
				return err
			}
			panic("on purpose")
		})
	}()
	apply(t, s, customer.Delta{Records: []*customer.Record{record(2)}})
	view(t, s, func(v customer.View) error {
		got, err := v.Records(t.Context(), []customer.RecordID{id(1), id(2)})
		same(t, "records", []*customer.Record{nil, record(2)}, got)
		return err
	})
}

// testMany writes more rows than any statement takes at once, and changes the keys of some.
func testMany(t *testing.T, s Store) {
	n := 1_234
	if testing.Short() {
		n = 234
	}
	apply(t, s, newcomers(0, n))
	d := customer.Delta{}
	for i := 0; i < n; i += 3 { // one key goes, one comes, the others stay
		keys := append(benchKeys(i)[:keysOf-1], customer.Key{Type: "new", Hash: uint64(i)}) //nolint:gosec // not negative
		d.Keys = append(d.Keys, customer.KeySet{Node: benchNode(i), Keys: keys})
	}
	apply(t, s, d)
	view(t, s, func(v customer.View) error {
		var ids []customer.RecordID
		var keys []customer.Key
		for i := range n {
			ids = append(ids, benchID(i))
			keys = append(keys, benchKeys(i)[1], benchKeys(i)[keysOf-1], customer.Key{Type: "new", Hash: uint64(i)}) //nolint:gosec // not negative
		}
		records, err := v.Records(t.Context(), ids)
		if err != nil {
			return err
		}
		holders, err := v.Holders(t.Context(), keys, 2)
		if err != nil {
			return err
		}
		comps, err := v.Components(t.Context(), ids)
		if err != nil || len(comps) != n {
			t.Fatalf("%d components: %v", len(comps), err)
		}
		for i := range n {
			me := []customer.Holder{{Record: benchID(i), Node: benchNode(i)}}
			want := [][]customer.Holder{me, me, nil}
			if i%3 == 0 {
				want = [][]customer.Holder{me, nil, me}
			}
			same(t, "a record", benchRecord(i), records[i])
			same(t, "its holders", want, holders[3*i:3*i+3])
			if t.Failed() {
				t.FailNow()
			}
		}
		return nil
	})
}

// testComponentsMove lets two components become one and two others again.
func testComponentsMove(t *testing.T, s Store) {
	edge := func(a, b byte) customer.Edge {
		return customer.Edge{NodePair: customer.NewNodePair(node(a), node(b)), Levels: []uint8{1}}
	}
	shape := func(of ...byte) string {
		var b strings.Builder
		view(t, s, func(v customer.View) error {
			var ids []customer.RecordID
			for _, n := range of {
				ids = append(ids, id(n))
			}
			comps, err := v.Components(t.Context(), ids)
			for _, c := range comps {
				for _, m := range c.Members {
					b.WriteByte('0' + m.Record[15])
				}
				for _, e := range c.Edges {
					b.WriteString(" " + string('0'+rune(e.A[0])) + "-" + string('0'+rune(e.B[0])))
				}
				b.WriteByte(';')
			}
			return err
		})
		return b.String()
	}
	apply(t, s, customer.Delta{
		Members: []customer.Membership{live(1, 1), live(2, 1), live(3, 3), live(4, 3)}, Edges: []customer.Edge{edge(1, 2), edge(3, 4)},
	})
	same(t, "two", "34 3-4;12 1-2;", shape(4, 1, 2))
	apply(t, s, customer.Delta{Members: []customer.Membership{live(3, 1), live(4, 1)}, Edges: []customer.Edge{edge(2, 3)}})
	same(t, "one", "1234 1-2 2-3 3-4;", shape(4))
	apply(t, s, customer.Delta{
		Members:   []customer.Membership{live(2, 2), live(3, 2), live(4, 4)},
		DropEdges: []customer.NodePair{edge(1, 2).NodePair, edge(3, 4).NodePair, edge(1, 4).NodePair},
	})
	same(t, "three", "1;23 2-3;4;", shape(1, 2, 4))
}

// testStaysAsItWas holds on to answers while what they tell of changes.
func testStaysAsItWas(t *testing.T, s Store) {
	k := customer.Key{Type: "email", Hash: 1}
	apply(t, s, customer.Delta{
		Records: []*customer.Record{record(1)}, Members: []customer.Membership{live(1, 1), live(2, 1)},
		Keys: []customer.KeySet{{Node: node(1), Keys: []customer.Key{k}}, {Node: node(2), Keys: []customer.Key{k}}},
	})
	var records []*customer.Record
	var holders [][]customer.Holder
	var comps []*customer.Component
	view(t, s, func(v customer.View) (err error) {
		if records, err = v.Records(t.Context(), []customer.RecordID{id(1)}); err != nil {
			return err
		}
		if holders, err = v.Holders(t.Context(), []customer.Key{k}, 9); err != nil {
			return err
		}
		comps, err = v.Components(t.Context(), []customer.RecordID{id(1)})
		return err
	})
	changed := record(1)
	changed.Revision, changed.Scopes = 9, nil
	apply(t, s, customer.Delta{
		Records: []*customer.Record{changed}, Members: []customer.Membership{live(1, 1), live(2, 2)},
		Keys: []customer.KeySet{{Node: node(1)}, {Node: node(2)}, {Node: node(3), Keys: []customer.Key{k}}},
	})
	same(t, "a record", []*customer.Record{record(1)}, records)
	same(t, "holders", [][]customer.Holder{{{Record: id(1), Node: node(1)}, {Record: id(2), Node: node(2)}}}, holders)
	same(t, "a component", []*customer.Component{{Members: []customer.Membership{live(1, 1), live(2, 1)}}}, comps)
}

// testFormer moves records from customer to customer, and one of them back.
func testFormer(t *testing.T, s Store) {
	for _, m := range []customer.Membership{live(1, 5), live(2, 3), {Record: id(3), Component: id(3)}} {
		apply(t, s, customer.Delta{Members: []customer.Membership{m}})
	}
	apply(t, s, customer.Delta{Members: []customer.Membership{live(1, 3), live(3, 3)}})
	dead := live(2, 3)
	dead.Live = false
	apply(t, s, customer.Delta{Members: []customer.Membership{live(1, 7), dead}})
	apply(t, s, customer.Delta{Members: []customer.Membership{live(1, 5)}})
	view(t, s, func(v customer.View) error {
		former, err := v.Former(t.Context(), []customer.RecordID{id(2), id(1), id(3), id(9)})
		same(t, "customers that the records left", []customer.CustomerID{id(3).Birth(0), id(5).Birth(0), id(7).Birth(0)},
			former)
		none, err2 := v.Former(t.Context(), nil)
		same(t, "of nothing", []customer.CustomerID(nil), none)
		return errors.Join(err, err2)
	})
}

// testDecisions asks for decisions by their ids, standing and undone.
func testDecisions(t *testing.T, s Store) {
	one := customer.Decision{
		ID: "d\"1", Kind: customer.Same, Pair: customer.NewPair(id(1), id(2)), Author: "kim", Reason: "called", At: at,
	}
	two := one
	two.ID, two.Kind = "d2", customer.NotSame
	want := func(title string, want ...*customer.Decision) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			got, err := v.Decisions(t.Context(), []string{"d2", "none", "d\"1"})
			same(t, title, want, got)
			return err
		})
	}
	apply(t, s, customer.Delta{Decisions: []customer.Decision{one, two}})
	want("as they came", &two, nil, &one)
	undone := two
	undone.Undone, undone.UndoneBy, undone.UndoneAt = true, "lee", at.Add(time.Hour)
	apply(t, s, customer.Delta{Decisions: []customer.Decision{undone}})
	want("one undone", &undone, nil, &one)
	view(t, s, func(v customer.View) error {
		none, err := v.Decisions(t.Context(), nil)
		same(t, "of nothing", []*customer.Decision(nil), none)
		return err
	})
}

// testRepublish: all that was published leaves once more as it is now, with aliases and tombstones; what waits already does not wait twice.
func testRepublish(t *testing.T, s Store, upTo int64) {
	t.Helper()
	if n, err := s.Republish(t.Context()); n != 1 || err != nil { // two wait in their newest version, and one waits alone
		t.Errorf("%d are put into the outbox beside those that wait: %v", n, err)
	}
	if err := s.Published(t.Context(), upTo); err != nil {
		t.Fatal(err)
	}
	if err := s.Published(t.Context(), upTo+1); err != nil {
		t.Fatal(err)
	}
	n, err := s.Republish(t.Context())
	all, err2 := s.Pending(t.Context(), upTo+1, 100)
	if err := errors.Join(err, err2); err != nil || n != 4 || len(all) != 4 {
		t.Fatalf("%d are put into the outbox, %d wait: %v", n, len(all), err)
	}
	tombs := 0
	for _, e := range all {
		if e.Value == nil {
			tombs++
		}
	}
	if tombs != 1 {
		t.Errorf("%d tombstones leave once more", tombs)
	}
}
