package customer

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/event"
)

// Record is what one source says about one party: the fold of its changes (invariant 3). It is a last-writer-wins
// map per version scope, so that any permutation of the same changes, with duplicates, gives the same record.
type Record struct {
	ID       RecordID  `json:"id"`
	Source   string    `json:"source"`
	Key      string    `json:"key,omitempty"` // empty after an erasure
	Born     time.Time `json:"born"`          // when we first heard of it; not part of the fold
	Revision int64     `json:"revision"`      // grows with each write; not part of the fold
	Scopes   []Scope   `json:"scopes"`        // by name
	// Deaf tells that erasures named no scope in common, so that nothing that anybody says is provably later than all of them.
	Deaf bool `json:"deaf,omitempty"`
	// Withdrawn is the newest erasure by the source itself, of this record or of one that this one was merged into; Mute tells that there
	// were several, of different scopes. Those reach what was merged into this one; what a person asks for does not.
	Withdrawn Version `json:"withdrawn,omitzero"`
	Mute      bool    `json:"mute,omitempty"`
}

// Scope is the part of a record that was said in versions which compare with each other.
type Scope struct {
	Name     string  `json:"name"`
	Head     Version `json:"head,omitzero"`     // newest statement
	Snapshot Version `json:"snapshot,omitzero"` // newest whole statement
	Deleted  Version `json:"deleted,omitzero"`  // newest delete: no cell at or below it is kept, but links
	Erased   Version `json:"erased,omitzero"`   // newest erasure: nothing at or below it is kept
	Losers   []Loser `json:"losers,omitempty"`  // by record
	Cells    []Cell  `json:"cells,omitempty"`   // by path
}

// Loser is a record that the source once merged or re-keyed into this one, by the oldest such statement. It outlives erasures,
// because what the source erases of the one, once the statement was made, it erases of the other.
type Loser struct {
	Record RecordID `json:"record"`
	Since  Version  `json:"since"`
}

// Cell is what a scope says about one path: the newest value stated (set, cleared or redacted), and the newest
// versions at which a whole statement was silent about the path, or a statement could not say.
type Cell struct {
	Path     Path      `json:"path"`
	State    State     `json:"state"` // Unknown where no value was ever stated
	Value    Value     `json:"value,omitzero"`
	Verified bool      `json:"verified,omitempty"`
	Version  Version   `json:"version,omitzero"`
	Absent   Version   `json:"absent,omitzero"`
	Unknown  Version   `json:"unknown,omitzero"`
	At       time.Time `json:"at,omitzero"` // by the source's clock
	Event    string    `json:"event,omitempty"`
}

// Standing answers the state that the cell shows.
func (c *Cell) Standing() State {
	if c.Path.Name != FieldLink && c.Absent.Compare(c.Version) > 0 {
		return Absent
	}
	return c.State
}

// Live tells whether the record takes part in a customer: heard of, and neither deleted nor erased since. A record
// that the source merged into another stays live as a reference, whatever deletes came with the merge.
func (r *Record) Live() bool {
	if r.Superseded() {
		return true
	}
	said := false
	for i := range r.Scopes {
		s := &r.Scopes[i]
		if !s.Deleted.IsZero() && s.Head.Compare(s.Deleted) <= 0 {
			return false
		}
		said = said || !s.Head.IsZero() // what an erasure covers has no head any more
	}
	return said
}

// Erased tells whether the record was erased and nothing was accepted since.
func (r *Record) Erased() bool {
	return r.wasErased() && !slices.ContainsFunc(r.Scopes, func(s Scope) bool { return !s.Head.IsZero() })
}

// wasErased tells whether an erasure was ever laid down.
func (r *Record) wasErased() bool {
	return r.Deaf || slices.ContainsFunc(r.Scopes, func(s Scope) bool { return !s.Erased.IsZero() })
}

// Superseded tells whether the source has merged or re-keyed the record into another of its own.
func (r *Record) Superseded() bool {
	return r.linked(func(c *Cell) bool { return c.State == Set && c.Value.Parts["kind"] == LinkMergedInto })
}

// linked tells whether something is true of a cell that holds a link.
func (r *Record) linked(is func(*Cell) bool) bool {
	for i := range r.Scopes {
		cells := r.Scopes[i].Cells // by path: the links stand together, and most records have none
		at, _ := slices.BinarySearchFunc(cells, FieldLink, func(c Cell, name string) int { return strings.Compare(c.Path.Name, name) })
		for ; at < len(cells) && cells[at].Path.Name == FieldLink; at++ {
			if is(&cells[at]) {
				return true
			}
		}
	}
	return false
}

// links answers the records that the source has joined with this one, as it stands.
func (r *Record) links() []RecordID {
	if r == nil || !r.linked(func(*Cell) bool { return true }) || !r.Live() {
		return nil
	}
	var out []RecordID
	for _, c := range r.Cells() {
		if c.Path.Name == FieldLink {
			var to RecordID
			if to.UnmarshalText([]byte(c.Value.Parts["record"])) == nil && to != r.ID {
				out = append(out, to)
			}
		}
	}
	return out
}

// Cells answers what stands: per path the cell that is Set, in the order of paths. Where several scopes
// set or clear one path, the latest by the source's clock stands. Not to be changed.
func (r *Record) Cells() []*Cell {
	n := 0
	for i := range r.Scopes {
		n += len(r.Scopes[i].Cells)
	}
	out := make([]*Cell, 0, n)
	for i := range r.Scopes {
		for j := range r.Scopes[i].Cells {
			if c := &r.Scopes[i].Cells[j]; c.Standing() == Set || c.Standing() == Cleared && len(r.Scopes) > 1 {
				out = append(out, c)
			}
		}
	}
	if len(r.Scopes) == 1 {
		return out
	}
	slices.SortStableFunc(out, func(a, b *Cell) int {
		return cmp.Or(a.Path.Compare(b.Path), b.At.Compare(a.At), b.Version.Compare(a.Version))
	})
	out = slices.CompactFunc(out, func(a, b *Cell) bool { return a.Path == b.Path })
	return slices.DeleteFunc(out, func(c *Cell) bool { return c.State == Cleared })
}

// Clone answers a copy that can be folded into without the original noticing.
func (r *Record) Clone() *Record {
	c := *r
	c.Scopes = slices.Clone(r.Scopes)
	for i := range c.Scopes {
		c.Scopes[i].Cells = slices.Clone(c.Scopes[i].Cells)
		c.Scopes[i].Losers = slices.Clone(c.Scopes[i].Losers)
	}
	return &c
}

// Forgets tells whether an erasure makes the record deaf to a version: one that is not later than the erasure of its scope, or whose
// scope an erasure did not name, because then nothing shows that it is later.
func (r *Record) Forgets(v Version) bool {
	if !r.wasErased() {
		return false
	}
	i, found := r.find(v.Source.scope())
	return !found || r.Scopes[i].Erased.IsZero() || v.Compare(r.Scopes[i].Erased) <= 0
}

// Fold takes one statement of a sealed change into the record (invariant 3). Any permutation of the same statements, with
// duplicates, gives the same record, as long as it is within its limits. The reason is empty unless the outcome is Ignored, or Dead: the
// record had no room for all of it, and has taken the rest; of a merge that it has no room to remember, nothing.
func (r *Record) Fold(op Op, c *Change, statements []Statement) (event.Outcome, string) {
	if op == Erase {
		return r.erase(c.Version), ""
	}
	if _, full := r.lose(c.Version, statements); full {
		return event.Dead, reasonFull
	}
	if r.Forgets(c.Version) {
		return event.Ignored, "erased"
	}
	if r.crowded(c.Version.Source.scope()) {
		return event.Dead, reasonFull
	}
	s := r.scope(c.Version.Source.scope())
	newest, known := later(s.Head, s.Deleted), c.Version == s.Head || c.Version == s.Deleted
	won, full := false, false
	if op == Delete {
		won = s.shows(c.Version)
		s.Deleted = later(s.Deleted, c.Version)
		s.purge()
	} else {
		s.Head = later(s.Head, c.Version)
		whole := op == Upsert && c.Version.Compare(s.Deleted) > 0
		if whole {
			won = s.silence(statements, c.Version)
		}
		left := r.room(statements)
		for i := range statements {
			w, k := s.state(&statements[i], c, left)
			won, known = won || w, known || k
		}
		if whole {
			s.Snapshot = later(s.Snapshot, c.Version)
		}
		full = left.refused
	}
	switch {
	case full:
		return event.Dead, reasonFull
	case won || c.Version.Compare(newest) > 0:
		return event.Applied, ""
	case known:
		return event.Duplicate, ""
	default:
		return event.Stale, ""
	}
}

// state writes one statement if there is room, and answers whether it is the newest about its path, and whether it was known.
func (s *Scope) state(st *Statement, c *Change, left *room) (won, known bool) {
	if st.Path.Name != FieldLink && c.Version.Compare(s.Deleted) <= 0 {
		return false, false // under the tombstone
	}
	i, found := slices.BinarySearchFunc(s.Cells, st.Path, func(c Cell, p Path) int { return c.Path.Compare(p) })
	var old Cell
	if found {
		old = s.Cells[i]
	}
	if (!found || c.Version.Compare(old.Version) > 0) && !left.takes(st, !found, old.Value) {
		return false, false
	}
	if !found {
		// Every whole statement so far was silent about this path.
		s.Cells = slices.Insert(s.Cells, i, Cell{Path: st.Path, State: Unknown, Absent: s.Snapshot})
	}
	cell := &s.Cells[i]
	if st.State == Unknown {
		known = cell.Unknown == c.Version
		cell.Unknown = later(cell.Unknown, c.Version)
		return false, known
	}
	switch d := c.Version.Compare(cell.Version); {
	case d > 0:
		won = c.Version.Compare(cell.Absent) > 0
		cell.State, cell.Value, cell.Verified = st.State, st.Value, st.Verified
		cell.Version, cell.At, cell.Event = c.Version, c.At, c.Event
	case d == 0:
		known = true
		if c.At.Before(cell.At) { // the same statement sent again: it counts from when it was first said
			cell.At, cell.Event, won = c.At, c.Event, true
		}
	}
	return won, known
}

// shows tells whether a value stands that a delete of that version hides.
func (s *Scope) shows(v Version) bool {
	return slices.ContainsFunc(s.Cells, func(c Cell) bool {
		return c.Path.Name != FieldLink && c.Standing() == Set && c.Version.Compare(v) <= 0
	})
}

// silence marks the paths that a whole statement omits as absent, and answers whether one that stood is so now. The statement's own
// come next, and then it is the newest snapshot.
func (s *Scope) silence(statements []Statement, v Version) (won bool) {
	for i := range s.Cells {
		cell := &s.Cells[i]
		if v.Compare(cell.Absent) <= 0 ||
			slices.ContainsFunc(statements, func(st Statement) bool { return st.Path == cell.Path }) {
			continue
		}
		won = won || (cell.Standing() == Set && v.Compare(cell.Version) > 0)
		cell.Absent = v
	}
	return won
}

// erase lays down the erasure of a source: it names one scope. What is left is the id of the record and versions.
func (r *Record) erase(v Version) event.Outcome {
	v = v.last()
	name := v.Source.scope()
	switch {
	case r.withdraw(&Record{Scopes: []Scope{{Name: name, Erased: v}}}):
		return event.Applied
	case v.Compare(r.withdrawn().erased(name)) < 0:
		return event.Stale
	}
	return event.Duplicate
}

// purge drops what a delete or an erasure covers, so that the scope is the same whatever came first.
func (s *Scope) purge() {
	over := func(v *Version, floor Version) {
		if v.Compare(floor) <= 0 {
			*v = Version{}
		}
	}
	over(&s.Head, s.Erased)
	over(&s.Deleted, s.Erased)
	over(&s.Snapshot, s.gone())
	s.Cells = slices.DeleteFunc(s.Cells, func(c Cell) bool {
		floor := s.gone()
		if c.Path.Name == FieldLink {
			floor = s.Erased
		}
		return c.Version.Compare(floor) <= 0 && c.Unknown.Compare(floor) <= 0
	})
	for i := range s.Cells {
		c := &s.Cells[i]
		if c.Path.Name != FieldLink && c.Version.Compare(s.gone()) <= 0 { // named again since, but without a value
			*c = Cell{Path: c.Path, State: Unknown, Absent: c.Absent, Unknown: c.Unknown}
		}
		over(&c.Absent, s.gone())
		over(&c.Unknown, s.gone())
	}
}

// gone answers the newest delete or erasure of the scope.
func (s *Scope) gone() Version { return later(s.Deleted, s.Erased) }

// scope answers the scope of a name, a new one if need be.
func (r *Record) scope(name string) *Scope {
	i, found := r.find(name)
	if !found {
		r.Scopes = slices.Insert(r.Scopes, i, Scope{Name: name})
	}
	return &r.Scopes[i]
}

// tidy drops the cells that a whole statement has made absent and that nothing later has named: the newest whole statement, too, is
// silent about them. Such a cell would be made again as it is seen now: absent, unless a statement is later than that one.
func (s *Scope) tidy() {
	s.Cells = slices.DeleteFunc(s.Cells, func(c Cell) bool {
		return c.Path.Name != FieldLink && c.Absent.Compare(c.Version) > 0 && c.Absent.Compare(c.Unknown) >= 0
	})
}

// crowded tells whether the record has no room for one more scope of that name.
func (r *Record) crowded(name string) bool {
	return len(r.Scopes) >= MaxScopes && !slices.ContainsFunc(r.Scopes, func(s Scope) bool { return s.Name == name })
}

func (r *Record) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(r.Scopes, name, func(s Scope, name string) int { return strings.Compare(s.Name, name) })
}

// question is a query in the form in which records compare.
type question struct {
	probe       *Features
	kind, value string   // of an identifier; no kind is any
	record      RecordID // of one source's party
	groups      [][]Key  // what answers holds at least one key of each
	limit       int
}

// steps spells out what a change says about which records: a merge speaks about all that it names, an interaction about all that
// take part in it.
func (r *Registry) steps(c *Change) []step {
	own := r.ids.Record(c.Source, c.Key)
	out := []step{{record: own, key: c.Key, op: c.Op, statements: c.Party}}
	switch c.Op {
	case Merge, Unmerge, Rekey:
		out[0].op = Patch
		if c.Op == Rekey && len(c.Party) > 0 {
			out[0].op = Upsert
		}
		state := Set
		if c.Op == Unmerge {
			state = Cleared
		}
		out[0].statements = slices.Clone(c.Party)
		for _, key := range c.Others {
			other := r.ids.Record(c.Source, key)
			out[0].statements = append(out[0].statements, link(other, LinkMergedFrom, state))
			out = append(out, step{record: other, key: key, op: Patch, statements: []Statement{link(own, LinkMergedInto, state)}})
		}
	case Consent:
		out[0].op = Patch
	}
	out[0].silent = out[0].op == Patch && len(out[0].statements) == 0
	for i := range c.Interactions {
		for _, p := range c.Interactions[i].Parties {
			if p.Key != c.Key {
				out = append(out, step{record: r.ids.Record(c.Source, p.Key), key: p.Key, op: Patch, silent: true})
			}
		}
	}
	return out
}
