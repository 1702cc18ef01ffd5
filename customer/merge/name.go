package merge

import (
	"cmp"
	"strings"

	"github.com/onefold/onefold/customer"
)

// Parts of a person's name, which move together: the given name of one record and the family name of another make a person
// that nobody has met.
const (
	givenName      = "givenName"
	familyName     = "familyName"
	additionalName = "additionalName"
)

func isName(name string) bool {
	return name == givenName || name == familyName || name == additionalName
}

// record names a record by what its source calls it.
type record struct{ source, key string }

func (c *claim) record() record { return record{c.Source, c.Key} }

// person is the whole name that one record states. It is verified if both parts are, and as recent as the older of them.
type person struct {
	given, family *claim
	rank          *claim
}

// names lets the parts of a name survive: from the best record that has both given and family name, or each for itself where
// none has both.
func names(byName map[string][]*claim) []customer.Attribute {
	whole := persons(byName)
	best, found := bestPerson(whole)
	var out []customer.Attribute
	for _, name := range []string{givenName, familyName, additionalName} {
		claims := byName[name]
		if len(claims) == 0 {
			continue
		}
		path := customer.Path{Name: name}
		if !found {
			out = append(out, attribute(path, claims, compareClaims, decided))
			continue
		}
		if name == additionalName {
			if claims = sameName(claims, whole, best); len(claims) == 0 {
				continue
			}
		}
		first := func(a, b *claim) int {
			return cmp.Or(falseFirst(a.record() != best.rank.record(), b.record() != best.rank.record()), compareClaims(a, b))
		}
		out = append(out, attribute(path, claims, first, func(ordered []*claim) string { return decidedName(ordered, whole) }))
	}
	return out
}

// persons answers the whole names, by record.
func persons(byName map[string][]*claim) map[record]person {
	given := map[record]*claim{}
	for _, c := range byName[givenName] {
		if g, twice := given[c.record()]; !twice || compareClaims(c, g) < 0 {
			given[c.record()] = c
		}
	}
	out := map[record]person{}
	for _, f := range byName[familyName] {
		g, ok := given[f.record()]
		if !ok {
			continue
		}
		rank := *f
		rank.Verified = g.Verified && f.Verified
		if g.At.Before(f.At) {
			rank.At = g.At
		}
		p := person{given: g, family: f, rank: &rank}
		if q, twice := out[f.record()]; !twice || comparePersons(p, q) < 0 {
			out[f.record()] = p
		}
	}
	return out
}

func bestPerson(whole map[record]person) (best person, found bool) {
	for _, p := range whole {
		if !found || comparePersons(p, best) < 0 {
			best, found = p, true
		}
	}
	return best, found
}

func comparePersons(a, b person) int {
	return cmp.Or(compareClaims(a.rank, b.rank), fixed(a.given, b.given))
}

// decidedName names the criterion by which the record of the first claim won against the best that states another value.
func decidedName(ordered []*claim, whole map[record]person) string {
	winner := whole[ordered[0].record()]
	for i := range ordered[1:] {
		other := ordered[i+1]
		if other.Value.Equal(ordered[0].Value) {
			continue
		}
		p, ok := whole[other.record()]
		if !ok {
			return RuleWhole
		}
		for _, c := range chain() {
			if c.compare(winner.rank, p.rank) != 0 {
				return c.rule
			}
		}
		return RuleTie
	}
	return RuleOnly
}

// sameName keeps the middle names of records whose given and family name are the surviving ones.
func sameName(claims []*claim, whole map[record]person, best person) []*claim {
	var out []*claim
	for _, c := range claims {
		if p, ok := whole[c.record()]; ok && sameText(p.given, best.given) && sameText(p.family, best.family) {
			out = append(out, c)
		}
	}
	return out
}

func sameText(a, b *claim) bool {
	return strings.EqualFold(strings.TrimSpace(a.Value.Text), strings.TrimSpace(b.Value.Text))
}
