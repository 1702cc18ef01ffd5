package plugins

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins/proto"
)

// Target is our side of a plugin that speaks to an outside system: an adapters.Target whose Push another process does. Run starts the
// process and keeps it running; Push waits a while for it. What the process does wrong, crash, hang, answer too much or nonsense, makes
// the pushes that it was asked for retryable: whether they were done is not known, and they come again.
type Target struct {
	c     Config
	batch int
	watch watch

	mu       sync.Mutex
	life     *life         // nil while no process answers
	changed  chan struct{} // closed when life, or whether to wait for one, changes
	ended    bool          // Run has, or is about to
	suspects map[customer.CustomerID]int
}

// life is one life of the process, and the calls that are made in it.
type life struct {
	*process
	calls  sync.WaitGroup
	worked atomic.Bool // it has answered something
}

// NewTarget makes a Target and starts nothing. Run is called once. Batch is the most deliveries of one Push.
func NewTarget(c Config, batch int) *Target {
	return &Target{
		c: c.withDefaults(featurePush), batch: max(1, batch), changed: make(chan struct{}), suspects: map[customer.CustomerID]int{},
	}
}

// State answers how the plugin's process is.
func (t *Target) State() State { return t.watch.get() }

// Name is the plugin's name for people: that of its file.
func (t *Target) Name() string { return t.c.name() }

// Abilities says what a plugin can do: one that cannot merge entries removes the loser, so all of them can.
func (t *Target) Abilities() adapters.Abilities {
	return adapters.Abilities{Batch: t.batch, Merge: true}
}

// told is what a plugin is told of a customer: what it is known by, and its values. Versions, times and lineage are left out, for they
// change though nothing does that the outside system should hold.
type told struct {
	ID         customer.CustomerID `json:"id"`
	Attributes []value             `json:"attributes"`
}

type value struct {
	Path  customer.Path  `json:"path"`
	Value customer.Value `json:"value"`
}

// Told answers what a plugin is told of a customer, nil of one that is not active: all values. Which of them the outside system holds is
// the plugin's affair.
func Told(c *customer.Customer) (*adapters.Rendering, error) {
	if c.Status != customer.Active {
		return nil, nil
	}
	out := told{ID: c.ID, Attributes: make([]value, len(c.Attributes))}
	r := &adapters.Rendering{Said: make([]customer.Path, len(c.Attributes))}
	for i, a := range c.Attributes {
		out.Attributes[i], r.Said[i] = value{a.Path, a.Value}, a.Path
	}
	body, err := json.Marshal(&out)
	if err != nil { // its text might quote a value (invariant 9)
		return nil, event.Errorf(event.Permanent, "internal", "", "a value of the customer cannot be written as JSON")
	}
	r.Body = body
	return r, nil
}

// Render is Told: it needs no process.
func (*Target) Render(c *customer.Customer) (*adapters.Rendering, error) { return Told(c) }

// Run starts the process and keeps it running until ctx ends; then what is being pushed is waited for, and the process is drained and
// ended. It waits for all that it started, and always answers nil: that a plugin is down is its target's matter, not the service's.
func (t *Target) Run(ctx context.Context) error {
	for failures := 0; ; {
		worked, err := t.live(ctx)
		if ctx.Err() != nil {
			t.watch.ended()
			t.set(nil, true)
			return nil //nolint:nilerr // its end was wanted
		}
		if worked {
			failures = 0
		}
		wait := t.c.Limits.delay(failures)
		failures++
		open := failures >= t.c.Limits.Breaker
		t.watch.failed(say(err), open)
		t.set(nil, false)
		t.c.Log.WarnContext(ctx, "a plugin is down", slog.String("why", say(err)), slog.Int("failures", failures),
			slog.Duration("again", wait), slog.Bool("breaker", open))
		sleep(ctx, wait)
	}
}

// live runs the process once, from its start to its end, and tells whether it answered anything.
func (t *Target) live(ctx context.Context) (worked bool, err error) {
	p, err := start(ctx, t.c)
	if err != nil {
		return false, err
	}
	defer p.end()
	l := &life{process: p}
	t.watch.up(p.about.GetVersion())
	t.set(l, false)
	t.c.Log.InfoContext(ctx, "a plugin is up", slog.String("version", p.about.GetVersion()), slog.String("pid", p.child.ID()))
	var watched sync.WaitGroup
	watched.Go(func() { p.child.watch(t.c.Limits.Memory) })
	defer func() {
		p.child.kill()
		l.calls.Wait() // they fail at once
		watched.Wait()
	}()
	tick := time.NewTicker(t.c.Limits.HealthEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.feel(ctx, l)
		case <-p.child.exited:
			t.set(nil, false)
			return l.worked.Load(), event.Errorf(event.Retryable, "plugin", "", "the process has ended: %s", p.child.how())
		case <-ctx.Done():
			t.set(nil, true)
			l.calls.Wait() // nothing is in flight when it is drained, as the protocol promises; each call has its deadline
			p.drain()
			return l.worked.Load(), ctx.Err()
		}
	}
}

// feel asks the process for its health, and ends it where it does not answer.
func (t *Target) feel(ctx context.Context, l *life) {
	healthy, cancel := context.WithTimeout(ctx, t.c.Limits.Health)
	defer cancel()
	_, err := l.rpc.Health(healthy, &proto.HealthRequest{})
	switch {
	case err == nil:
		l.worked.Store(true)
	case ctx.Err() == nil:
		l.child.endFor("it does not answer Health")
	}
}

// set tells everybody who waits that there is a process, or none.
func (t *Target) set(l *life, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.life, t.ended = l, ended
	close(t.changed)
	t.changed = make(chan struct{})
}

// enter answers the process, once there is one, and counts a call in it. It waits for a process as long as one may take to start, but not
// for one that does not come up any more.
func (t *Target) enter(ctx context.Context) (*life, error) {
	patience := time.NewTimer(t.c.Limits.Start)
	defer patience.Stop()
	for {
		t.mu.Lock()
		l, changed, ended := t.life, t.changed, t.ended
		if l != nil {
			l.calls.Add(1)
		}
		t.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case ended:
			return nil, event.Errorf(event.Retryable, "plugin", "", "the plugin %s has been ended", t.c.name())
		case t.State().Down:
			return nil, t.absent()
		}
		select {
		case <-changed:
		case <-patience.C:
			return nil, t.absent()
		case <-ctx.Done():
			return nil, t.unwaited(ctx)
		}
	}
}

func (t *Target) absent() error {
	return event.Errorf(event.Retryable, "plugin", "", "the plugin %s is not up: %s", t.c.name(), t.State())
}

func (t *Target) unwaited(ctx context.Context) error {
	return event.Errorf(event.Retryable, "plugin", "", "the plugin %s was not waited for: %w", t.c.name(), ctx.Err())
}
