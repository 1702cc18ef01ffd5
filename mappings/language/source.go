package language

import (
	"strconv"
	"strings"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Value is what a source gave: the state says which of the other members mean something.
type Value struct {
	State    customer.State
	Text     string
	List     []string
	node     *codec.Node // of a tree
	Verified bool
}

// kind is the type of a value while compiling.
type kind uint8

// The kinds of value.
const (
	AText kind = iota
	aList
	ATree
)

func (k kind) String() string { return [...]string{"a text", "a list", "a part of the message"}[k] }

// Source is a compiled expression of the mapping language: where a value comes from and what is done to it.
//
//	path                                   the short form
//	{from: path, then: [trim, lower]}      a path and functions
//	{header: X-Name}, {const: text}, {expr: 'a + b'}
//	{first_of: [SOURCE, ...]}              the first that has a value
//	{switch: SOURCE, CASE: SOURCE, ..., else: SOURCE}
//
// with, beside from, header, expr and first_of: then, enum with else, verified.
type Source struct {
	Y     *YAML
	Gives kind
	Read  func(s *Scope) (Value, *event.Error)
	Paths []*Path                // that it reads, for traces and error paths
	Texts []string               // that it can give, where that is known
	which func(s *Scope) *Source // of several, the one that gives the value now
}

// Where answers the path of the input that an error about the source's value is about.
func (src *Source) Where(s *Scope) string {
	if src.which != nil {
		if chosen := src.which(s); chosen != nil {
			return chosen.Where(s)
		}
	}
	if len(src.Paths) == 0 {
		return ""
	}
	return src.Paths[0].full(s)
}

// Text reads a value that must be there to go on: state Set.
func (src *Source) Text(s *Scope) (text string, there bool, err *event.Error) {
	v, err := src.Read(s)
	return v.Text, err == nil && v.State == customer.Set && v.Text != "", err
}

// sourceKeys are the keys of the long form.
func sourceKeys() []string {
	return []string{"from", "header", "const", "expr", "first_of", "switch", "then", "enum", "else", "verified"}
}

// Source compiles a text source; a list is refused.
func (l *Compiler) Source(y *YAML, e Env, extra ...string) *Source {
	src := l.Any(y, e, extra...)
	if src != nil && src.Gives != AText {
		l.Say(y, "end it with join, first, last, count or sum", "%s is given, a text is expected", src.Gives)
		return nil
	}
	return src
}

// Any compiles a source of any kind; nil after a fault or where y is nil. Extra keys are the context's business.
func (l *Compiler) Any(y *YAML, e Env, extra ...string) *Source {
	if y == nil {
		return nil
	}
	switch y.Kind {
	case Scalar:
		return l.short(y, y, e, AText)
	case Object:
		if y.Has("switch") {
			return l.choice(y, e, extra)
		}
		if !l.Allow(y, append(sourceKeys(), extra...)...) {
			return nil
		}
		return l.long(y, e)
	default:
		l.Say(y, "write a path, or one of "+strings.Join(sourceKeys()[:6], ", "), "a value's source is expected here, %s stands", y.Kind)
		return nil
	}
}

// short compiles a path, header("X") or key("a.b"); of is the source it belongs to.
func (l *Compiler) short(of, y *YAML, e Env, want kind) *Source {
	text := l.String(y, "a path")
	if text == "" {
		return nil
	}
	if name, args, ok := callOf(text); ok && (name == "header" || name == "key") {
		if len(args) > 1 || len(args) == 1 && !args[0].quoted {
			l.Say(y, name+`("...") takes one name in quotes`, "not a source")
			return nil
		}
		arg := ""
		if len(args) == 1 {
			arg = args[0].text
		}
		return l.outside(of, y, name, arg)
	}
	r := l.path(y, text, 0, e)
	if r == nil {
		return nil
	}
	if want == aList {
		r.widen()
	}
	if r.many() {
		return &Source{Y: of, Gives: aList, Paths: []*Path{r}, Read: r.list(l.d)}
	}
	if want == ATree {
		return &Source{Y: of, Gives: ATree, Paths: []*Path{r}, Read: r.tree}
	}
	if s := e.shapeOf(r); s != nil && !s.text {
		l.Say(y, "name one of its members, or pick one with []", "%q is an object or a list in the schema, a single value is expected", text)
		return nil
	}
	return &Source{Y: of, Paths: []*Path{r}, Read: r.scalar(l.d)}
}

// widen makes a path stand for all that it could mean, where a list is wanted: a condition picks all that fulfil it, and
// without any [] the last name is taken as often as it is there.
func (r *Path) widen() {
	for i := range r.steps {
		if r.steps[i].pick == first {
			r.steps[i].pick = every
		}
	}
	if n := len(r.steps); n > 0 && !r.many() && r.steps[n-1].pick == only {
		r.steps[n-1].pick = every
	}
}

// outside compiles what is read beside the message's value: a header, or its key as a JSON document.
func (l *Compiler) outside(of, y *YAML, name, arg string) *Source {
	m := l.d
	if name == "header" {
		if arg == "" {
			l.Say(y, "", "the name of a header is expected")
			return nil
		}
		return &Source{Y: of, Read: func(s *Scope) (Value, *event.Error) {
			text, there := s.in.Msg.Header(arg)
			if !there {
				return Value{}, nil
			}
			return m.judge(text), nil
		}}
	}
	if arg == "" {
		return &Source{Y: of, Read: func(s *Scope) (Value, *event.Error) {
			if s.in.Msg.Key == nil {
				return Value{}, nil
			}
			return m.judge(string(s.in.Msg.Key)), nil
		}}
	}
	e := Env{base: slotKey, next: slotFree}
	r := l.path(y, arg, 0, e)
	if r == nil {
		return nil
	}
	read := r.scalar(m)
	return &Source{Y: of, Paths: []*Path{r}, Read: func(s *Scope) (Value, *event.Error) {
		if err := s.in.openKey(s); err != nil {
			return Value{}, err
		}
		return read(s)
	}}
}

// long compiles {from: ..., then: ...} and its kin.
func (l *Compiler) long(y *YAML, e Env) *Source {
	calls := l.calls(y.Get("then"), e)
	src := l.origin(y, e, calls)
	if src == nil {
		return nil
	}
	src.Y = y
	if len(calls) > 0 && !l.chain(y, src, calls) {
		return nil
	}
	if enum := y.Get("enum"); enum != nil {
		l.enum(y, src, enum)
	} else if y.Get("else") != nil {
		l.Say(y.Get("else"), "for a value that may be absent write first_of: [path, {const: text}]", "else belongs to enum and to switch")
	}
	if v := y.Get("verified"); v != nil {
		verified := l.Truth(v, e)
		read := src.Read
		src.Read = func(s *Scope) (Value, *event.Error) {
			got, err := read(s)
			if err == nil && got.State == customer.Set {
				got.Verified, err = verified(s)
			}
			return got, err
		}
	}
	return src
}

// origin compiles where a value comes from.
func (l *Compiler) origin(y *YAML, e Env, calls []*call) *Source {
	n := 0
	for _, name := range []string{"from", "header", "const", "expr", "first_of"} {
		if y.Has(name) {
			n++
		}
	}
	if n != 1 {
		l.Say(y, "write exactly one of from, header, const, expr, first_of, switch", "a value's source is expected here, and %d are named", n)
		return nil
	}
	switch {
	case y.Has("from"):
		want := AText
		if len(calls) > 0 {
			want = calls[0].fn.takes
		}
		return l.short(y, y.Get("from"), e, want)
	case y.Has("header"):
		if name := l.String(y.Get("header"), "the name of a header"); name != "" {
			return l.outside(y, y.Get("header"), "header", name)
		}
		return nil
	case y.Has("const"):
		if c := y.Get("const"); c.Kind != Scalar {
			l.Say(c, "", "a text is expected here, %s stands", c.Kind)
			return nil
		}
		return constant(y, y.Get("const").Text)
	case y.Has("expr"):
		return l.expression(y, y.Get("expr"), e)
	default:
		return l.firstOf(y, y.Get("first_of"), e)
	}
}

func constant(y *YAML, text string) *Source {
	v := Value{State: customer.Set, Text: text}
	return &Source{Y: y, Texts: []string{text}, Read: func(*Scope) (Value, *event.Error) { return v, nil }}
}

// Truth compiles true, false, or a path to one of them; what is absent is false.
func (l *Compiler) Truth(y *YAML, e Env) func(s *Scope) (bool, *event.Error) {
	if y.Kind == Scalar && (y.Text == "true" || y.Text == "false") {
		is := y.Text == "true"
		return func(*Scope) (bool, *event.Error) { return is, nil }
	}
	src := l.Source(y, e)
	if src == nil {
		return func(*Scope) (bool, *event.Error) { return false, nil }
	}
	return func(s *Scope) (bool, *event.Error) {
		v, err := src.Read(s)
		if err != nil || v.State != customer.Set {
			return false, err
		}
		switch v.Text {
		case "true", "1":
			return true, nil
		case "false", "0", "":
			return false, nil
		}
		return false, Invalid(src.Where(s), "true or false is expected here")
	}
}

// scalar reads one text. What is absent is absent, null is cleared, an object or a list is an error.
func (r *Path) scalar(m *Dialect) func(s *Scope) (Value, *event.Error) {
	if n := len(r.steps); n > 0 && r.steps[n-1].pick == position {
		return func(s *Scope) (Value, *event.Error) {
			return Value{State: customer.Set, Text: strconv.Itoa(s.index[r.slot])}, nil
		}
	}
	return func(s *Scope) (Value, *event.Error) {
		n, err := r.one(s)
		if err != nil {
			return Value{}, err
		}
		switch n.Kind() {
		case codec.Absent:
			return Value{}, nil
		case codec.Null:
			return Value{State: customer.Cleared}, nil
		case codec.Array:
			return Value{}, r.wrong(s, len(r.steps), n, "a single value")
		case codec.Object:
			if !m.leaf(n) {
				return Value{}, r.wrong(s, len(r.steps), n, "a single value")
			}
		}
		return m.judge(n.Text()), nil
	}
}

// list reads all texts that a path with [] leads to.
func (r *Path) list(m *Dialect) func(s *Scope) (Value, *event.Error) {
	return func(s *Scope) (Value, *event.Error) {
		var v Value
		err := r.all(s, func(n *codec.Node, at int) *event.Error {
			if n.Kind() == codec.Array || n.Kind() == codec.Object && !m.leaf(n) {
				return r.wrong(s, len(r.steps), n, "a single value")
			}
			if got := m.judge(n.Text()); got.State == customer.Set && got.Text != "" {
				v.List = append(v.List, got.Text)
			}
			return nil
		})
		if len(v.List) > 0 {
			v.State = customer.Set
		}
		return v, err
	}
}

// tree reads a part of the message whatever it is.
func (r *Path) tree(s *Scope) (Value, *event.Error) {
	n, err := r.one(s)
	switch {
	case err != nil || n.Kind() == codec.Absent:
		return Value{}, err
	case n.Kind() == codec.Null:
		return Value{State: customer.Cleared}, nil
	}
	return Value{State: customer.Set, node: n}, nil
}
