package rest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/customer"
)

const secret = "s3cret-of-the-target"

// box holds entries by our id; its two faces speak like Cardbox and like HubSpot.
type box struct {
	*http.ServeMux
	mu      sync.Mutex
	made    int
	entries map[string]*entry // by our id
}

type entry struct {
	id   string
	body json.RawMessage
}

func (b *box) Holds() map[string]json.RawMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]json.RawMessage{}
	for external, e := range b.entries {
		out[external] = e.body
	}
	return out
}

func (b *box) put(external string, body json.RawMessage) (*entry, bool) {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil || len(body) > 1<<20 || strings.Contains(fmt.Sprint(fields["email"]), "refuse") {
		return nil, false
	}
	e := b.entries[external]
	if e == nil {
		b.made++
		e = &entry{id: fmt.Sprint(9007199254740993 + b.made)}
		b.entries[external] = e
	}
	e.body = body
	return e, true
}

func (b *box) byID(id string) (string, *entry) {
	for external, e := range b.entries {
		if e.id == id {
			return external, e
		}
	}
	return "", nil
}

// say answers JSON; ids are numbers, larger than a float64 holds.
func say(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (b *box) on(pattern string, do func(w http.ResponseWriter, r *http.Request, body []byte)) {
	b.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Authorization") != "Bearer "+secret {
			say(w, 401, "{}")
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		do(w, r, body)
	})
}

func cardbox() adaptertest.System {
	b := &box{ServeMux: http.NewServeMux(), entries: map[string]*entry{}}
	b.on("PUT /contacts/{external}", func(w http.ResponseWriter, r *http.Request, body []byte) {
		if e, ok := b.put(r.PathValue("external"), body); ok {
			say(w, 200, `{"id": `+e.id+`, "version": 1}`)
		} else {
			say(w, 422, `{"error": {"code": "INVALID", "message": `+string(body[:min(len(body), 20)])+`}}`)
		}
	})
	b.on("GET /contacts/{external}", func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if e := b.entries[r.PathValue("external")]; e != nil {
			say(w, 200, `{"id": `+e.id+`}`)
		} else {
			say(w, 404, "{}")
		}
	})
	b.on("DELETE /contacts/{external}", func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if b.entries[r.PathValue("external")] == nil {
			say(w, 404, "{}")
			return
		}
		delete(b.entries, r.PathValue("external"))
		w.WriteHeader(204)
	})
	b.on("PATCH /contacts/by-id/{id}", func(w http.ResponseWriter, r *http.Request, body []byte) {
		external, _ := b.byID(r.PathValue("id"))
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(body, &fields)
		if external == "" || string(fields["externalId"]) != `"`+external+`"` {
			say(w, 404, "{}")
			return
		}
		delete(fields, "externalId")
		text, err := json.Marshal(fields)
		if err != nil {
			panic(err)
		}
		if e, ok := b.put(external, text); ok {
			say(w, 200, `{"id": `+e.id+`}`)
		} else {
			say(w, 422, "{}")
		}
	})
	b.on("POST /contacts/by-id/{id}/merge", func(w http.ResponseWriter, r *http.Request, body []byte) {
		var to struct{ Into string }
		_ = json.Unmarshal(body, &to)
		external, e := b.byID(r.PathValue("id"))
		_, into := b.byID(to.Into)
		if e == nil || into == nil {
			say(w, 404, "{}")
			return
		}
		delete(b.entries, external)
		say(w, 200, `{"id": `+into.id+`}`)
	})
	b.on("POST /contacts/batch", func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct {
			Records []struct {
				ID, ExternalID string
				Properties     json.RawMessage
			}
		}
		_ = json.Unmarshal(body, &in)
		var results []string
		for _, r := range in.Records {
			if external, _ := b.byID(r.ID); r.ID != "" && external != r.ExternalID {
				results = append(results, `{"externalId": "`+r.ExternalID+`", "status": 404, "error": {"code": "NOT_FOUND"}}`)
			} else if e, ok := b.put(r.ExternalID, r.Properties); ok {
				results = append(results, `{"externalId": "`+r.ExternalID+`", "id": `+e.id+`, "status": 200}`)
			} else {
				results = append(results, `{"externalId": "`+r.ExternalID+`", "status": 422, "error": {"code": "INVALID"}}`)
			}
		}
		say(w, 207, `{"results": [`+strings.Join(results, ",")+`]}`)
	})
	return b
}

// hubspot refuses a whole batch for one that is bad.
func hubspot() adaptertest.System {
	b := &box{ServeMux: http.NewServeMux(), entries: map[string]*entry{}}
	b.on("POST /crm/v3/objects/contacts/batch/upsert", func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct {
			Inputs []struct {
				ID, ObjectWriteTraceID string
				Properties             json.RawMessage
			}
		}
		_ = json.Unmarshal(body, &in)
		before := maps.Clone(b.entries)
		var results []string
		for _, r := range in.Inputs {
			e, ok := b.put(r.ID, r.Properties)
			if !ok {
				b.entries = before
				say(w, 400, `{"status": "error", "category": "VALIDATION_ERROR", "message": "Property values were not valid: refuse@example.com"}`)
				return
			}
			results = append([]string{`{"id": "` + e.id + `", "objectWriteTraceId": "` + r.ObjectWriteTraceID + `"}`}, results...) // in no order
		}
		say(w, 200, `{"status": "COMPLETE", "results": [`+strings.Join(results, ",")+`]}`)
	})
	update := func(id string, properties json.RawMessage) (*entry, int) {
		external, e := b.byID(id)
		if e == nil {
			return nil, 404
		}
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(properties, &fields)
		if string(fields["onefold_id"]) != `"`+external+`"` {
			return nil, 400
		}
		delete(fields, "onefold_id")
		text, err := json.Marshal(fields)
		if err != nil {
			panic(err)
		}
		if _, ok := b.put(external, text); !ok {
			return nil, 400
		}
		return e, 200
	}
	b.on("PATCH /crm/v3/objects/contacts/{id}", func(w http.ResponseWriter, r *http.Request, body []byte) {
		var in struct{ Properties json.RawMessage }
		_ = json.Unmarshal(body, &in)
		if e, status := update(r.PathValue("id"), in.Properties); e != nil {
			say(w, 200, `{"id": "`+e.id+`"}`)
		} else {
			say(w, status, "{}")
		}
	})
	b.on("POST /crm/v3/objects/contacts/batch/update", func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct {
			Inputs []struct {
				ID, ObjectWriteTraceID string
				Properties             json.RawMessage
			}
		}
		_ = json.Unmarshal(body, &in)
		var results, faults []string
		for _, r := range in.Inputs {
			if e, status := update(r.ID, r.Properties); e != nil {
				results = append(results, `{"id": "`+e.id+`", "objectWriteTraceId": "`+r.ObjectWriteTraceID+`"}`)
			} else {
				category := map[int]string{404: "OBJECT_NOT_FOUND", 400: "VALIDATION_ERROR"}[status]
				faults = append(faults, `{"category": "`+category+`", "context": {"objectWriteTraceId": ["`+r.ObjectWriteTraceID+`"]}}`)
			}
		}
		say(w, 207, `{"results": [`+strings.Join(results, ",")+`], "errors": [`+strings.Join(faults, ",")+`]}`)
	})
	b.on("GET /crm/v3/objects/contacts/{external}", func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if e := b.entries[r.PathValue("external")]; e != nil && r.URL.Query().Get("idProperty") == "onefold_id" {
			say(w, 200, `{"id": "`+e.id+`"}`)
		} else {
			say(w, 404, "{}")
		}
	})
	gone := func(w http.ResponseWriter, id string) {
		external, _ := b.byID(id)
		delete(b.entries, external)
		w.WriteHeader(204)
	}
	b.on("DELETE /crm/v3/objects/contacts/{id}", func(w http.ResponseWriter, r *http.Request, _ []byte) { gone(w, r.PathValue("id")) })
	b.on("POST /crm/v3/objects/contacts/gdpr-delete", func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct{ ObjectID string }
		_ = json.Unmarshal(body, &in)
		gone(w, in.ObjectID)
	})
	b.on("POST /crm/v3/objects/contacts/merge", func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct{ PrimaryObjectID, ObjectIDToMerge string }
		_ = json.Unmarshal(body, &in)
		external, e := b.byID(in.ObjectIDToMerge)
		_, into := b.byID(in.PrimaryObjectID)
		if e == nil || into == nil {
			say(w, 404, "{}")
			return
		}
		delete(b.entries, external)
		say(w, 200, `{"id": "`+into.id+`"}`)
	})
	return b
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func person(n byte, given, email string) customer.Customer {
	id := customer.CustomerID{n}
	claim := func(v customer.Value) customer.Claim { return customer.Claim{Value: v, Source: "shop", Key: "1"} }
	return customer.Customer{
		ID: id, Version: 1, Status: customer.Active,
		Attributes: []customer.Attribute{
			{Path: customer.Path{Name: "address", ID: "home"}, Claim: claim(customer.Value{Parts: map[string]string{
				"streetAddress": "12 Rue de l'Eau", "addressLocality": "Genève", "postalCode": "01204",
			}})},
			{Path: customer.Path{Name: "email", ID: "a"}, Claim: claim(customer.Text(email))},
			{Path: customer.Path{Name: "familyName"}, Claim: claim(customer.Text("O’Neil-" + given))},
			{Path: customer.Path{Name: "givenName"}, Claim: claim(customer.Text(given))},
		},
	}
}

func people() []customer.Customer {
	return []customer.Customer{
		person(1, "Annabel", "annabel@example.com"), person(2, "Bartholomew", "bartholomew@example.com"), person(3, "Clementine", "clementine@example.com"),
		person(4, "Dorothea", "dorothea@example.com"),
	}
}

func shippedFile(t testing.TB, name string) *rest.File {
	t.Helper()
	folder, err := rest.Shipped(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := rest.Open(folder, name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func target(t testing.TB, c rest.Config) *rest.Target {
	t.Helper()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Account == nil {
		c.Account = rest.NewAccount(100_000, 100_000, c.Now)
	}
	if c.Login.Bearer == "" && c.Login.User == "" && c.Login.Header == "" && c.Login.OAuth2.TokenURL == "" {
		c.Login.Bearer = secret
	}
	made, err := rest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	})
	return made
}

// The bar of targets, with a batch and without, for each system that is shipped.
func TestBar(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		system func() adaptertest.System
		batch  int
	}{"cardbox, one at a time": {"cardbox", cardbox, 1}, "hubspot": {"hubspot", hubspot, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adaptertest.RunTarget(t, adaptertest.TargetSetup{
				Target: func(t *testing.T, url string) adapters.Target {
					return target(t, rest.Config{File: shippedFile(t, c.file), URL: url, Batch: c.batch})
				},
				System: c.system, Good: people(), Bad: person(9, "Mallory", "refuse@example.com"), Secret: secret,
			})
		})
	}
}
