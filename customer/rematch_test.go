package customer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/store/memory"
)

// seeing is the shipped model as it would be after a survey of so many records, of families or not.
func seeing(records int64, families bool) *match.Matcher {
	model := match.Default()
	model.Snapshot.Records = records
	if !families {
		model.Snapshot.Households = match.Rate{Pairs: 1000, Differ: 1}
	}
	return match.With(model)
}

// rematch goes over the whole of a house, so many nodes at a time; between two steps something else may be done.
func (h *house) rematch(t require, limit int, between func()) {
	t.Helper()
	for p := (customer.Rematching{}); !p.Done; {
		next, _, err := h.Rematch(context.Background(), p, limit, h.now)
		if err != nil {
			t.Fatal(err)
		}
		if next == p {
			t.Fatal("it does not move on")
		}
		p = next
		between()
	}
}

// What was matched under one model and then again under another is as if it had come under the other from the beginning, whatever arrives
// meanwhile (invariant 4).
func TestRematchIsBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, meanwhile := town(t), town(t)
		limit := rapid.IntRange(1, 3).Draw(t, "cap")
		draw := func(name string) *match.Matcher {
			return seeing(rapid.SampledFrom([]int64{200, 10_000, 10_000_000}).Draw(t, name), rapid.Bool().Draw(t, name+" families"))
		}
		first, second := draw("first"), draw("second")
		ids := installation(t, 1)
		fresh := built(memory.New(), narrow{second, limit}, ids)
		fresh.absorb(t, append(before[:len(before):len(before)], meanwhile...)...)

		moved := built(memory.New(), narrow{first, limit}, ids)
		moved.absorb(t, before...)
		moved.Registry.Adopt(narrow{second, limit})
		rest := meanwhile
		moved.rematch(t, rapid.IntRange(1, 5).Draw(t, "nodes"), func() {
			if n := min(len(rest), rapid.IntRange(0, 3).Draw(t, "changes")); n > 0 {
				moved.absorb(t, rest[:n]...)
				rest = rest[n:]
			}
		})
		moved.absorb(t, rest...)
		if diff := cmp.Diff(fresh.canonical(t), moved.canonical(t)); diff != "" {
			t.Fatalf("matching anew gives other customers:\n%s", diff)
		}
		moved.sound(t)
	})
}

// Nodes of many records begin to speak, or fall silent, with the model: a name alone is enough among few, and not among millions.
func TestRematchOfACrowd(t *testing.T) {
	say := func(n int) (out []customer.Change) {
		for i := range n {
			out = append(out, upsert("shop", fmt.Sprint("crowd", i), 1, []customer.Statement{
				set("givenName", "Wilhelmina"), set("familyName", "Featherstonehaugh"),
			}))
		}
		return append(out, upsert("bank", "near", 1, []customer.Statement{
			set("givenName", "Wilhelmina"), set("familyName", "Featherstonehaugh"), set("birthDate", "1950-03-04"),
		}))
	}
	few, many := seeing(200, true), seeing(1_000_000_000, true)
	for name, models := range map[string][2]*match.Matcher{"begins to speak": {many, few}, "falls silent": {few, many}, "stays": {few, few}} {
		ids := installation(t, 1)
		changes := say(customer.MaxAlike + 5)
		fresh := built(memory.New(), models[1], ids)
		fresh.absorb(t, changes...)
		moved := built(memory.New(), models[0], ids)
		moved.absorb(t, changes...)
		if apart := moved.canonical(t) != fresh.canonical(t); apart == (name == "stays") {
			t.Errorf("%s: the case does not tell the models apart", name)
		}
		moved.Registry.Adopt(models[1])
		moved.rematch(t, 1, func() {})
		if diff := cmp.Diff(fresh.canonical(t), moved.canonical(t)); diff != "" {
			t.Errorf("%s: matching anew gives other customers:\n%s", name, diff)
		}
		moved.rematch(t, 100, func() {}) // and once more changes nothing
		if diff := cmp.Diff(fresh.canonical(t), moved.canonical(t)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
