package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/onefold/onefold/customer"
)

// entry is one row of node_key.
type entry struct {
	key  int64
	node customer.NodeID
}

// keys replaces the keys of nodes by the difference: what they held is packed in one row, so that nothing has to be searched, and a
// key that stays is not touched.
func (t *tx) keys(ctx context.Context, d *customer.Delta) error {
	if len(d.Keys) == 0 {
		return nil
	}
	olds, err := t.held(ctx, d.Keys)
	if err != nil {
		return err
	}
	var put []entry
	var drop, gone list
	var held []int
	packed := make([][]byte, len(d.Keys))
	for i, set := range d.Keys {
		now := make([]int64, len(set.Keys))
		for j, k := range set.Keys {
			now[j] = keyNumber(k)
			if !slices.Contains(olds[i], now[j]) {
				put = append(put, entry{now[j], set.Node})
			}
		}
		for _, k := range olds[i] {
			if !slices.Contains(now, k) {
				drop.row()
				drop.num(k).id(set.Node)
			}
		}
		if packed[i] = packKeys(now); len(now) > 0 {
			held = append(held, i)
		} else {
			gone.row()
			gone.id(set.Node)
		}
	}
	err = t.arrays(ctx, []array{
		{"DELETE FROM node_key WHERE (key, node) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?))", drop},
		{"DELETE FROM held WHERE node IN (SELECT unhex(value ->> 0) FROM json_each(?))", gone},
	})
	if err != nil {
		return err
	}
	if err := t.putKeys(ctx, put); err != nil {
		return err
	}
	return t.insert(ctx, "INSERT OR REPLACE INTO held (node, keys)", 2, len(held), func(args []any, i int) []any {
		return append(args, d.Keys[held[i]].Node[:], packed[held[i]])
	})
}

// putKeys writes in the order of the index, so that neighbours go to one page together.
func (t *tx) putKeys(ctx context.Context, put []entry) error {
	slices.SortFunc(put, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.key, b.key), bytes.Compare(a.node[:], b.node[:]))
	})
	return t.insert(ctx, "INSERT OR IGNORE INTO node_key (key, node)", 2, len(put), func(args []any, i int) []any {
		return append(args, put[i].key, put[i].node[:])
	})
}

// held answers what the nodes of key sets hold so far, in their order.
func (t *tx) held(ctx context.Context, sets []customer.KeySet) ([][]int64, error) {
	keys, of := make([][]int64, len(sets)), make([]customer.NodeID, len(sets))
	for i, set := range sets {
		of[i] = set.Node
	}
	const query = "SELECT e.key, h.keys FROM json_each(?) e JOIN held h ON h.node = unhex(e.value)"
	return keys, t.each(ctx, query, []any{ids(of)}, func(rows *sql.Rows) error {
		var i int
		var packed sql.RawBytes
		err := rows.Scan(&i, &packed)
		keys[i] = unpackKeys(packed)
		return err
	})
}

func (t *tx) graph(ctx context.Context, d *customer.Delta) error {
	var drop, put, moved list
	for _, p := range d.DropEdges {
		drop.row()
		drop.id(p.A).id(p.B)
	}
	for _, e := range d.Edges {
		put.row()
		put.id(e.A).id(e.B).num(int64(e.Weight)).num(int64(e.Threshold)).bytes(e.Levels).text(string(e.Rule)).num(flag(e.Against))
	}
	for _, m := range d.Members {
		moved.row()
		moved.id(m.Record).id(m.Component).id(m.Customer).num(flag(m.Live))
		if m.Node.IsZero() {
			moved.bytes(nil)
		} else {
			moved.id(m.Node)
		}
	}
	return t.arrays(ctx, []array{
		{"DELETE FROM edge WHERE (a, b) IN (SELECT unhex(value ->> 0), unhex(value ->> 1) FROM json_each(?))", drop},
		{`INSERT OR REPLACE INTO edge (a, b, weight, threshold, levels, rule, against) SELECT unhex(value ->> 0), unhex(value ->> 1),
			value ->> 2, value ->> 3, unhex(value ->> 4), value ->> 5, value ->> 6 FROM json_each(?)`, put},
		{`INSERT OR IGNORE INTO stay (record, customer) SELECT m.record, m.customer
			FROM json_each(?) e JOIN member m ON m.record = unhex(e.value ->> 0) WHERE m.customer <> unhex(e.value ->> 2)`, moved},
		{`INSERT OR REPLACE INTO member (record, component, customer, live, node) SELECT unhex(value ->> 0), unhex(value ->> 1),
			unhex(value ->> 2), value ->> 3, unhex(value ->> 4) FROM json_each(?)`, moved},
	})
}

// customers writes customers, and lays what they were into history. What is to be published of them is written with it
// (invariant 5), as a reference: the body stands in either. A customer's place in the feed of targets is that of its last entry.
func (t *tx) customers(ctx context.Context, d *customer.Delta) error {
	if len(d.Customers) == 0 {
		return nil
	}
	of := make([]customer.CustomerID, len(d.Customers))
	for i, c := range d.Customers {
		of[i] = c.ID
	}
	const past = `INSERT OR REPLACE INTO customer_history (customer, version, body)
		SELECT c.id, c.version, c.body FROM json_each(?) e JOIN customer c ON c.id = unhex(e.value)`
	if _, err := t.raw.ExecContext(ctx, past, ids(of)); err != nil {
		return err
	}
	var last int64
	err := t.raw.QueryRowContext(ctx, "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = t.rows(ctx, `INSERT INTO customer (id, version, status, body, seq) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status, body = excluded.body, seq = excluded.seq`,
		len(d.Customers), func(i int) ([]any, error) {
			c := d.Customers[i]
			return []any{c.ID[:], c.Version, string(c.Status), packCustomer(c), last + int64(i) + 1}, nil
		})
	if err != nil {
		return err
	}
	return t.rows(ctx, "INSERT INTO outbox (seq, customer, version) VALUES (?, ?, ?)", len(d.Customers), func(i int) ([]any, error) {
		return []any{last + int64(i) + 1, d.Customers[i].ID[:], d.Customers[i].Version}, nil
	})
}

// forget follows an erasure to where copies are: older versions of the customers that a record is or once was part of, what of those
// still waits to be published, dead letters, and the reasons of decisions. The newest versions stay: they say what is true now.
func (t *tx) forget(ctx context.Context, d *customer.Delta) error {
	var customers []customer.CustomerID
	for _, c := range d.Customers {
		if c.Status == customer.Erased {
			customers = append(customers, c.ID)
		}
	}
	if len(d.Erased)+len(customers) == 0 {
		return nil
	}
	t.erased = true
	const touched = `WITH touched (id) AS (
		SELECT m.customer FROM json_each(?1) e JOIN member m ON m.record = unhex(e.value)
		UNION SELECT s.customer FROM json_each(?1) e JOIN stay s ON s.record = unhex(e.value)
		UNION SELECT unhex(value) FROM json_each(?2)) `
	for _, query := range []string{
		"DELETE FROM outbox WHERE customer IN touched AND version < (SELECT c.version FROM customer c WHERE c.id = outbox.customer)",
		"DELETE FROM customer_history WHERE customer IN touched",
		`UPDATE receipt SET hash = x'', said = x'', heard = x'', last = 0 WHERE target IN (SELECT name FROM target)
			AND customer IN (SELECT unhex(value) FROM json_each(?2))`,
		// Of who was merged into one that is erased, and removed then, there is no later word by which the target's flow could take this out.
		`UPDATE receipt SET remote = '', remote_version = '', hash = x'', said = x'', heard = x'', last = 0
			WHERE state = 'removed' AND target IN (SELECT name FROM target)
			AND customer IN (SELECT c.id FROM touched JOIN customer c ON c.id = touched.id WHERE c.status = 'merged')`,
	} {
		if _, err := t.raw.ExecContext(ctx, touched+query, ids(d.Erased), ids(customers)); err != nil {
			return err
		}
	}
	if err := t.blank(ctx, d.Erased); err != nil {
		return err
	}
	return t.silence(ctx, d.Erased)
}

// silence takes away the reasons of decisions about records: people write in their own words, and name whom they mean.
func (t *tx) silence(ctx context.Context, of []customer.RecordID) error {
	var spoken customer.Delta
	const query = `SELECT d.body FROM decision d WHERE d.a IN (SELECT unhex(value) FROM json_each(?1))
		OR d.b IN (SELECT unhex(value) FROM json_each(?1))`
	err := t.each(ctx, query, []any{ids(of)}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		dec, err := decode[customer.Decision](body)
		if err == nil && dec.Reason != "" {
			dec.Reason = ""
			spoken.Decisions = append(spoken.Decisions, *dec)
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.decided(ctx, &spoken)
}

func (t *tx) interactions(ctx context.Context, d *customer.Delta) error {
	of := make([]customer.InteractionID, len(d.Interactions))
	for i, in := range d.Interactions {
		of[i] = in.ID
	}
	olds, err := t.Interactions(ctx, of)
	if err != nil {
		return err
	}
	var drop, put list
	say := func(l *list, in *customer.Interaction) {
		for _, p := range in.Parties {
			l.row()
			l.id(p.Record).num(in.OccurredAt.Unix()).num(int64(in.OccurredAt.Nanosecond())).id(in.ID)
		}
	}
	for i, in := range d.Interactions {
		if olds[i] != nil {
			say(&drop, olds[i])
		}
		say(&put, in)
	}
	err = t.rows(ctx, `INSERT INTO interaction (id, forgotten, body) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET forgotten = excluded.forgotten, body = excluded.body`,
		len(d.Interactions), func(i int) ([]any, error) {
			return []any{of[i][:], flag(d.Interactions[i].Forgotten()), packInteraction(d.Interactions[i])}, nil
		})
	if err != nil {
		return err
	}
	return t.arrays(ctx, []array{
		{`DELETE FROM party WHERE (record, seconds, nanos, interaction) IN
			(SELECT unhex(value ->> 0), value ->> 1, value ->> 2, unhex(value ->> 3) FROM json_each(?))`, drop},
		{`INSERT OR REPLACE INTO party (record, seconds, nanos, interaction)
			SELECT unhex(value ->> 0), value ->> 1, value ->> 2, unhex(value ->> 3) FROM json_each(?)`, put},
	})
}

func (t *tx) decided(ctx context.Context, d *customer.Delta) error {
	return t.rows(ctx, "INSERT OR REPLACE INTO decision (id, a, b, undone, body) VALUES (?, ?, ?, ?, ?)", len(d.Decisions),
		func(i int) ([]any, error) {
			dec := d.Decisions[i]
			body, err := encode(dec)
			return []any{dec.ID, dec.A[:], dec.B[:], flag(dec.Undone), body}, err
		})
}

// blank takes out of dead letters, and of the notes of those that have gone, what could name an erased record, which then need not be
// found by it any more. By the others that the message names they are: it may come again, and then be refused by somebody who cannot read
// whom it names.
func (t *tx) blank(ctx context.Context, erased []customer.RecordID) error {
	const messages = "IN (SELECT n.message FROM json_each(?) e JOIN named n ON n.record = unhex(e.value))"
	var letters customer.Delta
	err := t.each(ctx, "SELECT body FROM dead_letter WHERE message "+messages, []any{ids(erased)}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		l, err := decodeLetter(body)
		l.Erase()
		letters.Dead = append(letters.Dead, l)
		return err
	})
	if err != nil {
		return err
	}
	if err := t.dead(ctx, &letters); err != nil {
		return err
	}
	const silence = "UPDATE dead_note SET body = json_remove(body, '$.why') WHERE message " + messages
	if _, err := t.raw.ExecContext(ctx, silence, ids(erased)); err != nil {
		return err
	}
	_, err = t.raw.ExecContext(ctx, "DELETE FROM named WHERE record IN (SELECT unhex(value) FROM json_each(?))", ids(erased))
	return err
}
