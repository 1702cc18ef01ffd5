package sqlite_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/store/sqlite"
	"github.com/onefold/onefold/store/storetest"
)

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return open(t, filepath.Join(t.TempDir(), "a folder", "one?.db")) })
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	key, err := s.InstallationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, path).InstallationKey(t.Context())
	if err != nil || !bytes.Equal(key, again) {
		t.Errorf("another key after opening again: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"another process holds it": {func(t *testing.T, path string) { open(t, path) }, "is using"},
		"a newer version": {func(t *testing.T, path string) {
			_ = open(t, path).Close()
			exec(t, path, "PRAGMA user_version = 99")
		}, "version 99"},
		"another program's file": {func(t *testing.T, path string) { exec(t, path, "CREATE TABLE x (y); PRAGMA user_version = 1") }, "another program"},
		"not a database":         {func(t *testing.T, path string) { write(t, path, strings.Repeat("no database ", 1000)) }, "damaged"},
		"a torn header": {func(t *testing.T, path string) {
			_ = open(t, path).Close()
			spoil(t, path, 0, 4096)
		}, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "onefold.db")
			c.spoil(t, path)
			before, _ := os.ReadFile(path)
			s, err := sqlite.Open(t.Context(), path)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error does not say %q: %v", c.want, err)
			}
			if after, _ := os.ReadFile(path); c.want == "damaged" && !bytes.Equal(before, after) {
				t.Error("a damaged file was changed")
			}
		})
	}
}

// A page torn in the middle of the file is found by Check, and never mended in silence.
func TestCheckFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	var keys []customer.KeySet
	for n := range 2000 {
		k := customer.KeySet{Record: customer.RecordID{byte(n), byte(n >> 8)}, Node: uint64(n)}
		for j := range 4 {
			k.Keys = append(k.Keys, customer.Key{Type: "k", Hash: uint64(n*7919 + j)})
		}
		keys = append(keys, k)
	}
	if err := s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &customer.Delta{Keys: keys}) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, path, info.Size()/2, 4096)
	s, err = sqlite.Open(t.Context(), path)
	if err == nil {
		err = s.Check(t.Context())
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a torn page is not reported: %v", err)
	}
}

func exec(t *testing.T, path, script string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), script); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func spoil(t *testing.T, path string, from int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0x5a}, n), from); err != nil {
		t.Fatal(err)
	}
}
