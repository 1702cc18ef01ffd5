package plugins_test

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/plugins"
	"github.com/onefold/onefold/simulation/crm"
)

const barSecret = "the-secret-of-the-bar"

// restTarget is a target that lives within Onefold otherwise.
func restTarget(url string) (*rest.Target, *rest.File, error) {
	folder, err := rest.Shipped("cardbox")
	if err != nil {
		return nil, nil, err
	}
	file, err := rest.Open(folder, "cardbox")
	if err != nil {
		return nil, nil, err
	}
	t, err := rest.New(rest.Config{
		File: file, URL: url, Login: rest.Login{Bearer: barSecret}, Account: rest.NewAccount(1000, 1000, time.Now), Batch: 3, Parallel: 2,
		Timeout: time.Minute, Now: time.Now,
	})
	return t, file, err
}

// through renders as the process will, and pushes through it what it is to render: so the bar can compare what the system holds.
type through struct {
	*plugins.Target
	file *rest.File
	mu   *sync.Mutex
	told map[string][]byte // by what the system is to hold: what the process is told
}

func (w through) Render(c *customer.Customer) (*adapters.Rendering, error) {
	r, err := w.file.Render(c)
	told, wrong := w.Target.Render(c)
	if err != nil || wrong != nil || r == nil || told == nil {
		return r, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[c.ID.String()+string(r.Body)] = told.Body
	return r, nil
}

func (w through) Push(ctx context.Context, ds []adapters.Delivery) ([]adapters.Receipt, error) {
	ds = append([]adapters.Delivery{}, ds...)
	w.mu.Lock()
	for i := range ds {
		if ds[i].Op == adapters.Upsert {
			ds[i].Body = w.told[ds[i].Customer.String()+string(ds[i].Body)]
		}
	}
	w.mu.Unlock()
	return w.Target.Push(ctx, ds)
}

// index is the CRM of the simulation, whose contacts are what the file says of them.
type index struct{ *crm.CRM }

func (b index) Holds() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, c := range b.Contacts() {
		custom := map[string]*string{"lastCall": nil}
		for name, text := range c.Custom {
			custom[name] = &text
		}
		var members map[string]any // whose names, as those of the address, come in order
		text, err := json.Marshal(c.Properties)
		if err == nil {
			err = json.Unmarshal(text, &members)
		}
		if err != nil {
			panic(err)
		}
		members["custom"] = custom
		if text, err = json.Marshal(members); err != nil {
			panic(err)
		}
		out[c.ExternalID] = text
	}
	return out
}

// The bar of targets, with the target in another process: a fault of its system, a hostile value, a lost answer or a redirect is dealt with
// there as it would be here.
func TestTargetPluginClearsTheBarOfTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("left out of the short form: each law starts a process")
	}
	t.Parallel()
	sum, err := plugins.Checksum(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	person := func(n int, given, email string) customer.Customer {
		c := *shopper(t, n, given)
		c.Attributes = append([]customer.Attribute{
			{Path: customer.Path{Name: "email", ID: "1"}, Claim: customer.Claim{Value: customer.Text(email)}},
			{Path: customer.Path{Name: "familyName"}, Claim: customer.Claim{Value: customer.Text("Miller")}},
		}, c.Attributes...)
		return c
	}
	adaptertest.RunTarget(t, adaptertest.TargetSetup{
		Target: func(t *testing.T, url string) adapters.Target {
			target := plugins.NewTarget(plugins.Config{
				Source: "bar", Command: os.Args[0], Args: []string{"be", "rest", url}, Checksum: sum, Limits: plugins.Limits{Start: time.Minute},
			}, 3)
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- target.Run(ctx) }()
			t.Cleanup(func() { stop(); <-done })
			await(t, "it is up", func() bool { return target.State().Up })
			_, file, err := restTarget(url)
			if err != nil {
				t.Fatal(err)
			}
			return through{target, file, &sync.Mutex{}, map[string][]byte{}}
		},
		System: func() adaptertest.System { return index{crm.New(crm.Config{Token: barSecret, Now: time.Now})} },
		Good:   []customer.Customer{person(1, "Annabel", "ana.one@example.com"), person(2, "Bertrand", "bo.two@example.com"), person(3, "Christina", "chris@example.com")},
		Bad:    person(9, "Mallory", "no address of anybody"), Secret: barSecret,
	})
}
