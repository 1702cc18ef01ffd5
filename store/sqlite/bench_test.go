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
			path := filepath.Join(b.TempDir(), "onefold.db")
			storetest.Bench(b, *held, func(b *testing.B) storetest.Store {
				s, err := sqlite.Open(b.Context(), path)
				if err != nil {
					b.Fatal(err)
				}
				return s
			})
			if info, err := os.Stat(path); err == nil {
				b.Logf("%d bytes in the file", info.Size())
			}
		})
	}
}
