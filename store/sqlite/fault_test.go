package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/sqlite"
)

// TestMain lets the test program be the other process, too.
func TestMain(m *testing.M) {
	if path := os.Getenv("ONEFOLD_TEST_CHILD"); path != "" {
		does := child
		if os.Getenv("ONEFOLD_TEST_ERASE") != "" {
			does = eraser
		}
		if err := does(context.Background(), path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child commits groups until it is killed, and says after each how far it is.
func child(ctx context.Context, path string) error {
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	pos, err := s.Claim(ctx, "shop", "t", []int32{0})
	if err != nil {
		return err
	}
	p := pos[0]
	for {
		expect := p.Next
		p.Next = max(0, p.Next) + 1
		if err := s.Update(ctx, func(tx customer.Tx) error {
			if err := tx.Advance(ctx, []event.Advance{{Position: p, Expect: expect}}); err != nil {
				return err
			}
			return tx.Apply(ctx, effect(p.Next))
		}); err != nil {
			return err
		}
		fmt.Println(p.Next) // the parent reads it
	}
}

// eraser erases one person, begins to sweep, says so and waits to be killed.
func eraser(ctx context.Context, path string) error {
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	d := erased(crowd([]int{0}, 1, func(int) int { return 1 }), 4)
	if err := s.Update(ctx, func(tx customer.Tx) error { return tx.Apply(ctx, &d) }); err != nil {
		return err
	}
	if more, err := s.Maintain(ctx); !more || err != nil {
		return fmt.Errorf("the first go does everything: %w", err)
	}
	fmt.Println("begun") // the parent reads it
	<-ctx.Done()         // never
	return nil
}

// effect is what one message does: it adds a record, and changes the first one.
func effect(n int64) *customer.Delta {
	d := &customer.Delta{}
	for _, key := range []int64{0, n} {
		var id customer.RecordID
		binary.BigEndian.PutUint64(id[:], uint64(key)) //nolint:gosec // not negative
		d.Records = append(d.Records, &customer.Record{ID: id, Source: "shop", Key: strings.Repeat("k", 500), Revision: n})
		d.Customers = append(d.Customers, &customer.Customer{ID: id.Birth(0), Version: n, Status: customer.Active})
		d.Keys = append(d.Keys, customer.KeySet{Node: customer.NodeID(id), Keys: []customer.Key{{Type: "k", Hash: uint64(n) * 0x9e3779b97f4a7c15}}}) //nolint:gosec // not negative
		d.Members = append(d.Members, customer.Membership{Record: id, Component: id, Customer: id.Birth(0), Live: true, Node: customer.NodeID(id)})
	}
	return d
}

func start(t *testing.T, path string, more ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(append(os.Environ(), "ONEFOLD_TEST_CHILD="+path), more...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out)
}

// F1, F19: while one process works no other gets in; when it is killed, what it said is done is there, once, together with its position.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onefold.db")
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		c, out := start(t, path)
		said := int64(0)
		for i := 0; i < 20 && out.Scan(); i++ {
			said, _ = strconv.ParseInt(out.Text(), 10, 64)
		}
		if s, err := sqlite.Open(t.Context(), path); err == nil {
			_ = s.Close()
			t.Error("a second process opens the store")
		} else if want := "process " + strconv.Itoa(c.Process.Pid) + " is using it"; !errors.Is(err, sqlite.ErrInUse) || !strings.Contains(err.Error(), want) {
			t.Errorf("the second process is not told %q: %v", want, err)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // killed, as it says
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		consistent(t, s, said)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// consistent checks that each effect up to the position is there once, and none beyond it.
func consistent(t *testing.T, s *sqlite.Store, said int64) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	pos, err := s.Positions(t.Context())
	if err != nil || len(pos) != 1 || pos[0].Next < said {
		t.Fatalf("the position is %+v, and %d was said to be done: %v", pos, said, err)
	}
	c, err := s.Counts(t.Context())
	if err != nil || c.Records != pos[0].Next+1 || c.Outbox != 2*pos[0].Next {
		t.Errorf("at position %d there are %+v: %v", pos[0].Next, c, err)
	}
	err = s.View(t.Context(), func(v customer.View) error {
		r, err := v.Records(t.Context(), []customer.RecordID{{}})
		if err == nil && r[0].Revision != pos[0].Next {
			t.Errorf("at position %d the record is at %d", pos[0].Next, r[0].Revision)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

const secret = "Xaverius-Geheim"

// people makes records, customers and interactions that hold the secret, each in a form of its own.
func people(from, n int, version int64) customer.Delta {
	d := customer.Delta{}
	for i := from; i < from+n; i++ {
		id := customer.RecordID{byte(i * 37), byte(i >> 3), byte(i), byte(i >> 8), 1}
		v := customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: "1"}}
		text := customer.Text(fmt.Sprintf("%s %d %s", secret, i, strings.Repeat("x", i%300)))
		d.Records = append(d.Records, &customer.Record{ID: id, Source: "shop", Key: secret, Scopes: []customer.Scope{{
			Name: "sequence:", Head: v, Cells: []customer.Cell{{Path: customer.Path{Name: "fullName"}, State: customer.Set, Value: text, Version: v}},
		}}})
		d.Members = append(d.Members, customer.Membership{Record: id, Component: id, Customer: id.Birth(0), Live: true})
		d.Customers = append(d.Customers, &customer.Customer{
			ID: id.Birth(0), Version: version, Status: customer.Active,
			Attributes: []customer.Attribute{{Path: customer.Path{Name: "fullName"}, Claim: customer.Claim{Value: text}}},
		})
		d.Interactions = append(d.Interactions, &customer.Interaction{
			ID: customer.InteractionID(id), Type: "order", Title: secret, Parties: []customer.Party{{Role: "customer", Record: id}},
		})
	}
	return d
}

func erased(d customer.Delta, version int64) customer.Delta {
	out := customer.Delta{}
	for i := range d.Records {
		out.Records = append(out.Records, &customer.Record{ID: d.Records[i].ID, Source: "shop", Scopes: []customer.Scope{{
			Name: "sequence:", Erased: customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: "2"}},
		}}})
		out.Erased = append(out.Erased, d.Records[i].ID)
		m := d.Members[i]
		m.Live = false
		out.Members = append(out.Members, m)
		out.Customers = append(out.Customers, &customer.Customer{ID: d.Customers[i].ID, Version: version, Status: customer.Erased})
		out.Interactions = append(out.Interactions, &customer.Interaction{ID: d.Interactions[i].ID})
	}
	return out
}

func commit(t *testing.T, s *sqlite.Store, d customer.Delta) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) }); err != nil {
		t.Fatal(err)
	}
}

// found counts the secret in every file of the store's folder.
func found(t *testing.T, path string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(path), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		n += bytes.Count(b, []byte(secret))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// F17: on a full disk new work is refused with the reason, what was committed can be read, nothing is damaged, and it goes on when there
// is room again.
func TestFullDisk(t *testing.T) {
	folder := t.TempDir()
	if runtime.GOOS != "linux" || syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=1m") != nil {
		t.Skip("a small file system cannot be mounted here: it takes Linux and root")
	}
	t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
	ballast := filepath.Join(folder, "ballast")
	write(t, ballast, strings.Repeat("x", 300<<10))
	path := filepath.Join(folder, "onefold.db")
	s := open(t, path)
	var err error
	done := 0
	for ; err == nil && done < 1_000; done++ {
		d := people(done*10, 10, 1)
		err = s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) })
	}
	if !errors.Is(err, sqlite.ErrFull) || !strings.Contains(err.Error(), "make room") {
		t.Fatalf("after %d groups: %v", done, err)
	}
	c, err := s.Counts(t.Context())
	if err != nil || c.Records != int64(done-1)*10 {
		t.Errorf("after %d groups there are %+v: %v", done-1, c, err)
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(folder, "another", "onefold.db")); !errors.Is(err, sqlite.ErrFull) {
		t.Errorf("a new store on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	commit(t, s, people(done*10, 10, 1))
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whoever waits for the writer stops waiting when its context does.
func TestCancelledWhileWaiting(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "onefold.db"))
	err := s.Update(t.Context(), func(customer.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := s.Claim(ctx, "shop", "t", []int32{0}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Claim: %v", err)
		}
		if err := s.Update(ctx, func(customer.Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Update: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A body that was damaged is told as such or read as something else, but never ends the process or costs memory without bound.
func FuzzBody(f *testing.F) {
	path := filepath.Join(f.TempDir(), "onefold.db")
	s, err := sqlite.Open(f.Context(), path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	d := people(0, 1, 1)
	if err := s.Update(f.Context(), func(tx customer.Tx) error { return tx.Apply(f.Context(), &d) }); err != nil {
		f.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	for _, table := range []string{"record", "customer", "interaction"} {
		var body []byte
		if err := db.QueryRowContext(f.Context(), "SELECT body FROM "+table).Scan(&body); err != nil {
			f.Fatal(err)
		}
		for i := range body {
			f.Add(body[:i])
			f.Add(append(append(bytes.Clone(body[:i]), 0xff), body[i+1:]...))
		}
		f.Add(append(body, 0))
		f.Add(append([]byte{2}, body[1:]...)) // the form of a record that its source has erased
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, table := range []string{"record", "customer", "interaction"} {
			if _, err := db.ExecContext(t.Context(), "UPDATE "+table+" SET body = ?", append([]byte{}, body...)); err != nil {
				t.Fatal(err)
			}
		}
		err := s.View(t.Context(), func(v customer.View) error {
			_, err := v.Records(t.Context(), []customer.RecordID{d.Records[0].ID})
			_, err2 := v.Customers(t.Context(), []customer.CustomerID{d.Customers[0].ID})
			_, err3 := v.Interactions(t.Context(), []customer.InteractionID{d.Interactions[0].ID})
			return errors.Join(err, err2, err3)
		})
		if err != nil && !errors.Is(err, sqlite.ErrDamaged) {
			t.Error(err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Error("the error says what is in the row")
		}
	})
}
