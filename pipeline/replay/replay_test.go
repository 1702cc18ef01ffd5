package replay_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/customer/merge"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/pipeline/replay"
	"github.com/onefold/onefold/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a desk over a real registry and store, with an adapter whose messages are parts "name=key" between commas: a part without a
// key is refused until the adapter is mended.
type house struct {
	*replay.Desk
	store    *memory.Store
	registry *customer.Registry
	mapped   atomic.Int64
	mended   atomic.Bool
	sick     atomic.Bool // what is read may pass by itself
	broken   atomic.Bool // absorbing fails for good
	handled  map[string]int
	hold     chan struct{} // each reading takes one, where it is there
	ingest   *pipeline.Ingest
	clock    atomic.Int64
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func (h *house) now() time.Time { return noon.Add(time.Duration(h.clock.Add(1)) * time.Second) }

func (h *house) Map(_ context.Context, m *event.Message) ([]customer.Change, error) {
	h.mapped.Add(1)
	if h.hold != nil {
		<-h.hold
	}
	if h.sick.Load() {
		return nil, event.Errorf(event.Retryable, "away", "", "the schema registry is away")
	}
	text := string(m.Value)
	if strings.HasPrefix(text, "garbage") && !h.mended.Load() {
		return nil, event.Errorf(event.Poison, "decode", "", "this is no message")
	}
	if text == "skip" {
		return nil, event.Ignore("test-mode", "a test")
	}
	var out []customer.Change
	var refused event.Refusals
	for i, part := range strings.Split(strings.TrimPrefix(text, "garbage "), ",") {
		name, key, _ := strings.Cut(part, "=")
		place := fmt.Sprintf("Ntry[%d]", i)
		if key == "" && h.mended.Load() {
			key = "mended-" + name
		}
		if key == "" || key == "!" {
			refused = append(refused, event.Refusal{Part: place, Outcome: event.Dead, Keys: []string{name}, Err: event.Errorf(event.Permanent, "validation", place+".key", "a key is missing")})
			continue
		}
		out = append(out, customer.Change{Key: key, Op: customer.Patch, Part: place, Party: []customer.Statement{
			{Path: customer.Path{Name: "givenName"}, State: customer.Set, Value: customer.Text(name)},
		}})
	}
	if len(refused) > 0 {
		return out, refused
	}
	return out, nil
}

func (h *house) Absorb(ctx context.Context, b customer.Batch) (*customer.Absorbed, error) {
	if h.broken.Load() {
		for i := range b.Messages {
			if len(b.Messages[i].Changes) > 0 {
				return nil, event.Errorf(event.Permanent, "internal", "", "this cannot be absorbed")
			}
		}
	}
	return h.registry.Absorb(ctx, b)
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{store: memory.New(), handled: map[string]int{}}
	key, err := h.store.InstallationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := customer.NewIDs(key)
	if err != nil {
		t.Fatal(err)
	}
	h.registry = customer.NewRegistry(h.store, match.New(), merge.New(merge.Policy{}), ids)
	h.ingest = pipeline.NewIngest(pipeline.IngestConfig{
		Sources: []pipeline.Source{{Name: "bank", Topic: "bank.t", Adapter: "iso", Source: h, Mapping: 2}}, Positions: pipeline.NewPositions(h.store), Now: h.now,
	}, nil, h, nil, nil)
	n := 0
	h.Desk = replay.New(replay.Config{
		Flow: h.ingest, Letters: h.store, Store: h.store, Now: h.now, NewID: func() string { n++; return "rep_" + strconv.Itoa(n) },
		Handled: func(source, action string) { h.handled[source+" "+action]++ },
	})
	return h
}

func (h *house) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return stop
}

// receive takes messages in for the first time, as the flow does.
func (h *house) receive(t *testing.T, values ...string) {
	t.Helper()
	for i, value := range values {
		m := &event.Message{Source: "bank", Topic: "bank.t", TopicID: "x", Offset: int64(i), Epoch: 1, Time: noon, Value: []byte(value)}
		mapped, err := h.ingest.Map(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		mapped.Adapter = "iso@1"
		for j := range mapped.Changes { // read by the mapping before
			mapped.Changes[j].Version.Mapping = 1
		}
		if _, err := h.registry.Absorb(t.Context(), customer.Batch{Now: h.now(), Messages: []customer.Mapped{*mapped}}); err != nil {
			t.Fatal(err)
		}
	}
	h.mapped.Store(0)
}

func (h *house) letters(t *testing.T) []event.DeadLetter {
	t.Helper()
	all, err := h.store.DeadLetters(t.Context(), event.LetterQuery{Oldest: true, Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (h *house) live(t *testing.T) int64 {
	t.Helper()
	c, err := h.store.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Records
}

// replay does one replay to its end.
func (h *house) replay(t *testing.T, w event.ReplayWish) event.Replay {
	t.Helper()
	w.Author = "kim"
	r, err := h.Start(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return h.await(t, r.ID, event.ReplayState.Ended)
}

func (h *house) await(t *testing.T, id string, is func(event.ReplayState) bool) event.Replay {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		r, err := h.Replay(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if is(r.State) {
			return r
		}
		if time.Now().After(late) {
			t.Fatalf("the replay does not get on: %+v", r)
		}
	}
}

// A letter is taken up by the part that was dead, once: the others of its message had their outcome.
func TestAPartIsTakenUpAlone(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	h.receive(t, "ann=1,bob,cid,dan=4", "garbage eve=5,fay=6", "gus=7")
	before := h.letters(t)
	if len(before) != 3 || h.live(t) != 3 {
		t.Fatalf("%d letters and %d records", len(before), h.live(t))
	}
	dry := h.replay(t, event.ReplayWish{All: true, DryRun: true})
	if dry.Done != (event.ReplayTally{Dead: 3}) {
		t.Errorf("a dry run of what is not mended: %+v", dry)
	}
	h.mended.Store(true)
	h.mapped.Store(0)
	dry = h.replay(t, event.ReplayWish{All: true, DryRun: true})
	if dry.Done != (event.ReplayTally{Applied: 3}) || dry.State != event.ReplayDone || dry.Total != 3 || len(dry.Groups) != 2 {
		t.Errorf("a dry run of what is mended: %+v", dry)
	}
	if diff := cmp.Diff(before, h.letters(t)); diff != "" || h.live(t) != 3 {
		t.Errorf("a dry run changes something: %s", diff)
	}
	if n := h.mapped.Load(); n != 2 {
		t.Errorf("two messages are read %d times", n)
	}
	r := h.replay(t, event.ReplayWish{Letter: before[0].ID})
	if r.Done != (event.ReplayTally{Applied: 1}) || len(h.letters(t)) != 2 || h.live(t) != 4 {
		t.Errorf("one letter: %+v, %d letters, %d records", r, len(h.letters(t)), h.live(t))
	}
	r = h.replay(t, event.ReplayWish{All: true})
	if r.Done != (event.ReplayTally{Applied: 2}) || len(h.letters(t)) != 0 || h.live(t) != 7 {
		t.Errorf("the rest: %+v, %d letters, %d records", r, len(h.letters(t)), h.live(t))
	}
	if r = h.replay(t, event.ReplayWish{All: true}); r.Done.Sum() != 0 || r.State != event.ReplayDone {
		t.Errorf("nothing is left: %+v", r)
	}
}

// A letter that dies again is the same letter, with its date and its bytes, one attempt more, and why it is dead now.
func TestALetterThatDiesAgainStaysOne(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	h.receive(t, "ann=1,bob,cid=!")
	before := h.letters(t)
	h.mended.Store(true)
	for attempt := 2; attempt < 5; attempt++ {
		r := h.replay(t, event.ReplayWish{Source: "bank"})
		after := h.letters(t)
		want := event.ReplayTally{Dead: 1}
		if attempt == 2 {
			want.Applied = 1
		}
		if r.Done != want || len(after) != 1 {
			t.Fatalf("attempt %d: %+v, %d letters", attempt, r, len(after))
		}
		got := after[0]
		if got.Attempts != attempt || got.Mapping != "iso@2" || !got.At.Equal(before[0].At) || !got.Tried.After(got.At) || string(got.Value) != "ann=1,bob,cid=!" || got.Part != "Ntry[2]" {
			t.Errorf("attempt %d: %+v", attempt, got)
		}
		if r.Groups[0].Why == "" || r.Groups[0].Example != got.ID && r.Groups[0].Done.Dead > 0 {
			t.Errorf("nobody says why it stays: %+v", r.Groups)
		}
	}
	if totals := h.ingest.Totals(); totals != (pipeline.Totals{}) {
		t.Errorf("replays are counted as messages: %+v", totals)
	}
}

// What a replay takes up again and again takes effect once: it keeps the place of its message.
func TestAReplayTakesEffectOnce(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	h.receive(t, "ann")
	l := h.letters(t)[0]
	h.mended.Store(true)
	mapped, err := h.ingest.Map(t.Context(), l.Again())
	if err != nil {
		t.Fatal(err)
	}
	mapped.Letter, mapped.Attempts = &l, 2
	b := customer.Batch{Now: h.now(), Messages: []customer.Mapped{*mapped}}
	for try, want := range []error{nil, event.ErrLetterChanged} {
		if _, err := h.ingest.Replay(t.Context(), b); !errors.Is(err, want) {
			t.Errorf("try %d: %v, want %v", try, err, want)
		}
	}
	b.Messages[0].Letter = nil // as the message comes once more
	if out, err := h.registry.Absorb(t.Context(), b); err != nil || out.Results[0].Outcome != event.Duplicate {
		t.Errorf("the message comes once more: %+v, %v", out, err)
	}
}

// What is not the letter that was read any more is left alone, and what nobody can read now.
func TestSkipped(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	h.receive(t, "ann", "bob")
	away := event.DeadLetter{ID: "dead_away", Source: "away", Topic: "t", At: noon, Class: event.Poison, Reason: "decode", Attempts: 1, Value: []byte("x")}
	blank := event.DeadLetter{ID: "dead_blank", Source: "bank", Topic: "t", At: noon, Class: event.Poison, Reason: "decode", Attempts: 1}
	blank.Erase()
	err := h.store.Update(t.Context(), func(tx customer.Tx) error {
		return tx.Apply(t.Context(), &customer.Delta{Dead: []event.DeadLetter{away, blank}})
	})
	if err != nil {
		t.Fatal(err)
	}
	r := h.replay(t, event.ReplayWish{All: true})
	if r.Done != (event.ReplayTally{Skipped: 2, Dead: 2}) || r.State != event.ReplayDone || len(h.letters(t)) != 4 {
		t.Errorf("%+v", r)
	}
	h.mended.Store(true)
	h.hold = make(chan struct{})
	r, err = h.Start(t.Context(), event.ReplayWish{Letter: h.letters(t)[2].ID, Author: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	for h.mapped.Load() < 3 { // it was read, and is being mapped
		time.Sleep(time.Millisecond)
	}
	l := h.letters(t)[2]
	l.Erase()
	err = h.store.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &customer.Delta{Dead: []event.DeadLetter{l}}) })
	if err != nil {
		t.Fatal(err)
	}
	close(h.hold)
	if r = h.await(t, r.ID, event.ReplayState.Ended); r.Done != (event.ReplayTally{Skipped: 1}) || h.live(t) != 0 {
		t.Errorf("a letter that was erased under the replay: %+v, %d records", r, h.live(t))
	}
}

// What may pass by itself is waited for; what fails for good inside lets the letter die again and not the replay.
func TestWaitsAndFails(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	h.receive(t, "ann,bob")
	h.mended.Store(true)
	h.sick.Store(true)
	r, err := h.Start(t.Context(), event.ReplayWish{All: true, Author: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	for r.Reason == "" {
		time.Sleep(time.Millisecond)
		r, _ = h.Replay(t.Context(), r.ID)
	}
	if !strings.Contains(r.Reason, "registry is away") {
		t.Errorf("it waits for %q", r.Reason)
	}
	h.broken.Store(true)
	h.sick.Store(false)
	if r = h.await(t, r.ID, event.ReplayState.Ended); r.Done != (event.ReplayTally{Dead: 2}) || r.Reason != "" || h.letters(t)[0].Reason != "internal" {
		t.Errorf("%+v, %+v", r, h.letters(t))
	}
	h.broken.Store(false)
	if r = h.replay(t, event.ReplayWish{All: true}); r.Done != (event.ReplayTally{Applied: 2}) {
		t.Errorf("%+v", r)
	}
}

// One replay at a time; it is paused, goes on, is cancelled, and ends with the service, between two messages.
func TestSteering(t *testing.T) {
	h := newHouse(t)
	stop := h.run(t)
	h.receive(t, "a", "b", "c", "d")
	h.mended.Store(true)
	h.hold = make(chan struct{})
	begun, err := h.Start(t.Context(), event.ReplayWish{All: true, Rate: replay.MaxRate, Author: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Start(t.Context(), event.ReplayWish{All: true}); !errors.Is(err, event.ErrReplaying) {
		t.Errorf("a second one: %v", err)
	}
	for h.mapped.Load() < 1 {
		time.Sleep(time.Millisecond)
	}
	if r, err := h.Steer(t.Context(), begun.ID, event.ReplayPaused); err != nil || r.State != event.ReplayPaused {
		t.Errorf("%+v, %v", r, err)
	}
	h.hold <- struct{}{}
	for len(h.letters(t)) == 4 {
		time.Sleep(time.Millisecond)
	}
	select {
	case h.hold <- struct{}{}:
		t.Error("a paused replay goes on")
	case <-time.After(20 * time.Millisecond):
	}
	if _, err := h.Steer(t.Context(), begun.ID, event.ReplayRunning); err != nil {
		t.Error(err)
	}
	h.hold <- struct{}{}
	for h.mapped.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	if n := len(h.letters(t)); n != 2 {
		t.Errorf("%d letters are left, want 2", n)
	}
	if _, err := h.Steer(t.Context(), begun.ID, event.ReplayCancelled); err != nil {
		t.Error(err)
	}
	close(h.hold)
	r := h.await(t, begun.ID, event.ReplayState.Ended)
	if r.State != event.ReplayCancelled || r.Reason == "" || r.Done.Sum()+int64(len(h.letters(t))) != 4 || len(h.letters(t)) == 0 {
		t.Errorf("%+v, %d letters", r, len(h.letters(t)))
	}
	if again, err := h.Steer(t.Context(), begun.ID, event.ReplayRunning); err != nil || again.State != event.ReplayCancelled {
		t.Errorf("what has ended goes on: %+v, %v", again, err)
	}
	if _, err := h.Steer(t.Context(), "rep_none", event.ReplayPaused); !errors.Is(err, customer.ErrNotFound) {
		t.Error(err)
	}
	h.sick.Store(true)
	last, err := h.Start(t.Context(), event.ReplayWish{All: true, Author: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if r, _ = h.Replay(t.Context(), last.ID); r.State != event.ReplayFailed || !strings.Contains(r.Reason, "service ended") {
		t.Errorf("the service ended: %+v", r)
	}
	if _, err := h.Start(t.Context(), event.ReplayWish{All: true}); err == nil {
		t.Error("a replay begins after the end")
	}
	if all := h.Replays(t.Context()); len(all) != 2 || all[0].ID != last.ID {
		t.Errorf("%+v", all)
	}
}

// A wish that chooses nothing, more than was meant or too fast is refused; what is remembered is bounded.
func TestWishes(t *testing.T) {
	h := newHouse(t)
	for _, w := range []event.ReplayWish{
		{}, {All: true, Source: "bank"}, {Letter: "x", Source: "bank"}, {Letter: "x", All: true}, {All: true, Rate: -1}, {All: true, Rate: replay.MaxRate + 1},
	} {
		if _, err := h.Start(t.Context(), w); event.ClassOf(err) != event.Permanent {
			t.Errorf("%+v: %v", w, err)
		}
	}
	h.run(t)
	for range replay.MaxJobs + 3 {
		if r := h.replay(t, event.ReplayWish{Since: noon}); r.Rate != replay.DefaultRate {
			t.Errorf("%+v", r)
		}
	}
	if n := len(h.Replays(t.Context())); n != replay.MaxJobs {
		t.Errorf("%d replays are remembered", n)
	}
}

// Many letters of many groups come in pages, each letter once; groups beyond the limit are one.
func TestManyLettersAndGroups(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	var d customer.Delta
	for i := range 1_234 {
		d.Dead = append(d.Dead, event.DeadLetter{
			ID: fmt.Sprintf("dead_%06d", i), Source: "bank", Topic: "t", Offset: int64(i / 3), Part: "Ntry[" + strconv.Itoa(i%3) + "]", At: noon.Add(time.Duration(i%7) * time.Minute),
			Class: event.Permanent, Reason: "validation", Path: "p" + strconv.Itoa(i%300), Attempts: 1, Value: []byte("a,b,c"),
		})
	}
	if err := h.store.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &d) }); err != nil {
		t.Fatal(err)
	}
	h.clock.Store(3600)
	r := h.replay(t, event.ReplayWish{All: true, Rate: replay.MaxRate, DryRun: true})
	if r.Done != (event.ReplayTally{Dead: 1_234}) || r.Total != 1_234 || len(r.Groups) != replay.MaxGroups {
		t.Errorf("%+v in %d groups", r.Done, len(r.Groups))
	}
	h.mended.Store(true)
	if r = h.replay(t, event.ReplayWish{All: true, Rate: replay.MaxRate}); r.Done.Sum() != 1_234 || r.Done.Dead+r.Done.Skipped != 0 || len(h.letters(t)) != 0 {
		t.Errorf("%+v, %d letters", r.Done, len(h.letters(t)))
	}
}

// An edit stands beside what came, is read by the same adapter, and is what a replay takes; it can be taken back. Whom it names is noted.
func TestEdit(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	h.receive(t, "ann=1,bob")
	l := h.letters(t)[0]
	if r, err := h.Edit(t.Context(), l.ID, &event.Edit{Value: []byte("ann=1,bob=!"), By: "kim", Reason: "a try"}); err != nil || r.Outcome != event.Dead {
		t.Errorf("an edit that is as bad: %+v, %v", r, err)
	}
	if r, err := h.Edit(t.Context(), l.ID, nil); err != nil || r.Outcome != event.Dead || h.letters(t)[0].Edit != nil {
		t.Errorf("taken back: %+v, %v", r, err)
	}
	r, err := h.Edit(t.Context(), l.ID, &event.Edit{Value: []byte("ann=1,bob=2"), By: "kim", Reason: "the key was missing"})
	if err != nil || r.Outcome != event.Applied {
		t.Errorf("an edit that mends it: %+v, %v", r, err)
	}
	now := h.letters(t)[0]
	if string(now.Value) != "ann=1,bob" || string(now.Edit.Value) != "ann=1,bob=2" || now.Edit.At.IsZero() || now.Attempts != 1 || now.Mapping != "iso@1" || now.Message != l.Message {
		t.Errorf("%+v %+v", now, now.Edit)
	}
	if done := h.replay(t, event.ReplayWish{Letter: l.ID}); done.Done != (event.ReplayTally{Applied: 1}) || h.live(t) != 2 {
		t.Errorf("%+v, %d records", done, h.live(t))
	}
	notes, err := h.store.LetterNotes(t.Context(), 9)
	if err != nil || len(notes) != 1 || notes[0].By != "kim" || notes[0].Why != "the key was missing" || notes[0].Action != "edited" {
		t.Errorf("%+v, %v", notes, err)
	}
	if h.handled["bank edited"] != 3 {
		t.Errorf("%v", h.handled)
	}
}

// An edit that names a party is found by its erasure; one that names a party which was erased leaves nothing.
func TestEditsAndErasures(t *testing.T) {
	h := newHouse(t)
	h.run(t)
	h.receive(t, "bob,x", "eve=7", "zoe,y")
	letters := h.letters(t)
	if _, err := h.Edit(t.Context(), letters[0].ID, &event.Edit{Value: []byte("bob=7,x"), By: "kim", Reason: "it is seven"}); err != nil {
		t.Fatal(err)
	}
	erase := func(key string) {
		t.Helper()
		m := &event.Message{Source: "bank", Topic: "bank.t", TopicID: "x", Offset: 99, Time: noon}
		sealed, refused := customer.Seal([]customer.Change{{Key: key, Op: customer.Erase}}, m, 1)
		if len(refused) > 0 {
			t.Fatal(refused)
		}
		if _, err := h.registry.Absorb(t.Context(), customer.Batch{Now: h.now(), Messages: []customer.Mapped{{Message: m, Changes: sealed}}}); err != nil {
			t.Fatal(err)
		}
	}
	erase("7")
	if l := h.letters(t)[0]; !l.Erased || l.Edit != nil || l.Value != nil {
		t.Errorf("the edit outlives the party that it names: %+v", l)
	}
	if _, err := h.Edit(t.Context(), letters[0].ID, &event.Edit{Value: []byte("a=1"), By: "kim", Reason: "x"}); event.ClassOf(err) != event.Permanent {
		t.Errorf("what is blanked is edited: %v", err)
	}
	id := letters[len(letters)-1].ID
	if _, err := h.Edit(t.Context(), id, &event.Edit{Value: []byte("zoe=7,y"), By: "kim", Reason: "x"}); event.ClassOf(err) != event.Permanent {
		t.Errorf("an edit names who was erased: %v", err)
	}
	if l, err := h.store.DeadLetter(t.Context(), id); err != nil || !l.Erased || l.Edit != nil {
		t.Errorf("and is kept: %+v, %v", l, err)
	}
	if _, err := h.Edit(t.Context(), id, &event.Edit{Value: make([]byte, replay.MaxEdit+1)}); event.ClassOf(err) != event.Permanent {
		t.Error(err)
	}
	if _, err := h.Edit(t.Context(), "none", nil); !errors.Is(err, customer.ErrNotFound) {
		t.Error(err)
	}
}

// What is discarded goes without an effect, and leaves who let it go and why.
func TestDiscard(t *testing.T) {
	h := newHouse(t)
	h.receive(t, "a,b", "c", "d=1")
	group := h.letters(t)[2].Group()
	for _, w := range []event.ReplayWish{{}, {All: true, Letter: "x"}} {
		if _, _, err := h.Discard(t.Context(), w, "why"); event.ClassOf(err) != event.Permanent {
			t.Errorf("%+v: %v", w, err)
		}
	}
	if _, _, err := h.Discard(t.Context(), event.ReplayWish{All: true}, ""); event.ClassOf(err) != event.Permanent {
		t.Errorf("without a reason: %v", err)
	}
	n, more, err := h.Discard(t.Context(), event.ReplayWish{Letter: h.letters(t)[0].ID, Author: "kim"}, "a test")
	if n != 1 || more || err != nil || len(h.letters(t)) != 2 {
		t.Errorf("%d, %v, %v", n, more, err)
	}
	if n, more, err = h.Discard(t.Context(), event.ReplayWish{Group: group, Author: "lee"}, "tests"); n != 2 || more || err != nil {
		t.Errorf("%d, %v, %v", n, more, err)
	}
	notes, err := h.store.LetterNotes(t.Context(), 9)
	if err != nil || len(notes) != 3 || notes[2].By != "kim" || notes[0].By != "lee" || h.handled["bank discarded"] != 3 || h.live(t) != 1 {
		t.Errorf("%+v, %v, %v", notes, err, h.handled)
	}
}
