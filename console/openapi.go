package console

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var openAPIDocument string

func openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write([]byte(openAPIDocument)) // a reader that has gone away is nobody's error
	return nil
}

// CustomersSchema answers the JSON Schema (2020-12) of the values on the customers topic: a whole customer, or the alias that is left
// of a merged one. A tombstone (a null value) follows the last word on a customer behind whom there is nobody any more.
// It is made of the API's own document, so that the two cannot differ.
func CustomersSchema() ([]byte, error) {
	schemas, err := Schemas()
	if err != nil {
		return nil, err
	}
	defs := map[string]any{}
	for _, name := range []string{"Customer", "Attribute", "Claim", "Value", "Version", "Member", "Alias"} {
		if schemas[name] == nil {
			return nil, fmt.Errorf("the API's document has no schema %s", name)
		}
		defs[name] = schemas[name]
	}
	return json.MarshalIndent(map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "https://github.com/onefold/onefold/customers.schema.json",
		"title":       "Onefold customer",
		"description": "A value on the customers topic. The record's key is the customer's id; a null value is a tombstone.",
		"oneOf":       []any{map[string]any{"$ref": "#/$defs/Customer"}, map[string]any{"$ref": "#/$defs/Alias"}},
		"$defs":       defs,
	}, "", "  ")
}

// Schemas answers the schemas of the API's document by name, with their references made to "#/$defs/NAME".
func Schemas() (map[string]any, error) {
	var doc struct {
		Components struct {
			Schemas map[string]any `yaml:"schemas"`
		} `yaml:"components"`
	}
	moved := strings.ReplaceAll(openAPIDocument, "#/components/schemas/", "#/$defs/")
	if err := yaml.Unmarshal([]byte(moved), &doc); err != nil {
		return nil, fmt.Errorf("the API's document: %w", err)
	}
	return doc.Components.Schemas, nil
}
