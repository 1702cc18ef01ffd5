package console

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// guard keeps out what does not come from this machine's own programs and pages, and bounds how much is done at one time.
func (a *api) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	slots := make(chan struct{}, MaxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if p := refuse(cross, r); p != nil {
			write(w, p)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			h.Set("Retry-After", "1")
			write(w, &Problem{
				Status: http.StatusServiceUnavailable, Code: "busy",
				Message: fmt.Sprintf("more than %d requests at one time", MaxRequests), Hint: "try again in a second",
			})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		next.ServeHTTP(w, r)
	})
}

// refuse answers why a request is not let in, nil if it is. A name that an attacker's DNS points at 127.0.0.1 comes with its own
// Host; another site's page says so in Sec-Fetch-Site or Origin. Reading is refused to it as writing is.
func refuse(cross *http.CrossOriginProtection, r *http.Request) *Problem {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	if !loopback(host) {
		return &Problem{
			Status: http.StatusMisdirectedRequest, Code: "wrong_host",
			Message: "this API is for this machine only, and was called by another name", Hint: "call it as 127.0.0.1 or localhost",
		}
	}
	asked := *r
	asked.Method = http.MethodPost // the standard library lets every GET pass; ours answer with personal data
	if cross.Check(&asked) != nil {
		return &Problem{
			Status: http.StatusForbidden, Code: "cross_site",
			Message: "the request comes from a page of another site", Hint: "call the API from a program, or from a page that it serves",
		}
	}
	return nil
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
		if p := strange(r, rt.params); p != nil {
			write(w, p)
			return
		}
		if !rt.long {
			ctx, cancel := context.WithTimeout(r.Context(), Patience)
			defer cancel()
			r = r.WithContext(ctx)
		}
		extend(http.NewResponseController(w), Patience+5*time.Second)
		if err := rt.handle(w, r); err != nil {
			write(w, a.problem(r, err))
		}
	})
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
