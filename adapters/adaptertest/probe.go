package adaptertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// prober maps messages and holds each answer against what must hold of any.
type prober struct {
	source adapters.Source
	all    []adapters.Case
	whole  payload // of the case
	found  []string
}

func (p *prober) tell(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.found, text) {
		p.found = append(p.found, text)
	}
}

// result is what an adapter made of a message.
type result struct {
	changes  []customer.Change
	err      error
	panicked string
}

// json writes the changes as they compare, in their order.
func (r result) json() string {
	b, err := json.Marshal(r.changes)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// refusals answers what was refused, without the sentences: they may count bytes.
func (r result) refusals() []adapters.Expected {
	var all []adapters.Expected
	for _, refusal := range adapters.RefusalsOf(r.err) {
		e := adapters.Found(refusal)
		e.Contains = ""
		all = append(all, e)
	}
	if len(all) == 0 && r.err != nil {
		all = append(all, adapters.Expected{Contains: r.err.Error()})
	}
	return all
}

func (r result) text() string {
	if r.err == nil {
		return ""
	}
	return r.err.Error()
}

// run maps a message; a panic is caught and told with the place that it came from.
func run(ctx context.Context, source adapters.Source, m *event.Message) (r result) {
	defer func() {
		if v := recover(); v != nil {
			r.panicked = fmt.Sprintf("%v\n%s", v, debug.Stack())
		}
	}()
	r.changes, r.err = source.Map(ctx, m)
	return r
}

// probe maps a message under what holds of every answer: no panic, within patience, an error of a class that says what
// becomes of the message, changes made of text only, nothing of the message in the error.
func (p *prober) probe(ctx context.Context, what string, m *event.Message) result {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	started := time.Now()
	r := run(limited, p.source, m)
	if took := time.Since(started); took > patience {
		p.tell("%s: takes %v, more than %v", what, took, patience)
	}
	if r.panicked != "" {
		p.tell("%s: panics: %s", what, r.panicked)
		return r
	}
	p.checkError(ctx, what, m, r)
	if made := r.json(); !utf8.ValidString(made) {
		p.tell("%s: a change holds bytes that are no text", what)
	}
	for _, c := range r.changes {
		for _, st := range c.Party {
			if !utf8.ValidString(st.Value.Text) {
				p.tell("%s: %s holds bytes that are no text", what, st.Path)
			}
		}
	}
	return r
}

func (p *prober) checkError(ctx context.Context, what string, m *event.Message, r result) {
	if r.err == nil {
		return
	}
	refusals := adapters.RefusalsOf(r.err)
	if len(refusals) == 0 {
		p.tell("%s: the error is no refusal: an adapter answers event.Refusals, or an *event.Error of class permanent or poison: %s",
			what, p.quiet(m, r.text()))
		return
	}
	if whole := (*event.Error)(nil); !errors.As(r.err, new(event.Refusals)) && errors.As(r.err, &whole) && len(r.changes) > 0 {
		p.tell("%s: the whole message is refused (%s), yet there are %d changes", what, whole.Reason, len(r.changes))
	}
	for _, refusal := range refusals {
		switch {
		case refusal.Err == nil:
			p.tell("%s: a refusal without an error: it must say why", what)
		case refusal.Err.Reason == "" || refusal.Err.Text == "":
			p.tell("%s: a refusal without a reason code or a text: it must say why and how to mend it", what)
		case refusal.Outcome != event.Dead && refusal.Outcome != event.Ignored:
			p.tell("%s: a refusal is dead or ignored, this one is %s", what, refusal.Outcome)
		default:
			p.leaks(ctx, what, m, refusal.Err)
		}
	}
}

// Values up to this length are too short to tell from words of a sentence.
const shortValue = 5

// canary stands for a value when we look whether an error quotes it.
const canary = "Zq7xKv9wJ4"

// leaks tells when an error quotes a value of the message (invariant 9). A value may also be a word of the sentence
// ("customer"): so the value is replaced by a canary everywhere, and what then sings was quoted.
func (p *prober) leaks(ctx context.Context, what string, m *event.Message, e *event.Error) {
	text := p.unnamed(m, e.Path) + " " + e.Text
	for _, value := range p.texts(m) {
		if strings.Contains(text, value) && p.quoted(ctx, m, value) {
			p.tell("%s: the error quotes a value of the message, which may be personal: %s",
				what, strings.ReplaceAll(text, value, "("+fmt.Sprint(len(value))+" characters of the message)"))
		}
	}
}

// unnamed answers what of an error's path is no member's name, and so may be a value: with order.created_at in a message
// whose type is "order.created", the path is not the type.
func (p *prober) unnamed(m *event.Message, path string) string {
	in := parse(m.Value)
	if in.kind == opaque {
		in = p.whole
	}
	names := in.names()
	parts := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]/@", r) })
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return slices.Contains(names, part) }), ".")
}

// quoted tells whether a value stands in an error because it stands in the message.
func (p *prober) quoted(ctx context.Context, m *event.Message, value string) bool {
	in := parse(m.Value)
	if in.kind == opaque { // no telling how the value is written there: is it a member's name, or in the error without it, too?
		if slices.ContainsFunc(p.whole.names(), func(name string) bool { return strings.Contains(name, value) }) {
			return false
		}
		bare := run(ctx, p.source, with(m, []byte("{")))
		return !strings.Contains(bare.text(), value)
	}
	other := run(ctx, p.source, with(m, in.swap(value, canary)))
	return strings.Contains(other.text(), canary)
}

// quiet answers an error's text without values of the message.
func (p *prober) quiet(m *event.Message, text string) string {
	for _, value := range p.texts(m) {
		text = strings.ReplaceAll(text, value, "...")
	}
	return text
}

// texts answers the values of a message that an error must not quote; those of the case where its own cannot be read.
func (p *prober) texts(m *event.Message) []string {
	in := parse(m.Value)
	if in.kind == opaque {
		in = p.whole
	}
	return slices.DeleteFunc(in.texts(), func(value string) bool { return len(value) <= shortValue })
}

// same tells when two answers differ.
func (p *prober) same(what string, want, got result) {
	if got.panicked != "" {
		p.tell("%s: panics: %s", what, got.panicked)
		return
	}
	amounts := cmp.Comparer(func(a, b customer.Amount) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want.changes, got.changes, amounts); diff != "" {
		p.tell("%s: other changes (- as it is, + %s):\n%s", what, what, diff)
	}
	if diff := cmp.Diff(want.refusals(), got.refusals()); diff != "" {
		p.tell("%s: other refusals (- as it is, + %s):\n%s", what, what, diff)
	}
}

func clone(m *event.Message) *event.Message {
	c := *m
	c.Key, c.Value, c.Headers = bytes.Clone(m.Key), bytes.Clone(m.Value), slices.Clone(m.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}

func with(m *event.Message, value []byte) *event.Message {
	c := clone(m)
	c.Value = value
	return c
}

// spread answers at most `most` places from 0 to n-1, evenly, the first and the last among them.
func spread(n, most int) []int {
	if n <= most {
		most = n
	}
	places := make([]int, most)
	for i := range places {
		places[i] = i * (n - 1) / max(1, most-1)
	}
	return places
}
