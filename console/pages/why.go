package pages

import (
	"net/http"
	"strconv"

	"github.com/onefold/onefold/customer"
)

// maxPairs is how many of a customer's records are explained on its page (invariant 10): each costs a comparison with all others.
const maxPairs = 12

// reason is why the records of a customer are one: for each of them the record that speaks loudest for it, and of one of these pairs
// every step.
type reason struct {
	Customer string
	Pairs    []pair
	More     int // records that are not explained here
	Shown    *waterfall
	Problem  string
}

// pair is one record and the one that holds it in.
type pair struct {
	Left     string
	Right    string
	Bits     string
	Needed   string
	How      string
	Link     string
	Selected bool
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
	X, Width                  string // of the bar
	Up                        bool
}

// Measures of the waterfall in pixels.
const (
	fallWidth = 520
	barStep   = 30 // height of a step
)

// why explains a customer of several records.
func (p *pages) why(r *http.Request, c *customer.Customer, sees bool) (*reason, error) {
	if len(c.Members) < 2 {
		return nil, nil //nolint:nilnil // one record needs no reason
	}
	out := &reason{Customer: c.ID.String(), More: max(0, len(c.Members)-maxPairs)}
	a, b := r.URL.Query().Get("a"), r.URL.Query().Get("b")
	seen := map[customer.Pair]bool{}
	for _, m := range c.Members[:min(len(c.Members), maxPairs)] {
		x, err := p.Explain.Why(r.Context(), m.Record.String(), c.ID.String())
		if err != nil {
			why, ok := refused(err)
			if !ok {
				return nil, err
			}
			out.Problem = why
			continue
		}
		of := customer.NewPair(x.A.Record, x.B.Record)
		if seen[of] {
			continue
		}
		seen[of] = true
		chosen := a == x.A.Record.String() && b == x.B.Record.String() || a == "" && out.Shown == nil
		out.Pairs = append(out.Pairs, pair{
			Left: member(x.A.Member, sees), Right: member(x.B.Member, sees),
			Bits: bits(x.Weight), Needed: bits(x.Threshold), How: how(x), Selected: chosen,
			Link: query("/customers/"+c.ID.String(), "a", x.A.Record.String(), "b", x.B.Record.String()) + "#why",
		})
		if chosen {
			out.Shown = newWaterfall(x, sees)
		}
	}
	if out.Shown == nil && a != "" && b != "" { // a pair of the reader's own choice
		x, err := p.Explain.Why(r.Context(), a, b)
		if err != nil {
			why, ok := refused(err)
			if !ok {
				return nil, err
			}
			out.Problem = why
			return out, nil
		}
		out.Shown = newWaterfall(x, sees)
	}
	return out, nil
}

// how says in two words what binds a pair.
func how(x *customer.Explanation) string {
	switch {
	case x.Decision != nil:
		return "decided"
	case x.Rule == customer.MustLink:
		return "must link"
	case x.Weight >= x.Threshold:
		return "evidence"
	}
	return "by way of others"
}

// newWaterfall lays out an explanation. The bars' exact weights add up to the exact score; should they not, it says so.
func newWaterfall(x *customer.Explanation, sees bool) *waterfall {
	out := &waterfall{
		A: member(x.A.Member, sees), B: member(x.B.Member, sees),
		Verdict: inert(x.Verdict), Threshold: bits(x.Threshold), Exact: exactly(x.Weight), Decision: x.Decision,
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
		b.Detail = shown(s.Detail, sees)
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
		out.Keys = append(out.Keys, k.Type)
	}
	for _, m := range x.Path {
		out.Path = append(out.Path, member(m, sees))
	}
	return out
}

func digits(n int64) string { return strconv.FormatInt(n, 10) }

func member(m customer.Member, sees bool) string {
	return inert(m.Source) + "/" + short(keyOf(m.Key, sees))
}

func (w *waterfall) box() string {
	return "0 0 " + strconv.Itoa(fallWidth) + " " + strconv.Itoa(barStep)
}
