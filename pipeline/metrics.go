package pipeline

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Metrics are what the pipeline counts and times. Their names and labels are a promise to users. No label holds anything that
// a message says (invariant 9), so the number of series depends on the configuration only; all of them are there from the
// start, so that the first error is seen as a rise from zero.
type Metrics struct {
	registerer prometheus.Registerer
	ledger     *ledger

	size, latency  *prometheus.HistogramVec // by source
	stage, storeOp *prometheus.HistogramVec
	candidates     *prometheus.HistogramVec
	dead, retries  *prometheus.CounterVec
	decisions      *prometheus.CounterVec
	merges, splits *prometheus.CounterVec
	held, info     *prometheus.GaugeVec
	silenced       *prometheus.CounterVec
	largest        *prometheus.GaugeVec
	truncated      prometheus.Counter
	refused        *prometheus.CounterVec
	replayed       *prometheus.CounterVec // by source and outcome
	settled        *prometheus.CounterVec // by source and action
	mapping        prometheus.Observer    // of stage
	publishing     prometheus.Observer
	absorbing      prometheus.Observer

	mu          sync.Mutex
	mostRecords int // largest so far
}

// entity is the one kind of thing that is resolved.
const entity = "customer"

// other stands for every reason that is not in the closed list of a label.
const other = "other"

// reasons are the codes of dead letters.
func reasons() []string {
	return []string{"decode", "schema", "mapping", "validation", "too_large", "plugin", "killed", "internal", other}
}

// refusals are the codes of what cannot be published for good.
func refusals() []string { return []string{"too_large", "validation", other} }

// NewMetrics makes the pipeline's metrics in a registry. A registry takes one Metrics; nil makes a registry that nobody reads.
func NewMetrics(reg *prometheus.Registry) *Metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	latency := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	sizes := prometheus.ExponentialBuckets(256, 4, 10) // 256 B to 64 MiB
	m := &Metrics{
		registerer: reg,
		ledger:     newLedger(),
		size:       histogram("event_size_bytes", "Size of the value of each message received.", sizes, "source"),
		latency:    histogram("event_latency_seconds", "Time from a message's own timestamp until its effect was durable.", latency, "source"),
		stage:      histogram("stage_duration_seconds", "Time that one call of a stage took.", latency, "stage"),
		storeOp:    histogram("store_op_duration_seconds", "Time that one operation of the store took.", latency, "op", "result"),
		candidates: histogram("identity_candidates", "Pairs of records scored per message, the mean of each group.",
			prometheus.ExponentialBuckets(1, 2, 12), "entity"),
		dead:      counter("dead_letters_total", "Dead letters laid down, one a message or part of one.", "source", "reason"),
		retries:   counter("retries_total", "Tries after the first.", "stage", "reason"),
		decisions: counter("identity_decisions_total", "Decisions about who is who.", "decision"),
		merges:    counter("identity_merges_total", "Customers that became one with another.", "mode"),
		splits:    counter("identity_splits_total", "Customers that were split from another.", "mode"),
		silenced: counter("identity_identifiers_silenced_total",
			"Strong identifiers that came to be held by more nodes than can be one party.", "entity"),
		held: gauge("partitions_held", "Partitions that stand still because a message of theirs is being tried again.", "source"),
		info: gauge("adapter_info", "Adapters in use; the value is 1.", "adapter", "kind", "version"),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "onefold", Name: "outbox_truncated_total",
			Help: "Versions of customers too large for the topic, published in a shorter form.",
		}),
		refused:  counter("outbox_refused_total", "Versions of customers that the broker refuses for good: they were passed.", "reason"),
		replayed: counter("dead_letters_replayed_total", "Replays of dead letters by what they came to; dead ones stay.", "source", "outcome"),
		settled:  counter("dead_letters_handled_total", "Dead letters that a person has edited or discarded.", "source", "action"),
		largest:  gauge("identity_largest_cluster_records", "Records of the largest component touched since the start.", "entity"),
	}
	reg.MustRegister(m.ledger, m.size, m.latency, m.stage, m.storeOp, m.candidates, m.dead, m.retries, m.decisions, m.merges,
		m.splits, m.held, m.info, m.silenced, m.largest, m.truncated, m.refused, m.replayed, m.settled)
	m.prepare()
	return m
}

// prepare makes the series whose labels are known.
func (m *Metrics) prepare() {
	m.mapping, m.publishing = m.stage.WithLabelValues("map"), m.stage.WithLabelValues("publish")
	m.absorbing = m.stage.WithLabelValues("absorb")
	for _, stage := range []string{"map", "absorb", "publish"} {
		for _, class := range []event.Class{event.Retryable, event.Throttled, event.Auth, event.Permanent} {
			m.retries.WithLabelValues(stage, string(class))
		}
	}
	for _, reason := range refusals() {
		m.refused.WithLabelValues(reason)
	}
	for _, op := range []string{opApply, opClaim, opRelease} {
		for _, result := range []string{"ok", "error"} {
			m.storeOp.WithLabelValues(op, result)
		}
	}
	m.decisions.WithLabelValues("new")
	m.merges.WithLabelValues("auto")
	m.splits.WithLabelValues("auto")
	m.candidates.WithLabelValues(entity)
	m.silenced.WithLabelValues(entity)
	m.largest.WithLabelValues(entity)
}

// Operations of the store, as the metric names them.
const (
	opApply   = "apply_event"
	opClaim   = "outbox_claim"
	opRelease = "outbox_release"
)

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "onefold", Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "onefold", Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "onefold", Name: name, Help: help}, labels)
}

// sourceMetrics are the series of one source, looked up once.
type sourceMetrics struct {
	size, latency prometheus.Observer
	held          prometheus.Gauge
	dead          map[string]prometheus.Counter // by reason
}

// source makes the series of a source.
func (m *Metrics) source(src *Source) *sourceMetrics {
	m.ledger.open(src.Name)
	if d, ok := src.Source.(adapters.Described); ok {
		about := d.Describe()
		m.info.WithLabelValues(about.Name, about.Kind, about.Version).Set(1)
	}
	for _, o := range event.Outcomes() {
		m.replayed.WithLabelValues(src.Name, o.String())
	}
	for _, action := range []string{"edited", "discarded"} {
		m.settled.WithLabelValues(src.Name, action)
	}
	s := &sourceMetrics{
		size: m.size.WithLabelValues(src.Name), latency: m.latency.WithLabelValues(src.Name),
		held: m.held.WithLabelValues(src.Name), dead: map[string]prometheus.Counter{},
	}
	for _, reason := range reasons() {
		s.dead[reason] = m.dead.WithLabelValues(src.Name, reason)
	}
	return s
}

// ended notes a message that has taken effect, latency seconds after its own time.
func (s *sourceMetrics) ended(r event.Result, latency float64) {
	s.latency.Observe(latency)
	for _, p := range r.Parts {
		if p.Outcome != event.Dead {
			continue
		}
		reason := p.Reason
		if !slices.Contains(reasons(), reason) {
			reason = other
		}
		s.dead[reason].Inc()
	}
}

// absorbed notes one try to absorb a group of n messages.
func (m *Metrics) absorbed(took time.Duration, n int, out *customer.Absorbed, err error) {
	m.absorbing.Observe(took.Seconds())
	m.op(opApply, took, err)
	if err != nil {
		return
	}
	m.decisions.WithLabelValues("new").Add(float64(out.Created))
	m.merges.WithLabelValues("auto").Add(float64(out.Merged))
	m.splits.WithLabelValues("auto").Add(float64(out.Split))
	m.silenced.WithLabelValues(entity).Add(float64(out.Silenced))
	if n > 0 {
		m.candidates.WithLabelValues(entity).Observe(float64(out.Candidates) / float64(n))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mostRecords = max(m.mostRecords, out.Largest)
	m.largest.WithLabelValues(entity).Set(float64(m.mostRecords))
}

// Handled counts a dead letter that a person has edited or discarded, as action says.
func (m *Metrics) Handled(source, action string) { m.settled.WithLabelValues(source, action).Inc() }

// op notes one operation of the store.
func (m *Metrics) op(name string, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.storeOp.WithLabelValues(name, result).Observe(took.Seconds())
}
