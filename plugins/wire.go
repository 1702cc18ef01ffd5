package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins/proto"
)

// recordOf writes a message for the wire.
func recordOf(m *event.Message) *proto.Record {
	r := &proto.Record{
		Source: strings.ToValidUTF8(m.Source, "?"), Topic: strings.ToValidUTF8(m.Topic, "?"), Partition: m.Partition, Offset: m.Offset,
		Seconds: m.Time.Unix(), Nanos: int32(m.Time.Nanosecond()), Key: m.Key, Value: m.Value,
	}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, &proto.Header{Key: []byte(h.Key), Value: h.Value})
	}
	return r
}

// messageOf reads what recordOf wrote.
func messageOf(r *proto.Record) *event.Message {
	m := &event.Message{
		Source: r.GetSource(), Topic: r.GetTopic(), Partition: r.GetPartition(), Offset: r.GetOffset(), Epoch: -1,
		Time: time.Unix(r.GetSeconds(), int64(r.GetNanos())).UTC(), Key: r.GetKey(), Value: r.GetValue(),
	}
	for _, h := range r.GetHeaders() {
		m.Headers = append(m.Headers, event.Header{Key: string(h.GetKey()), Value: h.GetValue()})
	}
	return m
}

// resultOf writes what an adapter made of a record.
func resultOf(number uint64, changes []customer.Change, err error) *proto.Result {
	r := &proto.Result{Number: number}
	var refused event.Refusals
	if err != nil && !errors.As(err, &refused) {
		r.Error = errorOf(err)
		return r
	}
	for _, one := range refused {
		one = one.Complete()
		r.Refusals = append(r.Refusals, &proto.Refusal{
			Part: text(one.Part), Ignored: one.Outcome == event.Ignored, Error: errorOf(one.Err), Keys: names(one.Keys),
		})
	}
	if len(changes) > 0 {
		written, err := json.Marshal(changes)
		if err != nil { // its text might quote a value (invariant 9)
			r.Refusals = nil
			r.Error = errorOf(event.Errorf(event.Permanent, "internal", "",
				"the changes cannot be written as JSON: this is a mistake in the adapter"))
			return r
		}
		r.Changes = written
	}
	return r
}

// errorOf writes an error. One without a class says nothing but that (invariant 9).
func errorOf(err error) *proto.Error {
	var e *event.Error
	if !errors.As(err, &e) {
		return &proto.Error{
			Class: string(event.Retryable), Reason: "internal", Text: "the adapter fails with an error that has no class: give it one",
		}
	}
	return &proto.Error{Class: string(e.Class), Reason: text(e.Reason), Path: text(e.Path), Text: text(e.Text)}
}

// text makes UTF-8 of a text, which the wire demands.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// names answers the keys that can be anybody's, as many as a change may name.
func names(keys []string) []string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == "" || !utf8.ValidString(k) })
	return keys[:min(len(keys), customer.MaxPerChange)]
}

// outcomeOf reads a result. One that does not make sense is a mistake of the plugin, told as an error about the message.
func outcomeOf(r *proto.Result, name string) ([]customer.Change, error) {
	if e := r.GetError(); e != nil {
		if len(r.GetChanges()) > 0 || len(r.GetRefusals()) > 0 {
			return nil, nonsense(name, "it refuses the whole message and yet answers parts of it")
		}
		return nil, refusalOf(e, name)
	}
	var changes []customer.Change
	if len(r.GetChanges()) > 0 {
		d := json.NewDecoder(bytes.NewReader(r.GetChanges()))
		d.DisallowUnknownFields()
		if err := d.Decode(&changes); err != nil { // its text might quote a value (invariant 9)
			return nil, nonsense(name, "its changes are not the JSON of changes, or have a member that changes do not have")
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, nonsense(name, "more follows after the JSON of its changes")
		}
	}
	var refused event.Refusals
	for _, part := range r.GetRefusals() {
		e := refusalOf(part.GetError(), name)
		if e.Class != event.Permanent && e.Class != event.Poison {
			return nil, nonsense(name, "it refuses a part with an error that is neither permanent nor poison")
		}
		if len(part.GetKeys()) > customer.MaxPerChange {
			return nil, nonsense(name, "it refuses a part that names more parties than a change may")
		}
		one := event.Refusal{Part: part.GetPart(), Outcome: event.Dead, Err: e, Keys: part.GetKeys()}
		if part.GetIgnored() {
			one.Outcome = event.Ignored
		}
		refused = append(refused, one)
	}
	if len(refused) > 0 {
		return changes, refused
	}
	return changes, nil
}

// refusalOf reads an error of a plugin. Its sentence is the plugin's promise: it is shortened, and stays on one line.
func refusalOf(e *proto.Error, name string) *event.Error {
	class := event.Class(e.GetClass())
	switch class {
	case event.Retryable, event.Throttled, event.Auth, event.Permanent, event.Poison:
	default:
		return nonsense(name, "its error has a class that there is not: write retryable, throttled, auth, permanent or poison")
	}
	if e.GetReason() == "" || e.GetText() == "" {
		return nonsense(name, "its error has no reason or no text")
	}
	return &event.Error{Class: class, Reason: line(e.GetReason()), Path: line(e.GetPath()), Text: sentence(e)}
}

func nonsense(name, what string) *event.Error {
	return event.Errorf(event.Permanent, "plugin", "",
		"the plugin %s answers what makes no sense: %s. Mend the plugin and replay the message", name, what)
}

func sentence(e *proto.Error) string { return line(e.GetText()) }

// line makes one line of what another process wrote, of at most maxText bytes.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}
