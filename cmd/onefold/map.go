package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/mappings"
)

func (p *program) mapCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "map", Short: "Check, test and try mappings: shipped ones by name, your own by their folder",
	}
	c.AddCommand(p.lintCommand(), p.testCommand(), p.tryCommand())
	return c
}

// mappingOf loads a mapping that was named on the command line. A folder is a path, even where it has the form of a name.
func mappingOf(name string) (*mappings.Mapping, error) {
	if _, err := os.Stat(filepath.Join(name, "mapping.yaml")); err != nil && !slices.Contains(shipped(), name) {
		return nil, &usage{
			text: fmt.Sprintf("there is no mapping %q: no shipped one has that name, and no folder of that name has a mapping.yaml", name),
			hint: "one of " + strings.Join(shipped(), ", ") + ", or the folder of your own",
		}
	}
	m, found := loadMapping(located(name))
	if len(found) > 0 {
		return nil, found
	}
	return m, nil
}

// located makes a path of the name of a folder that has a mapping in it.
func located(name string) string {
	if _, err := os.Stat(filepath.Join(name, "mapping.yaml")); err == nil && !strings.ContainsAny(name, `./\`) {
		return "./" + name
	}
	return name
}

func (p *program) lintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint [MAPPING...]", Args: cobra.ArbitraryArgs,
		Short: "Check mappings without a message; without an argument those that are shipped",
		RunE: func(_ *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = shipped()
			}
			var found event.Diagnostics
			for _, name := range names {
				var ds event.Diagnostics
				if _, err := mappingOf(name); errors.As(err, &ds) {
					found = append(found, ds...)
				} else if err != nil {
					return err
				}
			}
			if len(found) > 0 {
				return found
			}
			if p.machine() {
				return p.json(event.Diagnostics{})
			}
			_, err := fmt.Fprintln(p.out, count(len(names), "mapping", "without a fault"))
			return err
		},
	}
}

func (p *program) testCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test [MAPPING...]", Args: cobra.ArbitraryArgs,
		Short: "Run the cases that lie beside mappings; without an argument those that are shipped",
		RunE: func(c *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = shipped()
			}
			return p.testMappings(c.Context(), names)
		},
	}
}

func (p *program) tryCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "try MAPPING [FILE]", Args: cobra.RangeArgs(1, 2),
		Short:   "Show what a mapping makes of one message: the value is read from FILE, or from standard input",
		Example: "  onefold map try shopify order.json --header X-Shopify-Topic=orders/create\n  onefold map try ./mappings/erp < event.json",
	}
	source := c.Flags().String("source", "try", "name of the source")
	topic := c.Flags().String("topic", "try", "topic of the message")
	key := c.Flags().String("key", "", "key of the message")
	headers := c.Flags().StringArray("header", nil, "a header, NAME=VALUE; may be given often")
	c.RunE = func(c *cobra.Command, args []string) error {
		m := &event.Message{Source: *source, Topic: *topic, Epoch: -1, Time: p.now().UTC()}
		if c.Flags().Changed("key") {
			m.Key = []byte(*key)
		}
		for _, h := range *headers {
			name, value, ok := strings.Cut(h, "=")
			if !ok {
				return &usage{text: "--header " + h + " has no value", hint: "write NAME=VALUE"}
			}
			m.Headers = append(m.Headers, event.Header{Key: name, Value: []byte(value)})
		}
		var err error
		if m.Value, err = p.value(args[1:]); err != nil {
			return err
		}
		mapping, err := mappingOf(args[0])
		if err != nil {
			return err
		}
		return p.try(c.Context(), mapping, m)
	}
	return c
}

const maxTried = 64 << 20 // bytes of a message that is tried

// value reads a message's value.
func (p *program) value(file []string) ([]byte, error) {
	in := p.in
	if len(file) == 1 && file[0] != "-" {
		f, err := os.Open(file[0])
		if err != nil {
			return nil, surroundings(err, "name a file that this user may read")
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxTried+1))
	if err == nil && len(raw) > maxTried {
		err = fmt.Errorf("the message is larger than %d bytes", maxTried)
	}
	return bytes.TrimSuffix(raw, []byte("\n")), err
}
