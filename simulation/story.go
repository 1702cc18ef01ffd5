package simulation

import (
	"math/bits"
	"sort"
)

// Slots: each person has three in each system: an account, a second one, and one that joins the two.
const slots = 3 * int(systems)

// record is what the story keeps of one account: who, and how far along. What the account says is made from it (know).
type record struct {
	slot  uint32
	born  uint32 // second of the story at which it was opened; 0 before the story
	cents int64  // the bank's balance, what the shop sold, the points of the tills
	seen  uint16 // how often it was told in whole
	deals uint16
	place uint8 // which home it knows: before, now, moved, own
	flags uint8
}

// Flags of a record.
const (
	told       = 1 << iota // the story has begun to tell of it
	gone                   // deleted or erased, or joined into another: nothing happens to it any more
	ended                  // the truth's: a message that took it away has been told
	renamed                // it knows the name since the marriage
	corrected              // errors of typing were seen and mended
	filledIn               // what was missing was asked for
	subscribed             // to the shop's newsletter
	loyal                  // has a loyalty account at the tills
)

func (r *record) person() uint32 { return r.slot / uint32(slots) }
func (r *record) system() system { return system(r.slot % uint32(slots) / 3) }
func (r *record) account() int   { return int(r.slot % 3) }

// census is who lives in the town and which systems know them.
type census struct {
	first []uint32 // of each unit, its first person
	known []uint16 // of each person, a bit for each slot
	base  []uint32 // of each person, the number of their first record
	slots []uint32 // of each record, in this order
}

// count makes the census: everyone once, none of them kept.
func (t *Town) count() *census {
	c := &census{known: make([]uint16, t.config.People), base: make([]uint32, t.config.People)}
	var u unit
	for n, p := uint32(0), 0; p < t.config.People; n++ {
		t.live(&u, n, uint32(p))
		c.first = append(c.first, uint32(p))
		for i := 0; i < u.size && p < t.config.People; i++ {
			c.known[p] = t.known(&u.members[i])
			c.base[p] = uint32(len(c.slots))
			for s := range slots {
				if c.known[p]>>s&1 == 1 {
					c.slots = append(c.slots, uint32(p*slots+s))
				}
			}
			p++
		}
	}
	return c
}

// known draws which systems know somebody: one to three of them a grown-up, seldom one a child, and some know them twice.
func (t *Town) known(p *person) (bits uint16) {
	d := throw(t.config.Seed, forKnown, uint64(p.n))
	if !p.grownUp {
		if d.chance(0.15) {
			bits = 1 << (3 * d.below(int(systems)))
		}
		return bits
	}
	for s, rate := range []float64{shop: 0.62, pos: 0.50, bank: 0.55} {
		if d.chance(rate) {
			bits |= 1 << (3 * s)
			if d.chance(t.config.Second) {
				bits |= 2 << (3 * s)
			}
		}
	}
	if bits == 0 {
		bits = 1 << (3 * d.below(int(systems)))
	}
	return bits
}

// person answers somebody; u is where they live, made anew unless it is already theirs.
func (t *Town) person(u *unit, n uint32) *person {
	if u.size == 0 || n < u.first || n >= u.first+uint32(u.size) {
		first := t.census().first
		i := sort.Search(len(first), func(i int) bool { return first[i] > n }) - 1
		t.live(u, uint32(i), first[i])
	}
	return &u.members[n-u.first]
}

// record answers the number of a person's record; false if that system does not know them.
func (c *census) record(slot uint32) (int32, bool) {
	p, s := slot/uint32(slots), slot%uint32(slots)
	if c.known[p]>>s&1 == 0 {
		return 0, false
	}
	return int32(c.base[p]) + int32(bits.OnesCount16(c.known[p]&(1<<s-1))), true
}

// act is one thing that happens: all that is needed to write its message, so that it can be written later, or twice, or not at all.
type act struct {
	kind  kind
	index int32  // of the record; below 0 where nobody is told
	who   uint32 // the person
	at    uint32 // second of the story
	since uint32 // second of what it goes back to
	n     uint64 // its number; gives its ids
	ref   uint64 // the number of what it goes back to
	other uint32 // slot of the other account of a merge; entry of a reversal
	was   record // as it stands after the act
}

// story is one telling of the town.
type story struct {
	town    *Town
	dice    dice
	records []record
	order   []int32 // in which the records are opened
	opened  int
	step    uint64
	unit    unit // the one spoken of last
	agenda  queue[act]
}

func newStory(t *Town) *story {
	c := t.census()
	s := &story{town: t, dice: throw(t.config.Seed, forStory, 0)}
	s.records, s.order = make([]record, len(c.slots), len(c.slots)+64), make([]int32, len(c.slots))
	d := throw(t.config.Seed, forOrder, 0)
	for i, slot := range c.slots {
		s.records[i].slot = slot
		j := d.below(i + 1)
		s.order[i], s.order[j] = s.order[j], int32(i)
	}
	return s
}

// second answers the second of the story at which a step happens; each step has its own.
func (s *story) second(step uint64) uint32 {
	return uint32(step * s.town.seconds / uint64(s.town.config.Events+1))
}

// next answers what happens next: what was announced, an account opened, a guest, or somebody known who does something.
func (s *story) next() act {
	for {
		s.step++
		if a, due := s.agenda.pop(s.step); due {
			if s.follow(&a) {
				return a
			}
			continue
		}
		if s.opened < len(s.order) && s.dice.chance(s.pace()) {
			i := s.order[s.opened]
			s.opened++
			return s.open(i)
		}
		if s.opened == 0 || s.dice.chance(s.town.config.Guests) {
			return s.guest()
		}
		for range 8 {
			i := s.order[s.dice.below(s.opened)]
			if s.records[i].flags&gone == 0 {
				return s.live(i)
			}
		}
		return s.guest()
	}
}

// pace is how often an account is opened: all of them in the first three quarters of the story, if it is long enough.
func (s *story) pace() float64 {
	left := int64(s.town.config.Events)*3/4 - int64(s.step)
	return min(0.85, float64(len(s.order)-s.opened)/float64(max(left, 1)))
}

// act starts an act of a record, with what it says as it is now.
func (s *story) act(k kind, i int32) act {
	r := &s.records[i]
	return act{kind: k, index: i, who: r.person(), at: s.second(s.step), n: s.step, was: *r}
}

// later announces what follows from an act, some steps on.
func (s *story) later(a act, k kind, from, to int) {
	a.kind, a.ref, a.since = k, a.n, a.at
	s.agenda.push(s.step+uint64(s.dice.between(from, to)), a)
}

// follow completes what was announced; false if it came to nothing.
func (s *story) follow(a *act) bool {
	a.at, a.n = s.second(s.step), s.step
	if a.index < 0 {
		return true
	}
	r := &s.records[a.index]
	if r.flags&gone != 0 && !a.kind.posthumous() {
		return false
	}
	switch a.kind {
	case shopRefunded: // the refund itself comes right behind
		refund := *a
		refund.kind = shopRefund
		s.agenda.push(s.step+1, refund)
	case bankStatement:
		s.book(a)
		return true
	case bankReversal:
		r.cents += s.town.entries(a)[0].signed()
	}
	a.was = *r
	return true
}

// open tells of an account for the first time.
func (s *story) open(i int32) act {
	r := &s.records[i]
	p := s.town.person(&s.unit, r.person())
	at := s.second(s.step)
	r.flags |= told
	if s.dice.chance(0.5) {
		r.flags |= subscribed
	}
	if r.born = at; s.dice.chance(0.3) { // it was there before the story, and something about it changes now
		r.born = 0
	}
	r.place = s.unit.where(p, r.born)
	if r.place == now && s.dice.chance(0.06) {
		r.place = before
	}
	if r.born >= p.weds && !(r.born == 0 && s.dice.chance(0.3)) {
		r.flags |= renamed
	}
	switch r.system() {
	case shop:
		r.seen = 1
		if r.born == 0 {
			return s.act(shopUpdate, i)
		}
		return s.act(shopCreate, i)
	case pos:
		r.seen = 1
		if r.born == 0 {
			r.seen = uint16(s.dice.between(2, 9))
			return s.act(tillUpdate, i)
		}
		return s.act(tillCreate, i)
	}
	r.cents = s.dice.size(250_000)
	a := s.act(bankNotice, i)
	s.book(&a)
	return a
}

// behind tells whether a record does not know where its person lives or what they are called. The unit spoken of last is the person's.
func (s *story) behind(r *record, p *person) bool {
	at := s.second(s.step)
	return s.unit.where(p, at) != r.place || p.maiden != "" && at >= p.weds && r.flags&renamed == 0
}

// learn lets a record come up to date: where somebody lives, what they are called, what was wrong or missing.
func (s *story) learn(r *record) {
	p := s.town.person(&s.unit, r.person())
	at := s.second(s.step)
	r.place = s.unit.where(p, at)
	if at >= p.weds {
		r.flags |= renamed
	}
	if s.dice.chance(0.5) {
		r.flags |= corrected
	}
	if s.dice.chance(0.4) {
		r.flags |= filledIn
	}
	r.seen++
}

// live lets somebody known do something.
func (s *story) live(i int32) act {
	switch s.records[i].system() {
	case shop:
		return s.shopping(i)
	case pos:
		return s.paying(i)
	}
	return s.banking(i)
}

// sibling answers the other account that a system has of the same person, if both can be joined.
func (s *story) sibling(i int32) (int32, bool) {
	r := &s.records[i]
	if r.account() > 1 {
		return 0, false
	}
	j, ok := s.town.census().record(r.slot - uint32(r.account()) + uint32(1-r.account()))
	if !ok || s.records[j].flags&(told|gone) != told {
		return 0, false
	}
	return j, true
}

// guest lets somebody who is not told order, or pay at a till: the shop sees an e-mail address, the till a card.
func (s *story) guest() act {
	who := uint32(s.dice.below(s.town.config.People))
	p := s.town.person(&s.unit, who)
	for range 16 {
		if p.grownUp {
			break
		}
		who = uint32(s.dice.below(s.town.config.People))
		p = s.town.person(&s.unit, who)
	}
	a := act{kind: shopGuest, index: -1, who: p.n, at: s.second(s.step), n: s.step}
	a.was = record{slot: p.n*uint32(slots) + 3*uint32(shop) + 2, place: s.unit.where(p, a.at)}
	if a.at >= p.weds {
		a.was.flags |= renamed
	}
	if s.dice.chance(0.5) {
		a.kind = tillCard
		a.was.slot = p.n*uint32(slots) + 3*uint32(pos)
	}
	return a
}

// kind is what happens.
type kind uint8

// The kinds.
const (
	shopCreate kind = iota
	shopUpdate
	shopOrder
	shopFulfilled
	shopRefunded
	shopRefund
	shopGuest
	shopEmailConsent
	shopSMSConsent
	shopMerging
	shopMerged
	shopDelete
	shopRedact
	shopDataRequest
	shopSummary
	tillCreate
	tillUpdate
	tillDelete
	tillMerged
	tillMergedAway
	tillPayment
	tillCompleted
	tillCard
	tillRefund
	tillEnrol
	tillPoints
	bankNotice
	bankStatement
	bankReversal
)

func (k kind) system() system {
	switch {
	case k <= shopSummary:
		return shop
	case k <= tillPoints:
		return pos
	}
	return bank
}

// introduces tells whether the message of an act says in whole who a party is.
func (k kind) introduces() bool {
	switch k {
	case shopCreate, shopUpdate, tillCreate, tillUpdate, tillMerged, bankNotice, bankStatement, bankReversal:
		return true
	}
	return false
}

// ends tells whether it takes the party away.
func (k kind) ends() bool { return k == shopDelete || k == shopRedact || k == tillDelete }

// posthumous tells whether it may happen to an account that is gone.
func (k kind) posthumous() bool { return k == shopMerged || k == tillMergedAway || k == tillCompleted }
