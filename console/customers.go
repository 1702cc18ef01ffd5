package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/customer"
)

// Answer is one customer, and the id that was asked for: of an alias the customer that it now leads to.
type Answer struct {
	Asked customer.CustomerID `json:"asked"`
	*customer.Customer
}

// Timeline is what happened between a customer and the company, newest first.
type Timeline struct {
	Asked        customer.CustomerID     `json:"asked"`
	Interactions []*customer.Interaction `json:"interactions"`
}

// Erasure tells what an erasure did, and what it cannot reach.
type Erasure struct {
	Asked      customer.CustomerID `json:"asked"`
	Erased     bool                `json:"erased"`
	NotCovered []string            `json:"notCovered"`
}

func (a *api) find(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := number(q.Get("limit"))
	if err != nil {
		return err
	}
	found, err := a.Customers.Find(r.Context(), customer.Query{
		Email: q.Get("email"), Phone: q.Get("phone"), Name: q.Get("name"), BirthDate: q.Get("birthDate"),
		Identifier: q.Get("identifier"), Source: q.Get("source"), Key: q.Get("key"), Limit: limit,
	})
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, found)
	return nil
}

func number(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, bad("limit", "a limit is a whole number from 1", "")
	}
	return n, nil
}

func (a *api) customer(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	c, err := a.Customers.Customer(r.Context(), id)
	if err != nil {
		return err
	}
	if c.Status != customer.Active { // nothing is an empty list, not none
		shown := *c
		shown.Attributes, shown.Members = []customer.Attribute{}, []customer.Member{}
		c = &shown
	}
	reply(w, http.StatusOK, Answer{Asked: id, Customer: c})
	return nil
}

func idOf(r *http.Request) (id customer.CustomerID, err error) {
	if id.UnmarshalText([]byte(r.PathValue("id"))) != nil {
		return id, bad("id", "this is not a customer's id",
			"an id is cus_ and 26 letters and digits; onefold customer find, or GET /api/v1/customers, finds one")
	}
	return id, nil
}

func (a *api) timeline(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	limit, err := number(r.URL.Query().Get("limit"))
	if err != nil {
		return err
	}
	interactions, err := a.Customers.Timeline(r.Context(), id, limit)
	if err != nil {
		return err
	}
	if interactions == nil {
		interactions = []*customer.Interaction{}
	}
	reply(w, http.StatusOK, Timeline{Asked: id, Interactions: interactions})
	return nil
}

func (a *api) forget(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	if err := a.Steward.Forget(r.Context(), id, a.Now()); err != nil {
		return err
	}
	a.Log.InfoContext(r.Context(), "customer erased", slog.String("customer", id.String()), slog.String("by", access.From(r.Context()).Name))
	reply(w, http.StatusOK, Erasure{Asked: id, Erased: true, NotCovered: []string{
		"messages on the sources' topics", "the embedded broker's log", "dead letters of messages that nobody could read", "backups",
	}})
	return nil
}

// read reads the one JSON object of a request, strictly. That the type must be given keeps forms of other sites out.
func read(r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &Problem{
			Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type",
			Message: "the request is not marked as JSON", Hint: "send Content-Type: application/json",
		}
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		_, err = dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		return bad("", "something follows the JSON object", "send one object")
	}
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return err
	}
	return bad("", "the request is not the JSON object that is expected here", "see "+root+"/openapi.yaml")
}

// export writes every customer, one JSON object a line. What fails after the first line breaks the connection off: a reader
// must not take half for the whole.
func (a *api) export(w http.ResponseWriter, r *http.Request) error {
	canonical, err := flag(r, "canonical")
	if err != nil {
		return err
	}
	return a.lines(w, r, func(ctx context.Context, to io.Writer) error { return a.Customers.Export(ctx, to, canonical) })
}

// lines answers one JSON object a line, as they are written.
func (a *api) lines(w http.ResponseWriter, r *http.Request, write func(ctx context.Context, to io.Writer) error) error {
	out := &stream{w: w, deadlines: http.NewResponseController(w)}
	err := write(r.Context(), out)
	if err != nil && out.begun {
		if out.gone { // a reader that has enough, such as head -1, is nobody's error
			a.Log.DebugContext(r.Context(), "the reader of an export went away")
		} else {
			a.Log.ErrorContext(r.Context(), "export broken off", slog.Any("err", err))
		}
		panic(http.ErrAbortHandler)
	}
	if err == nil && !out.begun {
		_, err = out.Write(nil)
	}
	return err
}

// flag reads a parameter that is true or false.
func flag(r *http.Request, name string) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, bad(name, "this is true or false", "")
}

// stream writes lines for as long as the reader takes each piece in time.
type stream struct {
	w         http.ResponseWriter
	deadlines *http.ResponseController
	begun     bool
	gone      bool // the reader took no more
}

func (s *stream) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/x-ndjson")
		s.w.WriteHeader(http.StatusOK)
	}
	extend(s.deadlines, Patience)
	n, err := s.w.Write(b)
	s.gone = s.gone || err != nil
	return n, err
}

// Republished is what left once more.
type Republished struct {
	Customers int64 `json:"customers"` // customers, aliases and tombstones
	TakenBack int64 `json:"takenBack"` // ids on the topic that nobody knows
}

// publishing is how long it may take that everything is put into the outbox.
const publishing = time.Hour

func (a *api) publish(w http.ResponseWriter, r *http.Request) error {
	extend(http.NewResponseController(w), publishing)
	done, err := a.Republish(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, done)
	return nil
}
