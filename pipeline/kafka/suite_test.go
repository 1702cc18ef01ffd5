package kafka_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/onefold/onefold/pipeline/kafka"
)

// suite is the Publisher and the Subscriber as Watermill's acceptance suite wants them: topics appear as they are used, and a
// message keeps its UUID, which is our onefold-id.
type suite struct {
	client     *kafka.Client
	partitions int
	key        bool
	o          kafka.SubscriberOptions
	*kafka.Publisher

	mu   sync.Mutex
	made map[string]bool
	subs []*kafka.Subscriber

	renaming sync.WaitGroup
}

func (s *suite) ensure(topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[topic] {
		return nil
	}
	s.made[topic] = true
	return s.client.EnsureTopic(context.Background(), topic, s.partitions, nil)
}

func (s *suite) Publish(topic string, ms ...*message.Message) error {
	if err := s.ensure(topic); err != nil {
		return err
	}
	if s.key {
		for _, m := range ms {
			m.Metadata.Set(kafka.KeyMetadata, "")
		}
	}
	return s.Publisher.Publish(topic, ms...)
}

func (s *suite) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.ensure(topic); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := kafka.NewSubscriber(s.client, &positions{}, map[string]string{topic: "suite"}, s.o)
	s.subs = append(s.subs, sub)
	in, err := sub.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	s.renaming.Go(func() {
		defer close(out)
		for m := range in {
			m.UUID = m.Metadata.Get(kafka.IDHeader)
			select {
			case out <- m:
			case <-m.Context().Done(): // void, the reader is gone
			}
		}
	})
	return out, nil
}

func (s *suite) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, sub := range s.subs {
		err = errors.Join(err, sub.Close())
	}
	s.renaming.Wait()
	return err
}

// suiteSubscriber and suitePublisher close apart.
type (
	suiteSubscriber struct{ *suite }
	suitePublisher  struct{ *suite }
)

func (p suitePublisher) Close() error { return p.Publisher.Close() }

// Watermill's own acceptance suite. Consumer groups are not ours yet; without one each subscriber reads all from the start.
// Order is promised between what is acknowledged when one message is in flight, which is how a plain handler has it.
func TestWatermill(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: Watermill's suite takes seconds and many messages; run without -short")
	}
	brokers := cluster(t)
	for name, tc := range map[string]struct {
		features   tests.Features
		partitions int
		o          kafka.SubscriberOptions
	}{
		"many in flight": {
			tests.Features{Persistent: true, NewSubscriberReceivesOldMessages: true},
			8,
			kafka.SubscriberOptions{MaxRedelivery: time.Millisecond},
		},
		"one in flight": {
			tests.Features{
				Persistent: true, NewSubscriberReceivesOldMessages: true,
				GuaranteedOrder: true, GuaranteedOrderWithSingleSubscriber: true,
			},
			1,
			kafka.SubscriberOptions{MaxInFlight: 1, MaxRedelivery: time.Millisecond},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tests.TestPubSub(t, tc.features, func(t *testing.T) (message.Publisher, message.Subscriber) {
				c := client(t, brokers)
				s := &suite{
					client: c, partitions: tc.partitions, key: tc.features.GuaranteedOrder, o: tc.o,
					Publisher: kafka.NewPublisher(c, kafka.PublisherOptions{}), made: map[string]bool{},
				}
				t.Cleanup(func() { _ = s.Close() }) // the suite forgets some
				return suitePublisher{s}, suiteSubscriber{s}
			}, nil)
		})
	}
}
