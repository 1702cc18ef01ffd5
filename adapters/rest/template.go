package rest

import (
	"bytes"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/onefold/onefold/adapters"
)

// Placeholders of a request. Nothing that anybody said of a customer is among them but `body`, which stands in JSON only: no value of
// a customer can reach a path, a query or a header.
const (
	inCustomer = "customer" // our id, the external id of the entry
	inRemote   = "remoteId" // the target's own id
	inInto     = "into"     // of a merge: the target's id of the entry that stays
	inVersion  = "version"  // of the customer
	inDelivery = "delivery" // deterministic id of what is done
	inBody     = "body"     // the fields of the customer, an object
)

// spread is the key of a body under which the members of an object are taken in.
const spread = "<<"

// template is a text with placeholders.
type template []piece

type piece struct{ text, name string } // one of the two

// template reads a text in which {name} is a placeholder; {{ and }} are the braces themselves.
func (r *reader) template(v *value, known ...string) template {
	var t template
	var plain strings.Builder
	for rest := v.text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			plain.WriteString(rest)
			break
		}
		plain.WriteString(rest[:i])
		rest = rest[i:]
		if len(rest) > 1 && rest[1] == rest[0] {
			plain.WriteByte(rest[0])
			rest = rest[2:]
			continue
		}
		name, after, closed := strings.Cut(rest[1:], "}")
		if rest[0] == '}' || !closed {
			r.say(v, "a placeholder is {name}; the braces themselves are {{ and }}", "a brace stands here alone")
			return nil
		}
		if !slices.Contains(known, name) {
			r.say(v, suggestion(name, known), "there is no placeholder {%s} here", clip(name))
			return nil
		}
		if plain.Len() > 0 {
			t = append(t, piece{text: plain.String()})
			plain.Reset()
		}
		t, rest = append(t, piece{name: name}), after
	}
	if plain.Len() > 0 {
		t = append(t, piece{text: plain.String()})
	}
	return t
}

// filling is what the placeholders of one delivery stand for.
type filling struct {
	*adapters.Delivery
	id string // of the delivery; another where it is done in a second way
}

func (f filling) of(name string) string {
	switch name {
	case inCustomer:
		return f.Customer.String()
	case inRemote:
		return f.RemoteID
	case inInto:
		return f.Into
	case inVersion:
		return strconv.FormatInt(f.Version, 10)
	default:
		return f.id
	}
}

// fill answers the text, each placeholder brought into form by escape.
func (t template) fill(f filling, escape func(string) string) string {
	if len(t) == 1 && t[0].name == "" {
		return t[0].text
	}
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
		} else {
			b.WriteString(escape(f.of(p.name)))
		}
	}
	return b.String()
}

func asIs(s string) string { return s }

// segment brings a value into a path. It can neither end its segment nor climb out of it: a server may take %2F for a slash and
// then climb at "..", so dots at the beginning are escaped as well.
func segment(s string) string {
	escaped := url.PathEscape(s)
	dots := len(escaped) - len(strings.TrimLeft(escaped, "."))
	return strings.Repeat("%2E", dots) + escaped[dots:]
}

// part writes a piece of a body for deliveries: all of a batch, or one.
type part func(b []byte, fs []filling) []byte

// bodyOf compiles the body of a request. `each` may stand in it once where the request is of a batch.
func (r *reader) bodyOf(v *value, batch bool, known []string) part {
	b := &bodies{reader: r, batch: batch, known: known}
	p := b.part(v)
	if batch && b.each == 0 {
		r.say(v, "write {each: ...} where the list of customers stands", "the body of a batch has no list of customers")
	}
	return p
}

type bodies struct {
	*reader
	batch  bool
	inside bool // what `each` holds
	each   int
	known  []string
}

func (b *bodies) part(v *value) part {
	switch v.kind {
	case nothing:
		return literal("null")
	case scalar:
		return b.scalar(v)
	case list:
		items := make([]part, len(v.items))
		for i, item := range v.items {
			items[i] = b.part(item)
		}
		return func(out []byte, fs []filling) []byte {
			out = append(out, '[')
			for i, p := range items {
				if i > 0 {
					out = append(out, ',')
				}
				out = p(out, fs)
			}
			return append(out, ']')
		}
	}
	if len(v.keys) == 1 && v.keys[0].name == "each" && b.batch && !b.inside {
		return b.list(v.keys[0].value)
	}
	if len(v.keys) == 1 && v.keys[0].value.kind == nothing && (v.keys[0].name == inBody || slices.Contains(b.known, v.keys[0].name)) {
		name := v.keys[0].name
		b.say(v, "put it in quotes: '{"+name+"}'", "YAML takes {%s} for keys and values", name)
		return nil
	}
	return b.object(v)
}

func literal(text string) part {
	return func(out []byte, _ []filling) []byte { return append(out, text...) }
}

// list is the list of a batch: what it holds is written for each delivery alone.
func (b *bodies) list(v *value) part {
	if b.each++; b.each > 1 {
		b.say(v, "", "the list of customers stands here a second time")
	}
	b.inside = true
	item := b.part(v)
	b.inside = false
	return func(out []byte, fs []filling) []byte {
		out = append(out, '[')
		for i := range fs {
			if i > 0 {
				out = append(out, ',')
			}
			out = item(out, fs[i:i+1])
		}
		return append(out, ']')
	}
}

func (b *bodies) scalar(v *value) part {
	if v.plain && (v.text == "true" || v.text == "false" || number(v.text)) {
		return literal(v.text)
	}
	known := b.known
	if b.batch && !b.inside {
		known = []string{inDelivery}
	}
	if v.text == "{"+inBody+"}" && (b.inside || !b.batch) {
		return func(out []byte, fs []filling) []byte { return append(out, fs[0].Body...) }
	}
	t := b.template(v, known...)
	return func(out []byte, fs []filling) []byte { return quoted(out, t.fill(fs[0], asIs)) }
}

// object writes members in the order of their names; those of a spread body come last.
func (b *bodies) object(v *value) part {
	type member struct {
		name []byte
		part part
	}
	var members []member
	var whole bool
	keys := slices.Clone(v.keys)
	slices.SortFunc(keys, func(x, y key) int { return strings.Compare(x.name, y.name) })
	for i := range keys {
		k := &keys[i]
		if k.name == spread {
			if whole = k.value.text == "{"+inBody+"}" && (b.inside || !b.batch); !whole {
				b.say(k.place(), "write <<: '{body}'", "only the customer's fields can be taken in here")
			}
			continue
		}
		if twice := func(f field) bool { return f.name == k.name }; v.get(spread) != nil && slices.ContainsFunc(b.fields, twice) {
			b.say(k.place(), "leave one of them out", "this is a field as well: the object would have it twice")
		}
		members = append(members, member{append(quoted(nil, k.name), ':'), b.part(k.value)})
	}
	return func(out []byte, fs []filling) []byte {
		out = append(out, '{')
		for i, m := range members {
			if i > 0 {
				out = append(out, ',')
			}
			out = m.part(append(out, m.name...), fs)
		}
		if whole {
			inner := bytes.TrimSuffix(bytes.TrimPrefix(fs[0].Body, []byte("{")), []byte("}"))
			if len(inner) > 0 && len(members) > 0 {
				out = append(out, ',')
			}
			out = append(out, inner...)
		}
		return append(out, '}')
	}
}

// quoted appends a JSON string. What is no text in UTF-8 is replaced, the same way each time.
func quoted(out []byte, text string) []byte {
	if b, err := jsontext.AppendQuote(out, text); err == nil {
		return b
	}
	b, _ := jsontext.AppendQuote(out, strings.ToValidUTF8(text, "\ufffd")) // which cannot fail now
	return b
}

// number tells whether a text is a JSON number, with no more digits than a decimal of ours has (invariant 8: it is passed on as it is).
func number(text string) bool {
	const maxDigits = 100
	if len(text) == 0 || len(text) > maxDigits {
		return false
	}
	v := jsontext.Value(text)
	return v.IsValid() && v.Kind() == '0' && strings.TrimSpace(text) == text
}
