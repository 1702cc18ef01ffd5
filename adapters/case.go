package adapters

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/tools/txtar"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Case is one message of a system and what an adapter must make of it, kept in a file beside the adapter: a txtar archive
// (golang.org/x/tools/txtar) with a comment that says what the case shows, and these parts:
//
//	message.json  where the message stood, every member optional: {"topic": "shop.webhooks", "partition": 0, "offset": 7,
//	              "time": "2025-03-10T11:00:00Z", "key": "text", "headers": {"X-Topic": "orders/create", "Twice": ["a", "b"]}}
//	value         the message's value, without the line end that closes the part; or
//	value.b64     the same in base64, where bytes must be exact. With neither, the value is a Kafka null.
//	changes.json  the changes expected, in order, without what customer.Seal fills in; or and
//	error.json    the refusals expected, one or a list of them: {"outcome": "dead", "reason": "decode", "part": "Ntry[1]",
//	              "path": "customer.id", "contains": "text of the message"}. What is left out is not compared.
type Case struct {
	Name     string
	About    string // the archive's comment
	Message  *event.Message
	Changes  []customer.Change
	Refusals []Expected
}

// Expected is a refusal that a case expects. Empty members are not compared, but for Part where the refusal is of a
// part.
type Expected struct {
	Outcome  string `json:"outcome,omitempty"` // dead or ignored
	Reason   string `json:"reason,omitempty"`
	Part     string `json:"part,omitempty"`
	Path     string `json:"path,omitempty"`
	Contains string `json:"contains,omitempty"` // of the error's text
}

// Names of a case's parts.
const (
	messagePart = "message.json"
	valuePart   = "value"
	base64Part  = "value.b64"
	changesPart = "changes.json"
	errorPart   = "error.json"
)

// maxCaseBytes is the largest case file: twice the largest message (invariant 10).
const maxCaseBytes = 32 << 20

// caseTime is the time of a message whose case names none.
var caseTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// ReadCase reads a case. The error is event.Diagnostics with the file's name and line.
func ReadCase(name string, b []byte) (Case, error) {
	r := caseReader{file: name, whole: b, archive: txtar.Parse(b)}
	c := Case{Name: strings.TrimSuffix(path.Base(name), ".txtar"), About: strings.TrimSpace(string(r.archive.Comment))}
	if len(b) > maxCaseBytes {
		r.fault("", 0, fmt.Sprintf("the case has %d bytes, the limit is %d", len(b), maxCaseBytes), "shorten its value")
		return c, r.found
	}
	r.checkParts()
	c.Message = r.message()
	c.Message.Value = r.value()
	r.decode(changesPart, &c.Changes)
	c.Refusals = r.refusals()
	if len(r.found) > 0 {
		return c, r.found
	}
	return c, nil
}

// ReadCases reads every .txtar file of a folder, by name. Diagnostics of all its files come together.
func ReadCases(fsys fs.FS, dir string) ([]Case, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.txtar"))
	if err != nil {
		return nil, fmt.Errorf("cases of %s: %w", dir, err)
	}
	var cases []Case
	var found event.Diagnostics
	for _, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("cases of %s: %w", dir, err)
		}
		c, err := ReadCase(name, b)
		if ds := event.Diagnostics(nil); errors.As(err, &ds) {
			found = append(found, ds...)
		}
		cases = append(cases, c)
	}
	if len(found) > 0 {
		return nil, found
	}
	return cases, nil
}

type caseReader struct {
	file    string
	whole   []byte
	archive *txtar.Archive
	found   event.Diagnostics
}

// fault notes what is wrong, in line `line` (from 1) of a part, or in the file as a whole.
func (r *caseReader) fault(part string, line int, message, hint string) {
	at := 0
	if part != "" {
		for i, l := range bytes.Split(r.whole, []byte("\n")) {
			marker, ok := bytes.CutPrefix(l, []byte("-- "))
			marker, closed := bytes.CutSuffix(bytes.TrimRight(marker, "\r"), []byte(" --"))
			if ok && closed && string(bytes.TrimSpace(marker)) == part {
				at = i + 1 + line
				break
			}
		}
	}
	r.found = append(r.found, event.Diagnostic{File: r.file, Line: at, Path: part, Message: message, Hint: hint})
}

func (r *caseReader) part(name string) ([]byte, bool) {
	for _, f := range r.archive.Files {
		if f.Name == name {
			return f.Data, true
		}
	}
	return nil, false
}

func (r *caseReader) checkParts() {
	known := []string{messagePart, valuePart, base64Part, changesPart, errorPart}
	seen := map[string]bool{}
	for _, f := range r.archive.Files {
		switch {
		case !slices.Contains(known, f.Name):
			r.fault(f.Name, 0, "a case has no such part", "the parts are "+strings.Join(known, ", "))
		case seen[f.Name]:
			r.fault(f.Name, 0, "this part is here twice", "keep one of them; a value with such a line in it goes into "+base64Part)
		}
		seen[f.Name] = true
	}
	if seen[valuePart] && seen[base64Part] {
		r.fault(base64Part, 0, "a case has one value, this has two", "keep "+valuePart+" or "+base64Part)
	}
	if !seen[changesPart] && !seen[errorPart] {
		r.fault("", 0, "the case expects nothing", "write "+changesPart+", which is [] where no change is expected, or "+errorPart)
	}
}

type caseMessage struct {
	Source    string               `json:"source,omitempty"`
	Topic     string               `json:"topic,omitempty"`
	Partition int32                `json:"partition,omitempty"`
	Offset    int64                `json:"offset,omitempty"`
	Time      time.Time            `json:"time,omitzero"`
	Key       *string              `json:"key,omitempty"`
	Headers   map[string]oneOrMore `json:"headers,omitempty"`
}

// oneOrMore is a text, or a list of them.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(o))
	}
	*o = make([]string, 1)
	return json.Unmarshal(b, &(*o)[0])
}

func (o oneOrMore) MarshalJSON() ([]byte, error) {
	if len(o) == 1 {
		return json.Marshal(o[0])
	}
	return json.Marshal([]string(o))
}

func (r *caseReader) message() *event.Message {
	in := caseMessage{Source: "case", Topic: "case", Time: caseTime}
	r.decode(messagePart, &in)
	m := &event.Message{
		Source: in.Source, Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Epoch: -1, Time: in.Time.UTC(),
	}
	if in.Key != nil {
		m.Key = []byte(*in.Key)
	}
	names := make([]string, 0, len(in.Headers))
	for name := range in.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range in.Headers[name] {
			m.Headers = append(m.Headers, event.Header{Key: name, Value: []byte(value)})
		}
	}
	return m
}

func (r *caseReader) value() []byte {
	if text, ok := r.part(base64Part); ok {
		value, err := base64.StdEncoding.AppendDecode([]byte{}, bytes.Join(bytes.Fields(text), nil))
		if err != nil {
			r.fault(base64Part, 1, "not base64", "write it with: base64 FILE")
		}
		return value
	}
	text, ok := r.part(valuePart)
	if !ok {
		return nil
	}
	return append([]byte{}, bytes.TrimSuffix(text, []byte("\n"))...)
}

func (r *caseReader) refusals() []Expected {
	text, ok := r.part(errorPart)
	if !ok {
		return nil
	}
	var list []Expected
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		list = make([]Expected, 1)
		r.decode(errorPart, &list[0])
	} else {
		r.decode(errorPart, &list)
	}
	for _, want := range list {
		if want.Outcome != "" && want.Outcome != event.Dead.String() && want.Outcome != event.Ignored.String() {
			r.fault(errorPart, 1, fmt.Sprintf("%q is not an outcome of a refusal", want.Outcome), "it is dead or ignored")
		}
	}
	if len(list) == 0 {
		r.fault(errorPart, 1, "no refusal is expected", "leave the part out")
	}
	return list
}

// decode reads a part that is JSON and knows each of its members.
func (r *caseReader) decode(part string, into any) {
	text, ok := r.part(part)
	if !ok {
		return
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("more follows after the JSON value")
	}
	if err == nil {
		return
	}
	offset := d.InputOffset()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	line := 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n"))
	r.fault(part, line, strings.TrimPrefix(err.Error(), "json: "), "")
}

// Format writes the case as ReadCase reads it. `changes` and `refusals` of a run put into a case first are how a new
// case is begun: check what the adapter made of it, then keep it.
func (c Case) Format() ([]byte, error) {
	in := caseMessage{
		Topic: c.Message.Topic, Partition: c.Message.Partition, Offset: c.Message.Offset, Time: c.Message.Time,
		Headers: map[string]oneOrMore{},
	}
	if c.Message.Key != nil {
		key := string(c.Message.Key)
		in.Key = &key
	}
	for _, h := range c.Message.Headers {
		in.Headers[h.Key] = append(in.Headers[h.Key], string(h.Value))
	}
	a := &txtar.Archive{}
	if c.About != "" {
		a.Comment = []byte(c.About + "\n")
	}
	if err := appendJSON(a, messagePart, in); err != nil {
		return nil, err
	}
	switch text := c.Message.Value; {
	case text == nil:
	case plain(text):
		a.Files = append(a.Files, txtar.File{Name: valuePart, Data: append(bytes.Clone(text), '\n')})
	default:
		a.Files = append(a.Files, txtar.File{Name: base64Part, Data: []byte(base64.StdEncoding.EncodeToString(text) + "\n")})
	}
	changes := make([]customer.Change, len(c.Changes))
	for i := range c.Changes {
		changes[i] = unsealed(c.Changes[i])
	}
	if len(changes) > 0 || len(c.Refusals) == 0 {
		if err := appendJSON(a, changesPart, changes); err != nil {
			return nil, err
		}
	}
	if len(c.Refusals) > 0 {
		if err := appendJSON(a, errorPart, c.Refusals); err != nil {
			return nil, err
		}
	}
	return txtar.Format(a), nil
}

// plain tells whether a value can stand in the archive as it is.
func plain(value []byte) bool {
	return utf8.Valid(value) && !bytes.ContainsAny(value, "\x00\r") && !bytes.HasPrefix(value, []byte("-- ")) &&
		!bytes.Contains(value, []byte("\n-- "))
}

func appendJSON(a *txtar.Archive, part string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("case: %s: %w", part, err)
	}
	a.Files = append(a.Files, txtar.File{Name: part, Data: b.Bytes()})
	return nil
}
