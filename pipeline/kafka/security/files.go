package security

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/onefold/onefold/event"
)

// MaxFileBytes is the limit of a file of certificates, of a key and of a token (invariant 10).
const MaxFileBytes = 1 << 20

// files are the certificates and the key, as they are on disk. What cannot be used leaves in use what was read before: a file may
// be looked at while it is being replaced.
type files struct {
	TLS
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	roots *x509.CertPool
	own   *tls.Certificate
}

// config answers how to greet one broker.
func (f *files) config(address string) (*tls.Config, error) {
	roots, own, err := f.read()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: roots, ServerName: f.host(address), MinVersion: tls.VersionTLS12, Time: f.now}
	if own == nil {
		return c, nil
	}
	if end := own.Leaf.NotAfter; f.now().After(end) {
		return nil, event.Errorf(event.Auth, "broker", "kafka.tls.cert",
			"our certificate in %s expired at %s: put a new one there; no restart is needed", f.Cert, end.UTC().Format(time.RFC3339))
	}
	// Shown whatever authorities the broker names: its refusal says more than our silence.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	return c, nil
}

func (f *files) host(address string) string {
	if f.ServerName != "" {
		return f.ServerName
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

func (f *files) read() (*x509.CertPool, *tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.CA != "" {
		roots, err := readRoots(f.CA)
		if err != nil && f.roots == nil {
			return nil, nil, event.Errorf(event.Auth, "broker", "kafka.tls.ca", "%w", err)
		} else if err != nil {
			f.log.Warn("the file of trusted authorities cannot be used, what it held before is", "error", err)
		} else {
			f.roots = roots
		}
	}
	if f.Cert != "" {
		own, err := readPair(f.Cert, f.Key)
		if err != nil && f.own == nil {
			return nil, nil, event.Errorf(event.Auth, "broker", "kafka.tls.cert", "%w", err)
		} else if err != nil {
			f.log.Warn("our certificate and its key cannot be used, what they were before is", "error", err)
		} else {
			f.own = own
		}
	}
	return f.roots, f.own, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	pem, err := readFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s: put the authority's there, in PEM (-----BEGIN CERTIFICATE-----)", path)
	}
	return roots, nil
}

func readPair(cert, key string) (*tls.Certificate, error) {
	certPEM, err := readFile(cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil { // it quotes neither
		return nil, fmt.Errorf("%s and %s are not a certificate and its key, in PEM and without a passphrase: %w", cert, key, err)
	}
	return &pair, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("%s is larger than the limit of %d bytes", path, MaxFileBytes)
	}
	return data, nil
}

// refusal tells what it means that the first request after a handshake fails: by TLS 1.3 a broker looks at our certificate only then.
func (f *files) refusal(address string, err error) error {
	var op *net.OpError
	if !closed(err) || errors.As(err, &op) && op.Op == "remote error" {
		return f.problem(address, err)
	}
	return event.Errorf(event.Auth, "broker", "kafka.tls.cert",
		"broker %s ends the connection after the handshake of TLS, before its first answer. %s: %w", address, f.ours(), err)
}

// problem tells what a failure of the handshake means.
func (f *files) problem(address string, err error) error {
	auth := func(path, format string, args ...any) error {
		return event.Errorf(event.Auth, "broker", path, "broker "+address+" "+format, args...)
	}
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		plain   tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return auth("kafka.tls.ca", "shows a certificate of an authority that we do not trust: put that authority's certificate into %s: %w",
			f.authorities(), err)
	case errors.As(err, &name):
		return auth("kafka.tls.serverName", "shows a certificate that is not for %s: name the broker as its certificate does, or set "+
			"kafka.tls.serverName to a name in it: %w", f.host(address), err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return auth("kafka.tls", "shows a certificate that has expired or is not valid yet: renew it at the broker, and look at the clock "+
			"of this machine: %w", err)
	case errors.As(err, &op) && op.Op == "remote error":
		return auth("kafka.tls.cert", "ends the handshake: %w. %s", op.Err, f.ours())
	case errors.As(err, &plain):
		return event.Errorf(event.Retryable, "broker", "kafka.tls", "broker %s does not answer in TLS, it may speak plain text: "+
			"name its TLS listener in kafka.brokers, or leave kafka.tls out", address)
	case closed(err) || errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
		return event.Errorf(event.Retryable, "broker", "kafka.tls", "broker %s does not go through with TLS, as a listener does that speaks "+
			"plain text: name its TLS listener in kafka.brokers, or leave kafka.tls out. If it speaks TLS: %s: %w", address, f.ours(), err)
	default:
		return auth("kafka.tls", "cannot be spoken to in TLS: %w", err)
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (f *files) authorities() string {
	if f.CA == "" {
		return "a file and name it in kafka.tls.ca, which says system now"
	}
	return f.CA
}

// ours tells what to do about our own certificate.
func (f *files) ours() string {
	if f.Cert == "" {
		return "It may want a certificate of ours: set kafka.tls.cert and kafka.tls.key"
	}
	return "It may not accept our certificate: look whether the broker trusts the authority of " + f.Cert
}
