package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// flow is what people tell the flow while it runs.
type flow struct{ *service }

// Pause implements console.Flow: it is remembered before it is done, so that a restart finds it.
func (f flow) Pause(ctx context.Context, source, by string) error {
	if err := f.known(source); err != nil {
		return err
	}
	if err := f.store.Pause(ctx, event.Pause{Source: source, By: by, At: f.now().UTC()}); err != nil {
		return fmt.Errorf("pause %s: %w", source, err)
	}
	f.subscriber.Pause(source)
	return nil
}

// Resume implements console.Flow.
func (f flow) Resume(ctx context.Context, source string) error {
	if err := f.known(source); err != nil {
		return err
	}
	if err := f.store.Resume(ctx, source); err != nil {
		return fmt.Errorf("resume %s: %w", source, err)
	}
	f.subscriber.Resume(source)
	return nil
}

func (f flow) known(source string) error {
	if _, ok := f.config.Sources[source]; !ok {
		return event.Errorf(event.Permanent, "validation", "id", "a source of that name: %w", customer.ErrNotFound)
	}
	return nil
}

// pauseAsRemembered pauses, before anything is read, what was paused when the service ended.
func (s *service) pauseAsRemembered(ctx context.Context) error {
	pauses, err := s.store.Pauses(ctx)
	if err != nil {
		return surroundings(err, "")
	}
	for _, p := range pauses {
		s.subscriber.Pause(p.Source)
	}
	return nil
}

// stateOf says in a word how a source is.
func stateOf(s *console.SourceStatus) console.SourceState {
	some := func(is func(p console.PartitionStatus) bool) bool { return slices.ContainsFunc(s.Partitions, is) }
	switch {
	case some(func(p console.PartitionStatus) bool { return p.Halted != "" }):
		return console.SourceHalted
	case s.Paused != nil:
		return console.SourcePaused
	case some(func(p console.PartitionStatus) bool { return p.Error != "" }):
		return console.SourceFailing
	}
	return console.SourceRunning
}

// How the pace of a source is measured.
const (
	paceEvery = 5  // looks of the health watch
	paceOver  = 60 // seconds
)

// intake is how much had been received of each source at a time.
type intake struct {
	at       time.Time
	received map[string]int64
}

// measure notes, now and then, how much has been received, and forgets what is older than a minute.
func (h *health) measure(s *service) {
	if h.looks%paceEvery != 1 {
		return
	}
	totals, err := s.totals()
	if err != nil {
		return // a scrape tells it
	}
	now := intake{at: s.now(), received: map[string]int64{}}
	for source, t := range totals {
		now.received[source] = t.Received
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples = append(h.samples, now)
	for len(h.samples) > 2 && now.at.Sub(h.samples[1].at) >= paceOver*time.Second {
		h.samples = h.samples[1:]
	}
}

// pace answers how many messages of a source came in a second, on average of the last minute; 0 while nobody knows.
func (h *health) pace(source string) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) < 2 {
		return 0
	}
	first, last := h.samples[0], h.samples[len(h.samples)-1]
	over := last.at.Sub(first.at).Seconds()
	if over <= 0 {
		return 0
	}
	return float64(last.received[source]-first.received[source]) / over
}
