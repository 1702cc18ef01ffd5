package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
)

// stranger is another Kafka client, as customers use them.
func stranger(t testing.TB, brokers string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(strings.Split(brokers, ",")...)}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func produce(t testing.TB, c *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := c.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func values(ms []*event.Message) []string {
	var vs []string
	for _, m := range ms {
		vs = append(vs, string(m.Value))
	}
	return vs
}

func TestRoundTrip(t *testing.T) {
	c := client(t, cluster(t))
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := newTopic(t, c, 3, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	var kv []string
	for i := range 300 {
		kv = append(kv, fmt.Sprintf("k%d", i%17), fmt.Sprintf("v%d", i))
	}
	publish(t, p, topic, kv...)
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	next := map[int32]int64{}
	for _, m := range take(t, ch, 300) {
		if m.Offset != next[m.Partition] || m.Source != "shop" || m.Topic != topic || len(m.TopicID) != 32 || m.Epoch < 0 {
			t.Fatalf("expected offset %d of shop and %s with an id and an epoch, got %+v", next[m.Partition], topic, m)
		}
		next[m.Partition]++
	}
	until(t, s, "at the end with nothing in flight", func(states []kafka.PartitionState) bool {
		for _, st := range states {
			if st.InFlight != 0 || st.Queued != 0 || st.Next != st.HighWatermark || st.Err != nil || st.LastTime.IsZero() {
				return false
			}
		}
		return len(states) == 3
	})
}

func TestNullIsNotEmpty(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 1, nil)
	s := stranger(t, brokers)
	at := time.UnixMilli(1_700_000_000_123)
	produce(t, s,
		&kgo.Record{Topic: topic, Timestamp: at, Key: nil, Value: nil},
		&kgo.Record{Topic: topic, Timestamp: at, Key: []byte{}, Value: []byte{}},
		&kgo.Record{Topic: topic, Timestamp: at, Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{
			{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}},
		}},
	)
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	frame := <-ch
	if frame.Payload != nil || frame.UUID != fmt.Sprintf("shop/%s/0/0", topic) {
		t.Errorf("frame %+v", frame)
	}
	first := event.FromContext(frame.Context())
	frame.Ack()
	got := append([]*event.Message{first}, take(t, ch, 2)...)
	for i, want := range []event.Message{
		{Key: nil, Value: nil},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("k"), Value: []byte("v"), Headers: []event.Header{
			{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}},
		}},
	} {
		want.Source, want.Topic, want.TopicID, want.Epoch = "shop", topic, first.TopicID, first.Epoch
		want.Offset, want.Time = int64(i), at.UTC()
		if diff := cmp.Diff(&want, got[i]); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestCodecs(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			topic := newTopic(t, c, 1, nil)
			s := stranger(t, brokers, kgo.ProducerBatchCompression(codec))
			var want []string
			var records []*kgo.Record
			for i := range 1000 {
				v := fmt.Sprintf("%d %s", i, strings.Repeat("abc", i%300))
				want = append(want, v)
				records = append(records, &kgo.Record{Topic: topic, Value: []byte(v)})
			}
			for i := 0; i < len(records); i += 250 {
				produce(t, s, records[i:i+250]...)
			}
			_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
			if diff := cmp.Diff(want, values(take(t, ch, 1000))); diff != "" {
				t.Error(diff)
			}
			own := newTopic(t, c, 1, nil)
			publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{Compression: name}), own, "k", strings.Repeat("own ", 500))
			_, ch = subscribe(t, c, own, &positions{}, kafka.SubscriberOptions{})
			if got := values(take(t, ch, 1)); got[0] != strings.Repeat("own ", 500) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Two producers with transactions, commits and aborts mixed: neither an aborted record nor a marker is ever handed on, and
// the position passes behind both.
func TestTransactions(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 1, nil)
	txn := func(id string) *kgo.Client {
		return stranger(t, brokers, kgo.TransactionalID(topic+id), kgo.DefaultProduceTopic(topic))
	}
	a, b := txn("a"), txn("b")
	var want []string
	for i := range 12 {
		for _, p := range []*kgo.Client{a, b} {
			if err := p.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
		}
		produce(t, a, kgo.StringRecord(fmt.Sprintf("a%d", i)))
		produce(t, b, kgo.StringRecord(fmt.Sprintf("b%d", i)))
		produce(t, a, kgo.StringRecord(fmt.Sprintf("A%d", i)))
		commitA, commitB := i%2 == 0, i%3 == 0
		if err := errors.Join(b.EndTransaction(t.Context(), kgo.TransactionEndTry(commitB)),
			a.EndTransaction(t.Context(), kgo.TransactionEndTry(commitA))); err != nil {
			t.Fatal(err)
		}
		if commitA {
			want = append(want, fmt.Sprintf("a%d", i))
		}
		if commitB {
			want = append(want, fmt.Sprintf("b%d", i))
		}
		if commitA {
			want = append(want, fmt.Sprintf("A%d", i))
		}
	}
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	if diff := cmp.Diff(want, values(take(t, ch, len(want)))); diff != "" {
		t.Error(diff)
	}
	states := until(t, s, "at the end", func(st []kafka.PartitionState) bool { return st[0].Next == st[0].HighWatermark })
	if states[0].Next != 12*5 {
		t.Errorf("12 rounds of 3 records and 2 markers end at 60, got %d", states[0].Next)
	}

	if err := a.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, a, kgo.StringRecord("open"))
	produce(t, stranger(t, brokers, kgo.DefaultProduceTopic(topic)), kgo.StringRecord("behind it"))
	until(t, s, "held at the open transaction", func(st []kafka.PartitionState) bool {
		return st[0].LastStable == 60 && st[0].HighWatermark == 62 && st[0].Next == 60
	})
	quiet(t, ch, 50*time.Millisecond)
	if err := a.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"open", "behind it"}, values(take(t, ch, 2))); diff != "" {
		t.Error(diff)
	}
}

// The position passes the markers of transactions and what was aborted, also where no record follows: what is recorded is the
// end of the log, and reading resumes there without alarm.
func TestPositionPassesMarkers(t *testing.T) {
	t.Parallel()
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 1, nil)
	txn := stranger(t, brokers, kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	pos := &positions{}
	reach := func(s *kafka.Subscriber, ch <-chan *message.Message, end int64) (got []string) {
		t.Helper()
		for timeout := time.After(patience); pos.at(0).Next < end; {
			select {
			case frame := <-ch:
				m := event.FromContext(frame.Context())
				if pos.record(m); !m.Blank {
					got = append(got, string(m.Value))
				}
				frame.Ack()
			case <-timeout:
				t.Fatalf("recorded %+v, the log ends at %d", pos.at(0), end)
			}
		}
		until(t, s, "at the end", func(st []kafka.PartitionState) bool {
			return st[0].Next == end && st[0].HighWatermark == end && st[0].InFlight+st[0].Queued == 0 && st[0].Halted == ""
		})
		return got
	}
	s, ch := subscribe(t, c, topic, pos, kafka.SubscriberOptions{})
	end := int64(0)
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, txn, kgo.StringRecord(fmt.Sprint("a", i)), kgo.StringRecord(fmt.Sprint("b", i)))
		if err := txn.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
		end += 3 // two records and a marker
		var want []string
		if commit == kgo.TryCommit {
			want = []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
		}
		if diff := cmp.Diff(want, reach(s, ch, end)); diff != "" {
			t.Error(diff)
		}
		if i%2 == 0 { // and it is a place to resume at
			_ = s.Close()
			s, ch = subscribe(t, c, topic, pos, kafka.SubscriberOptions{})
		}
	}
	quiet(t, ch, 50*time.Millisecond)
	until(t, s, "at the end", func(st []kafka.PartitionState) bool {
		return st[0].Next == end && st[0].HighWatermark == end && st[0].Err == nil
	})
}

// What a slow reader has not taken yet is not forgotten for answers that bring nothing: the position passes what was aborted at
// the end of the log also where that waits behind records.
func TestPositionPassesMarkersBehindASlowReader(t *testing.T) {
	t.Parallel()
	none := kgo.NoCompression()
	for _, tc := range []struct {
		name string
		more []byte // after answers that bring nothing
		want []string
		end  int64
	}{
		{"at the end", nil, []string{"a", "b", "c", "d"}, 7},
		{"and others behind it", batch(7, 8, none, "e"), []string{"a", "b", "c", "d", "e"}, 9},
		{"and no others, but more of it", batch(7, 8, none), []string{"a", "b", "c", "d"}, 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			k, addr := staged(t)
			asked := answers(k, records(batch(0, 3, none, "a", "b", "c", "d")...), records(batch(4, 6, none)...),
				records(), records(), records(tc.more...))
			pos := &positions{}
			s, ch := subscribe(t, client(t, addr), "t", pos, kafka.SubscriberOptions{MaxInFlight: 1})
			frame := <-ch // and the others wait
			for deadline := time.Now().Add(patience); asked.Load() < 7; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("asked %d times", asked.Load())
				}
			}
			var got []string
			for timeout := time.After(patience); ; {
				m := event.FromContext(frame.Context())
				if pos.record(m); !m.Blank {
					got = append(got, string(m.Value))
				}
				if frame.Ack(); pos.at(0).Next == tc.end {
					break
				}
				select {
				case frame = <-ch:
				case <-timeout:
					t.Fatalf("recorded %+v, the log is read up to %d: %+v", pos.at(0), tc.end, s.State())
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			quiet(t, ch, 20*time.Millisecond)
		})
	}
}

func TestWindow(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic,
		"k", "0", "k", "1", "k", "2", "k", "3", "k", "4", "k", strings.Repeat("5", 2000), "k", "6")
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{MaxInFlight: 3, MaxInFlightBytes: 1000})
	first, second, third := <-ch, <-ch, <-ch
	quiet(t, ch, 30*time.Millisecond)
	second.Ack()
	quiet(t, ch, 30*time.Millisecond) // the oldest still stands
	if st := s.State(); st[0].InFlight != 3 {
		t.Errorf("in flight: %+v", st)
	}
	first.Ack()
	fourth, fifth := <-ch, <-ch
	<-first.Context().Done()
	third.Ack()
	quiet(t, ch, 30*time.Millisecond) // the sixth has too many bytes beside others
	fourth.Ack()
	fifth.Ack()
	sixth := <-ch
	quiet(t, ch, 30*time.Millisecond)
	sixth.Ack()
	if got := take(t, ch, 1); string(got[0].Value) != "6" {
		t.Errorf("got %s", got[0].Value)
	}
}

func TestNack(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", "0", "k", "1", "k", "2", "k", "3")
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	frames := []*message.Message{<-ch, <-ch, <-ch, <-ch}
	frames[0].Ack()
	frames[2].Ack()
	frames[1].Nack()
	<-frames[3].Context().Done() // handed on before, now void
	if diff := cmp.Diff([]string{"1", "3"}, values(take(t, ch, 2))); diff != "" {
		t.Error("again from the oldest that is not acknowledged, without what was:", diff)
	}
	frames[3].Ack() // of no effect
	quiet(t, ch, 50*time.Millisecond)
}

func TestResume(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 2, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	var kv []string
	for i := range 100 {
		kv = append(kv, fmt.Sprint(i), fmt.Sprint(i))
	}
	publish(t, p, topic, kv...)
	pos := &positions{}
	seen := map[string]int{}
	for range 10 {
		s, ch := subscribe(t, c, topic, pos, kafka.SubscriberOptions{})
		for _, m := range take(t, ch, 10) {
			seen[string(m.Value)]++
			pos.record(m)
		}
		_ = s.Close()
	}
	for i := range 100 {
		if seen[fmt.Sprint(i)] != 1 {
			t.Fatalf("%d seen %d times", i, seen[fmt.Sprint(i)])
		}
	}
}

// A paused source is not read, whenever it was paused; how much waits is told, others go on, and nothing is lost or doubled.
func TestPause(t *testing.T) {
	c := client(t, cluster(t))
	shop, bank := newTopic(t, c, 2, nil), newTopic(t, c, 1, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	s := kafka.NewSubscriber(c, &positions{}, map[string]string{shop: "shop", bank: "bank"}, kafka.SubscriberOptions{Log: logger()})
	t.Cleanup(func() { _ = s.Close() })
	waiting := func(n int64) func([]kafka.PartitionState) bool {
		return func(states []kafka.PartitionState) bool {
			var end int64
			for _, st := range states {
				if st.Source == "shop" && st.Paused {
					end += st.HighWatermark
				}
			}
			return end == n
		}
	}
	publish(t, p, shop, "a", "1", "b", "2", "c", "3")
	s.Pause("shop")
	ch, err := s.Subscribe(context.Background(), shop)
	if err != nil {
		t.Fatal(err)
	}
	others, err := s.Subscribe(context.Background(), bank)
	if err != nil {
		t.Fatal(err)
	}
	until(t, s, "told that three wait", waiting(3))
	publish(t, p, bank, "a", "1")
	take(t, others, 1)
	quiet(t, ch, 100*time.Millisecond)
	s.Resume("shop")
	take(t, ch, 3)
	until(t, s, "running", func(states []kafka.PartitionState) bool { return !states[1].Paused && !states[2].Paused })

	s.Pause("shop")
	publish(t, p, shop, "a", "4", "b", "5", "c", "6")
	quiet(t, ch, 100*time.Millisecond)
	until(t, s, "told that six are there", waiting(6))
	quiet(t, ch, 10*time.Millisecond)
	s.Resume("shop")
	got := values(take(t, ch, 3))
	slices.Sort(got)
	if d := cmp.Diff([]string{"4", "5", "6"}, got); d != "" {
		t.Error(d)
	}
	quiet(t, ch, 50*time.Millisecond)
}

// What was handed on when its source was paused ends as it would, also badly: then it comes again, after the pause.
func TestPauseLetsEndWhatWasHandedOn(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "a", "1", "a", "2", "a", "3")
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{MaxInFlight: 2})
	one, two := <-ch, <-ch
	s.Pause("shop")
	one.Ack()
	until(t, s, "acknowledged", func(states []kafka.PartitionState) bool { return states[0].InFlight == 1 })
	two.Nack()
	until(t, s, "put back", func(states []kafka.PartitionState) bool { return states[0].InFlight == 0 && states[0].Queued == 2 })
	quiet(t, ch, 200*time.Millisecond)
	s.Resume("shop")
	if d := cmp.Diff([]string{"2", "3"}, values(take(t, ch, 2))); d != "" {
		t.Error(d)
	}
}

func TestMissingTopicIsWaitedFor(t *testing.T) {
	c := client(t, cluster(t))
	topic := fmt.Sprintf("later-%d", time.Now().UnixNano())
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{Refresh: 50 * time.Millisecond})
	states := until(t, s, "waiting", func(st []kafka.PartitionState) bool { return st[0].Err != nil })
	if states[0].Partition.Partition != -1 || !strings.Contains(states[0].Err.Error(), "no such topic") {
		t.Errorf("got %+v", states)
	}
	if err := c.EnsureTopic(t.Context(), topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", "v")
	take(t, ch, 1)
}

func TestPartitionsAdded(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 1, nil)
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{Refresh: 50 * time.Millisecond})
	until(t, s, "read", func(st []kafka.PartitionState) bool { return st[0].HighWatermark == 0 })
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, 3
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 5000
	other := stranger(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if _, err := req.RequestWith(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	until(t, s, "three partitions", func(st []kafka.PartitionState) bool { return len(st) == 3 })
	produce(t, other, &kgo.Record{Topic: topic, Partition: 2, Value: []byte("new")})
	if got := take(t, ch, 1); got[0].Partition != 2 {
		t.Errorf("got %s", got[0].ID())
	}
}

func TestClose(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 2, nil)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", "0", "k", "1")
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	m := <-ch
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	<-m.Context().Done()
	if _, open := <-ch; open {
		t.Error("a message after Close")
	}
	if _, err := s.Subscribe(t.Context(), topic); err == nil {
		t.Error("a closed subscriber subscribes")
	}
	s2 := kafka.NewSubscriber(c, &positions{}, map[string]string{topic: "shop"}, kafka.SubscriberOptions{})
	if _, err := s2.Subscribe(t.Context(), "unknown"); err == nil {
		t.Error("a topic of no source is subscribed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := s2.Subscribe(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range ch { // until closed
	}
	if got := s2.State(); len(got) != 0 {
		t.Errorf("state after the end: %+v", got)
	}
}

func TestLargeMessage(t *testing.T) {
	if brokers := cluster(t); len(brokers) > 0 {
		c := client(t, brokers)
		topic := newTopic(t, c, 1, map[string]string{"max.message.bytes": "12582912"})
		s := stranger(t, brokers, kgo.ProducerBatchMaxBytes(12<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
		produce(t, s, &kgo.Record{Topic: topic, Value: make([]byte, 10<<20)}, &kgo.Record{Topic: topic, Value: []byte("next")})
		_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
		got := take(t, ch, 2)
		if len(got[0].Value) != 10<<20 || string(got[1].Value) != "next" {
			t.Errorf("got %d and %d bytes", len(got[0].Value), len(got[1].Value))
		}
	}
}
