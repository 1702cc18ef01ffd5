package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// What stands in a column: ids as 16 bytes, a key as one number, bodies packed (body.go) and, where they are rare, as JSON.

// keyNumber folds a key's type and hash into one number.
func keyNumber(k customer.Key) int64 {
	h := uint64(14695981039346656037) // FNV-1a, as hash/fnv has it, without an allocation a key
	for i := range len(k.Type) {
		h = (h ^ uint64(k.Type[i])) * 1099511628211
	}
	for shift := 56; shift >= 0; shift -= 8 {
		h = (h ^ k.Hash>>shift&0xff) * 1099511628211
	}
	return int64(h)
}

// packKeys writes key numbers, 8 bytes each.
func packKeys(keys []int64) []byte {
	out := make([]byte, 0, 8*len(keys))
	for _, k := range keys {
		out = binary.BigEndian.AppendUint64(out, uint64(k))
	}
	return out
}

func unpackKeys(b []byte) []int64 {
	out := make([]int64, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		out = append(out, int64(binary.BigEndian.Uint64(b)))
	}
	return out
}

// list writes the arguments of an array statement: a JSON array of rows for json_each. SQLite takes it apart again, so that a
// statement is one round trip whatever the number of rows.
type list struct {
	b []byte
	n int
}

func (l *list) row() {
	if l.n > 0 {
		l.b = append(l.b, ']', ',')
	}
	l.b = append(l.b, '[')
	l.n++
}

func (l *list) sep() {
	if l.b[len(l.b)-1] != '[' {
		l.b = append(l.b, ',')
	}
}

func (l *list) id(id [16]byte) *list {
	l.sep()
	l.b = append(l.b, '"')
	l.b = hex.AppendEncode(l.b, id[:])
	l.b = append(l.b, '"')
	return l
}

func (l *list) bytes(b []byte) *list {
	l.sep()
	l.b = append(l.b, '"')
	l.b = hex.AppendEncode(l.b, b)
	l.b = append(l.b, '"')
	return l
}

func (l *list) num(n int64) *list {
	l.sep()
	l.b = strconv.AppendInt(l.b, n, 10)
	return l
}

// text writes a text that needs no escaping: a code of ours.
func (l *list) text(s string) *list {
	l.sep()
	l.b = strconv.AppendQuote(l.b, s)
	return l
}

func (l *list) String() string {
	if l.n == 0 {
		return "[]"
	}
	return "[" + string(l.b) + "]]"
}

// ids writes an array of ids alone.
func ids[T ~[16]byte](of []T) string {
	b := make([]byte, 0, 36*len(of)+2)
	b = append(b, '[')
	for i, id := range of {
		if i > 0 {
			b = append(b, ',')
		}
		raw := [16]byte(id)
		b = append(b, '"')
		b = hex.AppendEncode(b, raw[:])
		b = append(b, '"')
	}
	return string(append(b, ']'))
}

// numbers writes an array of numbers alone.
func numbers(of []int64) string {
	b := append(make([]byte, 0, 21*len(of)+2), '[')
	for i, n := range of {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(append(b, ']'))
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func encode(v any) ([]byte, error) { return json.Marshal(v) }

var errBody = errors.New("a row cannot be read")

// decode reads a body. Its error holds nothing of the body (invariant 9).
func decode[T any](b []byte) (*T, error) {
	out := new(T)
	if json.Unmarshal(b, out) != nil {
		return nil, fmt.Errorf("%w as %T", errBody, *out)
	}
	return out, nil
}

// letter is the body of a dead letter: all but what its message holds.
type letter struct {
	event.DeadLetter
	Sent instant `json:"time"`
	Laid instant `json:"at"`
}

// content is what a message with dead letters holds: its value, which stands in a column of its own, as it came, and all else. Bytes stay
// bytes, whatever they are, and null apart from empty.
type content struct {
	Key     []byte   `json:"key"`
	Headers []header `json:"headers,omitempty"`
	Value   bool     `json:"value"` // there is one
}

// instant is a time in numbers: seconds since 1970, nanoseconds, and the seconds that its zone is ahead of UTC. A message may have any
// time, also one that RFC 3339 cannot say, and its dead letter must be written all the same.
type instant [3]int64

func instantOf(t time.Time) instant {
	_, ahead := t.Zone()
	return instant{t.Unix(), int64(t.Nanosecond()), int64(ahead)}
}

func (i instant) time() time.Time {
	t := time.Unix(i[0], i[1])
	if i[2] == 0 {
		return t.UTC()
	}
	return t.In(time.FixedZone("", int(i[2])))
}

type header struct{ Key, Value []byte }

func encodeLetter(l *event.DeadLetter) ([]byte, error) {
	out := letter{DeadLetter: *l, Sent: instantOf(l.Time), Laid: instantOf(l.At)}
	out.Key, out.Value, out.Headers = nil, nil, nil
	if l.Edit != nil {
		bare := *l.Edit
		bare.Value, bare.Headers = nil, nil
		out.Edit = &bare
	}
	return encode(&out)
}

func decodeLetter(body []byte) (event.DeadLetter, error) {
	in, err := decode[letter](body)
	if err != nil {
		return event.DeadLetter{}, err
	}
	l := in.DeadLetter
	l.Time, l.At = in.Sent.time(), in.Laid.time()
	return l, nil
}

// encodeContent writes what a letter has of its message, with a digest that tells it from that of any other message, and from what another
// message at the same place held. A letter of none has no digest.
func encodeContent(l *event.DeadLetter) (digest, head []byte, err error) {
	if l.Key == nil && l.Value == nil && len(l.Headers) == 0 {
		return nil, nil, nil
	}
	out := content{Key: l.Key, Value: l.Value != nil}
	for _, h := range l.Headers {
		out.Headers = append(out.Headers, header{[]byte(h.Key), h.Value})
	}
	if head, err = encode(&out); err != nil {
		return nil, nil, err
	}
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(l.MessageID()), []byte(l.TopicID), head} {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		sum.Write(part)
	}
	sum.Write(l.Value)
	return sum.Sum(nil), head, nil
}

// decodeContent gives a letter what its message holds.
func decodeContent(l *event.DeadLetter, head, value []byte) error {
	in, err := decode[content](head)
	if err != nil {
		return err
	}
	l.Key, l.Value, l.Headers = in.Key, nil, nil
	if in.Value {
		l.Value = append([]byte{}, value...)
	}
	for _, h := range in.Headers {
		l.Headers = append(l.Headers, event.Header{Key: string(h.Key), Value: h.Value})
	}
	return nil
}
