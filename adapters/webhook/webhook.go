// Package webhook is the door for systems that speak HTTPS only: what they send to POST /in/{source} is verified, byte for byte, and put on
// that source's topic as it came. Whoever gets a 2xx may forget what it sent: the broker has it. Nothing here looks into a body.
package webhook

import (
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onefold/onefold/event"
)

// Limits of the door (invariant 10).
const (
	MaxBody    = 900_000         // bytes of a request's body: with its headers it fits a record that brokers take unless told otherwise
	MaxAtOnce  = 256             // requests at one time; more are told to come again
	Acceptance = 4 * time.Second // for the broker to have it: below the 5 s that the least patient of the senders waits
)

// Config is what the door stands on.
type Config struct {
	Sources map[string]Source // by name
	URL     string            // where the senders call us, without /in/...: what some schemes sign
	Topics  Topics
	Metrics *Metrics // nil: nobody counts
	Now     func() time.Time
	Log     *slog.Logger // nil: silent
}

// Source is one that may come in here.
type Source struct {
	Topic   string
	Scheme  Scheme
	Secrets []string // each of them holds, so that one can be changed without losing what is under way
	Header  string   // of the scheme header: the name of it
	Verify  string   // of the scheme meta: the token that its question must bear
}

// Topics is where messages go.
type Topics interface {
	// Send answers nil when the broker has all of them for good.
	Send(ctx context.Context, topic string, messages ...*event.Message) error
}

// New makes the door. It starts nothing.
func New(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	for name := range c.Sources {
		c.Metrics.begin(name)
	}
	d := &door{Config: c, slots: make(chan struct{}, MaxAtOnce)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /in/{source}", d.question)
	mux.HandleFunc("POST /in/{source}", d.message)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

type door struct {
	Config
	slots chan struct{}
}

// message takes one in. No answer says more than its status: what is wrong with a signature helps only who forges.
func (d *door) message(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("source")
	source, ok := d.Sources[name]
	if !ok {
		http.Error(w, "no such source", http.StatusNotFound)
		return
	}
	begin := d.Now()
	status, result := d.take(w, r, name, source)
	d.Metrics.note(name, result, d.Now().Sub(begin))
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.WriteHeader(status)
}

// take answers the status, and the result that is counted.
func (d *door) take(w http.ResponseWriter, r *http.Request, name string, source Source) (int, string) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return http.StatusServiceUnavailable, busy
	}
	_ = http.NewResponseController(w).SetReadDeadline(d.Now().Add(Acceptance)) // who sends slowly must not keep others out
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))           // before anything is computed of it
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, tooLarge
	case err != nil:
		return http.StatusBadRequest, broken
	case source.Scheme == Woo && ping(body):
		return http.StatusOK, pinged
	}
	address := strings.TrimSuffix(d.URL, "/") + r.URL.RequestURI()
	err = source.verify(signed{method: r.Method, address: address, header: r.Header, body: body, now: d.Now()})
	var why fault
	if errors.As(err, &why) {
		d.Log.Warn("a webhook was refused", slog.String("source", name), slog.String("reason", string(why)))
		return http.StatusUnauthorized, string(why)
	}
	ctx, cancel := context.WithTimeout(r.Context(), Acceptance)
	defer cancel()
	err = d.Topics.Send(ctx, source.Topic, &event.Message{Value: body, Headers: source.headers(r.Header), Time: d.Now()})
	switch {
	case err == nil:
		return http.StatusOK, accepted
	case event.ClassOf(err) == event.Permanent || event.ClassOf(err) == event.Poison:
		d.Log.Error("a webhook cannot be put on its topic", slog.String("source", name), slog.Any("err", err))
		return http.StatusRequestEntityTooLarge, tooLarge
	default:
		d.Log.Error("a webhook was not taken, its sender may send it again", slog.String("source", name), slog.Any("err", err))
		return http.StatusServiceUnavailable, unavailable
	}
}

// ping tells what WooCommerce sends, unsigned, when a webhook is made there. It states nothing.
func ping(body []byte) bool {
	return len(body) < 64 && regexp.MustCompile(`^webhook_id=\d+$`).Match(body)
}

// headers are what goes onto the topic: all but what gives access, what concerns the connection only, and what we say ourselves: no
// signature covers them, and a stranger's body must not be read as a row of a load. Names are sorted, so that the
// same request is the same message.
func (s Source) headers(h http.Header) []event.Header {
	out := make([]event.Header, 0, len(h))
	for name, values := range h {
		if secret(name) || strings.HasPrefix(strings.ToLower(name), ours) || s.Scheme == Header && strings.EqualFold(name, s.Header) {
			continue
		}
		for _, v := range values {
			out = append(out, event.Header{Key: name, Value: []byte(v)})
		}
	}
	slices.SortStableFunc(out, func(a, b event.Header) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// ours is how the names of headers begin that this program writes.
const ours = "onefold-"

func secret(name string) bool {
	return slices.Contains([]string{
		"Authorization", "Cookie", "Proxy-Authorization", "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}, name)
}

// question answers the one that Meta asks before its first message.
func (d *door) question(w http.ResponseWriter, r *http.Request) {
	source, ok := d.Sources[r.PathValue("source")]
	q := r.URL.Query()
	challenge := q.Get("hub.challenge")
	switch {
	case !ok:
		http.Error(w, "no such source", http.StatusNotFound)
	case source.Scheme != Meta:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	case source.Verify == "" || q.Get("hub.mode") != "subscribe" || !hmac.Equal([]byte(q.Get("hub.verify_token")), []byte(source.Verify)),
		!regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`).MatchString(challenge): // it is written back
		http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, challenge)
	}
}
