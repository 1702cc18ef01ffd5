package mask

import (
	"slices"

	"github.com/onefold/onefold/customer"
)

// Explanation answers a copy without personal data: what was compared and how it weighs, not what stood there, nor how common it is.
func Explanation(x *customer.Explanation) *customer.Explanation {
	if x == nil {
		return nil
	}
	out := *x
	out.A.Member, out.B.Member = member(x.A.Member), member(x.B.Member)
	out.Steps = slices.Clone(x.Steps)
	for i := range out.Steps {
		out.Steps[i].Detail, out.Steps[i].Frequencies = text(out.Steps[i].Detail), nil
	}
	out.Path = members(x.Path)
	out.Decision = Decision(x.Decision)
	out.Apart = slices.Clone(x.Apart)
	for i := range out.Apart {
		if u := out.Apart[i].Union; u != nil {
			masked := union(*u)
			out.Apart[i].Union = &masked
		}
	}
	return &out
}

// Decision answers a copy without the reason, in which a person wrote what they knew.
func Decision(d *customer.Decision) *customer.Decision {
	if d == nil {
		return nil
	}
	out := *d
	out.Reason = text(d.Reason)
	return &out
}

// Making answers a copy without personal data: which steps made a customer, not of whose keys.
func Making(m *customer.Making) *customer.Making {
	if m == nil {
		return nil
	}
	out := *m
	out.Members, out.Steps, out.Apart = members(m.Members), unions(m.Steps), unions(m.Apart)
	return &out
}

func unions(all []customer.Union) []customer.Union {
	out := slices.Clone(all)
	for i := range out {
		out[i] = union(out[i])
	}
	return out
}

func union(u customer.Union) customer.Union {
	u.A, u.B = member(u.A), member(u.B)
	return u
}

// Lineage answers a copy without personal data: which rule decided between which sources.
func Lineage(l *customer.Lineage) *customer.Lineage {
	if l == nil {
		return nil
	}
	out := *l
	out.Attributes = slices.Clone(l.Attributes)
	counted := map[string]int{}
	for i := range out.Attributes {
		out.Attributes[i].Attribute = attribute(out.Attributes[i].Attribute, counted)
	}
	return &out
}
