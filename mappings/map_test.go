package mappings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings"
)

func compile(t testing.TB, mapping string, more ...string) *mappings.Mapping {
	t.Helper()
	m, found := mappings.Load(folder(mapping, more...), "acme")
	if len(found) > 0 {
		t.Fatal(found)
	}
	return m
}

// said writes what changes state, one line a statement and interaction.
func said(changes []customer.Change) (out []string) {
	for _, c := range changes {
		line := string(c.Op) + " " + c.Key
		if len(c.Others) > 0 {
			line += " <- " + strings.Join(c.Others, ",")
		}
		if c.Version.Source.Kind != "" {
			line += " @" + c.Version.Source.Scope + ":" + c.Version.Source.Value
		}
		if c.Part != "" {
			line += " in " + c.Part
		}
		out = append(out, line)
		for _, st := range c.Party {
			line := "  " + st.Path.String() + " " + st.State.String() + " " + st.Value.Text
			if st.Value.Parts != nil {
				b, _ := st.Value.MarshalJSON()
				line += string(b)
			}
			if st.Verified {
				line += " verified"
			}
			out = append(out, strings.TrimRight(line, " "))
		}
		for _, in := range c.Interactions {
			line := "  " + in.Key
			if !in.Amount.IsZero() {
				line += " " + in.Amount.String()
			}
			for _, p := range in.Parties {
				line += " " + p.Role + "=" + p.Key
			}
			out = append(out, line)
		}
	}
	return out
}

func refused(err error) (out []string) {
	for _, r := range adapters.RefusalsOf(err) {
		line := r.Outcome.String() + " " + r.Err.Reason
		if r.Part != "" {
			line += " in " + r.Part
		}
		out = append(out, line+" "+r.Err.Path)
	}
	return out
}

// TestMap: one small mapping each, what a message comes to, and what is refused of it.
func TestMap(t *testing.T) {
	one := func(lines ...string) string { return event1(append([]string{"op: upsert", "key: id"}, lines...)...) }
	field := func(source string) string { return one("party: {note: " + source + "}") }
	cases := map[string]struct {
		mapping, value string
		want           []string
	}{
		"absent": {field("n"), `{"id":"1"}`, []string{"upsert 1"}},
		"null":   {field("n"), `{"id":"1","n":null}`, []string{"upsert 1", "  note cleared"}},
		"empty":  {field("n"), `{"id":"1","n":""}`, []string{"upsert 1", "  note cleared"}},
		"blank":  {field("{from: n, then: [trim]}"), `{"id":"1","n":"  "}`, []string{"upsert 1", "  note cleared"}},
		"set":    {field("n"), `{"id":"1","n":" x "}`, []string{"upsert 1", "  note set  x"}},
		"unknown, redacted, cleared": {
			"unknown: [__unavailable]\nredacted: ['***']\ncleared: ['0']\n" +
				one("party: {note: n, tier: t, status: s, email: e}"),
			`{"id":"1","n":"__unavailable","t":"***","s":"0","e":"00"}`,
			[]string{"upsert 1", "  note unknown", "  tier redacted", "  status cleared", "  email set 00"},
		},
		"numbers keep every digit":   {field("n"), `{"id":12345678901234567890123,"n":1.50}`, []string{"upsert 12345678901234567890123", "  note set 1.50"}},
		"null on the way":            {field("a.b.c"), `{"id":"1","a":{"b":null}}`, []string{"upsert 1", "  note cleared"}},
		"absent on the way":          {field("a.b.c"), `{"id":"1","a":{}}`, []string{"upsert 1"}},
		"a text on the way":          {field("a.b"), `{"id":"1","a":"x"}`, []string{"dead validation a"}},
		"an object for a text":       {field("a"), `{"id":"1","a":{"b":"x"}}`, []string{"dead validation a"}},
		"a list for a text":          {field("a"), `{"id":"1","a":["x"]}`, []string{"dead validation a"}},
		"a missing key":              {field("a"), `{"a":"x"}`, []string{"dead validation id"}},
		"a null key":                 {field("a"), `{"id":null}`, []string{"dead validation id"}},
		"an empty key":               {field("a"), `{"id":""}`, []string{"dead validation id"}},
		"a key of several":           {event1("op: patch", "key: [shop, till, no]"), `{"shop":"a/b","till":"1","no":7}`, []string{"patch a%2Fb/1/7"}},
		"a key of several, one gone": {event1("op: patch", "key: [shop, no]"), `{"shop":"a"}`, []string{"dead validation shop"}},
		"NUL":                        {field("n"), `{"id":"1","n":"a\u0000b"}`, []string{"dead validation n"}},
		"16 KiB":                     {field("n"), `{"id":"1","n":"` + strings.Repeat("x", 16384) + `"}`, []string{"upsert 1", "  note set " + strings.Repeat("x", 16384)}},
		"over 16 KiB":                {field("n"), `{"id":"1","n":"` + strings.Repeat("x", 16385) + `"}`, []string{"dead validation n"}},
		"first_of":                   {field("{first_of: [a, b, c]}"), `{"id":"1","a":null,"b":"","c":"x"}`, []string{"upsert 1", "  note set x"}},
		"first_of, none":             {field("{first_of: [a, b]}"), `{"id":"1","b":null}`, []string{"upsert 1", "  note cleared"}},
		"const":                      {field("{const: x}"), `{"id":"1"}`, []string{"upsert 1", "  note set x"}},
		"enum":                       {field("{from: n, enum: {A: a, true: yes, B: ~}}"), `{"id":"1","n":true}`, []string{"upsert 1", "  note set yes"}},
		"enum, no statement":         {field("{from: n, enum: {B: ~}}"), `{"id":"1","n":"B"}`, []string{"upsert 1"}},
		"enum, else":                 {field("{from: n, enum: {B: b}, else: x}"), `{"id":"1","n":"C"}`, []string{"upsert 1", "  note set x"}},
		"enum, not in it":            {field("{from: n, enum: {B: b}}"), `{"id":"1","n":"C"}`, []string{"dead validation n"}},
		"switch":                     {field("{switch: k, A: a, else: {const: z}}"), `{"id":"1","k":"A","a":"x"}`, []string{"upsert 1", "  note set x"}},
		"switch, else":               {field("{switch: k, A: a, else: {const: z}}"), `{"id":"1"}`, []string{"upsert 1", "  note set z"}},
		"by position":                {field(`"a[1].b"`), `{"id":"1","a":[{"b":"x"},{"b":"y"}]}`, []string{"upsert 1", "  note set y"}},
		"by condition":               {field(`'a[k.m == "2" and not off].b'`), `{"id":"1","a":[{"b":"x","k":{"m":2},"off":true},{"b":"y","k":{"m":2}}]}`, []string{"upsert 1", "  note set y"}},
		"join":                       {field(`{from: a, then: ['join(", ")']}`), `{"id":"1","a":["x","y"]}`, []string{"upsert 1", "  note set x, y"}},
		"sum":                        {field(`{from: 'a[k == "r"].n', then: [sum]}`), `{"id":"1","a":[{"k":"r","n":0.1},{"k":"s","n":9},{"k":"r","n":"0.2"}]}`, []string{"upsert 1", "  note set 0.3"}},
		"split":                      {one(`party: {tag: {from: t, then: ['split(",")', lower]}}`), `{"id":"1","t":"A, b,,A"}`, []string{"upsert 1", "  tag[a] set a", "  tag[b] set b"}},
		"elements":                   {one("party: {tag: {each: ts, id: i, from: t}}"), `{"id":"1","ts":[{"i":"a[b]","t":"x"},{"i":2,"t":"y"}]}`, []string{"upsert 1", "  tag[a(b)] set x", "  tag[2] set y"}},
		"texts as elements":          {one("party: {tag: {each: ts, id: ., from: .}}"), `{"id":"1","ts":["a","b"]}`, []string{"upsert 1", "  tag[a] set a", "  tag[b] set b"}},
		"two of one id":              {one("party: {tag: {each: ts, id: i, from: t}}"), `{"id":"1","ts":[{"i":1,"t":"x"},{"i":1,"t":"y"}]}`, []string{"dead validation ts[1].t"}},
		"an element without id":      {one("party: {tag: {each: ts, id: i, from: t}}"), `{"id":"1","ts":[{"t":"x"}]}`, []string{"dead validation ts[0].i"}},
		"parts": {
			one("party: {address: {map: {postalCode: zip, addressLocality: city, purpose: {const: home}}}}"), `{"id":"1","zip":"X1","city":null}`,
			[]string{"upsert 1", `  address set {"postalCode":"X1","purpose":"home"}`},
		},
		"parts, none":       {one("party: {address: {map: {postalCode: zip, addressLocality: city}}}"), `{"id":"1","city":null}`, []string{"upsert 1", "  address cleared"}},
		"parts, all absent": {one("party: {address: {map: {postalCode: zip}}}"), `{"id":"1"}`, []string{"upsert 1"}},
		"custom":            {one("party: {custom: {drink: d, size: s}}"), `{"id":"1","d":"tea"}`, []string{"upsert 1", "  custom[drink] set tea"}},
		"clear":             {one("party: {tag: [{id: t, clear: true}]}"), `{"id":"1","t":"a"}`, []string{"upsert 1", "  tag[a] cleared"}},
		"verified":          {one("party: {email: {from: e, verified: v}}"), `{"id":"1","e":"a@b.c","v":true}`, []string{"upsert 1", "  email set a@b.c verified"}},
		"verified, wrong":   {one("party: {email: {from: e, verified: v}}"), `{"id":"1","e":"a@b.c","v":"often"}`, []string{"dead validation v"}},
		"party by switch": {
			one("party: {switch: side, L: {givenName: l}, R: {givenName: r}}"), `{"id":"1","side":"R","l":"x","r":"y"}`,
			[]string{"upsert 1", "  givenName set y"},
		},
		"fields": {
			one("fields: {each: ps, name: n, value: v, map: {mail: email, tel: {to: phone, then: [digits]}}}"),
			`{"id":"1","ps":[{"n":"mail","v":"a@b.c"},{"n":"tel","v":"+1 2"},{"n":"other","v":"x"},{"v":"y"}]}`,
			[]string{"upsert 1", "  email set a@b.c", "  phone set 12"},
		},
		"identifiers": {
			one("identifiers: [{type: crmId, value: a}, {type: crmId, value: b, issuer: {const: x}, strength: S4, verified: true}, {type: taxId, each: ts, id: k, value: n}]"),
			`{"id":"1","tenant":"t","a":"A","b":"B","ts":[{"k":"de","n":"9"}]}`,
			[]string{
				"upsert 1", `  identifier[crmId] set {"issuer":"t","strength":"S2","type":"crmId","value":"A"}`,
				`  identifier[crmId:2] set {"issuer":"x","strength":"S4","type":"crmId","value":"B"} verified`,
				`  identifier[taxId:de] set {"issuer":"t","strength":"S2","type":"taxId","value":"9"}`,
			},
		},
		"consents": {
			event1("op: consent", "key: id", "consents: [{channel: sms, purpose: news, state: {from: s, enum: {y: granted}}, collectedAt: at}]"), `{"id":"1","s":"y","at":"2026"}`,
			[]string{"consent 1", `  consent[sms/news] set {"channel":"sms","collectedAt":"2026","purpose":"news","state":"granted"}`},
		},
		"a consent unsaid":      {event1("op: consent", "key: id", "consents: [{channel: sms, purpose: news, state: s, collectedAt: at}]"), `{"id":"1","at":"2026"}`, []string{"consent 1"}},
		"a consent of no state": {event1("op: consent", "key: id", "consents: [{channel: sms, purpose: news, state: s}]"), `{"id":"1","s":"yes"}`, []string{"dead validation s"}},
		"merge": {
			event1("op: merge", `merge: {survivor: {from: a, then: ['after("/C/")']}, losers: ["l[]"]}`), `{"a":"gid://C/1","l":["2","1","3"]}`,
			[]string{"merge 1 <- 2,3"},
		},
		"merge of nobody":  {event1("op: merge", `merge: {survivor: a, losers: ["l[]"]}`), `{"a":"1","l":["1"]}`, []string{"dead validation l"}},
		"rekey":            {event1("op: rekey", "rekey: {from: old, to: new}"), `{"old":"1","new":"2"}`, []string{"rekey 2 <- 1"}},
		"version of time":  {one("version: {time: at, scope: s}"), `{"id":"1","at":"2026-03-01T09:15:22+02:00"}`, []string{"upsert 1 @s:2026-03-01T07:15:22.000000000Z"}},
		"version of zone":  {"zone: Europe/Zurich\n" + one("version: {time: at}"), `{"id":"1","at":"2026-03-01 09:15:22"}`, []string{"upsert 1 @:2026-03-01T08:15:22.000000000Z"}},
		"version, counted": {one("version: {sequence: v}"), `{"id":"1","v":18446744073709551616}`, []string{"upsert 1 @:18446744073709551616"}},
		"version, none":    {one("version: {sequence: v}"), `{"id":"1"}`, []string{"dead validation v"}},
		"version, wrong":   {one("version: {sequence: v}"), `{"id":"1","v":-1}`, []string{"dead validation v"}},
		"no event":         {event1(`when: type == "a"`, "op: upsert", "key: id"), `{"type":"b"}`, []string{"ignored no-event"}},
		"ignored":          {event1(`when: type == "a"`, "ignore: not-ours"), `{"type":"a"}`, []string{"ignored not-ours"}},
		"skip":             {one("skip: {mode: [test]}"), `{"id":"1","mode":"test"}`, []string{"ignored mode-test"}},
		"skip by expr":     {one("skip: [{when: 'mode != \"live\"', reason: not-live}]"), `{"id":"1","mode":"test"}`, []string{"ignored not-live"}},
		"root":             {event1("root: {first_of: [a.b, c]}", "op: patch", "key: id", "party: {note: $.n}"), `{"c":{"id":"1"},"n":"x"}`, []string{"patch 1", "  note set x"}},
		"no root":          {event1("root: a.b", "op: patch", "key: id"), `{"c":{"id":"1"}}`, []string{"dead validation a.b"}},
		"interactions": {
			one("interactions: [{type: order, key: [id, n], amount: {minor: cents, currency: cur}, parties: [{role: customer, ref: {key: id}}, {role: recipient, ref: {type: email, value: to}}]}]"),
			`{"id":"1","n":"7","cents":1250,"cur":"kwd","to":"a@b.c"}`,
			[]string{"upsert 1", "  order:1/7 1.250 KWD customer=1 recipient=ref:email:a@b.c", "patch ref:email:a@b.c", "  email set a@b.c"},
		},
		"an own interaction":  {one("interactions: [{type: visit, key: v}]"), `{"id":"1","v":"9"}`, []string{"upsert 1", "  visit:9 customer=1"}},
		"a minor fraction":    {one("interactions: [{type: order, key: id, amount: {minor: c, currency: {const: EUR}}}]"), `{"id":"1","c":1.5}`, []string{"dead validation c"}},
		"an unknown currency": {one("interactions: [{type: order, key: id, amount: {value: c, currency: k}}]"), `{"id":"1","c":1.5,"k":"Taler"}`, []string{"dead validation k"}},
		"no currency":         {one("interactions: [{type: order, key: id, amount: {value: c, currency: k}}]"), `{"id":"1","c":1.5}`, []string{"dead validation k"}},
		"no amount":           {one("interactions: [{type: order, key: id, amount: {value: c, currency: k}}]"), `{"id":"1","k":"EUR"}`, []string{"upsert 1", "  order:1 customer=1"}},
		"each with parents": {
			event1(`each: {x: "as[].bs[].xs[]", else: "as[].bs[]"}`, "op: patch", "key: [as.id, bs.id, {first_of: [x.id, {const: none}]}]", "party: {note: $.n}"),
			`{"n":"N","as":[{"id":"a","bs":[{"id":"b","xs":[{"id":"1"},{"id":"2"}]},{"id":"c"}]},{"id":"d","bs":[{"id":"e","xs":[]}]},{"id":"f"}]}`,
			[]string{
				"patch a/b/1 in as[0].bs[0].xs[0]", "  note set N", "patch a/b/2 in as[0].bs[0].xs[1]", "  note set N",
				"patch a/c/none in as[0].bs[1]", "  note set N", "patch d/e/none in as[1].bs[0]", "  note set N",
			},
		},
		"one of many fails": {
			event1(`each: {x: "xs[]"}`, "op: patch", "key: x.id", "party: {note: x.n}"), `{"xs":[{"id":"1"},{"n":"x"},"text",{"id":"4","n":[1]},{"id":"5"}]}`,
			[]string{
				"patch 1 in xs[0]", "patch 5 in xs[4]", "dead validation in xs[1] xs[1].id", "dead validation in xs[2] xs[2]", "dead validation in xs[3] xs[3].n",
			},
		},
		"index":       {event1(`each: {x: "xs[]"}`, "op: patch", "key: x.#index"), `{"xs":[{},{}]}`, []string{"patch 0 in xs[0]", "patch 1 in xs[1]"}},
		"let":         {event1("let: {p: {switch: side, L: a.left, R: {first_of: [a.r, a.right]}}}", "op: patch", "key: p.id"), `{"side":"R","a":{"right":{"id":"7"}}}`, []string{"patch 7"}},
		"two changes": {event1("changes: [{name: a, op: patch, key: id}, {name: b, when: 'exists(other)', op: patch, key: other}]"), `{"id":"1","other":"2"}`, []string{"patch 1 in a", "patch 2 in b"}},
		"one of two changes fails": {
			event1("changes: [{name: a, op: patch, key: id}, {name: b, op: patch, key: other}]"), `{"id":"1"}`, []string{"patch 1 in a", "dead validation in b other"},
		},
		"JSON in a text": {field("{from: j, then: [parse_json, 'get(\"a[0].b\")']}"), `{"id":"1","j":"{\"a\":[{\"b\":12345678901234567890}]}"}`, []string{"upsert 1", "  note set 12345678901234567890"}},
		"bad JSON in it": {field("{from: j, then: [parse_json, 'get(\"a\")']}"), `{"id":"1","j":"{"}`, []string{"dead validation j"}},
		"text of a tree": {field("{from: j, then: [text]}"), `{"id":"1","j":{"a":[1.0,"é",null,true,{}]}}`, []string{"upsert 1", `  note set {"a":[1.0,"é",null,true,{}]}`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := compile(t, c.mapping)
			changes, err := m.Map(t.Context(), &event.Message{Value: []byte(c.value)})
			got := append(said(changes), refused(err)...)
			for i := range got {
				got[i] = strings.TrimRight(got[i], " ")
			}
			equal(t, "what it says", c.want, got)
		})
	}
}

// TestFunctions: each function on a text.
func TestFunctions(t *testing.T) {
	cases := []struct{ then, in, want string }{
		{"trim", "\" a \"", "a"},
		{"lower", `"ÄB"`, "äb"},
		{"upper", `"äé"`, "ÄÉ"},
		{"title", `"ANNA-MARIA o'neil"`, "Anna-Maria O'neil"},
		{"digits", `"+41 (0)79"`, "41079"},
		{"squash", `" a \t b "`, "a b"},
		{"hash", `"a"`, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
		{`'before("@")'`, `"a@b@c"`, "a"},
		{`'after("@")'`, `"a@b@c"`, "b@c"},
		{`'after("#")'`, `"a"`, ""},
		{`'prefix("x:")'`, `"a"`, "x:a"},
		{`'suffix("!")'`, `"a"`, "a!"},
		{`['split(";")', first]`, `"a; b"`, "a"},
		{`['split(";")', last]`, `"a; b"`, "b"},
		{`['split(";")', count]`, `"a; b"`, "2"},
		{`['split(";")', 'join("\n")']`, `"a; b"`, "a\nb"},
		{`['split(";")', sum]`, `"1.10;2e1"`, "21.10"},
		{`['split(";")', sum]`, `"1;x"`, "!"},
		{"dec", `" 1e3 "`, "1000"},
		{"dec", `"1,5"`, "!"},
		{"dec", `"NaN"`, "!"},
		{"dec", `"1e999"`, "!"},
		{`'date("02.01.2006")'`, `"29.02.2024"`, "2024-02-29"},
		{`'date("02.01.2006")'`, `"30.02.2024"`, "!"},
		{`'date("2006-01-02 15:04", "Europe/Zurich")'`, `"2026-07-01 12:00"`, "2026-07-01T12:00:00+02:00"},
		{"partial_date", `"0000-02-29"`, "--02-29"},
		{"partial_date", `"1980-00-00"`, "1980"},
		{"partial_date", `"1980-05"`, "1980-05"},
		{"partial_date", `"1980-05-06T00:00:00Z"`, "1980-05-06"},
		{"partial_date", `"1980-13-01"`, "!"},
		{"partial_date", `"0000"`, "!"},
		{`'epoch("s")'`, "0", "1970-01-01T00:00:00Z"},
		{`'epoch("ms")'`, "1772356522123", "2026-03-01T09:15:22.123Z"},
		{`'epoch("ms")'`, "-1", "1969-12-31T23:59:59.999Z"},
		{`'epoch("d")'`, "20513", "2026-03-01"},
		{`'epoch("d")'`, "99999999999", "!"},
		{`'epoch("us")'`, "9223372036854775807", "!"},
		{`'epoch("s")'`, "1.5", "!"},
		{"e164", `"+41 79 123 45 67"`, "+41791234567"},
		{"e164", `"079 123 45 67"`, "+41791234567"},
		{`e164(c)`, `"020 7946 0018"`, "+442079460018"},
		{"e164", `"12"`, "12"},
		{"e164", `" call me "`, "call me"},
		{"country", `"UK"`, "GB"},
		{"country", `"deu"`, "DE"},
		{"country", `"Switzerland"`, "CH"},
		{"country", `"Atlantis"`, "Atlantis"},
		{`'lookup("t.yaml")'`, `"a"`, "alpha"},
		{`'lookup("t.yaml")'`, `"z"`, "!"},
		{`'lookup("t.yaml", "other")'`, `"z"`, "other"},
	}
	for _, c := range cases {
		then := c.then
		if !strings.HasPrefix(then, "[") {
			then = "[" + then + "]"
		}
		m := compile(t, "region: CH\n"+event1("op: patch", "key: id", "party: {note: {from: n, then: "+then+"}}"), "t.yaml", "a: alpha\nb: beta\n")
		changes, err := m.Map(t.Context(), &event.Message{Value: []byte(`{"id":"1","c":"gb","n":` + c.in + `}`)})
		got := "!"
		if err == nil {
			got = ""
			if len(changes[0].Party) > 0 {
				got = changes[0].Party[0].Value.Text
			}
		} else if rs := adapters.RefusalsOf(err); len(rs) != 1 || rs[0].Err.Reason != "validation" || rs[0].Err.Path != "n" {
			t.Errorf("%s of %s: %v", c.then, c.in, err)
		}
		if got != c.want {
			t.Errorf("%s of %s: %q, want %q (%v)", c.then, c.in, got, c.want, err)
		}
	}
}

// TestExpressions: what an expression gives; "" is nothing, "!" an error.
func TestExpressions(t *testing.T) {
	const value = `{"id":"1","a":"x","n":9007199254740993,"p":"0.1","q":"0.2","t":true,"f":false,"o":{"k":"v"},"l":[{"k":"w"}],"e":null}`
	cases := map[string]string{
		`a`: "x", `o.k`: "v", `o?.k`: "v", `none.of.it`: "", `e`: "", `path("l[0].k")`: "w", `header("X-A")`: "h", `header("X-B")`: "", `key("k")`: "kk",
		`a == "x"`: "true", `a != "x"`: "false", `a == b`: "false", `b == nil`: "true", `e == nil`: "true", `a == nil`: "false", `nil != a`: "true",
		`t`: "true", `t == true`: "true", `t && a == "x"`: "true", `f || a == "y"`: "false", `not f`: "true", `!b`: "true", `b and t`: "false",
		`a in ["w", "x"]`: "true", `b in ["w", "x"]`: "false", `a not in ["w"]`: "true", `a contains "x"`: "true", `b contains "x"`: "false",
		`a startsWith "x"`: "true", `a endsWith "y"`: "false", `a matches "^[xy]$"`: "true", `header("X-V") >= "2025-01"`: "true", `b >= "2025"`: "false",
		`a < "y"`: "true", `a > "y"`: "false", `a <= "x"`: "true", `dec(p) + dec(q) == dec("0.3")`: "true", `dec(n) + dec("1")`: "9007199254740994",
		`dec(p) * dec(q)`: "0.02", `dec(p) - dec(q)`: "-0.1", `dec(b) >= dec("0")`: "false", `dec(n) > dec("9007199254740992")`: "true",
		`t ? a : o.k`: "x", `f ? a : nil`: "", `b ?? a`: "x", `a ?? b`: "x", `a + "-" + o.k`: "x-v", `a + b`: "x", `upper(a)`: "X", `a | upper()`: "X",
		`after(a, "x") == ""`: "true", `exists(o)`: "true", `exists(e)`: "false", `exists(path("l[0].z"))`: "false", `dec(a)`: "!", `a && t`: "!", `a ? t : f`: "!",
		`o`: "!", `a.b`: "!",
	}
	for expr, want := range cases {
		m := compile(t, event1("op: patch", "key: id", "party:", "  note:", "    expr: |", "      "+expr))
		msg := &event.Message{
			Key: []byte(`{"k":"kk"}`), Value: []byte(value),
			Headers: []event.Header{{Key: "x-a", Value: []byte("h")}, {Key: "X-V", Value: []byte("2025-10")}},
		}
		changes, err := m.Map(t.Context(), msg)
		got := "!"
		if err == nil {
			got = ""
			if len(changes[0].Party) > 0 {
				got = changes[0].Party[0].Value.Text
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", expr, got, want, err)
		}
	}
}

// TestXML: elements by local name, attributes, repetition, text beside elements.
func TestXML(t *testing.T) {
	mapping := strings.Replace(head, "decode: json", "decode: xml", 1) + `events:
  - name: one
    when: path("#name") == "Order"
    each: {line: "Line[Sale and not @Void]"}
    op: patch
    key: [Id, line.No]
    party: {note: {from: line.Text, then: ['join("|")']}, tier: line.Amt/@Ccy, status: 'Ref[@type == "b"]', givenName: Empty, familyName: Nobody}
`
	const value = `<o:Order xmlns:o="urn:x"><Id>7</Id><Ref type="a">A</Ref><o:Ref type="b">B</o:Ref><Empty/>` +
		`<Line><Sale/><No>1</No><Text>x</Text><Text>y</Text><Amt Ccy="EUR">1</Amt></Line><Line Void="true"><Sale/><No>2</No></Line><Line><No>3</No></Line></o:Order>`
	changes, err := compile(t, mapping).Map(t.Context(), &event.Message{Value: []byte(value)})
	equal(t, "what it says", []string{"patch 7/1 in Line[0]", "  note set x|y", "  tier set EUR", "  status set B", "  givenName cleared"}, append(said(changes), refused(err)...))
}

// TestNull: a Kafka null is left out, or deletes whom the message's key names.
func TestNull(t *testing.T) {
	for _, c := range []struct {
		onNull, key string
		want        []string
	}{
		{"", `{"id":"1"}`, []string{"ignored tombstone "}},
		{"on_null: ignore\n", `{"id":"1"}`, []string{"ignored tombstone "}},
		{"on_null: {delete: 'key(\"id\")'}\n", `{"id":12345678901234567890}`, []string{"delete 12345678901234567890"}},
		{"on_null: {delete: key()}\n", "C-7", []string{"delete C-7"}},
		{"on_null: {delete: 'key(\"id\")'}\n", `{"no":"1"}`, []string{"dead validation id"}},
		{"on_null: {delete: 'key(\"id\")'}\n", `C-7`, []string{"dead decode key"}},
	} {
		changes, err := compile(t, c.onNull+plainMapping).Map(t.Context(), &event.Message{Key: []byte(c.key)})
		equal(t, c.onNull+c.key, c.want, append(said(changes), refused(err)...))
	}
	changes, err := compile(t, plainMapping).Map(t.Context(), &event.Message{Value: []byte{}})
	if len(changes) > 0 || event.ClassOf(err) != event.Poison {
		t.Errorf("an empty value is no null: %v %v", changes, err)
	}
}

// TestSteps: lists of lists cannot ask for more than the limit (invariant 10).
func TestSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: two million steps take half a minute under the race detector, which learns nothing from them")
	}
	mapping := event1(`each: {x: "xs[]"}`, "op: patch", "key: x", "party: {custom: {each: $.xs, id: x, from: x}}")
	value := `{"xs":["` + strings.Repeat(`a","`, 1600) + `a"]}`
	changes, err := compile(t, mapping).Map(t.Context(), &event.Message{Value: []byte(value)})
	refused := adapters.RefusalsOf(err)
	if len(refused) != 1 || refused[0].Err.Reason != "too_large" || len(changes) > 0 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	// What is given up as a whole half way names the parties that were read until then: an erasure must find its dead letter.
	if r := refused[0]; r.Part != "" || r.Outcome != event.Dead || !slices.Equal(r.Keys, []string{"a"}) {
		t.Errorf("it is refused as %+v", r)
	}
}

// TestTry: a trial says which expression gave what.
func TestTry(t *testing.T) {
	mapping := event1("op: upsert", "key: id", "party:", "  email: {from: c.mail, then: [lower]}", "  note: n",
		"interactions: [{type: order, key: no, title: n}]")
	trial, err := mappings.Try(t.Context(), compile(t, mapping), &event.Message{Value: []byte(`{"id":"1","no":7,"c":{"mail":"A@B.C"},"n":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := []mappings.Trace{
		{Change: 0, Path: "party.email", State: "set", Expression: "{from: c.mail, then: [lower]}", Line: 11, Input: "c.mail"},
		{Change: 0, Path: "party.note", State: "set", Expression: "n", Line: 12, Input: "n"},
		{Change: 0, Path: "interactions.order:7.key", State: "set", Expression: "no", Line: 13, Input: "no"},
		{Change: 0, Path: "interactions.order:7.title", State: "set", Expression: "n", Line: 13, Input: "n"},
	}
	equal(t, "trace", want, trial.Trace)
	equal(t, "event", "one", trial.Event)
	trial, err = mappings.Try(t.Context(), compile(t, mapping), &event.Message{Value: []byte(`{"no":7}`)})
	if err != nil || len(trial.Refusals) != 1 || trial.Refusals[0].Path != "id" {
		t.Errorf("%+v, %v", trial, err)
	}
}

// A part that fails says which parties it would have been about, as far as it was read: an erasure of one finds what is kept of it.
func TestRefusalsNameTheirParties(t *testing.T) {
	mapping := compile(t, event1("op: upsert", "key: id", "party: {note: n}",
		"interactions: [{type: order, key: no, parties: [{role: customer, ref: {key: id}}, {role: payer, ref: {key: by}}], title: t}]"))
	for value, want := range map[string][]string{
		`{"id":"1","n":["x"]}`:                 {"1"},
		`{"id":"1","no":7,"by":"2","t":["x"]}`: {"1"},
		`{"id":"1","by":"2"}`:                  {"1"},
		`{"n":"x"}`:                            nil,
	} {
		_, err := mapping.Map(t.Context(), &event.Message{Value: []byte(value)})
		refused := adapters.RefusalsOf(err)
		if len(refused) != 1 {
			t.Fatalf("%s: %v", value, err)
		}
		slices.Sort(refused[0].Keys)
		if got := slices.Compact(refused[0].Keys); !slices.Equal(got, want) {
			t.Errorf("%s names %v, want %v", value, got, want)
		}
	}
}

// TestRunCases: a difference names the expression and the path it read.
func TestRunCases(t *testing.T) {
	fsys := folder(event1("op: upsert", "key: id", "party: {email: c.mail}"),
		"cases/good.txtar", "fine\n-- value --\n{\"id\":\"1\"}\n-- changes.json --\n[{\"key\":\"1\",\"op\":\"upsert\"}]\n",
		"cases/wrong.txtar", "-- value --\n{\"id\":\"1\",\"c\":{\"mail\":\"a\"}}\n-- changes.json --\n[{\"key\":\"1\",\"op\":\"upsert\",\"party\":[{\"path\":\"email\",\"state\":\"set\",\"value\":\"b\"}]}]\n",
		"cases/unread.txtar", "-- value --\n{}\n")
	m, found := mappings.Load(fsys, "acme")
	if len(found) > 0 {
		t.Fatal(found)
	}
	results := mappings.RunCases(t.Context(), m, fsys, "acme")
	if len(results) != 3 || len(results[0].Differences) != 0 || results[0].About != "fine" || len(results[1].Differences) != 1 || len(results[2].Differences) != 1 {
		t.Fatalf("%+v", results)
	}
	equal(t, "difference", "changes[0].party.email.value: want \"b\", got \"a\"\n\tacme/mapping.yaml:10: c.mail, reading c.mail", results[2].Differences[0].String())
}

// FuzzMap: whatever bytes come, each shipped mapping ends in changes, or in an error of a class.
func FuzzMap(f *testing.F) {
	var all []*mappings.Mapping
	for _, dir := range systems() {
		all = append(all, load(f, dir))
		cases, err := adapters.ReadCases(mappings.Shipped(), dir+"/cases")
		if err != nil {
			f.Fatal(err)
		}
		for _, c := range cases {
			topic, _ := c.Message.Header("X-Shopify-Topic")
			f.Add(c.Message.Value, topic)
		}
	}
	f.Fuzz(func(t *testing.T, value []byte, topic string) {
		msg := &event.Message{Value: value, Headers: []event.Header{
			{Key: "X-Shopify-Topic", Value: []byte(topic)},
			{Key: "X-Shopify-Shop-Domain", Value: []byte("s")},
			{Key: "X-Shopify-Triggered-At", Value: []byte("2026-03-01T09:15:22Z")},
		}}
		for _, m := range all {
			changes, err := m.Map(t.Context(), msg)
			if err != nil && adapters.RefusalsOf(err) == nil {
				t.Fatalf("an error of no class: %v", err)
			}
			if err == nil && len(changes) == 0 {
				t.Fatal("neither a change nor a reason")
			}
			if _, refused := customer.Seal(changes, msg, 1); len(refused) > 0 && len(value) < 10_000 {
				for _, r := range refused {
					if r.Err.Reason != "validation" {
						t.Fatalf("%+v", r)
					}
				}
			}
		}
	})
}
