package mappings

import (
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// run is the mapping of one message.
type run struct {
	input
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
	*scope
	run *run
}

func (r *run) frame(doc *codec.Node) *frame { return &frame{scope: newScope(&r.input, doc), run: r} }

// note tells a trial which expression gave a statement.
func (r *run) note(src *source, s *frame, path string, state customer.State) {
	if r.trace == nil {
		return
	}
	r.trace(Trace{
		Change: r.current, Path: path, State: state.String(), Expression: src.y.String(), Line: src.y.line, Input: src.where(s.scope),
	})
}

// message answers the changes of the message, as adapters.Source says.
func (r *run) message() ([]customer.Change, error) {
	if r.msg.Value == nil {
		return r.null()
	}
	doc, err := r.m.dialect.decodeValue(r.msg.Value)
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
		if r.fatal != nil {
			return nil, r.fatal
		}
	}
	return r.answer()
}

// answer says what has come of the message.
func (r *run) answer() ([]customer.Change, error) {
	switch {
	case len(r.refusals) == 1 && r.refusals[0].Part == "" && r.refusals[0].Outcome == event.Dead:
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
		is, err := rule.when(s.scope)
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
	if there, err := s.enter(rule.roots); err != nil || there {
		return err
	}
	return invalid(rule.roots[0].text, "nothing stands here, and all that the event %s reads begins here", rule.name)
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
		got, there, err := in.text(s.scope)
		if err != nil {
			return "", err
		}
		if !there {
			return "", invalid(in.where(s.scope), "the message does not say which instance it comes from, and identifiers mean something within one only: "+
				"the mapping takes it from %s", in.y.String())
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
	err := p.levels[depth].run(s.scope, func() *event.Error {
		r.part(p, s, depth+1)
		return r.fatal
	})
	switch {
	case r.fatal != nil:
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
		r.changes = r.changes[:made]
		r.refuse(p, s, event.Dead, err)
	}
}

func (r *run) refuse(p *part, s *frame, outcome event.Outcome, err *event.Error) {
	r.leaves++
	r.refusals = append(r.refusals, event.Refusal{Part: r.place(p, s), Outcome: outcome, Err: err})
}

// place names a part of the message: where the element stands, else the name that the mapping gave.
func (r *run) place(p *part, s *frame) string {
	where := ""
	for _, lv := range p.levels {
		if at, is := lv.at(s.scope); is {
			where = at
		}
	}
	if root := s.root(); root != "" {
		where = strings.TrimPrefix(strings.TrimPrefix(where, root), ".")
	}
	return join(where, p.label)
}

// change makes the changes of one element.
func (r *run) change(p *part, s *frame) *event.Error {
	for _, let := range p.lets {
		if err := let.bind(s.scope); err != nil {
			return err
		}
	}
	if p.when != nil {
		if is, err := p.when(s.scope); err != nil || !is {
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

// gathering is the changes that one element makes: the party's own, and those that interactions' parties need.
type gathering struct {
	run   *run
	part  *part
	first int             // index of the first of them
	blank customer.Change // what all of them have
}

func (g *gathering) make(s *frame) (err *event.Error) {
	p := g.part
	g.blank = customer.Change{Op: customer.Patch, Part: g.run.place(p, s)}
	if g.blank.Version.Source, g.blank.At, err = p.version(s); err != nil {
		return err
	}
	if p.at != nil {
		text, there, err := p.at.text(s.scope)
		if err != nil {
			return err
		}
		if there {
			if g.blank.At, err = g.run.m.dialect.time(text, p.at, s.scope); err != nil {
				return err
			}
		}
	}
	if p.who != nil {
		if there, err := g.own(s); err != nil || !there {
			return err
		}
	}
	for _, in := range p.interactions {
		if err := g.interactions(s, in); err != nil {
			return err
		}
	}
	return nil
}

// own makes the change about the event's own party; false where it names nobody.
func (g *gathering) own(s *frame) (bool, *event.Error) {
	p := g.part
	who, key, err := p.who.resolve(s)
	switch {
	case err != nil:
		return false, err
	case who == nil && p.who.key != nil:
		_, err = p.who.key.must(s, "the party's key")
		return false, err
	case who == nil:
		g.run.refuse(p, s, event.Ignored, nobody())
		return false, nil
	}
	c := g.blank
	c.Key, c.Op = key, p.op
	for _, other := range p.others {
		v, err := other.read(s.scope)
		if err != nil {
			return false, err
		}
		if other.gives == aText && v.state == customer.Set {
			v.list = []string{v.text}
		}
		for _, loser := range v.list {
			if loser != "" && loser != key {
				c.Others = append(c.Others, loser)
			}
		}
	}
	if joins := p.op == customer.Merge || p.op == customer.Unmerge || p.op == customer.Rekey; joins && len(c.Others) == 0 {
		return false, invalid(p.others[0].where(s.scope), "%s names no other key than the one that stays", p.op)
	}
	return true, g.state(s, g.add(c), who.statements, p.statements)
}

func nobody() *event.Error {
	return &event.Error{Class: event.Permanent, Reason: "no-party", Text: "nobody is named: none of the references that the mapping knows is there"}
}

func (g *gathering) add(c customer.Change) int {
	g.run.changes = append(g.run.changes, c)
	return len(g.run.changes) - 1
}

// state adds to what a change says of its party.
func (g *gathering) state(s *frame, i int, emitters ...[]emitter) *event.Error {
	c := &g.run.changes[i]
	n := 0
	for _, list := range emitters {
		n += len(list)
	}
	if n == 0 {
		return nil
	}
	out := statements{list: c.Party}
	if out.list == nil {
		out.list = make([]customer.Statement, 0, n)
	}
	g.run.current = i
	for _, list := range emitters {
		if err := emit(s, list, &out); err != nil {
			return err
		}
	}
	if len(out.list) > 0 {
		c.Party = out.list
	}
	return nil
}

// interactions makes the interactions of one entry.
func (g *gathering) interactions(s *frame, in *interaction) *event.Error {
	if in.loop == nil {
		return g.interaction(s, in)
	}
	return in.loop.run(s.scope, func() *event.Error { return g.interaction(s, in) })
}

func (g *gathering) interaction(s *frame, in *interaction) *event.Error {
	if in.when != nil {
		if is, err := in.when(s.scope); err != nil || !is {
			return err
		}
	}
	made, err := in.read(s)
	if err != nil {
		return err
	}
	rides := -1
	for _, p := range in.parties {
		i, err := g.party(s, p, made)
		if err != nil {
			return err
		}
		if rides < 0 {
			rides = i
		}
	}
	if len(in.parties) == 0 && g.part.who != nil {
		rides = g.first
		made.Parties = []customer.Party{{Role: "customer", Key: g.run.changes[rides].Key}}
	}
	if rides < 0 {
		g.run.refuse(g.part, s, event.Ignored, nobody())
		return nil
	}
	c := &g.run.changes[rides]
	c.Interactions = append(c.Interactions, *made)
	if g.run.trace != nil {
		in.note(s, rides, made)
	}
	return nil
}

// party finds or makes the change about a party of an interaction; -1 where nobody is named.
func (g *gathering) party(s *frame, p *participant, made *customer.Interaction) (int, *event.Error) {
	if p.when != nil {
		if is, err := p.when(s.scope); err != nil || !is {
			return -1, err
		}
	}
	who, key, err := p.ref.resolve(s)
	if err != nil || who == nil {
		return -1, err
	}
	made.Parties = append(made.Parties, customer.Party{Role: p.role, Key: key})
	for i := g.first; i < len(g.run.changes); i++ {
		if g.run.changes[i].Key == key {
			return i, g.state(s, i, who.statements)
		}
	}
	c := g.blank
	c.Key = key
	i := g.add(c)
	return i, g.state(s, i, who.statements)
}

// read answers the interaction without its parties.
func (in *interaction) read(s *frame) (*customer.Interaction, *event.Error) {
	out := &customer.Interaction{Type: in.kind}
	var err *event.Error
	if out.Key, err = in.key.must(s, "the key of the interaction"); err != nil {
		return nil, err
	}
	for _, m := range in.texts {
		text, there, err := m.src.text(s.scope)
		if err != nil {
			return nil, err
		}
		if there {
			if err := m.allowed(s, text); err != nil {
				return nil, err
			}
			m.set(out, text)
		}
	}
	if out.OccurredAt, err = in.moment(s); err != nil {
		return nil, err
	}
	if out.Amount, err = in.amount.read(s); err != nil {
		return nil, err
	}
	if err := in.items.read(s, out); err != nil {
		return nil, err
	}
	for _, ref := range in.references {
		text, there, err := ref.src.text(s.scope)
		if err != nil {
			return nil, err
		}
		if there {
			out.References = append(out.References, customer.Reference{Type: ref.kind, Value: text})
		}
	}
	if in.reversal != nil {
		if key, there, err := in.reversal.read(s); err != nil {
			return nil, err
		} else if there {
			out.ReversalOf = key
		}
	}
	if in.test != nil {
		out.Test, err = in.test(s.scope)
	}
	return out, err
}

func (in *interaction) moment(s *frame) (at time.Time, err *event.Error) {
	if in.occurredAt == nil {
		return at, nil
	}
	text, there, err := in.occurredAt.text(s.scope)
	if err != nil || !there {
		return at, err
	}
	return s.run.m.dialect.time(text, in.occurredAt, s.scope)
}

// allowed checks a text that must be one of a closed list, and all for what no store can keep.
func (m *textMember) allowed(s *frame, text string) *event.Error {
	names := map[string]func() []string{"channel": customer.Channels, "direction": directions}[m.name]
	if names != nil && !slices.Contains(names(), text) {
		return invalid(m.src.where(s.scope), "not a %s: the mapping's enum must lead to one of %s", m.name, strings.Join(names(), ", "))
	}
	return fitting(s, m.src, customer.Text(text))
}

// note tells a trial which expressions gave an interaction.
func (in *interaction) note(s *frame, change int, made *customer.Interaction) {
	r := s.run
	r.current = change
	at := "interactions." + made.Key + "."
	r.note(in.key.parts[0], s, at+"key", customer.Set)
	for _, m := range in.texts {
		r.note(m.src, s, at+m.name, customer.Set)
	}
	if in.occurredAt != nil && !made.OccurredAt.IsZero() {
		r.note(in.occurredAt, s, at+"occurredAt", customer.Set)
	}
	if in.amount != nil && !made.Amount.IsZero() {
		r.note(in.amount.src, s, at+"amount", customer.Set)
	}
}
