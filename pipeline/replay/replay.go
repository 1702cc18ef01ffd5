// Package replay takes dead letters up again, and does with them what people decide. A replay goes the way of a delivery: the same
// adapter, the same checks, one transaction for the effect and the letter's end. Its message keeps its place, so it takes effect once.
package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Desk is where dead letters are dealt with. One replay runs at a time, in Run.
type Desk struct {
	c    Config
	next chan *job // 1: what Run takes up

	mu   sync.Mutex
	jobs []*job // the oldest first
	gone bool   // Run has ended, nothing is taken up any more
}

// Config is what a Desk stands on.
type Config struct {
	Flow    Flow
	Letters Letters
	Store   Store
	Handled func(source, action string) // counts what people did to letters; may be nil
	Now     func() time.Time
	NewID   func() string // of a replay
	Log     *slog.Logger
}

// Flow reads messages and takes them in as the pipeline does; pipeline.Ingest is one.
type Flow interface {
	// Map reads a message once. The error is one that may pass, or a Permanent one where nobody can read for its source.
	Map(ctx context.Context, m *event.Message) (*customer.Mapped, error)
	// Replay absorbs mapped messages with their letters, in one transaction.
	Replay(ctx context.Context, b customer.Batch) (*customer.Absorbed, error)
}

// Letters is where dead letters are kept.
type Letters interface {
	DeadLetters(ctx context.Context, q event.LetterQuery) ([]event.DeadLetter, error)
	CountDeadLetters(ctx context.Context, q event.LetterQuery) (int64, error)
}

// Store lets letters go.
type Store interface {
	Update(ctx context.Context, fn func(customer.Tx) error) error
}

// Limits of replays (invariant 10).
const (
	DefaultRate = 200                    // letters a second, where nobody says another
	MaxRate     = 10_000                 // letters a second
	MaxJobs     = 20                     // replays that are remembered, the last ones
	MaxGroups   = 200                    // groups that a replay tells apart; the rest is one of them
	page        = 500                    // letters looked up at a time, without their bytes
	together    = 100                    // letters of one message in one transaction
	retryMin    = 100 * time.Millisecond // wait before the second try of what may pass by itself
	retryMax    = 30 * time.Second
)

// New makes a Desk. It starts nothing.
func New(c Config) *Desk {
	if c.Handled == nil {
		c.Handled = func(string, string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Desk{c: c, next: make(chan *job, 1)}
}

// Run does the replays that Start asks for, one after the other, until ctx ends. The one that is under way then ends between two
// transactions: what it has done is done, what is left can be asked for again.
func (d *Desk) Run(ctx context.Context) error {
	defer d.end()
	for {
		select {
		case j := <-d.next:
			d.run(ctx, j)
		case <-ctx.Done():
			return nil
		}
	}
}

// end refuses what comes now, and ends a replay that nobody has taken up.
func (d *Desk) end() {
	d.mu.Lock()
	d.gone = true
	d.mu.Unlock()
	select {
	case j := <-d.next:
		j.finish(event.ReplayFailed, errEnded.Error(), d.c.Now())
	default:
	}
}

var errEnded = errors.New("the service ended before it was done: start it again for what is left")

// Start begins a replay, and answers it as it is then. It goes on when ctx has ended.
func (d *Desk) Start(_ context.Context, w event.ReplayWish) (event.Replay, error) {
	if err := check(&w); err != nil {
		return event.Replay{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return event.Replay{}, event.Errorf(event.Retryable, "ended", "", "the service is ending: start the replay when it is back")
	}
	if n := len(d.jobs); n > 0 && !d.jobs[n-1].look().State.Ended() {
		return event.Replay{}, event.ErrReplaying
	}
	j := newJob(d.c.NewID(), w, d.c.Now())
	if d.jobs = append(d.jobs, j); len(d.jobs) > MaxJobs {
		d.jobs = slices.Delete(d.jobs, 0, len(d.jobs)-MaxJobs)
	}
	d.next <- j // there is room: no other is under way
	return j.look(), nil
}

// check refuses a wish that chooses nothing, more than was meant, or too fast.
func check(w *event.ReplayWish) error {
	chosen := w.Source != "" || w.Group != "" || !w.Since.IsZero() || !w.Until.IsZero()
	switch {
	case w.Letter != "" && (chosen || w.All), w.All && chosen:
		return event.Errorf(event.Permanent, "validation", "all", "a letter, a choice and all of them exclude each other: name one")
	case w.Letter == "" && !chosen && !w.All:
		return event.Errorf(event.Permanent, "validation", "letter", "nothing is chosen: name a letter, a source, a group or a time, or say all")
	case w.Rate < 0 || w.Rate > MaxRate:
		return event.Errorf(event.Permanent, "validation", "rate", "a rate is above 0 and at most %d letters a second", MaxRate)
	}
	if w.Rate == 0 {
		w.Rate = DefaultRate
	}
	return nil
}

// Replays answers the replays that are remembered, the newest first. A restart forgets them.
func (d *Desk) Replays(context.Context) []event.Replay {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]event.Replay, 0, len(d.jobs))
	for _, j := range slices.Backward(d.jobs) {
		out = append(out, j.look())
	}
	return out
}

// Replay answers one replay, customer.ErrNotFound if none of that id is remembered.
func (d *Desk) Replay(_ context.Context, id string) (event.Replay, error) {
	j, err := d.job(id)
	if err != nil {
		return event.Replay{}, err
	}
	return j.look(), nil
}

// Steer pauses, resumes or cancels a replay, as to says: the state that it is to have. One that has ended stays as it is.
func (d *Desk) Steer(_ context.Context, id string, to event.ReplayState) (event.Replay, error) {
	j, err := d.job(id)
	if err != nil {
		return event.Replay{}, err
	}
	j.steer(to)
	return j.look(), nil
}

func (d *Desk) job(id string) (*job, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, j := range d.jobs {
		if j.id == id {
			return j, nil
		}
	}
	return nil, fmt.Errorf("replay %s: %w", id, customer.ErrNotFound)
}
