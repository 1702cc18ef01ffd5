package language

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// call compiles header("X"), key("a"), path("a/@b"), exists(a.b), and the functions with the value as first argument.
func (x *expression) call(n *ast.CallNode) *term {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return x.fail(n, "", "only functions are called here, not members")
	}
	name := callee.Value
	switch name {
	case "header", "key", "path":
		return x.outside(n, name)
	case "exists":
		return x.exists(n)
	}
	fn := x.l.kit[name]
	if fn == nil || len(n.Arguments) == 0 || fn.takes == ATree || fn.gives != AText {
		names := []string{"header", "key", "path", "exists"}
		for name, fn := range x.l.kit {
			if fn.takes == AText && fn.gives == AText {
				names = append(names, name)
			}
		}
		hint := Suggest(name, names)
		if fn != nil {
			hint = "the value is the first argument; lists and parts of the message belong to from and then"
		}
		return x.fail(n, hint, "there is no such call of %q in an expression", name)
	}
	return x.function(n, fn)
}

func (x *expression) outside(n *ast.CallNode, name string) *term {
	var arg string
	if len(n.Arguments) > 0 {
		text, ok := n.Arguments[0].(*ast.StringNode)
		if !ok || len(n.Arguments) > 1 {
			return x.fail(n, "", `%s takes one text in quotes`, name)
		}
		arg = text.Value
	} else if name != "key" {
		return x.fail(n, "", `%s takes one text in quotes`, name)
	}
	if name == "path" {
		return x.path(n, arg)
	}
	src := x.l.outside(x.y, x.y.part(arg, n.Location().From), name, arg)
	if src == nil {
		x.failed = true
		return &term{}
	}
	return x.reading(src)
}

// exists tells whether a path leads to something that is not null.
func (x *expression) exists(n *ast.CallNode) *term {
	if len(n.Arguments) != 1 {
		return x.fail(n, "write exists(a.b)", "exists takes one path")
	}
	text, ok := pathOf(n.Arguments[0])
	from := start(n.Arguments[0])
	if c, is := n.Arguments[0].(*ast.CallNode); is && len(c.Arguments) == 1 {
		if callee, named := c.Callee.(*ast.IdentifierNode); named && callee.Value == "path" {
			if s, quoted := c.Arguments[0].(*ast.StringNode); quoted {
				text, ok = s.Value, true
			}
		}
	}
	if !ok {
		return x.fail(n, `write exists(a.b) or exists(path("a[0]/@b"))`, "exists takes one path")
	}
	r := x.l.path(x.y.part(text, from), text, 0, x.e)
	if r == nil || r.many() {
		return x.fail(n, "", "exists takes a path to one value")
	}
	return &term{sort: sortBool, eval: func(s *Scope) (result, *event.Error) {
		v, err := r.tree(s)
		return result{sort: sortBool, is: v.State == customer.Set}, err
	}}
}

// function compiles a function of the closed list.
func (x *expression) function(n *ast.CallNode, fn *function) *term {
	first := x.compile(n.Arguments[0])
	if first.sort == sortList || fn.takes == aList {
		return x.fail(n, "lists belong to from and then", "%s is not part of an expression", fn.name)
	}
	var args []operand
	for _, a := range n.Arguments[1:] {
		if text, ok := a.(*ast.StringNode); ok {
			args = append(args, operand{text: text.Value})
			continue
		}
		text, ok := pathOf(a)
		if !ok {
			return x.fail(a, "", "the arguments of %s are texts in quotes or paths", fn.name)
		}
		args = append(args, operand{src: x.l.short(x.y, x.y.part(text, start(a)), x.e, AText)})
	}
	before := len(x.l.Found)
	c := x.l.call(x.y.part(x.y.Text, n.Location().From), fn.name, args)
	if c == nil || len(x.l.Found) > before {
		x.failed = true
		return &term{}
	}
	gives := sortText
	if fn.name == "dec" {
		gives = sortDec
	}
	return &term{sort: gives, eval: func(s *Scope) (result, *event.Error) {
		r, err := first.eval(s)
		if err != nil || r.sort == sortAny {
			return result{}, err
		}
		v, fault := c.apply(s, Value{State: customer.Set, Text: r.string()})
		switch {
		case fault != "":
			return r, Invalid(x.of.Where(s), "%s", fault)
		case v.State != customer.Set:
			return result{}, nil
		case gives == sortDec:
			d, _ := Decimal(v.Text)
			return result{sort: sortDec, dec: d}, nil
		}
		return result{sort: sortText, text: v.Text}, nil
	}}
}

// binary compiles an operator with two sides. Where one of them is absent, a comparison is false, and so is what is
// built on it; only == and != look at absence itself.
func (x *expression) binary(n *ast.BinaryNode) *term {
	a, b := x.compile(n.Left), x.compile(n.Right)
	if x.failed {
		return a
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		return x.logic(n, a, b)
	case "==", "!=":
		return x.equality(n, a, b)
	case "<", "<=", ">", ">=":
		return x.order(n, a, b)
	case "in":
		if b.sort != sortList {
			return x.fail(n, `write a in ["x", "y"]`, "a list of texts must stand to the right of in")
		}
		return x.texts(n, a, &term{sort: sortText, eval: fixed(result{sort: sortText})}, func(s, _ string) bool {
			return slices.Contains(b.texts, s)
		})
	case "contains":
		return x.texts(n, a, b, strings.Contains)
	case "startsWith":
		return x.texts(n, a, b, strings.HasPrefix)
	case "endsWith":
		return x.texts(n, a, b, strings.HasSuffix)
	case "matches":
		re := x.pattern(n, b)
		if re == nil {
			return a
		}
		return x.texts(n, a, b, func(s, _ string) bool { return re.MatchString(s) })
	case "??":
		return x.fallback(n, a, b)
	case "+", "-", "*":
		return x.arithmetic(n, a, b)
	default:
		return x.fail(n, "see what expr may hold in docs/mapping-language.md", "the operator %s is not part of an expression", n.Operator)
	}
}

func (x *expression) logic(n *ast.BinaryNode, a, b *term) *term {
	for _, t := range []*term{a, b} {
		if t.sort != sortAny && t.sort != sortBool {
			return x.fail(n, "", "%s takes true or false, %s is given", n.Operator, t.sort)
		}
	}
	stop := n.Operator == "or" || n.Operator == "||"
	return &term{sort: sortBool, eval: func(s *Scope) (result, *event.Error) {
		for _, t := range []*term{a, b} {
			r, err := t.eval(s)
			if err != nil {
				return r, err
			}
			is, err := r.truth(x.y)
			if err != nil || is == stop {
				return result{sort: sortBool, is: stop}, err
			}
		}
		return result{sort: sortBool, is: !stop}, nil
	}}
}

// pair evaluates both sides.
func pair(s *Scope, a, b *term) (l, r result, err *event.Error) {
	if l, err = a.eval(s); err == nil {
		r, err = b.eval(s)
	}
	return l, r, err
}

// comparable refuses what could only be compared by guessing.
func (x *expression) comparable(n *ast.BinaryNode, a, b *term) *term {
	if (a.sort == sortDec) != (b.sort == sortDec) {
		return x.fail(n, `write dec(a) `+n.Operator+` dec("12.50")`, "%s compares %s with %s", n.Operator, a.sort, b.sort)
	}
	if a.sort == sortList || b.sort == sortList {
		return x.fail(n, `write a in ["x", "y"]`, "a list is compared by in only")
	}
	return nil
}

func (x *expression) equality(n *ast.BinaryNode, a, b *term) *term {
	nothing := func(t *term, of ast.Node) bool { _, is := of.(*ast.NilNode); return is && t.sort == sortAny }
	if !nothing(a, n.Left) && !nothing(b, n.Right) {
		if t := x.comparable(n, a, b); t != nil {
			return t
		}
	}
	want := n.Operator == "=="
	return &term{sort: sortBool, eval: func(s *Scope) (result, *event.Error) {
		l, r, err := pair(s, a, b)
		var same bool
		switch {
		case l.sort == sortAny || r.sort == sortAny:
			same = l.sort == r.sort
		case l.sort == sortDec && r.sort == sortDec:
			same = l.dec.Cmp(r.dec) == 0
		default:
			same = l.string() == r.string()
		}
		return result{sort: sortBool, is: same == want}, err
	}}
}

func (x *expression) order(n *ast.BinaryNode, a, b *term) *term {
	if t := x.comparable(n, a, b); t != nil {
		return t
	}
	if a.sort == sortBool || b.sort == sortBool {
		return x.fail(n, "", "%s compares texts or decimal numbers, %s is given", n.Operator, sortBool)
	}
	less, equal := n.Operator[0] == '<', len(n.Operator) == 2
	return &term{sort: sortBool, eval: func(s *Scope) (result, *event.Error) {
		l, r, err := pair(s, a, b)
		if err != nil || l.sort == sortAny || r.sort == sortAny {
			return result{sort: sortBool}, err
		}
		c := cmp.Compare(l.text, r.text)
		if l.sort == sortDec {
			c = l.dec.Cmp(r.dec)
		}
		return result{sort: sortBool, is: c == 0 && equal || c < 0 && less || c > 0 && !less}, nil
	}}
}

func (x *expression) texts(n *ast.BinaryNode, a, b *term, holds func(l, r string) bool) *term {
	for _, t := range []*term{a, b} {
		if t.sort != sortAny && t.sort != sortText {
			return x.fail(n, "", "%s takes texts, %s is given", n.Operator, t.sort)
		}
	}
	return &term{sort: sortBool, eval: func(s *Scope) (result, *event.Error) {
		l, r, err := pair(s, a, b)
		is := err == nil && l.sort != sortAny && r.sort != sortAny && holds(l.text, r.text)
		return result{sort: sortBool, is: is}, err
	}}
}

// pattern compiles the right side of matches, which must be known.
func (x *expression) pattern(n ast.Node, t *term) *regexp.Regexp {
	if t.fixed == nil {
		x.fail(n, `write a matches "..."`, "the pattern of matches must stand in quotes")
		return nil
	}
	re, err := regexp.Compile(*t.fixed)
	if err != nil {
		x.fail(n, "patterns are RE2", "not a pattern: %s", err)
		return nil
	}
	return re
}

func (x *expression) fallback(n *ast.BinaryNode, a, b *term) *term {
	t := x.unify(n, n.Left, n.Right, a, b)
	t.eval = func(s *Scope) (result, *event.Error) {
		if r, err := a.eval(s); err != nil || r.sort != sortAny {
			return r, err
		}
		return b.eval(s)
	}
	return t
}

// unify answers the type of what is one of two things. A number and a value that could be a text do not go together:
// which it is would be known too late.
func (x *expression) unify(n, an, bn ast.Node, a, b *term) *term {
	_, noA := an.(*ast.NilNode)
	_, noB := bn.(*ast.NilNode)
	switch {
	case a.sort == sortList || b.sort == sortList:
		return x.fail(n, "", "a list is no value")
	case a.sort == b.sort, noB:
		return &term{sort: a.sort}
	case noA:
		return &term{sort: b.sort}
	case a.sort == sortDec || b.sort == sortDec:
		return x.fail(n, "write dec(...) on both sides", "one side gives %s, the other %s", a.sort, b.sort)
	case a.sort == sortAny || b.sort == sortAny:
		return &term{}
	}
	return x.fail(n, "", "one side gives %s, the other %s", a.sort, b.sort)
}

// arithmetic is exact or an error (invariant 8); + joins texts.
func (x *expression) arithmetic(n *ast.BinaryNode, a, b *term) *term {
	if a.sort == sortDec && b.sort == sortDec {
		c := exact()
		compute := map[string]func(d, x, y *apd.Decimal) (apd.Condition, error){"+": c.Add, "-": c.Sub, "*": c.Mul}[n.Operator]
		return &term{sort: sortDec, eval: func(s *Scope) (result, *event.Error) {
			l, r, err := pair(s, a, b)
			if err != nil || l.sort != sortDec || r.sort != sortDec {
				return result{}, err
			}
			d := new(apd.Decimal)
			if _, fault := compute(d, l.dec, r.dec); fault != nil {
				return result{}, Invalid(x.of.Where(s), "the result has more digits than can be kept exactly")
			}
			return result{sort: sortDec, dec: d}, nil
		}}
	}
	for _, t := range []*term{a, b} {
		if n.Operator != "+" || t.sort != sortAny && t.sort != sortText {
			return x.fail(n, `write dec(a) `+n.Operator+` dec(b)`, "%s takes decimal numbers, %s and %s are given", n.Operator, a.sort, b.sort)
		}
	}
	return &term{sort: sortText, eval: func(s *Scope) (result, *event.Error) {
		l, r, err := pair(s, a, b)
		if err == nil && len(l.text)+len(r.text) > MaxText {
			err = Invalid(x.of.Where(s), "a text of more than %d bytes comes of this", MaxText)
		}
		return result{sort: sortText, text: l.text + r.text}, err
	}}
}
