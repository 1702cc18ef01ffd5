package console_test

import (
	"crypto/rand"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/console/access"
)

// secretOf is the secret of a role's token in tests.
func secretOf(r access.Role) string { return "secret-of-the-" + string(r) + strings.Repeat("-", 32) }

// asked is a handler that asks for tokens; each role's is named after it.
func asked(t *testing.T, d *desk, log io.Writer) http.Handler {
	t.Helper()
	var tokens []access.Token
	for _, r := range access.Roles() {
		token, err := access.NewToken("the-"+string(r), r, secretOf(r))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	l := slog.New(slog.NewTextHandler(log, nil))
	now := func() time.Time { return noon }
	return console.New(console.Config{
		Customers: d, Explain: d, Review: d, Decisions: d, Steward: d, DeadLetters: d, Replays: d, Hand: d, Targets: d, Status: status, Flow: d, Model: studied{},
		Republish: republish, Now: now, Log: l,
		Door: access.New(access.Config{Tokens: tokens, Random: rand.Reader, Now: now, Log: l}),
	})
}

// request answers the example of a documented operation.
func request(name string) (method, path, body string) {
	method, path, _ = strings.Cut(name, " ")
	example := examples()[name]
	switch {
	case strings.Contains(path, "{id}"):
		id, rest, _ := strings.Cut(example, " ")
		path = strings.ReplaceAll(path, "{id}", id)
		if strings.HasPrefix(rest, "?") {
			return method, path + rest, ""
		}
		return method, path, rest
	case method == http.MethodPost:
		return method, path, example
	}
	return method, path + example, ""
}

// The document says of every operation whose roles may call it; each role is let in there and nowhere else, and nobody without a token.
func TestEveryRouteKnowsItsRoles(t *testing.T) {
	for name, op := range operations(t) {
		t.Run(name, func(t *testing.T) {
			if !slices.Contains(op.Roles, access.Admin) {
				t.Fatalf("x-roles are %v: an admin may call everything", op.Roles)
			}
			method, path, body := request(name)
			body = strings.NewReplacer(`,"author":"kim"`, "", `"author":"kim"`, "").Replace(body)
			for _, role := range access.Roles() {
				w := call(asked(t, &desk{}, io.Discard), method, path, body, "Authorization", "Bearer "+secretOf(role))
				want := http.StatusForbidden
				if slices.Contains(op.Roles, role) {
					want = http.StatusOK
				}
				if w.Code != want {
					t.Errorf("%s: %d, want %d: %s", role, w.Code, want, w.Body)
				}
				if w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), `"forbidden"`) {
					t.Error(w.Body)
				}
			}
			for _, header := range []string{"", "Bearer", "Bearer ", "Bearer " + secretOf("nobody"), "Basic " + secretOf(access.Admin), secretOf(access.Admin)} {
				d := &desk{}
				w := call(asked(t, d, io.Discard), method, path, body, "Authorization", header)
				if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || len(d.told) > 0 {
					t.Errorf("%q: %d %s", header, w.Code, w.Body)
				}
				if header == "" && method != http.MethodGet {
					validate(t, "Problem", w.Body.Bytes())
				}
			}
		})
	}
}

// Nothing that a party's data could be is in any answer to who may not see it: neither in a value nor in a name.
func TestMaskedRolesSeeNoPersonalData(t *testing.T) {
	for name := range operations(t) {
		method, path, body := request(name)
		for _, role := range []access.Role{access.Viewer, access.Operator} {
			w := call(asked(t, &desk{personal: true}, io.Discard), method, path, body, "Authorization", "Bearer "+secretOf(role))
			if w.Code != http.StatusOK {
				continue // TestEveryRouteKnowsItsRoles says which may be refused
			}
			var answer any
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				if !strings.HasSuffix(path, "openapi.yaml") {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			walk(answer, "", func(at, text string) {
				if strings.Contains(text, marker) || strings.Contains(text, digits) {
					t.Errorf("%s shows a %s %s: %q", name, role, at, text)
				}
			})
		}
		w := call(asked(t, &desk{personal: true}, io.Discard), method, path, body, "Authorization", "Bearer "+secretOf(access.Steward))
		if w.Code == http.StatusOK && strings.Contains(path, "/customers") && !strings.Contains(w.Body.String(), marker) {
			t.Errorf("%s: a steward sees nothing, or the example says nothing personal: %s", name, w.Body)
		}
	}
}

// walk calls see with every text and every name of a JSON value.
func walk(v any, at string, see func(at, text string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			see(at, k)
			walk(e, at+"."+k, see)
		}
	case []any:
		for _, e := range v {
			walk(e, at+"[]", see)
		}
	case string:
		see(at, v)
	}
}

func TestRevealIsForThoseWhoSee(t *testing.T) {
	for role, want := range map[access.Role]int{access.Viewer: 403, access.Operator: 403, access.Steward: 200, access.Admin: 200} {
		var log strings.Builder
		w := call(asked(t, &desk{}, &log), "GET", "/api/v1/dead-letters/dead_1?reveal=true", "", "Authorization", "Bearer "+secretOf(role))
		if w.Code != want || want == 200 != strings.Contains(log.String(), "dead letter revealed") {
			t.Errorf("%s: %d %s %s", role, w.Code, w.Body, &log)
		}
	}
}

// A decision is made in the name of the token's holder, and nobody can make one in another's.
func TestTheAuthorIsTheHolder(t *testing.T) {
	const wish = `{"kind":"same","a":"shop/1","b":"bank/A/2"%s}`
	bearer := []string{"Authorization", "Bearer " + secretOf(access.Steward)}
	for author, want := range map[string]int{"": 200, `,"author":"the-steward"`: 200, `,"author":"the-admin"`: 403, `,"author":"kim"`: 403} {
		d := &desk{}
		w := call(asked(t, d, io.Discard), "POST", "/api/v1/decisions", strings.Replace(wish, "%s", author, 1), bearer...)
		if w.Code != want || (len(d.told) == 1) != (want == 200) || want == 200 && d.told[0].Author != "the-steward" {
			t.Errorf("%s: %d %s %+v", author, w.Code, w.Body, d.told)
		}
		body := "{" + strings.TrimPrefix(author, ",") + "}"
		w = call(asked(t, d, io.Discard), "POST", "/api/v1/decisions/dec_1/undo", body, bearer...)
		if w.Code != want || want == 200 != strings.Contains(w.Body.String(), `"undoneBy":"the-steward"`) {
			t.Errorf("undo %s: %d %s", author, w.Code, w.Body)
		}
	}
}

// The log says who did what and what came of it, and neither what was looked for nor what was found (invariant 9).
func TestAuditNamesWhoAndWhat(t *testing.T) {
	var log strings.Builder
	h := asked(t, &desk{personal: true}, &log)
	steward := []string{"Authorization", "Bearer " + secretOf(access.Steward)}
	call(h, "GET", "/api/v1/customers?email=ana@example.com", "", steward...)
	call(h, "GET", "/api/v1/customers/"+one.String(), "", steward...)
	call(h, "GET", "/api/v1/customers/ana@example.com", "", steward...)
	call(h, "GET", "/api/v1/why?a=shop/1&b=bank/"+marker, "", steward...)
	call(h, "DELETE", "/api/v1/customers/"+one.String(), "", steward...)
	call(h, "GET", "/api/v1/status", "", steward...)
	call(h, "GET", "/api/v1/status", "", "Authorization", "Bearer "+secretOf("wrong"))
	var got []string
	for line := range strings.Lines(log.String()) {
		_, after, _ := strings.Cut(strings.TrimSpace(line), "msg=")
		got = append(got, after)
	}
	const who = "audit by=the-steward role=steward "
	want := []string{
		who + `method=GET route=/api/v1/customers outcome=ok`,
		who + `method=GET route=/api/v1/customers/{id} outcome=ok id=` + one.String(),
		who + `method=GET route=/api/v1/customers/{id} outcome=bad_request`,
		who + `method=GET route=/api/v1/why outcome=ok`,
		who + `method=DELETE route=/api/v1/customers/{id} outcome=forbidden id=` + one.String(),
		`"a wrong token was refused" from=192.0.2.1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, secret := range []string{"ana@", marker, "secret-of"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// Nobody is shown a page without having signed in, but what pages are drawn with; and pages show no personal data to who may not see it.
func TestPagesStandBehindTheDoor(t *testing.T) {
	h := asked(t, &desk{personal: true}, io.Discard)
	browse := func(method, path string, headers ...string) *httptest.ResponseRecorder {
		return call(h, method, path, "", append([]string{"Accept", "text/html"}, headers...)...)
	}
	if w := browse("GET", "/customers?name=a%20b"); w.Code != 303 || w.Header().Get("Location") != "/login?next=%2Fcustomers%3Fname%3Da%2520b" {
		t.Error(w.Code, w.Header())
	}
	for _, path := range []string{"/", "/live", "/customers?q=ana@example.com", "/customers/" + one.String(), "/dead-letters", "/dead-letters/dead_1", "/sources"} {
		if w := call(h, "GET", path, ""); w.Code != 401 {
			t.Error(path, w.Code)
		}
		for _, role := range access.Roles() {
			w := browse("GET", path, "Authorization", "Bearer "+secretOf(role))
			plain := html.UnescapeString(w.Body.String())
			if w.Code != 200 || !role.Sees() && (strings.Contains(plain, "Marker") || strings.Contains(plain, digits)) {
				t.Errorf("%s %s: %d %s", role, path, w.Code, w.Body)
			}
			if role.Sees() && strings.HasPrefix(path, "/customers/") && !strings.Contains(plain, "Marker") {
				t.Error("a page shows nothing to who may see it:", path)
			}
		}
	}
	style := regexp.MustCompile(`/assets/[^"]*css[^"]*`).FindString(browse("GET", "/", "Authorization", "Bearer "+secretOf(access.Viewer)).Body.String())
	if w := browse("GET", style); w.Code != 200 || style == "" {
		t.Error(style, w.Code, w.Body)
	}
	for _, path := range []string{"/assets/../customers", "/assets//../customers", "/assets"} {
		if w := browse("GET", path); w.Code != 303 || !strings.HasPrefix(w.Header().Get("Location"), "/login?") {
			t.Error(path, w.Code, w.Body)
		}
	}
	for _, method := range []string{"POST", "PUT", "CONNECT", "OPTIONS"} {
		if w := browse(method, style); w.Code != 401 {
			t.Error(method, w.Code, w.Body)
		}
	}
}

// Another site's page can neither ask, nor sign in or out; whoever follows a link there is told where it leads, and nothing is looked up.
func TestOtherSites(t *testing.T) {
	d := &desk{}
	h := asked(t, d, io.Discard)
	admin := []string{"Accept", "text/html", "Authorization", "Bearer " + secretOf(access.Admin)}
	foreign := append([]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, admin...)
	w := call(h, "GET", "/customers?email=ana@example.com", "", foreign...)
	if w.Code != 200 || d.asked.Email != "" || !strings.Contains(w.Body.String(), `href="/customers?email=ana@example.com"`) {
		t.Error(w.Code, w.Body)
	}
	for _, wrong := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
	} {
		for _, method := range []string{"GET", "POST"} {
			for _, path := range []string{"/customers", "/login", "/logout", "/assets/a.css", "/api/v1/status"} {
				if w := call(h, method, path, "", append(wrong, admin...)...); w.Code != 403 || len(w.Result().Cookies()) > 0 {
					t.Error(method, path, wrong, w.Code)
				}
			}
		}
	}
}

// A session lets a browser's pages ask the API, and no other name of this host is a reason to be refused where tokens are asked for.
func TestASessionAsksTheAPI(t *testing.T) {
	h := asked(t, &desk{}, io.Discard)
	r := httptest.NewRequest("POST", "https://onefold.example/login", strings.NewReader(url.Values{"token": {secretOf(access.Steward)}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 303 || len(w.Result().Cookies()) != 1 {
		t.Fatal(w.Code, w.Body)
	}
	c := w.Result().Cookies()[0]
	r = httptest.NewRequest("GET", "https://onefold.example/api/v1/me", nil)
	r.AddCookie(c)
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Body.String() != `{"name":"the-steward","role":"steward","sees":true,"tokens":true}`+"\n" {
		t.Error(w.Code, w.Body)
	}
	r.Header.Set("Authorization", "Bearer wrong")
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 401 {
		t.Error("a wrong token falls back on the session:", w.Code)
	}
	w = call(handler(&desk{}, io.Discard), "GET", "/api/v1/me", "")
	if w.Body.String() != `{"role":"admin","sees":true,"tokens":false}`+"\n" {
		t.Error(w.Body)
	}
}

// A source is paused in the name of the token's holder, and the log keeps it; of a source that is not there it keeps nothing but that.
func TestPausing(t *testing.T) {
	var log strings.Builder
	d := &desk{}
	h := asked(t, d, &log)
	operator := []string{"Authorization", "Bearer " + secretOf(access.Operator)}
	w := call(h, "POST", "/api/v1/sources/shop/pause", "", operator...)
	if w.Code != 200 || !slices.Equal(d.paused, []string{"the-operator"}) || !strings.Contains(w.Body.String(), `"name":"shop"`) {
		t.Error(w.Code, w.Body, d.paused)
	}
	if !strings.Contains(log.String(), `msg="source paused" source=shop by=the-operator`) {
		t.Error(&log)
	}
	if w = call(h, "POST", "/api/v1/sources/shop/resume", "", operator...); w.Code != 200 || d.paused != nil {
		t.Error(w.Code, w.Body, d.paused)
	}
	if w = call(h, "POST", "/api/v1/sources/"+marker+"/pause", "", operator...); w.Code != 404 || strings.Contains(log.String(), "Marker") {
		t.Error(w.Code, w.Body, &log)
	}
}
