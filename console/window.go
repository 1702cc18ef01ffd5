package console

import (
	"context"
	"net/http"

	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/console/mask"
	"github.com/onefold/onefold/console/pages"
)

// pages returns the pages for people. They stand on what the API stands on.
func (a *api) pages() http.Handler {
	return pages.New(pages.Config{
		Customers: a.Customers, Explain: a.Explain, Letters: a.DeadLetters, Replays: a.Replays, Hand: a.Hand, Flow: a.Flow, Targets: a.Targets,
		Mask: mask.Payload, Now: a.Now, Log: a.Log,
		Caller: func(r *http.Request) pages.Caller {
			c := access.From(r.Context())
			return pages.Caller{Name: c.Name, Role: string(c.Role), Sees: c.Sees(), Operates: c.May(access.Operator)}
		},
		Audit: func(r *http.Request, outcome string) { a.audit(r, route{}, outcome) },
		Status: func(ctx context.Context) (*pages.Status, error) {
			s, err := a.Status(ctx)
			if err != nil {
				return nil, err
			}
			out := s.view()
			if a.Targets == nil {
				return out, nil
			}
			targets, err := a.Targets.Targets(ctx)
			if err != nil {
				return nil, err
			}
			for _, t := range targets {
				out.Targets = append(out.Targets, pages.Target{
					Name: t.Name, State: t.State, Reason: t.Reason, Since: t.Since, Until: t.Until, Last: t.Last, Waiting: t.Waiting,
					Held: t.Held, Owed: t.Owed, Refused: t.Refused, Removed: t.Removed,
				})
			}
			return out, nil
		},
	})
}

// view answers the status as the pages show it.
func (s *Status) view() *pages.Status {
	out := &pages.Status{Version: s.Version, State: string(s.State), Reasons: s.Reasons, StartedAt: s.StartedAt, Counts: s.Counts}
	for i := range s.Sources {
		src := &s.Sources[i]
		one := pages.Source{
			Name: src.Name, Adapter: src.Adapter, Topic: src.Topic, Received: src.Received, InFlight: src.InFlight, Lag: src.Lag,
			LagSeconds: src.LagSeconds,
			Applied:    src.Outcomes.Applied, Duplicate: src.Outcomes.Duplicate, Stale: src.Outcomes.Stale, Ignored: src.Outcomes.Ignored,
			Dead: src.Outcomes.Dead,
		}
		if src.Paused != nil {
			one.Paused, one.PausedBy, one.PausedAt = true, src.Paused.By, src.Paused.At
		}
		for _, p := range src.Partitions {
			one.Partitions = append(one.Partitions, pages.Partition{
				Partition: p.Partition, Next: p.Next, End: p.End, Lag: p.Lag, LastTime: p.LastTime, Halted: p.Halted, Error: p.Error,
			})
		}
		out.Sources = append(out.Sources, one)
	}
	return out
}
