package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
)

// left is a pair that waits for a person, and the component that has left it.
type left struct {
	customer.Possible
	component customer.RecordID
}

// leave puts a set of pairs in the place of what was left in its component.
func (s *Store) leave(sets []customer.PossibleSet) {
	stays := map[customer.ReviewID]bool{}
	for _, set := range sets {
		for i := range set.Pairs {
			stays[set.Pairs[i].ID] = true
		}
	}
	for _, set := range sets {
		for id := range s.leaves[set.Component] {
			if !stays[id] {
				delete(s.reviews, id)
			}
		}
		delete(s.leaves, set.Component)
	}
	for _, set := range sets {
		for _, p := range set.Pairs {
			if old, known := s.reviews[p.ID]; known {
				p.Since = old.Since
				if old.State != customer.Later || old.Weight == p.Weight { // else there is news
					p.State, p.By, p.Until = old.State, old.By, old.Until
				}
				delete(s.leaves[old.component], p.ID)
			}
			s.reviews[p.ID] = left{p, set.Component}
			if s.leaves[set.Component] == nil {
				s.leaves[set.Component] = map[customer.ReviewID]bool{}
			}
			s.leaves[set.Component][p.ID] = true
		}
	}
}

// urgent orders pairs, the most urgent first.
func urgent(a, b customer.Possible) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), bytes.Compare(a.ID.A[:], b.ID.A[:]), bytes.Compare(a.ID.B[:], b.ID.B[:]))
}

// Reviews answers the pairs that wait for people, the most urgent first; customer.ErrNotFound if the one to begin behind is not there.
func (s *Store) Reviews(_ context.Context, q customer.ReviewQuery) ([]customer.Possible, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	last, known := s.reviews[q.After]
	if q.After != (customer.ReviewID{}) && !known {
		return nil, fmt.Errorf("review %s: %w", q.After, customer.ErrNotFound)
	}
	var out []customer.Possible
	for _, p := range s.reviews {
		if (q.State == "" || p.State == q.State) && (!known || urgent(last.Possible, p.Possible) < 0) {
			out = append(out, p.Possible)
		}
	}
	slices.SortFunc(out, urgent)
	return out[:within(q.Limit, len(out))], s.alive()
}

// Review answers one pair; customer.ErrNotFound if it does not wait.
func (s *Store) Review(_ context.Context, id customer.ReviewID) (*customer.Possible, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, known := s.reviews[id]
	if !known {
		return nil, fmt.Errorf("review %s: %w", id, customer.ErrNotFound)
	}
	return &p.Possible, s.alive()
}

// Hold notes who looks at a pair, or puts it off; customer.ErrHeld if somebody else does.
func (s *Store) Hold(_ context.Context, id customer.ReviewID, h customer.Hold) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.reviews[id]
	switch {
	case !known:
		return fmt.Errorf("review %s: %w", id, customer.ErrNotFound)
	case p.State != customer.Waiting && p.By != h.By && p.Until.After(h.Now):
		return fmt.Errorf("review %s: %w", id, customer.ErrHeld)
	}
	if p.State, p.By, p.Until = h.State, h.By, h.Until; h.State == customer.Waiting {
		p.By, p.Until = "", time.Time{}
	}
	s.reviews[id] = p
	return s.alive()
}

// Release lets the pairs wait again that were held until a time, or before.
func (s *Store) Release(_ context.Context, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.reviews {
		if p.State != customer.Waiting && !p.Until.After(now) {
			p.State, p.By, p.Until = customer.Waiting, "", time.Time{}
			s.reviews[id] = p
		}
	}
	return s.alive()
}

// ReviewCounts answers how many pairs wait, in whatever state, and since when the oldest does.
func (s *Store) ReviewCounts(context.Context) (customer.ReviewCounts, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := customer.ReviewCounts{Pairs: int64(len(s.reviews))}
	for _, p := range s.reviews {
		if out.Oldest.IsZero() || p.Since.Before(out.Oldest) {
			out.Oldest = p.Since
		}
	}
	return out, s.alive()
}

// DecisionLog answers the decisions behind an id, undone ones too, in the order of their ids.
func (s *Store) DecisionLog(_ context.Context, after string, limit int) ([]customer.Decision, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []customer.Decision
	for _, d := range s.decisions {
		if d.ID > after {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b customer.Decision) int { return strings.Compare(a.ID, b.ID) })
	return out[:within(limit, len(out))], s.alive()
}
