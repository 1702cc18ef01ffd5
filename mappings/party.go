package mappings

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// emitter makes statements of what a message says about a party.
type emitter func(s *frame, out *statements) *event.Error

// statements gathers what one change states.
type statements struct {
	list []customer.Statement
}

// add states a value. Absent states nothing: a patch does not touch the path, and the fold makes a snapshot's silence
// absent (invariant 3). The empty text is cleared, as null is: the source says that there is nothing.
func (out *statements) add(s *frame, src *source, path customer.Path, v value, whole customer.Value) *event.Error {
	state := v.state
	if state == customer.Set && whole.IsZero() {
		state = customer.Cleared
	}
	if state == customer.Absent {
		return nil
	}
	st := customer.Statement{Path: path, State: state}
	if state == customer.Set {
		st.Value, st.Verified = whole, v.verified
		if err := fitting(s, src, whole); err != nil {
			return err
		}
	}
	for i := range out.list {
		if out.list[i].Path != path {
			continue
		}
		if before := &out.list[i]; before.State == st.State && before.Value.Equal(st.Value) {
			return nil
		}
		return invalid(src.where(s.scope), "the message says two things about one %s: the mapping must give each element an id of its own", path.Name)
	}
	if len(out.list) >= customer.MaxStatements { // invariant 10
		return invalid(src.where(s.scope), "more than %d statements about one party, which is the limit", customer.MaxStatements)
	}
	out.list = append(out.list, st)
	s.run.note(src, s, "party."+path.String(), st.State)
	return nil
}

// fitting refuses texts that no store and no target can keep.
func fitting(s *frame, src *source, v customer.Value) *event.Error {
	bad := len(v.Text) > maxText || strings.IndexByte(v.Text, 0) >= 0
	for _, text := range v.Parts {
		bad = bad || len(text) > maxText || strings.IndexByte(text, 0) >= 0
	}
	if bad {
		return invalid(src.where(s.scope), "a text is at most %d bytes and has no NUL: the source must send it otherwise", maxText)
	}
	return nil
}

// elementID makes an element's id of a value of the message: brackets belong to the notation of paths.
func elementID(text string) string {
	return strings.NewReplacer("[", "(", "]", ")").Replace(text)
}

// fields answers the canonical model's fields by name, without those that have a section of their own.
func partyFields() map[string]customer.Field {
	out := map[string]customer.Field{}
	for _, f := range customer.Fields() {
		switch f.Name {
		case customer.FieldIdentifier, customer.FieldConsent, customer.FieldLink:
		default:
			out[f.Name] = f
		}
	}
	return out
}

// party compiles the fields of a party, or {switch: SOURCE, CASE: {fields}, else: {fields}}.
func (l *builder) party(y *yaml, e env) (out []emitter) {
	if y == nil {
		return nil
	}
	if y.has("switch") {
		return l.partyCase(y, e)
	}
	fields := partyFields()
	if !l.allow(y, slices.Sorted(maps.Keys(fields))...) {
		return nil
	}
	for i := range y.keys {
		k := &y.keys[i]
		f, known := fields[k.name]
		if !known {
			continue
		}
		if f.Name == "custom" && k.value.kind == object && !k.value.has("each", "id") {
			for j := range k.value.keys {
				c := &k.value.keys[j]
				out = l.text(out, l.source(c.value, e, "id"), customer.Path{Name: f.Name, ID: elementID(c.name)}, nil)
			}
			continue
		}
		out = append(out, l.field(f, k.value, e)...)
	}
	return out
}

func (l *builder) partyCase(y *yaml, e env) []emitter {
	on := l.source(y.get("switch"), e)
	cases := map[string][]emitter{}
	for i := range y.keys {
		if k := &y.keys[i]; k.name != "switch" {
			cases[k.name] = l.party(k.value, e)
		}
	}
	if on == nil {
		return nil
	}
	return []emitter{func(s *frame, out *statements) *event.Error {
		text, _, err := on.text(s.scope)
		if err != nil {
			return err
		}
		emitters, known := cases[text]
		if !known {
			emitters = cases["else"]
		}
		return emit(s, emitters, out)
	}}
}

func emit(s *frame, emitters []emitter, out *statements) *event.Error {
	for _, f := range emitters {
		if err := f(s, out); err != nil {
			return err
		}
	}
	return nil
}

// field compiles one field: a form, or for a list several of them, each with an id.
func (l *builder) field(f customer.Field, y *yaml, e env) []emitter {
	if y.kind == list {
		if !f.List {
			l.say(y, "write one source; first_of takes the first of several", "%s has one value, a list stands here", f.Name)
			return nil
		}
		var out []emitter
		for _, item := range y.items {
			if item.kind != object || !item.has("id") {
				l.say(item, "{id: {const: home}, from: path}", "one of several elements needs an id")
				continue
			}
			out = append(out, l.form(f, item, e)...)
		}
		return out
	}
	return l.form(f, y, e)
}

// form compiles one element, or with each one for every item.
func (l *builder) form(f customer.Field, y *yaml, e env) []emitter {
	if !f.List {
		return l.text(nil, l.source(y, e), customer.Path{Name: f.Name}, nil)
	}
	when := l.condition(y.get("when"), e)
	var lp *loop
	if each := y.get("each"); each != nil {
		if lp, e = l.loop(each, e); lp == nil {
			return nil
		}
		if y.get("id") == nil {
			l.say(y, "id: a member that stays the same", "an element of each needs an id")
		}
	}
	id := l.source(y.get("id"), e)
	var one []emitter
	switch {
	case y.has("clear"):
		l.clear(y, "id", "each", "when")
		one = l.text(nil, &source{y: y, read: cleared}, customer.Path{Name: f.Name}, id)
	case len(f.Parts) > 0:
		one = l.composite(f, y, e, id)
	case y.has("map"):
		l.allow(y, "id", "each", "when", "map")
		one = l.text(nil, l.source(y.get("map"), e), customer.Path{Name: f.Name}, id)
	default:
		one = l.texts(f, y, l.any(y, e, "id", "each", "when"), id)
	}
	return guard(when, lp, one)
}

func (l *builder) clear(y *yaml, others ...string) {
	if l.allow(y, append(others, "clear")...) && y.get("clear").text != "true" {
		l.say(y.get("clear"), "leave it out otherwise", "clear: true is all that clear says")
	}
}

func cleared(*scope) (value, *event.Error) { return value{state: customer.Cleared}, nil }

// guard puts emitters behind a condition and a loop.
func guard(when func(s *scope) (bool, *event.Error), lp *loop, one []emitter) []emitter {
	if lp != nil {
		inner := one
		one = []emitter{func(s *frame, out *statements) *event.Error {
			return lp.run(s.scope, func() *event.Error { return emit(s, inner, out) })
		}}
	}
	if when == nil {
		return one
	}
	inner := one
	return []emitter{func(s *frame, out *statements) *event.Error {
		if is, err := when(s.scope); err != nil || !is {
			return err
		}
		return emit(s, inner, out)
	}}
}

// idOf answers the element id that a source gives; "" where there is no source.
func idOf(s *frame, id *source) (string, *event.Error) {
	if id == nil {
		return "", nil
	}
	text, there, err := id.text(s.scope)
	if err == nil && !there {
		err = invalid(id.where(s.scope), "an element has no id: the mapping must name a member that is always there")
	}
	return elementID(text), err
}

// text appends the emitter of a text field.
func (l *builder) text(out []emitter, src *source, path customer.Path, id *source) []emitter {
	if src == nil {
		return out
	}
	return append(out, func(s *frame, out *statements) *event.Error {
		v, err := src.read(s.scope)
		if err != nil || v.state == customer.Absent {
			return err
		}
		at := path
		if id != nil {
			if at.ID, err = idOf(s, id); err != nil {
				return err
			}
		}
		return out.add(s, src, at, v, customer.Text(v.text))
	})
}

// texts is text for the field of a list: a source that gives several texts states each under itself.
func (l *builder) texts(f customer.Field, y *yaml, src *source, id *source) []emitter {
	if src == nil || src.gives == aText {
		return l.text(nil, src, customer.Path{Name: f.Name}, id)
	}
	if src.gives == aTree || id != nil {
		l.say(y, "leave out the id, or pick one", "several values are given, and each is its own id")
		return nil
	}
	return []emitter{func(s *frame, out *statements) *event.Error {
		v, err := src.read(s.scope)
		for _, text := range v.list {
			if err == nil {
				path := customer.Path{Name: f.Name, ID: elementID(text)}
				err = out.add(s, src, path, value{state: customer.Set}, customer.Text(text))
			}
		}
		return err
	}}
}

// composite compiles a field of named parts: {map: {part: SOURCE}}.
func (l *builder) composite(f customer.Field, y *yaml, e env, id *source) []emitter {
	if !l.allow(y, "id", "each", "when", "map", "verified") || y.get("map") == nil || !l.allow(y.get("map"), f.Parts...) {
		if y.kind == object && y.get("map") == nil {
			l.say(y, f.Name+": {map: {"+f.Parts[0]+": path}}", "%s has parts", f.Name)
		}
		return nil
	}
	c := composite{src: &source{y: y}, fixed: map[string]string{}}
	for i := range y.get("map").keys {
		k := &y.get("map").keys[i]
		if src := l.source(k.value, e); src != nil {
			c.names, c.sources, c.src.paths = append(c.names, k.name), append(c.sources, src), append(c.src.paths, src.paths...)
		}
	}
	verified := y.get("verified")
	if verified != nil {
		c.verified = l.truth(verified, e)
	}
	return []emitter{func(s *frame, out *statements) *event.Error {
		v, whole, err := c.read(s)
		if err != nil || v.state == customer.Absent {
			return err
		}
		path := customer.Path{Name: f.Name}
		if path.ID, err = idOf(s, id); err != nil {
			return err
		}
		return out.add(s, c.src, path, v, whole)
	}}
}

// composite reads a value of parts. Parts that are not set are left out; if none is, the strongest of their states is
// that of the whole.
type composite struct {
	src      *source
	names    []string
	sources  []*source
	fixed    map[string]string // parts that do not make it set
	verified func(s *scope) (bool, *event.Error)
}

func (c *composite) read(s *frame) (v value, whole customer.Value, err *event.Error) {
	for i, src := range c.sources {
		part, err := src.read(s.scope)
		if err != nil {
			return v, whole, err
		}
		switch {
		case part.state == customer.Set && part.text != "":
			if whole.Parts == nil {
				whole.Parts = make(map[string]string, len(c.sources)+len(c.fixed))
			}
			whole.Parts[c.names[i]], v.state = part.text, customer.Set
			v.verified = v.verified || part.verified
		case v.state != customer.Set && part.state == customer.Set:
			v.state = customer.Cleared
		case v.state != customer.Set:
			v.state = max(v.state, part.state)
		}
	}
	if v.state == customer.Set && c.verified != nil {
		v.verified, err = c.verified(s.scope)
	}
	return v, whole, err
}

// nameValues compiles {each: path, name: SOURCE, value: SOURCE, map: {their name: our field}}.
func (l *builder) nameValues(y *yaml, e env) []emitter {
	if y == nil || !l.allow(y, "each", "name", "value", "map") {
		return nil
	}
	var lp *loop
	if each := y.get("each"); each != nil {
		lp, e = l.loop(each, e)
	}
	name, table := l.source(y.get("name"), e), y.get("map")
	if name == nil || y.get("value") == nil || table == nil || table.kind != object {
		l.say(y, "fields: {each: properties, name: name, value: value, map: {email: email}}", "name, value and map are expected here")
		return nil
	}
	cases := map[string][]emitter{}
	for i := range table.keys {
		k := &table.keys[i]
		to, form := k.value, &yaml{kind: object, path: k.value.path, line: k.line, col: k.col, keys: []yamlKey{{name: "from", value: y.get("value")}}}
		if to.kind == object { // {to: phone, then: [...]}
			for _, more := range to.keys {
				if more.name != "to" {
					form.keys = append(form.keys, more)
				}
			}
			to = to.get("to")
		}
		f, known := partyFields()[l.string(to, "the name of a field")]
		if !known || len(f.Parts) > 0 {
			l.say(k.value, suggest(k.value.text, slices.Sorted(maps.Keys(partyFields()))), "a text field is expected here")
			continue
		}
		cases[k.name] = l.form(f, form, e)
	}
	return guard(nil, lp, []emitter{func(s *frame, out *statements) *event.Error {
		text, _, err := name.text(s.scope)
		if err != nil {
			return err
		}
		return emit(s, cases[text], out)
	}})
}

// consents compiles the section of that name.
func (l *builder) consents(y *yaml, e env) (out []emitter) {
	for _, item := range l.entries(y, "consents") {
		if !l.allow(item, "when", "channel", "purpose", "state", "optInLevel", "collectedAt", "evidence") {
			continue
		}
		channel := l.word(item.get("channel"), "a channel of consent", consentChannels()...)
		purpose := l.string(item.get("purpose"), "a purpose")
		if channel == "" || purpose == "" || item.get("state") == nil {
			l.say(item, "{channel: email, purpose: marketing, state: SOURCE}", "a consent needs channel, purpose and state")
			continue
		}
		state := l.source(item.get("state"), e)
		l.known(item.get("state"), state, "a state of consent", consentStates())
		c := composite{src: &source{y: item}, names: []string{"state"}, sources: []*source{state}}
		for _, name := range []string{"optInLevel", "collectedAt", "evidence"} {
			if src := l.source(item.get(name), e); src != nil {
				c.names, c.sources = append(c.names, name), append(c.sources, src)
			}
		}
		if state == nil {
			continue
		}
		c.src.paths = state.paths
		path := customer.Path{Name: customer.FieldConsent, ID: elementID(channel + "/" + purpose)}
		out = append(out, guard(l.condition(item.get("when"), e), nil, []emitter{func(s *frame, out *statements) *event.Error {
			first, err := state.read(s.scope)
			if err != nil || first.state == customer.Absent {
				return err
			}
			if first.state != customer.Set {
				return out.add(s, c.src, path, first, customer.Value{})
			}
			if !slices.Contains(consentStates(), first.text) {
				return invalid(state.where(s.scope), "not a state of consent: the mapping's enum must lead to %s", strings.Join(consentStates(), ", "))
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

// entries answers the items of a section that is a list.
func (l *builder) entries(y *yaml, section string) []*yaml {
	switch {
	case y == nil:
		return nil
	case y.kind == list:
		return y.items
	}
	l.say(y, section+": [{...}]", "a list is expected here, %s stands", y.kind)
	return nil
}

// known checks the texts that a source can give, if they are known, against a closed list.
func (l *builder) known(y *yaml, src *source, what string, names []string) {
	if src == nil {
		return
	}
	for _, text := range src.texts {
		if !slices.Contains(names, text) && text != "" {
			l.say(y, suggest(text, names), "%q is not %s", text, what)
		}
	}
}

// identifiers compiles the section of that name. The element's id is the type; with a number where a type stands twice,
// with the value of id where that is given.
func (l *builder) identifiers(y *yaml, e env) (out []emitter) {
	seen := map[string]int{}
	for _, item := range l.entries(y, "identifiers") {
		if !l.allow(item, "when", "each", "id", "type", "value", "issuer", "strength", "verified", "clear") {
			continue
		}
		when := l.condition(item.get("when"), e)
		var lp *loop
		inner := e
		if each := item.get("each"); each != nil {
			lp, inner = l.loop(each, e)
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
			l.say(item, "id: a member that stays the same", "an element of each needs an id")
		}
		out = append(out, guard(when, lp, []emitter{id.state})...)
	}
	return out
}

// identifier is a compiled identifier.
type identifier struct {
	src      *source
	kind     string
	element  string
	id       *source
	issuer   *source
	strength string
	verified func(s *scope) (bool, *event.Error)
	clear    bool
}

func (l *builder) identifier(y *yaml, e env) *identifier {
	id := &identifier{
		kind:     l.word(y.get("type"), "a type of identifier", customer.IdentifierTypes()...),
		src:      l.source(y.get("value"), e),
		id:       l.source(y.get("id"), e),
		issuer:   l.source(y.get("issuer"), e),
		strength: l.word(y.get("strength"), "a strength", "S1", "S2", "S3", "S4"),
	}
	if y.has("clear") {
		id.clear = y.get("clear").text == "true"
		id.src = &source{y: y, read: cleared}
	}
	if id.kind == "" || id.src == nil {
		if y.get("type") == nil || y.get("value") == nil {
			l.say(y, "{type: customerNumber, value: id, strength: S4}", "an identifier needs type and value")
		}
		return nil
	}
	id.element = id.kind
	if id.strength == "" {
		id.strength = usualStrength(id.kind)
	}
	if v := y.get("verified"); v != nil {
		id.verified = l.truth(v, e)
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
	v, err := id.src.read(s.scope)
	if err != nil || v.state == customer.Absent {
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
	if v.state != customer.Set || v.text == "" {
		return out.add(s, id.src, path, v, customer.Value{})
	}
	issuer, err := id.issuedBy(s)
	if err != nil {
		return err
	}
	if id.verified != nil {
		if v.verified, err = id.verified(s.scope); err != nil {
			return err
		}
	}
	return out.add(s, id.src, path, v, customer.Value{Parts: map[string]string{
		"type": id.kind, "value": v.text, "issuer": issuer, "strength": id.strength,
	}})
}

// issuedBy answers who gave the identifier: what the mapping says, else the instance that the message came from.
func (id *identifier) issuedBy(s *frame) (string, *event.Error) {
	if id.issuer == nil {
		return s.run.issuer()
	}
	text, _, err := id.issuer.text(s.scope)
	return text, err
}
