package kafka_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
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
type cutter struct{ cut atomic.Int64 }

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
	c.mu.Unlock()
	if produce && c.c.cut.Add(-1) >= 0 {
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
