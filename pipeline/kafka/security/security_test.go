package security_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/pipeline/kafka/security"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "open.sesame-7"

// authority signs certificates of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-48 * time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	write(t, a.file, pemOf("CERTIFICATE", der))
	return a
}

// sign writes a certificate for a name and its key to files, good for so long.
func (a *authority) sign(name string, valid time.Duration) (cert, key string) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(a.t, cert, pemOf("CERTIFICATE", der))
	write(a.t, key, pemOf("PRIVATE KEY", keyDER))
	return cert, key
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// server is the other side of TLS: who it says it is, and whose certificates it wants.
func (a *authority) server(name string, valid time.Duration, clients *authority) *tls.Config {
	a.t.Helper()
	cert, err := tls.LoadX509KeyPair(a.sign(name, valid))
	if err != nil {
		a.t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(clients.cert)
	}
	return c
}

// cluster starts a broker of one node, and counts the logins that are begun.
func cluster(t *testing.T, opts ...kfake.Opt) (address string, logins *atomic.Int64) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	logins = &atomic.Int64{}
	c.ControlKey(kmsg.SASLHandshake.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		logins.Add(1)
		return nil, nil, false
	})
	return c.ListenAddrs()[0], logins
}

func users() []kfake.Opt {
	return []kfake.Opt{
		kfake.EnableSASL(), kfake.Superuser(security.Plain, "ana", secret),
		kfake.Superuser(security.ScramSHA256, "ana", secret), kfake.Superuser(security.ScramSHA512, "ana", secret),
	}
}

func client(t *testing.T, address string, c security.Config) *kafka.Client {
	t.Helper()
	made, err := kafka.NewClient(kafka.Config{Brokers: []string{address}, Security: c, Jitter: func() float64 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return made
}

// use does on a client all that there is to do: asks every broker, makes a topic, writes to it.
func use(t *testing.T, c *kafka.Client) {
	t.Helper()
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	defer p.Close()
	if err := p.Send(t.Context(), "t", &event.Message{Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
}

func login(mechanism string) *security.SASL {
	return &security.SASL{Mechanism: mechanism, Username: "ana", Password: secret}
}

func TestWaysIn(t *testing.T) {
	ours, clients := newAuthority(t), newAuthority(t)
	cert, key := clients.sign("onefold", time.Hour)
	trust := &security.TLS{CA: ours.file}
	encrypted := kfake.TLS(ours.server("127.0.0.1", time.Hour, nil))
	for name, tc := range map[string]struct {
		broker []kfake.Opt
		c      security.Config
	}{
		"plain text":  {nil, security.Config{}},
		"TLS":         {[]kfake.Opt{encrypted}, security.Config{TLS: trust}},
		"server name": {[]kfake.Opt{kfake.TLS(ours.server("kafka.example", time.Hour, nil))}, security.Config{TLS: &security.TLS{CA: ours.file, ServerName: "kafka.example"}}},
		"both show certificates": {
			[]kfake.Opt{kfake.TLS(ours.server("127.0.0.1", time.Hour, clients))},
			security.Config{TLS: &security.TLS{CA: ours.file, Cert: cert, Key: key}},
		},
		"PLAIN":                {append(users(), encrypted), security.Config{TLS: trust, SASL: login(security.Plain)}},
		"SCRAM-SHA-256":        {append(users(), encrypted), security.Config{TLS: trust, SASL: login(security.ScramSHA256)}},
		"SCRAM-SHA-512":        {append(users(), encrypted), security.Config{TLS: trust, SASL: login(security.ScramSHA512)}},
		"SCRAM without TLS":    {users(), security.Config{SASL: login(security.ScramSHA512)}},
		"token":                {[]kfake.Opt{bearers()}, security.Config{SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: secret}}},
		"token, on top of TLS": {[]kfake.Opt{bearersOver(ours.server("127.0.0.1", time.Hour, nil))}, security.Config{TLS: trust, SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: secret}}},
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := cluster(t, tc.broker...)
			use(t, client(t, address, tc.c))
		})
	}
}

// Each failure says which broker, what is wrong and what to mend, and never the secret.
func TestFailuresSayWhatToMend(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	trust := &security.TLS{CA: ours.file}
	pair := func(a *authority, valid time.Duration) *security.TLS {
		cert, key := a.sign("onefold", valid)
		return &security.TLS{CA: ours.file, Cert: cert, Key: key}
	}
	encrypted := kfake.TLS(ours.server("127.0.0.1", time.Hour, nil))
	mutual := kfake.TLS(ours.server("127.0.0.1", time.Hour, ours))
	older := ours.server("127.0.0.1", time.Hour, ours)
	older.MaxVersion = tls.VersionTLS12
	wrong := func(mechanism string) *security.SASL {
		return &security.SASL{Mechanism: mechanism, Username: "ana", Password: secret + "!"}
	}
	for name, tc := range map[string]struct {
		broker []kfake.Opt
		c      security.Config
		class  event.Class
		want   string
	}{
		"wrong password, PLAIN":         {append(users(), encrypted), security.Config{TLS: trust, SASL: wrong(security.Plain)}, event.Auth, "mend kafka.sasl.username and kafka.sasl.password"},
		"wrong password, SCRAM-SHA-256": {users(), security.Config{SASL: wrong(security.ScramSHA256)}, event.Auth, "refuses our login by SCRAM-SHA-256"},
		"wrong password, SCRAM-SHA-512": {users(), security.Config{SASL: wrong(security.ScramSHA512)}, event.Auth, "refuses our login by SCRAM-SHA-512"},
		"mechanism that is not there":   {users(), security.Config{SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: secret}}, event.Auth, "set one that it takes: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"},
		"no login where one is wanted":  {users(), security.Config{}, event.Auth, "set kafka.sasl"},
		"token refused":                 {[]kfake.Opt{bearers()}, security.Config{SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: "another." + secret}}, event.Auth, "the token is not ours: have the token renewed"},
		"token of two lines":            {[]kfake.Opt{bearers()}, security.Config{SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: secret + "\n" + secret}}, event.Auth, "kafka.sasl.token: there is no token"},
		"no file of the token":          {[]kfake.Opt{bearers()}, security.Config{SASL: &security.SASL{Mechanism: security.OAuthBearer, TokenFile: "nowhere"}}, event.Auth, "kafka.sasl.tokenFile: cannot be read: open nowhere"},
		"unknown authority":             {[]kfake.Opt{encrypted}, security.Config{TLS: &security.TLS{CA: others.file}}, event.Auth, "put that authority's certificate into " + others.file},
		"the system's authorities":      {[]kfake.Opt{encrypted}, security.Config{TLS: &security.TLS{}}, event.Auth, "kafka.tls.ca, which says system now"},
		"no file of authorities":        {[]kfake.Opt{encrypted}, security.Config{TLS: &security.TLS{CA: "nowhere"}}, event.Auth, "kafka.tls.ca: cannot be read: open nowhere"},
		"expired certificate":           {[]kfake.Opt{kfake.TLS(ours.server("127.0.0.1", -time.Hour, nil))}, security.Config{TLS: trust}, event.Auth, "renew it at the broker"},
		"certificate of another":        {[]kfake.Opt{kfake.TLS(ours.server("kafka.example", time.Hour, nil))}, security.Config{TLS: trust}, event.Auth, "set kafka.tls.serverName"},
		"no certificate of ours":        {[]kfake.Opt{mutual}, security.Config{TLS: trust}, event.Auth, "set kafka.tls.cert and kafka.tls.key"},
		"none of ours, TLS 1.2":         {[]kfake.Opt{kfake.TLS(older)}, security.Config{TLS: trust}, event.Auth, "set kafka.tls.cert and kafka.tls.key"},
		"ours is of another authority":  {[]kfake.Opt{mutual}, security.Config{TLS: pair(others, time.Hour)}, event.Auth, "look whether the broker trusts the authority of"},
		"ours has expired":              {[]kfake.Opt{mutual}, security.Config{TLS: pair(ours, -time.Hour)}, event.Auth, "put a new one there; no restart is needed"},
		"plain text to TLS":             {[]kfake.Opt{encrypted}, security.Config{}, event.Retryable, "as a listener does that speaks TLS: set kafka.tls"},
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := cluster(t, tc.broker...)
			err := client(t, address, tc.c).Check(t.Context())
			if err == nil || event.ClassOf(err) != tc.class || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("class %s: %v, want %s: %s", event.ClassOf(err), err, tc.class, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) { // invariant 9
				t.Errorf("it tells the secret: %v", err)
			}
		})
	}
}

// Listeners that are no broker's, or not of the kind that is meant.
func TestListenersOfAnotherKind(t *testing.T) {
	ours := newAuthority(t)
	for name, tc := range map[string]struct {
		serve func(net.Conn)
		c     security.Config
		want  string
	}{
		"closes what is TLS": {func(c net.Conn) { _, _ = c.Read(make([]byte, 8)) }, security.Config{TLS: &security.TLS{CA: ours.file}}, "or leave kafka.tls out"},
		"waits for more than TLS": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 8))
			_, _ = c.Read(make([]byte, 1<<16))
			_, _ = c.Read(make([]byte, 1))
		}, security.Config{TLS: &security.TLS{CA: ours.file}}, "or leave kafka.tls out"},
		"answers TLS in plain": {func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_, _ = c.Read(make([]byte, 1<<16))
		}, security.Config{TLS: &security.TLS{CA: ours.file}}, "does not answer in TLS"},
		"speaks another protocol": {func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_, _ = c.Read(make([]byte, 1<<16))
		}, security.Config{}, "is not Kafka's protocol"},
		"closes at the first word": {func(c net.Conn) { _, _ = c.Read(make([]byte, 8)) }, security.Config{}, "set kafka.tls if it does"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := security.New(tc.c)
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if _, err := d.Dial(t.Context(), "tcp", listen(t, tc.serve)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
			if took := time.Since(begun); took > 6*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { defer conn.Close(); serve(conn) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); running.Wait() })
	return ln.Addr().String()
}

// Certificates that replace others on disk are used by the next connection; what is half there leaves the former in use.
func TestFilesMayChange(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	cert, key := first.sign("onefold", time.Hour)
	d, err := security.New(security.Config{TLS: &security.TLS{CA: first.file, Cert: cert, Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	dial := func(address string) error {
		conn, err := d.Dial(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	before, _ := cluster(t, kfake.TLS(first.server("127.0.0.1", time.Hour, first)))
	after, _ := cluster(t, kfake.TLS(second.server("127.0.0.1", time.Hour, second)))
	if err := dial(before); err != nil {
		t.Fatal(err)
	}
	if err := dial(after); event.ClassOf(err) != event.Auth {
		t.Fatal("the second authority is not trusted yet:", err)
	}
	newCert, newKey := second.sign("onefold", time.Hour)
	move(t, newCert, cert)
	if err := dial(before); err != nil {
		t.Error("a new certificate beside the former key:", err)
	}
	move(t, newKey, key)
	write(t, first.file, "")
	if err := dial(before); err == nil || strings.Contains(err.Error(), "shows a certificate") {
		t.Error("an empty file of authorities leaves the former trusted, and our certificate is the new one:", err)
	}
	move(t, second.file, first.file)
	if err := dial(after); err != nil {
		t.Error(err)
	}
}

// A refused password is not tried again and again, so that no account is locked; other credentials are tried at once.
func TestRefusalsAreNotRepeated(t *testing.T) {
	address, logins := cluster(t, users()...)
	var clock atomic.Int64
	c := client(t, address, security.Config{
		SASL: &security.SASL{Mechanism: security.ScramSHA256, Username: "ana", Password: "wrong"},
		Now:  func() time.Time { return time.Unix(clock.Load(), 0) },
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 3 {
				if err := c.Check(t.Context()); event.ClassOf(err) != event.Auth || !strings.Contains(err.Error(), "SCRAM-SHA-256") {
					t.Errorf("%s: %v", event.ClassOf(err), err)
				}
			}
		})
	}
	all.Wait()
	if n := logins.Load(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	wait := security.FirstWait
	for want := int64(2); want <= 8; want++ {
		clock.Add(int64(wait/time.Second) - 1)
		if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "not tried again before") {
			t.Error(err)
		}
		clock.Add(1)
		_ = c.Check(t.Context())
		if n := logins.Load(); n != want {
			t.Fatalf("%d logins after another %v, want %d", n, wait, want)
		}
		wait = min(2*wait, security.MaxWait)
	}
}

func TestRenewedTokenIsTriedAtOnce(t *testing.T) {
	address, _ := cluster(t, bearers())
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "old\n")
	c := client(t, address, security.Config{SASL: &security.SASL{Mechanism: security.OAuthBearer, TokenFile: file}})
	if err := c.Check(t.Context()); event.ClassOf(err) != event.Auth {
		t.Fatal(err)
	}
	write(t, file, secret+"\n")
	use(t, c)
}

// bearers has a cluster take a token before it hears anything else.
func bearers() kfake.Opt { return bearersOver(nil) }

func bearersOver(secure *tls.Config) kfake.Opt {
	return kfake.ListenFn(func(network, address string) (net.Listener, error) {
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
		if err == nil && secure != nil {
			ln = tls.NewListener(ln, secure)
		}
		return bearerListener{ln}, err
	})
}

type bearerListener struct{ net.Listener }

func (l bearerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &bearerConn{Conn: conn}, err
}

// bearerConn is the broker's side of OAUTHBEARER, after which it hands on what comes.
type bearerConn struct {
	net.Conn
	once sync.Once
	err  error
}

func (c *bearerConn) Read(b []byte) (int, error) {
	if c.once.Do(func() { c.err = bear(c.Conn) }); c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}
