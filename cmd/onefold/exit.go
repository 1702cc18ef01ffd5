package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
)

// Exit codes.
const (
	exitOK          = 0
	exitRuntime     = 1 // it began, and went wrong
	exitConfig      = 2 // the command line, the configuration or a mapping is wrong
	exitEnvironment = 3 // what is around is not as it must be: a port, a folder, a broker, the service
	exitFindings    = 4 // it ran to its end, and found something
)

// usage is a wrong command line.
type usage struct{ text, hint string }

func (u *usage) Error() string { return u.text }

// environment is something around the process that must be mended first.
type environment struct {
	text, remedy string
	err          error
}

func (e *environment) Error() string { return e.text }
func (e *environment) Unwrap() error { return e.err }

// findings is a run to the end that found something.
type findings struct{ text string }

func (f *findings) Error() string { return f.text }

// report is an error as it is told: for people in lines, for programs as one JSON object.
type report struct {
	console.Problem
	Diagnostics event.Diagnostics `json:"diagnostics,omitempty"`
	exit        int
}

func reportOf(err error) report {
	var (
		use   *usage
		env   *environment
		found *findings
		ds    event.Diagnostics
		api   *console.Problem
		own   *event.Error
	)
	switch {
	case errors.As(err, &use):
		return report{Problem: console.Problem{Code: "usage", Message: use.text, Hint: use.hint}, exit: exitConfig}
	case errors.As(err, &ds):
		problem := console.Problem{Code: "configuration", Message: count(len(ds), "thing", "to mend")}
		return report{Problem: problem, Diagnostics: ds, exit: exitConfig}
	case errors.As(err, &env):
		return report{Problem: console.Problem{Code: "environment", Message: env.text, Hint: env.remedy}, exit: exitEnvironment}
	case errors.As(err, &found):
		return report{Problem: console.Problem{Code: "findings", Message: found.text}, exit: exitFindings}
	case errors.As(err, &api):
		return report{Problem: *api, exit: exitRuntime}
	case errors.As(err, &own):
		return report{Problem: console.Problem{Code: own.Reason, Path: own.Path, Message: err.Error()}, exit: exitRuntime}
	case errors.Is(err, context.Canceled):
		return report{Problem: console.Problem{Code: "interrupted", Message: "interrupted"}, exit: exitRuntime}
	default:
		return report{Problem: console.Problem{Code: "runtime", Message: err.Error()}, exit: exitRuntime}
	}
}

func count(n int, noun, rest string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s %s", n, noun, rest)
}

// tell prints an error on stderr and answers the exit code.
func (p *program) tell(err error) int {
	r := reportOf(err)
	switch {
	case p.machine():
		_ = json.NewEncoder(p.err).Encode(r) // nobody is left to tell that stderr cannot be written
	case len(r.Diagnostics) > 0:
		fmt.Fprintln(p.err, r.Diagnostics.Error())
	default:
		text := r.Message
		if r.Path != "" && !strings.HasPrefix(text, r.Path) {
			text = r.Path + ": " + text
		}
		fmt.Fprintln(p.err, "onefold: "+text)
		if r.Hint != "" {
			fmt.Fprintln(p.err, "  "+r.Hint)
		}
	}
	return r.exit
}
