package pages

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onefold/onefold/customer"
)

// Limits of what is shown of one text (invariant 10).
const (
	MaxShown = 300  // characters of a value
	MaxBytes = 8192 // bytes of a message, of its key and of each header
)

// inert answers a text as it may be shown: one that is too long is cut and says how long it is, and characters that cannot be seen, or
// that turn the text around them about, are written as their code. What is left cannot do anything but be read.
func inert(s string) string { return inertTo(s, MaxShown) }

func inertTo(s string, limit int) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n == limit {
			fmt.Fprintf(&b, "… (%s bytes)", number(int64(len(s))))
			break
		}
		n++
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				fmt.Fprintf(&b, "⟨%02X⟩", s[i])
				continue
			}
		}
		if hidden(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// hidden tells characters that cannot be seen: controls, formats such as marks of direction, private and unassigned ones, and separators
// of lines. Joiners belong to how some scripts and many emoji are written.
func hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	switch {
	case r == nonJoiner || r == joiner || r == ' ':
		return false
	case unicode.Is(unicode.Cf, r), unicode.IsControl(r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r), unicode.Is(unicode.Co, r):
		return true
	}
	return !unicode.IsGraphic(r)
}

// valueText writes a value in one line: parts by name, but for those that only say what the value is for.
func valueText(path customer.Path, v customer.Value) string {
	if len(v.Parts) == 0 {
		return v.Text
	}
	var names []string
	if path.Name == customer.FieldIdentifier {
		return strings.TrimSuffix(v.Parts["value"]+", "+v.Parts["issuer"], ", ")
	}
	if path.Name == customer.FieldConsent {
		return v.Parts["state"] + ": " + strings.Trim(v.Parts["channel"]+", "+v.Parts["purpose"], ", ")
	}
	if path.Name == customer.FieldAddress {
		for _, n := range []string{"streetAddress", "postalCode", "addressLocality", "addressRegion", "addressCountry"} {
			if v.Parts[n] != "" {
				names = append(names, v.Parts[n])
			}
		}
		if len(names) > 0 {
			return strings.Join(names, ", ")
		}
	}
	for name, part := range v.Parts {
		names = append(names, name+" "+part)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// label writes a field's name for people: "givenName" is "Given name".
func label(p customer.Path) string {
	var b strings.Builder
	for i, r := range p.Name {
		switch {
		case i == 0:
			b.WriteRune(unicode.ToUpper(r))
		case unicode.IsUpper(r):
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// number writes a whole number with its thousands apart.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(digits) - 3; i > start; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// plural writes a number of things.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// rate writes so many a second; none where nothing is known yet.
func rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond):
		return "–"
	case perSecond == 0:
		return "0"
	case perSecond < 10:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return number(int64(math.Round(perSecond)))
}

// bits writes a weight as people read it; exactly is what stands in the store.
func bits(w customer.Weight) string    { return fmt.Sprintf("%+.2f", w.Float()) }
func needed(w customer.Weight) string  { return fmt.Sprintf("%.2f", w.Float()) }
func exactly(w customer.Weight) string { return strconv.FormatFloat(w.Float(), 'f', -1, 64) }

// stamp writes an instant in UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// machine writes an instant for programs.
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ago writes how long an instant lies back.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d < 0:
		return stamp(t)
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%s days ago", number(int64(d.Hours()/24)))
}

// sourceAt answers where the page of sources shows the i-th.
func sourceAt(i int) string { return "/sources#source-" + strconv.Itoa(i) }

// maxParameter is how many bytes of a value a link passes on (invariant 10): no name of ours is longer.
const maxParameter = 512

// query answers an address with parameters; of names and values in turn those that have a value.
func query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if v := pairs[i+1]; v != "" {
			q.Set(pairs[i], v[:min(len(v), maxParameter)])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// timeOf is what templates call an instant.
type timeOf = time.Time

// escape answers an id as a piece of an address.
func escape(id string) string { return url.PathEscape(id[:min(len(id), maxParameter)]) }

// place3 names where a message stands.
func place3(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", inert(topic), partition, offset)
}

// goneText says of a customer that is no more why.
func goneText(s customer.Status) string {
	if s == customer.Erased {
		return "Erased at the wish of the person"
	}
	return "Gone: every record of it was deleted"
}
