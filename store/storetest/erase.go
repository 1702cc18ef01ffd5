package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// said makes a version of a customer that says one text.
func said(n byte, version int64, text string) *customer.Customer {
	c := master(n, version)
	c.Attributes[0].Value, c.Attributes[0].Losers = customer.Text(text), nil
	return c
}

// waiting answers the ids of what waits to be published, and finds fault with each that says a text.
func waiting(t *testing.T, s Store, erased string) (ids []string) {
	t.Helper()
	entries, err := s.Pending(t.Context(), 0, 99)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		ids = append(ids, e.ID)
		if bytes.Contains(e.Value, []byte(erased)) {
			t.Errorf("entry %s still says what was erased", e.ID)
		}
	}
	return ids
}

// testErasure erases a record that was with two customers, while versions that name it still wait to be published.
func testErasure(t *testing.T, s Store) {
	apply(t, s, customer.Delta{
		Records: []*customer.Record{record(1)}, Members: []customer.Membership{live(1, 1)},
		Customers: []*customer.Customer{said(1, 1, "Erasmus"), said(2, 1, "Other"), said(3, 1, "Third")},
	})
	apply(t, s, customer.Delta{ // the record moves to another customer, and the first one goes on without it
		Members: []customer.Membership{live(1, 2)}, Customers: []*customer.Customer{said(1, 2, "Nobody"), said(2, 2, "Erasmus")},
	})
	gone := &customer.Record{ID: id(1), Source: "shop", Born: at, Revision: 9}
	gone.Scopes = []customer.Scope{{Name: "sequence:s", Erased: version("9")}}
	left := live(1, 2)
	left.Live = false
	apply(t, s, customer.Delta{
		Records: []*customer.Record{gone}, Members: []customer.Membership{left}, Erased: []customer.RecordID{id(1)},
		Customers: []*customer.Customer{said(2, 3, "Other")},
	})
	same(t, "what waits", []string{said(3, 1, "").PublishedID(), said(1, 2, "").PublishedID(), said(2, 3, "").PublishedID()},
		waiting(t, s, "Erasmus"))

	erased := said(3, 2, "")
	erased.Status, erased.Attributes = customer.Erased, nil
	apply(t, s, customer.Delta{Customers: []*customer.Customer{erased}})
	entries, err := s.Pending(t.Context(), 0, 99)
	if err != nil || len(entries) != 3 || entries[2].Value != nil {
		t.Errorf("after a whole customer was erased its tombstone alone should wait: %v, %v", len(entries), err)
	}
}

// testErasureOfTheLiving erases a record that lives on, because its source has spoken of it again: the copies of what it said before go
// all the same, and what it says now is still published.
func testErasureOfTheLiving(t *testing.T, s Store) {
	apply(t, s, customer.Delta{
		Records: []*customer.Record{record(1)}, Members: []customer.Membership{live(1, 1)},
		Customers: []*customer.Customer{said(1, 1, "Erasmus")},
	})
	apply(t, s, customer.Delta{ // erased, and said again in the same transaction
		Records: []*customer.Record{record(1)}, Erased: []customer.RecordID{id(1)}, Customers: []*customer.Customer{said(1, 2, "Desiderius")},
	})
	same(t, "what waits", []string{said(1, 2, "").PublishedID()}, waiting(t, s, "Erasmus"))
	apply(t, s, customer.Delta{Customers: []*customer.Customer{said(1, 3, "Gerrit")}})
	apply(t, s, customer.Delta{Erased: []customer.RecordID{id(1)}}) // a late one, under what was said meanwhile: nothing else changes
	same(t, "what waits after a late erasure", []string{said(1, 3, "").PublishedID()}, waiting(t, s, "Desiderius"))
}

// testReasons erases one of two records of which people have decided.
func testReasons(t *testing.T, s Store) {
	dec := func(name string, a, b byte, undone bool) customer.Decision {
		return customer.Decision{
			ID: name, Kind: customer.Same, Pair: customer.NewPair(id(a), id(b)), Author: "a", Reason: "looks like " + name, At: at, Undone: undone,
		}
	}
	apply(t, s, customer.Delta{
		Members: []customer.Membership{live(1, 1), live(2, 1), live(3, 1)},
		Decisions: []customer.Decision{
			dec("first", 1, 2, false), dec("second", 2, 3, false), dec("undone", 1, 2, true), dec("other", 1, 3, false),
		},
	})
	apply(t, s, customer.Delta{Erased: []customer.RecordID{id(2)}})
	silent := func(d customer.Decision) customer.Decision { d.Reason = ""; return d }
	view(t, s, func(v customer.View) error {
		comps, err := v.Components(t.Context(), []customer.RecordID{id(1)})
		if err == nil {
			want := []customer.Decision{silent(dec("first", 1, 2, false)), dec("other", 1, 3, false), silent(dec("second", 2, 3, false))}
			same(t, "decisions", want, comps[0].Decisions)
		}
		return err
	})
}

// testMembers asks who belongs to customers, and who did.
func testMembers(t *testing.T, s Store) {
	member := func(n byte) customer.Member { return customer.Member{Record: id(n), Source: "shop", Key: "k"} }
	at := func(n, of byte, live bool) customer.Membership {
		return customer.Membership{Record: id(n), Component: id(n), Customer: id(of).Birth(0), Live: live}
	}
	apply(t, s, customer.Delta{
		Members:   []customer.Membership{at(1, 1, true), at(2, 1, true), at(3, 1, true), at(4, 4, true)},
		Customers: []*customer.Customer{master(1, 1, member(1), member(2), member(3)), master(4, 1, member(4))},
	})
	apply(t, s, customer.Delta{ // one dies, one leaves
		Members:   []customer.Membership{at(2, 1, false), at(3, 4, true)},
		Customers: []*customer.Customer{master(1, 2, member(1)), master(4, 2, member(3), member(4))},
	})
	one := []customer.Membership{at(1, 1, true), at(2, 1, false), at(3, 4, true)}
	four := []customer.Membership{at(3, 4, true), at(4, 4, true)}
	ask := func(title string, want [][]customer.Membership, of ...byte) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			var ids []customer.CustomerID
			for _, n := range of {
				ids = append(ids, id(n).Birth(0))
			}
			got, err := v.Members(t.Context(), ids)
			same(t, title, want, got)
			return err
		})
	}
	ask("in the order asked for", [][]customer.Membership{four, nil, one, four}, 4, 9, 1, 4)
	ask("nobody", nil)
	apply(t, s, customer.Delta{ // and comes back, and goes
		Members: []customer.Membership{at(3, 1, false)}, Customers: []*customer.Customer{master(4, 3, member(4))},
	})
	ask("one that came back", [][]customer.Membership{{one[0], one[1], at(3, 1, false)}}, 1)
}

// testPartaken reads what records took part in, page by page.
func testPartaken(t *testing.T, s Store) {
	var all []*customer.Interaction
	for n := range byte(5) {
		in := interaction(t, n+1, at, id(1))
		if n%2 == 0 {
			in = interaction(t, n+1, at.AddDate(0, 0, -int(n)), id(1), id(2))
		}
		all = append(all, in)
	}
	apply(t, s, customer.Delta{Interactions: append(all, interaction(t, 9, at, id(3)))})
	view(t, s, func(v customer.View) error {
		first, err := v.Partaken(t.Context(), []customer.RecordID{id(2), id(1)}, customer.InteractionID{}, 3)
		same(t, "the first page", all[:3], first)
		rest, err2 := v.Partaken(t.Context(), []customer.RecordID{id(2), id(1)}, first[2].ID, 3)
		same(t, "the rest", all[3:], rest)
		one, err3 := v.Partaken(t.Context(), []customer.RecordID{id(2), id(7)}, customer.InteractionID{}, 9)
		same(t, "of one of them", []*customer.Interaction{all[0], all[2], all[4]}, one)
		none, err4 := v.Partaken(t.Context(), nil, customer.InteractionID{}, 9)
		same(t, "of nobody", []*customer.Interaction(nil), none)
		return errors.Join(err, err2, err3, err4)
	})
}

// letterAt is a dead letter of a message at an offset, laid down so many hours after the others began.
func letterAt(id string, offset int64, hours int) event.DeadLetter {
	return event.DeadLetter{
		ID: id, Source: "shop", Topic: "t", Offset: offset, Part: "Ntry[1]", Time: at, Class: event.Poison, Reason: "mapping", Path: "erasmus.id",
		Message: "erasmus is none", Mapping: "shopify@1", Attempts: 1, At: at.Add(time.Duration(hours) * time.Hour),
		Key: []byte("erasmus"), Value: []byte("erasmus"), Headers: []event.Header{{Key: "h", Value: []byte("erasmus")}},
	}
}

func naming(l event.DeadLetter, records ...customer.RecordID) customer.Naming {
	return customer.Naming{Message: l.MessageID(), Records: records}
}

// testBlank erases records that messages with dead letters name, in the transaction of the letter and later.
func testBlank(t *testing.T, s Store) {
	a, b, other := letterAt("a", 1, 1), letterAt("b", 1, 2), letterAt("other", 2, 3)
	nobody, late := letterAt("nobody", 3, 4), letterAt("late", 4, 5)
	apply(t, s, customer.Delta{
		Dead:  []event.DeadLetter{a, b, other, nobody},
		Named: []customer.Naming{naming(a, id(1), id(2)), naming(other, id(2), id(3))},
	})
	check := func(title string, erased ...string) {
		t.Helper()
		letters, err := s.DeadLetters(t.Context(), event.LetterQuery{Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			want := letterAt(l.ID, l.Offset, map[string]int{"a": 1, "b": 2, "other": 3, "nobody": 4, "late": 5}[l.ID])
			if slices.Contains(erased, l.ID) {
				want.Erase()
			}
			same(t, title+": letter "+l.ID, want, l)
			if text := fmt.Sprintf("%+v %s %s", l, l.Key, l.Value); want.Erased && strings.Contains(text, "erasmus") {
				t.Errorf("%s: letter %s still names whom it was about: %s", title, l.ID, text)
			}
		}
	}
	check("before")
	apply(t, s, customer.Delta{Erased: []customer.RecordID{id(1), id(7)}})
	check("one is erased", "a", "b")
	apply(t, s, customer.Delta{
		Dead: []event.DeadLetter{late}, Named: []customer.Naming{naming(late, id(4))}, Erased: []customer.RecordID{id(3), id(4)},
	})
	check("two are, one of them with its letter", "a", "b", "other", "late")
	if c, err := s.Counts(t.Context()); err != nil || c.DeadLetters != 5 {
		t.Errorf("%d letters are counted, the five stay: %v", c.DeadLetters, err)
	}
}

// testDropDeadLetters lets letters go that are too old, some at a time; an erasure still finds those that are left.
func testDropDeadLetters(t *testing.T, s Store) {
	var d customer.Delta
	for i := range 5 {
		d.Dead = append(d.Dead, letterAt(string(rune('a'+i)), int64(i/2), i))
	}
	d.Named = []customer.Naming{naming(d.Dead[2], id(1))} // of c and d
	apply(t, s, d)
	drop := func(hours, limit, want int, left ...string) {
		t.Helper()
		n, err := s.DropDeadLetters(t.Context(), at.Add(time.Duration(hours)*time.Hour), limit)
		if err != nil || n != want {
			t.Errorf("%d letters are let go, want %d: %v", n, want, err)
		}
		letters, err := s.DeadLetters(t.Context(), event.LetterQuery{Limit: 9})
		var ids []string
		for _, l := range letters {
			ids = append(ids, l.ID)
		}
		same(t, "what is left", left, ids)
		if err != nil {
			t.Error(err)
		}
	}
	drop(0, 9, 0, "e", "d", "c", "b", "a")
	drop(3, 2, 2, "e", "d", "c")
	drop(3, 2, 1, "e", "d") // one of two of a message
	drop(3, 2, 0, "e", "d")
	apply(t, s, customer.Delta{Erased: []customer.RecordID{id(1)}})
	if l, err := s.DeadLetter(t.Context(), "d"); err != nil || !l.Erased {
		t.Errorf("an erasure does not find the letter that is left of a message: %+v, %v", l, err)
	}
	drop(99, 0, 0, "e", "d")
	drop(99, 9, 2)
}

// keeps asks for all letters, in a page and one by one: each as it is in all, in the order of ids.
func keeps(t *testing.T, s Store, title string, all map[string]event.DeadLetter, ids ...string) {
	t.Helper()
	letters, err := s.DeadLetters(t.Context(), event.LetterQuery{Limit: 99})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range letters {
		got = append([]string{l.ID}, got...)
		one, err := s.DeadLetter(t.Context(), l.ID)
		if err != nil {
			t.Fatal(err)
		}
		for how, read := range map[string]event.DeadLetter{"in a page": l, "alone": *one} {
			want := all[l.ID]
			same(t, title+": letter "+l.ID+" "+how, want, read)
			if (read.Key == nil) != (want.Key == nil) || (read.Value == nil) != (want.Value == nil) {
				t.Errorf("%s: null and empty of letter %s %s became the same", title, l.ID, how)
			}
		}
	}
	same(t, title, ids, got)
	if c, err := s.Counts(t.Context()); err != nil || c.DeadLetters != int64(len(ids)) {
		t.Errorf("%s: %d letters are counted, want %d: %v", title, c.DeadLetters, len(ids), err)
	}
}

// testSharedBytes lays down letters of parts of the same messages, at once and later, and lets some of them go: each has the bytes of its
// own message, as they came, for as long as it is there. A place that was made anew is another message.
func testSharedBytes(t *testing.T, s Store) {
	part := func(id string, offset int64, topic, value string) event.DeadLetter {
		l := letterAt(id, offset, int(id[0]-'a'))
		l.TopicID, l.Key, l.Value = topic, []byte(value+" key"), []byte(value)
		l.Headers = []event.Header{{Key: "h\xff", Value: []byte(value)}, {Key: "none"}, {Key: "empty", Value: []byte{}}}
		return l
	}
	silent := part("e", 3, "x", "")
	silent.Key, silent.Value, silent.Headers = []byte{}, nil, nil
	empty := part("f", 3, "x", "")
	empty.Key, empty.Value, empty.Headers = nil, []byte{}, nil
	all := map[string]event.DeadLetter{
		"a": part("a", 1, "x", "one"), "b": part("b", 1, "x", "one"), "c": part("c", 1, "anew", "other"), "d": part("d", 2, "x", "one"),
		"e": silent, "f": empty, "g": part("g", 1, "x", "one"), "h": part("h", 2, "x", "one"),
	}
	check := func(title string, ids ...string) {
		t.Helper()
		keeps(t, s, title, all, ids...)
	}
	d := customer.Delta{Named: []customer.Naming{naming(all["d"], id(2))}}
	for _, name := range []string{"a", "d", "b", "c", "e", "f"} { // the parts of a message need not come together
		d.Dead = append(d.Dead, all[name])
	}
	apply(t, s, d)
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{all["g"], all["h"], all["a"]}})
	check("all", "a", "b", "c", "d", "e", "f", "g", "h")
	changed := part("b", 1, "x", "edited")
	all["b"] = changed
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{changed}})
	check("one says something else", "a", "b", "c", "d", "e", "f", "g", "h")
	if n, err := s.DropDeadLetters(t.Context(), at.Add(3*time.Hour), 9); n != 3 || err != nil { // a, b and c: g has the bytes of a
		t.Errorf("%d letters are let go: %v", n, err)
	}
	check("some are let go", "d", "e", "f", "g", "h")
	apply(t, s, customer.Delta{Erased: []customer.RecordID{id(2)}})
	for _, name := range []string{"d", "h"} {
		l := all[name]
		l.Erase()
		all[name] = l
	}
	check("one is erased", "d", "e", "f", "g", "h")
	again := part("i", 2, "x", "one") // as the message comes once more
	all["i"] = again
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{again}})
	check("and comes again", "d", "e", "f", "g", "h", "i")
	if n, err := s.DropDeadLetters(t.Context(), at.Add(99*time.Hour), 9); n != 6 || err != nil {
		t.Errorf("%d letters are let go: %v", n, err)
	}
	check("the last are let go")
}
