package simulation

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// account is how one system knows one person: what was typed in, with the errors of the typing.
type account struct {
	source  string
	owner   *person
	n       int64  // Shopify's customer id
	id      string // Square's customer id, the bank's account number
	given   string
	family  string
	birth   string
	email   string
	phone   string
	home    *address
	street  string
	checked bool // the e-mail address was confirmed
	version int64
	created time.Time
	gone    bool // deleted or redacted
	merged  bool // lives on in another account
	loyalty string
}

// order is what a refund needs of an order.
type order struct {
	of    *account
	id    int64
	cents int64
}

func (a *account) key() string {
	switch {
	case a.source == Shop:
		return strconv.FormatInt(a.n, 10)
	case a.source == Pos:
		return a.id
	case unicode.IsLetter(rune(a.id[0])):
		return "iban:" + a.id
	default:
		return "account:" + a.id
	}
}

// open lets each person be known by one to three systems, and some of them twice by the shop; in any order.
func (s *story) open() {
	for _, p := range s.people {
		shop, pos, bank := s.chance(0.7), s.chance(0.55), s.chance(0.5)
		if !shop && !pos && !bank {
			shop = true
		}
		if shop {
			s.accounts = append(s.accounts, s.know(p, Shop))
			if s.chance(0.06) { // forgot the password and made another
				again := s.know(p, Shop)
				if s.chance(0.5) {
					again.email = s.again(p)
				}
				s.accounts = append(s.accounts, again)
			}
		}
		if pos {
			s.accounts = append(s.accounts, s.know(p, Pos))
		}
		if bank {
			s.accounts = append(s.accounts, s.know(p, Bank))
		}
	}
	s.rng.Shuffle(len(s.accounts), func(i, j int) { s.accounts[i], s.accounts[j] = s.accounts[j], s.accounts[i] })
}

func (s *story) again(p *person) string {
	if p.firm {
		return p.email
	}
	return s.mailbox(p)
}

// know makes the account of a person in a system.
func (s *story) know(p *person, source string) *account {
	a := &account{source: source, owner: p, given: p.given, family: p.family, home: p.home, email: p.email, phone: p.mobile, birth: p.birth}
	a.checked = s.chance(0.6)
	switch source {
	case Shop:
		a.n = 9_007_199_254_740_993 + 1_000_003*s.number() // above 2^53
		a.birth = ""                                       // a shop does not ask
	case Pos:
		a.id = s.word(26)
		a.birth = s.maybe(a.birth, 0.3)
	default:
		a.id = s.iban(p.country)
		a.email, a.checked = s.maybe(a.email, 0.3), false
		if s.chance(0.2) { // a clerk who writes the family name first, in capitals
			a.n = 1
		}
	}
	if p.firm {
		a.street = a.home.line()
		return a
	}
	s.vary(a)
	return a
}

// vary lets the account tell what its owner told that system: another of their names, addresses or numbers, or none, mistyped.
func (s *story) vary(a *account) {
	p := a.owner
	if nicks := s.names.nicknames[strings.ToLower(p.given)]; a.source != Bank && len(nicks) > 0 && s.chance(0.08) && !s.config.Clean {
		a.given = capital(nicks[s.rng.IntN(len(nicks))])
	}
	if p.maiden != "" && s.chance(0.15) {
		a.family = p.maiden
	}
	if words := strings.Fields(a.family); len(words) > 1 && a.source != Bank && p.country == "ES" && s.chance(0.5) {
		a.family = words[0]
	}
	if s.chance(0.2) {
		a.home = p.old
	}
	if p.familyMail != "" && s.chance(0.4) {
		a.email, a.checked = p.familyMail, false
	}
	if p.landline != "" && s.chance(0.2) {
		a.phone = p.landline
	}
	a.street = a.home.line()
	if a.source != Shop {
		a.email = s.maybe(a.email, s.config.Missing)
	}
	a.phone = s.maybe(a.phone, s.config.Missing)
	a.given, a.family, a.street = s.typed(a.given), s.typed(a.family), s.typed(a.street)
	if !a.checked {
		a.email = s.typed(a.email)
	}
	if s.chance(s.config.Typos) && a.birth != "" {
		a.birth = a.birth[:8] + strconv.Itoa(10+s.rng.IntN(19))
	}
}

func (s *story) maybe(v string, missing float64) string {
	if s.chance(missing) {
		return ""
	}
	return v
}

func capital(s string) string {
	r := []rune(s)
	r[0] = unicode.ToUpper(r[0])
	return string(r)
}

// neighbours are the keys beside a key, and the letters that a scanner takes for each other.
const neighbours = "aqsbvnchxvdserfgtyhikjluokmnpoqwrtsdtryuiyvcbwqexzszxaebecilmn"

// typed answers a text as it is typed in: seldom with one letter left out, doubled, swapped or missed.
func (s *story) typed(text string) string {
	r := []rune(text)
	if len(r) < 4 || !s.chance(s.config.Typos) {
		return text
	}
	i := 1 + s.rng.IntN(len(r)-2)
	switch s.rng.IntN(4) {
	case 0:
		return string(r[:i]) + string(r[i+1:])
	case 1:
		return string(r[:i]) + string(r[i]) + string(r[i:])
	case 2:
		r[i], r[i+1] = r[i+1], r[i]
	default:
		if unicode.IsLetter(r[i]) {
			r[i] = rune(neighbours[s.rng.IntN(len(neighbours))])
		}
	}
	return string(r)
}

// iban makes an account number of a country with its check digits (ISO 13616, ISO 7064 MOD 97-10); the United States have none.
func (s *story) iban(cc string) string {
	length := map[string]int{"ES": 20, "DE": 18, "CH": 17, "IT": 22}[cc]
	if length == 0 {
		return s.digits(12)
	}
	body := s.digits(length)
	if cc == "IT" {
		body = "X" + s.digits(length) // a check letter first
	}
	rem := 0
	for _, r := range body + cc + "00" {
		if r >= 'A' {
			rem = (rem*100 + int(r-'A') + 10) % 97
		} else {
			rem = (rem*10 + int(r-'0')) % 97
		}
	}
	check := strconv.Itoa(98 - rem)
	if len(check) < 2 {
		check = "0" + check
	}
	return cc + check + body
}
