package customer

// Query finds customers by anything that names a person. Empty fields say nothing; at least one must be given. A customer is
// found if one of its records holds each of the given values.
type Query struct {
	Email      string
	Phone      string
	Name       string // "given family"
	BirthDate  string // ISO 8601
	Identifier string // "type:value", or a value alone
	Source     string // with Key: the customer of one source's party
	Key        string
	Limit      int // at most so many; 0 is 20, more than 1,000 is refused
}

// Explanation tells why two records are, or are not, the same party.
type Explanation struct {
	A         Member      `json:"a"`
	B         Member      `json:"b"`
	CustomerA CustomerID  `json:"customerA"`
	CustomerB CustomerID  `json:"customerB"`
	Same      bool        `json:"same"`    // are they one customer now
	Verdict   string      `json:"verdict"` // a sentence
	Steps     []Step      `json:"steps"`   // their weights add up to Weight, exactly
	Weight    Weight      `json:"weight"`
	Threshold Weight      `json:"threshold"`
	Rule      Rule        `json:"rule,omitempty"`
	Decision  *Decision   `json:"decision,omitempty"`
	Keys      []SharedKey `json:"keys"`           // what brought them together
	Path      []RecordID  `json:"path,omitempty"` // if not directly: the records of the customer that lie between
}

// SharedKey is a key that two records share.
type SharedKey struct {
	Type    string `json:"type"`
	Generic bool   `json:"generic"` // over its cap: it proposes nothing
}
