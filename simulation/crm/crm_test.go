package crm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/onefold/onefold/simulation/crm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that moves when it is told to.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func noon() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// caller calls a CRM as a program would.
type caller struct {
	t   *testing.T
	crm *crm.CRM
}

func opened(t *testing.T, c crm.Config) caller {
	t.Helper()
	if c.Now == nil {
		c.Now = noon().now
	}
	return caller{t, crm.New(c)}
}

// call answers the status, the headers and the JSON of an answer.
func (c caller) call(method, path, body string) (int, http.Header, map[string]any) {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	c.crm.ServeHTTP(w, r)
	var out map[string]any
	if b := w.Body.Bytes(); len(b) > 0 && w.Header().Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(b, &out); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	return w.Code, w.Header(), out
}

func (c caller) want(status int, method, path, body string) map[string]any {
	c.t.Helper()
	got, _, out := c.call(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s: %d, want %d: %v", method, path, got, status, out)
	}
	return out
}

// webhooks takes all that wait.
func (c caller) webhooks() (out []crm.Webhook) {
	c.t.Helper()
	ctx, stop := context.WithCancel(c.t.Context())
	defer stop()
	if c.crm.Waiting() == 0 {
		return nil
	}
	err := c.crm.Deliver(ctx, func(_ context.Context, batch []crm.Message) error {
		for _, m := range batch {
			var h crm.Webhook
			d := json.NewDecoder(bytes.NewReader(m.Value))
			d.DisallowUnknownFields()
			if err := d.Decode(&h); err != nil || string(m.Key) != h.Contact.ID {
				c.t.Errorf("%v: %s", err, m.Value)
			}
			out = append(out, h)
		}
		if c.crm.Waiting() == len(batch) {
			stop()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		c.t.Error(err)
	}
	return out
}

func TestAContactsLife(t *testing.T) {
	c := opened(t, crm.Config{})
	made := c.want(201, "PUT", "/contacts/cus_1", `{"firstName":"Ana","lastName":"Lima","email":"ana@example.com","phone":null,
		"address":{"city":"Berlin","country":"DE"},"custom":{"tier":"gold","x":"y"}}`)
	id, _ := made["id"].(string)
	if made["version"] != 1.0 || made["externalId"] != "cus_1" || made["phone"] != nil || id == "" {
		t.Errorf("%v", made)
	}
	if same := c.want(200, "PUT", "/contacts/cus_1", `{"firstName":"Ana","address":{"city":"Berlin"}}`); same["version"] != 1.0 {
		t.Errorf("what changes nothing made a version: %v", same)
	}
	changed := c.want(200, "PUT", "/contacts/cus_1", `{"firstName":"Anna","address":{"city":"Bonn"},"custom":{"x":null}}`)
	want := map[string]any{"lines": nil, "street": nil, "streetName": nil, "number": nil, "extra": nil, "postalCode": nil, "city": "Bonn", "region": nil, "country": "DE"}
	if d := cmp.Diff(want, changed["address"]); d != "" || changed["version"] != 2.0 || changed["email"] != "ana@example.com" ||
		!cmp.Equal(changed["custom"], map[string]any{"tier": "gold"}) {
		t.Errorf("%v\n%s", changed, d)
	}
	c.want(200, "PATCH", "/contacts/by-id/"+id, `{"title":"Owner","address":null}`)
	for _, path := range []string{"/contacts/by-id/" + id, "/contacts/cus_1"} {
		if got := c.want(200, "GET", path, ""); got["title"] != "Owner" || got["version"] != 3.0 {
			t.Errorf("%v", got)
		}
	}
	c.want(204, "DELETE", "/contacts/by-id/"+id, "")
	for _, gone := range [][2]string{{"GET", "/contacts/cus_1"}, {"DELETE", "/contacts/by-id/" + id}, {"PATCH", "/contacts/by-id/" + id}} {
		c.want(404, gone[0], gone[1], `{}`)
	}
	if again := c.want(201, "PUT", "/contacts/cus_1", `{}`); again["id"] == id {
		t.Error("a contact that is gone came back")
	}
	var told []string
	for _, h := range c.webhooks() {
		told = append(told, fmt.Sprintf("%s %d %s %v", h.Type, h.Contact.Version, h.ChangedBy.Kind, h.Changed))
	}
	if d := cmp.Diff([]string{
		"contact.created 1 integration []", "contact.updated 2 integration [address custom firstName]",
		"contact.updated 3 integration [address title]", "contact.deleted 4 integration []", "contact.created 1 integration []",
	}, told); d != "" {
		t.Error(d)
	}
	s := c.crm.Stats()
	if s.Created != 2 || s.Updated != 2 || s.Unchanged != 1 || s.Deleted != 1 || s.Calls != 11 {
		t.Errorf("%+v", s)
	}
}

// A contact that is known by its own id can be given another external id, which is then nobody else's.
func TestAnotherExternalID(t *testing.T) {
	c := opened(t, crm.Config{})
	id, _ := c.want(201, "PUT", "/contacts/old", `{"phone":"1"}`)["id"].(string)
	c.want(201, "PUT", "/contacts/other", `{}`)
	c.webhooks()
	c.want(409, "PATCH", "/contacts/by-id/"+id, `{"externalId":"other"}`)
	c.want(422, "PATCH", "/contacts/by-id/"+id, `{"externalId":""}`)
	c.want(422, "PUT", "/contacts/old", `{"externalId":"new"}`)
	if got := c.want(200, "PATCH", "/contacts/by-id/"+id, `{"externalId":"new"}`); got["externalId"] != "new" || got["phone"] != "1" {
		t.Errorf("%v", got)
	}
	c.want(404, "GET", "/contacts/old", "")
	got := c.want(207, "POST", "/contacts/batch", `{"records":[{"id":"`+id+`","externalId":"newer","properties":{"phone":"2"}},
		{"id":"`+id+`","externalId":"other","properties":{}},{"id":"con_17","externalId":"x","properties":{}},{"id":"`+id+`","externalId":"last","properties":{ }}]}`)
	var codes []any
	for _, r := range got["results"].([]any) {
		codes = append(codes, r.(map[string]any)["status"])
	}
	if d := cmp.Diff([]any{200.0, 409.0, 404.0, 200.0}, codes); d != "" {
		t.Error(d)
	}
	if got := c.want(200, "GET", "/contacts/last", ""); got["id"] != id || got["phone"] != "2" || got["version"] != 4.0 {
		t.Errorf("%v", got)
	}
	if told := c.webhooks(); len(told) != 3 || told[0].Changed[0] != "externalId" || told[2].Contact.ExternalID != "last" {
		t.Errorf("%+v", told)
	}
}

func TestMerge(t *testing.T) {
	c := opened(t, crm.Config{})
	a, _ := c.want(201, "PUT", "/contacts/a", `{"phone":"1"}`)["id"].(string)
	b, _ := c.want(201, "PUT", "/contacts/b", `{"email":"b@example.com"}`)["id"].(string)
	c.webhooks()
	c.want(422, "POST", "/contacts/by-id/"+a+"/merge", `{"into":"`+a+`"}`)
	c.want(422, "POST", "/contacts/by-id/"+a+"/merge", `{}`)
	c.want(404, "POST", "/contacts/by-id/"+a+"/merge", `{"into":"con_17"}`)
	if got := c.want(200, "POST", "/contacts/by-id/"+a+"/merge", `{"into":"`+b+`"}`); got["id"] != b || got["phone"] != nil {
		t.Errorf("the one that stays is not as it was: %v", got)
	}
	c.want(404, "POST", "/contacts/by-id/"+a+"/merge", `{"into":"`+b+`"}`)
	c.want(404, "GET", "/contacts/a", "")
	told := c.webhooks()
	if len(told) != 1 || told[0].Type != crm.Merged || told[0].Into != b || told[0].Contact.ID != a {
		t.Errorf("%+v", told)
	}
}

func TestBatch(t *testing.T) {
	c := opened(t, crm.Config{})
	c.want(201, "PUT", "/contacts/a", `{"phone":"1"}`)
	got := c.want(207, "POST", "/contacts/batch", `{"records":[{"externalId":"a","properties":{"phone":"2"}},
		{"externalId":"b","properties":{"email":"no address"}},{"externalId":"c","properties":{}},{"properties":{}}]}`)
	var codes []any
	for _, r := range got["results"].([]any) {
		codes = append(codes, r.(map[string]any)["status"])
	}
	if d := cmp.Diff([]any{200.0, 422.0, 201.0, 422.0}, codes); d != "" {
		t.Error(d)
	}
	c.want(422, "POST", "/contacts/batch", `{"records":[]}`)
	c.want(422, "POST", "/contacts/batch", `{"records":[`+strings.Repeat(`{},`, crm.MaxBatch)+`{}]}`)
	if n := len(c.crm.Contacts()); n != 2 {
		t.Errorf("%d contacts", n)
	}
}

// What cannot be taken is refused with a reason, and changes nothing.
func TestRefusals(t *testing.T) {
	c := opened(t, crm.Config{})
	for name, body := range map[string]string{
		"no JSON": `{`, "a list": `[]`, "a number": `{"phone":17}`, "unknown": `{"shoeSize":"43"}`, "unknown below": `{"address":{"planet":"Mars"}}`,
		"more than one": `{} {}`, "long": `{"phone":"` + strings.Repeat("1", 5000) + `"}`, "NUL": `{"phone":"\u0000"}`,
		"no UTF-8": "{\"phone\":\"\xff\"}", "no address": `{"email":"x"}`, "nameless": `{"custom":{"":"x"}}`,
	} {
		if got, _, _ := c.call("PUT", "/contacts/a", body); got != 422 {
			t.Errorf("%s: %d", name, got)
		}
	}
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf(`"f%d":"x"`, i))
	}
	c.want(422, "PUT", "/contacts/a", `{"custom":{`+strings.Join(many, ",")+`}}`)
	c.want(422, "PUT", "/contacts/"+strings.Repeat("a", 129), `{}`)
	c.want(413, "PUT", "/contacts/a", `{"phone":"`+strings.Repeat("1", crm.MaxBody)+`"}`)
	r := httptest.NewRequestWithContext(t.Context(), "PUT", "/contacts/a", strings.NewReader("a=b"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if c.crm.ServeHTTP(w, r); w.Code != 415 {
		t.Errorf("a form: %d", w.Code)
	}
	if len(c.crm.Contacts()) > 0 || c.crm.Waiting() > 0 {
		t.Error("something that was refused was done")
	}
}

func TestPages(t *testing.T) {
	c := opened(t, crm.Config{})
	for i := range 7 {
		c.want(201, "PUT", fmt.Sprintf("/contacts/x%d", i), `{}`)
	}
	var seen []any
	for after := ""; ; {
		page := c.want(200, "GET", "/contacts?limit=3&after="+after, "")
		for _, x := range page["contacts"].([]any) {
			seen = append(seen, x.(map[string]any)["externalId"])
		}
		next, more := page["next"].(string)
		if after = next; !more {
			break
		}
	}
	if d := cmp.Diff([]any{"x0", "x1", "x2", "x3", "x4", "x5", "x6"}, seen); d != "" {
		t.Error(d)
	}
	c.want(400, "GET", "/contacts?limit=0", "")
	c.want(400, "GET", "/contacts?limit=1001", "")
}

func TestToken(t *testing.T) {
	c := opened(t, crm.Config{Token: "first"})
	ask := func(token string) int {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/contacts", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		c.crm.ServeHTTP(w, r)
		return w.Code
	}
	if ask("first") != 200 || ask("second") != 401 {
		t.Error("not the first token alone opens")
	}
	c.crm.Renew("second")
	if ask("first") != 401 || ask("second") != 200 {
		t.Error("the token was not renewed")
	}
}

// A quota lets so many a second pass, evenly, and says when to come again.
func TestQuota(t *testing.T) {
	at := noon()
	c := opened(t, crm.Config{Now: at.now, Faults: crm.Faults{Quota: 2, Burst: 4}})
	passed := func() (n int) {
		for range 10 {
			status, header, _ := c.call("GET", "/contacts", "")
			if status == 429 && header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", header.Get("Retry-After"))
			}
			if status == 200 {
				n++
			}
		}
		return n
	}
	var got []int
	for _, pause := range []time.Duration{0, 0, time.Second, 500 * time.Millisecond, time.Hour} {
		at.at = at.at.Add(pause)
		got = append(got, passed())
	}
	if d := cmp.Diff([]int{4, 0, 2, 1, 4}, got); d != "" {
		t.Error(d)
	}
	if s := c.crm.Stats(); s.Throttled != 39 {
		t.Errorf("%+v", s)
	}
}

// Over a real connection: errors are pages, answers break off with or without effect, slow ones come late, parts of batches fail.
func TestFaults(t *testing.T) {
	c := crm.New(crm.Config{Seed: 3, Now: time.Now, Faults: crm.Faults{Errors: 0.2, Cut: 0.2, Slow: 0.1, Delay: time.Millisecond, Partial: 0.3, Again: 0.2}})
	server := httptest.NewServer(c)
	defer server.Close()
	done, broken, pages := 0, 0, 0
	for i := range 400 {
		body := fmt.Sprintf(`{"records":[{"externalId":"x%d","properties":{}}]}`, i)
		r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/contacts/batch", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := server.Client().Do(r)
		if err != nil {
			broken++
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			broken++
		case resp.StatusCode >= 500:
			if pages++; !strings.Contains(string(text), "<html>") {
				t.Errorf("%d: %s", resp.StatusCode, text)
			}
		case strings.Contains(string(text), `"status":201`):
			done++
		}
	}
	s := c.Stats()
	if broken < 40 || pages < 40 || s.Slow < 10 || int64(broken) != s.Cut || s.Failed <= int64(pages) {
		t.Errorf("%d done, %d broken, %d pages, %+v", done, broken, pages, s)
	}
	if s.Created <= int64(done) || s.Created >= int64(done+broken) {
		t.Errorf("%d contacts made, %d answered, %d broken: of what breaks off some is done and some is not", s.Created, done, broken)
	}
	if again := int64(c.Waiting()) - s.Created; again < 10 {
		t.Errorf("%d webhooks twice", again)
	}
}

// A webhook is delivered until it is taken, each in its order.
func TestDeliver(t *testing.T) {
	c := opened(t, crm.Config{})
	for i := range 450 {
		c.want(201, "PUT", fmt.Sprintf("/contacts/x%d", i), `{}`)
	}
	ctx, stop := context.WithCancel(t.Context())
	var ids []string
	fails := 1
	err := c.crm.Deliver(ctx, func(_ context.Context, batch []crm.Message) error {
		if fails--; fails >= 0 {
			return errors.New("the broker is away")
		}
		for _, m := range batch {
			ids = append(ids, string(m.Key))
		}
		if len(ids) == 450 {
			stop()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(ids) != 450 || !slices.IsSorted(ids) || c.crm.Waiting() != 0 {
		t.Errorf("%v, %d delivered, %d left", err, len(ids), c.crm.Waiting())
	}
}

// The same seed makes the same edits; each is a change and is told as its user's.
func TestEdits(t *testing.T) {
	edits := func(seed uint64) (all []crm.Edit, told []crm.Webhook) {
		c := opened(t, crm.Config{Seed: seed})
		for i := range 20 {
			c.want(201, "PUT", fmt.Sprintf("/contacts/x%d", i), `{"phone":"+41791234567","email":"somebody@example.com"}`)
		}
		c.webhooks()
		for range 300 {
			e, ok := c.crm.Edit()
			if !ok {
				t.Fatal("an edit that changed nothing")
			}
			all = append(all, e)
		}
		return all, c.webhooks()
	}
	one, told := edits(5)
	other, _ := edits(5)
	another, _ := edits(6)
	if d := cmp.Diff(one, other); d != "" || cmp.Equal(one, another) {
		t.Errorf("not what the seed says:\n%s", d)
	}
	fields := map[string]int{}
	for i, h := range told {
		fields[h.Changed[0]]++
		if e := one[i]; h.ChangedBy != (crm.Actor{Kind: crm.User, Name: e.By}) || h.Contact.ID != e.Contact || h.Changed[0] != e.Field {
			t.Fatalf("%+v was told as %+v", e, h)
		}
	}
	if len(told) != 300 || fields["phone"] < 100 || fields["title"] < 40 || fields["email"] < 10 || fields["custom"] < 10 {
		t.Errorf("%d told, %v", len(told), fields)
	}
	if _, ok := opened(t, crm.Config{}).crm.Edit(); ok {
		t.Error("an edit of nobody")
	}
}

// A CRM whose server is killed and started anew still has its contacts.
func TestServeAgain(t *testing.T) {
	c := crm.New(crm.Config{Now: time.Now})
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for life := range 2 {
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, kill := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- c.Serve(ctx, ln) }()
		r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+ln.Addr().String()+"/contacts/a", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := []int{201, 200}[life]; resp.StatusCode != want {
			t.Errorf("life %d: %d", life, resp.StatusCode)
		}
		kill()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}
