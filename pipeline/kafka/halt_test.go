package kafka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
)

// at is a store that knows one position.
type at event.Position

func (a at) Claim(_ context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	pos := event.Position(a)
	pos.Partition = event.Partition{Source: source, Topic: topic, Partition: partitions[0]}
	return []event.Position{pos}, nil
}

func TestOutOfRangeHalts(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 1, nil)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic,
		"k", "0", "k", "1", "k", "2", "k", "3", "k", "4", "k", "5", "k", "6", "k", "7")
	other := stranger(t, brokers)
	del := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 5}}
	del.Topics, del.TimeoutMillis = append(del.Topics, rt), 5000
	if _, err := del.RequestWith(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, code, text string
		next             int64
	}{
		{"before the start", kafka.HaltDataLost, "records 2 to 4, 3 in number", 2},
		{"behind the end", kafka.HaltTruncated, "ends at offset 8, we have read up to 100", 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, ch := subscribe(t, c, topic, at{Next: tc.next, Epoch: -1}, kafka.SubscriberOptions{})
			st := until(t, s, tc.code, halted(tc.code))
			if st[0].Err == nil || !strings.Contains(st[0].Err.Error(), tc.text) || st[0].Next != tc.next {
				t.Errorf("got %+v", st[0])
			}
			quiet(t, ch, 700*time.Millisecond) // never a silent reset
		})
	}
	_, ch := subscribe(t, c, topic, at{Next: -1, Epoch: -1}, kafka.SubscriberOptions{})
	if diff := cmp.Diff([]string{"5", "6", "7"}, values(take(t, ch, 3))); diff != "" {
		t.Error("what was never read begins at the earliest:", diff)
	}
}

// The embedded broker was killed, and a byte of its log has turned: it cuts the log there. Whoever stood behind that is halted,
// also when the log has grown over the place meanwhile; where nothing is lost reading goes on.
func TestDamagedLogHalts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage int // the batch; of ten, -1 for none
		more   int
		read   int // of the ten
		halted bool
	}{
		{"behind the cut", 5, 0, 10, true},
		{"behind the cut, and grown over it", 5, 20, 10, true},
		{"all is cut, and grown over", 0, 20, 10, true},
		{"before the cut", 5, 20, 5, false},
		{"at the start of what was cut", 5, 3, 5, false},
		{"undamaged", -1, 20, 10, false},
		{"undamaged, within the old epoch", -1, 20, 4, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			b := embedded(t, kafka.BrokerConfig{Dir: dir})
			c := client(t, b.Addr())
			topic := newTopic(t, c, 1, nil)
			write := func(n int) {
				p := kafka.NewPublisher(c, kafka.PublisherOptions{Compression: "none"})
				for i := range n {
					publish(t, p, topic, "k", fmt.Sprintf("%02d", i))
				}
			}
			write(10)
			pos := &positions{}
			s, ch := subscribe(t, c, topic, pos, kafka.SubscriberOptions{})
			for _, m := range take(t, ch, 10)[:tc.read] {
				pos.record(m)
			}
			_, _ = s.Close(), b.Close()
			folder := filepath.Join(dir, "partitions", topic+"-0")
			file := filepath.Join(folder, "0.dat")
			log, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if tc.damage >= 0 {
				log[len(log)/10*tc.damage+70] ^= 1
			}
			if err := errors.Join(os.WriteFile(file, log, 0o600), os.Remove(filepath.Join(folder, "snapshot.json"))); err != nil { // as after a kill
				t.Fatal(err)
			}
			b = embedded(t, kafka.BrokerConfig{Dir: dir})
			c = client(t, b.Addr())
			write(tc.more)
			s, ch = subscribe(t, c, topic, pos, kafka.SubscriberOptions{})
			if tc.halted {
				st := until(t, s, kafka.HaltTruncated, halted(kafka.HaltTruncated))
				if quiet(t, ch, 50*time.Millisecond); st[0].Next != 10 || !strings.Contains(st[0].Err.Error(), "cut") {
					t.Errorf("got %+v", st[0])
				}
				return
			}
			end := int64(10 + tc.more)
			if tc.damage >= 0 {
				end = int64(tc.damage + tc.more)
			}
			take(t, ch, int(end)-tc.read)
			until(t, s, "at the end", func(st []kafka.PartitionState) bool {
				return st[0].Next == end && st[0].Halted == "" && st[0].Err == nil
			})
		})
	}
}

// Epochs grow with every start of the embedded broker, also past those that damage has removed.
func TestEpochsGrow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var topic string
	last := int32(-1)
	for i := range 4 {
		b := embedded(t, kafka.BrokerConfig{Dir: dir})
		c := client(t, b.Addr())
		if i == 0 {
			topic = newTopic(t, c, 1, nil)
		}
		publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", "v")
		_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
		n := i + 1
		if i == 3 {
			n = 1
		}
		ms := take(t, ch, n)
		if now := ms[len(ms)-1].Epoch; now <= last {
			t.Errorf("start %d has epoch %d, the one before had %d", i, now, last)
		} else {
			last = now
		}
		_, _ = c.Close(), b.Close()
		if i == 2 { // all is lost
			folder := filepath.Join(dir, "partitions", topic+"-0")
			if err := errors.Join(os.Truncate(filepath.Join(folder, "0.dat"), 10), os.Remove(filepath.Join(folder, "snapshot.json"))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Compaction may leave nothing of the epoch that was read last: that is no cut.
func TestCompactedEpochIsNoCut(t *testing.T) {
	k, addr := staged(t)
	if err := k.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}); err != nil {
		t.Fatal(err)
	}
	c := client(t, addr)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), "compacted", "k", "0", "k", "1", "k", "2")
	pos := &positions{}
	s, ch := subscribe(t, c, "compacted", pos, kafka.SubscriberOptions{})
	for _, m := range take(t, ch, 3) {
		pos.record(m)
	}
	_ = s.Close()
	k.ShufflePartitionLeaders()
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), "compacted", "k", "3")
	k.Compact()
	_, ch = subscribe(t, c, "compacted", pos, kafka.SubscriberOptions{})
	if got := take(t, ch, 1); string(got[0].Value) != "3" {
		t.Errorf("got %s", got[0].Value)
	}
}

func TestRecreatedTopicHalts(t *testing.T) {
	brokers := cluster(t)
	c := client(t, brokers)
	topic := newTopic(t, c, 1, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	publish(t, p, topic, "k", "0", "k", "1")
	pos := &positions{}
	s, ch := subscribe(t, c, topic, pos, kafka.SubscriberOptions{})
	for _, m := range take(t, ch, 2) {
		pos.record(m)
	}
	other := stranger(t, brokers)
	del := kmsg.NewPtrDeleteTopicsRequest()
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.Topic = &topic
	del.TopicNames, del.Topics, del.TimeoutMillis = []string{topic}, append(del.Topics, dt), 5000
	if _, err := del.RequestWith(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureTopic(t.Context(), topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", "new 0", "k", "new 1", "k", "new 2")
	until(t, s, "halted while reading", halted(kafka.HaltRecreated))
	quiet(t, ch, 50*time.Millisecond)

	s, ch = subscribe(t, c, topic, pos, kafka.SubscriberOptions{})
	until(t, s, "halted at the start", halted(kafka.HaltRecreated))
	quiet(t, ch, 50*time.Millisecond)
}

// staged is a broker without our guard, whose answers a test can replace.
func staged(t *testing.T) (*kfake.Cluster, string) {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, k.ListenAddrs()[0]
}

// answers replaces the answers to Fetch, one each; what comes after has no records.
func answers(k *kfake.Cluster, each ...func(asked int64, p *kmsg.FetchResponseTopicPartition)) *atomic.Int64 {
	n := new(atomic.Int64)
	k.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		i := n.Add(1) - 1
		req := r.(*kmsg.FetchRequest)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = 1000, 1000, 0
		if i < int64(len(each)) {
			each[i](req.Topics[0].Partitions[0].FetchOffset, &rp)
		} else {
			time.Sleep(5 * time.Millisecond)
		}
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	return n
}

// batch makes a record batch of values that begins at an offset and ends at last.
func batch(first, last int64, codec kgo.CompressionCodec, values ...string) []byte {
	var raw []byte
	for i, v := range values {
		rec := kmsg.NewRecord()
		rec.OffsetDelta, rec.Value = int32(i), []byte(v)
		body := rec.AppendTo(nil)[1:] // behind the length, which is 0
		rec.Length = int32(len(body))
		raw = rec.AppendTo(raw)
	}
	attributes := int16(0)
	if comp, _ := kgo.DefaultCompressor(codec); comp != nil {
		packed, used := comp.Compress(newBuffer(), raw)
		raw, attributes = packed, int16(used)
	}
	return rawBatch(first, last, attributes, int32(len(values)), raw)
}

func rawBatch(first, last int64, attributes int16, count int32, raw []byte) []byte {
	rb := kmsg.RecordBatch{
		FirstOffset: first, Magic: 2, Attributes: attributes, LastOffsetDelta: int32(last - first), ProducerID: -1, ProducerEpoch: -1,
		FirstSequence: -1, NumRecords: count, Records: raw, Length: int32(49 + len(raw)), PartitionLeaderEpoch: 3,
	}
	return seal(rb.AppendTo(nil))
}

// seal writes the checksum.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func records(b ...byte) func(int64, *kmsg.FetchResponseTopicPartition) {
	return func(_ int64, p *kmsg.FetchResponseTopicPartition) { p.RecordBatches = b }
}

func code(err *kerr.Error) func(int64, *kmsg.FetchResponseTopicPartition) {
	return func(_ int64, p *kmsg.FetchResponseTopicPartition) { p.ErrorCode = err.Code }
}

func TestAnswers(t *testing.T) {
	none := kgo.NoCompression()
	good := batch(0, 1, none, "a", "b")
	flipped := append([]byte(nil), batch(2, 3, none, "c", "d")...)
	flipped[len(flipped)-2] ^= 1
	garbage := rawBatch(2, 3, 0, 2, []byte{200, 1, 0, 0, 0, 1, 1, 1})
	unpackable := rawBatch(2, 3, 4, 2, []byte("no zstd"))
	unheardOf := rawBatch(2, 3, 6, 2, []byte("a codec to come"))
	claims := rawBatch(2, 1<<21, 0, 1<<21, []byte("x"))
	bomb := batch(2, 2, kgo.ZstdCompression(), strings.Repeat("0", 65<<20))
	strange := append([]byte(nil), batch(2, 3, none, "c", "d")...)
	strange[16] = 3
	diverging := func(_ int64, p *kmsg.FetchResponseTopicPartition) {
		p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = 3, 1
	}
	join := func(bs ...[]byte) (all []byte) {
		for _, b := range bs {
			all = append(all, b...)
		}
		return all
	}
	tail := batch(4, 4, none, "e")
	type step = func(int64, *kmsg.FetchResponseTopicPartition)
	for _, tc := range []struct {
		name   string
		steps  []step
		want   []string // values; of a batch that is handed on unread its reason, its size in bytes and what is said of it
		halted string
		next   int64
	}{
		{"compacted tail: next is behind the batch", []step{records(batch(0, 3, none, "a")...), records(tail...)}, []string{"a", "e"}, "", 5},
		{"a batch without records", []step{records(batch(0, 3, none)...), records(tail...)}, []string{"e"}, "", 5},
		{
			"cut at the byte limit",
			[]step{records(join(good, flipped[:40])...), records(batch(2, 2, none, "c")...)},
			[]string{"a", "b", "c"},
			"", 3,
		},
		{
			"wrong checksum",
			[]step{records(join(good, flipped, tail)...), records(flipped...), records(flipped...)},
			[]string{"a", "b"},
			kafka.HaltCorrupt, 2,
		},
		{"wrong checksum once", []step{records(flipped...), records(good...)}, []string{"a", "b"}, "", 2},
		{"broker says corrupt", []step{code(kerr.CorruptMessage), code(kerr.CorruptMessage)}, nil, kafka.HaltCorrupt, 0},
		{"unknown format", []step{records(good...), records(strange...), records(strange...)}, []string{"a", "b"}, kafka.HaltCorrupt, 2},
		{
			"records that are none",
			[]step{records(join(good, garbage, tail)...), records(join(garbage, tail)...), records(tail...)},
			[]string{"a", "b", "decode 69 the record batch of offsets 2 to 3 is as it was written and cannot be read: " +
				"its records are cut. Mend the client that wrote it, and have it write these events again", "e"},
			"", 5,
		},
		{
			"cannot be unpacked",
			[]step{records(join(good, unpackable, tail)...), records(join(unpackable, tail)...), records(tail...)},
			[]string{"a", "b", "decode 68 the record batch of offsets 2 to 3 is as it was written and cannot be read: " +
				"unable to decompress batch: invalid input: magic number mismatch. Mend the client that wrote it, and have it write these events again", "e"},
			"", 5,
		},
		{
			"unknown compression",
			[]step{records(join(good, unheardOf, tail)...), records(join(unheardOf, tail)...), records(tail...)},
			[]string{"a", "b", "decode 76 the record batch of offsets 2 to 3 is as it was written and cannot be read: " +
				"unable to decompress batch: compression codec 6 is unknown. Mend the client that wrote it, and have it write these events again", "e"},
			"", 5,
		},
		{
			"decompression bomb",
			[]step{records(join(good, bomb, tail)...), records(join(bomb, tail)...), records(tail...)},
			[]string{"a", "b", fmt.Sprintf("too_large %d the record batch of offsets 2 to 2 inflates to more than 67108864 bytes: "+
				"have its producer write smaller batches, and these events again", len(bomb)), "e"},
			"", 5,
		},
		{
			"too many records",
			[]step{records(join(good, claims)...), records(claims...)},
			[]string{"a", "b", "too_large 62 the record batch of offsets 2 to 2097152 holds 2097152 records, the limit is 1048576: " +
				"have its producer write smaller batches, and these events again"},
			"", 1<<21 + 1,
		},
		{"diverging epoch", []step{records(good...), diverging}, []string{"a", "b"}, kafka.HaltTruncated, 2},
		{"topics that are missing for a moment", []step{
			code(kerr.UnknownTopicID), code(kerr.UnknownTopicOrPartition),
			code(kerr.InconsistentTopicID), records(good...),
		}, []string{"a", "b"}, "", 2},
		{"denied", []step{code(kerr.TopicAuthorizationFailed)}, nil, kafka.HaltDenied, 0},
		{"leader moves and epochs", []step{
			code(kerr.NotLeaderForPartition), code(kerr.FencedLeaderEpoch), code(kerr.UnknownLeaderEpoch),
			code(kerr.KafkaStorageError), records(good...),
		}, []string{"a", "b"}, "", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			k, addr := staged(t)
			answers(k, tc.steps...)
			s, ch := subscribe(t, client(t, addr), "t", &positions{}, kafka.SubscriberOptions{})
			var got []string
			for _, m := range take(t, ch, len(tc.want)) {
				if m.Refused != nil {
					got = append(got, fmt.Sprintf("%s %d %s", m.Refused.Reason, len(m.Value), m.Refused))
					if m.Refused.Class != event.Poison {
						t.Errorf("a batch that cannot be read is of class %s", m.Refused.Class)
					}
				} else {
					got = append(got, string(m.Value))
				}
				if m.Epoch != 3 {
					t.Errorf("%s has epoch %d, the batch's is 3", m.ID(), m.Epoch)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			st := until(t, s, "at its end", func(st []kafka.PartitionState) bool { return st[0].Halted == tc.halted && st[0].Next == tc.next })
			if tc.halted != "" && st[0].Err == nil {
				t.Errorf("halted without a word: %+v", st[0])
			}
		})
	}
}

// A batch that was aborted is never told of, also where it could not be read: the position passes it. One that was not, or is
// damaged so that nothing of it can be believed, is no such batch.
func TestAbortedBatchIsPassedUnread(t *testing.T) {
	t.Parallel()
	const ours, other = 9, 10
	of := func(producer int64, attributes byte, b []byte) []byte {
		b[22] |= attributes
		binary.BigEndian.PutUint64(b[43:], uint64(producer))
		return seal(b)
	}
	const transactional = 1 << 4
	bomb := func() []byte { return batch(2, 3, kgo.ZstdCompression(), strings.Repeat("0", 65<<20), "") }
	claims := func() []byte { return rawBatch(2, 3, 0, 1<<21, []byte("x")) }
	garbage := func() []byte { return rawBatch(2, 3, 0, 2, []byte{200, 1, 0, 0, 0, 1, 1, 1}) }
	unpackable := func() []byte { return rawBatch(2, 3, 4, 2, []byte("no zstd")) }
	damaged := of(ours, transactional, claims())
	damaged[len(damaged)-1] ^= 1
	read, before := batch(0, 1, kgo.NoCompression(), "a", "b"), of(ours, transactional, batch(0, 1, kgo.NoCompression(), "x", "y"))
	for _, tc := range []struct {
		name    string
		first   []byte
		batch   []byte
		aborted map[int64]int64 // producers, and where their transactions begin
		want    []string        // values; "refused" for a batch that is handed on unread
		halted  string
	}{
		{"inflates to too much", read, of(ours, transactional, bomb()), map[int64]int64{ours: 2}, []string{"a", "b", "e"}, ""},
		{"says that it has too many records", read, of(ours, transactional, claims()), map[int64]int64{ours: 2}, []string{"a", "b", "e"}, ""},
		{"its records are none", read, of(ours, transactional, garbage()), map[int64]int64{ours: 2}, []string{"a", "b", "e"}, ""},
		{"cannot be unpacked", read, of(ours, transactional, unpackable()), map[int64]int64{ours: 2}, []string{"a", "b", "e"}, ""},
		{"behind others that were aborted", before, of(ours, transactional, bomb()), map[int64]int64{ours: 0}, []string{"e"}, ""},
		{"was committed", read, of(ours, transactional, claims()), nil, []string{"a", "b", "refused", "e"}, ""},
		{"is another's", read, of(ours, transactional, claims()), map[int64]int64{other: 2}, []string{"a", "b", "refused", "e"}, ""},
		{"is before it", read, of(ours, transactional, claims()), map[int64]int64{ours: 4}, []string{"a", "b", "refused", "e"}, ""},
		{"is of no transaction", read, of(ours, 0, claims()), map[int64]int64{ours: 2}, []string{"a", "b", "refused", "e"}, ""},
		{"is damaged", read, damaged, map[int64]int64{ours: 2}, []string{"a", "b"}, kafka.HaltCorrupt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			k, addr := staged(t)
			tail := batch(4, 4, kgo.NoCompression(), "e")
			step := func(asked int64, p *kmsg.FetchResponseTopicPartition) { // all from there on
				for _, b := range [][]byte{tc.first, tc.batch, tail} {
					if int64(binary.BigEndian.Uint64(b)) >= asked {
						p.RecordBatches = append(p.RecordBatches, b...)
					}
				}
				for producer, first := range tc.aborted {
					a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
					a.ProducerID, a.FirstOffset = producer, first
					p.AbortedTransactions = append(p.AbortedTransactions, a)
				}
			}
			answers(k, step, step, step)
			pos := &positions{}
			s, ch := subscribe(t, client(t, addr), "t", pos, kafka.SubscriberOptions{})
			var got []string
			for _, m := range take(t, ch, len(tc.want)) {
				if m.Refused != nil {
					m.Value = []byte("refused")
				}
				got = append(got, string(m.Value))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			quiet(t, ch, 20*time.Millisecond)
			end := int64(5)
			if tc.halted != "" {
				end = 2
			}
			until(t, s, "at its end", func(st []kafka.PartitionState) bool { return st[0].Halted == tc.halted && st[0].Next == end })
		})
	}
}

// The epoch that is sent with the next question is the last batch's, also when it held no record.
func TestLastFetchedEpoch(t *testing.T) {
	k, addr := staged(t)
	marker := batch(2, 2, kgo.NoCompression())
	binary.BigEndian.PutUint32(marker[12:], 7) // not under the checksum
	var epoch atomic.Int32
	epoch.Store(-2)
	k.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if p := r.(*kmsg.FetchRequest).Topics[0].Partitions[0]; p.FetchOffset == 3 {
			epoch.Store(p.LastFetchedEpoch)
		}
		return nil, nil, false
	})
	answers(k, records(append(batch(0, 1, kgo.NoCompression(), "a", "b"), marker...)...))
	_, ch := subscribe(t, client(t, addr), "t", &positions{}, kafka.SubscriberOptions{})
	take(t, ch, 2)
	for deadline := time.Now().Add(patience); epoch.Load() == -2 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if epoch.Load() != 7 {
		t.Errorf("asked with epoch %d, the last batch's is 7", epoch.Load())
	}
}

// A claim that fails is tried again, and shown meanwhile.
func TestClaimFails(t *testing.T) {
	c := client(t, cluster(t))
	topic := newTopic(t, c, 1, nil)
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), topic, "k", "v")
	f := &failing{}
	f.fail.Store(true)
	s, ch := subscribe(t, c, topic, f, kafka.SubscriberOptions{})
	until(t, s, "failing", func(st []kafka.PartitionState) bool {
		return st[0].Err != nil && strings.Contains(st[0].Err.Error(), "the disk is full")
	})
	f.fail.Store(false)
	take(t, ch, 1)
}

type failing struct {
	positions
	fail atomic.Bool
}

func (f *failing) Claim(ctx context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	if f.fail.Load() {
		return nil, errors.New("the disk is full")
	}
	return f.positions.Claim(ctx, source, topic, partitions)
}

// The first failure of a connection may be any, not only that of an old one from the pool: it is waited out.
func TestFetchFails(t *testing.T) {
	k, addr := staged(t)
	k.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		resp := r.ResponseKind().(*kmsg.FetchResponse)
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil, true
	})
	c := client(t, addr)
	s, ch := subscribe(t, c, "t", &positions{}, kafka.SubscriberOptions{})
	publish(t, kafka.NewPublisher(c, kafka.PublisherOptions{}), "t", "k", "v")
	take(t, ch, 1)
	until(t, s, "well again", func(st []kafka.PartitionState) bool { return st[0].Err == nil && st[0].Next == 1 })
}
