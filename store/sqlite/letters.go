package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// laid is a letter as it stands in the file, before it is written again or goes.
type laid struct {
	revision        int64
	content, edited sql.NullInt64
	edit            *event.Edit // without its bytes
	message         string
}

// laidDown answers what stands in the file of each letter that a delta writes or lets go, by id. ErrLetterChanged if one is not there as it
// was read: its replay, its edit or its end rests on what it was (invariant 2).
func (t *tx) laidDown(ctx context.Context, d *customer.Delta) (map[string]laid, error) {
	want := map[string]int64{}
	for i := range d.Dead {
		want[d.Dead[i].ID] = d.Dead[i].Revision
	}
	for i := range d.Settled {
		want[d.Settled[i].ID] = d.Settled[i].Revision
	}
	of, err := encode(slices.Sorted(maps.Keys(want)))
	if err != nil {
		return nil, err
	}
	found := map[string]laid{}
	const query = `SELECT l.id, l.revision, l.content, l.edited, l.message, CASE WHEN l.edited IS NOT NULL THEN l.body END
		FROM json_each(?) e JOIN dead_letter l ON l.id = e.value`
	err = t.each(ctx, query, []any{string(of)}, func(rows *sql.Rows) error {
		var id string
		var l laid
		var body sql.RawBytes // of one with an edit
		if err := rows.Scan(&id, &l.revision, &l.content, &l.edited, &l.message, &body); err != nil {
			return err
		}
		if body != nil {
			letter, err := decodeLetter(body)
			if err != nil {
				return err
			}
			l.edit = letter.Edit
		}
		found[id] = l
		return nil
	})
	for id, revision := range want {
		if l, there := found[id]; err == nil && revision != 0 && (!there || l.revision != revision) {
			err = fmt.Errorf("dead letter %s: %w", id, event.ErrLetterChanged)
		}
	}
	return found, err
}

// dead lays down dead letters, and what their messages hold beside them, and lets go of those that are settled.
func (t *tx) dead(ctx context.Context, d *customer.Delta) error {
	if len(d.Dead)+len(d.Named)+len(d.Settled) == 0 {
		return nil
	}
	before, err := t.laidDown(ctx, d)
	if err != nil {
		return err
	}
	letters, kept := slices.Clone(d.Dead), make([]any, len(d.Dead))
	for i := range letters {
		// A message that comes once more, and is refused once more, does not take away what a person has made of it.
		if old := before[letters[i].ID]; old.edit != nil && letters[i].Revision == 0 && !letters[i].Erased {
			letters[i].Edit, kept[i] = old.edit, old.edited.Int64
		}
	}
	contents, edits, err := t.contents(ctx, letters, kept)
	if err != nil {
		return err
	}
	const query = `INSERT INTO dead_letter (id, source, seconds, nanos, body, message, content, edited, grp) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET source = excluded.source, seconds = excluded.seconds, nanos = excluded.nanos, body = excluded.body,
		message = excluded.message, content = excluded.content, edited = excluded.edited, grp = excluded.grp, revision = revision + 1`
	err = t.rows(ctx, query, len(letters), func(i int) ([]any, error) {
		l := &letters[i]
		body, err := encodeLetter(l)
		return []any{l.ID, l.Source, l.At.Unix(), l.At.Nanosecond(), body, l.MessageID(), contents[i], edits[i], l.Group()}, err
	})
	for _, n := range d.Named {
		if err == nil {
			_, err = t.raw.ExecContext(ctx, "INSERT OR IGNORE INTO named (record, message) SELECT unhex(value), ? FROM json_each(?)",
				n.Message, ids(n.Records))
		}
	}
	if err != nil {
		return err
	}
	if err := t.settle(ctx, d.Settled); err != nil {
		return err
	}
	var replaced []int64
	var messages []string
	for _, l := range before {
		for _, n := range []sql.NullInt64{l.content, l.edited} {
			if n.Valid {
				replaced = append(replaced, n.Int64)
			}
		}
		messages = append(messages, l.message)
	}
	if len(d.Settled) > 0 {
		if err := t.unname(ctx, messages); err != nil {
			return err
		}
	}
	return t.release(ctx, replaced)
}

// settle lets letters go, and writes down what people did to them.
func (t *tx) settle(ctx context.Context, settled []event.Settlement) error {
	err := t.rows(ctx, "DELETE FROM dead_letter WHERE id = ?", len(settled), func(i int) ([]any, error) {
		t.erased = t.erased || settled[i].Sweep
		return []any{settled[i].ID}, nil
	})
	if err != nil {
		return err
	}
	var notes []*event.LetterNote
	for _, s := range settled {
		if s.Note != nil {
			notes = append(notes, s.Note)
		}
	}
	return t.rows(ctx, "INSERT INTO dead_note (seconds, nanos, message, body) VALUES (?, ?, ?, ?)", len(notes), func(i int) ([]any, error) {
		body, err := encode(notes[i])
		return []any{notes[i].At.Unix(), notes[i].At.Nanosecond(), notes[i].MessageID(), body}, err
	})
}

// unname lets go of what messages name which have neither letters nor notes any more.
func (t *tx) unname(ctx context.Context, messages []string) error {
	of, err := encode(messages)
	if err != nil {
		return err
	}
	const forget = `DELETE FROM named WHERE message IN (SELECT e.value FROM json_each(?) e
		WHERE NOT EXISTS (SELECT 1 FROM dead_letter d WHERE d.message = e.value)
		AND NOT EXISTS (SELECT 1 FROM dead_note n WHERE n.message = e.value))`
	_, err = t.raw.ExecContext(ctx, forget, string(of))
	return err
}

// contents answers the number of what each letter has of its message, and of what its edit has, nil for nothing, and writes what is not
// there yet. Of an edit that is kept the number is known. Letters of one message mostly share its bytes in memory, too: then these are
// looked at once.
func (t *tx) contents(ctx context.Context, letters []event.DeadLetter, kept []any) (contents, edits []any, err error) {
	contents, edits = make([]any, len(letters)), kept
	last := map[string]int{} // by message
	for i := range letters {
		l := &letters[i]
		if l.Edit != nil && edits[i] == nil {
			edited := *l
			edited.Value, edited.Headers = l.Edit.Value, l.Edit.Headers
			if edits[i], err = t.content(ctx, &edited); err != nil {
				return nil, nil, err
			}
		}
		before, seen := last[l.MessageID()]
		last[l.MessageID()] = i
		if seen && shares(l, &letters[before]) {
			contents[i] = contents[before]
			continue
		}
		if contents[i], err = t.content(ctx, l); err != nil {
			return nil, nil, err
		}
	}
	return contents, edits, nil
}

func (t *tx) content(ctx context.Context, l *event.DeadLetter) (any, error) {
	digest, head, err := encodeContent(l)
	if err != nil || digest == nil {
		return nil, err
	}
	var n int64
	err = t.raw.QueryRowContext(ctx, "SELECT number FROM dead_message WHERE digest = ?", digest).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		const insert = "INSERT INTO dead_message (digest, head, value) VALUES (?, ?, ?) RETURNING number"
		err = t.raw.QueryRowContext(ctx, insert, digest, head, append([]byte{}, l.Value...)).Scan(&n)
	}
	return n, err
}

// shares tells whether two letters of one message hold the same memory.
func shares(a, b *event.DeadLetter) bool {
	one := func(a, b []byte) bool {
		return (a == nil) == (b == nil) && len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
	}
	return a.TopicID == b.TopicID && one(a.Key, b.Key) && one(a.Value, b.Value) && len(a.Headers) == len(b.Headers) &&
		(len(a.Headers) == 0 || &a.Headers[0] == &b.Headers[0])
}

// release lets go of what messages hold that no letter has any more.
func (t *tx) release(ctx context.Context, contents []int64) error {
	if len(contents) == 0 {
		return nil
	}
	const query = `DELETE FROM dead_message WHERE number IN (SELECT e.value FROM json_each(?) e
		WHERE NOT EXISTS (SELECT 1 FROM dead_letter l WHERE l.content = e.value)
		AND NOT EXISTS (SELECT 1 FROM dead_letter l WHERE l.edited = e.value))`
	_, err := t.raw.ExecContext(ctx, query, numbers(contents))
	return err
}

// where answers the condition of a query, and its arguments.
func where(q *event.LetterQuery) (condition string, args []any) {
	condition = " WHERE true"
	and := func(more string, with ...any) { condition, args = condition+" AND "+more, append(args, with...) }
	for column, value := range map[string]string{"source": q.Source, "grp": q.Group, "message": q.Message} {
		if value != "" {
			and(column+" = ?", value)
		}
	}
	if q.IDs != nil {
		of, _ := encode(q.IDs) // texts can be written
		and("id IN (SELECT value FROM json_each(?))", string(of))
	}
	if !q.Since.IsZero() {
		and("(seconds, nanos) >= (?, ?)", q.Since.Unix(), q.Since.Nanosecond())
	}
	if !q.Until.IsZero() {
		and("(seconds, nanos) < (?, ?)", q.Until.Unix(), q.Until.Nanosecond())
	}
	return condition, args
}

// DeadLetters answers the dead letters that a query chooses, in its order. Letters of one message share its bytes.
func (s *Store) DeadLetters(ctx context.Context, q event.LetterQuery) (out []event.DeadLetter, err error) {
	condition, args := where(&q)
	order, than := "DESC", "<"
	if q.Oldest {
		order, than = "ASC", ">"
	}
	behind := q.After != "" && q.AfterAt.IsZero()
	switch {
	case behind:
		condition += " AND (seconds, nanos, id) " + than + " (SELECT seconds, nanos, id FROM dead_letter WHERE id = ?)"
		args = append(args, q.After)
	case q.After != "":
		condition += " AND (seconds, nanos, id) " + than + " (?, ?, ?)"
		args = append(args, q.AfterAt.Unix(), q.AfterAt.Nanosecond(), q.After)
	}
	query := letterColumns + condition + fmt.Sprintf(" ORDER BY seconds %s, nanos %[1]s, id %[1]s LIMIT ?", order)
	err = s.View(ctx, func(cv customer.View) error {
		v := cv.(view) //nolint:forcetypeassert // of our own making
		if behind {
			if found, err := v.letters(ctx, true, letterColumns+" WHERE id = ?", q.After); err != nil || len(found) == 0 {
				return cmp.Or(err, fmt.Errorf("dead letter %s: %w", q.After, customer.ErrNotFound))
			}
		}
		out, err = v.letters(ctx, q.Bare, query, append(args, max(0, q.Limit))...)
		return err
	})
	return out, err
}

// CountDeadLetters answers how many dead letters a query chooses, whatever its After and Limit are.
func (s *Store) CountDeadLetters(ctx context.Context, q event.LetterQuery) (n int64, err error) {
	condition, args := where(&q)
	err = s.reader.QueryRowContext(ctx, "SELECT count(*) FROM dead_letter"+condition, args...).Scan(&n)
	return n, s.explain(err)
}

// DeadGroups answers the groups of the letters that a query chooses, the largest first, whatever its After and Oldest are.
func (s *Store) DeadGroups(ctx context.Context, q event.LetterQuery) (out []event.LetterGroup, err error) {
	condition, args := where(&q)
	err = s.View(ctx, func(cv customer.View) error {
		v := cv.(view) //nolint:forcetypeassert // of our own making
		query := "SELECT grp, count(*) FROM dead_letter" + condition + " GROUP BY grp ORDER BY count(*) DESC, grp LIMIT ?"
		err := v.each(ctx, query, append(slices.Clone(args), max(0, q.Limit)), func(rows *sql.Rows) error {
			var g event.LetterGroup
			err := rows.Scan(&g.ID, &g.Count)
			out = append(out, g)
			return err
		})
		for i := range out {
			for _, order := range []string{"ASC", "DESC"} {
				if err != nil {
					return err
				}
				var found []event.DeadLetter
				one := letterColumns + condition + fmt.Sprintf(" AND grp = ? ORDER BY seconds %s, nanos %[1]s, id %[1]s LIMIT 1", order)
				if found, err = v.letters(ctx, true, one, append(slices.Clone(args), out[i].ID)...); err == nil && len(found) == 1 {
					out[i].Tell(&found[0])
				}
			}
		}
		return err
	})
	return out, err
}

// DeadLetter answers one dead letter; customer.ErrNotFound if there is none of that id.
func (s *Store) DeadLetter(ctx context.Context, id string) (*event.DeadLetter, error) {
	var found []event.DeadLetter
	err := s.View(ctx, func(cv customer.View) (err error) {
		v := cv.(view) //nolint:forcetypeassert // of our own making
		found, err = v.letters(ctx, false, letterColumns+" WHERE id = ?", id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("dead letter %s: %w", id, customer.ErrNotFound)
	}
	return &found[0], nil
}

const letterColumns = `SELECT body, revision, content, edited,
	coalesce((SELECT length(m.value) FROM dead_message m WHERE m.number = content), 0) FROM dead_letter`

// letters reads dead letters and, unless they are to be bare, what their messages and their edits hold, each once.
func (v view) letters(ctx context.Context, bare bool, query string, args ...any) (out []event.DeadLetter, err error) {
	having := map[int64][]func(*event.DeadLetter){} // by number of the content: who has it
	err = v.each(ctx, query, args, func(rows *sql.Rows) error {
		var body sql.RawBytes
		var content, edited sql.NullInt64
		var revision, size int64
		if err := rows.Scan(&body, &revision, &content, &edited, &size); err != nil {
			return err
		}
		l, err := decodeLetter(body)
		l.Revision, l.Size = revision, size
		out = append(out, l)
		i := len(out) - 1
		if content.Valid && !bare {
			having[content.Int64] = append(having[content.Int64], func(c *event.DeadLetter) {
				out[i].Key, out[i].Value, out[i].Headers = c.Key, c.Value, c.Headers
			})
		}
		if edited.Valid && !bare && l.Edit != nil {
			having[edited.Int64] = append(having[edited.Int64], func(c *event.DeadLetter) {
				out[i].Edit.Value, out[i].Edit.Headers = c.Value, c.Headers
			})
		}
		return err
	})
	if err != nil || len(having) == 0 {
		return out, err
	}
	const contents = "SELECT m.number, m.head, m.value FROM json_each(?) e JOIN dead_message m ON m.number = e.value"
	return out, v.each(ctx, contents, []any{numbers(slices.Collect(maps.Keys(having)))}, func(rows *sql.Rows) error {
		var n int64
		var head, value sql.RawBytes
		if err := rows.Scan(&n, &head, &value); err != nil {
			return err
		}
		var c event.DeadLetter
		err := decodeContent(&c, head, value)
		for _, give := range having[n] {
			give(&c)
		}
		return err
	})
}

// group names the groups of letters that were laid down by a version which had none, so many in a transaction.
func (s *Store) group(ctx context.Context) error {
	for n := grouped; n == grouped; {
		err := s.Update(ctx, func(raw customer.Tx) error {
			t := raw.(*tx) //nolint:forcetypeassert // of our own making
			letters, err := t.letters(ctx, true, letterColumns+" WHERE grp = '' LIMIT ?", grouped)
			if err != nil {
				return err
			}
			n = len(letters)
			return t.rows(ctx, "UPDATE dead_letter SET grp = ? WHERE id = ?", n, func(i int) ([]any, error) {
				return []any{letters[i].Group(), letters[i].ID}, nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const grouped = 1_000 // letters in one transaction of group
