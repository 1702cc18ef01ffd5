package customer

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onefold/onefold/event"
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

// Interaction is something that happened between a party and the company: an order, a payment, a visit, a ticket.
type Interaction struct {
	Key        string        `json:"key"`  // the source's own; the same key with a newer version replaces it
	Type       string        `json:"type"` // one of InteractionTypes
	Subtype    string        `json:"subtype,omitempty"`
	Status     string        `json:"status,omitempty"`
	OccurredAt time.Time     `json:"occurredAt,omitzero"`
	Channel    string        `json:"channel,omitempty"`   // online inStore mobile phone branch atm email social partner
	Direction  string        `json:"direction,omitempty"` // in: the party pays or speaks to us; out: we to them
	Amount     Amount        `json:"amount,omitzero"`
	Location   string        `json:"location,omitempty"`
	Title      string        `json:"title,omitempty"` // a short text for the timeline
	Parties    []Party       `json:"parties,omitempty"`
	Items      []Item        `json:"items,omitempty"`
	References []Reference   `json:"references,omitempty"`
	ReversalOf string        `json:"reversalOf,omitempty"`
	Test       bool          `json:"test,omitempty"`
	ID         InteractionID `json:"id,omitzero"`      // set by the Registry
	Source     string        `json:"source,omitempty"` // set by Seal, as the next two
	Version    Version       `json:"version,omitzero"`
	Event      string        `json:"event,omitempty"`
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

// Party is a part that a record plays in an interaction. Key is the record's key in the interaction's source; a party that
// is known by an identifier only stands under the key of ReferenceKey.
type Party struct {
	Role   string   `json:"role"` // customer payer beneficiary recipient agent
	Key    string   `json:"key"`
	Record RecordID `json:"record,omitzero"` // set by the Registry
}

// Item is one line of an order.
type Item struct {
	SKU      string `json:"sku,omitempty"`
	Name     string `json:"name,omitempty"`
	Quantity string `json:"quantity,omitempty"` // decimal
	Amount   Amount `json:"amount,omitzero"`
}

// Reference ties an interaction to a paper of the outside world: orderNumber receipt endToEndId mandate cart.
type Reference struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// ReferenceKey is the key of the record that stands for a party of whom only an identifier is known: a payment that
// knows only a card. It joins the party that holds the identifier by the identifier alone.
func ReferenceKey(identifierType, value string) string { return "ref:" + identifierType + ":" + value }

// Batch is what Absorb takes in one transaction: messages with what their adapters made of them, and the positions that
// move with their effect.
type Batch struct {
	Now      time.Time // recorded time; nothing but histories and births depends on it
	Messages []Mapped  // per partition in the order of offsets
	Advances []event.Advance
}

// Mapped is one message after the map stage.
type Mapped struct {
	Message  *event.Message
	Adapter  string          // name and revision of what read it, for dead letters: "shopify@3"
	Changes  []Change        // sealed
	Refusals []event.Refusal // parts that yielded no change
	Attempts int             // how often it was tried, for dead letters
}

// Absorbed is what a batch came to.
type Absorbed struct {
	Results    []event.Result // one a message, in the order of the batch
	Created    int            // customers that are new
	Merged     int            // customers that became an alias of another
	Split      int            // customers that were split from another
	Candidates int            // pairs that were scored
	Largest    int            // records in the largest component touched
}

// Limits of a change and of a message (invariant 10).
const (
	MaxChanges     = 100_000 // changes a message
	MaxStatements  = 2_000   // statements a change
	MaxPerChange   = 2_000   // interactions, and other keys, a change
	MaxKey         = 1_024   // bytes of a key
	MaxValue       = 16_384  // bytes of a text, or of one part of a value
	MaxParts       = 40      // parts of a value
	MaxInteraction = 262_144 // bytes of an interaction
)

// Seal completes what an adapter made of a message: source, event, time, version, hash. Changes that break a limit or
// a rule of the model are refused, each for itself; the others are answered.
func Seal(changes []Change, m *event.Message, mapping int64) ([]Change, []event.Refusal) {
	if len(changes) > MaxChanges {
		return nil, []event.Refusal{
			refuse("", "", "the message makes %d changes, over the limit of %d: split it at the source", len(changes), MaxChanges),
		}
	}
	var refused []event.Refusal
	sealed := make([]Change, 0, len(changes))
	for i := range changes {
		c := changes[i]
		c.Source, c.Event = m.Source, m.ID()
		if c.At.IsZero() {
			c.At = m.Time
		}
		if c.Version.Source.Kind == "" {
			c.Version.Source = PositionVersion(m)
		}
		c.At = c.At.UTC()
		c.Version.Mapping = mapping
		if r := c.check(); r != nil {
			refused = append(refused, *r)
			continue
		}
		c.seal()
		sealed = append(sealed, c)
	}
	return sealed, refused
}

// seal computes the hash of what the change says, and versions its interactions.
func (c *Change) seal() {
	c.Interactions = slices.Clone(c.Interactions)
	h := fnv.New64a()
	fmt.Fprintf(h, "%s|%q|%q|", c.Op, c.Key, c.Others)
	for i := range c.Party {
		st := &c.Party[i]
		fmt.Fprintf(h, "%q%d%v%q%s|", st.Path.String(), st.State, st.Verified, st.Value.Text, st.Value.canonical())
	}
	for i := range c.Interactions {
		in := &c.Interactions[i]
		if in.Version.Source.Kind == "" {
			in.Version.Source = c.Version.Source
		}
		in.Source, in.Event, in.Version.Mapping, in.Version.Hash = "", "", 0, 0
		body, _ := json.Marshal(in) // of plain values: cannot fail
		sum := fnv.New64a()
		sum.Write(body)
		h.Write(body)
		in.Source, in.Event = c.Source, c.Event
		in.Version.Mapping, in.Version.Hash = c.Version.Mapping, sum.Sum64()
	}
	c.Version.Hash = h.Sum64()
}

// check answers why a change cannot be taken, nil if it can.
func (c *Change) check() *event.Refusal {
	bad := func(path, format string, args ...any) *event.Refusal {
		r := refuse(c.Part, path, format, args...)
		return &r
	}
	switch c.Op {
	case Upsert, Patch, Delete, Erase, Rekey, Merge, Unmerge, Consent:
	default:
		return bad("op", "there is no such operation: use upsert, patch, delete, erase, rekey, merge, unmerge or consent")
	}
	for _, key := range append([]string{c.Key}, c.Others...) {
		if key == "" || len(key) > MaxKey || !clean(key) {
			return bad("key", "a key is 1 to %d bytes of UTF-8 without NUL: map it from a member that is always there", MaxKey)
		}
	}
	if len(c.Party) > MaxStatements || len(c.Interactions) > MaxPerChange || len(c.Others) > MaxPerChange {
		return bad("", "a change has at most %d statements, and %d interactions and other keys: split it", MaxStatements, MaxPerChange)
	}
	if joins := c.Op == Merge || c.Op == Unmerge || c.Op == Rekey; joins != (len(c.Others) > 0) {
		return bad("others", "merge, unmerge and rekey name other keys, and no other operation does")
	}
	for i := range c.Party {
		if path, text := c.Party[i].check(); text != "" {
			return bad(path, "%s", text)
		}
	}
	for i := range c.Interactions {
		if text := c.Interactions[i].check(); text != "" {
			return bad("interactions", "%s", text)
		}
	}
	return nil
}

func (st *Statement) check() (path, text string) {
	path = st.Path.Name
	if !isField(path) {
		return path, "the canonical model has no such field: use one of its names, or custom"
	}
	if len(st.Path.ID) > MaxKey || !clean(st.Path.ID) || strings.ContainsAny(st.Path.ID, "[]") {
		return path, fmt.Sprintf("an element id is at most %d bytes of UTF-8 without NUL or brackets", MaxKey)
	}
	if len(st.Value.Parts) > MaxParts {
		return path, fmt.Sprintf("a value has at most %d parts", MaxParts)
	}
	ok := len(st.Value.Text) <= MaxValue && clean(st.Value.Text)
	for name, part := range st.Value.Parts {
		ok = ok && len(part) <= MaxValue && clean(part) && clean(name)
	}
	if !ok {
		return path, fmt.Sprintf("a value is at most %d bytes of UTF-8 without NUL: cut or clean it in the mapping", MaxValue)
	}
	return path, ""
}

func (in *Interaction) check() string {
	if in.Key == "" || len(in.Key) > MaxKey || !clean(in.Key) {
		return fmt.Sprintf("an interaction needs a key of 1 to %d bytes of UTF-8 without NUL", MaxKey)
	}
	if !slices.Contains(InteractionTypes(), in.Type) {
		return "there is no such type of interaction: use one of " + strings.Join(InteractionTypes(), ", ")
	}
	if in.Channel != "" && !slices.Contains(Channels(), in.Channel) {
		return "there is no such channel: use one of " + strings.Join(Channels(), ", ")
	}
	size := 0
	for _, s := range in.texts() {
		if !clean(s) {
			return "the texts of an interaction are UTF-8 without NUL"
		}
		size += len(s)
	}
	if size > MaxInteraction {
		return fmt.Sprintf("an interaction of %d bytes is over the limit of %d: map fewer items", size, MaxInteraction)
	}
	for _, p := range in.Parties {
		if p.Key == "" || len(p.Key) > MaxKey {
			return "a party of an interaction needs a key"
		}
	}
	return ""
}

func (in *Interaction) texts() []string {
	out := []string{in.Subtype, in.Status, in.Direction, in.Location, in.Title, in.ReversalOf}
	for _, p := range in.Parties {
		out = append(out, p.Key, p.Role)
	}
	for _, it := range in.Items {
		out = append(out, it.SKU, it.Name, it.Quantity)
	}
	for _, ref := range in.References {
		out = append(out, ref.Type, ref.Value)
	}
	return out
}

func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func refuse(part, path, format string, args ...any) event.Refusal {
	return event.Refusal{Part: part, Outcome: event.Dead, Err: event.Errorf(event.Poison, "validation", path, format, args...)}
}
