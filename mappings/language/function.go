package language

import (
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// function is one of the closed list of functions that then and expr know. They are pure; their time is bounded by the
// length of what they are given.
type function struct {
	name  string
	takes kind
	gives kind
	least int // arguments
	most  int
	paths bool // arguments may be paths, not only texts in quotes
	make  func(l *Compiler, y *YAML, args []operand) (apply, bool)
}

// apply computes a value that is set. The sentence is empty, or says what is wrong with it without quoting it (invariant 9).
type apply func(s *Scope, v Value) (Value, string)

// operand is an argument: a text, or a source if it is a path.
type operand struct {
	text string
	src  *Source
}

// value answers an argument's text; a path that leads to nothing gives the empty text.
func (o operand) value(s *Scope) (string, *event.Error) {
	if o.src == nil {
		return o.text, nil
	}
	text, _, err := o.src.Text(s)
	return text, err
}

// call is one step of a then.
type call struct {
	fn    *function
	apply apply
}

// functions answers the closed list. docs/mapping-language.md describes each; a test compares the two.
func functions() []function {
	return slices.Concat(textFunctions(), listFunctions(), dataFunctions())
}

// Functions answers the names of all functions, sorted.
func Functions() []string {
	var names []string
	for _, f := range functions() {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

func textFunctions() []function {
	simple := func(name string, f func(string) string) function {
		return function{name: name, make: func(*Compiler, *YAML, []operand) (apply, bool) { return onText(f), true }}
	}
	withText := func(name string, f func(in, arg string) (string, bool)) function {
		return function{name: name, least: 1, most: 1, make: func(_ *Compiler, _ *YAML, args []operand) (apply, bool) {
			return func(_ *Scope, v Value) (Value, string) {
				text, there := f(v.Text, args[0].text)
				if !there {
					return Value{}, ""
				}
				v.Text = text
				return v, ""
			}, true
		}}
	}
	return []function{
		simple("trim", strings.TrimSpace),
		simple("lower", strings.ToLower),
		simple("upper", strings.ToUpper),
		simple("title", title),
		simple("digits", digits),
		simple("squash", func(s string) string { return strings.Join(strings.Fields(s), " ") }),
		simple("hash", hash),
		withText("before", func(in, mark string) (string, bool) { head, _, ok := strings.Cut(in, mark); return head, ok }),
		withText("after", func(in, mark string) (string, bool) { _, tail, ok := strings.Cut(in, mark); return tail, ok }),
		withText("prefix", func(in, p string) (string, bool) { return p + in, true }),
		withText("suffix", func(in, p string) (string, bool) { return in + p, true }),
	}
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

func onText(f func(string) string) apply {
	return func(_ *Scope, v Value) (Value, string) {
		v.Text = f(v.Text)
		return v, ""
	}
}

func listFunctions() []function {
	reduce := func(name string, args int, f func(list []string, arg string) (string, string)) function {
		return function{name: name, takes: aList, least: args, most: args, make: func(_ *Compiler, _ *YAML, args []operand) (apply, bool) {
			arg := ""
			if len(args) > 0 {
				arg = args[0].text
			}
			return func(_ *Scope, v Value) (Value, string) {
				text, fault := f(v.List, arg)
				return Value{State: customer.Set, Text: text}, fault
			}, true
		}}
	}
	return []function{
		reduce("join", 1, func(list []string, mark string) (string, string) { return strings.Join(list, mark), "" }),
		reduce("first", 0, func(list []string, _ string) (string, string) { return list[0], "" }),
		reduce("last", 0, func(list []string, _ string) (string, string) { return list[len(list)-1], "" }),
		reduce("count", 0, func(list []string, _ string) (string, string) { return count(list), "" }),
		reduce("sum", 0, func(list []string, _ string) (string, string) { return sum(list) }),
		{name: "split", gives: aList, least: 1, most: 1, make: func(_ *Compiler, _ *YAML, args []operand) (apply, bool) {
			return func(_ *Scope, v Value) (Value, string) { return split(v.Text, args[0].text), "" }, true
		}},
	}
}

// split cuts a text at each mark; what is empty between two is left out.
func split(text, mark string) Value {
	var list []string
	for part := range strings.SplitSeq(text, mark) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	if list == nil {
		return Value{State: customer.Cleared}
	}
	return Value{State: customer.Set, List: list}
}

// calls compiles a then: one call or a list of them.
func (l *Compiler) calls(y *YAML, e Env) (out []*call) {
	if y == nil {
		return nil
	}
	items := []*YAML{y}
	if y.Kind == List {
		items = y.Items
	}
	for _, item := range items {
		text := l.String(item, "a function")
		if text == "" {
			continue
		}
		name, args, ok := callOf(text)
		if !ok {
			l.Say(item, `write name, name("text") or name(path); in a list in brackets, quote a call with a comma`, "not a call of a function")
			continue
		}
		operands, fine := make([]operand, len(args)), true
		for i, a := range args {
			operands[i].text = a.text
			if !a.quoted {
				operands[i].src = l.short(item, item.part(a.text, a.offset), e, AText)
				fine = fine && operands[i].src != nil
			}
		}
		if c := l.call(item, name, operands); c != nil && fine {
			out = append(out, c)
		}
	}
	return out
}

// call finds a function and binds its arguments.
func (l *Compiler) call(y *YAML, name string, args []operand) *call {
	fn := l.kit[name]
	if fn == nil {
		names := make([]string, 0, len(l.kit))
		for name := range l.kit {
			names = append(names, name)
		}
		slices.Sort(names)
		l.Say(y, Suggest(name, names), "there is no function %q", name)
		return nil
	}
	if len(args) < fn.least || len(args) > fn.most {
		l.Say(y, "see the list of functions in docs/mapping-language.md", "%s takes %s, %d are given", name, arguments(fn), len(args))
		return nil
	}
	for _, a := range args {
		if a.src != nil && !fn.paths {
			l.Say(y, `write name("text")`, "%s takes texts in quotes, a path is given", name)
			return nil
		}
	}
	f, ok := fn.make(l, y, args)
	if !ok {
		return nil
	}
	return &call{fn: fn, apply: f}
}

func arguments(fn *function) string {
	word := [...]string{"no arguments", "one argument", "two arguments"}
	if fn.least == fn.most {
		return word[fn.most]
	}
	return word[fn.least] + " to " + word[fn.most]
}

// chain puts calls behind a source, checking that each takes what the one before gives.
func (l *Compiler) chain(y *YAML, src *Source, calls []*call) bool {
	for _, c := range calls {
		takes := c.fn.takes
		each := src.Gives == aList && takes == AText && c.fn.gives == AText
		if takes != src.Gives && !each {
			l.Say(y.Get("then"), "", "%s takes %s, and %s is given", c.fn.name, takes, src.Gives)
			return false
		}
		src.Read = c.behind(src.Read, src, each)
		src.Texts = nil
		if !each {
			src.Gives = c.fn.gives
		}
	}
	return true
}

// behind applies a function to what a source gives; with each, to each text of a list.
func (c *call) behind(read func(s *Scope) (Value, *event.Error), src *Source, each bool) func(s *Scope) (Value, *event.Error) {
	return func(s *Scope) (Value, *event.Error) {
		v, err := read(s)
		if err != nil || v.State != customer.Set {
			return v, err
		}
		if !each {
			got, fault := c.apply(s, v)
			if fault != "" {
				return Value{}, Invalid(src.Where(s), "%s", fault)
			}
			got.Verified = v.Verified
			return got, nil
		}
		out := Value{State: customer.Set, List: make([]string, 0, len(v.List))}
		for _, text := range v.List {
			got, fault := c.apply(s, Value{State: customer.Set, Text: text})
			if fault != "" {
				return Value{}, Invalid(src.Where(s), "%s", fault)
			}
			if got.State == customer.Set {
				out.List = append(out.List, got.Text)
			}
		}
		if len(out.List) == 0 {
			out.State = customer.Cleared
		}
		return out, nil
	}
}

// argument is one argument of a call as written.
type argument struct {
	text   string
	quoted bool
	offset int // within the call
}

const maxArguments = 8

// callOf reads name, or name(a, "b"). It does not look into what a path may be.
func callOf(text string) (name string, args []argument, ok bool) {
	name, rest, with := strings.Cut(text, "(")
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
		return "", nil, false
	}
	if !with {
		return name, nil, true
	}
	in, ok := strings.CutSuffix(strings.TrimRight(rest, " "), ")")
	if !ok {
		return "", nil, false
	}
	for pos := 0; ; {
		for pos < len(in) && in[pos] == ' ' {
			pos++
		}
		a, next, ok := argumentAt(in, pos)
		if !ok || len(args) == maxArguments {
			return "", nil, false
		}
		if a.text == "" && !a.quoted && next == len(in) && len(args) == 0 {
			return name, nil, true
		}
		a.offset += len(name) + 1
		args = append(args, a)
		if next == len(in) {
			return name, args, true
		}
		pos = next + 1
	}
}

// argumentAt reads one argument and answers where the comma behind it, or the end, is.
func argumentAt(in string, pos int) (a argument, next int, ok bool) {
	a.offset = pos
	if pos < len(in) && (in[pos] == '"' || in[pos] == '\'') {
		end := strings.IndexByte(in[pos+1:], in[pos])
		if end < 0 {
			return a, 0, false
		}
		a.text, a.quoted = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(in[pos+1:pos+1+end]), true
		next = pos + end + 2
		for next < len(in) && in[next] == ' ' {
			next++
		}
		return a, next, next == len(in) || in[next] == ','
	}
	next = pos
	for inside := false; next < len(in) && (inside || in[next] != ','); next++ {
		switch in[next] {
		case '[':
			inside = true
		case ']':
			inside = false
		}
	}
	a.text = strings.TrimSpace(in[pos:next])
	return a, next, a.text != "" || next == len(in) && pos == 0
}
