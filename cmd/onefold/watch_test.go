package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/pipeline"
)

func TestReadiness(t *testing.T) {
	var h health
	is := func(want console.State) {
		t.Helper()
		if got := h.readiness(t.Context()).State; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	is(console.Starting)
	h.checks = []console.Check{{Name: "store", OK: true}}
	h.ready()
	is(console.Ready)
	h.checks = append(h.checks, console.Check{Name: "broker"})
	is(console.Degraded)
	h.drain()
	is(console.Draining)
	if _, ok := h.held(); ok {
		t.Error("what was never counted is known")
	}
}

// A rate is kept to the tenth of a second, and none is no wait at all.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for rate, want := range map[int]time.Duration{0: 0, 1000: time.Second, 10: 100 * time.Second} {
			p, begin := newPace(rate), time.Now()
			for range 1000 {
				if err := p.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begin); took != want {
				t.Errorf("1,000 at %d a second took %s", rate, took)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if newPace(1).wait(ctx) == nil {
			t.Error("an interrupt is not heard")
		}
	})
}

func TestProgress(t *testing.T) {
	at := time.Unix(0, 0)
	totals := pipeline.Totals{Received: 10, Applied: 7}
	counts := customer.Counts{Records: 6, Customers: 4, DeadLetters: 1}
	for live, want := range map[bool]string{
		true: "\revents 7  customers 4  matches 2  contacts 3  lag 13  dead letters 1" +
			"\revents 8  customers 4  matches 2  contacts 3  lag 12  dead letters 1\n",
		// where no line can be drawn over itself, there is a new one only now and then
		false: "events 8  customers 4  matches 2  contacts 3  lag 12  dead letters 1\n",
	} {
		var out bytes.Buffer
		p := &progress{out: &out, live: live, now: func() time.Time { return at }, last: at}
		p.show(20, totals, counts, 3)
		at = at.Add(progressPlain)
		more := totals
		more.Applied++
		p.show(20, more, counts, 3)
		p.end()
		if out.String() != want {
			t.Errorf("%q", out.String())
		}
	}
}

// A service that ended has left nothing running.
func TestNothingIsLeftRunning(t *testing.T) {
	http.DefaultClient.CloseIdleConnections()
	before := goleak.IgnoreCurrent()
	in := serve(t, configured(t, t.TempDir(), shopOnly))
	produce(t, in.Broker, ana(1, "ana@example.com"))
	eventually(t, 20*time.Second, "the customer is found", func() bool { return len(in.find(t, "ana@example.com")) == 1 })
	in.end()
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before)
	if !strings.Contains(in.logged.String(), `"ended"`) {
		t.Error(in.logged)
	}
}
