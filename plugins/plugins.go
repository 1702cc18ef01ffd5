// Package plugins lets an adapter live in a process of its own, in any language that speaks gRPC: onefold.adapter.v1, which
// lies in proto/adapter.proto. Serve is the side of an author in Go, Host is ours: it starts the process, watches over it and
// is an adapters.Source like any other, so that the pipeline cannot tell. What the process does wrong, crash, hang, answer too
// much or nonsense, becomes of its own messages only.
package plugins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Config says which process is the adapter of which source.
type Config struct {
	Source   string            // name of the configured source
	Command  string            // file that is run: a program, or a script with a first line that says what runs it
	Args     []string          // of the command
	Checksum string            // of the command's file: "sha256:" and 64 hex digits, as Checksum answers it. Required
	Settings map[string]string // what the adapter is told by Configure
	Limits   Limits            // zero fields take the defaults
	feature  string            // that its description must name; empty: any

	Log    *slog.Logger // nil: none
	Stderr io.Writer    // what the process writes to its standard error, which may be personal (invariant 9); nil: nowhere
}

// Host is our side of a plugin: a Source whose Map another process computes. Run starts the process and keeps it running; Map
// waits for it.
type Host struct {
	c        Config
	queue    chan *request
	ended    chan struct{} // closed when Run has ended
	breaker  breaker
	watch    watch
	carried  *request       // had no room in the last batch. Run's own, as the next two
	suspects []*request     // were in a call that failed: they come again a few at a time, then alone
	strikes  map[string]int // how often a message alone broke the process, by its id
}

// NewHost makes a Host and starts nothing. Run is called once.
func NewHost(c Config) *Host {
	c = c.withDefaults(featureMap)
	return &Host{c: c, queue: make(chan *request), ended: make(chan struct{}), strikes: map[string]int{}}
}

func (c Config) withDefaults(feature string) Config {
	c.Limits, c.feature = c.Limits.withDefaults(), feature
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With(slog.String("source", c.Source), slog.String("plugin", c.name()))
	return c
}

// name is the plugin's name for people: that of its file.
func (c Config) name() string {
	base := filepath.Base(c.Command)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// Describe says what is known without the process: its version is a hash of the file, the arguments and the settings, so that a
// change of any of them is a new mapping revision.
func (h *Host) Describe() adapters.Description {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s|%q|", h.c.Checksum, h.c.Args)
	for _, name := range slices.Sorted(maps.Keys(h.c.Settings)) {
		fmt.Fprintf(hash, "%q=%q|", name, h.c.Settings[name])
	}
	return adapters.Description{Name: h.c.name(), Kind: "plugin", Version: hex.EncodeToString(hash.Sum(nil))}
}

// Concurrent is how many calls of Map at a time fill the batches of all calls that the process is given at a time.
func (h *Host) Concurrent() int { return h.c.Limits.Batch * h.c.Limits.Window }

// Map has the process map a message, in a batch with others. While the process cannot, the error is retryable, and the message
// is held; a message that breaks the process whenever it comes alone is refused for good, with the reason "plugin".
func (h *Host) Map(ctx context.Context, m *event.Message) ([]customer.Change, error) {
	if err := h.breaker.check(); err != nil {
		return nil, err
	}
	r := newRequest(ctx, m)
	select {
	case h.queue <- r:
	case <-ctx.Done():
		return nil, h.late(ctx)
	case <-h.ended:
		return nil, event.Errorf(event.Retryable, "plugin", "", "the plugin %s has been ended", h.c.name())
	}
	select {
	case a := <-r.answer:
		return a.changes, a.err
	case <-ctx.Done():
		return nil, h.late(ctx)
	case <-h.ended:
		select {
		case a := <-r.answer:
			return a.changes, a.err
		default:
			return nil, event.Errorf(event.Retryable, "plugin", "", "the plugin %s has been ended", h.c.name())
		}
	}
}

func (h *Host) late(ctx context.Context) error {
	return event.Errorf(event.Retryable, "plugin", "", "the plugin %s has not answered in time: %w", h.c.name(), ctx.Err())
}

// Run starts the process and keeps it running until ctx ends; then what is in flight is answered, and the process is drained
// and ended. It waits for all that it started. A process that ends is started anew after a while, twice as long after each
// failure without a success between; after some of these Map does not wait for it any more. So it always answers nil: that a
// plugin is down is its messages' matter, not the service's.
func (h *Host) Run(ctx context.Context) error {
	defer close(h.ended)
	for failures := 0; ; {
		worked, err := h.live(ctx)
		if ctx.Err() != nil {
			h.watch.ended()
			h.giveUp(event.Errorf(event.Retryable, "plugin", "", "the plugin %s has been ended", h.c.name()))
			return nil
		}
		if worked {
			failures = 0
		}
		wait := h.c.Limits.delay(failures)
		failures++
		open := failures >= h.c.Limits.Breaker
		h.watch.failed(say(err), open)
		h.c.Log.WarnContext(ctx, "a plugin is down", slog.String("why", say(err)), slog.Int("failures", failures),
			slog.Duration("again", wait), slog.Bool("breaker", open))
		if open {
			down := event.Errorf(event.Retryable, "plugin", "", "the plugin %s is down: %s", h.c.name(), say(err))
			h.breaker.trip(down)
			h.giveUp(down)
		}
		sleep(ctx, wait)
	}
}

// giveUp answers everybody who waits.
func (h *Host) giveUp(err error) {
	if h.carried != nil {
		h.suspects = append(h.suspects, h.carried)
	}
	for _, r := range h.suspects {
		r.reply(nil, err)
	}
	h.suspects, h.carried = nil, nil
}

// live runs the process once, from its start to its end, and tells whether a call of it succeeded.
func (h *Host) live(ctx context.Context) (worked bool, err error) {
	p, err := start(ctx, h.c)
	if err != nil {
		return false, err
	}
	h.breaker.reset()
	h.watch.up(p.about.GetVersion())
	h.c.Log.InfoContext(ctx, "a plugin is up", slog.String("version", p.about.GetVersion()), slog.String("pid", p.child.ID()))
	return h.work(ctx, p)
}

// say answers an error's text where it is ours: of others only what they are, for they may quote what the process wrote
// (invariant 9).
func say(err error) string {
	var e *event.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return fmt.Sprintf("an error of type %T", err)
}

// breaker lets nobody wait for a process that does not come up.
type breaker struct {
	mu  sync.Mutex
	err error
}

func (b *breaker) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *breaker) trip(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *breaker) reset() { b.trip(nil) }

// Checksum answers the checksum of a file as a configuration pins it.
func Checksum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("checksum: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", fmt.Errorf("checksum: %w", err)
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// Check tells what can be told of a plugin without starting it: whether its file is there, can be run, and is the one that
// was pinned.
func (c Config) Check() error {
	info, err := os.Stat(c.Command)
	switch {
	case err != nil:
		return event.Errorf(event.Permanent, "plugin", "command", "the file cannot be read: %w", pathless(err))
	case info.IsDir() || !runnable(info):
		return event.Errorf(event.Permanent, "plugin", "command", "this is not a file that can be run: build it, or chmod +x")
	}
	found, err := Checksum(c.Command)
	if err != nil {
		return event.Errorf(event.Permanent, "plugin", "command", "the file cannot be read: %w", pathless(err))
	}
	if found != c.Checksum {
		return event.Errorf(event.Permanent, "plugin", "checksum",
			"the file is not the one that was pinned: it has %s; look why, and if it is right, pin that", found)
	}
	return nil
}

// pathless is an error of the file system without the path.
func pathless(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
