// Package merge says which values survive among the records of one customer, and what they won against. It is pure: the
// same records give the same answer in every process, in any order (invariant 4). It does no I/O and reads no clock.
//
// Of the strategies known from master data management (source trust, verified first, most recent, longest, most frequent,
// decay and so on) this package has source trust, the source's own supersession, verified first, most recent by the source's
// clock, union of distinct values, and groups that move together. The others are left out until a policy file can ask for
// them.
package merge

import (
	"cmp"
	"slices"

	"github.com/onefold/onefold/customer"
)

// DefaultTrust is the trust in a source that the policy does not name.
const DefaultTrust = 50

// Limits of one customer (invariant 10): what is over them stays in the records and is left out of the master. Which it is never depends
// on arrival: of identifiers and consents the last in their order go, of all other lists the worst.
const (
	MaxElements = 200 // elements of one list: e-mails, addresses, identifiers, custom fields
	MaxLosers   = 200 // claims that an attribute remembers having won against
)

// Rules by which a value survives, as they stand in customer.Attribute.
const (
	RuleOnly     = "only"     // nobody states another value
	RuleTrust    = "trust"    // its source is trusted more
	RuleCurrent  = "current"  // the other record was merged away by its own source
	RuleVerified = "verified" // its source has checked it
	RuleRecent   = "recent"   // it is the newest by the sources' clocks
	RuleTie      = "tie"      // nothing tells them apart: the order of values, sources and keys decides
	RuleWhole    = "whole"    // its record states given and family name, the other only a part
	RuleUnion    = "union"    // all distinct values survive, the best first
	RuleDenial   = "denial"   // of consents given and refused at the same instant the refusal stands
)

// Policy says how far each source is trusted; higher is better.
type Policy struct {
	Trust map[string]int `json:"trust,omitempty"` // by source name; DefaultTrust where it is silent
}

func (p Policy) trust(source string) int {
	if t, ok := p.Trust[source]; ok {
		return t
	}
	return DefaultTrust
}

// Merger survives values under a policy. It implements customer.Merger.
type Merger struct{ policy Policy }

// New returns a merger with a policy of its own: later changes of the map that was given do not reach it.
func New(p Policy) *Merger {
	trust := make(map[string]int, len(p.Trust))
	for source, t := range p.Trust {
		trust[source] = t
	}
	return &Merger{policy: Policy{Trust: trust}}
}

// Survive answers the surviving values of live records, by path, each with what it won against, best first. An attribute of
// a list has the element ids "1", "2" and so on, a consent its channel and purpose. Links between records do not survive.
func (m *Merger) Survive(records []*customer.Record) []customer.Attribute {
	byName := map[string][]*claim{}
	for _, r := range records {
		superseded, trust := r.Superseded(), m.policy.trust(r.Source)
		cells := r.Cells()
		claims := make([]claim, len(cells))
		for i, c := range cells {
			claims[i] = claim{path: c.Path, superseded: superseded, trust: trust, Claim: customer.Claim{
				Value: c.Value, Source: r.Source, Key: r.Key, Version: c.Version, At: c.At, Verified: c.Verified, Event: c.Event,
			}}
			byName[c.Path.Name] = append(byName[c.Path.Name], &claims[i])
		}
	}
	var out []customer.Attribute
	for name, claims := range byName {
		switch {
		case isName(name), name == customer.FieldLink:
		case name == customer.FieldConsent:
			out = append(out, consents(claims)...)
		case form(name) != nil:
			out = append(out, union(name, claims, form(name))...)
		default:
			out = append(out, fields(claims)...)
		}
	}
	out = append(out, names(byName)...)
	slices.SortFunc(out, func(a, b customer.Attribute) int { return a.Path.Compare(b.Path) })
	return out
}

// fields lets one value survive a path: claims of one name, which may have elements such as custom[shoeSize]. Of too many elements
// those stay whose values are the best.
func fields(claims []*claim) []customer.Attribute {
	byPath := map[customer.Path][]*claim{}
	for _, c := range claims {
		byPath[c.path] = append(byPath[c.path], c)
	}
	paths := make([]customer.Path, 0, len(byPath))
	for path, cs := range byPath {
		slices.SortFunc(cs, compareClaims)
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b customer.Path) int {
		return cmp.Or(compareClaims(byPath[a][0], byPath[b][0]), a.Compare(b))
	})
	out := make([]customer.Attribute, 0, min(len(paths), MaxElements))
	for _, path := range paths[:min(len(paths), MaxElements)] { // invariant 10
		out = append(out, attribute(path, byPath[path], compareClaims, decided))
	}
	return out
}
