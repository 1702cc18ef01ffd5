package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/onefold/onefold/customer"
)

// querier is a transaction, reading or writing.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// view answers from one transaction: a statement a call, whatever its size.
type view struct{ q querier }

// View runs fn on one state of the file; writers go on meanwhile.
func (s *Store) View(ctx context.Context, fn func(customer.View) error) error {
	s.viewing.Add(1)
	defer s.left(ctx) // after the transaction has ended
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	return s.explain(fn(view{tx}))
}

// each runs a query and calls fn for each row.
func (v view) each(ctx context.Context, query string, args []any, fn func(*sql.Rows) error) (err error) {
	rows, err := v.q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (v view) Records(ctx context.Context, of []customer.RecordID) ([]*customer.Record, error) {
	return bodies(ctx, v, "record", of, func(b []byte) (*customer.Record, error) { return unpack(b, unpackRecord) })
}

func (v view) Customers(ctx context.Context, of []customer.CustomerID) ([]*customer.Customer, error) {
	return bodies(ctx, v, "customer", of, func(b []byte) (*customer.Customer, error) { return unpack(b, unpackCustomer) })
}

func (v view) Interactions(ctx context.Context, of []customer.InteractionID) ([]*customer.Interaction, error) {
	return bodies(ctx, v, "interaction", of, func(b []byte) (*customer.Interaction, error) { return unpack(b, unpackInteraction) })
}

func bodies[T any, ID ~[16]byte](
	ctx context.Context, v view, table string, of []ID, read func([]byte) (*T, error),
) ([]*T, error) {
	out := make([]*T, len(of))
	if len(of) == 0 {
		return out, nil
	}
	query := "SELECT e.key, t.body FROM json_each(?) e JOIN " + table + " t ON t.id = unhex(e.value)"
	err := v.each(ctx, query, []any{ids(of)}, func(rows *sql.Rows) error {
		var i int
		var body sql.RawBytes
		if err := rows.Scan(&i, &body); err != nil {
			return err
		}
		one, err := read(body)
		out[i] = one
		return err
	})
	return out, err
}

func (v view) Indexed(ctx context.Context, after customer.NodeID, limit int) ([]customer.NodeID, error) {
	var out []customer.NodeID
	const query = "SELECT node FROM held WHERE node > ? ORDER BY node LIMIT ?"
	return out, v.each(ctx, query, []any{after[:], max(limit, 0)}, func(rows *sql.Rows) error {
		var node sql.RawBytes
		if err := rows.Scan(&node); err != nil {
			return err
		}
		out = append(out, customer.NodeID(node))
		return nil
	})
}

func (v view) Holders(ctx context.Context, keys []customer.Key, limit int) ([][]customer.Holder, error) {
	out := make([][]customer.Holder, len(keys))
	if len(keys) == 0 || limit <= 0 {
		return out, nil
	}
	ask := make([]int64, len(keys))
	for i, k := range keys {
		ask[i] = keyNumber(k)
	}
	// The inner query finds the last holder within the limit, so that a key with many holders costs no more than the limit.
	const query = `SELECT e.key, k.node, (SELECT min(m.record) FROM member m WHERE m.node = k.node AND m.live = 1) AS first
		FROM json_each(?1) e JOIN node_key k ON k.key = e.value
		AND k.node <= coalesce((SELECT node FROM node_key WHERE key = e.value ORDER BY node LIMIT 1 OFFSET ?2),
			x'ffffffffffffffffffffffffffffffffff')
		WHERE first IS NOT NULL ORDER BY e.key, k.node`
	err := v.each(ctx, query, []any{numbers(ask), limit - 1}, func(rows *sql.Rows) error {
		var i int
		var node, record sql.RawBytes
		if err := rows.Scan(&i, &node, &record); err != nil {
			return err
		}
		out[i] = append(out[i], customer.Holder{Node: customer.NodeID(node), Record: customer.RecordID(record)})
		return nil
	})
	return out, err
}

func (v view) Nodes(ctx context.Context, nodes []customer.NodeID, limit int) ([][]customer.RecordID, error) {
	out := make([][]customer.RecordID, len(nodes))
	if len(nodes) == 0 || limit <= 0 {
		return out, nil
	}
	const query = `SELECT e.key, m.record FROM json_each(?1) e JOIN member m ON m.node = unhex(e.value) AND m.live = 1
		AND m.record <= coalesce((SELECT record FROM member WHERE node = unhex(e.value) AND live = 1 ORDER BY record LIMIT 1 OFFSET ?2),
			x'ffffffffffffffffffffffffffffffffff')
		ORDER BY e.key, m.record`
	err := v.each(ctx, query, []any{ids(nodes), limit - 1}, func(rows *sql.Rows) error {
		var i int
		var record sql.RawBytes
		if err := rows.Scan(&i, &record); err != nil {
			return err
		}
		out[i] = append(out[i], customer.RecordID(record))
		return nil
	})
	return out, err
}

func (v view) Components(ctx context.Context, of []customer.RecordID) ([]*customer.Component, error) {
	if len(of) == 0 {
		return nil, nil
	}
	// The members come in the order in which their component is first asked for.
	const query = `WITH c AS (SELECT m.component AS id, min(e.key) AS first
			FROM json_each(?) e JOIN member m ON m.record = unhex(e.value) GROUP BY 1)
		SELECT m.record, m.component, m.customer, m.live, m.node FROM c JOIN member m ON m.component = c.id ORDER BY c.first, m.record`
	var out []*customer.Component
	at, byNode := map[customer.RecordID]int{}, map[customer.NodeID]int{} // record or node -> component
	var all []customer.RecordID
	var nodes []customer.NodeID
	err := v.each(ctx, query, []any{ids(of)}, func(rows *sql.Rows) error {
		var record, component, cus, node sql.RawBytes
		var m customer.Membership
		if err := rows.Scan(&record, &component, &cus, &m.Live, &node); err != nil {
			return err
		}
		copy(m.Node[:], node)
		m.Record, m.Component, m.Customer = customer.RecordID(record), customer.RecordID(component), customer.CustomerID(cus)
		if n := len(out); n == 0 || out[n-1].Members[0].Component != m.Component {
			out = append(out, &customer.Component{})
		}
		c := out[len(out)-1]
		c.Members = append(c.Members, m)
		at[m.Record] = len(out) - 1
		all = append(all, m.Record)
		if _, seen := byNode[m.Node]; m.Live && !seen {
			byNode[m.Node] = len(out) - 1
			nodes = append(nodes, m.Node)
		}
		return nil
	})
	if err != nil || len(all) == len(out) { // alone: nothing stands between
		return out, err
	}
	if err := v.edges(ctx, nodes, byNode, out); err != nil {
		return nil, err
	}
	return out, v.decisions(ctx, all, at, out)
}

func (v view) edges(ctx context.Context, nodes []customer.NodeID, of map[customer.NodeID]int, out []*customer.Component) error {
	const query = `SELECT g.a, g.b, g.weight, g.threshold, g.levels, g.rule, g.against
		FROM json_each(?) e JOIN edge g ON g.a = unhex(e.value) ORDER BY g.a, g.b`
	return v.each(ctx, query, []any{ids(nodes)}, func(rows *sql.Rows) error {
		var a, b, levels sql.RawBytes
		var e customer.Edge
		if err := rows.Scan(&a, &b, &e.Weight, &e.Threshold, &levels, &e.Rule, &e.Against); err != nil {
			return err
		}
		e.A, e.B, e.Levels = customer.NodeID(a), customer.NodeID(b), bytes.Clone(levels)
		i := of[e.A]
		out[i].Edges = append(out[i].Edges, e)
		return nil
	})
}

func (v view) decisions(ctx context.Context, all []customer.RecordID, at map[customer.RecordID]int, out []*customer.Component) error {
	const query = `SELECT d.body FROM json_each(?) e JOIN decision d ON d.a = unhex(e.value) WHERE d.undone = 0 ORDER BY d.id`
	return v.each(ctx, query, []any{ids(all)}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		d, err := decode[customer.Decision](body)
		if err != nil {
			return err
		}
		i, known := at[d.A]
		if j, too := at[d.B]; known && too && i == j {
			out[i].Decisions = append(out[i].Decisions, *d)
		}
		return nil
	})
}

// Former reads the customers that records have left.
func (v view) Former(ctx context.Context, of []customer.RecordID) ([]customer.CustomerID, error) {
	if len(of) == 0 {
		return nil, nil
	}
	const query = `SELECT DISTINCT s.customer FROM json_each(?) e JOIN stay s ON s.record = unhex(e.value)
		WHERE s.customer <> zeroblob(16) ORDER BY 1`
	var out []customer.CustomerID
	err := v.each(ctx, query, []any{ids(of)}, func(rows *sql.Rows) error {
		var id sql.RawBytes
		if err := rows.Scan(&id); err != nil {
			return err
		}
		out = append(out, customer.CustomerID(id))
		return nil
	})
	return out, err
}

func (v view) Decisions(ctx context.Context, of []string) ([]*customer.Decision, error) {
	out := make([]*customer.Decision, len(of))
	asked, err := encode(of)
	if err != nil || len(of) == 0 {
		return out, err
	}
	const query = "SELECT e.key, d.body FROM json_each(?) e JOIN decision d ON d.id = e.value"
	err = v.each(ctx, query, []any{string(asked)}, func(rows *sql.Rows) error {
		var i int
		var body sql.RawBytes
		if err := rows.Scan(&i, &body); err != nil {
			return err
		}
		d, err := decode[customer.Decision](body)
		out[i] = d
		return err
	})
	return out, err
}

func (v view) Timeline(ctx context.Context, of []customer.RecordID, limit int) ([]*customer.Interaction, error) {
	if len(of) == 0 || limit <= 0 {
		return nil, nil
	}
	const query = `SELECT i.body FROM (SELECT DISTINCT p.interaction AS id, p.seconds AS s, p.nanos AS n
		FROM json_each(?) e JOIN party p ON p.record = unhex(e.value) ORDER BY s DESC, n DESC, id LIMIT ?) t
		JOIN interaction i ON i.id = t.id`
	var out []*customer.Interaction
	err := v.each(ctx, query, []any{ids(of), limit}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		in, err := unpack(body, unpackInteraction)
		out = append(out, in)
		return err
	})
	slices.SortFunc(out, func(a, b *customer.Interaction) int {
		return cmp.Or(b.OccurredAt.Compare(a.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out, err
}

func (v view) Partaken(
	ctx context.Context, of []customer.RecordID, after customer.InteractionID, limit int,
) ([]*customer.Interaction, error) {
	if len(of) == 0 || limit <= 0 {
		return nil, nil
	}
	const query = `SELECT i.body FROM (SELECT DISTINCT p.interaction AS id FROM json_each(?) e JOIN party p ON p.record = unhex(e.value)
		WHERE p.interaction > ? ORDER BY id LIMIT ?) t JOIN interaction i ON i.id = t.id ORDER BY t.id`
	var out []*customer.Interaction
	return out, v.each(ctx, query, []any{ids(of), after[:], limit}, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		in, err := unpack(body, unpackInteraction)
		out = append(out, in)
		return err
	})
}

// Members finds the living by what their customer says, the others and those that left by the indexes that are kept for it.
func (v view) Members(ctx context.Context, of []customer.CustomerID) ([][]customer.Membership, error) {
	out := make([][]customer.Membership, len(of))
	masters, err := v.Customers(ctx, of)
	if err != nil {
		return nil, err
	}
	var living list
	for i, c := range masters {
		if c != nil {
			for _, m := range c.Members {
				living.row()
				living.num(int64(i)).id(m.Record)
			}
		}
	}
	const query = `WITH found (i, record) AS (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?1)
			UNION SELECT e.key, m.record FROM json_each(?2) e JOIN member m ON m.customer = unhex(e.value) AND m.live = 0
			UNION SELECT e.key, s.record FROM json_each(?2) e JOIN stay s ON s.customer = unhex(e.value))
		SELECT f.i, m.record, m.component, m.customer, m.live, m.node FROM found f JOIN member m ON m.record = f.record ORDER BY f.i, m.record`
	return out, v.each(ctx, query, []any{living.String(), ids(of)}, func(rows *sql.Rows) error {
		var i int
		var record, component, cus, node sql.RawBytes
		var m customer.Membership
		if err := rows.Scan(&i, &record, &component, &cus, &m.Live, &node); err != nil {
			return err
		}
		copy(m.Node[:], node)
		m.Record, m.Component, m.Customer = customer.RecordID(record), customer.RecordID(component), customer.CustomerID(cus)
		out[i] = append(out[i], m)
		return nil
	})
}
