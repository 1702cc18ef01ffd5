package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// MaxPatience bounds how long a target can ask to be left alone (invariant 10): who asks for a year has made a mistake.
const MaxPatience = time.Hour

// RetryAfter reads the header of that name (RFC 9110, 10.2.3): seconds, or a date. It is 0 where nothing that could be read is said.
func RetryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(MaxPatience/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return bounded(t.Sub(now))
	}
	return 0
}

func bounded(d time.Duration) time.Duration { return max(0, min(d, MaxPatience)) }

// quota is where a target tells how much is left of what an account may ask for.
type quota struct {
	remaining, reset string // headers
	unit             string // of reset: seconds and milliseconds from now, or epoch, seconds since 1970
}

func (r *reader) quota(v *value) quota {
	if v == nil || !r.object(v, "remaining", "reset", "unit") {
		return quota{}
	}
	q := quota{remaining: r.text(v.get("remaining")), reset: r.text(v.get("reset")), unit: "seconds"}
	if q.remaining == "" || q.reset == "" {
		r.say(v, "add remaining: and reset: with the names of headers", "a quota is told by two headers")
	}
	if u := v.get("unit"); u != nil {
		q.unit = r.oneOf(u, "seconds", "milliseconds", "epoch")
	}
	return q
}

// wait answers how long nothing is left of the quota.
func (q quota) wait(h http.Header, now time.Time) time.Duration {
	if q.remaining == "" || strings.TrimSpace(h.Get(q.remaining)) != "0" {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(h.Get(q.reset)), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	const far = int64(MaxPatience / time.Millisecond)
	switch q.unit {
	case "epoch":
		return bounded(time.Unix(min(n, now.Unix()+far), 0).Sub(now))
	case "milliseconds":
		return bounded(time.Duration(min(n, far)) * time.Millisecond)
	default:
		return bounded(time.Duration(min(n, far)) * time.Second)
	}
}

// Account is what a system counts requests by: the token bucket of every target that is configured with it, and the time until which
// the system asks to be left alone. It is safe for concurrent use.
type Account struct {
	bucket *rate.Limiter
	now    func() time.Time

	mu    sync.Mutex
	until time.Time
}

// NewAccount returns an account that may ask `perSecond` times a second, and so many times at once.
func NewAccount(perSecond, burst int, now func() time.Time) *Account {
	return &Account{bucket: rate.NewLimiter(rate.Limit(perSecond), max(burst, 1)), now: now}
}

// take waits for its turn. It answers for how long the system asks to be left alone, without waiting for that: whoever calls has
// better things to do.
func (a *Account) take(ctx context.Context) (time.Duration, error) {
	if left := a.left(); left > 0 {
		return left, nil
	}
	reserved := a.bucket.ReserveN(a.now(), 1)
	delay := reserved.DelayFrom(a.now())
	if delay <= 0 {
		return 0, ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		reserved.CancelAt(a.now())
		return 0, ctx.Err()
	case <-timer.C:
		return a.left(), nil // it may have asked meanwhile
	}
}

func (a *Account) left() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, a.until.Sub(a.now()))
}

// leave notes that the system asks to be left alone for a while.
func (a *Account) leave(wait time.Duration) {
	if wait <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if until := a.now().Add(wait); until.After(a.until) {
		a.until = until
	}
}
