// Package feed is the adapter of the nightly feed of an old core banking system: lines of fields with bars between them.
//
//	C|customer|sequence|time|family name|given name|birth date|IBAN|e-mail|phone|street|postcode|town|country
//	T|customer|sequence|time|reference|CR or DB|amount in cents|currency|text
//	Z|number of lines before this one
//
// A message is one such file, or a piece of one with a Z of its own. Times are 20260301143000, in UTC; an empty field says that
// there is nothing. It is like any adapter in Go: the command above it makes a plugin of it, and nothing here knows that.
package feed

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Feed maps messages of the feed. It keeps nothing.
type Feed struct{}

// Version of this adapter: what it makes of a line changes with it.
const version = "1.0.0"

// The feed's own forms of a time and of a day.
const (
	timeLayout = "20060102150405"
	dayLayout  = "20060102"
)

// Fields of a line, its kind included.
const (
	customerFields    = 14
	transactionFields = 9
	trailerFields     = 2
)

// Describe says what this is.
func (Feed) Describe() adapters.Description {
	return adapters.Description{
		Name: "bankfeed", Domain: "banking", Kind: "go", Version: version, Events: []string{"customer", "transaction"},
	}
}

// Map makes a change of each line. A file that does not end in its trailer was cut off: nothing of it is taken. A line that
// cannot be understood is refused by itself.
func (Feed) Map(_ context.Context, m *event.Message) ([]customer.Change, error) {
	if m.Value == nil {
		return nil, event.Ignore("null", "a message without a value says nothing in this feed")
	}
	if !utf8.Valid(m.Value) {
		return nil, event.Errorf(event.Poison, "decode", "", "the file is not UTF-8: send it as UTF-8")
	}
	lines := strings.Split(strings.ReplaceAll(string(bytes.TrimRight(m.Value, " \r\n")), "\r\n", "\n"), "\n")
	count := len(lines) - 1
	trailer := strings.Split(lines[count], "|")
	if len(trailer) != trailerFields || trailer[0] != "Z" || trailer[1] != strconv.Itoa(count) {
		return nil, event.Errorf(event.Poison, "decode", "",
			"the last line is not a Z with the number of lines before it: the file was cut off, send it again")
	}
	var changes []customer.Change
	var refused event.Refusals
	for i, line := range lines[:count] {
		part := fmt.Sprintf("line[%d]", i+1)
		c, err := changeOf(strings.Split(line, "|"))
		if err != nil {
			refused = append(refused, event.Refusal{Part: part, Outcome: event.Dead, Err: err})
			continue
		}
		c.Part = part
		changes = append(changes, c)
	}
	if len(refused) > 0 {
		return changes, refused
	}
	return changes, nil
}

// changeOf reads one line. Its error does not quote it: a line is about a person.
func changeOf(f []string) (customer.Change, *event.Error) {
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	want := map[string]int{"C": customerFields, "T": transactionFields}[f[0]]
	switch {
	case want == 0:
		return customer.Change{}, event.Errorf(event.Poison, "schema", "", "the line is neither a C, a T nor the Z at the end")
	case len(f) != want:
		return customer.Change{}, event.Errorf(event.Poison, "schema", "", "a line of this kind has %d fields, this one has %d", want, len(f))
	case f[1] == "":
		return customer.Change{}, event.Errorf(event.Poison, "schema", "customer", "the customer number is missing")
	}
	at, err := time.Parse(timeLayout, f[3])
	if err != nil {
		return customer.Change{}, event.Errorf(event.Poison, "schema", "time", "the time is not of the form %s", timeLayout)
	}
	// A sequence counts the lines about one customer; those of transactions stand beside it.
	v, err := customer.SequenceVersion(f[2], map[string]string{"C": "customer", "T": "transaction"}[f[0]])
	if err != nil {
		return customer.Change{}, event.Errorf(event.Poison, "schema", "sequence", "the sequence is not a whole number")
	}
	c := customer.Change{Key: f[1], Op: customer.Patch, Version: customer.Version{Source: v}, At: at}
	if f[0] == "T" {
		return transaction(c, f)
	}
	return master(c, f)
}

// master reads a line about a customer: all that the bank holds.
func master(c customer.Change, f []string) (customer.Change, *event.Error) {
	c.Op = customer.Upsert
	if f[6] != "" {
		day, err := time.Parse(dayLayout, f[6])
		if err != nil {
			return c, event.Errorf(event.Poison, "schema", "birth date", "the birth date is not of the form %s", dayLayout)
		}
		f[6] = day.Format(time.DateOnly)
	}
	c.Party = []customer.Statement{
		say("familyName", f[4]), say("givenName", f[5]), say("birthDate", f[6]), say("email", strings.ToLower(f[8])), say("phone", f[9]),
		{
			Path:  customer.Path{Name: customer.FieldIdentifier, ID: "customerNumber"},
			State: customer.Set, Value: parts("type", "customerNumber", "value", f[1], "strength", string(customer.S4)), Verified: true,
		},
	}
	if iban := strings.ToUpper(strings.ReplaceAll(f[7], " ", "")); iban != "" {
		c.Party = append(c.Party, customer.Statement{
			Path: customer.Path{Name: customer.FieldIdentifier, ID: "iban"}, State: customer.Set, Verified: true,
			Value: parts("type", "iban", "value", iban, "issuer", "iso13616", "strength", string(customer.S4)),
		})
	}
	if v := parts("streetAddress", f[10], "postalCode", f[11], "addressLocality", f[12], "addressCountry", f[13]); len(v.Parts) > 0 {
		c.Party = append(c.Party, customer.Statement{Path: customer.Path{Name: customer.FieldAddress}, State: customer.Set, Value: v})
	}
	return c, nil
}

// transaction reads a line about money that came or went.
func transaction(c customer.Change, f []string) (customer.Change, *event.Error) {
	direction := map[string]string{"CR": "in", "DB": "out"}[f[5]]
	if direction == "" {
		return c, event.Errorf(event.Poison, "schema", "direction", "the direction is neither CR nor DB")
	}
	amount, err := customer.MinorAmount(f[6], f[7])
	if err != nil {
		return c, event.Errorf(event.Poison, "schema", "amount", "the amount is not a whole number of cents in a currency of three letters")
	}
	if f[4] == "" {
		return c, event.Errorf(event.Poison, "schema", "reference", "the reference is missing")
	}
	c.Interactions = []customer.Interaction{{
		Key: "transaction:" + f[4], Type: "transaction", OccurredAt: c.At, Channel: "branch", Direction: direction, Amount: amount, Title: f[8],
	}}
	return c, nil
}

// say states a field; an empty one says that there is nothing.
func say(name, text string) customer.Statement {
	if text == "" {
		return customer.Statement{Path: customer.Path{Name: name}, State: customer.Cleared}
	}
	return customer.Statement{Path: customer.Path{Name: name}, State: customer.Set, Value: customer.Value{Text: text}}
}

// parts makes a value of names and texts, without those that are empty.
func parts(pairs ...string) customer.Value {
	v := customer.Value{Parts: map[string]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Parts[pairs[i]] = pairs[i+1]
		}
	}
	return v
}
