package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersion is one kind of request.
type apiVersion struct{ key, version int16 }

// form is how a request of one kind lies in its bytes. kmsg knows that and keeps it to itself, so it is found out: a field that
// is set differently shows in what kmsg writes.
//
// It is of a struct, or of one element of a list. In flexible versions lengths are varints, and structs end in tags (KIP-482).
type form struct {
	fields []field
	tagged bool // tags follow
	bare   bool // of which none may pass: some hold counts of their own
}

type field struct {
	kind  kind
	width int  // of fixed: bytes
	of    form // of a list: an element; of an option: the struct
}

type kind uint8

const (
	fixed  kind = iota
	text        // a length, two bytes where not flexible, and as many bytes
	blob        // the same with four bytes
	list        // a count, and as many elements
	option      // a byte that says whether there is a struct, and the struct
)

// probe finds out a form.
type probe struct {
	req      kmsg.Request
	flexible bool
}

func newForm(of apiVersion) *form {
	req := kmsg.RequestForKey(of.key)
	full(reflect.ValueOf(req).Elem())
	req.SetVersion(of.version)
	p := probe{req, req.IsFlexible()}
	f := p.form(reflect.ValueOf(req).Elem())
	return &f
}

var tagsType = reflect.TypeFor[kmsg.Tags]()

// full puts one element into every list and a struct into every option; texts are empty, all else is as by default.
func full(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			if v.Field(i).Type() != tagsType {
				full(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		full(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if full(v.Index(0)); v.Type().Elem().Kind() == reflect.Uint8 {
			v.Set(v.Slice(0, 0))
		}
	}
}

// form finds out about a struct, or about an element that is none.
func (p *probe) form(v reflect.Value) (s form) {
	if v.Kind() != reflect.Struct {
		f, _ := p.field(v)
		return form{fields: []field{f}}
	}
	s.tagged = p.flexible
	for i := range v.NumField() {
		version := i == 0 && v.Addr().Interface() == any(p.req) // is no field of the request itself
		if v.Field(i).Type() == tagsType || version {
			continue
		}
		f, at := p.field(v.Field(i))
		if at == here {
			s.fields = append(s.fields, f)
		}
		s.bare = s.bare || at == within
	}
	return s
}

// where tells what a version makes of a field.
type where uint8

const (
	nowhere where = iota
	here          // in its place
	apart         // among the tags
	within        // among the tags, with counts of its own
)

func (p *probe) field(v reflect.Value) (field, where) {
	switch t := v.Type(); {
	case t.Kind() == reflect.Struct: // kmsg writes none in its place
		return field{}, within
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		if s := p.sizes(v, reflect.Zero(t), v); s[0] == s[1] {
			return field{}, nowhere
		}
		return field{kind: option, of: p.form(v.Elem())}, here
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		s := p.sizes(v, v.Slice(0, 0), v, reflect.AppendSlice(v, v))
		switch {
		case s[0] == s[1]:
			return field{}, nowhere
		case s[1]-s[0] != s[2]-s[1]: // a tag's number and size come with the first
			return field{}, within
		}
		return field{kind: list, of: p.form(v.Index(0))}, here
	case t.Kind() == reflect.String:
		return field{kind: text}, p.bytes(v, reflect.Zero(t), reflect.Zero(t), reflect.ValueOf("x"))
	case t.Kind() == reflect.Pointer:
		x := reflect.New(t.Elem())
		x.Elem().SetString("x")
		return field{kind: text}, p.bytes(v, reflect.Zero(t), reflect.New(t.Elem()), x)
	case t.Kind() == reflect.Slice:
		return field{kind: blob}, p.bytes(v, reflect.Zero(t), v, reflect.ValueOf([]byte("x")))
	}
	return p.number(v)
}

// bytes tells where a text or a blob is, by its sizes as null, as empty and with one byte.
func (p *probe) bytes(v, null, empty, one reflect.Value) where {
	switch s := p.sizes(v, null, empty, one); {
	case s[0] == s[2]:
		return nowhere
	case s[0] == s[1] && s[1]+1 == s[2]:
		return here
	default:
		return apart
	}
}

// number finds out about a field of fixed width.
func (p *probe) number(v reflect.Value) (field, where) {
	before, old := p.req.AppendTo(nil), reflect.New(v.Type()).Elem()
	old.Set(v)
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.CanInt():
		v.SetInt(v.Int() ^ 1)
	case v.CanUint():
		v.SetUint(v.Uint() ^ 1)
	case v.CanFloat():
		v.SetFloat(v.Float() + 1)
	default:
		v.Index(0).SetUint(v.Index(0).Uint() ^ 1) // a UUID
	}
	after := p.req.AppendTo(nil)
	v.Set(old)
	switch {
	case bytes.Equal(before, after):
		return field{}, nowhere
	case len(before) != len(after):
		return field{}, apart
	}
	return field{kind: fixed, width: int(v.Type().Size())}, here
}

// sizes answers how long the request is with each of some values in a field.
func (p *probe) sizes(v reflect.Value, values ...reflect.Value) []int {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	out := make([]int, len(values))
	for i, value := range values {
		v.Set(value.Convert(v.Type()))
		out[i] = len(p.req.AppendTo(nil))
		v.Set(old)
	}
	return out
}

// maxElements is how many elements of lists and tags a request may hold (invariant 10): each costs memory before it is read.
const maxElements = 1 << 16

var (
	errCut  = errors.New("it ends too early")
	errMany = fmt.Errorf("its lists and tags hold more than %d elements", maxElements)
	errTags = errors.New("it has tags that only a broker sends")
)

// walk goes through a request along its form, and reads nothing but lengths and counts.
type walk struct {
	kbin.Reader
	flexible bool
	elements int64
	fault    error
}

func (w *walk) form(s *form) {
	for i := 0; i < len(s.fields) && w.well(); i++ {
		w.field(&s.fields[i])
	}
	if s.tagged && w.well() {
		w.tags(s.bare)
	}
}

func (w *walk) well() bool { return w.Ok() && w.fault == nil }

func (w *walk) field(f *field) {
	n := int64(f.width)
	switch {
	case f.kind == fixed:
	case f.kind == option:
		if w.Int8() != -1 {
			w.form(&f.of)
		}
		return
	case f.kind == list && w.flexible:
		n = int64(int32(w.Uvarint())) - 1
	case w.flexible:
		n = int64(w.Uvarint()) - 1
	case f.kind == text:
		n = int64(w.Int16())
	default:
		n = int64(w.Int32())
	}
	if f.kind != list {
		w.Span(int(max(n, 0)))
		return
	}
	for n = w.count(n); n > 0 && w.well(); n-- {
		w.form(&f.of)
	}
}

// count answers how many elements follow: as many as were announced if that can be true, else none.
func (w *walk) count(n int64) int64 {
	if n <= 0 {
		return 0
	}
	if n > int64(len(w.Src)) {
		w.fault = errCut
		return 0
	}
	if w.elements += n; w.elements > maxElements {
		w.fault = errMany
		return 0
	}
	return n
}

func (w *walk) tags(bare bool) {
	n := w.count(int64(w.Uvarint()))
	if n > 0 && bare {
		w.fault = errTags
	}
	for ; n > 0 && w.well(); n-- {
		w.Uvarint()
		w.Span(int(w.Uvarint()))
	}
}

// Offsets of the fields of a record batch, magic 2 (KIP-98); magic is at the same place in the older formats.
const (
	batchHeader   = 61
	batchOverhead = 12 // first offset and length, which the length does not count
	atLength      = 8
	atEpoch       = 12
	atMagic       = 16
	atCRC         = 17
	atAttributes  = 21
	atLastDelta   = 23
	atMaxTime     = 35
	atProducer    = 43
	atSequence    = 53
	atCount       = 57
)

// batchHead is the head of one record batch, read without looking inside.
type batchHead struct {
	first, last int64
	epoch       int32 // of the leader that wrote it; -1 in formats before magic 2
	size        int   // bytes, the whole
	records     int32
	magic       byte
}

// nextBatch reads the head of the batch that b begins with; false where b holds no whole batch, which is how an answer that
// was cut at its byte limit ends.
func nextBatch(b []byte) (batchHead, bool) {
	if len(b) <= atMagic {
		return batchHead{}, false
	}
	first := int64(binary.BigEndian.Uint64(b))
	size := int64(int32(binary.BigEndian.Uint32(b[atLength:]))) + batchOverhead
	if size <= atMagic || size > int64(len(b)) {
		return batchHead{}, false
	}
	h := batchHead{first: first, last: first, epoch: -1, size: int(size), records: 1, magic: b[atMagic]}
	if h.magic != 2 {
		return h, true
	}
	if size < batchHeader {
		return batchHead{}, false
	}
	h.epoch = int32(binary.BigEndian.Uint32(b[atEpoch:]))
	h.last = first + int64(int32(binary.BigEndian.Uint32(b[atLastDelta:])))
	h.records = int32(binary.BigEndian.Uint32(b[atCount:]))
	return h, true
}

// intact tells whether the bytes of a batch are those that were written, by its checksum (CRC-32C).
func (h batchHead) intact(b []byte) bool {
	return h.magic == 2 && crc32.Checksum(b[atAttributes:h.size], crc32.MakeTable(crc32.Castagnoli)) == binary.BigEndian.Uint32(b[atCRC:])
}

// aborted tells whether the batch, the first of an answer, is of a transaction that the broker says was aborted. So does
// ProcessFetchPartition, but only of what it can read: a batch that nobody was to see must not be told of because it cannot be read.
func (h batchHead) aborted(b []byte, transactions []kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
	if h.magic != 2 || b[atAttributes+1]&transactional == 0 {
		return false
	}
	producer := int64(binary.BigEndian.Uint64(b[atProducer:]))
	return slices.ContainsFunc(transactions, func(t kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
		return t.ProducerID == producer && t.FirstOffset <= h.first
	})
}

const transactional = 1 << 4 // of the attributes
