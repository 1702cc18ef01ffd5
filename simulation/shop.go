package simulation

import (
	"strconv"
	"time"
)

// The shop: one on Shopify, in Europe, that sells in euro and shows its customers their own currency.
const (
	shopDomain = "corner-shop.myshopify.com"
	shopID     = 954889
	// Two customers in a row are told apart by integers only: above 2^53 a float64 has every second number.
	firstCustomer = 1<<53 + 1
	firstOrder    = 5_500_000_000_000
	firstRefund   = 880_000_000_000
)

func (t *Town) customerID(slot uint32) int64 {
	m := uint64(10)
	for m < 2*uint64(t.config.People) {
		m *= 10
	}
	return firstCustomer + int64(scatter(t.config.Seed, 2*uint64(slot/uint32(slots))+uint64(slot%3), m))
}

// shopping lets a customer of the shop do something.
func (s *story) shopping(i int32) act {
	r := &s.records[i]
	p := s.town.person(&s.unit, r.person())
	at := s.second(s.step)
	if s.behind(r, p) && s.dice.chance(0.3) {
		s.learn(r)
		return s.act(shopUpdate, i)
	}
	switch n := s.dice.below(1000); {
	case n < 150:
		s.learn(r)
		return s.act(shopUpdate, i)
	case n < 220:
		r.flags ^= subscribed
		return s.act(shopEmailConsent, i)
	case n < 250:
		return s.act(shopSMSConsent, i)
	case n < 275:
		if j, ok := s.sibling(i); ok {
			s.records[j].flags |= gone
			a := s.act(shopMerging, i)
			a.other = s.records[j].slot
			s.later(a, shopMerged, 1, 5)
			return a
		}
	case n < 277:
		r.flags |= gone
		return s.act(shopRedact, i)
	case n < 280:
		return s.act(shopDataRequest, i)
	case n < 290 && r.deals == 0: // Shopify deletes none who has bought
		r.flags |= gone
		return s.act(shopDelete, i)
	case n >= 290 && n < 307 && s.town.modern(at):
		return s.act(shopSummary, i)
	}
	return s.buy(i)
}

func (s *story) buy(i int32) act {
	r := &s.records[i]
	_, total := s.town.basket(s.step)
	r.deals++
	r.cents += total
	a := s.act(shopOrder, i)
	if s.dice.chance(0.3) {
		s.later(a, shopFulfilled, 2, 60)
	}
	if s.dice.chance(0.06) {
		s.later(a, shopRefunded, 61, 800)
	}
	return a
}

// shopMessage writes a Shopify webhook as a gateway puts it on a topic: the raw body and the headers. A storm is the same event
// delivered once more under an id of its own.
func (t *Town) shopMessage(a *act, again bool) Message {
	var u unit
	p := t.person(&u, a.who)
	var b paper
	b.b = make([]byte, 0, 3072)
	b.raw("{")
	topic := t.webhook(&b, a, &u, p)
	b.raw("}")
	key := strconv.AppendInt(nil, t.customerID(a.was.slot), 10)
	if a.index < 0 {
		key = strconv.AppendInt(nil, int64(firstOrder+a.n), 10)
	}
	d := throw(t.config.Seed, forIDs, a.n<<4|1)
	event, delivery, nano := d.uuid(), d.uuid(), d.below(900_000_000)
	if again {
		delivery = d.uuid()
	}
	h := func(k, v string) Header { return Header{Key: k, Value: []byte(v)} }
	return Message{
		Source: Shop, Topic: shopTopic, Key: key, Value: b.b,
		Headers: []Header{
			h("X-Shopify-Topic", topic), h("X-Shopify-Shop-Domain", shopDomain), h("X-Shopify-API-Version", t.apiVersion(a.at)),
			h("X-Shopify-Triggered-At", t.instant(a.at).Add(time.Duration(nano)).UTC().Format(nanos)),
			h("X-Shopify-Event-Id", event), h("X-Shopify-Webhook-Id", delivery), h("Content-Type", "application/json"),
		},
	}
}

// webhook writes the body and answers its topic.
func (t *Town) webhook(b *paper, a *act, u *unit, p *person) (topic string) {
	id := t.customerID(a.was.slot)
	gid := func(id int64) string { return "gid://shopify/Customer/" + strconv.FormatInt(id, 10) }
	know := t.know(u, p, &a.was)
	switch a.kind {
	case shopCreate:
		t.customer(b, a, p, &know, true)
		return "customers/create"
	case shopUpdate:
		t.customer(b, a, p, &know, true)
		return "customers/update"
	case shopOrder, shopGuest:
		t.order(b, a, p, &know)
		return "orders/create"
	case shopFulfilled, shopRefunded:
		t.order(b, a, p, &know)
		return "orders/updated"
	case shopRefund:
		t.refund(b, a)
		return "refunds/create"
	case shopEmailConsent:
		b.number("customer_id", id)
		b.orNull("email_address", know.email)
		t.consent(b, a, "email_marketing_consent", a.was.flags&subscribed != 0)
		return "customers_email_marketing_consent/update"
	case shopSMSConsent:
		b.number("customer_id", id)
		b.orNull("phone", know.dialled)
		t.consent(b, a, "sms_marketing_consent", a.n%3 == 0)
		return "customers_marketing_consent/update"
	case shopMerging, shopMerged:
		b.text("admin_graphql_api_customer_kept_id", gid(id))
		b.text("admin_graphql_api_customer_deleted_id", gid(t.customerID(a.other)))
		b.null("admin_graphql_api_job_id")
		b.text("status", map[kind]string{shopMerging: "in_progress", shopMerged: "completed"}[a.kind])
		b.raw(`,"errors":[]`)
		return "customers/merge"
	case shopDelete:
		b.number("id", id)
		b.raw(`,"phone":null,"addresses":[],"tax_exemptions":[]`)
		b.text("admin_graphql_api_id", gid(id))
		return "customers/delete"
	case shopSummary:
		b.number("customer_id", id)
		b.number("orders_count", int64(a.was.deals))
		b.money("total_spent", a.was.cents)
		return "customers/purchasing_summary"
	}
	t.compliance(b, a, &know, id)
	if a.kind == shopRedact {
		return "customers/redact"
	}
	return "customers/data_request"
}

// compliance writes what the law asks an app to do about a customer.
func (t *Town) compliance(b *paper, a *act, know *profile, id int64) {
	b.number("shop_id", shopID)
	b.text("shop_domain", shopDomain)
	b.object("customer")
	b.number("id", id)
	b.orNull("email", know.email)
	b.orNull("phone", know.dialled)
	b.raw("}")
	if a.kind == shopRedact {
		b.raw(`,"orders_to_redact":[]`)
		return
	}
	b.raw(`,"orders_requested":[]`)
	b.object("data_request")
	b.number("id", int64(a.n))
	b.raw("}")
}

func (t *Town) consent(b *paper, a *act, name string, granted bool) {
	b.object(name)
	state, level := "unsubscribed", "single_opt_in"
	if granted {
		state, level = "subscribed", "confirmed_opt_in"
	}
	b.text("state", state)
	b.text("opt_in_level", level)
	b.stamp("consent_updated_at", t.shopTime(a.at), seconds)
	if name == "sms_marketing_consent" {
		b.text("consent_collected_from", "OTHER")
	}
	b.raw("}")
}

// customer writes a customer's members: all of them, or those that stand in an order. Until 2025-01 more of them.
func (t *Town) customer(b *paper, a *act, p *person, know *profile, whole bool) {
	id := t.customerID(a.was.slot)
	b.number("id", id)
	b.stamp("created_at", t.created(&a.was).In(time.FixedZone("", 2*3600)), seconds)
	b.stamp("updated_at", t.shopTime(a.at), seconds)
	b.orNull("first_name", know.given)
	b.orNull("last_name", know.family)
	b.text("state", "enabled")
	b.null("note")
	b.flag("verified_email", know.verified)
	b.null("multipass_identifier")
	b.flag("tax_exempt", p.firm)
	b.orNull("email", know.email)
	b.orNull("phone", know.dialled)
	b.text("currency", "EUR")
	if !t.modern(a.at) {
		b.number("orders_count", int64(a.was.deals))
		b.money("total_spent", a.was.cents)
		b.text("tags", []string{"", "vip", "newsletter, vip"}[a.was.slot%3])
		t.consent(b, a, "email_marketing_consent", a.was.flags&subscribed != 0)
		b.null("sms_marketing_consent")
	}
	if whole {
		b.array("addresses")
		if know.line1 != "" {
			b.item()
			t.shopAddress(b, a, know, id)
			b.raw("}")
		}
		b.raw(`],"tax_exemptions":[]`)
	}
	b.text("admin_graphql_api_id", "gid://shopify/Customer/"+strconv.FormatInt(id, 10))
	if know.line1 != "" {
		b.object("default_address")
		t.shopAddress(b, a, know, id)
		b.raw("}")
	}
}

// shopAddress writes an address; of a customer (id not 0) or of an order.
func (t *Town) shopAddress(b *paper, a *act, know *profile, id int64) {
	g := &t.tables.countries[know.home.country]
	if id != 0 {
		b.number("id", id+int64(a.was.place)<<56)
		b.number("customer_id", id)
	}
	b.orNull("first_name", know.given)
	b.orNull("last_name", know.family)
	b.orNull("company", know.company)
	b.orNull("address1", know.line1)
	b.orNull("address2", know.line2)
	b.orNull("city", know.city)
	b.text("province", know.home.place.region)
	b.text("country", g.name)
	b.orNull("zip", know.zip)
	b.text("phone", know.phone.typed(int(a.was.slot/7%4)))
	name := know.given
	if know.family != "" {
		name += " " + know.family
	}
	b.text("name", name)
	b.text("province_code", know.home.place.code)
	b.text("country_code", g.code)
	b.text("country_name", g.name)
	if id != 0 {
		b.flag("default", true)
	}
}

// order writes an order as it stands: new, fulfilled, or refunded.
func (t *Town) order(b *paper, a *act, p *person, know *profile) {
	n, at := a.n, a.at
	if a.ref != 0 {
		n, at = a.ref, a.since
	}
	lines, total := t.basket(n)
	current, financial, fulfilment := total, "paid", ""
	if a.kind == shopFulfilled {
		fulfilment = "fulfilled"
	}
	if a.kind == shopRefunded {
		fulfilment = "fulfilled"
		current, financial = total-t.refunded(n), "partially_refunded"
		if current == 0 {
			financial = "refunded"
		}
	}
	id := int64(firstOrder + n)
	number := int64(1000 + n)
	b.number("id", id)
	b.text("admin_graphql_api_id", "gid://shopify/Order/"+strconv.FormatInt(id, 10))
	b.text("name", "#"+strconv.FormatInt(number, 10))
	b.number("order_number", number)
	b.stamp("created_at", t.shopTime(at), seconds)
	b.stamp("processed_at", t.shopTime(at), seconds)
	b.stamp("updated_at", t.shopTime(a.at), seconds)
	b.raw(`,"closed_at":null,"cancelled_at":null,"cancel_reason":null`)
	b.orNull("email", know.email)
	b.orNull("contact_email", know.email)
	b.orNull("phone", know.dialled)
	g := &t.tables.countries[know.home.country]
	b.text("currency", "EUR")
	b.text("presentment_currency", g.currency)
	b.money("subtotal_price", total)
	b.money("total_price", total)
	b.money("current_total_price", current)
	prices(b, "total_price_set", total, g.currency)
	prices(b, "current_total_price_set", current, g.currency)
	b.raw(`,"total_discounts":"0.00","total_tax":"0.00","taxes_included":true`)
	b.text("financial_status", financial)
	b.orNull("fulfillment_status", fulfilment)
	d := throw(t.config.Seed, forIDs, n<<4|2)
	b.text("source_name", []string{"web", "web", "web", "iphone", "pos"}[d.below(5)])
	b.text("cart_token", d.word(hexes, 32))
	b.raw(`,"test":false,"location_id":null,"tags":"","discount_codes":[],"note":null`)
	b.array("line_items")
	for i, l := range lines {
		b.item()
		b.number("id", id*10+int64(i))
		b.number("product_id", 7_000_000_000+int64(l.article))
		b.text("sku", "SKU-"+strconv.Itoa(10_000+l.article))
		b.text("title", articles()[l.article%len(articles())])
		b.text("name", articles()[l.article%len(articles())])
		b.number("quantity", int64(l.quantity))
		b.money("price", l.cents)
		b.raw(`,"properties":[],"taxable":true,"gift_card":false,"total_discount":"0.00"}`)
	}
	b.raw("]")
	t.buyer(b, a, p, know)
}

// buyer writes who has bought: a customer, or a guest, of whom only addresses are known.
func (t *Town) buyer(b *paper, a *act, p *person, know *profile) {
	for _, name := range []string{"billing_address", "shipping_address"} {
		if know.line1 == "" {
			b.null(name)
			continue
		}
		b.object(name)
		t.shopAddress(b, a, know, 0)
		b.raw("}")
	}
	if a.index < 0 {
		b.null("customer")
		return
	}
	b.object("customer")
	t.customer(b, a, p, know, false)
	b.raw("}")
}

// prices writes an amount in the shop's currency and in the customer's.
func prices(b *paper, name string, cents int64, currency string) {
	rate := map[string]int64{"EUR": 100, "USD": 108, "CHF": 95}[currency]
	b.object(name)
	b.object("shop_money")
	b.money("amount", cents)
	b.text("currency_code", "EUR")
	b.raw("}")
	b.object("presentment_money")
	b.money("amount", cents*rate/100)
	b.text("currency_code", currency)
	b.raw("}}")
}

func (t *Town) refund(b *paper, a *act) {
	order := int64(firstOrder + a.ref)
	b.number("id", int64(firstRefund+a.n))
	b.number("order_id", order)
	b.stamp("created_at", t.shopTime(a.at), seconds)
	b.stamp("processed_at", t.shopTime(a.at), seconds)
	b.orNull("note", []string{"", "too small", "damaged"}[a.n%3])
	b.raw(`,"restock":true,"user_id":null`)
	lines, _ := t.basket(a.ref)
	b.array("refund_line_items")
	b.item()
	b.number("id", int64(firstRefund+a.n)*10)
	b.number("quantity", int64(lines[0].quantity))
	b.number("line_item_id", order*10)
	b.object("line_item")
	b.number("id", order*10)
	b.text("sku", "SKU-"+strconv.Itoa(10_000+lines[0].article))
	b.text("name", articles()[lines[0].article%len(articles())])
	b.money("price", lines[0].cents)
	b.raw("}}]")
	b.array("transactions")
	b.item()
	b.number("id", int64(firstRefund+a.n)*10+1)
	b.number("order_id", order)
	b.text("kind", "refund")
	b.text("status", "success")
	b.money("amount", t.refunded(a.ref))
	b.text("currency", "EUR")
	b.raw(`,"gateway":"bogus","test":false}],"order_adjustments":[]`)
}
