package table_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/customer"
)

func read(t testing.TB, text string, c table.Columns) *table.Table {
	t.Helper()
	out, err := table.Read("r.csv", strings.NewReader(text), c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stated answers what each row states, in the form "path=value", parts as "path.part=value".
func stated(t testing.TB, tb *table.Table) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := tb.Each(func(r table.Row) error {
		out[r.Key] = []string{}
		for _, st := range r.Party {
			if st.Value.Parts == nil {
				out[r.Key] = append(out[r.Key], st.Path.Name+"="+st.Value.Text)
			}
			for _, part := range slices.Sorted(maps.Keys(st.Value.Parts)) {
				name := st.Path.Name
				if name == customer.FieldAddress {
					name = st.Path.String()
				}
				out[r.Key] = append(out[r.Key], name+"."+part+"="+st.Value.Parts[part])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestColumnsAreKnownByTheirUsualNames(t *testing.T) {
	for _, c := range []struct {
		header string
		want   string // what each column holds; - is left out
	}{
		{
			"rec_id, given_name, surname, street_number, address_1, address_2, suburb, postcode, state, date_of_birth, soc_sec_id",
			"id givenName familyName address.buildingNumber address.streetName address.extendedAddress address.addressLocality " +
				"address.postalCode address.addressRegion birthDate identifier.nationalId",
		},
		{"unique_id,first_name,surname,dob,city,email,cluster", "id givenName familyName birthDate address.addressLocality email -"},
		{
			"uuid,full_name,first_and_surname,first_name,surname,dob,birth_place,postcode_fake,gender,occupation",
			"id fullName - givenName familyName birthDate birthPlace address.postalCode gender jobTitle",
		},
		{
			"ID,FirstName,MiddleInitial,LastName,DateOfBirth,HomePhone,MobilePhone,EmailAddress,E-Mail 2,ZipCode",
			"id givenName additionalName familyName birthDate phone phone email email address.postalCode",
		},
		{"Kennung;Vorname;Name;Geburtsdatum;Straße;Hausnummer;PLZ;Ort;Telefon", // with ; between
			"id givenName familyName birthDate address.streetName address.buildingNumber address.postalCode address.addressLocality phone"},
		{
			"id\tnom\tprénom\tdate de naissance\tadresse\tcode postal\tville\tcourriel",
			"id familyName givenName birthDate address.streetAddress address.postalCode address.addressLocality email",
		},
		{"姓名,生年月日,電話番号,住所", "fullName birthDate phone address.addressLines"},
		{"имя,фамилия,отчество,дата рождения,пол", "givenName familyName additionalName birthDate gender"},
		{"id,name,address", "id fullName address.addressLines"},
		{"id,name,birth_year,birth_month,birth_day", "id fullName birthDate.year birthDate.month birthDate.day"},
		{"id,company_name,vat_number,iban", "id legalName identifier.vatId identifier.iban"},
		{
			"customer_id,customer_first_name,customer_last_name,billing_city,shipping_city,shipping_zip",
			"id givenName familyName address[billing].addressLocality address[shipping].addressLocality address[shipping].postalCode",
		},
		{
			"id,household_id,entity_id,guardian_1,relationship_to_reference_person,age,race_ethnicity,mother_name,registration_date",
			"id - - - - - - - -",
		},
		{"id,first_name,surname,maiden_name,sex", "id givenName familyName alternateName gender"},
		{"id,strasse,nr,plz", "id address.streetName address.buildingNumber address.postalCode"},
	} {
		tb := read(t, c.header+"\n", table.Columns{})
		var got []string
		for _, col := range tb.Columns {
			holds := col.Holds
			if holds == "" {
				holds = "-"
			}
			got = append(got, holds)
		}
		if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s\n%s", c.header, d)
		}
	}
}

func TestRowsStateWhatTheirColumnsHold(t *testing.T) {
	for _, c := range []struct {
		name, text string
		columns    table.Columns
		want       map[string][]string
	}{
		{
			"blanks and what programs write for nothing state nothing", "id,first_name,surname,email\n1, Ana ,NaN,\n",
			table.Columns{},
			map[string][]string{"1": {"givenName=Ana"}},
		},
		{
			"a date in three columns", "id,yob,mob,dob_day\n1,1980,Feb,3\n2,1980.0,,\n3,,2,3\n4,,,3\n",
			table.Columns{},
			map[string][]string{"1": {"birthDate=1980-02-03"}, "2": {"birthDate=1980"}, "3": {"birthDate=--02-03"}, "4": {}},
		},
		{
			"several e-mails and telephones", "id,email,email_2,phone\n1,a@x.org;b@x.org,c@x.org,030/1234567|49301234568.0\n",
			table.Columns{},
			map[string][]string{"1": {"email=a@x.org", "email=b@x.org", "email=c@x.org", "phone=030/1234567", "phone=49301234568"}},
		},
		{
			"the parts of an address belong together, home and work apart",
			"id,home_street,home_city,work_city\n1,Main St 5,Bern,Basel\n",
			table.Columns{},
			map[string][]string{"1": {
				"address[home].addressLocality=Bern", "address[home].streetAddress=Main St 5", "address[work].addressLocality=Basel",
			}},
		},
		{
			"a region stands where a record has no country", "id,city,phone\n1,Bern,0311234567\n",
			table.Columns{Region: "CH"},
			map[string][]string{"1": {"address[1].addressCountry=CH", "address[1].addressLocality=Bern", "phone=0311234567"}},
		},
		{
			"columns that were named", "A,B,C,D,E\n7,Ana Silva,x,3,y\n",
			table.Columns{Of: map[string]string{"A": "id", "B": "fullName", "C": "ignore", "D": "address[work].postalCode", "E": "identifier.taxId"}},
			map[string][]string{"7": {"address[work].postalCode=3", "fullName=Ana Silva", "identifier.type=taxId", "identifier.value=y"}},
		},
		{
			"named columns only", "id,first_name,surname\n7,Ana,Silva\n",
			table.Columns{Of: map[string]string{"surname": "familyName"}, Only: true},
			map[string][]string{"1": {"familyName=Silva"}},
		},
		{
			"rows that are short or long, quotes in the middle, a byte order mark", "\ufeffid,first_name,surname\n1,Ana\n2,\"B \"o\" b\",C,D\n",
			table.Columns{},
			map[string][]string{"1": {"givenName=Ana"}, "2": {"familyName=C", `givenName=B "o" b`}},
		},
		{"Latin-1", "id,surname\n1,M\xfcller\n", table.Columns{}, map[string][]string{"1": {"familyName=Müller"}}},
		{
			"an id that names two rows is none", "id,surname\n1,A\n1,B\n",
			table.Columns{},
			map[string][]string{"1": {"familyName=A"}, "2": {"familyName=B"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, stated(t, read(t, c.text, c.columns))); d != "" {
				t.Error(d)
			}
		})
	}
}

// The order of day and month is read from the column as a whole: one date that can mean one thing only settles the others.
func TestDates(t *testing.T) {
	for _, c := range []struct {
		order string
		dates []string
		want  []string
	}{
		{
			"",
			[]string{"1980-02-03", "19800203", "1980/2/3", "1980-02-03T10:00:00Z", "1980-02-03 00:00:00", "1980-02", "1980"},
			[]string{"1980-02-03", "1980-02-03", "1980-02-03", "1980-02-03", "1980-02-03", "1980-02", "1980"},
		},
		{"", []string{"03/02/1980", "25/12/1980"}, []string{"1980-02-03", "1980-12-25"}},
		{"", []string{"03/02/1980", "12/25/1980"}, []string{"1980-03-02", "1980-12-25"}},
		{"", []string{"3.2.1980", "03.02.80", "03021980"}, []string{"1980-02-03", "1980-02-03", "1980-02-03"}},
		{"mdy", []string{"03/02/1980", "2/3/05", "02031980"}, []string{"1980-03-02", "2005-02-03", "1980-02-03"}},
		{"ymd", []string{"80-02-03"}, []string{"1980-02-03"}},
		{
			"",
			[]string{"3 Feb 1980", "Feb 3, 1980", "3. Februar 1980", "3 février 1980", "3rd March 1980", "Feb 1980"},
			[]string{"1980-02-03", "1980-02-03", "1980-02-03", "1980-02-03", "1980-03-03", "1980-02"},
		},
		{"", []string{"1980-13-45", "1980年2月3日", "--02-03"}, []string{"1980-13-45", "1980-02-03", "--02-03"}},
		{"", []string{"yesterday", "12", "1/2", "x/y/z", "1980-1-1-1", "123456789"}, []string{"", "", "", "", "", ""}},
	} {
		text := "id,dob\n"
		for i, d := range c.dates {
			text += fmt.Sprintf("%d,%q\n", i, d)
		}
		got := stated(t, read(t, text, table.Columns{Dates: c.order}))
		for i, want := range c.want {
			if g := strings.TrimPrefix(strings.Join(got[fmt.Sprint(i)], " "), "birthDate="); g != want {
				t.Errorf("%s: %q, want %q", c.dates[i], g, want)
			}
		}
	}
}

func TestFilesOfColumns(t *testing.T) {
	got, found := table.ParseColumns("c.yaml", []byte("columns:\n  ID_NO: id\n  Y: birthDate.year\n  N: first_name\n  M: e-mail\ndates: mdy\nregion: gb\nonly: true\n"))
	want := table.Columns{
		Of: map[string]string{"ID_NO": "id", "Y": "birthDate.year", "N": "givenName", "M": "email"}, Dates: "mdy", Region: "GB", Only: true,
	}
	if d := cmp.Diff(want, got); d != "" || len(found) > 0 {
		t.Error(d, found)
	}
	for text, says := range map[string]string{
		"columns: {A: nose}":                "c.yaml:1:14: columns.A: there is nothing of that name",
		"columns: {A: address.nose}":        "columns.A",
		"columns: {A: identifier}":          "columns.A",
		"dates: dym":                        "write ymd, dmy or mdy",
		"region: England":                   "write two letters",
		"only: perhaps":                     "neither true nor false",
		"colums: {}":                        "write columns, dates, region, only, key, zone or scope",
		"columns: {":                        "this is not YAML",
		"#" + strings.Repeat("x", 1<<20+10): "larger than the limit of 1048576 bytes",
	} {
		if _, found := table.ParseColumns("c.yaml", []byte(text)); !strings.Contains(found.Error(), says) {
			t.Errorf("%.40s: %v", text, found)
		}
	}
}

// What a person must mend names the file, the line and how; it holds no value of a record (invariant 9).
func TestFilesThatAreRefused(t *testing.T) {
	for text, c := range map[string]struct {
		columns table.Columns
		says    string
	}{
		"":                             {says: "r.csv: the file is empty"},
		"id,name\n1,Ana\n":             {table.Columns{Of: map[string]string{"NAME": "fullName"}}, `names "NAME", and there is no such column`},
		"k,name\nSecret,A\nSecret,B\n": {table.Columns{Of: map[string]string{"k": "id"}}, "r.csv:3: the id of this row is empty, too long, or another row's"},
		strings.Repeat("a,", table.MaxColumns) + "b\n": {says: "more than 1000 columns"},
	} {
		_, err := table.Read("r.csv", strings.NewReader(text), c.columns)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "Secret") {
			t.Errorf("%.30q: %v", text, err)
		}
	}
}

func TestPairs(t *testing.T) {
	for text, want := range map[string][][2]string{
		"id,cluster\na,1\nb,1\n,2\n":          {{"a", "1"}, {"b", "1"}},
		"cluster,unique_id\n1,a\n":            {{"a", "1"}},
		"foo,bar\na,1\n":                      {{"a", "1"}},
		"n,record_id,score,person\n0,a,9,1\n": {{"a", "1"}},
		"person_id,rec_id\n1,a\n":             {{"a", "1"}},
	} {
		got, err := table.Pairs("t.csv", strings.NewReader(text))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%q %v %s", text, err, d)
		}
	}
	if _, err := table.Pairs("t.csv", strings.NewReader("id\na\n")); err == nil {
		t.Error("one column is no pair")
	}
}

// Whatever bytes come, a file is read or refused, and what it states can be sealed.
func FuzzRead(f *testing.F) {
	f.Add("id,first_name,dob\n1,Ana,3/2/1980\n")
	f.Add("a;b\n\"x\n")
	f.Add("id,yob,mob,dob_day,address\n1,80,x,99,\xff\n")
	f.Add("birth date\n1980-02-03T\n T:\n年\n: \n")
	f.Fuzz(func(t *testing.T, text string) {
		tb, err := table.Read("r.csv", strings.NewReader(text), table.Columns{})
		if err != nil {
			return
		}
		_ = tb.Each(func(r table.Row) error {
			for _, st := range r.Party {
				for _, v := range append(slices.Collect(maps.Values(st.Value.Parts)), st.Value.Text) {
					if !utf8.ValidString(v) || strings.ContainsRune(v, 0) || len(v) > table.MaxCell*3 {
						t.Errorf("%s: %.40q", st.Path, v)
					}
				}
			}
			return nil
		})
	})
}

// Empty cells between tabs are cells.
func TestEmptyCellsBetweenTabs(t *testing.T) {
	got := stated(t, read(t, "id\tfirst name\tmiddle name\tlast name\n1\tAna\t\tSilva\n", table.Columns{}))
	if want := (map[string][]string{"1": {"familyName=Silva", "givenName=Ana"}}); !cmp.Equal(want, got) {
		t.Error(got)
	}
}
