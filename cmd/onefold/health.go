package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/pipeline/writeback"
)

// Times of the health watch.
const (
	healthEvery = 2 * time.Second
	healthWait  = 5 * time.Second // for one look
	countEvery  = 5               // looks: counting a large store is not free
)

// health is what was last seen of everything that the service needs. It is looked at every other second and answered from memory:
// whoever asks often costs nothing.
type health struct {
	mu     sync.Mutex
	state  console.State
	checks []console.Check
	stock  *pipeline.Stock
	given  []writeback.Status // how the targets were
	looks  int

	samples []intake
}

// run looks again and again until ctx ends.
func (h *health) run(ctx context.Context, s *service) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.watch(ctx, s)
		case <-ctx.Done():
			return nil
		}
	}
}

// watch looks once.
func (h *health) watch(ctx context.Context, s *service) {
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	checks := []console.Check{check("store", s.sign(ctx)), check("broker", s.client.Check(ctx)), check("relay", s.relay.Ready())}
	if relay := &checks[2]; relay.OK {
		relay.Detail = s.relay.Passed() // for whoever looks: the others leave
	}
	for _, st := range s.ingest.Status() {
		c := console.Check{Name: "source/" + st.Source, OK: len(st.Reasons) == 0}
		for _, reason := range st.Reasons {
			c.Detail += reason + ". "
		}
		checks = append(checks, c)
	}
	for _, st := range s.subscriber.State() {
		if st.Halted == "" && st.Err == nil {
			continue
		}
		i := slices.IndexFunc(checks, func(c console.Check) bool { return c.Name == "source/"+st.Source })
		if i < 0 {
			continue
		}
		checks[i].OK = false
		if st.Halted != "" {
			checks[i].Detail += "halted: " + st.Halted + ". "
		}
		if st.Err != nil {
			checks[i].Detail += st.Err.Error() + ". "
		}
		checks[i].Detail += remedy(&st)
	}
	checks = append(checks, s.pluginChecks()...)
	for _, t := range s.targets {
		checks = append(checks, check("target/"+t.Name(), t.Ready()))
	}
	h.count(ctx, s)
	h.measure(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = checks
}

// count counts what the store holds, now and then.
func (h *health) count(ctx context.Context, s *service) {
	if h.looks++; h.looks%countEvery != 1 {
		return
	}
	stock, err := s.look(ctx)
	given, err2 := s.targetStatus(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stock = nil; err == nil {
		h.stock = stock
	}
	if h.given = nil; err2 == nil {
		h.given = given
	}
}

// look looks at what the store holds and at the disk that it is on.
func (s *service) look(ctx context.Context) (*pipeline.Stock, error) {
	counts, err := s.store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	waiting, err := s.store.Pending(ctx, 0, 1)
	if err != nil {
		return nil, err
	}
	out := &pipeline.Stock{Counts: counts}
	if len(waiting) > 0 {
		out.Oldest = waiting[0].Time
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(s.config.Store.SQLite.Path + suffix); err == nil {
			out.Size += info.Size()
		}
	}
	out.Free, out.Capacity = diskSpace(filepath.Dir(s.config.Store.SQLite.Path))
	return out, nil
}

// sign asks the store for a sign of life: one small read.
func (s *service) sign(ctx context.Context) error {
	return s.store.View(ctx, func(v customer.View) error {
		_, err := v.Customers(ctx, []customer.CustomerID{{}})
		return err
	})
}

func check(name string, err error) console.Check {
	if err != nil {
		return console.Check{Name: name, Detail: err.Error()}
	}
	return console.Check{Name: name, OK: true}
}

func (h *health) ready() { h.become(console.Ready) }
func (h *health) drain() { h.become(console.Draining) }

func (h *health) become(s console.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
}

// readiness answers what was seen last.
func (h *health) readiness(context.Context) console.Readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := console.Readiness{State: h.state, Checks: slices.Clone(h.checks)}
	if r.State == "" {
		r.State = console.Starting
	}
	if r.State == console.Ready && slices.ContainsFunc(r.Checks, func(c console.Check) bool { return !c.OK }) {
		r.State = console.Degraded
	}
	return r
}

// held answers what the store held when it was last looked at; false where that failed.
func (h *health) held() (pipeline.Stock, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stock == nil {
		return pipeline.Stock{}, false
	}
	return *h.stock, true
}

// targets answers how the targets were when they were last looked at; nothing where that failed.
func (h *health) targets() []writeback.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given
}
