package main

import "github.com/onefold/onefold/simulation"

// Score says how well parties were put together, pair by pair, against the truth of who they are.
type Score struct {
	Precision float64 `json:"precision"` // of the pairs that were joined, how many are one person
	Recall    float64 `json:"recall"`    // of the pairs that are one person, how many were joined
	F1        float64 `json:"f1"`
}

// party is a key in a source.
type party struct{ source, key string }

// score counts pairs of those parties of the truth that ended in the store: what never came in, or was refused, tells nothing about
// matching. Where there is no pair to judge, the answer is 1: nothing was done wrong.
func score[ID comparable](truth []simulation.Truth, of map[party]ID) Score {
	type cell struct {
		id     ID
		person string
	}
	cells, ids, persons := map[cell]int64{}, map[ID]int64{}, map[string]int64{}
	for _, t := range truth {
		id, ok := of[party{t.Source, t.Key}]
		if !ok {
			continue
		}
		cells[cell{id, t.Person}]++
		ids[id]++
		persons[t.Person]++
	}
	right, joined, same := pairs(cells), pairs(ids), pairs(persons)
	s := Score{Precision: ratio(right, joined), Recall: ratio(right, same)}
	if s.Precision+s.Recall > 0 {
		s.F1 = 2 * s.Precision * s.Recall / (s.Precision + s.Recall)
	}
	return s
}

func pairs[K comparable](groups map[K]int64) (n int64) {
	for _, size := range groups {
		n += size * (size - 1) / 2
	}
	return n
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}
