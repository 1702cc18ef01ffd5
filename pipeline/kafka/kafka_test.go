package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir, os.Getenv(childListen))
		return
	}
	// Watermill's suite leaves its own multiplier's goroutines behind, which wait for a reader that is gone.
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"))
}

// positions is a store of positions in memory; where nothing is recorded it answers "never read".
type positions struct {
	mu   sync.Mutex
	next map[int32]event.Position
}

func (p *positions) Claim(_ context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = map[int32]event.Position{}
	}
	var out []event.Position
	for _, n := range partitions {
		pos, ok := p.next[n]
		if !ok {
			pos = event.Position{Partition: event.Partition{Source: source, Topic: topic, Partition: n}, Next: -1, Epoch: -1}
		}
		pos.Owner++
		p.next[n] = pos
		out = append(out, pos)
	}
	return out, nil
}

// record moves a position past a message, as the store does with its effect.
func (p *positions) record(m *event.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[m.Partition] = event.Position{
		Partition: event.Partition{Source: m.Source, Topic: m.Topic, Partition: m.Partition},
		TopicID:   m.TopicID, Next: m.After(), Epoch: m.Epoch,
	}
}

func (p *positions) at(partition int32) event.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next[partition]
}

// logger writes to the test's log only when ONEFOLD_TEST_LOG is set.
func logger() *slog.Logger {
	if os.Getenv("ONEFOLD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// cluster answers the brokers of ONEFOLD_TEST_BROKERS, else those of an embedded broker of this test.
func cluster(t testing.TB) string {
	t.Helper()
	if b := os.Getenv("ONEFOLD_TEST_BROKERS"); b != "" {
		return b
	}
	return embedded(t, kafka.BrokerConfig{}).Addr()
}

func embedded(t testing.TB, c kafka.BrokerConfig) *kafka.Broker {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	c.Log = logger()
	b, err := kafka.StartBroker(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func client(t testing.TB, brokers string) *kafka.Client {
	t.Helper()
	c, err := kafka.NewClient(kafka.Config{Brokers: strings.Split(brokers, ","), Log: logger(), Jitter: func() float64 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// counter makes topic names unique in this process; the start time makes them so among runs on one cluster.
var counter atomic.Int64

func newTopic(t testing.TB, c *kafka.Client, partitions int, config map[string]string) string {
	t.Helper()
	name := fmt.Sprintf("t-%d-%d", time.Now().UnixNano(), counter.Add(1))
	if err := c.EnsureTopic(t.Context(), name, partitions, config); err != nil {
		t.Fatal(err)
	}
	return name
}

// subscribe reads a topic as source "shop" until the test ends.
func subscribe(t testing.TB, c *kafka.Client, topic string, p kafka.Positions, o kafka.SubscriberOptions) (
	*kafka.Subscriber, <-chan *message.Message,
) {
	t.Helper()
	o.Log = logger()
	s := kafka.NewSubscriber(c, p, map[string]string{topic: "shop"}, o)
	t.Cleanup(func() { _ = s.Close() })
	ch, err := s.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return s, ch
}

const patience = 20 * time.Second

// take receives and acknowledges n messages, the blank ones apart.
func take(t testing.TB, ch <-chan *message.Message, n int) []*event.Message {
	t.Helper()
	var got []*event.Message
	timeout := time.After(patience)
	for len(got) < n {
		select {
		case m, ok := <-ch:
			if !ok {
				t.Fatalf("the channel is closed after %d of %d messages", len(got), n)
			}
			if e := event.FromContext(m.Context()); !e.Blank {
				got = append(got, e)
			}
			m.Ack()
		case <-timeout:
			t.Fatalf("%d of %d messages in %s", len(got), n, patience)
		}
	}
	return got
}

// quiet fails if another message comes.
func quiet(t testing.TB, ch <-chan *message.Message, d time.Duration) {
	t.Helper()
	for over := time.After(d); ; {
		select {
		case m, ok := <-ch:
			if ok && !event.FromContext(m.Context()).Blank {
				t.Fatalf("unexpected message %s", m.UUID)
			}
			if !ok {
				return
			}
			m.Ack()
		case <-over:
			return
		}
	}
}

// until waits for a state of the subscriber.
func until(t testing.TB, s *kafka.Subscriber, what string, ok func([]kafka.PartitionState) bool) []kafka.PartitionState {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		states := s.State()
		if ok(states) {
			return states
		}
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %+v", what, states)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func halted(code string) func([]kafka.PartitionState) bool {
	return func(states []kafka.PartitionState) bool {
		for _, s := range states {
			if s.Halted != code {
				return false
			}
		}
		return len(states) > 0
	}
}

func publish(t testing.TB, p *kafka.Publisher, topic string, keysValues ...string) {
	t.Helper()
	var msgs []*message.Message
	for i := 0; i < len(keysValues); i += 2 {
		m := message.NewMessage(fmt.Sprintf("id-%d", i/2), []byte(keysValues[i+1]))
		m.Metadata.Set(kafka.KeyMetadata, keysValues[i])
		msgs = append(msgs, m)
	}
	if err := p.Publish(topic, msgs...); err != nil {
		t.Fatal(err)
	}
}

// A client that is closed asks nothing any more: a late request would make kafka-go start all over, and nobody would end it.
func TestClosedClientStaysClosed(t *testing.T) {
	brokers := cluster(t)
	c, err := kafka.NewClient(kafka.Config{Brokers: strings.Split(brokers, ",")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the client is closed") {
		t.Errorf("got %v", err)
	}
	_ = c.Close()
}
