package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/event"
)

// Metadata that a Publisher reads; all other metadata become record headers.
const (
	KeyMetadata       = "onefold-key"       // the record's key: same key, same partition. Absent: no key, any partition
	TombstoneMetadata = "onefold-tombstone" // "true" with an empty payload: a null value, which removes the key when the topic is compacted
	TimeMetadata      = "onefold-time"      // when the event was created, RFC 3339; absent: when it is published
	IDHeader          = "onefold-id"        // header on every record: the metadata of this name, else the message's UUID
)

// Defaults of PublisherOptions.
const (
	DefaultMaxBatchBytes   = 1_000_000 // below the 1,048,588 that brokers take by default
	DefaultMaxRequestBytes = 8 << 20   // below the 16 MiB that the embedded broker takes, and the 100 MiB of others by default
	DefaultPublishTimeout  = 30 * time.Second
	topicFresh             = time.Minute
)

// PublisherOptions bound a Publisher; a zero takes the default.
type PublisherOptions struct {
	MaxBatchBytes   int              // of one partition's batch before compression, and so of one record
	MaxRequestBytes int              // of one request, the batches of many partitions; a larger batch goes alone
	Timeout         time.Duration    // of one Publish, with all its retries
	Compression     string           // none, gzip, snappy, lz4 or zstd; empty: snappy
	Now             func() time.Time // of records that bring no time of their own; nil: time.Now
	Log             *slog.Logger     // nil: silent
}

// Publisher writes messages (message.Publisher): acknowledged by all replicas in sync, one batch a partition, partitioned by
// murmur2 as the Java client does, so that a key has one partition whoever writes it.
//
// The producer is idempotent: within its life a batch whose acknowledgement was lost is written once. When it gives up on a
// batch, and across restarts, a record may be there twice; both carry the same onefold-id.
type Publisher struct {
	client     *Client
	o          PublisherOptions
	compressor kgo.Compressor
	problem    error // of the options, told by Publish

	mu     sync.Mutex
	closed bool
	topics map[string]seen
	lanes  map[laneKey]*lane
	turn   int
	id     chan int64 // 1: the producer id, -1 before there is one
}

type seen struct {
	*topic
	at time.Time
}

// NewPublisher makes a publisher. It starts nothing.
func NewPublisher(client *Client, o PublisherOptions) *Publisher {
	o.MaxBatchBytes = cmp.Or(o.MaxBatchBytes, DefaultMaxBatchBytes)
	o.MaxRequestBytes = cmp.Or(o.MaxRequestBytes, DefaultMaxRequestBytes)
	o.Timeout = cmp.Or(o.Timeout, DefaultPublishTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Publisher{client: client, o: o, topics: map[string]seen{}, lanes: map[laneKey]*lane{}, id: make(chan int64, 1)}
	p.id <- -1
	p.compressor, p.problem = compressor(o.Compression)
	return p
}

func compressor(name string) (kgo.Compressor, error) {
	var codec kgo.CompressionCodec
	switch name {
	case "none":
		return nil, nil
	case "", "snappy":
		codec = kgo.SnappyCompression()
	case "gzip":
		codec = kgo.GzipCompression()
	case "lz4":
		codec = kgo.Lz4Compression()
	case "zstd":
		codec = kgo.ZstdCompression()
	default:
		return nil, event.Errorf(event.Permanent, "validation", "", "compression %q is none of none, gzip, snappy, lz4, zstd", name)
	}
	return kgo.DefaultCompressor(codec)
}

// record is one record to be written.
type record struct {
	key, value []byte
	headers    []event.Header
	time       time.Time // zero: when it is sent
}

// recordOf reads a record out of a message: see KeyMetadata, TombstoneMetadata, TimeMetadata and IDHeader.
func recordOf(m *message.Message) (record, error) {
	r := record{value: m.Payload}
	if r.value == nil {
		r.value = []byte{}
	}
	if key, ok := m.Metadata[KeyMetadata]; ok {
		r.key = []byte(key)
	}
	if len(m.Payload) == 0 && m.Metadata[TombstoneMetadata] == "true" {
		r.value = nil
	}
	if at, ok := m.Metadata[TimeMetadata]; ok {
		var err error
		if r.time, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return record{}, event.Errorf(event.Poison, "validation", TimeMetadata, "not a time of RFC 3339, such as 2026-01-31T09:30:00Z")
		}
	}
	if _, ok := m.Metadata[IDHeader]; !ok {
		r.headers = append(r.headers, event.Header{Key: IDHeader, Value: []byte(m.UUID)})
	}
	for _, k := range slices.Sorted(maps.Keys(m.Metadata)) {
		if k != KeyMetadata && k != TombstoneMetadata && k != TimeMetadata {
			r.headers = append(r.headers, event.Header{Key: k, Value: []byte(m.Metadata[k])})
		}
	}
	return r, nil
}

// Publish writes messages to a topic, which must exist, and answers when all are acknowledged. The messages of one partition
// are written in their order. The context of the first message ends the attempt early. A record that is too large is refused
// before anything is written (event.Error: permanent, too_large). After another error some may have been written.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	records := make([]record, len(messages))
	for i, m := range messages {
		var err error
		if records[i], err = recordOf(m); err != nil {
			return fmt.Errorf("publish to %s: message %s: %w", topic, m.UUID, err)
		}
	}
	return p.deliver(messages[0].Context(), topic, records, func(i int) string { return messages[i].UUID })
}

// Send is Publish for those who have raw messages and know no Watermill: key, value and headers are written as they are, null
// apart from empty, and Time is the record's, as Kafka keeps it: in milliseconds. Nothing else of a message is looked at.
func (p *Publisher) Send(ctx context.Context, topic string, messages ...*event.Message) error {
	if len(messages) == 0 {
		return nil
	}
	records := make([]record, len(messages))
	for i, m := range messages {
		records[i] = record{key: m.Key, value: m.Value, headers: m.Headers, time: m.Time}
	}
	return p.deliver(ctx, topic, records, strconv.Itoa)
}

// deliver publishes records; name names one of them.
func (p *Publisher) deliver(ctx context.Context, topic string, records []record, name func(int) string) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return fmt.Errorf("publish to %s: the publisher is closed", topic)
	}
	if p.problem != nil {
		return fmt.Errorf("publish to %s: %w", topic, p.problem)
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	if err := p.publish(ctx, topic, records, name); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

func (p *Publisher) publish(ctx context.Context, name string, records []record, id func(int) string) error {
	for i := range records {
		if n := records[i].size(); n > p.o.MaxBatchBytes { // invariant 10
			return event.Errorf(event.Permanent, "too_large", "", "message %s has %d bytes, the limit is %d", id(i), n, p.o.MaxBatchBytes)
		}
	}
	t, err := p.topic(ctx, name)
	if err != nil {
		return err
	}
	parts := p.partition(t, records)
	var works []*work
	for _, partition := range slices.Sorted(maps.Keys(parts)) { // one order for all: no two wait for each other
		w, err := p.work(ctx, t, partition, parts[partition])
		if err != nil {
			release(works)
			return err
		}
		works = append(works, w)
	}
	defer release(works)
	return p.produce(ctx, name, works)
}

// topic answers a topic's partitions, as known for a minute, and waits for one that has just been made.
func (p *Publisher) topic(ctx context.Context, name string) (*topic, error) {
	p.mu.Lock()
	known, ok := p.topics[name]
	p.mu.Unlock()
	if ok && time.Since(known.at) < topicFresh {
		return known.topic, nil
	}
	for try := 0; ; try++ {
		t, err := p.look(ctx, name)
		if err == nil && len(t.partitions) > 0 {
			return t, nil
		}
		if sleep(ctx, p.client.backoff(try)) != nil {
			if errors.Is(err, errNoTopic) {
				return nil, event.Errorf(event.Retryable, "broker", "", "%w: create it first", err)
			}
			return nil, cmp.Or(err, ctx.Err())
		}
	}
}

// look asks for a topic's leaders anew.
func (p *Publisher) look(ctx context.Context, name string) (*topic, error) {
	p.client.refresh(ctx)
	t, err := p.client.topic(ctx, name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.topics[name] = seen{t, time.Now()}
	p.mu.Unlock()
	return t, nil
}

// partition deals records out. Those without a key go together to one partition, another each time.
func (p *Publisher) partition(t *topic, records []record) map[int32][]record {
	p.mu.Lock()
	p.turn++
	turn := p.turn
	p.mu.Unlock()
	n := len(t.partitions)
	parts := map[int32][]record{}
	for _, r := range records {
		i := turn % n
		if r.key != nil {
			i = PartitionOf(r.key, n)
		}
		id := t.partitions[i].partition
		parts[id] = append(parts[id], r)
	}
	return parts
}

// PartitionOf answers which of so many partitions a record of a key belongs to, as the Java client and all that follow it have it.
func PartitionOf(key []byte, partitions int) int { return int(murmur2(key)&0x7fffffff) % partitions }

// Close lets no further Publish begin. There is nothing to flush: Publish waits for its acknowledgements.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	return nil
}

// murmur2 is the hash of the Java client's default partitioner (org.apache.kafka.common.utils.Utils.murmur2), over the
// algorithm of Austin Appleby.
func murmur2(b []byte) uint32 {
	const seed, m, r = 0x9747b28c, 0x5bd1e995, 24
	h := seed ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
