package match_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
)

var _ customer.Matcher = (*match.Matcher)(nil)

func texts(pairs ...string) (cells []customer.Cell) {
	for i := 0; i < len(pairs); i += 2 {
		cells = append(cells, cell(pairs[i], "", customer.Text(pairs[i+1])))
	}
	return cells
}

func parts(name, id string, pairs ...string) customer.Cell {
	v := customer.Value{Parts: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		v.Parts[pairs[i]] = pairs[i+1]
	}
	return cell(name, id, v)
}

func identifier(kind, issuer, value string, s customer.Strength, verified bool) customer.Cell {
	c := parts("identifier", kind+issuer+value, "type", kind, "issuer", issuer, "value", value, "strength", string(s))
	c.Verified = verified
	return c
}

func verified(c customer.Cell) customer.Cell {
	c.Verified = true
	return c
}

func TestStandardise(t *testing.T) {
	m := match.New()
	for name, c := range map[string]struct {
		cells []customer.Cell
		want  customer.Features
	}{
		"names are folded, transliterated, titles and particles apart": {
			texts("givenName", "Dr. Zoë", "familyName", "VAN DER BERG Jr.", "additionalName", "Á."),
			customer.Features{Given: []string{"zoe"}, Family: []string{"berg"}, Middle: []string{"a"}, Suffix: "jr"},
		},
		"full width, Cyrillic and Greek": {
			texts("givenName", "Ａｎａ", "familyName", "Достоевский"), customer.Features{Given: []string{"ana"}, Family: []string{"dostoevskii"}},
		},
		"special letters": {
			texts("givenName", "Łukasz", "familyName", "Groß-Øst"), customer.Features{Given: []string{"lukasz"}, Family: []string{"gross", "ost"}},
		},
		"another script stays": {
			texts("givenName", "美咲", "familyName", "佐藤"), customer.Features{Given: []string{"美咲"}, Family: []string{"佐藤"}},
		},
		"an apostrophe does not part a name": {
			texts("familyName", "O’Brien"), customer.Features{Family: []string{"obrien"}},
		},
		"a name of unknown order": {
			texts("fullName", "BERNASCONI Maria"), customer.Features{Given: []string{"maria"}, Family: []string{"bernasconi"}, Unsplit: true},
		},
		"a name of unknown order that no table knows stays as it stands": {
			texts("fullName", "Xurb Zolq"), customer.Features{Given: []string{"xurb"}, Family: []string{"zolq"}, Unsplit: true},
		},
		"a comma says the order": {
			texts("fullName", "Bernasconi, Maria Pia"), customer.Features{Given: []string{"maria"}, Middle: []string{"pia"}, Family: []string{"bernasconi"}},
		},
		"two people tell their family name only": {
			texts("fullName", "Maria und Peter Bernasconi"), customer.Features{Family: []string{"bernasconi"}},
		},
		"a legal form makes an organisation": {
			texts("fullName", "Robert Schneider SA"), customer.Features{Organisation: true, Name: "robert schneider"},
		},
		"a legal form with dots": {
			texts("fullName", "POSTE ITALIANE S.P.A."), customer.Features{Organisation: true, Name: "poste italiane"},
		},
		"a family name that is a legal form elsewhere": {
			texts("fullName", "Ana Sá"), customer.Features{Given: []string{"ana"}, Family: []string{"sa"}, Unsplit: true},
		},
		"an organisation by its type": {
			texts("partyType", "organization", "legalName", "Müller & Söhne GmbH & Co. KG"), customer.Features{Organisation: true, Name: "muller sohne"},
		},
		"the company of a person is not the person": {
			texts("givenName", "Ana", "familyName", "Ruiz", "legalName", "Acme Ltd"), customer.Features{Given: []string{"ana"}, Family: []string{"ruiz"}},
		},
		"placeholders say nothing": {
			slices.Concat(texts("givenName", "unknown", "familyName", "-", "birthDate", "1900-01-01", "email", "a@a.com", "phone", "000-000-0000"),
				[]customer.Cell{
					identifier("nationalId", "US", "000-00-0000", customer.S2, false), identifier("nationalId", "US", "123456789", customer.S2, false),
					parts("address", "1", "addressLocality", "N/A", "postalCode", "00000"),
				}),
			customer.Features{},
		},
		"e-mail": {
			texts("email", " Ana.Ruiz+shop@Mail.TEST "), customer.Features{Emails: []customer.Email{{Local: "ana.ruiz+shop", Domain: "mail.test"}}},
		},
		"a box of a function": {
			texts("email", "info@acme.test"), customer.Features{Emails: []customer.Email{{Local: "info", Domain: "acme.test", Role: true}}},
		},
		"a missing given name is read from the address": {
			texts("familyName", "Ruiz", "email", "ana.ruiz99@mail.test"),
			customer.Features{Given: []string{"ana"}, Family: []string{"ruiz"}, Emails: []customer.Email{{Local: "ana.ruiz99", Domain: "mail.test"}}},
		},
		"telephone numbers: international as it is, national by the address": {
			[]customer.Cell{
				cell("phone", "1", customer.Text("+44 20 7183 8750")), cell("phone", "2", customer.Text("(020) 7183-8751")),
				cell("phone", "3", customer.Text("+44 (0)20 7183 8752")), parts("address", "1", "addressCountry", "GBR"),
			},
			customer.Features{Phones: []customer.Phone{{Number: "+442071838750"}, {Number: "+442071838751"}, {Number: "+442071838752"}}},
		},
		"a national number of no known country keeps its digits": {
			texts("phone", "020 7183 8750"), customer.Features{Phones: []customer.Phone{{Number: "2071838750"}}},
		},
		"a partial birth date":       {texts("birthDate", "--02-29"), customer.Features{Birth: customer.Date{Month: 2, Day: 29}}},
		"a birth date with a time":   {texts("birthDate", "1980-02-03T00:00:00Z"), customer.Features{Birth: customer.Date{Year: 1980, Month: 2, Day: 3}}},
		"a birth date in eight":      {texts("birthDate", "19800203"), customer.Features{Birth: customer.Date{Year: 1980, Month: 2, Day: 3}}},
		"a day that is none is kept": {texts("birthDate", "1980-02-33"), customer.Features{Birth: customer.Date{Year: 1980, Month: 2, Day: 33}}},
		"what is no date":            {texts("birthDate", "3.2.1980"), customer.Features{}},
		"an address in parts": {
			[]customer.Cell{parts("address", "home", "streetAddress", "12 Main Street, Apt 4", "addressLocality", "São Paulo", "postalCode", "ec3r 7ne", "addressCountry", "br")},
			customer.Features{Places: []customer.Place{{Street: "main st", Number: "12", City: "sao paulo", Postcode: "EC3R7NE", Country: "BR"}}},
		},
		"an address in lines": {
			[]customer.Cell{parts("address", "1", "addressLines", "MINGERSTRASSE 20\n3030 BERNE", "addressCountry", "CH")},
			customer.Features{Places: []customer.Place{{Street: "mingerstr", Number: "20", City: "berne", Postcode: "3030", Country: "CH"}}},
		},
		"an official number without blanks, one of a source within it": {
			[]customer.Cell{identifier("iban", "", "CH93 0076 2011 6238 5295 7", customer.S2, false), identifier("customerNumber", "", "7", "", false)},
			customer.Features{Identifiers: []customer.Identifier{
				{Type: "customerNumber", Issuer: "source:set", Value: "7", Strength: customer.S4},
				{Type: "iban", Value: "CH9300762011623852957", Strength: customer.S2},
			}},
		},
		"an entry that we have written says no more than which it is": {
			append(texts("givenName", "Ana", "email", "ana@mail.test"), identifier("crmId", "box", "7", customer.S4, false),
				parts("link", "x", "record", idOf("other").String(), "kind", customer.LinkWrittenFrom)),
			customer.Features{
				Links:       []customer.RecordID{idOf("other")},
				Identifiers: []customer.Identifier{{Type: "crmId", Issuer: "box", Value: "7", Strength: customer.S4}},
			},
		},
		"links": {
			[]customer.Cell{parts("link", "x", "record", idOf("other").String(), "kind", "mergedInto"), parts("link", "y", "record", "nonsense")},
			customer.Features{Links: []customer.RecordID{idOf("other")}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.Standardise(record("key", c.cells...))
			if got.Record != idOf("key") {
				t.Error("the features are of another record")
			}
			if diff := cmp.Diff(&c.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(customer.Features{}, "Record", "Origin", "Node")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Equal records are one node, whoever they are and whatever they link to; a difference makes another.
func TestNode(t *testing.T) {
	m := match.New()
	a := m.Standardise(record("a", texts("givenName", "Ana", "email", "ana@mail.test")...))
	b := m.Standardise(record("b", append(texts("givenName", " ANA", "email", "ana@mail.test"), parts("link", "x", "record", idOf("c").String()))...))
	c := m.Standardise(record("c", texts("givenName", "Ana", "email", "ana@mail.text")...))
	if a.Node != b.Node || a.Node == c.Node {
		t.Errorf("nodes %x %x %x: want the first two alike, the third another", a.Node, b.Node, c.Node)
	}
}

func TestKeys(t *testing.T) {
	m := match.New()
	rich := m.Standardise(record("a", append(texts("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03", "email", "ana@mail.test",
		"phone", "+34600111222"), parts("address", "1", "streetAddress", "Calle Mayor 3", "addressLocality", "Madrid", "postalCode", "28013"))...))
	keys := m.Keys(rich)
	if len(keys) < 10 || len(keys) > 35 {
		t.Errorf("a rich record has %d keys", len(keys))
	}
	for i := range keys[1:] {
		if a, b := keys[i], keys[i+1]; a.Type > b.Type || a.Type == b.Type && a.Hash >= b.Hash {
			t.Errorf("keys %v and %v are not distinct and in order", a, b)
		}
	}
	if n := len(m.Keys(&customer.Features{})); n != 0 {
		t.Errorf("a record that says nothing has %d keys", n)
	}
	split := m.Keys(m.Standardise(record("b", texts("givenName", "Maria", "familyName", "Bernasconi")...)))
	whole := m.Keys(m.Standardise(record("c", texts("fullName", "Bernasconi Maria")...)))
	if !slices.ContainsFunc(split, func(k customer.Key) bool { return k.Type == "nameStarts" && slices.Contains(whole, k) }) {
		t.Error("a name of unknown order does not meet its two orders")
	}
	if m.Cap("phone") != match.DefaultCap || m.Cap("strongIdentifier") != 0 {
		t.Error("caps: strong identifiers have none, a telephone the default")
	}
	many := &customer.Features{}
	for i := range 500 {
		many.Emails = append(many.Emails, customer.Email{Local: fmt.Sprint("user", i), Domain: "mail.test"})
	}
	if n := len(m.Keys(many)); n > 64 {
		t.Errorf("%d keys are over the limit of 64", n)
	}
}

// someone answers a record from a few names and values, so that drawn ones resemble each other.
func someone(name string) *rapid.Generator[*customer.Record] {
	return rapid.Custom(func(t *rapid.T) *customer.Record {
		var cells []customer.Cell
		draw := func(field string, values ...string) {
			if v := rapid.SampledFrom(append(values, "")).Draw(t, field); v != "" {
				cells = append(cells, cell(field, "", customer.Text(v)))
			}
		}
		draw("givenName", "Ana", "Anna", "Bob", "Robert", "Ruiz", "A", "Maria Jose")
		draw("familyName", "Ruiz", "Ruis", "Smith", "Ana", "Ruiz Lopez", "Smith Jr")
		draw("additionalName", "B", "Bea", "Robert")
		draw("fullName", "Ruiz Ana", "Ana Bea Ruiz", "Smith", "Ana Ruiz SA", "Acme Ltd")
		draw("birthDate", "1980-02-03", "1980-03-02", "1982-07-09", "1980", "1950-01-01", "--02-03")
		draw("email", "ana.ruiz@mail.test", "bob@mail.test", "info@mail.test", "ana.ruis@mail.test")
		draw("phone", "+34600111222", "600111222", "+34600111223")
		draw("gender", "f", "m", "x")
		draw("birthPlace", "Madrid", "Bern")
		draw("jobTitle", "baker", "clerk")
		if rapid.Bool().Draw(t, "address") {
			cells = append(cells, parts("address", "1", "streetAddress", rapid.SampledFrom([]string{"Mayor 3", "Mayor 4", "Alta 9"}).Draw(t, "street"),
				"addressLocality", rapid.SampledFrom([]string{"Madrid", "Bern"}).Draw(t, "city"), "postalCode", rapid.SampledFrom([]string{"28013", "28014", ""}).Draw(t, "code")))
		}
		if rapid.IntRange(0, 3).Draw(t, "number") == 0 {
			cells = append(cells, identifier(rapid.SampledFrom([]string{"customerNumber", "loyaltyNumber", "nationalId", "cardFingerprint"}).Draw(t, "type"), "i",
				rapid.SampledFrom([]string{"ZX-4711", "ZX-4712", "QQ-9934"}).Draw(t, "value"),
				rapid.SampledFrom([]customer.Strength{customer.S1, customer.S2, customer.S3, customer.S4}).Draw(t, "strength"), rapid.Bool().Draw(t, "verified")))
		}
		if rapid.IntRange(0, 9).Draw(t, "linked") == 0 {
			cells = append(cells, parts("link", "l", "record", idOf(fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "link"))).String(), "kind", "mergedInto"))
		}
		return record(name, cells...)
	})
}

func models() []*match.Matcher {
	alone := match.Default()
	alone.Snapshot.Households = match.Rate{Pairs: 100}
	return []*match.Matcher{match.New(), match.With(alone)}
}

// A comparison is the same whichever record comes first, and its steps add up to its weight.
func TestScoreIsSymmetricAndExplained(t *testing.T) {
	ms := models()
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(ms).Draw(t, "model")
		a, b := m.Standardise(someone("0").Draw(t, "a")), m.Standardise(someone("1").Draw(t, "b"))
		e, keep := m.Score(a, b)
		f, keeps := m.Score(b, a)
		if diff := cmp.Diff(e, f); diff != "" || keep != keeps {
			t.Fatalf("another order gives another edge:\n%s", diff)
		}
		sum := customer.Weight(0)
		said := m.Explain(a, b)
		steps := said.Steps
		for _, s := range steps {
			if s.Comparison == "" || s.Level == "" || s.Level == "missing" {
				t.Errorf("a step without a name: %+v", s)
			}
			sum += s.Weight
		}
		if sum != e.Weight {
			t.Fatalf("the steps add up to %v, the edge weighs %v: %+v", sum.Float(), e.Weight.Float(), steps)
		}
		if diff := cmp.Diff(said, m.Explain(b, a)); diff != "" {
			t.Fatalf("another order explains otherwise:\n%s", diff)
		}
		if len(e.Levels) == 0 || e.NodePair != customer.NewNodePair(a.Node, b.Node) {
			t.Fatal("the edge lacks its levels or names another pair")
		}
	})
}

// The order of nodes, edges and decisions does not matter; every record is in one cluster; the answer is in order.
func TestClusterForgetsOrder(t *testing.T) {
	ms := models()
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(ms).Draw(t, "model")
		var nodes []*customer.Features
		for i := range rapid.IntRange(1, 9).Draw(t, "records") {
			nodes = append(nodes, m.Standardise(someone(fmt.Sprint(i)).Draw(t, "record")))
		}
		var edges []customer.Edge
		for i, a := range nodes {
			for _, b := range nodes[:i] {
				if e, keep := m.Score(unlinked(a), unlinked(b)); keep {
					edges = append(edges, e)
				}
			}
		}
		decisions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) customer.Decision {
			return customer.Decision{
				ID: fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "id")), Kind: rapid.SampledFrom([]customer.DecisionKind{customer.Same, customer.NotSame}).Draw(t, "kind"),
				Pair: customer.NewPair(rapid.SampledFrom(nodes).Draw(t, "a").Record, rapid.SampledFrom(nodes).Draw(t, "b").Record), Undone: rapid.Bool().Draw(t, "undone"),
			}
		}), 0, 4).Draw(t, "decisions")
		want := m.Cluster(nodes, edges, decisions)
		seen := map[customer.RecordID]bool{}
		for _, c := range want {
			for _, id := range c {
				if seen[id] {
					t.Fatal("a record is in two clusters")
				}
				seen[id] = true
			}
		}
		if len(seen) != len(nodes) {
			t.Fatalf("%d of %d records are in a cluster", len(seen), len(nodes))
		}
		for _, d := range decisions {
			if d.Kind == customer.NotSame && !d.Undone && d.A != d.B && together(want, d.A, d.B) {
				t.Fatal("two records are together that a decision keeps apart")
			}
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		rng.Shuffle(len(edges), func(i, j int) { edges[i], edges[j] = edges[j], edges[i] })
		rng.Shuffle(len(decisions), func(i, j int) { decisions[i], decisions[j] = decisions[j], decisions[i] })
		if diff := cmp.Diff(want, m.Cluster(nodes, edges, decisions)); diff != "" {
			t.Fatalf("another order gives other clusters:\n%s", diff)
		}
	})
}

func together(clusters [][]customer.RecordID, a, b customer.RecordID) bool {
	return slices.ContainsFunc(clusters, func(c []customer.RecordID) bool { return slices.Contains(c, a) && slices.Contains(c, b) })
}

// unlinked answers features as they are scored for an edge between nodes.
func unlinked(f *customer.Features) *customer.Features {
	c := *f
	c.Links = nil
	return &c
}

// people is a few records, all pairs scored.
type people struct {
	m     *match.Matcher
	nodes []*customer.Features
	edges []customer.Edge
}

func meet(m *match.Matcher, records ...*customer.Record) *people {
	p := &people{m: m}
	for _, r := range records {
		p.nodes = append(p.nodes, m.Standardise(r))
	}
	for i, a := range p.nodes {
		for _, b := range p.nodes[:i] {
			if e, keep := m.Score(unlinked(a), unlinked(b)); keep {
				p.edges = append(p.edges, e)
			}
		}
	}
	return p
}

func (p *people) same(a, b string, decisions ...customer.Decision) bool {
	return together(p.m.Cluster(p.nodes, p.edges, decisions), idOf(a), idOf(b))
}

func home(street string) customer.Cell {
	return parts("address", "1", "streetAddress", street, "addressLocality", "Madrid", "postalCode", "28013")
}

// What two records alone come to under the shipped model.
func TestPairs(t *testing.T) {
	person := func(pairs ...string) []customer.Cell { return texts(pairs...) }
	for name, c := range map[string]struct {
		a, b []customer.Cell
		same bool
		rule customer.Rule
	}{
		"name and birth date": {person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), true, ""},
		"name and postcode": {
			append(person("givenName", "Beatrix", "familyName", "Featherstone"), parts("address", "1", "postalCode", "SW1A 1AA")),
			append(person("givenName", "Beatrix", "familyName", "Featherstone"), parts("address", "1", "postalCode", "sw1a1aa")), true, "",
		},
		"a common name alone":                {person("givenName", "David", "familyName", "Smith"), person("givenName", "David", "familyName", "Smith"), false, ""},
		"an unverified e-mail alone (S2)":    {person("email", "zz.top@mail.test"), person("email", "zz.top@mail.test"), false, ""},
		"an e-mail and the name":             {person("givenName", "Ana", "email", "ana@mail.test"), person("givenName", "Ana", "email", "ana@mail.test"), true, ""},
		"a telephone alone (S2)":             {person("phone", "+34600111222"), person("phone", "+34600111222"), false, ""},
		"a card alone (S2)":                  {[]customer.Cell{identifier("cardFingerprint", "v", "f1f1", customer.S2, false)}, []customer.Cell{identifier("cardFingerprint", "v", "f1f1", customer.S2, false)}, false, ""},
		"a device (S1)":                      {[]customer.Cell{identifier("deviceId", "v", "d1d1", customer.S1, false)}, []customer.Cell{identifier("deviceId", "v", "d1d1", customer.S1, false)}, false, ""},
		"a loyalty number (S3) joins alone":  {[]customer.Cell{identifier("loyaltyNumber", "v", "L7", customer.S3, false)}, []customer.Cell{identifier("loyaltyNumber", "v", "L7", customer.S3, false)}, true, customer.MustLink},
		"of another issuer it says nothing":  {[]customer.Cell{identifier("loyaltyNumber", "v", "L7", customer.S3, false)}, []customer.Cell{identifier("loyaltyNumber", "w", "L7", customer.S3, false)}, false, ""},
		"a customer number (S4) joins alone": {[]customer.Cell{identifier("customerNumber", "bank", "7", customer.S4, true)}, []customer.Cell{identifier("customerNumber", "bank", "7", customer.S4, true)}, true, customer.MustLink},
		"two profiles of one person in a shop": {
			append(person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), identifier("customerNumber", "shop", "7", customer.S4, false)),
			append(person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), identifier("customerNumber", "shop", "8", customer.S4, false)), true, "",
		},
		"two verified customer numbers of one bank": {
			append(person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), identifier("customerNumber", "bank", "7", customer.S4, true)),
			append(person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), identifier("customerNumber", "bank", "8", customer.S4, true)), false, customer.CannotLink,
		},
		"a loyalty number of two people": {
			append(person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), identifier("loyaltyNumber", "v", "L7", customer.S3, false)),
			append(person("givenName", "Luis", "familyName", "Ruiz", "birthDate", "1952-07-09"), identifier("loyaltyNumber", "v", "L7", customer.S3, false)), false, "",
		},
		"a verified e-mail joins alone": {
			[]customer.Cell{verified(cell("email", "1", customer.Text("zz.top@mail.test")))}, []customer.Cell{verified(cell("email", "1", customer.Text("zz.top@mail.test")))}, true, customer.MustLink,
		},
		"a verified e-mail of a couple": {
			append(person("givenName", "Ana"), verified(cell("email", "1", customer.Text("ruiz@mail.test")))),
			append(person("givenName", "Luis"), verified(cell("email", "1", customer.Text("ruiz@mail.test")))), false, "",
		},
		"a verified telephone joins alone": {
			[]customer.Cell{verified(cell("phone", "1", customer.Text("+34600111222")))},
			append(person("jobTitle", "baker"), verified(cell("phone", "1", customer.Text("0034 600 111 222")))), true, customer.MustLink,
		},
		"a telephone that one source has verified": {
			[]customer.Cell{verified(cell("phone", "1", customer.Text("+34600111222")))}, person("jobTitle", "baker", "phone", "+34600111222"), false, "",
		},
		"a verified telephone without its country": {
			[]customer.Cell{verified(cell("phone", "1", customer.Text("600111222")))},
			append(person("jobTitle", "baker"), verified(cell("phone", "1", customer.Text("600111222")))), false, "",
		},
		"a verified telephone of a couple": {
			append(person("givenName", "Ana"), verified(cell("phone", "1", customer.Text("+34600111222")))),
			append(person("givenName", "Luis"), verified(cell("phone", "1", customer.Text("+34600111222")))), false, "",
		},
		"a verified telephone of sisters": {
			append(person("givenName", "Mayra"), verified(cell("phone", "1", customer.Text("+34600111222")))),
			append(person("givenName", "Kara"), verified(cell("phone", "1", customer.Text("+34600111222")))), false, "",
		},
		"a verified telephone of parent and child": {
			append(person("givenName", "Ana", "birthDate", "1951-04-05"), verified(cell("phone", "1", customer.Text("+34600111222")))),
			append(person("givenName", "Ana", "birthDate", "1982-09-17"), verified(cell("phone", "1", customer.Text("+34600111222")))), false, "",
		},
		"a couple at one address with one telephone": {
			append(person("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03", "phone", "+34600111222"), home("Calle Mayor 3")),
			append(person("givenName", "Luis", "familyName", "Ruiz", "birthDate", "1952-07-09", "phone", "+34600111222"), home("Calle Mayor 3")), false, "",
		},
		"a father and a son of one name": {
			append(person("givenName", "David", "familyName", "Ruiz Jr"), home("Calle Mayor 3")),
			append(person("givenName", "David", "familyName", "Ruiz Sr"), home("Calle Mayor 3")), false, "",
		},
		"a name in the other order": {
			append(person("fullName", "BERNASCONI MARIA"), home("Mingerstrasse 20")), append(person("givenName", "Maria", "familyName", "Bernasconi"), home("Mingerstrasse 20")), true, "",
		},
		"a nickname": {
			person("givenName", "Bob", "familyName", "Featherstone", "birthDate", "1980-02-03"), person("givenName", "Robert", "familyName", "Featherstone", "birthDate", "1980-02-03"), true, "",
		},
		"a person and a firm of the name": {
			append(person("fullName", "Robert Schneider SA"), home("Mayor 3")), append(person("givenName", "Robert", "familyName", "Schneider"), home("Mayor 3")), false, "",
		},
		"two writings of a firm": {
			append(person("fullName", "Robert Schneider SA"), home("Mayor 3")), append(person("partyType", "organization", "legalName", "ROBERT SCHNEIDER S.A."), home("Mayor 3")), true, "",
		},
		"their source joined them": {
			append(person("givenName", "Ana"), parts("link", "l", "record", idOf("b").String(), "kind", "mergedInto")), person("givenName", "Xenia"), true, customer.MustLink,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := meet(match.New(), record("a", c.a...), record("b", c.b...))
			e, _ := p.m.Score(p.nodes[0], p.nodes[1])
			if got := p.same("a", "b"); got != c.same || e.Rule != c.rule {
				t.Errorf("same %v rule %q, want %v %q; %.1f of %.1f bits: %+v", got, e.Rule, c.same, c.rule, e.Weight.Float(), e.Threshold.Float(), p.m.Explain(p.nodes[0], p.nodes[1]).Steps)
			}
		})
	}
}

// Twins, of whom one trait speaks against being one person, stay apart where families live; the same pair is a slip where they do not.
func TestTwins(t *testing.T) {
	twin := func(key, given string) *customer.Record {
		return record(key, append(texts("givenName", given, "familyName", "Featherstone", "birthDate", "2010-02-03"), home("Calle Mayor 3"))...)
	}
	parent := record("p", append(texts("givenName", "Maximilian", "familyName", "Featherstone", "birthDate", "1975-11-30"), home("Calle Mayor 3"))...)
	ms := models()
	if p := meet(ms[0], twin("a", "Olivia"), twin("b", "Henry"), twin("c", "Olivia"), twin("d", "Henry"), parent); p.same("a", "b") || !p.same("a", "c") || !p.same("b", "d") || p.same("a", "p") {
		t.Error("with households, twins are two people and their parent a third")
	}
	if p := meet(ms[1], twin("a", "Olivia"), twin("b", "Henry")); !p.same("a", "b") {
		t.Error("without households, another given name is a slip")
	}
	e, _ := ms[0].Score(ms[0].Standardise(twin("a", "Olivia")), ms[0].Standardise(twin("b", "Henry")))
	if !e.Against {
		t.Error("the pair of twins is not marked")
	}
}

// Decisions outrank scores and rules, not-same outranks same.
func TestDecisions(t *testing.T) {
	ana := texts("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03")
	p := meet(match.New(), record("a", ana...), record("b", ana...), record("c", texts("givenName", "Xenia")...))
	decide := func(kind customer.DecisionKind, a, b string) customer.Decision {
		return customer.Decision{ID: string(kind) + a + b, Kind: kind, Pair: customer.NewPair(idOf(a), idOf(b))}
	}
	apart, join := decide(customer.NotSame, "a", "b"), decide(customer.Same, "a", "c")
	undone := apart
	undone.Undone = true
	switch {
	case !p.same("a", "b"):
		t.Error("equal people are apart")
	case p.same("a", "b", apart):
		t.Error("a not-same decision does not hold")
	case !p.same("a", "b", undone):
		t.Error("an undone decision holds")
	case !p.same("a", "c", join):
		t.Error("a same decision does not hold")
	case p.same("a", "c", join, decide(customer.NotSame, "a", "c")):
		t.Error("same outranks not-same")
	case p.same("a", "b", join, apart) || !p.same("a", "c", join, apart):
		t.Error("one decision undoes another")
	}
	strong := identifier("customerNumber", "bank", "7", customer.S4, true)
	q := meet(match.New(), record("a", strong), record("b", strong), record("c", identifier("customerNumber", "bank", "8", customer.S4, true)))
	if !q.same("a", "b") || q.same("a", "b", apart) || !q.same("a", "c", join) || q.same("a", "c") {
		t.Error("decisions do not outrank rules")
	}
}

// A bank that joins two of its customers says that their numbers are one party's, to everyone who has either.
func TestNumbersOfOneParty(t *testing.T) {
	number := func(n string) customer.Cell { return identifier("customerNumber", "bank", n, customer.S4, true) }
	loser := record("l", number("1"), parts("link", "s", "record", idOf("s").String(), "kind", "mergedInto"))
	survivor := record("s", number("2"))
	shop := record("x", number("1"))
	p := meet(match.New(), loser, survivor, shop)
	if !p.same("l", "s") || !p.same("l", "x") || !p.same("s", "x") {
		t.Error("the survivor, the loser and who holds the loser's number are three parties")
	}
}

// A component over its limit loses its weakest edges until every part fits.
func TestComponentOverItsLimit(t *testing.T) {
	m := match.New()
	const n = match.MaxComponent + 40
	var nodes []*customer.Features
	var edges []customer.Edge
	for i := range n {
		nodes = append(nodes, &customer.Features{Record: idOf(fmt.Sprint(i)), Node: customer.NodeID{byte(i >> 8), byte(i), 1}})
		if i > 0 {
			e := customer.Edge{NodePair: customer.NewNodePair(nodes[i-1].Node, nodes[i].Node), Weight: 30 * customer.Bits, Threshold: 18 * customer.Bits}
			if i == 1000 {
				e.Weight = 20 * customer.Bits
			}
			edges = append(edges, e)
		}
	}
	got := m.Cluster(nodes, edges, nil)
	if together(got, nodes[999].Record, nodes[1000].Record) {
		t.Error("the weakest edge was not dropped")
	}
	if !together(got, nodes[0].Record, nodes[1].Record) && !together(got, nodes[1].Record, nodes[2].Record) {
		t.Error("more than the weakest edge was dropped")
	}
	slices.Reverse(nodes)
	slices.Reverse(edges)
	if diff := cmp.Diff(got, m.Cluster(nodes, edges, nil)); diff != "" {
		t.Error("another order gives other parts")
	}
}

func TestSurvey(t *testing.T) {
	m := match.New()
	var all []*customer.Features
	for i := range 30 {
		street := home(fmt.Sprint("Calle Mayor ", i))
		all = append(all,
			m.Standardise(record(fmt.Sprint("a", i), append(texts("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03"), street)...)),
			m.Standardise(record(fmt.Sprint("b", i), append(texts("givenName", "Luis", "familyName", "Ruiz", "birthDate", "1952-07-09"), street)...)))
	}
	s := match.Surveyed(all)
	if s.Records != 60 || !slices.Contains(slices.Collect(maps.Values(s.Given.Of)), 30) || s.Given.Present != 60 || !s.Households.Live() || s.Households.Pairs != 30 {
		t.Errorf("the survey counts %+v", s)
	}
	if (match.Rate{Pairs: 100, Differ: 3}).Live() || !(match.Rate{}).Live() {
		t.Error("the household rate reads wrong")
	}
	model := match.Default()
	model.Snapshot = s
	if b, err := json.Marshal(model); err != nil || !strings.Contains(string(b), `"version"`) {
		t.Errorf("the model cannot be written down: %v", err)
	}
}

// More records ask for more evidence, in steps.
func TestThresholdGrowsWithRecords(t *testing.T) {
	a := texts("givenName", "Ana", "familyName", "Ruiz", "birthDate", "1980-02-03")
	was := customer.Weight(0)
	for i, n := range []int64{1_000, 10_000, 100_000, 1_000_000} {
		model := match.Default()
		model.Snapshot.Records = n
		m := match.With(model)
		e, _ := m.Score(m.Standardise(record("a", a...)), m.Standardise(record("b", a...)))
		if i > 0 && e.Threshold <= was {
			t.Errorf("at %d records the threshold is %v, before %v", n, e.Threshold.Float(), was.Float())
		}
		was = e.Threshold
	}
}

// Whatever a source states, standardising and comparing it does not panic, and stays within limits.
func FuzzStandardise(f *testing.F) {
	f.Add("Ana", "Ruiz, Dr.", "ana@mail.test", "+34 600 111 222", "1980-02-03", "Calle Mayor 3", "28013", "ES", "7")
	f.Add("\xff\xfe", "\u202eß", "@", "+", "0000-00-00", ",,,", "-", "\x00", "")
	f.Add(strings.Repeat("a", 5000), strings.Repeat("é ", 700), strings.Repeat("x", 70)+"@y.z", "++00(0)", "--99-99", "1 1", "0", "USA", "0-0")
	m := match.New()
	f.Fuzz(func(t *testing.T, given, family, email, phone, birth, street, code, country, id string) {
		split := texts("fullName", street+" "+family, "givenName", given, "familyName", family, "email", email, "phone", phone, "birthDate", birth, "gender", code, "birthPlace", street)
		address := parts("address", "1", "streetAddress", street, "postalCode", code, "addressCountry", country, "addressLocality", given)
		a := m.Standardise(record("a", append(split, address, identifier("nationalId", country, id, customer.Strength(code), true))...))
		whole := texts("fullName", given+" "+family, "email", phone, "phone", email+phone, "birthDate", street, "alternateName", given+"("+street+") "+code)
		lines := parts("address", "1", "addressLines", street+"\n"+code+" "+given, "extendedAddress", family)
		b := m.Standardise(record("b", append(whole, lines, identifier("iban", "", id, "", false))...))
		if n := len(m.Keys(a)) + len(m.Keys(b)); n > 128 {
			t.Errorf("%d keys", n)
		}
		e, _ := m.Score(a, b)
		if g, _ := m.Score(b, a); g.Weight != e.Weight {
			t.Errorf("%v one way, %v the other", e.Weight, g.Weight)
		}
		m.Explain(a, b)
		m.Cluster([]*customer.Features{a, b}, []customer.Edge{e}, nil)
	})
}

// What a source states without end is read within limits: memory grows with the record that is kept anyway, and not beyond.
func TestStandardiseIsBounded(t *testing.T) {
	long := strings.Repeat("Ωé .,(", customer.MaxValue/8)
	var cells []customer.Cell
	for _, name := range []string{"fullName", "alternateName", "givenName", "familyName", "additionalName", "legalName", "birthDate", "jobTitle"} {
		cells = append(cells, cell(name, "", customer.Text(long)))
	}
	for i := range 200 {
		id := fmt.Sprint(i)
		cells = append(cells, cell("email", id, customer.Text(id+"@"+long)), cell("email", "x"+id, customer.Text(id+"a@mail.test")),
			cell("phone", id, customer.Text(long+id)), cell("phone", "x"+id, customer.Text("+3460011"+fmt.Sprintf("%04d", i))),
			parts("address", id, "addressLines", long, "streetAddress", id+long, "addressLocality", long+id), identifier("iban", "", long+id, "", false))
	}
	r := record("a", cells...)
	m := match.New()
	f := m.Standardise(r)
	if len(f.Emails) > 8 || len(f.Phones) > 8 || len(f.Places) > 6 || len(f.Identifiers) > 32 || len(f.Middle) > 6 || len(f.Given) > 6 || len(f.Family) > 6 {
		t.Errorf("%d e-mails, %d telephones, %d places, %d identifiers", len(f.Emails), len(f.Phones), len(f.Places), len(f.Identifiers))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.Standardise(r)
	runtime.ReadMemStats(&after)
	stated := 0
	for _, c := range cells {
		stated += len(c.Value.Text)
		for _, p := range c.Value.Parts {
			stated += len(p)
		}
	}
	if spent := int(after.TotalAlloc - before.TotalAlloc); spent > 4*stated {
		t.Errorf("%d bytes are read with %d bytes of memory", stated, spent)
	}
}

func rich(key string) *customer.Record {
	return record(key, append(texts("givenName", "Beatrix", "familyName", "Featherstone", "birthDate", "1980-02-03", "email", "bea.f@mail.test",
		"phone", "+442071838750", "gender", "f"), home("12 Calle Mayor"), identifier("customerNumber", "shop", key, customer.S4, false))...)
}

func BenchmarkStandardise(b *testing.B) {
	m, r := match.New(), rich("a")
	for b.Loop() {
		m.Standardise(r)
	}
}

func BenchmarkStandardiseNationalPhone(b *testing.B) {
	m := match.New()
	r := record("a", append(texts("givenName", "Beatrix", "phone", "020 7183 8750"), parts("address", "1", "addressCountry", "GB"))...)
	for b.Loop() {
		m.Standardise(r)
	}
}

func BenchmarkKeys(b *testing.B) {
	m := match.New()
	f := m.Standardise(rich("a"))
	for b.Loop() {
		m.Keys(f)
	}
}

func BenchmarkScore(b *testing.B) {
	m := match.New()
	x, y := m.Standardise(rich("a")), m.Standardise(record("b", append(texts("givenName", "Beatrice", "familyName", "Fetherstone", "birthDate", "1980-03-02",
		"email", "bea.f@mail.test"), home("12 Calle Maior"))...))
	for b.Loop() {
		m.Score(x, y)
	}
}

func BenchmarkCluster13(b *testing.B) {
	var records []*customer.Record
	for i := range 13 {
		records = append(records, rich(fmt.Sprint(i)))
	}
	p := meet(match.New(), records...)
	for b.Loop() {
		p.m.Cluster(p.nodes, p.edges, nil)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		match.New()
	}
}

// A common name of any country weighs like one, and not like a rare name.
func TestCommonNamesOfOtherCountries(t *testing.T) {
	m := match.New()
	weigh := func(given, family string) customer.Weight {
		f := func(key string) *customer.Features {
			return m.Standardise(record(key, texts("givenName", given, "familyName", family)...))
		}
		e, _ := m.Score(f("a"), f("b"))
		return e.Weight
	}
	rare := weigh("Xurbine", "Zolquist")
	for _, n := range [][2]string{
		{"Ursula", "Müller"}, {"Giulia", "Rossi"}, {"Thomas", "Müller"}, {"María", "García"}, {"Piotr", "Nowak"}, {"Wei", "Wang"}, {"Ana", "Silva"},
	} {
		if w := weigh(n[0], n[1]); w > rare-6*customer.Bits {
			t.Errorf("%v weighs %.1f bits, a name nobody knows %.1f", n, w.Float(), rare.Float())
		}
	}
}

// Agreement on a name alone does not outweigh that place, telephone and e-mail all differ, however rare the name is.
func TestNameAgainstEverythingElse(t *testing.T) {
	told := func(key, mail, phone, street, code, city string, more ...string) *customer.Record {
		cells := texts(append([]string{"givenName", "Xurbine", "familyName", "Zolquist", "email", mail, "phone", phone}, more...)...)
		return record(key, append(cells, parts("address", "1", "streetAddress", street, "postalCode", code, "addressLocality", city))...)
	}
	a := func(more ...string) *customer.Record {
		return told("a", "xz1@mail.test", "+34600111222", "Calle Mayor 3", "28013", "Madrid", more...)
	}
	b := func(more ...string) *customer.Record {
		return told("b", "kiwi@post.test", "+41794445566", "Rosenweg 88", "8078", "Zurich", more...)
	}
	if meet(match.New(), a("birthDate", "1980-02-03"), b()).same("a", "b") {
		t.Error("a name alone joins what differs in all else")
	}
	if !meet(match.New(), a("birthDate", "1980-02-03"), b("birthDate", "1980-02-03")).same("a", "b") {
		t.Error("name and birth date do not join one who moved")
	}
}

// Given names of a man and of a woman are two names, however near their spelling.
func TestNamesOfTwoSexes(t *testing.T) {
	m := match.New()
	score := func(x, y string) customer.Weight {
		e, _ := m.Score(m.Standardise(record("a", texts("givenName", x, "familyName", "Longo")...)),
			m.Standardise(record("b", texts("givenName", y, "familyName", "Longo")...)))
		return e.Weight
	}
	for _, n := range [][2]string{{"Giovanni", "Giovanna"}, {"Francisco", "Francisca"}} {
		if score(n[0], n[1]) >= score(n[0], n[0][:len(n[0])-1]+"x") {
			t.Errorf("%v count as a slip", n)
		}
	}
}

func TestCaps(t *testing.T) {
	m := match.New()
	if m.Cap("strongIdentifier") != 0 || m.Cap("name") != match.LooseCap || m.Cap("phone") != match.DefaultCap || match.LooseCap >= match.DefaultCap {
		t.Error("the caps of keys are not what they are said to be")
	}
	if n := len(m.Keys(m.Standardise(rich("a")))); n < 10 || n > 22 {
		t.Errorf("a rich record holds %d keys, 10 to 22 are meant", n)
	}
}
