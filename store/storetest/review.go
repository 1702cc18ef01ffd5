package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
)

// Reviews are the pairs that wait for people, and what these have decided.
type Reviews interface {
	Reviews(ctx context.Context, q customer.ReviewQuery) ([]customer.Possible, error)
	Review(ctx context.Context, id customer.ReviewID) (*customer.Possible, error)
	Hold(ctx context.Context, id customer.ReviewID, h customer.Hold) error
	Release(ctx context.Context, now time.Time) error
	ReviewCounts(ctx context.Context) (customer.ReviewCounts, error)
	DecisionLog(ctx context.Context, after string, limit int) ([]customer.Decision, error)
}

func testWaiting(t *testing.T, s Store) {
	testReviews(t, s)
	testHolds(t, s)
	testDecisionLog(t, s)
}

func possible(a, b byte, priority int) customer.Possible {
	x, y := id(a).Birth(0), id(b).Birth(0)
	return customer.Possible{
		ID: customer.NewReviewID(x, y), A: customer.Side{Member: customer.Member{Record: id(a)}, Customer: x},
		B: customer.Side{Member: customer.Member{Record: id(b)}, Customer: y}, Weight: -17, Threshold: 12 * customer.Bits,
		Records: 3, Interactions: 50, Priority: priority, Since: at, State: customer.Waiting,
	}
}

func left(component byte, pairs ...customer.Possible) customer.PossibleSet {
	return customer.PossibleSet{Component: id(component), Pairs: pairs}
}

func wantReviews(t *testing.T, s Store, title string, q customer.ReviewQuery, want ...customer.Possible) {
	t.Helper()
	got, err := s.Reviews(t.Context(), q)
	if err != nil {
		t.Fatal(title, err)
	}
	same(t, title, want, got)
}

func testReviews(t *testing.T, s Store) {
	first, second, third, other := possible(1, 2, 700), possible(1, 3, 700), possible(2, 3, 9), possible(7, 8, 800)
	apply(t, s, customer.Delta{Possible: []customer.PossibleSet{left(1, third, first, second), left(7, other), left(5)}})
	all := customer.ReviewQuery{Limit: 9}
	wantReviews(t, s, "the most urgent first", all, other, first, second, third)
	wantReviews(t, s, "a page", customer.ReviewQuery{After: first.ID, Limit: 1}, second)
	wantReviews(t, s, "the next", customer.ReviewQuery{After: second.ID, Limit: 5}, third)
	wantReviews(t, s, "none", customer.ReviewQuery{Limit: 0})
	if _, err := s.Reviews(t.Context(), customer.ReviewQuery{After: possible(9, 8, 1).ID, Limit: 1}); !errors.Is(err, customer.ErrNotFound) {
		t.Errorf("behind one that is not there: %v", err)
	}
	if p, err := s.Review(t.Context(), second.ID); err != nil {
		t.Error(err)
	} else {
		same(t, "one", &second, p)
	}
	counts, err := s.ReviewCounts(t.Context())
	same(t, "counts", customer.ReviewCounts{Pairs: 4, Oldest: at}, counts)
	if err != nil {
		t.Error(err)
	}
	// A set takes the place of its component's; a pair may move between components; since when it waits stays.
	moved := first
	moved.Priority, moved.Weight, moved.Since = 900, 5, at.Add(time.Hour)
	apply(t, s, customer.Delta{Possible: []customer.PossibleSet{left(1), left(2, moved)}})
	moved.Since = at
	wantReviews(t, s, "replaced", all, moved, other)
	apply(t, s, customer.Delta{Possible: []customer.PossibleSet{left(1)}})
	wantReviews(t, s, "a component that it has left has no say", all, moved, other)
	apply(t, s, customer.Delta{Possible: []customer.PossibleSet{left(2), left(7)}})
	wantReviews(t, s, "settled", all)
	if counts, err := s.ReviewCounts(t.Context()); err != nil || counts.Pairs != 0 || !counts.Oldest.IsZero() {
		t.Errorf("%+v, %v", counts, err)
	}
	if _, err := s.Review(t.Context(), first.ID); !errors.Is(err, customer.ErrNotFound) {
		t.Errorf("one that waits no more: %v", err)
	}
}

func testHolds(t *testing.T, s Store) {
	p, q := possible(1, 2, 700), possible(1, 3, 600)
	apply(t, s, customer.Delta{Possible: []customer.PossibleSet{left(1, p, q)}})
	hold := func(state customer.ReviewState, by string, now, until time.Duration) error {
		return s.Hold(t.Context(), p.ID, customer.Hold{State: state, By: by, Now: at.Add(now), Until: at.Add(until)})
	}
	steps := []struct {
		title string
		err   error
		want  error
	}{
		{"kim claims it", hold(customer.Claimed, "kim", 0, time.Minute), nil},
		{"kim claims it again", hold(customer.Claimed, "kim", time.Second, 2*time.Minute), nil},
		{"lee may not", hold(customer.Claimed, "lee", time.Minute, time.Hour), customer.ErrHeld},
		{"lee may when it has ended", hold(customer.Later, "lee", 2*time.Minute, time.Hour), nil},
	}
	for _, step := range steps {
		if !errors.Is(step.err, step.want) {
			t.Errorf("%s: %v", step.title, step.err)
		}
	}
	held := p
	held.State, held.By, held.Until = customer.Later, "lee", at.Add(time.Hour)
	wantReviews(t, s, "held", customer.ReviewQuery{State: customer.Later, Limit: 9}, held)
	wantReviews(t, s, "free", customer.ReviewQuery{State: customer.Waiting, Limit: 9}, q)
	again := p
	again.Priority = 650
	apply(t, s, customer.Delta{Possible: []customer.PossibleSet{left(1, again, q)}})
	held.Priority = 650
	wantReviews(t, s, "nothing new: it stays put off", customer.ReviewQuery{Limit: 1}, held)
	again.Weight++
	apply(t, s, customer.Delta{Possible: []customer.PossibleSet{left(1, again, q)}})
	wantReviews(t, s, "news: it waits again", customer.ReviewQuery{Limit: 1}, again)
	if err := hold(customer.Claimed, "kim", 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{time.Minute - 1, time.Minute} {
		if err := s.Release(t.Context(), at.Add(d)); err != nil {
			t.Fatal(err)
		}
		got, err := s.Review(t.Context(), p.ID)
		if err != nil || (got.State == customer.Waiting) != (d == time.Minute) {
			t.Errorf("after %v: %+v, %v", d, got, err)
		}
	}
	if err := errors.Join(hold(customer.Claimed, "kim", 0, time.Minute), hold(customer.Waiting, "kim", 0, 0)); err != nil {
		t.Fatal(err)
	}
	wantReviews(t, s, "given back", customer.ReviewQuery{Limit: 1}, again)
	nobody := customer.Hold{State: customer.Claimed, By: "kim", Until: at}
	if err := s.Hold(t.Context(), possible(8, 9, 1).ID, nobody); !errors.Is(err, customer.ErrNotFound) {
		t.Errorf("of one that does not wait: %v", err)
	}
}

func testDecisionLog(t *testing.T, s Store) {
	var all []customer.Decision
	for i, name := range []string{"d1", "d2", "d3"} {
		all = append(all, customer.Decision{
			ID: name, Kind: customer.Same, Pair: customer.NewPair(id(1), id(byte(i+2))), Author: "kim", Reason: "Zoë", At: at, Undone: i == 1,
		})
	}
	apply(t, s, customer.Delta{Decisions: all})
	for after, want := range map[string][]customer.Decision{"": all[:2], "d2": all[2:], "d3": nil} {
		got, err := s.DecisionLog(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "behind "+after, want, got)
	}
}
