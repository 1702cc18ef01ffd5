package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
)

// need leaves a test out where the machine lacks a program, with one line that says how to have it; where ONEFOLD_TEST_REQUIRE names
// it, leaving out is a failure.
func need(t *testing.T, program, remedy string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	for _, required := range strings.Split(os.Getenv("ONEFOLD_TEST_REQUIRE"), ",") {
		if required == program {
			t.Fatalf("there is no %s, and ONEFOLD_TEST_REQUIRE names it: %s", program, remedy)
		}
	}
	t.Skipf("there is no %s: %s", program, remedy)
}

// kcat, which knows nothing of us, puts a webhook of Shopify's into the embedded broker: it ends in the master.
func TestKcatIntoTheEmbeddedBroker(t *testing.T) {
	need(t, "kcat", "apt-get install kcat")
	in := serve(t, configured(t, t.TempDir(), shopOnly))
	r := ana(706405506930370084, "ana@example.com")
	args := []string{"-P", "-b", in.Broker, "-t", r.Topic}
	for _, h := range r.Headers {
		args = append(args, "-H", h.Key+"="+string(h.Value))
	}
	cmd := exec.Command("kcat", args...)
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(r.Value, []byte("\n"), nil)) // a line is a message
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
}

// The main job on a broker that is not ours.
func TestSmokeOnRealKafka(t *testing.T) {
	brokers := os.Getenv("ONEFOLD_TEST_BROKERS")
	if brokers == "" {
		t.Skip("no real broker: set ONEFOLD_TEST_BROKERS to the address of an Apache Kafka")
	}
	topic := fmt.Sprintf("smoke-%d", time.Now().UnixNano())
	in := serve(t, configured(t, t.TempDir(), "kafka: {brokers: ['"+strings.ReplaceAll(brokers, ",", "','")+"']}\n"+
		"sources:\n  shop-eu: {adapter: shopify, topic: "+topic+"}\ntopics: {customers: "+topic+".customers}\n"))
	r := ana(706405506930370084, "ana@example.com")
	r.Topic = topic
	produce(t, brokers, r)
	eventually(t, 30*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	eventually(t, 30*time.Second, "the customer is published", func() bool { return len(published(t, brokers, topic+".customers")) == 1 })
}

// A producer with transactions: what it commits takes effect, what it aborts does not, and behind its last marker, of either kind,
// nothing is left to do, which is what the lag says, also in the next process.
func TestNoLagBehindTransactions(t *testing.T) {
	topic := fmt.Sprintf("bound-%d", time.Now().UnixNano())
	config := "sources:\n  shop-eu: {adapter: shopify, topic: " + topic + "}\ntopics: {customers: " + topic + ".customers}\n"
	brokers := os.Getenv("ONEFOLD_TEST_BROKERS")
	if brokers != "" {
		config = "kafka: {brokers: ['" + strings.ReplaceAll(brokers, ",", "','") + "']}\n" + config
	}
	file := configured(t, t.TempDir(), config)
	in := serve(t, file)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(cmp.Or(brokers, in.Broker), ",")...), kgo.TransactionalID(topic),
		kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	for id, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryCommit, kgo.TryAbort, kgo.TryAbort} {
		r := ana(int64(id+1), fmt.Sprintf("ana%t%d@example.com", bool(end), id))
		r.Topic = topic
		if err := errors.Join(client.BeginTransaction(), client.ProduceSync(t.Context(), r).FirstErr(),
			client.EndTransaction(t.Context(), end)); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
	caughtUp := func() bool {
		var sources []console.SourceStatus
		if err := json.Unmarshal([]byte(in.ask(t, "source", "list", "-o", "json")), &sources); err != nil || len(sources) != 1 {
			t.Fatal(sources, err)
		}
		end := int64(0)
		for _, p := range sources[0].Partitions {
			end += max(0, p.End)
		}
		return end == 8 && sources[0].Lag == 0 // four records and four markers
	}
	for range 2 {
		eventually(t, 30*time.Second, "nothing is left to do", caughtUp)
		if n := len(in.find(t, "anatrue0@example.com")) + len(in.find(t, "anatrue1@example.com")); n != 2 {
			t.Errorf("%d of the two committed customers are there", n)
		}
		if n := len(in.find(t, "anafalse2@example.com")) + len(in.find(t, "anafalse3@example.com")); n != 0 {
			t.Errorf("%d customers of aborted transactions are there", n)
		}
		in.end()
		in = serve(t, file)
	}
}

// Bad input, one message after the other, each followed by nothing: every one ends in an outcome that is counted, the good message
// behind them is processed, and nothing of what they say is in the log.
func TestBadInput(t *testing.T) {
	in := serve(t, configured(t, t.TempDir(), shopOnly+"  bank: {adapter: iso20022, topic: bank.statements}\n"+
		"  till: {adapter: square, topic: till.events}\n"))
	good := string(ana(1, "secret.name@example.com").Value)
	shop := func(value string, headers ...kgo.RecordHeader) *kgo.Record {
		r := ana(1, "secret.name@example.com")
		r.Value = []byte(value)
		if headers != nil {
			r.Headers = headers
		}
		return r
	}
	bank := func(value string) *kgo.Record { return &kgo.Record{Topic: "bank.statements", Value: []byte(value)} }
	bad := []*kgo.Record{
		shop(`{"id": 1, "email": "secret.name@example.com"`),
		shop(`[1, 2, "secret.name@example.com"]`),
		shop(`"secret.name@example.com"`),
		shop(``),
		{Topic: "shop-eu.webhooks"},
		shop(strings.Replace(good, `"id":1,`, ``, 1)),
		shop(strings.Replace(good, `"id":1,`, `"id":{"secret.name@example.com":1},`, 1)),
		shop(strings.Replace(good, `"id":1,`, `"id":1.5,`, 1)),
		shop(strings.Replace(good, `"updated_at":"2026`, `"updated_at":"secret.name@example.com2026`, 1)),
		shop(good, kgo.RecordHeader{Key: "X-Shopify-Topic", Value: []byte("secret.name@example.com/unknown")}),
		shop(good, kgo.RecordHeader{Key: "unrelated", Value: nil}),
		shop(strings.Repeat("[", 100_000)),
		shop(strings.Repeat(`{"a":`, 100_000)),
		shop(strings.Replace(good, `"Ana"`, "\"secret.name@example.com\xff\"", 1)),
		shop(strings.Replace(good, `"Ana"`, "\"secret.name@example.com\x00\"", 1)),
		shop(strings.Replace(good, `"Ana"`, `"secret.name@example.com`+`\u0000"`, 1)),
		shop(strings.Replace(good, `"note":null`, `"note":"`+strings.Repeat("secret.name@example.com", 450_000)+`"`, 1)),
		bank(`<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "secret.name@example.com"><!ENTITY b "&a;&a;&a;&a;">]><Document>&b;</Document>`),
		bank(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><secret.name@example.com`),
		bank(strings.Repeat("<a>", 100_000)),
		bank(`not XML at all: secret.name@example.com`),
		{Topic: "till.events", Value: []byte(`{"type":"secret.name@example.com"}`)},
		{Topic: "till.events", Value: []byte(`{"merchant_id":7}`)},
	}
	produce(t, in.Broker, bad...)
	produce(t, in.Broker, ana(9007199254740993, "good@example.com"))
	eventually(t, 60*time.Second, "the good message is processed", func() bool { return len(in.find(t, "good@example.com")) == 1 })
	exact := func(m customer.Member) bool { return strings.HasSuffix(m.Key, "9007199254740993") } // invariant 8
	if found := in.find(t, "good@example.com")[0]; !slices.ContainsFunc(found.Members, exact) {
		t.Errorf("an id above 2^53 is not kept: %+v", found.Members)
	}
	var received, ended, dead int
	eventually(t, 60*time.Second, "every message has an outcome", func() bool {
		received, ended, dead = 0, 0, 0
		for _, line := range lines(in.ask(t, "source", "list", "-o", "csv"))[1:] {
			var n [6]int
			cells := strings.Split(line, ",")
			for i := range n {
				if _, err := fmt.Sscan(cells[3+i], &n[i]); err != nil {
					t.Fatal(line, err)
				}
			}
			received, ended, dead = received+n[0], ended+n[1]+n[2]+n[3]+n[4]+n[5], dead+n[5]
		}
		return ended == len(bad)+1
	})
	if received != len(bad)+1 || dead < len(bad)/2 {
		t.Errorf("%d sent, %d received, %d ended, %d dead", len(bad)+1, received, ended, dead)
	}
	letters := in.ask(t, "dead", "list", "-o", "json", "--limit", "1000")
	for what, text := range map[string]string{"log": in.logged.String(), "list of dead letters": letters} {
		if i := strings.Index(text, "secret.name"); i >= 0 { // invariant 9
			t.Errorf("the %s quotes a message: %s", what, text[max(0, i-200):min(len(text), i+50)])
		}
	}
}
