package mappings

import (
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// value is what a source gave: the state says which of the other members mean something.
type value struct {
	state    customer.State
	text     string
	list     []string
	node     *codec.Node // of a tree
	verified bool
}

// kind is the type of a value while compiling.
type kind uint8

const (
	aText kind = iota
	aList
	aTree
)

func (k kind) String() string { return [...]string{"a text", "a list", "a part of the message"}[k] }

// source is a compiled expression of the mapping language: where a value comes from and what is done to it.
//
//	path                                   the short form
//	{from: path, then: [trim, lower]}      a path and functions
//	{header: X-Name}, {const: text}, {expr: 'a + b'}
//	{first_of: [SOURCE, ...]}              the first that has a value
//	{switch: SOURCE, CASE: SOURCE, ..., else: SOURCE}
//
// with, beside from, header, expr and first_of: then, enum with else, verified.
type source struct {
	y     *yaml
	gives kind
	read  func(s *scope) (value, *event.Error)
	paths []*route // that it reads, for traces and error paths
	texts []string // that it can give, where that is known
}

// where answers the path of the input that an error about the source's value is about.
func (src *source) where(s *scope) string {
	if len(src.paths) == 0 {
		return ""
	}
	return src.paths[0].full(s)
}

// text reads a value that must be there to go on: state Set.
func (src *source) text(s *scope) (text string, there bool, err *event.Error) {
	v, err := src.read(s)
	return v.text, err == nil && v.state == customer.Set && v.text != "", err
}

// sourceKeys are the keys of the long form.
func sourceKeys() []string {
	return []string{"from", "header", "const", "expr", "first_of", "switch", "then", "enum", "else", "verified"}
}

// source compiles a text source; a list is refused.
func (l *loader) source(y *yaml, e env, extra ...string) *source {
	src := l.any(y, e, extra...)
	if src != nil && src.gives != aText {
		l.say(y, "end it with join, first, last, count or sum", "%s is given, a text is expected", src.gives)
		return nil
	}
	return src
}

// any compiles a source of any kind; nil after a fault or where y is nil. Extra keys are the context's business.
func (l *loader) any(y *yaml, e env, extra ...string) *source {
	if y == nil {
		return nil
	}
	switch y.kind {
	case scalar:
		return l.short(y, y, e, aText)
	case object:
		if y.has("switch") {
			return l.choice(y, e, extra)
		}
		if !l.allow(y, append(sourceKeys(), extra...)...) {
			return nil
		}
		return l.long(y, e)
	default:
		l.say(y, "write a path, or one of "+strings.Join(sourceKeys()[:6], ", "), "a value's source is expected here, %s stands", y.kind)
		return nil
	}
}

// short compiles a path, header("X") or key("a.b"); of is the source it belongs to.
func (l *loader) short(of, y *yaml, e env, want kind) *source {
	text := l.string(y, "a path")
	if text == "" {
		return nil
	}
	if name, args, ok := callOf(text); ok && (name == "header" || name == "key") {
		if len(args) > 1 || len(args) == 1 && !args[0].quoted {
			l.say(y, name+`("...") takes one name in quotes`, "not a source")
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
		return &source{y: of, gives: aList, paths: []*route{r}, read: r.list(l.d)}
	}
	if want == aTree {
		return &source{y: of, gives: aTree, paths: []*route{r}, read: r.tree}
	}
	if s := e.shapeOf(r); s != nil && !s.text {
		l.say(y, "name one of its members, or pick one with []", "%q is an object or a list in the schema, a single value is expected", text)
		return nil
	}
	return &source{y: of, paths: []*route{r}, read: r.scalar(l.d)}
}

// widen makes a path stand for all that it could mean, where a list is wanted: a condition picks all that fulfil it, and
// without any [] the last name is taken as often as it is there.
func (r *route) widen() {
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
func (l *loader) outside(of, y *yaml, name, arg string) *source {
	m := l.d
	if name == "header" {
		if arg == "" {
			l.say(y, "", "the name of a header is expected")
			return nil
		}
		return &source{y: of, read: func(s *scope) (value, *event.Error) {
			text, there := s.in.msg.Header(arg)
			if !there {
				return value{}, nil
			}
			return m.judge(text), nil
		}}
	}
	if arg == "" {
		return &source{y: of, read: func(s *scope) (value, *event.Error) {
			if s.in.msg.Key == nil {
				return value{}, nil
			}
			return m.judge(string(s.in.msg.Key)), nil
		}}
	}
	e := env{base: slotKey, next: slotFree}
	r := l.path(y, arg, 0, e)
	if r == nil {
		return nil
	}
	read := r.scalar(m)
	return &source{y: of, paths: []*route{r}, read: func(s *scope) (value, *event.Error) {
		if err := s.in.openKey(s); err != nil {
			return value{}, err
		}
		return read(s)
	}}
}

// long compiles {from: ..., then: ...} and its kin.
func (l *loader) long(y *yaml, e env) *source {
	calls := l.calls(y.get("then"), e)
	src := l.origin(y, e, calls)
	if src == nil {
		return nil
	}
	src.y = y
	if len(calls) > 0 && !l.chain(y, src, calls) {
		return nil
	}
	if enum := y.get("enum"); enum != nil {
		l.enum(y, src, enum)
	} else if y.get("else") != nil {
		l.say(y.get("else"), "for a value that may be absent write first_of: [path, {const: text}]", "else belongs to enum and to switch")
	}
	if v := y.get("verified"); v != nil {
		verified := l.truth(v, e)
		read := src.read
		src.read = func(s *scope) (value, *event.Error) {
			got, err := read(s)
			if err == nil && got.state == customer.Set {
				got.verified, err = verified(s)
			}
			return got, err
		}
	}
	return src
}

// origin compiles where a value comes from.
func (l *loader) origin(y *yaml, e env, calls []*call) *source {
	n := 0
	for _, name := range []string{"from", "header", "const", "expr", "first_of"} {
		if y.has(name) {
			n++
		}
	}
	if n != 1 {
		l.say(y, "write exactly one of from, header, const, expr, first_of, switch", "a value's source is expected here, and %d are named", n)
		return nil
	}
	switch {
	case y.has("from"):
		want := aText
		if len(calls) > 0 {
			want = calls[0].fn.takes
		}
		return l.short(y, y.get("from"), e, want)
	case y.has("header"):
		if name := l.string(y.get("header"), "the name of a header"); name != "" {
			return l.outside(y, y.get("header"), "header", name)
		}
		return nil
	case y.has("const"):
		if c := y.get("const"); c.kind != scalar {
			l.say(c, "", "a text is expected here, %s stands", c.kind)
			return nil
		}
		return constant(y, y.get("const").text)
	case y.has("expr"):
		return l.expression(y, y.get("expr"), e)
	default:
		return l.firstOf(y, y.get("first_of"), e)
	}
}

func constant(y *yaml, text string) *source {
	v := value{state: customer.Set, text: text}
	return &source{y: y, texts: []string{text}, read: func(*scope) (value, *event.Error) { return v, nil }}
}

// firstOf takes the first source that has a value, else the first that says anything.
func (l *loader) firstOf(y, of *yaml, e env) *source {
	if of.kind != list || len(of.items) == 0 {
		l.say(of, "write first_of: [a, b]", "a list of sources is expected here, %s stands", of.kind)
		return nil
	}
	var each []*source
	out := &source{y: y}
	for _, item := range of.items {
		src := l.any(item, e)
		if src == nil {
			continue
		}
		if len(each) > 0 && src.gives != each[0].gives {
			l.say(item, "", "%s is given, the first source gives %s", src.gives, each[0].gives)
			continue
		}
		each, out.paths, out.gives = append(each, src), append(out.paths, src.paths...), src.gives
		out.texts = append(out.texts, src.texts...)
	}
	if len(each) < len(of.items) {
		return nil
	}
	if slices.ContainsFunc(each, func(src *source) bool { return src.texts == nil }) {
		out.texts = nil
	}
	out.read = func(s *scope) (best value, err *event.Error) {
		for _, src := range each {
			v, err := src.read(s)
			if err != nil {
				return value{}, err
			}
			if v.state == customer.Set && (v.text != "" || src.gives != aText) {
				return v, nil
			}
			if best.state == customer.Absent {
				best = v
			}
		}
		return best, nil
	}
	return out
}

// choice compiles {switch: SOURCE, CASE: SOURCE, else: SOURCE}.
func (l *loader) choice(y *yaml, e env, extra []string) *source {
	on := l.source(y.get("switch"), e)
	cases := map[string]*source{}
	out := &source{y: y, texts: []string{}}
	if on != nil {
		out.paths = append(out.paths, on.paths...)
	}
	ok := on != nil
	for i := range y.keys {
		k := &y.keys[i]
		if k.name == "switch" || slices.Contains(extra, k.name) {
			continue
		}
		src := l.source(k.value, e)
		if src == nil {
			ok = false
			continue
		}
		cases[k.name], out.paths = src, append(out.paths, src.paths...)
		if out.texts = append(out.texts, src.texts...); src.texts == nil {
			out.texts = nil
		}
	}
	if !ok {
		return nil
	}
	out.read = func(s *scope) (value, *event.Error) {
		v, err := on.read(s)
		if err != nil {
			return v, err
		}
		src := cases[v.text]
		if src == nil || v.state != customer.Set {
			src = cases["else"]
		}
		if src == nil {
			return value{}, nil
		}
		return src.read(s)
	}
	return out
}

// enum compiles a closed translation of values. A value that is not in it is an error unless else is given.
func (l *loader) enum(y *yaml, src *source, enum *yaml) {
	if enum.kind != object || src.gives != aText {
		l.say(enum, "write enum: {theirs: ours}", "keys and values are expected here, and a text to translate")
		return
	}
	table := make(map[string]value, len(enum.keys))
	src.texts = nil
	translated := func(to *yaml) value {
		if to.kind == nothing {
			return value{}
		}
		text := l.string(to, "a text, or ~ for no statement")
		src.texts = append(src.texts, text)
		return value{state: customer.Set, text: text}
	}
	for i := range enum.keys {
		table[enum.keys[i].name] = translated(enum.keys[i].value)
	}
	other, lenient := value{}, y.get("else") != nil
	if lenient {
		other = translated(y.get("else"))
	}
	read := src.read
	src.read = func(s *scope) (value, *event.Error) {
		v, err := read(s)
		if err != nil || v.state != customer.Set {
			return v, err
		}
		to, known := table[v.text]
		switch {
		case known:
			return to, nil
		case lenient:
			return other, nil
		default:
			return v, invalid(src.where(s), "the value is not one that the mapping's enum knows: add it there, or an else")
		}
	}
}

// truth compiles true, false, or a path to one of them; what is absent is false.
func (l *loader) truth(y *yaml, e env) func(s *scope) (bool, *event.Error) {
	if y.kind == scalar && (y.text == "true" || y.text == "false") {
		is := y.text == "true"
		return func(*scope) (bool, *event.Error) { return is, nil }
	}
	src := l.source(y, e)
	if src == nil {
		return func(*scope) (bool, *event.Error) { return false, nil }
	}
	return func(s *scope) (bool, *event.Error) {
		v, err := src.read(s)
		if err != nil || v.state != customer.Set {
			return false, err
		}
		switch v.text {
		case "true", "1":
			return true, nil
		case "false", "0", "":
			return false, nil
		}
		return false, invalid(src.where(s), "true or false is expected here")
	}
}

// judge tells a text from the placeholders that stand for none.
func (m *dialect) judge(text string) value {
	switch {
	case len(m.unknown) > 0 && slices.Contains(m.unknown, text):
		return value{state: customer.Unknown}
	case len(m.redacted) > 0 && slices.Contains(m.redacted, text):
		return value{state: customer.Redacted}
	case len(m.cleared) > 0 && slices.Contains(m.cleared, text):
		return value{state: customer.Cleared}
	}
	return value{state: customer.Set, text: text}
}

// scalar reads one text. What is absent is absent, null is cleared, an object or a list is an error.
func (r *route) scalar(m *dialect) func(s *scope) (value, *event.Error) {
	if n := len(r.steps); n > 0 && r.steps[n-1].pick == position {
		return func(s *scope) (value, *event.Error) {
			return value{state: customer.Set, text: strconv.Itoa(s.index[r.slot])}, nil
		}
	}
	return func(s *scope) (value, *event.Error) {
		n, err := r.one(s)
		if err != nil {
			return value{}, err
		}
		switch n.Kind() {
		case codec.Absent:
			return value{}, nil
		case codec.Null:
			return value{state: customer.Cleared}, nil
		case codec.Array:
			return value{}, r.wrong(s, len(r.steps), n, "a single value")
		case codec.Object:
			if !m.leaf(n) {
				return value{}, r.wrong(s, len(r.steps), n, "a single value")
			}
		}
		return m.judge(n.Text()), nil
	}
}

// leaf tells an XML element that has a text from one that has elements, and from every JSON object.
func (m *dialect) leaf(n *codec.Node) bool {
	if m.decode != "xml" {
		return false
	}
	for name := range n.Members() {
		if name[0] != '@' && name[0] != '#' {
			return n.Text() != ""
		}
	}
	return true
}

// list reads all texts that a path with [] leads to.
func (r *route) list(m *dialect) func(s *scope) (value, *event.Error) {
	return func(s *scope) (value, *event.Error) {
		var v value
		err := r.all(s, func(n *codec.Node, at int) *event.Error {
			if n.Kind() == codec.Array || n.Kind() == codec.Object && !m.leaf(n) {
				return r.wrong(s, len(r.steps), n, "a single value")
			}
			if got := m.judge(n.Text()); got.state == customer.Set && got.text != "" {
				v.list = append(v.list, got.text)
			}
			return nil
		})
		if len(v.list) > 0 {
			v.state = customer.Set
		}
		return v, err
	}
}

// tree reads a part of the message whatever it is.
func (r *route) tree(s *scope) (value, *event.Error) {
	n, err := r.one(s)
	switch {
	case err != nil || n.Kind() == codec.Absent:
		return value{}, err
	case n.Kind() == codec.Null:
		return value{state: customer.Cleared}, nil
	}
	return value{state: customer.Set, node: n}, nil
}
