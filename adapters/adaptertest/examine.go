package adaptertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// examiner holds a target against what can be seen of it without its system.
type examiner struct {
	target adapters.Target
	cases  []wanted
	found  []Finding
}

// wanted is a case of a target: a customer, and what becomes of it there.
type wanted struct {
	name     string
	customer customer.Customer
	Class    event.Class `json:"class"` // of the problem; empty where it is done
	Reason   string      `json:"reason"`
}

// ExamineTarget holds a target against its cases and the laws that can be seen without its system, for programs that are no tests: the
// whole bar is RunTarget. It makes, changes and removes entries, so the system is one for tests; in the end its entries are removed. Cases
// are txtar archives at the top of the file system, each with
//
//	customer.json  an active customer, as onefold customer get -o json prints it
//	receipt.json   {"class": "permanent", "reason": "validation"} where the target does not take it; else it is left out
//
// At least two are taken. The error is about the cases themselves: event.Diagnostics where a file is at fault.
func ExamineTarget(ctx context.Context, target adapters.Target, cases fs.FS) ([]Finding, error) {
	read, err := readWanted(cases)
	if err != nil {
		return nil, err
	}
	e := &examiner{target: target, cases: read}
	taken := slices.DeleteFunc(slices.Clone(read), func(w wanted) bool { return w.Class != "" })
	if len(taken) < 2 {
		e.tell("all", "cases", "fewer than two cases are of customers that the target takes: write them")
		return e.found, nil
	}
	e.whole(ctx)
	e.hostile(ctx, taken[0])
	e.merged(ctx, taken[0], taken[1])
	e.removed(ctx, taken[0])
	e.cancelled(ctx, taken[0])
	for _, w := range read {
		e.push(ctx, w.name, "removed in the end", adapters.Delivery{
			ID: w.customer.PublishedID() + ".end", Op: adapters.Remove, Customer: w.customer.ID,
		})
	}
	return e.found, nil
}

func readWanted(cases fs.FS) (all []wanted, err error) {
	names, err := fs.Glob(cases, "*.txtar")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(cases, name)
		if err != nil {
			return nil, err
		}
		w := wanted{name: strings.TrimSuffix(path.Base(name), ".txtar")}
		for _, part := range txtar.Parse(text).Files {
			var into any
			switch part.Name {
			case "customer.json":
				into = &w.customer
			case "receipt.json":
				into = &w
			default:
				return nil, event.Diagnostics{{
					File: name, Path: part.Name, Message: "a case of a target has no such part", Hint: "write customer.json, and receipt.json",
				}}
			}
			if json.Unmarshal(part.Data, into) != nil {
				return nil, event.Diagnostics{{File: name, Path: part.Name, Message: "this is not the JSON of it"}}
			}
		}
		if w.customer.Status != customer.Active || w.customer.ID == (customer.CustomerID{}) {
			return nil, event.Diagnostics{{
				File: name, Path: "customer.json", Message: "this is not an active customer", Hint: "onefold customer get ID -o json prints one",
			}}
		}
		all = append(all, w)
	}
	return all, nil
}

func (e *examiner) tell(name, law, format string, args ...any) {
	e.found = append(e.found, Finding{Case: name, Law: law, Text: fmt.Sprintf(format, args...)})
}

// push makes one delivery. What is told of a problem holds nothing of any customer (invariant 9).
func (e *examiner) push(ctx context.Context, name, law string, d adapters.Delivery) adapters.Receipt {
	receipts, err := e.target.Push(ctx, []adapters.Delivery{d})
	var of *event.Error
	switch {
	case errors.As(err, &of):
		receipts = []adapters.Receipt{{Problem: &adapters.Problem{Error: *of}}}
	case err != nil || len(receipts) != 1:
		e.tell(name, law, "it answers %d receipts for one delivery, or an error without a class", len(receipts))
		return adapters.Receipt{Problem: &adapters.Problem{Error: event.Error{Class: event.Retryable}}}
	}
	if p := receipts[0].Problem; p != nil {
		for _, w := range e.cases {
			for _, a := range w.customer.Attributes {
				for _, value := range append(parts(a.Value), a.Value.Text) {
					if len(value) > 4 && strings.Contains(p.Error.Error(), value) {
						e.tell(name, law, "an error quotes the %s of a customer: it stands in logs", a.Path)
					}
				}
			}
		}
	}
	return receipts[0]
}

// upsert makes what a customer is now, and checks what comes of it.
func (e *examiner) upsert(ctx context.Context, w wanted, law, remote string) adapters.Receipt {
	r, err := e.target.Render(&w.customer)
	if err != nil || r == nil {
		e.tell(w.name, law, "it is not rendered: %v", err)
		return adapters.Receipt{}
	}
	got := e.push(ctx, w.name, law, adapters.Delivery{
		ID: w.customer.PublishedID() + ".upsert", Op: adapters.Upsert, Customer: w.customer.ID, Version: w.customer.Version, RemoteID: remote,
		Body: r.Body,
	})
	switch p := got.Problem; {
	case p == nil && w.Class != "":
		e.tell(w.name, law, "it is taken; the case says that it is refused: %s", w.Class)
	case p != nil && (p.Class != w.Class || w.Reason != "" && p.Reason != w.Reason):
		e.tell(w.name, law, "its problem is %s, %s: %s", p.Class, p.Reason, p.Text)
	}
	return got
}

// whole: what is pushed twice is there once, under the same id, and then holds what is newer.
func (e *examiner) whole(ctx context.Context) {
	for _, w := range e.cases {
		first := e.upsert(ctx, w, "pushes", "")
		again := e.upsert(ctx, w, "pushes again", "")
		if first.RemoteID != again.RemoteID {
			e.tell(w.name, "pushes again", "the id of its entry was %q and is %q", first.RemoteID, again.RemoteID)
		}
		w.customer.Version++
		e.upsert(ctx, w, "a later version", first.RemoteID)
	}
}

// hostile: whatever a customer is called, it is a name, or refused for good; nothing breaks.
func (e *examiner) hostile(ctx context.Context, w wanted) {
	truth := w
	for _, value := range []string{
		`"}, "a": {"b": "`, "a\r\nb: 1\r\n\r\n", "../../etc/passwd", "%2e%2e%2f", "{customer}${env:HOME}", "<script>", "\u202e", "\x00\x1f",
		"'; DROP TABLE a --", "\u2028", strings.Repeat("ä", 100_000),
	} {
		w.customer.Version++
		w.customer.Attributes = slices.Clone(truth.customer.Attributes)
		for i := range w.customer.Attributes {
			v := &w.customer.Attributes[i].Value
			if v.Text != "" {
				v.Text = value
			}
			v.Parts = maps.Clone(v.Parts)
			for name := range v.Parts {
				v.Parts[name] = value
			}
		}
		r, err := e.target.Render(&w.customer)
		if err != nil || r == nil {
			continue
		}
		got := e.push(ctx, w.name, "hostile values", adapters.Delivery{
			ID: w.customer.PublishedID() + ".hostile", Op: adapters.Upsert, Customer: w.customer.ID, Version: w.customer.Version, Body: r.Body,
		})
		if p := got.Problem; p != nil && p.Class != event.Permanent {
			e.tell(w.name, "hostile values", "%.20q is neither taken nor refused for good: %s", value, p.Text)
		}
	}
	truth.customer.Version = w.customer.Version + 1
	e.upsert(ctx, truth, "after hostile values", "")
}

// merged: an entry that has become part of another has done so already when it is asked again.
func (e *examiner) merged(ctx context.Context, from, into wanted) {
	loser, winner := e.upsert(ctx, from, "merges", ""), e.upsert(ctx, into, "merges", "")
	d := adapters.Delivery{
		ID: from.customer.PublishedID() + ".merge", Op: adapters.Merge, Customer: from.customer.ID, RemoteID: loser.RemoteID,
		Into: winner.RemoteID,
	}
	for _, law := range []string{"merges", "merges twice"} {
		if p := e.push(ctx, from.name, law, d).Problem; p != nil && e.target.Abilities().Merge {
			e.tell(from.name, law, "it is not done: %s", p.Text)
		}
	}
}

// removed: an entry that is not there is as good as removed, whether or not its id is known.
func (e *examiner) removed(ctx context.Context, w wanted) {
	was := e.upsert(ctx, w, "removes", "")
	for _, remote := range []string{was.RemoteID, was.RemoteID, ""} {
		d := adapters.Delivery{
			ID: w.customer.PublishedID() + ".remove", Op: adapters.Remove, Customer: w.customer.ID, RemoteID: remote, Erased: remote == "",
		}
		if p := e.push(ctx, w.name, "removes", d).Problem; p != nil {
			e.tell(w.name, "removes", "it is not done: %s", p.Text)
		}
	}
	e.upsert(ctx, w, "comes back", was.RemoteID)
}

// cancelled: who is told to stop says that it may be tried again, or has done it.
func (e *examiner) cancelled(ctx context.Context, w wanted) {
	stopped, stop := context.WithCancel(ctx)
	stop()
	r, err := e.target.Render(&w.customer)
	if err != nil || r == nil {
		return
	}
	got := e.push(stopped, w.name, "cancelled", adapters.Delivery{
		ID: w.customer.PublishedID() + ".upsert", Op: adapters.Upsert, Customer: w.customer.ID, Version: w.customer.Version, Body: r.Body,
	})
	if p := got.Problem; p != nil && p.Class != event.Retryable {
		e.tell(w.name, "cancelled", "a push that was given up is of class %s, not retryable", p.Class)
	}
}
