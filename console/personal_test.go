package console_test

import (
	"github.com/onefold/onefold/customer"
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
