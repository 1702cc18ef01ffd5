package mappings

import (
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// rule is one compiled event: which messages it is about, and what they state.
type rule struct {
	name   string
	when   func(s *scope) (bool, *event.Error)
	ignore string // reason to leave such messages out
	roots  []*route
	parts  []*part
}

// part makes one change, or with each one for every element.
type part struct {
	y            *yaml
	name         string // empty where the rule has one part only
	label        string // what tells the part's outcomes from those of other parts of the rule; often empty
	when         func(s *scope) (bool, *event.Error)
	levels       []*loop
	coarse       int // how many levels suffice where the finer ones are missing; -1: all are needed
	lets         []*let
	skips        []skip
	op           customer.Op
	who          *reference // of the change itself; nil where only interactions' parties are stated
	others       []*source
	versions     []versionSource
	scope        string
	at           *source
	statements   []emitter
	interactions []*interaction
}

type skip struct {
	when   func(s *scope) (bool, *event.Error)
	on     *source
	values []string
	reason string
}

type versionSource struct {
	src      *source
	sequence bool
}

func eventKeys() []string {
	return append([]string{"name", "ignore", "schema", "root", "changes"}, partKeys()...)
}

func partKeys() []string {
	return []string{
		"when", "each", "let", "skip", "op", "key", "ref", "merge", "rekey", "version", "at",
		"party", "fields", "identifiers", "consents", "interactions",
	}
}

// rule compiles one event.
func (l *builder) rule(y *yaml) *rule {
	if !l.allow(y, eventKeys()...) {
		return nil
	}
	r := &rule{name: l.string(y.get("name"), "a name")}
	if r.name == "" || strings.Trim(r.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		l.say(y, "name: lower-case letters, digits, - _ .", "an event needs a name")
	}
	e := l.top(y.get("schema"))
	r.when = l.condition(y.get("when"), e)
	if ignore := y.get("ignore"); ignore != nil {
		r.ignore = l.reason(ignore)
		for i := range y.keys {
			if k := &y.keys[i]; !slices.Contains([]string{"name", "when", "ignore", "schema"}, k.name) {
				l.sayKey(y, k, "remove it, or ignore", "an event that is ignored states nothing")
			}
		}
		return r
	}
	r.roots, e = l.roots(y.get("root"), e)
	if changes := y.get("changes"); changes != nil {
		l.parts(r, y, changes, e)
		return r
	}
	r.parts = []*part{l.part(y, nil, e)}
	return r
}

// parts compiles the changes of an event that makes several.
func (l *builder) parts(r *rule, y, changes *yaml, e env) {
	for _, key := range []string{"op", "key", "ref", "merge", "rekey", "party", "fields", "identifiers", "consents", "interactions"} {
		if y.has(key) {
			l.say(y.get(key), "move it into one of the changes", "%s stands beside changes", key)
		}
	}
	if changes.kind != list || len(changes.items) == 0 {
		l.say(changes, "write a list of changes", "a list is expected here, %s stands", changes.kind)
	}
	for _, item := range changes.items {
		if !l.allow(item, append([]string{"name"}, partKeys()...)...) {
			continue
		}
		p := l.part(item, y, e)
		if p.name = l.string(item.get("name"), "a name"); p.name == "" {
			l.say(item, "name: what the change is about", "one of several changes needs a name")
		}
		r.parts = append(r.parts, p)
	}
	for _, p := range r.parts {
		alike := func(o *part) bool { return o != p && o.levelText() == p.levelText() }
		if len(p.levels) == 0 || slices.ContainsFunc(r.parts, alike) {
			p.label = p.name
		}
	}
}

func (p *part) levelText() (text string) {
	for _, lv := range p.levels {
		text = join(text, lv.text())
	}
	return text
}

// reason reads a short code that is counted.
func (l *builder) reason(y *yaml) string {
	code := l.string(y, "a reason")
	if strings.Trim(code, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		l.say(y, "lower-case letters, digits and -, such as test-mode", "a reason is a short code, since it is counted")
	}
	return code
}

// part compiles one change. What it does not say itself of each, let, skip, version and at, it takes from the event.
func (l *builder) part(y, outer *yaml, e env) *part {
	own := func(key string) *yaml {
		if v := y.get(key); v != nil || outer == nil {
			return v
		}
		return outer.get(key)
	}
	p := &part{y: y}
	p.levels, p.coarse, e = l.each(own("each"), e)
	p.lets, e = l.lets(own("let"), e)
	if outer != nil { // else it is the rule's own
		p.when = l.condition(y.get("when"), e)
	}
	l.skip(p, own("skip"), e)
	l.version(p, own("version"), e)
	p.at = l.source(own("at"), e)
	l.operation(p, y, e)
	p.statements = append(p.statements, l.party(y.get("party"), e)...)
	p.statements = append(p.statements, l.nameValues(y.get("fields"), e)...)
	p.statements = append(p.statements, l.identifiers(y.get("identifiers"), e)...)
	p.statements = append(p.statements, l.consents(y.get("consents"), e)...)
	p.interactions = l.interactions(y.get("interactions"), e)
	if p.who == nil && len(p.statements) > 0 {
		l.say(y, "name the party: key: id", "a change that states something of a party needs its key")
	}
	if p.who == nil && len(p.interactions) == 0 {
		l.say(y, "add op and key, interactions, or ignore: reason", "the event states nothing")
	}
	return p
}

// operation compiles op and whom it is about.
func (l *builder) operation(p *part, y *yaml, e env) {
	op := l.word(y.get("op"), "an operation", "upsert", "patch", "delete", "erase", "rekey", "merge", "unmerge", "consent")
	p.op = customer.Op(op)
	joins := op == "merge" || op == "unmerge"
	switch {
	case joins && y.has("merge") && l.allow(y.get("merge"), "survivor", "losers"):
		m := y.get("merge")
		p.who = &reference{y: m, key: l.key(m.get("survivor"), e)}
		p.others = l.keys(m.get("losers"), e)
		if m.get("survivor") == nil || m.get("losers") == nil {
			l.say(m, "merge: {survivor: path, losers: [path]}", "a merge names its survivor and its losers")
		}
	case op == "rekey" && y.has("rekey") && l.allow(y.get("rekey"), "from", "to"):
		m := y.get("rekey")
		p.who = &reference{y: m, key: l.key(m.get("to"), e)}
		p.others = l.keys(m.get("from"), e)
		if m.get("from") == nil || m.get("to") == nil {
			l.say(m, "rekey: {from: path, to: path}", "a rekey names the old key and the new one")
		}
	case joins || op == "rekey":
		l.say(y, map[bool]string{true: "merge: {survivor: path, losers: [path]}", false: "rekey: {from: path, to: path}"}[joins],
			"%s needs the keys that it is about", op)
	case y.has("merge", "rekey"):
		l.say(y, "write op: merge or op: rekey", "merge and rekey belong to the operations of that name")
	case y.has("key"):
		p.who = &reference{y: y.get("key"), key: l.key(y.get("key"), e)}
	case y.has("ref"):
		p.who = l.reference(y.get("ref"), e)
	case op != "":
		l.say(y, "key: id", "%s needs a key", op)
	}
	if y.has("key") && y.has("ref") || (joins || op == "rekey") && y.has("key", "ref") {
		l.say(y, "write one of them", "key, ref, merge and rekey all say whom a change is about")
	}
	if p.who != nil && op == "" {
		l.say(y, "op: upsert, where the message says all there is; op: patch, where it says a part", "a change with a key needs an operation")
	}
}

// keys compiles a list of keys, each of which may be a path to several.
func (l *builder) keys(y *yaml, e env) (out []*source) {
	if y == nil {
		return nil
	}
	items := []*yaml{y}
	if y.kind == list {
		items = y.items
	}
	for _, item := range items {
		src := l.any(item, e)
		if src != nil && src.gives == aTree {
			l.say(item, "", "a key is a text")
		} else if src != nil {
			out = append(out, src)
		}
	}
	return out
}

// skip compiles {path: [values]} and [{when: expr, reason: code}].
func (l *builder) skip(p *part, y *yaml, e env) {
	switch {
	case y == nil:
	case y.kind == list:
		for _, item := range y.items {
			if l.allow(item, "when", "reason") {
				if !item.has("when") || !item.has("reason") {
					l.say(item, "skip: [{when: test == true, reason: test-mode}]", "when and reason are expected here")
					continue
				}
				p.skips = append(p.skips, skip{when: l.condition(item.get("when"), e), reason: l.reason(item.get("reason"))})
			}
		}
	case y.kind == object:
		for i := range y.keys {
			k := &y.keys[i]
			at := &yaml{kind: scalar, text: k.name, path: join(y.path, k.name), line: k.line, col: k.col}
			if on := l.source(at, e); on != nil {
				name := k.name[strings.LastIndexAny(k.name, "./@")+1:]
				p.skips = append(p.skips, skip{on: on, values: l.strings(k.value, "a value"), reason: strings.ToLower(name)})
			}
		}
	default:
		l.say(y, "write skip: {path: [values]}", "keys and values are expected here, %s stands", y.kind)
	}
}

// holds tells whether a part is left out, and why.
func (sk *skip) holds(s *frame) (string, *event.Error) {
	if sk.on == nil {
		is, err := sk.when(s.scope)
		return map[bool]string{true: sk.reason}[is], err
	}
	text, there, err := sk.on.text(s.scope)
	if err != nil || !there || !slices.Contains(sk.values, text) {
		return "", err
	}
	return sk.reason + "-" + strings.ToLower(text), nil
}

// version compiles {time: SOURCE, scope: name} and its kin.
func (l *builder) version(p *part, y *yaml, e env) {
	if y == nil || !l.allow(y, "time", "sequence", "first_of", "scope") {
		return
	}
	p.scope = l.string(y.get("scope"), "a name")
	items := []*yaml{y}
	if f := y.get("first_of"); f != nil {
		items = f.items
	}
	for _, item := range items {
		if item != y && !l.allow(item, "time", "sequence") {
			continue
		}
		v := versionSource{src: l.source(item.get("time"), e)}
		if item.has("sequence") {
			v = versionSource{src: l.source(item.get("sequence"), e), sequence: true}
		}
		if item.has("time") == item.has("sequence") {
			l.say(item, "version: {time: updated_at, scope: customer}", "a version is a time or a sequence")
		}
		if v.src != nil {
			p.versions = append(p.versions, v)
		}
	}
	for _, v := range p.versions {
		if v.sequence != p.versions[0].sequence {
			l.say(y, "name two scopes, in two events", "a time and a sequence do not compare, and would stand in one scope")
			return
		}
	}
}

// read answers the version, and the instant if it is one.
func (p *part) version(s *frame) (v customer.SourceVersion, at time.Time, err *event.Error) {
	for _, from := range p.versions {
		text, there, err := from.src.text(s.scope)
		switch {
		case err != nil:
			return v, at, err
		case !there:
			continue
		case from.sequence:
			v, fault := customer.SequenceVersion(text, p.scope)
			if fault != nil {
				return v, at, invalid(from.src.where(s.scope), "%s", fault)
			}
			return v, at, nil
		}
		at, err = s.run.m.dialect.time(text, from.src, s.scope)
		return customer.TimeVersion(at, p.scope), at, err
	}
	if len(p.versions) > 0 {
		err = invalid(p.versions[0].src.where(s.scope), "the message says nothing of its version: without one it cannot be put in order")
	}
	return v, at, err
}
