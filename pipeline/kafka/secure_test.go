package kafka_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/pipeline/kafka/security"
)

// A round trip by each way into an Apache Kafka, whose sessions end every other second, which nobody notices; and its refusals.
func TestSecuredRoundTripOnRealKafka(t *testing.T) {
	dir := os.Getenv("ONEFOLD_TEST_TLS")
	if dir == "" {
		t.Skip("no real broker by TLS: set ONEFOLD_TEST_TLS to the folder that deploy/test/kafka/kafka.sh makes")
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	token := func(expires time.Time) string { // RFC 7519, unsigned
		part := base64.RawURLEncoding.EncodeToString
		return part([]byte(`{"alg":"none"}`)) + "." + part(fmt.Appendf(nil, `{"sub":"onefold","iat":%d,"exp":%d}`, time.Now().Unix()-7200, expires.Unix())) + "."
	}
	trust := &security.TLS{CA: file("ca.pem")}
	login := func(mechanism, password string) security.Config {
		return security.Config{TLS: trust, SASL: &security.SASL{Mechanism: mechanism, Username: "onefold", Password: password}}
	}
	bearer := func(expires time.Time) security.Config {
		return security.Config{TLS: trust, SASL: &security.SASL{Mechanism: security.OAuthBearer, Token: token(expires)}}
	}
	for name, tc := range map[string]struct {
		listener string
		c        security.Config
		want     string // of a refusal
	}{
		"PLAIN":               {"login", login(security.Plain, "open-sesame"), ""},
		"SCRAM-SHA-256":       {"login", login(security.ScramSHA256, "open-sesame"), ""},
		"SCRAM-SHA-512":       {"login", login(security.ScramSHA512, "open-sesame"), ""},
		"OAUTHBEARER":         {"login", bearer(time.Now().Add(time.Hour)), ""},
		"mutual":              {"mutual", security.Config{TLS: &security.TLS{CA: trust.CA, Cert: file("client.pem"), Key: file("client.key")}}, ""},
		"wrong password":      {"login", login(security.ScramSHA512, "wrong"), "mend kafka.sasl.username and kafka.sasl.password"},
		"wrong PLAIN":         {"login", login(security.Plain, "wrong"), "Invalid username or password: mend kafka.sasl.username"},
		"old token":           {"login", bearer(time.Now().Add(-time.Hour)), "have the token renewed"},
		"no login":            {"login", security.Config{TLS: trust}, "set kafka.sasl"},
		"login where none is": {"mutual", security.Config{TLS: &security.TLS{CA: trust.CA, Cert: file("client.pem"), Key: file("client.key")}, SASL: login(security.Plain, "open-sesame").SASL}, "leave kafka.sasl out"},
		"no certificate":      {"mutual", security.Config{TLS: trust}, "set kafka.tls.cert and kafka.tls.key"},
		"the system's":        {"login", security.Config{TLS: &security.TLS{}}, "kafka.tls.ca, which says system now"},
		"plain text":          {"login", security.Config{}, "speaks TLS"},
		"TLS where none is":   {"", security.Config{TLS: trust}, "leave kafka.tls out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := os.Getenv("ONEFOLD_TEST_BROKERS")
			if tc.listener != "" {
				text, err := os.ReadFile(file(tc.listener))
				if err != nil {
					t.Fatal(err)
				}
				address = strings.TrimSpace(string(text))
			}
			c, err := kafka.NewClient(kafka.Config{Brokers: []string{address}, Security: tc.c, Log: logger()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			err = c.Check(t.Context())
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v, want %s", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			roundTrips(t, c, 3*time.Second) // longer than a session
		})
	}
}

// roundTrips writes and reads, message after message, for so long.
func roundTrips(t *testing.T, c *kafka.Client, long time.Duration) {
	topic := newTopic(t, c, 1, nil)
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	defer p.Close()
	s := kafka.NewSubscriber(c, &positions{}, map[string]string{topic: "s"}, kafka.SubscriberOptions{})
	defer s.Close()
	in, err := s.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for i, begun := 0, time.Now(); time.Since(begun) < long; i++ {
		if err := p.Publish(topic, message.NewMessage(fmt.Sprint(i), fmt.Appendf(nil, "%d", i))); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-in:
			if e := event.FromContext(m.Context()); e == nil || e.Offset != int64(i) {
				t.Fatalf("message %d: %+v", i, e)
			}
			m.Ack()
		case <-time.After(20 * time.Second):
			t.Fatalf("message %d is lost: %+v", i, s.State())
		}
		time.Sleep(100 * time.Millisecond)
	}
}
