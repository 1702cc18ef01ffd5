package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/onefold/onefold/customer"
)

// History, which nobody reads through the store yet, goes with an erasure, of whoever lives on too.
func TestErasureLeavesNoHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	commit(t, s, people(0, 2, 1))
	commit(t, s, customer.Delta{Customers: people(0, 2, 2).Customers})
	commit(t, s, customer.Delta{Erased: []customer.RecordID{people(0, 1, 1).Records[0].ID}, Customers: people(0, 1, 3).Customers})
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for i, want := range []int{0, 1} {
		var n int
		id := people(i, 1, 1).Customers[0].ID
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM customer_history WHERE customer = ?", id[:]).Scan(&n); err != nil || n != want {
			t.Errorf("customer %d has %d versions in its history, want %d: %v", i, n, want, err)
		}
	}
}
