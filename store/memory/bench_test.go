package memory_test

import (
	"flag"
	"testing"

	"github.com/onefold/onefold/store/memory"
	"github.com/onefold/onefold/store/storetest"
)

var held = flag.Int("held", 10_000, "records that the store holds when it is measured")

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, *held, func(*testing.B) storetest.Store { return memory.New() })
}
