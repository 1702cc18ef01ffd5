package kafka_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
)

func newBuffer() *bytes.Buffer { return new(bytes.Buffer) }

func TestPublishedRecord(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	at := time.UnixMilli(1_700_000_000_000)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{Now: func() time.Time { return at }})
	full := message.NewMessage("uuid-1", []byte("v"))
	full.Metadata = message.Metadata{kafka.KeyMetadata: "k", "b": "2", "a": "1"}
	gone := message.NewMessage("uuid-2", nil)
	gone.Metadata = message.Metadata{kafka.KeyMetadata: "", kafka.TombstoneMetadata: "true", kafka.IDHeader: "own"}
	empty := message.NewMessage("uuid-3", nil)
	if err := p.Publish(topic, full, gone, empty); err != nil {
		t.Fatal(err)
	}
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	got := take(t, ch, 3)
	id := func(v string) event.Header { return event.Header{Key: kafka.IDHeader, Value: []byte(v)} }
	want := []event.Message{
		{Key: []byte("k"), Value: []byte("v"), Headers: []event.Header{
			id("uuid-1"), {Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")},
		}},
		{Key: []byte{}, Value: nil, Headers: []event.Header{id("own")}},
		{Key: nil, Value: []byte{}, Headers: []event.Header{id("uuid-3")}},
	}
	for i := range want {
		want[i].Source, want[i].Topic, want[i].TopicID, want[i].Epoch = "shop", topic, got[i].TopicID, got[i].Epoch
		want[i].Offset, want[i].Time = int64(i), at.UTC()
		if diff := cmp.Diff(&want[i], got[i]); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(topic, full); err == nil {
		t.Error("a closed publisher publishes")
	}
}

// What is sent is what is read: key, value, headers and time, null apart from empty, nothing added, in the order given.
func TestSentRecord(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	now := time.UnixMilli(1_700_000_000_000).UTC()
	p := kafka.NewPublisher(c, kafka.PublisherOptions{Now: func() time.Time { return now }})
	sent := []*event.Message{
		{Key: []byte("k"), Value: []byte("v"), Time: now.Add(-time.Hour), Headers: []event.Header{
			{Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte{0, 0xff}}, {Key: "b", Value: nil}, {Key: "", Value: []byte{}},
		}},
		{Key: []byte{}, Value: nil, Time: now.Add(-2 * time.Hour)}, // older than the record before it
		{Key: nil, Value: []byte{}},
		{Key: []byte{0, 0xff}, Value: []byte("after midnight"), Time: now.Add(time.Minute + 999*time.Microsecond).In(time.FixedZone("", 3600))},
	}
	if err := errors.Join(p.Send(t.Context(), topic), p.Send(t.Context(), topic, sent...)); err != nil {
		t.Fatal(err)
	}
	times := []time.Time{now.Add(-time.Hour), now.Add(-2 * time.Hour), now, now.Add(time.Minute)}
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	for i, got := range take(t, ch, len(sent)) {
		want := *sent[i]
		want.Source, want.Topic, want.TopicID, want.Epoch, want.Offset, want.Time = "shop", topic, got.TopicID, got.Epoch, int64(i), times[i]
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
	}
}

// A frame brings its record's time as metadata; one that is none is refused before anything is written.
func TestPublishedTime(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	good, bad := message.NewMessage("1", []byte("v")), message.NewMessage("2", []byte("v"))
	good.Metadata = message.Metadata{kafka.TimeMetadata: "2026-01-02T03:04:05.678+01:00", kafka.IDHeader: "1"}
	bad.Metadata = message.Metadata{kafka.TimeMetadata: "yesterday"}
	var e *event.Error
	if err := p.Publish(topic, good, bad); !errors.As(err, &e) || e.Class != event.Poison || e.Path != kafka.TimeMetadata {
		t.Fatalf("got %v", err)
	}
	if err := p.Publish(topic, good); err != nil {
		t.Fatal(err)
	}
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	got := take(t, ch, 1)[0]
	if want := time.Date(2026, 1, 2, 2, 4, 5, 678e6, time.UTC); !got.Time.Equal(want) || len(got.Headers) != 1 {
		t.Errorf("got %s and headers %v, want %s and the id alone", got.Time, got.Headers, want)
	}
}

// A key has the partition that the Java client gives it: its murmur2 is franz-go's too, written by others than us.
func TestPartitioner(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 7, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	java := stranger(t, brokers, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	where := map[string]int32{}
	var kv []string
	for i := range 64 {
		key := strings.Repeat("é", i%5) + fmt.Sprint(i * i)[:1+i%2%len(fmt.Sprint(i*i))]
		r := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte("java")}
		produce(t, java, r)
		where[key] = r.Partition
		kv = append(kv, key, "ours")
	}
	publish(t, p, topic, kv...)
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	for _, m := range take(t, ch, 128) {
		if m.Partition != where[string(m.Key)] {
			t.Errorf("%s %q is in %d, the Java client's place is %d", m.Value, m.Key, m.Partition, where[string(m.Key)])
		}
	}
}

func TestTooLargeIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	err := p.Publish(topic, message.NewMessage("1", []byte("small")), message.NewMessage("2", make([]byte, kafka.DefaultMaxBatchBytes)))
	var e *event.Error
	if !errors.As(err, &e) || e.Class != event.Permanent || e.Reason != "too_large" {
		t.Fatalf("got %v", err)
	}
	// Many that fit one by one go in several batches.
	var many []*message.Message
	for i := range 30 {
		many = append(many, message.NewMessage(fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 100_000)))
	}
	if err := p.Publish(topic, many...); err != nil {
		t.Fatal(err)
	}
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	for i, m := range take(t, ch, 30) {
		if m.Offset != int64(i) || m.Value[0] != byte(i) {
			t.Fatalf("record %d is %s with %d", i, m.ID(), m.Value[0])
		}
	}
}

func TestPublishToNoTopic(t *testing.T) {
	c := client(t, cluster(t))
	p := kafka.NewPublisher(c, kafka.PublisherOptions{Timeout: 300 * time.Millisecond})
	err := p.Publish(fmt.Sprintf("none-%d", time.Now().UnixNano()), message.NewMessage("1", []byte("x")))
	if err == nil || !strings.Contains(err.Error(), "no such topic: create it first") || event.ClassOf(err) != event.Retryable {
		t.Errorf("got %v", err)
	}
	p = kafka.NewPublisher(c, kafka.PublisherOptions{Compression: "rar"})
	if err := p.Publish("t", message.NewMessage("1", []byte("x"))); event.ClassOf(err) != event.Permanent {
		t.Errorf("got %v", err)
	}
}

// Answers to Produce that are lost or that fail: each record is in the log once, in order.
func TestProduceFaults(t *testing.T) {
	net := &cutter{}
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "t"), kfake.ListenFn(net.listen))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := client(t, k.ListenAddrs()[0])
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	want := 0
	for i, fault := range []func(){
		func() {},
		func() { net.cut.Store(1) }, // the answer is lost
		func() { net.cut.Store(3) }, // three times
		func() { fail(k, kerr.NotLeaderForPartition) },
		func() { fail(k, kerr.NotEnoughReplicas) },
		func() { fail(k, kerr.OutOfOrderSequenceNumber) },
		func() { fail(k, kerr.InvalidProducerEpoch) },
		func() { net.cut.Store(1); fail(k, kerr.UnknownTopicOrPartition) },
		func() { net.cut.Store(1); net.shut.Store(3) }, // three more connections tell their versions and end
	} {
		fault()
		var kv []string
		for j := range 10 {
			kv = append(kv, fmt.Sprintf("k%d", j), fmt.Sprintf("%d-%d", i, j))
			want++
		}
		publish(t, p, "t", kv...)
	}
	_, ch := subscribe(t, c, "t", &positions{}, kafka.SubscriberOptions{})
	seen := map[string]int{}
	last := map[string]string{}
	for _, m := range take(t, ch, want) {
		seen[string(m.Value)]++
		if v := string(m.Value); v < last[string(m.Key)] {
			t.Errorf("key %s: %s after %s", m.Key, v, last[string(m.Key)])
		}
		last[string(m.Key)] = string(m.Value)
	}
	quiet(t, ch, 50*time.Millisecond)
	for v, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", v, n)
		}
	}

	fail(k, kerr.MessageTooLarge)
	err = p.Publish("t", message.NewMessage("1", []byte("x")))
	var e *event.Error
	if !errors.As(err, &e) || e.Class != event.Permanent || e.Reason != "too_large" {
		t.Errorf("got %v", err)
	}

	// What was given up must not be mistaken for what is written next, which has its bounds and would have its number.
	net.cut.Store(1 << 30)
	quick := kafka.NewPublisher(c, kafka.PublisherOptions{Timeout: 400 * time.Millisecond})
	for i := range 3 {
		m := message.NewMessage("x", []byte(fmt.Sprint("given up ", i)))
		m.Metadata.Set(kafka.KeyMetadata, "k")
		if err := quick.Publish("t", m); err == nil {
			t.Fatal("acknowledged without an answer")
		}
	}
	net.cut.Store(0)
	m := message.NewMessage("x", []byte("written"))
	m.Metadata.Set(kafka.KeyMetadata, "k")
	if err := quick.Publish("t", m); err != nil {
		t.Fatal(err)
	}
	got := values(take(t, ch, 4))
	if diff := cmp.Diff([]string{"given up 0", "given up 1", "given up 2", "written"}, got); diff != "" {
		t.Error(diff)
	}
}

// What is published to many partitions at once goes in requests that a broker takes, however much it is together; each record
// is there once, those of one key in their order.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	const partitions, records = 32, 320
	for _, tc := range []struct {
		name    string
		value   int // bytes of one
		o       kafka.PublisherOptions
		limit   int   // bytes of a request
		atLeast int   // requests
		cut     int64 // answers that are lost
	}{
		{name: "within the default", value: 60_000, limit: 8 << 20, atLeast: 3},
		{name: "within what is given", value: 1000, o: kafka.PublisherOptions{MaxRequestBytes: 50_000}, limit: 50_000, atLeast: 7},
		{name: "and answers that are lost", value: 1000, o: kafka.PublisherOptions{MaxRequestBytes: 50_000}, limit: 50_000, atLeast: 9, cut: 2},
		{
			name: "a larger batch goes alone", value: 1000, o: kafka.PublisherOptions{MaxRequestBytes: 1, MaxBatchBytes: 4000},
			limit: 4200, atLeast: 100,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			net := &cutter{}
			net.cut.Store(tc.cut)
			k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "t"), kfake.ListenFn(net.listen))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(k.Close)
			var requests, largest atomic.Int64
			k.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
				k.KeepControl()
				requests.Add(1)
				largest.Store(max(largest.Load(), int64(len(frame(r)))))
				return nil, nil, false
			})
			c := client(t, k.ListenAddrs()[0])
			tc.o.Compression = "none"
			var all []*event.Message
			for i := range records {
				value := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, tc.value/2)
				all = append(all, &event.Message{Key: []byte(fmt.Sprint("key ", i%100)), Value: value})
			}
			if err := kafka.NewPublisher(c, tc.o).Send(t.Context(), "t", all...); err != nil {
				t.Fatal(err)
			}
			if n, size := requests.Load(), largest.Load(); n < int64(tc.atLeast) || size > int64(tc.limit) {
				t.Errorf("%d requests, the largest of %d bytes: at least %d were expected, of %d at most", n, size, tc.atLeast, tc.limit)
			}
			_, ch := subscribe(t, c, "t", &positions{}, kafka.SubscriberOptions{})
			got := map[string][]int{}
			for _, m := range take(t, ch, records) {
				got[string(m.Key)] = append(got[string(m.Key)], int(m.Value[0])+int(m.Value[1])<<8)
			}
			quiet(t, ch, 20*time.Millisecond)
			want := map[string][]int{}
			for i, m := range all {
				want[string(m.Key)] = append(want[string(m.Key)], i)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if kafka.DefaultMaxRequestBytes >= kafka.DefaultMaxFrame {
		t.Error("the embedded broker refuses what we may ask it to write")
	}
}

// A batch that the broker refuses for a while is sent again as the batch that it was, by the same number; what no patience
// mends is told at once, and takes no number from the batch that comes next.
func TestProduceCodes(t *testing.T) {
	t.Parallel()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := client(t, k.ListenAddrs()[0])
	for _, tc := range []struct {
		err    *kerr.Error
		class  event.Class // empty: tried again
		reason string
		anew   bool // by a new epoch, from number 0 on
	}{
		{err: kerr.CorruptMessage},
		{err: kerr.UnknownTopicOrPartition},
		{err: kerr.LeaderNotAvailable},
		{err: kerr.NotLeaderForPartition},
		{err: kerr.RequestTimedOut},
		{err: kerr.NetworkException},
		{err: kerr.NotEnoughReplicas},
		{err: kerr.NotEnoughReplicasAfterAppend},
		{err: kerr.KafkaStorageError},
		{err: kerr.FencedLeaderEpoch},
		{err: kerr.UnknownLeaderEpoch},
		{err: kerr.OutOfOrderSequenceNumber, anew: true},
		{err: kerr.InvalidProducerEpoch, anew: true},
		{err: kerr.UnknownProducerID, anew: true},
		{err: kerr.MessageTooLarge, class: event.Permanent, reason: "too_large"},
		{err: kerr.RecordListTooLarge, class: event.Permanent, reason: "too_large"},
		{err: kerr.InvalidRecord, class: event.Poison, reason: "validation"},
		{err: kerr.InvalidTimestamp, class: event.Poison, reason: "validation"},
		{err: kerr.InvalidTopicException, class: event.Permanent, reason: "broker"},
		{err: kerr.PolicyViolation, class: event.Permanent, reason: "broker"},
		{err: kerr.TopicAuthorizationFailed, class: event.Auth, reason: "broker"},
		{err: kerr.ClusterAuthorizationFailed, class: event.Auth, reason: "broker"},
	} {
		t.Run(tc.err.Message, func(t *testing.T) {
			p := kafka.NewPublisher(c, kafka.PublisherOptions{})
			m := &event.Message{Key: []byte("k"), Value: []byte("v")}
			if err := p.Send(t.Context(), "t", m, m, m); err != nil { // numbers 0 to 2
				t.Fatal(err)
			}
			sent := stamps(k)
			fail(k, tc.err)
			err := p.Send(t.Context(), "t", m)
			var e *event.Error
			switch {
			case tc.class == "" && err != nil:
				t.Fatal(err)
			case tc.class != "" && (!errors.As(err, &e) || e.Class != tc.class || e.Reason != tc.reason):
				t.Fatalf("got %v", err)
			case tc.class != "":
				if err := p.Send(t.Context(), "t", m); err != nil { // the next has the number that the refused one had
					t.Fatal(err)
				}
			}
			got := sent()
			want := []stamp{got[0], got[0]}
			if tc.anew {
				want[1].epoch, want[1].number = got[0].epoch+1, 0
			}
			if got[0].number != 3 || !slices.Equal(got, want) {
				t.Errorf("sent %+v, want number 3 and %+v", got, want)
			}
		})
	}
}

// stamp is by what the broker knows a batch again.
type stamp struct {
	producer int64
	epoch    int16
	number   int32
}

// stamps notes what is asked to be written from now on, until it is called.
func stamps(k *kfake.Cluster) func() []stamp {
	var mu sync.Mutex
	var seen []stamp
	done := false
	k.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil, nil, false
		}
		k.KeepControl()
		b := r.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
		seen = append(seen, stamp{
			int64(binary.BigEndian.Uint64(b[43:])), int16(binary.BigEndian.Uint16(b[51:])), int32(binary.BigEndian.Uint32(b[53:])),
		})
		return nil, nil, false
	})
	return func() []stamp {
		mu.Lock()
		defer mu.Unlock()
		done = true
		return seen
	}
}

// fail makes the broker refuse the next Produce, unwritten.
func fail(k *kfake.Cluster, err *kerr.Error) {
	k.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, err.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

// cutter closes connections instead of answering Produce, as often as cut says.
type cutter struct {
	cut  atomic.Int64 // answers to Produce that are still to be lost
	shut atomic.Int64 // connections that still end after their first answer, as a broker's do that stops
}

func (c *cutter) listen(network, addr string) (net.Listener, error) {
	ln, err := net.Listen(network, addr)
	return cutListener{ln, c}, err
}

type cutListener struct {
	net.Listener
	c *cutter
}

func (l cutListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &cutConn{Conn: conn, c: l.c}, err
}

type cutConn struct {
	net.Conn
	c       *cutter
	mu      sync.Mutex
	produce bool
	answers int
	size    bool // the last read was a size
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size && n >= 2 {
		c.produce = b[0] == 0 && b[1] == 0
	}
	c.size = len(b) == 4
	return n, err
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	produce := c.produce
	c.answers++
	ends := c.answers == 2 && c.c.shut.Load() > 0 && c.c.shut.Add(-1) >= 0
	c.mu.Unlock()
	if ends || produce && c.c.cut.Add(-1) >= 0 {
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
