// Package proto is the wire between Onefold and plugins, generated from adapter.proto, which also says how a plugin is started
// and what is promised. `make generate` makes it anew.
package proto
