package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters/webhook"
	"github.com/onefold/onefold/event"
)

const (
	url    = "https://hooks.example.com/base"
	secret = "a secret that nobody knows"
	next   = "the one that comes after it"
)

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// topics keeps what is sent.
type topics struct {
	mu   sync.Mutex
	sent map[string][]*event.Message
	err  error
	hold chan struct{}
}

func (s *topics) Send(ctx context.Context, topic string, messages ...*event.Message) error {
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.sent == nil {
		s.sent = map[string][]*event.Message{}
	}
	s.sent[topic] = append(s.sent[topic], messages...)
	return nil
}

func (s *topics) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent["t"])
}

// door is one with a source of every scheme, named after it.
func door(to *topics) http.Handler {
	sources := map[string]webhook.Source{}
	for _, scheme := range webhook.Schemes() {
		sources[string(scheme)] = webhook.Source{
			Topic: "t", Scheme: scheme, Secrets: []string{secret, next}, Header: "X-Our-Token", Verify: "the verify token",
		}
	}
	s := sources["standard"]
	s.Secrets = []string{"whsec_plJ3nmyCDGBKInavdOK15jsl", "whsec_" + base64.StdEncoding.EncodeToString([]byte(next))}
	sources["standard"] = s
	return webhook.New(webhook.Config{Sources: sources, URL: url, Topics: to, Now: now})
}

func hash(key string, parts ...string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = io.WriteString(mac, strings.Join(parts, ""))
	return mac.Sum(nil)
}

func b64(mac []byte) string { return base64.StdEncoding.EncodeToString(mac) }

// signer makes the headers that a sender of each scheme makes, as their documentation says.
func signer(scheme webhook.Scheme, key, path, body string, at time.Time) map[string]string {
	seconds, millis := fmt.Sprint(at.Unix()), fmt.Sprint(at.UnixMilli())
	switch scheme {
	case webhook.Shopify:
		return map[string]string{"X-Shopify-Hmac-SHA256": b64(hash(key, body))}
	case webhook.Woo:
		return map[string]string{"X-WC-Webhook-Signature": b64(hash(key, body))}
	case webhook.Square:
		return map[string]string{"x-square-hmacsha256-signature": b64(hash(key, url+path, body))}
	case webhook.Stripe:
		return map[string]string{"Stripe-Signature": "t=" + seconds + ",v0=00,v1=" + hex.EncodeToString(hash(key, seconds, ".", body))}
	case webhook.HubSpot:
		signed := strings.NewReplacer("%3A", ":", "%2F", "/").Replace(url + path)
		return map[string]string{"X-HubSpot-Request-Timestamp": millis, "X-HubSpot-Signature-v3": b64(hash(key, "POST", signed, body, millis))}
	case webhook.Zendesk:
		stamp := at.Format(time.RFC3339)
		return map[string]string{"X-Zendesk-Webhook-Signature-Timestamp": stamp, "X-Zendesk-Webhook-Signature": b64(hash(key, stamp, body))}
	case webhook.Meta:
		return map[string]string{"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(hash(key, body))}
	case webhook.Standard:
		if key == secret {
			key = string(webhook.StandardKey("whsec_plJ3nmyCDGBKInavdOK15jsl"))
		}
		return map[string]string{
			"webhook-id": "msg_1", "webhook-timestamp": seconds,
			"webhook-signature": "v1a,AAAA v1," + b64(hash(key, "msg_1.", seconds, ".", body)),
		}
	case webhook.Header:
		return map[string]string{"X-Our-Token": key}
	}
	return nil
}

func timed(s webhook.Scheme) bool {
	return s == webhook.Stripe || s == webhook.HubSpot || s == webhook.Zendesk || s == webhook.Standard
}

func post(h http.Handler, path, body string, headers map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Each scheme lets in what its sender signs, by either secret, and nothing else: no byte may differ, and no time be too far away.
func TestSchemes(t *testing.T) {
	const body = `{"id": 1,  "name":"Ana \u00e9"}`
	for _, scheme := range webhook.Schemes() {
		t.Run(string(scheme), func(t *testing.T) {
			to := &topics{}
			h := door(to)
			path := "/in/" + string(scheme) + "?a=b%3Ac"
			for name, tc := range map[string]struct {
				body    string
				headers map[string]string
				status  int
			}{
				"signed":            {body, signer(scheme, secret, path, body, now()), 200},
				"by the next":       {body, signer(scheme, next, path, body, now()), 200},
				"by another secret": {body, signer(scheme, "another secret altogether", path, body, now()), 401},
				"by no secret":      {body, signer(scheme, "", path, body, now()), 401},
				"not signed":        {body, nil, 401},
				"body is altered":   {strings.Replace(body, "1", "2", 1), signer(scheme, secret, path, body, now()), altered(scheme, 401)},
				"written anew":      {`{"id":1,"name":"Ana é"}`, signer(scheme, secret, path, body, now()), altered(scheme, 401)},
				"empty":             {"", signer(scheme, secret, path, "", now()), 200},
				"a little late":     {body, signer(scheme, secret, path, body, now().Add(-webhook.Window)), 200},
				"late":              {body, signer(scheme, secret, path, body, now().Add(-webhook.Window-time.Second)), window(scheme)},
				"from the future":   {body, signer(scheme, secret, path, body, now().Add(webhook.Window+time.Second)), window(scheme)},
				"far future":        {body, signer(scheme, secret, path, body, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)), window(scheme)},
			} {
				before := to.count()
				if got := post(h, path, tc.body, tc.headers).Code; got != tc.status {
					t.Errorf("%s: %d, want %d", name, got, tc.status)
				}
				if n := to.count() - before; n != map[bool]int{true: 1}[tc.status == 200] {
					t.Errorf("%s: %d messages are on the topic", name, n)
				}
			}
			for header := range signer(scheme, secret, path, body, now()) { // what signs is looked at, whatever stands in it
				for _, junk := range []string{"", "x", "====", "t=,v1=", "v1,", "sha256=", strings.Repeat("A", 5000), "-1", "99999999999999999999"} {
					headers := signer(scheme, secret, path, body, now())
					headers[header] = junk
					if got := post(h, path, body, headers).Code; got != 401 && header != "webhook-id" || got == 200 {
						t.Errorf("%s %.20q: %d", header, junk, got)
					}
				}
			}
		})
	}
}

// altered is the status of a body that was not signed: the scheme header signs none.
func altered(s webhook.Scheme, status int) int {
	if s == webhook.Header {
		return 200
	}
	return status
}

func window(s webhook.Scheme) int {
	if timed(s) {
		return 401
	}
	return 200
}

// The vector of Standard Webhooks' specification.
func TestStandardVector(t *testing.T) {
	const body = `{"test": 2432232314}`
	at := time.Unix(1614265330, 0)
	h := webhook.New(webhook.Config{
		Sources: map[string]webhook.Source{"a": {Topic: "t", Scheme: webhook.Standard, Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}},
		Topics:  &topics{}, Now: func() time.Time { return at },
	})
	if w := post(h, "/in/a", body, map[string]string{
		"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
		"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	}); w.Code != 200 {
		t.Error(w.Code)
	}
}

// A secret that is none, which the configuration refuses, lets nobody in.
func TestNoSecret(t *testing.T) {
	for _, scheme := range webhook.Schemes() {
		for _, secrets := range [][]string{nil, {""}, {"whsec_"}} {
			h := webhook.New(webhook.Config{
				Sources: map[string]webhook.Source{"a": {Topic: "t", Scheme: scheme, Secrets: secrets, Header: "X-Our-Token"}}, URL: url, Topics: &topics{}, Now: now,
			})
			if w := post(h, "/in/a", "{}", signer(scheme, "", "/in/a", "{}", now())); w.Code != 401 {
				t.Errorf("%s with %q: %d", scheme, secrets, w.Code)
			}
		}
	}
}

// What is on the topic is what was sent: each byte of the body, and each header but those that give access.
func TestAsItCame(t *testing.T) {
	to := &topics{}
	h := door(to)
	body := "\ufeff{\"a\":\t1.0 }\r\n\x00"
	headers := map[string]string{
		"X-Our-Token": secret, "X-Event": "made", "Authorization": "Basic eDp5", "Cookie": "a=b", "Content-Type": "application/json", "Connection": "close",
		"Onefold-Table": `{"edition":"table/1"}`, "onefold-load": "x",
	}
	if w := post(h, "/in/header", body, headers); w.Code != 200 || w.Body.Len() != 0 {
		t.Fatal(w.Code, w.Body)
	}
	want := []*event.Message{{Time: now(), Value: []byte(body), Headers: []event.Header{
		{Key: "Content-Type", Value: []byte("application/json")}, {Key: "X-Event", Value: []byte("made")},
	}}}
	if d := cmp.Diff(want, to.sent["t"]); d != "" {
		t.Error(d)
	}
}

// No answer is a 2xx unless the broker has the message; each other says whether to come again.
func TestAnswers(t *testing.T) {
	const body = "{}"
	token := map[string]string{"X-Our-Token": secret}
	for name, tc := range map[string]struct {
		err          error
		method, path string
		body         string
		status       int
	}{
		"no broker":            {err: errors.New("no broker"), status: 503},
		"the broker refuses":   {err: event.Errorf(event.Permanent, "too_large", "", "too large"), status: 413},
		"who may not write":    {err: event.Errorf(event.Auth, "broker", "", "not allowed"), status: 503},
		"the largest":          {body: strings.Repeat("x", webhook.MaxBody), status: 200},
		"larger":               {body: strings.Repeat("x", webhook.MaxBody+1), status: 413},
		"another source":       {path: "/in/nobody", status: 404},
		"another path":         {path: "/out/header", status: 404},
		"a path below":         {path: "/in/header/x", status: 404},
		"another method":       {method: http.MethodPut, status: 405},
		"a question":           {method: http.MethodGet, status: 405},
		"a question to nobody": {method: http.MethodGet, path: "/in/nobody", status: 404},
	} {
		r := httptest.NewRequest(cmpOr(tc.method, http.MethodPost), cmpOr(tc.path, "/in/header"), strings.NewReader(cmpOr(tc.body, body)))
		for k, v := range token {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		door(&topics{err: tc.err}).ServeHTTP(w, r)
		if w.Code != tc.status || (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if tc.err != nil && strings.Contains(w.Body.String(), tc.err.Error()) {
			t.Errorf("%s: the answer tells %s", name, w.Body)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// More than so many at one time are told to come again; when there is room, they are let in.
func TestAtOnce(t *testing.T) {
	to := &topics{hold: make(chan struct{})}
	h := door(to)
	token := map[string]string{"X-Our-Token": secret}
	codes := make(chan int, webhook.MaxAtOnce+1)
	for range webhook.MaxAtOnce + 1 {
		go func() { codes <- post(h, "/in/header", "{}", token).Code }()
	}
	if first := <-codes; first != 503 {
		t.Errorf("%d", first)
	}
	close(to.hold)
	for range webhook.MaxAtOnce {
		if code := <-codes; code != 200 {
			t.Errorf("%d", code)
		}
	}
}

// Meta asks before it sends, and is answered only where it knows the token; nothing of a page can be made it say.
func TestQuestion(t *testing.T) {
	for query, status := range map[string]int{
		"hub.mode=subscribe&hub.verify_token=the+verify+token&hub.challenge=1158201444":   200,
		"hub.mode=subscribe&hub.verify_token=another&hub.challenge=1158201444":            403,
		"hub.mode=subscribe&hub.verify_token=&hub.challenge=1":                            403,
		"hub.mode=unsubscribe&hub.verify_token=the+verify+token&hub.challenge=1":          403,
		"hub.mode=subscribe&hub.verify_token=the+verify+token&hub.challenge=%3Cscript%3E": 403,
		"hub.mode=subscribe&hub.verify_token=the+verify+token":                            403,
		"": 403,
	} {
		w := httptest.NewRecorder()
		door(&topics{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/in/meta?"+query, nil))
		if w.Code != status || status == 200 && (w.Body.String() != "1158201444" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// WooCommerce's first call is not signed and says nothing; what only looks like it is no message either.
func TestPing(t *testing.T) {
	to := &topics{}
	h := door(to)
	for body, status := range map[string]int{"webhook_id=12": 200, "webhook_id=12&a=b": 401, "webhook_id=": 401} {
		if w := post(h, "/in/woocommerce", body, nil); w.Code != status {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
	if w := post(h, "/in/shopify", "webhook_id=12", nil); w.Code != 401 || to.count() != 0 {
		t.Error(w.Code, to.count())
	}
}

func FuzzSignatures(f *testing.F) {
	for _, scheme := range webhook.Schemes() {
		for name, value := range signer(scheme, secret, "/in/"+string(scheme), "{}", now()) {
			f.Add(string(scheme), name, value, "{}")
		}
	}
	to := &topics{}
	h := door(to)
	f.Fuzz(func(t *testing.T, scheme, name, value, body string) {
		if strings.ContainsAny(scheme, "/?#% \r\n") || name == "" || len(body) > 1000 {
			return
		}
		r := httptest.NewRequest(http.MethodPost, "/in/header", strings.NewReader(body))
		r.URL.Path = "/in/" + scheme
		r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 200 && body != "{}" && scheme != "header" && !strings.HasPrefix(body, "webhook_id=") {
			t.Errorf("%s lets in %q by %q", scheme, body, value)
		}
	})
}
