// Command bankfeed is an adapter that lives in a process of its own: it maps the nightly feed of an old core banking system,
// lines of fields with bars between them. docs/plugins.md has the line that puts it into a configuration.
package main

import (
	"github.com/onefold/onefold/plugins"
	"github.com/onefold/onefold/plugins/examples/bankfeed/feed"
)

func main() { plugins.Serve(feed.Feed{}) }
