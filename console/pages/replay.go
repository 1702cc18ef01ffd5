package pages

import (
	"cmp"
	"context"
	"net/http"

	"github.com/onefold/onefold/event"
)

// Replays is who takes dead letters up again, one replay at a time.
type Replays interface {
	Start(ctx context.Context, w event.ReplayWish) (event.Replay, error)
	Replays(ctx context.Context) []event.Replay
	Replay(ctx context.Context, id string) (event.Replay, error)
	Steer(ctx context.Context, id string, to event.ReplayState) (event.Replay, error)
}

// maxReplays is how many of the last replays the page of dead letters lists (invariant 10).
const maxReplays = 5

// recent answers the last replays; none where nobody replays.
func (p *pages) recent(r *http.Request) []event.Replay {
	if p.Replays == nil {
		return nil
	}
	all := p.Replays.Replays(r.Context())
	return all[:min(len(all), maxReplays)]
}

// operates refuses whoever may not replay, discard, pause or write again.
func (p *pages) operates(r *http.Request) *view {
	if p.caller(r).Operates {
		return nil
	}
	return p.noOperator()
}

func (p *pages) noOperator() *view {
	return &view{
		frame: frame{Title: "Not yours to do"}, status: http.StatusForbidden, body: trouble("Your role does not do this", "An operator can."),
	}
}

// wish reads which letters a form chooses: one, those of a cause or of a source, or all. All must be said.
func (p *pages) wish(r *http.Request) (event.ReplayWish, error) {
	if err := r.ParseForm(); err != nil {
		return event.ReplayWish{}, event.Errorf(event.Permanent, "validation", "", "the form cannot be read: send it from the page")
	}
	f := r.PostForm
	wish := event.ReplayWish{Letter: f.Get("letter"), Source: f.Get("source"), Group: f.Get("group"), Author: p.author(r)}
	wish.All = wish.Letter == "" && wish.Source == "" && wish.Group == "" && f.Get("all") == "true"
	return wish, nil
}

// author names who does something. Without tokens nobody has to say who he is.
func (p *pages) author(r *http.Request) string { return cmp.Or(p.caller(r).Name, "console") }

// replay begins a replay, and leads to its page. Nothing is lost by it: a letter goes in the transaction of its effect, and one that
// fails again stays.
func (p *pages) replay(r *http.Request) (*view, error) {
	if no := p.operates(r); no != nil || p.Replays == nil {
		return cmp.Or(no, p.noOperator()), nil
	}
	wish, err := p.wish(r)
	if err != nil {
		return nil, err
	}
	wish.DryRun = r.PostForm.Get("try") == "true"
	begun, err := p.Replays.Start(r.Context(), wish)
	if err != nil {
		return nil, err
	}
	return &view{to: "/replays/" + escape(begun.ID)}, nil
}

// replayed shows how a replay goes.
func (p *pages) replayed(r *http.Request) (*view, error) {
	if p.Replays == nil {
		return p.nothing(r)
	}
	found, err := p.Replays.Replay(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := &replaying{Replay: found, Caller: p.caller(r)}
	if r.Header.Get("HX-Request") != "" {
		return &view{piece: true, body: replayPart(out)}, nil
	}
	return &view{frame: frame{Title: "Replay", Section: "dead", Polls: !found.State.Ended()}, body: replayPage(out)}, nil
}

// steer pauses, resumes or cancels a replay, and leads back to it.
func (p *pages) steer(to event.ReplayState) handler {
	return func(r *http.Request) (*view, error) {
		if no := p.operates(r); no != nil || p.Replays == nil {
			return cmp.Or(no, p.noOperator()), nil
		}
		found, err := p.Replays.Steer(r.Context(), r.PathValue("id"), to)
		if err != nil {
			return nil, err
		}
		return &view{to: "/replays/" + escape(found.ID)}, nil
	}
}

// replaying is what the page of a replay shows.
type replaying struct {
	event.Replay
	Caller Caller
}

// what says which letters a replay takes.
func what(w *event.ReplayWish) string {
	switch {
	case w.Letter != "":
		return "one letter"
	case w.Group != "":
		return "one cause"
	case w.Source != "":
		return "source " + inert(w.Source)
	}
	return "all letters"
}

// level answers how serious the state of a replay is.
func level(s event.ReplayState) string {
	switch s {
	case event.ReplayFailed:
		return "bad"
	case event.ReplayPaused, event.ReplayCancelled:
		return "warn"
	}
	return "ok"
}

// percent answers how much of a replay is done, from 0 to 100.
func percent(r *event.Replay) string {
	if r.Total == 0 {
		return "0"
	}
	return digits(min(100, r.Done.Sum()*100/r.Total))
}
