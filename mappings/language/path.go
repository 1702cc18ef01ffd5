package language

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/event"
)

// NewScope answers the scope in which a message is read.
func NewScope(in *Input, doc *codec.Node) *Scope {
	s := &Scope{in: in}
	for i := range s.index {
		s.index[i] = -1
	}
	s.slots[slotTop], s.slots[slotRoot] = doc, doc
	return s
}

// Path is a compiled path: where it starts, and the steps from there.
//
//	customer.id                      members of JSON objects, elements of XML by local name
//	Amt/@Ccy                         an attribute
//	"weird name".x                   a name with other characters than letters, digits, _ - : $ @ #
//	lines[0].sku                     by position, from 0
//	Othr[SchmeNm.Cd == "CUST"].Id    the first that fulfils a condition: == != and or not, parentheses, presence
//	lines[].sku                      all of them, where a list is wanted
//	$.merchant_id                    from the top of the message, whatever root says
//	Ntry.#index                      position of an element that each is at, from 0
//
// A path that begins with a name bound by each or let starts there; every other starts at the root, or at the element
// that an each without a name is at.
type Path struct {
	Text  string // as written
	slot  int    // where it starts
	steps []step
}

type step struct {
	name  string
	pick  pick
	index int
	where *filter
	text  string // of the step, for messages
}

type pick uint8

const (
	only     pick = iota // the member itself
	every                // all items, or those that fulfil the filter
	first                // the first item that fulfils the filter
	nth                  // the item at a position
	position             // #index
)

// Slots are the places where a path can start.
const (
	slotTop  = 0 // the whole message
	slotRoot = 1
	slotKey  = 2 // the message's key as a document
	slotFree = 3
	maxSlots = 16
)

// Env is what paths may start at while compiling.
type Env struct {
	base   int
	names  map[string]int
	shapes [maxSlots]*shape
	next   int
}

// bind answers a copy of the environment in which a name stands for a new slot.
func (e Env) bind(name string, s *shape) (Env, int) {
	slot := e.next
	names := make(map[string]int, len(e.names)+1)
	for k, v := range e.names {
		names[k] = v
	}
	if name != "" {
		names[name] = slot
	}
	e.names = names
	e.shapes[slot] = s
	e.next++
	return e, slot
}

func (e Env) full() bool { return e.next >= maxSlots }

// Scope is the state of one evaluation: the message and what the slots hold now.
type Scope struct {
	in    *Input
	slots [maxSlots]*codec.Node
	index [maxSlots]int   // position of the slot's node in its list, -1 where it is in none
	from  [maxSlots]*Path // how the slot's node was reached
}

// at says where in the message the node of a slot stands: "Ntfctn[0].Ntry[17]".
func (s *Scope) at(slot int) string {
	from := s.from[slot]
	if from == nil {
		return ""
	}
	where := from.locate(s, len(from.steps))
	if s.index[slot] >= 0 {
		where += "[" + strconv.Itoa(s.index[slot]) + "]"
	}
	return where
}

// locate writes where the first n steps lead.
func (r *Path) locate(s *Scope, n int) string {
	var b strings.Builder
	b.WriteString(s.at(r.slot))
	for _, st := range r.steps[:n] {
		switch {
		case b.Len() == 0 || st.name == "":
		case st.name[0] == '@':
			b.WriteByte('/')
		default:
			b.WriteByte('.')
		}
		b.WriteString(st.name)
		switch {
		case st.pick == nth:
			fmt.Fprintf(&b, "[%d]", st.index)
		case st.pick == first:
			b.WriteString(strings.TrimPrefix(st.text, st.name))
		}
	}
	return b.String()
}

func (r *Path) full(s *Scope) string { return r.locate(s, len(r.steps)) }

// many tells whether the path stands for a list.
func (r *Path) many() bool {
	for i := range r.steps {
		if r.steps[i].pick == every {
			return true
		}
	}
	return false
}

// one follows the path to one node: nil where something on the way is absent, null where something is null.
func (r *Path) one(s *Scope) (*codec.Node, *event.Error) {
	n := s.slots[r.slot]
	for i := range r.steps {
		st := &r.steps[i]
		if n.Kind() == codec.Absent || n.Kind() == codec.Null {
			return n, nil
		}
		if st.name != "" && n.Kind() != codec.Object {
			return nil, r.wrong(s, i, n, "an object")
		}
		if st.pick == only {
			n = n.Member(st.name)
			continue
		}
		var found *codec.Node
		for at, item := range st.candidates(n) {
			if st.takes(s, item, at) {
				found = item
				break
			}
		}
		n = found
	}
	return n, nil
}

// all visits every node that the path leads to, with its position in the innermost list; nulls are passed over.
func (r *Path) all(s *Scope, visit func(n *codec.Node, at int) *event.Error) *event.Error {
	return r.walk(s, s.slots[r.slot], 0, -1, visit)
}

func (r *Path) walk(s *Scope, n *codec.Node, i, at int, visit func(*codec.Node, int) *event.Error) *event.Error {
	if n.Kind() == codec.Absent || n.Kind() == codec.Null {
		return nil
	}
	if i == len(r.steps) {
		return visit(n, at)
	}
	st := &r.steps[i]
	if st.name != "" && n.Kind() != codec.Object {
		return r.wrong(s, i, n, "an object")
	}
	if st.pick == only {
		return r.walk(s, n.Member(st.name), i+1, at, visit)
	}
	for at, item := range st.candidates(n) {
		if !st.takes(s, item, at) {
			continue
		}
		if err := s.in.spend(); err != nil {
			return err
		}
		if err := r.walk(s, item, i+1, at, visit); err != nil || st.pick != every {
			return err
		}
	}
	return nil
}

func (st *step) candidates(n *codec.Node) []*codec.Node {
	if st.name == "" {
		return n.Items()
	}
	return n.All(st.name)
}

func (st *step) takes(s *Scope, item *codec.Node, at int) bool {
	if st.pick == nth {
		return at == st.index
	}
	return st.where == nil || st.where.holds(s, item)
}

func (r *Path) wrong(s *Scope, steps int, n *codec.Node, want string) *event.Error {
	return Invalid(r.locate(s, steps), "%s is expected here, %s stands: the mapping reads %s", want, article(n.Kind()), r.Text)
}

func article(k codec.Kind) string {
	switch k {
	case codec.Null, codec.Absent:
		return "nothing"
	case codec.Array, codec.Object:
		return "an " + k.String()
	default:
		return "a " + k.String()
	}
}

// path compiles the text of a path, nil after a fault. Offset is where in y's text it stands.
func (l *Compiler) path(y *YAML, text string, offset int, e Env) *Path {
	if text == "." { // the place itself
		return &Path{Text: text, slot: e.base}
	}
	p := pathReader{in: text}
	r := p.route()
	if p.err != "" {
		l.sayAt(y, offset+min(p.pos, len(text)), "a path is written a.b, a[0].b, a[x == \"y\"].b or a/@b", "not a path: %s", p.err)
		return nil
	}
	r.slot = e.base
	head := r.steps[0]
	slot, bound := e.names[head.name]
	if head.name == "$" {
		slot, bound = slotTop, true
	}
	if bound {
		r.slot, r.steps = slot, r.steps[1:]
		if head.pick != only {
			head.name = ""
			r.steps = append([]step{head}, r.steps...)
		}
	}
	if len(r.steps) > 0 && r.steps[len(r.steps)-1].name == "#index" {
		if len(r.steps) > 1 || !bound {
			l.sayAt(y, offset, "write NAME.#index with a name that each binds", "#index is the position of what an each is at")
			return nil
		}
		r.steps[0].pick = position
		return r
	}
	if !l.fits(y, offset, r, e) {
		return nil
	}
	return r
}

// Enter moves the scope's root to the first of the paths that leads anywhere; false if none does.
func (s *Scope) Enter(roots []*Path) (bool, *event.Error) {
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

// Root says where the root is.
func (s *Scope) Root() string { return s.at(slotRoot) }
