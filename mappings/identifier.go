package mappings

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

// identifier is a compiled identifier.
type identifier struct {
	src      *language.Source
	kind     string
	element  string
	id       *language.Source
	issuer   *language.Source
	strength string
	verified func(s *language.Scope) (bool, *event.Error)
	clear    bool
}

// identifiers compiles the section of that name. The element's id is the type; with a number where a type stands twice,
// with the value of id where that is given.
func (l *builder) identifiers(y *language.YAML, e language.Env) (out []emitter) {
	seen := map[string]int{}
	for _, item := range l.entries(y, "identifiers") {
		if !l.Allow(item, "when", "each", "id", "type", "value", "issuer", "strength", "verified", "clear") {
			continue
		}
		when := l.Condition(item.Get("when"), e)
		var lp *language.Loop
		inner := e
		if each := item.Get("each"); each != nil {
			lp, inner = l.Loop(each, e)
		}
		id := l.identifier(item, inner)
		if id == nil {
			continue
		}
		seen[id.kind]++
		if n := seen[id.kind]; n > 1 && id.id == nil {
			id.element += ":" + strconv.Itoa(n)
		}
		if lp != nil && id.id == nil {
			l.Say(item, "id: a member that stays the same", "an element of each needs an id")
		}
		out = append(out, guard(when, lp, []emitter{id.state})...)
	}
	return out
}

func (l *builder) identifier(y *language.YAML, e language.Env) *identifier {
	id := &identifier{
		kind:     l.Word(y.Get("type"), "a type of identifier", customer.IdentifierTypes()...),
		src:      l.Source(y.Get("value"), e),
		id:       l.Source(y.Get("id"), e),
		issuer:   l.Source(y.Get("issuer"), e),
		strength: l.Word(y.Get("strength"), "a strength", "S1", "S2", "S3", "S4"),
	}
	if y.Has("clear") {
		id.clear = y.Get("clear").Text == "true"
		id.src = &language.Source{Y: y, Read: cleared}
	}
	if id.kind == "" || id.src == nil {
		if y.Get("type") == nil || y.Get("value") == nil {
			l.Say(y, "{type: customerNumber, value: id, strength: S4}", "an identifier needs type and value")
		}
		return nil
	}
	if id.issuer == nil && l.m.instance == nil && !id.clear {
		l.Say(y, "say issuer here, or instance at the top",
			"nobody is named as who gave this identifier: it means something within its issuer only")
	}
	id.element = id.kind
	if id.strength == "" {
		id.strength = usualStrength(id.kind)
	}
	if v := y.Get("verified"); v != nil {
		id.verified = l.Truth(v, e)
	}
	return id
}

// usualStrength is that of an identifier of which the mapping says none: the weaker one in doubt.
func usualStrength(kind string) string {
	switch kind {
	case "advertisingId", "cookieId", "deviceId":
		return string(customer.S1)
	default:
		return string(customer.S2)
	}
}

// state states the identifier.
func (id *identifier) state(s *frame, out *statements) *event.Error {
	v, err := id.src.Read(s.Scope)
	if err != nil || v.State == customer.Absent {
		return err
	}
	path := customer.Path{Name: customer.FieldIdentifier, ID: id.element}
	if id.id != nil {
		own, err := idOf(s, id.id)
		if err != nil {
			return err
		}
		path.ID += ":" + own
	}
	if v.State != customer.Set || v.Text == "" {
		return out.add(s, id.src, path, v, customer.Value{})
	}
	issuer, err := id.issuedBy(s)
	if err != nil {
		return err
	}
	if id.verified != nil {
		if v.Verified, err = id.verified(s.Scope); err != nil {
			return err
		}
	}
	return out.add(s, id.src, path, v, customer.Value{Parts: map[string]string{
		"type": id.kind, "value": v.Text, "issuer": issuer, "strength": id.strength,
	}})
}

// issuedBy answers who gave the identifier: what the mapping says, else the instance that the message came from.
func (id *identifier) issuedBy(s *frame) (string, *event.Error) {
	if id.issuer == nil {
		return s.run.issuer()
	}
	text, _, err := id.issuer.Text(s.Scope)
	return text, err
}

// consents compiles the section of that name.
func (l *builder) consents(y *language.YAML, e language.Env) (out []emitter) {
	for _, item := range l.entries(y, "consents") {
		if !l.Allow(item, "when", "channel", "purpose", "state", "optInLevel", "collectedAt", "evidence") {
			continue
		}
		channel := l.Word(item.Get("channel"), "a channel of consent", consentChannels()...)
		purpose := l.String(item.Get("purpose"), "a purpose")
		if channel == "" || purpose == "" || item.Get("state") == nil {
			l.Say(item, "{channel: email, purpose: marketing, state: SOURCE}", "a consent needs channel, purpose and state")
			continue
		}
		state := l.Source(item.Get("state"), e)
		l.known(item.Get("state"), state, "a state of consent", consentStates())
		c := composite{src: &language.Source{Y: item}, names: []string{"state"}, sources: []*language.Source{state}}
		for _, name := range []string{"optInLevel", "collectedAt", "evidence"} {
			if src := l.Source(item.Get(name), e); src != nil {
				c.names, c.sources = append(c.names, name), append(c.sources, src)
			}
		}
		if state == nil {
			continue
		}
		c.src.Paths = state.Paths
		path := customer.Path{Name: customer.FieldConsent, ID: elementID(channel + "/" + purpose)}
		out = append(out, guard(l.Condition(item.Get("when"), e), nil, []emitter{func(s *frame, out *statements) *event.Error {
			first, err := state.Read(s.Scope)
			if err != nil || first.State == customer.Absent {
				return err
			}
			if first.State != customer.Set {
				return out.add(s, c.src, path, first, customer.Value{})
			}
			if !slices.Contains(consentStates(), first.Text) {
				return language.Invalid(state.Where(s.Scope), "not a state of consent: the mapping's enum must lead to %s",
					strings.Join(consentStates(), ", "))
			}
			v, whole, err := c.read(s)
			if err != nil {
				return err
			}
			whole.Parts["channel"], whole.Parts["purpose"] = channel, purpose
			return out.add(s, c.src, path, v, whole)
		}})...)
	}
	return out
}

func consentChannels() []string { return []string{"email", "sms", "phone", "post", "push", "social"} }

func consentStates() []string {
	return []string{"granted", "denied", "pending", "withdrawn", "unknown"}
}

// nameValues compiles {each: path, name: SOURCE, value: SOURCE, map: {their name: our field}}.
func (l *builder) nameValues(y *language.YAML, e language.Env) []emitter {
	if y == nil || !l.Allow(y, "each", "name", "value", "map") {
		return nil
	}
	var lp *language.Loop
	if each := y.Get("each"); each != nil {
		lp, e = l.Loop(each, e)
	}
	name, table := l.Source(y.Get("name"), e), y.Get("map")
	if name == nil || y.Get("value") == nil || table == nil || table.Kind != language.Object {
		l.Say(y, "fields: {each: properties, name: name, value: value, map: {email: email}}", "name, value and map are expected here")
		return nil
	}
	cases := map[string][]emitter{}
	for i := range table.Keys {
		k := &table.Keys[i]
		to, form := k.Value, &language.YAML{Kind: language.Object, Path: k.Value.Path, Line: k.Line, Col: k.Col}
		form.Keys = []language.Key{{Name: "from", Value: y.Get("value")}}
		if to.Kind == language.Object { // {to: phone, then: [...]}
			for _, more := range to.Keys {
				if more.Name != "to" {
					form.Keys = append(form.Keys, more)
				}
			}
			to = to.Get("to")
		}
		f, known := partyFields()[l.String(to, "the name of a field")]
		if !known || len(f.Parts) > 0 {
			l.Say(k.Value, language.Suggest(k.Value.Text, slices.Sorted(maps.Keys(partyFields()))), "a text field is expected here")
			continue
		}
		cases[k.Name] = l.form(f, form, e)
	}
	return guard(nil, lp, []emitter{func(s *frame, out *statements) *event.Error {
		text, _, err := name.Text(s.Scope)
		if err != nil {
			return err
		}
		return emit(s, cases[text], out)
	}})
}

// entries answers the items of a section that is a list.
func (l *builder) entries(y *language.YAML, section string) []*language.YAML {
	switch {
	case y == nil:
		return nil
	case y.Kind == language.List:
		return y.Items
	}
	l.Say(y, section+": [{...}]", "a list is expected here, %s stands", y.Kind)
	return nil
}

// known checks the texts that a source can give, if they are known, against a closed list.
func (l *builder) known(y *language.YAML, src *language.Source, what string, names []string) {
	if src == nil {
		return
	}
	for _, text := range src.Texts {
		if !slices.Contains(names, text) && text != "" {
			l.Say(y, language.Suggest(text, names), "%q is not %s", text, what)
		}
	}
}
