// Package table reads records of parties from CSV files as they come: columns are known by their usual names, or named by a file
// of columns. It serves evaluation and the first load of an existing customer list.
package table

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Limits of a file (invariant 10). A value longer than MaxCell is cut; the others refuse the file.
const (
	MaxColumns = 1_000
	MaxRows    = 20_000_000
	MaxCell    = customer.MaxValue
)

// Table is a file that has been read, with what is known of its columns.
type Table struct {
	Columns []Column
	Notes   []string // what was guessed or mended on the way, in sentences without values
	name    string
	rows    [][]string
	id      int // column, -1 for the row's number
	order   string
	region  string
}

// Column is a column of a file.
type Column struct {
	Name  string // as the file has it
	Holds string // "id", or a field with its element and part; empty: the column is left out
	to    target
}

// Row is one record: its key, and what it states about the party.
type Row struct {
	Key   string
	Party []customer.Statement
}

// Read reads a file. Its first line names the columns; the separator is a comma, semicolon, tab or bar, whichever the first line has
// most of. Name is what errors call the file.
func Read(name string, in io.Reader, c Columns) (*Table, error) {
	t := &Table{name: name, order: c.Dates, region: c.Region}
	if err := t.scan(in); err != nil {
		return nil, err
	}
	if err := t.assign(c); err != nil {
		return nil, err
	}
	if err := t.identify(c); err != nil {
		return nil, err
	}
	t.readDates()
	return t, nil
}

// fail names the file and a line of it, from 1; 0 is none.
func (t *Table) fail(line int, message, hint string) error {
	return event.Diagnostics{{File: t.name, Line: line, Message: message, Hint: hint}}
}

// Rows is how many records there are.
func (t *Table) Rows() int { return len(t.rows) }

func (t *Table) scan(in io.Reader) error {
	b := newPeeked(in)
	r := csv.NewReader(b)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord, r.TrimLeadingSpace = separator(b.first()), true, -1, true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return t.fail(0, "the file is empty", "the first line names the columns")
	}
	if err != nil {
		return t.unread(err)
	}
	if len(header) > MaxColumns {
		return t.fail(1, fmt.Sprintf("the file has more than %d columns", MaxColumns), "leave out what is no record of a person or company")
	}
	for _, name := range header {
		t.Columns = append(t.Columns, Column{Name: readable(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))})
	}
	uneven, foreign := 0, 0
	for {
		line, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t.unread(err)
		}
		if len(t.rows) == MaxRows {
			return t.fail(0, fmt.Sprintf("the file has more than %d rows", MaxRows), "split it")
		}
		if len(line) != len(header) {
			uneven++
			line = slices.Grow(line, max(0, len(header)-len(line)))[:len(header)]
		}
		for i, v := range line {
			if !utf8.ValidString(v) {
				foreign++
			}
			line[i] = cell(v)
		}
		t.rows = append(t.rows, line)
	}
	t.note(uneven, "row", "with another number of columns than the first line: cut or filled up")
	t.note(foreign, "value", "not in UTF-8: read as Latin-1")
	return nil
}

func (t *Table) note(n int, noun, what string) {
	if n > 1 {
		noun += "s"
	}
	if n > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%d %s %s", n, noun, what))
	}
}

func (t *Table) unread(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) {
		return t.fail(p.Line, p.Err.Error(), "this is not a CSV file as RFC 4180 has it")
	}
	return fmt.Errorf("%s: %w", t.name, err)
}

// cell answers a value without blanks around it, in UTF-8, and cut; empty for what programs write where there is none.
func cell(v string) string {
	v = strings.TrimSpace(readable(v))
	switch v {
	case "NULL", "null", "NaN", "nan", "None", "NA", "N/A", "<NA>", `\N`, "NaT", "#N/A":
		return ""
	}
	if len(v) > MaxCell {
		v = strings.ToValidUTF8(v[:MaxCell], "")
	}
	return strings.ReplaceAll(v, "\x00", "")
}

// readable reads bytes that are not UTF-8 as Latin-1.
func readable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}

func separator(line string) rune {
	best := ','
	for _, s := range []rune{';', '\t', '|'} {
		if strings.Count(line, string(s)) > strings.Count(line, string(best)) {
			best = s
		}
	}
	return best
}

// Each calls fn for every row in the order of the file, until it answers an error.
func (t *Table) Each(fn func(Row) error) error {
	for i := range t.rows {
		if err := fn(t.row(i)); err != nil {
			return err
		}
	}
	return nil
}

// row makes the statements of one row.
func (t *Table) row(i int) Row {
	line := t.rows[i]
	out := Row{Key: strconv.Itoa(i + 1)}
	if t.id >= 0 {
		out.Key = line[t.id]
	}
	var date [3]string
	parts := map[string]map[string]string{}
	for c := range t.Columns {
		to, v := t.Columns[c].to, line[c]
		if v == "" || to.field == "" || to.field == targetID || to.field == targetNone {
			continue
		}
		if to.field == customer.FieldAddress {
			address(parts, to, v)
			continue
		}
		if to.field == "birthDate" && to.part != "" {
			date[strings.Index("yearmonthday", to.part)/4] = unpointed(v)
			continue
		}
		out.Party = append(out.Party, t.statements(to, c, v)...)
	}
	if d := split(date); d != "" {
		out.Party = append(out.Party, customer.Statement{Path: customer.Path{Name: "birthDate"}, State: customer.Set, Value: customer.Text(d)})
	}
	for element, p := range parts {
		if p["addressCountry"] == "" && t.region != "" {
			p["addressCountry"] = t.region
		}
		path := customer.Path{Name: customer.FieldAddress, ID: cmp.Or(element, "1")}
		out.Party = append(out.Party, customer.Statement{Path: path, State: customer.Set, Value: customer.Value{Parts: p}})
	}
	slices.SortFunc(out.Party, func(a, b customer.Statement) int { return a.Path.Compare(b.Path) })
	out.Party = slices.CompactFunc(out.Party, func(a, b customer.Statement) bool { return a.Path == b.Path }) // the first column counts
	return out
}

// statements answers what one value states; of lists it may be several.
func (t *Table) statements(to target, column int, v string) (out []customer.Statement) {
	add := func(id string, value customer.Value) {
		out = append(out, customer.Statement{Path: customer.Path{Name: to.field, ID: id}, State: customer.Set, Value: value})
	}
	switch to.field {
	case customer.FieldEmail, customer.FieldPhone:
		for n, one := range strings.FieldsFunc(v, func(r rune) bool { return r == ';' || r == ',' || r == '|' }) {
			if to.field == customer.FieldPhone {
				one = unpointed(one)
			}
			add(fmt.Sprintf("%03d.%02d", column, n), customer.Text(strings.TrimSpace(one)))
		}
	case customer.FieldIdentifier:
		add(fmt.Sprintf("%03d", column), customer.Value{Parts: map[string]string{"type": to.part, "value": unpointed(v)}})
	case "birthDate":
		if d := isoDate(unpointed(v), t.order); d != "" {
			add("", customer.Text(d))
		}
	default:
		id := to.element
		if i := slices.IndexFunc(customer.Fields(), func(f customer.Field) bool { return f.Name == to.field }); !customer.Fields()[i].List {
			id = ""
		} else if id == "" {
			id = "1"
		}
		add(id, customer.Text(v))
	}
	return out
}

// address puts a part of an address to the others of its element; lines are put below one another, of other parts the first counts.
func address(parts map[string]map[string]string, to target, v string) {
	if parts[to.element] == nil {
		parts[to.element] = map[string]string{}
	}
	p := parts[to.element]
	switch {
	case p[to.part] == "":
		p[to.part] = unpointed(v)
	case to.part == "addressLines":
		p[to.part] += "\n" + v
	}
}

// unpointed takes from a number what a spreadsheet has put behind it: 3165.0 is 3165.
func unpointed(v string) string {
	if n, ok := strings.CutSuffix(v, ".0"); ok && digits(n) {
		return n
	}
	return v
}

// split puts a date together that stands in several columns; without a year it may still tell day and month.
func split(d [3]string) string {
	year, m, day := d[0], max(month(strings.ToLower(d[1])), 0), 0
	if digits(d[2]) && len(d[2]) <= 2 {
		day, _ = strconv.Atoi(d[2])
	}
	if year == "" && m > 0 && day > 0 {
		return fmt.Sprintf("--%02d-%02d", m, day)
	}
	return whole(year, m, day)
}
