package config

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// WebhookSchemes answers the values of a source's webhook.scheme.
func WebhookSchemes() []string {
	return []string{"shopify", "woocommerce", "square", "stripe", "hubspot", "zendesk", "meta", "standard", "header"}
}

// Bounds of secrets that sign webhooks (invariant 10): two may hold at one time, and none is so short that it can be guessed.
const (
	MaxWebhookSecrets = 2
	MinWebhookSecret  = 16 // characters
)

// Webhooks is the door for systems that speak HTTPS only. It is open where a source has a webhook.
type Webhooks struct {
	Listen string     `yaml:"listen" format:"listen" doc:"Where POST /in/{source} is answered. Port 0 takes a free one."`
	URL    string     `yaml:"url" doc:"Address that the senders call, without /in/..., as square and hubspot sign it."`
	TLS    ServerCert `yaml:"tls" doc:"Our own certificate. None: plain HTTP, behind a proxy that speaks TLS."`
}

// ServerCert is a certificate that we show, and its key. It is none where Cert is empty. Relative paths start at the folder of the file.
type ServerCert struct {
	Cert string `yaml:"cert" need:"yes" doc:"File of the certificate, in PEM."`
	Key  string `yaml:"key" need:"yes" doc:"File of the certificate's key, in PEM."`
}

// Webhook says how a source proves at the door who it is. It is none where Scheme is empty.
type Webhook struct {
	Scheme  string   `yaml:"scheme" need:"yes" format:"scheme" doc:"How the sender signs: the name of a system, standard, or header."`
	Secrets []Secret `yaml:"secrets" need:"yes" doc:"Secrets that hold now: the one in use, and the next while it is being changed."`
	Header  string   `yaml:"header" doc:"Of the scheme header: the name of the header that holds the secret."`
	Verify  Secret   `yaml:"verify" doc:"Of the scheme meta: the verify token of its first question."`
}

// Door tells whether any source comes in by webhooks.
func (c *Config) Door() bool {
	for _, s := range c.Sources {
		if s.Webhook.Scheme != "" {
			return true
		}
	}
	return false
}

// webhook looks at one source's.
func (r *reader) webhook(path string, w Webhook, door Webhooks) {
	switch {
	case w.Scheme == "":
		r.empty(path+".scheme", "")
		return
	case !slices.Contains(WebhookSchemes(), w.Scheme):
		r.at(path+".scheme", "there is no such scheme", suggestion(w.Scheme, WebhookSchemes()))
		return
	case len(w.Secrets) == 0:
		if r.places[path+".secrets"] != nil {
			r.at(path+".secrets", "there is no secret in this list", "write what the sender signs with: ['${env:NAME}']")
		}
	case len(w.Secrets) > MaxWebhookSecrets:
		r.at(path+".secrets", fmt.Sprintf("%d secrets are over the limit of %d", len(w.Secrets), MaxWebhookSecrets),
			"keep the one that is in use, and the next")
	}
	for i, secret := range w.Secrets {
		at := fmt.Sprintf("%s.secrets[%d]", path, i)
		if w.Scheme == "standard" && !standard(string(secret)) {
			r.at(at, "this is not a secret of Standard Webhooks", "it is whsec_ and base64, as the sender shows it")
		} else if len(secret) < MinWebhookSecret {
			r.at(at, fmt.Sprintf("a secret of fewer than %d characters can be guessed", MinWebhookSecret),
				"take the one that the sender shows, or a longer one")
		}
	}
	for _, key := range []struct {
		name, scheme string
		given        bool
	}{{"header", "header", w.Header != ""}, {"verify", "meta", w.Verify != ""}} {
		at, there := path+"."+key.name, r.places[path+"."+key.name] != nil
		switch {
		case key.scheme != w.Scheme && there:
			r.at(at, "the scheme "+w.Scheme+" knows no "+key.name, "leave it out")
		case key.scheme == w.Scheme && !there:
			r.at(at, "this key is missing", "add it")
		case key.scheme == w.Scheme && !key.given:
			r.empty(at, "")
		}
	}
	if w.Header != "" && (!regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`).MatchString(w.Header) || http.CanonicalHeaderKey(w.Header) == "Host") {
		r.at(path+".header", "this is not the name of a header", "it has letters, digits and -: X-Webhook-Token")
	}
	if host, _, err := net.SplitHostPort(door.Listen); w.Scheme == "header" && err == nil && !Loopback(host) && door.TLS.Cert == "" {
		r.at(path+".scheme", "without webhooks.tls the secret in the header can be read by everybody on the way",
			"set webhooks.tls, or listen on 127.0.0.1 behind a proxy that speaks TLS")
	}
	if (w.Scheme == "square" || w.Scheme == "hubspot") && door.URL == "" {
		r.at(path+".scheme", w.Scheme+" signs the address that it calls, and webhooks.url does not say it",
			"set webhooks.url: https://hooks.example.com")
	}
}

func standard(secret string) bool {
	text, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	return ok && err == nil && len(key) >= MinWebhookSecret
}

// door looks at where webhooks come in.
func (r *reader) door(w Webhooks) {
	if w.URL != "" {
		u, err := url.Parse(w.URL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" {
			r.at("webhooks.url", "this is not an address", "write it as the senders call it, without /in/...: https://hooks.example.com")
		}
	}
	r.serverCert("webhooks.tls", w.TLS)
}

func (r *reader) serverCert(path string, c ServerCert) {
	if c.Cert == "" || c.Key == "" {
		return // what is missing was said
	}
	cert, found := r.pem(path+".cert", c.Cert)
	key, ok := r.pem(path+".key", c.Key)
	if !found || !ok {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		r.at(path+".cert", "this and "+path+".key are not a certificate and its key", "both are in PEM, the key without a passphrase")
	}
}
