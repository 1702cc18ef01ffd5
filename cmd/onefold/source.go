package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
)

func (p *program) sourceCommand() *cobra.Command {
	c := &cobra.Command{Use: "source", Short: "Look at the sources, pause them, and choose where to read them from"}
	c.AddCommand(p.sourcesCommand(), p.lagCommand(),
		p.flowCommand("pause", "Read nothing more of a source until it is resumed, over restarts too; nothing is lost"),
		p.flowCommand("resume", "Go on with a source that is paused, from where it stands"),
		p.rewindCommand())
	return c
}

func whole(i int64) string { return strconv.FormatInt(i, 10) }

func (p *program) sourcesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs,
		Short: "List the sources: what came in since the service started, how it ended, and what waits",
		RunE: func(c *cobra.Command, _ []string) error {
			var s console.Sources
			if err := p.ask(c.Context(), http.MethodGet, "/sources", nil, nil, &s); err != nil {
				return err
			}
			l := listing{
				columns: []string{
					"source", "adapter", "topic", "received", "applied", "duplicate", "stale", "ignored", "dead",
					"in flight", "lag", "halted", "behind", "per second", "state",
				},
				items: s.Sources, empty: "no source is configured",
			}
			for _, src := range s.Sources {
				halted := ""
				for _, part := range src.Partitions {
					if part.Halted != "" {
						halted += strconv.Itoa(int(part.Partition)) + ":" + part.Halted + " "
					}
				}
				o := src.Outcomes
				l.rows = append(l.rows, []string{
					src.Name, src.Adapter, src.Topic, whole(src.Received),
					whole(o.Applied), whole(o.Duplicate), whole(o.Stale), whole(o.Ignored), whole(o.Dead), whole(src.InFlight), whole(src.Lag), halted,
					seconds(src.LagSeconds), strconv.FormatFloat(src.PerSecond, 'f', 1, 64), stateText(&src),
				})
			}
			return p.list(l)
		},
	}
}

// stateText says how a source is, and of a paused one at whose wish and since when.
func stateText(s *console.SourceStatus) string {
	text := string(s.State)
	if s.Paused == nil {
		return text
	}
	if s.State != console.SourcePaused {
		text += ", paused"
	}
	if s.Paused.By != "" {
		text += " by " + s.Paused.By
	}
	return text + " since " + s.Paused.At.UTC().Format("2006-01-02 15:04 UTC")
}

func seconds(n int64) string { return (time.Duration(n) * time.Second).String() }

func (p *program) lagCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lag [SOURCE]", Args: cobra.MaximumNArgs(1),
		Short: "List how far behind each partition is, in messages and in time, and how a halted one goes on",
		RunE: func(c *cobra.Command, args []string) error {
			var s console.Sources
			if err := p.ask(c.Context(), http.MethodGet, "/sources", nil, nil, &s); err != nil {
				return err
			}
			items := []lagging{}
			l := listing{empty: "no partition is read"}
			l.columns = []string{"source", "partition", "next", "end", "lag", "behind", "halted", "what to do"}
			for _, src := range s.Sources {
				if len(args) > 0 && src.Name != args[0] {
					continue
				}
				for _, part := range src.Partitions {
					items = append(items, lagging{src.Name, part})
					what := part.Remedy
					if what == "" {
						what = part.Error
					}
					l.rows = append(l.rows, []string{
						src.Name, strconv.Itoa(int(part.Partition)), whole(part.Next), whole(part.End), whole(part.Lag),
						seconds(part.LagSeconds), part.Halted, what,
					})
				}
			}
			if len(args) > 0 && !slices.ContainsFunc(s.Sources, func(s console.SourceStatus) bool { return s.Name == args[0] }) {
				return &usage{text: fmt.Sprintf("there is no source %q", args[0]), hint: "onefold source list names them"}
			}
			l.items = items
			return p.list(l)
		},
	}
}

// lagging is a partition, and whose it is.
type lagging struct {
	Source string `json:"source"`
	console.PartitionStatus
}

func (p *program) flowCommand(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " SOURCE", Args: cobra.ExactArgs(1), Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.only("table", "json", "ndjson"); err != nil {
				return err
			}
			var s console.SourceStatus
			if err := p.ask(c.Context(), http.MethodPost, "/sources/"+escape(args[0])+"/"+name, nil, nil, &s); err != nil {
				return err
			}
			return p.one(s, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is %s; %s on its topic\n", s.Name, stateText(&s), many(int(s.Lag), "message")+" wait")
				return err
			})
		},
	}
}
