package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/console"
)

// certified writes a certificate of this machine and its key.
func certified(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "onefold test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "our.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return write(t, dir, "our.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// newToken makes a token with the command, and the line for the configuration.
func newToken(t *testing.T, name, role string) (secret, line string) {
	t.Helper()
	out, errs, code := typed(t, "", "token", "new", "--name", name, "--role", role, "-o", "json")
	var m made
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 || m.Name != name || string(m.Role) != role {
		t.Fatal(code, out, errs, err)
	}
	return m.Token, "{name: " + m.Name + ", role: " + string(m.Role) + ", secret: '" + m.Secret + "'}"
}

// The whole way: tokens are made, the service takes them over TLS, and each command says who it is in each of the ways that there are.
func TestCommandsWithTokens(t *testing.T) {
	dir := t.TempDir()
	ca := certified(t, dir)
	admin, a := newToken(t, "lee", "admin")
	viewer, v := newToken(t, "watch", "viewer")
	steward, s := newToken(t, "kim", "steward")
	file := write(t, dir, "onefold.yaml", "data: ./data\nadmin: {listen: '127.0.0.1:0'}\nkafka: {listen: '127.0.0.1:0'}\n"+shopOnly+
		"console:\n  listen: '127.0.0.1:0'\n  tls: {cert: our.pem, key: our.key}\n  tokens:\n  - "+a+"\n  - "+v+"\n  - "+s+"\n")
	in := serve(t, file)
	if !strings.HasPrefix(in.API, "https://") {
		t.Fatal(in.API)
	}
	as := func(env string, args ...string) (string, string, int) {
		var o, e bytes.Buffer
		p := &program{in: strings.NewReader(""), out: &o, err: &e, now: time.Now, lookup: func(name string) (string, bool) {
			if name == "ONEFOLD_TOKEN" {
				return env, env != ""
			}
			return environ(name)
		}}
		code := p.run(t.Context(), append(args, "--server", in.API, "--ca", ca))
		return o.String(), e.String(), code
	}
	produce(t, in.Broker, ana(706405506930370084, "ana@example.com"), ana(207119551, "ana@example.com"))
	find := []string{"customer", "find", "--email", "ana@example.com", "-o", "json"}
	var found string
	eventually(t, 20*time.Second, "both records are found", func() bool {
		var code int
		found, _, code = as(steward, find...)
		return code == 0 && strings.Count(found, `"record"`) == 2
	})
	if !strings.Contains(found, "Silva") {
		t.Error(found)
	}
	masked, _, code := as(viewer, find...)
	if code != 0 || strings.Contains(masked, "Silva") || strings.Contains(masked, "ana@") || strings.Contains(masked, "207119551") || !strings.Contains(masked, "***") {
		t.Error("a viewer sees", masked)
	}
	keys := []string{"shop-eu/706405506930370084", "shop-eu/207119551"}
	out, errs, code := as(steward, "customer", "merge", keys[0], keys[1], "-o", "json")
	if code != 0 || !strings.Contains(out, `"author": "kim"`) {
		t.Error(code, out, errs)
	}
	for name, c := range map[string]struct {
		env  string
		args []string
		code int
		says string
	}{
		"nobody":            {"", []string{"source", "list"}, 1, "a token is needed"},
		"a stranger":        {strings.Repeat("x", 40), []string{"source", "list"}, 1, "not known"},
		"a flag":            {"", []string{"source", "list", "--token", viewer}, 0, ""},
		"a file":            {"", []string{"source", "list", "--token-file", write(t, dir, "viewer", viewer+"\n")}, 0, ""},
		"an open file":      {"", []string{"source", "list", "--token-file", open4all(t, dir, viewer)}, 3, "chmod"},
		"no file":           {"", []string{"source", "list", "--token-file", filepath.Join(dir, "none")}, 3, "no such file"},
		"an empty file":     {viewer, []string{"source", "list", "--token-file", write(t, dir, "empty", "\n")}, 3, "no token in"},
		"two":               {"", []string{"source", "list", "--token-file", "x", "--token", "y"}, 2, "both"},
		"a broken one":      {"a b", []string{"source", "list"}, 2, "characters"},
		"no right":          {viewer, []string{"customer", "merge", keys[0], keys[1]}, 1, "it takes a token with the role steward or admin"},
		"in another's name": {steward, []string{"customer", "merge", keys[0], keys[1], "--author", "lee"}, 1, "token's holder"},
		"no export":         {steward, []string{"customer", "export"}, 1, "the role admin"},
		"export":            {admin, []string{"customer", "export"}, 0, ""},
	} {
		out, errs, code := as(c.env, c.args...)
		if code != c.code || !strings.Contains(errs, c.says) || strings.Contains(errs, "xxxx") {
			t.Errorf("%s: %d %s %s", name, code, out, errs)
		}
	}
	if log := in.logged.String(); !strings.Contains(log, `"by":"kim"`) || strings.Contains(log, steward) || strings.Contains(log, "ana@") || strings.Contains(log, "Silva") {
		t.Error(log)
	}
}

func open4all(t *testing.T, dir, secret string) string {
	t.Helper()
	file := write(t, dir, "open", secret)
	if err := os.Chmod(file, 0o644); err != nil { // that it is open is what is tested
		t.Fatal(err)
	}
	return file
}

// A token goes nowhere where others can read it, and follows nobody elsewhere.
func TestTokensStayPrivate(t *testing.T) {
	_, errs, code := typed(t, "", "source", "list", "--token", strings.Repeat("x", 40), "--server", "http://192.0.2.1:8080")
	if code != exitConfig || !strings.Contains(errs, "without TLS") {
		t.Error(code, errs)
	}
	seen := make(chan string, 2)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- console.Serve(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen <- r.URL.Path
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}), newLog(&bytes.Buffer{}, false, 0))
	}()
	_, errs, code = typed(t, "", "source", "list", "--token", strings.Repeat("x", 40), "--server", "http://"+ln.Addr().String())
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if close(seen); code != exitEnvironment || <-seen != "/api/v1/sources" || <-seen != "" {
		t.Error(code, errs)
	}
}

// A certificate that is not trusted is no service that is away: what is to be done is another thing.
func TestUntrustedCertificateIsTold(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	_, errs, code := typed(t, "", "source", "list", "--server", srv.URL)
	if code != exitEnvironment || !strings.Contains(errs, "not trusted here") || !strings.Contains(errs, "--ca") || strings.Contains(errs, "nothing answers") {
		t.Errorf("%d: %s", code, errs)
	}
}
