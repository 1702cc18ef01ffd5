package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/onefold/onefold/event"
)

// reader fills a Config from a YAML tree. It is strict, goes on after a fault, and remembers where each key stood.
type reader struct {
	file, dir string
	env       Environment
	found     event.Diagnostics
	places    map[string]*token.Position // by path
	depth     int
}

func valueOf(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() }

// later answers what the design has and this version has not, by path.
func later() map[string]string {
	return map[string]string{
		"retention.history":      "a limit on how long former versions of customers are kept",
		"retention.interactions": "a limit on how long interactions are kept",
		"retention.outbox":       "a limit on how long what waits to be published is kept",
		"store.postgres":         "the PostgreSQL store",
	}
}

func (r *reader) say(n ast.Node, path, message, hint string) {
	d := event.Diagnostic{File: r.file, Path: path, Message: message, Hint: hint}
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			d.Line, d.Column = t.Position.Line, t.Position.Column
		}
	}
	r.found = append(r.found, d)
}

// at says something about a path that was read already; about the section it would stand in, if it was left out.
func (r *reader) at(path, message, hint string) {
	d := event.Diagnostic{File: r.file, Path: path, Message: message, Hint: hint}
	for p := path; p != ""; p = parent(p) {
		if pos := r.places[p]; pos != nil {
			d.Line, d.Column = pos.Line, pos.Column
			break
		}
	}
	r.found = append(r.found, d)
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i]
	}
	return ""
}

func (r *reader) sorted() event.Diagnostics {
	sort.SliceStable(r.found, func(i, j int) bool {
		a, b := r.found[i], r.found[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return r.found
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// read puts what a node says into v. A null leaves the default: it is what remains of a section whose lines were commented out.
func (r *reader) read(n ast.Node, path string, v reflect.Value) {
	if r.depth++; r.depth > maxDepth {
		r.say(n, path, fmt.Sprintf("sections are nested deeper than the limit of %d", maxDepth), "")
		return
	}
	defer func() { r.depth-- }()
	switch n.(type) {
	case *ast.NullNode:
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		r.say(n, path, "anchors, aliases and tags are not understood here", "write the value out")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		r.section(n, path, v)
	case reflect.Map:
		r.named(n, path, v)
	case reflect.Slice:
		r.list(n, path, v)
	case reflect.Int64:
		r.duration(n, path, v)
	case reflect.Int:
		r.number(n, path, v)
	case reflect.Bool:
		r.truth(n, path, v)
	default:
		if s, ok := r.text(n, path); ok {
			v.SetString(s)
		}
	}
}

// pairs answers a mapping's pairs, each key once; a key's place is remembered.
func (r *reader) pairs(n ast.Node, path, want string) []*ast.MappingValueNode {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.say(n, path, "expected "+want+", found "+kind(n), "")
		return nil
	}
	var out []*ast.MappingValueNode
	seen := map[string]int{}
	for _, pair := range m.Values {
		t := pair.Key.GetToken()
		if _, merge := pair.Key.(*ast.MergeKeyNode); merge || t == nil {
			r.say(pair.Key, path, "anchors, aliases and tags are not understood here", "write the values out")
			continue
		}
		if line, twice := seen[t.Value]; twice {
			r.say(pair.Key, join(path, t.Value), fmt.Sprintf("this key stands on line %d already", line), "keep one of the two")
			continue
		}
		seen[t.Value] = t.Position.Line
		r.places[join(path, t.Value)] = t.Position
		out = append(out, pair)
	}
	return out
}

// section reads a mapping whose keys are a struct's fields.
func (r *reader) section(n ast.Node, path string, v reflect.Value) {
	given := map[string]bool{}
	for _, pair := range r.pairs(n, path, "a section of keys") {
		key := pair.Key.GetToken().Value
		if _, null := pair.Value.(*ast.NullNode); !null {
			given[key] = true
		}
		if i := fieldOf(v.Type(), key); i >= 0 {
			r.read(pair.Value, join(path, key), v.Field(i))
			continue
		}
		if what, ok := later()[join(path, key)]; ok {
			r.say(pair.Key, join(path, key), what+": not in this version", "leave the key out")
			continue
		}
		r.say(pair.Key, join(path, key), "there is no such key here", suggestion(key, keysOf(v.Type())))
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if key := f.Tag.Get("yaml"); f.Tag.Get("need") == "yes" && !given[key] {
			r.missing(path, f)
		}
	}
	r.one(path, v.Type(), given)
}

func (r *reader) missing(path string, f reflect.StructField) {
	key := f.Tag.Get("yaml")
	r.at(join(path, key), "this key is missing", "add "+key+": "+strings.ToLower(first(f.Tag.Get("doc"))))
}

// one sees to it that of the keys that exclude each other one is given.
func (r *reader) one(path string, t reflect.Type, given map[string]bool) {
	var all []reflect.StructField
	var found []string
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("need") == "one" {
			all = append(all, f)
			if key := f.Tag.Get("yaml"); given[key] {
				found = append(found, key)
			}
		}
	}
	switch {
	case len(all) > 0 && len(found) == 0:
		r.missing(path, all[0])
	case len(found) > 1:
		r.at(join(path, found[1]), "this stands beside "+found[0]+", and only one of the two can be", "leave one of them out")
	}
}

// named reads a mapping from names to values.
func (r *reader) named(n ast.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, pair := range r.pairs(n, path, "names with a value each") {
		name := pair.Key.GetToken().Value
		value := reflect.New(v.Type().Elem()).Elem()
		r.read(pair.Value, join(path, name), value)
		v.SetMapIndex(reflect.ValueOf(name), value)
	}
}

func (r *reader) list(n ast.Node, path string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.say(n, path, "expected a list, found "+kind(n), "write [a, b], or one a line with a dash before it")
		return
	}
	v.SetLen(0)
	for i, item := range seq.Values {
		at := path + "[" + strconv.Itoa(i) + "]"
		if t := item.GetToken(); t != nil {
			r.places[at] = t.Position
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.read(item, at, value)
		v.Set(reflect.Append(v, value))
	}
}

func (r *reader) number(n ast.Node, path string, v reflect.Value) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		r.say(n, path, "expected a whole number, found "+kind(n), "")
		return
	}
	whole, err := strconv.Atoi(i.GetToken().Value)
	if err != nil {
		r.say(n, path, "expected a whole number in decimal digits", "")
		return
	}
	v.SetInt(int64(whole))
}

func (r *reader) truth(n ast.Node, path string, v reflect.Value) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.say(n, path, "expected true or false, found "+kind(n), "")
		return
	}
	v.SetBool(b.Value)
}

// duration reads a length of time: a text with units, or a plain 0.
func (r *reader) duration(n ast.Node, path string, v reflect.Value) {
	text, ok := "0", true
	if i, is := n.(*ast.IntegerNode); !is || i.GetToken().Value != "0" {
		if _, number := n.(*ast.IntegerNode); number {
			r.say(n, path, "a length of time has a unit", "write 720h, 30m or 45s; 0 is for ever")
			return
		}
		text, ok = r.text(n, path)
	}
	if !ok {
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		r.say(n, path, "this is not a length of time", "write 720h, 30m or 45s; 0 is for ever")
		return
	}
	v.SetInt(int64(d))
}

// text reads a string. Numbers and yes/no are not taken for one: 1.10 would have become 1.1 in the hands of another reader.
func (r *reader) text(n ast.Node, path string) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return r.expand(n, path, s.Value)
	case *ast.LiteralNode:
		return r.expand(n, path, s.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		r.say(n, path, "expected a text, found "+kind(n), "put it in quotes")
	default:
		r.say(n, path, "expected a text, found "+kind(n), "")
	}
	return "", false
}

func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	default:
		return "something else"
	}
}

func fieldOf(t reflect.Type, key string) int {
	return slices.Index(keysOf(t), key)
}

// keysOf answers the keys of a struct in the order of its fields.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}

// first is the first sentence of a text.
func first(doc string) string {
	sentence, _, _ := strings.Cut(doc, ".")
	return regexp.MustCompile(`\s+`).ReplaceAllString(sentence, " ")
}

// suggestion names the key that was probably meant, else all that there are.
func suggestion(key string, known []string) string {
	best, near := "", 3
	for _, k := range known {
		if d := distance(key, k); d < near && d < len(k) {
			best, near = k, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	if len(known) == 0 {
		return "nothing can be set here in this version"
	}
	return "one of: " + strings.Join(known, ", ")
}

// distance is Levenshtein's: how many letters must be added, dropped or changed.
func distance(a, b string) int {
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
