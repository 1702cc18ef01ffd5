package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/simulation"
)

// fullKill is the variable that asks for the long form.
const fullKill = "ONEFOLD_TEST_FULL"

// kill -9 three times in the middle, then to the end: the canonical export is byte-equal to that of an undisturbed run over the same
// messages. On the embedded broker, which is killed with the process, and on a real one where ONEFOLD_TEST_BROKERS names it.
func TestKillNine(t *testing.T) {
	events := 2_000
	if os.Getenv(fullKill) != "" {
		events = 20_000
	}
	t.Run("embedded broker", func(t *testing.T) {
		calm, rough := t.TempDir(), t.TempDir()
		filled := spawn(t, configured(t, calm, ""))
		sources := fill(t, filled.Broker, "", events)
		filled.end()
		if err := os.CopyFS(rough, os.DirFS(calm)); err != nil {
			t.Fatal(err)
		}
		hold(t, undisturbed(t, configured(t, calm, sources), events), disturbed(t, configured(t, rough, sources), events))
	})
	t.Run("real broker", func(t *testing.T) {
		brokers := os.Getenv("ONEFOLD_TEST_BROKERS")
		if brokers == "" {
			t.Skip("no real broker: set ONEFOLD_TEST_BROKERS to the address of an Apache Kafka")
		}
		prefix := fmt.Sprintf("kill-%d.", time.Now().UnixNano())
		sources := fill(t, brokers, prefix, events)
		address := "kafka: {brokers: ['" + strings.ReplaceAll(brokers, ",", "','") + "']}\n"
		calm := address + "topics: {customers: " + prefix + "calm}\n" + sources
		rough := address + "topics: {customers: " + prefix + "rough}\n" + sources
		hold(t, undisturbed(t, configured(t, t.TempDir(), calm), events), disturbed(t, configured(t, t.TempDir(), rough), events))
	})
}

// fill sends a town's messages to a broker, and answers the sources that read them.
func fill(t *testing.T, broker, prefix string, events int) string {
	t.Helper()
	client, err := kafka.NewClient(kafka.Config{Brokers: strings.Split(broker, ",")})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sources := "sources:\n"
	for name, s := range demoConfig("").Sources {
		if err := client.EnsureTopic(t.Context(), prefix+s.Topic, 3, nil); err != nil {
			t.Fatal(err)
		}
		sources += fmt.Sprintf("  %s: {adapter: %s, topic: %s}\n", name, s.Adapter, prefix+s.Topic)
	}
	to := kafka.NewPublisher(client, kafka.PublisherOptions{})
	defer to.Close()
	town := simulation.New(simulation.Config{People: events / 4, Events: events, Seed: 11})
	renamed := func(yield func(simulation.Message) bool) {
		for m := range town.Messages() {
			if m.Topic = prefix + m.Topic; !yield(m) {
				return
			}
		}
	}
	if err := feed(t.Context(), renamed, to, 0, func(int) {}); err != nil {
		t.Fatal(err)
	}
	return sources
}

// undisturbed runs to the end and answers the canonical export.
func undisturbed(t *testing.T, file string, events int) string {
	t.Helper()
	in := spawn(t, file)
	defer in.end()
	return in.export(t, events)
}

// disturbed is killed when a quarter, a half and three quarters of the messages have taken effect.
func disturbed(t *testing.T, file string, events int) string {
	t.Helper()
	middle := 0
	for quarter := 1; quarter <= 3; quarter++ {
		in := spawn(t, file)
		var done, left int64
		eventually(t, 5*time.Minute, "a quarter more", func() bool {
			done, left = in.progress(t)
			return done >= int64(events*quarter/4) || done > 0 && left == 0
		})
		in.kill()
		if left > 0 {
			middle++
		}
		t.Logf("killed with %d messages done and %d waiting", done, left)
	}
	if middle == 0 {
		t.Error("every kill came when all was done: the test shows nothing")
	}
	in := spawn(t, file)
	defer in.end()
	return in.export(t, events)
}

// progress answers how many messages have taken effect, and how many wait.
func (in *installation) progress(t *testing.T) (done, left int64) {
	t.Helper()
	code, body := fetch(t, in.API+"/api/v1/status")
	var s console.Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || code != 200 {
		t.Fatal(code, body, err)
	}
	known := 0
	for _, src := range s.Sources {
		for _, p := range src.Partitions {
			if p.Partition < 0 || p.End < 0 {
				continue
			}
			known++
			done += p.Next
			left += p.End - p.Next
		}
	}
	if known < 9 {
		left++ // not every partition is known yet
	}
	return done, left
}

func (in *installation) export(t *testing.T, events int) string {
	t.Helper()
	eventually(t, 10*time.Minute, "everything has taken effect", func() bool {
		done, left := in.progress(t)
		return left == 0 && done >= int64(events)
	})
	in.ask(t, "match", "survey", "--wait") // where one came meanwhile, and was killed in the middle, must make no difference
	return in.ask(t, "customer", "export", "--canonical")
}

// hold compares two exports, and leaves them behind where they differ.
func hold(t *testing.T, want, got string) {
	t.Helper()
	if want == got && want != "" {
		return
	}
	dir, err := os.MkdirTemp("", "onefold-kill-") //nolint:usetesting // what differs is left behind to be looked at
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "calm.ndjson", want)
	write(t, dir, "rough.ndjson", got)
	differ := 0
	a, b := lines(want), lines(got)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] && differ < 3 {
			differ++
			t.Logf("line %d: %s", i+1, cmp.Diff(a[i], b[i]))
		}
	}
	t.Errorf("the exports differ: %d and %d lines, kept in %s", len(a), len(b), filepath.Clean(dir))
}
