package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	csvtable "github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
)

// Sizes of a load's sending (invariant 10).
const (
	loadBatch  = 500
	loadBytes  = 4 << 20 // of the rows of a batch
	loadAhead  = 100_000 // rows that are sent before the service has taken them; the rest waits, so that no log has to hold a whole file
	loadLook   = 10_000  // rows between two looks at how far the service is
	loadPoll   = 250 * time.Millisecond
	loadClient = "onefold-load"
)

// sending puts rows on a topic and follows what becomes of them.
type sending struct {
	*load
	to    *kafka.Publisher
	batch []*event.Message
	bytes int
	shown time.Time
	width int
	last  int64 // rows sent when the service was last looked at
	begin int64 // sum of the ends of the source's partitions before anything was sent
	calm  int   // looks in a row at which the source had nothing left to take
}

// send puts every row on the topic, and waits for their outcomes.
func (l *load) send(ctx context.Context, c *config.Config, sheet *csvtable.Sheet, left *rejects) error {
	brokers, err := l.loadBrokers(c)
	if err != nil {
		return err
	}
	client, err := kafka.NewClient(kafka.Config{Brokers: brokers, ClientID: loadClient, Security: secure(c.Kafka)})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Check(ctx); err != nil {
		return surroundings(err, "start the service with onefold run, or name the broker with --brokers")
	}
	if err := client.EnsureTopic(ctx, l.topic, kafka.DefaultPartitions, nil); err != nil {
		return surroundings(fmt.Errorf("topic %s: %w", l.topic, err), "create it, or let this user create it")
	}
	to := kafka.NewPublisher(client, kafka.PublisherOptions{Now: l.now})
	defer to.Close()
	l.out.Load = l.newLoadID()
	s := &sending{load: l, to: to, shown: l.now()}
	if l.wait {
		if err := s.known(ctx); err != nil {
			return err
		}
	}
	err = l.read(ctx, sheet, left, func(e csvtable.Entry) error { return s.take(ctx, e) })
	if err == nil {
		err = s.flush(ctx)
	}
	if err == nil && l.wait {
		err = s.await(ctx, 0)
	}
	s.done()
	if err != nil {
		return fmt.Errorf("%d rows were sent, the load is not done: begin it again, what was taken counts as duplicate: %w", l.out.Sent, err)
	}
	return nil
}

func (s *sending) take(ctx context.Context, e csvtable.Entry) error {
	m := *e.Message
	m.Topic = s.topic
	m.Headers = append(m.Headers[:len(m.Headers):len(m.Headers)], event.Header{Key: csvtable.HeaderLoad, Value: []byte(s.out.Load)})
	s.batch = append(s.batch, &m)
	if s.bytes += len(m.Value); len(s.batch) < loadBatch && s.bytes < loadBytes {
		return nil
	}
	return s.flush(ctx)
}

func (s *sending) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	if err := s.to.Send(ctx, s.topic, s.batch...); err != nil {
		return fmt.Errorf("topic %s: %w", s.topic, err)
	}
	s.out.Sent += int64(len(s.batch))
	s.batch, s.bytes = s.batch[:0], 0
	s.progress(0)
	if s.wait && s.out.Sent-s.last >= loadLook {
		s.last = s.out.Sent
		return s.await(ctx, loadAhead)
	}
	return nil
}

// known asks the service whether it reads the source that the rows go to.
func (s *sending) known(ctx context.Context) error {
	var st console.Status
	if err := s.status(ctx, &st); err != nil {
		return err
	}
	for _, src := range st.Sources {
		if src.Name == s.source && src.Topic == s.topic {
			for _, p := range src.Partitions {
				s.begin += max(p.End, 0)
			}
			return nil
		}
	}
	return &environment{
		text:   fmt.Sprintf("the service at %s does not read source %s from topic %s", s.server, s.source, s.topic),
		remedy: "start it with this configuration, name it with --server, or send without waiting: --wait=false",
	}
}

func (s *sending) status(ctx context.Context, into *console.Status) error {
	return s.program.ask(ctx, http.MethodGet, "/status", nil, nil, into)
}

// calmLooks is how often in a row a source must have nothing left to take before that is believed: what it knows of the end of its topic
// may be a moment old.
const calmLooks = 8

// await waits until at most so many rows of those that were sent have no outcome. Where the service was started again meanwhile its counts
// began anew: then everything is taken when the source has nothing left to take.
func (s *sending) await(ctx context.Context, ahead int64) error {
	tick := time.NewTicker(loadPoll)
	defer tick.Stop()
	for {
		var st console.Status
		if err := s.status(ctx, &st); err != nil {
			return err
		}
		o := s.outcomes(&st)
		s.out.Outcomes = &o
		s.progress(o.Sum())
		if s.calm++; !s.quiet(&st) {
			s.calm = 0
		}
		if s.out.Sent-o.Sum() <= ahead || s.calm >= calmLooks {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *sending) outcomes(st *console.Status) console.Outcomes {
	for _, l := range st.Loads {
		if l.ID == s.out.Load && l.Source == s.source {
			return l.Outcomes
		}
	}
	return console.Outcomes{}
}

// quiet tells whether nothing of the source is left to be taken: every partition is known, and read to its end.
func (s *sending) quiet(st *console.Status) bool {
	for _, src := range st.Sources {
		if src.Name != s.source {
			continue
		}
		at := int64(0)
		for _, p := range src.Partitions {
			if p.Next < p.End || p.Partition < 0 {
				return false
			}
			at += p.Next
		}
		return at >= s.begin+s.out.Sent && src.Lag == 0 && src.InFlight == 0
	}
	return false
}

// progress says on stderr how far the load is.
func (s *sending) progress(done int64) {
	line := fmt.Sprintf("%d of %d rows read, %d sent", s.out.Sent+s.out.Rejected, s.out.Rows, s.out.Sent)
	if done > 0 {
		line += fmt.Sprintf(", %d taken", done)
	}
	now := s.now()
	switch {
	case s.live && now.Sub(s.shown) >= progressEvery:
		fmt.Fprint(s.err, "\r"+line+strings.Repeat(" ", max(0, s.width-len(line))))
		s.width = len(line)
	case !s.live && now.Sub(s.shown) >= progressPlain:
		fmt.Fprintln(s.err, line)
	default:
		return
	}
	s.shown = now
}

func (s *sending) done() {
	if s.width > 0 {
		_, _ = io.WriteString(s.err, "\n")
	}
}
