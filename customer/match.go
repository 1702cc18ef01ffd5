package customer

import (
	"bytes"
	"strconv"
	"time"
)

// Matcher says which records are the same party. It is pure: the same records give the same answer in every
// process, in any order (invariant 4). customer/match is the one we ship.
type Matcher interface {
	// Standardise brings a record's standing values into the form in which they compare.
	Standardise(r *Record) *Features
	// Keys answers the keys under which the record meets those it might be the same as, distinct and in order.
	Keys(f *Features) []Key
	// Cap answers how many distinct holders a key of that type may have before it proposes nothing; 0 is no cap.
	Cap(keyType string) int
	// Score compares two records. The answer is the same whichever comes first. Keep tells whether the edge is worth storing.
	Score(a, b *Features) (e Edge, keep bool)
	// Cluster divides the records of a component, given the edges and decisions between them, into those of one party each:
	// sorted by record id inside, and by the first of them outside.
	Cluster(nodes []*Features, edges []Edge, decisions []Decision) [][]RecordID
	// Explain answers the steps whose weights add up to the edge's, exactly.
	Explain(a, b *Features) []Step
}

// Merger says which values survive among the records of one customer, and what they won against. Pure.
// customer/merge is the one we ship.
type Merger interface {
	Survive(records []*Record) []Attribute
}

// Features are a record's standing values in the form in which they compare. The originals are kept in the record.
type Features struct {
	Record       RecordID
	Node         uint64 // hash of all that follows but Links
	Organisation bool
	Given        []string // tokens: folded, transliterated, honorifics and suffixes apart
	Family       []string // tokens
	Middle       []string // tokens
	Unsplit      bool     // given and family were read from one field: their order is a guess
	Suffix       string   // generation: jr sr ii iii
	Name         string   // of an organisation, without its legal form
	Gender       string   // m f x
	Birth        Date     // partial allowed
	BirthPlace   string
	Job          string
	Emails       []Email
	Phones       []string // E.164 where a country is known, else digits
	Places       []Place
	Identifiers  []Identifier // that pass the rules for placeholders
	Links        []RecordID   // records that the source itself joined with this one
}

// Date is a calendar date of which parts may be missing (0).
type Date struct{ Year, Month, Day int }

// Email is an e-mail address in matching form.
type Email struct {
	Local, Domain string // lower case
	Role          bool   // info@, sales@: a box, not a person
	Disposable    bool
	Verified      bool
}

// Place is a postal address in matching form.
type Place struct{ Street, Number, Extra, City, Region, Postcode, Country string }

// Identifier is a number that an issuer gave to a party.
type Identifier struct {
	Type, Issuer, Value string
	Strength            Strength
	Verified            bool
}

// Key is one index entry of a record: records that share a key which is not over its cap are compared.
type Key struct {
	Type string // "email", "name+birth", ...; few and short
	Hash uint64
}

// Weight is evidence in bits, log2 of a likelihood ratio, in fixed point: 1/1024 bit (sums must not depend on order).
type Weight int32

// Bits is one bit of evidence.
const Bits Weight = 1024

// Float answers the weight in bits, for people and charts.
func (w Weight) Float() float64 { return float64(w) / float64(Bits) }

// MarshalJSON writes the weight in bits.
func (w Weight) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, w.Float(), 'f', -1, 64), nil
}

// Pair is two records, the smaller id first.
type Pair struct {
	A RecordID `json:"a"`
	B RecordID `json:"b"`
}

// NewPair puts two record ids in order.
func NewPair(a, b RecordID) Pair {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return Pair{A: a, B: b}
}

// Edge is the evidence between two records.
type Edge struct {
	Pair
	Weight    Weight  `json:"weight"`    // sum over the comparisons
	Threshold Weight  `json:"threshold"` // what this pair must reach to join by itself
	Levels    []uint8 `json:"levels"`    // level of each comparison, in the model's order; 0 is missing
	Rule      Rule    `json:"rule,omitempty"`
	Against   bool    `json:"against,omitempty"` // exactly one personal trait speaks against: clustered last
}

// Rule is what a pair is bound by, whatever its weight.
type Rule string

// The rules.
const (
	NoRule     Rule = ""
	MustLink   Rule = "must-link"   // share a strong identifier, or the source joined them
	CannotLink Rule = "cannot-link" // hold two different verified exclusive identifiers
)

// Step is one step of an explanation.
type Step struct {
	Comparison string `json:"comparison"` // name birthDate email phone place identifier household
	Level      string `json:"level"`
	Weight     Weight `json:"weight"`
	Detail     string `json:"detail,omitempty"` // may hold personal data
}

// Decision is a person's word on two records; it outranks every score, and not-same outranks same.
type Decision struct {
	ID     string       `json:"id"`
	Kind   DecisionKind `json:"kind"`
	Pair                // of records
	Author string       `json:"author"`
	Reason string       `json:"reason,omitempty"`
	At     time.Time    `json:"at"`
	Undone bool         `json:"undone,omitempty"` // a tombstone: decisions are never deleted
}

// DecisionKind is what a decision says.
type DecisionKind string

// The kinds of decision.
const (
	Same    DecisionKind = "same"
	NotSame DecisionKind = "not-same"
)
