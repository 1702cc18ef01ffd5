package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/pipeline/kafka"
)

// earliest makes a subscriber read a topic from its beginning, and moves no position anywhere.
type earliest struct{}

// Claim answers that nothing was ever read.
func (earliest) Claim(_ context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	out := make([]event.Position, len(partitions))
	for i, p := range partitions {
		out[i] = event.Position{Partition: event.Partition{Source: source, Topic: topic, Partition: p}, Next: -1, Epoch: -1}
	}
	return out, nil
}

// readback reads a topic from its beginning to where it ends now, and answers the newest value of each key: what a compacted topic
// means to whoever reads it. A tombstone removes its key.
func readback(ctx context.Context, client *kafka.Client, topic string) (map[string][]byte, error) {
	newest := map[string][]byte{}
	err := reread(ctx, client, topic, func(m *event.Message) {
		if m.Value == nil {
			delete(newest, string(m.Key))
			return
		}
		newest[string(m.Key)] = m.Value
	})
	return newest, err
}

// reread hands on every message of a topic from its beginning to where it ends now.
func reread(ctx context.Context, client *kafka.Client, topic string, each func(*event.Message)) error {
	ctx, cancel := context.WithCancel(ctx)
	sub := kafka.NewSubscriber(client, earliest{}, map[string]string{topic: "readback"},
		kafka.SubscriberOptions{MaxWait: 20 * time.Millisecond})
	defer sub.Close()
	defer cancel()
	messages, err := sub.Subscribe(ctx, topic)
	if err != nil {
		return err
	}
	done := time.NewTicker(20 * time.Millisecond)
	defer done.Stop()
	for {
		select {
		case frame, open := <-messages:
			if !open {
				return ctx.Err()
			}
			if m := event.FromContext(frame.Context()); !m.Blank {
				each(m)
			}
			frame.Ack()
		case <-done.C:
			if caughtUp(sub.State()) {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// caughtUp tells whether everything that stands on the topic was handed on and acknowledged.
func caughtUp(states []kafka.PartitionState) bool {
	return len(states) > 0 && !slices.ContainsFunc(states, func(s kafka.PartitionState) bool {
		return s.Partition.Partition < 0 || s.HighWatermark < 0 || s.Next < s.HighWatermark || s.InFlight+s.Queued > 0
	})
}

// mostDifferences is how many differences are told; the rest are counted.
const mostDifferences = 10

// compare holds the topic of customers against the store: the same active customers, with the same values; of one who is too large, the
// shorter form. It tells each difference by the customer's id, and answers how many there are.
func (s *service) compare(ctx context.Context, out io.Writer) (int, error) {
	topic, err := readback(ctx, s.client, s.config.Topics.Customers)
	if err != nil {
		return 0, fmt.Errorf("read back %s: %w", s.config.Topics.Customers, err)
	}
	for id, value := range topic {
		if bytes.HasPrefix(value, []byte(`{"aliasOf":`)) {
			delete(topic, id)
		}
	}
	var found []string
	err = s.store.EachCustomer(ctx, func(c *customer.Customer, _ []*customer.Record, _ []*customer.Interaction) error {
		want, err := c.Published()
		if err != nil {
			return err
		}
		got, ok := topic[c.ID.String()]
		delete(topic, c.ID.String())
		switch {
		case !ok:
			found = append(found, c.ID.String()+" is in the store and not on the topic")
		case !sameJSON(got, pipeline.Shorten(want)):
			found = append(found, c.ID.String()+" says something else on the topic than in the store")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for id := range topic {
		found = append(found, id+" is on the topic and not in the store")
	}
	tell(out, found)
	return len(found), nil
}

// tell tells the first differences, in order.
func tell(out io.Writer, found []string) {
	slices.Sort(found)
	for i, line := range found {
		if i == mostDifferences {
			fmt.Fprintf(out, "and %d more differences\n", len(found)-i)
			break
		}
		fmt.Fprintln(out, strings.TrimSpace(line))
	}
}

// sameJSON tells whether two texts are the same JSON value, numbers digit by digit.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	decode := func(raw []byte) (v any) {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if dec.Decode(&v) != nil {
			return raw
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}
