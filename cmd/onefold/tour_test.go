package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tour of the README, as it stands there, in one shell. The program is this test's; the ports are free ones.
func TestTour(t *testing.T) {
	walk(t, "../../README.md", "tour", "onefold.yaml is good", "messages sent", "bank.statements", "cus_", "SUM", "dead_", "customers.ndjson")
}

// The page that brings in a CRM's export, likewise.
func TestLoadPage(t *testing.T) {
	walk(t, "../../docs/load.md", "crm", "left out: LEVEL, Owner", "LEVEL is custom[level]", "phone[Mobile Phone]: +41791234567", "would be sent", "applied          3",
		"cus_", "the row has no key", "this is no date", "this says neither yes nor no", `"duplicate": 3`)
}

// The page of webhooks, likewise: signed by openssl, posted by curl.
func TestWebhooksPage(t *testing.T) {
	need(t, "openssl", "apt-get install openssl")
	need(t, "curl", "apt-get install curl")
	walk(t, "../../docs/webhooks.md", "hooks", "answered 200", "cus_", "Ana Silva", "answered 401")
}

// walk follows the commands of a page, and holds what they print against what they should say. The service logs to onefold.log in the folder.
func walk(t *testing.T, page, folder string, says ...string) {
	t.Helper()
	readme, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		script.WriteString(block[1])
	}
	if script.Len() == 0 {
		t.Fatal(page, "has no commands")
	}
	dir, ports := t.TempDir(), freePorts(t, 4)
	wrap(t, dir, ports)
	commands := strings.NewReplacer("127.0.0.1:9092", ports[0], "127.0.0.1:8081", ports[3]).Replace(script.String())
	cmd := exec.Command("bash", "-e", "-c", "set -m; trap 'kill %1 2> /dev/null || true' EXIT\n"+commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.WaitDelay = 10 * time.Second
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer late.Stop()
	out, err := cmd.CombinedOutput()
	log, _ := os.ReadFile(filepath.Join(dir, folder, "onefold.log")) // there is none if the tour did not come so far
	t.Logf("%s\nthe service's log:\n%s", out, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range says {
		if !strings.Contains(strings.ToLower(string(out)), strings.ToLower(text)) {
			t.Errorf("the tour does not show %s", text)
		}
	}
}

// wrap puts an onefold into dir that is this test's program, on other ports than the defaults.
func wrap(t *testing.T, dir string, ports []string) {
	t.Helper()
	script := fmt.Sprintf(`#!/bin/sh
%s=1; export %s
case "$1" in
run) sed -i "/^kafka\|^console\|^admin/d" onefold.yaml
     printf 'kafka: {listen: "%s"}\nconsole: {listen: "%s"}\nadmin: {listen: "%s"}\n' >> onefold.yaml
     exec %s "$@" ;;
customer|dead|source|load) exec %s "$@" --server http://%s ;;
*) exec %s "$@" ;;
esac
`, asProgram, asProgram, ports[0], ports[1], ports[2], os.Args[0], os.Args[0], ports[1], os.Args[0])
	if err := os.WriteFile(filepath.Join(dir, "onefold"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// freePorts answers addresses that nobody listens on, all different.
func freePorts(t *testing.T, n int) (out []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out = append(out, ln.Addr().String())
	}
	return out
}
