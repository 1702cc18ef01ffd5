package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console/access"
)

// secretFile reads a token that lies in a file of its own, which not everybody on this machine may read.
func secretFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", &environment{text: "the token's file cannot be read: " + err.Error(), remedy: "name another with --token-file", err: err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		return "", &environment{text: "everybody on this machine may open the token's file " + name, remedy: "chmod o= " + name}
	}
	raw, err := io.ReadAll(io.LimitReader(f, access.MaxSecret+3)) // two for the end of a line
	if err != nil {
		return "", err
	}
	return string(raw), nil
}

// caller answers how the service is called. It follows no one elsewhere: what it is sent is meant for the service alone.
func (p *program) caller() (*http.Client, error) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if p.ca == "" {
		return client, nil
	}
	raw, err := os.ReadFile(p.ca)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(raw) {
		return nil, &environment{text: "there is no certificate in " + p.ca, remedy: "--ca names a file of authorities in PEM", err: err}
	}
	client.Transport = &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, DisableKeepAlives: true,
	}
	return client, nil
}

// private refuses to send a token so that everybody on the way can read it.
func private(target *url.URL) error {
	if target.Scheme == "https" || config.Loopback(target.Hostname()) {
		return nil
	}
	return &usage{text: "a token is not sent to another machine without TLS", hint: "write --server https://..."}
}
