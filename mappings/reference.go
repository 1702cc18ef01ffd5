package mappings

import (
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

// reference says who a party is: by its key in the source, by an identifier that stands for it, or by the first of
// several such that is there. Statements go with it.
type reference struct {
	y          *language.YAML
	key        *keyed
	id         *identifier      // or the identifier of a reference record
	contact    *language.Source // or its e-mail address or telephone number
	kind       string           // type of the identifier; email, phone
	statements []emitter
	first      []*reference
}

// reference compiles {key: path}, {type: cardFingerprint, value: SOURCE} or {first_of: [...]}, with identifiers and party.
func (l *builder) reference(y *language.YAML, e language.Env) *reference {
	if y == nil {
		return nil
	}
	if y.Has("first_of") {
		ref := &reference{y: y}
		if l.Allow(y, "first_of") {
			for _, item := range l.entries(y.Get("first_of"), "first_of") {
				if one := l.reference(item, e); one != nil {
					ref.first = append(ref.first, one)
				}
			}
		}
		return ref
	}
	if !l.Allow(y, "when", "key", "id", "type", "value", "issuer", "strength", "verified", "identifiers", "party") {
		return nil
	}
	ref := &reference{y: y, kind: l.String(y.Get("type"), "a type")}
	switch {
	case y.Has("key") == y.Has("type"):
		l.Say(y, "ref: {key: customer_id}, or ref: {type: cardFingerprint, value: path}", "a party is named by its key or by an identifier")
		return nil
	case y.Has("key"):
		if ref.key = l.key(y.Get("key"), e); ref.key == nil {
			return nil
		}
	case ref.kind == customer.FieldEmail || ref.kind == customer.FieldPhone:
		if ref.contact = l.Source(y.Get("value"), e); ref.contact == nil {
			l.Say(y, "value: path", "a reference needs its value")
			return nil
		}
		ref.key = &keyed{prefix: customer.ReferenceKey(ref.kind, ""), parts: []*language.Source{ref.contact}}
		ref.statements = l.text(nil, ref.contact, customer.Path{Name: ref.kind}, nil)
	default:
		if ref.id = l.identifier(y, e); ref.id == nil {
			return nil
		}
		ref.key = &keyed{prefix: customer.ReferenceKey(ref.kind, ""), parts: []*language.Source{ref.id.src}}
		ref.statements = []emitter{ref.id.state}
	}
	ref.statements = append(ref.statements, l.party(y.Get("party"), e)...)
	ref.statements = append(ref.statements, l.identifiers(y.Get("identifiers"), e)...)
	if when := l.Condition(y.Get("when"), e); when != nil {
		guarded := *ref
		return &reference{y: y, first: []*reference{{y: y, key: guarded.key.when(when), statements: guarded.statements}}}
	}
	return ref
}

// resolve answers whom the reference means and its key; nil where nobody is named.
func (ref *reference) resolve(s *frame) (*reference, string, *event.Error) {
	for _, one := range ref.first {
		if who, key, err := one.resolve(s); who != nil || err != nil {
			return who, key, err
		}
	}
	if ref.key == nil {
		return nil, "", nil
	}
	key, there, err := ref.key.read(s)
	if err != nil || !there {
		return nil, "", err
	}
	return ref, key, nil
}

// participant is a party of an interaction: its role, and who it is.
type participant struct {
	when func(s *language.Scope) (bool, *event.Error)
	role string
	ref  *reference
}

// participants compiles the parties of an interaction.
func (l *builder) participants(in *interaction, y *language.YAML, e language.Env) {
	for _, item := range l.entries(y, "parties") {
		if !l.Allow(item, "when", "role", "ref") {
			continue
		}
		p := &participant{when: l.Condition(item.Get("when"), e)}
		p.role = l.Word(item.Get("role"), "a role", "customer", "payer", "beneficiary", "recipient", "agent")
		p.ref = l.reference(item.Get("ref"), e)
		if item.Get("role") == nil || item.Get("ref") == nil {
			l.Say(item, "{role: customer, ref: {key: customer.id}}", "a party needs role and ref")
		}
		if p.ref != nil {
			in.parties = append(in.parties, p)
		}
	}
}

// keyed reads a key: one value, or several joined so that two different lists never give one key.
type keyed struct {
	prefix string
	parts  []*language.Source
}

// key compiles a path or a list of paths; nil where y is nil or after a fault.
func (l *builder) key(y *language.YAML, e language.Env) *keyed {
	if y == nil {
		return nil
	}
	items := []*language.YAML{y}
	if y.Kind == language.List {
		items = y.Items
	}
	k := &keyed{}
	for _, item := range items {
		if src := l.Source(item, e); src != nil {
			k.parts = append(k.parts, src)
		}
	}
	if len(k.parts) < len(items) || len(items) == 0 {
		return nil
	}
	return k
}

// read answers the key; there is false where a part of it is missing.
func (k *keyed) read(s *frame) (key string, there bool, err *event.Error) {
	if len(k.parts) == 1 {
		text, there, err := k.parts[0].Text(s.Scope)
		return k.prefix + text, there, err
	}
	for i, src := range k.parts {
		text, there, err := src.Text(s.Scope)
		if err != nil || !there {
			return "", false, err
		}
		if i > 0 {
			key += "/"
		}
		key += strings.ReplaceAll(strings.ReplaceAll(text, "%", "%25"), "/", "%2F")
	}
	return k.prefix + key, true, nil
}

// must is read for a key without which the part is nothing.
func (k *keyed) must(s *frame, what string) (string, *event.Error) {
	key, there, err := k.read(s)
	if err == nil && !there {
		err = language.Invalid(k.parts[0].Where(s.Scope), "%s is missing: the mapping takes it from %s", what, k.parts[0].Y.String())
	}
	return key, err
}

// when answers a key that is there only if a condition holds.
func (k *keyed) when(holds func(s *language.Scope) (bool, *event.Error)) *keyed {
	first := *k.parts[0]
	read := first.Read
	first.Read = func(s *language.Scope) (language.Value, *event.Error) {
		if is, err := holds(s); err != nil || !is {
			return language.Value{}, err
		}
		return read(s)
	}
	return &keyed{prefix: k.prefix, parts: append([]*language.Source{&first}, k.parts[1:]...)}
}

// keys compiles a list of keys, each of which may be a path to several.
func (l *builder) keys(y *language.YAML, e language.Env) (out []*language.Source) {
	if y == nil {
		return nil
	}
	items := []*language.YAML{y}
	if y.Kind == language.List {
		items = y.Items
	}
	for _, item := range items {
		src := l.Any(item, e)
		if src != nil && src.Gives == language.ATree {
			l.Say(item, "", "a key is a text")
		} else if src != nil {
			out = append(out, src)
		}
	}
	return out
}
