package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings"
)

// tested is one case of one mapping.
type tested struct {
	Mapping string `json:"mapping"`
	mappings.CaseResult
}

// testMappings runs the cases of mappings and says which differ, and by what.
func (p *program) testMappings(ctx context.Context, names []string) error {
	all := []tested{}
	l := listing{columns: []string{"mapping", "case", "result"}, empty: "there is no case"}
	failed := 0
	for _, name := range names {
		m, err := mappingOf(name)
		if err != nil {
			return err
		}
		fsys, dir, prefix := mappingFiles(located(name))
		for _, r := range mappings.RunCases(ctx, m, fsys, dir) {
			result := "ok"
			if len(r.Differences) > 0 {
				failed++
				result = count(len(r.Differences), "difference", "")
			}
			for i := range r.Differences {
				if r.Differences[i].File != "" {
					r.Differences[i].File = filepath.Join(prefix, r.Differences[i].File)
				}
			}
			all = append(all, tested{name, r})
			l.rows = append(l.rows, []string{name, r.Name, strings.TrimSpace(result)})
		}
	}
	l.items = all
	if err := p.list(l); err != nil {
		return err
	}
	if !p.machine() {
		p.differences(all)
	}
	switch {
	case failed > 0:
		return &findings{text: count(failed, "case", "failed")}
	case len(all) == 0:
		return &findings{text: "there is no case, so nothing was tested: lay cases beside the mapping, docs/adapters.md shows how"}
	}
	return nil
}

// differences tells people what differs, under the name of the case.
func (p *program) differences(all []tested) {
	for _, t := range all {
		if len(t.Differences) == 0 {
			continue
		}
		fmt.Fprintf(p.out, "\n%s %s: %s\n", t.Mapping, t.Name, t.About)
		for _, d := range t.Differences {
			fmt.Fprintln(p.out, "  "+plainLines(d.String()))
		}
	}
}

// plainLines is plain for a text of several lines.
func plainLines(s string) string {
	each := strings.Split(strings.ReplaceAll(s, "\t", "  "), "\n")
	for i := range each {
		each[i] = plain(each[i])
	}
	return strings.Join(each, "\n  ")
}

// try prints what a mapping makes of a message. A message that is refused, or a part that is, is a finding.
func (p *program) try(ctx context.Context, mapping *mappings.Mapping, m *event.Message) error {
	if err := p.only("table", "json", "ndjson"); err != nil {
		return err
	}
	trial, err := mappings.Try(ctx, mapping, m)
	if err != nil {
		return err
	}
	if err := p.one(trial, func(w io.Writer) error { return printTrial(w, &trial) }); err != nil {
		return err
	}
	for _, r := range trial.Refusals {
		if r.Outcome == event.Dead.String() {
			return &findings{text: "the message, or a part of it, would be a dead letter"}
		}
	}
	return nil
}

func printTrial(w io.Writer, t *mappings.Trial) error {
	name := t.Event
	if name == "" {
		name = "no event of the mapping"
	}
	fmt.Fprintf(w, "event: %s\n", plain(name))
	for i := range t.Changes {
		c := &t.Changes[i]
		fmt.Fprintf(w, "\nchanges[%d]: %s %s  version %s %s\n", i, c.Op, plain(c.Key), c.Version.Source.Kind, plain(c.Version.Source.Value))
		var rows [][]string
		for _, st := range c.Party {
			rows = append(rows, []string{"  " + st.Path.String(), st.State.String(), valueText(st.Value)})
		}
		for _, in := range c.Interactions {
			amount := ""
			if !in.Amount.IsZero() {
				amount = in.Amount.String()
			}
			rows = append(rows, []string{"  interaction " + in.Key, in.Type, strings.TrimSpace(amount + " " + in.Title)})
		}
		if err := table(w, nil, rows); err != nil {
			return err
		}
	}
	printRefusals(w, t.Refusals)
	return nil
}

func printRefusals(w io.Writer, refusals []adapters.Expected) {
	for _, r := range refusals {
		where := strings.Join(slices.DeleteFunc([]string{r.Part, r.Path}, func(s string) bool { return s == "" }), " ")
		fmt.Fprintln(w, "\n"+plain(fmt.Sprintf("%s (%s) %s: %s", r.Outcome, r.Reason, where, r.Contains)))
	}
}
