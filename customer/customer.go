// Package customer holds the nouns of Onefold and its one door, the Registry: changes go in, customers come out.
// It computes; where things rest is the store's business, who is who the matcher's, which value survives the
// merger's. Their interfaces are declared here, by their consumer.
package customer

import (
	"encoding/json"
	"strconv"
	"time"
)

// Customer is the master record: the records that were resolved to be one party, and the values that survive among them,
// each with its lineage.
type Customer struct {
	ID      CustomerID `json:"id"`
	Version int64      `json:"version"` // grows by one with each published change
	Status  Status     `json:"status"`
	// AliasOf names the customer that this one was merged into. Such a customer has nothing else to say.
	AliasOf    CustomerID  `json:"aliasOf,omitzero"`
	Attributes []Attribute `json:"attributes"` // by path
	Members    []Member    `json:"members"`    // live records, by source and key
	CreatedAt  time.Time   `json:"createdAt"`
	UpdatedAt  time.Time   `json:"updatedAt"`
}

// Status says whether there is anybody behind a customer's id.
type Status string

// The states of a customer.
const (
	Active Status = "active"
	Merged Status = "merged" // AliasOf says into which
	Gone   Status = "gone"   // every record of it was deleted
	Erased Status = "erased" // at the wish of the data subject
)

// Member is one record of a customer.
type Member struct {
	Record RecordID `json:"record"`
	Source string   `json:"source"`
	Key    string   `json:"key"`
}

// Attribute is a surviving value with its lineage: where it comes from, why it won, and what lost.
type Attribute struct {
	Path Path `json:"path"`
	Claim
	Rule   string  `json:"rule"` // which rule of the policy decided: only trust verified recent frequent tie union
	Losers []Claim `json:"losers,omitempty"`
}

// Claim is a value as one record states it.
type Claim struct {
	Value    Value     `json:"value"`
	Source   string    `json:"source"`
	Key      string    `json:"key"`
	Version  Version   `json:"version"`
	At       time.Time `json:"at,omitzero"` // by the source's clock
	Verified bool      `json:"verified,omitempty"`
	Event    string    `json:"event,omitempty"` // message that said it
}

// Published answers the value that tells the world about the customer, as it stands in the outbox and on the customers
// topic: the whole customer, {"aliasOf": ID} for a merged one, nil (a tombstone) when nobody is behind the id any more.
func (c *Customer) Published() ([]byte, error) {
	switch c.Status {
	case Merged:
		return json.Marshal(struct {
			AliasOf CustomerID `json:"aliasOf"`
			Version int64      `json:"version"`
		}{c.AliasOf, c.Version})
	case Gone, Erased:
		return nil, nil
	default:
		return json.Marshal(c)
	}
}

// PublishedID is the deterministic id of that message: customer and version.
func (c *Customer) PublishedID() string {
	return c.ID.String() + "." + strconv.FormatInt(c.Version, 10)
}

// Text answers the text of the attribute under a path's name, the first of a list; empty where there is none.
func (c *Customer) Text(name string) string {
	for i := range c.Attributes {
		if c.Attributes[i].Path.Name == name {
			return c.Attributes[i].Value.Text
		}
	}
	return ""
}
