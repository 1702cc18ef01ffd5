package main

import (
	"context"
	"fmt"
	"io"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/writeback"
	"github.com/onefold/onefold/plugins"
)

// openTargets makes the flow of each target, and puts what knows their echoes before the registry.
func (s *service) openTargets(ctx context.Context) error {
	targets, found := loadTargets(s.config, s.now, s.log)
	if len(found) > 0 {
		return found
	}
	key, err := s.store.InstallationKey(ctx)
	if err != nil {
		return surroundings(err, "")
	}
	ids, err := customer.NewIDs(key)
	if err != nil {
		return err
	}
	s.pushers = map[string]*plugins.Target{}
	m := writeback.NewMetrics(s.metrics)
	for _, name := range s.config.TargetNames() {
		target := targets[name]
		switch t := target.(type) {
		case io.Closer:
			s.closers = append(s.closers, t.Close)
		case *plugins.Target:
			s.pushers[name] = t
		}
		s.targets = append(s.targets, writeback.New(writeback.Config{
			Name: name, Source: s.config.Targets[name].Source, Key: key, Now: s.now,
		}, target, s.store, s.log.With("component", "writeback"), m))
	}
	s.loads.Absorber = s.registry
	if len(s.targets) > 0 {
		s.loads.Absorber = writeback.NewEchoes(s.registry, s.store, ids, s.targets)
	}
	m.Watch(func() []writeback.Status { return s.health.targets() })
	return nil
}

// wake tells everything that leaves that customers may have changed.
func (s *service) wake() {
	s.relay.Wake()
	for _, t := range s.targets {
		t.Wake()
	}
}

// targetStatus answers how each target is.
func (s *service) targetStatus(ctx context.Context) ([]writeback.Status, error) {
	out := make([]writeback.Status, 0, len(s.targets))
	for _, t := range s.targets {
		one, err := t.Status(ctx, s.store)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t.Name(), err)
		}
		out = append(out, *one)
	}
	return out, nil
}

// desk is what the API is answered of targets.
type desk struct{ *service }

func (d desk) Targets(ctx context.Context) ([]console.TargetStatus, error) {
	all, err := d.targetStatus(ctx)
	out := make([]console.TargetStatus, 0, len(all))
	for _, t := range all {
		one := console.TargetStatus{
			Name: t.Target, Source: t.Source, State: t.State, Reason: t.Reason, Since: t.Since, Until: t.Until,
			Waiting: t.Waiting, Oldest: t.Oldest, Last: t.Last,
			Held: t.Receipts[event.Held], Owed: t.Receipts[event.Owed] + t.Receipts[event.Sending], Refused: t.Receipts[event.Refused],
			Removed: t.Receipts[event.Removed],
		}
		out = append(out, one)
	}
	return out, err
}

func (d desk) target(name string) (*writeback.Sync, error) {
	for _, t := range d.targets {
		if t.Name() == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("target %s: %w", name, customer.ErrNotFound)
}

func (d desk) Refused(ctx context.Context, target, after string, limit int) ([]event.Receipt, error) {
	if _, err := d.target(target); err != nil {
		return nil, err
	}
	return d.store.RefusedReceipts(ctx, target, after, limit)
}

func (d desk) Resync(ctx context.Context, target string) error {
	t, err := d.target(target)
	if err != nil {
		return err
	}
	return t.Resync(ctx)
}

func (d desk) Preview(ctx context.Context, target string, id customer.CustomerID) (*console.Preview, error) {
	t, err := d.target(target)
	if err != nil {
		return nil, err
	}
	p, err := t.Preview(ctx, id)
	if err != nil {
		return nil, err
	}
	return &console.Preview{Target: p.Target, Customer: p.Customer, Op: p.Op, Body: p.Body, Receipt: p.Receipt}, nil
}
