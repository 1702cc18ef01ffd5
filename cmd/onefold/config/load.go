package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/onefold/onefold/event"
)

// Limits of a configuration (invariant 10).
const (
	MaxFileBytes   = 1 << 20 // of the file itself
	MaxSecretBytes = 1 << 16 // of a file that ${file:} names
	maxDepth       = 16      // of sections within sections
)

// Environment is what lies around the file: the process's variables, and the adapters that are shipped.
type Environment struct {
	Lookup   func(name string) (string, bool) // of ${env:NAME}; nil knows none
	Adapters []string                         // names of the shipped adapters
	Targets  []string                         // names of the shipped target files
}

// Load reads and checks the file at path. Diagnostics are everything that is to be mended, empty where nothing is; the
// Config is nil where there are any.
func Load(path string, env Environment) (*Config, event.Diagnostics) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	return Parse(path, data, env)
}

func unreadable(path string, err error) event.Diagnostics {
	d := event.Diagnostic{File: path, Message: "the file cannot be read: " + reason(err)}
	d.Hint = "name an existing file with --config; the smallest one is in docs/configuration.md"
	return event.Diagnostics{d}
}

// reason is an error of the file system without the path, which stands before it already.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Parse reads and checks a file's content; file is its name, and relative paths in it start at its folder.
func Parse(file string, data []byte, env Environment) (*Config, event.Diagnostics) {
	if len(data) > MaxFileBytes {
		over := fmt.Sprintf("the file is larger than the limit of %d bytes", MaxFileBytes)
		return nil, event.Diagnostics{{File: file, Message: over}}
	}
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, event.Diagnostics{syntax(file, err)}
	}
	dir := filepath.Dir(file)
	r := &reader{file: file, dir: dir, env: env, places: map[string]*token.Position{}}
	c := raw()
	switch body := bodies(tree); {
	case len(body) > 1:
		r.say(body[1], "", "a second document begins here", "keep one document in the file")
	case len(body) == 1:
		r.read(body[0], "", valueOf(c))
	}
	r.check(c)
	if len(r.found) > 0 {
		return nil, r.sorted()
	}
	c.settle(dir)
	return c, nil
}

// bodies answers the documents that hold anything.
func bodies(tree *ast.File) []ast.Node {
	var out []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			out = append(out, doc.Body)
		}
	}
	return out
}

// syntax tells what the YAML parser stumbled over, without the excerpt that it would print.
func syntax(file string, err error) event.Diagnostic {
	d := event.Diagnostic{File: file, Message: "this is not YAML: " + err.Error()}
	d.Hint = "indent with spaces, and close every quote and bracket"
	var y yaml.Error
	if errors.As(err, &y) {
		d.Message = "this is not YAML: " + y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			d.Line, d.Column = t.Position.Line, t.Position.Column
		}
	}
	return d
}
