package main

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver: a second program that opens the store, as an operator's sqlite3 does
)

// What docs/deployment.md says of backups. The statement is the page's own, given by another program while the service writes: the copy
// is sound, later messages are read again from where the copy stands, and in the end there is what an undisturbed run has.
func TestBackupWhileRunning(t *testing.T) {
	const events = 2_000
	dir := t.TempDir()
	filled := spawn(t, configured(t, dir, ""))
	file := configured(t, dir, fill(t, filled.Broker, "", events))
	filled.end()

	in := spawn(t, file)
	eventually(t, time.Minute, "a part has taken effect", func() bool {
		done, left := in.progress(t)
		return done > 0 && left > 0
	})
	live, copied := filepath.Join(dir, "data", "onefold.db"), filepath.Join(dir, "backup.db")
	snapshot(t, live, copied)
	_, left := in.progress(t)
	want := in.export(t, events)
	in.kill() // what comes next is a disaster
	if left == 0 {
		t.Fatal("the copy was made when all was done: the test shows nothing")
	}

	for _, name := range []string{"onefold.db", "onefold.db-wal", "onefold.db-shm"} {
		if err := os.RemoveAll(filepath.Join(dir, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(copied, live); err != nil {
		t.Fatal(err)
	}
	restored := spawn(t, file)
	hold(t, want, restored.export(t, events))
}

// snapshot runs the page's statement in a connection of its own, as it stands there.
func snapshot(t *testing.T, live, to string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`sqlite3 '\S+' "(VACUUM INTO )'\S+'"`).FindSubmatch(page)
	if m == nil {
		t.Fatal("the page has no statement that makes a backup")
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: live}).EscapedPath()+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), string(m[1])+"?", to); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	copied, err := sql.Open("sqlite", "file:"+(&url.URL{Path: to}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	var sound string
	if err := copied.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Error(sound, err)
	}
}

// The whole data folder of a stopped service, copied elsewhere, is that service: store and embedded broker go on where they stood.
func TestBackupOfAStoppedService(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	in := spawn(t, configured(t, here, shopOnly))
	produce(t, in.Broker, ana(1, "ana@example.com"))
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	want := in.ask(t, "customer", "export", "--canonical")
	in.end()
	if err := os.CopyFS(there, os.DirFS(here)); err != nil {
		t.Fatal(err)
	}

	moved := spawn(t, configured(t, there, shopOnly))
	hold(t, want, moved.ask(t, "customer", "export", "--canonical"))
	produce(t, moved.Broker, ana(2, "bea@example.com"))
	eventually(t, 20*time.Second, "a message that comes later has its effect", func() bool { return len(moved.find(t, "bea@example.com")) == 1 })
	if src := moved.source(t); len(src.Partitions) == 0 || src.Partitions[0].Halted != "" {
		t.Errorf("%+v", src)
	}
}
