// Package config reads the one file that says what an installation of Onefold is: YAML in, a typed Config out, and where
// that fails, diagnostics that say file, line, what is wrong and how to mend it. The file is the truth; nothing writes it.
package config

import (
	"path/filepath"
	"slices"
	"time"
)

// Config is what one installation is. Every default runs: an empty file is a whole configuration with no source in it.
type Config struct {
	Data      string            `yaml:"data" doc:"Folder of the embedded broker and store. A relative path starts at the folder of this file."`
	Kafka     Kafka             `yaml:"kafka" doc:"The broker that carries the sources' topics and the topic of customers."`
	Store     Store             `yaml:"store" doc:"Where records and customers rest."`
	Sources   map[string]Source `yaml:"sources" name:"source" doc:"The configured instances of outside systems that feed us, by name."`
	Targets   map[string]Target `yaml:"targets" name:"source" doc:"The outside systems that customers are written to, by name."`
	Webhooks  Webhooks          `yaml:"webhooks" doc:"The door for systems that send webhooks."`
	Topics    Topics            `yaml:"topics" doc:"Topics that Onefold writes."`
	Merge     Merge             `yaml:"merge" doc:"Which value survives where sources disagree."`
	Match     Match             `yaml:"match" doc:"Which records are the same party."`
	Retention Retention         `yaml:"retention" doc:"How long things are kept."`
	Console   Console           `yaml:"console" doc:"The API."`
	Admin     Admin             `yaml:"admin" doc:"Health, readiness, metrics and profiles."`
}

// Store says where things rest.
type Store struct {
	SQLite SQLite `yaml:"sqlite" doc:"The embedded store."`
}

// SQLite says where the embedded store's file is.
type SQLite struct {
	Path string `yaml:"path" doc:"File of the store. A relative path starts at the data folder."`
}

// Source is one configured instance of an outside system.
type Source struct {
	Adapter string  `yaml:"adapter" need:"one" doc:"The name of a shipped adapter, or the path of a folder with a mapping.yaml."`
	Plugin  Plugin  `yaml:"plugin" need:"one" doc:"An adapter in a process of its own, instead of adapter."`
	Topic   string  `yaml:"topic" need:"yes" format:"topic" doc:"The Kafka topic that the system's messages arrive on."`
	Webhook Webhook `yaml:"webhook" doc:"How the system proves who it is where it sends webhooks. None: its messages come by Kafka only."`
}

// Plugin is an adapter in a process of its own. It is none where Command is empty.
type Plugin struct {
	Command  string            `yaml:"command" need:"yes" doc:"The file that is run. A relative path starts at the folder of this file."`
	Args     []string          `yaml:"args" doc:"Arguments of the command."`
	Checksum string            `yaml:"checksum" need:"yes" format:"checksum" doc:"What onefold plugin verify prints for the file."`
	Settings map[string]string `yaml:"settings" doc:"What the adapter is told, by name."`
	Memory   int               `yaml:"memory" doc:"Most memory that the process may use, in MiB. None: 512."`
}

// Topics names what Onefold writes.
type Topics struct {
	Customers string `yaml:"customers" format:"topic" doc:"Compacted topic of customers, keyed by customer id."`
}

// Merge is the policy of survivorship.
type Merge struct {
	Trust map[string]int `yaml:"trust" name:"source" max:"100" doc:"How far each source is trusted, 0 to 100; 50 if not named."`
}

// Match is the policy of identity.
type Match struct {
	Survey string `yaml:"survey" format:"survey" doc:"When records are counted anew for the statistics of the model: automatic or manual."`
}

// When a survey comes.
const (
	AutomaticSurvey = "automatic" // at 500 records, and when there are four times as many as at the last
	ManualSurvey    = "manual"    // when it is asked for
)

// Retention says how long things are kept.
type Retention struct {
	DeadLetters time.Duration `yaml:"deadLetters" doc:"How long a dead letter is kept, in hours (h), minutes or seconds; 0 is for ever."`
}

// Admin says where health and metrics are.
type Admin struct {
	Listen string `yaml:"listen" format:"listen" doc:"Where /livez, /readyz, /metrics and, on loopback, profiles are."`
}

// DefaultTrust is the trust in a source that the file does not name.
const DefaultTrust = 50

// Default answers the configuration of an empty file that lies in dir.
func Default(dir string) *Config {
	c := raw()
	c.settle(dir)
	return c
}

// raw is the defaults as the file would spell them.
func raw() *Config {
	return &Config{
		Data:      "./data",
		Kafka:     Kafka{Listen: "127.0.0.1:9092"},
		Store:     Store{SQLite: SQLite{Path: "onefold.db"}},
		Retention: Retention{DeadLetters: 720 * time.Hour},
		Topics:    Topics{Customers: "onefold.customers"},
		Webhooks:  Webhooks{Listen: "127.0.0.1:8081"},
		Match:     Match{Survey: AutomaticSurvey},
		Console:   Console{Listen: "127.0.0.1:8080"},
		Admin:     Admin{Listen: "127.0.0.1:9100"},
	}
}

// settle makes paths start where they are meant to.
func (c *Config) settle(dir string) {
	c.Data = under(dir, c.Data)
	c.Store.SQLite.Path = under(c.Data, c.Store.SQLite.Path)
	for _, path := range []*string{
		&c.Kafka.TLS.CA, &c.Kafka.TLS.Cert, &c.Kafka.TLS.Key, &c.Kafka.SASL.TokenFile, &c.Webhooks.TLS.Cert, &c.Webhooks.TLS.Key,
		&c.Console.TLS.Cert, &c.Console.TLS.Key,
	} {
		if *path != "" && (path != &c.Kafka.TLS.CA || *path != SystemCA) {
			*path = under(dir, *path)
		}
	}
	for name, t := range c.Targets {
		c.Targets[name] = t.settle(name, dir)
	}
	for name, s := range c.Sources {
		if s.Folder() {
			s.Adapter = folder(under(dir, s.Adapter))
		}
		if s.Plugin.Command != "" {
			s.Plugin.Command = folder(under(dir, s.Plugin.Command))
		}
		c.Sources[name] = s
	}
}

// folder writes a path so that nobody takes it for a name: of a shipped mapping, or of a program that is looked for.
func folder(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return "." + string(filepath.Separator) + path
}

func under(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// Folder tells whether the adapter is named by a path, not by the name of a shipped one.
func (s Source) Folder() bool {
	return slices.ContainsFunc([]rune(s.Adapter), func(r rune) bool { return r == '/' || r == filepath.Separator || r == '.' })
}

// SourceNames answers the names of the sources in order.
func (c *Config) SourceNames() []string {
	names := make([]string, 0, len(c.Sources))
	for name := range c.Sources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
