// Command onefold consumes customer events from many systems over Kafka and keeps one customer master record of them.
// This room is thin: flags, wiring and signals. What a command does lives in the room that it belongs to.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // mappings name time zones, and a bare container has no table of them

	"github.com/mattn/go-isatty"
)

// program is what a run of the command has around it. Tests give it buffers; main gives it the process's own.
type program struct {
	in       io.Reader
	out, err io.Writer
	name     string                           // what it was started by, as it can be typed again
	lookup   func(name string) (string, bool) // the environment's variables
	now      func() time.Time
	live     bool // err is a terminal: a line of progress can be drawn over itself
	asks     bool // in is a terminal: somebody can answer

	format string // of the output: table json ndjson csv
	server string // of the API that commands talk to

	token, tokenFile, ca string // what they say who they are by, and whose word on who answers they take
}

func main() {
	os.Exit(process())
}

// growth is how much the heap may grow, in percent of what is in use, before it is collected. Most of what an event needs is let go
// at once and little is kept, so that Go's own 100 spends a fifth of the processor on it. GOGC in the environment outranks it.
const growth = 300

func process() int {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(growth)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	p := &program{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, name: os.Args[0], lookup: os.LookupEnv, now: time.Now,
		live: isatty.IsTerminal(os.Stderr.Fd()), asks: isatty.IsTerminal(os.Stdin.Fd()),
	}
	return p.run(ctx, os.Args[1:])
}
