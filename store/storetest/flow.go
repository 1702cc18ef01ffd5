package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Standing is what a store remembers of how far sources have taken effect, and which of them are paused.
type Standing interface {
	Claim(ctx context.Context, source, topic string, partitions []int32) ([]event.Position, error)
	Positions(ctx context.Context) ([]event.Position, error)
	Pause(ctx context.Context, p event.Pause) error
	Resume(ctx context.Context, source string) error
	Pauses(ctx context.Context) ([]event.Pause, error)
}

func testPauses(t *testing.T, s Store) {
	ctx := t.Context()
	pauses := func(want ...event.Pause) {
		t.Helper()
		got, err := s.Pauses(ctx)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "pauses", want, got)
	}
	pauses()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	shop, bank := event.Pause{Source: "shop", By: "kim", At: noon}, event.Pause{Source: "bank", At: noon.Add(time.Hour)}
	for _, p := range []event.Pause{shop, bank, {Source: "shop", By: "lee", At: noon.Add(time.Minute)}} {
		if err := s.Pause(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	pauses(bank, shop)
	for _, source := range []string{"bank", "never"} {
		if err := s.Resume(ctx, source); err != nil {
			t.Fatal(err)
		}
	}
	pauses(shop)
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
	never := event.Position{Partition: event.Partition{Source: "never"}, Owner: 1}
	if err := advance(event.Advance{Position: never, Expect: -1}); !errors.Is(err, event.ErrFenced) {
		t.Errorf("a partition moves that nobody claimed: %v", err)
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
		same(t, "an entry", customer.OutboxEntry{
			Seq: all[i].Seq, ID: c.PublishedID(), Customer: c.ID, Version: c.Version, Time: c.UpdatedAt, Value: value,
		}, all[i])
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
	last, err := s.Pending(t.Context(), all[3].Seq, 9)
	if err != nil || len(last) != 1 {
		t.Fatalf("a sequence number was used twice: %+v, %v", last, err)
	}
	testRepublish(t, s, last[0].Seq)
}

func testDeadLetters(t *testing.T, s Store) {
	letter := func(id, source string, n int) event.DeadLetter {
		return event.DeadLetter{
			ID: id, Source: source, Topic: "t", TopicID: "x", Partition: 1, Offset: 1<<53 + 1,
			Part: "Ntry[1]", Time: at, Class: event.Poison, Reason: "decode",
			Path: "a.b", Message: "m", Mapping: "shopify@1", Attempts: n, At: at.Add(time.Duration(n) * time.Second),
			Key: []byte{}, Value: []byte{0, 255}, Headers: []event.Header{{Key: "h\xff\x00", Value: []byte{0xff}}, {Key: "h"}, {Value: []byte{}}},
		}
	}
	null := letter("b", "shop", 2)
	null.Key, null.Value = nil, nil
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{letter("a", "shop", 1), null, letter("c", "bank", 3)}})
	apply(t, s, customer.Delta{Dead: []event.DeadLetter{letter("a", "shop", 1)}})
	all, err := s.DeadLetters(t.Context(), event.LetterQuery{Limit: 10})
	if err != nil || len(all) != 3 {
		t.Fatalf("%d dead letters: %v", len(all), err)
	}
	same(t, "newest first", []event.DeadLetter{letter("c", "bank", 3), null, letter("a", "shop", 1)}, all)
	if all[1].Value != nil || all[1].Key != nil || all[2].Key == nil {
		t.Error("null and empty became the same")
	}
	page, err := s.DeadLetters(t.Context(), event.LetterQuery{Source: "shop", After: "b", Limit: 1})
	same(t, "the next of one source", []event.DeadLetter{letter("a", "shop", 1)}, page)
	one, err2 := s.DeadLetter(t.Context(), "a")
	same(t, "one", letter("a", "shop", 1), *one)
	for i, sent := range wildTimes() {
		wild := letter("wild", "clock", i)
		wild.Time, wild.At = sent, sent
		apply(t, s, customer.Delta{Dead: []event.DeadLetter{wild}})
		read, err := s.DeadLetter(t.Context(), "wild")
		if err != nil {
			t.Fatalf("a letter of %v: %v", sent, err)
		}
		same(t, "a letter of any time", wild, *read)
	}
	if _, err := s.DeadLetter(t.Context(), "z"); !errors.Is(err, customer.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

// wildTimes are times of messages as some clock may have made them up. A dead letter keeps them.
func wildTimes() []time.Time {
	return []time.Time{
		{},
		time.Unix(0, 0), time.Date(20000, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(-300, 1, 1, 0, 0, 0, 999_999_999, time.UTC),
		time.UnixMilli(math.MaxInt64), time.UnixMilli(math.MinInt64), at.In(time.FixedZone("", 30*3600)), at.In(time.FixedZone("", -90061)),
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

func model(t *testing.T, s Store) {
	t.Helper()
	for _, want := range []string{"", "one", "another"} {
		if want != "" {
			if err := s.KeepModel(t.Context(), []byte(want)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Model(t.Context())
		if err != nil || string(got) != want {
			t.Errorf("the model is %q, want %q: %v", got, want, err)
		}
	}
}

func testInstallationKey(t *testing.T, s Store) {
	model(t, s)
	a, err := s.InstallationKey(t.Context())
	b, err2 := s.InstallationKey(t.Context())
	if err != nil || err2 != nil || len(a) != 32 || !bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 32)) {
		t.Errorf("keys %x and %x: %v, %v", a, b, err, err2)
	}
}

func testEachCustomer(t *testing.T, s Store) {
	member := func(n byte) customer.Member { return customer.Member{Record: id(n), Source: "shop", Key: "k"} }
	dead := live(3, 1)
	dead.Live, dead.Node = false, customer.NodeID{}
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
	err = s.EachCustomer(t.Context(), func(*customer.Customer, []*customer.Record, []*customer.Interaction) error { return broken })
	if !errors.Is(err, broken) {
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
	late, stop := context.WithCancel(t.Context())
	if err := s.Update(late, func(tx customer.Tx) error {
		defer stop()
		return tx.Apply(late, &customer.Delta{Records: []*customer.Record{record(1)}})
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("an update that is cancelled before its commit: %v", err)
	}
	view(t, s, func(v customer.View) error {
		got, err := v.Records(t.Context(), []customer.RecordID{id(1)})
		if slices.ContainsFunc(got, func(r *customer.Record) bool { return r != nil }) {
			t.Error("a cancelled update left something")
		}
		return err
	})
}
