// Package simulation is a made-up town: its people, the bank, tills and shop that see them, and the truth about who is who. It
// speaks the systems' native formats only and knows nothing of Onefold: demo, tests and benchmarks feed from it.
//
// The same configuration makes the same bytes on every machine: integers decide everything, and each person, record and message
// draws from dice of its own, so that one can be made without the others. Only a few numbers a record are held, so that a town of
// a million takes some hundred megabytes. Each distribution and error rate stands with its source in docs/simulation.md.
package simulation

import (
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"
)

// Sources and their topics.
const (
	Shop = "shop" // a web shop on Shopify
	Pos  = "pos"  // tills of Square
	Bank = "bank" // ISO 20022 statements and notifications
	Core = "core" // an old core banking system, whose nightly files are lines with bars between fields

	shopTopic = "shop.webhooks"
	posTopic  = "pos.events"
	bankTopic = "bank.statements"
	coreTopic = "bank.feed"
)

// Topics answers the topics that the town's systems write to, but for the core system's.
func Topics() []string { return []string{bankTopic, posTopic, shopTopic} }

// CoreTopic is the topic of the core system's files, in a town that has one.
const CoreTopic = coreTopic

// MaxPeople is how large a town may be: a telephone number has seven free digits, and three numbers may be a person's.
const MaxPeople = 2_500_000

// MaxEvents is how long its story may be: each has a second of its own at least.
const MaxEvents = 1_000_000_000

// maxSpan is how long a story may last by the clock, some fifty years: seconds are counted in 32 bits.
const maxSpan = 50 * 365 * 24 * time.Hour

// Config says how large the town is and how untidy. Of a rate, the zero value is its default and a negative one is none at all.
type Config struct {
	People int    // people and firms, 1 to MaxPeople; not all of them are known to a system: children are seldom
	Events int    // messages in all, duplicates and poison among them; 1 to MaxEvents. The core system's files come on top
	Seed   uint64 // the same seed makes the same town
	Clean  bool   // no mess on the way and no errors of typing: every rate below but Second and Guests is none

	Start time.Time     // first instant of the story; default 2025-06-02 08:00 UTC
	Span  time.Duration // how long it lasts; default 180 days, and never less than a second an event

	Typos   float64 // of each typed value: a slip; default 0.02
	Missing float64 // of each optional value: not asked for or not given; default 0.15
	Second  float64 // of those whom a system knows: it knows them twice; default 0.06
	Guests  float64 // of what happens: an order or a payment by somebody who is not told; default 0.06
	Core    float64 // of the grown-ups: the old core banking system knows them; default none, and no such system

	Duplicates float64 // of each message: sent again, up to 60 messages later; default 0.02
	Reordered  float64 // of each message: held back behind up to 40 others; default 0.03
	Late       float64 // of each message: held back behind up to 2,000 others; default 0.001
	Storms     float64 // of a shop customer's updates: told again under another delivery id; default 0.02
	Poison     float64 // of each message: followed by one that nobody can read; default 0.004
	Tombstones float64 // of each message: followed by a Kafka null; default 0.001
	Huge       int     // bytes of a huge message among the poison; default 300,000
}

// Message is one native message on its topic. Value nil is a Kafka null.
type Message struct {
	Source  string
	Topic   string
	Key     []byte // the party's key in the system; the card's of who is not told
	Value   []byte
	Headers []Header
	Time    time.Time // when it reached the broker; grows
	Fault   string    // what was done to it on the way: one of Faults, empty for a message as it was written
}

// Header is one record header.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Truth says which person stands behind a party of a source.
type Truth struct {
	Source string // shop, pos, bank, core
	Key    string // the party's key: Shopify's customer id, Square's, "iban:" or "account:" and the number, the core system's number
	Person string
}

// Town is a made-up town. It may be asked several times and at once; each time it tells the same.
type Town struct {
	config  Config
	tables  *tables
	census  func() *census
	seconds uint64 // length of the story
}

// Check answers what is wrong with a configuration, nil if nothing is.
func (c Config) Check() error {
	switch {
	case c.People < 1 || c.People > MaxPeople:
		return fmt.Errorf("a town has 1 to %d people, not %d", MaxPeople, c.People)
	case c.Events < 1 || c.Events > MaxEvents:
		return fmt.Errorf("a town's story has 1 to %d events, not %d", MaxEvents, c.Events)
	case c.Span > maxSpan:
		return fmt.Errorf("a town's story lasts %s at most, not %s", maxSpan, c.Span)
	case c.Huge < 0:
		return fmt.Errorf("a huge message cannot have %d bytes", c.Huge)
	}
	for _, r := range []float64{
		c.Typos, c.Missing, c.Second, c.Guests, c.Core, c.Duplicates, c.Reordered, c.Late, c.Storms, c.Poison, c.Tombstones,
	} {
		if r != r || r > 1 { // not a number is not equal to itself
			return fmt.Errorf("a rate is at most 1, not %g", r)
		}
	}
	return nil
}

// defaults fills in what the configuration leaves open.
func (c Config) defaults() Config {
	rate := func(r *float64, mess bool, def float64) {
		switch {
		case *r < 0 || mess && c.Clean:
			*r = 0
		case *r == 0:
			*r = def
		}
	}
	rate(&c.Typos, true, 0.02)
	rate(&c.Missing, true, 0.15)
	rate(&c.Second, false, 0.06)
	rate(&c.Guests, false, 0.06)
	rate(&c.Core, false, 0)
	rate(&c.Duplicates, true, 0.02)
	rate(&c.Reordered, true, 0.03)
	rate(&c.Late, true, 0.001)
	rate(&c.Storms, true, 0.02)
	rate(&c.Poison, true, 0.004)
	rate(&c.Tombstones, true, 0.001)
	if c.Huge == 0 {
		c.Huge = 300_000
	}
	if c.Start.IsZero() {
		c.Start = time.Date(2025, 6, 2, 8, 0, 0, 0, time.UTC)
	}
	if c.Span <= 0 {
		c.Span = 180 * 24 * time.Hour
	}
	return c
}

// New returns the town of a configuration. It computes nothing yet. It panics on what Check refuses.
func New(c Config) *Town {
	if err := c.Check(); err != nil {
		panic("simulation: " + err.Error())
	}
	t := &Town{config: c.defaults(), tables: newTables()}
	t.seconds = max(uint64(t.config.Span/time.Second), 2*uint64(c.Events), 1)
	t.census = sync.OnceValue(t.count)
	return t
}

// Messages tells what the town's systems write, exactly Config.Events messages and the core system's files, in the order in which they
// reach the broker.
func (t *Town) Messages() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		nights := t.openCore()
		told := true
		newStory(t).tell(func(p parcel, at time.Time) bool {
			if told = nights.tell(at, yield); told {
				m := t.write(&p)
				m.Time = at
				told = yield(m)
			}
			return told
		})
		if told {
			nights.tell(t.instant(never), yield)
		}
	}
}

// Truth answers who is behind each party of whom the messages tell, but for those whom they take away again (deleted, erased).
// A party that its source joined with another one stays: both are that person.
func (t *Town) Truth() []Truth {
	var out []Truth
	for tr := range t.truth() {
		out = append(out, tr)
	}
	return out
}

// truth tells the story without writing a message, and then who was told of.
func (t *Town) truth() iter.Seq[Truth] {
	return func(yield func(Truth) bool) {
		s := newStory(t)
		said := make([]bool, len(s.records), len(s.records)+64)
		s.tell(func(p parcel, _ time.Time) bool {
			for len(said) < len(s.records) {
				said = append(said, false)
			}
			switch {
			case p.fault == faultPoison || p.fault == faultTombstone || p.act.index < 0:
			case p.act.kind.ends():
				s.records[p.act.index].flags |= ended
			case p.act.kind.introduces():
				said[p.act.index] = true
			}
			return true
		})
		var u unit
		for i := range s.records {
			r := &s.records[i]
			if !said[i] || r.flags&ended != 0 {
				continue
			}
			p := t.person(&u, r.person())
			if !yield(Truth{Source: r.system().source(), Key: t.partyKey(&u, p, r), Person: p.id()}) {
				return
			}
		}
		t.coreTruth(yield)
	}
}

// WriteTruth writes the truth as CSV with a heading: source,key,person.
func (t *Town) WriteTruth(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"source", "key", "person"}) // a csv.Writer keeps its error for Flush
	for tr := range t.truth() {
		_ = c.Write([]string{tr.Source, tr.Key, tr.Person})
	}
	c.Flush()
	return c.Error()
}

// instant answers a second of the story by the clock.
func (t *Town) instant(at uint32) time.Time {
	return t.config.Start.Add(time.Duration(at) * time.Second)
}

// shopTime answers it in the shop's own offset.
func (t *Town) shopTime(at uint32) time.Time { return t.instant(at).In(time.FixedZone("", 2*3600)) }

// created answers when an account was opened: some before the story.
func (t *Town) created(r *record) time.Time {
	if r.born == 0 {
		return t.config.Start.Add(-time.Duration(1+mix(uint64(r.slot))%(1500*86400)) * time.Second)
	}
	return t.instant(r.born)
}

// modern tells whether the shop's app speaks the API of 2025-10 yet, whose customers come without consents, tags and sums.
func (t *Town) modern(at uint32) bool { return uint64(at) > t.seconds*2/5 }

func (t *Town) apiVersion(at uint32) string {
	if t.modern(at) {
		return "2025-10"
	}
	return "2024-10"
}

// dice are random numbers that depend on the town's seed and on whose they are, on nothing else: PCG, whose numbers the standard
// library keeps the same. What is drawn from them is drawn here, with integers, so that no other machine draws differently.
type dice struct{ pcg rand.PCG }

// What dice are thrown for; each its own stream.
const (
	forUnit = iota + 1
	forHome
	forOwnHome
	forKnown
	forOrder // of opening
	forStory
	forProfile
	forContact
	forAct
	forEntry
	forIDs
	forFirm
	forCore
)

func throw(seed uint64, what int, n uint64) dice {
	var d dice
	d.pcg.Seed(mix(seed^uint64(what)*0x9e3779b97f4a7c15), mix(n+uint64(what)))
	return d
}

// mix spreads a number over 64 bits (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (d *dice) next() uint64 { return d.pcg.Uint64() }

// below draws 0 to n-1.
func (d *dice) below(n int) int {
	hi, _ := bits.Mul64(d.next(), uint64(n))
	return int(hi)
}

// between draws a to b, both among them.
func (d *dice) between(a, b int) int { return a + d.below(b-a+1) }

// chance tells whether something of a rate happens. The product with a power of two is exact on every machine.
func (d *dice) chance(rate float64) bool { return d.next()>>11 < uint64(rate*(1<<53)) }

// size draws a number around a usual one: mostly smaller, seldom much larger, at least 1/8 of it.
func (d *dice) size(usual int64) int64 {
	n := usual/8 + int64(d.below(int(usual)))
	for range 4 {
		if !d.chance(0.3) {
			break
		}
		n += int64(d.below(int(2 * usual)))
	}
	return n
}

func pick[T any](d *dice, of []T) T { return of[d.below(len(of))] }

// digits draws n digits, the first not 0.
func (d *dice) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + d.below(10))
	}
	if b[0] == '0' {
		b[0] = '7'
	}
	return string(b)
}

// The alphabets of ids.
const (
	capitals = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	letters  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	hexes    = "0123456789abcdef"
)

// word draws n letters of an alphabet, as systems make their ids.
func (d *dice) word(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[d.below(len(alphabet))]
	}
	return string(b)
}

// uuid draws a UUID of version 4.
func (d *dice) uuid() string {
	hi, lo := d.next(), d.next()
	b := make([]byte, 36)
	for i := range b {
		switch i {
		case 8, 13, 18, 23:
			b[i] = '-'
			continue
		}
		b[i] = hexes[hi&15]
		hi = hi>>4 | lo<<60
		lo >>= 4
	}
	b[14], b[19] = '4', "89ab"[int(b[19])&3]
	return string(b)
}

// scatter maps 0 to m-1 onto itself without order: numbers that are given away once each, but do not look counted. Of m, the prime
// factors are 2 and 5 only.
func scatter(seed, x, m uint64) uint64 {
	return (x*6_364_137 + seed%m) % m
}
