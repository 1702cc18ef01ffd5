package mappings_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"testing"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings"
)

// BenchmarkMap compares with what reading the same bytes at all costs: JSON into any with exact numbers, XML into bare
// tokens. The second of the two equal runs of each says what the machine's noise is.
func BenchmarkMap(b *testing.B) {
	for _, c := range []struct{ dir, name string }{
		{"shopify", "customer-2025"}, {"shopify", "order"}, {"square", "payment-updated"}, {"iso20022", "camt054-04-credits"},
	} {
		msg := message(b, c.dir, c.name)
		control := intoAny
		if c.dir == "iso20022" {
			control = tokens
		}
		m := load(b, c.dir)
		run := func(name string, f func() error) {
			b.Run(c.dir+"/"+c.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(msg.Value)))
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("read", func() error { return control(msg.Value) })
		run("read-again", func() error { return control(msg.Value) })
		run("map", func() error {
			_, err := m.Map(b.Context(), msg)
			return err
		})
	}
}

func message(b *testing.B, dir, name string) *event.Message {
	cases, err := adapters.ReadCases(mappings.Shipped(), dir+"/cases")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range cases {
		if c.Name == name {
			return c.Message
		}
	}
	b.Fatalf("no case %s/%s", dir, name)
	return nil
}

func intoAny(value []byte) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	return d.Decode(&v)
}

func tokens(value []byte) error {
	d := xml.NewDecoder(bytes.NewReader(value))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
