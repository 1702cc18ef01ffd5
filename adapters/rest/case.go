package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
)

// CaseResult is how one case of a target file went.
type CaseResult struct {
	Name        string   `json:"name"`
	About       string   `json:"about,omitempty"`
	Differences []string `json:"differences,omitempty"` // none: it passed. They quote values: they are for whoever wrote the case
}

// RunCases runs the cases of a target's folder, by name, without a network: each is a txtar archive with a comment that says what it
// shows, and these parts:
//
//	customer.json  a customer as `onefold customer get -o json` prints it, or a list of them for a batch
//	body.json      what the target shall hold of it, null where the customer does not belong there; of several, a list
//	said.json      the attributes that went in; left out, it is not compared
//	delivery.json  what is done: {"op": "merge", "remoteId": "7", "into": "8"}; of several, a list. Left out, nothing is pushed
//	request.http   the request that is expected, then request.2.http and so on: method and address, headers that the file declares,
//	               a blank line, the body
//	answer.http    what is answered to it, then answer.2.http and so on, as HTTP/1.1 has it
//	receipt.json   what becomes of it: {"remoteId": "7", "class": "throttled", "reason": "throttled", "after": "2s"}; of several, a list
//
// A case that cannot be read has failed.
func RunCases(ctx context.Context, f *File, folder fs.FS) []CaseResult {
	names, err := fs.Glob(folder, "cases/*.txtar")
	if err != nil {
		return []CaseResult{{Name: "cases", Differences: []string{err.Error()}}}
	}
	results := make([]CaseResult, 0, len(names))
	for _, name := range names {
		r := CaseResult{Name: strings.TrimSuffix(path.Base(name), ".txtar")}
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			r.Differences = []string{err.Error()}
		} else {
			archive := txtar.Parse(text)
			c := &targetCase{file: f, parts: map[string][]byte{}}
			r.About = strings.TrimSpace(string(archive.Comment))
			for _, part := range archive.Files {
				c.parts[part.Name] = part.Data
			}
			r.Differences = c.run(ctx)
		}
		results = append(results, r)
	}
	return results
}

type targetCase struct {
	file  *File
	parts map[string][]byte
	found []string
}

func (c *targetCase) tell(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

type caseDelivery struct {
	Op       adapters.Op `json:"op"`
	RemoteID string      `json:"remoteId"`
	Into     string      `json:"into"`
	Erased   bool        `json:"erased"`
}

type caseReceipt struct {
	RemoteID      string `json:"remoteId,omitempty"`
	RemoteVersion string `json:"remoteVersion,omitempty"`
	Class         string `json:"class,omitempty"`
	Reason        string `json:"reason,omitempty"`
	After         string `json:"after,omitempty"`
}

// CaseTime is the time at which cases are pushed.
var caseTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (c *targetCase) run(ctx context.Context) []string {
	var customers []customer.Customer
	if !c.decode("customer.json", &customers) {
		return c.found
	}
	var deliveries []adapters.Delivery
	bodies, said := make([]json.RawMessage, len(customers)), make([][]string, len(customers))
	for i := range customers {
		r, err := c.file.Render(&customers[i])
		if err != nil {
			c.tell("the customer cannot be rendered: %v", err)
			return c.found
		}
		bodies[i] = json.RawMessage("null")
		d := adapters.Delivery{ID: fmt.Sprintf("delivery-%d", i+1), Customer: customers[i].ID, Version: customers[i].Version}
		if r != nil {
			bodies[i], d.Body = r.Body, r.Body
			for _, p := range r.Said {
				said[i] = append(said[i], p.String())
			}
		}
		deliveries = append(deliveries, d)
	}
	single := len(customers) == 1
	c.compare("body.json", listOrOne(bodies, single))
	c.compare("said.json", listOrOne(said, single))
	if _, pushes := c.parts["delivery.json"]; pushes {
		c.push(ctx, deliveries, single)
	}
	return c.found
}

// listOrOne is how a part of a case is written: a list where there are several customers.
func listOrOne[T any](all []T, single bool) any {
	if single {
		return all[0]
	}
	return all
}

func (c *targetCase) push(ctx context.Context, deliveries []adapters.Delivery, single bool) {
	var said []caseDelivery
	if !c.decode("delivery.json", &said) {
		return
	}
	if len(said) != len(deliveries) {
		c.tell("delivery.json: %d deliveries of %d customers", len(said), len(deliveries))
		return
	}
	for i, s := range said {
		d := &deliveries[i]
		d.Op, d.RemoteID, d.Into, d.Erased = s.Op, s.RemoteID, s.Into, s.Erased
	}
	now := func() time.Time { return caseTime }
	script := &script{c: c}
	t, err := New(Config{
		File: c.file, URL: "https://target.example", Account: NewAccount(1000, 1000, now), Now: now, Transport: script, Parallel: 1,
		Batch: MaxBatch,
	})
	if err != nil {
		c.tell("%v", err)
		return
	}
	receipts, err := t.Push(ctx, deliveries)
	if err != nil {
		c.tell("the push fails: %v", err)
		return
	}
	if _, more := c.parts[script.part("request", script.at+1)]; more {
		c.tell("%d requests were made, more were expected", script.at)
	}
	out := make([]caseReceipt, len(receipts))
	for i, r := range receipts {
		out[i] = caseReceipt{RemoteID: r.RemoteID, RemoteVersion: r.RemoteVersion}
		if p := r.Problem; p != nil {
			out[i].Class, out[i].Reason = string(p.Class), p.Reason
			if p.After > 0 {
				out[i].After = p.After.String()
			}
		}
	}
	c.compare("receipt.json", listOrOne(out, single))
}

// decode reads a part that is a list, or one of it.
func (c *targetCase) decode(part string, into any) bool {
	text, ok := c.parts[part]
	if !ok {
		c.tell("the case has no %s", part)
		return false
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		c.tell("%s: %v", part, err)
		return false
	}
	return true
}

// compare holds a part of the case, if it is there, against what was made, byte by byte but for blanks between JSON's tokens.
func (c *targetCase) compare(part string, made any) {
	want, ok := c.parts[part]
	if !ok {
		return
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(made); err != nil {
		c.tell("%s: %v", part, err)
		return
	}
	if w, g := indented(want), indented(b.Bytes()); w != g {
		c.tell("%s: want\n%s\ngot\n%s", part, w, g)
	}
}

func indented(text []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(text), "", "  ") != nil {
		return strings.TrimSpace(string(text))
	}
	return b.String()
}

// script answers requests as the case has it.
type script struct {
	c  *targetCase
	at int
}

func (*script) part(name string, n int) string {
	if n == 1 {
		return name + ".http"
	}
	return fmt.Sprintf("%s.%d.http", name, n)
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.at++
	made, err := written(r)
	if err != nil {
		return nil, err
	}
	name := s.part("request", s.at)
	want, ok := s.c.parts[name]
	if !ok {
		s.c.tell("a request that the case does not expect:\n%s", made)
		return nil, errors.New("the case does not expect this request")
	}
	if head, body, _ := strings.Cut(strings.TrimSpace(string(want)), "\n\n"); strings.TrimSpace(head+"\n\n"+indented([]byte(body))) != made {
		s.c.tell("%s: want\n%s\ngot\n%s", name, strings.TrimSpace(string(want)), made)
	}
	answer := s.c.parts[s.part("answer", s.at)]
	head, body, _ := bytes.Cut(answer, []byte("\n\n"))
	raw := strings.ReplaceAll(string(head), "\n", "\r\n") + "\r\nConnection: close\r\n\r\n" + string(body)
	return http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), r)
}

// written is a request as a case has it.
func written(r *http.Request) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL.RequestURI())
	var names []string
	for name := range r.Header {
		if !slices.Contains([]string{"Accept", "User-Agent", "Content-Type", "Authorization"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, r.Header.Get(name))
	}
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return "", err
		}
		b.WriteString("\n" + indented(text))
	}
	return strings.TrimSpace(b.String()), nil
}
