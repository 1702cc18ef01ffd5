package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/console"
)

const crmOnly = "sources:\n  crm: {adapter: table, topic: crm.contacts}\n  shop-eu: {adapter: shopify, topic: shop-eu.webhooks}\n"

const contacts = "\ufeffContact ID;First Name;Last Name;E-Mail;Mobile Phone;Newsletter;Last Modified;Owner\r\n" +
	"C-1;Ana;Silva;ana@example.com;+41 79 123 45 67;yes;2026-01-02 10:00:00;kim\r\n" +
	"C-2;Bo;\"Young; the elder\";bo@example.com;;no;2026-01-02 10:00:00;kim\r\n" +
	"C-3;Cy;=HYPERLINK(\"\"x\"\");cy@example.com;;perhaps;2026-01-02 10:00:00;kim\r\n" +
	";Di;Nobody;di@example.com;;;2026-01-02 10:00:00;kim\r\n" +
	"C-4;Ed;Short\r\n" +
	"C-1;Ana;Again;ana@example.com;;;2026-01-03 10:00:00;kim\r\n"

// loaded runs onefold load against the service, and reads its summary.
func (in *installation) load(t *testing.T, code int, file, config string, more ...string) Loaded {
	t.Helper()
	args := append([]string{"load", "--csv", file, "--config", config, "--source", "crm", "--server", in.API, "--brokers", in.Broker, "-o", "json"}, more...)
	out, errs, got := typed(t, "", args...)
	if got != code {
		t.Fatalf("exit code %d, not %d: %s", got, code, errs)
	}
	var l Loaded
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatal(err, out)
	}
	return l
}

// The export of a CRM ends in the master record; what cannot be taken is told with its place; a second run changes nothing.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	config := configured(t, dir, crmOnly)
	in := serve(t, config)
	file, rejects := filepath.Join(dir, "contacts.csv"), filepath.Join(dir, "left.csv")
	if err := os.WriteFile(file, []byte(contacts), 0o600); err != nil {
		t.Fatal(err)
	}
	dry := in.load(t, exitFindings, file, config, "--rejects", rejects, "--dry-run")
	if dry.Rows != 6 || dry.Rejected != 3 || dry.Values != 1 || dry.Sent != 0 || dry.Key != "Contact ID" || len(dry.LeftOut) != 1 {
		t.Errorf("%+v", dry)
	}
	first := in.load(t, exitFindings, file, config, "--rejects", rejects)
	if first.Sent != 3 || first.Outcomes == nil || *first.Outcomes != (console.Outcomes{Applied: 3}) {
		t.Errorf("%+v %+v", first, first.Outcomes)
	}
	holdRejects(t, rejects)
	eventually(t, 20*time.Second, "Ana is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	ana := in.find(t, "ana@example.com")[0]
	if ana.Text("familyName") != "Silva" || ana.Members[0].Source != "crm" || ana.Members[0].Key != "C-1" {
		t.Errorf("%+v", ana)
	}
	if again := in.load(t, exitFindings, file, config, "--rejects", rejects); *again.Outcomes != (console.Outcomes{Duplicate: 3}) {
		t.Errorf("%+v", again.Outcomes)
	}
}

// holdRejects reads what was left out, each with its place.
func holdRejects(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, r := range rows[1:] {
		told = append(told, strings.Join(r[:3], " "))
	}
	if got := strings.Join(told, ", "); got != "4 42 value, 5 1 row, 6  row, 7 1 row" {
		t.Error(got, rows)
	}
	if rows[2][5] != ";Di;Nobody;di@example.com;;;2026-01-02 10:00:00;kim" {
		t.Errorf("%q", rows[2][5])
	}
}
