package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/simulation"
	"github.com/onefold/onefold/simulation/crm"
)

// Summary is what a demo that ran to its end came to.
type Summary struct {
	Received        int64          `json:"received"`
	Applied         int64          `json:"applied"`
	Duplicate       int64          `json:"duplicate"`
	Stale           int64          `json:"stale"`
	Ignored         int64          `json:"ignored"`
	Dead            int64          `json:"dead"`
	Records         int64          `json:"records"`
	Customers       int64          `json:"customers"`
	Interactions    int64          `json:"interactions"`
	Merges          int64          `json:"merges"`
	Pushed          int64          `json:"pushed"`    // customers that were written to the CRM, made one there, or taken out of it
	Unchanged       int64          `json:"unchanged"` // versions of customers of which the CRM held everything already: no call at all
	Throttled       int64          `json:"throttled"` // calls that the CRM has put off
	Edits           int64          `json:"edits"`     // by people who work with the CRM
	Echoes          int64          `json:"echoes"`    // what the CRM told of our own writes
	Contacts        int64          `json:"contacts"`  // that the CRM holds in the end
	Seconds         float64        `json:"seconds"`
	EventsPerSecond float64        `json:"events_per_second"`
	Truth           match.Accuracy `json:"truth"`
}

// demo is one run of the whole in one process, fed by a made-up town.
type demo struct {
	*program
	people, events, rate int
	edits                int
	seed                 uint64
	dir                  string
	exit                 bool

	service *service
	office  *office
	town    *simulation.Town
	begun   time.Time
	fed     atomic.Int64 // messages of the town that the broker has acknowledged
	last    [3]int64     // what calm has seen
	sent    atomic.Int64 // messages that the broker has acknowledged, the CRM's webhooks among them

	surveyed bool // at the end
}

func (p *program) demoCommand() *cobra.Command {
	d := &demo{program: p}
	c := &cobra.Command{
		Use: "demo", Args: cobra.NoArgs,
		Short: "Run everything in one process, fed by a simulated bank, tills, web shop and an old core banking system",
		Long: "Run an embedded broker, an embedded store, the pipeline and the API in one process, and feed them with the messages\n" +
			"of a made-up town in the native formats of ISO 20022, Square, Shopify, and the nightly files of an old core banking\n" +
			"system, which a plugin maps. Customers are written to a small CRM, whose users edit them meanwhile. Ends on Ctrl-C, or\n" +
			"with --exit when all is done: then the CRM must hold what the master holds.",
		Example: "  onefold demo\n  onefold demo --people 5000 --events 20000 --seed 1 --exit -o json",
	}
	c.Flags().IntVar(&d.people, "people", 2000, "people of the town")
	c.Flags().IntVar(&d.events, "events", 10000, "messages that its systems send")
	c.Flags().Uint64Var(&d.seed, "seed", 1, "the same seed makes the same town")
	c.Flags().IntVar(&d.rate, "rate", -1, "messages a second, 0 as fast as it goes; default 500, with --exit 0")
	c.Flags().IntVar(&d.edits, "edits", -1, fmt.Sprintf("edits by the users of the CRM; default one for every %d messages", editEach))
	c.Flags().BoolVar(&d.exit, "exit", false, "end when everything is processed, and print a summary")
	c.Flags().StringVar(&d.dir, "data", "", "keep broker and store in this folder; default a temporary one that is removed at the end")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		if err := (simulation.Config{People: d.people, Events: d.events, Seed: d.seed}).Check(); err != nil {
			return &usage{text: err.Error(), hint: "give --people and --events within these bounds"}
		}
		if d.rate < 0 && !d.exit {
			d.rate = 500
		}
		if d.edits < 0 {
			d.edits = d.events / editEach
		}
		return d.run(c.Context())
	}
	return c
}

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "onefold-demo-"); err != nil {
			return surroundings(err, "set TMPDIR to a folder that this user may write to, or use --data")
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	}
	d.town = simulation.New(simulation.Config{People: d.people, Events: d.events, Seed: d.seed, Core: coreShare})
	cfg, err := d.config(ctx)
	if err != nil {
		return err
	}
	d.office, err = openOffice(ctx, crmListen,
		crm.Config{Token: crmToken, Seed: d.seed, Faults: crmFaults(), Now: d.now}, d.edits)
	if err != nil {
		return err
	}
	defer func() { _ = d.office.ln.Close() }() // its server has closed it, if there was one
	d.office.join(cfg)
	d.service, err = open(ctx, cfg, newLog(d.err, d.live, slog.LevelWarn), d.now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.service.close()) }()
	d.begun = d.now()

	serving, stop := context.WithCancel(ctx)
	defer stop()
	working, leave := context.WithCancel(context.WithoutCancel(ctx)) // the CRM outlives who writes to it
	defer leave()
	served, worked := begin(func() error { return d.service.run(serving) }), begin(func() error { return d.work(working) })
	d.welcome()
	err = d.play(serving, served.over)
	stop()
	err = errors.Join(forgive(err, !d.exit), served.wait()) // Ctrl-C is how a demo ends
	leave()
	return errors.Join(err, worked.wait())
}

// part is something that runs beside.
type part struct {
	over chan struct{}
	err  error
}

func begin(run func() error) *part {
	p := &part{over: make(chan struct{})}
	go func() {
		defer close(p.over)
		p.err = run()
	}()
	return p
}

func (p *part) wait() error {
	<-p.over
	return p.err
}

func forgive(err error, interrupted bool) error {
	if interrupted && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// work lets the CRM be there, its webhooks come, and its people edit, until ctx ends.
func (d *demo) work(ctx context.Context) error {
	due := func() int64 { return d.fed.Load() * int64(d.edits) / int64(d.events) }
	return d.office.run(ctx, due, d.service.publisher.Send, func(n int) { d.sent.Add(int64(n)) })
}

// coreShare is how many of the grown-ups of a demo's town the old core banking system knows.
const coreShare = 0.25

// demoConfig is that of an installation in dir with the three sources of a town whose adapters are shipped.
func demoConfig(dir string) *config.Config {
	c := config.Default(dir)
	c.Data, c.Store.SQLite.Path = dir, storeFile(dir)
	c.Sources = map[string]config.Source{
		"shop": {Adapter: "shopify", Topic: "shop.webhooks"},
		"pos":  {Adapter: "square", Topic: "pos.events"},
		"bank": {Adapter: "iso20022", Topic: "bank.statements"},
	}
	return c
}

// config is the demo's: of the old core banking system this program is the plugin, in a process of its own. A port that is taken is
// replaced by a free one.
func (d *demo) config(ctx context.Context) (*config.Config, error) {
	dir, err := filepath.Abs(d.dir)
	if err != nil { // no working directory: the folder is named as it was given
		dir = d.dir
	}
	c := demoConfig(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, surroundings(err, "name a folder that this user may write to with --data")
	}
	plugin, err := ownPlugin(dir)
	if err != nil {
		return nil, surroundings(err, "run the program from a file that this user may read")
	}
	c.Sources[simulation.Core] = config.Source{Plugin: plugin, Topic: simulation.CoreTopic}
	for _, address := range []*string{&c.Kafka.Listen, &c.Console.Listen, &c.Admin.Listen} {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *address)
		if err != nil {
			fmt.Fprintf(d.err, "%s is taken, a free port is used instead\n", *address)
			*address = "127.0.0.1:0"
			continue
		}
		_ = ln.Close() // it was only tried
	}
	return c, nil
}

// welcome says what to open or type next; where nobody watches, only where the CRM is.
func (d *demo) welcome() {
	if d.exit {
		fmt.Fprintf(d.err, "the CRM is at http://%s, Authorization: Bearer %s\n", d.office.address, crmToken)
		return
	}
	api := "http://" + d.service.api.Addr().String()
	flag := ""
	if api != "http://127.0.0.1:8080" {
		flag = " --server " + api
	}
	somebody := d.town.Truth()[0]
	fmt.Fprintf(d.out, `Onefold is running. The bank, the tills and the web shop of a town of %d people send %d messages, the bank's old core
system its nightly files, which a plugin maps in a process of its own. Customers are written to a CRM, whose users edit them.

  console  %s/
  API      %[3]s/api/v1/status
  metrics  http://%s/metrics
  broker   %s, topics shop.webhooks pos.events bank.statements bank.feed crm.webhooks; customers go to %s
  CRM      http://%s/contacts
  data     %s

Open the console in a browser, or type next, in another terminal:
  %[9]s source list%[10]s
  %[9]s customer find --source %[11]s --key %[12]s%[10]s
  %[9]s dead list%[10]s
  %[9]s customer export%[10]s | head -1
  curl -s -H 'Authorization: Bearer %[13]s' 'http://%[7]s/contacts?limit=2'

Ctrl-C ends it.

`, d.people, d.events, api, d.service.admin.Addr(), d.service.broker.Addr(), d.service.config.Topics.Customers, d.office.address,
		d.service.config.Data, cmp.Or(d.name, "onefold"), flag, somebody.Source, somebody.Key, crmToken)
}

// play feeds the town's messages and shows how it goes. With --exit it ends when everything that was sent has taken effect and has
// been published, and prints the summary; else when ctx ends.
func (d *demo) play(ctx context.Context, ended <-chan struct{}) error {
	feeding, stop := context.WithCancel(ctx)
	fed := make(chan error, 1)
	go func() {
		fed <- feed(feeding, d.town.Messages(), d.service.publisher, d.rate, func(n int) {
			d.sent.Add(int64(n))
			d.fed.Add(int64(n))
		})
	}()
	complete := false
	defer func() {
		stop()
		if !complete {
			<-fed //nolint:errcheck // it was told to stop, and has nothing else to say
		}
	}()
	line := d.newProgress()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-fed:
			complete = true
			if err != nil {
				return err
			}
		case <-tick.C:
			counts, err := d.service.store.Counts(ctx)
			if err != nil {
				return err
			}
			totals := d.service.ingest.Totals()
			line.show(d.sent.Load(), totals, counts, len(d.office.Contacts()))
			calm, err := d.calm(ctx, totals, counts)
			if err != nil {
				return err
			}
			if !d.exit || !complete || !calm {
				continue
			}
			if !d.surveyed { // the model is that of all records, however fast they came; what changes by it goes out, too
				d.surveyed = true
				if err := d.service.study.settle(ctx); err != nil {
					return err
				}
				continue
			}
			line.end()
			return d.finish(ctx, totals)
		case <-ended:
			return errors.New("the service ended by itself")
		case <-ctx.Done():
			line.end()
			return ctx.Err()
		}
	}
}

// finish prints the summary, and holds what is on the topic of customers against the store.
func (d *demo) finish(ctx context.Context, t pipeline.Totals) error {
	seconds := d.now().Sub(d.begun).Seconds()
	counts, err := d.service.store.Counts(ctx)
	if err != nil {
		return err
	}
	of := map[party]customer.CustomerID{}
	err = d.service.store.EachCustomer(ctx, func(c *customer.Customer, _ []*customer.Record, _ []*customer.Interaction) error {
		for _, m := range c.Members {
			of[party{m.Source, m.Key}] = c.ID
		}
		return nil
	})
	if err != nil {
		return err
	}
	wrote, err := d.service.given(crmName)
	if err != nil {
		return err
	}
	contacts := d.office.Contacts()
	sum := Summary{
		Received: t.Received, Applied: t.Applied, Duplicate: t.Duplicate, Stale: t.Stale, Ignored: t.Ignored, Dead: t.Dead,
		Records: counts.Records, Customers: counts.Customers, Interactions: counts.Interactions, Merges: counts.Merges,
		Pushed: wrote.pushed, Unchanged: wrote.unchanged, Throttled: d.office.Stats().Throttled, Edits: d.office.Stats().Edited,
		Echoes: wrote.echoes, Contacts: int64(len(contacts)),
		Seconds: round(seconds, 3), EventsPerSecond: round(float64(t.Received)/seconds, 1), Truth: score(d.town.Truth(), of),
	}
	if err := d.one(sum, sum.print); err != nil {
		return err
	}
	if t.InFlight() != 0 || t.Received != d.sent.Load() { // invariant 7
		return fmt.Errorf("%d messages were sent, %d received, and %d of them ended in no outcome", d.sent.Load(), t.Received, t.InFlight())
	}
	differences, err := d.service.compare(ctx, d.err)
	if err != nil {
		return err
	}
	if differences > 0 {
		return fmt.Errorf("the topic of customers differs from the store in %d customers", differences)
	}
	file, _, err := targetFile(crmSystem)
	if err != nil {
		return err
	}
	if differences, err = agree(ctx, d.service.store, file, contacts, d.err); err != nil {
		return err
	}
	if differences > 0 {
		return fmt.Errorf("the CRM differs from the master in %d customers", differences)
	}
	return nil
}

func round(f float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(f*p) / p
}

func (s *Summary) print(w io.Writer) error {
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	return table(w, nil, [][]string{
		{"messages", n(s.Received), fmt.Sprintf("applied %d, duplicate %d, stale %d, ignored %d, dead %d",
			s.Applied, s.Duplicate, s.Stale, s.Ignored, s.Dead)},
		{"records", n(s.Records), ""},
		{"customers", n(s.Customers), n(s.Merges) + " merges on the way"},
		{"interactions", n(s.Interactions), ""},
		{"CRM contacts", n(s.Contacts), fmt.Sprintf("pushed %d, unchanged %d, throttled %d", s.Pushed, s.Unchanged, s.Throttled)},
		{"CRM edits", n(s.Edits), fmt.Sprintf("echoes of our own writes %d", s.Echoes)},
		{"seconds", fmt.Sprintf("%.1f", s.Seconds), fmt.Sprintf("%.0f messages a second", s.EventsPerSecond)},
		{"truth", fmt.Sprintf("%.4f", s.Truth.F1), fmt.Sprintf("precision %.4f, recall %.4f", s.Truth.Precision, s.Truth.Recall)},
	})
}
