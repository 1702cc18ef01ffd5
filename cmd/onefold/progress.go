package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/pipeline"
)

// Times of the line of progress.
const (
	progressEvery = 250 * time.Millisecond
	progressPlain = 5 * time.Second // between lines where none can be drawn over itself
)

// progress is the line on stderr that says how a demo goes: drawn over itself on a terminal, else a new one now and then.
type progress struct {
	out   io.Writer
	live  bool
	now   func() time.Time
	last  time.Time
	width int // of the line that stands there
}

func (d *demo) newProgress() *progress {
	return &progress{out: d.err, live: d.live, now: d.now, last: d.now()}
}

func (p *progress) show(sent int64, t pipeline.Totals, c customer.Counts, contacts int) {
	line := fmt.Sprintf("events %d  customers %d  matches %d  contacts %d  lag %d  dead letters %d",
		t.Received-t.InFlight(), c.Customers, c.Records-c.Customers, contacts, max(0, sent-t.Received)+t.InFlight(), c.DeadLetters)
	if p.live {
		fmt.Fprint(p.out, "\r"+line+strings.Repeat(" ", max(0, p.width-len(line))))
		p.width = len(line)
		return
	}
	if now := p.now(); now.Sub(p.last) >= progressPlain {
		p.last = now
		fmt.Fprintln(p.out, line)
	}
}

// end leaves the last line standing.
func (p *progress) end() {
	if p.live && p.width > 0 {
		fmt.Fprintln(p.out)
		p.width = 0
	}
}
