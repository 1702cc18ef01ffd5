package simulation_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/onefold/onefold/simulation"
)

// owner is what the bank says of a customer of its own.
type owner struct {
	Nm      string
	PstlAdr struct{ StrtNm, BldgNb, PstCd, TwnNm, Ctry string }
	Born    string `xml:"Id>PrvtId>DtAndPlcOfBirth>BirthDt"`
	Phone   string `xml:"CtctDtls>PhneNb"`
	Mail    string `xml:"CtctDtls>EmailAdr"`
	Number  string `xml:"Id>PrvtId>Othr>Id"`
}

func owners(t *testing.T, c simulation.Config) map[string]owner {
	t.Helper()
	out := map[string]owner{}
	for m := range simulation.New(c).Messages() {
		if m.Source != simulation.Bank || poison(&m) || m.Value == nil {
			continue
		}
		if _, known := out[string(m.Key)]; known {
			continue
		}
		var d struct {
			Notice    owner `xml:"BkToCstmrDbtCdtNtfctn>Ntfctn>Acct>Ownr"`
			Statement owner `xml:"BkToCstmrStmt>Stmt>Acct>Ownr"`
		}
		if err := xml.NewDecoder(bytes.NewReader(m.Value)).Decode(&d); err != nil {
			t.Fatal(err)
		}
		o := d.Notice
		if o.Nm == "" {
			o = d.Statement
		}
		out[string(m.Key)] = o
	}
	return out
}

// Families really live together: they share names, addresses, telephones and mailboxes; there are twins, and sons of their father's name.
func TestHouseholds(t *testing.T) {
	type place struct{ street, number, code string }
	at, phones, mails, numbers := map[place][]owner{}, map[string]map[string]bool{}, map[string]map[string]bool{}, map[string]int{}
	for _, o := range owners(t, simulation.Config{People: 10_000, Events: 20_000, Seed: 2, Clean: true, Second: 0.1}) {
		if o.Number == "" {
			continue // a firm
		}
		if numbers[o.Number]++; numbers[o.Number] > 1 {
			continue // somebody's second account
		}
		if p := (place{o.PstlAdr.StrtNm, o.PstlAdr.BldgNb, o.PstlAdr.PstCd}); p.street != "" {
			at[p] = append(at[p], o)
		}
		for value, of := range map[string]map[string]map[string]bool{o.Phone: phones, o.Mail: mails} {
			if value != "" {
				if of[value] == nil {
					of[value] = map[string]bool{}
				}
				of[value][o.Number] = true
			}
		}
	}
	var together, family, twins, junior int
	for _, list := range at {
		for i, a := range list {
			for _, b := range list[:i] {
				together++
				aw, bw := strings.Fields(strings.ToLower(a.Nm)), strings.Fields(strings.ToLower(b.Nm))
				shared := 0
				for _, w := range aw {
					for _, v := range bw {
						if w == v {
							shared++
						}
					}
				}
				if shared > 0 {
					family++
				}
				if a.Born == b.Born && shared > 0 {
					twins++
				}
				if a.Born != b.Born && shared > 1 && a.PstlAdr.Ctry != "ES" { // whose children have two names of their parents
					junior++
				}
			}
		}
	}
	several := func(of map[string]map[string]bool) (n int) {
		for _, who := range of {
			if len(who) > 1 {
				n++
			}
		}
		return n
	}
	second := 0
	for _, n := range numbers {
		if n > 1 {
			second++
		}
	}
	for what, n := range map[string]struct{ got, least int }{
		"pairs at one address": {together, 600}, "pairs of one name there": {family, 400}, "twins": {twins, 3}, "juniors": {junior, 2},
		"shared telephones": {several(phones), 8}, "shared mailboxes": {several(mails), 10}, "customers with two accounts": {second, 100},
	} {
		if n.got < n.least {
			t.Errorf("%s: %d, want %d at least", what, n.got, n.least)
		}
	}
	if family == together {
		t.Error("everybody who lives together has one name")
	}
}

// The same town with errors and without differs by about the rates stated.
func TestErrorRates(t *testing.T) {
	c := simulation.Config{People: 5000, Events: 11_500, Seed: 3, Typos: 0.2, Missing: 0.3, Duplicates: -1, Reordered: -1, Late: -1, Storms: -1, Poison: -1, Tombstones: -1}
	messy := customers(t, c)
	c.Clean = true
	clean := customers(t, c)
	var zips, wrongZips, mails, noMails, phones, noPhones, names, wrongNames int
	for id, right := range clean {
		got, ok := messy[id]
		if !ok {
			t.Fatalf("customer %s is in the clean town only", id)
		}
		if mails++; got.Email == "" {
			noMails++
		}
		if right.Phone != "" {
			if phones++; got.Phone == "" {
				noPhones++
			}
		}
		if len(right.Addresses) > 0 && len(got.Addresses) > 0 {
			if zips++; right.Addresses[0].Zip != got.Addresses[0].Zip {
				wrongZips++
			}
		}
		if right.LastName != "" {
			if names++; !strings.EqualFold(right.LastName, got.LastName) {
				wrongNames++
			}
		}
	}
	for what, r := range map[string]struct {
		wrong, all int
		rate       float64
	}{
		"postcodes mistyped": {wrongZips, zips, 0.2 / 2}, "no e-mail address": {noMails, mails, 0.3 * 0.15}, "no telephone": {noPhones, phones, 0.3 * 2},
		"family names otherwise": {wrongNames, names, 0.2 + 0.03},
	} {
		if got := float64(r.wrong) / float64(r.all); r.all < 1000 || got < r.rate*0.7 || got > r.rate*1.3 {
			t.Errorf("%s: %.4f of %d, want about %.4f", what, got, r.all, r.rate)
		}
	}
}

// Square's merges name two profiles that were there and one that was not.
func TestMerges(t *testing.T) {
	known, merges := map[string]bool{}, 0
	for m := range simulation.New(simulation.Config{People: 400, Events: 15_000, Seed: 5, Clean: true, Second: 0.3}).Messages() {
		if m.Source != simulation.Pos {
			continue
		}
		var e struct {
			Type string
			Data struct {
				Object struct {
					Context *struct {
						Merge struct {
							From []string `json:"from_customer_ids"`
							To   string   `json:"to_customer_id"`
						}
					} `json:"event_context"`
					Customer struct{ ID string }
				}
			}
		}
		if err := json.Unmarshal(m.Value, &e); err != nil {
			t.Fatal(err)
		}
		id := e.Data.Object.Customer.ID
		if c := e.Data.Object.Context; c != nil && e.Type == "customer.created" {
			merges++
			if len(c.Merge.From) != 2 || !known[c.Merge.From[0]] || !known[c.Merge.From[1]] || known[c.Merge.To] || c.Merge.To != id {
				t.Errorf("%s is merged from %v into %s", id, c.Merge.From, c.Merge.To)
			}
		}
		if id != "" {
			known[id] = true
		}
	}
	if merges < 10 {
		t.Errorf("%d merges", merges)
	}
}

// People move and marry, and the systems learn it one after the other.
func TestLife(t *testing.T) {
	first, moved, married := map[string]shopCustomer{}, 0, 0
	for m := range simulation.New(simulation.Config{People: 1500, Events: 20_000, Seed: 5, Clean: true}).Messages() {
		if topic := header(&m, "X-Shopify-Topic"); topic != "customers/create" && topic != "customers/update" {
			continue
		}
		var c shopCustomer
		if err := json.Unmarshal(m.Value, &c); err != nil {
			t.Fatal(err)
		}
		old, known := first[c.ID.String()]
		if !known {
			first[c.ID.String()] = c
			continue
		}
		if old.Addresses[0].Address1 != c.Addresses[0].Address1 && old.Addresses[0].Zip != c.Addresses[0].Zip {
			moved++
		}
		if old.LastName != c.LastName {
			married++
		}
	}
	if moved < 25 || married < 5 {
		t.Errorf("%d updates tell of a move, %d of another name", moved, married)
	}
}
