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

// keepTags puts back the names of elements and attributes, where a tag is one: what only stands between angle brackets, as an address does,
// is none. Comments, declarations and character data stay masked, whatever is in them.
func keepTags(b, out []byte) {
	for i := 0; i < len(b); {
		rest := b[i:]
		switch {
		case rest[0] != '<':
			i++
		case bytes.HasPrefix(rest, []byte("<!--")):
			i += behind(rest, "-->")
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			i += behind(rest, "]]>")
		case bytes.HasPrefix(rest, []byte("<!")):
			i += declaration(rest)
		default:
			names, size := tag(rest)
			for _, n := range names {
				copy(out[i+n[0]:i+min(n[1], n[0]+maxName)], rest[n[0]:n[1]])
			}
			i += size
		}
	}
}

// behind answers where it goes on behind an end; behind all of b where that does not come.
func behind(b []byte, end string) int {
	if at := bytes.Index(b, []byte(end)); at >= 0 {
		return at + len(end)
	}
	return len(b)
}

// declaration answers the size of a declaration, those that stand in it included.
func declaration(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"', '\'':
			end := bytes.IndexByte(b[i+1:], b[i])
			if end < 0 {
				return len(b)
			}
			i += end + 1
		case '<':
			depth++
		case '>':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

// tag reads a tag at the beginning of b (XML 1.0, 3.1): where its names begin and end, and its size. Of what is no tag there are no names,
// and the size is that of its bracket.
func tag(b []byte) (names [][2]int, size int) {
	i := 1
	if i < len(b) && (b[i] == '/' || b[i] == '?') {
		i++
	}
	name := func() bool {
		from := i
		for i < len(b) && inName(b[i], i == from) {
			i++
		}
		names = append(names, [2]int{from, i})
		return i > from
	}
	if !name() {
		return nil, 1
	}
	for {
		blank := skip(b, i)
		switch spaced := blank > i; {
		case blank < len(b) && b[blank] == '>':
			return names, blank + 1
		case blank+1 < len(b) && (b[blank] == '/' || b[blank] == '?') && b[blank+1] == '>':
			return names, blank + 2
		default:
			i = blank
			if !spaced || !name() {
				return nil, 1
			}
		}
		if i = skip(b, i); i >= len(b) || b[i] != '=' {
			return nil, 1
		}
		if i = skip(b, i+1); i >= len(b) || b[i] != '"' && b[i] != '\'' {
			return nil, 1
		}
		end := bytes.IndexByte(b[i+1:], b[i])
		if end < 0 {
			return nil, 1
		}
		i += end + 2
	}
}

// inName tells whether a byte may stand in a name; letters that are not of ASCII are shown as dots.
func inName(c byte, first bool) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == ':' || !first && (c == '-' || c == '.' || '0' <= c && c <= '9')
}

// skip answers where it goes on behind blanks.
func skip(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}
