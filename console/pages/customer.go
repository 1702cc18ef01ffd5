package pages

import (
	"cmp"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Limits of the page of one customer (invariant 10). What is over them is told, with where to see it.
const (
	maxValues  = 200 // attributes
	maxLosers  = 20  // values that lost, of one attribute
	maxOrigins = 3   // records that state one value
	maxRecord  = 100 // records
	maxEvents  = 50  // interactions, unless more are asked for
)

// person is what the page of one customer shows.
type person struct {
	Customer *customer.Customer
	Asked    customer.CustomerID // differs if the id that was asked for leads to another
	Name     string
	Values   []value
	More     int // values beyond the limit
	Records  []customer.Member
	Events   []happening
	Longer   string // where to see more of the timeline
	Why      *reason
	Now      time.Time
}

// value is one surviving value, and what else was said.
type value struct {
	Label, Element string
	stated
	Verified bool
	Rule     string
	Losers   []stated
	More     int // values that lost and are not shown
}

// stated is one value and whoever states it.
type stated struct {
	Text    string
	Origins []origin
	More    int // origins that are not shown
}

// origin is a record that states a value.
type origin struct {
	Source, Key, Whole string // the key shortened, and as it is
	At                 time.Time
}

// happening is one line of the timeline.
type happening struct {
	Type, Subtype, Status, Title, Amount, Channel, Source, Key string
	Test, Reversal                                             bool
	At                                                         time.Time
	Items                                                      int
}

func (p *pages) customer(r *http.Request) (*view, error) {
	var id customer.CustomerID
	if id.UnmarshalText([]byte(r.PathValue("id"))) != nil {
		return nil, event.Errorf(event.Permanent, "validation", "id",
			"This is not a customer's id: an id is cus_ and 26 letters and digits. Search finds one.")
	}
	ctx := r.Context()
	c, err := p.Customers.Customer(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &person{Customer: c, Asked: id, Now: p.Now()}
	title := "Customer " + c.ID.String()
	if c.Status == customer.Active {
		if err := p.fill(r, out); err != nil {
			return nil, err
		}
	}
	return &view{frame: frame{Title: title, Section: "customers"}, body: customerPage(out)}, nil
}

func (p *pages) fill(r *http.Request, out *person) error {
	c := out.Customer
	out.Name = inert(nameOf(c))
	for i := range c.Attributes[:min(len(c.Attributes), maxValues)] {
		out.Values = append(out.Values, valueOf(&c.Attributes[i]))
	}
	slices.SortStableFunc(out.Values, func(a, b value) int { return cmp.Compare(order(a.Label), order(b.Label)) })
	out.More = max(0, len(c.Attributes)-maxValues)
	out.Records = c.Members[:min(len(c.Members), maxRecord)]

	limit := maxEvents
	if n, err := strconv.Atoi(r.URL.Query().Get("events")); err == nil && n > limit {
		limit = min(n, customer.MaxTimeline)
	}
	events, err := p.Customers.Timeline(r.Context(), c.ID, limit)
	if err != nil {
		return err
	}
	for _, in := range events {
		out.Events = append(out.Events, happeningOf(in))
	}
	if len(events) == limit && limit < customer.MaxTimeline {
		out.Longer = query("/customers/"+c.ID.String(), "events", strconv.Itoa(limit*4)) + "#timeline"
	}
	out.Why, err = p.why(r, c)
	return err
}

// order puts what one looks for first: the names, how to reach somebody, then the rest as it comes.
func order(label string) int {
	first := []string{
		"Full name", "Legal name", "Honorific prefix", "Given name", "Additional name", "Family name", "Alternate name", "Birth date", "Email",
		"Phone", "Address", "Identifier",
	}
	if i := slices.Index(first, label); i >= 0 {
		return i
	}
	return len(first)
}

func valueOf(a *customer.Attribute) value {
	show := func(v customer.Value) string { return inert(valueText(a.Path, v)) }
	out := value{
		Label: label(a.Path), stated: stated{Text: show(a.Value)}, Verified: a.Verified, Rule: a.Rule, More: max(0, len(a.Losers)-maxLosers),
	}
	out.state(&a.Claim)
	switch id := a.Path.ID; {
	case a.Path.Name == customer.FieldIdentifier:
		out.Element = inertTo(a.Value.Parts["type"], 24)
	case strings.ContainsFunc(id, unicode.IsLetter): // else it tells nobody anything
		out.Element = inertTo(id, 24)
	}
	for i := range a.Losers[:min(len(a.Losers), maxLosers)] {
		l := &a.Losers[i]
		if reflect.DeepEqual(l.Value, a.Value) { // it agrees
			out.state(l)
			continue
		}
		text := show(l.Value)
		at := slices.IndexFunc(out.Losers, func(s stated) bool { return s.Text == text })
		if at < 0 {
			at = len(out.Losers)
			out.Losers = append(out.Losers, stated{Text: text})
		}
		out.Losers[at].state(l)
	}
	return out
}

// state notes who states a value.
func (s *stated) state(c *customer.Claim) {
	if len(s.Origins) == maxOrigins {
		s.More++
		return
	}
	s.Origins = append(s.Origins, origin{Source: inert(c.Source), Key: short(inert(c.Key)), Whole: inert(c.Key), At: c.At})
}

// short answers a long key by its beginning and its end.
func short(key string) string {
	const whole, head, tail = 24, 14, 7
	r := []rune(key)
	if len(r) <= whole {
		return key
	}
	return string(r[:head]) + "…" + string(r[len(r)-tail:])
}

func happeningOf(in *customer.Interaction) happening {
	out := happening{
		Type: in.Type, Subtype: inert(in.Subtype), Status: inert(in.Status), Title: inert(in.Title), Channel: in.Channel,
		Source: inert(in.Source), Key: inert(in.Key), Test: in.Test, Reversal: in.ReversalOf != "", At: in.OccurredAt, Items: len(in.Items),
	}
	if !in.Amount.IsZero() {
		out.Amount = in.Amount.String()
		if in.Direction == "out" {
			out.Amount = "−" + out.Amount
		}
	}
	return out
}

// ruleText says in words why a value survived.
func ruleText(rule string) string {
	switch rule {
	case "only":
		return "the only one"
	case "trust":
		return "from the source that is trusted most"
	case "current":
		return "the source still says so"
	case "verified":
		return "the source has checked it"
	case "recent":
		return "the most recent"
	case "whole":
		return "the most complete"
	case "denial":
		return "a source says that there is none"
	case "union":
		return "all of them are kept"
	case "tie":
		return "they were equal; a fixed order decided"
	}
	return rule
}

// refused answers why a question was refused, if it was for what it says.
func refused(err error) (string, bool) {
	var e *event.Error
	if errors.As(err, &e) && (e.Class == event.Permanent || e.Class == event.Poison) {
		return e.Text, true
	}
	return "", false
}
