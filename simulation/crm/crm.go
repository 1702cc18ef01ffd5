// Package crm is a small CRM that does not exist, Cardbox: an HTTP server that keeps contacts in memory, people who work with it, and
// the webhooks that it tells of each change. Like the systems that it stands for it has a quota, bad days and opinions of its own: what
// it does wrong is drawn from a seed. It knows nothing of Onefold: demo, tests and benchmarks write to it and listen to it.
package crm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of the API; docs/simulation.md has them in a table.
const (
	MaxBody  = 1 << 20 // bytes of a request
	MaxBatch = 100     // records of a batch
	MaxPage  = 1000    // contacts of a page
)

// Config says how a CRM is.
type Config struct {
	Token  string // of who may call it; empty: whoever comes
	Seed   uint64 // of what its users do and of its faults
	Faults Faults
	Now    func() time.Time // the clock; required
}

// CRM keeps contacts. It is an http.Handler, safe for concurrent use, and lives on where its server is ended and started anew.
type CRM struct {
	now func() time.Time
	mux *http.ServeMux

	mu       sync.Mutex
	token    string
	faults   Faults
	quota    bucket
	dice     dice // of faults
	hands    dice // of users
	stats    Stats
	made     int64               // contacts ever made
	told     int64               // webhooks ever told
	contacts map[string]*Contact // by their own id
	external map[string]*Contact // by external id
	order    []*Contact          // by age
	hooks    hooks
}

// Stats counts what was asked and what became of it.
type Stats struct {
	Calls     int64 // requests, whatever became of them
	Created   int64 // contacts
	Updated   int64
	Unchanged int64 // writes that said what was held already: no new version, no webhook
	Deleted   int64
	Merged    int64
	Edited    int64 // by users
	Throttled int64 // requests answered 429
	Failed    int64 // requests answered 5xx on purpose, records of a batch among them
	Slow      int64
	Cut       int64 // answers that broke off
}

// New returns an empty CRM.
func New(c Config) *CRM {
	crm := &CRM{
		now: c.Now, token: c.Token, dice: throw(c.Seed, 1), hands: throw(c.Seed, 2),
		contacts: map[string]*Contact{}, external: map[string]*Contact{}, hooks: newHooks(),
	}
	crm.Disturb(c.Faults)
	crm.mux = crm.routes()
	return crm
}

// Renew gives the CRM another token: the old one has expired.
func (c *CRM) Renew(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

// Stats answers what was counted so far.
func (c *CRM) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Contacts answers copies of all contacts, in the order in which they were made.
func (c *CRM) Contacts() []Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Contact, len(c.order))
	for i, x := range c.order {
		out[i] = x.clone()
	}
	return out
}

// answer is what a request comes to.
type answer struct {
	status int
	body   any // nil: none
}

// failure is an answer that says what is wrong.
func failure(status int, code, message string) answer {
	return answer{status: status, body: map[string]any{"error": problem{Code: code, Message: message}}}
}

type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// routes says which request is which. What each does is done under the lock, at once.
func (c *CRM) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(*http.Request, []byte) answer{
		"GET /contacts":                   c.list,
		"GET /contacts/{external}":        c.show,
		"PUT /contacts/{external}":        c.put,
		"GET /contacts/by-id/{id}":        c.show,
		"PATCH /contacts/by-id/{id}":      c.patch,
		"DELETE /contacts/by-id/{id}":     c.remove,
		"POST /contacts/by-id/{id}/merge": c.merge,
		"POST /contacts/batch":            c.batch,
		"DELETE /contacts/{external}":     c.remove,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.handle(w, r, handle) })
	}
	return mux
}

// ServeHTTP serves a request, or does wrong as its faults say.
func (c *CRM) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

// headerWait is how long a request's header may take to come.
const headerWait = 10 * time.Second

// Serve serves on ln until ctx ends; what is being asked then breaks off, as when a machine dies. It closes ln.
func (c *CRM) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{Handler: c, ReadHeaderTimeout: headerWait}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // it is ended, whatever it says
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handle is the way of each request: who is it, are there not too many, is it well-formed, what does it come to.
func (c *CRM) handle(w http.ResponseWriter, r *http.Request, do func(*http.Request, []byte) answer) {
	w.Header().Set("Content-Type", "application/json")
	if a, refused := c.refuse(w, r); refused {
		write(w, a)
		return
	}
	body, bad := read(w, r)
	if bad != nil {
		write(w, *bad)
		return
	}
	m := c.mishap()
	if !m.wait(r) {
		return // who asked has gone
	}
	switch {
	case m.fails:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(m.status)
		_, _ = io.WriteString(w, "<html><body><h1>"+http.StatusText(m.status)+"</h1></body></html>")
		return
	case m.cut && !m.done:
		cut(w, answer{status: http.StatusOK, body: map[string]string{"id": "con_"}})
	}
	c.mu.Lock()
	a := do(r, body)
	c.mu.Unlock()
	if m.cut {
		cut(w, a)
	}
	write(w, a)
}

// refuse tells whether a request goes no further: it has no right to, or there are too many.
func (c *CRM) refuse(w http.ResponseWriter, r *http.Request) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Calls++
	if c.token != "" && r.Header.Get("Authorization") != "Bearer "+c.token {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return failure(http.StatusUnauthorized, "UNAUTHORIZED", "the token is missing, wrong or expired"), true
	}
	if wait := c.quota.take(c.now()); wait > 0 {
		c.stats.Throttled++
		w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
		return failure(http.StatusTooManyRequests, "RATE_LIMIT", "more requests than the quota allows"), true
	}
	return answer{}, false
}

// read reads a request's body: JSON, of a bounded size.
func read(w http.ResponseWriter, r *http.Request) ([]byte, *answer) {
	if r.Method == http.MethodGet || r.Method == http.MethodDelete {
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		a := failure(http.StatusUnsupportedMediaType, "CONTENT_TYPE", "send application/json")
		return nil, &a
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		a := failure(http.StatusRequestEntityTooLarge, "TOO_LARGE", "a request has at most 1 MiB")
		return nil, &a
	case err != nil:
		a := failure(http.StatusBadRequest, "BODY", "the body broke off")
		return nil, &a
	}
	return body, nil
}

func write(w http.ResponseWriter, a answer) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	b, err := json.Marshal(a.body)
	if err != nil { // contacts and sentences can be written
		panic(err)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(a.status)
	_, _ = w.Write(b) // who asked may have gone
}

// list answers a page of contacts, in the order in which they were made: GET /contacts?after=ID&limit=N.
func (c *CRM) list(r *http.Request, _ []byte) answer {
	limit := MaxPage
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > MaxPage {
			return failure(http.StatusBadRequest, "LIMIT", "limit is 1 to 1000")
		}
		limit = n
	}
	first := 0
	if after := r.URL.Query().Get("after"); after != "" {
		first, _ = slices.BinarySearchFunc(c.order, after, func(x *Contact, id string) int { return strings.Compare(x.ID, id) })
		if first < len(c.order) && c.order[first].ID == after {
			first++
		}
	}
	page := map[string]any{"contacts": c.order[first:min(first+limit, len(c.order))], "total": len(c.order)}
	if first+limit < len(c.order) {
		page["next"] = c.order[first+limit-1].ID
	}
	return copied(http.StatusOK, page)
}

// copied is an answer that is written while the lock is held: what it tells may change afterwards.
func copied(status int, body any) answer {
	b, err := json.Marshal(body)
	if err != nil { // contacts and sentences can be written
		panic(err)
	}
	return answer{status: status, body: json.RawMessage(b)}
}
