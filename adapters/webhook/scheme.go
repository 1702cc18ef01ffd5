package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Scheme is how a system signs what it sends.
type Scheme string

// The schemes, named after those who sign so. Shopify, WooCommerce, Square and Meta sign no time: what somebody has overheard can be
// sent again by them for ever, and has no effect a second time (invariant 2).
const (
	Shopify  Scheme = "shopify"     // X-Shopify-Hmac-SHA256: base64 of the body's HMAC
	Woo      Scheme = "woocommerce" // X-WC-Webhook-Signature: the same
	Square   Scheme = "square"      // x-square-hmacsha256-signature: of the address that is called, and the body
	Stripe   Scheme = "stripe"      // Stripe-Signature: t=seconds,v1=hex of "t.body"
	HubSpot  Scheme = "hubspot"     // X-HubSpot-Signature-v3: of method, address, body and milliseconds
	Zendesk  Scheme = "zendesk"     // X-Zendesk-Webhook-Signature: of the time and the body
	Meta     Scheme = "meta"        // X-Hub-Signature-256: sha256=hex; and a question by GET before the first
	Standard Scheme = "standard"    // Standard Webhooks 1.0: webhook-id, webhook-timestamp, webhook-signature
	Header   Scheme = "header"      // a header that holds the secret itself
)

// Schemes answers all of them.
func Schemes() []Scheme {
	return []Scheme{Shopify, Woo, Square, Stripe, HubSpot, Zendesk, Meta, Standard, Header}
}

// Addressed tells the schemes that sign the address which the sender calls.
func (s Scheme) Addressed() bool { return s == Square || s == HubSpot }

// MaxSecrets is how many secrets of a source hold at one time: the one that is in use, and the next (invariant 10).
const MaxSecrets = 2

// Window is how far the time that was signed may be from ours, either way.
const Window = 5 * time.Minute

// fault says why a request is not taken; it holds nothing of the request.
type fault string

func (f fault) Error() string { return string(f) }

const (
	unsigned fault = "unsigned"      // what is signed with is missing, or not of its form
	forged   fault = "bad_signature" // no secret of ours gives this signature
	old      fault = "out_of_window" // signed at a time that is too far from ours
)

// signed is what is verified: how it was sent, and the body byte for byte.
type signed struct {
	method  string
	address string // as the sender calls it
	header  http.Header
	body    []byte
	now     time.Time
}

// verify answers nil if one of the secrets gives the signature that the request bears.
func (s Source) verify(r signed) error {
	switch s.Scheme {
	case Shopify:
		return s.single(r.header.Get("X-Shopify-Hmac-Sha256"), base64.StdEncoding.DecodeString, r.body)
	case Woo:
		return s.single(r.header.Get("X-Wc-Webhook-Signature"), base64.StdEncoding.DecodeString, r.body)
	case Square:
		return s.single(r.header.Get("X-Square-Hmacsha256-Signature"), base64.StdEncoding.DecodeString, []byte(r.address), r.body)
	case Meta:
		digits, ok := strings.CutPrefix(r.header.Get("X-Hub-Signature-256"), "sha256=")
		if !ok {
			return unsigned
		}
		return s.single(digits, hex.DecodeString, r.body)
	case Stripe:
		return s.stripe(r)
	case HubSpot:
		stamp := r.header.Get("X-Hubspot-Request-Timestamp")
		if err := within(stamp, time.Millisecond, r.now); err != nil {
			return err
		}
		return s.single(r.header.Get("X-Hubspot-Signature-V3"), base64.StdEncoding.DecodeString,
			[]byte(r.method), []byte(plain(r.address)), r.body, []byte(stamp))
	case Zendesk:
		stamp := r.header.Get("X-Zendesk-Webhook-Signature-Timestamp")
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return unsigned
		}
		if apart(at, r.now) {
			return old
		}
		return s.single(r.header.Get("X-Zendesk-Webhook-Signature"), base64.StdEncoding.DecodeString, []byte(stamp), r.body)
	case Standard:
		return s.standard(r)
	case Header:
		return s.shared(r.header.Get(s.Header))
	}
	return forged
}

// single is a scheme of one signature: the HMAC-SHA256 of parts, one behind the other.
func (s Source) single(text string, decode func(string) ([]byte, error), parts ...[]byte) error {
	given, err := decode(strings.TrimSpace(text))
	if err != nil || len(given) != sha256.Size {
		return unsigned
	}
	return s.match([][]byte{given}, func(secret string) []byte { return []byte(secret) }, parts...)
}

// match compares in constant time, and with every secret, whichever fits.
func (s Source) match(given [][]byte, key func(secret string) []byte, parts ...[]byte) error {
	fits := false
	for _, secret := range s.Secrets {
		k := key(secret)
		if len(k) == 0 { // anybody could sign with that
			continue
		}
		mac := hmac.New(sha256.New, k)
		for _, p := range parts {
			mac.Write(p)
		}
		want := mac.Sum(nil)
		for _, g := range given {
			fits = hmac.Equal(g, want) || fits
		}
	}
	if !fits {
		return forged
	}
	return nil
}

// maxSignatures is how many signatures of one request are looked at (invariant 10): a sender whose secret is being changed gives two.
const maxSignatures = 8

func (s Source) stripe(r signed) error {
	var stamp string
	var given [][]byte
	for part := range strings.SplitSeq(r.header.Get("Stripe-Signature"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			stamp = value
		case "v1":
			if mac, err := hex.DecodeString(value); err == nil && len(given) < maxSignatures {
				given = append(given, mac)
			}
		}
	}
	if len(given) == 0 {
		return unsigned
	}
	if err := within(stamp, time.Second, r.now); err != nil {
		return err
	}
	return s.match(given, func(secret string) []byte { return []byte(secret) }, []byte(stamp), []byte("."), r.body)
}

func (s Source) standard(r signed) error {
	id, stamp := r.header.Get("Webhook-Id"), r.header.Get("Webhook-Timestamp")
	var given [][]byte
	for part := range strings.FieldsSeq(r.header.Get("Webhook-Signature")) {
		version, value, _ := strings.Cut(part, ",")
		if mac, err := base64.StdEncoding.DecodeString(value); err == nil && version == "v1" && len(given) < maxSignatures {
			given = append(given, mac)
		}
	}
	if id == "" || len(given) == 0 {
		return unsigned
	}
	if err := within(stamp, time.Second, r.now); err != nil {
		return err
	}
	return s.match(given, StandardKey, []byte(id), []byte("."), []byte(stamp), []byte("."), r.body)
}

// StandardKey is the key that a secret of Standard Webhooks stands for: whsec_ and base64. It answers nil for another text.
func StandardKey(secret string) []byte {
	text, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) == 0 {
		return nil
	}
	return key
}

// shared compares digests, so that the time which that takes does not tell how long the secret is.
func (s Source) shared(text string) error {
	if text == "" {
		return unsigned
	}
	given, fits := sha256.Sum256([]byte(text)), false
	for _, secret := range s.Secrets {
		want := sha256.Sum256([]byte(secret))
		fits = hmac.Equal(given[:], want[:]) || fits
	}
	if !fits {
		return forged
	}
	return nil
}

// within looks at a time that is written as a count of units since 1970.
func within(stamp string, unit time.Duration, now time.Time) error {
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return unsigned
	}
	at := time.Unix(n, 0)
	if unit == time.Millisecond {
		at = time.UnixMilli(n)
	}
	if apart(at, now) {
		return old
	}
	return nil
}

func apart(at, now time.Time) bool { return at.Before(now.Add(-Window)) || at.After(now.Add(Window)) }

// plain is an address as HubSpot signs it: with these characters as themselves.
func plain(address string) string {
	return strings.NewReplacer("%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'", "%28", "(", "%29", ")",
		"%2A", "*", "%2C", ",", "%3B", ";").Replace(address)
}
