package mappings

import (
	"maps"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

// emitter makes statements of what a message says about a party.
type emitter func(s *frame, out *statements) *event.Error

// statements gathers what one change states.
type statements struct {
	list []customer.Statement
}

// add states a value. Absent states nothing: a patch does not touch the path, and the fold makes a snapshot's silence
// absent (invariant 3). The empty text is cleared, as null is: the source says that there is nothing.
func (out *statements) add(s *frame, src *language.Source, path customer.Path, v language.Value, whole customer.Value) *event.Error {
	state := v.State
	if state == customer.Set && whole.IsZero() {
		state = customer.Cleared
	}
	if state == customer.Absent {
		return nil
	}
	st := customer.Statement{Path: path, State: state}
	if state == customer.Set {
		st.Value, st.Verified = whole, v.Verified
		if err := fitting(s, src, whole); err != nil {
			return err
		}
	}
	for i := range out.list {
		if out.list[i].Path != path {
			continue
		}
		if before := &out.list[i]; before.State == st.State && before.Value.Equal(st.Value) {
			return nil
		}
		return language.Invalid(src.Where(s.Scope),
			"the message says two things about one %s: the mapping must give each element an id of its own", path.Name)
	}
	if len(out.list) >= customer.MaxStatements { // invariant 10
		return language.Invalid(src.Where(s.Scope), "more than %d statements about one party, which is the limit", customer.MaxStatements)
	}
	out.list = append(out.list, st)
	if s.run.trace != nil {
		s.run.note(src, s, "party."+path.String(), st.State)
	}
	return nil
}

// fitting refuses texts that no store and no target can keep.
func fitting(s *frame, src *language.Source, v customer.Value) *event.Error {
	bad := len(v.Text) > language.MaxText || strings.IndexByte(v.Text, 0) >= 0
	for _, text := range v.Parts {
		bad = bad || len(text) > language.MaxText || strings.IndexByte(text, 0) >= 0
	}
	if bad {
		return language.Invalid(src.Where(s.Scope),
			"a text is at most %d bytes and has no NUL: the source must send it otherwise", language.MaxText)
	}
	return nil
}

// elementID makes an element's id of a value of the message: brackets belong to the notation of paths.
func elementID(text string) string {
	return strings.NewReplacer("[", "(", "]", ")").Replace(text)
}

// fields answers the canonical model's fields by name, without those that have a section of their own.
func partyFields() map[string]customer.Field {
	out := map[string]customer.Field{}
	for _, f := range customer.Fields() {
		switch f.Name {
		case customer.FieldIdentifier, customer.FieldConsent, customer.FieldLink:
		default:
			out[f.Name] = f
		}
	}
	return out
}

// party compiles the fields of a party, or {switch: SOURCE, CASE: {fields}, else: {fields}}.
func (l *builder) party(y *language.YAML, e language.Env) (out []emitter) {
	if y == nil {
		return nil
	}
	if y.Has("switch") {
		return l.partyCase(y, e)
	}
	fields := partyFields()
	if !l.Allow(y, slices.Sorted(maps.Keys(fields))...) {
		return nil
	}
	for i := range y.Keys {
		k := &y.Keys[i]
		f, known := fields[k.Name]
		if !known {
			continue
		}
		if f.Name == "custom" && k.Value.Kind == language.Object && !k.Value.Has("each", "id") {
			for j := range k.Value.Keys {
				c := &k.Value.Keys[j]
				out = l.text(out, l.Source(c.Value, e, "id"), customer.Path{Name: f.Name, ID: elementID(c.Name)}, nil)
			}
			continue
		}
		out = append(out, l.field(f, k.Value, e)...)
	}
	return out
}

func (l *builder) partyCase(y *language.YAML, e language.Env) []emitter {
	on := l.Source(y.Get("switch"), e)
	cases := map[string][]emitter{}
	for i := range y.Keys {
		if k := &y.Keys[i]; k.Name != "switch" {
			cases[k.Name] = l.party(k.Value, e)
		}
	}
	if on == nil {
		return nil
	}
	return []emitter{func(s *frame, out *statements) *event.Error {
		text, _, err := on.Text(s.Scope)
		if err != nil {
			return err
		}
		emitters, known := cases[text]
		if !known {
			emitters = cases["else"]
		}
		return emit(s, emitters, out)
	}}
}

func emit(s *frame, emitters []emitter, out *statements) *event.Error {
	for _, f := range emitters {
		if err := f(s, out); err != nil {
			return err
		}
	}
	return nil
}

// field compiles one field: a form, or for a list several of them, each with an id.
func (l *builder) field(f customer.Field, y *language.YAML, e language.Env) []emitter {
	if y.Kind == language.List {
		if !f.List {
			l.Say(y, "write one source; first_of takes the first of several", "%s has one value, a list stands here", f.Name)
			return nil
		}
		var out []emitter
		for _, item := range y.Items {
			if item.Kind != language.Object || !item.Has("id") {
				l.Say(item, "{id: {const: home}, from: path}", "one of several elements needs an id")
				continue
			}
			out = append(out, l.form(f, item, e)...)
		}
		return out
	}
	return l.form(f, y, e)
}

// form compiles one element, or with each one for every item.
func (l *builder) form(f customer.Field, y *language.YAML, e language.Env) []emitter {
	if !f.List {
		return l.text(nil, l.Source(y, e), customer.Path{Name: f.Name}, nil)
	}
	when := l.Condition(y.Get("when"), e)
	var lp *language.Loop
	if each := y.Get("each"); each != nil {
		if lp, e = l.Loop(each, e); lp == nil {
			return nil
		}
		if y.Get("id") == nil {
			l.Say(y, "id: a member that stays the same", "an element of each needs an id")
		}
	}
	id := l.Source(y.Get("id"), e)
	var one []emitter
	switch {
	case y.Has("clear"):
		l.clear(y, "id", "each", "when")
		one = l.text(nil, &language.Source{Y: y, Read: cleared}, customer.Path{Name: f.Name}, id)
	case len(f.Parts) > 0:
		one = l.composite(f, y, e, id)
	case y.Has("map"):
		l.Allow(y, "id", "each", "when", "map")
		one = l.text(nil, l.Source(y.Get("map"), e), customer.Path{Name: f.Name}, id)
	default:
		one = l.texts(f, y, l.Any(y, e, "id", "each", "when"), id)
	}
	return guard(when, lp, one)
}

func (l *builder) clear(y *language.YAML, others ...string) {
	if l.Allow(y, append(others, "clear")...) && y.Get("clear").Text != "true" {
		l.Say(y.Get("clear"), "leave it out otherwise", "clear: true is all that clear says")
	}
}

func cleared(*language.Scope) (language.Value, *event.Error) {
	return language.Value{State: customer.Cleared}, nil
}

// guard puts emitters behind a condition and a loop.
func guard(when func(s *language.Scope) (bool, *event.Error), lp *language.Loop, one []emitter) []emitter {
	if lp != nil {
		inner := one
		one = []emitter{func(s *frame, out *statements) *event.Error {
			return lp.Run(s.Scope, func() *event.Error { return emit(s, inner, out) })
		}}
	}
	if when == nil {
		return one
	}
	inner := one
	return []emitter{func(s *frame, out *statements) *event.Error {
		if is, err := when(s.Scope); err != nil || !is {
			return err
		}
		return emit(s, inner, out)
	}}
}

// idOf answers the element id that a source gives; "" where there is no source.
func idOf(s *frame, id *language.Source) (string, *event.Error) {
	if id == nil {
		return "", nil
	}
	text, there, err := id.Text(s.Scope)
	if err == nil && !there {
		err = language.Invalid(id.Where(s.Scope), "an element has no id: the mapping must name a member that is always there")
	}
	return elementID(text), err
}

// text appends the emitter of a text field.
func (l *builder) text(out []emitter, src *language.Source, path customer.Path, id *language.Source) []emitter {
	if src == nil {
		return out
	}
	return append(out, func(s *frame, out *statements) *event.Error {
		v, err := src.Read(s.Scope)
		if err != nil || v.State == customer.Absent {
			return err
		}
		at := path
		if id != nil {
			if at.ID, err = idOf(s, id); err != nil {
				return err
			}
		}
		return out.add(s, src, at, v, customer.Text(v.Text))
	})
}

// texts is text for the field of a list: a source that gives several texts states each under itself.
func (l *builder) texts(f customer.Field, y *language.YAML, src *language.Source, id *language.Source) []emitter {
	if src == nil || src.Gives == language.AText {
		return l.text(nil, src, customer.Path{Name: f.Name}, id)
	}
	if src.Gives == language.ATree || id != nil {
		l.Say(y, "leave out the id, or pick one", "several values are given, and each is its own id")
		return nil
	}
	return []emitter{func(s *frame, out *statements) *event.Error {
		v, err := src.Read(s.Scope)
		for _, text := range v.List {
			if err == nil {
				path := customer.Path{Name: f.Name, ID: elementID(text)}
				err = out.add(s, src, path, language.Value{State: customer.Set}, customer.Text(text))
			}
		}
		return err
	}}
}

// composite compiles a field of named parts: {map: {part: SOURCE}}.
func (l *builder) composite(f customer.Field, y *language.YAML, e language.Env, id *language.Source) []emitter {
	if !l.Allow(y, "id", "each", "when", "map", "verified") || y.Get("map") == nil || !l.Allow(y.Get("map"), f.Parts...) {
		if y.Kind == language.Object && y.Get("map") == nil {
			l.Say(y, f.Name+": {map: {"+f.Parts[0]+": path}}", "%s has parts", f.Name)
		}
		return nil
	}
	c := composite{src: &language.Source{Y: y}, fixed: map[string]string{}}
	for i := range y.Get("map").Keys {
		k := &y.Get("map").Keys[i]
		if src := l.Source(k.Value, e); src != nil {
			c.names, c.sources, c.src.Paths = append(c.names, k.Name), append(c.sources, src), append(c.src.Paths, src.Paths...)
		}
	}
	verified := y.Get("verified")
	if verified != nil {
		c.verified = l.Truth(verified, e)
	}
	return []emitter{func(s *frame, out *statements) *event.Error {
		v, whole, err := c.read(s)
		if err != nil || v.State == customer.Absent {
			return err
		}
		path := customer.Path{Name: f.Name}
		if path.ID, err = idOf(s, id); err != nil {
			return err
		}
		return out.add(s, c.src, path, v, whole)
	}}
}

// composite reads a value of parts. Parts that are not set are left out; if none is, the strongest of their states is
// that of the whole.
type composite struct {
	src      *language.Source
	names    []string
	sources  []*language.Source
	fixed    map[string]string // parts that do not make it set
	verified func(s *language.Scope) (bool, *event.Error)
}

func (c *composite) read(s *frame) (v language.Value, whole customer.Value, err *event.Error) {
	for i, src := range c.sources {
		part, err := src.Read(s.Scope)
		if err != nil {
			return v, whole, err
		}
		switch {
		case part.State == customer.Set && part.Text != "":
			if whole.Parts == nil {
				whole.Parts = make(map[string]string, len(c.sources)+len(c.fixed))
			}
			whole.Parts[c.names[i]], v.State = part.Text, customer.Set
			v.Verified = v.Verified || part.Verified
		case v.State != customer.Set && part.State == customer.Set:
			v.State = customer.Cleared
		case v.State != customer.Set:
			v.State = max(v.State, part.State)
		}
	}
	if v.State == customer.Set && c.verified != nil {
		v.Verified, err = c.verified(s.Scope)
	}
	return v, whole, err
}
