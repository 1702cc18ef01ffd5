package writeback_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/writeback"
	"github.com/onefold/onefold/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is what a crm holds of one customer.
type entry struct {
	remote, external, body string
	version                int
}

// crm is a system that is written to, and that behaves as it is told. An external id is had by one entry only.
type crm struct {
	mu      sync.Mutex
	batch   int
	merges  bool
	silent  bool              // it tells no ids and no versions
	long    bool              // or endless ones
	entries map[string]*entry // by remote id
	next    int
	clock   int
	calls   int
	pushed  []string // "op body" in the order of arrival
	busy    map[customer.CustomerID]bool
	faults  []string
	// before says what becomes of a call, after what becomes of a delivery that was done; nil: all is well.
	before func(n int, ds []adapters.Delivery) error
	refuse func(d *adapters.Delivery) *adapters.Problem
	after  func(n int) error
}

func newCRM() *crm {
	return &crm{batch: 3, entries: map[string]*entry{}, busy: map[customer.CustomerID]bool{}}
}

func (c *crm) Abilities() adapters.Abilities {
	return adapters.Abilities{Batch: c.batch, Merge: c.merges}
}

type body struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
	City  string `json:"city,omitempty"`
	Road  string `json:"road,omitempty"`
}

func (c *crm) Render(of *customer.Customer) (*adapters.Rendering, error) {
	if of.Text("status") == "hidden" {
		return nil, nil
	}
	if of.Text("status") == "broken" {
		return nil, event.Errorf(event.Permanent, "mapping", "status", "it cannot be rendered")
	}
	b := body{Name: of.Text("fullName"), Email: of.Text("email")}
	for _, a := range of.Attributes {
		if a.Path.Name == "address" {
			b.City, b.Road = a.Value.Parts["addressLocality"], a.Value.Parts["streetAddress"]
		}
	}
	raw, err := json.Marshal(b)
	r := &adapters.Rendering{Body: raw}
	for _, a := range of.Attributes {
		if a.Path.Name == "fullName" || a.Path.Name == "email" || a.Path.Name == "address" {
			r.Said = append(r.Said, a.Path)
		}
	}
	return r, err
}

func (c *crm) Push(_ context.Context, ds []adapters.Delivery) ([]adapters.Receipt, error) {
	c.mu.Lock()
	c.calls++
	n := c.calls
	if len(ds) > c.batch || len(ds) == 0 {
		c.faults = append(c.faults, fmt.Sprintf("%d deliveries in a push of at most %d", len(ds), c.batch))
	}
	for i := range ds {
		if c.busy[ds[i].Customer] {
			c.faults = append(c.faults, "two deliveries of one customer at a time")
		}
		c.busy[ds[i].Customer] = true
	}
	before, after := c.before, c.after
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := range ds {
			delete(c.busy, ds[i].Customer)
		}
	}()
	if before != nil {
		if err := before(n, ds); err != nil {
			return nil, err
		}
	}
	out := make([]adapters.Receipt, len(ds))
	c.mu.Lock()
	for i := range ds {
		out[i] = c.one(&ds[i])
	}
	c.mu.Unlock()
	if after != nil {
		return out, after(n)
	}
	return out, nil
}

func (c *crm) one(d *adapters.Delivery) adapters.Receipt {
	if c.refuse != nil {
		if p := c.refuse(d); p != nil {
			return adapters.Receipt{Problem: p}
		}
	}
	c.pushed = append(c.pushed, string(d.Op)+" "+string(d.Body))
	e := c.entries[d.RemoteID]
	if e == nil || d.Op != adapters.Upsert && e.external != d.Customer.String() {
		e = c.by(d.Customer.String())
	}
	switch d.Op {
	case adapters.Upsert:
		if other := c.by(d.Customer.String()); other != nil && e != other {
			e = other
		}
		if e == nil {
			c.next++
			e = &entry{remote: strconv.Itoa(c.next)}
			c.entries[e.remote] = e
		}
		c.clock++
		e.external, e.body, e.version = d.Customer.String(), string(d.Body), c.clock
	case adapters.Merge:
		if e != nil && c.entries[d.Into] == nil {
			return adapters.Receipt{Problem: &adapters.Problem{Error: *event.Errorf(event.Permanent, "validation", "", "no such entry to merge into")}}
		}
		if e != nil {
			delete(c.entries, e.remote)
			c.entries[d.Into].body = "merged" // the target's own idea of both
		}
		return adapters.Receipt{RemoteID: d.Into}
	case adapters.Remove:
		if e != nil {
			delete(c.entries, e.remote)
		}
		return adapters.Receipt{}
	}
	switch {
	case c.silent:
		return adapters.Receipt{}
	case c.long:
		return adapters.Receipt{RemoteID: strings.Repeat("1", 2000), RemoteVersion: strings.Repeat("2", 2000)}
	}
	return adapters.Receipt{RemoteID: e.remote, RemoteVersion: strconv.Itoa(e.version)}
}

func (c *crm) by(external string) *entry {
	for _, e := range c.entries {
		if e.external == external {
			return e
		}
	}
	return nil
}

// locked does something while nothing is pushed.
func (c *crm) locked(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

// holds answers the bodies that the crm holds, by external id.
func (c *crm) holds() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]string{}
	for _, e := range c.entries {
		if _, twice := out[e.external]; twice {
			c.faults = append(c.faults, "two entries of one customer")
		}
		out[e.external] = e.body
	}
	return out
}

func (c *crm) said() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pushed)
}

func (c *crm) blame(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		t.Error(f)
	}
}

func cus(n int) customer.CustomerID { return customer.RecordID{0: 1, 15: byte(n)}.Birth(0) }

// person is an active customer of a name.
func person(n int, version int64, name string) *customer.Customer {
	return &customer.Customer{
		ID: cus(n), Version: version, Status: customer.Active, CreatedAt: time.Now().UTC(), UpdatedAt: time.Now().UTC(),
		Attributes: []customer.Attribute{attribute("fullName", name), attribute("email", fmt.Sprintf("%d@example.org", n))},
		Members:    []customer.Member{{Record: customer.RecordID{0: 1, 15: byte(n)}, Source: "shop", Key: strconv.Itoa(n)}},
	}
}

func attribute(name, text string) customer.Attribute {
	return customer.Attribute{Path: customer.Path{Name: name}, Claim: customer.Claim{Value: customer.Text(text)}}
}

func become(n int, version int64, status customer.Status, into int) *customer.Customer {
	c := &customer.Customer{ID: cus(n), Version: version, Status: status, UpdatedAt: time.Now().UTC()}
	if status == customer.Merged {
		c.AliasOf = cus(into)
	}
	return c
}

func apply(t *testing.T, s *memory.Store, customers ...*customer.Customer) {
	t.Helper()
	err := s.Update(t.Context(), func(tx customer.Tx) error { return tx.Apply(t.Context(), &customer.Delta{Customers: customers}) })
	if err != nil {
		t.Fatal(err)
	}
}

func config() writeback.Config {
	return writeback.Config{Name: "crm", Key: []byte("a secret"), Now: time.Now, Round: 8, Jitter: func() float64 { return 1 }}
}

// run lets a flow go until the answer is called.
func run(t *testing.T, s *writeback.Sync) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func receipt(t *testing.T, s *memory.Store, n int) event.Receipt {
	t.Helper()
	r, err := s.Receipts(t.Context(), "crm", []customer.CustomerID{cus(n)})
	if err != nil {
		t.Fatal(err)
	}
	if r[0] == nil {
		return event.Receipt{}
	}
	return *r[0]
}
