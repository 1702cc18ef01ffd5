package table

import (
	"io"
	"slices"
	"strings"
)

// Pairs reads a file of two things a line, such as the id of a record and the party that it is: the column that is called as an id
// usually is comes first, or else the first one, then the one that is called as a party usually is, or else the first of the others.
func Pairs(name string, in io.Reader) ([][2]string, error) {
	t := &Table{name: name}
	if err := t.scan(in); err != nil {
		return nil, err
	}
	if len(t.Columns) < 2 {
		return nil, t.fail(1, "the file has one column only", "write id,party in the first line, and one record a line")
	}
	id := max(0, slices.IndexFunc(t.Columns, func(c Column) bool { return usualNames()[normal(c.Name)] == targetID }))
	of := slices.IndexFunc(t.Columns, func(c Column) bool { return partyName(normal(c.Name)) })
	if of < 0 || of == id {
		of = 1 - min(id, 1)
	}
	out := make([][2]string, 0, len(t.rows))
	for _, row := range t.rows {
		if row[id] != "" && row[of] != "" {
			out = append(out, [2]string{row[id], row[of]})
		}
	}
	return out, nil
}

// partyName tells how the column is called that says who a record truly is.
func partyName(name string) bool {
	first, _, _ := strings.Cut(name, " ")
	switch first {
	case "cluster", "entity", "party", "person", "truth", "label", "group", "true", "match", "individual", "customer", "ent", "simulant":
		return true
	}
	return false
}
