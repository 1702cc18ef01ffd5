package mappings

import (
	"slices"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/event"
)

// loop goes through a list of a message; while it does, its slot holds the item.
type loop struct {
	route *route
	slot  int
}

// text answers the path as written.
func (lp *loop) text() string { return lp.route.text }

// run visits each item.
func (lp *loop) run(s *scope, visit func() *event.Error) *event.Error {
	s.from[lp.slot] = lp.route
	err := lp.route.all(s, func(n *codec.Node, at int) *event.Error {
		s.slots[lp.slot], s.index[lp.slot] = n, at
		return visit()
	})
	s.slots[lp.slot], s.index[lp.slot] = nil, -1
	return err
}

// at answers where the item stands that the loop is at; false between two.
func (lp *loop) at(s *scope) (string, bool) { return s.at(lp.slot), s.slots[lp.slot] != nil }

// loop compiles a path, relative to whose items all other paths are, or {name: path}, by whose name they are reached.
func (l *loader) loop(y *yaml, e env) (*loop, env) {
	name, at := "", y
	if y.kind == object {
		if len(y.keys) != 1 {
			l.say(y, "each: {line: lines}", "one name and one path are expected here")
			return nil, e
		}
		name, at = y.keys[0].name, y.keys[0].value
	}
	text := l.string(at, "a path")
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
	return &loop{route: r, slot: slot}, e
}

// each compiles {name: path, else: coarser path} into one loop for each list on the way. Coarse is how many of them suffice
// where the finer ones are missing; -1: all are needed.
func (l *loader) each(y *yaml, e env) (loops []*loop, coarse int, inner env) {
	if y == nil {
		return nil, -1, e
	}
	if y.kind != object {
		l.say(y, `write each: {line: "lines[]"}`, "a name and a path are expected here, %s stands", y.kind)
		return nil, -1, e
	}
	for i := range y.keys {
		k := &y.keys[i]
		if k.name == "else" {
			continue
		}
		if len(loops) > 0 {
			l.sayKey(y, k, "lists within lists are one path: a[].b[]", "each goes through one path")
			continue
		}
		loops, e = l.descend(k, e)
	}
	other := y.get("else")
	if other == nil {
		return loops, -1, e
	}
	text := l.string(other, "a path")
	n := slices.IndexFunc(loops, func(lp *loop) bool { return lp.route.text == text })
	if n < 0 && text != "" && len(loops) > 0 {
		l.say(other, "it is the beginning of the other path, up to one of its []", "the path of else does not lead to the one of each")
	}
	return loops, n + 1, e
}

// descend splits the path of an each at its lists; each level is bound under its element's name, the last under its own.
func (l *loader) descend(k *yamlKey, e env) (loops []*loop, inner env) {
	text := l.string(k.value, "a path")
	if text == "" {
		return loops, e
	}
	whole := l.path(k.value, text, 0, e)
	if whole == nil {
		return loops, e
	}
	from, slot, done := 0, whole.slot, ""
	for i := range whole.steps {
		st := &whole.steps[i]
		done = join(done, st.text)
		if st.pick != every && st.pick != first {
			continue
		}
		st.pick = every // with a condition: all that fulfil it
		if e.full() {
			l.say(k.value, "", "more than %d names are bound, which is the limit", maxSlots-slotFree)
			return loops, e
		}
		r := &route{text: done, slot: slot, steps: whole.steps[from : i+1]}
		shape := e.shapeOf(r)
		name := st.name
		if i == len(whole.steps)-1 {
			name = k.name
		}
		e, slot = e.bind(name, shape)
		from = i + 1
		loops = append(loops, &loop{route: r, slot: slot})
	}
	if from < len(whole.steps) || len(loops) == 0 {
		l.say(k.value, "end it with []", "the path of an each leads to a list")
	}
	return loops, e
}
