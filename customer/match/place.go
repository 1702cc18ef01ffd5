package match

import (
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/spelling"
)

// Levels of two places.
const (
	placeMissing uint8 = iota
	placeDiffers
	placeFaint // some part agrees
	placeLike
	placeSame
)

// places compares every address of one with every one of the other, and answers what the best of them says, and at most
// could have said.
func (m *Matcher) places(a, b []customer.Place) (level uint8, weight, most customer.Weight) {
	p := &m.model.Weights.Place
	for i := range a {
		for j := range b {
			w, c := m.place(&a[i], &b[j])
			if c == 0 {
				continue
			}
			if level == placeMissing || w > weight || w == weight && c > most {
				weight, most = w, c
			}
			level = placeDiffers
		}
	}
	if level == placeMissing {
		return level, 0, 0
	}
	upper := p.Most
	if !m.model.Snapshot.Households.Live() {
		upper = p.MostAlone
	}
	weight, most = min(max(weight, p.Least), upper), min(most, upper)
	switch {
	case weight >= p.Same:
		level = placeSame
	case weight >= p.Like:
		level = placeLike
	case weight > 0:
		level = placeFaint
	}
	return level, weight, most
}

// place compares two addresses by part, and sums: one comparison, because its parts depend on each other.
func (m *Matcher) place(a, b *customer.Place) (sum, most customer.Weight) {
	p := &m.model.Weights.Place
	add := func(w, c customer.Weight) {
		sum += w
		most += c
	}
	otherHouse := a.Number != "" && b.Number != "" && spelling.Edits(a.Number, b.Number) > 1
	if a.Street != "" && b.Street != "" {
		w := p.StreetDiffer
		switch {
		case a.Street == b.Street:
			w = p.Street
		case otherHouse && m.model.Snapshot.Households.Live():
		case near(a.Street, b.Street), crossed(a, b):
			w = p.StreetNear
		}
		add(w, p.Street)
	}
	if a.Number != "" && b.Number != "" {
		w := p.NumberDiffer
		switch {
		case a.Number == b.Number:
			w = p.Number
		case !otherHouse:
			w = p.NumberNear
		}
		add(w, p.Number)
	}
	if a.Extra != "" && b.Extra != "" && len(a.Extra) > 1 {
		if a.Extra == b.Extra || near(a.Extra, b.Extra) {
			add(p.Extra, p.Extra)
		}
	}
	elsewhere := a.Street != "" && b.Street != "" && sum < 0 && m.model.Snapshot.Households.Live()
	w, c := m.area(a, b, elsewhere)
	sum, most = sum+w, most+c
	if otherHouse && m.model.Snapshot.Households.Live() {
		sum = min(sum, p.Same-1) // neighbours do not live at one place
	}
	return sum, most
}

// area compares city and postcode. The codes of one city look alike: where people live at another street, it takes an equal one to
// agree, and it says again what the city has said.
func (m *Matcher) area(a, b *customer.Place, elsewhere bool) (weight, most customer.Weight) {
	var city, code customer.Weight
	if a.City != "" && b.City != "" {
		city, most = m.trait(a.City, b.City, m.city)
	}
	if a.Postcode != "" && b.Postcode != "" {
		w, c := m.trait(a.Postcode, b.Postcode, m.postcode)
		code, most = w, most+c
		if elsewhere && a.Postcode != b.Postcode {
			code = m.postcode.trait.Differ
		}
	}
	if elsewhere && city > 0 && code > 0 {
		return max(city, code), most
	}
	return city + code, most
}

// crossed tells whether the second line of one address is the street of the other.
func crossed(a, b *customer.Place) bool {
	return len(a.Extra) > 3 && (a.Extra == b.Street || near(a.Extra, b.Street)) ||
		len(b.Extra) > 3 && (b.Extra == a.Street || near(b.Extra, a.Street))
}

// near tells whether two longer texts differ by slips only.
func near(a, b string) bool {
	if min(len(a), len(b)) < 4 || numeric(a) || numeric(b) {
		return false
	}
	return spelling.Edits(a, b) <= 2 || spelling.Likeness(a, b) >= 920 || strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

func numeric(s string) bool { return strings.Trim(s, "0123456789") == "" }

// trait compares two values by frequency; the commoner one says what agreement weighs.
func (m *Matcher) trait(a, b string, f *frequencies) (weight, most customer.Weight) {
	most = min(f.of(a), f.of(b))
	switch {
	case a == b:
		return most, most
	case min(len(a), len(b)) >= 3 && spelling.Edits(a, b) == 1, near(a, b):
		return max(most-m.model.Weights.Place.Near, f.trait.Differ), most
	}
	return f.trait.Differ, most
}

// address reads a postal address into matching form.
func (s *standard) address(v customer.Value) {
	at := func(name string) string { return v.Parts[name] }
	p := customer.Place{
		City: spelling.Joined(at("addressLocality")), Region: spelling.Joined(firstText(at("addressRegionCode"), at("addressRegion"))),
		Postcode: postcode(at("postalCode")), Country: country(at("addressCountry")),
		Extra: spelling.Joined(at("extendedAddress")),
	}
	if name := at("streetName"); !spelling.Placeholder(name) {
		p.Street, p.Number = street(name)
		if n := spelling.Joined(at("buildingNumber")); n != "" {
			p.Number = n
		}
	} else {
		p.Street, p.Number = street(at("streetAddress"))
	}
	if box := spelling.Joined(at("postOfficeBoxNumber")); box != "" && p.Street == "" {
		p.Street, p.Number = "po box", box
	}
	lines(&p, at("addressLines"), v.Text)
	if p == (customer.Place{Country: p.Country, Region: p.Region}) {
		if s.region == "" {
			s.region = p.Country
		}
		return
	}
	s.f.Places = append(s.f.Places, p)
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if !spelling.Placeholder(t) {
			return t
		}
	}
	return ""
}

// lines reads what an address without parts shows: a street with its number, a postcode with its town. Of two lines that begin with
// a number the last is the town's.
func lines(p *customer.Place, texts ...string) {
	var all [][]string
	town := -1
	for _, text := range texts {
		if len(text) > spelling.MaxText {
			text = text[:spelling.MaxText]
		}
		for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ';' || r == '|' }) {
			if words := spelling.Said(line); len(words) > 0 {
				if len(words) > 1 && len(words[0]) >= 4 && hasDigit(words[0]) && !hasDigit(words[1]) {
					town = len(all)
				}
				all = append(all, words)
			}
		}
	}
	for i, words := range all {
		if i == town && p.Postcode == "" && p.City == "" {
			p.Postcode, p.City = postcode(words[0]), strings.Join(words[1:], " ")
			continue
		}
		if name, n := street(strings.Join(words, " ")); p.Street == "" && n != "" {
			p.Street, p.Number = name, n
		}
	}
}

func hasDigit(s string) bool { return strings.ContainsAny(s, "0123456789") }

// postcode answers the letters and digits of a postcode in capitals; of a code of the United States the first five.
func postcode(s string) string {
	if spelling.Placeholder(s) || len(s) > 16 {
		return ""
	}
	code := compact(s)
	if len(code) == 9 && numeric(code) && len(s) == 10 && s[5] == '-' {
		code = code[:5]
	}
	if strings.Trim(code, "0") == "" || code == "99999" || code == "12345" {
		return ""
	}
	return code
}

// street parts a line into the street's name, in one way of writing, and its number.
func street(s string) (name, number string) {
	words := spelling.Said(s)
	for i, w := range words {
		if i > 0 && (w == "apt" || w == "apartment" || w == "unit" || w == "suite" || w == "flat") {
			words = words[:i]
			break
		}
	}
	switch {
	case len(words) > 1 && hasDigit(words[0]) && !ordinal(words[0]):
		number, words = words[0], words[1:]
	case len(words) > 1 && hasDigit(words[len(words)-1]) && !ordinal(words[len(words)-1]):
		number, words = words[len(words)-1], words[:len(words)-1]
	case len(words) > 2 && len(words[len(words)-1]) == 1 && numeric(words[len(words)-2]): // "12 a"
		number, words = words[len(words)-2]+words[len(words)-1], words[:len(words)-2]
	default: // "calle mayor 12 3o a": what stands behind the number is in the house
		for i := len(words) - 1; i > 0; i-- {
			if numeric(words[i]) {
				number, words = words[i], words[:i]
				break
			}
		}
	}
	for i, w := range words {
		words[i] = way(w, i == len(words)-1)
	}
	return strings.Join(words, " "), number
}

// ordinal tells "145th", which is a street's name.
func ordinal(w string) bool {
	for _, end := range []string{"st", "nd", "rd", "th"} {
		if n, ok := strings.CutSuffix(w, end); ok && n != "" && numeric(n) {
			return true
		}
	}
	return false
}

// way answers one writing of the words for a street.
func way(w string, last bool) string {
	switch w {
	case "street":
		return "st"
	case "strasse":
		return "str"
	case "road":
		return "rd"
	case "avenue", "av", "avenida":
		return "ave"
	case "boulevard":
		return "blvd"
	case "drive":
		return "dr"
	case "lane":
		return "ln"
	case "court":
		return "ct"
	case "place":
		return "pl"
	case "square":
		return "sq"
	case "crescent":
		return "cres"
	case "circuit":
		return "cct"
	case "close":
		return "cl"
	case "parade":
		return "pde"
	case "terrace":
		return "tce"
	case "highway":
		return "hwy"
	case "parkway":
		return "pkwy"
	case "north":
		return "n"
	case "south":
		return "s"
	case "east":
		return "e"
	case "west":
		return "w"
	}
	if stem, ok := strings.CutSuffix(w, "strasse"); ok && last {
		return stem + "str"
	}
	return w
}
