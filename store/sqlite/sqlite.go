// Package sqlite keeps customers in one SQLite file, without cgo: the embedded store. One process writes it at a time.
//
// The file is in WAL mode with synchronous=NORMAL. A killed process loses nothing that was committed. A power failure may lose the
// last commits, but whole ones in order, and the positions of their messages with them, so the messages take effect again: nothing is
// lost or doubled (invariants 1 and 2).
//
// What is erased leaves the files: secure_delete zeroes it where it lies, the sweep (sweep.go) zeroes what older states of a page have
// left in its gaps, and the WAL is cut to nothing. That takes a while on a large file, survives a crash, and is done when Erasing says
// so. A value that was only replaced by another is not promised to leave: its bytes go with the next sweep or are written over some day.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/onefold/onefold/customer"
)

// Store is a customer.Store in one file.
type Store struct {
	path   string
	lock   *os.File
	writer *sql.DB // one connection
	reader *sql.DB // several, read only

	updating chan struct{}         // holds the Update that is under way; guards what follows
	viewing  atomic.Int64          // Views under way
	sweep    sweep                 // what erasures still owe
	gone     atomic.Pointer[error] // what database/sql says of everything after Close
	records  *recent[customer.RecordID, customer.Record]
	known    *recent[customer.CustomerID, customer.Customer]
}

// Limits of the store (invariant 10).
const (
	readers   = 4      // views at a time; more wait
	conflicts = 10     // times that Update calls its function
	busy      = 5_000  // milliseconds to wait for another program that looks at the file
	writing   = 65_536 // KiB of pages that the writer keeps
	reading   = 8_192  // KiB of pages that a reader keeps
	logPages  = 16_000 // pages in the WAL before they are moved into the file: the longer, the fewer pages are moved twice
	logBytes  = 64 << 20
)

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

// Check reads the whole file and says whether it is sound: ErrDamaged, with the first findings, if it is not. It may take minutes on a
// large one; writers are not held up. First it does what erasures still owe.
func (s *Store) Check(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = s.Maintain(ctx); err != nil {
			return err
		}
	}
	var found []string
	err := view{s.reader}.each(ctx, "PRAGMA integrity_check(5)", nil, func(rows *sql.Rows) error {
		var line string
		err := rows.Scan(&line)
		found = append(found, strings.Join(strings.Fields(line), " "))
		return err
	})
	if err == nil && !slices.Equal(found, []string{"ok"}) {
		return damaged(s.path, strings.Join(found, "; "), nil)
	}
	if err == nil {
		err = s.recount(ctx)
	}
	return s.explain(err)
}

// Close does what erasures still owe, if that takes no longer than five seconds, waits for the writer, moves the WAL into the file and
// lets the file go.
func (s *Store) Close() error {
	s.finish()
	s.updating <- struct{}{}
	defer func() { <-s.updating }()
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
		said := s.writer.PingContext(context.Background())
		s.gone.Store(&said)
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// recent keeps what was read or written last, already decoded, for the writer alone: it is the only one who changes the file, so what
// stands here is what stands there. Two generations bound it: when the younger is full, the older is let go.
type recent[K comparable, V any] struct {
	limit      int // of one generation
	young, old map[K]*V
}

// How many are kept, in two generations together at most twice as many.
const (
	recentRecords   = 4_000
	recentCustomers = 2_000
)

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, young: map[K]*V{}}
}

func (r *recent[K, V]) get(k K) *V {
	if v := r.young[k]; v != nil {
		return v
	}
	v := r.old[k]
	if v != nil {
		r.put(k, v)
	}
	return v
}

func (r *recent[K, V]) put(k K, v *V) {
	if len(r.young) >= r.limit {
		r.old, r.young = r.young, make(map[K]*V, r.limit)
	}
	r.young[k] = v
}

// read answers values for ids in their order: those kept, and of the others what fetch finds.
func (r *recent[K, V]) read(ids []K, fetch func([]K) ([]*V, error)) ([]*V, error) {
	out := make([]*V, len(ids))
	var missing []K
	var at []int
	for i, id := range ids {
		if out[i] = r.get(id); out[i] == nil {
			missing, at = append(missing, id), append(at, i)
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	found, err := fetch(missing)
	for i, v := range found {
		if v != nil {
			out[at[i]] = v
			r.put(missing[i], v)
		}
	}
	return out, err
}

func (s *Store) forgetRecent() {
	s.records = newRecent[customer.RecordID, customer.Record](recentRecords)
	s.known = newRecent[customer.CustomerID, customer.Customer](recentCustomers)
}
