package table

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// DefaultScope is the scope of a loaded row's version where the file of columns names none.
const DefaultScope = "load"

// Sheet is a file of records that is to be loaded: it was read to its end once, so that all that is wrong with it as a whole is known
// before anything is done. Rows are read from it in memory that does not grow with the file, but for some 20 bytes a row, by which one that
// names the same record again is found.
type Sheet struct {
	plan
	Format Format
	Notes  []string // what was assumed on the way, in sentences without values
	Rows   int64    // that hold anything, the faulty with them
	name   string
	head   []byte         // the plan, as it goes with each message
	seen   map[uint64]int // line of the first row of a key that comes again
	seed   maphash.Seed
	asOf   time.Time
	zone   *time.Location
	form   order
}

// Entry is one row: the message that says it, or what is wrong with it. Doubts are values that the row was taken without.
type Entry struct {
	Line    int
	Message *event.Message  // nil where there is a Fault
	Change  customer.Change // what the message says
	Fault   *Fault
	Doubts  []Fault
	Raw     []byte // the row as it stands, in UTF-8; good until the next is read
}

// Loading says how a file is to be loaded.
type Loading struct {
	Columns Columns
	Format  Format    // what is known of it; empty: found out
	AsOf    time.Time // when the file said so, for rows that do not say when they were changed
}

// Survey reads a file twice to its end, once for its format and once for its rows. open begins it anew each time; name is what errors call
// it. What is wrong with it as a whole is event.Diagnostics.
func Survey(name string, open func() (io.ReadCloser, error), how Loading) (*Sheet, error) {
	s := &Sheet{
		plan: plan{order: how.Columns.Dates, region: how.Columns.Region, load: true, id: -1}, name: name,
		seen: map[uint64]int{}, seed: maphash.MakeSeed(), asOf: how.AsOf.UTC(), zone: time.UTC,
	}
	if how.Columns.Zone != "" {
		var err error
		if s.zone, err = time.LoadLocation(how.Columns.Zone); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	err := through(open, func(in io.Reader) (err error) {
		s.Format, err = Detect(name, in, how.Format)
		return err
	})
	if err == nil {
		err = through(open, func(in io.Reader) error { return s.survey(in, how.Columns) })
	}
	if err != nil {
		return nil, err
	}
	s.Notes = append(s.Notes, s.Format.Assumed...)
	return s, s.settle(how.Columns)
}

func through(open func() (io.ReadCloser, error), read func(io.Reader) error) error {
	in, err := open()
	if err != nil {
		return err
	}
	return errors.Join(read(in), in.Close())
}

// begin reads the first line, which names the columns.
func (s *Sheet) begin(in io.Reader) (*lines, []string, error) {
	l := newLines(s.name, s.Format.decode(in), s.Format.Delimiter)
	for range s.Format.skip {
		if _, err := l.next(); err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
	}
	first, err := l.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, diagnose(s.name, 0, 0, "the file is empty", "the first line names the columns, each line below is a record")
	case err != nil:
		return nil, nil, err
	case first.fault != nil:
		f := first.fault
		return nil, nil, diagnose(s.name, f.Line, f.Column, "in the line that names the columns "+f.Text, f.Hint)
	case len(first.cells) > MaxColumns:
		return nil, nil, diagnose(s.name, first.number, 0, fmt.Sprintf("there are %d columns, more than %d", len(first.cells), MaxColumns),
			"export fewer, or look whether the delimiter is another: --delimiter")
	case len(first.cells) == 1:
		return nil, nil, diagnose(s.name, first.number, 0, "there is one column only: no comma, semicolon, tab or bar stands between names",
			"name what stands between them with --delimiter")
	}
	names, taken := make([]string, len(first.cells)), map[string]int{}
	for i, name := range first.cells {
		if at := s.Format.strange(name); at >= 0 || strings.ContainsRune(name, 0) {
			n, column := first.columns(i)
			return nil, nil, diagnose(s.name, n, column, "the name of a column has bytes that are no text in "+s.Format.Encoding,
				"name the encoding of the file with --encoding")
		}
		names[i] = strings.TrimSpace(name)
		if len(names[i]) > customer.MaxWord {
			n, column := first.columns(i)
			return nil, nil, diagnose(s.name, n, column, fmt.Sprintf("the name of a column has more than %d bytes", customer.MaxWord),
				"the first line names the columns: is it missing?")
		}
		if taken[names[i]]++; taken[names[i]] > 1 {
			names[i] = fmt.Sprintf("%s (%d)", names[i], taken[names[i]])
		}
	}
	l.width = len(names)
	return l, names, nil
}

// survey reads every row to find out which column names them, and how dates stand.
func (s *Sheet) survey(in io.Reader, c Columns) error {
	l, names, err := s.begin(in)
	if err != nil {
		return err
	}
	for _, name := range names {
		s.Columns = append(s.Columns, Column{Name: name})
	}
	if err := s.recognise(c); err != nil {
		return err
	}
	keys := s.candidates(c)
	for {
		row, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if blank(row) {
			continue
		}
		if s.Rows++; s.Rows > MaxRows {
			return diagnose(s.name, row.number, 0, fmt.Sprintf("the file has more than %d rows", MaxRows), "split it")
		}
		if row.fault != nil || s.fit(&row) != nil {
			continue
		}
		for i := range keys {
			keys[i].see(s, row)
		}
		s.form.see(row.cells, s.dated())
	}
	return s.choose(keys, c)
}

// recognise says what each column holds.
func (s *Sheet) recognise(c Columns) error {
	t := &Table{plan: s.plan, name: s.name}
	if err := t.assign(c); err != nil {
		return err
	}
	s.plan = t.plan
	return nil
}

// fit brings a row to the number of the columns, and answers what is wrong with it.
func (s *Sheet) fit(row *line) *Fault {
	if extra := row.cells[min(len(row.cells), len(s.Columns)):]; slices.ContainsFunc(extra, func(c string) bool { return c != "" }) {
		n, column := row.columns(len(s.Columns))
		return &Fault{
			Line: n, Column: column, Text: fmt.Sprintf("the row has %d cells, the first line names %d", len(row.cells), len(s.Columns)),
			Hint: "a cell that holds the delimiter stands in quotes",
		}
	}
	if len(row.cells) < len(s.Columns) {
		return &Fault{
			Line: row.number, Text: fmt.Sprintf("the row has %d cells, the first line names %d", len(row.cells), len(s.Columns)),
			Hint: "a cell with a line break in it stands in quotes",
		}
	}
	row.cells = row.cells[:len(s.Columns)]
	for i, v := range row.cells {
		at := s.Format.strange(v)
		if at < 0 {
			at = strings.IndexByte(v, 0)
		}
		if at >= 0 {
			n, column := row.columns(i)
			return &Fault{
				Line: n, Column: column + at, Text: "these bytes are no text in " + s.Format.Encoding,
				Hint: "save the file in one encoding, and name it with --encoding",
			}
		}
		if row.cells[i] = loaded(v); len(row.cells[i]) > MaxCell && s.holds(i) {
			n, column := row.columns(i)
			return &Fault{
				Line: n, Column: column, Text: fmt.Sprintf("the cell has %d bytes, more than %d", len(v), MaxCell),
				Hint: "shorten it, or leave the column out: write ignore for it in the file of columns",
			}
		}
	}
	return nil
}

func (s *Sheet) holds(column int) bool {
	to := s.Columns[column].to.field
	return to != "" && to != targetNone || column == s.id
}

// dated answers the columns that hold dates.
func (s *Sheet) dated() (out []int) {
	for i := range s.Columns {
		if to := s.Columns[i].to; to.field == targetUpdated || to == (target{field: "birthDate"}) {
			out = append(out, i)
		}
	}
	return out
}

func blank(row line) bool {
	return row.fault == nil && !slices.ContainsFunc(row.cells, func(c string) bool { return strings.TrimSpace(c) != "" })
}

// loaded answers a value as it was meant: without blanks around it, and without what programs put before it lest a spreadsheet takes it
// for a number or a formula ("=""007""", '+41...). What is none is empty.
func loaded(v string) string {
	v = strings.TrimSpace(v)
	if inner, ok := strings.CutPrefix(v, `="`); ok && strings.HasSuffix(inner, `"`) && strings.Count(inner, `"`) == 1 {
		v = strings.TrimSpace(inner[:len(inner)-1])
	}
	if len(v) > 1 && v[0] == '\'' && strings.IndexByte("=+-@0123456789", v[1]) >= 0 {
		v = v[1:]
	}
	if placeholder(v) {
		return ""
	}
	return v
}

// settle writes down the plan as it goes with each message.
func (s *Sheet) settle(c Columns) error {
	p := header{Edition: edition, Dates: s.order, Region: s.region, Scope: c.Scope}
	if p.Scope == "" {
		p.Scope = DefaultScope
	}
	for i := range s.Columns {
		if s.holds(i) {
			p.Columns = append(p.Columns, headerColumn{Name: s.Columns[i].Name, Holds: s.Columns[i].Holds})
		}
	}
	var err error
	s.head, err = json.Marshal(p)
	return err
}

// Each reads the file again and calls fn for every row that holds anything, until it answers an error.
func (s *Sheet) Each(in io.Reader, fn func(Entry) error) error {
	l, _, err := s.begin(in)
	if err != nil {
		return err
	}
	for {
		row, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if blank(row) {
			continue
		}
		if err := fn(s.entry(row)); err != nil {
			return err
		}
	}
}

// entry makes a message of a row.
func (s *Sheet) entry(row line) Entry {
	e := Entry{Line: row.number, Raw: row.raw, Fault: row.fault}
	if e.Fault == nil {
		e.Fault = s.fit(&row)
	}
	if e.Fault == nil {
		e.Fault = s.named(row)
	}
	if e.Fault != nil {
		return e
	}
	m, f := s.message(row)
	if f != nil {
		e.Fault = f
		return e
	}
	changes, doubts, err := read(m)
	if err == nil {
		var refused []event.Refusal
		if changes, refused = customer.Seal(changes, m, 1); len(refused) > 0 {
			err = refused[0].Err
		}
	}
	if err != nil {
		e.Fault = &Fault{Line: row.number, Text: err.Error()}
		return e
	}
	e.Message, e.Change = m, changes[0]
	for _, d := range doubts {
		n, column := row.columns(s.position(d.name))
		e.Doubts = append(e.Doubts, Fault{Line: n, Column: column, Text: d.text, Hint: d.hint})
	}
	return e
}

func (s *Sheet) position(name string) int {
	return slices.IndexFunc(s.Columns, func(c Column) bool { return c.Name == name })
}

// message writes a row as the service reads it.
func (s *Sheet) message(row line) (*event.Message, *Fault) {
	r := record{Key: row.cells[s.id], At: s.asOf, Cells: map[string]json.RawMessage{}}
	for i, v := range row.cells {
		to := s.Columns[i].to.field
		if v == "" || !s.holds(i) {
			continue
		}
		if to == targetUpdated {
			at, ok := s.form.time(v, s.order, s.zone)
			if !ok {
				n, column := row.columns(i)
				return nil, &Fault{
					Line: n, Column: column, Text: "this is no time",
					Hint: "write 2026-03-01T12:00:00Z, or write ignore for the column in the file of columns",
				}
			}
			r.At = at
			continue
		}
		if to != "" && to != targetID && to != targetNone {
			text, err := json.Marshal(v)
			if err != nil {
				return nil, &Fault{Line: row.number, Text: "the row cannot be written as JSON"}
			}
			r.Cells[s.Columns[i].Name] = text
		}
	}
	value, err := json.Marshal(r)
	if err != nil || !utf8.Valid(value) {
		return nil, &Fault{Line: row.number, Text: "the row cannot be written as JSON"}
	}
	return &event.Message{
		Key: []byte(r.Key), Value: value,
		Headers: []event.Header{{Key: HeaderPlan, Value: s.head}, {Key: HeaderLine, Value: fmt.Appendf(nil, "%d", row.number)}},
	}, nil
}
