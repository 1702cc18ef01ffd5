package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/simulation"
)

// What is typed wrongly ends with 2 and says how it is written; nothing reaches stdout.
func TestWrongCommandLines(t *testing.T) {
	for line, says := range map[string]string{
		"custmer":                          "did you mean customer?",
		"customer fnd":                     "did you mean find or undo?",
		"customer find --mail x":           "--help lists the flags",
		"customer find x":                  "usage: onefold customer find",
		"customer get":                     "usage: onefold customer get ID",
		"customer why a":                   "usage: onefold customer why A B",
		"customer find -o xml --email a":   "table, json, ndjson, csv",
		"customer get x -o csv":            "does not print csv",
		"privacy erase cus_1":              "add --yes",
		"simulate":                         "--out FOLDER",
		"simulate --out x --people 0":      "1 to 2500000 people",
		"demo --people 0":                  "1 to 2500000 people",
		"demo --people 99999999999":        "1 to 2500000 people",
		"bench map --events 9999999999999": "events 1 to",
		"map lint ./nope":                  "one of cardbox, iso20022, shopify, square",
		"map test ./nope":                  "the folder of your own",
		"dead list --limit 0":              "at least 1",
		"bench map --runs 0":               "at least 1",
		"version --server":                 "needs an argument",
		"map try":                          "usage: onefold map try",
		"map try shopify --header x":       "NAME=VALUE",
		"customer find --email a --server": "needs an argument",
		"source list --server localhost":   "http://127.0.0.1:8080",
	} {
		out, errs, code := typed(t, "", strings.Fields(line)...)
		if code != exitConfig || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%s: %d\n%s%s", line, code, out, errs)
		}
	}
}

func TestErrorsAreOneObjectForPrograms(t *testing.T) {
	_, errs, code := typed(t, "", "customer", "find", "--email", "a", "-o", "json", "--server", "http://127.0.0.1:1")
	var p console.Problem
	if err := json.Unmarshal([]byte(errs), &p); err != nil || code != exitEnvironment || p.Code != "environment" || p.Hint == "" {
		t.Errorf("%d %s %v", code, errs, err)
	}
}

func TestSchemas(t *testing.T) {
	out, _, code := typed(t, "", "config", "schema")
	if code != 0 || out != string(config.Schema()) {
		t.Error(code, out)
	}
	out, _, code = typed(t, "", "schema", "customers")
	if code != 0 || !json.Valid([]byte(out)) || !strings.Contains(out, `"attributes"`) {
		t.Error(code, out)
	}
}

func TestVersion(t *testing.T) {
	out, _, code := typed(t, "", "version", "-o", "json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != 0 || !strings.HasPrefix(b.Go, "go1.") {
		t.Error(code, out, err)
	}
}

func TestHelpAndCompletion(t *testing.T) {
	for _, line := range []string{"", "--help", "customer", "completion bash"} {
		if out, errs, code := typed(t, "", strings.Fields(line)...); code != 0 || out == "" || errs != "" {
			t.Errorf("%q: %d %s", line, code, errs)
		}
	}
}

// Each folder of testdata/validate is a configuration and, in want.txt, what is said about it.
func TestValidate(t *testing.T) {
	wants, err := filepath.Glob("testdata/validate/*/want.txt")
	if err != nil || len(wants) == 0 {
		t.Fatal("no cases", err)
	}
	for _, want := range wants {
		dir := filepath.Dir(want)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			out, errs, code := typed(t, "", "validate", "--config", filepath.Join(dir, "onefold.yaml"))
			says, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			wantCode := exitConfig
			if strings.Contains(string(says), "is good") {
				wantCode = exitOK
			}
			if d := cmp.Diff(string(says), out+errs); d != "" || code != wantCode {
				t.Errorf("%d\n%s", code, d)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		_, errs, code := typed(t, "", "validate", "--config", "testdata/validate/nowhere.yaml", "-o", "json")
		var r report
		if err := json.Unmarshal([]byte(errs), &r); err != nil || code != exitConfig || len(r.Diagnostics) != 1 {
			t.Error(code, errs, err)
		}
	})
}

// The service's answers are printed as they are for programs; texts of outside systems cannot steer a terminal or a spreadsheet.
func TestHostileTexts(t *testing.T) {
	const hostile = "=cmd()\x1b[2J\u202eevil"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/dead-letters" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(console.Letters{DeadLetters: []console.Letter{{ID: "dead_1", Source: hostile, Message: hostile}}})
	}))
	defer srv.Close()
	table, _, _ := typed(t, "", "dead", "list", "--server", srv.URL)
	if strings.ContainsAny(table, "\x1b\u202e") || !strings.Contains(table, "evil") {
		t.Errorf("%q", table)
	}
	csv, _, _ := typed(t, "", "dead", "list", "--server", srv.URL, "-o", "csv")
	if !strings.Contains(csv, ",'=cmd") || strings.Contains(csv, ",=cmd") {
		t.Errorf("%q", csv)
	}
	var letters []console.Letter
	out, _, _ := typed(t, "", "dead", "list", "--server", srv.URL, "-o", "json")
	if err := json.Unmarshal([]byte(out), &letters); err != nil || letters[0].Source != hostile {
		t.Error(out, err)
	}
	if out, _, _ = typed(t, "", "dead", "list", "--server", srv.URL, "-o", "ndjson"); len(lines(out)) != 1 {
		t.Error(out)
	}
}

func TestStrangersAreNotBelieved(t *testing.T) {
	for _, status := range []int{200, 404} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>"))
		}))
		defer srv.Close()
		if _, errs, code := typed(t, "", "source", "list", "--server", srv.URL); code != exitEnvironment || !strings.Contains(errs, "not Onefold") {
			t.Error(code, errs)
		}
	}
}

func TestEraseAsks(t *testing.T) {
	p := &program{in: strings.NewReader("cus_2\n"), err: newTail(), asks: true}
	if p.confirm(false, "cus_1") == nil {
		t.Error("another id than the one typed would be erased")
	}
	p.in = strings.NewReader("cus_1\n")
	if err := p.confirm(false, "cus_1"); err != nil {
		t.Error(err)
	}
}

func TestScore(t *testing.T) {
	truth := []simulation.Truth{
		{Source: "a", Key: "1", Person: "x"},
		{Source: "b", Key: "1", Person: "x"},
		{Source: "c", Key: "1", Person: "x"},
		{Source: "a", Key: "2", Person: "y"},
		{Source: "b", Key: "9", Person: "z"},
	}
	for name, c := range map[string]struct {
		of   map[party]int
		want match.Accuracy
	}{
		"all right":    {map[party]int{{"a", "1"}: 1, {"b", "1"}: 1, {"c", "1"}: 1, {"a", "2"}: 2, {"b", "9"}: 3}, match.Accuracy{Precision: 1, Recall: 1, F1: 1}},
		"one left out": {map[party]int{{"a", "1"}: 1, {"b", "1"}: 1, {"c", "1"}: 4, {"a", "2"}: 2}, match.Accuracy{Precision: 1, Recall: 1.0 / 3, F1: 0.5}},
		"one too many": {map[party]int{{"a", "1"}: 1, {"b", "1"}: 1, {"a", "2"}: 1}, match.Accuracy{Precision: 1.0 / 3, Recall: 1, F1: 0.5}},
		"all wrong":    {map[party]int{{"a", "1"}: 1, {"b", "1"}: 2, {"a", "2"}: 1}, match.Accuracy{Precision: 0, Recall: 0, F1: 0}},
		"nobody":       {nil, match.Accuracy{Precision: 1, Recall: 1, F1: 1}},
	} {
		if d := cmp.Diff(c.want, score(truth, c.of)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestSameJSON(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[2]}`, `{"b":[2],"a":1}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{`broken`, `broken`, true},
		{`broken`, `{}`, false},
	} {
		if got := sameJSON([]byte(c.a), []byte(c.b)); got != c.same {
			t.Errorf("%s %s: %t", c.a, c.b, got)
		}
	}
}
