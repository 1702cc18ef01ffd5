package writeback

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onefold/onefold/event"
)

// Metrics are what the write-back counts and times, of all targets. The number of series depends on the configuration only.
type Metrics struct {
	registerer    prometheus.Registerer
	records       *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	held          *prometheus.GaugeVec
	echoes, edits *prometheus.CounterVec
}

// NewMetrics makes the metrics of the write-back in a registry. A registry takes one Metrics; nil makes a registry that nobody reads.
func NewMetrics(reg *prometheus.Registry) *Metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "onefold", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registerer: reg,
		records:    counter("target_records_total", "Customers that were worked on for a target, by what became of it.", "target", "result"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "onefold", Name: "target_push_duration_seconds", Help: "Time that one call took that brings customers to a target.",
			Buckets:                     []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"target"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "onefold", Name: "target_held", Help: "1 while a target takes no customers, by the reason.",
		}, []string{"target", "reason"}),
		echoes: counter("target_echoes_total", "Changes of a target, or parts of them, that were left out: they are what was written to it.",
			"target"),
		edits: counter("target_edits_total", "Changes of a target that differ from what was written to it: somebody has edited it there.",
			"target"),
	}
	reg.MustRegister(m.records, m.seconds, m.held, m.echoes, m.edits)
	return m
}

// series are those of one target, looked up once.
type series struct {
	upserted, merged, removed, unchanged, refused, throttled, postponed prometheus.Counter
	seconds                                                             prometheus.Observer
	held                                                                map[string]prometheus.Gauge
	echoes, edits                                                       prometheus.Counter
}

func (m *Metrics) target(name string) *series {
	of := func(result string) prometheus.Counter { return m.records.WithLabelValues(name, result) }
	s := &series{
		upserted: of("upserted"), merged: of("merged"), removed: of("removed"), unchanged: of("unchanged"), refused: of("refused"),
		throttled: of("throttled"), postponed: of("postponed"),
		seconds: m.seconds.WithLabelValues(name), held: map[string]prometheus.Gauge{},
		echoes: m.echoes.WithLabelValues(name), edits: m.edits.WithLabelValues(name),
	}
	for _, reason := range reasons() {
		s.held[reason] = m.held.WithLabelValues(name, reason)
	}
	return s
}

// hold tells why the target is held; empty: it is not.
func (s *series) hold(reason string) {
	for name, g := range s.held {
		if name == reason {
			g.Set(1)
		} else {
			g.Set(0)
		}
	}
}

// Watch exports how far targets are behind, as look answers it. It is asked at each scrape, so it answers from memory. It is called once.
func (m *Metrics) Watch(look func() []Status) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("onefold_target_"+name, help, append([]string{"target"}, labels...), nil)
	}
	m.registerer.MustRegister(&stock{
		look:      look,
		customers: desc("customers", "Customers that a target has something to do with, by state.", "state"),
		oldest: desc("oldest_timestamp_seconds",
			"Time of the change that has waited longest to be looked at for a target; absent where none waits."),
	})
}

type stock struct {
	look              func() []Status
	customers, oldest *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (s *stock) Describe(out chan<- *prometheus.Desc) {
	out <- s.customers
	out <- s.oldest
}

// Collect implements prometheus.Collector.
func (s *stock) Collect(out chan<- prometheus.Metric) {
	for _, t := range s.look() {
		say := func(n int64, state string) {
			out <- prometheus.MustNewConstMetric(s.customers, prometheus.GaugeValue, float64(n), t.Target, state)
		}
		say(t.Waiting, "waiting")
		say(t.Receipts[event.Held], "held")
		say(t.Receipts[event.Owed]+t.Receipts[event.Sending], "owed")
		say(t.Receipts[event.Refused], "refused")
		if !t.Oldest.IsZero() {
			out <- prometheus.MustNewConstMetric(s.oldest, prometheus.GaugeValue, float64(t.Oldest.Unix()), t.Target)
		}
	}
}
