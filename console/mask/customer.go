package mask

import (
	"slices"
	"strconv"

	"github.com/onefold/onefold/customer"
)

// Hidden stands where a value is that may not be seen. It is the same for all: even the length of a name tells of it.
const Hidden = "***"

// Customer answers a copy without personal data. What stays is which fields there are and how many values they have, the sources, the
// rules and the times; ids are of our own making and say nothing of anybody. Keys of sources go, for they are customer and card numbers.
func Customer(c *customer.Customer) *customer.Customer {
	if c == nil {
		return nil
	}
	out := *c
	out.Attributes = slices.Clone(c.Attributes)
	counted := map[string]int{}
	for i := range out.Attributes {
		out.Attributes[i] = attribute(out.Attributes[i], counted)
	}
	out.Members = members(c.Members)
	return &out
}

// attribute masks one of a customer's; counted has how many of each name there were before.
func attribute(a customer.Attribute, counted map[string]int) customer.Attribute {
	counted[a.Path.Name]++
	a.Path = path(a.Path, counted[a.Path.Name])
	a.Claim = claim(a.Path.Name, a.Claim)
	a.Losers = slices.Clone(a.Losers)
	for j := range a.Losers {
		a.Losers[j] = claim(a.Path.Name, a.Losers[j])
	}
	return a
}

// path names an element by its place: many sources name it by what it says.
func path(p customer.Path, nth int) customer.Path {
	if p.ID != "" {
		p.ID = strconv.Itoa(nth)
	}
	if p.Name != "custom" && !slices.ContainsFunc(customer.Fields(), func(f customer.Field) bool { return f.Name == p.Name }) {
		p.Name = Hidden
	}
	return p
}

func claim(field string, c customer.Claim) customer.Claim {
	c.Value, c.Key = value(field, c.Value), text(c.Key)
	c.Version = version(c.Version)
	return c
}

// value hides what is said, and leaves which parts it has. That a party is a person or an organisation is no secret.
func value(field string, v customer.Value) customer.Value {
	if field == "partyType" && (v.Text == "person" || v.Text == "organization") {
		return v
	}
	if v.Parts == nil {
		return customer.Text(text(v.Text))
	}
	parts := make(map[string]string, len(v.Parts))
	for name := range v.Parts {
		if !known(field, name) {
			name = Hidden
		}
		parts[name] = Hidden
	}
	return customer.Value{Parts: parts}
}

func known(field, part string) bool {
	for _, f := range customer.Fields() {
		if f.Name == field {
			return slices.Contains(f.Parts, part)
		}
	}
	return false
}

// version hides what a source made up to count its changes; times and positions are what everybody's are.
func version(v customer.Version) customer.Version {
	v.Source.Scope = text(v.Source.Scope)
	if v.Source.Kind != customer.ByTime && v.Source.Kind != customer.ByPosition {
		v.Source.Value = text(v.Source.Value)
	}
	v.Hash = 0 // of what was said: who guesses could tell by it that the guess is right
	return v
}

func text(s string) string {
	if s == "" {
		return ""
	}
	return Hidden
}

func member(m customer.Member) customer.Member {
	m.Key = text(m.Key)
	return m
}

func members(all []customer.Member) []customer.Member {
	out := slices.Clone(all)
	for i := range out {
		out[i] = member(out[i])
	}
	return out
}

// Found answers a copy without personal data.
func Found(f *customer.Found) *customer.Found {
	if f == nil {
		return nil
	}
	out := &customer.Found{Customers: make([]*customer.Customer, len(f.Customers)), Cut: f.Cut}
	for i, c := range f.Customers {
		out.Customers[i] = Customer(c)
	}
	return out
}

// Interactions answers copies without personal data: that something happened, when, through what and at which source. What was bought, for
// how much, where and what for is as personal as a name.
func Interactions(all []*customer.Interaction) []*customer.Interaction {
	out := make([]*customer.Interaction, len(all))
	for i, in := range all {
		shown := customer.Interaction{
			Key: text(in.Key), OccurredAt: in.OccurredAt, ID: in.ID, Source: in.Source, Version: version(in.Version), Event: in.Event, Test: in.Test,
			Type:    among(customer.InteractionTypes(), in.Type),
			Channel: among(customer.Channels(), in.Channel), Direction: among([]string{"in", "out"}, in.Direction),
			Subtype: text(in.Subtype), Status: text(in.Status), Title: text(in.Title), Location: text(in.Location), ReversalOf: text(in.ReversalOf),
		}
		for _, p := range in.Parties {
			shown.Parties = append(shown.Parties, customer.Party{Role: text(p.Role), Key: text(p.Key), Record: p.Record})
		}
		for range in.Items {
			shown.Items = append(shown.Items, customer.Item{Name: Hidden})
		}
		for range in.References {
			shown.References = append(shown.References, customer.Reference{Type: Hidden, Value: Hidden})
		}
		out[i] = &shown
	}
	return out
}

// among keeps a word of ours.
func among(words []string, s string) string {
	if slices.Contains(words, s) {
		return s
	}
	return text(s)
}
