package customer

import "strings"

// MinorUnits answers how many decimals a currency's minor unit has (ISO 4217:2015, list one), and whether there is such
// a currency. Precious metals, funds and testing codes are not money that a customer pays with, and are not in it.
func MinorUnits(currency string) (int, bool) {
	if len(currency) != 3 {
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

// Codes separated by blanks; a code has three letters, so a match never spans two.
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
