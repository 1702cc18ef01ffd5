package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	csvtable "github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/event"
)

func (p *program) matchCommand() *cobra.Command {
	c := &cobra.Command{Use: "match", Short: "Measure how well records are put together, and see by what"}
	c.AddCommand(p.evalCommand(), p.modelCommand(), p.surveyCommand())
	return c
}

// Evaluation is what matching a file of records came to. What is judged stands only where a truth was given.
type Evaluation struct {
	Records          int     `json:"records"`
	Customers        int     `json:"customers"`
	Largest          int     `json:"largest_cluster"`
	Candidates       float64 `json:"candidates_per_record"` // pairs that were scored
	RecordsPerSecond float64 `json:"records_per_second"`
	WallSeconds      float64 `json:"wall_seconds"`
	CPUSeconds       float64 `json:"cpu_seconds"`
	Model            string  `json:"model"`
	Households       bool    `json:"households"` // do families share addresses in these records
	*Judged
}

// Judged is how the clusters stand against the truth. It is looked at when they are final.
type Judged struct {
	Pairwise         match.Accuracy `json:"pairwise"`
	BCubed           match.Accuracy `json:"bcubed"`
	TruePairs        int64          `json:"true_pairs"`
	JoinedPairs      int64          `json:"joined_pairs"`
	RightPairs       int64          `json:"right_pairs"`
	PairCompleteness float64        `json:"pair_completeness"` // share of the true pairs that the keys bring together
	Judged           int            `json:"judged_records"`
	Parties          int            `json:"parties"`
}

// evaluation is one run of match eval.
type evaluation struct {
	*program
	records, truth, columns, clusters string
}

func (p *program) evalCommand() *cobra.Command {
	e := &evaluation{program: p}
	c := &cobra.Command{
		Use: "eval --records R.csv", Args: cobra.NoArgs,
		Short: "Put the records of a CSV file together as the service would, and judge it against a truth",
		Long: "Read records from a CSV file, put them together under the model that ships with us, with the statistics of these records,\n" +
			"and say what it came to; --clusters writes id,cluster. Columns are known by their usual names, or named in the file of\n" +
			"--columns. With --truth, a file of id and party, it is judged: pairwise and B-cubed precision, recall and F1. What was\n" +
			"recognised, and what was left out, stands on stderr. docs/matching.md has the names and the file of columns.",
		Example: "  onefold match eval --records people.csv --clusters out.csv\n" +
			"  onefold match eval --records R.csv --truth T.csv --columns C.yaml -o json",
	}
	c.Flags().StringVar(&e.records, "records", "", "CSV file of records, the first line names the columns")
	c.Flags().StringVar(&e.truth, "truth", "", "CSV file of id and party, to judge by")
	c.Flags().StringVar(&e.columns, "columns", "", "YAML file that says what columns hold")
	c.Flags().StringVar(&e.clusters, "clusters", "", "write id,cluster to this file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		if e.records == "" {
			return &usage{text: "there are no records to evaluate", hint: "add --records FILE.csv"}
		}
		return e.run(c.Context())
	}
	return c
}

func (e *evaluation) run(ctx context.Context) error {
	t, err := e.read()
	if err != nil {
		return err
	}
	e.recognised(t)
	r, err := e.resolve(ctx, t)
	if err != nil {
		return err
	}
	if e.clusters != "" {
		if err := writeClusters(e.clusters, r); err != nil {
			return err
		}
	}
	if e.truth != "" { // the clusters are final
		if r.summary.Judged, err = e.judge(r); err != nil {
			return err
		}
	}
	return e.one(r.summary, r.summary.print)
}

// read reads the records, and the file of columns.
func (e *evaluation) read() (*csvtable.Table, error) {
	var columns csvtable.Columns
	if e.columns != "" {
		raw, err := os.ReadFile(e.columns)
		if err != nil {
			return nil, surroundings(err, "name a file that this user may read with --columns")
		}
		var found event.Diagnostics
		if columns, found = csvtable.ParseColumns(e.columns, raw); len(found) > 0 {
			return nil, found
		}
	}
	return readTable(e.records, columns)
}

func readTable(file string, c csvtable.Columns) (*csvtable.Table, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, surroundings(err, "name a file that this user may read")
	}
	defer f.Close()
	return csvtable.Read(filepath.Base(file), f, c)
}

// recognised says on stderr what each column was taken for, and which are left out.
func (e *evaluation) recognised(t *csvtable.Table) {
	var out []string
	fmt.Fprintf(e.err, "%s read from %s\n", strings.TrimSpace(count(t.Rows(), "record", "")), plain(e.records))
	for _, c := range t.Columns {
		if c.Holds == "" {
			out = append(out, plain(c.Name))
			continue
		}
		fmt.Fprintf(e.err, "  %s is %s\n", plain(c.Name), c.Holds)
	}
	if len(out) > 0 {
		fmt.Fprintf(e.err, "left out: %s\n", strings.Join(out, ", "))
	}
	for _, n := range t.Notes {
		fmt.Fprintln(e.err, n)
	}
}

func (s *Evaluation) print(w io.Writer) error {
	n := func(i int) string { return fmt.Sprint(i) }
	rows := [][]string{
		{"records", n(s.Records), ""},
		{"customers", n(s.Customers), "the largest has " + strings.TrimSpace(count(s.Largest, "record", ""))},
		{"candidates", fmt.Sprintf("%.1f", s.Candidates), "a record"},
		{"seconds", fmt.Sprintf("%.1f", s.WallSeconds), fmt.Sprintf("%.1f of processors", s.CPUSeconds)},
		{"records", fmt.Sprintf("%.0f", s.RecordsPerSecond), "a second"},
	}
	if j := s.Judged; j != nil {
		rows = append(rows,
			accuracyRow("pairwise F1", j.Pairwise), accuracyRow("B-cubed F1", j.BCubed),
			[]string{"completeness", fmt.Sprintf("%.4f", j.PairCompleteness), fmt.Sprintf("of %d true pairs", j.TruePairs)},
			[]string{"judged", n(j.Judged), fmt.Sprintf("records of %d parties", j.Parties)})
	}
	return table(w, nil, rows)
}

func accuracyRow(name string, a match.Accuracy) []string {
	return []string{name, fmt.Sprintf("%.4f", a.F1), fmt.Sprintf("precision %.4f, recall %.4f", a.Precision, a.Recall)}
}
