package mappings

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Reason codes of errors.
const (
	reasonValidation = "validation" // the message has a value that it should not have, or lacks one that it must have
	reasonMapping    = "mapping"    // the mapping says something that cannot be done
	reasonTooLarge   = "too_large"
)

// dialect is how the texts of one mapping's messages are to be read.
type dialect struct {
	decode   string   // json or xml
	unknown  []string // placeholders for what is not said
	cleared  []string // for what is not there
	redacted []string // for what is withheld
	region   string   // ISO 3166-1, of telephone numbers without a country; may be empty
	zone     *time.Location
}

// time reads an instant: RFC 3339, or without a zone, or a date alone, which are in the mapping's zone.
func (m *dialect) time(text string, src *source, s *scope) (time.Time, *event.Error) {
	text = strings.TrimSpace(text)
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly, "2006-01-02Z07:00", "2006-01-02T15:04"} {
		if len(layout) <= 10 && len(text) > 16 {
			continue
		}
		if t, err := time.ParseInLocation(layout, text, m.zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, invalid(src.where(s), "a time such as 2006-01-02T15:04:05Z is expected here: use date or epoch in the mapping for others")
}

// decodeValue reads the message's value.
func (m *dialect) decodeValue(b []byte) (*codec.Node, error) {
	if m.decode == "xml" {
		return codec.XML(b, codec.DefaultLimits)
	}
	return codec.JSON(b, codec.DefaultLimits)
}

func newLoader(fsys fs.FS, dir, file string, d *dialect) *loader {
	l := &loader{fsys: fsys, dir: dir, file: path.Join(dir, file), kit: map[string]*function{}, tables: map[string]map[string]string{}, d: d}
	for _, f := range functions() {
		l.kit[f.name] = &f
	}
	return l
}

// maxText is the longest text that a value may have, in bytes.
const maxText = customer.MaxValue

// maxSteps bounds the list items that one message may be walked through (invariant 10): lists within lists of a message
// that is within the codec's limits could still ask for their product.
const maxSteps = 4_000_000

// input is one message while it is read.
type input struct {
	msg   *event.Message
	key   *codec.Node // the message's key as a document
	steps int
	fatal *event.Error // ends the message as a whole
}

// spend counts a step.
func (r *input) spend() *event.Error {
	if r.steps++; r.steps > maxSteps {
		r.fatal = event.Errorf(event.Poison, reasonTooLarge, "", "the message's lists have more than %d items together, which is the limit", maxSteps)
		return r.fatal
	}
	return nil
}

// openKey decodes the message's key, once.
func (r *input) openKey(s *scope) *event.Error {
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

// newScope answers the scope in which a message is read.
func newScope(in *input, doc *codec.Node) *scope {
	s := &scope{in: in}
	for i := range s.index {
		s.index[i] = -1
	}
	s.slots[slotTop], s.slots[slotRoot] = doc, doc
	return s
}
