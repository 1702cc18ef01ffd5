package customer

import (
	"time"
)

// Op is what a change asks for.
type Op string

// The operations.
const (
	Upsert  Op = "upsert"  // a whole statement: what it omits is absent
	Patch   Op = "patch"   // touches what it names
	Delete  Op = "delete"  // gone in the source; the master keeps the tombstone
	Erase   Op = "erase"   // a data subject's right: nothing of the value is kept
	Rekey   Op = "rekey"   // the source now keeps the party under another key
	Merge   Op = "merge"   // the source joined parties of its own
	Unmerge Op = "unmerge" // and took them apart again
	Consent Op = "consent" // touches consents only; a patch
)

// Change is one canonical statement by one source about one party, as an adapter makes it from a message.
// Adapters fill in Key, Op, Part, Source version, At, Party, Interactions and Others; Seal fills in the rest.
type Change struct {
	Source  string   `json:"source,omitempty"`
	Key     string   `json:"key"`              // the party's key in the source; for merge the survivor's, for rekey the new one
	Others  []string `json:"others,omitempty"` // merge, unmerge: the losers' keys; rekey: the old key
	Op      Op       `json:"op"`
	Part    string   `json:"part,omitempty"` // which part of the message: "Ntry[17]"
	Version Version  `json:"version"`
	// At is when the source says it became so; the message's own time where it says nothing.
	At           time.Time     `json:"at,omitzero"`
	Event        string        `json:"event,omitempty"` // id of the message
	Party        []Statement   `json:"party,omitempty"`
	Interactions []Interaction `json:"interactions,omitempty"`
}

// State is what is known of a value: four different facts.
type State uint8

// The states of a value. What a patch does not name has no cell and keeps its state.
const (
	Absent   State = iota // a snapshot was silent about it
	Set                   // there is a value
	Cleared               // the source says that there is none
	Unknown               // the source cannot or will not say now; what was known stands
	Redacted              // withheld from us
)

// Statement is one value that a change states about the party.
type Statement struct {
	Path     Path  `json:"path"`
	State    State `json:"state"`
	Value    Value `json:"value,omitzero"`
	Verified bool  `json:"verified,omitempty"` // the source has checked it: clicked link, seen document
}

// Path names a value of a party: a field, or one element of a list. Written "email", "address[home]".
type Path struct {
	Name string
	ID   string // element id within a list; empty for a field
}

// Value is a value of a party: a text, or named parts that belong together (an address, an identifier, a consent).
type Value struct {
	Text  string
	Parts map[string]string
}

// Names of fields that are read by the matcher and the merger. FieldNames has them all.
const (
	FieldIdentifier = "identifier" // parts: type value issuer strength
	FieldConsent    = "consent"    // parts: channel purpose state collectedAt optInLevel
	FieldEmail      = "email"
	FieldPhone      = "phone"
	FieldAddress    = "address"
	FieldLink       = "link" // record id that a source joined with this one; parts: record kind
)

// Strength says how far an identifier may be trusted to name one party.
type Strength string

// The strengths, from proof to hint.
const (
	S4 Strength = "S4" // issuer-verified and unique: a customer number in its bank
	S3 Strength = "S3" // verified reachable: verified e-mail, loyalty number presented
	S2 Strength = "S2" // unverified e-mail or phone, card fingerprint, counterparty's account
	S1 Strength = "S1" // device, cookie, address on the network: never joins
)
