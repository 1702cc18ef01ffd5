package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/console"
)

// source answers how the only source is.
func (in *installation) source(t *testing.T) console.SourceStatus {
	t.Helper()
	var all []console.SourceStatus
	if err := json.Unmarshal([]byte(in.ask(t, "source", "list", "-o", "json")), &all); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

// recreate deletes a topic of a broker and makes it anew.
func recreate(t *testing.T, broker, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	gone := kmsg.NewPtrDeleteTopicsRequest()
	named := kmsg.NewDeleteTopicsRequestTopic()
	named.Topic = &topic
	gone.TopicNames, gone.Topics, gone.TimeoutMillis = []string{topic}, append(gone.Topics, named), 5000
	if _, err := gone.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	anew := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, 4, 1
	anew.Topics, anew.TimeoutMillis = append(anew.Topics, one), 5000
	if _, err := anew.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
}

// A topic that was deleted and made anew halts its source, which says what to do; done so, the new topic is read from its start.
func TestRewindIsTheWayOnFromAHalt(t *testing.T) {
	file := configured(t, t.TempDir(), shopOnly)
	in := serve(t, file)
	produce(t, in.Broker, ana(1, "before@example.com"), ana(2, "before2@example.com"))
	eventually(t, 20*time.Second, "the customers are there", func() bool { return in.source(t).Outcomes.Applied == 2 })
	recreate(t, in.Broker, "shop-eu.webhooks")
	produce(t, in.Broker, ana(3, "after@example.com"))
	eventually(t, 60*time.Second, "the source is halted and says how to go on", func() bool {
		_, body := fetch(t, in.Admin+"/readyz?verbose")
		return strings.Contains(body, "recreated") && strings.Contains(body, "onefold source rewind shop-eu --partition 0 --to earliest")
	})
	if _, body := fetch(t, in.Admin+"/metrics"); !strings.Contains(body, "onefold_kafka_halted_partitions{source=\"shop-eu\"} ") ||
		strings.Contains(body, "onefold_kafka_halted_partitions{source=\"shop-eu\"} 0") {
		t.Error("no metric tells that partitions are halted")
	}
	if n := len(in.find(t, "after@example.com")); n != 0 {
		t.Fatal("a new topic is read on in silence")
	}
	if _, errs, code := typed(t, "", "source", "rewind", "shop-eu", "--to", "earliest", "-c", file); code != 3 {
		t.Errorf("beside the running service: %d: %s", code, errs)
	}
	in.end()
	out, errs, code := typed(t, "", "source", "rewind", "shop-eu", "--to", "earliest", "-c", file, "-o", "json")
	var done []Rewound
	if err := json.Unmarshal([]byte(out), &done); err != nil || code != 0 || len(done) != 4 {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	in = serve(t, file)
	eventually(t, 20*time.Second, "the new topic is read", func() bool { return len(in.find(t, "after@example.com")) == 1 })
	if s := in.source(t); s.Lag != 0 || s.Outcomes.Applied != 1 {
		t.Errorf("got %+v", s)
	}
}

// Messages that come again after a rewind are duplicates; what is passed over is never read.
func TestRewind(t *testing.T) {
	file := configured(t, t.TempDir(), shopOnly)
	in := serve(t, file)
	records := []*kgo.Record{ana(1, "a@example.com"), ana(2, "b@example.com"), ana(3, "c@example.com")}
	produce(t, in.Broker, records...) // without keys: to one partition
	eventually(t, 20*time.Second, "the customers are there", func() bool { return in.source(t).Outcomes.Applied == 3 })
	in.end()
	rewind := func(next int64, args ...string) {
		t.Helper()
		args = append([]string{"source", "rewind", "shop-eu", "-c", file, "-o", "json"}, args...)
		out, errs, code := typed(t, "", args...)
		var done []Rewound
		if err := json.Unmarshal([]byte(out), &done); err != nil || code != 0 || len(done) != 1 {
			t.Fatalf("%d: %s%s", code, out, errs)
		}
		if diff := cmp.Diff([]Rewound{{Source: "shop-eu", Partition: records[0].Partition, Stood: 3, Next: next}}, done); diff != "" {
			t.Error(diff)
		}
	}
	partition := strconv.Itoa(int(records[0].Partition))
	for _, tc := range []struct {
		next int64
		to   string
		want console.Outcomes
	}{
		{-1, "earliest", console.Outcomes{Duplicate: 3}},
		{1, "1", console.Outcomes{Duplicate: 2}},
		{3, "3", console.Outcomes{}},
	} {
		rewind(tc.next, "--to", tc.to, "--partition", partition)
		in = serve(t, file)
		eventually(t, 20*time.Second, "all is read", func() bool {
			s := in.source(t)
			end := int64(0)
			for _, p := range s.Partitions {
				end += max(0, p.End)
			}
			return end == 3 && s.Lag == 0 && s.InFlight == 0
		})
		if diff := cmp.Diff(tc.want, in.source(t).Outcomes); diff != "" {
			t.Errorf("to %s (-want +got):\n%s", tc.to, diff)
		}
		in.end()
	}
	for _, args := range [][]string{
		{"shop-eu"},
		{"shop-eu", "--to", "-5"},
		{"shop-eu", "--to", "later"},
		{"shop-eu", "--to", "7"},
		{"shop-eu", "--to", "earliest", "--partition", "99"},
		{"nobody", "--to", "earliest"},
	} {
		if _, errs, code := typed(t, "", append([]string{"source", "rewind", "-c", file}, args...)...); code != 2 || errs == "" {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
	if _, errs, code := typed(t, "", "source", "rewind", "shop-eu", "--to", "earliest", "-c", configured(t, t.TempDir(), shopOnly)); code != 3 {
		t.Errorf("without a store: %d %s", code, errs)
	}
}
