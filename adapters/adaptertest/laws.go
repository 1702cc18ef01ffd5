package adaptertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

type law struct {
	name  string
	check func(ctx context.Context, p *prober, c adapters.Case)
}

// laws answers every law, the golden case first.
func laws() []law {
	return []law{
		{"golden", golden},
		{"seals", seals},
		{"pure", pure},
		{"concurrent", concurrent},
		{"exact ids", exactIDs},
		{"null, missing, wrong", spoilt},
		{"unknown members", unknown},
		{"truncated", truncated},
		{"invalid UTF-8", invalidUTF8},
		{"5 MiB", large},
		{"no value", noValue},
		{"no headers", noHeaders},
		{"cancelled", cancelled},
	}
}

// golden: the adapter makes of the message just what the case expects.
func golden(ctx context.Context, p *prober, c adapters.Case) {
	r := p.probe(ctx, "as it is", c.Message)
	for _, line := range c.Check(r.changes, r.err) {
		p.tell("%s", line)
	}
}

// seals: what the adapter makes is fit for the registry.
func seals(ctx context.Context, p *prober, c adapters.Case) {
	r := p.probe(ctx, "as it is", c.Message)
	_, refused := customer.Seal(r.changes, c.Message, 1)
	for _, refusal := range refused {
		p.tell("the registry refuses a change that the adapter makes: %v", refusal.Err)
	}
}

// pure: the same message gives the same changes in the same order, whatever was mapped before, and is not written to.
func pure(ctx context.Context, p *prober, c adapters.Case) {
	before := clone(c.Message)
	first := p.probe(ctx, "as it is", c.Message)
	for _, other := range p.all {
		p.probe(ctx, "another", clone(other.Message))
	}
	again := p.probe(ctx, "again", c.Message)
	p.same("mapped a second time", first, again)
	if diff := cmp.Diff(before, c.Message); diff != "" {
		p.tell("the adapter writes to the message: %s", diff)
	}
}

// concurrent: many maps at once give what one gives. Run the test with -race to make the most of it.
func concurrent(ctx context.Context, p *prober, c adapters.Case) {
	const routines, rounds = 8, 4
	want := p.probe(ctx, "as it is", c.Message)
	results := make([]result, routines)
	var wait sync.WaitGroup
	for i := range results {
		wait.Go(func() {
			for range rounds {
				results[i] = run(ctx, p.source, c.Message)
			}
		})
	}
	wait.Wait()
	for _, got := range results {
		p.same("mapped by many at once", want, got)
	}
}

// Whole numbers that a float64 takes for another (invariant 8): 2^53+1 and what it becomes.
const (
	beyondFloat = "9007199254740993"
	floated     = "9007199254740992"
	exponent    = "9.00719925474099"
)

// exactIDs: an id above 2^53 comes out as it went in.
func exactIDs(ctx context.Context, p *prober, c adapters.Case) {
	golden := p.probe(ctx, "as it is", c.Message)
	for _, v := range parse(c.Message.Value).ids() {
		r := p.probe(ctx, v.what, with(c.Message, v.value))
		made := r.json()
		switch {
		case strings.Contains(made, floated), strings.Contains(made, exponent):
			p.tell("%s: the id goes through a floating point number and loses its last digits", v.what)
		case len(v.old) >= 4 && strings.Count(made, v.old) < strings.Count(golden.json(), v.old) &&
			len(r.changes) == len(golden.changes) && !strings.Contains(made, beyondFloat):
			p.tell("%s: the id comes out as something else", v.what)
		}
	}
}

// spoilt: a member that is null, missing or of another kind is refused or left out, and is no reason to panic.
func spoilt(ctx context.Context, p *prober, c adapters.Case) {
	for _, v := range parse(c.Message.Value).spoilt() {
		p.probe(ctx, v.what, with(c.Message, v.value))
	}
}

// unknown: systems add members without asking. They change nothing.
func unknown(ctx context.Context, p *prober, c adapters.Case) {
	golden := p.probe(ctx, "as it is", c.Message)
	for _, v := range parse(c.Message.Value).unknown() {
		p.same(v.what, golden, p.probe(ctx, v.what, with(c.Message, v.value)))
	}
}

// truncated: a message that was cut off is poison, and no part of it is taken.
func truncated(ctx context.Context, p *prober, c adapters.Case) {
	golden := p.probe(ctx, "as it is", c.Message)
	value := bytes.TrimRight(c.Message.Value, " \t\r\n")
	structured := parse(value).kind != opaque
	for _, n := range spread(len(value), 64) {
		what := fmt.Sprintf("cut off after %d of %d bytes", n, len(value))
		r := p.probe(ctx, what, with(c.Message, value[:n]))
		if structured && len(golden.changes) > 0 && (len(r.changes) > 0 || event.ClassOf(r.err) != event.Poison) {
			p.tell("%s: want no change and an error of class poison, got %d changes and %v", what, len(r.changes), r.err)
		}
	}
}

// invalidUTF8: bytes that are no text are refused; no replacement character ends up in a name.
func invalidUTF8(ctx context.Context, p *prober, c adapters.Case) {
	value := c.Message.Value
	for _, n := range spread(len(value), 64) {
		bad := append(append(bytes.Clone(value[:n]), 0xff), value[n:]...)
		r := p.probe(ctx, fmt.Sprintf("a byte 0xff at %d", n), with(c.Message, bad))
		if strings.Contains(r.json(), "\ufffd") && !bytes.Contains(value, []byte("\ufffd")) {
			p.tell("a byte 0xff at %d: a replacement character is taken for text", n)
		}
	}
}

const largeBytes = 5 << 20

// large: a message of 5 MiB is mapped as well as a small one, or refused for its size.
func large(ctx context.Context, p *prober, c adapters.Case) {
	golden := p.probe(ctx, "as it is", c.Message)
	started := time.Now()
	r := p.probe(ctx, "5 MiB", with(c.Message, parse(c.Message.Value).padded(largeBytes)))
	if took := time.Since(started); took > patience {
		p.tell("a message of 5 MiB takes %v", took)
	}
	if e := (*event.Error)(nil); errors.As(r.err, &e) && e.Reason == "too_large" {
		return
	}
	p.same("with 5 MiB more", golden, r)
}

// noValue: a Kafka null and an empty value are told apart from a message, and end in an outcome.
func noValue(ctx context.Context, p *prober, c adapters.Case) {
	p.probe(ctx, "a null value", with(c.Message, nil))
	r := p.probe(ctx, "an empty value", with(c.Message, []byte{}))
	if len(r.changes) > 0 && len(c.Message.Value) > 0 {
		p.tell("an empty value makes %d changes: it is not a null, and says nothing", len(r.changes))
	}
}

// noHeaders: a producer that sends no headers and no key is no reason to panic.
func noHeaders(ctx context.Context, p *prober, c adapters.Case) {
	m := clone(c.Message)
	m.Headers = nil
	p.probe(ctx, "no headers", m)
	m = clone(c.Message)
	for i := range m.Headers {
		m.Headers[i].Value = nil
	}
	p.probe(ctx, "null headers", m)
	m = clone(c.Message)
	m.Key = nil
	p.probe(ctx, "no key", m)
}

// patience tells an adapter that hangs from one that is slow under the race detector on a busy machine; it is no measure of speed.
const patience = time.Minute

// cancelled: who is told to stop, stops; the answer is that of a message that was not tried, or the usual one.
func cancelled(ctx context.Context, p *prober, c adapters.Case) {
	golden := p.probe(ctx, "as it is", c.Message)
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	started := time.Now()
	r := run(stopped, p.source, c.Message)
	if took := time.Since(started); took > time.Second {
		p.tell("takes %v although its context is cancelled", took)
	}
	if r.panicked != "" {
		p.tell("panics when its context is cancelled: %s", r.panicked)
	}
	if errors.Is(r.err, context.Canceled) {
		return
	}
	p.same("under a cancelled context", golden, r)
}
