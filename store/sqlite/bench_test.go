package sqlite_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/onefold/onefold/store/sqlite"
	"github.com/onefold/onefold/store/storetest"
)

var held = flag.Int("held", 10_000, "records that the store holds when it is measured")

// The same store is measured twice: what the two differ by is the noise that any other difference must exceed.
func BenchmarkStore(b *testing.B) {
	for _, name := range []string{"sqlite", "sqlite again"} {
		b.Run(name, func(b *testing.B) {
			storetest.Bench(b, *held, func(b *testing.B) storetest.Store { return opened(b, filepath.Join(b.TempDir(), "onefold.db")) })
		})
	}
}

// Opening a store that is there, and what it weighs a record: with its keys, its customer and nothing else.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "onefold.db")
	s := opened(b, path)
	storetest.Fill(b, s, *held)
	if err := s.Published(b.Context(), 1<<62); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := opened(b, path).Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(info.Size())/float64(*held), "B/record")
}

func opened(b *testing.B, path string) *sqlite.Store {
	b.Helper()
	s, err := sqlite.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	return s
}
