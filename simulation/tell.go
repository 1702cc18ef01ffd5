package simulation

import (
	"bytes"
	"strings"
	"time"
)

// tell makes the messages, with the mess of the way to the broker: exactly Config.Events.
func (s *story) tell(yield func(Message) bool) {
	type held struct {
		message Message
		until   int
	}
	var waiting []held
	told := 0
	out := func(m Message) bool {
		told++
		return yield(m)
	}
	release := func(all bool) bool {
		rest := waiting[:0]
		for _, h := range waiting {
			if !all && h.until > told {
				rest = append(rest, h)
			} else if !out(h.message) {
				return false
			}
		}
		waiting = rest
		return true
	}
	for told+len(waiting) < s.config.Events {
		for _, m := range s.happen() {
			if told+len(waiting) >= s.config.Events {
				break
			}
			if s.chance(s.config.Reordered) {
				waiting = append(waiting, held{message: m, until: told + 2 + s.rng.IntN(40)})
			} else if !out(m) {
				return
			}
			for _, extra := range s.mess(m) {
				if told+len(waiting) < s.config.Events && !out(extra) {
					return
				}
			}
		}
		if !release(false) {
			return
		}
	}
	release(true)
}

// happen lets the clock go on and answers what a system writes: somebody becomes known, or does something. Every account is
// opened in the first three fifths of the story, if there are events enough.
func (s *story) happen() []Message {
	s.now = s.now.Add(s.step/2 + time.Duration(s.rng.Int64N(int64(s.step))))
	due := float64(len(s.accounts)) / (0.6 * float64(s.config.Events))
	if s.opened < len(s.accounts) && (s.opened == 0 || s.chance(min(due, 0.95))) {
		a := s.accounts[s.opened]
		s.opened++
		return s.opening(a)
	}
	a := s.accounts[s.rng.IntN(s.opened)]
	if a.gone || a.merged {
		return nil
	}
	switch a.source {
	case Shop:
		return s.shopping(a)
	case Pos:
		return s.paying(a)
	default:
		return []Message{s.booking(a)}
	}
}

func (s *story) opening(a *account) []Message {
	switch a.source {
	case Shop:
		return []Message{s.shopCustomer(a, "customers/create")}
	case Pos:
		return s.enrol(a)
	default:
		return []Message{s.booking(a)}
	}
}

// mess answers what comes besides a message: itself again, something that nobody can read, a null.
func (s *story) mess(m Message) []Message {
	var out []Message
	if s.chance(s.config.Duplicates) {
		out = append(out, m)
	}
	if s.chance(s.config.Poison) {
		out = append(out, s.poison(m))
	}
	if s.chance(s.config.Tombstones) {
		null := m
		null.Value = nil
		out = append(out, null)
	}
	return out
}

// poison spoils a copy of a message in one of the ways in which real feeds do.
func (s *story) poison(m Message) Message {
	body := bytes.Clone(m.Value)
	switch s.rng.IntN(6) {
	case 0: // cut off on the way
		body = body[:len(body)/2]
	case 1: // not text
		body = append([]byte{0xff, 0xfe, 0x00}, body...)
	case 2: // something else altogether
		body = []byte("502 Bad Gateway")
	case 3: // nested beyond reason
		body = bytes.Repeat([]byte("["), 5000)
	case 4: // the key is not what it was
		body = s.without(m, body)
	default: // a currency of no country
		body = bytes.ReplaceAll(body, []byte(`EUR"`), []byte(`EUZ"`))
		if bytes.Equal(body, m.Value) {
			body = []byte(`{"id":`)
		}
	}
	m.Value = body
	return m
}

// without takes the party's key out of a message.
func (s *story) without(m Message, body []byte) []byte {
	if m.Source == Bank {
		return []byte(strings.NewReplacer("<IBAN>", "<IBAM>", "</IBAN>", "</IBAM>", "<Othr>", "<Otr>", "</Othr>", "</Otr>").Replace(string(body)))
	}
	return bytes.ReplaceAll(body, []byte(`"id":`), []byte(`"ident":`))
}
