package table

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Headers of a message that is a row of a file. The plan goes with each, so that a row can be read whenever it comes.
const (
	HeaderPlan = "onefold-table" // what the columns hold
	HeaderLine = "onefold-line"  // of the file, from 1
	HeaderLoad = "onefold-load"  // id of the load that has sent it
)

// edition is the form of plan and row.
const edition = "table/1"

// header is a plan as it goes with a message.
type header struct {
	Edition string         `json:"edition"`
	Columns []headerColumn `json:"columns"`
	Dates   string         `json:"dates,omitempty"`
	Region  string         `json:"region,omitempty"`
	Scope   string         `json:"scope"`
}

type headerColumn struct {
	Name  string `json:"name"`
	Holds string `json:"holds"`
}

// record is a row as it goes in a message.
type record struct {
	Key   string                     `json:"key"`
	At    time.Time                  `json:"at"`    // when it was last changed, or when the file said so
	Cells map[string]json.RawMessage `json:"cells"` // texts
}

// Source reads the rows that onefold load has put on a topic.
type Source struct{}

// Describe implements adapters.Described.
func (Source) Describe() adapters.Description {
	return adapters.Description{Name: "table", Domain: "crm", Kind: "go", Version: edition, Events: []string{"row"}}
}

// Map implements adapters.Source.
func (Source) Map(ctx context.Context, m *event.Message) ([]customer.Change, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	changes, _, err := read(m)
	return changes, err
}

// Beside answers a source that reads rows of a load itself and leaves every other message to the source that a system has: so an export
// of the system is loaded under the keys that its messages have.
func Beside(other adapters.Described) adapters.Described { return beside{other} }

type beside struct{ adapters.Described }

// Map implements adapters.Source.
func (b beside) Map(ctx context.Context, m *event.Message) ([]customer.Change, error) {
	if _, row := m.Header(HeaderPlan); row {
		return Source{}.Map(ctx, m)
	}
	return b.Described.Map(ctx, m)
}

// unsure is a value that was left out, by the column's name.
type unsure struct{ name, text, hint string }

// read makes a change of a row.
func read(m *event.Message) ([]customer.Change, []unsure, error) {
	raw, ok := m.Header(HeaderPlan)
	if !ok {
		return nil, nil, event.Errorf(event.Permanent, "validation", "",
			"this is no row of a load: it has no header %s. Put rows on the topic with onefold load", HeaderPlan)
	}
	var h header
	if err := strictly([]byte(raw), &h); err != nil {
		return nil, nil, event.Errorf(event.Poison, "decode", "header "+HeaderPlan, "the plan cannot be read: load the file again")
	}
	if h.Edition != edition || len(h.Columns) == 0 || len(h.Columns) > MaxColumns || h.Scope == "" {
		return nil, nil, event.Errorf(event.Permanent, "schema", "header "+HeaderPlan,
			"the plan is not of the form %s: load the file with this version", edition)
	}
	var r record
	if err := strictly(m.Value, &r); err != nil {
		return nil, nil, event.Errorf(event.Poison, "decode", "", "the row cannot be read: load the file again")
	}
	switch {
	case r.Key == "":
		return nil, nil, event.Errorf(event.Permanent, "validation", "key", "the row has no key: load the file again")
	case r.At.IsZero():
		return nil, nil, event.Errorf(event.Permanent, "validation", "at", "the row does not say when it was so: load the file again")
	case !event.TimeFits(r.At):
		return nil, nil, event.Errorf(event.Permanent, "validation", "at", "a time is within the years 1 to 9999: mend it in the file")
	}
	return h.change(&r)
}

// change makes the whole statement that a row is.
func (h *header) change(r *record) ([]customer.Change, []unsure, error) {
	p := plan{order: h.Dates, region: h.Region, load: true}
	cells := make([]string, len(h.Columns))
	for i, c := range h.Columns {
		to, ok := parseTarget(c.Holds)
		if !ok && c.Holds != "" {
			return nil, nil, event.Errorf(event.Permanent, "schema", "header "+HeaderPlan, "column %d holds what this version does not know", i+1)
		}
		p.Columns = append(p.Columns, Column{Name: c.Name, to: to})
		if raw, found := r.Cells[c.Name]; found && json.Unmarshal(raw, &cells[i]) != nil {
			return nil, nil, event.Errorf(event.Poison, "decode", "cells", "the cell of column %d is no text: load the file again", i+1)
		}
	}
	party, doubts := p.row(cells)
	var left []unsure
	for _, d := range doubts {
		left = append(left, unsure{p.Columns[d.column].Name, d.text, d.hint})
	}
	return []customer.Change{{
		Key: r.Key, Op: customer.Upsert, At: r.At, Version: customer.Version{Source: customer.TimeVersion(r.At, h.Scope)}, Party: party,
	}}, left, nil
}

// strictly reads one JSON value in UTF-8: a character that is none would be taken for another.
func strictly(raw []byte, into any) error {
	if !utf8.Valid(raw) {
		return errors.New("row: this is not UTF-8")
	}
	return json.Unmarshal(raw, into)
}
