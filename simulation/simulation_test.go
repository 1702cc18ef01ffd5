package simulation_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/simulation"
)

func messages(c simulation.Config) []simulation.Message {
	return slices.Collect(simulation.New(c).Messages())
}

func poison(m *simulation.Message) bool { return strings.HasPrefix(m.Fault, "poison-") }

// lines answers messages as they stand in a file.
func lines(c *simulation.Town) (out []string) {
	for m := range c.Messages() {
		out = append(out, string(m.AppendJSON(nil)))
	}
	return out
}

func TestTheSameSeedMakesTheSameTown(t *testing.T) {
	c := simulation.Config{People: 200, Events: 1500, Seed: 7}
	one, other := simulation.New(c), simulation.New(c)
	told := lines(one)
	if !slices.Equal(told, lines(other)) {
		t.Error("two towns of one seed differ")
	}
	if !slices.Equal(told, lines(one)) {
		t.Error("a town tells otherwise the second time")
	}
	if diff := cmp.Diff(one.Truth(), other.Truth()); diff != "" {
		t.Errorf("the truth about them differs:\n%s", diff)
	}
	c.Seed = 8
	if another := lines(simulation.New(c)); slices.Equal(told[:100], another[:100]) {
		t.Error("another seed makes the same town")
	}
}

// The bytes of one town, so that another machine, another compiler or a change of mind shows. Whoever changes the town on purpose puts
// the new sum here.
func TestTheSameBytesEverywhere(t *testing.T) {
	const want = "6d6f630fe92991b876b1f970d7b90237170950352ef857eb62d97a32c051d9b8"
	h := sha256.New()
	var line []byte
	for _, m := range messages(simulation.Config{People: 500, Events: 4000, Seed: 1}) {
		line = append(m.AppendJSON(line[:0]), '\n')
		h.Write(line)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("the town of seed 1 has sum %s, want %s", got, want)
	}
}

// A town may be asked by several at once.
func TestAtOnce(t *testing.T) {
	town := simulation.New(simulation.Config{People: 100, Events: 300, Seed: 7})
	told := make(chan []string)
	for range 3 {
		go func() { told <- lines(town) }()
	}
	truth, first := town.Truth(), <-told
	for range 2 {
		if !slices.Equal(first, <-told) {
			t.Error("a town asked by several tells them different stories")
		}
	}
	if len(truth) == 0 {
		t.Error("no truth")
	}
}

func TestExactlySoManyMessages(t *testing.T) {
	for _, c := range []simulation.Config{
		{People: 1, Events: 1},
		{People: 100, Events: 7},
		{People: 3, Events: 2000, Seed: 3},
		{People: 500, Events: 4000, Clean: true},
		{People: 50, Events: 500, Poison: 1, Duplicates: 1, Tombstones: 1, Late: 1},
	} {
		if got := len(messages(c)); got != c.Events {
			t.Errorf("%+v: %d messages", c, got)
		}
	}
	for range simulation.New(simulation.Config{People: 10, Events: 100}).Messages() {
		break // who has heard enough may go
	}
}

func TestCheck(t *testing.T) {
	good := simulation.Config{People: 1, Events: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*simulation.Config){
		"no people":       func(c *simulation.Config) { c.People = 0 },
		"too many people": func(c *simulation.Config) { c.People = simulation.MaxPeople + 1 },
		"no events":       func(c *simulation.Config) { c.Events = 0 },
		"too many events": func(c *simulation.Config) { c.Events = simulation.MaxEvents + 1 },
		"too long":        func(c *simulation.Config) { c.Span = 1 << 62 },
		"too often":       func(c *simulation.Config) { c.Late = 1.5 },
		"smaller than 0":  func(c *simulation.Config) { c.Huge = -1 },
	} {
		c := good
		change(&c)
		if c.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: New takes it", name)
				}
			}()
			simulation.New(c)
		}()
	}
}

// Faults come at about their rates, and all of them come.
func TestFaults(t *testing.T) {
	const events = 16_000
	all := messages(simulation.Config{People: 2000, Events: events, Seed: 9})
	count := map[string]int{}
	bad := 0
	for i := range all {
		count[all[i].Fault]++
		if poison(&all[i]) {
			bad++
		}
	}
	for _, f := range simulation.Faults() {
		if count[f] == 0 {
			t.Errorf("no %s", f)
		}
		delete(count, f)
	}
	if clean := count[""]; len(count) != 1 || clean < events*9/10 {
		t.Errorf("%d messages without fault, and faults of no name: %v", clean, count)
	}
	count = map[string]int{}
	for i := range all {
		count[all[i].Fault]++
	}
	count["poison"] = bad
	for f, rate := range map[string]float64{"duplicate": 0.02, "reordered": 0.03, "poison": 0.004} {
		if got := float64(count[f]) / events; got < rate*0.7 || got > rate*1.3 {
			t.Errorf("%s: %.5f of the messages, want about %g", f, got, rate)
		}
	}
	for _, m := range messages(simulation.Config{People: 600, Events: 6000, Seed: 9, Clean: true}) {
		if m.Fault != "" || m.Value == nil {
			t.Fatalf("a clean town has a message that is %q", m.Fault)
		}
	}
}

// What is told again was told before or is told soon, byte for byte; a storm under another delivery id; a null has no value.
func TestRepetition(t *testing.T) {
	all := messages(simulation.Config{People: 800, Events: 12_000, Seed: 2, Reordered: -1, Late: -1})
	first := map[string]int{}
	for i, m := range all {
		if m.Fault == "" {
			first[m.Topic+string(m.Value)] = i
		}
	}
	for i, m := range all {
		switch m.Fault {
		case "duplicate", "storm":
			j, ok := first[m.Topic+string(m.Value)]
			if !ok || j > i || i-j > 150 {
				t.Fatalf("message %d repeats message %d (%v)", i, j, ok)
			}
			same := cmp.Equal(all[j].Headers, m.Headers)
			if same != (m.Fault == "duplicate") || !bytes.Equal(all[j].Key, m.Key) {
				t.Errorf("a %s has the same headers: %v", m.Fault, same)
			}
		case "tombstone":
			if m.Value != nil || len(m.Key) == 0 {
				t.Errorf("a null with value %q and key %q", m.Value, m.Key)
			}
		}
	}
	for i := 1; i < len(all); i++ {
		if !all[i].Time.After(all[i-1].Time) {
			t.Fatalf("message %d came at %s, the one before at %s", i, all[i].Time, all[i-1].Time)
		}
	}
}

func TestStartAndSpan(t *testing.T) {
	c := simulation.Config{People: 100, Events: 1000, Start: time.Date(2020, 2, 29, 23, 0, 0, 0, time.UTC), Span: 10 * time.Hour, Clean: true}
	all := messages(c)
	if first, last := all[0].Time, all[len(all)-1].Time; first.Before(c.Start) || last.After(c.Start.Add(c.Span+time.Minute)) ||
		last.Before(c.Start.Add(c.Span-time.Hour)) {
		t.Errorf("the story lasts from %s to %s", first, last)
	}
}

// Each party of the truth was told of, none twice, and most people are known to several systems.
func TestTruth(t *testing.T) {
	town := simulation.New(simulation.Config{People: 2000, Events: 9000, Seed: 4})
	told := map[string]bool{}
	for m := range town.Messages() {
		if !poison(&m) && m.Value != nil {
			told[m.Source+"/"+string(m.Key)] = true
		}
	}
	people, parties := map[string]map[string]bool{}, map[string]bool{}
	twice := 0
	for _, tr := range town.Truth() {
		if parties[tr.Source+"/"+tr.Key] {
			t.Errorf("%s/%s is there twice", tr.Source, tr.Key)
		}
		parties[tr.Source+"/"+tr.Key] = true
		key := tr.Key
		if tr.Source == simulation.Bank {
			_, key, _ = strings.Cut(tr.Key, ":")
		}
		if !told[tr.Source+"/"+key] {
			t.Errorf("no message has the key of %s/%s", tr.Source, tr.Key)
		}
		if people[tr.Person] == nil {
			people[tr.Person] = map[string]bool{}
		}
		if people[tr.Person][tr.Source] {
			twice++
		}
		people[tr.Person][tr.Source] = true
	}
	several := 0
	for _, by := range people {
		if len(by) > 1 {
			several++
		}
	}
	if len(people) < 1400 || several < len(people)/3 || twice < len(parties)/40 {
		t.Errorf("%d people, %d known to several systems, %d known twice to one", len(people), several, twice)
	}
}

// The truth leaves out who was told of by nothing but poison, and who was taken away.
func TestTruthOfAShortStory(t *testing.T) {
	town := simulation.New(simulation.Config{People: 5000, Events: 40, Seed: 6})
	n := 0
	for range town.Messages() {
		n++
	}
	if got := len(town.Truth()); got == 0 || got > n {
		t.Errorf("%d parties in the truth of %d messages", got, n)
	}
	long := simulation.New(simulation.Config{People: 200, Events: 8000, Seed: 6})
	known := map[string]bool{}
	for _, tr := range long.Truth() {
		known[tr.Source+"/"+tr.Key] = true
	}
	ended := 0
	for m := range long.Messages() {
		topic := header(&m, "X-Shopify-Topic")
		if !poison(&m) && (topic == "customers/delete" || topic == "customers/redact") {
			if ended++; known[m.Source+"/"+string(m.Key)] {
				t.Errorf("%s of %s, whom the truth knows", topic, m.Key)
			}
		}
	}
	if ended == 0 {
		t.Error("nobody was deleted or redacted")
	}
}

func TestWriteTruth(t *testing.T) {
	town := simulation.New(simulation.Config{People: 100, Events: 400, Seed: 4})
	var b bytes.Buffer
	if err := town.WriteTruth(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"source", "key", "person"}}
	for _, tr := range town.Truth() {
		want = append(want, []string{tr.Source, tr.Key, tr.Person})
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Error(d)
	}
}

func TestAppendJSON(t *testing.T) {
	at := time.Date(2025, 6, 2, 8, 0, 0, 7_000_000, time.UTC)
	for name, c := range map[string]struct {
		message simulation.Message
		want    string
	}{
		"text": {
			simulation.Message{Topic: "t", Key: []byte("1"), Value: []byte("{\"a\":\n1}"), Time: at, Headers: []simulation.Header{{Key: "H", Value: []byte(`"`)}}},
			`{"topic":"t","key":"1","headers":{"H":"\""},"time":"2025-06-02T08:00:00.007Z","value":"{\"a\":\u000a1}"}`,
		},
		"null":  {simulation.Message{Topic: "t", Time: at}, `{"topic":"t","key":null,"headers":{},"time":"2025-06-02T08:00:00.007Z","value":null}`},
		"empty": {simulation.Message{Topic: "t", Key: []byte{}, Value: []byte{}, Time: at}, `{"topic":"t","key":"","headers":{},"time":"2025-06-02T08:00:00.007Z","value":""}`},
		"bytes": {simulation.Message{Topic: "t", Value: []byte{0xff}, Time: at}, `{"topic":"t","key":null,"headers":{},"time":"2025-06-02T08:00:00.007Z","value_b64":"/w=="}`},
	} {
		if d := cmp.Diff(c.want, string(c.message.AppendJSON(nil))); d != "" || !json.Valid([]byte(c.want)) {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func header(m *simulation.Message, name string) string {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func BenchmarkMessages(b *testing.B) {
	for _, people := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(people), func(b *testing.B) {
			town := simulation.New(simulation.Config{People: people, Events: 1_000_000, Seed: 1})
			n, size := 0, 0
			for b.Loop() {
				for m := range town.Messages() {
					size += len(m.Value)
					if n++; n%10_000 == 0 {
						break
					}
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(size)/float64(n), "B/message")
		})
	}
}

func BenchmarkTruth(b *testing.B) {
	town := simulation.New(simulation.Config{People: 20_000, Events: 100_000, Seed: 1})
	for b.Loop() {
		town.Truth()
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "events/s")
}
