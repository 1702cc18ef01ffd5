package pages_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
)

func TestOneBoxUnderstandsAnything(t *testing.T) {
	type q = customer.Query
	for asked, want := range map[string][]q{
		"ana@example.com":                       {{Email: "ana@example.com"}},
		"  Ana   Novak ":                        {{Name: "Ana Novak"}},
		"Ana Novak 1980-02-03":                  {{Name: "Ana Novak", BirthDate: "1980-02-03"}},
		"Novak 3.2.1980":                        {{Name: "Novak", BirthDate: "1980-02-03"}},
		"1980-02":                               {{BirthDate: "1980-02"}},
		"+43 660 1234567":                       {{Phone: "+43 660 1234567"}},
		"(0660) 123-4567":                       {{Phone: "(0660) 123-4567"}, {Identifier: "(0660)123-4567"}},
		"Ana +43660123456":                      {{Name: "Ana", Phone: "+43660123456"}},
		"9007199254746862":                      {{Phone: "9007199254746862"}, {Identifier: "9007199254746862"}},
		"AT611904300234573201":                  {{Identifier: "AT611904300234573201"}},
		"AT61 1904 3002 3457 3201":              {{Identifier: "AT611904300234573201"}},
		"iban:AT611904300234573201":             {{Identifier: "iban:AT611904300234573201"}},
		"shop/42":                               {{Source: "shop", Key: "42"}},
		"elsewhere/42":                          {{Identifier: "elsewhere/42"}},
		"O'Brien":                               {{Name: "O'Brien"}},
		"ana@example.com Novak +43 660 1234567": {{Email: "ana@example.com", Name: "Novak", Phone: "+43 660 1234567"}},
		"李小龍":                                   {{Name: "李小龍"}},
		"":                                      nil,
	} {
		h := newHouse("Ana")
		a := get(t, h.handler(io.Discard), "GET", "/customers?q="+url.QueryEscape(asked))
		for i := range h.asked {
			h.asked[i].Limit = 0
		}
		if diff := cmp.Diff(want, h.asked); diff != "" || a.Code != 200 {
			t.Errorf("%q: %s", asked, diff)
		}
	}
}

func TestAnIDLeadsToItsCustomer(t *testing.T) {
	a := get(t, newHouse("Ana").handler(io.Discard), "GET", "/customers?q="+strings.ToUpper(one.String()[:4])+one.String()[4:])
	if a.Code != 303 || a.Header().Get("Location") != "/customers/"+one.String() {
		t.Error(a.Code, a.Header())
	}
}

func TestALongQuestionIsRefused(t *testing.T) {
	h := newHouse("Ana")
	a := get(t, h.handler(io.Discard), "GET", "/customers?q="+strings.Repeat("a", 513))
	if len(h.asked) != 0 || !strings.Contains(seen(a), "longer than 512 bytes") || len(a.text) > 10_000 {
		t.Error(seen(a))
	}
}

// The steps that a person sees add up to the score that a person sees, exactly, whatever the weights are.
func TestTheStepsOfTheWaterfallAddUpToTheScore(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := newHouse("Ana")
		h.bits = nil
		for range rapid.IntRange(0, 12).Draw(r, "steps") {
			h.bits = append(h.bits, customer.Weight(rapid.Int32Range(-40*1024, 40*1024).Draw(r, "weight")))
		}
		a := get(t, h.handler(io.Discard), "GET", "/customers/"+one.String())
		sum := new(big.Rat)
		var score *big.Rat
		for _, n := range a.all("td") {
			text, ok := attr(n, "data-exact")
			if !ok {
				continue
			}
			bits, ok := new(big.Rat).SetString(text)
			if !ok {
				t.Fatalf("not a number: %q", text)
			}
			if n.Parent.Parent.Data == "tfoot" {
				score = bits
			} else {
				sum.Add(sum, bits)
			}
		}
		if score == nil || sum.Cmp(score) != 0 {
			t.Fatalf("the steps come to %v, the score is %v", sum, score)
		}
		if strings.Contains(a.text, "please report this") {
			t.Fatal("the page says that they do not")
		}
	})
}

func TestACustomerTellsOriginsAndLosers(t *testing.T) {
	a := get(t, newHouse("Ana").handler(io.Discard), "GET", "/customers/"+old.String())
	text := seen(a)
	for _, want := range []string{
		"was merged into this customer", "Given name", "verified", "from the source that is trusted most", "another", "2 records", "−12.50 EUR",
		"Show more",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	lost := 0
	for _, n := range a.all("s") {
		if words(n) == "another" {
			lost++
		}
		if words(n) == "Ana" {
			t.Error("who agrees is shown as a loser")
		}
	}
	if lost != 6 {
		t.Errorf("%d values are shown as lost, want 6", lost)
	}
	if gone := get(t, newHouse("Ana").handler(io.Discard), "GET", "/customers/"+gone.String()); !strings.Contains(seen(gone), "Erased") {
		t.Error("an erased customer is not told as one")
	}
}

// The rate is that of the last ten seconds; nothing is known from one look, and a pause is a gap.
func TestRatesComeFromWhatWasPolled(t *testing.T) {
	h := newHouse("Ana")
	served := h.handler(io.Discard)
	look := func(after time.Duration, more int64) answer {
		h.now = h.now.Add(after)
		h.status.Sources[0].Applied += more
		return get(t, served, "GET", "/live")
	}
	rate := func(a answer) string {
		for _, n := range a.all("div") {
			if class, _ := attr(n, "class"); class == "figure" && strings.HasPrefix(words(n), "Events per second") {
				return words(n.FirstChild.NextSibling)
			}
		}
		return "no rate"
	}
	if got := rate(look(0, 0)); !strings.HasPrefix(got, "–") {
		t.Error("after one look:", got)
	}
	if got := rate(look(2*time.Second, 50)); !strings.HasPrefix(got, "25") {
		t.Error("after two looks:", got)
	}
	for range 5 {
		look(2*time.Second, 10)
	}
	if got := rate(look(2*time.Second, 10)); !strings.HasPrefix(got, "5.0") {
		t.Error("after ten quiet seconds:", got)
	}
	a := look(time.Hour, 10)
	var s struct {
		Time             []int64
		Ended, Dead, Lag []*float64
	}
	for _, n := range a.all("div") {
		if text, ok := attr(n, "data-series"); ok {
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(s.Time); n != 8 || len(s.Ended) != n || s.Ended[0] == nil || *s.Ended[0] != 25 || s.Ended[n-1] != nil {
		t.Errorf("series: %v %v", s.Time, s.Ended)
	}
	for range 300 {
		a = look(2*time.Second, 1)
	}
	if len(a.text) > 40_000 {
		t.Errorf("after many looks the live part has %d bytes", len(a.text))
	}
}

func TestTheFlowTellsWhatHalts(t *testing.T) {
	a := get(t, newHouse("Ana").handler(io.Discard), "GET", "/")
	text := seen(a)
	for _, want := range []string{
		"Source shop has halted on 1 partition and waits for a person", "3 messages could not be applied", "10 received = 9 ended + 1 in flight",
		"Target Ana is down: 5 customers wait", "Target crm has refused 1 customer", "Source Ana is paused by Ana", "1,234,567 records",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the overview does not say %q: %s", want, text)
		}
	}
	flow := func(n *html.Node) bool { class, _ := attr(n, "class"); return strings.HasPrefix(class, "node ") }
	nodes := 0
	for _, n := range a.all("g") {
		if flow(n) {
			nodes++
		}
	}
	if nodes != 2+2+1+1+2 {
		t.Errorf("%d boxes in the flow", nodes)
	}
}

// What others made stands as they published it.
func TestVendoredFilesAreTheirMakers(t *testing.T) {
	for name, want := range map[string]string{
		"htmx-4.0.1.min.js":    "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
		"uplot-1.6.32.min.js":  "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
		"uplot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	} {
		b, err := os.ReadFile(filepath.Join("assets", name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s: %x", name, sum)
		}
		licence, err := os.ReadFile(filepath.Join("assets", regexp.MustCompile(`\.min\..*`).ReplaceAllString(name, "")+".LICENSE.txt"))
		if err != nil || len(licence) == 0 {
			t.Errorf("%s stands without its licence: %v", name, err)
		}
	}
}

// maxWeight is how many bytes a page may bring over the wire the first time, compressed.
const maxWeight = 60 << 10

func TestPagesAreLight(t *testing.T) {
	h := newHouse("Ana").handler(io.Discard)
	for _, path := range []string{"/", "/customers?q=ana", "/customers/" + one.String(), "/dead-letters"} {
		a := get(t, h, "GET", path)
		sum := 0
		var kinds []string
		for _, n := range a.all("") {
			ref, ok := attr(n, "src")
			if n.Data == "link" {
				ref, ok = attr(n, "href")
			}
			if !ok {
				continue
			}
			r := httptest.NewRequest("GET", ref, nil)
			r.Header.Set("Accept-Encoding", "gzip")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 || w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Fatalf("%s: %d %v", ref, w.Code, w.Header())
			}
			kinds = append(kinds, w.Header().Get("Content-Type"))
			z, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			sum += w.Body.Len()
			whole, err := io.ReadAll(z)
			if plain := get(t, h, "GET", ref); err != nil || plain.text != string(whole) {
				t.Errorf("%s: compressed it says something else: %v", ref, err)
			}
		}
		t.Logf("%s: %d bytes of HTML and %d of assets, compressed (%d files)", path, len(a.text), sum, len(kinds))
		if sum > maxWeight {
			t.Errorf("%s: %d bytes of assets", path, sum)
		}
	}
	if a := get(t, h, "GET", "/assets/console.css?v=old"); a.Code != 200 || a.Header().Get("Cache-Control") != "no-store" {
		t.Error("an old print may be kept:", a.Header())
	}
	if a := get(t, h, "GET", "/assets/..%2fpages.go"); a.Code != 404 {
		t.Error("something else is served:", a.Code)
	}
}

// Templates use nothing that the policy would have to allow, and nothing that leaves the escaping out.
func TestTemplatesLeaveTheEscapingAlone(t *testing.T) {
	forbidden := regexp.MustCompile(`templ\.(Raw|SafeURL|SafeCSS|JSFuncCall|JSUnsafe|ComponentScript|OnceHandle)|@templ\.|\sstyle=|\son[a-z]+=|hx-on|hx-vals|hx-vars|` +
		`hx-headers|hx-trigger="[^"]*\[|js:|<style|<script>|\bscript [a-z]+\(|\bcss [a-z]+\(`)
	files, err := filepath.Glob("*.templ")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if forbidden.MatchString(line) {
				t.Errorf("%s:%d: %s", name, i+1, strings.TrimSpace(line))
			}
			if regexp.MustCompile(`\S\s*@[a-z]+\(`).MatchString(line) && !strings.Contains(line, ">@") {
				t.Errorf("%s:%d: a component within a line is shown as text: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	}
	for _, name := range []string{"assets/console.js", "assets/console.css"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`eval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?://|@import`).Find(text); m != nil {
			t.Errorf("%s: %s", name, m)
		}
	}
}
