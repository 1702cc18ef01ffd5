package simulation

import (
	"encoding/json"
	"strconv"
	"time"
)

const shopDomain = "corner-shop.myshopify.com"

// object is a JSON object; its members come out sorted, so that the same town makes the same bytes.
type object map[string]any

// webhook answers a Shopify webhook as a gateway puts it on a topic.
func (s *story) webhook(key int64, topic, api string, body object) Message {
	value, _ := json.Marshal(body) // of plain values: cannot fail
	h := func(k, v string) Header { return Header{Key: k, Value: []byte(v)} }
	return Message{
		Source: Shop, Topic: shopTopic, Key: strconv.AppendInt(nil, key, 10), Value: value, Time: s.now,
		Headers: []Header{
			h("X-Shopify-Topic", topic), h("X-Shopify-Shop-Domain", shopDomain), h("X-Shopify-API-Version", api),
			h("X-Shopify-Triggered-At", s.now.Format("2006-01-02T15:04:05.000000000Z")), h("X-Shopify-Event-Id", s.uuid()),
			h("X-Shopify-Webhook-Id", s.uuid()),
		},
	}
}

// shopCustomer answers a customer's whole profile, in the old shape of the API or in the new one.
func (s *story) shopCustomer(a *account, topic string) Message {
	if a.created.IsZero() {
		a.created = s.now
	}
	adr := object{
		"id": a.n + 1, "customer_id": a.n, "first_name": a.given, "last_name": a.family, "company": nil,
		"address1": a.street, "address2": nil,
		"city": a.home.city, "province": a.home.region, "zip": a.home.postcode, "country_code": a.home.country,
		"phone": null(a.phone), "default": true,
	}
	body := object{
		"id": a.n, "admin_graphql_api_id": "gid://shopify/Customer/" + strconv.FormatInt(a.n, 10),
		"created_at": stamp(a.created), "updated_at": stamp(s.now), "first_name": a.given, "last_name": a.family,
		"email": null(a.email), "verified_email": a.checked, "phone": null(a.phone), "state": "enabled",
		"currency": "EUR", "note": nil, "addresses": []object{adr}, "default_address": adr,
	}
	if a.owner.firm {
		body["first_name"], body["last_name"] = nil, nil
		adr["company"] = a.given + " " + a.family
	}
	api := "2025-10"
	if a.n%5 == 0 { // an app that still speaks the old version
		api = "2024-10"
		body["tags"] = "newsletter, vip"
		body["email_marketing_consent"] = object{"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": stamp(a.created)}
	}
	return s.webhook(a.n, topic, api, body)
}

// shopping lets a shop's customer do something.
func (s *story) shopping(a *account) []Message {
	switch n := s.rng.IntN(1000); {
	case n < 550:
		return []Message{s.buy(a, true)}
	case n < 620: // without signing in
		return []Message{s.buy(a, false)}
	case n < 830:
		if s.chance(0.3) && a.home != a.owner.home {
			a.home = a.owner.home
			a.street = a.home.line()
		}
		return []Message{s.shopCustomer(a, "customers/update")}
	case n < 900:
		state := []string{"subscribed", "unsubscribed"}[s.rng.IntN(2)]
		return []Message{s.webhook(a.n, "customers_email_marketing_consent/update", "2025-10", object{
			"customer_id": a.n, "email_address": null(a.email),
			"email_marketing_consent": object{"state": state, "opt_in_level": "single_opt_in", "consent_updated_at": stamp(s.now)},
		})}
	case n < 970:
		return s.refund()
	case n < 985:
		return s.merge(a)
	case n < 993:
		a.gone = true
		return []Message{s.webhook(a.n, "customers/delete", "2025-10", object{"id": a.n, "admin_graphql_api_id": nil})}
	default:
		a.gone = true
		return []Message{s.webhook(a.n, "customers/redact", "2025-10", object{
			"shop_id": 954889, "shop_domain": shopDomain, "orders_to_redact": []int64{},
			"customer": object{"id": a.n, "email": null(a.email), "phone": null(a.phone)},
		})}
	}
}

// buy answers an order, of a signed-in customer or of a guest.
func (s *story) buy(a *account, signedIn bool) Message {
	id, cents := 5_000_000_000_000+s.number(), s.cents()
	adr := object{
		"first_name": a.given, "last_name": a.family, "address1": a.street, "city": a.home.city, "zip": a.home.postcode,
		"country_code": a.home.country, "phone": null(a.phone),
	}
	body := object{
		"id": id, "name": "#" + strconv.FormatInt(id%1_000_000, 10), "order_number": id % 1_000_000,
		"created_at": stamp(s.now), "processed_at": stamp(s.now), "updated_at": stamp(s.now), "currency": "EUR",
		"total_price": money(cents), "current_total_price": money(cents), "financial_status": "paid",
		"fulfillment_status": nil, "source_name": "web", "test": false, "email": null(a.email), "contact_email": null(a.email), "phone": nil,
		"billing_address": adr, "shipping_address": adr, "cart_token": s.word(20), "customer": nil,
		"line_items": []object{{
			"id": id * 10, "sku": "SKU-" + strconv.Itoa(s.rng.IntN(400)), "name": "An article", "quantity": 1, "price": money(cents),
		}},
	}
	if signedIn {
		body["customer"] = object{"id": a.n, "email": null(a.email), "first_name": a.given, "last_name": a.family}
		s.orders = append(s.orders, order{of: a, id: id, cents: cents})
		if len(s.orders) > 1000 {
			s.orders = s.orders[1:]
		}
	}
	return s.webhook(a.n, "orders/create", "2025-10", body)
}

// refund gives the money of a recent order back: the order is updated, and the refund told.
func (s *story) refund() []Message {
	if len(s.orders) == 0 {
		return nil
	}
	i := s.rng.IntN(len(s.orders))
	o := s.orders[i]
	s.orders = append(s.orders[:i], s.orders[i+1:]...)
	if o.of.gone {
		return nil
	}
	id := s.number()
	return []Message{
		s.webhook(o.of.n, "orders/updated", "2025-10", object{
			"id": o.id, "name": "#" + strconv.FormatInt(o.id%1_000_000, 10),
			"created_at": stamp(s.now), "processed_at": stamp(s.now), "updated_at": stamp(s.now),
			"currency": "EUR", "total_price": money(o.cents), "current_total_price": "0.00", "financial_status": "refunded", "source_name": "web",
			"email": null(o.of.email), "test": false, "customer": object{"id": o.of.n}, "line_items": []object{},
		}),
		s.webhook(o.of.n, "refunds/create", "2025-10", object{
			"id": id, "order_id": o.id, "created_at": stamp(s.now), "processed_at": stamp(s.now), "note": "", "refund_line_items": []object{},
			"transactions": []object{{
				"id": id, "order_id": o.id, "kind": "refund", "amount": money(o.cents), "currency": "EUR", "status": "success",
			}},
		}),
	}
}

// merge joins a customer's second account into the first, as a shop's clerk does who has noticed.
func (s *story) merge(a *account) []Message {
	for _, b := range s.accounts[:s.opened] {
		if b == a || b.source != Shop || b.owner != a.owner || b.gone || b.merged {
			continue
		}
		b.merged = true
		kept, lost := "gid://shopify/Customer/"+strconv.FormatInt(a.n, 10), "gid://shopify/Customer/"+strconv.FormatInt(b.n, 10)
		return []Message{s.webhook(a.n, "customers/merge", "2025-10", object{
			"admin_graphql_api_customer_kept_id": kept, "admin_graphql_api_customer_deleted_id": lost, "status": "completed", "errors": []string{},
		})}
	}
	return nil
}

// stamp writes an instant as Shopify does, in the shop's own offset and whole seconds.
func stamp(t time.Time) string {
	return t.In(time.FixedZone("", 3600)).Format("2006-01-02T15:04:05Z07:00")
}

// null is JSON's null for an empty text.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
