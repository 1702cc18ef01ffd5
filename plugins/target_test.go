package plugins_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
)

// targeted runs a target plugin until the test is over, or until stop.
func targeted(t *testing.T, limits plugins.Limits, args ...string) (target *plugins.Target, stop func()) {
	t.Helper()
	sum, err := plugins.Checksum(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if limits.RestartMin == 0 {
		limits.RestartMin = time.Millisecond
	}
	target = plugins.NewTarget(plugins.Config{Source: "shelf", Command: os.Args[0], Args: append([]string{"be"}, args...), Checksum: sum, Limits: limits}, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- target.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return target, stop
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

func shopper(t *testing.T, n int, given string) *customer.Customer {
	t.Helper()
	ids, err := customer.NewIDs([]byte("the installation key of a test"))
	if err != nil {
		t.Fatal(err)
	}
	c := &customer.Customer{ID: ids.Record("shop", string(rune('a'+n))).Birth(0), Version: int64(n), Status: customer.Active}
	if given != "" {
		c.Attributes = []customer.Attribute{{Path: customer.Path{Name: "givenName"}, Claim: customer.Claim{Value: customer.Text(given)}}}
	}
	return c
}

func delivered(t *testing.T, target *plugins.Target, cs ...*customer.Customer) (out []adapters.Delivery) {
	t.Helper()
	for _, c := range cs {
		r, err := target.Render(c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, adapters.Delivery{ID: c.PublishedID(), Op: adapters.Upsert, Customer: c.ID, Version: c.Version, Body: r.Body})
	}
	return out
}

// pushed answers the class of each delivery's problem, or "done". Nothing that is told holds anything of a customer (invariant 9).
func pushed(t *testing.T, target *plugins.Target, ds []adapters.Delivery) (out []string) {
	t.Helper()
	got, err := target.Push(t.Context(), ds)
	if err != nil || len(got) != len(ds) {
		t.Fatalf("%d receipts of %d, %v", len(got), len(ds), err)
	}
	for _, r := range got {
		if r.Problem == nil {
			out = append(out, "done")
			continue
		}
		if strings.Contains(r.Problem.Error.Error(), "Silva") {
			t.Error(r.Problem)
		}
		out = append(out, string(r.Problem.Class))
	}
	return out
}

// A target in another process does what one within Onefold does: each delivery has its receipt, whatever becomes of others.
func TestTargetPlugin(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target, stop := targeted(t, plugins.Limits{}, "target", folder)
	ana, nobody, refused, bo := shopper(t, 1, "Ana"), shopper(t, 2, ""), shopper(t, 3, "Refused"), shopper(t, 4, "Bo")
	ds := delivered(t, target, ana, nobody, refused, bo)
	got, err := target.Push(t.Context(), ds) // it waits for the process
	if err != nil {
		t.Fatal(err)
	}
	want := []adapters.Receipt{
		{RemoteID: "file-" + ana.ID.String(), RemoteVersion: "1"},
		{},
		{Problem: &adapters.Problem{Error: event.Error{Class: event.Permanent, Reason: "validation", Path: "name", Text: "no such name"}, After: 2 * time.Second}},
		{RemoteID: "file-" + bo.ID.String(), RemoteVersion: "4"},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateErrors()); d != "" {
		t.Error(d)
	}
	text, err := os.ReadFile(filepath.Join(folder, ana.ID.String()))
	if err != nil || string(text) != ana.PublishedID()+" Ana" {
		t.Errorf("%q %v", text, err)
	}
	for range 2 { // it does not merge, so the loser goes; what is removed twice is removed
		if d := cmp.Diff([]string{"done", "done", "permanent"}, pushed(t, target, []adapters.Delivery{
			{ID: "m", Op: adapters.Merge, Customer: ana.ID, RemoteID: "file-" + ana.ID.String(), Into: "file-" + bo.ID.String()},
			{ID: "r", Op: adapters.Remove, Customer: bo.ID, Erased: true},
			{ID: "x", Op: "bless", Customer: nobody.ID},
		})); d != "" {
			t.Error(d)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
	again := *ana // what it is told of a customer does not change where no value does
	again.Version, again.UpdatedAt = 99, time.Now()
	if d := cmp.Diff(string(ds[0].Body), string(delivered(t, target, &again)[0].Body)); d != "" {
		t.Errorf("another version with the same values is told otherwise:\n%s", d)
	}
	for _, status := range []customer.Status{customer.Merged, customer.Gone, customer.Erased} {
		again.Status = status
		if r, err := target.Render(&again); r != nil || err != nil {
			t.Errorf("a customer that is %s is told: %v", status, err)
		}
	}
	stop()
	if _, err := os.Stat(filepath.Join(folder, "closed")); err != nil {
		t.Error("it was ended without Drain:", err)
	}
	if d := cmp.Diff([]string{"retryable"}, pushed(t, target, ds[:1])); d != "" {
		t.Error(d)
	}
}

// A customer with whom the process crashes, hangs, panics or answers nonsense harms itself: with others it is asked alone the next time,
// behind them, and it is never refused for good.
func TestTargetPluginFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		given string
		class string
		dies  bool
	}{
		{"Crash", "retryable", true},
		{"Hang", "retryable", true},
		{"Panic", "retryable", false},
		{"Few", "retryable", false},
		{"Classless", "retryable", false},
		{"Long", "retryable", false},
		{"Refused", "permanent", false},
		{"All refused", "permanent", false},
		{"Locked", "auth", false},
	} {
		t.Run(tc.given, func(t *testing.T) {
			t.Parallel()
			target, _ := targeted(t, plugins.Limits{Call: 3 * time.Second, AnswerBytes: 1 << 20, Start: time.Minute}, "target", t.TempDir())
			ds := delivered(t, target, shopper(t, 1, "Ana"), shopper(t, 2, tc.given), shopper(t, 3, "Bo"))
			first := pushed(t, target, ds)
			if first[1] != tc.class {
				t.Errorf("at first %v", first)
			}
			if tc.given == "Locked" { // nothing is known of whoever was beside it, and no process is at fault
				return
			}
			want := []string{"done", tc.class, "done"}
			if second := pushed(t, target, ds); second[0] != "done" || second[1] != tc.class { // who comes behind it waits where it breaks the process
				t.Errorf("the second time: %v", second)
			}
			if d := cmp.Diff(want, pushed(t, target, ds)); d != "" {
				t.Error("the third time:", d)
			}
			if tc.dies == (target.State().Failures == 0) {
				t.Error(target.State())
			}
			ds[1] = delivered(t, target, shopper(t, 2, "Eva"))[0] // it has changed, and is taken like anybody
			if d := cmp.Diff([]string{"done", "done", "done"}, pushed(t, target, ds)); d != "" {
				t.Error("when it is mended:", d)
			}
		})
	}
}

// What a plugin says of deliveries that it was not given, or in two ways, or not at all, is not believed: everything comes again.
func TestTargetPluginThatLies(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"more", "huge number", "twice", "fewer", "both", "no class", "no reason", "status"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			target, _ := targeted(t, plugins.Limits{Start: time.Minute}, "liar", what)
			ds := delivered(t, target, shopper(t, 1, "Ana"), shopper(t, 2, "Bo"))
			if d := cmp.Diff([]string{"retryable", "retryable"}, pushed(t, target, ds)); d != "" {
				t.Error(d)
			}
			if state := target.State(); !state.Up || state.Failures > 0 {
				t.Error(state)
			}
		})
	}
	target, _ := targeted(t, plugins.Limits{Start: time.Minute}, "liar", "for ever")
	got, err := target.Push(t.Context(), delivered(t, target, shopper(t, 1, "Ana"), shopper(t, 2, "Bo")))
	if err != nil || got[0].Problem == nil || got[0].Problem.After <= 0 || got[1].Problem != nil {
		t.Errorf("%+v %v", got, err)
	}
}

// A call holds at most so many bytes; one customer that is larger comes alone.
func TestTargetPluginInSmallCalls(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target, _ := targeted(t, plugins.Limits{BatchBytes: 200, Start: time.Minute}, "target", folder)
	var cs []*customer.Customer
	for i, name := range []string{"A", strings.Repeat("b", 500), "C", "D", "E"} {
		cs = append(cs, shopper(t, i, name))
	}
	if d := cmp.Diff([]string{"done", "done", "done", "done", "done"}, pushed(t, target, delivered(t, target, cs...))); d != "" {
		t.Error(d)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 5 {
		t.Error(left, err)
	}
}

// Nobody waits for a process that does not come up, nor longer than the caller does.
func TestTargetPluginThatDoesNotComeUp(t *testing.T) {
	t.Parallel()
	source, _ := targeted(t, plugins.Limits{}, "served")
	await(t, "the breaker is open", func() bool { return source.State().Down })
	if why := source.State().Why; !strings.Contains(why, "it is no target") {
		t.Error(why)
	}
	target, _ := targeted(t, plugins.Limits{Start: time.Minute, RestartMin: time.Minute}, "served")
	await(t, "it has failed once", func() bool { return target.State().Failures == 1 })
	ctx, stop := context.WithCancel(t.Context())
	stop()
	got, err := target.Push(ctx, delivered(t, target, shopper(t, 1, "Ana")))
	if err != nil || got[0].Problem == nil || got[0].Problem.Class != event.Retryable {
		t.Errorf("%+v %v", got, err)
	}
}

// What a process writes to its standard error is read and thrown away, however much it is; a link to the file that was pinned is as good as
// the file, until it leads to another.
func TestPluginThatIsLoudAndLinked(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(os.Args[0], link); err != nil {
		t.Skip(err)
	}
	sum, err := plugins.Checksum(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	c := plugins.Config{Command: link, Args: []string{"be", "loud"}, Checksum: sum, Limits: plugins.Limits{Start: time.Minute, Call: time.Minute}}
	h := hosted(t, c)
	if got := key(t, h, 1, "1"); got != "1" {
		t.Error(got)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "not the one that was pinned") {
		t.Error(err)
	}
}

// What is being pushed when Run is told to end is waited for.
func TestTargetPluginEndsInOrder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target, stop := targeted(t, plugins.Limits{Start: time.Minute}, "target", folder)
	pipe := filepath.Join(folder, shopper(t, 1, "").ID.String())
	if err := syscall.Mkfifo(pipe, 0o600); err != nil { // whoever writes into it waits for a reader
		t.Skip(err)
	}
	done := make(chan []adapters.Receipt)
	ds := delivered(t, target, shopper(t, 1, "Ana"))
	go func() {
		got, _ := target.Push(context.WithoutCancel(t.Context()), ds) // it answers none
		done <- got
	}()
	await(t, "it is up", func() bool { return target.State().Up })
	f, err := os.Open(pipe) // returns when the plugin has begun to write
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go stop()
	await(t, "nothing more is taken", func() bool {
		got, err := target.Push(t.Context(), delivered(t, target, shopper(t, 2, "Bo")))
		return err == nil && got[0].Problem != nil && strings.Contains(got[0].Problem.Text, "has been ended")
	})
	if text, err := io.ReadAll(f); err != nil || !strings.HasSuffix(string(text), " Ana") {
		t.Errorf("%q %v", text, err)
	}
	if got := <-done; len(got) != 1 || got[0].Problem != nil {
		t.Errorf("%+v", got)
	}
	stop()
}
