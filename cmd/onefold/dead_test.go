package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
)

// Dead letters of a running service are grouped, tried, edited, replayed and discarded from the command line, and what was done is told.
func TestDeadLettersAreDealtWith(t *testing.T) {
	dir := t.TempDir()
	in := serve(t, configured(t, dir, "sources:\n  crm: {adapter: shopify, topic: crm.events}\n"))
	produce(t, in.Broker, &kgo.Record{Topic: "crm.events", Value: []byte("no JSON")}, &kgo.Record{Topic: "crm.events", Value: []byte("nor this")})
	var groups []event.LetterGroup
	eventually(t, 60*time.Second, "both are dead", func() bool {
		groups = nil
		err := json.Unmarshal([]byte(in.ask(t, "dead", "list", "--groups", "-o", "json")), &groups)
		return err == nil && len(groups) == 1 && groups[0].Count == 2
	})
	of := groups[0]
	run := func(want int, args ...string) string {
		t.Helper()
		out, errs, code := typed(t, "", append(args, "--server", in.API)...)
		if code != want {
			t.Fatalf("%s: %d, want %d: %s %s", strings.Join(args, " "), code, want, out, errs)
		}
		return out
	}
	if out := run(4, "dead", "replay", "--group", of.ID, "--dry-run"); !strings.Contains(out, "dry run") || !strings.Contains(out, "2 of 2") {
		t.Error(out)
	}
	run(4, "dead", "replay", of.Example)
	var l console.OpenLetter
	if err := json.Unmarshal([]byte(run(0, "dead", "show", of.Example, "-o", "json")), &l); err != nil || l.Attempts != 2 || l.Revealed {
		t.Errorf("%+v, %v", l, err)
	}
	if out := run(0, "dead", "show", of.Example, "--reveal", "--value"); out != "no JSON" && out != "nor this" {
		t.Errorf("the value alone: %q", out)
	}
	file := write(t, dir, "mended.json", "still no JSON")
	if out := run(0, "dead", "edit", of.Example, "--file", file, "--reason", "a try"); !strings.Contains(out, "dead") {
		t.Error(out)
	}
	if out := run(0, "dead", "show", of.Example); !strings.Contains(out, "edited by kim") || strings.Contains(out, "still") {
		t.Error(out)
	}
	run(0, "dead", "edit", of.Example, "--back")
	for _, wrong := range [][]string{
		{"dead", "replay"},
		{"dead", "discard", "--all"},
		{"dead", "discard", "--reason", "x"},
		{"dead", "edit", of.Example, "--file", file},
		{"dead", "show", of.Example, "--value"},
		{"dead", "job", "--cancel"},
		{"dead", "list", "--since", "yesterday"},
	} {
		run(2, wrong...)
	}
	if out := run(0, "dead", "job"); strings.Count(out, "rep_") != 2 || !strings.Contains(out, "done") {
		t.Error(out)
	}
	if out := run(0, "dead", "discard", "--all", "--reason", "tests of ours"); !strings.Contains(out, "2 dead letters") {
		t.Error(out)
	}
	if out := run(0, "dead", "notes"); strings.Count(out, "tests of ours") != 2 || !strings.Contains(out, "kim") {
		t.Error(out)
	}
	if _, body := fetch(t, in.Admin+"/metrics"); !strings.Contains(body, `onefold_dead_letters_replayed_total{outcome="dead",source="crm"} 1`) ||
		!strings.Contains(body, `onefold_dead_letters_handled_total{action="discarded",source="crm"} 2`) {
		t.Error("the metrics do not say what was done")
	}
}
