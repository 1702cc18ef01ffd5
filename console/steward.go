package console

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/console/mask"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/review"
)

// Wish is a decision as a person gives it.
type Wish struct {
	Kind   customer.DecisionKind `json:"kind"` // same, not-same
	A      string                `json:"a"`    // record id or source/key; for same a customer's id too
	B      string                `json:"b"`
	Author string                `json:"author"`
	Reason string                `json:"reason,omitempty"`
}

// Regret is the wish to take a decision back.
type Regret struct {
	Author string `json:"author"`
}

// Thought is a record that nobody has sent, or changes as an adapter makes them: what would come of it is asked.
type Thought struct {
	Source string                    `json:"source,omitempty"`
	Key    string                    `json:"key,omitempty"`
	Values map[string]customer.Value `json:"values,omitempty"` // by path
	// Changes instead of all that, as onefold map try prints them.
	Changes []customer.Change `json:"changes,omitempty"`
}

func (a *api) why(w http.ResponseWriter, r *http.Request) error { return a.pair(w, r, a.Explain.Why) }

func (a *api) whyNot(w http.ResponseWriter, r *http.Request) error {
	return a.pair(w, r, a.Explain.WhyNot)
}

// pair answers a question about two parties.
func (a *api) pair(
	w http.ResponseWriter, r *http.Request, ask func(ctx context.Context, a, b string) (*customer.Explanation, error),
) error {
	x, y := r.URL.Query().Get("a"), r.URL.Query().Get("b")
	if x == "" || y == "" {
		return bad("b", "two names are needed: a and b", "each is a customer's id, a record's id, or source/key")
	}
	explanation, err := ask(r.Context(), x, y)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, explanation)
	return nil
}

func (a *api) how(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	made, err := a.Explain.How(r.Context(), id)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, made)
	return nil
}

func (a *api) whyValue(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	path := r.URL.Query().Get("path")
	if path == "" {
		return bad("path", "a path is needed: which value", "such as givenName, or email for all elements of the list")
	}
	lineage, err := a.Explain.WhyValue(r.Context(), id, path)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, lineage)
	return nil
}

// whatIf works out what would come of a record, and keeps nothing of it.
func (a *api) whatIf(w http.ResponseWriter, r *http.Request) error {
	var thought Thought
	if err := read(r, &thought); err != nil {
		return err
	}
	changes, err := thought.changes()
	if err != nil {
		return err
	}
	supposed, err := a.Explain.WhatIf(r.Context(), changes, a.Now())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, supposed)
	return nil
}

// changes answers the thought in the form of changes: values alone are a whole statement of a party.
func (t *Thought) changes() ([]customer.Change, error) {
	if len(t.Changes) > 0 {
		if t.Source != "" || t.Key != "" || len(t.Values) > 0 {
			return nil, bad("changes", "there are changes, and a record beside them", "give one of the two")
		}
		return t.Changes, nil
	}
	if t.Source == "" || t.Key == "" || len(t.Values) == 0 {
		return nil, bad("values", "a record is needed: source, key and values", "or changes, as onefold map try prints them")
	}
	c := customer.Change{Source: t.Source, Key: t.Key, Op: customer.Upsert}
	for name, value := range t.Values {
		path, err := customer.ParsePath(name)
		if err != nil {
			return nil, bad("values", err.Error(), "")
		}
		c.Party = append(c.Party, customer.Statement{Path: path, State: customer.Set, Value: value})
	}
	slices.SortFunc(c.Party, func(a, b customer.Statement) int { return a.Path.Compare(b.Path) })
	return []customer.Change{c}, nil
}

// decide takes a person's word on two parties, and answers how they stand to each other now.
func (a *api) decide(w http.ResponseWriter, r *http.Request) error {
	var wish Wish
	if err := read(r, &wish); err != nil {
		return err
	}
	say := a.Steward.Join
	switch {
	case wish.Kind == customer.NotSame:
		say = a.Steward.Split
		if strings.HasPrefix(wish.A, "cus_") || strings.HasPrefix(wish.B, "cus_") {
			return bad("a", "a customer has many records, and it is two of them that are not the same",
				"name two records by rec_... or source/key; customer get lists them")
		}
	case wish.Kind != customer.Same:
		return bad("kind", "there is no such kind of decision", "one of: same, not-same")
	case wish.A == "" || wish.B == "":
		return bad("b", "two names are needed: a and b", "each is a customer's id, a record's id, or source/key")
	}
	author, err := authorOf(r, wish.Author)
	if err != nil {
		return err
	}
	wish.Author = author
	if len(wish.Author)+len(wish.Reason) > maxWords {
		return bad("reason", "author and reason are longer than 2,000 bytes together", "")
	}
	now, err := a.Explain.Why(r.Context(), wish.A, wish.B)
	if err != nil {
		return err
	}
	d := customer.Decision{Pair: customer.NewPair(now.A.Record, now.B.Record), Author: wish.Author, Reason: wish.Reason, At: a.Now()}
	if err := say(r.Context(), d); err != nil {
		return err
	}
	if now, err = a.Explain.Why(r.Context(), d.A.String(), d.B.String()); err != nil {
		return err
	}
	reply(w, http.StatusOK, now)
	return nil
}

// undo takes a decision back, and answers it as it stands then.
func (a *api) undo(w http.ResponseWriter, r *http.Request) error {
	var regret Regret
	if err := read(r, &regret); err != nil {
		return err
	}
	author, err := authorOf(r, regret.Author)
	if err != nil {
		return err
	}
	if len(author) > maxWords {
		return bad("author", "the author is longer than 2,000 bytes", "")
	}
	d, err := a.Steward.Undo(r.Context(), r.PathValue("id"), author, a.Now())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, d)
	return nil
}

// authorOf answers who is behind a decision: the holder of the token, in nobody else's name; where there are no tokens, who is named.
func authorOf(r *http.Request, named string) (string, error) {
	holder := access.From(r.Context()).Name
	switch {
	case holder == "" && named == "":
		return "", bad("author", "a decision names its author", "")
	case holder == "":
		return named, nil
	case named != "" && named != holder:
		return "", &Problem{
			Status: http.StatusForbidden, Code: "not_the_author", Path: "author",
			Message: "a decision is made in the name of the token's holder", Hint: "leave the author out",
		}
	}
	return holder, nil
}

const maxWords = 2_000 // bytes of a decision's author and reason

// Claim asks for the next pair.
type Claim struct {
	Author string `json:"author,omitempty"`
}

// Claimed is the pair that its author may look at now; none if nothing waits.
type Claimed struct {
	Review *customer.Possible `json:"review,omitempty"`
}

// Verdict is a person's word on a possible pair.
type Verdict struct {
	Verdict string `json:"verdict"` // same, not-same, later
	Author  string `json:"author,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Log is decisions as they were exported.
type Log struct {
	Decisions []review.Told `json:"decisions"`
}

// reviewRoutes are those of the queue, and of the log of decisions.
func (a *api) reviewRoutes(steward []access.Role) map[string]map[string]route {
	return map[string]map[string]route{
		root + "/reviews":             {http.MethodGet: {handle: a.reviews, roles: steward, params: []string{"state", "after", "limit"}}},
		root + "/reviews/next":        {http.MethodPost: {handle: a.nextReview, roles: steward}},
		root + "/reviews/bulk":        {http.MethodPost: {handle: a.reviewAll, roles: steward}},
		root + "/reviews/{id}":        {http.MethodGet: {handle: a.review, roles: steward}},
		root + "/reviews/{id}/decide": {http.MethodPost: {handle: a.decideReview, roles: steward}},
		root + "/decisions": {
			http.MethodGet:  {handle: a.tellDecisions, long: true},
			http.MethodPost: {handle: a.decide, roles: steward},
		},
		root + "/decisions/import": {http.MethodPost: {handle: a.takeDecisions}},
	}
}

func (a *api) reviews(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	ask := customer.ReviewQuery{State: customer.ReviewState(q.Get("state"))}
	var err error
	if ask.Limit, err = number(q.Get("limit")); err != nil {
		return err
	}
	if after := q.Get("after"); after != "" && ask.After.UnmarshalText([]byte(after)) != nil {
		return bad("after", "this is not the id of a review", "take next from the page before")
	}
	page, err := a.Review.List(r.Context(), ask, a.Now())
	if err != nil {
		return err
	}
	for i := range page.Reviews {
		hideKeys(r, &page.Reviews[i])
	}
	reply(w, http.StatusOK, page)
	return nil
}

// hideKeys hides the keys of sources from who may not see personal data.
func hideKeys(r *http.Request, p *customer.Possible) {
	if !access.From(r.Context()).Sees() {
		p.A.Key, p.B.Key = mask.Hidden, mask.Hidden
	}
}

func reviewOf(r *http.Request) (id customer.ReviewID, err error) {
	if id.UnmarshalText([]byte(r.PathValue("id"))) != nil {
		return id, bad("id", "this is not the id of a review", "an id is rev_ and 52 letters and digits; onefold review list shows them")
	}
	return id, nil
}

func (a *api) review(w http.ResponseWriter, r *http.Request) error {
	id, err := reviewOf(r)
	if err != nil {
		return err
	}
	p, err := a.Review.Get(r.Context(), id, a.Now())
	if err != nil {
		return err
	}
	hideKeys(r, p)
	reply(w, http.StatusOK, p)
	return nil
}

func (a *api) nextReview(w http.ResponseWriter, r *http.Request) error {
	var claim Claim
	if err := read(r, &claim); err != nil {
		return err
	}
	author, err := authorOf(r, claim.Author)
	if err != nil {
		return err
	}
	p, err := a.Review.Next(r.Context(), author, a.Now())
	if err != nil {
		return err
	}
	if p != nil {
		hideKeys(r, p)
	}
	reply(w, http.StatusOK, Claimed{Review: p})
	return nil
}

func (a *api) decideReview(w http.ResponseWriter, r *http.Request) error {
	id, err := reviewOf(r)
	if err != nil {
		return err
	}
	var v Verdict
	if err := read(r, &v); err != nil {
		return err
	}
	if v.Author, err = authorOf(r, v.Author); err != nil {
		return err
	}
	if len(v.Author)+len(v.Reason) > maxWords {
		return bad("reason", "author and reason are longer than 2,000 bytes together", "")
	}
	done, err := a.Review.Decide(r.Context(), id, v.Verdict, v.Author, v.Reason, a.Now())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, done)
	return nil
}

// reviewAll shows which pairs a verdict would fall on, or lets it fall on them.
func (a *api) reviewAll(w http.ResponseWriter, r *http.Request) error {
	var b review.Bulk
	if err := read(r, &b); err != nil {
		return err
	}
	author, err := authorOf(r, b.Author)
	if err != nil {
		return err
	}
	if b.Author = author; len(b.Author)+len(b.Reason) > maxWords {
		return bad("reason", "author and reason are longer than 2,000 bytes together", "")
	}
	done, err := a.Review.DecideAll(r.Context(), b, a.Now())
	if err != nil {
		return err
	}
	for i := range done.Matched {
		hideKeys(r, &done.Matched[i])
	}
	reply(w, http.StatusOK, done)
	return nil
}

// tellDecisions writes the log of decisions. It names people by their keys, and holds reasons in somebody's own words.
func (a *api) tellDecisions(w http.ResponseWriter, r *http.Request) error {
	if caller := access.From(r.Context()); !caller.Sees() {
		return forbidden(caller, []access.Role{access.Admin})
	}
	return a.lines(w, r, a.Decisions.ExportDecisions)
}

// takeDecisions takes a piece of the log of another installation.
func (a *api) takeDecisions(w http.ResponseWriter, r *http.Request) error {
	var log Log
	if err := read(r, &log); err != nil {
		return err
	}
	taken, err := a.Decisions.ImportDecisions(r.Context(), log.Decisions, a.Now())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, taken)
	return nil
}
