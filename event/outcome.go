package event

import "strconv"

// Outcome is how a message, or one change of it, ended. Each ends in exactly one, and each is counted (invariant 7).
type Outcome uint8

// The outcomes, from the mildest to the worst: a message with several changes takes the worst of theirs.
const (
	Ignored   Outcome = iota // left out by design, with a reason
	Duplicate                // already applied, version and content
	Stale                    // older than what is known
	Applied                  // changed the master record
	Dead                     // cannot be applied; kept as a dead letter
)

// Outcomes lists every outcome, mildest first.
func Outcomes() []Outcome { return []Outcome{Ignored, Duplicate, Stale, Applied, Dead} }

// String answers the outcome's name as metrics, JSON and the command line spell it.
func (o Outcome) String() string {
	switch o {
	case Ignored:
		return "ignored"
	case Duplicate:
		return "duplicate"
	case Stale:
		return "stale"
	case Applied:
		return "applied"
	case Dead:
		return "dead"
	default:
		return "unknown"
	}
}

// Result is the outcome of one message: the worst of its parts, and the parts themselves.
type Result struct {
	Outcome Outcome
	Parts   []Part
}

// Part is the outcome of one change of a message. Path names the part ("Ntry[17]"), empty for the whole
// message. Reason is a short code ("erased", "test-mode"), empty for Applied.
type Part struct {
	Path    string
	Outcome Outcome
	Reason  string
}

// Worst answers the message's outcome: dead > applied > stale > duplicate > ignored. A message without parts is ignored.
func Worst(parts []Part) Outcome {
	worst := Ignored
	for _, p := range parts {
		worst = max(worst, p.Outcome)
	}
	return worst
}

// Refusal is what a source says of a message, or of a part of one, that yields no change: ignored by design, or
// dead with the reason. Other parts of the same message are not held up by it.
type Refusal struct {
	Part    string  // "Ntry[17]"; empty for the whole message
	Outcome Outcome // Ignored or Dead
	Err     *Error  // Reason is the code that is counted
	// Keys of parties in the source that the part names, as far as they are known: with the erasure of one the dead letter is blanked.
	Keys []string
}

// Complete answers the refusal as it counts: what is not ignored is dead, and what gives no reason is a mistake of the adapter.
func (r Refusal) Complete() Refusal {
	if r.Outcome != Ignored {
		r.Outcome = Dead
	}
	if r.Err == nil {
		r.Err = Errorf(Permanent, "internal", "", "the adapter gave no reason: this is a mistake in the adapter")
	}
	return r
}

// Refusals is the error of a source that refused some parts; the changes returned beside it hold for the rest.
type Refusals []Refusal

func (rs Refusals) Error() string {
	if len(rs) == 0 {
		return "nothing refused"
	}
	first := rs[0].Complete().Err.Error()
	if rs[0].Part != "" {
		first = rs[0].Part + ": " + first
	}
	if len(rs) == 1 {
		return first
	}
	return first + " (and " + strconv.Itoa(len(rs)-1) + " more parts)"
}

// Ignore refuses a whole message by design. Reason is a short code ("test-mode") and text says why.
func Ignore(reason, text string) error {
	return Refusals{{Outcome: Ignored, Err: &Error{Class: Permanent, Reason: reason, Text: text}}}
}
