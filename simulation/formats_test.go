package simulation_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/onefold/onefold/simulation"
)

// Everything but the poison is well-formed; numbers are whole, money is a text of two decimals.
func TestWellFormed(t *testing.T) {
	topics := map[string]int{}
	whole, money := regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`), regexp.MustCompile(`^(0|[1-9][0-9]*)\.[0-9]{2}$`)
	for _, m := range messages(simulation.Config{People: 800, Events: 6000, Seed: 5}) {
		if poison(&m) || m.Value == nil {
			continue
		}
		topics[m.Topic]++
		if len(m.Key) == 0 {
			t.Fatalf("a message on %s has no key", m.Topic)
		}
		if m.Source == simulation.Bank {
			for _, sum := range texts(t, m.Value, "Amt") {
				if !money.MatchString(sum) {
					t.Errorf("amount %q", sum)
				}
			}
			continue
		}
		d := json.NewDecoder(bytes.NewReader(m.Value))
		d.UseNumber()
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("not JSON: %v: %s", err, m.Value)
			}
			if n, ok := token.(json.Number); ok && !whole.MatchString(n.String()) {
				t.Errorf("the number %s in %s", n, m.Value)
			}
		}
		if m.Source == simulation.Shop && (header(&m, "X-Shopify-Topic") == "" || header(&m, "X-Shopify-Triggered-At") == "" ||
			header(&m, "X-Shopify-Event-Id") == "" || header(&m, "X-Shopify-Webhook-Id") == "" || header(&m, "X-Shopify-Shop-Domain") == "") {
			t.Errorf("a webhook with headers %v", m.Headers)
		}
	}
	for _, topic := range simulation.Topics() {
		if topics[topic] < 1000 {
			t.Errorf("%d messages on %s", topics[topic], topic)
		}
	}
}

// texts answers the texts of all elements of a name, and fails for what is not XML.
func texts(t *testing.T, doc []byte, name string) (out []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	open := ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("not XML: %v: %s", err, doc)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = token.Name.Local
		case xml.CharData:
			if open == name {
				out = append(out, string(token))
			}
		case xml.EndElement:
			open = ""
		}
	}
}

// Every kind of event comes, and the shop speaks the old API before the new one.
func TestEveryKindOfEvent(t *testing.T) {
	seen := map[string]int{}
	versions := []string{}
	for _, m := range messages(simulation.Config{People: 1000, Events: 20_000, Seed: 3}) {
		if poison(&m) || m.Value == nil {
			continue
		}
		switch m.Source {
		case simulation.Shop:
			seen[header(&m, "X-Shopify-Topic")]++
			if v := header(&m, "X-Shopify-API-Version"); m.Fault == "" && (len(versions) == 0 || versions[len(versions)-1] != v) {
				versions = append(versions, v)
			}
		case simulation.Pos:
			var e struct{ Type string }
			if err := json.Unmarshal(m.Value, &e); err != nil {
				t.Fatal(err)
			}
			seen[e.Type]++
		default:
			seen[string(regexp.MustCompile(`camt\.[0-9.]*`).Find(m.Value))]++
			for _, s := range []string{"<RvslInd>true", ">PDNG<", ">INFO<", "<IBAN>", "<AdrLine>", "<BirthDt>", "<Cd>CUST<", "OrgId"} {
				if bytes.Contains(m.Value, []byte(s)) {
					seen[s]++
				}
			}
		}
	}
	for _, kind := range []string{
		"customers/create", "customers/update", "customers/merge", "customers/delete", "customers/redact", "customers/data_request",
		"customers/purchasing_summary", "customers_email_marketing_consent/update", "customers_marketing_consent/update",
		"orders/create", "orders/updated", "refunds/create", "customer.created", "customer.updated", "customer.deleted", "payment.created",
		"payment.updated", "refund.created", "loyalty.account.created", "loyalty.event.created", "camt.054.001.04", "camt.054.001.08",
		"camt.053.001.04", "camt.053.001.08", "<RvslInd>true", ">PDNG<", ">INFO<", "<IBAN>", "<AdrLine>", "<BirthDt>", "<Cd>CUST<", "OrgId",
	} {
		if seen[kind] == 0 {
			t.Errorf("no %s", kind)
		}
	}
	if !slices.Equal(versions, []string{"2024-10", "2025-10"}) {
		t.Errorf("the shop's API speaks %v", versions)
	}
}

type shopCustomer struct {
	ID        json.Number
	Email     string
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
	Phone     string
	Tags      *string
	Consent   *struct{} `json:"email_marketing_consent"`
	Addresses []struct{ Address1, Zip, City string }
}

// customers answers what the shop first says of each of its customers.
func customers(t *testing.T, c simulation.Config) map[string]shopCustomer {
	t.Helper()
	out := map[string]shopCustomer{}
	for m := range simulation.New(c).Messages() {
		if topic := header(&m, "X-Shopify-Topic"); poison(&m) || topic != "customers/create" && topic != "customers/update" {
			continue
		}
		var body shopCustomer
		if err := json.Unmarshal(m.Value, &body); err != nil {
			t.Fatal(err)
		}
		if old := header(&m, "X-Shopify-API-Version") < "2025"; old != (body.Tags != nil) || old != (body.Consent != nil) {
			t.Fatalf("version %s with tags %v and consent %v", header(&m, "X-Shopify-API-Version"), body.Tags, body.Consent)
		}
		if _, known := out[body.ID.String()]; !known {
			out[body.ID.String()] = body
		}
	}
	return out
}

// Ids of the shop are above 2^53, and some of them a float64 takes for each other.
func TestIdsThatNeedIntegers(t *testing.T) {
	floats, all := map[float64]int{}, customers(t, simulation.Config{People: 3000, Events: 10_000, Seed: 1})
	for id := range all {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil || n <= 1<<53 {
			t.Errorf("customer %s", id)
		}
		floats[float64(n)]++
	}
	if len(all)-len(floats) < 5 {
		t.Errorf("of %d customers, a float64 tells %d apart", len(all), len(floats))
	}
}

// Numbers are of their countries' plans, mailboxes nobody's in the world, accounts have their check digits (ISO 7064 MOD 97-10).
func TestNumbers(t *testing.T) {
	c := simulation.Config{People: 2000, Events: 8000, Seed: 8, Clean: true}
	valid, phones, holders := 0, 0, map[string]int{}
	for id, cust := range customers(t, c) {
		if cust.Email == "" {
			t.Errorf("customer %s of a clean town without address", id)
		}
		holders[strings.ToLower(cust.Email)]++
		if !strings.HasSuffix(cust.Email, ".example") {
			t.Errorf("the address %s may be somebody's", cust.Email)
		}
		if cust.Phone == "" {
			continue
		}
		phones++
		if n, err := phonenumbers.Parse(cust.Phone, ""); err == nil && phonenumbers.IsValidNumber(n) {
			valid++
		} else if phones-valid < 10 {
			t.Logf("not valid: %s", cust.Phone)
		}
	}
	for mail, n := range holders {
		if n > 1 {
			t.Errorf("%d customers of the shop have %s", n, mail)
		}
	}
	if valid < phones*98/100 {
		t.Errorf("%d of %d telephone numbers are valid", valid, phones)
	}
	for m := range simulation.New(c).Messages() {
		if m.Source != simulation.Bank {
			continue
		}
		for _, iban := range texts(t, m.Value, "IBAN") {
			var digits strings.Builder
			for _, r := range iban[4:] + iban[:4] {
				digits.WriteString(strconv.FormatInt(int64(strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", r)), 10))
			}
			n, _ := new(big.Int).SetString(digits.String(), 10)
			if n.Mod(n, big.NewInt(97)).Int64() != 1 {
				t.Fatalf("IBAN %s", iban)
			}
		}
	}
}

// Sums come out: an order is its lines, a refund no more than its order, a statement what its entries make of its opening balance.
func TestSums(t *testing.T) {
	orders, refunds := map[string]int64{}, 0
	for m := range simulation.New(simulation.Config{People: 400, Events: 8000, Seed: 12, Clean: true}).Messages() {
		switch topic := header(&m, "X-Shopify-Topic"); {
		case m.Source == simulation.Bank:
			balance(t, m.Value)
		case topic == "orders/create":
			var o struct {
				ID    json.Number
				Total string `json:"total_price"`
				Lines []struct {
					Quantity int64
					Price    string
				} `json:"line_items"`
			}
			if err := json.Unmarshal(m.Value, &o); err != nil {
				t.Fatal(err)
			}
			sum := int64(0)
			for _, l := range o.Lines {
				sum += l.Quantity * cents(t, l.Price)
			}
			if orders[o.ID.String()] = cents(t, o.Total); sum != cents(t, o.Total) {
				t.Errorf("order %s: lines of %d make %s", o.ID, sum, o.Total)
			}
		case topic == "refunds/create":
			var r struct {
				Order        json.Number `json:"order_id"`
				Transactions []struct{ Amount string }
			}
			if err := json.Unmarshal(m.Value, &r); err != nil {
				t.Fatal(err)
			}
			refunds++
			if total, known := orders[r.Order.String()]; !known || cents(t, r.Transactions[0].Amount) > total {
				t.Errorf("order %s of %d: %s refunded", r.Order, total, r.Transactions[0].Amount)
			}
		}
	}
	if len(orders) < 500 || refunds < 10 {
		t.Errorf("%d orders, %d refunds", len(orders), refunds)
	}
}

func cents(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.Replace(s, ".", "", 1), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func balance(t *testing.T, doc []byte) {
	t.Helper()
	type sum struct {
		Amt       string
		CdtDbtInd string
	}
	var d struct {
		Stmt struct {
			Bal []struct {
				sum
				Tp struct{ CdOrPrtry struct{ Cd string } }
			}
			Ntry []sum
		} `xml:"BkToCstmrStmt>Stmt"`
	}
	if err := xml.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	signed := func(s sum) int64 {
		if s.CdtDbtInd == "DBIT" {
			return -cents(t, s.Amt)
		}
		return cents(t, s.Amt)
	}
	if len(d.Stmt.Bal) == 0 {
		return
	}
	at := signed(d.Stmt.Bal[0].sum)
	for _, e := range d.Stmt.Ntry {
		at += signed(e)
	}
	if end := signed(d.Stmt.Bal[1].sum); at != end {
		t.Errorf("the entries lead to %d, the statement closes at %d: %s", at, end, doc)
	}
}
