package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/onefold/onefold/adapters/webhook"
	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
)

// openDoor makes the door that webhooks come in by, where a source has one.
func (s *service) openDoor(context.Context) error {
	if s.hooks == nil {
		return nil
	}
	sources := map[string]webhook.Source{}
	for name, src := range s.config.Sources {
		w := src.Webhook
		if w.Scheme == "" {
			continue
		}
		secrets := make([]string, len(w.Secrets))
		for i, secret := range w.Secrets {
			secrets[i] = string(secret)
		}
		sources[name] = webhook.Source{
			Topic: src.Topic, Scheme: webhook.Scheme(w.Scheme), Secrets: secrets, Header: w.Header, Verify: string(w.Verify),
		}
	}
	log := s.log.With("component", "webhooks")
	s.door = webhook.New(webhook.Config{
		Sources: sources, URL: s.config.Webhooks.URL, Topics: s.publisher, Metrics: webhook.NewMetrics(s.metrics), Now: s.now, Log: log,
	})
	if cert := s.config.Webhooks.TLS; cert.Cert != "" {
		c, err := newCertificate(cert, log)
		if err != nil {
			return surroundings(err, "mend webhooks.tls")
		}
		s.hooks = tls.NewListener(s.hooks, c.config())
	}
	return nil
}

// doorAddress answers where webhooks come in, empty where they do not.
func (s *service) doorAddress() string {
	if s.hooks == nil {
		return ""
	}
	scheme := "http://"
	if s.config.Webhooks.TLS.Cert != "" {
		scheme = "https://"
	}
	return scheme + s.hooks.Addr().String()
}

// serveDoor takes webhooks until ctx ends.
func (s *service) serveDoor(ctx context.Context) error {
	return console.Serve(ctx, s.hooks, s.door, s.log.With("component", "webhooks"))
}

// certificate is one of ours that is read anew when its file has changed, so that a renewed one needs no restart.
type certificate struct {
	files config.ServerCert
	log   *slog.Logger

	mu   sync.Mutex
	cert *tls.Certificate
	seen [2]time.Time
}

func newCertificate(files config.ServerCert, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log}
	return c, c.load()
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
	}
}

// get answers the certificate of the files as they are. While they are not a pair, as in the middle of being replaced, the former stays.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stamps() != c.seen {
		if err := c.load(); err != nil {
			c.log.Warn("a new certificate cannot be used, the former stays", slog.Any("err", err))
		}
	}
	return c.cert
}

func (c *certificate) stamps() (at [2]time.Time) {
	for i, name := range []string{c.files.Cert, c.files.Key} {
		if info, err := os.Stat(name); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

func (c *certificate) load() error {
	c.seen = c.stamps()
	cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.files.Cert, c.files.Key, err)
	}
	c.cert = &cert
	return nil
}
