package table

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
)

// peeked is a reader whose first line can be looked at.
type peeked struct{ *bufio.Reader }

const peekedBytes = 64 << 10

func newPeeked(in io.Reader) *peeked { return &peeked{bufio.NewReaderSize(in, peekedBytes)} }

func (p *peeked) first() string {
	head, _ := p.Peek(peekedBytes) // a short file answers what there is
	line, _, _ := strings.Cut(string(head), "\n")
	return line
}

// guess is what a column's name tells.
type guess struct {
	column  int
	to      string
	element string
	rank    int
}

// assign says what each column holds: what the file of columns says, else what its name usually means. Where two names mean one
// thing that a party has one of, the plainer name counts, then the first.
func (t *Table) assign(c Columns) error {
	named := maps.Clone(c.Of)
	names := usualNames()
	var guesses []guess
	for i := range t.Columns {
		col := &t.Columns[i]
		if to, ok := named[col.Name]; ok {
			col.to, _ = parseTarget(to)
			delete(named, col.Name)
			continue
		}
		if c.Only {
			continue
		}
		if to, element, rank := recognise(names, col.Name); to != "" && (t.load || !ofLoad(to)) {
			guesses = append(guesses, guess{i, to, element, rank})
		}
	}
	if len(named) > 0 {
		missing := slices.Sorted(maps.Keys(named))
		return t.fail(1, fmt.Sprintf("the file of columns names %q, and there is no such column", missing[0]),
			"write the column's name as the first line has it, and behind it what it holds")
	}
	slices.SortStableFunc(guesses, func(a, b guess) int { return cmp.Compare(a.rank, b.rank) })
	for turn := range 4 { // what is settled by others comes after them
		for _, g := range guesses {
			if settledIn(g.to) == turn {
				t.take(g)
			}
		}
	}
	t.tell()
	return nil
}

// tell writes what the columns hold in words.
func (p *plan) tell() {
	for i := range p.Columns {
		if col := &p.Columns[i]; col.to.field != "" && col.to.field != targetNone {
			col.Holds = col.to.String()
		}
	}
}

// ofLoad tells what is known by its name only where rows are loaded: it says nothing of who somebody is.
func ofLoad(to string) bool {
	return to == targetUpdated || strings.HasPrefix(to, customer.FieldConsent)
}

// take gives a column what its name tells, if nothing plainer has it already.
func (t *Table) take(g guess) {
	to, ok := parseTarget(t.settled(g))
	if !ok {
		return
	}
	switch to.field {
	case targetID, customer.FieldIdentifier, customer.FieldEmail, customer.FieldPhone: // may be several
	case customer.FieldAddress:
		to.element = g.element
		if to.part != "addressLines" && t.has(to) {
			return
		}
	default:
		if t.has(to) {
			return
		}
	}
	t.Columns[g.column].to = to
}

func (t *Table) has(to target) bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.to == to })
}

// settledIn answers the turn in which a name's meaning can be told.
func settledIn(to string) int {
	switch to {
	case "nr?":
		return 1
	case "address.street?":
		return 2
	case "name?", "address?":
		return 3
	}
	return 0
}

// settled answers what a name means beside the others: "name" is the family name where there is a given name and no family name.
func (t *Table) settled(g guess) string {
	part := func(p string) bool { return t.has(target{customer.FieldAddress, g.element, p}) }
	switch g.to {
	case "name?":
		switch given, family := t.has(target{field: "givenName"}), t.has(target{field: "familyName"}); {
		case given && !family:
			return "familyName"
		case family && !given:
			return "givenName"
		}
		return "fullName"
	case "nr?":
		if !part("buildingNumber") && slices.ContainsFunc(t.Columns, func(c Column) bool { return streetColumn(c.Name) }) {
			return "address.buildingNumber"
		}
		return targetID
	case "address.street?":
		if part("buildingNumber") {
			return "address.streetName"
		}
		return "address.streetAddress"
	case "address?":
		if (part("addressLocality") || part("postalCode")) && !part("streetName") && !part("streetAddress") {
			return "address.streetAddress"
		}
		return "address.addressLines"
	}
	return g.to
}

func streetColumn(name string) bool {
	to, _, _ := recognise(usualNames(), name)
	return to == "address.street?"
}

// identify finds the column that names the rows: of those that may be it the plainest whose values are all there and all different.
// Without one the rows are numbered.
func (t *Table) identify(c Columns) error {
	t.id = -1
	var may []int
	for i := range t.Columns {
		if t.Columns[i].to.field == targetID {
			may = append(may, i)
		}
	}
	names := usualNames()
	slices.SortStableFunc(may, func(a, b int) int {
		_, _, ra := recognise(names, t.Columns[a].Name)
		_, _, rb := recognise(names, t.Columns[b].Name)
		return cmp.Compare(ra, rb)
	})
	for _, i := range may {
		twice := t.twice(i)
		switch {
		case twice == 0 && t.id < 0:
			t.id = i
			continue
		case twice > 0 && c.Of[t.Columns[i].Name] != "":
			return t.fail(twice, "the id of this row is empty, too long, or another row's, too",
				"name a column whose values are all different as id")
		}
		t.Columns[i].to, t.Columns[i].Holds = target{}, ""
	}
	if t.id < 0 {
		t.Notes = append(t.Notes, "no column names the rows: they are numbered from 1")
	}
	return nil
}

// twice answers the line of the first value that cannot name its row, 0 if there is none.
func (t *Table) twice(column int) (line int) {
	seen := make(map[string]bool, len(t.rows))
	for i, row := range t.rows {
		v := row[column]
		if v == "" || len(v) > customer.MaxKey || seen[v] {
			return i + 2
		}
		seen[v] = true
	}
	return 0
}

// readDates finds out in which order the dates stand.
func (t *Table) readDates() {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.to == target{field: "birthDate"} })
	if i < 0 || t.order != "" {
		return
	}
	lastYear := false
	order, sure := dateOrder(func(yield func(string) bool) {
		for _, row := range t.rows {
			p := dateParts(row[i])
			lastYear = lastYear || len(p) == 3 && len(p[0]) <= 2 && digits(p[1])
			if !yield(row[i]) {
				return
			}
		}
	})
	t.order = order
	if lastYear && !sure {
		t.Notes = append(t.Notes, "no date tells whether the day or the month comes first: the day is taken to")
	}
}
