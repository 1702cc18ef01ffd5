package customer

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/onefold/onefold/event"
)

// ErrConflict is a store's answer when what a transaction rests on has changed meanwhile; Update tries again.
var ErrConflict = errors.New("the store changed while the batch was computed")

// ErrNotFound is the answer for an id that was never published.
var ErrNotFound = errors.New("not found")

// Store keeps records, customers and everything that must change together with them. Implementations pass
// storetest.
type Store interface {
	// View runs fn on one consistent state of the store.
	View(ctx context.Context, fn func(View) error) error
	// Update runs fn in one transaction and commits it if fn returns nil. On ErrConflict it rolls back and calls fn again on
	// fresh reads, a bounded number of times. A commit whose answer was lost is told by ErrAlready from Advance at the next try.
	Update(ctx context.Context, fn func(Tx) error) error
	Exporter
}

// Exporter walks over all customers.
type Exporter interface {
	// EachCustomer calls fn for every customer that is active, in any order, with its live records and their interactions, on one
	// consistent state of the store.
	EachCustomer(ctx context.Context, fn func(*Customer, []*Record, []*Interaction) error) error
}

// View reads in batches: one round trip a call, answers in the order of the input, whatever its size.
// What a View answers is read-only for the caller. A limit below one answers nothing.
type View interface {
	// Records answers the record of each id, nil where it is not known.
	Records(ctx context.Context, ids []RecordID) ([]*Record, error)
	// Holders answers the nodes that hold each key, in the order of their ids, at most limit a key.
	Holders(ctx context.Context, keys []Key, limit int) ([][]Holder, error)
	// Nodes answers the live records of each node, in the order of their ids, at most limit a node.
	Nodes(ctx context.Context, nodes []NodeID, limit int) ([][]RecordID, error)
	// Indexed answers the nodes that hold keys behind an id, in the order of their ids, at most limit.
	Indexed(ctx context.Context, after NodeID, limit int) ([]NodeID, error)
	// Components answers the distinct components that the given records are in, each whole. A record that is not known is left out.
	Components(ctx context.Context, of []RecordID) ([]*Component, error)
	// Customers answers the customer of each id, nil where it is not known. Aliases are answered as they are, not followed.
	Customers(ctx context.Context, ids []CustomerID) ([]*Customer, error)
	// Former answers the ids of all customers that any of the records was part of before: distinct, in order. It may name those that they
	// are part of now, too.
	Former(ctx context.Context, of []RecordID) ([]CustomerID, error)
	// Decisions answers the decision of each id, also one that is undone; nil where it is not known.
	Decisions(ctx context.Context, ids []string) ([]*Decision, error)
	// Interactions answers the interaction of each id, nil where it is not known.
	Interactions(ctx context.Context, ids []InteractionID) ([]*Interaction, error)
	// Timeline answers the interactions that any of the records takes part in, newest first, at most limit.
	Timeline(ctx context.Context, of []RecordID, limit int) ([]*Interaction, error)
	// Partaken answers the interactions behind an id that any of the records takes part in, in the order of their ids, at most limit.
	Partaken(ctx context.Context, of []RecordID, after InteractionID, limit int) ([]*Interaction, error)
	// Members answers for each customer the records that are or ever were part of it, live or not, in the order of their ids, each with
	// where it is now.
	Members(ctx context.Context, of []CustomerID) ([][]Membership, error)
}

// Tx is a View inside a transaction that can write.
type Tx interface {
	View
	// Advance moves positions; it comes first in a transaction. ErrFenced or ErrAlready refuse the whole transaction.
	Advance(ctx context.Context, advances []event.Advance) error
	// Apply writes a delta; it comes last, once. History and outbox entries of the delta's customers are written with it (invariant 5).
	Apply(ctx context.Context, d *Delta) error
}

// Delta is what one transaction changes, in the domain's words. Rows, history and outbox derive from it inside Apply.
type Delta struct {
	Records      []*Record // whole, new or changed
	Keys         []KeySet  // of nodes whose keys changed: all that they hold now, none for one that has no live record any more
	Edges        []Edge    // new or changed
	DropEdges    []NodePair
	Members      []Membership   // new or changed
	Customers    []*Customer    // new or changed, with their new version; each becomes a history row and an outbox entry
	Interactions []*Interaction // new or changed; a forgotten one takes the place of what was there
	Decisions    []Decision     // new, or changed by an undo
	Possible     []PossibleSet  // of components that were divided anew, and of those that are no more
	Dead         []event.DeadLetter
	Settled      []event.Settlement // dead letters that go
	Named        []Naming           // by the messages of those dead letters
	// Erased are the records on which an erasure took effect, whatever they are afterwards. All copies of what they said go with it:
	// of every customer that such a record is or ever was part of, the versions before the newest and what of them waits in the outbox;
	// what dead letters hold of a message that names such a record (those of this delta, too), and the reasons of decisions about one.
	// The newest version is still published.
	Erased []RecordID
}

// Naming says which records a message names that has dead letters, as far as they are known.
type Naming struct {
	Message string // as event.Message.ID names it
	Records []RecordID
}

// KeySet is the keys that a node holds.
type KeySet struct {
	Node NodeID
	Keys []Key
}

// Holder is one node that holds a key, and one live record of it, the first by id: it shows what the node says.
type Holder struct {
	Node   NodeID
	Record RecordID
}

// Membership says where a record is: the component whose clustering it takes part in (named by the smallest record id of it),
// and the customer it belongs to. A record that is not live keeps its customer's id, so that it finds home if it comes back.
type Membership struct {
	Record    RecordID   `json:"record"`
	Component RecordID   `json:"component"`
	Customer  CustomerID `json:"customer"`
	Live      bool       `json:"live"`
	Node      NodeID     `json:"-"` // what a live record says; of one that is not live zero, unless it was never live with its customer
}

// lodged tells a record that was never live with its customer: an erasure finds it there, and it has no claim to the id.
func (m *Membership) lodged() bool { return !m.Live && !m.Node.IsZero() }

// Component is a set of records connected by edges, links of their sources or decisions, and all that stands between them.
type Component struct {
	Members   []Membership // by record id
	Edges     []Edge       // between the nodes of its live records, by pair
	Decisions []Decision   // not undone, by id
}

// Decision is a person's word on two records; it outranks every score, and not-same outranks same.
type Decision struct {
	ID     string       `json:"id"`
	Kind   DecisionKind `json:"kind"`
	Pair                // of records
	Author string       `json:"author"`
	Reason string       `json:"reason,omitempty"`
	At     time.Time    `json:"at"`
	Undone bool         `json:"undone,omitempty"` // a tombstone: decisions are never deleted
	// Of an undone decision, who took it back and when.
	UndoneBy string    `json:"undoneBy,omitempty"`
	UndoneAt time.Time `json:"undoneAt,omitzero"`
}

// DecisionKind is what a decision says.
type DecisionKind string

// The kinds of decision.
const (
	Same    DecisionKind = "same"
	NotSame DecisionKind = "not-same"
)

// standing tells whether a decision of that kind stands between its two records.
func standing(ctx context.Context, v View, d Decision) (bool, error) {
	comps, err := v.Components(ctx, []RecordID{d.A, d.B})
	for _, c := range comps {
		if slices.ContainsFunc(c.Decisions, func(o Decision) bool { return o.Pair == d.Pair && o.Kind == d.Kind && !o.Undone }) {
			return true, err
		}
	}
	return false, err
}

// Possible is two customers that may be one: records of theirs come near, and the clustering has left them apart. It waits for a person
// for as long as that holds. What it depends on is the component of the two; since when it waits, and who looks at it, is not.
type Possible struct {
	ID ReviewID `json:"id"`
	// The records that come closest, and their customers: the one with the smaller id first. Delta and store know their ids alone.
	A         Side   `json:"a"`
	B         Side   `json:"b"`
	Weight    Weight `json:"weight"`
	Threshold Weight `json:"threshold"`
	// What hangs on it: the records of both, and the interactions that these took part in, counted up to MaxHanging each.
	Records      int `json:"records"`
	Interactions int `json:"interactions"`
	Priority     int `json:"priority"`

	Since time.Time   `json:"since"`
	State ReviewState `json:"state"`
	By    string      `json:"by,omitempty"`   // who looks at it, or has put it off
	Until time.Time   `json:"until,omitzero"` // then it waits again
}

// PossibleSet is all pairs that are left apart in a component, none for one that is no more. It takes the place of what was left there; a
// pair that stays keeps since when it waits and who looks at it, but one that was put off waits again when its weight is another.
type PossibleSet struct {
	Component RecordID
	Pairs     []Possible
}

// ReviewState is what is done about a possible pair.
type ReviewState string

// The states of a possible pair.
const (
	Waiting ReviewState = "waiting"
	Claimed ReviewState = "claimed" // somebody looks at it
	Later   ReviewState = "later"   // somebody has put it off
)

// ReviewQuery asks for possible pairs.
type ReviewQuery struct {
	State ReviewState // empty: whatever is done about them
	After ReviewID    // behind that one; ErrNotFound if it is not there any more
	Limit int
}

// Hold says who looks at a possible pair, or puts it off.
type Hold struct {
	State ReviewState // Waiting gives it back
	By    string
	Until time.Time
	Now   time.Time // a hold of somebody else that has ended by then is none
}

// ErrHeld is the answer when somebody else looks at a pair.
var ErrHeld = errors.New("somebody else looks at it")

// ReviewCounts is how much waits for people.
type ReviewCounts struct {
	Pairs  int64     `json:"pairs"`           // in whatever state
	Oldest time.Time `json:"oldest,omitzero"` // since when the oldest waits
}

// ReviewPage is possible pairs, the most urgent first, and how many there are in all.
type ReviewPage struct {
	ReviewCounts
	Reviews []Possible `json:"reviews"`
	Next    string     `json:"next,omitempty"` // the After of the next page
}

// Reviewed is what came of a person's verdict on a possible pair.
type Reviewed struct {
	Review   ReviewID  `json:"review"`
	Verdict  string    `json:"verdict"`            // same, not-same, later
	Decision *Decision `json:"decision,omitempty"` // of same and not-same
	Until    time.Time `json:"until,omitzero"`     // of later: then it waits again, or when there is news
}

// Limits of what waits for people (invariant 10).
const (
	MaxPossible = 100 // pairs of customers that are left of one component: those that come closest
	MaxHanging  = 50  // interactions of a customer that are counted for the priority of a pair
	maxWeighed  = 2   // pairs of a component whose interactions are counted at once: others write meanwhile; of the rest when somebody asks
)

// hanging counts what hangs on each pair of a set.
func (w *work) hanging(ctx context.Context, world *world, set PossibleSet) error {
	records := map[CustomerID][]RecordID{}
	for id, m := range world.members {
		if m.Live && m.Component == set.Component {
			records[m.Customer] = append(records[m.Customer], id)
		}
	}
	counted := map[CustomerID]int{}
	for i := range set.Pairs {
		p := &set.Pairs[i]
		for _, c := range []CustomerID{p.ID.A, p.ID.B} {
			p.Records += len(records[c])
			if n, known := counted[c]; known || i >= maxWeighed {
				p.Interactions += n
				continue
			}
			line, err := w.tx.Timeline(ctx, records[c], MaxHanging)
			if err != nil {
				return err
			}
			counted[c] = len(line)
			p.Interactions += len(line)
		}
		p.Weigh()
	}
	return nil
}

// Weigh sets the priority of a pair: how unsure it is, times how much hangs on it. A pair at its threshold is most unsure, one that is four
// bits from it half as much; what hangs on it counts by its logarithm.
func (p *Possible) Weigh() {
	const half = 4 * Bits
	distance := p.Weight - p.Threshold
	unsure := 100 * int(half) / int(half+max(distance, -distance))
	p.Priority = unsure * (bits.Len(uint(p.Records)) + bits.Len(uint(p.Interactions)))
}

// Limits of a record (invariant 10). Fields of one value are few; what could grow for ever are elements of lists, if a source makes up
// new ids, and scopes, if it makes up new names. A statement that finds no room is refused and makes its change dead, whatever else the
// change says is taken. So a record within the limits does not depend on arrival, and at them only the choice of its elements does.
const (
	MaxElements = 5_000     // elements of lists a record
	MaxRecord   = 4_194_304 // bytes of their ids and values
	MaxScopes   = 64        // scopes of versions a record
	MaxLosers   = 5_000     // records that were merged into a record, a scope

	reasonFull = "too_large"
)

// Outbox is where changes of customers wait to be published.
type Outbox interface {
	// Pending answers the oldest entries after a sequence number, oldest first: at most limit, and none behind MaxPending bytes of values.
	Pending(ctx context.Context, after int64, limit int) ([]OutboxEntry, error)
	// Published marks every entry up to and including a sequence number as published, and lets them go.
	Published(ctx context.Context, upTo int64) error
}

// MaxPending bounds what is read of the outbox at once (invariant 10). The entry that reaches it is still answered, however large it is.
const MaxPending = 16_777_216

// OutboxEntry is one version of one customer on its way out. Value nil is a tombstone. ID is deterministic: customer and version.
type OutboxEntry struct {
	Seq      int64
	ID       string
	Customer CustomerID
	Version  int64
	Time     time.Time // when this version came about: the customer's UpdatedAt
	Value    []byte
}

// Counts is the size of what a store holds, and how much of it waits.
type Counts struct {
	Records      int64 `json:"records"` // live
	Customers    int64 `json:"customers"`
	Interactions int64 `json:"interactions"`
	Merges       int64 `json:"merges"` // customers that became an alias of another since the beginning
	DeadLetters  int64 `json:"deadLetters"`
	Outbox       int64 `json:"outbox"`
}

// Adopt makes the registry match by another matcher, which standardises and keys as the former does, from the next transaction on. What the
// former joined stands until Rematch has gone over it.
func (r *Registry) Adopt(m Matcher) { r.adopted.Store(&m) }

// current answers the registry with the matcher that one transaction keeps to its end.
func (r *Registry) current() *Registry {
	m := r.adopted.Load()
	if m == nil {
		return r
	}
	c := *r
	c.matcher = *m
	return &c
}

// Rematching is how far what a registry holds has been matched anew. The zero one is the beginning.
type Rematching struct {
	Indexed bool   `json:"indexed"` // the keys are those of the matcher; the edges follow
	After   NodeID `json:"after"`   // the last node of this round
	Done    bool   `json:"done"`
}

// Rematch goes over the next nodes, at most limit, and brings them up to date with the matcher, in one transaction of its own; changes may
// be absorbed between two calls. When it says that it is done, everything is as if it had been absorbed under this matcher (invariant 4).
// A call that is made again does no harm.
func (r *Registry) Rematch(ctx context.Context, p Rematching, limit int, now time.Time) (next Rematching, out *Absorbed, err error) {
	err = r.store.Update(ctx, func(tx Tx) error {
		next = p
		w := newWork(r, tx, now)
		out = &w.out
		nodes, err := tx.Indexed(ctx, p.After, limit)
		if err != nil || len(nodes) == 0 { // the end of a round
			next = Rematching{Indexed: true, Done: p.Indexed}
			return err
		}
		next.After = nodes[len(nodes)-1]
		if err := w.rematch(ctx, nodes, p.Indexed); err != nil {
			return err
		}
		return tx.Apply(ctx, &w.delta)
	})
	if err != nil {
		return p, nil, fmt.Errorf("match anew behind node %x: %w", p.After, err)
	}
	return next, out, nil
}
