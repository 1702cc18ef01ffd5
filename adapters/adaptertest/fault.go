package adaptertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// What hostile values and answers hold, so that it is seen where it does not belong.
const (
	smuggle = "onefold-smuggled"
	echoed  = "what the system says of Ana Miller"
)

// bench is one target with the system that it speaks to.
type bench struct {
	TargetSetup
	system System
	gate   *gate
	target adapters.Target
	words  []string // that no error may tell
}

func newBench(t *testing.T, s TargetSetup) *bench {
	t.Helper()
	b := &bench{TargetSetup: s, system: s.System(), words: []string{s.Secret, echoed}}
	b.gate = &gate{system: b.system}
	b.target = s.Target(t, serve(t, b.gate, nil))
	for _, c := range append(slices.Clone(s.Good), s.Bad) {
		b.words = append(b.words, c.ID.String())
		for _, a := range c.Attributes {
			for _, v := range append(parts(a.Value), a.Value.Text) {
				if len(v) > 4 {
					b.words = append(b.words, v)
				}
			}
		}
	}
	return b
}

func parts(v customer.Value) (out []string) {
	for _, p := range v.Parts {
		out = append(out, p)
	}
	return out
}

// serve answers the address of a server that lives as long as the test.
func serve(t *testing.T, h http.Handler, secure *tls.Config) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + ln.Addr().String()
	if secure != nil {
		ln, address = tls.NewListener(ln, secure), "https://"+ln.Addr().String()
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = server.Close() // what hangs in it hangs on purpose
		<-ended
	})
	return address
}

// gate stands before the system, and lets it do wrong.
type gate struct {
	system System
	mu     sync.Mutex
	wrong  http.HandlerFunc
	found  string
}

func (g *gate) set(wrong http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong = wrong
}

func (g *gate) smuggled() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.found
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := r.Method + " " + r.RequestURI + fmt.Sprint(r.Header)
	g.mu.Lock()
	if strings.Contains(strings.ToLower(head), smuggle) {
		g.found = head
	}
	wrong := g.wrong
	g.mu.Unlock()
	if wrong != nil {
		wrong(w, r)
		return
	}
	g.system.ServeHTTP(w, r)
}

// void is where an answer goes that is lost.
type void struct{ header http.Header }

func (v *void) Header() http.Header         { return v.header }
func (v *void) Write(b []byte) (int, error) { return len(b), nil }
func (*void) WriteHeader(int)               {}

// hang ends the connection without an answer.
func hang(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// fault is something that a system does wrong, and the classes of problems that may come of it.
type fault struct {
	name    string
	classes []event.Class
	after   bool // the problem says how long to wait
	do      http.HandlerFunc
}

func answers(status int, kind, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func faults() []fault {
	const kind, page = "application/json", "text/html"
	html := "<html><body>" + echoed + "</body></html>"
	said := `{"message": "` + echoed + `"}`
	passing, held := []event.Class{event.Retryable}, []event.Class{event.Auth}
	throttled, either := []event.Class{event.Throttled}, []event.Class{event.Retryable, event.Auth}
	return []fault{
		{"429 with Retry-After", throttled, true, answers(429, kind, said, "Retry-After", "1")},
		{"429 with a date", throttled, true, func(w http.ResponseWriter, r *http.Request) {
			answers(429, kind, said, "Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))(w, r)
		}},
		{"429 without", throttled, false, answers(429, page, html)},
		{"503 with Retry-After", throttled, true, answers(503, page, html, "Retry-After", "1")},
		{"500", passing, false, answers(500, page, html)},
		{"502", passing, false, answers(502, page, html)},
		{"503", passing, false, answers(503, kind, said)},
		{"408", passing, false, answers(408, kind, said)},
		{"401", held, false, answers(401, kind, said)},
		{"403", held, false, answers(403, page, html)},
		{"400", []event.Class{event.Permanent}, false, answers(400, kind, said)},
		{"422", []event.Class{event.Permanent}, false, answers(422, kind, said)},
		{"a page of HTML", either, false, answers(200, page, html)},
		{"HTML that says it is JSON", either, false, answers(200, kind, html)},
		{"JSON that ends early", either, false, answers(200, kind, `{"id": "1", "results": [`)},
		{"two answers in one", either, false, answers(200, kind, `{"id": "1"} {"id": "2"}`)},
		{"a huge answer", either, false, answers(200, kind, `{"id": "`+strings.Repeat("x", 8<<20)+`"}`)},
		{"a huge header", either, false, answers(200, kind, "{}", "X-Long", strings.Repeat("x", 8<<20))},
		{"no answer", passing, false, func(w http.ResponseWriter, _ *http.Request) { hang(w) }},
		{"an answer that breaks off", passing, false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answers(200, kind, `{"id": "1"`)(w, r)
			hang(w)
		}},
	}
}

// suffer: a fault ends in a problem of its class for each, tells nothing, and when it is over everything is made good.
func (b *bench) suffer(t *testing.T, f fault) {
	t.Helper()
	ds := b.all(t)
	b.gate.set(f.do)
	for _, r := range b.push(t.Context(), t, ds...) {
		switch {
		case r.Problem == nil:
			t.Error("it is taken for success")
		case !slices.Contains(f.classes, r.Problem.Class):
			t.Errorf("it is of class %s, want one of %v: %s", r.Problem.Class, f.classes, r.Problem.Error.Error())
		case f.after && (r.Problem.After <= 0 || r.Problem.After > 2*time.Second):
			t.Errorf("the system asks for patience, and the problem says to wait %v", r.Problem.After)
		case r.Problem.Text == "":
			t.Error("the problem has no sentence")
		}
	}
	if len(b.system.Holds()) > 0 {
		t.Error("the system was told something")
	}
	b.gate.set(nil)
	ended := time.Now().Add(patience)
	for {
		receipts := b.push(t.Context(), t, ds...)
		if !slices.ContainsFunc(receipts, func(r adapters.Receipt) bool { return r.Problem != nil }) {
			break
		}
		if time.Now().After(ended) {
			t.Fatal("the fault is over, and nothing is done yet")
		}
		timer := time.NewTimer(20 * time.Millisecond)
		<-timer.C
	}
	b.holds(t, ds...)
}

// redirect: what is said to the system is said to nobody else.
func redirect(t *testing.T, b *bench) {
	var elsewhere atomic.Int64
	other := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }), nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		b.gate.set(answers(status, "text/html", echoed, "Location", other+"/login"))
		for _, r := range b.push(t.Context(), t, b.all(t)...) {
			if r.Problem == nil || r.Problem.Class == event.Permanent || r.Problem.Class == event.Poison {
				t.Errorf("a redirect (%d): want a problem that can be mended, got %+v", status, r.Problem)
			}
		}
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d requests went where a redirect led", n)
	}
}

// certificate: a system that cannot show who it is is told nothing.
func certificate(t *testing.T, b *bench) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	text := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, text, text, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	b.target = b.Target(t, serve(t, b.gate, secure))
	for _, r := range b.push(t.Context(), t, b.all(t)...) {
		if r.Problem == nil || r.Problem.Class != event.Auth && r.Problem.Class != event.Retryable {
			t.Errorf("a certificate that nobody vouches for: want a problem of class auth or retryable, got %+v", r.Problem)
		}
	}
	if len(b.system.Holds()) > 0 {
		t.Error("the system was told something")
	}
}

// hostileValues: whatever a customer is called, it is a name.
func hostileValues(t *testing.T, b *bench) {
	values := []string{
		`"}, "` + smuggle + `": {"a": "`, "a\r\n" + smuggle + ": 1\r\n\r\nGET /" + smuggle,
		"../../" + smuggle, "/" + smuggle + "?a=b#c", "%2e%2e%2f" + smuggle,
		"{customer}{body}{{" + smuggle + "}}", "${env:" + smuggle + "}", "<script>" + smuggle + "</script>",
		"\u202e" + smuggle, "\x00\x1f" + smuggle, "\\u0022" + smuggle, "-- " + smuggle + " --",
		"'; DROP TABLE " + smuggle + " --", "\u2028" + smuggle, "\xff\xfe" + smuggle, strings.Repeat("ä", 500_000),
	}
	c := b.Good[0]
	for _, hostile := range values {
		c.Version++
		c.Attributes = slices.Clone(b.Good[0].Attributes)
		for i := range c.Attributes {
			v := &c.Attributes[i].Value
			if v.Text != "" {
				v.Text = hostile
				continue
			}
			spoilt := map[string]string{}
			for name := range v.Parts {
				spoilt[name] = hostile
			}
			v.Parts = spoilt
		}
		r := b.render(t, &c)
		if r == nil {
			continue
		}
		d := b.upsert(t, &c, "")
		receipt := b.push(t.Context(), t, d)[0]
		switch {
		case receipt.Problem == nil:
			b.holds(t, d)
		case receipt.Problem.Class != event.Permanent:
			t.Errorf("%.40q: want it done or refused, got %s", hostile, receipt.Problem.Error.Error())
		}
	}
}
