package main

import (
	"errors"
	"log/slog"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
)

// pluginConfig is what the configuration says of a source's plugin.
func pluginConfig(source string, p config.Plugin, log *slog.Logger) plugins.Config {
	if log != nil {
		log = log.With("component", "plugin")
	}
	return plugins.Config{
		Source: source, Command: p.Command, Args: p.Args, Checksum: p.Checksum, Settings: p.Settings, Log: log,
		Limits: plugins.Limits{Memory: int64(p.Memory) << 20},
	}
}

// loadPlugin makes the host of a source's plugin, and looks at the plugin's file; it does not start it.
func loadPlugin(source string, p config.Plugin, log *slog.Logger) (*plugins.Host, event.Diagnostics) {
	c := pluginConfig(source, p, log)
	if err := c.Check(); err != nil {
		d := event.Diagnostic{File: p.Command, Path: "sources." + source + ".plugin", Message: err.Error()}
		var e *event.Error
		if errors.As(err, &e) {
			d.Path, d.Message = d.Path+"."+e.Path, e.Text
		}
		return nil, event.Diagnostics{d}
	}
	return plugins.NewHost(c), nil
}
