package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// listing is an answer of many things of one kind: rows for people and spreadsheets, the things themselves for programs.
type listing struct {
	columns []string
	rows    [][]string
	items   any    // a slice, printed as it is
	empty   string // said to people when there is nothing
}

// list prints a listing in the format that was asked for.
func (p *program) list(l listing) error {
	switch p.format {
	case "json":
		return p.json(l.items)
	case "ndjson":
		return ndjson(p.out, l.items)
	case "csv":
		w := csv.NewWriter(p.out)
		rows := make([][]string, 0, len(l.rows)+1)
		rows = append(rows, l.columns)
		for _, row := range l.rows {
			safe := make([]string, len(row))
			for i, cell := range row {
				safe[i] = spreadsheet(cell)
			}
			rows = append(rows, safe)
		}
		return w.WriteAll(rows)
	}
	if len(l.rows) == 0 {
		_, err := fmt.Fprintln(p.out, l.empty)
		return err
	}
	return table(p.out, l.columns, l.rows)
}

// one prints a single thing: as itself for programs, by human for people.
func (p *program) one(item any, human func(w io.Writer) error) error {
	switch p.format {
	case "json":
		return p.json(item)
	case "ndjson":
		return encoder(p.out).Encode(item)
	case "csv":
		return p.only("table", "json", "ndjson")
	}
	return human(p.out)
}

func (p *program) json(v any) error {
	enc := encoder(p.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func encoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// ndjson prints the items of a slice, one a line.
func ndjson(w io.Writer, items any) error {
	raw, err := json.Marshal(items)
	if err != nil {
		return err
	}
	var each []json.RawMessage
	if err := json.Unmarshal(raw, &each); err != nil {
		return err
	}
	for _, item := range each {
		if err := encoder(w).Encode(item); err != nil {
			return err
		}
	}
	return nil
}

func table(out io.Writer, columns []string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if columns != nil {
		fmt.Fprintln(w, strings.ToUpper(strings.Join(columns, "\t")))
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// plain makes a text of an outside system safe for a terminal: what would move the cursor, turn the direction or hide is shown as
// a code instead.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// spreadsheet keeps a cell from being taken for a formula, by one of the characters that begin one, wide ones with them, also behind blanks
// (OWASP, "CSV Injection").
func spreadsheet(cell string) string {
	shown := strings.TrimLeftFunc(cell, unicode.IsSpace)
	first, _ := utf8.DecodeRuneInString(shown)
	if cell != "" && strings.ContainsRune("\t\r", rune(cell[0])) || shown != "" && strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}
