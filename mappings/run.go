package mappings

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// maxSteps bounds the list items that one message may be walked through (invariant 10): lists within lists of a message
// that is within the codec's limits could still ask for their product.
const maxSteps = 4_000_000

// run is the mapping of one message.
type run struct {
	m        *Mapping
	msg      *event.Message
	doc      *codec.Node
	key      *codec.Node // the message's key as a document
	current  int         // index of the change that is being made
	instance *string
	changes  []customer.Change
	refusals event.Refusals
	leaves   int
	steps    int
	fatal    *event.Error
	rule     *rule
	trace    func(Trace)
}

// spend counts a step.
func (r *run) spend() *event.Error {
	if r.steps++; r.steps > maxSteps {
		r.fatal = event.Errorf(event.Poison, reasonTooLarge, "", "the message's lists have more than %d items together, which is the limit", maxSteps)
		return r.fatal
	}
	return nil
}

// note tells a trial which expression gave a statement.
func (r *run) note(src *source, s *scope, path string, state customer.State) {
	if r.trace == nil {
		return
	}
	r.trace(Trace{
		Change: r.current, Path: path, State: state.String(), Expression: src.y.String(), Line: src.y.line, Input: src.where(s),
	})
}

// message answers the changes of the message, as adapters.Source says.
func (r *run) message() ([]customer.Change, error) {
	if r.msg.Value == nil {
		return r.null()
	}
	doc, err := r.m.decodeValue(r.msg.Value)
	if err != nil {
		return nil, err
	}
	r.doc = doc
	s := &scope{run: r}
	for i := range s.index {
		s.index[i] = -1
	}
	s.slots[slotTop], s.slots[slotRoot] = doc, doc
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
func (r *run) choose(s *scope) (*rule, *event.Error) {
	for _, rule := range r.m.rules {
		if rule.when == nil {
			r.rule = rule
			return rule, nil
		}
		is, err := rule.when(s)
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

func (r *run) root(s *scope, rule *rule) *event.Error {
	if len(rule.roots) == 0 {
		return nil
	}
	for _, root := range rule.roots {
		n, err := root.one(s)
		if err != nil {
			return err
		}
		if n.Kind() != codec.Absent && n.Kind() != codec.Null {
			s.slots[slotRoot], s.from[slotRoot] = n, root
			return nil
		}
	}
	return invalid(rule.roots[0].text, "nothing stands here, and all that the event %s reads begins here", rule.name)
}

// null answers what a Kafka null means: nothing, or that the party of the message's key is gone.
func (r *run) null() ([]customer.Change, error) {
	if r.m.onNull == nil {
		return nil, event.Ignore("tombstone", "the value is null, which the mapping leaves out")
	}
	s := &scope{run: r}
	key, err := r.m.onNull.must(s, "the key of the party that is gone")
	if err != nil {
		return nil, err
	}
	return []customer.Change{{Key: key, Op: customer.Delete}}, nil
}

// openKey decodes the message's key, once.
func (r *run) openKey(s *scope) *event.Error {
	if r.key == nil && r.msg.Key != nil {
		n, err := codec.JSON(r.msg.Key, codec.DefaultLimits)
		if err != nil {
			var e *event.Error
			if errors.As(err, &e) {
				return event.Errorf(e.Class, e.Reason, "key", "the message's key: %s", e.Text)
			}
			return invalid("key", "the message's key is not JSON")
		}
		r.key = n
	}
	s.slots[slotKey] = r.key
	return nil
}

// issuer answers the instance that the message came from: identifiers are scoped to it.
func (r *run) issuer() (string, *event.Error) {
	if r.instance != nil {
		return *r.instance, nil
	}
	text := ""
	if in := r.m.instance; in != nil {
		s := scope{run: r}
		s.slots[slotTop] = r.doc
		got, there, err := in.text(&s)
		if err != nil {
			return "", err
		}
		if !there {
			return "", invalid(in.where(&s), "the message does not say which instance it comes from, and identifiers mean something within one only: "+
				"the mapping takes it from %s", in.y.String())
		}
		text = got
	}
	r.instance = &text
	return text, nil
}

// part makes the changes of one part of a rule, for each element that its each goes through.
func (r *run) part(p *part, s *scope, depth int) {
	if depth == len(p.levels) {
		r.leaf(p, s)
		return
	}
	lv, before := &p.levels[depth], r.leaves
	s.from[lv.slot] = lv.route
	err := lv.route.all(s, func(n *codec.Node, at int) *event.Error {
		s.slots[lv.slot], s.index[lv.slot] = n, at
		r.part(p, s, depth+1)
		return r.fatal
	})
	s.slots[lv.slot], s.index[lv.slot] = nil, -1
	switch {
	case r.fatal != nil:
	case err != nil:
		r.refuse(p, s, event.Dead, err)
	case depth == p.coarse && r.leaves == before:
		r.leaf(p, s)
	}
}

// leaf makes the changes of one element; when it fails, the others go on.
func (r *run) leaf(p *part, s *scope) {
	r.leaves++
	made := len(r.changes)
	if err := r.change(p, s); err != nil {
		r.changes = r.changes[:made]
		r.refuse(p, s, event.Dead, err)
	}
}

func (r *run) refuse(p *part, s *scope, outcome event.Outcome, err *event.Error) {
	r.leaves++
	r.refusals = append(r.refusals, event.Refusal{Part: r.place(p, s), Outcome: outcome, Err: err})
}

// place names a part of the message: where the element stands, else the name that the mapping gave.
func (r *run) place(p *part, s *scope) string {
	where := ""
	for _, lv := range p.levels {
		if s.slots[lv.slot] != nil {
			where = s.at(lv.slot)
		}
	}
	if root := s.at(slotRoot); root != "" {
		where = strings.TrimPrefix(strings.TrimPrefix(where, root), ".")
	}
	return join(where, p.label)
}

// change makes the changes of one element.
func (r *run) change(p *part, s *scope) *event.Error {
	for _, let := range p.lets {
		s.slots[let.slot], s.index[let.slot] = nil, -1
		route, err := let.pick(s)
		if err != nil {
			return err
		}
		if s.from[let.slot] = route; route != nil {
			if s.slots[let.slot], err = route.one(s); err != nil {
				return err
			}
		}
	}
	if p.when != nil {
		if is, err := p.when(s); err != nil || !is {
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

func (g *gathering) make(s *scope) (err *event.Error) {
	p := g.part
	g.blank = customer.Change{Op: customer.Patch, Part: g.run.place(p, s)}
	if g.blank.Version.Source, g.blank.At, err = p.version(s); err != nil {
		return err
	}
	if p.at != nil {
		text, there, err := p.at.text(s)
		if err != nil {
			return err
		}
		if there {
			if g.blank.At, err = g.run.m.time(text, p.at, s); err != nil {
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
func (g *gathering) own(s *scope) (bool, *event.Error) {
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
		v, err := other.read(s)
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
		return false, invalid(p.others[0].where(s), "%s names no other key than the one that stays", p.op)
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
func (g *gathering) state(s *scope, i int, emitters ...[]emitter) *event.Error {
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
func (g *gathering) interactions(s *scope, in *interaction) *event.Error {
	if in.loop == nil {
		return g.interaction(s, in)
	}
	return in.loop.run(s, func() *event.Error { return g.interaction(s, in) })
}

func (g *gathering) interaction(s *scope, in *interaction) *event.Error {
	if in.when != nil {
		if is, err := in.when(s); err != nil || !is {
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
func (g *gathering) party(s *scope, p *participant, made *customer.Interaction) (int, *event.Error) {
	if p.when != nil {
		if is, err := p.when(s); err != nil || !is {
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
func (in *interaction) read(s *scope) (*customer.Interaction, *event.Error) {
	out := &customer.Interaction{Type: in.kind}
	var err *event.Error
	if out.Key, err = in.key.must(s, "the key of the interaction"); err != nil {
		return nil, err
	}
	for _, m := range in.texts {
		text, there, err := m.src.text(s)
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
		text, there, err := ref.src.text(s)
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
		out.Test, err = in.test(s)
	}
	return out, err
}

func (in *interaction) moment(s *scope) (at time.Time, err *event.Error) {
	if in.occurredAt == nil {
		return at, nil
	}
	text, there, err := in.occurredAt.text(s)
	if err != nil || !there {
		return at, err
	}
	return s.run.m.time(text, in.occurredAt, s)
}

// allowed checks a text that must be one of a closed list, and all for what no store can keep.
func (m *textMember) allowed(s *scope, text string) *event.Error {
	names := map[string]func() []string{"channel": customer.Channels, "direction": directions}[m.name]
	if names != nil && !slices.Contains(names(), text) {
		return invalid(m.src.where(s), "not a %s: the mapping's enum must lead to one of %s", m.name, strings.Join(names(), ", "))
	}
	return fitting(s, m.src, customer.Text(text))
}

// note tells a trial which expressions gave an interaction.
func (in *interaction) note(s *scope, change int, made *customer.Interaction) {
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
