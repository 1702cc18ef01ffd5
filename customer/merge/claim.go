package merge

import (
	"cmp"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
)

// claim is a value as one record states it, with what speaks for it.
type claim struct {
	customer.Claim
	path       customer.Path
	superseded bool
	trust      int
}

// criterion is one step of the chain by which claims are ordered: the better first.
type criterion struct {
	rule    string
	compare func(a, b *claim) int
}

// chain answers the criteria in their order. What no criterion tells apart, a fixed order does, never arrival.
func chain() [4]criterion {
	return [...]criterion{
		{RuleTrust, func(a, b *claim) int { return cmp.Compare(b.trust, a.trust) }},
		{RuleCurrent, func(a, b *claim) int { return falseFirst(a.superseded, b.superseded) }},
		{RuleVerified, func(a, b *claim) int { return falseFirst(b.Verified, a.Verified) }},
		{RuleRecent, func(a, b *claim) int { return b.At.Compare(a.At) }},
	}
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// compareClaims puts the claim that survives first.
func compareClaims(a, b *claim) int {
	for _, c := range chain() {
		if d := c.compare(a, b); d != 0 {
			return d
		}
	}
	return fixed(a, b)
}

// fixed orders claims that nothing else tells apart.
func fixed(a, b *claim) int {
	return cmp.Or(
		a.Value.Compare(b.Value), strings.Compare(a.Source, b.Source), strings.Compare(a.Key, b.Key),
		a.path.Compare(b.path), a.Version.Compare(b.Version),
	)
}

// decided names the criterion by which the first of ordered claims won against the best that states another value.
func decided(ordered []*claim) string {
	for i := range ordered[1:] {
		other := ordered[i+1]
		if other.Value.Equal(ordered[0].Value) {
			continue
		}
		for _, c := range chain() {
			if c.compare(ordered[0], other) != 0 {
				return c.rule
			}
		}
		return RuleTie
	}
	return RuleOnly
}

// attribute lets the first of the claims in the given order survive, and remembers the others.
func attribute(path customer.Path, claims []*claim, order func(a, b *claim) int, rule func([]*claim) string) customer.Attribute {
	slices.SortFunc(claims, order)
	out := customer.Attribute{Path: path, Claim: claims[0].Claim, Rule: rule(claims)}
	if losers := claims[1:min(len(claims), MaxLosers+1)]; len(losers) > 0 { // invariant 10
		out.Losers = make([]customer.Claim, len(losers))
		for i, c := range losers {
			out.Losers[i] = c.Claim
		}
	}
	return out
}
