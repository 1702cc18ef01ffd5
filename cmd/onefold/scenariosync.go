package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/pipeline/writeback"
	"github.com/onefold/onefold/simulation"
	"github.com/onefold/onefold/store/sqlite"
)

// prompt is a target that answers at once: what it is told costs nothing but to say it.
type prompt struct {
	*rest.File
	pushed atomic.Int64
}

// Abilities implements adapters.Target.
func (*prompt) Abilities() adapters.Abilities { return adapters.Abilities{Batch: 100, Merge: true} }

// Push implements adapters.Target.
func (t *prompt) Push(_ context.Context, deliveries []adapters.Delivery) ([]adapters.Receipt, error) {
	out := make([]adapters.Receipt, len(deliveries))
	for i := range out {
		out[i] = adapters.Receipt{RemoteID: deliveries[i].Customer.String(), RemoteVersion: "1"}
	}
	t.pushed.Add(int64(len(out)))
	return out, nil
}

// writeBack times the flow to a target that answers at once, from the embedded store to the kept receipt: as many customers as there are
// messages, none of whom it was told of before.
func (b *bench) writeBack(ctx context.Context, dir string, messages []simulation.Message) (func() (Sink, error), func() error, error) {
	folder, err := rest.Shipped("cardbox")
	if err != nil {
		return nil, nil, err
	}
	file, err := rest.Open(folder, "cardbox")
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlite.Open(ctx, storeFile(dir))
	if err != nil {
		return nil, nil, surroundings(err, "")
	}
	for first := 0; first < len(messages); first += benchGroup {
		var d customer.Delta
		for n := first; n < min(first+benchGroup, len(messages)); n++ {
			d.Customers = append(d.Customers, written(n))
		}
		if err := store.Update(ctx, func(tx customer.Tx) error { return tx.Apply(ctx, &d) }); err != nil {
			return nil, store.Close, err
		}
	}
	target := &prompt{File: file}
	c := writeback.Config{Name: "bench", Key: []byte("the key of a bench is no secret"), Now: b.now}
	flow := writeback.New(c, target, store, quiet(), nil)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	return func() (Sink, error) {
		defer stop()
		go func() { ended <- flow.Run(running) }()
		for tick := time.Tick(20 * time.Millisecond); ; {
			select {
			case <-tick:
			case <-ctx.Done():
				return Sink{}, ctx.Err()
			}
			st, err := flow.Status(ctx, store)
			if err != nil {
				return Sink{}, fmt.Errorf("status: %w", err)
			}
			if st.Receipts["held"] == int64(len(messages)) {
				stop()
				return Sink{Messages: target.pushed.Load(), Customers: st.Receipts["held"]}, <-ended
			}
		}
	}, store.Close, nil
}

// written is a customer as a shop and a bank make one.
func written(n int) *customer.Customer {
	id := customer.RecordID{byte(n), byte(n >> 8), byte(n >> 16), 1}
	number := strconv.Itoa(n)
	claim := func(text string) customer.Claim {
		return customer.Claim{Value: customer.Text(text), Source: "shop", Key: number, Event: "shop/t/0/" + number}
	}
	c := &customer.Customer{
		ID: id.Birth(0), Version: 1, Status: customer.Active,
		Members: []customer.Member{{Record: id, Source: "shop", Key: number}},
	}
	for _, field := range [][2]string{
		{"birthDate", "1980-02-03"},
		{"email", "person" + number + "@example.org"},
		{"familyName", "Family" + number},
		{"givenName", "Given"},
		{"phone", "+49301" + number},
		{"preferredLanguage", "de"},
		{"jobTitle", "clerk"},
	} {
		c.Attributes = append(c.Attributes, customer.Attribute{
			Path: customer.Path{Name: field[0]}, Claim: claim(field[1]), Rule: "recent", Losers: []customer.Claim{claim("another " + field[1])},
		})
	}
	address := claim("")
	address.Value = customer.Value{Parts: map[string]string{
		"streetAddress": "High Street " + number, "postalCode": "10115", "addressLocality": "Berlin", "addressCountry": "DE",
	}}
	c.Attributes = append(c.Attributes, customer.Attribute{Path: customer.Path{Name: "address", ID: "home"}, Claim: address, Rule: "union"})
	return c
}
