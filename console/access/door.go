package access

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Config is what the door stands on.
type Config struct {
	Tokens []Token // none: whoever reaches the address is let in as an admin, so only this machine may reach it
	Random io.Reader
	Now    func() time.Time
	Log    *slog.Logger
}

// Door lets in who holds a token: programs with each request, browsers for a session. It is safe for concurrent use.
type Door struct {
	tokens   []Token
	sessions *sessions
	tries    *tries
	log      *slog.Logger
}

// New returns the door.
func New(c Config) *Door {
	return &Door{
		tokens:   c.Tokens,
		sessions: &sessions{random: c.Random, now: c.Now, all: map[[32]byte]*session{}},
		tries:    &tries{now: c.Now, from: map[netip.Prefix]*guesses{}},
		log:      c.Log,
	}
}

// Open tells that there are no tokens.
func (d *Door) Open() bool { return len(d.tokens) == 0 }

// Refusal is why somebody is not let in.
type Refusal struct {
	Status              int
	Code, Message, Hint string
	Wait                time.Duration // before another try
}

// Who answers who sends a request. A token that is sent outranks a session.
func (d *Door) Who(r *http.Request) (Caller, *Refusal) {
	if d.Open() {
		return Caller{Role: Admin}, nil
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, secret, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Caller{}, &Refusal{
				Status: http.StatusUnauthorized, Code: "unauthenticated",
				Message: "the Authorization header is not understood", Hint: "write Authorization: Bearer and the token",
			}
		}
		return d.try(r, strings.TrimSpace(secret))
	}
	if id, ok := held(r); ok {
		if c, ok := d.sessions.find(id, !background(r)); ok {
			return c, nil
		}
	}
	return Caller{}, &Refusal{
		Status: http.StatusUnauthorized, Code: "unauthenticated",
		Message: "a token is needed here", Hint: "send Authorization: Bearer and a token; onefold takes --token-file or ONEFOLD_TOKEN",
	}
}

// try looks at a secret, unless too many wrong ones came from where it comes from.
func (d *Door) try(r *http.Request, secret string) (Caller, *Refusal) {
	var t Token
	from := origin(r)
	good, wait := d.tries.try(from, func() (ok bool) {
		t, ok = holder(d.tokens, secret)
		return ok
	})
	switch {
	case good:
		return Caller{Name: t.Name, Role: t.Role}, nil
	case wait > 0:
		return Caller{}, &Refusal{
			Status: http.StatusTooManyRequests, Code: "too_many_tries", Wait: wait,
			Message: "too many wrong tokens came from this address", Hint: fmt.Sprintf("try again in %d s", seconds(wait)),
		}
	}
	d.log.WarnContext(r.Context(), "a wrong token was refused", slog.String("from", from.String()))
	return Caller{}, &Refusal{
		Status: http.StatusUnauthorized, Code: "unauthenticated",
		Message: "this token is not known", Hint: "it is one of console.tokens in the configuration; onefold token new makes one",
	}
}

// seconds rounds up: whoever waits so long need not wait again.
func seconds(wait time.Duration) int { return int((wait + time.Second - 1) / time.Second) }

// RetryAfter is the value of the header that tells how long to wait.
func (r *Refusal) RetryAfter() string { return fmt.Sprint(seconds(r.Wait)) }

// origin answers the address that a request comes from. A proxy on this machine is believed in whom it says to have been asked by, and
// only in the last one: what stands before that came from outside.
func origin(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	if !at.Unmap().IsLoopback() {
		return at.Unmap()
	}
	all := r.Header.Values("X-Forwarded-For")
	if len(all) == 0 {
		return at.Unmap()
	}
	last := all[len(all)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if asked, err := netip.ParseAddr(last); err == nil {
		return asked.Unmap().WithZone("")
	}
	return at.Unmap()
}

// encrypted tells whether the browser's own connection is: ours, or that of a proxy on this machine that says so.
func encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	at, wrong := netip.ParseAddr(host)
	return err == nil && wrong == nil && at.Unmap().IsLoopback() && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// background tells that a page asks by itself, not somebody who sits before it: that keeps no session going.
func background(r *http.Request) bool {
	return r.Header.Get("X-Onefold-Background") != "" || r.URL.Path == "/live"
}
