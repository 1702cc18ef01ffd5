package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
	bankfeed "github.com/onefold/onefold/plugins/examples/bankfeed/feed"
)

// pluginConfig is what the configuration says of a source's plugin.
func pluginConfig(source string, p config.Plugin, log *slog.Logger) plugins.Config {
	if log != nil {
		log = log.With("component", "plugin")
	}
	return plugins.Config{
		Source: source, Command: p.Command, Args: p.Args, Checksum: p.Checksum, Settings: p.Settings, Log: log,
		Limits: plugins.Limits{Memory: int64(p.Memory) << 20},
	}
}

// loadPlugin makes the host of a source's plugin, and looks at the plugin's file; it does not start it.
func loadPlugin(source string, p config.Plugin, log *slog.Logger) (*plugins.Host, event.Diagnostics) {
	c := pluginConfig(source, p, log)
	if found := checkPlugin("sources."+source+".plugin", c); len(found) > 0 {
		return nil, found
	}
	return plugins.NewHost(c), nil
}

// loadTargetPlugin makes our side of a target's plugin; it does not start it.
func loadTargetPlugin(name string, t config.Target, log *slog.Logger) (*plugins.Target, event.Diagnostics) {
	c := pluginConfig(name, t.Plugin, log)
	c.Limits.Call = t.Timeout
	if found := checkPlugin("targets."+name+".plugin", c); len(found) > 0 {
		return nil, found
	}
	return plugins.NewTarget(c, t.Batch), nil
}

func checkPlugin(path string, c plugins.Config) event.Diagnostics {
	err := c.Check()
	if err == nil {
		return nil
	}
	d := event.Diagnostic{File: c.Command, Path: path, Message: err.Error()}
	var e *event.Error
	if errors.As(err, &e) {
		d.Path, d.Message = d.Path+"."+e.Path, e.Text
	}
	return event.Diagnostics{d}
}

// pluginChecks tells how each plugin is. One that is being started again makes nothing unready; one that does not come up any more does.
func (s *service) pluginChecks() []console.Check {
	var checks []console.Check
	for _, name := range s.config.SourceNames() {
		if host, ok := s.adapters[name].(*plugins.Host); ok {
			state := host.State()
			checks = append(checks, console.Check{Name: "plugin/" + name, OK: !state.Down, Detail: host.Name() + ": " + state.String()})
		}
	}
	for _, name := range s.config.TargetNames() {
		if t := s.pushers[name]; t != nil {
			state := t.State()
			checks = append(checks, console.Check{Name: "plugin/target/" + name, OK: !state.Down, Detail: t.Name() + ": " + state.String()})
		}
	}
	return checks
}

// watchPlugins exports how each plugin is.
func (s *service) watchPlugins() {
	for _, name := range s.config.SourceNames() {
		if host, ok := s.adapters[name].(*plugins.Host); ok {
			s.watchPlugin(name, "", host.Name(), host.State)
		}
	}
	for _, name := range s.config.TargetNames() {
		if t := s.pushers[name]; t != nil {
			s.watchPlugin("", name, t.Name(), t.State)
		}
	}
}

// watchPlugin exports how one is: of a source, or of a target.
func (s *service) watchPlugin(source, target, plugin string, state func() plugins.State) {
	labels := prometheus.Labels{"source": source, "target": target, "plugin": plugin}
	s.metrics.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "onefold_plugin_up", Help: "1 while the plugin's process runs and answers.", ConstLabels: labels,
		}, func() float64 {
			if state().Up {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "onefold_plugin_failures_total", ConstLabels: labels,
			Help: "Processes of the plugin that did not start, ended by themselves, or had to be ended; each is started anew.",
		}, func() float64 { return float64(state().Failures) }))
}

func (p *program) pluginCommand() *cobra.Command {
	c := &cobra.Command{Use: "plugin", Short: "Look at adapters that live in a process of their own"}
	c.AddCommand(p.pluginListCommand(), p.verifyCommand(), serveCommand())
	return c
}

// serveCommand makes this program the plugin of the demo: who has one file has all of it. What it serves is the example of
// plugins/examples/bankfeed, which is built for itself otherwise.
func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve bankfeed", Args: cobra.ExactArgs(1), ValidArgs: []string{demoPlugin}, Hidden: true,
		Short: "Be a plugin: the host starts it so",
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] != demoPlugin {
				return &usage{text: "there is no plugin " + args[0] + " in this program", hint: "there is one: " + demoPlugin}
			}
			plugins.Serve(bankfeed.Feed{})
			return nil
		},
	}
}

// demoPlugin is the plugin that this program can be.
const demoPlugin = "bankfeed"

// ownPlugin answers what makes this program a plugin of its own, under a name in dir by which it is called: errors and lists name a
// plugin by its file.
func ownPlugin(dir string) (config.Plugin, error) {
	file, err := os.Executable()
	if err != nil {
		return config.Plugin{}, fmt.Errorf("the program does not know its own file: %w", err)
	}
	checksum, err := plugins.Checksum(file)
	if err != nil {
		return config.Plugin{}, err
	}
	link := filepath.Join(dir, demoPlugin)
	if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink != 0 { // one of an earlier run; a file is somebody's own
		_ = os.Remove(link) // where that fails the program goes by its own name
	}
	if os.Symlink(file, link) == nil {
		file = link
	}
	return config.Plugin{Command: file, Args: []string{"plugin", "serve", demoPlugin}, Checksum: checksum}, nil
}

// pluginState is a plugin of the configuration and whether its file is the one that was pinned.
type pluginState struct {
	Source  string   `json:"source,omitempty"`
	Target  string   `json:"target,omitempty"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
	Memory  int64    `json:"memory"` // MiB
	State   string   `json:"state"`
}

func (p *program) pluginListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List the plugins of a configuration file, and whether each file is the one that was pinned",
	}
	file := configFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		l := listing{columns: []string{"source", "target", "command", "memory", "state"}, empty: "no source and no target has a plugin"}
		all, faults := []pluginState{}, 0
		add := func(source, target string, plugin config.Plugin) {
			if plugin.Command == "" {
				return
			}
			s := pluginState{
				Source: source, Target: target, Command: plugin.Command, Args: plugin.Args, Memory: int64(plugin.Memory), State: "as pinned",
			}
			if s.Memory == 0 {
				s.Memory = plugins.DefaultMemory >> 20
			}
			if err := pluginConfig(source+target, plugin, nil).Check(); err != nil {
				s.State = err.Error()
				faults++
			}
			all = append(all, s)
			command := strings.Join(append([]string{s.Command}, s.Args...), " ")
			l.rows = append(l.rows, []string{source, target, command, strconv.FormatInt(s.Memory, 10) + " MiB", s.State})
		}
		for _, name := range cfg.SourceNames() {
			add(name, "", cfg.Sources[name].Plugin)
		}
		for _, name := range cfg.TargetNames() {
			add("", name, cfg.Targets[name].Plugin)
		}
		l.items = all
		if err := p.list(l); err != nil {
			return err
		}
		if faults > 0 {
			return &findings{text: count(faults, "plugin", "would not be run")}
		}
		return nil
	}
	return c
}

// verified is what was found about a plugin.
type verified struct {
	*plugins.About
	Findings []adaptertest.Finding `json:"findings"`
}

func (p *program) verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "verify COMMAND [ARG...]", Args: cobra.MinimumNArgs(1),
		Short: "Start a plugin, ask it what it is, and hold it against cases; print the checksum to pin",
		Example: "  onefold plugin verify ./bankfeed\n" +
			"  onefold plugin verify --cases cases --setting region=eu ./bankfeed",
	}
	c.Flags().SetInterspersed(false) // what stands behind the command is the plugin's
	cases := c.Flags().String("cases", "", "folder of case files: the kit that every adapter clears is run on them; a target is written to")
	settings := c.Flags().StringArray("setting", nil, "a setting, NAME=VALUE; may be given often")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg := plugins.Config{Source: "verify", Command: args[0], Args: args[1:], Stderr: p.err, Settings: map[string]string{}}
		for _, s := range *settings {
			name, value, ok := strings.Cut(s, "=")
			if !ok {
				return &usage{text: "--setting " + s + " has no value", hint: "write NAME=VALUE"}
			}
			cfg.Settings[name] = value
		}
		return p.verify(c.Context(), cfg, *cases)
	}
	return c
}

// verify starts a plugin twice: once to hear what it is, and once under the kit, if there are cases. Whoever asks is its author, so
// what it writes to its standard error is shown.
func (p *program) verify(ctx context.Context, cfg plugins.Config, cases string) (err error) {
	if cfg.Checksum, err = plugins.Checksum(cfg.Command); err != nil {
		return surroundings(err, "name a file that this user may read")
	}
	out := verified{Findings: []adaptertest.Finding{}}
	if out.About, err = plugins.Verify(ctx, cfg); err != nil {
		return fmt.Errorf("%s: %w", cfg.Command, err)
	}
	if cases != "" {
		kit := examine
		if slices.Contains(out.Features, "push") {
			kit = examineTarget
		}
		if out.Findings, err = kit(ctx, cfg, cases); err != nil {
			return err
		}
	}
	if err := p.one(out, func(w io.Writer) error { return out.print(w, cfg, cases != "") }); err != nil {
		return err
	}
	if len(out.Findings) > 0 {
		return &findings{text: count(len(out.Findings), "finding", "of the kit")}
	}
	return nil
}

// examine runs the kit against the plugin.
func examine(ctx context.Context, cfg plugins.Config, cases string) ([]adaptertest.Finding, error) {
	host := plugins.NewHost(cfg)
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- host.Run(ctx) }()
	found, err := adaptertest.Examine(ctx, host, os.DirFS(cases))
	stop()
	if found == nil {
		found = []adaptertest.Finding{}
	}
	return found, errors.Join(err, <-done)
}

// examineTarget runs the kit of targets against the plugin.
func examineTarget(ctx context.Context, cfg plugins.Config, cases string) ([]adaptertest.Finding, error) {
	target := plugins.NewTarget(cfg, config.DefaultBatch)
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- target.Run(ctx) }()
	found, err := adaptertest.ExamineTarget(ctx, target, os.DirFS(cases))
	stop()
	if found == nil {
		found = []adaptertest.Finding{}
	}
	return found, errors.Join(err, <-done)
}

func (v verified) print(w io.Writer, cfg plugins.Config, held bool) error {
	fmt.Fprintf(w, "%s %s: %s, protocol %d, %s\n", v.Name, v.Version, v.Domain, v.Protocol, strings.Join(v.Events, " "))
	if held && len(v.Findings) == 0 {
		fmt.Fprintln(w, "It clears the bar.")
	}
	for _, f := range v.Findings {
		fmt.Fprintln(w, plainLines(f.String()))
	}
	_, err := fmt.Fprintf(w, "plugin: {command: %s, checksum: '%s'}\n", cfg.Command, v.Checksum)
	return err
}
