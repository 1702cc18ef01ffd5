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
	Attempts  int         `json:"attempts"`
	At        time.Time   `json:"at"`
	Size      int         `json:"size"`             // bytes of the value
	Erased    bool        `json:"erased,omitempty"` // its bytes went with the erasure of a party that it named
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
		Class: d.Class, Reason: d.Reason, Path: d.Path, Message: d.Message, Mapping: d.Mapping, Attempts: d.Attempts, At: event.ClampTime(d.At),
		Size: len(d.Value), Erased: d.Erased,
	}
}

func (a *api) letters(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := number(q.Get("limit"))
	if err != nil {
		return err
	}
	if limit > MaxLetters {
		return bad("limit", "a limit is at most 500", "")
	}
	if limit == 0 {
		limit = 50
	}
	found, err := a.DeadLetters.DeadLetters(r.Context(), q.Get("source"), q.Get("after"), limit)
	if err != nil {
		return err
	}
	page := Letters{DeadLetters: make([]Letter, len(found))}
	for i := range found {
		page.DeadLetters[i] = letterOf(&found[i])
	}
	if len(found) == limit {
		page.Next = found[limit-1].ID
	}
	reply(w, http.StatusOK, page)
	return nil
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
