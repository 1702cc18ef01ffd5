// Package language is what mapping files are written in, below the level of events: YAML with the place of each value, paths into
// a message, sources of values with their functions, expressions, lists to go through, and the schema that types them. All of it
// is compiled to closures once and evaluated with no I/O, no clock and no loop but over what the message holds.
// docs/mapping-language.md is its reference.
package language

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Compiler compiles what one mapping file says. It goes on after a fault, so that a person sees all of them at once.
type Compiler struct {
	fsys    fs.FS
	dir     string
	file    string // that diagnostics are about
	anchors map[string]ast.Node
	nodes   int
	Found   event.Diagnostics
	read    map[string][]byte // files that were read, by name
	kit     map[string]*function
	d       *Dialect
	tables  map[string]map[string]string
}

// NewCompiler returns a compiler of a file in a folder; d is filled in while it reads.
func NewCompiler(fsys fs.FS, dir, file string, d *Dialect) *Compiler {
	l := &Compiler{
		fsys: fsys, dir: dir, file: path.Join(dir, file), d: d,
		kit: map[string]*function{}, tables: map[string]map[string]string{}, read: map[string][]byte{},
	}
	for _, f := range functions() {
		l.kit[f.name] = &f
	}
	return l
}

// Reason codes of errors.
const (
	reasonValidation = "validation" // the message has a value that it should not have, or lacks one that it must have
	reasonMapping    = "mapping"    // the mapping says something that cannot be done
	reasonTooLarge   = "too_large"
)

// MaxText is the longest text that a value may have, in bytes.
const MaxText = customer.MaxValue

// maxSteps bounds the list items that one message may be walked through (invariant 10): lists within lists of a message
// that is within the codec's limits could still ask for their product.
const maxSteps = 2_000_000

// Dialect is how the texts of one mapping's messages are to be read.
type Dialect struct {
	Decode   string   // json or xml
	Unknown  []string // placeholders for what is not said
	Cleared  []string // for what is not there
	Redacted []string // for what is withheld
	Region   string   // ISO 3166-1, of telephone numbers without a country; may be empty
	Zone     *time.Location
}

// Time reads an instant: RFC 3339, or without a zone, or a date alone, which are in the mapping's zone.
func (m *Dialect) Time(text string, src *Source, s *Scope) (time.Time, *event.Error) {
	text = strings.TrimSpace(text)
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly, "2006-01-02Z07:00", "2006-01-02T15:04"} {
		if len(layout) <= 10 && len(text) > 16 {
			continue
		}
		if t, err := time.ParseInLocation(layout, text, m.Zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, Invalid(src.Where(s),
		"a time such as 2006-01-02T15:04:05Z is expected here: use date or epoch in the mapping for others")
}

// DecodeValue reads a message's value.
func (m *Dialect) DecodeValue(b []byte) (*codec.Node, error) {
	if m.Decode == "xml" {
		return codec.XML(b, codec.DefaultLimits)
	}
	return codec.JSON(b, codec.DefaultLimits)
}

// judge tells a text from the placeholders that stand for none.
func (m *Dialect) judge(text string) Value {
	switch {
	case len(m.Unknown) > 0 && slices.Contains(m.Unknown, text):
		return Value{State: customer.Unknown}
	case len(m.Redacted) > 0 && slices.Contains(m.Redacted, text):
		return Value{State: customer.Redacted}
	case len(m.Cleared) > 0 && slices.Contains(m.Cleared, text):
		return Value{State: customer.Cleared}
	}
	return Value{State: customer.Set, Text: text}
}

// leaf tells an XML element that has a text from one that has elements, and from every JSON object.
func (m *Dialect) leaf(n *codec.Node) bool {
	if m.Decode != "xml" {
		return false
	}
	for name := range n.Members() {
		if name[0] != '@' && name[0] != '#' {
			return n.Text() != ""
		}
	}
	return true
}

// Input is one message while it is read.
type Input struct {
	Msg   *event.Message
	key   *codec.Node // the message's key as a document
	steps int
	Fatal *event.Error // ends the message as a whole
}

// spend counts a step.
func (r *Input) spend() *event.Error {
	if r.steps++; r.steps > maxSteps {
		r.Fatal = event.Errorf(event.Poison, reasonTooLarge, "",
			"the message's lists have more than %d items together, which is the limit", maxSteps)
		return r.Fatal
	}
	return nil
}

// openKey decodes the message's key, once.
func (r *Input) openKey(s *Scope) *event.Error {
	if r.key == nil && r.Msg.Key != nil {
		n, err := codec.JSON(r.Msg.Key, codec.DefaultLimits)
		if err != nil {
			var e *event.Error
			if errors.As(err, &e) {
				return event.Errorf(e.Class, e.Reason, "key", "the message's key: %s", e.Text)
			}
			return Invalid("key", "the message's key is not JSON")
		}
		r.key = n
	}
	s.slots[slotKey] = r.key
	return nil
}

// Invalid is the error about a value that a message should not have.
func Invalid(path, format string, args ...any) *event.Error {
	return event.Errorf(event.Poison, reasonValidation, path, format, args...)
}

// Say notes what is wrong with a value, and how to mend it.
func (l *Compiler) Say(y *YAML, hint, format string, args ...any) {
	l.sayAt(y, 0, hint, format, args...)
}

// sayAt is say for the character at an offset within a scalar's text.
func (l *Compiler) sayAt(y *YAML, offset int, hint, format string, args ...any) {
	d := event.Diagnostic{File: l.file, Path: y.Path, Line: y.Line, Column: y.Col, Message: fmt.Sprintf(format, args...), Hint: hint}
	if before := y.Text[:min(offset, len(y.Text))]; offset > 0 {
		if lines := strings.Count(before, "\n"); lines > 0 {
			d.Line += lines
			before = before[strings.LastIndexByte(before, '\n')+1:]
		}
		d.Column += len([]rune(before))
	}
	l.Found = append(l.Found, d)
}

// SayKey notes what is wrong with a key of an object.
func (l *Compiler) SayKey(y *YAML, k *Key, hint, format string, args ...any) {
	l.Found = append(l.Found, event.Diagnostic{
		File: l.file, Path: Join(y.Path, k.Name), Line: k.Line, Column: k.Col, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// Diagnostics answers what was found, in the order of the file.
func (l *Compiler) Diagnostics() event.Diagnostics {
	slices.SortStableFunc(l.Found, func(a, b event.Diagnostic) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return (a.Line-b.Line)*10_000 + a.Column - b.Column
	})
	l.Found = slices.Compact(l.Found)
	return l.Found[:min(len(l.Found), maxDiagnostics)]
}

// Read reads a file of the mapping's folder; nil after a fault, which has been said.
func (l *Compiler) Read(y *YAML, name string) []byte {
	full := path.Join(l.dir, name)
	info, err := fs.Stat(l.fsys, full)
	switch {
	case !fs.ValidPath(name) || err != nil:
		l.Say(y, "names are relative to the mapping's folder, with forward slashes", "the file %q cannot be read", name)
		return nil
	case info.Size() > maxFile:
		l.Say(y, "", "the file %q has %d bytes, the limit is %d", name, info.Size(), maxFile)
		return nil
	}
	b, err := fs.ReadFile(l.fsys, full)
	if err != nil || len(b) > maxFile {
		l.Say(y, "", "the file %q cannot be read", name)
		return nil
	}
	l.read[name] = b
	return b
}

// Version answers a hash of all files that were read: it is the mapping's own version.
func (l *Compiler) Version() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(l.read)) {
		fmt.Fprintf(h, "%s\x00%d\x00", name, len(l.read[name]))
		h.Write(l.read[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Allow says which keys an object may have, and notes every other with what was probably meant.
func (l *Compiler) Allow(y *YAML, names ...string) bool {
	if y.Kind != Object {
		l.Say(y, "the keys are "+strings.Join(names, ", "), "keys and values are expected here, %s stands", y.Kind)
		return false
	}
	for i := range y.Keys {
		if k := &y.Keys[i]; !slices.Contains(names, k.Name) {
			l.SayKey(y, k, Suggest(k.Name, names), "there is no key %q here", k.Name)
		}
	}
	return true
}

// Word reads a scalar that is one of a closed list; empty after a fault or where y is nil.
func (l *Compiler) Word(y *YAML, what string, names ...string) string {
	s := l.String(y, what)
	if s != "" && !slices.Contains(names, s) {
		l.Say(y, Suggest(s, names), "%q is not %s", s, what)
		return ""
	}
	return s
}

// String reads a scalar; empty after a fault or where y is nil.
func (l *Compiler) String(y *YAML, what string) string {
	switch {
	case y == nil:
		return ""
	case y.Kind != Scalar:
		l.Say(y, "", "%s is expected here, %s stands", what, y.Kind)
		return ""
	case y.Text == "":
		l.Say(y, "", "%s is expected here, it is empty", what)
	}
	return y.Text
}

// Strings reads a list of scalars, or one.
func (l *Compiler) Strings(y *YAML, what string) (out []string) {
	if y == nil {
		return nil
	}
	items := []*YAML{y}
	if y.Kind == List {
		items = y.Items
	}
	for _, item := range items {
		if item.Kind != Scalar {
			l.Say(item, "", "%s is expected here, %s stands", what, item.Kind)
			continue
		}
		out = append(out, item.Text)
	}
	return out
}

// Suggest says which of the names was probably meant, or all if none is near and they are few.
func Suggest(got string, names []string) string {
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

// Join puts a dot between two parts of a path, either of which may be empty.
func Join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "." + b
}
