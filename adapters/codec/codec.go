// Package codec reads the frames that messages come in: JSON with exact numbers, and XML. Both become the same tree of
// nodes, so that what reads a message need not know which it was. It takes nothing on trust: sizes, depths and
// counts are limited (invariant 10), doubtful bytes are refused instead of mended, and errors tell where, never what
// (invariant 9).
//
// A Kafka null (a nil value) is no frame at all and not this package's business.
package codec

import "iter"

// Node is one value of a decoded message. It never changes, so it may be read by many at once. A nil *Node is an absent
// value: each method answers for it, which lets a path be followed without asking at every step.
//
// Texts share the memory of one copy of the message: who keeps a few bytes for long keeps a strings.Clone of them.
type Node struct {
	kind Kind
	text string
	kids []child // members of an object in the order of the message, items of an array
}

type child struct {
	name string // empty for items
	node Node
}

// Kind is what a node is.
type Kind uint8

// The kinds. Absent is that of a nil node only.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"absent", "null", "bool", "number", "string", "array", "object"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Limits bound what a message may cost. A message over one of them is refused with the reason "too_large".
type Limits struct {
	Bytes int // length of the value
	Depth int // containers within each other: [] has depth 1, an XML document's root too
	Nodes int // values in all: containers, members' values, items, attributes
}

// DefaultLimits are far above what the systems we know send: 16 MiB, 64 levels, a million values.
var DefaultLimits = Limits{Bytes: 16 << 20, Depth: 64, Nodes: 1_000_000}

// Kind answers what the node is.
func (n *Node) Kind() Kind {
	if n == nil {
		return Absent
	}
	return n.kind
}

// Text answers a string's characters, a number's literal as it was written, "true" or "false", and an XML element's
// character data, all of it together and without the blanks around it. It is empty for null, arrays, JSON objects and nil.
// A JSON string may hold NUL ("\u0000" is legal, RFC 8259 section 7): it is kept here, and refused where values are made.
func (n *Node) Text() string {
	if n == nil {
		return ""
	}
	return n.text
}

// Member answers the member of that name, the first where an XML element is repeated, nil where there is none. A JSON
// null is there: it is a node of kind Null.
func (n *Node) Member(name string) *Node {
	if n == nil || n.kind != Object {
		return nil
	}
	for i := range n.kids {
		if n.kids[i].name == name {
			return &n.kids[i].node
		}
	}
	return nil
}

// All answers every value under that name: the repeated elements of XML, the items of a JSON array, the one value that is
// no array. A member that is absent or null has none.
func (n *Node) All(name string) []*Node {
	if n == nil || n.kind != Object {
		return nil
	}
	var all []*Node
	for i := range n.kids {
		if n.kids[i].name == name {
			all = append(all, n.kids[i].node.Items()...)
		}
	}
	return all
}

// Items answers an array's items; for another value the value itself, for null and nil none.
func (n *Node) Items() []*Node {
	switch n.Kind() {
	case Absent, Null:
		return nil
	case Array:
		items := make([]*Node, len(n.kids))
		for i := range n.kids {
			items[i] = &n.kids[i].node
		}
		return items
	default:
		return []*Node{n}
	}
}

// Members goes through an object's members in the order of the message; XML attributes come first, as "@name".
func (n *Node) Members() iter.Seq2[string, *Node] {
	return func(yield func(string, *Node) bool) {
		if n == nil || n.kind != Object {
			return
		}
		for i := range n.kids {
			if !yield(n.kids[i].name, &n.kids[i].node) {
				return
			}
		}
	}
}

// Len answers how many members or items the node has.
func (n *Node) Len() int {
	if n == nil {
		return 0
	}
	return len(n.kids)
}
