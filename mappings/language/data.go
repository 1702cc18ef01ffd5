package language

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
)

// dataFunctions are those that know something of the world: numbers, dates, telephones, countries, tables.
func dataFunctions() []function {
	return []function{
		{name: "dec", make: func(*Compiler, *YAML, []operand) (apply, bool) { return plainDecimal, true }},
		{name: "date", least: 1, most: 2, make: makeDate},
		{name: "partial_date", make: func(*Compiler, *YAML, []operand) (apply, bool) { return partialDate, true }},
		{name: "epoch", least: 1, most: 1, make: makeEpoch},
		{name: "e164", most: 1, paths: true, make: makeE164},
		{name: "country", make: makeCountry},
		{name: "lookup", least: 1, most: 2, make: makeLookup},
		{name: "parse_json", gives: ATree, make: func(*Compiler, *YAML, []operand) (apply, bool) { return parseJSON, true }},
		{name: "get", takes: ATree, least: 1, most: 1, make: makeGet},
		{name: "text", takes: ATree, make: makeText},
	}
}

// Limits of a decimal number (invariant 10): its digits, and where its point may be.
const (
	maxDigits   = 100
	maxExponent = 100
)

// Decimal reads an exact number (invariant 8).
func Decimal(text string) (*apd.Decimal, bool) {
	if len(text) > maxDigits {
		return nil, false
	}
	d, cond, err := apd.NewFromString(text)
	if err != nil || cond.Any() || d.Form != apd.Finite || d.Exponent > maxExponent || d.Exponent < -maxExponent {
		return nil, false
	}
	return d, true
}

// NotDecimal is the sentence about a text that is no exact number.
const NotDecimal = "a decimal number such as 12.50 is expected here"

func plainDecimal(_ *Scope, v Value) (Value, string) {
	d, ok := Decimal(strings.TrimSpace(v.Text))
	if !ok {
		return v, NotDecimal
	}
	v.Text = d.Text('f')
	return v, ""
}

func count(list []string) string { return strconv.Itoa(len(list)) }

// exact is the arithmetic of sum and of expr: what would have to be rounded is an error.
func exact() *apd.Context {
	c := apd.BaseContext.WithPrecision(2 * maxDigits)
	c.Traps |= apd.Inexact | apd.Rounded
	return c
}

func sum(list []string) (string, string) {
	total, c := apd.New(0, 0), exact()
	for _, text := range list {
		d, ok := Decimal(text)
		if !ok {
			return "", NotDecimal
		}
		if _, err := c.Add(total, total, d); err != nil {
			return "", "the sum has more digits than can be kept exactly"
		}
	}
	return total.Text('f'), ""
}

func hash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func title(s string) string { return cases.Title(language.Und).String(s) }

// makeDate reads a date by a layout in Go's notation (2006-01-02 15:04:05), in a zone where the text has none.
func makeDate(l *Compiler, y *YAML, args []operand) (apply, bool) {
	layout, zone := args[0].text, l.d.Zone
	if len(args) == 2 {
		z, err := time.LoadLocation(args[1].text)
		if err != nil || args[1].text == "" {
			l.Say(y, "use a name of the IANA time zone database such as Europe/Zurich", "there is no time zone %q", args[1].text)
			return nil, false
		}
		zone = z
	}
	if sample := time.Date(2001, 11, 22, 13, 44, 55, 0, time.UTC).Format(layout); sample == layout {
		l.Say(y, `write how 2 January 2006, 15:04:05 looks: "02.01.2006 15:04"`, "the layout %q has no part of a date", layout)
		return nil, false
	}
	out := time.RFC3339Nano
	if !strings.Contains(layout, "15") && !strings.Contains(layout, "03") && !strings.Contains(layout, "3:04") {
		out = time.DateOnly
	}
	return func(_ *Scope, v Value) (Value, string) {
		t, err := time.ParseInLocation(layout, v.Text, zone)
		if err != nil {
			return v, "the date is not written as " + layout + ", which the mapping says"
		}
		v.Text = t.Format(out)
		return v, ""
	}, true
}

// partialDate brings a date of which parts are missing into the form of ISO 8601: the year 0000 of OpenID Connect and
// Square becomes --02-29, a month or day of 00 is left out.
func partialDate(_ *Scope, v Value) (Value, string) {
	const fault = "a date is expected here: 1980-02-29, 1980-02, 1980, --02-29, or with zeros for what is not known"
	text, _, _ := strings.Cut(v.Text, "T")
	if rest, ok := strings.CutPrefix(text, "0000-"); ok {
		text = "--" + rest
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "-00"), "-00")
	for _, layout := range []string{time.DateOnly, "2006-01", "2006"} {
		if _, err := time.Parse(layout, text); err == nil && text != "0000" {
			v.Text = text
			return v, ""
		}
	}
	if rest, ok := strings.CutPrefix(text, "--"); ok {
		if _, err := time.Parse(time.DateOnly, "2000-"+rest); err == nil { // a leap year: 29 February is a birthday
			v.Text = text
			return v, ""
		}
	}
	return v, fault
}

// makeEpoch reads a count of units since 1970: s, ms, us, ns give an instant, d gives a date.
func makeEpoch(l *Compiler, y *YAML, args []operand) (apply, bool) {
	units := map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": 1, "d": 24 * time.Hour}
	unit, ok := units[args[0].text]
	if !ok {
		l.Say(y, "use one of s, ms, us, ns, d", "%q is not a unit", args[0].text)
		return nil, false
	}
	return func(_ *Scope, v Value) (Value, string) {
		n, err := strconv.ParseInt(v.Text, 10, 64)
		per := int64(max(time.Second/unit, 1))
		if seconds := n / per; err != nil || seconds*max(int64(unit/time.Second), 1) > 253_402_300_799 || seconds < -62_135_596_800 {
			return v, "a whole number of " + args[0].text + " since 1970 is expected here, up to the year 9999"
		}
		if unit > time.Second {
			v.Text = time.Unix(0, 0).UTC().AddDate(0, 0, int(n)).Format(time.DateOnly)
		} else {
			v.Text = time.Unix(n/per, n%per*int64(unit)).UTC().Format(time.RFC3339Nano)
		}
		return v, ""
	}, true
}

// makeE164 brings a telephone number into E.164 where the country is known: by a leading +, by the argument, by the
// mapping's region. What is no possible number stays as it is, without the blanks around it.
func makeE164(l *Compiler, _ *YAML, args []operand) (apply, bool) {
	fallback := l.d.Region
	return func(s *Scope, v Value) (Value, string) {
		region := ""
		if len(args) > 0 {
			text, err := args[0].value(s)
			if err != nil {
				return v, err.Text
			}
			region = strings.ToUpper(text)
		}
		if len(region) != 2 {
			region = fallback
		}
		v.Text = strings.TrimSpace(v.Text)
		if len(v.Text) > phonenumbers.MAX_INPUT_STRING_LENGTH {
			return v, ""
		}
		number, err := phonenumbers.Parse(v.Text, region)
		if err == nil && phonenumbers.IsPossibleNumber(number) {
			v.Text = phonenumbers.Format(number, phonenumbers.E164)
		}
		return v, ""
	}, true
}

// makeCountry answers the ISO 3166-1 alpha-2 code of a code of two or three letters, or of an English name. What is none
// stays as it is.
func makeCountry(*Compiler, *YAML, []operand) (apply, bool) {
	names := map[string]string{}
	english := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			r, err := language.ParseRegion(string(a) + string(b))
			if err == nil && r.IsCountry() && r.String() == string(a)+string(b) {
				names[strings.ToLower(english.Name(r))] = r.String()
			}
		}
	}
	return func(_ *Scope, v Value) (Value, string) {
		text := strings.TrimSpace(v.Text)
		if code, known := names[strings.ToLower(text)]; known {
			text = code
		} else if len(text) == 2 || len(text) == 3 {
			if r, err := language.ParseRegion(text); err == nil && r.IsCountry() {
				text = r.Canonicalize().String()
			}
		}
		v.Text = text
		return v, ""
	}, true
}

// makeLookup translates by a table in a file of the mapping: YAML, theirs: ours.
func makeLookup(l *Compiler, y *YAML, args []operand) (apply, bool) {
	table := l.table(y, args[0].text)
	if table == nil {
		return nil, false
	}
	return func(_ *Scope, v Value) (Value, string) {
		to, known := table[v.Text]
		switch {
		case known:
			v.Text = to
		case len(args) == 2:
			v.Text = args[1].text
		default:
			return v, "the value is not in the table " + args[0].text + ": add it there, or a second argument for the others"
		}
		return v, ""
	}, true
}

// table reads a table once.
func (l *Compiler) table(y *YAML, name string) map[string]string {
	if t, known := l.tables[name]; known {
		return t
	}
	b := l.Read(y, name)
	if b == nil {
		return nil
	}
	in := Compiler{fsys: l.fsys, dir: l.dir, file: name}
	top := in.Parse(b)
	table := map[string]string{}
	if top != nil && in.allowAny(top) {
		for _, k := range top.Keys {
			table[k.Name] = in.String(k.Value, "a text")
		}
	}
	l.Found = append(l.Found, in.Found...)
	if len(in.Found) > 0 {
		return nil
	}
	l.tables[name] = table
	return table
}

func (l *Compiler) allowAny(y *YAML) bool {
	if y.Kind != Object {
		l.Say(y, "write theirs: ours, one a line", "a table is keys and values, %s stands", y.Kind)
	}
	return y.Kind == Object
}

func parseJSON(_ *Scope, v Value) (Value, string) {
	n, err := codec.JSON([]byte(v.Text), codec.DefaultLimits)
	if err != nil {
		return v, "JSON is expected in this text: " + err.Error()
	}
	if n.Kind() == codec.Null {
		return Value{State: customer.Cleared}, ""
	}
	return Value{State: customer.Set, node: n}, ""
}

// makeGet follows a path within a part of the message.
func makeGet(l *Compiler, y *YAML, args []operand) (apply, bool) {
	r := l.path(y, args[0].text, 0, Env{base: slotTop, next: slotFree})
	if r == nil || r.many() {
		return nil, false
	}
	read := r.scalar(l.d)
	return func(s *Scope, v Value) (Value, string) {
		inner := Scope{in: s.in}
		inner.slots[slotTop] = v.node
		got, err := read(&inner)
		if err != nil {
			return v, err.Error()
		}
		return got, ""
	}, true
}

// makeText writes a part of the message as text: a single value as it is, a list or an object as compact JSON.
func makeText(l *Compiler, _ *YAML, _ []operand) (apply, bool) {
	d := l.d
	return func(_ *Scope, v Value) (Value, string) {
		if k := v.node.Kind(); k == codec.Array || k == codec.Object && v.node.Text() == "" {
			return Value{State: customer.Set, Text: string(appendJSON(nil, v.node))}, ""
		}
		return d.judge(v.node.Text()), ""
	}, true
}

func appendJSON(b []byte, n *codec.Node) []byte {
	switch n.Kind() {
	case codec.Null:
		return append(b, "null"...)
	case codec.String:
		return appendQuoted(b, n.Text())
	case codec.Array:
		b = append(b, '[')
		for i, item := range n.Items() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, item)
		}
		return append(b, ']')
	case codec.Object:
		b = append(b, '{')
		i := 0
		for name, member := range n.Members() {
			if i++; i > 1 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, name), ':')
			b = appendJSON(b, member)
		}
		return append(b, '}')
	default:
		return append(b, n.Text()...)
	}
}

func appendQuoted(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // of valid UTF-8: the codec has seen to it
	return b
}
