package memory_test

import (
	"testing"

	"github.com/onefold/onefold/store/memory"
	"github.com/onefold/onefold/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return memory.New() })
}
