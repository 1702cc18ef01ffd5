package table_test

import (
	"os"
	"testing"

	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/adapters/table"
)

func TestSource(t *testing.T) {
	adaptertest.Run(t, table.Source{}, os.DirFS("testdata/cases"))
}
