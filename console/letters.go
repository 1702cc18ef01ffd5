package console

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/console/mask"
	"github.com/onefold/onefold/event"
)

// Letters is a page of dead letters, newest first. Next is the after of the next page, empty on the last.
type Letters struct {
	DeadLetters []Letter `json:"deadLetters"`
	Next        string   `json:"next,omitempty"`
}

// Letter is a dead letter without its bytes.
type Letter struct {
	ID        string      `json:"id"`
	Source    string      `json:"source"`
	Topic     string      `json:"topic"`
	Partition int32       `json:"partition"`
	Offset    int64       `json:"offset"`
	Part      string      `json:"part,omitempty"`
	Time      time.Time   `json:"time"`
	Class     event.Class `json:"class"`
	Reason    string      `json:"reason"`
	Path      string      `json:"path,omitempty"`
	Message   string      `json:"message"`
	Mapping   string      `json:"mapping,omitempty"`
	Group     string      `json:"group"` // of those with the same cause
	Attempts  int         `json:"attempts"`
	At        time.Time   `json:"at"`               // when it was laid down first
	Tried     time.Time   `json:"tried,omitzero"`   // when it was replayed last
	Size      int64       `json:"size"`             // bytes of the value
	Edited    bool        `json:"edited,omitempty"` // a replay takes what a person has put in its place
	Erased    bool        `json:"erased,omitempty"` // its bytes went with the erasure of a party that it named
}

// Groups are the dead letters by cause, the largest first.
type Groups struct {
	Groups []event.LetterGroup `json:"groups"`
}

// ReplayList is the replays that the process remembers, the newest first.
type ReplayList struct {
	Replays []event.Replay `json:"replays"`
}

// OpenLetter is a dead letter with its bytes in base64. Unless they are revealed, letters and digits of values are masked; null and
// empty stay what they are.
type OpenLetter struct {
	Letter
	TopicID  string         `json:"topicId,omitempty"`
	Revealed bool           `json:"revealed"`
	Key      []byte         `json:"key"`
	Value    []byte         `json:"value"`
	Headers  []event.Header `json:"headers"`
	Edit     *event.Edit    `json:"edit,omitempty"` // what a person has put in the place of value and headers
}

// Edit is what is to take the place of a dead letter's value and headers. Headers that are left out stay those that came.
type Edit struct {
	Value   []byte         `json:"value"` // base64; null is null
	Headers []event.Header `json:"headers,omitempty"`
	Author  string         `json:"author,omitempty"`
	Reason  string         `json:"reason"`
}

// Edited says what the next replay of a letter would come to.
type Edited struct {
	Letter  string `json:"letter"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"` // of the first part that has one
}

// Discard chooses letters as a replay does, and says why they are to go.
type Discard struct {
	Letter string    `json:"letter,omitempty"`
	Source string    `json:"source,omitempty"`
	Group  string    `json:"group,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	All    bool      `json:"all,omitempty"`
	Author string    `json:"author,omitempty"`
	Reason string    `json:"reason"`
}

// Discarded says how many letters went.
type Discarded struct {
	Discarded int64 `json:"discarded"`
	More      bool  `json:"more,omitempty"` // more are chosen than go at once: ask again
}

// Notes are what people did to letters that have gone, the newest first.
type Notes struct {
	Notes []event.LetterNote `json:"notes"`
}

func letterOf(d *event.DeadLetter) Letter {
	return Letter{
		ID: d.ID, Source: d.Source, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, Part: d.Part, Time: event.ClampTime(d.Time),
		Class: d.Class, Reason: d.Reason, Path: d.Path, Message: d.Message, Mapping: d.Mapping, Group: d.Group(), Attempts: d.Attempts,
		At: event.ClampTime(d.At), Tried: d.Tried, Size: d.Size, Edited: d.Edit != nil, Erased: d.Erased,
	}
}

// chosen reads which letters are asked for.
func chosen(r *http.Request) (event.LetterQuery, error) {
	p := r.URL.Query()
	q := event.LetterQuery{Source: p.Get("source"), Group: p.Get("group"), After: p.Get("after"), Bare: true}
	var err error
	if q.Limit, err = number(p.Get("limit")); err != nil {
		return q, err
	}
	if q.Limit > MaxLetters {
		return q, bad("limit", "a limit is at most 500", "")
	}
	if q.Limit == 0 {
		q.Limit = 50
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := p.Get(name); text != "" {
			if *into, err = time.Parse(time.RFC3339, text); err != nil {
				return q, bad(name, "this is not a time", "write it as 2026-03-04T05:06:07Z")
			}
		}
	}
	return q, nil
}

func (a *api) letters(w http.ResponseWriter, r *http.Request) error {
	q, err := chosen(r)
	if err != nil {
		return err
	}
	found, err := a.DeadLetters.DeadLetters(r.Context(), q)
	if err != nil {
		return err
	}
	page := Letters{DeadLetters: make([]Letter, len(found))}
	for i := range found {
		page.DeadLetters[i] = letterOf(&found[i])
	}
	if len(found) == q.Limit {
		page.Next = found[q.Limit-1].ID
	}
	reply(w, http.StatusOK, page)
	return nil
}

func (a *api) groups(w http.ResponseWriter, r *http.Request) error {
	q, err := chosen(r)
	if err != nil {
		return err
	}
	found, err := a.DeadLetters.DeadGroups(r.Context(), q)
	if err != nil {
		return err
	}
	for i := range found {
		found[i].First, found[i].Last = event.ClampTime(found[i].First), event.ClampTime(found[i].Last)
	}
	reply(w, http.StatusOK, Groups{Groups: append([]event.LetterGroup{}, found...)})
	return nil
}

func (a *api) replays(w http.ResponseWriter, r *http.Request) error {
	reply(w, http.StatusOK, ReplayList{Replays: a.Replays.Replays(r.Context())})
	return nil
}

// replay begins a replay, and answers it as it is then.
func (a *api) replay(w http.ResponseWriter, r *http.Request) error {
	var wish event.ReplayWish
	if err := read(r, &wish); err != nil {
		return err
	}
	var err error
	if wish.Author, err = authorOf(r, wish.Author); err != nil {
		return err
	}
	if len(wish.Author) > maxWords {
		return bad("author", "the author is longer than 2,000 bytes", "")
	}
	begun, err := a.Replays.Start(r.Context(), wish)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, begun)
	return nil
}

func (a *api) replayed(w http.ResponseWriter, r *http.Request) error {
	found, err := a.Replays.Replay(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, found)
	return nil
}

// steer pauses, resumes or cancels a replay.
func (a *api) steer(to event.ReplayState) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		found, err := a.Replays.Steer(r.Context(), r.PathValue("id"), to)
		if err != nil {
			return err
		}
		reply(w, http.StatusOK, found)
		return nil
	}
}

func (a *api) letter(w http.ResponseWriter, r *http.Request) error {
	reveal, err := flag(r, "reveal")
	if err != nil {
		return err
	}
	if caller := access.From(r.Context()); reveal && !caller.Sees() {
		return forbidden(caller, []access.Role{access.Steward, access.Admin})
	}
	d, err := a.DeadLetters.DeadLetter(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	open := OpenLetter{Letter: letterOf(d), TopicID: d.TopicID, Revealed: reveal, Key: d.Key, Value: d.Value, Headers: d.Headers}
	if reveal {
		a.Log.InfoContext(r.Context(), "dead letter revealed", slog.String("letter", d.ID), slog.String("by", access.From(r.Context()).Name))
	} else {
		open.Key, open.Value, open.Headers = mask.Payload(d.Key), mask.Payload(d.Value), masked(d.Headers)
	}
	if d.Edit != nil {
		edit := *d.Edit
		if !reveal {
			edit.Value, edit.Headers = mask.Payload(edit.Value), masked(edit.Headers)
		}
		if !access.From(r.Context()).Sees() { // a person's own words may name whom they mean
			edit.Reason = ""
		}
		open.Edit = &edit
	}
	if open.Headers == nil {
		open.Headers = []event.Header{}
	}
	reply(w, http.StatusOK, open)
	return nil
}

func masked(headers []event.Header) (out []event.Header) {
	for _, h := range headers {
		out = append(out, event.Header{Key: h.Key, Value: mask.Payload(h.Value)})
	}
	return out
}

// longest answers how many bytes a request may have: the edit of a dead letter is a message.
func longest(r *http.Request) int64 {
	if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, root+"/dead-letters/") {
		return MaxEditBody
	}
	return MaxBody
}

// edit puts other bytes in the place of a letter's, for its next replays.
func (a *api) edit(w http.ResponseWriter, r *http.Request) error {
	var wish Edit
	if err := read(r, &wish); err != nil {
		return err
	}
	by, err := authorOf(r, wish.Author)
	switch {
	case err != nil:
		return err
	case wish.Reason == "":
		return bad("reason", "an edit says why", "")
	case len(by)+len(wish.Reason) > maxWords:
		return bad("reason", "author and reason are longer than 2,000 bytes together", "")
	}
	return a.put(w, r, &event.Edit{Value: wish.Value, Headers: wish.Headers, By: by, Reason: wish.Reason})
}

// unedit takes an edit back.
func (a *api) unedit(w http.ResponseWriter, r *http.Request) error { return a.put(w, r, nil) }

func (a *api) put(w http.ResponseWriter, r *http.Request, e *event.Edit) error {
	out, err := a.Hand.Edit(r.Context(), r.PathValue("id"), e)
	if err != nil {
		return err
	}
	done := Edited{Letter: r.PathValue("id"), Outcome: out.Outcome.String()}
	for _, p := range out.Parts {
		if p.Outcome == out.Outcome && done.Reason == "" {
			done.Reason = p.Reason
		}
	}
	reply(w, http.StatusOK, done)
	return nil
}

// discard lets go of letters without a replay.
func (a *api) discard(w http.ResponseWriter, r *http.Request) error {
	var wish Discard
	if err := read(r, &wish); err != nil {
		return err
	}
	by, err := authorOf(r, wish.Author)
	if err != nil {
		return err
	}
	if len(by)+len(wish.Reason) > maxWords {
		return bad("reason", "author and reason are longer than 2,000 bytes together", "")
	}
	gone, more, err := a.Hand.Discard(r.Context(), event.ReplayWish{
		Letter: wish.Letter, Source: wish.Source, Group: wish.Group, Since: wish.Since, Until: wish.Until, All: wish.All, Author: by,
	}, wish.Reason)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, Discarded{Discarded: gone, More: more})
	return nil
}

// notes answers what people did to letters that have gone. Their own words are for those who see.
func (a *api) notes(w http.ResponseWriter, r *http.Request) error {
	q, err := chosen(r)
	if err != nil {
		return err
	}
	found, err := a.DeadLetters.LetterNotes(r.Context(), q.Limit)
	if err != nil {
		return err
	}
	out := append([]event.LetterNote{}, found...)
	for i := range out {
		if !access.From(r.Context()).Sees() {
			out[i].Why = ""
		}
	}
	reply(w, http.StatusOK, Notes{Notes: out})
	return nil
}
