package mappings

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/event"
)

// route is a compiled path: where it starts, and the steps from there.
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
type route struct {
	text  string // as written
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

// env is what paths may start at while compiling.
type env struct {
	base   int
	names  map[string]int
	shapes [maxSlots]*shape
	next   int
}

// bind answers a copy of the environment in which a name stands for a new slot.
func (e env) bind(name string, s *shape) (env, int) {
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

func (e env) full() bool { return e.next >= maxSlots }

// scope is the state of one evaluation: the message and what the slots hold now.
type scope struct {
	in    *input
	slots [maxSlots]*codec.Node
	index [maxSlots]int    // position of the slot's node in its list, -1 where it is in none
	from  [maxSlots]*route // how the slot's node was reached
}

// at says where in the message the node of a slot stands: "Ntfctn[0].Ntry[17]".
func (s *scope) at(slot int) string {
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
func (r *route) locate(s *scope, n int) string {
	var b strings.Builder
	b.WriteString(s.at(r.slot))
	for _, st := range r.steps[:n] {
		if b.Len() > 0 && st.name != "" {
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

func (r *route) full(s *scope) string { return r.locate(s, len(r.steps)) }

// many tells whether the path stands for a list.
func (r *route) many() bool {
	for i := range r.steps {
		if r.steps[i].pick == every {
			return true
		}
	}
	return false
}

// one follows the path to one node: nil where something on the way is absent, null where something is null.
func (r *route) one(s *scope) (*codec.Node, *event.Error) {
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
func (r *route) all(s *scope, visit func(n *codec.Node, at int) *event.Error) *event.Error {
	return r.walk(s, s.slots[r.slot], 0, -1, visit)
}

func (r *route) walk(s *scope, n *codec.Node, i, at int, visit func(*codec.Node, int) *event.Error) *event.Error {
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

func (st *step) takes(s *scope, item *codec.Node, at int) bool {
	if st.pick == nth {
		return at == st.index
	}
	return st.where == nil || st.where.holds(s, item)
}

func (r *route) wrong(s *scope, steps int, n *codec.Node, want string) *event.Error {
	return invalid(r.locate(s, steps), "%s is expected here, %s stands: the mapping reads %s", want, article(n.Kind()), r.text)
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

// invalid is the error about a value that a message should not have.
func invalid(path, format string, args ...any) *event.Error {
	return event.Errorf(event.Poison, reasonValidation, path, format, args...)
}

// filter is a condition within brackets.
type filter struct {
	op   string // and or not has == !=
	l, r *filter
	path *route // relative to the item: its slot is not used
	text string
}

func (f *filter) holds(s *scope, item *codec.Node) bool {
	switch f.op {
	case "and":
		return f.l.holds(s, item) && f.r.holds(s, item)
	case "or":
		return f.l.holds(s, item) || f.r.holds(s, item)
	case "not":
		return !f.l.holds(s, item)
	}
	n := item
	for i := range f.path.steps {
		st := &f.path.steps[i]
		if items := n.Items(); n.Kind() == codec.Array { // of several the first that is there
			n = nil
			if len(items) > 0 {
				n = items[0]
			}
		}
		n = n.Member(st.name)
	}
	switch f.op {
	case "==":
		return n.Kind() != codec.Absent && n.Kind() != codec.Null && n.Text() == f.text
	case "!=":
		return n.Text() != f.text
	default:
		return truthy(n)
	}
}

// truthy tells whether something is there that does not say no.
func truthy(n *codec.Node) bool {
	switch n.Kind() {
	case codec.Absent, codec.Null:
		return false
	case codec.Object, codec.Array:
		return true
	default:
		return n.Text() != "" && n.Text() != "false" && n.Text() != "0"
	}
}

// pathReader reads the text of one path.
type pathReader struct {
	in  string
	pos int
	err string
}

func (p *pathReader) fail(format string, args ...any) {
	if p.err == "" {
		p.err = fmt.Sprintf(format, args...)
	}
}

func (p *pathReader) peek() byte {
	if p.pos < len(p.in) {
		return p.in[p.pos]
	}
	return 0
}

func (p *pathReader) blanks() {
	for p.peek() == ' ' {
		p.pos++
	}
}

func nameByte(c byte) bool {
	return c == '_' || c == '-' || c == ':' || c == '$' || c == '@' || c == '#' || c >= 0x80 ||
		c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// name reads a member's name, plain or in quotes.
func (p *pathReader) name() string {
	if c := p.peek(); c == '"' || c == '\'' {
		return p.quoted()
	}
	from := p.pos
	for nameByte(p.peek()) {
		p.pos++
	}
	if from == p.pos {
		p.fail("a name is expected")
	}
	return p.in[from:p.pos]
}

func (p *pathReader) quoted() string {
	end := strings.IndexByte(p.in[p.pos+1:], p.peek())
	if end < 0 {
		p.fail("the quote is not closed")
		return ""
	}
	text := p.in[p.pos+1 : p.pos+1+end]
	p.pos += end + 2
	return text
}

// step reads a name and what follows it in brackets.
func (p *pathReader) step(named bool) (st step) {
	from := p.pos
	if named {
		st.name = p.name()
	}
	if p.peek() == '[' {
		p.pos++
		p.bracket(&st)
		if p.blanks(); p.peek() != ']' {
			p.fail("] is expected")
		}
		p.pos++
	}
	if p.err == "" {
		st.text = p.in[from:min(p.pos, len(p.in))]
	}
	return st
}

const maxIndex = 7 // digits

func (p *pathReader) bracket(st *step) {
	p.blanks()
	if p.peek() == ']' {
		st.pick = every
		return
	}
	digits := strings.TrimLeft(p.in[p.pos:], "0123456789")
	if n := len(p.in) - p.pos - len(digits); n > 0 && strings.HasPrefix(strings.TrimLeft(digits, " "), "]") {
		if n > maxIndex {
			p.fail("a position has at most %d digits", maxIndex)
			return
		}
		st.pick = nth
		st.index, _ = strconv.Atoi(p.in[p.pos : p.pos+n])
		p.pos += n
		return
	}
	st.pick, st.where = first, p.or(0)
}

func (p *pathReader) word(words ...string) bool {
	p.blanks()
	for _, w := range words {
		rest, ok := strings.CutPrefix(p.in[p.pos:], w)
		if ok && (rest == "" || !nameByte(rest[0])) {
			p.pos += len(w)
			return true
		}
	}
	return false
}

const maxFilterDepth = 20

func (p *pathReader) or(depth int) *filter {
	if depth > maxFilterDepth {
		p.fail("the condition has more than %d levels", maxFilterDepth)
		return nil
	}
	f := p.and(depth)
	for p.err == "" && p.word("or", "||") {
		f = &filter{op: "or", l: f, r: p.and(depth)}
	}
	return f
}

func (p *pathReader) and(depth int) *filter {
	f := p.term(depth)
	for p.err == "" && p.word("and", "&&") {
		f = &filter{op: "and", l: f, r: p.term(depth)}
	}
	return f
}

func (p *pathReader) term(depth int) *filter {
	if p.word("not") {
		return &filter{op: "not", l: p.term(depth + 1)}
	}
	if p.blanks(); p.peek() == '(' {
		p.pos++
		f := p.or(depth + 1)
		if p.blanks(); p.peek() != ')' {
			p.fail(") is expected")
		}
		p.pos++
		return f
	}
	f := &filter{op: "has", path: p.relative()}
	p.blanks()
	for _, op := range []string{"==", "!="} {
		if strings.HasPrefix(p.in[p.pos:], op) {
			f.op = op
			p.pos += len(op)
			p.blanks()
			f.text = p.name()
		}
	}
	return f
}

func (p *pathReader) relative() *route {
	r := &route{}
	for p.err == "" {
		r.steps = append(r.steps, step{name: p.name()})
		if c := p.peek(); c != '.' && c != '/' {
			break
		}
		p.pos++
	}
	return r
}

// route reads a whole path: the steps as written, the first perhaps the name of a slot.
func (p *pathReader) route() *route {
	r := &route{text: p.in}
	if p.peek() == '[' {
		r.steps = append(r.steps, p.step(false))
	} else {
		r.steps = append(r.steps, p.step(true))
	}
	for p.err == "" && p.pos < len(p.in) {
		if c := p.peek(); c == '[' {
			r.steps = append(r.steps, p.step(false))
			continue
		} else if c != '.' && (c != '/' || !strings.HasPrefix(p.in[p.pos:], "/@")) {
			p.fail("a dot is expected between the names of a path")
			break
		}
		p.pos++
		r.steps = append(r.steps, p.step(true))
	}
	return r
}

// path compiles the text of a path, nil after a fault. Offset is where in y's text it stands.
func (l *loader) path(y *yaml, text string, offset int, e env) *route {
	if text == "." { // the place itself
		return &route{text: text, slot: e.base}
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
