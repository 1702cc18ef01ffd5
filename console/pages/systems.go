package pages

import (
	"cmp"
	"context"
	"net/http"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Flow is who lets sources be read, or not.
type Flow interface {
	Pause(ctx context.Context, source, by string) error
	Resume(ctx context.Context, source string) error
}

// Targets is what is asked of the systems that are written to, and what they are told.
type Targets interface {
	// Refused answers the receipts of customers that a target has refused, by customer, behind the id after.
	Refused(ctx context.Context, target, after string, limit int) ([]event.Receipt, error)
	// Resync lets everything be written to a target again.
	Resync(ctx context.Context, target string) error
}

// maxRefused is how many refused customers a page lists (invariant 10).
const maxRefused = 50

func (p *pages) sources(r *http.Request) (*view, error) {
	s, err := p.Status(r.Context())
	if err != nil {
		return nil, err
	}
	may := p.Flow != nil && p.caller(r).Operates
	return &view{frame: frame{Title: "Sources", Section: "sources"}, body: sourcesPage(s, may, p.Now())}, nil
}

// hold pauses or resumes a source, and leads back to it.
func (p *pages) hold(pause bool) handler {
	return func(r *http.Request) (*view, error) {
		if no := p.operates(r); no != nil || p.Flow == nil {
			return cmp.Or(no, p.noOperator()), nil
		}
		var err error
		if pause {
			err = p.Flow.Pause(r.Context(), r.PathValue("name"), p.author(r))
		} else {
			err = p.Flow.Resume(r.Context(), r.PathValue("name"))
		}
		if err != nil {
			return nil, err
		}
		return &view{to: "/sources"}, nil
	}
}

func (p *pages) targets(r *http.Request) (*view, error) {
	s, err := p.Status(r.Context())
	if err != nil {
		return nil, err
	}
	return &view{frame: frame{Title: "Targets", Section: "targets"}, body: targetsPage(s, p.Now())}, nil
}

// aim is what the page of one target shows.
type aim struct {
	Target
	Receipts []event.Receipt
	Next     string
	May      bool // write everything again
}

func (p *pages) target(r *http.Request) (*view, error) {
	s, err := p.Status(r.Context())
	if err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	for i := range s.Targets {
		if s.Targets[i].Name != name || p.Targets == nil {
			continue
		}
		out := &aim{Target: s.Targets[i], May: p.caller(r).Operates}
		if out.Receipts, err = p.Targets.Refused(r.Context(), name, r.URL.Query().Get("after"), maxRefused+1); err != nil {
			return nil, err
		}
		if len(out.Receipts) > maxRefused {
			out.Receipts = out.Receipts[:maxRefused]
			out.Next = query("/targets/"+escape(name), "after", out.Receipts[maxRefused-1].Customer)
		}
		return &view{frame: frame{Title: "Target " + inert(name), Section: "targets"}, body: targetPage(out, p.Now())}, nil
	}
	return nil, customer.ErrNotFound
}

// resync lets everything be written to a target again, and leads back to it.
func (p *pages) resync(r *http.Request) (*view, error) {
	if no := p.operates(r); no != nil || p.Targets == nil {
		return cmp.Or(no, p.noOperator()), nil
	}
	name := r.PathValue("name")
	if r.PostFormValue("sure") != "true" {
		return nil, event.Errorf(event.Permanent, "validation", "sure", "Say that you mean it: everything is written again.")
	}
	if err := p.Targets.Resync(r.Context(), name); err != nil {
		return nil, err
	}
	return &view{to: "/targets/" + escape(name)}, nil
}
