package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/store/sqlite/page"
)

const (
	applicationID = 0x4f4e4546 // "ONEF"
	magic         = "SQLite format 3\x00"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the store at path, makes it if there is none, and brings an older one up to date. It refuses, with what to do, a file that
// another process holds, one of a newer version, one that is damaged, and one that is not ours.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, unwritable(path, err)
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, lock: lock, updating: make(chan struct{}, 1),
		records: newRecent[customer.RecordID, customer.Record](recentRecords),
		known:   newRecent[customer.CustomerID, customer.Customer](recentCustomers),
		sweep:   sweep{trail: page.Log{Path: path + "-wal"}},
	}
	if err := s.open(ctx); err != nil {
		_ = s.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		err = create(ctx, s.path)
		if err != nil {
			return unwritable(s.path, err)
		}
	}
	var err error
	if s.sweep.cleaner.Reserved, err = inspect(s.path); err != nil {
		return err
	}
	if s.writer, err = connect(s.path, writing, ""); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writer, s.path); err != nil {
		return err
	}
	if err := complete(ctx, s.writer, s.path); err != nil {
		return err
	}
	if err := s.resume(ctx); err != nil {
		return err
	}
	if s.reader, err = connect(s.path, reading, "query_only(1)"); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	return s.reader.PingContext(ctx)
}

// Snapshot writes the store at path as it stands at one moment to a new file, while a service writes it or while none does. It is a reader
// like others: nobody waits for it.
func Snapshot(ctx context.Context, path, to string) error {
	db, err := glance(path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	if err = (&Store{path: path}).explain(errors.Join(err, db.Close())); err != nil {
		return err
	}
	if err := os.Chmod(to, 0o600); err != nil { // customers are nobody else's business
		return err
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Schema is the newest form of a file that this version knows.
func Schema() (int, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	return len(files), err
}

// glance opens a store's file to be read, beside whoever writes it.
func glance(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, unwritable(path, err)
	}
	if _, err := inspect(path); err != nil {
		return nil, err
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + fmt.Sprintf("?mode=ro&_pragma=busy_timeout(%d)", busy)
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// connect names the database and how each connection to it is set up. The file must be there.
func connect(path string, cacheKiB int, more ...string) (*sql.DB, error) {
	pragmas := append([]string{
		fmt.Sprintf("busy_timeout(%d)", busy), "journal_mode(WAL)", "synchronous(NORMAL)", "secure_delete(ON)", "foreign_keys(OFF)",
		"temp_store(MEMORY)", fmt.Sprintf("cache_size(-%d)", cacheKiB), fmt.Sprintf("wal_autocheckpoint(%d)", logPages),
		fmt.Sprintf("journal_size_limit(%d)", logBytes),
	}, more...)
	var b strings.Builder
	b.WriteString("file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=rw&_txlock=immediate")
	for _, p := range pragmas {
		if p != "" {
			b.WriteString("&_pragma=" + url.QueryEscape(p))
		}
	}
	return sql.Open("sqlite", b.String())
}

// create makes a new store beside its place and moves it there when it is whole. So an empty or half-made file under the store's own
// name is damage and never taken for a new store.
func create(ctx context.Context, path string) error {
	if _, err := os.Stat(path + "-wal"); err == nil {
		return damaged(path, "its WAL is there, but the file itself is missing", nil)
	}
	draft := path + ".new"
	for _, leftover := range []string{draft, draft + "-wal", draft + "-shm"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // customers are nobody else's business
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := connect(draft, reading)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := errors.Join(migrate(ctx, db, path), db.Close()); err != nil { // closing moves the WAL into the file
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// inspect looks at the head of the file, before SQLite takes it for what it is not. It answers how many bytes at the end of each page
// are not SQLite's.
func inspect(path string) (reserved int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, unwritable(path, err)
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 100)
	switch n, err := io.ReadFull(f, head); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, damaged(path, fmt.Sprintf("it has %d bytes, less than its head alone", n), nil)
	case err != nil:
		return 0, unwritable(path, err)
	case string(head[:len(magic)]) != magic:
		return 0, damaged(path, "its head is not that of a store", nil)
	case binary.BigEndian.Uint32(head[68:]) != applicationID:
		return 0, foreign(path)
	}
	return int(head[20]), nil
}

// complete finds a file that was cut off: that shows only when nothing of it is in the WAL.
func complete(ctx context.Context, db *sql.DB, path string) error {
	var held, all, moved, pages, size int64
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&held, &all, &moved); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return unwritable(path, err)
	}
	if held == 0 && info.Size() < pages*size {
		return damaged(path, fmt.Sprintf("it has %d bytes and should have %d", info.Size(), pages*size), nil)
	}
	return nil
}

// migrate applies the numbered migrations that the file has not seen, each in a transaction of its own, so that a file is always at
// one of them.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(files)
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(files) {
		return newer(path, version, len(files))
	}
	for n := version; n < len(files); n++ {
		script, err := migrations.ReadFile(files[n])
		if err != nil {
			return err
		}
		if err := step(ctx, db, string(script), n+1); err != nil {
			return fmt.Errorf("store %s: migration %s: %w", path, filepath.Base(files[n]), err)
		}
	}
	return nil
}

func step(ctx context.Context, db *sql.DB, script string, version int) error {
	tx, err := db.BeginTx(ctx, nil)
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
