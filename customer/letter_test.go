package customer_test

import (
	"testing"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// lay absorbs a message of which one part is refused, about parties that the refusal names.
func (h *house) lay(t *testing.T, keys ...string) event.DeadLetter {
	t.Helper()
	m := &event.Message{Source: "shop", Topic: "t", Offset: 77, Time: start, Key: []byte("secret"), Value: []byte("secret")}
	r := event.Refusal{Part: "line[\xff1]", Outcome: event.Dead, Err: event.Errorf(event.Poison, "mapping", "x", "x"), Keys: keys}
	b := customer.Batch{Now: h.now, Messages: []customer.Mapped{{Message: m, Refusals: []event.Refusal{r}}}}
	if _, err := h.Absorb(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	letters, err := h.store.DeadLetters(t.Context(), event.LetterQuery{Limit: 9})
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d letters: %v", len(letters), err)
	}
	return letters[0]
}

// A refused part has no version. Once its party was erased nothing shows that it is later, also when the party lives again.
func TestLetterComesAgainAfterErasure(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.absorb(t, upsert("shop", "1", 1, ana))
		if l := h.lay(t, "1"); string(l.Value) != "secret" || l.Part != "line[1]" {
			t.Fatalf("%+v", l)
		}
		h.absorb(t, erase("shop", "1", 2), upsert("shop", "1", 3, person("Ana", "", "", "", "")))
		if l := h.lay(t, "1"); len(l.Value) > 0 || !l.Erased {
			t.Errorf("the source is rewound, and the letter has its bytes again: %+v", l)
		}
	})
}

// A message about two parties is found by the one when the other was erased before, also if it has come again meanwhile and nobody could
// read whom it names.
func TestLetterOfTwo(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.absorb(t, upsert("shop", "1", 1, ana), upsert("shop", "2", 1, luis))
		h.lay(t, "1", "2")
		h.absorb(t, erase("shop", "1", 2))
		h.lay(t)
		h.absorb(t, erase("shop", "2", 2))
		letters, err := h.store.DeadLetters(t.Context(), event.LetterQuery{Limit: 9})
		if err != nil || len(letters) != 1 || !letters[0].Erased || len(letters[0].Value) > 0 {
			t.Errorf("both were erased: %+v, %v", letters, err)
		}
	})
}

// A decision that is said again, as from an older log, comes without its reason once one of the two was erased.
func TestReasonStaysAway(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.absorb(t, upsert("shop", "1", 1, ana), upsert("shop", "2", 1, luis))
		d := customer.Decision{
			ID: "dec_1", Pair: customer.NewPair(h.ids.Record("shop", "1"), h.ids.Record("shop", "2")), Author: "x", Reason: "secret", At: h.now,
		}
		if err := h.Join(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		h.absorb(t, erase("shop", "1", 2), upsert("shop", "1", 3, ana))
		if err := h.Join(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		err := h.store.View(t.Context(), func(v customer.View) error {
			found, err := v.Decisions(t.Context(), []string{"dec_1"})
			if err == nil && found[0].Reason != "" {
				t.Errorf("the reason is back: %q", found[0].Reason)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
