package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/customer/merge"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
	"github.com/onefold/onefold/simulation"
	"github.com/onefold/onefold/store/memory"
	"github.com/onefold/onefold/store/sqlite"
)

// nothing is what a scenario has to give back that took nothing.
func nothing() error { return nil }

// load loads the adapters of the three simulated sources.
func (b *bench) load() (map[string]adapters.Described, error) {
	sources, found := loadAdapters(demoConfig(""), nil)
	if len(found) > 0 {
		return nil, found
	}
	return sources, nil
}

// arrive answers messages as the broker would deliver them.
func arrive(messages []simulation.Message) []*event.Message {
	out := make([]*event.Message, len(messages))
	next := map[string]int64{}
	for i := range messages {
		m := raw(&messages[i])
		m.Source, m.Offset, m.Epoch = messages[i].Source, next[m.Topic], -1
		next[m.Topic]++
		out[i] = m
	}
	return out
}

// mapping times Source.Map and Seal alone.
func (b *bench) mapping(ctx context.Context, _ string, messages []simulation.Message) (func() (Sink, error), func() error, error) {
	sources, err := b.load()
	if err != nil {
		return nil, nil, err
	}
	in := arrive(messages)
	return func() (Sink, error) {
		return mapAll(ctx, in, runtime.GOMAXPROCS(0), func(m *event.Message) adapters.Source { return sources[m.Source] })
	}, nothing, nil
}

// mapAll maps messages, so many at a time.
func mapAll(ctx context.Context, in []*event.Message, callers int, source func(*event.Message) adapters.Source) (Sink, error) {
	var next, changes, refused atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range callers {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(in)); i = next.Add(1) - 1 {
				m, err := mapped(ctx, source(in[i]), in[i])
				if err != nil {
					return err
				}
				changes.Add(int64(len(m.Changes)))
				refused.Add(int64(len(m.Refusals)))
			}
			return nil
		})
	}
	err := g.Wait()
	return Sink{Messages: min(next.Load(), int64(len(in))), Changes: changes.Load(), Refused: refused.Load()}, err
}

// mapped maps one message as the pipeline does.
func mapped(ctx context.Context, source adapters.Source, m *event.Message) (customer.Mapped, error) {
	out := customer.Mapped{Message: m, Adapter: "bench@1", Attempts: 1}
	changes, err := source.Map(ctx, m)
	var parts event.Refusals
	var whole *event.Error
	switch {
	case errors.As(err, &parts):
		out.Refusals = parts
	case errors.As(err, &whole):
		out.Refusals = []event.Refusal{{Outcome: event.Dead, Err: whole}}
		return out, nil
	case err != nil:
		return out, err
	}
	sealed, unsealed := customer.Seal(changes, m, 1)
	out.Changes, out.Refusals = sealed, append(out.Refusals, unsealed...)
	return out, nil
}

// lines is so many messages of the old core banking system, one line each, again from the first where the town has fewer.
func (b *bench) lines() []simulation.Message {
	var all []simulation.Message
	town := simulation.Config{People: b.people, Events: 1, Seed: b.seed, Core: 1, Clean: true}
	for m := range simulation.New(town).Messages() {
		if m.Source != simulation.Core {
			continue
		}
		for line := range bytes.Lines(m.Value) {
			if len(all) < b.events && !bytes.HasPrefix(line, []byte("Z|")) {
				one := m
				one.Value = append(bytes.Clone(line), "Z|1\n"...)
				all = append(all, one)
			}
		}
	}
	for i := 0; len(all) > 0 && len(all) < b.events; i++ {
		all = append(all, all[i])
	}
	return all
}

// plugin times Source.Map of a plugin and Seal, from as many callers as the pipeline has: the process is up before.
func (b *bench) plugin(ctx context.Context, dir string, messages []simulation.Message) (func() (Sink, error), func() error, error) {
	if len(messages) == 0 {
		return nil, nil, &usage{text: "nobody of the town is a customer of the old bank", hint: "give more --people"}
	}
	own, err := ownPlugin(dir)
	if err != nil {
		return nil, nil, surroundings(err, "run the program from a file that this user may read")
	}
	host := plugins.NewHost(pluginConfig(simulation.Core, own, quiet()))
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- host.Run(running) }()
	done := func() error {
		stop()
		return <-ended
	}
	in := arrive(messages)
	if _, err := mapped(ctx, host, in[0]); err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return func() (Sink, error) {
		return mapAll(ctx, in, host.Concurrent(), func(*event.Message) adapters.Source { return host })
	}, done, nil
}

const benchGroup = 500 // messages a transaction

// counted is a store that can say how much it holds.
type counted interface {
	customer.Store
	Counts(ctx context.Context) (customer.Counts, error)
}

// resolve times Registry.Absorb alone, in groups as the pipeline makes them when it is busy.
func (b *bench) resolve(ctx context.Context, dir string, messages []simulation.Message) (func() (Sink, error), func() error, error) {
	sources, err := b.load()
	if err != nil {
		return nil, nil, err
	}
	ready := make([]customer.Mapped, len(messages))
	for i, m := range arrive(messages) {
		if ready[i], err = mapped(ctx, sources[m.Source], m); err != nil {
			return nil, nil, err
		}
	}
	var store counted = memory.New()
	done := nothing
	if !b.memory {
		file, err := sqlite.Open(ctx, storeFile(dir))
		if err != nil {
			return nil, nil, surroundings(err, "")
		}
		store, done = file, file.Close
	}
	ids, err := customer.NewIDs([]byte("the key of a bench is no secret!"))
	if err != nil {
		return nil, nil, err
	}
	registry := customer.NewRegistry(store, match.New(), merge.New(merge.Policy{}), ids)
	return func() (Sink, error) {
		var sink Sink
		for first := 0; first < len(ready); first += benchGroup {
			group := ready[first:min(first+benchGroup, len(ready))]
			out, err := registry.Absorb(ctx, customer.Batch{Now: time.Now(), Messages: group})
			if err != nil {
				return sink, err
			}
			sink.Messages += int64(len(out.Results))
		}
		counts, err := store.Counts(ctx)
		sink.Customers = counts.Customers
		return sink, err
	}, done, nil
}

// ingest times the whole way from the embedded broker into the embedded store, with everything sent before.
func (b *bench) ingest(ctx context.Context, dir string, messages []simulation.Message) (func() (Sink, error), func() error, error) {
	c := demoConfig(dir)
	c.Kafka.Listen, c.Console.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s, err := open(ctx, c, quiet(), b.now)
	if err != nil {
		return nil, nil, err
	}
	all := func(yield func(simulation.Message) bool) {
		for i := range messages {
			if !yield(messages[i]) {
				return
			}
		}
	}
	if err := feed(ctx, all, s.publisher, 0, func(int) {}); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	done := func() error {
		stop()
		return errors.Join(<-served, s.close())
	}
	return func() (Sink, error) {
		go func() { served <- s.run(serving) }()
		for tick := time.Tick(5 * time.Millisecond); ; {
			select {
			case <-tick:
			case <-ctx.Done():
				return Sink{}, ctx.Err()
			}
			if t := s.ingest.Totals(); t.Received >= int64(len(messages)) && t.InFlight() == 0 {
				counts, err := s.store.Counts(ctx)
				if err != nil {
					return Sink{}, fmt.Errorf("count: %w", err)
				}
				return Sink{Messages: t.Received, Customers: counts.Customers}, nil
			}
		}
	}, done, nil
}
