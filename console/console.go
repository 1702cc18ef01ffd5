// Package console is the window on an installation: the JSON API that the command line, scripts and other programs use,
// and the admin handler that says how the process is. It asks and it tells; it computes nothing of its own.
package console

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/review"
	"github.com/onefold/onefold/event"
)

// Config is what the API stands on.
type Config struct {
	Customers   Customers
	Explain     Explain
	Steward     Steward
	Review      Review
	Decisions   Decisions
	DeadLetters DeadLetters
	Replays     Replays
	Hand        Hand
	Targets     Targets
	Status      func(context.Context) (*Status, error)
	Flow        Flow
	Model       Model
	Door        *access.Door // who is let in; nil: a door without tokens
	Republish   func(context.Context) (*Republished, error)
	Now         func() time.Time
	Log         *slog.Logger
}

// Customers is what is asked of the registry.
type Customers interface {
	Customer(ctx context.Context, id customer.CustomerID) (*customer.Customer, error)
	Find(ctx context.Context, q customer.Query) (*customer.Found, error)
	Timeline(ctx context.Context, id customer.CustomerID, limit int) ([]*customer.Interaction, error)
	Export(ctx context.Context, w io.Writer, canonical bool) error
}

// Explain is what is asked of how the registry came to its answers.
type Explain interface {
	Why(ctx context.Context, a, b string) (*customer.Explanation, error)
	WhyNot(ctx context.Context, a, b string) (*customer.Explanation, error)
	How(ctx context.Context, id customer.CustomerID) (*customer.Making, error)
	WhyValue(ctx context.Context, id customer.CustomerID, path string) (*customer.Lineage, error)
	WhatIf(ctx context.Context, changes []customer.Change, now time.Time) (*customer.Supposition, error)
}

// Steward is what the registry is told by people.
type Steward interface {
	Join(ctx context.Context, d customer.Decision) error
	Split(ctx context.Context, d customer.Decision) error
	Undo(ctx context.Context, id, author string, at time.Time) (*customer.Decision, error)
	Forget(ctx context.Context, id customer.CustomerID, now time.Time) error
}

// Review is the queue of possible matches.
type Review interface {
	List(ctx context.Context, ask customer.ReviewQuery, now time.Time) (*customer.ReviewPage, error)
	Get(ctx context.Context, id customer.ReviewID, now time.Time) (*customer.Possible, error)
	// Next claims the most urgent pair for its author; nil if none waits.
	Next(ctx context.Context, author string, now time.Time) (*customer.Possible, error)
	Decide(ctx context.Context, id customer.ReviewID, verdict, author, reason string, now time.Time) (*customer.Reviewed, error)
	DecideAll(ctx context.Context, b review.Bulk, now time.Time) (*review.Decided, error)
}

// Decisions is the log of what people have decided.
type Decisions interface {
	ExportDecisions(ctx context.Context, w io.Writer) error
	ImportDecisions(ctx context.Context, told []review.Told, now time.Time) (*review.Taken, error)
}

// DeadLetters is where dead letters are kept.
type DeadLetters interface {
	// DeadLetters answers the letters that a query chooses; customer.ErrNotFound if there is none that it begins behind.
	DeadLetters(ctx context.Context, q event.LetterQuery) ([]event.DeadLetter, error)
	// DeadGroups answers what letters have in common, the largest group first.
	DeadGroups(ctx context.Context, q event.LetterQuery) ([]event.LetterGroup, error)
	// DeadLetter answers one letter, customer.ErrNotFound if there is none of that id.
	DeadLetter(ctx context.Context, id string) (*event.DeadLetter, error)
	// LetterNotes answers what people did to letters that have gone, the newest first.
	LetterNotes(ctx context.Context, limit int) ([]event.LetterNote, error)
}

// Replays is who takes dead letters up again, one replay at a time.
type Replays interface {
	Start(ctx context.Context, w event.ReplayWish) (event.Replay, error)
	Replays(ctx context.Context) []event.Replay
	Replay(ctx context.Context, id string) (event.Replay, error)
	Steer(ctx context.Context, id string, to event.ReplayState) (event.Replay, error)
}

// Hand is who does with dead letters what people decide.
type Hand interface {
	Edit(ctx context.Context, id string, e *event.Edit) (event.Result, error)
	Discard(ctx context.Context, w event.ReplayWish, why string) (gone int64, more bool, err error)
}

// Targets is what is asked of the systems that are written to, and what they are told. What names a target that is none is
// customer.ErrNotFound.
type Targets interface {
	Targets(ctx context.Context) ([]TargetStatus, error)
	// Refused answers the receipts of customers that a target has refused, by customer, behind the id after.
	Refused(ctx context.Context, target, after string, limit int) ([]event.Receipt, error)
	// Resync lets everything be written to a target again.
	Resync(ctx context.Context, target string) error
	// Preview answers what a target would be told of a customer now.
	Preview(ctx context.Context, target string, id customer.CustomerID) (*Preview, error)
}

// Limits of the API (invariant 10).
const (
	MaxBody     = 64 << 10         // bytes of a request
	MaxEditBody = 2 << 20          // bytes of one that edits a dead letter
	MaxHeader   = 16 << 10         // bytes of a request's line and headers
	MaxRequests = 64               // at one time; more are told to come again
	MaxLetters  = 500              // dead letters, or groups of them, in one answer
	MaxRefused  = 500              // receipts in one answer
	Patience    = 30 * time.Second // with one request; an export has as long as its reader takes each piece in that time
)

// New returns the API, version 1, under /api/v1, and the pages for people at / and below. It serves who holds a token, as far as the
// token's role goes; without tokens it serves this machine only, where everybody may do everything. It refuses what another site's page
// makes a browser send: neither loopback nor a session is proof of who means it.
func New(c Config) http.Handler {
	if c.Door == nil {
		c.Door = access.New(access.Config{Now: c.Now, Log: c.Log})
	}
	c.Customers, c.Explain = veil{c.Customers}, veiledExplain{c.Explain}
	a := &api{Config: c}
	a.window = a.pages()
	mux := http.NewServeMux()
	for path, methods := range a.routes() {
		mux.Handle(path, a.dispatch(methods))
	}
	mux.Handle("/", a.window)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		write(w, &Problem{
			Status: http.StatusNotFound, Code: "not_found",
			Message: "there is nothing at this address", Hint: "see " + root + "/openapi.yaml",
		})
	})
	return a.guard(mux)
}

type api struct {
	Config
	window http.Handler // the pages; access.From says to them who asks
}

const root = "/api/v1"

// route is one method of one path: its handler, every query parameter that it understands, and whose roles may call it.
type route struct {
	handle func(w http.ResponseWriter, r *http.Request) error
	roles  []access.Role // an admin may call everything, and alone what names no role
	params []string
	long   bool // writes for as long as there is something to write
	silent bool // no line in the log says who asked: it shows nothing of anybody, and is asked often
}

// allowed answers every role that may call a route.
func (rt route) allowed() []access.Role {
	return slices.DeleteFunc(access.Roles(), func(r access.Role) bool { return !access.Caller{Role: r}.May(rt.roles...) })
}

func (a *api) routes() map[string]map[string]route {
	every := access.Roles()
	steward, operator := []access.Role{access.Steward}, []access.Role{access.Operator}
	get := func(h func(http.ResponseWriter, *http.Request) error, params ...string) map[string]route {
		return map[string]route{http.MethodGet: {handle: h, roles: every, params: params}}
	}
	all := map[string]map[string]route{
		root + "/customers": get(a.find, "email", "phone", "name", "birthDate", "identifier", "source", "key", "limit"),
		root + "/customers/{id}": {
			http.MethodGet:    {handle: a.customer, roles: every},
			http.MethodDelete: {handle: a.forget},
		},
		root + "/customers/{id}/timeline":  get(a.timeline, "limit"),
		root + "/customers/{id}/how":       get(a.how),
		root + "/customers/{id}/why-value": get(a.whyValue, "path"),
		root + "/why":                      get(a.why, "a", "b"),
		root + "/why-not":                  get(a.whyNot, "a", "b"),
		root + "/what-if":                  {http.MethodPost: {handle: a.whatIf, roles: steward}},
		root + "/export":                   {http.MethodGet: {handle: a.export, params: []string{"canonical"}, long: true}},
		root + "/publish":                  {http.MethodPost: {handle: a.publish, long: true}},
		root + "/decisions/{id}/undo":      {http.MethodPost: {handle: a.undo, roles: steward}},
		root + "/dead-letters":             get(a.letters, "source", "group", "since", "until", "after", "limit"),
		root + "/dead-letters/groups":      get(a.groups, "source", "since", "until", "limit"),
		root + "/dead-letters/{id}":        get(a.letter, "reveal"),
		root + "/dead-letters/notes":       get(a.notes, "limit"),
		root + "/dead-letters/discard":     {http.MethodPost: {handle: a.discard, roles: operator}},
		root + "/dead-letters/{id}/edit": {
			http.MethodPut:    {handle: a.edit, roles: operator},
			http.MethodDelete: {handle: a.unedit, roles: operator},
		},
		root + "/replays": {
			http.MethodGet:  {handle: a.replays, roles: every, silent: true},
			http.MethodPost: {handle: a.replay, roles: operator},
		},
		root + "/replays/{id}":        {http.MethodGet: {handle: a.replayed, roles: every, silent: true}},
		root + "/replays/{id}/pause":  {http.MethodPost: {handle: a.steer(event.ReplayPaused), roles: operator}},
		root + "/replays/{id}/resume": {http.MethodPost: {handle: a.steer(event.ReplayRunning), roles: operator}},
		root + "/replays/{id}/cancel": {http.MethodPost: {handle: a.steer(event.ReplayCancelled), roles: operator}},
		root + "/sources":             {http.MethodGet: {handle: a.sources, roles: every, silent: true}},
		root + "/sources/{id}/pause":  {http.MethodPost: {handle: a.pause, roles: operator}},
		root + "/sources/{id}/resume": {http.MethodPost: {handle: a.resume, roles: operator}},
		root + "/status":              {http.MethodGet: {handle: a.status, roles: every, silent: true}},
		root + "/model":               {http.MethodGet: {handle: a.model, roles: every, silent: true}},
		root + "/model/survey":        {http.MethodPost: {handle: a.survey, roles: operator}},
		root + "/me":                  {http.MethodGet: {handle: a.me, roles: every, silent: true}},
		root + "/openapi.yaml":        {http.MethodGet: {handle: openAPI, roles: every, silent: true}},
		root + "/targets":             get(a.targets),
		root + "/targets/{name}/refused": {
			http.MethodGet: {handle: a.refused, roles: []access.Role{access.Steward, access.Operator}, params: []string{"after", "limit"}},
		},
		root + "/targets/{name}/resync":       {http.MethodPost: {handle: a.resync, roles: operator}},
		root + "/targets/{name}/preview/{id}": {http.MethodGet: {handle: a.preview, roles: steward}},
	}
	maps.Copy(all, a.reviewRoutes(steward))
	return all
}

// ours is what ids of our own making look like: nothing of anybody is in them.
var ours = regexp.MustCompile(`^(cus|rec|int|dec|dead|rep|grp|rev)_[0-9a-z]{1,64}$`)

// Me says who asks.
type Me struct {
	Name   string      `json:"name,omitempty"` // of the token; nothing where no tokens are configured
	Role   access.Role `json:"role"`
	Sees   bool        `json:"sees"`   // personal data as it is
	Tokens bool        `json:"tokens"` // whether any are configured
}

func (a *api) me(w http.ResponseWriter, r *http.Request) error {
	c := access.From(r.Context())
	reply(w, http.StatusOK, Me{Name: c.Name, Role: c.Role, Sees: c.Sees(), Tokens: !a.Door.Open()})
	return nil
}
