package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Limits of an answer (invariant 10).
const (
	MaxAnswerBytes = 1 << 20
	MaxHeaderBytes = 64 << 10
	maxRemoteID    = 256 // bytes of an id or a version that the target tells
)

// verdict is what an answer says of a delivery.
type verdict string

const (
	done      verdict = "done"
	retryable verdict = "retryable"
	throttled verdict = "throttled"
	auth      verdict = "auth"
	permanent verdict = "permanent"
	absent    verdict = "absent" // there is no such entry
)

func verdicts() []string {
	return []string{string(done), string(retryable), string(throttled), string(auth), string(permanent), string(absent)}
}

// dots is where a value stands in an answer: names and numbers between dots. Nil where none is declared, empty for the whole.
type dots []string

// answer is where things stand in an answer.
type answer struct {
	id, version     dots
	code            []dots // where a code may stand; the first that does counts
	results, errors dots   // of a batch: the list of what was done, and one of what was not
	key             []dots // of a batch: where an item tells which customer it is of; none: by order
	status          dots   // where an answer, or an item of a batch's, tells what became of it: an HTTP status, or true and false
	codes           map[string]verdict
}

func (r *reader) statuses(v *value) map[int]verdict {
	all := map[int]verdict{}
	if v == nil {
		return all
	}
	if v.kind != object {
		r.say(v, "write {409: retryable}", "keys and values are expected here, this is %s", v.kind)
	}
	for i := range v.keys {
		k := &v.keys[i]
		code, err := strconv.Atoi(k.name)
		if err != nil || code < 200 || code > 599 || code >= 300 && code < 400 {
			r.say(k.place(), "write {409: retryable}; a redirect is never followed", "this is not an HTTP status of an answer")
			continue
		}
		all[code] = verdict(r.oneOf(k.value, verdicts()...))
	}
	return all
}

func (r *reader) answer(request *value, batch bool) answer {
	var a answer
	v := request.get("answer")
	if v == nil {
		if batch {
			r.say(request, "add answer: {results: ..., id: ...}", "a batch says where its results stand")
		}
		return a
	}
	keys := []string{"id", "version", "status", "code", "codes"}
	if batch {
		keys = append(keys, "results", "errors", "key")
	}
	if !r.object(v, keys...) {
		return a
	}
	a.id, a.version = r.dots(v.get("id")), r.dots(v.get("version"))
	for _, c := range r.texts(v.get("code")) {
		a.code = append(a.code, r.dots(c))
	}
	a.results, a.errors, a.status = r.dots(v.get("results")), r.dots(v.get("errors")), r.dots(v.get("status"))
	for _, k := range r.texts(v.get("key")) {
		a.key = append(a.key, r.dots(k))
	}
	if batch && a.results == nil {
		r.say(v, "add results: and the name of the list; a dot where the answer is the list", "a batch says where its results stand")
	}
	if a.errors != nil && a.key == nil {
		r.say(v, "add key: where an item tells which customer it is of", "a list of errors does not say which customers they are of")
	}
	if c := v.get("codes"); c != nil {
		a.codes = map[string]verdict{}
		for i := range c.keys {
			a.codes[c.keys[i].name] = verdict(r.oneOf(c.keys[i].value, verdicts()...))
		}
		if a.code == nil {
			r.say(c, "add code: where the code stands", "nothing says where the codes are read from")
		}
	}
	return a
}

func (r *reader) dots(v *value) dots {
	if v == nil {
		return nil
	}
	text := r.text(v)
	if text == "." {
		return dots{}
	}
	d := dots(strings.Split(text, "."))
	if slices.Contains(d, "") {
		r.say(v, "write results, or properties.id, or a dot for the whole answer", "this is not a place in an answer")
	}
	return d
}

// in answers what stands at the place.
func (d dots) in(tree any) (any, bool) {
	if d == nil {
		return nil, false
	}
	for _, name := range d {
		switch t := tree.(type) {
		case map[string]any:
			var ok bool
			if tree, ok = t[name]; !ok {
				return nil, false
			}
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(t) {
				return nil, false
			}
			tree = t[n]
		default:
			return nil, false
		}
	}
	return tree, true
}

// text answers the text or the number that stands at the place, without digits lost (invariant 8).
func (d dots) text(tree any) string {
	v, _ := d.in(tree)
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// mark answers an id or a version that the target tells. What could be no id is taken for none: it would stand in paths.
func (d dots) mark(tree any) string {
	s := d.text(tree)
	if len(s) > maxRemoteID || controls(s) {
		return ""
	}
	return s
}

// coded answers a code that the answer tells, and what the file says of it. A code that the file does not name is not passed on, nor
// is anything else of an answer: it may quote what we sent (invariant 9).
func (a *answer) coded(tree any) (code string, v verdict, ok bool) {
	for _, place := range a.code {
		if code = place.text(tree); code != "" {
			if v, ok = a.codes[code]; ok {
				return code, v, true
			}
		}
	}
	return "", "", false
}

// inner is what an answer that HTTP calls good, or an item of a batch's, says by itself: some systems answer 200 with an error inside.
func (q *request) inner(tree any) verdict {
	v := done
	switch said, _ := q.answer.status.in(tree); said := said.(type) {
	case bool:
		if !said {
			v = permanent
		}
	case json.Number:
		v = permanent
		if status, err := strconv.Atoi(said.String()); err == nil {
			v = q.verdictOf(status, nil)
		}
	case string:
		v = permanent
	}
	if _, named, ok := q.answer.coded(tree); ok {
		v = named
	}
	return v
}

// Errors of an answer that says nothing.
var (
	errTooLarge = errors.New("the answer is larger than 1 MiB")
	errNotJSON  = errors.New("the answer is not JSON")
)

// treeOf reads the JSON of an answer: nil where there is none.
func treeOf(header http.Header, body io.Reader) (any, error) {
	text, err := io.ReadAll(io.LimitReader(body, MaxAnswerBytes+1))
	if len(text) > MaxAnswerBytes {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil //nolint:nilnil // no answer is an answer
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil, errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, errNotJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return tree, nil
}

// verdictOf classifies a status, by what the request declares, else by what HTTP means (RFC 9110, 6585).
func (q *request) verdictOf(status int, header http.Header) verdict {
	if v, ok := q.status[status]; ok {
		return v
	}
	switch {
	case status >= 200 && status < 300:
		return done
	case status >= 300 && status < 400:
		return retryable
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && header.Get("Retry-After") != "":
		return throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return auth
	case status == http.StatusNotFound, status == http.StatusGone:
		return absent
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500, status < 200:
		return retryable
	}
	return permanent
}
