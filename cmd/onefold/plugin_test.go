package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/plugins"
)

// builtPlugin builds the example in Go and answers its file and checksum.
func builtPlugin(t *testing.T) (file, checksum string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "bankfeed")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", file, "../../plugins/examples/bankfeed").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checksum, err := plugins.Checksum(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, checksum
}

// What a plugin maps ends in the master record like anything else, and its refusals among the dead letters.
func TestPluginFeedsTheMaster(t *testing.T) {
	file, checksum := builtPlugin(t)
	in := serve(t, configured(t, t.TempDir(), fmt.Sprintf(
		"sources:\n  bank:\n    topic: bank.feed\n    plugin: {command: %s, checksum: '%s'}\n", file, checksum)))
	produce(t, in.Broker,
		&kgo.Record{Topic: "bank.feed", Value: []byte("C|4711|1|20260301143000|Silva|Ana|19800229||ana@example.com|||||\nZ|1\n")},
		&kgo.Record{Topic: "bank.feed", Value: []byte("C|4711|2|20260301143000|Silva")})
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	if found := in.find(t, "ana@example.com")[0]; found.Text("birthDate") != "1980-02-29" {
		t.Errorf("%+v", found)
	}
	eventually(t, 20*time.Second, "the file that was cut off is a dead letter", func() bool {
		return strings.Contains(in.ask(t, "dead", "list"), "decode")
	})
	if listed := in.ask(t, "source", "list"); !strings.Contains(listed, "bankfeed@1") {
		t.Error(listed)
	}
	in.end()
	if in.code != 0 || strings.Contains(in.logged.String(), "ana@example.com") { // invariant 9
		t.Errorf("%d\n%s", in.code, in.logged)
	}
}

// plugin verify prints what the configuration needs; plugin list tells when the file has changed since, and nothing runs it then.
func TestPluginVerifyAndList(t *testing.T) {
	file, checksum := builtPlugin(t)
	out, errs, code := typed(t, "", "plugin", "verify", "--cases", "../../plugins/examples/bankfeed/cases", file)
	if code != exitOK || !strings.Contains(out, "It clears the bar.") || !strings.Contains(out, checksum) {
		t.Fatal(code, out, errs)
	}
	dir := t.TempDir()
	cfg := configured(t, dir, "sources:\n  bank:\n    topic: bank.feed\n    "+lines(out)[len(lines(out))-1]+"\n")
	if out, errs, code := typed(t, "", "plugin", "list", "-c", cfg); code != exitOK || !strings.Contains(out, "as pinned") {
		t.Error(code, out, errs)
	}
	if out, errs, code := typed(t, "", "plugin", "verify", "--cases", dir, file); code != exitFindings {
		t.Error(code, out, errs)
	}
	if _, errs, code := typed(t, "", "plugin", "verify", "--setting", "a=b", file); code != exitRuntime || !strings.Contains(errs, "no settings") {
		t.Error(code, errs)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, _, code := typed(t, "", "plugin", "list", "-c", cfg); code != exitFindings || !strings.Contains(out, "not the one that was pinned") {
		t.Error(code, out)
	}
	for _, command := range []string{"validate", "run"} {
		if _, errs, code := typed(t, "", command, "-c", cfg); code != exitConfig || !strings.Contains(errs, "sources.bank.plugin.checksum") {
			t.Error(command, code, errs)
		}
	}
}
