package page_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver
	"pgregory.net/rapid"

	"github.com/onefold/onefold/store/sqlite/page"
)

// file is a database of its own, on one connection.
func file(t *testing.T, pageSize int, pragmas ...string) (*sql.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "one.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	for _, p := range append([]string{fmt.Sprintf("PRAGMA page_size = %d", pageSize), "PRAGMA temp_store = MEMORY"}, pragmas...) {
		run(t, db, p)
	}
	return db, path
}

type fatal interface {
	Helper()
	Fatal(args ...any)
}

func run(t fatal, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(query, err)
	}
}

// list answers the rows of a query, each as one text.
func list(t fatal, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// pages answers every page by its number.
func pages(t fatal, db *sql.DB) map[uint32][]byte {
	t.Helper()
	rows, err := db.Query("SELECT pgno, data FROM sqlite_dbpage")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[uint32][]byte{}
	for rows.Next() {
		var n uint32
		var b []byte
		if err := rows.Scan(&n, &b); err != nil {
			t.Fatal(err)
		}
		out[n] = b
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// clean cleans every page of the file, and says how many had something to lose.
func clean(t fatal, db *sql.DB) (n int) {
	t.Helper()
	c := page.Cleaner{}
	for number, data := range pages(t, db) {
		changed, err := c.Clean(number, data)
		if err != nil {
			t.Fatal(number, err)
		}
		if changed {
			n++
			run(t, db, "UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?", data, number)
		}
	}
	return n
}

// Whatever was inserted, changed and deleted, on pages of any size, without secure_delete in b-trees: after a cleaning nothing deleted
// stands in a b-tree page, everything else is as it was, and the file is sound. A second cleaning finds nothing.
func TestClean(t *testing.T) {
	const tables = `CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT); CREATE INDEX a_x ON a (x);
		CREATE TABLE b (x TEXT PRIMARY KEY, y BLOB) WITHOUT ROWID; CREATE TABLE c (x)`
	sizes, most := []int{512, 1024, 4096, 65536}, 120
	if testing.Short() {
		sizes, most = []int{512, 4096}, 25
	}
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), rapid.MakeCheck(func(r *rapid.T) {
			db, err := sql.Open("sqlite", ":memory:")
			if err != nil {
				r.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			db.SetMaxOpenConns(1)
			run(r, db, fmt.Sprintf("PRAGMA page_size = %d; PRAGMA secure_delete = OFF; %s", size, tables))
			live := map[int]bool{}
			mark := func(i, n int) string { return strings.Repeat(fmt.Sprintf("{%07d}", i), max(1, n/9)) }
			lengths := rapid.OneOf(rapid.IntRange(1, 200), rapid.IntRange(1, size), rapid.IntRange(size, 3*size))
			for range rapid.IntRange(1, most).Draw(r, "steps") {
				i, n := rapid.IntRange(1, 60).Draw(r, "row"), lengths.Draw(r, "length")
				if rapid.IntRange(0, 2).Draw(r, "delete") == 0 {
					run(r, db, "DELETE FROM a WHERE id = ?", i)
					run(r, db, "DELETE FROM b WHERE x LIKE ?", mark(i, 1)+"%")
					run(r, db, "DELETE FROM c WHERE x LIKE ?", mark(i, 1)+"%")
					delete(live, i)
					continue
				}
				run(r, db, "INSERT OR REPLACE INTO a VALUES (?, ?)", i, mark(i, n))
				run(r, db, "INSERT OR REPLACE INTO b VALUES (?, zeroblob(?))", mark(i, n), n%300)
				run(r, db, "INSERT INTO c VALUES (?)", mark(i, min(n, 100)))
				live[i] = true
			}
			run(r, db, "PRAGMA secure_delete = ON")
			const all = "SELECT id || x FROM a UNION ALL SELECT x || hex(y) FROM b UNION ALL SELECT x FROM c"
			before := list(r, db, all)
			clean(r, db)
			if after := list(r, db, all); strings.Join(after, "") != strings.Join(before, "") {
				r.Fatal("a value changed")
			}
			if found := list(r, db, "PRAGMA integrity_check"); strings.Join(found, "") != "ok" {
				r.Fatal(found)
			}
			for _, b := range list(r, db, "SELECT p.data FROM sqlite_dbpage p JOIN dbstat s ON s.pageno = p.pgno AND s.pagetype IN ('leaf', 'internal')") {
				for i := range 61 {
					if !live[i] && strings.Contains(b, mark(i, 1)) {
						r.Fatal("row", i, "is deleted and still there")
					}
				}
			}
			if n := clean(r, db); n > 0 {
				r.Fatal("a second cleaning changes", n, "pages")
			}
		}))
	}
}

// A page whose cells do not lie as they must stays as it is.
func TestCleanRefuses(t *testing.T) {
	leaf := func(change func(b []byte)) []byte {
		b := make([]byte, 512)
		copy(b, []byte{13, 0, 0, 0, 1, 1, 240, 0, 1, 240}) // one cell at 496: 3 bytes of payload, row 1
		copy(b[496:], []byte{3, 1, 2, 1, 7})
		change(b)
		return b
	}
	for name, c := range map[string]struct {
		page []byte
		want error
	}{
		"sound":                         {leaf(func([]byte) {}), nil},
		"a cell before the cells":       {leaf(func(b []byte) { b[8], b[9] = 0, 9 }), page.ErrDamaged},
		"a cell beyond the end":         {leaf(func(b []byte) { b[8], b[9] = 1, 254 }), page.ErrDamaged},
		"more cells than a page holds":  {leaf(func(b []byte) { b[3] = 99 }), page.ErrDamaged},
		"a payload beyond the end":      {leaf(func(b []byte) { b[496] = 100 }), page.ErrDamaged},
		"two cells in one place":        {leaf(func(b []byte) { b[4], b[10], b[11] = 2, 1, 242 }), page.ErrDamaged},
		"a free block in a cell":        {leaf(func(b []byte) { b[1], b[2] = 1, 240 }), page.ErrDamaged},
		"a free block that is its next": {leaf(func(b []byte) { b[1], b[2], b[256], b[257] = 1, 0, 1, 0 }), page.ErrDamaged},
		"smaller than any page":         {make([]byte, 100), page.ErrDamaged},
		"of another kind":               {bytes.Repeat([]byte{1}, 512), nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := bytes.Clone(c.page)
			changed, err := new(page.Cleaner).Clean(2, c.page)
			if !errors.Is(err, c.want) || changed || !bytes.Equal(before, c.page) {
				t.Errorf("changed %v: %v", changed, err)
			}
		})
	}
}

// Bytes at the end of a page that are not SQLite's stay.
func TestCleanReserved(t *testing.T) {
	b := make([]byte, 512)
	copy(b, []byte{13, 0, 0, 0, 0, 1, 244})
	b[100], b[511] = 7, 7
	if changed, err := (&page.Cleaner{Reserved: 12}).Clean(2, b); !changed || err != nil || b[100] != 0 || b[511] != 7 {
		t.Errorf("changed %v, left %d and %d: %v", changed, b[100], b[511], err)
	}
}

// Whatever stands in a page, cleaning it ends, and changes nothing if the page is refused.
func FuzzClean(f *testing.F) {
	f.Add(uint32(1), bytes.Repeat([]byte{13, 0, 255}, 200))
	f.Add(uint32(2), append([]byte{2, 0, 20, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0}, make([]byte, 600)...))
	f.Fuzz(func(t *testing.T, number uint32, b []byte) {
		before := bytes.Clone(b)
		changed, err := new(page.Cleaner).Clean(number, b)
		if changed == bytes.Equal(before, b) || err != nil && changed {
			t.Errorf("changed %v: %v", changed, err)
		}
	})
}
