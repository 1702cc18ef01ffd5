package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/merge"
	"github.com/onefold/onefold/store/sqlite"
)

// people is a public set whose column named cluster is the truth.
const people = "../../customer/match/testdata/fake_1000/fake_1000.csv"

func wrote(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func evaluated(t *testing.T, args ...string) (map[string]any, string) {
	t.Helper()
	out, errs, code := typed(t, "", append([]string{"match", "eval", "-o", "json"}, args...)...)
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil {
		t.Fatalf("%d %v\n%s%s", code, err, out, errs)
	}
	return got, errs
}

func TestMatchEval(t *testing.T) {
	clusters := filepath.Join(t.TempDir(), "out.csv")
	got, errs := evaluated(t, "--records", people, "--truth", people, "--clusters", clusters)
	pairwise, _ := got["pairwise"].(map[string]any)
	bcubed, _ := got["bcubed"].(map[string]any)
	for name, floor := range map[string]float64{"precision": 0.99, "recall": 0.89, "f1": 0.94} {
		for _, of := range []map[string]any{pairwise, bcubed} {
			if v, _ := of[name].(float64); v < floor || v > 1 {
				t.Errorf("%s %v, the floor is %v", name, v, floor)
			}
		}
	}
	for _, name := range []string{
		"records", "customers", "largest_cluster", "candidates_per_record", "records_per_second", "wall_seconds", "cpu_seconds",
		"true_pairs", "joined_pairs", "right_pairs", "pair_completeness", "judged_records", "parties",
	} {
		if v, _ := got[name].(float64); v <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	for _, says := range []string{"1000 records", "first_name is givenName", "dob is birthDate", "left out: cluster"} {
		if !strings.Contains(errs, says) {
			t.Errorf("stderr does not say %q:\n%s", says, errs)
		}
	}
	lines := readCSV(t, clusters)
	if len(lines) != 1001 || !slices.Equal(lines[0], []string{"id", "cluster"}) {
		t.Fatal(len(lines), lines[0])
	}
	different := map[string]bool{}
	for _, line := range lines[1:] {
		different[line[1]] = true
	}
	if float64(len(different)) != got["customers"] {
		t.Errorf("%d clusters, %v customers", len(different), got["customers"])
	}
}

func readCSV(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// The truth is looked at when the clusters are final: with another truth, with none, and with a column of it among the records the
// clusters are the same, byte for byte.
func TestMatchEvalDoesNotPeek(t *testing.T) {
	lines := readCSV(t, people)
	wrong := "id,party\n"
	for i, line := range lines[1:] {
		wrong += line[0] + "," + string(rune('a'+i%7)) + "\n"
	}
	var first []byte
	for _, args := range [][]string{{}, {"--truth", people}, {"--truth", wrote(t, "wrong.csv", wrong)}} {
		out := filepath.Join(t.TempDir(), "out.csv")
		got, _ := evaluated(t, append([]string{"--records", people, "--clusters", out}, args...)...)
		if _, judged := got["pairwise"]; judged != (len(args) > 0) {
			t.Errorf("%v: judged is %v", args, judged)
		}
		now, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = now
		}
		if d := cmp.Diff(string(first), string(now)); d != "" {
			t.Error(d)
		}
	}
}

func TestMatchEvalByNamedColumns(t *testing.T) {
	records := wrote(t, "r.csv", "N;WHO;Y;M;D;A;B\n"+
		"1;Tiago Wexford;1980;2;3;t.wexford@example.org;\n2;Wexford Tiago;1980;2;3;;t.wexford@example.org\n3;Oona Pell;1971;9;30;;\n")
	columns := wrote(t, "c.yaml", "columns: {N: id, WHO: fullName, Y: birthDate.year, M: birthDate.month, D: birthDate.day, A: email, B: email}\n")
	out := filepath.Join(t.TempDir(), "out.csv")
	got, _ := evaluated(t, "--records", records, "--columns", columns, "--clusters", out, "--truth", wrote(t, "t.csv", "id,is\n1,x\n2,x\n3,y\n9,z\n"))
	if got["customers"] != 2.0 || got["judged_records"] != 3.0 {
		t.Error(got)
	}
	if d := cmp.Diff([][]string{{"id", "cluster"}, {"1", "1"}, {"2", "1"}, {"3", "3"}}, readCSV(t, out)); d != "" {
		t.Error(d)
	}
}

func TestMatchEvalSaysWhatIsWrong(t *testing.T) {
	records := wrote(t, "r.csv", "id,name\n1,Ana\n")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitConfig, "add --records"},
		{[]string{"--records", "nowhere.csv"}, exitEnvironment, "name a file"},
		{[]string{"--records", records, "--truth", "nowhere.csv"}, exitEnvironment, "--truth"},
		{[]string{"--records", records, "--columns", "nowhere.yaml"}, exitEnvironment, "--columns"},
		{[]string{"--records", records, "--columns", wrote(t, "c.yaml", "columns: {name: nose}")}, exitConfig, "c.yaml:1:17"},
		{[]string{"--records", records, "--columns", wrote(t, "c.yaml", "columns: {NAME: fullName}")}, exitConfig, "no such column"},
		{[]string{"--records", records, "--truth", wrote(t, "t.csv", "id,is\n7,x\n")}, exitConfig, "none of its ids"},
		{[]string{"--records", records, "--truth", wrote(t, "t.csv", "id,is\n1,x\n1,y\n")}, exitConfig, "two parties"},
		{[]string{"--records", wrote(t, "e.csv", "")}, exitConfig, "empty"},
		{[]string{"--records", records, "--clusters", filepath.Join(records, "x")}, exitEnvironment, "--clusters"},
		{[]string{"--records", records, "-o", "csv"}, exitConfig, "does not print csv"},
	} {
		_, errs, code := typed(t, "", append([]string{"match", "eval"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: %d\n%s", c.args, code, errs)
		}
	}
}

// The partition is the one that the same records give through a service's registry and store under the same model, in whatever order
// and groups they arrive.
func TestMatchEvalIsTheServicesPartition(t *testing.T) {
	e := &evaluation{program: &program{now: time.Now, err: os.Stderr}, records: people}
	tb, err := e.read()
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.resolve(t.Context(), tb)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := e.changes(tb)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "customers.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	key, err := store.InstallationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := customer.NewIDs(key)
	if err != nil {
		t.Fatal(err)
	}
	registry := customer.NewRegistry(store, r.matcher, merge.New(merge.Policy{}), ids)
	for len(rows) > 0 {
		n := min(1+rng.IntN(90), len(rows))
		if _, err := registry.Absorb(t.Context(), customer.Batch{Now: time.Now(), Messages: rows[:n]}); err != nil {
			t.Fatal(err)
		}
		rows = rows[n:]
	}
	if d := cmp.Diff(partitionOf(t.Context(), t, store), r.partition()); d != "" {
		t.Error(d)
	}
}

func partitionOf(ctx context.Context, t *testing.T, store customer.Store) []string {
	t.Helper()
	var out []string
	err := store.EachCustomer(ctx, func(c *customer.Customer, _ []*customer.Record, _ []*customer.Interaction) error {
		var keys []string
		for _, m := range c.Members {
			keys = append(keys, m.Key)
		}
		slices.Sort(keys)
		out = append(out, strings.Join(keys, " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func (r *resolved) partition() []string {
	of := map[int][]string{}
	for i, c := range r.cluster {
		of[c] = append(of[c], r.keys[i])
	}
	var out []string
	for _, keys := range of {
		slices.Sort(keys)
		out = append(out, strings.Join(keys, " "))
	}
	slices.Sort(out)
	return out
}
