package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// Defaults of BrokerConfig.
const (
	DefaultListen       = "127.0.0.1:9092"
	DefaultPartitions   = 4
	DefaultRetention    = 7 * 24 * time.Hour
	DefaultMaxMessage   = 12 << 20
	DefaultMaxFrame     = 16 << 20
	DefaultConnections  = 512
	DefaultUnanswered   = 64 << 20
	retentionEvery      = 5 * time.Minute
	DefaultRetainedSize = 1 << 30
)

// BrokerConfig says where the embedded broker listens and keeps its log; a zero takes the default.
type BrokerConfig struct {
	Listen         string        // host:port of this machine's loopback; port 0 takes a free one
	Dir            string        // of the log, made if missing; empty: in memory, for tests
	Partitions     int           // of a topic that a client makes without saying how many
	Retention      time.Duration // of records on topics that do not say themselves (retention.ms); negative: for ever
	RetainedSize   int64         // bytes of a partition, likewise (retention.bytes); negative: without end
	MaxMessage     int           // bytes of a record batch
	MaxFrame       int           // bytes of one request
	MaxConnections int
	MaxUnanswered  int64        // bytes of requests of all connections together, those of 64 KiB and less apart; others wait
	Log            *slog.Logger // nil: silent
}

func (c BrokerConfig) withDefaults() BrokerConfig {
	c.Listen = cmp.Or(c.Listen, DefaultListen)
	c.Partitions = cmp.Or(c.Partitions, DefaultPartitions)
	c.Retention = cmp.Or(c.Retention, DefaultRetention)
	c.RetainedSize = cmp.Or(c.RetainedSize, DefaultRetainedSize)
	c.MaxMessage = cmp.Or(c.MaxMessage, DefaultMaxMessage)
	c.MaxFrame = cmp.Or(c.MaxFrame, DefaultMaxFrame)
	c.MaxConnections = cmp.Or(c.MaxConnections, DefaultConnections)
	c.MaxUnanswered = max(cmp.Or(c.MaxUnanswered, DefaultUnanswered), int64(c.MaxFrame))
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Broker is a Kafka broker inside this process, for those who have none: franz-go's kfake behind a guard of ours (guard.go).
// One node, no replicas; every write is synced to disk before it is acknowledged, so that it survives the process. Topics are
// made as clients first ask for them. Any Kafka client can use it, over loopback.
//
// kfake runs in goroutines of its own: a fault in one of its handlers cannot be recovered and ends this process with a stack
// trace on standard error. The guard keeps every request that kfake could stumble over from it; nothing acknowledged is lost,
// and the next start reads the log again.
type Broker struct {
	cluster *kfake.Cluster
	guard   *guard
	lock    *os.File
	stop    context.CancelFunc
	running sync.WaitGroup
	once    sync.Once
}

// StartBroker starts the embedded broker; it is ready when this returns. ctx bounds the start alone. An address that is not
// loopback is refused, so is a port or a directory that another process holds: event.Error of class Permanent, with the remedy.
func StartBroker(ctx context.Context, c BrokerConfig) (*Broker, error) {
	c = c.withDefaults()
	b := &Broker{}
	if err := loopback(c.Listen); err != nil {
		return nil, err
	}
	if c.Dir != "" {
		var err error
		if b.lock, err = lockDir(c.Dir); err != nil {
			return nil, err
		}
	}
	if err := b.start(ctx, c); err != nil {
		b.unlock()
		return nil, err
	}
	upkeep, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	b.running.Go(func() { b.retain(upkeep) })
	return b, nil
}

func (b *Broker) start(ctx context.Context, c BrokerConfig) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return event.Errorf(event.Permanent, "broker", "kafka.listen",
			"port taken: another program listens on %s. Stop it, set kafka.listen to a free port, "+
				"or set kafka.brokers if it is the Kafka that you mean", c.Listen)
	}
	if err != nil {
		return event.Errorf(event.Permanent, "broker", "kafka.listen", "cannot listen on %s: %w", c.Listen, err)
	}
	b.guard = newGuard(ln, c)
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("onefold"),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return b.guard, nil }),
		kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(c.Partitions),
		kfake.WithLogger(brokerLog{c.Log}),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":   strconv.Itoa(c.MaxMessage),
			"log.retention.ms":    strconv.FormatInt(max(c.Retention.Milliseconds(), -1), 10),
			"log.retention.bytes": strconv.FormatInt(max(c.RetainedSize, -1), 10),
		}),
	}
	if c.Dir != "" {
		opts = append(opts, kfake.DataDir(c.Dir), kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		_ = ln.Close()
		return event.Errorf(event.Permanent, "broker", "data", "the embedded broker cannot read its log in %s: %w. "+
			"Put back a copy of the directory, or move it away to begin anew", c.Dir, err)
	}
	if err := b.learn(ctx); err != nil {
		b.cluster.Close()
		b.guard.closeAll()
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	return nil
}

// learn asks kfake which requests it knows, so that the guard lets no other pass, and which topics it has, to begin a new epoch
// of each. It does so on a connection of its own: kafka-go's would ask for more than the guard answers yet.
func (b *Broker) learn(ctx context.Context) error {
	client, err := NewClient(Config{Brokers: []string{b.Addr()}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	question := func(req kmsg.Request) (kmsg.Response, error) {
		m, err := (&exchange{ctx: ctx, client: client, req: req}).RawExchange(conn)
		if err != nil {
			return nil, err
		}
		return m.(*answer).resp, nil //nolint:forcetypeassert // it is what RawExchange answers
	}
	resp, err := question(kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		return err
	}
	known, err := rangesOf(resp)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrMetadataRequest() // without topics it means all
	req.Version = learnVersion
	if resp, err = question(req); err != nil {
		return err
	}
	if all, ok := resp.(*kmsg.MetadataResponse); ok {
		if err := b.renew(all.Topics); err != nil {
			return err
		}
	}
	b.guard.open(known)
	return nil
}

const learnVersion = 1 // of the Metadata that learn asks for; a client that asks in it is answered before the others

// renew begins a new epoch of every partition, higher than any there ever was, as a broker does that becomes leader: where the
// log had to be cut for damage and has grown again, its epochs tell. kfake forgets them with the batches that it cuts, so the
// highest is kept in the file of the lock.
func (b *Broker) renew(topics []kmsg.MetadataResponseTopic) error {
	if b.lock == nil {
		return nil // nothing was before
	}
	raw, err := io.ReadAll(io.NewSectionReader(b.lock, 0, maxEpochText))
	if err != nil {
		return err
	}
	last, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 32) // 0 where there is none yet
	epoch := int32(last)
	for _, t := range topics {
		for _, p := range b.cluster.PartitionInfos(*t.Topic) {
			epoch = max(epoch, p.Epoch)
		}
	}
	epoch++
	text := fmt.Sprintf("%-*d\n", maxEpochText-1, epoch)
	if _, err := b.lock.WriteAt([]byte(text), 0); err != nil {
		return unwritable(err)
	}
	if err := b.lock.Sync(); err != nil {
		return unwritable(err)
	}
	for _, t := range topics {
		for _, p := range b.cluster.PartitionInfos(*t.Topic) {
			for at := p.Epoch; at < epoch; at++ {
				if err := b.cluster.MoveTopicPartition(*t.Topic, p.Partition, p.Leader); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

const maxEpochText = 12 // bytes

// Addr answers host:port, for kafka.brokers of any client on this machine.
func (b *Broker) Addr() string { return b.guard.Addr().String() }

// Close stops the broker, leaving its log whole, and waits for it. It may be called twice.
func (b *Broker) Close() error {
	b.once.Do(func() {
		b.stop()
		b.running.Wait()
		b.cluster.Close()
		b.guard.closeAll()
		b.unlock()
	})
	return nil
}

// retain removes what is over its retention. kfake does so itself only while some topic names a retention of its own.
func (b *Broker) retain(ctx context.Context) {
	for sleep(ctx, retentionEvery) == nil {
		b.cluster.ApplyRetention()
	}
}

func (b *Broker) unlock() {
	if b.lock != nil {
		_ = b.lock.Close()
	}
}

// loopback refuses addresses that other machines can reach: there is no encryption and no authentication here yet.
func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return event.Errorf(event.Permanent, "validation", "kafka.listen", "%q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return event.Errorf(event.Permanent, "validation", "kafka.listen", "%s can be reached from other machines, and the embedded broker "+
		"knows neither encryption nor passwords: listen on 127.0.0.1, or set kafka.brokers to an Apache Kafka", addr)
}

// lockDir makes the directory and holds it against a second process, which would damage the log.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unwritable(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".onefold.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, event.Errorf(event.Permanent, "broker", "data",
			"another process runs a broker on %s: stop it, or set data to another directory", dir)
	}
	return f, nil
}

func unwritable(err error) error {
	return event.Errorf(event.Permanent, "broker", "data",
		"cannot write to the directory of the embedded broker's log: %w. Make it writable, or set data to another", err)
}

// brokerLog passes kfake's log on. What it warns of at a start, segments that it had to cut, is for a person to see.
type brokerLog struct{ log *slog.Logger }

// Logf is kfake's.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	at := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		at = slog.LevelError
	case kfake.LogLevelWarn:
		at = slog.LevelWarn
	}
	if ctx := context.Background(); l.log.Enabled(ctx, at) {
		l.log.Log(ctx, at, "embedded broker", "says", fmt.Sprintf(format, args...))
	}
}

var _ kfake.Logger = brokerLog{}
