package simulation

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// system is one of the systems that see the town.
type system uint8

const (
	shop system = iota
	pos
	bank
	systems
)

func (s system) source() string { return [...]string{Shop, Pos, Bank}[s] }

// profile is what a system holds about somebody at one time: what they told it, with the errors of the telling.
type profile struct {
	given, middle, family, company string
	email                          string
	verified                       bool
	phone                          phone
	dialled                        string // the telephone number as it was typed; empty for none
	born                           string // 1980-02-03, 0000-02-03 without the year; empty
	home                           address
	line1, line2, zip, city        string // line1 empty: no address
}

// know answers what a record says now. Each part of it has dice of its own, so that a correction of one leaves the others.
func (t *Town) know(u *unit, p *person, r *record) profile {
	var out profile
	slot := uint64(r.slot)
	if r.system() == pos && r.account() == 2 { // a merged profile goes on with what the first one said
		slot -= 2
	}
	t.names(u, p, r, &out, throw(t.config.Seed, forProfile, slot<<2))
	t.contacts(u, p, r, &out, throw(t.config.Seed, forProfile, slot<<2|1))
	t.addresses(u, p, r, &out, throw(t.config.Seed, forProfile, slot<<2|2))
	if !p.firm && r.system() != shop {
		out.born = t.birthday(p, r, throw(t.config.Seed, forProfile, slot<<2|3))
	}
	return out
}

// by answers the rate of a system.
func (r *record) by(shop, pos, bank float64) float64 {
	return [systems]float64{shop, pos, bank}[r.system()]
}

// typos is how often a value of a record is mistyped: a clerk of the bank reads a paper, a till's clerk is in a hurry.
func (t *Town) typos(r *record) float64 { return t.config.Typos * r.by(1, 1.5, 0.5) }

func (t *Town) names(u *unit, p *person, r *record, out *profile, d dice) {
	clean, fixed := t.config.Clean, r.flags&corrected != 0
	if p.firm {
		out.company = p.given + " " + p.family
		if !clean && d.chance(r.by(0.3, 0.4, 0.05)) { // people leave the form out
			out.company = p.given
		}
		out.company = t.slip(&d, out.company, r.system() == bank, t.typos(r), fixed)
		return
	}
	out.given, out.family = p.given, p.name(r.flags&renamed != 0)
	nick, initial, alone := d.chance(r.by(0.08, 0.10, 0.01)), d.chance(r.by(0.005, 0.02, 0.01)), d.chance(r.by(0, 0.03, 0))
	short, suffix := d.chance(r.by(0.4, 0.5, 0.05)), d.chance(0.5)
	if nicks := t.tables.nicknames[p.given]; nick && len(nicks) > 0 && !clean {
		out.given = pick(&d, nicks)
	} else if initial && !clean {
		out.given = string([]rune(p.given)[:1]) + "."
	}
	if d.chance(r.by(0.05, 0.02, 0.4)) {
		out.middle = p.middle
	}
	if u.country == es && short {
		out.family = firstWord(out.family)
	}
	if suffix && p.suffix != "" {
		out.family += " " + p.suffix
	}
	if alone && !clean {
		out.family = ""
	}
	if d.chance(r.by(0.15, 0.2, 0.3)) && !clean {
		out.given, out.middle, out.family = plain(out.given), plain(out.middle), spaced(out.family, plain)
	}
	out.given = t.slip(&d, out.given, r.system() == bank, t.typos(r), fixed)
	out.family = t.slip(&d, out.family, r.system() == bank, t.typos(r), fixed)
	switch n := d.below(1000); {
	case clean || r.system() == bank: // the bank's capitals are the statement's business
	case n < 40:
		out.given, out.family = strings.ToLower(out.given), strings.ToLower(out.family)
	case n < 60:
		out.given, out.family = strings.ToUpper(out.given), strings.ToUpper(out.family)
	case n < 67 && !fixed && out.family != "": // into each other's field
		out.given, out.family = out.family, out.given
	}
}

// contacts decides which address and number somebody gave. In the shop neither may be another customer's, so that what a household
// shares is its first member's there.
func (t *Town) contacts(u *unit, p *person, r *record, out *profile, d dice) {
	missing, filled := t.config.Missing, r.flags&filledIn != 0
	box, line := private, mobile
	if r.account() == 1 && r.system() == shop || r.system() != shop && d.chance(0.12) {
		box = second
	}
	if d.chance(0.4) && u.mailbox && p.grownUp && (p.elder && r.account() != 1 || r.system() != shop) {
		box = shared
	}
	if p.firm {
		line = landline
	} else if d.chance(0.15) && u.landline && (p.elder || r.system() != shop) {
		line = landline
	} else if d.chance(0.03) {
		line = formerly
	}
	owner := p
	if box == shared {
		owner = &u.members[0]
	}
	if !d.chance(missing*r.by(0.15, 3, 3)) || filled {
		out.email = t.mailbox(u, owner, box)
	}
	out.verified = r.system() == shop && d.chance(0.6)
	if wrong := t.slipMail(&d, out.email, t.typos(r)); !out.verified && r.flags&corrected == 0 {
		out.email = wrong
	}
	if d.chance(0.04) && !t.config.Clean {
		out.email = strings.ToUpper(out.email[:min(1, len(out.email))]) + out.email[min(1, len(out.email)):]
	}
	out.phone = t.phone(u, p, line)
	style := d.below(4)
	if r.system() == shop || d.chance(0.6) {
		style = 0
	}
	if no := d.chance(missing * r.by(2, 1.7, 1.5)); (!no || filled) && !(r.system() == shop && r.account() == 1) {
		out.dialled = out.phone.typed(style)
	}
	if r.system() == pos && !t.config.Clean {
		switch d.below(200) { // what a till's form wants filled in
		case 0:
			out.dialled = "0000000000"
		case 1:
			out.email = "noemail@noemail.com"
		}
	}
}

func (t *Town) addresses(u *unit, p *person, r *record, out *profile, d dice) {
	clean, fixed := t.config.Clean, r.flags&corrected != 0
	out.home = t.home(u, p, r.place)
	if d.chance(t.config.Missing*r.by(0.7, 3, 0.2)) && r.flags&filledIn == 0 {
		return
	}
	a := &out.home
	if !clean && d.chance(0.25) {
		a.street = abbreviate(a.street)
	}
	a.street = t.slip(&d, a.street, r.system() == bank, t.typos(r), fixed)
	out.line1, out.line2, out.zip, out.city = a.line(), a.flat, a.zip, a.place.name
	if a.flat != "" && d.chance(0.5) && !clean {
		out.line2 = ""
		if d.chance(0.7) {
			out.line1 += ", " + a.flat
		}
	}
	if !clean && d.chance(r.by(0.1, 0.1, 0.2)) {
		out.city = spaced(out.city, plain)
	}
	out.city = t.slip(&d, out.city, r.system() == bank, t.typos(r)/2, fixed)
	out.zip = t.slipDigit(&d, out.zip, t.typos(r)/2, fixed)
}

func (t *Town) birthday(p *person, r *record, d dice) string {
	if d.chance(min(t.config.Missing*r.by(0, 4.3, 0.3), 1)) {
		return ""
	}
	b := p.born
	rate := t.typos(r)
	swapped, slipped, noYear := d.chance(rate/2), d.chance(rate/2), r.system() == pos && d.chance(0.08)
	if swapped && b.day <= 12 {
		b.day, b.month = b.month, b.day
	}
	if slipped {
		b.day = 1 + (b.day+d.below(20))%28
	}
	if noYear && !t.config.Clean {
		b.year = 0
	}
	return b.String()
}

// slip answers a text as it comes in: at a rate with one error. A paper is misread, what is said misheard, what is typed mistyped.
func (t *Town) slip(d *dice, text string, paper bool, rate float64, fixed bool) string {
	hit := d.chance(rate)
	own := dice{}
	own.pcg.Seed(d.next(), d.next()) // so that what is drawn for the error moves nothing else
	if !hit || fixed || utf8.RuneCountInString(text) < 3 {
		return text
	}
	d = &own
	switch n := d.below(100); {
	case paper && n < 50:
		return rewritten(d, text, t.tables.ocr)
	case n < 25:
		return rewritten(d, text, t.tables.sounds)
	}
	return mistyped(d, text)
}

// mistyped changes one letter: a neighbour on the keyboard, one left out, doubled, or two swapped.
func mistyped(d *dice, text string) string {
	r := []rune(text)
	i := d.between(1, len(r)-2)
	switch d.below(10) {
	case 0, 1, 2:
		if keys := neighbours(unicode.ToLower(r[i])); keys != "" {
			r[i] = rune(keys[d.below(len(keys))])
			return string(r)
		}
		fallthrough
	case 3, 4, 5:
		return string(slices.Delete(r, i, i+1))
	case 6, 7:
		return string(slices.Insert(r, i, r[i]))
	}
	r[i], r[i+1] = r[i+1], r[i]
	return string(r)
}

// neighbours answers the keys beside a key of an English keyboard.
func neighbours(r rune) string {
	rows := []string{"qwertyuiop", "asdfghjkl", "zxcvbnm"}
	for y, row := range rows {
		x := strings.IndexRune(row, r)
		if x < 0 {
			continue
		}
		var b strings.Builder
		for _, n := range [][2]int{{y, x - 1}, {y, x + 1}, {y - 1, x}, {y - 1, x + 1}, {y + 1, x - 1}, {y + 1, x}} {
			if n[0] >= 0 && n[0] < len(rows) && n[1] >= 0 && n[1] < len(rows[n[0]]) {
				b.WriteByte(rows[n[0]][n[1]])
			}
		}
		return b.String()
	}
	return ""
}

// rewritten applies one of the rewrites that fit, or mistypes where none does.
func rewritten(d *dice, text string, table []rewrite) string {
	start := d.below(len(table))
	for i := range table {
		w := table[(start+i)%len(table)]
		at := strings.Index(text, w.from)
		switch w.where {
		case "start":
			if at != 0 {
				continue
			}
		case "end":
			if at = len(text) - len(w.from); at < 1 || !strings.HasSuffix(text, w.from) {
				continue
			}
		default:
			if at < 1 {
				continue
			}
		}
		return text[:at] + w.to + text[at+len(w.from):]
	}
	return mistyped(d, text)
}

// slipMail mistypes an address before the digits that tell it from others, or in its domain.
func (t *Town) slipMail(d *dice, mail string, rate float64) string {
	hit, n := d.chance(rate), d.below(1000)
	local, host, ok := strings.Cut(mail, "@")
	word := strings.TrimRight(local, "0123456789")
	if !hit || !ok || len(word) < 4 {
		return mail
	}
	if n < 300 {
		return local + "@" + strings.Replace(host, "ai", "ia", 1)
	}
	i := 1 + n%(len(word)-2)
	return word[:i] + word[i+1:] + local[len(word):] + "@" + host
}

// slipDigit changes one digit of a code.
func (t *Town) slipDigit(d *dice, code string, rate float64, fixed bool) string {
	hit, i, n := d.chance(rate), d.below(len(code)), d.below(9)
	if !hit || fixed {
		return code
	}
	return code[:i] + string(rune('0'+(int(code[i]-'0')+1+n)%10)) + code[i+1:]
}

// abbreviate shortens a street as people do.
func abbreviate(street string) string {
	for _, w := range [][2]string{
		{" Street", " St"},
		{" Avenue", " Ave"},
		{" Road", " Rd"},
		{" Drive", " Dr"},
		{" Boulevard", " Blvd"},
		{" Lane", " Ln"},
		{" Court", " Ct"},
		{"straße", "str."},
		{"strasse", "str."},
		{"Calle ", "C/ "},
		{"Avenida ", "Avda. "},
		{"Paseo ", "Pº "},
		{"Via ", "V. "},
		{"Corso ", "C.so "},
		{"avenue ", "av. "},
		{"boulevard ", "bd "},
		{"rue ", "r. "},
		{"place ", "pl. "},
	} {
		if strings.Contains(street, w[0]) {
			return strings.Replace(street, w[0], w[1], 1)
		}
	}
	return street
}

// spaced applies a function to the words of a name.
func spaced(name string, fn func(string) string) string {
	words := strings.Fields(name)
	for i := range words {
		words[i] = fn(words[i])
	}
	return strings.Join(words, " ")
}

// plain writes a name in the letters of every keyboard; German umlauts as two.
func plain(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r < utf8.RuneSelf:
			if unicode.IsLetter(r) || r == '-' || r == '.' {
				b.WriteRune(r)
			}
		case r == 'ä' || r == 'ö' || r == 'ü':
			b.WriteString(map[rune]string{'ä': "ae", 'ö': "oe", 'ü': "ue"}[r])
		case r == 'Ä' || r == 'Ö' || r == 'Ü':
			b.WriteString(map[rune]string{'Ä': "Ae", 'Ö': "Oe", 'Ü': "Ue"}[r])
		case r == 'ß':
			b.WriteString("ss")
		default:
			if i := strings.IndexRune(accented, r); i >= 0 {
				b.WriteByte(bare[utf8.RuneCountInString(accented[:i])])
			}
		}
	}
	return b.String()
}

// Letter for letter.
const (
	accented = "áàâãåéèêëęíìîïıóòôõőúùûůñńçćčşšžłýÁÀÂÃÅÉÈÊËÍÌÎÏÓÒÔÕÚÙÛÑÇĆČŞŠŽŁÝ"
	bare     = "aaaaaeeeeeiiiiiooooouuuunncccsszlyAAAAAEEEEIIIIOOOOUUUNCCCSSZLY"
)
