// Package match says which records are about the same party: it standardises what sources state, finds who is worth
// comparing, weighs the evidence of a pair in bits, and clusters. It is pure: the same records, decisions and model give the same
// customers in every process and in any order (invariant 4). It does no I/O and reads no clock.
//
// Weights are log2 of likelihood ratios, after Fellegi and Sunter (1969), several levels a comparison, summed in fixed point.
package match

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/lexicon"
)

// Matcher matches under one model. It implements customer.Matcher, and is safe for concurrent use.
type Matcher struct {
	model                                          *Model
	given, family, city, postcode, birthPlace, job *frequencies
	pets                                           lexicon.Pets
	names                                          *lexicon.Names
	size                                           customer.Weight // what the number of records adds to the threshold
}

// New returns a matcher with the model that ships with us.
func New() *Matcher { return With(Default()) }

// With returns a matcher under a model, which must not be changed afterwards.
func With(model *Model) *Matcher {
	s, w := &model.Snapshot, &model.Weights
	names := lexicon.ReadNames()
	return &Matcher{
		model:      model,
		given:      newFrequencies(w.Given.Trait, s.Given, names.Given),
		family:     newFrequencies(w.Family.Trait, s.Family, names.Family),
		city:       newFrequencies(w.Place.City, s.City, nil),
		postcode:   newFrequencies(w.Place.Postcode, s.Postcode, nil),
		birthPlace: newFrequencies(w.BirthPlace, s.BirthPlace, nil),
		job:        newFrequencies(w.Job, s.Job, nil),
		pets:       lexicon.ReadPets(),
		names:      names,
		size:       w.Threshold.size(s.Records),
	}
}

// Explain answers what Score weighs, in steps whose weights add up to the edge's, exactly; a rule is a step without weight. Details hold
// personal data.
func (m *Matcher) Explain(a, b *customer.Features) customer.Evidence {
	x, y := ordered(a, b)
	e := m.compare(x, y)
	out := customer.Evidence{
		Model: m.model.Version, Weight: e.weight, Threshold: e.threshold, Possible: e.threshold - m.model.Weights.Threshold.Possible,
		Prior: m.size, Rule: e.rule,
	}
	add := func(comparison, level string, w customer.Weight, detail string) {
		out.Steps = append(out.Steps, customer.Step{
			Comparison: comparison, Level: level, Weight: w, Detail: detail, Frequencies: m.rarity(comparison, x, y),
		})
	}
	if e.levels[cGiven]|e.levels[cFamily]|e.levels[cMiddle] != 0 || e.weights[cMiddle] != 0 {
		detail := fmt.Sprintf("%s ~ %s", nameText(x), nameText(y))
		add("name", e.nameLevel(), e.weights[cGiven]+e.weights[cFamily]+e.weights[cMiddle], detail)
	}
	for _, c := range []struct {
		of     int
		name   string
		detail string
	}{
		{cBirth, "birthDate", dateText(x.Birth) + " ~ " + dateText(y.Birth)},
		{cEmail, "email", mailText(x.Emails) + " ~ " + mailText(y.Emails)},
		{cPhone, "phone", phoneText(x.Phones) + " ~ " + phoneText(y.Phones)},
		{cPlace, "place", placeText(x.Places) + " ~ " + placeText(y.Places)},
		{cIdentifier, "identifier", e.identifierText(x, y)},
		{cGender, "gender", x.Gender + " ~ " + y.Gender},
		{cBirthPlace, "birthPlace", x.BirthPlace + " ~ " + y.BirthPlace},
		{cJob, "jobTitle", x.Job + " ~ " + y.Job},
	} {
		if e.levels[c.of] != 0 {
			add(c.name, levelName(c.of, e.levels[c.of]), e.weights[c.of], c.detail)
		}
	}
	if e.household != 0 {
		add("household", "capped", e.household, "a household shares it; nothing personal excuses it")
	}
	if e.alone != 0 {
		add("alone", "capped", e.alone, "only one thing that may be shared agrees")
	}
	if e.against {
		add("household", "contradicted", 0, "exactly one personal trait speaks against: a twin, or a slip")
	}
	if e.rule != customer.NoRule {
		add("rule", string(e.rule), 0, e.why)
	}
	return out
}

// nameLevel writes how the parts of the names fit.
func (e *evidence) nameLevel() string {
	var out []string
	if e.kind {
		return "a person and an organisation"
	}
	for c, part := range []string{"given", "family"} {
		if l := e.levels[c]; l != nameMissing {
			out = append(out, part+" "+levelName(c, l))
		}
	}
	switch e.levels[cMiddle] {
	case 1:
		out = append(out, "middle different")
	case 2:
		out = append(out, "middle agrees")
	}
	if e.cross {
		out = append(out, "crosswise")
	}
	if e.suffix {
		out = append(out, "another generation")
	}
	return strings.Join(out, ", ")
}

// levelName writes a level of a comparison.
func levelName(c int, level uint8) string {
	names := []string{"missing", "different", "equal"}
	switch c {
	case cGiven, cFamily:
		names = []string{
			"missing", "different", "faintly alike", "initial", "sounds alike", "alike", "prefix", "close", "part", "nickname", "one slip", "equal",
		}
	case cBirth:
		names = []string{
			"missing", "different", "within ten years", "within a year", "two slips", "same day of a far year", "within a month",
			"same year and month", "same year and day", "same month and day", "same year", "one slip", "equal, first of January", "equal",
		}
	case cEmail:
		names = []string{"missing", "different", "equal, shared box", "same local part", "up to two slips", "equal"}
	case cPhone:
		names = []string{"missing", "different", "one slip", "equal"}
	case cPlace:
		names = []string{"missing", "different", "faint", "like", "same"}
	case cIdentifier:
		names = []string{"missing", "different", "equal, shareable", "one slip", "equal"}
	}
	if int(level) < len(names) {
		return names[level]
	}
	return fmt.Sprint(level)
}

func nameText(f *customer.Features) string {
	if f.Organisation {
		return f.Name
	}
	words := slices.Concat(f.Given, f.Middle, f.Family)
	if f.Suffix != "" {
		words = append(words, f.Suffix)
	}
	return strings.Join(words, " ")
}

func dateText(d customer.Date) string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

func mailText(es []customer.Email) string {
	var out []string
	for _, e := range es {
		out = append(out, e.Local+"@"+e.Domain)
	}
	return strings.Join(out, ", ")
}

func phoneText(ps []customer.Phone) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Number)
	}
	return strings.Join(out, ", ")
}

func placeText(ps []customer.Place) string {
	var out []string
	for _, p := range ps {
		out = append(out, strings.Join(strings.Fields(p.Number+" "+p.Street+" "+p.Extra+" "+p.Postcode+" "+p.City), " "))
	}
	return strings.Join(out, " / ")
}

func (e *evidence) identifierText(x, y *customer.Features) string {
	_, kind := identifiers(x.Identifiers, y.Identifiers)
	return kind
}

// Accuracy says how well records were put together, against the truth of who they are.
type Accuracy struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// Judgement is what a partition of records came to against the truth. Where there is no pair to judge, a share is 1: nothing was
// done wrong.
type Judgement struct {
	Pairwise Accuracy `json:"pairwise"` // of the pairs that were joined, how many are one party; of those that are, how many were joined
	BCubed   Accuracy `json:"bcubed"`   // the same for each record's own cluster and party, averaged over the records (Bagga and Baldwin 1998)
	Pairs    int64    `json:"pairs"`    // that are one party
	Joined   int64    `json:"joined"`   // that were joined
	Right    int64    `json:"right"`    // that are and were
}

// Judge compares two partitions of the same records: the cluster of each, and the party that it truly is.
func Judge[C, P comparable](clusters []C, parties []P) Judgement {
	type cell struct {
		c C
		p P
	}
	cells, inCluster, ofParty := map[cell]int64{}, map[C]int64{}, map[P]int64{}
	for i, c := range clusters {
		cells[cell{c, parties[i]}]++
		inCluster[c]++
		ofParty[parties[i]]++
	}
	j := Judgement{Pairs: pairsIn(ofParty), Joined: pairsIn(inCluster), Right: pairsIn(cells)}
	j.Pairwise = accuracy(share(j.Right, j.Joined), share(j.Right, j.Pairs))
	precisions, recalls := make([]float64, 0, len(cells)), make([]float64, 0, len(cells))
	for k, n := range cells {
		precisions = append(precisions, float64(n)*float64(n)/float64(inCluster[k.c]))
		recalls = append(recalls, float64(n)*float64(n)/float64(ofParty[k.p]))
	}
	j.BCubed = accuracy(mean(precisions, len(clusters)), mean(recalls, len(clusters)))
	return j
}

func pairsIn[K comparable](groups map[K]int64) (n int64) {
	for _, size := range groups {
		n += size * (size - 1) / 2
	}
	return n
}

func share(a, b int64) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

// mean adds in a fixed order, so that it is the same in every run.
func mean(parts []float64, n int) float64 {
	if n == 0 {
		return 1
	}
	slices.Sort(parts)
	sum := 0.0
	for _, p := range parts {
		sum += p
	}
	return sum / float64(n)
}

func accuracy(precision, recall float64) Accuracy {
	a := Accuracy{Precision: precision, Recall: recall}
	if precision+recall > 0 {
		a.F1 = 2 * precision * recall / (precision + recall)
	}
	return a
}

// strongerLink puts what binds first: rules, then weight over the threshold, then the order of records.
func strongerLink(x, y link) int {
	return cmp.Or(
		trueFirst(x.rule == customer.MustLink, y.rule == customer.MustLink), cmp.Compare(y.over, x.over),
		cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b), strings.Compare(string(x.rule), string(y.rule)),
	)
}

// issued names an identifier; no unit of a clustering is called so.
func issued(id *customer.Identifier) string { return id.Type + "\x00" + id.Issuer + "\x00" + id.Value }

// sets is disjoint sets of names.
type sets map[string]string

func (s sets) root(name string) string {
	up, ok := s[name]
	if !ok || up == name {
		return name
	}
	s[name] = s.root(up)
	return s[name]
}

func (s sets) join(a, b string) { s[s.root(a)] = s.root(b) }
