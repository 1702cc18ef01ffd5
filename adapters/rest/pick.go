package rest

import (
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
)

// site names a value of a customer: a field, an element of a list by its id, and a part of a composite value.
type site struct {
	name, id, part string
	list           bool
	where          []condition
}

// condition is a part that an element must have.
type condition struct{ part, value string }

// Rules by which one element of a list is chosen. Each falls back to the next best; of equals the first by path is taken, so that the
// choice is the same each time.
const (
	pickPrimary  = "primary"  // what the source calls primary, then what is verified
	pickVerified = "verified" // what a source has checked
	pickRecent   = "recent"   // what was said last
	pickFirst    = "first"    // by path
)

// covers tells whether an attribute is one of the path's.
func (p site) covers(a *customer.Attribute) bool {
	return a.Path.Name == p.name && (p.id == "" || a.Path.ID == p.id) &&
		!slices.ContainsFunc(p.where, func(c condition) bool { return a.Value.Parts[c.part] != c.value })
}

// of answers the path's text of an attribute, if it is one of the path's and says something.
func (p site) of(a *customer.Attribute) (string, bool) {
	if !p.covers(a) {
		return "", false
	}
	text := a.Value.Text
	if p.part != "" {
		text = a.Value.Parts[p.part]
	}
	return text, text != ""
}

// path reads a canonical path: email, email[home], address.postalCode, address[home].postalCode, custom[shoeSize].
func (r *reader) path(v *value) site {
	text := r.text(v)
	if text == "" {
		return site{}
	}
	var head, part string
	var dotted bool
	if end := strings.LastIndexByte(text, ']'); end >= 0 {
		head, part = text[:end+1], text[end+1:]
		part, dotted = strings.CutPrefix(part, ".")
		if !dotted && part != "" {
			r.say(v, "write name, name[id], name.part or name[id].part", "this is not a path")
			return site{}
		}
	} else {
		head, part, dotted = strings.Cut(text, ".")
	}
	parsed, err := customer.ParsePath(head)
	if err != nil || dotted && part == "" {
		r.say(v, "write name, name[id], name.part or name[id].part", "this is not a path")
		return site{}
	}
	all := customer.Fields()
	i := slices.IndexFunc(all, func(f customer.Field) bool { return f.Name == parsed.Name })
	if i < 0 {
		names := make([]string, len(all))
		for i := range all {
			names[i] = all[i].Name
		}
		r.say(v, suggestion(parsed.Name, names)+"; what is none of them is custom[name]",
			"the canonical model has no field %q", clip(parsed.Name))
		return site{}
	}
	f := all[i]
	switch {
	case parsed.ID != "" && !f.List:
		r.say(v, "write "+f.Name, "this field is no list: it has no elements")
	case part != "" && len(f.Parts) == 0 && f.Name != "custom":
		r.say(v, "write "+head, "this field has no parts")
	case part != "" && len(f.Parts) > 0 && !slices.Contains(f.Parts, part):
		r.say(v, suggestion(part, f.Parts), "%s has no part %q", f.Name, clip(part))
	case part == "" && len(f.Parts) > 0:
		r.say(v, "write "+f.Name+". and one of "+strings.Join(f.Parts, ", "), "this field has parts: one text cannot hold them")
	}
	return site{name: f.Name, id: parsed.ID, part: part, list: f.List}
}

// where reads the parts that an element must have: {type: loyaltyNumber}.
func (r *reader) where(v *value, p site) []condition {
	w := v.get("where")
	if w == nil {
		return nil
	}
	if w.kind != object {
		r.say(w, "write {part: value}", "keys and values are expected here, this is %s", w.kind)
		return nil
	}
	i := slices.IndexFunc(customer.Fields(), func(f customer.Field) bool { return f.Name == p.name })
	var all []condition
	for j := range w.keys {
		k := &w.keys[j]
		if i >= 0 && !slices.Contains(customer.Fields()[i].Parts, k.name) {
			r.say(k.place(), suggestion(k.name, customer.Fields()[i].Parts), "%s has no part %q", p.name, clip(k.name))
		}
		all = append(all, condition{k.name, r.text(k.value)})
	}
	return all
}

// pick compiles a path that gives one value; at is its place, v the field, which may say which element is meant.
func (r *reader) pick(at, v *value) read {
	p := r.path(at)
	p.where = r.where(v, p)
	rule := pickPrimary
	if c := v.get("pick"); c != nil {
		rule = r.oneOf(c, pickPrimary, pickVerified, pickRecent, pickFirst)
		if !p.list {
			r.say(c, "leave it out", "%s is no list: there is nothing to choose from", p.name)
		}
	}
	return func(c *customer.Customer, said *[]customer.Path) (string, bool) {
		best := -1
		for i := range c.Attributes { // the element is chosen before its part is read: no street is put together with another's town
			if a := &c.Attributes[i]; p.covers(a) && (best < 0 || better(rule, a, &c.Attributes[best])) {
				best = i
			}
		}
		if best < 0 {
			return "", false
		}
		text, ok := p.of(&c.Attributes[best])
		if ok {
			*said = append(*said, c.Attributes[best].Path)
		}
		return text, ok
	}
}

// better tells whether a rule prefers a to b, which comes before it by path.
func better(rule string, a, b *customer.Attribute) bool {
	primary := func(x *customer.Attribute) bool { return x.Value.Parts["primary"] == "true" }
	switch {
	case rule == pickPrimary && primary(a) != primary(b):
		return primary(a)
	case rule == pickPrimary || rule == pickVerified:
		return a.Verified && !b.Verified
	case rule == pickRecent:
		return a.At.After(b.At)
	}
	return false
}
