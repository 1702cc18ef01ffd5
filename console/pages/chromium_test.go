package pages_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long anything may take in the browser before a test gives up; nothing is concluded from how long it takes.
const patience = 2 * time.Minute

// window is one tab of a real browser, and what went wrong in it.
type window struct {
	*testing.T
	ctx   context.Context
	mu    sync.Mutex
	wrong []string
}

// chromium opens a window. Without ONEFOLD_TEST_AXE (the file axe.min.js), as `make pages` sets it, the test is left out.
func chromium(t *testing.T) (w *window, axe string) {
	t.Helper()
	file := os.Getenv("ONEFOLD_TEST_AXE")
	if file == "" {
		t.Skip("LEFT OUT: the tests in a real Chromium: make pages")
	}
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("hide-scrollbars", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // its sandbox does not work for root
	}
	started, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(started)
	t.Cleanup(cancel)
	ctx, expire := context.WithTimeout(ctx, 10*patience)
	t.Cleanup(expire)
	w = &window{T: t, ctx: ctx}
	if err := chromedp.Listen(ctx, w.listen); err != nil {
		t.Fatal("chromium does not start:", err)
	}
	return w, string(script)
}

// listen notes what the browser complains of: broken policies, exceptions, errors, and boxes that a script opens.
func (w *window) listen(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		w.wrong = append(w.wrong, "exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			w.wrong = append(w.wrong, fmt.Sprintf("console.%s %s", e.Type, e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			w.wrong = append(w.wrong, string(e.Entry.Source)+": "+e.Entry.Text+" "+e.Entry.URL)
		}
	case *page.EventJavascriptDialogOpening:
		w.wrong = append(w.wrong, "a script opened a box: "+e.Message)
	}
}

// complaints answers what was noted since it was last asked.
func (w *window) complaints() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.wrong
	w.wrong = nil
	return out
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.Fatal(err)
	}
}

// until waits for an expression to become true, over pages that are left meanwhile.
func (w *window) until(expression string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			text, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string]("document.activeElement.outerHTML.slice(0, 200) + document.body.innerText.slice(0, 1000)"))
			w.Fatalf("never: %s: %v\n%s", expression, err, text)
		}
	}
}

func eval[T any](w *window, expression string) T {
	w.Helper()
	out, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		w.Fatal(expression[:min(len(expression), 80)], err)
	}
	return out
}

// look sets how wide the window is, and whether its owner likes it dark.
func (w *window) look(width int64, scheme string) {
	w.Helper()
	w.do(chromedp.EmulateViewport(width, 900))
	_, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		w.Fatal(err)
	}
}

// shoot keeps a picture, of the whole page or of what is in the window, in the folder that ONEFOLD_TEST_SHOTS names.
func (w *window) shoot(name string, whole bool) {
	w.Helper()
	dir := os.Getenv("ONEFOLD_TEST_SHOTS")
	if dir == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	picture, err := chromedp.Run(w.ctx, take)
	if err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		w.Fatal(err)
	}
}

// finding is what axe has against a page.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML string }
}

const askAxe = `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`

// example fills a house with what a page is made for.
func example() *house {
	h := newHouse("Ana Novak")
	h.said = "shop"
	h.status = newHouse("pos").status
	h.tick = 2 * time.Second
	h.status.Sources[0].Topic = "shop.webhooks"
	return h
}

// screens are the pages that are looked at.
func screens() map[string]string {
	return map[string]string{
		"overview": "/", "search": "/customers?q=ana", "nobody": "/customers", "customer": "/customers/" + one.String(),
		"erased": "/customers/" + gone.String(), "letters": "/dead-letters", "letter": "/dead-letters/dead_1", "none": "/dead-letters?source=quiet",
		"replay": "/replays/running", "tried": "/replays/tried", "sources": "/sources", "targets": "/targets", "target": "/targets/crm", "missing": "/nothing",
	}
}

// Each page, wide and narrow, light and dark: nothing is broken, nothing runs over the side, and axe finds nothing serious.
func TestChromiumFindsNothingAgainstAnyPage(t *testing.T) {
	w, axe := chromium(t)
	site := httptest.NewServer(example().handler(io.Discard))
	defer site.Close()
	for name, path := range screens() {
		for _, width := range []int64{1440, 390} {
			for _, scheme := range []string{"light", "dark"} {
				state := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				w.look(width, scheme)
				w.do(chromedp.Navigate(site.URL + path))
				if name == "overview" {
					w.until(`document.querySelector("#chart canvas") !== null`) // the house's clock has gone on by two looks
				}
				w.shoot(state, true)
				if over := eval[int](w, `document.documentElement.scrollWidth - window.innerWidth`); over > 0 {
					t.Errorf("%s: the page is %d px too wide", state, over)
				}
				eval[bool](w, axe+"; true")
				var found []finding
				if err := json.Unmarshal([]byte(eval[string](w, askAxe)), &found); err != nil {
					t.Fatal(err)
				}
				for _, f := range found {
					where := ""
					for _, n := range f.Nodes[:min(3, len(f.Nodes))] {
						where += "\n  " + n.HTML[:min(200, len(n.HTML))]
					}
					report := fmt.Sprintf("%s: %s %s: %s%s", state, f.Impact, f.ID, f.Help, where)
					if f.Impact == "serious" || f.Impact == "critical" {
						t.Error(report)
					} else {
						t.Log(report)
					}
				}
				for _, c := range w.complaints() {
					if name != "missing" || !strings.Contains(c, "404") {
						t.Errorf("%s: %s", state, c)
					}
				}
			}
		}
	}
}

// A person without a mouse finds a customer: to the search by /, to the first row by j, to the page by Enter.
func TestChromiumGoesByKeys(t *testing.T) {
	w, _ := chromium(t)
	site := httptest.NewServer(example().handler(io.Discard))
	defer site.Close()
	w.look(1440, "light")
	w.do(chromedp.Navigate(site.URL + "/dead-letters"))
	w.do(chromedp.KeyEvent("\t"))
	w.until(`document.activeElement.className === "skip"`)
	w.do(chromedp.KeyEvent("\r"))
	w.until(`document.activeElement.id === "main"`)
	w.do(chromedp.KeyEvent("/"))
	w.until(`location.pathname === "/customers" && document.activeElement.id === "q"`)
	w.do(chromedp.KeyEvent("ana@example.com\r"))
	w.until(`location.search === "?q=ana%40example.com" && document.querySelector("[data-row]") !== null`)
	w.do(chromedp.KeyEvent("j"))
	w.until(`document.activeElement.closest("[data-row]") !== null`)
	w.do(chromedp.KeyEvent("\r"))
	w.until(fmt.Sprintf(`location.pathname === "/customers/%s"`, one))
	w.until(`document.readyState === "complete"`)
	for range 3 {
		w.do(chromedp.KeyEvent("\t"))
		w.until(`document.activeElement !== document.body && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	}
	if c := w.complaints(); len(c) > 0 {
		t.Error(c)
	}
}

// The overview follows what happens, holds still when it is told to, and says so when nobody answers.
func TestChromiumFollowsTheFlow(t *testing.T) {
	w, _ := chromium(t)
	h := example()
	var mu sync.Mutex
	served := h.handler(io.Discard)
	began := time.Now()
	broken, left := false, false
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if left && r.URL.Path == "/live" {
			http.Redirect(rw, r, "/customers", http.StatusSeeOther) // as the door does with whose session has ended
			return
		}
		h.err = nil
		if broken {
			h.err = errors.New("the store is away")
		}
		h.now = noon.Add(time.Since(began))
		h.status.Sources[0].Applied += 100
		served.ServeHTTP(rw, r)
	}))
	defer site.Close()
	w.look(1440, "light")
	w.do(chromedp.Navigate(site.URL + "/"))
	rate := `document.querySelectorAll(".figure dd b")[1].textContent`
	w.until(`parseFloat(` + rate + `) > 0`)
	w.until(`JSON.parse(document.getElementById("series").dataset.series).time.length > 2`)
	w.do(chromedp.Click("#hold"))
	w.until(`document.getElementById("stale").textContent.startsWith("held at")`)
	at := eval[string](w, `document.getElementById("series").dataset.at`)
	w.do(chromedp.Sleep(5 * time.Second)) // more than two polls: what would fail here is that it went on
	if now := eval[string](w, `document.getElementById("series").dataset.at`); now != at {
		t.Error("it does not hold still")
	}
	w.do(chromedp.Click("#hold"))
	w.until(fmt.Sprintf(`document.getElementById("series").dataset.at !== %q`, at))
	if c := w.complaints(); len(c) > 0 {
		t.Error(c)
	}
	set := func(flag *bool, to bool) {
		mu.Lock()
		defer mu.Unlock()
		*flag = to
	}
	set(&broken, true)
	w.until(`document.getElementById("stale").textContent.startsWith("live updates stopped")`)
	if figures := eval[int](w, `document.querySelectorAll(".figure").length * document.querySelectorAll("h1").length`); figures != 5 {
		t.Error("an error is put into the page")
	}
	set(&broken, false)
	w.until(`document.getElementById("stale").textContent === ""`)
	eval[bool](w, `window.before = true`)
	set(&left, true)
	w.until(`window.before === undefined`) // the page is asked for anew, so that the door can lead to where one signs in
	set(&left, false)
	w.complaints()
	w.until(`document.querySelector("#chart") !== null && document.querySelectorAll("h1").length === 1`)
	site.CloseClientConnections()
	site.Listener.Close()
	w.until(`document.getElementById("stale").textContent.startsWith("live updates stopped")`)
	if figures := eval[int](w, `document.querySelectorAll(".figure").length`); figures != 5 {
		t.Error("the last numbers are gone")
	}
}

// Names that are programs stay names.
func TestChromiumRunsNothingThatANameSays(t *testing.T) {
	w, _ := chromium(t)
	for name, text := range hostile() {
		site := httptest.NewServer(newHouse(text).handler(io.Discard))
		for _, path := range screens() {
			w.do(chromedp.Navigate(site.URL + path))
			w.look(390, "light")
			if over := eval[int](w, `document.documentElement.scrollWidth - window.innerWidth`); over > 0 {
				t.Errorf("%s, %s: the page is %d px too wide", name, path, over)
			}
		}
		site.Close()
		for _, c := range w.complaints() {
			if !strings.Contains(c, "404") && !strings.Contains(c, "CONNECTION_REFUSED") {
				t.Errorf("%s: %s", name, c)
			}
		}
	}
}

// Without JavaScript everything can be read, and everything can be looked for.
func TestChromiumReadsWithoutScripts(t *testing.T) {
	w, _ := chromium(t)
	site := httptest.NewServer(example().handler(io.Discard))
	defer site.Close()
	w.do(chromedp.Navigate("about:blank"))
	if _, err := chromedp.Call(w.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	w.do(chromedp.Navigate(site.URL+"/"), chromedp.WaitVisible("svg.flow"), chromedp.WaitVisible(".figure"))
	w.do(chromedp.Navigate(site.URL+"/customers"), chromedp.SendKeys("#q", "ana\r"), chromedp.WaitVisible("[data-row]"))
	w.do(chromedp.Click("[data-row] a"), chromedp.WaitVisible("#values"), chromedp.WaitVisible(".bar"))
	w.do(chromedp.Navigate(site.URL+"/dead-letters/dead_1"), chromedp.Click(`form[action$="/reveal"] button`),
		chromedp.WaitNotPresent(`form[action$="/reveal"]`))
	if text, err := chromedp.Run(w.ctx, chromedp.Text("pre")); err != nil || !strings.Contains(text, "Ana Novak") {
		t.Error("the bytes are not revealed:", text, err)
	}
}

// How heavy a page is, and how soon it is seen: told, not judged, for a busy machine is slow.
func TestChromiumTellsWeightAndFirstPaint(t *testing.T) {
	w, _ := chromium(t)
	site := httptest.NewServer(example().handler(io.Discard))
	defer site.Close()
	for name, path := range map[string]string{"overview": "/", "customer": "/customers/" + one.String()} {
		w.do(chromedp.Navigate("about:blank"), chromedp.Navigate(site.URL+path))
		w.until(`performance.getEntriesByName("first-contentful-paint").length > 0`)
		t.Logf("%s: %.0f bytes transferred, first paint after %.0f ms", name,
			eval[float64](w, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((n, e) => n + e.transferSize, 0)`),
			eval[float64](w, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
	}
}

// The pictures of the documentation, of a demo that runs where ONEFOLD_TEST_SITE says: make screenshots.
func TestChromiumShootsASite(t *testing.T) {
	site := os.Getenv("ONEFOLD_TEST_SITE")
	if site == "" {
		t.Skip("LEFT OUT: the pictures of a running demo: make screenshots")
	}
	w, _ := chromium(t)
	w.look(1440, "light")
	w.do(chromedp.Navigate(site + "/"))
	w.until(`JSON.parse(document.getElementById("series").dataset.series).time.length > 40`)
	for _, width := range []int64{1440, 390} {
		for _, scheme := range []string{"light", "dark"} {
			w.look(width, scheme)
			for name, path := range map[string]string{
				"overview": "/", "customers": "/customers?q=" + url.QueryEscape(os.Getenv("ONEFOLD_TEST_NAME")),
				"customer": "/customers/" + os.Getenv("ONEFOLD_TEST_CUSTOMER"), "dead-letters": "/dead-letters", "replay": "/replays/running", "tried": "/replays/tried", "sources": "/sources", "targets": "/targets",
			} {
				w.do(chromedp.Navigate(site + path))
				if name == "overview" {
					w.until(`document.querySelector("#chart canvas") !== null`)
				}
				if name == "dead-letters" {
					w.shoot(fmt.Sprintf("%s-%d-%s", name, width, scheme), false)
					w.do(chromedp.Click("[data-row] a"))
					w.until(`document.querySelector("pre") !== null`)
					name = "dead-letter"
				}
				w.shoot(fmt.Sprintf("%s-%d-%s", name, width, scheme), false)
			}
		}
	}
}
