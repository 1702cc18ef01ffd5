package simulation

import (
	"fmt"
	"math/bits"
	"strings"
)

// Sizes and never.
const (
	maxMembers = 8
	never      = ^uint32(0)
	firmShare  = 0.02
)

// unit is who lives or works under one roof: a household, or a firm.
type unit struct {
	n        uint32 // of the unit
	first    uint32 // number of its first member; the others follow
	size     int
	country  country
	city     int
	firm     bool
	moves    uint32 // second of the story at which all of it moves; never
	landline bool   // one telephone for all
	mailbox  bool   // one e-mail address for the grown-ups
	members  [maxMembers]person
}

// person is one who lives in the town, or a firm of it.
type person struct {
	n       uint32
	firm    bool
	female  bool
	given   string // of a firm: its name without the form
	middle  string
	family  string // of a firm: the form, GmbH
	maiden  string // the family name before a marriage; empty if there was no other
	suffix  string // Jr.
	trade   string
	born    date
	weds    uint32 // second from which family is the name: 0 before the story; never matters without a maiden name
	leaves  uint32 // second at which they move out, alone; never
	elder   bool   // first grown-up of the unit: has its telephone and mailbox first
	grownUp bool   // sixteen or older
}

// date is a day of birth.
type date struct{ year, month, day int }

func (d date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day) }

func (p *person) id() string {
	if p.firm {
		return fmt.Sprintf("firm-%07d", p.n)
	}
	return fmt.Sprintf("person-%07d", p.n)
}

// name is the family name that holds at a time, for one who knows of a marriage or does not.
func (p *person) name(knows bool) string {
	if p.maiden != "" && !knows {
		return p.maiden
	}
	return p.family
}

// live makes a unit: the same one whenever it is asked for.
func (t *Town) live(u *unit, n, first uint32) {
	d := throw(t.config.Seed, forUnit, uint64(n))
	*u = unit{n: n, first: first, country: t.tables.country(&d), moves: never}
	g := &t.tables.countries[u.country]
	u.city = g.cities.index(&d)
	u.landline, u.mailbox = d.chance(0.45), d.chance(0.10)
	if d.chance(0.08) {
		u.moves = t.some(&d)
	}
	if d.chance(firmShare) {
		t.found(u, g, &d)
		return
	}
	switch share := d.below(100); { // of the census sample: docs/simulation.md
	case share < 34:
		t.adult(u, g, &d, t.age(&d), d.chance(0.51))
	case share < 53:
		t.couple(u, g, &d, t.age(&d))
	case share < 71:
		t.couple(u, g, &d, d.between(25, 60))
		t.children(u, g, &d)
	case share < 85:
		t.adult(u, g, &d, d.between(22, 60), d.chance(0.8))
		t.children(u, g, &d)
	case share < 93:
		for range d.between(2, 4) {
			p := t.adult(u, g, &d, d.between(19, 40), d.chance(0.5))
			if d.chance(0.15) {
				p.leaves = t.some(&d)
			}
		}
	default:
		t.couple(u, g, &d, d.between(30, 55))
		t.children(u, g, &d)
		t.grandparent(u, g, &d)
	}
	u.members[0].elder = true
}

// some draws a second of the story.
func (t *Town) some(d *dice) uint32 {
	hi, _ := bits.Mul64(d.next(), t.seconds)
	return uint32(hi)
}

// age draws how old the first of a household is, by tens of years as in the census sample.
func (t *Town) age(d *dice) int {
	tens, n := 2, d.below(1000)
	for _, share := range []int{100, 163, 178, 205, 167, 124, 55} {
		if n -= share; n < 0 {
			break
		}
		tens++
	}
	return tens*10 + d.below(10)
}

// join puts somebody into a unit.
func (u *unit) join(p person) *person {
	if u.size == maxMembers {
		return &u.members[maxMembers-1]
	}
	p.n = u.first + uint32(u.size)
	u.members[u.size] = p
	u.size++
	return &u.members[u.size-1]
}

// adult makes one with a family name of their own.
func (t *Town) adult(u *unit, g *gazette, d *dice, age int, female bool) *person {
	p := t.someone(g, d, age, female)
	p.family = familyName(g, d, u.country)
	return u.join(p)
}

func (t *Town) someone(g *gazette, d *dice, age int, female bool) person {
	given := &g.given[0]
	if female {
		given = &g.given[1]
	}
	p := person{female: female, given: given.draw(d), weds: 0, leaves: never, grownUp: age >= 16}
	if d.chance(0.35) {
		if p.middle = given.draw(d); p.middle == p.given {
			p.middle = ""
		}
	}
	p.born = date{year: t.config.Start.Year() - age, month: d.between(1, 12)}
	days := 31
	switch p.born.month {
	case 2:
		days = 28
	case 4, 6, 9, 11:
		days = 30
	}
	p.born.day = d.between(1, days)
	return p
}

// familyName draws one of the table, put together, double, or, in Spain, of both parents.
func familyName(g *gazette, d *dice, cc country) string {
	one := func() string {
		if d.chance(g.common) {
			return g.family.draw(d)
		}
		name := pick(d, g.parts[1]) + pick(d, g.parts[2])
		if d.chance(0.6) {
			name = pick(d, g.parts[0]) + strings.ToLower(name)
		}
		return name
	}
	name := one()
	switch {
	case cc == es:
		name += " " + one()
	case cc == us && d.chance(0.03), cc == ch && d.chance(0.04):
		name += "-" + one()
	}
	return name
}

// couple makes two, who share a name as often as the country has it; some marry in the story, some not long before.
func (t *Town) couple(u *unit, g *gazette, d *dice, age int) {
	woman := d.chance(0.35)
	first := t.adult(u, g, d, age, woman)
	other := !woman
	if d.chance(0.015) {
		other = woman
	}
	gap := d.below(7)
	if d.chance(0.2) {
		gap += d.below(8)
	}
	if d.chance(0.5) {
		gap = -gap
	}
	second := t.adult(u, g, d, max(18, age+gap), other)
	if !d.chance(g.sharesName) {
		return
	}
	change, keep := second, first
	if first.female && !second.female {
		change, keep = first, second
	}
	maiden := change.family
	change.family = keep.family
	switch {
	case d.chance(0.03):
		change.maiden, change.weds = maiden, t.some(d)
	case d.chance(0.25):
		change.maiden = maiden
	}
}

// children makes one to four of the unit's grown-ups, twins among them, and sons of their father's name.
func (t *Town) children(u *unit, g *gazette, d *dice) {
	father, mother := &u.members[0], &u.members[0]
	if u.size > 1 {
		mother = &u.members[1]
		if father.female && !mother.female {
			father, mother = mother, father
		}
	}
	n, left := 1, d.below(100)
	for _, share := range []int{47, 34, 14} {
		if left -= share; left < 0 {
			break
		}
		n++
	}
	age := t.config.Start.Year() - mother.born.year - d.between(20, 34)
	for ; n > 0 && age >= 0; n-- {
		if age > 30 {
			age = d.between(18, 30)
		}
		child := t.child(u, g, d, age, father, mother)
		if d.chance(0.03) { // twins
			born := child.born
			t.child(u, g, d, age, father, mother).born = born
		}
		age -= d.between(1, 4)
	}
}

func (t *Town) child(u *unit, g *gazette, d *dice, age int, father, mother *person) *person {
	p := t.someone(g, d, age, d.chance(0.49))
	given := &g.given[0]
	if p.female {
		given = &g.given[1]
	}
	for range 4 { // no two children of one name
		taken := false
		for i := range u.members[:u.size] {
			taken = taken || u.members[i].given == p.given
		}
		if !taken {
			break
		}
		p.given = given.draw(d)
	}
	p.family = father.family
	if u.country == es && father != mother {
		p.family = firstWord(father.family) + " " + firstWord(mother.family)
	}
	junior := 0.015
	if u.country == us {
		junior = 0.03
	}
	if !p.female && !father.female && d.chance(junior) {
		p.given = father.given
		if u.country == us {
			if p.suffix = "Jr."; d.chance(0.4) {
				father.suffix = "Sr."
			}
		}
	}
	if age >= 18 && d.chance(0.1) {
		p.leaves = t.some(d)
	}
	return u.join(p)
}

func (t *Town) grandparent(u *unit, g *gazette, d *dice) {
	age := t.config.Start.Year() - u.members[0].born.year + d.between(20, 34)
	p := t.someone(g, d, min(age, 97), d.chance(0.65))
	p.family = u.members[0].family
	u.join(p)
}

// found makes a firm: a name, a trade, a form, an address of office.
func (t *Town) found(u *unit, g *gazette, d *dice) {
	u.firm, u.landline, u.mailbox = true, true, false
	p := person{firm: true, elder: true, grownUp: true, leaves: never}
	p.trade = pick(d, g.trades)
	name := g.family.draw(d)
	switch d.below(3) {
	case 0:
		name += " & " + g.family.draw(d)
	case 1:
		name += " " + g.places[u.city].name
	}
	p.given = p.trade + " " + name
	if u.country == us {
		p.given = name + " " + p.trade
	}
	p.family = pick(d, g.forms)
	u.join(p)
}

func firstWord(s string) string {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i]
		}
	}
	return s
}
