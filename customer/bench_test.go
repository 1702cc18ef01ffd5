package customer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// crowd makes n distinct people as changes of one source.
func crowd(from, n, version int) []customer.Change {
	given := []string{"Ana", "Luis", "Maria", "John", "Emma", "Noah", "Sofia", "Hans", "Lea", "Marco", "Paula"}
	family := []string{"Ruiz", "Smith", "Meier", "Rossi", "Dubois", "Novak", "Olsen", "Garcia", "Brown", "Fischer", "Moreau", "Silva", "Kaya"}
	out := make([]customer.Change, n)
	for i := range out {
		k := from + i
		out[i] = customer.Change{
			Source: "shop", Key: fmt.Sprint(k), Op: customer.Upsert, Version: sequence(version, "p"),
			Party: append(person(
				given[k%len(given)], family[k/3%len(family)], fmt.Sprintf("%d-%02d-%02d", 1940+k%60, 1+k%12, 1+k%28),
				fmt.Sprintf("user%d@mail%d.test", k, k%97), fmt.Sprintf("+34600%06d", k)), set("note", fmt.Sprint(version))),
		}
	}
	return out
}

// BenchmarkAbsorb measures a group of 500 messages into a memory store that holds 10,000 records: people nobody knew, and
// updates that change no key. "again" is the same work as "update": the noise floor.
func BenchmarkAbsorb(b *testing.B) {
	h := open(b)
	const held, group = 10_000, 500
	for i := 0; i < held; i += group {
		h.absorb(b, crowd(i, group, 1)...)
	}
	next, version := held, 1
	update := func(b *testing.B) {
		for b.Loop() {
			version++
			h.absorb(b, crowd(version%20*group, group, version)...)
		}
		b.ReportMetric(float64(b.N*group)/b.Elapsed().Seconds(), "changes/s")
	}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			h.absorb(b, crowd(next, group, 1)...)
			next += group
		}
		b.ReportMetric(float64(b.N*group)/b.Elapsed().Seconds(), "changes/s")
	})
	b.Run("update", update)
	b.Run("again", update)
}

func BenchmarkFold(b *testing.B) {
	changes := crowd(0, 2, 1)
	sealed, _ := customer.Seal(changes, &event.Message{Source: "shop"}, 1)
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			r := &customer.Record{}
			r.Fold(customer.Upsert, &sealed[0], sealed[0].Party)
		}
	})
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			customer.Seal(changes[:1], &event.Message{Source: "shop"}, 1)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	h := open(b)
	h.absorb(b, crowd(0, 500, 1)...)
	for b.Loop() {
		if _, err := h.Find(context.Background(), customer.Query{Email: "user7@mail7.test"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkErase measures a message of so many erasures, each of a party with a stored interaction, among as many new interactions: its
// time should grow as the number does.
func BenchmarkErase(b *testing.B) {
	for _, n := range []int{1_000, 4_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			version := 0
			h := open(b)
			party := func(i int) customer.Change {
				return customer.Change{
					Key: fmt.Sprint(i), Op: customer.Patch, Version: sequence(version, "p"),
					Party:        []customer.Statement{set("email", fmt.Sprintf("user%d@mail.test", i))}, // no two alike
					Interactions: []customer.Interaction{{Key: fmt.Sprint("order:", i), Type: "order"}},
				}
			}
			absorb := func(changes []customer.Change) {
				m := &event.Message{Source: "shop", Topic: "t", Offset: int64(version)}
				sealed, _ := customer.Seal(changes, m, 1)
				if _, err := h.Absorb(b.Context(), customer.Batch{Now: start, Messages: []customer.Mapped{{Message: m, Changes: sealed}}}); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				b.StopTimer()
				var known, both []customer.Change
				version += 2
				for i := range n {
					known, both = append(known, party(i)), append(both, party(n+i))
				}
				absorb(known)
				for i := range n {
					both = append(both, customer.Change{Key: fmt.Sprint(i), Op: customer.Erase, Version: sequence(version+1, "p")})
				}
				b.StartTimer()
				absorb(both)
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "erasures/s")
		})
	}
}
