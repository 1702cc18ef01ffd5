package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/store/sqlite"
)

// A store that an earlier release has written is brought up to date, says the same of every customer, and takes in what comes next.
func TestStoresOfReleases(t *testing.T) {
	files, err := filepath.Glob("testdata/release/*.db.gz")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, old := range files {
		t.Run(filepath.Base(old), func(t *testing.T) {
			dir := t.TempDir()
			config := configured(t, dir, shopOnly)
			store := filepath.Join(dir, "data", "onefold.db")
			if err := os.MkdirAll(filepath.Dir(store), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(store, unzipped(t, old), 0o600); err != nil {
				t.Fatal(err)
			}
			want := string(unzipped(t, strings.TrimSuffix(old, ".db.gz")+".ndjson.gz"))
			before := audited(t, store)

			in := serve(t, config)
			hold(t, want, in.ask(t, "customer", "export", "--canonical"))
			produce(t, in.Broker, ana(1, "ana@example.com"))
			eventually(t, 20*time.Second, "a message that comes later has its effect", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
			in.end()

			after := audited(t, store)
			newest, err := sqlite.Schema()
			if err != nil || after.Schema != newest || after.Counts.Records != before.Counts.Records+1 || after.Counts.DeadLetters != before.Counts.DeadLetters {
				t.Errorf("before %+v, after %+v, %v", before, after, err)
			}
		})
	}
}

// audited reads a whole store, in which everything holds.
func audited(t *testing.T, store string) *sqlite.Report {
	t.Helper()
	r, err := sqlite.Audit(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) > 0 {
		raw, _ := json.Marshal(r)
		t.Errorf("%s", raw)
	}
	return r
}

func unzipped(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
