package customer

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onefold/onefold/customer/model"
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
func InteractionTypes() []string { return model.InteractionTypes() }

// Channels are the channels that an interaction may have come through.
func Channels() []string { return model.Channels() }

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
	Dry      bool // only say what it would come to: nothing is written
}

// Mapped is one message after the map stage.
type Mapped struct {
	Message  *event.Message
	Adapter  string          // name and revision of what read it, for dead letters: "shopify@3"
	Changes  []Change        // sealed
	Refusals []event.Refusal // parts that yielded no change
	Attempts int             // how often it was tried, for dead letters
	// Letter is the dead letter that this replays, of the part that Changes and Refusals are about: with the effect it goes, else it stays.
	Letter *event.DeadLetter
}

// Absorbed is what a batch came to.
type Absorbed struct {
	Results    []event.Result // one a message, in the order of the batch
	Created    int            // customers that are new
	Merged     int            // customers that became an alias of another
	Split      int            // customers that were split from another
	Candidates int            // pairs that were scored
	Largest    int            // records in the largest component touched
	Silenced   int            // strong identifiers that more than MaxHolders came to hold, and that propose nobody since
}

// Limits of a change and of a message (invariant 10). docs/identity.md has them all in one table.
const (
	MaxChanges     = 100_000   // changes a message
	MaxStatements  = 2_000     // statements a change
	MaxPerChange   = 2_000     // interactions, and other keys, a change
	MaxKey         = 1_024     // bytes of a key, of an element id, of a part's path
	MaxWord        = 256       // bytes of a role, a type of reference, a name of a value's part, a version's scope
	MaxValue       = 16_384    // bytes of a text, or of one part of a value
	MaxParts       = 40        // parts of a value
	MaxStated      = 1_048_576 // bytes of all statements of a change
	MaxInteraction = 262_144   // bytes of an interaction
	MaxItems       = 2_000     // items an interaction
	MaxReferences  = 200       // references an interaction
	MaxParties     = 100       // parties an interaction
	MaxExplained   = 4_096     // bytes of what a dead letter says, cut
)

// Seal completes what an adapter made of a message: source, event, time, version, hash, and the party of an interaction that names none.
// Times become UTC. Changes that break a limit or a rule of the model are refused, each for itself; the others are answered.
func Seal(changes []Change, m *event.Message, mapping int64) ([]Change, []event.Refusal) {
	if len(changes) > MaxChanges {
		r := refuse("", "", "the message makes %d changes, over the limit of %d: split it at the source", len(changes), MaxChanges)
		r.Keys = (&Mapped{Changes: changes}).Keys()
		return nil, []event.Refusal{r}
	}
	var refused []event.Refusal
	sealed := make([]Change, 0, len(changes))
	id := m.ID()
	for i := range changes {
		c := changes[i]
		c.Source, c.Event = m.Source, id
		if c.At.IsZero() {
			c.At = event.ClampTime(m.Time) // a broker's clock is no reason to refuse what the source says
		}
		if c.Version.Source.Kind == "" {
			c.Version.Source = PositionVersion(m)
		}
		c.At = c.At.UTC()
		c.Version.Mapping = mapping
		path, text := c.check()
		if text == "" {
			path, text = c.seal()
		}
		if text != "" {
			r := refuse(cutText(c.Part, MaxKey), path, "%s", text)
			r.Keys = c.keys()
			refused = append(refused, r)
			continue
		}
		sealed = append(sealed, c)
	}
	return sealed, refused
}

// seal computes the hash of what the change says, and completes its interactions. Each is whole before it is hashed: two that differ
// differ in their hash, so that of equal versions always the same one stands.
func (c *Change) seal() (path, text string) {
	c.Interactions = slices.Clone(c.Interactions)
	c.Party = slices.Clone(c.Party)
	h := fnv.New64a()
	fmt.Fprintf(h, "%s|%q|%q|", c.Op, c.Key, c.Others)
	for i := range c.Party {
		st := &c.Party[i]
		st.settle()
		fmt.Fprintf(h, "%q%d%v%q%s|", st.Path.String(), st.State, st.Verified, st.Value.Text, st.Value.canonical())
	}
	for i := range c.Interactions {
		in := &c.Interactions[i]
		if in.Version.Source.Kind == "" {
			in.Version.Source = c.Version.Source
		}
		in.Parties = slices.Clone(in.Parties)
		if len(in.Parties) == 0 {
			in.Parties = []Party{{Role: "customer", Key: c.Key}}
		}
		for j := range in.Parties {
			in.Parties[j].Record = RecordID{}
		}
		in.OccurredAt = in.OccurredAt.UTC()
		in.ID, in.Source, in.Event, in.Version.Mapping, in.Version.Hash = InteractionID{}, "", "", 0, 0
		body, err := json.Marshal(in)
		if err != nil { // its text might quote a value (invariant 9)
			return fmt.Sprintf("interactions[%d]", i), "the interaction cannot be written as JSON: this is a mistake in the adapter"
		}
		sum := fnv.New64a()
		sum.Write(body)
		h.Write(body)
		in.Source, in.Event = c.Source, c.Event
		in.Version.Mapping, in.Version.Hash = c.Version.Mapping, sum.Sum64()
	}
	c.Version.Hash = h.Sum64()
	return "", ""
}

// check answers why a change cannot be taken: where, and a text; none if it can.
func (c *Change) check() (path, text string) {
	switch c.Op {
	case Upsert, Patch, Delete, Erase, Rekey, Merge, Unmerge, Consent:
	default:
		return "op", "there is no such operation: use upsert, patch, delete, erase, rekey, merge, unmerge or consent"
	}
	if len(c.Part) > MaxKey || !clean(c.Part) {
		return "part", fmt.Sprintf("the path of a part is at most %d bytes of UTF-8 without NUL: name parts by their place", MaxKey)
	}
	if len(c.Party) > MaxStatements || len(c.Interactions) > MaxPerChange || len(c.Others) > MaxPerChange {
		return "", fmt.Sprintf("a change has at most %d statements, and %d interactions and other keys: split it", MaxStatements, MaxPerChange)
	}
	for _, key := range append([]string{c.Key}, c.Others...) {
		if !isKey(key) {
			return "key", fmt.Sprintf("a key is 1 to %d bytes of UTF-8 without NUL: map it from a member that is always there", MaxKey)
		}
	}
	if joins := c.Op == Merge || c.Op == Unmerge || c.Op == Rekey; joins != (len(c.Others) > 0) {
		return "others", "merge, unmerge and rekey name other keys, and no other operation does"
	}
	if !event.TimeFits(c.At) {
		return "at", "a time is within the years 1 to 9999: mend it at the source, or map at from another member"
	}
	if text := c.Version.Source.check(); text != "" {
		return "version", text
	}
	size := 0
	for i := range c.Party {
		if path, text := c.Party[i].check(); text != "" {
			return path, text
		}
		if name := c.Party[i].Path.Name; c.Op == Consent && name != FieldConsent {
			return name, "the operation consent states consents only: use patch"
		}
		size += c.Party[i].size()
	}
	if size > MaxStated {
		return "party", fmt.Sprintf("the statements of a change have at most %d bytes, these have %d: map less of it", MaxStated, size)
	}
	for i := range c.Interactions {
		if path, text := c.Interactions[i].check(); text != "" {
			return fmt.Sprintf("interactions[%d]%s", i, path), text
		}
	}
	return "", ""
}

// check answers why a statement cannot be taken: which field, and a text; none if it can.
func (st *Statement) check() (path, text string) {
	path = st.Path.Name
	f, known := model.FieldOf(path)
	switch {
	case !known:
		return "party", "the canonical model has no such field: use one of its names, or custom"
	case path == FieldLink:
		return path, "links between records are not stated: use the operations merge, unmerge and rekey"
	case st.State > Redacted:
		return path, "there is no such state: use one of " + strings.Join(stateNames[:], ", ")
	case st.Path.ID != "" && !f.List:
		return path, "the field has one value and no elements: leave the element id out, or use custom"
	case len(st.Path.ID) > MaxKey || !clean(st.Path.ID) || strings.ContainsAny(st.Path.ID, "[]"):
		return path, fmt.Sprintf("an element id is at most %d bytes of UTF-8 without NUL or brackets", MaxKey)
	case len(st.Value.Parts) > MaxParts:
		return path, fmt.Sprintf("a value has at most %d parts", MaxParts)
	case st.Value.Text != "" && len(st.Value.Parts) > 0:
		return path, "a value is a text or has parts, not both"
	case len(st.Value.Parts) > 0 && len(f.Parts) == 0 && path != "custom":
		return path, "the field is a text and has no parts"
	}
	ok := len(st.Value.Text) <= MaxValue && clean(st.Value.Text)
	for name, part := range st.Value.Parts {
		ok = ok && len(part) <= MaxValue && clean(part) && len(name) <= MaxWord && clean(name)
	}
	if !ok {
		return path, fmt.Sprintf("a value is at most %d bytes of UTF-8 without NUL, a part's name %d: cut or clean it in the mapping",
			MaxValue, MaxWord)
	}
	return path, ""
}

// Kinds of link between two records of one source.
const (
	LinkMergedInto = "mergedInto" // this record lost a merge, or was re-keyed, to the linked one
	LinkMergedFrom = "mergedFrom" // and the other side of the same fact
	// Between records of two sources: this one was written by us, from a customer that the linked one is part of.
	LinkWrittenFrom = "writtenFrom"
)

// WrittenFrom is the statement that ties an outside system's entry, which we have written, to a record of the customer that it is of.
func WrittenFrom(to RecordID) Statement { return link(to, LinkWrittenFrom, Set) }

func link(to RecordID, kind string, state State) Statement {
	return Statement{
		Path: Path{Name: FieldLink, ID: to.String()}, State: state,
		Value: Value{Parts: map[string]string{"record": to.String(), "kind": kind}},
	}
}

// size answers how many bytes the statement says.
func (st *Statement) size() int { return len(st.Path.ID) + st.Value.size() }

// check answers why an interaction cannot be taken: where within it, and a text; none if it can.
func (in *Interaction) check() (path, text string) {
	switch {
	case !isKey(in.Key):
		return ".key", fmt.Sprintf("an interaction needs a key of 1 to %d bytes of UTF-8 without NUL", MaxKey)
	case len(in.ReversalOf) > MaxKey:
		return ".reversalOf", fmt.Sprintf("the key of an interaction has at most %d bytes", MaxKey)
	case !slices.Contains(InteractionTypes(), in.Type):
		return ".type", "there is no such type of interaction: use one of " + strings.Join(InteractionTypes(), ", ")
	case in.Channel != "" && !slices.Contains(Channels(), in.Channel):
		return ".channel", "there is no such channel: use one of " + strings.Join(Channels(), ", ")
	case !event.TimeFits(in.OccurredAt):
		return ".occurredAt", "a time is within the years 1 to 9999: mend it at the source, or map occurredAt from another member"
	case len(in.Items) > MaxItems || len(in.References) > MaxReferences || len(in.Parties) > MaxParties:
		return "", fmt.Sprintf("an interaction has at most %d items, %d references and %d parties: map fewer",
			MaxItems, MaxReferences, MaxParties)
	}
	if in.Version.Source.Kind != "" {
		if text := in.Version.Source.check(); text != "" {
			return ".version", text
		}
	}
	size := 0
	for _, s := range in.texts() {
		if !clean(s) {
			return "", "the texts of an interaction are UTF-8 without NUL"
		}
		size += len(s)
	}
	if size > MaxInteraction {
		return "", fmt.Sprintf("an interaction of %d bytes is over the limit of %d: map fewer items", size, MaxInteraction)
	}
	for i, p := range in.Parties {
		if !isKey(p.Key) || len(p.Role) > MaxWord {
			return fmt.Sprintf(".parties[%d]", i),
				fmt.Sprintf("a party of an interaction needs a key of 1 to %d bytes, and its role has at most %d", MaxKey, MaxWord)
		}
	}
	for i, ref := range in.References {
		if len(ref.Type) > MaxWord {
			return fmt.Sprintf(".references[%d]", i), fmt.Sprintf("the type of a reference has at most %d bytes", MaxWord)
		}
	}
	return "", ""
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

func isKey(s string) bool { return s != "" && len(s) <= MaxKey && clean(s) }

func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// cutText answers a text in whole characters, and of one that is too long the beginning.
func cutText(s string, limit int) string { return strings.ToValidUTF8(s[:min(limit, len(s))], "") }

func refuse(part, path, format string, args ...any) event.Refusal {
	return event.Refusal{Part: part, Outcome: event.Dead, Err: event.Errorf(event.Poison, "validation", path, format, args...)}
}
