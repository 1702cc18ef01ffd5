package config

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"slices"
)

// SystemCA stands in kafka.tls.ca for the authorities that the operating system trusts.
const SystemCA = "system"

// Mechanisms answers the values of kafka.sasl.mechanism.
func Mechanisms() []string { return []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"} }

// Kafka says which broker is used.
type Kafka struct {
	Brokers []string `yaml:"brokers" format:"address" doc:"Addresses to start from, host:port. None: a broker is embedded."`
	Listen  string   `yaml:"listen" format:"loopback" doc:"Where the embedded broker listens. Port 0 takes a free one."`
	Rack    string   `yaml:"rack" doc:"Where this process is, as the brokers name their racks: a replica there is read."`
	TLS     TLS      `yaml:"tls" doc:"TLS to the brokers. None: plain text."`
	SASL    SASL     `yaml:"sasl" doc:"Authentication at the brokers. None: no authentication."`
}

// Embedded tells whether the process carries its own broker.
func (k Kafka) Embedded() bool { return len(k.Brokers) == 0 }

// TLS says whom we trust and who we are. It is none where CA is empty. Relative paths start at the folder of the file.
type TLS struct {
	CA         string `yaml:"ca" need:"yes" doc:"File of the authorities that are trusted, in PEM, or system for the operating system's."`
	Cert       string `yaml:"cert" doc:"File of our own certificate, in PEM, for brokers that want one."`
	Key        string `yaml:"key" doc:"File of the key of our own certificate, in PEM."`
	ServerName string `yaml:"serverName" doc:"Name that every broker's certificate must bear. None: the host of its address."`
}

// SASL says who we are. It is none where Mechanism is empty.
type SASL struct {
	Mechanism string `yaml:"mechanism" need:"yes" format:"mechanism" doc:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."`
	Username  string `yaml:"username" doc:"User, of PLAIN and SCRAM."`
	Password  Secret `yaml:"password" doc:"Password, of PLAIN and SCRAM."`
	Token     Secret `yaml:"token" doc:"Token of OAUTHBEARER that stays as it is."`
	TokenFile string `yaml:"tokenFile" doc:"File of a token of OAUTHBEARER, read again for every connection, instead of token."`
}

// Secret is a text that is never printed.
type Secret string

func (Secret) String() string { return "(secret)" }

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String, for JSON, YAML and the log.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// kafka looks at how the brokers are spoken to.
func (r *reader) kafka(k Kafka) {
	for _, section := range []struct {
		path string
		used bool
	}{{"kafka.tls", k.TLS.CA != ""}, {"kafka.sasl", k.SASL.Mechanism != ""}} {
		if section.used && k.Embedded() {
			r.at(section.path, "this is for brokers of your own, and none is named; the embedded broker has neither, only this machine reaches it",
				"name your brokers in kafka.brokers, or leave this out")
		}
	}
	if r.places["kafka.tls.ca"] != nil && !r.empty("kafka.tls.ca", k.TLS.CA) {
		r.tls(k.TLS)
	}
	if r.places["kafka.sasl.mechanism"] == nil || r.empty("kafka.sasl.mechanism", k.SASL.Mechanism) {
		return
	}
	if !slices.Contains(Mechanisms(), k.SASL.Mechanism) {
		r.at("kafka.sasl.mechanism", "there is no such mechanism", suggestion(k.SASL.Mechanism, Mechanisms()))
		return
	}
	r.sasl(k.SASL)
	if k.TLS.CA == "" && (k.SASL.Mechanism == "PLAIN" || k.SASL.Mechanism == "OAUTHBEARER") && slices.ContainsFunc(k.Brokers, remote) {
		r.at("kafka.sasl", "without kafka.tls, "+k.SASL.Mechanism+" sends the secret so that everybody on the way can read it",
			"set kafka.tls, or take SCRAM-SHA-512, which does not send it")
	}
}

// remote tells whether a broker may be on another machine.
func remote(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && !Loopback(host)
}

func (r *reader) tls(t TLS) {
	if t.CA != SystemCA {
		if pem, ok := r.pem("kafka.tls.ca", t.CA); ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			r.at("kafka.tls.ca", "there is no certificate in that file", "it is in PEM: -----BEGIN CERTIFICATE-----; or write system")
		}
	}
	switch {
	case t.Cert == "" && t.Key == "":
		return
	case t.Key == "":
		r.at("kafka.tls.cert", "a certificate is of no use without its key", "add key: the file of the certificate's key")
		return
	case t.Cert == "":
		r.at("kafka.tls.key", "a key is of no use without its certificate", "add cert: the file of the certificate")
		return
	}
	cert, found := r.pem("kafka.tls.cert", t.Cert)
	key, ok := r.pem("kafka.tls.key", t.Key)
	if !found || !ok {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		r.at("kafka.tls.cert", "this and kafka.tls.key are not a certificate and its key", "both are in PEM, the key without a passphrase")
	}
}

func (r *reader) pem(path, name string) ([]byte, bool) {
	f, err := os.Open(under(r.dir, name))
	if err != nil {
		r.at(path, "the file cannot be read: "+reason(err), "a relative path starts at the folder of this file")
		return nil, false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil || len(data) > MaxFileBytes {
		r.at(path, "the file cannot be read, or is larger than 1 MiB", "")
		return nil, false
	}
	return data, true
}

// sasl sees to it that a mechanism has what it needs and nothing that it does not look at.
func (r *reader) sasl(s SASL) {
	bearer := s.Mechanism == "OAUTHBEARER"
	for _, key := range []struct {
		name   string
		bearer bool
	}{{"username", false}, {"password", false}, {"token", true}, {"tokenFile", true}} {
		if path := "kafka.sasl." + key.name; key.bearer != bearer && r.places[path] != nil {
			r.at(path, s.Mechanism+" knows no "+key.name, "leave it out")
		}
	}
	said := func(key, text string) {
		if path := "kafka.sasl." + key; r.places[path] == nil {
			r.at(path, "this key is missing", "add it; a secret is written ${env:NAME} or ${file:path}")
		} else {
			r.empty(path, text)
		}
	}
	switch token, file := r.places["kafka.sasl.token"] != nil, r.places["kafka.sasl.tokenFile"] != nil; {
	case !bearer:
		said("username", s.Username)
		said("password", string(s.Password))
	case token && file:
		r.at("kafka.sasl.tokenFile", "this stands beside token, and only one of the two can be", "leave one of them out")
	case file:
		if !r.empty("kafka.sasl.tokenFile", s.TokenFile) {
			r.pem("kafka.sasl.tokenFile", s.TokenFile)
		}
	default:
		said("token", string(s.Token))
	}
}
