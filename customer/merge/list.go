package merge

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/onefold/onefold/customer"
)

// form answers how values of a list compare: two of one form are one value. Nil for what is not a list.
func form(name string) func(customer.Value) string {
	switch name {
	case customer.FieldEmail, "nationality", "tag":
		return func(v customer.Value) string { return strings.ToLower(strings.TrimSpace(v.Text)) }
	case customer.FieldPhone:
		return func(v customer.Value) string {
			return keep(v.Text, func(r rune) bool { return r == '+' || unicode.IsDigit(r) })
		}
	case customer.FieldAddress:
		return addressForm
	case customer.FieldIdentifier:
		return func(v customer.Value) string { return parts(v, "type", "issuer", "value") }
	case "loyaltyMembership":
		return func(v customer.Value) string { return parts(v, "programName", "membershipNumber") }
	}
	return nil
}

// addressForm writes where an address is; what it is used for does not make it another one.
func addressForm(v customer.Value) string {
	names := make([]string, 0, len(v.Parts))
	for name := range v.Parts {
		if name != "purpose" && name != "primary" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(folded(v.Text))
	for _, name := range names {
		if part := folded(v.Parts[name]); part != "" {
			b.WriteString("\x00" + name + "=" + part)
		}
	}
	return b.String()
}

func folded(s string) string {
	return keep(strings.ToLower(s), func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

func keep(s string, which func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if which(r) {
			return r
		}
		return -1
	}, s)
}

func parts(v customer.Value, names ...string) string {
	out := []string{strings.TrimSpace(v.Text)}
	for _, name := range names {
		out = append(out, strings.TrimSpace(v.Parts[name]))
	}
	return strings.Join(out, "\x00")
}

// union lets every distinct value of a list survive, the best first. Identifiers keep the order of type, issuer and value
// instead, so that a new e-mail of trust does not renumber them.
func union(name string, claims []*claim, form func(customer.Value) string) []customer.Attribute {
	byForm := map[string][]*claim{}
	for _, c := range claims {
		f := form(c.Value)
		byForm[f] = append(byForm[f], c)
	}
	forms := make([]string, 0, len(byForm))
	for f, cs := range byForm {
		slices.SortFunc(cs, compareClaims)
		forms = append(forms, f)
	}
	slices.SortFunc(forms, func(a, b string) int {
		if name == customer.FieldIdentifier {
			return strings.Compare(a, b)
		}
		return compareClaims(byForm[a][0], byForm[b][0])
	})
	var out []customer.Attribute
	for i, f := range forms[:min(len(forms), MaxElements)] { // invariant 10
		path := customer.Path{Name: name, ID: strconv.Itoa(i + 1)}
		out = append(out, attribute(path, byForm[f], compareClaims, func([]*claim) string { return RuleUnion }))
	}
	return out
}

// consents lets the latest word of the party survive for each channel and purpose, whoever reports it: trust has no say in
// it. A refusal wins over what was said at the same instant.
func consents(claims []*claim) []customer.Attribute {
	byID := map[string][]*claim{}
	for _, c := range claims {
		id := strings.Trim(c.Value.Parts["channel"]+"/"+c.Value.Parts["purpose"], "/")
		byID[id] = append(byID[id], c)
	}
	ids := make([]string, 0, len(byID))
	for id := range byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []customer.Attribute
	for _, id := range ids[:min(len(ids), MaxElements)] { // invariant 10
		path := customer.Path{Name: customer.FieldConsent, ID: id}
		out = append(out, attribute(path, byID[id], compareConsents, decidedConsent))
	}
	return out
}

func compareConsents(a, b *claim) int {
	return cmp.Or(
		falseFirst(silent(a), silent(b)),
		collected(b).Compare(collected(a)),
		falseFirst(!refused(a), !refused(b)),
		compareClaims(a, b),
	)
}

func decidedConsent(ordered []*claim) string {
	for _, other := range ordered[1:] {
		switch {
		case other.Value.Parts["state"] == ordered[0].Value.Parts["state"]:
			continue
		case silent(other) || !collected(other).Equal(collected(ordered[0])):
			return RuleRecent
		case refused(ordered[0]) != refused(other):
			return RuleDenial
		}
		return decided(ordered)
	}
	return RuleOnly
}

// silent tells a consent of which the source says that it does not know.
func silent(c *claim) bool {
	state := c.Value.Parts["state"]
	return state == "" || strings.EqualFold(state, "unknown")
}

func refused(c *claim) bool {
	switch strings.ToLower(c.Value.Parts["state"]) {
	case "denied", "withdrawn":
		return true
	}
	return false
}

// collected answers when the party said it; where the source does not tell, when the source did. A source that repeats an old
// consent in a new statement does not make it a new one.
func collected(c *claim) time.Time {
	if t, err := time.Parse(time.RFC3339, c.Value.Parts["collectedAt"]); err == nil {
		return t
	}
	return c.At
}
