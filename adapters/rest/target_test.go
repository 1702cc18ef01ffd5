package rest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// loaded compiles a target file of a few lines, written with fields and requests of its own.
func loaded(t testing.TB, text string) *rest.File {
	t.Helper()
	f, err := rest.Load("t.yaml", []byte("onefold: target/v1\nsystem: acme\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const plainRequests = `
requests:
  upsert: {method: PUT, path: '/people/{customer}', body: '{body}', answer: {id: id}}
  remove: {method: DELETE, path: '/people/{customer}'}
`

// calls is a transport that notes what is asked and answers as it is told.
type calls struct {
	mu     sync.Mutex
	asked  []string
	header []http.Header
	answer func(n int, r *http.Request) (status int, header, body string)
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.String()+" "+string(body))
	c.header = append(c.header, r.Header)
	n := len(c.asked)
	c.mu.Unlock()
	status, header, text := 200, "Content-Type: application/json", `{"id": "1"}`
	if c.answer != nil {
		status, header, text = c.answer(n, r)
	}
	h := http.Header{}
	for _, line := range strings.Split(header, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			h.Set(name, value)
		}
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text)), Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

func upsert(n byte) adapters.Delivery {
	return adapters.Delivery{
		ID: fmt.Sprintf("d%d", n), Op: adapters.Upsert, Customer: customer.CustomerID{n}, Version: 1, Body: []byte(`{"a":1}`),
	}
}

func push(t testing.TB, target *rest.Target, ds ...adapters.Delivery) []adapters.Receipt {
	t.Helper()
	receipts, err := target.Push(t.Context(), ds)
	if err != nil {
		t.Fatal(err)
	}
	return receipts
}

func TestRender(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	attribute := func(path, text string, verified bool, day int, parts ...string) customer.Attribute {
		p, err := customer.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		v := customer.Text(text)
		if len(parts) > 0 {
			v.Parts = map[string]string{}
			for i := 0; i < len(parts); i += 2 {
				v.Parts[parts[i]] = parts[i+1]
			}
		}
		return customer.Attribute{Path: p, Claim: customer.Claim{Value: v, Verified: verified, At: at(day)}}
	}
	c := &customer.Customer{Status: customer.Active, Attributes: []customer.Attribute{
		attribute("address[a]", "", false, 9, "streetAddress", "Alpha 1", "addressLocality", "Aarau"),
		attribute("address[b]", "", false, 1, "streetAddress", "Beta 2", "postalCode", "01204", "primary", "true"),
		attribute("birthDate", "1980-02-29", false, 1),
		attribute("custom[points]", "9007199254740993", false, 1),
		attribute("custom[vip]", "true", false, 1),
		attribute("deathDate", "--02-29", false, 1),
		attribute("email[a]", " Ana@Example.com ", false, 9),
		attribute("email[b]", "b@example.com", true, 1),
		attribute("familyName", "de Souza", false, 1),
		attribute("givenName", "Ana", false, 1),
		attribute("identifier[1]", "", false, 1, "type", "loyaltyNumber", "value", "0042"),
		attribute("identifier[2]", "", false, 1, "type", "iban", "value", "CH93"),
		attribute("tag[x]", "Red", false, 1),
		attribute("tag[y]", "blue", false, 1),
		attribute("tier", "gold", false, 1),
	}}
	for field, want := range map[string]string{
		"givenName":                                                   `{"f":"Ana"}`,
		"jobTitle":                                                    `{"f":null}`,
		"{from: jobTitle, empty: text}":                               `{"f":""}`,
		"{from: jobTitle, empty: omit}":                               `{}`,
		"{from: jobTitle, else: none}":                                `{"f":"none"}`,
		"{const: fixed}":                                              `{"f":"fixed"}`,
		"{first_of: [jobTitle, givenName]}":                           `{"f":"Ana"}`,
		"{join: [givenName, jobTitle, familyName]}":                   `{"f":"Ana de Souza"}`,
		"{join: [familyName, givenName], with: ', '}":                 `{"f":"de Souza, Ana"}`,
		"{from: email, then: [trim, lower]}":                          `{"f":"b@example.com"}`,
		"{from: email, pick: first, then: [trim, upper]}":             `{"f":"ANA@EXAMPLE.COM"}`,
		"{from: email, pick: recent, then: [trim]}":                   `{"f":"Ana@Example.com"}`,
		"{from: 'email[a]', then: [trim, lower]}":                     `{"f":"ana@example.com"}`,
		"address.streetAddress":                                       `{"f":"Beta 2"}`,
		"address.addressLocality":                                     `{"f":null}`, // no street is put together with another's town
		"{from: address.addressLocality, pick: recent}":               `{"f":"Aarau"}`,
		"'address[a].streetAddress'":                                  `{"f":"Alpha 1"}`,
		"{from: identifier.value, where: {type: iban}}":               `{"f":"CH93"}`,
		"{from: identifier.value, where: {type: vatId}}":              `{"f":null}`,
		"{from: birthDate, date: 02.01.2006}":                         `{"f":"29.02.1980"}`,
		"{from: deathDate, date: 02.01.2006}":                         `{"f":null}`,
		"{from: tier, enum: {gold: A, silver: B}}":                    `{"f":"A"}`,
		"{from: givenName, enum: {gold: A}, else: C}":                 `{"f":"C"}`,
		"{from: 'custom[points]', as: number}":                        `{"f":9007199254740993}`,
		"{from: address.postalCode, as: number}":                      `{"f":null}`, // no JSON number begins with 0
		"{from: 'custom[vip]', as: boolean}":                          `{"f":true}`,
		"{from: tier, as: boolean}":                                   `{"f":null}`,
		"{list: tag}":                                                 `{"f":["Red","blue"]}`,
		"{list: tag, then: [lower]}":                                  `{"f":["red","blue"]}`,
		"{list: consent.channel}":                                     `{"f":[]}`,
		"{list: consent.channel, empty: omit}":                        `{}`,
		"{object: {b: familyName, a: givenName}}":                     `{"f":{"a":"Ana","b":"de Souza"}}`,
		"{object: {a: {from: jobTitle, empty: omit}, b: {const: x}}}": `{"f":{"b":"x"}}`,
	} {
		r, err := loaded(t, "fields: {f: "+field+"}"+plainRequests).Render(c)
		if err != nil || string(r.Body) != want {
			t.Errorf("%s: %s, %v; want %s", field, r.Body, err, want)
		}
	}
	for said, field := range map[string]string{
		"[email[b]]": "email", "[]": "{from: tier, enum: {silver: B}, else: C}", "[familyName givenName]": "{join: [givenName, familyName]}",
		"[tag[x] tag[y]]": "{list: tag}", "[identifier[2]]": "{from: identifier.value, where: {type: iban}}",
	} {
		r, err := loaded(t, "fields: {f: "+field+"}"+plainRequests).Render(c)
		if err != nil || fmt.Sprint(r.Said) != said {
			t.Errorf("%s: said %v, %v; want %s", field, r.Said, err, said)
		}
	}
	for needs, want := range map[string]bool{"[tier]": true, "[jobTitle]": false, "[[jobTitle, tier]]": true, "[tier, jobTitle]": false, "[address.postalCode]": true} {
		r, err := loaded(t, "needs: "+needs+"\nfields: {f: tier}"+plainRequests).Render(c)
		if err != nil || (r != nil) != want {
			t.Errorf("needs %s: %v, %v", needs, r, err)
		}
	}
}

func TestBrokenFiles(t *testing.T) {
	const head = "onefold: target/v1\nsystem: acme\n"
	upsertOf := func(request string) string {
		return head + "fields: {f: tier}\nrequests:\n  remove: {method: DELETE, path: '/a/{customer}'}\n  upsert: " + request + "\n"
	}
	field := func(f string) string { return head + "fields:\n  f: " + f + plainRequests }
	for text, want := range map[string]string{
		"":                                       "t.yaml:1:1: one YAML document is expected",
		"a: [":                                   "not valid YAML",
		"[]":                                     "t.yaml:1:1: keys and values are expected here, this is a list",
		"a: &x 1":                                "anchors, aliases and tags are not understood in a target",
		head + "fields: {f: tier}\nfields: {}\n": "t.yaml:4:1: fields: this key stands on line 3 already",
		"onefold: target/v2\nsystem: acme":       "a target begins with its format (write onefold: target/v1)",
		"onefold: target/v1\nsystem: A B":        "the system has no name",
		head + "field: {f: tier}":                "t.yaml:3:1: field: there is no such key here (did you mean fields?)",
		head + "fields: {}" + plainRequests:      "t.yaml:3:9: fields: the fields of the target are expected here",
		head + "fields: {f: tier}":               "the target has no requests",
		field("givenNam"):                        `t.yaml:4:6: fields.f: the canonical model has no field "givenNam" (did you mean givenName?; what is none of them is custom[name])`,
		field("address"):                         "fields.f: this field has parts: one text cannot hold them (write address. and one of streetAddress",
		field("address.street"):                  `fields.f: address has no part "street"`,
		field("givenName.first"):                 "fields.f: this field has no parts (write givenName)",
		field("givenName[x]"):                    "fields.f: this field is no list",
		field("'email[x'"):                       "fields.f: this is not a path",
		field("{from: tier, form: x}"):           "t.yaml:4:19: fields.f.form: there is no such key here (did you mean from?)",
		field("{from: tier, const: x}"):          "fields.f.const: a field comes from one place",
		field("{else: x}"):                       "fields.f: nothing says where this field comes from",
		field("{from: tier, then: [lowr]}"):      `fields.f.then[0]: "lowr" is not known here (did you mean lower?)`,
		field("{from: tier, pick: first}"):       "fields.f.pick: tier is no list",
		field("{from: email, pick: best}"):       `fields.f.pick: "best" is not known here`,
		field("{from: tier, date: abc}"):         "fields.f.date: this layout has no part of a date",
		field("{from: tier, enum: x}"):           "fields.f.enum: a table is expected here",
		field("{from: tier, as: decimal}"):       `fields.f.as: "decimal" is not known here`,
		field("{from: consent.state, where: {chanel: email}}"):                                                                                             `fields.f.where.chanel: consent has no part "chanel" (did you mean channel?)`,
		upsertOf("{path: '/a', body: '{body}'}"):                                                                                                           "requests.upsert: the request has no method (add method: POST",
		upsertOf("{method: GET, path: '/a', body: '{body}'}"):                                                                                              `requests.upsert.method: "GET" is not known here`,
		upsertOf("{method: PUT, path: 'a', body: '{body}'}"):                                                                                               "requests.upsert.path: a path begins with a slash",
		upsertOf("{method: PUT, path: '/a/../b', body: '{body}'}"):                                                                                         "requests.upsert.path: a path does not climb",
		upsertOf("{method: PUT, path: '/a?b=c', body: '{body}'}"):                                                                                          "requests.upsert.path: a path has no ?, #",
		upsertOf("{method: PUT, path: '/a/{customr}', body: '{body}'}"):                                                                                    "t.yaml:6:32: requests.upsert.path: there is no placeholder {customr} here (did you mean customer?)",
		upsertOf("{method: PUT, path: '/a/{remoteId}', body: '{body}'}"):                                                                                   "requests.upsert.path: there is no placeholder {remoteId} here",
		upsertOf("{method: PUT, path: '/a/{body}', body: '{body}'}"):                                                                                       "requests.upsert.path: there is no placeholder {body} here",
		upsertOf("{method: PUT, path: '/a/{', body: '{body}'}"):                                                                                            "requests.upsert.path: a brace stands here alone",
		upsertOf("{method: PUT, path: '/a'}"):                                                                                                              "requests.upsert: this request does not carry the customer's fields (add body: '{body}')",
		upsertOf("{method: PUT, path: '/a', body: {a: 1}}"):                                                                                                "requests.upsert.body: this request does not carry the customer's fields",
		upsertOf("{method: PUT, path: '/a', body: {a: {body}}}"):                                                                                           "YAML takes {body} for keys and values (put it in quotes: '{body}')",
		upsertOf("{method: PUT, path: '/a', body: {f: 1, <<: '{body}'}}"):                                                                                  "requests.upsert.body.f: this is a field as well: the object would have it twice",
		upsertOf("{method: PUT, path: '/a', body: {a: 1, <<: '{customer}', b: '{body}'}}"):                                                                 "only the customer's fields can be taken in here",
		upsertOf("{method: PUT, path: '/a', body: 'x{body}'}"):                                                                                             "requests.upsert.body: there is no placeholder {body} here",
		upsertOf("{method: PUT, path: '/a', body: '{body}', headers: {Authorization: x}}"):                                                                 "requests.upsert.headers.Authorization: this header is not a target file's to set",
		upsertOf("{method: PUT, path: '/a', body: '{body}', headers: {'A B': x}}"):                                                                         "this is not a header's name",
		upsertOf("{method: PUT, path: '/a', body: '{body}', headers: {A: \"x\\r\\nB: y\"}}"):                                                               "requests.upsert.headers.A: a header has no control characters",
		upsertOf("{method: PUT, path: '/a', body: '{body}', status: {302: done}}"):                                                                         "requests.upsert.status.302: this is not an HTTP status of an answer",
		upsertOf("{method: PUT, path: '/a', body: '{body}', status: {409: retry}}"):                                                                        `requests.upsert.status.409: "retry" is not known here`,
		upsertOf("{method: PUT, path: '/a', body: '{body}', answer: {id: a..b}}"):                                                                          "requests.upsert.answer.id: this is not a place in an answer",
		upsertOf("{method: PUT, path: '/a', body: '{body}', answer: {codes: {A: done}}}"):                                                                  "nothing says where the codes are read from",
		head + "fields: {f: tier}\nrequests: {}":                                                                                                           "requests: no request writes a customer (add upsert or batch",
		head + "fields: {f: tier}\nrequests:\n  upsert: {method: PUT, path: /a, body: '{body}'}\n":                                                         "requests: no request removes a customer",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}\n  merge: {method: POST, path: '/m/{remoteId}'}"):                                              "requests.merge: this needs the target's own id, which is not known if the answer that told it was lost (add find:",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}\n  update: {method: PUT, path: '/u/{remoteId}', body: '{body}'}"):                              "requests.update: the target's own id, which this needs, is never told",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}\n  find: {method: GET, path: '/f/{customer}'}"):                                                "requests.find: this request does not say where the target's own id stands",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}\n  batch: {method: POST, path: /b, body: {a: '{body}'}, answer: {results: r}}"):                "requests.batch: the key most is missing",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}\n  batch: {method: POST, most: 5, path: /b, body: {a: '{body}'}, answer: {results: r}}"):       "requests.batch.body: the body of a batch has no list of customers",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}\n  batch: {method: POST, most: 5, path: /b, body: {each: '{body}'}}"):                          "requests.batch: a batch says where its results stand",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}\n  batch: {method: POST, most: 5000, path: /b, body: {each: '{body}'}, answer: {results: r}}"): "requests.batch.most: a whole number from 1 to 1000 is expected",
		upsertOf("{method: PUT, path: '/a', body: '{body}'}") + "quota: {remaining: X-Left}":                                                               "quota: a quota is told by two headers",
		head + "about: '" + strings.Repeat("x", rest.MaxFileBytes) + "'":                                                                                   "the file is larger than the limit of 262144 bytes",
		head + "about: " + strings.Repeat("[", 40) + strings.Repeat("]", 40):                                                                               "values or 24 levels, which is the limit",
	} {
		_, err := rest.Load("t.yaml", []byte(text))
		var ds event.Diagnostics
		if !errors.As(err, &ds) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s\n%v\nwant %s", text, err, want)
		}
		for _, d := range ds {
			if d.File != "t.yaml" || d.Line < 1 || d.Column < 1 {
				t.Errorf("a finding has no place: %+v", d)
			}
		}
	}
}

// What the target's own id can be called by a system that means harm: it stays in its segment, or is taken for none.
func TestHostileRemoteIDs(t *testing.T) {
	f := loaded(t, `
fields: {f: tier}
requests:
  upsert: {method: PUT, path: '/people/{customer}', query: {'a b': '{customer}&c'}, body: '{body}', answer: {id: id}}
  update: {method: PATCH, path: '/people/by-id/{remoteId}/x', query: {of: '{remoteId}'}, headers: {X-Of: '{delivery}'}, body: {id: '{remoteId}', of: '{body}'}}
  remove: {method: DELETE, path: '/people/{customer}'}
`)
	for id, want := range map[string]string{
		"../../admin":      "/api/people/by-id/%2E%2E%2F..%2Fadmin/x?of=..%2F..%2Fadmin",
		"..":               "/api/people/by-id/%2E%2E/x?of=..",
		".":                "/api/people/by-id/%2E/x?of=.",
		"a?b=c#d":          "/api/people/by-id/a%3Fb=c%23d/x?of=a%3Fb%3Dc%23d",
		"a b&c=%2e":        "/api/people/by-id/a%20b&c=%252e/x?of=a+b%26c%3D%252e",
		"{customer}":       "/api/people/by-id/%7Bcustomer%7D/x?of=%7Bcustomer%7D",
		`","admin":"1`:     "/api/people/by-id/%22%2C%22admin%22:%221/x?of=%22%2C%22admin%22%3A%221",
		"９007199254740993": "/api/people/by-id/%EF%BC%99007199254740993/x?of=%EF%BC%99007199254740993",
	} {
		c := &calls{}
		d := upsert(1)
		d.RemoteID = id
		push(t, target(t, rest.Config{File: f, URL: "https://crm.example/api/", Transport: c}), d)
		body, err := json.Marshal(map[string]any{"id": id, "of": map[string]int{"a": 1}})
		if err != nil {
			t.Fatal(err)
		}
		address, sent, _ := strings.Cut(strings.TrimPrefix(c.asked[0], "PATCH https://crm.example"), " ")
		var got, meant any
		if json.Unmarshal([]byte(sent), &got) != nil || json.Unmarshal(body, &meant) != nil || !cmp.Equal(got, meant) || address != want {
			t.Errorf("%q: asked %s; want %s", id, c.asked[0], want)
		}
	}
	for _, id := range []string{`"a\r\nX-Admin: 1"`, `"` + strings.Repeat("x", 257) + `"`, `{"a": 1}`, `[1]`, "true", "null"} {
		c := &calls{answer: func(int, *http.Request) (int, string, string) {
			return 200, "Content-Type: application/json", `{"id": ` + id + `}`
		}}
		if r := push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c}), upsert(1))[0]; r.RemoteID != "" || r.Problem != nil {
			t.Errorf("%.30s: taken for the id %q, %+v", id, r.RemoteID, r.Problem)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	f := loaded(t, `
fields: {f: tier}
requests:
  upsert: {method: PUT, path: '/p/{customer}', headers: {Idempotency-Key: '{delivery}'}, body: {<<: '{body}', version: 7, no: null, yes: true, text: '7 {{x}}'}, answer: {id: id}}
  update: {method: PUT, path: '/u/{remoteId}', headers: {idempotency-key: '{delivery}'}, body: '{body}'}
  remove: {method: DELETE, path: '/p/{customer}'}
`)
	c := &calls{answer: func(n int, _ *http.Request) (int, string, string) {
		return []int{0, 404, 200}[n], "Content-Type: application/json", `{"id": 18446744073709551617}`
	}}
	d := upsert(1)
	d.RemoteID = "7"
	r := push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c}), d)[0]
	if r.Problem != nil || r.RemoteID != "18446744073709551617" {
		t.Errorf("receipt %+v", r)
	}
	if got := c.header[0].Get("Idempotency-Key") + " " + c.header[1].Get("Idempotency-Key"); got != "d1 d1.upsert" {
		t.Errorf("keys %q: another request has another key, and the same the same", got)
	}
	want := `PUT https://crm.example/p/` + d.Customer.String() + ` {"no":null,"text":"7 {x}","version":7,"yes":true,"a":1}`
	if c.asked[1] != want {
		t.Errorf("asked %s\nwant %s", c.asked[1], want)
	}
}

// Who asks for patience is not asked again meanwhile, by no target of the account, and a quota that is used up is known beforehand.
func TestPatience(t *testing.T) {
	f := loaded(t, "fields: {f: tier}\nquota: {remaining: X-Left, reset: X-Reset}"+plainRequests)
	synctest.Test(t, func(t *testing.T) {
		account := rest.NewAccount(10, 2, time.Now)
		answers := []string{"X-Left: 3", "X-Left: 0\nX-Reset: 40", "Retry-After: 7", ""}
		statuses := []int{200, 200, 429, 200}
		c := &calls{answer: func(n int, _ *http.Request) (int, string, string) {
			return statuses[min(n, 4)-1], "Content-Type: application/json\n" + answers[min(n, 4)-1], `{"id": "1"}`
		}}
		one := target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c, Account: account})
		two := target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c, Account: account})
		expect := func(target *rest.Target, class event.Class, after time.Duration, asked int) {
			t.Helper()
			r := push(t, target, upsert(1))[0]
			if class == "" && r.Problem != nil || class != "" && (r.Problem == nil || r.Problem.Class != class || r.Problem.After != after) || len(c.asked) != asked {
				t.Errorf("problem %+v after %d requests, want %s %v after %d", r.Problem, len(c.asked), class, after, asked)
			}
		}
		expect(one, "", 0, 1)
		expect(two, "", 0, 2) // the last of the quota
		expect(one, event.Throttled, 40*time.Second, 2)
		time.Sleep(40 * time.Second)
		expect(one, event.Throttled, 7*time.Second, 3)
		time.Sleep(5 * time.Second)
		expect(two, event.Throttled, 2*time.Second, 3)
		time.Sleep(2 * time.Second)
		expect(two, "", 0, 4)

		started := time.Now() // the bucket is full: 2 at once, then 10 a second, of both targets together
		time.Sleep(time.Second)
		for range 11 {
			push(t, one, upsert(1))
			push(t, two, upsert(2))
		}
		if took := time.Since(started) - time.Second; took != 2*time.Second {
			t.Errorf("22 requests at 10 a second after 2 at once took %v", took)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "0": 0, "-1": 0, "1.5": 0, "soon": 0, "999999999999": rest.MaxPatience, "18446744073709551616": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sunday, 01-Mar-26 12:00:30 GMT": 30 * time.Second, "Sun Mar  1 12:00:30 2026": 30 * time.Second,
		"Sat, 28 Feb 2026 12:00:30 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": rest.MaxPatience,
	} {
		if got := rest.RetryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"", "7", "-1", "Sun, 01 Mar 2026 12:00:30 GMT", "99999999999999999999"} {
		f.Add(text, int64(0))
	}
	f.Fuzz(func(t *testing.T, text string, now int64) {
		if got := rest.RetryAfter(text, time.Unix(now%1e11, 0)); got < 0 || got > rest.MaxPatience {
			t.Errorf("%q: %v", text, got)
		}
	})
}

// A fault of the account's stops the rest: they would fare alike, and the system is not asked for nothing.
func TestStopsWhereAllWouldFail(t *testing.T) {
	f := loaded(t, "fields: {f: tier}"+plainRequests)
	for status, class := range map[int]event.Class{401: event.Auth, 429: event.Throttled} {
		c := &calls{answer: func(int, *http.Request) (int, string, string) { return status, "", "" }}
		ds := make([]adapters.Delivery, 50)
		for i := range ds {
			ds[i] = upsert(byte(i))
		}
		for i, r := range push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c, Parallel: 2}), ds...) {
			if r.Problem == nil || r.Problem.Class != class {
				t.Errorf("%d: delivery %d: %+v", status, i, r.Problem)
			}
		}
		if len(c.asked) > 4 {
			t.Errorf("%d: the system was asked %d times", status, len(c.asked))
		}
	}
	c := &calls{answer: func(n int, _ *http.Request) (int, string, string) { return []int{403, 500, 409, 200}[n%4], "", "" }}
	push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c, Parallel: 1}), upsert(1), upsert(2), upsert(3), upsert(4))
	if len(c.asked) != 4 {
		t.Errorf("what is wrong with one is not so with the next: %d of 4 were asked", len(c.asked))
	}
}

func TestAtMostSoManyAtOnce(t *testing.T) {
	var now, most atomic.Int64
	c := &calls{answer: func(int, *http.Request) (int, string, string) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		return 200, "Content-Type: application/json", "{}"
	}}
	ds := make([]adapters.Delivery, 60)
	for i := range ds {
		ds[i] = upsert(byte(i))
	}
	made := target(t, rest.Config{File: loaded(t, "fields: {f: tier}"+plainRequests), URL: "https://crm.example", Transport: c, Parallel: 3})
	if push(t, made, ds...); most.Load() > 3 {
		t.Errorf("%d requests at once, the limit is 3", most.Load())
	}
	if _, err := made.Push(t.Context(), make([]adapters.Delivery, rest.DefaultBatch+1)); event.ClassOf(err) != event.Permanent {
		t.Errorf("more deliveries than the target takes: %v", err)
	}
}

func TestStatusesThatAreDeclared(t *testing.T) {
	f := loaded(t, `
fields: {f: tier}
requests:
  upsert:
    method: PUT
    path: /p/{customer}
    body: '{body}'
    status: {409: retryable, 400: done, 200: permanent, 418: throttled}
    answer: {id: id, code: error.code, codes: {LOCKED: retryable, DUPLICATE: done}}
  remove: {method: DELETE, path: '/p/{customer}', status: {404: permanent}}
`)
	for _, c := range []struct {
		status int
		body   string
		class  event.Class
		text   string
	}{
		{409, "", event.Retryable, "HTTP 409 Conflict"},
		{400, "{}", "", ""},
		{200, "{}", event.Permanent, "HTTP 200"},
		{418, "", event.Throttled, "418"},
		{422, `{"error": {"code": "LOCKED"}}`, event.Retryable, "422 Unprocessable Entity LOCKED"},
		{422, `{"error": {"code": "Ana Miller"}}`, event.Permanent, "422"},
		{451, "", event.Permanent, "451"},
		{404, "", event.Permanent, "404"},
		{422, `{"error": {"code": "DUPLICATE"}}`, "", ""},
	} {
		calls := &calls{answer: func(int, *http.Request) (int, string, string) {
			return c.status, "Content-Type: application/problem+json", c.body
		}}
		r := push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: calls}), upsert(1))[0]
		switch {
		case c.class == "" && r.Problem != nil, c.class != "" && (r.Problem == nil || r.Problem.Class != c.class):
			t.Errorf("%d %s: %+v, want class %q", c.status, c.body, r.Problem, c.class)
		case r.Problem != nil && (!strings.Contains(r.Problem.Text, c.text) || strings.Contains(r.Problem.Text, "Miller")):
			t.Errorf("%d %s: %s", c.status, c.body, r.Problem.Text)
		}
	}
}

// Results without a key are in the order of the request; where there are more or fewer, none is anybody's.
func TestResultsWithoutAKey(t *testing.T) {
	f := loaded(t, `
fields: {f: tier}
requests:
  upsert: {method: PUT, path: '/p/{customer}', body: '{body}', answer: {id: id}}
  batch: {most: 10, method: POST, path: /b, body: {each: '{body}'}, answer: {results: ., id: id}}
  remove: {method: DELETE, path: '/p/{customer}'}
`)
	for body, want := range map[string]string{
		`[{"id": "1"}, {"id": "2"}]`: "1 2", `[{"id": "2"}]`: "p1 p2", `[{"id": "1"}, {"id": "2"}, {"id": "3"}]`: "p1 p2", `[]`: "p1 p2", "": "p1 p2",
	} {
		c := &calls{answer: func(_ int, r *http.Request) (int, string, string) {
			if r.URL.Path == "/b" {
				return 200, "Content-Type: application/json", body
			}
			id := map[string]string{upsert(1).Customer.String(): "p1", upsert(2).Customer.String(): "p2"}[strings.TrimPrefix(r.URL.Path, "/p/")]
			return 200, "Content-Type: application/json", `{"id": "` + id + `"}`
		}}
		rs := push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c}), upsert(1), upsert(2))
		if got := rs[0].RemoteID + " " + rs[1].RemoteID; got != want || rs[0].Problem != nil || rs[1].Problem != nil {
			t.Errorf("%s: ids %s, want %s", body, got, want)
		}
	}
}

// An entry that is already the one that stays is not removed for having become it.
func TestMergeIntoItself(t *testing.T) {
	f := shippedFile(t, "hubspot")
	c := &calls{answer: func(_ int, r *http.Request) (int, string, string) {
		if r.Method == http.MethodGet {
			return 200, "Content-Type: application/json", `{"id": "8"}` // what was merged is found as what it has become
		}
		return 404, "", ""
	}}
	for remote, requests := range map[string]int{"8": 0, "": 1, "7": 3} {
		c.asked = nil
		d := adapters.Delivery{ID: "m", Op: adapters.Merge, Customer: customer.CustomerID{1}, RemoteID: remote, Into: "8"}
		if r := push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c}), d)[0]; r.Problem != nil || len(c.asked) != requests {
			t.Errorf("remote id %q: %+v after %q", remote, r.Problem, c.asked)
		}
		for _, asked := range c.asked {
			if strings.HasPrefix(asked, "DELETE https://crm.example/crm/v3/objects/contacts/8") {
				t.Errorf("remote id %q: the entry that stays is removed", remote)
			}
		}
	}
}

// Some systems say in the answer what HTTP has a status for.
func TestAnswersThatSayOtherwise(t *testing.T) {
	f := loaded(t, `
fields: {f: tier}
requests:
  upsert: {method: PUT, path: '/p/{customer}', body: '{body}', answer: {id: id, status: ok, code: error, codes: {LOCKED: retryable}}}
  remove: {method: DELETE, path: '/p/{customer}', answer: {status: ok}}
`)
	for body, class := range map[string]event.Class{
		`{"ok": true, "id": "1"}`: "", `{"id": "1"}`: "", "": "", `{"ok": false}`: event.Permanent, `{"ok": 503}`: event.Retryable, `{"ok": 429}`: event.Throttled,
		`{"ok": 200}`: "", `{"ok": "no"}`: event.Permanent, `{"ok": false, "error": "LOCKED"}`: event.Retryable, `{"error": "LOCKED"}`: event.Retryable, `{"error": "Ana"}`: "",
	} {
		c := &calls{answer: func(int, *http.Request) (int, string, string) { return 200, "Content-Type: application/json", body }}
		r := push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c}), upsert(1))[0]
		if class == "" && r.Problem != nil || class != "" && (r.Problem == nil || r.Problem.Class != class || r.Problem.Text == "") {
			t.Errorf("%s: %+v, want class %q", body, r.Problem, class)
		}
	}
}

// One failure is bad luck, a row of them is a system that is down: the rest does not wait for a timeout each.
func TestStopsWhereTheSystemIsDown(t *testing.T) {
	f := loaded(t, "fields: {f: tier}"+plainRequests)
	ds := make([]adapters.Delivery, 90)
	for i := range ds {
		ds[i] = upsert(byte(i))
	}
	for name, want := range map[string][2]int{"down": {4, 6}, "every other": {90, 90}} {
		c := &calls{answer: func(n int, _ *http.Request) (int, string, string) {
			if name == "down" || n%2 == 0 {
				return 503, "", ""
			}
			return 200, "", ""
		}}
		for i, r := range push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c, Parallel: 2}), ds...) {
			if name == "down" && (r.Problem == nil || r.Problem.Class != event.Retryable) {
				t.Errorf("%s: delivery %d: %+v", name, i, r.Problem)
			}
		}
		if n := len(c.asked); n < want[0] || n > want[1] {
			t.Errorf("%s: %d requests, want %d to %d", name, n, want[0], want[1])
		}
	}
}

func TestLogins(t *testing.T) {
	f := loaded(t, "fields: {f: tier}"+plainRequests)
	for want, login := range map[string]rest.Login{
		"Bearer abc": {Bearer: "abc"}, "Basic dTpwOnA=": {User: "u", Password: "p:p"}, "key": {Header: "Authorization", Value: "key"},
	} {
		c := &calls{}
		push(t, target(t, rest.Config{File: f, URL: "https://crm.example", Transport: c, Login: login}), upsert(1))
		if got := c.header[0].Get("Authorization"); got != want {
			t.Errorf("Authorization: %s, want %s", got, want)
		}
	}
	made := target(t, rest.Config{File: f, URL: "https://crm.example", Transport: &calls{}, Login: rest.Login{
		Bearer: secret, User: secret, Password: secret, Header: secret, Value: secret, OAuth2: rest.OAuth2{ClientSecret: secret},
	}})
	text, err := json.Marshal(made.Config.Login)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprint(made), fmt.Sprintf("%+v", made), fmt.Sprintf("%#v", made.Config), fmt.Sprintf("%+v", *made), string(text)} {
		if strings.Contains(printed, secret) {
			t.Errorf("the secret is printed: %s", printed)
		}
	}
}

// A token is got once and used until it is refused; then another is got, once.
func TestOAuth2(t *testing.T) {
	f := loaded(t, "fields: {f: tier}"+plainRequests)
	var issued atomic.Int64
	var valid atomic.Value
	valid.Store("t1")
	status, kind, answer := 200, "application/json", ""
	c := &calls{answer: func(_ int, r *http.Request) (int, string, string) {
		if r.URL.Host == "login.example" {
			n := issued.Add(1)
			text := answer
			if text == "" {
				text = fmt.Sprintf(`{"access_token": "t%d", "token_type": "Bearer", "expires_in": 3600}`, n)
			}
			return status, "Content-Type: " + kind, text
		}
		if r.Header.Get("Authorization") != "Bearer "+valid.Load().(string) {
			return 401, "", ""
		}
		return 200, "Content-Type: application/json", `{"id": "1"}`
	}}
	config := rest.Config{File: f, URL: "https://crm.example", Transport: c, Login: rest.Login{OAuth2: rest.OAuth2{
		TokenURL: "https://login.example/token", ClientID: "client", ClientSecret: secret, Scopes: []string{"a"}, Params: map[string]string{"audience": "b"},
	}}}
	made := target(t, config)
	for range 3 {
		if r := push(t, made, upsert(1), upsert(2))[1]; r.Problem != nil {
			t.Fatal(r.Problem.Text)
		}
	}
	if issued.Load() != 1 || !strings.Contains(c.asked[0], "audience=b&grant_type=client_credentials&scope=a") {
		t.Errorf("%d tokens, got by %s", issued.Load(), c.asked[0])
	}
	valid.Store("t2")
	if r := push(t, made, upsert(1))[0]; r.Problem != nil || issued.Load() != 2 {
		t.Errorf("a token that was refused: %+v, %d tokens", r.Problem, issued.Load())
	}
	valid.Store("none")
	if r := push(t, made, upsert(1))[0]; r.Problem == nil || r.Problem.Class != event.Auth || issued.Load() != 3 {
		t.Errorf("a client that may not: %+v, %d tokens", r.Problem, issued.Load())
	}
	for _, bad := range []struct {
		status       int
		kind, answer string
		class        event.Class
	}{
		{401, "application/json", `{"error": "invalid_client", "error_description": "` + secret + `"}`, event.Auth},
		{400, "text/html", "<html>" + secret, event.Auth},
		{500, "text/html", secret, event.Retryable},
		{302, "text/html", secret, event.Retryable},
		{200, "text/html", "<html>" + secret, event.Retryable},
		{429, "", "", event.Throttled},
		{200, "application/json", "{}", event.Retryable},
	} {
		status, kind, answer = bad.status, bad.kind, bad.answer
		r := push(t, target(t, config), upsert(1))[0]
		if r.Problem == nil || r.Problem.Class != bad.class || strings.Contains(r.Problem.Error.Error(), secret) {
			t.Errorf("the address of tokens answers %d %s: %+v, want %s", bad.status, bad.answer, r.Problem, bad.class)
		}
	}
}

func TestTLS(t *testing.T) {
	f := loaded(t, "fields: {f: tier}"+plainRequests)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, 200, `{"id": "7"}`) }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	secure := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	if r := push(t, target(t, rest.Config{File: f, URL: server.URL, TLS: secure}), upsert(1))[0]; r.Problem != nil || r.RemoteID != "7" {
		t.Errorf("an authority that is named: %+v", r)
	}
	other := strings.Replace(server.URL, "127.0.0.1", "localhost", 1) // a name that the certificate does not bear
	if r := push(t, target(t, rest.Config{File: f, URL: other, TLS: secure}), upsert(1))[0]; r.Problem == nil || r.Problem.Class != event.Auth || r.Problem.Reason != "certificate" {
		t.Errorf("another name: %+v", r.Problem)
	}
	plain := strings.Replace(server.URL, "https", "http", 1)
	if r := push(t, target(t, rest.Config{File: f, URL: plain}), upsert(1))[0]; r.Problem == nil {
		t.Error("no TLS where TLS is spoken")
	}
	if r := push(t, target(t, rest.Config{File: f, URL: "http://127.0.0.1:1"}), upsert(1))[0]; r.Problem == nil || r.Problem.Class != event.Retryable {
		t.Errorf("nobody listens: %+v", r.Problem)
	}
	for _, address := range []string{"", "crm.example", "ftp://a", "https://u:p@a", "https://a?b=c", "https://a#b", "://"} {
		if _, err := rest.New(rest.Config{File: f, URL: address}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// Whatever is answered to a batch, each delivery has a receipt, and none of an answer comes out of it that could not be an id.
func FuzzAnswers(f *testing.F) {
	cardbox, hubspot := shippedFile(f, "cardbox"), shippedFile(f, "hubspot")
	one, two := upsert(1), upsert(2)
	for _, text := range []string{
		"", "{}", "[]", `{"results": [{"externalId": "` + one.Customer.String() + `", "id": 1, "status": 200}, {"status": 500}]}`,
		`{"results": [{"objectWriteTraceId": "` + one.Customer.String() + `", "id": "a"}], "errors": [{"context": {"objectWriteTraceId": ["` + two.Customer.String() + `"]}}]}`,
		`{"results": {"0": 1}}`, `{"results": [null, 1, [], "x"]}`, strings.Repeat("[", 20_000), `{"id": 1e400}`, `{"results": [{"id": "\u0000"}]}`,
	} {
		f.Add(200, "application/json", []byte(text))
		f.Add(207, "application/json; charset=utf-8", []byte(text))
		f.Add(422, "text/html", []byte(text))
	}
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		status = 200 + (status%400+400)%400
		c := &calls{answer: func(int, *http.Request) (int, string, string) {
			return status, "Content-Type: " + strings.NewReplacer("\n", "", "\r", "").Replace(kind), string(body)
		}}
		for _, file := range []*rest.File{cardbox, hubspot} {
			receipts, err := target(t, rest.Config{File: file, URL: "https://crm.example", Transport: c, Parallel: 1}).Push(context.Background(), []adapters.Delivery{one, two})
			if err != nil || len(receipts) != 2 {
				t.Fatalf("%d receipts, %v", len(receipts), err)
			}
			for _, r := range receipts {
				if len(r.RemoteID) > 256 || strings.ContainsAny(r.RemoteID, "\r\n\x00") {
					t.Errorf("taken for an id: %q", r.RemoteID)
				}
				if r.Problem != nil && (r.Problem.Class == "" || r.Problem.Text == "" || len(r.Problem.Text) > 300) {
					t.Errorf("problem %+v", r.Problem)
				}
			}
		}
	})
}

func FuzzLoad(f *testing.F) {
	for _, name := range rest.Systems() {
		folder, err := rest.Shipped(name)
		if err != nil {
			f.Fatal(err)
		}
		file, err := folder.Open(rest.FileName)
		if err != nil {
			f.Fatal(err)
		}
		text, err := io.ReadAll(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("onefold: target/v1\nsystem: a\nfields: {f: {object: {a: {list: tag}}}}" + plainRequests))
	c := person(1, "Annabel", "annabel@example.com")
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := rest.Load("t.yaml", text)
		if err != nil {
			var ds event.Diagnostics
			if !errors.As(err, &ds) || len(ds) == 0 || ds[0].Line < 1 {
				t.Fatalf("no diagnostics: %v", err)
			}
			return
		}
		r, err := file.Render(&c)
		if err != nil {
			t.Fatal(err)
		}
		if r != nil && (!json.Valid(r.Body) || !bytes.HasPrefix(r.Body, []byte("{"))) {
			t.Errorf("no object of JSON: %s", r.Body)
		}
		d := upsert(1)
		if r != nil {
			d.Body = r.Body
		}
		d.RemoteID = "7"
		sent := &calls{}
		push(t, target(t, rest.Config{File: file, URL: "https://crm.example/api", Transport: sent}), d)
		for _, asked := range sent.asked {
			if !strings.Contains(asked, " https://crm.example/api/") {
				t.Errorf("asked somebody else: %s", asked)
			}
			if _, body, _ := strings.Cut(strings.SplitN(asked, " ", 2)[1], " "); body != "" && !json.Valid([]byte(body)) {
				t.Errorf("a body that is no JSON: %s", body)
			}
		}
	})
}

func BenchmarkRender(b *testing.B) {
	f, c := shippedFile(b, "cardbox"), person(1, "Annabel", "annabel@example.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Render(&c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPush writes to a server that answers at once: one customer a request, and a hundred.
func BenchmarkPush(b *testing.B) {
	for name, batch := range map[string]string{"alone": plainRequests, "batches": `
requests:
  batch: {most: 100, method: POST, path: /batch, body: {each: {id: '{customer}', is: '{body}'}}, answer: {results: ., id: id}}
  remove: {method: DELETE, path: '/people/{customer}'}
`} {
		b.Run(name, func(b *testing.B) {
			hundred := "[" + strings.Repeat(`{"id": 1},`, 99) + `{"id": 1}]`
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/batch" {
					say(w, 200, hundred)
				} else {
					say(w, 200, `{"id": 1}`)
				}
			}))
			defer server.Close()
			made := target(b, rest.Config{File: loaded(b, "fields: {f: tier}"+batch), URL: server.URL, Account: rest.NewAccount(1<<30, 1<<30, time.Now)})
			ds := make([]adapters.Delivery, 100)
			for i := range ds {
				ds[i] = upsert(byte(i))
			}
			b.ResetTimer()
			for range b.N {
				for _, r := range push(b, made, ds...) {
					if r.Problem != nil {
						b.Fatal(r.Problem.Text)
					}
				}
			}
			b.ReportMetric(float64(100*b.N)/b.Elapsed().Seconds(), "pushes/s")
		})
	}
}
