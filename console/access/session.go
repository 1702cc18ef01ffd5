package access

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"sync"
	"time"
)

// Limits of sessions (invariant 10).
const (
	MaxSessions = 1_000            // of all tokens together
	MaxOwn      = 20               // of one token; the one that was used least lately ends for a new one
	IdleAfter   = 30 * time.Minute // a session that nobody uses ends
	EndsAfter   = 12 * time.Hour   // every session ends; who goes on signs in again
)

// sessions are the browsers that have signed in. They are kept in memory, by the hash of what the browser holds: a restart ends all, and
// a copy of the memory gives no session away.
type sessions struct {
	random io.Reader
	now    func() time.Time

	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

type session struct {
	caller      Caller
	began, used time.Time
}

// begin answers what the browser is to hold.
func (s *sessions) begin(c Caller) (string, error) {
	var bits [32]byte
	if _, err := io.ReadFull(s.random, bits[:]); err != nil {
		return "", err
	}
	id := base64.RawURLEncoding.EncodeToString(bits[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sweep(now)
	if own := s.count(c.Name); own >= MaxOwn {
		s.drop(func(x *session) bool { return x.caller.Name == c.Name })
	} else if len(s.all) >= MaxSessions {
		s.drop(func(*session) bool { return true })
	}
	s.all[sha256.Sum256([]byte(id))] = &session{caller: c, began: now, used: now}
	return id, nil
}

// find answers who holds a session that has not ended. That it was used is noted where somebody uses it.
func (s *sessions) find(id string, used bool) (Caller, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := sha256.Sum256([]byte(id))
	x, ok := s.all[at]
	if !ok {
		return Caller{}, false
	}
	now := s.now()
	if x.over(now) {
		delete(s.all, at)
		return Caller{}, false
	}
	if used {
		x.used = now
	}
	return x.caller, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(id)))
}

func (x *session) over(now time.Time) bool {
	return now.Sub(x.used) >= IdleAfter || now.Sub(x.began) >= EndsAfter
}

func (s *sessions) sweep(now time.Time) {
	for id, x := range s.all {
		if x.over(now) {
			delete(s.all, id)
		}
	}
}

func (s *sessions) count(name string) (n int) {
	for _, x := range s.all {
		if x.caller.Name == name {
			n++
		}
	}
	return n
}

// drop ends the session that was used least lately among those that are meant.
func (s *sessions) drop(meant func(*session) bool) {
	var oldest [sha256.Size]byte
	var seen *session
	for id, x := range s.all {
		if meant(x) && (seen == nil || x.used.Before(seen.used)) {
			oldest, seen = id, x
		}
	}
	if seen != nil {
		delete(s.all, oldest)
	}
}
