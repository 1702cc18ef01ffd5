package rest_test

import (
	"strings"
	"testing"

	"github.com/onefold/onefold/adapters/rest"
)

func TestShippedTargets(t *testing.T) {
	if len(rest.Systems()) == 0 {
		t.Fatal("no target is shipped")
	}
	for _, name := range rest.Systems() {
		folder, err := rest.Shipped(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := rest.Open(folder, name)
		if err != nil {
			t.Fatal(err)
		}
		if f.System != name || f.About == "" {
			t.Errorf("%s calls itself %q, about %q", name, f.System, f.About)
		}
		results := rest.RunCases(t.Context(), f, folder)
		if len(results) == 0 {
			t.Errorf("%s has no cases", name)
		}
		for _, r := range results {
			t.Run(name+"/"+r.Name, func(t *testing.T) {
				if len(r.Differences) > 0 {
					t.Error(strings.Join(r.Differences, "\n"))
				}
			})
		}
	}
}
