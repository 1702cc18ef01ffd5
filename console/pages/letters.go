package pages

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/event"
)

// Limits of the pages of dead letters (invariant 10).
const (
	maxGrouped = 500 // newest letters that are grouped
	maxListed  = 50  // letters on one page
)

// mail is what the page of dead letters shows.
type mail struct {
	Source, Reason string // what it is narrowed to
	Groups         []group
	Letters        []event.DeadLetter
	Next           string
	Whole          bool // the groups are of all letters
	Now            time.Time
}

// group is letters of one cause.
type group struct {
	Source, Reason, Path, Message string
	Count                         int
	First, Last                   time.Time
	Sample                        string // id of the newest
}

func (p *pages) letters(r *http.Request) (*view, error) {
	q := r.URL.Query()
	out := &mail{Source: q.Get("source"), Reason: q.Get("reason"), Now: p.Now()}
	newest, err := p.Letters.DeadLetters(r.Context(), event.LetterQuery{Source: out.Source, Limit: maxGrouped})
	if err != nil {
		return nil, err
	}
	out.Groups, out.Whole = grouped(newest), len(newest) < maxGrouped
	listed := newest
	if after := q.Get("after"); after != "" {
		if listed, err = p.Letters.DeadLetters(r.Context(), event.LetterQuery{Source: out.Source, After: after, Limit: maxGrouped}); err != nil {
			return nil, err
		}
	}
	more := len(listed) == maxGrouped
	if out.Reason != "" {
		listed = slices.DeleteFunc(slices.Clone(listed), func(d event.DeadLetter) bool { return d.Reason != out.Reason })
	}
	out.Letters = listed[:min(len(listed), maxListed)]
	if n := len(out.Letters); n > 0 && (n < len(listed) || more) {
		out.Next = query("/dead-letters", "source", out.Source, "reason", out.Reason, "after", out.Letters[n-1].ID)
	}
	return &view{frame: frame{Title: "Dead letters", Section: "dead"}, body: lettersPage(out)}, nil
}

// grouped puts letters of one source, reason and path together, the most numerous first.
func grouped(letters []event.DeadLetter) []group {
	var out []group
	for i := range letters {
		d := &letters[i]
		at := slices.IndexFunc(out, func(g group) bool { return g.Source == d.Source && g.Reason == d.Reason && g.Path == d.Path })
		if at < 0 {
			at = len(out)
			out = append(out, group{
				Source: d.Source, Reason: d.Reason, Path: d.Path, Message: d.Message, First: d.At, Last: d.At, Sample: d.ID,
			})
		}
		g := &out[at]
		g.Count++
		if d.At.Before(g.First) {
			g.First = d.At
		}
		if d.At.After(g.Last) {
			g.Last = d.At
		}
	}
	slices.SortStableFunc(out, func(a, b group) int { return b.Count - a.Count })
	return out
}

// opened is what the page of one dead letter shows.
type opened struct {
	Letter   *event.DeadLetter
	Revealed bool
	Sees     bool
	Value    string
	Key      string
	Headers  [][2]string
	Now      time.Time
}

func (p *pages) letter(r *http.Request) (*view, error) { return p.open(r, false) }

// reveal shows the bytes as they are, to who may see them; the log keeps that it was done. It is a form of its own and no address, so that
// nothing but a person's own click does it.
func (p *pages) reveal(r *http.Request) (*view, error) {
	if !p.caller(r).Sees {
		return &view{
			frame: frame{Title: "Not yours to see", Section: "dead"}, status: http.StatusForbidden,
			body: trouble("Your role does not see personal data", "A steward can reveal the bytes of a message."),
		}, nil
	}
	return p.open(r, true)
}

func (p *pages) open(r *http.Request, reveal bool) (*view, error) {
	d, err := p.Letters.DeadLetter(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	show := p.Mask
	if reveal {
		show = func(b []byte) []byte { return b }
		p.Log.InfoContext(r.Context(), "dead letter revealed", slog.String("letter", d.ID), slog.String("by", p.caller(r).Name))
	}
	out := &opened{Letter: d, Revealed: reveal, Sees: p.caller(r).Sees, Value: dump(show(d.Value)), Key: dump(show(d.Key)), Now: p.Now()}
	for _, h := range d.Headers {
		out.Headers = append(out.Headers, [2]string{inert(h.Key), dump(show(h.Value))})
	}
	return &view{frame: frame{Title: "Dead letter " + d.ID, Section: "dead"}, body: letterPage(out)}, nil
}

// dump writes bytes for reading: lines stay lines, all else that cannot be seen is written as its code.
func dump(b []byte) string {
	cut := b[:min(len(b), MaxBytes)]
	lines := strings.Split(strings.ReplaceAll(string(cut), "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = inertTo(strings.ReplaceAll(l, "\t", "    "), MaxBytes)
	}
	text := strings.Join(lines, "\n")
	if len(cut) < len(b) {
		text += "\n… (" + number(int64(len(b))) + " bytes in all)"
	}
	return text
}

func (p *pages) sources(r *http.Request) (*view, error) {
	s, err := p.Status(r.Context())
	if err != nil {
		return nil, err
	}
	return &view{frame: frame{Title: "Sources", Section: "sources"}, body: sourcesPage(s, p.Now())}, nil
}

func (p *pages) targets(r *http.Request) (*view, error) {
	s, err := p.Status(r.Context())
	if err != nil {
		return nil, err
	}
	return &view{frame: frame{Title: "Targets", Section: "targets"}, body: targetsPage(s)}, nil
}
