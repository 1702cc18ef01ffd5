package language

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/onefold/onefold/adapters/codec"
)

// filter is a condition within brackets.
type filter struct {
	op   string // and or not has == !=
	l, r *filter
	path *Path // relative to the item: its slot is not used
	text string
}

func (f *filter) holds(s *Scope, item *codec.Node) bool {
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

// route reads a whole path: the steps as written, the first perhaps the name of a slot.
func (p *pathReader) route() *Path {
	r := &Path{Text: p.in}
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

func (p *pathReader) relative() *Path {
	r := &Path{}
	for p.err == "" {
		r.steps = append(r.steps, step{name: p.name()})
		if c := p.peek(); c != '.' && c != '/' {
			break
		}
		p.pos++
	}
	return r
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
