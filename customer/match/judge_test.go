package match_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name              string
		clusters, parties []int
		pairwise, bcubed  match.Accuracy
	}{
		{"nothing to judge", nil, nil, match.Accuracy{1, 1, 1}, match.Accuracy{1, 1, 1}},
		{"as it is", []int{1, 1, 2}, []int{7, 7, 8}, match.Accuracy{1, 1, 1}, match.Accuracy{1, 1, 1}},
		{"nothing joined", []int{1, 2, 3}, []int{7, 7, 8}, match.Accuracy{1, 0, 0}, match.Accuracy{1, 2. / 3, 0.8}},
		{"all joined", []int{1, 1, 1}, []int{7, 7, 8}, match.Accuracy{1. / 3, 1, 0.5}, match.Accuracy{5. / 9, 1, 5. / 7}},
		{"one of each kind of fault", []int{1, 1, 2, 2}, []int{7, 7, 7, 8}, match.Accuracy{0.5, 1. / 3, 0.4}, match.Accuracy{0.75, 2. / 3, 12. / 17}},
	} {
		got := match.Judge(c.clusters, c.parties)
		for _, d := range []float64{
			got.Pairwise.Precision - c.pairwise.Precision, got.Pairwise.Recall - c.pairwise.Recall, got.Pairwise.F1 - c.pairwise.F1,
			got.BCubed.Precision - c.bcubed.Precision, got.BCubed.Recall - c.bcubed.Recall, got.BCubed.F1 - c.bcubed.F1,
		} {
			if math.Abs(d) > 1e-12 {
				t.Errorf("%s: %+v", c.name, got)
				break
			}
		}
	}
}

// What is called a cluster and what a party is a matter of view: turned around, precision and recall change places.
func TestJudgeIsSymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "records")
		a := rapid.SliceOfN(rapid.IntRange(0, 4), n, n).Draw(t, "clusters")
		b := rapid.SliceOfN(rapid.IntRange(0, 4), n, n).Draw(t, "parties")
		x, y := match.Judge(a, b), match.Judge(b, a)
		if x.Pairwise.Precision != y.Pairwise.Recall || x.BCubed.Precision != y.BCubed.Recall || x.Pairwise.F1 > 1 || x.BCubed.F1 > 1+1e-9 {
			t.Errorf("%+v %+v", x, y)
		}
		if same := match.Judge(a, a); same.Pairwise.F1 != 1 || math.Abs(same.BCubed.F1-1) > 1e-9 {
			t.Errorf("%+v", same)
		}
	})
}

// A pair counts as brought together if it shares a key that is not over its cap.
func TestCompleteness(t *testing.T) {
	m := match.New()
	at := func(key, email string) *customer.Features {
		return m.Standardise(record(key, cell("email", "1", customer.Text(email)), cell("jobTitle", "", customer.Text("job "+key))))
	}
	known := []*customer.Features{at("a", "ana@example.org"), at("b", "ana@example.org"), at("c", "bo@example.net"), at("d", "cy@example.com")}
	parties := []int{1, 1, 1, 2}
	if got := match.Completeness(m, known, known, parties); got != 1./3 {
		t.Errorf("%v, one pair of three shares an address", got)
	}
	all := known
	for i := range match.DefaultCap {
		all = append(all, at(fmt.Sprint("other ", i), "ana@example.org"))
	}
	if got := match.Completeness(m, all, known, parties); got != 0 {
		t.Errorf("%v, an address of %d parties brings nobody together", got, match.DefaultCap+1)
	}
}
