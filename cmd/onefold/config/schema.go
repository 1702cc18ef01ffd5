package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Schema answers the JSON Schema (2020-12) of the file, for editors and for checks without this program. It is made of the
// same fields that the file is read into, so it cannot drift from them.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[Config](), reflect.ValueOf(raw()).Elem())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = "https://github.com/onefold/onefold/config.schema.json"
	s["title"] = "Onefold"
	s["description"] = "What one installation of Onefold is."
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // a tree of maps, texts and numbers always marshals
		panic(err)
	}
	return append(out, '\n')
}

// schemaOf describes a type; def is its default, the zero Value where there is none.
func schemaOf(t reflect.Type, def reflect.Value) map[string]any {
	switch t.Kind() {
	case reflect.Struct:
		return sectionSchema(t, def)
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem(), reflect.Value{})}
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": schemaOf(t.Elem(), reflect.Value{})}
	case reflect.Int64:
		s := map[string]any{"type": []string{"string", "integer", "null"}, "minimum": 0, "maximum": 0, "pattern": durationPattern + reference}
		if def.IsValid() {
			s["default"] = short(time.Duration(def.Int()))
		}
		return s
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer", "minimum": 0}
	default:
		s := map[string]any{"type": "string"}
		if def.IsValid() && def.String() != "" {
			s["default"] = def.String()
		}
		return s
	}
}

func sectionSchema(t reflect.Type, def reflect.Value) map[string]any {
	properties, need, one, by := map[string]any{}, []string{}, []any{}, map[string][]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		var d reflect.Value
		if def.IsValid() {
			d = def.Field(i)
		}
		p := schemaOf(f.Type, d)
		p["description"] = f.Tag.Get("doc")
		narrow(p, f.Tag)
		if key := f.Tag.Get("yaml"); f.Tag.Get("need") == "yes" {
			p["minLength"] = 1
			need = append(need, key)
		} else if way := f.Tag.Get("need"); way != "" {
			if way == "one" {
				one = append(one, map[string]any{"required": []string{key}})
			} else {
				by[way] = append(by[way], key)
			}
			if p["type"] == "string" {
				p["minLength"] = 1
			} else {
				p["type"] = "object"
			}
		} else if p["type"] == "string" {
			p["type"] = []string{"string", "null"}
		}
		properties[f.Tag.Get("yaml")] = p
	}
	s := map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if len(need) > 0 {
		s["required"], s["type"] = need, "object"
	}
	if len(one) > 0 {
		s["oneOf"] = one
	}
	if len(by) > 0 {
		s["allOf"] = ways(by)
	}
	return s
}

// ways says which keys are needed with which adapter, and stand with no other.
func ways(by map[string][]string) (all []any) {
	for _, way := range sortedKeys(by) {
		others := map[string]any{}
		for _, key := range by[way] {
			others[key] = false
		}
		all = append(all, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"adapter": map[string]any{"const": way}}},
			"then": map[string]any{"required": by[way]}, "else": map[string]any{"properties": others},
		})
	}
	return all
}

// durationPattern is a length of time in Go's spelling, a 0 with or without a unit.
const durationPattern = `^([0-9]+(\.[0-9]*)?(h|m|s|ms|us|ns))+$|^0$`

// short writes a length of time without units that say nothing: 720h.
func short(d time.Duration) string {
	s := d.String()
	for _, silent := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, silent) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// reference lets a text pass whose value is elsewhere: ${env:NAME}.
const reference = `|\$\{`

// narrow adds what a field's tags say beyond its type.
func narrow(p map[string]any, tag reflect.StructTag) {
	if tag.Get("name") == "source" {
		p["propertyNames"] = map[string]any{"pattern": SourcePattern}
	}
	if values, ok := p["additionalProperties"].(map[string]any); ok {
		if most, err := strconv.Atoi(tag.Get("max")); err == nil {
			values["maximum"] = most
		}
	}
	if most, err := strconv.Atoi(tag.Get("max")); err == nil && p["type"] == "integer" {
		p["minimum"], p["maximum"] = 1, most
	}
	var pattern string
	switch tag.Get("format") {
	case "topic":
		pattern = TopicPattern + reference
	case "mechanism":
		pattern = "^(" + strings.Join(Mechanisms(), "|") + ")$" + reference
	case "survey":
		pattern = "^(" + AutomaticSurvey + "|" + ManualSurvey + ")$" + reference
	case "scheme":
		pattern = "^(" + strings.Join(WebhookSchemes(), "|") + ")$" + reference
	case "checksum":
		pattern = ChecksumPattern + reference
	case "address", "listen":
		pattern = `^.*:[0-9]{1,5}$` + reference
	case "token":
		pattern = TokenPattern + reference
	case "role":
		pattern = "^(" + strings.Join(Roles(), "|") + ")$" + reference
	case "secret":
		pattern = HashPattern + fmt.Sprintf("|^[!-~]{%d,%d}$", MinSecret, MaxSecret) + reference
	case "loopback":
		pattern = `^(127\.[0-9.]+|localhost|\[::1\]):[0-9]{1,5}$` + reference
	default:
		return
	}
	if items, ok := p["items"].(map[string]any); ok {
		items["pattern"] = pattern
		return
	}
	p["pattern"] = pattern
}
