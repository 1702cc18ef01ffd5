package adaptertest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// payload is a message's value, taken apart as far as its format is known, to be spoilt.
type payload struct {
	kind     kind
	raw      []byte
	root     any      // of JSON
	elements []span   // of XML
	strings  []string // of XML: texts and attributes
}

type kind int

const (
	opaque kind = iota
	isJSON
	isXML
)

// span is an element of an XML document by its bytes.
type span struct {
	name              string
	start, open, shut int // of the start tag, its end, and the start of the end tag
	end               int
	leaf              bool
}

// variant is a spoilt value. Old is the literal that was replaced.
type variant struct {
	what  string
	value []byte
	old   string
}

// maxVariants bounds what one law tries on one message: large messages repeat themselves.
const maxVariants = 400

func parse(value []byte) payload {
	p := payload{raw: value}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	switch trimmed := bytes.TrimSpace(value); {
	case len(trimmed) == 0:
	case d.Decode(&p.root) == nil && json.Valid(value):
		p.kind = isJSON
	case p.readXML():
		p.kind = isXML
	}
	return p
}

func (p *payload) readXML() bool {
	d := xml.NewDecoder(bytes.NewReader(p.raw))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // offsets stay those of the bytes
	var open []int
	for {
		at := int(d.InputOffset())
		token, err := d.Token()
		if err != nil {
			return err == io.EOF && len(p.elements) > 0 //nolint:errorlint // the decoder promises io.EOF itself
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(open) > 0 {
				p.elements[open[len(open)-1]].leaf = false
			}
			open = append(open, len(p.elements))
			p.elements = append(p.elements, span{name: t.Name.Local, start: at, open: int(d.InputOffset()), leaf: true})
			for _, a := range t.Attr {
				p.strings = append(p.strings, a.Value)
			}
		case xml.EndElement:
			e := &p.elements[open[len(open)-1]]
			e.shut, e.end = at, int(d.InputOffset())
			open = open[:len(open)-1]
		case xml.CharData:
			if text := strings.TrimSpace(string(t)); text != "" {
				p.strings = append(p.strings, text)
			}
		}
	}
}

// texts answers every string of the payload that is a value.
func (p payload) texts() []string {
	if p.kind != isJSON {
		return p.strings
	}
	var all []string
	visit(p.root, "", func(_ string, v any, _ func(any)) {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	})
	return all
}

// names answers the name of every member or element.
func (p payload) names() []string {
	var all []string
	for _, e := range p.elements {
		all = append(all, e.name)
	}
	visit(p.root, "", func(path string, _ any, _ func(any)) {
		all = append(all, path[strings.LastIndexByte(path, '.')+1:])
	})
	return all
}

// swap answers the value with a text replaced wherever it stands.
func (p payload) swap(old, text string) []byte {
	if p.kind != isJSON {
		return bytes.ReplaceAll(p.raw, []byte(old), []byte(text))
	}
	visit(p.root, "", func(_ string, v any, set func(any)) {
		if s, ok := v.(string); ok && strings.Contains(s, old) {
			set(strings.ReplaceAll(s, old, text))
		}
	})
	return encode(p.root)
}

// ids answers variants in which one whole number under a name that ends in id is beyond what a float64 can hold.
func (p payload) ids() []variant {
	var all []variant
	visit(p.root, "", func(path string, v any, set func(any)) {
		if len(all) == maxVariants {
			return
		}
		number, ok := v.(json.Number)
		name := strings.ToLower(path[strings.LastIndexByte(path, '.')+1:])
		if !ok || !strings.HasSuffix(name, "id") || strings.Trim(number.String(), "0123456789") != "" {
			return
		}
		set(json.Number(beyondFloat))
		all = append(all, variant{what: path + " is " + beyondFloat, value: encode(p.root), old: number.String()})
		set(v)
	})
	return all
}

// otherKinds are values that are not what an adapter looks for.
func otherKinds() []any {
	return []any{nil, json.Number("-1.5"), "\u0000", "", true, []any{}, map[string]any{}, missing{}}
}

// spoilt answers variants with one member that is null, of another kind, or missing.
func (p payload) spoilt() []variant {
	if p.kind == isXML {
		return p.spoiltXML()
	}
	var all []variant
	count := 0
	visit(p.root, "", func(string, any, func(any)) { count++ })
	kinds := otherKinds()
	keep := sampler(count, maxVariants/len(kinds))
	visit(p.root, "", func(path string, v any, set func(any)) {
		if !keep() {
			return
		}
		for _, other := range kinds {
			what := path + " is missing"
			if other != any(missing{}) {
				what = path + " is " + string(encode(other))
			}
			set(other)
			all = append(all, variant{what: what, value: encode(p.root)})
		}
		set(v)
	})
	return all
}

func (p payload) spoiltXML() []variant {
	var all []variant
	keep := sampler(len(p.elements), maxVariants/4)
	for _, e := range p.elements {
		if !keep() {
			continue
		}
		all = append(all,
			variant{what: e.name + " is missing", value: p.replace(e.start, e.end, "")},
			variant{what: e.name + " is twice", value: p.replace(e.end, e.end, string(p.raw[e.start:e.end]))})
		if e.shut > e.open {
			all = append(all,
				variant{what: e.name + " is empty", value: p.replace(e.open, e.shut, "")},
				variant{what: e.name + " has another content", value: p.replace(e.open, e.shut, "<x>-1.5</x>y")})
		}
	}
	return all
}

// sampler answers a function that says yes to at most `most` of n calls, evenly.
func sampler(n, most int) func() bool {
	every, i := 1+n/max(1, most), -1
	return func() bool {
		i++
		return i%every == 0
	}
}

func (p payload) replace(from, to int, with string) []byte {
	return slices.Concat(p.raw[:from], []byte(with), p.raw[to:])
}

const unknownName = "onefoldUnknownMember"

// unknown answers one variant with an unknown member in every object.
func (p payload) unknown() []variant {
	switch p.kind {
	case isJSON:
		var add func(v any)
		add = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				for _, inner := range v {
					add(inner)
				}
				v[unknownName] = map[string]any{"a": []any{json.Number("1"), nil}}
			case []any:
				for _, inner := range v {
					add(inner)
				}
			}
		}
		add(p.root)
		return []variant{{what: "with unknown members", value: encode(p.root)}}
	case isXML:
		value := p.raw
		for _, e := range slices.Backward(p.elements) {
			if !e.leaf {
				value = slices.Concat(value[:e.open], []byte("<"+unknownName+"><a/></"+unknownName+">"), value[e.open:])
			}
		}
		return []variant{{what: "with unknown elements", value: value}}
	default:
		return nil
	}
}

// padded answers the value with so many bytes more that mean nothing: in an unknown member, or as blanks at the end.
func (p payload) padded(n int) []byte {
	if o, ok := p.root.(map[string]any); ok && p.kind == isJSON {
		o[unknownName] = strings.Repeat("x", n)
		return encode(o)
	}
	return append(bytes.Clone(p.raw), bytes.Repeat([]byte(" "), n)...)
}

// missing stands for a value that is left out.
type missing struct{}

// visit goes through every value below v, with its path and the way to set it.
func visit(v any, path string, see func(path string, v any, set func(any))) {
	switch c := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(c)) {
			at := strings.TrimPrefix(path+"."+name, ".")
			see(at, c[name], func(v any) { c[name] = v })
			visit(c[name], at, see)
		}
	case []any:
		for i := range c {
			at := path + "[" + strconv.Itoa(i) + "]"
			see(at, c[i], func(v any) { c[i] = v })
			visit(c[i], at, see)
		}
	}
}

// encode writes JSON, without what is missing.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(without(v)); err != nil {
		panic("adaptertest: " + err.Error()) // of a tree that was read from JSON: cannot be
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func without(v any) any {
	switch c := v.(type) {
	case map[string]any:
		kept := make(map[string]any, len(c))
		for name, inner := range c {
			if inner != (missing{}) {
				kept[name] = without(inner)
			}
		}
		return kept
	case []any:
		kept := make([]any, 0, len(c))
		for _, inner := range c {
			if inner != (missing{}) {
				kept = append(kept, without(inner))
			}
		}
		return kept
	default:
		return v
	}
}
