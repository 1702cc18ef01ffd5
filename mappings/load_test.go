package mappings_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings"
)

const head = "onefold: mapping/v1\nsystem: acme\ndomain: crm\ndecode: json\ninstance: tenant\n"

// folder makes a mapping's folder of name, content, name, content; without a name the first is mapping.yaml.
func folder(mapping string, more ...string) fstest.MapFS {
	fsys := fstest.MapFS{"acme/mapping.yaml": {Data: []byte(mapping)}}
	for i := 0; i+1 < len(more); i += 2 {
		fsys["acme/"+more[i]] = &fstest.MapFile{Data: []byte(more[i+1])}
	}
	return fsys
}

// event1 is a mapping of one event, whose lines begin at line 8, column 5.
func event1(lines ...string) string {
	return head + "events:\n  - name: one\n    " + strings.Join(lines, "\n    ") + "\n"
}

func TestLoadSaysWhatToMend(t *testing.T) {
	const schema = `{"type":"object","properties":{"id":{"type":"string"},"total":{"type":"number"},
		"customer":{"type":"object","properties":{"email":{"type":["string","null"]},"phones":{"type":"array","items":{"type":"string"}}}},
		"lines":{"type":"array","items":{"type":"object","properties":{"sku":{"type":"string"}}}}}}`
	typed := func(lines ...string) string {
		return event1(append([]string{"schema: s.json", "op: upsert", "key: id"}, lines...)...)
	}
	plain := func(lines ...string) string { return event1(append([]string{"op: upsert", "key: id"}, lines...)...) }
	cases := map[string]struct{ mapping, want string }{
		"empty":                   {"", "1:1: one YAML document is expected"},
		"not YAML":                {"a: [", "1:4: not valid YAML"},
		"two documents":           {head + "events: []\n---\na: b\n", "1:1: one YAML document is expected"},
		"a list":                  {"- a\n", "1:1: keys and values are expected here, a list stands"},
		"nothing but a key":       {"onefold: mapping/v1\n", "1:1: events is missing"},
		"another language":        {strings.Replace(plain(), "mapping/v1", "mapping/v9", 1), `1:10: onefold: "mapping/v9" is not a language that this version reads (did you mean mapping/v1?)`},
		"a format to come":        {strings.Replace(plain(), "decode: json", "decode: avro", 1), "4:9: decode: avro is not yet read by this version (json and xml are read now)"},
		"no format":               {strings.Replace(plain(), "decode: json", "decode: jsno", 1), `"jsno" is not a format (did you mean json?)`},
		"no domain":               {strings.Replace(plain(), "domain: crm", "domain: crn", 1), `"crn" is not a domain (did you mean crm?)`},
		"an unknown key":          {plain("partys: {}"), `10:5: events[0].partys: there is no key "partys" here (did you mean party?)`},
		"a key twice":             {plain("op: patch"), "10:5: events[0].op: this key stands on line 8 already (keep one of them)"},
		"no event":                {head + "events: []\n", "6:9: events: there is no event"},
		"an event out of reach":   {plain() + "  - {name: two, ignore: never}\n", "10:6: events[1]: no message comes here"},
		"two of one name":         {head + "events:\n  - {name: a, when: x == \"1\", ignore: a}\n  - {name: a, ignore: a}\n", `another event of the name "a"`},
		"a reason with blanks":    {event1("ignore: Not Ours"), "8:13: events[0].ignore: a reason is a short code"},
		"ignored and mapped":      {event1("ignore: x", "op: upsert"), "9:5: events[0].op: an event that is ignored states nothing"},
		"nothing stated":          {event1("version: {time: at}"), "events[0]: the event states nothing"},
		"no op":                   {event1("key: id"), "a change with a key needs an operation"},
		"no such op":              {event1("op: insert", "key: id"), `"insert" is not an operation (did you mean upsert?)`},
		"op without key":          {event1("op: upsert", "party: {email: email}"), "upsert needs a key"},
		"an unknown field":        {plain("party: {given_name: a}"), `10:13: events[0].party.given_name: there is no key "given_name" here (did you mean givenName?)`},
		"an unknown part":         {plain("party: {address: {map: {zip: a}}}"), `there is no key "zip" here`},
		"parts for a text":        {plain("party: {email: {map: {a: b}, id: x, each: y, oops: z}}"), `there is no key "oops" here`},
		"an unknown identifier":   {plain("identifiers: [{type: customernumber, value: id}]"), `10:26: events[0].identifiers[0].type: "customernumber" is not a type of identifier (did you mean customerNumber?)`},
		"no issuer":               {strings.Replace(plain("identifiers: [{type: crmId, value: id}]"), "instance: tenant\n", "", 1), "nobody is named as who gave this identifier"},
		"an unknown strength":     {plain("identifiers: [{type: crmId, value: id, strength: S5}]"), `"S5" is not a strength`},
		"an unknown channel":      {plain("interactions: [{type: order, key: id, channel: {const: shop}}]"), `"shop" is not a channel`},
		"a channel by enum":       {plain("interactions: [{type: order, key: id, channel: {from: c, enum: {w: online, p: instore}}}]"), `"instore" is not a channel (did you mean inStore?)`},
		"an unknown interaction":  {plain("interactions: [{type: buy, key: id}]"), `"buy" is not a type of interaction`},
		"an unknown role":         {plain("interactions: [{type: order, key: id, parties: [{role: buyer, ref: {key: id}}]}]"), `"buyer" is not a role`},
		"a consent's state":       {plain("consents: [{channel: email, purpose: x, state: {const: yes}}]"), `"yes" is not a state of consent`},
		"an unknown function":     {plain("party: {email: {from: e, then: [trim, lowercase]}}"), `10:43: events[0].party.email.then[1]: there is no function "lowercase" (did you mean lower?)`},
		"too many arguments":      {plain(`party: {email: {from: e, then: ['after("a", "b")']}}`), "after takes one argument, 2 are given"},
		"a path for a text":       {plain(`party: {email: {from: e, then: ["after(x)"]}}`), "after takes texts in quotes, a path is given"},
		"a list for a text":       {plain(`party: {note: "emails[].value"}`), "a list is given, a text is expected"},
		"a text for a list":       {plain(`party: {email: {from: e, then: [trim, 'join(",")']}}`), "join takes a list, and a text is given"},
		"a broken path":           {plain("party: {email: a..b}"), "10:22: events[0].party.email: not a path: a name is expected"},
		"an open bracket":         {plain(`party: {email: "a[x == 1.b"}`), "not a path"},
		"a typo, typed":           {typed("party: {email: customer.emial}"), `11:20: events[0].party.email: "customer.emial": the schema has no emial here (did you mean email?)`},
		"a typo in when, typed":   {typed(`when: 'customer.mail == "x"'`), `11:12: events[0].when: "customer.mail": the schema has no mail here (did you mean email?)`},
		"a typo in a condition":   {typed(`party: {note: "lines[skv == 1].sku"}`), "the schema has no skv for the condition (did you mean sku?)"},
		"through a list, typed":   {typed("party: {note: lines.sku}"), `"lines.sku": a list stands before sku, and has no members (pick one: NAME[0] or NAME[condition])`},
		"an object, typed":        {typed("party: {note: customer}"), `"customer" is an object or a list in the schema`},
		"a typo in each, typed":   {typed("party: {tag: {each: lines, id: skv, from: sku}}"), "the schema has no skv here (did you mean sku?)"},
		"no such schema":          {event1("schema: t.json", "op: upsert", "key: id"), `8:13: events[0].schema: the file "t.json" cannot be read`},
		"a schema elsewhere":      {event1("schema: ../s.json", "op: upsert", "key: id"), `the file "../s.json" cannot be read`},
		"a number in expr":        {plain("party: {tier: {expr: 'id + 0.0'}}"), `10:32: events[0].party.tier.expr: numbers are exact decimals here, a bare number is not (write dec("12.50"))`},
		"a number compared":       {plain("party: {tier: {expr: 'total > 5 ? \"a\" : \"b\"'}}"), "10:35: events[0].party.tier.expr: numbers are exact"},
		"dec with text":           {plain("party: {tier: {expr: 'dec(total) > total ? \"a\" : \"b\"'}}"), "> compares a decimal number with a value"},
		"a loop":                  {event1("op: upsert", "key: id", "when: 'all(lines, {.sku == \"a\"})'"), "10:"},
		"a loop by filter":        {event1("op: upsert", "key: id", "when: 'filter(lines, # == \"a\") == nil'"), "10:"},
		"a range":                 {event1("when: 'id in 1..1000000'", "op: upsert", "key: id"), "8:18"},
		"a map":                   {event1("when: '{\"a\": id}'", "op: upsert", "key: id"), "loops, closures, variables, maps and slices are not part of an expression"},
		"a variable":              {event1("when: 'let x = id + id; x + x == id'", "op: upsert", "key: id"), "loops, closures, variables"},
		"a sequence":              {event1("when: 'id; id'", "op: upsert", "key: id"), "not part of an expression"},
		"a slice":                 {event1("when: 'id[0:1] == \"a\"'", "op: upsert", "key: id"), "not part of an expression"},
		"an index":                {event1("when: 'lines[0].sku == \"a\"'", "op: upsert", "key: id"), `only names joined by dots are a path here (write path("a[0].b"))`},
		"a power":                 {event1("when: 'id ** id == id'", "op: upsert", "key: id"), "the operator ** is not part of an expression"},
		"a pattern from a path":   {event1("when: 'id matches other'", "op: upsert", "key: id"), "the pattern of matches must stand in quotes"},
		"a broken pattern":        {event1("when: 'id matches \"(\"'", "op: upsert", "key: id"), "not a pattern"},
		"a builtin":               {event1("when: 'len(id) == id'", "op: upsert", "key: id"), `8:12: events[0].when: there is no such call of "len" in an expression`},
		"broken expr":             {event1("when: 'id == '", "op: upsert", "key: id"), "not an expression"},
		"a text for a truth":      {event1("when: '\"a\"'", "op: upsert", "key: id"), "true or false is expected here, the expression gives a text"},
		"a long expr":             {event1("when: '"+strings.Repeat("a == b || ", 500)+"a == b'", "op: upsert", "key: id"), "is over the limit of 4096"},
		"enum without else":       {plain("party: {tier: {from: t, else: x}}"), "else belongs to enum and to switch"},
		"two origins":             {plain("party: {tier: {from: t, const: x}}"), "a value's source is expected here, and 2 are named"},
		"each without id":         {plain("party: {address: {each: as, map: {postalCode: zip}}}"), "an element of each needs an id"},
		"a list for one value":    {plain("party: {givenName: [a, b]}"), "givenName has one value, a list stands here"},
		"else of another path":    {event1(`each: {tx: "a[].b[]", else: "c[]"}`, "op: upsert", "key: tx.id"), "the path of else does not lead to the one of each"},
		"each of no list":         {event1("each: {tx: a.b}", "op: upsert", "key: tx.id"), "the path of an each leads to a list (end it with [])"},
		"a merge without losers":  {event1("op: merge", "merge: {survivor: a}"), "a merge names its survivor and its losers"},
		"a merge by key":          {event1("op: merge", "key: a"), "merge needs the keys that it is about"},
		"an amount alone":         {plain("interactions: [{type: order, key: id, amount: {value: total}}]"), "an amount needs value or minor, and currency"},
		"versions that mix":       {plain("version: {first_of: [{time: a}, {sequence: b}]}"), "a time and a sequence do not compare"},
		"a scope too long":        {plain("version: {time: a, scope: " + strings.Repeat("s", 257) + "}"), "the name of a scope has at most 256 bytes"},
		"no time zone":            {"zone: Europe/Zurch\n" + plain(), `1:7: zone: there is no time zone "Europe/Zurch"`},
		"a layout of nothing":     {plain(`party: {birthDate: {from: b, then: ['date("yyyy-mm-dd")']}}`), "has no part of a date"},
		"a unit of nothing":       {plain(`party: {birthDate: {from: b, then: ['epoch("h")']}}`), `"h" is not a unit`},
		"no such table":           {plain(`party: {tier: {from: b, then: ['lookup("t.yaml")']}}`), `the file "t.yaml" cannot be read`},
		"no such anchor":          {plain("party: *nobody"), "there is no anchor of this name"},
		"a tag":                   {plain("party: {note: !!str a}"), "YAML tags mean nothing"},
		"a comma without quotes":  {plain(`party: {note: {from: b, then: [date("a", "b")]}}`), "in a list in brackets, a call with a comma needs quotes"},
		"on_null of nothing":      {"on_null: drop\n" + plain(), "what a null means is not said"},
		"#index of nothing":       {plain(`party: {note: "a.#index"}`), "#index is the position of what an each is at"},
		"a reference of nothing":  {event1("interactions: [{type: order, key: id, parties: [{role: customer, ref: {value: x}}]}]"), "a party is named by its key or by an identifier"},
		"skip without a reason":   {plain("skip: [{when: a == b}]"), "when and reason are expected here"},
		"changes beside op":       {event1("op: upsert", "changes: [{name: a, op: upsert, key: id}]"), "op stands beside changes"},
		"changes without a name":  {event1("changes: [{op: upsert, key: id}]"), "one of several changes needs a name"},
		"a deep file":             {strings.Repeat("a:\n", 1) + strings.Repeat("[", 200) + strings.Repeat("]", 200), ""},
		"aliases without measure": {bomb(), "more than 50000 values"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, found := mappings.Load(folder(c.mapping, "s.json", schema), "acme")
			if len(found) == 0 || m != nil {
				t.Fatalf("it loads, want %s", c.want)
			}
			for _, d := range found {
				if d.File == "" || d.Line == 0 || d.Column == 0 {
					t.Errorf("no place: %s", d)
				}
			}
			if all := strings.ReplaceAll(found.Error(), "acme/mapping.yaml:", ""); !strings.Contains(all, c.want) {
				t.Errorf("want %s\ngot  %s", c.want, all)
			}
		})
	}
}

// bomb doubles a list 30 times by aliases.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	return b.String()
}

func TestLoadLimits(t *testing.T) {
	padded := plainMapping + "#" + strings.Repeat("x", 1<<20-len(plainMapping)-2) + "\n"
	for _, c := range []struct {
		mapping string
		good    bool
	}{{padded, true}, {padded + "#\n", false}} {
		if _, found := mappings.Load(folder(c.mapping), "acme"); (len(found) == 0) != c.good {
			t.Errorf("%d bytes: %v", len(c.mapping), found)
		}
	}
	if _, found := mappings.Load(fstest.MapFS{}, "acme"); len(found) != 1 {
		t.Errorf("no file: %v", found)
	}
}

const plainMapping = head + "events:\n  - name: one\n    op: upsert\n    key: id\n"

// TestVersionIsThatOfTheContent: what a mapping refers to is part of its version, its cases are not.
func TestVersionIsThatOfTheContent(t *testing.T) {
	typed := strings.Replace(plainMapping, "    op:", "    schema: s.json\n    op:", 1)
	version := func(more ...string) string {
		m, found := mappings.Load(folder(typed, more...), "acme")
		if len(found) > 0 {
			t.Fatal(found)
		}
		return m.Describe().Version
	}
	one := version("s.json", `{}`)
	if again := version("s.json", `{}`, "cases/a.txtar", "x", "README.md", "y"); again != one {
		t.Error("cases change the version")
	}
	if other := version("s.json", `{ }`); other == one {
		t.Error("another schema is the same version")
	}
}

func TestDescribe(t *testing.T) {
	m := load(t, "square")
	got := m.Describe()
	if got.Name != "square" || got.Domain != "pos" || got.Kind != "mapping" || len(got.Version) != 16 || len(got.Events) < 20 {
		t.Errorf("%+v", got)
	}
}

// FuzzLoad: whatever a file holds, it is read, or refused with a place.
func FuzzLoad(f *testing.F) {
	for _, dir := range systems() {
		b, err := os.ReadFile(filepath.Join(dir, "mapping.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add(plainMapping)
	f.Add(bomb())
	f.Fuzz(func(t *testing.T, text string) {
		m, found := mappings.Load(folder(text), "acme")
		if (m == nil) != (len(found) > 0) {
			t.Fatalf("a mapping and faults: %v", found)
		}
		for _, d := range found {
			if d.File == "" || d.Message == "" {
				t.Fatalf("a fault without a place or a word: %+v", d)
			}
		}
		if m != nil {
			_, _ = m.Map(t.Context(), &event.Message{Value: []byte(`{"id":"1","tenant":"t"}`)})
		}
	})
}

func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (- want, + got):\n%s", what, diff)
	}
}
