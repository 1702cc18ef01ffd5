package pages

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
)

// flowMap is the way that customers take, laid out on the server: a column each for sources, topics, the registry, the topic of
// customers and targets.
type flowMap struct {
	Width, Height int
	Nodes         []node
	Edges         []edge
	Hidden        int // sources and targets that are too many to be drawn; the table has them
}

// maxDrawn is how many sources, and how many targets, are drawn (invariant 10).
const maxDrawn = 12

// node is one box of the map.
type node struct {
	X, Y   int
	Kind   string // source topic registry target
	Name   string
	Detail string
	Rate   string // a second, where it is known
	Unit   string
	Note   string // what waits or fails
	Level  string // ok warn bad idle
	Link   string
}

// edge is one way between two boxes.
type edge struct {
	Path  string
	Width string // in pixels
	Level string
	Flows bool // something moves on it just now
}

// Measures of the map in pixels.
const (
	boxWidth, boxHeight = 168, 76
	gapX, gapY          = 62, 18
)

func column(i int) int { return i * (boxWidth + gapX) }

// newFlowMap lays out a status, with rates of what was sampled.
func newFlowMap(s *Status, samples []sample) flowMap {
	sources := s.Sources[:min(len(s.Sources), maxDrawn)]
	targets := s.Targets[:min(len(s.Targets), maxDrawn)]
	rows := max(len(sources), len(targets), 1)
	m := flowMap{
		Width: column(4) + boxWidth, Height: rows*(boxHeight+gapY) - gapY,
		Hidden: len(s.Sources) - len(sources) + len(s.Targets) - len(targets),
	}
	middle := (m.Height - boxHeight) / 2
	all := perSecond(samples, "")
	registry := node{
		X: column(2), Y: middle, Kind: "registry", Name: "Registry", Rate: rate(all), Unit: "events/s", Level: "ok", Link: "/customers",
		Detail: number(s.Counts.Customers) + " customers", Note: number(s.Counts.Records) + " records",
	}
	if s.State != "ready" {
		registry.Level = "warn"
	}
	topic := node{
		X: column(3), Y: middle, Kind: "topic", Name: cmp.Or(s.Topic, "Customers"), Detail: "compacted topic", Level: "ok", Note: "all published",
	}
	if n := s.Counts.Outbox; n > 0 {
		topic.Note = plural(n, "change waits", "changes wait")
	}
	for i := range sources {
		src := &sources[i]
		y := spread(i, len(sources), m.Height)
		r := perSecond(samples, src.Name)
		level, note := health(src)
		at := sourceAt(i)
		m.Nodes = append(m.Nodes, node{
			X: column(0), Y: y, Kind: "source", Name: src.Name, Detail: src.Adapter, Rate: rate(r), Unit: "events/s", Level: level, Link: at,
		}, node{
			X: column(1), Y: y, Kind: "topic", Name: src.Topic, Detail: plural(int64(len(src.Partitions)), "partition", "partitions"),
			Note: note, Level: level, Link: at,
		})
		m.Edges = append(m.Edges, newEdge(column(0), y, column(1), y, r, level), newEdge(column(1), y, registry.X, registry.Y, r, level))
	}
	m.Nodes = append(m.Nodes, registry, topic)
	m.Edges = append(m.Edges, newEdge(registry.X, registry.Y, topic.X, topic.Y, all, "ok"))
	for i := range targets {
		t := &targets[i]
		y := spread(i, len(targets), m.Height)
		level, note := t.level(), "all written"
		if n := t.Waiting + t.Owed; n > 0 {
			note = plural(n, "customer waits", "customers wait")
		}
		if level != "ok" {
			note = t.State
		}
		m.Nodes = append(m.Nodes, node{
			X: column(4), Y: y, Kind: "target", Name: t.Name, Detail: number(t.Held) + " held", Note: note, Level: level, Link: "/targets",
		})
		m.Edges = append(m.Edges, newEdge(topic.X, topic.Y, column(4), y, math.NaN(), level))
	}
	if len(targets) == 0 {
		m.Nodes = append(m.Nodes, node{
			X: column(4), Y: middle, Kind: "none", Name: "No target", Detail: "none is configured", Level: "idle", Link: "/targets",
		})
	}
	return m
}

// spread answers where the i-th of n boxes stands, so that they share the height.
func spread(i, n, height int) int {
	used := n*(boxHeight+gapY) - gapY
	return (height-used)/2 + i*(boxHeight+gapY)
}

// health answers how a source is, and what is to be said of its lag.
func health(s *Source) (level, note string) {
	switch n := s.Halted(); {
	case n > 0:
		return "bad", "halted on " + plural(int64(n), "partition", "partitions")
	case s.Paused:
		return "warn", "paused, lag " + number(s.Lag)
	case s.Lag > 0:
		return "ok", "lag " + number(s.Lag)
	}
	return "ok", "no lag"
}

// newEdge draws a way between the right side of one box and the left side of another; the more flows, the wider.
func newEdge(x1, y1, x2, y2 int, perSecond float64, level string) edge {
	x1, y1, y2 = x1+boxWidth, y1+boxHeight/2, y2+boxHeight/2
	half := (x1 + x2) / 2
	width := 1.5
	flows := perSecond > 0
	if flows {
		width = min(8, 1.5+math.Log10(1+perSecond)*1.6)
	}
	return edge{
		Path:  fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, half, y1, half, y2, x2, y2),
		Width: strconv.FormatFloat(width, 'f', 1, 64), Level: level, Flows: flows,
	}
}

func px(n int) string { return strconv.Itoa(n) }

func (m flowMap) box() string {
	return fmt.Sprintf("-2 -2 %d %d", m.Width+4, m.Height+4)
}

// after answers the boxes behind the sources and their topics, in the order in which a customer passes them.
func (m flowMap) after() (out []node) {
	for _, b := range m.Nodes {
		if b.X >= column(2) {
			out = append(out, b)
		}
	}
	return out
}
