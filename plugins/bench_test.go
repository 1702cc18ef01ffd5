package plugins_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/onefold/onefold/plugins"
)

// BenchmarkBankfeed maps lines of the bank feed by the built example, from as many callers as the pipeline would have: what is timed
// is a whole event, there and back.
func BenchmarkBankfeed(b *testing.B) {
	file := filepath.Join(b.TempDir(), "bankfeed")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", file, "./examples/bankfeed").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	h := hosted(b, plugins.Config{Command: file})
	var n atomic.Int64
	b.SetParallelism(h.Concurrent() / 2)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			m := message(i, fmt.Sprintf("C|%d|1|20260301143000|Lima|Ana|19800229||ana%d@example.com|+4915112345678|Hauptstr. 1|10115|Berlin|DE\nZ|1\n", i, i))
			if changes, err := h.Map(b.Context(), m); err != nil || len(changes) != 1 {
				b.Errorf("%v", err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
