package mappings

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/onefold/onefold/event"
)

// Limits of a mapping file (invariant 10).
const (
	maxFile        = 1 << 20 // bytes of the mapping, of a schema, of a table
	maxFileDepth   = 40      // collections within each other
	maxFileNodes   = 50_000  // values after aliases are followed
	maxDiagnostics = 100
)

// yaml is one value of a mapping file with its place: the YAML library's tree without its many kinds of node.
type yaml struct {
	kind  yamlKind
	text  string // of a scalar
	keys  []yamlKey
	items []*yaml
	path  string // "events[2].party.email"
	line  int
	col   int // of a scalar: of the first character of its text
	plain bool
}

type yamlKey struct {
	name      string
	line, col int
	value     *yaml
	merged    bool // came by <<: one that is written out takes its place
}

type yamlKind uint8

const (
	nothing yamlKind = iota
	scalar
	list
	object
)

func (k yamlKind) String() string {
	return [...]string{"nothing", "a single value", "a list", "keys and values"}[k]
}

// get answers the value under a key, nil where there is none.
func (y *yaml) get(name string) *yaml {
	if y == nil {
		return nil
	}
	for i := range y.keys {
		if y.keys[i].name == name {
			return y.keys[i].value
		}
	}
	return nil
}

// has tells whether any of the keys is there.
func (y *yaml) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return y.get(name) != nil })
}

// loader reads one mapping. It goes on after a fault, so that a person sees all of them at once.
type loader struct {
	fsys    fs.FS
	dir     string
	file    string // that diagnostics are about
	anchors map[string]ast.Node
	nodes   int
	found   event.Diagnostics
	kit     map[string]*function
	d       *dialect
	tables  map[string]map[string]string
}

// say notes what is wrong with a value, and how to mend it.
func (l *loader) say(y *yaml, hint, format string, args ...any) {
	l.sayAt(y, 0, hint, format, args...)
}

// sayAt is say for the character at an offset within a scalar's text.
func (l *loader) sayAt(y *yaml, offset int, hint, format string, args ...any) {
	d := event.Diagnostic{File: l.file, Path: y.path, Line: y.line, Column: y.col, Message: fmt.Sprintf(format, args...), Hint: hint}
	if before := y.text[:min(offset, len(y.text))]; offset > 0 {
		if lines := strings.Count(before, "\n"); lines > 0 {
			d.Line += lines
			before = before[strings.LastIndexByte(before, '\n')+1:]
		}
		d.Column += len([]rune(before))
	}
	l.found = append(l.found, d)
}

func (l *loader) sayKey(y *yaml, k *yamlKey, hint, format string, args ...any) {
	l.found = append(l.found, event.Diagnostic{
		File: l.file, Path: join(y.path, k.name), Line: k.line, Column: k.col, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// diagnostics answers what was found, in the order of the file.
func (l *loader) diagnostics() event.Diagnostics {
	slices.SortStableFunc(l.found, func(a, b event.Diagnostic) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return (a.Line-b.Line)*10_000 + a.Column - b.Column
	})
	l.found = slices.Compact(l.found)
	return l.found[:min(len(l.found), maxDiagnostics)]
}

// read reads a file of the mapping's folder; nil after a fault, which has been said.
func (l *loader) read(y *yaml, name string) []byte {
	full := path.Join(l.dir, name)
	info, err := fs.Stat(l.fsys, full)
	switch {
	case !fs.ValidPath(name) || err != nil:
		l.say(y, "names are relative to the mapping's folder, with forward slashes", "the file %q cannot be read", name)
		return nil
	case info.Size() > maxFile:
		l.say(y, "", "the file %q has %d bytes, the limit is %d", name, info.Size(), maxFile)
		return nil
	}
	b, err := fs.ReadFile(l.fsys, full)
	if err != nil || len(b) > maxFile {
		l.say(y, "", "the file %q cannot be read", name)
		return nil
	}
	return b
}

// parse reads YAML. The library has met no input of ours on which it panics, but the file is a user's: it may.
func (l *loader) parse(b []byte) (top *yaml) {
	start := &yaml{line: 1, col: 1}
	defer func() {
		if recover() != nil {
			l.say(start, "simplify it: a mapping needs plain keys, values and lists only", "the file cannot be read as YAML")
			top = nil
		}
	}()
	file, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		l.syntax(start, err)
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		l.say(start, "a mapping begins with onefold: mapping/v1", "the file holds %d YAML documents, one is expected", len(file.Docs))
		return nil
	}
	l.anchors = map[string]ast.Node{}
	return l.tree(file.Docs[0].Body, "", 0)
}

func (l *loader) syntax(start *yaml, err error) {
	if e, ok := err.(interface {
		GetToken() *token.Token
		GetMessage() string
	}); ok && e.GetToken() != nil && e.GetToken().Position != nil {
		pos := e.GetToken().Position
		l.say(&yaml{line: pos.Line, col: pos.Column},
			"check the indentation and the quotes; in a list in brackets, a call with a comma needs quotes", "not valid YAML: %s", e.GetMessage())
		return
	}
	l.say(start, "check the indentation and the quotes", "not valid YAML")
}

// tree turns the library's nodes into ours, following aliases within the limits.
func (l *loader) tree(n ast.Node, at string, depth int) *yaml {
	y := &yaml{path: at, line: 1, col: 1}
	if n == nil {
		return y
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		y.line, y.col = t.Position.Line, t.Position.Column
	}
	if l.nodes++; l.nodes > maxFileNodes || depth > maxFileDepth {
		if l.nodes <= maxFileNodes+1 || depth == maxFileDepth+1 {
			l.nodes = maxFileNodes + 1
			l.say(y, "", "the file has more than %d values or %d levels, which is the limit", maxFileNodes, maxFileDepth)
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
			l.say(y, "an anchor (&name) must stand before its alias (*name)", "there is no anchor of this name")
		}
		return l.tree(target, at, depth+1)
	case *ast.TagNode:
		l.say(y, "write the value without it", "YAML tags mean nothing in a mapping")
		return y
	case *ast.SequenceNode:
		y.kind = list
		for i, item := range v.Values {
			y.items = append(y.items, l.tree(item, fmt.Sprintf("%s[%d]", at, i), depth+1))
		}
	case *ast.MappingNode:
		y.kind = object
		for _, pair := range v.Values {
			l.pair(y, pair, depth)
		}
	case *ast.MappingValueNode:
		y.kind = object
		l.pair(y, v, depth)
	default:
		l.scalar(y, n)
	}
	return y
}

func (l *loader) pair(y *yaml, pair *ast.MappingValueNode, depth int) {
	t := pair.Key.GetToken()
	k := yamlKey{name: t.Value, line: y.line, col: y.col}
	if t.Position != nil {
		k.line, k.col = t.Position.Line, t.Position.Column
	}
	if pair.Key.IsMergeKey() {
		from := l.tree(pair.Value, y.path, depth+1)
		for _, merged := range from.keys {
			if y.get(merged.name) == nil {
				merged.merged = true
				y.keys = append(y.keys, merged)
			}
		}
		return
	}
	k.value = l.tree(pair.Value, join(y.path, k.name), depth+1)
	for i := range y.keys {
		if y.keys[i].name != k.name {
			continue
		}
		if y.keys[i].merged {
			y.keys[i] = k
			return
		}
		if before := y.keys[i].line; before != k.line || y.keys[i].col != k.col {
			l.sayKey(y, &k, "keep one of them", "this key stands on line %d already", before)
		}
		return
	}
	y.keys = append(y.keys, k)
}

func (l *loader) scalar(y *yaml, n ast.Node) {
	y.kind = scalar
	switch v := n.(type) {
	case *ast.NullNode:
		y.kind = nothing
	case *ast.StringNode:
		y.text = v.Value
		y.plain = v.Token == nil || (v.Token.Type != token.DoubleQuoteType && v.Token.Type != token.SingleQuoteType)
		if !y.plain {
			y.col++
		}
	case *ast.LiteralNode:
		y.line++
		if v.Value != nil {
			y.text = strings.TrimRight(v.Value.Value, "\n")
		}
	default:
		if t := n.GetToken(); t != nil {
			y.text, y.plain = t.Value, true
		}
	}
}

// allow says which keys an object may have, and notes every other with what was probably meant.
func (l *loader) allow(y *yaml, names ...string) bool {
	if y.kind != object {
		l.say(y, "the keys are "+strings.Join(names, ", "), "keys and values are expected here, %s stands", y.kind)
		return false
	}
	for i := range y.keys {
		if k := &y.keys[i]; !slices.Contains(names, k.name) {
			l.sayKey(y, k, suggest(k.name, names), "there is no key %q here", k.name)
		}
	}
	return true
}

// word reads a scalar that is one of a closed list; empty after a fault or where y is nil.
func (l *loader) word(y *yaml, what string, names ...string) string {
	s := l.string(y, what)
	if s != "" && !slices.Contains(names, s) {
		l.say(y, suggest(s, names), "%q is not %s", s, what)
		return ""
	}
	return s
}

// string reads a scalar; empty after a fault or where y is nil.
func (l *loader) string(y *yaml, what string) string {
	switch {
	case y == nil:
		return ""
	case y.kind != scalar:
		l.say(y, "", "%s is expected here, %s stands", what, y.kind)
		return ""
	case y.text == "":
		l.say(y, "", "%s is expected here, it is empty", what)
	}
	return y.text
}

// strings reads a list of scalars, or one.
func (l *loader) strings(y *yaml, what string) (out []string) {
	if y == nil {
		return nil
	}
	items := []*yaml{y}
	if y.kind == list {
		items = y.items
	}
	for _, item := range items {
		if item.kind != scalar {
			l.say(item, "", "%s is expected here, %s stands", what, item.kind)
			continue
		}
		out = append(out, item.text)
	}
	return out
}

// suggest says which of the names was probably meant, or all if none is near and they are few.
func suggest(got string, names []string) string {
	best, distance := "", len(got)/2+1
	for _, name := range names {
		if d := levenshtein(strings.ToLower(got), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %s?", best)
	case len(names) == 0:
		return ""
	case len(names) <= 40:
		return "use one of " + strings.Join(names, ", ")
	default:
		return ""
	}
}

// levenshtein counts the letters to insert, delete or replace to make b of a.
func levenshtein(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "." + b
}

// String writes a value in one line, as it could stand in a mapping.
func (y *yaml) String() string {
	var b strings.Builder
	y.write(&b)
	return b.String()
}

func (y *yaml) write(b *strings.Builder) {
	switch y.kind {
	case list:
		b.WriteByte('[')
		for i, item := range y.items {
			if i > 0 {
				b.WriteString(", ")
			}
			item.write(b)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i := range y.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(y.keys[i].name + ": ")
			y.keys[i].value.write(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString(y.text)
	}
}
