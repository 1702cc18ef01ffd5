package console_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/onefold/onefold/console"
)

func admin(state console.State, profiles bool) http.Handler {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "onefold_things_total", Help: "Things."})
	reg.MustRegister(c)
	return console.NewAdmin(console.AdminConfig{Metrics: reg, Profiles: profiles, Ready: func(context.Context) console.Readiness {
		return console.Readiness{State: state, Checks: []console.Check{{Name: "broker", OK: state == console.Ready, Detail: "trying again"}}}
	}})
}

func TestAdmin(t *testing.T) {
	for _, c := range []struct {
		state    console.State
		profiles bool
		path     string
		status   int
		says     string
	}{
		{console.Ready, false, "/livez", 200, "ok"},
		{console.Draining, false, "/livez", 200, "ok"},
		{console.Ready, false, "/readyz", 200, "ready"},
		{console.Starting, false, "/readyz", 503, "starting"},
		{console.Draining, false, "/readyz", 503, "draining"},
		{console.Degraded, false, "/readyz?verbose", 503, "trying again"},
		{console.Ready, false, "/metrics", 200, "onefold_things_total 0"},
		{console.Ready, false, "/debug/pprof/", 404, ""},
		{console.Ready, true, "/debug/pprof/", 200, "goroutine"},
		{console.Ready, true, "/debug/pprof/goroutine?debug=1", 200, "goroutine"},
	} {
		w := httptest.NewRecorder()
		admin(c.state, c.profiles).ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s: %d %s", c.state, c.path, w.Code, w.Body)
		}
	}
}

func TestServeEndsCleanly(t *testing.T) {
	defer goleak.VerifyNone(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		time.Sleep(50 * time.Millisecond)
		_, _ = w.Write([]byte("whole"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- console.Serve(ctx, ln, slow, slog.New(slog.DiscardHandler)) }()
	answered := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + ln.Addr().String())
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	cancel()
	if err := <-answered; err != nil {
		t.Error("a request under way was cut off:", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
