package access

import (
	"net/netip"
	"sync"
	"time"
)

// Limits of wrong tries (invariant 10). They hold back one address and nobody else; they end by themselves; and a browser that has
// signed in is not asked again, so that nobody can be locked out by another's guesses.
const (
	FreeTries    = 10               // wrong tries of one address before it has to wait
	MaxWait      = time.Minute      // the wait doubles from one second with each further wrong try, up to this
	ForgetAfter  = 15 * time.Minute // of an address that does not try again
	MaxAddresses = 10_000           // remembered; the one that tried least lately is forgotten for a new one
)

// tries remembers which addresses guess.
type tries struct {
	now func() time.Time

	mu   sync.Mutex
	from map[netip.Prefix]*guesses
}

type guesses struct {
	wrong       int
	last, until time.Time
}

// try has check look at a secret unless the address must wait: then it answers for how long. Looking and counting are one step: many
// guesses at a time are not one guess.
func (t *tries) try(from netip.Addr, check func() bool) (good bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, now := network(from), t.now()
	g := t.from[at]
	if g != nil && now.Sub(g.last) >= ForgetAfter {
		delete(t.from, at)
		g = nil
	}
	if g != nil && now.Before(g.until) {
		return false, g.until.Sub(now)
	}
	if check() { // earlier wrong tries stay: who has a token of their own could wash guesses at another's away with it
		return true, 0
	}
	if g == nil {
		t.room(now)
		g = &guesses{}
		t.from[at] = g
	}
	g.wrong, g.last = g.wrong+1, now
	if over := g.wrong - FreeTries; over >= 0 {
		g.until = now.Add(min(MaxWait, time.Second<<min(over, 10)))
	}
	return false, 0
}

// room forgets an address where there are too many.
func (t *tries) room(now time.Time) {
	if len(t.from) < MaxAddresses {
		return
	}
	var oldest netip.Prefix
	var seen *guesses
	for at, g := range t.from {
		if now.Sub(g.last) >= ForgetAfter {
			delete(t.from, at)
		} else if seen == nil || g.last.Before(seen.last) {
			oldest, seen = at, g
		}
	}
	if len(t.from) >= MaxAddresses {
		delete(t.from, oldest)
	}
}

// network is what counts as one address: of IPv6 a /64, which is one customer's line.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil { // the zero address: all of whom no address is known
		return netip.Prefix{}
	}
	return p
}
