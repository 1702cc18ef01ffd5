package adaptertest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// System imitates, in memory, the outside system that a target writes to: what it is told, it holds.
type System interface {
	http.Handler
	// Holds answers, by our id, what the entries hold, as Render says it.
	Holds() map[string]json.RawMessage
}

// TargetSetup is what a target is examined with.
type TargetSetup struct {
	// Target answers a target that speaks to the system at an address. It may ask as often as it likes, and waits for an answer as
	// long as the context lets it.
	Target func(t *testing.T, url string) adapters.Target
	System func() System       // a new and empty one
	Good   []customer.Customer // at least three that the system takes
	Bad    customer.Customer   // one that it does not take
	Secret string              // what the target logs in with: it is never told
}

// RunTarget holds a target against the laws of targets; each is a subtest. The system answers over a real connection, and does
// everything wrong that real systems do.
func RunTarget(t *testing.T, s TargetSetup) {
	t.Helper()
	if len(s.Good) < 3 || s.Secret == "" {
		t.Fatal("the setup needs three customers that the system takes, and the secret that the target logs in with")
	}
	for _, l := range targetLaws() {
		t.Run(l.name, func(t *testing.T) {
			b := newBench(t, s)
			l.check(t, b)
			if got := b.gate.smuggled(); got != "" {
				t.Errorf("a value of a customer has become a part of a request: %s", got)
			}
		})
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // some of them ask to be left alone
			newBench(t, s).suffer(t, f)
		})
	}
}

type targetLaw struct {
	name  string
	check func(t *testing.T, b *bench)
}

func targetLaws() []targetLaw {
	return []targetLaw{
		{"renders the same", rendersSame},
		{"only active customers", onlyActive},
		{"pushes", pushes},
		{"pushes again", pushesAgain},
		{"removes twice", removesTwice},
		{"merges twice", mergesTwice},
		{"one is refused", oneRefused},
		{"hostile values", hostileValues},
		{"lost answer", lostAnswer},
		{"redirect", redirect},
		{"certificate", certificate},
		{"deadline", deadline},
		{"cancelled", cancelledPush},
	}
}

func (b *bench) render(t *testing.T, c *customer.Customer) *adapters.Rendering {
	t.Helper()
	r, err := b.target.Render(c)
	if err != nil {
		t.Fatalf("a customer cannot be rendered: %v", err)
	}
	return r
}

// upsert is the delivery of what a customer is now.
func (b *bench) upsert(t *testing.T, c *customer.Customer, remote string) adapters.Delivery {
	t.Helper()
	r := b.render(t, c)
	if r == nil {
		t.Fatal("a customer of the setup does not belong to the target: give it what the target needs")
	}
	return adapters.Delivery{
		ID: c.PublishedID() + ".upsert", Op: adapters.Upsert, Customer: c.ID, Version: c.Version, RemoteID: remote, Body: r.Body,
	}
}

// push brings deliveries in portions that the target takes. An error of the whole is one of each.
func (b *bench) push(ctx context.Context, t *testing.T, ds ...adapters.Delivery) []adapters.Receipt {
	t.Helper()
	var all []adapters.Receipt
	for portion := range slices.Chunk(ds, max(1, b.target.Abilities().Batch)) {
		receipts, err := b.target.Push(ctx, portion)
		if err != nil {
			b.quiet(t, err.Error())
			receipts = make([]adapters.Receipt, len(portion))
			for i := range receipts {
				receipts[i].Problem = &adapters.Problem{Error: event.Error{Class: event.ClassOf(err), Text: err.Error()}}
			}
		}
		if len(receipts) != len(portion) {
			t.Fatalf("%d receipts for %d deliveries", len(receipts), len(portion))
		}
		all = append(all, receipts...)
	}
	for _, r := range all {
		if r.Problem != nil {
			b.quiet(t, r.Problem.Error.Error()+" "+r.Problem.Reason)
		}
	}
	return all
}

// done is push of what must succeed.
func (b *bench) done(t *testing.T, ds ...adapters.Delivery) []adapters.Receipt {
	t.Helper()
	receipts := b.push(t.Context(), t, ds...)
	for i, r := range receipts {
		if r.Problem != nil {
			t.Fatalf("delivery %d of %d is not done: %s (%s)", i, len(ds), r.Problem.Error.Error(), r.Problem.Class)
		}
	}
	return receipts
}

// holds checks that the system holds what the deliveries say, and of nobody else.
func (b *bench) holds(t *testing.T, ds ...adapters.Delivery) {
	t.Helper()
	held := b.system.Holds()
	if len(held) != len(ds) {
		t.Errorf("the system holds %d entries, want %d", len(held), len(ds))
	}
	for _, d := range ds {
		if got := held[d.Customer.String()]; !bytes.Equal(compact(got), compact(d.Body)) {
			t.Errorf("the system holds\n%s\nwant\n%s", got, d.Body)
		}
	}
}

func compact(text []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}

// quiet checks that what is told of a problem holds neither the secret nor anything of a customer or of what the system answered.
func (b *bench) quiet(t *testing.T, text string) {
	t.Helper()
	for _, word := range b.words {
		if strings.Contains(text, word) {
			t.Errorf("an error tells %q (invariant 9): %s", word, text)
		}
	}
}

// rendersSame: the same customer gives the same bytes, by many at once, and is not written to; what was said is of the customer.
func rendersSame(t *testing.T, b *bench) {
	for i := range b.Good {
		c := &b.Good[i]
		before, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		want := b.render(t, c)
		if want == nil || len(want.Body) == 0 {
			t.Fatal("a customer of the setup does not belong to the target, or says nothing")
		}
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if got, err := b.target.Render(c); err != nil || !bytes.Equal(got.Body, want.Body) || !slices.Equal(got.Said, want.Said) {
					t.Errorf("the same customer is rendered in two ways:\n%s\n%s", want.Body, got.Body)
				}
			})
		}
		wait.Wait()
		for _, p := range want.Said {
			if !slices.ContainsFunc(c.Attributes, func(a customer.Attribute) bool { return a.Path == p }) {
				t.Errorf("the rendering says %s, which the customer does not have", p)
			}
		}
		if after, err := json.Marshal(c); err != nil || !bytes.Equal(before, after) {
			t.Error("rendering writes to the customer")
		}
	}
}

// onlyActive: who was merged, is gone or erased is not rendered.
func onlyActive(t *testing.T, b *bench) {
	for _, status := range []customer.Status{customer.Merged, customer.Gone, customer.Erased} {
		c := b.Good[0]
		if c.Status = status; b.render(t, &c) != nil {
			t.Errorf("a customer that is %s is rendered", status)
		}
	}
}

// pushes: what is pushed is held.
func pushes(t *testing.T, b *bench) {
	ds := b.all(t)
	b.done(t, ds...)
	b.holds(t, ds...)
}

func (b *bench) all(t *testing.T) []adapters.Delivery {
	t.Helper()
	ds := make([]adapters.Delivery, len(b.Good))
	for i := range b.Good {
		ds[i] = b.upsert(t, &b.Good[i], "")
	}
	return ds
}

// pushesAgain: the same deliveries again change nothing; a new version is held, under the id that the target told.
func pushesAgain(t *testing.T, b *bench) {
	ds := b.all(t)
	first := b.done(t, ds...)
	second := b.done(t, ds...)
	b.holds(t, ds...)
	for i := range ds {
		if first[i].RemoteID != second[i].RemoteID {
			t.Errorf("the id of an entry was %q and is %q", first[i].RemoteID, second[i].RemoteID)
		}
		next := b.Good[(i+1)%len(b.Good)]
		next.ID, next.Version = b.Good[i].ID, b.Good[i].Version+1
		ds[i] = b.upsert(t, &next, first[i].RemoteID)
	}
	b.done(t, ds...)
	b.holds(t, ds...)
}

// removesTwice: an entry that is not there is as good as removed, whether or not its id is known.
func removesTwice(t *testing.T, b *bench) {
	ds := b.all(t)
	receipts := b.done(t, ds...)
	for i, remote := range []string{receipts[0].RemoteID, ""} {
		remove := adapters.Delivery{
			ID: ds[i].ID + ".remove", Op: adapters.Remove, Customer: ds[i].Customer, Version: 9, RemoteID: remote, Erased: i == 1,
		}
		b.done(t, remove)
		b.done(t, remove)
		b.holds(t, ds[i+1:]...)
	}
	again := b.upsert(t, &b.Good[0], receipts[0].RemoteID) // of one that comes back, under an id that is none any more
	b.done(t, again)
	b.holds(t, append(slices.Clone(ds[2:]), again)...)
}

// mergesTwice: the entry becomes part of another, and has done so already when it is asked again, also where its id is not known.
func mergesTwice(t *testing.T, b *bench) {
	if !b.target.Abilities().Merge {
		t.Skip("the target cannot merge")
	}
	ds := b.all(t)
	receipts := b.done(t, ds...)
	for i, remote := range []string{receipts[0].RemoteID, ""} {
		merge := adapters.Delivery{
			ID: ds[i].ID + ".merge", Op: adapters.Merge, Customer: ds[i].Customer, Version: 9, RemoteID: remote, Into: receipts[2].RemoteID,
		}
		b.done(t, merge)
		b.done(t, merge)
		b.holds(t, ds[i+1:]...)
	}
}

// oneRefused: one that the system does not take harms itself only.
func oneRefused(t *testing.T, b *bench) {
	ds := b.all(t)
	ds = slices.Insert(ds, 1, b.upsert(t, &b.Bad, ""))
	receipts := b.push(t.Context(), t, ds...)
	for i, r := range receipts {
		switch {
		case i == 1 && (r.Problem == nil || r.Problem.Class != event.Permanent):
			t.Errorf("what the system does not take: want a problem of class permanent, got %+v", r.Problem)
		case i != 1 && r.Problem != nil:
			t.Errorf("delivery %d suffers from another: %s", i, r.Problem.Error.Error())
		}
	}
	b.holds(t, slices.Delete(ds, 1, 2)...)
}

// lostAnswer: what was done although its answer was lost is done once when it is tried again.
func lostAnswer(t *testing.T, b *bench) {
	ds := b.all(t)
	b.gate.set(func(w http.ResponseWriter, r *http.Request) {
		b.system.ServeHTTP(&void{header: http.Header{}}, r)
		hang(w)
	})
	for _, r := range b.push(t.Context(), t, ds...) {
		if r.Problem == nil || r.Problem.Class != event.Retryable {
			t.Errorf("an answer that was lost: want a problem of class retryable, got %+v", r.Problem)
		}
	}
	b.gate.set(nil)
	b.done(t, ds...)
	b.holds(t, ds...)
}

// deadline: who is given some time takes no more.
func deadline(t *testing.T, b *bench) {
	ds := b.all(t)
	b.gate.set(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that nobody waits any more
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.within(t, func() {
		for _, r := range b.push(ctx, t, ds...) {
			if r.Problem == nil || r.Problem.Class != event.Retryable {
				t.Errorf("no answer in time: want a problem of class retryable, got %+v", r.Problem)
			}
		}
	})
}

// cancelledPush: who is told to stop, stops, and says that it may be tried again.
func cancelledPush(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.within(t, func() {
		for _, r := range b.push(ctx, t, b.all(t)...) {
			if r.Problem != nil && r.Problem.Class != event.Retryable {
				t.Errorf("a push under a cancelled context: want class retryable, got %s", r.Problem.Class)
			}
		}
	})
}

// within fails where something takes so long that it must be hanging.
func (*bench) within(t *testing.T, do func()) {
	t.Helper()
	started := time.Now()
	if do(); time.Since(started) > patience {
		t.Errorf("it takes %v", time.Since(started))
	}
}
