package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
)

func (p *program) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "About the configuration file"}
	c.AddCommand(&cobra.Command{
		Use: "schema", Args: cobra.NoArgs, Short: "Print the JSON Schema of the configuration file",
		RunE: func(*cobra.Command, []string) error { return p.document(config.Schema()) },
	})
	return c
}

func (p *program) schemaCommand() *cobra.Command {
	c := &cobra.Command{Use: "schema", Short: "About what Onefold writes"}
	c.AddCommand(&cobra.Command{
		Use: "customers", Args: cobra.NoArgs, Short: "Print the JSON Schema of the values on the customers topic",
		RunE: func(*cobra.Command, []string) error {
			schema, err := console.CustomersSchema()
			if err != nil {
				return err
			}
			return p.document(schema)
		},
	})
	return c
}

// document prints a text that is what it is in every format.
func (p *program) document(b []byte) error {
	_, err := p.out.Write(append(bytes.TrimRight(b, "\n"), '\n'))
	return err
}
