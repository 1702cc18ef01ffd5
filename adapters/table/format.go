package table

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/onefold/onefold/event"
)

// Format is how a file is written.
type Format struct {
	Encoding  string   // utf-8, utf-16le, utf-16be, windows-1252, or another name of the Encoding Standard; empty: found out
	Delimiter rune     // between cells; 0: found out
	Assumed   []string // what was found out and could be otherwise, in sentences
	carriage  bool     // lines end in a carriage return alone, as old programs write them
	skip      int      // lines before the one that names the columns
}

// Names of encodings that are found out.
const (
	utf8Name    = "utf-8"
	utf16leName = "utf-16le"
	utf16beName = "utf-16be"
	windowsName = "windows-1252"
)

// headBytes is how much of a file's beginning is looked at to find out the delimiter.
const headBytes = 64 << 10

// Detect reads a file to its end and finds out of its format what want does not say. Name is what errors call the file.
func Detect(name string, in io.Reader, want Format) (Format, error) {
	head := make([]byte, headBytes)
	n, err := io.ReadFull(in, head)
	head = head[:n]
	switch {
	case errors.Is(err, io.EOF), err == nil && len(bytes.TrimSpace(head)) == 0:
		return want, diagnose(name, 0, 0, "the file is empty", "the first line names the columns, each line below is a record")
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return want, fmt.Errorf("%s: %w", name, err)
	}
	for magic, what := range map[string]string{
		"PK\x03\x04": "a ZIP archive or a workbook (XLSX)", "\x1f\x8b": "compressed with gzip",
		"\xd0\xcf\x11\xe0": "a workbook (XLS)", "%PDF": "a PDF",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return want, diagnose(name, 1, 1, "this is "+what+", not text", "save it as CSV, or unpack it first")
		}
	}
	f := want
	if f.Encoding == "" {
		if f.Encoding, f.Assumed, err = encodingOf(head, in); err != nil {
			return want, fmt.Errorf("%s: %w", name, err)
		}
	} else if _, err := htmlindex.Get(f.Encoding); err != nil {
		return want, diagnose(name, 0, 0, fmt.Sprintf("there is no encoding %q", f.Encoding), "use utf-8, utf-16le, windows-1252 or iso-8859-2")
	}
	text, err := io.ReadAll(f.decode(bytes.NewReader(head)))
	if err != nil {
		return want, fmt.Errorf("%s: %w", name, err)
	}
	f.carriage = bytes.IndexByte(text, '\r') >= 0 && bytes.IndexByte(text, '\n') < 0
	f.delimit(string(text))
	return f, nil
}

// encodingOf finds out the encoding: by a byte order mark, by the NULs that every second byte is in UTF-16, and else by whether the bytes
// are UTF-8. Of a file that is UTF-8 in some places and not in others it takes the places that are.
func encodingOf(head []byte, rest io.Reader) (name string, assumed []string, err error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return utf8Name, nil, nil
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return utf16leName, nil, nil
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return utf16beName, nil, nil
	}
	var nul [2]int
	for i, b := range head {
		if b == 0 {
			nul[i%2]++
		}
	}
	for i, name := range []string{utf16beName, utf16leName} {
		if nul[i] > len(head)/5 && nul[i] > 4*nul[1-i] {
			return name, []string{"there is no byte order mark, and every second byte is NUL: read as " + strings.ToUpper(name)}, nil
		}
	}
	whole, broken, err := count(io.MultiReader(bytes.NewReader(head), rest))
	switch {
	case err != nil:
		return "", nil, err
	case broken > 0 && whole == 0:
		return windowsName, []string{"the bytes are not UTF-8: read as Windows-1252, as programs of Western Europe and America write it. " +
			"If letters come out wrong, name another with --encoding"}, nil
	case broken > 0:
		return utf8Name, []string{fmt.Sprintf("the file mixes encodings: %d characters are UTF-8, %d bytes are not. "+
			"Read as UTF-8; rows that are not are rejected", whole, broken)}, nil
	}
	return utf8Name, nil, nil
}

// count answers how many characters of more than one byte there are, and how many bytes that are no UTF-8.
func count(in io.Reader) (whole, broken int64, err error) {
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := in.Read(buf[kept:])
		b := buf[:kept+n]
		for len(b) > 0 && (err != nil || utf8.FullRune(b)) {
			if b[0] < utf8.RuneSelf {
				b = b[1:]
				continue
			}
			r, size := utf8.DecodeRune(b)
			if r == utf8.RuneError && size == 1 {
				broken++
			} else {
				whole++
			}
			b = b[size:]
		}
		kept = copy(buf, b)
		if errors.Is(err, io.EOF) {
			return whole, broken, nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

// decode answers the file in UTF-8 without a byte order mark. Bytes that are meant to be UTF-8 and are not stay as they are, to be told.
func (f *Format) decode(in io.Reader) io.Reader {
	if f.carriage {
		g := *f
		g.carriage = false
		return carriage{g.decode(in)}
	}
	if f.Encoding == utf8Name {
		b := bufio.NewReaderSize(in, headBytes)
		if mark, _ := b.Peek(3); string(mark) == "\xef\xbb\xbf" {
			_, _ = b.Discard(len(mark)) // they were seen
		}
		return b
	}
	enc, err := htmlindex.Get(f.Encoding)
	if err != nil { // Detect has looked
		return in
	}
	return transform.NewReader(in, unicode.BOMOverride(enc.NewDecoder()))
}

// carriage makes ends of lines of carriage returns.
type carriage struct{ in io.Reader }

// Read implements io.Reader.
func (c carriage) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	for i := range p[:n] {
		if p[i] == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// strange answers the place of the first character that the encoding does not have, -1 if there is none.
func (f *Format) strange(cell string) int {
	switch f.Encoding {
	case utf8Name:
		for i, r := range cell {
			if r == utf8.RuneError && !strings.HasPrefix(cell[i:], "\ufffd") {
				return i
			}
		}
		return -1
	case windowsName:
		return strings.IndexFunc(cell, func(r rune) bool { return r == utf8.RuneError || 0x80 <= r && r < 0xa0 })
	}
	return strings.IndexRune(cell, utf8.RuneError)
}

// delimit finds out the delimiter from the first lines: the one that stands equally often in the most of them, outside of quotes.
// A first line such as "sep=;", which spreadsheets write, says it.
func (f *Format) delimit(text string) {
	if sep, ok := strings.CutPrefix(strings.TrimLeft(text, "\r\n"), "sep="); ok && sep != "" {
		r, size := utf8.DecodeRuneInString(sep)
		if rest := sep[size:]; rest == "" || strings.ContainsAny(rest[:1], "\r\n") {
			f.skip = 1
			if f.Delimiter == 0 {
				f.Delimiter = r
			}
			return
		}
	}
	if f.Delimiter != 0 {
		return
	}
	best, bestLines, bestCount := ',', 0, 0
	for _, d := range []rune{',', ';', '\t', '|'} {
		counts := counted(text, d)
		if len(counts) == 0 || counts[0] == 0 {
			continue
		}
		same := 0
		for _, n := range counts {
			if n == counts[0] {
				same++
			}
		}
		if same > bestLines || same == bestLines && counts[0] > bestCount {
			best, bestLines, bestCount = d, same, counts[0]
		}
	}
	f.Delimiter = best
}

// sampledLines is how many lines tell the delimiter.
const sampledLines = 50

// counted answers how often a character stands outside of quotes, a line.
func counted(text string, d rune) (counts []int) {
	quoted, n := false, 0
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == d:
			n++
		case r == '\n' || r == '\r':
			if n > 0 || len(counts) == 0 {
				counts = append(counts, n)
			}
			if n = 0; len(counts) == sampledLines {
				return counts
			}
		}
	}
	if n > 0 || len(counts) == 0 {
		counts = append(counts, n)
	}
	return counts
}

func diagnose(file string, line, column int, message, hint string) error {
	return event.Diagnostics{{File: file, Line: line, Column: column, Message: message, Hint: hint}}
}
