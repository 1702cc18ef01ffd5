package table

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/onefold/onefold/customer"
)

// plan says what the columns of a file hold, and how their values are read.
type plan struct {
	Columns []Column
	id      int // column, -1 for the row's number
	order   string
	region  string
	load    bool // rows are loaded: elements of lists are called by their columns, and values are written as sources do
}

// doubt is a value that its column cannot hold: the row is taken without it.
type doubt struct {
	column int
	text   string
	hint   string
}

// row makes the statements of one row, and says which of its values were left out.
func (p *plan) row(line []string) (party []customer.Statement, doubts []doubt) {
	var date [3]string
	dated := -1
	parts := map[string]map[string]string{}
	for c := range p.Columns {
		to, v := p.Columns[c].to, line[c]
		switch {
		case v == "":
		case to.field == "", to.field == targetID, to.field == targetNone, to.field == targetUpdated:
		case to.field == customer.FieldAddress:
			address(parts, to, v)
		case to.field == "birthDate" && to.part != "":
			date[strings.Index("yearmonthday", to.part)/4], dated = unpointed(v), c
		default:
			out, wrong := p.statements(to, c, v)
			if party = append(party, out...); wrong.text != "" {
				wrong.column = c
				doubts = append(doubts, wrong)
			}
		}
	}
	if d := split(date); d != "" {
		party = append(party, customer.Statement{Path: customer.Path{Name: "birthDate"}, State: customer.Set, Value: customer.Text(d)})
	} else if dated >= 0 {
		doubts = append(doubts, doubt{dated, noDate, noDateHint})
	}
	for element, of := range parts {
		if of["addressCountry"] == "" && p.region != "" && !p.load { // what is guessed is no statement
			of["addressCountry"] = p.region
		}
		path := customer.Path{Name: customer.FieldAddress, ID: cmp.Or(element, "1")}
		party = append(party, customer.Statement{Path: path, State: customer.Set, Value: customer.Value{Parts: of}})
	}
	slices.SortStableFunc(party, func(a, b customer.Statement) int { return a.Path.Compare(b.Path) })
	party = slices.CompactFunc(party, func(a, b customer.Statement) bool { return a.Path == b.Path }) // the first column counts
	return party, doubts
}

const (
	noDate     = "this is no date"
	noDateHint = "write 1980-02-03, or say in the file of columns in which order dates stand: dates: dmy"
)

// statements answers what one value states; of lists it may be several.
func (p *plan) statements(to target, column int, v string) (out []customer.Statement, wrong doubt) {
	add := func(id string, value customer.Value) {
		out = append(out, customer.Statement{Path: customer.Path{Name: to.field, ID: id}, State: customer.Set, Value: value})
	}
	switch to.field {
	case customer.FieldEmail, customer.FieldPhone:
		n := 0
		for one := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ';' || r == ',' || r == '|' }) {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			if to.field == customer.FieldPhone {
				one = p.number(one)
			}
			add(p.element(column, n), customer.Text(one))
			n++
		}
	case customer.FieldIdentifier:
		id := fmt.Sprintf("%03d", column)
		if p.load {
			id = p.element(column, 0)
		}
		add(id, customer.Value{Parts: map[string]string{"type": to.part, "value": unpointed(v)}})
	case customer.FieldConsent:
		state := consent(v, to.part == "not")
		if state == "" {
			return nil, doubt{text: "this says neither yes nor no", hint: "write yes or no, true or false, granted or denied"}
		}
		channel, purpose, _ := strings.Cut(to.element, "/")
		add(to.element, customer.Value{Parts: map[string]string{"channel": channel, "purpose": purpose, "state": state}})
	case "birthDate":
		d := isoDate(unpointed(v), p.order)
		if d == "" {
			return nil, doubt{text: noDate, hint: noDateHint}
		}
		add("", customer.Text(d))
	default:
		id := to.element
		if i := slices.IndexFunc(customer.Fields(), func(f customer.Field) bool { return f.Name == to.field }); !customer.Fields()[i].List {
			id = ""
		} else if id == "" && p.load {
			id = p.element(column, 0)
		} else if id == "" {
			id = "1"
		}
		add(id, customer.Text(v))
	}
	return out, doubt{}
}

// element names the nth value of a column among the elements of its list: so that the next export of the same file names it alike,
// whatever stands beside the column then.
func (p *plan) element(column, n int) string {
	if !p.load {
		return fmt.Sprintf("%03d.%02d", column, n)
	}
	name := cmp.Or(strings.NewReplacer("[", "(", "]", ")").Replace(p.Columns[column].Name), strconv.Itoa(column+1))
	if n > 0 {
		name += "." + strconv.Itoa(n+1)
	}
	return name
}

// number writes a telephone number in the international form, where it is one and its country is known; else as it stands.
func (p *plan) number(v string) string {
	v = unpointed(v)
	if !p.load {
		return v
	}
	if len(v) > phonenumbers.MAX_INPUT_STRING_LENGTH {
		return v
	}
	if n, err := phonenumbers.Parse(v, p.region); err == nil && phonenumbers.IsPossibleNumber(n) {
		return phonenumbers.Format(n, phonenumbers.E164)
	}
	return v
}

// consent answers the state of a consent; opposite tells that the column asks whether there is none, as "opted out" does.
func consent(v string, opposite bool) string {
	yes := false
	switch strings.ToLower(v) {
	case "yes", "y", "true", "t", "1", "x", "on", "granted", "subscribed", "opted in", "opt-in", "allow", "ja", "oui", "si", "sí", "sim",
		"wahr", "vrai":
		yes = true
	case "no", "n", "false", "f", "0", "off", "denied", "unsubscribed", "opted out", "opt-out", "do not allow", "nein", "non", "nee", "não",
		"falsch", "faux":
	default:
		return ""
	}
	if yes != opposite {
		return "granted"
	}
	return "denied"
}

// address puts a part of an address to the others of its element; lines are put below one another, of other parts the first counts.
func address(parts map[string]map[string]string, to target, v string) {
	if parts[to.element] == nil {
		parts[to.element] = map[string]string{}
	}
	p := parts[to.element]
	switch {
	case p[to.part] == "":
		p[to.part] = unpointed(v)
	case to.part == "addressLines":
		p[to.part] += "\n" + v
	}
}

// unpointed takes from a number what a spreadsheet has put behind it: 3165.0 is 3165.
func unpointed(v string) string {
	if n, ok := strings.CutSuffix(v, ".0"); ok && digits(n) {
		return n
	}
	return v
}

// split puts a date together that stands in several columns; without a year it may still tell day and month.
func split(d [3]string) string {
	year, m, day := d[0], max(month(strings.ToLower(d[1])), 0), 0
	if digits(d[2]) && len(d[2]) <= 2 {
		day, _ = strconv.Atoi(d[2])
	}
	if year == "" && m > 0 && day > 0 {
		return fmt.Sprintf("--%02d-%02d", m, day)
	}
	return whole(year, m, day)
}
