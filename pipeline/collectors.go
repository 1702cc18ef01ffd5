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
	Halted        bool      // nothing more is read until a person has mended something
	Paused        bool      // nothing more is read until a person lets it go on
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
		halted: prometheus.NewDesc("onefold_kafka_halted_partitions",
			"Partitions of which nothing more is read until a person has mended something.", []string{"source"}, nil),
		paused: prometheus.NewDesc("onefold_kafka_paused_partitions",
			"Partitions of which nothing is read at a person's wish.", []string{"source"}, nil),
	})
}

type lag struct {
	state                                      func() []LagState
	now                                        func() time.Time
	ledger                                     *ledger
	records, seconds, assigned, halted, paused *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (l *lag) Describe(out chan<- *prometheus.Desc) {
	out <- l.records
	out <- l.seconds
	out <- l.assigned
	out <- l.halted
	out <- l.paused
}

// Collect implements prometheus.Collector.
func (l *lag) Collect(out chan<- prometheus.Metric) {
	assigned, halted, paused, seconds := map[string]int{}, map[string]int{}, map[string]int{}, map[string]float64{}
	for _, source := range l.ledger.sources() {
		assigned[source], halted[source], paused[source] = 0, 0, 0
	}
	now := l.now()
	for _, s := range l.state() {
		if s.Halted {
			halted[s.Source]++
		}
		if s.Partition.Partition < 0 {
			continue
		}
		if s.Paused {
			paused[s.Source]++
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
	for source, n := range halted {
		out <- prometheus.MustNewConstMetric(l.halted, prometheus.GaugeValue, float64(n), source)
	}
	for source, n := range paused {
		out <- prometheus.MustNewConstMetric(l.paused, prometheus.GaugeValue, float64(n), source)
	}
	for source, age := range seconds {
		out <- prometheus.MustNewConstMetric(l.seconds, prometheus.GaugeValue, age, source)
	}
}

// Stock is what a store held when it was last looked at.
type Stock struct {
	customer.Counts
	Oldest         time.Time // change of the change that has waited longest to leave; zero where none waits
	Size           int64     // bytes of its files
	Free, Capacity int64     // bytes of the disk that they are on; a capacity of 0 where nobody can tell
}

// WatchStock exports what the store holds, as look answers it. It is asked at each scrape, so it answers from memory or a
// snapshot; where it answers false the series are left out. It is called once.
func (m *Metrics) WatchStock(topic string, look func() (Stock, bool)) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("onefold_"+name, help, labels, nil)
	}
	m.registerer.MustRegister(&stock{
		look: look, topic: topic,
		customers: desc("customers", "Customers in the master.", "entity"),
		records:   desc("records", "Live records of all sources."),
		outbox:    desc("outbox_items", "Changes of customers that wait to leave.", "target", "state"),
		oldest:    desc("outbox_oldest_timestamp_seconds", "Time of the change that has waited longest; absent where none waits.", "target"),
		dead:      desc("dead_letter_items", "Dead letters that are kept."),
		size:      desc("store_size_bytes", "Bytes of the store's files."),
		free:      desc("store_free_bytes", "Bytes that are free on the disk of the store."),
		capacity:  desc("store_capacity_bytes", "Bytes of the disk of the store."),
	})
}

type stock struct {
	look                                                           func() (Stock, bool)
	topic                                                          string
	customers, records, outbox, oldest, dead, size, free, capacity *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (s *stock) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.customers, s.records, s.outbox, s.oldest, s.dead, s.size, s.free, s.capacity} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *stock) Collect(out chan<- prometheus.Metric) {
	c, ok := s.look()
	if !ok {
		return
	}
	say := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	say(s.customers, c.Customers, entity)
	say(s.records, c.Records)
	say(s.outbox, c.Outbox, s.topic, "pending")
	say(s.dead, c.DeadLetters)
	say(s.size, c.Size)
	if !c.Oldest.IsZero() {
		say(s.oldest, c.Oldest.Unix(), s.topic)
	}
	if c.Capacity > 0 {
		say(s.free, c.Free)
		say(s.capacity, c.Capacity)
	}
}
