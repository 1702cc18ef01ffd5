package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	saslplain "github.com/twmb/franz-go/pkg/sasl/plain"
)

// Who is refused at the broker is told so at the start, with what to mend and without the password, and the exit code says that the
// fault is around us.
func TestRefusedAtTheBroker(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "onefold", "right"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	config := func(password string) string {
		return configured(t, t.TempDir(), "kafka: {brokers: ['"+c.ListenAddrs()[0]+"'], sasl: {mechanism: SCRAM-SHA-512, username: onefold, password: "+
			password+"}}\n"+shopOnly)
	}
	var out bytes.Buffer
	p := &program{in: strings.NewReader(""), out: &out, err: &out, lookup: environ, now: time.Now}
	if code := p.run(context.Background(), []string{"run", "--config", config("hush")}); code != exitEnvironment {
		t.Errorf("exit code %d", code)
	}
	if said := out.String(); !strings.Contains(said, "mend kafka.sasl.username and kafka.sasl.password") || strings.Contains(said, "hush") {
		t.Error(said)
	}
	serve(t, config("right")).end()
}

// A user that the broker no longer knows, while the service runs: readiness says so with the remedy, and there is one attempt to log
// in, not one of each request.
func TestRefusedLater(t *testing.T) {
	var open connections
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "onefold", "hush"),
		kfake.Superuser("PLAIN", "admin", "admin"), kfake.ListenFn(open.listen))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	in := serve(t, configured(t, t.TempDir(), "kafka: {brokers: ['"+c.ListenAddrs()[0]+
		"'], sasl: {mechanism: SCRAM-SHA-512, username: onefold, password: hush}}\n"+shopOnly))
	eventually(t, 20*time.Second, "the service is ready", func() bool { code, _ := fetch(t, in.Admin+"/readyz"); return code == 200 })

	admin, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.SASL(saslplain.Auth{User: "admin", Pass: "admin"}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	req.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "onefold", Mechanism: 2}}
	if _, err := req.RequestWith(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	admin.Close()
	var logins atomic.Int64
	c.ControlKey(kmsg.SASLHandshake.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		logins.Add(1)
		return nil, nil, false
	})
	open.closeAll()
	var said string
	eventually(t, 20*time.Second, "readiness tells", func() bool {
		_, said = fetch(t, in.Admin+"/readyz?verbose")
		return strings.Contains(said, "not tried again before")
	})
	time.Sleep(3 * time.Second) // of looks, fetches and metadata
	if n := logins.Load(); n > 4 {
		t.Errorf("%d attempts to log in", n)
	}
	if all := said + in.logged.String(); strings.Contains(all, "hush") || !strings.Contains(said, "mend kafka.sasl.username") { // invariant 9
		t.Error(all)
	}
}

// connections are those that a listener has taken.
type connections struct {
	net.Listener
	mu  sync.Mutex
	all []net.Conn
}

func (c *connections) listen(network, address string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
	c.Listener = ln
	return c, err
}

func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, conn)
	}
	return conn, err
}

func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close()
	}
}
