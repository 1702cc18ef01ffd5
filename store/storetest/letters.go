package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

func try(t *testing.T, s Store, d customer.Delta) error {
	t.Helper()
	return s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) })
}

// letter reads one letter.
func letter(t *testing.T, s Store, id string) event.DeadLetter {
	t.Helper()
	l, err := s.DeadLetter(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return *l
}

// testSettling lets letters go, and writes them again, only as they were read; whatever else is in the transaction does not happen without.
func testSettling(t *testing.T, s Store) {
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{letterAt("a", 1, 1), letterAt("b", 1, 2), letterAt("c", 2, 3)}})
	a, b := letter(t, s, "a"), letter(t, s, "b")
	if a.Revision == 0 || a.Size != int64(len(a.Value)) {
		t.Fatalf("a letter was read with revision %d and size %d", a.Revision, a.Size)
	}
	died := a.Died(&event.DeadLetter{
		Class: event.Permanent, Reason: "schema", Path: "x[1]", Message: "again", Mapping: "shopify@2", Attempts: 2, At: at.AddDate(0, 0, 1),
	})
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{died}})
	now := letter(t, s, "a")
	same(t, "a letter that died again", died, now)
	if now.Revision <= a.Revision || !now.At.Equal(a.At) || now.Attempts != 2 || string(now.Value) != "erasmus" {
		t.Errorf("a letter that died again is another one: %+v", now)
	}
	for title, d := range map[string]customer.Delta{
		"settled as it was before":  {Settled: []event.Settlement{b.Settle(at), a.Settle(at)}},
		"written as it was before":  {Dead: []event.DeadLetter{a}, Records: []*customer.Record{record(1)}},
		"settled, but not there":    {Settled: []event.Settlement{{ID: "z", Revision: 1}}},
		"written, but never before": {Dead: []event.DeadLetter{{ID: "z", Revision: 1}}},
	} {
		if err := try(t, s, d); !errors.Is(err, event.ErrLetterChanged) {
			t.Errorf("%s: %v", title, err)
		}
	}
	view(t, s, func(v customer.View) error {
		got, err := v.Records(t.Context(), []customer.RecordID{id(1)})
		same(t, "what came with it", []*customer.Record{nil}, got)
		return err
	})
	apply(t, s, customer.Delta{Settled: []event.Settlement{now.Settle(at)}, Records: []*customer.Record{record(1)}})
	left := map[string]event.DeadLetter{"b": letterAt("b", 1, 2), "c": letterAt("c", 2, 3)}
	keeps(t, s, "one has gone, the other of its message keeps the bytes", left, "b", "c")
	if err := try(t, s, customer.Delta{Settled: []event.Settlement{now.Settle(at)}}); !errors.Is(err, event.ErrLetterChanged) {
		t.Errorf("a letter goes twice: %v", err)
	}
	apply(t, s, customer.Delta{Settled: []event.Settlement{b.Settle(at)}})
	keeps(t, s, "and the other", map[string]event.DeadLetter{"c": letterAt("c", 2, 3)}, "c")
	if notes, err := s.LetterNotes(t.Context(), 9); err != nil || len(notes) > 0 {
		t.Errorf("replays of what nobody has touched are written down: %+v, %v", notes, err)
	}
}

// testEdits keeps what a person made of a letter beside what came, until the letter goes.
func testEdits(t *testing.T, s Store) {
	edited := func(id string, offset int64, value []byte) event.DeadLetter {
		l := letterAt(id, offset, 1)
		l.Edit = &event.Edit{Value: value, Headers: []event.Header{{Key: "h", Value: []byte("new")}}, By: "kim", Reason: "a typo", At: at}
		return l
	}
	d := customer.Delta{Dead: []event.DeadLetter{letterAt("a", 1, 1), letterAt("b", 1, 1), letterAt("c", 2, 1)}}
	d.Named = []customer.Naming{naming(d.Dead[2], id(2))}
	apply(t, s, d)
	for _, value := range [][]byte{[]byte("first"), nil, {}, []byte("second")} {
		l := letter(t, s, "a")
		l.Edit = edited("a", 1, value).Edit
		apply(t, s, customer.Delta{Dead: []event.DeadLetter{l}})
		got := letter(t, s, "a")
		same(t, "an edited letter", edited("a", 1, value), got)
		if (got.Edit.Value == nil) != (value == nil) {
			t.Error("null and empty of an edit became the same")
		}
		same(t, "the other of its message", letterAt("b", 1, 1), letter(t, s, "b"))
	}
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{letterAt("a", 1, 4)}}) // the message comes once more
	again := edited("a", 1, []byte("second"))
	again.At = letterAt("a", 1, 4).At
	same(t, "what a person made is not taken away", again, letter(t, s, "a"))
	bare, err := s.DeadLetters(t.Context(), event.LetterQuery{Bare: true, Limit: 1})
	if err != nil || len(bare) != 1 || bare[0].ID != "a" ||
		bare[0].Value != nil || bare[0].Edit.Value != nil || bare[0].Edit.By != "kim" || bare[0].Size != 7 {
		t.Errorf("a bare letter: %+v, %v", bare, err)
	}
	c := letter(t, s, "c")
	c.Edit = edited("c", 2, []byte("erasmus")).Edit
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{c}})
	apply(t, s, customer.Delta{Erased: []customer.RecordID{id(2)}})
	blank := letterAt("c", 2, 1)
	blank.Erase()
	same(t, "an erasure takes the edit, too", blank, letter(t, s, "c"))
	if err := try(t, s, customer.Delta{Dead: []event.DeadLetter{c}}); !errors.Is(err, event.ErrLetterChanged) {
		t.Errorf("what was erased is written again: %v", err)
	}
	a := letter(t, s, "a")
	apply(t, s, customer.Delta{Settled: []event.Settlement{a.Settle(at.Add(time.Hour))}})
	notes, err := s.LetterNotes(t.Context(), 9)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what was done to it", []event.LetterNote{*a.Note("edited", "kim", "a typo", at.Add(time.Hour))}, notes)
	keeps(t, s, "the rest", map[string]event.DeadLetter{"b": letterAt("b", 1, 1), "c": blank}, "b", "c")
}

// testNotes keeps what was written down of letters that are gone, without what an erasure reaches, and lets it go by age.
func testNotes(t *testing.T, s Store) {
	a, b := letterAt("a", 1, 1), letterAt("b", 2, 2)
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{a, b}, Named: []customer.Naming{naming(a, id(1)), naming(b, id(2))}})
	want := []event.LetterNote{
		*b.Note("discarded", "kim", "erasmus knows", at.Add(2*time.Hour)), *a.Note("discarded", "kim", "erasmus is a test", at.Add(time.Hour)),
	}
	for _, n := range want {
		l := letter(t, s, n.Letter)
		apply(t, s, customer.Delta{Settled: []event.Settlement{{ID: l.ID, Revision: l.Revision, Note: &n, Sweep: true}}})
	}
	check := func(title string, want ...event.LetterNote) {
		t.Helper()
		got, err := s.LetterNotes(t.Context(), 9)
		if err != nil {
			t.Fatal(err)
		}
		same(t, title, want, got)
	}
	check("newest first", want...)
	if one, err := s.LetterNotes(t.Context(), 1); err != nil || len(one) != 1 {
		t.Errorf("%d notes: %v", len(one), err)
	}
	apply(t, s, customer.Delta{Erased: []customer.RecordID{id(1)}})
	want[1].Why = ""
	check("one is erased", want...)
	if n, err := s.DropDeadLetters(t.Context(), at.Add(90*time.Minute), 9); n != 0 || err != nil {
		t.Errorf("%d letters are let go: %v", n, err)
	}
	check("one is old", want[0])
	if c, err := s.Counts(t.Context()); err != nil || c.DeadLetters != 0 {
		t.Errorf("%d letters are counted: %v", c.DeadLetters, err)
	}
}

// testGroups chooses letters by what they have in common.
func testGroups(t *testing.T, s Store) {
	var d customer.Delta
	for i := range 6 {
		l := letterAt(string(rune('a'+i)), int64(i), i)
		l.Path = fmt.Sprintf("lines[%d].sku", i)
		if i >= 4 {
			l.Source = "bank"
		}
		if i == 3 {
			l.Mapping = "shopify@2"
		}
		d.Dead = append(d.Dead, l)
	}
	apply(t, s, d)
	hour := func(n int) time.Time { return at.Add(time.Duration(n) * time.Hour) }
	group := func(source, mapping string, count int64, first, last int) event.LetterGroup {
		l := d.Dead[last]
		return event.LetterGroup{
			ID: l.Group(), Source: source, Class: event.Poison, Reason: "mapping", Path: "lines[].sku", Mapping: mapping, Count: count,
			First: hour(first), Last: hour(last), Example: l.ID,
		}
	}
	shop, mended, bank := group("shop", "shopify@1", 3, 0, 2), group("shop", "shopify@2", 1, 3, 3), group("bank", "shopify@1", 2, 4, 5)
	half := group("shop", "shopify@1", 2, 1, 2)
	for _, c := range []struct {
		title string
		q     event.LetterQuery
		want  []event.LetterGroup
	}{
		{"all", event.LetterQuery{Limit: 9}, []event.LetterGroup{shop, bank, mended}},
		{"the largest", event.LetterQuery{Limit: 1}, []event.LetterGroup{shop}},
		{"of a source", event.LetterQuery{Source: "bank", Limit: 9}, []event.LetterGroup{bank}},
		{"of a while", event.LetterQuery{Since: hour(1), Until: hour(3), Limit: 9}, []event.LetterGroup{half}},
		{"none", event.LetterQuery{}, nil},
	} {
		got, err := s.DeadGroups(t.Context(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		same(t, c.title, c.want, got)
	}
	testChoice(t, s, shop.ID, d.Dead)
}

// testChoice chooses among letters a to f, which were laid down at an hour each; the last two are another source's.
func testChoice(t *testing.T, s Store, group string, letters []event.DeadLetter) {
	hour := func(n int) time.Time { return at.Add(time.Duration(n) * time.Hour) }
	for _, c := range []struct {
		title string
		q     event.LetterQuery
		want  string
	}{
		{"a group", event.LetterQuery{Group: group}, "cba"},
		{"a message", event.LetterQuery{Message: letters[4].MessageID()}, "e"},
		{"a while", event.LetterQuery{Since: hour(1), Until: hour(4)}, "dcb"},
		{"the oldest first", event.LetterQuery{Source: "shop", Oldest: true}, "abcd"},
		{"some", event.LetterQuery{IDs: []string{"b", "z", "e"}}, "eb"},
		{"none of them", event.LetterQuery{IDs: []string{}}, ""},
		{"behind one that is gone", event.LetterQuery{After: "c0", AfterAt: hour(2)}, "cba"},
		{"behind one that is gone, the oldest first", event.LetterQuery{Oldest: true, After: "c0", AfterAt: hour(2)}, "def"},
		{"behind one", event.LetterQuery{Source: "shop", Oldest: true, After: "b"}, "cd"},
	} {
		c.q.Limit = 9
		found, err := s.DeadLetters(t.Context(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i := range found {
			got += found[i].ID
		}
		same(t, c.title, c.want, got)
		if c.q.After != "" {
			continue
		}
		if n, err := s.CountDeadLetters(t.Context(), c.q); err != nil || n != int64(len(c.want)) {
			t.Errorf("%s: %d are counted: %v", c.title, n, err)
		}
	}
}
