package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/onefold/onefold/event"
)

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
