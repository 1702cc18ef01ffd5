package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/review"
)

func (p *program) reviewCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "review", Short: "Decide on possible matches: pairs of customers that may be one and wait for a person",
		Long: "Decide on possible matches: evidence stands between two customers, and it was not enough, or something spoke against it.\n" +
			"docs/stewardship.md goes through it.",
	}
	c.AddCommand(p.reviewListCommand(), p.reviewNextCommand(), p.reviewDecideCommand(), p.reviewBulkCommand(),
		p.undoCommand(), p.reviewExportCommand(), p.reviewImportCommand())
	return c
}

func (p *program) reviewListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List pairs, the most urgent first",
	}
	state := c.Flags().String("state", "", "only those that are waiting, claimed or later")
	after := c.Flags().String("after", "", "behind the pair of that id")
	limit := c.Flags().Int("limit", 20, "at most so many")
	c.RunE = func(c *cobra.Command, _ []string) error {
		query := url.Values{"limit": {strconv.Itoa(*limit)}}
		for name, value := range map[string]string{"state": *state, "after": *after} {
			if value != "" {
				query.Set(name, value)
			}
		}
		var page customer.ReviewPage
		if err := p.ask(c.Context(), http.MethodGet, "/reviews", query, nil, &page); err != nil {
			return err
		}
		if err := p.list(reviewListing(page.Reviews)); err != nil || p.machine() {
			return err
		}
		if page.Pairs > int64(len(page.Reviews)) {
			fmt.Fprintf(p.err, "%d in all, the oldest since %s\n", page.Pairs, page.Oldest.UTC().Format("2006-01-02 15:04 UTC"))
		}
		return nil
	}
	return c
}

func reviewListing(pairs []customer.Possible) listing {
	l := listing{
		columns: []string{"id", "a", "b", "over", "records", "interactions", "priority", "since (UTC)", "state"}, items: pairs,
		empty: "nothing waits",
	}
	for _, v := range pairs {
		state := string(v.State)
		if v.State != customer.Waiting {
			state += " by " + v.By + " until " + v.Until.UTC().Format("2006-01-02 15:04")
		}
		l.rows = append(l.rows, []string{
			v.ID.String(), v.A.Source + "/" + v.A.Key, v.B.Source + "/" + v.B.Key, bits((v.Weight - v.Threshold).Float()),
			strconv.Itoa(v.Records), strconv.Itoa(v.Interactions), strconv.Itoa(v.Priority), v.Since.UTC().Format("2006-01-02 15:04"), state,
		})
	}
	return l
}

func (p *program) reviewNextCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "next", Args: cobra.NoArgs,
		Short: "Claim the most urgent pair for 15 minutes, and show what speaks for and against it",
		Long:  "Claim the most urgent pair that nobody looks at, for 15 minutes, and show what keeps the two apart. Who asks again has it still.",
	}
	author := c.Flags().String("author", "", "who asks; default the USER of the environment, or the token's holder")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		who, err := p.author(*author)
		if err != nil {
			return err
		}
		var claimed console.Claimed
		if err := p.ask(c.Context(), http.MethodPost, "/reviews/next", nil, console.Claim{Author: who}, &claimed); err != nil {
			return err
		}
		return p.one(claimed, func(w io.Writer) error {
			v := claimed.Review
			if v == nil {
				_, err := fmt.Fprintln(w, "nothing waits")
				return err
			}
			var x customer.Explanation
			query := url.Values{"a": {v.A.Record.String()}, "b": {v.B.Record.String()}}
			if err := p.ask(c.Context(), http.MethodGet, "/why-not", query, nil, &x); err != nil {
				return err
			}
			fmt.Fprintf(w, "%s, since %s, %s, %s; yours until %s\n\n", v.ID, v.Since.UTC().Format("2006-01-02 15:04"),
				many(v.Records, "record"), many(v.Interactions, "interaction"), v.Until.UTC().Format("15:04 UTC"))
			if err := printExplanation(w, &x); err != nil {
				return err
			}
			_, err := fmt.Fprintf(w, "\ndecide with: onefold review decide %s same|not-same|later\n", v.ID)
			return err
		})
	}
	return c
}

func (p *program) reviewDecideCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "decide ID same|not-same|later", Args: cobra.ExactArgs(2), Short: "Decide on a pair, or put it off for a week",
		Long: "Decide on a pair: same joins the two customers, not-same keeps them apart, whatever is heard later; later puts the pair off\n" +
			"for a week, or until its evidence changes. onefold review undo takes a decision back.",
	}
	author := c.Flags().String("author", "", "who decides; default the USER of the environment, or the token's holder")
	reason := c.Flags().String("reason", "", "why, for those who ask later")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		who, err := p.author(*author)
		if err != nil {
			return err
		}
		var done customer.Reviewed
		v := console.Verdict{Verdict: args[1], Author: who, Reason: *reason}
		if err := p.ask(c.Context(), http.MethodPost, "/reviews/"+escape(args[0])+"/decide", nil, v, &done); err != nil {
			return err
		}
		return p.one(done, func(w io.Writer) error {
			if done.Decision == nil {
				_, err := fmt.Fprintf(w, "put off until %s\n", done.Until.UTC().Format("2006-01-02 15:04 UTC"))
				return err
			}
			_, err := fmt.Fprintf(w, "%s: decision %s; onefold review undo takes it back\n", plain(done.Verdict), plain(done.Decision.ID))
			return err
		})
	}
	return c
}

func (p *program) reviewBulkCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "bulk same|not-same|later", Args: cobra.ExactArgs(1), Short: "One verdict on many pairs: shown first, taken with --apply",
		Long: "Show on which pairs a verdict would fall: those that wait, the most urgent first. With --apply and the seal that was shown\n" +
			"it is taken; if it would fall on others by then, nothing is. Each decision can be undone.",
		Example: "  onefold review bulk same --from 4 --source pos --limit 50\n" +
			"  onefold review bulk same --from 4 --source pos --limit 50 --apply 12-5f0c9a1be207",
	}
	b := review.Bulk{}
	c.Flags().StringVar(&b.Author, "author", "", "who decides; default the USER of the environment, or the token's holder")
	c.Flags().StringVar(&b.Reason, "reason", "", "why, for those who ask later")
	c.Flags().StringVar(&b.Source, "source", "", "only pairs with a record of this source")
	from := c.Flags().Float64("from", 0, "only pairs at least so many bits over what they need; negative is under it")
	to := c.Flags().Float64("to", 0, "only pairs at most so many bits over it")
	c.Flags().IntVar(&b.Limit, "limit", 50, "at most so many pairs")
	c.Flags().StringVar(&b.Apply, "apply", "", "take the verdict: the seal of the pairs that were shown")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		b.Verdict = args[0]
		if b.Author, err = p.author(b.Author); err != nil {
			return err
		}
		for name, set := range map[string]func(){
			"from": func() { w := customer.Weight(*from * float64(customer.Bits)); b.From = &w },
			"to":   func() { w := customer.Weight(*to * float64(customer.Bits)); b.To = &w },
		} {
			if c.Flags().Changed(name) {
				set()
			}
		}
		var done review.Decided
		if err := p.ask(c.Context(), http.MethodPost, "/reviews/bulk", nil, b, &done); err != nil {
			return err
		}
		return p.bulk(&done)
	}
	return c
}

// bulk prints what a verdict on many pairs came to.
func (p *program) bulk(done *review.Decided) error {
	if !done.Applied || p.machine() {
		if p.format == "json" {
			return p.json(done)
		}
		if err := p.list(reviewListing(done.Matched)); err != nil || p.machine() {
			return err
		}
		more := ""
		if done.More {
			more = ", and there are, or may be, others"
		}
		fmt.Fprintf(p.err, "the verdict would fall on these%s: take it with --apply %s\n", more, done.Seal)
		return nil
	}
	for _, r := range done.Reviewed {
		id := "put off"
		if r.Decision != nil {
			id = r.Decision.ID
		}
		fmt.Fprintf(p.out, "%s  %s  %s\n", r.Review, plain(r.Verdict), plain(id))
	}
	_, err := fmt.Fprintf(p.out, "%s, %d settled by others of them\n", many(len(done.Reviewed), "verdict"), done.Settled)
	return err
}

func (p *program) reviewExportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "export", Args: cobra.NoArgs, Short: "Write all decisions, one JSON object a line",
		Long: "Write all decisions, one JSON object a line, by source and key: they say the same in another installation.",
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := p.request(c.Context(), http.MethodGet, "/decisions", nil, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(p.out, resp.Body); err != nil {
				return fmt.Errorf("the export broke off, what was written is not the whole: %w", err)
			}
			return nil
		},
	}
}

func (p *program) reviewImportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "import [FILE]", Args: cobra.MaximumNArgs(1), Short: "Take decisions that onefold review export wrote; told twice they are one",
		Long: "Take decisions that onefold review export wrote, from FILE or standard input. Those about records that are not known here\n" +
			"yet are named: import the file again when they are. Exit code 4 if there are any.",
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.only("table", "json", "ndjson"); err != nil {
				return err
			}
			raw, err := p.value(args)
			if err != nil {
				return err
			}
			taken, err := p.importDecisions(c.Context(), raw)
			if err != nil {
				return err
			}
			if err := p.one(taken, func(w io.Writer) error {
				for _, id := range taken.Unknown {
					fmt.Fprintf(w, "%s is about a record that is not known here yet\n", plain(id))
				}
				_, err := fmt.Fprintf(w, "%s known now\n", many(taken.Taken, "decision"))
				return err
			}); err != nil {
				return err
			}
			if n := len(taken.Unknown); n > 0 {
				return &findings{text: many(n, "decision") + " could not be taken yet"}
			}
			return nil
		},
	}
}

// pieceOfLog is the bytes of decisions that are told in one request, less than the API takes.
const pieceOfLog = console.MaxBody * 3 / 4

// importDecisions tells the service a log, in pieces.
func (p *program) importDecisions(ctx context.Context, raw []byte) (*review.Taken, error) {
	total := &review.Taken{Unknown: []string{}}
	var log console.Log
	size := 0
	flush := func() error {
		if len(log.Decisions) == 0 {
			return nil
		}
		var taken review.Taken
		if err := p.ask(ctx, http.MethodPost, "/decisions/import", nil, log, &taken); err != nil {
			return err
		}
		total.Taken, total.Unknown = total.Taken+taken.Taken, append(total.Unknown, taken.Unknown...)
		log.Decisions, size = nil, 0
		return nil
	}
	lines := bufio.NewScanner(strings.NewReader(string(raw)))
	lines.Buffer(nil, console.MaxBody)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		var d review.Told
		if err := json.Unmarshal([]byte(line), &d); err != nil || d.ID == "" {
			return nil, &usage{text: fmt.Sprintf("line %d is no decision", n), hint: "give what onefold review export wrote"}
		}
		if size+len(line) > pieceOfLog || len(log.Decisions) == review.MaxTold {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		log.Decisions, size = append(log.Decisions, d), size+len(line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("the decisions cannot be read: %w", err)
	}
	return total, flush()
}

// reviewed tells how much waits for people, and counts what they have decided.
func reviewed(
	metrics prometheus.Registerer, counts func(context.Context) (customer.ReviewCounts, error), now func() time.Time,
) *prometheus.CounterVec {
	ask := func(read func(customer.ReviewCounts) float64) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c, err := counts(ctx)
			if err != nil {
				return 0
			}
			return read(c)
		}
	}
	verdicts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "onefold_review_verdicts_total", Help: "Verdicts on possible matches, by what was decided: same, not-same, later.",
	}, []string{"verdict"})
	for _, v := range []string{review.Same, review.NotSame, review.Later} {
		verdicts.WithLabelValues(v)
	}
	metrics.MustRegister(verdicts, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "onefold_review_pairs", Help: "Pairs of customers that may be one and wait for a person.",
	}, ask(func(c customer.ReviewCounts) float64 { return float64(c.Pairs) })), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "onefold_review_oldest_seconds", Help: "For how long the oldest of them waits; 0 where none does.",
	}, ask(func(c customer.ReviewCounts) float64 {
		if c.Oldest.IsZero() {
			return 0
		}
		return max(0, now().Sub(c.Oldest).Seconds())
	})))
	return verdicts
}
