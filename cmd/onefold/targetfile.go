package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
)

// targetFileCommands work on target files, without a service: shipped ones by name, your own by path.
func (p *program) targetFileCommands() []*cobra.Command {
	lint := &cobra.Command{
		Use: "lint [TARGET...]", Args: cobra.ArbitraryArgs,
		Short: "Check target files; without an argument those that are shipped",
		RunE:  func(_ *cobra.Command, names []string) error { return p.lintTargets(names) },
	}
	test := &cobra.Command{
		Use: "test [TARGET...]", Args: cobra.ArbitraryArgs,
		Short: "Run the cases that lie beside target files, without a network; without an argument those that are shipped",
		RunE:  func(c *cobra.Command, names []string) error { return p.testTargets(c.Context(), names) },
	}
	render := &cobra.Command{
		Use: "render TARGET [FILE]", Args: cobra.RangeArgs(1, 2),
		Short:   "Show what a target would be told of a customer: read from FILE, or from standard input, as customer get -o json prints it",
		Example: "  onefold customer get cus_... -o json | onefold target render hubspot",
	}
	file := render.Flags().StringP("config", "c", "", "configuration file: TARGET is then one that it has")
	render.RunE = func(_ *cobra.Command, args []string) error { return p.renderTarget(args, *file) }
	return []*cobra.Command{lint, test, render}
}

// targetFile loads a target file: a shipped one by its name, else one of the user's by its path or that of its folder. It answers as
// well the folder, in which its cases are.
func targetFile(name string) (*rest.File, fs.FS, error) {
	if slices.Contains(rest.Systems(), name) {
		folder, err := rest.Shipped(name)
		if err != nil {
			return nil, nil, err
		}
		f, err := rest.Open(folder, name)
		return f, folder, err
	}
	path := name
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, rest.FileName)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, &usage{
			text: fmt.Sprintf("there is no target file %q: it is no shipped one, no file, and no folder with a %s", name, rest.FileName),
			hint: "one of " + strings.Join(rest.Systems(), ", ") + ", or the path of your own; a plugin is looked at by onefold plugin verify",
		}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, rest.MaxFileBytes+1))
	if err != nil {
		return nil, nil, surroundings(err, "name a file that this user may read")
	}
	f, err := rest.Load(path, text)
	return f, os.DirFS(filepath.Dir(path)), err
}

// loadTargets makes the targets of a configuration. They connect to nobody yet.
func loadTargets(c *config.Config, now func() time.Time, log *slog.Logger) (map[string]adapters.Target, event.Diagnostics) {
	targets, accounts := map[string]adapters.Target{}, map[string]*rest.Account{}
	var found event.Diagnostics
	for _, name := range c.TargetNames() {
		t := c.Targets[name]
		if t.Adapter == config.TargetPlugin {
			target, wrong := loadTargetPlugin(name, t, log)
			if found = append(found, wrong...); len(wrong) == 0 {
				targets[name] = target
			}
			continue
		}
		if accounts[t.Account] == nil {
			accounts[t.Account] = rest.NewAccount(t.Rate, t.Burst, now)
		}
		target, err := loadTarget(t, accounts[t.Account], now)
		var ds event.Diagnostics
		switch {
		case errors.As(err, &ds):
			found = append(found, ds...)
		case err != nil:
			found = append(found, event.Diagnostic{File: t.Target, Path: "targets." + name, Message: err.Error()})
		default:
			targets[name] = target
		}
	}
	return targets, found
}

func loadTarget(t config.Target, account *rest.Account, now func() time.Time) (*rest.Target, error) {
	file, _, err := targetFile(t.Target)
	if err != nil {
		return nil, err
	}
	secure, err := targetTLS(t.TLS)
	if err != nil {
		return nil, err
	}
	a := t.Auth
	return rest.New(rest.Config{
		File: file, URL: t.URL, TLS: secure, Account: account,
		Batch: t.Batch, Parallel: t.Parallel, Timeout: t.Timeout, Now: now,
		Login: rest.Login{
			Bearer: string(a.Bearer), User: a.Basic.Username, Password: string(a.Basic.Password),
			Header: a.Header.Name, Value: string(a.Header.Value),
			OAuth2: rest.OAuth2{
				TokenURL: a.OAuth2.TokenURL, ClientID: a.OAuth2.ClientID, ClientSecret: string(a.OAuth2.ClientSecret),
				Scopes: a.OAuth2.Scopes, Params: a.OAuth2.Params,
			},
		},
	})
}

// targetTLS reads what a target is trusted by, nil for what the operating system trusts.
func targetTLS(t config.TargetTLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(pem)
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, errors.New("the certificate and the key of its tls cannot be used together")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (p *program) lintTargets(names []string) error {
	if len(names) == 0 {
		names = rest.Systems()
	}
	var found event.Diagnostics
	for _, name := range names {
		var ds event.Diagnostics
		if _, _, err := targetFile(name); errors.As(err, &ds) {
			found = append(found, ds...)
		} else if err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return found
	}
	if p.machine() {
		return p.json(event.Diagnostics{})
	}
	_, err := fmt.Fprintln(p.out, count(len(names), "target file", "without a fault"))
	return err
}

func (p *program) testTargets(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = rest.Systems()
	}
	type tested struct {
		Target string `json:"target"`
		rest.CaseResult
	}
	all, failed := []tested{}, 0
	l := listing{columns: []string{"target", "case", "result"}, empty: "there is no case"}
	for _, name := range names {
		f, folder, err := targetFile(name)
		if err != nil {
			return err
		}
		for _, r := range rest.RunCases(ctx, f, folder) {
			result := "ok"
			if len(r.Differences) > 0 {
				failed++
				result = strings.TrimSpace(count(len(r.Differences), "difference", ""))
			}
			all = append(all, tested{name, r})
			l.rows = append(l.rows, []string{name, r.Name, result})
		}
	}
	l.items = all
	if err := p.list(l); err != nil {
		return err
	}
	for _, t := range all {
		if len(t.Differences) > 0 && !p.machine() {
			fmt.Fprintf(p.out, "\n%s %s: %s\n", t.Target, t.Name, plain(t.About))
			for _, d := range t.Differences {
				fmt.Fprintln(p.out, "  "+plainLines(d))
			}
		}
	}
	switch {
	case failed > 0:
		return &findings{text: count(failed, "case", "failed")}
	case len(all) == 0:
		return &findings{text: "there is no case, so nothing was tested: lay cases beside the target file, docs/targets.md shows how"}
	}
	return nil
}

// rendered is what a target would be told of a customer.
type rendered struct {
	Belongs bool            `json:"belongs"`
	Body    json.RawMessage `json:"body,omitempty"`
	Said    []customer.Path `json:"said,omitempty"`
}

// renderer is what says what a target is told: a target file, or, of a plugin, what every plugin is told.
func (p *program) renderer(name, file string) (func(*customer.Customer) (*adapters.Rendering, error), error) {
	if file != "" {
		cfg, err := p.load(file)
		if err != nil {
			return nil, err
		}
		t, ok := cfg.Targets[name]
		switch {
		case !ok:
			return nil, &usage{text: "there is no target " + name + " in " + file, hint: "it has: " + strings.Join(cfg.TargetNames(), ", ")}
		case t.Adapter == config.TargetPlugin:
			return plugins.Told, nil
		}
		name = t.Target
	}
	f, _, err := targetFile(name)
	if err != nil {
		return nil, err
	}
	return f.Render, nil
}

func (p *program) renderTarget(args []string, file string) error {
	if err := p.only("table", "json", "ndjson"); err != nil {
		return err
	}
	render, err := p.renderer(args[0], file)
	if err != nil {
		return err
	}
	text, err := p.value(args[1:])
	if err != nil {
		return err
	}
	var c customer.Customer
	if err := json.Unmarshal(text, &c); err != nil || c.Status == "" {
		return &usage{text: "this is not a customer in JSON", hint: "onefold customer get ID -o json prints one"}
	}
	r, err := render(&c)
	if err != nil {
		return err
	}
	out := rendered{}
	if r != nil {
		out = rendered{Belongs: true, Body: r.Body, Said: r.Said}
	}
	return p.one(out, func(w io.Writer) error {
		if !out.Belongs {
			_, err := fmt.Fprintln(w, "This customer does not belong there: it is not active, or has nothing of what the target needs.")
			return err
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(out.Body, &fields); err != nil {
			return err
		}
		var rows [][]string
		for name, value := range fields {
			rows = append(rows, []string{name, string(value)})
		}
		slices.SortFunc(rows, slices.Compare)
		return table(w, []string{"field", "value"}, rows)
	})
}
