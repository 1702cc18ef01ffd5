package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/event"
)

// outcome is what one request came to.
type outcome struct {
	verdict verdict
	status  int           // 0: there was no answer
	tree    any           // of an answer that is JSON
	reason  string        // code of what was wrong
	text    string        // sentence about it, for whoever mends it
	wait    time.Duration // that the target asks for
	all     bool          // every other request would fare alike
}

// send makes one request and reads its answer. A token that has run out is renewed once.
func (t *Target) send(ctx context.Context, q *request, fs []filling) outcome {
	var o outcome
	for range 2 {
		wait, err := t.Account.take(ctx)
		if err != nil {
			return ofError(err)
		}
		if wait > 0 {
			return outcome{
				verdict: throttled, reason: "throttled", text: "the target asked to be left alone for a while", wait: wait, all: true,
			}
		}
		var renew bool
		if o, renew = t.exchange(ctx, q, fs); !renew {
			break
		}
	}
	return o
}

// exchange answers, beside the outcome, whether the token was refused and another may be taken.
func (t *Target) exchange(ctx context.Context, q *request, fs []filling) (_ outcome, renew bool) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	r := t.client.R().SetContext(ctx).SetDoNotParseResponse(true).
		SetHeader("Accept", "application/json").SetHeader("User-Agent", "Onefold")
	token, err := t.login.sign(ctx, r)
	if err != nil {
		return ofError(err), false
	}
	for _, h := range q.headers {
		r.SetHeader(h.name, h.value.fill(fs[0], asIs))
	}
	if q.body != nil {
		r.SetHeader("Content-Type", "application/json").SetBody(q.body(nil, fs))
	}
	answer, err := r.Execute(q.method, t.address(q, fs[0]))
	if err != nil {
		return ofError(err), false
	}
	body := answer.RawBody()
	defer func() {
		_ = body.Close() // what it says has been read, or is of no interest
	}()
	tree, err := treeOf(answer.Header(), body)
	o := t.judge(q, answer.StatusCode(), answer.Header(), tree, err)
	if o.status == http.StatusUnauthorized && token != nil {
		t.login.drop(token)
		return o, true
	}
	return o, false
}

// address is where a request goes: no value can leave its segment of the path, or its parameter of the query.
func (t *Target) address(q *request, f filling) string {
	address := t.base + q.path.fill(f, segment)
	for i, p := range q.query {
		sign := "&"
		if i == 0 {
			sign = "?"
		}
		address += sign + url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value.fill(f, asIs))
	}
	return address
}

// judge says what an answer means; err is why it could not be read.
func (t *Target) judge(q *request, status int, header http.Header, tree any, err error) outcome {
	o := outcome{verdict: q.verdictOf(status, header), status: status, tree: tree}
	if err != nil {
		o.tree = nil
	}
	if o.verdict != done {
		if _, named, ok := q.answer.coded(o.tree); ok {
			o.verdict = named
		}
	}
	now := t.Now()
	o.wait = t.File.quota.wait(header, now)
	if o.verdict == throttled {
		o.wait = max(o.wait, RetryAfter(header.Get("Retry-After"), now))
	}
	t.Account.leave(o.wait) // this answer holds; the next request waits
	switch {
	case o.verdict == done && status < 300 && err != nil:
		return unread(err, status)
	case o.verdict == done && q.most == 0 && o.tree != nil:
		o.verdict = q.inner(o.tree)
	case o.verdict == throttled, status == http.StatusUnauthorized:
		o.all = true
	}
	if o.verdict != done {
		o.reason, o.text = o.said(q)
	}
	return o
}

// unread is the outcome of an answer that says that all is well, and cannot be read: it is not taken for success.
func unread(err error, status int) outcome {
	if !errors.Is(err, errTooLarge) && !errors.Is(err, errNotJSON) {
		o := ofError(err)
		o.status = status
		return o
	}
	return outcome{
		verdict: retryable, status: status, reason: "answer",
		text: "the target says that all is well, but " + err.Error() + ": check that url leads to the system itself",
	}
}

// said puts an answer into a code and a sentence, with nothing of the answer but its status and a code that the file names.
func (o *outcome) said(q *request) (reason, text string) {
	code, _, ok := q.answer.coded(o.tree)
	if ok {
		code = " " + code
	}
	what := q.name + ": the target answers " + status(o.status) + code
	switch {
	case o.status >= 300 && o.status < 400:
		return "redirect", what + ", which leads elsewhere and is not followed: write where the system really is into url"
	case o.verdict == throttled:
		return "throttled", what + ": it asks for patience; lower rate if this is often"
	case o.verdict == auth:
		return "auth", what + ": it does not take who we are; renew the credential in auth, and check what it may do"
	case o.verdict == absent:
		return "absent", what + ": it knows no such entry, or no such path; check url"
	case o.verdict == permanent:
		return "refused", what + ": it does not take this; look at fields in the target file, and at what the target asks of them"
	}
	return "unavailable", what + ": it may pass"
}

// ofError classifies a request that came to no answer.
func ofError(err error) outcome {
	var e *event.Error
	if !errors.As(err, &e) {
		e = unreachable(err, "the target")
	}
	o := outcome{verdict: verdict(e.Class), reason: e.Reason, text: e.Text, all: true}
	if e.Reason == "timeout" || e.Reason == "cut" || e.Reason == "cancelled" {
		o.all = false // of this request: the next may fare better
	}
	return o
}

// unreachable says why somebody could not be spoken to. The library's own text is not quoted: it holds addresses with ids in them, and
// may hold more (invariant 9).
func unreachable(err error, whom string) *event.Error {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		verify   *tls.CertificateVerificationError
		op       *net.OpError
		record   tls.RecordHeaderError
		dns      *net.DNSError
		network  net.Error
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &hostname), errors.As(err, &verify):
		return event.Errorf(event.Auth, "certificate", "",
			"%s shows a certificate that is not trusted, or not for this name: name its authority in tls.ca, or renew it there", whom)
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return event.Errorf(event.Auth, "certificate", "", "%s does not take our certificate: check tls.cert and tls.key", whom)
	case errors.As(err, &record):
		return event.Errorf(event.Retryable, "unreachable", "", "%s does not speak TLS there: check url", whom)
	case errors.Is(err, context.Canceled):
		return event.Errorf(event.Retryable, "cancelled", "", "it was not brought to its end: the process was told to stop")
	case errors.As(err, &dns):
		return event.Errorf(event.Retryable, "unreachable", "", "the name of %s is not known: check url", whom)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return event.Errorf(event.Retryable, "timeout", "", "%s did not answer in time: raise timeout if it always takes so long", whom)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return event.Errorf(event.Retryable, "cut", "", "%s closed the connection before its answer was whole", whom)
	}
	return event.Errorf(event.Retryable, "unreachable", "", "%s cannot be reached, or does not speak HTTP", whom)
}

// problem makes a receipt's problem of an outcome that is not done.
func (o outcome) problem() *adapters.Problem {
	class := event.Class(o.verdict)
	if o.verdict == absent {
		class = event.Permanent
	}
	return &adapters.Problem{Error: event.Error{Class: class, Reason: o.reason, Text: o.text}, After: o.wait}
}
