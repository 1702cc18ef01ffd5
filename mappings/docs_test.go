package mappings_test

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/mappings"
	"github.com/onefold/onefold/mappings/language"
)

func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAdapterInOneFolder builds the adapter of docs/adapters.md from the page alone: it loads, its cases pass, and it clears
// the bar of every adapter.
func TestAdapterInOneFolder(t *testing.T) {
	fsys := fstest.MapFS{}
	block := regexp.MustCompile("(?s)`(acme/[a-z/.-]+)`[^`]*(?:`[^`\n]+`[^`]*)*?\n\n```[a-z]*\n(.*?)```\n")
	for _, m := range block.FindAllStringSubmatch(page(t, "adapters.md"), -1) {
		fsys[m[1]] = &fstest.MapFile{Data: []byte(m[2])}
	}
	if len(fsys) != 5 {
		t.Fatalf("%d files are on the page, want 5", len(fsys))
	}
	m, found := mappings.Load(fsys, "acme")
	if len(found) > 0 {
		t.Fatal(found)
	}
	for _, r := range mappings.RunCases(t.Context(), m, fsys, "acme") {
		for _, d := range r.Differences {
			t.Errorf("%s: %s", r.Name, d)
		}
	}
	cases, err := fs.Sub(fsys, "acme/cases")
	if err != nil {
		t.Fatal(err)
	}
	adaptertest.Run(t, m, cases)
}

// TestLanguageIsDocumented: every key, function and name that a mapping may use stands in docs/mapping-language.md.
func TestLanguageIsDocumented(t *testing.T) {
	text := page(t, "mapping-language.md")
	documented := func(what, name string) {
		if !regexp.MustCompile("[`{ ]" + regexp.QuoteMeta(name) + `[^A-Za-z_]`).MatchString(text) {
			t.Errorf("the %s %s is not on the page", what, name)
		}
	}
	for _, name := range language.Functions() {
		documented("function", name)
	}
	for _, name := range customer.IdentifierTypes() {
		documented("identifier", name)
	}
	for _, name := range append(customer.InteractionTypes(), customer.Channels()...) {
		documented("name", name)
	}
	for _, f := range customer.Fields() {
		if f.Name == customer.FieldIdentifier || f.Name == customer.FieldConsent || f.Name == customer.FieldLink {
			continue
		}
		documented("field", f.Name)
		for _, part := range f.Parts {
			documented("part", part)
		}
	}
	for _, key := range keys(t) {
		documented("key", key)
	}
}

// keys answers the keys of each section, as the diagnostics name them when a single value stands where keys are expected.
func keys(t *testing.T) (all []string) {
	sections := []string{
		"x", head + "events: [x]", event1("changes: [x]"), event1("op: merge", "merge: x"), event1("op: rekey", "rekey: x"), event1("version: x"),
		event1("fields: x"), event1("identifiers: [x]"), event1("consents: [x]"), event1("interactions: [x]"), event1("skip: [x]"),
		event1("interactions: [{type: order, key: a, amount: x}]"), event1("interactions: [{type: order, key: a, items: x}]"),
		event1("interactions: [{type: order, key: a, parties: [x]}]"), event1("interactions: [{type: order, key: a, references: [x]}]"),
		event1("interactions: [{type: order, key: a, reversalOf: x}]"), event1("ref: x"),
	}
	hint := regexp.MustCompile(`\(the keys are ([^)]*)\)`)
	for _, mapping := range sections {
		_, found := mappings.Load(folder(mapping), "acme")
		m := hint.FindStringSubmatch(fmt.Sprint(found))
		if m == nil {
			t.Fatalf("no keys are named for %q: %v", mapping, found)
		}
		all = append(all, strings.Split(m[1], ", ")...)
	}
	return append(all, "from", "header", "const", "expr", "first_of", "switch", "then", "enum", "else", "verified", "each", "id", "map", "clear", "when")
}
