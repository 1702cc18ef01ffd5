package customer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer/model"
	"github.com/onefold/onefold/customer/money"
	"github.com/onefold/onefold/customer/weight"
	"github.com/onefold/onefold/event"
)

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

// Names of fields that are read by the matcher and the merger. Fields has them all.
const (
	FieldIdentifier = model.Identifier
	FieldConsent    = model.Consent
	FieldEmail      = model.Email
	FieldPhone      = model.Phone
	FieldAddress    = model.Address
	FieldLink       = model.Link
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

// Field describes one name of the canonical model.
type Field = model.Field

// Fields answers the canonical model's fields in their order. Anything else a source knows stands under
// "custom[name]".
func Fields() []Field { return model.Fields() }

func isList(name string) bool {
	f, _ := model.FieldOf(name)
	return f.List
}

// size answers the bytes of a text, or of all parts and their names.
func (v Value) size() int {
	n := len(v.Text)
	for name, part := range v.Parts {
		n += len(name) + len(part)
	}
	return n
}

// IdentifierTypes are the kinds of identifier that a mapping may name.
func IdentifierTypes() []string { return model.IdentifierTypes() }

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

// MarshalJSON writes a text as a string and parts as an object; no parts are no value, whether nil or empty.
func (v Value) MarshalJSON() ([]byte, error) {
	if len(v.Parts) > 0 {
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

// String answers the state's name; of what is none, a word for that.
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return "none"
	}
	return stateNames[s]
}

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

// Amount is money: an exact decimal of the major unit and an ISO 4217 currency code (invariant 8).
type Amount = money.Amount

// NewAmount reads a decimal number ("12.50", "-3", "1e3") and a currency code in any case.
func NewAmount(value, currency string) (Amount, error) { return money.New(value, currency) }

// MinorAmount reads a whole number of the currency's minor unit: 1250 EUR is 12.50, 1250 JPY is 1250.
func MinorAmount(value, currency string) (Amount, error) { return money.Minor(value, currency) }

// MinorUnits answers how many decimals a currency's minor unit has, and whether there is such a currency.
func MinorUnits(currency string) (int, bool) { return money.MinorUnits(currency) }

// lose notes the records that statements merge into this one, whether or not they are heard: all of them, or none where one finds no
// room. It answers whether any is news, and whether there was no room.
func (r *Record) lose(v Version, statements []Statement) (news, full bool) {
	var ids []RecordID
	for _, st := range statements {
		var id RecordID
		if st.Path.Name == FieldLink && st.State == Set && st.Value.Parts["kind"] == LinkMergedFrom &&
			id.UnmarshalText([]byte(st.Value.Parts["record"])) == nil {
			ids = append(ids, id)
		}
	}
	if ids = distinct(ids); len(ids) == 0 {
		return false, false
	}
	name, losers := v.Source.scope(), []Loser(nil)
	if i, found := r.find(name); found {
		losers = slices.Clone(r.Scopes[i].Losers)
	}
	for _, id := range ids {
		i, found := slices.BinarySearchFunc(losers, id, func(l Loser, id RecordID) int { return compareIDs(l.Record, id) })
		switch {
		case !found:
			losers, news = slices.Insert(losers, i, Loser{Record: id, Since: v}), true
		case v.Compare(losers[i].Since) < 0:
			losers[i].Since, news = v, true
		}
	}
	if len(losers) > MaxLosers || r.crowded(name) {
		return false, true
	}
	if news {
		r.scope(name).Losers = losers
	}
	return news, false
}

// lost answers the records that the source merged into this one before it erased it: they are erased as well, in any order of arrival.
func (r *Record) lost() []RecordID {
	var out []RecordID
	for own, i := r.withdrawn(), 0; i < len(r.Scopes); i++ {
		for _, l := range r.Scopes[i].Losers {
			if own.Forgets(l.Since) {
				out = append(out, l.Record)
			}
		}
	}
	return out
}

// withdraw lays down an erasure by the source, and answers whether it is news.
func (r *Record) withdraw(by *Record) bool {
	own := r.withdrawn()
	news := own.cover(by)
	r.Mute, r.Withdrawn = own.Deaf, Version{}
	for _, s := range own.Scopes { // one, if any: where two are named none is in common
		r.Withdrawn = s.Erased
	}
	return r.cover(by) || news
}

// withdrawn answers what the source itself has erased of the record, in the form of a record.
func (r *Record) withdrawn() *Record {
	if r.Withdrawn.IsZero() {
		return &Record{Deaf: r.Mute}
	}
	return &Record{Scopes: []Scope{{Name: r.Withdrawn.Source.scope(), Erased: r.Withdrawn}}}
}

// erasures answers what was erased of the record, in the form of a record.
func (r *Record) erasures() *Record {
	out := &Record{Deaf: r.Deaf}
	for _, s := range r.Scopes {
		if !s.Erased.IsZero() {
			out.Scopes = append(out.Scopes, Scope{Name: s.Name, Erased: s.Erased})
		}
	}
	return out
}

// settle brings a statement into one form: a value of nothing is cleared, and only a value that is set is kept.
func (st *Statement) settle() {
	if st.State == Set && st.Value.IsZero() {
		st.State = Cleared
	}
	if st.State != Set {
		st.Value = Value{}
	}
	if len(st.Value.Parts) == 0 {
		st.Value.Parts = nil
	}
}

// signed tells whose decision it is that cannot be taken.
func signed(author string, at time.Time) error {
	if author == "" {
		return event.Errorf(event.Permanent, "validation", "author", "a decision names its author: say who decides")
	}
	if at.IsZero() || !event.TimeFits(at) {
		return event.Errorf(event.Permanent, "validation", "at",
			"a decision carries the time at which it was made, within the years 1 to 9999: state it")
	}
	if len(author) > MaxKey || !clean(author) {
		return event.Errorf(event.Permanent, "validation", "author", "an author is at most %d bytes of UTF-8 without NUL", MaxKey)
	}
	return nil
}

// Weight is evidence in bits.
type Weight = weight.Weight

// Sum is many weights added up.
type Sum = weight.Sum

// Bits is one bit of evidence.
const Bits = weight.Bits

// says answers the node of a live record.
func (m *Membership) says() NodeID {
	if !m.Live {
		return NodeID{}
	}
	return m.Node
}

// room is what the lists of a record come to while a change is folded into it.
type room struct {
	elements, bytes int
	refused         bool // a statement found none
}

// room counts a record's lists. If what is to be stated might not find room, it first lets go of all that nobody can see any more.
func (r *Record) room(statements []Statement) *room {
	n := r.count()
	more := room{elements: len(statements)}
	for i := range statements {
		more.bytes += statements[i].size()
	}
	if n.elements+more.elements > MaxElements || n.bytes+more.bytes > MaxRecord {
		for i := range r.Scopes {
			r.Scopes[i].tidy()
		}
		n = r.count()
	}
	return n
}

func (r *Record) count() *room {
	n := &room{}
	for i := range r.Scopes {
		for j := range r.Scopes[i].Cells {
			if c := &r.Scopes[i].Cells[j]; isList(c.Path.Name) {
				n.elements++
				n.bytes += len(c.Path.ID) + c.Value.size()
			}
		}
	}
	return n
}

// takes tells whether there is room for a statement, and takes it.
func (n *room) takes(st *Statement, fresh bool, old Value) bool {
	if !isList(st.Path.Name) {
		return true
	}
	elements, bytes := n.elements, n.bytes
	if fresh {
		elements++
		bytes += len(st.Path.ID)
	}
	if st.State != Unknown {
		bytes += st.Value.size() - old.size()
	}
	if elements > MaxElements || bytes > MaxRecord && bytes > n.bytes {
		n.refused = true
		return false
	}
	n.elements, n.bytes = elements, bytes
	return true
}
