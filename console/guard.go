package console

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/console/access"
)

// guard keeps out what does not come from this machine's own programs and pages or with a token, marks the request with who asks, and
// bounds how much is done at one time.
func (a *api) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	slots := make(chan struct{}, MaxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		r.Body = http.MaxBytesReader(w, r.Body, longest(r))
		if p := a.refuse(cross, r); p != nil {
			if p.Code == crossSite && followed(r) {
				access.ShowForeign(w, r)
				return
			}
			a.turnAway(w, r, p)
			return
		}
		if a.door(w, r) {
			return
		}
		caller, refusal := a.Door.Who(r)
		if refusal != nil {
			a.unknown(w, r, refusal)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			h.Set("Retry-After", "1")
			a.turnAway(w, r, &Problem{
				Status: http.StatusServiceUnavailable, Code: "busy",
				Message: fmt.Sprintf("more than %d requests at one time", MaxRequests), Hint: "try again in a second",
			})
			return
		}
		next.ServeHTTP(w, r.WithContext(access.With(r.Context(), caller)))
	})
}

// door serves what stands before the door: signing in and out, and what the pages are drawn with, which says nothing of anybody.
func (a *api) door(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.URL.Path == access.Login:
		a.Door.ServeLogin(w, r)
	case r.URL.Path == access.Logout:
		a.Door.ServeLogout(w, r)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.HasPrefix(r.URL.Path, assets) && path.Clean(r.URL.Path) == r.URL.Path:
		a.window.ServeHTTP(w, r)
	default:
		return false
	}
	return true
}

const assets = "/assets/"

// unknown tells a program that it needs a token, and leads a browser to where one is taken.
func (a *api) unknown(w http.ResponseWriter, r *http.Request, refusal *access.Refusal) {
	if page(r) && refusal.Wait == 0 {
		http.Redirect(w, r, access.Login+"?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="onefold"`)
	if refusal.Wait > 0 {
		w.Header().Set("Retry-After", refusal.RetryAfter())
	}
	write(w, &Problem{Status: refusal.Status, Code: refusal.Code, Message: refusal.Message, Hint: refusal.Hint})
}

// turnAway tells a program by the one object, somebody before a browser by a page.
func (a *api) turnAway(w http.ResponseWriter, r *http.Request, p *Problem) {
	if page(r) {
		access.ShowRefused(w, p.Status, p.Message, p.Hint)
		return
	}
	write(w, p)
}

// page tells that a browser asks for a page to show.
func page(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !strings.HasPrefix(r.URL.Path, "/api/") &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// followed tells that somebody followed a link on another site's page, in a tab of its own. The other site cannot read what is shown;
// that it can choose what is looked for is why nothing is shown but where the link leads.
func followed(r *http.Request) bool {
	return page(r) && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func forbidden(c access.Caller, roles []access.Role) *Problem {
	return &Problem{
		Status: http.StatusForbidden, Code: "forbidden",
		Message: "the role " + string(c.Role) + " may not do this",
		Hint:    "it takes a token with the role " + strings.ReplaceAll(access.List(roles), ", ", " or "),
	}
}

const crossSite = "cross_site"

// refuse answers why a request is not let in, nil if it is. A name that an attacker's DNS points at 127.0.0.1 comes with its own
// Host, and as anything else of that name it holds no session; without tokens there are none, so that no other name is let in. Another
// site's page says so in Sec-Fetch-Site or Origin. Reading is refused to it as writing is.
func (a *api) refuse(cross *http.CrossOriginProtection, r *http.Request) *Problem {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	if a.Door.Open() && !loopback(host) {
		return &Problem{
			Status: http.StatusMisdirectedRequest, Code: "wrong_host",
			Message: "this API is for this machine only, and was called by another name",
			Hint:    "call it as 127.0.0.1 or localhost, or configure console.tokens",
		}
	}
	if a.Door.Open() && slices.ContainsFunc(forwarded(), func(name string) bool { return r.Header.Get(name) != "" }) {
		return &Problem{
			Status: http.StatusMisdirectedRequest, Code: "forwarded",
			Message: "a proxy passes on what others ask, and without tokens nothing here asks who they are",
			Hint:    "configure console.tokens: docs/security.md",
		}
	}
	asked := *r
	asked.Method = http.MethodPost // the standard library lets every GET pass; ours answer with personal data
	if cross.Check(&asked) != nil {
		return &Problem{
			Status: http.StatusForbidden, Code: crossSite,
			Message: "the request comes from a page of another site", Hint: "call the API from a program, or from a page that it serves",
		}
	}
	return nil
}

// forwarded answers the headers that a proxy adds. One that comes from this machine and says nothing of itself cannot be told from a
// program of this machine, whose Host it has taken.
func forwarded() []string {
	return []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// dispatch gives a request to its method's handler and turns an error into the one JSON object that tells it.
func (a *api) dispatch(methods map[string]route) http.Handler {
	allowed := make([]string, 0, len(methods))
	for m := range methods {
		allowed = append(allowed, m)
	}
	slices.Sort(allowed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt, ok := methods[r.Method]
		if r.Method == http.MethodHead {
			rt, ok = methods[http.MethodGet]
		}
		if !ok {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			write(w, &Problem{
				Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
				Message: "this address does not understand " + method(r.Method), Hint: "it understands " + strings.Join(allowed, ", "),
			})
			return
		}
		caller := access.From(r.Context())
		if !caller.May(rt.roles...) {
			p := forbidden(caller, rt.allowed())
			a.audit(r, rt, p.Code)
			write(w, p)
			return
		}
		if p := strange(r, rt.params); p != nil {
			write(w, p)
			return
		}
		if !rt.long {
			ctx, cancel := context.WithTimeout(r.Context(), Patience)
			defer cancel()
			r = r.WithContext(ctx)
		}
		if rt.long {
			a.audit(r, rt, "begun")
		}
		extend(http.NewResponseController(w), Patience+5*time.Second)
		if err := rt.handle(w, r); err != nil {
			p := a.problem(r, err)
			a.audit(r, rt, p.Code)
			write(w, p)
			return
		}
		a.audit(r, rt, "ok")
	})
}

// audit tells the log who did what to which of our own ids, and what came of it; never what was looked for or found (invariant 9). Without
// tokens nobody knows who asks, and only what changes something is told.
func (a *api) audit(r *http.Request, rt route, outcome string) {
	if rt.silent || a.Door.Open() && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return
	}
	caller := access.From(r.Context())
	attrs := []slog.Attr{
		slog.String("by", caller.Name), slog.String("role", string(caller.Role)),
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.String("outcome", outcome),
	}
	if id := r.PathValue("id"); ours.MatchString(id) {
		attrs = append(attrs, slog.String("id", id))
	}
	a.Log.LogAttrs(r.Context(), slog.LevelInfo, "audit", attrs...)
}

// extend gives the reader of an answer so long from now on. A writer without deadlines is a test's.
func extend(w *http.ResponseController, by time.Duration) {
	_ = w.SetWriteDeadline(time.Now().Add(by)) //nolint:forbidigo // a deadline on a connection is a time of day
}

// method bounds what is echoed of a method's name.
func method(m string) string {
	if len(m) > 20 {
		return "that method"
	}
	return m
}

// strange answers what is wrong with the query's parameters: unknown or repeated. A misspelt filter must not widen the answer.
func strange(r *http.Request, known []string) *Problem {
	for name, values := range r.URL.Query() {
		if !slices.Contains(known, name) {
			p := bad("", "there is no such parameter here", "it takes no parameters")
			if len(known) > 0 {
				p.Hint = "one of: " + strings.Join(known, ", ")
			}
			if len(name) <= 40 {
				p.Path = name
			}
			return p
		}
		if len(values) > 1 {
			return bad(name, "the parameter is given twice", "give it once")
		}
	}
	return nil
}
