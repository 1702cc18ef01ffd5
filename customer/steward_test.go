package customer_test

import (
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/review"
)

// A steward's walk: two who should not have been joined are split, the split survives new data, is undone, and the ids are as before.
func TestAStewardsWalk(t *testing.T) {
	for name, open := range houses() {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			h.absorb(t, upsert("bank", "1", 1, ana))
			first := h.of(t, "bank", "1").ID
			h.absorb(t, upsert("shop", "9", 1, ana))
			if joined := h.of(t, "shop", "9"); joined.ID != first || len(joined.Members) != 2 {
				t.Fatalf("they were not joined: %+v", joined)
			}
			if m, err := h.How(t.Context(), first); err != nil || len(m.Steps) != 1 {
				t.Fatalf("the steward sees no step that joined them: %+v, %v", m, err)
			}
			d := customer.Decision{Pair: h.pair([2]string{"bank", "1"}, [2]string{"shop", "9"}), Author: "kim", Reason: "two people", At: h.now}
			if err := h.Split(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			second := h.of(t, "shop", "9").ID
			if h.of(t, "bank", "1").ID != first || second == first {
				t.Fatal("they are not split, or the older lost its id")
			}
			h.absorb(t, upsert("shop", "9", 2, append(ana[:len(ana):len(ana)], set("note", "new"))), upsert("pos", "3", 1, ana))
			if h.of(t, "bank", "1").ID == h.of(t, "shop", "9").ID {
				t.Fatal("the split does not survive new data")
			}
			x, err := h.WhyNot(t.Context(), "bank/1", "shop/9")
			if err != nil || x.Decision == nil || len(x.Apart) == 0 || x.Apart[0].Kind != "decision" {
				t.Fatalf("it is not told that a decision keeps them apart: %+v, %v", x, err)
			}
			h.absorb(t, deletion("pos", "3", 2))
			if _, err := h.Undo(t.Context(), x.Decision.ID, "lee", h.now.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			one := h.of(t, "shop", "9")
			if one.ID != first || len(one.Members) != 2 {
				t.Errorf("the undone split leaves %+v", one)
			}
			if led := h.leadsTo(t, second); led.ID != first {
				t.Errorf("the id of the split-off one leads to %s", led.ID)
			}
			h.sound(t)
		})
	}
}

// The bugs that the stewards of another product have met, held here by their numbers in the issue list of hapifhir/hapi-fhir.
func TestOthersBugs(t *testing.T) {
	decide := func(t *testing.T, h *house, p customer.Possible, verdict string) {
		t.Helper()
		h.now = h.now.Add(time.Second)
		if _, err := h.queue.Decide(t.Context(), p.ID, verdict, "kim", "", h.now); err != nil {
			t.Fatal(err)
		}
	}
	listed := func(t *testing.T, h *house) []customer.Possible {
		t.Helper()
		page, err := h.queue.List(t.Context(), customer.ReviewQuery{}, h.now)
		if err != nil {
			t.Fatal(err)
		}
		return page.Reviews
	}
	triplets := func(t *testing.T) *house {
		h := open(t)
		for _, given := range []string{"Ana", "Marta", "Olga"} {
			h.absorb(t, upsert("a", given, 1, person(given, "Ruiz", "1980-02-03", "", "+34600111222")))
		}
		return h
	}
	t.Run("4156: two candidates accepted, and the record is in one customer", func(t *testing.T) {
		h := triplets(t)
		for range 2 {
			if all := listed(t, h); len(all) > 0 {
				decide(t, h, all[0], review.Same)
			}
		}
		h.sound(t)
		if c := h.of(t, "a", "Ana"); len(c.Members) != 3 {
			t.Errorf("%+v", c.Members)
		}
	})
	t.Run("4745: one is accepted, then the rest can be rejected", func(t *testing.T) {
		h := triplets(t)
		decide(t, h, listed(t, h)[0], review.Same)
		for _, p := range listed(t, h) {
			decide(t, h, p, review.NotSame)
		}
		if left := listed(t, h); len(left) != 0 {
			t.Errorf("%+v", left)
		}
	})
	t.Run("5236 and 2515: the master is made anew when a record leaves, and when a second one joins", func(t *testing.T) {
		h := open(t)
		h.absorb(t, upsert("a", "1", 1, ana), upsert("b", "1", 1, append(ana[:len(ana):len(ana)], set("jobTitle", "pilot"))))
		if h.of(t, "a", "1").Text("jobTitle") != "pilot" {
			t.Error("survivorship is not applied on the second match")
		}
		if err := h.Split(t.Context(), customer.Decision{Pair: h.pair([2]string{"a", "1"}, [2]string{"b", "1"}), Author: "kim", At: h.now}); err != nil {
			t.Fatal(err)
		}
		if h.of(t, "a", "1").Text("jobTitle") != "" {
			t.Error("the master keeps what its record has taken along")
		}
	})
	t.Run("4287: a merge in either direction leaves no possible duplicate", func(t *testing.T) {
		for _, flip := range []bool{false, true} {
			h := open(t)
			maybe(t, h, 1)
			p := listed(t, h)[0]
			a, b := [2]string{p.A.Source, p.A.Key}, [2]string{p.B.Source, p.B.Key}
			if flip {
				a, b = b, a
			}
			h.join(t, a, b)
			if left := listed(t, h); len(left) != 0 {
				t.Errorf("%+v", left)
			}
		}
	})
	t.Run("4290: nobody is linked with himself", func(t *testing.T) {
		h := open(t)
		h.absorb(t, upsert("a", "1", 1, ana))
		id := h.ids.Record("a", "1")
		if err := h.Join(t.Context(), customer.Decision{Pair: customer.Pair{A: id, B: id}, Author: "kim", At: h.now}); err == nil {
			t.Error("a record was decided to be itself")
		}
	})
	t.Run("5242: an alias does not outlive the erasure of whom it leads to", func(t *testing.T) {
		h := open(t)
		h.absorb(t, upsert("a", "1", 1, ana), upsert("b", "1", 1, zoe))
		old := h.of(t, "b", "1").ID
		h.join(t, [2]string{"a", "1"}, [2]string{"b", "1"})
		h.forget(t, h.of(t, "a", "1").ID)
		if led := h.leadsTo(t, old); led.Status == customer.Active {
			t.Errorf("%+v", led)
		}
	})
}
