package mappings

import (
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// interaction is a compiled entry of interactions. Its key in the source is its type and its key, "order:123": unique in
// a source whose kinds of things number each from one.
type interaction struct {
	y          *yaml
	when       func(s *scope) (bool, *event.Error)
	loop       *loop
	kind       string
	key        *keyed
	texts      []textMember
	occurredAt *source
	amount     *amount
	parties    []*participant
	items      *items
	references []refMember
	reversal   *keyed
	test       func(s *scope) (bool, *event.Error)
}

type textMember struct {
	name string
	src  *source
	set  func(in *customer.Interaction, text string)
}

type refMember struct {
	kind string
	src  *source
}

type amount struct {
	src      *source // for traces
	number   *source
	currency *source
	minor    bool
}

type items struct {
	loop                *loop
	sku, name, quantity *source
	amount              *amount
}

// participant is a party of an interaction: its role, and who it is.
type participant struct {
	when func(s *scope) (bool, *event.Error)
	role string
	ref  *reference
}

const maxTitle = 200 // characters; a title is a line of a timeline

func interactionKeys() []string {
	return []string{
		"when", "each", "type", "subtype", "key", "status", "occurredAt", "channel", "direction", "amount", "location", "title",
		"parties", "items", "references", "reversalOf", "test",
	}
}

// interactions compiles the section of that name.
func (l *builder) interactions(y *yaml, e env) (out []*interaction) {
	for _, item := range l.entries(y, "interactions") {
		if !l.allow(item, interactionKeys()...) {
			continue
		}
		in := &interaction{y: item, when: l.condition(item.get("when"), e)}
		inner := e
		if each := item.get("each"); each != nil {
			in.loop, inner = l.loop(each, e)
		}
		in.kind = l.word(item.get("type"), "a type of interaction", customer.InteractionTypes()...)
		in.key = l.key(item.get("key"), inner)
		if item.get("type") == nil || item.get("key") == nil {
			l.say(item, "{type: order, key: id}", "an interaction needs type and key")
			continue
		}
		in.occurredAt = l.source(item.get("occurredAt"), inner)
		in.amount = l.amount(item.get("amount"), inner)
		l.interactionTexts(in, item, inner)
		l.participants(in, item.get("parties"), inner)
		in.items = l.items(item.get("items"), inner)
		for _, ref := range l.entries(item.get("references"), "references") {
			if l.allow(ref, "type", "value") {
				if src := l.source(ref.get("value"), inner); src != nil {
					in.references = append(in.references, refMember{kind: l.string(ref.get("type"), "a type"), src: src})
				}
			}
		}
		if r := item.get("reversalOf"); r != nil && l.allow(r, "type", "key") {
			in.reversal = l.key(r.get("key"), inner)
			if kind := l.word(r.get("type"), "a type of interaction", customer.InteractionTypes()...); in.reversal != nil {
				in.reversal.prefix = kind + ":"
			}
		}
		if t := item.get("test"); t != nil {
			in.test = l.truth(t, inner)
		}
		if in.key != nil {
			in.key.prefix = in.kind + ":"
			out = append(out, in)
		}
	}
	return out
}

func (l *builder) interactionTexts(in *interaction, y *yaml, e env) {
	members := []textMember{
		{name: "subtype", set: func(in *customer.Interaction, text string) { in.Subtype = text }},
		{name: "status", set: func(in *customer.Interaction, text string) { in.Status = text }},
		{name: "channel", set: func(in *customer.Interaction, text string) { in.Channel = text }},
		{name: "direction", set: func(in *customer.Interaction, text string) { in.Direction = text }},
		{name: "location", set: func(in *customer.Interaction, text string) { in.Location = text }},
		{name: "title", set: func(in *customer.Interaction, text string) { in.Title = cut(text, maxTitle) }},
	}
	for _, m := range members {
		if m.src = l.source(y.get(m.name), e); m.src == nil {
			continue
		}
		switch m.name {
		case "channel":
			l.known(y.get(m.name), m.src, "a channel", customer.Channels())
		case "direction":
			l.known(y.get(m.name), m.src, "a direction", directions())
		}
		in.texts = append(in.texts, m)
	}
}

func directions() []string { return []string{"in", "out"} }

// cut keeps the first characters of a text.
func cut(text string, most int) string {
	for i := range text {
		if most--; most < 0 {
			return text[:i]
		}
	}
	return text
}

// amount compiles {value: SOURCE, currency: SOURCE} or {minor: SOURCE, currency: SOURCE}.
func (l *builder) amount(y *yaml, e env) *amount {
	if y == nil || !l.allow(y, "value", "minor", "currency") {
		return nil
	}
	a := &amount{src: &source{y: y}, number: l.source(y.get("value"), e), currency: l.source(y.get("currency"), e)}
	if y.has("minor") {
		a.number, a.minor = l.source(y.get("minor"), e), true
	}
	if y.has("value") == y.has("minor") || !y.has("currency") {
		l.say(y, "amount: {value: total, currency: currency}, or minor for a whole number of cents", "an amount needs value or minor, and currency")
		return nil
	}
	if a.number == nil || a.currency == nil {
		return nil
	}
	a.src.paths = slices.Concat(a.number.paths, a.currency.paths)
	return a
}

func (a *amount) read(s *frame) (out customer.Amount, err *event.Error) {
	if a == nil {
		return out, nil
	}
	number, there, err := a.number.text(s.scope)
	if err != nil || !there {
		return out, err
	}
	currency, there, err := a.currency.text(s.scope)
	if err != nil {
		return out, err
	}
	if !there {
		return out, invalid(a.currency.where(s.scope), "an amount stands without its currency: an ISO 4217 code such as EUR is expected")
	}
	make, at := customer.NewAmount, a.number
	if a.minor {
		make = customer.MinorAmount
	}
	out, fault := make(number, currency)
	if fault != nil {
		if _, known := customer.MinorUnits(strings.ToUpper(strings.TrimSpace(currency))); !known {
			at = a.currency
		}
		return out, invalid(at.where(s.scope), "%s", fault)
	}
	return out, nil
}

// items compiles {each: path, sku: SOURCE, name: SOURCE, quantity: SOURCE, amount: {...}}.
func (l *builder) items(y *yaml, e env) *items {
	if y == nil || !l.allow(y, "each", "sku", "name", "quantity", "amount") {
		return nil
	}
	if y.get("each") == nil {
		l.say(y, "items: {each: line_items, name: title}", "items go through a list")
		return nil
	}
	lp, e := l.loop(y.get("each"), e)
	if lp == nil {
		return nil
	}
	return &items{
		loop: lp, sku: l.source(y.get("sku"), e), name: l.source(y.get("name"), e), quantity: l.source(y.get("quantity"), e),
		amount: l.amount(y.get("amount"), e),
	}
}

func (it *items) read(s *frame, in *customer.Interaction) *event.Error {
	if it == nil {
		return nil
	}
	return it.loop.run(s.scope, func() *event.Error {
		var item customer.Item
		for _, m := range []struct {
			src *source
			to  *string
		}{{it.sku, &item.SKU}, {it.name, &item.Name}, {it.quantity, &item.Quantity}} {
			if m.src != nil {
				text, _, err := m.src.text(s.scope)
				if err != nil {
					return err
				}
				*m.to = text
			}
		}
		if item.Quantity != "" {
			if _, ok := decimal(item.Quantity); !ok {
				return invalid(it.quantity.where(s.scope), notDecimal)
			}
		}
		var err *event.Error
		item.Amount, err = it.amount.read(s)
		in.Items = append(in.Items, item)
		return err
	})
}

// participants compiles the parties of an interaction.
func (l *builder) participants(in *interaction, y *yaml, e env) {
	for _, item := range l.entries(y, "parties") {
		if !l.allow(item, "when", "role", "ref") {
			continue
		}
		p := &participant{when: l.condition(item.get("when"), e)}
		p.role = l.word(item.get("role"), "a role", "customer", "payer", "beneficiary", "recipient", "agent")
		p.ref = l.reference(item.get("ref"), e)
		if item.get("role") == nil || item.get("ref") == nil {
			l.say(item, "{role: customer, ref: {key: customer.id}}", "a party needs role and ref")
		}
		if p.ref != nil {
			in.parties = append(in.parties, p)
		}
	}
}

// keyed reads a key: one value, or several joined so that two different lists never give one key.
type keyed struct {
	prefix string
	parts  []*source
}

// key compiles a path or a list of paths; nil where y is nil or after a fault.
func (l *builder) key(y *yaml, e env) *keyed {
	if y == nil {
		return nil
	}
	items := []*yaml{y}
	if y.kind == list {
		items = y.items
	}
	k := &keyed{}
	for _, item := range items {
		if src := l.source(item, e); src != nil {
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
		text, there, err := k.parts[0].text(s.scope)
		return k.prefix + text, there, err
	}
	escape := strings.NewReplacer("%", "%25", "/", "%2F")
	for i, src := range k.parts {
		text, there, err := src.text(s.scope)
		if err != nil || !there {
			return "", false, err
		}
		if i > 0 {
			key += "/"
		}
		key += escape.Replace(text)
	}
	return k.prefix + key, true, nil
}

// must is read for a key without which the part is nothing.
func (k *keyed) must(s *frame, what string) (string, *event.Error) {
	key, there, err := k.read(s)
	if err == nil && !there {
		err = invalid(k.parts[0].where(s.scope), "%s is missing: the mapping takes it from %s", what, k.parts[0].y.String())
	}
	return key, err
}

// reference says who a party is: by its key in the source, by an identifier that stands for it, or by the first of
// several such that is there. Statements go with it.
type reference struct {
	y          *yaml
	key        *keyed
	id         *identifier // or the identifier of a reference record
	contact    *source     // or its e-mail address or telephone number
	kind       string      // type of the identifier; email, phone
	statements []emitter
	first      []*reference
}

// reference compiles {key: path}, {type: cardFingerprint, value: SOURCE} or {first_of: [...]}, with identifiers and party.
func (l *builder) reference(y *yaml, e env) *reference {
	if y == nil {
		return nil
	}
	if y.has("first_of") {
		ref := &reference{y: y}
		if l.allow(y, "first_of") {
			for _, item := range l.entries(y.get("first_of"), "first_of") {
				if one := l.reference(item, e); one != nil {
					ref.first = append(ref.first, one)
				}
			}
		}
		return ref
	}
	if !l.allow(y, "when", "key", "id", "type", "value", "issuer", "strength", "verified", "identifiers", "party") {
		return nil
	}
	ref := &reference{y: y, kind: l.string(y.get("type"), "a type")}
	switch {
	case y.has("key") == y.has("type"):
		l.say(y, "ref: {key: customer_id}, or ref: {type: cardFingerprint, value: path}", "a party is named by its key or by an identifier")
		return nil
	case y.has("key"):
		if ref.key = l.key(y.get("key"), e); ref.key == nil {
			return nil
		}
	case ref.kind == customer.FieldEmail || ref.kind == customer.FieldPhone:
		if ref.contact = l.source(y.get("value"), e); ref.contact == nil {
			l.say(y, "value: path", "a reference needs its value")
			return nil
		}
		ref.key = &keyed{prefix: customer.ReferenceKey(ref.kind, ""), parts: []*source{ref.contact}}
		ref.statements = l.text(nil, ref.contact, customer.Path{Name: ref.kind}, nil)
	default:
		if ref.id = l.identifier(y, e); ref.id == nil {
			return nil
		}
		ref.key = &keyed{prefix: customer.ReferenceKey(ref.kind, ""), parts: []*source{ref.id.src}}
		ref.statements = []emitter{ref.id.state}
	}
	ref.statements = append(ref.statements, l.party(y.get("party"), e)...)
	ref.statements = append(ref.statements, l.identifiers(y.get("identifiers"), e)...)
	if when := l.condition(y.get("when"), e); when != nil {
		guarded := *ref
		return &reference{y: y, first: []*reference{{y: y, key: guarded.key.when(when), statements: guarded.statements}}}
	}
	return ref
}

// when answers a key that is there only if a condition holds.
func (k *keyed) when(holds func(s *scope) (bool, *event.Error)) *keyed {
	first := *k.parts[0]
	read := first.read
	first.read = func(s *scope) (value, *event.Error) {
		if is, err := holds(s); err != nil || !is {
			return value{}, err
		}
		return read(s)
	}
	return &keyed{prefix: k.prefix, parts: append([]*source{&first}, k.parts[1:]...)}
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
