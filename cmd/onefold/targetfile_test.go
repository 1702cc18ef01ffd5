package main

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/simulation/crm"
)

// docs/targets.md, "Connect your CRM", to the letter: its files are written and its commands run.
func TestPageOfTargetsToTheLetter(t *testing.T) {
	page, err := os.ReadFile("../../docs/targets.md")
	if err != nil {
		t.Fatal(err)
	}
	_, walk, _ := strings.Cut(string(page), "## Connect your CRM")
	walk, _, _ = strings.Cut(walk, "\n## ")
	dir, bin := t.TempDir(), t.TempDir()
	if err := os.Symlink(mustAbs(t, os.Args[0]), filepath.Join(bin, "onefold")); err != nil {
		t.Fatal(err)
	}
	var printed []string
	for _, step := range regexp.MustCompile("(?s)(?:`([\\w./-]+)`:\n\n)?```(\\w+)\n(.*?)```").FindAllStringSubmatch(walk, -1) {
		name, kind, text := step[1], step[2], step[3]
		if name != "" {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, dir, name, text)
			continue
		}
		if kind != "sh" {
			t.Fatalf("a block of %s without a file's name", kind)
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", text)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", text, err, out)
		}
		printed = append(printed, string(out))
	}
	for i, wants := range [][]string{
		{"1 target file without a fault", "new-contact", "ok"},
		{"firstName", `"Ana"`, `"+41445556677"`, `"no"`, "null"},
		{"onefold.yaml is good: 1 source and 1 target in it."},
	} {
		for _, want := range wants {
			if len(printed) != 3 || !strings.Contains(printed[i], want) {
				t.Errorf("step %d of %d: want %s in\n%s", i, len(printed), want, printed)
			}
		}
	}
}

func TestTargetFileCommands(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "target.yaml", "onefold: target/v1\nsystem: acme\nfields: {a: givenNam}\nrequests: {}\n")
	bad := filepath.Join(dir, "target.yaml")
	for _, c := range []struct {
		args  string
		in    string
		code  int
		wants []string
	}{
		{"target lint", "", exitOK, []string{"3 target files without a fault"}},
		{"target test", "", exitOK, []string{"hubspot", "cardbox", "partial", "ok"}},
		{"target test hubspot -o json", "", exitOK, []string{`"target": "hubspot"`, `"name": "partial"`}},
		{"target lint " + dir, "", exitConfig, []string{bad + ":3:13: fields.a: the canonical model has no field", "did you mean givenName?"}},
		{"target lint -o json " + bad, "", exitConfig, []string{`"line":3`, `"column":13`}},
		{"target test " + bad, "", exitConfig, []string{"givenName"}},
		{"target lint hubspt", "", exitConfig, []string{`there is no target file "hubspt"`, "cardbox, hubspot, salesforce"}},
		{"target render cardbox -o json", `{"status": "active", "attributes": [{"path": "familyName", "value": "Lima"}]}`, exitOK, []string{`"belongs": true`, `"Lima"`, `"familyName"`}},
		{"target render hubspot", `{"status": "merged"}`, exitOK, []string{"This customer does not belong there"}},
		{"target render hubspot", `{"id": `, exitConfig, []string{"this is not a customer in JSON", "onefold customer get ID -o json"}},
		{"target render hubspot -o csv", "", exitConfig, []string{"does not print csv"}},
	} {
		out, errs, code := typed(t, c.in, strings.Fields(c.args)...)
		for _, want := range c.wants {
			if code != c.code || !strings.Contains(out+errs, want) {
				t.Errorf("%s: exit code %d, want %d and %s in\n%s%s", c.args, code, c.code, want, out, errs)
			}
		}
	}
	write(t, dir, "target.yaml", "onefold: target/v1\nsystem: acme\nfields: {a: givenName}\nrequests:\n  upsert: {method: PUT, path: '/a/{customer}', body: '{body}'}\n"+
		"  remove: {method: DELETE, path: '/a/{customer}'}\n")
	if out, errs, code := typed(t, "", "target", "test", dir); code != exitFindings || !strings.Contains(errs, "there is no case") {
		t.Error(code, out, errs)
	}
	if err := os.Mkdir(filepath.Join(dir, "cases"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cases/one.txtar", "One.\n-- customer.json --\n{\"status\": \"active\"}\n-- body.json --\n{\"a\": 1}\n")
	if out, errs, code := typed(t, "", "target", "test", dir); code != exitFindings || !strings.Contains(out, `"a": null`) || !strings.Contains(errs, "1 case failed") {
		t.Error(code, out, errs)
	}
}

// What a configuration names as a target is written to, and removed from: from the shop's message to the CRM's contact.
func TestCustomersArriveAtTheTarget(t *testing.T) {
	box := crm.New(crm.Config{Token: "t0ken-of-the-box", Now: time.Now})
	server := httptest.NewServer(box)
	defer server.Close()
	dir := t.TempDir()
	write(t, dir, "token", "t0ken-of-the-box\n")
	in := serve(t, configured(t, dir, "sources:\n  shop-eu: {adapter: shopify, topic: shop-eu.webhooks}\n"+
		"targets:\n  box: {adapter: rest, target: cardbox, url: '"+server.URL+"', auth: {bearer: '${file:token}'}}\n"))
	produce(t, in.Broker, ana(9007199254740993, "ana@example.com"))
	held := func() map[string]string {
		emails := map[string]string{}
		for _, c := range box.Contacts() {
			emails[string(c.Email)] = c.ExternalID + " " + string(c.FirstName)
		}
		return emails
	}
	eventually(t, 30*time.Second, "the contacts are there", func() bool { return strings.HasSuffix(held()["ana@example.com"], " Ana") })
	found := in.find(t, "ana@example.com")
	if len(found) != 1 || !strings.HasPrefix(held()["ana@example.com"], found[0].ID.String()+" ") {
		t.Errorf("the customer %+v is held as %v", found, held())
	}
	redact := ana(9007199254740993, "")
	redact.Value = []byte(`{"shop_id": 1, "shop_domain": "shop-eu.myshopify.com", "customer": {"id": 9007199254740993}, "orders_to_redact": []}`)
	redact.Headers[0].Value = []byte("customers/redact")
	produce(t, in.Broker, redact)
	eventually(t, 30*time.Second, "the contact is gone", func() bool { return held()["ana@example.com"] == "" })
	if text := in.logged.String(); strings.Contains(text, "t0ken-of-the-box") || strings.Contains(text, "ana@example.com") {
		t.Error("the log tells a secret or a customer")
	}
}
