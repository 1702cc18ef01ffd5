package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
)

func (p *program) privacyCommand() *cobra.Command {
	c := &cobra.Command{Use: "privacy", Short: "Fulfil what a data subject may ask for"}
	c.AddCommand(p.eraseCommand())
	return c
}

func (p *program) eraseCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "erase ID", Args: cobra.ExactArgs(1),
		Short: "Erase a customer, with its records and interactions; this cannot be undone",
	}
	yes := c.Flags().Bool("yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := p.confirm(*yes, args[0]); err != nil {
			return err
		}
		var done console.Erasure
		if err := p.ask(c.Context(), http.MethodDelete, "/customers/"+escape(args[0]), nil, nil, &done); err != nil {
			return err
		}
		return p.one(done, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s is erased.\nNot covered, retention is the remedy there: %s.\n",
				done.Asked, strings.Join(done.NotCovered, ", "))
			return err
		})
	}
	return c
}

// confirm has the id typed again by whoever sits at the terminal.
func (p *program) confirm(yes bool, id string) error {
	if yes {
		return nil
	}
	if !p.asks {
		return &usage{text: "erasing cannot be undone, and nobody is there to be asked", hint: "add --yes"}
	}
	fmt.Fprintf(p.err, "Erasing cannot be undone. Type the id again to erase %s: ", id)
	line, _ := bufio.NewReader(p.in).ReadString('\n')
	if strings.TrimSpace(line) != id {
		return &usage{text: "nothing is erased", hint: "what was typed is not the id"}
	}
	return nil
}
