package event

import (
	"errors"
	"time"
)

// ErrReplaying refuses a second replay at a time.
var ErrReplaying = errors.New("a replay is under way: wait for its end, or cancel it")

// ReplayWish asks for dead letters to be taken up again: one, those that a query chooses, or all.
type ReplayWish struct {
	Letter string    `json:"letter,omitempty"` // id of the one; then nothing else chooses
	Source string    `json:"source,omitempty"`
	Group  string    `json:"group,omitempty"`
	Since  time.Time `json:"since,omitzero"` // laid down then or later
	Until  time.Time `json:"until,omitzero"` // laid down before
	All    bool      `json:"all,omitempty"`  // must be said where nothing chooses
	DryRun bool      `json:"dryRun,omitempty"`
	Rate   float64   `json:"rate,omitempty"` // letters a second at most; 0 takes the default
	Author string    `json:"author"`
}

// Query answers which letters are wished for.
func (w *ReplayWish) Query() LetterQuery {
	q := LetterQuery{Source: w.Source, Group: w.Group, Since: w.Since, Until: w.Until}
	if w.Letter != "" {
		q = LetterQuery{IDs: []string{w.Letter}}
	}
	return q
}

// Replay is the taking up of dead letters as it goes: a job of the service.
type Replay struct {
	ID string `json:"id"`
	ReplayWish
	State     ReplayState   `json:"state"`
	Reason    string        `json:"reason,omitempty"` // why it waits, or has ended before its end
	StartedAt time.Time     `json:"startedAt"`
	EndedAt   time.Time     `json:"endedAt,omitzero"`
	Total     int64         `json:"total"` // letters that were there at its start
	Done      ReplayTally   `json:"done"`
	Groups    []ReplayGroup `json:"groups"` // the largest first, a bounded number
}

// ReplayState is a word for how a replay is.
type ReplayState string

// The states of a replay. The last three are final.
const (
	ReplayRunning   ReplayState = "running"
	ReplayPaused    ReplayState = "paused"
	ReplayDone      ReplayState = "done"
	ReplayCancelled ReplayState = "cancelled"
	ReplayFailed    ReplayState = "failed"
)

// Ended tells the states that no replay leaves.
func (s ReplayState) Ended() bool { return s != ReplayRunning && s != ReplayPaused }

// ReplayTally counts letters by what their replay came to, or would come to: each in exactly one (invariant 7).
type ReplayTally struct {
	Applied   int64 `json:"applied"`
	Duplicate int64 `json:"duplicate"`
	Stale     int64 `json:"stale"`
	Ignored   int64 `json:"ignored"`
	Dead      int64 `json:"dead"`    // they stay, with one attempt more
	Skipped   int64 `json:"skipped"` // not tried: blanked, changed meanwhile, or of a source that is not configured
}

// Add counts one letter.
func (t *ReplayTally) Add(o Outcome) {
	switch o {
	case Applied:
		t.Applied++
	case Duplicate:
		t.Duplicate++
	case Stale:
		t.Stale++
	case Dead:
		t.Dead++
	default:
		t.Ignored++
	}
}

// Sum answers how many letters were counted.
func (t *ReplayTally) Sum() int64 {
	return t.Applied + t.Duplicate + t.Stale + t.Ignored + t.Dead + t.Skipped
}

// ReplayGroup is what became of the letters of one group, as it was before.
type ReplayGroup struct {
	Group   string      `json:"group"`
	Source  string      `json:"source"`
	Reason  string      `json:"reason"`
	Path    string      `json:"path,omitempty"`
	Mapping string      `json:"mapping,omitempty"`
	Done    ReplayTally `json:"done"`
	Why     string      `json:"why,omitempty"`     // of the first letter that died again or was skipped: reason and how to mend it
	Example string      `json:"example,omitempty"` // that letter's id
}
