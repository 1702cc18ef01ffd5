package console_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/review"
	"github.com/onefold/onefold/event"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alice = customer.RecordID{1}
	alyce = customer.RecordID{2}
	one   = customer.CustomerID{1}
	old   = customer.CustomerID{9}
)

func ana() *customer.Customer {
	version := customer.Version{Source: customer.TimeVersion(noon, "shop"), Mapping: 3, Hash: 7}
	claim := customer.Claim{Value: customer.Text("Ana"), Source: "shop", Key: "1", Version: version, At: noon, Event: "shop/t/0/1"}
	return &customer.Customer{
		ID: one, Version: 2, Status: customer.Active, CreatedAt: noon, UpdatedAt: noon,
		Attributes: []customer.Attribute{
			{Path: customer.Path{Name: "givenName"}, Claim: claim, Rule: "trust", Losers: []customer.Claim{claim}},
			{Path: customer.Path{Name: "address", ID: "home"}, Claim: customer.Claim{
				Value: customer.Value{Parts: map[string]string{"postalCode": "1010"}}, Source: "shop", Key: "1", Version: version,
			}, Rule: "union"},
		},
		Members: []customer.Member{{Record: alice, Source: "shop", Key: "1"}, {Record: alyce, Source: "bank", Key: "A/2"}},
	}
}

// desk is a registry of one customer, and what it was told.
type desk struct {
	letters  event.LetterQuery
	wished   []event.ReplayWish
	edits    []*event.Edit
	dropped  []event.ReplayWish
	asked    customer.Query
	told     []customer.Decision
	forgot   customer.CustomerID
	exported error
	paused   []string // by whom
	renewed  string   // a target
	supposed []customer.Change
	bulk     review.Bulk
	hold     chan struct{} // if set, Find waits for it
	personal bool          // everything that may hold personal data holds the marker
}

func (d *desk) Customer(_ context.Context, id customer.CustomerID) (*customer.Customer, error) {
	if id == one || id == old {
		return d.ana(), nil
	}
	return nil, fmt.Errorf("customer %s: %w", id, customer.ErrNotFound)
}

func (d *desk) Find(_ context.Context, q customer.Query) (*customer.Found, error) {
	if d.hold != nil {
		<-d.hold
	} else {
		d.asked = q
	}
	switch q.Email {
	case "ana@example.com":
		return &customer.Found{Customers: []*customer.Customer{d.ana()}, Cut: q.Limit == 1}, nil
	case "broken@example.com":
		return nil, errors.New("store: disk I/O error near ana@example.com")
	case "slow@example.com":
		return nil, context.DeadlineExceeded
	case "":
		return nil, event.Errorf(event.Permanent, "validation", "", "say whom to look for")
	}
	return &customer.Found{Customers: []*customer.Customer{}}, nil
}

func (d *desk) Timeline(context.Context, customer.CustomerID, int) ([]*customer.Interaction, error) {
	if d.personal {
		return []*customer.Interaction{personalInteraction()}, nil
	}
	amount, err := customer.NewAmount("12.50", "EUR")
	return []*customer.Interaction{{
		Key: "o1", Type: "order", Amount: amount, OccurredAt: noon, ID: customer.InteractionID{3}, Source: "shop",
		Parties: []customer.Party{{Role: "customer", Key: "1", Record: alice}},
	}}, err
}

var union = customer.Union{
	Step: 1, By: customer.ByEvidence, A: customer.Member{Record: alice, Source: "shop", Key: "1"},
	B: customer.Member{Record: alyce, Source: "bank", Key: "A/2"}, Left: customer.Group{Records: 1}, Right: customer.Group{Step: 1, Records: 2},
	Weight: 12 * customer.Bits, Threshold: 9 * customer.Bits, Sum: 30 * 1024, Pairs: 2, Margin: -2 * customer.Bits,
}

var pending = customer.Possible{
	ID: customer.NewReviewID(one, old), A: customer.Side{Member: customer.Member{Record: alice, Source: "shop", Key: "1"}, Customer: one},
	B:      customer.Side{Member: customer.Member{Record: alyce, Source: "bank", Key: "A/2"}, Customer: old},
	Weight: 12 * customer.Bits, Threshold: 13 * customer.Bits, Records: 2, Priority: 7, Since: noon, State: customer.Claimed, By: "kim", Until: noon,
}

func (d *desk) List(_ context.Context, ask customer.ReviewQuery, _ time.Time) (*customer.ReviewPage, error) {
	return &customer.ReviewPage{
		ReviewCounts: customer.ReviewCounts{Pairs: 1, Oldest: noon}, Reviews: []customer.Possible{pending}, Next: ask.After.String(),
	}, nil
}

func (d *desk) Get(context.Context, customer.ReviewID, time.Time) (*customer.Possible, error) {
	p := pending
	return &p, nil
}

func (d *desk) Next(ctx context.Context, author string, _ time.Time) (*customer.Possible, error) {
	if author == "idle" {
		return nil, nil
	}
	return d.Get(ctx, pending.ID, noon)
}

func (d *desk) Decide(
	_ context.Context, id customer.ReviewID, verdict, author, reason string, at time.Time,
) (*customer.Reviewed, error) {
	if author == "lee" {
		return nil, event.Errorf(event.Permanent, "held", "id", "kim looks at this pair: %w", customer.ErrHeld)
	}
	return &customer.Reviewed{
		Review: id, Verdict: verdict, Until: at,
		Decision: &customer.Decision{ID: "dec_1", Kind: customer.Same, Author: author, Reason: reason, At: at},
	}, nil
}

func (d *desk) DecideAll(_ context.Context, b review.Bulk, _ time.Time) (*review.Decided, error) {
	d.bulk = b
	return &review.Decided{Matched: []customer.Possible{pending}, Reviewed: []customer.Reviewed{}}, nil
}

func (d *desk) ExportDecisions(_ context.Context, w io.Writer) error {
	_, err := fmt.Fprintln(w, "{}")
	return err
}

func (d *desk) ImportDecisions(_ context.Context, told []review.Told, _ time.Time) (*review.Taken, error) {
	return &review.Taken{Taken: len(told), Unknown: []string{}}, nil
}

func (d *desk) Why(_ context.Context, a, b string) (*customer.Explanation, error) {
	if a == "nobody/1" {
		return nil, fmt.Errorf("a record of that name: %w", customer.ErrNotFound)
	}
	x := &customer.Explanation{
		A:    customer.Side{Member: customer.Member{Record: alice, Source: "shop", Key: "1"}, Customer: one},
		B:    customer.Side{Member: customer.Member{Record: alyce, Source: "bank", Key: "A/2"}, Customer: one},
		Same: true, Verdict: "joined",
		Evidence: customer.Evidence{
			Model: "1", Weight: 12 * customer.Bits, Threshold: 9 * customer.Bits, Possible: 7 * customer.Bits, Prior: -2 * customer.Bits,
			Steps: []customer.Step{{
				Comparison: "email", Level: "exact", Weight: 12 * customer.Bits, Frequencies: []customer.Frequency{{Of: "city", OneIn: 3}},
			}},
		},
		Keys: []customer.SharedKey{{Type: "email"}},
	}
	for i := range d.told {
		x.Decision = &d.told[i]
	}
	if d.personal {
		personalise(x)
	}
	return x, nil
}

func (d *desk) WhyNot(ctx context.Context, a, b string) (*customer.Explanation, error) {
	x, err := d.Why(ctx, a, b)
	if err == nil {
		union := union
		if d.personal {
			union.A.Key, union.B.Key = marker, digits
		}
		x.Apart = []customer.Obstacle{{Kind: "mean", Text: "others speak against it", Missing: customer.Bits, Union: &union}}
	}
	return x, err
}

func (d *desk) How(_ context.Context, id customer.CustomerID) (*customer.Making, error) {
	union := union
	if d.personal {
		union.A.Key, union.B.Key = marker, digits
	}
	return &customer.Making{
		Asked: id, Customer: one, Members: []customer.Member{{Record: alice, Source: "shop", Key: "1"}}, Model: "1",
		Steps: []customer.Union{union}, Apart: []customer.Union{}, Current: true,
	}, nil
}

func (d *desk) WhyValue(_ context.Context, id customer.CustomerID, path string) (*customer.Lineage, error) {
	if path != "givenName" {
		return nil, event.Errorf(event.Permanent, "validation", "path", "the customer has no value there")
	}
	return &customer.Lineage{Asked: id, Customer: one, Version: 2, Attributes: []customer.Reasoned{{Attribute: d.ana().Attributes[0], Reason: "it is the only one"}}}, nil
}

func (d *desk) WhatIf(_ context.Context, changes []customer.Change, _ time.Time) (*customer.Supposition, error) {
	d.supposed = changes
	after := customer.Text("Ana")
	return &customer.Supposition{
		Outcome: "applied", Records: []customer.Side{{Member: customer.Member{Record: alice, Source: "shop", Key: "1"}, Customer: one}},
		Customers: []customer.Supposed{{Customer: ana(), Merges: []customer.CustomerID{old}, Values: []customer.Difference{
			{Path: customer.Path{Name: "givenName"}, After: &after},
		}}},
	}, nil
}

func (d *desk) Export(_ context.Context, w io.Writer, canonical bool) error {
	if _, err := fmt.Fprintf(w, "{\"canonical\":%t}\n", canonical); err != nil {
		return err
	}
	return d.exported
}

func (d *desk) Join(_ context.Context, dec customer.Decision) error {
	dec.Kind, dec.ID = customer.Same, "dec_1"
	d.told = append(d.told, dec)
	return nil
}

func (d *desk) Split(_ context.Context, dec customer.Decision) error {
	dec.Kind, dec.ID = customer.NotSame, "dec_2"
	d.told = append(d.told, dec)
	return nil
}

func (d *desk) Undo(_ context.Context, id, author string, at time.Time) (*customer.Decision, error) {
	if id != "dec_1" {
		return nil, event.Errorf(event.Permanent, "validation", "id", "a decision of that id: %w", customer.ErrNotFound)
	}
	return &customer.Decision{
		ID: id, Kind: customer.Same, Pair: customer.NewPair(alice, alyce), Author: "lee", At: noon, Undone: true, UndoneBy: author, UndoneAt: at,
	}, nil
}

func (d *desk) Pause(_ context.Context, source, by string) error {
	if source != "shop" {
		return customer.ErrNotFound
	}
	d.paused = append(d.paused, by)
	return nil
}

func (d *desk) Resume(_ context.Context, source string) error {
	if source != "shop" {
		return customer.ErrNotFound
	}
	d.paused = nil
	return nil
}

func (d *desk) Forget(_ context.Context, id customer.CustomerID, _ time.Time) error {
	d.forgot = id
	return nil
}

func (d *desk) DeadLetters(_ context.Context, q event.LetterQuery) ([]event.DeadLetter, error) {
	d.letters = q
	if q.Source == "quiet" || q.After != "" {
		return nil, nil
	}
	return []event.DeadLetter{letter()}, nil
}

func (d *desk) DeadGroups(_ context.Context, q event.LetterQuery) ([]event.LetterGroup, error) {
	d.letters = q
	if q.Source == "quiet" {
		return nil, nil
	}
	l := letter()
	g := event.LetterGroup{Count: 1}
	g.Tell(&l)
	return []event.LetterGroup{g}, nil
}

func (d *desk) LetterNotes(context.Context, int) ([]event.LetterNote, error) {
	l := letter()
	return []event.LetterNote{*l.Note("discarded", "kim", "ana@example.com is a test", noon)}, nil
}

func (d *desk) Edit(_ context.Context, id string, e *event.Edit) (event.Result, error) {
	if id != "dead_1" {
		return event.Result{}, customer.ErrNotFound
	}
	d.edits = append(d.edits, e)
	return event.Result{Outcome: event.Dead, Parts: []event.Part{{Outcome: event.Applied}, {Outcome: event.Dead, Reason: "schema"}}}, nil
}

func (d *desk) Discard(_ context.Context, w event.ReplayWish, _ string) (int64, bool, error) {
	d.dropped = append(d.dropped, w)
	return 1, true, nil
}

func replayOf(w event.ReplayWish) event.Replay {
	return event.Replay{ID: "rep_1", ReplayWish: w, State: event.ReplayRunning, StartedAt: noon, Total: 1, Groups: []event.ReplayGroup{
		{Group: "grp_1", Source: "shop", Reason: "decode", Done: event.ReplayTally{Dead: 1}, Why: "decode: not JSON", Example: "dead_1"},
	}}
}

func (d *desk) Start(_ context.Context, w event.ReplayWish) (event.Replay, error) {
	d.wished = append(d.wished, w)
	if len(d.wished) > 1 {
		return event.Replay{}, event.ErrReplaying
	}
	return replayOf(w), nil
}

func (d *desk) Replays(context.Context) []event.Replay {
	return []event.Replay{replayOf(event.ReplayWish{All: true, Author: "kim"})}
}

func (d *desk) Replay(_ context.Context, id string) (event.Replay, error) {
	if id != "rep_1" {
		return event.Replay{}, customer.ErrNotFound
	}
	return replayOf(event.ReplayWish{All: true, Author: "kim"}), nil
}

func (d *desk) Steer(ctx context.Context, id string, to event.ReplayState) (event.Replay, error) {
	out, err := d.Replay(ctx, id)
	out.State = to
	return out, err
}

func (d *desk) DeadLetter(_ context.Context, id string) (*event.DeadLetter, error) {
	l := letter()
	if d.personal {
		l.Key, l.Value = []byte(marker), []byte(`{"email":"`+marker+`","n":`+digits+`}`)
		l.Headers = []event.Header{{Key: "x", Value: []byte(marker)}}
	}
	switch id {
	case "dead_1":
	case "dead_wild":
		l.Time, l.At = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), noon.In(time.FixedZone("", 30*3600))
	default:
		return nil, customer.ErrNotFound
	}
	return &l, nil
}

func letter() event.DeadLetter {
	return event.DeadLetter{
		ID: "dead_1", Source: "shop", Topic: "t", Partition: 1, Offset: 42, Part: "", Time: noon, At: noon, Class: event.Poison,
		Reason: "decode", Message: "not JSON", Mapping: "shopify@3", Attempts: 1,
		Value: []byte(`{"email":"ana@example.com","n":12,"ok":true`), Headers: []event.Header{{Key: "x", Value: []byte("ana")}},
	}
}

func status(context.Context) (*console.Status, error) {
	return &console.Status{
		Version: "1", State: console.Degraded, Reasons: []string{"broker: away"}, StartedAt: noon,
		Counts: customer.Counts{Records: 2, Customers: 1},
		Sources: []console.SourceStatus{{
			Name: "shop", Adapter: "shopify@3", Topic: "t", Received: 3, InFlight: 1, State: console.SourceRunning, Outcomes: console.Outcomes{Applied: 2},
			Partitions: []console.PartitionStatus{{Partition: 0, Next: 2, End: 3, Lag: 1}}, Lag: 1,
		}},
	}, nil
}

func handler(d *desk, log io.Writer) http.Handler {
	return console.New(console.Config{
		Customers: d, Explain: d, Review: d, Decisions: d, Steward: d, DeadLetters: d, Replays: d, Hand: d, Targets: d, Status: status, Flow: d, Model: studied{},
		Republish: republish, Now: func() time.Time { return noon }, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
}

func republish(context.Context) (*console.Republished, error) {
	return &console.Republished{Customers: 3, TakenBack: 1}, nil
}

// call asks the API as a program on this machine does.
func call(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFindPassesTheQuestionOn(t *testing.T) {
	d := &desk{}
	w := call(handler(d, io.Discard), "GET", "/api/v1/customers?email=ana@example.com&phone=1&name=n&birthDate=b&identifier=i&limit=5", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"givenName"`) {
		t.Error(w.Code, w.Body)
	}
	want := customer.Query{Email: "ana@example.com", Phone: "1", Name: "n", BirthDate: "b", Identifier: "i", Limit: 5}
	if diff := cmp.Diff(want, d.asked); diff != "" {
		t.Error(diff)
	}
	call(handler(d, io.Discard), "GET", "/api/v1/customers?source=s&key=a%2Fb", "")
	if diff := cmp.Diff(customer.Query{Source: "s", Key: "a/b"}, d.asked); diff != "" {
		t.Error(diff)
	}
}

func TestCustomerNamesTheIDThatWasAsked(t *testing.T) {
	w := call(handler(&desk{}, io.Discard), "GET", "/api/v1/customers/"+old.String(), "")
	var got struct {
		Asked, ID customer.CustomerID
		Version   int64
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Asked != old || got.ID != one || got.Version != 2 {
		t.Error(w.Body, err)
	}
}

func TestDecisions(t *testing.T) {
	d := &desk{}
	h := handler(d, io.Discard)
	w := call(h, "POST", "/api/v1/decisions", `{"kind":"same","a":"shop/1","b":"bank/A/2","author":"kim","reason":"called"}`)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"dec_1"`) {
		t.Error(w.Code, w.Body)
	}
	call(h, "POST", "/api/v1/decisions", `{"kind":"not-same","a":"shop/1","b":"bank/A/2","author":"kim"}`)
	pair := customer.NewPair(alice, alyce)
	want := []customer.Decision{
		{ID: "dec_1", Kind: customer.Same, Pair: pair, Author: "kim", Reason: "called", At: noon},
		{ID: "dec_2", Kind: customer.NotSame, Pair: pair, Author: "kim", At: noon},
	}
	if diff := cmp.Diff(want, d.told); diff != "" {
		t.Error(diff)
	}
}

func TestUndo(t *testing.T) {
	w := call(handler(&desk{}, io.Discard), "POST", "/api/v1/decisions/dec_1/undo", `{"author":"kim"}`)
	var d customer.Decision
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 || !d.Undone || d.UndoneBy != "kim" || !d.UndoneAt.Equal(noon) {
		t.Error(w.Code, w.Body, err)
	}
}

func TestACutAnswerSaysSo(t *testing.T) {
	for limit, want := range map[string]string{"1": `"cut":true`, "2": `"cut":false`} {
		w := call(handler(&desk{}, io.Discard), "GET", "/api/v1/customers?email=ana@example.com&limit="+limit, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Error(w.Code, w.Body)
		}
	}
}

func TestEraseSaysWhatItDoesNotReach(t *testing.T) {
	d := &desk{}
	w := call(handler(d, io.Discard), "DELETE", "/api/v1/customers/"+one.String(), "")
	if w.Code != 200 || d.forgot != one || !strings.Contains(w.Body.String(), "backups") {
		t.Error(w.Code, w.Body)
	}
}

func TestExport(t *testing.T) {
	w := call(handler(&desk{}, io.Discard), "GET", "/api/v1/export?canonical=true", "")
	if w.Body.String() != "{\"canonical\":true}\n" || w.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Error(w.Header(), w.Body)
	}
	t.Run("is broken off when it fails midway", func(t *testing.T) {
		srv := httptest.NewServer(handler(&desk{exported: errors.New("disk")}, io.Discard))
		defer srv.Close()
		resp, err := http.Get(srv.URL + "/api/v1/export")
		if err == nil {
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil {
			t.Error("half an export looks like a whole one")
		}
	})
	t.Run("is nobody's error when the reader goes away", func(t *testing.T) {
		var logged bytes.Buffer
		func() {
			defer func() { _ = recover() }() // the connection is broken off
			handler(&desk{}, &logged).ServeHTTP(deaf{httptest.NewRecorder()}, httptest.NewRequest("GET", "http://127.0.0.1:8080/api/v1/export", nil))
		}()
		if strings.Contains(logged.String(), "ERROR") {
			t.Error(logged.String())
		}
	})
}

// deaf is a reader that has gone away.
type deaf struct{ http.ResponseWriter }

func (deaf) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// Every way of calling wrongly is told by one object, with its status, and with nothing personal in it.
func TestProblems(t *testing.T) {
	cases := []struct {
		method, path, body string
		headers            []string
		status             int
		code, says         string
	}{
		{"GET", "/api/v1/customers", "", nil, 400, "bad_request", "say whom"},
		{"GET", "/api/v1/customers?mail=a", "", nil, 400, "bad_request", "one of: email"},
		{"GET", "/api/v1/customers?email=a&email=b", "", nil, 400, "bad_request", "twice"},
		{"GET", "/api/v1/customers?email=a&limit=x", "", nil, 400, "bad_request", "whole number"},
		{"GET", "/api/v1/customers?email=a&limit=0", "", nil, 400, "bad_request", "whole number"},
		{"GET", "/api/v1/customers?email=slow@example.com", "", nil, 503, "timeout", "longer"},
		{"GET", "/api/v1/customers?email=broken@example.com", "", nil, 500, "internal", "log"},
		{"GET", "/api/v1/customers/7", "", nil, 400, "bad_request", "cus_"},
		{"GET", "/api/v1/customers/" + customer.CustomerID{5}.String(), "", nil, 404, "not_found", "nothing is known"},
		{"GET", "/api/v1/why?a=x", "", nil, 400, "bad_request", "two names"},
		{"GET", "/api/v1/why?a=nobody/1&b=c", "", nil, 404, "not_found", "nothing is known"},
		{"GET", "/api/v1/export?canonical=yes", "", nil, 400, "bad_request", "true or false"},
		{"GET", "/api/v1/dead-letters?limit=501", "", nil, 400, "bad_request", "at most 500"},
		{"GET", "/api/v1/dead-letters/none", "", nil, 404, "not_found", "nothing is known"},
		{"GET", "/api/v1/nowhere", "", nil, 404, "not_found", "openapi"},
		{"POST", "/api/v1/status", "{}", nil, 405, "method_not_allowed", "GET"},
		{"POST", "/api/v1/decisions", `{"kind":"same"`, nil, 400, "bad_request", "JSON"},
		{"POST", "/api/v1/decisions", `{"kind":"same"} {}`, nil, 400, "bad_request", "follows"},
		{"POST", "/api/v1/decisions", `{"knd":"same"}`, nil, 400, "bad_request", "JSON"},
		{"POST", "/api/v1/decisions", `{"kind":"maybe","a":"b","b":"c","author":"k"}`, nil, 400, "bad_request", "same, not-same"},
		{"POST", "/api/v1/decisions", `{"kind":"same","a":"b","author":"k"}`, nil, 400, "bad_request", "two names"},
		{"POST", "/api/v1/decisions", `{"kind":"same","a":"b","b":"c"}`, nil, 400, "bad_request", "author"},
		{"POST", "/api/v1/decisions", `{"kind":"not-same","a":"cus_x","b":"c","author":"k"}`, nil, 400, "bad_request", "many records"},
		{"POST", "/api/v1/decisions", `{"kind":"same","a":"nobody/1","b":"c","author":"k"}`, nil, 404, "not_found", "nothing"},
		{"POST", "/api/v1/decisions", `{"kind":"same","a":"a","b":"c","author":"` + strings.Repeat("k", 3000) + `"}`, nil, 400, "bad_request", "2,000"},
		{"POST", "/api/v1/decisions", `{"kind":"` + strings.Repeat("k", console.MaxBody) + `"}`, nil, 413, "too_large", "64 KiB"},
		{"POST", "/api/v1/decisions/dec_9/undo", `{"author":"k"}`, nil, 404, "not_found", "id: nothing"},
		{"POST", "/api/v1/decisions/dec_1/undo", `{"author":"` + strings.Repeat("k", 3000) + `"}`, nil, 400, "bad_request", "2,000"},
		{"POST", "/api/v1/decisions/dec_1/undo", `{"who":"k"}`, nil, 400, "bad_request", "JSON"},
		{"POST", "/api/v1/decisions", "kind=same", []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", "JSON"},
		{"GET", "/api/v1/status", "", []string{"X-Forwarded-For", "192.0.2.1"}, 421, "forwarded", "console.tokens"},
		{"GET", "/api/v1/status", "", []string{"Via", "1.1 proxy"}, 421, "forwarded", "console.tokens"},
		{"GET", "/api/v1/status", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_site", "another site"},
		{"GET", "/api/v1/status", "", []string{"Sec-Fetch-Site", "same-site"}, 403, "cross_site", "another site"},
		{"GET", "/api/v1/status", "", []string{"Origin", "https://evil.example"}, 403, "cross_site", "another site"},
		{"DELETE", "/api/v1/customers/" + one.String(), "", []string{"Origin", "null"}, 403, "cross_site", "another site"},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.path[:min(60, len(c.path))]+" "+c.code, func(t *testing.T) {
			w := call(handler(&desk{}, io.Discard), c.method, c.path, c.body, c.headers...)
			var p console.Problem
			dec := json.NewDecoder(w.Body)
			dec.DisallowUnknownFields()
			if err := dec.Decode(&p); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status || p.Code != c.code || !strings.Contains(p.Error(), c.says) {
				t.Errorf("%d %+v", w.Code, p)
			}
			if strings.Contains(p.Error(), "example.com") {
				t.Error("personal data in", p)
			}
		})
	}
}

func TestOtherNamesOfThisMachineAreRefused(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "localhost:8080": 200, "LOCALHOST": 200, "[::1]:8080": 200, "[::1]": 200, "127.9.9.9": 200,
		"rebound.example:8080": 421, "10.0.0.1:8080": 421, "": 421, "127.0.0.1.nip.example": 421,
	} {
		r := httptest.NewRequest("GET", "/api/v1/status", nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler(&desk{}, io.Discard).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestTooManyAtOnce(t *testing.T) {
	d := &desk{hold: make(chan struct{})}
	h := handler(d, io.Discard)
	done := make(chan int, console.MaxRequests+1)
	for range console.MaxRequests + 1 {
		go func() { done <- call(h, "GET", "/api/v1/customers?email=ana@example.com", "").Code }()
	}
	if code := <-done; code != 503 { // only one that finds no room answers before the others are let go
		t.Error(code)
	}
	close(d.hold)
	for range console.MaxRequests {
		if code := <-done; code != 200 {
			t.Error(code)
		}
	}
}

func TestLetters(t *testing.T) {
	h := handler(&desk{}, io.Discard)
	w := call(h, "GET", "/api/v1/dead-letters?limit=1", "")
	if !strings.Contains(w.Body.String(), `"next":"dead_1"`) || strings.Contains(w.Body.String(), "value") {
		t.Error(w.Body)
	}
	if w = call(h, "GET", "/api/v1/dead-letters?source=quiet", ""); w.Body.String() != "{\"deadLetters\":[]}\n" {
		t.Error(w.Body)
	}
	var log bytes.Buffer
	h = handler(&desk{}, &log)
	for path, want := range map[string]console.OpenLetter{
		"/api/v1/dead-letters/dead_1": {
			Value: []byte(`{"email":"xxx@xxxxxxx.xxx","n":99,"ok":true`), Headers: []event.Header{{Key: "x", Value: []byte("xxx")}},
		},
		"/api/v1/dead-letters/dead_1?reveal=true": {Value: letter().Value, Headers: letter().Headers, Revealed: true},
	} {
		var got console.OpenLetter
		if err := json.Unmarshal(call(h, "GET", path, "").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		got.Letter = console.Letter{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if !strings.Contains(log.String(), "dead letter revealed") || strings.Contains(log.String(), "ana") {
		t.Error("the log says", log.String())
	}
}

// A letter of a message whose time cannot be written as JSON is shown with the nearest that can.
func TestLetterOfAWildClock(t *testing.T) {
	var got console.OpenLetter
	w := call(handler(&desk{}, io.Discard), "GET", "/api/v1/dead-letters/dead_wild", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if got.Time.Year() != 9999 || !got.At.Equal(noon) {
		t.Errorf("shown are %v and %v", got.Time, got.At)
	}
}

func TestMaskKeepsTheShape(t *testing.T) {
	for value, want := range map[string]string{
		`{"a": "B\"1", "n":null, "x": [true, -1.5e3, "y"]}`:            `{"a": "x\"9", "n":null, "x": [true, -9.9x9, "x"]}`,
		`{"` + strings.Repeat("k", 70) + `": 1}`:                       `{"` + strings.Repeat("x", 70) + `": 9}`,
		`[nullx, tru]`:                                                 `[nullx, xxx]`,
		`{"a": "open`:                                                  `{"a": "xxxx`,
		`<?xml version="1.0"?><Doc a='b 1' c = "d">Ana 7<Nm/></Doc>`:   `<?xml version="9.9"?><Doc a='x 9' c = "x">Xxx 9<Nm/></Doc>`,
		"<!-- Ana --><A>x\xff</A>":                                     "<!-- Xxx --><A>x.</A>",
		"<ana@b.cd>":                                                   "<xxx@x.xx>", // what only stands between angle brackets is no name
		"<Doc><Nm>5 < Ana Silva</Nm></Doc>":                            "<Doc><Nm>9 < xxx xxxxx</Nm></Doc>",
		"<!-- <Ana Silva> --><Nm><![CDATA[Ana <a@b.cd>]]></Nm>":        "<!-- <xxx xxxxx> --><Nm><![xxxxx[xxx <x@x.xx>]]></Nm>",
		`<!DOCTYPE x [<!ENTITY a "Ana <a@b.cd>">]><A b=Ana><c:D e=''>`: `<!xxxxxxx x [<!xxxxxx x "xxx <x@x.xx>">]><x x=xxx><c:D e=''>`,
		"Ana Silva, 12":                                                "xxx xxxxx, 99",
		"a\x00\u202e":                                                  "x....",
	} {
		want = strings.ReplaceAll(want, "Xxx", "xxx")
		d := &masked{value: value}
		w := call(console.New(console.Config{Customers: d, Explain: d, Review: d, Decisions: d, Steward: d, DeadLetters: d, Log: slog.New(slog.DiscardHandler)}),
			"GET", "/api/v1/dead-letters/dead_1", "")
		var got console.OpenLetter
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got.Value)); diff != "" {
			t.Error(diff)
		}
		if got.Key != nil {
			t.Error("null did not stay null")
		}
	}
}

type masked struct {
	desk
	value string
}

func (m *masked) DeadLetter(context.Context, string) (*event.DeadLetter, error) {
	l := letter()
	l.Value = []byte(m.value)
	return &l, nil
}

func FuzzMask(f *testing.F) {
	f.Add([]byte(`{"a":"b"}`))
	f.Add([]byte(`<a b="c">d</a>`))
	f.Fuzz(func(t *testing.T, value []byte) {
		d := &masked{value: string(value)}
		w := call(console.New(console.Config{Customers: d, Explain: d, Review: d, Decisions: d, Steward: d, DeadLetters: d, Log: slog.New(slog.DiscardHandler)}),
			"GET", "/api/v1/dead-letters/dead_1", "")
		var got console.OpenLetter
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Value) != len(value) {
			t.Fatalf("%d bytes became %d: %v", len(value), len(got.Value), err)
		}
	})
}

// An edit may be as long as a message that people write; what is said of it is masked unless it is revealed, its reason is for who sees.
func TestEditsAndDiscards(t *testing.T) {
	d := &desk{}
	h := handler(d, io.Discard)
	value := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("a"), 1_000_000))
	w := call(h, "PUT", "/api/v1/dead-letters/dead_1/edit", `{"value":"`+value+`","reason":"a typo","author":"kim","headers":[]}`)
	if w.Code != 200 || w.Body.String() != `{"letter":"dead_1","outcome":"dead","reason":"schema"}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if e := d.edits[0]; len(e.Value) != 1_000_000 || e.Headers == nil || e.By != "kim" || e.Reason != "a typo" {
		t.Errorf("%d bytes, %v, %s %s", len(e.Value), e.Headers, e.By, e.Reason)
	}
	if w = call(h, "DELETE", "/api/v1/dead-letters/dead_1/edit", ""); w.Code != 200 || d.edits[1] != nil {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for body, want := range map[string]int{
		`{"value":"e30=","author":"kim"}`:                              400,
		`{"value":"e30=","reason":"a typo"}`:                           400,
		`{"value":"` + strings.Repeat("a", console.MaxEditBody) + `"}`: 413,
		`{"value":"!"}`: 400,
	} {
		if w := call(h, "PUT", "/api/v1/dead-letters/dead_1/edit", body); w.Code != want {
			t.Errorf("%.60s: %d %s", body, w.Code, w.Body)
		}
	}
	w = call(h, "POST", "/api/v1/dead-letters/discard", `{"group":"grp_1","since":"2026-03-04T05:06:07Z","reason":"tests","author":"kim"}`)
	if w.Code != 200 || d.dropped[0].Group != "grp_1" || d.dropped[0].Author != "kim" || d.dropped[0].Since.IsZero() {
		t.Errorf("%d %s %+v", w.Code, w.Body, d.dropped)
	}
	if w = call(h, "GET", "/api/v1/dead-letters?group=grp_1&since=2026-03-04T05:06:07Z&until=2027-03-04T05:06:07Z", ""); w.Code != 200 || d.letters.Group != "grp_1" ||
		d.letters.Since.IsZero() || d.letters.Until.IsZero() {
		t.Errorf("%d %s %+v", w.Code, w.Body, d.letters)
	}
	if w = call(h, "GET", "/api/v1/dead-letters?since=yesterday", ""); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// studied is a model that somebody surveyed.
type studied struct{}

func (studied) Status() console.ModelStatus {
	return console.ModelStatus{Version: "2026.1.2", Survey: 2, SurveyedAt: noon, Records: 4000, Households: true, Automatic: true}
}

func (studied) Ask() {}
