package pages

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/onefold/onefold/customer"
)

// Limits of an explanation on the page (invariant 10); the API and the command line have all of it.
const (
	maxUnions = 30 // steps that made a customer
	maxCommon = 4  // values of a comparison of which is said how common they are
	maxApart  = 10 // steps that were refused between it and others
)

// reason is why the records of a customer are one: the steps that joined them, in order, those that were refused, and of one pair every
// comparison.
type reason struct {
	Unions  []union
	More    int // steps that are not shown
	Apart   []union
	Others  bool // more were refused than are shown
	Changed bool // the steps lead elsewhere than where the store stands
	Shown   *waterfall
	Problem string
}

// union is one step: two groups of records that were joined, or could have been and were not, by the pair that decides.
type union struct {
	Left, Right string
	By          string
	Link        string
	Selected    bool
}

// waterfall draws an explanation: one bar a step, from where the last one ended; the end is the score.
type waterfall struct {
	A, B      string
	Verdict   string
	Steps     []bar
	Sum       bar
	Threshold string
	At        string // x of the threshold
	Zero      string // x of nothing
	Exact     string // the score, exactly
	Short     string // what the steps come to, if it is not the score: a mistake of ours
	Keys      []string
	Path      []string
	Decision  *customer.Decision
}

// bar is one step.
type bar struct {
	Comparison, Level, Detail string
	Bits, Exact               string
	Common                    []string // how common the values are
	X, Width                  string   // of the bar
	Up                        bool
}

// Measures of the waterfall in pixels.
const (
	fallWidth = 520
	barStep   = 30 // height of a step
)

// why explains a customer of several records.
func (p *pages) why(r *http.Request, c *customer.Customer) (*reason, error) {
	if len(c.Members) < 2 {
		return nil, nil //nolint:nilnil // one record needs no reason
	}
	out := &reason{}
	made, err := p.Explain.How(r.Context(), c.ID)
	if err != nil {
		return out, out.complain(err)
	}
	out.Others, out.Changed = made.Cut || len(made.Apart) > maxApart, !made.Current
	out.More = max(0, len(made.Steps)-maxUnions)
	a, b := r.URL.Query().Get("a"), r.URL.Query().Get("b")
	if a == "" && b == "" {
		a, b = first(made, c)
	}
	show := func(u *customer.Union) union {
		x, y := u.A.Record.String(), u.B.Record.String()
		return union{
			Left: member(u.A), Right: member(u.B), By: by(u), Selected: a == x && b == y,
			Link: query("/customers/"+c.ID.String(), "a", x, "b", y) + "#why",
		}
	}
	for i := range made.Steps[:len(made.Steps)-out.More] {
		out.Unions = append(out.Unions, show(&made.Steps[i]))
	}
	for i := range made.Apart[:min(len(made.Apart), maxApart)] {
		out.Apart = append(out.Apart, show(&made.Apart[i]))
	}
	x, err := p.Explain.Why(r.Context(), a, b)
	if err != nil {
		return out, out.complain(err)
	}
	out.Shown = newWaterfall(x)
	return out, nil
}

// complain notes why a question was refused; what is no refusal is answered.
func (x *reason) complain(err error) error {
	why, ok := refused(err)
	if !ok {
		return err
	}
	x.Problem = why
	return nil
}

// first answers the pair that is shown unless another one is asked for: the first that evidence joined, else the first at all.
func first(made *customer.Making, c *customer.Customer) (a, b string) {
	for i := range made.Steps {
		if u := &made.Steps[i]; u.By == customer.ByEvidence || u.By == customer.ByContradicted {
			return u.A.Record.String(), u.B.Record.String()
		}
	}
	if len(made.Steps) > 0 {
		return made.Steps[0].A.Record.String(), made.Steps[0].B.Record.String()
	}
	return c.Members[0].Record.String(), c.Members[1].Record.String()
}

// by says what joined two groups, or what stands between them.
func by(u *customer.Union) string {
	evidence := bits(u.Weight) + " bits, " + needed(u.Threshold) + " needed"
	switch u.Refused {
	case "":
	case customer.RefusedByDecision:
		return "a person has parted two of their records"
	case customer.RefusedByRule:
		return "two of their records hold different numbers of a kind of which one has one"
	case customer.RefusedByMean:
		return evidence + ", but the other pairs across speak against it"
	case customer.RefusedByLimit:
		return "too many records hang together"
	default:
		return evidence + ", but one trait contradicts: " + string(u.Refused)
	}
	switch u.By {
	case customer.ByAlike:
		return plural(int64(u.Alike), "record says", "records say") + " the same"
	case customer.ByDecision:
		return "a person's decision"
	case customer.ByRule:
		return "a strong identifier, or their source"
	case customer.ByContradicted:
		return evidence + ", one trait aside"
	}
	return evidence
}

// newWaterfall lays out an explanation. The bars' exact weights add up to the exact score; should they not, it says so.
func newWaterfall(x *customer.Explanation) *waterfall {
	out := &waterfall{
		A: member(x.A.Member), B: member(x.B.Member),
		Verdict: inert(x.Verdict), Threshold: needed(x.Threshold), Exact: exactly(x.Weight), Decision: x.Decision,
	}
	low, high, sum := min(0, x.Threshold), max(0, x.Threshold), customer.Weight(0)
	for _, s := range x.Steps {
		sum += s.Weight
		low, high = min(low, sum), max(high, sum)
	}
	low, high = min(low, x.Weight), max(high, x.Weight)
	span := max(int64(high)-int64(low), 1)
	at := func(w customer.Weight) int64 { return 8 + (int64(w)-int64(low))*(fallWidth-16)/span }
	draw := func(from, to customer.Weight) bar {
		left, right := at(min(from, to)), at(max(from, to))
		return bar{X: digits(left), Width: digits(max(right-left, 2)), Up: to >= from}
	}
	if sum != x.Weight {
		out.Short = exactly(sum)
	}
	sum = 0
	for _, s := range x.Steps {
		b := draw(sum, sum+s.Weight)
		b.Comparison, b.Level, b.Bits, b.Exact = label(customer.Path{Name: s.Comparison}), inert(s.Level), bits(s.Weight), exactly(s.Weight)
		b.Detail = inert(s.Detail)
		for _, f := range s.Frequencies[:min(len(s.Frequencies), maxCommon)] {
			b.Common = append(b.Common, inert(f.Of)+": one in "+number(f.OneIn))
		}
		out.Steps = append(out.Steps, b)
		sum += s.Weight
	}
	out.Sum = draw(0, x.Weight)
	out.Sum.Bits, out.Sum.Exact = bits(x.Weight), exactly(x.Weight)
	out.At, out.Zero = digits(at(x.Threshold)), digits(at(0))
	for _, k := range x.Keys {
		if k.Generic {
			k.Type += " (too common to propose)"
		}
		if !slices.Contains(out.Keys, k.Type) {
			out.Keys = append(out.Keys, k.Type)
		}
	}
	for _, m := range x.Path {
		out.Path = append(out.Path, member(m))
	}
	return out
}

func digits(n int64) string { return strconv.FormatInt(n, 10) }

func member(m customer.Member) string {
	return inert(m.Source) + "/" + short(inert(m.Key))
}

func (w *waterfall) box() string {
	return "0 0 " + strconv.Itoa(fallWidth) + " " + strconv.Itoa(barStep)
}
