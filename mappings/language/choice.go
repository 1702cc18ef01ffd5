package language

import (
	"slices"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// firstOf takes the first source that has a value, else the first that says anything.
func (l *Compiler) firstOf(y, of *YAML, e Env) *Source {
	if of.Kind != List || len(of.Items) == 0 {
		l.Say(of, "write first_of: [a, b]", "a list of sources is expected here, %s stands", of.Kind)
		return nil
	}
	var each []*Source
	out := &Source{Y: y}
	for _, item := range of.Items {
		src := l.Any(item, e)
		if src == nil {
			continue
		}
		if len(each) > 0 && src.Gives != each[0].Gives {
			l.Say(item, "", "%s is given, the first source gives %s", src.Gives, each[0].Gives)
			continue
		}
		each, out.Paths, out.Gives = append(each, src), append(out.Paths, src.Paths...), src.Gives
		out.Texts = append(out.Texts, src.Texts...)
	}
	if len(each) < len(of.Items) {
		return nil
	}
	if slices.ContainsFunc(each, func(src *Source) bool { return src.Texts == nil }) {
		out.Texts = nil
	}
	out.which = func(s *Scope) *Source {
		for _, src := range each {
			if _, there, err := src.Text(s); there || err != nil {
				return src
			}
		}
		return nil
	}
	out.Read = func(s *Scope) (best Value, err *event.Error) {
		for _, src := range each {
			v, err := src.Read(s)
			if err != nil {
				return Value{}, err
			}
			if v.State == customer.Set && (v.Text != "" || src.Gives != AText) {
				return v, nil
			}
			if best.State == customer.Absent {
				best = v
			}
		}
		return best, nil
	}
	return out
}

// choice compiles {switch: SOURCE, CASE: SOURCE, else: SOURCE}.
func (l *Compiler) choice(y *YAML, e Env, extra []string) *Source {
	on := l.Source(y.Get("switch"), e)
	cases := map[string]*Source{}
	out := &Source{Y: y, Texts: []string{}}
	if on != nil {
		out.Paths = append(out.Paths, on.Paths...)
	}
	ok := on != nil
	for i := range y.Keys {
		k := &y.Keys[i]
		if k.Name == "switch" || slices.Contains(extra, k.Name) {
			continue
		}
		src := l.Source(k.Value, e)
		if src == nil {
			ok = false
			continue
		}
		cases[k.Name], out.Paths = src, append(out.Paths, src.Paths...)
		if out.Texts = append(out.Texts, src.Texts...); src.Texts == nil {
			out.Texts = nil
		}
	}
	if !ok {
		return nil
	}
	choose := func(s *Scope) (*Source, *event.Error) {
		v, err := on.Read(s)
		if err != nil {
			return on, err
		}
		src := cases[v.Text]
		if src == nil || v.State != customer.Set {
			src = cases["else"]
		}
		return src, nil
	}
	out.which = func(s *Scope) *Source {
		src, _ := choose(s)
		return src
	}
	out.Read = func(s *Scope) (Value, *event.Error) {
		src, err := choose(s)
		if err != nil || src == nil {
			return Value{}, err
		}
		return src.Read(s)
	}
	return out
}

// enum compiles a closed translation of values. A value that is not in it is an error unless else is given.
func (l *Compiler) enum(y *YAML, src *Source, enum *YAML) {
	if enum.Kind != Object || src.Gives != AText {
		l.Say(enum, "write enum: {theirs: ours}", "keys and values are expected here, and a text to translate")
		return
	}
	table := make(map[string]Value, len(enum.Keys))
	src.Texts = nil
	translated := func(to *YAML) Value {
		if to.Kind == nothing {
			return Value{}
		}
		text := l.String(to, "a text, or ~ for no statement")
		src.Texts = append(src.Texts, text)
		return Value{State: customer.Set, Text: text}
	}
	for i := range enum.Keys {
		table[enum.Keys[i].Name] = translated(enum.Keys[i].Value)
	}
	other, lenient := Value{}, y.Get("else") != nil
	if lenient {
		other = translated(y.Get("else"))
	}
	read := src.Read
	src.Read = func(s *Scope) (Value, *event.Error) {
		v, err := read(s)
		if err != nil || v.State != customer.Set {
			return v, err
		}
		to, known := table[v.Text]
		switch {
		case known:
			return to, nil
		case lenient:
			return other, nil
		default:
			return v, Invalid(src.Where(s), "the value is not one that the mapping's enum knows: add it there, or an else")
		}
	}
}

// Let names a part of the message.
type Let struct {
	slot int
	pick func(s *Scope) (*Path, *event.Error) // the path that was taken
}

// Bind puts the part into the name's slot.
func (t *Let) Bind(s *Scope) *event.Error {
	s.slots[t.slot], s.index[t.slot] = nil, -1
	route, err := t.pick(s)
	if err != nil {
		return err
	}
	if s.from[t.slot] = route; route != nil {
		s.slots[t.slot], err = route.one(s)
	}
	return err
}

// Lets compiles {name: path}, {name: {first_of: [path, ...]}} and {name: {switch: SOURCE, CASE: path}}.
func (l *Compiler) Lets(y *YAML, e Env) (lets []*Let, inner Env) {
	if y == nil {
		return nil, e
	}
	if y.Kind != Object {
		l.Say(y, "write let: {name: path}", "names and paths are expected here, %s stands", y.Kind)
		return lets, e
	}
	for i := range y.Keys {
		k := &y.Keys[i]
		if e.full() {
			l.SayKey(y, k, "", "more than %d names are bound, which is the limit", maxSlots-slotFree)
			return lets, e
		}
		pick, shape := l.pick(k.Value, e)
		var slot int
		e, slot = e.bind(k.Name, shape)
		if pick != nil {
			lets = append(lets, &Let{slot: slot, pick: pick})
		}
	}
	return lets, e
}

// pick compiles the choice of one part of the message.
func (l *Compiler) pick(y *YAML, e Env) (func(s *Scope) (*Path, *event.Error), *shape) {
	switch {
	case y.Kind == Scalar:
		r := l.path(y, l.String(y, "a path"), 0, e)
		if r == nil || r.many() {
			l.Say(y, "pick one: [0] or [condition]", "a name stands for one part of the message")
			return nil, nil
		}
		return func(*Scope) (*Path, *event.Error) { return r, nil }, e.shapeOf(r)
	case y.Has("switch"):
		return l.pickCase(y, e), nil
	case y.Kind == Object && l.Allow(y, "first_of") && y.Has("first_of"):
		var all []func(s *Scope) (*Path, *event.Error)
		for _, item := range y.Get("first_of").Items {
			if f, _ := l.pick(item, e); f != nil {
				all = append(all, f)
			}
		}
		return func(s *Scope) (*Path, *event.Error) {
			for _, f := range all {
				r, err := f(s)
				if err != nil || r == nil {
					continue
				}
				if v, err := r.tree(s); err != nil || v.State == customer.Set {
					return r, err
				}
			}
			return nil, nil
		}, nil
	}
	l.Say(y, "write a path, first_of or switch", "a part of the message is expected here")
	return nil, nil
}

func (l *Compiler) pickCase(y *YAML, e Env) func(s *Scope) (*Path, *event.Error) {
	on := l.Source(y.Get("switch"), e)
	cases := map[string]func(s *Scope) (*Path, *event.Error){}
	for i := range y.Keys {
		if k := &y.Keys[i]; k.Name != "switch" {
			cases[k.Name], _ = l.pick(k.Value, e)
		}
	}
	if on == nil {
		return nil
	}
	return func(s *Scope) (*Path, *event.Error) {
		text, _, err := on.Text(s)
		f := cases[text]
		if f == nil {
			f = cases["else"]
		}
		if err != nil || f == nil {
			return nil, err
		}
		return f(s)
	}
}

// Roots compiles where paths begin: path, or {first_of: [path, ...]}.
func (l *Compiler) Roots(y *YAML, e Env) (roots []*Path, inner Env) {
	out := e
	out.base = slotRoot
	out.shapes[slotRoot] = e.shapes[slotTop]
	if y == nil {
		return roots, out
	}
	var shapes []*shape
	items := []*YAML{y}
	if y.Kind == Object && l.Allow(y, "first_of") && y.Has("first_of") {
		items = y.Get("first_of").Items
	}
	for _, item := range items {
		if text := l.String(item, "a path"); text != "" {
			if route := l.path(item, text, 0, e); route != nil {
				roots = append(roots, route)
				shapes = append(shapes, e.shapeOf(route))
			}
		}
	}
	out.shapes[slotRoot] = union(shapes)
	return roots, out
}
