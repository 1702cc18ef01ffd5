package mappings

import (
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

// interaction is a compiled entry of interactions. Its key in the source is its type and its key, "order:123": unique in
// a source whose kinds of things number each from one.
type interaction struct {
	y          *language.YAML
	when       func(s *language.Scope) (bool, *event.Error)
	loop       *language.Loop
	kind       string
	key        *keyed
	texts      []textMember
	occurredAt *language.Source
	amount     *amount
	parties    []*participant
	items      *items
	references []refMember
	reversal   *keyed
	test       func(s *language.Scope) (bool, *event.Error)
}

type textMember struct {
	name string
	src  *language.Source
	set  func(in *customer.Interaction, text string)
}

type refMember struct {
	kind string
	src  *language.Source
}

type amount struct {
	src      *language.Source // for traces
	number   *language.Source
	currency *language.Source
	minor    bool
}

type items struct {
	loop                *language.Loop
	sku, name, quantity *language.Source
	amount              *amount
}

const maxTitle = 200 // characters; a title is a line of a timeline

func interactionKeys() []string {
	return []string{
		"when", "each", "type", "subtype", "key", "status", "occurredAt", "channel", "direction", "amount", "location", "title",
		"parties", "items", "references", "reversalOf", "test",
	}
}

// interactions compiles the section of that name.
func (l *builder) interactions(y *language.YAML, e language.Env) (out []*interaction) {
	for _, item := range l.entries(y, "interactions") {
		if !l.Allow(item, interactionKeys()...) {
			continue
		}
		in := &interaction{y: item, when: l.Condition(item.Get("when"), e)}
		inner := e
		if each := item.Get("each"); each != nil {
			in.loop, inner = l.Loop(each, e)
		}
		in.kind = l.Word(item.Get("type"), "a type of interaction", customer.InteractionTypes()...)
		in.key = l.key(item.Get("key"), inner)
		if item.Get("type") == nil || item.Get("key") == nil {
			l.Say(item, "{type: order, key: id}", "an interaction needs type and key")
			continue
		}
		in.occurredAt = l.Source(item.Get("occurredAt"), inner)
		in.amount = l.amount(item.Get("amount"), inner)
		l.interactionTexts(in, item, inner)
		l.participants(in, item.Get("parties"), inner)
		in.items = l.items(item.Get("items"), inner)
		for _, ref := range l.entries(item.Get("references"), "references") {
			if l.Allow(ref, "type", "value") {
				if src := l.Source(ref.Get("value"), inner); src != nil {
					in.references = append(in.references, refMember{kind: l.String(ref.Get("type"), "a type"), src: src})
				}
			}
		}
		if r := item.Get("reversalOf"); r != nil && l.Allow(r, "type", "key") {
			in.reversal = l.key(r.Get("key"), inner)
			if kind := l.Word(r.Get("type"), "a type of interaction", customer.InteractionTypes()...); in.reversal != nil {
				in.reversal.prefix = kind + ":"
			}
		}
		if t := item.Get("test"); t != nil {
			in.test = l.Truth(t, inner)
		}
		if in.key != nil {
			in.key.prefix = in.kind + ":"
			out = append(out, in)
		}
	}
	return out
}

func (l *builder) interactionTexts(in *interaction, y *language.YAML, e language.Env) {
	members := []textMember{
		{name: "subtype", set: func(in *customer.Interaction, text string) { in.Subtype = text }},
		{name: "status", set: func(in *customer.Interaction, text string) { in.Status = text }},
		{name: "channel", set: func(in *customer.Interaction, text string) { in.Channel = text }},
		{name: "direction", set: func(in *customer.Interaction, text string) { in.Direction = text }},
		{name: "location", set: func(in *customer.Interaction, text string) { in.Location = text }},
		{name: "title", set: func(in *customer.Interaction, text string) { in.Title = cut(text, maxTitle) }},
	}
	for _, m := range members {
		if m.src = l.Source(y.Get(m.name), e); m.src == nil {
			continue
		}
		switch m.name {
		case "channel":
			l.known(y.Get(m.name), m.src, "a channel", customer.Channels())
		case "direction":
			l.known(y.Get(m.name), m.src, "a direction", directions())
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
func (l *builder) amount(y *language.YAML, e language.Env) *amount {
	if y == nil || !l.Allow(y, "value", "minor", "currency") {
		return nil
	}
	a := &amount{src: &language.Source{Y: y}, number: l.Source(y.Get("value"), e), currency: l.Source(y.Get("currency"), e)}
	if y.Has("minor") {
		a.number, a.minor = l.Source(y.Get("minor"), e), true
	}
	if y.Has("value") == y.Has("minor") || !y.Has("currency") {
		l.Say(y, "amount: {value: total, currency: currency}, or minor for a whole number of cents",
			"an amount needs value or minor, and currency")
		return nil
	}
	if a.number == nil || a.currency == nil {
		return nil
	}
	a.src.Paths = slices.Concat(a.number.Paths, a.currency.Paths)
	return a
}

func (a *amount) read(s *frame) (out customer.Amount, err *event.Error) {
	if a == nil {
		return out, nil
	}
	number, there, err := a.number.Text(s.Scope)
	if err != nil || !there {
		return out, err
	}
	currency, there, err := a.currency.Text(s.Scope)
	if err != nil {
		return out, err
	}
	if !there {
		return out, language.Invalid(a.currency.Where(s.Scope), "an amount stands without its currency: an ISO 4217 code such as EUR is expected")
	}
	build, at := customer.NewAmount, a.number
	if a.minor {
		build = customer.MinorAmount
	}
	out, fault := build(number, currency)
	if fault != nil {
		if _, known := customer.MinorUnits(strings.ToUpper(strings.TrimSpace(currency))); !known {
			at = a.currency
		}
		return out, language.Invalid(at.Where(s.Scope), "%s", fault)
	}
	return out, nil
}

// items compiles {each: path, sku: SOURCE, name: SOURCE, quantity: SOURCE, amount: {...}}.
func (l *builder) items(y *language.YAML, e language.Env) *items {
	if y == nil || !l.Allow(y, "each", "sku", "name", "quantity", "amount") {
		return nil
	}
	if y.Get("each") == nil {
		l.Say(y, "items: {each: line_items, name: title}", "items go through a list")
		return nil
	}
	lp, e := l.Loop(y.Get("each"), e)
	if lp == nil {
		return nil
	}
	return &items{
		loop: lp, sku: l.Source(y.Get("sku"), e), name: l.Source(y.Get("name"), e), quantity: l.Source(y.Get("quantity"), e),
		amount: l.amount(y.Get("amount"), e),
	}
}

func (it *items) read(s *frame, in *customer.Interaction) *event.Error {
	if it == nil {
		return nil
	}
	return it.loop.Run(s.Scope, func() *event.Error {
		var item customer.Item
		for _, m := range []struct {
			src *language.Source
			to  *string
		}{{it.sku, &item.SKU}, {it.name, &item.Name}, {it.quantity, &item.Quantity}} {
			if m.src != nil {
				text, _, err := m.src.Text(s.Scope)
				if err != nil {
					return err
				}
				*m.to = text
			}
		}
		if item.Quantity != "" {
			if _, ok := language.Decimal(item.Quantity); !ok {
				return language.Invalid(it.quantity.Where(s.Scope), language.NotDecimal)
			}
		}
		var err *event.Error
		item.Amount, err = it.amount.read(s)
		in.Items = append(in.Items, item)
		return err
	})
}

// read answers the interaction without its parties.
func (in *interaction) read(s *frame) (*customer.Interaction, *event.Error) {
	out := &customer.Interaction{Type: in.kind}
	var err *event.Error
	if out.Key, err = in.key.must(s, "the key of the interaction"); err != nil {
		return nil, err
	}
	for _, m := range in.texts {
		text, there, err := m.src.Text(s.Scope)
		if err != nil {
			return nil, err
		}
		if there {
			if err := m.allowed(s, text); err != nil {
				return nil, err
			}
			m.set(out, text)
		}
	}
	if out.OccurredAt, err = in.moment(s); err != nil {
		return nil, err
	}
	if out.Amount, err = in.amount.read(s); err != nil {
		return nil, err
	}
	if err := in.items.read(s, out); err != nil {
		return nil, err
	}
	for _, ref := range in.references {
		text, there, err := ref.src.Text(s.Scope)
		if err != nil {
			return nil, err
		}
		if there {
			out.References = append(out.References, customer.Reference{Type: ref.kind, Value: text})
		}
	}
	if in.reversal != nil {
		if key, there, err := in.reversal.read(s); err != nil {
			return nil, err
		} else if there {
			out.ReversalOf = key
		}
	}
	if in.test != nil {
		out.Test, err = in.test(s.Scope)
	}
	return out, err
}

func (in *interaction) moment(s *frame) (at time.Time, err *event.Error) {
	if in.occurredAt == nil {
		return at, nil
	}
	text, there, err := in.occurredAt.Text(s.Scope)
	if err != nil || !there {
		return at, err
	}
	return s.run.m.dialect.Time(text, in.occurredAt, s.Scope)
}

// allowed checks a text that must be one of a closed list, and all for what no store can keep.
func (m *textMember) allowed(s *frame, text string) *event.Error {
	names := map[string]func() []string{"channel": customer.Channels, "direction": directions}[m.name]
	if names != nil && !slices.Contains(names(), text) {
		return language.Invalid(m.src.Where(s.Scope), "not a %s: the mapping's enum must lead to one of %s", m.name, strings.Join(names(), ", "))
	}
	return fitting(s, m.src, customer.Text(text))
}

// note tells a trial which expressions gave an interaction.
func (in *interaction) note(s *frame, change int, made *customer.Interaction) {
	r := s.run
	r.current = change
	at := "interactions." + made.Key + "."
	r.note(in.key.parts[0], s, at+"key", customer.Set)
	for _, m := range in.texts {
		r.note(m.src, s, at+m.name, customer.Set)
	}
	if in.occurredAt != nil && !made.OccurredAt.IsZero() {
		r.note(in.occurredAt, s, at+"occurredAt", customer.Set)
	}
	if in.amount != nil && !made.Amount.IsZero() {
		r.note(in.amount.src, s, at+"amount", customer.Set)
	}
}
