package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
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
	made := func(t *testing.T, path string) { _ = open(t, path).Close() }
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		kind  error
		want  string
	}{
		"this process holds it": {func(t *testing.T, path string) { open(t, path) }, sqlite.ErrInUse, "process " + strconv.Itoa(os.Getpid()) + " is using it"},
		"a newer version": {func(t *testing.T, path string) {
			made(t, path)
			script(t, path, "PRAGMA user_version = 99")
		}, sqlite.ErrNewer, "of version 99, this program knows versions up to 4: use the newer program"},
		"another program's file": {func(t *testing.T, path string) { script(t, path, "CREATE TABLE x (y)") }, sqlite.ErrForeign, "name another path"},
		"not a database":         {func(t *testing.T, path string) { write(t, path, strings.Repeat("no database ", 1000)) }, sqlite.ErrDamaged, "its head"},
		"an empty file":          {func(t *testing.T, path string) { write(t, path, "") }, sqlite.ErrDamaged, "it has 0 bytes"},
		"a file cut off": {func(t *testing.T, path string) {
			made(t, path)
			if err := os.Truncate(path, 20_000); err != nil {
				t.Fatal(err)
			}
		}, sqlite.ErrDamaged, ""},
		"a WAL alone": {func(t *testing.T, path string) { write(t, path+"-wal", "x") }, sqlite.ErrDamaged, "the file itself is missing"},
		"a torn head": {func(t *testing.T, path string) {
			made(t, path)
			spoil(t, path, 0, 4096)
		}, sqlite.ErrDamaged, "restore a backup"},
		"a torn schema": {func(t *testing.T, path string) {
			made(t, path)
			spoil(t, path, 100, 3996)
		}, sqlite.ErrDamaged, "restore a backup"},
		"a file for a folder": {func(t *testing.T, path string) { write(t, filepath.Dir(path), "x") }, nil, "not a directory: let this user write there"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data", "onefold.db")
			if name != "a file for a folder" {
				if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			c.spoil(t, path)
			before, _ := os.ReadFile(path)
			s, err := sqlite.Open(t.Context(), path)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("the error does not say %q: %v", c.want, err)
			}
			if event.ClassOf(err) != event.Retryable {
				t.Errorf("the error would drop what is to be stored: %v", event.ClassOf(err))
			}
			if after, _ := os.ReadFile(path); errors.Is(err, sqlite.ErrDamaged) && !bytes.Equal(before, after) {
				t.Error("a damaged file was changed")
			}
		})
	}
}

// What comes after Close is refused, and told of which store.
func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Counts(t.Context())
	_, err2 := s.Claim(t.Context(), "shop", "t", []int32{0})
	for i, err := range []error{
		err, err2, s.Check(t.Context()), s.Published(t.Context(), 1),
		s.View(t.Context(), func(customer.View) error { return nil }),
		s.Update(t.Context(), func(customer.Tx) error { return nil }),
	} {
		if !errors.Is(err, sqlite.ErrClosed) || !strings.Contains(err.Error(), path) || event.ClassOf(err) != event.Retryable {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// A walk reads a bounded number of rows before it hands the first customer over, and all of them in the end.
func TestEachCustomerIsBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "onefold.db"))
	const n, each = 160, 40
	inGroups(n, 40, func(of []int) {
		d := crowd(of, 1, func(int) int { return 1 })
		for i, c := range d.Customers {
			c.Members = []customer.Member{{Record: d.Records[i].ID}}
			for k := range each {
				d.Interactions = append(d.Interactions, &customer.Interaction{
					ID: customer.InteractionID{byte(of[i]), byte(of[i] >> 8), byte(k), 1}, Type: "order", Title: strings.Repeat("t", 500),
					Parties: []customer.Party{{Record: d.Records[i].ID}},
				})
			}
		}
		commit(t, s, d)
	})
	taken := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := taken()
	var first uint64
	customers, interactions := 0, 0
	err := s.EachCustomer(t.Context(), func(_ *customer.Customer, r []*customer.Record, in []*customer.Interaction) error {
		if customers++; customers == 1 {
			first = taken() - before
		}
		if interactions += len(in); len(r) != 1 || len(in) != each+1 {
			t.Errorf("customer %d has %d records and %d interactions", customers, len(r), len(in))
		}
		return nil
	})
	if all := taken() - before; err != nil || customers != n || first > all/2 {
		t.Errorf("%d customers, %d interactions; %d bytes taken before the first, of %d: %v", customers, interactions, first, all, err)
	}
}

// A record of more versions, texts and messages than a body looks back for is kept as it was: one that is met again long after is
// written anew.
func TestManyVersions(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "onefold.db"))
	version := func(n int) customer.Version {
		return customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: strconv.Itoa(n), Scope: "s"}, Hash: uint64(n)}
	}
	for _, distinct := range []int{99, 100, 101, 250, 700} {
		r := &customer.Record{ID: customer.RecordID{byte(distinct), byte(distinct >> 8)}, Source: "shop", Scopes: []customer.Scope{{Name: "sequence:s"}}}
		for i := range 2*distinct + 7 {
			n := i % distinct
			if i%5 == 0 { // one that is met all the time
				n = 0
			}
			r.Scopes[0].Cells = append(r.Scopes[0].Cells, customer.Cell{
				Path: customer.Path{Name: "tag", ID: strconv.Itoa(i)}, State: customer.Set, Value: customer.Text("t" + strconv.Itoa(n)),
				Version: version(n), Event: "m" + strconv.Itoa(n%distinct),
			})
		}
		commit(t, s, customer.Delta{Records: []*customer.Record{r}})
		err := s.View(t.Context(), func(v customer.View) error {
			got, err := v.Records(t.Context(), []customer.RecordID{r.ID})
			if err != nil {
				return err
			}
			if diff := cmp.Diff(r, got[0], cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("of %d versions: %s", distinct, diff)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A file of before the first layout is brought up to date, and its application stays.
func TestOlder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	script(t, path, "PRAGMA application_id = 0x4f4e4546; CREATE TABLE old (x); PRAGMA user_version = 0")
	s := open(t, path)
	if _, err := s.InstallationKey(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Check(t.Context()); err != nil { // and once only
		t.Error(err)
	}
}

// A crash in the middle of making a store leaves a draft, which the next start throws away.
func TestUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	write(t, path+".new", "half")
	write(t, path+".new-wal", "half")
	if err := open(t, path).Check(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(path + ".new*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A page torn in the middle of the file is found by Check, and never mended in silence.
func TestCheckFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	s := open(t, path)
	var keys []customer.KeySet
	for n := range 2000 {
		k := customer.KeySet{Node: customer.NodeID{byte(n), byte(n >> 8)}}
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

func script(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
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
