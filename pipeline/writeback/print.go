package writeback

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// printer makes fingerprints of values. They are keyed with the installation's secret: who has a receipt alone cannot try values.
type printer struct{ key []byte }

func newPrinter(secret []byte, target string) printer {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("onefold write-back " + target))
	return printer{key: mac.Sum(nil)}
}

// body answers the fingerprint of a rendering, in hexadecimal.
func (p printer) body(body []byte) string {
	mac := hmac.New(sha256.New, p.key)
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// of answers the fingerprint of one text: what it is said of, and the text. 64 bits: that two of a customer's few hundred are alike is
// less likely than one in 10^14.
func (p printer) of(name string, element int, part, text string) uint64 {
	mac := hmac.New(sha256.New, p.key)
	for _, s := range []string{name, strconv.Itoa(element), part, alike(name, text)} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		mac.Write(n[:])
		mac.Write([]byte(s))
	}
	return binary.BigEndian.Uint64(mac.Sum(nil))
}

// alike answers a text in the form in which it is compared: systems write the same number with and without blanks, the same address in
// large and small letters, and that is no edit.
func alike(name, text string) string {
	switch name {
	case customer.FieldEmail:
		return strings.ToLower(strings.TrimSpace(text))
	case customer.FieldPhone:
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, text)
	}
	return strings.Join(strings.Fields(text), " ")
}

// maxElements is how many elements of one list a comparison looks at (invariant 10): a target is written a few of each.
const maxElements = 16

// marker is the mark that something was said under a name; no text has it.
const marker = "\x00"

// say answers the fingerprints of what a rendering says of a customer: of each text, of each part of a value with its element, and of
// the names.
func (p printer) say(c *customer.Customer, said []customer.Path) []uint64 {
	var out []uint64
	element, marked := map[string]int{}, map[string]bool{}
	for i := range c.Attributes {
		a := &c.Attributes[i]
		if !slices.Contains(said, a.Path) {
			continue
		}
		name := a.Path.Name
		if !marked[name] {
			marked[name] = true
			out = append(out, p.of(name, 0, marker, ""))
		}
		if len(a.Value.Parts) == 0 {
			out = append(out, p.of(name, 0, "", a.Value.Text))
			continue
		}
		for part, text := range a.Value.Parts {
			out = append(out, p.of(name, element[name]%maxElements, part, text))
		}
		element[name]++
	}
	return out
}

// matches tells whether a value is among what was said: a text as it is, a value of parts if one element has all of them.
func (p printer) matches(said map[uint64]bool, name string, v customer.Value) bool {
	if len(v.Parts) == 0 {
		return said[p.of(name, 0, "", v.Text)]
	}
	for element := range maxElements {
		all := true
		for part, text := range v.Parts {
			if all = said[p.of(name, element, part, text)]; !all {
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}

// mark answers the fingerprint under which a statement is remembered as heard.
func (p printer) mark(st *customer.Statement) uint64 {
	text := st.State.String() + st.Value.Text
	parts := make([]string, 0, len(st.Value.Parts))
	for part, value := range st.Value.Parts {
		parts = append(parts, strconv.Quote(part)+strconv.Quote(value))
	}
	slices.Sort(parts)
	return p.of(st.Path.Name, 0, "heard", text+strings.Join(parts, ""))
}

// remember puts fingerprints at the end of what a receipt says was said; the oldest are forgotten (invariant 10).
func remember(r *event.Receipt, prints []uint64) {
	slices.Sort(prints)
	prints = slices.Compact(prints)
	now := map[uint64]bool{}
	for _, p := range prints {
		now[p] = true
	}
	said := slices.DeleteFunc(slices.Clone(r.Said), func(p uint64) bool { return now[p] })
	said = append(said, prints...)
	r.Said = said[max(0, len(said)-event.MaxSaid):]
	r.Last = min(len(prints), len(r.Said))
}

// hear notes fingerprints as heard from the target. It answers whether any is news.
func hear(r *event.Receipt, prints []uint64) (news bool) {
	for _, p := range prints {
		if !slices.Contains(r.Heard, p) {
			news = true
			r.Heard = append(r.Heard, p)
		}
	}
	r.Heard = r.Heard[max(0, len(r.Heard)-event.MaxHeard):]
	return news
}

// spoken answers what a receipt says was said: by the last write, and by those before.
func spoken(r *event.Receipt) (last, older map[uint64]bool) {
	last, older = map[uint64]bool{}, map[uint64]bool{}
	for i, p := range r.Said {
		if i >= len(r.Said)-r.Last {
			last[p] = true
		} else {
			older[p] = true
		}
	}
	return last, older
}
