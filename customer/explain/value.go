package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// WhyValue tells why a customer has its value at a path, and what it won against: a path is a name, or name[element] of a list; a list's
// name alone stands for all of its elements. An alias is followed.
func (e *Explainer) WhyValue(ctx context.Context, id customer.CustomerID, path string) (*customer.Lineage, error) {
	var out *customer.Lineage
	err := e.ask(ctx, func(t *talk) error {
		c, err := customer.Follow(ctx, t.v, id)
		if err != nil {
			return err
		}
		out = &customer.Lineage{Asked: id, Customer: c.ID, Version: c.Version}
		var names []string
		for _, a := range c.Attributes {
			names = append(names, a.Path.Name)
			if a.Path.String() == path || a.Path.Name == path {
				out.Attributes = append(out.Attributes, customer.Reasoned{Attribute: a, Reason: reason(&a)})
			}
		}
		if out.Attributes == nil {
			return event.Errorf(event.Permanent, "validation", "path",
				"the customer has no value there; it has values at: %s", strings.Join(slices.Compact(names), ", "))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// reason says in words which rule decided. Values are personal data and are not in it.
func reason(a *customer.Attribute) string {
	if len(a.Losers) == 0 && a.Rule == "only" {
		return "it is the only one that is stated"
	}
	against := fmt.Sprintf("%d other claims", len(a.Losers))
	if len(a.Losers) == 1 {
		against = "one other claim"
	}
	text := map[string]string{
		"only": "it is the only value that is stated", "trust": "its source is trusted more", "verified": "its source has verified it",
		"current": "its source has not merged the record away", "recent": "it is the most recent by its source's clock",
		"whole": "it comes with the rest of the name from one record", "denial": "of consents given at one instant the denial stands",
		"union": "the elements of a list are united", "tie": "nothing tells them apart; a fixed order of values decides",
	}[a.Rule]
	if text == "" {
		text = "rule " + a.Rule
	}
	return text + "; against " + against
}
