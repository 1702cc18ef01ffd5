package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/cmd/onefold/archive"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/pipeline/kafka/journal"
	"github.com/onefold/onefold/store/sqlite"
)

// Check is what a look at a whole installation, or at a backup, has shown.
type Check struct {
	sqlite.Report
	Log   []journal.Extent `json:"log,omitempty"`
	Notes []string         `json:"notes,omitempty"` // what was not looked at
}

func (p *program) checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "check", Args: cobra.NoArgs,
		Short: "Read the whole store and the embedded broker's log, and say what does not hold",
		Long: "Read the whole store, and the log of the embedded broker where there is one, while the service runs or while it " +
			"does not, and say what\n" +
			"does not hold of what always should. Nothing is changed. With --backup a backup is read instead. It ends with 4 where " +
			"it found something.",
		Example: "  onefold check\n  onefold check --backup /var/backups/onefold-monday",
	}
	file := configFlag(c)
	backup := c.Flags().String("backup", "", "a backup to look at instead")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		if *backup != "" {
			return p.checkBackup(c.Context(), *backup)
		}
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		return p.check(c.Context(), cfg)
	}
	return c
}

func (p *program) check(ctx context.Context, cfg *config.Config) error {
	r, err := sqlite.Audit(ctx, cfg.Store.SQLite.Path)
	if err != nil {
		return surroundings(err, "name the configuration of the installation with --config")
	}
	k := &Check{Report: *r}
	if cfg.Kafka.Embedded() {
		if k.Log, err = journal.Read(brokerDir(cfg)); err != nil && !errors.Is(err, fs.ErrNotExist) { // after the store: the log only grows
			return surroundings(err, "run it as the user that the service runs as")
		}
		k.compare()
		k.damaged(brokerDir(cfg))
	} else {
		k.Notes = append(k.Notes, "the broker is not embedded: positions were not held against its topics; onefold doctor asks it")
	}
	return p.checked(k, "stop the service, keep a copy of the data folder, and restore a backup")
}

// compare holds positions against the log: none is ahead of it, and none lies before its beginning.
func (k *Check) compare() {
	for _, at := range k.Positions {
		name := fmt.Sprintf("%s/%s/%d", at.Source, at.Topic, at.Partition.Partition)
		e := extentOf(k.Log, at.Partition)
		switch {
		case at.Next <= 0:
		case e == nil:
			k.Findings = append(k.Findings, name+": the embedded broker has no such partition: its log is another's, or lost")
		case e.TopicID != at.TopicID && at.TopicID != "":
			k.Findings = append(k.Findings, name+": the topic was made anew since it was read")
		case at.Next > e.End:
			k.Findings = append(k.Findings, fmt.Sprintf("%s: the position %d is ahead of the log, which ends at %d", name, at.Next, e.End))
		case at.Next < e.Start:
			k.Findings = append(k.Findings, fmt.Sprintf("%s: %d messages are gone that were not taken yet", name, e.Start-at.Next))
		}
	}
}

// damaged looks a second time at what seems to be damage: what is being written at the first look is whole at the second.
func (k *Check) damaged(dir string) {
	if !slices.ContainsFunc(k.Log, func(e journal.Extent) bool { return e.Damage != "" }) {
		return
	}
	again, err := journal.Read(dir)
	if err != nil {
		k.Notes = append(k.Notes, "the log could not be read a second time")
		return
	}
	for _, e := range k.Log {
		if e.Damage != "" && slices.Contains(again, e) {
			k.Findings = append(k.Findings, fmt.Sprintf("%s/%d: the log is damaged: %s", e.Topic, e.Partition, e.Damage))
		}
	}
}

// checkBackup reads a backup as a restore would.
func (p *program) checkBackup(ctx context.Context, path string) error {
	m, err := archive.Read(path)
	if err != nil {
		return surroundings(err, "name a folder or file that onefold backup has made")
	}
	b, err := backupOf(path, m)
	if err != nil {
		return surroundings(err, "name a folder or file that onefold backup has made")
	}
	wrong, err := m.Extract(ctx, path, "")
	if err != nil {
		return surroundings(err, "let this user read the backup")
	}
	k := &Check{Report: sqlite.Report{Schema: b.Schema, Counts: b.Counts, Positions: b.Positions, Findings: []string{}}, Log: b.Log}
	k.Notes = append(k.Notes, "the store in it was looked at when it was made; here every file is held against its checksum")
	if len(wrong) > 0 {
		k.Findings = append(k.Findings, lost(path, wrong))
	}
	if b.Embedded {
		k.compare()
	}
	return p.checked(k, "this backup cannot be restored as it is: make another, and check the older ones")
}

// checked prints a check; where it found something, what is to be done ends it.
func (p *program) checked(k *Check, remedy string) error {
	err := p.one(k, func(w io.Writer) error {
		rows := [][]string{
			{"records", fmt.Sprint(k.Counts.Records)},
			{"customers", fmt.Sprint(k.Counts.Customers)},
			{"interactions", fmt.Sprint(k.Counts.Interactions)},
			{"dead letters", fmt.Sprint(k.Counts.DeadLetters)},
			{"waiting to leave", fmt.Sprint(k.Counts.Outbox)},
		}
		for _, f := range k.Findings {
			rows = append(rows, []string{"finding", f})
		}
		for _, n := range k.Notes {
			rows = append(rows, []string{"note", n})
		}
		return table(w, nil, rows)
	})
	if err != nil || len(k.Findings) == 0 {
		return err
	}
	return &findings{text: strings.TrimSpace(count(len(k.Findings), "finding", "")) + ": " + remedy}
}
