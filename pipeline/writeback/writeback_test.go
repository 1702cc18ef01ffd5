package writeback_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/writeback"
	"github.com/onefold/onefold/store/memory"
)

func want(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Customers reach the target as they are, in the form in which it wants them; what it holds already costs no call, and of several changes
// the last is the one that is written.
func TestSyncWritesWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		apply(t, store, person(1, 1, "Ann"), person(2, 1, "Bob"))
		apply(t, store, person(1, 2, "Anna"), person(1, 3, "Anne"))
		stop := run(t, writeback.New(config(), target, store, nil, nil))
		time.Sleep(time.Second)
		want(t, "the crm", map[string]string{
			cus(1).String(): `{"name":"Anne","email":"1@example.org"}`, cus(2).String(): `{"name":"Bob","email":"2@example.org"}`,
		}, target.holds())
		if n := len(target.said()); n != 2 {
			t.Errorf("%d deliveries for two customers", n)
		}
		apply(t, store, person(1, 4, "Anne")) // another version, the same for the target
		time.Sleep(time.Second)
		if n := len(target.said()); n != 2 {
			t.Errorf("what the target holds already was written again: %d deliveries", n)
		}
		r := receipt(t, store, 2)
		if r.State != event.Held || r.RemoteID == "" || r.RemoteVersion == "" || r.Hash == "" || len(r.Said) == 0 || !r.Next.IsZero() {
			t.Errorf("the receipt: %+v", r)
		}
		stop()
		if at, err := store.TargetPosition(t.Context(), "crm"); err != nil || at != 5 {
			t.Errorf("the position is %d, %v", at, err)
		}
		stop = run(t, writeback.New(config(), target, store, nil, nil)) // a new process
		apply(t, store, person(2, 2, "Bert"))
		time.Sleep(time.Second)
		stop()
		if got := target.said(); len(got) != 3 || got[2] != `upsert {"name":"Bert","email":"2@example.org"}` {
			t.Errorf("after a restart: %q", got)
		}
		target.blame(t)
	})
}

func TestSyncFollowsMerges(t *testing.T) {
	for name, c := range map[string]struct {
		merges, silent bool
		first          []*customer.Customer // both are written
		want           []string             // what is pushed then
	}{
		"a survivor that has none takes the entry": {
			want: []string{`upsert {"name":"Bob","email":"2@example.org"}`},
		},
		"else the merged one's is removed": {first: []*customer.Customer{person(2, 1, "Bob")}, want: []string{`remove `}},
		"or both become one, and it is corrected": {
			merges: true, first: []*customer.Customer{person(2, 1, "Bob")},
			want: []string{`merge `, `upsert {"name":"Bob","email":"2@example.org"}`},
		},
		"a target that tells no ids has it removed": {
			silent: true, want: []string{`upsert {"name":"Bob","email":"2@example.org"}`, `remove `},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, target := memory.New(), newCRM()
				target.merges, target.silent = c.merges, c.silent
				apply(t, store, append(c.first, person(1, 1, "Ann"))...)
				defer run(t, writeback.New(config(), target, store, nil, nil))()
				time.Sleep(time.Second)
				before := len(target.said())
				apply(t, store, become(1, 2, customer.Merged, 2), person(2, 2, "Bob"))
				time.Sleep(10 * time.Second)
				want(t, "what is pushed", c.want, target.said()[before:])
				want(t, "the crm", map[string]string{cus(2).String(): `{"name":"Bob","email":"2@example.org"}`}, target.holds())
				if s := receipt(t, store, 1).State; s != event.Removed {
					t.Errorf("the merged one is %s", s)
				}
				apply(t, store, person(1, 3, "Ann"), person(2, 3, "Bob")) // the split brings the old id back
				time.Sleep(10 * time.Second)
				if got := target.holds(); len(got) != 2 || got[cus(1).String()] != `{"name":"Ann","email":"1@example.org"}` {
					t.Errorf("after the split: %q", got)
				}
				target.blame(t)
			})
		})
	}
}

// A survivor that does not belong there takes no entry over: what the target holds of the merged one is removed.
func TestSyncRemovesWhatNobodyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		hidden := func(version int64) *customer.Customer {
			c := person(2, version, "Bob")
			c.Attributes = append(c.Attributes, attribute("status", "hidden"))
			return c
		}
		apply(t, store, person(1, 1, "Ann"), hidden(1))
		defer run(t, writeback.New(config(), target, store, nil, nil))()
		time.Sleep(time.Second)
		apply(t, store, become(1, 2, customer.Merged, 2), hidden(2))
		time.Sleep(10 * time.Second)
		want(t, "the crm", map[string]string{}, target.holds())
		if s := receipt(t, store, 1).State; s != event.Removed {
			t.Errorf("the merged one is %s", s)
		}
		if r := receipt(t, store, 2); r.State != "" {
			t.Errorf("who does not belong there has a receipt: %+v", r)
		}
		target.blame(t)
	})
}

// Who is gone, erased, or does not belong there any more is removed, and that is proven; of who is erased nothing else is kept.
func TestSyncRemoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		apply(t, store, person(1, 1, "Ann"), person(2, 1, "Bob"), person(3, 1, "Cid"), person(4, 1, "Dot"))
		var erased []bool
		target.refuse = func(d *adapters.Delivery) *adapters.Problem {
			if d.Op == adapters.Remove && d.Customer == cus(2) {
				erased = append(erased, d.Erased)
			}
			return nil
		}
		defer run(t, writeback.New(config(), target, store, nil, nil))()
		time.Sleep(time.Second)
		hidden := person(3, 2, "Cid")
		hidden.Attributes = append(hidden.Attributes, attribute("status", "hidden"))
		apply(t, store, become(1, 2, customer.Gone, 0), become(2, 2, customer.Erased, 0), hidden)
		time.Sleep(time.Second)
		want(t, "the crm", map[string]string{cus(4).String(): `{"name":"Dot","email":"4@example.org"}`}, target.holds())
		for _, n := range []int{1, 2} {
			r := receipt(t, store, n)
			r.At = time.Time{}
			want(t, "the proof", event.Receipt{Target: "crm", Customer: cus(n).String(), Version: 2, State: event.Removed}, r)
		}
		target.locked(func() { want(t, "erasures are told as such", []bool{true}, erased) })
		apply(t, store, person(1, 3, "Ann"), become(4, 2, customer.Erased, 0), become(5, 1, customer.Gone, 0))
		time.Sleep(time.Second)
		want(t, "who comes back is made anew", map[string]string{cus(1).String(): `{"name":"Ann","email":"1@example.org"}`}, target.holds())
		if r := receipt(t, store, 5); r.State != "" {
			t.Errorf("who never was there has a receipt: %+v", r)
		}
		target.blame(t)
	})
}

// An entry that had to go with a merge, and has not gone when the survivor is erased, goes as an erasure.
func TestSyncErasesWhatWasMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		apply(t, store, person(1, 1, "Ann"), person(2, 1, "Bob"))
		var refuses atomic.Bool
		refuses.Store(true)
		var erased []bool
		target.refuse = func(d *adapters.Delivery) *adapters.Problem {
			if d.Op == adapters.Remove && d.Customer == cus(1) {
				if refuses.Load() {
					return problem(event.Retryable, 0)
				}
				erased = append(erased, d.Erased)
			}
			return nil
		}
		defer run(t, writeback.New(config(), target, store, nil, nil))()
		time.Sleep(time.Second)
		apply(t, store, become(1, 2, customer.Merged, 2), person(2, 2, "Bob"))
		time.Sleep(time.Minute)
		apply(t, store, become(2, 3, customer.Erased, 0))
		time.Sleep(time.Minute)
		refuses.Store(false)
		time.Sleep(time.Hour)
		want(t, "the crm", map[string]string{}, target.holds())
		target.locked(func() { want(t, "it is told as an erasure", []bool{true}, erased) })
		target.blame(t)
	})
}

// A target that is down for an hour loses nothing, is not called all the time, and is given each customer once when it is back.
func TestSyncOutlastsAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		var down atomic.Bool
		down.Store(true)
		target.before = func(int, []adapters.Delivery) error {
			if down.Load() {
				return event.Errorf(event.Retryable, "unreachable", "", "nobody answers")
			}
			return nil
		}
		s := writeback.New(config(), target, store, nil, nil)
		defer run(t, s)()
		for n := range 60 {
			apply(t, store, person(n, 1, "first"), person(n, 2, "last"))
			time.Sleep(time.Minute)
		}
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "nobody answers") {
			t.Errorf("a target that is down is ready: %v", err)
		}
		target.locked(func() {
			if target.calls > 40 {
				t.Errorf("%d calls in an hour of a target that is down", target.calls)
			}
		})
		st, err := s.Status(t.Context(), store)
		if err != nil || st.State != "down" || st.Waiting < 40 || st.Oldest.IsZero() {
			t.Errorf("the status: %+v, %v", st, err)
		}
		down.Store(false)
		time.Sleep(10 * time.Minute)
		if got := target.holds(); len(got) != 60 {
			t.Errorf("%d of 60 customers are there", len(got))
		}
		if n := len(target.said()); n != 60 {
			t.Errorf("%d deliveries for 60 customers", n)
		}
		if err := s.Ready(); err != nil {
			t.Error(err)
		}
		target.blame(t)
	})
}

func problem(class event.Class, after time.Duration) *adapters.Problem {
	return &adapters.Problem{Error: *event.Errorf(class, "a-reason", "", "it says so"), After: after}
}

// Patience that a target asks for is given it, and is nobody's failure.
func TestSyncWaitsAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		var asked []time.Time
		begin := time.Now()
		target.refuse = func(*adapters.Delivery) *adapters.Problem {
			asked = append(asked, time.Now())
			if time.Since(begin) < 90*time.Second {
				return problem(event.Throttled, 30*time.Second)
			}
			return nil
		}
		for n := range 20 {
			apply(t, store, person(n, 1, "a"))
		}
		s := writeback.New(config(), target, store, nil, nil)
		defer run(t, s)()
		time.Sleep(20 * time.Second)
		if err := s.Ready(); err != nil {
			t.Errorf("a target that asks for patience is not ready: %v", err)
		}
		counts, _ := store.CountReceipts(t.Context(), "crm")
		if counts[event.Refused] > 0 {
			t.Errorf("refused for throttling: %v", counts)
		}
		time.Sleep(3 * time.Minute)
		if got := target.holds(); len(got) != 20 {
			t.Errorf("%d of 20 customers are there", len(got))
		}
		var times []time.Time
		target.locked(func() { times = asked })
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d > 0 && d < 30*time.Second && times[i].Sub(begin) < 90*time.Second {
				t.Errorf("it was called %s after it had asked for 30 s", d)
			}
		}
		if r := receipt(t, store, 3); r.Tries != 0 || r.Error != "" {
			t.Errorf("throttling counts as a failure: %+v", r)
		}
		target.blame(t)
	})
}

// A credential that does not work holds the whole target, refuses nobody, and is told.
func TestSyncHoldsForACredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		var expired atomic.Bool
		expired.Store(true)
		target.before = func(int, []adapters.Delivery) error {
			if expired.Load() {
				return event.Errorf(event.Auth, "login", "", "the token has expired")
			}
			return nil
		}
		apply(t, store, person(1, 1, "a"), person(2, 1, "b"), person(3, 1, "c"), person(4, 1, "d"))
		s := writeback.New(config(), target, store, nil, nil)
		defer run(t, s)()
		time.Sleep(time.Hour)
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "credential") {
			t.Errorf("an expired token is not told: %v", err)
		}
		if st, _ := s.Status(t.Context(), store); st.State != "auth" || st.Receipts[event.Refused] > 0 {
			t.Errorf("the status: %+v", st)
		}
		expired.Store(false)
		time.Sleep(2 * time.Minute)
		if got := target.holds(); len(got) != 4 || s.Ready() != nil {
			t.Errorf("after renewal: %d of 4 are there, %v", len(got), s.Ready())
		}
		target.blame(t)
	})
}

// What one customer is refused for holds up nobody else. It is listed, the same is not asked again, the next version is.
func TestSyncRefusesAVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		asked := 0
		target.refuse = func(d *adapters.Delivery) *adapters.Problem {
			if strings.Contains(string(d.Body), "bad") {
				asked++
				return problem(event.Permanent, 0)
			}
			return nil
		}
		broken := person(3, 1, "Cid")
		broken.Attributes = append(broken.Attributes, attribute("status", "broken"))
		apply(t, store, person(1, 1, "bad"), person(2, 1, "good"), broken)
		defer run(t, writeback.New(config(), target, store, nil, nil))()
		time.Sleep(time.Hour)
		apply(t, store, person(1, 2, "bad"))
		time.Sleep(time.Minute)
		target.locked(func() {
			if asked != 1 {
				t.Errorf("the same was asked %d times", asked)
			}
		})
		refused, err := store.RefusedReceipts(t.Context(), "crm", "", 10)
		if err != nil || len(refused) != 2 || refused[0].Reason != "a-reason" || refused[1].Reason != "mapping" {
			t.Errorf("who is refused: %+v, %v", refused, err)
		}
		apply(t, store, person(1, 3, "better"), person(3, 2, "Cid"))
		time.Sleep(time.Minute)
		if got := target.holds(); len(got) != 3 {
			t.Errorf("after the next version: %q", got)
		}
		target.blame(t)
	})
}

// One that fails again and again does not hold up the others, and is tried again after ever longer waits.
func TestSyncBacksOffPerCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		tried := 0
		target.refuse = func(d *adapters.Delivery) *adapters.Problem {
			if d.Customer == cus(1) {
				tried++
				return problem(event.Retryable, 0)
			}
			return nil
		}
		apply(t, store, person(1, 1, "poor"), person(2, 1, "b"))
		s := writeback.New(config(), target, store, nil, nil)
		defer run(t, s)()
		time.Sleep(time.Hour)
		target.locked(func() {
			if tried < 10 || tried > 40 {
				t.Errorf("it was tried %d times in an hour", tried)
			}
		})
		for n := 3; n < 6; n++ {
			apply(t, store, person(n, 1, "c"))
			time.Sleep(2 * time.Second)
			if got := target.holds(); len(got) != n-1 {
				t.Errorf("another waits for the one that fails: %d are there", len(got))
			}
		}
		if r := receipt(t, store, 1); r.State != event.Owed || r.Tries < 10 || r.Next.Before(time.Now()) {
			t.Errorf("its receipt: %+v", r)
		}
		target.blame(t)
	})
}

// Whoever always fails, and was the only one to be written when that began, keeps nobody else from the target: it is not the target that is
// down, nor its credential that does not work.
func TestSyncLetsNobodyStandBeforeOthers(t *testing.T) {
	for _, class := range []event.Class{event.Retryable, event.Auth} {
		for _, batch := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, batches of %d", class, batch), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, target := memory.New(), newCRM()
					target.batch = batch
					target.refuse = func(d *adapters.Delivery) *adapters.Problem {
						if d.Customer == cus(2) {
							return problem(class, 0)
						}
						return nil
					}
					defer run(t, writeback.New(config(), target, store, nil, nil))()
					apply(t, store, person(1, 1, "Ann"))
					time.Sleep(time.Minute)
					apply(t, store, person(2, 1, "Bob"))
					time.Sleep(time.Minute)
					for n := 3; n < 12; n++ {
						apply(t, store, person(n, 1, "Cid"))
					}
					time.Sleep(time.Hour)
					if n := len(target.holds()); n != 10 {
						t.Errorf("the crm holds %d of 10 that it takes", n)
					}
					target.locked(func() {
						if target.calls > 400 {
							t.Errorf("the crm was called %d times in an hour", target.calls)
						}
					})
					if r := receipt(t, store, 2); r.State != event.Owed || r.Class != class {
						t.Errorf("who fails is %s %s", r.State, r.Class)
					}
					target.blame(t)
				})
			})
		}
	}
}

// A whole call that is refused for good is divided until the ones are found whose fault it is.
func TestSyncDividesARefusedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		target.before = func(_ int, ds []adapters.Delivery) error {
			for i := range ds {
				if ds[i].Customer == cus(2) {
					return event.Errorf(event.Permanent, "validation", "", "one of them is wrong")
				}
			}
			return nil
		}
		apply(t, store, person(1, 1, "a"), person(2, 1, "b"), person(3, 1, "c"))
		defer run(t, writeback.New(config(), target, store, nil, nil))()
		time.Sleep(time.Second)
		if got := target.holds(); len(got) != 2 || receipt(t, store, 2).State != event.Refused {
			t.Errorf("%d are there, the bad one is %s", len(got), receipt(t, store, 2).State)
		}
	})
}

func TestSyncSurvivesABadAdapter(t *testing.T) {
	for name, do := range map[string]func() error{
		"a panic":                func() error { panic("with a name in it") },
		"an error without class": func() error { return errors.New("with a name in it") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, target := memory.New(), newCRM()
				var bad atomic.Bool
				bad.Store(true)
				target.before = func(int, []adapters.Delivery) error {
					if bad.Load() {
						return do()
					}
					return nil
				}
				apply(t, store, person(1, 1, "a"))
				defer run(t, writeback.New(config(), target, store, nil, nil))()
				time.Sleep(time.Minute)
				if r := receipt(t, store, 1); r.State != event.Owed || strings.Contains(r.Error, "name") {
					t.Errorf("the receipt: %+v", r)
				}
				bad.Store(false)
				time.Sleep(10 * time.Minute)
				if got := target.holds(); len(got) != 1 {
					t.Error("it does not come back")
				}
			})
		})
	}
}

// Resync writes everything again, whatever was written before.
func TestResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		apply(t, store, person(1, 1, "a"), person(2, 1, "b"))
		apply(t, store, become(2, 2, customer.Gone, 0))
		s := writeback.New(config(), target, store, nil, nil)
		defer run(t, s)()
		time.Sleep(time.Second)
		target.locked(func() { clear(target.entries) }) // it was put back to an empty backup
		if err := s.Resync(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want(t, "the crm", map[string]string{cus(1).String(): `{"name":"a","email":"1@example.org"}`}, target.holds())
		target.blame(t)
	})
}

// What would be done about a customer is told, and not done.
func TestPreview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, target := memory.New(), newCRM()
		apply(t, store, person(1, 1, "a"))
		s := writeback.New(config(), target, store, nil, nil)
		p, err := s.Preview(t.Context(), cus(1))
		if err != nil || p.Op != "upsert" || p.Body != `{"name":"a","email":"1@example.org"}` || p.Receipt != nil {
			t.Errorf("before: %+v, %v", p, err)
		}
		stop := run(t, s)
		time.Sleep(time.Second)
		stop()
		p, err = s.Preview(t.Context(), cus(1))
		if err != nil || p.Op != "none" || p.Receipt == nil {
			t.Errorf("after: %+v, %v", p, err)
		}
		if _, err := s.Preview(t.Context(), cus(9)); !errors.Is(err, customer.ErrNotFound) {
			t.Errorf("of nobody: %v", err)
		}
		if n := len(target.said()); n != 1 {
			t.Errorf("%d deliveries", n)
		}
	})
}
