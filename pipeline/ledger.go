package pipeline

import (
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onefold/onefold/event"
)

// ledger counts what becomes of each message. It is read as a whole, so that received = sum of outcomes + in flight holds in
// every scrape, not only in a quiet one (invariant 7).
type ledger struct {
	received, processed, flight *prometheus.Desc

	mu       sync.Mutex
	accounts map[string]*Totals // by source
}

// Totals are the messages of this process: how many were received, and what became of them.
type Totals struct {
	Received  int64 `json:"received"`
	Applied   int64 `json:"applied"`
	Duplicate int64 `json:"duplicate"`
	Stale     int64 `json:"stale"`
	Ignored   int64 `json:"ignored"`
	Dead      int64 `json:"dead"`
}

// InFlight answers how many messages have no outcome yet.
func (t Totals) InFlight() int64 {
	return t.Received - t.Applied - t.Duplicate - t.Stale - t.Ignored - t.Dead
}

// Outcome answers how many messages ended in an outcome.
func (t *Totals) Outcome(o event.Outcome) int64 { return *t.of(o) }

func (t *Totals) of(o event.Outcome) *int64 {
	switch o {
	case event.Duplicate:
		return &t.Duplicate
	case event.Stale:
		return &t.Stale
	case event.Applied:
		return &t.Applied
	case event.Dead:
		return &t.Dead
	default:
		return &t.Ignored
	}
}

func (t *Totals) add(u *Totals) {
	t.Received += u.Received
	for _, o := range event.Outcomes() {
		*t.of(o) += *u.of(o)
	}
}

func newLedger() *ledger {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("onefold_"+name, help, labels, nil)
	}
	return &ledger{
		received:  desc("events_received_total", "Messages taken from the source.", "source"),
		processed: desc("events_processed_total", "Messages by what they came to; each ends in exactly one outcome.", "source", "outcome"),
		flight:    desc("events_in_flight", "Messages received that have no outcome yet.", "source"),
		accounts:  map[string]*Totals{},
	}
}

func (l *ledger) open(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.accounts[source] == nil {
		l.accounts[source] = &Totals{}
	}
}

func (l *ledger) receive(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts[source].Received++
}

func (l *ledger) settle(source string, o event.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.accounts[source].of(o)++
}

func (l *ledger) sources() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.accounts))
}

// totals answers the sum over all sources.
func (l *ledger) totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum Totals
	for _, t := range l.accounts {
		sum.add(t)
	}
	return sum
}

// Describe implements prometheus.Collector.
func (l *ledger) Describe(out chan<- *prometheus.Desc) {
	out <- l.received
	out <- l.processed
	out <- l.flight
}

// Collect implements prometheus.Collector.
func (l *ledger) Collect(out chan<- prometheus.Metric) {
	l.mu.Lock()
	snapshot := make(map[string]Totals, len(l.accounts))
	for source, t := range l.accounts {
		snapshot[source] = *t
	}
	l.mu.Unlock()
	for source, t := range snapshot {
		out <- prometheus.MustNewConstMetric(l.received, prometheus.CounterValue, float64(t.Received), source)
		out <- prometheus.MustNewConstMetric(l.flight, prometheus.GaugeValue, float64(t.InFlight()), source)
		for _, o := range event.Outcomes() {
			out <- prometheus.MustNewConstMetric(l.processed, prometheus.CounterValue, float64(t.Outcome(o)), source, o.String())
		}
	}
}
