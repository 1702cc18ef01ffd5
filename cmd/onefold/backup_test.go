package main

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // the driver: a second program that opens the store, as an operator's sqlite3 does

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/pipeline/kafka"
)

// A backup that is made while the service takes messages in, restored into an empty folder after a disaster that left nothing: messages that
// came later are read again from the log in it, and in the end there is what an undisturbed run has.
func TestBackupWhileRunning(t *testing.T) {
	const events = 2_000
	for _, name := range []string{"backup", "backup.tar"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			filled := spawn(t, configured(t, dir, ""))
			file := configured(t, dir, fill(t, filled.Broker, "", events))
			filled.end()

			in := spawn(t, file)
			eventually(t, time.Minute, "a part has taken effect", func() bool {
				done, left := in.progress(t)
				return done > 0 && left > 0
			})
			to := filepath.Join(dir, name)
			if out, errs, code := typed(t, "", "backup", "--config", file, "--to", to); code != 0 || !strings.Contains(out, "taken up to") {
				t.Fatal(code, out, errs)
			}
			_, left := in.progress(t)
			want := in.export(t, events)
			sound(t, file)
			in.kill() // what comes next is a disaster
			if left == 0 {
				t.Fatal("the copy was made when all was done: the test shows nothing")
			}
			if _, errs, code := typed(t, "", "restore", "--config", file, "--from", to); code != exitEnvironment || !strings.Contains(errs, "is not empty") {
				t.Error(code, errs)
			}
			if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
			if out, errs, code := typed(t, "", "restore", "--config", file, "--from", to); code != 0 {
				t.Fatal(code, out, errs)
			}
			sound(t, file)
			restored := spawn(t, file)
			hold(t, want, restored.export(t, events))
			restored.end()
			sound(t, file)
		})
	}
}

// sound holds an installation against onefold check.
func sound(t *testing.T, file string) {
	t.Helper()
	if out, errs, code := typed(t, "", "check", "--config", file); code != 0 {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}

// A damaged backup is refused, with what is lost; what it lacks is found without restoring it.
func TestDamagedBackup(t *testing.T) {
	dir := t.TempDir()
	file := configured(t, dir, shopOnly)
	in := serve(t, file)
	produce(t, in.Broker, ana(1, "ana@example.com"))
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	to := filepath.Join(dir, "backup")
	if _, errs, code := typed(t, "", "backup", "--config", file, "--to", to); code != 0 {
		t.Fatal(errs)
	}
	if _, errs, code := typed(t, "", "backup", "--config", file, "--to", to); code != exitConfig || !strings.Contains(errs, "already") {
		t.Error(code, errs)
	}
	if _, errs, code := typed(t, "", "check", "--backup", to); code != 0 {
		t.Error(code, errs)
	}
	in.end()
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(to, "broker", "partitions", "shop-eu*", "*.dat"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, c := range []struct {
		name, path, says string
		harm             func(b []byte) []byte
	}{
		{"a bit of the store", filepath.Join(to, "onefold.db"), "its content is another than was written", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		{"the store is short", filepath.Join(to, "onefold.db"), "The store is lost with it", func(b []byte) []byte { return b[:len(b)-4096] }},
		{"a log is short", logs[0], "The store is whole; messages of these partitions", func(b []byte) []byte { return b[:len(b)-1] }},
		{"no manifest", filepath.Join(to, "manifest.json"), "no backup of Onefold", func([]byte) []byte { return []byte("{") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			good, err := os.ReadFile(c.path)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(c.path, good, 0o600)
			if err := os.WriteFile(c.path, c.harm(slices.Clone(good)), 0o600); err != nil {
				t.Fatal(err)
			}
			_, errs, code := typed(t, "", "restore", "--config", file, "--from", to)
			if code != exitEnvironment || !strings.Contains(errs, c.says) {
				t.Errorf("%d: %s", code, errs)
			}
			if left, err := os.ReadDir(filepath.Join(dir, "data")); err == nil && len(left) > 0 {
				t.Error("the data folder holds", left)
			}
			if _, errs, code := typed(t, "", "check", "--backup", to); code != exitFindings && code != exitEnvironment ||
				strings.Contains(errs, "stop the service") { // nothing is wrong with the service
				t.Error(code, errs)
			}
		})
	}
}

// What does not hold is found, in a store and in a log, and nothing is changed by looking.
func TestCheckFinds(t *testing.T) {
	dir := t.TempDir()
	file := configured(t, dir, shopOnly)
	in := serve(t, file)
	produce(t, in.Broker, ana(1, "ana@example.com"), ana(2, "bo@example.com"))
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "bo@example.com")) == 1 })
	in.end()
	store := filepath.Join(dir, "data", "onefold.db")
	good, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	for says, statement := range map[string]string{
		"belongs to a customer that is not there":       "DELETE FROM customer",
		"the counts are not those of the rows":          "UPDATE tally SET records = 7",
		"names a version that is not there":             "INSERT INTO outbox (customer, version) SELECT id, 99 FROM customer",
		"a customer cannot be read":                     "UPDATE customer SET body = x'00'",
		"speaks of other records than belong to it":     "UPDATE member SET live = 0",
		"the position 99 is ahead of the log":           "UPDATE position SET next = 99",
		"the embedded broker has no such partition":     "UPDATE position SET topic = 'other'",
		"the key that ids are made with is missing":     "DELETE FROM meta",
		"a live record has no content":                  "DELETE FROM record",
		"a key is held by a node that does not know it": "DELETE FROM held",
	} {
		if err := os.WriteFile(store, good, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: store}).EscapedPath())
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.ExecContext(t.Context(), statement)
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(store)
		out, errs, code := typed(t, "", "check", "--config", file, "-o", "json")
		if code != exitFindings || !strings.Contains(out, says) {
			t.Errorf("%s: %d %s %s", says, code, out, errs)
		}
		if after, _ := os.ReadFile(store); !slices.Equal(before, after) {
			t.Error(says, "the file was changed")
		}
	}
}

// The whole data folder of a stopped service, copied elsewhere, is that service: store and embedded broker go on where they stood.
func TestBackupOfAStoppedService(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	in := spawn(t, configured(t, here, shopOnly))
	produce(t, in.Broker, ana(1, "ana@example.com"))
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	want := in.ask(t, "customer", "export", "--canonical")
	in.end()
	if err := os.CopyFS(there, os.DirFS(here)); err != nil {
		t.Fatal(err)
	}

	moved := spawn(t, configured(t, there, shopOnly))
	hold(t, want, moved.ask(t, "customer", "export", "--canonical"))
	produce(t, moved.Broker, ana(2, "bea@example.com"))
	eventually(t, 20*time.Second, "a message that comes later has its effect", func() bool { return len(moved.find(t, "bea@example.com")) == 1 })
	if src := moved.source(t); len(src.Partitions) == 0 || src.Partitions[0].Halted != "" {
		t.Errorf("%+v", src)
	}
}

// After a restore the topic of customers says what the store says: ids that nobody knows any more are taken back, and everybody leaves once
// more.
func TestPublishAll(t *testing.T) {
	in := serve(t, configured(t, t.TempDir(), shopOnly))
	produce(t, in.Broker, ana(1, "ana@example.com"))
	eventually(t, 20*time.Second, "the customer is published", func() bool { return len(published(t, in.Broker, "onefold.customers")) == 1 })
	id := in.find(t, "ana@example.com")[0].ID.String()
	stranger := customer.CustomerID{1, 2, 3}.String()
	on := func(key string) int32 { return int32(kafka.PartitionOf([]byte(key), kafka.DefaultPartitions)) } // where we write it, too
	placed(t, in.Broker,
		&kgo.Record{Topic: "onefold.customers", Partition: on(stranger), Key: []byte(stranger), Value: []byte(`{"id":"` + stranger + `"}`)},
		&kgo.Record{Topic: "onefold.customers", Partition: on(id), Key: []byte(id), Value: []byte(`{"id":"` + id + `","version":99}`)})
	if out := in.ask(t, "customer", "publish", "--all"); !strings.Contains(out, "1 customers, aliases and tombstones leave once more, 1 unknown ids") {
		t.Error(out)
	}
	eventually(t, 20*time.Second, "the topic says what the store says", func() bool {
		all := published(t, in.Broker, "onefold.customers")
		return len(all) == 1 && strings.Contains(string(all[id]), "Silva")
	})
	if _, errs, code := typed(t, "", "customer", "publish", "--server", in.API); code != exitConfig {
		t.Error(code, errs)
	}
}
