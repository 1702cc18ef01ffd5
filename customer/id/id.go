// Package id names what Onefold knows: records, customers, interactions, nodes, and pairs that wait for people. An id is the same in every
// process of an installation, and gives no customer number away.
package id

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// RecordID names what one source says about one party. It is a keyed hash of (source, key): the same in every
// process of an installation, and it gives no customer number away.
type RecordID [16]byte

// CustomerID names a customer master for ever: it is the birth id of one of its records.
type CustomerID [16]byte

// InteractionID names an interaction: a keyed hash of (source, key).
type InteractionID [16]byte

const (
	recordPrefix      = "rec_"
	customerPrefix    = "cus_"
	interactionPrefix = "int_"
	reviewPrefix      = "rev_"
)

// IDs makes ids from names with the installation's key.
type IDs struct {
	macs *sync.Pool // of hash.Hash: each has taken the key in, which is half of the work on a short name
}

// NewIDs returns the ids of the installation whose secret key is given; at least 16 bytes.
func NewIDs(key []byte) (IDs, error) {
	if len(key) < 16 {
		return IDs{}, fmt.Errorf("the installation key has %d bytes, at least 16 are needed", len(key))
	}
	return keyed(bytes.Clone(key)), nil
}

func keyed(key []byte) IDs {
	return IDs{macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Record answers the id of the record that source keeps under key.
func (ids IDs) Record(source, key string) RecordID { return RecordID(ids.hash('r', source, key)) }

// Interaction answers the id of the interaction that source keeps under key.
func (ids IDs) Interaction(source, key string) InteractionID {
	return InteractionID(ids.hash('i', source, key))
}

func (ids IDs) hash(kind byte, source, key string) (out [16]byte) {
	if ids.macs == nil {
		ids = keyed(nil)
	}
	mac, _ := ids.macs.Get().(hash.Hash)
	defer ids.macs.Put(mac)
	mac.Reset()
	var n [9]byte
	n[0] = kind
	binary.BigEndian.PutUint64(n[1:], uint64(len(source)))
	text := make([]byte, 0, 128)
	text = append(append(append(text, n[:]...), source...), key...)
	mac.Write(text)
	copy(out[:], mac.Sum(text[:0]))
	return out
}

// Birth answers the n-th customer id that a record can give birth to. Number 0 is the usual one; the others
// serve a record that was split from the customer which carries its own first id.
func (id RecordID) Birth(n int) CustomerID {
	if n == 0 {
		return CustomerID(id)
	}
	var b [24]byte
	copy(b[:], id[:])
	binary.BigEndian.PutUint64(b[16:], uint64(n))
	sum := sha256.Sum256(b[:])
	return CustomerID(sum[:16])
}

func (id RecordID) String() string      { return recordPrefix + text(id) }
func (id CustomerID) String() string    { return customerPrefix + text(id) }
func (id InteractionID) String() string { return interactionPrefix + text(id) }

// IsZero tells the id that names nothing.
func (id RecordID) IsZero() bool { return id == RecordID{} }

// IsZero tells the id that names nothing.
func (id CustomerID) IsZero() bool { return id == CustomerID{} }

// MarshalText writes the id as "rec_" and 26 letters and digits.
func (id RecordID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText writes the id as "cus_" and 26 letters and digits.
func (id CustomerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText writes the id as "int_" and 26 letters and digits.
func (id InteractionID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *RecordID) UnmarshalText(b []byte) error { return parse(b, recordPrefix, (*[16]byte)(id)) }

// UnmarshalText reads what MarshalText writes.
func (id *CustomerID) UnmarshalText(b []byte) error { return parse(b, customerPrefix, (*[16]byte)(id)) }

// UnmarshalText reads what MarshalText writes.
func (id *InteractionID) UnmarshalText(b []byte) error {
	return parse(b, interactionPrefix, (*[16]byte)(id))
}

func text(id [16]byte) string {
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:]))
}

func parse(b []byte, prefix string, out *[16]byte) error {
	s, ok := strings.CutPrefix(string(b), prefix)
	if !ok || len(s) != 26 {
		return fmt.Errorf("an id is %q and 26 letters and digits", prefix)
	}
	raw, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(s))
	if err != nil {
		return fmt.Errorf("an id is %q and 26 letters and digits: %w", prefix, err)
	}
	copy(out[:], raw)
	return nil
}

// NodeID names what records say, whoever says it: records of equal features are one node of the graph that is matched. It is a
// cryptographic hash: nobody can choose features that pass for another's.
type NodeID [16]byte

// IsZero tells the node of a record that is not live.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// ReviewID names a pair that may be one by its customers, the smaller id first.
type ReviewID struct{ A, B CustomerID }

// NewReviewID puts two customer ids in order.
func NewReviewID(a, b CustomerID) ReviewID {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return ReviewID{A: a, B: b}
}

func (id ReviewID) String() string { return reviewPrefix + text(id.A) + text(id.B) }

// MarshalText writes the id as "rev_" and 52 letters and digits.
func (id ReviewID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ReviewID) UnmarshalText(b []byte) error {
	s, ok := strings.CutPrefix(string(b), reviewPrefix)
	if !ok || len(s) != 52 {
		return errors.New("the id of a review is rev_ and 52 letters and digits")
	}
	return errors.Join(id.A.UnmarshalText([]byte(customerPrefix+s[:26])), id.B.UnmarshalText([]byte(customerPrefix+s[26:])))
}
