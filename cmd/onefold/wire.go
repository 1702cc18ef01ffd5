package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/onefold/onefold/adapters"
	csvtable "github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/explain"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/customer/merge"
	"github.com/onefold/onefold/customer/review"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/pipeline/kafka/security"
	"github.com/onefold/onefold/pipeline/replay"
	"github.com/onefold/onefold/pipeline/writeback"
	"github.com/onefold/onefold/plugins"
	"github.com/onefold/onefold/store/sqlite"
)

// service is a whole installation in one process: everything meets here, and nothing of it knows another.
type service struct {
	config  *config.Config
	log     *slog.Logger
	now     func() time.Time
	started time.Time

	store      *sqlite.Store
	registry   *customer.Registry
	explain    *explain.Explainer
	study      *study
	review     *review.Queue
	broker     *kafka.Broker // nil where the broker is somebody else's
	client     *kafka.Client
	subscriber *kafka.Subscriber
	publisher  *kafka.Publisher
	ingest     *pipeline.Ingest
	relay      *pipeline.Relay
	loads      loads
	replays    *replay.Desk
	metrics    *prometheus.Registry
	adapters   map[string]adapters.Described // by source
	hosts      []*plugins.Host               // those of them that are processes of their own
	pushers    map[string]*plugins.Target    // targets that are, by name
	sources    []pipeline.Source
	targets    []*writeback.Sync
	api, admin net.Listener
	hooks      net.Listener // nil where no source has a webhook
	door       http.Handler
	gate       *access.Door // of the API and the pages
	health     health

	closers []func() error // in the order of opening
}

// open builds the service of a configuration: what cannot be had is an environment's fault, with its remedy. It reads and writes
// nothing of the sources yet. Close gives everything back.
func open(ctx context.Context, c *config.Config, log *slog.Logger, now func() time.Time) (_ *service, err error) {
	s := &service{config: c, log: log, now: now, started: now(), metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	var found event.Diagnostics
	if s.adapters, found = loadAdapters(c, log); len(found) > 0 { // what a person can mend in a file comes before what is around
		return nil, found
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, surroundings(err, "make "+c.Data+" a folder that this user may write to, or set data to another")
	}
	for _, step := range []func(context.Context) error{
		s.listen, s.openGate, s.openStore, s.openBroker, s.openSources, s.openTargets, s.openFlow, s.pauseAsRemembered, s.openDoor,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// surroundings makes an environment's fault of an error. One of ours brings its remedy in its text.
func surroundings(err error, remedy string) error {
	var ours *event.Error
	if errors.As(err, &ours) {
		remedy = ""
	}
	return &environment{text: err.Error(), remedy: remedy, err: err}
}

// listen takes the ports first: it is what fails most, and costs nothing.
func (s *service) listen(ctx context.Context) error {
	type listener struct {
		key, address string
		into         *net.Listener
	}
	all := []listener{{"console.listen", s.config.Console.Listen, &s.api}, {"admin.listen", s.config.Admin.Listen, &s.admin}}
	if s.config.Door() {
		all = append(all, listener{"webhooks.listen", s.config.Webhooks.Listen, &s.hooks})
	}
	for _, l := range all {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
		if errors.Is(err, syscall.EADDRINUSE) {
			return &environment{
				text: "another program listens on " + l.address, err: err,
				remedy: "stop it, or set " + l.key + " to a free port",
			}
		}
		if err != nil {
			return surroundings(fmt.Errorf("cannot listen on %s: %w", l.address, err), "set "+l.key+" to an address of this machine")
		}
		*l.into = ln
		s.closers = append(s.closers, func() error {
			if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // its server has closed it, if there was one
				return err
			}
			return nil
		})
	}
	return nil
}

func (s *service) openStore(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.config.Store.SQLite.Path), 0o700); err != nil {
		return surroundings(err, "set store.sqlite.path to a folder that this user may write to")
	}
	store, err := sqlite.Open(ctx, s.config.Store.SQLite.Path)
	if err != nil {
		return surroundings(err, "")
	}
	s.store = store
	s.closers = append(s.closers, store.Close)
	key, err := store.InstallationKey(ctx)
	if err != nil {
		return surroundings(err, "")
	}
	ids, err := customer.NewIDs(key)
	if err != nil {
		return err
	}
	matcher := match.New()
	s.registry = customer.NewRegistry(store, matcher, merge.New(merge.Policy{Trust: s.config.Merge.Trust}), ids)
	s.explain = explain.New(store, matcher, s.registry, ids)
	verdicts := reviewed(s.metrics, store.ReviewCounts, s.now)
	s.review = review.New(store, s.registry, ids, func(verdict string) { verdicts.WithLabelValues(verdict).Inc() })
	s.study = &study{
		store: store, registry: s.registry, manual: s.config.Match.Survey == config.ManualSurvey, now: s.now,
		log: s.log.With("component", "match"), asked: make(chan struct{}, 1),
		adopt: func(m *match.Matcher) { s.registry.Adopt(m); s.explain.Adopt(m) },
	}
	return s.study.resume(ctx)
}

// openBroker starts the embedded broker, where none is named, and sees to it that every topic is there.
func (s *service) openBroker(ctx context.Context) error {
	brokers := s.config.Kafka.Brokers
	if s.config.Kafka.Embedded() {
		broker, err := kafka.StartBroker(ctx, kafka.BrokerConfig{
			Listen: s.config.Kafka.Listen, Dir: filepath.Join(s.config.Data, "broker"), Log: s.log.With("component", "broker"),
		})
		if err != nil {
			return surroundings(err, "set kafka.brokers to a Kafka of your own")
		}
		s.broker = broker
		s.closers = append(s.closers, broker.Close)
		brokers = []string{broker.Addr()}
	}
	client, err := kafka.NewClient(kafka.Config{Brokers: brokers, Security: secure(s.config.Kafka), Log: s.log.With("component", "kafka")})
	if err != nil {
		return err
	}
	s.client = client
	s.closers = append(s.closers, client.Close)
	if err := client.Check(ctx); err != nil {
		return surroundings(err, "")
	}
	topics := map[string]map[string]string{s.config.Topics.Customers: {"cleanup.policy": "compact"}}
	for _, src := range s.config.Sources {
		topics[src.Topic] = nil
	}
	for name, settings := range topics {
		if err := client.EnsureTopic(ctx, name, kafka.DefaultPartitions, settings); err != nil {
			return surroundings(fmt.Errorf("topic %s: %w", name, err), "create it, or let this user create it")
		}
	}
	return nil
}

// secure answers how the brokers are spoken to.
func secure(k config.Kafka) security.Config {
	var c security.Config
	if k.TLS.CA != "" {
		c.TLS = &security.TLS{CA: k.TLS.CA, Cert: k.TLS.Cert, Key: k.TLS.Key, ServerName: k.TLS.ServerName}
		if k.TLS.CA == config.SystemCA {
			c.TLS.CA = ""
		}
	}
	if s := k.SASL; s.Mechanism != "" {
		c.SASL = &security.SASL{
			Mechanism: s.Mechanism, Username: s.Username, Password: string(s.Password), Token: string(s.Token), TokenFile: s.TokenFile,
		}
	}
	return c
}

// openSources gives each source its adapter, under the revision that the store has for the adapter's content.
func (s *service) openSources(ctx context.Context) error {
	for _, name := range s.config.SourceNames() {
		src, a := s.config.Sources[name], s.adapters[name]
		about := a.Describe()
		revision, err := s.store.MappingRevision(ctx, name, about.Version)
		if err != nil {
			return err
		}
		flow := pipeline.Source{Name: name, Topic: src.Topic, Adapter: about.Name, Source: csvtable.Beside(a), Mapping: revision}
		if host, ok := a.(*plugins.Host); ok {
			s.hosts = append(s.hosts, host)
			flow.Concurrent = host.Concurrent()
		}
		s.sources = append(s.sources, flow)
	}
	return nil
}

// loadAdapters loads the adapter of every source, each mapping once; what is wrong in files is told all at once. It starts no
// plugin.
func loadAdapters(c *config.Config, log *slog.Logger) (map[string]adapters.Described, event.Diagnostics) {
	out, loaded, found := map[string]adapters.Described{}, map[string]adapters.Described{}, event.Diagnostics{}
	for _, name := range c.SourceNames() {
		src := c.Sources[name]
		if src.Plugin.Command != "" {
			host, wrong := loadPlugin(name, src.Plugin, log)
			found = append(found, wrong...)
			out[name] = host
			continue
		}
		if rows := (csvtable.Source{}); src.Adapter == rows.Describe().Name {
			out[name] = rows
			continue
		}
		if loaded[src.Adapter] == nil {
			m, wrong := loadMapping(src.Adapter)
			if found = append(found, wrong...); len(wrong) > 0 {
				continue
			}
			loaded[src.Adapter] = m
		}
		out[name] = loaded[src.Adapter]
	}
	return out, found
}

// loadMapping loads a shipped mapping by its name, or one of the user's own by its folder.
func loadMapping(adapter string) (*mappings.Mapping, event.Diagnostics) {
	fsys, dir, prefix := mappingFiles(adapter)
	m, found := mappings.Load(fsys, dir)
	for i := range found {
		found[i].File = filepath.Join(prefix, found[i].File)
	}
	if len(found) > 0 {
		return nil, found
	}
	return m, nil
}

// mappingFiles answers where a mapping's files are: the file system, the folder in it, and what stands before it for people.
func mappingFiles(adapter string) (fsys fs.FS, dir, prefix string) {
	if (config.Source{Adapter: adapter}).Folder() {
		return os.DirFS(adapter), ".", adapter
	}
	return mappings.Shipped(), adapter, ""
}

// named answers the adapters that a configuration can name: the shipped mappings, and the one that reads rows of a load only.
func named() []string { return append(shipped(), csvtable.Source{}.Describe().Name) }

// shipped answers the names of the mappings that are part of this program.
func shipped() []string {
	entries, err := fs.ReadDir(mappings.Shipped(), ".")
	if err != nil { // an embedded folder can be read
		panic(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// openFlow puts the pipeline between the broker and the registry.
func (s *service) openFlow(context.Context) error {
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(),
		erasing(s.store.Erasing))
	s.metrics.MustRegister(s.study.collect()...)
	s.watchPlugins()
	m := pipeline.NewMetrics(s.metrics)
	positions := pipeline.NewPositions(s.store)
	topics := map[string]string{}
	for _, src := range s.sources {
		topics[src.Topic] = src.Name
	}
	s.subscriber = kafka.NewSubscriber(s.client, positions, topics, kafka.SubscriberOptions{
		Rack: s.config.Kafka.Rack, Log: s.log.With("component", "kafka"),
	})
	s.publisher = kafka.NewPublisher(s.client, kafka.PublisherOptions{Log: s.log.With("component", "kafka")})
	s.closers = append(s.closers, s.publisher.Close, s.subscriber.Close)
	s.relay = pipeline.NewRelay(pipeline.RelayConfig{Topic: s.config.Topics.Customers, Now: s.now},
		s.store, s.publisher, s.log.With("component", "relay"), m)
	s.ingest = pipeline.NewIngest(pipeline.IngestConfig{
		Sources: s.sources, Positions: positions, Intents: s.store, Committed: s.wake, Now: s.now,
	}, s.subscriber, &s.loads, s.log.With("component", "ingest"), m)
	s.replays = replay.New(replay.Config{
		Flow: s.ingest, Letters: s.store, Store: s.store, Handled: m.Handled, Now: s.now, NewID: newReplayID,
		Log: s.log.With("component", "replay"),
	})
	m.WatchLag(s.lag, s.now)
	m.WatchStock(s.config.Topics.Customers, s.health.held)
	return nil
}

// buildInfo is the metric that tells which program this is.
func buildInfo() prometheus.Collector {
	b := buildOf()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "onefold_build_info", Help: "Which program this is; the value is 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go, "goos": b.OS, "goarch": b.Arch},
	}, func() float64 { return 1 })
}

// erasing is the metric that tells whether an erasure has left all files.
func erasing(owed func() bool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "onefold_store_erasure_owed", Help: "1 while bytes of what was erased may still be in the store's files.",
	}, func() float64 {
		if owed() {
			return 1
		}
		return 0
	})
}

// lag answers how far behind each partition is.
func (s *service) lag() []pipeline.LagState {
	states := s.subscriber.State()
	out := make([]pipeline.LagState, len(states))
	for i, st := range states {
		out[i] = pipeline.LagState{
			Partition: st.Partition, Next: st.Next, HighWatermark: st.HighWatermark, Waiting: st.InFlight + st.Queued, LastTime: st.LastTime,
			Halted: st.Halted != "", Paused: st.Paused,
		}
	}
	return out
}

// close gives back what open took, the last first.
func (s *service) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}
