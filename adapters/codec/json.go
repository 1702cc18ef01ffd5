package codec

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/onefold/onefold/event"
)

// JSON reads one JSON text as RFC 8259 has it, and strictly: no trailing data, no member twice in one object (RFC 7493
// section 2.3), no invalid UTF-8, no unpaired surrogates. A byte order mark in front is passed over. Numbers keep their
// literal, whatever their size (invariant 8).
//
// Errors are *event.Error of class poison with the reason "decode" or "too_large", the path where it is known, and a text
// with byte offset and line.
func JSON(b []byte, lim Limits) (*Node, error) {
	if err := lim.checkBytes(b); err != nil {
		return nil, err
	}
	if err := checkUnicode(b, "JSON"); err != nil {
		return nil, err
	}
	body := bytes.TrimPrefix(b, bom)
	r := jsonReader{lim: lim, whole: b, bom: len(b) - len(body), src: string(body), open: make([]frame, 0, 16)}
	r.dec.Reset(bytes.NewBuffer(body)) // a bytes.Buffer is read in place, and not written to
	return r.read()
}

// jsonReader builds the tree from the bottom: children wait on one stack until their container closes, and are then
// copied into a slice of just their number.
type jsonReader struct {
	dec   jsontext.Decoder
	lim   Limits
	whole []byte // with the byte order mark, for positions
	bom   int
	src   string // all texts without escapes are parts of it
	ready []child
	open  []frame
	name  string // of the member whose value comes next
	nodes int
}

type frame struct {
	kind Kind
	name string // of the container in its own parent
	from int    // where its children begin on the stack
}

func (r *jsonReader) read() (*Node, error) {
	for {
		kind := r.dec.PeekKind()
		if err := r.step(kind); err != nil {
			return nil, err
		}
		if len(r.open) == 0 {
			break
		}
	}
	if _, err := r.dec.ReadToken(); err != io.EOF { //nolint:errorlint // the decoder promises io.EOF itself
		if err == nil {
			err = errTrailing
		}
		return nil, r.fault(err)
	}
	root := r.ready[0].node
	return &root, nil
}

// step reads one token.
func (r *jsonReader) step(kind jsontext.Kind) error {
	switch kind {
	case '{', '[':
		return r.begin(kind)
	case '}', ']':
		if _, err := r.dec.ReadToken(); err != nil {
			return r.fault(err)
		}
		r.end()
		return nil
	}
	raw, err := r.dec.ReadValue() // a scalar or a name: cheaper than a token, and with its bytes
	if err != nil {
		return r.fault(err)
	}
	end := int(r.dec.InputOffset())
	text := r.src[end-len(raw) : end]
	switch kind {
	case '"':
		if text = text[1 : len(text)-1]; strings.IndexByte(text, '\\') >= 0 {
			unquoted, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				return r.fault(err)
			}
			text = string(unquoted)
		}
		if r.expectsName() {
			r.name = text
			return nil
		}
		return r.add(Node{kind: String, text: text})
	case '0':
		return r.add(Node{kind: Number, text: text})
	case 'n':
		return r.add(Node{kind: Null})
	default:
		return r.add(Node{kind: Bool, text: text})
	}
}

// expectsName tells whether the string just read is a member's name.
func (r *jsonReader) expectsName() bool {
	if len(r.open) == 0 || r.open[len(r.open)-1].kind != Object {
		return false
	}
	_, n := r.dec.StackIndex(r.dec.StackDepth())
	return n%2 == 1
}

func (r *jsonReader) begin(kind jsontext.Kind) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return r.fault(err)
	}
	if len(r.open) == r.lim.Depth { // invariant 10
		return r.over("more than %d levels within each other, which is the limit", r.lim.Depth)
	}
	k := Array
	if kind == '{' {
		k = Object
	}
	r.open = append(r.open, frame{kind: k, name: r.name, from: len(r.ready)})
	r.name = ""
	return r.count()
}

func (r *jsonReader) end() {
	f := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	kids := append([]child(nil), r.ready[f.from:]...)
	r.ready = append(r.ready[:f.from], child{name: f.name, node: Node{kind: f.kind, kids: kids}})
}

func (r *jsonReader) add(n Node) error {
	r.ready = append(r.ready, child{name: r.name, node: n})
	r.name = ""
	return r.count()
}

func (r *jsonReader) count() error {
	if r.nodes++; r.nodes > r.lim.Nodes { // invariant 10
		return r.over("more than %d values, which is the limit", r.lim.Nodes)
	}
	return nil
}

func (r *jsonReader) over(format string, limit int) error {
	// The path of something so deep or so long is of no use to anybody, and as long as the message.
	return event.Errorf(event.Poison, tooLarge, "", "%s: "+format, place(r.whole, r.bom+int(r.dec.InputOffset())), limit)
}

var errTrailing = errors.New("trailing data")

// fault puts a decoder's error in our words: its own text may quote the message (invariant 9).
func (r *jsonReader) fault(err error) error {
	var syntax *jsontext.SyntacticError
	path, offset := "", int(r.dec.InputOffset())
	if errors.As(err, &syntax) {
		path, offset = pointerPath(string(syntax.JSONPointer)), int(syntax.ByteOffset)
	}
	return event.Errorf(event.Poison, decode, path, "%s: %s", place(r.whole, r.bom+offset), jsonSentence(err, r.src, offset))
}

func jsonSentence(err error, src string, offset int) string {
	switch {
	case errors.Is(err, errTrailing):
		return "the JSON value has ended, but more follows: a message holds one value"
	case errors.Is(err, io.EOF) && strings.Trim(src, " \t\r\n") == "":
		return "the value is empty, a JSON value is expected"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "the JSON ends before it is complete: the message was cut off on its way"
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "a member of this name stands here twice, and which one is meant cannot be told: the sender must send it once"
	case errors.Is(err, jsontext.ErrNonStringName):
		return "an object's member must begin with a name in double quotes"
	case offset < len(src) && src[offset] >= 0x80 && strings.Contains(err.Error(), "UTF-8"):
		return "not valid UTF-8: the sender must encode the message as UTF-8"
	case strings.Contains(err.Error(), "surrogate"), strings.Contains(err.Error(), "escape sequence"):
		return "an escape in a string is broken or half of a surrogate pair: the sender cut a character in two"
	default:
		return "not valid JSON"
	}
}
