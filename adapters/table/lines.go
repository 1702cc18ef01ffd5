package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Limits of a row that is read in a stream (invariant 10).
const (
	MaxRow    = 2 << 20 // bytes, line ends and quotes with it
	MaxBroken = 1_000   // rows whose quotes are wrong: with more of them the file is written in another way than it is read
)

// Fault is what is wrong with a row, or with a value of it: where, what, and how to mend it. It quotes nothing (invariant 9).
type Fault struct {
	Line   int    `json:"line"`   // of the file, from 1
	Column int    `json:"column"` // in bytes, from 1; 0 where the whole row is meant
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

// line is one row as it stands in the file. What it holds is good until the next is read.
type line struct {
	number  int
	cells   []string
	columns func(cell int) (line, column int)
	raw     []byte
	fault   *Fault
}

// lines reads rows one after another in memory that does not grow with the file. A row that cannot be read is told, and reading goes on
// behind its first line: a quote that nobody closes costs one row, not the rest of the file.
type lines struct {
	name   string
	comma  rune
	width  int // cells of a row, 0 until the first is read
	in     window
	r      *csv.Reader
	start  int64 // where the csv.Reader began
	before int   // lines before it
	passed int   // lines let go of
	broken int
}

func newLines(name string, in io.Reader, comma rune) *lines {
	l := &lines{name: name, comma: comma, in: window{in: in}}
	l.restart(0, 0)
	return l
}

func (l *lines) restart(at int64, before int) {
	l.in.seek(at)
	l.start, l.before = at, before
	l.r = csv.NewReader(&l.in)
	l.r.Comma, l.r.FieldsPerRecord, l.r.ReuseRecord = l.comma, -1, true
	l.r.TrimLeadingSpace = l.comma != '\t' // else it would take empty cells for blanks
}

// next answers the next row, io.EOF behind the last.
func (l *lines) next() (line, error) {
	cells, err := l.r.Read()
	if errors.Is(err, io.EOF) {
		return line{}, io.EOF
	}
	end := l.start + l.r.InputOffset()
	raw, number := l.row(end)
	var parse *csv.ParseError
	switch {
	case err == nil:
		l.pass(end)
		before := l.before
		at := func(i int) (int, int) { n, column := l.r.FieldPos(i); return before + n, column }
		return line{number: number, cells: cells, columns: at, raw: bytes.TrimRight(raw, "\r\n")}, nil
	case errors.Is(err, errLong):
		return l.long(number)
	case errors.As(err, &parse):
		return l.mend(parse, raw, number, end)
	}
	return line{}, fmt.Errorf("%s: %w", l.name, err)
}

// row answers what stands between the last row and an offset, without the empty lines that were passed over, and the number of its first
// line.
func (l *lines) row(end int64) (raw []byte, number int) {
	all := l.in.upTo(end)
	raw = bytes.TrimLeft(all, "\r\n")
	return raw, l.passed + bytes.Count(all[:len(all)-len(raw)], []byte{10}) + 1
}

// pass lets go of everything before an offset.
func (l *lines) pass(end int64) {
	l.passed += bytes.Count(l.in.upTo(end), []byte{10})
	l.in.release(end)
}

// mend takes a row with a quote in a cell that has none around it as it stands, if it has as many cells as it should. Of others the first
// line is refused: behind it the file is read as if the quote were not there.
func (l *lines) mend(p *csv.ParseError, raw []byte, number int, end int64) (line, error) {
	f := &Fault{Line: l.before + p.Line, Column: p.Column}
	if errors.Is(p.Err, csv.ErrBareQuote) {
		if row := lazily(raw, l.comma, number); l.width > 0 && len(row.cells) == l.width {
			l.pass(end)
			return row, nil
		}
		f.Text = "a quote stands inside a cell that does not begin with one"
		f.Hint = `write the cell in quotes, and each quote in it twice: "5"" pipe"`
	} else {
		f.Text = fmt.Sprintf("a quote that opens in this row is not closed where its cell ends: it shows at line %d, column %d", f.Line, f.Column)
		if f.Line != number {
			f.Line, f.Column = number, 0
		}
		f.Hint = `close it before the delimiter, and write a quote within a cell twice: "5"" pipe"`
	}
	if n := bytes.IndexByte(raw, '\n'); n >= 0 {
		end -= int64(len(raw) - n - 1)
		raw = raw[:n]
	}
	return l.refuse(f, raw, number, end)
}

// long refuses the first line of a row that is longer than a row may be.
func (l *lines) long(number int) (line, error) {
	f := &Fault{
		Line: number, Text: fmt.Sprintf("a row begins here that has more than %d bytes", MaxRow),
		Hint: "a quote that opens in it is probably never closed; else leave the long column out of the export",
	}
	end := l.in.end()
	raw, _ := l.row(end)
	if n := bytes.IndexByte(raw, '\n'); n >= 0 {
		return l.refuse(f, raw[:n], number, end-int64(len(raw)-n-1))
	}
	raw = slices.Clone(raw)
	end, err := l.in.skipLine()
	if err != nil && !errors.Is(err, io.EOF) {
		return line{}, fmt.Errorf("%s: %w", l.name, err)
	}
	l.passed = number
	return l.refuse(f, raw, number, end)
}

// refuse goes on behind a row that cannot be read.
func (l *lines) refuse(f *Fault, raw []byte, number int, end int64) (line, error) {
	if l.broken++; l.broken > MaxBroken {
		what := fmt.Sprintf("this is one of more than %d rows that cannot be read: %s", MaxBroken, f.Text)
		return line{}, diagnose(l.name, f.Line, f.Column, what,
			"is the delimiter another, or are cells quoted in another way? Look at --delimiter, or export the file again")
	}
	raw = slices.Clone(bytes.TrimRight(raw, "\r\n"))
	l.pass(end)
	l.restart(end, l.passed)
	return line{number: number, raw: raw, fault: f}, nil
}

// lazily reads one line as it stands; nothing if it is more than one.
func lazily(raw []byte, comma rune, number int) line {
	if raw = bytes.TrimRight(raw, "\r\n"); bytes.IndexByte(raw, '\n') >= 0 {
		return line{}
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord, r.TrimLeadingSpace = comma, true, -1, comma != '\t'
	cells, err := r.Read()
	if err != nil || slices.ContainsFunc(cells, func(c string) bool { return strings.ContainsAny(c, "\r\n") }) {
		return line{}
	}
	return line{number: number, cells: cells, raw: raw, columns: func(i int) (int, int) { _, column := r.FieldPos(i); return number, column }}
}

// window is a reader that keeps what was read of a row, so that it can be read again in another way.
type window struct {
	in   io.Reader
	kept []byte
	base int64 // offset of kept
	from int   // of kept is let go
	next int   // of kept is to be read next
	err  error
}

// windowBytes is how much is read at a time.
const windowBytes = 64 << 10

// errLong tells that a row has no end within MaxRow.
var errLong = errors.New("the row is too long")

// Read implements io.Reader.
func (w *window) Read(p []byte) (int, error) {
	if w.next == len(w.kept) {
		if len(w.kept)-w.from > MaxRow {
			return 0, errLong
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.kept[w.next:])
	w.next += n
	return n, nil
}

func (w *window) fill() error {
	if w.err != nil {
		return w.err
	}
	if w.from > 0 {
		w.base += int64(w.from)
		w.next -= w.from
		w.kept = w.kept[:copy(w.kept, w.kept[w.from:])]
		w.from = 0
	}
	w.kept = slices.Grow(w.kept, windowBytes)
	n := 0
	for n == 0 && w.err == nil {
		n, w.err = w.in.Read(w.kept[len(w.kept) : len(w.kept)+windowBytes])
	}
	w.kept = w.kept[:len(w.kept)+n]
	if n == 0 {
		return w.err
	}
	return nil
}

// upTo answers what is kept up to an offset.
func (w *window) upTo(end int64) []byte {
	return w.kept[w.from:max(w.from, min(int(end-w.base), len(w.kept)))]
}

// end answers the offset behind what is kept.
func (w *window) end() int64 { return w.base + int64(len(w.kept)) }

// release lets go of everything before an offset.
func (w *window) release(end int64) { w.from = max(w.from, min(int(end-w.base), len(w.kept))) }

// seek has what is kept read again from an offset.
func (w *window) seek(at int64) { w.next = min(int(at-w.base), len(w.kept)) }

// skipLine reads on to the end of a line, and answers the offset behind it. Nothing before it is kept.
func (w *window) skipLine() (int64, error) {
	for {
		w.from, w.next = len(w.kept), len(w.kept)
		if err := w.fill(); err != nil {
			return w.end(), err
		}
		if n := bytes.IndexByte(w.kept, '\n'); n >= 0 {
			w.from, w.next = n+1, n+1
			return w.base + int64(n) + 1, nil
		}
	}
}
