package console_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/console/access"
	"github.com/onefold/onefold/customer"
)

type operation struct {
	Roles      []access.Role `yaml:"x-roles"`
	Parameters []struct{ Name, In string }
	Responses  map[string]struct {
		Content map[string]struct {
			Schema map[string]string
		}
	}
}

// Each documented operation with an example that calls it.
func examples() map[string]string {
	return map[string]string{
		"GET /api/v1/customers":                   "?email=ana@example.com",
		"GET /api/v1/customers/{id}":              one.String(),
		"DELETE /api/v1/customers/{id}":           one.String(),
		"GET /api/v1/customers/{id}/timeline":     one.String(),
		"GET /api/v1/why":                         "?a=shop/1&b=bank/A/2",
		"GET /api/v1/why-not":                     "?a=shop/1&b=bank/A/2",
		"GET /api/v1/customers/{id}/how":          one.String(),
		"GET /api/v1/customers/{id}/why-value":    one.String() + " ?path=givenName",
		"POST /api/v1/what-if":                    `{"source":"shop","key":"1","values":{"givenName":"Ana","email[1]":"ana@example.com"}}`,
		"GET /api/v1/reviews":                     "?limit=5",
		"POST /api/v1/reviews/next":               `{"author":"kim"}`,
		"POST /api/v1/reviews/bulk":               `{"verdict":"same","author":"kim","from":1.5,"limit":10,"apply":"1-0123456789ab"}`,
		"GET /api/v1/reviews/{id}":                pending.ID.String(),
		"POST /api/v1/reviews/{id}/decide":        pending.ID.String() + ` {"verdict":"later","author":"kim"}`,
		"GET /api/v1/decisions":                   "",
		"POST /api/v1/decisions/import":           `{"decisions":[{"id":"d","kind":"same","a":{"source":"shop","key":"1"},"b":{"source":"bank","key":"2"},"author":"kim","at":"2026-03-01T12:00:00Z"}]}`,
		"GET /api/v1/export":                      "",
		"POST /api/v1/publish":                    "",
		"POST /api/v1/decisions":                  `{"kind":"same","a":"shop/1","b":"bank/A/2","author":"kim"}`,
		"POST /api/v1/decisions/{id}/undo":        `dec_1 {"author":"kim"}`,
		"GET /api/v1/dead-letters":                "",
		"GET /api/v1/dead-letters/{id}":           "dead_1",
		"GET /api/v1/dead-letters/groups":         "",
		"GET /api/v1/dead-letters/notes":          "",
		"POST /api/v1/dead-letters/discard":       `{"letter":"dead_1","reason":"a test","author":"kim"}`,
		"PUT /api/v1/dead-letters/{id}/edit":      `dead_1 {"value":"e30=","reason":"a typo","author":"kim"}`,
		"DELETE /api/v1/dead-letters/{id}/edit":   "dead_1",
		"GET /api/v1/replays":                     "",
		"POST /api/v1/replays":                    `{"all":true,"author":"kim"}`,
		"GET /api/v1/replays/{id}":                "rep_1",
		"POST /api/v1/replays/{id}/pause":         "rep_1",
		"POST /api/v1/replays/{id}/resume":        "rep_1",
		"POST /api/v1/replays/{id}/cancel":        "rep_1",
		"GET /api/v1/status":                      "",
		"GET /api/v1/sources":                     "",
		"POST /api/v1/sources/{id}/pause":         "shop",
		"POST /api/v1/sources/{id}/resume":        "shop",
		"GET /api/v1/me":                          "",
		"GET /api/v1/model":                       "",
		"POST /api/v1/model/survey":               "",
		"GET /api/v1/openapi.yaml":                "",
		"GET /api/v1/targets":                     "",
		"GET /api/v1/targets/{name}/refused":      "",
		"POST /api/v1/targets/{name}/resync":      "",
		"GET /api/v1/targets/{name}/preview/{id}": one.String(),
	}
}

func operations(t *testing.T) map[string]operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]any
	}
	served := call(handler(&desk{}, io.Discard), "GET", "/api/v1/openapi.yaml", "").Body.Bytes()
	if err := yaml.Unmarshal(served, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]operation{}
	for path, methods := range doc.Paths {
		for name, body := range methods {
			if name == "parameters" {
				continue
			}
			raw, err := yaml.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			var op operation
			if err := yaml.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			out[strings.ToUpper(name)+" "+path] = op
		}
	}
	return out
}

// Every documented operation answers, and answers what its schema says; each takes exactly the parameters that are documented.
func TestDocumentAndHandlersAgree(t *testing.T) {
	ops := operations(t)
	h := handler(&desk{}, io.Discard)
	for name, op := range ops {
		example, ok := examples()[name]
		if !ok {
			t.Errorf("%s is documented and has no example here", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			method, path, _ := strings.Cut(name, " ")
			body := ""
			switch {
			case strings.Contains(path, "{id}"):
				id, rest, _ := strings.Cut(example, " ")
				path, body = strings.ReplaceAll(path, "{id}", id), rest
				if strings.HasPrefix(rest, "?") {
					path, body = path+rest, ""
				}
			case method == http.MethodPost:
				body = example
			default:
				path += example
			}
			w := call(h, method, path, body)
			if w.Code != 200 {
				t.Fatal(w.Code, w.Body)
			}
			for kind, content := range op.Responses["200"].Content {
				if got := w.Header().Get("Content-Type"); got != kind {
					t.Errorf("content type %s, documented %s", got, kind)
				}
				if ref := content.Schema["$ref"]; ref != "" {
					validate(t, ref[strings.LastIndexByte(ref, '/')+1:], w.Body.Bytes())
				}
			}
			parameters(t, h, method, path, body, op)
		})
	}
}

// parameters asks with a parameter that cannot be known: the hint lists those that are.
func parameters(t *testing.T, h http.Handler, method, path, body string, op operation) {
	t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	var p console.Problem
	if err := json.Unmarshal(call(h, method, path+sep+"zz=1", body).Body.Bytes(), &p); err != nil || p.Path != "zz" {
		t.Fatalf("%+v %v", p, err)
	}
	var documented []string
	for _, q := range op.Parameters {
		if q.In == "query" {
			documented = append(documented, q.Name)
		}
	}
	want := "it takes no parameters"
	if len(documented) > 0 {
		want = "one of: " + strings.Join(documented, ", ")
	}
	if p.Hint != want {
		t.Errorf("documented %q, understood %q", want, p.Hint)
	}
}

// A path that is served and not documented answers 405 to what it does not understand; the Allow header lists what it does.
func TestEveryMethodIsDocumented(t *testing.T) {
	ops := operations(t)
	h := handler(&desk{}, io.Discard)
	for name := range examples() {
		if _, ok := ops[name]; !ok {
			t.Errorf("%s is not documented", name)
		}
		_, path, _ := strings.Cut(name, " ")
		var documented []string
		for other := range ops {
			if m, p, _ := strings.Cut(other, " "); p == path {
				documented = append(documented, m)
			}
		}
		slices.Sort(documented)
		w := call(h, "PATCH", strings.ReplaceAll(path, "{id}", "x"), "")
		if got := w.Header().Get("Allow"); got != strings.Join(documented, ", ") {
			t.Errorf("%s understands %s, documented %v", path, got, documented)
		}
	}
}

func TestProblemSchema(t *testing.T) {
	validate(t, "Problem", call(handler(&desk{}, io.Discard), "GET", "/api/v1/customers?zz=1", "").Body.Bytes())
}

func TestCustomersSchema(t *testing.T) {
	raw, err := console.CustomersSchema()
	if err != nil {
		t.Fatal(err)
	}
	schema := compile(t, raw)
	merged := &customer.Customer{ID: old, Version: 3, Status: customer.Merged, AliasOf: one}
	for name, c := range map[string]*customer.Customer{"whole": ana(), "alias": merged} {
		value, err := c.Published()
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(decode(t, value)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, wrong := range []string{`{}`, `{"aliasOf":"x","version":1}`, `{"id":1}`} {
		if schema.Validate(decode(t, []byte(wrong))) == nil {
			t.Errorf("%s passes", wrong)
		}
	}
}

func validate(t *testing.T, name string, value []byte) {
	t.Helper()
	schemas, err := console.Schemas()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"$ref": "#/$defs/" + name, "$defs": schemas})
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t, raw).Validate(decode(t, value)); err != nil {
		t.Errorf("%v\n%s", err, value)
	}
}

func compile(t *testing.T, raw []byte) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", decode(t, raw)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func decode(t *testing.T, raw []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err, cmp.Diff("", string(raw)))
	}
	return v
}
