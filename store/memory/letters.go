package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// stand refuses a delta that rests on dead letters which are not there any more as they were read (invariant 2).
func (s *Store) stand(d *customer.Delta) error {
	check := func(id string, revision int64) error {
		if l, there := s.dead[id]; revision != 0 && (!there || l.Revision != revision) {
			return fmt.Errorf("dead letter %s: %w", id, event.ErrLetterChanged)
		}
		return nil
	}
	for i := range d.Dead {
		if err := check(d.Dead[i].ID, d.Dead[i].Revision); err != nil {
			return err
		}
	}
	for _, settled := range d.Settled {
		if err := check(settled.ID, settled.Revision); err != nil {
			return err
		}
	}
	return nil
}

// lay lays a letter down. A message that comes once more, and is refused once more, does not take away what a person has made of it.
func (s *Store) lay(l event.DeadLetter) {
	old := s.dead[l.ID]
	if l.Revision == 0 && !l.Erased && old.Edit != nil {
		l.Edit = old.Edit
	}
	s.share(&l)
	l.Revision, l.Size = old.Revision+1, int64(len(l.Value))
	s.dead[l.ID] = l
}

// settle lets letters go, and writes down what people did to them.
func (s *Store) settle(settled []event.Settlement) {
	for _, one := range settled {
		delete(s.dead, one.ID)
		if one.Note != nil {
			s.notes = append(s.notes, *one.Note)
		}
	}
	if len(settled) > 0 {
		s.unname()
	}
}

// unname forgets what messages hold and name which have no letters any more; a note still needs the names.
func (s *Store) unname() {
	left, noted := map[string]bool{}, map[string]bool{}
	for _, l := range s.dead {
		left[l.MessageID()] = true
	}
	for i := range s.notes {
		noted[s.notes[i].MessageID()] = true
	}
	maps.DeleteFunc(s.contents, func(message string, _ []event.DeadLetter) bool { return !left[message] })
	for id, messages := range s.named {
		maps.DeleteFunc(messages, func(message string, _ bool) bool { return !left[message] && !noted[message] })
		if len(messages) == 0 {
			delete(s.named, id)
		}
	}
}

// blank takes out of the letters and notes of messages what could name a person.
func (s *Store) blank(messages map[string]bool) {
	for id, l := range s.dead {
		if messages[l.MessageID()] {
			l.Erase()
			l.Revision++
			s.dead[id] = l
		}
	}
	s.notes = slices.Clone(s.notes) // somebody may have been given them
	for i := range s.notes {
		if messages[s.notes[i].MessageID()] {
			s.notes[i].Why = ""
		}
	}
}

// share gives a letter the bytes that another of its message has already: they rest once, however many parts of a message are dead.
func (s *Store) share(l *event.DeadLetter) {
	if l.Key == nil && l.Value == nil && len(l.Headers) == 0 {
		return
	}
	message := l.MessageID()
	for _, o := range s.contents[message] {
		if equal(o.Key, l.Key) && equal(o.Value, l.Value) && slices.EqualFunc(o.Headers, l.Headers, func(a, b event.Header) bool {
			return a.Key == b.Key && equal(a.Value, b.Value)
		}) {
			l.Key, l.Value, l.Headers = o.Key, o.Value, o.Headers
			return
		}
	}
	s.contents[message] = append(s.contents[message], *l)
}

// equal tells null from empty.
func equal(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// name notes which records messages with dead letters name.
func (s *Store) name(messages []customer.Naming) {
	for _, n := range messages {
		for _, id := range n.Records {
			if s.named[id] == nil {
				s.named[id] = map[string]bool{}
			}
			s.named[id][n.Message] = true
		}
	}
}

// DeadLetters answers the dead letters that a query chooses, in its order.
func (s *Store) DeadLetters(_ context.Context, q event.LetterQuery) ([]event.DeadLetter, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	order := func(a, b event.DeadLetter) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(b.ID, a.ID)) }
	if q.Oldest {
		order = func(a, b event.DeadLetter) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID)) }
	}
	last, known := s.dead[q.After]
	if !q.AfterAt.IsZero() {
		last, known = event.DeadLetter{ID: q.After, At: q.AfterAt}, true
	}
	if q.After != "" && !known {
		return nil, fmt.Errorf("dead letter %s: %w", q.After, customer.ErrNotFound)
	}
	var out []event.DeadLetter
	for _, l := range s.dead {
		if !q.Chooses(&l) || q.After != "" && order(last, l) >= 0 {
			continue
		}
		if q.Bare {
			l.Key, l.Value, l.Headers = nil, nil, nil
			if l.Edit != nil {
				bare := *l.Edit
				bare.Value, bare.Headers, l.Edit = nil, nil, &bare
			}
		}
		out = append(out, l)
	}
	slices.SortFunc(out, order)
	return out[:within(q.Limit, len(out))], s.alive()
}

// CountDeadLetters answers how many dead letters a query chooses, whatever its After and Limit are.
func (s *Store) CountDeadLetters(_ context.Context, q event.LetterQuery) (n int64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.dead {
		if q.Chooses(&l) {
			n++
		}
	}
	return n, s.alive()
}

// DeadGroups answers the groups of the letters that a query chooses, the largest first, whatever its After and Oldest are.
func (s *Store) DeadGroups(_ context.Context, q event.LetterQuery) ([]event.LetterGroup, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	groups := map[string]event.LetterGroup{}
	for _, l := range s.dead {
		if !q.Chooses(&l) {
			continue
		}
		g := groups[l.Group()]
		g.Tell(&l)
		g.Count++
		groups[g.ID] = g
	}
	out := slices.SortedFunc(maps.Values(groups), func(a, b event.LetterGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.ID, b.ID))
	})
	return out[:within(q.Limit, len(out))], s.alive()
}

// DeadLetter answers one dead letter; customer.ErrNotFound if there is none of that id.
func (s *Store) DeadLetter(_ context.Context, id string) (*event.DeadLetter, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, known := s.dead[id]
	if !known {
		return nil, fmt.Errorf("dead letter %s: %w", id, customer.ErrNotFound)
	}
	return &l, s.alive()
}

// DropDeadLetters lets go of the dead letters that were laid down before a time, the oldest first, at most limit, and of the notes of what
// people did to letters by then. It answers how many letters.
func (s *Store) DropDeadLetters(_ context.Context, before time.Time, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []event.DeadLetter
	for _, l := range s.dead {
		if l.At.Before(before) {
			old = append(old, l)
		}
	}
	slices.SortFunc(old, func(a, b event.DeadLetter) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID)) })
	old = old[:max(0, min(limit, len(old)))]
	for _, l := range old {
		delete(s.dead, l.ID)
	}
	s.notes = slices.DeleteFunc(slices.Clone(s.notes), func(n event.LetterNote) bool { return n.At.Before(before) })
	s.unname()
	return len(old), s.alive()
}

// LetterNotes answers what people did to letters that have gone, the newest first, at most limit.
func (s *Store) LetterNotes(_ context.Context, limit int) ([]event.LetterNote, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := slices.Clone(s.notes)
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b event.LetterNote) int { return b.At.Compare(a.At) })
	return out[:within(limit, len(out))], s.alive()
}
