package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
)

// asKiller is the argument that makes this test binary a plugin which kills whoever hosts it over one message.
const asKiller = "be-the-killer"

const deadly = "deadly"

type killer struct{}

func (killer) Describe() adapters.Description {
	return adapters.Description{Name: "killer", Domain: "crm", Kind: "plugin", Version: "1"}
}

func (killer) Map(_ context.Context, m *event.Message) ([]customer.Change, error) {
	if string(m.Value) == deadly {
		_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
		select {} // and what hosts it is gone before anything is answered
	}
	return []customer.Change{{Key: string(m.Value), Op: customer.Patch, Party: []customer.Statement{
		{Path: customer.Path{Name: "givenName"}, State: customer.Set, Value: customer.Text("Ana")},
	}}}, nil
}

// A message that kills the process each time that it is mapped is found: after the third time that it was tried alone it is a dead letter,
// and every other message has taken effect, also those that stood beside it and behind it.
func TestAMessageThatKillsTheProcess(t *testing.T) {
	dir := t.TempDir()
	const messages = 60
	var records []*kgo.Record
	for i := range messages {
		value := fmt.Sprintf("c%d", i)
		if i == messages/2 {
			value = deadly
		}
		records = append(records, &kgo.Record{Topic: "crm.events", Key: []byte(value), Value: []byte(value)})
	}
	calm := spawn(t, configured(t, dir, "sources:\n  other: {adapter: shopify, topic: crm.events}\n"))
	calm.end() // it has made the topic
	calm = spawn(t, configured(t, dir, ""))
	produce(t, calm.Broker, records...)
	calm.end()

	sum, err := plugins.Checksum(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	file := configured(t, dir, fmt.Sprintf("sources:\n  crm: {topic: crm.events, plugin: {command: '%s', args: [%s], checksum: '%s'}}\n",
		os.Args[0], asKiller, sum))
	for deaths := 0; ; deaths++ {
		if deaths > 8 {
			t.Fatal("the message is not found")
		}
		if logged, survived := live(t, file, messages); survived {
			if deaths != 4 || !strings.Contains(logged, "has ended the process each time") { // once beside others, three times alone
				t.Errorf("it was found after %d deaths:\n%s", deaths, logged)
			}
			return
		}
	}
}

// live runs the service until it dies, or every message has an outcome: then it looks at what that is.
func live(t *testing.T, file string, messages int64) (logged string, survived bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "run", "--config", file)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	log := newTail()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	died := make(chan struct{})
	go func() { defer close(died); _ = cmd.Wait() }() // how it ended is in its state
	defer func() { _ = cmd.Process.Signal(syscall.SIGTERM); <-died }()
	in := &installation{logged: log}
	for late := time.After(2 * time.Minute); ; {
		select {
		case <-died:
			if cmd.ProcessState.Exited() {
				t.Fatalf("it was not killed, it ended:\n%s", log)
			}
			return log.String(), false
		case <-late:
			t.Fatalf("it neither died nor did its work:\n%s", log)
		case <-time.After(20 * time.Millisecond):
		}
		for _, line := range lines(log.String()) {
			var said struct{ Msg, API string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "started" {
				in.API = said.API
			}
		}
		if in.API == "" {
			continue
		}
		out, _, code := typed(t, "", "source", "list", "-o", "json", "--server", in.API)
		var sources []console.SourceStatus
		if code != 0 || json.Unmarshal([]byte(out), &sources) != nil || len(sources) != 1 {
			continue
		}
		var next, end int64
		for _, p := range sources[0].Partitions {
			next, end = next+max(0, p.Next), end+max(0, p.End)
		}
		if end == messages && next == end {
			letters := in.ask(t, "dead", "list", "-o", "json")
			status := in.ask(t, "customer", "export", "--canonical")
			if n := len(lines(status)); int64(n) != messages-1 || strings.Count(letters, `"killed"`) != 1 {
				t.Errorf("%d customers; letters %s", n, letters)
			}
			return log.String(), true
		}
	}
}
