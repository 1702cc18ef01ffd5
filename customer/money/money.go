// Package money holds amounts: exact decimals in a currency of ISO 4217.
package money

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// Amount is money: an exact decimal of the major unit and an ISO 4217 currency code (invariant 8).
type Amount struct {
	value    apd.Decimal
	currency string
}

// Limits of an amount: more digits than any currency needs, and few enough to stay cheap.
const (
	maxAmountDigits   = 40
	maxAmountExponent = 20
)

// New reads a decimal number ("12.50", "-3", "1e3") and a currency code in any case.
func New(value, currency string) (Amount, error) {
	code := strings.ToUpper(strings.TrimSpace(currency))
	if _, ok := MinorUnits(code); !ok {
		return Amount{}, fmt.Errorf("the currency is not an ISO 4217 code: three letters such as EUR are expected")
	}
	var a Amount
	if len(value) > maxAmountDigits {
		return Amount{}, fmt.Errorf("an amount of %d characters is over the limit of %d", len(value), maxAmountDigits)
	}
	if _, cond, err := a.value.SetString(value); err != nil || cond.Any() || a.value.Form != apd.Finite {
		return Amount{}, fmt.Errorf("the amount is not a decimal number such as 12.50")
	}
	if a.value.Exponent > maxAmountExponent || a.value.Exponent < -maxAmountExponent {
		return Amount{}, fmt.Errorf("the amount's exponent is over the limit of %d", maxAmountExponent)
	}
	a.currency = code
	return a, a.fits()
}

// fits tells whether the amount, written out, can be read again.
func (a Amount) fits() error {
	if n := len(a.Decimal()); n > maxAmountDigits {
		return fmt.Errorf("an amount of %d characters is over the limit of %d", n, maxAmountDigits)
	}
	return nil
}

// Minor reads a whole number of the currency's minor unit: 1250 EUR is 12.50, 1250 JPY is 1250.
func Minor(value, currency string) (Amount, error) {
	if strings.ContainsAny(value, ".eE") {
		return Amount{}, fmt.Errorf("an amount in minor units is a whole number")
	}
	a, err := New(value, currency)
	if err != nil {
		return Amount{}, err
	}
	units, _ := MinorUnits(a.currency)
	a.value.Exponent -= int32(units)
	return a, a.fits()
}

// Currency answers the ISO 4217 code.
func (a Amount) Currency() string { return a.currency }

// Decimal writes the amount in plain digits: "12.50", "-0.5".
func (a Amount) Decimal() string { return a.value.Text('f') }

// IsZero tells the amount that was never set; an amount of nothing in some currency is not zero in this sense.
func (a Amount) IsZero() bool { return a.currency == "" }

// Neg answers the amount with the opposite sign; of nothing there is no opposite.
func (a Amount) Neg() Amount {
	var n apd.Decimal
	n.Neg(&a.value)
	if n.IsZero() {
		n.Negative = false
	}
	return Amount{value: n, currency: a.currency}
}

// Cmp compares two amounts of one currency by value: 1.0 and 1.00 are equal.
func (a Amount) Cmp(b Amount) int { return a.value.Cmp(&b.value) }

func (a Amount) String() string { return a.Decimal() + " " + a.currency }

type amountJSON struct {
	Value    string `json:"value"`
	Currency string `json:"currency"`
}

// MarshalJSON writes {"value":"12.50","currency":"EUR"}: the value is a string, so that no reader makes a float of it.
func (a Amount) MarshalJSON() ([]byte, error) {
	return json.Marshal(amountJSON{Value: a.Decimal(), Currency: a.currency})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Amount) UnmarshalJSON(b []byte) error {
	var j amountJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	read, err := New(j.Value, j.Currency)
	if err != nil {
		return err
	}
	*a = read
	return nil
}

// MinorUnits answers how many decimals a currency's minor unit has (ISO 4217:2015, list one), and whether there is such
// a currency. Precious metals, funds and testing codes are not money that a customer pays with, and are not in it.
func MinorUnits(currency string) (int, bool) {
	if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return 0, false
	}
	switch {
	case strings.Contains(currencies0, currency):
		return 0, true
	case strings.Contains(currencies3, currency):
		return 3, true
	case strings.Contains(currencies4, currency):
		return 4, true
	case strings.Contains(currencies2, currency):
		return 2, true
	}
	return 0, false
}

// Codes separated by blanks; what is looked for is three letters, so a match never spans two.
const (
	currencies0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
	currencies3 = "BHD IQD JOD KWD LYD OMR TND"
	currencies4 = "CLF UYW"
	currencies2 = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY " +
		"COP CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR " +
		"IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN " +
		"NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL " +
		"THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
