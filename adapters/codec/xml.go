package codec

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding/charmap"

	"github.com/onefold/onefold/event"
)

// XML reads one XML 1.0 document into the node of its root element. The root's own name is the member "#name", which
// no attribute or element can be called.
//
// An element is an Object. Its attributes are members named "@" and their local name, its child elements members by local
// name, in the order of the document; an element whose namespace differs from its parent's has it as member "@xmlns", the
// root always if it has one. Text answers its character data. Prefixes mean nothing, comments and processing instructions
// are passed over.
//
// A document type declaration is refused, and so is every entity but the five of XML itself: no message needs them, and
// they are how a small file becomes a large one. Encodings: UTF-8, US-ASCII, ISO-8859-1, windows-1252.
//
// Errors are *event.Error of class poison with the reason "decode" or "too_large", the path of the element, and a text
// with byte offset (in UTF-8) and line.
func XML(b []byte, lim Limits) (*Node, error) {
	if err := lim.checkBytes(b); err != nil {
		return nil, err
	}
	if err := checkUnicode(b, "XML"); err != nil {
		return nil, err
	}
	r := xmlReader{lim: lim, dec: xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, bom)))}
	r.dec.CharsetReader = charset
	return r.read()
}

// xmlReader builds the tree as jsonReader does: what is complete waits on a stack for its parent to close.
type xmlReader struct {
	dec   *xml.Decoder
	lim   Limits
	ready []child
	open  []element
	root  *Node
	begun bool // something was read: no XML declaration may follow
	nodes int
}

type element struct {
	name  string
	space string
	from  int // where its children begin on the stack
	text  []byte
}

func (r *xmlReader) read() (*Node, error) {
	for {
		token, err := r.dec.Token()
		if err == io.EOF { //nolint:errorlint // the decoder promises io.EOF itself
			break
		}
		if err != nil {
			return nil, r.fault(err)
		}
		if err := r.step(token); err != nil {
			return nil, err
		}
	}
	if r.root == nil {
		return nil, r.refuse("the document has no element: was the message cut off on its way?")
	}
	return r.root, nil
}

func (r *xmlReader) step(token xml.Token) error {
	defer func() { r.begun = true }()
	switch t := token.(type) {
	case xml.StartElement:
		return r.begin(t)
	case xml.EndElement:
		r.end()
	case xml.CharData:
		if len(r.open) > 0 {
			e := &r.open[len(r.open)-1]
			e.text = append(e.text, t...)
		} else if len(bytes.Trim(t, xmlBlanks)) > 0 {
			return r.refuse("there is text outside of the document's root element")
		}
	case xml.ProcInst:
		if r.begun && t.Target == "xml" {
			return r.refuse("an XML declaration stands in the middle: a message holds one document")
		}
	case xml.Directive:
		return r.refuse("a document type declaration is refused, and with it every entity that it could declare: " +
			"the sender must leave out the DOCTYPE")
	}
	return nil
}

const xmlBlanks = " \t\r\n" // XML 1.0 section 2.3

func (r *xmlReader) begin(t xml.StartElement) error {
	if r.root != nil {
		return r.refuse("a second root element begins: a message holds one document")
	}
	if len(r.open) == r.lim.Depth { // invariant 10
		return r.over("more than %d levels within each other, which is the limit", r.lim.Depth)
	}
	outer := ""
	if len(r.open) > 0 {
		outer = r.open[len(r.open)-1].space
	}
	r.open = append(r.open, element{name: t.Name.Local, space: t.Name.Space, from: len(r.ready)})
	if len(r.open) == 1 {
		r.attribute("#name", t.Name.Local)
	}
	if t.Name.Space != outer {
		r.attribute("@xmlns", t.Name.Space)
	}
	if err := r.count(1 + len(t.Attr)); err != nil {
		return err
	}
	return r.attributes(t.Attr)
}

// attributes takes an element's attributes, none of them twice (XML 1.0 section 3.1; encoding/xml does not look).
func (r *xmlReader) attributes(attrs []xml.Attr) error {
	var seen map[xml.Name]bool
	if len(attrs) > 1 {
		seen = make(map[xml.Name]bool, len(attrs))
	}
	for _, a := range attrs {
		if seen[a.Name] {
			return r.refuse("an attribute stands here twice, and which one is meant cannot be told")
		}
		if seen != nil {
			seen[a.Name] = true
		}
		if a.Name.Space != "xmlns" && a.Name != (xml.Name{Local: "xmlns"}) {
			r.attribute("@"+a.Name.Local, a.Value)
		}
	}
	return nil
}

func (r *xmlReader) attribute(name, value string) {
	r.ready = append(r.ready, child{name: name, node: Node{kind: String, text: value}})
}

func (r *xmlReader) end() {
	e := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	n := Node{kind: Object, text: string(bytes.Trim(e.text, xmlBlanks)), kids: append([]child(nil), r.ready[e.from:]...)}
	if len(r.open) == 0 {
		r.root = &n
		return
	}
	r.ready = append(r.ready[:e.from], child{name: e.name, node: n})
}

func (r *xmlReader) count(n int) error {
	if r.nodes += n; r.nodes > r.lim.Nodes { // invariant 10
		return r.over("more than %d values, which is the limit", r.lim.Nodes)
	}
	return nil
}

func (r *xmlReader) place() string {
	line, _ := r.dec.InputPos()
	return fmt.Sprintf("byte %d, line %d", r.dec.InputOffset(), line)
}

func (r *xmlReader) over(format string, limit int) error {
	return event.Errorf(event.Poison, tooLarge, "", "%s: "+format, r.place(), limit)
}

func (r *xmlReader) refuse(sentence string) error {
	var path []string
	for i := range r.open {
		if i > 0 { // paths begin below the root
			path = append(path, safeName(r.open[i].name))
		}
	}
	return event.Errorf(event.Poison, decode, strings.Join(path, "."), "%s: %s", r.place(), sentence)
}

// fault puts a decoder's error in our words: its own text may quote the message (invariant 9).
func (r *xmlReader) fault(err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, errCharset):
		return r.refuse("the encoding that the document declares is not one of UTF-8, US-ASCII, ISO-8859-1, windows-1252")
	case strings.Contains(text, "unexpected EOF"):
		return r.refuse("the XML ends before it is complete: the message was cut off on its way")
	case strings.Contains(text, "character entity"):
		return r.refuse("an entity is refused unless it is one of XML's own five or a character's number: " +
			"the sender must write the character itself")
	case strings.Contains(text, "UTF-8"), strings.Contains(text, "invalid XML name"):
		return r.refuse("not valid UTF-8, or a name that XML does not allow: the sender must encode the message as it declares")
	case strings.Contains(text, "illegal character code"):
		return r.refuse("a character that XML does not allow, such as NUL: the sender must leave it out")
	case strings.Contains(text, "closed by"), strings.Contains(text, "unexpected end element"):
		return r.refuse("an element is closed by another one's end tag")
	case strings.Contains(text, "unsupported version"):
		return r.refuse("the document declares an XML version other than 1.0")
	default:
		return r.refuse("not well-formed XML")
	}
}

var errCharset = errors.New("unsupported encoding")

func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "us-ascii", "ascii", "iso-8859-1", "iso8859-1", "latin1":
		return charmap.ISO8859_1.NewDecoder().Reader(in), nil
	case "windows-1252", "cp1252":
		return charmap.Windows1252.NewDecoder().Reader(in), nil
	default:
		return nil, errCharset
	}
}
