package config

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onefold/onefold/event"
)

// Patterns of names. A topic's is Kafka's own; a source's fits into metrics, ids and paths.
const (
	SourcePattern = `^[a-z0-9][a-z0-9._-]{0,62}$`
	TopicPattern  = `^[a-zA-Z0-9._-]{1,249}$`

	ChecksumPattern = `^sha256:[0-9a-f]{64}$`
)

// MaxSources is how many sources one process takes (invariant 10).
const MaxSources = 200

// check looks at what the values mean together. It goes on after a fault.
func (r *reader) check(c *Config) {
	if c.Data == "" {
		r.at("data", "the folder has no name", "leave the key out for ./data")
	}
	if c.Store.SQLite.Path == "" {
		r.at("store.sqlite.path", "the file has no name", "leave the key out for onefold.db in the data folder")
	}
	for i, broker := range c.Kafka.Brokers {
		r.address(fmt.Sprintf("kafka.brokers[%d]", i), broker)
	}
	r.kafka(c.Kafka)
	r.door(c.Webhooks)
	r.topic("topics.customers", c.Topics.Customers)
	r.console(c.Console)
	r.listeners(c)
	if s := c.Match.Survey; s != AutomaticSurvey && s != ManualSurvey {
		r.at("match.survey", "there is no such way", suggestion(s, []string{AutomaticSurvey, ManualSurvey}))
	}
	r.sources(c)
	r.targets(c)
	for _, name := range sortedKeys(c.Merge.Trust) {
		path := "merge.trust." + name
		if _, ok := c.Sources[name]; !ok {
			r.at(path, "there is no source of that name", suggestion(name, c.SourceNames()))
		}
		if t := c.Merge.Trust[name]; t < 0 || t > 100 {
			r.at(path, "trust is a whole number from 0 to 100", "")
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (r *reader) sources(c *Config) {
	if len(c.Sources) > MaxSources {
		r.at("sources", fmt.Sprintf("%d sources are over the limit of %d", len(c.Sources), MaxSources), "divide them among several processes")
	}
	by := map[string]string{c.Topics.Customers: ""}
	for _, name := range c.SourceNames() {
		s, path := c.Sources[name], "sources."+name
		if !regexp.MustCompile(SourcePattern).MatchString(name) {
			r.at(path, "a source's name has small letters, digits, and . _ - after the first", "it is at most 63 characters long: shop-eu")
		}
		if r.places[path+".plugin"] != nil {
			r.plugin(path+".plugin", s.Plugin)
		} else if !r.empty(path+".adapter", s.Adapter) {
			r.adapter(path+".adapter", s)
		}
		if r.places[path+".webhook"] != nil {
			r.webhook(path+".webhook", s.Webhook, c.Webhooks)
		}
		if r.empty(path+".topic", s.Topic) {
			continue
		}
		r.topic(path+".topic", s.Topic)
		if other, taken := by[s.Topic]; taken && other == "" {
			r.at(path+".topic", "this is the topic of customers, which Onefold writes itself", "let the source have a topic of its own")
		} else if taken {
			r.at(path+".topic", "the source "+other+" reads this topic already", "give each source a topic of its own")
		}
		by[s.Topic] = name
	}
}

// empty tells that a needed text is not there; where it was given so, that is a fault of its own.
func (r *reader) empty(path, text string) bool {
	if text == "" && !r.told(path) {
		r.at(path, "there is nothing in this text", "")
	}
	return text == ""
}

// told tells whether something was said about a path already.
func (r *reader) told(path string) bool {
	return slices.ContainsFunc(r.found, func(d event.Diagnostic) bool { return d.Path == path })
}

func (r *reader) adapter(path string, s Source) {
	if !s.Folder() {
		if !slices.Contains(r.env.Adapters, s.Adapter) {
			r.at(path, "there is no shipped adapter of that name",
				suggestion(s.Adapter, r.env.Adapters)+"; a mapping of your own is named by its folder: ./mappings/erp")
		}
		return
	}
	if _, err := os.Stat(filepath.Join(under(r.dir, s.Adapter), "mapping.yaml")); err != nil {
		r.at(path, "there is no mapping.yaml in that folder", "a relative path starts at the folder of this file")
	}
}

// plugin looks at the file only so far as to say that it is there; whether it is the one that was pinned is looked at where it
// is run.
func (r *reader) plugin(path string, p Plugin) {
	if !r.empty(path+".checksum", p.Checksum) && !regexp.MustCompile(ChecksumPattern).MatchString(p.Checksum) {
		r.at(path+".checksum", "this is not a checksum", "write sha256: and 64 hexadecimal digits: onefold plugin verify prints it for the file")
	}
	if r.empty(path+".command", p.Command) {
		return
	}
	if info, err := os.Stat(under(r.dir, p.Command)); err != nil || info.IsDir() {
		r.at(path+".command", "there is no such file", "a relative path starts at the folder of this file")
	}
}

func (r *reader) topic(path, name string) {
	if !regexp.MustCompile(TopicPattern).MatchString(name) || name == "." || name == ".." {
		r.at(path, "this is not a topic's name", "Kafka allows letters, digits, and . _ - in it, at most 249 of them")
	}
}

// listeners checks the addresses that the process may listen on.
func (r *reader) listeners(c *Config) {
	by := map[string]string{}
	for _, l := range []struct {
		path, address, remedy string
		loopback, used        bool
	}{
		{"kafka.listen", c.Kafka.Listen, "for other machines, run a broker of your own and name it in kafka.brokers", true, c.Kafka.Embedded()},
		{"console.listen", c.Console.Listen, "", false, true},
		{"admin.listen", c.Admin.Listen, "", false, true},
		{"webhooks.listen", c.Webhooks.Listen, "", false, c.Door()},
	} {
		host, port, ok := r.address(l.path, l.address)
		if !ok {
			continue
		}
		if l.loopback && !Loopback(host) {
			r.at(l.path, "this address can be reached from other machines, and nothing here asks who calls", "use 127.0.0.1; "+l.remedy)
		}
		if l.path == "console.listen" && !Loopback(host) {
			r.far(c.Console)
		}
		if other := by[port]; other != "" && l.used && port != "0" {
			r.at(l.path, "port "+port+" is that of "+other, "give each a port of its own")
		}
		if l.used {
			by[port] = l.path
		}
	}
}

// Loopback tells whether a host can be reached from this machine only.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (r *reader) address(path, address string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		r.at(path, "this is not an address", "write host:port, such as 127.0.0.1:9092")
		return "", "", false
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		r.at(path, "the port is not a number from 0 to 65535", "write host:port, such as 127.0.0.1:9092")
		return "", "", false
	}
	return host, port, true
}
