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
	"strconv"
	"strings"
	"syscall"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
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
	if err := s.group(ctx); err != nil {
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

// What can be wrong with the file of a store. An error that is one of these is an *event.Error too, which names the file and says what
// to do. All are retryable: what could not be stored is held and tried again, never dropped.
var (
	ErrInUse   = errors.New("another process uses the store")
	ErrNewer   = errors.New("the store is of a newer version")
	ErrForeign = errors.New("not a store")
	ErrDamaged = errors.New("the store is damaged")
	ErrFull    = errors.New("the disk is full")
	ErrClosed  = errors.New("the store is closed")
)

// fault words one of the above, with the error that showed it.
func fault(path string, kind, cause error, format string, args ...any) error {
	return &event.Error{
		Class: event.Retryable, Reason: "internal", Text: "store " + path + ": " + fmt.Sprintf(format, args...),
		Err: errors.Join(kind, cause),
	}
}

func inUse(path, pid string) error {
	return fault(path, ErrInUse, nil, "process %s is using it: stop that one, or name another data folder", pid)
}

func newer(path string, has, knows int) error {
	return fault(path, ErrNewer, nil, "the file is of version %d, this program knows versions up to %d: "+
		"use the newer program that wrote it, or restore a backup of before", has, knows)
}

func foreign(path string) error {
	return fault(path, ErrForeign, nil, "this is the SQLite file of another program: name another path")
}

// damaged is never mended in silence: what a damaged file still holds may be all there is.
func damaged(path, what string, cause error) error {
	return fault(path, ErrDamaged, cause, "the file is damaged, and was not changed: %s: "+
		"stop, keep a copy of it and of its -wal file, and restore a backup", what)
}

// unwritable words an error of the operating system about the file or its folder.
func unwritable(path string, cause error) error {
	var known *event.Error
	var driven *driver.Error
	if errors.As(cause, &known) || errors.As(cause, &driven) {
		return cause // says it already, or explain will
	}
	if errors.Is(cause, syscall.ENOSPC) {
		return fault(path, ErrFull, cause, "the disk is full: make room")
	}
	reason := cause
	if in := (*fs.PathError)(nil); errors.As(cause, &in) {
		reason = in.Err
	}
	return fault(path, nil, cause, "the file or its folder cannot be written: %s: let this user write there, or name another path", reason)
}

// explain says what an error of the driver means, and what to do. Other errors pass as they are.
func (s *Store) explain(err error) error {
	var known *event.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if gone := s.gone.Load(); gone != nil && errors.Is(err, *gone) {
		return fault(s.path, ErrClosed, nil, "it was closed: open it again")
	}
	if errors.Is(err, errBody) {
		return damaged(s.path, err.Error(), err)
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	code := strconv.Itoa(e.Code())
	switch e.Code() & 0xff {
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return damaged(s.path, "SQLite's code is "+code, err)
	case codes.SQLITE_FULL:
		return fault(s.path, ErrFull, err, "the disk is full: make room, nothing is lost meanwhile")
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_PERM:
		return fault(s.path, nil, err, "the file cannot be written, code %s: let this user write to it and to its folder", code)
	case codes.SQLITE_IOERR:
		return fault(s.path, nil, err, "the disk fails, code %s: look at the disk and its mount, nothing is lost meanwhile", code)
	case codes.SQLITE_BUSY:
		return fault(s.path, nil, err, "another program holds the file locked: stop the program that looks at it")
	}
	return fmt.Errorf("store %s: %w", s.path, err)
}

// acquire takes the lock file beside the store for this process. The system lets it go when the process ends, however it ends.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, unwritable(path, err)
		}
		holder, _ := os.ReadFile(path + ".lock")
		return nil, inUse(path, strings.TrimSpace(string(holder)))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		_ = f.Close()
		return nil, unwritable(path, err)
	}
	return f, nil
}
