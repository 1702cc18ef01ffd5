// Package spelling brings texts into the form in which they compare, and says how alike two words are: by letters and by sound. It is
// pure, and knows nothing of people.
package spelling

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxText bounds the bytes of a value that are looked at (invariant 10); what is longer is cut, for matching only.
const MaxText = 512

// Folded answers a text in lower case, in compatibility form (Unicode NFKC), without accents, and with Greek, Cyrillic and the
// special letters of Latin written in ASCII. Other scripts stay as they are. Invalid UTF-8 is left out.
func Folded(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	if plain(s) {
		return s
	}
	if IsASCII(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(norm.NFKC.String(strings.ToValidUTF8(s, "")))) {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r):
		default:
			if t, ok := transliterated(r); ok {
				b.WriteString(t)
			} else {
				b.WriteRune(unicode.ToLower(r))
			}
		}
	}
	return norm.NFC.String(b.String())
}

// plain tells a text that is in matching form already.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// transliterated writes a letter in ASCII: special letters of Latin as passports do (ICAO 9303), Cyrillic and Greek in the
// usual way of names.
func transliterated(r rune) (string, bool) {
	switch {
	case 'а' <= r && r <= 'я':
		return cyrillic(int(r - 'а')), true
	case 'α' <= r && r <= 'ω':
		return greek(int(r - 'α')), true
	}
	switch r {
	case 'ß':
		return "ss", true
	case 'æ':
		return "ae", true
	case 'œ':
		return "oe", true
	case 'ø':
		return "o", true
	case 'đ', 'ð':
		return "d", true
	case 'ł':
		return "l", true
	case 'þ':
		return "th", true
	case 'ı', 'і', 'ї':
		return "i", true
	case 'є':
		return "e", true
	case 'ґ':
		return "g", true
	case 'ђ':
		return "dj", true
	case 'ј':
		return "j", true
	case 'љ':
		return "lj", true
	case 'њ':
		return "nj", true
	case 'ћ':
		return "c", true
	case 'џ':
		return "dz", true
	case '’', '‘', 'ʼ', '`':
		return "'", true
	case '‐', '‑', '–', '—':
		return "-", true
	}
	return "", false
}

func cyrillic(i int) string {
	return [...]string{
		"a", "b", "v", "g", "d", "e", "zh", "z", "i", "i", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "kh", "ts", "ch", "sh",
		"shch", "", "y", "", "e", "yu", "ya",
	}[i]
}

func greek(i int) string {
	return [...]string{
		"a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s", "s", "t", "y", "f", "ch", "ps", "o",
	}[i]
}

// Words answers the words of a text in matching form; an apostrophe or a dot does not part a word, a dot after one letter
// does. At most maxTokens.
func Words(s string) []string {
	s = Folded(s)
	var out []string
	word := make([]byte, 0, 32)
	end := func() {
		if len(word) > 0 && len(out) < maxTokens {
			out = append(out, string(word))
		}
		word = word[:0]
	}
	for _, r := range s {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.Mn, r), unicode.Is(unicode.Mc, r):
			word = utf8.AppendRune(word, r)
		case r == '\'':
		default:
			end()
		}
	}
	end()
	return out
}

// maxTokens bounds the words of one value (invariant 10).
const maxTokens = 12

// Placeholder tells a text that stands for nothing: what people and programs write into a field that must be filled.
func Placeholder(s string) bool {
	s = strings.Trim(Folded(s), " \t\r\n.,;:-_/\\#*?'\"()[]<>")
	switch s {
	case "", "n/a", "na", "n.a", "nil", "null", "none", "no", "nan", "undefined", "unknown", "unbekannt", "inconnu",
		"desconocido", "sconosciuto", "onbekend", "test", "tester", "testing", "dummy", "sample", "example", "tbd", "tba", "todo",
		"xx", "xxx", "xxxx", "asdf", "asd", "qwerty", "abc", "abcd", "not provided", "not available", "not applicable", "not known",
		"no name", "noname", "anonymous", "guest", "customer", "cash customer", "walk in", "walk-in", "notprovided", "default":
		return true
	}
	return false
}

// Said answers the words of a text, none for a placeholder.
func Said(s string) []string {
	if Placeholder(s) {
		return nil
	}
	return Words(s)
}

// Joined answers a text in matching form with single blanks, empty for a placeholder.
func Joined(s string) string { return strings.Join(Said(s), " ") }

// MaxWord bounds the letters of a word that are compared one by one (invariant 10); longer words are cut.
const MaxWord = 40

// letter is what words are made of: a byte where the word is ASCII, else a rune.
type letter interface{ byte | rune }

// Edits answers the number of letters to add, drop, change or swap with their neighbour that make one word of the other
// (optimal string alignment, Damerau 1964), or 3 for more than two.
func Edits(a, b string) int {
	if d := len(a) - len(b); (d > 2 || d < -2) && IsASCII(a) && IsASCII(b) {
		return 3
	}
	if IsASCII(a) && IsASCII(b) {
		return Alignment([]byte(cut(a)), []byte(cut(b)))
	}
	return Alignment([]rune(cut(a)), []rune(cut(b)))
}

func cut(s string) string {
	if len(s) > MaxWord*utf8.UTFMax {
		s = s[:MaxWord*utf8.UTFMax]
	}
	return s
}

// Alignment answers what Edits does, of letters or of whatever else stands in a row.
func Alignment[T letter](a, b []T) int {
	a, b = a[:min(len(a), MaxWord)], b[:min(len(b), MaxWord)]
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if d := len(a) - len(b); d > 2 || d < -2 {
		return 3
	}
	var rows [3][MaxWord + 1]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev, row, before := &rows[(i-1)%3], &rows[i%3], &rows[(i+1)%3]
		row[0] = i
		best := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(prev[j-1]+cost, prev[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			best = min(best, d)
		}
		if best > 2 {
			return 3
		}
	}
	return min(rows[len(a)%3][len(b)], 3)
}

// One is the likeness of equal words; a likeness is in thousandths.
const One = 1000

// Likeness answers the likeness of Jaro and Winkler (1990) in thousandths, in whole numbers, so that it is the same on every
// machine.
func Likeness(a, b string) int {
	if a == b {
		return One
	}
	if IsASCII(a) && IsASCII(b) {
		return jaroWinkler([]byte(cut(a)), []byte(cut(b)))
	}
	return jaroWinkler([]rune(cut(a)), []rune(cut(b)))
}

func jaroWinkler[T letter](a, b []T) int {
	a, b = a[:min(len(a), MaxWord)], b[:min(len(b), MaxWord)]
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) == 0 {
		return 0
	}
	reach := max(len(b)/2-1, 0)
	var taken [MaxWord]bool
	var common [MaxWord]T
	m := 0
	for i, c := range a {
		for j := max(0, i-reach); j <= min(len(b)-1, i+reach); j++ {
			if !taken[j] && b[j] == c {
				taken[j] = true
				common[m] = c
				m++
				break
			}
		}
	}
	if m == 0 {
		return 0
	}
	crossed, k := 0, 0
	for j, c := range b {
		if taken[j] {
			if c != common[k] {
				crossed++
			}
			k++
		}
	}
	const fine = 1000 * One
	jaro := (fine*m/len(a) + fine*m/len(b) + fine*(2*m-crossed)/(2*m)) / 3
	start := 0
	for start < min(len(a), 4) && a[start] == b[start] {
		start++
	}
	return (jaro + start*(fine-jaro)/10) / 1000
}

// IsASCII tells a text of nothing but ASCII.
func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// soundLength bounds a sound: what follows is mostly ending.
const soundLength = 6

// Sound answers how a word of Latin letters sounds, roughly and in many languages: vowels after the first sound, doubled
// letters, h, w and y are silent, letters that are written for one another are one. Other words sound as they are written.
func Sound(word string) string {
	if !IsASCII(word) || word == "" {
		return word
	}
	for _, silent := range []string{"kn", "gn", "wr", "ps", "pn"} {
		if strings.HasPrefix(word, silent) {
			word = word[1:]
			break
		}
	}
	var out [soundLength]byte
	n, last := 0, byte(0)
	for i := 0; i < len(word) && n < soundLength; i++ {
		c := soundAt(word, i)
		switch {
		case c == 0:
			continue
		case c == 'a':
			if n == 0 {
				out[n] = c
				n++
			}
			last = 0
			continue
		case c != last:
			out[n] = c
			n++
		}
		last = c
	}
	return string(out[:n])
}

// soundAt answers the sound of one letter where it stands: 0 silent, 'a' any vowel.
func soundAt(word string, i int) byte {
	next := byte(0)
	if i+1 < len(word) {
		next = word[i+1]
	}
	switch c := word[i]; c {
	case 'a', 'e', 'i', 'o', 'u', 'y':
		return 'a'
	case 'h', 'w':
		return 0
	case 'b':
		return 'p'
	case 'p':
		if next == 'h' {
			return 'f'
		}
		return 'p'
	case 'v':
		return 'f'
	case 'd':
		return 't'
	case 'c':
		if next == 'e' || next == 'i' || next == 'y' {
			return 's'
		}
		return 'k'
	case 'g', 'q', 'x':
		return 'k'
	case 'z':
		return 's'
	case 'j':
		return 'j'
	case 'm':
		return 'n'
	default:
		return c
	}
}
