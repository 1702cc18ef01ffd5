package match

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/language"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/spelling"
)

// Limits of an address in the mail (RFC 5321 4.5.3.1).
const (
	maxLocal  = 64
	maxDomain = 255
)

// email reads an address into matching form: lower case, nothing folded that providers treat each in their own way.
func email(s string, verified bool) (customer.Email, bool) {
	s = strings.ToLower(strings.TrimSpace(strings.ToValidUTF8(s, "")))
	s = strings.TrimPrefix(s, "mailto:")
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > maxLocal || len(s)-at-1 > maxDomain || strings.ContainsFunc(s, unbefitting) {
		return customer.Email{}, false
	}
	e := customer.Email{Local: s[:at], Domain: strings.TrimSuffix(s[at+1:], "."), Verified: verified}
	first, rest, dotted := strings.Cut(e.Domain, ".")
	if !dotted || first == "" || rest == "" {
		return customer.Email{}, false
	}
	if e.Local == first && len(e.Local) <= 5 || nobody(e.Local) {
		return customer.Email{}, false // a@a.com, none@none.com
	}
	e.Role, e.Disposable = role(e.Local), disposable(e.Domain)
	return e, true
}

func unbefitting(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// nobody tells local parts that people type to be left alone, and machines that do not read.
func nobody(local string) bool {
	switch local {
	case "noemail", "no-email", "no.email", "nomail", "no-mail", "noreply", "no-reply", "donotreply", "do-not-reply", "email", "a", "b",
		"x", "aa", "fake":
		return true
	}
	return spelling.Placeholder(local)
}

// role tells the boxes of a function (RFC 2142 and usage): whoever writes from one is a post, not a person.
func role(local string) bool {
	switch local {
	case "info", "sales", "office", "contact", "contacts", "admin", "administrator", "support", "help", "helpdesk", "hello", "hi",
		"mail", "post", "team", "service", "services", "shop", "store", "order", "orders", "billing", "accounts", "accounting",
		"accountspayable", "finance", "invoice", "invoices", "purchasing", "procurement", "hr", "jobs", "careers", "marketing", "press",
		"media", "news", "newsletter", "legal", "privacy", "security", "abuse", "postmaster", "hostmaster", "webmaster", "reception",
		"enquiries", "inquiries", "enquiry", "bookings", "kontakt", "buchhaltung", "rechnung", "einkauf", "verkauf", "vertrieb",
		"verwaltung", "sekretariat", "empfang", "ventas", "compras", "contacto", "comptabilite", "commande", "accueil",
		"amministrazione", "ordini", "administratie", "customerservice", "customercare", "family":
		return true
	}
	return false
}

// disposable tells the better-known domains whose boxes are thrown away, and may be anyone's.
func disposable(domain string) bool {
	switch domain {
	case "mailinator.com", "guerrillamail.com", "guerrillamail.info", "sharklasers.com", "10minutemail.com", "temp-mail.org",
		"tempmail.com", "yopmail.com", "trashmail.com", "trashmail.de", "wegwerfmail.de", "getnada.com", "maildrop.cc",
		"dispostable.com", "fakeinbox.com", "throwawaymail.com", "mintemail.com", "mohmal.com", "spamgourmet.com", "mytemp.email",
		"tempail.com", "byom.de", "discard.email":
		return true
	}
	return false
}

// Lengths of a telephone number in digits, its country included (ITU-T E.164).
const (
	minDigits = 7
	maxDigits = 15
)

// telephone reads a number into E.164 where it tells its country or region does, else into its digits; empty for
// placeholders.
func telephone(s, region string) string {
	if len(s) > spelling.MaxText {
		return ""
	}
	s = strings.TrimPrefix(strings.TrimSpace(spelling.Folded(s)), "tel:")
	if ext := strings.IndexAny(s, ";x#e"); ext > minDigits { // an extension is another desk, not another party
		s = s[:ext]
	}
	national := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s)
	if len(national) < minDigits || len(national) > maxDigits+2 || repeated(national) {
		return ""
	}
	switch {
	case strings.HasPrefix(s, "+") && !strings.Contains(s, "(0)") && len(national) <= maxDigits && national[0] != '0':
		return "+" + national
	case strings.HasPrefix(s, "+") || region != "":
		if out, ok := parsed(s, region); ok {
			return out
		}
	case strings.HasPrefix(national, "00") && len(national) >= 11 && national[2] != '0':
		return "+" + national[2:]
	}
	return strings.TrimLeft(national, "0")
}

// parsed asks the library, which knows every country's plan. It takes microseconds, so that it is asked last; and should it
// ever panic at a strange text, the text stays as it is.
func parsed(s, region string) (out string, ok bool) {
	defer func() {
		if recover() != nil {
			out, ok = "", false
		}
	}()
	n, err := phonenumbers.Parse(s, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return "", false
	}
	return phonenumbers.Format(n, phonenumbers.E164), true
}

// repeated tells numbers that are typed to fill a field: one digit seven times at the end, or 1234567 in order.
func repeated(digits string) bool {
	tail := digits[len(digits)-minDigits:]
	return strings.Trim(tail, tail[:1]) == "" || strings.HasSuffix(digits, "1234567") || strings.HasPrefix("12345678901234567890", digits)
}

// country answers the two letters of a country (ISO 3166-1) from its code of two or three letters or three digits.
func country(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) < 2 || len(s) > 3 || !spelling.IsASCII(s) {
		return ""
	}
	r, err := language.ParseRegion(s)
	if err != nil || !r.IsCountry() {
		return ""
	}
	r = r.Canonicalize()
	if code := r.String(); len(code) == 2 {
		return code
	}
	return ""
}

// Years between which a person can have been born; what lies outside is a placeholder or a slip.
const (
	firstYear = 1000
	lastYear  = 2100
)

// date reads ISO 8601 dates, whole (1980-02-03, 19800203, with a time behind it) or partial (1980, 1980-02, --02-03). Days that
// programs write for none give none. A month or day that the calendar does not have is a slip, and is kept to be compared.
func date(s string) customer.Date {
	s = strings.TrimSpace(s)
	if len(s) > 10 && (s[10] == 'T' || s[10] == ' ') {
		s = s[:10]
	}
	var d customer.Date
	ok := false
	switch {
	case len(s) == 10 && s[4] == '-' && s[7] == '-':
		ok = number(s[:4], &d.Year) && number(s[5:7], &d.Month) && number(s[8:], &d.Day)
	case len(s) == 8:
		ok = number(s[:4], &d.Year) && number(s[4:6], &d.Month) && number(s[6:], &d.Day)
	case len(s) == 7 && strings.HasPrefix(s, "--") && s[4] == '-':
		ok = number(s[2:4], &d.Month) && number(s[5:], &d.Day)
	case len(s) == 7 && s[4] == '-':
		ok = number(s[:4], &d.Year) && number(s[5:], &d.Month)
	case len(s) == 4:
		ok = number(s, &d.Year)
	}
	if !ok || d.Month == 0 && d.Day > 0 {
		return customer.Date{}
	}
	if d.Year != 0 && (d.Year < firstYear || d.Year > lastYear) || filler(d) {
		return customer.Date{}
	}
	return d
}

// filler tells the days on which programs begin to count, whole or cut short, and dates of which too little is left.
func filler(d customer.Date) bool {
	switch d.Year*10_000 + d.Month*100 + d.Day {
	case 1601_01_01, 1753_01_01, 1800_01_01, 1899_12_30, 1899_12_31, 1900_00_00, 1900_01_00, 1900_01_01, 1901_01_01, 1970_01_00, 1970_01_01:
		return true
	}
	return d.Year == 0 && (d.Month == 0 || d.Day == 0)
}

func number(s string, into *int) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	*into = int(n)
	return err == nil && !strings.ContainsAny(s, "+_")
}
