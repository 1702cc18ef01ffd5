// Package queue keeps, in the tables of an SQLite store, the pairs of customers that wait for a person. It speaks SQL in the transactions
// that the store above opens.
package queue

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/onefold/onefold/customer"
)

// Tx is a transaction, or a connection, of the store.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// States as they rest in a column.
const (
	waiting = iota
	claimed
	later
)

func number(s customer.ReviewState) int {
	switch s {
	case customer.Claimed:
		return claimed
	case customer.Later:
		return later
	}
	return waiting
}

func state(n int) customer.ReviewState {
	return [...]customer.ReviewState{customer.Waiting, customer.Claimed, customer.Later}[n]
}

// Write puts sets of pairs in the place of what was left in their components.
func Write(ctx context.Context, tx Tx, sets []customer.PossibleSet) error {
	if len(sets) == 0 {
		return nil
	}
	components, pairs := make([]string, len(sets)), [][]any{}
	for i, set := range sets {
		components[i] = hex.EncodeToString(set.Component[:])
		for j := range set.Pairs {
			p := &set.Pairs[j]
			pairs = append(pairs, []any{
				hex.EncodeToString(p.ID.A[:]), hex.EncodeToString(p.ID.B[:]), components[i], hex.EncodeToString(p.A.Record[:]),
				hex.EncodeToString(p.B.Record[:]), int64(p.Weight), int64(p.Threshold), p.Records, p.Interactions, p.Priority, p.Since.UnixNano(),
			})
		}
	}
	of, err := json.Marshal(components)
	if err != nil {
		return err
	}
	rows, err := json.Marshal(pairs)
	if err != nil {
		return err
	}
	const drop = `DELETE FROM review WHERE component IN (SELECT unhex(value) FROM json_each(?1))
		AND (a, b) NOT IN (SELECT unhex(value ->> 0), unhex(value ->> 1) FROM json_each(?2))`
	if _, err := tx.ExecContext(ctx, drop, string(of), string(rows)); err != nil || len(pairs) == 0 {
		return err
	}
	// What was put off waits again when its weight is another: there is news.
	const put = `INSERT INTO review (a, b, component, record_a, record_b, weight, threshold, records, interactions, priority, since)
		SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), unhex(value ->> 4), value ->> 5, value ->> 6,
			value ->> 7, value ->> 8, value ->> 9, value ->> 10 FROM json_each(?) WHERE true
		ON CONFLICT (a, b) DO UPDATE SET component = excluded.component, record_a = excluded.record_a, record_b = excluded.record_b,
			state = iif(state = 2 AND weight <> excluded.weight, 0, state), author = iif(state = 2 AND weight <> excluded.weight, '', author),
			until = iif(state = 2 AND weight <> excluded.weight, 0, until),
			weight = excluded.weight, threshold = excluded.threshold, records = excluded.records, interactions = excluded.interactions,
			priority = excluded.priority`
	_, err = tx.ExecContext(ctx, put, string(rows))
	return err
}

const columns = "SELECT a, b, record_a, record_b, weight, threshold, records, interactions, priority, since, state, author, until " +
	"FROM review "

// List answers pairs, the most urgent first; customer.ErrNotFound if the one to begin behind is not there.
func List(ctx context.Context, tx Tx, q customer.ReviewQuery) ([]customer.Possible, error) {
	query, args := columns+"WHERE true", []any{}
	if q.State != "" {
		query, args = query+" AND state = ?", append(args, number(q.State))
	}
	if q.After != (customer.ReviewID{}) {
		last, err := One(ctx, tx, q.After)
		if err != nil {
			return nil, err
		}
		query += " AND priority <= ? AND (priority < ? OR (a, b) > (?, ?))"
		args = append(args, last.Priority, last.Priority, q.After.A[:], q.After.B[:])
	}
	return read(ctx, tx, query+" ORDER BY priority DESC, a, b LIMIT ?", append(args, max(0, q.Limit))...)
}

// One answers one pair; customer.ErrNotFound if it does not wait.
func One(ctx context.Context, tx Tx, id customer.ReviewID) (*customer.Possible, error) {
	found, err := read(ctx, tx, columns+"WHERE a = ? AND b = ?", id.A[:], id.B[:])
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("review %s: %w", id, customer.ErrNotFound)
	}
	return &found[0], nil
}

func read(ctx context.Context, tx Tx, query string, args ...any) (out []customer.Possible, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a, b, first, second sql.RawBytes
		var p customer.Possible
		var since, until int64
		var is int
		err := rows.Scan(&a, &b, &first, &second, &p.Weight, &p.Threshold, &p.Records, &p.Interactions, &p.Priority, &since, &is, &p.By, &until)
		if err != nil {
			return nil, err
		}
		p.ID = customer.ReviewID{A: customer.CustomerID(a), B: customer.CustomerID(b)}
		p.A = customer.Side{Member: customer.Member{Record: customer.RecordID(first)}, Customer: p.ID.A}
		p.B = customer.Side{Member: customer.Member{Record: customer.RecordID(second)}, Customer: p.ID.B}
		p.Since, p.State = time.Unix(0, since).UTC(), state(is)
		if until != 0 {
			p.Until = time.Unix(0, until).UTC()
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// Hold notes who looks at a pair; customer.ErrHeld if somebody else does.
func Hold(ctx context.Context, tx Tx, id customer.ReviewID, h customer.Hold) error {
	const query = `UPDATE review SET state = ?1, author = ?2, until = ?3
		WHERE a = ?4 AND b = ?5 AND (state = 0 OR author = ?6 OR until <= ?7)`
	author, until := h.By, int64(0)
	if h.State == customer.Waiting {
		author = ""
	} else {
		until = h.Until.UnixNano()
	}
	done, err := tx.ExecContext(ctx, query, number(h.State), author, until, id.A[:], id.B[:], h.By, h.Now.UnixNano())
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return err
	}
	if _, err := One(ctx, tx, id); err != nil {
		return err
	}
	return fmt.Errorf("review %s: %w", id, customer.ErrHeld)
}

// Release lets what was held until a time wait again.
func Release(ctx context.Context, tx Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, "UPDATE review SET state = 0, author = '', until = 0 WHERE state > 0 AND until <= ?", now.UnixNano())
	return err
}

// Overdue tells whether Release would do anything.
func Overdue(ctx context.Context, tx Tx, now time.Time) (bool, error) {
	found, err := read(ctx, tx, columns+"WHERE state > 0 AND until <= ? LIMIT 1", now.UnixNano())
	return len(found) > 0, err
}

// Counts answers how many pairs there are, and since when the oldest waits.
func Counts(ctx context.Context, tx Tx) (out customer.ReviewCounts, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT count(*), min(since) FROM review")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var since sql.NullInt64
		if err := rows.Scan(&out.Pairs, &since); err != nil {
			return out, err
		}
		if since.Valid {
			out.Oldest = time.Unix(0, since.Int64).UTC()
		}
	}
	return out, rows.Err()
}

// Decisions answers the decisions behind an id, undone ones too, by id.
func Decisions(ctx context.Context, tx Tx, after string, limit int) (out []customer.Decision, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT body FROM decision WHERE id > ? ORDER BY id LIMIT ?", after, max(0, limit))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		var d customer.Decision
		if json.NewDecoder(bytes.NewReader(body)).Decode(&d) != nil {
			return nil, errors.New("a decision cannot be read") // its error would hold what stands in it (invariant 9)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}
