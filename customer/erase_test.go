package customer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/memory"
	"github.com/onefold/onefold/store/storetest"
)

// onBoth runs a test over the store in memory and over the durable one: an erasure is kept where data rests.
func onBoth(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) storetest.Store{
		"memory": func(*testing.T) storetest.Store { return memory.New() },
		"sqlite": func(t *testing.T) storetest.Store { return durable(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { _ = s.Close() })
			test(t, over(s, installation(t, 1)))
		})
	}
}

// noted is somebody with a secret, who joins with whoever else is her.
func noted() []customer.Statement { return append(slices.Clone(ana), set("note", "secret")) }

func erase(source, key string, version int) customer.Change {
	return customer.Change{Source: source, Key: key, Op: customer.Erase, Version: sequence(version, "p")}
}

// order adds an order to a change.
func order(c customer.Change, key string) customer.Change {
	c.Interactions = append(c.Interactions, customer.Interaction{Key: key, Type: "order", Title: "secret"})
	return c
}

// silent finds fault with whatever still says a text: what waits, what is exported, and timelines.
func (h *house) silent(t *testing.T, text string) {
	t.Helper()
	waiting, err := h.store.Pending(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range waiting {
		if bytes.Contains(e.Value, []byte(text)) {
			t.Errorf("the outbox entry %s still says %q", e.ID, text)
		}
	}
	for _, canonical := range []bool{false, true} {
		var b bytes.Buffer
		if err := h.Export(t.Context(), &b, canonical); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b.Bytes(), []byte(text)) {
			t.Errorf("the export (canonical: %v) still says %q", canonical, text)
		}
	}
}

func (h *house) forget(t *testing.T, id customer.CustomerID) {
	t.Helper()
	if err := h.Forget(t.Context(), id, h.now); err != nil {
		t.Fatal(err)
	}
	if c, err := h.Customer(t.Context(), id); err != nil || c.Status != customer.Erased || len(c.Attributes)+len(c.Members) > 0 {
		t.Errorf("a forgotten customer shows %+v, %v", c, err)
	}
}

// record answers a record as the store has it.
func (h *house) record(t require, source, key string) (rec *customer.Record) {
	t.Helper()
	err := h.store.View(context.Background(), func(v customer.View) error {
		found, err := v.Records(context.Background(), []customer.RecordID{h.ids.Record(source, key)})
		rec = found[0]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// A source erases a party and speaks of it again, or has done so already: what it said before is gone from everything that waits, and
// what it says now is published.
func TestErasureOfWhoLivesOn(t *testing.T) {
	again := upsert("shop", "1", 3, person("Ana", "", "", "", ""))
	for title, batches := range map[string][][]customer.Change{
		"erased, then spoken of": {{erase("shop", "1", 2)}, {again}},
		"both at once":           {{erase("shop", "1", 2), again}},
		"erased late":            {{again}, {erase("shop", "1", 2)}},
	} {
		t.Run(title, func(t *testing.T) {
			onBoth(t, func(t *testing.T, h *house) {
				h.absorb(t, order(upsert("shop", "1", 1, noted()), "order:1"))
				for _, b := range batches {
					h.absorb(t, b...)
				}
				h.silent(t, "secret")
				waiting, err := h.store.Pending(t.Context(), 0, 100)
				if err != nil || len(waiting) == 0 || !bytes.Contains(waiting[len(waiting)-1].Value, []byte("Ana")) {
					t.Errorf("what stands now is not published: %d entries wait, %v", len(waiting), err)
				}
			})
		})
	}
}

// A forgotten customer is all that it ever was: what its sources deleted before, what it was merged from, and nothing of those who were
// told apart from it.
func TestForgetReaches(t *testing.T) {
	t.Run("a deleted record", func(t *testing.T) {
		onBoth(t, func(t *testing.T, h *house) {
			h.absorb(t, upsert("bank", "1", 1, ana), order(upsert("shop", "2", 1, ana), "order:1"))
			c := h.of(t, "bank", "1")
			h.absorb(t, deletion("shop", "2", 2))
			h.forget(t, c.ID)
			h.erased(t, "shop", "2")
		})
	})
	t.Run("a customer of whom all was deleted", func(t *testing.T) {
		onBoth(t, func(t *testing.T, h *house) {
			h.absorb(t, order(upsert("shop", "2", 1, ana), "order:1"))
			c := h.of(t, "shop", "2")
			h.absorb(t, deletion("shop", "2", 2))
			h.forget(t, c.ID)
			h.erased(t, "shop", "2")
			h.forget(t, c.ID) // and nothing goes wrong the second time
		})
	})
	t.Run("a deleted record of a customer that was merged into it", func(t *testing.T) {
		onBoth(t, func(t *testing.T, h *house) {
			h.absorb(t, upsert("bank", "1", 1, ana), upsert("bank", "2", 1, ana),
				order(upsert("shop", "3", 1, person("Ana", "Ruiz", "", "other@mail.test", "")), "order:1"),
				upsert("shop", "4", 1, person("Ana", "Ruiz", "", "other@mail.test", "")))
			former := h.of(t, "shop", "3").ID
			h.absorb(t, deletion("shop", "3", 2))
			h.absorb(t, upsert("shop", "4", 2, ana))
			c, err := h.Customer(t.Context(), former)
			if err != nil || c.ID != h.of(t, "bank", "1").ID || c.ID == former {
				t.Fatalf("the two did not become one: %+v, %v", c, err)
			}
			h.forget(t, c.ID)
			h.erased(t, "shop", "3")
		})
	})
	t.Run("and spares whom people told apart", func(t *testing.T) {
		onBoth(t, func(t *testing.T, h *house) {
			h.absorb(t, upsert("bank", "1", 1, ana), order(upsert("shop", "2", 1, ana), "order:1"))
			c := h.of(t, "bank", "1")
			apart := customer.Decision{
				Pair: customer.NewPair(h.ids.Record("bank", "1"), h.ids.Record("shop", "2")), Author: "steward", At: h.now, Reason: "Ana's sister",
			}
			if err := h.Split(t.Context(), apart); err != nil {
				t.Fatal(err)
			}
			other := h.of(t, "shop", "2")
			if other.ID == c.ID {
				c = h.of(t, "bank", "1")
			}
			h.forget(t, c.ID)
			if left := h.of(t, "shop", "2"); left == nil || left.ID != other.ID || left.Text("note") != other.Text("note") {
				t.Errorf("the other one is now %+v", left)
			}
			if line, err := h.Timeline(t.Context(), other.ID, 0); err != nil || len(line) != 1 {
				t.Errorf("the other one's timeline has %d entries: %v", len(line), err)
			}
		})
	})
	t.Run("also where what was told apart is deleted meanwhile", func(t *testing.T) {
		onBoth(t, func(t *testing.T, h *house) {
			h.absorb(t, upsert("bank", "1", 1, ana), order(upsert("shop", "2", 1, ana), "order:1"))
			if err := h.Split(t.Context(), customer.Decision{Pair: h.pair([2]string{"bank", "1"}, [2]string{"shop", "2"}), Author: "steward", At: h.now}); err != nil {
				t.Fatal(err)
			}
			other := h.of(t, "shop", "2")
			h.absorb(t, deletion("shop", "2", 2))
			h.forget(t, h.of(t, "bank", "1").ID)
			h.absorb(t, customer.Change{Source: "shop", Key: "2", Op: customer.Patch, Version: sequence(3, "again"), Party: ana}, upsert("shop", "2", 3, ana))
			if back := h.of(t, "shop", "2"); back == nil || back.ID != other.ID {
				t.Fatalf("the other one came back as %+v, was %s", back, other.ID)
			}
			if line, err := h.Timeline(t.Context(), other.ID, 0); err != nil || len(line) != 1 {
				t.Errorf("the other one's timeline has %d entries: %v", len(line), err)
			}
			h.absorb(t, deletion("shop", "2", 4))
			h.forget(t, other.ID)
			h.erased(t, "shop", "2")
		})
	})
	if err := open(t).Forget(t.Context(), customer.CustomerID{1}, start); !errors.Is(err, customer.ErrNotFound) {
		t.Errorf("forgetting nobody: %v", err)
	}
}

// A delete that overtakes what it deletes leaves a record that was never seen alive. It belongs with whom it would have been, so that an
// erasure reaches what it took part in; also if a delete and what it deletes come at once, or the customer with them.
func TestForgetReachesTheUnborn(t *testing.T) {
	bank, gone, late := upsert("bank", "1", 1, ana), deletion("shop", "2", 2), order(upsert("shop", "2", 1, noted()), "order:1")
	for name, batches := range map[string][][]customer.Change{
		"one after the other": {{bank}, {gone}, {late}},
		"twice":               {{gone}, {late}, {bank}, {late}},
		"both at once":        {{bank}, {late, gone}},
		"all at once":         {{gone, late, bank}},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, h *house) {
				for _, b := range batches {
					h.absorb(t, b...)
					h.sound(t)
				}
				c := h.of(t, "bank", "1")
				if line, err := h.Timeline(t.Context(), c.ID, 0); err != nil || len(line) > 0 || len(c.Members) != 1 {
					t.Errorf("who was never there shows: %+v, %d interactions, %v", c.Members, len(line), err)
				}
				h.forget(t, c.ID)
				h.erased(t, "shop", "2")
			})
		})
	}
	t.Run("but nobody else's", func(t *testing.T) {
		onBoth(t, func(t *testing.T, h *house) {
			h.absorb(t, upsert("bank", "1", 1, zoe))
			h.absorb(t, gone)
			h.absorb(t, late)
			h.forget(t, h.of(t, "bank", "1").ID)
			if counts, err := h.store.Counts(t.Context()); err != nil || counts.Interactions != 1 || counts.Customers != 0 {
				t.Errorf("what is left is %+v, %v", counts, err)
			}
			h.absorb(t, upsert("shop", "2", 3, ana))
			if line, err := h.Timeline(t.Context(), h.of(t, "shop", "2").ID, 0); err != nil || len(line) != 1 {
				t.Errorf("come to life, its timeline has %d interactions, %v", len(line), err)
			}
		})
	})
}

// erased finds fault with whatever is left of a party but its id and versions.
func (h *house) erased(t *testing.T, source, key string) {
	t.Helper()
	rec := h.record(t, source, key)
	if rec == nil || !rec.Erased() || rec.Key != "" || len(rec.Cells()) > 0 {
		t.Errorf("what is left of %s/%s is %+v", source, key, rec)
	}
	if counts, err := h.store.Counts(t.Context()); err != nil || counts.Interactions != 0 {
		t.Errorf("%d interactions are left: %v", counts.Interactions, err)
	}
	if c := h.of(t, source, key); c != nil {
		t.Errorf("an erased key still finds customer %s", c.ID)
	}
	h.silent(t, "secret")
}

// After Forget each scope that was known is heard again from where it stood, and no other: nothing shows that what another says is later.
// A source's own erasure, which names one scope, covers all others.
func TestForgetHearsWhatIsLater(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		say := func(n int, scope string) event.Result {
			t.Helper()
			return h.absorb(t, customer.Change{
				Source: "shop", Key: "1", Op: customer.Patch, Version: sequence(n, scope), Party: []customer.Statement{set("note", fmt.Sprint(scope, n))},
			})[0]
		}
		h.absorb(t, upsert("shop", "1", 5, ana))
		say(3, "consent")
		visit := upsert("shop", "1", 5, ana)
		visit.Interactions = []customer.Interaction{{Key: "order:1", Type: "order", Version: sequence(7, "order")}}
		h.absorb(t, visit)
		h.forget(t, h.of(t, "shop", "1").ID)
		for _, c := range []struct {
			scope string
			n     int
			want  event.Outcome
		}{
			{"p", 5, event.Ignored},
			{"consent", 3, event.Ignored},
			{"order", 7, event.Ignored},
			{"unheard of", 9, event.Ignored},
			{"consent", 4, event.Applied},
			{"p", 6, event.Applied},
			{"order", 8, event.Applied},
		} {
			if got := say(c.n, c.scope); got.Outcome != c.want {
				t.Errorf("version %d of scope %s came to %s", c.n, c.scope, got.Outcome)
			}
		}
		h.absorb(t, erase("shop", "1", 20))
		if got := say(9, "consent"); got.Outcome != event.Ignored || h.of(t, "shop", "1") != nil {
			t.Errorf("a scope that the newest erasure does not name came to %s", got.Outcome)
		}
		if got := say(21, "p"); got.Outcome != event.Applied {
			t.Errorf("what is later than the erasure came to %s", got.Outcome)
		}
	})
}

func join(op customer.Op, survivor, loser string, version int) customer.Change {
	return customer.Change{Source: "shop", Key: survivor, Others: []string{loser}, Op: op, Version: sequence(version, "p")}
}

// Whom a person's erasure spared, because the source had parted them, stays, whatever comes later and in whatever order: another merge, or
// the one from before. What the source itself erases still reaches them.
func TestForgetSparesForGood(t *testing.T) {
	merged, parted := join(customer.Merge, "S", "L", 2), join(customer.Unmerge, "S", "L", 3)
	for name, c := range map[string]struct{ before, after []customer.Change }{
		"a third is merged":       {[]customer.Change{merged, parted}, []customer.Change{join(customer.Merge, "S", "M", 10)}},
		"the merge comes late":    {[]customer.Change{parted}, []customer.Change{merged}},
		"it comes again":          {[]customer.Change{merged, parted}, []customer.Change{merged}},
		"a third was merged, too": {[]customer.Change{parted}, []customer.Change{join(customer.Merge, "S", "M", 1), merged}},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, h *house) {
				h.absorb(t, upsert("shop", "S", 1, ana), order(upsert("shop", "L", 1, zoe), "order:1"))
				h.absorb(t, c.before...)
				h.forget(t, h.of(t, "shop", "S").ID)
				h.absorb(t, c.after...)
				left := h.of(t, "shop", "L")
				if left == nil {
					t.Fatalf("who was spared is %+v", h.record(t, "shop", "L"))
				}
				if line, err := h.Timeline(t.Context(), left.ID, 0); err != nil || len(line) != 1 {
					t.Errorf("the timeline of who was spared has %d entries: %v", len(line), err)
				}
				h.absorb(t, erase("shop", "S", 3)) // no later than the person's, and says more all the same
				h.erased(t, "shop", "L")
			})
		})
	}
}

// An erasure by the source covers the records that it had re-keyed or merged into the erased one, whichever is heard of first.
func TestErasureReachesLosers(t *testing.T) {
	changes := []customer.Change{
		order(upsert("shop", "1", 1, noted()), "order:1"),
		join(customer.Rekey, "2", "1", 2), join(customer.Merge, "3", "2", 3), deletion("shop", "1", 4), erase("shop", "3", 5),
	}
	for i := range len(changes) {
		t.Run(fmt.Sprint("beginning with ", changes[i].Op, i), func(t *testing.T) {
			onBoth(t, func(t *testing.T, h *house) {
				for _, c := range slices.Concat(changes[i:], changes[:i]) {
					h.absorb(t, c)
				}
				for _, key := range []string{"1", "2", "3"} {
					h.erased(t, "shop", key)
				}
			})
		})
	}
	h := open(t)
	h.absorb(t, upsert("shop", "old", 1, ana), join(customer.Rekey, "new", "old", 2), upsert("shop", "new", 3, ana), erase("shop", "old", 5))
	if rec := h.record(t, "shop", "old"); !rec.Erased() || h.of(t, "shop", "new") == nil {
		t.Errorf("erased by its old key, what is left of it is %+v, and the new one is %+v", rec, h.record(t, "shop", "new"))
	}
	h = open(t)
	h.absorb(t, upsert("shop", "1", 1, ana), erase("shop", "2", 2), join(customer.Merge, "2", "1", 3))
	if h.of(t, "shop", "1") == nil {
		t.Error("a record that was merged after the erasure is erased")
	}
}

// An erasure by the source says that it alone is heard from there on, also where a person's erasure covered more before.
func TestStaleErasureNarrows(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		consent := func(n int) customer.Change {
			return customer.Change{
				Source: "shop", Key: "1", Op: customer.Patch, Version: sequence(n, "consent"), Party: []customer.Statement{set("note", "x")},
			}
		}
		h.absorb(t, upsert("shop", "1", 5, ana), consent(3))
		h.forget(t, h.of(t, "shop", "1").ID)
		for i, want := range []event.Outcome{event.Applied, event.Duplicate} {
			if got := h.absorb(t, erase("shop", "1", 4))[0].Outcome; got != want {
				t.Errorf("the source's erasure, time %d, came to %s", i+1, got)
			}
		}
		if got := h.absorb(t, erase("shop", "1", 3))[0].Outcome; got != event.Stale {
			t.Errorf("an older one came to %s", got)
		}
		if got := h.absorb(t, consent(4))[0].Outcome; got != event.Ignored {
			t.Errorf("what another scope says came to %s", got)
		}
		for n, want := range map[int]event.Outcome{5: event.Ignored, 6: event.Applied} {
			if got := h.absorb(t, upsert("shop", "1", n, ana))[0].Outcome; got != want {
				t.Errorf("version %d came to %s", n, got)
			}
		}
	})
}

// An erasure takes as many pages of interactions as there are.
func TestErasureOfMany(t *testing.T) {
	if testing.Short() {
		t.Skip("left out of the short form: it writes many thousand interactions")
	}
	onBoth(t, func(t *testing.T, h *house) {
		const n = 10_007 // more than a page
		for from := 0; from < n; from += 1_000 {
			c := customer.Change{Source: "shop", Key: "1", Op: customer.Patch, Version: sequence(1, "p")}
			for i := from; i < min(n, from+1_000); i++ {
				c = order(c, fmt.Sprint(i))
			}
			h.absorb(t, c)
		}
		h.absorb(t, erase("shop", "1", 2))
		h.erased(t, "shop", "1")
	})
}

// What people wrote of a record goes with it, and is not written of one that is gone.
func TestErasureSilencesDecisions(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.absorb(t, upsert("bank", "1", 1, ana), upsert("shop", "2", 1, ana))
		dec := customer.Decision{
			Pair: customer.NewPair(h.ids.Record("bank", "1"), h.ids.Record("shop", "2")), Author: "steward", At: h.now, Reason: "a secret of Ana's",
		}
		if err := h.Join(t.Context(), dec); err != nil {
			t.Fatal(err)
		}
		h.absorb(t, erase("shop", "2", 2))
		dec.At = h.now
		if err := h.Join(t.Context(), dec); err != nil {
			t.Fatal(err)
		}
		h.absorb(t, upsert("shop", "2", 3, ana))
		why, err := h.Why(t.Context(), "bank/1", "shop/2")
		if err != nil || why.Decision == nil || why.Decision.Reason != "" {
			t.Errorf("why: %+v, %v", why, err)
		}
		err = h.store.View(t.Context(), func(v customer.View) error {
			comps, err := v.Components(t.Context(), []customer.RecordID{h.ids.Record("bank", "1")})
			for _, c := range comps {
				for _, d := range c.Decisions {
					if d.Reason != "" {
						t.Errorf("decision %s still says why", d.ID)
					}
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A dead letter is blanked with whoever its message names: by the parts that were taken, by the part that was refused, or by a transaction
// that failed as a whole. What comes after an erasure and is not shown to be later is laid down blank.
func TestErasureBlanksDeadLetters(t *testing.T) {
	taken := upsert("shop", "1", 1, ana)
	refused := customer.Change{Key: "1", Op: "nonsense", Version: sequence(1, "p")}
	party := customer.Change{Key: "9", Op: "nonsense", Interactions: []customer.Interaction{{
		Key: "o", Type: "order", Parties: []customer.Party{{Role: "payer", Key: "1"}},
	}}}
	broken := event.Refusal{Part: "Ntry[1]", Outcome: event.Dead, Err: event.Errorf(event.Poison, "mapping", "secret", "secret")}
	named := broken
	named.Keys = (&customer.Mapped{Changes: []customer.Change{taken}}).Keys()
	for name, c := range map[string]struct {
		changes  []customer.Change
		refusals []event.Refusal
		blank    bool
	}{
		"beside what was taken":      {[]customer.Change{taken}, []event.Refusal{broken}, true},
		"of what was refused":        {[]customer.Change{refused}, nil, true},
		"of a party of it":           {[]customer.Change{party}, nil, true},
		"as the adapter names it":    {nil, []event.Refusal{named}, true},
		"but not of somebody else's": {[]customer.Change{upsert("shop", "2", 1, ana)}, []event.Refusal{broken}, false},
		"nor of nobody's":            {nil, []event.Refusal{broken}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, late := range []bool{false, true} {
				onBoth(t, func(t *testing.T, h *house) {
					m := &event.Message{
						Source: "shop", Topic: "t", Offset: 77, Time: start, Key: []byte("secret"), Value: []byte("secret"),
						Headers: []event.Header{{Key: "secret", Value: []byte("secret")}},
					}
					sealed, refusals := customer.Seal(c.changes, m, 1)
					letter := customer.Mapped{Message: m, Changes: sealed, Refusals: append(refusals, c.refusals...)}
					lay := func() {
						if _, err := h.Absorb(t.Context(), customer.Batch{Now: h.now, Messages: []customer.Mapped{letter}}); err != nil {
							t.Fatal(err)
						}
					}
					if !late {
						lay()
					}
					h.absorb(t, erase("shop", "1", 2))
					if late {
						lay()
					}
					letters, err := h.store.DeadLetters(t.Context(), event.LetterQuery{Limit: 9})
					if err != nil || len(letters) != 1 {
						t.Fatalf("%d dead letters: %v", len(letters), err)
					}
					l := letters[0]
					said := strings.Contains(fmt.Sprintf("%+v %s %s", l, l.Key, l.Value), "secret")
					if l.Erased != c.blank || said == c.blank || l.Reason == "" || l.Offset != 77 || l.Part != letter.Refusals[0].Part {
						t.Errorf("late: %v; the letter is %+v", late, l)
					}
				})
			}
		})
	}
	h := open(t)
	h.absorb(t, erase("shop", "1", 2))
	m := &event.Message{Source: "shop", Topic: "t", Offset: 78, Value: []byte("secret")}
	sealed, _ := customer.Seal([]customer.Change{upsert("shop", "1", 3, ana)}, m, 1)
	later := customer.Mapped{Message: m, Changes: sealed, Refusals: []event.Refusal{broken}}
	if _, err := h.Absorb(t.Context(), customer.Batch{Now: h.now, Messages: []customer.Mapped{later}}); err != nil {
		t.Fatal(err)
	}
	if letters, err := h.store.DeadLetters(t.Context(), event.LetterQuery{Limit: 9}); err != nil || len(letters) != 1 || letters[0].Erased {
		t.Errorf("a letter of what is later than the erasure: %+v, %v", letters, err)
	}
}

// A record remembers so many merges and no more: what it could not remember it does not take, nor a part of it, and says so.
func TestMergesAreBounded(t *testing.T) {
	r := &customer.Record{}
	merge := func(version, from, n int) event.Outcome {
		t.Helper()
		var links []customer.Statement
		for i := from; i < from+n; i++ {
			id := customer.RecordID{byte(i >> 8), byte(i)}.String()
			links = append(links, customer.Statement{
				Path: customer.Path{Name: customer.FieldLink, ID: id}, State: customer.Set,
				Value: customer.Value{Parts: map[string]string{"kind": customer.LinkMergedFrom, "record": id}},
			})
		}
		outcome, _ := r.Fold(customer.Patch, &customer.Change{Version: sequence(version, "p")}, links)
		return outcome
	}
	if got := merge(2, 0, customer.MaxLosers-1); got != event.Applied {
		t.Errorf("almost as many merges as there is room for came to %s", got)
	}
	if got := merge(1, customer.MaxLosers-3, 4); got != event.Dead || len(r.Scopes[0].Losers) != customer.MaxLosers-1 {
		t.Errorf("a merge of which there is room for a part came to %s, and %d are remembered", got, len(r.Scopes[0].Losers))
	}
	for _, l := range r.Scopes[0].Losers {
		if l.Since != sequence(2, "p") {
			t.Fatalf("a refused merge is remembered as one of version %v", l.Since)
		}
	}
	if got := merge(2, customer.MaxLosers-1, 1); got != event.Applied {
		t.Errorf("as many merges as there is room for came to %s", got)
	}
	if got := merge(3, customer.MaxLosers, 1); got != event.Dead || r.Scopes[0].Head != sequence(2, "p") {
		t.Errorf("one more came to %s, and the newest statement is %v", got, r.Scopes[0].Head)
	}
	if got := merge(4, 0, 10); got != event.Applied {
		t.Errorf("known ones again came to %s", got)
	}
	if n := len(r.Scopes[0].Losers); n != customer.MaxLosers {
		t.Errorf("%d merges are remembered", n)
	}
}

// Nothing that answers questions shows an erased party's key or what it said, while the customer that it was part of lives on.
func TestErasedIsNotShown(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.absorb(t, upsert("bank", "1", 1, ana), order(upsert("shop", "secret-key", 1, noted()), "order:1"))
		c := h.of(t, "bank", "1")
		if len(c.Members) != 2 {
			t.Fatal("the two are not one customer")
		}
		h.absorb(t, erase("shop", "secret-key", 2))
		h.silent(t, "secret")
		if found := h.of(t, "shop", "secret-key"); found != nil {
			t.Errorf("the key finds customer %s", found.ID)
		}
		if why, err := h.Why(t.Context(), "bank/1", "shop/secret-key"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("why: %+v, %v", why, err)
		}
		if why, err := h.Why(t.Context(), c.ID.String(), h.ids.Record("shop", "secret-key").String()); err == nil {
			t.Errorf("why: %+v", why)
		}
		now, err := h.Customer(t.Context(), c.ID)
		if err != nil || len(now.Members) != 1 || strings.Contains(fmt.Sprintf("%+v", now), "secret") {
			t.Errorf("the customer shows %+v, %v", now, err)
		}
		if line, err := h.Timeline(t.Context(), c.ID, 0); err != nil || len(line) > 0 {
			t.Errorf("the timeline shows %d interactions, %v", len(line), err)
		}
		if rec := h.record(t, "shop", "secret-key"); strings.Contains(fmt.Sprintf("%+v", rec), "secret") {
			t.Errorf("the record holds %+v", rec)
		}
	})
}
