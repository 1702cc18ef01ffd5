package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/pipeline/kafka"
)

// topic looks at one topic: of a source, or that of customers.
func (d *doctor) topic(ctx context.Context, client *kafka.Client, t kafka.TopicInfo, brokers int) {
	before := len(d.all)
	found := func(detail, remedy string) { d.say("topic", t.Name, wrong, detail, remedy) }
	if t.Missing {
		d.say("topic", t.Name, skipped, "it is not there yet: the service makes it at its start", "")
		return
	}
	ours := t.Name == d.config.Topics.Customers
	replicas(t, brokers, found)
	if t.Config == nil {
		d.say("topic", t.Name, skipped, "the broker does not let us see its settings", "grant this user DESCRIBE_CONFIGS on the topic")
	}
	if ours {
		customersTopic(t, found)
	} else {
		sourceTopic(t, found)
		d.clock(t, found)
		d.keys(ctx, client, t, found)
	}
	if len(d.all) == before {
		var waits int64
		for _, p := range t.Partitions {
			waits += p.Next - p.First
		}
		d.fine("topic", t.Name, "%s, %s", many(len(t.Partitions), "partition"), count(int(waits), "record", "on it"))
	}
}

// replicas looks at whether a broker may be lost.
func replicas(t kafka.TopicInfo, brokers int, found func(detail, remedy string)) {
	var leaderless, behind, lonely int
	for _, p := range t.Partitions {
		switch {
		case !p.Led:
			leaderless++
		case p.InSync < p.Replicas:
			behind++
		}
		if p.Replicas == 1 {
			lonely++
		}
	}
	if leaderless > 0 {
		found(count(leaderless, "partition", "has no leader, so nobody can read or write there"), "bring the brokers that hold it back")
	}
	if behind > 0 {
		found(count(behind, "partition", "has replicas that are behind"),
			"look why a broker is slow or away: until it has caught up, losing another may lose records")
	}
	if lonely > 0 && brokers >= manyBrokers {
		found(count(lonely, "partition", fmt.Sprintf("has one replica on a cluster of %d brokers: the loss of one broker stops it", brokers)),
			"give the topic three replicas (kafka-reassign-partitions)")
	}
	if least, ok := number(t, "min.insync.replicas"); ok && lonely == 0 && least < 2 && brokers >= manyBrokers {
		found("min.insync.replicas is 1: what is acknowledged may be on one broker only", "set it to 2")
	}
}

// customersTopic looks at what is told to all: it must keep the newest of every customer for ever.
func customersTopic(t kafka.TopicInfo, found func(detail, remedy string)) {
	policy, known := t.Config["cleanup.policy"]
	if known && policy != "compact" {
		found("cleanup.policy is "+policy+": customers who do not change are lost from the topic in time",
			"set it to compact, and publish every customer anew")
	}
	if most, ok := number(t, "max.message.bytes"); ok && most < pipeline.MaxPublished+50_000 {
		found(fmt.Sprintf("max.message.bytes is %d: a large customer cannot be published", most),
			"set it to 1048588, Kafka's own default, or more")
	}
}

// sourceTopic looks at whether what waits there is kept long enough.
func sourceTopic(t kafka.TopicInfo, found func(detail, remedy string)) {
	if ms, ok := number(t, "retention.ms"); ok && ms >= 0 && time.Duration(ms)*time.Millisecond < shortRetention {
		kept := time.Duration(ms) * time.Millisecond
		found(fmt.Sprintf("records are kept for %s: whatever waits longer, while Onefold is stopped or held, is lost", kept),
			"set retention.ms to a week or more")
	}
	if strings.Contains(t.Config["cleanup.policy"], "compact") {
		found("the topic is compacted: of two messages with one key the older may be gone before it is read, and those without a key are refused",
			"set cleanup.policy to delete, unless every message is a whole snapshot of what its key names")
	}
}

// clock looks for records that are written in the future.
func (d *doctor) clock(t kafka.TopicInfo, found func(detail, remedy string)) {
	for _, p := range t.Partitions {
		if ahead := p.Newest.Sub(d.now()); !p.Newest.IsZero() && ahead > aheadOfUs {
			found(fmt.Sprintf("the latest record of partition %d is %s ahead of this machine's clock", p.Partition, ahead.Round(time.Second)),
				"set the clock of this machine, or of the producer: latency, lag and what expires are told by it")
			return
		}
	}
}

// keys looks at whether records of one key lie where the usual hash puts them. Where they do not, but together, nothing is wrong yet: the
// next producer in another language would part them.
func (d *doctor) keys(ctx context.Context, client *kafka.Client, t kafka.TopicInfo, found func(detail, remedy string)) {
	seen, elsewhere, err := sample(ctx, client, t)
	switch {
	case err != nil:
		d.say("keys", t.Name, skipped, "the last records could not be read: "+err.Error(), "")
	case elsewhere > 0:
		found(fmt.Sprintf("%d of the last %d records with a key do not lie on the partition that Kafka's murmur2 gives it", elsewhere, seen),
			"set the producer's partitioner to murmur2 (librdkafka: partitioner=murmur2_random), or let nobody else write to this topic: "+
				"messages of one key are in order on one partition only")
	}
}

// last makes a subscriber read the end of every partition, and moves no position anywhere.
type last map[int32]int64

// Claim answers where to begin.
func (l last) Claim(_ context.Context, source, topic string, partitions []int32) ([]event.Position, error) {
	out := make([]event.Position, len(partitions))
	for i, p := range partitions {
		out[i] = event.Position{Partition: event.Partition{Source: source, Topic: topic, Partition: p}, Next: l[p], Epoch: -1}
	}
	return out, nil
}

// sample reads the last records of each partition, and counts those with a key, and those of them that lie elsewhere.
func sample(ctx context.Context, client *kafka.Client, t kafka.TopicInfo) (seen, elsewhere int, err error) {
	begin, waits := last{}, false
	for _, p := range t.Partitions {
		if p.Next < 0 || p.First < 0 {
			return 0, 0, fmt.Errorf("partition %d does not tell where its log ends", p.Partition)
		}
		begin[p.Partition] = max(p.First, p.Next-sampled)
		waits = waits || begin[p.Partition] < p.Next
	}
	if !waits || len(t.Partitions) == 1 {
		return 0, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, samplePatience)
	sub := kafka.NewSubscriber(client, begin, map[string]string{t.Name: "doctor"}, kafka.SubscriberOptions{MaxWait: 20 * time.Millisecond})
	defer sub.Close()
	defer cancel()
	messages, err := sub.Subscribe(ctx, t.Name)
	if err != nil {
		return 0, 0, err
	}
	done := time.NewTicker(20 * time.Millisecond)
	defer done.Stop()
	for {
		select {
		case frame, open := <-messages:
			if !open {
				return 0, 0, ctx.Err()
			}
			if m := event.FromContext(frame.Context()); !m.Blank && m.Key != nil {
				seen++
				elsewhere += b2i(kafka.PartitionOf(m.Key, len(t.Partitions)) != int(m.Partition))
			}
			frame.Ack()
		case <-done.C:
			if caughtUp(sub.State()) {
				return seen, elsewhere, nil
			}
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
