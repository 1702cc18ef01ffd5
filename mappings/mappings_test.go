package mappings_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings"
)

var update = flag.Bool("update", false, "write what the mappings make of the shipped cases into the case files")

func systems() []string { return []string{"cardbox", "iso20022", "shopify", "square"} }

func load(t testing.TB, dir string) *mappings.Mapping {
	t.Helper()
	m, found := mappings.Load(mappings.Shipped(), dir)
	if len(found) > 0 {
		t.Fatal(found)
	}
	return m
}

// TestCases runs each case of the systems that come with Onefold, as users run their own.
func TestCases(t *testing.T) {
	for _, dir := range systems() {
		m := load(t, dir)
		if *update {
			rewrite(t, m, dir)
		}
		for _, r := range mappings.RunCases(t.Context(), m, mappings.Shipped(), dir) {
			for _, d := range r.Differences {
				t.Errorf("%s/%s: %s", dir, r.Name, d)
			}
		}
	}
}

// TestShipped holds each system against the laws of every adapter, on one case of each event and outcome.
func TestShipped(t *testing.T) {
	for _, dir := range systems() {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			m := load(t, dir)
			adaptertest.Run(t, m, oneOfEach(t, m, dir))
		})
	}
}

// oneOfEach answers the first case of each event and outcome; with -short one that yields changes and one that is refused,
// since the race detector makes a minute of the rest and learns nothing from it.
func oneOfEach(t *testing.T, m *mappings.Mapping, dir string) fs.FS {
	cases, err := adapters.ReadCases(mappings.Shipped(), dir+"/cases")
	if err != nil {
		t.Fatal(err)
	}
	chosen, seen := fstest.MapFS{}, map[string]bool{}
	for _, c := range cases {
		trial, err := mappings.Try(t.Context(), m, c.Message)
		if err != nil {
			t.Fatal(err)
		}
		kind := trial.Event
		for _, r := range trial.Refusals {
			kind += " " + r.Reason
		}
		if testing.Short() {
			kind = map[bool]string{true: "yields", false: "refused"}[len(trial.Changes) > 0]
		}
		if seen[kind] {
			continue
		}
		seen[kind] = true
		b, err := fs.ReadFile(mappings.Shipped(), dir+"/cases/"+c.Name+".txtar")
		if err != nil {
			t.Fatal(err)
		}
		chosen[c.Name+".txtar"] = &fstest.MapFile{Data: b}
	}
	return chosen
}

// rewrite takes what a mapping makes for what its cases expect: to be read by a person before it is kept.
func rewrite(t *testing.T, m *mappings.Mapping, dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "cases", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := adapters.ReadCase(name, b)
		if err != nil {
			t.Fatal(err)
		}
		changes, err := m.Map(t.Context(), c.Message)
		if e := (*event.Error)(nil); err != nil && !errors.As(err, &e) && adapters.RefusalsOf(err) == nil {
			t.Fatal(name, err)
		}
		c.Changes, c.Refusals = changes, nil
		for _, r := range adapters.RefusalsOf(err) {
			c.Refusals = append(c.Refusals, adapters.Found(r))
		}
		out, err := c.Format()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
