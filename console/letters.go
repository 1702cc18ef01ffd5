package console

import (
	"log/slog"
	"net/http"
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
		open.Key, open.Value, open.Headers = mask.Payload(d.Key), mask.Payload(d.Value), nil
		for _, h := range d.Headers {
			open.Headers = append(open.Headers, event.Header{Key: h.Key, Value: mask.Payload(h.Value)})
		}
	}
	if open.Headers == nil {
		open.Headers = []event.Header{}
	}
	reply(w, http.StatusOK, open)
	return nil
}
