package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Leaving is what a store does for what leaves: the outbox, the feed of targets, and their receipts.
type Leaving interface {
	customer.Outbox
	Changed(ctx context.Context, after int64, limit int) ([]*customer.Customer, int64, error)
	Behind(ctx context.Context, after int64) (int64, time.Time, error)
	TargetPosition(ctx context.Context, target string) (int64, error)
	KeepReceipts(ctx context.Context, target string, receipts []event.Receipt, position int64) error
	Receipts(ctx context.Context, target string, of []customer.CustomerID) ([]*event.Receipt, error)
	ReceiptsOf(ctx context.Context, target string, remotes []string) ([]event.Receipt, error)
	OwedReceipts(ctx context.Context, target string, due time.Time, limit int) ([]event.Receipt, error)
	RefusedReceipts(ctx context.Context, target, after string, limit int) ([]event.Receipt, error)
	CountReceipts(ctx context.Context, target string) (map[event.ReceiptState]int64, error)
	Renew(ctx context.Context, target string) error
	Republish(ctx context.Context) (int64, error)
}

// fed reads the feed whole, a few at a time.
func fed(t *testing.T, s Store, after int64, limit int) (out []*customer.Customer) {
	t.Helper()
	for {
		page, last, err := s.Changed(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			if last != after {
				t.Errorf("nothing is behind %d, and yet it ends at %d", after, last)
			}
			return out
		}
		if len(page) > limit || last <= after {
			t.Fatalf("%d customers from %d to %d, at most %d were asked for", len(page), after, last, limit)
		}
		out, after = append(out, page...), last
	}
}

// testFeed changes customers, some of them again: each is in the feed once, where its last change is, whatever it has become.
func testFeed(t *testing.T, s Store) {
	merged := master(2, 3)
	merged.Status, merged.AliasOf, merged.Attributes = customer.Merged, id(1).Birth(0), nil
	gone := &customer.Customer{ID: id(3).Birth(0), Version: 9, Status: customer.Gone, CreatedAt: at, UpdatedAt: at}
	apply(t, s, customer.Delta{Customers: []*customer.Customer{master(1, 1), master(2, 1), master(3, 1)}})
	apply(t, s, customer.Delta{Customers: []*customer.Customer{master(4, 1), master(1, 2)}})
	same(t, "after two changes", []*customer.Customer{master(2, 1), master(3, 1), master(4, 1), master(1, 2)}, fed(t, s, 0, 2))
	apply(t, s, customer.Delta{Customers: []*customer.Customer{gone, merged}})
	want := []*customer.Customer{master(4, 1), master(1, 2), gone, merged}
	same(t, "one that is gone and one that is merged", want, fed(t, s, 0, 100))
	if err := s.Published(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	same(t, "after the outbox was emptied", want, fed(t, s, 0, 1))
	apply(t, s, customer.Delta{Records: []*customer.Record{record(1)}})
	same(t, "after a change of no customer", want, fed(t, s, 0, 3))
	for version := int64(3); version < 300; version++ {
		apply(t, s, customer.Delta{Customers: []*customer.Customer{master(1, version)}})
	}
	same(t, "after many changes of one", []*customer.Customer{master(4, 1), gone, merged, master(1, 299)}, fed(t, s, 0, 3))
}

// testFeedPlaces goes on where it ended, and counts what is behind.
func testFeedPlaces(t *testing.T, s Store) {
	behind := func(after, want int64, oldest time.Time) {
		t.Helper()
		n, since, err := s.Behind(t.Context(), after)
		if err != nil || n != want || !since.Equal(oldest) {
			t.Errorf("behind %d there are %d since %v (%v), want %d since %v", after, n, since, err, want, oldest)
		}
	}
	behind(0, 0, time.Time{})
	young := master(2, 1)
	young.UpdatedAt = at.Add(time.Hour)
	apply(t, s, customer.Delta{Customers: []*customer.Customer{master(1, 1), young}})
	behind(0, 2, master(1, 1).UpdatedAt)
	_, first, err := s.Changed(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	behind(first, 1, young.UpdatedAt)
	apply(t, s, customer.Delta{Customers: []*customer.Customer{master(1, 2)}})
	same(t, "behind the first", []*customer.Customer{young, master(1, 2)}, fed(t, s, first, 5))
	for _, limit := range []int{0, -1} {
		if page, last, err := s.Changed(t.Context(), first, limit); err != nil || len(page) > 0 || last != first {
			t.Errorf("a limit of %d answers %d customers up to %d, %v", limit, len(page), last, err)
		}
	}
	_, last, err := s.Changed(t.Context(), first, 5)
	behind(last, 0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
}

func receipt(n byte, state event.ReceiptState) event.Receipt {
	return event.Receipt{
		Target: "crm", Customer: id(n).Birth(0).String(), Version: 7, State: state, RemoteID: "r" + string('0'+n), RemoteVersion: "17",
		Hash: "00ff10", Said: []uint64{1<<64 - 1, 2, 3}, Last: 2, Heard: []uint64{9}, Contests: 4, Tries: 3, Next: at.Add(time.Minute),
		Class: event.Throttled, Reason: "too_many", Error: "wait", At: at,
	}
}

func keep(t *testing.T, s Store, position int64, receipts ...event.Receipt) {
	t.Helper()
	if err := s.KeepReceipts(t.Context(), "crm", receipts, position); err != nil {
		t.Fatal(err)
	}
}

func known(t *testing.T, s Store, target string, of ...byte) []*event.Receipt {
	t.Helper()
	var ids []customer.CustomerID
	for _, n := range of {
		ids = append(ids, id(n).Birth(0))
	}
	out, err := s.Receipts(t.Context(), target, ids)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func testReceipts(t *testing.T, s Store) {
	position := func(target string, want int64) {
		t.Helper()
		if got, err := s.TargetPosition(t.Context(), target); err != nil || got != want {
			t.Errorf("%s is at %d (%v), want %d", target, got, err, want)
		}
	}
	position("crm", 0)
	one, two := receipt(1, event.Held), receipt(2, event.Owed)
	keep(t, s, 5, one, two)
	position("crm", 5)
	position("other", 0)
	same(t, "receipts, in the order asked for", []*event.Receipt{&two, nil, &one}, known(t, s, "crm", 2, 9, 1))
	same(t, "another target's", []*event.Receipt{nil}, known(t, s, "other", 1))
	bare := event.Receipt{Target: "crm", Customer: two.Customer, State: event.Sending}
	keep(t, s, -1, bare)
	position("crm", 5)
	same(t, "replaced", []*event.Receipt{&bare, &one}, known(t, s, "crm", 2, 1))
	keep(t, s, 0)
	position("crm", 0)
	found, err := s.ReceiptsOf(t.Context(), "crm", []string{"r1", "r2", ""})
	same(t, "by the target's own id", []event.Receipt{one}, found)
	counts, err2 := s.CountReceipts(t.Context(), "crm")
	same(t, "by state", map[event.ReceiptState]int64{event.Held: 1, event.Sending: 1}, counts)
	wrong := receipt(1, event.Held)
	wrong.Customer = "nobody"
	if err3 := s.KeepReceipts(t.Context(), "crm", []event.Receipt{receipt(3, event.Held), wrong}, 8); err3 == nil {
		t.Error("a receipt of nobody is kept")
	}
	position("crm", 0)
	same(t, "with it nothing is", []*event.Receipt{nil}, known(t, s, "crm", 3))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

func testOwed(t *testing.T, s Store) {
	var all []event.Receipt
	for n, minutes := range []int{3, 1, 2} {
		r := receipt(byte(n+1), event.Owed)
		r.Next = at.Add(time.Duration(minutes) * time.Minute)
		all = append(all, r)
	}
	done := receipt(4, event.Held)
	done.Next = time.Time{}
	keep(t, s, 1, append(all, done)...)
	owed := func(minutes, limit int, want ...event.Receipt) {
		t.Helper()
		got, err := s.OwedReceipts(t.Context(), "crm", at.Add(time.Duration(minutes)*time.Minute), limit)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "what is owed", want, got)
	}
	owed(0, 9)
	owed(2, 9, all[1], all[2])
	owed(5, 9, all[1], all[2], all[0])
	owed(5, 2, all[1], all[2])
	owed(5, 0)
	owed(5, -1)
	all[1].Next, all[1].State = time.Time{}, event.Held
	keep(t, s, -1, all[1])
	owed(5, 9, all[2], all[0])
}

func testRefused(t *testing.T, s Store) {
	keep(t, s, 1, receipt(3, event.Refused), receipt(1, event.Refused), receipt(2, event.Held), receipt(4, event.Refused))
	page := func(after string, limit int, want ...event.Receipt) {
		t.Helper()
		got, err := s.RefusedReceipts(t.Context(), "crm", after, limit)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "who is refused", want, got)
	}
	page("", 2, receipt(1, event.Refused), receipt(3, event.Refused))
	page(id(3).Birth(0).String(), 2, receipt(4, event.Refused))
	page(id(2).Birth(0).String(), 1, receipt(3, event.Refused)) // one that is held by now
	page("", 0)
	if _, err := s.RefusedReceipts(t.Context(), "crm", "nobody", 5); !errors.Is(err, customer.ErrNotFound) {
		t.Errorf("behind nobody: %v", err)
	}
}

func testRenew(t *testing.T, s Store) {
	held := receipt(1, event.Held)
	keep(t, s, 9, held)
	if err := s.KeepReceipts(t.Context(), "other", []event.Receipt{held}, 9); err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	at, err := s.TargetPosition(t.Context(), "crm")
	if err != nil || at != 0 {
		t.Errorf("the position is %d, %v", at, err)
	}
	held.Hash = ""
	same(t, "a renewed receipt", []*event.Receipt{&held}, known(t, s, "crm", 1))
	if r := known(t, s, "other", 1)[0]; r.Hash == "" {
		t.Error("another target is renewed with it")
	}
}

func testErasedReceipt(t *testing.T, s Store) {
	keep(t, s, 1, receipt(1, event.Held), receipt(2, event.Held))
	erased := &customer.Customer{ID: id(1).Birth(0), Version: 2, Status: customer.Erased, CreatedAt: at, UpdatedAt: at}
	apply(t, s, customer.Delta{Customers: []*customer.Customer{master(1, 1), master(2, 1)}})
	apply(t, s, customer.Delta{Customers: []*customer.Customer{erased}})
	got := known(t, s, "crm", 1, 2)
	want := receipt(1, event.Held)
	want.Hash, want.Said, want.Last, want.Heard = "", nil, 0, nil
	other := receipt(2, event.Held)
	same(t, "after an erasure", []*event.Receipt{&want, &other}, got)
	if !slices.Equal(got[1].Said, other.Said) {
		t.Error("an erasure reaches another customer's receipt")
	}
}

// testErasedAlias erases a record that came from a customer which was merged into the erased one, and whose entry the target had to remove:
// of that entry nothing is kept but that it was removed.
func testErasedAlias(t *testing.T, s Store) {
	alias := &customer.Customer{ID: id(1).Birth(0), Version: 2, Status: customer.Merged, AliasOf: id(2).Birth(0), CreatedAt: at, UpdatedAt: at}
	apply(t, s, customer.Delta{
		Members: []customer.Membership{live(1, 1), live(2, 2)}, Customers: []*customer.Customer{master(1, 1), master(2, 1)},
	})
	apply(t, s, customer.Delta{Members: []customer.Membership{live(1, 2)}, Customers: []*customer.Customer{alias, master(2, 2)}})
	one, two := receipt(1, event.Removed), receipt(2, event.Held)
	keep(t, s, 1, one, two)
	left := live(1, 2)
	left.Live = false
	apply(t, s, customer.Delta{
		Members: []customer.Membership{left}, Erased: []customer.RecordID{id(1)}, Customers: []*customer.Customer{master(2, 3)},
	})
	one.RemoteID, one.RemoteVersion, one.Hash, one.Said, one.Last, one.Heard = "", "", "", nil, 0, nil
	got := known(t, s, "crm", 1, 2)
	same(t, "after the erasure", []*event.Receipt{&one, &two}, got)
	if !slices.Equal(got[1].Said, two.Said) || len(got[0].Said) > 0 {
		t.Error("what the receipts say was said is not what it should be")
	}
}
