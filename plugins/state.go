package plugins

import (
	"fmt"
	"sync"
)

// State is how a plugin's process is.
type State struct {
	Up       bool   // it runs and answers
	Down     bool   // it has failed so often that nobody waits for it
	Version  string // of the adapter, as the process last said
	Lives    int64  // processes that came up so far
	Failures int64  // processes that ended by themselves, or had to be ended
	Why      string // of the last failure; holds nothing of a message (invariant 9)
}

// State answers how the plugin's process is.
func (h *Host) State() State { return h.watch.get() }

// Name is the plugin's name for people: that of its file.
func (h *Host) Name() string { return h.c.name() }

// String says in a few words how it is.
func (s State) String() string {
	switch {
	case s.Up && s.Failures == 0:
		return "it runs"
	case s.Up:
		return fmt.Sprintf("it runs; it has failed %d times before, the last time: %s", s.Failures, s.Why)
	case s.Failures == 0:
		return "it starts"
	}
	return fmt.Sprintf("it is started again; it has failed %d times, the last time: %s", s.Failures, s.Why)
}

// watch holds what is seen of the process.
type watch struct {
	mu    sync.Mutex
	state State
}

func (w *watch) get() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

func (w *watch) up(version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Up, w.state.Down, w.state.Version = true, false, version
	w.state.Lives++
}

func (w *watch) failed(why string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Up, w.state.Down, w.state.Why = false, down, why
	w.state.Failures++
}

func (w *watch) ended() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Up = false
}
