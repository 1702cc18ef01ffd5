package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/export"
)

// flushGrace is how long the outbox may take to empty at the end; what is left goes out at the next start.
const flushGrace = 3 * time.Second

// maintainEvery is how often the store is asked whether an erasure owes it something.
const maintainEvery = time.Second

// run serves until ctx ends, then in this order: tells that it is not ready, ends intake and finishes what is in flight, lets the
// outbox empty, and takes no more requests. It answers an error if a part had to stop by itself.
func (s *service) run(ctx context.Context) error {
	flow, stopFlow := context.WithCancel(ctx)
	defer stopFlow()
	rest, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRest()
	out, stopOut := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOut()

	var parts sync.WaitGroup
	failed := make(chan error, 9+len(s.hosts)+2*len(s.targets))
	start := func(name string, run func() error) {
		parts.Go(func() {
			if err := run(); err != nil {
				failed <- fmt.Errorf("%s: %w", name, err)
				stopFlow()
			}
		})
	}
	s.health.watch(rest, s) // once before anything asks
	start("health", func() error { return s.health.run(rest, s) })
	start("console", func() error { return console.Serve(rest, s.api, s.console(), s.log.With("component", "console")) })
	start("admin", func() error { return console.Serve(rest, s.admin, s.adminHandler(), s.log.With("component", "admin")) })
	start("relay", func() error { return s.relay.Run(out) })
	start("store", func() error { s.maintain(rest); return nil })
	start("match", func() error { s.study.run(flow); return nil })
	start("retention", func() error { s.retention().run(rest); return nil })
	if s.hooks != nil { // ends first of all, with the intake
		start("webhooks", func() error { return s.serveDoor(flow) })
	}
	start("replay", func() error { return s.replays.Run(flow) })
	for _, t := range s.targets {
		start("target "+t.Name(), func() error { return t.Run(out) })
	}
	for _, t := range s.pushers {
		start("plugin", func() error { return t.Run(out) })
	}
	for _, host := range s.hosts {
		start("plugin", func() error { return host.Run(out) })
	}
	s.log.InfoContext(ctx, "started", slog.String("version", buildOf().Version), slog.Int("sources", len(s.sources)),
		slog.String("api", s.scheme()+"://"+s.api.Addr().String()), slog.Int("tokens", len(s.config.Console.Tokens)),
		slog.String("admin", "http://"+s.admin.Addr().String()),
		slog.String("broker", s.brokerAddress()), slog.Bool("embedded", s.broker != nil), slog.String("webhooks", s.doorAddress()),
		slog.Duration("after", s.now().Sub(s.started)))

	context.AfterFunc(flow, s.health.drain) // first of all nobody sends us more
	err := s.take(flow)
	s.log.InfoContext(ctx, "drained")
	s.flush(rest)
	stopOut()
	stopRest()
	parts.Wait()
	close(failed)
	for part := range failed {
		err = errors.Join(err, part)
	}
	s.log.InfoContext(ctx, "ended", slog.Any("err", err))
	return err
}

// maintain lets the store do what erasures owe, a part at a time, until ctx ends. What fails is told once, and tried again.
func (s *service) maintain(ctx context.Context) {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	told, since := "", time.Time{}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if since.IsZero() && s.store.Erasing() {
			since = s.now()
		}
		var err error
		for more := true; more && err == nil; {
			more, err = s.store.Maintain(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && err.Error() != told:
			told = err.Error()
			s.log.WarnContext(ctx, "what was erased is not yet out of the store's file", slog.Any("err", err))
		case err == nil && !since.IsZero() && !s.store.Erasing():
			s.log.InfoContext(ctx, "what was erased is out of the store's file", slog.Duration("took", s.now().Sub(since)))
			told, since = "", time.Time{}
		}
	}
}

func (s *service) retention() *retention {
	return &retention{store: s.store, letters: s.config.Retention.DeadLetters, now: s.now, log: s.log.With("component", "retention")}
}

// take runs the intake until flow ends. Without a source there is nothing to take in.
func (s *service) take(flow context.Context) error {
	s.health.ready()
	if len(s.sources) == 0 {
		s.log.WarnContext(flow, "no source is configured, so nothing comes in")
		<-flow.Done()
		return nil
	}
	return s.ingest.Run(flow)
}

// flush waits for the relay to empty the outbox, for a while.
func (s *service) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushGrace)
	defer cancel()
	s.relay.Wake()
	for ctx.Err() == nil && s.relay.Ready() == nil {
		if waits, err := s.store.Pending(ctx, 0, 1); err != nil || len(waits) == 0 {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (s *service) brokerAddress() string {
	if s.broker != nil {
		return s.broker.Addr()
	}
	return strings.Join(s.config.Kafka.Brokers, ",")
}

// clientele is all that is asked of customers.
type clientele struct {
	*customer.Registry
	*export.Exporter
}

func (s *service) console() http.Handler {
	return console.New(console.Config{
		Customers: clientele{s.registry, export.New(s.store)}, Explain: s.explain, Review: s.review, Decisions: s.review,
		Steward: s.registry, DeadLetters: s.store, Replays: s.replays,
		Hand: s.replays, Status: s.status, Flow: flow{s}, Model: s.study, Targets: desk{s}, Door: s.gate,
		Republish: s.republish, Now: s.now,
		Log: s.log.With("component", "console"),
	})
}

// adminHandler serves profiles only where nobody but this machine can ask for them.
func (s *service) adminHandler() http.Handler {
	host, _, err := net.SplitHostPort(s.admin.Addr().String())
	return console.NewAdmin(console.AdminConfig{
		Ready: s.health.readiness, Metrics: s.metrics, Profiles: err == nil && config.Loopback(host),
	})
}
