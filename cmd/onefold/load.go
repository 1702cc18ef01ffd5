package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	csvtable "github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
)

// load is one run of onefold load.
type load struct {
	*program
	file, source, columns, rejects, encoding, delimiter, config, asOf string
	brokers                                                           []string
	dry, wait                                                         bool
	preview                                                           int

	topic string
	out   Loaded
}

// loadGrowth is how much the heap of a load may grow, in percent of what is in use, before it is collected.
const loadGrowth = 50

// Loaded is what a load came to.
type Loaded struct {
	Load      string              `json:"load,omitempty"` // its id, as the service tells it
	File      string              `json:"file"`
	Source    string              `json:"source"`
	Topic     string              `json:"topic"`
	DryRun    bool                `json:"dryRun,omitempty"`
	Encoding  string              `json:"encoding"`
	Delimiter string              `json:"delimiter"`
	Key       string              `json:"key"` // the column that names the rows
	Columns   map[string]string   `json:"columns"`
	LeftOut   []string            `json:"leftOut"`
	Notes     []string            `json:"notes,omitempty"`
	Rows      int64               `json:"rows"`
	Sent      int64               `json:"sent"`
	Rejected  int64               `json:"rejected"`           // rows
	Values    int64               `json:"leftValues"`         // values that rows were taken without
	Rejects   string              `json:"rejects,omitempty"`  // file that tells them
	Outcomes  *console.Outcomes   `json:"outcomes,omitempty"` // of the rows that were sent
	Preview   []map[string]string `json:"preview,omitempty"`
}

func (p *program) loadCommand() *cobra.Command {
	l := &load{program: p}
	c := &cobra.Command{
		Use: "load --csv FILE --source NAME", Args: cobra.NoArgs,
		Short: "Bring in the export of an existing CRM from a CSV file",
		Long: "Read the records of a CSV file and put each on the topic of a configured source, where the running service takes it like every\n" +
			"other message. Columns are known by their usual names, or named in the file of --columns. First the whole file is read; how its\n" +
			"first rows are understood stands on stderr, and nothing is sent before. Rows that cannot be taken go to a file with the reason.\n" +
			"A load that broke off is begun again: what has been taken is known, and counts as duplicate. docs/load.md is a walk through it.",
		Example: "  onefold load --csv contacts.csv --source crm --dry-run\n" +
			"  onefold load --csv contacts.csv --source crm --columns columns.yaml",
	}
	f := c.Flags()
	f.StringVar(&l.file, "csv", "", "CSV file of records, the first line names the columns")
	f.StringVar(&l.source, "source", "", "the configured source that the records belong to")
	f.StringVar(&l.columns, "columns", "", "YAML file that says what columns hold")
	f.StringVar(&l.rejects, "rejects", "",
		"file for rows that cannot be taken (default: the CSV file's name and .rejects.csv, in this folder)")
	f.StringVar(&l.encoding, "encoding", "", "encoding of the file (default: found out): utf-8, utf-16le, windows-1252, ...")
	f.StringVar(&l.delimiter, "delimiter", "", "what stands between cells (default: found out): one character, or tab")
	f.StringVar(&l.asOf, "as-of", "",
		"when the file says so, RFC 3339, for rows without a time of their own (default: when the file was written)")
	f.StringSliceVar(&l.brokers, "brokers", nil, "addresses of the broker (default: those of the configuration)")
	f.BoolVar(&l.dry, "dry-run", false, "read the whole file and tell what would be sent, and send nothing")
	f.BoolVar(&l.wait, "wait", true, "wait until every row has its outcome, and tell it")
	f.IntVar(&l.preview, "preview", 3, "rows that are shown as they are understood")
	config := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		l.config = *config
		defer debug.SetGCPercent(debug.SetGCPercent(loadGrowth)) // a file may be larger than memory
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		return l.run(c.Context())
	}
	return c
}

func (l *load) run(ctx context.Context) error {
	how, err := l.flags()
	if err != nil {
		return err
	}
	cfg, err := l.program.load(l.config)
	if err != nil {
		return err
	}
	src, ok := cfg.Sources[l.source]
	if !ok {
		text := fmt.Sprintf("the configuration has no source %q", plain(l.source))
		return &usage{text: text, hint: "it has " + strings.Join(cfg.SourceNames(), ", ")}
	}
	l.topic = src.Topic
	info, err := os.Stat(l.file)
	if err != nil {
		return surroundings(err, "name a file that this user may read with --csv")
	}
	if how.AsOf.IsZero() {
		how.AsOf = info.ModTime()
	}
	sheet, err := csvtable.Survey(filepath.Base(l.file), l.open, *how)
	if err != nil {
		return err
	}
	l.describe(sheet)
	if err := l.show(sheet); err != nil {
		return err
	}
	left, err := newRejects(l.rejects, l.file)
	if err != nil {
		return err
	}
	if l.dry {
		err = l.read(ctx, sheet, left, func(csvtable.Entry) error { return nil })
	} else {
		err = l.send(ctx, cfg, sheet, left)
	}
	if err := errors.Join(err, left.close(), l.unchanged(info)); err != nil {
		return err
	}
	l.out.Rejects = left.written()
	return l.end()
}

// flags reads the flags.
func (l *load) flags() (*csvtable.Loading, error) {
	switch {
	case l.file == "":
		return nil, &usage{text: "there is nothing to load", hint: "add --csv FILE.csv"}
	case l.source == "":
		return nil, &usage{text: "it is not said whose records these are", hint: "add --source NAME, a source of the configuration"}
	}
	how := &csvtable.Loading{Format: csvtable.Format{Encoding: strings.ToLower(l.encoding)}}
	switch r, size := utf8.DecodeRuneInString(l.delimiter); {
	case l.delimiter == "":
	case l.delimiter == "tab" || l.delimiter == `\t`:
		how.Format.Delimiter = '\t'
	case size != len(l.delimiter) || r == '"' || r == '\r' || r == '\n' || r == utf8.RuneError:
		return nil, &usage{text: "--delimiter is not one character", hint: `write --delimiter ';', or --delimiter tab`}
	default:
		how.Format.Delimiter = r
	}
	if l.asOf != "" {
		var err error
		if how.AsOf, err = time.Parse(time.RFC3339, l.asOf); err != nil || !event.TimeFits(how.AsOf) {
			return nil, &usage{text: "--as-of is no time", hint: "write 2026-03-01T12:00:00Z"}
		}
	}
	var err error
	how.Columns, err = readColumns(l.columns)
	return how, err
}

// readColumns reads a file of columns; of no file nothing.
func readColumns(file string) (csvtable.Columns, error) {
	if file == "" {
		return csvtable.Columns{}, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return csvtable.Columns{}, surroundings(err, "name a file that this user may read with --columns")
	}
	columns, found := csvtable.ParseColumns(file, raw)
	if len(found) > 0 {
		return csvtable.Columns{}, found
	}
	return columns, nil
}

func (l *load) open() (io.ReadCloser, error) {
	f, err := os.Open(l.file)
	if err != nil {
		return nil, surroundings(err, "name a file that this user may read with --csv")
	}
	return f, nil
}

// unchanged tells whether somebody has written the file while it was read.
func (l *load) unchanged(before os.FileInfo) error {
	now, err := os.Stat(l.file)
	if err != nil || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()) {
		return &environment{
			text:   "the file was written while it was read",
			remedy: "load it again when it is whole: what was sent counts as duplicate then",
		}
	}
	return nil
}

// describe notes what the file was found to be.
func (l *load) describe(s *csvtable.Sheet) {
	l.out = Loaded{
		File: l.file, Source: l.source, Topic: l.topic, DryRun: l.dry, Encoding: s.Format.Encoding, Delimiter: string(s.Format.Delimiter),
		Key: s.Key(), Columns: map[string]string{}, LeftOut: []string{}, Notes: s.Notes, Rows: s.Rows,
	}
	for _, c := range s.Columns {
		if c.Holds == "" {
			l.out.LeftOut = append(l.out.LeftOut, c.Name)
			continue
		}
		l.out.Columns[c.Name] = c.Holds
	}
}

// show says on stderr how the file is understood, with its first rows.
func (l *load) show(s *csvtable.Sheet) error {
	fmt.Fprintf(l.err, "%s in %s: %s, %s between cells\n", strings.TrimSpace(count(int(s.Rows), "row", "")), plain(l.file), s.Format.Encoding,
		delimiterName(s.Format.Delimiter))
	fmt.Fprintf(l.err, "  %s names the rows\n", plain(s.Key()))
	for _, c := range s.Columns {
		if c.Holds != "" && c.Name != s.Key() {
			fmt.Fprintf(l.err, "  %s is %s\n", plain(c.Name), c.Holds)
		}
	}
	if len(l.out.LeftOut) > 0 {
		fmt.Fprintf(l.err, "left out: %s\n", plain(strings.Join(l.out.LeftOut, ", ")))
	}
	for _, n := range s.Notes {
		fmt.Fprintln(l.err, n)
	}
	enough := errors.New("enough")
	in, err := l.open()
	if err != nil {
		return err
	}
	defer in.Close()
	if l.preview <= 0 {
		return nil
	}
	err = s.Each(in, func(e csvtable.Entry) error {
		if e.Fault != nil {
			fmt.Fprintf(l.err, "line %d cannot be taken: %s\n", e.Line, e.Fault.Text)
		} else {
			l.understood(e)
		}
		if l.preview--; l.preview <= 0 {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		return nil
	}
	return err
}

// understood shows one row as it is understood.
func (l *load) understood(e csvtable.Entry) {
	row := map[string]string{"key": e.Change.Key, "at": e.Change.At.UTC().Format(time.RFC3339)}
	fmt.Fprintf(l.err, "line %d: %s, as of %s\n", e.Line, plain(e.Change.Key), row["at"])
	for _, st := range e.Change.Party {
		row[st.Path.String()] = valueText(st.Value)
		fmt.Fprintf(l.err, "    %s: %s\n", plain(st.Path.String()), plain(valueText(st.Value)))
	}
	l.out.Preview = append(l.out.Preview, row)
}

func delimiterName(r rune) string {
	switch r {
	case ',':
		return "a comma"
	case ';':
		return "a semicolon"
	case '\t':
		return "a tab"
	case '|':
		return "a bar"
	}
	return plain(string(r))
}

// read reads every row and hands on those that can be taken.
func (l *load) read(ctx context.Context, s *csvtable.Sheet, left *rejects, take func(csvtable.Entry) error) error {
	in, err := l.open()
	if err != nil {
		return err
	}
	defer in.Close()
	return s.Each(in, func(e csvtable.Entry) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e.Fault != nil {
			l.out.Rejected++
			return left.row(e)
		}
		l.out.Values += int64(len(e.Doubts))
		return errors.Join(left.values(e), take(e))
	})
}

// end tells what the load came to.
func (l *load) end() error {
	if err := l.one(l.out, l.out.print); err != nil {
		return err
	}
	dead := int64(0)
	if o := l.out.Outcomes; o != nil {
		dead = o.Dead
	}
	var what []string
	if n := l.out.Rejected + l.out.Values; n > 0 {
		what = append(what, fmt.Sprintf("%d rows and %d values were not taken: %s says why", l.out.Rejected, l.out.Values, l.out.Rejects))
	}
	if dead > 0 {
		what = append(what, fmt.Sprintf("%d rows are dead letters: onefold dead list", dead))
	}
	if len(what) > 0 {
		return &findings{text: strings.Join(what, "; ")}
	}
	return nil
}

func (o *Loaded) print(w io.Writer) error {
	n := func(i int64) string { return fmt.Sprint(i) }
	rows := [][]string{{"rows", n(o.Rows), ""}, {"sent", n(o.Sent), "to " + o.Topic}, {"rejected", n(o.Rejected), o.Rejects}}
	if o.DryRun {
		rows[1] = []string{"would be sent", n(o.Rows - o.Rejected), "to " + o.Topic}
	}
	if o.Values > 0 {
		rows = append(rows, []string{"values left out", n(o.Values), ""})
	}
	if c := o.Outcomes; c != nil {
		for _, name := range []struct {
			is string
			n  int64
		}{{"applied", c.Applied}, {"duplicate", c.Duplicate}, {"stale", c.Stale}, {"ignored", c.Ignored}, {"dead", c.Dead}} {
			rows = append(rows, []string{name.is, n(name.n), ""})
		}
		if lost := o.Sent - c.Sum(); lost > 0 {
			rows = append(rows, []string{"taken", n(lost), "their outcome was not told: the service was started again meanwhile"})
		}
	}
	return table(w, nil, rows)
}

// loadBrokers answers where the topic is.
func (l *load) loadBrokers(c *config.Config) ([]string, error) {
	switch {
	case len(l.brokers) > 0:
		return l.brokers, nil
	case !c.Kafka.Embedded():
		return c.Kafka.Brokers, nil
	}
	if _, port, err := net.SplitHostPort(c.Kafka.Listen); err != nil || port == "0" {
		return nil, &usage{text: "the embedded broker has no port of its own in the configuration", hint: "name its address with --brokers"}
	}
	return []string{c.Kafka.Listen}, nil
}

// newLoadID names one run of a load.
func (l *load) newLoadID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return l.now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:])
}
