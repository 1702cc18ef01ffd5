package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/cmd/onefold/config"
)

const aTarget = "sources:\n  crm: {adapter: shopify, topic: crm}\ntargets:\n  crm: {adapter: rest, target: cardbox, url: 'https://crm.example/api', %s}\n"

func TestTargets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "erp.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(aTarget, "%s", "source: crm, rate: 20, auth: {bearer: s3cret}", 1) +
		"  erp: {adapter: rest, target: ./erp.yaml, url: 'http://127.0.0.1:1', account: crm, rate: 20, timeout: 5s, auth: {oauth2: {tokenUrl: 'https://a.example/t', " +
		"clientId: c, clientSecret: x, scopes: [a], params: {audience: b}}}}\n"
	got, found := config.Parse(filepath.Join(dir, "f.yaml"), []byte(text), environment())
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := map[string]config.Target{
		"crm": {
			Adapter: "rest", Target: "cardbox", URL: "https://crm.example/api", Source: "crm", Account: "crm", Auth: config.TargetAuth{Bearer: "s3cret"},
			Rate: 20, Burst: 20, Batch: config.DefaultBatch, Parallel: config.DefaultParallel, Timeout: config.DefaultTimeout,
		},
		"erp": {
			Adapter: "rest", Target: filepath.Join(dir, "erp.yaml"), URL: "http://127.0.0.1:1", Account: "crm",
			Auth: config.TargetAuth{OAuth2: config.TargetOAuth2{
				TokenURL: "https://a.example/t", ClientID: "c", ClientSecret: "x", Scopes: []string{"a"}, Params: map[string]string{"audience": "b"},
			}},
			Rate: 20, Burst: 20, Batch: config.DefaultBatch, Parallel: config.DefaultParallel, Timeout: 5 * time.Second,
		},
	}
	if d := cmp.Diff(want, got.Targets); d != "" {
		t.Error(d)
	}
	if s := fmt.Sprintf("%v %+v %#v", got.Targets, got.Targets, got.Targets); strings.Contains(s, "s3cret") {
		t.Error("a secret is printed")
	}
}

func TestBrokenTargets(t *testing.T) {
	for text, want := range map[string]string{
		"target: cardbx, url: 'https://a'":                                                                                  "4:24: targets.crm.target: there is no shipped target file of that name (did you mean cardbox?; a file of your own is named by its path: ./targets/erp.yaml)",
		"target: ./no.yaml, url: 'https://a'":                                                                               "targets.crm.target: there is no such file, or no target.yaml in that folder",
		"target: cardbox":                                                                                                   "4:3: targets.crm.url: this key is missing",
		"target: cardbox, url: crm.example":                                                                                 "targets.crm.url: this is not an address (write https://crm.example/api)",
		"target: cardbox, url: 'ftp://a'":                                                                                   "targets.crm.url: this is not an address",
		"target: cardbox, url: 'https://u:p@a'":                                                                             "targets.crm.url: an address is no place for a user or a password",
		"target: cardbox, url: 'https://a?b=c'":                                                                             "targets.crm.url: an address ends with its path",
		"target: cardbox, url: 'http://crm.example'":                                                                        "targets.crm.url: this sends customers so that everybody on the way can read them (write https, or, in a network that you trust, insecure: true)",
		"target: cardbox, url: 'https://a', insecure: 'yes'":                                                                "targets.crm.insecure: expected true or false, found a text",
		"target: cardbox, url: 'https://a', source: cm":                                                                     "targets.crm.source: there is no source of that name (did you mean crm?)",
		"target: cardbox, url: 'https://a', rate: 0":                                                                        "targets.crm.rate: a whole number from 1 to 10000 is expected here",
		"target: cardbox, url: 'https://a', batch: 5000":                                                                    "targets.crm.batch: a whole number from 1 to 1000 is expected here",
		"target: cardbox, url: 'https://a', timeout: 1h":                                                                    "targets.crm.timeout: a request may take at most 10m",
		"target: cardbox, url: 'https://a', auth: {}":                                                                       "targets.crm.auth.bearer: this key is missing",
		"target: cardbox, url: 'https://a', auth: {bearer: ''}":                                                             "targets.crm.auth.bearer: there is nothing in this text",
		"target: cardbox, url: 'https://a', auth: {bearer: x, basic: {username: a, password: b}}":                           "targets.crm.auth.basic: this stands beside bearer",
		"target: cardbox, url: 'https://a', auth: {bearer: \"s3cret\\r\\nX-Admin: 1\"}":                                     "targets.crm.auth.bearer: there is a line end or another control character in this",
		"target: cardbox, url: 'https://a', auth: {header: {name: 'X Key', value: a}}":                                      "targets.crm.auth.header.name: this is not a header that can hold a secret",
		"target: cardbox, url: 'https://a', auth: {basic: {username: 'a:b', password: c}}":                                  "targets.crm.auth.basic.username: HTTP basic knows no user with a colon",
		"target: cardbox, url: 'https://a', auth: {oauth2: {tokenUrl: 'http://a', clientId: a, clientSecret: b}}":           "targets.crm.auth.oauth2.tokenUrl: this sends customers",
		"target: cardbox, url: 'https://a', tls: {ca: ./no.pem}":                                                            "targets.crm.tls.ca: the file cannot be read",
		"target: cardbox, url: 'https://a', tls: {cert: a}":                                                                 "targets.crm.tls.cert: a certificate is of no use without its key",
		"target: cardbox, url: 'https://a', tls: {key: a}":                                                                  "targets.crm.tls.key: a key is of no use without its certificate",
		"target: cardbox, url: 'https://a'}\n  b: {adapter: rest, target: hubspot, url: 'https://b', account: crm, rate: 7": "5:57: targets.b.account: the target crm has this account with another rate or burst",
	} {
		_, found := config.Parse("f.yaml", []byte("sources:\n  crm: {adapter: shopify, topic: crm}\ntargets:\n  crm: {adapter: rest, "+text+"}\n"), environment())
		if s := found.Error(); !strings.Contains(s, want) || strings.Contains(s, "s3cret") {
			t.Errorf("%s:\n%s\nwant %s", text, s, want)
		}
	}
	for text, want := range map[string]string{
		"adapter: plugin": "2:3: targets.a.plugin: this key is missing (add plugin: command and checksum of the plugin)",
		"adapter: plugin, plugin: {command: ./no, checksum: 'sha256:0'}":                          "targets.a.plugin.checksum: this is not a checksum",
		"adapter: plugin, plugin: {command: ./no, checksum: ''}":                                  "targets.a.plugin.command: there is no such file",
		"adapter: plugin, rate: 5, plugin: {command: ./no, checksum: ''}":                         "targets.a.rate: a plugin is told nothing of this",
		"adapter: rest, target: hubspot, url: 'https://a', plugin: {command: ./no, checksum: ''}": "targets.a.plugin: this is of the adapter plugin",
		"adapter: soap, target: hubspot, url: 'https://a'":                                        "or plugin, for one in a process of its own",
	} {
		if _, found := config.Parse("f.yaml", []byte("targets:\n  a: {"+text+"}\n"), environment()); !strings.Contains(found.Error(), want) {
			t.Errorf("%s:\n%v\nwant %s", text, found, want)
		}
	}
	_, found := config.Parse("f.yaml", []byte("targets:\n  CRM: {adapter: soap, target: cardbox, url: 'https://a'}\n"), environment())
	for _, want := range []string{"targets.CRM: a target's name has small letters", "targets.CRM.adapter: there is no such adapter for targets (write rest"} {
		if !strings.Contains(found.Error(), want) {
			t.Errorf("%v\nwant %s", found, want)
		}
	}
	var many strings.Builder
	for i := range config.MaxTargets + 1 {
		fmt.Fprintf(&many, "  t%d: {adapter: rest, target: cardbox, url: 'https://a'}\n", i)
	}
	if _, found := config.Parse("f.yaml", []byte("targets:\n"+many.String()), environment()); !strings.Contains(found.Error(), "over the limit of 50") {
		t.Error(found)
	}
}
