package kafka

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// What one record batch may come to once it is read; a batch beyond it is handed on as it lies, as one refused message, so that
// it ends as a dead letter and the next batch is read (invariants 7 and 10).
const (
	maxDecompressed = 64 << 20 // bytes; also of all batches of one partition in one answer
	maxRecords      = 1 << 20  // records a batch says that it has: each costs memory before one is read
)

// decoded is what one answer holds for one partition.
type decoded struct {
	asked    int64            // the offset that was asked for
	messages []*event.Message // committed records from there on
	next     int64            // to ask for; it moves without a message past markers, aborted records and holes
	begins   int32            // epoch of the first batch; -1 where there is none
	epoch    int32            // of the last batch behind next; -1 where next did not move
	err      error            // of the batch at asked, which is damaged: nothing could be read
}

// decoder turns answers into messages. It is used by one goroutine; its buffers are reused, so that messages own copies.
type decoder struct {
	source  string
	topic   string
	topicID string
	inflate inflater
}

// decode reads a partition's batches from an offset on: checksums, transactions (read committed, for which the request must
// ask as well), control records and compacted holes are ProcessFetchPartition's. What cannot be read although its bytes are
// those that were written is handed on unread, so that it ends as a dead letter (invariant 7), unless its transaction was aborted:
// then it was never said. Damage is an error.
func (d *decoder) decode(rp *kmsg.FetchResponseTopicPartition, asked int64) decoded {
	log := rp.RecordBatches
	for h, ok := nextBatch(log); ok && h.last < asked; h, ok = nextBatch(log) {
		log = log[h.size:] // compressed message sets and compacted logs may begin earlier than asked
	}
	first, some := nextBatch(log)
	if !some {
		return stuck(asked, nil)
	}
	if first.magic > 2 {
		return stuck(asked, fmt.Errorf("the batch at offset %d has the unknown format %d", first.first, first.magic))
	}
	if first.records > maxRecords && first.intact(log) {
		return d.refuse(rp, asked, first, log, tooLarge("holds %d records, the limit is %d", first.records, maxRecords))
	}
	part := *rp
	part.RecordBatches = log[:readable(log)]
	fp, next, bad := d.process(&part, asked)
	if bad > 0 {
		part.RecordBatches = log[:bad]
		fp, next, _ = d.process(&part, asked)
	}
	if bad == 0 || (next == asked && len(fp.Records) == 0) { // the first batch is the trouble; a later one is first next time
		switch {
		case errors.Is(fp.Err, kgo.ErrMaxDecompress):
			return d.refuse(rp, asked, first, log, tooLarge("inflates to more than %d bytes", maxDecompressed))
		case first.intact(log):
			return d.refuse(rp, asked, first, log, unreadable(cmp.Or(fp.Err, errDamaged)))
		}
		return stuck(asked, fmt.Errorf("the batch at offset %d is damaged: %w", first.first, cmp.Or(fp.Err, errDamaged)))
	}
	out := decoded{asked: asked, next: next, begins: first.epoch, epoch: epochBefore(log, next)}
	out.messages = make([]*event.Message, len(fp.Records))
	for i, r := range fp.Records {
		out.messages[i] = d.message(r)
	}
	d.mark(rp.Partition, &out)
	return out
}

// mark lets the position move behind an end that holds no record, such as the marker of a transaction: the last message says
// so, and where there is none a blank one.
func (d *decoder) mark(partition int32, out *decoded) {
	n := len(out.messages)
	switch {
	case n > 0 && out.messages[n-1].After() < out.next:
		out.messages[n-1].Next, out.messages[n-1].Epoch = out.next, out.epoch
	case n == 0 && out.asked < out.next:
		out.messages = []*event.Message{{
			Source: d.source, Topic: d.topic, TopicID: d.topicID, Partition: partition, Offset: out.next - 1, Epoch: out.epoch, Blank: true,
		}}
	}
}

// process runs ProcessFetchPartition. It stops at damage, but passes over a batch whose records end too early as if it were
// not there; bad is where the first such batch begins, -1 if there is none.
func (d *decoder) process(rp *kmsg.FetchResponseTopicPartition, asked int64) (fp kgo.FetchPartition, next int64, bad int) {
	d.inflate.reset()
	bad = -1
	at, log := 0, rp.RecordBatches
	opts := kgo.ProcessFetchPartitionOpts{Offset: asked, IsolationLevel: kgo.ReadCommitted(), Topic: d.topic, Partition: rp.Partition}
	fp, next = kgo.ProcessFetchPartition(opts, rp, &d.inflate, func(m kgo.FetchBatchMetrics) {
		h, ok := nextBatch(log[at:])
		if ok && h.magic == 2 && m.NumRecords != int(h.records) && bad < 0 {
			bad = at
		}
		at += h.size
	})
	if fp.Err != nil {
		bad = -1 // it stopped: the error says the same
	}
	return fp, next, bad
}

func stuck(asked int64, err error) decoded {
	return decoded{asked: asked, next: asked, begins: -1, epoch: -1, err: err}
}

var errDamaged = errors.New("its records are cut")

// readable answers the length of the batches before the first that is over the limit of records or of a format that is not known.
func readable(log []byte) int {
	n := 0
	for h, ok := nextBatch(log); ok && h.records <= maxRecords && h.magic <= 2; h, ok = nextBatch(log[n:]) {
		n += h.size
	}
	return n
}

// epochBefore answers the leader epoch of the last batch that ends before next. The epoch of a batch, not of a record: a
// commit marker may be of a later epoch than the records before it, and only its own passes the broker's check for a cut log.
func epochBefore(log []byte, next int64) int32 {
	epoch := int32(-1)
	for h, ok := nextBatch(log); ok && h.last < next; h, ok = nextBatch(log) {
		epoch, log = h.epoch, log[h.size:]
	}
	return epoch
}

// refuse hands a batch on unread, as one message at its last offset; one that was aborted it passes.
func (d *decoder) refuse(rp *kmsg.FetchResponseTopicPartition, asked int64, h batchHead, log []byte, why *event.Error) decoded {
	out := decoded{asked: asked, next: h.last + 1, begins: h.epoch, epoch: h.epoch}
	if h.aborted(log, rp.AbortedTransactions) {
		d.mark(rp.Partition, &out)
		return out
	}
	why.Text = fmt.Sprintf("the record batch of offsets %d to %d %s", h.first, h.last, why.Text)
	out.messages = []*event.Message{{
		Source: d.source, Topic: d.topic, TopicID: d.topicID, Partition: rp.Partition, Offset: h.last, Epoch: h.epoch,
		Time:  time.UnixMilli(int64(binary.BigEndian.Uint64(log[atMaxTime:]))).UTC(),
		Value: bytes.Clone(log[:h.size]), Refused: why,
	}}
	return out
}

func tooLarge(format string, args ...any) *event.Error {
	return event.Errorf(event.Poison, "too_large", "", format+": have its producer write smaller batches, and these events again", args...)
}

func unreadable(err error) *event.Error {
	return event.Errorf(event.Poison, "decode", "", "is as it was written and cannot be read: %w. Mend the client that wrote it, "+
		"and have it write these events again", err)
}

// message copies a record out of the buffers that it lies in: one allocation for all its bytes.
func (d *decoder) message(r *kgo.Record) *event.Message {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Value)
	}
	own := make([]byte, 0, n)
	keep := func(b []byte) []byte {
		if b == nil {
			return nil // null and empty are two facts
		}
		from := len(own)
		own = append(own, b...)
		return own[from:len(own):len(own)]
	}
	m := &event.Message{
		Source: d.source, Topic: d.topic, TopicID: d.topicID,
		Partition: r.Partition, Offset: r.Offset, Epoch: r.LeaderEpoch, Time: r.Timestamp.UTC(),
		Key: keep(r.Key), Value: keep(r.Value),
	}
	if len(r.Headers) > 0 {
		m.Headers = make([]event.Header, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = event.Header{Key: h.Key, Value: keep(h.Value)}
		}
	}
	return m
}

// batches looks inside what is to be written, as Apache Kafka does: kfake takes it unread, and its compaction trips over it
// an hour later.
func (k *checker) batches(req *kmsg.ProduceRequest) error {
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if err := k.batch(p.Records); err != nil {
				return fmt.Errorf("records for %s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

func (k *checker) batch(log []byte) error {
	for len(log) > 0 {
		h, ok := nextBatch(log)
		switch {
		case !ok || h.magic != 2:
			return errors.New("not a record batch of format 2")
		case !h.intact(log):
			return errors.New("the checksum of a record batch is wrong")
		case h.records < 1 || h.records > maxRecords || h.last != h.first+int64(h.records)-1:
			return fmt.Errorf("a record batch that says it has %d records", h.records)
		}
		k.decoder.inflate.reset()
		opts := kgo.ProcessFetchPartitionOpts{Offset: h.first, KeepControlRecords: true}
		fp, _ := kgo.ProcessFetchPartition(opts, &kmsg.FetchResponseTopicPartition{RecordBatches: log[:h.size]}, &k.decoder.inflate, nil)
		if fp.Err != nil {
			return fmt.Errorf("a record batch that cannot be read: %w", fp.Err)
		}
		if len(fp.Records) != int(h.records) {
			return fmt.Errorf("a record batch says it has %d records, %d can be read", h.records, len(fp.Records))
		}
		log = log[h.size:]
	}
	return nil
}

// inflater is a kgo.Decompressor with a limit, for one goroutine: between two resets it gives maxDecompressed bytes at most
// (41 KB of zstd can be 300 MB). What it gives lies in a buffer that the next reset reuses.
type inflater struct {
	buf  []byte // kept between resets
	free []byte // what is left of buf, with length 0
	left int    // bytes that it may still give
	gzip *gzip.Reader
	lz4  *lz4.Reader
	zstd *zstd.Decoder
}

const keepInflated = 8 << 20 // bytes of buffer kept

func (f *inflater) reset() {
	if spent := min(maxDecompressed-f.left, keepInflated); f.left > 0 && spent > cap(f.buf) {
		f.buf = make([]byte, 0, spent) // one buffer for all batches of such an answer
	}
	if cap(f.buf) > keepInflated {
		f.buf = nil
	}
	f.free, f.left = f.buf, maxDecompressed
}

// Decompress answers the inflated bytes, or an error that wraps kgo.ErrMaxDecompress where they pass the limit.
func (f *inflater) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	var out []byte
	var err error
	switch codec {
	case kgo.CodecNone:
		return src, nil
	case kgo.CodecGzip:
		out, err = f.gunzip(src)
	case kgo.CodecSnappy:
		out, err = f.snappy(src)
	case kgo.CodecLz4:
		if f.lz4 == nil {
			f.lz4 = lz4.NewReader(nil)
		}
		f.lz4.Reset(bytes.NewReader(src))
		out, err = f.read(f.lz4)
	case kgo.CodecZstd:
		out, err = f.unzstd(src)
	default:
		return nil, fmt.Errorf("compression codec %d is unknown", codec)
	}
	if err != nil {
		return nil, err
	}
	f.left -= len(out)
	if len(out) <= cap(f.free) {
		f.free = f.free[len(out):len(out):cap(f.free)]
		return out, nil
	}
	if cap(out) > cap(f.buf) {
		f.buf = out[:0]
	}
	f.free = out[len(out):]
	return out, nil
}

func (f *inflater) gunzip(src []byte) ([]byte, error) {
	if f.gzip == nil {
		f.gzip = new(gzip.Reader)
	}
	if err := f.gzip.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	return f.read(f.gzip)
}

func (f *inflater) read(r io.Reader) ([]byte, error) {
	out := bytes.NewBuffer(f.free)
	n, err := out.ReadFrom(io.LimitReader(r, int64(f.left)+1))
	if err != nil {
		return nil, err
	}
	if n > int64(f.left) {
		return nil, kgo.ErrMaxDecompress
	}
	return out.Bytes(), nil
}

func (f *inflater) unzstd(src []byte) ([]byte, error) {
	if f.zstd == nil {
		var err error
		f.zstd, err = zstd.NewReader(nil,
			zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecompressed))
		if err != nil {
			return nil, err
		}
	}
	out, err := f.zstd.DecodeAll(src, f.free)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || (err == nil && len(out) > f.left) {
		return nil, kgo.ErrMaxDecompress
	}
	return out, err
}

// snappy reads a bare block, or the framing of the Java client (xerial): a head of 16 bytes, then blocks behind their size.
func (f *inflater) snappy(src []byte) ([]byte, error) {
	const magic, head = "\x82SNAPPY\x00", 16
	if len(src) <= head || string(src[:len(magic)]) != magic {
		return f.block(f.free, src)
	}
	out := f.free
	for src = src[head:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return nil, io.ErrUnexpectedEOF
		}
		var err error
		if out, err = f.block(out, src[:n]); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return out, nil
}

// block appends one inflated block to out; the block's own head says how large it is.
func (f *inflater) block(out, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if len(out)+n > f.left {
		return nil, kgo.ErrMaxDecompress
	}
	if cap(out)-len(out) < n {
		grown := make([]byte, len(out), max(len(out)+n, 2*cap(out)))
		copy(grown, out)
		out = grown
	}
	if _, err := s2.Decode(out[len(out):len(out)+n], src); err != nil {
		return nil, err
	}
	return out[:len(out)+n], nil
}
