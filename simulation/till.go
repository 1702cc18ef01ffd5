package simulation

import (
	"encoding/json"
)

const merchant = "MLR5W3CORNER7"

// happening answers a Square event.
func (s *story) happening(key, kind, of, id string, body object) Message {
	value, _ := json.Marshal(object{ // of plain values: cannot fail
		"merchant_id": merchant, "type": kind, "event_id": s.uuid(), "created_at": s.now.Format("2006-01-02T15:04:05.000Z"),
		"data": object{"type": of, "id": id, "object": body},
	})
	return Message{Source: Pos, Topic: posTopic, Key: []byte(key), Value: value, Time: s.now}
}

// enrol answers the events of a new customer at the tills: the profile, and for some a loyalty account.
func (s *story) enrol(a *account) []Message {
	out := []Message{s.tillCustomer(a, "customer.created", nil)}
	if a.phone != "" && a.phone == a.owner.mobile && s.chance(0.4) {
		a.loyalty = s.uuid()
		out = append(out, s.loyaltyAccount(a, "loyalty.account.created", 0))
	}
	return out
}

func (s *story) tillCustomer(a *account, kind string, context object) Message {
	if a.created.IsZero() {
		a.created = s.now
	} else {
		a.version++
	}
	c := object{
		"id": a.id, "version": a.version,
		"created_at": a.created.Format("2006-01-02T15:04:05.000Z"), "updated_at": s.now.Format("2006-01-02T15:04:05.000Z"),
		"creation_source": "DIRECTORY", "preferences": object{"email_unsubscribed": false},
		"address": object{
			"address_line_1": a.street, "locality": a.home.city, "administrative_district_level_1": a.home.region,
			"postal_code": a.home.postcode, "country": a.home.country,
		},
	}
	member := func(name, value string) {
		if value != "" {
			c[name] = value
		}
	}
	if a.owner.firm {
		member("company_name", a.given+" "+a.family)
	} else {
		member("given_name", a.given)
		member("family_name", a.family)
	}
	member("email_address", a.email)
	member("phone_number", a.phone)
	member("birthday", a.birth)
	body := object{"customer": c}
	if context != nil {
		body["event_context"] = context
	}
	return s.happening(a.id, kind, "customer", a.id, body)
}

func (s *story) loyaltyAccount(a *account, kind string, points int) Message {
	return s.happening(a.id, kind, "loyalty_account", a.loyalty, object{"loyalty_account": object{
		"id": a.loyalty, "customer_id": a.id, "program_id": "corner-points", "balance": points, "lifetime_points": points,
		"created_at": a.created.Format("2006-01-02T15:04:05Z"), "enrolled_at": a.created.Format("2006-01-02T15:04:05Z"),
		"updated_at": s.now.Format("2006-01-02T15:04:05Z"), "mapping": object{"id": a.loyalty + "-m", "phone_number": a.phone},
	}})
}

// paying lets a customer of the tills do something.
func (s *story) paying(a *account) []Message {
	switch n := s.rng.IntN(1000); {
	case n < 760:
		return []Message{s.payment(a)}
	case n < 880:
		return []Message{s.tillCustomer(a, "customer.updated", nil)}
	case n < 980 && a.loyalty != "":
		return []Message{s.happening(a.id, "loyalty.event.created", "loyalty_event", s.uuid(), object{"loyalty_event": object{
			"id": s.uuid(), "type": "ACCUMULATE_POINTS", "created_at": s.now.Format("2006-01-02T15:04:05Z"), "loyalty_account_id": a.loyalty,
			"location_id": "L1", "source": "SQUARE", "accumulate_points": object{"points": 10, "loyalty_program_id": "corner-points"},
		}})}
	case n < 985:
		a.gone = true
		gone := object{"customer": object{"id": a.id, "version": a.version + 1}}
		return []Message{s.happening(a.id, "customer.deleted", "customer", a.id, gone)}
	case n < 990 && !a.owner.firm:
		return s.rebirth(a)
	default:
		return []Message{s.payment(a)}
	}
}

// rebirth is Square's merge: a new profile is created out of the old one, which is deleted in the same context.
func (s *story) rebirth(a *account) []Message {
	old := a.id
	was := object{"customer": object{"id": old, "version": a.version + 1}}
	a.id, a.version = s.word(26), -1
	context := object{"merge": object{"from_customer_ids": []string{old}, "to_customer_id": a.id}}
	was["event_context"] = context
	return []Message{s.tillCustomer(a, "customer.created", context), s.happening(old, "customer.deleted", "customer", old, was)}
}

// payment answers a payment by card: some know who pays, some only the card.
func (s *story) payment(a *account) Message {
	id, cents := s.word(22), s.cents()
	p := object{
		"id": id, "status": "COMPLETED",
		"created_at": s.now.Format("2006-01-02T15:04:05.000Z"), "updated_at": s.now.Format("2006-01-02T15:04:05.000Z"),
		"source_type": "CARD", "location_id": "L1", "order_id": s.word(22), "receipt_number": id[:4],
		"amount_money": object{"amount": cents, "currency": "EUR"}, "total_money": object{"amount": cents, "currency": "EUR"},
		"card_details": object{"status": "CAPTURED", "entry_method": "EMV", "card": object{
			"card_brand": "VISA", "last_4": "4242", "exp_month": 11, "exp_year": 2029, "fingerprint": a.owner.card,
		}},
	}
	if s.chance(0.6) {
		p["customer_id"] = a.id
	}
	if a.email != "" && s.chance(0.1) {
		p["buyer_email_address"] = a.email
	}
	return s.happening(a.id, "payment.created", "payment", id, object{"payment": p})
}
