package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Limits of tokens (invariant 10).
const (
	MaxTokens = 200
	MinSecret = 32    // bytes of a secret: 128 bits even where it is written in hexadecimal
	MaxSecret = 1_000 // bytes
)

// NamePattern is what a token's name looks like. It is the author of decisions and stands in the log.
const NamePattern = `^[a-z0-9][a-z0-9._@-]{0,62}$`

// HashPattern is what the hash of a secret looks like.
const HashPattern = `^sha256:[0-9a-f]{64}$`

// Token is one who may ask. It holds no secret, only what the secret is recognised by. A secret is random and long, so that
// one round of SHA-256 is enough: slow hashes are for what people make up.
type Token struct {
	Name string
	Role Role
	Hash [sha256.Size]byte
}

// NewToken answers a token of that name and role for a secret: as it is, at least 32 bytes, or "sha256:" and its hash in hexadecimal.
func NewToken(name string, role Role, secret string) (Token, error) {
	t := Token{Name: name, Role: role}
	switch {
	case !regexp.MustCompile(NamePattern).MatchString(name):
		return t, fmt.Errorf("a token's name has small letters, digits, and . _ @ - after the first, at most 63 of them")
	case !role.Known():
		return t, fmt.Errorf("a role is one of: %s", List(Roles()))
	case regexp.MustCompile(HashPattern).MatchString(secret):
		_, err := hex.Decode(t.Hash[:], []byte(strings.TrimPrefix(secret, "sha256:")))
		return t, err
	case strings.HasPrefix(secret, "sha256:"):
		return t, fmt.Errorf("a hash is sha256: and 64 hexadecimal digits in small letters")
	case len(secret) < MinSecret:
		return t, fmt.Errorf("a secret has at least %d bytes", MinSecret)
	case len(secret) > MaxSecret:
		return t, fmt.Errorf("a secret has at most %d bytes", MaxSecret)
	case !sendable(secret):
		return t, fmt.Errorf("a secret has letters, digits and signs of ASCII, and no space")
	}
	t.Hash = sha256.Sum256([]byte(secret))
	return t, nil
}

// sendable tells whether a secret passes through a header as it is.
func sendable(secret string) bool {
	return strings.IndexFunc(secret, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// Secret makes a new secret of 256 random bits. Its beginning lets those who look for lost secrets know it.
func Secret(random io.Reader) (string, error) {
	var bits [32]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return "", fmt.Errorf("random bits: %w", err)
	}
	return "onefold_" + base64.RawURLEncoding.EncodeToString(bits[:]), nil
}

// Hash writes a secret as the configuration best holds it.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// holder finds the token of a secret. Every token is compared, each in constant time and by its hash: how long it takes tells nothing of
// how near a guess came, nor of whose it was near to. What is too short for a secret is none, whatever it is the hash of.
func holder(tokens []Token, secret string) (Token, bool) {
	if len(secret) < MinSecret || len(secret) > MaxSecret {
		return Token{}, false
	}
	sum := sha256.Sum256([]byte(secret))
	found := 0
	index := 0
	for i := range tokens {
		same := subtle.ConstantTimeCompare(tokens[i].Hash[:], sum[:])
		index = subtle.ConstantTimeSelect(same, i, index)
		found |= same
	}
	if found == 0 {
		return Token{}, false
	}
	return tokens[index], true
}
