package plugins_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/plugins"
)

// built builds a program of this module, as its author would.
func built(t *testing.T, pkg string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(pkg))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", file, pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// hosted runs a plugin until the test is over.
func hosted(t *testing.T, c plugins.Config) *plugins.Host {
	t.Helper()
	if c.Checksum == "" {
		sum, err := plugins.Checksum(c.Command)
		if err != nil {
			t.Fatal(err)
		}
		c.Checksum = sum
	}
	if c.Source == "" {
		c.Source = "test"
	}
	h := plugins.NewHost(c)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

// The kit that every adapter clears, run against the program that was built.
func TestBankfeedClearsTheBar(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program and spoils many messages")
	}
	h := hosted(t, plugins.Config{Command: built(t, "./examples/bankfeed"), Stderr: os.Stderr})
	adaptertest.Run(t, h, os.DirFS("examples/bankfeed/cases"))
}
