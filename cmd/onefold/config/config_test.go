package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onefold/onefold/cmd/onefold/config"
)

func environment() config.Environment {
	vars := map[string]string{"SHOP_TOPIC": "from.env", "SECRET_TOPIC": "no such topic name"}
	return config.Environment{
		Adapters: []string{"iso20022", "shopify", "square"},
		Targets:  []string{"cardbox", "hubspot"},
		Lookup:   func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
	}
}

const smallest = "data: ./data # embedded broker and store live here\nsources:\n  shop-eu: {adapter: shopify, topic: shop-eu.webhooks}\n"

func TestSmallestFileHasEveryDefault(t *testing.T) {
	got, found := config.Parse("/etc/onefold/onefold.yaml", []byte(smallest), environment())
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := &config.Config{
		Data:      "/etc/onefold/data",
		Kafka:     config.Kafka{Listen: "127.0.0.1:9092"},
		Store:     config.Store{SQLite: config.SQLite{Path: "/etc/onefold/data/onefold.db"}},
		Sources:   map[string]config.Source{"shop-eu": {Adapter: "shopify", Topic: "shop-eu.webhooks"}},
		Topics:    config.Topics{Customers: "onefold.customers"},
		Retention: config.Retention{DeadLetters: 30 * 24 * time.Hour},
		Webhooks:  config.Webhooks{Listen: "127.0.0.1:8081"},
		Match:     config.Match{Survey: config.AutomaticSurvey},
		Console:   config.Console{Listen: "127.0.0.1:8080"},
		Admin:     config.Admin{Listen: "127.0.0.1:9100"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !got.Kafka.Embedded() {
		t.Error("no brokers are named, so the broker is embedded")
	}
}

func TestLengthsOfTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "'0'": 0, "0h": 0, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "": 720 * time.Hour,
	} {
		got, found := config.Parse("f.yaml", []byte("retention: {deadLetters: "+text+"}"), environment())
		if len(found) > 0 || got.Retention.DeadLetters != want {
			t.Errorf("%q: %v, %v", text, got, found)
		}
	}
}

func TestEmptyFilesAreTheDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "a comment": "# later\n", "empty sections": "kafka:\nsources:\nmerge: {}\nmatch: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, found := config.Parse("/etc/onefold.yaml", []byte(text), environment())
			if len(found) > 0 {
				t.Fatal(found)
			}
			if d := cmp.Diff(config.Default("/etc"), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestValuesFromElsewhere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "topic"), []byte("from.file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "erp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "erp", "mapping.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := "sources:\n  a: {adapter: ./erp, topic: '${env:SHOP_TOPIC}'}\n  b: {adapter: square, topic: 'x.${file:topic}'}\n" +
		"data: 'a$${b}'\nmerge: {trust: {a: 90}}\n"
	got, found := config.Parse(filepath.Join(dir, "onefold.yaml"), []byte(text), environment())
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := map[string]config.Source{
		"a": {Adapter: filepath.Join(dir, "erp"), Topic: "from.env"},
		"b": {Adapter: "square", Topic: "x.from.file"},
	}
	if d := cmp.Diff(want, got.Sources); d != "" {
		t.Error(d)
	}
	if got.Data != filepath.Join(dir, "a${b}") {
		t.Errorf("data is %s", got.Data)
	}
}

// Each case is what a person might write, and every line that they are told.
func TestBrokenFiles(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"unknown key": {"dta: ./data\n", `f.yaml:1:1: dta: there is no such key here (did you mean data?)`},
		"unknown key inside": {
			"kafka:\n  brokerz: []\n",
			`f.yaml:2:3: kafka.brokerz: there is no such key here (did you mean brokers?)`,
		},
		"far from anything": {"kafka: {zookeeper: a}\n", `f.yaml:1:9: kafka.zookeeper: there is no such key here (one of: brokers, listen, rack, tls, sasl)`},
		"nothing to set":    {"match: {threshold: 3}\n", `f.yaml:1:9: match.threshold: there is no such key here (one of: survey)`},
		"another survey":    {"match: {survey: automatik}\n", `f.yaml:1:9: match.survey: there is no such way (did you mean automatic?)`},
		"twice":             {"data: a\nadmin: {}\ndata: b\n", `f.yaml:3:1: data: this key stands on line 1 already (keep one of the two)`},
		"later": {
			"store:\n  postgres: {}\nretention: {history: 1h}\n",
			"f.yaml:2:3: store.postgres: the PostgreSQL store: not in this version (leave the key out)\n" +
				"f.yaml:3:13: retention.history: a limit on how long former versions of customers are kept: not in this version (leave the key out)",
		},
		"not yaml": {"data: [a\n", `f.yaml:1:7: this is not YAML: sequence end token ']' not found (indent with spaces, and close every quote and bracket)`},
		"a list":   {"- a\n", `f.yaml:1:1: expected a section of keys, found a list`},
		"number for text": {
			"sources:\n  a: {adapter: shopify, topic: 12}\n",
			`f.yaml:2:32: sources.a.topic: expected a text, found a number (put it in quotes)`,
		},
		"length without unit": {"retention: {deadLetters: 30}\n", `f.yaml:1:26: retention.deadLetters: a length of time has a unit (write 720h, 30m or 45s; 0 is for ever)`},
		"length of days":      {"retention: {deadLetters: 30d}\n", `f.yaml:1:26: retention.deadLetters: this is not a length of time (write 720h, 30m or 45s; 0 is for ever)`},
		"length below 0":      {"retention: {deadLetters: '-1h'}\n", `f.yaml:1:26: retention.deadLetters: this is not a length of time (write 720h, 30m or 45s; 0 is for ever)`},
		"length of a list":    {"retention: {deadLetters: [1h]}\n", `f.yaml:1:26: retention.deadLetters: expected a text, found a list`},
		"retention later":     {"retention: {outbox: 1h}\n", `f.yaml:1:13: retention.outbox: a limit on how long what waits to be published is kept: not in this version (leave the key out)`},
		"text for list":       {"kafka: {brokers: 'a:1'}\n", `f.yaml:1:18: kafka.brokers: expected a list, found a text (write [a, b], or one a line with a dash before it)`},
		"text for number":     {smallest + "merge: {trust: {shop-eu: high}}\n", `f.yaml:4:26: merge.trust.shop-eu: expected a whole number, found a text`},
		"missing topic": {
			"sources:\n  a: {adapter: shopify}\n",
			`f.yaml:2:3: sources.a.topic: this key is missing (add topic: the kafka topic that the system's messages arrive on)`,
		},
		"empty topic":    {"sources:\n  a: {adapter: shopify, topic: ''}\n", `f.yaml:2:25: sources.a.topic: there is nothing in this text`},
		"unknown shop":   {"sources:\n  a: {adapter: shopfy, topic: t}\n", `f.yaml:2:7: sources.a.adapter: there is no shipped adapter of that name (did you mean shopify?; a mapping of your own is named by its folder: ./mappings/erp)`},
		"no such folder": {"sources:\n  a: {adapter: ./erp, topic: t}\n", `f.yaml:2:7: sources.a.adapter: there is no mapping.yaml in that folder (a relative path starts at the folder of this file)`},
		"same topic": {
			"sources:\n  a: {adapter: shopify, topic: t}\n  b: {adapter: shopify, topic: t}\n",
			`f.yaml:3:25: sources.b.topic: the source a reads this topic already (give each source a topic of its own)`,
		},
		"our own topic": {
			"sources:\n  a: {adapter: shopify, topic: onefold.customers}\n",
			`f.yaml:2:25: sources.a.topic: this is the topic of customers, which Onefold writes itself (let the source have a topic of its own)`,
		},
		"bad topic": {
			"sources:\n  a: {adapter: shopify, topic: 'a b'}\n",
			`f.yaml:2:25: sources.a.topic: this is not a topic's name (Kafka allows letters, digits, and . _ - in it, at most 249 of them)`,
		},
		"bad source": {
			"sources:\n  Shop EU: {adapter: shopify, topic: t}\n",
			`f.yaml:2:3: sources.Shop EU: a source's name has small letters, digits, and . _ - after the first (it is at most 63 characters long: shop-eu)`,
		},
		"trust nobody":  {smallest + "merge: {trust: {shop: 1}}\n", `f.yaml:4:17: merge.trust.shop: there is no source of that name (one of: shop-eu)`},
		"trust too far": {smallest + "merge: {trust: {shop-eu: 101}}\n", `f.yaml:4:17: merge.trust.shop-eu: trust is a whole number from 0 to 100`},
		"open console": {
			"console: {listen: '0.0.0.0:8080'}\n",
			`f.yaml:1:11: console.listen: this address can be reached from other machines, and without tokens nothing here asks who calls (use 127.0.0.1, or add console.tokens and console.tls: docs/security.md)`,
		},
		"open broker": {"kafka: {listen: ':9092'}\n", `f.yaml:1:9: kafka.listen: this address can be reached from other machines, and nothing here asks who calls (use 127.0.0.1; for other machines, run a broker of your own and name it in kafka.brokers)`},
		"same port":   {"admin: {listen: '127.0.0.1:8080'}\n", `f.yaml:1:9: admin.listen: port 8080 is that of console.listen (give each a port of its own)`},
		"bad address": {"admin: {listen: localhost}\n", `f.yaml:1:9: admin.listen: this is not an address (write host:port, such as 127.0.0.1:9092)`},
		"bad port":    {"kafka: {brokers: ['a:99999']}\n", `f.yaml:1:19: kafka.brokers[0]: the port is not a number from 0 to 65535 (write host:port, such as 127.0.0.1:9092)`},
		"no variable": {"data: ${env:NOBODY}\n", `f.yaml:1:7: data: the environment has no variable NOBODY (set it, or name another)`},
		"no file":     {"data: ${file:nowhere}\n", `f.yaml:1:7: data: the file nowhere cannot be read: no such file or directory (a relative path starts at the folder of this file)`},
		"open brace":  {"data: a${env\n", `f.yaml:1:7: data: ${ is not closed (write ${env:NAME} or ${file:path}, or $${ for the two characters themselves)`},
		"unknown ref": {"data: ${vault:x}\n", `f.yaml:1:7: data: ${vault:} is not known (write ${env:NAME} or ${file:path})`},
		"anchors":     {"data: &a x\n", `f.yaml:1:7: data: anchors, aliases and tags are not understood here (write the value out)`},
		"two files":   {"data: a\n---\ndata: b\n", `f.yaml:3:5: a second document begins here (keep one document in the file)`},
		"all at once": {"a: 1\ndata: []\n", "f.yaml:1:1: a: there is no such key here (one of: data, kafka, store, sources, targets, webhooks, topics, merge, match, retention, console, admin)\nf.yaml:2:7: data: expected a text, found a list"},
		"no secret":   {"sources:\n  a: {adapter: shopify, topic: '${env:SECRET_TOPIC}'}\n", `f.yaml:2:25: sources.a.topic: this is not a topic's name (Kafka allows letters, digits, and . _ - in it, at most 249 of them)`},
		"nothing there": {"data: ''\nstore: {sqlite: {path: ''}}\n", "f.yaml:1:1: data: the folder has no name (leave the key out for ./data)\n" +
			"f.yaml:2:18: store.sqlite.path: the file has no name (leave the key out for onefold.db in the data folder)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, found := config.Parse("f.yaml", []byte(c.text), environment())
			if got != nil {
				t.Error("a broken file gives no configuration")
			}
			if d := cmp.Diff(c.want, found.Error()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	if _, found := config.Parse("f.yaml", bytes.Repeat([]byte("#\n"), config.MaxFileBytes/2+1), environment()); len(found) != 1 {
		t.Error("a file over the limit is refused:", found)
	}
	deep := "sources: {a: " + strings.Repeat("{a: ", 50) + strings.Repeat("}", 51) + "\n"
	if _, found := config.Parse("f.yaml", []byte(deep), environment()); len(found) == 0 {
		t.Error("sections without end are refused")
	}
	var many strings.Builder
	many.WriteString("sources:\n")
	for i := range config.MaxSources + 1 {
		n := string(rune('a'+i/26)) + string(rune('a'+i%26))
		many.WriteString("  " + n + ": {adapter: shopify, topic: " + n + "}\n")
	}
	if _, found := config.Parse("f.yaml", []byte(many.String()), environment()); len(found) != 1 {
		t.Error("more sources than the limit are refused:", found)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("x"), config.MaxSecretBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, found := config.Parse(filepath.Join(dir, "f.yaml"), []byte("data: ${file:big}\n"), environment()); len(found) != 1 {
		t.Error("a secret over the limit is refused:", found)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.yaml")
	_, found := config.Load(path, environment())
	if len(found) != 1 || !strings.Contains(found.Error(), "no such file") {
		t.Error(found)
	}
	if err := os.WriteFile(path, []byte(smallest), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, found := config.Load(path, environment()); len(found) > 0 {
		t.Error(found)
	}
}

// A mapping in the folder that one works in is a folder wherever the file is named from, never the name of a shipped one.
func TestFolderStaysAFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("acme", 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("acme", "mapping.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("onefold.yaml", []byte("sources:\n  crm: {adapter: ./acme, topic: crm.events}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"onefold.yaml", "./onefold.yaml"} {
		c, found := config.Load(path, environment())
		if len(found) > 0 || !c.Sources["crm"].Folder() {
			t.Fatalf("%s: %+v: %v", path, c, found)
		}
	}
}

// The schema says of each text what the reader says, but for what only looking at the whole can tell.
func TestSchemaAgreesWithTheReader(t *testing.T) {
	schema := compiled(t)
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"smallest":      {smallest, true},
		"empty":         {"{}", true},
		"null sections": {"kafka:\nsources:\n", true},
		"everything": {"data: x\nkafka: {brokers: ['a:1', 'b:2'], listen: '127.0.0.1:0', rack: eu-1a}\nstore: {sqlite: {path: x}}\n" +
			"sources: {a: {adapter: square, topic: t}}\ntopics: {customers: c}\nmerge: {trust: {a: 3}}\nmatch: {}\n" +
			"console: {listen: 'localhost:1'}\nadmin: {listen: '0.0.0.0:2'}\n", true},
		"system's TLS": {"kafka: {brokers: ['a:1'], tls: {ca: system, serverName: a}, sasl: {mechanism: PLAIN, username: a, password: b}}", true},
		"token":        {"kafka: {brokers: ['a:1'], tls: {ca: system}, sasl: {mechanism: OAUTHBEARER, token: b}}", true},
		"TLS to whom":  {"kafka: {brokers: ['a:1'], tls: {}}", false},
		"insecure":     {"kafka: {brokers: ['a:1'], tls: {ca: system, insecure: true}}", false},
		"GSSAPI":       {"kafka: {brokers: ['a:1'], sasl: {mechanism: GSSAPI, username: a, password: b}}", false},
		"reference":    {"sources: {a: {adapter: square, topic: '${env:SHOP_TOPIC}'}}", true},
		"unknown":      {"dat: x", false},
		"later":        {"retention: {history: 1h}", false},
		"a target":     {"targets: {a: {adapter: rest, target: hubspot, url: 'https://a', auth: {basic: {username: a, password: b}}, rate: 5, timeout: 5s, insecure: true}}", true},
		"a plugin":     {"targets: {a: {adapter: plugin, batch: 5, timeout: 5s, plugin: {command: config.go, checksum: 'sha256:" + strings.Repeat("0", 64) + "'}}}", true},
		"no plugin":    {"targets: {a: {adapter: plugin}}", false},
		"a plugin's":   {"targets: {a: {adapter: plugin, url: 'https://a', plugin: {command: config.go, checksum: 'sha256:" + strings.Repeat("0", 64) + "'}}}", false},
		"both":         {"targets: {a: {adapter: rest, target: hubspot, url: 'https://a', plugin: {command: config.go, checksum: 'sha256:" + strings.Repeat("0", 64) + "'}}}", false},
		"no url":       {"targets: {a: {adapter: rest, target: hubspot}}", false},
		"two logins":   {"targets: {a: {adapter: rest, target: hubspot, url: 'https://a', auth: {bearer: a, header: {name: b, value: c}}}}", false},
		"no rate":      {"targets: {a: {adapter: rest, target: hubspot, url: 'https://a', rate: 0}}", false},
		"rate":         {"targets: {a: {adapter: rest, target: hubspot, url: 'https://a', rate: 10001}}", false},
		"length":       {"retention: {deadLetters: 1.5h30m}", true},
		"no length":    {"retention: {deadLetters: 0}", true},
		"bare length":  {"retention: {deadLetters: 7}", false},
		"days":         {"retention: {deadLetters: 7d}", false},
		"below 0":      {"retention: {deadLetters: -1h}", false},
		"number":       {"data: 1", false},
		"no topic":     {"sources: {a: {adapter: square}}", false},
		"bad name":     {"sources: {A B: {adapter: square, topic: t}}", false},
		"no address":   {"console: {listen: 'everywhere'}", false},
		"tokens":       {"console: {tokens: [{name: kim, role: admin, secret: 'sha256:" + strings.Repeat("0", 64) + "'}]}", true},
		"a secret":     {"console: {tokens: [{name: kim, role: admin, secret: " + strings.Repeat("x", 32) + "}]}", true},
		"short secret": {"console: {tokens: [{name: kim, role: admin, secret: " + strings.Repeat("x", 31) + "}]}", false},
		"no role":      {"console: {tokens: [{name: kim, secret: " + strings.Repeat("x", 32) + "}]}", false},
		"other role":   {"console: {tokens: [{name: kim, role: root, secret: " + strings.Repeat("x", 32) + "}]}", false},
		"nameless":     {"console: {tokens: [{name: 'K M', role: admin, secret: " + strings.Repeat("x", 32) + "}]}", false},
		"half a TLS":   {"console: {tls: {cert: a}}", false},
		"trust":        {"sources: {a: {adapter: square, topic: t}}\nmerge: {trust: {a: 101}}", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := schema.Validate(decoded(t, c.text))
			if (err == nil) != c.good {
				t.Errorf("the schema says %v", err)
			}
			if _, found := config.Parse("f.yaml", []byte(c.text), environment()); (len(found) == 0) != c.good {
				t.Errorf("the reader says %v", found)
			}
		})
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func FuzzParse(f *testing.F) {
	f.Add(smallest)
	f.Add("kafka: {brokers: [a:1]}\nmerge: {trust: {x: 1}}")
	f.Add("a: ${env:X}${")
	f.Fuzz(func(t *testing.T, text string) {
		c, found := config.Parse("f.yaml", []byte(text), environment())
		if (c == nil) != (len(found) > 0) {
			t.Errorf("config %v with findings %v", c, found)
		}
	})
}
