package mappings

import (
	"slices"
	"strings"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

// run is the mapping of one message.
type run struct {
	language.Input
	m        *Mapping
	doc      *codec.Node
	current  int // index of the change that is being made
	instance *string
	changes  []customer.Change
	refusals event.Refusals
	leaves   int
	rule     *rule
	trace    func(Trace)
}

// frame is the state of one evaluation, and the run it belongs to.
type frame struct {
	*language.Scope
	run *run
}

func (r *run) frame(doc *codec.Node) *frame {
	return &frame{Scope: language.NewScope(&r.Input, doc), run: r}
}

// note tells a trial which expression gave a statement.
func (r *run) note(src *language.Source, s *frame, path string, state customer.State) {
	r.trace(Trace{
		Change: r.current, Path: path, State: state.String(), Expression: src.Y.String(), Line: src.Y.Line, Input: src.Where(s.Scope),
	})
}

// message answers the changes of the message, as adapters.Source says.
func (r *run) message() ([]customer.Change, error) {
	if r.Msg.Value == nil {
		return r.null()
	}
	doc, err := r.m.dialect.DecodeValue(r.Msg.Value)
	if err != nil {
		return nil, err
	}
	r.doc = doc
	s := r.frame(doc)
	rule, fault := r.choose(s)
	switch {
	case fault != nil:
		return nil, fault
	case rule == nil:
		return nil, event.Ignore("no-event", "no event of the mapping is about this message")
	case rule.ignore != "":
		return nil, event.Ignore(rule.ignore, "the mapping leaves "+rule.name+" out")
	}
	if fault := r.root(s, rule); fault != nil {
		return nil, fault
	}
	for _, p := range rule.parts {
		r.part(p, s, 0)
		if r.Fatal != nil {
			return nil, r.whole(r.Fatal)
		}
	}
	return r.answer()
}

// whole refuses the message as a whole. It names whom the parts were about that were read until then, so that an erasure finds it.
func (r *run) whole(err *event.Error) error {
	refusal := event.Refusal{Outcome: event.Dead, Err: err}
	for i := range r.changes {
		refusal.Keys = append(append(refusal.Keys, r.changes[i].Key), r.changes[i].Others...)
	}
	for i := range r.refusals {
		refusal.Keys = append(refusal.Keys, r.refusals[i].Keys...)
	}
	slices.Sort(refusal.Keys)
	if refusal.Keys = slices.Compact(refusal.Keys); len(refusal.Keys) == 0 {
		return err
	}
	return event.Refusals{refusal}
}

// answer says what has come of the message.
func (r *run) answer() ([]customer.Change, error) {
	switch {
	case len(r.refusals) == 1 && r.refusals[0].Part == "" && r.refusals[0].Outcome == event.Dead:
		if len(r.refusals[0].Keys) > 0 {
			return nil, r.refusals
		}
		return nil, r.refusals[0].Err
	case len(r.refusals) > 0:
		return r.changes, r.refusals
	case len(r.changes) == 0:
		return nil, event.Ignore("no-party", "the message names nobody and states nothing of a party")
	}
	return r.changes, nil
}

// choose answers the first event whose condition holds.
func (r *run) choose(s *frame) (*rule, *event.Error) {
	for _, rule := range r.m.rules {
		if rule.when == nil {
			r.rule = rule
			return rule, nil
		}
		is, err := rule.when(s.Scope)
		if err != nil {
			return nil, err
		}
		if is {
			r.rule = rule
			return rule, nil
		}
	}
	return nil, nil
}

func (r *run) root(s *frame, rule *rule) *event.Error {
	if there, err := s.Enter(rule.roots); err != nil || there {
		return err
	}
	return language.Invalid(rule.roots[0].Text, "nothing stands here, and all that the event %s reads begins here", rule.name)
}

// null answers what a Kafka null means: nothing, or that the party of the message's key is gone.
func (r *run) null() ([]customer.Change, error) {
	if r.m.onNull == nil {
		return nil, event.Ignore("tombstone", "the value is null, which the mapping leaves out")
	}
	s := r.frame(nil)
	key, err := r.m.onNull.must(s, "the key of the party that is gone")
	if err != nil {
		return nil, err
	}
	return []customer.Change{{Key: key, Op: customer.Delete}}, nil
}

// issuer answers the instance that the message came from: identifiers are scoped to it.
func (r *run) issuer() (string, *event.Error) {
	if r.instance != nil {
		return *r.instance, nil
	}
	text := ""
	if in := r.m.instance; in != nil {
		s := r.frame(r.doc)
		got, there, err := in.Text(s.Scope)
		if err != nil {
			return "", err
		}
		if !there {
			return "", language.Invalid(in.Where(s.Scope), "the message does not say which instance it comes from, "+
				"and identifiers mean something within one only: the mapping takes it from %s", in.Y.String())
		}
		text = got
	}
	r.instance = &text
	return text, nil
}

// part makes the changes of one part of a rule, for each element that its each goes through.
func (r *run) part(p *part, s *frame, depth int) {
	if depth == len(p.levels) {
		r.leaf(p, s)
		return
	}
	before := r.leaves
	err := p.levels[depth].Run(s.Scope, func() *event.Error {
		r.part(p, s, depth+1)
		return r.Fatal
	})
	switch {
	case r.Fatal != nil:
	case err != nil:
		r.refuse(p, s, event.Dead, err)
	case depth == p.coarse && r.leaves == before:
		r.leaf(p, s)
	}
}

// leaf makes the changes of one element; when it fails, the others go on.
func (r *run) leaf(p *part, s *frame) {
	r.leaves++
	made := len(r.changes)
	if err := r.change(p, s); err != nil {
		names := customer.Mapped{Changes: r.changes[made:]}
		keys := names.Keys()
		r.changes = r.changes[:made]
		r.refuse(p, s, event.Dead, err)
		r.refusals[len(r.refusals)-1].Keys = append(keys, r.named(p, s)...)
	}
}

func (r *run) refuse(p *part, s *frame, outcome event.Outcome, err *event.Error) {
	r.leaves++
	r.refusals = append(r.refusals, event.Refusal{Part: r.place(p, s), Outcome: outcome, Err: err})
}

// named answers the key of the party of an element that failed, if it can be read.
func (r *run) named(p *part, s *frame) []string {
	if p.who == nil || r.Fatal != nil {
		return nil
	}
	if who, key, err := p.who.resolve(s); who != nil && err == nil {
		return []string{key}
	}
	return nil
}

// place names a part of the message: where the element stands, else the name that the mapping gave.
func (r *run) place(p *part, s *frame) string {
	where := ""
	for _, lv := range p.levels {
		if at, is := lv.At(s.Scope); is {
			where = at
		}
	}
	if root := s.Root(); root != "" {
		where = strings.TrimPrefix(strings.TrimPrefix(where, root), ".")
	}
	return language.Join(where, p.label)
}

// change makes the changes of one element.
func (r *run) change(p *part, s *frame) *event.Error {
	for _, let := range p.lets {
		if err := let.Bind(s.Scope); err != nil {
			return err
		}
	}
	if p.when != nil {
		if is, err := p.when(s.Scope); err != nil || !is {
			return err
		}
	}
	for i := range p.skips {
		reason, err := p.skips[i].holds(s)
		if err != nil {
			return err
		}
		if reason != "" {
			r.refuse(p, s, event.Ignored, &event.Error{Class: event.Permanent, Reason: reason, Text: "the mapping leaves it out"})
			return nil
		}
	}
	g := gathering{run: r, part: p, first: len(r.changes)}
	return g.make(s)
}
