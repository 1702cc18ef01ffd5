package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/store/sqlite"
)

// marked is a text of about n bytes of which any 17 in a row tell whose it is.
func marked(i, n int) string { return strings.Repeat(fmt.Sprintf("{Mark:%d}", 100_000+i), n/9+1) }

// crowd is people whose texts are marked, each as long as size says, in a record, a customer and an interaction.
func crowd(of []int, version int64, size func(i int) int) customer.Delta {
	d := customer.Delta{}
	for _, i := range of {
		id := customer.RecordID{byte(i * 37), byte(i >> 3), byte(i), byte(i >> 8), 1}
		v := customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: fmt.Sprint(version)}}
		text := customer.Text(marked(i, size(i)))
		d.Records = append(d.Records, &customer.Record{ID: id, Source: "shop", Key: marked(i, 1), Scopes: []customer.Scope{{
			Name: "sequence:", Head: v, Cells: []customer.Cell{{Path: customer.Path{Name: "fullName"}, State: customer.Set, Value: text, Version: v}},
		}}})
		d.Members = append(d.Members, customer.Membership{Record: id, Component: id, Customer: id.Birth(0), Live: true})
		d.Customers = append(d.Customers, &customer.Customer{
			ID: id.Birth(0), Version: version, Status: customer.Active,
			Attributes: []customer.Attribute{{Path: customer.Path{Name: "fullName"}, Claim: customer.Claim{Value: text}}},
		})
		d.Interactions = append(d.Interactions, &customer.Interaction{
			ID: customer.InteractionID(id), Type: "order", Title: text.Text, Parties: []customer.Party{{Role: "customer", Record: id}},
		})
	}
	return d
}

// marks answers whose marks stand in any file of the store's folder.
func marks(t *testing.T, path string) map[int]bool {
	t.Helper()
	out := map[int]bool{}
	for _, name := range []string{path, path + "-wal", path + "-journal"} {
		b, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for {
			_, after, is := bytes.Cut(b, []byte("{Mark:"))
			if !is {
				break
			}
			var n int
			if len(after) > 6 && after[6] == '}' {
				if _, err := fmt.Sscanf(string(after[:6]), "%d", &n); err == nil {
					out[n-100_000] = true
				}
			}
			b = after
		}
	}
	return out
}

// sweep lets the store do all that it owes, and answers in how many goes.
func sweep(t *testing.T, s *sqlite.Store) (goes int) {
	t.Helper()
	for more := true; more; goes++ {
		var err error
		if more, err = s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.Erasing() {
		t.Error("with nobody in the way, something is still owed")
	}
	return goes
}

func inGroups(n, size int, do func([]int)) {
	var of []int
	for i := range n {
		of = append(of, i)
	}
	for of := range slices.Chunk(of, size) {
		do(of)
	}
}

// fewer makes a test smaller in the short form.
func fewer(t *testing.T, n int) int {
	t.Helper()
	if testing.Short() {
		return n / 10
	}
	return n
}

// What is erased leaves no byte in the files, however the rows lay: grown, moved, split over pages, laid into history and on overflow
// pages; and every other value is still there.
func TestErasureLeavesNoByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	n := fewer(t, 2_000)
	size := func(version int) func(int) int {
		return func(i int) int {
			if i%97 == 0 {
				return 16<<10 - 3_000*(version%2)
			}
			return version * (40 + i%90)
		}
	}
	for v := range 4 {
		inGroups(n, 250, func(of []int) {
			for k := range of {
				of[k] = of[k] * 7 % n
			}
			commit(t, s, crowd(of, int64(v+1), size(v+1)))
		})
	}
	gone := func(i int) bool { return i%2 == 1 }
	left := func() (erased, kept int) {
		for i := range marks(t, path) {
			if gone(i) {
				erased++
			} else {
				kept++
			}
		}
		return erased, kept
	}
	if erased, _ := left(); erased == 0 {
		t.Fatal("there is nothing to erase")
	}
	inGroups(n, 40, func(of []int) {
		of = slices.DeleteFunc(of, func(i int) bool { return !gone(i) })
		commit(t, s, erased(crowd(of, 4, size(4)), 5))
	})
	early, kept := left()
	goes := sweep(t, s)
	t.Logf("%d texts stood in gaps before the sweep; %d goes", early, goes)
	for _, when := range []string{"the sweep", "closing"} {
		if erased, now := left(); erased > 0 || now != kept {
			t.Errorf("after %s %d erased texts are in the files, and of %d others %d", when, erased, kept, now)
		}
		if err := s.Check(t.Context()); when == "the sweep" && err != nil {
			t.Error(err)
		}
		_ = s.Close()
	}
	allZero(t, path)
}

// allZero holds the file's free and overflow pages to what the sweep counts on: SQLite zeroes what is unused there.
func allZero(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	spoilt := 0
	for kind, query := range map[string]string{
		"overflow": "SELECT substr(p.data, 4097 - s.unused) FROM dbstat s JOIN sqlite_dbpage p ON p.pgno = s.pageno WHERE s.pagetype = 'overflow'",
		"free":     "SELECT p.data FROM sqlite_dbpage p WHERE p.pgno NOT IN (SELECT pageno FROM dbstat) AND substr(p.data, 1, 8) = zeroblob(8)",
	} {
		n := 0
		for _, b := range blobs(t, db, query) {
			if n++; len(bytes.Trim(b, "\x00")) > 0 {
				spoilt++
			}
		}
		if n == 0 {
			t.Errorf("there is no %s page", kind)
		}
	}
	if spoilt > 0 {
		t.Errorf("%d pages are not zero where they are unused", spoilt)
	}
}

func blobs(t *testing.T, db *sql.DB, query string) (out [][]byte) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Where SQLite balances a tree, a page that the sweep has yet to come to can take over the number of one where it was, gaps and all: here
// full pages at the end of the file with a deleted text in each, which are then split, while pages at its beginning are free.
func TestSweepFollowsPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	const n = 6_000
	script(t, path, fmt.Sprintf(`
		CREATE TABLE n AS WITH RECURSIVE r (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM r LIMIT %d) SELECT n FROM r; CREATE TABLE filler (x); INSERT INTO filler SELECT zeroblob(4000) FROM n LIMIT 250;
		INSERT INTO record (id, body) SELECT unhex(printf('%%032x', n)), CAST(printf('{Mark:%%d}', 100000 + n) || printf('%%95s', '') AS BLOB) FROM n;
		DELETE FROM record WHERE (rowid - 1) %% 31 BETWEEN 6 AND 9;
		PRAGMA secure_delete = ON; DROP TABLE filler; DROP TABLE n;
		INSERT INTO meta (name, value) VALUES ('erasure_owed', x'')`, n))
	s := open(t, path)
	if more, err := s.Maintain(t.Context()); !more || err != nil {
		t.Fatal(more, err)
	}
	d := customer.Delta{}
	for i := 3; i < n; i += 31 {
		d.Records = append(d.Records, &customer.Record{ID: customer.RecordID{14: byte(i >> 8), 15: byte(i)}, Source: strings.Repeat("x", 2_200)})
	}
	commit(t, s, d)
	sweep(t, s)
	for i := range marks(t, path) {
		if k := i % 31; k >= 6 && k <= 9 {
			t.Errorf("text %d is still in the files", i)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Commits and readers go on while the sweep is under way, and it keeps up with what they change; nobody sees anything but whole commits.
func TestSweepBesideOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	n := fewer(t, 1_000)
	inGroups(n, 100, func(of []int) { commit(t, s, crowd(of, 1, func(i int) int { return 60 + i%150 })) })
	inGroups(n, 100, func(of []int) { commit(t, s, crowd(of, 2, func(i int) int { return 90 + i%200 })) })
	inGroups(n/2, 100, func(of []int) { commit(t, s, erased(crowd(of, 2, func(int) int { return 1 }), 3)) }) // the first half
	var others sync.WaitGroup
	others.Go(func() { // the second half grows and shrinks between the gaps of the first
		for v := range 6 {
			inGroups(n/2, 50, func(of []int) {
				for k := range of {
					of[k] = n/2 + of[k]*11%(n/2)
				}
				d := crowd(of, int64(v+3), func(i int) int { return 30 + i*(v+1)%400 })
				if err := s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) }); err != nil {
					t.Error(err)
				}
			})
		}
	})
	others.Go(func() {
		for i := range fewer(t, 400) {
			one := n/2 + i*13%(n/2)
			err := s.View(t.Context(), func(v customer.View) error {
				r, err := v.Records(t.Context(), []customer.RecordID{crowd([]int{one}, 1, func(int) int { return 1 }).Records[0].ID})
				if err == nil && !strings.HasPrefix(r[0].Scopes[0].Cells[0].Value.Text, marked(one, 1)) {
					t.Errorf("record %d reads as another", one)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	goes := 0
	for more := true; more; goes++ {
		var err error
		if more, err = s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	others.Wait()
	goes += sweep(t, s)
	for i := range marks(t, path) {
		if i < n/2 {
			t.Fatalf("text %d is still in the files, after %d goes", i, goes)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// The sweep looks through a bounded number of pages a go, and others commit between two.
func TestSweepInParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	n := fewer(t, 3_000)
	inGroups(n, 250, func(of []int) { commit(t, s, crowd(of, 1, func(int) int { return 1_000 })) })
	commit(t, s, erased(crowd([]int{7}, 1, func(int) int { return 1 }), 2))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	least := int(info.Size()/4096) / 256
	goes := sweep(t, s)
	if goes < least {
		t.Errorf("%d goes for %d pages: one takes too many", goes, info.Size()/4096)
	}
	if more, err := s.Maintain(t.Context()); more || err != nil {
		t.Errorf("a store at rest has more to do: %v", err)
	}
	commit(t, s, crowd([]int{3}, 2, func(int) int { return 500 }))
	if s.Erasing() {
		t.Error("a commit that erases nothing owes something")
	}
}

// What commits write during a sweep is looked through in larger parts, and these are bounded, too.
func TestSweepOfChangesInParts(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a commit of 50 MiB")
	}
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	inGroups(500, 100, func(of []int) { commit(t, s, crowd(of, 1, func(int) int { return 1_000 })) })
	commit(t, s, erased(crowd([]int{7}, 1, func(int) int { return 1 }), 2))
	if more, err := s.Maintain(t.Context()); !more || err != nil {
		t.Fatal(more, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var of []int
	for i := range 1_000 {
		of = append(of, 1_000+i)
	}
	commit(t, s, crowd(of, 1, func(int) int { return 16 << 10 })) // some 12,000 pages
	first := int(info.Size()/4096-1)/256 + 1
	if goes := 1 + sweep(t, s); goes < first+2 || goes > first+3 {
		t.Errorf("%d goes, %d of them for the pages of before", goes, first)
	}
}

// A reader on an older state holds up the emptying of the log, but neither the erasure nor what comes after it. When it ends, the log is
// emptied, though nobody writes any more.
func TestErasureBesideReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	before := people(0, 3, 1)
	commit(t, s, before)
	err := s.View(t.Context(), func(v customer.View) error {
		if _, err := v.Records(t.Context(), []customer.RecordID{before.Records[0].ID}); err != nil {
			return err
		}
		commit(t, s, erased(before, 2))
		commit(t, s, people(900, 0, 1))
		r, err := v.Records(t.Context(), []customer.RecordID{before.Records[0].ID})
		if err == nil && r[0].Key != secret {
			t.Error("the reader's state changed under it")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if k := found(t, path); k > 0 {
		t.Errorf("%d times the erased value is still there after the reader has gone", k)
	}
}

// A reader of another program holds the log up, too: Maintain and Check say nothing of it and try again when they are asked again.
func TestErasureBesideAnotherProgram(t *testing.T) {
	for name, again := range map[string]func(t *testing.T, s *sqlite.Store) error{
		"Maintain": func(t *testing.T, s *sqlite.Store) error { _, err := s.Maintain(t.Context()); return err },
		"Check":    func(t *testing.T, s *sqlite.Store) error { return s.Check(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "onefold.db")
			s := open(t, path)
			commit(t, s, people(0, 3, 1))
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			other, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if err := other.QueryRowContext(t.Context(), "SELECT count(*) FROM record").Scan(&n); err != nil || n != 3 {
				t.Fatal(n, err)
			}
			commit(t, s, erased(people(0, 3, 1), 2))
			for range 3 { // the pages, the log, and the log again
				if err := again(t, s); err != nil {
					t.Fatal(err)
				}
			}
			if more, err := s.Maintain(t.Context()); more || err != nil || !s.Erasing() {
				t.Errorf("with a reader in the way: more %v, owed %v, %v", more, s.Erasing(), err)
			}
			if err := other.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := again(t, s); err != nil {
				t.Fatal(err)
			}
			if k := found(t, path); k > 0 || s.Erasing() {
				t.Errorf("%d times the erased value is still there, owed: %v", k, s.Erasing())
			}
		})
	}
}

// A process that is killed in the middle of a sweep owes it still, and the next one does it.
func TestKilledWhileSweeping(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	const n = 150
	for v := range 3 {
		inGroups(n, 100, func(of []int) {
			for k := range of {
				of[k] = of[k] * 7 % n
			}
			commit(t, s, crowd(of, int64(v+1), func(i int) int { return (v + 1) * (800 + i%90) }))
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c, out := start(t, path, "ONEFOLD_TEST_ERASE=1")
	if !out.Scan() {
		t.Fatal("it says nothing")
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // killed, as it says
	s = open(t, path)
	if !s.Erasing() {
		t.Error("nothing is owed after the kill")
	}
	sweep(t, s)
	if left := marks(t, path); left[0] {
		t.Error("the erased text is still in the files")
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if open(t, path).Erasing() {
		t.Error("what is done is owed again")
	}
}

// Closing does what is owed, where that is little.
func TestCloseSweeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	for v := range 3 {
		inGroups(200, 50, func(of []int) { commit(t, s, crowd(of, int64(v+1), func(i int) int { return (v + 1) * (40 + i%90) })) })
	}
	inGroups(100, 50, func(of []int) { commit(t, s, erased(crowd(of, 1, func(int) int { return 1 }), 4)) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range marks(t, path) {
		if i < 100 {
			t.Errorf("text %d is still in the file", i)
		}
	}
	if open(t, path).Erasing() {
		t.Error("something is still owed")
	}
}

// A page whose cells do not lie as they must is told, never changed, and does not keep the others from being swept.
func TestSweepFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	inGroups(500, 100, func(of []int) { commit(t, s, crowd(of, 1, func(int) int { return 300 })) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	script(t, path, "INSERT INTO meta (name, value) VALUES ('erasure_owed', x'')")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	at := info.Size() / 4096 / 2 * 4096
	spoil(t, path, at, 4096)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{13, 0, 0, 0, 200}, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	for err = error(nil); err == nil; {
		_, err = s.Maintain(t.Context())
	}
	if want := fmt.Sprintf("page %d:", at/4096+1); !errors.Is(err, sqlite.ErrDamaged) || !strings.Contains(err.Error(), want) || !s.Erasing() {
		t.Errorf("the damage is not told, at %q: %v", want, err)
	}
}
