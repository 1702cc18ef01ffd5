package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
)

func (p *program) targetCommand() *cobra.Command {
	c := &cobra.Command{Use: "target", Short: "Look at the systems that are written to, write to them again, and check and test target files"}
	c.AddCommand(p.targetsCommand(), p.refusedCommand(), p.previewCommand(), p.resyncCommand())
	c.AddCommand(p.targetFileCommands()...)
	return c
}

func (p *program) targetsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List the targets of the running service: how each is, and how many customers are how far",
		RunE: func(c *cobra.Command, _ []string) error {
			var found console.TargetList
			if err := p.ask(c.Context(), http.MethodGet, "/targets", nil, nil, &found); err != nil {
				return err
			}
			l := listing{
				columns: []string{"target", "source", "state", "waiting", "held", "owed", "refused", "removed", "reason"}, items: found.Targets,
				empty: "no target is configured: docs/targets.md says how",
			}
			for _, t := range found.Targets {
				l.rows = append(l.rows, []string{
					t.Name, cmp.Or(t.Source, "-"), t.State, whole(t.Waiting), whole(t.Held), whole(t.Owed), whole(t.Refused), whole(t.Removed), t.Reason,
				})
			}
			return p.list(l)
		},
	}
}

func (p *program) refusedCommand() *cobra.Command {
	c := &cobra.Command{Use: "refused TARGET", Args: cobra.ExactArgs(1), Short: "List the customers that a target does not take, and why"}
	limit := c.Flags().Int("limit", 50, "at most so many")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *limit < 1 {
			return &usage{text: fmt.Sprintf("a limit of %d shows nothing", *limit), hint: "--limit is at least 1"}
		}
		refused := []event.Receipt{}
		for after := ""; len(refused) < *limit; {
			query := url.Values{"limit": {strconv.Itoa(min(*limit-len(refused), console.MaxRefused))}}
			if after != "" {
				query.Set("after", after)
			}
			var page console.Refused
			if err := p.ask(c.Context(), http.MethodGet, "/targets/"+args[0]+"/refused", query, nil, &page); err != nil {
				return err
			}
			refused = append(refused, page.Refused...)
			if after = page.Next; after == "" {
				break
			}
		}
		l := listing{columns: []string{"customer", "version", "at", "reason", "message"}, items: refused, empty: "it refuses nobody"}
		for _, r := range refused {
			l.rows = append(l.rows, []string{r.Customer, whole(r.Version), r.At.UTC().Format(time.DateTime), r.Reason, r.Error})
		}
		return p.list(l)
	}
	return c
}

func (p *program) previewCommand() *cobra.Command {
	return &cobra.Command{
		Use: "preview TARGET CUSTOMER", Args: cobra.ExactArgs(2),
		Short: "Show what a target would be told of a customer now, and what is known of the customer there; nothing is sent",
		RunE: func(c *cobra.Command, args []string) error {
			var found console.Preview
			if err := p.ask(c.Context(), http.MethodGet, "/targets/"+args[0]+"/preview/"+args[1], nil, nil, &found); err != nil {
				return err
			}
			return p.one(found, func(w io.Writer) error {
				state := "it was never told of this customer"
				if r := found.Receipt; r != nil {
					state = fmt.Sprintf("%s since %s, version %d", r.State, r.At.UTC().Format(time.DateTime), r.Version)
					if r.Error != "" {
						state += ": " + r.Error
					}
				}
				_, err := fmt.Fprintf(w, "state  %s\nnow    %s\n%s\n", state, found.Op, found.Body)
				return err
			})
		},
	}
}

func (p *program) resyncCommand() *cobra.Command {
	return &cobra.Command{
		Use: "resync TARGET", Args: cobra.ExactArgs(1),
		Short: "Write all customers to a target again, from the beginning, whatever it was given before",
		Long: "Write all customers to a target again: after it was put back to a backup, or when what it holds is in doubt. " +
			"The service does so in the background, within the target's quota; target list shows how many are left.",
		RunE: func(c *cobra.Command, args []string) error {
			var done console.Resynced
			if err := p.ask(c.Context(), http.MethodPost, "/targets/"+args[0]+"/resync", nil, nil, &done); err != nil {
				return err
			}
			return p.one(done, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is written to again, from the beginning; onefold target list shows how far it is\n", done.Target)
				return err
			})
		},
	}
}
