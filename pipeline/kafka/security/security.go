// Package security opens connections to a Kafka that lets nobody listen and asks who calls: TLS with files that may change while
// we run, SASL, and what is said where either fails. A connection that it hands over has been proved: the broker answers on it.
package security

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// Times of a connection's opening.
const (
	dialTimeout  = 3 * time.Second // of TCP, an address
	greetTimeout = 4 * time.Second // of TLS, the first request and SASL together
)

// Config says how to speak to a cluster. The zero Config is plain text without authentication.
type Config struct {
	TLS  *TLS             // nil: plain text
	SASL *SASL            // nil: no authentication
	Now  func() time.Time // nil: the clock
	Log  *slog.Logger     // nil: silent
}

// TLS says whom we trust and who we are. The files are read anew for every connection, so that what replaces them takes effect
// without a restart; connections that are open go on.
type TLS struct {
	CA         string // file of the authorities that we trust, PEM; empty: the system's
	Cert, Key  string // files of our own certificate and its key, PEM; both or none
	ServerName string // what every broker's certificate must name; empty: the host of its address
}

// Dialer opens connections, for any number of goroutines.
type Dialer struct {
	tls   *files
	login *login
	dial  net.Dialer
}

// New makes a Dialer. It reads no file and dials nothing.
func New(c Config) (*Dialer, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Dialer{dial: net.Dialer{Timeout: dialTimeout}}
	if c.TLS != nil {
		d.tls = &files{TLS: *c.TLS, now: c.Now, log: c.Log}
	}
	if c.SASL != nil {
		mechanism, err := c.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		d.login = &login{mechanism: mechanism, secret: c.SASL.secret, gate: newGate(c.Now)}
	}
	return d, nil
}

// Dial opens a connection to a broker and proves it, within ctx: 3 s for TCP, 4 s for the rest. Where TLS or SASL fails the error is an
// event.Error that names the address, and the cause, and what to mend; it holds no secret.
func (d *Dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	open, err := d.open(ctx, conn, address)
	if !stop() && err == nil {
		err = ctx.Err() // the deadline may still hit this connection
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return open, nil
}

func (d *Dialer) open(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if d.tls != nil {
		config, err := d.tls.config(address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, d.tls.problem(address, err)
		}
		conn = secure
	}
	w := &wire{conn: conn}
	if _, err := w.ask(kmsg.NewPtrApiVersionsRequest(), 0); err != nil {
		return nil, d.unheard(address, err)
	}
	if d.login != nil {
		return conn, d.login.run(ctx, w, address)
	}
	// A broker that wants SASL answers its versions to anybody, and ends the connection at any other request.
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // null would ask for all
	if _, err := w.ask(req, metadataVersion); err != nil {
		if !closed(err) {
			return nil, err
		}
		return nil, event.Errorf(event.Auth, "broker", "kafka.sasl",
			"broker %s tells its versions and ends the connection at the next request, as a listener does that wants authentication, and a broker "+
				"that is stopping: if it stays so, set kafka.sasl, or name a listener in kafka.brokers that wants none: %w", address, err)
	}
	return conn, nil
}

// unheard tells why a connection's first request was not answered.
func (d *Dialer) unheard(address string, err error) error {
	switch {
	case d.tls != nil:
		return d.tls.refusal(address, err)
	case errors.Is(err, errTLS):
		return event.Errorf(event.Retryable, "broker", "kafka.tls", "broker %s speaks TLS, and we speak plain text: set kafka.tls", address)
	case closed(err):
		return event.Errorf(event.Retryable, "broker", "kafka.tls",
			"broker %s ends the connection at the first request, as a listener does that speaks TLS: set kafka.tls if it does, "+
				"else look whether a Kafka broker listens there: %w", address, err)
	default:
		return err
	}
}

// closed tells the errors of a connection that the other end has closed.
func closed(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && !op.Timeout()
}
