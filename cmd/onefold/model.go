package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
)

// When what the records look like is counted anew, and how much is matched anew at a time (invariant 10).
const (
	firstSurvey  = 500 // records: from there on frequencies, and whether families live here, can be read from them
	surveyGrowth = 4   // times the records of the last survey: a new threshold, docs/identity.md
	surveyEvery  = 10 * time.Second
	rematchNodes = 200 // in one transaction
	rematchSaves = 25  // transactions between two notes of how far it has come
)

// studied is what the store keeps of what the registry matches by.
type studied struct {
	Base     string              `json:"base"`   // version of the shipped parameters under which everything was matched last
	Survey   int                 `json:"survey"` // how many there were; 0 is the statistics that ship with us
	At       time.Time           `json:"at,omitzero"`
	Snapshot match.Snapshot      `json:"snapshot"`
	Progress customer.Rematching `json:"progress"`
	Nodes    int64               `json:"nodes"` // matched anew in this round
}

// model answers what is matched by.
func (s *studied) model() *match.Model {
	m := match.Default()
	if s.Survey > 0 {
		m.Snapshot = s.Snapshot
		m.Version = fmt.Sprintf("%s.%d", m.Version, s.Survey)
	}
	return m
}

// study keeps the model of an installation: it counts what the records look like, where they have become many more, or when it is asked,
// and matches everything anew under what it has counted, while changes go on.
type study struct {
	store interface {
		Model(ctx context.Context) ([]byte, error)
		KeepModel(ctx context.Context, model []byte) error
		Counts(ctx context.Context) (customer.Counts, error)
		customer.Exporter
	}
	registry *customer.Registry
	adopt    func(*match.Matcher)
	manual   bool
	now      func() time.Time
	log      *slog.Logger
	asked    chan struct{}

	working  sync.Mutex // held by who surveys or matches anew
	mu       sync.Mutex
	state    studied
	asks     int64 // how often a survey was asked for since the process began
	taken    int64 // how many of them stood when the last survey began to count
	answered int64 // and when the last began under which everything is matched
}

// resume takes up the model that the store keeps. Under a release with other parameters everything is matched anew.
func (s *study) resume(ctx context.Context) error {
	raw, err := s.store.Model(ctx)
	if err != nil {
		return err
	}
	state := studied{Base: match.DefaultVersion, Progress: customer.Rematching{Done: true}}
	if raw != nil {
		if err := json.Unmarshal(raw, &state); err != nil {
			return &environment{text: "the store's model cannot be read", remedy: "restore a backup of the store: docs/deployment.md", err: err}
		}
	}
	if state.Base != match.DefaultVersion {
		state.Base, state.Progress, state.Nodes = match.DefaultVersion, customer.Rematching{}, 0
	}
	s.state = state
	s.adopt(match.With(state.model()))
	return nil
}

// run goes on with what is left to be matched anew, and looks now and then whether a survey is due, until ctx ends.
func (s *study) run(ctx context.Context) {
	tick := time.NewTicker(surveyEvery)
	defer tick.Stop()
	told := ""
	for {
		err := s.rematch(ctx, time.Duration.Abs) // as long as each step took, others have the store for themselves
		due := false
		if err == nil {
			due, err = s.due(ctx)
		}
		if err == nil && due {
			err = s.survey(ctx)
			if err == nil {
				continue
			}
		}
		if err != nil && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			s.log.WarnContext(ctx, "records could not be matched anew, trying again", slog.Any("err", err))
		}
		select {
		case <-s.asked:
			if err := s.survey(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "a survey failed: ask for it again", slog.Any("err", err))
			}
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// due tells whether there are so many more records that they must be counted anew.
func (s *study) due(ctx context.Context) (bool, error) {
	counts, err := s.store.Counts(ctx)
	state := s.Status()
	last := int64(0)
	if state.Survey > 0 {
		last = state.Records
	}
	return !s.manual && counts.Records >= max(firstSurvey, surveyGrowth*last), err
}

// survey counts what the records look like now, and makes that the model.
func (s *study) survey(ctx context.Context) error {
	s.working.Lock()
	defer s.working.Unlock()
	s.mu.Lock()
	asks := s.asks // what is asked for from now on wants to see what is there then
	s.mu.Unlock()
	begun := s.now()
	var count match.Survey
	plain := match.New()
	err := s.store.EachCustomer(ctx, func(_ *customer.Customer, records []*customer.Record, _ []*customer.Interaction) error {
		for _, r := range records {
			count.Add(plain.Standardise(r))
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("survey: %w", err)
	}
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	state.Survey, state.At, state.Snapshot = state.Survey+1, begun.UTC(), count.Snapshot()
	state.Progress, state.Nodes = customer.Rematching{}, 0
	s.mu.Lock()
	s.taken = asks
	s.mu.Unlock()
	if err := s.keep(ctx, state); err != nil { // before anything is matched by it: whoever starts after us goes on
		return err
	}
	s.adopt(match.With(state.model()))
	s.log.InfoContext(ctx, "the records were surveyed and are matched anew", slog.String("model", state.model().Version),
		slog.Int64("records", state.Snapshot.Records), slog.Bool("households", state.Snapshot.Households.Live()),
		slog.Duration("took", s.now().Sub(begun)))
	return nil
}

// rematch goes on with matching anew until that is done. After each step it waits, as long as pause makes of the time that the step took.
func (s *study) rematch(ctx context.Context, pause func(time.Duration) time.Duration) error {
	s.working.Lock()
	defer s.working.Unlock()
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	for n := 1; !state.Progress.Done; n++ {
		begun := s.now()
		next, out, err := s.registry.Rematch(ctx, state.Progress, rematchNodes, begun)
		if err != nil {
			return errors.Join(err, s.keep(context.WithoutCancel(ctx), state))
		}
		if next.Indexed && !next.Done && next.After != (customer.NodeID{}) {
			state.Nodes += rematchNodes
		}
		state.Progress = next
		if next.Done || n%rematchSaves == 0 {
			if err := s.keep(ctx, state); err != nil {
				return err
			}
		}
		s.set(state)
		if next.Done {
			s.log.InfoContext(ctx, "the records are matched anew", slog.String("model", state.model().Version))
		}
		if out.Created+out.Split > 0 {
			s.log.DebugContext(ctx, "matching anew parted customers", slog.Int("split", out.Split))
		}
		select {
		case <-time.After(pause(s.now().Sub(begun))):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.keep(context.WithoutCancel(ctx), state))
		}
	}
	return nil
}

// settle surveys and matches anew in one go, as fast as it can be.
func (s *study) settle(ctx context.Context) error {
	if err := s.survey(ctx); err != nil {
		return err
	}
	return s.rematch(ctx, func(time.Duration) time.Duration { return 0 })
}

// Ask makes the next survey come soon, one that sees all that is there now. It never blocks.
func (s *study) Ask() {
	s.mu.Lock()
	s.asks++
	s.mu.Unlock()
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

func (s *study) keep(ctx context.Context, state studied) error {
	raw, err := json.Marshal(&state)
	if err != nil {
		return err
	}
	if err := s.store.KeepModel(ctx, raw); err != nil {
		return fmt.Errorf("keep the model: %w", err)
	}
	s.set(state)
	return nil
}

func (s *study) set(state studied) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state = state; state.Progress.Done {
		s.answered = s.taken
	}
}

// Status answers how it is, for the API.
func (s *study) Status() console.ModelStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.state.model()
	return console.ModelStatus{
		Version: m.Version, Survey: s.state.Survey, SurveyedAt: s.state.At, Records: m.Snapshot.Records, Households: m.Snapshot.Households.Live(),
		Rematching: !s.state.Progress.Done, Rematched: s.state.Nodes, Automatic: !s.manual,
		Asked: s.asks, Answered: s.answered,
	}
}

// collect makes its metrics.
func (s *study) collect() []prometheus.Collector {
	gauge := func(name, help string, of func(console.ModelStatus) float64) prometheus.Collector {
		opts := prometheus.GaugeOpts{Namespace: "onefold", Name: name, Help: help}
		return prometheus.NewGaugeFunc(opts, func() float64 { return of(s.Status()) })
	}
	return []prometheus.Collector{
		gauge("identity_survey_records", "Records that the model's statistics were counted in.", func(m console.ModelStatus) float64 {
			return float64(m.Records)
		}),
		gauge("identity_rematching", "1 while everything is matched anew under a new model.", func(m console.ModelStatus) float64 {
			if m.Rematching {
				return 1
			}
			return 0
		}),
	}
}
