package table

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Orders of the parts of a date.
const (
	yearFirst  = "ymd"
	dayFirst   = "dmy"
	monthFirst = "mdy"
)

// century parts years of two digits: up to it they are of this century, above of the last.
const century = 30

// dateOrder answers in which order a column's dates stand whose year is last: what more of them can only mean, else day first.
// sure tells whether any of them could only be read in one way.
func dateOrder(values func(yield func(string) bool)) (order string, sure bool) {
	days, months := 0, 0
	for v := range values {
		p := dateParts(v)
		if len(p) != 3 || len(p[0]) > 2 || len(p[1]) > 2 || !digits(p[0]) || !digits(p[1]) {
			continue
		}
		a, _ := strconv.Atoi(p[0])
		b, _ := strconv.Atoi(p[1])
		switch {
		case a > 12 && b <= 12:
			days++
		case b > 12 && a <= 12:
			months++
		}
	}
	if months > days {
		return monthFirst, true
	}
	return dayFirst, days > 0
}

// order finds out of the dates of a file, one after another, in which order their parts stand.
type order struct {
	days, months int  // dates that can only be read so
	lastYear     bool // some have the year last
}

func (o *order) see(cells []string, columns []int) {
	for _, c := range columns {
		v := cells[c]
		if p := dateParts(v); len(p) >= 3 && len(p[0]) <= 2 && digits(p[0]) && digits(p[1]) {
			o.lastYear = true
		}
		switch found, sure := dateOrder(func(yield func(string) bool) { yield(v) }); {
		case found == monthFirst:
			o.months++
		case sure:
			o.days++
		}
	}
}

func (o *order) order() string {
	if o.months > o.days {
		return monthFirst
	}
	return dayFirst
}

// time reads an instant: RFC 3339, a date with a time of day as programs write it, or seconds or milliseconds since 1970.
func (o *order) time(v, dates string, zone *time.Location) (time.Time, bool) {
	if digits(v) && (len(v) == 10 || len(v) == 13) {
		n, _ := strconv.ParseInt(v, 10, 64)
		if len(v) == 13 {
			return time.UnixMilli(n).UTC(), true
		}
		return time.Unix(n, 0).UTC(), true
	}
	date, clock := v, ""
	if i := strings.IndexByte(v, ':'); i > 0 {
		at := strings.LastIndexAny(v[:i], " T,")
		if at < 0 {
			return time.Time{}, false
		}
		date, clock = strings.Trim(v[:at], " ,"), strings.TrimSpace(v[at+1:])
	}
	day, err := time.ParseInLocation(time.DateOnly, isoDate(date, dates), zone)
	if err != nil {
		return time.Time{}, false
	}
	if clock == "" {
		return day.UTC(), true
	}
	for _, layout := range []string{
		"15:04:05Z07:00", "15:04:05", "15:04", "3:04:05 PM", "3:04 PM", "15:04:05 Z07:00", "15:04:05 -0700", "15:04:05-0700", "15:04Z07:00",
		"15:04:05 UTC", "15:04:05 GMT",
	} {
		if t, err := time.ParseInLocation(time.DateOnly+" "+layout, day.Format(time.DateOnly)+" "+strings.ToUpper(clock), zone); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// dateParts cuts a date into its numbers and words, and leaves out a time of day behind it.
func dateParts(s string) []string {
	if at := strings.IndexAny(s, "T"); at >= 8 && digits(s[:4]) {
		s = s[:at]
	}
	if at := strings.IndexByte(s, ' '); at > 0 && strings.Contains(s[at:], ":") {
		s = s[:strings.LastIndexByte(s[:strings.IndexByte(s, ':')], ' ')]
	}
	return strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) || strings.ContainsRune("年月日년월일", r)
	})
}

// isoDate writes a date in the form of ISO 8601 as the canonical model has it, whole or partial; empty if it is none. A month or a
// day that the calendar does not have is a slip of somebody's pen, and stays.
func isoDate(s, order string) string {
	if s = strings.TrimSpace(s); strings.HasPrefix(s, "--") {
		return s
	}
	p := dateParts(s)
	for i, w := range p {
		if p[i] = strings.ToLower(w); '0' <= w[0] && w[0] <= '9' {
			p[i] = strings.TrimRight(p[i], "sthndr") // the 3rd
		}
	}
	switch len(p) {
	case 1:
		return oneNumber(p[0], order)
	case 2:
		if m := month(p[0]); len(p[1]) == 4 && m > 0 {
			return whole(p[1], m, 0)
		}
		if m := month(p[1]); len(p[0]) == 4 && m > 0 {
			return whole(p[0], m, 0)
		}
	case 3:
		return threeParts(p, order)
	}
	return ""
}

func threeParts(p []string, order string) string {
	y, m, d := p[2], p[1], p[0]
	switch {
	case len(p[0]) == 4, order == yearFirst && len(p[2]) <= 2:
		y, m, d = p[0], p[1], p[2]
	case !digits(p[0]) || digits(p[1]) && order == monthFirst: // "Feb 3 1980"
		m, d = p[0], p[1]
	}
	day, err := strconv.Atoi(d)
	if err != nil || day > 99 || month(m) < 0 {
		return ""
	}
	return whole(y, month(m), day)
}

// oneNumber reads 1980, 198002, 19800203 and 03021980.
func oneNumber(s, order string) string {
	if !digits(s) {
		return ""
	}
	n := func(t string) int { i, _ := strconv.Atoi(t); return i }
	switch len(s) {
	case 4:
		return s
	case 6:
		return whole(s[:4], n(s[4:]), 0)
	case 8:
		switch year := n(s[:4]); {
		case year >= 1800 && year <= 2100 || order == yearFirst:
			return whole(s[:4], n(s[4:6]), n(s[6:]))
		case order == monthFirst:
			return whole(s[4:], n(s[:2]), n(s[2:4]))
		default:
			return whole(s[4:], n(s[2:4]), n(s[:2]))
		}
	}
	return ""
}

// whole puts a date together; what is 0 is not known.
func whole(year string, month, day int) string {
	y, err := strconv.Atoi(year)
	if err != nil || len(year) > 4 || len(year) == 3 || month < 0 || month > 99 || day < 0 || day > 99 {
		return ""
	}
	if len(year) <= 2 {
		if y <= century {
			y += 100
		}
		y += 1900
	}
	switch {
	case month == 0:
		return fmt.Sprintf("%04d", y)
	case day == 0:
		return fmt.Sprintf("%04d-%02d", y, month)
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, month, day)
}

// month answers a month's number from its digits or its name in a language of Western Europe, -1 if it is none.
func month(s string) int {
	if digits(s) && len(s) <= 2 {
		n, _ := strconv.Atoi(s)
		return n
	}
	if len(s) < 3 {
		return -1
	}
	if s = normal(s); len(s) < 3 {
		return -1
	}
	for i, starts := range [...]string{
		"jan ene gen", "feb fev", "mar mrz mae", "apr avr abr", "may mai mag maj", "jun giu", "jul lug", "aug aou ago", "sep set",
		"oct okt ott out", "nov", "dec dez dic des",
	} {
		for start := range strings.FieldsSeq(starts) {
			if strings.HasPrefix(s, start) {
				return i + 1
			}
		}
	}
	switch {
	case strings.HasPrefix(s, "juin"), s == "jui":
		return 6
	case strings.HasPrefix(s, "juil"):
		return 7
	}
	return -1
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
