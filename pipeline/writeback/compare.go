package writeback

import (
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// verdict is what a statement was found to be.
type verdict int

const (
	isEcho verdict = iota
	isNews
	isLate // an echo, as far as anybody can tell; if it was an edit, it is written over
)

// compare holds what a change says against what was written.
func (h *heard) compare() (news bool, t *touch) {
	c := h.change
	now := h.receipts[len(h.receipts)-1]
	last, older := spoken(now)
	for _, r := range h.receipts[:len(h.receipts)-1] { // of an entry that was another's before
		a, b := spoken(r)
		for _, of := range []map[uint64]bool{a, b} {
			for p := range of {
				older[p] = true
			}
		}
	}
	for p := range last { // an older value may share parts with the last
		older[p] = true
	}
	age := compareVersions(&c.Version.Source, now.RemoteVersion)
	if now.RemoteID != "" && now.RemoteID != c.Key {
		age = unknown // it speaks of another entry, which has a count of its own
	}
	settled := now.State == event.Held || now.State == event.Owed && now.Reason == reasonEdited
	t = &touch{}
	party := make([]customer.Statement, 0, len(c.Party)+1)
	echoes := 0
	for i := range c.Party {
		st := c.Party[i]
		if h.names(&st) {
			party = append(party, st)
			continue
		}
		v := h.judge(&st, last, older, age, settled)
		if v != isNews {
			echoes++
		}
		if ours := last[h.sync.print.of(st.Path.Name, 0, marker, "")]; v != isEcho && (ours || age == newer) {
			t.heard = append(t.heard, h.sync.print.mark(&st))
		}
		switch {
		case v == isNews:
			news = news || st.State == customer.Set || st.State == customer.Cleared
		case c.Op == customer.Upsert: // what was known of it stands: it does not become absent
			st.State, st.Value, st.Verified = customer.Unknown, customer.Value{}, false
		default:
			continue
		}
		party = append(party, st)
	}
	if c.Op == customer.Upsert && age == newer {
		t.heard = append(t.heard, h.omitted(last)...)
	}
	if echoes > 0 {
		h.sync.series.echoes.Inc()
	}
	if news {
		h.sync.series.edits.Inc()
	}
	fresh := hear(&event.Receipt{Heard: slices.Clone(now.Heard)}, t.heard)
	t.edited = len(t.heard) > 0 && (fresh || age == newer && news)
	c.Party = party
	return news || len(c.Interactions) > 0, t
}

// judge tells an echo from an edit. What the last write said is an echo, whenever it comes: an edit to that is none. What an earlier
// write said may be a late echo of it, or somebody's return to it: later than the last write, by the target's own count, it is the
// latter. What was never written is an edit; but of the very version that the last write came to it is the same in the target's own
// spelling.
func (h *heard) judge(st *customer.Statement, last, older map[uint64]bool, age age, settled bool) verdict {
	p, name := h.sync.print, st.Path.Name
	said := last[p.of(name, 0, marker, "")]
	switch st.State {
	case customer.Set:
	case customer.Cleared, customer.Absent:
		switch {
		case !said, age == before, age == same:
			return isEcho // as we have it
		case age == newer && settled:
			return isNews
		}
		return isLate
	case customer.Unknown, customer.Redacted:
		return isNews
	}
	switch {
	case p.matches(last, name, st.Value):
		return isEcho
	case p.matches(older, name, st.Value):
		switch {
		case age == newer && settled:
			return isNews
		case age == newer, age == unknown:
			return isLate
		}
		return isEcho
	case age == same && said:
		return isEcho
	}
	return isNews
}

// omitted answers marks of the names that the last write said and that a whole statement leaves out.
func (h *heard) omitted(last map[uint64]bool) (out []uint64) {
	stated := map[string]bool{}
	for i := range h.change.Party {
		stated[h.change.Party[i].Path.Name] = true
	}
	for _, f := range customer.Fields() {
		if !stated[f.Name] && last[h.sync.print.of(f.Name, 0, marker, "")] {
			out = append(out, h.sync.print.of(f.Name, 0, "omitted", ""))
		}
	}
	return out
}

// age is how a change stands to the last write, by the target's own count.
type age int

const (
	unknown age = iota
	before
	same
	newer
)

// compareVersions holds a change's version against what the target called the state that our last write came to. They compare where both
// are whole numbers or both are times.
func compareVersions(v *customer.SourceVersion, remote string) age {
	var w customer.SourceVersion
	switch v.Kind {
	case customer.BySequence:
		seq, err := customer.SequenceVersion(remote, v.Scope)
		if err != nil {
			return unknown
		}
		w = seq
	case customer.ByTime:
		t, err := time.Parse(time.RFC3339Nano, strings.Replace(remote, " ", "T", 1))
		if err != nil {
			return unknown
		}
		w = customer.TimeVersion(t, v.Scope)
	default:
		return unknown
	}
	a, b := customer.Version{Source: *v}, customer.Version{Source: w}
	switch d := a.Compare(b); {
	case d < 0:
		return before
	case d > 0:
		return newer
	case v.Kind == customer.ByTime && strings.HasSuffix(v.Value, ".000000000Z"):
		return unknown // whole seconds: an edit may have come in the same
	}
	return same
}
