package kafka_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
)

const (
	childDir    = "ONEFOLD_TEST_CHILD_DIR"
	childListen = "ONEFOLD_TEST_CHILD_LISTEN"
)

// runChild is the process that TestKill kills: it runs a broker, writes to it and prints each acknowledged number.
func runChild(dir, listen string) {
	b, err := kafka.StartBroker(context.Background(), kafka.BrokerConfig{Listen: listen, Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{b.Addr()}})
	if err == nil {
		err = c.EnsureTopic(context.Background(), "kill", 1, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	for i := 0; ; i++ {
		if err := p.Publish("kill", message.NewMessage(fmt.Sprint(i), []byte(fmt.Sprint(i)))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

// What was acknowledged is there after kill -9, also after the second one.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := 0
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, childListen+"=127.0.0.1:0")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for lines := bufio.NewScanner(out); lines.Scan(); n++ {
			if n == 200 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		acknowledged += n
	}
	if acknowledged < 400 {
		t.Fatalf("only %d were written", acknowledged)
	}
	b := embedded(t, kafka.BrokerConfig{Dir: dir})
	_, ch := subscribe(t, client(t, b.Addr()), "kill", &positions{}, kafka.SubscriberOptions{})
	for i, m := range take(t, ch, acknowledged) {
		if m.Offset != int64(i) {
			t.Fatalf("%s at place %d", m.ID(), i)
		}
	}
}

// The broker stops and comes back at its address: subscriber and publisher go on by themselves, nothing is lost or twice.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	b := embedded(t, kafka.BrokerConfig{Dir: dir})
	c := client(t, b.Addr())
	topic := newTopic(t, c, 2, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	seen := map[string]int{}
	for round := range 3 {
		var kv []string
		for i := range 50 {
			kv = append(kv, fmt.Sprint(i), fmt.Sprintf("%d-%d", round, i))
		}
		publish(t, p, topic, kv...)
		for _, m := range take(t, ch, 50) {
			seen[string(m.Value)]++
		}
		if err := errors.Join(b.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		b = embedded(t, kafka.BrokerConfig{Dir: dir, Listen: b.Addr()})
	}
	quiet(t, ch, 50*time.Millisecond)
	if len(seen) != 150 {
		t.Errorf("%d of 150", len(seen))
	}
}

// The broker stops and comes back again and again, while three topics are written and read by way of one connection: all comes,
// once, and what has one key in its order.
func TestRestartsWhileEventsFlow(t *testing.T) {
	t.Parallel()
	restarts := 3
	if os.Getenv("ONEFOLD_TEST_FULL") != "" {
		restarts = 20
	}
	dir := t.TempDir()
	b := embedded(t, kafka.BrokerConfig{Dir: dir})
	c := client(t, b.Addr())
	sources := map[string]string{}
	var topics []string
	for i := range 3 {
		topics = append(topics, newTopic(t, c, 2, nil))
		sources[topics[i]] = fmt.Sprint("source-", i)
	}
	s := kafka.NewSubscriber(c, &positions{}, sources, kafka.SubscriberOptions{})
	t.Cleanup(func() { _ = s.Close() })
	stop := make(chan struct{})
	var flowing sync.WaitGroup
	for _, topic := range topics {
		ch, err := s.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan int, 1)
		p := kafka.NewPublisher(client(t, b.Addr()), kafka.PublisherOptions{})
		flowing.Go(func() {
			n := 0
			defer func() { written <- n }()
			for ; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				m := &event.Message{Key: fmt.Append(nil, n%5), Value: fmt.Append(nil, n)}
				if err := p.Send(t.Context(), topic, m); err != nil {
					t.Errorf("%s %d: %v", topic, n, err)
					return
				}
			}
		})
		flowing.Go(func() {
			next := map[int]int{}
			for got, want := 0, -1; want < 0 || got < want; {
				select {
				case want = <-written:
				case frame := <-ch:
					var n int
					_, _ = fmt.Sscan(string(frame.Payload), &n)
					if n/5 != next[n%5] {
						t.Errorf("%s: %d is not the next of its key, that is %d", topic, n, next[n%5]*5+n%5)
					}
					next[n%5] = n/5 + 1
					got++
					frame.Ack()
				case <-time.After(patience):
					t.Errorf("%s: %d of %d after %s", topic, got, want, patience)
					return
				}
			}
		})
	}
	for range restarts {
		time.Sleep(300 * time.Millisecond)
		_ = b.Close()
		time.Sleep(50 * time.Millisecond)
		b = embedded(t, kafka.BrokerConfig{Dir: dir, Listen: b.Addr()})
	}
	close(stop)
	flowing.Wait()
	until(t, s, "at the end", func(st []kafka.PartitionState) bool {
		return !slices.ContainsFunc(st, func(p kafka.PartitionState) bool {
			return p.Next != p.HighWatermark || p.Halted != "" || p.InFlight > 0
		})
	})
}

func TestStartIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := embedded(t, kafka.BrokerConfig{Dir: dir})
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, want string
		config     kafka.BrokerConfig
	}{
		{"port taken", "port taken: another program listens on " + b.Addr(), kafka.BrokerConfig{Listen: b.Addr()}},
		{"all interfaces", "can be reached from other machines", kafka.BrokerConfig{Listen: "0.0.0.0:0"}},
		{"no host", "can be reached from other machines", kafka.BrokerConfig{Listen: ":0"}},
		{"no port", "is not host:port", kafka.BrokerConfig{Listen: "localhost"}},
		{"directory in use", "another process runs a broker on " + dir, kafka.BrokerConfig{Dir: dir, Listen: "127.0.0.1:0"}},
		{"no directory", "cannot write to the directory", kafka.BrokerConfig{Dir: file, Listen: "127.0.0.1:0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := kafka.StartBroker(t.Context(), tc.config)
			if err == nil || !strings.Contains(err.Error(), tc.want) || event.ClassOf(err) != event.Permanent {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	err = client(t, addr).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "mend kafka.brokers") {
		t.Errorf("got %v", err)
	}
	for _, brokers := range [][]string{nil, {"no port"}} {
		if _, err := kafka.NewClient(kafka.Config{Brokers: brokers}); event.ClassOf(err) != event.Permanent {
			t.Errorf("%v: got %v", brokers, err)
		}
	}
}

// A listener that ends the connection is told apart from one that is not there.
func TestCheckTellsWhatIsThere(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		says       []byte // before it closes the connection
	}{
		{"closes", "as a listener does that speaks TLS", nil},
		{"TLS", "speaks TLS, and we speak plain text: set kafka.tls", []byte{21, 3, 3, 0, 2, 2, 70}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var serving sync.WaitGroup
			serving.Go(func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 1024))
					_, _ = conn.Write(tc.says)
					_ = conn.Close()
				}
			})
			defer serving.Wait()
			defer func() { _ = ln.Close() }()
			err = client(t, ln.Addr().String()).Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), ln.Addr().String()) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// Time does not expire the records of a compacted topic, as Kafka has it; another topic keeps what its configuration says.
func TestEnsureTopic(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	compacted := newTopic(t, c, 2, map[string]string{"cleanup.policy": "compact"})
	other := newTopic(t, c, 3, map[string]string{"retention.ms": "5000"})
	if err := c.EnsureTopic(t.Context(), other, 9, nil); err != nil {
		t.Errorf("a topic that is there: %v", err)
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, topic := range []string{compacted, other} {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"retention.ms"}
		req.Resources = append(req.Resources, r)
	}
	resp, err := req.RequestWith(t.Context(), stranger(t, brokers))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range resp.Resources {
		got[r.ResourceName] = *r.Configs[0].Value
	}
	if got[compacted] != "-1" || got[other] != "5000" {
		t.Errorf("got %v", got)
	}
	if err := c.EnsureTopic(t.Context(), "no/name", 1, nil); event.ClassOf(err) != event.Permanent {
		t.Errorf("got %v", err)
	}
}

// dial opens a connection to a broker, for what no client sends.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func frame(req kmsg.Request) []byte { return kmsg.NewRequestFormatter().AppendRequest(nil, req, 1) }

// alive asks for versions, which every broker answers.
func alive(t testing.TB, addr string) {
	t.Helper()
	conn := dial(t, addr)
	if _, err := conn.Write(frame(kmsg.NewPtrApiVersionsRequest())); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		t.Fatal("the broker does not answer any more:", err)
	}
	_ = conn.Close()
}

// throw sends bytes and waits until the broker is through with them.
func throw(t testing.TB, addr string, b []byte) {
	t.Helper()
	conn := dial(t, addr)
	_, _ = conn.Write(b)
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}

func TestGuard(t *testing.T) {
	b := embedded(t, kafka.BrokerConfig{})
	seeded := client(t, b.Addr())
	if err := seeded.EnsureTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	head := func(size int, key, version int16) []byte {
		f := binary.BigEndian.AppendUint32(nil, uint32(size))
		f = binary.BigEndian.AppendUint16(f, uint16(key))
		f = binary.BigEndian.AppendUint16(f, uint16(version))
		return append(f, 0, 0, 0, 1, 0xff, 0xff)
	}
	writes := func(log []byte) []byte {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks = 7, -1
		rt := kmsg.NewProduceRequestTopic()
		rp := kmsg.NewProduceRequestTopicPartition()
		rt.Topic, rp.Records = "t", log
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return frame(req)
	}
	creates := func(name string, partitions int32) []byte {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version = 4
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, 1
		req.Topics = append(req.Topics, rt)
		return frame(req)
	}
	none := kgo.NoCompression()
	broken := batch(0, 0, none, "x")
	broken[len(broken)-1] ^= 1
	for _, tc := range []struct {
		name string
		send []byte
	}{
		{"key that is not known", head(10, 999, 0)},
		{"key that is negative", head(10, -1, 0)},
		{"version above", head(10, 3, 99)},
		{"version below", head(10, 0, 0)},
		{"ApiVersions of a negative version", head(10, 18, -5)},
		{"too short", []byte{0, 0, 0, 3, 1, 2, 3}},
		{"size at the limit and one", head(kafka.DefaultMaxFrame+1, 3, 1)},
		{"size that is negative", head(-1, 3, 1)},
		{"TLS", []byte{22, 3, 1, 2, 0, 1, 0, 1}},
		{"head that says it has 4 billion tags", append(head(15, 16, 3), 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"body that says it has 4 billion tags", append(head(19, 3, 12), 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"body that says it has 14 million topics", append(head(14+14<<20, 3, 1), append([]byte{0, 0xe0, 0, 0}, make([]byte, 14<<20)...)...)},
		{"tag with a count of its own", append(head(55, 1, 15), append(make([]byte, 24), 1, 1, 1, 17,
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)...)},
		{"head that is cut", []byte{0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff}},
		{"body that is cut", head(10, 3, 1)},
		{"no batch", writes([]byte("nothing"))},
		{"batch with a wrong checksum", writes(broken)},
		{"batch with too few records", writes(rawBatch(0, 1, 0, 2, nil))},
		{"batch that counts below zero", writes(rawBatch(0, 0, 0, -1, []byte{1}))},
		{"batch of garbage", writes(rawBatch(0, 0, 0, 1, []byte{200, 1, 0, 0}))},
		{"batch that cannot be unpacked", writes(rawBatch(0, 0, 4, 1, []byte("no zstd")))},
		{"topic of a bad name", creates("../x", 1)},
		{"topic of too many partitions", creates("x", 1<<30)},
		{"bomb", writes(batch(0, 0, kgo.ZstdCompression(), strings.Repeat("0", 65<<20)))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			conn := dial(t, b.Addr())
			_, _ = conn.Write(tc.send)
			if strings.HasSuffix(tc.name, "is cut") {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			if n, err := io.Copy(io.Discard, conn); n != 0 {
				t.Errorf("answered %d bytes, %v", n, err)
			}
			runtime.ReadMemStats(&after)
			if took, mb := time.Since(began), (after.TotalAlloc-before.TotalAlloc)>>20; took > 5*time.Second || mb > 512 {
				t.Errorf("it took %s and %d MiB to refuse", took, mb)
			}
			alive(t, b.Addr())
		})
	}
	t.Run("HTTP", func(t *testing.T) {
		conn := dial(t, b.Addr())
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if got, _ := io.ReadAll(conn); !bytes.HasPrefix(got, []byte("HTTP/1.1 400")) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("ApiVersions of a version to come", func(t *testing.T) {
		conn := dial(t, b.Addr())
		_, _ = conn.Write(append(head(13, 18, 99), 0, 5, 0xff))
		var got [10]byte // size, correlation, error
		if _, err := io.ReadFull(conn, got[:]); err != nil || got[7] != 1 || got[9] != 35 {
			t.Errorf("got %v, %v: expected UNSUPPORTED_VERSION", got, err)
		}
	})
}

func TestConnectionLimit(t *testing.T) {
	b := embedded(t, kafka.BrokerConfig{MaxConnections: 3})
	time.Sleep(20 * time.Millisecond) // the start's own connection goes
	conns := []net.Conn{dial(t, b.Addr()), dial(t, b.Addr()), dial(t, b.Addr())}
	over := dial(t, b.Addr())
	if _, err := over.Read(make([]byte, 1)); err == nil {
		t.Error("a fourth connection is served")
	}
	for _, c := range conns {
		_ = c.Close()
	}
	time.Sleep(20 * time.Millisecond)
	alive(t, b.Addr())
}

// The requests of all connections together are bounded: a large one waits while so many others are on their way, a small one
// never does, and what is answered, refused or ended makes room again.
func TestRequestsTogetherAreBounded(t *testing.T) {
	t.Parallel()
	const large = 200_000
	b := embedded(t, kafka.BrokerConfig{MaxFrame: 2 * large, MaxUnanswered: 3 * large})
	if err := client(t, b.Addr()).EnsureTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	writes := func(acks int16, log []byte) []byte {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 7, acks, 5000
		rt := kmsg.NewProduceRequestTopic()
		rp := kmsg.NewProduceRequestTopicPartition()
		rt.Topic, rp.Records = "t", log
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return frame(req)
	}
	good := batch(0, 0, kgo.NoCompression(), strings.Repeat("x", large))
	answered := func(conn net.Conn, within time.Duration) bool {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(within))
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:]))); err != nil {
			t.Fatal(err)
		}
		return true
	}
	send := func(request []byte) net.Conn {
		t.Helper()
		conn := dial(t, b.Addr())
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	passes := func(after string) {
		t.Helper()
		if !answered(send(writes(-1, good)), patience) {
			t.Fatalf("a large request is not answered after %s", after)
		}
	}

	half := writes(-1, good)[:large/2]
	held := []net.Conn{send(half), send(half)} // with the next it is too much
	time.Sleep(50 * time.Millisecond)
	waiting := send(writes(-1, good))
	if answered(waiting, 100*time.Millisecond) {
		t.Error("a large request is answered, beside two that together leave no room for it")
	}
	alive(t, b.Addr())
	if small := send(writes(-1, batch(0, 0, kgo.NoCompression(), "x"))); !answered(small, patience) {
		t.Error("a small request waits for large ones")
	}
	_ = held[0].Close()
	if !answered(waiting, patience) {
		t.Error("a large request waits for nothing")
	}
	_ = held[1].Close()

	for range 5 {
		passes("others whose connections idle")
	}
	broken := bytes.Clone(good)
	broken[len(broken)-1] ^= 1
	for range 5 {
		throw(t, b.Addr(), writes(-1, broken))
	}
	passes("some that were refused")
	for range 5 {
		send(writes(0, good))
	}
	passes("some that ask for no answer")
	conn := send(nil)
	for range 5 { // at once
		if _, err := conn.Write(writes(-1, good)); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if !answered(conn, patience) {
			t.Fatal("one of many requests on one connection is not answered")
		}
	}
	passes("many on one connection")
}

// Every request that the broker knows, cut at each length and with each byte changed: the broker lives.
func TestMalformedRequests(t *testing.T) {
	b := embedded(t, kafka.BrokerConfig{})
	for key := int16(0); key <= 92; key++ {
		req := kmsg.RequestForKey(key)
		if req == nil || slices.Contains([]kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup}, kmsg.Key(key)) { // which may wait for others
			continue
		}
		for _, v := range []int16{0, 3, 7, req.MaxVersion()} {
			req.SetVersion(min(v, req.MaxVersion()))
			whole := frame(req)
			for n := 8; n <= len(whole); n += 3 {
				cut := slices.Clone(whole[:n])
				binary.BigEndian.PutUint32(cut, uint32(n-4))
				flip := slices.Clone(whole)
				flip[n-1] ^= 0xff
				for _, f := range [][]byte{cut, flip} {
					throw(t, b.Addr(), f)
				}
			}
		}
	}
	alive(t, b.Addr())
}

// Counts and lengths that are lies, wherever they stand in whatever request: none keeps the broker busy.
func TestLyingCounts(t *testing.T) {
	b := embedded(t, kafka.BrokerConfig{})
	for key := range int16(93) {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		req.SetVersion(req.MaxVersion())
		filled(reflect.ValueOf(req).Elem(), 1)
		req.SetVersion(req.MaxVersion())
		whole := frame(req)
		for at := 14; at < len(whole); at += 1 + len(whole)/40 {
			lie := slices.Concat(whole[:at], []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, whole[at:])
			binary.BigEndian.PutUint32(lie, uint32(len(lie)-4))
			began := time.Now()
			conn := dial(t, b.Addr())
			_, _ = conn.Write(lie)
			_, _ = conn.Write([]byte{0, 0, 0, 8, 3, 0xe7, 0, 0, 0, 0, 0, 0}) // which no broker knows: the end
			_, _ = io.Copy(io.Discard, conn)
			if took := time.Since(began); took > 5*time.Second {
				t.Fatalf("%s with a lie at byte %d took %s", kmsg.NameForKey(key), at, took)
			}
		}
	}
	alive(t, b.Addr())
}

// filled puts n elements into each list of a request and something into each text.
func filled(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Type != reflect.TypeFor[kmsg.Tags]() && f.Name != "ReplicaState" && f.Name != "ClusterID" { // a broker's own
				filled(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), n)
	case reflect.String:
		v.SetString(strings.Repeat("x", 100*n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			filled(v.Index(i), n)
		}
	}
}

// Every request that the broker says it knows, in each version, empty and full, passes the guard as it is written.
func TestEveryRequestPasses(t *testing.T) {
	var log refusals
	b, err := kafka.StartBroker(t.Context(), kafka.BrokerConfig{Listen: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), stranger(t, b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	for _, api := range resp.ApiKeys {
		if api.ApiKey == kmsg.Produce.Int16() { // whose records are looked at
			continue
		}
		for version := api.MinVersion; version <= api.MaxVersion; version++ {
			for n := range 3 {
				req := kmsg.RequestForKey(api.ApiKey)
				filled(reflect.ValueOf(req).Elem(), n)
				req.SetVersion(version)
				_ = log.take()
				throw(t, b.Addr(), append(frame(req), 0, 0, 0, 8, 3, 0xe7, 0, 0, 0, 0, 0, 0))
				if got := log.take(); !strings.Contains(got, "request 999 is not known") {
					t.Errorf("%s version %d with %d of each: %s", kmsg.NameForKey(api.ApiKey), version, n, got)
				}
			}
		}
	}
}

// refusals keeps what is logged.
type refusals struct {
	mu  sync.Mutex
	log strings.Builder
}

func (r *refusals) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *refusals) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.log.Reset()
	return r.log.String()
}

// Whatever bytes come, the broker lives; kfake runs in this process, so that its fall is the test's.
func FuzzGuard(f *testing.F) {
	for key := int16(0); key <= 92; key++ {
		if req := kmsg.RequestForKey(key); req != nil {
			for v := int16(0); v <= req.MaxVersion(); v++ {
				req.SetVersion(v)
				f.Add(frame(req)[4:])
			}
		}
	}
	b := embedded(f, kafka.BrokerConfig{})
	f.Fuzz(func(t *testing.T, request []byte) {
		throw(t, b.Addr(), append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...))
		alive(t, b.Addr())
	})
}

// kcat, which is librdkafka, negotiates with, produces to and consumes from the embedded broker.
func TestKcat(t *testing.T) {
	path, err := exec.LookPath("kcat")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("ONEFOLD_TEST_REQUIRE"), ","), "kcat") {
			t.Fatal("kcat is required and not there: apt-get install kcat")
		}
		t.Skip("left out: kcat is not there; apt-get install kcat")
	}
	b := embedded(t, kafka.BrokerConfig{})
	run := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), path, append([]string{"-b", b.Addr()}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kcat %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		run("k:"+codec+"\n", "-t", "from-kcat", "-P", "-K:", "-z", codec, "-X", "enable.idempotence=true", "-H", "a=b")
	}
	c := client(t, b.Addr())
	_, ch := subscribe(t, c, "from-kcat", &positions{}, kafka.SubscriberOptions{}) // made by kcat's first use
	if got := strings.Join(values(take(t, ch, 5)), " "); got != "none gzip snappy lz4 zstd" {
		t.Errorf("got %s", got)
	}
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), "from-kcat", "k", "for kcat")
	got := run("", "-t", "from-kcat", "-C", "-o", "beginning", "-e", "-q")
	if !strings.Contains(got, "lz4\nzstd\n") || !strings.Contains(got, "for kcat\n") {
		t.Errorf("got %q", got)
	}
}
