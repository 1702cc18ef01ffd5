package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// job is one replay. All but id and cancelled is guarded by mu.
type job struct {
	id        string
	cancelled chan struct{} // closed when it is to end

	mu     sync.Mutex
	now    event.Replay
	groups map[string]*event.ReplayGroup
	turned chan struct{} // closed and made anew when it is paused or resumed
}

func newJob(id string, w event.ReplayWish, at time.Time) *job {
	return &job{
		id: id, cancelled: make(chan struct{}), turned: make(chan struct{}), groups: map[string]*event.ReplayGroup{},
		now: event.Replay{ID: id, ReplayWish: w, State: event.ReplayRunning, StartedAt: at},
	}
}

// look answers the replay as it is now.
func (j *job) look() event.Replay {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.now
	out.Groups = make([]event.ReplayGroup, 0, len(j.groups))
	for _, g := range j.groups {
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b event.ReplayGroup) int {
		return cmp.Or(cmp.Compare(b.Done.Sum(), a.Done.Sum()), strings.Compare(a.Group, b.Group))
	})
	return out
}

func (j *job) steer(to event.ReplayState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.now.State.Ended() || j.now.State == to {
		return
	}
	switch to {
	case event.ReplayCancelled:
		select {
		case <-j.cancelled:
		default:
			close(j.cancelled)
		}
	case event.ReplayPaused, event.ReplayRunning:
		j.now.State = to
		close(j.turned)
		j.turned = make(chan struct{})
	}
}

func (j *job) finish(state event.ReplayState, reason string, at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now.State, j.now.Reason, j.now.EndedAt = state, reason, at
}

// waits says why the replay does not get on; empty when it does.
func (j *job) waits(reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now.Reason = reason
}

// other stands for all groups beyond MaxGroups.
const other = "other"

// count notes what became of one letter: an outcome, or why it was skipped.
func (j *job) count(l *event.DeadLetter, o event.Outcome, skipped, why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	name := l.Group()
	g := j.groups[name]
	if g == nil {
		fresh := event.ReplayGroup{Group: name, Source: l.Source, Reason: l.Reason, Path: event.Shape(l.Path), Mapping: l.Mapping}
		if len(j.groups) >= MaxGroups-1 {
			name, fresh = other, event.ReplayGroup{Group: other}
		}
		if g = j.groups[name]; g == nil {
			g = &fresh
			j.groups[name] = g
		}
	}
	for _, t := range []*event.ReplayTally{&j.now.Done, &g.Done} {
		if skipped != "" {
			t.Skipped++
		} else {
			t.Add(o)
		}
	}
	if why = cmp.Or(skipped, why); why != "" && g.Why == "" {
		g.Why, g.Example = why, l.ID
	}
}

// ready waits while the replay is paused; it answers false when it is to end.
func (j *job) ready(ctx context.Context) bool {
	for {
		j.mu.Lock()
		paused, turned := j.now.State == event.ReplayPaused, j.turned
		j.mu.Unlock()
		select {
		case <-ctx.Done():
			return false
		case <-j.cancelled:
			return false
		default:
		}
		if !paused {
			return true
		}
		select {
		case <-turned:
		case <-ctx.Done():
		case <-j.cancelled:
		}
	}
}

// sleep waits; it answers false when the replay is to end.
func (j *job) sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-j.cancelled:
		}
	}
	return j.ready(ctx)
}

// errStopped ends a replay between two transactions.
var errStopped = errors.New("stopped")

// run does one replay.
func (d *Desk) run(ctx context.Context, j *job) {
	log := d.c.Log.With(slog.String("replay", j.id), slog.Bool("dry", j.now.DryRun))
	log.InfoContext(ctx, "a replay of dead letters begins", slog.String("source", j.now.Source), slog.String("group", j.now.Group))
	err := d.replay(ctx, j)
	state, reason := event.ReplayDone, ""
	switch {
	case ctx.Err() != nil:
		state, reason = event.ReplayFailed, errEnded.Error()
	case errors.Is(err, errStopped):
		state, reason = event.ReplayCancelled, "it was cancelled: what was replayed by then is done"
	case err != nil:
		state, reason = event.ReplayFailed, "it failed inside, the service's log says why"
		log.ErrorContext(ctx, "a replay of dead letters fails", slog.Any("err", err))
	}
	j.finish(state, reason, d.c.Now())
	done := j.look().Done
	log.InfoContext(ctx, "a replay of dead letters ends", slog.String("state", string(state)), slog.Int64("letters", done.Sum()),
		slog.Int64("applied", done.Applied), slog.Int64("dead", done.Dead), slog.Int64("skipped", done.Skipped))
}

// replay takes up the letters that were there at the start, the oldest first, a page at a time and each message of a page once.
func (d *Desk) replay(ctx context.Context, j *job) error {
	q := j.now.Query()
	if q.Until.IsZero() || q.Until.After(j.now.StartedAt) {
		q.Until = j.now.StartedAt.Add(1) // what is laid down meanwhile is not meant
	}
	var total int64
	err := d.persist(ctx, j, func() (err error) { total, err = d.c.Letters.CountDeadLetters(ctx, q); return err })
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.now.Total = total
	j.mu.Unlock()
	q.Oldest, q.Bare, q.Limit = true, true, page
	for {
		var found []event.DeadLetter
		err := d.persist(ctx, j, func() (err error) { found, err = d.c.Letters.DeadLetters(ctx, q); return err })
		if err != nil || len(found) == 0 {
			return err
		}
		last := &found[len(found)-1]
		q.After, q.AfterAt = last.ID, last.At
		for _, of := range messages(found) {
			if err := d.message(ctx, j, of); err != nil {
				return err
			}
		}
	}
}

// messages puts letters of the same message together, in the order of the first, so that it is read once: at most so many as go into one
// transaction. What was edited is a message of its own.
func messages(letters []event.DeadLetter) (out [][]string) {
	at := map[string]int{}
	for i := range letters {
		l := &letters[i]
		if l.Edit != nil {
			out = append(out, []string{l.ID})
			continue
		}
		name := l.TopicID + "/" + l.MessageID()
		n, ok := at[name]
		if !ok || len(out[n]) >= together {
			n = len(out)
			at[name] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], l.ID)
	}
	return out
}

// persist tries again what may pass by itself, for as long as it takes; only the end of the replay gives up.
func (d *Desk) persist(ctx context.Context, j *job, do func() error) error {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := do()
		if err == nil || permanent(err) || errors.Is(err, event.ErrLetterChanged) {
			j.waits("")
			return err
		}
		j.waits(fmt.Sprintf("waiting, and trying again: %s", say(err)))
		if !j.sleep(ctx, wait) {
			return errStopped
		}
	}
}

func permanent(err error) bool {
	class := event.ClassOf(err)
	return class == event.Permanent || class == event.Poison
}

// say answers an error's text if it is one of ours, which hold nothing personal (invariant 9).
func say(err error) string {
	var e *event.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return "the store or an adapter does not answer"
}

// message replays letters of one message, read as they are now.
func (d *Desk) message(ctx context.Context, j *job, ids []string) error {
	if !j.ready(ctx) {
		return errStopped
	}
	begin := d.c.Now()
	var letters []event.DeadLetter
	err := d.persist(ctx, j, func() (err error) {
		letters, err = d.c.Letters.DeadLetters(ctx, event.LetterQuery{IDs: ids, Oldest: true, Limit: len(ids)})
		return err
	})
	if err != nil {
		return err
	}
	letters = slices.DeleteFunc(letters, func(l event.DeadLetter) bool {
		if l.Erased {
			j.count(&l, 0, "its bytes are gone with the erasure of a party that it named: discard it", "")
		}
		return l.Erased
	})
	if len(letters) == 0 {
		return nil
	}
	if err := d.apply(ctx, j, letters); err != nil {
		return err
	}
	pace := time.Duration(float64(len(letters)) / j.now.Rate * float64(time.Second))
	if !j.sleep(ctx, pace-d.c.Now().Sub(begin)) {
		return errStopped
	}
	return nil
}

// apply has a message read, and each letter take up its own part of it.
func (d *Desk) apply(ctx context.Context, j *job, letters []event.DeadLetter) error {
	var mapped *customer.Mapped
	err := d.persist(ctx, j, func() (err error) { mapped, err = d.c.Flow.Map(ctx, letters[0].Again()); return err })
	if err != nil && permanent(err) {
		for i := range letters {
			j.count(&letters[i], 0, say(err), "")
		}
		return nil
	}
	if err != nil {
		return err
	}
	b := customer.Batch{Dry: j.now.DryRun}
	for i := range letters {
		b.Messages = append(b.Messages, part(mapped, &letters[i]))
	}
	return d.absorb(ctx, j, b)
}

// absorb takes letters in, all in one transaction; where that fails for good, one by one, and then as dead once more.
func (d *Desk) absorb(ctx context.Context, j *job, b customer.Batch) error {
	var out *customer.Absorbed
	err := d.persist(ctx, j, func() (err error) {
		b.Now = d.c.Now()
		out, err = d.c.Flow.Replay(ctx, b)
		return err
	})
	one := &b.Messages[0]
	switch {
	case err == nil:
		for i, r := range out.Results {
			j.count(b.Messages[i].Letter, r.Outcome, "", died(&b.Messages[i], r))
		}
	case errors.Is(err, errStopped):
		return err
	case len(b.Messages) > 1:
		for i := range b.Messages {
			single := customer.Batch{Dry: b.Dry, Messages: b.Messages[i : i+1]}
			if err := d.absorb(ctx, j, single); err != nil {
				return err
			}
		}
	case errors.Is(err, event.ErrLetterChanged):
		j.count(one.Letter, 0, "it was changed meanwhile, or is gone", "")
	case len(one.Changes) > 0:
		names := one.Keys()
		one.Changes = nil
		one.Refusals = []event.Refusal{{Outcome: event.Dead, Keys: names, Err: event.Errorf(event.Permanent, "internal", "",
			"the message was mapped but could not be absorbed: %s; replay it when that is mended", say(err))}}
		return d.absorb(ctx, j, b)
	default:
		return err
	}
	return nil
}

// died says why a letter died again, without what the message says.
func died(m *customer.Mapped, r event.Result) string {
	if r.Outcome != event.Dead {
		return ""
	}
	for _, refused := range m.Refusals {
		if refused.Outcome == event.Dead {
			return refused.Err.Reason + ": " + refused.Err.Error()
		}
	}
	for _, p := range r.Parts {
		if p.Outcome == event.Dead {
			return p.Reason
		}
	}
	return ""
}
