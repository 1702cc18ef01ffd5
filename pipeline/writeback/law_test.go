package writeback_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/writeback"
	"github.com/onefold/onefold/store/memory"
)

// step is one thing that happens to customers, to the target, or to the process.
type step struct {
	Do   string
	Who  int
	Into int
	Name string
	Wait int // milliseconds
}

var errStore = errors.New("the store is away")

// faulty is a store that fails where it is told.
type faulty struct {
	*memory.Store
	fail func() bool
}

func (f *faulty) KeepReceipts(ctx context.Context, target string, rs []event.Receipt, position int64) error {
	if f.fail() {
		return errStore
	}
	return f.Store.KeepReceipts(ctx, target, rs, position)
}

// world is the customers as they should be, and everything around.
type world struct {
	t       *testing.T
	store   *memory.Store
	crm     *crm
	version map[int]int64
	now     map[int]*customer.Customer
	mode    atomic.Value // a string
	away    atomic.Bool
}

func (w *world) be(c *customer.Customer, n int) {
	w.version[n] = c.Version
	w.now[n] = c
	apply(w.t, w.store, c)
}

func (w *world) step(st step) {
	next := w.version[st.Who] + 1
	old := w.now[st.Who]
	switch st.Do {
	case "change", "split":
		w.be(person(st.Who, next, st.Name), st.Who)
	case "merge":
		if to := w.now[st.Into]; st.Who != st.Into && old != nil && old.Status == customer.Active && to != nil && to.Status == customer.Active {
			w.be(person(st.Into, w.version[st.Into]+1, st.Name), st.Into)
			w.be(become(st.Who, next, customer.Merged, st.Into), st.Who)
		}
	case "gone", "erase":
		status := map[string]customer.Status{"gone": customer.Gone, "erase": customer.Erased}[st.Do]
		if old != nil && old.Status != customer.Merged {
			w.be(become(st.Who, next, status, 0), st.Who)
		}
	case "hide":
		c := person(st.Who, next, st.Name)
		c.Attributes = append(c.Attributes, attribute("status", "hidden"))
		w.be(c, st.Who)
	default:
		w.mode.Store(st.Do)
	}
}

// fault is what the target does to a delivery in the world's mode.
func (w *world) fault(d *adapters.Delivery) *adapters.Problem {
	switch w.mode.Load() {
	case "throttle":
		return problem(event.Throttled, time.Second)
	case "lock":
		return problem(event.Auth, 0)
	case "some":
		if d.Customer[15]%2 == 0 {
			return problem(event.Retryable, 0)
		}
	}
	return nil
}

// should answers what the target holds in the end.
func (w *world) should() map[string]string {
	out := map[string]string{}
	for _, c := range w.now {
		if c.Status != customer.Active {
			continue
		}
		if r, _ := w.crm.Render(c); r != nil {
			out[c.ID.String()] = string(r.Body)
		}
	}
	return out
}

// Whatever happens, in whatever order, with whatever failures and crashes: in the end the target holds exactly the active customers, each
// as it is.
func TestSyncLaw(t *testing.T) {
	kinds := []string{
		"change", "change", "change", "merge", "split", "gone", "erase", "hide", "down", "throttle", "lock", "some", "lost", "lost",
		"store", "crash", "crash", "well", "resync",
	}
	steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{
			Do: rapid.SampledFrom(kinds).Draw(rt, "do"), Who: rapid.IntRange(1, 3).Draw(rt, "who"), Into: rapid.IntRange(1, 3).Draw(rt, "into"),
			Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name"), Wait: rapid.SampledFrom([]int{0, 1, 30, 700, 700, 5000}).Draw(rt, "wait"),
		}
	}), 10, 60)
	rapid.Check(t, func(rt *rapid.T) {
		all, merges, silent := steps.Draw(rt, "steps"), rapid.Bool().Draw(rt, "merges"), rapid.Bool().Draw(rt, "silent")
		var found string
		synctest.Test(t, func(t *testing.T) { found = live(t, all, merges, silent) })
		if found != "" {
			rt.Fatal(found)
		}
	})
}

// live lets the steps happen and answers what is wrong in the end.
func live(t *testing.T, all []step, merges, silent bool) string {
	w := &world{t: t, store: memory.New(), crm: newCRM(), version: map[int]int64{}, now: map[int]*customer.Customer{}}
	w.crm.merges, w.crm.silent = merges, silent
	w.crm.refuse = w.fault
	w.crm.before = func(int, []adapters.Delivery) error {
		time.Sleep(10 * time.Millisecond)
		if w.mode.Load() == "down" {
			return event.Errorf(event.Retryable, "unreachable", "", "nobody answers")
		}
		return nil
	}
	w.crm.after = func(int) error { // done, but nobody hears of it
		if w.mode.Load() == "lost" {
			return event.Errorf(event.Retryable, "unreachable", "", "the answer was lost")
		}
		return nil
	}
	store := &faulty{Store: w.store, fail: func() bool { return w.mode.Load() == "store" || w.away.Load() }}
	c := config()
	c.Round, c.Drain = 3, 20*time.Millisecond
	open := func() (*writeback.Sync, func()) {
		s := writeback.New(c, w.crm, store, nil, nil)
		return s, run(t, s)
	}
	s, stop := open()
	for _, st := range all {
		switch st.Do {
		case "crash": // nothing can be kept any more, and another process begins
			w.away.Store(true)
			stop()
			w.away.Store(false)
			s, stop = open()
		case "resync": // the target was put back to an empty backup
			w.crm.mu.Lock()
			clear(w.crm.entries)
			w.crm.mu.Unlock()
			if err := s.Resync(t.Context()); err != nil {
				return err.Error()
			}
		default:
			w.step(st)
		}
		s.Wake()
		time.Sleep(time.Duration(st.Wait) * time.Millisecond)
	}
	w.mode.Store("well")
	time.Sleep(30 * time.Minute)
	stop()
	if diff := cmp.Diff(w.should(), w.crm.holds()); diff != "" {
		return "the target differs from the customers (-want +got):\n" + diff
	}
	if len(w.crm.faults) > 0 {
		return fmt.Sprint(w.crm.faults)
	}
	return w.proven()
}

// proven answers who is erased and lacks the proof of it.
func (w *world) proven() string {
	for n, c := range w.now {
		r := receipt(w.t, w.store, n)
		if c.Status == customer.Erased && r.State != "" && (r.State != event.Removed || r.RemoteID != "" || len(r.Said) > 0 || r.Hash != "") {
			return fmt.Sprintf("an erased customer's receipt is %+v", r)
		}
		if !r.Next.IsZero() {
			return fmt.Sprintf("something is still owed: %+v", r)
		}
	}
	return ""
}
