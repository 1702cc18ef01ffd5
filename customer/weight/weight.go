// Package weight holds evidence: log2 of likelihood ratios, in bits, in fixed point, so that a sum does not depend on the order in
// which it is added up.
package weight

import (
	"fmt"
	"math"
	"strconv"
)

// Weight is evidence in bits, in steps of 1/1024.
type Weight int32

// Bits is one bit of evidence.
const Bits Weight = 1024

// Float answers the weight in bits, for people and charts.
func (w Weight) Float() float64 { return float64(w) / float64(Bits) }

// MarshalJSON writes the weight in bits.
func (w Weight) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, w.Float(), 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes; every weight is exact in both.
func (w *Weight) UnmarshalJSON(b []byte) error {
	bits, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.Abs(bits) > math.MaxInt32/float64(Bits) {
		return fmt.Errorf("a weight is a number of bits, such as 12.5")
	}
	*w = Weight(math.Round(bits * float64(Bits)))
	return nil
}

// Sum is many weights added up, in the same unit.
type Sum int64

// Float answers the sum in bits.
func (s Sum) Float() float64 { return float64(s) / float64(Bits) }

// MarshalJSON writes the sum in bits.
func (s Sum) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, s.Float(), 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sum) UnmarshalJSON(b []byte) error {
	bits, err := strconv.ParseFloat(string(b), 64)
	*s = Sum(math.Round(bits * float64(Bits)))
	return err
}
