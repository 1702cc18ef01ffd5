package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
)

func (p *program) deadCommand() *cobra.Command {
	c := &cobra.Command{Use: "dead", Short: "Look at messages that could not be applied, and take them up again"}
	c.AddCommand(p.deadListCommand(), p.deadShowCommand(), p.deadReplayCommand(), p.deadJobCommand(),
		p.deadEditCommand(), p.deadDiscardCommand(), p.deadNotesCommand())
	return c
}

// choice is what flags choose letters by.
type choice struct{ source, group, since, until string }

func (ch *choice) flags(c *cobra.Command) {
	c.Flags().StringVar(&ch.source, "source", "", "of one source only")
	c.Flags().StringVar(&ch.group, "group", "", "of one cause only, as dead list --groups names it")
	c.Flags().StringVar(&ch.since, "since", "", "laid down then or later: 2026-03-04T05:06:07Z, or a while ago: 24h")
	c.Flags().StringVar(&ch.until, "until", "", "laid down before: a time, or a while ago")
}

// naming says which dead letters something is done to: one, those that are chosen, or all. Nothing is done to all by mistake.
type naming struct {
	choice
	all      bool
	letter   string
	from, to time.Time
}

func (n *naming) flags(c *cobra.Command) {
	n.choice.flags(c)
	c.Flags().BoolVar(&n.all, "all", false, "all that there are")
}

// read answers what was named.
func (n naming) read(args []string, now time.Time) (_ naming, err error) {
	if len(args) > 0 {
		n.letter = strings.TrimSpace(args[0])
	}
	if n.letter == "" && n.choice == (choice{}) && !n.all {
		return n, &usage{text: "nothing is chosen", hint: "name a letter, choose with --source, --group or --since, or say --all"}
	}
	if n.from, err = instant("since", n.since, now); err != nil {
		return n, err
	}
	n.to, err = instant("until", n.until, now)
	return n, err
}

// query answers the parameters of a choice.
func (ch *choice) query(now time.Time) (url.Values, error) {
	query := url.Values{}
	for name, value := range map[string]string{"source": ch.source, "group": ch.group} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, value := range map[string]string{"since": ch.since, "until": ch.until} {
		at, err := instant(name, value, now)
		if err != nil {
			return nil, err
		}
		if !at.IsZero() {
			query.Set(name, at.Format(time.RFC3339))
		}
	}
	return query, nil
}

// instant reads a time, or how long ago it was; zero for nothing.
func instant(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, &usage{text: "--" + flag + " is no time", hint: "write 2026-03-04T05:06:07Z, or how long ago: 90m, 24h"}
	}
	return at.UTC(), nil
}

func (p *program) deadListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Args: cobra.NoArgs, Short: "List dead letters, newest first, or what they have in common"}
	var ch choice
	ch.flags(c)
	limit := c.Flags().Int("limit", 50, "at most so many")
	groups := c.Flags().Bool("groups", false, "by cause: source, reason, path and mapping")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *limit < 1 {
			return &usage{text: fmt.Sprintf("a limit of %d shows nothing", *limit), hint: "--limit is at least 1"}
		}
		query, err := ch.query(p.now())
		if err != nil {
			return err
		}
		if *groups {
			return p.deadGroups(c, query, *limit, ch.group)
		}
		letters, err := p.deadLetters(c, query, *limit)
		if err != nil {
			return err
		}
		l := listing{columns: []string{"id", "source", "at", "reason", "where", "message"}, items: letters, empty: "there is no dead letter"}
		for _, d := range letters {
			where := fmt.Sprintf("%s/%d/%d", d.Topic, d.Partition, d.Offset)
			if d.Part != "" {
				where += " " + d.Part
			}
			l.rows = append(l.rows, []string{d.ID, d.Source, moment(d.At), d.Reason, where, d.Message})
		}
		return p.list(l)
	}
	return c
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// deadLetters asks for letters, page by page.
func (p *program) deadLetters(c *cobra.Command, query url.Values, limit int) ([]console.Letter, error) {
	letters := []console.Letter{}
	for len(letters) < limit {
		query.Set("limit", strconv.Itoa(min(limit-len(letters), console.MaxLetters)))
		var page console.Letters
		if err := p.ask(c.Context(), http.MethodGet, "/dead-letters", query, nil, &page); err != nil {
			return nil, err
		}
		letters = append(letters, page.DeadLetters...)
		if page.Next == "" {
			break
		}
		query.Set("after", page.Next)
	}
	return letters, nil
}

func (p *program) deadGroups(c *cobra.Command, query url.Values, limit int, group string) error {
	if group != "" {
		return &usage{text: "--groups lists groups, and --group is one", hint: "leave one of them out"}
	}
	query.Set("limit", strconv.Itoa(min(limit, console.MaxLetters)))
	var found console.Groups
	if err := p.ask(c.Context(), http.MethodGet, "/dead-letters/groups", query, nil, &found); err != nil {
		return err
	}
	l := listing{
		columns: []string{"group", "source", "reason", "path", "mapping", "letters", "first", "last", "example"}, items: found.Groups,
		empty: "there is no dead letter",
	}
	for _, g := range found.Groups {
		l.rows = append(l.rows, []string{
			g.ID, g.Source, g.Reason, g.Path, g.Mapping, strconv.FormatInt(g.Count, 10), moment(g.First), moment(g.Last), g.Example,
		})
	}
	return p.list(l)
}

func (p *program) deadShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "show ID", Args: cobra.ExactArgs(1),
		Short: "Show one dead letter with its bytes; letters and digits of values are masked",
	}
	reveal := c.Flags().Bool("reveal", false, "show values as they are; the service notes it in its log")
	raw := c.Flags().Bool("value", false, "print the value's bytes and nothing else, to be edited")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *raw && !*reveal {
			return &usage{text: "--value prints bytes as they are", hint: "add --reveal"}
		}
		var open console.OpenLetter
		query := url.Values{"reveal": {strconv.FormatBool(*reveal)}}
		if err := p.ask(c.Context(), http.MethodGet, "/dead-letters/"+escape(args[0]), query, nil, &open); err != nil {
			return err
		}
		if *raw {
			_, err := p.out.Write(open.Value)
			return err
		}
		return p.one(open, func(w io.Writer) error { return printLetter(w, &open) })
	}
	return c
}

func printLetter(w io.Writer, d *console.OpenLetter) error {
	rows := [][]string{
		{"id", d.ID},
		{"source", d.Source},
		{"stood at", fmt.Sprintf("%s, partition %d, offset %d", d.Topic, d.Partition, d.Offset)},
		{"part", d.Part},
		{"reason", d.Reason + " (" + string(d.Class) + ")"},
		{"message", d.Message},
		{"read by", d.Mapping},
		{"attempts", strconv.Itoa(d.Attempts)},
		{"laid down", d.At.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"group", d.Group},
		{"key", payload(d.Key)},
	}
	if !d.Tried.IsZero() {
		rows = append(rows, []string{"replayed last", d.Tried.UTC().Format("2006-01-02 15:04:05 UTC")})
	}
	if d.Erased {
		rows = append(rows, []string{"erased", "its bytes went with a party that it named"})
	}
	for _, h := range d.Headers {
		rows = append(rows, []string{"header " + h.Key, payload(h.Value)})
	}
	if err := table(w, nil, rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", payload(d.Value)); err != nil || d.Edit == nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nedited by %s at %s: %s\nA replay takes this in its place:\n\n%s\n",
		plain(d.Edit.By), moment(d.Edit.At), plain(d.Edit.Reason), payload(d.Edit.Value))
	return err
}

// payload writes bytes as text if they are text.
func payload(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case utf8.Valid(b):
		return plain(string(b))
	default:
		return fmt.Sprintf("%q", b)
	}
}
