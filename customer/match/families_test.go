package match_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
)

// resident makes a person at home; more is fields and values.
func resident(key, given, birth, street string, more ...string) *customer.Record {
	cells := texts(append([]string{"givenName", given, "familyName", "Zolquist", "birthDate", birth}, more...)...)
	return record(key, append(cells, home(street))...)
}

// Who lives in one house and has one name is one person, unless birth dates far apart say that they are parent and child. A record
// without a date joins one of them, and does not bring the two together.
func TestParentAndChildOfOneName(t *testing.T) {
	m := match.New()
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"the same date":       {"1951-04-05", "1951-04-05", true},
		"a slip in the date":  {"1951-04-05", "1951-04-06", true},
		"no date":             {"1951-04-05", "", true},
		"the year only":       {"1951-04-05", "1951-01-01", true},
		"a generation apart":  {"1951-04-05", "1982-09-17", false},
		"far from each other": {"1951-04-05", "1964-11-30", false},
	} {
		p := meet(m, resident("a", "Xurbine", c.a, "Calle Mayor 3"), resident("b", "Xurbine", c.b, "Calle Mayor 3"))
		if got := p.same("a", "b"); got != c.same {
			t.Errorf("%s: together %v, want %v", name, got, c.same)
		}
	}
	p := meet(m,
		resident("parent", "Xurbine", "1951-04-05", "Calle Mayor 3"), resident("child", "Xurbine", "1982-09-17", "Calle Mayor 3"),
		resident("undated", "Xurbine", "", "Calle Mayor 3"), resident("also undated", "Xurbine", "", "Calle Mayor 3", "gender", "m"))
	if p.same("parent", "child") {
		t.Error("records without a date bring parent and child together")
	}
	if !p.same("undated", "parent") && !p.same("undated", "child") {
		t.Error("a record without a date joins neither")
	}
}

// Twins share date, family name and house. Neither a likeness of their names nor an initial that fits one of them joins them; an
// e-mail that both use and that is one person's own does: then the other name is wrong.
func TestTwinsAreTwo(t *testing.T) {
	m := match.New()
	for name, c := range map[string]struct {
		a, b *customer.Record
		same bool
	}{
		"two names": {resident("a", "Curtis", "1974-04-06", "Calle Mayor 3"), resident("b", "Olga", "1974-04-06", "Calle Mayor 3"), false},
		"names that sound a bit alike": {
			resident("a", "Mason", "1974-04-06", "Calle Mayor 3"), resident("b", "Mack", "1974-04-06", "Calle Mayor 3"), false,
		},
		"an initial, and another sex": {
			resident("a", "Curtis", "1974-04-06", "Calle Mayor 3", "gender", "m"),
			resident("b", "C", "1974-04-06", "Calle Mayor 3", "gender", "f"), false,
		},
		"a slip in the name": {resident("a", "Curtis", "1974-04-06", "Calle Mayor 3"), resident("b", "Cutris", "1974-04-06", "Calle Mayor 3"), true},
		"a shared e-mail of one of them": {
			resident("a", "Curtis", "1974-04-06", "Calle Mayor 3", "email", "curtis.zolquist@mail.test"),
			resident("b", "Olga", "1974-04-06", "Calle Mayor 3", "email", "curtis.zolquist@mail.test"), true,
		},
	} {
		if got := meet(m, c.a, c.b).same("a", "b"); got != c.same {
			t.Errorf("%s: together %v, want %v", name, got, c.same)
		}
	}
}

// Neighbours share street, city and postcode. They do not live at one place, and a street that is written almost alike is another if
// its number is.
func TestNeighbours(t *testing.T) {
	m := match.New()
	level := func(a, b string) string {
		for _, s := range m.Explain(m.Standardise(resident("a", "Ana", "", a)), m.Standardise(resident("b", "Ana", "", b))).Steps {
			if s.Comparison == "place" {
				return s.Level
			}
		}
		return ""
	}
	for _, c := range []struct{ a, b, want string }{
		{"Bergstrasse 21", "Bergstr. 21", "same"},
		{"Bergstrasse 21", "Bergstrasse 21a", "same"},
		{"Bergstrasse 21", "Bergstrasse 105", "like"},
		{"Bergstrasse 21", "Bernstrasse 21", "same"},
		{"Bergstrasse 21", "Bernstrasse 105", "like"},
		{"Calle Mayor 177 5º A", "Calle Mayor, 177", "same"},
	} {
		if got := level(c.a, c.b); got != c.want {
			t.Errorf("%s and %s are %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

// The word that two names of unknown order have in common is the family's, unless the tables know it as a given name.
func TestSharedWordOfUnsplitNames(t *testing.T) {
	m := match.New()
	whole := func(key, name string) *customer.Record {
		return record(key, append(texts("fullName", name, "birthDate", "2003-02-21"), home("Calle Mayor 3"))...)
	}
	if meet(m, whole("a", "Lane Delaney"), whole("b", "Delaney Gajilea")).same("a", "b") {
		t.Error("siblings of one date are joined by taking their family name for a given name")
	}
	if !meet(m, whole("a", "Zolquist Xurbine"), whole("b", "Xurbine Zolquist")).same("a", "b") {
		t.Error("the other order of one name is another name")
	}
}

// People of any century have birth dates. The first of January often stands where only the year is known.
func TestDatesOfAnyCentury(t *testing.T) {
	m := match.New()
	born := func(date string) customer.Date { return m.Standardise(record("a", texts("birthDate", date)...)).Birth }
	for date, want := range map[string]customer.Date{
		"1630-08-01": {Year: 1630, Month: 8, Day: 1}, "1066": {Year: 1066}, "0999-01-02": {}, "1900-01-01": {}, "1753-01-01": {}, "1601-01-01": {},
	} {
		if got := born(date); got != want {
			t.Errorf("%s is read as %v", date, got)
		}
	}
	weight := func(a, b string) float64 {
		e, _ := m.Score(m.Standardise(record("a", texts("birthDate", a)...)), m.Standardise(record("b", texts("birthDate", b)...)))
		return e.Weight.Float()
	}
	if year, day := weight("1713-10-25", "1713"), weight("1713-10-25", "1713-01-01"); year != day || year < 3 {
		t.Errorf("the year weighs %v, the first of January %v", year, day)
	}
}

// Another writing of a name adds the words that the parts lack: a title's name, a name before a marriage. They may be the other's name.
func TestOtherNamesOfOnePerson(t *testing.T) {
	m := match.New()
	for name, c := range map[string]struct {
		cells []customer.Cell
		want  customer.Features
	}{
		"a title": {
			texts("fullName", "Thomas Clifford, 1st Baron Clifford of Chudleigh", "givenName", "Thomas", "familyName", "Chudleigh"),
			customer.Features{Given: []string{"thomas"}, Family: []string{"chudleigh"}, Middle: []string{"clifford"}},
		},
		"a title alone": {
			texts("fullName", "Thomas Clifford, 1st Baron Clifford"),
			customer.Features{Given: []string{"thomas"}, Family: []string{"clifford"}, Middle: []string{}, Unsplit: true},
		},
		"a word in brackets": {
			texts("fullName", "John Wexford (politician)"),
			customer.Features{Given: []string{"john"}, Family: []string{"wexford"}, Middle: []string{"politician"}, Unsplit: true},
		},
		"a name before a marriage": {
			texts("givenName", "Ana", "familyName", "Wexford", "alternateName", "Zolquist"),
			customer.Features{Given: []string{"ana"}, Family: []string{"wexford"}, Middle: []string{"zolquist"}},
		},
	} {
		got := m.Standardise(record("a", c.cells...))
		c.want.Record, c.want.Origin, c.want.Node = got.Record, got.Origin, got.Node
		if d := cmp.Diff(&c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	married := record("a", texts("givenName", "Xurbine", "familyName", "Wexford", "alternateName", "Zolquist", "birthDate", "1980-02-03")...)
	maiden := record("b", texts("givenName", "Xurbine", "familyName", "Zolquist", "birthDate", "1980-02-03")...)
	if !meet(m, married, maiden).same("a", "b") {
		t.Error("the name before a marriage does not join")
	}
}

// An address of one person of a family is not the family's: something tells that person from the others.
func TestAddressesOfOnePerson(t *testing.T) {
	m := match.New()
	for mail, own := range map[string]bool{
		"v.zolquist@mail.test": true, "victor.z@mail.test": true, "vz40@mail.test": true, "zolquist.v@mail.test": true,
		"zolquist@mail.test": false, "zolquists@mail.test": false, "casa@mail.test": false,
	} {
		p := meet(m, record("a", texts("familyName", "Zolquist", "email", mail, "birthDate", "1980-02-03")...),
			record("b", texts("familyName", "Zolquist", "email", mail, "birthDate", "1981-03-03")...))
		if got := p.same("a", "b"); got != own {
			t.Errorf("%s joins two records without a given name: %v, want %v", mail, got, own)
		}
	}
}

// In scripts whose signs are words or syllables each, another sign is another name and no slip of the pen.
func TestNamesOfSyllables(t *testing.T) {
	m := match.New()
	born := func(key, name string) *customer.Record {
		return record(key, append(texts("fullName", name, "birthDate", "1980-02-03"), home("Calle Mayor 3"))...)
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{{"王小明", "王小明", true}, {"王小明", "王小红", false}, {"김민준", "김서준", false}, {"Иван Петров", "Иван Петрав", true}} {
		if got := meet(m, born("a", c.a), born("b", c.b)).same("a", "b"); got != c.same {
			t.Errorf("%s and %s: together %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

func TestSexInManyLanguages(t *testing.T) {
	m := match.New()
	for text, want := range map[string]string{
		"M": "m", "Male": "m", "männlich": "m", "мужской": "m", "男": "m", "F": "f", "weiblich": "f", "женский": "f", "K": "f", "여": "f", "X": "x", "?": "",
	} {
		if got := m.Standardise(record("a", texts("gender", text)...)).Gender; got != want {
			t.Errorf("%s is read as %q, want %q", text, got, want)
		}
	}
}
