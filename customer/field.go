package customer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Field describes one name of the canonical model: schema.org property names, and the party, identifier, contact point
// and consent decomposition of the Cloud Information Model.
type Field struct {
	Name  string
	List  bool     // holds elements, each under an id of its own
	Parts []string // names of the parts of a composite value; none for a text
}

// Fields answers the canonical model's fields in their order. Anything else a source knows stands under
// "custom[name]".
func Fields() []Field {
	return []Field{
		{Name: "partyType"}, // person or organization
		{Name: "givenName"},
		{Name: "familyName"},
		{Name: "additionalName"}, // middle names
		{Name: "fullName"},       // where the source does not split it, order unknown
		{Name: "alternateName"},
		{Name: "honorificPrefix"},
		{Name: "honorificSuffix"},
		{Name: "birthDate"}, // ISO 8601, may be partial: 1980, 1980-02, --02-29
		{Name: "birthPlace"},
		{Name: "deathDate"},
		{Name: "gender"},
		{Name: "nationality", List: true},
		{Name: "preferredLanguage"}, // BCP 47
		{Name: "jobTitle"},
		{Name: "worksFor"},
		{Name: "legalName"}, // of an organisation
		{Name: "legalForm"},
		{Name: "foundingDate"},
		{Name: FieldEmail, List: true},
		{Name: FieldPhone, List: true}, // E.164 where the country is known
		{Name: FieldAddress, List: true, Parts: []string{
			"streetAddress", "streetName", "buildingNumber", "extendedAddress", "postOfficeBoxNumber", "addressLocality",
			"dependentLocality", "addressRegion", "addressRegionCode", "postalCode", "addressCountry", "addressLines", "purpose", "primary",
		}},
		{Name: FieldIdentifier, List: true, Parts: []string{"type", "value", "issuer", "strength"}},
		{Name: FieldConsent, List: true, Parts: []string{"channel", "purpose", "state", "optInLevel", "collectedAt", "evidence"}},
		{Name: "loyaltyMembership", List: true, Parts: []string{"programName", "membershipNumber", "tier", "pointsBalance", "enrolledAt"}},
		{Name: "tier"},
		{Name: "status"}, // the party's own state in the source: enabled, disabled, invited
		{Name: "note"},
		{Name: "tag", List: true},
		{Name: "custom", List: true},
		{Name: FieldLink, List: true, Parts: []string{"record", "kind"}},
	}
}

// IdentifierTypes are the kinds of identifier that a mapping may name.
func IdentifierTypes() []string {
	return []string{
		"accountNumber", "advertisingId", "cardFingerprint", "cardToken", "cookieId", "crmId", "customerNumber", "deviceId",
		"driverLicence", "duns", "externalId", "iban", "leadId", "lei", "loyaltyNumber", "membershipNumber", "nationalId",
		"passport", "socialId", "sourceRecordId", "taxId", "userId", "vatId",
	}
}

// String writes the path as "name" or "name[id]".
func (p Path) String() string {
	if p.ID == "" {
		return p.Name
	}
	return p.Name + "[" + p.ID + "]"
}

// ParsePath reads what String writes.
func ParsePath(s string) (Path, error) {
	name, rest, list := strings.Cut(s, "[")
	if !list {
		return Path{Name: s}, nil
	}
	id, ok := strings.CutSuffix(rest, "]")
	if !ok || id == "" || name == "" {
		return Path{}, fmt.Errorf("%q is not a path: write name or name[id]", s)
	}
	return Path{Name: name, ID: id}, nil
}

// MarshalText writes the path as String does.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Path) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePath(string(b))
	return err
}

// Compare orders paths by name, then by element id.
func (p Path) Compare(q Path) int {
	if c := strings.Compare(p.Name, q.Name); c != 0 {
		return c
	}
	return strings.Compare(p.ID, q.ID)
}

// Text makes a text value.
func Text(s string) Value { return Value{Text: s} }

// IsZero tells a value that says nothing.
func (v Value) IsZero() bool { return v.Text == "" && len(v.Parts) == 0 }

// Equal tells whether two values say the same.
func (v Value) Equal(w Value) bool { return v.Compare(w) == 0 }

// Compare orders values in a fixed way, so that a tie is never broken by arrival.
func (v Value) Compare(w Value) int {
	if c := strings.Compare(v.Text, w.Text); c != 0 || len(v.Parts)+len(w.Parts) == 0 {
		return c
	}
	return strings.Compare(v.canonical(), w.canonical())
}

// canonical writes the parts in a fixed order, unambiguously.
func (v Value) canonical() string {
	names := make([]string, 0, len(v.Parts))
	for name := range v.Parts {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%d:%s=%d:%s;", len(name), name, len(v.Parts[name]), v.Parts[name])
	}
	return b.String()
}

// MarshalJSON writes a text as a string and parts as an object.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.Parts != nil {
		return json.Marshal(v.Parts)
	}
	return json.Marshal(v.Text)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Value) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, &v.Parts)
	}
	return json.Unmarshal(b, &v.Text)
}

var stateNames = [...]string{Absent: "absent", Set: "set", Cleared: "cleared", Unknown: "unknown", Redacted: "redacted"}

func (s State) String() string { return stateNames[s] }

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *State) UnmarshalText(b []byte) error {
	i := slices.Index(stateNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is not a state: want one of %s", b, strings.Join(stateNames[:], ", "))
	}
	*s = State(i)
	return nil
}
