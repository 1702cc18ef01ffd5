package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A store is filled to the number that was asked for, and what comes then is the mix that was asked for.
func TestBenchResolveHeld(t *testing.T) {
	for _, mix := range []string{"new", "update", "mixed", "town"} {
		t.Run(mix, func(t *testing.T) {
			out, errs, code := typed(t, "", "bench", "resolve", "--held", "120", "--events", "60", "--mix", mix, "-o", "json")
			if code != 0 {
				t.Fatal(code, errs)
			}
			var m struct {
				Held, Messages int
				Mix            string
				Records        int64
				Bytes          float64 `json:"store_bytes_per_record"`
			}
			if err := json.Unmarshal([]byte(out), &m); err != nil {
				t.Fatal(err, out)
			}
			if diff := cmp.Diff([]any{120, 60, mix}, []any{m.Held, m.Messages, m.Mix}); diff != "" {
				t.Fatal(diff)
			}
			least := map[string]int64{"new": 170, "mixed": 135, "update": 115, "town": 115}[mix] // some of those that come leave again
			if m.Records < least || m.Bytes <= 0 {
				t.Errorf("%d records of %.0f bytes, at least %d were to be there", m.Records, m.Bytes, least)
			}
		})
	}
	if _, errs, code := typed(t, "", "bench", "resolve", "--held", "10", "--mix", "other"); code != 2 || !strings.Contains(errs, "--mix is new") {
		t.Errorf("%d: %s", code, errs)
	}
	if _, errs, code := typed(t, "", "bench", "resolve", "--held", "9000000"); code != 2 || !strings.Contains(errs, "--held is 1 to") {
		t.Errorf("%d: %s", code, errs)
	}
}
