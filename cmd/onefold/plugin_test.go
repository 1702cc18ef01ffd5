package main

import (
	"fmt"
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
