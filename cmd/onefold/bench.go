package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/simulation"
)

// Measurement is what a scenario came to. Two sides, A and B, run the same code in turn: what they differ by is the noise of this
// machine, and no difference smaller than that says anything.
type Measurement struct {
	Scenario        string  `json:"scenario"`
	Events          int     `json:"events"`            // messages a run
	EventsPerSecond float64 `json:"events_per_second"` // median of all runs
	MedianA         float64 `json:"a_events_per_second"`
	MedianB         float64 `json:"b_events_per_second"`
	Noise           float64 `json:"noise"` // how far the two sides are apart, 0.02 is 2 %
	Runs            []Run   `json:"runs"`
	Processors      int     `json:"processors"`
	Go              string  `json:"go"`
}

// Run is one run of a scenario, counted at its far end.
type Run struct {
	Side            string  `json:"side"`
	Seconds         float64 `json:"seconds"`
	EventsPerSecond float64 `json:"events_per_second"`
	Sink            Sink    `json:"sink"`
}

// Sink is what came out at the end of a run: every message that went in is there.
type Sink struct {
	Messages  int64 `json:"messages"`
	Changes   int64 `json:"changes,omitempty"`
	Refused   int64 `json:"refused,omitempty"` // parts of messages
	Customers int64 `json:"customers,omitempty"`
}

// bench is what the scenarios share.
type bench struct {
	*program
	people, events, runs int
	seed                 uint64
	memory               bool
	held                 int // records that the store holds before; 0 begins with an empty one
	mix, profile         string
}

// scenario prepares a run, whose time does not count, and answers what is timed.
type scenario func(ctx context.Context, dir string, messages []simulation.Message) (
	timed func() (Sink, error), done func() error, err error)

func (p *program) benchCommand() *cobra.Command {
	b := &bench{program: p}
	c := &cobra.Command{Use: "bench", Short: "Measure this machine: map, plugin, resolve, ingest, sync"}
	c.PersistentFlags().IntVar(&b.people, "people", 2000, "people of the simulated town")
	c.PersistentFlags().IntVar(&b.events, "events", 10000, "messages a run")
	c.PersistentFlags().Uint64Var(&b.seed, "seed", 1, "the same seed makes the same town")
	c.PersistentFlags().IntVar(&b.runs, "runs", 3, "runs of each of the two sides")
	resolve := b.command("resolve", "Absorb mapped messages into customers: Registry on the embedded store", b.messages, b.resolve)
	resolve.Flags().BoolVar(&b.memory, "memory", false, "in memory instead of the embedded store")
	resolve.Flags().IntVar(&b.held, "held", 0, "fill the store with so many records before, and measure what comes then")
	resolve.Flags().StringVar(&b.mix, "mix", "mixed", "with --held, what comes then: new, update, mixed (70 % updates) or town")
	resolve.Flags().StringVar(&b.profile, "profile", "", "with --held, a folder to write cpu.pprof and allocs.pprof to")
	c.AddCommand(b.command("map", "Map messages with the shipped mappings, on all processors", b.messages, b.mapping), resolve,
		b.command("plugin", "Map messages of one line of the old bank's feed in a process of its own, there and back", b.lines, b.plugin),
		b.command("sync", "Bring customers to a target that answers at once, as many as there are messages", b.messages, b.writeBack),
		b.command("ingest", "Take messages from the embedded broker into the embedded store", b.messages, b.ingest))
	return c
}

// messages is what the simulated town sends.
func (b *bench) messages() []simulation.Message {
	return slices.Collect(simulation.New(simulation.Config{People: b.people, Events: b.events, Seed: b.seed}).Messages())
}

func (b *bench) command(name, short string, feed func() []simulation.Message, s scenario) *cobra.Command {
	return &cobra.Command{Use: name, Args: cobra.NoArgs, Short: short, RunE: func(c *cobra.Command, _ []string) error {
		if err := b.only("table", "json", "ndjson"); err != nil {
			return err
		}
		if err := (simulation.Config{People: b.people, Events: b.events, Seed: b.seed}).Check(); err != nil || b.runs < 1 {
			return &usage{text: "there is nothing to measure", hint: fmt.Sprintf("--people is 1 to %d, --events 1 to %d, --runs at least 1",
				simulation.MaxPeople, simulation.MaxEvents)}
		}
		if b.held != 0 && name == "resolve" {
			if err := b.heldFlags(); err != nil {
				return err
			}
			held, err := b.measureHeld(c.Context())
			if err != nil {
				return err
			}
			return b.one(held, held.print)
		}
		m, err := b.measure(c.Context(), name, feed(), s)
		if err != nil {
			return err
		}
		return b.one(m, m.print)
	}}
}

// measure runs both sides in turn, after one run that warms up and is thrown away.
func (b *bench) measure(ctx context.Context, name string, messages []simulation.Message, s scenario) (*Measurement, error) {
	m := &Measurement{Scenario: name, Events: len(messages), Processors: runtime.GOMAXPROCS(0), Go: runtime.Version()}
	if _, err := b.once(ctx, s, messages); err != nil {
		return nil, err
	}
	rates := map[string][]float64{}
	for range b.runs {
		for _, side := range []string{"a", "b"} {
			run, err := b.once(ctx, s, messages)
			if err != nil {
				return nil, err
			}
			run.Side = side
			m.Runs = append(m.Runs, *run)
			rates[side] = append(rates[side], run.EventsPerSecond)
			fmt.Fprintf(b.err, "%s %s: %.0f messages a second\n", name, side, run.EventsPerSecond)
		}
	}
	m.MedianA, m.MedianB = median(rates["a"]), median(rates["b"])
	m.EventsPerSecond = median(slices.Concat(rates["a"], rates["b"]))
	m.Noise = round(math.Abs(m.MedianA/m.MedianB-1), 4)
	return m, nil
}

// once runs a scenario once, in a folder of its own, and counts at the sink.
func (b *bench) once(ctx context.Context, s scenario, messages []simulation.Message) (run *Run, err error) {
	dir, err := os.MkdirTemp("", "onefold-bench-")
	if err != nil {
		return nil, surroundings(err, "set TMPDIR to a folder that this user may write to")
	}
	defer os.RemoveAll(dir)
	timed, done, err := s(ctx, dir, messages)
	if err != nil {
		return nil, err
	}
	runtime.GC()
	begin := time.Now()
	sink, err := timed()
	took := time.Since(begin).Seconds()
	if ended := done(); err == nil {
		err = ended
	}
	if err != nil {
		return nil, err
	}
	if sink.Messages != int64(len(messages)) {
		return nil, fmt.Errorf("%d messages went in and %d came out", len(messages), sink.Messages)
	}
	return &Run{Seconds: round(took, 3), EventsPerSecond: round(float64(len(messages))/took, 1), Sink: sink}, nil
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return round((sorted[(len(sorted)-1)/2]+sorted[len(sorted)/2])/2, 1)
}

func (m *Measurement) print(w io.Writer) error {
	rows := [][]string{}
	for _, r := range m.Runs {
		rows = append(rows, []string{
			r.Side, strconv.FormatFloat(r.Seconds, 'f', 3, 64), strconv.FormatFloat(r.EventsPerSecond, 'f', 0, 64),
			fmt.Sprintf("%+v", r.Sink),
		})
	}
	if err := table(w, []string{"side", "seconds", "messages/s", "at the sink"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s: %.0f messages a second; the same code differs by %.1f %% here\n",
		m.Scenario, m.EventsPerSecond, 100*m.Noise)
	return err
}

// quiet is the log of what is measured.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func storeFile(dir string) string { return filepath.Join(dir, "onefold.db") }
