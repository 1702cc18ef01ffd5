package crm

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Faults are what a CRM does wrong, and how much it lets be asked of it. A rate is of all requests, 0 to 1; the zero value does nothing
// wrong.
type Faults struct {
	Quota   int           // requests a second that are served, evenly; the others are 429 with Retry-After. 0: as many as come
	Burst   int           // how many of them at once; Quota where it is 0
	Errors  float64       // 500, 502 or 503, with a page of HTML
	Slow    float64       // answered after Delay only
	Delay   time.Duration // of a slow answer
	Cut     float64       // the connection ends in the middle of the answer; half of the time what was asked is done
	Partial float64       // of the records of a batch: refused for itself with 503
	Again   float64       // of the webhooks: told twice
}

// Disturb lets a CRM do wrong from now on as f says, and nothing else.
func (c *CRM) Disturb(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Burst == 0 {
		f.Burst = f.Quota
	}
	c.faults = f
	c.quota = bucket{rate: f.Quota, most: f.Burst, left: float64(f.Burst), at: c.now()}
}

// bucket holds the requests that a quota still allows.
type bucket struct {
	rate, most int
	left       float64
	at         time.Time
}

// take answers how long to wait before a request is allowed; 0 takes one.
func (b *bucket) take(now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.left = min(float64(b.most), b.left+now.Sub(b.at).Seconds()*float64(b.rate))
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / float64(b.rate) * float64(time.Second))
	}
	b.left--
	return 0
}

// mishap is what goes wrong with one request.
type mishap struct {
	delay      time.Duration
	fails, cut bool
	done       bool // what was asked is done before the answer breaks off
	status     int
}

// mishap draws what goes wrong.
func (c *CRM) mishap() (m mishap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dice.chance(c.faults.Slow) {
		m.delay = c.faults.Delay
		c.stats.Slow++
	}
	switch {
	case c.dice.chance(c.faults.Errors):
		m.fails, m.status = true, []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable}[c.dice.IntN(3)]
		c.stats.Failed++
	case c.dice.chance(c.faults.Cut):
		m.cut, m.done = true, c.dice.chance(0.5)
		c.stats.Cut++
	}
	return m
}

// wait lets a slow answer take its time; false where who asked has gone.
func (m *mishap) wait(r *http.Request) bool {
	if m.delay <= 0 {
		return true
	}
	t := time.NewTimer(m.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// cut begins an answer, and closes the connection in the middle of it. It does not return.
func cut(w http.ResponseWriter, a answer) {
	b, err := json.Marshal(a.body)
	if err != nil { // contacts and sentences can be written
		panic(err)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(a.status)
	_, _ = w.Write(b[:len(b)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // this is how a handler of net/http closes the connection
}

// dice are random numbers of a seed.
type dice struct{ *rand.Rand }

func throw(seed, what uint64) dice { return dice{rand.New(rand.NewPCG(seed, what))} }

func (d dice) chance(rate float64) bool { return rate > 0 && d.Float64() < rate }
