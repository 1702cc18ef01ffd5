package simulation

import (
	"bytes"
	"embed"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed tables/*.csv
var files embed.FS

// tables are the names and places that the town is made of.
type tables struct {
	names     map[string]*weighted // country/kind
	nicknames map[string][]string
	cities    map[string][]city
	streets   map[string][]string
	surnames  map[string][2][]string // first and last parts of the many rare family names
}

type city struct{ name, region, postcode string }

// weighted draws names as often as they occur.
type weighted struct {
	names []string
	until []int
}

func (w *weighted) draw(rng *rand.Rand) string {
	n := rng.IntN(w.until[len(w.until)-1])
	i, found := slices.BinarySearch(w.until, n)
	if found {
		i++
	}
	return w.names[i]
}

func newTables() *tables {
	t := &tables{
		names: map[string]*weighted{}, nicknames: map[string][]string{}, cities: map[string][]city{},
		streets: map[string][]string{}, surnames: map[string][2][]string{},
	}
	each("names", func(r []string) {
		w := t.names[r[0]+"/"+r[1]]
		if w == nil {
			w = &weighted{}
			t.names[r[0]+"/"+r[1]] = w
		}
		n, _ := strconv.Atoi(r[3]) // a table of ours
		if len(w.until) > 0 {
			n += w.until[len(w.until)-1]
		}
		w.names, w.until = append(w.names, r[2]), append(w.until, n)
	})
	each("nicknames", func(r []string) { t.nicknames[r[0]] = append(t.nicknames[r[0]], r[1]) })
	each("cities", func(r []string) { t.cities[r[0]] = append(t.cities[r[0]], city{r[1], r[2], r[3]}) })
	each("surnames", func(r []string) {
		parts := t.surnames[r[0]]
		i := 0
		if r[1] == "last" {
			i = 1
		}
		parts[i] = append(parts[i], r[2])
		t.surnames[r[0]] = parts
	})
	each("streets", func(r []string) { t.streets[r[0]] = append(t.streets[r[0]], r[1]) })
	return t
}

// each calls fn for each row of a table behind its heading. The tables are part of the program: that they read is tested.
func each(table string, fn func([]string)) {
	b, _ := files.ReadFile("tables/" + table + ".csv")
	rows, _ := csv.NewReader(bytes.NewReader(b)).ReadAll()
	for _, r := range rows[1:] {
		fn(r)
	}
}

// person is one who lives in the town, or a small firm of it.
type person struct {
	n          int
	firm       bool
	woman      bool
	given      string
	middle     string
	family     string
	maiden     string // the family name before a marriage; empty if it is the same
	birth      string // 1980-02-03
	country    string
	home, old  *address // old: where they lived before; may be the same
	mobile     string   // E.164
	landline   string   // of the household; may be empty
	email      string
	familyMail string // an address that the household shares; may be empty
	card       string // fingerprint
}

type address struct{ street, number, city, region, postcode, country string }

func (p *person) id() string {
	if p.firm {
		return fmt.Sprintf("firm-%07d", p.n)
	}
	return fmt.Sprintf("person-%07d", p.n)
}

// populate makes households until there are people enough.
func (s *story) populate() {
	for len(s.people) < s.config.People {
		if s.chance(0.02) {
			s.people = append(s.people, s.firm())
			continue
		}
		s.people = append(s.people, s.household()...)
	}
	s.people = s.people[:s.config.People]
	for i, p := range s.people {
		p.n = i
	}
	s.rng.Shuffle(len(s.people), func(i, j int) { s.people[i], s.people[j] = s.people[j], s.people[i] })
}

// surname draws a family name: a common one of the table, or one of the many that few families have.
func (s *story) surname(cc string) string {
	of := cc
	if cc == "CH" {
		of = []string{"DE", "IT"}[s.rng.IntN(2)]
	}
	if parts, ok := s.names.surnames[of]; ok && s.chance(0.75) {
		return parts[0][s.rng.IntN(len(parts[0]))] + parts[1][s.rng.IntN(len(parts[1]))]
	}
	return s.names.names[cc+"/family"].draw(s.rng)
}

func (s *story) country() string {
	return []string{"US", "US", "US", "ES", "DE", "DE", "IT", "CH"}[s.rng.IntN(8)]
}

// household makes one: alone, a couple, or a family. Sizes follow the census sample: 28 % alone, 35 % two, the rest more.
func (s *story) household() []*person {
	cc := s.country()
	home, landline := s.address(cc), ""
	if s.chance(0.4) {
		landline = s.phone(cc, false)
	}
	family := s.surname(cc)
	moved := home
	if s.chance(0.15) {
		moved = s.address(cc)
	}
	join := func(p *person) *person {
		p.home, p.old, p.landline = home, moved, landline
		return p
	}
	year := 1940 + s.rng.IntN(62)
	first := join(s.adult(cc, family, year, s.chance(0.5)))
	if s.chance(0.28) {
		return []*person{first}
	}
	second := join(s.adult(cc, family, year-4+s.rng.IntN(9), !first.woman))
	if second.woman && s.chance(0.6) {
		second.maiden = s.surname(cc)
	}
	out := []*person{first, second}
	if s.chance(0.1) {
		mail := strings.ToLower(plain(family)) + s.digits(2) + "@" + s.domain()
		first.familyMail, second.familyMail = mail, mail
	}
	if s.chance(0.5) {
		return out
	}
	for n := 1 + s.rng.IntN(3); n > 0; n-- {
		child := join(s.adult(cc, family, min(2007, year+22+s.rng.IntN(14)), s.chance(0.5)))
		if !child.woman && !first.woman && s.chance(0.04) { // named after the father
			child.given = first.given
		}
		out = append(out, child)
		if s.chance(0.02) { // twins
			twin := join(s.adult(cc, family, 2000, s.chance(0.5)))
			twin.birth = child.birth
			out = append(out, twin)
		}
	}
	return out
}

func (s *story) adult(cc, family string, year int, woman bool) *person {
	kind := "/male"
	if woman {
		kind = "/female"
	}
	given := s.names.names[cc+kind]
	p := &person{woman: woman, given: given.draw(s.rng), family: family, country: cc, mobile: s.phone(cc, true), card: "sq-1-" + s.word(40)}
	if s.chance(0.3) {
		p.middle = given.draw(s.rng)
	}
	if cc == "ES" {
		p.family += " " + s.names.names["ES/family"].draw(s.rng)
	}
	p.birth = fmt.Sprintf("%04d-%02d-%02d", year, 1+s.rng.IntN(12), 1+s.rng.IntN(28))
	p.email = s.mailbox(p)
	return p
}

// mailbox makes an address as people choose them: most spell their name.
func (s *story) mailbox(p *person) string {
	g, f := strings.ToLower(plain(p.given)), strings.ToLower(plain(strings.Fields(p.family)[0]))
	local := []string{g + "." + f, g + f, string(g[0]) + f, f + "." + g, g + f + p.birth[2:4], g + s.digits(3), f + s.digits(2)}[s.rng.IntN(7)]
	if s.chance(0.5) {
		local += strconv.Itoa(s.rng.IntN(990))
	}
	return local + "@" + s.domain()
}

func (s *story) domain() string {
	return []string{"mail.example", "post.example", "web.example", "inbox.example", "fastmail.example", "uni.example"}[s.rng.IntN(6)]
}

// firm makes a small organisation, with a role address and no birth date.
func (s *story) firm() *person {
	cc := s.country()
	home := s.address(cc)
	name := s.surname(cc)
	form := map[string][]string{
		"US": {"LLC", "Inc."}, "ES": {"S.L.", "S.A."}, "DE": {"GmbH", "KG"}, "IT": {"S.r.l.", "S.p.A."}, "CH": {"AG", "GmbH"},
	}[cc][s.rng.IntN(2)]
	trade := []string{"Bakery", "Consulting", "Motors", "Design", "Trading", "Garden", "Books", "Optics"}[s.rng.IntN(8)]
	role := []string{"info", "office", "sales", "contact"}[s.rng.IntN(4)]
	return &person{
		firm: true, given: name + " " + trade, family: form, country: cc, home: home, old: home, mobile: s.phone(cc, false),
		email: role + "@" + strings.ToLower(plain(name)) + "-" + strings.ToLower(trade) + s.digits(2) + ".example", card: "sq-1-" + s.word(40),
	}
}

func (s *story) address(cc string) *address {
	c := s.names.cities[cc][s.rng.IntN(len(s.names.cities[cc]))]
	code := []byte(c.postcode)
	for i := range code {
		if code[i] == '#' {
			code[i] = byte('0' + s.rng.IntN(10))
		}
	}
	return &address{
		street: s.names.streets[cc][s.rng.IntN(len(s.names.streets[cc]))], number: strconv.Itoa(1 + s.rng.IntN(180)),
		city: c.name, region: c.region, postcode: string(code), country: cc,
	}
}

func (a *address) line() string {
	if a.country == "US" {
		return a.number + " " + a.street
	}
	return a.street + " " + a.number
}

// phone makes a number that its country's plan allows.
func (s *story) phone(cc string, mobile bool) string {
	switch {
	case cc == "US":
		return "+1" + []string{"212", "312", "713", "602", "206", "303", "512", "617"}[s.rng.IntN(8)] + strconv.Itoa(2+s.rng.IntN(8)) + s.tail(6)
	case cc == "ES" && mobile:
		return "+346" + s.tail(8)
	case cc == "ES":
		return "+3491" + s.digits(7)
	case cc == "DE" && mobile:
		return "+49151" + s.digits(8)
	case cc == "DE":
		return "+4930" + s.digits(8)
	case cc == "IT" && mobile:
		return "+39347" + s.digits(7)
	case cc == "IT":
		return "+3906" + s.digits(8)
	case mobile:
		return "+4179" + s.digits(7)
	default:
		return "+4144" + s.digits(7)
	}
}

func (s *story) tail(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + s.rng.IntN(10))
	}
	return string(b)
}

// plain writes a name in the letters of every keyboard.
func plain(name string) string {
	var b strings.Builder
	for _, r := range name {
		if i := strings.IndexRune(accented, r); i >= 0 {
			b.WriteByte(bare[utf8.RuneCountInString(accented[:i])])
		} else if r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Letter for letter.
const (
	accented = "áàâäãåéèêëíìîïóòôöõúùûüñçßÁÀÂÄÉÈÊËÍÌÎÓÒÔÖÚÙÛÜÑÇ"
	bare     = "aaaaaaeeeeiiiiooooouuuuncsAAAAEEEEIIIOOOOUUUUNC"
)
