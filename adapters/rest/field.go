package rest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
)

// maxFields bounds the fields of a target (invariant 10).
const maxFields = 500

// What a field holds of a customer who has no value for it.
const (
	emptyNull = "null"
	emptyText = "text" // "", for systems that take null for "as it was"
	emptyOmit = "omit" // the system keeps what it has
)

// read answers a text of the customer, and notes the attributes that it was made of.
type read func(c *customer.Customer, said *[]customer.Path) (string, bool)

// write appends the JSON value of a field; false where the field is left out.
type write func(b []byte, c *customer.Customer, said *[]customer.Path) ([]byte, bool)

type field struct {
	name  string
	lead  []byte // the name as JSON, with its colon
	write write
}

// fields is an object that is made of a customer.
type fields []field

func (fs fields) write(b []byte, c *customer.Customer, said *[]customer.Path) []byte {
	b = append(b, '{')
	first := true
	for i := range fs {
		at := len(b)
		if !first {
			b = append(b, ',')
		}
		var ok bool
		if b, ok = fs[i].write(append(b, fs[i].lead...), c, said); !ok {
			b = b[:at]
			continue
		}
		first = false
	}
	return append(b, '}')
}

// fieldsOf compiles `fields`, in the order of their names.
func (r *reader) fieldsOf(v *value, empty string) fields {
	if v.kind != object || len(v.keys) == 0 {
		r.say(v, "write field: path, such as firstName: givenName", "the fields of the target are expected here")
		return nil
	}
	if len(v.keys) > maxFields {
		r.say(v, "", "%d fields are over the limit of %d", len(v.keys), maxFields)
		return nil
	}
	fs := make(fields, 0, len(v.keys))
	for i := range v.keys {
		k := &v.keys[i]
		fs = append(fs, field{name: k.name, lead: append(quoted(nil, k.name), ':'), write: r.field(k.value, empty)})
	}
	slices.SortFunc(fs, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	return fs
}

// kindsOf are the keys of which each field has one.
func kindsOf() []string { return []string{"from", "first_of", "join", "list", "const", "object"} }

func (r *reader) field(v *value, empty string) write {
	if v.kind == object {
		if e := v.get("empty"); e != nil {
			empty = r.oneOf(e, emptyNull, emptyText, emptyOmit)
		}
		switch {
		case v.get("object") != nil:
			r.object(v, "object")
			inner := r.fieldsOf(v.get("object"), empty)
			return func(b []byte, c *customer.Customer, said *[]customer.Path) ([]byte, bool) {
				return inner.write(b, c, said), true
			}
		case v.get("list") != nil:
			return r.list(v, empty)
		}
	}
	as := "text"
	if a := v.get("as"); a != nil {
		as = r.oneOf(a, "text", "number", "boolean")
	}
	get := r.read(v, true)
	return func(b []byte, c *customer.Customer, said *[]customer.Path) ([]byte, bool) {
		before := len(*said)
		text, ok := get(c, said)
		if ok {
			switch {
			case as == "text":
				return quoted(b, text), true
			case as == "number" && number(text), as == "boolean" && (text == "true" || text == "false"):
				return append(b, text...), true
			}
		}
		*said = (*said)[:before] // what did not fit was not said
		switch empty {
		case emptyOmit:
			return b, false
		case emptyText:
			return append(b, `""`...), true
		default:
			return append(b, "null"...), true
		}
	}
}

// list compiles a field that holds every element of a list.
func (r *reader) list(v *value, empty string) write {
	r.object(v, "list", "where", "then", "empty")
	p := r.path(v.get("list"))
	p.where = r.where(v, p)
	then := r.then(v.get("then"))
	return func(b []byte, c *customer.Customer, said *[]customer.Path) ([]byte, bool) {
		start := len(b)
		b = append(b, '[')
		for i := range c.Attributes {
			text, ok := p.of(&c.Attributes[i])
			if !ok {
				continue
			}
			if text = then(text); text == "" {
				continue
			}
			if len(b) > start+1 {
				b = append(b, ',')
			}
			b = quoted(b, text)
			*said = append(*said, c.Attributes[i].Path)
		}
		if len(b) == start+1 && empty == emptyOmit {
			return b[:start], false
		}
		return append(b, ']'), true
	}
}

// read compiles what gives a text: a path, or keys that say where it comes from and what becomes of it. Of a field of its own (top)
// there are keys that say how it is written.
func (r *reader) read(v *value, top bool) read {
	none := func(*customer.Customer, *[]customer.Path) (string, bool) { return "", false }
	if v.kind == scalar {
		return r.pick(v, v)
	}
	known := []string{"from", "first_of", "join", "const", "with", "where", "pick", "then", "date", "enum", "else"}
	if top {
		known = append(known, "object", "list", "as", "empty")
	}
	if !r.object(v, known...) {
		return none
	}
	var get read
	for _, name := range kindsOf() {
		at := v.get(name)
		if at == nil {
			continue
		}
		if get != nil {
			r.say(at, "", "a field comes from one place; this stands beside another")
			break
		}
		switch name {
		case "from":
			get = r.pick(at, v)
		case "first_of":
			get = firstOf(r.reads(at))
		case "join":
			get = r.join(at, v.get("with"))
		case "const":
			text := r.text(at)
			get = func(*customer.Customer, *[]customer.Path) (string, bool) { return text, true }
		}
	}
	if get == nil {
		r.say(v, "write one of "+strings.Join(kindsOf(), ", "), "nothing says where this field comes from")
		return none
	}
	return r.convert(v, get)
}

func (r *reader) reads(v *value) []read {
	if v.kind != list || len(v.items) == 0 {
		r.say(v, "write [a, b]", "a list is expected here, this is %s", v.kind)
	}
	out := make([]read, len(v.items))
	for i, item := range v.items {
		out[i] = r.read(item, false)
	}
	return out
}

func firstOf(all []read) read {
	return func(c *customer.Customer, said *[]customer.Path) (string, bool) {
		for _, get := range all {
			if text, ok := get(c, said); ok {
				return text, true
			}
		}
		return "", false
	}
}

func (r *reader) join(v, with *value) read {
	between := " "
	if with != nil && with.kind == scalar {
		between = with.text
	}
	all := r.reads(v)
	return func(c *customer.Customer, said *[]customer.Path) (string, bool) {
		var texts []string
		for _, get := range all {
			if text, ok := get(c, said); ok {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, between), len(texts) > 0
	}
}

// convert puts the conversions of a field around what it reads, in this order: then, date, enum, else. A value that a conversion
// cannot take counts as none.
func (r *reader) convert(v *value, get read) read {
	then, date, enum := r.then(v.get("then")), r.date(v.get("date")), r.enum(v.get("enum"))
	other := ""
	if e := v.get("else"); e != nil {
		other = r.text(e)
	}
	return func(c *customer.Customer, said *[]customer.Path) (string, bool) {
		before := len(*said)
		text, ok := get(c, said)
		if ok {
			text, ok = date(then(text))
		}
		if ok {
			text, ok = enum(text)
		}
		if !ok || text == "" {
			*said = (*said)[:before]
			return other, other != ""
		}
		return text, true
	}
}

func (r *reader) then(v *value) func(string) string {
	known := []string{"trim", "lower", "upper"}
	var steps []func(string) string
	for _, name := range r.texts(v) {
		switch r.oneOf(name, known...) {
		case "trim":
			steps = append(steps, strings.TrimSpace)
		case "lower":
			steps = append(steps, strings.ToLower)
		case "upper":
			steps = append(steps, strings.ToUpper)
		}
	}
	return func(s string) string {
		for _, step := range steps {
			s = step(s)
		}
		return s
	}
}

// date writes a date of ISO 8601 by a layout in Go's notation. One of which a part is not known (1980, --02-29) is none.
func (r *reader) date(v *value) func(string) (string, bool) {
	if v == nil {
		return func(s string) (string, bool) { return s, true }
	}
	layout := r.text(v)
	if sample := time.Date(2001, 11, 22, 13, 44, 55, 0, time.UTC).Format(layout); layout != "" && sample == layout {
		r.say(v, `write how 2 January 2006, 15:04:05 looks: "02.01.2006"`, "this layout has no part of a date")
	}
	return func(s string) (string, bool) {
		for _, from := range []string{time.DateOnly, time.RFC3339Nano} {
			if t, err := time.Parse(from, s); err == nil {
				return t.UTC().Format(layout), true
			}
		}
		return "", false
	}
}

func (r *reader) enum(v *value) func(string) (string, bool) {
	if v == nil {
		return func(s string) (string, bool) { return s, true }
	}
	if v.kind != object || len(v.keys) == 0 {
		r.say(v, "write {ours: theirs}", "a table is expected here")
	}
	table := map[string]string{}
	for i := range v.keys {
		table[v.keys[i].name] = r.text(v.keys[i].value)
	}
	return func(s string) (string, bool) {
		to, ok := table[s]
		return to, ok
	}
}
