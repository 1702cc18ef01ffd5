package pages

import (
	"time"

	"github.com/onefold/onefold/customer"
)

// Status is how the service is.
type Status struct {
	Version   string
	State     string   // starting ready degraded draining
	Reasons   []string // why it is not ready
	StartedAt time.Time
	Counts    customer.Counts
	Sources   []Source
	Topic     string // that customers are published on
	Targets   []Target
}

// Source is how one source is: received = the sum of outcomes + in flight (invariant 7).
type Source struct {
	Name       string
	Adapter    string // with its revision: "shopify@3"
	Topic      string
	Received   int64
	InFlight   int64
	Applied    int64
	Duplicate  int64
	Stale      int64
	Ignored    int64
	Dead       int64
	Lag        int64 // messages on the topic that have not taken effect
	LagSeconds int64
	Paused     bool // at a person's wish
	PausedBy   string
	PausedAt   time.Time
	Partitions []Partition
}

// Ended is the number of messages that have ended.
func (s *Source) Ended() int64 { return s.Applied + s.Duplicate + s.Stale + s.Ignored + s.Dead }

// Halted answers the partitions that wait for a person.
func (s *Source) Halted() (n int) {
	for _, p := range s.Partitions {
		if p.Halted != "" {
			n++
		}
	}
	return n
}

// Partition is how far one partition has taken effect.
type Partition struct {
	Partition int32
	Next      int64 // offset of the next message that takes effect
	End       int64 // offset that the next message on the topic will have
	Lag       int64
	LastTime  time.Time
	Halted    string // code of why it does not go on
	Error     string
}

// Target is how one system is that customers are written to.
type Target struct {
	Name    string
	State   string // ok throttled down auth
	Reason  string // why it is held, for a person
	Since   time.Time
	Until   time.Time // it is left alone
	Last    time.Time // it last took a customer
	Waiting int64     // customers that have changed and were not looked at for it
	Held    int64     // customers that it holds as they are
	Owed    int64     // those that are on their way, or tried again
	Refused int64
	Removed int64
}

// level answers how serious the state of a target is.
func (t *Target) level() string {
	switch t.State {
	case "ok":
		return "ok"
	case "throttled":
		return "warn"
	}
	return "bad"
}
