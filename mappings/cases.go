package mappings

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

// Trial is what a mapping makes of one message, and why.
type Trial struct {
	Event    string              `json:"event"` // of the mapping; empty where none is about the message
	Changes  []customer.Change   `json:"changes"`
	Refusals []adapters.Expected `json:"refusals,omitempty"`
	Trace    []Trace             `json:"trace,omitempty"`
}

// Trace says which expression of the mapping gave a statement, and from where in the message. It quotes no value.
type Trace struct {
	Change     int    `json:"change"` // index of the change
	Path       string `json:"path"`   // "party.email", "interactions.order:12.amount"
	State      string `json:"state"`
	Expression string `json:"expression"`
	Line       int    `json:"line"`            // in the mapping
	Input      string `json:"input,omitempty"` // path in the message
}

// Try maps one message and tells which expression gave what. Refusals are part of the trial; the error is for what is none.
func Try(_ context.Context, m *Mapping, msg *event.Message) (Trial, error) {
	var t Trial
	r := run{m: m, Input: language.Input{Msg: msg}, trace: func(step Trace) { t.Trace = append(t.Trace, step) }}
	changes, err := r.message()
	if r.rule != nil {
		t.Event = r.rule.name
	}
	t.Changes = changes
	refusals := adapters.RefusalsOf(err)
	if err != nil && refusals == nil {
		return t, fmt.Errorf("try %s: %w", m.about.Name, err)
	}
	for _, refusal := range refusals {
		t.Refusals = append(t.Refusals, adapters.Found(refusal))
	}
	return t, nil
}

// CaseResult is how one case of a mapping went.
type CaseResult struct {
	Name        string       `json:"name"`
	About       string       `json:"about,omitempty"`
	Differences []Difference `json:"differences,omitempty"` // none: it passed
}

// Difference is one place at which the mapping makes something else than the case expects.
type Difference struct {
	Text       string `json:"text"` // "changes[0].party.email.value: want "a", got nothing": quotes values
	Expression string `json:"expression,omitempty"`
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Input      string `json:"input,omitempty"`
}

func (d Difference) String() string {
	if d.Expression == "" {
		return d.Text
	}
	return fmt.Sprintf("%s\n\t%s:%d: %s, reading %s", d.Text, d.File, d.Line, d.Expression, d.Input)
}

// RunCases runs the cases in a mapping's folder, by name. A case file that cannot be read is a case that failed.
func RunCases(ctx context.Context, m *Mapping, fsys fs.FS, dir string) []CaseResult {
	names, err := fs.Glob(fsys, path.Join(dir, "cases", "*.txtar"))
	if err != nil {
		return []CaseResult{{Name: dir, Differences: []Difference{{Text: err.Error()}}}}
	}
	var results []CaseResult
	for _, name := range names {
		result := CaseResult{Name: strings.TrimSuffix(path.Base(name), ".txtar")}
		b, err := fs.ReadFile(fsys, name)
		c, fault := adapters.ReadCase(name, b)
		if err == nil {
			err = fault
		}
		if err != nil {
			result.Differences = []Difference{{Text: err.Error()}}
		} else {
			result.About, result.Differences = c.About, differences(ctx, m, c, path.Join(dir, fileName))
		}
		results = append(results, result)
	}
	return results
}

// differences checks a case, and finds for each difference the expression that the value came from.
func differences(_ context.Context, m *Mapping, c adapters.Case, file string) (out []Difference) {
	var trace []Trace
	r := run{m: m, Input: language.Input{Msg: c.Message}, trace: func(step Trace) { trace = append(trace, step) }}
	changes, err := r.message()
	for _, text := range c.Check(changes, err) {
		d := Difference{Text: text}
		longest := 0
		for _, step := range trace {
			prefix := fmt.Sprintf("changes[%d].%s", step.Change, step.Path)
			if rest, ok := strings.CutPrefix(text, prefix); ok && len(prefix) > longest && strings.IndexAny(rest, ".:[") == 0 {
				longest = len(prefix)
				d.Expression, d.File, d.Line, d.Input = step.Expression, file, step.Line, step.Input
			}
		}
		out = append(out, d)
	}
	return out
}
