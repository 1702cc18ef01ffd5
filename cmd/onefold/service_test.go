package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
)

const shopOnly = "sources:\n  shop-eu: {adapter: shopify, topic: shop-eu.webhooks}\n"

// ana is a webhook of Shopify's about a customer: the body as it is posted, the headers as they came with it.
func ana(id int64, email string) *kgo.Record {
	body := fmt.Sprintf(`{"id":%d,"created_at":"2026-03-01T12:00:00-05:00","updated_at":"2026-03-01T12:00:00-05:00","first_name":"Ana",
		"last_name":"Silva","state":"enabled","note":null,"verified_email":true,"multipass_identifier":null,"tax_exempt":false,
		"email":%q,"phone":"+16135550142","currency":"USD","addresses":[],"tax_exemptions":[],
		"admin_graphql_api_id":"gid://shopify/Customer/%d"}`, id, email, id)
	return &kgo.Record{Topic: "shop-eu.webhooks", Value: []byte(body), Headers: []kgo.RecordHeader{
		{Key: "X-Shopify-Topic", Value: []byte("customers/create")},
		{Key: "X-Shopify-Shop-Domain", Value: []byte("shop-eu.myshopify.com")},
		{Key: "X-Shopify-API-Version", Value: []byte("2026-01")},
		{Key: "X-Shopify-Webhook-Id", Value: []byte("b54557e4-bdd9-4b37-8a5f-bf7d70bcd043")},
		{Key: "X-Shopify-Triggered-At", Value: []byte("2026-03-01T17:00:01.000000000Z")},
	}}
}

// produce writes records as any Kafka client does; this one is not ours.
func produce(t *testing.T, broker string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(broker, ",")...), kgo.AllowAutoTopicCreation(), kgo.ProducerBatchMaxBytes(12<<20-1000),
		kgo.RecordPartitioner(kgo.StickyPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// find asks for the customers of an e-mail address.
func (in *installation) find(t *testing.T, email string) (found []*customer.Customer) {
	t.Helper()
	if err := json.Unmarshal([]byte(in.ask(t, "customer", "find", "--email", email, "-o", "json")), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

func fetch(t *testing.T, address string) (int, string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// The main job: what a foreign client puts on a source's topic ends in the master record, and every command shows it.
func TestMessageOfAnyClientEndsInTheMaster(t *testing.T) {
	in := serve(t, configured(t, t.TempDir(), shopOnly))
	produce(t, in.Broker, ana(706405506930370084, "ana@example.com"), ana(207119551, "ana@example.com"),
		&kgo.Record{Topic: "shop-eu.webhooks", Value: []byte(`{"id": "ana@example.com`)})

	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ANA@example.com")) == 1 })
	var letters []console.Letter
	eventually(t, 20*time.Second, "the broken message is a dead letter", func() bool {
		if err := json.Unmarshal([]byte(in.ask(t, "dead", "list", "-o", "json")), &letters); err != nil {
			t.Fatal(err)
		}
		return len(letters) == 1
	})
	eventually(t, 20*time.Second, "both records are there", func() bool { return len(in.find(t, "ana@example.com")[0].Members) == 2 })
	found := in.find(t, "ana@example.com")[0]
	if found.Text("givenName") != "Ana" || found.Text("familyName") != "Silva" {
		t.Errorf("%+v", found)
	}
	in.shows(t, found, letters[0])

	eventually(t, 20*time.Second, "the customer is published", func() bool { return len(published(t, in.Broker, "onefold.customers")) == 1 })
	var out customer.Customer
	if err := json.Unmarshal(published(t, in.Broker, "onefold.customers")[found.ID.String()], &out); err != nil || out.Text("givenName") != "Ana" {
		t.Error(out, err)
	}

	in.end()
	if in.code != 0 {
		t.Error("the end is not clean:", in.code)
	}
	for _, secret := range []string{"ana@example.com", "Silva", "6135550142"} { // invariant 9
		if strings.Contains(in.logged.String(), secret) {
			t.Errorf("%s is in the log:\n%s", secret, in.logged)
		}
	}
}

// shows holds the commands that show a customer against what is known of it.
func (in *installation) shows(t *testing.T, found *customer.Customer, letter console.Letter) {
	t.Helper()
	a, b := found.Members[0], found.Members[1]
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"customer", "get", found.ID.String()}, "Ana Silva"},
		{[]string{"customer", "get", found.ID.String(), "-o", "json"}, `"asked": "` + found.ID.String()},
		{[]string{"customer", "why", a.Record.String(), b.Source + "/" + b.Key}, "joined"},
		{[]string{"customer", "export", "--canonical"}, `"Silva"`},
		{[]string{"customer", "find", "--source", a.Source, "--key", a.Key}, "shop-eu"},
		{[]string{"customer", "find", "--email", "nobody@example.com"}, "no customer is found"},
		{[]string{"dead", "list"}, "decode"},
		{[]string{"dead", "show", letter.ID}, `"xxx@xxxxxxx.xxx`},
		{[]string{"dead", "show", letter.ID, "--reveal"}, `"ana@example.com`},
		{[]string{"source", "list"}, "shop-eu.webhooks"},
		{[]string{"source", "list", "-o", "csv"}, "shop-eu,shopify@1,shop-eu.webhooks,3,2,0,0,0,1,0,0"},
	} {
		if out := in.ask(t, c.args...); !strings.Contains(out, c.says) {
			t.Errorf("%s does not say %s:\n%s", strings.Join(c.args, " "), c.says, out)
		}
	}
	in.undoes(t, a.Record.String(), b.Record.String())
	if code, body := fetch(t, in.Admin+"/readyz?verbose"); code != 200 {
		t.Error(code, body)
	}
	_, body := fetch(t, in.Admin+"/metrics")
	for _, series := range []string{
		`onefold_events_received_total{source="shop-eu"} 3`, `onefold_events_processed_total{outcome="dead",source="shop-eu"} 1`,
		"onefold_build_info{", "onefold_customers", "onefold_kafka_consumer_lag_records", "process_cpu_seconds_total", "go_goroutines",
	} {
		if !strings.Contains(body, series) {
			t.Errorf("%s is not in the metrics", series)
		}
	}
}

// undoes splits two records of one customer, and takes it back.
func (in *installation) undoes(t *testing.T, a, b string) {
	t.Helper()
	var why struct {
		Decision *customer.Decision
		Same     bool
	}
	if err := json.Unmarshal([]byte(in.ask(t, "customer", "split", a, b, "-o", "json")), &why); err != nil || why.Same || why.Decision == nil {
		t.Fatalf("after a split: %+v, %v", why, err)
	}
	if out := in.ask(t, "customer", "why", a, b); !strings.Contains(out, why.Decision.ID) {
		t.Errorf("the decision is not named:\n%s", out)
	}
	if out := in.ask(t, "customer", "undo", why.Decision.ID); !strings.Contains(out, "not the same, was taken back by kim") {
		t.Error(out)
	}
	if out := in.ask(t, "customer", "why", a, b); !strings.Contains(out, "joined") {
		t.Errorf("after the undo:\n%s", out)
	}
}

// published reads the topic of customers with a client that is not ours: the newest value of each key.
func published(t *testing.T, broker, topic string) map[string][]byte {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(broker, ",")...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	newest := map[string][]byte{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if newest[string(r.Key)] = r.Value; r.Value == nil || strings.HasPrefix(string(r.Value), `{"aliasOf"`) {
				delete(newest, string(r.Key))
			}
		})
	}
	return newest
}

// A person's word splits and joins, and an erasure leaves nothing but the id.
func TestDecisionsAndErasure(t *testing.T) {
	in := serve(t, configured(t, t.TempDir(), shopOnly))
	produce(t, in.Broker, ana(1, "ana@example.com"), ana(2, "ana@example.com"))
	eventually(t, 20*time.Second, "one customer of two records", func() bool {
		found := in.find(t, "ana@example.com")
		return len(found) == 1 && len(found[0].Members) == 2
	})
	c := in.find(t, "ana@example.com")[0]
	a, b := c.Members[0].Record.String(), c.Members[1].Record.String()
	if out := in.ask(t, "customer", "split", a, b, "--reason", "two people"); !strings.Contains(out, "kept apart by a decision of kim") {
		t.Error(out)
	}
	found := in.find(t, "ana@example.com")
	if len(found) != 2 {
		t.Fatalf("%d customers after the split", len(found))
	}
	_, errs, code := typed(t, "", "customer", "split", found[0].ID.String(), b, "--server", in.API)
	if code != exitRuntime || !strings.Contains(errs, "name two records") {
		t.Error(code, errs)
	}
	if out := in.ask(t, "privacy", "erase", found[0].ID.String(), "--yes"); !strings.Contains(out, "backups") {
		t.Error(out)
	}
	if left := in.find(t, "ana@example.com"); len(left) != 1 || left[0].ID != found[1].ID {
		t.Errorf("%+v", left)
	}
	if out := in.ask(t, "customer", "get", found[0].ID.String(), "-o", "json"); !strings.Contains(out, `"status": "erased"`) {
		t.Error(out)
	}
}

// Who is erased leaves no byte in the store's file and its log, in any of their forms, while the service goes on.
func TestErasedLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	in := serve(t, configured(t, dir, shopOnly))
	const who = "xaveria.uniqua@example.com"
	var all []*kgo.Record
	for i := range int64(200) {
		all = append(all, ana(i+10, fmt.Sprintf("somebody.%d@example.com", i)))
	}
	produce(t, in.Broker, append(all, ana(1, who), ana(2, who))...)
	eventually(t, 30*time.Second, "the customer is there", func() bool { return len(in.find(t, who)) == 1 })
	held := func() (n int) {
		for _, name := range []string{"onefold.db", "onefold.db-wal"} {
			b, err := os.ReadFile(filepath.Join(dir, "data", name))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			n += strings.Count(strings.ToLower(string(b)), "uniqua")
		}
		return n
	}
	if held() == 0 {
		t.Fatal("there is nothing to erase")
	}
	in.ask(t, "privacy", "erase", in.find(t, who)[0].ID.String(), "--yes")
	eventually(t, 20*time.Second, "what was erased has left the store's file", func() bool {
		_, body := fetch(t, in.Admin+"/metrics")
		return strings.Contains(body, "onefold_store_erasure_owed 0") && strings.Contains(in.logged.String(), "what was erased is out of the store")
	})
	if n := held(); n > 0 {
		t.Errorf("it is still there %d times", n)
	}
}

// What is around the process and not as it must be ends it with 3, and with the remedy.
func TestEnvironment(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nowhere := write(t, t.TempDir(), "file", "not a folder")
	for name, c := range map[string]struct{ text, says string }{
		"port of the API": {"console: {listen: '" + taken.Addr().String() + "'}\n" +
			"kafka: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n", "console.listen"},
		"port of the broker": {"kafka: {listen: '" + taken.Addr().String() + "'}\n" +
			"console: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n", "kafka.listen"},
		"port of health": {"admin: {listen: '" + taken.Addr().String() + "'}\n" +
			"kafka: {listen: '127.0.0.1:0'}\nconsole: {listen: '127.0.0.1:0'}\n", "admin.listen"},
		"no broker": {"kafka: {brokers: ['127.0.0.1:1']}\nconsole: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n", "kafka.brokers"},
		"no folder": {"data: " + nowhere + "\nkafka: {listen: '127.0.0.1:0'}\nconsole: {listen: '127.0.0.1:0'}\n" +
			"admin: {listen: '127.0.0.1:0'}\n", "set data"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, errs, code := typedIn(ctx, "", "run", "--config", write(t, t.TempDir(), "onefold.yaml", c.text))
			if code != exitEnvironment || !strings.Contains(errs, c.says) {
				t.Errorf("%d %s", code, errs)
			}
		})
	}
	t.Run("second process", func(t *testing.T) {
		file := configured(t, t.TempDir(), "")
		serve(t, file)
		_, errs, code := typed(t, "", "run", "--config", file)
		if code != exitEnvironment || !strings.Contains(errs, "is using") {
			t.Errorf("%d %s", code, errs)
		}
	})
}

// A broker that goes away later makes the service degraded, not dead; when it is back, everything goes on.
func TestBrokerGoesAwayAndComesBack(t *testing.T) {
	house := t.TempDir()
	first := serve(t, configured(t, house, ""))
	address := first.Broker
	in := serve(t, configured(t, t.TempDir(), "kafka: {brokers: ['"+address+"']}\n"+shopOnly))
	produce(t, address, ana(1, "ana@example.com"))
	eventually(t, 20*time.Second, "the first customer", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	first.end()
	eventually(t, 30*time.Second, "degraded", func() bool {
		code, body := fetch(t, in.Admin+"/readyz?verbose")
		return code == 503 && strings.Contains(body, `"degraded"`)
	})
	if code, _ := fetch(t, in.Admin+"/livez"); code != 200 {
		t.Error("a broker that is away kills nobody")
	}
	if len(in.find(t, "ana@example.com")) != 1 {
		t.Error("what is known is still answered")
	}
	serve(t, write(t, house, "onefold.yaml", "data: ./data\nconsole: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n"+
		"kafka: {listen: '"+address+"'}\n"))
	produce(t, address, ana(2, "bob@example.com"))
	eventually(t, 60*time.Second, "the second customer", func() bool { return len(in.find(t, "bob@example.com")) == 1 })
	eventually(t, 30*time.Second, "ready again", func() bool {
		code, _ := fetch(t, in.Admin+"/readyz")
		return code == 200
	})
	in.end() // before the broker that it uses
}

// A configuration's own mapping is as good as a shipped one, and a broken one is told with file and line.
func TestMappingsOfOnesOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "mappings"), os.DirFS("../../mappings/shopify")); err != nil {
		t.Fatal(err)
	}
	file := configured(t, dir, "sources:\n  own: {adapter: ./mappings, topic: own}\n")
	out, errs, code := typed(t, "", "validate", "--config", file)
	if code != 0 {
		t.Fatal(out, errs)
	}
	broken := filepath.Join(dir, "mappings", "mapping.yaml")
	text, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(broken), "mapping.yaml", string(text)+"\nnonsense: true\n")
	_, errs, code = typed(t, "", "validate", "--config", file)
	line := len(lines(string(text))) + 2
	if want := fmt.Sprintf("%s:%d:1: ", broken, line); code != exitConfig || !strings.Contains(errs, want) {
		t.Errorf("%d\n%s", code, cmp.Diff(want, errs))
	}
}
