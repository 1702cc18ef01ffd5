package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
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
