package kafka_test

import (
	"fmt"
	"testing"

	"github.com/onefold/onefold/pipeline/kafka"
)

func TestRoundTrip(t *testing.T) {
	c := client(t, cluster(t))
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := newTopic(t, c, 3, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	var kv []string
	for i := range 300 {
		kv = append(kv, fmt.Sprintf("k%d", i%17), fmt.Sprintf("v%d", i))
	}
	publish(t, p, topic, kv...)
	_, ch := subscribe(t, c, topic, &positions{}, kafka.SubscriberOptions{})
	got := take(t, ch, 300)
	next := map[int32]int64{}
	for _, m := range got {
		if m.Offset != next[m.Partition] {
			t.Fatalf("%s: expected offset %d", m.ID(), next[m.Partition])
		}
		next[m.Partition]++
	}
}
