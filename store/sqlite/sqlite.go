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
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/sqlite/queue"
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
	readers   = 4       // views at a time; more wait
	conflicts = 10      // times that Update calls its function
	busy      = 5_000   // milliseconds to wait for another program that looks at the file
	writing   = 196_608 // KiB of pages that the writer keeps, as far as the file has so many: see docs/performance.md
	reading   = 8_192   // KiB of pages that a reader keeps
	logPages  = 16_000  // pages in the WAL before they are moved into the file: the longer, the fewer pages are moved twice
	logBytes  = 64 << 20
)

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

// Report is what a look at a whole file has shown.
type Report struct {
	Schema    int              `json:"schema"`
	Counts    customer.Counts  `json:"counts"`
	Positions []event.Position `json:"positions"`
	Findings  []string         `json:"findings"` // what does not hold, in sentences that name ids and nothing else
}

// maxFound is how many findings of one kind are told (invariant 10).
const maxFound = 5

// Audit reads the whole file at path, beside whoever writes it, and says what does not hold of what always should: the file is sound, every
// body can be read, what one row names another has, aliases lead somewhere, and the counts are those of the rows. It changes nothing.
func Audit(ctx context.Context, path string) (*Report, error) {
	db, err := glance(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	s := &Store{path: path, reader: db}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one moment
	if err != nil {
		return nil, s.explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	a := &audit{view: view{tx}}
	if err := a.run(ctx, path); err != nil {
		return nil, s.explain(err)
	}
	return &a.Report, nil
}

// audit is an Audit under way.
type audit struct {
	Report
	view
}

func (a *audit) run(ctx context.Context, path string) error {
	known, err := Schema()
	if err != nil {
		return err
	}
	err = a.each(ctx, "PRAGMA user_version", nil, func(rows *sql.Rows) error { return rows.Scan(&a.Schema) })
	if err != nil {
		return err
	}
	if a.Schema > known {
		return newer(path, a.Schema, known)
	}
	a.Findings = []string{}
	var sound []string
	err = a.each(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", maxFound), nil, func(rows *sql.Rows) error {
		var line string
		err := rows.Scan(&line)
		sound = append(sound, strings.Join(strings.Fields(line), " "))
		return err
	})
	if err != nil {
		return err
	}
	if !slices.Equal(sound, []string{"ok"}) {
		a.Findings = append(a.Findings, "the file is not sound: "+strings.Join(sound, "; "))
		return nil // nothing else that it says can be relied on
	}
	if a.Positions, err = a.positions(ctx); err != nil {
		return err
	}
	if a.Counts, err = a.counts(ctx); err != nil {
		return err
	}
	for _, law := range laws() {
		if err := a.hold(ctx, law); err != nil {
			return err
		}
	}
	return a.bodies(ctx)
}

// law is something that holds in every file: the query answers the ids of what breaks it.
type law struct{ broken, query string }

func laws() []law {
	return []law{
		{"a live record belongs to a customer that is not there", `SELECT hex(record) FROM member m
			WHERE live = 1 AND NOT EXISTS (SELECT 1 FROM customer c WHERE c.id = m.customer)`},
		{"a live record has no content", `SELECT hex(record) FROM member m
			WHERE live = 1 AND NOT EXISTS (SELECT 1 FROM record r WHERE r.id = m.record)`},
		{"a live record belongs to a customer that is not active", `SELECT hex(record) FROM member m JOIN customer c ON c.id = m.customer
			WHERE m.live = 1 AND c.status <> 'active'`},
		{"an entry of the outbox names a version that is not there", `SELECT hex(customer) || '/' || version FROM outbox o
			WHERE NOT EXISTS (SELECT 1 FROM customer c WHERE c.id = o.customer AND c.version = o.version)
			AND NOT EXISTS (SELECT 1 FROM customer_history h WHERE h.customer = o.customer AND h.version = o.version)`},
		{"an older version of a customer is not older", `SELECT hex(h.customer) || '/' || h.version FROM customer_history h
			JOIN customer c ON c.id = h.customer WHERE h.version >= c.version`},
		{"a key is held by a node that does not know it", `SELECT hex(node) FROM node_key k
			WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.node = k.node)`},
		{"somebody takes part in an interaction that is not there", `SELECT hex(interaction) FROM party p
			WHERE NOT EXISTS (SELECT 1 FROM interaction i WHERE i.id = p.interaction)`},
		{"a dead letter lacks what its message holds", `SELECT id FROM dead_letter
			WHERE content IS NOT NULL AND content NOT IN (SELECT number FROM dead_message)`},
		{"the counts are not those of the rows", `SELECT 'tally' FROM (SELECT (SELECT count(*) FROM member WHERE live = 1),
			(SELECT count(*) FROM customer WHERE status = 'active'), (SELECT count(*) FROM interaction WHERE forgotten = 0),
			(SELECT count(*) FROM customer WHERE status = 'merged'), (SELECT count(*) FROM dead_letter)
			EXCEPT SELECT records, customers, interactions, merges, dead_letters FROM tally)`},
		{"the key that ids are made with is missing", `SELECT 'installation_key' FROM (SELECT 1) WHERE NOT EXISTS
			(SELECT 1 FROM meta WHERE name = 'installation_key' AND length(value) = 32) AND EXISTS (SELECT 1 FROM member)`},
	}
}

// hold tells what breaks a law: how often, and the first ids.
func (a *audit) hold(ctx context.Context, l law) error {
	n, first := 0, []string(nil)
	err := a.each(ctx, l.query, nil, func(rows *sql.Rows) error {
		var id string
		if n++; len(first) == maxFound {
			return nil
		}
		err := rows.Scan(&id)
		first = append(first, strings.ToLower(id))
		return err
	})
	a.tell(n, l.broken, first)
	return err
}

func (a *audit) tell(n int, broken string, first []string) {
	if n > 0 {
		a.Findings = append(a.Findings, fmt.Sprintf("%s: %d times, %s", broken, n, strings.Join(first, " ")))
	}
}

// bodies reads every customer, record and interaction, and follows the aliases.
func (a *audit) bodies(ctx context.Context) error {
	aliases, all := map[customer.CustomerID]customer.CustomerID{}, map[customer.CustomerID]int{}
	err := a.read(ctx, "customer", func(b []byte) error {
		c, err := unpack(b, unpackCustomer)
		if err == nil && c.Status == customer.Merged {
			aliases[c.ID] = c.AliasOf
		} else if err == nil {
			all[c.ID] = len(c.Members)
		}
		return err
	})
	if err == nil {
		err = a.read(ctx, "record", func(b []byte) error { _, err := unpack(b, unpackRecord); return err })
	}
	if err == nil {
		err = a.read(ctx, "interaction", func(b []byte) error { _, err := unpack(b, unpackInteraction); return err })
	}
	if err != nil {
		return err
	}
	n, first := 0, []string(nil)
	for id := range aliases {
		at, steps := id, 0
		for to, more := aliases[at]; more && steps <= len(aliases); to, more = aliases[at] {
			at, steps = to, steps+1
		}
		if _, there := all[at]; !there {
			if n++; n <= maxFound {
				first = append(first, id.String())
			}
		}
	}
	a.tell(n, "an alias leads nowhere, or round in a circle", first)
	return a.members(ctx, all)
}

// read reads the bodies of a table.
func (a *audit) read(ctx context.Context, table string, one func([]byte) error) error {
	n, first := 0, []string(nil)
	err := a.each(ctx, "SELECT hex(id), body FROM "+table, nil, func(rows *sql.Rows) error {
		var id string
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		if one(body) != nil {
			if n++; n <= maxFound {
				first = append(first, strings.ToLower(id))
			}
		}
		return nil
	})
	a.tell(n, "a "+table+" cannot be read", first)
	return err
}

// members holds what customers say of their records against where the records are.
func (a *audit) members(ctx context.Context, said map[customer.CustomerID]int) error {
	n, first := 0, []string(nil)
	const query = `SELECT c.id, count(m.record) FROM customer c LEFT JOIN member m ON m.customer = c.id AND m.live = 1
		WHERE c.status = 'active' GROUP BY c.id`
	err := a.each(ctx, query, nil, func(rows *sql.Rows) error {
		var raw []byte
		var live int
		if err := rows.Scan(&raw, &live); err != nil || len(raw) != len(customer.CustomerID{}) {
			return err
		}
		if id := customer.CustomerID(raw); said[id] != live {
			if n++; n <= maxFound {
				first = append(first, id.String())
			}
		}
		return nil
	})
	a.tell(n, "a customer speaks of other records than belong to it", first)
	return err
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

// Reviews answers the pairs that wait for people, the most urgent first; customer.ErrNotFound if the one to begin behind is not there.
func (s *Store) Reviews(ctx context.Context, q customer.ReviewQuery) ([]customer.Possible, error) {
	out, err := queue.List(ctx, s.reader, q)
	return out, s.explain(err)
}

// Review answers one pair; customer.ErrNotFound if it does not wait.
func (s *Store) Review(ctx context.Context, id customer.ReviewID) (*customer.Possible, error) {
	out, err := queue.One(ctx, s.reader, id)
	return out, s.explain(err)
}

// Hold notes who looks at a pair, or puts it off; customer.ErrHeld if somebody else does.
func (s *Store) Hold(ctx context.Context, id customer.ReviewID, h customer.Hold) error {
	return s.explain(queue.Hold(ctx, s.writer, id, h))
}

// Release lets the pairs wait again that were held until a time, or before.
func (s *Store) Release(ctx context.Context, now time.Time) error {
	if due, err := queue.Overdue(ctx, s.reader, now); err != nil || !due {
		return s.explain(err)
	}
	return s.explain(queue.Release(ctx, s.writer, now))
}

// ReviewCounts answers how many pairs wait, in whatever state, and since when the oldest does.
func (s *Store) ReviewCounts(ctx context.Context) (customer.ReviewCounts, error) {
	out, err := queue.Counts(ctx, s.reader)
	return out, s.explain(err)
}

// DecisionLog answers the decisions behind an id, undone ones too, in the order of their ids.
func (s *Store) DecisionLog(ctx context.Context, after string, limit int) ([]customer.Decision, error) {
	out, err := queue.Decisions(ctx, s.reader, after, limit)
	return out, s.explain(err)
}
