// Package writeback brings customers to the systems that are written to, and keeps what comes back of it from being taken for news. Sync
// is one target's flow: it reads the feed of customers, compares what the target shall hold with what it was given last, pushes the
// difference with the target's patience, and keeps a receipt of each. Echoes stands before the absorber and leaves out of a target's own
// changes what is an echo of ours.
package writeback

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Feed is where customers stand in the order of their last change, each once, as it is now.
type Feed interface {
	// Changed answers customers behind a place, at most limit, and the place of the last one; where there is none, the one given.
	Changed(ctx context.Context, after int64, limit int) ([]*customer.Customer, int64, error)
	// Behind answers how many stand behind a place, and when the first of them changed.
	Behind(ctx context.Context, after int64) (int64, time.Time, error)
}

// Receipts is where what is known of customers at a target rests.
type Receipts interface {
	TargetPosition(ctx context.Context, target string) (int64, error)
	// Receipts answers a target's receipt of each customer, nil where there is none.
	Receipts(ctx context.Context, target string, of []customer.CustomerID) ([]*event.Receipt, error)
	// ReceiptsOf answers the receipts of entries that the target knows under ids of its own.
	ReceiptsOf(ctx context.Context, target string, remotes []string) ([]event.Receipt, error)
	// OwedReceipts answers receipts of what is to be done by a time, the earliest first.
	OwedReceipts(ctx context.Context, target string, due time.Time, limit int) ([]event.Receipt, error)
	// KeepReceipts writes receipts and, unless it is negative, the target's position in the feed, in one transaction.
	KeepReceipts(ctx context.Context, target string, receipts []event.Receipt, position int64) error
	// Renew sets a target back to the beginning of the feed and forgets what it holds.
	Renew(ctx context.Context, target string) error
}

// Store is all that a Sync needs of a store.
type Store interface {
	Feed
	Receipts
	View(ctx context.Context, fn func(customer.View) error) error
}

// Defaults and limits of Config (invariant 10).
const (
	DefaultRound    = 500                    // customers that are worked on at a time
	DefaultParallel = 2                      // pushes at a time
	DefaultPoll     = 500 * time.Millisecond // longest time that a change waits to be noticed if nobody calls Wake
	DefaultRetryMin = 500 * time.Millisecond
	DefaultRetryMax = 5 * time.Minute
	DefaultDrain    = 5 * time.Second
	DefaultSettle   = 2 * time.Second
	DefaultContest  = 15 * time.Minute

	probe        = 10             // customers that a target is tried with that was down
	downAfter    = 3              // calls in a row that failed, and a target counts as down
	wrongLogin   = time.Minute    // longest wait between two tries with a credential that does not work
	removeAgain  = time.Hour      // until a removal that was refused is tried again: an erasure is owed
	maxAliases   = 64             // that are followed one after another
	maxRemote    = 1_024          // bytes of an id or a version that a target tells; a longer one is none
	maxTold      = 500            // bytes of an error's text in a receipt
	longestPause = 24 * time.Hour // that a target may ask for
)

// Config is what a Sync needs to know; zero fields take the defaults.
type Config struct {
	Name     string        // of the target: "crm-eu"
	Source   string        // on which the target tells of changes, also of our own; empty: it tells of none
	Key      []byte        // the installation's secret, with which fingerprints are made
	Round    int           // customers that are worked on at a time
	Parallel int           // calls of Push at a time
	Poll     time.Duration // longest time that a change waits to be noticed
	RetryMin time.Duration // wait after the first failure, of a customer or of the whole target
	RetryMax time.Duration // longest wait between two tries
	Drain    time.Duration // for what is being pushed when Run ends
	Settle   time.Duration // from an edit at the target until what the master says is written over it, if it still says so
	Contest  time.Duration // longest such wait, where the target is edited again and again
	Now      func() time.Time
	Jitter   func() float64 // in [0,1); nil: math/rand
}

func (c Config) withDefaults() Config {
	c.Round = cmp.Or(c.Round, DefaultRound)
	c.Parallel = cmp.Or(c.Parallel, DefaultParallel)
	c.Poll = cmp.Or(c.Poll, DefaultPoll)
	c.RetryMin, c.RetryMax = cmp.Or(c.RetryMin, DefaultRetryMin), cmp.Or(c.RetryMax, DefaultRetryMax)
	c.Drain = cmp.Or(c.Drain, DefaultDrain)
	c.Settle, c.Contest = cmp.Or(c.Settle, DefaultSettle), cmp.Or(c.Contest, DefaultContest)
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	return c
}

// Sync keeps one target up to date. It works in rounds: customers that have changed since the last one, and those that are owed, go
// through the stages, each of which takes from the round what it finishes. No customer is in a round twice, and a round ends before the
// next begins, so what leaves about one customer leaves in version order (invariant 6). What is about to be pushed is noted before,
// and its receipt after: a crash between the two repeats the push, which a target takes as the same.
type Sync struct {
	c      Config
	target adapters.Target
	batch  int
	merges bool
	store  Store
	log    *slog.Logger
	series *series
	print  printer
	stages []stage
	woken  chan struct{}

	mu       sync.Mutex
	position int64                          // in the feed, up to which everything was taken; below 0: not known yet
	renewals int                            // how often it was set back
	flight   map[customer.CustomerID]*touch // customers of the round under way, and who was edited at the target meanwhile
	patience patience
	storing  error // why the store does not do its part
	last     time.Time
}

// stage does one thing to a round.
type stage func(ctx context.Context, r *round) error

// New makes the flow of a target. It starts nothing.
func New(c Config, target adapters.Target, store Store, log *slog.Logger, m *Metrics) *Sync {
	c = c.withDefaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if m == nil {
		m = NewMetrics(nil)
	}
	can := target.Abilities()
	s := &Sync{
		c: c, target: target, batch: max(1, can.Batch), merges: can.Merge, store: store, log: log.With(slog.String("target", c.Name)),
		series: m.target(c.Name), print: newPrinter(c.Key, c.Name), woken: make(chan struct{}, 1),
		flight: map[customer.CustomerID]*touch{}, position: -1,
	}
	s.stages = []stage{s.gather, s.follow, s.plan, s.note, s.push, s.part, s.keep}
	return s
}

// Wake tells that the feed may have become longer. It never blocks.
func (s *Sync) Wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Run brings customers to the target until ctx ends, and then gives what is being pushed a moment. It waits for all that it started.
func (s *Sync) Run(ctx context.Context) error {
	for tries := 0; ctx.Err() == nil; {
		if !s.rest(ctx) {
			break
		}
		busy, err := s.round(ctx)
		s.trouble(ctx, err)
		switch {
		case err != nil:
			s.sleep(ctx, s.delay(tries), false)
			tries++
		case !busy:
			tries = 0
			s.sleep(ctx, s.c.Poll, true)
		default:
			tries = 0
		}
	}
	return nil
}

// round takes one round through the stages. It answers whether there was anything to do.
func (s *Sync) round(ctx context.Context) (bool, error) {
	r := &round{now: s.c.Now().UTC(), by: map[customer.CustomerID]*item{}}
	defer s.land()
	for _, do := range s.stages {
		if err := do(ctx, r); err != nil {
			return false, err
		}
		if len(r.items) == 0 {
			return false, nil
		}
	}
	return true, nil
}

// trouble notes that the store does not do its part, or does again; each is told once.
func (s *Sync) trouble(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	before := s.storing
	s.storing = err
	s.mu.Unlock()
	switch {
	case err != nil && before == nil:
		s.log.Error("the store does not do its part of the write-back, trying again", slog.String("error", err.Error()))
	case err == nil && before != nil:
		s.log.Info("the store does its part of the write-back again")
	}
}

// delay answers the wait after the n-th failure, counted from 0: twice as long after each, spread over half of it.
func (s *Sync) delay(n int) time.Duration { return s.spread(s.c.RetryMin, s.c.RetryMax, n) }

func (s *Sync) spread(lowest, highest time.Duration, n int) time.Duration {
	d := lowest
	for ; n > 0 && d < highest; n-- {
		d *= 2
	}
	d = min(d, highest)
	return d/2 + time.Duration(s.c.Jitter()*float64(d/2))
}

// sleep waits for a while, for less if ctx ends, or, where that is wanted, if there may be something to do.
func (s *Sync) sleep(ctx context.Context, d time.Duration, wake bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	var woken chan struct{}
	if wake {
		woken = s.woken
	}
	select {
	case <-ctx.Done():
	case <-woken:
	case <-t.C:
	}
}

// Resync lets everything be written to the target again, from the beginning, whatever it was given before.
func (s *Sync) Resync(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.store.Renew(ctx, s.c.Name); err != nil {
		return err
	}
	s.position = 0
	s.renewals++
	s.Wake()
	return nil
}
