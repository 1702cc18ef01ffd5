package config_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console/access"
)

var (
	hash   = "sha256:" + strings.Repeat("0a", 32)
	secret = strings.Repeat("x", 32)
)

func TestTokens(t *testing.T) {
	dir := certificates(t)
	text := "console: {listen: '0.0.0.0:8443', tls: {cert: our.pem, key: our.key}, tokens: [" +
		"{name: kim, role: steward, secret: '" + hash + "'}, {name: watch@tills, role: viewer, secret: '${env:WATCH}'}]}"
	env := environment()
	env.Lookup = func(name string) (string, bool) { return secret, name == "WATCH" }
	got, found := config.Parse(filepath.Join(dir, "f.yaml"), []byte(text), env)
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := config.Console{
		Listen: "0.0.0.0:8443", TLS: config.ServerCert{Cert: filepath.Join(dir, "our.pem"), Key: filepath.Join(dir, "our.key")},
		Tokens: []config.Token{{Name: "kim", Role: "steward", Secret: config.Secret(hash)}, {Name: "watch@tills", Role: "viewer", Secret: config.Secret(secret)}},
	}
	if d := cmp.Diff(want, got.Console); d != "" {
		t.Error(d)
	}
	printed, err := json.Marshal(got)
	if all := fmt.Sprintf("%s %+v %#v", printed, *got, got.Console); err != nil || strings.Contains(all, "xxx") { // invariant 9
		t.Errorf("the secret can be printed: %s %v", all, err)
	}
	for _, listen := range []string{"127.0.0.1:0", "localhost:1", "[::1]:1"} { // behind a proxy on this machine
		text := "console: {listen: '" + listen + "', tokens: [{name: kim, role: admin, secret: '" + hash + "'}]}"
		if _, found := config.Parse("f.yaml", []byte(text), environment()); len(found) > 0 {
			t.Error(found)
		}
	}
}

func TestBrokenTokens(t *testing.T) {
	dir := certificates(t)
	token := func(name, role, secret string) string {
		return "tokens: [{name: " + name + ", role: " + role + ", secret: '" + secret + "'}]"
	}
	const makes = "onefold token new makes one, and prints its hash for this place"
	for name, c := range map[string]struct{ text, want string }{
		"name":         {token("Kim", "admin", hash), `console.tokens[0].name: a token's name has small letters, digits, and . _ @ - after the first (it is at most 63 characters long: kim)`},
		"no name":      {"tokens: [{role: admin, secret: '" + hash + "'}]", `console.tokens[0].name: this key is missing (add name: who holds it: the author of what is decided with it)`},
		"role":         {token("kim", "stewart", hash), `console.tokens[0].role: there is no such role (did you mean steward?)`},
		"other role":   {token("kim", "root", hash), `console.tokens[0].role: there is no such role (one of: viewer, steward, operator, admin)`},
		"no secret":    {"tokens: [{name: kim, role: admin}]", `console.tokens[0].secret: this key is missing (add secret: what onefold token new prints, or the secret itself, from elsewhere)`},
		"empty secret": {token("kim", "admin", ""), `console.tokens[0].secret: there is nothing in this text`},
		"short":        {token("kim", "admin", secret[1:]), `console.tokens[0].secret: a secret of less than 32 bytes can be guessed (` + makes + `)`},
		"long":         {token("kim", "admin", strings.Repeat("x", 1001)), `console.tokens[0].secret: a secret is longer than 1000 bytes (` + makes + `)`},
		"spaces":       {token("kim", "admin", secret+" x"), `console.tokens[0].secret: a secret has letters, digits and signs of ASCII, and no space: it is sent in a header (` + makes + `)`},
		"half a hash":  {token("kim", "admin", hash[:60]), `console.tokens[0].secret: this is not a hash: sha256: and 64 hexadecimal digits in small letters (` + makes + `)`},
		"loud hash":    {token("kim", "admin", "sha256:"+strings.Repeat("A", 64)), `console.tokens[0].secret: this is not a hash: sha256: and 64 hexadecimal digits in small letters (` + makes + `)`},
		"twice": {
			"tokens: [{name: kim, role: admin, secret: '" + hash + "'}, {name: kim, role: viewer, secret: '" + secret + "'}]",
			`console.tokens[1].name: console.tokens[0] has this name already (give each holder a name of their own)`,
		},
		"one secret of two": {
			"tokens: [{name: kim, role: admin, secret: '" + hash + "'}, {name: lee, role: viewer, secret: '" + hash + "'}]",
			`console.tokens[1].secret: console.tokens[0] has this secret already (make one for each: onefold token new)`,
		},
		"far without tokens": {
			"listen: '10.0.0.1:80', tls: {cert: our.pem, key: our.key}",
			`console.listen: this address can be reached from other machines, and without tokens nothing here asks who calls (use 127.0.0.1, or add console.tokens and console.tls: docs/security.md)`,
		},
		"far without TLS": {
			"listen: '10.0.0.1:80', " + token("kim", "admin", hash),
			`console.listen: this address can be reached from other machines, and without TLS tokens and customers can be read on the way (add console.tls; or use 127.0.0.1 and put a proxy with TLS before it on this machine: docs/security.md)`,
		},
		"half a TLS":  {"tls: {cert: our.pem}", `console.tls.key: this key is missing (add key: file of the certificate's key, in pem)`},
		"another key": {"tls: {cert: our.pem, key: other.key}", `console.tls.cert: this and console.tls.key are not a certificate and its key (both are in PEM, the key without a passphrase)`},
		"no file":     {"tls: {cert: nowhere, key: our.key}", `console.tls.cert: the file cannot be read: no such file or directory (a relative path starts at the folder of this file)`},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := config.Parse(filepath.Join(dir, "f.yaml"), []byte("console: {"+c.text+"}"), environment())
			if len(found) != 1 || found[0].Line != 1 || found[0].Column < 11 {
				t.Fatalf("found %v", found)
			}
			_, got, _ := strings.Cut(found.Error(), ": ")
			if got != c.want {
				t.Error(cmp.Diff(c.want, got))
			}
			if strings.Contains(got, "xxx") {
				t.Error("the secret is told")
			}
		})
	}
	var many strings.Builder
	for i := range config.MaxTokens + 1 {
		fmt.Fprintf(&many, "{name: n%d, role: viewer, secret: 'sha256:%064d'}, ", i, i)
	}
	if _, found := config.Parse("f.yaml", []byte("console: {tokens: ["+many.String()+"]}"), environment()); len(found) != 1 {
		t.Error("more tokens than the limit are taken:", found)
	}
}

// The file's rules are those of the door that the tokens open.
func TestRulesOfTokensAreTheDoors(t *testing.T) {
	var roles []string
	for _, r := range access.Roles() {
		roles = append(roles, string(r))
	}
	if d := cmp.Diff(roles, config.Roles()); d != "" {
		t.Error(d)
	}
	theirs := fmt.Sprint(access.NamePattern, access.HashPattern, access.MinSecret, access.MaxSecret, access.MaxTokens)
	if ours := fmt.Sprint(config.TokenPattern, config.HashPattern, config.MinSecret, config.MaxSecret, config.MaxTokens); ours != theirs {
		t.Error(ours, theirs)
	}
}
