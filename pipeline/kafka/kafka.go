// Package kafka is the only room that knows the broker: a Watermill Subscriber that reads sources from where the store
// says, a Watermill Publisher, and an embedded broker for those who have none.
//
// kafka-go pools connections, which the room security opens, and routes; the requests themselves are our own, encoded by kmsg and
// carried over kafka-go's connections (exchange.go). Its own reading paths deliver aborted transactions and markers, and lose the
// difference between null and empty.
package kafka

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka/security"
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
	Brokers  []string        // host:port, at least one; the others are learned from it
	ClientID string          // named in the broker's logs and quotas; DefaultClientID where empty
	Security security.Config // TLS and SASL; its zero is plain text without authentication
	Log      *slog.Logger    // nil: silent
	Jitter   func() float64  // in [0,1), spreads retries; nil: math/rand
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
	c.Security.Log = cmp.Or(c.Security.Log, c.Log)
	dialer, err := security.New(c.Security)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	return &Client{
		life: life,
		end:  end,
		transport: &kafka.Transport{
			Context:     life,
			ClientID:    c.ClientID,
			Dial:        dialer.Dial, // kafka-go's own TLS and SASL say neither where they fail nor why
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
	var known *event.Error
	if errors.As(err, &known) { // it names the broker and the remedy
		return known
	}
	if stale(err) {
		err = fmt.Errorf("it ends the connection at the first request, as a listener does that expects TLS or authentication: %w", err)
	}
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

const ensureTimeout = 30 * time.Second // for a new topic's leaders to be known

var errNoTopic = errors.New("there is no such topic")

// topic is what the cluster says of a topic: its identity, and who leads its partitions.
type topic struct {
	name       string
	id         [16]byte // zero where the broker has none
	partitions []leader // by partition
}

type leader struct {
	partition int32
	node      int32 // -1 while there is none
	epoch     int32
}

// idText answers a topic id as 32 hex digits, empty where it is unknown.
func idText(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return hex.EncodeToString(id[:])
}

func (t *topic) led() bool {
	return len(t.partitions) > 0 && !slices.ContainsFunc(t.partitions, func(l leader) bool { return l.node < 0 })
}

func (t *topic) leader(partition int32) (leader, bool) {
	i, ok := slices.BinarySearchFunc(t.partitions, partition, func(l leader, p int32) int { return cmp.Compare(l.partition, p) })
	if !ok {
		return leader{}, false
	}
	return t.partitions[i], true
}

func (c *Client) metadata(ctx context.Context, names ...string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // null would ask for all
	for _, n := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &n
		req.Topics = append(req.Topics, t)
	}
	return ask[*kmsg.MetadataResponse](ctx, c, anyNode, req)
}

// topic asks for one topic; it never creates it. errNoTopic where there is none.
func (c *Client) topic(ctx context.Context, name string) (*topic, error) {
	resp, err := c.metadata(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 {
		return nil, fmt.Errorf("asked for one topic, got %d", len(resp.Topics))
	}
	rt := resp.Topics[0]
	if rt.ErrorCode == kerr.UnknownTopicOrPartition.Code {
		return nil, errNoTopic
	}
	if err := kerr.ErrorForCode(rt.ErrorCode); err != nil {
		return nil, err
	}
	t := &topic{name: name, id: rt.TopicID}
	for _, p := range rt.Partitions {
		t.partitions = append(t.partitions, leader{partition: p.Partition, node: p.Leader, epoch: p.LeaderEpoch})
	}
	slices.SortFunc(t.partitions, func(a, b leader) int { return cmp.Compare(a.partition, b.partition) })
	return t, nil
}

// Places in a partition, as ListOffsets asks for them: the first offset of the log, the one after its last, and that of the
// first record, which compaction may have left behind the first offset.
const (
	latest      int64 = -1
	earliest    int64 = -2
	firstRecord int64 = 0 // of any time since 1970
)

// offset answers one of the places in a partition, -1 where there is none.
func (c *Client) offset(ctx context.Context, name string, l leader, which int64) (int64, error) {
	got, err := c.place(ctx, name, l, which)
	return got.Offset, err
}

func (c *Client) place(ctx context.Context, name string, l leader, which int64) (none kmsg.ListOffsetsResponseTopicPartition, err error) {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = l.partition, which, l.epoch
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = name, []kmsg.ListOffsetsRequestTopicPartition{p}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = []kmsg.ListOffsetsRequestTopic{t}
	resp, err := ask[*kmsg.ListOffsetsResponse](ctx, c, l.node, req)
	if err != nil {
		return none, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return none, errors.New("asked for one offset, got another number of them")
	}
	got := resp.Topics[0].Partitions[0]
	return got, kerr.ErrorForCode(got.ErrorCode)
}

// epochEnd answers the offset at which a leader epoch ended in a partition's log, -1 where that is not known.
func (c *Client) epochEnd(ctx context.Context, name string, l leader, epoch int32) (int64, error) {
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = l.partition, l.epoch, epoch
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic, t.Partitions = name, []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{t}
	resp, err := ask[*kmsg.OffsetForLeaderEpochResponse](ctx, c, l.node, req)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("asked for the end of one epoch, got another number of them")
	}
	got := resp.Topics[0].Partitions[0]
	return got.EndOffset, kerr.ErrorForCode(got.ErrorCode)
}

// EnsureTopic creates a topic unless it is there, and waits until each of its partitions has a leader: at most 30 s, or as
// long as ctx lets it. An existing topic is left as it is, whatever its partitions and configuration. Replicas are the
// broker's default. A compacted topic gets retention.ms -1 unless config names one: by Kafka's rule time does not expire its
// records, the embedded broker would let it.
func (c *Client) EnsureTopic(ctx context.Context, name string, partitions int, config map[string]string) error {
	if err := legalTopic(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	var last error
	for try := 0; ; try++ {
		t, err := c.topic(ctx, name)
		switch {
		case err == nil && t.led():
			c.refresh(ctx)
			return nil
		case err == nil:
			last = errors.New("its partitions have no leader yet")
		case errors.Is(err, errNoTopic):
			if last = c.create(ctx, name, partitions, config); event.ClassOf(last) == event.Permanent {
				return last
			}
		default:
			last = err
		}
		if sleep(ctx, c.backoff(try)) != nil {
			return event.Errorf(event.Retryable, "broker", "", "topic %s is not ready: %w", name, cmp.Or(last, ctx.Err()))
		}
	}
}

const maxTopicName = 249 // Kafka's own

// legalTopic keeps Kafka's rule for topic names.
func legalTopic(name string) error {
	bad := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-')
	}
	if name == "" || name == "." || name == ".." || len(name) > maxTopicName || strings.ContainsFunc(name, bad) {
		return event.Errorf(event.Permanent, "validation", "", "%q is no topic name: write 1 to %d letters, digits, dots, dashes and underscores",
			name, maxTopicName)
	}
	return nil
}

// create asks the controller for a new topic. A refusal for good is an event.Error of class Permanent.
func (c *Client) create(ctx context.Context, name string, partitions int, config map[string]string) error {
	brokers, err := c.metadata(ctx)
	if err != nil {
		return err
	}
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(partitions), -1
	config = maps.Clone(config)
	if _, given := config["retention.ms"]; !given && strings.TrimSpace(config["cleanup.policy"]) == "compact" {
		config["retention.ms"] = "-1"
	}
	for _, k := range slices.Sorted(maps.Keys(config)) {
		e := kmsg.NewCreateTopicsRequestTopicConfig()
		v := config[k]
		e.Name, e.Value = k, &v
		t.Configs = append(t.Configs, e)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = []kmsg.CreateTopicsRequestTopic{t}, int32(requestTimeout.Milliseconds())
	c.refresh(ctx) // the controller's address may be new
	resp, err := ask[*kmsg.CreateTopicsResponse](ctx, c, brokers.ControllerID, req)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 {
		return fmt.Errorf("created one topic, got %d answers", len(resp.Topics))
	}
	got := resp.Topics[0]
	err = kerr.ErrorForCode(got.ErrorCode)
	if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	if kerr.IsRetriable(err) {
		return err
	}
	text := err.Error()
	if got.ErrorMessage != nil {
		text += ": " + *got.ErrorMessage
	}
	return event.Errorf(event.Permanent, "broker", "", "the broker refuses to create topic %s with %d partitions: %s", name, partitions, text)
}
