package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
)

// status answers how the service is, for the API.
func (s *service) status(ctx context.Context) (*console.Status, error) {
	counts, err := s.store.Counts(ctx)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	positions, err := s.store.Positions(ctx)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	ready := s.health.readiness(ctx)
	out := &console.Status{Version: buildOf().Version, State: ready.State, StartedAt: s.started, Counts: counts, Loads: s.loads.status()}
	out.Sources = make([]console.SourceStatus, 0, len(s.sources))
	for _, c := range ready.Checks {
		if !c.OK {
			out.Reasons = append(out.Reasons, c.Name+": "+c.Detail)
		}
	}
	pauses, err := s.store.Pauses(ctx)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	stands := map[event.Partition]int64{}
	for _, p := range positions {
		stands[p.Partition] = p.Next
	}
	totals, err := s.totals()
	if err != nil {
		return nil, err
	}
	for _, src := range s.sources {
		one := console.SourceStatus{
			Name: src.Name, Adapter: fmt.Sprintf("%s@%d", src.Adapter, src.Mapping), Topic: src.Topic, Partitions: s.partitions(src.Name, stands),
		}
		for _, p := range one.Partitions {
			one.Lag += p.Lag
			one.LagSeconds = max(one.LagSeconds, p.LagSeconds)
		}
		if i := slices.IndexFunc(pauses, func(p event.Pause) bool { return p.Source == src.Name }); i >= 0 {
			one.Paused = &pauses[i]
		}
		one.State, one.PerSecond = stateOf(&one), s.health.pace(src.Name)
		one.Outcomes = totals[src.Name].Outcomes
		one.Received = totals[src.Name].Received
		one.InFlight = one.Received - one.Outcomes.Sum()
		out.Sources = append(out.Sources, one)
	}
	return out, nil
}

// partitions answers how far each partition of a source has taken effect. One that was never read begins at its earliest record.
func (s *service) partitions(source string, stands map[event.Partition]int64) []console.PartitionStatus {
	out := []console.PartitionStatus{}
	for _, st := range s.subscriber.State() {
		if st.Source != source {
			continue
		}
		next, ok := stands[st.Partition]
		if !ok || next < 0 {
			next = max(0, st.Next-int64(st.InFlight+st.Queued))
		}
		p := console.PartitionStatus{
			Partition: st.Partition.Partition, Next: next, End: st.HighWatermark, Lag: max(0, st.HighWatermark-next),
			LastTime: event.ClampTime(st.LastTime), Halted: st.Halted, Remedy: strings.TrimSpace(remedy(&st)),
		}
		if p.Lag > 0 && !st.LastTime.IsZero() {
			p.LagSeconds = int64(max(0, s.now().Sub(p.LastTime)).Seconds())
		}
		if st.Err != nil {
			p.Error = st.Err.Error()
		}
		out = append(out, p)
	}
	return out
}

// totals reads what became of each source's messages out of the metrics: one ledger, and what is scraped is what is shown.
func (s *service) totals() (map[string]console.SourceStatus, error) {
	families, err := s.metrics.Gather()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	out := map[string]console.SourceStatus{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			source := label(m, "source")
			st := out[source]
			switch f.GetName() {
			case "onefold_events_received_total":
				st.Received = int64(m.GetCounter().GetValue())
			case "onefold_events_processed_total":
				st.Outcomes.Add(label(m, "outcome"), int64(m.GetCounter().GetValue()))
			default:
				continue
			}
			out[source] = st
		}
	}
	return out, nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
