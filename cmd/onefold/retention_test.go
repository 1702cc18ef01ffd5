package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/memory"
)

// flaky fails the first time.
type flaky struct {
	*memory.Store
	calls int
}

func (f *flaky) DropDeadLetters(ctx context.Context, before time.Time, limit int) (int, error) {
	if f.calls++; f.calls == 1 {
		return 0, errors.New("the disk is full")
	}
	return f.Store.DropDeadLetters(ctx, before, limit)
}

// Dead letters go when they have been kept long enough, however many there are, and whatever failed before; with 0 they stay.
func TestRetentionOfDeadLetters(t *testing.T) {
	for _, keep := range []time.Duration{0, 720 * time.Hour} {
		t.Run(keep.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				lay := func(from, n int) {
					var d customer.Delta
					for i := range n {
						d.Dead = append(d.Dead, event.DeadLetter{ID: fmt.Sprint("dead_", from+i), Source: "shop", Offset: int64(from + i), At: time.Now()})
					}
					if err := store.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) }); err != nil {
						t.Fatal(err)
					}
				}
				const old = 2*retainLetters + 1
				lay(0, old)
				time.Sleep(24 * time.Hour)
				lay(old, 3)

				var out strings.Builder
				ctx, stop := context.WithCancel(t.Context())
				r := &retention{store: &flaky{Store: store}, letters: keep, now: time.Now, log: slog.New(slog.NewTextHandler(&out, nil))}
				ended := make(chan struct{})
				go func() { r.run(ctx); close(ended) }()
				left := func() int64 {
					synctest.Wait()
					c, err := store.Counts(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					return c.DeadLetters
				}
				got := []int64{left()}
				for _, wait := range []time.Duration{695 * time.Hour, 2 * time.Hour, 24 * time.Hour} {
					time.Sleep(wait)
					got = append(got, left())
				}
				want := []int64{old + 3, old + 3, 3, 0}
				if keep == 0 {
					want = []int64{old + 3, old + 3, old + 3, old + 3}
				}
				if !slices.Equal(got, want) {
					t.Errorf("there were %d dead letters, want %d", got, want)
				}
				if keep > 0 && (!strings.Contains(out.String(), "the disk is full") || !strings.Contains(out.String(), fmt.Sprint("letters=", old))) {
					t.Errorf("the log does not say what became of them: %s", out.String())
				}
				stop()
				<-ended
			})
		})
	}
}
