// Package mappings holds the adapters that are written as a file: what a system's messages mean, in a typed and closed
// language that is compiled to closures when it is loaded. Each folder is one system: mapping.yaml, what it refers to
// (schema/, tables), and cases/ that prove it. docs/mapping-language.md is the language's reference.
package mappings

import (
	"context"
	"embed"
	"io/fs"
	"strings"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

//go:embed cardbox iso20022 shopify square
var shipped embed.FS

// Shipped answers the folders of the systems that come with Onefold: "cardbox", "iso20022", "shopify", "square".
func Shipped() fs.FS { return shipped }

// fileName is the file that makes a folder a mapping.
const fileName = "mapping.yaml"

// edition is the first line of every mapping.
const edition = "mapping/v1"

// Mapping is a compiled mapping file, an adapters.Source. It never changes, so it may be used by many at once.
type Mapping struct {
	about    adapters.Description
	dialect  language.Dialect
	instance *language.Source
	onNull   *keyed // nil: a Kafka null is ignored
	rules    []*rule
}

var _ adapters.Described = (*Mapping)(nil)

// builder compiles a mapping: the language's part of it is the compiler's.
type builder struct {
	*language.Compiler
	m *Mapping
}

// Load reads and compiles the mapping in a folder. The diagnostics are all that is wrong with it, with line and column;
// where there are any, there is no mapping.
func Load(fsys fs.FS, dir string) (*Mapping, event.Diagnostics) {
	m := &Mapping{dialect: language.Dialect{Zone: time.UTC}}
	l := &builder{Compiler: language.NewCompiler(fsys, dir, fileName, &m.dialect), m: m}
	b := l.Read(&language.YAML{}, fileName)
	if b == nil {
		return nil, l.Diagnostics()
	}
	if top := l.Parse(b); top != nil {
		l.mapping(top)
	}
	l.m.about.Version = l.Version()
	if len(l.Found) > 0 {
		return nil, l.Diagnostics()
	}
	return l.m, nil
}

// mapping compiles the top of the file.
func (l *builder) mapping(y *language.YAML) {
	if !l.Allow(y, "onefold", "system", "domain", "description", "decode", "instance", "region", "zone", "unknown", "cleared", "redacted",
		"on_null", "events") {
		return
	}
	for _, key := range []string{"onefold", "system", "domain", "decode", "events"} {
		if y.Get(key) == nil {
			l.Say(y, "see docs/mapping-language.md", "%s is missing", key)
		}
	}
	l.Word(y.Get("onefold"), "a language that this version reads", edition)
	m := l.m
	m.about.Kind = "mapping"
	m.about.Name = l.code(y.Get("system"), "the name of a system")
	m.about.Domain = l.Word(y.Get("domain"), "a domain", "banking", "pos", "ecommerce", "crm", "service", "marketing")
	l.decoding(y.Get("decode"))
	m.dialect.Unknown = l.Strings(y.Get("unknown"), "a placeholder")
	m.dialect.Cleared = l.Strings(y.Get("cleared"), "a placeholder")
	m.dialect.Redacted = l.Strings(y.Get("redacted"), "a placeholder")
	l.place(y)
	m.instance = l.Source(y.Get("instance"), l.Top(nil))
	l.onNull(y.Get("on_null"))
	if list := y.Get("events"); list != nil && list.Kind == language.List && len(list.Items) == 0 {
		l.Say(list, "see docs/mapping-language.md", "there is no event: every message would be left out")
	}
	names := map[string]int{}
	for _, item := range l.entries(y.Get("events"), "events") {
		r := l.rule(item)
		if r == nil {
			continue
		}
		if names[r.name]++; names[r.name] == 2 {
			l.Say(item, "give it another", "there is another event of the name %q", r.name)
		}
		if n := len(m.rules); n > 0 && m.rules[n-1].always {
			l.Say(item, "put it before the event without a when", "no message comes here: the event before takes all")
		}
		m.rules = append(m.rules, r)
		m.about.Events = append(m.about.Events, r.name)
	}
}

// place reads what texts of dates and telephone numbers are to be read with, if they do not say themselves.
func (l *builder) place(y *language.YAML) {
	if region := l.String(y.Get("region"), "a country"); region != "" {
		l.m.dialect.Region = strings.ToUpper(region)
		if len(region) != 2 {
			l.Say(y.Get("region"), "region: CH", "%q is not an ISO 3166-1 code of two letters", region)
		}
	}
	if name := l.String(y.Get("zone"), "a time zone"); name != "" {
		zone, err := time.LoadLocation(name)
		if err != nil {
			l.Say(y.Get("zone"), "use a name of the IANA time zone database such as Europe/Zurich", "there is no time zone %q", name)
			return
		}
		l.m.dialect.Zone = zone
	}
}

func (l *builder) decoding(y *language.YAML) {
	later := []string{"avro", "form", "csv", "debezium", "cloudevents"}
	decode := l.Word(y, "a format", append([]string{"json", "xml"}, later...)...)
	l.m.dialect.Decode = decode
	for _, name := range later {
		if decode == name {
			l.Say(y, "json and xml are read now", "%s is not yet read by this version", decode)
		}
	}
}

// onNull compiles on_null: ignore, or {delete: SOURCE} with the party's key, which a null says by its own key only.
func (l *builder) onNull(y *language.YAML) {
	if y == nil || y.Kind == language.Scalar && y.Text == "ignore" {
		return
	}
	if y.Kind != language.Object || !l.Allow(y, "delete") || y.Get("delete") == nil {
		l.Say(y, `on_null: ignore, or on_null: {delete: key("id")}`, "what a null means is not said")
		return
	}
	l.m.onNull = l.key(y.Get("delete"), l.Top(nil))
}

// Describe says what the mapping is.
func (m *Mapping) Describe() adapters.Description { return m.about }

// Map implements adapters.Source.
func (m *Mapping) Map(_ context.Context, msg *event.Message) ([]customer.Change, error) {
	r := run{m: m, Input: language.Input{Msg: msg}}
	return r.message()
}
