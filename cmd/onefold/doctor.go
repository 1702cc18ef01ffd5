package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/store/sqlite"
)

// Checkup is one thing that was looked at.
type Checkup struct {
	Check  string `json:"check"`
	About  string `json:"about,omitempty"` // which topic, file or broker
	State  string `json:"state"`           // ok, finding or skipped
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// What a checkup came to.
const (
	healthy = "ok"
	wrong   = "finding"
	skipped = "skipped"
)

// Bounds from which on something is a finding.
const (
	leastFree      = 1 << 30             // bytes on the disk of the data folder
	leastShare     = 20                  // one part in so many of it
	shortRetention = 24 * time.Hour      // of a source's topic: what waits longer is lost
	aheadOfUs      = 5 * time.Minute     // of a record's time before our clock
	expiring       = 14 * 24 * time.Hour // a certificate's end
	manyBrokers    = 3                   // from so many on a topic of one replica is a choice that nobody made
	sampled        = 50                  // records of a partition whose keys are looked at
	samplePatience = 10 * time.Second
)

func (p *program) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Args: cobra.NoArgs,
		Short: "Look at what is around an installation: disk, store, brokers, topics, keys, clock, certificates; each finding with its remedy",
		Long: "Look at what is around an installation: disk, store, brokers, topics, keys, clock, certificates. It changes nothing,\n" +
			"and may run while the service does. The configuration is read first: what is wrong in it is told as onefold validate does.\n\n" +
			"It ends with 4 where it found something.",
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		if _, found := loadAdapters(cfg, slog.New(slog.DiscardHandler)); len(found) > 0 {
			return found
		}
		if !c.Flags().Changed("server") { // whoever names none means the service of this configuration, and no other one
			p.server = served(cfg, p.server)
		}
		d := &doctor{program: p, config: cfg}
		d.examine(c.Context())
		l := listing{columns: []string{"check", "about", "state", "detail", "remedy"}, items: d.all}
		found := 0
		for _, k := range d.all {
			l.rows = append(l.rows, []string{k.Check, k.About, k.State, k.Detail, k.Remedy})
			if k.State == wrong {
				found++
			}
		}
		if err := p.list(l); err != nil || found == 0 {
			return err
		}
		return &findings{text: many(found, "finding")}
	}
	return c
}

// doctor looks at one installation.
type doctor struct {
	*program
	config  *config.Config
	running bool
	all     []Checkup
}

// served is where the service of a configuration is asked from this machine; the default where its port is not known before it starts.
func served(cfg *config.Config, otherwise string) string {
	host, port, err := net.SplitHostPort(cfg.Console.Listen)
	if err != nil || port == "0" {
		return otherwise
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	at := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	if cfg.Console.TLS.Cert != "" {
		at.Scheme = "https"
	}
	return at.String()
}

func (d *doctor) say(check, about, state, detail, remedy string) {
	d.all = append(d.all, Checkup{Check: check, About: about, State: state, Detail: detail, Remedy: remedy})
}

func (d *doctor) fine(check, about, format string, args ...any) {
	d.say(check, about, healthy, fmt.Sprintf(format, args...), "")
}

func (d *doctor) examine(ctx context.Context) {
	d.disk()
	d.service(ctx)
	d.rest(ctx)
	d.certificates()
	d.brokers(ctx)
}

// disk looks at the data folder.
func (d *doctor) disk() {
	dir := d.config.Data
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.say("disk", dir, skipped, "the folder is not there yet: the service makes it", "")
		return
	case err != nil || !info.IsDir():
		d.say("disk", dir, wrong, "this is no folder that can be read", "set data to a folder of this user's, or mend its permissions")
		return
	case info.Mode().Perm()&0o077 != 0:
		d.say("disk", dir, wrong, "other users of this machine may look into the folder, and it holds personal data", "chmod 700 "+dir)
	}
	free, capacity := diskSpace(dir)
	switch {
	case capacity == 0:
		d.say("disk", dir, skipped, "this system does not tell how much is free", "")
	case free < leastFree || free < capacity/leastShare:
		d.say("disk", dir, wrong, fmt.Sprintf("%d MiB of %d are free", free>>20, capacity>>20), "make room, or move data to a larger disk")
	default:
		d.fine("disk", dir, "%d MiB of %d are free", free>>20, capacity>>20)
	}
}

// service asks the running service how it is; whether there is one decides how the rest is looked at.
func (d *doctor) service(ctx context.Context) {
	var s console.Status
	if err := d.ask(ctx, http.MethodGet, "/status", url.Values{}, nil, &s); err != nil {
		var api *console.Problem
		if d.running = errors.As(err, &api); d.running {
			d.say("service", d.server, skipped, "it answers, and tells us nothing: "+api.Message, api.Hint)
			return
		}
		var untrusted *tls.CertificateVerificationError
		if d.running = errors.As(err, &untrusted); d.running {
			d.say("service", d.server, skipped, "it answers, but its certificate is not trusted here: "+untrusted.Err.Error(),
				"name its authority with --ca, and the service with --server")
			return
		}
		d.say("service", d.server, skipped, "nothing answers there, so what only a running service knows is left out", "")
		return
	}
	d.running = true
	for _, reason := range s.Reasons {
		d.say("service", d.server, wrong, reason, "onefold source list, and the log, tell more")
	}
	if len(s.Reasons) == 0 {
		d.fine("service", d.server, "version %s is %s", s.Version, s.State)
	}
}

// rest looks at the store, as far as nobody else has it.
func (d *doctor) rest(ctx context.Context) {
	path := d.config.Store.SQLite.Path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		d.say("store", path, skipped, "there is no store yet: the service makes it", "")
		return
	}
	if d.running {
		d.say("store", path, skipped, "the service has it open; what is wrong with it stands under service", "")
		return
	}
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		d.say("store", path, wrong, err.Error(), "stop what holds it, or restore a backup")
		return
	}
	counts, err := store.Counts(ctx)
	if err = errors.Join(err, store.Close()); err != nil {
		d.say("store", path, wrong, err.Error(), "restore a backup: docs/deployment.md")
		return
	}
	d.fine("store", path, "%d records, %d customers, %d dead letters", counts.Records, counts.Customers, counts.DeadLetters)
}

// certificates looks at when those of ours end.
func (d *doctor) certificates() {
	for key, file := range map[string]string{
		"kafka.tls.cert": d.config.Kafka.TLS.Cert, "webhooks.tls.cert": d.config.Webhooks.TLS.Cert, "console.tls.cert": d.config.Console.TLS.Cert,
	} {
		if file == "" {
			continue
		}
		until, err := notAfter(file)
		left := until.Sub(d.now())
		switch {
		case err != nil:
			d.say("certificate", key, wrong, err.Error(), "put a certificate in PEM there")
		case left < expiring:
			d.say("certificate", key, wrong, "it ends on "+until.UTC().Format(time.DateOnly),
				"renew it: the file is read anew, no restart is needed")
		default:
			d.fine("certificate", key, "it ends on %s", until.UTC().Format(time.DateOnly))
		}
	}
}

func notAfter(file string) (time.Time, error) {
	f, err := os.Open(file)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, config.MaxFileBytes))
	if err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}, fmt.Errorf("%s holds no certificate in PEM", filepath.Base(file))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return cert.NotAfter, nil
}

// brokers looks at the cluster and at every topic that we read or write.
func (d *doctor) brokers(ctx context.Context) {
	at := d.config.Kafka.Brokers
	if d.config.Kafka.Embedded() {
		if !d.running {
			d.say("broker", "embedded", skipped, "it runs with the service, and that does not", "start the service, and look again")
			return
		}
		at = []string{d.config.Kafka.Listen}
	}
	client, err := kafka.NewClient(kafka.Config{Brokers: at, Security: secure(d.config.Kafka)})
	if err != nil {
		d.say("broker", fmt.Sprint(at), wrong, err.Error(), "mend kafka.brokers")
		return
	}
	defer client.Close()
	if err := client.Check(ctx); err != nil {
		d.say("broker", fmt.Sprint(at), wrong, err.Error(), "")
		return
	}
	topics := []string{d.config.Topics.Customers}
	for _, name := range d.config.SourceNames() {
		topics = append(topics, d.config.Sources[name].Topic)
	}
	brokers, infos, err := client.Inspect(ctx, topics, []string{"cleanup.policy", "retention.ms", "min.insync.replicas", "max.message.bytes"})
	if err != nil {
		d.say("broker", fmt.Sprint(at), wrong, err.Error(), "")
		return
	}
	d.fine("broker", fmt.Sprint(at), "each of %s answers, and speaks what we need", many(brokers, "broker"))
	for _, t := range infos {
		d.topic(ctx, client, t, brokers)
	}
}

// number reads a setting of a topic.
func number(t kafka.TopicInfo, name string) (int64, bool) {
	n, err := strconv.ParseInt(t.Config[name], 10, 64)
	return n, err == nil
}
