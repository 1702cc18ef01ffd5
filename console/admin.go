package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig is what the admin handler stands on.
type AdminConfig struct {
	Ready    func(context.Context) Readiness
	Metrics  prometheus.Gatherer
	Profiles bool // serve /debug/pprof: for a listener that only this machine reaches
}

// Readiness tells whether the process should be given work, and what speaks against it.
type Readiness struct {
	State  State   `json:"state"`
	Checks []Check `json:"checks"`
}

// Check is one thing that the process needs.
type Check struct {
	Name   string `json:"name"` // store broker source/shop-eu
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what is wrong and what is being done about it; of what is OK, what was given up
}

// readyPatience bounds how long readiness may be asked for.
const readyPatience = 2 * time.Second

// NewAdmin returns the handler of the admin listener. /livez asks nothing of anybody: a store or a broker that is away is no
// reason to be killed. /readyz is 503 unless everything that is needed is there; ?verbose says what is not.
func NewAdmin(c AdminConfig) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", c.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4}))
	if c.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func (c AdminConfig) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyPatience)
	defer cancel()
	ready := c.Ready(ctx)
	status := http.StatusOK
	if ready.State != Ready {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if !r.URL.Query().Has("verbose") {
		w.WriteHeader(status)
		fmt.Fprintln(w, ready.State)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(ready) // a reader that has gone away is nobody's error
}
