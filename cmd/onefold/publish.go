package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

func (p *program) publishCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "publish --all", Args: cobra.NoArgs,
		Short: "Publish every customer once more, and take back ids that the store does not know: after a restore",
		Long: "Have every customer leave once more on the topic of customers as it is now, with aliases and tombstones. Ids " +
			"that stand on the topic\n" +
			"and that the store does not know, as after a restore, are taken back with a tombstone. Then the topic says what the store says.",
	}
	all := c.Flags().Bool("all", false, "every customer; there is no other way yet")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !*all {
			return &usage{text: "it is not said what is published", hint: "add --all"}
		}
		resp, err := p.request(c.Context(), http.MethodPost, "/publish", nil, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var done console.Republished
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&done); err != nil {
			return p.stranger(err)
		}
		return p.one(done, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%d customers, aliases and tombstones leave once more, %d unknown ids were taken "+
				"back.\n", done.Customers, done.TakenBack)
			return err
		})
	}
	return c
}

// takenBack is how many tombstones go at a time.
const takenBack = 500

// republish has every customer leave once more, and takes back what stands on the topic and nobody knows. That is no change of a customer,
// and does not leave through the outbox (invariant 5): there is no customer.
func (s *service) republish(ctx context.Context) (*console.Republished, error) {
	topic := s.config.Topics.Customers
	stands := map[string]bool{}
	err := reread(ctx, s.client, topic, func(m *event.Message) {
		if m.Value == nil {
			delete(stands, string(m.Key))
			return
		}
		stands[string(m.Key)] = true
	})
	if err != nil {
		return nil, fmt.Errorf("read back %s: %w", topic, err)
	}
	var batch []*event.Message
	out := &console.Republished{}
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := s.publisher.Send(ctx, topic, batch...)
		out.TakenBack += int64(len(batch))
		batch = nil
		return err
	}
	for key := range stands {
		var id customer.CustomerID
		if id.UnmarshalText([]byte(key)) == nil {
			if _, err := s.registry.Customer(ctx, id); !errors.Is(err, customer.ErrNotFound) {
				if err != nil {
					return nil, err
				}
				continue // what it is leaves once more
			}
		}
		if batch = append(batch, &event.Message{Topic: topic, Key: []byte(key)}); len(batch) == takenBack {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if out.Customers, err = s.store.Republish(ctx); err != nil {
		return nil, err
	}
	s.relay.Wake()
	s.log.InfoContext(ctx, "every customer leaves once more", "customers", out.Customers, "takenBack", out.TakenBack)
	return out, nil
}
