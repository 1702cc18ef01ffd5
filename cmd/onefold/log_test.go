package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Whatever type carries it, what a message or a customer says does not reach the log; what people need to find it does.
func TestLogRedactsByType(t *testing.T) {
	const name = "Ana Silva"
	amount, err := customer.NewAmount("12345.67", "EUR")
	if err != nil {
		t.Fatal(err)
	}
	m := &event.Message{Source: "shop", Topic: "t", Partition: 2, Offset: 7, Key: []byte(name), Value: []byte(name)}
	type text string
	values := []any{
		m, *m,
		event.DeadLetter{ID: "dead_7", Value: []byte(name)},
		&event.DeadLetter{ID: "dead_7", Key: []byte(name)},
		customer.Customer{Attributes: []customer.Attribute{{Claim: customer.Claim{Value: customer.Text(name)}}}},
		&customer.Record{Key: name},
		[]*customer.Record{{Key: name}},
		customer.Text(name),
		customer.Member{Key: name},
		&customer.Change{Key: name},
		customer.Email{Local: name},
		customer.Features{Given: []string{name}},
		customer.Query{Name: name},
		[]byte(name), json.RawMessage(`"` + name + `"`),
		map[string]string{"a": name},
		struct{ Name string }{name},
		text(name),
		event.Header{Value: []byte(name)},
		[]event.Header{{Value: []byte(name)}},
		amount, &amount,
		customer.Interaction{Title: name},
		customer.Explanation{Verdict: name},
		(*event.Message)(nil), (*customer.Record)(nil),
	}
	for _, textual := range []bool{true, false} {
		var out bytes.Buffer
		log := newLog(&out, textual, slog.LevelInfo)
		for _, v := range values {
			log.Info("x", "v", v, slog.Group("g", slog.Any("w", v)))
			log.With("v", v).Info("x")
		}
		said := regexp.MustCompile(`("time":"|time=)[^ "]+`).ReplaceAllString(out.String(), "") // its digits may be any
		for _, secret := range []string{"Ana", "Silva", "12345", "QW5h"} {
			if strings.Contains(said, secret) {
				t.Errorf("%s is in the log:\n%s", secret, out.String())
			}
		}
		for _, needed := range []string{"shop/t/2/7", "dead_7"} {
			if !strings.Contains(out.String(), needed) {
				t.Errorf("%s is not in the log:\n%s", needed, out.String())
			}
		}
	}
}

func TestLogShowsWhatIsNotPersonal(t *testing.T) {
	var out bytes.Buffer
	log := newLog(&out, true, slog.LevelInfo)
	id := customer.CustomerID{1}
	log.Info("x", "err", errors.Join(errors.New("disk"), event.ErrFenced), "id", id, "outcome", event.Dead, "n", 3, "after", time.Second,
		"counts", customer.Counts{Records: 5}, "wrapped", fmt.Errorf("a: %w", event.ErrAlready), "list", []string{"b"})
	for _, want := range []string{"disk", "claimed", id.String(), "dead", "n=3", "1s", "5", "moved on", "b"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, out.String())
		}
	}
}
