package kafka

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

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

// The two ends of a partition, as ListOffsets asks for them.
const (
	latest   int64 = -1
	earliest int64 = -2
)

// offset answers the first offset of a partition, or the one after its last.
func (c *Client) offset(ctx context.Context, name string, l leader, which int64) (int64, error) {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = l.partition, which, l.epoch
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = name, []kmsg.ListOffsetsRequestTopicPartition{p}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = []kmsg.ListOffsetsRequestTopic{t}
	resp, err := ask[*kmsg.ListOffsetsResponse](ctx, c, l.node, req)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("asked for one offset, got another number of them")
	}
	got := resp.Topics[0].Partitions[0]
	return got.Offset, kerr.ErrorForCode(got.ErrorCode)
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
