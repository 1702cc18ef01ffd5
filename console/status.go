package console

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Status is how the service is: what it holds, what each source has come to since the process began, and what waits.
type Status struct {
	Version   string          `json:"version"`
	State     State           `json:"state"`
	Reasons   []string        `json:"reasons,omitempty"` // why it is not ready
	StartedAt time.Time       `json:"startedAt"`
	Counts    customer.Counts `json:"counts"`
	Sources   []SourceStatus  `json:"sources"`         // by name
	Loads     []LoadStatus    `json:"loads,omitempty"` // the last ones since the process began, the oldest first
}

// LoadStatus is what became of the rows of one load so far.
type LoadStatus struct {
	ID       string   `json:"id"`
	Source   string   `json:"source"`
	Outcomes Outcomes `json:"outcomes"`
}

// State is a word for how the process is.
type State string

// The states of the process.
const (
	Starting State = "starting"
	Ready    State = "ready"
	Degraded State = "degraded" // something that it needs is away; it goes on as far as it can
	Draining State = "draining" // it was asked to end
)

// SourceStatus is how one source is. received = the sum of outcomes + inFlight (invariant 7).
type SourceStatus struct {
	Name       string            `json:"name"`
	Adapter    string            `json:"adapter"` // with its revision: "shopify@3"
	Topic      string            `json:"topic"`
	Received   int64             `json:"received"`
	InFlight   int64             `json:"inFlight"`
	Outcomes   Outcomes          `json:"outcomes"`
	Lag        int64             `json:"lag"` // messages on the topic that have not taken effect
	LagSeconds int64             `json:"lagSeconds"`
	PerSecond  float64           `json:"perSecond"` // messages received, on average of the last minute
	State      SourceState       `json:"state"`
	Paused     *event.Pause      `json:"paused,omitempty"`
	Partitions []PartitionStatus `json:"partitions"`
}

// SourceState is a word for how a source is.
type SourceState string

// The states of a source, the worst first: of several it shows the first that holds.
const (
	SourceHalted  SourceState = "halted"  // a partition waits until a person has mended something
	SourcePaused  SourceState = "paused"  // at a person's wish
	SourceFailing SourceState = "failing" // something goes wrong, and is tried again
	SourceRunning SourceState = "running"
)

// Sources is every source, by name.
type Sources struct {
	Sources []SourceStatus `json:"sources"`
}

// Flow is what the flow is told by people.
type Flow interface {
	// Pause lets nothing more of a source be read, over restarts too, until Resume; customer.ErrNotFound if there is no such source.
	Pause(ctx context.Context, source, by string) error
	Resume(ctx context.Context, source string) error
}

// Outcomes counts how messages ended.
type Outcomes struct {
	Applied   int64 `json:"applied"`
	Duplicate int64 `json:"duplicate"`
	Stale     int64 `json:"stale"`
	Ignored   int64 `json:"ignored"`
	Dead      int64 `json:"dead"`
}

// Sum is the number of messages that have ended.
func (o Outcomes) Sum() int64 { return o.Applied + o.Duplicate + o.Stale + o.Ignored + o.Dead }

// Add counts n more messages that ended in an outcome, by its name.
func (o *Outcomes) Add(outcome string, n int64) {
	switch outcome {
	case event.Applied.String():
		o.Applied += n
	case event.Duplicate.String():
		o.Duplicate += n
	case event.Stale.String():
		o.Stale += n
	case event.Ignored.String():
		o.Ignored += n
	case event.Dead.String():
		o.Dead += n
	}
}

// PartitionStatus is how far one partition has taken effect.
type PartitionStatus struct {
	Partition int32 `json:"partition"`
	Next      int64 `json:"next"` // offset of the next message that takes effect
	End       int64 `json:"end"`  // offset that the next message on the topic will have
	Lag       int64 `json:"lag"`
	// LagSeconds is how old the last message is that was read, where others wait behind it; 0 where none does.
	LagSeconds int64     `json:"lagSeconds"`
	LastTime   time.Time `json:"lastTime,omitzero"` // of the last message read, by the broker
	Halted     string    `json:"halted,omitempty"`  // code of why it does not go on
	Error      string    `json:"error,omitempty"`
	Remedy     string    `json:"remedy,omitempty"` // how a halted partition goes on
}

func (a *api) status(w http.ResponseWriter, r *http.Request) error {
	s, err := a.Status(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, s)
	return nil
}

func (a *api) sources(w http.ResponseWriter, r *http.Request) error {
	s, err := a.Status(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, Sources{Sources: s.Sources})
	return nil
}

func (a *api) pause(w http.ResponseWriter, r *http.Request) error {
	by := access.From(r.Context()).Name
	if err := a.Flow.Pause(r.Context(), r.PathValue("id"), by); err != nil {
		return err
	}
	a.Log.InfoContext(r.Context(), "source paused", slog.String("source", r.PathValue("id")), slog.String("by", by))
	return a.source(w, r)
}

func (a *api) resume(w http.ResponseWriter, r *http.Request) error {
	if err := a.Flow.Resume(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	by := access.From(r.Context()).Name
	a.Log.InfoContext(r.Context(), "source resumed", slog.String("source", r.PathValue("id")), slog.String("by", by))
	return a.source(w, r)
}

// source answers how a source is.
func (a *api) source(w http.ResponseWriter, r *http.Request) error {
	s, err := a.Status(r.Context())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.Sources, func(s SourceStatus) bool { return s.Name == r.PathValue("id") })
	if i < 0 {
		return customer.ErrNotFound
	}
	reply(w, http.StatusOK, s.Sources[i])
	return nil
}

// TargetStatus is how one target is: why it is held, and how many customers are how far.
type TargetStatus struct {
	Name    string    `json:"name"`
	Source  string    `json:"source,omitempty"` // on which it tells of changes
	State   string    `json:"state"`            // ok throttled down auth
	Reason  string    `json:"reason,omitempty"` // why it is held, for a person
	Since   time.Time `json:"since,omitzero"`
	Until   time.Time `json:"until,omitzero"` // it is left alone
	Waiting int64     `json:"waiting"`        // customers that have changed and were not looked at for it
	Oldest  time.Time `json:"oldest,omitzero"`
	Last    time.Time `json:"last,omitzero"` // it last took a customer since the process began
	Held    int64     `json:"held"`          // customers that it holds as they are
	Owed    int64     `json:"owed"`          // and those that are on their way, or tried again
	Refused int64     `json:"refused"`
	Removed int64     `json:"removed"`
}

// TargetList is every target, by name.
type TargetList struct {
	Targets []TargetStatus `json:"targets"`
}

// Refused is a page of receipts of customers that a target has refused. Next is the after of the next page, empty on the last.
type Refused struct {
	Refused []event.Receipt `json:"refused"`
	Next    string          `json:"next,omitempty"`
}

// Resynced says that a target is written to from the beginning.
type Resynced struct {
	Target string `json:"target"`
}

// Preview is what a target would be told of a customer now.
type Preview struct {
	Target   string         `json:"target"`
	Customer string         `json:"customer"`
	Op       string         `json:"op"`             // upsert remove none
	Body     string         `json:"body,omitempty"` // personal data
	Receipt  *event.Receipt `json:"receipt,omitempty"`
}

func (a *api) targets(w http.ResponseWriter, r *http.Request) error {
	all, err := a.Targets.Targets(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, TargetList{Targets: all})
	return nil
}

func (a *api) refused(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r.URL.Query().Get("limit"))
	if err != nil {
		return err
	}
	if limit > MaxRefused {
		return bad("limit", "a limit is at most 500", "")
	}
	if limit == 0 {
		limit = 50
	}
	found, err := a.Targets.Refused(r.Context(), r.PathValue("name"), r.URL.Query().Get("after"), limit)
	if err != nil {
		return err
	}
	page := Refused{Refused: append([]event.Receipt{}, found...)}
	if len(found) == limit {
		page.Next = found[limit-1].Customer
	}
	if !access.From(r.Context()).Sees() {
		for i := range page.Refused {
			page.Refused[i].RemoteID = "" // some systems use an address for it
		}
	}
	reply(w, http.StatusOK, page)
	return nil
}

func (a *api) resync(w http.ResponseWriter, r *http.Request) error {
	if err := a.Targets.Resync(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	reply(w, http.StatusOK, Resynced{Target: r.PathValue("name")})
	return nil
}

func (a *api) preview(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	p, err := a.Targets.Preview(r.Context(), r.PathValue("name"), id)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, p)
	return nil
}

// ModelStatus is what records are matched by.
type ModelStatus struct {
	Version    string    `json:"version"`             // of the shipped parameters, and the number of the survey
	Survey     int       `json:"survey"`              // how many surveys there were; 0: the statistics that ship with us
	SurveyedAt time.Time `json:"surveyedAt,omitzero"` // when the last of them began
	Records    int64     `json:"records"`             // that the statistics were counted in
	Households bool      `json:"households"`          // do families share addresses in these records
	Rematching bool      `json:"rematching"`          // everything is being matched anew under this model; customers may still change by it
	Rematched  int64     `json:"rematched"`           // so many nodes of it are done
	Automatic  bool      `json:"automatic"`           // a survey comes by itself when there are four times as many records
	Asked      int64     `json:"asked"`               // how often a survey was asked for since the process began
	Answered   int64     `json:"answered"`            // so many of those were seen by a survey under which everything is matched
}

// Model is asked and told what records are matched by.
type Model interface {
	Status() ModelStatus
	Ask() // for a survey, soon
}

func (a *api) model(w http.ResponseWriter, _ *http.Request) error {
	reply(w, http.StatusOK, a.Model.Status())
	return nil
}

func (a *api) survey(w http.ResponseWriter, _ *http.Request) error {
	a.Model.Ask()
	reply(w, http.StatusOK, a.Model.Status())
	return nil
}
