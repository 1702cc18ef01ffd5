package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/cmd/onefold/config"
)

// Every configuration in the documentation is read without a finding, passes the schema, and loads its mappings.
func TestDocumentedConfigurations(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	for file, pattern := range map[string]string{
		"../../docs/configuration.md": "(?s)```yaml\n(.*?)```",
		"../../docs/deployment.md":    "(?s)```yaml\n(.*?)```",
		"../../docs/security.md":      "(?s)```yaml\n(.*?)```",
		"../../README.md":             "(?s)<<'YAML'\n(.*?)YAML\n",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		examples := regexp.MustCompile(pattern).FindAllSubmatch(text, -1)
		if len(examples) == 0 {
			t.Errorf("%s has no example", file)
		}
		for _, example := range examples {
			cfg, found := config.Parse(file, example[1], config.Environment{Adapters: shipped(), Targets: rest.Systems()})
			if len(found) > 0 {
				t.Fatalf("%s\n%s", found, example[1])
			}
			if _, found := loadAdapters(cfg, nil); len(found) > 0 {
				t.Error(found)
			}
			var value map[string]any
			if err := yaml.Unmarshal(example[1], &value); err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(decoded); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// The page of metrics has a line for each that the service exports, with its type, labels and meaning, and no other.
func TestDocumentedMetrics(t *testing.T) {
	in := serve(t, configured(t, t.TempDir(), strings.Replace(hooked, "%s", "", 1)+selfPlugged(t)+aimed))
	eventually(t, 20*time.Second, "partitions are assigned", func() bool {
		_, body := fetch(t, in.Admin+"/metrics")
		return strings.Contains(body, "onefold_kafka_consumer_lag_records{") && strings.Contains(body, "onefold_adapter_info{") &&
			strings.Contains(body, "onefold_target_customers{")
	})
	_, body := fetch(t, in.Admin+"/metrics")
	exported := exposed(body)
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("(?m)^\\| `onefold_.*$").FindAllString(string(page), -1)
	if d := cmp.Diff(exported, documented); d != "" {
		t.Errorf("docs/metrics.md should say:\n%s\n%s", strings.Join(exported, "\n"), d)
	}
}

// exposed reads the lines of the documentation's table out of an exposition: HELP, TYPE, and the labels of the first sample.
func exposed(body string) (rows []string) {
	help, kind := map[string]string{}, map[string]string{}
	seen := map[string]bool{}
	for _, line := range lines(body) {
		if name, text, ok := strings.Cut(strings.TrimPrefix(line, "# HELP "), " "); ok && strings.HasPrefix(line, "# HELP ") {
			help[name] = text
			continue
		}
		if name, text, ok := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " "); ok && strings.HasPrefix(line, "# TYPE ") {
			kind[name] = text
			continue
		}
		name := regexp.MustCompile(`^[a-z_0-9]+`).FindString(line)
		if kind[name] == "" {
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		}
		if seen[name] || !strings.HasPrefix(name, "onefold_") {
			continue
		}
		seen[name] = true
		var labels []string
		for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(line, -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		rows = append(rows, "| `"+name+"` | "+kind[name]+" | "+strings.Join(labels, " ")+" | "+help[name]+" |")
	}
	slices.Sort(rows)
	return rows
}

// Every file that the architecture names is there.
func TestDocumentedFiles(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([a-z0-9_/]+\\.(?:go|yaml))`").FindAllSubmatch(page, -1)
	if len(names) < 20 {
		t.Errorf("%d files are named", len(names))
	}
	for _, name := range names {
		if _, err := os.Stat("../../" + string(name[1])); err != nil {
			t.Error(err)
		}
	}
}
