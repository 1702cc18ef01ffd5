package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/console"
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

// selfPlugged is the line of a source whose plugin this program is itself, as in the demo.
func selfPlugged(t *testing.T) string {
	t.Helper()
	plugin, err := ownPlugin(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("  core: {topic: core.feed, plugin: {command: '%s', args: [plugin, serve, bankfeed], checksum: '%s'}}\n",
		plugin.Command, plugin.Checksum)
}

// The program is a plugin of its own, under the plugin's name. Readiness and metrics tell how it is, and that it was killed.
func TestPluginOfItsOwn(t *testing.T) {
	in := serve(t, configured(t, t.TempDir(), "sources:\n"+selfPlugged(t)))
	produce(t, in.Broker, &kgo.Record{Topic: "core.feed", Value: []byte("C|1|1|20260301143000|Silva|Ana|||ana@example.com|||||\nZ|1\n")})
	eventually(t, 60*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	if listed := in.ask(t, "source", "list"); !strings.Contains(listed, "bankfeed@1") {
		t.Error(listed)
	}
	tells := func(want, metric string) {
		t.Helper()
		eventually(t, 60*time.Second, want, func() bool {
			_, ready := fetch(t, in.Admin+"/readyz?verbose")
			_, metrics := fetch(t, in.Admin+"/metrics")
			return strings.Contains(ready, `"name": "plugin/core"`) && strings.Contains(ready, want) &&
				strings.Contains(metrics, metric) && strings.Contains(metrics, `onefold_plugin_up{plugin="bankfeed",source="core",target=""} 1`)
		})
	}
	tells("bankfeed: it runs", `onefold_plugin_failures_total{plugin="bankfeed",source="core",target=""} 0`)
	pid, err := strconv.Atoi(regexp.MustCompile(`"msg":"a plugin is up".*"pid":"(\d+)"`).FindStringSubmatch(in.logged.String())[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	tells("it has failed 1 times before", `onefold_plugin_failures_total{plugin="bankfeed",source="core",target=""} 1`)
	if in.end(); in.code != 0 {
		t.Error(in.logged)
	}
	if out, errs, code := typed(t, "", "plugin", "serve", "nobody"); code != 2 || !strings.Contains(errs, "bankfeed") {
		t.Errorf("%d %s%s", code, out, errs)
	}
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

// A plugin that is killed again and again under load delays its messages and loses none (invariant 7).
func TestPluginKilledUnderLoadLosesNothing(t *testing.T) {
	file, checksum := builtPlugin(t)
	in := serve(t, configured(t, t.TempDir(), fmt.Sprintf(
		"sources:\n  bank:\n    topic: bank.feed\n    plugin: {command: %s, checksum: '%s'}\n", file, checksum)))
	const rounds, messages = 8, 500
	up := regexp.MustCompile(`"msg":"a plugin is up".*"pid":"(\d+)"`)
	var listed []console.SourceStatus
	applied := func() int64 {
		if err := json.Unmarshal([]byte(in.ask(t, "source", "list", "-o", "json")), &listed); err != nil {
			t.Fatal(err)
		}
		return listed[0].Outcomes.Applied
	}
	for round := range rounds {
		var lives [][]string
		eventually(t, 60*time.Second, "the plugin is up again, and what came before is applied", func() bool {
			lives = up.FindAllStringSubmatch(in.logged.String(), -1)
			return len(lives) > round && applied() == int64(round*messages)
		})
		pid, err := strconv.Atoi(lives[round][1])
		if err != nil {
			t.Fatal(err)
		}
		produce(t, in.Broker, bankPeople(round*messages, messages/2)...)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Errorf("kill %d: %v", round, err)
		}
		produce(t, in.Broker, bankPeople(round*messages+messages/2, messages/2)...)
	}
	eventually(t, 60*time.Second, "all of them are applied", func() bool { return applied() == rounds*messages })
	if got := listed[0]; got.Received != rounds*messages || got.InFlight != 0 || got.Outcomes.Dead != 0 {
		t.Errorf("%+v", got)
	}
}

// bankPeople is messages of the bank feed about so many people, from a number on.
func bankPeople(from, n int) (records []*kgo.Record) {
	for i := from; i < from+n; i++ {
		line := fmt.Sprintf("C|%d|1|20260301143000|Silva|Ana|||a%d@example.com|||||\nZ|1\n", i, i)
		records = append(records, &kgo.Record{Topic: "bank.feed", Value: []byte(line)})
	}
	return records
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
	write(t, dir, "one.txtar", "One.\n-- customer.json --\n{}\n")
	target := filepath.Join(dir, "cards")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", target, "../../plugins/examples/cards").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, errs, code := typed(t, "", "plugin", "verify", "--cases", dir, "--setting", "folder=box", target); code != exitConfig ||
		!strings.Contains(errs, "this is not an active customer") {
		t.Error(code, out, errs)
	}
	sum, err := plugins.Checksum(target)
	if err != nil {
		t.Fatal(err)
	}
	boxed := configured(t, t.TempDir(), "targets:\n  box: {adapter: plugin, plugin: {command: "+target+", checksum: '"+sum+"', settings: {folder: box}}}\n"+
		"  crm: {adapter: rest, target: cardbox, url: 'https://crm.example'}\n")
	const anabel = `{"id": "cus_aaaaaaaaaaaaaaaaaaaaaaaaa8", "status": "active", "attributes": [{"path": "familyName", "value": "Lima"}]}`
	for args, want := range map[string]string{
		"render box -o json": `"attributes": [`, "render crm": "lastName", "render hubspot -o json": `"lastname"`, "render no": "it has: box, crm", "test box": "onefold plugin verify",
	} {
		command := append([]string{"target"}, strings.Fields(args)...)
		if strings.HasPrefix(args, "render") && !strings.Contains(args, "hubspot") {
			command = append(command, "-c", boxed)
		}
		if out, errs, _ := typed(t, anabel, command...); !strings.Contains(out+errs, want) {
			t.Errorf("%s: %s%s", args, out, errs)
		}
	}
	if out, errs, code := typed(t, "", "plugin", "list", "-c", boxed); code != exitOK || !strings.Contains(out, "as pinned") || !strings.Contains(out, "box") {
		t.Error(code, out, errs)
	}
	if out, errs, code := typed(t, "", "plugin", "verify", target); code != exitRuntime || !strings.Contains(errs, "the setting folder is missing") {
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

// walked does what a section of docs/plugins.md says, to the letter: its files are written and its commands run. Only go get is not done: a
// workspace puts this module where it would put a published one. It answers the folder, and the sources and targets of the configuration
// that comes of it.
func walked(t *testing.T, title, module string, blocks int) (dir, rooms string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	_, walk, _ := strings.Cut(string(page), "## "+title+"\n")
	walk, _, _ = strings.Cut(walk, "\n## ")
	dir = t.TempDir()
	bin, root := t.TempDir(), filepath.Dir(filepath.Dir(mustAbs(t, ".")))
	if err := os.Symlink(mustAbs(t, os.Args[0]), filepath.Join(bin, "onefold")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "go.work", "go "+strings.TrimPrefix(runtime.Version(), "go")+"\n\nuse (\n\t./"+module+"\n\t"+root+"\n)\n")
	steps := regexp.MustCompile("(?s)(?:`([\\w./-]+)`:\n\n)?```(\\w+)\n(.*?)```").FindAllStringSubmatch(walk, -1)
	for _, step := range steps {
		name, kind, text := step[1], step[2], step[3]
		if name != "" {
			write(t, dir, name, text)
			continue
		}
		if kind != "sh" {
			t.Fatalf("a block of %s without a file's name", kind)
		}
		text = strings.ReplaceAll(text, "go get github.com/onefold/onefold\n", "")
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", text)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), asProgram+"=1", "GOWORK="+filepath.Join(dir, "go.work"), "GOFLAGS=", "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", text, err, out)
		}
		if strings.Contains(text, "--cases") && !strings.Contains(string(out), "It clears the bar.") {
			t.Errorf("%s", out)
		}
	}
	if len(steps) != blocks {
		t.Errorf("%d blocks", len(steps))
	}
	ours, err := os.ReadFile(filepath.Join(dir, module, "onefold.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, rooms, _ = strings.Cut(string(ours), "sources:")
	return filepath.Join(dir, module), "sources:" + rooms
}

// docs/plugins.md, "Write a plugin in ten minutes"; and the configuration that comes of it is served.
func TestPageOfPluginsToTheLetter(t *testing.T) {
	dir, rooms := walked(t, "Write a plugin in ten minutes", "tickets", 6)
	in := serve(t, configured(t, dir, rooms))
	produce(t, in.Broker, &kgo.Record{Topic: "tickets", Value: []byte(
		`{"id": 1, "subject": "Hello", "created_at": "2026-03-01T10:00:00Z", "requester": {"id": 7, "name": "Ana Lima", "email": "ana@example.com"}}`)})
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
}

// docs/plugins.md, "Write a target plugin in ten minutes"; and the configuration that comes of it is served.
func TestPageOfTargetPluginsToTheLetter(t *testing.T) {
	dir, rooms := walked(t, "Write a target plugin in ten minutes", "cards", 6)
	in := serve(t, configured(t, dir, rooms))
	produce(t, in.Broker, ana(9007199254740993, "ana@example.com"))
	eventually(t, 60*time.Second, "the card is there", func() bool { return strings.Contains(cards(t, filepath.Join(dir, "box")), "ana@example.com") })
	example, err := os.ReadFile("../../plugins/examples/cards/main.go")
	if err != nil {
		t.Fatal(err)
	}
	typedOff, err := os.ReadFile(filepath.Join(dir, "main.go"))
	if err != nil || string(typedOff) != string(example) {
		t.Errorf("the page does not show plugins/examples/cards/main.go as it is: %v", err)
	}
}

// cards is all that stands on the cards of a box.
func cards(t *testing.T, box string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(box, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) { // it may have been taken out meanwhile
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// A target plugin that is killed again and again delays what it is told and loses none: in the end the box holds what the master holds.
func TestTargetPluginKilledHoldsWhatTheMasterHolds(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cards")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", file, "../../plugins/examples/cards").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checksum, err := plugins.Checksum(file)
	if err != nil {
		t.Fatal(err)
	}
	in := serve(t, configured(t, dir, "sources:\n"+selfPlugged(t)+"targets:\n  box:\n    adapter: plugin\n    plugin: {command: ./cards, checksum: '"+
		checksum+"', settings: {folder: box}}\n"))
	const rounds, people = 5, 200
	up := regexp.MustCompile(`"msg":"a plugin is up".*"plugin":"cards".*"pid":"(\d+)"`)
	for round := range rounds {
		var lives [][]string
		eventually(t, 60*time.Second, "the plugin is up", func() bool {
			lives = up.FindAllStringSubmatch(in.logged.String(), -1)
			return len(lives) > round
		})
		records := bankPeople(round*people, people)
		for _, r := range records {
			r.Topic = "core.feed"
		}
		produce(t, in.Broker, records...)
		eventually(t, 60*time.Second, "some of them are there", func() bool {
			return strings.Contains(cards(t, filepath.Join(dir, "box")), fmt.Sprintf(`"a%d@`, round*people))
		})
		pid, err := strconv.Atoi(lives[round][1])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Errorf("kill %d: %v", round, err)
		}
	}
	eventually(t, 120*time.Second, "everybody has a card", func() bool {
		return strings.Count(cards(t, filepath.Join(dir, "box")), "@example.com") == rounds*people
	})
	for i := 0; i < rounds*people; i += 97 {
		email := fmt.Sprintf("a%d@example.com", i)
		found := in.find(t, email)
		if len(found) != 1 {
			t.Fatalf("%d customers with %s", len(found), email)
		}
		text, err := os.ReadFile(filepath.Join(dir, "box", found[0].ID.String()+".json"))
		if err != nil || !strings.Contains(string(text), email) {
			t.Errorf("%s: %s %v", email, text, err)
		}
	}
	_, ready := fetch(t, in.Admin+"/readyz?verbose")
	_, metrics := fetch(t, in.Admin+"/metrics")
	if !strings.Contains(ready, `"name": "plugin/target/box"`) || !strings.Contains(metrics, `onefold_plugin_failures_total{plugin="cards",source="",target="box"} 5`) {
		t.Error(ready, metrics)
	}
	if listed := in.ask(t, "target", "list"); !strings.Contains(listed, "box") {
		t.Error(listed)
	}
	if shown := in.ask(t, "target", "preview", "box", in.find(t, "a0@example.com")[0].ID.String()); !strings.Contains(shown, "held since") {
		t.Error(shown)
	}
	if in.end(); in.code != 0 || strings.Contains(in.logged.String(), "@example.com") { // invariant 9
		t.Error(in.code, in.logged)
	}
}

func mustAbs(t *testing.T, name string) string {
	t.Helper()
	abs, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
