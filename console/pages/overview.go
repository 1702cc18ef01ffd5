package pages

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Limits of what is remembered for the charts (invariant 10). It is remembered while somebody looks, and by this process only: whoever
// wants more has the metrics.
const (
	MaxSamples  = 200              // some seven minutes
	sampleEvery = time.Second      // at most: many may look at one time
	rateOver    = 10 * time.Second // a rate is that of the last so many
	silence     = 30 * time.Second // between two samples: nobody looked, and the chart says so
)

// sample is what was counted at one time.
type sample struct {
	at    time.Time
	ended map[string]int64 // by source
	all   int64
	dead  int64
	lag   int64
}

// traces remembers what the last looks have counted.
type traces struct {
	mu      sync.Mutex
	samples []sample
}

// note remembers a status, and answers all that is remembered.
func (t *traces) note(s *Status, now time.Time) []sample {
	next := sample{at: now, ended: map[string]int64{}}
	for i := range s.Sources {
		src := &s.Sources[i]
		next.ended[src.Name] = src.Ended()
		next.all += src.Ended()
		next.dead += src.Dead
		next.lag += src.Lag
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.samples); n == 0 || now.Sub(t.samples[n-1].at) >= sampleEvery {
		if n == MaxSamples {
			t.samples = append(t.samples[:0], t.samples[1:]...)
		}
		t.samples = append(t.samples, next)
	}
	return append([]sample(nil), t.samples...)
}

// since answers the sample from which a rate is taken: the youngest that is old enough, else the oldest.
func since(samples []sample) (from, to sample, ok bool) {
	if len(samples) < 2 {
		return from, to, false
	}
	to = samples[len(samples)-1]
	from = samples[0]
	for _, s := range samples[:len(samples)-1] {
		if to.at.Sub(s.at) >= rateOver {
			from = s
		}
	}
	return from, to, true
}

// perSecond answers the rate of a source over the last seconds; of all with an empty name; not a number where nothing is known yet.
func perSecond(samples []sample, source string) float64 {
	from, to, ok := since(samples)
	if !ok {
		return math.NaN()
	}
	n := to.all - from.all
	if source != "" {
		n = to.ended[source] - from.ended[source]
	}
	return max(0, float64(n)/to.at.Sub(from.at).Seconds())
}

// series is what the chart draws: a point for each two looks; null where nobody looked in between.
type series struct {
	Time  []int64    `json:"time"`  // Unix seconds
	Ended []*float64 `json:"ended"` // messages a second
	Dead  []*float64 `json:"dead"`  // messages a second
	Lag   []int64    `json:"lag"`   // messages
}

func seriesOf(samples []sample) series {
	out := series{Time: []int64{}, Ended: []*float64{}, Dead: []*float64{}, Lag: []int64{}}
	for i := 1; i < len(samples); i++ {
		a, b := samples[i-1], samples[i]
		var ended, dead *float64
		if d := b.at.Sub(a.at); d < silence {
			e, x := tenth(float64(b.all-a.all)/d.Seconds()), tenth(float64(b.dead-a.dead)/d.Seconds())
			ended, dead = &e, &x
		}
		out.Time = append(out.Time, b.at.Unix())
		out.Ended = append(out.Ended, ended)
		out.Dead = append(out.Dead, dead)
		out.Lag = append(out.Lag, b.lag)
	}
	return out
}

func tenth(f float64) float64 { return math.Round(max(0, f)*10) / 10 }

func (s series) json() string {
	b, err := json.Marshal(s)
	if err != nil {
		return "{}" // numbers always can be written
	}
	return string(b)
}

// pulse is what the overview shows of this moment.
type pulse struct {
	Status *Status
	Map    flowMap
	Series series
	Rate   float64
	Rates  []string // by source
	Lag    int64
	Ended  int64
	In     int64 // received
	Flying int64
	At     time.Time
	Alarms []alarm
}

// alarm is something that a person should look at.
type alarm struct {
	Level string // bad or warn
	Text  string
	Link  string
	Where string // what the link is called
}

func (p *pages) pulse(r *http.Request) (*pulse, error) {
	s, err := p.Status(r.Context())
	if err != nil {
		return nil, err
	}
	now := p.Now()
	samples := p.traces.note(s, now)
	out := &pulse{Status: s, Map: newFlowMap(s, samples), Series: seriesOf(samples), Rate: perSecond(samples, ""), At: now}
	for i := range s.Sources {
		src := &s.Sources[i]
		out.Rates = append(out.Rates, rate(perSecond(samples, src.Name)))
		out.Lag += src.Lag
		out.Ended += src.Ended()
		out.In += src.Received
		out.Flying += src.InFlight
	}
	out.Alarms = alarms(s)
	return out, nil
}

// alarms answers what stands against calm, the worst first.
func alarms(s *Status) (out []alarm) {
	for i := range s.Sources {
		src := &s.Sources[i]
		if n := src.Halted(); n > 0 {
			out = append(out, alarm{
				"bad", "Source " + inert(src.Name) + " has halted on " + plural(int64(n), "partition", "partitions") + " and waits for a person",
				sourceAt(i), "See why",
			})
		}
	}
	for i := range s.Sources {
		if src := &s.Sources[i]; src.Paused {
			out = append(out, alarm{"warn", "Source " + inert(src.Name) + " is paused by " + inertTo(src.PausedBy, 60), sourceAt(i), "See it"})
		}
	}
	for _, reason := range s.Reasons {
		out = append(out, alarm{"bad", inert(reason), "/sources", "Sources"})
	}
	for i := range s.Targets {
		t := &s.Targets[i]
		if t.State != "ok" {
			text := "Target " + inert(t.Name) + " is " + inert(t.State) + ": " + plural(t.Waiting+t.Owed, "customer waits", "customers wait")
			out = append(out, alarm{t.level(), text, "/targets/" + escape(t.Name), "See why"})
		}
		if t.Refused > 0 {
			text := "Target " + inert(t.Name) + " has refused " + plural(t.Refused, "customer", "customers")
			out = append(out, alarm{"warn", text, "/targets/" + escape(t.Name), "See them"})
		}
	}
	if n := s.Counts.DeadLetters; n > 0 {
		out = append(out, alarm{"warn", plural(n, "message", "messages") + " could not be applied", "/dead-letters", "Dead letters"})
	}
	slices.SortStableFunc(out, func(a, b alarm) int { return cmp.Compare(a.Level, b.Level) }) // bad before warn
	return out
}

func (p *pages) overview(r *http.Request) (*view, error) {
	now, err := p.pulse(r)
	if err != nil {
		return nil, err
	}
	return &view{frame: frame{Title: "Overview", Section: "overview"}, body: overviewPage(now)}, nil
}

// live answers the part of the overview that changes.
func (p *pages) live(r *http.Request) (*view, error) {
	now, err := p.pulse(r)
	if err != nil {
		return nil, err
	}
	return &view{piece: true, body: livePart(now)}, nil
}
