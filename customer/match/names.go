package match

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/spelling"
)

// Levels of likeness of two names, the better the higher.
const (
	nameMissing uint8 = iota
	nameDiffers
	nameFaint   // a likeness of .7
	nameInitial // one is the first letter of the other
	nameSound   // sound alike, or pet forms of a third name
	nameAlike   // a likeness of .83
	namePrefix  // one begins the other
	nameClose   // a likeness of .92, or two slips in long names
	namePart    // one is part of a compound name
	namePet     // one is a pet form of the other
	nameSlip    // one slip of the pen
	nameEqual
	nameLevels
)

// initialWeight is what an initial that fits says.
const initialWeight = 3 * customer.Bits / 2

// likeness is how two names fit, and what that weighs.
type likeness struct {
	level  uint8
	weight customer.Weight
	most   customer.Weight // what equal names would weigh
}

// fits tells whether the names may be one name.
func (l likeness) fits() bool { return l.level >= nameSound }

// name compares two given names or two family names, as words. Of the two the commoner one says what agreement weighs:
// a slip is rare and must not raise it. Of compound names that share a part, the part says it.
func (m *Matcher) name(a, b []string, fa, fb *frequencies, n *Name) likeness {
	if len(a) == 0 || len(b) == 0 {
		return likeness{}
	}
	level, part := m.words(a, b, fa == m.given && fb == m.given)
	l := likeness{level: level, most: min(fa.ofName(a), fb.ofName(b))}
	w := l.most
	if len(part) > 0 {
		w = min(fa.ofName(part), fb.ofName(part))
	}
	switch level {
	case nameDiffers:
		l.weight = n.Differ
	case nameFaint:
		l.weight = n.Differ / 3
	case nameInitial:
		l.weight = initialWeight
	default:
		l.weight = max(w-n.Less[level], n.Differ/3)
	}
	return l
}

// words compares names of one or more words each. If one is part of the other, it answers the words of that part.
func (m *Matcher) words(a, b []string, given bool) (level uint8, part []string) {
	if len(a) == 1 && len(b) == 1 {
		return m.word(a[0], b[0], given), nil
	}
	if slices.Equal(a, b) {
		return nameEqual, nil
	}
	level = m.word(strings.Join(a, ""), strings.Join(b, ""), given)
	if level >= nameSlip {
		return level, nil
	}
	part, restA, restB := common(a, b)
	rest := nameMissing
	for _, x := range restA {
		for _, y := range restB {
			rest = max(rest, m.word(x, y, given))
		}
	}
	switch {
	case len(part) > 0 && rest == nameMissing:
		return namePart, part
	case len(part) > 0 && rest >= nameInitial:
		return max(level, nameClose), nil
	case len(part) > 0: // Garcia Lopez and Garcia Ruiz, Anne Marie and Marie Christine
		return nameFaint, nil
	case rest >= nameClose:
		return max(level, nameAlike), nil
	}
	return level, nil
}

// common parts two names into the words that both have and what is left of each.
func common(a, b []string) (part, restA, restB []string) {
	for _, x := range a {
		if len(x) > 1 && slices.Contains(b, x) {
			part = append(part, x)
		} else {
			restA = append(restA, x)
		}
	}
	for _, y := range b {
		if !slices.Contains(part, y) {
			restB = append(restB, y)
		}
	}
	return part, restA, restB
}

// word compares two words. Given names of a man and of a woman are faintly alike at best; a slip that makes one common name of
// another is seldom a slip.
func (m *Matcher) word(a, b string, given bool) uint8 {
	level := m.spelling(a, b, given)
	if level < nameSound || level == nameEqual || level == namePet {
		return level
	}
	shares := m.names.Family
	if given {
		shares = m.names.Given
		if x, y := m.names.Sex[a], m.names.Sex[b]; x != 0 && y != 0 && x != y {
			return nameFaint
		}
	}
	if level >= nameClose && min(shares[a], shares[b]) >= commonShare {
		return nameAlike
	}
	return level
}

// commonShare is the share from which a name is common.
const commonShare = 1.0 / 5_000

// spelling compares two words as they are written.
func (m *Matcher) spelling(a, b string, given bool) uint8 {
	if a == b {
		return nameEqual
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) == 1 {
		if a[0] == b[0] {
			return nameInitial
		}
		return nameDiffers
	}
	d := spelling.Edits(a, b)
	if syllabic(a) || syllabic(b) {
		return signs(a, b, d)
	}
	if d == 1 && len(a) >= 3 {
		return nameSlip
	}
	if given && m.pets.Direct(a, b) {
		return namePet
	}
	alike := spelling.Likeness(a, b)
	switch {
	case alike >= 920, d == 2 && len(a) >= 6:
		return nameClose
	case len(a) >= 3 && strings.HasPrefix(b, a):
		return namePrefix
	case alike >= 830, anagrams(a, b):
		return nameAlike
	case given && m.pets.Class(a, b), len(a) >= 3 && spelling.Sound(a) == spelling.Sound(b):
		return nameSound
	case alike >= 700:
		return nameFaint
	}
	return nameDiffers
}

// syllabic tells a word of signs that are words or syllables each: Chinese and Korean names have two or three of them.
func syllabic(w string) bool {
	r, _ := utf8.DecodeRuneInString(w)
	return r >= 0x2E80 && unicode.In(r, unicode.Han, unicode.Hangul)
}

// signs compares such words: another sign is another name, but one of many.
func signs(a, b string, edits int) uint8 {
	switch short := utf8.RuneCountInString(a); {
	case edits == 1 && short >= 4:
		return nameClose
	case short >= 2 && strings.HasPrefix(b, a):
		return namePrefix
	}
	return nameDiffers
}

// anagrams tells words of the same letters in another order.
func anagrams(a, b string) bool {
	if len(a) != len(b) || len(a) < 3 || len(a) > spelling.MaxWord {
		return false
	}
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// reading is one way to read a record's names.
type reading struct {
	given, family []string
	cross         bool
	strange       customer.Weight // what the tables say against it
}

// maxReadings bounds the words of an unsplit name that are tried in each role (invariant 10), mostStrange what the tables may say.
const (
	maxReadings = 5
	mostStrange = 8 * customer.Bits
)

// readings answers the ways in which a record's names may be meant: as they stand and the other way round; of a name that came
// unsplit, any two of its words.
func (m *Matcher) readings(f *customer.Features) []reading {
	if !f.Unsplit {
		if len(f.Given) == 0 || len(f.Family) == 0 {
			return []reading{{given: f.Given, family: f.Family}}
		}
		return []reading{{given: f.Given, family: f.Family}, {given: f.Family, family: f.Given, cross: true}}
	}
	words := slices.Concat(f.Given, f.Middle, f.Family)
	if len(words) > maxReadings {
		words = slices.Concat(words[:maxReadings-1], words[len(words)-1:])
	}
	if len(words) == 1 {
		return []reading{{family: words}, {given: words}}
	}
	var out []reading
	for i := range words {
		for j := range words {
			if i != j {
				strange := min(max(m.names.Role[words[j]]-m.names.Role[words[i]], 0), mostStrange)
				out = append(out, reading{given: words[i : i+1], family: words[j : j+1], strange: strange})
			}
		}
	}
	return out
}

// named is the one comparison of two persons' names.
type named struct {
	given, family likeness
	middle        uint8 // 0 missing, 1 differs, 2 agrees
	suffix        bool  // junior against senior
	cross         bool
	weight        customer.Weight
}

// persons compares the names of two persons. It takes the best of the ways to read the one that came unsplit, or has more words.
func (m *Matcher) persons(a, b *customer.Features) named {
	if a.Unsplit == b.Unsplit && words(b) > words(a) || b.Unsplit && !a.Unsplit {
		a, b = b, a
	}
	if a.Unsplit && b.Unsplit && words(a) == 1 && words(b) == 1 {
		return m.single(a, b)
	}
	chosen := reading{given: a.Given, family: a.Family}
	best := m.read(chosen, b)
	if a.Unsplit || best.given.level <= nameFaint {
		likely := best.weight
		for _, r := range m.readings(a) {
			if n := m.read(r, b); n.weight-r.strange > likely {
				chosen, best, likely = r, n, n.weight-r.strange
			}
		}
	}
	if a.Unsplit && b.Unsplit && best.given.fits() && best.family.level <= nameFaint {
		best = m.kindred(best, chosen, b)
	}
	p := &m.model.Weights
	if !a.Unsplit && !b.Unsplit && !best.cross {
		best = m.borrowed(best, a, b)
	}
	if best.given.level >= namePrefix && !best.cross && !a.Unsplit && !b.Unsplit {
		if best.middle = middle(a.Middle, b.Middle); best.middle == 2 {
			best.weight += p.Middle.Agree
		} else if best.middle == 1 {
			best.weight += p.Middle.Differ
		}
	}
	if a.Suffix != "" && b.Suffix != "" && a.Suffix != b.Suffix {
		best.suffix = true
		best.weight += p.Suffix
	}
	return best
}

// single compares two names of one word each, which is all of them: another word differs in given and family name.
func (m *Matcher) single(a, b *customer.Features) named {
	n := m.read(reading{family: a.Family}, b)
	if n.family.level <= nameFaint {
		n.given = likeness{level: nameDiffers, weight: m.model.Weights.Given.Differ}
		n.weight += n.given.weight
	}
	return n
}

// kindred reads two unsplit names that have one word in common anew: unless the tables know it as a given name, it is their family's.
func (m *Matcher) kindred(n named, r reading, b *customer.Features) named {
	if len(r.family) == 0 || len(b.Family) == 0 || m.names.Role[r.given[0]] >= clearly {
		return n
	}
	other := *b
	other.Given, other.Family = b.Family, b.Given
	return m.read(reading{given: r.family, family: r.given}, &other)
}

func words(f *customer.Features) int { return len(f.Given) + len(f.Middle) + len(f.Family) }

// read compares one reading of a record's names with another record as it stands.
func (m *Matcher) read(r reading, b *customer.Features) named {
	p := &m.model.Weights
	fg, ff := m.given, m.family
	if r.cross {
		fg, ff = ff, fg
	}
	n := named{cross: r.cross}
	n.given = m.name(r.given, b.Given, fg, m.given, &p.Given)
	n.family = m.name(r.family, b.Family, ff, m.family, &p.Family)
	if r.cross && !n.given.fits() && !n.family.fits() {
		return named{weight: math.MinInt32}
	}
	n.weight = n.given.weight + n.family.weight
	if r.cross {
		n.weight += p.Cross
	}
	return n
}

// borrowed looks for a name that does not fit among the other's middle names: many people go by their second one, and many have had
// another family name.
func (m *Matcher) borrowed(n named, a, b *customer.Features) named {
	p := &m.model.Weights
	for _, part := range []struct {
		l       *likeness
		a, b    []string
		penalty customer.Weight
	}{{&n.given, a.Given, b.Given, p.Given.Less[namePart]}, {&n.family, a.Family, b.Family, p.Family.Less[namePart]}} {
		if part.l.level != nameDiffers && part.l.level != nameFaint || !lent(part.a, b.Middle) && !lent(part.b, a.Middle) {
			continue
		}
		n.weight -= part.l.weight
		part.l.level, part.l.weight = namePart, part.l.most-part.penalty
		n.weight += part.l.weight
	}
	return n
}

// lent tells whether a whole name is among the other's middle names.
func lent(name, middle []string) bool {
	return len(middle) > 0 && slices.ContainsFunc(name, func(w string) bool { return len(w) > 1 && slices.Contains(middle, w) })
}

// middle tells whether middle names agree: 0 one has none, 1 they differ, 2 some word or its initial is in both.
func middle(a, b []string) uint8 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	for _, x := range a {
		for _, y := range b {
			if x == y || (len(x) == 1 || len(y) == 1) && x[0] == y[0] || spelling.Edits(x, y) == 1 && min(len(x), len(y)) >= 3 {
				return 2
			}
		}
	}
	return 1
}
