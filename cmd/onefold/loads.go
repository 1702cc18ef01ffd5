package main

import (
	"context"
	"slices"
	"sync"

	csvtable "github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

// Limits of what is told of loads (invariant 10).
const (
	maxLoads  = 50 // the last, since the service started
	maxLoadID = 64 // bytes
)

// loads counts what becomes of the rows of each load, as they are absorbed. Like the counts of sources it begins with the process.
type loads struct {
	pipeline.Absorber
	mu   sync.Mutex
	last []console.LoadStatus
}

// Absorb implements pipeline.Absorber.
func (l *loads) Absorb(ctx context.Context, b customer.Batch) (*customer.Absorbed, error) {
	done, err := l.Absorber.Absorb(ctx, b)
	if err != nil || done == nil || len(done.Results) != len(b.Messages) {
		return done, err
	}
	for i := range b.Messages {
		if id, ok := b.Messages[i].Message.Header(csvtable.HeaderLoad); ok && id != "" && len(id) <= maxLoadID {
			l.count(id, b.Messages[i].Message.Source, done.Results[i].Outcome)
		}
	}
	return done, nil
}

func (l *loads) count(id, source string, o event.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.last, func(s console.LoadStatus) bool { return s.ID == id && s.Source == source })
	if i < 0 {
		if len(l.last) == maxLoads {
			l.last = slices.Delete(l.last, 0, 1)
		}
		l.last = append(l.last, console.LoadStatus{ID: id, Source: source})
		i = len(l.last) - 1
	}
	l.last[i].Outcomes.Add(o.String(), 1)
}

// status answers the loads, the oldest first.
func (l *loads) status() []console.LoadStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.last)
}
