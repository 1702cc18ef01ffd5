package pipeline

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// LagState is how far behind one assigned partition is, as the transport sees it. Partitions that are not assigned any more are
// left out, and their series vanish.
type LagState struct {
	event.Partition
	Next          int64     // offset to fetch next; negative before the first
	HighWatermark int64     // offset after the last record; negative where unknown
	Waiting       int       // fetched and not taken effect
	LastTime      time.Time // of the last message fetched; zero where none was
}

// records answers how many records have not taken effect; it is never negative.
func (s *LagState) records() int64 {
	behind := int64(0)
	if s.HighWatermark >= 0 && s.Next >= 0 {
		behind = max(0, s.HighWatermark-s.Next)
	}
	return behind + int64(s.Waiting)
}

// WatchLag exports the lag of what state answers at each scrape. It is called once.
func (m *Metrics) WatchLag(state func() []LagState, now func() time.Time) {
	m.registerer.MustRegister(&lag{
		state: state, now: now, ledger: m.ledger,
		records: prometheus.NewDesc("onefold_kafka_consumer_lag_records",
			"Records of an assigned partition that have not taken effect.", []string{"source", "topic", "partition"}, nil),
		seconds: prometheus.NewDesc("onefold_kafka_consumer_lag_seconds",
			"Age of the last record read where others wait behind it; 0 where none does.", []string{"source"}, nil),
		assigned: prometheus.NewDesc("onefold_kafka_assigned_partitions", "Partitions that this process reads.", []string{"source"}, nil),
	})
}

type lag struct {
	state                      func() []LagState
	now                        func() time.Time
	ledger                     *ledger
	records, seconds, assigned *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (l *lag) Describe(out chan<- *prometheus.Desc) {
	out <- l.records
	out <- l.seconds
	out <- l.assigned
}

// Collect implements prometheus.Collector.
func (l *lag) Collect(out chan<- prometheus.Metric) {
	assigned, seconds := map[string]int{}, map[string]float64{}
	for _, source := range l.ledger.sources() {
		assigned[source] = 0
	}
	now := l.now()
	for _, s := range l.state() {
		if s.Partition.Partition < 0 {
			continue
		}
		n := s.records()
		assigned[s.Source]++
		seconds[s.Source] = max(0, seconds[s.Source])
		if n > 0 && !s.LastTime.IsZero() {
			seconds[s.Source] = max(seconds[s.Source], since(now, s.LastTime))
		}
		number := strconv.Itoa(int(s.Partition.Partition))
		out <- prometheus.MustNewConstMetric(l.records, prometheus.GaugeValue, float64(n), s.Source, s.Topic, number)
	}
	for source, n := range assigned {
		out <- prometheus.MustNewConstMetric(l.assigned, prometheus.GaugeValue, float64(n), source)
	}
	for source, age := range seconds {
		out <- prometheus.MustNewConstMetric(l.seconds, prometheus.GaugeValue, age, source)
	}
}

// WatchCounts exports what the store holds, as counts answers it. It is asked at each scrape, so it answers from memory or a
// snapshot; where it answers false the series are left out. It is called once.
func (m *Metrics) WatchCounts(topic string, counts func() (customer.Counts, bool)) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("onefold_"+name, help, labels, nil)
	}
	m.registerer.MustRegister(&stock{
		counts: counts, topic: topic,
		customers: desc("customers", "Customers in the master.", "entity"),
		records:   desc("records", "Live records of all sources."),
		outbox:    desc("outbox_items", "Changes of customers that wait to leave.", "target", "state"),
		dead:      desc("dead_letter_items", "Dead letters that are kept."),
	})
}

type stock struct {
	counts                           func() (customer.Counts, bool)
	topic                            string
	customers, records, outbox, dead *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (s *stock) Describe(out chan<- *prometheus.Desc) {
	out <- s.customers
	out <- s.records
	out <- s.outbox
	out <- s.dead
}

// Collect implements prometheus.Collector.
func (s *stock) Collect(out chan<- prometheus.Metric) {
	c, ok := s.counts()
	if !ok {
		return
	}
	out <- prometheus.MustNewConstMetric(s.customers, prometheus.GaugeValue, float64(c.Customers), entity)
	out <- prometheus.MustNewConstMetric(s.records, prometheus.GaugeValue, float64(c.Records))
	out <- prometheus.MustNewConstMetric(s.outbox, prometheus.GaugeValue, float64(c.Outbox), s.topic, "pending")
	out <- prometheus.MustNewConstMetric(s.dead, prometheus.GaugeValue, float64(c.DeadLetters))
}
