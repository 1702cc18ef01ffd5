package plugins

import (
	"cmp"
	"context"
	"time"
)

// Defaults of Limits (invariant 10); docs/plugins.md has them in a table.
const (
	DefaultBatch       = 500
	DefaultBatchBytes  = 1 << 20
	DefaultAnswerBytes = 32 << 20
	DefaultLinger      = 2 * time.Millisecond
	DefaultWindow      = 4
	DefaultStart       = 10 * time.Second
	DefaultCall        = 5 * time.Second
	DefaultHealth      = 5 * time.Second
	DefaultHealthEvery = 5 * time.Second
	DefaultMemory      = 512 << 20
	DefaultRestartMin  = 100 * time.Millisecond
	DefaultRestartMax  = 30 * time.Second
	DefaultBreaker     = 5
	DefaultStrikes     = 3
)

// Limits that are the same for everybody.
const (
	maxRequest  = 64 << 20               // bytes that a plugin by Serve takes in one call
	maxText     = 1 << 10                // bytes of a plugin's own sentence that are kept
	fewSuspects = 20                     // records a call, of those that were in one that failed
	maxStrikes  = 1 << 14                // messages, or customers, of which it is remembered that they broke the process
	maxAfter    = 24 * time.Hour         // that a target by ServeTarget asks to be left alone
	memoryEvery = 100 * time.Millisecond // how often the memory of a process is looked at
	lastMoment  = 100 * time.Millisecond // that a process is given to say how it ended
	drainGrace  = time.Second            // for Drain, and again for the process to end by itself
)

// Limits bound what a Host asks of its process and how long it waits for it.
type Limits struct {
	Batch       int           // records a call
	BatchBytes  int           // keys, values and headers a call; a larger record comes alone
	AnswerBytes int           // of one answer
	Linger      time.Duration // that the first record of a batch waits for others
	Window      int           // calls at a time
	Start       time.Duration // from the start of the process to its first answers
	Call        time.Duration // of one call; a process that takes longer is ended
	Health      time.Duration // of one answer to Health
	HealthEvery time.Duration // between two of them
	Memory      int64         // bytes in use by the process; one that uses more is ended (where /proc tells how much it is)
	RestartMin  time.Duration // before the second start
	RestartMax  time.Duration // longest wait between two starts
	Breaker     int           // failures without a success between, after which Map does not wait
	Strikes     int           // times that a message alone may break the process, before it is refused
}

func (l Limits) withDefaults() Limits {
	l.Batch = cmp.Or(l.Batch, DefaultBatch)
	l.BatchBytes = cmp.Or(l.BatchBytes, DefaultBatchBytes)
	l.AnswerBytes = cmp.Or(l.AnswerBytes, DefaultAnswerBytes)
	l.Linger = cmp.Or(l.Linger, DefaultLinger)
	l.Window = cmp.Or(l.Window, DefaultWindow)
	l.Start = cmp.Or(l.Start, DefaultStart)
	l.Call = cmp.Or(l.Call, DefaultCall)
	l.Health = cmp.Or(l.Health, DefaultHealth)
	l.HealthEvery = cmp.Or(l.HealthEvery, DefaultHealthEvery)
	l.Memory = cmp.Or(l.Memory, DefaultMemory)
	l.RestartMin = cmp.Or(l.RestartMin, DefaultRestartMin)
	l.RestartMax = cmp.Or(l.RestartMax, DefaultRestartMax)
	l.Breaker = cmp.Or(l.Breaker, DefaultBreaker)
	l.Strikes = cmp.Or(l.Strikes, DefaultStrikes)
	return l
}

// delay answers the wait after the n-th failure, counted from 0.
func (l Limits) delay(n int) time.Duration {
	d := l.RestartMin
	for ; n > 0 && d < l.RestartMax; n-- {
		d *= 2
	}
	return min(d, l.RestartMax)
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
