package event

import (
	"errors"
	"fmt"
	"strings"
)

// Class says what to do about an error; it is the same everywhere in Onefold.
type Class string

// The classes.
const (
	Retryable Class = "retryable" // may pass by itself: try again with back-off, the partition waits
	Throttled Class = "throttled" // the other side asks for patience; never a dead letter
	Auth      Class = "auth"      // somebody must renew a credential; never a dead letter
	Permanent Class = "permanent" // will not pass by itself: a dead letter
	Poison    Class = "poison"    // the bytes themselves are bad: a dead letter
)

// Error is an error with a class, a reason code and the path of the offending value. Its text is for a
// person, says what is wrong and how to mend it, and holds no personal data (invariant 9).
type Error struct {
	Class  Class
	Reason string // code: decode schema mapping validation too_large plugin internal
	Path   string // "customer.id"; empty where the whole is meant
	Text   string
	Err    error // cause, may be nil
}

// Errorf builds an Error from a reason code, a path and a sentence.
func Errorf(class Class, reason, path, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Class: class, Reason: reason, Path: path, Text: err.Error(), Err: errors.Unwrap(err)}
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Text
	}
	return e.Path + ": " + e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf answers the class of the first Error in err's chain, else Retryable: what nobody has classified is
// held, never dropped.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Retryable
}

// Errors of a position that a store refuses to move.
var (
	ErrFenced  = errors.New("another process has claimed this partition")
	ErrAlready = errors.New("the position has moved on: these messages have taken effect already")
)

// Diagnostic is what a person must mend in a file of theirs: where, what, and how.
type Diagnostic struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1; 0 where unknown
	Column  int    `json:"column"` // from 1; 0 where unknown
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // how to mend it
}

func (d Diagnostic) Error() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d", d.Line)
		if d.Column > 0 {
			fmt.Fprintf(&b, ":%d", d.Column)
		}
	}
	b.WriteString(": ")
	if d.Path != "" {
		b.WriteString(d.Path + ": ")
	}
	b.WriteString(d.Message)
	if d.Hint != "" {
		b.WriteString(" (" + d.Hint + ")")
	}
	return b.String()
}

// Diagnostics are the findings about one or more files; as an error they print one a line.
type Diagnostics []Diagnostic

func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.Error()
	}
	return strings.Join(lines, "\n")
}
