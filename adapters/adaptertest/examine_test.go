package adaptertest_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// drawer is a target in memory, with one fault at most.
type drawer struct {
	fault string
	mu    sync.Mutex
	held  map[customer.CustomerID]string
	calls int
}

func (*drawer) Abilities() adapters.Abilities { return adapters.Abilities{Batch: 1, Merge: true} }

func (d *drawer) Render(c *customer.Customer) (*adapters.Rendering, error) {
	if d.fault == "renders nobody" {
		return nil, nil
	}
	return &adapters.Rendering{Body: []byte(c.Text("givenName"))}, nil
}

func (d *drawer) Push(ctx context.Context, ds []adapters.Delivery) ([]adapters.Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	problem := func(class event.Class, text string) ([]adapters.Receipt, error) {
		return []adapters.Receipt{{Problem: &adapters.Problem{Error: event.Error{Class: class, Reason: "validation", Text: text}}}}, nil
	}
	one := ds[0]
	_, there := d.held[one.Customer]
	switch {
	case ctx.Err() != nil && d.fault == "final when cancelled":
		return problem(event.Permanent, "no")
	case ctx.Err() != nil:
		return problem(event.Retryable, "later")
	case d.fault == "too many receipts":
		return make([]adapters.Receipt, 2), nil
	case one.Op == adapters.Upsert && string(one.Body) == "Mallory" && d.fault == "takes everybody":
	case one.Op == adapters.Upsert && string(one.Body) == "Mallory" && d.fault == "quotes":
		return problem(event.Permanent, "there is no Mallory here")
	case one.Op == adapters.Upsert && string(one.Body) == "Mallory":
		return problem(event.Permanent, "no such name")
	case strings.Contains(string(one.Body), "DROP") && d.fault == "breaks on quotes":
		return problem(event.Retryable, "it is down")
	case one.Op == adapters.Remove && !there && d.fault == "removes once":
		return problem(event.Permanent, "it is not there")
	case one.Op == adapters.Merge && !there && d.fault == "merges once":
		return problem(event.Permanent, "it is not there")
	case one.Op == adapters.Upsert && there && d.fault == "refuses what is there":
		return problem(event.Permanent, "it is there")
	}
	if one.Op != adapters.Upsert {
		delete(d.held, one.Customer)
		return make([]adapters.Receipt, 1), nil
	}
	d.held[one.Customer] = string(one.Body)
	id := one.Customer.String()
	if d.fault == "another id each time" {
		id += strings.Repeat("x", d.calls)
	}
	return []adapters.Receipt{{RemoteID: id}}, nil
}

func of(id, given, receipt string) *fstest.MapFile {
	text := "Of somebody.\n-- customer.json --\n{\"id\": \"" + id + "\", \"version\": 1, \"status\": \"active\", \"attributes\": " +
		"[{\"path\": \"givenName\", \"value\": \"" + given + "\"}]}\n" + receipt
	return &fstest.MapFile{Data: []byte(text)}
}

// The kit finds each fault, and nothing in a target that has none, whose system is empty afterwards.
func TestExamineTarget(t *testing.T) {
	t.Parallel()
	cases := fstest.MapFS{
		"ana.txtar": of("cus_aaaaaaaaaaaaaaaaaaaaaaaaa8", "Anabel", ""),
		"bo.txtar":  of("cus_aaaaaaaaaaaaaaaaaaaaaaaab8", "Boniface", ""),
		"mal.txtar": of("cus_aaaaaaaaaaaaaaaaaaaaaaaac8", "Mallory", "-- receipt.json --\n{\"class\": \"permanent\", \"reason\": \"validation\"}\n"),
	}
	for fault, law := range map[string]string{
		"": "", "renders nobody": "pushes", "too many receipts": "pushes", "takes everybody": "pushes", "quotes": "pushes",
		"another id each time": "pushes again", "refuses what is there": "pushes again", "breaks on quotes": "hostile values",
		"removes once": "removes", "merges once": "merges twice", "final when cancelled": "cancelled",
	} {
		d := &drawer{fault: fault, held: map[customer.CustomerID]string{}}
		found, err := adaptertest.ExamineTarget(t.Context(), d, cases)
		laws := map[string]bool{}
		for _, f := range found {
			laws[f.Law] = true
		}
		if err != nil || len(found) > 0 != (fault != "") || fault != "" && !laws[law] {
			t.Errorf("%q: %v %v", fault, found, err)
		}
		if fault == "" && len(d.held) > 0 {
			t.Errorf("left: %v", d.held)
		}
	}
	delete(cases, "bo.txtar")
	d := &drawer{held: map[customer.CustomerID]string{}}
	if found, err := adaptertest.ExamineTarget(t.Context(), d, cases); err != nil || len(found) != 1 || d.calls > 0 {
		t.Error(found, err, d.calls)
	}
	for name, text := range map[string]string{
		"a part": "-- body.json --\n{}\n", "no JSON": "-- customer.json --\n{\n", "nobody": "-- customer.json --\n{\"status\": \"active\"}\n",
	} {
		cases["bad.txtar"] = &fstest.MapFile{Data: []byte(text)}
		if _, err := adaptertest.ExamineTarget(t.Context(), d, cases); err == nil || !strings.Contains(err.Error(), "bad.txtar") {
			t.Error(name, err)
		}
	}
}
