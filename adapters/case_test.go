package adapters_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

const whole = `A customer who writes in the shop.
-- message.json --
{"topic": "shop.webhooks", "partition": 3, "offset": 7, "time": "2025-03-10T11:00:00+01:00", "key": "1",
 "headers": {"X-Topic": "customers/update", "A": ["1", "2"]}}
-- value --
{"id": 1}
-- changes.json --
[{"key": "1", "op": "patch", "version": {"source": {"kind": "sequence", "value": "7"}}, "at": "2025-03-10T11:00:00+01:00",
  "party": [
    {"path": "familyName", "state": "set", "value": "Lima"},
    {"path": "address[home]", "state": "set", "value": {"postalCode": "44000"}},
    {"path": "email[0]", "state": "cleared"}],
  "interactions": [{"key": "o1", "type": "order", "amount": {"value": "12.50", "currency": "EUR"}}]}]
-- error.json --
{"outcome": "dead", "reason": "mapping", "part": "lines[1]", "path": "lines[1].id", "contains": "a whole number"}
`

func TestReadCase(t *testing.T) {
	c, err := adapters.ReadCase("cases/update.txtar", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := &event.Message{
		Source: "case", Topic: "shop.webhooks", Partition: 3, Offset: 7, Epoch: -1,
		Time: time.Date(2025, 3, 10, 10, 0, 0, 0, time.UTC), Key: []byte("1"), Value: []byte(`{"id": 1}`),
		Headers: []event.Header{
			{Key: "A", Value: []byte("1")}, {Key: "A", Value: []byte("2")}, {Key: "X-Topic", Value: []byte("customers/update")},
		},
	}
	if diff := cmp.Diff(want, c.Message); diff != "" {
		t.Error(diff)
	}
	if c.Name != "update" || c.About != "A customer who writes in the shop." || len(c.Changes) != 1 || len(c.Refusals) != 1 {
		t.Errorf("read %+v", c)
	}
}

func TestReadCaseValues(t *testing.T) {
	cases := map[string]struct {
		part string
		want []byte
	}{
		"a null":             {"", nil},
		"empty":              {"-- value --\n", []byte{}},
		"empty by a line":    {"-- value --\n\n", []byte{}},
		"with a line end":    {"-- value --\nx\n\n", []byte("x\n")},
		"bytes":              {"-- value.b64 --\nAP8=\n", []byte{0, 255}},
		"bytes on two lines": {"-- value.b64 --\nAP\n8=\n", []byte{0, 255}},
	}
	for name, tc := range cases {
		c, err := adapters.ReadCase("x.txtar", []byte(tc.part+"-- changes.json --\n[]\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, c.Message.Value); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestReadCaseFinds(t *testing.T) {
	cases := map[string]struct {
		in   string
		want string
	}{
		"a part unknown":     {"-- messages.json --\n{}\n-- changes.json --\n[]\n", "c.txtar:1: messages.json: a case has no such part"},
		"a part twice":       {"-- changes.json --\n[]\n-- changes.json --\n[]\n", "twice"},
		"two values":         {"-- value --\n-- value.b64 --\n-- changes.json --\n[]\n", "c.txtar:2: value.b64"},
		"no expectation":     {"-- value --\n{}\n", "expects nothing"},
		"a member unknown":   {"-- changes.json --\n[{\"kye\": \"1\"}]\n", `unknown field "kye"`},
		"not JSON":           {"about\n-- changes.json --\n[\n  {]\n", "c.txtar:4: changes.json"},
		"a wrong type":       {"-- message.json --\n{\n\"offset\": \"7\"}\n-- changes.json --\n[]\n", "c.txtar:3: message.json"},
		"a state unknown":    {"-- changes.json --\n[{\"party\":[{\"path\":\"email\",\"state\":\"sett\"}]}]\n", `"sett" is not a state`},
		"not base64":         {"-- value.b64 --\n!\n-- changes.json --\n[]\n", "c.txtar:2: value.b64: not base64"},
		"an outcome unknown": {"-- error.json --\n{\"outcome\": \"applied\"}\n", `"applied" is not an outcome`},
		"no refusal":         {"-- error.json --\n[]\n", "no refusal"},
		"more JSON":          {"-- changes.json --\n[] []\n", "more follows"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := adapters.ReadCase("c.txtar", []byte(tc.in))
			var ds event.Diagnostics
			if !errors.As(err, &ds) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want diagnostics with %q", err, tc.want)
			}
		})
	}
	if _, err := adapters.ReadCase("c.txtar", make([]byte, 33<<20)); err == nil {
		t.Error("a case over the limit is read")
	}
}

func TestReadCases(t *testing.T) {
	files := fstest.MapFS{
		"cases/b.txtar": {Data: []byte(whole)},
		"cases/a.txtar": {Data: []byte(whole)},
		"cases/x.json":  {Data: []byte("{")},
	}
	cases, err := adapters.ReadCases(files, "cases")
	if err != nil || len(cases) != 2 || cases[0].Name != "a" {
		t.Errorf("read %d cases, %v", len(cases), err)
	}
	files["cases/c.txtar"] = &fstest.MapFile{Data: []byte("-- x --\n")}
	if _, err := adapters.ReadCases(files, "cases"); err == nil || !strings.Contains(err.Error(), "cases/c.txtar") {
		t.Errorf("a broken case is not told: %v", err)
	}
}

// made is what the whole case expects, as an adapter would make it.
func made(t *testing.T) ([]customer.Change, error) {
	t.Helper()
	c, err := adapters.ReadCase("x", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	return c.Changes, event.Refusals{{
		Part: "lines[1]", Outcome: event.Dead,
		Err: event.Errorf(event.Permanent, "mapping", "lines[1].id", "not a whole number: send one"),
	}}
}

func TestCheckAgrees(t *testing.T) {
	c, err := adapters.ReadCase("x", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	changes, refused := made(t)
	party := changes[0].Party
	party[0], party[2] = party[2], party[0] // another order
	sealed, dead := customer.Seal(changes, c.Message, 3)
	if len(dead) > 0 {
		t.Fatal(dead)
	}
	for name, got := range map[string][]customer.Change{"as made": changes, "sealed": sealed} {
		if lines := c.Check(got, fmt.Errorf("map: %w", refused)); len(lines) > 0 {
			t.Errorf("%s: %s", name, strings.Join(lines, "\n"))
		}
	}
}

func TestCheckTells(t *testing.T) {
	c, err := adapters.ReadCase("x", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		spoil func(c *customer.Change, r *event.Refusal) error
		want  string
	}{
		"a value": {func(c *customer.Change, _ *event.Refusal) error {
			c.Party[0].Value = customer.Text("Limo")
			return nil
		}, `changes[0].party.familyName.value: want "Lima", got "Limo"`},
		"a part of a value": {func(c *customer.Change, _ *event.Refusal) error {
			c.Party[1].Value.Parts["postalCode"] = "44001"
			return nil
		}, `changes[0].party.address[home].value.postalCode: want "44000", got "44001"`},
		"a state": {func(c *customer.Change, _ *event.Refusal) error {
			c.Party[2].State = customer.Absent
			return nil
		}, `changes[0].party.email[0].state: want "cleared", got "absent"`},
		"a statement less": {func(c *customer.Change, _ *event.Refusal) error {
			c.Party = c.Party[:2]
			return nil
		}, `changes[0].party.email[0]: want {"state":"cleared"}, got nothing`},
		"a statement twice": {func(c *customer.Change, _ *event.Refusal) error {
			c.Party = append(c.Party, c.Party[0])
			return nil
		}, `changes[0].party.familyName#2: want nothing`},
		"an instant": {func(c *customer.Change, _ *event.Refusal) error {
			c.At = c.At.Add(time.Second)
			return nil
		}, `changes[0].at: want "2025-03-10T10:00:00Z", got "2025-03-10T10:00:01Z"`},
		"an operation": {func(c *customer.Change, _ *event.Refusal) error {
			c.Op = customer.Upsert
			return nil
		}, `changes[0].op: want "patch", got "upsert"`},
		"an interaction": {func(c *customer.Change, _ *event.Refusal) error {
			c.Interactions[0].Type = "refund"
			return nil
		}, `changes[0].interactions.o1.type: want "order", got "refund"`},
		"a reason": {func(_ *customer.Change, r *event.Refusal) error {
			r.Err.Reason = "schema"
			return nil
		}, `error.reason: want "mapping", got "schema"`},
		"the text": {func(_ *customer.Change, r *event.Refusal) error {
			r.Err.Text = "no"
			return nil
		}, `error: the text does not contain "a whole number": no`},
		"an outcome": {func(_ *customer.Change, r *event.Refusal) error {
			r.Outcome = event.Ignored
			return nil
		}, `error.outcome: want "dead", got "ignored"`},
		"the whole refused": {func(_ *customer.Change, r *event.Refusal) error {
			return r.Err
		}, `error.part: want "lines[1]", got ""`},
		"an error of no class": {func(*customer.Change, *event.Refusal) error {
			return errors.New("no class")
		}, `not classified`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			changes, err := made(t)
			var refusals event.Refusals
			if !errors.As(err, &refusals) {
				t.Fatal(err)
			}
			if other := tc.spoil(&changes[0], &refusals[0]); other != nil {
				err = other
			}
			lines := c.Check(changes, err)
			if len(lines) != 1 || !strings.Contains(lines[0], tc.want) {
				t.Errorf("got\n%s\nwant one line with\n%s", strings.Join(lines, "\n"), tc.want)
			}
		})
	}
	changes, _ := made(t)
	if lines := c.Check(changes, nil); len(lines) != 1 || !strings.Contains(lines[0], "got nothing") {
		t.Errorf("a refusal less: %q", lines)
	}
	if lines := c.Check(nil, nil); len(lines) != 2 {
		t.Errorf("nothing at all: %q", lines)
	}
}

func TestFormatIsReadAgain(t *testing.T) {
	c, err := adapters.ReadCase("x", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{
		"null": nil, "empty": {}, "text": []byte("{\n}\n"), "bytes": {0, 255}, "a marker": []byte("{\n-- value --\n}"), "CR": []byte("a\r\n"),
	} {
		c.Message.Value = value
		b, err := c.Format()
		if err != nil {
			t.Fatal(err)
		}
		again, err := adapters.ReadCase("x", b)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, b)
		}
		if diff := cmp.Diff(c, again, cmp.Comparer(func(a, b customer.Amount) bool { return a.String() == b.String() })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
