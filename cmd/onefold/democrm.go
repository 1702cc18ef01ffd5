package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/simulation/crm"
)

// Of the demo's CRM.
const (
	crmName   = "crm" // as a target, and as the source that its webhooks are
	crmTopic  = "crm.webhooks"
	crmSystem = "cardbox"
	crmListen = "127.0.0.1:8090"
	crmToken  = "demo"
)

// Of the people who work with the demo's CRM.
const (
	editEach = 50                   // events of the town for one edit
	editTick = 2 * time.Millisecond // shortest time between two edits
)

// crmFaults are the bad days of the demo's CRM: a quota that a busy hour uses up, and now and then an error, an answer that breaks off,
// a part of a batch that fails, a webhook that comes twice.
func crmFaults() crm.Faults {
	return crm.Faults{
		Quota: 25, Burst: 25, Errors: 0.01, Slow: 0.02, Delay: 50 * time.Millisecond, Cut: 0.01, Partial: 0.002, Again: 0.02,
	}
}

// office is the CRM of a demo, and the people who work with it.
type office struct {
	*crm.CRM
	address string
	ln      net.Listener // for its first life
	edits   int          // that are to be made
	edited  atomic.Int64 // that were
}

// openOffice opens the CRM at an address, or, where that is taken, at a free one.
func openOffice(ctx context.Context, address string, c crm.Config, edits int) (*office, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		if ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return nil, surroundings(err, "let this user listen on a port of this machine")
		}
	}
	return &office{CRM: crm.New(c), address: ln.Addr().String(), ln: ln, edits: edits}, nil
}

// join makes the CRM a target of a configuration, and the source of its webhooks.
func (o *office) join(c *config.Config) {
	c.Sources[crmName] = config.Source{Adapter: crmSystem, Topic: crmTopic}
	c.Targets = map[string]config.Target{crmName: {
		Adapter: "rest", Target: crmSystem, URL: "http://" + o.address, Source: crmName, Account: crmName,
		Auth: config.TargetAuth{Bearer: crmToken}, Rate: config.DefaultRate, Burst: config.DefaultRate, Batch: config.DefaultBatch,
		Parallel: config.DefaultParallel, Timeout: config.DefaultTimeout,
	}}
}

// run serves, tells of changes and lets people edit, until ctx ends. Due says how many edits may have been made by now; send puts
// messages on a topic, and sent is told of those that are on it.
func (o *office) run(ctx context.Context, due func() int64, send sender, sent func(n int)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.Serve(ctx, o.ln) })
	g.Go(func() error { return o.deliver(ctx, send, sent) })
	g.Go(func() error { o.work(ctx, due); return nil })
	return g.Wait()
}

// sender puts messages on a topic.
type sender func(ctx context.Context, topic string, ms ...*event.Message) error

// work lets people edit contacts, one after another and as many as are due, until all edits are made or ctx ends.
func (o *office) work(ctx context.Context, due func() int64) {
	tick := time.NewTicker(editTick)
	defer tick.Stop()
	for o.edited.Load() < int64(o.edits) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if o.edited.Load() >= due() {
			continue
		}
		if _, ok := o.Edit(); ok {
			o.edited.Add(1)
		}
	}
}

// rested tells whether nobody edits any more and each webhook is on its topic.
func (o *office) rested() bool { return o.edited.Load() >= int64(o.edits) && o.Waiting() == 0 }

// deliver puts webhooks on their topic until ctx ends. Sent is told of each batch that the broker has acknowledged.
func (o *office) deliver(ctx context.Context, send sender, sent func(n int)) error {
	err := o.Deliver(ctx, func(ctx context.Context, batch []crm.Message) error {
		ms := make([]*event.Message, len(batch))
		for i := range batch {
			ms[i] = &event.Message{Topic: crmTopic, Key: batch[i].Key, Value: batch[i].Value}
		}
		if err := send(ctx, crmTopic, ms...); err != nil {
			return err
		}
		sent(len(ms))
		return nil
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// calm tells whether all that was sent has taken effect and has left, and nothing of it is on its way back: not only now, but since the
// last time that it was asked, for what leaves the CRM is in nobody's hands for a moment.
func (d *demo) calm(ctx context.Context, t pipeline.Totals, c customer.Counts) (bool, error) {
	targets, err := d.service.targetStatus(ctx)
	if err != nil {
		return false, err
	}
	now := [...]int64{t.Received, d.sent.Load(), d.office.Stats().Calls}
	calm := t.InFlight() == 0 && t.Received >= d.sent.Load() && c.Outbox == 0 && d.office.rested()
	for _, s := range targets {
		calm = calm && s.Waiting == 0 && s.Receipts[event.Owed]+s.Receipts[event.Sending] == 0
	}
	same := now == d.last
	d.last = now
	return calm && same, nil
}

// given is what became of customers at a target.
type given struct{ pushed, unchanged, echoes int64 }

// given reads what became of customers at a target out of the metrics: one ledger.
func (s *service) given(target string) (w given, err error) {
	families, err := s.metrics.Gather()
	if err != nil {
		return w, fmt.Errorf("metrics: %w", err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if label(m, "target") != target {
				continue
			}
			n := int64(m.GetCounter().GetValue())
			switch result := label(m, "result"); {
			case f.GetName() == "onefold_target_echoes_total":
				w.echoes += n
			case f.GetName() != "onefold_target_records_total":
			case result == "unchanged":
				w.unchanged += n
			case result == "upserted" || result == "merged" || result == "removed":
				w.pushed += n
			}
		}
	}
	return w, nil
}

// customers is where all customers can be read.
type customers interface {
	EachCustomer(ctx context.Context, fn func(*customer.Customer, []*customer.Record, []*customer.Interaction) error) error
}

// agree holds contacts against the master: each active customer whom the target file wants has exactly one contact, which says what the
// file says of that customer, and there is no other contact. It tells each difference by the customer's id, and answers how many there
// are.
func agree(ctx context.Context, of customers, file *rest.File, contacts []crm.Contact, out io.Writer) (int, error) {
	var found []string
	held := map[string]*crm.Contact{}
	for i := range contacts {
		x := &contacts[i]
		if held[x.ExternalID] != nil {
			found = append(found, x.ExternalID+" has two contacts")
		}
		held[x.ExternalID] = x
	}
	err := of.EachCustomer(ctx, func(c *customer.Customer, _ []*customer.Record, _ []*customer.Interaction) error {
		want, err := file.Render(c)
		if err != nil || want == nil {
			return err
		}
		x := held[c.ID.String()]
		delete(held, c.ID.String())
		switch {
		case x == nil:
			found = append(found, c.ID.String()+" has no contact")
		default:
			got, err := json.Marshal(&x.Properties)
			if err != nil {
				return err
			}
			if !sayTheSame(want.Body, got) {
				found = append(found, c.ID.String()+" is another in the CRM")
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for id := range held {
		found = append(found, fmt.Sprintf("%q has a contact and is no active customer", id))
	}
	tell(out, found)
	return len(found), nil
}

// sayTheSame tells whether two objects say the same: what is null, or holds nothing but nulls, says nothing.
func sayTheSame(a, b []byte) bool {
	read := func(raw []byte) (v any) {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return raw
		}
		return pruned(v)
	}
	return reflect.DeepEqual(read(a), read(b))
}

func pruned(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for name, x := range m {
		if x = pruned(x); x != nil {
			out[name] = x
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
