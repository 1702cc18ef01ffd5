// Package model is the vocabulary of the canonical model: which fields a party has, and what kinds of identifiers, interactions and
// channels there are.
package model

import "slices"

// Names of fields that are read by the matcher and the merger. Fields has them all.
const (
	Identifier = "identifier" // parts: type value issuer strength
	Consent    = "consent"    // parts: channel purpose state collectedAt optInLevel
	Email      = "email"
	Phone      = "phone"
	Address    = "address"
	Link       = "link" // record id that a source joined with this one; parts: record kind
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
func Fields() []Field { return slices.Clone(fields) }

// FieldOf answers the field of a name, and whether there is one.
func FieldOf(name string) (Field, bool) {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return fields[i], true
}

// fields is a constant table.
var fields = []Field{
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
	{Name: Email, List: true},
	{Name: Phone, List: true}, // E.164 where the country is known
	{Name: Address, List: true, Parts: []string{
		"streetAddress", "streetName", "buildingNumber", "extendedAddress", "postOfficeBoxNumber", "addressLocality",
		"dependentLocality", "addressRegion", "addressRegionCode", "postalCode", "addressCountry", "addressLines", "purpose", "primary",
	}},
	{Name: Identifier, List: true, Parts: []string{"type", "value", "issuer", "strength"}},
	{Name: Consent, List: true, Parts: []string{"channel", "purpose", "state", "optInLevel", "collectedAt", "evidence"}},
	{Name: "loyaltyMembership", List: true, Parts: []string{"programName", "membershipNumber", "tier", "pointsBalance", "enrolledAt"}},
	{Name: "tier"},
	{Name: "status"}, // the party's own state in the source: enabled, disabled, invited
	{Name: "note"},
	{Name: "tag", List: true},
	{Name: "custom", List: true},
	{Name: Link, List: true, Parts: []string{"record", "kind"}},
}

// IdentifierTypes are the kinds of identifier that a mapping may name.
func IdentifierTypes() []string {
	return []string{
		"accountNumber", "advertisingId", "cardFingerprint", "cardToken", "cookieId", "crmId", "customerNumber", "deviceId",
		"driverLicence", "duns", "externalId", "iban", "leadId", "lei", "loyaltyNumber", "membershipNumber", "nationalId",
		"passport", "socialId", "sourceRecordId", "taxId", "userId", "vatId",
	}
}

// InteractionTypes are the types that an interaction may have.
func InteractionTypes() []string {
	return []string{
		"appointment", "call", "chat", "lead", "loyaltyEvent", "message", "opportunity", "order", "pageView", "payment",
		"refund", "ticket", "transaction", "visit",
	}
}

// Channels are the channels that an interaction may have come through.
func Channels() []string {
	return []string{"atm", "branch", "email", "inStore", "mobile", "online", "partner", "phone", "social"}
}
