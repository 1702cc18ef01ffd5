package customer

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/onefold/onefold/event"
)

// VersionKind says what a source's version is made of, and so how two of them compare.
type VersionKind string

// The kinds of version.
const (
	ByTime     VersionKind = "time"     // an instant; Value is RFC 3339 in UTC with nine decimals
	BySequence VersionKind = "sequence" // a growing number of any size; Value is its decimal digits
	ByPosition VersionKind = "position" // where the message stood on its topic, for sources that have none
)

// SourceVersion is a source's own word on which of two statements is the newer one. Two of them compare
// within one kind and scope only.
type SourceVersion struct {
	Kind  VersionKind `json:"kind"`
	Value string      `json:"value"`
	Scope string      `json:"scope,omitempty"`
}

// Version orders the changes of one record: source version, then the revision of the mapping that read it, then the
// hash of what it says. Two changes of the same version say the same.
type Version struct {
	Source  SourceVersion `json:"source"`
	Mapping int64         `json:"mapping,omitempty"`
	Hash    uint64        `json:"hash,omitempty,string"`
}

// TimeVersion makes a version of an instant.
func TimeVersion(t time.Time, scope string) SourceVersion {
	return SourceVersion{Kind: ByTime, Scope: scope, Value: t.UTC().Format("2006-01-02T15:04:05.000000000Z")}
}

// SequenceVersion makes a version of a growing, non-negative whole number written in decimal digits.
func SequenceVersion(digits, scope string) (SourceVersion, error) {
	trimmed := strings.TrimLeft(digits, "0")
	if digits == "" || len(digits) > 100 || strings.Trim(trimmed, "0123456789") != "" {
		return SourceVersion{}, fmt.Errorf("a sequence version is a non-negative whole number of at most 100 digits")
	}
	return SourceVersion{Kind: BySequence, Scope: scope, Value: trimmed}, nil
}

// PositionVersion makes a version of the place of a message.
func PositionVersion(m *event.Message) SourceVersion {
	return SourceVersion{Kind: ByPosition, Value: fmt.Sprintf("%s/%010d/%020d", m.TopicID, m.Partition, m.Offset)}
}

// scope names the set of versions that this one compares with.
func (v SourceVersion) scope() string { return string(v.Kind) + ":" + v.Scope }

// IsZero tells the version that is older than every other: "never".
func (v Version) IsZero() bool { return v.Source.Kind == "" }

// Compare orders two versions of one scope; between scopes the answer is fixed but means nothing. The zero version comes first.
func (v Version) Compare(w Version) int {
	if v.IsZero() || w.IsZero() {
		return cmp.Compare(b2i(!v.IsZero()), b2i(!w.IsZero()))
	}
	return cmp.Or(
		cmp.Compare(v.Source.scope(), w.Source.scope()),
		compareValue(v.Source, w.Source),
		cmp.Compare(v.Mapping, w.Mapping),
		cmp.Compare(v.Hash, w.Hash),
	)
}

func compareValue(a, b SourceVersion) int {
	if a.Kind == BySequence {
		return cmp.Or(cmp.Compare(len(a.Value), len(b.Value)), cmp.Compare(a.Value, b.Value))
	}
	return cmp.Compare(a.Value, b.Value)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
