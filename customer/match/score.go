package match

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/onefold/onefold/customer"
)

// The comparisons, in the order of an edge's levels.
const (
	cGiven = iota
	cFamily
	cMiddle
	cBirth
	cEmail
	cPhone
	cPlace
	cIdentifier
	cGender
	cBirthPlace
	cJob
	comparisons
)

// evidence is what a pair says: one level and weight a comparison, and what was taken off because it counts once.
type evidence struct {
	levels    [comparisons]uint8
	weights   [comparisons]customer.Weight
	suffix    bool // junior against senior
	cross     bool // given and family name fit crosswise
	kind      bool // a person and an organisation
	household customer.Weight
	alone     customer.Weight
	weight    customer.Weight
	most      customer.Weight // what the pair could have said
	threshold customer.Weight
	against   bool
	rule      customer.Rule
	why       string // of the rule
	own       bool   // an equal e-mail is the person's own
}

// ordered puts two records in an order that depends on what they say: a comparison is symmetric by construction.
func ordered(a, b *customer.Features) (x, y *customer.Features) {
	if cmp.Or(bytes.Compare(a.Node[:], b.Node[:]), compareRecords(a.Record, b.Record)) > 0 {
		return b, a
	}
	return a, b
}

func compareRecords(a, b customer.RecordID) int { return bytes.Compare(a[:], b[:]) }

// Score compares two records. The answer is the same whichever comes first. Keep tells whether the edge is worth storing: it
// joins, or nearly, or a rule binds the pair.
func (m *Matcher) Score(a, b *customer.Features) (customer.Edge, bool) {
	e := m.compare(a, b)
	return customer.Edge{
		NodePair: customer.NewNodePair(a.Node, b.Node), Weight: e.weight, Threshold: e.threshold,
		Levels: append([]uint8(nil), e.levels[:]...), Rule: e.rule, Against: e.against,
	}, e.kept(m)
}

func (e *evidence) kept(m *Matcher) bool {
	return e.rule != customer.NoRule || e.weight >= e.threshold-m.model.Weights.Threshold.Possible
}

// compare gathers what two records say about being one party.
func (m *Matcher) compare(a, b *customer.Features) *evidence {
	a, b = ordered(a, b)
	e := &evidence{}
	p := &m.model.Weights
	m.compareNames(e, a, b)
	m.compareBirth(e, a, b)
	m.compareContacts(e, a, b)
	if a.Gender != "" && b.Gender != "" {
		e.say(cGender, 1, p.Gender.Differ, p.Gender.Agree)
		if a.Gender == b.Gender {
			e.say(cGender, 2, p.Gender.Agree, 0)
		} else if a.Gender == "x" || b.Gender == "x" {
			e.say(cGender, 0, 0, 0)
		}
	}
	m.compareTrait(e, cBirthPlace, a.BirthPlace, b.BirthPlace, m.birthPlace)
	m.compareTrait(e, cJob, a.Job, b.Job, m.job)
	for _, w := range e.weights {
		e.weight += w
	}
	e.threshold = m.threshold(e.most)
	if !a.Organisation && !b.Organisation {
		m.household(e, a, b)
	}
	m.lonely(e)
	m.bind(e, a, b)
	return e
}

// say records what one comparison says; most is added to what the pair could have said.
func (e *evidence) say(c int, level uint8, weight, most customer.Weight) {
	e.levels[c], e.weights[c] = level, weight
	e.most += most
}

func (m *Matcher) compareNames(e *evidence, a, b *customer.Features) {
	p := &m.model.Weights
	switch {
	case a.Organisation && b.Organisation:
		if a.Name != "" && b.Name != "" {
			l := m.organisations(a.Name, b.Name)
			e.say(cFamily, l.level, l.weight, l.most)
		}
	case a.Organisation != b.Organisation:
		if a.Organisation && words(b) > 0 || b.Organisation && words(a) > 0 {
			e.kind = true
			e.say(cFamily, nameDiffers, p.Kind, p.Family.Most)
		}
	default:
		n := m.persons(a, b)
		e.say(cGiven, n.given.level, n.given.weight, n.given.most)
		e.say(cFamily, n.family.level, n.family.weight, n.family.most)
		rest := n.weight - n.given.weight - n.family.weight
		most := customer.Weight(0)
		if n.middle > 0 {
			most = p.Middle.Agree
		}
		e.say(cMiddle, n.middle, rest, most)
		e.suffix, e.cross = n.suffix, n.cross
	}
}

// organisations compares names without their legal form; an unknown name weighs like a family name that is unknown.
func (m *Matcher) organisations(a, b string) likeness {
	l := likeness{level: m.spelling(a, b, false), most: m.family.unseen}
	p := &m.model.Weights.Family
	switch l.level {
	case nameDiffers, nameFaint, nameInitial, nameSound:
		l.level, l.weight = nameDiffers, 2*p.Differ
	default:
		l.weight = max(l.most-p.Less[l.level], p.Differ/3)
	}
	return l
}

func (m *Matcher) compareBirth(e *evidence, a, b *customer.Features) {
	if level := birth(a.Birth, b.Birth); level != birthMissing {
		p := &m.model.Weights
		most := p.Birth[birthEqual]
		if level == birthYearOnly {
			most = p.Birth[level]
		}
		e.say(cBirth, level, p.Birth[level], most)
	}
}

func (m *Matcher) compareTrait(e *evidence, c int, a, b string, f *frequencies) {
	if a == "" || b == "" {
		return
	}
	w, most := m.trait(a, b, f)
	level := uint8(1)
	if w > 0 {
		level = 2
	}
	e.say(c, level, w, most)
}

func (m *Matcher) compareContacts(e *evidence, a, b *customer.Features) {
	p := &m.model.Weights
	if level, of := mails(a.Emails, b.Emails); level != emailMissing {
		w := p.Email.Levels[level]
		if level >= emailLocal {
			w, e.own = m.untold(e, w, of.Local, a, b)
		}
		most := p.Email.Levels[emailEqual]
		if level == emailBox {
			most = w
		}
		e.say(cEmail, level, w, most)
	}
	if level := phones(a.Phones, b.Phones); level != phoneMissing {
		e.say(cPhone, level, p.Phone[level], p.Phone[phoneEqual])
	}
	level, w, most := m.places(a.Places, b.Places)
	e.say(cPlace, level, w, most)
	if level, _ := identifiers(a.Identifiers, b.Identifiers); level != idMissing {
		most := p.Identifier[idStrong]
		if level == idWeak {
			most = p.Identifier[idWeak]
		}
		e.say(cIdentifier, level, p.Identifier[level], most)
	}
}

// untold answers what an agreeing address adds to what the names have said already, and whether it is the person's own: the
// given names agree, or one is missing and the address spells the other.
func (m *Matcher) untold(e *evidence, w customer.Weight, local string, a, b *customer.Features) (customer.Weight, bool) {
	p := &m.model.Weights.Email
	given, family := a.Given, a.Family
	if len(given) == 0 {
		given = b.Given
	}
	if len(family) == 0 {
		family = b.Family
	}
	g, f := spells(local, given, family)
	if g && e.levels[cGiven] >= nameSound {
		w -= min(p.Told, max(e.weights[cGiven], 0)) / 2
	}
	if f && e.levels[cFamily] >= nameSound {
		w -= min(p.Told, max(e.weights[cFamily], 0)) / 2
	}
	missing := e.levels[cGiven] == nameMissing
	own := e.levels[cGiven] >= nameAlike || (missing || e.levels[cGiven] == nameInitial) && g || missing && oneOf(local, family)
	return max(w, p.Least), own
}

// threshold answers what a pair must reach that could have said so much: half of it, within bounds, and more where there are
// more records, because chance agreement grows with the pairs.
func (m *Matcher) threshold(most customer.Weight) customer.Weight {
	p := &m.model.Weights.Threshold
	return min(max(most/2, p.Least), p.Most) + m.size
}

// household takes off what people of one household share, until something personal speaks. A pair that exactly one personal
// trait speaks against is marked instead: it is a twin, or a wrong name.
func (m *Matcher) household(e *evidence, a, b *customer.Features) {
	if !m.model.Snapshot.Households.Live() || e.levels[cIdentifier] >= idSlip {
		return
	}
	given, date := e.levels[cGiven], e.levels[cBirth]
	givenAgrees := given >= nameClose
	givenAgainst := given == nameDiffers || given == nameFaint || given != nameMissing && !givenAgrees && e.weights[cGender] < 0
	// Siblings are a few years apart; who has one given name and is, has a slip in the date.
	dateAgrees, dateAgainst := date >= birthJanuary, date == birthDiffers || date == birthDecade && !givenAgrees
	p := &m.model.Weights.Household
	limit := p.Silent
	switch {
	case givenAgainst && dateAgainst:
		limit = p.Both
	case givenAgainst && ownEmails(a, b):
		limit = p.OwnEmails
	case e.suffix, givenAgrees && date == birthDiffers && e.levels[cEmail] < emailLocal: // parent and child of one name
		limit = p.Against
	case givenAgainst || dateAgainst:
		if (givenAgrees || dateAgrees) && e.levels[cFamily] >= nameAlike && m.elsewhere(e) {
			e.against = true
			return
		}
		limit = p.Against
	case givenAgrees || dateAgrees:
		return
	case given >= nameInitial && e.levels[cFamily] >= nameSlip && (e.levels[cPhone] == phoneEqual || e.levels[cEmail] == emailEqual):
		limit = p.Half
	}
	sum := max(e.weights[cFamily], 0) + max(e.weights[cPlace], 0) + max(e.weights[cPhone], 0)
	if !e.own {
		sum += max(e.weights[cEmail], 0)
	}
	if e.levels[cIdentifier] == idWeak {
		sum += e.weights[cIdentifier]
	}
	if sum > limit {
		e.household = limit - sum
		e.weight += e.household
	}
}

// elsewhere tells whether all that is shareable and known agrees, and something of it is known.
func (m *Matcher) elsewhere(e *evidence) bool {
	agrees := e.levels[cPlace] == placeSame || e.levels[cPhone] >= phoneSlip || e.levels[cEmail] >= emailLocal
	return agrees && e.levels[cPlace] != placeDiffers
}

// ownEmails tells whether each of two records has an address that spells its own given name and not the other's.
func ownEmails(a, b *customer.Features) bool {
	return spellsOnly(a, b) && spellsOnly(b, a)
}

func spellsOnly(a, b *customer.Features) bool {
	for i := range a.Emails {
		own, _ := spells(a.Emails[i].Local, a.Given, nil)
		other, _ := spells(a.Emails[i].Local, b.Given, nil)
		if own && !other {
			return true
		}
	}
	return false
}

// lonely keeps a pair below the threshold if all that speaks for it is one thing that may be shared: an e-mail, a telephone, a
// card (strength S2 needs agreement of something else). A name that nothing else supports must reach the highest threshold.
// Where place, telephone and e-mail are all told and all differ, and no birth date speaks, a name alone never joins.
func (m *Matcher) lonely(e *evidence) {
	p := &m.model.Weights.Threshold
	named, others := e.weights[cGiven] > 0 || e.weights[cFamily] > 0, 0
	for _, c := range []int{cBirth, cEmail, cPhone, cPlace, cIdentifier, cBirthPlace} {
		if e.weights[c] > 0 {
			others++
		}
	}
	shareable := e.weights[cEmail] > 0 || e.weights[cPhone] > 0 || e.levels[cIdentifier] == idWeak
	elsewhere := e.levels[cBirth] == birthMissing && e.levels[cPlace] == placeDiffers && e.levels[cPhone] == phoneDiffers &&
		e.levels[cEmail] == emailDiffers
	switch limit := e.threshold - p.Alone; {
	case named && others == 0 && elsewhere && e.weight > limit:
		e.alone = limit - e.weight
		e.weight = limit
	case named && others == 0:
		e.threshold = p.Most + m.size
	case !named && others == 1 && shareable && e.weight > limit:
		e.alone = limit - e.weight
		e.weight = limit
	}
}

// bind finds the rule that binds a pair, whatever its weight.
func (m *Matcher) bind(e *evidence, a, b *customer.Features) {
	if conflict(a.Identifiers, b.Identifiers, never) && !linked(a, b) {
		e.rule, e.why = customer.CannotLink, "two verified numbers of which a party has one"
		return
	}
	givenAgainst, dateAgainst := e.levels[cGiven] == nameDiffers, e.levels[cBirth] == birthDiffers || e.levels[cBirth] == birthDecade
	// A family may share an address or a number, so one trait against it is enough to disqualify.
	family := givenAgainst || e.levels[cGiven] == nameFaint || dateAgainst || e.suffix || e.kind
	strength, kind := shared(a.Identifiers, b.Identifiers)
	switch {
	case linked(a, b):
		e.rule, e.why = customer.MustLink, "joined by their source"
	case strength == customer.S4:
		e.rule, e.why = customer.MustLink, "share "+kind
	case strength == customer.S3 && !(givenAgainst && dateAgainst) && !e.kind:
		e.rule, e.why = customer.MustLink, "share "+kind
	case !family && verifiedMail(a.Emails, b.Emails):
		e.rule, e.why = customer.MustLink, "share a verified e-mail"
	case !family && verifiedPhone(a.Phones, b.Phones):
		e.rule, e.why = customer.MustLink, "share a verified telephone number"
	}
}

func never(_, _ *customer.Identifier) bool { return false }

// linked tells whether the source of two records has joined them.
func linked(a, b *customer.Features) bool { return links(a, b.Record) || links(b, a.Record) }

func links(f *customer.Features, to customer.RecordID) bool {
	for _, l := range f.Links {
		if l == to {
			return true
		}
	}
	return false
}

// verifiedMail tells whether two records share an address of a person that both their sources have verified (strength S3).
func verifiedMail(a, b []customer.Email) bool {
	for i := range a {
		for j := range b {
			x, y := &a[i], &b[j]
			if x.Verified && y.Verified && !x.Role && !x.Disposable && x.Local == y.Local && x.Domain == y.Domain {
				return true
			}
		}
	}
	return false
}

// verifiedPhone tells whether two records share a number that both their sources have verified (strength S3). A number without its
// country is another one elsewhere.
func verifiedPhone(a, b []customer.Phone) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Verified && y.Verified && x.Number == y.Number && strings.HasPrefix(x.Number, "+") {
				return true
			}
		}
	}
	return false
}
