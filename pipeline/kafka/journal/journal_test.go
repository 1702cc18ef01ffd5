package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/pipeline/kafka/journal"
)

func broker(t *testing.T, dir string) *kafka.Broker {
	t.Helper()
	b, err := kafka.StartBroker(t.Context(), kafka.BrokerConfig{Listen: "127.0.0.1:0", Dir: dir, Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// topic makes a topic as the service does, which the broker writes down at once.
func topic(t *testing.T, b *kafka.Broker, name string) {
	t.Helper()
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.EnsureTopic(t.Context(), name, 2, nil); err != nil {
		t.Fatal(err)
	}
}

func client(t *testing.T, b *kafka.Broker, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ends(t *testing.T, dir string) (sum int64, all []journal.Extent) {
	t.Helper()
	all, err := journal.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		sum += e.End - e.Start
	}
	return sum, all
}

// A log that is copied while it is written has all that was acknowledged before, ends with a whole batch, and a broker goes on from it.
func TestCopyWhileWritten(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	b := broker(t, dir)
	topic(t, b, "a.b-c")
	c := client(t, b)
	send := func(n int) {
		for i := range n {
			c.Produce(t.Context(), &kgo.Record{Topic: "a.b-c", Key: fmt.Append(nil, i), Value: make([]byte, 500)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	send(500)
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			send(50)
		}
	})
	err := journal.Copy(t.Context(), dir, to)
	stop()
	writing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	copied, all := ends(t, to)
	if copied < 500 {
		t.Errorf("the copy has %d records", copied)
	}
	for _, e := range all {
		if e.Damage != "" || len(e.TopicID) != 32 {
			t.Errorf("%+v", e)
		}
	}
	c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if whole, _ := ends(t, dir); whole < copied {
		t.Errorf("the copy has %d records, the log %d", copied, whole)
	}

	again := broker(t, to)
	r := client(t, again, kgo.ConsumeTopics("a.b-c"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for got := int64(0); got < copied; got += int64(r.PollFetches(t.Context()).NumRecords()) {
		if t.Context().Err() != nil {
			t.Fatal(got)
		}
	}
}

// What a broker that was killed has left behind, a batch that is not whole and bytes that changed, is told and not copied.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	b := broker(t, dir)
	topic(t, b, "t")
	c := client(t, b)
	for i := range 3 {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Partition: 0, Key: []byte("k"), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, good := ends(t, dir)
	files, err := filepath.Glob(filepath.Join(dir, "partitions", "*", "*.dat"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string][]byte{
		"cut":     raw[:len(raw)-1],
		"changed": append(raw[:len(raw)-1:len(raw)-1], raw[len(raw)-1]^1),
		"more":    append(raw[:len(raw):len(raw)], make([]byte, 100)...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(files[0], bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(t.TempDir(), "copy")
			if err := journal.Copy(t.Context(), dir, to); err != nil {
				t.Fatal(err)
			}
			want := 2
			if name == "more" {
				want = 3
			}
			_, here := ends(t, dir)
			n, there := ends(t, to)
			if n != int64(want) || !cmp.Equal(here, there, cmpopts.IgnoreFields(journal.Extent{}, "Damage", "End")) {
				t.Errorf("%d records\n%+v\n%+v\n%+v", n, good, here, there)
			}
			damaged := 0
			for i := range here {
				if there[i].Damage != "" {
					t.Errorf("%+v", there[i])
				}
				if here[i].Damage != "" {
					damaged++
				}
			}
			if damaged != 1 {
				t.Errorf("%+v", here)
			}
		})
	}
}

// Where there is no log there is nothing to read.
func TestNoLog(t *testing.T) {
	if all, err := journal.Read(t.TempDir()); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
}

// Whatever the bytes of a segment are, reading them ends, and only what is whole counts.
func FuzzRead(f *testing.F) {
	f.Add([]byte("x"))
	f.Add(make([]byte, 200))
	f.Fuzz(func(t *testing.T, segment []byte) {
		dir := t.TempDir()
		p := filepath.Join(dir, "partitions", "t-0")
		if err := os.MkdirAll(p, 0o700); err != nil {
			t.Fatal(err)
		}
		topics := `{"version":1,"topics":[{"name":"t","id":"AAAAAAAAAAAAAAAAAAAAAA==","partitions":1}]}`
		if err := os.WriteFile(filepath.Join(dir, "topics.json"), []byte(topics), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p, "0.dat"), segment, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := journal.Read(dir)
		if err != nil || len(all) != 1 || all[0].End == 0 && len(segment) > 0 && all[0].Damage == "" {
			t.Errorf("%+v %v", all, err)
		}
	})
}
