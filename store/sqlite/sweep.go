package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/onefold/onefold/store/sqlite/page"
)

// How the bytes of an erasure leave the files. secure_delete zeroes what is deleted where it lies; but where SQLite rebuilds a page,
// what the page was before stays in its gaps until something else is written over it. So after an erasure every page is looked through
// and what it does not use is zeroed, a few pages at a time; then the WAL, which has the pages as they were, is moved into the file and
// cut to nothing. Until that is done meta has a row that says so, written in the transaction of the erasure: whoever opens the file
// next does it. Decision 0008 has the reasons and the figures.

// Limits of the sweep (invariant 10).
const (
	sweepPages   = 256   // looked through a go, while whoever wants to write waits
	sweepChanged = 8_192 // the same for the last ones, which commits write while others are looked through: a go must be able to end it
	sweepAtClose = 5 * time.Second
	sweepWait    = 50 // milliseconds that a go waits for readers to leave the WAL
)

// owedRow is the name of the row in meta.
const owedRow = "erasure_owed"

// sweep is what committed erasures still owe. What guards Update guards it; owed and log are read from outside, too.
type sweep struct {
	owed  atomic.Bool // the row stands in meta
	log   atomic.Bool // the WAL may have bytes of what was erased
	pages bool        // pages may have some
	all   bool        // every page of the file, as many as there are when the next go begins

	next, left, count uint32              // of a ring of pages 1 to count: which to look at next, and how many from there
	again             map[uint32]struct{} // others, that commits have written since
	cleaner           page.Cleaner
	trail             page.Log
}

// Erasing says whether bytes of what was erased may still be in the files. Maintain, and Close if it has the time, see to it.
func (s *Store) Erasing() bool { return s.sweep.owed.Load() }

// owe begins with every page again.
func (w *sweep) owe() {
	w.owed.Store(true)
	w.log.Store(true)
	w.pages, w.all = true, true
}

// wrote follows a commit. While pages are owed, a page that was looked at may get back what it lost: where SQLite balances a tree, one
// page may take over the number of another, with all its gaps.
func (w *sweep) wrote(erased bool) {
	if !erased && !w.pages {
		return
	}
	numbers, err := w.trail.Changed()
	if erased || err != nil {
		w.owe()
		return
	}
	for _, n := range numbers {
		if !w.ahead(n) {
			w.again[n] = struct{}{}
		}
	}
}

// ahead says whether the sweep comes to a page anyway.
func (w *sweep) ahead(number uint32) bool {
	return w.all || number <= w.count && (number+w.count-w.next)%w.count < w.left
}

// take answers the next pages to look at; from the last of them none is owed.
func (w *sweep) take(count uint32) []int64 {
	if w.all {
		w.all, w.count, w.left, w.again = false, count, count, map[uint32]struct{}{}
		if w.next < 1 || w.next > count {
			w.next = 1
		}
	}
	var out []int64
	for ; w.left > 0 && len(out) < sweepPages; w.left-- {
		out = append(out, int64(w.next))
		w.next = w.next%w.count + 1
	}
	if len(out) > 0 {
		return out
	}
	for n := range w.again {
		if len(out) == sweepChanged {
			break
		}
		out = append(out, int64(n))
		delete(w.again, n)
	}
	slices.Sort(out)
	return out
}

// Maintain does the next part of what erasures owe: it looks through a bounded number of pages or, after the last, empties the WAL. more
// says whether the next call could go on at once; where a reader holds the WAL, or nothing is owed, it could not. Others who write get
// their turn between two calls.
func (s *Store) Maintain(ctx context.Context) (more bool, err error) {
	if !s.sweep.owed.Load() {
		return false, nil
	}
	select {
	case s.updating <- struct{}{}:
		defer func() { <-s.updating }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return false, s.explain(err)
	}
	defer func() { _ = conn.Close() }()
	if s.sweep.pages {
		if err := s.clean(ctx, conn); err != nil {
			return false, s.explain(err)
		}
	}
	if s.sweep.pages {
		return true, nil
	}
	return false, s.explain(s.settle(ctx, conn))
}

// clean looks through the next pages. After an error all are owed again, beginning with those behind.
func (s *Store) clean(ctx context.Context, conn *sql.Conn) (err error) {
	w := &s.sweep
	defer func() {
		if err != nil {
			w.owe()
		}
	}()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var count uint32
	if err := tx.QueryRowContext(ctx, "PRAGMA page_count").Scan(&count); err != nil {
		return err
	}
	if count > page.Most {
		return fault(s.path, nil, nil, "the file has more than %d pages: what erased values leave in their gaps cannot be found, "+
			"and stays until VACUUM is run on it with the service stopped", page.Most)
	}
	dirty, err := s.dirty(ctx, view{tx}, w.take(count))
	if err != nil {
		return err
	}
	for _, d := range dirty {
		if _, err := tx.ExecContext(ctx, "UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?", d.data, d.number); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if _, err := w.trail.Changed(); err != nil { // what this commit wrote is clean
		return err
	}
	if w.pages = w.left > 0 || len(w.again) > 0; !w.pages {
		w.log.Store(true)
	}
	return nil
}

// cleaned is a page that has more to zero than it uses.
type cleaned struct {
	number uint32
	data   []byte
}

// dirty answers those of the pages that do not use every byte which is not zero, cleaned.
func (s *Store) dirty(ctx context.Context, v view, numbered []int64) (out []cleaned, err error) {
	var buffer []byte
	const query = "SELECT d.pgno, d.data FROM json_each(?) e JOIN sqlite_dbpage d ON d.pgno = e.value"
	return out, v.each(ctx, query, []any{numbers(numbered)}, func(rows *sql.Rows) error {
		var number uint32
		var data sql.RawBytes
		if err := rows.Scan(&number, &data); err != nil {
			return err
		}
		buffer = append(buffer[:0], data...)
		changed, err := s.sweep.cleaner.Clean(number, buffer)
		if errors.Is(err, page.ErrDamaged) {
			return damaged(s.path, fmt.Sprintf("page %d: %v", number, err), err)
		}
		if changed {
			out = append(out, cleaned{number, slices.Clone(buffer)})
		}
		return err
	})
}

// settle moves the WAL into the file and cuts it to nothing, if it may have bytes of what was erased; and when nothing is owed any
// more, takes the row away. Someone who reads an older state holds it up: it is tried again when the last View ends, at each commit and
// by Maintain, and closing does it in any case.
func (s *Store) settle(ctx context.Context, conn *sql.Conn) error {
	w := &s.sweep
	if w.log.Load() {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", sweepWait)); err != nil {
			return err
		}
		var held, pages, moved int
		err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&held, &pages, &moved)
		_, err2 := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", busy))
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		w.log.Store(held != 0)
	}
	if w.pages || w.log.Load() || !w.owed.Load() {
		return nil
	}
	_, err := conn.ExecContext(ctx, "DELETE FROM meta WHERE name = ?", owedRow)
	w.owed.Store(err != nil)
	return err
}

// left is called when a View has ended: the last one tries what readers have held up. Whoever commits meanwhile tries it as well.
func (s *Store) left(ctx context.Context) {
	if s.viewing.Add(-1) > 0 || !s.sweep.log.Load() {
		return
	}
	select {
	case s.updating <- struct{}{}:
		defer func() { <-s.updating }()
	default:
		return
	}
	ctx = context.WithoutCancel(ctx)
	if conn, err := s.writer.Conn(ctx); err == nil {
		_ = s.settle(ctx, conn)
		_ = conn.Close()
	}
}

// finish does what is owed before the store is closed, in the time that it has. The rest stays owed.
func (s *Store) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), sweepAtClose)
	defer cancel()
	for more, err := true, error(nil); more && err == nil; {
		more, err = s.Maintain(ctx)
	}
}

// resume reads what is still owed by erasures of before.
func (s *Store) resume(ctx context.Context) error {
	var owed bool
	err := s.writer.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM meta WHERE name = ?)", owedRow).Scan(&owed)
	if owed {
		s.sweep.owe()
	}
	return err
}
