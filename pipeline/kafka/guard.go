package kafka

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"
)

// Times of the guard.
const (
	idleTimeout  = 10 * time.Minute // between two requests of a connection, as Apache Kafka has it
	frameTimeout = 30 * time.Second // for the rest of a request that has begun
	keepFrame    = 1 << 20          // bytes of buffer that a connection keeps
	smallFrame   = 64 << 10         // bytes of a request that never waits for room: heartbeats must not, nor what reads
	maxCheckers  = 4                // requests that are looked into at a time: each may inflate to maxDecompressed
)

// guard is the listener that kfake accepts from. A connection of it hands over whole requests, checked: kfake trusts the
// sizes, keys and records that it is sent, one frame of 14 bytes ends its process. What is refused ends its connection, with
// a line in the log.
type guard struct {
	net.Listener
	log      *slog.Logger
	maxFrame int
	slots    chan struct{}
	room     *semaphore.Weighted // bytes of requests that are not answered
	checkers chan *checker
	opened   chan struct{} // closed when known is set
	known    versions

	mu    sync.Mutex
	conns map[*guarded]struct{}
	forms map[apiVersion]*form
}

func newGuard(ln net.Listener, c BrokerConfig) *guard {
	g := &guard{
		Listener: ln, log: c.Log, maxFrame: c.MaxFrame, room: semaphore.NewWeighted(c.MaxUnanswered),
		slots: make(chan struct{}, c.MaxConnections), checkers: make(chan *checker, maxCheckers),
		opened: make(chan struct{}), conns: map[*guarded]struct{}{}, forms: map[apiVersion]*form{},
	}
	for range maxCheckers {
		g.checkers <- &checker{form: g.form}
	}
	return g
}

// open lets the requests pass that the broker knows; until then there are the two with which the broker is asked what it knows
// and has, others wait.
func (g *guard) open(known versions) {
	g.known = known
	close(g.opened)
}

// Accept answers the next connection, as long as there are not too many (invariant 10).
func (g *guard) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case g.slots <- struct{}{}:
		default:
			g.log.Warn("embedded broker: refused a connection", "client", conn.RemoteAddr().String(), "reason", "too many connections")
			_ = conn.Close()
			continue
		}
		c := g.watch(conn)
		g.mu.Lock()
		g.conns[c] = struct{}{}
		g.mu.Unlock()
		return c, nil
	}
}

// watch wraps a connection; its context ends when it is closed.
func (g *guard) watch(conn net.Conn) *guarded {
	ctx, cancel := context.WithCancel(context.Background())
	return &guarded{Conn: conn, guard: g, ctx: ctx, cancel: cancel}
}

func (g *guard) closeAll() {
	_ = g.Listener.Close()
	g.mu.Lock()
	conns := make([]*guarded, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// guarded is one client's connection: Read gives nothing but whole requests that were checked.
type guarded struct {
	net.Conn
	guard  *guard
	ctx    context.Context
	cancel context.CancelFunc
	frame  bytes.Buffer
	rest   []byte // of frame, not yet read
	silent bool   // the last request asks for no answer
	once   sync.Once

	mu   sync.Mutex
	held []int64 // bytes of room that the requests have which are not answered, oldest first
}

// Close closes the connection and frees its slot; kfake calls it more than once.
func (c *guarded) Close() error {
	var err error
	c.once.Do(func() {
		c.cancel()
		err = c.Conn.Close()
		c.settle(ahead)
		c.guard.mu.Lock()
		delete(c.guard.conns, c)
		c.guard.mu.Unlock()
		<-c.guard.slots
	})
	return err
}

func (c *guarded) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write passes on an answer; kfake writes one at a time, in the order of the requests.
func (c *guarded) Write(b []byte) (int, error) {
	defer c.settle(1)
	return c.Conn.Write(b)
}

// ahead is how many requests of a connection kfake has at most: one at work, and the next, which it has read.
const ahead = 2

// admit waits for room for a request of n bytes (invariant 10), which it has until it is answered. Nobody waits for each other:
// what has room needs no more to be answered.
func (c *guarded) admit(n int64) error {
	if n <= smallFrame {
		n = 0
	} else {
		ctx, cancel := context.WithTimeout(c.ctx, frameTimeout)
		defer cancel()
		if err := c.guard.room.Acquire(ctx, n); err != nil {
			return fmt.Errorf("no room for a request of %d bytes in %s: so many others are not answered", n, frameTimeout)
		}
	}
	c.mu.Lock()
	c.held = append(c.held, n)
	over := len(c.held) - ahead
	c.mu.Unlock()
	if c.ctx.Err() != nil { // closed meanwhile
		over = ahead
	}
	c.settle(over)
	return nil
}

// settle gives back the room of the n oldest requests, or of as many as there are.
func (c *guarded) settle(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; n > 0 && len(c.held) > 0; n-- {
		c.guard.room.Release(c.held[0])
		c.held = c.held[1:]
	}
}

// next reads one request and checks it. When kfake asks for it, the one before is at work; if it asked for no answer, it is done.
func (c *guarded) next() error {
	if c.frame.Cap() > keepFrame {
		c.frame = bytes.Buffer{}
	}
	c.frame.Reset()
	if c.silent {
		c.settle(ahead)
	}
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return err
	}
	if _, err := io.CopyN(&c.frame, c.Conn, 4); err != nil {
		return err
	}
	n, err := frameSize(c.frame.Bytes(), c.guard.maxFrame)
	if err != nil {
		return c.refuse(err)
	}
	if err := c.admit(n); err != nil {
		return c.refuse(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	if _, err := io.CopyN(&c.frame, c.Conn, n); err != nil { // grows as bytes come, not by what the size says
		return err
	}
	frame, err := c.look(c.frame.Bytes())
	if err != nil {
		return c.refuse(err)
	}
	c.rest = frame
	return nil
}

// look has a request checked, when it is known what the broker knows.
func (c *guarded) look(frame []byte) ([]byte, error) {
	known := c.guard.versions(c.ctx, frame[4:])
	if known == nil {
		return nil, net.ErrClosed
	}
	k := <-c.guard.checkers // which is given back soon, whatever the request
	defer func() { c.guard.checkers <- k }()
	frame, err := k.frame(frame, known)
	c.silent = k.silent
	return frame, err
}

func (c *guarded) refuse(err error) error {
	if c.ctx.Err() != nil {
		return net.ErrClosed // by us
	}
	c.guard.log.Warn("embedded broker: refused a connection", "client", c.RemoteAddr().String(), "reason", err.Error())
	if errors.Is(err, errHTTP) {
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nThis port speaks the Kafka protocol, not HTTP.\n")
	}
	_ = c.Close()
	return err
}

// versions answers what may pass; it waits until that is known, which is moments after the start.
func (g *guard) versions(ctx context.Context, request []byte) versions {
	key, version := int16(binary.BigEndian.Uint16(request)), int16(binary.BigEndian.Uint16(request[2:]))
	if key == kmsg.ApiVersions.Int16() || (key == kmsg.Metadata.Int16() && version == learnVersion) {
		select {
		case <-g.opened:
			return g.known
		default:
			return versions{kmsg.ApiVersions.Int16(): {}, kmsg.Metadata.Int16(): {learnVersion, learnVersion}} // learn's questions
		}
	}
	select {
	case <-g.opened:
		return g.known
	case <-ctx.Done():
		return nil
	}
}

var errHTTP = errors.New("this is HTTP: an HTTP client has the wrong port")

// frameSize reads the size of a request.
func frameSize(head []byte, limit int) (int64, error) {
	n := binary.BigEndian.Uint32(head)
	if int64(n) <= int64(limit) && n >= 8 {
		return int64(n), nil
	}
	switch {
	case bytes.Equal(head[:3], []byte{22, 3, 1}):
		return 0, errors.New("this is TLS, and the port speaks plain text: set security.protocol to PLAINTEXT")
	case n < 8:
		return 0, fmt.Errorf("a request of %d bytes is none", n)
	case bytes.Contains([]byte("GET POSTPUT HEADDELEOPTIPATCCONNTRACPRI "), head):
		return 0, errHTTP
	}
	return 0, fmt.Errorf("a request of %d bytes, the limit is %d", n, limit)
}

// form answers how requests of one kind lie in their bytes; it is found out once.
func (g *guard) form(of apiVersion) *form {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, ok := g.forms[of]
	if !ok {
		f = newForm(of)
		g.forms[of] = f
	}
	return f
}

// checker checks requests; it is used by one goroutine.
type checker struct {
	form    func(apiVersion) *form
	decoder decoder
	silent  bool // the request asks for no answer
}

// frame answers the request, size included, as the broker may read it: of a known key and version, well formed, and with
// record batches that a broker which looks inside would take. Parsing is what could panic, so it does so here first, where
// that ends one connection. Before that the counts are held against the bytes there are: kmsg makes room for as many elements
// and looks for as many tags as it is told, four billion if need be.
func (k *checker) frame(frame []byte, known versions) (checked []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			checked, err = nil, fmt.Errorf("a request that cannot be read: %v", p)
		}
	}()
	k.silent = false
	r := kbin.Reader{Src: frame[4:]}
	key, version, correlation := r.Int16(), r.Int16(), r.Int32()
	span, ok := known[key]
	if !ok {
		return nil, fmt.Errorf("request %d is not known", key)
	}
	if key == kmsg.ApiVersions.Int16() && version > span.max {
		return tooNew(version, correlation), nil
	}
	if version < span.min || version > span.max {
		return nil, fmt.Errorf("%s version %d, the broker knows %d to %d", kmsg.NameForKey(key), version, span.min, span.max)
	}
	req := kmsg.RequestForKey(key)
	if req == nil {
		return nil, fmt.Errorf("request %d is not known", key)
	}
	_ = r.NullableString() // client id
	req.SetVersion(version)
	w := walk{Reader: r, flexible: req.IsFlexible()}
	if w.flexible {
		w.tags(false)
	}
	body := w.Src
	if f := k.form(apiVersion{key, version}); w.well() {
		w.form(f)
	}
	if !w.well() {
		return nil, fmt.Errorf("a %s request that cannot be read: %w", kmsg.NameForKey(key), cmp.Or(w.fault, errCut))
	}
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("a %s request that cannot be read: %w", kmsg.NameForKey(key), err)
	}
	return frame, k.limits(req)
}

// limits refuses what a well-formed request must not ask for: it costs the broker more than it can give (invariant 10), and
// kfake would try.
func (k *checker) limits(req kmsg.Request) error {
	var err error
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		k.silent = r.Acks == 0
		err = k.batches(r)
	case *kmsg.CreateTopicsRequest:
		for _, t := range r.Topics {
			err = errors.Join(err, legalTopic(t.Topic), fewPartitions(t.NumPartitions), fewPartitions(int32(len(t.ReplicaAssignment))))
		}
	case *kmsg.CreatePartitionsRequest:
		for _, t := range r.Topics {
			err = errors.Join(err, fewPartitions(t.Count))
		}
	case *kmsg.MetadataRequest:
		for _, t := range r.Topics {
			if r.AllowAutoTopicCreation && t.Topic != nil {
				err = errors.Join(err, legalTopic(*t.Topic))
			}
		}
	}
	return err
}

const maxPartitions = 1000 // of one topic of the embedded broker

func fewPartitions(n int32) error {
	if n > maxPartitions {
		return fmt.Errorf("a topic of %d partitions, the limit is %d", n, maxPartitions)
	}
	return nil
}

// tooNew answers an ApiVersions request of a version that nobody can read yet, in a form that the broker can: it answers
// that it does not know the version, and the client asks again in one that it knows (KIP-511).
func tooNew(version int16, correlation int32) []byte {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "unknown", "0"
	req.Version = version
	return kmsg.NewRequestFormatter().AppendRequest(nil, req, correlation)
}
