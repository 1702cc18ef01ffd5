// Package storetest is the one suite that every store passes: what customer.Store and the small interfaces beside it promise.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Store is all that a store does for the rooms of Onefold.
type Store interface {
	customer.Store
	Leaving
	Standing
	Reviews
	Letters
	Intents
	Installation
	Counts(ctx context.Context) (customer.Counts, error)
	Check(ctx context.Context) error
	Close() error
}

// Installation is what a store keeps of the installation that it is of.
type Installation interface {
	InstallationKey(ctx context.Context) ([]byte, error)
	MappingRevision(ctx context.Context, source, version string) (int64, error)
	Model(ctx context.Context) ([]byte, error)
	KeepModel(ctx context.Context, model []byte) error
}

// Intents is where a process tells what it is about.
type Intents interface {
	Intents(ctx context.Context) ([]event.Intent, error)
	Intend(ctx context.Context, p event.Partition, change func(*event.Intent)) (event.Intent, error)
}

// Letters is what a store does for dead letters.
type Letters interface {
	DeadLetters(ctx context.Context, q event.LetterQuery) ([]event.DeadLetter, error)
	CountDeadLetters(ctx context.Context, q event.LetterQuery) (int64, error)
	DeadGroups(ctx context.Context, q event.LetterQuery) ([]event.LetterGroup, error)
	LetterNotes(ctx context.Context, limit int) ([]event.LetterNote, error)
	DeadLetter(ctx context.Context, id string) (*event.DeadLetter, error)
	DropDeadLetters(ctx context.Context, before time.Time, limit int) (int, error)
}

// Run runs the suite; open answers a fresh, empty store that the test closes.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"what is written is read, in the order asked for": testRoundTrip,
		"keys are held by nodes, in order":                testHolders,
		"components are whole and distinct":               testComponents,
		"timelines are newest first":                      testTimeline,
		"decisions are never deleted":                     testDecisions,
		"what waits for people waits until it is settled": testWaiting,
		"what records left is remembered":                 testFormer,
		"positions fence and count once":                  testPositions,
		"pauses are remembered until they end":            testPauses,
		"a failed transaction leaves nothing":             testRollback,
		"a transaction applies one delta":                 testOneDelta,
		"the outbox keeps what is not published":          testOutbox,
		"an outbox of large customers is read in parts":   testLargeEntries,
		"dead letters keep their bytes":                   testDeadLetters,
		"revisions of mappings grow":                      testRevisions,
		"the installation key is made once":               testInstallationKey,
		"customers are walked over whole":                 testEachCustomer,
		"readers see whole commits":                       testIsolation,
		"a cancelled context is refused":                  testCancelled,
		"a forgotten interaction leaves its version":      testForgotten,
		"every field is kept":                             testEveryField,
		"an erasure leaves nothing that waits":            testErasure,
		"an erasure leaves nothing of the living":         testErasureOfTheLiving,
		"an erasure silences decisions":                   testReasons,
		"an erasure blanks dead letters":                  testBlank,
		"dead letters are let go by age":                  testDropDeadLetters,
		"letters of one message share its bytes":          testSharedBytes,
		"letters go, and are written, as they were read":  testSettling,
		"an edit stands beside what came":                 testEdits,
		"what people did to letters is written down":      testNotes,
		"what was about to be done is remembered":         testIntents,
		"letters are grouped by cause":                    testGroups,
		"customers know who was part of them":             testMembers,
		"what records took part in comes in pages":        testPartaken,
		"a conflict is tried again, a bounded number":     testConflict,
		"a panic leaves nothing":                          testPanic,
		"many rows are written as one":                    testMany,
		"members of a component change places":            testComponentsMove,
		"what is answered stays as it was":                testStaysAsItWas,
		"a limit below one answers nothing":               testLimits,
		"a page is the next of one that is there":         testNextPage,
		"nobody moves what nobody claimed":                testUnclaimed,
		"counts are those of the rows":                    testCounts,
		"the feed has each customer once":                 testFeed,
		"the feed goes on behind a place":                 testFeedPlaces,
		"receipts are kept with the position":             testReceipts,
		"what is owed comes by time":                      testOwed,
		"refused customers come in pages":                 testRefused,
		"a renewed target holds nothing":                  testRenew,
		"an erased customer's receipt says nothing":       testErasedReceipt,
		"nor does that of what was merged into it":        testErasedAlias,
	} {
		t.Run(name, func(t *testing.T) { sound(t, open(t), test) })
	}
	t.Run("a closed store refuses", func(t *testing.T) { testClosed(t, open(t)) })
}

// sound runs a test, and looks at what it has left.
func sound(t *testing.T, s Store, test func(*testing.T, Store)) {
	t.Helper()
	t.Cleanup(func() { _ = s.Close() })
	test(t, s)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("the store is not sound afterwards: %v", err)
	}
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

func id(n byte) customer.RecordID { return customer.RecordID{15: n} }

func node(n byte) customer.NodeID { return customer.NodeID{n, 15: 1} }

func version(n string) customer.Version {
	return customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: n, Scope: "s"}, Mapping: 2, Hash: 1<<63 + 7}
}

func record(n byte) *customer.Record {
	v := version("7")
	return &customer.Record{
		ID: id(n), Source: "shop", Key: "k\"ü", Born: at, Revision: 3,
		Scopes: []customer.Scope{{
			Name: "sequence:s", Head: v, Snapshot: v, Deleted: version("1"), Erased: version("0"),
			Cells: []customer.Cell{
				{
					Path: customer.Path{Name: "address", ID: "1"}, State: customer.Set, Version: v, At: at, Event: "e", Verified: true,
					Value: customer.Value{Parts: map[string]string{"postalCode": "0\u00e91"}},
				},
				{Path: customer.Path{Name: "givenName"}, State: customer.Cleared, Version: v, Absent: v, Unknown: v},
			},
		}},
	}
}

func master(n byte, version int64, members ...customer.Member) *customer.Customer {
	return &customer.Customer{
		ID: id(n).Birth(0), Version: version, Status: customer.Active, Members: members, CreatedAt: at, UpdatedAt: at,
		Attributes: []customer.Attribute{{
			Path: customer.Path{Name: "givenName"}, Rule: "recent",
			Claim:  customer.Claim{Value: customer.Text("Zoë"), Source: "shop", Key: "1", At: at},
			Losers: []customer.Claim{{Value: customer.Text("Zoe"), Source: "bank", Key: "2"}},
		}},
	}
}

func interaction(t *testing.T, n byte, when time.Time, records ...customer.RecordID) *customer.Interaction {
	t.Helper()
	amount, err := customer.NewAmount("90071992547409.930", "EUR")
	if err != nil {
		t.Fatal(err)
	}
	in := &customer.Interaction{
		ID: customer.InteractionID{15: n}, Key: "order:1", Type: "order", OccurredAt: when, Amount: amount, Source: "shop", Version: version("1"),
		Items: []customer.Item{{SKU: "a", Quantity: "2", Amount: amount}}, References: []customer.Reference{{Type: "orderNumber", Value: "#1"}},
	}
	for _, r := range records {
		in.Parties = append(in.Parties, customer.Party{Role: "customer", Key: "k", Record: r})
	}
	return in
}

func live(n, component byte) customer.Membership {
	return customer.Membership{Record: id(n), Component: id(component), Customer: id(component).Birth(0), Live: true, Node: node(n)}
}

func apply(t *testing.T, s Store, d customer.Delta) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) }); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s Store, fn func(customer.View) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// same compares what was read with what was written; an absent list and an empty one are the same.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	opts := cmp.Options{
		cmpopts.EquateEmpty(), cmpopts.IgnoreFields(event.DeadLetter{}, "Revision", "Size"),
		cmp.Comparer(func(a, b customer.Amount) bool { return a.String() == b.String() }),
	}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func testRoundTrip(t *testing.T, s Store) {
	in := interaction(t, 1, at, id(1))
	apply(t, s, customer.Delta{
		Records: []*customer.Record{record(1), record(2)}, Customers: []*customer.Customer{master(1, 1)},
		Interactions: []*customer.Interaction{in},
	})
	for range 2 { // the second time after a change
		view(t, s, func(v customer.View) error {
			records, err := v.Records(t.Context(), []customer.RecordID{id(9), id(2), id(1), id(2)})
			same(t, "records", []*customer.Record{nil, record(2), record(1), record(2)}, records)
			customers, err2 := v.Customers(t.Context(), []customer.CustomerID{id(1).Birth(0), id(2).Birth(0)})
			same(t, "customers", []*customer.Customer{master(1, 1), nil}, customers)
			interactions, err3 := v.Interactions(t.Context(), []customer.InteractionID{{}, in.ID})
			same(t, "interactions", []*customer.Interaction{nil, in}, interactions)
			return errors.Join(err, err2, err3)
		})
		apply(t, s, customer.Delta{Records: []*customer.Record{record(1)}})
	}
	changed := record(1)
	changed.Revision = 4
	apply(t, s, customer.Delta{Records: []*customer.Record{changed}})
	view(t, s, func(v customer.View) error {
		got, err := v.Records(t.Context(), []customer.RecordID{id(1)})
		same(t, "a changed record", []*customer.Record{changed}, got)
		empty, err2 := v.Records(t.Context(), nil)
		same(t, "nothing", []*customer.Record(nil), empty)
		return errors.Join(err, err2)
	})
}

func testHolders(t *testing.T, s Store) {
	k1, k2 := customer.Key{Type: "email", Hash: 1<<64 - 1}, customer.Key{Type: "phone", Hash: 1<<64 - 1}
	set := func(n byte, keys ...customer.Key) customer.KeySet { return customer.KeySet{Node: node(n), Keys: keys} }
	says := func(n, says byte) customer.Membership {
		m := live(n, n)
		m.Node = node(says)
		return m
	}
	apply(t, s, customer.Delta{
		Members: []customer.Membership{says(9, 3), says(8, 1), says(7, 1), says(6, 2)},
		Keys:    []customer.KeySet{set(3, k1), set(1, k1, k2), set(2, k1), set(5, k2)},
	})
	want := func(title string, limit int, keys []customer.Key, want [][]customer.Holder) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			got, err := v.Holders(t.Context(), keys, limit)
			same(t, title, want, got)
			return err
		})
	}
	h := func(n, record byte) customer.Holder { return customer.Holder{Node: node(n), Record: id(record)} }
	want("all that have a live record", 9, []customer.Key{k2, k1, {Type: "none", Hash: 1}},
		[][]customer.Holder{{h(1, 7)}, {h(1, 7), h(2, 6), h(3, 9)}, nil})
	want("limited", 2, []customer.Key{k1}, [][]customer.Holder{{h(1, 7), h(2, 6)}})
	nodes := func(title string, limit int, want [][]customer.RecordID) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			got, err := v.Nodes(t.Context(), []customer.NodeID{node(3), node(1), node(4)}, limit)
			same(t, title, want, got)
			return err
		})
	}
	indexed := func(title string, after customer.NodeID, limit int, want ...customer.NodeID) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			got, err := v.Indexed(t.Context(), after, limit)
			same(t, title, want, got)
			return err
		})
	}
	indexed("the first nodes that hold keys", customer.NodeID{}, 2, node(1), node(2))
	indexed("those behind one", node(2), 9, node(3), node(5))
	indexed("behind the last", node(5), 9)
	nodes("records of nodes", 9, [][]customer.RecordID{{id(9)}, {id(7), id(8)}, nil})
	nodes("limited records", 1, [][]customer.RecordID{{id(9)}, {id(7)}, nil})
	nodes("no records", 0, [][]customer.RecordID{nil, nil, nil})
	gone := customer.Membership{Record: id(7), Component: id(7), Customer: id(7).Birth(0)}
	apply(t, s, customer.Delta{
		Members: []customer.Membership{gone, says(6, 4)},
		Keys:    []customer.KeySet{set(1, k2), set(2), set(4, k1)},
	})
	want("replaced", 9, []customer.Key{k1, k2}, [][]customer.Holder{{h(3, 9), h(4, 6)}, {h(1, 8)}})
	indexed("one without keys is none", customer.NodeID{}, 9, node(1), node(3), node(4), node(5))
	nodes("moved records", 9, [][]customer.RecordID{{id(9)}, {id(8)}, {id(6)}})
}

func testComponents(t *testing.T, s Store) {
	edge := func(a, b byte) customer.Edge {
		return customer.Edge{
			NodePair: customer.NewNodePair(node(a), node(b)), Weight: -5 * customer.Bits, Threshold: 3,
			Levels: []uint8{0, 200}, Rule: customer.MustLink, Against: true,
		}
	}
	same1 := customer.Decision{ID: "d1", Kind: customer.NotSame, Pair: customer.NewPair(id(1), id(2)), Author: "a", At: at}
	undone := same1
	undone.ID, undone.Undone = "d0", true
	apply(t, s, customer.Delta{
		Members: []customer.Membership{live(2, 1), live(1, 1), live(3, 1), live(4, 4)},
		Edges:   []customer.Edge{edge(1, 2), edge(2, 3)}, Decisions: []customer.Decision{same1, undone},
	})
	want := func(title string, of []byte, want ...*customer.Component) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			var ids []customer.RecordID
			for _, n := range of {
				ids = append(ids, id(n))
			}
			got, err := v.Components(t.Context(), ids)
			same(t, title, want, got)
			return err
		})
	}
	whole := &customer.Component{
		Members: []customer.Membership{live(1, 1), live(2, 1), live(3, 1)}, Edges: []customer.Edge{edge(1, 2), edge(2, 3)},
		Decisions: []customer.Decision{same1},
	}
	alone := &customer.Component{Members: []customer.Membership{live(4, 4)}}
	want("both, once each", []byte{4, 3, 9, 1}, alone, whole)
	moved := live(3, 3)
	moved.Live, moved.Node = false, customer.NodeID{}
	apply(t, s, customer.Delta{Members: []customer.Membership{moved}, DropEdges: []customer.NodePair{edge(2, 3).NodePair}})
	want("after a record left", []byte{3, 2}, &customer.Component{Members: []customer.Membership{moved}}, &customer.Component{
		Members: []customer.Membership{live(1, 1), live(2, 1)}, Edges: []customer.Edge{edge(1, 2)}, Decisions: []customer.Decision{same1},
	})
	undo := same1
	undo.Undone = true
	apply(t, s, customer.Delta{Decisions: []customer.Decision{undo}})
	want("after an undo", []byte{1}, &customer.Component{
		Members: []customer.Membership{live(1, 1), live(2, 1)}, Edges: []customer.Edge{edge(1, 2)},
	})
}

func testTimeline(t *testing.T, s Store) {
	old, mid, both := interaction(t, 1, at, id(1)), interaction(t, 2, at.Add(time.Hour), id(1)),
		interaction(t, 3, at.Add(time.Minute), id(1), id(2))
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{old, mid, both}})
	want := func(title string, of []customer.RecordID, limit int, want ...*customer.Interaction) {
		t.Helper()
		view(t, s, func(v customer.View) error {
			got, err := v.Timeline(t.Context(), of, limit)
			same(t, title, want, got)
			return err
		})
	}
	want("of two", []customer.RecordID{id(1), id(2)}, 9, mid, both, old)
	want("limited", []customer.RecordID{id(1)}, 2, mid, both)
	moved := interaction(t, 3, at.Add(-time.Hour), id(1))
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{moved}})
	want("moved", []customer.RecordID{id(1)}, 9, mid, old, moved)
	want("left", []customer.RecordID{id(2)}, 9)
	first, last := interaction(t, 8, at.Add(2*time.Hour), id(3)), interaction(t, 9, at.Add(2*time.Hour+1), id(3))
	never := interaction(t, 7, time.Time{}, id(3))
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{never, first, last}})
	want("a nanosecond apart, limited", []customer.RecordID{id(3)}, 1, last)
	want("and one without a time", []customer.RecordID{id(3)}, 9, last, first, never)
}

func testForgotten(t *testing.T, s Store) {
	in := interaction(t, 1, at, id(1))
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{in}})
	left := &customer.Interaction{ID: in.ID, Version: in.Version}
	apply(t, s, customer.Delta{Interactions: []*customer.Interaction{left}})
	view(t, s, func(v customer.View) error {
		line, err := v.Timeline(t.Context(), []customer.RecordID{id(1)}, 9)
		same(t, "the timeline", []*customer.Interaction(nil), line)
		got, err2 := v.Interactions(t.Context(), []customer.InteractionID{in.ID})
		same(t, "what is left", []*customer.Interaction{left}, got)
		return errors.Join(err, err2)
	})
	if c, err := s.Counts(t.Context()); err != nil || c.Interactions != 0 {
		t.Errorf("a forgotten interaction counts: %+v, %v", c, err)
	}
}
