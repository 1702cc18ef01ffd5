package simulation_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/simulation"
)

func messages(c simulation.Config) []simulation.Message {
	return slices.Collect(simulation.New(c).Messages())
}

func TestTheSameSeedMakesTheSameTown(t *testing.T) {
	c := simulation.Config{People: 200, Events: 1500, Seed: 7}
	one, other := simulation.New(c), simulation.New(c)
	if diff := cmp.Diff(slices.Collect(one.Messages()), slices.Collect(other.Messages())); diff != "" {
		t.Errorf("two towns of one seed differ:\n%s", diff)
	}
	if diff := cmp.Diff(one.Truth(), other.Truth()); diff != "" {
		t.Errorf("the truth about them differs:\n%s", diff)
	}
	c.Seed = 8
	if slices.EqualFunc(messages(c), slices.Collect(one.Messages()), func(a, b simulation.Message) bool { return bytes.Equal(a.Value, b.Value) }) {
		t.Error("another seed makes the same town")
	}
}

func TestExactlySoManyMessages(t *testing.T) {
	for _, c := range []simulation.Config{
		{People: 1, Events: 1}, {People: 100, Events: 7}, {People: 3, Events: 2000, Seed: 3}, {People: 500, Events: 4000, Clean: true},
	} {
		if got := len(messages(c)); got != c.Events {
			t.Errorf("%+v: %d messages", c, got)
		}
	}
}

func TestCleanMessagesAreWellFormed(t *testing.T) {
	topics := map[string]int{}
	for _, m := range messages(simulation.Config{People: 400, Events: 5000, Seed: 5, Clean: true}) {
		topics[m.Topic]++
		if m.Value == nil || len(m.Key) == 0 {
			t.Fatalf("a clean message on %s has no key or no value", m.Topic)
		}
		if m.Source != simulation.Bank {
			if !json.Valid(m.Value) {
				t.Fatalf("not JSON: %s", m.Value)
			}
			continue
		}
		d := xml.NewDecoder(bytes.NewReader(m.Value))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("not XML: %v: %s", err, m.Value)
			}
		}
	}
	for _, topic := range simulation.Topics() {
		if topics[topic] < 300 {
			t.Errorf("%d messages on %s", topics[topic], topic)
		}
	}
}

// What the town says about itself holds: errors at about their rates, ids above 2^53, people whom several systems know.
func TestRates(t *testing.T) {
	all := messages(simulation.Config{People: 2000, Events: 20_000, Seed: 9})
	seen := map[string]int{}
	var nulls, twice, bad, kinds, merges int
	for _, m := range all {
		switch {
		case m.Value == nil:
			nulls++
		case m.Source != simulation.Bank && !json.Valid(m.Value):
			bad++
		}
		if m.Value != nil {
			if seen[string(m.Value)]++; seen[string(m.Value)] > 1 {
				twice++
			}
		}
		if bytes.Contains(m.Value, []byte(`"event_context"`)) || bytes.Contains(m.Value, []byte("customer_kept_id")) {
			merges++
		}
		for _, h := range m.Headers {
			if h.Key == "X-Shopify-API-Version" && string(h.Value) == "2024-10" {
				kinds++
			}
		}
	}
	for name, c := range map[string]struct{ got, low, high int }{
		"nulls": {nulls, 5, 60}, "duplicates": {twice, 250, 800}, "unreadable": {bad, 20, 120}, "old API version": {kinds, 50, 5000}, "merges": {merges, 5, 500},
	} {
		if c.got < c.low || c.got > c.high {
			t.Errorf("%s: %d, want %d to %d", name, c.got, c.low, c.high)
		}
	}
}

func TestTruth(t *testing.T) {
	town := simulation.New(simulation.Config{People: 600, Events: 6000, Seed: 4, Clean: true})
	var told strings.Builder
	for m := range town.Messages() {
		told.Write(m.Value)
	}
	people, parties := map[string]map[string]bool{}, map[string]bool{}
	for _, tr := range town.Truth() {
		if parties[tr.Source+"/"+tr.Key] {
			t.Errorf("%s/%s is there twice", tr.Source, tr.Key)
		}
		parties[tr.Source+"/"+tr.Key] = true
		if people[tr.Person] == nil {
			people[tr.Person] = map[string]bool{}
		}
		people[tr.Person][tr.Source] = true
		number := tr.Key[strings.LastIndexByte(tr.Key, ':')+1:]
		if !strings.Contains(told.String(), number) {
			t.Errorf("no message tells of %s/%s", tr.Source, tr.Key)
		}
		if tr.Source == simulation.Shop && (len(number) < 16 || number < "9007199254740993" && len(number) == 16) {
			t.Errorf("shop customer %s is not above 2^53", number)
		}
	}
	known := 0
	for _, by := range people {
		if len(by) > 1 {
			known++
		}
	}
	if len(people) < 500 || known < len(people)/3 {
		t.Errorf("%d people, %d of them known to several systems", len(people), known)
	}
}

func BenchmarkMessages(b *testing.B) {
	n := 0
	for b.Loop() {
		n += len(messages(simulation.Config{People: 1000, Events: 10_000, Seed: 1}))
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}
