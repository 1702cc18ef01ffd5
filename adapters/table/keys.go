package table

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/onefold/onefold/customer"
)

// candidate is a column that may name the rows.
type candidate struct {
	column int
	rank   int
	given  bool              // somebody has said so
	wrong  int64             // rows that it does not name, or names as another
	first  map[uint64]uint32 // line of the first row of a value, by its digest
	again  map[uint64]int    // of those that come again
}

// Limits of finding out which column names the rows (invariant 10).
const (
	maxCandidates = 3   // the plainest
	maxUnnamed    = 100 // of so many rows one may be without a key of its own
	fewUnnamed    = 10  // rows that may be so in any file, as long as most are not
)

// candidates answers the columns that may name the rows, the plainest first.
func (s *Sheet) candidates(c Columns) (out []candidate) {
	names := usualNames()
	for i := range s.Columns {
		name := s.Columns[i].Name
		given := name == c.Key || c.Key == "" && c.Of[name] == targetID
		if !given && (s.Columns[i].to.field != targetID || c.Key != "") {
			continue
		}
		_, _, rank := recognise(names, name)
		out = append(out, candidate{column: i, rank: rank, given: given, first: map[uint64]uint32{}, again: map[uint64]int{}})
	}
	slices.SortStableFunc(out, func(a, b candidate) int {
		if a.given != b.given {
			return -b2i(a.given) + b2i(b.given)
		}
		return cmp.Compare(a.rank, b.rank)
	})
	if len(out) > 0 && out[0].given {
		return out[:1]
	}
	return out[:min(len(out), maxCandidates)]
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// see takes a row's value of the column.
func (c *candidate) see(s *Sheet, row line) {
	v := row.cells[c.column]
	if v == "" || len(v) > customer.MaxKey {
		c.wrong++
		return
	}
	digest := maphash.String(s.seed, v)
	if at, again := c.first[digest]; again {
		c.again[digest] = int(at)
		c.wrong++
		return
	}
	c.first[digest] = uint32(row.number) //nolint:gosec // MaxRows bounds it
}

// names tells whether the column is fit to name rows: a person has said so, or nearly all of them have a key of their own.
func (c *candidate) names(rows int64) bool {
	return c.given || c.wrong*2 <= rows && (c.wrong <= fewUnnamed || c.wrong*maxUnnamed <= rows)
}

// choose settles which column names the rows: the plainest that names all of them, else the one that leaves the fewest without a name.
func (s *Sheet) choose(keys []candidate, c Columns) error {
	if c.Key != "" && len(keys) == 0 {
		return diagnose(s.name, 1, 0, fmt.Sprintf("the file of columns names %q as key, and there is no such column", c.Key),
			"write the column's name as the first line has it")
	}
	best := -1
	for i := range keys {
		if best < 0 || keys[i].wrong < keys[best].wrong {
			best = i
		}
	}
	if best < 0 || !keys[best].names(s.Rows) {
		return diagnose(s.name, 1, 0, "no column names the rows: a record needs a key that is its own, and the same in every export",
			"name one in a file of columns, and the file with --columns: columns: {CUSTOMER_NO: id}, or key: E-Mail for a column that holds more")
	}
	s.id, s.seen = keys[best].column, keys[best].again
	for i := range s.Columns {
		if i != s.id && s.Columns[i].to.field == targetID {
			s.Columns[i].to, s.Columns[i].Holds = target{}, ""
		}
	}
	if s.order == "" {
		s.order = s.form.order()
		if s.form.lastYear && s.form.days+s.form.months == 0 {
			s.Notes = append(s.Notes, "no date tells whether the day or the month comes first: the day is taken to. "+
				"Else write dates: mdy in the file of columns")
		}
	}
	return nil
}

// Key answers the name of the column that names the rows.
func (s *Sheet) Key() string { return s.Columns[s.id].Name }

// named answers why a row has no key of its own.
func (s *Sheet) named(row line) *Fault {
	n, column := row.columns(s.id)
	key := row.cells[s.id]
	switch first, again := s.seen[maphash.String(s.seed, key)]; {
	case key == "":
		return &Fault{
			Line: n, Column: column, Text: "the row has no key",
			Hint: "fill in the cell, or name another column as id in the file of columns",
		}
	case len(key) > customer.MaxKey:
		return &Fault{
			Line: n, Column: column, Text: fmt.Sprintf("the key has more than %d bytes", customer.MaxKey),
			Hint: "name another column as id in the file of columns",
		}
	case again && first != row.number:
		return &Fault{
			Line: n, Column: column, Text: fmt.Sprintf("the key is that of line %d, too", first),
			Hint: "keep one of the rows, or name another column as id in the file of columns",
		}
	}
	return nil
}
