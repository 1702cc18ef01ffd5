package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The running service puts the records of a file together exactly as match eval does, once it has surveyed them: whatever way they came.
func TestServiceMatchesAsEvalDoes(t *testing.T) {
	for name, file := range map[string]string{
		"fake_1000": "../../customer/match/testdata/fake_1000/fake_1000.csv",
		"febrl":     "../../customer/match/testdata/febrl/dataset1.csv",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			clusters := filepath.Join(dir, "clusters.csv")
			if _, errs, code := typed(t, "", "match", "eval", "--records", file, "--clusters", clusters); code != 0 {
				t.Fatal(code, errs)
			}
			config := configured(t, dir, "sources:\n  crm: {adapter: table, topic: crm.contacts}\n")
			in := serve(t, config)
			_, errs, code := typed(t, "", "load", "--csv", file, "--config", config, "--source", "crm", "--server", in.API, "--brokers", in.Broker)
			if code != 0 && code != exitFindings {
				t.Fatal(code, errs)
			}
			in.ask(t, "match", "survey", "--wait")
			if diff := cmp.Diff(together(t, clusters), in.together(t)); diff != "" {
				t.Errorf("match eval and the service differ:\n%s", diff)
			}
		})
	}
}

// together reads clusters: the ids of each, in order.
func together(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string][]string{}
	for _, row := range rows[1:] {
		of[row[1]] = append(of[row[1]], row[0])
	}
	return sorted(of)
}

// together answers the keys of each customer, in order.
func (in *installation) together(t *testing.T) []string {
	t.Helper()
	of := map[string][]string{}
	for i, line := range lines(in.ask(t, "customer", "export")) {
		var c struct{ Members []struct{ Key string } }
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		for _, m := range c.Members {
			of[string(rune(i))] = append(of[string(rune(i))], m.Key)
		}
	}
	return sorted(of)
}

func sorted(of map[string][]string) (out []string) {
	for _, keys := range of {
		slices.Sort(keys)
		out = append(out, strings.Join(keys, " "))
	}
	slices.Sort(out)
	return out
}
