package simulation

import (
	"bytes"
	"strings"
	"time"
)

// fault is what was done to a message on the way.
type fault uint8

const (
	faultNone fault = iota
	faultDuplicate
	faultReordered
	faultLate
	faultStorm
	faultTombstone
	faultPoison
)

// Faults answers what Message.Fault may say: what was done to a message on the way, "poison-..." with how it was spoilt.
func Faults() []string {
	out := []string{"duplicate", "reordered", "late", "storm", "tombstone"}
	for _, p := range poisons() {
		out = append(out, "poison-"+p.name)
	}
	return out
}

func (f fault) name(a *act) string {
	switch f {
	case faultNone:
		return ""
	case faultPoison:
		return "poison-" + poisons()[a.n%uint64(len(poisons()))].name
	}
	return Faults()[f-1]
}

// Windows: how many messages later.
const (
	duplicateWindow = 60
	reorderWindow   = 40
	lateWindow      = 2000
	stormWindow     = 3
)

// parcel is an act on its way to the broker.
type parcel struct {
	act   act
	fault fault
}

// tell lets the story happen and brings it to the broker, with the mess of the way: exactly Config.Events parcels.
func (s *story) tell(yield func(p parcel, at time.Time) bool) {
	var way queue[parcel]
	c := s.town.config
	d := throw(c.Seed, forAct, 0)
	poisoned := uint64(0)
	for arrived := 0; arrived < c.Events; {
		a := s.next()
		p := parcel{act: a}
		delay := uint64(0)
		if d.chance(c.Reordered) {
			p.fault, delay = faultReordered, uint64(d.between(1, reorderWindow))
		}
		if d.chance(c.Late) {
			p.fault, delay = faultLate, uint64(d.between(reorderWindow, lateWindow))
		}
		way.push(s.step+delay, p)
		if d.chance(c.Duplicates) {
			way.push(s.step+delay+uint64(d.between(0, duplicateWindow)), parcel{act: a, fault: faultDuplicate})
		}
		if a.kind == shopUpdate && d.chance(c.Storms) {
			for range d.between(1, 3) {
				way.push(s.step+delay+uint64(d.between(0, stormWindow)), parcel{act: a, fault: faultStorm})
			}
		}
		if d.chance(c.Poison) {
			bad := a
			bad.n, poisoned = poisoned, poisoned+1
			way.push(s.step, parcel{act: bad, fault: faultPoison})
		}
		if d.chance(c.Tombstones) {
			way.push(s.step, parcel{act: a, fault: faultTombstone})
		}
		for ms := 0; arrived < c.Events; ms++ {
			p, due := way.pop(s.step)
			if !due {
				break
			}
			arrived++
			at := c.Start.Add(time.Duration(s.second(s.step))*time.Second + time.Duration(ms+400)*time.Millisecond)
			if !yield(p, at) {
				return
			}
		}
	}
}

// write makes the message of a parcel.
func (t *Town) write(p *parcel) Message {
	a := &p.act
	var m Message
	switch a.kind.system() {
	case shop:
		m = t.shopMessage(a, p.fault == faultStorm)
	case pos:
		m = t.tillMessage(a)
	default:
		m = t.bankMessage(a)
	}
	m.Fault = p.fault.name(a)
	switch p.fault {
	case faultTombstone:
		m.Value, m.Headers = nil, nil
	case faultPoison:
		t.poison(a, &m)
	}
	return m
}

// spoilt is one way to make a message that nobody can read.
type spoilt struct {
	name  string
	spoil func(t *Town, m *Message)
}

// poisons are the ways, in turn. None of them can take effect on somebody: the party's key is spoilt wherever the rest is not.
func poisons() []spoilt {
	return []spoilt{
		{"truncated", func(_ *Town, m *Message) { m.Value = m.Value[:len(m.Value)*2/3] }},
		{"no-key", func(_ *Town, m *Message) { m.Value = keyless(m) }},
		{"wrong-type", func(_ *Town, m *Message) { m.Value = mistaken(m) }},
		{"unknown-event", unheard},
		{"currency", func(_ *Town, m *Message) { m.Value = foreign(m) }},
		{"encoding", func(_ *Town, m *Message) { m.Value = append([]byte{0xff, 0xfe, 0x00}, m.Value...) }},
		{"nested", func(_ *Town, m *Message) { m.Value = nested(m) }},
		{"huge", func(t *Town, m *Message) { m.Value = huge(m, t.config.Huge) }},
		{"not-ours", func(_ *Town, m *Message) { m.Value = []byte("<html><body>502 Bad Gateway<br></body></html>") }},
		{"empty", func(_ *Town, m *Message) { m.Value = []byte{} }},
		{"entities", func(_ *Town, m *Message) { m.Value = entities(m) }},
	}
}

func (t *Town) poison(a *act, m *Message) {
	poisons()[a.n%uint64(len(poisons()))].spoil(t, m)
}

// retopic says that a webhook of the shop tells something else.
func retopic(m *Message, topic string) {
	for i := range m.Headers {
		if m.Headers[i].Key == "X-Shopify-Topic" {
			m.Headers[i].Value = []byte(topic)
		}
	}
}

// keyless takes the party's key out.
func keyless(m *Message) []byte {
	switch m.Source {
	case Shop:
		retopic(m, "customers/create")
		return []byte(`{"created_at":"2025-06-02T08:00:00Z","updated_at":"2025-06-02T08:00:00Z","email":null,"first_name":"Nobody"}`)
	case Pos:
		return []byte(`{"merchant_id":"` + merchant + `","type":"customer.created","event_id":"0","created_at":"2025-06-02T08:00:00Z",` +
			`"data":{"type":"customer","object":{"customer":{"given_name":"Nobody","version":0}}}}`)
	}
	return notice(`<Acct><Ownr><Nm>Nobody</Nm></Ownr></Acct>`, "")
}

// mistaken puts another type where the key stands.
func mistaken(m *Message) []byte {
	switch m.Source {
	case Shop:
		retopic(m, "customers/create")
		return []byte(`{"id":{"value":17},"updated_at":["2025-06-02"],"first_name":"Nobody"}`)
	case Pos:
		return []byte(`{"merchant_id":["` + merchant + `"],"type":"customer.created","event_id":17,"created_at":"2025-06-02T08:00:00Z",` +
			`"data":{"type":"customer","object":{"customer":{"id":{"value":"17"},"version":"first"}}}}`)
	}
	return notice(nobodysAccount, `<Ntry><Amt Ccy="EUR">twelve</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts></Ntry>`)
}

// unheard is an event of a system that nobody has heard of.
func unheard(_ *Town, m *Message) {
	switch m.Source {
	case Shop:
		retopic(m, "metaobjects/entangled")
	case Pos:
		m.Value = []byte(`{"merchant_id":"` + merchant + `","type":"hologram.created","event_id":"0",` +
			`"created_at":"2025-06-02T08:00:00Z","data":{}}`)
	default:
		m.Value = []byte(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.029.001.09"><RsltnOfInvstgtn/></Document>`)
	}
}

// foreign is money that no country has.
func foreign(m *Message) []byte {
	switch m.Source {
	case Shop:
		retopic(m, "orders/create")
		return []byte(`{"id":17,"name":"#17","created_at":"2025-06-02T08:00:00Z","updated_at":"2025-06-02T08:00:00Z","currency":"ZZZ",` +
			`"total_price":"12.50","current_total_price":"12.50","source_name":"web","email":"nobody@nowhere.example","line_items":[]}`)
	case Pos:
		return []byte(`{"merchant_id":"` + merchant + `","type":"payment.created","event_id":"0","created_at":"2025-06-02T08:00:00Z",` +
			`"data":{"type":"payment","id":"NOPAYMENT","object":{"payment":{"id":"NOPAYMENT","created_at":"2025-06-02T08:00:00Z",` +
			`"updated_at":"2025-06-02T08:00:00Z","status":"COMPLETED","amount_money":{"amount":1250,"currency":"ZZZ"},` +
			`"total_money":{"amount":1250,"currency":"ZZZ"},"source_type":"CARD","card_details":{"card":{"fingerprint":"sq-1-nobody"}}}}}}`)
	}
	return notice(nobodysAccount, `<Ntry><Amt Ccy="ZZZ">12.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>`+
		`<BookgDt><Dt>2025-06-02</Dt></BookgDt><AcctSvcrRef>NOENTRY</AcctSvcrRef></Ntry>`)
}

// nested is nested beyond reason.
func nested(m *Message) []byte {
	const depth = 20_000
	if m.Source == Bank {
		return []byte(strings.Repeat("<a>", depth) + strings.Repeat("</a>", depth))
	}
	return append(bytes.Repeat([]byte("["), depth), bytes.Repeat([]byte("]"), depth)...)
}

// huge is longer than any name of a person, and of nobody's.
func huge(m *Message, size int) []byte {
	long := strings.Repeat("Nobody ", size/7+1)
	switch m.Source {
	case Shop:
		retopic(m, "customers/create")
		return []byte(`{"id":18,"updated_at":"2025-06-02T08:00:00Z","first_name":"` + long + `"}`)
	case Pos:
		return []byte(`{"merchant_id":"` + merchant + `","type":"customer.created","event_id":"0","created_at":"2025-06-02T08:00:00Z",` +
			`"data":{"type":"customer","id":"NOBODY","object":{"customer":{"id":"NOBODY","version":0,"given_name":"` + long + `"}}}}`)
	}
	return notice(`<Acct><Id><IBAN>XX00NOBODY</IBAN></Id><Ownr><Nm>`+long+`</Nm></Ownr></Acct>`, "")
}

// entities is a billion laughs: entities of entities.
func entities(m *Message) []byte {
	if m.Source != Bank {
		return []byte(`{"id":NaN,"updated_at":undefined}`)
	}
	return []byte(`<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">` +
		`<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>` +
		`<Document><BkToCstmrDbtCdtNtfctn>&c;</BkToCstmrDbtCdtNtfctn></Document>`)
}

const nobodysAccount = `<Acct><Id><IBAN>XX00NOBODY</IBAN></Id></Acct>`

func notice(account, entries string) []byte {
	return []byte(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><BkToCstmrDbtCdtNtfctn><GrpHdr><MsgId>0</MsgId>` +
		`<CreDtTm>2025-06-02T08:00:00</CreDtTm></GrpHdr><Ntfctn><Id>0</Id><CreDtTm>2025-06-02T08:00:00</CreDtTm>` + account + entries +
		`</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>`)
}

// queue holds what is due at steps to come: first the earliest, of one step what was put in first.
type queue[T any] struct {
	heap []waiting[T]
	seq  uint64
}

type waiting[T any] struct {
	due, seq uint64
	item     T
}

func (w *waiting[T]) before(o *waiting[T]) bool {
	return w.due < o.due || w.due == o.due && w.seq < o.seq
}

func (q *queue[T]) push(due uint64, item T) {
	q.seq++
	q.heap = append(q.heap, waiting[T]{due, q.seq, item})
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.heap[i].before(&q.heap[up]) {
			return
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// pop answers the first item that is due at a step.
func (q *queue[T]) pop(step uint64) (item T, due bool) {
	if len(q.heap) == 0 || q.heap[0].due > step {
		return item, false
	}
	item = q.heap[0].item
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap = q.heap[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return item, true
		}
		if down+1 < last && q.heap[down+1].before(&q.heap[down]) {
			down++
		}
		if !q.heap[down].before(&q.heap[i]) {
			return item, true
		}
		q.heap[i], q.heap[down] = q.heap[down], q.heap[i]
		i = down
	}
}
