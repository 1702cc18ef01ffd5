package event

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DeadLetter is a message, or a part of one, that could not be applied: its bytes, where it stood and why. Key, Value, Headers and
// the words of an edit may hold personal data; the other fields never do (invariant 9).
type DeadLetter struct {
	ID        string    `json:"id"` // from the place, the part, and its number among parts of one name: the same at every attempt
	Source    string    `json:"source"`
	Topic     string    `json:"topic"`
	TopicID   string    `json:"topicId,omitempty"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Part      string    `json:"part,omitempty"`
	Time      time.Time `json:"time"` // the message's own
	Class     Class     `json:"class"`
	Reason    string    `json:"reason"`            // code: decode schema mapping validation too_large plugin killed internal
	Path      string    `json:"path,omitempty"`    // where in the value: "customer.id"
	Message   string    `json:"message"`           // what is wrong and how to mend it, for a person
	Mapping   string    `json:"mapping,omitempty"` // adapter and revision that read it last: "shopify@3"
	Attempts  int       `json:"attempts"`
	At        time.Time `json:"at"`             // when it was laid down first: a replay does not move it
	Tried     time.Time `json:"tried,omitzero"` // when it was replayed last; zero where it never was
	Key       []byte    `json:"key"`
	Value     []byte    `json:"value"`
	Headers   []Header  `json:"headers,omitempty"`
	Erased    bool      `json:"erased,omitempty"` // what could name a person was taken out, with the erasure of one
	Edit      *Edit     `json:"edit,omitempty"`   // what a person put in the place of value and headers, which stay beside it
	Size      int64     `json:"-"`                // bytes of the value, also where a query left them out; set by whoever reads it
	// Revision grows with each writing of the letter, from 1. A letter that is written with one takes the place of that revision and of
	// no other; with 0 it takes the place of whatever is there.
	Revision int64 `json:"-"`
}

// Edit is what a person made of a dead letter's message, to be replayed in its place. It goes through the same mapping and the same
// checks as the message itself.
type Edit struct {
	Value   []byte    `json:"value"`
	Headers []Header  `json:"headers,omitempty"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// ErrLetterChanged refuses a transaction that rests on a dead letter which is not there any more as it was read.
var ErrLetterChanged = errors.New("the dead letter was changed, or is gone, since it was read")

// NewDeadLetter makes the letter of a refused part. Its id is made of the place of the message, the part, and a number that tells parts of
// one name apart (how many were refused before it; of sealed changes below 0): the same each time that the message comes.
func NewDeadLetter(m *Message, r *Refusal, number int) DeadLetter {
	name := fmt.Appendf(nil, "%q|%q|%s|%d|%d|%q", m.Source, m.Topic, m.TopicID, m.Partition, m.Offset, r.Part)
	if number != 0 {
		name = fmt.Appendf(name, "|%d", number)
	}
	sum := sha256.Sum256(name)
	return DeadLetter{
		ID:     "dead_" + hex.EncodeToString(sum[:12]),
		Source: m.Source, Topic: m.Topic, TopicID: m.TopicID, Partition: m.Partition, Offset: m.Offset,
		Part: r.Part, Time: m.Time, Class: r.Err.Class, Reason: r.Err.Reason, Path: r.Err.Path, Message: r.Err.Error(),
		Key: m.Key, Value: m.Value, Headers: m.Headers,
	}
}

// MessageID names the message of the letter as Message.ID does.
func (d *DeadLetter) MessageID() string {
	return (&Message{Source: d.Source, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset}).ID()
}

// Erase takes out what comes from the message or from people: its bytes, their edit, and what was said about them. The place and the
// reason remain, so that counts still agree.
func (d *DeadLetter) Erase() {
	d.Key, d.Value, d.Headers, d.Path, d.Edit, d.Size = nil, nil, nil, "", nil, 0
	d.Message = "the message named a party that was erased, so its bytes are gone; there is nothing to mend"
	d.Erased = true
}

// Again answers the message as a replay maps it: at its own place, so that it takes effect once (invariant 2), with the bytes of the
// edit if there is one.
func (d *DeadLetter) Again() *Message {
	m := &Message{
		Source: d.Source, Topic: d.Topic, TopicID: d.TopicID, Partition: d.Partition, Offset: d.Offset, Epoch: -1, Time: d.Time,
		Key: d.Key, Value: d.Value, Headers: d.Headers,
	}
	if d.Edit != nil {
		m.Value, m.Headers = d.Edit.Value, d.Edit.Headers
	}
	return m
}

// Died answers the letter after a replay that was refused as fresh says: the same letter, with its own bytes and its own date.
func (d *DeadLetter) Died(fresh *DeadLetter) DeadLetter {
	out := *d
	if fresh.Attempts > d.Attempts { // an edit lays it down again as it was, and is no attempt
		out.Class, out.Reason, out.Path, out.Message, out.Mapping = fresh.Class, fresh.Reason, fresh.Path, fresh.Message, fresh.Mapping
		out.Attempts, out.Tried = fresh.Attempts, fresh.At
	}
	return out
}

// Settlement lets a dead letter go in the transaction of its effect, or of a person's decision. ErrLetterChanged unless the letter still
// has that revision, so that it takes effect once, and as it was read (invariant 2).
type Settlement struct {
	ID       string
	Revision int64
	Note     *LetterNote // what is written down of it; nil for nothing
	Sweep    bool        // its bytes leave the store's files as those of an erasure do
}

// Settle answers how a letter goes whose replay has taken effect. What people did to it is written down.
func (d *DeadLetter) Settle(now time.Time) Settlement {
	s := Settlement{ID: d.ID, Revision: d.Revision}
	if d.Edit != nil {
		s.Note = d.Note("edited", d.Edit.By, d.Edit.Reason, now)
	}
	return s
}

// LetterNote is what is kept of a dead letter that a person has edited or discarded, after it has gone. Why is the person's own words;
// with the erasure of a party that the message named it is blanked.
type LetterNote struct {
	At        time.Time `json:"at"`
	Action    string    `json:"action"` // edited: replayed with its edit, which has taken effect; discarded
	Letter    string    `json:"letter"`
	Source    string    `json:"source"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Part      string    `json:"part,omitempty"`
	Reason    string    `json:"reason"` // code of why it was dead
	By        string    `json:"by"`
	Why       string    `json:"why,omitempty"`
}

// MessageID names the message of the letter as Message.ID does.
func (n *LetterNote) MessageID() string {
	return (&Message{Source: n.Source, Topic: n.Topic, Partition: n.Partition, Offset: n.Offset}).ID()
}

// Note writes down what somebody did to a letter.
func (d *DeadLetter) Note(action, by, why string, now time.Time) *LetterNote {
	return &LetterNote{
		At: now.UTC(), Action: action, Letter: d.ID, Source: d.Source, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, Part: d.Part,
		Reason: d.Reason, By: by, Why: why,
	}
}

// Group names the letters that have one cause: source, class and reason, the path without places in lists, and the mapping that read them.
func (d *DeadLetter) Group() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q|%q|%q|%q|%q", d.Source, d.Class, d.Reason, Shape(d.Path), d.Mapping))
	return "grp_" + hex.EncodeToString(sum[:8])
}

// Shape answers a path without the places in lists: "lines[3].sku" is "lines[].sku".
func Shape(path string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(path, '[')
		if open < 0 {
			b.WriteString(path)
			return b.String()
		}
		b.WriteString(path[:open+1])
		path = strings.TrimLeft(path[open+1:], "0123456789")
	}
}

// LetterGroup is the dead letters of one cause.
type LetterGroup struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Class   Class     `json:"class"`
	Reason  string    `json:"reason"`
	Path    string    `json:"path,omitempty"` // without places in lists
	Mapping string    `json:"mapping,omitempty"`
	Count   int64     `json:"count"`
	First   time.Time `json:"first"` // when the oldest was laid down
	Last    time.Time `json:"last"`
	Example string    `json:"example"` // id of the newest
}

// Tell gives the group what a letter of it says, of the newest that it is told, and its dates. It does not count it.
func (g *LetterGroup) Tell(d *DeadLetter) {
	if g.Example == "" || d.At.Before(g.First) {
		g.First = d.At
	}
	if g.Example == "" || d.At.After(g.Last) || d.At.Equal(g.Last) && d.ID > g.Example {
		g.ID, g.Source, g.Class, g.Reason, g.Path, g.Mapping = d.Group(), d.Source, d.Class, d.Reason, Shape(d.Path), d.Mapping
		g.Last, g.Example = d.At, d.ID
	}
}

// LetterQuery chooses dead letters. What is left empty does not restrict.
type LetterQuery struct {
	Source  string
	Group   string
	Message string    // those of one message, as DeadLetter.MessageID names it
	Since   time.Time // laid down then or later
	Until   time.Time // laid down before
	IDs     []string  // one of these
	After   string    // id of the letter to begin behind, in the order asked for; customer.ErrNotFound if that one is not there
	AfterAt time.Time // when the letter After was laid down, where it need not be there any more
	Oldest  bool      // the oldest first, not the newest
	Bare    bool      // without bytes, those of edits too: there may be megabytes in each
	Limit   int       // below one answers nothing
}

// Chooses tells whether a letter is among those asked for; After and Limit do not matter.
func (q *LetterQuery) Chooses(d *DeadLetter) bool {
	return (q.Source == "" || q.Source == d.Source) && (q.Group == "" || q.Group == d.Group()) &&
		(q.Message == "" || q.Message == d.MessageID()) && (q.IDs == nil || slices.Contains(q.IDs, d.ID)) &&
		(q.Since.IsZero() || !d.At.Before(q.Since)) && (q.Until.IsZero() || d.At.Before(q.Until))
}
