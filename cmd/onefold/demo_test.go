package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// The whole in one process, to the end: conservation, the truth, the topic and the CRM against the store are checked by the command itself.
func TestDemoToTheEnd(t *testing.T) {
	out, errs, code := typed(t, "", "demo", "--people", "500", "--events", "2000", "--seed", "7", "--exit", "-o", "json")
	if code != 0 {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	dec := json.NewDecoder(strings.NewReader(out))
	dec.DisallowUnknownFields()
	var s Summary
	if err := dec.Decode(&s); err != nil || dec.More() {
		t.Fatal(out, err)
	}
	if s.Received != s.Applied+s.Duplicate+s.Stale+s.Ignored+s.Dead { // invariant 7
		t.Errorf("%+v", s)
	}
	if s.Received < 2050 || s.Customers == 0 || s.Customers >= s.Records || s.Dead == 0 || s.Duplicate == 0 || s.Interactions == 0 {
		t.Errorf("%+v", s)
	}
	if s.Contacts == 0 || s.Contacts > s.Customers || s.Pushed < s.Contacts || s.Edits != 2000/editEach || s.Echoes < s.Contacts/2 {
		t.Errorf("%+v", s)
	}
	if s.Truth.Precision < 0.85 || s.Truth.Recall < 0.9 {
		t.Errorf("%+v", s.Truth)
	}
	t.Log(out)
}

// Ctrl-C ends a demo cleanly in the middle; it has said what to type next, and takes its data away.
func TestDemoEndsOnInterrupt(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	ctx, interrupt := context.WithCancel(ctx)
	time.AfterFunc(2*time.Second, interrupt)
	out, errs, code := typedIn(ctx, "", "demo", "--people", "100", "--events", "5000")
	if code != 0 || !strings.Contains(out, "onefold customer find") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Error("left behind:", left, err)
	}
}

// Simulated files are the same for the same seed, and name the truth.
func TestSimulateToFiles(t *testing.T) {
	read := func(dir string) map[string]string {
		files := map[string]string{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(dir + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			files[e.Name()] = string(b)
		}
		return files
	}
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		if _, errs, code := typed(t, "", "simulate", "--people", "50", "--events", "200", "--seed", "3", "--out", dir); code != 0 {
			t.Fatal(errs)
		}
	}
	first, second := read(a), read(b)
	for _, name := range []string{"truth.csv", "shop.webhooks.ndjson", "pos.events.ndjson", "bank.statements.ndjson"} {
		if first[name] == "" || first[name] != second[name] {
			t.Errorf("%s: %d and %d bytes", name, len(first[name]), len(second[name]))
		}
	}
}

// A bench counts at its far end what it sent in.
func TestBench(t *testing.T) {
	for _, args := range [][]string{{"map"}, {"plugin"}, {"resolve", "--memory"}, {"resolve"}, {"ingest"}} {
		out, errs, code := typed(t, "", append(append([]string{"bench"}, args...), "--people", "50", "--events", "200", "--runs", "1", "-o", "json")...)
		var m Measurement
		if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 {
			t.Fatalf("%v: %d %s %v", args, code, errs, err)
		}
		if len(m.Runs) != 2 || m.EventsPerSecond <= 0 || m.Runs[0].Sink.Messages != int64(m.Events) {
			t.Errorf("%v: %s", args, out)
		}
	}
}
