package plugins_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

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
func hosted(t testing.TB, c plugins.Config) *plugins.Host {
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
		t.Skip("left out of the short form: it builds a program, and the race detector cannot see into another process")
	}
	t.Parallel()
	h := hosted(t, plugins.Config{Command: built(t, "./examples/bankfeed"), Stderr: os.Stderr})
	adaptertest.Run(t, h, os.DirFS("examples/bankfeed/cases"))
}

// python answers a Python that has grpcio. Without one the test is left out, unless ONEFOLD_TEST_REQUIRE names python.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("ONEFOLD_TEST_PYTHON"), "python3", "/usr/bin/python3"} {
		file, err := exec.LookPath(name)
		if err == nil && exec.CommandContext(t.Context(), file, "-c", "import grpc").Run() == nil {
			return file
		}
	}
	const lacks = "the example in Python needs python3 with grpcio: apt-get install python3-grpcio"
	if slices.Contains(strings.Split(os.Getenv("ONEFOLD_TEST_REQUIRE"), ","), "python") {
		t.Fatal(lacks)
	}
	t.Skip("LEFT OUT: " + lacks)
	return ""
}

// packed makes one file of the example in Python, as docs/plugins.md says.
func packed(t *testing.T) string {
	t.Helper()
	interpreter, file := python(t), filepath.Join(t.TempDir(), "loyalty.pyz")
	zip(t, interpreter, "examples/loyalty", file)
	return file
}

func zip(t *testing.T, interpreter, folder, file string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), interpreter, "-m", "zipapp", folder, "-o", file, "-p", interpreter)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The same kit, against a plugin that has nothing of Go in it.
func TestLoyaltyClearsTheBar(t *testing.T) {
	t.Parallel()
	h := hosted(t, plugins.Config{Command: packed(t), Stderr: os.Stderr})
	adaptertest.Run(t, h, os.DirFS("examples/loyalty/cases"))
}

// The target in Python that docs/plugins.md shows, as it stands there, held against the kit of targets.
func TestTargetInPythonClearsTheBar(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	page, err := os.ReadFile("../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```python\n")
	block, _, _ = strings.Cut(block, "```")
	folder, dir := t.TempDir(), t.TempDir()
	texts := map[string][]byte{"__main__.py": []byte(block)}
	for _, name := range []string{"plugin.py", "adapter_v1.py"} {
		if texts[name], err = os.ReadFile(filepath.Join("examples/loyalty", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "cards.pyz")
	zip(t, interpreter, folder, file)
	sum, err := plugins.Checksum(file)
	if err != nil {
		t.Fatal(err)
	}
	target := plugins.NewTarget(plugins.Config{Source: "cards", Command: file, Checksum: sum, Stderr: os.Stderr, Limits: plugins.Limits{Start: time.Minute}}, 10)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- target.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	somebody := func(id, given string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("Somebody.\n-- customer.json --\n{\"id\": \"" + id + "\", \"version\": 1, \"status\": \"active\", " +
			"\"attributes\": [{\"path\": \"givenName\", \"value\": \"" + given + "\"}]}\n")}
	}
	found, err := adaptertest.ExamineTarget(t.Context(), target, fstest.MapFS{
		"ana.txtar": somebody("cus_aaaaaaaaaaaaaaaaaaaaaaaaa8", "Anabel"), "bo.txtar": somebody("cus_aaaaaaaaaaaaaaaaaaaaaaaab8", "Boniface"),
	})
	if err != nil || len(found) > 0 || target.State().Failures > 0 {
		t.Error(found, err, target.State())
	}
	cards := func() []string {
		names, _ := filepath.Glob(filepath.Join(dir, "box", "*")) // the pattern is good
		return names
	}
	if left := cards(); len(left) > 0 {
		t.Error("left:", left)
	}
	if d := pushed(t, target, delivered(t, target, shopper(t, 1, "Ana"))); d[0] != "done" || len(cards()) != 1 {
		t.Error(d, cards())
	}
}
