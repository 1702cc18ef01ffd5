package language

import (
	"slices"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/event"
)

// Loop goes through a list of a message; while it does, its slot holds the item.
type Loop struct {
	route *Path
	slot  int
}

// Text answers the path as written.
func (lp *Loop) Text() string { return lp.route.Text }

// Run visits each item.
func (lp *Loop) Run(s *Scope, visit func() *event.Error) *event.Error {
	s.from[lp.slot] = lp.route
	err := lp.route.all(s, func(n *codec.Node, at int) *event.Error {
		s.slots[lp.slot], s.index[lp.slot] = n, at
		return visit()
	})
	s.slots[lp.slot], s.index[lp.slot] = nil, -1
	return err
}

// At answers where the item stands that the loop is at; false between two.
func (lp *Loop) At(s *Scope) (string, bool) { return s.at(lp.slot), s.slots[lp.slot] != nil }

// Loop compiles a path, relative to whose items all other paths are, or {name: path}, by whose name they are reached.
func (l *Compiler) Loop(y *YAML, e Env) (*Loop, Env) {
	name, at := "", y
	if y.Kind == Object {
		if len(y.Keys) != 1 {
			l.Say(y, "each: {line: lines}", "one name and one path are expected here")
			return nil, e
		}
		name, at = y.Keys[0].Name, y.Keys[0].Value
	}
	text := l.String(at, "a path")
	if text == "" || e.full() {
		return nil, e
	}
	r := l.path(at, text, 0, e)
	if r == nil {
		return nil, e
	}
	s := e.shapeOf(r)
	if n := len(r.steps); n > 0 {
		last := &r.steps[n-1]
		if last.pick == only || last.pick == first {
			last.pick = every
			s = s.element()
		}
	}
	base := e.base
	e, slot := e.bind(name, s)
	e.base = base
	if name == "" {
		e.base = slot
	}
	return &Loop{route: r, slot: slot}, e
}

// Each compiles {name: path, else: coarser path} into one loop for each list on the way. Coarse is how many of them suffice
// where the finer ones are missing; -1: all are needed.
func (l *Compiler) Each(y *YAML, e Env) (loops []*Loop, coarse int, inner Env) {
	if y == nil {
		return nil, -1, e
	}
	if y.Kind != Object {
		l.Say(y, `write each: {line: "lines[]"}`, "a name and a path are expected here, %s stands", y.Kind)
		return nil, -1, e
	}
	for i := range y.Keys {
		k := &y.Keys[i]
		if k.Name == "else" {
			continue
		}
		if len(loops) > 0 {
			l.SayKey(y, k, "lists within lists are one path: a[].b[]", "each goes through one path")
			continue
		}
		loops, e = l.descend(k, e)
	}
	other := y.Get("else")
	if other == nil {
		return loops, -1, e
	}
	text := l.String(other, "a path")
	n := slices.IndexFunc(loops, func(lp *Loop) bool { return lp.route.Text == text })
	if n < 0 && text != "" && len(loops) > 0 {
		l.Say(other, "it is the beginning of the other path, up to one of its []", "the path of else does not lead to the one of each")
	}
	return loops, n + 1, e
}

// descend splits the path of an each at its lists; each level is bound under its element's name, the last under its own.
func (l *Compiler) descend(k *Key, e Env) (loops []*Loop, inner Env) {
	text := l.String(k.Value, "a path")
	if text == "" {
		return loops, e
	}
	whole := l.path(k.Value, text, 0, e)
	if whole == nil {
		return loops, e
	}
	from, slot, done := 0, whole.slot, ""
	for i := range whole.steps {
		st := &whole.steps[i]
		done = Join(done, st.text)
		if st.pick != every && st.pick != first {
			continue
		}
		st.pick = every // with a condition: all that fulfil it
		if e.full() {
			l.Say(k.Value, "", "more than %d names are bound, which is the limit", maxSlots-slotFree)
			return loops, e
		}
		r := &Path{Text: done, slot: slot, steps: whole.steps[from : i+1]}
		shape := e.shapeOf(r)
		name := st.name
		if i == len(whole.steps)-1 {
			name = k.Name
		}
		e, slot = e.bind(name, shape)
		from = i + 1
		loops = append(loops, &Loop{route: r, slot: slot})
	}
	if from < len(whole.steps) || len(loops) == 0 {
		l.Say(k.Value, "end it with []", "the path of an each leads to a list")
	}
	return loops, e
}
