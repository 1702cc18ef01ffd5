package access

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
)

// Addresses of signing in and out.
const (
	Login  = "/login"
	Logout = "/logout"
)

// A session's cookie. The browser takes one of the first name only from this very host, over TLS; without TLS, on this machine, it would
// take none of that name.
const (
	secureCookie = "__Host-onefold"
	plainCookie  = "onefold"
)

const maxNext = 2_000 // bytes of the address that is gone to after signing in

func cookieName(r *http.Request) string {
	if encrypted(r) {
		return secureCookie
	}
	return plainCookie
}

// held answers the session that a browser says to hold. Over TLS the plain name counts for nothing: whoever stands on the way to another
// port of this host could have given it to the browser, with a session of their own.
func held(r *http.Request) (string, bool) {
	c, err := r.Cookie(cookieName(r))
	if err != nil || c.Value == "" {
		return "", false
	}
	return c.Value, true
}

// cookie makes a session's cookie: no script reads it, no other site's page sends it. Without an age it ends with the browser.
func cookie(r *http.Request, id string) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(r), Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: encrypted(r),
	}
}

// ServeLogin serves the form that takes a token, and takes it.
func (d *Door) ServeLogin(w http.ResponseWriter, r *http.Request) {
	next := local(r.URL.Query().Get("next"))
	switch {
	case d.Open():
		http.Redirect(w, r, next, http.StatusSeeOther)
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		show(w, http.StatusOK, page{Title: "Sign in", Next: next, Form: true})
	case r.Method == http.MethodPost:
		d.signIn(w, r)
	default:
		refuseMethod(w, "GET, POST")
	}
}

func (d *Door) signIn(w http.ResponseWriter, r *http.Request) {
	next := local(r.PostFormValue("next"))
	caller, refusal := d.try(r, strings.TrimSpace(r.PostFormValue("token")))
	if refusal != nil {
		if refusal.Wait > 0 {
			w.Header().Set("Retry-After", refusal.RetryAfter())
		}
		show(w, refusal.Status, page{Title: "Sign in", Next: next, Form: true, Wrong: refusal.Message, Hint: refusal.Hint})
		return
	}
	if id, ok := held(r); ok {
		d.sessions.end(id) // one browser holds one session, and never one that somebody gave to it
	}
	id, err := d.sessions.begin(caller)
	if err != nil {
		d.log.ErrorContext(r.Context(), "no session can be begun", slog.Any("err", err))
		show(w, http.StatusInternalServerError, page{Title: "Sign in", Next: next, Form: true, Wrong: "signing in failed inside"})
		return
	}
	http.SetCookie(w, cookie(r, id))
	d.log.InfoContext(r.Context(), "signed in", slog.String("by", caller.Name), slog.String("role", string(caller.Role)),
		slog.String("from", origin(r).String()))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// ServeLogout ends the session.
func (d *Door) ServeLogout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuseMethod(w, "POST")
		return
	}
	if id, ok := held(r); ok {
		if c, ok := d.sessions.find(id, false); ok {
			d.log.InfoContext(r.Context(), "signed out", slog.String("by", c.Name))
		}
		d.sessions.end(id)
	}
	for _, name := range []string{secureCookie, plainCookie} {
		http.SetCookie(w, &http.Cookie{
			Name: name, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: name == secureCookie,
		})
	}
	http.Redirect(w, r, Login, http.StatusSeeOther)
}

func refuseMethod(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	show(w, http.StatusMethodNotAllowed, page{Title: "Not understood", Wrong: "this address does not understand that method"})
}

// local keeps an address that stays on this server; any other becomes its beginning. A browser reads a backslash as a slash and leaves
// line breaks out, so that neither may stand in it.
func local(next string) string {
	if len(next) > maxNext || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) ||
		strings.HasPrefix(next, Login) || strings.HasPrefix(next, Logout) {
		return "/"
	}
	return next
}

// page is what the few plain pages of the door say.
type page struct {
	Title, Wrong, Hint, Next string
	Form                     bool
}

//go:embed login.html
var loginPage string

//go:embed login.css
var loginStyle string

// show writes a page without any script, whose one style is named by its hash.
func show(w http.ResponseWriter, status int, p page) {
	t, err := template.New("login").Parse(loginPage)
	if err != nil { // a constant that every test of it parses
		panic(err)
	}
	sum := sha256.Sum256([]byte(loginStyle))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_ = t.Execute(w, struct { // a reader that has gone away is nobody's error
		page
		Style template.CSS
	}{p, template.CSS(loginStyle)}) // a constant of ours
}

// ShowForeign tells somebody who followed a link on another site's page where it leads, and leaves it to them to go there.
func ShowForeign(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, page{Title: "This link came from another site", Next: local(r.URL.RequestURI())})
}

// ShowRefused tells a browser that the caller may not do something.
func ShowRefused(w http.ResponseWriter, status int, message, hint string) {
	show(w, status, page{Title: "Not for you", Wrong: message, Hint: hint})
}
