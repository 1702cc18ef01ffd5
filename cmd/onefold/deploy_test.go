package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/cmd/onefold/config"
)

const (
	deployment = "../../deploy"
	runbooks   = "../../docs/runbooks"
	runbookURL = "https://github.com/onefold/onefold/blob/main/docs/runbooks/"
)

// rule is one of Prometheus's: a record or an alert.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

// dashboard is as much of a Grafana dashboard as is looked at here.
type dashboard struct {
	UID        string
	Panels     []panel
	Templating struct{ List []struct{ Query any } }
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Datasource  *struct{ UID string }
	Targets     []struct{ Expr string }
}

// selector is a part of a query: the series that it asks for, with the labels that it asks them to have.
type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, op, value string }

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func rules(t *testing.T) (out []rule) {
	t.Helper()
	for _, name := range []string{"rules.yml", "alerts.yml"} {
		var file struct{ Groups []struct{ Rules []rule } }
		readYAML(t, filepath.Join(deployment, "prometheus", name), &file)
		for _, g := range file.Groups {
			out = append(out, g.Rules...)
		}
	}
	return out
}

func alerts(t *testing.T) (out []rule) {
	t.Helper()
	for _, r := range rules(t) {
		if r.Alert != "" {
			out = append(out, r)
		}
	}
	if len(out) < 10 {
		t.Fatalf("%d alerts", len(out))
	}
	return out
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(deployment, "grafana", "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	out := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[file] = d
	}
	return out
}

// queries answers every query of rules and dashboards, by where it stands.
func queries(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range rules(t) {
		out[r.Record+r.Alert] = r.Expr
	}
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			for i, target := range p.Targets {
				out[fmt.Sprintf("%s: %s, query %d", filepath.Base(file), p.Title, i+1)] = target.Expr
			}
		}
	}
	return out
}

var (
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	token    = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|\boffset\s+\w+|\b\d[\w.]*|([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?\s*(\(?)`)
	matching = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
)

// asked takes a query apart: what it selects, and the labels that it groups by. promtool, not this, knows whether it is a query at all.
func asked(query string) (selectors []selector, labels []string) {
	for _, g := range grouping.FindAllStringSubmatch(query, -1) {
		labels = append(labels, regexp.MustCompile(`\w+`).FindAllString(g[1], -1)...)
	}
	query = grouping.ReplaceAllString(query, "")
	for _, m := range token.FindAllStringSubmatch(query, -1) {
		name, braces, call := m[1], m[2], m[3]
		if name == "" || call != "" || slices.Contains([]string{"and", "or", "unless", "bool"}, name) {
			continue
		}
		s := selector{metric: name}
		for _, x := range matching.FindAllStringSubmatch(braces, -1) {
			s.matchers = append(s.matchers, matcher{x[1], x[2], x[3]})
		}
		selectors = append(selectors, s)
	}
	return selectors, labels
}

// Taking queries apart is checked by itself: what it overlooks, the tests below overlook.
func TestQueriesAreTakenApart(t *testing.T) {
	query := `sum by (job, source) (rate(onefold_a_total{outcome!="dead",le=~"30|30.0"}[5m] offset 1h)) / 1e9 > (14.4 * 0.001)
		and on (job) job:onefold_b:rate1h > 0 or vector(0) unless up{job="onefold"} == bool 0`
	selectors, labels := asked(query)
	got := fmt.Sprint(selectors, labels)
	want := "[{onefold_a_total [{outcome != dead} {le =~ 30|30.0}]} {job:onefold_b:rate1h []} {up [{job = onefold}]}] [job source job]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// documented answers the metrics of docs/metrics.md with their labels; TestDocumentedMetrics holds that page to the service.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(onefold_\\w+)` \\| (\\w+) \\| ([a-z ]*) \\|").FindAllStringSubmatch(string(page), -1) {
		out[m[1]] = strings.Fields(m[3])
		if m[2] == "histogram" {
			out[m[1]+"_sum"], out[m[1]+"_count"] = out[m[1]], out[m[1]]
			out[m[1]+"_bucket"] = append([]string{"le"}, out[m[1]]...)
		}
	}
	for _, m := range regexp.MustCompile("`(onefold_\\w+)` \\(\\w+, by (\\w+)").FindAllStringSubmatch(string(page), -1) {
		out[m[1]] = []string{m[2]}
	}
	if len(out) < 30 {
		t.Fatalf("%d metrics are documented", len(out))
	}
	return out
}

// known are all series that a query may ask for: ours, what our rules record, and what every program and Prometheus itself have.
func known(t *testing.T) map[string][]string {
	t.Helper()
	out := documented(t)
	for _, r := range rules(t) {
		if r.Record != "" {
			_, labels := asked(r.Expr)
			out[r.Record] = labels
		}
	}
	out["up"] = nil
	out["ALERTS"] = []string{"alertname", "alertstate"}
	for _, name := range []string{"process_cpu_seconds_total", "process_resident_memory_bytes"} {
		out[name] = nil
	}
	for name := range out {
		out[name] = append(slices.Clone(out[name]), "job", "instance")
	}
	return out
}

// No query asks for a series or a label that nobody exports: it would be silent for ever.
func TestQueriesAskForWhatIsDocumented(t *testing.T) {
	series := known(t)
	for where, query := range queries(t) {
		selectors, labels := asked(query)
		if len(selectors) == 0 {
			t.Errorf("%s asks for nothing: %s", where, query)
		}
		var all []string
		for _, s := range selectors {
			has, ok := series[s.metric]
			if !ok {
				t.Errorf("%s: nobody exports %s", where, s.metric)
				continue
			}
			for _, m := range s.matchers {
				if !slices.Contains(has, m.label) {
					t.Errorf("%s: %s has no label %s", where, s.metric, m.label)
				}
			}
			all = append(all, has...)
		}
		for _, label := range labels {
			if !slices.Contains(all, label) {
				t.Errorf("%s groups by %s, which none of its series has", where, label)
			}
		}
	}
	for file, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			m := regexp.MustCompile(`label_values\((\w+), (\w+)\)`).FindStringSubmatch(fmt.Sprint(v.Query))
			if m != nil && !slices.Contains(series[m[1]], m[2]) {
				t.Errorf("%s: a variable takes the values of %s from %s, which has none", file, m[2], m[1])
			}
		}
	}
}

// Every metric is looked at by a rule or a panel, and every record is used.
func TestMetricsAreUsed(t *testing.T) {
	used := map[string]bool{
		"onefold_adapter_info": true, // a fact to look up, nothing that moves
	}
	for _, query := range queries(t) {
		selectors, _ := asked(query)
		for _, s := range selectors {
			used[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(s.metric, "")] = true
		}
	}
	for name := range documented(t) {
		if !used[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")] {
			t.Errorf("no alert and no panel uses %s: give it a panel in deploy/grafana, or say here why nobody looks at it", name)
		}
	}
	for _, r := range rules(t) {
		if r.Record != "" && !used[r.Record] {
			t.Errorf("no alert and no panel uses the record %s", r.Record)
		}
	}
}

// What an alert or a rule asks of a label, some series of a service that has just started has: a sum over nothing is no alert. Both
// formats in which Prometheus may ask are held to it.
func TestAlertsSelectWhatTheServiceExports(t *testing.T) {
	in := serve(t, configured(t, t.TempDir(), strings.Replace(hooked, "%s", "", 1)+aimed))
	eventually(t, 20*time.Second, "partitions are assigned", func() bool {
		_, body := fetch(t, in.Admin+"/metrics")
		return strings.Contains(body, "onefold_kafka_consumer_lag_records{") && strings.Contains(body, "onefold_target_customers{")
	})
	for _, format := range []string{"text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.Admin+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", format)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		series := samples(t, resp)
		for _, r := range rules(t) {
			selectors, _ := asked(r.Expr)
			for _, s := range selectors {
				ours := strings.HasPrefix(s.metric, "onefold_") && !strings.HasSuffix(s.metric, "_oldest_timestamp_seconds") // absent on purpose
				if ours && !slices.ContainsFunc(series[s.metric], s.selects) {
					t.Errorf("%s asks for %v, and %s has only %v", r.Record+r.Alert, s, format, series[s.metric])
				}
			}
		}
	}
}

// samples reads the labels of every series of a scrape, by name.
func samples(t *testing.T, resp *http.Response) map[string][]map[string]string {
	t.Helper()
	defer resp.Body.Close()
	var body strings.Builder
	if err := resp.Write(&body); err != nil {
		t.Fatal(err)
	}
	out := map[string][]map[string]string{}
	for _, line := range lines(body.String()) {
		m := regexp.MustCompile(`^(onefold_\w+)(\{.*\})? `).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		labels := map[string]string{}
		for _, l := range matching.FindAllStringSubmatch(m[2], -1) {
			labels[l[1]] = l[3]
		}
		out[m[1]] = append(out[m[1]], labels)
	}
	return out
}

func (s selector) selects(labels map[string]string) bool {
	for _, m := range s.matchers {
		value, ours := labels[m.label]
		if !ours && (m.label == "job" || m.label == "instance") {
			continue // Prometheus adds them
		}
		equal := value == m.value
		if strings.HasSuffix(m.op, "~") {
			equal = regexp.MustCompile("^(?:" + m.value + ")$").MatchString(value)
		}
		if equal == strings.HasPrefix(m.op, "!") {
			return false
		}
	}
	return true
}

// Whoever is woken by an alert is told what it is, and finds a page that says what to do.
func TestAlertsLeadToARunbook(t *testing.T) {
	listed, err := os.ReadFile("../../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, a := range alerts(t) {
		row := fmt.Sprintf("\n| [%s](runbooks/%[1]s.md) | %s | %s |\n", a.Alert, a.Labels["severity"], a.Annotations["summary"])
		if !strings.Contains(string(listed), row) {
			t.Errorf("docs/deployment.md has no line %s", row)
		}
		named[a.Alert+".md"] = true
		if s := a.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: its severity is %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s does not say what it is", a.Alert)
		}
		if a.Annotations["runbook_url"] != runbookURL+a.Alert+".md" {
			t.Errorf("%s: its runbook is %s", a.Alert, a.Annotations["runbook_url"])
		}
		page, err := os.ReadFile(filepath.Join(runbooks, a.Alert+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		begin := "# " + a.Alert + "\n\n" + a.Annotations["summary"] + ". Severity: " + a.Labels["severity"] + ".\n"
		if !strings.HasPrefix(string(page), begin) {
			t.Errorf("the page of %s does not begin with\n%s", a.Alert, begin)
		}
		var headings []string
		for _, h := range regexp.MustCompile(`(?m)^## (\w+)\n\n(?:[^#\n])`).FindAllStringSubmatch(string(page), -1) {
			headings = append(headings, h[1])
		}
		if want := []string{"Meaning", "Impact", "Diagnosis", "Mitigation"}; !slices.Equal(headings, want) {
			t.Errorf("the page of %s has the headings %v with a text, and should have %v", a.Alert, headings, want)
		}
	}
	pages, err := os.ReadDir(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if !named[p.Name()] {
			t.Errorf("no alert leads to %s", p.Name())
		}
	}
}

// Each alert has a case in which it fires, and one in which it does not though series that it looks at are there. promtool runs them:
// make alerts.
func TestAlertsHaveCases(t *testing.T) {
	var file struct {
		Tests []struct {
			Name        string
			InputSeries []struct{ Series string } `yaml:"input_series"`
			Checks      []struct {
				Expr       string
				ExpSamples []any `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	readYAML(t, filepath.Join(deployment, "prometheus", "tests", "alerts_test.yml"), &file)
	series := known(t)
	records := map[string]string{}
	for _, r := range rules(t) {
		records[r.Record] = r.Expr
	}
	fires, silent, looksAt := map[string]bool{}, map[string]bool{}, map[string][]string{}
	for _, a := range alerts(t) {
		selectors, _ := asked(a.Expr)
		for i := 0; i < len(selectors); i++ {
			looksAt[a.Alert] = append(looksAt[a.Alert], selectors[i].metric)
			more, _ := asked(records[selectors[i].metric])
			selectors = append(selectors, more...)
		}
	}
	for _, c := range file.Tests {
		var given []string
		for _, s := range c.InputSeries {
			name := regexp.MustCompile(`^[\w:]+`).FindString(s.Series)
			if _, ok := series[name]; !ok {
				t.Errorf("case %q: nobody exports %s", c.Name, name)
			}
			given = append(given, name)
		}
		for _, check := range c.Checks {
			m := regexp.MustCompile(`alertname="(\w+)", alertstate="firing"`).FindStringSubmatch(check.Expr)
			switch {
			case m == nil: // of a record
			case len(check.ExpSamples) > 0:
				fires[m[1]] = true
			case slices.ContainsFunc(given, func(name string) bool { return slices.Contains(looksAt[m[1]], name) }):
				silent[m[1]] = true
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !silent[a.Alert] {
			t.Errorf("%s: a case in which it fires: %v, one in which it does not: %v", a.Alert, fires[a.Alert], silent[a.Alert])
		}
	}
}

// A dashboard fits any Grafana: it brings no ids of the one that it was made with, asks for the data source, and nothing lies over
// anything else.
func TestDashboards(t *testing.T) {
	for file, d := range dashboards(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var top map[string]any
		if err := json.Unmarshal(text, &top); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"id", "version", "iteration", "gnetId", "__inputs", "__requires"} {
			if _, has := top[key]; has {
				t.Errorf("%s: %s is of one installation", file, key)
			}
		}
		if !strings.HasPrefix(d.UID, "onefold-") {
			t.Errorf("%s: the uid %q does not say whose it is", file, d.UID)
		}
		for _, uid := range regexp.MustCompile(`"uid": "([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
			if uid[1] != "${datasource}" && uid[1] != d.UID {
				t.Errorf("%s: %s is of one installation", file, uid[1])
			}
		}
		if m := regexp.MustCompile(`https?://|\d+\.\d+\.\d+\.\d+`).Find(text); m != nil {
			t.Errorf("%s: %s is of one installation", file, m)
		}
		holdPanels(t, d.Panels)
	}
}

func holdPanels(t *testing.T, panels []panel) {
	t.Helper()
	const columns = 24 // of Grafana's grid
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range panels {
		if other, has := ids[p.ID]; has || p.ID < 1 {
			t.Errorf("%s and %s have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource == nil || p.Datasource.UID != "${datasource}") {
			t.Errorf("%s asks nothing, or not the data source that was chosen", p.Title)
		}
		g := p.GridPos
		if g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > columns {
			t.Errorf("%s lies outside: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if under, has := taken[[2]int{x, y}]; has {
					t.Fatalf("%s lies over %s", p.Title, under)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// Prometheus itself understands the queries of the panels: promtool reads them as rules.
func TestDashboardQueriesAreQueries(t *testing.T) {
	need(t, "promtool", "apt-get install prometheus")
	var all []map[string]string
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all = append(all, map[string]string{"record": fmt.Sprintf("panel:%d:%d", p.ID, len(all)), "expr": target.Expr})
			}
		}
		if len(all) == 0 {
			t.Errorf("%s has no query", file)
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", write(t, t.TempDir(), "panels.yml", string(text))).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// The files of deploy/ fit the program, and each other.
func TestDeployment(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deployment, "onefold.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, found := config.Parse("deploy/onefold.yaml", text, config.Environment{Adapters: shipped(), Targets: rest.Systems()})
	if len(found) > 0 {
		t.Fatal(found)
	}
	if _, found := loadAdapters(cfg, nil); len(found) > 0 {
		t.Error(found)
	}
	_, port, _ := strings.Cut(cfg.Admin.Listen, ":")
	for file, says := range map[string][]string{
		"Dockerfile": {
			"FROM golang:" + goVersion(t) + " AS build\n", "\nEXPOSE " + port + "\n", "\nWORKDIR " + cfg.Data + "\n", "\nUSER 65532:65532\n",
			`CMD ["run", "--config", "/etc/onefold/onefold.yaml"]`,
		},
		"compose.yaml": {
			"- onefold:" + cfg.Data + "\n", "- ./onefold.yaml:/etc/onefold/onefold.yaml:ro\n", "read_only: true", "cap_drop: [ALL]",
			"KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://" + cfg.Kafka.Brokers[0] + "\n", "- ./prometheus:/etc/prometheus:ro\n",
			"- ./grafana/provisioning:/etc/grafana/provisioning:ro\n", "- ./grafana/dashboards:/var/lib/grafana/dashboards:ro\n",
		},
		"prometheus/prometheus.yml":                        {"job_name: onefold\n", `targets: ["onefold:` + port + `"]`},
		"grafana/provisioning/dashboards/onefold.yaml":     {"path: /var/lib/grafana/dashboards"},
		"grafana/provisioning/datasources/prometheus.yaml": {`url: "http://prometheus:9090"`},
		"systemd/onefold.service": {
			"ExecStart=/usr/local/bin/onefold run --config /etc/onefold/onefold.yaml\n", fmt.Sprintf("RestartPreventExitStatus=%d\n", exitConfig),
			"StateDirectory=" + filepath.Base(cfg.Data) + "\n",
		},
	} {
		text, err := os.ReadFile(filepath.Join(deployment, file))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, s := range says {
			if !strings.Contains("\n"+string(text), s) {
				t.Errorf("deploy/%s does not say %q", file, s)
			}
		}
	}
	var compose struct {
		Services map[string]struct {
			Image   string
			Ports   []string
			Volumes []string
		}
	}
	readYAML(t, filepath.Join(deployment, "compose.yaml"), &compose)
	for _, name := range slices.Sorted(maps.Keys(compose.Services)) {
		s := compose.Services[name]
		if _, tag, ok := strings.Cut(s.Image, ":"); s.Image != "" && (!ok || tag == "latest") {
			t.Errorf("%s: the image %s may be another tomorrow", name, s.Image)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: the port %s is open to the network", name, p)
			}
		}
		for _, v := range s.Volumes {
			if local, _, _ := strings.Cut(v, ":"); strings.HasPrefix(local, ".") {
				if _, err := os.Stat(filepath.Join(deployment, local)); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// goVersion answers the version of go.mod without its patch.
func goVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(text))[1]
}

// What the pages for operators tell to type or to look at is there: commands with their flags, metrics, and files.
func TestOperatorsPages(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	series := known(t)
	for _, page := range append(pages, "../../docs/deployment.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range regexp.MustCompile(`\bonefold_[a-z_]+[a-z]\b`).FindAllString(string(text), -1) {
			if _, ok := series[name]; !ok {
				t.Errorf("%s: nobody exports %s", page, name)
			}
		}
		for _, code := range regexp.MustCompile("(?s)```[a-z]*\n.*?```|`[^`\n]+`").FindAllString(string(text), -1) {
			for _, line := range regexp.MustCompile(`(?m)(?:^|[ /`+"`"+`"$(])onefold((?: [a-z]+)+)([^\n`+"`"+`|;&]*)`).FindAllStringSubmatch(code, -1) {
				holdCommand(t, page, strings.Fields(line[1]), regexp.MustCompile(`--[a-z]+`).FindAllString(line[2], -1))
			}
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// holdCommand asks the program whether it has a command with these flags. Words behind the command are its arguments.
func holdCommand(t *testing.T, page string, words, flags []string) {
	t.Helper()
	c, rest, err := (&program{}).root().Find(words)
	if err != nil || !c.HasParent() || c.HasSubCommands() {
		t.Errorf("%s: there is no command onefold %s", page, strings.Join(words, " "))
		return
	}
	if len(rest) > 0 && strings.Count(c.Use, " ") < len(rest) {
		t.Errorf("%s: %s takes no %s", page, c.CommandPath(), strings.Join(rest, " "))
	}
	for _, f := range flags {
		name := strings.TrimPrefix(f, "--")
		if c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s: %s has no flag %s", page, c.CommandPath(), f)
		}
	}
}
