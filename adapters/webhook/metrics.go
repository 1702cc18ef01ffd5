package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of a request, as they are counted.
const (
	accepted    = "accepted"
	pinged      = "ping"
	busy        = "busy"
	tooLarge    = "too_large"
	broken      = "broken" // the body ended early
	unavailable = "unavailable"
)

// Results answers the values of the label result.
func Results() []string {
	return []string{accepted, pinged, string(unsigned), string(forged), string(old), tooLarge, broken, busy, unavailable}
}

// Metrics are what the door counts and times: by source, and by a closed list of results (invariant 9).
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewMetrics makes them in a registry; nil makes one that nobody reads.
func NewMetrics(reg *prometheus.Registry) *Metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "onefold", Name: "webhook_requests_total", Help: "Requests at the webhook door, by what became of them.",
		}, []string{"source", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "onefold", Name: "webhook_duration_seconds", Help: "Time until a request at the webhook door was answered.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"source"}),
	}
	reg.MustRegister(m.requests, m.duration)
	return m
}

// begin makes every series of a source, so that the first fault is seen as a rise from zero.
func (m *Metrics) begin(source string) {
	for _, result := range Results() {
		m.requests.WithLabelValues(source, result)
	}
	m.duration.WithLabelValues(source)
}

func (m *Metrics) note(source, result string, took time.Duration) {
	m.requests.WithLabelValues(source, result).Inc()
	m.duration.WithLabelValues(source).Observe(took.Seconds())
}
