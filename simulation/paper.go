package simulation

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// paper is what a system writes on: JSON or XML, member by member in the order of writing, numbers exact.
type paper struct{ b []byte }

func (p *paper) raw(s string) { p.b = append(p.b, s...) }

// next writes the comma before a member or an element, unless it is the first.
func (p *paper) next() {
	if n := len(p.b); n > 0 && p.b[n-1] != '{' && p.b[n-1] != '[' {
		p.b = append(p.b, ',')
	}
}

func (p *paper) name(name string) {
	p.next()
	p.b = append(p.b, '"')
	p.b = append(p.b, name...)
	p.b = append(p.b, '"', ':')
}

// text writes a member.
func (p *paper) text(name, value string) {
	p.name(name)
	p.quote(value)
}

// some writes a member unless it is empty.
func (p *paper) some(name, value string) {
	if value != "" {
		p.text(name, value)
	}
}

// orNull writes a member, null for an empty one.
func (p *paper) orNull(name, value string) {
	if value == "" {
		p.null(name)
		return
	}
	p.text(name, value)
}

func (p *paper) null(name string) {
	p.name(name)
	p.raw("null")
}

func (p *paper) number(name string, n int64) {
	p.name(name)
	p.b = strconv.AppendInt(p.b, n, 10)
}

func (p *paper) flag(name string, v bool) {
	p.name(name)
	p.b = strconv.AppendBool(p.b, v)
}

// money writes minor units as a text with two decimals, as Shopify does.
func (p *paper) money(name string, cents int64) {
	p.name(name)
	p.raw(`"`)
	p.b = appendMoney(p.b, cents)
	p.raw(`"`)
}

func (p *paper) object(name string) {
	p.name(name)
	p.raw("{")
}

func (p *paper) array(name string) {
	p.name(name)
	p.raw("[")
}

// item opens an object in an array.
func (p *paper) item() {
	p.next()
	p.raw("{")
}

func (p *paper) quote(s string) {
	p.b = append(p.b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			p.b = append(p.b, '\\', c)
		case c < ' ':
			p.b = append(p.b, '\\', 'u', '0', '0', hexes[c>>4], hexes[c&15])
		default:
			p.b = append(p.b, c)
		}
	}
	p.b = append(p.b, '"')
}

// start and stop write the tags of an element.
func (p *paper) start(name string) { p.raw("<" + name + ">") }
func (p *paper) stop(name string)  { p.raw("</" + name + ">") }

// element writes an element with a text, none for an empty one.
func (p *paper) element(name, text string) {
	if text == "" {
		return
	}
	p.start(name)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '&':
			p.raw("&amp;")
		case '<':
			p.raw("&lt;")
		case '>':
			p.raw("&gt;")
		default:
			p.b = append(p.b, c)
		}
	}
	p.stop(name)
}

// sum writes an amount with its currency.
func (p *paper) sum(cents int64, currency string) {
	p.raw(`<Amt Ccy="` + currency + `">`)
	p.b = appendMoney(p.b, cents)
	p.raw("</Amt>")
}

// appendMoney writes minor units with two decimals.
func appendMoney(b []byte, cents int64) []byte {
	if cents < 0 {
		b, cents = append(b, '-'), -cents
	}
	b = strconv.AppendInt(b, cents/100, 10)
	return append(b, '.', byte('0'+cents/10%10), byte('0'+cents%10))
}

// AppendJSON appends a message as one JSON object without a line's end, members in this order: topic, key (null for none), headers, time
// (RFC 3339 with milliseconds), and value (null for a Kafka null) where it is UTF-8, else value_b64.
func (m *Message) AppendJSON(b []byte) []byte {
	p := paper{b: b}
	p.b = append(p.b, '{')
	p.text("topic", m.Topic)
	if p.name("key"); m.Key == nil {
		p.raw("null")
	} else {
		p.quote(string(m.Key))
	}
	p.object("headers")
	for _, h := range m.Headers {
		p.text(h.Key, string(h.Value))
	}
	p.raw("}")
	p.text("time", m.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
	switch {
	case m.Value == nil:
		p.null("value")
	case utf8.Valid(m.Value):
		p.text("value", string(m.Value))
	default:
		p.name("value_b64")
		p.raw(`"`)
		p.b = base64.StdEncoding.AppendEncode(p.b, m.Value)
		p.raw(`"`)
	}
	return append(p.b, '}')
}

// stamp writes an instant as a system does: layout and zone are its own.
func (p *paper) stamp(name string, at time.Time, layout string) {
	p.name(name)
	p.b = append(p.b, '"')
	p.b = at.AppendFormat(p.b, layout)
	p.b = append(p.b, '"')
}

// Layouts of the systems' clocks.
const (
	seconds = "2006-01-02T15:04:05Z07:00"
	millis  = "2006-01-02T15:04:05.000Z07:00"
	nanos   = "2006-01-02T15:04:05.000000000Z"
	local   = "2006-01-02T15:04:05" // ISO 20022 banks seldom tell their zone
	day     = "2006-01-02"
)
