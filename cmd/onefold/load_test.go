package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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

// A load that is killed in the middle is begun again: nothing is doubled, nothing is lost, and it says which rows were there already.
func TestLoadIsKilled(t *testing.T) {
	const rows = 4_000
	dir := t.TempDir()
	config := configured(t, dir, crmOnly)
	in := serve(t, config)
	file := filepath.Join(dir, "many.csv")
	var text strings.Builder
	text.WriteString("id,first name,last name,email\n")
	for i := range rows {
		fmt.Fprintf(&text, "K-%d,Given%d,Family%d,k%d@example.com\n", i, i, i, i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "load", "--csv", file, "--source", "crm", "--config", config, "--brokers", in.Broker, "--server", in.API)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	received := func() int64 {
		for _, src := range in.status(t).Sources {
			if src.Name == "crm" {
				return src.Received
			}
		}
		return 0
	}
	eventually(t, time.Minute, "some rows have come", func() bool { return received() > 0 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	again := in.load(t, exitOK, file, config)
	if o := again.Outcomes; again.Sent != rows || o.Sum() != rows || o.Applied+o.Duplicate != rows || o.Duplicate == 0 {
		t.Errorf("%+v", again.Outcomes)
	}
	if n := in.status(t).Counts.Records; n != rows {
		t.Errorf("%d records", n)
	}
}

func (in *installation) status(t *testing.T) (s console.Status) {
	t.Helper()
	if _, body := fetch(t, in.API+"/api/v1/status"); json.Unmarshal([]byte(body), &s) != nil {
		t.Fatal(body)
	}
	return s
}

// What a hostile name may be leaves in a CSV file as a cell that no spreadsheet computes, and that no line break ends.
func TestHostileValuesInCSV(t *testing.T) {
	for _, value := range []string{
		"=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1:A9)", "\t=1", "\r=1", "line\nbreak", `"quoted"`, `a,"b",c`, "<script>alert(1)</script>",
		"\u202eevil", "=1\n=2", strings.Repeat("x", 1<<20), " =1+1", "\n=1", "＝1+1",
	} {
		var out bytes.Buffer
		p := &program{out: &out, format: "csv"}
		if err := p.list(listing{columns: []string{"id", "name", "end"}, rows: [][]string{{"1", value, "!"}}}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 3 || rows[1][2] != "!" {
			t.Errorf("%.20q: %.60q, %v", value, rows, err)
			continue
		}
		cell := rows[1][1]
		if strings.TrimLeft(cell, " \t\r\n") != "" && strings.ContainsRune("=+-@", rune(strings.TrimLeft(cell, " \t\r\n")[0])) {
			t.Errorf("%.20q is a formula as %.20q", value, cell)
		}
		if kept := strings.TrimPrefix(cell, "'"); strings.ReplaceAll(kept, "\r", "") != strings.ReplaceAll(value, "\r", "") {
			t.Errorf("%.20q became %.20q", value, cell)
		}
	}
}
