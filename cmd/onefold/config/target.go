package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits of targets (invariant 10).
const (
	MaxTargets  = 50
	maxRate     = 10_000 // requests a second, and at once
	maxBatch    = 1000   // deliveries that are handed over at a time
	maxParallel = 64     // requests at once
	maxTimeout  = 10 * time.Minute
)

// What holds where a target does not say.
const (
	DefaultRate     = 50
	DefaultBatch    = 100
	DefaultParallel = 4
	DefaultTimeout  = 30 * time.Second
)

// Target is one configured instance of an outside system that customers are written to.
type Target struct {
	Adapter  string        `yaml:"adapter" need:"yes" doc:"What speaks to the system: rest, or plugin."`
	Target   string        `yaml:"target" need:"rest" doc:"Of rest: name of a shipped target file, or the path of your own, or of its folder."`
	URL      string        `yaml:"url" need:"rest" doc:"Of rest: where the system is, https://crm.example/api."`
	Plugin   Plugin        `yaml:"plugin" need:"plugin" doc:"Of plugin: the adapter, in a process of its own."`
	Source   string        `yaml:"source" doc:"The source on which the system tells of changes, also of our own. None: it tells of none."`
	Account  string        `yaml:"account" doc:"What the system counts requests by: targets with one account share its rate. None: its own."`
	Auth     TargetAuth    `yaml:"auth" doc:"Who we are. None: the system asks nobody."`
	TLS      TargetTLS     `yaml:"tls" doc:"Whom we trust, beside the operating system's authorities, and our own certificate."`
	Rate     int           `yaml:"rate" max:"10000" doc:"Most requests a second. None: 50."`
	Burst    int           `yaml:"burst" max:"10000" doc:"Most requests at once after a pause. None: those of one second."`
	Batch    int           `yaml:"batch" max:"1000" doc:"Most customers that are handed over at a time. None: 100."`
	Parallel int           `yaml:"parallel" max:"64" doc:"Most requests at once. None: 4."`
	Timeout  time.Duration `yaml:"timeout" doc:"How long a request may take with its answer, in minutes (m) or seconds (s). None: 30s."`
	Insecure bool          `yaml:"insecure" doc:"true: speak plain HTTP to another machine, so that everybody on the way can read it."`
}

// TargetAuth says who we are, in one of its ways.
type TargetAuth struct {
	Bearer Secret       `yaml:"bearer" need:"one" doc:"A token that stays, as Authorization: Bearer."`
	Basic  TargetBasic  `yaml:"basic" need:"one" doc:"HTTP basic."`
	Header TargetHeader `yaml:"header" need:"one" doc:"A header of the system's own."`
	OAuth2 TargetOAuth2 `yaml:"oauth2" need:"one" doc:"Tokens that are got with client credentials, and renewed."`
}

// TargetBasic is HTTP basic.
type TargetBasic struct {
	Username string `yaml:"username" need:"yes" doc:"User."`
	Password Secret `yaml:"password" need:"yes" doc:"Password."`
}

// TargetHeader is a header that holds a secret.
type TargetHeader struct {
	Name  string `yaml:"name" need:"yes" doc:"Name of the header: X-Api-Key."`
	Value Secret `yaml:"value" need:"yes" doc:"Value of the header."`
}

// TargetOAuth2 is OAuth 2.0 with the credentials of a client (RFC 6749, 4.4).
type TargetOAuth2 struct {
	TokenURL     string            `yaml:"tokenUrl" need:"yes" doc:"Where tokens are got."`
	ClientID     string            `yaml:"clientId" need:"yes" doc:"The client."`
	ClientSecret Secret            `yaml:"clientSecret" need:"yes" doc:"The client's secret."`
	Scopes       []string          `yaml:"scopes" doc:"What the token shall allow."`
	Params       map[string]string `yaml:"params" doc:"What else the address of tokens is told: {audience: ...}."`
}

// TargetTLS says whom a target is trusted to be. Relative paths start at the folder of the file.
type TargetTLS struct {
	CA   string `yaml:"ca" doc:"File of authorities that are trusted instead of the operating system's, in PEM."`
	Cert string `yaml:"cert" doc:"File of our own certificate, in PEM, for systems that want one."`
	Key  string `yaml:"key" doc:"File of the key of our own certificate, in PEM."`
}

// TargetNames answers the names of the targets in order.
func (c *Config) TargetNames() []string { return sortedKeys(c.Targets) }

// settle fills in what is not said, and makes paths start where they are meant to.
func (t Target) settle(name, dir string) Target {
	for _, n := range []struct {
		at    *int
		usual int
	}{{&t.Rate, DefaultRate}, {&t.Batch, DefaultBatch}, {&t.Parallel, DefaultParallel}} {
		if *n.at == 0 {
			*n.at = n.usual
		}
	}
	if t.Burst == 0 {
		t.Burst = t.Rate
	}
	if t.Timeout == 0 {
		t.Timeout = DefaultTimeout
	}
	if t.Account == "" {
		t.Account = name
	}
	if t.Plugin.Command != "" {
		t.Plugin.Command = folder(under(dir, t.Plugin.Command))
	}
	if t.Path() {
		t.Target = folder(under(dir, t.Target))
	}
	for _, path := range []*string{&t.TLS.CA, &t.TLS.Cert, &t.TLS.Key} {
		if *path != "" {
			*path = under(dir, *path)
		}
	}
	return t
}

// Path tells whether the target file is named by a path, not by the name of a shipped one.
func (t Target) Path() bool { return strings.ContainsAny(t.Target, `./\`) }

// TargetPlugin is the adapter of a target that is a process of its own.
const TargetPlugin = "plugin"

// way looks at what only one of the adapters knows.
func (r *reader) way(path string, t Target) {
	if t.Adapter == "" { // which is told already
		return
	}
	if t.Adapter != TargetPlugin {
		if r.needed(path+".target", "name of a shipped target file, or the path of your own") && !r.empty(path+".target", t.Target) {
			r.targetFile(path+".target", t)
		}
		if r.needed(path+".url", "where the system is") && !r.empty(path+".url", t.URL) {
			r.site(path+".url", t.URL, t.Insecure)
		}
		if r.places[path+".plugin"] != nil {
			r.at(path+".plugin", "this is of the adapter plugin, and "+t.Adapter+" is another", "leave it out, or write adapter: plugin")
		}
		return
	}
	if r.needed(path+".plugin", "command and checksum of the plugin") {
		r.plugin(path+".plugin", t.Plugin)
	}
	for _, key := range []string{"target", "url", "auth", "tls", "account", "rate", "burst", "parallel", "insecure"} {
		if r.places[path+"."+key] != nil {
			r.at(path+"."+key, "a plugin is told nothing of this", "leave it out; what a plugin wants to know stands in plugin.settings")
		}
	}
}

// needed tells whether a key is there, and says it where it is not.
func (r *reader) needed(path, what string) bool {
	if r.places[path] == nil {
		r.at(path, "this key is missing", "add "+path[strings.LastIndexByte(path, '.')+1:]+": "+what)
	}
	return r.places[path] != nil
}

func (r *reader) targets(c *Config) {
	if len(c.Targets) > MaxTargets {
		r.at("targets", fmt.Sprintf("%d targets are over the limit of %d", len(c.Targets), MaxTargets), "divide them among several processes")
	}
	accounts := map[string]string{}
	for _, name := range c.TargetNames() {
		t, path := c.Targets[name], "targets."+name
		if !regexp.MustCompile(SourcePattern).MatchString(name) {
			r.at(path, "a target's name has small letters, digits, and . _ - after the first", "it is at most 63 characters long: crm-eu")
		}
		if !r.empty(path+".adapter", t.Adapter) && t.Adapter != "rest" && t.Adapter != TargetPlugin {
			r.at(path+".adapter", "there is no such adapter for targets",
				"write rest, which speaks HTTP and JSON as a target file says, or plugin, for one in a process of its own")
		}
		r.way(path, t)
		if _, known := c.Sources[t.Source]; t.Source != "" && !known {
			r.at(path+".source", "there is no source of that name", suggestion(t.Source, c.SourceNames()))
		}
		r.bounds(path, t)
		r.auth(path+".auth", t)
		r.targetTLS(path+".tls", t.TLS)
		t = t.settle(name, r.dir)
		if other, shared := accounts[t.Account]; shared && (c.Targets[other].settle(other, r.dir).Rate != t.Rate ||
			c.Targets[other].settle(other, r.dir).Burst != t.Burst) {
			if at := "targets." + other + ".account"; r.places[at] != nil { // where the account is named
				path, other = "targets."+other, name
			}
			r.at(path+".account", "the target "+other+" has this account with another rate or burst", "an account has one: write the same for both")
		}
		accounts[t.Account] = name
	}
}

func (r *reader) targetFile(path string, t Target) {
	if !t.Path() {
		if !slices.Contains(r.env.Targets, t.Target) {
			r.at(path, "there is no shipped target file of that name",
				suggestion(t.Target, r.env.Targets)+"; a file of your own is named by its path: ./targets/erp.yaml")
		}
		return
	}
	at := under(r.dir, t.Target)
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		at = filepath.Join(at, "target.yaml")
	}
	if _, err := os.Stat(at); err != nil {
		r.at(path, "there is no such file, or no target.yaml in that folder", "a relative path starts at the folder of this file")
	}
}

// site checks an address that secrets and customers are sent to.
func (r *reader) site(path, text string, insecure bool) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.at(path, "this is not an address", "write https://crm.example/api")
	case u.User != nil:
		r.at(path, "an address is no place for a user or a password: it is shown in many places", "write them into auth")
	case u.RawQuery != "" || u.Fragment != "":
		r.at(path, "an address ends with its path", "leave out what follows a question mark or a #; a target file has query")
	case u.Scheme == "http" && !Loopback(u.Hostname()) && !insecure:
		r.at(path, "this sends customers so that everybody on the way can read them",
			"write https, or, in a network that you trust, insecure: true")
	}
}

func (r *reader) bounds(path string, t Target) {
	for _, n := range []struct {
		key        string
		value, top int
	}{{"rate", t.Rate, maxRate}, {"burst", t.Burst, maxRate}, {"batch", t.Batch, maxBatch}, {"parallel", t.Parallel, maxParallel}} {
		if at := path + "." + n.key; r.places[at] != nil && (n.value < 1 || n.value > n.top) && !r.told(at) {
			r.at(at, fmt.Sprintf("a whole number from 1 to %d is expected here", n.top), "")
		}
	}
	if at := path + ".timeout"; r.places[at] != nil && (t.Timeout <= 0 || t.Timeout > maxTimeout) && !r.told(at) {
		r.at(at, "a request may take at most 10m, and more than 0", "")
	}
}

// auth sees to it that what is sent as a header is one: a secret with a line end in it would be another header.
func (r *reader) auth(path string, t Target) {
	a := t.Auth
	for _, s := range []struct {
		key, text string
	}{
		{".bearer", string(a.Bearer)},
		{".basic.username", a.Basic.Username},
		{".basic.password", string(a.Basic.Password)},
		{".header.value", string(a.Header.Value)},
		{".oauth2.clientId", a.OAuth2.ClientID},
		{".oauth2.clientSecret", string(a.OAuth2.ClientSecret)},
	} {
		if r.places[path+s.key] == nil || r.empty(path+s.key, s.text) {
			continue
		}
		if strings.ContainsFunc(s.text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			r.at(path+s.key, "there is a line end or another control character in this", "check the file or the variable that it comes from")
		}
	}
	if at := path + ".header.name"; r.places[at] != nil && !r.empty(at, a.Header.Name) {
		name := textproto.CanonicalMIMEHeaderKey(a.Header.Name)
		if !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(name) || slices.Contains([]string{"Content-Type", "Content-Length", "Host"}, name) {
			r.at(at, "this is not a header that can hold a secret", "write its name alone: X-Api-Key")
		}
	}
	if at := path + ".oauth2.tokenUrl"; r.places[at] != nil && !r.empty(at, a.OAuth2.TokenURL) {
		r.site(at, a.OAuth2.TokenURL, t.Insecure)
	}
	if a.Basic.Username != "" && strings.Contains(a.Basic.Username, ":") {
		r.at(path+".basic.username", "HTTP basic knows no user with a colon in the name", "")
	}
}

func (r *reader) targetTLS(path string, t TargetTLS) {
	if t.CA != "" {
		if pem, ok := r.pem(path+".ca", t.CA); ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			r.at(path+".ca", "there is no certificate in that file", "it is in PEM: -----BEGIN CERTIFICATE-----")
		}
	}
	switch {
	case t.Cert == "" && t.Key == "":
		return
	case t.Key == "":
		r.at(path+".cert", "a certificate is of no use without its key", "add key: the file of the certificate's key")
		return
	case t.Cert == "":
		r.at(path+".key", "a key is of no use without its certificate", "add cert: the file of the certificate")
		return
	}
	cert, found := r.pem(path+".cert", t.Cert)
	key, ok := r.pem(path+".key", t.Key)
	if !found || !ok {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		r.at(path+".cert", "this and "+path+".key are not a certificate and its key", "both are in PEM, the key without a passphrase")
	}
}
