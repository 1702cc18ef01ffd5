package main

import (
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
)

func (p *program) sourceCommand() *cobra.Command {
	c := &cobra.Command{Use: "source", Short: "Look at the sources, and choose where to read them from"}
	c.AddCommand(p.rewindCommand(), &cobra.Command{
		Use: "list", Args: cobra.NoArgs,
		Short: "List the sources: what came in since the service started, how it ended, and what waits",
		RunE: func(c *cobra.Command, _ []string) error {
			var s console.Status
			if err := p.ask(c.Context(), http.MethodGet, "/status", nil, nil, &s); err != nil {
				return err
			}
			l := listing{
				columns: []string{
					"source", "adapter", "topic", "received", "applied", "duplicate", "stale", "ignored", "dead",
					"in flight", "lag", "halted",
				},
				items: s.Sources, empty: "no source is configured",
			}
			n := func(i int64) string { return strconv.FormatInt(i, 10) }
			for _, src := range s.Sources {
				halted := ""
				for _, part := range src.Partitions {
					if part.Halted != "" {
						halted += strconv.Itoa(int(part.Partition)) + ":" + part.Halted + " "
					}
				}
				o := src.Outcomes
				l.rows = append(l.rows, []string{
					src.Name, src.Adapter, src.Topic, n(src.Received),
					n(o.Applied), n(o.Duplicate), n(o.Stale), n(o.Ignored), n(o.Dead), n(src.InFlight), n(src.Lag), halted,
				})
			}
			return p.list(l)
		},
	})
	return c
}
