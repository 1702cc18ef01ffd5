// Package event holds the words that every room of Onefold shares: messages and the positions they
// stand at, the outcomes they end in, dead letters, diagnostics and error classes. It imports the
// standard library only, and knows nothing of Kafka, of mappings or of customers.
package event

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Message is one event as an outside system wrote it: raw bytes with the place where they stood.
// Value nil is a Kafka null (a tombstone) and differs from an empty value; the same holds for Key.
// A Message is read-only for everyone who is handed one.
type Message struct {
	Source    string // name of the configured source, "shop-eu"
	Topic     string
	TopicID   string // Kafka's topic id as 32 hex digits; empty where unknown
	Partition int32
	Offset    int64
	Epoch     int32 // leader epoch of the batch that the message came in; -1 where unknown
	Time      time.Time
	Key       []byte
	Value     []byte
	Headers   []Header

	// Next is where reading goes on behind this message, where that is not Offset + 1: markers of transactions, records of
	// aborted ones and what compaction has removed hold no event. Epoch is then of the last batch before Next.
	Next int64
	// Blank tells that there is no event here at all: nothing to map and nothing to count, only Next.
	Blank bool

	// Refused tells that the transport could not read what stands here, and why. Value is then what lies in the log, of however
	// many records. No source maps it: it is kept as a dead letter.
	Refused *Error
}

// Header is one record header. Keys may repeat; values may be nil.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Header answers the value of the first header with that name, compared without regard to case as
// HTTP does, and whether there is one.
func (m *Message) Header(name string) (string, bool) {
	for _, h := range m.Headers {
		if strings.EqualFold(h.Key, name) {
			return string(h.Value), true
		}
	}
	return "", false
}

// After answers the offset at which reading goes on behind the message.
func (m *Message) After() int64 {
	if m.Next > m.Offset {
		return m.Next
	}
	return m.Offset + 1
}

// ID names the message for people and logs: source, topic, partition and offset. It holds no personal data.
func (m *Message) ID() string {
	return m.Source + "/" + m.Topic + "/" + strconv.Itoa(int(m.Partition)) + "/" + strconv.FormatInt(m.Offset, 10)
}

// Partition names one partition of one source's topic.
type Partition struct {
	Source    string `json:"source"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

// Position is how far a source has taken effect in the store: the next offset to read. TopicID and Epoch
// let a re-created topic and a truncated log be noticed instead of read over.
type Position struct {
	Partition
	TopicID string `json:"topicId,omitempty"`
	Next    int64  `json:"next"`
	Epoch   int32  `json:"epoch"` // leader epoch of the last batch read; -1 where none was
	Owner   int64  `json:"owner"` // fence: grows with each claim of the partition
}

// Pause says that nothing of a source is to be read until somebody lets it go on: at whose wish, and since when.
type Pause struct {
	Source string    `json:"source"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
}

// Advance moves a position in the transaction of its messages' effect (invariant 1). The store refuses
// it with ErrFenced unless Owner is still the position's owner, and with ErrAlready unless the position still
// stands at Expect, so that a message takes effect at most once (invariant 2).
type Advance struct {
	Position       // Next, Epoch: where to move to
	Expect   int64 // where the position must stand now
}

// Intent is what a process has told before it did it, so that the next one knows what it was about when it was killed.
type Intent struct {
	Partition
	// Mark is the offset before which messages may have been tried. -1 where whoever tried them has come to its end.
	Mark int64 `json:"mark"`
	// Trying is the message that was tried alone last, and Tries how often that began without being taken back.
	Trying int64 `json:"trying"`
	Tries  int   `json:"tries"`
}

// TimeFits tells whether an instant can be written as RFC 3339, and so as JSON: in UTC it is in the years 1 to 9999.
func TimeFits(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1 && year <= 9999
}

// ClampTime answers the nearest instant that can be written, in UTC. A broker passes on any time that a producer makes up; the zero
// time, which stands for none, is the earliest.
func ClampTime(t time.Time) time.Time {
	switch year := t.UTC().Year(); {
	case year < 1:
		return time.Time{}
	case year > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	}
	return t.UTC()
}

type contextKey struct{}

// NewContext carries a message beside the frame that a stream library puts it in: a frame cannot tell null from empty.
func NewContext(ctx context.Context, m *Message) context.Context {
	return context.WithValue(ctx, contextKey{}, m)
}

// FromContext answers the message that NewContext put there, nil if none.
func FromContext(ctx context.Context) *Message {
	m, _ := ctx.Value(contextKey{}).(*Message)
	return m
}
