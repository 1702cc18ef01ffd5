package simulation

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// coreLines is how many lines a file of the core system has at most: a night has as many files as it needs.
const coreLines = 25

// coreLine is one thing that the core system tells of a customer.
type coreLine struct {
	at   uint32 // second of the story at which it was so
	who  uint32
	n    uint16 // the how manieth of this customer, from 1
	kind coreKind
}

type coreKind uint8

const (
	coreOpened coreKind = iota // a customer as the clerk took them down
	coreLearnt                 // the same with what has changed since
	coreBooked                 // money came or went
)

// nights are the core system's files, in order.
type nights struct {
	town  *Town
	lines []coreLine // what is yet to be told
	files int        // told so far
}

// openCore answers the files of the core system, none where the town has no such system.
func (t *Town) openCore() *nights {
	n := &nights{town: t}
	for line := range t.core() {
		n.lines = append(n.lines, line)
	}
	slices.SortFunc(n.lines, func(a, b coreLine) int {
		return compare(uint64(a.at)<<32|uint64(a.who), uint64(b.at)<<32|uint64(b.who))
	})
	return n
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// core tells of each customer of the core system, in the order of people and for each in the order of time.
func (t *Town) core() func(yield func(coreLine) bool) {
	return func(yield func(coreLine) bool) {
		if t.config.Core <= 0 {
			return
		}
		var u unit
		for who := range uint32(t.config.People) {
			p := t.person(&u, who)
			d := throw(t.config.Seed, forCore, uint64(who))
			if p.firm || !p.grownUp || !d.chance(t.config.Core) {
				continue
			}
			from := t.some(&d) / 4 * 3
			if d.chance(0.3) { // a customer for long, told of in the first night
				from = 0
			}
			lines := []coreLine{{at: from, kind: coreOpened}}
			for _, change := range []uint32{u.moves, p.leaves, p.weds} {
				if seen := change + uint32(d.below(20*86400)); change > from && uint64(change) < t.seconds && uint64(seen) < t.seconds {
					lines = append(lines, coreLine{at: seen, kind: coreLearnt})
				}
			}
			for range d.below(7) {
				lines = append(lines, coreLine{at: from + 1 + uint32(uint64(t.some(&d))*(t.seconds-uint64(from)-1)/t.seconds), kind: coreBooked})
			}
			slices.SortStableFunc(lines, func(a, b coreLine) int { return compare(uint64(a.at), uint64(b.at)) })
			for i := range lines {
				lines[i].who, lines[i].n = who, uint16(i+1)
				if !yield(lines[i]) {
					return
				}
			}
		}
	}
}

// coreTruth answers who is behind each number of the core system; false where nobody listens any more.
func (t *Town) coreTruth(yield func(Truth) bool) {
	var u unit
	for line := range t.core() {
		if line.n == 1 && !yield(Truth{Source: Core, Key: t.coreNumber(line.who), Person: t.person(&u, line.who).id()}) {
			return
		}
	}
}

// coreNumber is what the core system calls a customer.
func (t *Town) coreNumber(who uint32) string {
	return fmt.Sprintf("%08d", scatter(t.config.Seed^0x63, uint64(who), 100_000_000))
}

// tell tells the files of the nights that are over at a time; false where nobody listens any more.
func (n *nights) tell(until time.Time, yield func(Message) bool) bool {
	for len(n.lines) > 0 {
		night := n.lines[0].at / 86400
		over := n.town.instant(min((night+1)*86400, uint32(n.town.seconds)))
		if over.After(until) {
			return true
		}
		end := 1
		for end < min(len(n.lines), coreLines) && n.lines[end].at/86400 == night {
			end++
		}
		m := n.file(n.lines[:end], over)
		n.lines = n.lines[end:]
		n.files++
		for _, sent := range n.sent(m) {
			if !yield(sent) {
				return false
			}
		}
	}
	return true
}

// sent answers what becomes of a file on its way: now and then it is cut off and sent again, or sent twice.
func (n *nights) sent(m Message) []Message {
	d := throw(n.town.config.Seed, forCore, 1<<40|uint64(n.files))
	cutOff, twice := d.chance(n.town.config.Poison), d.chance(n.town.config.Duplicates)
	var out []Message
	if cutOff {
		half := m
		half.Value, half.Fault = m.Value[:len(m.Value)*2/3], "poison-truncated"
		out = append(out, half)
	}
	out = append(out, m)
	if twice {
		again := m
		again.Fault = "duplicate"
		out = append(out, again)
	}
	for i := range out {
		out[i].Time = m.Time.Add(time.Duration(i) * time.Microsecond)
	}
	return out
}

// file writes lines as the core system does, with one at the end that counts them.
func (n *nights) file(lines []coreLine, at time.Time) Message {
	var b bytes.Buffer
	var u unit
	for i := range lines {
		p := n.town.person(&u, lines[i].who)
		b.WriteString(n.line(&u, p, &lines[i]))
	}
	fmt.Fprintf(&b, "Z|%d\n", len(lines))
	return Message{
		Source: Core, Topic: coreTopic, Key: []byte(at.UTC().Format("20060102") + "-" + strconv.Itoa(n.files)), Value: b.Bytes(),
		Time: at.Add(time.Duration(n.files%40_000) * 10 * time.Microsecond),
	}
}

// line writes one line.
func (n *nights) line(u *unit, p *person, l *coreLine) string {
	t := n.town
	d := throw(t.config.Seed, forCore, 2<<40|uint64(l.who)<<8|uint64(l.n))
	head := []string{t.coreNumber(l.who), strconv.Itoa(int(l.n)), t.instant(l.at).UTC().Format("20060102150405")}
	if l.kind == coreBooked {
		side := pick(&d, []string{"CR", "DB"})
		return bars("T", append(head, fmt.Sprintf("CB%010d-%d", l.who, l.n), side, strconv.FormatInt(d.size(8_000), 10), "EUR",
			pick(&d, []string{"Deposit", "Withdrawal", "Standing order", "Interest"})))
	}
	r := record{slot: l.who*uint32(slots) + 3*uint32(bank) + 2, place: u.where(p, l.at)} // a slot that the bank itself does not use
	if l.at >= p.weds {
		r.flags |= renamed
	}
	if l.kind == coreLearnt {
		r.flags |= corrected | filledIn
	}
	know := t.know(u, p, &r)
	if capitals := throw(t.config.Seed, forCore, 3<<40|uint64(l.who)); capitals.chance(0.25) && !t.config.Clean {
		know.family, know.given = strings.ToUpper(spaced(know.family, plain)), strings.ToUpper(spaced(know.given, plain))
	}
	dialled := ""
	if know.dialled != "" {
		dialled = know.phone.full()
	}
	country := ""
	if know.line1 != "" {
		country = t.tables.countries[u.country].code
	} else {
		know.zip, know.city = "", ""
	}
	iban := withCheck("DE", fmt.Sprintf("50099900%010d", scatter(t.config.Seed^0x64, uint64(l.who), 10_000_000_000)))
	return bars("C", append(head, know.family, know.given, strings.ReplaceAll(know.born, "-", ""), iban, know.email, dialled,
		know.line1, know.zip, know.city, country))
}

// bars puts bars between fields. A field has none in it.
func bars(kind string, fields []string) string {
	out := kind
	for _, f := range fields {
		out += "|" + strings.NewReplacer("|", "/", "\n", " ", "\r", " ").Replace(f)
	}
	return out + "\n"
}
