package access_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/onefold/onefold/console/access"
)

func tokens(t *testing.T, names ...string) (out []access.Token) {
	t.Helper()
	for _, name := range names {
		token, err := access.NewToken(name, access.Steward, secret(name))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, token)
	}
	return out
}

func secret(name string) string { return name + strings.Repeat("-secret", 8) }

func door(t *testing.T, log io.Writer, names ...string) *access.Door {
	t.Helper()
	return access.New(access.Config{
		Tokens: tokens(t, names...), Random: rand.Reader, Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
}

// asking is a request from an address.
func asking(from, method, path string, form url.Values, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.RemoteAddr = from
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func with(d *access.Door, from, secret string, more ...string) (access.Caller, *access.Refusal) {
	return d.Who(asking(from, "GET", "/", nil, append(more, "Authorization", "Bearer "+secret)...))
}

func signIn(d *access.Door, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.ServeLogin(w, r)
	return w
}

// session signs in and answers the cookie.
func session(t *testing.T, d *access.Door, name string) *http.Cookie {
	t.Helper()
	w := signIn(d, asking("192.0.2.1:1", "POST", "/login", url.Values{"token": {secret(name)}}))
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		t.Fatal(w.Code, w.Header())
	}
	return w.Result().Cookies()[0]
}

func holding(d *access.Door, c *http.Cookie, path string) (access.Caller, *access.Refusal) {
	return d.Who(asking("192.0.2.1:1", "GET", path, nil, "Cookie", c.Name+"="+c.Value))
}

const from = "192.0.2.1:1234"

func TestWhoHoldsAToken(t *testing.T) {
	d := door(t, io.Discard, "ana", "kim", "lee")
	for _, name := range []string{"ana", "kim", "lee"} {
		if c, refusal := with(d, from, secret(name)); refusal != nil || c != (access.Caller{Name: name, Role: access.Steward}) {
			t.Error(c, refusal)
		}
	}
	for _, wrong := range []string{"", "x", secret("bob"), secret("kim") + "x", secret("kim")[:40], strings.ToUpper(secret("kim")), access.Hash(secret("kim"))} {
		if c, refusal := with(d, "192.0.2.9:1", wrong); refusal == nil || refusal.Status != 401 || c != (access.Caller{}) {
			t.Errorf("%q: %v %v", wrong, c, refusal)
		}
	}
	short, err := access.NewToken("kim", access.Admin, access.Hash("123456"))
	if err != nil {
		t.Fatal(err)
	}
	d = access.New(access.Config{Tokens: []access.Token{short}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if _, refusal := with(d, from, "123456"); refusal == nil {
		t.Error("the hash of a short secret opens the door")
	}
	if c, refusal := access.New(access.Config{}).Who(asking(from, "GET", "/", nil)); refusal != nil || c.Role != access.Admin || c.Name != "" {
		t.Error("without tokens everybody is an admin:", c, refusal)
	}
}

func TestNewToken(t *testing.T) {
	for secret, want := range map[string]string{
		strings.Repeat("x", 31):                   "at least 32",
		strings.Repeat("x", 32):                   "",
		strings.Repeat("x", 1000):                 "",
		strings.Repeat("x", 1001):                 "at most 1000",
		strings.Repeat("x", 31) + " x":            "no space",
		strings.Repeat("ö", 31):                   "ASCII",
		"sha256:" + strings.Repeat("a", 63):       "64",
		"sha256:" + strings.Repeat("A", 64):       "small",
		access.Hash("anything"):                   "",
		"sha256:" + strings.Repeat("x", 64) + "x": "64",
	} {
		_, err := access.NewToken("kim", access.Viewer, secret)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "xxx")) {
			t.Errorf("%s: %v", secret, err)
		}
	}
	for name, role := range map[string]access.Role{"": access.Viewer, "Kim": access.Viewer, "a b": access.Viewer, "kim": "root", "lee": ""} {
		if _, err := access.NewToken(name, role, strings.Repeat("x", 32)); err == nil {
			t.Errorf("%q may be %q", name, role)
		}
	}
	made, err := access.Secret(rand.Reader)
	if err != nil || len(made) != 51 || !strings.HasPrefix(made, "onefold_") {
		t.Error(made, err)
	}
	token, err := access.NewToken("kim", access.Admin, access.Hash(made))
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := with(access.New(access.Config{Tokens: []access.Token{token}, Now: time.Now}), from, made); c.Name != "kim" {
		t.Error("what was made does not open the door")
	}
	if printed := fmt.Sprintf("%+v", token); strings.Contains(printed, made) {
		t.Error(printed)
	}
	if _, err := access.Secret(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a secret of less chance than it says")
	}
}

// Wrong tries hold back the address that they come from, longer each time, and nobody else; a browser that has signed in goes on.
func TestWrongTriesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := door(t, &log, "kim")
		c := session(t, d, "kim")
		for i := range access.FreeTries {
			if _, refusal := with(d, from, "guess"); refusal.Status != 401 || refusal.Wait != 0 {
				t.Fatal(i, refusal)
			}
		}
		for wait := time.Second; wait < 3*access.MaxWait; wait *= 2 {
			want := min(wait, access.MaxWait)
			if _, refusal := with(d, from, secret("kim")); refusal == nil || refusal.Status != 429 || refusal.Wait != want {
				t.Fatalf("the right token was looked at while the address waits: %+v, want %v", refusal, want)
			}
			if _, refusal := with(d, "192.0.2.2:1", secret("kim")); refusal != nil {
				t.Error("another address is held back:", refusal)
			}
			if _, refusal := holding(d, c, "/"); refusal != nil {
				t.Error("a session of that address is held back:", refusal)
			}
			time.Sleep(want)
			if _, refusal := with(d, from, "guess"); refusal.Status != 401 {
				t.Fatal(refusal)
			}
		}
		time.Sleep(access.MaxWait)
		if _, refusal := with(d, from, secret("kim")); refusal != nil {
			t.Error("who waited is let in:", refusal)
		}
		if _, refusal := with(d, from, "guess"); refusal.Status != 401 {
			t.Fatal(refusal)
		}
		if _, refusal := with(d, from, secret("kim")); refusal == nil || refusal.Wait != access.MaxWait {
			t.Error("a right token washes wrong ones away:", refusal)
		}
		time.Sleep(access.ForgetAfter)
		for range access.FreeTries {
			if _, refusal := with(d, from, "guess"); refusal.Status != 401 {
				t.Error("it is never forgotten:", refusal)
			}
		}
		if strings.Contains(log.String(), "guess") || strings.Contains(log.String(), secret("kim")) || !strings.Contains(log.String(), "192.0.2.1") {
			t.Error("the log says", log.String())
		}
	})
}

func TestAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		guesses, asks  string
		behind, before string // X-Forwarded-For of the two
		same           bool
	}{
		"ports":                   {"192.0.2.1:1", "192.0.2.1:2", "", "", true},
		"neighbours":              {"192.0.2.1:1", "192.0.2.2:1", "", "", false},
		"a line of IPv6":          {"[2001:db8::1]:1", "[2001:db8::ffff:1]:1", "", "", true},
		"two lines of IPv6":       {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", "", "", false},
		"IPv4 in IPv6":            {"[::ffff:192.0.2.1]:1", "192.0.2.1:1", "", "", true},
		"behind a proxy":          {"127.0.0.1:1", "127.0.0.1:1", "192.0.2.1", "192.0.2.2", false},
		"made up before a proxy":  {"127.0.0.1:1", "127.0.0.1:1", "192.0.2.7, 192.0.2.1", "192.0.2.8, 192.0.2.1", true},
		"made up without a proxy": {"192.0.2.1:1", "192.0.2.1:1", "192.0.2.7", "192.0.2.8", true},
		"nonsense":                {"127.0.0.1:1", "127.0.0.1:1", "nobody", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			d := door(t, io.Discard, "kim")
			headers := func(x string) []string {
				if x == "" {
					return nil
				}
				return []string{"X-Forwarded-For", x}
			}
			for range access.FreeTries {
				with(d, c.guesses, "guess", headers(c.behind)...)
			}
			if _, refusal := with(d, c.asks, secret("kim"), headers(c.before)...); (refusal != nil) != c.same {
				t.Error(refusal)
			}
		})
	}
}

// However many addresses guess, no more than so many are remembered, and those that guess now are among them.
func TestAddressesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := door(t, io.Discard, "kim")
		at := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16&255, i>>8&255, i&255) }
		for range access.FreeTries {
			with(d, at(0), "guess")
		}
		time.Sleep(time.Millisecond)
		for i := 1; i < access.MaxAddresses; i++ {
			with(d, at(i), "guess")
		}
		if _, refusal := with(d, at(0), secret("kim")); refusal == nil {
			t.Error("there was room for it")
		}
		with(d, at(access.MaxAddresses), "guess")
		if _, refusal := with(d, at(0), secret("kim")); refusal != nil {
			t.Error("the one that tried least lately is still remembered")
		}
	})
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := door(t, io.Discard, "kim")
		c := session(t, d, "kim")
		if c.Name != "onefold" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 ||
			!c.Expires.IsZero() || len(c.Value) != 43 {
			t.Errorf("%+v", c)
		}
		began := time.Now()
		for time.Since(began) < access.EndsAfter-access.IdleAfter {
			time.Sleep(access.IdleAfter - time.Second)
			if who, refusal := holding(d, c, "/"); refusal != nil || who.Name != "kim" {
				t.Fatal("a session that is used has ended", refusal)
			}
		}
		time.Sleep(access.EndsAfter - time.Since(began))
		if _, refusal := holding(d, c, "/"); refusal == nil {
			t.Error("a session has no end")
		}

		c = session(t, d, "kim")
		time.Sleep(access.IdleAfter / 2)
		if _, refusal := holding(d, c, "/live"); refusal != nil {
			t.Error(refusal)
		}
		time.Sleep(access.IdleAfter / 2)
		if _, refusal := holding(d, c, "/"); refusal == nil {
			t.Error("a page that asks by itself keeps a session going that nobody uses")
		}

		c = session(t, d, "kim")
		w := httptest.NewRecorder()
		d.ServeLogout(w, asking(from, "POST", "/logout", nil, "Cookie", c.Name+"="+c.Value))
		if w.Code != 303 || w.Header().Get("Location") != "/login" {
			t.Error(w.Code, w.Header())
		}
		for _, gone := range w.Result().Cookies() {
			if gone.MaxAge >= 0 || gone.Value != "" {
				t.Errorf("%+v", gone)
			}
		}
		if _, refusal := holding(d, c, "/"); refusal == nil {
			t.Error("who signed out is still in")
		}
		w = httptest.NewRecorder()
		if d.ServeLogout(w, asking(from, "GET", "/logout", nil)); w.Code != 405 {
			t.Error("a picture on a page can sign somebody out:", w.Code)
		}
	})
}

// One browser holds one session: signing in ends the one before, and takes none that was put there.
func TestSigningInBeginsANewSession(t *testing.T) {
	d := door(t, io.Discard, "kim", "lee")
	first := session(t, d, "kim")
	w := signIn(d, asking(from, "POST", "/login", url.Values{"token": {secret("lee")}}, "Cookie", first.Name+"="+first.Value))
	second := w.Result().Cookies()[0]
	if second.Value == first.Value {
		t.Error("a session can be fixed before it begins")
	}
	if _, refusal := holding(d, first, "/"); refusal == nil {
		t.Error("the session before goes on")
	}
	if c, _ := holding(d, second, "/"); c.Name != "lee" {
		t.Error(c)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range access.MaxSessions/access.MaxOwn + 1 {
			names = append(names, fmt.Sprintf("n%d", i))
		}
		d := door(t, io.Discard, names...)
		var all []*http.Cookie
		for i := range access.MaxOwn + 1 {
			all = append(all, session(t, d, "n0"))
			time.Sleep(time.Second)
			if _, refusal := holding(d, all[0], "/"); refusal != nil && i < access.MaxOwn {
				t.Fatal(refusal)
			}
		}
		if _, refusal := holding(d, all[1], "/"); refusal == nil {
			t.Error("one token has more sessions than its limit")
		}
		if _, refusal := holding(d, all[0], "/"); refusal != nil {
			t.Error("the session that was used last has ended:", refusal)
		}
		time.Sleep(time.Second)
		for _, name := range names[1:] {
			for range access.MaxOwn {
				session(t, d, name)
			}
		}
		left := 0
		for _, c := range all {
			if _, refusal := holding(d, c, "/"); refusal == nil {
				left++
			}
		}
		if left != 0 {
			t.Errorf("%d sessions are over the limit of all together", left)
		}
	})
}

func TestCookieOverTLS(t *testing.T) {
	d := door(t, io.Discard, "kim")
	for name, c := range map[string]struct {
		url, from, proto string
		secure           bool
	}{
		"TLS of ours":       {"https://onefold.example/login", "192.0.2.1:1", "", true},
		"proxy":             {"/login", "127.0.0.1:1", "https", true},
		"proxy without":     {"/login", "127.0.0.1:1", "http", false},
		"who says so alone": {"/login", "192.0.2.1:1", "https", false},
	} {
		w := signIn(d, asking(c.from, "POST", c.url, url.Values{"token": {secret("kim")}}, "X-Forwarded-Proto", c.proto))
		got := w.Result().Cookies()[0]
		for other, good := range map[string]bool{got.Name: true, "onefold": !c.secure, "__Host-onefold": c.secure} {
			url := strings.TrimSuffix(c.url, "login")
			_, refusal := d.Who(asking(c.from, "GET", url, nil, "X-Forwarded-Proto", c.proto, "Cookie", other+"="+got.Value))
			if (refusal == nil) != good {
				t.Errorf("%s: a cookie %s is taken: %v", name, other, refusal == nil)
			}
		}
		if got.Secure != c.secure || (got.Name == "__Host-onefold") != c.secure || !got.HttpOnly || got.SameSite != http.SameSiteStrictMode {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// After signing in one is where one wanted to be, and never on another site.
func TestWhereSigningInLeads(t *testing.T) {
	d := door(t, io.Discard, "kim")
	for next, want := range map[string]string{
		"/customers?name=a%20b": "/customers?name=a%20b", "": "/", "customers": "/", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/",
		"/\t/evil.example": "/", "/\n/evil.example": "/", "/login?next=/": "/", "/logout": "/", "/" + strings.Repeat("a", 3000): "/", "javascript:alert(1)": "/",
	} {
		w := signIn(d, asking(from, "POST", "/login", url.Values{"token": {secret("kim")}, "next": {next}}))
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
	if w := signIn(access.New(access.Config{}), asking(from, "GET", "/login", nil)); w.Code != 303 || w.Header().Get("Location") != "/" {
		t.Error("where nobody is asked there is nothing to sign in to:", w.Code)
	}
}

// The form is whole without a script, says in words what is wrong, and what comes from outside stands in it as text.
func TestLoginPage(t *testing.T) {
	d := door(t, io.Discard, "kim")
	hostile := `/"><script>alert(1)</script>`
	for _, r := range []*http.Request{
		asking(from, "GET", "/login?next="+url.QueryEscape(hostile), nil),
		asking(from, "POST", "/login", url.Values{"token": {"<script>wrong</script>"}, "next": {hostile}}),
	} {
		w := signIn(d, r)
		raw := w.Body.String()
		doc, err := html.Parse(strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		elements := map[string]int{}
		for n := range doc.Descendants() {
			if n.Type == html.ElementNode {
				elements[n.Data]++
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					t.Errorf("%s has %s", n.Data, a.Key)
				}
			}
			if n.Data == "style" && n.FirstChild != nil && !strings.Contains(w.Header().Get("Content-Security-Policy"), hashOf(n.FirstChild.Data)) {
				t.Error("the style is not the one that the policy names:", w.Header().Get("Content-Security-Policy"))
			}
		}
		if elements["script"] != 0 || elements["form"] != 1 || elements["input"] != 2 || elements["label"] != 1 || elements["h1"] != 1 || elements["style"] != 1 {
			t.Error(elements, raw)
		}
		if strings.Contains(raw, "wrong</script>") {
			t.Error("the token is shown again")
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
			t.Error(policy)
		}
		if r.Method == "POST" && (w.Code != 401 || !strings.Contains(raw, `role="alert"`) || len(w.Result().Cookies()) > 0) {
			t.Error(w.Code, raw)
		}
	}
}
