package replay

import (
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// part answers what a letter takes up of its message. The letter of a whole message takes all of it; that of a part takes this part and
// what lies below it, so that the others, which had their outcome, are left alone. Where the mapping now sees the place from further
// above, it takes what it says there; where it says nothing of the place, the letter stays.
func part(m *customer.Mapped, l *event.DeadLetter) customer.Mapped {
	out := customer.Mapped{Message: m.Message, Adapter: m.Adapter, Attempts: l.Attempts + 1, Letter: l}
	if l.Part == "" {
		out.Changes, out.Refusals = m.Changes, m.Refusals
		return out
	}
	take := func(is func(part string) bool) bool {
		for i := range m.Changes {
			if is(m.Changes[i].Part) {
				out.Changes = append(out.Changes, m.Changes[i])
			}
		}
		for _, r := range m.Refusals {
			if is(r.Part) {
				out.Refusals = append(out.Refusals, r)
			}
		}
		return len(out.Changes)+len(out.Refusals) > 0
	}
	if take(func(p string) bool { return within(p, l.Part) }) {
		return out
	}
	if take(func(p string) bool { return p != "" && within(l.Part, p) }) {
		return out
	}
	for _, r := range m.Refusals {
		if r.Part == "" { // of the whole message
			out.Refusals = append(out.Refusals, r)
		}
	}
	if len(out.Refusals) == 0 {
		out.Refusals = []event.Refusal{{Part: l.Part, Outcome: event.Dead, Err: event.Errorf(event.Permanent, "mapping", "",
			"the message is read, but nothing is said of this part any more: mend the mapping, edit the message, or discard the letter")}}
	}
	return out
}

// within tells whether a part is another one or lies below it. Letters have parts that are cut where they are long.
func within(part, of string) bool {
	if len(of) >= customer.MaxKey {
		return strings.HasPrefix(part, of)
	}
	rest, ok := strings.CutPrefix(part, of)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
