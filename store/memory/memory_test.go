package memory_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/memory"
	"github.com/onefold/onefold/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return memory.New() })
}

// A message rests once, however many of its parts are dead, whether they come together or not.
func TestAMessageRestsOnce(t *testing.T) {
	s := memory.New()
	value := make([]byte, 1<<20)
	for i := range 20 {
		err := s.Update(t.Context(), func(tx customer.Tx) error {
			return tx.Apply(t.Context(), &customer.Delta{Dead: []event.DeadLetter{{
				ID: fmt.Sprint(i), Source: "bank", Offset: int64(i / 10), Key: []byte("key"), Value: slices.Clone(value),
			}}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	letters, err := s.DeadLetters(t.Context(), event.LetterQuery{Limit: 99})
	if err != nil {
		t.Fatal(err)
	}
	rest := map[*byte]int{}
	for _, l := range letters {
		rest[&l.Value[0]]++
	}
	if len(letters) != 20 || len(rest) != 2 {
		t.Errorf("two messages with %d dead parts rest %d times", len(letters), len(rest))
	}
}
