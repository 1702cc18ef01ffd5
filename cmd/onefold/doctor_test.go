package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/pipeline/kafka"
)

// checked runs the doctor, and answers what it found, by what was looked at.
func checked(t *testing.T, args ...string) (found map[string][]Checkup, code int) {
	t.Helper()
	out, errs, code := typed(t, "", append([]string{"doctor", "-o", "json"}, args...)...)
	var all []Checkup
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%d %v: %s%s", code, err, out, errs)
	}
	found = map[string][]Checkup{}
	for _, c := range all {
		if c.State != healthy && c.State != wrong && c.State != skipped || c.Detail == "" {
			t.Errorf("%+v", c)
		}
		if c.State == wrong {
			found[c.Check] = append(found[c.Check], c)
		}
	}
	return found, code
}

// Nothing is found where nothing is wrong, whether the service runs or not.
func TestDoctorFindsNothing(t *testing.T) {
	dir := t.TempDir()
	in := serve(t, configured(t, dir, shopOnly))
	produce(t, in.Broker, ana(1, "ana@example.com"))
	file := configured(t, dir, "kafka: {listen: '"+in.Broker+"'}\n"+shopOnly) // where it listens now, as a file with fixed ports says
	for range 2 {
		found, code := checked(t, "--config", file, "--server", in.API)
		if d := cmp.Diff(map[string][]Checkup{}, found); d != "" || code != 0 {
			t.Errorf("%d %s", code, d)
		}
		in.end()
	}
}

// Each thing that is wrong is found, with its remedy, and the run ends with 4.
func TestDoctorFinds(t *testing.T) {
	broker, err := kafka.StartBroker(t.Context(), kafka.BrokerConfig{Listen: "127.0.0.1:0", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	client, err := kafka.NewClient(kafka.Config{Brokers: []string{broker.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	for topic, settings := range map[string]map[string]string{
		"onefold.customers": {"cleanup.policy": "delete"},
		"shop-eu.webhooks":  {"retention.ms": "3600000"},
		"bank":              {"cleanup.policy": "compact"},
	} {
		if err := client.EnsureTopic(t.Context(), topic, 4, settings); err != nil {
			t.Fatal(err)
		}
	}
	var records []*kgo.Record
	for i := range 40 { // a producer that takes the partitions in turn, whatever the key is
		records = append(records, &kgo.Record{Topic: "shop-eu.webhooks", Partition: int32(i % 4), Key: []byte("one"), Value: []byte("{}")})
	}
	records = append(records, &kgo.Record{Topic: "bank", Value: []byte("x"), Key: []byte("k"), Timestamp: time.Now().Add(time.Hour)})
	placed(t, broker.Addr(), records...)

	dir := t.TempDir()
	file := configured(t, dir, "kafka: {brokers: ['"+broker.Addr()+"']}\n"+shopOnly+"  bank: {adapter: iso20022, topic: bank}\n")
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil { //nolint:gosec // that is what is to be found
		t.Fatal(err)
	}
	found, code := checked(t, "--config", file, "--server", "http://127.0.0.1:1")
	if code != exitFindings {
		t.Errorf("ended with %d", code)
	}
	var all []string
	for _, cs := range found {
		for _, c := range cs {
			if c.Remedy == "" {
				t.Errorf("no remedy: %+v", c)
			}
			all = append(all, c.About+": "+c.Detail)
		}
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"data: other users of this machine may look into the folder",
		"onefold.customers: cleanup.policy is delete",
		"shop-eu.webhooks: records are kept for 1h0m0s",
		"shop-eu.webhooks: 30 of the last 40 records with a key do not lie",
		"bank: the topic is compacted",
		"bank: the latest record of partition ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not found: %s", want)
		}
	}
	if len(all) != 6 {
		t.Errorf("found:\n%s", text)
	}
}

// Whoever names no service means the one of the configuration: another one on the usual port says nothing about this installation.
func TestDoctorAsksItsOwnService(t *testing.T) {
	dir := t.TempDir()
	in := serve(t, configured(t, dir, shopOnly))
	host := strings.TrimPrefix(in.API, "http://")
	text := "data: ./data\nconsole: {listen: '" + host + "'}\nadmin: {listen: '127.0.0.1:0'}\nkafka: {listen: '" + in.Broker + "'}\n" + shopOnly
	out, errs, code := typed(t, "", "doctor", "--config", write(t, dir, "fixed.yaml", text))
	if code != 0 || !strings.Contains(out, in.API) || !strings.Contains(out, "is ready") || strings.Contains(out, " ,") || strings.Contains(out, "  answers") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}

// What cannot be reached is found, not waited for for ever.
func TestDoctorWithoutBroker(t *testing.T) {
	file := configured(t, t.TempDir(), "kafka: {brokers: ['127.0.0.1:1']}\n"+shopOnly)
	found, code := checked(t, "--config", file, "--server", "http://127.0.0.1:1")
	if code != exitFindings || len(found["broker"]) != 1 {
		t.Errorf("%d %v", code, found)
	}
	if _, _, code := typed(t, "", "doctor", "--config", filepath.Join(t.TempDir(), "nothing.yaml")); code == 0 {
		t.Error("a file that is not there is no configuration")
	}
}

// placed writes records to the partitions that they name.
func placed(t *testing.T, broker string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
