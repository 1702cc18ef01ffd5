package main

import (
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/simulation"
)

// party is a key in a source.
type party struct{ source, key string }

// score judges pairs of those parties of the truth that ended in the store: what never came in, or was refused, tells nothing about
// matching.
func score[ID comparable](truth []simulation.Truth, of map[party]ID) match.Accuracy {
	var ids []ID
	var persons []string
	for _, t := range truth {
		if id, ok := of[party{t.Source, t.Key}]; ok {
			ids, persons = append(ids, id), append(persons, t.Person)
		}
	}
	return match.Judge(ids, persons).Pairwise
}
