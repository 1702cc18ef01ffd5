package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Changed answers customers behind a place in the feed, each once, as they are now, in the order in which they last changed, at most
// limit and none behind customer.MaxPending bytes. With them it answers the place of the last one; where there is none, the one given.
func (s *Store) Changed(ctx context.Context, after int64, limit int) ([]*customer.Customer, int64, error) {
	var out []*customer.Customer
	size := 0
	const query = "SELECT seq, body FROM customer WHERE seq > ? ORDER BY seq LIMIT ?"
	err := view{s.reader}.each(ctx, query, []any{after, max(0, limit)}, func(rows *sql.Rows) error {
		if size >= customer.MaxPending {
			return errEnough
		}
		var seq int64
		var body sql.RawBytes
		if err := rows.Scan(&seq, &body); err != nil {
			return err
		}
		c, err := unpack(body, unpackCustomer)
		if err != nil {
			return err
		}
		out, after = append(out, c), seq
		size += len(body)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, after, s.explain(err)
}

// Behind answers how many customers stand in the feed behind a place, and when the first of them changed; zero where none does.
func (s *Store) Behind(ctx context.Context, after int64) (waiting int64, oldest time.Time, err error) {
	err = s.reader.QueryRowContext(ctx, "SELECT count(*) FROM customer WHERE seq > ?", after).Scan(&waiting)
	if err != nil || waiting == 0 {
		return 0, time.Time{}, s.explain(err)
	}
	first, _, err := s.Changed(ctx, after, 1)
	if len(first) > 0 {
		oldest = first[0].UpdatedAt
	}
	return waiting, oldest, err
}

// TargetPosition answers how far a target has been given the feed; 0 for one that was given nothing.
func (s *Store) TargetPosition(ctx context.Context, target string) (seq int64, err error) {
	err = s.reader.QueryRowContext(ctx, "SELECT seq FROM target WHERE name = ?", target).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return seq, s.explain(err)
}

// KeepReceipts writes receipts of a target and, unless it is negative, its position in the feed, in one transaction.
func (s *Store) KeepReceipts(ctx context.Context, target string, receipts []event.Receipt, position int64) error {
	raw, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = raw.Rollback() }()
	t := &tx{view: view{raw}, raw: raw, store: s}
	const keep = `INSERT INTO receipt (target, customer, version, state, remote, remote_version, hash, said, last, heard, contests, tries, due,
		class, reason, error, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (target, customer) DO UPDATE SET version = excluded.version, state = excluded.state, remote = excluded.remote,
		remote_version = excluded.remote_version, hash = excluded.hash, said = excluded.said, last = excluded.last, heard = excluded.heard,
		contests = excluded.contests, tries = excluded.tries, due = excluded.due, class = excluded.class, reason = excluded.reason,
		error = excluded.error, at = excluded.at`
	if err := t.rows(ctx, keep, len(receipts), func(i int) ([]any, error) { return receiptRow(target, &receipts[i]) }); err != nil {
		return s.explain(err)
	}
	const stands = "INSERT OR IGNORE INTO target (name, seq) VALUES (?, 0)" // an erasure looks here for who may have receipts
	if _, err := raw.ExecContext(ctx, stands, target); err != nil {
		return s.explain(err)
	}
	if position >= 0 {
		if _, err := raw.ExecContext(ctx, "UPDATE target SET seq = ? WHERE name = ?", position, target); err != nil {
			return s.explain(err)
		}
	}
	return s.explain(raw.Commit())
}

// Renew sets a target back to the beginning of the feed and forgets what it holds, so that everything is written to it again. Remote ids
// and what is known of echoes stay.
func (s *Store) Renew(ctx context.Context, target string) error {
	raw, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = raw.Rollback() }()
	for _, query := range []string{
		"UPDATE receipt SET hash = x'' WHERE target = ?", "UPDATE target SET seq = 0 WHERE name = ?",
	} {
		if _, err := raw.ExecContext(ctx, query, target); err != nil {
			return s.explain(err)
		}
	}
	return s.explain(raw.Commit())
}

const receiptColumns = `r.target, r.customer, r.version, r.state, r.remote, r.remote_version, r.hash, r.said, r.last, r.heard, r.contests,
	r.tries, r.due, r.class, r.reason, r.error, r.at`

// Receipts answers a target's receipt of each customer, nil where there is none.
func (s *Store) Receipts(ctx context.Context, target string, of []customer.CustomerID) ([]*event.Receipt, error) {
	out := make([]*event.Receipt, len(of))
	if len(of) == 0 {
		return out, nil
	}
	const query = "SELECT e.key, " + receiptColumns +
		" FROM json_each(?) e CROSS JOIN receipt r ON r.target = ? AND r.customer = unhex(e.value)"
	err := view{s.reader}.each(ctx, query, []any{ids(of), target}, func(rows *sql.Rows) error {
		var i int
		r, err := scanReceipt(rows, &i)
		out[i] = r
		return err
	})
	return out, s.explain(err)
}

// ReceiptsOf answers a target's receipts of entries that it knows under ids of its own, in any order; where it knows none, nothing.
func (s *Store) ReceiptsOf(ctx context.Context, target string, remotes []string) ([]event.Receipt, error) {
	if len(remotes) == 0 {
		return nil, nil
	}
	names, err := encode(remotes)
	if err != nil {
		return nil, err
	}
	return s.receipts(ctx, "WHERE r.target = ?1 AND r.remote <> '' AND r.remote IN (SELECT value FROM json_each(?2))", target, string(names))
}

// OwedReceipts answers a target's receipts of what is to be done by a time, the earliest first, at most limit.
func (s *Store) OwedReceipts(ctx context.Context, target string, due time.Time, limit int) ([]event.Receipt, error) {
	return s.receipts(ctx, "WHERE r.target = ? AND r.due <= ? ORDER BY r.due LIMIT ?", target, nanos(due), max(0, limit))
}

// RefusedReceipts answers the receipts of customers that a target has refused, in the order of their ids, behind the id after (from the
// first where it is empty), at most limit.
func (s *Store) RefusedReceipts(ctx context.Context, target, after string, limit int) ([]event.Receipt, error) {
	var from customer.CustomerID
	if after != "" {
		if err := from.UnmarshalText([]byte(after)); err != nil {
			return nil, fmt.Errorf("refused customers after %q: %w", after, customer.ErrNotFound)
		}
	}
	return s.receipts(ctx, "WHERE r.target = ? AND r.state = 'refused' AND r.customer > ? ORDER BY r.customer LIMIT ?",
		target, from[:], max(0, limit))
}

// CountReceipts answers how many receipts of a target are in each state.
func (s *Store) CountReceipts(ctx context.Context, target string) (map[event.ReceiptState]int64, error) {
	out := map[event.ReceiptState]int64{}
	const query = "SELECT state, n FROM receipt_tally WHERE target = ? AND n > 0"
	err := view{s.reader}.each(ctx, query, []any{target}, func(rows *sql.Rows) error {
		var state event.ReceiptState
		var n int64
		err := rows.Scan(&state, &n)
		out[state] = n
		return err
	})
	return out, s.explain(err)
}

func (s *Store) receipts(ctx context.Context, where string, args ...any) ([]event.Receipt, error) {
	var out []event.Receipt
	err := view{s.reader}.each(ctx, "SELECT "+receiptColumns+" FROM receipt r "+where, args, func(rows *sql.Rows) error {
		r, err := scanReceipt(rows)
		if err == nil {
			out = append(out, *r)
		}
		return err
	})
	return out, s.explain(err)
}

func receiptRow(target string, r *event.Receipt) ([]any, error) {
	var of customer.CustomerID
	if err := of.UnmarshalText([]byte(r.Customer)); err != nil {
		return nil, fmt.Errorf("a receipt of %s: %w", target, err)
	}
	hash, err := hex.DecodeString(r.Hash)
	if err != nil {
		return nil, fmt.Errorf("a receipt of %s: its hash is not hexadecimal", target)
	}
	var due any
	if !r.Next.IsZero() {
		due = nanos(r.Next)
	}
	return []any{
		target, of[:], r.Version, string(r.State), r.RemoteID, r.RemoteVersion, append([]byte{}, hash...), packPrints(r.Said), r.Last,
		packPrints(r.Heard), r.Contests, r.Tries, due, string(r.Class), r.Reason, r.Error, nanos(r.At),
	}, nil
}

// scanReceipt reads receiptColumns, behind what stands before them.
func scanReceipt(rows *sql.Rows, before ...any) (*event.Receipt, error) {
	r := &event.Receipt{}
	var of, hash, said, heard sql.RawBytes
	var due sql.NullInt64
	var at int64
	err := rows.Scan(append(before, &r.Target, &of, &r.Version, &r.State, &r.RemoteID, &r.RemoteVersion, &hash, &said, &r.Last, &heard,
		&r.Contests, &r.Tries, &due, &r.Class, &r.Reason, &r.Error, &at)...)
	if err != nil {
		return nil, err
	}
	if len(of) != len(customer.CustomerID{}) {
		return nil, fmt.Errorf("%w as a receipt", errBody)
	}
	r.Customer = customer.CustomerID(of).String()
	r.Hash, r.Said, r.Heard = hex.EncodeToString(hash), unpackPrints(said), unpackPrints(heard)
	if due.Valid {
		r.Next = moment(due.Int64)
	}
	r.At = moment(at)
	return r, nil
}

// nanos writes a time of our own clock as one number; 0 is no time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// packPrints writes fingerprints, 8 bytes each.
func packPrints(of []uint64) []byte {
	out := make([]byte, 0, 8*len(of))
	for _, p := range of {
		out = binary.BigEndian.AppendUint64(out, p)
	}
	return out
}

func unpackPrints(b []byte) (out []uint64) {
	for ; len(b) >= 8; b = b[8:] {
		out = append(out, binary.BigEndian.Uint64(b))
	}
	return out
}

// Pause remembers that a source is paused; one that is paused already stays so since it was.
func (s *Store) Pause(ctx context.Context, p event.Pause) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = s.writer.ExecContext(ctx, "INSERT OR IGNORE INTO meta (name, value) VALUES ('pause/' || ?, ?)", p.Source, body)
	return s.explain(err)
}

// Resume forgets that a source is paused.
func (s *Store) Resume(ctx context.Context, source string) error {
	_, err := s.writer.ExecContext(ctx, "DELETE FROM meta WHERE name = 'pause/' || ?", source)
	return s.explain(err)
}

// Pauses answers which sources are paused, by their names.
func (s *Store) Pauses(ctx context.Context) ([]event.Pause, error) {
	var out []event.Pause
	const query = "SELECT value FROM meta WHERE name >= 'pause/' AND name < 'pause0' ORDER BY name" // 0 is next to /
	err := view{s.reader}.each(ctx, query, nil, func(rows *sql.Rows) error {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
		var p event.Pause
		err := json.Unmarshal(body, &p)
		out = append(out, p)
		return err
	})
	return out, s.explain(err)
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

// Model answers what KeepModel kept last, nil where nothing was.
func (s *Store) Model(ctx context.Context) ([]byte, error) {
	var model []byte
	err := s.writer.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'model'").Scan(&model)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return model, s.explain(err)
}

// KeepModel keeps what the registry matches by, whatever that is.
func (s *Store) KeepModel(ctx context.Context, model []byte) error {
	const upsert = "INSERT INTO meta (name, value) VALUES ('model', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
	_, err := s.writer.ExecContext(ctx, upsert, model)
	return s.explain(err)
}

// republished is how many customers are put into the outbox in one transaction: others write between.
const republished = 5_000

// Republish has every customer leave once more as it is now: an entry of the outbox for each whose newest version does not wait there
// already, aliases and tombstones with them. It answers how many. Targets are not given them again.
func (s *Store) Republish(ctx context.Context) (int64, error) {
	var all int64
	for last := int64(0); ; {
		n, to, err := s.republish(ctx, last)
		if all += n; err != nil || to == last {
			return all, err
		}
		last = to
	}
}

func (s *Store) republish(ctx context.Context, after int64) (n, last int64, err error) {
	raw, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, after, s.explain(err)
	}
	defer func() { _ = raw.Rollback() }()
	const end = "SELECT coalesce(max(r), ?1) FROM (SELECT rowid AS r FROM customer WHERE rowid > ?1 ORDER BY rowid LIMIT ?2)"
	if err := raw.QueryRowContext(ctx, end, after, republished).Scan(&last); err != nil {
		return 0, after, s.explain(err)
	}
	done, err := raw.ExecContext(ctx, `INSERT INTO outbox (customer, version) SELECT id, version FROM customer
		WHERE rowid > ?1 AND rowid <= ?2 AND (id, version) NOT IN (SELECT customer, version FROM outbox) ORDER BY rowid`, after, last)
	if err != nil {
		return 0, after, s.explain(err)
	}
	if n, err = done.RowsAffected(); err != nil {
		return 0, after, s.explain(err)
	}
	if err := raw.Commit(); err != nil {
		return 0, after, s.explain(err)
	}
	return n, last, nil
}
