package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/cmd/onefold/config"
)

func (p *program) runCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Args: cobra.NoArgs,
		Short: "Run the service of a configuration file until it is told to end",
	}
	file := configFlag(c)
	debug := c.Flags().Bool("debug", false, "log more")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		level := slog.LevelInfo
		if *debug {
			level = slog.LevelDebug
		}
		s, err := open(c.Context(), cfg, newLog(p.err, false, level), p.now)
		if err != nil {
			return err
		}
		return errors.Join(s.run(c.Context()), s.close())
	}
	return c
}

func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", "onefold.yaml", "the configuration file")
}

// load reads a configuration file.
func (p *program) load(file string) (*config.Config, error) {
	cfg, found := config.Load(file, config.Environment{Lookup: p.lookup, Adapters: named(), Targets: rest.Systems()})
	if len(found) > 0 {
		return nil, found
	}
	return cfg, nil
}

func (p *program) validateCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "validate", Args: cobra.NoArgs,
		Short: "Check a configuration file and every mapping that it uses",
	}
	file := configFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		if _, found := loadAdapters(cfg, nil); len(found) > 0 {
			return found
		}
		if _, found := loadTargets(cfg, p.now, nil); len(found) > 0 {
			return found
		}
		if p.machine() {
			return p.json(map[string]any{"config": *file, "sources": cfg.SourceNames(), "targets": cfg.TargetNames()})
		}
		what := count(len(cfg.Sources), "source", "")
		if n := len(cfg.Targets); n > 0 {
			what += "and " + count(n, "target", "")
		}
		_, err = fmt.Fprintf(p.out, "%s is good: %s in it.\n", *file, strings.TrimSpace(what))
		return err
	}
	return c
}
