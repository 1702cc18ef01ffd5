package customer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/store/memory"
)

// narrow is the shipped matcher with small caps: what needs fifty people in a city needs three in a test.
type narrow struct {
	matcher
	limit int
}

func (m narrow) Cap(keyType string) int {
	if m.matcher.Cap(keyType) == 0 {
		return 0
	}
	return m.limit
}

func narrowed(ids customer.IDs, limit int) *house {
	return built(memory.New(), narrow{match.New(), limit}, ids)
}

// Keys fall silent and speak again all the time, and still the order of arrival does not matter, nor the cut (invariant 4).
func TestAnyOrderUnderSmallCaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 3).Draw(t, "cap")
		anyOrder(t, func(ids customer.IDs) *house { return narrowed(ids, limit) })
	})
}

// Decisions that stand lead to the same customers wherever they come between the changes, and so does one that was undone.
func TestDecisionsForgetOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := town(t)
		pick := rapid.Custom(func(t *rapid.T) [2]string {
			return [2]string{rapid.SampledFrom([]string{"bank", "shop"}).Draw(t, "source"), fmt.Sprint(rapid.IntRange(1, 4).Draw(t, "key"))}
		})
		type decided struct {
			a, b [2]string
			kind customer.DecisionKind
			undo bool
		}
		decisions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) decided {
			return decided{
				pick.Draw(t, "a"), pick.Draw(t, "b"), rapid.SampledFrom([]customer.DecisionKind{customer.Same, customer.NotSame}).Draw(t, "kind"),
				rapid.Bool().Draw(t, "undo"),
			}
		}), 1, 4).Draw(t, "decisions")
		var known []customer.Change // who is decided about is known
		for _, d := range decisions {
			for _, p := range [][2]string{d.a, d.b} {
				known = append(known, customer.Change{Source: p[0], Key: p[1], Op: customer.Patch, Version: sequence(0, "party"), Party: []customer.Statement{set("note", "x")}})
			}
		}
		play := func(h *house, changes []customer.Change, rng *rand.Rand) {
			h.absorb(t, known...)
			rest := slices.Clone(decisions)
			undone := make([]customer.Decision, 0, len(rest))
			for n := 0; len(changes)+len(rest)+len(undone) > 0; n++ {
				switch i := rng.IntN(3); {
				case i == 0 && len(rest) > 0:
					d := rest[0]
					rest = rest[1:]
					dec := customer.Decision{
						ID: fmt.Sprint("dec_", len(rest)), Kind: d.kind, Author: "steward", At: start,
						Pair: customer.NewPair(h.ids.Record(d.a[0], d.a[1]), h.ids.Record(d.b[0], d.b[1])),
					}
					if dec.A == dec.B {
						continue
					}
					h.say(t, dec)
					if dec.Undone = true; d.undo {
						undone = append(undone, dec)
					}
				case i == 1 && len(undone) > 0:
					h.say(t, undone[0])
					undone = undone[1:]
				case len(changes) > 0:
					k := 1 + rng.IntN(len(changes))
					h.absorb(t, changes[:k]...)
					changes = changes[k:]
				}
				h.sound(t)
			}
		}
		one, two := open2(t, 1), open2(t, 2)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		play(one, changes, rng)
		shuffled := slices.Clone(changes)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		play(two, shuffled, rng)
		if diff := cmp.Diff(one.canonical(t), two.canonical(t)); diff != "" {
			t.Fatalf("another order gives other customers:\n%s", diff)
		}
	})
}

func open2(t require, n int) *house { return over(memory.New(), installation(t, n)) }

func (h *house) customers(t require) int64 {
	t.Helper()
	n, err := h.store.Counts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return n.Customers
}

// Guest checkouts make a record each. However many there are of one person, they are one customer.
func TestManyRecordsOfOnePerson(t *testing.T) {
	h := open(t)
	ana := person("Ana", "Ruiz", "1980-02-03", "ana@mail.test", "+34600111222")
	const n = 300
	for i := 0; i < n; i += 30 {
		var some []customer.Change
		for j := i; j < i+30; j++ {
			some = append(some, customer.Change{Source: "shop", Key: fmt.Sprint(j), Op: customer.Upsert, Version: sequence(1, "p"), Party: ana})
		}
		h.absorb(t, some...)
		if got := h.customers(t); got != 1 {
			t.Fatalf("%d records of one person are %d customers", i+30, got)
		}
	}
	one := h.of(t, "shop", "0")
	// A writing of the name that differs is one more node, and joins the whole.
	h.absorb(t, customer.Change{Source: "bank", Key: "1", Op: customer.Upsert, Version: sequence(1, "p"), Party: person("Anna", "Ruiz", "1980-02-03", "ana@mail.test", "")})
	if got := h.of(t, "bank", "1"); got.ID != one.ID || len(got.Members) != n+1 {
		t.Fatalf("the bank's record is of customer %s with %d members, want %s", got.ID, len(got.Members), one.ID)
	}
	// A decision about one of the many is about that one.
	apart := customer.Decision{Pair: customer.NewPair(h.ids.Record("shop", "7"), h.ids.Record("bank", "1")), Author: "steward", At: h.now}
	h.say(t, customer.Decision{ID: "d", Kind: customer.NotSame, Pair: apart.Pair, Author: "steward", At: h.now})
	if a, b := h.of(t, "shop", "7"), h.of(t, "bank", "1"); a.ID == b.ID {
		t.Fatal("a decision about one of many equal records has no effect")
	}
	h.say(t, customer.Decision{ID: "d", Kind: customer.NotSame, Pair: apart.Pair, Author: "steward", At: h.now, Undone: true})
	if got := h.customers(t); got != 1 {
		t.Fatalf("after the undo there are %d customers", got)
	}
	for i := range n {
		h.absorb(t, customer.Change{Source: "shop", Key: fmt.Sprint(i), Op: customer.Delete, Version: sequence(2, "p")})
	}
	if got := h.of(t, "bank", "1"); len(got.Members) != 1 {
		t.Fatalf("after all deletes %d members are left", len(got.Members))
	}
}

// Many who are called the same and say nothing else are as many customers, whatever their order and the cut; and so
// is one of the name who says more, which would be compared with each of them if they were few.
func TestManyOfOneName(t *testing.T) {
	const n = customer.MaxAlike + 10
	rapid.Check(t, func(t *rapid.T) {
		var changes []customer.Change
		for i := range n {
			c := customer.Change{Source: "shop", Key: fmt.Sprint(i), Op: customer.Upsert, Version: sequence(1, "p"), Party: person("Ottilie", "Featherstone", "", "", "")}
			changes = append(changes, c)
			if i < rapid.IntRange(0, 20).Draw(t, "deleted") {
				c.Op, c.Version, c.Party = customer.Delete, sequence(2, "p"), nil
				changes = append(changes, c)
			}
		}
		ott := person("Ottilie", "Featherstone", "1980-02-03", "ott@mail.test", "+34600111222")
		changes = append(changes,
			customer.Change{Source: "bank", Key: "1", Op: customer.Upsert, Version: sequence(1, "p"), Party: ott},
			customer.Change{Source: "pos", Key: "1", Op: customer.Upsert, Version: sequence(1, "p"), Party: ott[:len(ott)-1]})
		one, two := open2(t, 1), open2(t, 2)
		one.absorb(t, changes...)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
		rng.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		two.batches(t, changes)
		if diff := cmp.Diff(one.canonical(t), two.canonical(t)); diff != "" {
			t.Fatalf("another order gives other customers:\n%s", diff)
		}
		if a, b := one.of(t, "bank", "1"), one.of(t, "pos", "1"); a.ID != b.ID {
			t.Fatal("a person is two because of the others who have the name")
		}
		found, err := one.Find(context.Background(), customer.Query{Name: "Ottilie Featherstone", Limit: customer.MaxFound})
		if err != nil || int64(len(found.Customers)) != one.customers(t) {
			t.Fatalf("%d of %d are found: %v", len(found.Customers), one.customers(t), err)
		}
	})
}

// An identifier that ought to prove who somebody is, and that half a town holds, proves nothing, however its holders come.
func TestStrongIdentifierOfMany(t *testing.T) {
	const n = customer.MaxHolders + 5
	var changes []customer.Change
	for i := range n {
		party := append(person("", "", "", fmt.Sprintf("u%d@mail%d.test", i, i%9), ""), identifier("customerNumber", "0815", customer.S4))
		changes = append(changes, customer.Change{Source: "shop", Key: fmt.Sprint(i), Op: customer.Upsert, Version: sequence(1, "p"), Party: party})
	}
	whole := open(t)
	whole.absorb(t, changes...)
	if got := whole.customers(t); got < n*9/10 {
		t.Fatalf("%d people of one number are %d customers", n, got)
	}
	parts := open2(t, 2)
	for i := 0; i < n; i += 37 {
		parts.absorb(t, changes[i:min(i+37, n)]...)
	}
	if diff := cmp.Diff(whole.canonical(t), parts.canonical(t)); diff != "" {
		t.Fatalf("cut into batches it gives other customers:\n%s", diff)
	}
	// When enough of them lose it, it proves again; and no more when they have it again.
	few := open2(t, 3)
	few.absorb(t, changes[:n-10]...)
	want := few.canonical(t)
	for _, c := range changes[n-10:] {
		c.Op, c.Version, c.Party = customer.Delete, sequence(2, "p"), nil
		whole.absorb(t, c)
	}
	if diff := cmp.Diff(want, whole.canonical(t)); diff != "" {
		t.Fatalf("after the deletes it gives other customers than without those records:\n%s", diff)
	}
}

func TestUndo(t *testing.T) {
	h := open(t)
	ana := person("Ana", "Ruiz", "1980-02-03", "ana@mail.test", "+34600111222")
	for _, source := range []string{"a", "b"} {
		h.absorb(t, customer.Change{Source: source, Key: "1", Op: customer.Upsert, Version: sequence(1, "p"), Party: ana})
	}
	d := customer.Decision{ID: "dec_1", Kind: customer.NotSame, Pair: customer.NewPair(h.ids.Record("a", "1"), h.ids.Record("b", "1")), Author: "x", At: h.now}
	for i, want := range []int64{2, 1} {
		d.Undone = i == 1
		h.say(t, d)
		if got := h.customers(t); got != want {
			t.Errorf("undone %v: %d customers, want %d", d.Undone, got, want)
		}
	}
}

// A key falls silent in a batch that also brings copies of both nodes that it held together: the edge between them goes all the same.
func TestSilencedWhileCopiesArrive(t *testing.T) {
	a, b := person("Ana", "Ruiz", "1980-02-03", "ana@mail.test", ""), person("Ana", "Ruiz", "1980-02-03", "", "")
	c := person("Ana", "Ruiz", "1980-02-03", "", "+34600111222")
	changes := []customer.Change{
		upsert("s", "a", 1, a), upsert("s", "b", 1, b), upsert("s", "a2", 1, a), upsert("s", "b2", 1, b), upsert("s", "c", 1, c),
	}
	whole, parts := narrowed(installation(t, 1), 2), narrowed(installation(t, 1), 2)
	whole.absorb(t, changes...)
	parts.absorb(t, changes[:2]...)
	parts.absorb(t, changes[2:]...)
	if diff := cmp.Diff(whole.canonical(t), parts.canonical(t)); diff != "" {
		t.Errorf("cut into batches it gives other customers:\n%s", diff)
	}
}

// A common node becomes rare again by many deletes in one batch: all that are left of it are compared again.
func TestCommonBecomesRare(t *testing.T) {
	thin := append(person("", "Featherstone", "", "ott@mail.test", ""), set("birthPlace", "Madrid"))
	other := upsert("bank", "1", 1, append(person("", "Featherstone", "", "", ""), set("birthPlace", "Madrid")))
	all, left, deletes := []customer.Change{other}, []customer.Change{other}, []customer.Change{}
	for i := range customer.MaxAlike + 10 {
		c := upsert("shop", fmt.Sprint(i), 1, thin)
		if all = append(all, c); i < 10 {
			deletes = append(deletes, customer.Change{Source: "shop", Key: c.Key, Op: customer.Delete, Version: sequence(2, "p")})
		} else {
			left = append(left, c)
		}
	}
	whole, parts := open2(t, 1), open2(t, 1)
	whole.absorb(t, left...)
	parts.absorb(t, all...)
	parts.absorb(t, deletes...)
	if a, b := whole.customers(t), parts.customers(t); a != b {
		t.Errorf("%d customers, and %d where there were more before", a, b)
	}
}

// A source joins parties of its own that each have a number which a party has one of: that they are one is its word, by whatever way.
func TestSourceMergesWhatHasNumbers(t *testing.T) {
	numbered := func(i int) customer.Change {
		id := identifier("customerNumber", fmt.Sprint("7700", i), customer.S4)
		id.Verified = true
		return upsert("bank", fmt.Sprint(i), 1, append(person("Ana", "Ruiz", "1980-02-03", "ana@mail.test", ""), id))
	}
	merge := func(version int, into string, losers ...string) customer.Change {
		return customer.Change{Source: "bank", Key: into, Others: losers, Op: customer.Merge, Version: sequence(version, "p")}
	}
	for name, merges := range map[string][]customer.Change{
		"of three":   {merge(2, "0", "1", "2")},
		"of four":    {merge(2, "0", "1", "2", "3")},
		"one by one": {merge(2, "1", "2"), merge(3, "0", "1")},
	} {
		h := open(t)
		for i := range 4 {
			h.absorb(t, numbered(i))
		}
		h.absorb(t, merges...)
		if name != "of four" {
			h.absorb(t, customer.Change{Source: "bank", Key: "3", Op: customer.Delete, Version: sequence(2, "p")})
		}
		if got := h.customers(t); got != 1 {
			t.Errorf("a merge %s leaves %d customers", name, got)
		}
	}
}

// What is said of why two are apart is true, also where nothing but a silent key or a common node keeps them so.
func TestWhyOfTheSilent(t *testing.T) {
	ana := person("Ana", "Ruiz", "1980-02-03", "ana@mail.test", "+34600111222")
	h := narrowed(installation(t, 1), 1)
	h.absorb(t, upsert("a", "1", 1, ana[:3]), upsert("b", "1", 1, ana[1:4]), upsert("c", "1", 1, ana))
	why, err := h.Why(t.Context(), "a/1", "c/1")
	if err != nil || why.Same || !strings.Contains(why.Verdict, "too many") {
		t.Errorf("%+v, %v", why, err)
	}
	for _, k := range why.Keys {
		if !k.Generic {
			t.Errorf("key %s is said to speak", k.Type)
		}
	}
}

// A party that is deleted, and comes back as somebody else, over and over, is named in a bounded number of questions.
func TestBornAgainAndAgain(t *testing.T) {
	h := open(t)
	for i := range 40 {
		h.absorb(t, upsert("a", "1", 3*i+1, person(fmt.Sprint("Nam", i), "Quill", "", fmt.Sprintf("u%d@mail.test", i), "")))
		h.absorb(t, upsert("b", fmt.Sprint(i), 1, person(fmt.Sprint("Nam", i), "Quill", "", fmt.Sprintf("u%d@mail.test", i), "")))
		h.absorb(t, customer.Change{Source: "a", Key: "1", Op: customer.Delete, Version: sequence(3*i+2, "p")})
		h.sound(t)
	}
}
