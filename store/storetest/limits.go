package storetest

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// testLimits asks for no more than nothing: a limit of 0 or below answers nothing, and is no error.
func testLimits(t *testing.T, s Store) {
	k, of := customer.Key{Type: "email", Hash: 1}, []customer.RecordID{id(1)}
	in := live(1, 1)
	in.Node = node(1)
	apply(t, s, customer.Delta{
		Members: []customer.Membership{in}, Keys: []customer.KeySet{{Node: node(1), Keys: []customer.Key{k}}},
		Customers: []*customer.Customer{master(1, 1)}, Interactions: []*customer.Interaction{interaction(t, 1, at, id(1))},
		Dead: []event.DeadLetter{{ID: "a", At: at}},
	})
	for limit, want := range map[int]int{math.MinInt: 0, -1: 0, 0: 0, 1: 1} {
		var got [7]int
		pending, err := s.Pending(t.Context(), 0, limit)
		dead, err2 := s.DeadLetters(t.Context(), event.LetterQuery{Limit: limit})
		got[0], got[1] = len(pending), len(dead)
		view(t, s, func(v customer.View) error {
			line, err3 := v.Timeline(t.Context(), of, limit)
			part, err4 := v.Partaken(t.Context(), of, customer.InteractionID{}, limit)
			holders, err5 := v.Holders(t.Context(), []customer.Key{k}, limit)
			records, err6 := v.Nodes(t.Context(), []customer.NodeID{node(1)}, limit)
			nodes, err7 := v.Indexed(t.Context(), customer.NodeID{}, limit)
			got[2], got[3], got[4], got[5], got[6] = len(line), len(part), len(holders[0]), len(records[0]), len(nodes)
			return errors.Join(err, err2, err3, err4, err5, err6, err7)
		})
		same(t, "how many are answered", [7]int{want, want, want, want, want, want, want}, got)
	}
}

// testNextPage asks for what comes after a dead letter that is not there: to begin anew or to end there would each be a page that is
// not the next one.
func testNextPage(t *testing.T, s Store) {
	letter := event.DeadLetter{ID: "a", Source: "shop", At: at}
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{letter, {ID: "b", Source: "bank", At: at}}})
	found, err := s.DeadLetters(t.Context(), event.LetterQuery{After: "none", Limit: 10})
	if !errors.Is(err, customer.ErrNotFound) || !strings.Contains(err.Error(), "none") || len(found) > 0 {
		t.Errorf("after one that is not there: %d letters, %v", len(found), err)
	}
	found, err = s.DeadLetters(t.Context(), event.LetterQuery{Source: "shop", After: "b", Limit: 10}) // the place is one among all of them
	if err != nil || len(found) != 1 || found[0].ID != "a" {
		t.Errorf("after one of another source: %+v, %v", found, err)
	}
	if found, err = s.DeadLetters(t.Context(), event.LetterQuery{After: "a", Limit: 10}); err != nil || len(found) != 0 {
		t.Errorf("after the last: %+v, %v", found, err)
	}
}

// testUnclaimed moves the position of a partition that nobody has claimed, as the owner that nobody is.
func testUnclaimed(t *testing.T, s Store) {
	for _, owner := range []int64{0, 1} {
		for _, expect := range []int64{-1, 0} {
			p := event.Position{Partition: event.Partition{Source: "shop", Topic: "t"}, Next: 5, Owner: owner}
			err := s.Update(t.Context(), func(tx customer.Tx) error {
				return tx.Advance(t.Context(), []event.Advance{{Position: p, Expect: expect}})
			})
			if !errors.Is(err, event.ErrFenced) {
				t.Errorf("owner %d, who expects %d: %v", owner, expect, err)
			}
		}
	}
	if all, err := s.Positions(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("positions: %+v, %v", all, err)
	}
}

// testCounts counts after every kind of change what the rows themselves say.
func testCounts(t *testing.T, s Store) {
	counts := func(when string, want customer.Counts) {
		t.Helper()
		got, err := s.Counts(t.Context())
		same(t, "counts "+when, want, got)
		if err := errors.Join(err, s.Check(t.Context())); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	counts("of nothing", customer.Counts{})
	apply(t, s, customer.Delta{
		Members:      []customer.Membership{live(1, 1), live(2, 1), live(3, 3)},
		Customers:    []*customer.Customer{master(1, 1), master(3, 1)},
		Interactions: []*customer.Interaction{interaction(t, 1, at, id(1)), interaction(t, 2, at, id(2))},
		Dead:         []event.DeadLetter{{ID: "a", At: at}, {ID: "b", At: at}},
	})
	counts("at first", customer.Counts{Records: 3, Customers: 2, Interactions: 2, DeadLetters: 2, Outbox: 2})
	merged := master(3, 2)
	merged.Status, merged.AliasOf, merged.Attributes = customer.Merged, id(1).Birth(0), nil
	off := live(2, 1)
	off.Live = false
	apply(t, s, customer.Delta{
		Members:      []customer.Membership{live(1, 1), off, live(3, 1), live(3, 1)},
		Customers:    []*customer.Customer{master(1, 2), merged},
		Interactions: []*customer.Interaction{interaction(t, 1, at, id(3)), {ID: customer.InteractionID{15: 2}}},
		Dead:         []event.DeadLetter{{ID: "a", At: at}},
	})
	counts("after a merge", customer.Counts{Records: 2, Customers: 1, Interactions: 1, Merges: 1, DeadLetters: 2, Outbox: 4})
	gone := master(1, 3)
	gone.Status, gone.Attributes = customer.Erased, nil
	apply(t, s, customer.Delta{Members: []customer.Membership{live(2, 2)}, Customers: []*customer.Customer{gone}})
	counts("after an erasure", customer.Counts{Records: 3, Interactions: 1, Merges: 1, DeadLetters: 2, Outbox: 3})
	broken := errors.New("broken")
	err := s.Update(t.Context(), func(tx customer.Tx) error {
		d := newcomers(0, 5)
		return errors.Join(tx.Apply(t.Context(), &d), broken)
	})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	counts("after what was rolled back", customer.Counts{Records: 3, Interactions: 1, Merges: 1, DeadLetters: 2, Outbox: 3})
	if err := s.Published(t.Context(), 1<<62); err != nil {
		t.Fatal(err)
	}
	counts("after all is published", customer.Counts{Records: 3, Interactions: 1, Merges: 1, DeadLetters: 2})
}

// testLargeEntries reads an outbox of large customers: few at a time, none left out.
func testLargeEntries(t *testing.T, s Store) {
	const n, size = 5, customer.MaxPending/2 - 100_000
	var d customer.Delta
	var want []string
	for i := range byte(n) {
		c := said(i+1, 1, strings.Repeat("v", size))
		d.Customers, want = append(d.Customers, c), append(want, c.PublishedID())
	}
	apply(t, s, d)
	var got []string
	var sizes []int
	for after := int64(0); len(got) < n; {
		entries, err := s.Pending(t.Context(), after, 99)
		if err != nil || len(entries) == 0 {
			t.Fatalf("%d entries are answered: %v", len(entries), err)
		}
		sizes = append(sizes, len(entries))
		for _, e := range entries {
			got, after = append(got, e.ID), e.Seq
		}
	}
	same(t, "what waits", want, got)
	same(t, "entries at a time", []int{3, 2}, sizes) // the third reaches the limit
}

// testIntents notes what a process is about, one partition apart from the other.
func testIntents(t *testing.T, s Store) {
	a, b := event.Partition{Source: "shop", Topic: "t", Partition: 1}, event.Partition{Source: "shop", Topic: "t\"/", Partition: 2}
	none, err := s.Intents(t.Context())
	if err != nil || len(none) > 0 {
		t.Errorf("%+v, %v", none, err)
	}
	for n := 1; n < 4; n++ {
		now, err := s.Intend(t.Context(), a, func(i *event.Intent) { i.Trying = 7; i.Tries++ })
		same(t, "what is tried", event.Intent{Partition: a, Mark: -1, Trying: 7, Tries: n}, now)
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Intend(t.Context(), b, func(i *event.Intent) { i.Mark = 1_000 }); err != nil {
		t.Fatal(err)
	}
	all, err := s.Intents(t.Context())
	same(t, "all", []event.Intent{{Partition: a, Mark: -1, Trying: 7, Tries: 3}, {Partition: b, Mark: 1_000, Trying: -1}}, all)
	if err != nil {
		t.Fatal(err)
	}
}
