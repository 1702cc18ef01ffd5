// Package simulation is a made-up town: its people, the bank, tills and shop that see them, and the truth about who is who. It
// speaks the systems' native formats only and knows nothing of Onefold: demo, tests and benchmarks feed from it.
//
// The same configuration makes the same bytes on every machine. Rates, and where each comes from, stand in docs/simulation.md.
package simulation

import (
	"iter"
	"math/rand/v2"
	"strconv"
	"time"
)

// Sources and their topics.
const (
	Shop = "shop" // a web shop on Shopify
	Pos  = "pos"  // tills of Square
	Bank = "bank" // ISO 20022 statements and notifications

	shopTopic = "shop.webhooks"
	posTopic  = "pos.events"
	bankTopic = "bank.statements"
)

// Topics answers the topics that the town's systems write to.
func Topics() []string { return []string{bankTopic, posTopic, shopTopic} }

// Config says how large the town is and how untidy. The zero value of a rate is its default; Clean turns all mess off.
type Config struct {
	People int    // at least 1
	Events int    // messages in all, duplicates and poison among them
	Seed   uint64 // the same seed makes the same town
	Clean  bool   // no duplicates, no reordering, no poison, no typing errors

	Typos      float64 // of each typed value: a slip of the hand; default 0.02
	Missing    float64 // of each optional value: not asked for or not given; default 0.15
	Duplicates float64 // of each message: sent again; default 0.02
	Reordered  float64 // of each message: held back behind up to 40 others; default 0.03
	Poison     float64 // of each message: followed by one that nobody can read; default 0.004
	Tombstones float64 // of each message: followed by a Kafka null; default 0.001
}

// Message is one native message on its topic. Value nil is a Kafka null.
type Message struct {
	Source  string
	Topic   string
	Key     []byte
	Value   []byte
	Headers []Header
	Time    time.Time
}

// Header is one record header.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Truth says which person stands behind a party of a source.
type Truth struct {
	Source string // shop, pos, bank
	Key    string // the party's key: Shopify's customer id, Square's, "iban:" or "account:" and the number
	Person string
}

// Town is a made-up town. It is safe to ask it several times; each time it tells the same.
type Town struct{ config Config }

// New returns the town of a configuration. It computes nothing yet.
func New(c Config) *Town {
	c.People, c.Events = max(c.People, 1), max(c.Events, 1)
	rate := func(r *float64, def float64) {
		switch {
		case c.Clean:
			*r = 0
		case *r == 0:
			*r = def
		}
	}
	rate(&c.Typos, 0.02)
	rate(&c.Missing, 0.15)
	rate(&c.Duplicates, 0.02)
	rate(&c.Reordered, 0.03)
	rate(&c.Poison, 0.004)
	rate(&c.Tombstones, 0.001)
	return &Town{config: c}
}

// Messages tells what the town's systems write, exactly Config.Events messages, in the order in which they reach the broker.
func (t *Town) Messages() iter.Seq[Message] {
	return func(yield func(Message) bool) { newStory(t.config).tell(yield) }
}

// Truth answers who is behind each party that the messages tell of and that was not taken away again.
func (t *Town) Truth() []Truth {
	s := newStory(t.config)
	s.tell(func(Message) bool { return true })
	var out []Truth
	for _, a := range s.accounts[:s.opened] {
		if !a.gone {
			out = append(out, Truth{Source: a.source, Key: a.key(), Person: a.owner.id()})
		}
	}
	return out
}

// begin is the first instant of the story; it lasts span, however many events there are.
var begin = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

const span = 60 * 24 * time.Hour

// story is one telling of the town.
type story struct {
	config   Config
	rng      *rand.Rand
	names    *tables
	people   []*person
	accounts []*account
	opened   int // accounts that the messages have told of
	now      time.Time
	step     time.Duration
	serial   int64 // of whatever needs a number of its own
	orders   []order
}

func newStory(c Config) *story {
	s := &story{config: c, rng: rand.New(rand.NewPCG(c.Seed, 0x6f6e65666f6c64)), names: newTables(), now: begin}
	s.step = max(span/time.Duration(c.Events+1), time.Millisecond)
	s.populate()
	s.open()
	return s
}

// chance tells whether something of a rate happens.
func (s *story) chance(rate float64) bool { return rate > 0 && s.rng.Float64() < rate }

func (s *story) number() int64 {
	s.serial++
	return s.serial
}

// digits answers n random digits, the first not 0.
func (s *story) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + s.rng.IntN(10))
	}
	if b[0] == '0' {
		b[0] = '7'
	}
	return string(b)
}

// word answers n random capital letters and digits, as systems make their ids.
func (s *story) word(n int) string {
	const letters = "ABCDEFGHJKLMNPQRSTVWXYZ0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[s.rng.IntN(len(letters))]
	}
	return string(b)
}

// uuid answers a random UUID of version 4.
func (s *story) uuid() string {
	const hex = "0123456789abcdef"
	b := []byte("00000000-0000-4000-8000-000000000000")
	for i := range b {
		if b[i] == '0' {
			b[i] = hex[s.rng.IntN(16)]
		}
	}
	return string(b)
}

// cents answers an amount of money of a usual size, in minor units.
func (s *story) cents() int64 {
	return 199 + int64(s.rng.ExpFloat64()*3500)
}

// money writes minor units with two decimals.
func money(cents int64) string {
	if cents < 0 {
		return "-" + money(-cents)
	}
	frac := strconv.FormatInt(cents%100, 10)
	if len(frac) < 2 {
		frac = "0" + frac
	}
	return strconv.FormatInt(cents/100, 10) + "." + frac
}
