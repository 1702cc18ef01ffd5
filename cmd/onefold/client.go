package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/onefold/onefold/console"
)

const (
	apiRoot     = "/api/v1"
	maxAnswer   = 64 << 20         // bytes of an answer that is read whole
	apiPatience = 40 * time.Second // a little more than the API's own
)

// ask calls the service's API and reads its answer into the value that answer points to.
func (p *program) ask(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	resp, err := p.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the service's answer broke off: %w", err)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return p.stranger(err)
	}
	return nil
}

// stranger tells that what answers is no Onefold.
func (p *program) stranger(err error) error {
	return &environment{text: "what answers at " + p.server + " is not Onefold's API", remedy: "name the service with --server", err: err}
}

// request calls the API; an answer that is not 200 is an error.
func (p *program) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	target, err := url.Parse(p.server)
	if err != nil || target.Host == "" {
		return nil, &usage{text: "--server is not an address", hint: "write http://127.0.0.1:8080"}
	}
	target = target.JoinPath(apiRoot + path)
	target.RawQuery = query.Encode()
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), payload)
	if err != nil {
		return nil, err
	}
	client, err := p.authorize(req)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return nil, &environment{
				text: "what answers at " + p.server + " shows a certificate that is not trusted here: " + untrusted.Err.Error(), err: err,
				remedy: "name its authority with --ca; and write --server with the name that the certificate is for",
			}
		}
		return nil, &environment{
			text: "nothing answers at " + p.server, err: err,
			remedy: "start the service with onefold run or onefold demo, or name it with --server",
		}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	problem := console.Problem{Status: resp.StatusCode}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err := json.Unmarshal(raw, &problem); err != nil || problem.Code == "" {
		return nil, p.stranger(err)
	}
	return nil, &problem
}

// authorize says in a request who calls, and answers what to send it with.
func (p *program) authorize(req *http.Request) (*http.Client, error) {
	token, err := p.bearer()
	if err != nil {
		return nil, err
	}
	if token != "" {
		if err := private(req.URL); err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return p.caller()
}

// escape makes one segment of a path of a name.
func escape(name string) string { return url.PathEscape(strings.TrimSpace(name)) }
