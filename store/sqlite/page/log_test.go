package page_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/onefold/onefold/store/sqlite/page"
)

// The log tells every page that a commit changed: also after transactions that were rolled back and had been written in part, and after
// the log was begun anew or cut off.
func TestLogChanged(t *testing.T) {
	db, path := file(t, 1024, "PRAGMA journal_mode = WAL", "PRAGMA cache_size = 10", "PRAGMA wal_autocheckpoint = 200",
		"CREATE TABLE a (id INTEGER PRIMARY KEY, x BLOB)")
	log := page.Log{Path: path + "-wal"}
	if all, err := log.Changed(); err != nil || len(all) == 0 {
		t.Fatalf("at first it tells of %d pages: %v", len(all), err)
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's
	change := func() {
		for range 1 + random.IntN(30) {
			run(t, db, "INSERT OR REPLACE INTO a VALUES (?, randomblob(?))", random.IntN(500), random.IntN(900))
		}
	}
	told, small := 0, 0
	for i := range 60 {
		before := pages(t, db)
		switch {
		case i%7 == 3: // spilled, and taken back
			run(t, db, "BEGIN")
			change()
			run(t, db, "ROLLBACK")
		case i%11 == 5:
			run(t, db, "PRAGMA wal_checkpoint(TRUNCATE)")
		case i%13 == 6:
			run(t, db, "PRAGMA wal_checkpoint(RESTART)")
		}
		run(t, db, "BEGIN")
		change()
		run(t, db, "COMMIT")
		numbers, err := log.Changed()
		if err != nil {
			t.Fatal(err)
		}
		said := map[uint32]bool{}
		for _, n := range numbers {
			said[n] = true
		}
		after := pages(t, db)
		for n, b := range after {
			if !bytes.Equal(b, before[n]) && !said[n] {
				t.Fatalf("commit %d: page %d changed, and the log does not tell", i, n)
			}
		}
		if told += len(said); len(said) < len(after) {
			small++
		}
	}
	if none, err := log.Changed(); err != nil || len(none) > 0 {
		t.Errorf("without a commit it tells of %d pages: %v", len(none), err)
	}
	if small < 40 {
		t.Errorf("only %d of 60 commits tell of less than the whole file (%d pages told)", small, told)
	}
}

// A log that is not there, or is empty, tells of nothing.
func TestLogAbsent(t *testing.T) {
	if all, err := (&page.Log{Path: t.TempDir() + "/none-wal"}).Changed(); err != nil || len(all) > 0 {
		t.Errorf("%d pages: %v", len(all), err)
	}
	if _, err := (&page.Log{Path: t.TempDir()}).Changed(); err == nil {
		t.Error("a folder is read as a log")
	}
}
