package pipeline

import (
	"cmp"
	"context"
	"math/rand/v2"
	"runtime"
	"time"
)

// Defaults of Limits (invariant 10).
const (
	DefaultGroupMessages = 500
	DefaultGroupChanges  = 2_000
	DefaultGroupBytes    = 16 << 20
	DefaultLinger        = 5 * time.Millisecond
	DefaultMessageBytes  = 10 << 20
	DefaultMapTimeout    = 30 * time.Second
	DefaultPending       = 16_384
	DefaultPendingBytes  = 128 << 20
	DefaultDrain         = 10 * time.Second
	DefaultRetryMin      = 100 * time.Millisecond
	DefaultRetryMax      = 30 * time.Second
)

// Limits bound what an Ingest holds and how long it waits. A single message that is larger than a group's limit still makes a
// group of its own.
type Limits struct {
	GroupMessages int           // messages a transaction
	GroupChanges  int           // changes a transaction
	GroupBytes    int64         // keys, values and headers a transaction
	Linger        time.Duration // longest that the first message that is ready waits for others; a fifth of it where none come
	MessageBytes  int           // of a value; a longer one is a dead letter
	MapTimeout    time.Duration // of one call of Map
	MapConcurrent int           // calls of Map at a time, a source; default twice the processors
	Pending       int           // messages taken and not finished, a source
	PendingBytes  int64         // and their bytes
	Drain         time.Duration // to finish what is in flight at the end
	RetryMin      time.Duration // wait before the second try
	RetryMax      time.Duration // longest wait between two tries
}

func (l Limits) withDefaults() Limits {
	l.GroupMessages = cmp.Or(l.GroupMessages, DefaultGroupMessages)
	l.GroupChanges = cmp.Or(l.GroupChanges, DefaultGroupChanges)
	l.GroupBytes = cmp.Or(l.GroupBytes, DefaultGroupBytes)
	l.Linger = cmp.Or(l.Linger, DefaultLinger)
	l.MessageBytes = cmp.Or(l.MessageBytes, DefaultMessageBytes)
	l.MapTimeout = cmp.Or(l.MapTimeout, DefaultMapTimeout)
	l.MapConcurrent = cmp.Or(l.MapConcurrent, 2*runtime.GOMAXPROCS(0))
	l.Pending = cmp.Or(l.Pending, DefaultPending)
	l.PendingBytes = cmp.Or(l.PendingBytes, DefaultPendingBytes)
	l.Drain = cmp.Or(l.Drain, DefaultDrain)
	l.RetryMin = cmp.Or(l.RetryMin, DefaultRetryMin)
	l.RetryMax = cmp.Or(l.RetryMax, DefaultRetryMax)
	return l
}

// backoff waits between tries: twice as long after each, up to a limit, spread over half of it so that many do not come back
// at once.
type backoff struct {
	min, max time.Duration
	jitter   func() float64
}

func newBackoff(lowest, highest time.Duration, jitter func() float64) backoff {
	if jitter == nil {
		jitter = rand.Float64
	}
	return backoff{min: lowest, max: highest, jitter: jitter}
}

// delay answers the wait after the n-th failure, counted from 0.
func (b backoff) delay(n int) time.Duration {
	d := b.min
	for ; n > 0 && d < b.max; n-- {
		d *= 2
	}
	d = min(d, b.max)
	return d/2 + time.Duration(b.jitter()*float64(d/2))
}

// wait sleeps after the n-th failure and tells whether to go on: not when ctx or stop ends first.
func (b backoff) wait(ctx context.Context, stop <-chan struct{}, n int) bool {
	t := time.NewTimer(b.delay(n))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	}
}
