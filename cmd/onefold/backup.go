package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/cmd/onefold/archive"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka/journal"
	"github.com/onefold/onefold/store/sqlite"
)

// Names within a backup.
const (
	backupStore  = "onefold.db"
	backupBroker = "broker"
)

// backupDetails is what a backup says of its content.
type backupDetails struct {
	Schema    int              `json:"schema"` // of the store's file
	Counts    customer.Counts  `json:"counts"`
	Positions []event.Position `json:"positions"`
	Log       []journal.Extent `json:"log,omitempty"` // of the embedded broker
	Embedded  bool             `json:"embedded"`      // the broker's log is in it
}

// Backup is what a backup or a restore came to.
type Backup struct {
	Path      string `json:"path"`
	Version   string `json:"version"`
	CreatedAt string `json:"createdAt"`
	Bytes     int64  `json:"bytes"`
	Files     int    `json:"files"`
	backupDetails
}

func (p *program) backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "backup --to PATH", Args: cobra.NoArgs,
		Short: "Copy store and embedded broker to a folder, or to one file, while the service runs or while it does not",
		Long: "Copy the store, and the log of the embedded broker where there is one, to a new folder, or to one file if its " +
			"name ends in .tar.\n" +
			"The service may run: the store is copied as it stands at one moment, and the log afterwards, so that no position is ahead of it.\n" +
			"The backup is read once more before this says that it is good. It holds everything that is known of everybody: guard it.",
		Example: "  onefold backup --to /var/backups/onefold-monday\n  onefold backup --to /var/backups/onefold-monday.tar",
	}
	file := configFlag(c)
	to := c.Flags().String("to", "", "the folder or file.tar to make; it must not be there yet")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *to == "" {
			return &usage{text: "it is not said where the backup goes", hint: "add --to FOLDER, or --to FILE.tar"}
		}
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		return p.backup(c.Context(), cfg, *to)
	}
	return c
}

func (p *program) backup(ctx context.Context, cfg *config.Config, to string) error {
	m, err := archive.Write(ctx, to, buildOf().Version, p.now(), func(dir string) (any, error) { return fillBackup(ctx, cfg, dir) })
	if errors.Is(err, fs.ErrExist) {
		return &usage{text: "there is something at " + to + " already", hint: "name a folder or file that is not there yet"}
	}
	if err != nil {
		return surroundings(fmt.Errorf("backup: %w", err), "run it as the user that the service runs as, and write where there is room")
	}
	wrong, err := m.Extract(ctx, to, "") // what cannot be read now will not be read later
	if err == nil && len(wrong) > 0 {
		err = fmt.Errorf("backup: %s was not written as it was read: %s: %s", to, wrong[0].Path, wrong[0].What)
	}
	if err != nil {
		return err
	}
	out, err := backupOf(to, m)
	if err != nil {
		return err
	}
	return p.one(out, func(w io.Writer) error { return out.print(w, "backed up to") })
}

// fillBackup copies store and broker into a folder: the store first, so that its positions are not ahead of the log.
func fillBackup(ctx context.Context, cfg *config.Config, dir string) (any, error) {
	store := filepath.Join(dir, backupStore)
	if err := sqlite.Snapshot(ctx, cfg.Store.SQLite.Path, store); err != nil {
		return nil, err
	}
	report, err := sqlite.Audit(ctx, store)
	if err != nil {
		return nil, err
	}
	if len(report.Findings) > 0 {
		return nil, fmt.Errorf("the store does not hold what it should, and was not backed up: onefold check tells all. %s", report.Findings[0])
	}
	d := backupDetails{Schema: report.Schema, Counts: report.Counts, Positions: report.Positions, Embedded: cfg.Kafka.Embedded()}
	if d.Embedded {
		if err := journal.Copy(ctx, brokerDir(cfg), filepath.Join(dir, backupBroker)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if d.Log, err = journal.Read(filepath.Join(dir, backupBroker)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func brokerDir(cfg *config.Config) string { return filepath.Join(cfg.Data, "broker") }

// backupOf reads what a manifest says of its content.
func backupOf(path string, m *archive.Manifest) (*Backup, error) {
	b := &Backup{Path: path, Version: m.Version, CreatedAt: m.CreatedAt.Format("2006-01-02T15:04:05Z"), Files: len(m.Files)}
	for _, f := range m.Files {
		b.Bytes += f.Bytes
	}
	if err := json.Unmarshal(m.Details, &b.backupDetails); err != nil {
		return nil, fmt.Errorf("%s: %w: what it says of its content cannot be read", path, archive.ErrNone)
	}
	return b, nil
}

func (b *Backup) print(w io.Writer, what string) error {
	rows := [][]string{
		{what, b.Path},
		{"made", b.CreatedAt + " by version " + b.Version},
		{"size", fmt.Sprintf("%d bytes in %d files", b.Bytes, b.Files)},
		{"records", fmt.Sprint(b.Counts.Records)},
		{"customers", fmt.Sprint(b.Counts.Customers)},
		{"dead letters", fmt.Sprint(b.Counts.DeadLetters)},
	}
	for _, at := range b.Positions {
		line := fmt.Sprintf("taken up to %d", max(at.Next, 0))
		if e := extentOf(b.Log, at.Partition); e != nil {
			line += fmt.Sprintf(" of %d", e.End)
		}
		rows = append(rows, []string{fmt.Sprintf("%s/%s/%d", at.Source, at.Topic, at.Partition.Partition), line})
	}
	return table(w, nil, rows)
}

func extentOf(log []journal.Extent, p event.Partition) *journal.Extent {
	i := slices.IndexFunc(log, func(e journal.Extent) bool { return e.Topic == p.Topic && e.Partition == p.Partition })
	if i < 0 {
		return nil
	}
	return &log[i]
}

func (p *program) restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "restore --from PATH", Args: cobra.NoArgs,
		Short: "Put a backup into an empty data folder",
		Long: "Put the store, and the embedded broker's log, of a backup where the configuration wants them. The service does " +
			"not run, and the data\n" +
			"folder is empty: nothing is ever overwritten. A backup that is damaged is refused, and what is lost is told.",
		Example: "  onefold restore --from /var/backups/onefold-monday",
	}
	file := configFlag(c)
	from := c.Flags().String("from", "", "the folder or file that onefold backup has made")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *from == "" {
			return &usage{text: "it is not said which backup", hint: "add --from FOLDER, or --from FILE.tar"}
		}
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		return p.restore(c.Context(), cfg, *from)
	}
	return c
}

// restoring is the folder that a backup is put into first, within the data folder: what is there is whole or nothing.
const restoring = "restore.partial"

func (p *program) restore(ctx context.Context, cfg *config.Config, from string) error {
	m, err := archive.Read(from)
	if err != nil {
		return surroundings(err, "name a folder or file that onefold backup has made")
	}
	b, err := backupOf(from, m)
	if err != nil {
		return surroundings(err, "name a folder or file that onefold backup has made")
	}
	if known, err := sqlite.Schema(); err != nil || b.Schema > known {
		return &environment{
			text: fmt.Sprintf("the backup was made by a newer version, %s: its store is of form %d, this program knows forms up "+
				"to %d", b.Version, b.Schema, known),
			remedy: "restore it with the version that made it, or a later one", err: err,
		}
	}
	if b.Embedded != cfg.Kafka.Embedded() {
		p.say("the backup is of an installation with %s broker, this configuration has %s: positions may not fit its "+
			"topics", which(b.Embedded), which(cfg.Kafka.Embedded()))
	}
	if err := emptyData(cfg); err != nil {
		return err
	}
	stage := filepath.Join(cfg.Data, restoring)
	if err := os.MkdirAll(stage, 0o700); err != nil {
		return surroundings(err, "let this user write to the data folder")
	}
	defer func() { _ = os.RemoveAll(stage) }()
	wrong, err := m.Extract(ctx, from, stage)
	if err != nil {
		return surroundings(err, "look at the disks of the backup and of the data folder")
	}
	if len(wrong) > 0 {
		return &environment{text: lost(from, wrong), remedy: "restore another backup: nothing was put into the data folder"}
	}
	if err := settleIn(cfg, stage); err != nil {
		return surroundings(err, "empty the data folder, and try again")
	}
	if err := p.one(b, func(w io.Writer) error { return b.print(w, "restored from") }); err != nil {
		return err
	}
	p.say("Start the service: it reads on from these positions. Decisions and erasures that people gave since %s are to be "+
		"given again.", b.CreatedAt)
	return nil
}

func (p *program) say(format string, args ...any) { fmt.Fprintf(p.err, format+"\n", args...) }

func which(embedded bool) string {
	if embedded {
		return "an embedded"
	}
	return "its own"
}

// lost words what a damaged backup lacks, and what that means.
func lost(from string, wrong []archive.Damage) string {
	var lines []string
	store := false
	for _, d := range wrong {
		store = store || d.Path == backupStore
		if len(lines) < 10 {
			lines = append(lines, d.Path+": "+d.What)
		}
	}
	text := fmt.Sprintf("the backup %s is damaged in %s: "+
		"%s. ", from, strings.TrimSpace(count(len(wrong), "file", "")), strings.Join(lines, "; "))
	if store {
		return text + "The store is lost with it: who customers are, decisions, histories and dead letters"
	}
	return text + "The store is whole; messages of these partitions that it had not taken yet are lost"
}

// emptyData refuses a data folder that holds anything but locks, and a store that a process has.
func emptyData(cfg *config.Config) error {
	if err := os.RemoveAll(filepath.Join(cfg.Data, restoring)); err != nil { // of a restore that broke off
		return surroundings(err, "let this user write to the data folder")
	}
	list, err := os.ReadDir(cfg.Data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return surroundings(err, "let this user read the data folder")
	}
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), ".lock") && e.Name() != "lost+found" {
			return &environment{
				text: fmt.Sprintf("the data folder %s is not empty: it has %s", cfg.Data, e.Name()), remedy: "move what is in it " +
					"elsewhere; a restore overwrites nothing",
			}
		}
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if _, err := os.Lstat(cfg.Store.SQLite.Path + suffix); err == nil {
			return &environment{text: cfg.Store.SQLite.Path + suffix + " is there already", remedy: "move it elsewhere; a restore " +
				"overwrites nothing"}
		}
	}
	return nil
}

// settleIn moves what was staged to its places, the store last: without it there is nothing that a service would start with and take for
// whole.
func settleIn(cfg *config.Config, stage string) error {
	if err := own(stage, cfg.Data); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(stage, backupBroker)); err == nil && cfg.Kafka.Embedded() {
		if err := os.Rename(filepath.Join(stage, backupBroker), brokerDir(cfg)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Store.SQLite.Path), 0o700); err != nil {
		return err
	}
	return move(filepath.Join(stage, backupStore), cfg.Store.SQLite.Path)
}

// move renames a file, or copies it where it goes to another disk.
func move(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	draft := to + ".partial"
	out, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return os.Rename(draft, to)
}

// own gives what the superuser has put into a folder to whom the folder belongs: the service is that user.
func own(stage, data string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return filepath.WalkDir(stage, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(sys.Uid), int(sys.Gid))
	})
}
