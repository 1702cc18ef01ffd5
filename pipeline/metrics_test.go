package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

// scrape answers the value of every series without buckets, by name and labels.
func scrape(tb testing.TB, reg *prometheus.Registry) map[string]float64 {
	tb.Helper()
	families, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "onefold_") + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.GetCounter() != nil:
				out[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				out[name] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				out[name+"#"] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return out
}

func TestZeroIsVisibleFromTheStart(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := pipeline.NewMetrics(reg)
	m.WatchLag(func() []pipeline.LagState { return nil }, time.Now)
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
	pipeline.NewIngest(s.config, s.broker, s.vault, nil, m)
	got := scrape(t, reg)
	for _, name := range []string{
		"events_received_total{shop}", "events_in_flight{shop}", "events_processed_total{applied,shop}", "events_processed_total{dead,shop}",
		"events_processed_total{duplicate,shop}", "events_processed_total{stale,shop}", "events_processed_total{ignored,shop}",
		"event_size_bytes{shop}#", "event_latency_seconds{shop}#", "dead_letters_total{decode,shop}", "dead_letters_total{other,shop}",
		"retries_total{retryable,map}", "retries_total{auth,publish}", "partitions_held{shop}", "stage_duration_seconds{map}#",
		"identity_merges_total{auto}", "identity_splits_total{auto}", "identity_decisions_total{new}", "kafka_assigned_partitions{shop}", "kafka_halted_partitions{shop}",
		"store_op_duration_seconds{apply_event,ok}#", "store_op_duration_seconds{outbox_claim,error}#",
	} {
		if v, ok := got[name]; !ok || v != 0 {
			t.Errorf("%s = %v, there: %t", name, v, ok)
		}
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("names: %v %v", problems, err)
	}
}

func TestBooksBalanceInEveryScrape(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		switch m.Offset % 10 {
		case 1:
			return nil, event.Errorf(event.Poison, "decode", "", "bad")
		case 2:
			return nil, event.Ignore("test-mode", "by design")
		case 3:
			return nil, event.Errorf(event.Permanent, "ana@example.com", "", "a reason that is no code")
		}
		return plain(ctx, m)
	})}})
	s.delay = time.Millisecond
	s.metrics = pipeline.NewMetrics(reg)
	s.broker.fill("shop", "shop.webhooks", 0, 1000)
	stop := s.start(t)
	busy := 0
	for s.count() < 1000 {
		got := scrape(t, reg)
		sum := got["events_in_flight{shop}"]
		for _, o := range event.Outcomes() {
			sum += got[fmt.Sprintf("events_processed_total{%s,shop}", o)]
		}
		if sum != got["events_received_total{shop}"] {
			t.Fatalf("received %v, accounted for %v", got["events_received_total{shop}"], sum)
		}
		if got["events_in_flight{shop}"] > 0 {
			busy++
		}
	}
	if busy == 0 {
		t.Error("no scrape saw anything in flight: the test shows nothing")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, reg)
	want := map[string]float64{
		"events_received_total{shop}": 1000, "events_in_flight{shop}": 0, "events_processed_total{applied,shop}": 700,
		"events_processed_total{dead,shop}": 200, "events_processed_total{ignored,shop}": 100, "event_latency_seconds{shop}#": 1000,
		"event_size_bytes{shop}#": 1000, "dead_letters_total{decode,shop}": 100, "dead_letters_total{other,shop}": 100,
		"stage_duration_seconds{map}#": 1000, "identity_largest_cluster_records{customer}": 2, "identity_identifiers_silenced_total{customer}": float64(len(s.sizes)),
		"store_op_duration_seconds{apply_event,ok}#": float64(len(s.sizes)), "identity_decisions_total{new}": float64(len(s.sizes)),
	}
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s = %v, want %v", name, got[name], v)
		}
	}
}

// diary is a log that is written to by goroutines of the router which outlive it for a moment.
type diary struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all.Write(b)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all.String()
}

// No label and no line of the log holds what a message says, and the number of series does not grow (invariant 9).
func TestNothingPersonalInMetricsAndLog(t *testing.T) {
	reg := prometheus.NewRegistry()
	var log diary
	secret := func(m *event.Message) string { return fmt.Sprintf("ana%d@example.com", m.Offset) }
	tried := map[int64]bool{}
	s := newScene(pipeline.IngestConfig{
		Sources: []pipeline.Source{shop(func(_ context.Context, m *event.Message) ([]customer.Change, error) {
			switch m.Offset % 3 {
			case 0:
				panic(secret(m))
			case 1:
				if !tried[m.Offset] { // one at a time: see MapConcurrent
					tried[m.Offset] = true
					return nil, errors.New("no such customer: " + secret(m))
				}
				return nil, event.Errorf(event.Permanent, secret(m), "", "bad")
			}
			return []customer.Change{{Key: secret(m), Op: customer.Patch}}, nil
		})},
		Limits: pipeline.Limits{MapConcurrent: 1, RetryMin: time.Microsecond, RetryMax: time.Microsecond},
	})
	for i := range 300 {
		m := s.broker.put("shop", "shop.webhooks", 0, int64(i), "")
		m.Value = []byte(secret(m))
	}
	m := pipeline.NewMetrics(reg)
	s.ingest = pipeline.NewIngest(s.config, s.broker, s.vault, slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 8})), m)
	before := len(scrape(t, reg))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.ingest.Run(ctx) }()
	s.await(t, 300)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	after := scrape(t, reg)
	if len(after) != before {
		t.Errorf("%d series, %d before", len(after), before)
	}
	for name := range after {
		if strings.Contains(name, "ana") {
			t.Errorf("the series %s", name)
		}
	}
	if !strings.Contains(log.String(), "panicked") {
		t.Error("the log says nothing of the panics")
	}
	if i := strings.Index(log.String(), "ana"); i >= 0 {
		t.Errorf("the log says %q", log.String()[max(0, i-200):i+40])
	}
}

func TestLag(t *testing.T) {
	now := time.Unix(2000, 0)
	part := partition("shop", "shop.webhooks", 0)
	other := partition("shop", "shop.webhooks", 1)
	tests := []struct {
		name   string
		states []pipeline.LagState
		want   map[string]float64
	}{
		{
			"behind",
			[]pipeline.LagState{{Partition: part, Next: 10, HighWatermark: 25, Waiting: 3, LastTime: time.Unix(1990, 0)}},
			map[string]float64{"records{0,shop,shop.webhooks}": 18, "seconds{shop}": 10},
		},
		{
			"caught up",
			[]pipeline.LagState{{Partition: part, Next: 25, HighWatermark: 25, LastTime: time.Unix(1, 0)}},
			map[string]float64{"records{0,shop,shop.webhooks}": 0, "seconds{shop}": 0},
		},
		{
			"the end was read before the position",
			[]pipeline.LagState{{Partition: part, Next: 26, HighWatermark: 25}},
			map[string]float64{"records{0,shop,shop.webhooks}": 0, "seconds{shop}": 0},
		},
		{
			"never read, end unknown",
			[]pipeline.LagState{{Partition: part, Next: -1, HighWatermark: -1}},
			map[string]float64{"records{0,shop,shop.webhooks}": 0, "seconds{shop}": 0},
		},
		{
			"a clock ahead of ours",
			[]pipeline.LagState{{Partition: part, Next: 1, HighWatermark: 2, LastTime: time.Unix(3000, 0)}},
			map[string]float64{"records{0,shop,shop.webhooks}": 1, "seconds{shop}": 0},
		},
		{"the worst counts", []pipeline.LagState{
			{Partition: part, Next: 1, HighWatermark: 2, LastTime: time.Unix(1999, 0)},
			{Partition: other, Next: 1, HighWatermark: 3, LastTime: time.Unix(1900, 0)},
		}, map[string]float64{"records{0,shop,shop.webhooks}": 1, "records{1,shop,shop.webhooks}": 2, "seconds{shop}": 100}},
		{"not assigned any more", nil, map[string]float64{}},
		{"the topic is not known yet", []pipeline.LagState{{Partition: partition("shop", "shop.webhooks", -1)}}, map[string]float64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			pipeline.NewMetrics(reg).WatchLag(func() []pipeline.LagState { return tt.states }, func() time.Time { return now })
			got := map[string]float64{}
			for name, v := range scrape(t, reg) {
				if short, ok := strings.CutPrefix(name, "kafka_consumer_lag_"); ok {
					got[short] = v
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lag (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStock(t *testing.T) {
	reg := prometheus.NewRegistry()
	known, stock := true, pipeline.Stock{
		Counts: customer.Counts{Records: 5, Customers: 3, DeadLetters: 2, Outbox: 1}, Oldest: time.Unix(1_700_000_000, 5),
		Size: 7, Free: 8, Capacity: 9,
	}
	pipeline.NewMetrics(reg).WatchStock("onefold.customers", func() (pipeline.Stock, bool) { return stock, known })
	got := scrape(t, reg)
	for name, v := range map[string]float64{
		"customers{customer}": 3, "records{}": 5, "dead_letter_items{}": 2, "outbox_items{pending,onefold.customers}": 1,
		"outbox_oldest_timestamp_seconds{onefold.customers}": 1_700_000_000, "store_size_bytes{}": 7, "store_free_bytes{}": 8,
		"store_capacity_bytes{}": 9,
	} {
		if got[name] != v {
			t.Errorf("%s = %v, want %v", name, got[name], v)
		}
	}
	stock.Oldest, stock.Capacity = time.Time{}, 0
	got = scrape(t, reg)
	for _, name := range []string{"outbox_oldest_timestamp_seconds{onefold.customers}", "store_free_bytes{}", "store_capacity_bytes{}"} {
		if _, there := got[name]; there {
			t.Errorf("%s is told although nobody knows it", name)
		}
	}
	known = false
	if _, there := scrape(t, reg)["records{}"]; there {
		t.Error("a count that is not known is shown")
	}
}
