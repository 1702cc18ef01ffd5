package simulation_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/onefold/onefold/simulation"
)

// A core system adds its files and its customers, and changes nothing of the others.
func TestCoreComesOnTop(t *testing.T) {
	c := simulation.Config{People: 400, Events: 3000, Seed: 7}
	with := c
	with.Core = 0.3
	plain, rich := messages(c), messages(with)
	others := slices.DeleteFunc(slices.Clone(rich), func(m simulation.Message) bool { return m.Source == simulation.Core })
	for i := range plain {
		if string(plain[i].AppendJSON(nil)) != string(others[i].AppendJSON(nil)) {
			t.Fatalf("the other systems tell another story from message %d on", i)
		}
	}
	if files := len(rich) - len(plain); files < 100 || len(others) != len(plain) {
		t.Errorf("%d files", files)
	}
	if !slices.Equal(lines(simulation.New(with)), lines(simulation.New(with))) {
		t.Error("two core systems of one seed differ")
	}
	for i := 1; i < len(rich); i++ {
		if !rich[i].Time.After(rich[i-1].Time) {
			t.Fatalf("message %d came at %s, the one before at %s", i, rich[i].Time, rich[i-1].Time)
		}
	}
}

// Each file but the cut off ends in a count of its lines; a customer's lines are numbered in the order of time; the truth knows those
// whom a file has told of.
func TestCoreFiles(t *testing.T) {
	c := simulation.Config{People: 1500, Events: 4000, Seed: 3, Core: 0.3, Poison: 0.05, Duplicates: 0.05}
	told, faults, kinds := map[string][]int{}, map[string]int{}, map[string]int{}
	for _, m := range messages(c) {
		if m.Source != simulation.Core {
			continue
		}
		faults[m.Fault]++
		if m.Topic != simulation.CoreTopic || len(m.Key) == 0 {
			t.Fatalf("topic %s, key %q", m.Topic, m.Key)
		}
		rows := strings.Split(strings.TrimSuffix(string(m.Value), "\n"), "\n")
		if whole := rows[len(rows)-1] == "Z|"+strconv.Itoa(len(rows)-1); whole == poison(&m) {
			t.Fatalf("fault %q, and the last line is %q", m.Fault, rows[len(rows)-1])
		}
		if m.Fault != "" {
			continue
		}
		for _, row := range rows[:len(rows)-1] {
			f := strings.Split(row, "|")
			if want := map[string]int{"C": 14, "T": 9}[f[0]]; len(f) != want {
				t.Fatalf("%d fields, want %d: %s", len(f), want, row)
			}
			kinds[f[0]]++
			n, err := strconv.Atoi(f[2])
			if err != nil {
				t.Fatal(err)
			}
			told[f[1]] = append(told[f[1]], n)
		}
	}
	if faults[""] < 100 || faults["duplicate"] == 0 || faults["poison-truncated"] == 0 || kinds["C"] < 300 || kinds["T"] < 300 {
		t.Errorf("faults %v, lines %v", faults, kinds)
	}
	people := map[string]bool{}
	for _, tr := range simulation.New(c).Truth() {
		if tr.Source == simulation.Core {
			people[tr.Key] = true
			if n := told[tr.Key]; len(n) == 0 || n[0] != 1 || !slices.IsSorted(n) {
				t.Errorf("%s was told of in lines %v", tr.Key, n)
			}
		}
	}
	if len(people) != len(told) || len(people) < 250 {
		t.Errorf("%d customers in the truth, %d in the files", len(people), len(told))
	}
	for _, m := range messages(simulation.Config{People: 100, Events: 500, Core: 1, Clean: true}) {
		if m.Source == simulation.Core && m.Fault != "" {
			t.Errorf("a clean town has a file that is %q", m.Fault)
		}
	}
}
