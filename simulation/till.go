package simulation

import (
	"fmt"
	"strconv"
)

const (
	merchant = "MLR5W3CORNER7"
	program  = "5216e8b2-d43e-41e2-9ed8-eccf3e892aef"
)

// till is a place with tills and a currency of its own. Yen have no minor unit.
type till struct{ location, currency string }

func tills() []till {
	return []till{
		{"L0EUROPE1CENTR", "EUR"},
		{"L0EUROPE2STATN", "EUR"},
		{"L0USHARBOR0001", "USD"},
		{"L0CHSEE0000001", "CHF"},
		{"L0JPAIRPORT001", "JPY"},
	}
}

func (t *Town) till(cc country, n uint64) till {
	switch {
	case mix(n)%50 == 0:
		return tills()[4]
	case cc == us:
		return tills()[2]
	case cc == ch:
		return tills()[3]
	}
	return tills()[mix(n)%2]
}

// paying lets a customer of the tills do something.
func (s *story) paying(i int32) act {
	r := &s.records[i]
	p := s.town.person(&s.unit, r.person())
	if s.behind(r, p) && s.dice.chance(0.15) {
		s.learn(r)
		return s.act(tillUpdate, i)
	}
	switch n := s.dice.below(1000); {
	case n < 110: // without saying who they are
		a := s.act(tillCard, i)
		a.index = -1
		return a
	case n < 230:
		s.learn(r)
		return s.act(tillUpdate, i)
	case n < 300 && r.flags&loyal == 0:
		r.flags |= loyal
		return s.act(tillEnrol, i)
	case n < 400 && r.flags&loyal != 0:
		r.cents += 10
		return s.act(tillPoints, i)
	case n < 420:
		if j, ok := s.sibling(i); ok {
			return s.join(i, j)
		}
	case n < 424:
		r.flags |= gone
		return s.act(tillDelete, i)
	}
	r.deals++
	a := s.act(tillPayment, i)
	a.other = uint32(s.dice.below(3)) // 0: told at once that it is complete
	if a.other != 0 {
		s.later(a, tillCompleted, 1, 4)
	}
	if s.dice.chance(0.03) {
		s.later(a, tillRefund, 10, 500)
	}
	return a
}

// join merges two profiles as Square does: a new one is created that says from which, and both old ones are deleted.
func (s *story) join(i, j int32) act {
	one, two := &s.records[i], &s.records[j]
	one.flags |= gone
	two.flags |= gone
	merged := *one
	merged.slot += uint32(2 - one.account())
	merged.flags = merged.flags&^(gone|loyal) | filledIn
	merged.born, merged.seen = s.second(s.step), 1
	merged.cents = 0
	s.records = append(s.records, merged)
	s.order = append(s.order, int32(len(s.records)-1))
	// The new record stands among those that were opened.
	last := len(s.order) - 1
	s.order[s.opened], s.order[last] = s.order[last], s.order[s.opened]
	s.opened++
	a := s.act(tillMerged, int32(len(s.records)-1))
	for _, old := range []int32{i, j} {
		away := a
		away.index = old
		s.later(away, tillMergedAway, 1, 2)
	}
	return a
}

// tillID answers Square's id of a customer.
func (t *Town) tillID(slot uint32) string {
	d := throw(t.config.Seed, forIDs, uint64(slot)<<4|3)
	return d.word(capitals, 26)
}

func (t *Town) loyaltyID(slot uint32) string {
	d := throw(t.config.Seed, forIDs, uint64(slot)<<4|4)
	return d.uuid()
}

// tillMessage writes a Square event: the raw body.
func (t *Town) tillMessage(a *act) Message {
	var u unit
	p := t.person(&u, a.who)
	id := t.tillID(a.was.slot)
	d := throw(t.config.Seed, forIDs, a.n<<4|5)
	b := paper{b: make([]byte, 0, 1536)}
	b.raw("{")
	b.text("merchant_id", merchant)
	event := map[kind]string{
		tillCreate: "customer.created", tillMerged: "customer.created", tillUpdate: "customer.updated", tillDelete: "customer.deleted",
		tillMergedAway: "customer.deleted", tillPayment: "payment.created", tillCard: "payment.created", tillCompleted: "payment.updated",
		tillRefund: "refund.created", tillEnrol: "loyalty.account.created", tillPoints: "loyalty.event.created",
	}[a.kind]
	b.text("type", event)
	b.text("event_id", d.uuid())
	b.stamp("created_at", t.instant(a.at).UTC(), millis)
	b.object("data")
	m := Message{Source: Pos, Topic: posTopic, Key: []byte(id)}
	switch a.kind {
	case tillPayment, tillCompleted, tillCard:
		m.Key = t.payment(&b, a, &u, p, id)
	case tillRefund:
		t.tillRefund(&b, a, &u)
	case tillEnrol, tillPoints:
		t.loyalty(&b, a, &u, p, id)
	default:
		t.tillCustomer(&b, a, &u, p, id)
	}
	b.raw("}}")
	m.Value = b.b
	m.Headers = []Header{{Key: "Content-Type", Value: []byte("application/json")}}
	return m
}

// tillCustomer writes the data of a customer's event; what is not known is left out.
func (t *Town) tillCustomer(b *paper, a *act, u *unit, p *person, id string) {
	know := t.know(u, p, &a.was)
	b.text("type", "customer")
	b.text("id", id)
	if a.kind == tillDelete || a.kind == tillMergedAway {
		b.flag("deleted", true)
	}
	b.object("object")
	if a.kind == tillMerged || a.kind == tillMergedAway {
		base := a.was.slot - a.was.slot%3
		b.object("event_context")
		b.object("merge")
		b.array("from_customer_ids")
		b.next()
		b.quote(t.tillID(base))
		b.next()
		b.quote(t.tillID(base + 1))
		b.raw("]")
		b.text("to_customer_id", t.tillID(base+2))
		b.raw("}}")
	}
	b.object("customer")
	b.text("id", id)
	version := int64(a.was.seen) - 1
	if a.kind == tillDelete || a.kind == tillMergedAway {
		version++
	} else {
		b.stamp("created_at", t.created(&a.was).UTC(), millis)
		b.stamp("updated_at", t.instant(a.at).UTC(), seconds)
	}
	b.number("version", version)
	b.some("given_name", know.given)
	b.some("family_name", know.family)
	b.some("company_name", know.company)
	b.some("email_address", know.email)
	b.some("phone_number", know.dialled)
	b.some("birthday", know.born)
	if know.line1 != "" {
		b.object("address")
		b.text("address_line_1", know.line1)
		b.some("address_line_2", know.line2)
		b.some("locality", know.city)
		b.text("administrative_district_level_1", know.home.place.code)
		b.some("postal_code", know.zip)
		b.text("country", t.tables.countries[know.home.country].code)
		b.raw("}")
	}
	if a.kind == tillMerged {
		b.text("creation_source", "MERGE")
	} else {
		b.text("creation_source", []string{"DIRECTORY", "THIRD_PARTY", "IMPORT"}[a.who%3])
	}
	b.object("preferences")
	b.flag("email_unsubscribed", a.was.flags&subscribed == 0)
	b.raw("}}}")
}

// payment writes the data of a payment and answers the message's key: who pays, or where that is not told, with what.
func (t *Town) payment(b *paper, a *act, u *unit, p *person, id string) (key []byte) {
	n, at := a.n, a.at
	if a.kind == tillCompleted {
		n, at = a.ref, a.since
	}
	d := throw(t.config.Seed, forEntry, n)
	ids := throw(t.config.Seed, forIDs, n<<4|6)
	payment := ids.word(letters, 28)
	where := t.till(u.country, n)
	amount := d.size(3_200)
	if where.currency == "JPY" {
		amount = d.size(4_000)
	}
	done := a.kind != tillPayment || a.other == 0
	b.text("type", "payment")
	b.text("id", payment)
	b.object("object")
	b.object("payment")
	b.text("id", payment)
	b.stamp("created_at", t.instant(at).UTC(), millis)
	b.stamp("updated_at", t.instant(a.at).UTC(), millis)
	minor(b, "amount_money", amount, where.currency)
	minor(b, "total_money", amount, where.currency)
	b.text("status", map[bool]string{true: "COMPLETED", false: "APPROVED"}[done])
	b.text("location_id", where.location)
	b.text("order_id", ids.word(letters, 29))
	b.text("receipt_number", payment[:4])
	b.text("version_token", ids.word(letters, 44)+strconv.Itoa(int(a.kind)))
	holder, which := p.n, 0
	switch lot := d.below(100); {
	case lot < 4: // with the card of another one of the household
		holder = u.first
	case lot < 20:
		which = 1
	}
	c := t.card(holder, which)
	if a.kind != tillCard && d.chance(0.1) {
		b.text("source_type", "CASH")
	} else {
		t.paidBy(b, &c, done)
	}
	if a.kind == tillCard {
		key = []byte(c.fingerprint)
	} else {
		key = []byte(id)
		b.text("customer_id", id)
	}
	if d.chance(0.12) {
		b.text("buyer_email_address", t.mailbox(u, p, private))
	}
	b.raw("}}")
	return key
}

func (t *Town) paidBy(b *paper, c *card, done bool) {
	b.text("source_type", "CARD")
	b.object("card_details")
	b.text("status", map[bool]string{true: "CAPTURED", false: "AUTHORIZED"}[done])
	b.text("entry_method", "EMV")
	b.object("card")
	b.text("card_brand", c.brand)
	b.text("card_type", "CREDIT")
	b.text("bin", c.bin)
	b.text("last_4", c.last4)
	b.number("exp_month", int64(c.month))
	b.number("exp_year", int64(c.year))
	b.text("fingerprint", c.fingerprint)
	b.raw("}}")
}

// minor writes an amount in minor units, as Square does.
func minor(b *paper, name string, amount int64, currency string) {
	b.object(name)
	b.number("amount", amount)
	b.text("currency", currency)
	b.raw("}")
}

func (t *Town) tillRefund(b *paper, a *act, u *unit) {
	d := throw(t.config.Seed, forEntry, a.ref)
	ids := throw(t.config.Seed, forIDs, a.ref<<4|6)
	payment := ids.word(letters, 28)
	where := t.till(u.country, a.ref)
	amount := d.size(3_200)
	if where.currency == "JPY" {
		amount = d.size(4_000)
	}
	id := payment + "_" + ids.word(letters, 12)
	b.text("type", "refund")
	b.text("id", id)
	b.object("object")
	b.object("refund")
	b.text("id", id)
	b.stamp("created_at", t.instant(a.at).UTC(), millis)
	b.stamp("updated_at", t.instant(a.at).UTC(), millis)
	minor(b, "amount_money", amount, where.currency)
	b.text("status", "COMPLETED")
	b.text("location_id", where.location)
	b.text("payment_id", payment)
	b.number("version", 7)
	b.raw("}}")
}

// loyalty writes the data of a loyalty account, or of points gathered on it, which name the account only.
func (t *Town) loyalty(b *paper, a *act, u *unit, p *person, id string) {
	account := t.loyaltyID(a.was.slot)
	if a.kind == tillPoints {
		d := throw(t.config.Seed, forIDs, a.n<<4|7)
		event := d.uuid()
		b.text("type", "loyalty_event")
		b.text("id", event)
		b.object("object")
		b.object("loyalty_event")
		b.text("id", event)
		b.text("type", "ACCUMULATE_POINTS")
		b.stamp("created_at", t.instant(a.at).UTC(), seconds)
		b.object("accumulate_points")
		b.text("loyalty_program_id", program)
		b.number("points", 10)
		b.raw("}")
		b.text("loyalty_account_id", account)
		b.text("location_id", t.till(u.country, a.n).location)
		b.text("source", "SQUARE")
		b.raw("}}")
		return
	}
	know := t.know(u, p, &a.was)
	b.text("type", "loyalty_account")
	b.text("id", account)
	b.object("object")
	b.object("loyalty_account")
	b.text("id", account)
	b.text("program_id", program)
	b.text("customer_id", id)
	b.number("balance", 0)
	b.number("lifetime_points", 0)
	for _, name := range []string{"created_at", "enrolled_at", "updated_at"} {
		b.stamp(name, t.instant(a.at).UTC(), seconds)
	}
	b.object("mapping")
	b.text("id", fmt.Sprintf("%s-m", account[:23]))
	b.stamp("created_at", t.instant(a.at).UTC(), seconds)
	b.text("phone_number", know.phone.full())
	b.raw("}}}")
}
