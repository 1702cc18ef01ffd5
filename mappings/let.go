package mappings

import (
	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// let names a part of the message.
type let struct {
	slot int
	pick func(s *scope) (*route, *event.Error) // the path that was taken
}

// bind puts the part into the name's slot.
func (t *let) bind(s *scope) *event.Error {
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

// lets compiles {name: path}, {name: {first_of: [path, ...]}} and {name: {switch: SOURCE, CASE: path}}.
func (l *loader) lets(y *yaml, e env) (lets []*let, inner env) {
	if y == nil {
		return nil, e
	}
	if y.kind != object {
		l.say(y, "write let: {name: path}", "names and paths are expected here, %s stands", y.kind)
		return lets, e
	}
	for i := range y.keys {
		k := &y.keys[i]
		if e.full() {
			l.sayKey(y, k, "", "more than %d names are bound, which is the limit", maxSlots-slotFree)
			return lets, e
		}
		pick, shape := l.pick(k.value, e)
		var slot int
		e, slot = e.bind(k.name, shape)
		if pick != nil {
			lets = append(lets, &let{slot: slot, pick: pick})
		}
	}
	return lets, e
}

// pick compiles the choice of one part of the message.
func (l *loader) pick(y *yaml, e env) (func(s *scope) (*route, *event.Error), *shape) {
	switch {
	case y.kind == scalar:
		r := l.path(y, l.string(y, "a path"), 0, e)
		if r == nil || r.many() {
			l.say(y, "pick one: [0] or [condition]", "a name stands for one part of the message")
			return nil, nil
		}
		return func(*scope) (*route, *event.Error) { return r, nil }, e.shapeOf(r)
	case y.has("switch"):
		return l.pickCase(y, e), nil
	case y.kind == object && l.allow(y, "first_of") && y.has("first_of"):
		var all []func(s *scope) (*route, *event.Error)
		for _, item := range y.get("first_of").items {
			if f, _ := l.pick(item, e); f != nil {
				all = append(all, f)
			}
		}
		return func(s *scope) (*route, *event.Error) {
			for _, f := range all {
				r, err := f(s)
				if err != nil || r == nil {
					continue
				}
				if v, err := r.tree(s); err != nil || v.state == customer.Set {
					return r, err
				}
			}
			return nil, nil
		}, nil
	}
	l.say(y, "write a path, first_of or switch", "a part of the message is expected here")
	return nil, nil
}

func (l *loader) pickCase(y *yaml, e env) func(s *scope) (*route, *event.Error) {
	on := l.source(y.get("switch"), e)
	cases := map[string]func(s *scope) (*route, *event.Error){}
	for i := range y.keys {
		if k := &y.keys[i]; k.name != "switch" {
			cases[k.name], _ = l.pick(k.value, e)
		}
	}
	if on == nil {
		return nil
	}
	return func(s *scope) (*route, *event.Error) {
		text, _, err := on.text(s)
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

// roots compiles where paths begin: path, or {first_of: [path, ...]}.
func (l *loader) roots(y *yaml, e env) (roots []*route, inner env) {
	out := e
	out.base = slotRoot
	out.shapes[slotRoot] = e.shapes[slotTop]
	if y == nil {
		return roots, out
	}
	var shapes []*shape
	items := []*yaml{y}
	if y.kind == object && l.allow(y, "first_of") && y.has("first_of") {
		items = y.get("first_of").items
	}
	for _, item := range items {
		if text := l.string(item, "a path"); text != "" {
			if route := l.path(item, text, 0, e); route != nil {
				roots = append(roots, route)
				shapes = append(shapes, e.shapeOf(route))
			}
		}
	}
	out.shapes[slotRoot] = union(shapes)
	return roots, out
}

// enter moves the scope's root to the first of the paths that leads anywhere; false if none does.
func (s *scope) enter(roots []*route) (bool, *event.Error) {
	for _, root := range roots {
		n, err := root.one(s)
		if err != nil {
			return false, err
		}
		if n.Kind() != codec.Absent && n.Kind() != codec.Null {
			s.slots[slotRoot], s.from[slotRoot] = n, root
			return true, nil
		}
	}
	return len(roots) == 0, nil
}

// root says where the root is.
func (s *scope) root() string { return s.at(slotRoot) }
