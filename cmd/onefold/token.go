package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console/access"
)

// openGate has the API ask who calls, and speak TLS, where the configuration says so.
func (s *service) openGate(context.Context) error {
	log := s.log.With("component", "console")
	tokens := make([]access.Token, 0, len(s.config.Console.Tokens))
	for _, t := range s.config.Console.Tokens {
		token, err := access.NewToken(t.Name, access.Role(t.Role), string(t.Secret))
		if err != nil {
			return &environment{text: "the token " + t.Name + ": " + err.Error(), remedy: "onefold validate says where", err: err}
		}
		tokens = append(tokens, token)
	}
	s.gate = access.New(access.Config{Tokens: tokens, Random: rand.Reader, Now: s.now, Log: log})
	if s.config.Console.TLS.Cert == "" {
		return nil
	}
	cert, err := newCertificate(s.config.Console.TLS, log)
	if err != nil {
		return surroundings(err, "let this user read both files of console.tls")
	}
	s.api = tls.NewListener(s.api, cert.config())
	return nil
}

// scheme is how the API is called.
func (s *service) scheme() string {
	if s.config.Console.TLS.Cert != "" {
		return "https"
	}
	return "http"
}

// made is a new token, as it is told once.
type made struct {
	Name   string      `json:"name"`
	Role   access.Role `json:"role"`
	Token  string      `json:"token"`
	Secret string      `json:"secret"` // what stands in the configuration
}

func (p *program) tokenCommand() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Make the tokens that people and programs call the service with"}
	c.AddCommand(p.newTokenCommand())
	return c
}

func (p *program) newTokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "new", Args: cobra.NoArgs,
		Short: "Make a token: it is printed once, with the line for the configuration, which holds only its hash",
		Long: "Make a token: it is printed once, with the line for the configuration, which holds only its hash.\n" +
			"Nothing is written anywhere. Restart the service when the line is in the file.\n\n" +
			"Roles: viewer looks, and sees no personal data; steward sees customers and decides who is who; operator looks after\n" +
			"dead letters, sources and targets, and sees no personal data; admin does everything, also erase and export.",
		Example: "  onefold token new --name kim --role steward",
	}
	name := c.Flags().String("name", "", "who will hold it: the author of what is decided with it")
	role := c.Flags().String("role", "", "viewer, steward, operator or admin")
	c.RunE = func(*cobra.Command, []string) error {
		if err := p.only("table", "json", "ndjson"); err != nil {
			return err
		}
		secret, err := access.Secret(rand.Reader)
		if err != nil {
			return err
		}
		token, err := access.NewToken(*name, access.Role(*role), access.Hash(secret))
		if err != nil {
			return &usage{text: err.Error(), hint: "onefold token new --name kim --role steward"}
		}
		m := made{Name: token.Name, Role: token.Role, Token: secret, Secret: access.Hash(secret)}
		return p.one(m, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "The token of %s, role %s. It is shown this once; keep it where secrets are kept:\n\n  %s\n\n"+
				"The line for the configuration, under console: tokens:\n\n  - {name: %s, role: %s, secret: '%s'}\n",
				m.Name, m.Role, m.Token, m.Name, m.Role, m.Secret)
			return err
		})
	}
	return c
}

// bearer answers the token that the service is called with, empty for none: of the flag, of the file, or of the environment.
func (p *program) bearer() (string, error) {
	if p.token != "" && p.tokenFile != "" {
		return "", &usage{text: "--token and --token-file are both given", hint: "leave one of them out"}
	}
	token := p.token
	if token == "" && p.tokenFile != "" {
		var err error
		if token, err = secretFile(p.tokenFile); err != nil {
			return "", err
		}
		if strings.TrimSpace(token) == "" { // what is meant is not the environment's
			return "", &environment{text: "there is no token in " + p.tokenFile, remedy: "name another file with --token-file"}
		}
	}
	if token == "" {
		token, _ = p.lookup("ONEFOLD_TOKEN")
	}
	if token = strings.TrimSpace(token); strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", &usage{text: "the token has characters that no token has", hint: "copy it again, as onefold token new printed it"}
	}
	return token, nil
}
