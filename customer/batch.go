package customer

import (
	"time"

	"github.com/onefold/onefold/event"
)

// Batch is what Absorb takes in one transaction: messages with what their adapters made of them, and the positions that
// move with their effect.
type Batch struct {
	Now      time.Time // recorded time; nothing but histories and births depends on it
	Messages []Mapped  // per partition in the order of offsets
	Advances []event.Advance
}

// Mapped is one message after the map stage.
type Mapped struct {
	Message  *event.Message
	Adapter  string          // name and revision of what read it, for dead letters: "shopify@3"
	Changes  []Change        // sealed
	Refusals []event.Refusal // parts that yielded no change
	Attempts int             // how often it was tried, for dead letters
}

// Absorbed is what a batch came to.
type Absorbed struct {
	Results    []event.Result // one a message, in the order of the batch
	Created    int            // customers that are new
	Merged     int            // customers that became an alias of another
	Split      int            // customers that were split from another
	Candidates int            // pairs that were scored
	Largest    int            // records in the largest component touched
}
