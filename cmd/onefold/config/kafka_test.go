package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/cmd/onefold/config"
)

// certificates writes a certificate and its key, another's key, and a token.
func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"other.key", "our.key"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name, "PRIVATE KEY", der)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		if der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key); err != nil {
			t.Fatal(err)
		}
		write("our.pem", "CERTIFICATE", der) // the last one's
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBrokersThatAskWhoCalls(t *testing.T) {
	dir := certificates(t)
	for text, want := range map[string]config.Kafka{
		"tls: {ca: system}": {TLS: config.TLS{CA: "system"}},
		"tls: {ca: our.pem, cert: ./our.pem, key: our.key, serverName: k}": {TLS: config.TLS{
			CA: filepath.Join(dir, "our.pem"), Cert: filepath.Join(dir, "our.pem"), Key: filepath.Join(dir, "our.key"), ServerName: "k",
		}},
		"sasl: {mechanism: SCRAM-SHA-512, username: onefold, password: '${file:secret}'}": {
			SASL: config.SASL{Mechanism: "SCRAM-SHA-512", Username: "onefold", Password: "hush"},
		},
		"tls: {ca: system}, sasl: {mechanism: OAUTHBEARER, tokenFile: secret}": {
			TLS: config.TLS{CA: "system"}, SASL: config.SASL{Mechanism: "OAUTHBEARER", TokenFile: filepath.Join(dir, "secret")},
		},
	} {
		got, found := config.Parse(filepath.Join(dir, "f.yaml"), []byte("kafka: {brokers: ['k:1'], "+text+"}"), environment())
		if len(found) > 0 {
			t.Errorf("%s: %v", text, found)
			continue
		}
		want.Brokers, want.Listen = []string{"k:1"}, "127.0.0.1:9092"
		if d := cmp.Diff(want, got.Kafka); d != "" {
			t.Errorf("%s: %s", text, d)
		}
		printed, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if all := fmt.Sprintf("%s %v %+v %#v", printed, got, *got, got.Kafka); strings.Contains(all, "hush") { // invariant 9
			t.Errorf("the secret can be printed: %s", all)
		}
	}
	local := "kafka: {brokers: ['127.0.0.1:1', 'localhost:2'], sasl: {mechanism: PLAIN, username: a, password: b}}"
	if _, found := config.Parse("f.yaml", []byte(local), environment()); len(found) > 0 {
		t.Error("to this machine a secret may go in plain text:", found)
	}
}

func TestBrokenKeysOfBrokers(t *testing.T) {
	file := filepath.Join(certificates(t), "f.yaml")
	for name, c := range map[string]struct{ text, want string }{
		"no authority":       {"tls: {serverName: k}", `kafka.tls.ca: this key is missing (add ca: file of the authorities that are trusted, in pem, or system for the operating system's)`},
		"empty authority":    {"tls: {ca: ''}", `kafka.tls.ca: there is nothing in this text`},
		"no file":            {"tls: {ca: nowhere}", `kafka.tls.ca: the file cannot be read: no such file or directory (a relative path starts at the folder of this file)`},
		"no certificate":     {"tls: {ca: our.key}", `kafka.tls.ca: there is no certificate in that file (it is in PEM: -----BEGIN CERTIFICATE-----; or write system)`},
		"no key":             {"tls: {ca: system, cert: our.pem}", `kafka.tls.cert: a certificate is of no use without its key (add key: the file of the certificate's key)`},
		"key alone":          {"tls: {ca: system, key: our.key}", `kafka.tls.key: a key is of no use without its certificate (add cert: the file of the certificate)`},
		"another's key":      {"tls: {ca: system, cert: our.pem, key: other.key}", `kafka.tls.cert: this and kafka.tls.key are not a certificate and its key (both are in PEM, the key without a passphrase)`},
		"unverified":         {"tls: {ca: system, insecure: true}", `kafka.tls.insecure: there is no such key here (one of: ca, cert, key, serverName)`},
		"no mechanism":       {"sasl: {username: a}", `kafka.sasl.mechanism: this key is missing (add mechanism: plain, scram-sha-256, scram-sha-512 or oauthbearer)`},
		"other mechanism":    {"sasl: {mechanism: GSSAPI}", `kafka.sasl.mechanism: there is no such mechanism (one of: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER)`},
		"misspelt mechanism": {"sasl: {mechanism: SCRAM-SHA512}", `kafka.sasl.mechanism: there is no such mechanism (did you mean SCRAM-SHA-512?)`},
		"no password":        {"sasl: {mechanism: SCRAM-SHA-256, username: a}", `kafka.sasl.password: this key is missing (add it; a secret is written ${env:NAME} or ${file:path})`},
		"empty password":     {"sasl: {mechanism: SCRAM-SHA-256, username: a, password: ''}", `kafka.sasl.password: there is nothing in this text`},
		"password and token": {"sasl: {mechanism: SCRAM-SHA-256, username: a, password: b, token: c}", `kafka.sasl.token: SCRAM-SHA-256 knows no token (leave it out)`},
		"two tokens":         {"tls: {ca: system}, sasl: {mechanism: OAUTHBEARER, token: c, tokenFile: secret}", `kafka.sasl.tokenFile: this stands beside token, and only one of the two can be (leave one of them out)`},
		"no token":           {"tls: {ca: system}, sasl: {mechanism: OAUTHBEARER}", `kafka.sasl.token: this key is missing (add it; a secret is written ${env:NAME} or ${file:path})`},
		"no file of a token": {"tls: {ca: system}, sasl: {mechanism: OAUTHBEARER, tokenFile: no}", `kafka.sasl.tokenFile: the file cannot be read: no such file or directory (a relative path starts at the folder of this file)`},
		"secret in the open": {"sasl: {mechanism: PLAIN, username: a, password: hush}", `kafka.sasl: without kafka.tls, PLAIN sends the secret so that everybody on the way can read it (set kafka.tls, or take SCRAM-SHA-512, which does not send it)`},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := config.Parse(file, []byte("kafka: {brokers: ['k:1'], "+c.text+"}"), environment())
			if len(found) != 1 || found[0].Line != 1 || found[0].Column < 9 {
				t.Fatalf("found %v", found)
			}
			if _, got, _ := strings.Cut(found.Error(), ": "); got != c.want {
				t.Error(cmp.Diff(c.want, got))
			}
		})
	}
	if _, found := config.Parse(file, []byte("kafka: {tls: {ca: system}}"), environment()); len(found) != 1 || found[0].Path != "kafka.tls" {
		t.Error("the embedded broker has no TLS:", found)
	}
}
