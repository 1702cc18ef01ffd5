// Package onefold_test holds the house to its plan: what the linter cannot see of the floor plan, the sizes and the voice
// is checked here, from the source text alone.
package onefold_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/onefold/onefold"

// The house's measures (docs/architecture.md). A kit for tests and the program's own folder may hold more files.
const (
	maxChain         = 4 // arrows from the program to the ground
	maxImports       = 3 // own packages imported, on average
	maxFileLines     = 400
	maxFunctionLines = 60
	maxFiles         = 12
)

// arrows says which own packages each room may import: only down, and siblings never each other. A room that ends in /*
// stands for every folder below it that has no line of its own.
func arrows() map[string][]string {
	return map[string][]string{
		"event":                {},
		"customer":             {"customer/model", "customer/money", "customer/weight", "event", "customer/id"},
		"customer/model":       {},
		"customer/money":       {},
		"customer/weight":      {},
		"customer/id":          {},
		"customer/match":       {"customer", "customer/match/lexicon", "customer/match/spelling"},
		"customer/explain":     {"customer", "event"},
		"customer/export":      {"customer"},
		"customer/review":      {"customer", "event"},
		"customer/merge":       {"customer"},
		"adapters":             {"customer", "event"},
		"adapters/codec":       {"event"},
		"adapters/adaptertest": {"adapters", "customer", "event"},
		"adapters/*":           {"adapters", "adapters/codec", "customer", "event"},
		"adapters/rest":        {"adapters", "customer", "event"},
		"mappings":             {"adapters", "adapters/codec", "customer", "event", "mappings/language"},
		"mappings/language":    {"adapters/codec", "customer", "event"},
		"plugins":              {"adapters", "customer", "event", "plugins/proto"},
		"plugins/proto":        {},
		"plugins/examples/*":   {"adapters", "customer", "event", "plugins"},
		"pipeline":             {"adapters", "customer", "event"},
		"pipeline/replay":      {"adapters", "customer", "event"},
		"pipeline/writeback":   {"adapters", "customer", "event"},
		"pipeline/kafka":       {"event", "pipeline/kafka/security"},
		"pipeline/kafka/*":     {"event"},
		"store/*":              {"customer", "event"},
		"store/sqlite":         {"customer", "event", "store/sqlite/page", "store/sqlite/queue"},
		"store/sqlite/page":    {},
		"store/sqlite/queue":   {"customer"},
		"console":              {"console/access", "console/mask", "console/pages", "customer", "customer/review", "event"},
		"console/access":       {},
		"console/mask":         {"customer"},
		"console/pages":        {"customer", "event"},
		"simulation":           {},
		"simulation/*":         {},
		"cmd/onefold/config":   {"event"},
		"cmd/onefold/archive":  {},
		"cmd/onefold":          {"*"},

		"customer/match/spelling":     {},
		"plugins/examples/bankfeed":   {"plugins", "plugins/examples/bankfeed/feed"},
		"plugins/examples/bankfeed/*": {"adapters", "customer", "event"},
		"customer/match/lexicon":      {"customer"},
	}
}

// folders without Go code of ours.
func outside() []string { return []string{"build", "bin", "data", "docs", "deploy", "testdata"} }

type file struct {
	path    string
	lines   int
	tree    *ast.File
	imports []string // own packages, without the module's name
	others  []string // packages of other modules
	test    bool
	made    bool // generated
}

// house is the source of the whole module, by package folder.
type house struct {
	files map[string][]file
	set   *token.FileSet
}

func read(t *testing.T) house {
	t.Helper()
	h := house{files: map[string][]file{}, set: token.NewFileSet()}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains(outside(), d.Name())):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		name = filepath.ToSlash(name)
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(h.set, name, source, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{
			path: name, lines: strings.Count(string(source), "\n"), tree: tree,
			test: strings.HasSuffix(name, "_test.go"), made: ast.IsGenerated(tree),
		}
		for _, spec := range tree.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if own, ok := strings.CutPrefix(imported, module+"/"); ok {
				f.imports = append(f.imports, own)
			} else if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
				f.others = append(f.others, imported)
			}
		}
		h.files[path.Dir(name)] = append(h.files[path.Dir(name)], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// packages answers every folder with code that is not only tests, and what it imports of ours.
func (h house) packages() map[string][]string {
	all := map[string][]string{}
	for dir, files := range h.files {
		code := false
		imports := map[string]bool{}
		for _, f := range files {
			if f.test {
				continue
			}
			code = true
			for _, own := range f.imports {
				imports[own] = true
			}
		}
		if code {
			all[dir] = slices.Sorted(maps.Keys(imports))
		}
	}
	return all
}

func TestArrowsPointDown(t *testing.T) {
	for dir, imports := range read(t).packages() {
		allowed, ok := arrows()[dir]
		if !ok {
			allowed, ok = arrows()[path.Dir(dir)+"/*"]
		}
		if !ok {
			t.Errorf("%s: the floor plan does not know this room: give it a line in layout_test.go and a rule in .golangci.yml", dir)
			continue
		}
		for _, own := range imports {
			if !slices.Contains(allowed, own) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s: the floor plan allows %q only", dir, own, allowed)
			}
		}
	}
}

func TestChainAndImports(t *testing.T) {
	packages := read(t).packages()
	depth := map[string]int{}
	var chain func(dir string) int
	chain = func(dir string) int {
		if n, ok := depth[dir]; ok {
			return n
		}
		longest := 0
		for _, own := range packages[dir] {
			longest = max(longest, 1+chain(own))
		}
		depth[dir] = longest
		return longest
	}
	longest, imports := "", 0
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if chain(dir) > depth[longest] || longest == "" {
			longest = dir
		}
		imports += len(packages[dir])
	}
	average := float64(imports) / float64(len(packages))
	t.Logf("%d packages; longest chain %d arrows, from %s; %.2f own imports a package", len(packages), depth[longest], longest, average)
	if depth[longest] > maxChain {
		t.Errorf("%s stands %d arrows above the ground, the limit is %d", longest, depth[longest], maxChain)
	}
	if average > maxImports {
		t.Errorf("%.2f own imports a package, the limit is %d", average, maxImports)
	}
}

func TestEachRoomHasARuleAndASentence(t *testing.T) {
	lint, err := os.ReadFile(".golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	h := read(t)
	for dir := range h.packages() {
		room, _, _ := strings.Cut(dir, "/")
		rule := regexp.MustCompile(`(?m)^        ` + regexp.QuoteMeta(room) + `:\n(?:.*\n)*?\s+files: \["\*\*/` + regexp.QuoteMeta(room) + `/`)
		if !rule.Match(lint) {
			t.Errorf("%s: no depguard rule named %s in .golangci.yml: a room without one is an open door", dir, room)
		}
		var sentences []string
		for _, f := range h.files[dir] {
			if !f.test && f.tree.Doc != nil {
				sentences = append(sentences, f.tree.Doc.Text())
			}
		}
		name := "Package " + path.Base(dir) + " "
		if h.program(dir) {
			name = "Command " + path.Base(dir) + " "
		}
		if len(sentences) != 1 || !strings.HasPrefix(sentences[0], name) {
			t.Errorf("%s: want one package comment that begins with %q, found %d", dir, name, len(sentences))
		}
	}
}

// program tells whether a folder's code is that of a program.
func (h house) program(dir string) bool {
	return slices.ContainsFunc(h.files[dir], func(f file) bool { return !f.test && f.tree.Name.Name == "main" })
}

func TestSizes(t *testing.T) {
	h := read(t)
	var largest file
	var longest string
	longestLines := 0
	for dir, files := range h.files {
		count := 0
		for _, f := range files {
			if f.test || f.made {
				continue
			}
			count++
			if f.lines > largest.lines {
				largest = f
			}
			if f.lines > maxFileLines {
				t.Errorf("%s has %d lines, the limit is %d", f.path, f.lines, maxFileLines)
			}
			for name, lines := range h.functions(f) {
				if lines > longestLines {
					longest, longestLines = f.path+" "+name, lines
				}
				if lines > maxFunctionLines {
					t.Errorf("%s: %s has %d lines, the limit is %d", f.path, name, lines, maxFunctionLines)
				}
			}
		}
		if count > maxFiles && dir != "cmd/onefold" {
			t.Errorf("%s has %d files, the limit is %d", dir, count, maxFiles)
		}
	}
	t.Logf("largest file %s, %d lines; longest function %s, %d lines", largest.path, largest.lines, longest, longestLines)
}

// functions answers how many lines each function's body has; comments in it count for nothing.
func (h house) functions(f file) map[string]int {
	line := func(p token.Pos) int { return h.set.Position(p).Line }
	all := map[string]int{}
	for _, decl := range f.tree.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		lines := line(fn.Body.Rbrace) - line(fn.Body.Lbrace) - 1
		for _, c := range f.tree.Comments {
			if c.Pos() > fn.Body.Lbrace && c.End() < fn.Body.Rbrace {
				lines -= line(c.End()) - line(c.Pos()) // a comment of one line may stand behind code
			}
		}
		all[fmt.Sprintf("%s (line %d)", fn.Name.Name, line(fn.Pos()))] = lines
	}
	return all
}

func TestNoInitAndNoCatchAll(t *testing.T) {
	h := read(t)
	for dir, files := range h.files {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "manager", "base", "types", "misc"}, path.Base(dir)) {
			t.Errorf("%s: a room is named after what it holds, not %q", dir, path.Base(dir))
		}
		for _, f := range files {
			for _, decl := range f.tree.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !f.made {
					t.Errorf("%s: an init function: wiring is explicit, in cmd/onefold/wire.go", f.path)
				}
			}
		}
	}
}

// TestEachDependencyIsExplained compares docs/dependencies.md with what we import.
func TestEachDependencyIsExplained(t *testing.T) {
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, line := range regexp.MustCompile(`(?m)^\| ([a-z][^ ]*\.[^ ]*) \|`).FindAllStringSubmatch(string(page), -1) {
		modules = append(modules, line[1])
	}
	slices.SortFunc(modules, func(a, b string) int { return len(b) - len(a) }) // the longest prefix first
	used := map[string]bool{}
	for _, files := range read(t).files {
		for _, f := range files {
			for _, imported := range f.others {
				i := slices.IndexFunc(modules, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") })
				if i < 0 {
					t.Errorf("%s imports %s: docs/dependencies.md has no line for it", f.path, imported)
					continue
				}
				used[modules[i]] = true
			}
		}
	}
	for _, m := range modules {
		if !used[m] {
			t.Errorf("docs/dependencies.md has a line for %s, which nothing imports", m)
		}
	}
}

// TestNoForeignPaths keeps paths of somebody's machine out of the source.
func TestNoForeignPaths(t *testing.T) {
	foreign := regexp.MustCompile(`"(/home/|/Users/|/root/|[A-Z]:\\\\)`)
	for _, files := range read(t).files {
		for _, f := range files {
			source, err := os.ReadFile(f.path)
			if err != nil {
				t.Fatal(err)
			}
			if f.path != "layout_test.go" && foreign.Match(source) {
				t.Errorf("%s: a path of somebody's machine: %s", f.path, foreign.Find(source))
			}
		}
	}
}
