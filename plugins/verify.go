package plugins

import (
	"context"
	"time"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins/proto"
)

// About is what a plugin says of itself.
type About struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Domain   string   `json:"domain"`
	Events   []string `json:"events"`
	Features []string `json:"features"`
	Protocol int      `json:"protocol"` // the version that both sides speak
	Checksum string   `json:"checksum"` // of its file
}

// Verify starts a plugin, has it describe and configure itself, asks for its health and ends it again. The error says at which
// of these it fails.
func Verify(ctx context.Context, c Config) (*About, error) {
	c.Limits = c.Limits.withDefaults()
	p, err := start(ctx, c)
	if err != nil {
		return nil, err
	}
	defer p.end()
	healthy, cancel := context.WithTimeout(ctx, c.Limits.Health)
	defer cancel()
	if _, err := p.rpc.Health(healthy, &proto.HealthRequest{}); err != nil {
		return nil, p.failed(healthy, "it does not answer Health", err)
	}
	draining, cancel := context.WithTimeout(ctx, drainGrace)
	defer cancel()
	if _, err := p.rpc.Drain(draining, &proto.DrainRequest{}); err != nil {
		return nil, p.failed(draining, "it does not answer Drain", err)
	}
	p.child.ask()
	last := time.NewTimer(drainGrace)
	defer last.Stop()
	select {
	case <-p.child.exited:
	case <-last.C:
		return nil, event.Errorf(event.Permanent, "plugin", "",
			"it does not end within %s of the end of its standard input and SIGTERM", drainGrace)
	}
	return &About{
		Name: p.about.GetName(), Version: p.about.GetVersion(), Domain: p.about.GetDomain(), Events: p.about.GetEvents(),
		Features: p.about.GetFeatures(), Protocol: p.client.NegotiatedVersion(), Checksum: c.Checksum,
	}, nil
}
