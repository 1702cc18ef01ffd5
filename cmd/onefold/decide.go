package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
)

func (p *program) decisionCommand(name string, kind customer.DecisionKind, short string) *cobra.Command {
	c := &cobra.Command{
		Use: name + " A B", Args: cobra.ExactArgs(2), Short: short,
		Long: short + ".\nThe decision outranks every score and survives later data.",
	}
	author := c.Flags().String("author", "", "who decides; default the holder of the token, without one the USER of the environment")
	reason := c.Flags().String("reason", "", "why, for those who ask later")
	c.RunE = func(c *cobra.Command, args []string) error {
		who, err := p.author(*author)
		if err != nil {
			return err
		}
		wish := console.Wish{Kind: kind, A: args[0], B: args[1], Author: who, Reason: *reason}
		return p.explain(c.Context(), http.MethodPost, "/decisions", nil, wish)
	}
	return c
}

// author answers who decides: the one who is named; with a token its holder, whom the service knows; else the user of the environment.
func (p *program) author(named string) (string, error) {
	if token, err := p.bearer(); err != nil || named == "" && token != "" {
		return "", err
	}
	if named == "" {
		named, _ = p.lookup("USER")
	}
	if named == "" {
		return "", &usage{text: "a decision names its author", hint: "add --author"}
	}
	return named, nil
}

func (p *program) undoCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "undo DECISION", Args: cobra.ExactArgs(1), Short: "Take a decision of merge or split back",
		Long: "Take a decision of merge or split back. It stays known as undone, but counts no longer.\n" +
			"customer why shows the decision that stands between two records.",
	}
	author := c.Flags().String("author", "", "who takes it back; default the holder of the token, without one the USER of the environment")
	c.RunE = func(c *cobra.Command, args []string) error {
		who, err := p.author(*author)
		if err != nil {
			return err
		}
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		var d customer.Decision
		path := "/decisions/" + escape(args[0]) + "/undo"
		if err := p.ask(c.Context(), http.MethodPost, path, nil, console.Regret{Author: who}, &d); err != nil {
			return err
		}
		return p.one(d, func(w io.Writer) error {
			said := "the same"
			if d.Kind == customer.NotSame {
				said = "not the same"
			}
			_, err := fmt.Fprintf(w, "%s, that %s and %s are %s, was taken back by %s; customer why shows how they stand now\n",
				plain(d.ID), d.A, d.B, said, plain(d.UndoneBy))
			return err
		})
	}
	return c
}
