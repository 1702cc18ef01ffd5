package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters/webhook"
	"github.com/onefold/onefold/cmd/onefold/config"
)

const hookSecret = "shpss_a secret of a shop"

// hooked is a configuration of one shop that sends webhooks.
const hooked = "webhooks: {listen: '127.0.0.1:0'%s}\nsources:\n" +
	"  shop-eu: {adapter: shopify, topic: shop-eu.webhooks, webhook: {scheme: shopify, secrets: ['" + hookSecret + "']}}\n"

// aimed is a target that nobody answers at; it has nothing to be told.
const aimed = "targets: {crm: {adapter: rest, target: cardbox, url: 'http://127.0.0.1:9'}}\n"

// posted posts a webhook as Shopify does.
func posted(t *testing.T, client *http.Client, address string, id int64, email, secret string) int {
	t.Helper()
	record := ana(id, email)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/in/shop-eu", bytes.NewReader(record.Value))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range record.Headers {
		r.Header.Set(h.Key, string(h.Value))
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(record.Value)
	r.Header.Set("X-Shopify-Hmac-SHA256", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// What a shop posts, signed, ends in the master record; what is not signed does not. While the store does not answer, the door does, and
// nothing that it took is lost.
func TestWebhookEndsInTheMaster(t *testing.T) {
	dir := t.TempDir()
	in := serve(t, configured(t, dir, fmt.Sprintf(hooked, "")))
	if code := posted(t, http.DefaultClient, in.Webhooks, 1, "mallory@example.com", "another secret of nobody"); code != http.StatusUnauthorized {
		t.Errorf("a forged one: %d", code)
	}
	if code := posted(t, http.DefaultClient, in.Webhooks, 2, "ana@example.com", hookSecret); code != http.StatusOK {
		t.Fatal(code)
	}
	eventually(t, patience, "the customer is there", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	if n := len(in.find(t, "mallory@example.com")); n != 0 {
		t.Errorf("%d customers are forged", n)
	}

	release := lockStore(t, filepath.Join(dir, "data", "onefold.db"))
	if code := posted(t, http.DefaultClient, in.Webhooks, 3, "bea@example.com", hookSecret); code != http.StatusOK {
		t.Errorf("while the store does not answer: %d", code)
	}
	release()
	eventually(t, patience, "the customer is there", func() bool { return len(in.find(t, "bea@example.com")) == 1 })
	_, metrics := fetch(t, in.Admin+"/metrics")
	for _, want := range []string{
		`onefold_webhook_requests_total{result="accepted",source="shop-eu"} 2`,
		`onefold_webhook_requests_total{result="bad_signature",source="shop-eu"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	in.end()
	if in.code != 0 {
		t.Errorf("ended with %d", in.code)
	}
	if logged := in.logged.String(); strings.Contains(logged, hookSecret) || strings.Contains(logged, "mallory") {
		t.Error("the log tells what it should not")
	}
}

// lockStore keeps everybody else from writing to a store until it is released.
func lockStore(t *testing.T, file string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the store is ours", func() bool {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		return err == nil
	})
	return func() {
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

// patience is how long a test waits for what must come; it comes sooner.
const patience = time.Minute

// The door speaks TLS by a certificate of its own, and takes the one that replaces it without a restart.
func TestWebhookDoorWithTLS(t *testing.T) {
	dir := t.TempDir()
	issue := func(serial int64) *x509.CertPool {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "hooks"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		for name, text := range map[string][]byte{"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), "cert.pem": cert} {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(time.Duration(serial) * time.Minute) // another one, however coarse the file system's clock is
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(cert)
		return pool
	}
	post := func(address string, trust *x509.CertPool) int {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}}}
		defer client.CloseIdleConnections()
		return posted(t, client, address, 2, "ana@example.com", hookSecret)
	}
	first := issue(1)
	in := serve(t, configured(t, dir, fmt.Sprintf(hooked, ", tls: {cert: cert.pem, key: key.pem}")))
	if !strings.HasPrefix(in.Webhooks, "https://") {
		t.Fatal(in.Webhooks)
	}
	if code := post(in.Webhooks, first); code != http.StatusOK {
		t.Error(code)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := post(in.Webhooks, first); code != http.StatusOK {
		t.Errorf("in the middle of being replaced: %d", code)
	}
	if code := post(in.Webhooks, issue(2)); code != http.StatusOK {
		t.Errorf("with the new one: %d", code)
	}
}

// The configuration knows the schemes that the door has.
func TestWebhookSchemes(t *testing.T) {
	var all []string
	for _, s := range webhook.Schemes() {
		all = append(all, string(s))
	}
	slices.Sort(all)
	known := config.WebhookSchemes()
	slices.Sort(known)
	if d := cmp.Diff(all, known); d != "" {
		t.Error(d)
	}
	if webhook.MaxSecrets != config.MaxWebhookSecrets {
		t.Error("the limits differ")
	}
}

// A broken webhook is refused with what is wrong and how to mend it, and no secret is told.
func TestWebhookConfiguration(t *testing.T) {
	const shop = "sources:\n  a: {adapter: shopify, topic: t, webhook: {%s}}\n"
	for text, want := range map[string]string{
		"scheme: shopify": "sources.a.webhook.secrets: this key is missing",
		"scheme: shopfy, secrets: [" + next16 + "]":                         "did you mean shopify?",
		"scheme: shopify, secrets: []":                                      "there is no secret in this list",
		"scheme: shopify, secrets: [short]":                                 "a secret of fewer than 16 characters can be guessed",
		"scheme: standard, secrets: [" + next16 + "]":                       "this is not a secret of Standard Webhooks",
		"scheme: shopify, secrets: [" + strings.Repeat(next16+",", 3) + "]": "3 secrets are over the limit of 2",
		"scheme: square, secrets: [" + next16 + "]":                         "set webhooks.url: https://hooks.example.com",
		"scheme: header, secrets: [" + next16 + "]":                         "sources.a.webhook.header: this key is missing",
		"scheme: header, header: 'X Y', secrets: [" + next16 + "]":          "this is not the name of a header",
		"scheme: meta, secrets: [" + next16 + "]":                           "sources.a.webhook.verify: this key is missing",
		"scheme: shopify, header: X, secrets: [" + next16 + "]":             "the scheme shopify knows no header",
	} {
		file := filepath.Join(t.TempDir(), "onefold.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, shop, text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := typed(t, "", "validate", "--config", file)
		if code != 2 || !strings.Contains(out+errs, want) || strings.Contains(out+errs, next16) {
			t.Errorf("%s: %d\n%s%s", text, code, out, errs)
		}
	}
	open := filepath.Join(t.TempDir(), "onefold.yaml")
	text := "webhooks: {listen: '0.0.0.0:8081'}\n" + fmt.Sprintf(shop, "scheme: header, header: X-Token, secrets: ["+next16+"]")
	if err := os.WriteFile(open, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := typed(t, "", "validate", "--config", open); code != 2 || !strings.Contains(out+errs, "set webhooks.tls") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
}

const next16 = "sixteen-or-more-characters"
