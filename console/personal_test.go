package console_test

import (
	"context"
	"io"
	"testing"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// What stands, in tests, for personal data: a text that is hostile besides, and a number.
const (
	marker = "<script>Zoë\u202eMarker"
	digits = "8675309"
)

// ana is the customer of the desk; with personal data in every place that a source fills.
func (d *desk) ana() *customer.Customer {
	c := ana()
	if !d.personal {
		return c
	}
	version := customer.Version{
		Source:  customer.SourceVersion{Kind: customer.BySequence, Value: digits, Scope: marker},
		Mapping: 3, Hash: 7,
	}
	claim := customer.Claim{Value: customer.Text(marker), Source: "shop", Key: marker, Version: version, Event: "shop/t/0/1"}
	parts := claim
	parts.Value = customer.Value{Parts: map[string]string{"postalCode": digits, marker: marker}}
	c.Attributes = []customer.Attribute{
		{Path: customer.Path{Name: "givenName"}, Claim: claim, Rule: "trust", Losers: []customer.Claim{claim, parts}},
		{Path: customer.Path{Name: "partyType"}, Claim: claim, Rule: "trust"},
		{Path: customer.Path{Name: "email", ID: marker}, Claim: claim, Rule: "union"},
		{Path: customer.Path{Name: "address", ID: digits}, Claim: parts, Rule: "union"},
		{Path: customer.Path{Name: "custom", ID: marker}, Claim: parts, Rule: "union"},
		{Path: customer.Path{Name: marker}, Claim: parts, Rule: "union"},
	}
	for i := range c.Members {
		c.Members[i].Key = marker
	}
	return c
}

func personalInteraction() *customer.Interaction {
	amount, err := customer.NewAmount(digits+".50", "EUR")
	if err != nil {
		panic(err)
	}
	return &customer.Interaction{
		Key: marker, Type: "order", Subtype: marker, Status: marker, OccurredAt: noon, Channel: marker, Direction: marker, Amount: amount,
		Location: marker, Title: marker, ReversalOf: marker, ID: customer.InteractionID{3}, Source: "shop", Event: "shop/t/0/1",
		Parties:    []customer.Party{{Role: marker, Key: marker, Record: alice}},
		Items:      []customer.Item{{SKU: marker, Name: marker, Quantity: digits, Amount: amount}},
		References: []customer.Reference{{Type: marker, Value: marker}},
		Version:    customer.Version{Source: customer.SourceVersion{Kind: customer.BySequence, Value: digits, Scope: marker}},
	}
}

// personalise puts personal data wherever an explanation may hold any.
func personalise(x *customer.Explanation) {
	x.A.Key, x.B.Key = marker, digits
	for i := range x.Steps {
		x.Steps[i].Detail = marker + " ~ " + digits
		x.Steps[i].Frequencies = []customer.Frequency{{Of: marker, OneIn: 7}}
	}
	x.Path = []customer.Member{{Record: alice, Source: "shop", Key: marker}}
	x.Decision = &customer.Decision{ID: "dec_1", Kind: customer.Same, Pair: customer.NewPair(alice, alyce), Author: "kim", Reason: marker, At: noon}
}

func (d *desk) receipt() event.Receipt {
	r := event.Receipt{Target: "crm", Customer: one.String(), Version: 3, State: event.Refused, RemoteID: "17", Class: event.Permanent, At: noon}
	if d.personal {
		r.RemoteID = marker
	}
	return r
}

func (d *desk) Targets(context.Context) ([]console.TargetStatus, error) {
	return []console.TargetStatus{{
		Name: "crm", Source: "crm-events", State: "down", Reason: "nobody answers", Since: noon, Until: noon, Waiting: 4, Oldest: noon,
		Last: noon, Held: 3, Owed: 1, Refused: 2, Removed: 5,
	}}, nil
}

func (d *desk) Refused(_ context.Context, target, _ string, _ int) ([]event.Receipt, error) {
	if target == "none" {
		return nil, customer.ErrNotFound
	}
	return []event.Receipt{d.receipt()}, nil
}

func (d *desk) Resync(_ context.Context, target string) error {
	d.renewed = target
	return nil
}

func (d *desk) Preview(_ context.Context, target string, id customer.CustomerID) (*console.Preview, error) {
	r := d.receipt()
	return &console.Preview{Target: target, Customer: id.String(), Op: "upsert", Body: `{"name":"` + marker + `"}`, Receipt: &r}, nil
}

// Resync reaches the target that is named, and a target that is none is nobody.
func TestTargets(t *testing.T) {
	d := &desk{}
	h := handler(d, io.Discard)
	if w := call(h, "POST", "/api/v1/targets/crm-eu/resync", ""); w.Code != 200 || d.renewed != "crm-eu" {
		t.Errorf("resync: %d, of %q", w.Code, d.renewed)
	}
	for path, want := range map[string]int{
		"/api/v1/targets/none/refused": 404, "/api/v1/targets/crm/refused?limit=501": 400, "/api/v1/targets/crm/preview/nobody": 400,
		"/api/v1/targets/crm/refused?limit=1": 200,
	} {
		if w := call(h, "GET", path, ""); w.Code != want {
			t.Errorf("%s answers %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
}
