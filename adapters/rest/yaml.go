package rest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/onefold/onefold/event"
)

// Limits of a target file (invariant 10).
const (
	MaxFileBytes   = 256 << 10
	maxFileDepth   = 24
	maxFileValues  = 5000
	maxDiagnostics = 50
)

// value is one value of a target file with its place.
type value struct {
	kind      kind
	text      string // of a scalar
	plain     bool   // a scalar without quotes
	keys      []key
	items     []*value
	path      string
	line, col int
}

type key struct {
	name      string
	line, col int
	value     *value
}

type kind uint8

const (
	nothing kind = iota
	scalar
	list
	object
)

func (k kind) String() string {
	return [...]string{"nothing", "a single value", "a list", "keys and values"}[k]
}

func (v *value) get(name string) *value {
	if v == nil {
		return nil
	}
	for i := range v.keys {
		if v.keys[i].name == name {
			return v.keys[i].value
		}
	}
	return nil
}

// reader reads a target file. It goes on after a fault, so that all of them are told at once.
type reader struct {
	file   string
	count  int
	fields fields // of the file: members of what {body} stands for
	found  event.Diagnostics
}

func (r *reader) say(v *value, hint, format string, args ...any) {
	r.note(event.Diagnostic{File: r.file, Line: v.line, Column: v.col, Path: v.path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *reader) note(d event.Diagnostic) {
	if len(r.found) < maxDiagnostics {
		r.found = append(r.found, d)
	}
}

// parse makes a tree of the file's text, nil where it is none. The YAML library has met no input of ours on which it panics, but the
// file is a user's: it may.
func (r *reader) parse(text []byte) (top *value) {
	whole := &value{line: 1, col: 1}
	defer func() {
		if recover() != nil {
			r.say(whole, "simplify it: a target needs plain keys, values and lists only", "the file cannot be read as YAML")
			top = nil
		}
	}()
	if len(text) > MaxFileBytes {
		r.say(whole, "", "the file is larger than the limit of %d bytes", MaxFileBytes)
		return nil
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(whole, err)
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		r.say(whole, "a target begins with onefold: "+Format, "one YAML document is expected in the file, it is empty or holds several")
		return nil
	}
	return r.tree(file.Docs[0].Body, "", 0)
}

func (r *reader) syntax(whole *value, err error) {
	at, message := *whole, "not valid YAML"
	var y yaml.Error
	if errors.As(err, &y) {
		message += ": " + y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			at.line, at.col = t.Position.Line, t.Position.Column
		}
	}
	r.say(&at, "check the indentation and the quotes: a placeholder that stands alone needs them, '{body}'", "%s", message)
}

func (r *reader) tree(n ast.Node, at string, depth int) *value {
	v := &value{path: at, line: 1, col: 1}
	if n == nil {
		return v
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		v.line, v.col = t.Position.Line, t.Position.Column
	}
	if r.count++; r.count > maxFileValues || depth > maxFileDepth {
		if r.count <= maxFileValues+1 {
			r.count = maxFileValues + 1
			r.say(v, "", "the file has more than %d values or %d levels, which is the limit", maxFileValues, maxFileDepth)
		}
		return v
	}
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.say(v, "write the value out", "anchors, aliases and tags are not understood in a target")
	case *ast.SequenceNode:
		v.kind = list
		for i, item := range n.Values {
			v.items = append(v.items, r.tree(item, fmt.Sprintf("%s[%d]", at, i), depth+1))
		}
	case *ast.MappingNode:
		v.kind = object
		for _, pair := range n.Values {
			r.pair(v, pair, depth)
		}
	case *ast.MappingValueNode:
		v.kind = object
		r.pair(v, n, depth)
	default:
		scalarOf(v, n)
	}
	if v.kind == object && len(v.keys) > 0 { // the library says where its colon is
		v.line, v.col = v.keys[0].line, v.keys[0].col
	}
	return v
}

func (r *reader) pair(v *value, pair *ast.MappingValueNode, depth int) {
	t := pair.Key.GetToken()
	k := key{name: t.Value, line: v.line, col: v.col}
	if t.Position != nil {
		k.line, k.col = t.Position.Line, t.Position.Column
	}
	if pair.Key.IsMergeKey() {
		k.name = spread
	}
	k.value = r.tree(pair.Value, under(v.path, k.name), depth+1)
	if i := slices.IndexFunc(v.keys, func(o key) bool { return o.name == k.name }); i >= 0 {
		r.say(k.place(), "keep one of them", "this key stands on line %d already", v.keys[i].line)
		return
	}
	v.keys = append(v.keys, k)
}

// place is where a key stands, under the path of its value.
func (k *key) place() *value { return &value{path: k.value.path, line: k.line, col: k.col} }

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func scalarOf(v *value, n ast.Node) {
	v.kind = scalar
	switch n := n.(type) {
	case *ast.NullNode:
		v.kind = nothing
	case *ast.StringNode:
		v.text = n.Value
		v.plain = n.Token == nil || (n.Token.Type != token.DoubleQuoteType && n.Token.Type != token.SingleQuoteType)
		if !v.plain {
			v.col++
		}
	case *ast.LiteralNode:
		v.line++
		if n.Value != nil {
			v.text = strings.TrimRight(n.Value.Value, "\n")
		}
	default:
		if t := n.GetToken(); t != nil {
			v.text, v.plain = t.Value, true
		}
	}
}

// object sees to it that a value has keys, and none but those that are known.
func (r *reader) object(v *value, known ...string) bool {
	if v.kind != object {
		r.say(v, "the keys are "+strings.Join(known, ", "), "keys and values are expected here, this is %s", v.kind)
		return false
	}
	for i := range v.keys {
		if k := &v.keys[i]; !slices.Contains(known, k.name) {
			r.say(k.place(), suggestion(k.name, known), "there is no such key here")
		}
	}
	return true
}

// text reads a single value; what is not there is empty.
func (r *reader) text(v *value) string {
	switch {
	case v == nil:
		return ""
	case v.kind != scalar || v.text == "":
		r.say(v, "", "a text is expected here, this is %s", v.kind)
		return ""
	}
	return v.text
}

// oneOf reads a single value out of a few.
func (r *reader) oneOf(v *value, known ...string) string {
	text := r.text(v)
	if text != "" && !slices.Contains(known, text) {
		r.say(v, suggestion(text, known), "%q is not known here", clip(text))
		return ""
	}
	return text
}

// texts reads a single value, or a list of them.
func (r *reader) texts(v *value) []*value {
	if v == nil {
		return nil
	}
	if v.kind != list {
		if r.text(v) == "" {
			return nil
		}
		return []*value{v}
	}
	var out []*value
	for _, item := range v.items {
		if r.text(item) != "" {
			out = append(out, item)
		}
	}
	if len(v.items) == 0 {
		r.say(v, "", "this list is empty")
	}
	return out
}

// clip keeps what a message quotes of the file short.
func clip(text string) string {
	if len(text) > 60 {
		return strings.ToValidUTF8(text[:60], "") + "..."
	}
	return text
}

// suggestion names the word that was probably meant, else all that there are.
func suggestion(word string, known []string) string {
	best, near := "", 3
	for _, k := range known {
		if d := distance(word, k); d < near && d < len(k) {
			best, near = k, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "one of: " + strings.Join(known, ", ")
}

// distance is Levenshtein's: how many letters must be added, dropped or changed. Words that differ much in length are far apart.
func distance(a, b string) int {
	if len(a) > len(b)+3 || len(b) > len(a)+3 {
		return 4
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
