package language

import (
	"maps"
	"slices"
	"strings"

	"github.com/onefold/onefold/adapters/codec"
)

// shape is what a schema says of a value, as far as it serves to find a typing error in a path: the members it may have,
// whether it is a list, whether it has a text. A nil shape says nothing, and everything goes.
type shape struct {
	members map[string]*shape
	items   *shape
	open    bool // members that are not named are allowed
	list    bool
	text    bool
	object  bool
}

const maxShapeDepth = 40

// schema reads a JSON Schema from a file of the mapping: type, properties, items, $ref within the file, allOf, anyOf and
// oneOf (taken together), additionalProperties. Unlike in JSON Schema a member that is not named is taken for a typing error,
// unless additionalProperties says otherwise. For XML it describes the tree: elements are properties by local name, attributes
// properties named "@name", an element that repeats has the schema of one.
func (l *Compiler) schema(y *YAML) *shape {
	name := l.String(y, "the name of a file with a JSON Schema")
	if name == "" {
		return nil
	}
	b := l.Read(y, name)
	if b == nil {
		return nil
	}
	doc, err := codec.JSON(b, codec.DefaultLimits)
	if err != nil {
		l.Say(y, "", "the schema %q is not JSON: %s", name, err)
		return nil
	}
	if doc.Kind() != codec.Object {
		l.Say(y, "", "the schema %q is not an object", name)
		return nil
	}
	r := shapeReader{doc: doc, seen: map[*codec.Node]*shape{}}
	s := r.shape(doc, 0)
	if r.fault != "" {
		l.Say(y, "", "the schema %q: %s", name, r.fault)
		return nil
	}
	return s
}

// Top answers the environment in which paths begin at the top of the message; y names its schema, or is nil.
func (l *Compiler) Top(y *YAML) Env {
	e := Env{base: slotTop, next: slotFree}
	if y != nil {
		e.shapes[slotTop] = l.schema(y)
	}
	return e
}

type shapeReader struct {
	doc   *codec.Node
	seen  map[*codec.Node]*shape // a schema may refer to itself
	fault string
}

func (r *shapeReader) shape(n *codec.Node, depth int) *shape {
	if n.Kind() != codec.Object || n.Len() == 0 {
		return nil
	}
	if s, known := r.seen[n]; known {
		return s
	}
	if depth > maxShapeDepth {
		r.fault = "more than 40 levels, which is the limit"
		return nil
	}
	s := &shape{}
	r.seen[n] = s
	if ref := n.Member("$ref").Text(); ref != "" {
		target := r.lookup(ref)
		if target == nil {
			r.fault = "the reference " + ref + " leads nowhere: references stay within the file, #/$defs/name"
			return nil
		}
		r.seen[n] = r.shape(target, depth+1)
		return r.seen[n]
	}
	for _, t := range n.Member("type").Items() {
		switch t.Text() {
		case "array":
			s.list = true
		case "object":
			s.object = true
		case "string", "number", "integer", "boolean":
			s.text = true
		}
	}
	r.members(s, n, depth)
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		for _, part := range n.Member(word).Items() {
			s.add(r.shape(part, depth+1))
		}
	}
	return s
}

func (r *shapeReader) members(s *shape, n *codec.Node, depth int) {
	props := n.Member("properties")
	if props.Kind() == codec.Object {
		s.object, s.members = true, make(map[string]*shape, props.Len())
	}
	for name, prop := range props.Members() {
		s.members[name] = r.shape(prop, depth+1)
	}
	if more := n.Member("additionalProperties"); more.Kind() == codec.Object || more.Text() == "true" {
		s.open = true
	}
	if s.object && props == nil {
		s.open = true
	}
	if items := n.Member("items"); items != nil {
		s.list, s.items = true, r.shape(items, depth+1)
	}
}

func (r *shapeReader) lookup(ref string) *codec.Node {
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	n := r.doc
	for token := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if token == "" {
			continue
		}
		n = n.Member(strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
	}
	return n
}

// add takes what another shape allows.
func (s *shape) add(o *shape) {
	if o == nil || o == s {
		return
	}
	s.open, s.list, s.text, s.object = s.open || o.open, s.list || o.list, s.text || o.text, s.object || o.object
	if s.items == nil {
		s.items = o.items
	}
	if s.members == nil && len(o.members) > 0 {
		s.members = map[string]*shape{}
	}
	for name, m := range o.members {
		if s.members[name] == nil {
			s.members[name] = m
		}
	}
}

// union answers the shape of what is one of several; nil where one of them is not known.
func union(shapes []*shape) *shape {
	if len(shapes) == 0 || slices.Contains(shapes, nil) {
		return nil
	}
	out := *shapes[0]
	out.members = maps.Clone(out.members)
	for _, s := range shapes[1:] {
		out.add(s)
	}
	return &out
}

// enter answers the shape of a member; known is false where there can be no such member.
func (s *shape) enter(name string) (member *shape, known bool) {
	if s == nil {
		return nil, true
	}
	if m, ok := s.members[name]; ok {
		return m, true
	}
	return nil, s.open || strings.HasPrefix(name, "#") || name == "@xmlns"
}

// element answers the shape of one item; of what is no list it is the thing itself, as XML has it.
func (s *shape) element() *shape {
	if s == nil || !s.list {
		return s
	}
	return s.items
}

// fits checks a path against what is known of where it starts.
func (l *Compiler) fits(y *YAML, offset int, r *Path, e Env) bool {
	s := e.shapes[r.slot]
	for i := range r.steps {
		st := &r.steps[i]
		if st.name != "" {
			if s != nil && s.list && !s.object {
				l.sayAt(y, offset, "pick one: NAME[0] or NAME[condition]", "%q: a list stands before %s, and has no members", r.Text, st.name)
				return false
			}
			next, known := s.enter(st.name)
			if !known {
				names := slices.Sorted(maps.Keys(s.members))
				l.sayAt(y, offset, Suggest(st.name, append(names, slices.Collect(maps.Keys(e.names))...)),
					"%q: the schema has no %s here", r.Text, st.name)
				return false
			}
			s = next
		}
		if st.where != nil && !l.filterFits(y, offset, r, st.where, s.element()) {
			return false
		}
		if st.pick != only {
			s = s.element()
		}
	}
	return true
}

func (l *Compiler) filterFits(y *YAML, offset int, r *Path, f *filter, s *shape) bool {
	if f.path == nil {
		return l.filterFits(y, offset, r, f.l, s) && (f.r == nil || l.filterFits(y, offset, r, f.r, s))
	}
	for i := range f.path.steps {
		name := f.path.steps[i].name
		next, known := s.element().enter(name)
		if !known {
			l.sayAt(y, offset, Suggest(name, slices.Sorted(maps.Keys(s.element().members))),
				"%q: the schema has no %s for the condition", r.Text, name)
			return false
		}
		s = next
	}
	return true
}

// shapeOf answers the shape at the end of a path that fits.
func (e Env) shapeOf(r *Path) *shape {
	s := e.shapes[r.slot]
	for i := range r.steps {
		st := &r.steps[i]
		if st.name != "" {
			s, _ = s.enter(st.name)
		}
		if st.pick != only {
			s = s.element()
		}
	}
	return s
}
