// Package adaptertest is the bar that every adapter clears, be it a mapping file, Go code or a plugin: its golden cases,
// and laws that hold for each message of any system.
//
// An adapter's test is one call:
//
//	func TestAdapter(t *testing.T) {
//		adaptertest.Run(t, acme.New(), os.DirFS("cases"))
//	}
//
// where cases holds one txtar file a case (adapters.Case has the format), at least one of which yields changes and at
// least one of which is refused. The laws take each case's message and spoil it: what is missing, null, unknown, of the
// wrong kind, cut off, too long or not text must end in a refusal with a class, never in a panic, in a guess or in an
// error that quotes the message. A law that an adapter cannot keep is a bug of the adapter or of the law: none can be
// switched off.
//
// RunTarget is the bar of targets, on a real connection to an imitation of the system.
package adaptertest

import (
	"context"
	"fmt"
	"io/fs"
	"testing"

	"github.com/onefold/onefold/adapters"
)

// Run holds a source against its cases and the laws; each case and law is a subtest. Cases are the .txtar files at the top
// of the file system.
func Run(t *testing.T, source adapters.Source, cases fs.FS) {
	t.Helper()
	read, err := adapters.ReadCases(cases, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range suite(read) {
		t.Error(f)
	}
	for i, c := range read {
		t.Run(c.Name, func(t *testing.T) {
			for _, l := range laws() {
				t.Run(l.name, func(t *testing.T) {
					for _, text := range l.examine(t.Context(), source, read, i) {
						t.Error(text)
					}
				})
			}
		})
	}
}

// Finding is a law that a source breaks on a case.
type Finding struct {
	Case string
	Law  string
	Text string
}

func (f Finding) String() string { return f.Case + ": " + f.Law + ": " + f.Text }

// Examine does what Run does and answers what it finds, for programs that are no tests. The error is about the cases
// themselves: event.Diagnostics where a file is at fault.
func Examine(ctx context.Context, source adapters.Source, cases fs.FS) ([]Finding, error) {
	read, err := adapters.ReadCases(cases, ".")
	if err != nil {
		return nil, err
	}
	found := suite(read)
	for i, c := range read {
		for _, l := range laws() {
			for _, text := range l.examine(ctx, source, read, i) {
				found = append(found, Finding{Case: c.Name, Law: l.name, Text: text})
			}
		}
	}
	return found, nil
}

// suite checks the cases as a whole.
func suite(cases []adapters.Case) []Finding {
	var yields, refuses bool
	for _, c := range cases {
		yields = yields || len(c.Changes) > 0
		refuses = refuses || len(c.Refusals) > 0
	}
	var found []Finding
	if !yields {
		found = append(found, Finding{"all", "cases", "no case yields a change: write one for each kind of message that the system sends"})
	}
	if !refuses {
		found = append(found, Finding{"all", "cases", "no case is refused: write one of a message that the system should not send"})
	}
	return found
}

// maxFindings is how many findings of one law on one case are told: the rest are mostly the same.
const maxFindings = 5

func (l law) examine(ctx context.Context, source adapters.Source, cases []adapters.Case, i int) []string {
	p := &prober{source: source, all: cases, whole: parse(cases[i].Message.Value)}
	l.check(ctx, p, cases[i])
	if extra := len(p.found) - maxFindings; extra > 0 {
		return append(p.found[:maxFindings], fmt.Sprintf("and %d more", extra))
	}
	return p.found
}
