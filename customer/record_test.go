package customer_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// said is one statement to fold.
type said struct {
	op         customer.Op
	change     customer.Change
	statements []customer.Statement
}

// statements draws what a change says about a few paths, so that changes collide.
func statements(t *rapid.T) []customer.Statement {
	paths := []customer.Path{{Name: "givenName"}, {Name: "email"}, {Name: "address", ID: "1"}, {Name: "address", ID: "2"}}
	var out []customer.Statement
	for _, p := range paths {
		if !rapid.Bool().Draw(t, "named") {
			continue
		}
		st := customer.Statement{Path: p, State: customer.State(rapid.IntRange(1, 4).Draw(t, "state"))}
		if st.State == customer.Set {
			st.Value = customer.Text(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "value"))
		}
		out = append(out, st)
	}
	return out
}

// linked adds what the Registry says of a party that its source has merged into another.
func linked(to string, says []customer.Statement) []customer.Statement {
	return append(says[:len(says):len(says)], customer.Statement{
		Path: customer.Path{Name: customer.FieldLink, ID: to}, State: customer.Set,
		Value: customer.Value{Parts: map[string]string{"kind": customer.LinkMergedInto, "record": to}},
	})
}

func sayings(scopes []string) *rapid.Generator[[]said] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) said {
		op := rapid.SampledFrom([]customer.Op{customer.Upsert, customer.Upsert, customer.Patch, customer.Patch, customer.Delete, customer.Erase}).Draw(t, "op")
		v, _ := customer.SequenceVersion(fmt.Sprint(rapid.IntRange(1, 6).Draw(t, "version")), rapid.SampledFrom(scopes).Draw(t, "scope"))
		s := said{op: op, statements: statements(t)}
		if op == customer.Delete || op == customer.Erase {
			s.statements = nil
		}
		s.change = customer.Change{Op: op, Key: "k", Party: s.statements, Version: customer.Version{Source: v}}
		if op == customer.Patch && rapid.IntRange(0, 9).Draw(t, "link") == 0 {
			s.change.Op, s.change.Others = customer.Merge, []string{"x"}
		}
		sealed, refused := customer.Seal([]customer.Change{s.change}, &event.Message{Source: "s", Time: start}, 1)
		if len(refused) > 0 {
			t.Fatalf("refused: %v", event.Refusals(refused))
		}
		s.change = sealed[0]
		if to := s.change.Others; to != nil {
			s.statements = linked(to[0], s.statements)
			loser := customer.RecordID{15: 7}.String()
			s.statements = append(s.statements, customer.Statement{
				Path: customer.Path{Name: customer.FieldLink, ID: loser}, State: customer.Set,
				Value: customer.Value{Parts: map[string]string{"kind": customer.LinkMergedFrom, "record": loser}},
			})
		}
		return s
	}), 0, 9)
}

func fold(all []said) *customer.Record {
	r := &customer.Record{}
	for _, s := range all {
		r.Fold(s.op, &s.change, s.statements)
	}
	return r
}

// Any permutation of the same statements, with duplicates, folds to the same record (invariant 3).
func TestFoldForgetsArrival(t *testing.T) {
	for _, scopes := range [][]string{{"one"}, {"one", "two"}, {"one", "two", "three"}} {
		t.Run(fmt.Sprint(len(scopes), " scopes"), rapid.MakeCheck(func(t *rapid.T) {
			all := sayings(scopes).Draw(t, "changes")
			want := fold(all)
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
			shuffled := append(all[:len(all):len(all)], all[:len(all)/2]...)
			rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if diff := cmp.Diff(want, fold(shuffled), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("another order folds to another record:\n%s", diff)
			}
		}))
	}
}

// A statement folded twice in a row is a duplicate, or was refused both times, and changes nothing.
func TestFoldTwiceIsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := fold(sayings([]string{"one", "two"}).Draw(t, "changes"))
		s := sayings([]string{"one"}).Filter(func(s []said) bool { return len(s) > 0 }).Draw(t, "change")[0]
		r.Fold(s.op, &s.change, s.statements)
		before := r.Clone()
		if o, _ := r.Fold(s.op, &s.change, s.statements); o == event.Applied || o == event.Dead {
			t.Fatalf("the second time came to %s", o)
		}
		if diff := cmp.Diff(before, r); diff != "" {
			t.Fatalf("the second time changed the record:\n%s", diff)
		}
	})
}

func TestFoldOutcomes(t *testing.T) {
	version := func(n string) customer.Version {
		v, err := customer.SequenceVersion(n, "c")
		if err != nil {
			t.Fatal(err)
		}
		return customer.Version{Source: v}
	}
	name := func(s string) []customer.Statement {
		return []customer.Statement{{Path: customer.Path{Name: "givenName"}, State: customer.Set, Value: customer.Text(s)}}
	}
	type step struct {
		op      customer.Op
		version string
		says    []customer.Statement
		want    event.Outcome
		reason  string
		live    bool
		name    string
	}
	for title, steps := range map[string][]step{
		"newer wins, older is stale, the same is a duplicate": {
			{customer.Upsert, "2", name("b"), event.Applied, "", true, "b"},
			{customer.Upsert, "1", name("a"), event.Stale, "", true, "b"},
			{customer.Upsert, "2", name("b"), event.Duplicate, "", true, "b"},
			{customer.Upsert, "10", name("c"), event.Applied, "", true, "c"},
		},
		"a whole statement makes absent what it omits, a patch does not": {
			{customer.Upsert, "1", name("a"), event.Applied, "", true, "a"},
			{customer.Patch, "2", nil, event.Applied, "", true, "a"},
			{customer.Upsert, "3", nil, event.Applied, "", true, ""},
		},
		"a late patch under a whole statement says nothing": {
			{customer.Upsert, "3", nil, event.Applied, "", true, ""},
			{customer.Patch, "2", name("a"), event.Stale, "", true, ""},
		},
		"unknown lets stand what was known": {
			{customer.Upsert, "1", name("a"), event.Applied, "", true, "a"},
			{customer.Upsert, "2", []customer.Statement{{Path: customer.Path{Name: "givenName"}, State: customer.Unknown}}, event.Applied, "", true, "a"},
		},
		"cleared is said": {
			{customer.Upsert, "1", name("a"), event.Applied, "", true, "a"},
			{customer.Patch, "2", []customer.Statement{{Path: customer.Path{Name: "givenName"}, State: customer.Cleared}}, event.Applied, "", true, ""},
		},
		"delete, then add again": {
			{customer.Upsert, "1", name("a"), event.Applied, "", true, "a"},
			{customer.Delete, "2", nil, event.Applied, "", false, ""},
			{customer.Delete, "2", nil, event.Duplicate, "", false, ""},
			{customer.Upsert, "1", name("a"), event.Duplicate, "", false, ""},
			{customer.Upsert, "3", name("c"), event.Applied, "", true, "c"},
			{customer.Delete, "2", nil, event.Duplicate, "", true, "c"},
		},
		"erase is deaf to what is not later": {
			{customer.Upsert, "1", name("a"), event.Applied, "", true, "a"},
			{customer.Erase, "5", nil, event.Applied, "", false, ""},
			{customer.Upsert, "5", name("a"), event.Ignored, "erased", false, ""},
			{customer.Upsert, "6", name("z"), event.Applied, "", true, "z"},
		},
	} {
		t.Run(title, func(t *testing.T) {
			r := &customer.Record{}
			for i, s := range steps {
				got, reason := r.Fold(s.op, &customer.Change{Version: version(s.version)}, s.says)
				shown := ""
				for _, c := range r.Cells() {
					shown = c.Value.Text
				}
				if got != s.want || reason != s.reason || r.Live() != s.live || shown != s.name {
					t.Errorf("step %d: %s %q live=%v name=%q, want %s %q live=%v name=%q", i, got, reason, r.Live(), shown, s.want, s.reason, s.live, s.name)
				}
			}
		})
	}
}

// Letting go of what nobody sees any more, to make room, changes nothing that is seen, now or by what is said later.
func TestRoomIsMadeUnseen(t *testing.T) {
	const elements = 3 // that the statements drawn may name
	version := sequence(1, "filler")
	filler := &customer.Change{Op: customer.Patch, Key: "k", Version: version}
	all := make([]customer.Statement, customer.MaxElements-elements)
	for i := range all {
		all[i] = customer.Statement{Path: customer.Path{Name: "tag", ID: fmt.Sprint(i)}, State: customer.Set}
	}
	crowded := &customer.Record{}
	if o, _ := crowded.Fold(customer.Patch, filler, all); o != event.Applied {
		t.Fatal(o)
	}
	rapid.Check(t, func(t *rapid.T) {
		roomy, narrow := &customer.Record{}, crowded.Clone()
		for _, s := range sayings([]string{"one"}).Draw(t, "changes") {
			if s.op == customer.Erase || s.change.Others != nil {
				continue
			}
			roomy.Fold(s.op, &s.change, s.statements)
			if o, _ := narrow.Fold(s.op, &s.change, s.statements); o == event.Dead {
				t.Fatal("refused, although there is room")
			}
			var seen []*customer.Cell
			for _, c := range narrow.Cells() {
				if c.Path.Name != "tag" {
					seen = append(seen, c)
				}
			}
			dated := cmpopts.IgnoreFields(customer.Cell{}, "Absent", "Unknown")
			if diff := cmp.Diff(roomy.Cells(), seen, dated, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("with little room something else is seen:\n%s", diff)
			}
		}
	})
}

// Where several scopes speak about one path, the latest word stands, also if it is that there is no value.
func TestClearedByALaterScope(t *testing.T) {
	r := &customer.Record{}
	job := customer.Path{Name: "jobTitle"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r.Fold(customer.Patch, &customer.Change{Version: sequence(1, "party"), At: at}, []customer.Statement{{Path: job, State: customer.Set, Value: customer.Text("smith")}})
	r.Fold(customer.Patch, &customer.Change{Version: sequence(1, "order"), At: at.Add(time.Hour)}, []customer.Statement{{Path: job, State: customer.Cleared}})
	if got := r.Cells(); len(got) != 0 {
		t.Errorf("cleared an hour later, it still says %v", got[0].Value)
	}
	r.Fold(customer.Patch, &customer.Change{Version: sequence(2, "party"), At: at.Add(2 * time.Hour)}, []customer.Statement{{Path: job, State: customer.Set, Value: customer.Text("baker")}})
	if got := r.Cells(); len(got) != 1 || got[0].Value.Text != "baker" {
		t.Errorf("said again later, it is %v", got)
	}
}

// A delete that comes late, and takes away what an older statement said, is no stale one.
func TestLateDeleteIsApplied(t *testing.T) {
	r := &customer.Record{}
	fold := func(op customer.Op, n int, sts ...customer.Statement) event.Outcome {
		o, _ := r.Fold(op, &customer.Change{Version: sequence(n, "p")}, sts)
		return o
	}
	fold(customer.Upsert, 1, set("jobTitle", "smith"))
	fold(customer.Patch, 3, set("note", "x"))
	if o := fold(customer.Delete, 2); o != event.Applied {
		t.Errorf("it is %s", o)
	}
	if o := fold(customer.Delete, 2); o != event.Duplicate {
		t.Errorf("again it is %s", o)
	}
}
