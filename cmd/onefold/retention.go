package main

import (
	"context"
	"log/slog"
	"time"
)

// Limits of retention (invariant 10).
const (
	retainEvery   = time.Hour // between two looks at what is too old
	retainLetters = 100       // dead letters that go in one transaction: each may be as long as a message
)

// retention lets go of what has been kept for as long as the configuration says. An erasure cannot reach everything: of a message that
// nobody could read, nobody can tell whom it names.
type retention struct {
	store interface {
		DropDeadLetters(ctx context.Context, before time.Time, limit int) (int, error)
	}
	letters time.Duration // how long dead letters are kept; 0 is for ever
	now     func() time.Time
	log     *slog.Logger
}

// run looks at once and then once an hour until ctx ends. What fails is told and tried again the next time.
func (r *retention) run(ctx context.Context) {
	if r.letters == 0 {
		return
	}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		dropped, err := r.drop(ctx)
		if dropped > 0 {
			r.log.InfoContext(ctx, "dead letters were kept long enough and are gone", slog.Int("letters", dropped), slog.Duration("kept", r.letters))
		}
		if err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "dead letters that are too old could not be let go of, trying again", slog.Any("err", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// drop lets go of all that is too old now, a bounded number at a time, so that others come to write in between.
func (r *retention) drop(ctx context.Context) (dropped int, err error) {
	before := r.now().Add(-r.letters)
	for {
		n, err := r.store.DropDeadLetters(ctx, before, retainLetters)
		dropped += n
		if err != nil || n < retainLetters {
			return dropped, err
		}
	}
}
