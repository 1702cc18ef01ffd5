package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// newLog returns the process's log: JSON for machines, text for a person who watches.
func newLog(w io.Writer, text bool, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if text {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// redact keeps personal data out of the log by type (invariant 9): of what is neither a plain value nor known to hold nothing
// personal, the type alone is told. Messages and dead letters are told by their ids, bytes by their number.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration: // as JSON it would be nanoseconds, without a word of it
		a.Value = slog.StringValue(a.Value.Duration().String())
	case slog.KindAny:
		if a.Value.Any() == nil { // nothing went wrong: nothing is said
			return slog.Attr{}
		}
		a.Value = safe(a.Value.Any())
	}
	return a
}

func safe(v any) slog.Value {
	switch v := v.(type) {
	case *event.Message:
		if v != nil {
			return slog.StringValue(v.ID())
		}
	case event.Message:
		return slog.StringValue(v.ID())
	case event.DeadLetter:
		return slog.StringValue(v.ID)
	case *event.DeadLetter:
		if v != nil {
			return slog.StringValue(v.ID)
		}
	case event.Outcome, customer.RecordID, customer.CustomerID, customer.InteractionID:
		return slog.StringValue(fmt.Sprint(v))
	case event.Position, event.Partition, customer.Counts, []string, *slog.Source, slog.Level:
		return slog.AnyValue(v)
	case error:
		return slog.StringValue(v.Error())
	case []byte:
		return slog.StringValue(fmt.Sprintf("%d bytes", len(v)))
	case json.RawMessage:
		return slog.StringValue(fmt.Sprintf("%d bytes", len(v)))
	}
	t := reflect.TypeOf(v)
	if v := reflect.ValueOf(v); plainKind(t.Kind()) && !ours(t) {
		return slog.StringValue(fmt.Sprint(v.Interface()))
	}
	return slog.StringValue("redacted " + t.String())
}

// plainKind tells numbers and truths; a text under a type of its own may be a name.
func plainKind(k reflect.Kind) bool { return k >= reflect.Bool && k <= reflect.Float64 }

// ours tells the types of the room of customers, and of the rooms in it.
func ours(t reflect.Type) bool {
	return strings.Contains(t.PkgPath()+"/", "/onefold/customer/")
}
