package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Problem is how the API, and the command line with -o json, tell an error. It holds no personal data (invariant 9).
type Problem struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`           // stable, for programs
	Path    string `json:"path,omitempty"` // the parameter or member that is meant
	Message string `json:"message"`        // what is wrong
	Hint    string `json:"hint,omitempty"` // how to mend it
}

func (p *Problem) Error() string {
	text := p.Message
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

func bad(path, message, hint string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Code: "bad_request", Path: path, Message: message, Hint: hint}
}

// problem makes a Problem of an error. What nobody has classified is told to the log, and to the caller without its text.
func (a *api) problem(r *http.Request, err error) *Problem {
	var p *Problem
	var e *event.Error
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &over):
		return &Problem{
			Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: fmt.Sprintf("the request is larger than %d KiB", over.Limit>>10),
		}
	case errors.Is(err, customer.ErrHeld):
		p := &Problem{Status: http.StatusConflict, Code: "held", Path: "id", Message: "somebody else looks at it", Hint: "ask for the next one"}
		if errors.As(err, &e) {
			p.Message = e.Text
		}
		return p
	case errors.Is(err, customer.ErrNotFound):
		p := &Problem{Status: http.StatusNotFound, Code: "not_found", Message: "nothing is known under that name"}
		if errors.As(err, &e) { // whoever knows where such names stand says so behind the semicolon
			p.Path = e.Path
			_, p.Hint, _ = strings.Cut(e.Text, customer.ErrNotFound.Error()+"; ")
		}
		return p
	case errors.As(err, &e) && (e.Class == event.Permanent || e.Class == event.Poison):
		return bad(e.Path, e.Text, "")
	case errors.Is(err, event.ErrReplaying), errors.Is(err, event.ErrLetterChanged):
		return &Problem{Status: http.StatusConflict, Code: "conflict", Message: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &Problem{
			Status: http.StatusServiceUnavailable, Code: "timeout",
			Message: "the answer took longer than 30 seconds", Hint: "ask for less, or again later",
		}
	}
	a.Log.ErrorContext(r.Context(), "request failed",
		slog.String("route", r.Pattern), slog.String("method", r.Method), slog.Any("err", err))
	return &Problem{
		Status: http.StatusInternalServerError, Code: "internal",
		Message: "the request failed inside", Hint: "the service's log says why",
	}
}

func write(w http.ResponseWriter, p *Problem) {
	reply(w, p.Status, p)
}

// reply writes a value as one JSON object. A reader that has gone away is nobody's error.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
