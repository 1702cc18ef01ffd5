package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/onefold/onefold/console"
)

// A source is paused and let go on while the service runs: what comes meanwhile waits, is told, and takes effect afterwards, and a restart
// between the two changes nothing.
func TestPausedSourceWaits(t *testing.T) {
	dir := t.TempDir()
	file := configured(t, dir, shopOnly)
	in := serve(t, file)
	sources := func(in *installation) (out []console.SourceStatus) {
		t.Helper()
		if err := json.Unmarshal([]byte(in.ask(t, "source", "list", "-o", "json")), &out); err != nil || len(out) != 1 {
			t.Fatal(out, err)
		}
		return out
	}
	produce(t, in.Broker, ana(1, "ana@example.com"))
	eventually(t, 20*time.Second, "the first message has taken effect", func() bool {
		s := sources(in)[0]
		return s.Outcomes.Applied == 1 && s.Lag == 0 && s.State == console.SourceRunning && s.Paused == nil
	})
	if out := in.ask(t, "source", "pause", "shop-eu"); !strings.Contains(out, "shop-eu is paused since 20") || !strings.Contains(out, "0 messages wait") {
		t.Error(out)
	}
	produce(t, in.Broker, ana(2, "bea@example.com"), ana(3, "cid@example.com"))
	waiting := func(in *installation) func() bool {
		return func() bool {
			s := sources(in)[0]
			return s.Lag == 2 && s.State == console.SourcePaused && s.Paused != nil
		}
	}
	eventually(t, 30*time.Second, "two messages wait", waiting(in))
	if _, body := fetch(t, in.Admin+"/metrics"); !strings.Contains(body, `onefold_kafka_paused_partitions{source="shop-eu"} 4`) {
		t.Error("the metric does not say it")
	}
	if code, body := fetch(t, in.Admin+"/readyz?verbose"); code != 200 {
		t.Error("a pause is no fault:", body)
	}
	in.end()

	in = serve(t, file)
	eventually(t, 30*time.Second, "two messages wait after a restart", waiting(in))
	if s := sources(in)[0]; s.Received != 0 {
		t.Error("something was read:", s)
	}
	if out := in.ask(t, "source", "lag", "shop-eu", "-o", "csv"); !strings.HasPrefix(out, "source,partition,next,end,lag,behind,halted,what to do\nshop-eu,0,") {
		t.Error(out)
	}
	if out := in.ask(t, "source", "resume", "shop-eu"); !strings.Contains(out, "shop-eu is running") {
		t.Error(out)
	}
	eventually(t, 30*time.Second, "both have taken effect", func() bool { s := sources(in)[0]; return s.Outcomes.Applied == 2 && s.Lag == 0 })
	for _, args := range [][]string{{"source", "pause", "shop"}, {"source", "resume", "ana@example.com"}, {"source", "lag", "shop"}} {
		if _, errs, code := typed(t, "", append(args, "--server", in.API)...); code == 0 || strings.Contains(errs, "internal") {
			t.Error(args, code, errs)
		}
	}
	if strings.Contains(in.logged.String(), "ana@example.com") {
		t.Error("what was typed is in the log")
	}
}
