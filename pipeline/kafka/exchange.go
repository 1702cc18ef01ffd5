package kafka

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// anyNode routes a request over the bootstrap connection. Node ids start at 0, so the zero value is a broker.
const anyNode int32 = -1

// exchange is one request of ours and the reading of its answer, on a connection that kafka-go hands over bare
// (protocol.RawExchanger): header, correlation id and framing are written here.
type exchange struct {
	ctx    context.Context
	client *Client
	node   int32
	req    kmsg.Request
	buf    []byte // reused for the answer where large enough
}

type answer struct {
	key  int16
	resp kmsg.Response
	buf  []byte
}

func (e *exchange) ApiKey() protocol.ApiKey { return protocol.ApiKey(e.req.Key()) } //nolint:revive // kafka-go names the method
func (a *answer) ApiKey() protocol.ApiKey   { return protocol.ApiKey(a.key) }       //nolint:revive // kafka-go names the method

func (e *exchange) Required(map[protocol.ApiKey]int16) bool { return true }

func (e *exchange) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: e.node}, nil
}

// RawExchange writes the request and reads its answer. A cancelled context breaks the connection at once, so that a long
// poll never outlives who asked for it; any error makes kafka-go close the connection.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	conn, ok := rw.(net.Conn)
	if !ok {
		return nil, fmt.Errorf("kafka-go handed over a %T, not a connection", rw)
	}
	stop := context.AfterFunc(e.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	id := e.client.ids.Add(1)
	if _, err := conn.Write(e.client.formatter.AppendRequest(nil, e.req, id)); err != nil {
		return nil, err
	}
	var head [8]byte // size, correlation id
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:4])) - 4
	if n < 0 || n > maxResponse { // invariant 10
		return nil, fmt.Errorf("an answer of %d bytes, the limit is %d: this is no Kafka broker, or its batches are too large", n, maxResponse)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != id {
		return nil, fmt.Errorf("the answer has correlation id %d, expected %d", got, id)
	}
	if int64(cap(e.buf)) < n {
		e.buf = make([]byte, n)
	}
	body := e.buf[:n]
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	resp := e.req.ResponseKind()
	if resp.IsFlexible() && e.req.Key() != kmsg.ApiVersions.Int16() { // whose header is never flexible (KIP-511)
		r := kbin.Reader{Src: body}
		kmsg.SkipTags(&r)
		body = r.Src
	}
	if !stop() {
		return nil, e.ctx.Err() // the deadline may still hit this connection: it must be closed
	}
	return &answer{key: e.req.Key(), resp: resp, buf: e.buf}, resp.ReadFrom(body)
}

// exchange sends req, whose version is set, to a node, and answers the response with the buffer that its bytes may lie in.
func (c *Client) exchange(ctx context.Context, node int32, req kmsg.Request, buf []byte) (kmsg.Response, []byte, error) {
	if c.life.Err() != nil {
		return nil, buf, errClosed
	}
	m, err := c.transport.RoundTrip(ctx, c.addr, &exchange{ctx: ctx, client: c, node: node, req: req, buf: buf})
	if err != nil {
		c.forget(node) // the next broker at this address may speak other versions
		return nil, buf, err
	}
	a, ok := m.(*answer)
	if !ok {
		return nil, buf, fmt.Errorf("kafka-go answered a %T", m)
	}
	return a.resp, a.buf, nil
}

// errClosed keeps late requests from kafka-go, which would begin anew, with a goroutine that nobody ends.
var errClosed = errors.New("the client is closed")

// ask sends a small request that changes nothing, so that it may be sent twice: a pooled connection that the broker has
// closed meanwhile costs one failure.
func ask[R kmsg.Response](ctx context.Context, c *Client, node int32, req kmsg.Request) (R, error) {
	var none R
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for try := 0; ; try++ {
		resp, err := c.send(ctx, node, req)
		if err == nil {
			typed, ok := resp.(R)
			if !ok {
				return none, fmt.Errorf("%s answered a %T", kmsg.NameForKey(req.Key()), resp)
			}
			return typed, nil
		}
		if try > 0 || !stale(err) || ctx.Err() != nil {
			return none, err
		}
	}
}

func (c *Client) send(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	v, err := c.version(ctx, node, req.Key())
	if err != nil {
		return nil, err
	}
	req.SetVersion(v)
	resp, _, err := c.exchange(ctx, node, req, nil)
	return resp, err
}

// stale tells the errors of a connection that was closed at the other end.
func stale(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || (errors.As(err, &op) && op.Op != "dial")
}

// versions are the version ranges of one broker, by API key.
type versions map[int16]versionRange

type versionRange struct{ min, max int16 }

// ours answers the versions that we speak of an API. Fetch from 13 and Metadata from 10 name a topic by its id, without
// which a re-created topic is read on in silence; Fetch 12 is taken from brokers that have no better.
func ours(key int16) versionRange {
	switch kmsg.Key(key) {
	case kmsg.Produce:
		return versionRange{3, 12}
	case kmsg.Fetch:
		return versionRange{12, 17}
	case kmsg.ListOffsets:
		return versionRange{4, 7}
	case kmsg.Metadata:
		return versionRange{10, 12}
	case kmsg.OffsetForLeaderEpoch:
		return versionRange{2, 4}
	case kmsg.CreateTopics:
		return versionRange{4, 7}
	case kmsg.InitProducerID:
		return versionRange{2, 4}
	case kmsg.DescribeConfigs:
		return versionRange{1, 4}
	default: // ApiVersions: version 0 has no client name to refuse and is answered by everyone
		return versionRange{0, 0}
	}
}

// version answers the highest version of an API that a node and we speak.
func (c *Client) version(ctx context.Context, node int32, key int16) (int16, error) {
	theirs, err := c.versions(ctx, node)
	if err != nil {
		return 0, err
	}
	r, ok := theirs[key]
	us := ours(key)
	v := min(r.max, us.max)
	if !ok || v < max(r.min, us.min) {
		return 0, fmt.Errorf("broker %d speaks %s %d to %d, Onefold %d to %d: it needs Apache Kafka 2.8 or newer",
			node, kmsg.NameForKey(key), r.min, r.max, us.min, us.max)
	}
	return v, nil
}

func (c *Client) versions(ctx context.Context, node int32) (versions, error) {
	c.mu.Lock()
	known, ok := c.ranges[node]
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, _, err := c.exchange(ctx, node, kmsg.NewPtrApiVersionsRequest(), nil)
	if err != nil && stale(err) {
		resp, _, err = c.exchange(ctx, node, kmsg.NewPtrApiVersionsRequest(), nil)
	}
	if err != nil {
		return nil, err
	}
	if known, err = rangesOf(resp); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.ranges[node] = known
	c.mu.Unlock()
	return known, nil
}

func rangesOf(resp kmsg.Response) (versions, error) {
	r, ok := resp.(*kmsg.ApiVersionsResponse)
	if !ok || r.ErrorCode != 0 {
		return nil, errors.New("the broker does not tell its versions")
	}
	known := versions{}
	for _, k := range r.ApiKeys {
		known[k.ApiKey] = versionRange{k.MinVersion, k.MaxVersion}
	}
	return known, nil
}

func (c *Client) forget(node int32) {
	c.mu.Lock()
	delete(c.ranges, node)
	c.mu.Unlock()
}

// nudge is no request: kafka-go reads its cluster layout anew after every CreateTopics, and this pretends to have been one.
type nudge struct{}

func (nudge) ApiKey() protocol.ApiKey                 { return protocol.CreateTopics } //nolint:revive // kafka-go names the method
func (nudge) Required(map[protocol.ApiKey]int16) bool { return true }
func (nudge) RawExchange(io.ReadWriter) (protocol.Message, error) {
	return &createtopics.Response{}, nil
}

func (nudge) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: anyNode}, nil
}

// refresh makes kafka-go learn the brokers' addresses now; it has no public way, and its own refresh is seconds away.
func (c *Client) refresh(ctx context.Context) {
	if c.life.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, _ = c.transport.RoundTrip(ctx, c.addr, nudge{}) // a failure shows in the request that follows
}

// TopicInfo is what a cluster says of a topic.
type TopicInfo struct {
	Name       string
	Missing    bool
	Partitions []PartitionInfo
	Config     map[string]string // what was asked for, as far as the broker tells it
}

// PartitionInfo is one partition of a topic.
type PartitionInfo struct {
	Partition        int32
	Replicas, InSync int
	Led              bool
	First, Next      int64     // of the log; -1 where they are not known
	Newest           time.Time // the latest of its records' times; zero where there is none, or the broker cannot tell
}

// Inspect answers how many brokers the cluster has, and what it says of topics and of those of their settings. It changes nothing, and
// waits ten seconds at most for each answer.
func (c *Client) Inspect(ctx context.Context, topics, settings []string) (brokers int, infos []TopicInfo, err error) {
	resp, err := c.metadata(ctx, topics...)
	if err != nil {
		return 0, nil, unreachable(c.brokers, err)
	}
	c.refresh(ctx)
	for _, rt := range resp.Topics {
		info := TopicInfo{Name: *rt.Topic, Missing: rt.ErrorCode == kerr.UnknownTopicOrPartition.Code}
		if err := kerr.ErrorForCode(rt.ErrorCode); err != nil && !info.Missing {
			return 0, nil, fmt.Errorf("topic %s: %w", info.Name, err)
		}
		for _, p := range rt.Partitions {
			one := PartitionInfo{Partition: p.Partition, Replicas: len(p.Replicas), InSync: len(p.ISR), Led: p.Leader >= 0, First: -1, Next: -1}
			if one.Led {
				one.ends(ctx, c, info.Name, leader{partition: p.Partition, node: p.Leader, epoch: p.LeaderEpoch})
			}
			info.Partitions = append(info.Partitions, one)
		}
		slices.SortFunc(info.Partitions, func(a, b PartitionInfo) int { return cmp.Compare(a.Partition, b.Partition) })
		if !info.Missing {
			info.Config = c.settings(ctx, info.Name, settings)
		}
		infos = append(infos, info)
	}
	return len(resp.Brokers), infos, nil
}

// newest asks for the latest time of a partition's records (KIP-734).
const newest int64 = -3

// ends fills in where the log begins and ends; what a broker does not tell stays unknown.
func (p *PartitionInfo) ends(ctx context.Context, c *Client, topic string, l leader) {
	for _, ask := range []struct {
		which int64
		into  *int64
	}{{earliest, &p.First}, {latest, &p.Next}} {
		if at, err := c.offset(ctx, topic, l, ask.which); err == nil {
			*ask.into = at
		}
	}
	if got, err := c.place(ctx, topic, l, newest); err == nil && got.Timestamp > 0 {
		p.Newest = time.UnixMilli(got.Timestamp)
	}
}

// settings answers some of a topic's settings; none where the broker does not tell us, as one that does not let us look.
func (c *Client) settings(ctx context.Context, topic string, names []string) map[string]string {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, names
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{r}
	resp, err := ask[*kmsg.DescribeConfigsResponse](ctx, c, anyNode, req)
	if err != nil || len(resp.Resources) != 1 || resp.Resources[0].ErrorCode != 0 {
		return nil
	}
	out := map[string]string{}
	for _, e := range resp.Resources[0].Configs {
		if e.Value != nil {
			out[e.Name] = *e.Value
		}
	}
	return out
}
