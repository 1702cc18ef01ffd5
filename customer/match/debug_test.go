package match_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/onefold/onefold/customer"
)

func TestDebug(t *testing.T) {
	dir := os.Getenv("ONEFOLD_MATCH_DATA")
	var l *labelled
	switch os.Getenv("SET") {
	case "fake":
		l = fake1000(t, "testdata/fake_1000/fake_1000.csv")
	case "pp":
		l = pseudopeople(t, filepath.Join(dir, "pseudopeople"), true)
	case "ppc":
		l = pseudopeople(t, filepath.Join(dir, "pseudopeople"), false)
	default:
		l = febrl(t, filepath.Join(dir, "febrl", os.Getenv("SET")+".csv"))
	}
	m := surveyed(l)
	out := measured{}
	clusters, cand := resolve(l.records, m, &out)
	f := map[customer.RecordID]*customer.Features{}
	for _, r := range l.records {
		f[r.ID] = m.Standardise(r)
	}
	of := map[customer.RecordID]int{}
	falses, missed := 0, 0
	show := func(kind string, a, b customer.RecordID) {
		e, _ := m.Score(f[a], f[b])
		fmt.Printf("%s w=%.1f T=%.1f against=%v", kind, e.Weight.Float(), e.Threshold.Float(), e.Against)
		for _, s := range m.Explain(f[a], f[b]) {
			fmt.Printf(" | %s %s %.1f %s", s.Comparison, s.Level, s.Weight.Float(), s.Detail)
		}
		fmt.Println()
	}
	dist := map[string]int{}
	for i, c := range clusters {
		for j, a := range c {
			of[a] = i
			for _, b := range c[:j] {
				if l.person[a] != l.person[b] {
					falses++
					if falses%(1+falses/20) == 0 {
						show("FALSE", a, b)
					}
					e, _ := m.Score(f[a], f[b])
					dist[fmt.Sprint("false direct=", e.Weight >= e.Threshold, " against=", e.Against)]++
				}
			}
		}
	}
	byp := map[string][]customer.RecordID{}
	for _, r := range l.records {
		byp[l.person[r.ID]] = append(byp[l.person[r.ID]], r.ID)
	}
	for _, ids := range byp {
		for j, a := range ids {
			for _, b := range ids[:j] {
				if of[a] != of[b] {
					missed++
					kind := "MISS"
					if !cand[customer.NewPair(a, b)] {
						kind = "NOKEY"
					}
					if missed%(1+missed/20) == 0 {
						show(kind, a, b)
					}
					e, _ := m.Score(f[a], f[b])
					dist[fmt.Sprint(kind, " below=", e.Weight < e.Threshold, " against=", e.Against)]++
				}
			}
		}
	}
	fmt.Println(falses, missed, dist)
}
