package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/customer/merge"
	"github.com/onefold/onefold/store/memory"
)

// village is the shop's customers of a place where each surname and address is one person's: many of them were written down twice, with a
// slip in the given name or the date.
func village(first, n int) []*kgo.Record {
	var out []*kgo.Record
	for i := first; i < first+n; i++ {
		family := "Fam" + word(i)
		for twin, given := range []string{"Given" + word(i*7), "Given" + word(i*7)} {
			if twin == 1 && i%3 == 0 {
				given = "Other" + word(i*11)
			}
			body := fmt.Sprintf(`{"id":%d,"created_at":"2026-03-01T12:00:00-05:00","updated_at":"2026-03-01T12:00:00-05:00","first_name":%q,
				"last_name":%q,"state":"enabled","email":null,"phone":null,"currency":"USD","addresses":[{"id":%d,"address1":"%d Road %s","city":"Hill",
				"zip":"1%04d","country_code":"US"}],"admin_graphql_api_id":"gid://shopify/Customer/%d"}`,
				2*i+twin+1, given, family, 2*i+twin+1, i, word(i*13), i, 2*i+twin+1)
			r := ana(0, "")
			r.Value = []byte(body)
			out = append(out, r)
		}
	}
	return out
}

// word makes letters of a number.
func word(n int) string {
	var b strings.Builder
	for n += 26; n > 0; n /= 26 {
		b.WriteByte(byte('a' + n%26))
	}
	return b.String()
}

func (in *installation) model(t *testing.T) (m console.ModelStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(in.ask(t, "match", "model", "-o", "json")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A service surveys its records by itself when there are enough, and matches them anew; what comes out is what comes of a survey that is asked
// for at the end, and survives a kill in between.
func TestServiceSurveys(t *testing.T) {
	dir := t.TempDir()
	in := spawn(t, configured(t, dir, shopOnly))
	if m := in.model(t); m.Survey != 0 || m.Rematching || !m.Automatic {
		t.Errorf("a new one: %+v", m)
	}
	produce(t, in.Broker, village(0, 300)...)
	eventually(t, patience, "there was a survey", func() bool { return in.model(t).Survey == 1 })
	in.kill()
	in = spawn(t, configured(t, dir, shopOnly))
	eventually(t, patience, "all is matched anew after the kill", func() bool { m := in.model(t); return m.Survey == 1 && !m.Rematching })
	if m := in.model(t); m.Records != 600 || m.Version != "2026.1.1" {
		t.Errorf("the model is %+v", m)
	}
	produce(t, in.Broker, village(300, 100)...)
	eventually(t, patience, "all is taken", func() bool { return in.records(t) == 800 })
	in.ask(t, "match", "survey", "--wait")
	grown := in.ask(t, "customer", "export", "--canonical")
	if m := in.model(t); m.Survey != 2 || m.Records != 800 {
		t.Errorf("the model is %+v", m)
	}

	manual := serve(t, configured(t, t.TempDir(), "match: {survey: manual}\n"+shopOnly))
	produce(t, manual.Broker, village(0, 400)...)
	eventually(t, patience, "all is taken", func() bool { return manual.records(t) == 800 })
	manual.ask(t, "match", "survey", "--wait")
	if diff := cmp.Diff(grown, manual.ask(t, "customer", "export", "--canonical")); diff != "" {
		t.Errorf("how it came to the model makes a difference:\n%s", diff)
	}
	if m := manual.model(t); m.Survey != 1 || m.Automatic {
		t.Errorf("the model is %+v", m)
	}
}

func (in *installation) records(t *testing.T) int64 {
	t.Helper()
	var s console.Status
	_, body := fetch(t, in.API+"/api/v1/status")
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	return s.Counts.Records
}

// slow is a store whose walk over all customers waits to be let go.
type slow struct {
	*memory.Store
	begun, leave chan struct{}
}

func (s *slow) EachCustomer(ctx context.Context, fn func(*customer.Customer, []*customer.Record, []*customer.Interaction) error) error {
	s.begun <- struct{}{}
	<-s.leave
	return s.Store.EachCustomer(ctx, fn)
}

// A survey that began before one was asked for is no answer to that: it has not seen what was there when it was asked for.
func TestSurveyAnswersWhatWasAskedBefore(t *testing.T) {
	store := &slow{Store: memory.New(), begun: make(chan struct{}, 9), leave: make(chan struct{})}
	ids, err := customer.NewIDs([]byte("the installation key of a test"))
	if err != nil {
		t.Fatal(err)
	}
	s := &study{
		store: store, registry: customer.NewRegistry(store.Store, match.New(), merge.New(merge.Policy{}), ids),
		adopt: func(*match.Matcher) {}, manual: true, now: time.Now, log: slog.New(slog.DiscardHandler), asked: make(chan struct{}, 1),
	}
	if err := s.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	early := make(chan error, 1)
	go func() { early <- s.settle(t.Context()) }()
	<-store.begun
	s.Ask()
	close(store.leave)
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	if m := s.Status(); m.Survey != 1 || m.Asked != 1 || m.Answered != 0 {
		t.Errorf("after the early one: %+v", m)
	}
	if err := s.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := s.Status(); m.Survey != 2 || m.Answered != 1 {
		t.Errorf("after one that was asked for: %+v", m)
	}
}
