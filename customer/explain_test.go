package customer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/explain"
	"github.com/onefold/onefold/event"
)

// customersOf answers all active customers, by id.
func (h *house) customersOf(t require) map[customer.CustomerID]*customer.Customer {
	t.Helper()
	out := map[customer.CustomerID]*customer.Customer{}
	err := h.store.EachCustomer(t.Context(), func(c *customer.Customer, _ []*customer.Record, _ []*customer.Interaction) error {
		out[c.ID] = c
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The steps that are told make the customer, of all its records and of no others; each has passed the guard that it is told with.
func TestLawHowTellsTheWholeMaking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := open(t)
		h.batches(t, town(t))
		for id, c := range h.customersOf(t) {
			m, err := h.How(t.Context(), id)
			if err != nil || !m.Current || m.Model == "" {
				t.Fatalf("%+v, %v", m, err)
			}
			if diff := cmp.Diff(c.Members, m.Members); diff != "" {
				t.Fatal(diff)
			}
			groups, made := len(c.Members), map[int]int{0: 0}
			for i := range m.Steps {
				u := &m.Steps[i]
				if u.By == customer.ByAlike {
					groups -= u.Alike - 1
					continue
				}
				groups--
				if u.Step != len(made) || made[u.Left.Step] > 0 && made[u.Left.Step] != u.Left.Records || u.Left.Step >= u.Step || u.Right.Step >= u.Step {
					t.Fatalf("step %d does not stand on what came before: %+v", i, u)
				}
				made[u.Step] = u.Left.Records + u.Right.Records
				if (u.By == customer.ByEvidence || u.By == customer.ByContradicted) && u.Sum < customer.Sum(u.Margin)*customer.Sum(u.Pairs) {
					t.Fatalf("joined, although the guard forbids it: %+v", u)
				}
			}
			if groups != 1 {
				t.Fatalf("the steps leave %d groups of %d records: %+v", groups, len(c.Members), m.Steps)
			}
			for _, u := range m.Apart {
				if u.Refused == "" || u.Refused == customer.RefusedByMean && u.Sum >= customer.Sum(u.Margin)*customer.Sum(u.Pairs) {
					t.Fatalf("refused for no reason: %+v", u)
				}
			}
		}
	})
}

// Of any two records the steps add up to the score, exactly, also after they have been written as JSON; and of any two that are not one
// customer something is told that keeps them apart.
func TestLawWhyAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := open(t)
		h.batches(t, town(t))
		var all []customer.Member
		for _, c := range h.customersOf(t) {
			all = append(all, c.Members...)
		}
		if len(all) < 2 {
			return
		}
		for range 6 {
			a, b := rapid.SampledFrom(all).Draw(t, "a"), rapid.SampledFrom(all).Draw(t, "b")
			if a != b {
				x, err := h.WhyNot(t.Context(), a.Record.String(), b.Record.String())
				if err != nil {
					t.Fatal(err)
				}
				raw, err := json.Marshal(x)
				if err != nil {
					t.Fatal(err)
				}
				var read customer.Explanation
				if err := json.Unmarshal(raw, &read); err != nil {
					t.Fatal(err)
				}
				for _, y := range []*customer.Explanation{x, &read} {
					sum := customer.Weight(0)
					for _, s := range y.Steps {
						sum += s.Weight
					}
					if sum != y.Weight || y.Weight != x.Weight {
						t.Fatalf("the steps add up to %v, the score is %v", sum, y.Weight)
					}
				}
				if !x.Same && len(x.Apart) == 0 || x.Same && len(x.Apart) > 0 {
					t.Fatalf("one customer: %t, in the way: %+v\n%s", x.Same, x.Apart, raw)
				}
			}
		}
	})
}

// What-if tells what then comes about, and leaves the store as it was.
func TestLawWhatIfIsWhatWillBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := open(t)
		changes := town(t)
		if len(changes) == 0 {
			return
		}
		cut := rapid.IntRange(0, len(changes)-1).Draw(t, "known")
		h.batches(t, changes[:cut])
		next := changes[cut]
		before, waiting := h.canonical(t), pending(t, h)
		s, err := h.WhatIf(t.Context(), []customer.Change{next}, h.now)
		if err != nil {
			t.Fatal(err)
		}
		if h.canonical(t) != before || pending(t, h) != waiting {
			t.Fatal("a supposition was written")
		}
		results := h.absorb(t, next)
		if results[0].Outcome.String() != s.Outcome {
			t.Fatalf("supposed to be %v, came to %v", s.Outcome, results[0].Outcome)
		}
		now := h.customersOf(t)
		for _, c := range s.Customers {
			if c.Status != customer.Active {
				if now[c.ID] != nil {
					t.Fatalf("%s would be %s, and is active", c.ID, c.Status)
				}
				continue
			}
			is := now[c.ID]
			if is == nil {
				t.Fatalf("%s would be there, and is not", c.ID)
			}
			if diff := cmp.Diff(c.Members, is.Members); diff != "" {
				t.Fatal(diff)
			}
			for _, d := range c.Values {
				if d.After != nil && !slices.ContainsFunc(is.Attributes, func(a customer.Attribute) bool {
					return a.Path == d.Path && cmp.Equal(a.Value, *d.After)
				}) {
					t.Fatalf("%s would be %v", d.Path, *d.After)
				}
			}
		}
	})
}

// pending answers the number of the last version that waits to be published.
func pending(t require, h *house) int64 {
	t.Helper()
	counts, err := h.store.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counts.Outbox
}

func TestWhyNot(t *testing.T) {
	h := open(t)
	mother := person("Ana", "Ruiz", "1950-07-21", "family@mail.test", "+34600111222")
	h.absorb(t, upsert("a", "1", 1, ana), upsert("b", "1", 1, ana), upsert("c", "1", 1, zoe), upsert("d", "1", 1, mother))
	if err := h.Split(t.Context(), customer.Decision{
		Pair: h.pair([2]string{"a", "1"}, [2]string{"b", "1"}), Author: "kim", Reason: "told me on the phone", At: h.now,
	}); err != nil {
		t.Fatal(err)
	}
	kinds := func(a, b string) string {
		t.Helper()
		x, err := h.WhyNot(t.Context(), a, b)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, o := range x.Apart {
			out = append(out, o.Kind)
			if strings.Contains(o.Text, "Ruiz") || strings.Contains(o.Text, "phone") {
				t.Errorf("%s holds personal data", o.Text)
			}
			if o.Kind == "weight" && o.Missing != x.Threshold-x.Weight {
				t.Errorf("missing %v, weight %v of %v", o.Missing, x.Weight, x.Threshold)
			}
		}
		return strings.Join(out, " ")
	}
	for names, want := range map[[2]string]string{
		{"a/1", "b/1"}: "decision",
		{"a/1", "c/1"}: "weight",
		{"a/1", "a/1"}: "",
	} {
		if names[0] == names[1] {
			if _, err := h.WhyNot(t.Context(), names[0], names[1]); err == nil {
				t.Error("one record is explained to itself")
			}
			continue
		}
		if got := kinds(names[0], names[1]); got != want {
			t.Errorf("%v: %q, want %q", names, got, want)
		}
	}
	if got := kinds("a/1", "d/1"); !strings.Contains(got, "weight") {
		t.Errorf("parent and child: %q", got)
	}
}

// A cannot-link between two of their records, and a mean that other records pull down, are told with the step that was refused.
func TestWhyNotTellsOfTheGuard(t *testing.T) {
	h := open(t)
	verified := func(value string) customer.Statement {
		st := identifier("customerNumber", value, customer.S4)
		st.Verified = true
		return st
	}
	h.absorb(t, upsert("bank", "1", 1, append(slices.Clone(ana), verified("11"))), upsert("bank", "2", 1, append(slices.Clone(ana), verified("22"))))
	x, err := h.WhyNot(t.Context(), "bank/1", "bank/2")
	if err != nil || x.Same {
		t.Fatalf("%+v, %v", x, err)
	}
	if !slices.ContainsFunc(x.Apart, func(o customer.Obstacle) bool { return o.Kind == "rule" }) {
		t.Errorf("two bank customers: %+v", x.Apart)
	}
}

func TestWhyValue(t *testing.T) {
	h := open(t)
	h.absorb(t, upsert("bank", "1", 1, ana), upsert("shop", "9", 1, append(slices.Clone(ana), set("givenName", "Anna"))))
	c := h.of(t, "bank", "1")
	l, err := h.WhyValue(t.Context(), c.ID, "givenName")
	if err != nil || len(l.Attributes) != 1 || l.Customer != c.ID || l.Attributes[0].Reason == "" || len(l.Attributes[0].Losers) == 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	if l, err = h.WhyValue(t.Context(), c.ID, customer.FieldEmail); err != nil || len(l.Attributes) == 0 || l.Attributes[0].Path.ID == "" {
		t.Errorf("of a list's name all elements are told: %+v, %v", l, err)
	}
	if _, err = h.WhyValue(t.Context(), c.ID, "jobTitle"); event.ClassOf(err) != event.Permanent || !strings.Contains(err.Error(), "givenName") {
		t.Errorf("a value that is not there: %v", err)
	}
	for _, a := range c.Attributes {
		l, err := h.WhyValue(t.Context(), c.ID, a.Path.String())
		if err != nil || strings.Contains(l.Attributes[0].Reason, "rule "+a.Rule) {
			t.Errorf("rule %q has no words: %+v, %v", a.Rule, l, err)
		}
	}
}

// What is supposed may join two customers that are apart, and it is told which becomes the alias of which.
func TestWhatIfMerges(t *testing.T) {
	h := open(t)
	h.absorb(t, upsert("a", "1", 1, person("Ana", "Ruiz", "1980-02-03", "", "")), upsert("b", "1", 1, zoe))
	s, err := h.WhatIf(t.Context(), []customer.Change{{Source: "c", Key: "1", Op: customer.Upsert, Party: ana}}, h.now)
	if err != nil || s.Outcome != "applied" || len(s.Records) != 1 || s.Records[0].Customer != h.of(t, "a", "1").ID {
		t.Fatalf("%+v, %v", s, err)
	}
	again, err := h.WhatIf(t.Context(), []customer.Change{{Source: "a", Key: "1", Op: customer.Upsert, Party: ana}}, h.now)
	if err != nil || again.Outcome != "applied" || len(again.Customers) != 1 || again.Customers[0].New || len(again.Customers[0].Values) == 0 {
		t.Errorf("a change without a version is newer than what is known: %+v, %v", again, err)
	}
	for name, changes := range map[string][]customer.Change{
		"nothing": nil, "of no source": {{Key: "1", Op: customer.Upsert, Party: ana}}, "of no key": {{Source: "a", Op: customer.Upsert, Party: ana}},
		"too many": make([]customer.Change, explain.MaxSupposed+1),
	} {
		if _, err := h.WhatIf(t.Context(), changes, h.now); event.ClassOf(err) != event.Permanent && event.ClassOf(err) != event.Poison {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An explanation is the same in every installation but for ids: it depends on what is stored only.
func TestHowOfAnAliasAndOfNobody(t *testing.T) {
	h := open(t)
	h.absorb(t, upsert("a", "1", 1, ana), upsert("b", "1", 1, zoe))
	zoes := h.of(t, "b", "1").ID
	h.join(t, [2]string{"a", "1"}, [2]string{"b", "1"})
	led := h.leadsTo(t, zoes)
	m, err := h.How(t.Context(), zoes)
	if err != nil || m.Asked != zoes || m.Customer != led.ID || len(m.Steps) != 1 || m.Steps[0].By != customer.ByDecision {
		t.Fatalf("%+v, %v", m, err)
	}
	h.absorb(t, deletion("a", "1", 2), deletion("b", "1", 2))
	if m, err = h.How(t.Context(), led.ID); err != nil || len(m.Steps) != 0 || len(m.Members) != 0 {
		t.Errorf("of one that is gone: %+v, %v", m, err)
	}
	if raw, err := json.Marshal(m); err != nil || bytes.Contains(raw, []byte("null")) {
		t.Errorf("%s, %v", raw, err)
	}
	if _, err := h.How(t.Context(), customer.CustomerID{1}); err == nil || !strings.Contains(fmt.Sprint(err), "not found") {
		t.Error(err)
	}
}
