package event

import "time"

// Receipt is what is known of one customer at one target: the state of the write-back. It holds no value of the customer, only
// fingerprints of what was written.
type Receipt struct {
	Target        string       `json:"target"`
	Customer      string       `json:"customer"` // its id
	Version       int64        `json:"version"`  // of the customer, that State speaks of
	State         ReceiptState `json:"state"`
	RemoteID      string       `json:"remoteId,omitempty"`
	RemoteVersion string       `json:"remoteVersion,omitempty"`
	Hash          string       `json:"hash,omitempty"` // of the body that the target holds, or is being given; hex
	// Said are fingerprints of what was written, oldest first, the last Last of them of the last write: it comes back as an echo.
	Said []uint64 `json:"-"`
	Last int      `json:"-"`
	// Heard are fingerprints of what people, or the target itself, have put in the place of that; Contests counts how often it was then
	// written again.
	Heard    []uint64  `json:"-"`
	Contests int       `json:"contests,omitempty"`
	Tries    int       `json:"tries,omitempty"`
	Next     time.Time `json:"next,omitzero"` // when an owed delivery is tried again
	Class    Class     `json:"class,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Error    string    `json:"error,omitempty"` // of the last try; holds nothing personal
	At       time.Time `json:"at"`
}

// ReceiptState says how far a delivery is.
type ReceiptState string

// The states of a receipt.
const (
	Sending ReceiptState = "sending" // it may have arrived: noted before the call, so that an echo is known that overtakes the answer
	Held    ReceiptState = "held"    // the target holds what Hash says
	Owed    ReceiptState = "owed"    // it failed in a way that may pass; Next says when it is tried again
	Refused ReceiptState = "refused" // the target does not take this version; the next one is tried
	Removed ReceiptState = "removed" // the target holds nothing of the customer any more
)

// MaxSaid and MaxHeard bound the fingerprints of a receipt (invariant 10): the oldest are forgotten first.
const (
	MaxSaid  = 512
	MaxHeard = 64
)
