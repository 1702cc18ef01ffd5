package customer_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

func message() *event.Message { return &event.Message{Source: "s", Topic: "t", Time: start} }

func TestAmount(t *testing.T) {
	for _, c := range []struct {
		value, currency string
		minor           bool
		want            string // empty: refused
	}{
		{"12.50", "eur", false, "12.50 EUR"},
		{"-0.10", "USD", false, "-0.10 USD"},
		{"1250", "EUR", true, "12.50 EUR"},
		{"1250", "JPY", true, "1250 JPY"},
		{"1250", "KWD", true, "1.250 KWD"},
		{"9007199254740993", "EUR", true, "90071992547409.93 EUR"}, // above 2^53
		{"1e3", "EUR", false, "1000 EUR"},
		{"12.5", "EUR", true, ""},
		{"12.50", "XXX", false, ""},
		{"12.50", "", false, ""},
		{"12,50", "EUR", false, ""},
		{"NaN", "EUR", false, ""},
		{"Infinity", "EUR", false, ""},
		{"1e999", "EUR", false, ""},
		{strings.Repeat("9", 41), "EUR", false, ""},
		{strings.Repeat("9", 40), "EUR", true, ""}, // 41 characters with the point
		{strings.Repeat("9", 39), "EUR", true, strings.Repeat("9", 37) + ".99 EUR"},
		{"1234567890123456789012345e20", "EUR", false, ""},
	} {
		read := customer.NewAmount
		if c.minor {
			read = customer.MinorAmount
		}
		a, err := read(c.value, c.currency)
		if got := a.String(); err == nil && got != c.want || err != nil && c.want != "" {
			t.Errorf("%s %s (minor %v) = %q, %v; want %q", c.value, c.currency, c.minor, got, err, c.want)
		}
		if err != nil {
			continue
		}
		body, err := json.Marshal(a)
		var back customer.Amount
		if err != nil || json.Unmarshal(body, &back) != nil || back.String() != a.String() {
			t.Errorf("%s does not survive JSON: %s, %v", a, body, err)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"9", "10", -1}, {"007", "7", 0}, {"18446744073709551616", "18446744073709551615", 1}} {
		if got := sequence(0, "s").Compare(sequence(0, "s")); got != 0 {
			t.Errorf("a version differs from itself")
		}
		va, err := customer.SequenceVersion(c.a, "s")
		if err != nil {
			t.Fatal(err)
		}
		vb, err := customer.SequenceVersion(c.b, "s")
		if err != nil {
			t.Fatal(err)
		}
		if got := (customer.Version{Source: va}).Compare(customer.Version{Source: vb}); got != c.want {
			t.Errorf("%s against %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	for _, bad := range []string{"", "-1", "1.5", "1e3", strings.Repeat("1", 101)} {
		if _, err := customer.SequenceVersion(bad, "s"); err == nil {
			t.Errorf("%q passes for a sequence version", bad)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	good := func() customer.Change {
		return customer.Change{Key: "1", Op: customer.Upsert, Party: []customer.Statement{set("givenName", "Ana")}}
	}
	for name, spoil := range map[string]func(*customer.Change){
		"no key":              func(c *customer.Change) { c.Key = "" },
		"a long key":          func(c *customer.Change) { c.Key = strings.Repeat("k", customer.MaxKey+1) },
		"NUL in the key":      func(c *customer.Change) { c.Key = "a\x00b" },
		"an unknown op":       func(c *customer.Change) { c.Op = "upset" },
		"an unknown field":    func(c *customer.Change) { c.Party[0].Path.Name = "givenname" },
		"a long value":        func(c *customer.Change) { c.Party[0].Value.Text = strings.Repeat("v", customer.MaxValue+1) },
		"invalid UTF-8":       func(c *customer.Change) { c.Party[0].Value.Text = "\xff" },
		"NUL in a value":      func(c *customer.Change) { c.Party[0].Value.Text = "a\x00" },
		"too many statements": func(c *customer.Change) { c.Party = make([]customer.Statement, customer.MaxStatements+1) },
		"a merge of nobody":   func(c *customer.Change) { c.Op = customer.Merge },
		"others of an upsert": func(c *customer.Change) { c.Others = []string{"2"} },
		"an interaction without a key": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "order"}}
		},
		"an unknown type of interaction": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "dance", Key: "1"}}
		},
		"an unknown channel": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "order", Key: "1", Channel: "telepathy"}}
		},
		"a huge interaction": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "order", Key: "1", Title: strings.Repeat("t", customer.MaxInteraction+1)}}
		},
	} {
		c := good()
		spoil(&c)
		sealed, refused := customer.Seal([]customer.Change{c, good()}, message(), 1)
		if len(refused) != 1 || len(sealed) != 1 {
			t.Errorf("%s: %d refused, %d sealed; want one each", name, len(refused), len(sealed))
		}
	}
	if _, refused := customer.Seal(make([]customer.Change, customer.MaxChanges+1), message(), 1); len(refused) != 1 {
		t.Errorf("too many changes: %d refused", len(refused))
	}
}

func TestPublished(t *testing.T) {
	id := customer.RecordID{1}.Birth(0)
	other := customer.RecordID{2}.Birth(0)
	for name, c := range map[string]struct {
		customer customer.Customer
		want     string
	}{
		"merged": {customer.Customer{ID: id, Version: 4, Status: customer.Merged, AliasOf: other}, `{"aliasOf":"` + other.String() + `","version":4}`},
		"gone":   {customer.Customer{ID: id, Version: 5, Status: customer.Gone}, ""},
		"erased": {customer.Customer{ID: id, Version: 6, Status: customer.Erased}, ""},
	} {
		got, err := c.customer.Published()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if name != "merged" && got != nil {
			t.Errorf("%s: not a tombstone", name)
		}
	}
}

func TestWeightSurvivesJSON(t *testing.T) {
	for _, w := range []customer.Weight{0, 1, -1, 7 * customer.Bits, -13*customer.Bits - 511, 1<<31 - 1, -1<<31 + 1} {
		body, err := json.Marshal(w)
		var back customer.Weight
		if err != nil || json.Unmarshal(body, &back) != nil || back != w {
			t.Errorf("%d becomes %s and %d: %v", w, body, back, err)
		}
	}
	var w customer.Weight
	for _, bad := range []string{`"7"`, `1e99`, `NaN`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &w); err == nil {
			t.Errorf("%s passes for a weight", bad)
		}
	}
}
