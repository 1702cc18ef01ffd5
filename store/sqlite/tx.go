package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/sqlite/queue"
)

// Update runs fn in one transaction that holds the write lock from its beginning, so nothing that it read can change under it.
func (s *Store) Update(ctx context.Context, fn func(customer.Tx) error) error {
	select {
	case s.updating <- struct{}{}:
		defer func() { <-s.updating }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var err error
	for range conflicts {
		if err = s.update(ctx, fn); !errors.Is(err, customer.ErrConflict) {
			break
		}
	}
	return err
}

func (s *Store) update(ctx context.Context, fn func(customer.Tx) error) error {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = raw.Rollback() }()
	t := &tx{view: view{raw}, raw: raw, store: s}
	if err := fn(t); err != nil {
		return s.explain(err)
	}
	if t.erased {
		if _, err := raw.ExecContext(ctx, "INSERT OR IGNORE INTO meta (name, value) VALUES (?, x'')", owedRow); err != nil {
			return s.explain(err)
		}
	}
	if err := raw.Commit(); err != nil {
		s.forgetRecent() // nobody can say what stands in the file now
		if t.erased || s.sweep.pages {
			s.sweep.owe()
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err) // the driver ends a transaction with its context, and says only that it has ended
		}
		return s.explain(err)
	}
	for _, r := range t.wrote.Records {
		s.records.put(r.ID, r)
	}
	for _, c := range t.wrote.Customers {
		s.known.put(c.ID, c)
	}
	s.sweep.wrote(t.erased)
	if s.sweep.log.Load() {
		_ = s.settle(context.WithoutCancel(ctx), conn) // the transaction stands, whatever comes of this
	}
	return nil
}

type tx struct {
	view
	raw    *sql.Tx
	store  *Store
	wrote  customer.Delta // what was applied: becomes known when it is committed
	done   bool
	erased bool
}

// Records answers from what is kept, else from the file. Before Apply, what stands in the file is what was committed.
func (t *tx) Records(ctx context.Context, of []customer.RecordID) ([]*customer.Record, error) {
	if t.done {
		return t.view.Records(ctx, of)
	}
	return t.store.records.read(of, func(rest []customer.RecordID) ([]*customer.Record, error) { return t.view.Records(ctx, rest) })
}

// Customers answers from what is kept, else from the file.
func (t *tx) Customers(ctx context.Context, of []customer.CustomerID) ([]*customer.Customer, error) {
	if t.done {
		return t.view.Customers(ctx, of)
	}
	return t.store.known.read(of, func(rest []customer.CustomerID) ([]*customer.Customer, error) { return t.view.Customers(ctx, rest) })
}

// Advance checks and moves positions (invariants 1 and 2).
func (t *tx) Advance(ctx context.Context, advances []event.Advance) error {
	for _, a := range advances {
		var next, owner int64 = -1, 0
		row := t.raw.QueryRowContext(ctx, "SELECT next, owner FROM position WHERE source = ? AND topic = ? AND partition = ?",
			a.Source, a.Topic, a.Partition.Partition)
		if err := row.Scan(&next, &owner); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		switch {
		case owner == 0 || owner != a.Owner: // whoever claims is 1 or more
			return event.ErrFenced
		case next != a.Expect:
			return event.ErrAlready
		}
		if err := t.put(ctx, a.Position); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) put(ctx context.Context, p event.Position) error {
	const query = "INSERT OR REPLACE INTO position (source, topic, partition, topic_id, next, epoch, owner) VALUES (?,?,?,?,?,?,?)"
	_, err := t.raw.ExecContext(ctx, query,
		p.Source, p.Topic, p.Partition.Partition, p.TopicID, p.Next, p.Epoch, p.Owner)
	return err
}

// Apply writes a delta.
func (t *tx) Apply(ctx context.Context, d *customer.Delta) error {
	if t.done {
		return errors.New("a transaction applies one delta")
	}
	t.done, t.wrote = true, *d
	for _, step := range []func(context.Context, *customer.Delta) error{
		t.tally, t.records, t.keys, t.graph, t.customers, t.interactions, t.decided, t.possible, t.dead, t.forget,
	} {
		if err := step(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// recount counts all rows, on one state of the file, and tells if the tally is another, or if dead letters lack what their messages hold
// or leave some of it.
func (s *Store) recount(ctx context.Context) error {
	const query = `SELECT * FROM (SELECT (SELECT count(*) FROM member WHERE live = 1), (SELECT count(*) FROM customer WHERE status = 'active'),
		(SELECT count(*) FROM interaction WHERE forgotten = 0), (SELECT count(*) FROM customer WHERE status = 'merged'),
		(SELECT count(*) FROM dead_letter)
		EXCEPT SELECT records, customers, interactions, merges, dead_letters FROM tally)
		UNION ALL SELECT number, 0, 0, 0, 0 FROM dead_message WHERE number NOT IN (SELECT content FROM dead_letter
			WHERE content IS NOT NULL UNION ALL SELECT edited FROM dead_letter WHERE edited IS NOT NULL)
		UNION ALL SELECT content, 0, 0, 0, 0 FROM dead_letter
			WHERE content IS NOT NULL AND content NOT IN (SELECT number FROM dead_message)
		UNION ALL SELECT edited, 0, 0, 0, 0 FROM dead_letter WHERE edited IS NOT NULL AND edited NOT IN (SELECT number FROM dead_message)`
	differ := false
	err := view{s.reader}.each(ctx, query, nil, func(*sql.Rows) error { differ = true; return nil })
	if differ {
		return damaged(s.path, "it holds other numbers of rows than it says", nil)
	}
	return s.explain(err)
}

// tally adds to the figures of Counts what a delta writes, and takes off what has stood in its place so far.
func (t *tx) tally(ctx context.Context, d *customer.Delta) error {
	var sum customer.Counts
	live := map[customer.RecordID]bool{}
	for _, m := range d.Members {
		live[m.Record] = m.Live
	}
	status := map[customer.CustomerID]customer.Status{}
	for _, c := range d.Customers {
		status[c.ID] = c.Status
	}
	told := map[customer.InteractionID]bool{}
	for _, in := range d.Interactions {
		told[in.ID] = !in.Forgotten()
	}
	dead := map[string]bool{} // of those that go false
	for i := range d.Dead {
		dead[d.Dead[i].ID] = true
	}
	for i := range d.Settled {
		dead[d.Settled[i].ID] = false
	}
	for _, is := range live {
		sum.Records += flag(is)
	}
	for _, is := range status {
		sum.Customers += flag(is == customer.Active)
		sum.Merges += flag(is == customer.Merged)
	}
	for _, is := range told {
		sum.Interactions += flag(is)
	}
	for _, is := range dead {
		sum.DeadLetters += flag(is)
	}
	if len(live)+len(status)+len(told)+len(dead) == 0 {
		return nil
	}
	letters, err := encode(slices.Sorted(maps.Keys(dead)))
	if err != nil {
		return err
	}
	const query = `UPDATE tally SET records = records + ?1 - (SELECT count(*) FROM json_each(?6) e JOIN member m ON m.record = unhex(e.value)
			WHERE m.live), customers = customers + ?2 - o.active, merges = merges + ?3 - o.merged,
		interactions = interactions + ?4 - (SELECT count(*) FROM json_each(?8) e JOIN interaction i ON i.id = unhex(e.value)
			WHERE NOT i.forgotten), dead_letters = dead_letters + ?5 -
			(SELECT count(*) FROM json_each(?9) e JOIN dead_letter l ON l.id = e.value)
		FROM (SELECT count(*) FILTER (WHERE c.status = 'active') AS active, count(*) FILTER (WHERE c.status = 'merged') AS merged
			FROM json_each(?7) e JOIN customer c ON c.id = unhex(e.value)) o`
	_, err = t.raw.ExecContext(ctx, query, sum.Records, sum.Customers, sum.Merges, sum.Interactions, sum.DeadLetters,
		ids(slices.Collect(maps.Keys(live))), ids(slices.Collect(maps.Keys(status))), ids(slices.Collect(maps.Keys(told))), string(letters))
	return err
}

// rows prepares a statement and runs it for each of n rows of arguments.
func (t *tx) rows(ctx context.Context, query string, n int, args func(i int) ([]any, error)) (err error) {
	if n == 0 {
		return nil
	}
	st, err := t.raw.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() {
		if e := st.Close(); err == nil {
			err = e
		}
	}()
	for i := range n {
		a, err := args(i)
		if err != nil {
			return err
		}
		if _, err := st.ExecContext(ctx, a...); err != nil {
			return err
		}
	}
	return nil
}

// possible writes which pairs wait for people.
func (t *tx) possible(ctx context.Context, d *customer.Delta) error {
	return queue.Write(ctx, t.raw, d.Possible)
}

func (t *tx) records(ctx context.Context, d *customer.Delta) error {
	const query = "INSERT INTO record (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
	return t.rows(ctx, query, len(d.Records), func(i int) ([]any, error) {
		return []any{d.Records[i].ID[:], packRecord(d.Records[i])}, nil
	})
}

// array is a statement and the rows that it takes in one go.
type array struct {
	query string
	rows  list
}

func (t *tx) arrays(ctx context.Context, all []array) error {
	for _, a := range all {
		if a.rows.n == 0 {
			continue
		}
		if _, err := t.raw.ExecContext(ctx, a.query, a.rows.String()); err != nil {
			return err
		}
	}
	return nil
}

// Rows a statement takes: as many chunks of the first size as there are, then of the next.
var chunks = [...]int{200, 20, 1}

// insert writes short rows, many with one statement. row appends the columns of row i.
func (t *tx) insert(ctx context.Context, head string, columns, n int, row func(args []any, i int) []any) error {
	one := "(" + strings.Repeat("?,", columns-1) + "?)"
	args := make([]any, 0, columns*min(n, chunks[0]))
	for _, size := range chunks {
		if n < size {
			continue
		}
		query := head + " VALUES " + strings.Repeat(one+",", size-1) + one
		next := func(i int) ([]any, error) {
			args = args[:0]
			for j := range size {
				args = row(args, i*size+j)
			}
			return args, nil
		}
		if err := t.rows(ctx, query, n/size, next); err != nil {
			return err
		}
		done, inner := n/size*size, row
		row, n = func(args []any, i int) []any { return inner(args, done+i) }, n-done
	}
	return nil
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
