package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"

	"github.com/go-resty/resty/v2"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/onefold/onefold/event"
)

// Login says who we are, by one of its ways; none where all are empty.
type Login struct {
	Bearer         string // a token that stays
	User, Password string // HTTP basic
	Header, Value  string // a header of the system's own
	OAuth2         OAuth2
}

// String says nothing, so that nobody prints a secret (invariant 9).
func (Login) String() string { return "(login)" }

// GoString is String, for %#v.
func (l Login) GoString() string { return l.String() }

// MarshalText is String, for JSON and the log.
func (l Login) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// OAuth2 gets tokens with the credentials of a client (RFC 6749, 4.4).
type OAuth2 struct {
	TokenURL, ClientID, ClientSecret string
	Scopes                           []string
	Params                           map[string]string // what else the token's address is told
}

// String says nothing.
func (OAuth2) String() string { return "(login)" }

// GoString is String, for %#v.
func (o OAuth2) GoString() string { return o.String() }

// MarshalText is String.
func (o OAuth2) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// login puts onto a request who we are.
type login struct {
	Login
	client *http.Client // for tokens
	tokens clientcredentials.Config

	mu    sync.Mutex
	token *oauth2.Token
}

func newLogin(l Login, client *http.Client) *login {
	params := url.Values{}
	for name, value := range l.OAuth2.Params {
		params.Set(name, value)
	}
	return &login{Login: l, client: client, tokens: clientcredentials.Config{
		ClientID: l.OAuth2.ClientID, ClientSecret: l.OAuth2.ClientSecret, TokenURL: l.OAuth2.TokenURL,
		Scopes: l.OAuth2.Scopes, EndpointParams: params,
	}}
}

// sign answers the token that it has put there, if tokens run out.
func (l *login) sign(ctx context.Context, r *resty.Request) (*oauth2.Token, error) {
	switch {
	case l.Bearer != "":
		r.SetAuthToken(l.Bearer)
	case l.User != "" || l.Password != "":
		r.SetBasicAuth(l.User, l.Password)
	case l.Header != "":
		r.SetHeader(l.Header, l.Value)
	case l.OAuth2.TokenURL != "":
		t, err := l.get(ctx)
		if err != nil {
			return nil, err
		}
		r.SetAuthToken(t.AccessToken)
		return t, nil
	}
	return nil, nil //nolint:nilnil // most have no token that runs out
}

// get answers a token that holds. Those who wait for it wait for one request.
func (l *login) get(ctx context.Context) (*oauth2.Token, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token.Valid() {
		return l.token, nil
	}
	t, err := l.tokens.Token(context.WithValue(ctx, oauth2.HTTPClient, l.client))
	if err != nil {
		return nil, refusedToken(err)
	}
	l.token = t
	return t, nil
}

// drop forgets a token that the system does not take.
func (l *login) drop(t *oauth2.Token) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token == t {
		l.token = nil
	}
}

// refusedToken classifies why there is no token, without what was answered, which may quote the secret (invariant 9).
func refusedToken(err error) *event.Error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		return unreachable(err, "the address of the token")
	}
	status := refused.Response.StatusCode
	switch {
	case status == http.StatusTooManyRequests:
		return event.Errorf(event.Throttled, "throttled", "", "the address of the token asks for patience (HTTP %d)", status)
	case status >= 500, status >= 300 && status < 400, status < 300:
		return event.Errorf(event.Retryable, "token", "", "the address of the token gives none (HTTP %d): check auth.oauth2.tokenUrl", status)
	}
	return event.Errorf(event.Auth, "token", "",
		"the address of the token refuses the client (HTTP %d): check clientId, clientSecret and scopes in auth.oauth2", status)
}
