// Package kafka is the only room that knows the broker: a Watermill Subscriber that reads sources from where the store
// says, a Watermill Publisher, and an embedded broker for those who have none.
//
// kafka-go dials, authenticates, pools and routes; the requests themselves are our own, encoded by kmsg and carried over
// kafka-go's connections (exchange.go). Its own reading paths deliver aborted transactions and markers, and lose the
// difference between null and empty.
package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// Limits and times of a Client.
const (
	DefaultClientID = "onefold"
	requestTimeout  = 10 * time.Second // of one small request, its dial included
	dialTimeout     = 5 * time.Second
	maxResponse     = 128 << 20 // bytes of one answer; a fetch may exceed what it asked for by one batch
	minBackoff      = 100 * time.Millisecond
	maxBackoff      = 2 * time.Second
)

// Config says where the cluster is and how to speak to it.
type Config struct {
	Brokers  []string       // host:port, at least one; the others are learned from it
	ClientID string         // named in the broker's logs and quotas; DefaultClientID where empty
	TLS      *tls.Config    // nil: plain text
	SASL     sasl.Mechanism // nil: no authentication
	Log      *slog.Logger   // nil: silent
	Jitter   func() float64 // in [0,1), spreads retries; nil: math/rand
}

// Client speaks to one Kafka cluster, for any number of goroutines. It holds no connection until it is first used.
type Client struct {
	transport *kafka.Transport
	addr      net.Addr
	brokers   string
	formatter *kmsg.RequestFormatter
	log       *slog.Logger
	jitter    func() float64
	life      context.Context // ends with Close
	end       context.CancelFunc
	ids       atomic.Int32 // correlation ids

	mu     sync.Mutex
	ranges map[int32]versions // by node, anyNode for the bootstrap connection
}

// NewClient makes a client; it dials nothing yet.
func NewClient(c Config) (*Client, error) {
	if len(c.Brokers) == 0 {
		return nil, event.Errorf(event.Permanent, "validation", "kafka.brokers", "no broker is named: write at least one host:port")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, event.Errorf(event.Permanent, "validation", "kafka.brokers", "%q is not host:port: %w", b, err)
		}
	}
	if c.ClientID == "" {
		c.ClientID = DefaultClientID
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	life, end := context.WithCancel(context.Background())
	return &Client{
		life: life,
		end:  end,
		transport: &kafka.Transport{
			Context:     life,
			ClientID:    c.ClientID,
			TLS:         c.TLS,
			SASL:        c.SASL,
			DialTimeout: dialTimeout,
			// An empty list, which is not nil, asks for the brokers alone: topics are ours to ask for, and a big cluster has many.
			MetadataTopics: []string{},
		},
		addr:      kafka.TCP(c.Brokers...),
		brokers:   strings.Join(c.Brokers, ", "),
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.ClientID)),
		log:       c.Log,
		jitter:    c.Jitter,
		ranges:    map[int32]versions{},
	}, nil
}

// Check answers nil if every broker of the cluster can be reached and speaks the versions that we need, else an error that
// says which address fails and what to do. It waits ten seconds at most.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.checkNode(ctx, anyNode, c.brokers); err != nil {
		return err
	}
	resp, err := c.metadata(ctx)
	if err != nil {
		return unreachable(c.brokers, err)
	}
	c.refresh(ctx)
	for _, b := range resp.Brokers {
		if err := c.checkNode(ctx, b.NodeID, fmt.Sprintf("%s:%d (as broker %d advertises itself)", b.Host, b.Port, b.NodeID)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) checkNode(ctx context.Context, node int32, where string) error {
	c.forget(node)
	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.Fetch, kmsg.Produce, kmsg.ListOffsets} {
		if _, err := c.version(ctx, node, key.Int16()); err != nil {
			return unreachable(where, err)
		}
	}
	return nil
}

func unreachable(where string, err error) error {
	return event.Errorf(event.Retryable, "broker", "kafka.brokers",
		"broker %s does not answer as it should: %w. Start it, or mend kafka.brokers; without kafka.brokers the embedded broker is used",
		where, err)
}

// Close lets go of the connections; requests fail from then on. Subscribers and publishers of this client must be closed
// before. It may be called twice.
func (c *Client) Close() error {
	c.end()
	c.transport.CloseIdleConnections()
	return nil
}

// backoff answers how long to wait before try n (from 0): doubling from 100 ms to 2 s, the upper half of it at random.
func (c *Client) backoff(n int) time.Duration {
	d := min(minBackoff<<min(max(n, 0), 10), maxBackoff)
	return d/2 + time.Duration(c.jitter()*float64(d/2))
}

// sleep waits for d or for the context, whose error it answers.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
