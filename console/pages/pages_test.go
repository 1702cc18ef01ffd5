package pages_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/onefold/onefold/console/pages"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alice = customer.RecordID{1}
	alyce = customer.RecordID{2}
	one   = customer.CustomerID{1}
	old   = customer.CustomerID{9}
	gone  = customer.CustomerID{7}
)

// house is an installation in which every text of the outside world is the same one.
type house struct {
	mu      sync.Mutex // of now
	text    string     // what is said of people
	said    string     // and of all else
	asked   []customer.Query
	err     error
	status  pages.Status
	masked  bool // and may not replay either
	wished  []event.ReplayWish
	steered []string
	did     []string
	now     time.Time
	tick    time.Duration     // by which now goes on each time that the status is asked for
	bits    []customer.Weight // of the explanation's steps
}

func newHouse(text string) *house {
	h := &house{text: text, said: text, now: noon.Add(time.Hour), bits: []customer.Weight{customer.Bits * 9, -customer.Bits / 3, customer.Bits*4 + 7}}
	h.status = pages.Status{
		Version: "1", State: "degraded", Reasons: []string{text}, StartedAt: noon, Topic: text,
		Counts: customer.Counts{Records: 1234567, Customers: 2, DeadLetters: 3, Outbox: 4},
		Sources: []pages.Source{{
			Name: "shop", Adapter: text, Topic: text, Received: 10, InFlight: 1, Applied: 5, Duplicate: 1, Stale: 1, Ignored: 1, Dead: 1, Lag: 7,
			Partitions: []pages.Partition{{End: 5, LastTime: noon}, {Partition: 1, Halted: text, Error: text}, {Partition: 2, Error: text}},
		}, {Name: text, Adapter: "square@1", Topic: "pos", Paused: true, PausedBy: text, PausedAt: noon}},
		Targets: []pages.Target{
			{Name: text, State: "down", Reason: text, Since: noon, Until: noon, Owed: 5, Refused: 2},
			{Name: "crm", State: "ok", Held: 9, Refused: 1},
		},
	}
	return h
}

func (h *house) person() *customer.Customer {
	claim := customer.Claim{Value: customer.Text(h.text), Source: h.said, Key: h.text, At: noon, Event: h.said, Verified: true}
	other := customer.Claim{Value: customer.Text("another"), Source: "bank", Key: h.text, At: noon}
	c := &customer.Customer{
		ID: one, Version: 2, Status: customer.Active, CreatedAt: noon, UpdatedAt: noon,
		Members: []customer.Member{{Record: alice, Source: h.said, Key: h.text}, {Record: alyce, Source: "bank", Key: h.text}},
	}
	for _, path := range []customer.Path{
		{Name: "givenName"},
		{Name: "familyName"},
		{Name: "birthDate"},
		{Name: "email", ID: "home"},
		{Name: "phone", ID: "1"},
		{Name: "custom", ID: "x" + h.text},
	} {
		c.Attributes = append(c.Attributes, customer.Attribute{Path: path, Claim: claim, Rule: "trust", Losers: []customer.Claim{other, claim}})
	}
	for _, parts := range []struct {
		name  string
		parts map[string]string
	}{
		{"address", map[string]string{"streetAddress": h.text, "postalCode": h.text, "addressLocality": h.text}},
		{"identifier", map[string]string{"type": "iban", "value": h.text, "issuer": h.said}},
		{"consent", map[string]string{"channel": "email", "state": "granted"}},
	} {
		c.Attributes = append(c.Attributes, customer.Attribute{
			Path: customer.Path{Name: parts.name, ID: "2"}, Rule: "union",
			Claim: customer.Claim{Value: customer.Value{Parts: parts.parts}, Source: "shop", Key: "1", At: noon},
		})
	}
	return c
}

func (h *house) Customer(_ context.Context, id customer.CustomerID) (*customer.Customer, error) {
	switch id {
	case one, old:
		return h.person(), h.err
	case gone:
		return &customer.Customer{ID: gone, Version: 3, Status: customer.Erased, UpdatedAt: noon}, nil
	}
	return nil, fmt.Errorf("customer %s: %w", id, customer.ErrNotFound)
}

func (h *house) Find(_ context.Context, q customer.Query) (*customer.Found, error) {
	h.asked = append(h.asked, q)
	return &customer.Found{Customers: []*customer.Customer{h.person()}, Cut: true}, h.err
}

func (h *house) Timeline(_ context.Context, _ customer.CustomerID, limit int) ([]*customer.Interaction, error) {
	amount, err := customer.NewAmount("12.50", "EUR")
	in := &customer.Interaction{
		Key: h.text, Type: "order", Subtype: h.said, Status: h.said, Amount: amount, Direction: "out", OccurredAt: noon, Source: h.said, Title: h.text,
		Channel: "online", Items: make([]customer.Item, 2), ReversalOf: h.text, Test: true,
	}
	return slices.Repeat([]*customer.Interaction{in}, limit), err
}

func (h *house) Why(_ context.Context, a, _ string) (*customer.Explanation, error) {
	x := &customer.Explanation{
		A:    customer.Side{Member: customer.Member{Record: alice, Source: h.said, Key: h.text}, Customer: one},
		B:    customer.Side{Member: customer.Member{Record: alyce, Source: "bank", Key: h.text}, Customer: one},
		Same: true, Verdict: h.said, Evidence: customer.Evidence{Threshold: 9 * customer.Bits},
		Keys: []customer.SharedKey{{Type: "email"}, {Type: "name", Generic: true}}, Path: []customer.Member{{Source: h.said, Key: h.text}},
		Decision: &customer.Decision{Kind: customer.Same, Author: h.said, Reason: h.said, At: noon},
	}
	if a == alyce.String() {
		x.A, x.B, x.Decision = x.B, customer.Side{Member: customer.Member{Record: customer.RecordID{3}, Source: "pos", Key: "9"}, Customer: one}, nil
	}
	for _, w := range h.bits {
		x.Steps = append(x.Steps, customer.Step{Comparison: "email", Level: h.said, Weight: w, Detail: h.text, Frequencies: []customer.Frequency{{Of: h.text, OneIn: 1234}}})
		x.Weight += w
	}
	return x, nil
}

func (h *house) How(_ context.Context, id customer.CustomerID) (*customer.Making, error) {
	a, b := customer.Member{Record: alice, Source: h.said, Key: h.text}, customer.Member{Record: alyce, Source: "bank", Key: h.text}
	c := customer.Member{Record: customer.RecordID{3}, Source: "pos", Key: "9"}
	step := func(by customer.By, refused customer.Refused) customer.Union {
		return customer.Union{By: by, Refused: refused, A: a, B: b, Alike: 3, Weight: 12 * customer.Bits, Threshold: 9 * customer.Bits}
	}
	return &customer.Making{
		Customer: id, Cut: true,
		Steps: []customer.Union{
			step(customer.ByAlike, ""), step(customer.ByDecision, ""), step(customer.ByRule, ""), step(customer.ByContradicted, ""),
			{By: customer.ByEvidence, A: b, B: c, Weight: customer.Bits},
		},
		Apart: []customer.Union{
			step(customer.ByEvidence, customer.RefusedByDecision), step(customer.ByEvidence, customer.RefusedByRule),
			step(customer.ByEvidence, customer.RefusedByMean), step(customer.ByEvidence, customer.RefusedByLimit),
			step(customer.ByContradicted, customer.RefusedAsTwins),
		},
	}, nil
}

func (h *house) letter() event.DeadLetter {
	return event.DeadLetter{
		ID: "dead_1", Source: h.said, Topic: h.said, Partition: 1, Offset: 42, Part: h.said, Time: noon, At: noon, Class: event.Poison,
		Reason: h.said, Path: h.said, Message: h.said, Mapping: h.said, Attempts: 1, Key: []byte(h.text), Value: []byte(h.text),
		Headers: []event.Header{{Key: h.said, Value: []byte(h.text)}},
		Edit:    &event.Edit{Value: []byte("{}"), By: h.said, Reason: h.said, At: noon},
	}
}

func (h *house) DeadLetters(_ context.Context, q event.LetterQuery) ([]event.DeadLetter, error) {
	if q.Source == "quiet" {
		return nil, nil
	}
	return slices.Repeat([]event.DeadLetter{h.letter()}, min(q.Limit, 60)), nil
}

func (h *house) DeadGroups(_ context.Context, q event.LetterQuery) ([]event.LetterGroup, error) {
	if q.Source == "quiet" {
		return nil, nil
	}
	g := event.LetterGroup{ID: "g1", Source: h.said, Reason: h.said, Path: h.said, Mapping: h.said, Count: 7, First: noon, Last: noon, Example: "dead_1"}
	other := g
	other.ID, other.Count = "g2", 5
	return []event.LetterGroup{g, other}, nil
}

// replay is one that runs, or is as its id says.
func (h *house) replay(id string) event.Replay {
	return event.Replay{
		ID: id, ReplayWish: event.ReplayWish{Source: h.said, Author: h.said, DryRun: id == "tried"}, Reason: h.said, Total: 12,
		State: map[string]event.ReplayState{"paused": event.ReplayPaused, "tried": event.ReplayDone, "failed": event.ReplayFailed}[id],
		Done:  event.ReplayTally{Applied: 3, Dead: 2, Skipped: 1}, StartedAt: noon,
		Groups: []event.ReplayGroup{{Source: h.said, Reason: h.said, Path: h.said, Why: h.said, Example: "dead_1"}},
	}
}

func (h *house) Start(_ context.Context, w event.ReplayWish) (event.Replay, error) {
	if w.Letter == "busy" {
		return event.Replay{}, event.ErrReplaying
	}
	h.wished = append(h.wished, w)
	return h.replay("begun"), nil
}

func (h *house) Replays(context.Context) []event.Replay {
	return slices.Repeat([]event.Replay{h.replay("tried"), h.replay("paused")}, 5)
}

func (h *house) Replay(_ context.Context, id string) (event.Replay, error) {
	if id == "none" {
		return event.Replay{}, customer.ErrNotFound
	}
	x := h.replay(id)
	if x.State == "" {
		x.State = event.ReplayRunning
	}
	return x, nil
}

func (h *house) Discard(_ context.Context, w event.ReplayWish, why string) (int64, bool, error) {
	h.wished = append(h.wished, w)
	h.did = append(h.did, "discarded because "+why)
	return 1, false, nil
}

func (h *house) Pause(_ context.Context, source, by string) error {
	h.did = append(h.did, by+" paused "+source)
	return nil
}

func (h *house) Resume(_ context.Context, source string) error {
	h.did = append(h.did, "resumed "+source)
	return nil
}

func (h *house) Refused(_ context.Context, _, _ string, limit int) ([]event.Receipt, error) {
	return slices.Repeat([]event.Receipt{{Customer: one.String(), Reason: h.said, Error: h.said, Tries: 2, At: noon}}, limit), nil
}

func (h *house) Resync(_ context.Context, target string) error {
	h.did = append(h.did, "resynced "+target)
	return nil
}

func (h *house) Steer(_ context.Context, id string, to event.ReplayState) (event.Replay, error) {
	h.steered = append(h.steered, id+" "+string(to))
	return h.replay(id), nil
}

func (h *house) DeadLetter(_ context.Context, id string) (*event.DeadLetter, error) {
	if id != "dead_1" {
		return nil, customer.ErrNotFound
	}
	l := h.letter()
	return &l, nil
}

func (h *house) handler(log io.Writer) http.Handler {
	return pages.New(pages.Config{
		Customers: h, Explain: h, Letters: h, Replays: h, Hand: h, Flow: h, Targets: h, Mask: func(b []byte) []byte { return []byte(strings.Repeat("x", len(b))) },
		Caller: func(*http.Request) pages.Caller {
			return pages.Caller{Name: "kim", Role: "steward", Sees: !h.masked, Operates: !h.masked}
		},
		Audit: func(r *http.Request, outcome string) { fmt.Fprintln(log, r.Pattern, r.PathValue("id"), outcome) },
		Status: func(context.Context) (*pages.Status, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.now = h.now.Add(h.tick)
			return &h.status, h.err
		},
		Now: func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.now
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
}

// answer is what came back for one address.
type answer struct {
	*httptest.ResponseRecorder
	text string // its body
	tree *html.Node
}

func get(t *testing.T, h http.Handler, method, path string) answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1:8080"+path, nil))
	text := w.Body.String()
	tree, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return answer{w, text, tree}
}

// all answers the elements of a tag; of all with an empty tag.
func (a answer) all(tag string) (out []*html.Node) {
	for n := range a.tree.Descendants() {
		if n.Type == html.ElementNode && (tag == "" || n.Data == tag) {
			out = append(out, n)
		}
	}
	return out
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// words answers what is read of a node.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// everyPage lists an address of every page, in every state that an address alone leads to.
func everyPage() [][2]string {
	return [][2]string{
		{"GET", "/"},
		{"GET", "/customers"},
		{"GET", "/customers?q=ana"},
		{"GET", "/customers/" + one.String()},
		{"GET", "/customers/" + old.String()},
		{"GET", "/customers/" + gone.String()},
		{"GET", "/customers/" + one.String() + "?events=200"},
		{"GET", "/customers/" + one.String() + "?a=" + alyce.String() + "&b=" + customer.RecordID{3}.String()},
		{"GET", "/customers/" + (customer.CustomerID{5}).String()},
		{"GET", "/customers/nobody"},
		{"GET", "/dead-letters"},
		{"GET", "/dead-letters?source=shop&group=g1&after=dead_1"},
		{"GET", "/dead-letters?source=quiet"},
		{"GET", "/dead-letters/dead_1"},
		{"GET", "/dead-letters/dead_9"},
		{"POST", "/dead-letters/dead_1/reveal"},
		{"GET", "/replays/running"},
		{"GET", "/replays/paused"},
		{"GET", "/replays/tried"},
		{"GET", "/replays/failed"},
		{"GET", "/replays/none"},
		{"GET", "/sources"},
		{"GET", "/targets"},
		{"GET", "/targets/crm"},
		{"GET", "/targets/none"},
		{"GET", "/nothing"},
	}
}

func TestEveryPageIsWholeAndKeepsThePolicy(t *testing.T) {
	h := newHouse("Ana")
	for _, page := range everyPage() {
		t.Run(page[0]+" "+page[1], func(t *testing.T) {
			a := get(t, h.handler(io.Discard), page[0], page[1])
			policy := a.Header().Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'self'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("the policy lacks %s: %s", want, policy)
				}
			}
			if strings.Contains(policy, "unsafe") {
				t.Error("the policy lets something unsafe pass:", policy)
			}
			if a.Header().Get("X-Content-Type-Options") != "nosniff" || a.Header().Get("Cache-Control") != "no-store" {
				t.Error("headers:", a.Header())
			}
			for _, tag := range []string{"h1", "main", "nav", "title"} {
				if n := len(a.all(tag)); n != 1 && (tag != "nav" || n == 0) {
					t.Errorf("%d elements <%s>", n, tag)
				}
			}
			inert(t, a)
			if strings.Contains(a.text, "%!") {
				t.Error("a format went wrong")
			}
		})
	}
}

// inert holds a page to what makes the policy enough: nothing in it runs, nothing in it styles itself, nothing leads away.
func inert(t *testing.T, a answer) {
	t.Helper()
	ids := map[string]bool{}
	for _, n := range a.all("") {
		switch n.Data {
		case "script":
			if src, ok := attr(n, "src"); !ok || !strings.HasPrefix(src, "/assets/") || n.FirstChild != nil {
				t.Errorf("a script stands in the page: %s %s", src, words(n))
			}
		case "style", "iframe", "object", "embed", "base", "img", "video":
			t.Errorf("there is a <%s>", n.Data)
		}
		for _, at := range n.Attr {
			switch {
			case at.Key == "style", strings.HasPrefix(at.Key, "on"), strings.HasPrefix(at.Key, "hx-on"), at.Key == "srcdoc", at.Key == "formaction":
				t.Errorf("<%s> has %s=%q", n.Data, at.Key, at.Val)
			case at.Key == "href" || at.Key == "src" || at.Key == "action" || at.Key == "hx-get":
				if !strings.HasPrefix(at.Val, "/") && !strings.HasPrefix(at.Val, "#") || strings.HasPrefix(at.Val, "//") {
					t.Errorf("<%s> leads away: %q", n.Data, at.Val)
				}
			case at.Key == "id":
				if ids[at.Val] {
					t.Errorf("two elements with the id %q", at.Val)
				}
				ids[at.Val] = true
			}
		}
	}
}

// hostile are texts that have broken pages before.
func hostile() map[string]string {
	return map[string]string{
		"script":      `<script>alert(1)</script>`,
		"image":       `"><img src=x onerror=alert(1)>`,
		"attribute":   `' onmouseover='alert(1)' x='`,
		"address":     `javascript:alert(1)`,
		"protocol":    `//evil.example/x`,
		"comment":     `--><svg/onload=alert(1)><!--`,
		"template":    `{{constructor.constructor('alert(1)')()}} ${alert(1)} { x }`,
		"style":       `}</style><style>*{background:url(//evil.example)}`,
		"text area":   `</textarea></title></main></body></html><h1>x</h1>`,
		"direction":   "\u202egnp.exe \u2066x\u2069 \u200f\u061c",
		"controls":    "a\x00b\x07c\x1b[31m\u0085\u2028\u2029\ufeff",
		"broken":      "a\xff\xfe\xc3(",
		"formula":     `=HYPERLINK("http://evil.example","x")`,
		"query":       `a&b=c#d%2e%2e/../?`,
		"newlines":    "a\r\nSet-Cookie: x=y\r\n\r\n<p>",
		"emoji":       "\U0001F469\u200d\U0001F469\u200d\U0001F467 \u2060",
		"long":        strings.Repeat("A", 1<<20),
		"long script": strings.Repeat("<b>", 1<<18),
		"marks":       "z" + strings.Repeat("\u0301", 10_000),
		"quotes":      `"'` + "`",
	}
}

// maxPage bounds a page, whatever stands in the customer.
const maxPage = 1 << 20

// Whatever a text of the outside world is, the page has the same elements with the same attributes, and nothing that cannot be seen.
func TestHostileTextsAreInert(t *testing.T) {
	plain := map[string]answer{}
	for _, page := range everyPage() {
		plain[page[1]] = get(t, newHouse("Ana").handler(io.Discard), page[0], page[1])
	}
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			h := newHouse(text)
			served := h.handler(io.Discard)
			for _, page := range everyPage() {
				a := get(t, served, page[0], page[1])
				b := plain[page[1]]
				if a.Code != b.Code {
					t.Errorf("%s: status %d, want %d", page[1], a.Code, b.Code)
				}
				if was, is := shape(b), shape(a); was != is {
					t.Errorf("%s: the page has other elements:\n%s\nnot\n%s", page[1], is, was)
				}
				inert(t, a)
				if len(a.text) > maxPage {
					t.Errorf("%s: %d bytes", page[1], len(a.text))
				}
				if at := strings.IndexFunc(seen(a), unseen); at >= 0 {
					t.Errorf("%s: a character that cannot be seen: %q", page[1], seen(a)[max(0, at-20):min(at+20, len(seen(a)))])
				}
				if !strings.Contains(a.Header().Get("Content-Type"), "text/html") || a.Header().Get("Set-Cookie") != "" {
					t.Errorf("%s: headers %v", page[1], a.Header())
				}
			}
		})
	}
}

func unseen(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
		r == 0x200e || r == 0x200f || r == 0x61c || r == 0x2028 || r == 0x2029 || r == 0xfeff
}

func seen(a answer) string { return words(a.tree) }

// shape counts a page's elements, and names their attributes. What depends on how a text sorts is left out of it: how often.
func shape(a answer) string {
	kinds := map[string]int{}
	for _, n := range a.all("") {
		kind := n.Data
		for _, at := range n.Attr {
			kind += " " + at.Key
		}
		kinds[kind]++
	}
	var out []string
	for kind, n := range kinds {
		out = append(out, fmt.Sprintf("%s ×%d", kind, n))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestWhoSeesNothingRevealsNothing(t *testing.T) {
	h := newHouse("Wilhelmina")
	h.masked = true
	for _, method := range []string{"GET", "POST"} {
		path := "/dead-letters/dead_1"
		if method == "POST" {
			path += "/reveal"
		}
		a := get(t, h.handler(io.Discard), method, path)
		for _, n := range a.all("pre") {
			if strings.Contains(words(n), "Wilhelmina") {
				t.Error(method, "shows the bytes")
			}
		}
		if wish := strings.Contains(a.text, "/reveal"); wish || (method == "POST") != (a.Code == http.StatusForbidden) {
			t.Error(method, a.Code, "the form is there:", wish)
		}
	}
}

// What shows something of somebody is told, by route and our own id; what was looked for is not.
func TestLooksAreAudited(t *testing.T) {
	var log strings.Builder
	served := newHouse("Ana").handler(&log)
	for _, path := range []string{"/", "/live", "/sources", "/targets", "/dead-letters"} {
		get(t, served, "GET", path)
	}
	if log.Len() > 0 {
		t.Error("told without a reason:", log.String())
	}
	get(t, served, "GET", "/customers?q=ana@example.com")
	get(t, served, "GET", "/customers/"+one.String())
	get(t, served, "GET", "/customers/nobody")
	want := fmt.Sprintf("GET /customers  ok\nGET /customers/{id} %s ok\nGET /customers/{id} nobody bad_request\n", one)
	if log.String() != want {
		t.Errorf("told:\n%s\nwant:\n%s", log.String(), want)
	}
}

func TestRevealIsAFormAndIsLogged(t *testing.T) {
	h := newHouse("Ana")
	var log strings.Builder
	masked := get(t, h.handler(&log), "GET", "/dead-letters/dead_1")
	if pre := masked.all("pre"); len(pre) != 2 || words(pre[1]) != "xxx" || strings.Contains(log.String(), "revealed") {
		t.Error("the bytes are not masked, or it was logged:", log.String())
	}
	if a := get(t, h.handler(&log), "GET", "/dead-letters/dead_1/reveal"); a.Code == 200 {
		t.Error("an address alone reveals a letter")
	}
	open := get(t, h.handler(&log), "POST", "/dead-letters/dead_1/reveal")
	if pre := open.all("pre"); len(pre) != 2 || words(pre[1]) != "Ana" || !strings.Contains(log.String(), "letter=dead_1 by=kim") {
		t.Error("it is not revealed, or not logged:", log.String())
	}
}

func TestErrorsSayNothingOfTheInside(t *testing.T) {
	h := newHouse("Ana")
	h.err = errors.New("store: disk I/O error near ana@example.com")
	var log strings.Builder
	for _, path := range []string{"/", "/live", "/customers?q=ana", "/customers/" + one.String(), "/sources", "/targets"} {
		log.Reset()
		a := get(t, h.handler(&log), "GET", path)
		if a.Code != http.StatusInternalServerError || strings.Contains(a.text, "disk") || !strings.Contains(log.String(), "disk") {
			t.Errorf("%s: %d, log %q", path, a.Code, log.String())
		}
	}
}

// post sends a form as a page does.
func post(t *testing.T, h http.Handler, path string, form url.Values) answer {
	t.Helper()
	r := httptest.NewRequest("POST", "http://127.0.0.1:8080"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	tree, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return answer{w, w.Body.String(), tree}
}

// forms answers the fields of each form of a page that is posted to an address.
func (a answer) forms(action string) (out []url.Values) {
	for _, n := range a.all("form") {
		if to, _ := attr(n, "action"); to != action {
			continue
		}
		fields := url.Values{}
		for f := range n.Descendants() {
			if name, named := attr(f, "name"); named && f.Data == "input" {
				value, _ := attr(f, "value")
				fields.Set(name, value)
			}
		}
		out = append(out, fields)
	}
	return out
}

// What a form on the page says is what is wished for: a cause, a letter, all; and nothing is everything by mistake.
func TestReplayTakesWhatThePageSays(t *testing.T) {
	h := newHouse("Ana")
	served := h.handler(io.Discard)
	for _, one := range []struct {
		page string
		want event.ReplayWish
	}{
		{"/dead-letters", event.ReplayWish{All: true, Author: "kim"}},
		{"/dead-letters?group=g1", event.ReplayWish{Group: "g1", Author: "kim"}},
		{"/dead-letters?source=shop", event.ReplayWish{Source: "shop", Author: "kim"}},
		{"/dead-letters/dead_1", event.ReplayWish{Letter: "dead_1", Author: "kim"}},
	} {
		forms := get(t, served, "GET", one.page).forms("/replays")
		if len(forms) != 1 {
			t.Fatalf("%s: %d forms", one.page, len(forms))
		}
		for _, try := range []bool{false, true} {
			h.wished = nil
			if try {
				forms[0].Set("try", "true")
			}
			one.want.DryRun = try
			a := post(t, served, "/replays", forms[0])
			if a.Code != 303 || a.Header().Get("Location") != "/replays/begun" {
				t.Errorf("%s: %d %v", one.page, a.Code, a.Header())
			}
			if diff := cmp.Diff([]event.ReplayWish{one.want}, h.wished); diff != "" {
				t.Errorf("%s: %s", one.page, diff)
			}
		}
	}
	h.wished = nil
	post(t, served, "/replays", url.Values{})
	if len(h.wished) != 1 || h.wished[0].All {
		t.Error("an empty form asks for everything:", h.wished)
	}
	if a := post(t, served, "/replays", url.Values{"letter": {"busy"}}); a.Code != 409 || !strings.Contains(seen(a), "under way") {
		t.Error("a second replay:", a.Code, seen(a))
	}
}

func TestReplayIsSteeredByWhoOperates(t *testing.T) {
	h := newHouse("Ana")
	running := get(t, h.handler(io.Discard), "GET", "/replays/running")
	if len(running.forms("/replays/running/pause")) != 1 || len(running.forms("/replays/running/cancel")) != 1 || !strings.Contains(running.text, `hx-get="/replays/running"`) {
		t.Error("a replay that runs cannot be steered, or is not followed")
	}
	if ended := get(t, h.handler(io.Discard), "GET", "/replays/tried"); strings.Contains(ended.text, `action="/replays`) || strings.Contains(ended.text, "hx-get") {
		t.Error("one that has ended can be steered, or is asked for again and again")
	}
	for _, way := range []string{"pause", "resume", "cancel"} {
		if a := post(t, h.handler(io.Discard), "/replays/running/"+way, nil); a.Code != 303 {
			t.Error(way, a.Code)
		}
	}
	if diff := cmp.Diff([]string{"running paused", "running running", "running cancelled"}, h.steered); diff != "" {
		t.Error(diff)
	}
	h.masked, h.steered = true, nil
	for _, path := range []string{"/replays", "/replays/running/pause", "/replays/running/cancel"} {
		if a := post(t, h.handler(io.Discard), path, url.Values{"all": {"true"}}); a.Code != 403 {
			t.Error(path, a.Code)
		}
		if a := get(t, h.handler(io.Discard), "GET", path); a.Code == 303 {
			t.Error("an address alone does something:", path)
		}
	}
	if len(h.steered)+len(h.wished) > 0 {
		t.Error("who does not operate did:", h.steered, h.wished)
	}
	for _, path := range []string{"/dead-letters", "/dead-letters/dead_1", "/replays/running"} {
		if a := get(t, h.handler(io.Discard), "GET", path); strings.Contains(a.text, `action="/replays`) {
			t.Error(path, "shows what may not be done")
		}
	}
}

// What operators do is a form that is sent, never an address; and nobody else does it.
func TestWhatOperatorsDo(t *testing.T) {
	for path, one := range map[string]struct {
		form url.Values
		did  string
		to   string
	}{
		"/sources/shop/pause":   {nil, "kim paused shop", "/sources"},
		"/sources/shop/resume":  {nil, "resumed shop", "/sources"},
		"/targets/crm/resync":   {url.Values{"sure": {"true"}}, "resynced crm", "/targets/crm"},
		"/dead-letters/discard": {url.Values{"group": {"g1"}, "reason": {" test data "}}, "discarded because test data", "/dead-letters"},
	} {
		h := newHouse("Ana")
		if a := get(t, h.handler(io.Discard), "GET", path); a.Code == 303 || len(h.did) > 0 {
			t.Error(path, "is done by an address alone")
		}
		if a := post(t, h.handler(io.Discard), path, one.form); a.Code != 303 || a.Header().Get("Location") != one.to || !slices.Equal(h.did, []string{one.did}) {
			t.Error(path, a.Code, a.Header().Get("Location"), h.did)
		}
		h.masked, h.did = true, nil
		if a := post(t, h.handler(io.Discard), path, one.form); a.Code != 403 || len(h.did) > 0 {
			t.Error(path, "is done by who may not:", a.Code, h.did)
		}
		for _, page := range []string{"/sources", "/targets/crm", "/dead-letters?group=g1", "/dead-letters/dead_1"} {
			if a := get(t, h.handler(io.Discard), "GET", page); len(a.forms(path)) > 0 {
				t.Error(page, "offers what may not be done:", path)
			}
		}
	}
	h := newHouse("Ana")
	if a := post(t, h.handler(io.Discard), "/targets/crm/resync", nil); a.Code != 400 || len(h.did) > 0 {
		t.Error("everything is written again by accident:", a.Code)
	}
	if a := post(t, h.handler(io.Discard), "/dead-letters/discard", url.Values{"group": {"g1"}, "reason": {"  "}}); a.Code != 400 || len(h.did) > 0 {
		t.Error("letters go without a reason:", a.Code)
	}
	for page, action := range map[string]string{
		"/sources": "/sources/shop/pause", "/targets/crm": "/targets/crm/resync", "/dead-letters?group=g1": "/dead-letters/discard",
		"/dead-letters/dead_1": "/dead-letters/discard",
	} {
		if a := get(t, h.handler(io.Discard), "GET", page); len(a.forms(action)) != 1 {
			t.Error(page, "does not offer", action)
		}
	}
}
