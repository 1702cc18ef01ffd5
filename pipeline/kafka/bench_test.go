package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
)

const benchRecords = 100_000 // of 1 KB, in batches of about 100, snappy, on 4 partitions

func benchTopic(b *testing.B, brokers string) string {
	b.Helper()
	topic := newTopic(b, client(b, brokers), 4, nil)
	s := stranger(b, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(100_000))
	value := strings.Repeat("0123456789abcdef", 64)
	var records []*kgo.Record
	for i := range benchRecords {
		records = append(records, &kgo.Record{
			Topic: topic, Partition: int32(i % 4), Key: fmt.Appendf(nil, "customer-%d", i), Value: []byte(value),
			Headers: []kgo.RecordHeader{{Key: "type", Value: []byte("order")}},
		})
	}
	produce(b, s, records...)
	return topic
}

// BenchmarkRead reads one topic from its start by three ways in one run, ours twice: what the two differ by means nothing. Run
// it several times with -count 1, so that the ways alternate. Ours hands each message on in its frame and has it acknowledged;
// the others build their own record and no more. The same patience for all, opening is counted, closing is not. The CPU is the
// whole process's, the embedded broker's part included.
func BenchmarkRead(b *testing.B) {
	brokers := cluster(b)
	topic := benchTopic(b, brokers)
	ours := func(b *testing.B) {
		cpu := newMeter(b)
		for b.Loop() {
			c, err := kafka.NewClient(kafka.Config{Brokers: strings.Split(brokers, ",")})
			if err != nil {
				b.Fatal(err)
			}
			s := kafka.NewSubscriber(c, &positions{}, map[string]string{topic: "shop"}, kafka.SubscriberOptions{})
			ch, err := s.Subscribe(context.Background(), topic)
			if err != nil {
				b.Fatal(err)
			}
			for range benchRecords {
				m := <-ch
				if event.FromContext(m.Context()) == nil {
					b.Fatal("no message")
				}
				m.Ack()
			}
			cpu.pause(func() { _, _ = s.Close(), c.Close() })
		}
		cpu.report()
	}
	b.Run("Subscriber", ours)
	b.Run("SubscriberAgain", ours)
	b.Run("FranzGo", func(b *testing.B) {
		cpu := newMeter(b)
		for b.Loop() {
			c := stranger(b, brokers, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
				kgo.FetchMaxWait(kafka.DefaultMaxWait), kgo.FetchMaxPartitionBytes(1<<20))
			for n := 0; n < benchRecords; {
				n += c.PollFetches(b.Context()).NumRecords()
			}
			cpu.pause(c.Close)
		}
		cpu.report()
	})
	b.Run("KafkaGoReader", func(b *testing.B) {
		cpu := newMeter(b)
		for b.Loop() {
			each := make(chan error)
			readers := make(chan *kafkago.Reader, 4)
			for p := range 4 {
				go func() {
					r := kafkago.NewReader(kafkago.ReaderConfig{
						Brokers: strings.Split(brokers, ","), Topic: topic, Partition: p,
						QueueCapacity: 1000, MaxBytes: 1 << 20, MaxWait: kafka.DefaultMaxWait,
					})
					var err error
					for n := 0; n < benchRecords/4 && err == nil; n++ {
						_, err = r.ReadMessage(b.Context())
					}
					readers <- r
					each <- err
				}()
			}
			for range 4 {
				if err := <-each; err != nil {
					b.Fatal(err)
				}
			}
			cpu.pause(func() {
				for range 4 {
					_ = (<-readers).Close()
				}
			})
		}
		cpu.report()
	})
}

func BenchmarkPublish(b *testing.B) {
	brokers := cluster(b)
	c := client(b, brokers)
	for _, n := range []int{1, 100, 1000} {
		run := func(b *testing.B) {
			topic := newTopic(b, c, 4, nil)
			p := kafka.NewPublisher(c, kafka.PublisherOptions{})
			value := []byte(strings.Repeat("0123456789abcdef", 64))
			ms := make([]*message.Message, n)
			for i := range ms {
				ms[i] = message.NewMessage(fmt.Sprint(i), value)
				ms[i].Metadata.Set(kafka.KeyMetadata, fmt.Sprint(i))
			}
			b.ResetTimer()
			for b.Loop() {
				if err := p.Publish(topic, ms...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
		}
		b.Run(fmt.Sprint(n), run)
		b.Run(fmt.Sprint(n, "Again"), run)
	}
}

// meter counts the CPU of this process beside the time.
type meter struct {
	b     *testing.B
	start time.Duration
}

func newMeter(b *testing.B) *meter { return &meter{b, used()} }

func used() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// pause leaves f out of both.
func (m *meter) pause(f func()) {
	m.b.StopTimer()
	before := used()
	f()
	m.start += used() - before
	m.b.StartTimer()
}

func (m *meter) report() {
	n := float64(m.b.N) * benchRecords
	m.b.ReportMetric(n/m.b.Elapsed().Seconds(), "records/s")
	m.b.ReportMetric((used()-m.start).Seconds()*1e6/n, "cpu-us/record")
}
