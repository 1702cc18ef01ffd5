package adapters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Check compares what an adapter made of the case's message with what the case expects. Each difference is a line such as
// "changes[0].party.email[0].value: want "a@example.com", got nothing"; none means that they are the same. Changes are
// compared in order, statements by path, interactions by key, instants as such, and what customer.Seal fills in not at
// all. The lines quote values: they are for whoever wrote the case, not for a log.
func (c Case) Check(changes []customer.Change, err error) []string {
	var diff differ
	diff.compare("changes", tree(c.Changes), tree(changes))
	found := RefusalsOf(err)
	if err != nil && found == nil {
		return append(diff, fmt.Sprintf("error: want a refusal or none, got an error that is not classified: %v", err))
	}
	for i := range max(len(c.Refusals), len(found)) {
		at := "error"
		if len(c.Refusals) > 1 || len(found) > 1 {
			at = fmt.Sprintf("error[%d]", i)
		}
		switch {
		case i >= len(found):
			diff = append(diff, fmt.Sprintf("%s: want %s, got nothing", at, c.Refusals[i]))
		case i >= len(c.Refusals):
			diff = append(diff, fmt.Sprintf("%s: want nothing, got %s", at, Found(found[i])))
		default:
			diff = append(diff, c.Refusals[i].differs(at, found[i])...)
		}
	}
	return diff
}

// RefusalsOf answers an adapter's error as refusals: its parts, or the whole message. An error of class retryable,
// throttled or auth is no refusal of the message, and neither is one of no class: nil.
func RefusalsOf(err error) []event.Refusal {
	var parts event.Refusals
	if errors.As(err, &parts) {
		return parts
	}
	var whole *event.Error
	if errors.As(err, &whole) && (whole.Class == event.Permanent || whole.Class == event.Poison) {
		return []event.Refusal{{Outcome: event.Dead, Err: whole}}
	}
	return nil
}

// Found is the refusal as a case would expect it.
func Found(r event.Refusal) Expected {
	e := Expected{Outcome: r.Outcome.String(), Part: r.Part}
	if r.Err != nil {
		e.Reason, e.Path, e.Contains = r.Err.Reason, r.Err.Path, r.Err.Text
	}
	return e
}

func (e Expected) String() string {
	s := e.Outcome
	if s == "" {
		s = "a refusal"
	}
	for _, part := range []struct{ name, value string }{{"reason", e.Reason}, {"part", e.Part}, {"path", e.Path}} {
		if part.value != "" {
			s += " " + part.name + " " + part.value
		}
	}
	if e.Contains != "" {
		s += ": " + e.Contains
	}
	return s
}

func (e Expected) differs(at string, r event.Refusal) []string {
	got := Found(r)
	var lines []string
	for _, f := range []struct {
		name, want, got string
		always          bool
	}{
		{"outcome", e.Outcome, got.Outcome, false},
		{"reason", e.Reason, got.Reason, false},
		{"part", e.Part, got.Part, true},
		{"path", e.Path, got.Path, false},
	} {
		if f.want != f.got && (f.want != "" || f.always) {
			lines = append(lines, fmt.Sprintf("%s.%s: want %q, got %q", at, f.name, f.want, f.got))
		}
	}
	if !strings.Contains(got.Contains, e.Contains) {
		lines = append(lines, fmt.Sprintf("%s: the text does not contain %q: %s", at, e.Contains, got.Contains))
	}
	return lines
}

// unsealed is a change as an adapter makes it, without what Seal and the Registry fill in, in one zone.
func unsealed(c customer.Change) customer.Change {
	c.Source, c.Event, c.Version.Mapping, c.Version.Hash, c.At = "", "", 0, 0, c.At.UTC()
	c.Interactions = slices.Clone(c.Interactions)
	for i := range c.Interactions {
		in := &c.Interactions[i]
		in.Source, in.Event, in.Version.Mapping, in.Version.Hash, in.OccurredAt = "", "", 0, 0, in.OccurredAt.UTC()
		in.ID = customer.InteractionID{}
		if in.Version.Source == c.Version.Source { // what Seal gives to an interaction that has none of its own
			in.Version.Source = customer.SourceVersion{}
		}
		in.Parties = slices.Clone(in.Parties)
		for j := range in.Parties {
			in.Parties[j].Record = customer.RecordID{}
		}
		if len(in.Parties) == 1 && in.Parties[0] == (customer.Party{Role: "customer", Key: c.Key}) { // whom Seal names where nobody is
			in.Parties = nil
		}
	}
	return c
}

// tree answers changes as they compare: JSON, with statements under their paths and interactions under their keys.
func tree(changes []customer.Change) any {
	list := make([]any, len(changes))
	for i := range changes {
		b, err := json.Marshal(unsealed(changes[i]))
		if err != nil {
			list[i] = "not to be written as JSON: " + err.Error()
			continue
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			list[i] = "not to be read as JSON: " + err.Error()
			continue
		}
		keyBy(v, "party", "path")
		keyBy(v, "interactions", "key")
		list[i] = v
	}
	return list
}

// keyBy makes an object of the list under a member, by one member of its items. An item that is there twice gets a number.
func keyBy(v map[string]any, member, by string) {
	items, _ := v[member].([]any)
	if len(items) == 0 {
		delete(v, member)
		return
	}
	keyed := make(map[string]any, len(items))
	for _, item := range items {
		o, _ := item.(map[string]any)
		key, _ := o[by].(string)
		delete(o, by)
		name := key
		for n := 2; keyed[name] != nil; n++ {
			name = key + "#" + strconv.Itoa(n)
		}
		keyed[name] = o
	}
	v[member] = keyed
}

// differ gathers the lines of a comparison.
type differ []string

func (d *differ) compare(at string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			names := maps.Clone(w)
			maps.Copy(names, g)
			for _, name := range slices.Sorted(maps.Keys(names)) {
				d.member(at+"."+name, w, g, name)
			}
			return
		}
	case []any:
		if g, ok := got.([]any); ok {
			for i := range max(len(w), len(g)) {
				d.item(fmt.Sprintf("%s[%d]", at, i), w, g, i)
			}
			return
		}
	default:
		if want == got {
			return
		}
	}
	d.line(at, show(want), show(got))
}

func (d *differ) member(at string, want, got map[string]any, name string) {
	w, wanted := want[name]
	g, found := got[name]
	switch {
	case !found:
		d.line(at, show(w), "nothing")
	case !wanted:
		d.line(at, "nothing", show(g))
	default:
		d.compare(at, w, g)
	}
}

func (d *differ) item(at string, want, got []any, i int) {
	switch {
	case i >= len(got):
		d.line(at, show(want[i]), "nothing")
	case i >= len(want):
		d.line(at, "nothing", show(got[i]))
	default:
		d.compare(at, want[i], got[i])
	}
}

func (d *differ) line(at, want, got string) {
	*d = append(*d, fmt.Sprintf("%s: want %s, got %s", at, want, got))
}

func show(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}
