package language

import (
	"errors"
	"strings"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	exprfile "github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Limits of an expression (invariant 10). With them and without loops its time is bounded by its size and that of what
// it reads.
const (
	maxExpression      = 4096
	maxExpressionNodes = 1000
)

// sort is the type of an expression: what a path gives is known only when there is a message.
type sort uint8

const (
	sortAny sort = iota
	sortText
	sortBool
	sortDec
	sortList // constants, to the right of in
)

func (t sort) String() string {
	return [...]string{"a value", "a text", "true or false", "a decimal number", "a list"}[t]
}

// result is what an expression gives: one of a text, a truth and a number, or none of them.
type result struct {
	sort sort // sortAny: nothing is there
	text string
	is   bool
	dec  *apd.Decimal
}

// term is a compiled expression.
type term struct {
	sort  sort
	eval  func(s *Scope) (result, *event.Error)
	texts []string // of a list
	fixed *string  // of a text that is known
}

// expression is the compiler of one expression: the syntax is that of expr-lang/expr, the meaning a part of it that has no
// loops, no closures and no numbers but exact ones.
type expression struct {
	l      *Compiler
	y      *YAML
	e      Env
	of     *Source
	failed bool
}

// expression compiles {expr: ...}.
func (l *Compiler) expression(of, y *YAML, e Env) *Source {
	src := &Source{Y: of}
	t := l.term(y, e, src)
	if t == nil {
		return nil
	}
	if t.sort == sortList {
		l.Say(y, "", "a list is no value")
		return nil
	}
	src.Read = func(s *Scope) (Value, *event.Error) {
		r, err := t.eval(s)
		if err != nil || r.sort == sortAny {
			return Value{}, err
		}
		return Value{State: customer.Set, Text: r.string()}, nil
	}
	return src
}

// Condition compiles the expression of a when; nil y is always true.
func (l *Compiler) Condition(y *YAML, e Env) func(s *Scope) (bool, *event.Error) {
	if y == nil {
		return nil
	}
	t := l.term(y, e, &Source{})
	if t == nil {
		return nil
	}
	if t.sort != sortBool && t.sort != sortAny {
		l.Say(y, "compare it with something", "true or false is expected here, the expression gives %s", t.sort)
		return nil
	}
	return func(s *Scope) (bool, *event.Error) {
		r, err := t.eval(s)
		if err != nil {
			return false, err
		}
		return r.truth(y)
	}
}

func (r result) truth(y *YAML) (bool, *event.Error) {
	switch {
	case r.sort == sortBool:
		return r.is, nil
	case r.sort == sortAny, r.text == "false", r.sort == sortText && r.text == "":
		return false, nil
	case r.text == "true":
		return true, nil
	}
	return false, event.Errorf(event.Permanent, reasonMapping, "",
		"line %d of the mapping: true or false is expected, and a text stands there: compare it with something", y.Line)
}

func (r result) string() string {
	switch r.sort {
	case sortBool:
		return map[bool]string{true: "true", false: "false"}[r.is]
	case sortDec:
		return r.dec.Text('f')
	default:
		return r.text
	}
}

func (l *Compiler) term(y *YAML, e Env, of *Source) (t *term) {
	text := l.String(y, "an expression")
	if text == "" {
		return nil
	}
	if len(text) > maxExpression {
		l.Say(y, "say it in parts", "an expression of %d characters is over the limit of %d", len(text), maxExpression)
		return nil
	}
	defer func() { // the parser is given a user's file
		if recover() != nil {
			l.Say(y, "simplify it", "not an expression that can be read")
			t = nil
		}
	}()
	config := conf.CreateNew()
	config.MaxNodes = maxExpressionNodes
	config.DisableIfOperator = true
	for _, f := range builtin.Builtins {
		config.Disabled[f.Name] = true
		delete(config.Builtins, f.Name)
	}
	config.Functions = conf.FunctionsTable{}
	for name := range l.kit { // so that the parser takes sum for ours, not for a loop
		config.Functions[name] = &builtin.Function{Name: name}
	}
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		offset, message := 0, err.Error()
		if e := (*exprfile.Error)(nil); errors.As(err, &e) {
			offset, message = e.From, e.Message
		}
		l.sayAt(y, offset, "", "not an expression: %s", message)
		return nil
	}
	x := &expression{l: l, y: y, e: e, of: of}
	t = x.compile(tree.Node)
	if x.failed {
		return nil
	}
	return t
}

func (x *expression) fail(n ast.Node, hint, format string, args ...any) *term {
	if !x.failed {
		x.l.sayAt(x.y, n.Location().From, hint, format, args...)
	}
	x.failed = true
	return &term{eval: func(*Scope) (result, *event.Error) { return result{}, nil }}
}

func fixed(r result) func(*Scope) (result, *event.Error) {
	return func(*Scope) (result, *event.Error) { return r, nil }
}

func (x *expression) compile(n ast.Node) *term {
	switch n := n.(type) {
	case *ast.StringNode:
		return &term{sort: sortText, fixed: &n.Value, eval: fixed(result{sort: sortText, text: n.Value})}
	case *ast.BoolNode:
		return &term{sort: sortBool, eval: fixed(result{sort: sortBool, is: n.Value})}
	case *ast.NilNode:
		return &term{eval: fixed(result{})}
	case *ast.IntegerNode, *ast.FloatNode:
		return x.fail(n, `write dec("12.50")`, "numbers are exact decimals here, a bare number is not")
	case *ast.IdentifierNode, *ast.MemberNode, *ast.ChainNode:
		return x.member(n)
	case *ast.UnaryNode:
		return x.unary(n)
	case *ast.BinaryNode:
		return x.binary(n)
	case *ast.ConditionalNode:
		return x.conditional(n)
	case *ast.ArrayNode:
		return x.array(n)
	case *ast.CallNode:
		return x.call(n)
	default:
		return x.fail(n, "see what expr may hold in docs/mapping-language.md",
			"loops, closures, variables, maps and slices are not part of an expression")
	}
}

// member compiles a.b.c as the path that it is.
func (x *expression) member(n ast.Node) *term {
	text, ok := pathOf(n)
	if !ok {
		return x.fail(n, `write path("a[0].b")`, "only names joined by dots are a path here")
	}
	return x.path(n, text)
}

func pathOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.ChainNode:
		return pathOf(n.Node)
	case *ast.MemberNode:
		before, ok := pathOf(n.Node)
		name, isName := n.Property.(*ast.StringNode)
		if !ok || !isName || strings.ContainsAny(name.Value, `."[]/'`) {
			return "", false
		}
		return before + "." + name.Value, true
	}
	return "", false
}

// start answers where a path begins: a member's own place is that of its dot.
func start(n ast.Node) int {
	for {
		switch m := n.(type) {
		case *ast.MemberNode:
			n = m.Node
		case *ast.ChainNode:
			n = m.Node
		default:
			return n.Location().From
		}
	}
}

func (x *expression) path(n ast.Node, text string) *term {
	src := x.l.short(x.y, x.y.part(text, start(n)), x.e, AText)
	if src == nil {
		x.failed = true
		return &term{}
	}
	x.of.Paths = append(x.of.Paths, src.Paths...)
	return x.reading(src)
}

func (x *expression) reading(src *Source) *term {
	return &term{eval: func(s *Scope) (result, *event.Error) {
		v, err := src.Read(s)
		if err != nil || v.State != customer.Set {
			return result{}, err
		}
		return result{sort: sortText, text: v.Text}, nil
	}}
}

func (x *expression) unary(n *ast.UnaryNode) *term {
	t := x.compile(n.Node)
	if n.Operator != "not" && n.Operator != "!" {
		return x.fail(n, `write dec("-1")`, "the operator %s is not part of an expression", n.Operator)
	}
	if t.sort != sortAny && t.sort != sortBool {
		return x.fail(n, "", "%s takes true or false, %s is given", n.Operator, t.sort)
	}
	return &term{sort: sortBool, eval: func(s *Scope) (result, *event.Error) {
		r, err := t.eval(s)
		if err != nil {
			return r, err
		}
		is, err := r.truth(x.y)
		return result{sort: sortBool, is: !is}, err
	}}
}

func (x *expression) conditional(n *ast.ConditionalNode) *term {
	c, a, b := x.compile(n.Cond), x.compile(n.Exp1), x.compile(n.Exp2)
	if c.sort != sortAny && c.sort != sortBool {
		return x.fail(n, "", "? takes true or false, %s is given", c.sort)
	}
	t := x.unify(n, n.Exp1, n.Exp2, a, b)
	t.eval = func(s *Scope) (result, *event.Error) {
		r, err := c.eval(s)
		if err != nil {
			return r, err
		}
		is, err := r.truth(x.y)
		switch {
		case err != nil:
			return r, err
		case is:
			return a.eval(s)
		default:
			return b.eval(s)
		}
	}
	return t
}

func (x *expression) array(n *ast.ArrayNode) *term {
	t := &term{sort: sortList, eval: fixed(result{})}
	for _, item := range n.Nodes {
		text, ok := item.(*ast.StringNode)
		if !ok {
			return x.fail(item, `write ["a", "b"]`, "a list holds texts in quotes")
		}
		t.texts = append(t.texts, text.Value)
	}
	return t
}
