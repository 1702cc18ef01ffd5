// Package mask hides personal data from those who may not see it, and leaves what they work with: which fields there are, where they come
// from, how a message is built.
package mask

import "bytes"

// Payload hides what a payload says and leaves how it is built: letters become x and digits 9, but names of JSON members and of XML
// elements and attributes stay, for those are what a broken mapping is mended by. Length and punctuation stay too, so that an offset in
// an error still points at the same place. Bytes that are no text become dots. Null stays null.
func Payload(b []byte) []byte {
	if b == nil {
		return nil
	}
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = hide(c)
	}
	switch trimmed := bytes.TrimLeft(b, "\xef\xbb\xbf \t\r\n"); {
	case bytes.HasPrefix(trimmed, []byte("{")), bytes.HasPrefix(trimmed, []byte("[")):
		keepMembers(b, out)
	case bytes.HasPrefix(trimmed, []byte("<")):
		keepTags(b, out)
	}
	return out
}

func hide(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return 'x'
	case '0' <= c && c <= '9':
		return '9'
	case c == '\t', c == '\n', c == '\r', ' ' <= c && c < 0x7f:
		return c
	default:
		return '.'
	}
}

const maxName = 64 // bytes of a member's or a tag's name that is shown: a longer one is a value in the wrong place

// keepMembers puts back the strings before a colon, and null, true and false.
func keepMembers(b, out []byte) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := closing(b, i)
			if follows(b, end+1, ':') && end-i <= maxName {
				copy(out[i:end+1], b[i:end+1])
			}
			i = end
		case 'n', 't', 'f':
			for _, word := range []string{"null", "true", "false"} {
				if bytes.HasPrefix(b[i:], []byte(word)) {
					copy(out[i:], word)
					i += len(word) - 1
					break
				}
			}
		}
	}
}

// closing answers where the string that opens at i closes; the end where it does not.
func closing(b []byte, i int) int {
	for j := i + 1; j < len(b); j++ {
		switch b[j] {
		case '\\':
			j++
		case '"':
			return j
		}
	}
	return len(b) - 1
}

func follows(b []byte, i int, want byte) bool {
	if i >= len(b) {
		return false
	}
	rest := bytes.TrimLeft(b[i:], " \t\r\n")
	return len(rest) > 0 && rest[0] == want
}

// keepTags puts back what stands between angle brackets, but for the values of attributes. Comments, declarations and
// character data stay masked.
func keepTags(b, out []byte) {
	for i := 0; i < len(b); i++ {
		if b[i] != '<' || i+1 < len(b) && b[i+1] == '!' {
			continue
		}
		var quote byte
		for name := 0; i < len(b) && (b[i] != '>' || quote != 0); i++ {
			switch {
			case quote != 0:
				if b[i] == quote {
					quote = 0
				}
			case b[i] == '"' || b[i] == '\'':
				quote = b[i]
			default:
				if name++; name <= maxName || b[i] == ' ' {
					out[i] = keep(b[i])
				}
				if b[i] == ' ' || b[i] == '=' {
					name = 0
				}
			}
		}
	}
}

// keep shows a byte of a name.
func keep(c byte) byte {
	if c >= ' ' && c < 0x7f || c == '\n' || c == '\t' || c == '\r' {
		return c
	}
	return '.'
}
