package customer_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/customer/review"
	"github.com/onefold/onefold/store/memory"
)

// waiting answers the queue in a form that knows no ids: whose records may be one with whose, and by how much.
func (h *house) waiting(t require) []string {
	t.Helper()
	customers := h.customersOf(t)
	all, err := h.store.Reviews(t.Context(), customer.ReviewQuery{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range all {
		a, b := customers[p.ID.A], customers[p.ID.B]
		if a == nil || b == nil || p.A.Customer != p.ID.A || p.B.Customer != p.ID.B {
			t.Fatalf("one who is no active customer waits: %+v", p)
		}
		if p.Records != len(a.Members)+len(b.Members) {
			t.Fatalf("%d records wait, the two have %d and %d", p.Records, len(a.Members), len(b.Members))
		}
		out = append(out, pairText(a, b, p.Weight, p.Threshold))
	}
	slices.Sort(out)
	return out
}

func pairText(a, b *customer.Customer, weight, threshold customer.Weight) string {
	names := func(c *customer.Customer) string {
		var out []string
		for _, m := range c.Members {
			out = append(out, m.Source+"/"+m.Key)
		}
		return strings.Join(out, "+")
	}
	x, y := names(a), names(b)
	return fmt.Sprintf("%s ~ %s: %.3f of %.3f", min(x, y), max(x, y), weight.Float(), threshold.Float())
}

// left answers what must wait, worked out from all that is stored.
func (h *house) left(t require) []string {
	t.Helper()
	customers := h.customersOf(t)
	var ids []customer.RecordID
	for _, c := range customers {
		for _, m := range c.Members {
			ids = append(ids, m.Record)
		}
	}
	type pair [2]customer.CustomerID
	of := func(a, b customer.CustomerID) pair {
		if bytes.Compare(a[:], b[:]) > 0 {
			a, b = b, a
		}
		return pair{a, b}
	}
	best, settled := map[pair]customer.Edge{}, map[pair]bool{}
	err := h.store.View(t.Context(), func(v customer.View) error {
		comps, err := v.Components(t.Context(), ids)
		for _, c := range comps {
			where := map[customer.RecordID]customer.CustomerID{}
			for _, m := range c.Members {
				if m.Live {
					where[m.Record] = m.Customer
				}
			}
			for _, d := range c.Decisions {
				_, a := where[d.A]
				if _, b := where[d.B]; a && b && d.Kind == customer.NotSame {
					settled[of(where[d.A], where[d.B])] = true
				}
			}
			for _, e := range c.Edges {
				for _, a := range c.Members {
					for _, b := range c.Members {
						if !a.Live || !b.Live || a.Node != e.A || b.Node != e.B || a.Customer == b.Customer {
							continue
						}
						p := of(a.Customer, b.Customer)
						known, twice := best[p]
						if !twice || cmp.Less(known.Weight-known.Threshold, e.Weight-e.Threshold) {
							best[p] = e
						}
						settled[p] = settled[p] || e.Rule == customer.CannotLink
					}
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for p, e := range best {
		if !settled[p] {
			out = append(out, pairText(customers[p[0]], customers[p[1]], e.Weight, e.Threshold))
		}
	}
	slices.Sort(out)
	return out
}

// What waits is at every moment what the stored evidence leaves apart, whatever came: changes in any batches, deletes, erasures, decisions
// and their undoing; and it does not depend on the order in which they came.
func TestLawTheQueueIsWhatIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := town(t)
		h := open(t)
		h.batches(t, changes)
		agree := func(when string) {
			t.Helper()
			if diff := gocmp.Diff(h.left(t), h.waiting(t)); diff != "" {
				t.Fatalf("%s (-left +waiting):\n%s", when, diff)
			}
		}
		agree("after all changes")
		other := over(memory.New(), installation(t, 1))
		shuffled := slices.Clone(changes)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		other.batches(t, shuffled)
		if diff := gocmp.Diff(h.waiting(t), other.waiting(t)); diff != "" {
			t.Fatalf("another order leaves others:\n%s", diff)
		}
		for range 3 {
			page, err := h.queue.List(t.Context(), customer.ReviewQuery{}, h.now)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Reviews) == 0 {
				break
			}
			p := rapid.SampledFrom(page.Reviews).Draw(t, "pair")
			h.now = h.now.Add(time.Second)
			verdict := rapid.SampledFrom([]string{review.Same, review.NotSame}).Draw(t, "verdict")
			done, err := h.queue.Decide(t.Context(), p.ID, verdict, "kim", "", h.now)
			if err != nil || done.Decision == nil {
				t.Fatal(done, err)
			}
			agree(verdict)
			if _, err := h.queue.Get(t.Context(), p.ID, h.now); !errors.Is(err, customer.ErrNotFound) {
				t.Fatalf("a pair that was decided to be %s waits still: %v", verdict, err)
			}
			switch rapid.IntRange(0, 2).Draw(t, "then") {
			case 0:
				if _, err := h.Undo(t.Context(), done.Decision.ID, "kim", h.now); err != nil {
					t.Fatal(err)
				}
			case 1:
				if err := h.Forget(t.Context(), p.ID.A, h.now); err != nil {
					t.Fatal(err)
				}
			case 2:
				h.absorb(t, deletion(p.B.Source, p.B.Key, 99))
			}
			agree("afterwards")
		}
	})
}

// maybe brings in n pairs of two who are twins or one, as far as anybody can tell: all agrees but the given name.
func maybe(t *testing.T, h *house, n int) {
	t.Helper()
	for i, names := range [][3]string{
		{"Ana", "Eve", "Ruiz"}, {"Marta", "Olga", "Keller"}, {"Lucia", "Rita", "Novak"}, {"Ines", "Nora", "Bianchi"}, {"Paula", "Hanna", "Dubois"},
	}[:n] {
		birth, phone := fmt.Sprintf("19%d0-0%d-1%d", i+4, i+1, i), fmt.Sprintf("+34600%d11222", i)
		h.absorb(t, upsert("a", names[2], 1, person(names[0], names[2], birth, "", phone)),
			upsert("b", names[2], 1, person(names[1], names[2], birth, "", phone)))
	}
}

func TestReviewQueue(t *testing.T) {
	for name, open := range houses() {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			maybe(t, h, 3)
			page, err := h.queue.List(t.Context(), customer.ReviewQuery{}, h.now)
			if err != nil || len(page.Reviews) != 3 || page.Pairs != 3 || page.Oldest.IsZero() || page.Reviews[0].A.Key == "" {
				t.Fatalf("%+v, %v", page, err)
			}
			next := func(by string) *customer.Possible {
				t.Helper()
				p, err := h.queue.Next(t.Context(), by, h.now)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			kim, lee := next("kim"), next("lee")
			if kim == nil || lee == nil || kim.ID == lee.ID {
				t.Fatalf("two stewards get %+v and %+v", kim, lee)
			}
			if again := next("kim"); again == nil || again.ID != kim.ID {
				t.Errorf("who asks again gets another pair: %+v", again)
			}
			if _, err := h.queue.Decide(t.Context(), kim.ID, review.Same, "lee", "", h.now); !errors.Is(err, customer.ErrHeld) {
				t.Errorf("lee decides what kim looks at: %v", err)
			}
			h.now = h.now.Add(review.Claim)
			if kim = next("lee"); kim == nil {
				t.Fatal("a claim does not end")
			}
			page.Reviews = slices.DeleteFunc(page.Reviews, func(p customer.Possible) bool { return p.ID == kim.ID })
			lee = &page.Reviews[0]
			same, err := h.queue.Decide(t.Context(), kim.ID, review.Same, "lee", "her sister told me", h.now)
			if err != nil || same.Decision == nil || same.Decision.Reason == "" || same.Decision.Author != "lee" {
				t.Fatalf("%+v, %v", same, err)
			}
			if h.of(t, kim.A.Source, kim.A.Key).ID != h.of(t, kim.B.Source, kim.B.Key).ID {
				t.Error("they were decided to be the same")
			}
			if _, err := h.queue.Decide(t.Context(), lee.ID, review.Later, "lee", "", h.now); err != nil {
				t.Fatal(err)
			}
			put, err := h.queue.Get(t.Context(), lee.ID, h.now)
			if err != nil || put.State != customer.Later {
				t.Errorf("%+v, %v", put, err)
			}
			h.now = h.now.Add(review.PutOff)
			if put, err = h.queue.Get(t.Context(), lee.ID, h.now); err != nil || put.State != customer.Waiting {
				t.Errorf("what was put off waits no more: %+v, %v", put, err)
			}
			if _, err := h.Undo(t.Context(), same.Decision.ID, "kim", h.now); err != nil {
				t.Fatal(err)
			}
			if p, err := h.queue.Get(t.Context(), kim.ID, h.now); err != nil || p.State != customer.Waiting {
				t.Errorf("an undone verdict leaves the pair to be decided: %+v, %v", p, err)
			}
			for verdict, by := range map[string]string{"perhaps": "kim", review.Same: ""} {
				if _, err := h.queue.Decide(t.Context(), lee.ID, verdict, by, "", h.now); err == nil {
					t.Errorf("%q by %q is taken", verdict, by)
				}
			}
		})
	}
}

// What hangs on a pair puts it first: of two that are equally unsure the one that bought something.
func TestTheQueuePutsFirstWhatMatters(t *testing.T) {
	h := open(t)
	maybe(t, h, 3)
	page, err := h.queue.List(t.Context(), customer.ReviewQuery{}, h.now)
	if err != nil {
		t.Fatal(err)
	}
	last := page.Reviews[2]
	for i := range 9 {
		h.absorb(t, customer.Change{
			Source: last.A.Source, Key: last.A.Key, Op: customer.Patch, Version: sequence(i+1, "order"),
			Interactions: []customer.Interaction{{Key: fmt.Sprint("order:", i), Type: "order"}},
		})
	}
	p, err := h.queue.Next(t.Context(), "kim", h.now)
	if err != nil || p.ID != last.ID || p.Interactions != 9 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestDecideAll(t *testing.T) {
	h := open(t)
	maybe(t, h, 5)
	b := review.Bulk{Verdict: review.NotSame, Author: "kim", Reason: "sisters", Limit: 4}
	seen, err := h.queue.DecideAll(t.Context(), b, h.now)
	if err != nil || len(seen.Matched) != 4 || !seen.More || seen.Applied || len(seen.Reviewed) != 0 || len(h.waiting(t)) != 5 {
		t.Fatalf("a preview: %+v, %v", seen, err)
	}
	b.Apply = seen.Seal
	if _, err := h.queue.Decide(t.Context(), seen.Matched[0].ID, review.Later, "lee", "", h.now); err != nil {
		t.Fatal(err)
	}
	if _, err := h.queue.DecideAll(t.Context(), b, h.now); err == nil || len(h.waiting(t)) != 5 {
		t.Errorf("as many as were shown, one of which nobody has seen, are decided: %v", err)
	}
	h.now = h.now.Add(2 * review.PutOff) // it waits again
	b.Verdict = review.Same
	if _, err := h.queue.DecideAll(t.Context(), b, h.now); err == nil || len(h.waiting(t)) != 5 {
		t.Errorf("another verdict than was shown is taken: %v", err)
	}
	b.Verdict = review.NotSame
	done, err := h.queue.DecideAll(t.Context(), b, h.now)
	if err != nil || !done.Applied || len(done.Reviewed) != 4 || len(h.waiting(t)) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, r := range done.Reviewed {
		if _, err := h.Undo(t.Context(), r.Decision.ID, "kim", h.now); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.waiting(t)) != 5 {
		t.Error("what was undone waits again")
	}
	far := 100 * customer.Bits
	b.Apply, b.From = "", &far
	if seen, err = h.queue.DecideAll(t.Context(), b, h.now); err != nil || len(seen.Matched) != 0 || seen.More {
		t.Errorf("far over what is needed: %+v, %v", seen, err)
	}
	for _, limit := range []int{0, review.MaxBulk + 1} {
		b.Limit = limit
		if _, err := h.queue.DecideAll(t.Context(), b, h.now); err == nil {
			t.Errorf("a limit of %d is taken", limit)
		}
	}
}

// Decisions leave one installation and come to another, whose ids are others; told again they change nothing.
func TestDecisionsTravel(t *testing.T) {
	from, to := open2(t, 1), open2(t, 2)
	for _, h := range []*house{from, to} {
		h.absorb(t, upsert("a", "1", 1, ana), upsert("b", "1", 1, ana), upsert("b", "2", 1, zoe), upsert("c", "1", 1, zoe))
	}
	from.absorb(t, upsert("d", "1", 1, zoe))
	apart := customer.Decision{ID: "d1", Pair: from.pair([2]string{"a", "1"}, [2]string{"b", "1"}), Author: "kim", Reason: "twins", At: from.now}
	undone := customer.Decision{ID: "d2", Pair: from.pair([2]string{"a", "1"}, [2]string{"b", "2"}), Author: "kim", At: from.now}
	early := customer.Decision{ID: "d3", Pair: from.pair([2]string{"c", "1"}, [2]string{"d", "1"}), Author: "kim", At: from.now}
	if err := errors.Join(from.Split(t.Context(), apart), from.Join(t.Context(), undone), from.Split(t.Context(), early)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Undo(t.Context(), "d2", "lee", from.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	written := func(h *house) (out []review.Told, text string) {
		t.Helper()
		var b bytes.Buffer
		if err := h.queue.ExportDecisions(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		text = b.String()
		for line := range strings.Lines(text) {
			var told review.Told
			if err := json.Unmarshal([]byte(line), &told); err != nil {
				t.Fatal(err)
			}
			out = append(out, told)
		}
		return out, text
	}
	told, text := written(from)
	if len(told) != 3 || strings.Contains(text, "rec_") || strings.Contains(text, "cus_") {
		t.Fatal(text)
	}
	for range 2 {
		taken, err := to.queue.ImportDecisions(t.Context(), told, to.now)
		if err != nil || taken.Taken != 2 || !slices.Equal(taken.Unknown, []string{"d3"}) {
			t.Fatalf("%+v, %v", taken, err)
		}
		if to.of(t, "a", "1").ID == to.of(t, "b", "1").ID || to.of(t, "a", "1").ID == to.of(t, "b", "2").ID {
			t.Fatal("the decisions have not arrived")
		}
	}
	to.absorb(t, upsert("d", "1", 1, zoe))
	if taken, err := to.queue.ImportDecisions(t.Context(), told, to.now); err != nil || taken.Taken != 3 {
		t.Fatalf("%+v, %v", taken, err)
	}
	if from.canonical(t) != to.canonical(t) {
		t.Error("the customers of the two are others")
	}
	if _, back := written(to); back != text {
		t.Errorf("the log of the other:\n%s\nwas\n%s", back, text)
	}
	// What was undone elsewhere meanwhile is undone here.
	if _, err := from.Undo(t.Context(), "d1", "lee", from.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	told, _ = written(from)
	if _, err := to.queue.ImportDecisions(t.Context(), told, to.now); err != nil || to.of(t, "a", "1").ID != to.of(t, "b", "1").ID {
		t.Errorf("the undoing has not arrived: %v", err)
	}
}

// However many of one component come near each other, a bounded number waits (invariant 10).
func TestTheQueueIsBounded(t *testing.T) {
	h := narrowed(installation(t, 1), 10_000)
	// Of one surname, birth date and telephone: twins all of them, as far as anybody can tell.
	for _, given := range strings.Fields("Ana Eve Marta Olga Lucia Rita Ines Nora Paula Hanna Beate Carmen Dorothea Frida Gudrun Helga Xenia Yvonne") {
		h.absorb(t, upsert("a", given, 1, person(given, "Ruiz", "1980-02-03", "", "+34600111222")))
	}
	all, err := h.store.Reviews(t.Context(), customer.ReviewQuery{Limit: 10_000})
	if err != nil || len(all) != customer.MaxPossible {
		t.Errorf("%d wait, %v", len(all), err)
	}
}

var _ matcher = match.New()
