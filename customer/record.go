package customer

import (
	"slices"
	"time"
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
}

// Scope is the part of a record that was said in versions which compare with each other.
type Scope struct {
	Name     string  `json:"name"`
	Head     Version `json:"head,omitzero"`     // newest statement
	Snapshot Version `json:"snapshot,omitzero"` // newest whole statement
	Deleted  Version `json:"deleted,omitzero"`  // newest delete: no cell at or below it is kept, but links
	Erased   Version `json:"erased,omitzero"`   // newest erasure: nothing at or below it is kept
	Cells    []Cell  `json:"cells,omitempty"`   // by path
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

// Kinds of link between two records of one source.
const (
	LinkMergedInto = "mergedInto" // this record lost a merge, or was re-keyed, to the linked one
	LinkMergedFrom = "mergedFrom" // and the other side of the same fact
)

// Live tells whether the record takes part in a customer: heard of, and neither deleted nor erased since. A record
// that the source merged into another stays live as a reference, whatever deletes came with the merge.
func (r *Record) Live() bool {
	if r.Superseded() {
		return true
	}
	said := false
	for i := range r.Scopes {
		s := &r.Scopes[i]
		if gone := later(s.Deleted, s.Erased); !gone.IsZero() && s.Head.Compare(gone) <= 0 {
			return false
		}
		said = said || !s.Head.IsZero()
	}
	return said
}

// Erased tells whether the record was erased and nothing was said since.
func (r *Record) Erased() bool {
	for i := range r.Scopes {
		s := &r.Scopes[i]
		if !s.Erased.IsZero() && s.Head.Compare(s.Erased) <= 0 {
			return true
		}
	}
	return false
}

// Superseded tells whether the source has merged or re-keyed the record into another of its own.
func (r *Record) Superseded() bool {
	for _, c := range r.Cells() {
		if c.Path.Name == FieldLink && c.Value.Parts["kind"] == LinkMergedInto {
			return true
		}
	}
	return false
}

// Cells answers what stands: per path the visible cell that is Set, in the order of paths. Where several scopes
// speak about one path, the latest by the source's clock stands.
func (r *Record) Cells() []Cell {
	var out []Cell
	for i := range r.Scopes {
		for _, c := range r.Scopes[i].Cells {
			if c.Standing() == Set {
				out = append(out, c)
			}
		}
	}
	if len(r.Scopes) == 1 {
		return out
	}
	slices.SortStableFunc(out, func(a, b Cell) int { return orCompare(a.Path.Compare(b.Path), newerCell(a, b)) })
	return slices.CompactFunc(out, func(a, b Cell) bool { return a.Path == b.Path })
}

// newerCell puts the cell that stands first.
func newerCell(a, b Cell) int {
	return orCompare(b.At.Compare(a.At), b.Version.Compare(a.Version))
}

func later(a, b Version) Version {
	if a.Compare(b) >= 0 {
		return a
	}
	return b
}

func orCompare(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}
