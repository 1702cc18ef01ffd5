package customer

import (
	"time"
)

// Interaction is something that happened between a party and the company: an order, a payment, a visit, a ticket.
type Interaction struct {
	Key        string        `json:"key"`  // the source's own; the same key with a newer version replaces it
	Type       string        `json:"type"` // order payment refund transaction visit ticket call chat message lead opportunity loyaltyEvent appointment
	Subtype    string        `json:"subtype,omitempty"`
	Status     string        `json:"status,omitempty"`
	OccurredAt time.Time     `json:"occurredAt,omitzero"`
	Channel    string        `json:"channel,omitempty"`   // online inStore mobile phone branch atm email social partner
	Direction  string        `json:"direction,omitempty"` // in: the party pays or speaks to us; out: we to them
	Amount     Amount        `json:"amount,omitzero"`
	Location   string        `json:"location,omitempty"`
	Title      string        `json:"title,omitempty"` // a short text for the timeline
	Parties    []Party       `json:"parties,omitempty"`
	Items      []Item        `json:"items,omitempty"`
	References []Reference   `json:"references,omitempty"`
	ReversalOf string        `json:"reversalOf,omitempty"`
	Test       bool          `json:"test,omitempty"`
	ID         InteractionID `json:"id,omitzero"`      // set by the Registry
	Source     string        `json:"source,omitempty"` // set by Seal, as the next two
	Version    Version       `json:"version,omitzero"`
	Event      string        `json:"event,omitempty"`
}

// InteractionTypes are the types that an interaction may have.
func InteractionTypes() []string {
	return []string{
		"appointment", "call", "chat", "lead", "loyaltyEvent", "message", "opportunity", "order", "pageView", "payment",
		"refund", "ticket", "transaction", "visit",
	}
}

// Channels are the channels that an interaction may have come through.
func Channels() []string {
	return []string{"atm", "branch", "email", "inStore", "mobile", "online", "partner", "phone", "social"}
}

// Party is a part that a record plays in an interaction. Key is the record's key in the interaction's source; a party that
// is known by an identifier only stands under the key of ReferenceKey.
type Party struct {
	Role   string   `json:"role"` // customer payer beneficiary recipient agent
	Key    string   `json:"key"`
	Record RecordID `json:"record,omitzero"` // set by the Registry
}

// Item is one line of an order.
type Item struct {
	SKU      string `json:"sku,omitempty"`
	Name     string `json:"name,omitempty"`
	Quantity string `json:"quantity,omitempty"` // decimal
	Amount   Amount `json:"amount,omitzero"`
}

// Reference ties an interaction to a paper of the outside world: orderNumber receipt endToEndId mandate cart.
type Reference struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// ReferenceKey is the key of the record that stands for a party of whom only an identifier is known: a payment that
// knows only a card. It joins the party that holds the identifier by the identifier alone.
func ReferenceKey(identifierType, value string) string { return "ref:" + identifierType + ":" + value }
