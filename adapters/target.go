package adapters

import (
	"context"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Target is a system that customers are written to. Implementations pass adaptertest; they keep no state about customers, so that
// whoever calls them may be replaced at any time.
type Target interface {
	// Abilities says what the target can do. It does not change while the target lives.
	Abilities() Abilities
	// Render says what the target shall hold of an active customer. It is pure: the same for the same customer, whenever it is
	// asked, so that who compares what it answers knows whether a call is needed at all. Nil: this customer does not belong there.
	Render(c *customer.Customer) (*Rendering, error)
	// Push brings deliveries to the target: at most Abilities.Batch of them, no customer twice. It may be repeated with the same
	// deliveries and then has the same effect. It answers a receipt for each, in order. An error says that nothing is known of any of
	// them; its class says what to do: retryable and throttled wait and try again, auth waits for somebody who renews a credential,
	// permanent would fail for each of them alike. Nothing that it says holds personal data or a secret (invariant 9).
	Push(ctx context.Context, deliveries []Delivery) ([]Receipt, error)
}

// Abilities is what a target can do.
type Abilities struct {
	Batch int  // most deliveries of one Push, at least 1
	Merge bool // it can make two of its entries one: else the loser is removed
}

// Rendering is what a target shall hold of one customer.
type Rendering struct {
	Body []byte          // in the target's own form, the same byte for byte for the same customer
	Said []customer.Path // the attributes that Body was made of: what comes back of them is an echo
}

// Op says what a delivery does.
type Op string

// The operations.
const (
	Upsert Op = "upsert" // the entry holds Body; it is made where there is none
	Merge  Op = "merge"  // the entry RemoteID becomes part of Into
	Remove Op = "remove" // the entry is no more; one that is not there is as good
)

// Delivery is one thing to be done at a target about one customer.
type Delivery struct {
	ID       string // deterministic: of customer, version and operation. Targets that know idempotency keys are given it
	Op       Op
	Customer customer.CustomerID // the external id that the target knows the entry by
	Version  int64
	RemoteID string // the target's own id of the entry, as its last receipt told it; empty where none is known
	Into     string // of a merge: the remote id of the entry that stays
	Erased   bool   // of a removal: at the wish of the data subject, so that the target keeps nothing of the entry, nor a way back to it
	Body     []byte // of an upsert
}

// Receipt is what became of one delivery.
type Receipt struct {
	RemoteID      string // the target's own id of the entry; of a merge, of the one that stays, if the target tells it
	RemoteVersion string // what the target calls the state that it now has; empty where it tells none
	Problem       *Problem
}

// Problem says why a delivery was not done.
type Problem struct {
	event.Error
	After time.Duration // how long the target asks to be left alone; 0 where it does not say
}
