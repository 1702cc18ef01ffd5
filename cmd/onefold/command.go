package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// run runs one command line and answers the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return p.tell(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "onefold",
		Short: "One customer, folded from every system",
		Long: "Onefold consumes customer events from the systems that a company runs, over Kafka, resolves who each is about,\n" +
			"and keeps one customer master record with the origin of every value.\n\n" +
			"Start with: onefold demo",
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return p.checkFormat() },
	}
	root.PersistentFlags().StringVarP(&p.format, "output", "o", "table", "how to print: table, json, ndjson or csv")
	root.PersistentFlags().StringVar(&p.server, "server", "http://127.0.0.1:8080", "the running service, for commands that ask it")
	root.PersistentFlags().StringVar(&p.token, "token", "",
		"who calls the service; others on this machine can see it there: better --token-file or ONEFOLD_TOKEN in the environment")
	root.PersistentFlags().StringVar(&p.tokenFile, "token-file", "", "file of the token that says who calls the service")
	root.PersistentFlags().StringVar(&p.ca, "ca", "", "file of the authorities of the service's certificate; default those of the system")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usage{text: err.Error(), hint: c.CommandPath() + " --help lists the flags"}
	})
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start:"},
		&cobra.Group{ID: "customers", Title: "Customers:"},
		&cobra.Group{ID: "flow", Title: "Flow and mappings:"},
		&cobra.Group{ID: "care", Title: "Backup:"},
		&cobra.Group{ID: "about", Title: "About:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		"start":     {p.demoCommand(), p.runCommand(), p.loadCommand(), p.simulateCommand(), p.validateCommand(), p.doctorCommand()},
		"care":      {p.backupCommand(), p.restoreCommand(), p.checkCommand()},
		"customers": {p.customerCommand(), p.reviewCommand(), p.privacyCommand(), p.matchCommand()},
		"flow":      {p.mapCommand(), p.pluginCommand(), p.sourceCommand(), p.targetCommand(), p.deadCommand()},
		"about":     {p.configCommand(), p.schemaCommand(), p.benchCommand(), p.tokenCommand(), p.versionCommand()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("about")
	root.SetCompletionCommandGroupID("about")
	strict(root)
	return root
}

// strict makes every command refuse arguments that it does not take, and groups refuse commands that they do not have.
func strict(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
	if c.HasSubCommands() {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			u := &usage{text: "there is no command " + c.CommandPath() + " " + args[0], hint: c.CommandPath() + " --help lists them"}
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				u.hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return u
		}
	} else if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &usage{text: err.Error(), hint: "usage: " + c.UseLine()}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

func (p *program) checkFormat() error {
	if formats := []string{"table", "json", "ndjson", "csv"}; !slices.Contains(formats, p.format) {
		bad := p.format
		p.format = "table"
		return &usage{text: "there is no output " + bad, hint: "-o takes one of: " + strings.Join(formats, ", ")}
	}
	return nil
}

// machine tells whether programs read the output.
func (p *program) machine() bool { return p.format != "table" }

// only refuses outputs in which a command's answer cannot be written.
func (p *program) only(formats ...string) error {
	if slices.Contains(formats, p.format) {
		return nil
	}
	return &usage{text: "this command does not print " + p.format, hint: "-o takes one of: " + strings.Join(formats, ", ")}
}
