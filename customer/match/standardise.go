package match

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/lexicon"
	"github.com/onefold/onefold/customer/match/spelling"
)

// Limits of what is matched on (invariant 10). What is over them, in the order of values, is kept in the record only.
const (
	maxEmails      = 8
	maxPhones      = 8
	maxPlaces      = 6
	maxIdentifiers = 32
	maxLinks       = 64
)

// standard is one record on its way into matching form.
type standard struct {
	f      *customer.Features
	names  *lexicon.Names
	source string
	region string // of the first address that has a country, for telephone numbers

	written bool // we have written the entry that the record is of
}

// Standardise brings a record's standing values into the form in which they compare. Placeholders give no feature; what cannot
// be read is left out; nothing is an error.
func (m *Matcher) Standardise(r *customer.Record) *customer.Features {
	s := &standard{f: &customer.Features{Record: r.ID, Origin: origin(r)}, source: r.Source, names: m.names}
	texts := map[string]string{}
	var telephones []customer.Phone
	for _, c := range r.Cells() {
		switch c.Path.Name {
		case customer.FieldEmail:
			if e, ok := email(c.Value.Text, c.Verified); ok {
				s.f.Emails = append(s.f.Emails, e)
			}
		case customer.FieldPhone:
			telephones = append(telephones, customer.Phone{Number: c.Value.Text, Verified: c.Verified})
		case customer.FieldAddress:
			s.address(c.Value)
		case customer.FieldIdentifier:
			s.identifier(c.Value.Parts, c.Verified)
		case customer.FieldLink:
			s.link(c.Value.Parts["record"])
			s.written = s.written || c.Value.Parts["kind"] == customer.LinkWrittenFrom
		default:
			if texts[c.Path.Name] == "" {
				texts[c.Path.Name] = c.Value.Text
			}
		}
	}
	s.settle()
	if s.written { // it says of a customer what was said of them before: it follows them, and is no evidence of who they are
		s.f = &customer.Features{Record: s.f.Record, Origin: s.f.Origin, Identifiers: s.f.Identifiers, Links: s.f.Links}
		s.f.Node = node(s.f)
		return s.f
	}
	for _, t := range telephones {
		if n := telephone(t.Number, s.region); n != "" {
			s.f.Phones = append(s.f.Phones, customer.Phone{Number: n, Verified: t.Verified})
		}
	}
	slices.SortFunc(s.f.Phones, func(a, b customer.Phone) int {
		return firstOf(strings.Compare(a.Number, b.Number), trueFirst(a.Verified, b.Verified))
	})
	s.f.Phones = slices.CompactFunc(s.f.Phones, func(a, b customer.Phone) bool { return a.Number == b.Number })
	s.f.Phones = s.f.Phones[:min(len(s.f.Phones), maxPhones)]
	s.readName(texts)
	s.f.Gender = gender(texts["gender"])
	s.f.Birth = date(texts["birthDate"])
	s.f.BirthPlace = spelling.Joined(texts["birthPlace"])
	s.f.Job = spelling.Joined(texts["jobTitle"])
	s.f.Node = node(s.f)
	return s.f
}

// settle puts the lists in order, so that equal records have equal features.
func (s *standard) settle() {
	f := s.f
	slices.SortFunc(f.Emails, func(a, b customer.Email) int {
		return firstOf(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Local, b.Local), trueFirst(a.Verified, b.Verified))
	})
	f.Emails = slices.CompactFunc(f.Emails, func(a, b customer.Email) bool { return a.Local == b.Local && a.Domain == b.Domain })
	f.Emails = f.Emails[:min(len(f.Emails), maxEmails)]
	slices.SortFunc(f.Places, func(a, b customer.Place) int {
		return firstOf(
			strings.Compare(a.Country, b.Country), strings.Compare(a.Postcode, b.Postcode), strings.Compare(a.City, b.City),
			strings.Compare(a.Street, b.Street), strings.Compare(a.Number, b.Number), strings.Compare(a.Extra, b.Extra),
			strings.Compare(a.Region, b.Region),
		)
	})
	f.Places = slices.Compact(f.Places)
	f.Places = f.Places[:min(len(f.Places), maxPlaces)]
	slices.SortFunc(f.Identifiers, func(a, b customer.Identifier) int {
		return firstOf(
			strings.Compare(a.Type, b.Type), strings.Compare(a.Issuer, b.Issuer), strings.Compare(a.Value, b.Value),
			trueFirst(a.Verified, b.Verified), rank(a.Strength)-rank(b.Strength),
		)
	})
	f.Identifiers = slices.CompactFunc(f.Identifiers, func(a, b customer.Identifier) bool {
		return a.Type == b.Type && a.Issuer == b.Issuer && a.Value == b.Value
	})
	slices.SortStableFunc(f.Identifiers, func(a, b customer.Identifier) int { return rank(a.Strength) - rank(b.Strength) })
	f.Identifiers = f.Identifiers[:min(len(f.Identifiers), maxIdentifiers)]
	slices.SortFunc(f.Links, compareRecords)
	f.Links = slices.Compact(f.Links)
	f.Links = f.Links[:min(len(f.Links), maxLinks)]
	for i := range f.Places {
		if s.region == "" {
			s.region = f.Places[i].Country
		}
	}
}

// origin hashes a record's source and key.
func origin(r *customer.Record) uint64 {
	h := fnv.New64a()
	h.Write([]byte(r.Source))
	h.Write([]byte{0})
	h.Write([]byte(r.Key))
	return h.Sum64()
}

func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func firstOf(cs ...int) int {
	for _, c := range cs {
		if c != 0 {
			return c
		}
	}
	return 0
}

func (s *standard) link(id string) {
	var to customer.RecordID
	if to.UnmarshalText([]byte(id)) == nil && to != s.f.Record {
		s.f.Links = append(s.f.Links, to)
	}
}

func gender(s string) string {
	switch spelling.Folded(strings.TrimSpace(s)) {
	case "m", "male", "man", "mann", "herr", "h", "homme", "hombre", "masculino", "masculin", "mannlich", "maennlich", "varon", "uomo",
		"maschio", "muz", "muzh", "muzhskoi", "mezczyzna", "boy", "男", "男性", "남", "남성", "남자":
		return "m"
	case "f", "female", "woman", "w", "weiblich", "frau", "femme", "mujer", "femenino", "feminino", "feminin", "donna", "femmina", "mulher",
		"v", "vrouw", "k", "kobieta", "kvinna", "kvinne", "zena", "zh", "zhen", "zhenskii", "girl", "女", "女性", "여", "여성", "여자":
		return "f"
	case "x", "d", "diverse", "nonbinary", "non-binary", "other":
		return "x"
	}
	return ""
}

// identifier reads a number that an issuer gave.
func (s *standard) identifier(parts map[string]string, verified bool) {
	id := customer.Identifier{
		Type: strings.TrimSpace(parts["type"]), Issuer: strings.TrimSpace(parts["issuer"]), Value: strings.TrimSpace(parts["value"]),
		Strength: customer.Strength(strings.ToUpper(strings.TrimSpace(parts["strength"]))), Verified: verified,
	}
	if id.Type == "" || len(id.Value) > spelling.MaxText {
		return
	}
	if official(id.Type) {
		id.Value = compact(id.Value)
	} else if id.Issuer == "" && id.Type != "duns" {
		id.Issuer = "source:" + s.source // a number means something at its issuer only
	}
	if hollow(&id) {
		return
	}
	if rank(id.Strength) == rank(customer.S1) && id.Strength != customer.S1 {
		id.Strength = usual(id.Type, verified)
	}
	s.f.Identifiers = append(s.f.Identifiers, id)
}

// official tells the kinds of number that are written with blanks and dashes at will, and mean the same everywhere.
func official(kind string) bool {
	switch kind {
	case "iban", "lei", "nationalId", "passport", "taxId", "vatId", "driverLicence":
		return true
	}
	return false
}

// compact answers the letters and digits of a number, in capitals.
func compact(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case '0' <= r && r <= '9', 'A' <= r && r <= 'Z', r >= 0x80:
			return r
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return -1
	}, s)
}

// hollow tells a placeholder: words for nothing, zeros, and of official numbers one digit repeated or 123456789.
func hollow(id *customer.Identifier) bool {
	v := id.Value
	if spelling.Placeholder(v) || strings.Trim(v, "0-. ") == "" {
		return true
	}
	if !official(id.Type) {
		return false
	}
	return len(v) < 4 || strings.Trim(v, v[:1]) == "" || strings.HasPrefix("1234567890", v)
}

// usual answers the strength of a kind of identifier where its mapping does not state one.
func usual(kind string, verified bool) customer.Strength {
	switch kind {
	case "customerNumber", "sourceRecordId", "crmId", "externalId":
		return customer.S4
	case "nationalId", "passport", "taxId", "lei", "driverLicence", "vatId":
		if verified {
			return customer.S4
		}
	case "loyaltyNumber", "membershipNumber", "userId":
		return customer.S3
	case "advertisingId", "cookieId", "deviceId":
		return customer.S1
	}
	return customer.S2
}

// node answers the hash of all features but links and record: the first half of SHA-256 over a writing in which no two differ alike.
func node(f *customer.Features) (id customer.NodeID) {
	buf := make([]byte, 0, 256)
	put := func(parts ...string) {
		buf = binary.AppendUvarint(buf, uint64(len(parts)))
		for _, p := range parts {
			buf = binary.AppendUvarint(buf, uint64(len(p)))
			buf = append(buf, p...)
		}
	}
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return ""
	}
	put(flag(f.Organisation), flag(f.Unsplit), f.Suffix, f.Name, f.Gender, f.BirthPlace, f.Job)
	put(f.Given...)
	put(f.Family...)
	put(f.Middle...)
	d := digits(f.Birth)
	put(string(d[:]))
	for _, p := range f.Phones {
		put(p.Number, flag(p.Verified))
	}
	put()
	for _, e := range f.Emails {
		put(e.Local, e.Domain, flag(e.Verified))
	}
	put()
	for _, p := range f.Places {
		put(p.Street, p.Number, p.Extra, p.City, p.Region, p.Postcode, p.Country)
	}
	put()
	for _, id := range f.Identifiers {
		put(id.Type, id.Issuer, id.Value, string(id.Strength), flag(id.Verified))
	}
	sum := sha256.Sum256(buf)
	copy(id[:], sum[:])
	return id
}
