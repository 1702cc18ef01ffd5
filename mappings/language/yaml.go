package language

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// YAML is one value of a mapping file with its place: the YAML library's tree without its many kinds of node.
type YAML struct {
	Kind  yamlKind
	Text  string // of a scalar
	Keys  []Key
	Items []*YAML
	Path  string // "events[2].party.email"
	Line  int
	Col   int // of a scalar: of the first character of its text
	plain bool
}

// Key is one key of an object, with its place.
type Key struct {
	Name      string
	Line, Col int
	Value     *YAML
	merged    bool // came by <<: one that is written out takes its place
}

type yamlKind uint8

// The kinds of YAML value; what is not there is none of them.
const (
	nothing yamlKind = iota
	Scalar
	List
	Object
)

func (k yamlKind) String() string {
	return [...]string{"nothing", "a single value", "a list", "keys and values"}[k]
}

// Limits of a mapping file (invariant 10).
const (
	maxFile        = 1 << 20 // bytes of the mapping, of a schema, of a table
	maxFileDepth   = 40      // collections within each other
	maxFileNodes   = 50_000  // values after aliases are followed
	maxDiagnostics = 100
)

// Get answers the value under a key, nil where there is none.
func (y *YAML) Get(name string) *YAML {
	if y == nil {
		return nil
	}
	for i := range y.Keys {
		if y.Keys[i].Name == name {
			return y.Keys[i].Value
		}
	}
	return nil
}

// Has tells whether any of the keys is there.
func (y *YAML) Has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return y.Get(name) != nil })
}

// String writes a value in one line, as it could stand in a mapping.
func (y *YAML) String() string {
	var b strings.Builder
	y.write(&b)
	return b.String()
}

func (y *YAML) write(b *strings.Builder) {
	switch y.Kind {
	case List:
		b.WriteByte('[')
		for i, item := range y.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			item.write(b)
		}
		b.WriteByte(']')
	case Object:
		b.WriteByte('{')
		for i := range y.Keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(y.Keys[i].Name + ": ")
			y.Keys[i].Value.write(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString(y.Text)
	}
}

// part answers a piece of a scalar as a scalar of its own, in its place.
func (y *YAML) part(text string, offset int) *YAML {
	return &YAML{Kind: Scalar, Text: text, Path: y.Path, Line: y.Line, Col: y.Col + offset}
}

// Parse reads YAML. The library has met no input of ours on which it panics, but the file is a user's: it may.
func (l *Compiler) Parse(b []byte) (top *YAML) {
	start := &YAML{Line: 1, Col: 1}
	defer func() {
		if recover() != nil {
			l.Say(start, "simplify it: a mapping needs plain keys, values and lists only", "the file cannot be read as YAML")
			top = nil
		}
	}()
	file, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		l.syntax(start, err)
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		l.Say(start, "a mapping begins with onefold: mapping/v1", "one YAML document is expected in the file, it is empty or holds several")
		return nil
	}
	l.anchors = map[string]ast.Node{}
	return l.tree(file.Docs[0].Body, "", 0)
}

func (l *Compiler) syntax(start *YAML, err error) {
	if e, ok := err.(interface {
		GetToken() *token.Token
		GetMessage() string
	}); ok && e.GetToken() != nil && e.GetToken().Position != nil {
		pos := e.GetToken().Position
		l.Say(&YAML{Line: pos.Line, Col: pos.Column},
			"check the indentation and the quotes; in a list in brackets, a call with a comma needs quotes", "not valid YAML: %s", e.GetMessage())
		return
	}
	l.Say(start, "check the indentation and the quotes", "not valid YAML")
}

// tree turns the library's nodes into ours, following aliases within the limits.
func (l *Compiler) tree(n ast.Node, at string, depth int) *YAML {
	y := &YAML{Path: at, Line: 1, Col: 1}
	if n == nil {
		return y
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		y.Line, y.Col = t.Position.Line, t.Position.Column
	}
	if l.nodes++; l.nodes > maxFileNodes || depth > maxFileDepth {
		if l.nodes <= maxFileNodes+1 || depth == maxFileDepth+1 {
			l.nodes = maxFileNodes + 1
			l.Say(y, "", "the file has more than %d values or %d levels, which is the limit", maxFileNodes, maxFileDepth)
		}
		return y
	}
	switch v := n.(type) {
	case *ast.AnchorNode:
		if v.Name != nil {
			l.anchors[v.Name.GetToken().Value] = v.Value
		}
		return l.tree(v.Value, at, depth+1)
	case *ast.AliasNode:
		target := l.anchors[v.Value.GetToken().Value]
		if target == nil {
			l.Say(y, "an anchor (&name) must stand before its alias (*name)", "there is no anchor of this name")
		}
		return l.tree(target, at, depth+1)
	case *ast.TagNode:
		l.Say(y, "write the value without it", "YAML tags mean nothing in a mapping")
		return y
	case *ast.SequenceNode:
		y.Kind = List
		for i, item := range v.Values {
			y.Items = append(y.Items, l.tree(item, fmt.Sprintf("%s[%d]", at, i), depth+1))
		}
	case *ast.MappingNode:
		y.Kind = Object
		for _, pair := range v.Values {
			l.pair(y, pair, depth)
		}
	case *ast.MappingValueNode:
		y.Kind = Object
		l.pair(y, v, depth)
	default:
		l.scalar(y, n)
	}
	if y.Kind == Object && len(y.Keys) > 0 && !y.Keys[0].merged { // the library says where its colon is
		y.Line, y.Col = y.Keys[0].Line, y.Keys[0].Col
	}
	return y
}

func (l *Compiler) pair(y *YAML, pair *ast.MappingValueNode, depth int) {
	t := pair.Key.GetToken()
	k := Key{Name: t.Value, Line: y.Line, Col: y.Col}
	if t.Position != nil {
		k.Line, k.Col = t.Position.Line, t.Position.Column
	}
	if pair.Key.IsMergeKey() {
		from := l.tree(pair.Value, y.Path, depth+1)
		for _, merged := range from.Keys {
			if y.Get(merged.Name) == nil {
				merged.merged = true
				y.Keys = append(y.Keys, merged)
			}
		}
		return
	}
	k.Value = l.tree(pair.Value, Join(y.Path, k.Name), depth+1)
	for i := range y.Keys {
		if y.Keys[i].Name != k.Name {
			continue
		}
		if y.Keys[i].merged {
			y.Keys[i] = k
			return
		}
		if before := y.Keys[i].Line; before != k.Line || y.Keys[i].Col != k.Col {
			l.SayKey(y, &k, "keep one of them", "this key stands on line %d already", before)
		}
		return
	}
	y.Keys = append(y.Keys, k)
}

func (l *Compiler) scalar(y *YAML, n ast.Node) {
	y.Kind = Scalar
	switch v := n.(type) {
	case *ast.NullNode:
		y.Kind = nothing
	case *ast.StringNode:
		y.Text = v.Value
		y.plain = v.Token == nil || (v.Token.Type != token.DoubleQuoteType && v.Token.Type != token.SingleQuoteType)
		if !y.plain {
			y.Col++
		}
	case *ast.LiteralNode:
		y.Line++
		if v.Value != nil {
			y.Text = strings.TrimRight(v.Value.Value, "\n")
		}
	default:
		if t := n.GetToken(); t != nil {
			y.Text, y.plain = t.Value, true
		}
	}
}
