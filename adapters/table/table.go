// Package table reads records of parties from CSV files as they come: columns are known by their usual names, or named by a file
// of columns. It serves evaluation and the first load of an existing customer list.
package table

import (
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
	plan
	Notes []string // what was guessed or mended on the way, in sentences without values
	name  string
	rows  [][]string
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
	t := &Table{name: name, plan: plan{order: c.Dates, region: c.Region}}
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
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = separator(b.first()), true, -1
	r.TrimLeadingSpace = r.Comma != '\t' // else it would take empty cells for blanks
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
	if placeholder(v) {
		return ""
	}
	if len(v) > MaxCell {
		v = strings.ToValidUTF8(v[:MaxCell], "")
	}
	return strings.ReplaceAll(v, "\x00", "")
}

// placeholder tells what programs write where there is no value.
func placeholder(v string) bool {
	switch v {
	case "NULL", "null", "NaN", "nan", "None", "NA", "N/A", "<NA>", `\N`, "NaT", "#N/A":
		return true
	}
	return false
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
		key := strconv.Itoa(i + 1)
		if t.id >= 0 {
			key = t.rows[i][t.id]
		}
		party, _ := t.row(t.rows[i])
		if err := fn(Row{Key: key, Party: party}); err != nil {
			return err
		}
	}
	return nil
}
