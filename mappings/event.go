package mappings

import (
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

// rule is one compiled event: which messages it is about, and what they state.
type rule struct {
	name   string
	when   func(s *language.Scope) (bool, *event.Error)
	always bool   // there is no when
	ignore string // reason to leave such messages out
	roots  []*language.Path
	parts  []*part
}

// part makes one change, or with each one for every element.
type part struct {
	y            *language.YAML
	name         string // empty where the rule has one part only
	label        string // what tells the part's outcomes from those of other parts of the rule; often empty
	when         func(s *language.Scope) (bool, *event.Error)
	levels       []*language.Loop
	coarse       int // how many levels suffice where the finer ones are missing; -1: all are needed
	lets         []*language.Let
	skips        []skip
	op           customer.Op
	who          *reference // of the change itself; nil where only interactions' parties are stated
	others       []*language.Source
	versions     []versionSource
	scope        string
	at           *language.Source
	statements   []emitter
	interactions []*interaction
}

type skip struct {
	when   func(s *language.Scope) (bool, *event.Error)
	on     *language.Source
	values []string
	reason string
}

type versionSource struct {
	src      *language.Source
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
func (l *builder) rule(y *language.YAML) *rule {
	if !l.Allow(y, eventKeys()...) {
		return nil
	}
	r := &rule{name: l.String(y.Get("name"), "a name")}
	if r.name == "" || strings.Trim(r.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		l.Say(y, "name: lower-case letters, digits, - _ .", "an event needs a name")
	}
	e := l.Top(y.Get("schema"))
	r.when, r.always = l.Condition(y.Get("when"), e), !y.Has("when")
	if ignore := y.Get("ignore"); ignore != nil {
		r.ignore = l.code(ignore, "a reason")
		for i := range y.Keys {
			if k := &y.Keys[i]; !slices.Contains([]string{"name", "when", "ignore", "schema"}, k.Name) {
				l.SayKey(y, k, "remove it, or ignore", "an event that is ignored states nothing")
			}
		}
		return r
	}
	r.roots, e = l.Roots(y.Get("root"), e)
	if changes := y.Get("changes"); changes != nil {
		l.parts(r, y, changes, e)
		return r
	}
	r.parts = []*part{l.part(y, nil, e)}
	return r
}

// parts compiles the changes of an event that makes several.
func (l *builder) parts(r *rule, y, changes *language.YAML, e language.Env) {
	for _, key := range []string{"op", "key", "ref", "merge", "rekey", "party", "fields", "identifiers", "consents", "interactions"} {
		if y.Has(key) {
			l.Say(y.Get(key), "move it into one of the changes", "%s stands beside changes", key)
		}
	}
	if changes.Kind != language.List || len(changes.Items) == 0 {
		l.Say(changes, "write a list of changes", "a list is expected here, %s stands", changes.Kind)
	}
	for _, item := range changes.Items {
		if !l.Allow(item, append([]string{"name"}, partKeys()...)...) {
			continue
		}
		p := l.part(item, y, e)
		if p.name = l.String(item.Get("name"), "a name"); p.name == "" {
			l.Say(item, "name: what the change is about", "one of several changes needs a name")
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
		text = language.Join(text, lv.Text())
	}
	return text
}

// code reads a short name that is counted: of a system, a reason.
func (l *builder) code(y *language.YAML, what string) string {
	code := l.String(y, what)
	if strings.Trim(code, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		l.Say(y, "lower-case letters, digits and -, such as test-mode", "%s is a short code, since it is counted", what)
	}
	return code
}

// part compiles one change. What it does not say itself of each, let, skip, version and at, it takes from the event.
func (l *builder) part(y, outer *language.YAML, e language.Env) *part {
	own := func(key string) *language.YAML {
		if v := y.Get(key); v != nil || outer == nil {
			return v
		}
		return outer.Get(key)
	}
	p := &part{y: y}
	p.levels, p.coarse, e = l.Each(own("each"), e)
	p.lets, e = l.Lets(own("let"), e)
	if outer != nil { // else it is the rule's own
		p.when = l.Condition(y.Get("when"), e)
	}
	l.skip(p, own("skip"), e)
	l.version(p, own("version"), e)
	p.at = l.Source(own("at"), e)
	l.operation(p, y, e)
	p.statements = append(p.statements, l.party(y.Get("party"), e)...)
	p.statements = append(p.statements, l.nameValues(y.Get("fields"), e)...)
	p.statements = append(p.statements, l.identifiers(y.Get("identifiers"), e)...)
	p.statements = append(p.statements, l.consents(y.Get("consents"), e)...)
	p.interactions = l.interactions(y.Get("interactions"), e)
	if p.who == nil && len(p.statements) > 0 {
		l.Say(y, "name the party: key: id", "a change that states something of a party needs its key")
	}
	if p.who == nil && len(p.interactions) == 0 {
		l.Say(y, "add op and key, interactions, or ignore: reason", "the event states nothing")
	}
	return p
}

// operation compiles op and whom it is about.
func (l *builder) operation(p *part, y *language.YAML, e language.Env) {
	op := l.Word(y.Get("op"), "an operation", "upsert", "patch", "delete", "erase", "rekey", "merge", "unmerge", "consent")
	p.op = customer.Op(op)
	joins := op == "merge" || op == "unmerge"
	switch {
	case joins && y.Has("merge") && l.Allow(y.Get("merge"), "survivor", "losers"):
		m := y.Get("merge")
		p.who = &reference{y: m, key: l.key(m.Get("survivor"), e)}
		p.others = l.keys(m.Get("losers"), e)
		if m.Get("survivor") == nil || m.Get("losers") == nil {
			l.Say(m, "merge: {survivor: path, losers: [path]}", "a merge names its survivor and its losers")
		}
	case op == "rekey" && y.Has("rekey") && l.Allow(y.Get("rekey"), "from", "to"):
		m := y.Get("rekey")
		p.who = &reference{y: m, key: l.key(m.Get("to"), e)}
		p.others = l.keys(m.Get("from"), e)
		if m.Get("from") == nil || m.Get("to") == nil {
			l.Say(m, "rekey: {from: path, to: path}", "a rekey names the old key and the new one")
		}
	case joins || op == "rekey":
		l.Say(y, map[bool]string{true: "merge: {survivor: path, losers: [path]}", false: "rekey: {from: path, to: path}"}[joins],
			"%s needs the keys that it is about", op)
	case y.Has("merge", "rekey"):
		l.Say(y, "write op: merge or op: rekey", "merge and rekey belong to the operations of that name")
	case y.Has("key"):
		p.who = &reference{y: y.Get("key"), key: l.key(y.Get("key"), e)}
	case y.Has("ref"):
		p.who = l.reference(y.Get("ref"), e)
	case op != "":
		l.Say(y, "key: id", "%s needs a key", op)
	}
	if y.Has("key") && y.Has("ref") || (joins || op == "rekey") && y.Has("key", "ref") {
		l.Say(y, "write one of them", "key, ref, merge and rekey all say whom a change is about")
	}
	if p.who != nil && op == "" {
		l.Say(y, "op: upsert, where the message says all there is; op: patch, where it says a part", "a change with a key needs an operation")
	}
}

// skip compiles {path: [values]} and [{when: expr, reason: code}].
func (l *builder) skip(p *part, y *language.YAML, e language.Env) {
	switch {
	case y == nil:
	case y.Kind == language.List:
		for _, item := range y.Items {
			if l.Allow(item, "when", "reason") {
				if !item.Has("when") || !item.Has("reason") {
					l.Say(item, "skip: [{when: test == true, reason: test-mode}]", "when and reason are expected here")
					continue
				}
				p.skips = append(p.skips, skip{when: l.Condition(item.Get("when"), e), reason: l.code(item.Get("reason"), "a reason")})
			}
		}
	case y.Kind == language.Object:
		for i := range y.Keys {
			k := &y.Keys[i]
			at := &language.YAML{Kind: language.Scalar, Text: k.Name, Path: language.Join(y.Path, k.Name), Line: k.Line, Col: k.Col}
			if on := l.Source(at, e); on != nil {
				name := k.Name[strings.LastIndexAny(k.Name, "./@")+1:]
				p.skips = append(p.skips, skip{on: on, values: l.Strings(k.Value, "a value"), reason: strings.ToLower(name)})
			}
		}
	default:
		l.Say(y, "write skip: {path: [values]}", "keys and values are expected here, %s stands", y.Kind)
	}
}

// holds tells whether a part is left out, and why.
func (sk *skip) holds(s *frame) (string, *event.Error) {
	if sk.on == nil {
		is, err := sk.when(s.Scope)
		return map[bool]string{true: sk.reason}[is], err
	}
	text, there, err := sk.on.Text(s.Scope)
	if err != nil || !there || !slices.Contains(sk.values, text) {
		return "", err
	}
	return sk.reason + "-" + strings.ToLower(text), nil
}

// version compiles {time: SOURCE, scope: name} and its kin.
func (l *builder) version(p *part, y *language.YAML, e language.Env) {
	if y == nil || !l.Allow(y, "time", "sequence", "first_of", "scope") {
		return
	}
	if p.scope = l.String(y.Get("scope"), "a name"); len(p.scope) > customer.MaxWord {
		l.Say(y.Get("scope"), "scope: customer", "the name of a scope has at most %d bytes", customer.MaxWord)
	}
	items := []*language.YAML{y}
	if f := y.Get("first_of"); f != nil {
		items = f.Items
	}
	for _, item := range items {
		if item != y && !l.Allow(item, "time", "sequence") {
			continue
		}
		v := versionSource{src: l.Source(item.Get("time"), e)}
		if item.Has("sequence") {
			v = versionSource{src: l.Source(item.Get("sequence"), e), sequence: true}
		}
		if item.Has("time") == item.Has("sequence") {
			l.Say(item, "version: {time: updated_at, scope: customer}", "a version is a time or a sequence")
		}
		if v.src != nil {
			p.versions = append(p.versions, v)
		}
	}
	for _, v := range p.versions {
		if v.sequence != p.versions[0].sequence {
			l.Say(y, "name two scopes, in two events", "a time and a sequence do not compare, and would stand in one scope")
			return
		}
	}
}

// read answers the version, and the instant if it is one.
func (p *part) version(s *frame) (v customer.SourceVersion, at time.Time, err *event.Error) {
	for _, from := range p.versions {
		text, there, err := from.src.Text(s.Scope)
		switch {
		case err != nil:
			return v, at, err
		case !there:
			continue
		case from.sequence:
			v, fault := customer.SequenceVersion(text, p.scope)
			if fault != nil {
				return v, at, language.Invalid(from.src.Where(s.Scope), "%s", fault)
			}
			return v, at, nil
		}
		at, err = s.run.m.dialect.Time(text, from.src, s.Scope)
		return customer.TimeVersion(at, p.scope), at, err
	}
	if len(p.versions) > 0 {
		err = language.Invalid(p.versions[0].src.Where(s.Scope), "the message says nothing of its version: without one it cannot be put in order")
	}
	return v, at, err
}
