package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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

	"github.com/onefold/onefold/pipeline/kafka"
)

// All topics and partitions of a broker are asked for in one request, one such request after the other; a partition that comes
// while the broker is waiting does not wait with it.
func TestOneRequestForAllOfABroker(t *testing.T) {
	conns := &counting{}
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "a", "b", "c"), kfake.ListenFn(conns.listen))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	var most atomic.Int64 // partitions of a request
	k.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		n := 0
		for _, topic := range r.(*kmsg.FetchRequest).Topics {
			n += len(topic.Partitions)
		}
		most.Store(max(most.Load(), int64(n)))
		return nil, nil, false
	})
	writer := client(t, k.ListenAddrs()[0])
	for _, topic := range []string{"a", "b", "c"} {
		publish(t, kafka.NewPublisher(writer, kafka.PublisherOptions{}), topic, "k", topic)
	}
	_ = writer.Close()
	c := client(t, k.ListenAddrs()[0])
	s := kafka.NewSubscriber(c, &positions{}, map[string]string{"a": "shop", "b": "bank", "c": "till"}, kafka.SubscriberOptions{MaxWait: time.Minute})
	t.Cleanup(func() { _ = s.Close() })
	for i, topic := range []string{"a", "b", "c"} {
		ch, err := s.Subscribe(context.Background(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if m := take(t, ch, 1)[0]; m.Topic != topic || m.Source != []string{"shop", "bank", "till"}[i] {
			t.Errorf("got %s", m.ID())
		}
		until(t, s, "all partitions known", func(st []kafka.PartitionState) bool {
			return len(st) == 3*(i+1) && !slices.ContainsFunc(st, func(p kafka.PartitionState) bool { return p.HighWatermark < 0 })
		})
	}
	if most.Load() != 9 {
		t.Errorf("a request asks for %d partitions, want all 9", most.Load())
	}
	time.Sleep(50 * time.Millisecond)
	if n := conns.open.Load(); n > 3 { // one polls, one carries metadata, one is kept for small requests
		t.Errorf("%d connections are open", n)
	}
}

// When a subscriber's last subscription has ended and another begins, it reads again.
func TestSubscribeAgain(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 2, nil)
	s := kafka.NewSubscriber(c, &positions{}, map[string]string{topic: "shop"}, kafka.SubscriberOptions{})
	t.Cleanup(func() { _ = s.Close() })
	for i := range 5 {
		publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", fmt.Sprint(i))
		ctx, cancel := context.WithCancel(t.Context())
		ch, err := s.Subscribe(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		take(t, ch, i+1)
		cancel()
		for range ch { // until closed
		}
	}
}

// What the broker answers, by its code, and what comes of it: reading goes on at the same offset, or the partition halts.
func TestCodes(t *testing.T) {
	for _, tc := range []struct {
		err    *kerr.Error
		halted string
	}{
		{kerr.UnknownServerError, ""},
		{kerr.OffsetOutOfRange, ""}, // and it is not, when we look
		{kerr.CorruptMessage, ""},   // once
		{kerr.UnknownTopicOrPartition, ""},
		{kerr.LeaderNotAvailable, ""},
		{kerr.NotLeaderForPartition, ""},
		{kerr.RequestTimedOut, ""},
		{kerr.BrokerNotAvailable, ""},
		{kerr.ReplicaNotAvailable, ""},
		{kerr.NetworkException, ""},
		{kerr.TopicAuthorizationFailed, kafka.HaltDenied},
		{kerr.KafkaStorageError, ""},
		{kerr.FencedLeaderEpoch, ""},
		{kerr.UnknownLeaderEpoch, ""},
		{kerr.OffsetNotAvailable, ""},
		{kerr.UnknownTopicID, ""},
		{kerr.InconsistentTopicID, ""},
	} {
		t.Run(tc.err.Message, func(t *testing.T) {
			t.Parallel()
			k, addr := staged(t)
			publish(t, kafka.NewPublisher(client(t, addr), kafka.PublisherOptions{}), "t", "k", "0", "k", "1", "k", "2", "k", "3")
			n := answers(k, records(batch(0, 1, kgo.NoCompression(), "a", "b")...), code(tc.err), records(batch(2, 3, kgo.NoCompression(), "c", "d")...))
			s, ch := subscribe(t, client(t, addr), "t", &positions{}, kafka.SubscriberOptions{})
			take(t, ch, 2)
			if tc.halted != "" {
				until(t, s, tc.halted, halted(tc.halted))
				quiet(t, ch, 50*time.Millisecond)
				if n.Load() != 2 {
					t.Errorf("asked %d times", n.Load())
				}
				return
			}
			if diff := cmp.Diff([]string{"c", "d"}, values(take(t, ch, 2))); diff != "" {
				t.Error(diff)
			}
			until(t, s, "well", func(st []kafka.PartitionState) bool { return st[0].Err == nil && st[0].Halted == "" && st[0].Next == 4 })
		})
	}
}

// A leader that the client has never heard of is asked about, not given up.
func TestUnknownBroker(t *testing.T) {
	k, addr := staged(t)
	c := client(t, addr)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), "t", "k", "v")
	var told atomic.Int64
	k.ControlKey(kmsg.Metadata.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		req := r.(*kmsg.MetadataRequest)
		if len(req.Topics) != 1 || told.Add(1) > 2 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic, rt.TopicID = kmsg.StringPtr("t"), k.TopicInfo("t").TopicID
		rp := kmsg.NewMetadataResponseTopicPartition()
		rp.Leader = 77
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	_, ch := subscribe(t, c, "t", &positions{}, kafka.SubscriberOptions{})
	take(t, ch, 1)
}

// A replica in our own rack is read in place of the leader that names it, until it fails: then the leader is asked again.
func TestNearReplica(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	lead := k.LeaderFor("t", 0)
	near := 1 - lead
	var mu sync.Mutex
	var asked []int32
	k.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		req := r.(*kmsg.FetchRequest)
		at := req.Topics[0].Partitions[0].FetchOffset
		mu.Lock()
		defer mu.Unlock()
		node := k.CurrentNode()
		asked = append(asked, node)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.LastStableOffset = 4, 4
		switch {
		case node == lead && req.Rack == "r1" && at < 2:
			rp.PreferredReadReplica = near
		case node == near && at == 0:
			rp.RecordBatches = batch(0, 1, kgo.NoCompression(), "a", "b")
		case node == near:
			rp.ErrorCode = kerr.OffsetOutOfRange.Code // it is behind: no reason to halt
		case at == 2:
			rp.RecordBatches = batch(2, 3, kgo.NoCompression(), "c", "d")
		default:
			time.Sleep(5 * time.Millisecond)
		}
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	s, ch := subscribe(t, client(t, k.ListenAddrs()[0]), "t", &positions{}, kafka.SubscriberOptions{Rack: "r1", MaxWait: time.Minute})
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, values(take(t, ch, 4))); diff != "" {
		t.Error(diff)
	}
	until(t, s, "well", func(st []kafka.PartitionState) bool { return st[0].Next == 4 && st[0].Halted == "" && st[0].Err == nil })
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]int32{lead, near, near, lead}, asked[:4]); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// A partition that is not read on holds up no other, and what waits for room is asked for as soon as there is some.
func TestPausedPartition(t *testing.T) {
	t.Parallel()
	c := client(t, cluster(t))
	full, free := newTopic(t, c, 1, nil), newTopic(t, c, 1, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{Compression: "none", MaxBatchBytes: 50_000})
	var kv []string
	for i := range 400 {
		kv = append(kv, "k", fmt.Sprintf("%04d", i)+string(make([]byte, 10_000)))
	}
	publish(t, p, full, kv...)
	s := kafka.NewSubscriber(c, &positions{}, map[string]string{full: "shop", free: "bank"}, kafka.SubscriberOptions{PartitionBytes: 200_000, MaxInFlight: 2})
	t.Cleanup(func() { _ = s.Close() })
	subscribe := func(topic string) <-chan *message.Message {
		ch, err := s.Subscribe(context.Background(), topic)
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	stands, flows := subscribe(full), subscribe(free)
	until(t, s, "full", func(st []kafka.PartitionState) bool {
		return slices.ContainsFunc(st, func(p kafka.PartitionState) bool { return p.Topic == full && p.Queued >= 10 })
	})
	for i := range 20 {
		began := time.Now()
		publish(t, p, free, "k", fmt.Sprint(i))
		if got := take(t, flows, 1); string(got[0].Value) != fmt.Sprint(i) || time.Since(began) > 5*time.Second {
			t.Fatalf("%s after %s", got[0].Value, time.Since(began))
		}
	}
	for _, st := range s.State() {
		if st.Topic == full && st.Queued > 40 {
			t.Errorf("%d messages of 10 KB are queued, of which half of 200 KB and an answer of as much have room", st.Queued)
		}
	}
	for i, m := range take(t, stands, 400) {
		if string(m.Value[:4]) != fmt.Sprintf("%04d", i) {
			t.Fatalf("place %d has %s", i, m.Value[:4])
		}
	}
}

// What all partitions together have fetched and not handed on is bounded; each still comes on, and in the end everything has come.
func TestQueuesTogetherAreBounded(t *testing.T) {
	t.Parallel()
	c := client(t, cluster(t))
	const limit, each, answer = 200_000, 100, 100_000
	topic := newTopic(t, c, 8, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{Compression: "none", MaxBatchBytes: 6_000})
	var kv []string
	for i := range 8 * each {
		kv = append(kv, fmt.Sprint(i), string(make([]byte, 5_000)))
	}
	publish(t, p, topic, kv...)
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{
		MaxQueuedBytes: limit, PartitionBytes: answer, RequestBytes: answer, MaxInFlight: 4,
	})
	time.Sleep(300 * time.Millisecond)
	queued := 0
	for _, st := range s.State() {
		queued += st.Queued * 5_000
	}
	if queued < limit || queued > limit+answer+8*2*6_000 { // an answer more, and two small batches of each that had nothing
		t.Errorf("%d bytes are queued, the limit is %d and an answer", queued, limit)
	}
	take(t, ch, 8*each)
	until(t, s, "at the end", func(st []kafka.PartitionState) bool {
		return !slices.ContainsFunc(st, func(p kafka.PartitionState) bool { return p.Next != p.HighWatermark || p.Queued > 0 })
	})
}

// A topic that was read and is deleted halts its source, after a while in which it may only be missing.
func TestDeletedTopicHalts(t *testing.T) {
	t.Parallel()
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 2, nil)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", "v")
	s, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{GoneAfter: time.Second, Refresh: 50 * time.Millisecond})
	take(t, ch, 1)
	del := kmsg.NewPtrDeleteTopicsRequest()
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.Topic = &topic
	del.TopicNames, del.Topics, del.TimeoutMillis = []string{topic}, append(del.Topics, dt), 5000
	began := time.Now()
	if _, err := del.RequestWith(t.Context(), stranger(t, brokers)); err != nil {
		t.Fatal(err)
	}
	states := until(t, s, kafka.HaltGone, halted(kafka.HaltGone))
	if took := time.Since(began); took < time.Second {
		t.Errorf("given up after %s", took)
	}
	for _, st := range states {
		if st.Err == nil || errors.Is(st.Err, context.Canceled) {
			t.Errorf("halted without a reason: %+v", st)
		}
	}
	quiet(t, ch, 50*time.Millisecond)
}

// counting is a listener's count of connections that are open.
type counting struct{ open atomic.Int64 }

func (c *counting) listen(network, addr string) (net.Listener, error) {
	ln, err := net.Listen(network, addr)
	return countingListener{ln, c}, err
}

type countingListener struct {
	net.Listener
	c *counting
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.c.open.Add(1)
	return &countedConn{Conn: conn, c: l.c}, nil
}

type countedConn struct {
	net.Conn
	c    *counting
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.c.open.Add(-1) })
	return c.Conn.Close()
}
