package codec_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/onefold/onefold/adapters/codec"
)

// order has the shape of a shop's order webhook: some 120 members, addresses, lines with taxes; the content is made up.
const order = `{
  "id": 5678901234567890123, "admin_graphql_api_id": "gid://shopify/Order/5678901234567890123", "app_id": null,
  "browser_ip": "192.0.2.17", "buyer_accepts_marketing": false, "cancel_reason": null, "cancelled_at": null,
  "cart_token": "68a1e6bd3b4d4c1f", "checkout_id": 901414060, "checkout_token": "bd5a8aa1ecd019dd", "closed_at": null,
  "confirmed": true, "contact_email": "ines.moreau@example.com", "created_at": "2025-03-10T11:00:00-05:00", "currency": "EUR",
  "current_subtotal_price": "398.00", "current_total_discounts": "0.00", "current_total_price": "409.94",
  "customer_locale": "fr-FR", "email": "ines.moreau@example.com", "financial_status": "paid", "fulfillment_status": null,
  "landing_site": "http://shop.example?source=abc", "location_id": null, "name": "#1001", "note": "S'il vous pla\u00eet, sonner",
  "note_attributes": [{"name": "custom engraving", "value": "Joyeux anniversaire"}, {"name": "colour", "value": "green"}],
  "number": 1, "order_number": 1001, "phone": "+33 6 12 34 56 78", "presentment_currency": "EUR", "processed_at": "2025-03-10T11:00:00-05:00",
  "reference": "fhwdgads", "source_name": "web", "subtotal_price": "597.00", "tags": "vip, returning", "taxes_included": false, "test": false,
  "total_discounts": "10.00", "total_line_items_price": "597.00", "total_price": "598.94", "total_tax": "11.94", "total_weight": 600,
  "total_price_set": {"shop_money": {"amount": "598.94", "currency_code": "EUR"}, "presentment_money": {"amount": "598.94", "currency_code": "EUR"}},
  "updated_at": "2025-03-10T11:00:05-05:00", "user_id": null,
  "discount_codes": [{"code": "TENOFF", "amount": "10.00", "type": "fixed_amount"}],
  "tax_lines": [{"price": "11.94", "rate": 0.06, "title": "TVA", "channel_liable": null}],
  "customer": {"id": 207119551, "email": "ines.moreau@example.com", "created_at": "2024-03-10T11:00:00-05:00", "first_name": "In\u00e8s",
    "last_name": "Moreau", "state": "enabled", "note": null, "verified_email": true, "tax_exempt": false, "phone": "+33612345678", "tags": "",
    "email_marketing_consent": {"state": "subscribed", "opt_in_level": "confirmed_opt_in", "consent_updated_at": "2024-03-10T11:00:00-05:00"},
    "default_address": {"id": 207119552, "customer_id": 207119551, "first_name": "In\u00e8s", "last_name": "Moreau", "company": null,
      "address1": "12 rue des Lilas", "address2": "", "city": "Nantes", "province": "", "country": "France", "zip": "44000",
      "phone": "555-625-1199", "country_code": "FR", "default": true}},
  "billing_address": {"first_name": "In\u00e8s", "address1": "12 rue des Lilas", "phone": "555-625-1199", "city": "Nantes", "zip": "44000",
    "province": null, "country": "France", "last_name": "Moreau", "address2": "", "company": null, "latitude": 47.2184, "longitude": -1.5536,
    "name": "In\u00e8s Moreau", "country_code": "FR", "province_code": null},
  "shipping_address": {"first_name": "In\u00e8s", "address1": "12 rue des Lilas", "phone": "555-625-1199", "city": "Nantes", "zip": "44000",
    "province": null, "country": "France", "last_name": "Moreau", "address2": "", "company": null, "latitude": 47.2184, "longitude": -1.5536,
    "name": "In\u00e8s Moreau", "country_code": "FR", "province_code": null},
  "line_items": [
    {"id": 466157049, "fulfillable_quantity": 1, "fulfillment_service": "manual", "fulfillment_status": null, "grams": 200, "name": "Lamp - green",
      "price": "199.00", "product_exists": true, "product_id": 632910392, "properties": [{"name": "engraving", "value": "yes"}], "quantity": 1,
      "requires_shipping": true, "sku": "LAMP2025-GREEN", "taxable": true, "title": "Lamp", "total_discount": "0.00", "variant_id": 39072856,
      "tax_lines": [{"price": "3.98", "rate": 0.06, "title": "TVA"}]},
    {"id": 518995019, "fulfillable_quantity": 1, "fulfillment_service": "manual", "fulfillment_status": null, "grams": 200, "name": "Lamp - red",
      "price": "199.00", "product_exists": true, "product_id": 632910392, "properties": [], "quantity": 1,
      "requires_shipping": true, "sku": "LAMP2025-RED", "taxable": true, "title": "Lamp", "total_discount": "0.00", "variant_id": 49148385,
      "tax_lines": [{"price": "3.98", "rate": 0.06, "title": "TVA"}]},
    {"id": 703073504, "fulfillable_quantity": 1, "fulfillment_service": "manual", "fulfillment_status": null, "grams": 200, "name": "Lamp - black",
      "price": "199.00", "product_exists": true, "product_id": 632910392, "properties": [], "quantity": 1,
      "requires_shipping": true, "sku": "LAMP2025-BLACK", "taxable": true, "title": "Lamp", "total_discount": "0.00", "variant_id": 457924702,
      "tax_lines": [{"price": "3.98", "rate": 0.06, "title": "TVA"}]}],
  "fulfillments": [], "refunds": [], "payment_gateway_names": ["bogus"], "shipping_lines": [{"code": "Free Shipping", "price": "0.00", "title": "Free"}]
}`

// BenchmarkJSON compares with what reading the same text into any with exact numbers costs; the second of the two equal
// runs says what the machine's noise is.
func BenchmarkJSON(b *testing.B) {
	in := []byte(order)
	run := func(name string, read func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	intoAny := func() error {
		d := json.NewDecoder(bytes.NewReader(in))
		d.UseNumber()
		var v any
		return d.Decode(&v)
	}
	run("any", intoAny)
	run("any-again", intoAny)
	run("codec", func() error {
		_, err := codec.JSON(in, codec.DefaultLimits)
		return err
	})
}

// BenchmarkXML compares with what the bare tokens of the same document cost.
func BenchmarkXML(b *testing.B) {
	entry := `<Ntry><NtryRef>CH123</NtryRef><Amt Ccy="CHF">12.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><NtryDtls><TxDtls>` +
		`<Refs><AcctSvcrRef>1903</AcctSvcrRef><EndToEndId>NOTPROVIDED</EndToEndId></Refs><RltdPties><Dbtr><Nm>Ines Moreau</Nm>` +
		`<PstlAdr><StrtNm>rue des Lilas</StrtNm><BldgNb>12</BldgNb><PstCd>44000</PstCd><TwnNm>Nantes</TwnNm><Ctry>FR</Ctry></PstlAdr>` +
		`</Dbtr></RltdPties></TxDtls></NtryDtls></Ntry>` + "\n"
	in := []byte(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.04">` + strings.Repeat(entry, 20) + `</Document>`)
	b.Run("tokens", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			d := xml.NewDecoder(bytes.NewReader(in))
			var err error
			for err == nil {
				_, err = d.Token()
			}
			if !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
		}
	})
	b.Run("codec", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.XML(in, codec.DefaultLimits); err != nil {
				b.Fatal(err)
			}
		}
	})
}
