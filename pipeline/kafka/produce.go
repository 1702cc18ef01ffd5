package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// size is an upper bound of the record's bytes in a batch, the batch's own head included.
func (r *record) size() int {
	n := batchHeader + 10 + 5*6 + len(r.key) + len(r.value)
	for _, h := range r.headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// append writes the record's body (KIP-98), delta places and later milliseconds behind the first of its batch: lengths are
// varints, -1 for null.
func (r *record) append(dst []byte, delta int, later int64) []byte {
	dst = append(dst, 0) // attributes
	dst = kbin.AppendVarlong(dst, later)
	dst = kbin.AppendVarint(dst, int32(delta))
	dst = kbin.AppendVarintBytes(dst, r.key)
	dst = kbin.AppendVarintBytes(dst, r.value)
	dst = kbin.AppendVarint(dst, int32(len(r.headers)))
	for _, h := range r.headers {
		dst = kbin.AppendVarintString(dst, h.Key)
		dst = kbin.AppendVarintBytes(dst, h.Value)
	}
	return dst
}

func (r *record) millis(now int64) int64 {
	if r.time.IsZero() {
		return now
	}
	return r.time.UnixMilli()
}

// laneKey is one partition of one topic; a topic made anew has new lanes.
type laneKey struct {
	topic     [16]byte
	partition int32
}

// lane is the producer's state for one partition: who we are to it and how many records we have written. Whoever holds its
// lock has the only batch in flight.
type lane struct {
	lock     chan struct{} // 1
	producer int64         // -1 before there is one
	epoch    int16
	sequence int32
	spent    int64 // the producer id whose epochs are used up, -1 for none
}

// renew makes the broker forget what it expects of us here, after an answer that is in doubt: a batch that was perhaps
// written must not let the next be taken for it. The epoch is bumped locally (KIP-360).
func (l *lane) renew() {
	l.sequence = 0
	if l.epoch++; l.epoch == math.MaxInt16 {
		l.producer, l.spent = -1, l.producer
	}
}

// work is what one Publish has for one partition: batches, the first of which is to be sent, and frozen once it was.
type work struct {
	partition int32
	lane      *lane
	batches   [][]byte
	counts    []int32
	asked     bool // the first batch is on its way
	doubtful  bool // it was sent, and the answer did not come
	err       error
}

// work encodes a partition's records, as many as fit a batch, and takes the partition's lane.
func (p *Publisher) work(ctx context.Context, t *topic, partition int32, records []record) (*work, error) {
	p.mu.Lock()
	key := laneKey{t.id, partition}
	l, ok := p.lanes[key]
	if !ok {
		l = &lane{lock: make(chan struct{}, 1), producer: -1, spent: -1}
		p.lanes[key] = l
	}
	p.mu.Unlock()
	w := &work{partition: partition, lane: l}
	now := p.o.Now().UnixMilli()
	for len(records) > 0 {
		n, size := 1, records[0].size()
		for n < len(records) && size+records[n].size() <= p.o.MaxBatchBytes {
			size += records[n].size()
			n++
		}
		w.batches = append(w.batches, p.encode(records[:n], size, now))
		w.counts = append(w.counts, int32(n))
		records = records[n:]
	}
	select {
	case l.lock <- struct{}{}:
		return w, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for what is being written to partition %d: %w", partition, ctx.Err())
	}
}

func release(works []*work) {
	for _, w := range works {
		<-w.lane.lock
	}
}

// encode makes a batch; who writes it, and its checksum, are stamped on before it is sent.
func (p *Publisher) encode(records []record, size int, now int64) []byte {
	raw := make([]byte, 0, size)
	first, last := records[0].millis(now), int64(math.MinInt64)
	var body []byte
	for i := range records {
		at := records[i].millis(now)
		last = max(last, at)
		body = records[i].append(body[:0], i, at-first)
		raw = append(kbin.AppendVarint(raw, int32(len(body))), body...)
	}
	rb := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(records) - 1), FirstTimestamp: first, MaxTimestamp: last,
		NumRecords: int32(len(records)), Records: raw,
	}
	if p.compressor != nil {
		packed, codec := p.compressor.Compress(new(bytes.Buffer), raw)
		if codec > 0 && len(packed) < len(raw) {
			rb.Records, rb.Attributes = packed, int16(codec)
		}
	}
	rb.Length = int32(batchHeader - batchOverhead + len(rb.Records))
	return rb.AppendTo(make([]byte, 0, batchHeader+len(rb.Records)))
}

// stamp writes into the first batch who sends it and which of the partition's records it begins with. A batch that was sent
// keeps its stamp: by it the broker knows it again.
func (w *work) stamp() {
	b := w.batches[0]
	binary.BigEndian.PutUint64(b[atProducer:], uint64(w.lane.producer))
	binary.BigEndian.PutUint16(b[atProducer+8:], uint16(w.lane.epoch))
	binary.BigEndian.PutUint32(b[atSequence:], uint32(w.lane.sequence))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], crc32.MakeTable(crc32.Castagnoli)))
}

// written moves on to the next batch.
func (w *work) written() {
	n := w.counts[0]
	w.batches, w.counts, w.doubtful, w.err = w.batches[1:], w.counts[1:], false, nil
	if w.lane.sequence > math.MaxInt32-n-DefaultMaxBatchBytes { // Kafka wraps here; a new epoch is simpler and as good
		w.lane.renew()
		return
	}
	w.lane.sequence += n
}

// produce sends all batches, those of different partitions together, one a partition at a time, until every one is
// acknowledged or ctx ends. A partition that fails for good does not hold up the others.
func (p *Publisher) produce(ctx context.Context, name string, works []*work) error {
	var refused error
	for try := 0; ; {
		left := slices.DeleteFunc(slices.Clone(works), func(w *work) bool { return len(w.batches) == 0 })
		if len(left) == 0 {
			return refused
		}
		before := pending(left)
		err := p.round(ctx, name, left)
		for _, w := range left {
			if w.final() {
				refused = w.err
				w.batches, w.counts = nil, nil
			}
		}
		if pending(left) < before {
			try = 0
			continue
		}
		if ctx.Err() == nil {
			_ = sleep(ctx, p.client.backoff(try)) // ctx is looked at next
			_, _ = p.look(ctx, name)              // leaders may have moved; if that fails, so does the next round
			try++
		}
		if ctx.Err() != nil {
			for _, w := range left {
				if len(w.batches) > 0 {
					w.lane.renew()
				}
			}
			return event.Errorf(event.Retryable, "broker", "", "not acknowledged in time: %w", errors.Join(err, refused, ctx.Err()))
		}
	}
}

// final tells whether what became of the first batch is the last word on it. That a connection cannot be opened never is, whatever it
// looks like: a broker that stops ends connections just as one does that refuses a login.
func (w *work) final() bool {
	class := event.ClassOf(w.err)
	return w.err != nil && class != event.Retryable && (class != event.Auth || !w.asked)
}

func pending(works []*work) int {
	n := 0
	for _, w := range works {
		n += len(w.batches)
	}
	return n
}

// round sends the first batch of each work to its leader, to all brokers at once, to each one request after the other. It
// answers the last error.
func (p *Publisher) round(ctx context.Context, name string, works []*work) error {
	t, err := p.topic(ctx, name)
	if err != nil {
		return err
	}
	if err := p.introduce(ctx, works); err != nil {
		return err
	}
	byNode := map[int32][]*work{}
	for _, w := range works {
		l, ok := t.leader(w.partition)
		if !ok || l.node < 0 {
			w.err = fmt.Errorf("partition %d has no leader", w.partition)
			continue
		}
		byNode[l.node] = append(byNode[l.node], w)
	}
	var sending sync.WaitGroup
	for node, ws := range byNode {
		sending.Go(func() {
			for _, some := range p.requests(ws) {
				if !p.send(ctx, name, node, some) {
					return // the next round tries them all
				}
			}
		})
	}
	sending.Wait()
	for _, w := range works {
		if w.err != nil {
			err = w.err
		}
	}
	return err
}

// introduce gets a producer id from the cluster, once, and gives it to the lanes that have none.
func (p *Publisher) introduce(ctx context.Context, works []*work) error {
	var id int64
	select {
	case id = <-p.id:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.id <- id }()
	for _, w := range works {
		if w.lane.producer >= 0 || w.doubtful {
			continue
		}
		if id < 0 || id == w.lane.spent {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.TransactionTimeoutMillis = int32(time.Minute.Milliseconds())
			resp, err := ask[*kmsg.InitProducerIDResponse](ctx, p.client, anyNode, req)
			if err != nil {
				return err
			}
			if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
				return fmt.Errorf("ask for a producer id: %w", err)
			}
			id = resp.ProducerID
		}
		w.lane.producer, w.lane.epoch, w.lane.sequence = id, 0, 0
	}
	return nil
}

// requests parts works by what one request may hold; a batch that is more is a request alone.
func (p *Publisher) requests(works []*work) [][]*work {
	var all [][]*work
	size := 0
	for _, w := range works {
		n := len(w.batches[0]) + partitionHead
		if len(all) == 0 || size+n > p.o.MaxRequestBytes { // invariant 10
			all, size = append(all, nil), requestHead
		}
		last := len(all) - 1
		all[last], size = append(all[last], w), size+n
	}
	return all
}

// Upper bounds of what a Produce request has beside its batches: what it says of itself, and of each partition.
const (
	requestHead   = 1024
	partitionHead = 16
)

// send writes the first batches of works, all led by one broker, in one request, and notes in each what became of it. It
// answers false where the broker could not be asked.
func (p *Publisher) send(ctx context.Context, name string, node int32, works []*work) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	t := kmsg.NewProduceRequestTopic()
	t.Topic = name
	for _, w := range works {
		w.asked, w.err = true, errors.New("the broker's answer leaves this partition out")
		if !w.doubtful {
			w.stamp()
		}
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = w.partition, w.batches[0]
		t.Partitions = append(t.Partitions, rp)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(requestTimeout.Milliseconds())
	req.Topics = []kmsg.ProduceRequestTopic{t}
	v, err := p.client.version(ctx, node, req.Key())
	if err == nil {
		req.SetVersion(v)
		var resp kmsg.Response
		resp, _, err = p.client.exchange(ctx, node, req, nil)
		if got, ok := resp.(*kmsg.ProduceResponse); ok {
			p.judge(works, got)
		}
		for _, w := range works {
			w.doubtful = w.doubtful || w.asked
		}
	}
	for _, w := range works {
		if err != nil && w.asked {
			w.err = err
		}
	}
	return err == nil
}

func (p *Publisher) judge(works []*work, resp *kmsg.ProduceResponse) {
	for _, t := range resp.Topics {
		for _, rp := range t.Partitions {
			for _, w := range works {
				if w.partition == rp.Partition && w.asked {
					w.asked = false
					w.judge(rp.ErrorCode)
				}
			}
		}
	}
}

// judge does what the broker's answer to the first batch asks for.
func (w *work) judge(code int16) {
	switch err := kerr.ErrorForCode(code); {
	case err == nil, errors.Is(err, kerr.DuplicateSequenceNumber):
		w.written()
	case errors.Is(err, kerr.OutOfOrderSequenceNumber), errors.Is(err, kerr.InvalidProducerEpoch), errors.Is(err, kerr.UnknownProducerID):
		// The broker knows another history of us, such as after it lost its log's end. Begin anew: if the batch was written
		// after all it is there twice, with the same onefold-id.
		w.lane.renew()
		w.doubtful, w.err = false, err
	case errors.Is(err, kerr.RequestTimedOut), errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		w.doubtful, w.err = true, err
	case kerr.IsRetriable(err):
		w.err = err
	default:
		w.err = w.refusal(err)
		if w.doubtful {
			w.lane.renew()
		}
	}
}

// refusal says what no patience mends.
func (w *work) refusal(err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return event.Errorf(event.Permanent, "too_large", "", "partition %d: %w. Raise the topic's max.message.bytes", w.partition, err)
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp):
		return event.Errorf(event.Poison, "validation", "", "partition %d refuses a record of the batch: %w", w.partition, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return event.Errorf(event.Auth, "broker", "", "the broker lets this user not write: %w: grant it WRITE on the topic and "+
			"IDEMPOTENT_WRITE on the cluster", err)
	}
	return event.Errorf(event.Permanent, "broker", "", "partition %d refuses the batch: %w", w.partition, err)
}
