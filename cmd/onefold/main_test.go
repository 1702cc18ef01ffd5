package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onefold/onefold/plugins"
)

// asProgram makes this test binary be the program: tests that kill it start it so.
const asProgram = "ONEFOLD_TEST_BE_THE_PROGRAM"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asKiller {
		plugins.Serve(killer{})
		os.Exit(0)
	}
	// The environment of a plugin is empty, so arguments say that it is to be one.
	if os.Getenv(asProgram) != "" || len(os.Args) > 2 && os.Args[1] == "plugin" && os.Args[2] == "serve" {
		os.Exit(process())
	}
	os.Exit(m.Run())
}

// typed runs a command line in this process.
func typed(t *testing.T, in string, args ...string) (out, err string, code int) {
	t.Helper()
	return typedIn(t.Context(), in, args...)
}

func typedIn(ctx context.Context, in string, args ...string) (out, err string, code int) {
	var o, e bytes.Buffer
	p := &program{in: strings.NewReader(in), out: &o, err: &e, lookup: environ, now: time.Now}
	code = p.run(ctx, args)
	return o.String(), e.String(), code
}

func environ(name string) (string, bool) {
	v, ok := map[string]string{"USER": "kim", "TOPIC": "from.env"}[name]
	return v, ok
}

// installation is a service that runs beside a test.
type installation struct {
	API, Admin, Broker, Webhooks string

	end    func() // asks it to end, and waits
	kill   func() // does not ask
	logged *tail
	code   int
}

// configured writes a configuration of free ports into dir; more is added to it.
func configured(t *testing.T, dir, more string) string {
	t.Helper()
	text := "data: ./data\nconsole: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n"
	if !strings.Contains(more, "kafka:") {
		text += "kafka: {listen: '127.0.0.1:0'}\n"
	}
	file := filepath.Join(dir, "onefold.yaml")
	if err := os.WriteFile(file, []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve runs the service of a configuration in this process until the test is over.
func serve(t *testing.T, file string) *installation {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	in := &installation{logged: newTail()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := &program{in: strings.NewReader(""), out: io.Discard, err: in.logged, lookup: environ, now: time.Now}
		in.code = p.run(ctx, []string{"run", "--config", file})
	}()
	in.end = sync.OnceFunc(func() { stop(); <-done })
	t.Cleanup(in.end)
	in.await(t, done)
	return in
}

// spawn runs the service of a configuration in a process of its own.
func spawn(t *testing.T, file string) *installation {
	t.Helper()
	cmd := exec.Command(os.Args[0], "run", "--config", file)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	in := &installation{logged: newTail()}
	cmd.Stderr = in.logged
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its state
		in.code = cmd.ProcessState.ExitCode()
	}()
	in.end = sync.OnceFunc(func() { _ = cmd.Process.Signal(syscall.SIGTERM); <-done })
	in.kill = func() { _ = cmd.Process.Kill(); <-done }
	t.Cleanup(in.end)
	in.await(t, done)
	return in
}

// await waits until the service says where it is.
func (in *installation) await(t *testing.T, done <-chan struct{}) {
	t.Helper()
	for late := time.After(60 * time.Second); ; {
		select {
		case line := <-in.logged.lines:
			var said struct{ Msg, API, Admin, Broker, Webhooks string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "started" {
				in.API, in.Admin, in.Broker, in.Webhooks = said.API, said.Admin, said.Broker, said.Webhooks
				return
			}
		case <-done:
			t.Fatalf("the service ended with %d:\n%s", in.code, in.logged)
		case <-late:
			t.Fatalf("the service did not start:\n%s", in.logged)
		}
	}
}

// ask runs a command against the service.
func (in *installation) ask(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := typed(t, "", append(args, "--server", in.API)...)
	if code != 0 {
		t.Fatalf("%s: %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// tail keeps what is logged and passes the first lines on.
type tail struct {
	mu    sync.Mutex
	all   bytes.Buffer
	rest  []byte
	lines chan string
}

func newTail() *tail { return &tail{lines: make(chan string, 100)} }

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(b)
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		select {
		case l.lines <- string(l.rest[:i]):
		default:
		}
		l.rest = l.rest[i+1:]
	}
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// eventually waits for something to become so.
func eventually(t *testing.T, within time.Duration, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

func lines(text string) (out []string) {
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		out = append(out, s.Text())
	}
	return out
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(fmt.Errorf("a test's own file: %w", err))
	}
	return file
}
