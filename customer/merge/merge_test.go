package merge_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/merge"
)

var _ customer.Merger = (*merge.Merger)(nil)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func day(n int) time.Time { return start.AddDate(0, 0, n) }

// source makes a record of "source/key" out of cells.
func source(name, key string, cells ...customer.Cell) *customer.Record {
	slices.SortFunc(cells, func(a, b customer.Cell) int { return a.Path.Compare(b.Path) })
	r := &customer.Record{Source: name, Key: key}
	copy(r.ID[:], name+"/"+key)
	r.Scopes = []customer.Scope{{Name: "s", Head: version(), Cells: cells}}
	return r
}

func version() customer.Version {
	return customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: "1"}}
}

// text is a cell that was said on a day.
func text(path, value string, d int) customer.Cell {
	p, err := customer.ParsePath(path)
	if err != nil {
		panic(err)
	}
	return customer.Cell{Path: p, State: customer.Set, Value: customer.Text(value), Version: version(), At: day(d)}
}

func parts(path string, d int, pairs ...string) customer.Cell {
	c := text(path, "", d)
	c.Value.Parts = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		c.Value.Parts[pairs[i]] = pairs[i+1]
	}
	return c
}

func verified(c customer.Cell) customer.Cell {
	c.Verified = true
	return c
}

var superseded = parts("link[x]", 0, "record", "x", "kind", customer.LinkMergedInto)

// survivor is an attribute in short: what won under which rule, whose it is, and whose lost.
type survivor struct{ Path, Value, Rule, Source, Losers string }

func short(attributes []customer.Attribute) (out []survivor) {
	for _, a := range attributes {
		s := survivor{Path: a.Path.String(), Value: a.Value.Text, Rule: a.Rule, Source: a.Source}
		if v := a.Value.Parts; v != nil {
			s.Value = v["streetAddress"] + v["value"] + v["state"]
		}
		for _, l := range a.Losers {
			s.Losers += l.Source + " "
		}
		out = append(out, s)
	}
	return out
}

func TestSurvive(t *testing.T) {
	policy := merge.Policy{Trust: map[string]int{"bank": 90, "gossip": 10}}
	for name, c := range map[string]struct {
		records []*customer.Record
		want    []survivor
	}{
		"nobody states another value": {
			[]*customer.Record{source("shop", "1", text("gender", "f", 1)), source("pos", "2", text("gender", "f", 2))},
			[]survivor{{"gender", "f", "only", "pos", "shop "}},
		},
		"a trusted source wins over a newer one": {
			[]*customer.Record{source("bank", "1", text("gender", "f", 1)), source("shop", "2", text("gender", "x", 9)), source("gossip", "3", text("gender", "m", 10))},
			[]survivor{{"gender", "f", "trust", "bank", "shop gossip "}},
		},
		"a source's own supersession": {
			[]*customer.Record{source("shop", "1", superseded, text("gender", "f", 9)), source("shop", "2", text("gender", "m", 1))},
			[]survivor{{"gender", "m", "current", "shop", "shop "}},
		},
		"verified wins over newer": {
			[]*customer.Record{source("shop", "1", verified(text("birthDate", "1980-02-03", 1))), source("pos", "2", text("birthDate", "1980-03-02", 9))},
			[]survivor{{"birthDate", "1980-02-03", "verified", "shop", "pos "}},
		},
		"the newest wins": {
			[]*customer.Record{source("shop", "1", text("gender", "f", 1)), source("pos", "2", text("gender", "m", 9))},
			[]survivor{{"gender", "m", "recent", "pos", "shop "}},
		},
		"a tie is broken by value": {
			[]*customer.Record{source("shop", "1", text("gender", "m", 1)), source("pos", "2", text("gender", "f", 1))},
			[]survivor{{"gender", "f", "tie", "pos", "shop "}},
		},
		"the parts of a name move together": {
			[]*customer.Record{
				source("shop", "1", text("givenName", "Ana", 1), text("familyName", "Ruiz", 1)),
				source("pos", "2", text("givenName", "Anna", 5), text("familyName", "Ruis", 2)),
				source("crm", "3", text("givenName", "A.", 9)),
			},
			[]survivor{{"familyName", "Ruis", "recent", "pos", "shop "}, {"givenName", "Anna", "whole", "pos", "crm shop "}},
		},
		"a middle name of the same name comes along, of another it does not": {
			[]*customer.Record{
				source("bank", "1", text("givenName", "Ana", 1), text("familyName", "Ruiz", 1)),
				source("pos", "2", text("givenName", "ANA", 1), text("familyName", "ruiz", 1), text("additionalName", "Bea", 1)),
				source("shop", "3", text("givenName", "Luis", 9), text("familyName", "Ruiz", 9), text("additionalName", "Maria", 9)),
			},
			[]survivor{
				{"additionalName", "Bea", "only", "pos", ""}, {"familyName", "Ruiz", "trust", "bank", "shop pos "}, {"givenName", "Ana", "trust", "bank", "shop pos "},
			},
		},
		"without a whole name each part stands for itself": {
			[]*customer.Record{source("shop", "1", text("givenName", "Ana", 1)), source("pos", "2", text("familyName", "Ruiz", 2)), source("crm", "3", text("givenName", "Anna", 3))},
			[]survivor{{"familyName", "Ruiz", "only", "pos", ""}, {"givenName", "Anna", "recent", "crm", "shop "}},
		},
		"a list keeps all distinct values, the best first": {
			[]*customer.Record{
				source("shop", "1", text("email[a]", "ana@mail.test", 1), text("email[b]", "old@mail.test", 1)),
				source("pos", "2", text("email", "ANA@mail.test", 5)), source("gossip", "3", text("email", "x@mail.test", 9)),
			},
			[]survivor{
				{"email[1]", "ANA@mail.test", "union", "pos", "shop "}, {"email[2]", "old@mail.test", "union", "shop", ""}, {"email[3]", "x@mail.test", "union", "gossip", ""},
			},
		},
		"telephone numbers are one however they are written": {
			[]*customer.Record{source("shop", "1", text("phone", "+34 600 111 222", 2)), source("pos", "2", text("phone", "+34600111222", 1))},
			[]survivor{{"phone[1]", "+34 600 111 222", "union", "shop", "pos "}},
		},
		"an address is one value, whatever it is used for": {
			[]*customer.Record{
				source("shop", "1", parts("address[ship]", 1, "streetAddress", "Mayor 3", "purpose", "shipping"), parts("address[bill]", 1, "streetAddress", "MAYOR 3", "purpose", "billing")),
				source("pos", "2", parts("address", 9, "streetAddress", "Alta 9")),
			},
			[]survivor{{"address[1]", "Alta 9", "union", "pos", ""}, {"address[2]", "MAYOR 3", "union", "shop", "shop "}},
		},
		"identifiers are kept by type, issuer and value": {
			[]*customer.Record{
				source("shop", "1", parts("identifier[n]", 1, "type", "customerNumber", "issuer", "shop", "value", "7", "strength", "S4")),
				source("pos", "2", parts("identifier[l]", 9, "type", "loyaltyNumber", "issuer", "pos", "value", "7", "strength", "S3"),
					parts("identifier[n]", 9, "type", "customerNumber", "issuer", "shop", "value", "7", "strength", "S2")),
			},
			[]survivor{{"identifier[1]", "7", "union", "pos", "shop "}, {"identifier[2]", "7", "union", "pos", ""}},
		},
		"the latest word on a consent stands, whoever reports it": {
			[]*customer.Record{
				source("bank", "1", parts("consent[a]", 1, "channel", "email", "purpose", "marketing", "state", "granted")),
				source("gossip", "2", parts("consent[b]", 5, "channel", "email", "purpose", "marketing", "state", "withdrawn")),
			},
			[]survivor{{"consent[email/marketing]", "withdrawn", "recent", "gossip", "bank "}},
		},
		"a consent that is repeated is no newer for it": {
			[]*customer.Record{
				source("shop", "1", parts("consent[a]", 9, "channel", "email", "purpose", "marketing", "state", "granted", "collectedAt", "2025-01-01T00:00:00Z")),
				source("pos", "2", parts("consent[b]", 5, "channel", "email", "purpose", "marketing", "state", "denied")),
			},
			[]survivor{{"consent[email/marketing]", "denied", "recent", "pos", "shop "}},
		},
		"of the same instant the refusal stands, and not knowing is no word": {
			[]*customer.Record{
				source("bank", "1", parts("consent[a]", 5, "channel", "sms", "state", "granted")),
				source("shop", "2", parts("consent[b]", 5, "channel", "sms", "state", "denied")),
				source("pos", "3", parts("consent[c]", 9, "channel", "sms", "state", "unknown")),
			},
			[]survivor{{"consent[sms]", "denied", "denial", "shop", "bank pos "}},
		},
		"own fields as they are, links not at all": {
			[]*customer.Record{source("shop", "1", text("custom[shoeSize]", "41", 1), text("custom[pet]", "dog", 1), superseded), source("pos", "2", text("custom[shoeSize]", "42", 2))},
			[]survivor{{"custom[pet]", "dog", "only", "shop", ""}, {"custom[shoeSize]", "42", "current", "pos", "shop "}},
		},
		"no records": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := merge.New(policy).Survive(c.records)
			if diff := cmp.Diff(c.want, short(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A winner keeps its whole lineage, and so does each loser.
func TestLineage(t *testing.T) {
	a, b := text("gender", "f", 9), text("gender", "m", 1)
	a.Event, b.Event, b.Verified = "event-a", "event-b", false
	got := merge.New(merge.Policy{}).Survive([]*customer.Record{source("shop", "1", b), source("pos", "2", a)})
	want := []customer.Attribute{{
		Path:   customer.Path{Name: "gender"},
		Claim:  customer.Claim{Value: customer.Text("f"), Source: "pos", Key: "2", Version: version(), At: day(9), Event: "event-a"},
		Rule:   merge.RuleRecent,
		Losers: []customer.Claim{{Value: customer.Text("m"), Source: "shop", Key: "1", Version: version(), At: day(1), Event: "event-b"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLimits(t *testing.T) {
	var cells []customer.Cell
	var records []*customer.Record
	for i := range merge.MaxElements + 50 {
		cells = append(cells, text(fmt.Sprintf("tag[%d]", i), fmt.Sprint("t", i), 1))
		records = append(records, source("shop", fmt.Sprint("k", i), text("gender", fmt.Sprint("g", i), i)))
	}
	m := merge.New(merge.Policy{})
	if n := len(m.Survive([]*customer.Record{source("shop", "1", cells...)})); n != merge.MaxElements {
		t.Errorf("%d elements survive, the limit is %d", n, merge.MaxElements)
	}
	if n := len(m.Survive(records)[0].Losers); n != merge.MaxLosers {
		t.Errorf("%d losers are kept, the limit is %d", n, merge.MaxLosers)
	}
}

// However many fields of their own sources make up, a customer has so many of them: those of the best values, whatever came first.
func TestFieldsOfTheirOwnAreBounded(t *testing.T) {
	const each, sources = merge.MaxElements, 3
	records := make([]*customer.Record, sources)
	var want []string
	for i := range sources {
		var cells []customer.Cell
		for j := range each {
			path := fmt.Sprintf("custom[%d-%03d]", i, j)
			cells = append(cells, text(path, "v", i+1+j%2)) // every other one a day later
			if i > 0 && j%2 == 1 {                          // of day 4, and of day 3 those of the key that comes first
				want = append(want, path)
			}
		}
		records[i] = source("shop", fmt.Sprint(i), cells...)
	}
	m := merge.New(merge.Policy{})
	got := m.Survive(records)
	if len(got) != merge.MaxElements {
		t.Fatalf("%d fields survive, the limit is %d", len(got), merge.MaxElements)
	}
	var paths []string
	for _, a := range got {
		paths = append(paths, a.Path.String())
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("better ones are left out:\n%s", diff)
	}
	slices.Reverse(records)
	if diff := cmp.Diff(got, m.Survive(records)); diff != "" {
		t.Errorf("another order lets other fields survive:\n%s", diff)
	}
}

// The table of limits says what the program does (invariant 10).
func TestLimitsAreWritten(t *testing.T) {
	page, err := os.ReadFile("../../docs/identity.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, limit := range map[string]int{
		"elements of one list of a customer": merge.MaxElements, "other claims that a value of a customer remembers": merge.MaxLosers,
	} {
		if row := fmt.Sprintf("\n| %s | %d |", what, limit); !strings.Contains(string(page), row) {
			t.Errorf("docs/identity.md lacks the row %q", row[1:])
		}
	}
}

// The policy that was given may change afterwards; the merger does not.
func TestPolicyIsTheMergersOwn(t *testing.T) {
	policy := merge.Policy{Trust: map[string]int{"shop": 90}}
	m := merge.New(policy)
	policy.Trust["shop"] = 0
	got := m.Survive([]*customer.Record{source("shop", "1", text("gender", "f", 1)), source("pos", "2", text("gender", "m", 9))})
	if got[0].Value.Text != "f" {
		t.Error("the merger followed a change of the caller's map")
	}
}

// town draws records that state a few values each, so that they tie and collide.
func town(t *rapid.T) []*customer.Record {
	var out []*customer.Record
	for i := range rapid.IntRange(0, 6).Draw(t, "records") {
		var cells []customer.Cell
		for _, path := range []string{"givenName", "familyName", "additionalName", "gender", "email[a]", "email[b]", "tag[x]", "custom[c]"} {
			if rapid.Bool().Draw(t, path) {
				c := text(path, rapid.SampledFrom([]string{"a", "b", "A"}).Draw(t, "value"), rapid.IntRange(1, 2).Draw(t, "day"))
				c.Verified = rapid.Bool().Draw(t, "verified")
				cells = append(cells, c)
			}
		}
		if rapid.Bool().Draw(t, "consent") {
			cells = append(cells, parts("consent[a]", rapid.IntRange(1, 2).Draw(t, "day"), "channel", "sms",
				"state", rapid.SampledFrom([]string{"granted", "denied", "withdrawn", "unknown"}).Draw(t, "state")))
		}
		if rapid.Bool().Draw(t, "address") {
			cells = append(cells, parts("address[a]", 1, "streetAddress", rapid.SampledFrom([]string{"Mayor 3", "mayor 3", "Alta"}).Draw(t, "street")))
		}
		if rapid.IntRange(0, 4).Draw(t, "merged") == 0 {
			cells = append(cells, superseded)
		}
		out = append(out, source(rapid.SampledFrom([]string{"bank", "shop", "pos"}).Draw(t, "source"), fmt.Sprint(i), cells...))
	}
	return out
}

// The order of records does not matter; each value that is stated wins, loses, or is a name of another person (invariant 4).
func TestSurviveForgetsOrder(t *testing.T) {
	m := merge.New(merge.Policy{Trust: map[string]int{"bank": 90}})
	rapid.Check(t, func(t *rapid.T) {
		records := town(t)
		want := m.Survive(records)
		for i := range want[min(1, len(want)):] {
			if want[i].Path.Compare(want[i+1].Path) >= 0 {
				t.Fatalf("%s and %s are not in order", want[i].Path, want[i+1].Path)
			}
		}
		claims := 0
		for _, a := range want {
			if a.Rule == "" || a.Path.Name == customer.FieldLink {
				t.Fatalf("attribute %s survives by rule %q", a.Path, a.Rule)
			}
			if a.Path.Name != "additionalName" {
				claims += 1 + len(a.Losers)
			}
		}
		for _, r := range records {
			for _, c := range r.Cells() {
				if c.Path.Name != "additionalName" && c.Path.Name != customer.FieldLink {
					claims--
				}
			}
		}
		if claims != 0 {
			t.Fatalf("%d claims more or fewer than were stated", claims)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		if diff := cmp.Diff(want, m.Survive(records), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("another order lets others survive:\n%s", diff)
		}
	})
}

func BenchmarkSurvive(b *testing.B) {
	var records []*customer.Record
	for i, name := range []string{"bank", "shop", "pos"} {
		records = append(records, source(name, fmt.Sprint(i), text("givenName", "Ana", i), text("familyName", "Ruiz", i), text("gender", "f", i),
			text("email", fmt.Sprint("ana", i, "@mail.test"), i), text("phone", "+34600111222", i), text("birthDate", "1980-02-03", i),
			parts("address[1]", i, "streetAddress", "Mayor 3", "addressLocality", "Madrid", "postalCode", "28013"),
			parts("consent[a]", i, "channel", "email", "purpose", "marketing", "state", "granted")))
	}
	m := merge.New(merge.Policy{})
	for b.Loop() {
		m.Survive(records)
	}
}
