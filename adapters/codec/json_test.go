package codec_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/event"
)

func TestJSONKeepsNumbersAsWritten(t *testing.T) {
	for _, literal := range []string{
		"0", "-0", "0.10", "9007199254740993", "12345678901234567890123456789", "1e400", "-1.50E+03",
		"0.1000000000000000055511151231257827",
	} {
		n, err := codec.JSON([]byte(`{"id":`+literal+`}`), codec.DefaultLimits)
		if err != nil {
			t.Errorf("%s: %v", literal, err)
			continue
		}
		if got := n.Member("id"); got.Kind() != codec.Number || got.Text() != literal {
			t.Errorf("%s was read as %s %s", literal, got.Kind(), got.Text())
		}
	}
}

func TestJSONTree(t *testing.T) {
	const in = "\ufeff" + ` {"a":null,"b":[1,"x\u0041\ud83d\ude00",true,[],{}],"c":{"d":{"e":"nul:\u0000"}},"f":false,"":"unnamed"} `
	n, err := codec.JSON([]byte(in), codec.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	want := `{a:null b:[num(1) str("xA😀") true [] {}] c:{d:{e:str("nul:\x00")}} f:false :str("unnamed")}`
	if diff := cmp.Diff(want, render(n)); diff != "" {
		t.Error(diff)
	}
	checks := map[string]bool{
		"a null member is there":      n.Member("a") != nil && n.Member("a").Kind() == codec.Null,
		"an absent member is nil":     n.Member("z") == nil && n.Member("z").Kind() == codec.Absent,
		"a path through nothing":      n.Member("z").Member("y").Text() == "",
		"All of an array is items":    len(n.All("b")) == 5,
		"All of a value is the value": len(n.All("f")) == 1,
		"All of null is nothing":      len(n.All("a")) == 0,
		"Items of a value":            len(n.Member("f").Items()) == 1,
		"Items of nil":                len(n.Member("z").Items()) == 0,
		"a member of an array is nil": n.Member("b").Member("d") == nil,
		"Len counts members":          n.Len() == 5,
	}
	for what, holds := range checks {
		if !holds {
			t.Errorf("does not hold: %s", what)
		}
	}
}

func TestJSONDoesNotTouchTheMessage(t *testing.T) {
	in := []byte("\ufeff{\"a\":\"b\\n\",\"c\":[1,2]}")
	before := bytes.Clone(in)
	n, err := codec.JSON(in, codec.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(in, before) {
		t.Error("the message was written to")
	}
	want := render(n)
	clear(in)
	if render(n) != want {
		t.Error("the tree changes with the message's bytes")
	}
}

func TestJSONRefuses(t *testing.T) {
	const secret = "Ana.Lima"
	cases := map[string]struct{ in, path, says string }{
		"nothing":                  {"", "", "empty"},
		"blanks":                   {" \n ", "", "empty"},
		"cut off in a string":      {`{"name":"Ana.Lima`, "name", "cut off"},
		"cut off after a value":    {`{"name":"Ana.Lima"`, "", "cut off"},
		"cut off in an array":      {`{"names":["Ana.Lima",`, "", "cut off"},
		"two values":               {`{"name":"Ana.Lima"} {}`, "", "more follows"},
		"garbage after":            {`{"name":"Ana.Lima"}Ana.Lima`, "", "not valid JSON"},
		"a name twice":             {`{"a":{"name":"Ana.Lima","name":"x"}}`, "a.name", "twice"},
		"a name twice by escape":   {`{"name":"Ana.Lima","n\u0061me":"x"}`, "name", "twice"},
		"a twice key that is mail": {`{"Ana.Lima@example.com":1,"Ana.Lima@example.com":2}`, "*", "twice"},
		"a card number as key":     {`{"a":{"4111111111111111":1,"4111111111111111":2}}`, "a.*", "twice"},
		"invalid UTF-8":            {"{\"a\":[\"x\",\"Ana.Lima\xff\"]}", "a[1]", "UTF-8"},
		"overlong UTF-8":           {"{\"a\":\"Ana.Lima\xc0\xaf\"}", "a", "UTF-8"},
		"encoded surrogate":        {"{\"a\":\"Ana.Lima\xed\xa0\x80\"}", "a", "UTF-8"},
		"Latin-1":                  {"{\"a\":\"Ana.Lima M\xfcller\"}", "a", "UTF-8"},
		"UTF-16":                   {"\xff\xfe{\x00}\x00", "", "UTF-16"},
		"a lone high surrogate":    {`{"a":"Ana.Lima\ud83d"}`, "a", "surrogate"},
		"a lone low surrogate":     {`{"a":"Ana.Lima\ude00x"}`, "a", "surrogate"},
		"an unknown escape":        {`{"a":"Ana.Lima\x41"}`, "a", "escape"},
		"a raw NUL in a string":    {"{\"a\":\"Ana.Lima\x00\"}", "a", "not valid JSON"},
		"NUL for a value":          {"\x00", "", "not valid JSON"},
		"a raw line end":           {"{\"a\":\"Ana.Lima\n\"}", "a", "not valid JSON"},
		"NaN":                      {`{"a":NaN}`, "a", "not valid JSON"},
		"a leading zero":           {`{"a":01}`, "", "not valid JSON"},
		"a plus sign":              {`{"a":+1}`, "a", "not valid JSON"},
		"a bare point":             {`{"a":1.}`, "a", "not valid JSON"},
		"a trailing comma":         {`{"a":[1,]}`, "", "not valid JSON"},
		"a comment":                {`{"a":1 /* Ana.Lima */}`, "", "not valid JSON"},
		"single quotes":            {`{'Ana.Lima':1}`, "", "not valid JSON"},
		"a number as a name":       {`{1:2}`, "", "double quotes"},
		"an HTML page":             {`<html>Ana.Lima</html>`, "", "not valid JSON"},
		"closed by the wrong one":  {`{"a":[1}`, "", "not valid JSON"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := codec.JSON([]byte(tc.in), codec.DefaultLimits)
			e := wantPoison(t, err, "decode")
			if tc.path != "" && e.Path != tc.path {
				t.Errorf("path is %q, want %q: %v", e.Path, tc.path, err)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q quotes the message", err)
			}
		})
	}
}

func TestJSONPlacesErrors(t *testing.T) {
	_, err := codec.JSON([]byte("\ufeff{\n \"a\": 1,\n \"b\": x}"), codec.DefaultLimits)
	if want := "b: byte 20, line 3: not valid JSON"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestJSONLimits(t *testing.T) {
	lim := codec.Limits{Bytes: 100, Depth: 3, Nodes: 5}
	cases := []struct {
		name, in string
		ok       bool
	}{
		{"bytes at the limit", `"` + strings.Repeat("a", 98) + `"`, true},
		{"bytes over", `"` + strings.Repeat("a", 99) + `"`, false},
		{"depth at the limit", `[[[1]]]`, true},
		{"depth over", `[[[[1]]]]`, false},
		{"depth over in objects", `{"a":{"a":{"a":{"a":1}}}}`, false},
		{"nodes at the limit", `[1,2,3,4]`, true},
		{"nodes over", `[1,2,3,4,5]`, false},
		{"nodes over in members", `{"a":1,"b":2,"c":3,"d":4,"e":5}`, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := codec.JSON([]byte(tc.in), lim)
			if tc.ok && err != nil {
				t.Error(err)
			}
			if !tc.ok {
				wantPoison(t, err, "too_large")
			}
		})
	}
}

func TestJSONHostile(t *testing.T) {
	for name, in := range hostileJSON() {
		t.Run(name, func(t *testing.T) {
			if _, err := codec.JSON(in, codec.DefaultLimits); err != nil {
				wantPoison(t, err, "")
			}
		})
	}
	_, err := codec.JSON([]byte(strings.Repeat("[", 100_000)), codec.DefaultLimits)
	wantPoison(t, err, "too_large")
	_, err = codec.JSON([]byte(strings.Repeat(" ", codec.DefaultLimits.Bytes)+"1"), codec.DefaultLimits)
	wantPoison(t, err, "too_large")
	n, err := codec.JSON([]byte(`{"a":"`+strings.Repeat("x", 10<<20)+`"}`), codec.DefaultLimits)
	if err != nil || len(n.Member("a").Text()) != 10<<20 {
		t.Errorf("a message of 10 MB within the limit: %v", err)
	}
}

func hostileJSON() map[string][]byte {
	return map[string][]byte{
		"100,000 brackets":  []byte(strings.Repeat("[", 100_000)),
		"100,000 objects":   []byte(strings.Repeat(`{"a":`, 100_000)),
		"closed brackets":   []byte(strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)),
		"a million members": []byte("[" + strings.Repeat("0,", 999_998) + "0]"),
		"a long number":     []byte(strings.Repeat("9", 1_000_000)),
		"a long exponent":   []byte("1e" + strings.Repeat("9", 1_000_000)),
		"many backslashes":  []byte(`"` + strings.Repeat(`\\`, 1_000_000) + `"`),
		"NUL":               []byte("{\"a\":\"\x00\"}"),
		"escaped NUL":       []byte(`{"a":"\u0000"}`),
		"invalid UTF-8":     []byte("{\"\xff\":1}"),
		"truncated":         []byte(`{"id":900719925474`),
		"only a BOM":        []byte("\ufeff"),
		"two BOMs":          []byte("\ufeff\ufeff{}"),
	}
}

func FuzzJSON(f *testing.F) {
	for _, in := range hostileJSON() {
		f.Add(in[:min(len(in), 4096)])
	}
	f.Add([]byte(order))
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		n, err := codec.JSON(in, codec.DefaultLimits)
		if !bytes.Equal(in, before) {
			t.Fatal("the message was written to")
		}
		if err != nil {
			wantPoison(t, err, "")
			return
		}
		walk(t, n)
	})
}

// walk checks what holds of every tree.
func walk(t *testing.T, n *codec.Node) {
	t.Helper()
	if !utf8.ValidString(n.Text()) {
		t.Fatal("a text is not UTF-8")
	}
	if n.Kind() == codec.Absent {
		t.Fatal("an absent node in a tree")
	}
	for _, kid := range n.Members() {
		walk(t, kid)
	}
	if n.Kind() == codec.Array {
		for _, kid := range n.Items() {
			walk(t, kid)
		}
	}
}

func wantPoison(t *testing.T, err error, reason string) *event.Error {
	t.Helper()
	var e *event.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *event.Error", err)
	}
	if e.Class != event.Poison || reason != "" && e.Reason != reason {
		t.Fatalf("got %s/%s, want poison/%s: %v", e.Class, e.Reason, reason, err)
	}
	if !utf8.ValidString(err.Error()) || len(err.Error()) > 5000 {
		t.Fatalf("the error's text is not fit for a person: %q", err)
	}
	return e
}

// render writes a tree for comparison.
func render(n *codec.Node) string {
	var b strings.Builder
	switch n.Kind() {
	case codec.Number:
		b.WriteString("num(" + n.Text() + ")")
	case codec.String:
		b.WriteString("str(" + quote(n.Text()) + ")")
	case codec.Bool:
		b.WriteString(n.Text())
	case codec.Array:
		var items []string
		for _, item := range n.Items() {
			items = append(items, render(item))
		}
		b.WriteString("[" + strings.Join(items, " ") + "]")
	case codec.Object:
		var members []string
		for name, member := range n.Members() {
			members = append(members, name+":"+render(member))
		}
		if n.Text() != "" {
			members = append(members, quote(n.Text()))
		}
		b.WriteString("{" + strings.Join(members, " ") + "}")
	default:
		b.WriteString(n.Kind().String())
	}
	return b.String()
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, "\x00", `\x00`) + `"` }
