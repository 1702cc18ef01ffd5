package match

import (
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/spelling"
)

// Levels of two birth dates, the better the higher.
const (
	birthMissing uint8 = iota
	birthDiffers
	birthDecade // within ten years
	birthYearNear
	birthTwoSlips
	birthMonthDayFar // same day and month, more than ten years apart
	birthMonthNear   // within 31 days
	birthYearMonth
	birthYearDay
	birthMonthDay
	birthYearOnly // all that one of them tells, and it agrees; the first of January tells no more
	birthSlip     // one slip of the pen, or day and month swapped
	birthJanuary  // equal, on the first of January: often it means no more than the year
	birthEqual
	birthLevels
)

// birth compares two dates of which parts may be missing. Months and days above the calendar's are slips, and compare.
func birth(a, b customer.Date) uint8 {
	switch {
	case a == (customer.Date{}) || b == (customer.Date{}):
		return birthMissing
	case a == b && a.Year > 0 && a.Month > 0 && a.Day > 0:
		if newYear(a) {
			return birthJanuary
		}
		return birthEqual
	case a.Year == 0 || b.Year == 0:
		if a.Month == b.Month && a.Day == b.Day {
			return birthMonthDay
		}
		return birthDecade
	case a.Month == 0 || b.Month == 0 || a.Day == 0 || b.Day == 0:
		return birthPartly(a, b)
	}
	return birthWhole(a, b)
}

// birthPartly compares dates of which one lacks day or month.
func birthPartly(a, b customer.Date) uint8 {
	years := abs(a.Year - b.Year)
	switch {
	case years == 0 && a.Month > 0 && b.Month > 0 && a.Month != b.Month:
		return birthYearNear
	case years == 0:
		return birthYearOnly
	case years == 1:
		return birthYearNear
	case years <= 10:
		return birthDecade
	}
	return birthDiffers
}

func birthWhole(a, b customer.Date) uint8 {
	da, db := digits(a), digits(b)
	slips := spelling.Alignment(da[:], db[:])
	swapped := a.Year == b.Year && a.Month == b.Day && a.Day == b.Month
	years, days := abs(a.Year-b.Year), abs(dayNumber(a)-dayNumber(b))
	switch {
	case slips == 1 || swapped:
		return birthSlip
	case a.Month == b.Month && a.Day == b.Day && years <= 10:
		return birthMonthDay
	case a.Year == b.Year && a.Day == b.Day:
		return birthYearDay
	case a.Year == b.Year && a.Month == b.Month:
		return birthYearMonth
	case years == 0 && (newYear(a) || newYear(b)):
		return birthYearOnly
	case days <= 31:
		return birthMonthNear
	case a.Month == b.Month && a.Day == b.Day:
		return birthMonthDayFar
	case slips == 2:
		return birthTwoSlips
	case years == 0 || days <= 400:
		return birthYearNear
	case years <= 10:
		return birthDecade
	}
	return birthDiffers
}

// newYear tells the first of January, on which many are put of whom no more than the year is known.
func newYear(d customer.Date) bool { return d.Month == 1 && d.Day == 1 }

// digits writes a date as YYYYMMDD.
func digits(d customer.Date) (out [8]byte) {
	n := d.Year*10_000 + d.Month*100 + d.Day
	for i := 7; i >= 0; i-- {
		out[i] = byte('0' + n%10)
		n /= 10
	}
	return out
}

// dayNumber is near enough to tell how many days lie between two dates.
func dayNumber(d customer.Date) int {
	return d.Year*365 + d.Year/4 + (d.Month-1)*30 + (d.Month-1)/2 + d.Day
}

func abs(n int) int { return max(n, -n) }

// Levels of e-mail addresses.
const (
	emailMissing uint8 = iota
	emailDiffers
	emailBox   // equal, but a box of many: info@, or a throw-away domain
	emailLocal // the same local part in another domain
	emailSlip  // up to two slips of the pen
	emailEqual
	emailLevels
)

// mails compares every address of one with every one of the other, and answers the best level and the address that
// reached it.
func mails(a, b []customer.Email) (level uint8, of customer.Email) {
	for i := range a {
		for j := range b {
			if l := mail(&a[i], &b[j]); l > level {
				level, of = l, a[i]
			}
		}
	}
	return level, of
}

func mail(a, b *customer.Email) uint8 {
	same := a.Local == b.Local && a.Domain == b.Domain
	switch {
	case same && (a.Role || a.Disposable):
		return emailBox
	case same:
		return emailEqual
	case a.Role || b.Role:
		return emailDiffers
	case a.Local == b.Local && len(a.Local) >= 4:
		if spelling.Edits(a.Domain, b.Domain) <= 2 {
			return emailSlip
		}
		return emailLocal
	case len(a.Local) >= 5 && len(b.Local) >= 5 && slipped(a, b):
		return emailSlip
	}
	return emailDiffers
}

// slipped tells whether two addresses differ by at most two slips.
func slipped(a, b *customer.Email) bool {
	local, domain := spelling.Edits(a.Local, b.Local), 0
	if a.Domain != b.Domain {
		domain = spelling.Edits(a.Domain, b.Domain)
	}
	return local+domain <= 2
}

// spells tells which of a person's names the local part of an address spells; an initial before the family name counts, and so do
// two initials that are all of it.
func spells(local string, given, family []string) (g, f bool) {
	local = strings.TrimRight(spelling.Folded(local), "0123456789")
	for _, name := range family {
		f = f || len(name) >= 3 && strings.Contains(local, name)
	}
	letters := strings.Map(letterOnly, local)
	for _, name := range given {
		if name == "" || letters == "" {
			continue
		}
		g = g || len(name) >= 3 && strings.Contains(local, name) || f && local[0] == name[0]
		if len(family) > 0 && family[0] != "" && len(letters) == 2 && letters[0] == name[0] && letters[1] == family[0][0] {
			return true, true
		}
	}
	return g, f
}

func letterOnly(r rune) rune {
	if r == '.' || r == '_' || r == '-' {
		return -1
	}
	return r
}

// oneOf tells the address of one person of a family, not of all: something stands before the family name or its initial, or
// behind it (v.clark, ellis.h, jt40).
func oneOf(local string, family []string) bool {
	local = strings.TrimRight(spelling.Folded(local), "0123456789")
	if letters := strings.Map(letterOnly, local); len(letters) == 2 && len(family) > 0 && family[0] != "" {
		return letters[1] == family[0][0]
	}
	parts := strings.FieldsFunc(local, func(r rune) bool { return letterOnly(r) < 0 })
	return len(parts) == 2 && slices.ContainsFunc(family, func(name string) bool {
		return parts[1] == name || parts[0] == name || len(parts[1]) == 1 && parts[1][0] == name[0]
	})
}

// Levels of telephone numbers.
const (
	phoneMissing uint8 = iota
	phoneDiffers
	phoneSlip
	phoneEqual
	phoneLevels
)

// phoneTail is how many of a number's last digits stand for it where one of two lacks its country.
const phoneTail = 8

func phones(a, b []customer.Phone) (level uint8) {
	for _, x := range a {
		for _, y := range b {
			level = max(level, phone(x.Number, y.Number))
		}
	}
	return level
}

func phone(a, b string) uint8 {
	if a == b {
		return phoneEqual
	}
	if !strings.HasPrefix(a, "+") || !strings.HasPrefix(b, "+") {
		a, b = strings.TrimLeft(a, "+0"), strings.TrimLeft(b, "+0")
		if a == b || min(len(a), len(b)) >= phoneTail && (strings.HasSuffix(a, b) || strings.HasSuffix(b, a)) {
			return phoneEqual
		}
	}
	if len(a) >= 9 && len(b) >= 9 && spelling.Edits(a, b) == 1 {
		return phoneSlip
	}
	return phoneDiffers
}

// Levels of identifiers.
const (
	idMissing uint8 = iota
	idDiffers       // two numbers of a kind of which a person has one
	idWeak          // a card, an account, a device that may be shared
	idSlip
	idStrong
	identifierLevels
)

// identifiers compares the numbers that the same issuer gave in the same series.
func identifiers(a, b []customer.Identifier) (level uint8, of string) {
	for i := range a {
		for j := range b {
			x, y := &a[i], &b[j]
			if x.Type != y.Type || x.Issuer != y.Issuer {
				continue
			}
			if l := identifier(x, y); l > level {
				level, of = l, x.Type
			}
		}
	}
	return level, of
}

func identifier(a, b *customer.Identifier) uint8 {
	weakest := max(rank(a.Strength), rank(b.Strength))
	switch {
	case a.Value == b.Value && weakest == rank(customer.S1):
		return idMissing
	case a.Value == b.Value && (weakest < rank(customer.S2) || personal(a.Type)):
		return idStrong
	case a.Value == b.Value:
		return idWeak
	case !personal(a.Type):
		return idMissing
	case len(a.Value) >= 6 && spelling.Edits(a.Value, b.Value) == 1:
		return idSlip
	}
	return idDiffers
}

// rank orders strengths, 0 the strongest.
func rank(s customer.Strength) int {
	switch s {
	case customer.S4:
		return 0
	case customer.S3:
		return 1
	case customer.S2:
		return 2
	}
	return 3
}

// personal tells the kinds of number that are given to one party, who has one of an issuer.
func personal(kind string) bool {
	switch kind {
	case "nationalId", "taxId", "lei":
		return true
	}
	return false
}

// exclusive tells a verified number whose bearer has no other one of its issuer: two of them are two parties. A customer
// number is one where its issuer has verified it, as banks do; two unverified profiles of one person in a shop are usual.
func exclusive(id *customer.Identifier) bool {
	if !id.Verified || id.Issuer == "" {
		return false
	}
	return personal(id.Type) || id.Type == "customerNumber" && id.Strength == customer.S4
}

// conflict answers two exclusive numbers that make two parties of two records, if there are any. Numbers that people type
// must be more than one slip apart.
func conflict(a, b []customer.Identifier, excused func(x, y *customer.Identifier) bool) bool {
	for i := range a {
		for j := range b {
			x, y := &a[i], &b[j]
			if x.Type != y.Type || x.Issuer != y.Issuer || !exclusive(x) || !exclusive(y) || x.Value == y.Value {
				continue
			}
			if holds(a, y) || holds(b, x) || personal(x.Type) && spelling.Edits(x.Value, y.Value) <= 1 || excused(x, y) {
				continue
			}
			return true
		}
	}
	return false
}

func holds(ids []customer.Identifier, id *customer.Identifier) bool {
	for i := range ids {
		if ids[i].Type == id.Type && ids[i].Issuer == id.Issuer && ids[i].Value == id.Value {
			return true
		}
	}
	return false
}

// shared answers the strongest identifier that binds two records, S4 or S3 on both sides.
func shared(a, b []customer.Identifier) (strength customer.Strength, kind string) {
	for i := range a {
		for j := range b {
			x, y := &a[i], &b[j]
			if x.Type != y.Type || x.Issuer != y.Issuer || x.Value != y.Value {
				continue
			}
			weaker := x.Strength
			if rank(y.Strength) > rank(weaker) {
				weaker = y.Strength
			}
			if rank(weaker) <= 1 && (strength == "" || rank(weaker) < rank(strength)) {
				strength, kind = weaker, x.Type
			}
		}
	}
	return strength, kind
}
