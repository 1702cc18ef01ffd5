package console

import (
	"context"
	"io"
	"time"

	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/console/mask"
	"github.com/onefold/onefold/customer"
)

// veil is a registry that hides personal data from whoever asks and may not see it, as the context says (access.With); from a context that
// says nothing it hides it too. Each question is written out here, so that a new one cannot come in without its veil. The API and the pages
// stand on it, and nothing of theirs looks behind.
type veil struct{ behind Customers }

func (v veil) Customer(ctx context.Context, id customer.CustomerID) (*customer.Customer, error) {
	c, err := v.behind.Customer(ctx, id)
	if err == nil && !access.From(ctx).Sees() {
		c = mask.Customer(c)
	}
	return c, err
}

func (v veil) Find(ctx context.Context, q customer.Query) (*customer.Found, error) {
	found, err := v.behind.Find(ctx, q)
	if err == nil && !access.From(ctx).Sees() {
		found = mask.Found(found)
	}
	return found, err
}

func (v veil) Timeline(ctx context.Context, id customer.CustomerID, limit int) ([]*customer.Interaction, error) {
	all, err := v.behind.Timeline(ctx, id, limit)
	if err == nil && !access.From(ctx).Sees() {
		all = mask.Interactions(all)
	}
	return all, err
}

// Export is for those who see everything: half a veil over everybody is none.
func (v veil) Export(ctx context.Context, w io.Writer, canonical bool) error {
	if !access.From(ctx).Sees() {
		return forbidden(access.From(ctx), []access.Role{access.Admin})
	}
	return v.behind.Export(ctx, w, canonical)
}

// veiledExplain is the same of how the registry came to its answers.
type veiledExplain struct{ behind Explain }

func (v veiledExplain) Why(ctx context.Context, a, b string) (*customer.Explanation, error) {
	x, err := v.behind.Why(ctx, a, b)
	if err == nil && !access.From(ctx).Sees() {
		x = mask.Explanation(x)
	}
	return x, err
}

func (v veiledExplain) WhyNot(ctx context.Context, a, b string) (*customer.Explanation, error) {
	x, err := v.behind.WhyNot(ctx, a, b)
	if err == nil && !access.From(ctx).Sees() {
		x = mask.Explanation(x)
	}
	return x, err
}

func (v veiledExplain) How(ctx context.Context, id customer.CustomerID) (*customer.Making, error) {
	made, err := v.behind.How(ctx, id)
	if err == nil && !access.From(ctx).Sees() {
		made = mask.Making(made)
	}
	return made, err
}

func (v veiledExplain) WhyValue(ctx context.Context, id customer.CustomerID, path string) (*customer.Lineage, error) {
	lineage, err := v.behind.WhyValue(ctx, id, path)
	if err == nil && !access.From(ctx).Sees() {
		lineage = mask.Lineage(lineage)
	}
	return lineage, err
}

// WhatIf is for those who see: whoever may suppose anything finds out by supposing.
func (v veiledExplain) WhatIf(ctx context.Context, changes []customer.Change, now time.Time) (*customer.Supposition, error) {
	if !access.From(ctx).Sees() {
		return nil, forbidden(access.From(ctx), []access.Role{access.Steward, access.Admin})
	}
	return v.behind.WhatIf(ctx, changes, now)
}
