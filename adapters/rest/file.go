package rest

import (
	"embed"
	"io/fs"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/customer"
)

// Format is the first line of a target file, `onefold: target/v1`.
const Format = "target/v1"

// MaxBatch bounds the deliveries of one Push, and of one request (invariant 10).
const MaxBatch = 1000

// File is a compiled target file: what a system is told of a customer, and by which requests. It is safe for concurrent use.
type File struct {
	System string
	About  string

	needs   [][]site // of each, one must have a value
	fields  fields
	upsert  *request
	batch   *request
	update  *request
	updates *request // of a batch
	find    *request
	merge   *request
	remove  *request
	erase   *request
	quota   quota
}

// request is how one thing is done.
type request struct {
	name    string // upsert batch update update_batch find merge remove erase
	method  string
	path    template
	query   []pair
	headers []pair
	body    part // nil: none
	most    int  // of a batch; 0 of what is none
	status  map[int]verdict
	answer  answer
	remote  bool // it names the entry by the target's own id
}

type pair struct {
	name  string
	value template
}

// Load compiles a target file; name is what diagnostics call it. The error is event.Diagnostics: everything that is to be mended.
func Load(name string, text []byte) (*File, error) {
	r := &reader{file: name}
	f := &File{}
	if top := r.parse(text); top != nil {
		r.target(f, top)
	}
	if len(r.found) > 0 {
		return nil, r.found
	}
	return f, nil
}

func (r *reader) target(f *File, v *value) {
	if !r.object(v, "onefold", "system", "about", "needs", "empty", "fields", "requests", "quota") {
		return
	}
	if version := v.get("onefold"); version == nil || version.text != Format {
		r.say(v, "write onefold: "+Format, "a target begins with its format")
	}
	if f.System = r.text(v.get("system")); !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`).MatchString(f.System) {
		r.say(v, "write system: and a name of small letters, digits and -", "the system has no name")
	}
	f.About = r.text(v.get("about"))
	empty := emptyNull
	if e := v.get("empty"); e != nil && e.kind != nothing {
		empty = r.oneOf(e, emptyNull, emptyText, emptyOmit)
	}
	f.needs = r.needs(v.get("needs"))
	if at := v.get("fields"); at == nil {
		r.say(v, "add fields: with a line for each, such as firstName: givenName", "the target has no fields")
	} else {
		f.fields = r.fieldsOf(at, empty)
		r.fields = f.fields
	}
	if at := v.get("requests"); at == nil {
		r.say(v, "add requests: with at least upsert or batch", "the target has no requests")
	} else if r.object(at, "upsert", "batch", "update", "update_batch", "find", "merge", "remove", "erase") {
		r.requests(f, at)
	}
	f.quota = r.quota(v.get("quota"))
}

// needs reads without which values a customer does not belong to the target: a list of paths, or of lists of which one suffices.
func (r *reader) needs(v *value) [][]site {
	if v == nil {
		return nil
	}
	if v.kind != list {
		r.say(v, "write [email], or [[email, phone]] where one of two suffices", "a list is expected here, this is %s", v.kind)
	}
	var all [][]site
	for _, item := range v.items {
		var either []site
		for _, one := range r.texts(item) {
			either = append(either, r.path(one))
		}
		all = append(all, either)
	}
	return all
}

// belongs tells whether the target wants the customer.
func (f *File) belongs(c *customer.Customer) bool {
	for _, either := range f.needs {
		if !slices.ContainsFunc(c.Attributes, func(a customer.Attribute) bool {
			return slices.ContainsFunc(either, func(p site) bool { _, ok := p.of(&a); return ok })
		}) {
			return false
		}
	}
	return true
}

func (r *reader) requests(f *File, v *value) {
	common := []string{inCustomer, inVersion, inDelivery}
	remote := append(slices.Clone(common), inRemote)
	f.upsert = r.request(v, "upsert", common)
	f.batch = r.request(v, "batch", common)
	f.update = r.request(v, "update", remote)
	f.updates = r.request(v, "update_batch", remote)
	f.find = r.request(v, "find", common)
	f.merge = r.request(v, "merge", append(slices.Clone(remote), inInto))
	f.remove = r.request(v, "remove", remote)
	f.erase = r.request(v, "erase", remote)
	if f.upsert == nil && f.batch == nil {
		r.say(v, "add upsert or batch: by which an entry is made, or changed, by an external id", "no request writes a customer")
	}
	if f.remove == nil {
		r.say(v, "add remove: by which an entry goes when nobody is behind it any more", "no request removes a customer")
	}
	for _, q := range []*request{f.merge, f.remove, f.erase} {
		if q == nil || !q.remote || f.find != nil {
			continue
		}
		at := v.get(q.name)
		r.say(at, "add find: by which it is asked for by {customer}; or let this request name the entry by {customer}",
			"this needs the target's own id, which is not known if the answer that told it was lost")
	}
	if f.find != nil && f.find.answer.id == nil {
		r.say(v.get("find"), "add answer: {id: ...}", "this request does not say where the target's own id stands in the answer")
	}
	if f.updates != nil && f.update == nil {
		r.say(v.get("update_batch"), "add update", "what is refused of this is tried alone, and nothing says how")
	}
	if f.update != nil && f.upsert != nil && f.upsert.answer.id == nil || f.update != nil && f.batch != nil && f.batch.answer.id == nil {
		r.say(v.get("update"), "add answer: {id: ...} to the request that makes the entry",
			"the target's own id, which this needs, is never told")
	}
}

// single is the request that writes one customer.
func (f *File) single() *request {
	if f.upsert != nil {
		return f.upsert
	}
	return f.batch
}

func (r *reader) request(all *value, name string, known []string) *request {
	v := all.get(name)
	if v == nil {
		return nil
	}
	keys := []string{"method", "path", "query", "headers", "body", "status", "answer"}
	batch := name == "batch" || name == "update_batch"
	if batch {
		keys = append(keys, "most")
	}
	q := &request{name: name, status: map[int]verdict{}}
	if !r.object(v, keys...) {
		return q
	}
	outer := known
	if batch { // a request for many customers is of none of them
		outer = []string{inDelivery}
		q.most = r.whole(v, "most", 1, MaxBatch)
	}
	q.method = r.method(v, name)
	q.path = r.pathOf(v, outer)
	q.query = r.pairs(v.get("query"), outer, false)
	q.headers = r.pairs(v.get("headers"), outer, true)
	writes := name == "upsert" || name == "update" || batch
	if body := v.get("body"); body != nil {
		if q.method == http.MethodGet {
			r.say(body, "leave it out", "a GET has no body")
		}
		q.body = r.bodyOf(body, batch, known)
	} else if writes {
		r.say(v, "add body: '{body}'", "this request does not carry the customer's fields")
	}
	if writes && v.get("body") != nil && !mentions(v.get("body"), inBody) {
		r.say(v.get("body"), "write '{body}' where the fields stand", "this request does not carry the customer's fields")
	}
	q.status = r.statuses(v.get("status"))
	q.answer = r.answer(v, batch)
	q.remote = mentions(v, inRemote) || mentions(v, inInto)
	return q
}

// mentions tells whether a placeholder stands anywhere in a value.
func mentions(v *value, name string) bool {
	return strings.Contains(strings.ReplaceAll(v.text, "{{", ""), "{"+name+"}") ||
		slices.ContainsFunc(v.items, func(i *value) bool { return mentions(i, name) }) ||
		slices.ContainsFunc(v.keys, func(k key) bool { return mentions(k.value, name) })
}

func (r *reader) method(v *value, name string) string {
	known := []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	if name == "find" {
		known = []string{http.MethodGet, http.MethodPost}
	}
	if v.get("method") == nil {
		r.say(v, "add method: "+strings.Join(known, ", or "), "the request has no method")
		return ""
	}
	return r.oneOf(v.get("method"), known...)
}

func (r *reader) pathOf(v *value, known []string) template {
	p := v.get("path")
	text := r.text(p)
	switch {
	case p == nil:
		r.say(v, "add path: /contacts/{customer}", "the request has no path")
	case !strings.HasPrefix(text, "/"):
		r.say(p, "write /contacts/{customer}; where the system is, the configuration says", "a path begins with a slash")
	case strings.ContainsAny(text, "?# \\") || strings.Contains(text, "//") || controls(text):
		r.say(p, "what follows a question mark stands in query:", "a path has no ?, #, \\, blank or double slash")
	case slices.ContainsFunc(strings.Split(text, "/"), func(s string) bool { return s == "." || s == ".." }):
		r.say(p, "write it out", "a path does not climb")
	default:
		return r.template(p, known...)
	}
	return nil
}

// pairs reads query parameters or headers, in the order of their names.
func (r *reader) pairs(v *value, known []string, headers bool) []pair {
	if v == nil {
		return nil
	}
	if v.kind != object {
		r.say(v, "write {name: value}", "keys and values are expected here, this is %s", v.kind)
	}
	own := []string{
		"Authorization", "Content-Type", "Content-Length", "Host", "Cookie", "Transfer-Encoding", "Connection", "Accept", "User-Agent",
	}
	var all []pair
	for i := range v.keys {
		k := &v.keys[i]
		name := k.name
		if headers {
			name = textproto.CanonicalMIMEHeaderKey(name)
			if !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(name) {
				r.say(k.place(), "letters, digits and -", "this is not a header's name")
			}
			if slices.Contains(own, name) {
				r.say(k.place(), "leave it out; who we are is said in auth of the configuration", "this header is not a target file's to set")
			}
			if controls(k.value.text) {
				r.say(k.value, "", "a header has no control characters")
			}
		}
		if r.text(k.value) != "" {
			all = append(all, pair{name, r.template(k.value, known...)})
		}
	}
	slices.SortFunc(all, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return all
}

func controls(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// whole reads a whole number within bounds.
func (r *reader) whole(v *value, name string, least, most int) int {
	at := v.get(name)
	if at == nil {
		r.say(v, "add "+name+": and a whole number", "the key %s is missing", name)
		return least
	}
	n, err := strconv.Atoi(r.text(at))
	if err != nil || n < least || n > most {
		r.say(at, "", "a whole number from %d to %d is expected here", least, most)
		return least
	}
	return n
}

// FileName is the name of a target file in the folder of its system.
const FileName = "target.yaml"

//go:embed */target.yaml */cases
var shipped embed.FS

// Systems answers the names of the target files that are shipped, in order.
func Systems() []string {
	found, err := fs.Glob(shipped, "*/"+FileName)
	if err != nil { // the pattern is ours
		panic(err)
	}
	for i := range found {
		found[i] = strings.TrimSuffix(found[i], "/"+FileName)
	}
	return found
}

// Shipped answers the folder of a system that is shipped: its target file and its cases.
func Shipped(name string) (fs.FS, error) { return fs.Sub(shipped, name) }

// Open compiles the target file of a folder; name is what diagnostics call the folder.
func Open(folder fs.FS, name string) (*File, error) {
	text, err := fs.ReadFile(folder, FileName)
	if err != nil {
		return nil, err
	}
	return Load(name+"/"+FileName, text)
}
