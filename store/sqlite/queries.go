package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Claim takes the partitions for this process: whoever claimed them before is fenced off. It answers where to resume, Next -1
// where nothing was read yet.
func (s *Store) Claim(ctx context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	raw, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, s.explain(err)
	}
	defer func() { _ = raw.Rollback() }()
	t := &tx{view: view{raw}, raw: raw, store: s}
	out := make([]event.Position, len(partitions))
	for i, n := range partitions {
		p := event.Position{Partition: event.Partition{Source: source, Topic: topic, Partition: n}, Next: -1, Epoch: -1}
		row := raw.QueryRowContext(ctx,
			"SELECT topic_id, next, epoch, owner FROM position WHERE source = ? AND topic = ? AND partition = ?", source, topic, n)
		if err := row.Scan(&p.TopicID, &p.Next, &p.Epoch, &p.Owner); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, s.explain(err)
		}
		p.Owner++
		if err := t.put(ctx, p); err != nil {
			return nil, s.explain(err)
		}
		out[i] = p
	}
	return out, s.explain(raw.Commit())
}

// Positions answers how far each partition has taken effect, in order.
func (s *Store) Positions(ctx context.Context) ([]event.Position, error) {
	out, err := view{s.reader}.positions(ctx)
	return out, s.explain(err)
}

func (v view) positions(ctx context.Context) (out []event.Position, err error) {
	const query = "SELECT source, topic, partition, topic_id, next, epoch, owner FROM position ORDER BY source, topic, partition"
	err = v.each(ctx, query, nil, func(rows *sql.Rows) error {
		var p event.Position
		err := rows.Scan(&p.Source, &p.Topic, &p.Partition.Partition, &p.TopicID, &p.Next, &p.Epoch, &p.Owner)
		out = append(out, p)
		return err
	})
	return out, err
}

// errEnough ends a query whose further rows are not wanted.
var errEnough = errors.New("enough was read")

// Pending answers the oldest outbox entries after a sequence number.
func (s *Store) Pending(ctx context.Context, after int64, limit int) ([]customer.OutboxEntry, error) {
	var out []customer.OutboxEntry
	size := 0
	const query = `SELECT o.seq, o.customer, o.version, coalesce(h.body, c.body)
		FROM outbox o CROSS JOIN customer c ON c.id = o.customer
		LEFT JOIN customer_history h ON c.version <> o.version AND h.customer = o.customer AND h.version = o.version
		WHERE o.seq > ? ORDER BY o.seq LIMIT ?`
	err := view{s.reader}.each(ctx, query, []any{after, max(0, limit)}, func(rows *sql.Rows) error {
		if size >= customer.MaxPending {
			return errEnough
		}
		var seq, version int64
		var id, body sql.RawBytes
		if err := rows.Scan(&seq, &id, &version, &body); err != nil {
			return err
		}
		c, err := unpack(body, unpackCustomer)
		if err != nil {
			return err
		}
		value, err := c.Published()
		out = append(out, customer.OutboxEntry{Seq: seq, ID: c.PublishedID(), Customer: c.ID, Version: version, Time: c.UpdatedAt, Value: value})
		size += len(value)
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, s.explain(err)
}

// Published lets the entries up to a sequence number go.
func (s *Store) Published(ctx context.Context, upTo int64) error {
	_, err := s.writer.ExecContext(ctx, "DELETE FROM outbox WHERE seq <= ?", upTo)
	return s.explain(err)
}

// DropDeadLetters lets go of the dead letters that were laid down before a time, the oldest first, at most limit, and of as many notes of
// what people did to letters by then. It answers how many letters. Their bytes leave the file as those of an erasure do; what a message
// holds goes with its last letter.
func (s *Store) DropDeadLetters(ctx context.Context, before time.Time, limit int) (dropped int, err error) {
	err = s.Update(ctx, func(raw customer.Tx) error {
		t := raw.(*tx) //nolint:forcetypeassert // of our own making
		const drop = `DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE (seconds, nanos) < (?, ?)
			ORDER BY seconds, nanos, id LIMIT ?) RETURNING message, content, edited`
		const forget = `DELETE FROM dead_note WHERE rowid IN (SELECT rowid FROM dead_note WHERE (seconds, nanos) < (?, ?)
			ORDER BY seconds, nanos LIMIT ?) RETURNING message`
		var messages []string
		var contents []int64
		age := []any{before.Unix(), before.Nanosecond(), max(0, limit)}
		err := t.each(ctx, drop, age, func(rows *sql.Rows) error {
			var message string
			var held [2]sql.NullInt64
			err := rows.Scan(&message, &held[0], &held[1])
			messages = append(messages, message)
			for _, n := range held {
				if n.Valid {
					contents = append(contents, n.Int64)
				}
			}
			return err
		})
		if dropped = len(messages); err != nil {
			return err
		}
		err = t.each(ctx, forget, age, func(rows *sql.Rows) error {
			var message string
			err := rows.Scan(&message)
			messages = append(messages, message)
			return err
		})
		if err != nil || len(messages) == 0 {
			return err
		}
		t.erased = true
		if _, err := t.raw.ExecContext(ctx, "UPDATE tally SET dead_letters = dead_letters - ?", dropped); err != nil {
			return err
		}
		if err := t.unname(ctx, messages); err != nil {
			return err
		}
		return t.release(ctx, contents)
	})
	return dropped, err
}

// LetterNotes answers what people did to letters that have gone, the newest first, at most limit.
func (s *Store) LetterNotes(ctx context.Context, limit int) (out []event.LetterNote, err error) {
	const query = "SELECT body FROM dead_note ORDER BY seconds DESC, nanos DESC, rowid DESC LIMIT ?"
	err = view{s.reader}.each(ctx, query, []any{max(0, limit)}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		n, err := decode[event.LetterNote](body)
		if err == nil {
			out = append(out, *n)
		}
		return err
	})
	return out, s.explain(err)
}

// Counts answers how much the store holds. It costs the same however much that is; only what waits in the outbox is counted.
func (s *Store) Counts(ctx context.Context) (customer.Counts, error) {
	c, err := view{s.reader}.counts(ctx)
	return c, s.explain(err)
}

func (v view) counts(ctx context.Context) (c customer.Counts, err error) {
	const query = "SELECT records, customers, interactions, merges, dead_letters, (SELECT count(*) FROM outbox) FROM tally"
	err = v.each(ctx, query, nil, func(rows *sql.Rows) error {
		return rows.Scan(&c.Records, &c.Customers, &c.Interactions, &c.Merges, &c.DeadLetters, &c.Outbox)
	})
	return c, err
}

// MappingRevision answers the revision of a version of a source's mapping: 1, 2, 3 in the order in which they came.
func (s *Store) MappingRevision(ctx context.Context, source, version string) (int64, error) {
	raw, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, s.explain(err)
	}
	defer func() { _ = raw.Rollback() }()
	var revision int64
	err = raw.QueryRowContext(ctx, "SELECT revision FROM mapping WHERE source = ? AND version = ?", source, version).Scan(&revision)
	if err == nil {
		return revision, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, s.explain(err)
	}
	if err := raw.QueryRowContext(ctx, "SELECT count(*) + 1 FROM mapping WHERE source = ?", source).Scan(&revision); err != nil {
		return 0, s.explain(err)
	}
	const insert = "INSERT INTO mapping (source, revision, version) VALUES (?, ?, ?)"
	if _, err := raw.ExecContext(ctx, insert, source, revision, version); err != nil {
		return 0, s.explain(err)
	}
	return revision, s.explain(raw.Commit())
}

// What EachCustomer reads at a time (invariant 10). One customer comes whole, however much it is.
const (
	pageSize = 500   // customers
	pageRows = 2_000 // records and interactions of them
)

// EachCustomer walks over all active customers on one state of the file. Writers go on meanwhile; what they write stays in the WAL until
// the walk ends.
func (s *Store) EachCustomer(
	ctx context.Context, fn func(*customer.Customer, []*customer.Record, []*customer.Interaction) error,
) error {
	return s.View(ctx, func(cv customer.View) error {
		v := cv.(view) //nolint:forcetypeassert // of our own making
		for last := int64(-1); ; {
			customers, err := v.page(ctx, &last)
			if err != nil || len(customers) == 0 {
				return err
			}
			rows, err := v.weigh(ctx, customers)
			if err != nil {
				return err
			}
			for len(customers) > 0 {
				n, sum := 1, rows[0]
				for n < len(customers) && sum+rows[n] <= pageRows {
					sum += rows[n]
					n++
				}
				if err := v.whole(ctx, customers[:n], fn); err != nil {
					return err
				}
				customers, rows = customers[n:], rows[n:]
			}
		}
	})
}

// weigh answers how many rows each customer is made of.
func (v view) weigh(ctx context.Context, customers []*customer.Customer) ([]int, error) {
	out := make([]int, len(customers))
	var all []customer.RecordID
	var whose []int
	for i, c := range customers {
		out[i] = 1 + len(c.Members)
		for _, m := range c.Members {
			all, whose = append(all, m.Record), append(whose, i)
		}
	}
	const query = "SELECT e.key, count(*) FROM json_each(?) e JOIN party p ON p.record = unhex(e.value) GROUP BY e.key"
	return out, v.each(ctx, query, []any{ids(all)}, func(rows *sql.Rows) error {
		var i, n int
		if err := rows.Scan(&i, &n); err != nil {
			return err
		}
		out[whose[i]] += n
		return nil
	})
}

// page reads the next customers behind a row number.
func (v view) page(ctx context.Context, last *int64) ([]*customer.Customer, error) {
	var out []*customer.Customer
	const query = "SELECT rowid, body FROM customer WHERE rowid > ? AND status = 'active' ORDER BY rowid LIMIT ?"
	err := v.each(ctx, query, []any{*last, pageSize}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(last, &body); err != nil {
			return err
		}
		c, err := unpack(body, unpackCustomer)
		out = append(out, c)
		return err
	})
	return out, err
}

// whole hands customers over with their live records, by id, and their interactions, newest first.
func (v view) whole(
	ctx context.Context, customers []*customer.Customer, fn func(*customer.Customer, []*customer.Record, []*customer.Interaction) error,
) error {
	var all []customer.RecordID
	for _, c := range customers {
		for _, m := range c.Members {
			all = append(all, m.Record)
		}
	}
	found, err := v.Records(ctx, all)
	if err != nil {
		return err
	}
	lines, err := v.lines(ctx, all)
	if err != nil {
		return err
	}
	for _, c := range customers {
		records := found[:len(c.Members):len(c.Members)]
		found = found[len(c.Members):]
		records = slices.DeleteFunc(records, func(r *customer.Record) bool { return r == nil })
		slices.SortFunc(records, func(a, b *customer.Record) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		var line []*customer.Interaction
		for _, r := range records {
			line = append(line, lines[r.ID]...)
		}
		slices.SortFunc(line, func(a, b *customer.Interaction) int {
			return cmp.Or(b.OccurredAt.Compare(a.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]))
		})
		line = slices.CompactFunc(line, func(a, b *customer.Interaction) bool { return a.ID == b.ID })
		if err := fn(c, records, line); err != nil {
			return err
		}
	}
	return nil
}

// lines answers the interactions of each record.
func (v view) lines(ctx context.Context, of []customer.RecordID) (map[customer.RecordID][]*customer.Interaction, error) {
	out := map[customer.RecordID][]*customer.Interaction{}
	if len(of) == 0 {
		return out, nil
	}
	const query = `SELECT p.record, i.body FROM json_each(?) e JOIN party p ON p.record = unhex(e.value)
		JOIN interaction i ON i.id = p.interaction`
	return out, v.each(ctx, query, []any{ids(of)}, func(rows *sql.Rows) error {
		var id, body sql.RawBytes
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		in, err := unpack(body, unpackInteraction)
		out[customer.RecordID(id)] = append(out[customer.RecordID(id)], in)
		return err
	})
}

// Intents answers what processes were about when they ended.
func (s *Store) Intents(ctx context.Context) (out []event.Intent, err error) {
	const query = "SELECT value FROM meta WHERE name >= 'intent/' AND name < 'intent0' ORDER BY name" // 0 is next to /
	err = view{s.reader}.each(ctx, query, nil, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		i, err := decode[event.Intent](body)
		if err == nil {
			out = append(out, *i)
		}
		return err
	})
	return out, s.explain(err)
}

// Intend changes what is noted of a partition, in one transaction, and answers it. It is durable as every commit is.
func (s *Store) Intend(ctx context.Context, p event.Partition, change func(*event.Intent)) (event.Intent, error) {
	now := event.Intent{Partition: p, Mark: -1, Trying: -1}
	raw, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return now, s.explain(err)
	}
	defer func() { _ = raw.Rollback() }()
	name := fmt.Sprintf("intent/%q/%q/%d", p.Source, p.Topic, p.Partition)
	var body []byte
	err = raw.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&body)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return now, s.explain(err)
	}
	if body != nil {
		stood, err := decode[event.Intent](body)
		if err != nil {
			return now, err
		}
		now = *stood
	}
	change(&now)
	if body, err = encode(now); err != nil {
		return now, err
	}
	if _, err := raw.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", name, body); err != nil {
		return now, s.explain(err)
	}
	return now, s.explain(raw.Commit())
}
