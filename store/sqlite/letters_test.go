package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/sqlite"
)

// parts are dead letters of n parts of one message.
func parts(offset int64, n int, value []byte) (out []event.DeadLetter) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range n {
		out = append(out, event.DeadLetter{
			ID: fmt.Sprintf("dead_%024d", offset*1e6+int64(i)), Source: "bank", Topic: "bank.statements", TopicID: strings.Repeat("ab", 16), Offset: offset,
			Part: fmt.Sprintf("Ntry[%d]", i), Time: at, Class: event.Permanent, Reason: "mapping", Path: fmt.Sprintf("Ntry[%d].NtryDtls.TxDtls.RltdPties", i),
			Message: "this is no account number: an IBAN has two letters, two digits and up to 30 more", Mapping: "iso20022@3", Attempts: 1, At: at,
			Key: []byte("key"), Value: value, Headers: []event.Header{{Key: "h", Value: []byte("v")}},
		})
	}
	return out
}

// A message rests once, however many of its parts are dead, whether they come together or not.
func TestAMessageRestsOnce(t *testing.T) {
	const most = 4 << 20
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	value := []byte(marked(1, 1<<20))
	letters := parts(1, 2_000, value)
	commit(t, s, customer.Delta{Dead: letters[:1_800]})
	for i := range letters[1_800:] {
		letters[1_800+i].Value = slices.Clone(value)
		if i%50 == 49 {
			commit(t, s, customer.Delta{Dead: letters[1_800+i-49 : 1_801+i]})
		}
	}
	if size := grown(t, s, path); size > most {
		t.Errorf("2,000 dead parts of a message of 1 MiB make a file of %d bytes, want at most %d", size, most)
	}
	s = open(t, path)
	if c, err := s.Counts(t.Context()); err != nil || c.DeadLetters != 2_000 {
		t.Errorf("%d letters are counted: %v", c.DeadLetters, err)
	}
	page, err := s.DeadLetters(t.Context(), event.LetterQuery{Source: "bank", Limit: 500})
	if err != nil || len(page) != 500 {
		t.Fatalf("%d letters: %v", len(page), err)
	}
	for i := range page {
		if string(page[i].Value) != string(value) {
			t.Fatalf("letter %s has other bytes", page[i].ID)
		}
	}
	if &page[0].Value[0] != &page[499].Value[0] {
		t.Error("in memory, each letter of a page has bytes of its own")
	}
}

// grown closes a store and answers the bytes of its file.
func grown(t *testing.T, s *sqlite.Store, path string) int64 {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// The bytes of a message leave the files with the last letter that has them: let go by age, or blanked.
func TestSharedBytesLeaveTheFiles(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, s *sqlite.Store){
		"let go": func(t *testing.T, s *sqlite.Store) {
			if n, err := s.DropDeadLetters(t.Context(), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), 50); n != 50 || err != nil {
				t.Errorf("%d letters are let go: %v", n, err)
			}
		},
		"blanked": func(t *testing.T, s *sqlite.Store) {
			commit(t, s, customer.Delta{Erased: []customer.RecordID{{1}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "onefold.db")
			s := open(t, path)
			gone := parts(1, 50, []byte(marked(1, 100_000)))
			stays := parts(2, 1, []byte(marked(2, 100_000)))
			stays[0].At = stays[0].At.AddDate(1, 0, 0)
			commit(t, s, customer.Delta{Dead: append(gone, stays...), Named: []customer.Naming{{Message: gone[0].MessageID(), Records: []customer.RecordID{{1}}}}})
			if found := marks(t, path); !found[1] || !found[2] {
				t.Fatalf("marks %v", found)
			}
			leave(t, s)
			sweep(t, s)
			if found := marks(t, path); found[1] || !found[2] {
				t.Errorf("marks %v stand in the files, want the second", found)
			}
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			var n int
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM dead_message").Scan(&n); err != nil || n != 1 {
				t.Errorf("the bytes of %d messages are kept, want one: %v", n, err)
			}
		})
	}
}
