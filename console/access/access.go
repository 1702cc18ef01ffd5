// Package access says who asks, and what they may do: tokens with roles, the sessions of browsers, and how often somebody may try.
package access

import (
	"context"
	"slices"
	"strings"
)

// Role is what a token's holder is trusted with.
type Role string

// The roles. None stands above another but Admin, who may do everything: an operator who keeps the flow running has no need to see
// people, and a steward who decides about people has no need to move messages.
const (
	Viewer   Role = "viewer"   // looks; sees no personal data
	Steward  Role = "steward"  // sees customers, and decides who is who
	Operator Role = "operator" // dead letters, sources, targets; sees no personal data
	Admin    Role = "admin"    // everything, erasure and export of everybody too
)

// Roles answers every role.
func Roles() []Role { return []Role{Viewer, Steward, Operator, Admin} }

// Known tells whether there is such a role.
func (r Role) Known() bool { return slices.Contains(Roles(), r) }

// Sees tells whether the role may see personal data as it is.
func (r Role) Sees() bool { return r == Steward || r == Admin }

// Caller is who asks.
type Caller struct {
	// Name of the token, the author of what is decided with it; empty where no tokens are configured, and a decision names its author.
	Name string
	Role Role
}

// May tells whether the caller's role is among those; Admin always is.
func (c Caller) May(roles ...Role) bool {
	return c.Role == Admin || c.Role.Known() && slices.Contains(roles, c.Role)
}

// Sees tells whether the caller may see personal data as it is.
func (c Caller) Sees() bool { return c.Role.Sees() }

type key struct{}

// With marks a context with who asks.
func With(ctx context.Context, c Caller) context.Context { return context.WithValue(ctx, key{}, c) }

// From answers who asks. Nobody, the zero Caller, may nothing and sees nothing: what forgets to say who asks shows no personal data.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(key{}).(Caller)
	return c
}

// List writes roles for people: "steward, admin".
func List(roles []Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}
