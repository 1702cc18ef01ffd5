// Package pages is the console's window for people: pages that show what the API tells, made on the server, with a strict
// content security policy and no personal data for those who may not see it. It asks; it computes nothing of its own.
package pages

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Config is what the pages stand on.
type Config struct {
	Customers Customers
	Explain   Explain
	Letters   Letters
	Replays   Replays // nil: nobody replays
	Hand      Hand    // nil: nobody discards
	Flow      Flow    // nil: nobody pauses sources
	Targets   Targets // nil: nothing is known of targets but their status
	Status    func(context.Context) (*Status, error)
	// Caller says who asks; nil: somebody who may do everything. What customers hold arrives as the caller may see it.
	Caller func(*http.Request) Caller
	// Audit is told what came of a page that shows or changes something of somebody; nil: nobody is.
	Audit func(r *http.Request, outcome string)
	// Mask hides what the bytes of a message say, and leaves how they are built.
	Mask func([]byte) []byte
	Now  func() time.Time
	Log  *slog.Logger
}

// Caller is who asks for a page.
type Caller struct {
	Name     string // empty where nobody has to say who he is
	Role     string
	Sees     bool // personal data as it is
	Operates bool // replays dead letters
}

// Customers is what is asked of the registry.
type Customers interface {
	Customer(ctx context.Context, id customer.CustomerID) (*customer.Customer, error)
	Find(ctx context.Context, q customer.Query) (*customer.Found, error)
	Timeline(ctx context.Context, id customer.CustomerID, limit int) ([]*customer.Interaction, error)
}

// Explain is what is asked of how the registry came to its answers.
type Explain interface {
	Why(ctx context.Context, a, b string) (*customer.Explanation, error)
	How(ctx context.Context, id customer.CustomerID) (*customer.Making, error)
}

// Letters is where dead letters are kept.
type Letters interface {
	// DeadLetters answers the letters that a query chooses; customer.ErrNotFound if there is none that it begins behind.
	DeadLetters(ctx context.Context, q event.LetterQuery) ([]event.DeadLetter, error)
	// DeadGroups answers what letters have in common, the largest group first.
	DeadGroups(ctx context.Context, q event.LetterQuery) ([]event.LetterGroup, error)
	// DeadLetter answers one letter, customer.ErrNotFound if there is none of that id.
	DeadLetter(ctx context.Context, id string) (*event.DeadLetter, error)
}

// Patience bounds how long a page may take to be made (invariant 10).
const Patience = 20 * time.Second

// policy lets a page load what this server serves, and nothing else: no script or style that stands in the page, no frame around it, no
// form that leads away.
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// htmxConfig leaves out all that htmx could do and that we do not use.
const htmxConfig = `{"history":false,"includeIndicatorCSS":false,"noSwap":[204,304,"4xx","5xx"],"defaultTimeout":10000,"extensions":"none"}`

// New returns the pages, at / and below.
func New(c Config) http.Handler {
	p := &pages{Config: c, shelf: newShelf()}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{name}", p.shelf)
	for pattern, h := range map[string]handler{
		"GET /{$}":                       p.overview,
		"GET /live":                      p.live,
		"GET /customers":                 p.search,
		"GET /customers/{id}":            p.customer,
		"GET /dead-letters":              p.letters,
		"GET /dead-letters/{id}":         p.letter,
		"POST /dead-letters/{id}/reveal": p.reveal,
		"POST /replays":                  p.replay,
		"GET /replays/{id}":              p.replayed,
		"POST /replays/{id}/pause":       p.steer(event.ReplayPaused),
		"POST /replays/{id}/resume":      p.steer(event.ReplayRunning),
		"POST /replays/{id}/cancel":      p.steer(event.ReplayCancelled),
		"POST /dead-letters/discard":     p.discard,
		"GET /sources":                   p.sources,
		"POST /sources/{name}/pause":     p.hold(true),
		"POST /sources/{name}/resume":    p.hold(false),
		"GET /targets":                   p.targets,
		"GET /targets/{name}":            p.target,
		"POST /targets/{name}/resync":    p.resync,
		"/":                              p.nothing,
	} {
		mux.HandleFunc(pattern, p.serve(h, personal(pattern)))
	}
	return mux
}

type pages struct {
	Config
	shelf  *shelf
	traces traces
}

// view is what a handler answers: a page's content, or a piece of one, or another place to go.
type view struct {
	frame
	status int // 0 is 200
	body   templ.Component
	piece  bool   // the body goes out as it is, without the frame around it
	to     string // go there instead
}

// frame is what stands around every page.
type frame struct {
	Title   string
	Section string // which part of the navigation is marked
	Asset   func(string) string
	Polls   bool // htmx asks for a part of it again and again
	Caller  Caller
	Now     time.Time
}

type handler func(*http.Request) (*view, error)

// personal tells pages that show or change something of somebody.
func personal(pattern string) bool {
	if pattern == "GET /replays/{id}" {
		return false
	}
	return strings.Contains(pattern, "/customers") || strings.Contains(pattern, "{id}") || strings.HasPrefix(pattern, http.MethodPost)
}

// serve makes a page, whole or not at all: what fails halfway must not look like an answer.
func (p *pages) serve(h handler, audited bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), Patience)
		defer cancel()
		r = r.WithContext(ctx)
		v, err := h(r)
		if err != nil {
			v = p.failed(r, err)
		}
		if audited && p.Audit != nil {
			p.Audit(r, outcome(v.status))
		}
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		if v.to != "" {
			head.Set("Location", v.to)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		v.Asset, v.Caller, v.Now = p.shelf.address, p.caller(r), p.Now()
		body := v.body
		if !v.piece {
			body = whole(v.frame, v.body)
		}
		var page bytes.Buffer
		if err := body.Render(ctx, &page); err != nil {
			p.Log.ErrorContext(ctx, "page failed", slog.String("route", r.Pattern), slog.Any("err", err))
			http.Error(w, "the page failed inside; the service's log says why", http.StatusInternalServerError)
			return
		}
		head.Set("Content-Type", "text/html; charset=utf-8")
		if v.status != 0 {
			w.WriteHeader(v.status)
		}
		_, _ = w.Write(page.Bytes()) // a reader that has gone away is nobody's error
	}
}

func (p *pages) caller(r *http.Request) Caller {
	if p.Caller == nil {
		return Caller{Sees: true, Operates: true}
	}
	return p.Caller(r)
}

// outcome writes what came of a page in a word, as the API does.
func outcome(status int) string {
	switch status {
	case 0, http.StatusOK, http.StatusSeeOther:
		return "ok"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusBadRequest:
		return "bad_request"
	case http.StatusConflict:
		return "conflict"
	case http.StatusServiceUnavailable:
		return "timeout"
	}
	return "internal"
}

func (p *pages) nothing(*http.Request) (*view, error) {
	return &view{
		frame: frame{Title: "Not here"}, status: http.StatusNotFound,
		body: trouble("There is nothing at this address", "The navigation has every page; the API is described at /api/v1/openapi.yaml."),
	}, nil
}

// failed makes the page that tells an error. What nobody has classified is told to the log, and to the reader without its text
// (invariant 9).
func (p *pages) failed(r *http.Request, err error) *view {
	var e *event.Error
	status, what, hint := http.StatusInternalServerError, "The page failed inside", "The service's log says why."
	switch {
	case errors.Is(err, customer.ErrNotFound):
		status, what, hint = http.StatusNotFound, "Nothing is known under that name", "It may have been erased, or mistyped."
	case errors.As(err, &e) && (e.Class == event.Permanent || e.Class == event.Poison):
		status, what, hint = http.StatusBadRequest, "This cannot be answered", e.Text
	case errors.Is(err, context.DeadlineExceeded):
		status, what, hint = http.StatusServiceUnavailable, "The answer took too long", "Ask for less, or again later."
	case errors.Is(err, event.ErrReplaying), errors.Is(err, event.ErrLetterChanged):
		status, what, hint = http.StatusConflict, "This cannot be done now", err.Error()
	default:
		p.Log.ErrorContext(r.Context(), "page failed", slog.String("route", r.Pattern), slog.Any("err", err))
	}
	return &view{frame: frame{Title: what}, status: status, body: trouble(what, hint)}
}
