package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/customer/merge"
	"github.com/onefold/onefold/simulation"
	"github.com/onefold/onefold/store/sqlite"
)

// MaxBenchHeld is how many records a measured store may be filled with (invariant 10): half as many as a town has people.
const MaxBenchHeld = simulation.MaxPeople / 2

// Held is what absorbing costs in a store that holds so many records already. A side is one half of the groups, every second one: both
// halves are measured in turn on the same store, and what they differ by is noise.
type Held struct {
	Scenario       string   `json:"scenario"`
	Held           int      `json:"held"` // records before
	Mix            string   `json:"mix"`
	Messages       int      `json:"messages"`
	Group          int      `json:"group"` // messages a transaction
	PerSecond      float64  `json:"messages_per_second"`
	ProcessorMicro float64  `json:"cpu_us_per_message"`
	A              HeldSide `json:"a"`
	B              HeldSide `json:"b"`
	P50            float64  `json:"group_p50_ms"`
	P99            float64  `json:"group_p99_ms"`
	BytesPerRecord float64  `json:"store_bytes_per_record"` // the file after it was closed, for each live record
	PeakMiB        float64  `json:"peak_memory_mib"`        // of the whole process; 0 where the system does not tell
	FillSeconds    float64  `json:"fill_seconds"`
	Records        int64    `json:"records"` // after
	Customers      int64    `json:"customers"`
	Interactions   int64    `json:"interactions"`
	Processors     int      `json:"processors"`
	Go             string   `json:"go"`
}

// HeldSide is one half of the groups.
type HeldSide struct {
	PerSecond      float64 `json:"messages_per_second"`
	ProcessorMicro float64 `json:"cpu_us_per_message"`
}

// mixes are what of the measured messages speaks of records that nobody knew, in tenths; -1 takes them as they come.
func mixes() map[string]int { return map[string]int{"new": 10, "update": 0, "mixed": 3, "town": -1} }

func (b *bench) heldFlags() error {
	if _, known := mixes()[b.mix]; !known {
		return &usage{text: "there is no mix " + strconv.Quote(b.mix), hint: "--mix is new, update, mixed (70 % updates) or town"}
	}
	if b.held < 1 || b.held > MaxBenchHeld {
		return &usage{text: "there is nothing to measure", hint: fmt.Sprintf("--held is 1 to %d", MaxBenchHeld)}
	}
	return nil
}

// holding is a store that is filled and then measured.
type holding struct {
	*bench
	file     *sqlite.Store
	registry *customer.Registry
	seen     map[customer.RecordID]bool
	ids      customer.IDs
	group    []customer.Mapped
	measured []customer.Mapped
	fresh    int // of those measured
}

// measureHeld fills a store with what the town sends until it holds so many records, and measures what comes then.
func (b *bench) measureHeld(ctx context.Context) (*Held, error) {
	dir, err := os.MkdirTemp("", "onefold-bench-")
	if err != nil {
		return nil, surroundings(err, "set TMPDIR to a folder that this user may write to")
	}
	defer os.RemoveAll(dir)
	h := &holding{bench: b, seen: map[customer.RecordID]bool{}}
	if h.file, err = sqlite.Open(ctx, storeFile(dir)); err != nil {
		return nil, surroundings(err, "")
	}
	if h.ids, err = customer.NewIDs([]byte("the key of a bench is no secret!")); err != nil {
		return nil, errors.Join(err, h.file.Close())
	}
	h.registry = customer.NewRegistry(h.file, match.New(), merge.New(merge.Policy{}), h.ids)
	out, err := h.run(ctx)
	if err := errors.Join(err, h.file.Close()); err != nil { // closing moves the log into the file
		return nil, err
	}
	info, err := os.Stat(storeFile(dir))
	if err != nil {
		return nil, surroundings(err, "")
	}
	out.BytesPerRecord = round(float64(info.Size())/float64(max(1, out.Records)), 0)
	return out, nil
}

func (h *holding) run(ctx context.Context) (*Held, error) {
	begin := time.Now()
	if err := h.fill(ctx); err != nil {
		return nil, err
	}
	out := &Held{
		Scenario: "resolve", Held: h.held, Mix: h.mix, Messages: len(h.measured), Group: benchGroup,
		FillSeconds: round(time.Since(begin).Seconds(), 1),
		Processors:  runtime.GOMAXPROCS(0), Go: runtime.Version(),
	}
	runtime.GC()
	if err := h.profiled(func() error { return h.time(ctx, out) }); err != nil {
		return nil, err
	}
	counts, err := h.file.Counts(ctx)
	if err != nil {
		return nil, err
	}
	out.Records, out.Customers, out.Interactions = counts.Records, counts.Customers, counts.Interactions
	out.PeakMiB = round(float64(peakMemory())/(1<<20), 0)
	return out, nil
}

// fill sends what the town sends, one message of each record that nobody knew, until there are so many, and keeps what comes then.
func (h *holding) fill(ctx context.Context) error {
	sources, err := h.load()
	if err != nil {
		return err
	}
	people := min(simulation.MaxPeople, max(h.people, 2*h.held))
	offsets := map[string]int64{}
	var stop error
	town := simulation.Config{People: people, Events: min(simulation.MaxEvents, 20*people+20*h.events), Seed: h.seed}
	for m := range simulation.New(town).Messages() {
		in := raw(&m)
		in.Source, in.Offset, in.Epoch = m.Source, offsets[m.Topic], -1
		offsets[m.Topic]++
		one, err := mapped(ctx, sources[m.Source], in)
		if err != nil {
			return err
		}
		more, err := h.take(ctx, one)
		if stop = err; err != nil || !more {
			break
		}
	}
	if stop == nil && len(h.measured) < h.events {
		return fmt.Errorf("the town ran out of messages: %d of %d", len(h.measured), h.events)
	}
	return stop
}

// take sends a message, keeps it to be measured, or drops it; it answers whether more are wanted.
func (h *holding) take(ctx context.Context, m customer.Mapped) (more bool, err error) {
	unknown := h.unknown(&m)
	if len(h.seen) < h.held {
		if unknown == 0 {
			return true, nil
		}
		h.learn(&m)
		if h.group = append(h.group, m); len(h.group) == benchGroup || len(h.seen) >= h.held {
			_, err = h.registry.Absorb(ctx, customer.Batch{Now: time.Now(), Messages: h.group})
			h.group = nil
		}
		return true, err
	}
	tenths, fresh := mixes()[h.mix], unknown > 0
	want := h.events * tenths / 10
	switch {
	case tenths < 0:
	case len(m.Changes) == 0, fresh && h.fresh >= want, !fresh && len(h.measured)-h.fresh >= h.events-want:
		return true, nil
	case tenths > 0 && tenths < 10 && fresh && 10*h.fresh > tenths*(len(h.measured)+10): // all along, not all at the beginning
		return true, nil
	}
	if fresh {
		h.fresh++
	}
	h.learn(&m)
	h.measured = append(h.measured, m)
	return len(h.measured) < h.events, nil
}

func (h *holding) unknown(m *customer.Mapped) (n int) {
	for i := range m.Changes {
		if !h.seen[h.ids.Record(m.Changes[i].Source, m.Changes[i].Key)] {
			n++
		}
	}
	return n
}

func (h *holding) learn(m *customer.Mapped) {
	for i := range m.Changes {
		h.seen[h.ids.Record(m.Changes[i].Source, m.Changes[i].Key)] = true
	}
}

// time absorbs what is measured, group by group.
func (h *holding) time(ctx context.Context, out *Held) error {
	type half struct {
		messages  int
		took, cpu time.Duration
	}
	var halves [2]half
	var groups []float64
	n := 0
	for group := range slices.Chunk(h.measured, benchGroup) {
		began, cpu := time.Now(), processorTime()
		if _, err := h.registry.Absorb(ctx, customer.Batch{Now: began, Messages: group}); err != nil {
			return err
		}
		took, side := time.Since(began), &halves[n%2]
		side.messages, side.took, side.cpu = side.messages+len(group), side.took+took, side.cpu+processorTime()-cpu
		groups = append(groups, float64(took.Microseconds())/1e3)
		n++
	}
	rate := func(h half) HeldSide {
		if h.messages == 0 {
			return HeldSide{}
		}
		return HeldSide{
			PerSecond:      round(float64(h.messages)/h.took.Seconds(), 0),
			ProcessorMicro: round(float64(h.cpu.Microseconds())/float64(h.messages), 1),
		}
	}
	a, b := halves[0], halves[1]
	all := rate(half{a.messages + b.messages, a.took + b.took, a.cpu + b.cpu})
	out.A, out.B, out.PerSecond, out.ProcessorMicro = rate(a), rate(b), all.PerSecond, all.ProcessorMicro
	slices.Sort(groups)
	out.P50, out.P99 = round(groups[(len(groups)-1)/2], 1), round(groups[(len(groups)-1)*99/100], 1)
	return nil
}

// profiled runs fn, and writes profiles of it where they are wanted.
func (h *holding) profiled(fn func() error) error {
	if h.profile == "" {
		return fn()
	}
	if err := os.MkdirAll(h.profile, 0o700); err != nil {
		return surroundings(err, "name a folder that this user may write to")
	}
	f, err := os.Create(filepath.Join(h.profile, "cpu.pprof"))
	if err != nil {
		return surroundings(err, "name a folder that this user may write to")
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = fn()
	pprof.StopCPUProfile()
	err = errors.Join(err, f.Close())
	if f, e := os.Create(filepath.Join(h.profile, "allocs.pprof")); e != nil {
		err = errors.Join(err, e)
	} else {
		err = errors.Join(err, pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
	}
	return err
}

func (o *Held) print(w io.Writer) error {
	num := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	rows := [][]string{
		{"messages/s", num(o.PerSecond)},
		{"processor us a message", num(o.ProcessorMicro)},
		{"half a, half b", fmt.Sprintf("%s/s %s us, %s/s %s us",
			num(o.A.PerSecond), num(o.A.ProcessorMicro), num(o.B.PerSecond), num(o.B.ProcessorMicro))},
		{"group of " + strconv.Itoa(o.Group), fmt.Sprintf("p50 %s ms, p99 %s ms", num(o.P50), num(o.P99))},
		{"store bytes a record", num(o.BytesPerRecord)},
		{"peak memory", num(o.PeakMiB) + " MiB"},
		{"held at the end", fmt.Sprintf("%d records, %d customers, %d interactions", o.Records, o.Customers, o.Interactions)},
		{"filled in", num(o.FillSeconds) + " s"},
	}
	return table(w, []string{"resolve, " + o.Mix, fmt.Sprintf("%d held, %d messages", o.Held, o.Messages)}, rows)
}
