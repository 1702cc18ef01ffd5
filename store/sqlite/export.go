package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/onefold/onefold/customer"
)

// pageSize is how many customers EachCustomer reads at a time.
const pageSize = 500

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
			if err := v.whole(ctx, customers, fn); err != nil {
				return err
			}
		}
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
