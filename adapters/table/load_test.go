package table_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/event"
)

func loading(c table.Columns) table.Loading {
	return table.Loading{Columns: c, AsOf: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func opened(text string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

func survey(t testing.TB, text string, how table.Loading) *table.Sheet {
	t.Helper()
	s, err := table.Survey("crm.csv", opened(text), how)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told answers what each row comes to: what it states, or where and why it cannot be taken.
func told(t testing.TB, s *table.Sheet, text string) (out []string) {
	t.Helper()
	err := s.Each(strings.NewReader(text), func(e table.Entry) error {
		if e.Fault != nil {
			out = append(out, fmt.Sprintf("%d:%d %s", e.Fault.Line, e.Fault.Column, e.Fault.Text))
			return nil
		}
		row := e.Change.Key
		for _, st := range e.Change.Party {
			row += " " + st.Path.String() + "=" + st.Value.Text
			for _, part := range slices.Sorted(maps.Keys(st.Value.Parts)) {
				row += part + ":" + st.Value.Parts[part] + ","
			}
		}
		for _, d := range e.Doubts {
			row += fmt.Sprintf(" but %d:%d %s", d.Line, d.Column, d.Text)
		}
		out = append(out, row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func inUTF16(text string, mark bool) string {
	var b []byte
	if mark {
		b = append(b, 0xff, 0xfe)
	}
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// A file is read as it is written: delimiter, encoding, byte order mark, line ends and quotes are found out.
func TestFilesAsTheyAreWritten(t *testing.T) {
	plain := []string{"1 familyName=Möller givenName=Zoë", "2 familyName=Young givenName=Bo"}
	for name, text := range map[string]string{
		"comma":               "id,first name,last name\n1,Zoë,Möller\n2,Bo,Young\n",
		"semicolon":           "id;first name;last name\r\n1;Zoë;Möller\r\n2;Bo;Young",
		"tab":                 "id\tfirst name\tlast name\n1\tZoë\tMöller\n2\tBo\tYoung\n",
		"bar":                 "id|first name|last name\n1|Zoë|Möller\n2|Bo|Young\n",
		"sep":                 "sep=;\r\nid;first name;last name\r\n1;Zoë;Möller\r\n2;Bo;Young\r\n",
		"byte order mark":     "\ufeffid,first name,last name\n1,Zoë,Möller\n2,Bo,Young\n",
		"UTF-16 with mark":    inUTF16("id,first name,last name\n1,Zoë,Möller\n2,Bo,Young\n", true),
		"UTF-16 without":      inUTF16("id,first name,last name\n1,Zoë,Möller\n2,Bo,Young\n", false),
		"Windows-1252":        "id,first name,last name\n1,Zo\xeb,M\xf6ller\n2,Bo,Young\n",
		"carriage returns":    "id,first name,last name\r1,Zoë,Möller\r2,Bo,Young\r",
		"empty lines between": "id,first name,last name\n\n1,Zoë,Möller\n\n,,\n2,Bo,Young\n\n",
		"quotes":              "\"id\",\"first name\",\"last name\"\n\"1\",\"Zoë\",\"Möller\"\n\"2\",\"Bo\",\"Young\"\n",
		"for spreadsheets":    "id,first name,last name\n=\"1\",Zoë,Möller\n'2,Bo,Young\n",
		"commas in cells":     "id;first name;last name;note a, b, c\n1;Zoë;Möller;a, b, c, d\n2;Bo;Young;\n",
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(plain, told(t, survey(t, text, loading(table.Columns{})), text)); d != "" {
				t.Error(d)
			}
		})
	}
}

// What is wrong with a row is told with its place, and costs that row only.
func TestRowsThatCannotBeTaken(t *testing.T) {
	const head = "id,first name,last name,birth date,updated at\n"
	const good = "9,Bo,Young,,\n"
	for _, c := range []struct{ name, row, want string }{
		{"no key", ",Ana,Silva,,\n", "2:1 the row has no key"},
		{"the key of another", "9,Ana,Silva,,\n", ""},
		{"a cell too many", "1,Ana,Silva,,,x\n", "2:15 the row has 6 cells, the first line names 5"},
		{"cells too few", "1,Ana\n", "2:0 the row has 2 cells, the first line names 5"},
		{"a quote in a cell", "1,Ana \"the cat\" X,Silva,,\n", "1 familyName=Silva givenName=Ana \"the cat\" X"},
		{"a quote that is not closed", "1,\"Ana,Silva,,\n", "2:0 a quote that opens in this row is not closed where its cell ends: it shows at line 3, column 14"},
		{"text behind a quote", "1,\"Ana\"x,Silva,,\n", "2:7 a quote that opens in this row is not closed where its cell ends: it shows at line 2, column 7"},
		{"NUL", "1,An\x00a,Silva,,\n", "2:5 these bytes are no text in utf-8"},
		{"mixed encodings", "1,Ana,M\xf6ller Zoë,,\n", "2:8 these bytes are no text in utf-8"},
		{"a cell of 1 MB", "1," + strings.Repeat("x", 1<<20) + ",Silva,,\n", "2:3 the cell has 1048576 bytes, more than 16384"},
		{"a row of 5 MB", "1," + strings.Repeat("x", 5<<20) + ",Silva,,\n", "2:0 a row begins here that has more than 2097152 bytes"},
		{"a million cells", "1" + strings.Repeat(",x", 999_999) + "\n", "2:11 the row has 1000000 cells, the first line names 5"},
		{"a key too long", strings.Repeat("k", 1025) + ",Ana,Silva,,\n", "2:1 the key has more than 1024 bytes"},
		{"no time", "1,Ana,Silva,,yesterday\n", "2:14 this is no time"},
		{"no date", "1,Ana,Silva,soon,\n", "1 familyName=Silva givenName=Ana but 2:13 this is no date"},
		{"a formula", "1,=cmd|' /C calc'!A0,@SUM(A1),,\n", "1 familyName=@SUM(A1) givenName==cmd|' /C calc'!A0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := head + c.row + good
			got := told(t, survey(t, text, loading(table.Columns{})), text)
			if c.want == "" { // the later of two rows of one key is refused
				if len(got) != 2 || got[1] != "3:1 the key is that of line 2, too" {
					t.Error(got)
				}
				return
			}
			if len(got) != 2 || !strings.HasPrefix(got[0], c.want) || got[1] != "9 familyName=Young givenName=Bo" {
				t.Errorf("%q", got)
			}
		})
	}
}

// What is wrong with the file as a whole is told before any row is.
func TestFilesThatCannotBeLoaded(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		how              table.Loading
	}{
		{"empty", "", "crm.csv: the file is empty", loading(table.Columns{})},
		{"one column", "id\n1\n", "crm.csv:1: there is one column only", loading(table.Columns{})},
		{"no key", "first name,last name\nAna,Silva\n", "crm.csv:1: no column names the rows", loading(table.Columns{})},
		{"keys that are not", "id,first name\n" + strings.Repeat("1,Ana\n", 30), "crm.csv:1: no column names the rows", loading(table.Columns{})},
		{"a million columns", strings.Repeat("c,", 999_999) + "c\n", "crm.csv:1: there are 1000000 columns, more than 1000", loading(table.Columns{})},
		{"a workbook", "PK\x03\x04 and so on", "crm.csv:1:1: this is a ZIP archive", loading(table.Columns{})},
		{"no encoding", "id,name\n1,x\n", `crm.csv: there is no encoding "latin-nine"`, table.Loading{Format: table.Format{Encoding: "latin-nine"}}},
		{
			"a column that is not there", "id,name\n1,x\n", "crm.csv:1: the file of columns names \"NAME\"",
			loading(table.Columns{Of: map[string]string{"NAME": "fullName"}}),
		},
		{"a key that is not there", "id,name\n1,x\n", "crm.csv:1: the file of columns names \"NO\" as key", loading(table.Columns{Key: "NO"})},
		{"open quotes everywhere", "id,name\n" + strings.Repeat("1,\"x\"y\n", 1_002), "this is one of more than 1000 rows that cannot be read", loading(table.Columns{})},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := table.Survey("crm.csv", opened(c.text), c.how)
			var found event.Diagnostics
			if !errors.As(err, &found) || !strings.Contains(found.Error(), c.want) || found[0].Hint == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

// The message of a row is the same whenever the file is read, and whatever stands beside its columns that is left out.
func TestRowsAreDeterministic(t *testing.T) {
	a := "id,first name,e-mail,owner\n1,Ana,a@example.com,kim\n2,Bo,b@example.com,kim\n"
	b := "owner,id,first name,e-mail\nlee,2,Bo,b@example.com\nlee,1,Ana,a@example.com\n"
	say := func(text string) map[string]string {
		out := map[string]string{}
		err := survey(t, text, loading(table.Columns{})).Each(strings.NewReader(text), func(e table.Entry) error {
			out[string(e.Message.Key)] = fmt.Sprint(string(e.Message.Value), e.Change.Version)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if d := cmp.Diff(say(a), say(b)); d != "" {
		t.Error(d)
	}
}

// Whatever the bytes are, every row that holds anything is either taken or told, in the order of the file.
func FuzzSurvey(f *testing.F) {
	f.Add("id,first name\n1,Ana\n2,\"Bo\"b\n3,\"x\n")
	f.Add("id;name;updated\r\n1;Ana;2026-01-02 10:00\r\n;;\r\n")
	f.Add("\xff\xfei\x00d\x00,\x00n\x00\n\x001\x00,\x002\x00")
	f.Add("id,name\r1,\x00\r2,\xf6\r")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := table.Survey("crm.csv", opened(text), loading(table.Columns{}))
		var found event.Diagnostics
		if err != nil {
			if !errors.As(err, &found) {
				t.Fatal(err)
			}
			return
		}
		rows, last := int64(0), 0
		err = s.Each(strings.NewReader(text), func(e table.Entry) error {
			rows++
			if e.Line < last || (e.Fault == nil) == (e.Message == nil) || e.Fault != nil && (e.Fault.Text == "" || e.Fault.Line < 1) {
				t.Errorf("line %d after %d: %+v", e.Line, last, e)
			}
			last = e.Line
			return nil
		})
		if err != nil || rows != s.Rows {
			t.Errorf("%d rows, then %d: %v", s.Rows, rows, err)
		}
	})
}

func BenchmarkEach(b *testing.B) {
	var text strings.Builder
	text.WriteString("Contact ID;First Name;Last Name;E-Mail;Mobile Phone;Date of Birth;Billing Street;Billing Zip;Billing City;Newsletter;Last Modified\n")
	for i := range 1_000 {
		fmt.Fprintf(&text, "C-%d;Ana;Silva;u%d@example.com;+41791234567;03.02.1980;Seeweg 4;2502;Biel;yes;2026-03-01 09:15\n", i, i)
	}
	s := survey(b, text.String(), loading(table.Columns{}))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Each(strings.NewReader(text.String()), func(table.Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
