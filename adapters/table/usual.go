package table

import (
	_ "embed" // usual.txt
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// usual is how columns are usually called, in the languages that files come in: a line a target, then its names in the form of
// normal. A target that ends in ? is settled by what other columns there are.
//
//go:embed usual.txt
var usual string

// around is what stands around a usual name and says nothing of what the column holds.
func around(word string) bool {
	switch word {
	case "customer", "cust", "client", "person", "contact", "patient", "member", "user", "voter", "applicant", "party", "buyer",
		"holder", "subject", "subscriber", "student", "employee", "guest", "owner", "people", "respondent", "insured", "debtor", "payer",
		"primary", "main", "current", "permanent", "residential", "residence", "res", "official", "registered", "reg",
		"fake", "clean", "cleaned", "raw", "orig", "original", "std", "norm", "normalized", "normalised", "standardized", "standardised",
		"value", "text", "txt", "str", "string", "field", "noisy", "corrupted", "dirty", "in", "col", "column":
		return true
	}
	return false
}

// group tells the words that name one of several addresses.
func group(word string) bool {
	switch word {
	case "ship", "shipping", "bill", "billing", "home", "work", "office", "mail", "mailing", "delivery", "invoice", "business",
		"previous", "prev", "old", "former", "second", "secondary", "other", "alt", "alternate":
		return true
	}
	return false
}

// usualNames answers the targets by usual name.
func usualNames() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(usual)) {
		target, names, _ := strings.Cut(strings.TrimSpace(line), ":")
		for name := range strings.SplitSeq(names, ",") {
			if name = normal(name); out[name] == "" {
				out[name] = target
			}
		}
	}
	return out
}

// normal answers a column's name as words in lower case without accents: "DateOfBirth", "date_of_birth" and "date of birth" are one.
// Digits are words of their own.
func normal(name string) string {
	var b strings.Builder
	var last rune
	part := func() {
		if b.Len() > 0 && last != ' ' {
			b.WriteByte(' ')
			last = ' '
		}
	}
	for _, r := range norm.NFD.String(norm.NFKC.String(strings.TrimPrefix(name, "\ufeff"))) {
		switch {
		case unicode.Is(unicode.Mn, r):
			continue
		case r == 'ß':
			b.WriteString("ss")
			last = 's'
			continue
		case r == 'ø' || r == 'Ø':
			r = 'o'
		case r == 'ł' || r == 'Ł':
			r = 'l'
		case r == 'ı':
			r = 'i'
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			part()
			continue
		}
		if unicode.IsUpper(r) && unicode.IsLower(last) || unicode.IsDigit(r) != unicode.IsDigit(last) && last != ' ' {
			part()
		}
		b.WriteRune(unicode.ToLower(r))
		last = r
	}
	return norm.NFC.String(strings.TrimSpace(b.String()))
}
