package codec

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/onefold/onefold/event"
)

// Reason codes.
const (
	decode   = "decode"
	tooLarge = "too_large"
)

var bom = []byte("\xef\xbb\xbf")

func (l Limits) checkBytes(b []byte) error {
	if len(b) > l.Bytes { // invariant 10
		return event.Errorf(event.Poison, tooLarge, "", "the value has %d bytes, the limit is %d", len(b), l.Bytes)
	}
	return nil
}

// checkUnicode refuses UTF-16 and UTF-32 by their byte order marks, which otherwise would read as a puzzling syntax error.
func checkUnicode(b []byte, format string) error {
	if bytes.HasPrefix(b, []byte("\xfe\xff")) || bytes.HasPrefix(b, []byte("\xff\xfe")) {
		return event.Errorf(event.Poison, decode, "", "the value is UTF-16 or UTF-32: the sender must encode %s as UTF-8", format)
	}
	return nil
}

// place says where in the message an offset is.
func place(b []byte, offset int) string {
	offset = max(0, min(offset, len(b)))
	return fmt.Sprintf("byte %d, line %d", offset, 1+bytes.Count(b[:offset], []byte("\n")))
}

// pointerPath turns a JSON pointer (RFC 6901) into the form that mappings use: /customer/emails/0 is customer.emails[0].
func pointerPath(pointer string) string {
	if pointer == "" {
		return ""
	}
	var b strings.Builder
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		if isIndex(token) {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(safeName(token))
	}
	return b.String()
}

const (
	maxIndexDigits = 7 // a million items
	maxNameLength  = 48
)

func isIndex(s string) bool {
	return s != "" && len(s) <= maxIndexDigits && strings.Trim(s, "0123456789") == ""
}

// safeName answers a member's name if it looks like one that a programmer gave, else "*": there are systems that make
// names of e-mail addresses and card numbers (invariant 9).
func safeName(s string) string {
	if s == "" || len(s) > maxNameLength {
		return "*"
	}
	digits := 0
	for i, c := range s {
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > 4 {
				return "*"
			}
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-', c == '$', c == ':', c == '@' && i == 0:
		default:
			return "*"
		}
	}
	return s
}
