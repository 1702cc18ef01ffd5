package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// A file of the release before targets is migrated: its customers are fed in the order in which they last changed, and what changes
// afterwards comes behind them.
func TestMigratesFeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	commit(t, s, people(0, 5, 1))
	pending, err := s.Pending(t.Context(), 0, 10)
	if err != nil || len(pending) != 5 {
		t.Fatalf("%d wait: %v", len(pending), err)
	}
	if err := s.Published(t.Context(), pending[4].Seq); err != nil { // two of them change again, and wait to be published
		t.Fatal(err)
	}
	commit(t, s, customer.Delta{Customers: people(3, 1, 2).Customers})
	commit(t, s, customer.Delta{Customers: people(1, 1, 2).Customers})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	script(t, path, `DROP INDEX customer_seq; ALTER TABLE customer DROP COLUMN seq; DROP TABLE receipt; DROP TABLE receipt_tally;
		DROP TABLE target; `+dropLetters+`; DROP TABLE review; PRAGMA user_version = 1`)
	s = open(t, path)
	want := []string{"0@1", "2@1", "4@1", "3@2", "1@2"}
	feed := func() (out []string, last int64) {
		t.Helper()
		all, last, err := s.Changed(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			for i := range 5 {
				if c.ID == people(i, 1, 1).Customers[0].ID {
					out = append(out, fmt.Sprintf("%d@%d", i, c.Version))
				}
			}
		}
		return out, last
	}
	got, last := feed()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the feed of a migrated file (-want +got):\n%s", diff)
	}
	commit(t, s, customer.Delta{Customers: people(0, 1, 2).Customers})
	next, _, err := s.Changed(t.Context(), last, 9)
	if err != nil || len(next) != 1 || next[0].Version != 2 {
		t.Errorf("behind the migrated stand %d customers, %v", len(next), err)
	}
}

// dropLetters takes out what migration 3 brings.
const dropLetters = `DROP INDEX dead_letter_group; DROP INDEX dead_letter_edited; DROP TABLE dead_note;
	ALTER TABLE dead_letter DROP COLUMN grp; ALTER TABLE dead_letter DROP COLUMN edited; ALTER TABLE dead_letter DROP COLUMN revision`

// Letters of a file from before there were groups have theirs when it is opened.
func TestMigratesLetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	letters := parts(1, 1_500, []byte("x"))
	commit(t, s, customer.Delta{Dead: letters})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	script(t, path, dropLetters+"; DROP TABLE review; PRAGMA user_version = 2")
	s = open(t, path)
	groups, err := s.DeadGroups(t.Context(), event.LetterQuery{Limit: 9})
	if err != nil || len(groups) != 1 || groups[0].Count != 1_500 || groups[0].ID != letters[0].Group() {
		t.Errorf("%+v, %v", groups, err)
	}
	one, err := s.DeadLetter(t.Context(), letters[7].ID)
	if err != nil || one.Revision != 1 || string(one.Value) != "x" {
		t.Errorf("%+v, %v", one, err)
	}
}
