package crm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// What a webhook tells.
const (
	Created = "contact.created"
	Updated = "contact.updated"
	Deleted = "contact.deleted"
	Merged  = "contact.merged"
)

// Who changes contacts.
const (
	Integration = "integration" // a program, through the API
	User        = "user"        // somebody at a screen
)

// Webhook is what the CRM tells of each change, of those that came through the API too.
type Webhook struct {
	ID        string    `json:"eventId"`
	Type      string    `json:"type"`
	At        time.Time `json:"occurredAt"`
	ChangedBy Actor     `json:"changedBy"`
	Changed   []string  `json:"changed,omitempty"` // of an update: which properties
	Into      string    `json:"into,omitempty"`    // of a merge: the contact that stays
	Contact   *Contact  `json:"contact"`           // as it is after the change; of what is gone, as it was
}

// Actor is who changed a contact.
type Actor struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Message is a webhook as it is sent: the body, and the contact's id as the key by which a topic keeps it in order.
type Message struct {
	Key, Value []byte
	Time       time.Time
}

// hooks are the webhooks that wait to be delivered.
type hooks struct {
	waiting []Message
	more    chan struct{}
}

func newHooks() hooks { return hooks{more: make(chan struct{}, 1)} }

// tell puts a webhook at the end of the queue.
func (c *CRM) tell(what string, x *Contact, by Actor, with func(*Webhook)) {
	c.told++
	h := Webhook{ID: fmt.Sprintf("evt_%012d", c.told), Type: what, At: x.UpdatedAt, ChangedBy: by, Contact: x}
	if with != nil {
		with(&h)
	}
	b, err := json.Marshal(&h)
	if err != nil { // contacts can be written
		panic(err)
	}
	m := Message{Key: []byte(x.ID), Value: b, Time: h.At}
	c.hooks.waiting = append(c.hooks.waiting, m)
	if c.dice.chance(c.faults.Again) {
		c.hooks.waiting = append(c.hooks.waiting, m)
	}
	select {
	case c.hooks.more <- struct{}{}:
	default:
	}
}

// Waiting answers how many webhooks are not yet delivered.
func (c *CRM) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.hooks.waiting)
}

// Of the delivery of webhooks.
const (
	deliverMost  = 200                    // at once
	deliverAgain = 200 * time.Millisecond // after send has failed
)

// Deliver hands webhooks to send, in their order, until ctx ends; it answers why ctx ended. While send fails it is asked again with
// the same webhooks: each is delivered at least once. It is called once at a time.
func (c *CRM) Deliver(ctx context.Context, send func(ctx context.Context, batch []Message) error) error {
	for {
		c.mu.Lock()
		batch := c.hooks.waiting[:min(len(c.hooks.waiting), deliverMost)]
		c.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-c.hooks.more:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := send(ctx, batch); err != nil {
			t := time.NewTimer(deliverAgain)
			select {
			case <-t.C:
				continue
			case <-ctx.Done():
				t.Stop()
				return ctx.Err()
			}
		}
		c.mu.Lock()
		c.hooks.waiting = c.hooks.waiting[len(batch):]
		c.mu.Unlock()
	}
}
