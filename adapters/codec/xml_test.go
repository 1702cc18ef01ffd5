package codec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters/codec"
)

func TestXMLTree(t *testing.T) {
	const in = "\ufeff" + `<?xml version="1.0" encoding="utf-8"?>
<!-- a statement -->
<d:Document xmlns:d="urn:iso:std:camt.054" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="t" name="n">
  <d:Ntry><d:Amt Ccy="CHF">12.50</d:Amt><d:Nm> J&amp;B &#x41;<![CDATA[<&]]> </d:Nm></d:Ntry>
  <d:Ntry><d:Empty/></d:Ntry>
  <Sup xmlns="urn:x"><y/>mixed<y/> text</Sup>
</d:Document>
<?after all?>
`
	n, err := codec.XML([]byte(in), codec.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	want := `{#name:str("Document") @xmlns:str("urn:iso:std:camt.054") @type:str("t") @name:str("n") ` +
		`Ntry:{Amt:{@Ccy:str("CHF") "12.50"} Nm:{"J&B A<&"}} Ntry:{Empty:{}} ` +
		`Sup:{@xmlns:str("urn:x") y:{} y:{} "mixed text"}}`
	if diff := cmp.Diff(want, render(n)); diff != "" {
		t.Error(diff)
	}
	if got := n.Member("Ntry").Member("Amt").Text(); got != "12.50" {
		t.Errorf("Member of a repeated element is not the first: %q", got)
	}
	if got := len(n.All("Ntry")); got != 2 {
		t.Errorf("All finds %d elements, want 2", got)
	}
}

func TestXMLCharsets(t *testing.T) {
	cases := map[string]struct{ label, body, want string }{
		"UTF-8":                   {"UTF-8", "Müller", "Müller"},
		"utf-8":                   {"utf-8", "Müller", "Müller"},
		"ISO-8859-1":              {"ISO-8859-1", "M\xfcller", "Müller"},
		"windows-1252":            {"Windows-1252", "M\xfcller \x80", "Müller €"},
		"no blank of XML is kept": {"UTF-8", " \n\u00a0x\u00a0\t", "\u00a0x\u00a0"},
	}
	for name, tc := range cases {
		n, err := codec.XML([]byte(`<?xml version="1.0" encoding="`+tc.label+`"?><a>`+tc.body+`</a>`), codec.DefaultLimits)
		if err != nil || n.Text() != tc.want {
			t.Errorf("%s: got %q, %v, want %q", name, n.Text(), err, tc.want)
		}
	}
}

func TestXMLRefuses(t *testing.T) {
	const secret = "Ana.Lima"
	const bomb = `<!DOCTYPE a [<!ENTITY x "Ana.Lima"><!ENTITY y "&x;&x;&x;&x;">]>`
	cases := map[string]struct{ in, path, says string }{
		"nothing":                 {"", "", "no element"},
		"a comment only":          {"<!-- Ana.Lima -->", "", "no element"},
		"text only":               {"Ana.Lima", "", "outside"},
		"text after":              {"<a/>Ana.Lima", "", "outside"},
		"two roots":               {"<a/><b>Ana.Lima</b>", "", "second root"},
		"two documents":           {`<?xml version="1.0"?><a/><?xml version="1.0"?><a/>`, "", "declaration"},
		"cut off in a tag":        {"<a><b", "", "cut off"},
		"cut off in a text":       {"<a><b>Ana.Lima", "b", "cut off"},
		"an entity bomb":          {bomb + "<a>&y;</a>", "", "entity"},
		"a doctype":               {`<!DOCTYPE Ana.Lima><a/>`, "", "entity"},
		"an external entity":      {`<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, "", "entity"},
		"a doctype in the middle": {`<a><!DOCTYPE a [<!ENTITY x "y">]></a>`, "", "entity"},
		"an undeclared entity":    {`<a><b>&Ana.Lima;</b></a>`, "b", "entity"},
		"a bare ampersand":        {`<a>Ana.Lima & Co</a>`, "", "entity"},
		"the wrong end":           {`<a><b>Ana.Lima</c></a>`, "b", "another one's end"},
		"an end too many":         {`<a></a></a>`, "", "end tag"},
		"an attribute twice":      {`<a><b c="Ana.Lima" c="x"/></a>`, "b", "twice"},
		"an attribute unquoted":   {`<a b=Ana.Lima/>`, "", "not well-formed"},
		"invalid UTF-8":           {"<a>Ana.Lima\xff</a>", "", "UTF-8"},
		"invalid UTF-8 in names":  {"<a\xff>Ana.Lima</a>", "", "UTF-8"},
		"NUL":                     {"<a>Ana.Lima\x00</a>", "", "NUL"},
		"an escaped NUL":          {"<a>Ana.Lima&#0;</a>", "", "NUL"},
		"UTF-16":                  {"\xff\xfe<\x00a\x00/\x00>\x00", "", "UTF-16"},
		"an unknown encoding":     {`<?xml version="1.0" encoding="Ana.Lima"?><a/>`, "", "encoding"},
		"XML 1.1":                 {`<?xml version="1.1"?><a/>`, "", "version"},
		"JSON":                    {`{"a":"Ana.Lima"}`, "", "outside"},
		"a name of a person":      {`<a><Ana.Lima>&x;</Ana.Lima></a>`, "*", "entity"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := codec.XML([]byte(tc.in), codec.DefaultLimits)
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

func TestXMLLimits(t *testing.T) {
	lim := codec.Limits{Bytes: 100, Depth: 3, Nodes: 4}
	cases := []struct {
		name, in string
		ok       bool
	}{
		{"bytes at the limit", "<a>" + strings.Repeat("x", 93) + "</a>", true},
		{"bytes over", "<a>" + strings.Repeat("x", 94) + "</a>", false},
		{"depth at the limit", "<a><b><c/></b></a>", true},
		{"depth over", "<a><b><c><d/></c></b></a>", false},
		{"nodes at the limit", `<a b="1"><c/><d/></a>`, true},
		{"nodes over", `<a b="1" e="2"><c/><d/></a>`, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := codec.XML([]byte(tc.in), lim)
			if tc.ok && err != nil {
				t.Error(err)
			}
			if !tc.ok {
				wantPoison(t, err, "too_large")
			}
		})
	}
}

func hostileXML() map[string][]byte {
	return map[string][]byte{
		"100,000 levels":      []byte(strings.Repeat("<a>", 100_000)),
		"a million elements":  []byte("<a>" + strings.Repeat("<b/>", 1_000_001) + "</a>"),
		"many attributes":     []byte("<a" + strings.Repeat(` b="1"`, 100_000) + "/>"),
		"other attributes":    []byte("<a " + attributes(100_000) + "/>"),
		"an entity bomb":      []byte(`<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><a>&y;</a>`),
		"a long comment":      []byte("<!--" + strings.Repeat("x", 1<<20)),
		"a long doctype":      []byte("<!DOCTYPE" + strings.Repeat(" <", 1<<20)),
		"a charset in itself": []byte(strings.Repeat(`<?xml version="1.0" encoding="latin1"?>`, 1000)),
		"NUL":                 []byte("<a>\x00</a>"),
		"invalid UTF-8":       []byte("<a b='\xff'/>"),
		"truncated":           []byte("<Document><Ntry><Amt Ccy="),
		"latin1":              []byte(`<?xml version="1.0" encoding="ISO-8859-1"?><a b="` + "\xfc" + `">x</a>`),
		"namespaces":          []byte(`<x:a xmlns:x="y" xmlns="z"><b x:c="1" c="2"/></x:a>`),
	}
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `a%d="1" `, i)
	}
	return b.String()
}

func TestXMLHostile(t *testing.T) {
	for name, in := range hostileXML() {
		t.Run(name, func(t *testing.T) {
			if _, err := codec.XML(in, codec.DefaultLimits); err != nil {
				wantPoison(t, err, "")
			}
		})
	}
}

func FuzzXML(f *testing.F) {
	for _, in := range hostileXML() {
		f.Add(in[:min(len(in), 4096)])
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n, err := codec.XML(in, codec.DefaultLimits)
		if err != nil {
			wantPoison(t, err, "")
			return
		}
		walk(t, n)
	})
}
