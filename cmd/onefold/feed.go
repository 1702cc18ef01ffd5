package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/simulation"
)

// Sizes of the simulated feeds' sending.
const (
	feedBatch  = 200
	feedBuffer = 400 // messages made ahead of each topic's sending
)

// feed publishes a town's messages, those of each topic in their order and the topics beside each other, at most rate a second;
// 0 is as fast as it goes. Sent is told of each batch that the broker has acknowledged.
func feed(ctx context.Context, town iter.Seq[simulation.Message], to *kafka.Publisher, rate int, sent func(n int)) error {
	g, ctx := errgroup.WithContext(ctx)
	lanes := map[string]chan *event.Message{}
	g.Go(func() error {
		defer func() {
			for _, lane := range lanes {
				close(lane)
			}
		}()
		pace := newPace(rate)
		for m := range town {
			lane := lanes[m.Topic]
			if lane == nil {
				lane = make(chan *event.Message, feedBuffer)
				lanes[m.Topic] = lane
				g.Go(func() error { return send(ctx, to, m.Topic, lane, sent) })
			}
			if err := pace.wait(ctx); err != nil {
				return err
			}
			select {
			case lane <- raw(&m):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}

// raw makes a record of a town's message. It is as old as the feed: the town's days lie in the past, and a log removes what is
// older than its retention.
func raw(m *simulation.Message) *event.Message {
	out := &event.Message{Topic: m.Topic, Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, event.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// send publishes what comes on a lane, as many at once as there are.
func send(ctx context.Context, to *kafka.Publisher, topic string, lane <-chan *event.Message, sent func(n int)) error {
	for m := range lane {
		batch := []*event.Message{m}
		for more := true; more && len(batch) < feedBatch; {
			select {
			case m, open := <-lane:
				if more = open; open {
					batch = append(batch, m)
				}
			default:
				more = false
			}
		}
		if err := to.Send(ctx, topic, batch...); err != nil {
			return fmt.Errorf("feed: %w", err)
		}
		sent(len(batch))
	}
	return nil
}

// pace lets so many a second pass, evenly over each tenth of a second.
type pace struct {
	tick  *time.Ticker
	quota int
	left  int
}

func newPace(rate int) *pace {
	if rate <= 0 {
		return &pace{}
	}
	return &pace{tick: time.NewTicker(100 * time.Millisecond), quota: max(1, rate/10)}
}

func (p *pace) wait(ctx context.Context) error {
	if p.tick == nil {
		return ctx.Err()
	}
	if p.left == 0 {
		select {
		case <-p.tick.C:
			p.left = p.quota
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.left--
	return nil
}
