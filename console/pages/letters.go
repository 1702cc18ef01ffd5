package pages

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/onefold/onefold/event"
)

// Hand is who does with dead letters what people decide.
type Hand interface {
	// Discard lets the chosen letters go, a bounded number at once, and tells how many went and whether there are more.
	Discard(ctx context.Context, w event.ReplayWish, why string) (gone int64, more bool, err error)
}

// Limits of the pages of dead letters (invariant 10).
const (
	maxGroups = 50 // causes on one page
	maxListed = 50 // letters on one page
)

// mail is what the page of dead letters shows.
type mail struct {
	Caller  Caller
	Source  string // what it is narrowed to
	Group   string
	Groups  []group
	Whole   bool // there are no more groups
	Letters []event.DeadLetter
	Count   int64  // of the letters that it is narrowed to; 0 where there are too many groups to know
	Next    string // address of the older ones
	Replays []event.Replay
	Now     time.Time
}

// group is letters of one cause, and what the newest of them says.
type group struct {
	event.LetterGroup
	Message string
}

func (p *pages) letters(r *http.Request) (*view, error) {
	q := r.URL.Query()
	out := &mail{Caller: p.caller(r), Source: q.Get("source"), Group: q.Get("group"), Now: p.Now()}
	var err error
	if out.Groups, err = p.groups(r, out.Source); err != nil {
		return nil, err
	}
	out.Whole = len(out.Groups) < maxGroups
	for i := range out.Groups {
		if g := &out.Groups[i]; out.Whole && (out.Group == "" || g.ID == out.Group) {
			out.Count += g.Count
		}
	}
	asked := event.LetterQuery{Source: out.Source, Group: out.Group, After: q.Get("after"), Bare: true, Limit: maxListed + 1}
	if out.Letters, err = p.Letters.DeadLetters(r.Context(), asked); err != nil {
		return nil, err
	}
	if len(out.Letters) > maxListed {
		out.Letters = out.Letters[:maxListed]
		out.Next = query("/dead-letters", "source", out.Source, "group", out.Group, "after", out.Letters[maxListed-1].ID)
	}
	out.Replays = p.recent(r)
	return &view{frame: frame{Title: "Dead letters", Section: "dead"}, body: lettersPage(out)}, nil
}

// groups answers the causes, the most frequent first, each with what its newest letter says.
func (p *pages) groups(r *http.Request, source string) ([]group, error) {
	found, err := p.Letters.DeadGroups(r.Context(), event.LetterQuery{Source: source, Limit: maxGroups})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	asked := event.LetterQuery{Bare: true, Limit: len(found)}
	for i := range found {
		asked.IDs = append(asked.IDs, found[i].Example)
	}
	newest, err := p.Letters.DeadLetters(r.Context(), asked)
	if err != nil {
		return nil, err
	}
	says := map[string]string{}
	for i := range newest {
		says[newest[i].ID] = newest[i].Message
	}
	out := make([]group, len(found))
	for i := range found {
		out[i] = group{found[i], says[found[i].Example]}
	}
	return out, nil
}

// opened is what the page of one dead letter shows.
type opened struct {
	Letter   *event.DeadLetter
	Revealed bool
	Caller   Caller
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
	out := &opened{Letter: d, Revealed: reveal, Caller: p.caller(r), Value: dump(show(d.Value)), Key: dump(show(d.Key)), Now: p.Now()}
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

// discard lets letters go for good that will never be of use, with the reason that a person gives; the store keeps who it was and why.
func (p *pages) discard(r *http.Request) (*view, error) {
	if no := p.operates(r); no != nil || p.Hand == nil {
		return cmp.Or(no, p.noOperator()), nil
	}
	wish, err := p.wish(r)
	if err != nil {
		return nil, err
	}
	why := strings.TrimSpace(r.PostForm.Get("reason"))
	if why == "" {
		return nil, event.Errorf(event.Permanent, "validation", "reason", "Say why they are to go: the reason is kept, the messages are not.")
	}
	if _, _, err := p.Hand.Discard(r.Context(), wish, why); err != nil {
		return nil, err
	}
	return &view{to: query("/dead-letters", "source", wish.Source)}, nil
}
