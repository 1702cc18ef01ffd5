// Package memory keeps customers in memory: a full store for tests, evaluation and trying out. It passes storetest as the
// durable ones do, and forgets everything when it is let go.
package memory

import (
	"crypto/rand"
	"errors"
	"sync"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Store is a customer.Store in memory. Any number of readers, or one writer. What it holds is never changed, only
// replaced, so that what it answered stays as it was.
type Store struct {
	mu        sync.RWMutex
	closed    bool
	key       []byte
	model     []byte
	positions map[event.Partition]event.Position
	intents   map[event.Partition]event.Intent
	revisions map[string][]string                              // source -> versions of its mapping, in the order in which they came
	pauses    map[string]event.Pause                           // by source
	targets   map[string]int64                                 // how far each has been given the feed
	receipts  map[string]map[customer.CustomerID]event.Receipt // by target
	state
}

// state is what a delta changes.
type state struct {
	records      map[customer.RecordID]*customer.Record
	held         map[customer.NodeID]customer.KeySet
	holders      map[customer.Key][]customer.NodeID      // by id
	nodes        map[customer.NodeID][]customer.RecordID // live, by record id
	edges        map[customer.NodeID]map[customer.NodePair]customer.Edge
	members      map[customer.RecordID]customer.Membership
	components   map[customer.RecordID][]customer.RecordID // by record id
	customers    map[customer.CustomerID]*customer.Customer
	ofCustomer   map[customer.CustomerID]map[customer.RecordID]bool
	stays        map[customer.RecordID]map[customer.CustomerID]bool // customers that a record is or was part of
	residents    map[customer.CustomerID]map[customer.RecordID]bool // and the other way round
	interactions map[customer.InteractionID]*customer.Interaction
	ofRecord     map[customer.RecordID]map[customer.InteractionID]bool
	decisions    map[string]customer.Decision
	decided      map[customer.RecordID][]string
	reviews      map[customer.ReviewID]left
	leaves       map[customer.RecordID]map[customer.ReviewID]bool // pairs by component
	dead         map[string]event.DeadLetter
	contents     map[string][]event.DeadLetter         // letters whose bytes others of their message share, by message
	notes        []event.LetterNote                    // of letters that have gone
	named        map[customer.RecordID]map[string]bool // messages with dead letters that name a record
	outbox       []customer.OutboxEntry
	seq          int64
	feed         []place                       // by number; of a customer that has changed since, the older ones stay a while
	places       map[customer.CustomerID]int64 // the number of a customer's newest place
}

// ErrClosed is the answer of a store that was closed.
var ErrClosed = errors.New("the store is closed")

// New returns an empty store.
func New() *Store {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &Store{
		key: key, positions: map[event.Partition]event.Position{}, revisions: map[string][]string{},
		intents: map[event.Partition]event.Intent{},
		pauses:  map[string]event.Pause{},
		targets: map[string]int64{}, receipts: map[string]map[customer.CustomerID]event.Receipt{},
		state: state{
			places:  map[customer.CustomerID]int64{},
			records: map[customer.RecordID]*customer.Record{}, held: map[customer.NodeID]customer.KeySet{},
			holders: map[customer.Key][]customer.NodeID{}, nodes: map[customer.NodeID][]customer.RecordID{},
			edges:   map[customer.NodeID]map[customer.NodePair]customer.Edge{},
			members: map[customer.RecordID]customer.Membership{}, components: map[customer.RecordID][]customer.RecordID{},
			customers: map[customer.CustomerID]*customer.Customer{}, ofCustomer: map[customer.CustomerID]map[customer.RecordID]bool{},
			stays:        map[customer.RecordID]map[customer.CustomerID]bool{},
			residents:    map[customer.CustomerID]map[customer.RecordID]bool{},
			interactions: map[customer.InteractionID]*customer.Interaction{}, ofRecord: map[customer.RecordID]map[customer.InteractionID]bool{},
			decisions: map[string]customer.Decision{}, decided: map[customer.RecordID][]string{}, dead: map[string]event.DeadLetter{},
			reviews: map[customer.ReviewID]left{}, leaves: map[customer.RecordID]map[customer.ReviewID]bool{},
			named: map[customer.RecordID]map[string]bool{}, contents: map[string][]event.DeadLetter{},
		},
	}
}
