package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Patterns and limits of tokens (invariant 10). What they guard keeps to the same ones, which a test compares.
const (
	TokenPattern = `^[a-z0-9][a-z0-9._@-]{0,62}$`
	HashPattern  = `^sha256:[0-9a-f]{64}$`
	MinSecret    = 32    // bytes
	MaxSecret    = 1_000 // bytes
	MaxTokens    = 200
)

// Roles answers the values of console.tokens[].role.
func Roles() []string { return []string{"viewer", "steward", "operator", "admin"} }

// Console says where the API and the pages listen, and who may come in.
type Console struct {
	Listen string     `yaml:"listen" format:"listen" doc:"Where API and pages listen: loopback; anywhere with tokens and tls. 0: a free port."`
	TLS    ServerCert `yaml:"tls" doc:"TLS of what asks the API. None: plain text, on loopback only."`
	Tokens []Token    `yaml:"tokens" doc:"Who may come in, and with which role. None: everybody on this machine, as an admin."`
}

// Token is one who may come in.
type Token struct {
	Name   string `yaml:"name" need:"yes" format:"token" doc:"Who holds it: the author of what is decided with it."`
	Role   string `yaml:"role" need:"yes" format:"role" doc:"Viewer, steward, operator or admin."`
	Secret Secret `yaml:"secret" need:"yes" format:"secret" doc:"What onefold token new prints, or the secret itself, from elsewhere."`
}

// console looks at who may come in, and from where.
func (r *reader) console(c Console) {
	r.serverCert("console.tls", c.TLS)
	if len(c.Tokens) > MaxTokens {
		r.at("console.tokens", fmt.Sprintf("%d tokens are over the limit of %d", len(c.Tokens), MaxTokens), "")
	}
	names, secrets := map[string]int{}, map[Secret]int{}
	for i, t := range c.Tokens {
		path := fmt.Sprintf("console.tokens[%d]", i)
		if !r.empty(path+".name", t.Name) && !regexp.MustCompile(TokenPattern).MatchString(t.Name) {
			r.at(path+".name", "a token's name has small letters, digits, and . _ @ - after the first", "it is at most 63 characters long: kim")
		}
		if !r.empty(path+".role", t.Role) && !slices.Contains(Roles(), t.Role) {
			r.at(path+".role", "there is no such role", suggestion(t.Role, Roles()))
		}
		if other, twice := names[t.Name]; twice && t.Name != "" {
			r.at(path+".name", fmt.Sprintf("console.tokens[%d] has this name already", other), "give each holder a name of their own")
		}
		if other, twice := secrets[t.Secret]; twice && t.Secret != "" {
			r.at(path+".secret", fmt.Sprintf("console.tokens[%d] has this secret already", other), "make one for each: onefold token new")
		}
		names[t.Name], secrets[t.Secret] = i, i
		if !r.empty(path+".secret", string(t.Secret)) {
			r.tokenSecret(path+".secret", string(t.Secret))
		}
	}
}

func (r *reader) tokenSecret(path, secret string) {
	const remedy = "onefold token new makes one, and prints its hash for this place"
	switch {
	case strings.HasPrefix(secret, "sha256:"):
		if !regexp.MustCompile(HashPattern).MatchString(secret) {
			r.at(path, "this is not a hash: sha256: and 64 hexadecimal digits in small letters", remedy)
		}
	case len(secret) < MinSecret:
		r.at(path, fmt.Sprintf("a secret of less than %d bytes can be guessed", MinSecret), remedy)
	case len(secret) > MaxSecret:
		r.at(path, fmt.Sprintf("a secret is longer than %d bytes", MaxSecret), remedy)
	case strings.IndexFunc(secret, func(c rune) bool { return c <= ' ' || c >= 0x7f }) >= 0:
		r.at(path, "a secret has letters, digits and signs of ASCII, and no space: it is sent in a header", remedy)
	}
}

// far sees to it that nobody on another machine is let in unasked, nor sends a token so that everybody on the way can read it.
func (r *reader) far(c Console) {
	switch {
	case len(c.Tokens) == 0:
		r.at("console.listen", "this address can be reached from other machines, and without tokens nothing here asks who calls",
			"use 127.0.0.1, or add console.tokens and console.tls: docs/security.md")
	case c.TLS.Cert == "":
		r.at("console.listen", "this address can be reached from other machines, and without TLS tokens and customers can be read on the way",
			"add console.tls; or use 127.0.0.1 and put a proxy with TLS before it on this machine: docs/security.md")
	}
}
