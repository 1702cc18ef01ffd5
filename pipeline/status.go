package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Status is how one source is doing.
type Status struct {
	Source  string   `json:"source"`
	Held    int      `json:"held"`              // partitions that stand still because a message is being tried again
	Reasons []string `json:"reasons,omitempty"` // why it is degraded, for a person; empty when all is well
}

// Status answers how every source is doing, by name.
func (in *Ingest) Status() []Status { return in.seq.status() }

// Ready answers nil when every source flows, else why which does not: the service is degraded, it is not broken.
func (in *Ingest) Ready() error {
	var errs []error
	for _, s := range in.Status() {
		for _, reason := range s.Reasons {
			errs = append(errs, fmt.Errorf("%s: %s", s.Source, reason))
		}
	}
	return errors.Join(errs...)
}

// Totals answers what was received since the start, and what became of it.
func (in *Ingest) Totals() Totals { return in.metrics.ledger.totals() }

func (s *Sequencer) status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[string]*Status{}
	for name := range s.inlets {
		by[name] = &Status{Source: name}
		if s.failing != nil {
			by[name].Reasons = append(by[name].Reasons, "what is ready cannot be stored and is tried again: "+s.failing.Error())
		}
	}
	for _, l := range s.order {
		st, p := by[l.position.Source], l.position.Partition
		if l.held > 0 {
			st.Held++
			st.Reasons = append(st.Reasons, fmt.Sprintf("partition %d of %s is held from offset %d on: %s",
				p.Partition, p.Topic, l.waiting(), say(l.holding)))
		}
		if l.closed != nil && !s.drained {
			st.Reasons = append(st.Reasons, fmt.Sprintf("partition %d of %s is given up: %s", p.Partition, p.Topic, l.closed))
		}
	}
	out := make([]Status, 0, len(by))
	for _, st := range by {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Source, b.Source) })
	return out
}

// waiting answers the offset of the first message of a lane that waits for its next try.
func (l *lane) waiting() int64 {
	for _, t := range l.queue {
		if t.held {
			return t.message.Offset
		}
	}
	return l.last
}
