package sqlite_test

import (
	"database/sql"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
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

// What a look at the figures of a store costs, with all its customers still waiting to be published.
func BenchmarkCounts(b *testing.B) {
	storetest.BenchCounts(b, *held, func(b *testing.B) storetest.Store { return opened(b, filepath.Join(b.TempDir(), "onefold.db")) })
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

// What an erasure costs after it is committed: the first sweep of a store that was never swept, the sweep after one more erasure, and
// what VACUUM costs in their place. A go is what a commit may have to wait for.
func BenchmarkSweep(b *testing.B) {
	path := filepath.Join(b.TempDir(), "onefold.db")
	s := opened(b, path)
	b.Cleanup(func() { _ = s.Close() })
	storetest.Fill(b, s, *held)
	for i, name := range []string{"first", "again"} {
		b.Run(name, func(b *testing.B) {
			for range b.N { // the first sweep is the first but once
				d := erased(crowd([]int{i}, 1, func(int) int { return 1 }), 2)
				if err := s.Update(b.Context(), func(tx customer.Tx) error { return tx.Apply(b.Context(), &d) }); err != nil {
					b.Fatal(err)
				}
				var longest time.Duration
				goes, log := 0, int64(0)
				for more := true; more; goes++ {
					began := time.Now()
					var err error
					if more, err = s.Maintain(b.Context()); err != nil {
						b.Fatal(err)
					}
					if more { // the last one empties the log
						longest = max(longest, time.Since(began))
					}
					log = max(log, sized(b, path+"-wal"))
				}
				b.ReportMetric(float64(goes), "goes")
				b.ReportMetric(float64(longest.Microseconds())/1e3, "ms/longest-go")
				b.ReportMetric(float64(log>>20), "MiB-log")
				b.ReportMetric(float64(sized(b, path)>>20), "MiB-file")
			}
		})
	}
	b.Run("vacuum", func(b *testing.B) {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(WAL)&_pragma=temp_store(MEMORY)&_pragma=secure_delete(ON)")
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		for range b.N {
			if _, err := db.ExecContext(b.Context(), "VACUUM"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(sized(b, path+"-wal")>>20), "MiB-log")
		b.ReportMetric(float64(sized(b, path)>>20), "MiB-file")
	})
}

func sized(b *testing.B, path string) int64 {
	b.Helper()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
