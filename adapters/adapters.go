// Package adapters is the contract between Onefold and the outside world: a Source makes canonical changes of a
// system's messages, a Target is told of customers. Files, Go code and plugins are three ways to fulfil it, and the pipeline cannot
// tell which it has.
package adapters

import (
	"context"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Source makes changes of messages. Implementations pass adaptertest.
type Source interface {
	// Map says what a message states: changes in the order of the message, empty where it states nothing. It is stateless,
	// safe for concurrent use and safe to repeat, reads no clock and does no I/O.
	//
	// A change carries Key, Op, Part, Version.Source (zero where the system has none), At, Party, Interactions and Others;
	// customer.Seal fills in the rest. The change's parties and identifiers are scoped to the instance that the message came
	// from (a shop's domain, a merchant id), not to the configured source.
	//
	// The error says what was refused: event.Refusals for parts, beside which the changes returned hold; an *event.Error
	// for the whole message, whose class says what becomes of it. Its text says what is wrong, where, and how to mend it,
	// and holds nothing personal.
	Map(ctx context.Context, m *event.Message) ([]customer.Change, error)
}

// Description says what an adapter is.
type Description struct {
	Name    string // "shopify"
	Domain  string // banking pos ecommerce crm service marketing
	Kind    string // mapping go plugin
	Version string // hash of its content: a change of it is a new mapping revision
	Events  []string
}

// Described is a Source that can say what it is. Every shipped adapter is one.
type Described interface {
	Source
	Describe() Description
}
