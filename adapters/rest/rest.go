// Package rest is a target that speaks HTTP and JSON. Which requests it makes, and what they say of a customer, a target file
// declares; each folder here is one system: target.yaml and its cases.
package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Limits of a target (invariant 10), and what holds where a Config does not say.
const (
	MaxParallel     = 64
	DefaultParallel = 4
	DefaultBatch    = 100
	DefaultTimeout  = 30 * time.Second
	maxRequestBytes = 4 << 20 // of the customers' fields in one request of a batch
)

// Config is one system that is written to.
type Config struct {
	File     *File
	URL      string // where the paths of the file begin
	Login    Login
	TLS      *tls.Config // nil: what the operating system trusts
	Account  *Account
	Batch    int           // most deliveries of one Push
	Parallel int           // most requests at once
	Timeout  time.Duration // of one request, its answer included
	Now      func() time.Time
	// Transport makes the requests instead of the network, for tests; TLS is then not looked at.
	Transport http.RoundTripper
}

// Target is a system that a target file describes. It keeps no state about customers, and is safe for concurrent use.
type Target struct {
	Config
	base      string
	abilities adapters.Abilities
	client    *resty.Client
	login     *login
}

var _ adapters.Target = (*Target)(nil)

// New returns a target. It starts nothing and connects to nobody.
func New(c Config) (*Target, error) {
	if c.File == nil || c.Account == nil || c.Now == nil {
		return nil, errors.New("a target needs a file, an account and a clock")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errors.New("the target's url is not one: write https://crm.example/api, without a user, a query or a fragment")
	}
	c.Parallel = within(c.Parallel, DefaultParallel, MaxParallel)
	c.Batch = within(c.Batch, DefaultBatch, MaxBatch)
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	t := &Target{
		Config: c, base: strings.TrimRight(u.String(), "/"),
		abilities: adapters.Abilities{Batch: c.Batch, Merge: c.File.merge != nil},
	}
	transport := c.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: c.Parallel, MaxConnsPerHost: c.Parallel, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: MaxHeaderBytes, TLSHandshakeTimeout: c.Timeout,
		}
	}
	client := &http.Client{
		Transport: transport,
		// What we say is for the address that the configuration names, and so are our credentials.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.client = resty.NewWithClient(client).SetLogger(silence{})
	t.login = newLogin(c.Login, client)
	return t, nil
}

func within(n, usual, most int) int {
	if n <= 0 {
		n = usual
	}
	return min(n, most)
}

// silence is a logger that says nothing: what fails is in the receipts, without what the library would quote (invariant 9).
type silence struct{}

func (silence) Errorf(string, ...any) {}
func (silence) Warnf(string, ...any)  {}
func (silence) Debugf(string, ...any) {}

// Close lets go of connections that nobody uses.
func (t *Target) Close() error {
	t.client.GetClient().CloseIdleConnections()
	return nil
}

// Abilities says what the target can do.
func (t *Target) Abilities() adapters.Abilities { return t.abilities }

// Render says what the target shall hold of a customer.
func (t *Target) Render(c *customer.Customer) (*adapters.Rendering, error) { return t.File.Render(c) }

// Render says what a target of this file shall hold of a customer: the fields as one JSON object, their names in order. Nil: this
// customer does not belong there.
func (f *File) Render(c *customer.Customer) (*adapters.Rendering, error) {
	if c.Status != customer.Active || !f.belongs(c) {
		return nil, nil //nolint:nilnil // the contract's word for a customer who does not belong there
	}
	r := &adapters.Rendering{Said: make([]customer.Path, 0, len(c.Attributes))}
	r.Body = f.fields.write(make([]byte, 0, 1024), c, &r.Said)
	slices.SortFunc(r.Said, customer.Path.Compare)
	r.Said = slices.Compact(r.Said)
	return r, nil
}

// Push brings deliveries to the target. It answers a receipt for each, also where the target cannot be reached or the context ends:
// what was not done then has a Problem that may pass.
func (t *Target) Push(ctx context.Context, deliveries []adapters.Delivery) ([]adapters.Receipt, error) {
	if len(deliveries) > t.abilities.Batch {
		return nil, event.Errorf(event.Permanent, "internal", "", "%d deliveries are more than the %d that one push may bring",
			len(deliveries), t.abilities.Batch)
	}
	p := &push{Target: t, deliveries: deliveries, receipts: make([]adapters.Receipt, len(deliveries))}
	p.each(ctx, p.jobs())
	var alone [][]int
	for i := range p.split {
		if p.split[i] {
			alone = append(alone, []int{i})
		}
	}
	p.each(ctx, alone)
	return p.receipts, nil
}

// push is one call of Push. Each delivery is in one job at a time, so that their receipts need no lock.
type push struct {
	*Target
	deliveries []adapters.Delivery
	receipts   []adapters.Receipt
	split      []bool // deliveries that are tried alone, for the batch that they were in was refused as a whole

	mu      sync.Mutex
	stop    *adapters.Problem // why nothing more is tried
	strikes int               // requests in a row that failed in a way that may pass
}

// jobs groups what one request can carry.
func (p *push) jobs() [][]int {
	var jobs [][]int
	p.split = make([]bool, len(p.deliveries))
	open, size := map[*request][]int{}, map[*request]int{}
	for i := range p.deliveries {
		d := &p.deliveries[i]
		q := p.batchOf(d)
		if q == nil {
			jobs = append(jobs, []int{i})
			continue
		}
		if n := len(open[q]); n == q.most || n > 0 && size[q]+len(d.Body) > maxRequestBytes {
			jobs, open[q], size[q] = append(jobs, open[q]), nil, 0
		}
		open[q], size[q] = append(open[q], i), size[q]+len(d.Body)
	}
	for _, q := range []*request{p.File.batch, p.File.updates} {
		if len(open[q]) > 0 {
			jobs = append(jobs, open[q])
		}
	}
	return jobs
}

// batchOf is the request that carries a delivery among others, nil where there is none. An entry whose own id is known may not know
// ours yet: it is not written by ours where the file can do otherwise.
func (p *push) batchOf(d *adapters.Delivery) *request {
	switch {
	case d.Op != adapters.Upsert:
		return nil
	case d.RemoteID != "" && p.File.update != nil:
		return p.File.updates
	}
	return p.File.batch
}

// each does jobs, so many at once as the configuration allows, and waits for all of them.
func (p *push) each(ctx context.Context, jobs [][]int) {
	next := make(chan []int)
	var workers sync.WaitGroup
	for range min(p.Parallel, len(jobs)) {
		workers.Go(func() {
			for job := range next {
				p.job(ctx, job)
			}
		})
	}
	for _, job := range jobs {
		next <- job
	}
	close(next)
	workers.Wait()
}

// job does one job, unless an earlier one has shown that there is no use.
func (p *push) job(ctx context.Context, job []int) {
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		stop = &adapters.Problem{Error: *unreachable(err, "the target")}
	}
	if stop != nil {
		p.fail(job, stop)
		return
	}
	if len(job) > 1 {
		p.several(ctx, job)
		return
	}
	d := &p.deliveries[job[0]]
	receipt, all := p.one(ctx, d)
	p.receipts[job[0]] = receipt
	if all {
		p.halt(receipt.Problem)
	}
}

// halt notes a problem that every other delivery would have as well.
func (p *push) halt(problem *adapters.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		p.stop = problem
	}
}

// strike counts requests that fail in a way that may pass. One in a row is bad luck; two rounds of them are a system that is down, and
// would let each of those that follow wait for its whole timeout.
func (p *push) strike(o outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.verdict != retryable {
		p.strikes = 0
		return
	}
	if p.strikes++; p.strikes >= 2*p.Parallel && p.stop == nil {
		p.stop = o.problem()
	}
}

func (p *push) fail(job []int, problem *adapters.Problem) {
	for _, i := range job {
		own := *problem
		p.receipts[i] = adapters.Receipt{RemoteID: p.deliveries[i].RemoteID, Problem: &own}
		p.split[i] = false
	}
}
