package simulation

import (
	"fmt"
	"strconv"
	"strings"
)

// Where somebody lives, by time.
const (
	before uint8 = iota // until not long before the story; registers still hold it
	now                 // when the story begins
	moved               // since the household moved
	own                 // since they moved out
)

// address is where somebody lives.
type address struct {
	street  string
	number  string
	flat    string
	zip     string
	place   *place
	country country
}

// line writes street and number as the country does.
func (a *address) line() string {
	if a.country == us || a.country == fr {
		return a.number + " " + a.street
	}
	return a.street + " " + a.number
}

// where answers which home is somebody's at a second of the story.
func (u *unit) where(p *person, at uint32) uint8 {
	switch {
	case p.leaves <= at:
		return own
	case u.moves <= at:
		return moved
	}
	return now
}

// home answers one of somebody's homes; a household's are those of all its members.
func (t *Town) home(u *unit, p *person, which uint8) address {
	g := &t.tables.countries[u.country]
	d := throw(t.config.Seed, forHome, uint64(u.n)<<2|uint64(which))
	if which == own {
		d = throw(t.config.Seed, forOwnHome, uint64(p.n))
	}
	city := u.city
	if which != now && d.chance(0.4) { // into another city
		city = g.cities.index(&d)
	}
	a := address{street: pick(&d, g.streets), place: &g.places[city], country: u.country}
	length := 5
	if u.country == ch {
		length = 4
	}
	a.zip = a.place.zip
	for len(a.zip) < length {
		a.zip += string(rune('0' + d.below(10)))
	}
	n := d.between(1, 180)
	if u.country == us {
		n = d.between(100, 9899)
	}
	a.number = strconv.Itoa(n)
	switch {
	case u.firm:
	case u.country == us && d.chance(0.25):
		a.flat = "Apt " + strconv.Itoa(d.between(1, 24)) + string(rune('A'+d.below(4)))
	case u.country == es && d.chance(0.6):
		a.flat = strconv.Itoa(d.between(1, 7)) + "º " + string(rune('A'+d.below(4)))
	case u.country == it && d.chance(0.15):
		a.flat = "int. " + strconv.Itoa(d.between(1, 20))
	case u.country == de && d.chance(0.1):
		a.number += string(rune('a' + d.below(3)))
	}
	return a
}

// Telephones that may ring for somebody.
const (
	mobile = iota
	landline
	formerly // a mobile number given up before the story
	lines
)

// phone is a number in the parts that ways of writing differ in.
type phone struct {
	country    country
	area, rest string // national number without trunk prefix, but for Italy's landlines, whose 0 belongs to it
	mobile     bool
}

// phone answers a number that its country's plan allows and that nobody else has.
func (t *Town) phone(u *unit, p *person, line int) phone {
	g := &t.tables.countries[u.country]
	index := uint64(p.n)*lines + uint64(line)
	if line == landline {
		index = uint64(u.first)*lines + landline
	}
	if u.country == us {
		n := 2_000_000 + scatter(t.config.Seed, index, 8_000_000)
		return phone{country: us, area: g.places[u.city].area, rest: strconv.FormatUint(n, 10)}
	}
	out := phone{country: u.country, area: g.places[u.city].area, mobile: line != landline}
	out.rest = fmt.Sprintf("%07d", scatter(t.config.Seed, index, 10_000_000))
	spare := mix(index)
	switch u.country {
	case de:
		if out.mobile {
			out.area, out.rest = []string{"151", "160", "171", "175"}[spare%4], string(rune('2'+spare>>8%8))+out.rest
		} else {
			out.rest = "4" + out.rest[len(out.area)/4:]
		}
	case es:
		if out.mobile {
			out.area = "6" + string(rune('0'+spare%10))
		}
	case it:
		if out.mobile {
			out.area = []string{"320", "333", "338", "347", "348"}[spare%5]
		} else if len(out.area) == 2 {
			out.rest = "4" + out.rest
		}
	case ch:
		if out.mobile {
			out.area = []string{"76", "78", "79"}[spare%3]
		}
	case fr:
		if out.mobile {
			out.area = "6" + string(rune('1'+spare%8))
		} else {
			out.area += "4"
		}
	}
	return out
}

// full writes a number as ITU-T E.164 has it.
func (p phone) full() string { return nations()[p.country].dial + p.area + p.rest }

// typed writes a number as people do: style 0 to 3.
func (p phone) typed(style int) string {
	n := nations()[p.country]
	r := p.rest
	switch {
	case style == 1 && p.country == us:
		return "+1 " + p.area + " " + r[:3] + " " + r[3:]
	case style == 1:
		return n.dial + " " + p.area + " " + r
	case style == 2 && p.country == us:
		return "(" + p.area + ") " + r[:3] + "-" + r[3:]
	case style == 3 && p.country == us:
		return p.area + "-" + r[:3] + "-" + r[3:]
	case style == 3 && p.country != us:
		return "00" + n.dial[1:] + p.area + r
	case style == 2 && (p.country == es || p.country == it):
		return p.area + r
	case style == 2:
		return "0" + p.area + " " + r
	}
	return p.full()
}

// dashed writes a number as ISO 20022 wants it: +41-791234567.
func (p phone) dashed() string { return nations()[p.country].dial + "-" + p.area + p.rest }

// Mailboxes that somebody reads.
const (
	private = iota
	second
	shared // the household's
)

// mailbox answers an e-mail address that is nobody else's, but for the shared one: most spell their owner's name. Its digits are given
// away once each; all domains are of the reserved top level example (RFC 2606).
func (t *Town) mailbox(u *unit, p *person, which int) string {
	g := &t.tables.countries[u.country]
	number, length := uint64(10), 1
	for number < 2*uint64(t.config.People) {
		number, length = number*10, length+1
	}
	mark := fmt.Sprintf("%0*d", length, scatter(t.config.Seed, 2*uint64(p.n)+uint64(which&1), number))
	d := throw(t.config.Seed, forContact, uint64(p.n)<<2|uint64(which))
	if u.firm {
		host := strings.ToLower(plain(firstWord(p.given))) + mark + ".example"
		if which == second {
			return "accounts@" + host
		}
		return pick(&d, []string{"info", "office", "contact", "sales"}) + "@" + host
	}
	given, family := strings.ToLower(plain(p.given)), strings.ToLower(plain(firstWord(p.name(p.weds == 0))))
	if which == shared {
		family = strings.ToLower(plain(firstWord(p.family)))
		return pick(&d, []string{"family.", "the", "casa."}) + family + mark + "@" + pick(&d, hosts(g.code))
	}
	var local string
	switch d.below(8) {
	case 0, 1, 2:
		local = given + "." + family
	case 3:
		local = given + family
	case 4:
		local = given[:1] + "." + family
	case 5:
		local = family + "." + given
	case 6:
		local = given
	default:
		local = pick(&d, []string{"sunny", "nachtfalke", "lobo", "stella", "bluebird", "capitan", "moto", "gatita"})
	}
	return local + mark + "@" + pick(&d, hosts(g.code))
}

func hosts(code string) []string {
	own := map[string]string{"US": "skymail", "DE": "postkasten", "ES": "correo", "IT": "posta", "CH": "bergpost", "FR": "lettre"}[code]
	return []string{"mail.example", "inbox.example", "webpost.example", own + ".example", own + ".example"}
}

// account answers the number of somebody's account at the bank: an IBAN with its check digits (ISO 13616, ISO 7064 MOD 97-10), or where
// the country has none a number of twelve digits. Digits by which a country checks its numbers within the IBAN are not kept.
func (t *Town) account(u *unit, p *person, which int) (number string, iban bool) {
	n := fmt.Sprintf("%010d", scatter(t.config.Seed, 2*uint64(p.n)+uint64(which), 10_000_000_000))
	cc := t.tables.countries[u.country].iban
	switch cc {
	case "DE":
		return withCheck(cc, "50070099"+n), true
	case "ES":
		return withCheck(cc, "2099041845"+n), true
	case "IT":
		return withCheck(cc, "X054991110100"+n), true
	case "CH":
		return withCheck(cc, "0079900"+n), true
	case "FR":
		return withCheck(cc, "30099007940"+n+"76"), true
	}
	return "40" + n, false
}

func withCheck(cc, body string) string {
	rem := 0
	for _, r := range body + cc + "00" {
		if r >= 'A' {
			rem = (rem*100 + int(r-'A') + 10) % 97
		} else {
			rem = (rem*10 + int(r-'0')) % 97
		}
	}
	return cc + fmt.Sprintf("%02d", 98-rem) + body
}

// customerNumber is what the bank calls its customer, whatever accounts they hold.
func (t *Town) customerNumber(p *person) string {
	return fmt.Sprintf("K%08d", scatter(t.config.Seed^0x6b, uint64(p.n), 100_000_000))
}

// card is a payment card as a till sees it.
type card struct {
	fingerprint, brand, bin, last4 string
	month, year                    int
}

// card answers one of somebody's two cards.
func (t *Town) card(person uint32, which int) card {
	d := throw(t.config.Seed, forIDs, uint64(person)<<4|uint64(which)|8)
	c := card{fingerprint: "sq-1-" + d.word(letters, 64), brand: "VISA", bin: "4" + d.digits(5)}
	if d.chance(0.4) {
		c.brand, c.bin = "MASTERCARD", "5"+d.digits(5)
	}
	c.last4, c.month, c.year = fmt.Sprintf("%04d", d.below(10_000)), d.between(1, 12), t.config.Start.Year()+d.between(1, 4)
	return c
}
