package main

import "github.com/spf13/cobra"

func (p *program) targetCommand() *cobra.Command {
	c := &cobra.Command{Use: "target", Short: "Check and test target files: what business systems are told of customers, and how"}
	c.AddCommand(p.targetFileCommands()...)
	return c
}
