package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

// fills absorbs two records of one customer who is larger than the topic takes, and a customer behind them.
func fills(t *testing.T, s *service) {
	t.Helper()
	tags := func(first int) (out []customer.Statement) {
		for i := range 60 {
			out = append(out, customer.Statement{
				Path: customer.Path{Name: "tag", ID: fmt.Sprint(i)}, State: customer.Set, Value: customer.Text(fmt.Sprintf("%06d%s", first+i, strings.Repeat("v", 15_000))),
			})
		}
		return append(out, customer.Statement{
			Path: customer.Path{Name: customer.FieldIdentifier, ID: "n"}, State: customer.Set,
			Value: customer.Value{Parts: map[string]string{"type": "loyaltyNumber", "issuer": "shop", "value": "0815-77", "strength": "S4"}},
		})
	}
	m := &event.Message{Source: "shop", Topic: "shop.webhooks", Time: time.Now()}
	changes := []customer.Change{
		{Key: "1", Op: customer.Upsert, Party: tags(0)},
		{Key: "2", Op: customer.Upsert, Party: tags(100)},
		{Key: "3", Op: customer.Upsert, Party: []customer.Statement{{Path: customer.Path{Name: "givenName"}, State: customer.Set, Value: customer.Text("Ana")}}},
	}
	sealed, refused := customer.Seal(changes, m, 1)
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	_, err := s.registry.Absorb(t.Context(), customer.Batch{Now: time.Now(), Messages: []customer.Mapped{{Message: m, Changes: sealed}}})
	if err != nil {
		t.Fatal(err)
	}
}

// One large customer holds up nobody: a shorter form of it leaves, which the published schema allows, and which is what the comparison of
// topic and store expects.
func TestALargeCustomerLeavesAndHoldsUpNobody(t *testing.T) {
	cfg := demoConfig(t.TempDir())
	cfg.Kafka.Listen, cfg.Console.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s, err := open(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	defer func() { stop(); <-ended }()
	fills(t, s)
	eventually(t, 20*time.Second, "all have left", func() bool {
		c, err := s.store.Counts(t.Context())
		return err == nil && c.Customers == 2 && c.Outbox == 0
	})
	if n, err := s.compare(t.Context(), io.Discard); n != 0 || err != nil {
		t.Errorf("topic and store differ in %d customers: %v", n, err)
	}
	topic, err := readback(t.Context(), s.client, s.config.Topics.Customers)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := console.CustomersSchema()
	if err != nil {
		t.Fatal(err)
	}
	schema := compiled(t, raw)
	truncated := 0
	for _, value := range topic {
		decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(decoded); err != nil {
			t.Error(err)
		}
		var v struct{ Truncated bool }
		if err := json.Unmarshal(value, &v); err != nil || len(value) > pipeline.MaxPublished {
			t.Errorf("%d bytes stand on the topic: %v", len(value), err)
		}
		if v.Truncated {
			truncated++
		}
	}
	if len(topic) != 2 || truncated != 1 {
		t.Errorf("%d customers are on the topic, %d of them in a shorter form", len(topic), truncated)
	}
}

// compiled makes a validator of a schema.
func compiled(t *testing.T, raw []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
