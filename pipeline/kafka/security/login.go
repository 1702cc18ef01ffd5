package security

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// Mechanisms of SASL.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
)

// SASL says who we are.
type SASL struct {
	Mechanism string
	Username  string // of PLAIN and SCRAM
	Password  string // likewise
	Token     string // of OAUTHBEARER
	TokenFile string // likewise, instead: read anew for every connection
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case Plain:
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case ScramSHA256, ScramSHA512:
		algorithm := scram.SHA256
		if s.Mechanism == ScramSHA512 {
			algorithm = scram.SHA512
		}
		m, err := scram.Mechanism(algorithm, s.Username, s.Password)
		if err != nil { // it may quote what it was given
			return nil, event.Errorf(event.Permanent, "validation", "kafka.sasl",
				"username or password holds what SCRAM allows nowhere, such as a control character: write it without")
		}
		return m, nil
	case OAuthBearer:
		return bearer{s.secret}, nil
	default:
		return nil, event.Errorf(event.Permanent, "validation", "kafka.sasl.mechanism", "%q is none of %s, %s, %s, %s",
			s.Mechanism, Plain, ScramSHA256, ScramSHA512, OAuthBearer)
	}
}

// token is the alphabet of RFC 6750.
func token() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`) }

// secret answers the password or the token as it is now.
func (s SASL) secret() (string, error) {
	if s.Mechanism != OAuthBearer {
		return s.Password, nil
	}
	text, from := s.Token, "kafka.sasl.token"
	if s.TokenFile != "" {
		from = "kafka.sasl.tokenFile"
		data, err := readFile(s.TokenFile)
		if err != nil {
			return "", event.Errorf(event.Auth, "broker", from, "%w", err)
		}
		text = strings.TrimSpace(string(data))
	}
	if !token().MatchString(text) {
		return "", event.Errorf(event.Auth, "broker", from, "there is no token, or it holds what no token does: "+
			"write it alone, as its issuer gives it, without the word Bearer")
	}
	return text, nil
}

// bearer is OAUTHBEARER (RFC 7628).
type bearer struct{ token func() (string, error) }

func (bearer) Name() string { return OAuthBearer }

func (b bearer) Start(context.Context) (sasl.StateMachine, []byte, error) {
	t, err := b.token()
	return bearing{}, []byte("n,,\x01auth=Bearer " + t + "\x01\x01"), err
}

type bearing struct{}

// Next is called with an empty challenge where the token is taken. Else the challenge says why not, and one byte asks the broker to
// refuse in form.
func (bearing) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	return len(challenge) == 0, []byte{1}, nil
}

// maxSteps is how often a mechanism may speak; SCRAM does so twice (invariant 10).
const maxSteps = 4

// login authenticates connections.
type login struct {
	mechanism sasl.Mechanism
	secret    func() (string, error)
	gate      *gate
}

func (l *login) run(ctx context.Context, w *wire, address string) error {
	secret, err := l.secret()
	if err != nil {
		return err
	}
	return l.gate.pass(ctx, secret, func() error { return l.exchange(ctx, w, address, secret) })
}

func (l *login) exchange(ctx context.Context, w *wire, address, secret string) error {
	if err := l.agree(w, address); err != nil {
		return err
	}
	session, out, err := l.mechanism.Start(ctx)
	if err != nil {
		return err
	}
	for range maxSteps {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.SASLAuthBytes = out
		resp, err := w.ask(req, authenticateVersion)
		if closed(err) { // as brokers do that say nothing of a wrong password
			return l.refused(address, fmt.Errorf("it ends the connection: %w", err))
		}
		if err != nil {
			return err
		}
		got := resp.(*kmsg.SASLAuthenticateResponse) //nolint:forcetypeassert // it is the kind that was asked for
		if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
			return l.refused(address, said(err, got.ErrorMessage, secret))
		}
		done, next, err := session.Next(ctx, got.SASLAuthBytes)
		if err != nil { // the broker cannot show that it knows the password, or speaks another SCRAM
			return l.refused(address, said(errors.New("its answer is not that of a broker that knows this user"), nil, secret))
		}
		if done {
			return nil
		}
		out = next
	}
	return l.refused(address, errors.New("it asks for more steps than the mechanism has"))
}

// agree names the mechanism.
func (l *login) agree(w *wire, address string) error {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Mechanism = l.mechanism.Name()
	resp, err := w.ask(req, handshakeVersion)
	if err != nil {
		return event.Errorf(event.Retryable, "broker", "kafka.sasl", "broker %s does not answer when authentication begins: "+
			"look whether this listener is one of SASL: %w", address, err)
	}
	got := resp.(*kmsg.SASLHandshakeResponse) //nolint:forcetypeassert // it is the kind that was asked for
	switch err := kerr.ErrorForCode(got.ErrorCode); {
	case err == nil:
		return nil
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return event.Errorf(event.Auth, "broker", "kafka.sasl.mechanism", "broker %s does not take %s here: set one that it takes: %s",
			address, req.Mechanism, cmp.Or(clip(strings.Join(got.SupportedMechanisms, ", ")), "it names none"))
	case errors.Is(err, kerr.IllegalSaslState):
		return event.Errorf(event.Auth, "broker", "kafka.sasl", "broker %s authenticates nobody on this listener: name its SASL listener in "+
			"kafka.brokers, or leave kafka.sasl out", address)
	default:
		return l.refused(address, err)
	}
}

func (l *login) refused(address string, err error) error {
	remedy := "mend kafka.sasl.username and kafka.sasl.password, or the user at the broker"
	if l.mechanism.Name() == OAuthBearer {
		remedy = "have the token renewed, or look whether the broker trusts its issuer"
	}
	return event.Errorf(event.Auth, "broker", "kafka.sasl", "broker %s refuses our login by %s: %w: %s",
		address, l.mechanism.Name(), err, remedy)
}

// said is an error with what the broker says of it, unless that quotes the secret.
func said(err error, text *string, secret string) error {
	if text == nil || *text == "" || strings.Contains(*text, secret) {
		return err
	}
	return fmt.Errorf("%w: %s", err, clip(*text))
}

const maxSaid = 200 // bytes of a broker's words that we repeat

func clip(s string) string {
	if len(s) > maxSaid {
		s = s[:maxSaid]
	}
	return strings.ToValidUTF8(s, "")
}

// Waits after a refusal: an account that is locked after some wrong passwords stays open.
const (
	FirstWait = 10 * time.Second // doubled by each refusal that follows
	MaxWait   = 5 * time.Minute
)

// gate keeps refused credentials from being tried again and again: while they are not known to be good one connection alone tries
// them, and after a refusal none for a while. Other credentials are tried at once.
type gate struct {
	now  func() time.Time
	turn chan struct{} // holds one while a connection tries alone

	mu       sync.Mutex
	good     bool
	tried    string // the credentials that were refused
	refusals int    // one after the other
	until    time.Time
	last     error
}

func newGate(now func() time.Time) *gate { return &gate{now: now, turn: make(chan struct{}, 1)} }

func (g *gate) pass(ctx context.Context, secret string, try func() error) error {
	if !g.known() {
		select {
		case g.turn <- struct{}{}:
			defer func() { <-g.turn }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := g.shut(secret); err != nil {
		return err
	}
	err := try()
	g.note(secret, err)
	return err
}

func (g *gate) known() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.good
}

func (g *gate) shut(secret string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last == nil || secret != g.tried || !g.now().Before(g.until) {
		return nil
	}
	return event.Errorf(event.Auth, "broker", "kafka.sasl", "%w (not tried again before %s, so that the account is not locked)",
		g.last, g.until.UTC().Format(time.TimeOnly+"Z"))
}

func (g *gate) note(secret string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.good, g.tried, g.refusals, g.last = true, "", 0, nil
	case event.ClassOf(err) == event.Auth:
		if g.good = false; secret != g.tried {
			g.refusals = 0
		}
		g.tried, g.last = secret, err
		g.until = g.now().Add(min(FirstWait<<min(g.refusals, 10), MaxWait))
		g.refusals++
	}
}
