// Package sqlite keeps customers in one SQLite file, without cgo: the embedded store. One process writes it at a time.
//
// The file is in WAL mode with synchronous=NORMAL. A killed process loses nothing that was committed. A power failure may lose the
// last commits, but whole ones in order, and the positions of their messages with them, so the messages take effect again: nothing is
// lost or doubled (invariants 1 and 2). What an erasure removes is overwritten in the file, and the WAL is truncated after it.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	driver "modernc.org/sqlite"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Store is a customer.Store in one file.
type Store struct {
	path   string
	lock   *os.File
	writer *sql.DB // one connection
	reader *sql.DB // several, read only

	writing sync.Mutex // one Update at a time; guards what follows
	records *recent[customer.RecordID, customer.Record]
	known   *recent[customer.CustomerID, customer.Customer]
}

const (
	applicationID = 0x4f4e4546 // "ONEF"
	readers       = 4
	busyMillis    = 5_000
	cacheKiB      = 65_536
	corruptCode   = 11 // SQLITE_CORRUPT
	notADBCode    = 26 // SQLITE_NOTADB
	fullCode      = 13 // SQLITE_FULL
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the store at path, makes it if there is none, and brings an older one up to date. It refuses, with what to do, a file that
// another process holds, one of a newer version, one that is damaged, and one that is not ours.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store %s: the folder cannot be made: %w", path, err)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, lock: lock,
		records: newRecent[customer.RecordID, customer.Record](recentRecords),
		known:   newRecent[customer.CustomerID, customer.Customer](recentCustomers),
	}
	if err := s.open(ctx); err != nil {
		_ = s.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	pragmas := []string{
		"journal_mode(WAL)", "synchronous(NORMAL)", "secure_delete(ON)", "foreign_keys(OFF)", "temp_store(MEMORY)",
		fmt.Sprintf("busy_timeout(%d)", busyMillis), fmt.Sprintf("cache_size(-%d)", cacheKiB),
	}
	var err error
	if s.writer, err = sql.Open("sqlite", s.dsn(append(pragmas, "wal_autocheckpoint(8000)", "journal_size_limit(67108864)"), "&_txlock=immediate")); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if s.reader, err = sql.Open("sqlite", s.dsn(append(pragmas, "query_only(1)"), "")); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	return s.reader.PingContext(ctx)
}

func (s *Store) dsn(pragmas []string, rest string) string {
	var b strings.Builder
	b.WriteString("file:" + (&url.URL{Path: s.path}).EscapedPath() + "?")
	for i, p := range pragmas {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString("_pragma=" + url.QueryEscape(p))
	}
	return b.String() + rest
}

// migrate applies the numbered migrations that the file has not seen, each in a transaction of its own.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	var version, id int
	if err := s.writer.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if err := s.writer.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if version > 0 && id != applicationID {
		return fmt.Errorf("store %s: this is the SQLite file of another program: name another path", s.path)
	}
	if version > len(files) {
		return fmt.Errorf("store %s: the file is of version %d, this program knows versions up to %d: "+
			"use the newer program that wrote it, or restore a backup of before", s.path, version, len(files))
	}
	for n := version; n < len(files); n++ {
		script, err := migrations.ReadFile(files[n])
		if err != nil {
			return err
		}
		if err := s.step(ctx, string(script), n+1); err != nil {
			return fmt.Errorf("store %s: migration %s: %w", s.path, filepath.Base(files[n]), err)
		}
	}
	return nil
}

func (s *Store) step(ctx context.Context, script string, version int) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	script += fmt.Sprintf(";PRAGMA user_version = %d;PRAGMA application_id = %d;", version, applicationID)
	if _, err := tx.ExecContext(ctx, script); err != nil {
		return err
	}
	return tx.Commit()
}

// InstallationKey answers the secret that record ids are made with: 32 bytes, made once and kept in the file.
func (s *Store) InstallationKey(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return nil, err
	}
	if _, err := s.writer.ExecContext(ctx, "INSERT OR IGNORE INTO meta (name, value) VALUES ('installation_key', ?)", fresh); err != nil {
		return nil, s.explain(err)
	}
	var key []byte
	err := s.writer.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'installation_key'").Scan(&key)
	return key, s.explain(err)
}

// Check reads the whole file and says whether it is sound. It may take minutes on a large one.
func (s *Store) Check(ctx context.Context) error {
	var word string
	if err := s.reader.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&word); err != nil {
		return s.explain(err)
	}
	if word != "ok" {
		return s.damaged(errors.New(word))
	}
	return nil
}

// Close waits for readers and the writer, and lets the file go.
func (s *Store) Close() error {
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// explain says what an error of the driver means, and what to do.
func (s *Store) explain(err error) error {
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case corruptCode, notADBCode:
		return s.damaged(err)
	case fullCode:
		return event.Errorf(event.Retryable, "internal", "", "store %s: the disk is full: make room, nothing is lost meanwhile: %w", s.path, err)
	}
	return fmt.Errorf("store %s: %w", s.path, err)
}

// damaged is never mended in silence: what a damaged file still holds may be all there is.
func (s *Store) damaged(err error) error {
	return event.Errorf(event.Retryable, "internal", "", "store %s: the file is damaged; it was not changed: "+
		"stop, keep a copy of it and of its -wal file, and restore a backup: %w", s.path, err)
}
