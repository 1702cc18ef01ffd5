package mappings

import (
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings/language"
)

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
		text, there, err := p.at.Text(s.Scope)
		if err != nil {
			return err
		}
		if there {
			if g.blank.At, err = g.run.m.dialect.Time(text, p.at, s.Scope); err != nil {
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
		v, err := other.Read(s.Scope)
		if err != nil {
			return false, err
		}
		if other.Gives == language.AText && v.State == customer.Set {
			v.List = []string{v.Text}
		}
		for _, loser := range v.List {
			if loser != "" && loser != key {
				c.Others = append(c.Others, loser)
			}
		}
	}
	if joins := p.op == customer.Merge || p.op == customer.Unmerge || p.op == customer.Rekey; joins && len(c.Others) == 0 {
		return false, language.Invalid(p.others[0].Where(s.Scope), "%s names no other key than the one that stays", p.op)
	}
	return true, g.state(s, g.add(c), who.statements, p.statements)
}

func nobody() *event.Error {
	return &event.Error{
		Class: event.Permanent, Reason: "no-party",
		Text: "nobody is named: none of the references that the mapping knows is there",
	}
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
	return in.loop.Run(s.Scope, func() *event.Error { return g.interaction(s, in) })
}

func (g *gathering) interaction(s *frame, in *interaction) *event.Error {
	if in.when != nil {
		if is, err := in.when(s.Scope); err != nil || !is {
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
		if is, err := p.when(s.Scope); err != nil || !is {
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
