package match

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/spelling"
)

// DefaultCap is how many distinct holders a key may have before it is too common to propose anybody.
const DefaultCap = 50

// maxKeys bounds the keys of a record (invariant 10); those of the best kinds come first.
const maxKeys = 64

// LooseCap is the cap of the keys that many strangers share (one name, a street in a town, a family name in a birth place): they
// speak only where they are rare, and one that grows hot costs little before it falls silent.
const LooseCap = 25

// keyStrong is the type of keys that prove who a record is; the matcher does not cap them, customer.MaxHolders does.
const keyStrong = "strongIdentifier"

// Cap answers how many distinct holders a key of that type may have before it proposes nothing; 0 is no cap.
func (m *Matcher) Cap(keyType string) int {
	switch keyType {
	case keyStrong:
		return 0
	case "name", "street+city", "family+birthPlace", "number+street", "emailDomain":
		return LooseCap
	}
	return DefaultCap
}

// keyring gathers the keys of one record.
type keyring struct {
	keys []customer.Key
	f    *customer.Features
	// What many keys are made of: of the first word of a name, its sound; year, month-day and the whole of the birth date.
	given, family        string
	givenSound, famSound string
	initial              string
	year, day, date      string
}

// add adds a key of several parts, none of which may be empty.
func (k *keyring) add(kind string, parts ...string) {
	const prime = 1099511628211 // FNV-1a, 64 bits
	h := uint64(14695981039346656037)
	for _, p := range parts {
		if p == "" {
			return
		}
		for i := range len(p) {
			h = (h ^ uint64(p[i])) * prime
		}
		h = (h ^ 0xff) * prime // no text holds this byte
	}
	if len(k.keys) < maxKeys {
		k.keys = append(k.keys, customer.Key{Type: kind, Hash: h})
	}
}

// Keys answers the keys under which the record meets those it might be the same as: distinct and in order. Each kind forgives
// another slip: a pair that shares none is not compared.
func (m *Matcher) Keys(f *customer.Features) []customer.Key {
	k := &keyring{f: f, keys: make([]customer.Key, 0, 32)}
	k.prepare()
	k.contacts()
	if f.Organisation {
		k.organisation()
	} else {
		k.names()
		if f.Unsplit && k.given != "" && k.family != "" { // the other way round
			k.given, k.family = k.family, k.given
			k.givenSound, k.famSound = k.famSound, k.givenSound
			k.initial = k.given[:1]
			k.names()
		}
	}
	for i := range f.Places {
		k.place(&f.Places[i])
	}
	slices.SortFunc(k.keys, compareKeys)
	return slices.Compact(k.keys)
}

func (k *keyring) prepare() {
	f := k.f
	if len(f.Given) > 0 && f.Given[0] != "" {
		k.given = f.Given[0]
		k.givenSound, k.initial = spelling.Sound(k.given), k.given[:1]
	}
	if len(f.Family) > 0 {
		k.family = strings.Join(f.Family, "")
		k.famSound = spelling.Sound(k.family)
	}
	if f.Birth.Year > 0 {
		k.year = strconv.Itoa(f.Birth.Year)
	}
	if f.Birth.Month > 0 && f.Birth.Day > 0 {
		k.day = strconv.Itoa(f.Birth.Month*100 + f.Birth.Day)
		if k.year != "" {
			d := digits(f.Birth)
			k.date = string(d[:])
		}
	}
}

func (k *keyring) contacts() {
	for i := range k.f.Identifiers {
		id := &k.f.Identifiers[i]
		switch rank(id.Strength) {
		case rank(customer.S4):
			k.add(keyStrong, id.Type, id.Issuer+" ", id.Value)
		case rank(customer.S3), rank(customer.S2):
			k.add("identifier", id.Type, id.Issuer+" ", id.Value)
		}
	}
	for i := range k.f.Emails {
		e := &k.f.Emails[i]
		k.add("email", e.Local, e.Domain)
		if !e.Role {
			k.add("emailLocal", e.Local)
		}
		k.add("emailDomain", e.Domain)
	}
	for i := range k.f.Phones {
		p := k.f.Phones[i].Number
		k.add("phone", p[max(0, len(p)-phoneTail):])
	}
}

func (k *keyring) organisation() {
	words := strings.Fields(k.f.Name)
	if len(words) == 0 {
		return
	}
	k.add("organisation", k.f.Name)
	slices.Sort(words)
	k.add("organisationWords", strings.Join(words, ""))
}

// names adds the keys of names and birth date.
func (k *keyring) names() {
	f := k.f
	for _, w := range slices.Concat(f.Given, f.Family) {
		if len(w) > 1 {
			k.add("name", w) // one name space, so that names that were swapped meet
		}
	}
	if f.Unsplit {
		for _, w := range f.Middle {
			k.add("name", w)
		}
	}
	first, second := k.givenSound, k.famSound
	if first > second {
		first, second = second, first
	}
	k.add("names", first, second)
	k.add("names+year", first, second, k.year)
	k.add("given+year", k.given, k.year)
	k.add("family+year+initial", k.famSound, k.year, k.initial)
	if k.family != "" {
		k.add("day+initials", k.day, k.initial, k.family[:1])
	}
	k.add("nameStarts", prefix(k.given, 3), prefix(k.family, 4))
	k.add("nameStarts+year", prefix(k.given, 2), prefix(k.family, 2), k.year)
	k.add("birthDate", k.date)
	k.add("family+birthPlace", k.famSound, f.BirthPlace)
}

// place adds the keys of one address, with names and dates.
func (k *keyring) place(p *customer.Place) {
	name := k.f.Name // of an organisation
	if !k.f.Organisation {
		first, second := k.givenSound, k.famSound
		if first > second {
			first, second = second, first
		}
		k.add("names+postcode", first, second, p.Postcode)
		k.add("family+postcode", k.famSound, p.Postcode)
		k.add("year+postcode", k.year, p.Postcode)
		k.add("name+city", k.given, p.City)
		k.add("name+city", k.family, p.City)
	} else {
		k.add("organisation+postcode", prefix(name, 4), p.Postcode)
		k.add("organisation+city", prefix(name, 4), p.City)
	}
	k.add("number+street", p.Number, prefix(p.Street, 4))
	k.add("street+city", prefix(p.Street, 5), prefix(p.City, 4))
}

// prefix answers the first n bytes of a text, all of a shorter one.
func prefix(s string, n int) string { return s[:min(n, len(s))] }

// Completeness answers which share of the pairs that are truly one party the keys bring together: pairs that say the same, or have a
// key that proposes. What is not brought together is never compared. A key's holders are counted over all records, the pairs over
// those whose parties are known.
func Completeness[P comparable](m *Matcher, all, known []*customer.Features, parties []P) float64 {
	of := map[P][]int{}
	for i, p := range parties {
		of[p] = append(of[p], i)
	}
	asked := map[customer.Key]map[customer.NodeID]bool{} // keys that two of one party share: and who holds them, up to one more than the cap
	for _, group := range of {
		if len(group) < 2 {
			continue
		}
		var keys []customer.Key
		for _, i := range group {
			keys = append(keys, m.Keys(known[i])...)
		}
		slices.SortFunc(keys, compareKeys)
		for i := 1; i < len(keys); i++ {
			if keys[i] == keys[i-1] {
				asked[keys[i]] = nil
			}
		}
	}
	limit := func(k customer.Key) int { return cmp.Or(m.Cap(k.Type), customer.MaxHolders) }
	for _, f := range all {
		for _, k := range m.Keys(f) {
			nodes, ok := asked[k]
			if !ok || len(nodes) > limit(k) {
				continue
			}
			if nodes == nil {
				nodes = map[customer.NodeID]bool{}
				asked[k] = nodes
			}
			nodes[f.Node] = true
		}
	}
	speaks := func(k customer.Key) bool { return len(asked[k]) <= limit(k) }
	reached, pairs := int64(0), int64(0)
	for _, group := range of {
		own := make([][]customer.Key, len(group))
		for n, i := range group {
			own[n] = slices.DeleteFunc(m.Keys(known[i]), func(k customer.Key) bool { return !speaks(k) })
			for k, other := range own[:n] {
				pairs++
				if known[i].Node == known[group[k]].Node || meet(own[n], other) {
					reached++
				}
			}
		}
	}
	return share(reached, pairs)
}

func compareKeys(a, b customer.Key) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Hash, b.Hash))
}

// meet tells whether two sorted lists of keys share one.
func meet(a, b []customer.Key) bool {
	for len(a) > 0 && len(b) > 0 {
		switch c := compareKeys(a[0], b[0]); {
		case c == 0:
			return true
		case c < 0:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}
