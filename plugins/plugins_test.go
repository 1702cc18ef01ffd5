package plugins_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
)

// crowd maps many good messages at once with one that is not, and holds every good one against its own answer. It answers the
// error of the other.
func crowd(t *testing.T, h *plugins.Host, bad string) error {
	t.Helper()
	var wait sync.WaitGroup
	var culprit error
	for i := range 40 {
		wait.Go(func() {
			if i == 17 {
				_, culprit = h.Map(t.Context(), message(17, bad))
				return
			}
			want := "good " + strconv.Itoa(i)
			changes, err := h.Map(t.Context(), message(int64(i), want))
			if err != nil || len(changes) != 1 || changes[0].Key != want {
				t.Errorf("%s beside %s: %v, %v", want, bad, changes, err)
			}
		})
	}
	wait.Wait()
	return culprit
}

// A plugin that crashes, hangs, answers too much or nonsense harms only its own message: it is refused for good, by name of the
// plugin, without a word of the message; those beside it are mapped.
func TestHarmStaysWithItsMessage(t *testing.T) {
	t.Parallel()
	for bad, says := range map[string]string{
		"crash":   "exit status 3",
		"hang":    "hangs",
		"stop":    "hangs",
		"huge":    "cannot be used",
		"garbage": "not the JSON of changes",
		"member":  "a member that changes do not have",
		"more":    "more follows",
		"none":    "no result",
		"twice":   "more than one result",
		"class":   "a class that there is not",
		"reason":  "no reason",
		"both":    "yet answers parts",
		"part":    "a class that there is not",
	} {
		t.Run(bad, func(t *testing.T) {
			t.Parallel()
			limits := quick()
			if says == "hangs" { // for as long as it is let
				limits.Strikes = 2
			}
			err := crowd(t, self(t, limits, "raw"), bad+" Ana Silva")
			var e *event.Error
			if !errors.As(err, &e) && bad != "part" {
				t.Fatalf("%v", err)
			}
			if refused := event.Refusals(nil); errors.As(err, &refused) {
				e = refused[0].Err
			}
			if e.Class != event.Permanent || e.Reason != "plugin" || !strings.Contains(e.Text, says) || strings.Contains(e.Text, "Ana") {
				t.Errorf("%+v", e)
			}
		})
	}
}

// What a plugin says by the rules is passed on: classes of errors, strays that name no record, a sentence cut to a limit.
func TestWhatIsSaidByTheRulesIsPassedOn(t *testing.T) {
	h := self(t, quick(), "raw")
	if got := key(t, h, 1, "stray x"); got != "stray x" {
		t.Error(got)
	}
	if _, err := h.Map(t.Context(), message(2, "throttled")); event.ClassOf(err) != event.Throttled {
		t.Error(err)
	}
	_, err := h.Map(t.Context(), message(3, "novel"))
	if e := (*event.Error)(nil); !errors.As(err, &e) || len(e.Text) > 1<<10 || strings.Contains(e.Text, "\n") || e.Class != event.Poison {
		t.Errorf("%.50s", err)
	}
}

// A plugin by Serve: a panic and an error without a class end neither the process nor say what they hold.
func TestServeKeepsMishapsToItself(t *testing.T) {
	h := self(t, quick(), "served")
	pid := key(t, h, 1, "pid")
	_, panicked := h.Map(t.Context(), message(2, "panic"))
	if event.ClassOf(panicked) != event.Permanent || strings.Contains(panicked.Error(), "Ana") {
		t.Error(panicked)
	}
	_, unclassed := h.Map(t.Context(), message(3, "unclassed"))
	if event.ClassOf(unclassed) != event.Retryable || strings.Contains(unclassed.Error(), "Ana") {
		t.Error(unclassed)
	}
	if again := key(t, h, 4, "pid"); again != pid {
		t.Error("the process was started anew")
	}
}

// A refusal names its parties across the wire, too: an erasure finds its dead letter by them.
func TestRefusalsNameTheirParties(t *testing.T) {
	_, err := self(t, quick(), "served").Map(t.Context(), message(1, "refused"))
	var refused event.Refusals
	if !errors.As(err, &refused) || len(refused) != 1 || !slices.Equal(refused[0].Keys, []string{"1"}) {
		t.Errorf("%+v, %v", refused, err)
	}
}

// A process that is there but does not answer is ended and started anew, though nobody asks it anything.
func TestHealthHasADeadline(t *testing.T) {
	t.Parallel()
	limits := quick()
	limits.Health = 100 * time.Millisecond
	h := self(t, limits, "raw")
	pid := key(t, h, 1, "pid")
	stopped, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	if again := key(t, h, 2, "pid"); again == pid {
		t.Error("the same process answers")
	}
}

// gone waits for a process to end.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if syscall.Kill(n, 0) != nil || err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d is there still", n)
}

// A process that takes more memory than it may is ended before it takes it from others.
func TestMemoryHasALimit(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("this system does not tell how much memory a process uses")
	}
	limits := quick()
	limits.Call, limits.Memory, limits.Strikes = 20*time.Second, 200<<20, 1
	_, err := self(t, limits, "raw").Map(t.Context(), message(1, "memory"))
	if err == nil || !strings.Contains(err.Error(), "over its limit of 200") {
		t.Error(err)
	}
}

// What a plugin has started ends with it, and so does a plugin whose host was killed.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Run("children", func(t *testing.T) {
		h := self(t, quick(), "raw")
		child := key(t, h, 1, "child")
		if _, err := h.Map(t.Context(), message(2, "crash")); event.ClassOf(err) != event.Permanent {
			t.Error(err)
		}
		gone(t, child)
	})
	t.Run("orphans", func(t *testing.T) {
		sum, err := plugins.Checksum(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.MkdirTemp("", "") //nolint:usetesting // the name of a socket has at most a hundred bytes
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) }) // who is killed does not tidy up
		host := exec.CommandContext(t.Context(), os.Args[0], "be", "host", sum)
		host.Env = append(os.Environ(), "TMPDIR="+dir)
		out, err := host.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		var pid string
		if _, err := fmt.Fscanln(out, &pid); err != nil {
			t.Fatal(err)
		}
		_ = host.Process.Kill()
		_ = host.Wait() // killed, as was wanted
		gone(t, pid)
	})
}

// The environment of a plugin holds what the handshake needs and nothing of ours.
func TestEnvironmentIsEmpty(t *testing.T) {
	t.Setenv("DATABASE_PASSWORD", "secret")
	for _, variable := range strings.Fields(key(t, self(t, quick(), "raw"), 1, "environment")) {
		name, _, _ := strings.Cut(variable, "=")
		if name != "ONEFOLD_PLUGIN" && !strings.HasPrefix(name, "PLUGIN_") {
			t.Errorf("%s is in the environment", name)
		}
	}
}

// Batches hold at most 500 records and 1 MiB; what is larger comes alone, and comes through.
func TestBatchesAreBounded(t *testing.T) {
	limits := quick()
	limits.Call = 20 * time.Second
	h := self(t, limits, "raw")
	load := strings.Repeat("x", 5_000)
	var wait sync.WaitGroup
	for i := range 3_000 {
		wait.Go(func() {
			want := strconv.Itoa(i) + " "
			if i%2 == 0 {
				want += load
			}
			if i == 77 {
				want += strings.Repeat("y", 5<<20)
			}
			if changes, err := h.Map(t.Context(), message(int64(i), want)); err != nil || len(changes) != 1 || changes[0].Key != want {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wait.Wait()
	var records, bytes int
	if _, err := fmt.Sscan(key(t, h, 3_000, "largest"), &records, &bytes); err != nil {
		t.Fatal(err)
	}
	t.Logf("the largest batches had %d records and %d bytes", records, bytes)
	if records < 2 || records > plugins.DefaultBatch || bytes > plugins.DefaultBatchBytes {
		t.Errorf("%d records, %d bytes", records, bytes)
	}
}

// A plugin that does not start as one does is told from its fault, and nobody waits for it for ever; what it prints is not in the error.
func TestStartsThatFail(t *testing.T) {
	t.Parallel()
	for what, says := range map[string]string{
		"silent": "not up in time", "chatty": "handshake", "future": "handshake", "featureless": "no source", "picky": "the setting city is missing",
		"unheard-of": "exit status 0",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			limits := quick()
			limits.Breaker, limits.RestartMin, limits.RestartMax = 2, 10*time.Millisecond, time.Minute
			if what == "silent" {
				limits.Start = 500 * time.Millisecond
			}
			h := self(t, limits, what)
			var err error
			for range 400 {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				_, err = h.Map(ctx, message(1, "x"))
				cancel()
				if err != nil && strings.Contains(err.Error(), "is down") {
					break
				}
			}
			if event.ClassOf(err) != event.Retryable || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "chatter chatter") {
				t.Error(err)
			}
		})
	}
}

// Once the breaker is open nobody waits; when the plugin is well again, it closes.
func TestBreakerOpensAndCloses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "now")
	limits := quick()
	limits.RestartMax = 200 * time.Millisecond
	h := self(t, limits, "late", file)
	open := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := h.Map(ctx, message(1, "x"))
		return err != nil && ctx.Err() == nil && event.ClassOf(err) == event.Retryable
	}
	until(t, "the breaker is open", open)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the plugin answers", func() bool {
		_, err := h.Map(t.Context(), message(1, "x"))
		return err == nil
	})
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 1_000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("not in time: " + what)
}

// Only the file that was pinned is run.
func TestChecksumIsPinned(t *testing.T) {
	sum, err := plugins.Checksum(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := plugins.Config{Source: "test", Command: file, Checksum: sum}
	var e *event.Error
	if err := c.Check(); !errors.As(err, &e) || e.Path != "checksum" || event.ClassOf(err) != event.Permanent {
		t.Error(err)
	}
	c.Limits = quick()
	c.Limits.Breaker = 1
	h := hosted(t, c)
	until(t, "it is not run", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := h.Map(ctx, message(1, "x"))
		return err != nil && strings.Contains(err.Error(), "not the one that was pinned")
	})
	c.Checksum, err = plugins.Checksum(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); !errors.As(err, &e) || e.Path != "command" {
		t.Error(err)
	}
}

// A change of the file, the arguments or the settings is a new revision.
func TestRevisionFollowsWhatIsRun(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []plugins.Config{
		{Command: "a"},
		{Command: "a", Checksum: "sha256:1"},
		{Command: "a", Args: []string{"x", "y"}},
		{Command: "a", Args: []string{"x y"}},
		{Command: "a", Settings: map[string]string{"x": "y"}},
	} {
		seen[plugins.NewHost(c).Describe().Version] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d revisions of 5", len(seen))
	}
	if name := plugins.NewHost(plugins.Config{Command: "/opt/acme/bankfeed.pyz"}).Describe().Name; name != "bankfeed" {
		t.Error(name)
	}
}

// What is in flight when the host ends is answered; what comes later is held, not lost.
func TestEndAnswersWhatIsInFlight(t *testing.T) {
	sum, err := plugins.Checksum(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	h := plugins.NewHost(plugins.Config{Command: os.Args[0], Args: []string{"be", "raw"}, Checksum: sum})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	key(t, h, 1, "up")
	answered := make(chan error, 1)
	go func() {
		_, err := h.Map(t.Context(), message(2, "slow"))
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond)
	stop()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := h.Map(t.Context(), message(3, "x")); event.ClassOf(err) != event.Retryable {
		t.Error(err)
	}
}

// Killed at random under load, a plugin loses nothing: whoever tries again as the pipeline does gets the right answer.
func TestKillsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	limits := quick()
	limits.Strikes = 100 // here it is not the messages that break the process
	h := self(t, limits, "raw")
	ctx, stop := context.WithCancel(t.Context())
	kills := 0
	killing := make(chan struct{})
	go func() {
		defer close(killing)
		for ctx.Err() == nil {
			changes, err := h.Map(ctx, message(1_000_000, "pid"))
			if pid := 0; err == nil {
				if _, err := fmt.Sscan(changes[0].Key, &pid); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
					kills++
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	var wait sync.WaitGroup
	for w := range 50 {
		wait.Go(func() {
			for i := range 100 {
				want := fmt.Sprintf("m %d", w*100+i)
				for {
					changes, err := h.Map(t.Context(), message(int64(w*100+i), want))
					if err == nil && len(changes) == 1 && changes[0].Key == want {
						break
					}
					if event.ClassOf(err) != event.Retryable || err == nil {
						t.Errorf("%s: %v, %v", want, changes, err)
						return
					}
				}
			}
		})
	}
	wait.Wait()
	stop()
	<-killing
	if kills == 0 {
		t.Error("nothing was killed")
	}
	t.Logf("%d kills", kills)
}

// Verify hears what a plugin is and says at what it fails.
func TestVerify(t *testing.T) {
	sum, err := plugins.Checksum(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	about, err := plugins.Verify(t.Context(), plugins.Config{Command: os.Args[0], Args: []string{"be", "raw"}, Checksum: sum})
	want := &plugins.About{Name: "odd", Version: "0", Features: []string{"map"}, Protocol: 1, Checksum: sum}
	if d := cmp.Diff(want, about); err != nil || d != "" {
		t.Error(err, d)
	}
	if _, err := plugins.Verify(t.Context(), plugins.Config{Command: os.Args[0], Args: []string{"be", "picky"}, Checksum: sum}); err == nil ||
		!strings.Contains(err.Error(), "the setting city is missing") {
		t.Error(err)
	}
}

// The page of plugins has the limits that the code has.
func TestDocumentedLimits(t *testing.T) {
	page, err := os.ReadFile("../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| records a call | %d |", plugins.DefaultBatch),
		fmt.Sprintf("a call | %d MiB; a larger", plugins.DefaultBatchBytes>>20),
		fmt.Sprintf("| bytes of an answer | %d MiB |", plugins.DefaultAnswerBytes>>20),
		fmt.Sprintf("for others | %d ms |", plugins.DefaultLinger.Milliseconds()),
		fmt.Sprintf("| calls at a time | %d |", plugins.DefaultWindow),
		fmt.Sprintf("| a call | %s |", spaced(plugins.DefaultCall)),
		fmt.Sprintf("| an answer to Health, asked every %s | %s |", spaced(plugins.DefaultHealthEvery), spaced(plugins.DefaultHealth)),
		fmt.Sprintf("| from the start to the first answers | %s |", spaced(plugins.DefaultStart)),
		fmt.Sprintf("| memory | %d MiB,", plugins.DefaultMemory>>20),
		fmt.Sprintf("started again after %.1f s, then after twice as long each time, at most %s", plugins.DefaultRestartMin.Seconds(), spaced(plugins.DefaultRestartMax)),
	} {
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/plugins.md does not say %q", row)
		}
	}
	if plugins.DefaultStrikes != 3 || plugins.DefaultBreaker != 5 {
		t.Error("docs/plugins.md says three times alone and five failures")
	}
}

func spaced(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
