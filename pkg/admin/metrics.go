package admin

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/stats"
)

// newMetricsHandler serves the metrics of v and of the Go runtime from a registry of its own. client_golang's process
// collector is left out: it walks /proc/self/fd at every scrape.
func newMetricsHandler(v View) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{view: v}, collectors.NewGoCollector())
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 2, EnableOpenMetrics: true})
}

// scrape answers at most two at a time (503 beyond): with 1,000 backends there are 25,000 series to a scrape.
func (s *Server) scrape(_ request, w http.ResponseWriter, r *http.Request) *problem {
	s.metrics.ServeHTTP(w, r)
	return nil
}

// collector turns one look at the balancer into metrics. Series of one frontend come from one snapshot of it, so that
// accepted = active + ended in every scrape.
type collector struct{ view View }

// Describe lists every metric, whether there is something to count or not.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		out <- d
	}
}

// Collect is called for each scrape.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	e := emitter(out)
	for _, f := range c.view.Frontends() {
		e.frontend(&f)
	}
	for _, p := range c.view.Pools() {
		e.pool(&p)
	}
	st := c.view.Status()
	e.process(&st)
	e.workers(c.view.Workers())
	e.host(c.view.Host())
}

// emitter sends metrics to a scrape.
type emitter chan<- prometheus.Metric

func (e emitter) count(d *prometheus.Desc, n uint64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

// seconds is count for time.
func (e emitter) seconds(d *prometheus.Desc, s float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, s, labels...)
}

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) flag(d *prometheus.Desc, on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	e.gauge(d, v, labels...)
}

// histogram sends h: ours counts each bucket by itself, Prometheus everything up to a bound.
func (e emitter) histogram(d *prometheus.Desc, h balancer.Histogram, labels ...string) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var below uint64
	for i, n := range h.Counts {
		below += n
		if i < len(h.Bounds) {
			buckets[h.Bounds[i]] = below
		}
	}
	e <- prometheus.MustNewConstHistogram(d, below, h.Sum, buckets, labels...)
}

// frontend sends every reason, those at 0 too: a rate over a series that is not there yet has no value.
func (e emitter) frontend(f *balancer.FrontendStatus) {
	e.count(sessionsAccepted, f.Accepted, f.Name)
	e.gauge(sessionsActive, float64(f.Active), f.Name)
	for r := range stats.NumRefusals {
		e.count(sessionsRefused, f.Refused[r.String()], f.Name, r.String())
	}
	for r := stats.None + 1; r < stats.NumReasons; r++ {
		e.count(sessionsEnded, f.Ended[r.String()], f.Name, r.String())
	}
	for _, r := range shedReasons {
		e.count(sessionsShed, f.Ended[r.String()], f.Name, r.String())
	}
	e.histogram(sessionDuration, f.Duration, f.Name)
	e.count(bytesTotal, f.ToBackend, f.Name, toBackend)
	e.count(bytesTotal, f.ToClient, f.Name, toClient)
	e.count(sessionsZeroByte, f.ZeroByte, f.Name)
	e.count(listenDrops, f.ListenDrops, f.Name)
	e.gauge(acceptQueue, float64(f.AcceptQueue), f.Name)
}

// pool sends a pool and its backends, those removed but not yet forgotten too: no counter may vanish in use.
func (e emitter) pool(p *balancer.PoolStatus) {
	e.histogram(connectDuration, p.Connect, p.Name)
	e.count(connectRetries, p.Retries, p.Name)
	e.gauge(sessionsConnecting, float64(p.Connecting), p.Name)
	e.flag(poolPanic, p.Panic, p.Name)
	for i := range p.Backends {
		e.backend(p.Name, &p.Backends[i])
	}
}

func (e emitter) backend(pool string, b *balancer.BackendStatus) {
	e.gauge(backendSessionsActive, float64(b.Sessions), pool, b.Name)
	for c := range stats.NumCauses {
		e.count(backendSessionsEnded, b.Ended[c.String()], pool, b.Name, c.String())
	}
	e.count(backendBytes, b.ToBackend, pool, b.Name, toBackend)
	e.count(backendBytes, b.ToClient, pool, b.Name, toClient)
	for f := range stats.NumConnectFailures {
		e.count(connectFailures, b.Failures[f.String()], pool, b.Name, f.String())
	}
	e.flag(backendHealthy, b.State == stateHealthy, pool, b.Name)
	for _, s := range states {
		e.flag(backendState, b.State == s, pool, b.Name, s)
	}
	e.gauge(backendWeight, float64(b.Weight), pool, b.Name)
	if p := b.Ports; p != nil {
		e.gauge(portsUsed, float64(p.Used), pool, b.Name)
		e.gauge(portsLimit, float64(p.Limit), pool, b.Name)
		e.gauge(portsResting, float64(p.Resting), pool, b.Name)
	}
	for _, r := range checkResults {
		e.count(healthChecks, b.Checks[r], pool, b.Name, r)
	}
}

// process sends what there is once.
func (e emitter) process(st *balancer.Status) {
	e.gauge(sessionsLimit, float64(st.Sessions.Limit))
	e.gauge(fdsOpen, float64(st.FDs.Held))
	e.gauge(fdsLimit, float64(st.FDs.Limit))
	e.gauge(pipesOpen, float64(st.Pipes.Used), "used")
	e.gauge(pipesOpen, float64(st.Pipes.Idle), "idle")
	e.gauge(pipesLimit, float64(st.Pipes.Limit))
	e.count(pipeDegraded, st.Pipes.Degraded)
	e.count(steered, st.Steering.ByCPU, "cpu")
	e.count(steered, st.Steering.LeastLoaded, "least_loaded")
	e.count(steered, st.Steering.ByKernel, "kernel")
	e.gauge(buildInfo, 1, st.Version, st.Commit, st.Go)
	e.gauge(startTime, unixSeconds(st.Started))
	e.gauge(generation, float64(st.Generation))
	// The configuration is read once, at start; what failed then does not run.
	e.count(reloads, 0, "ok")
	e.count(reloads, 0, "failed")
	e.flag(lastReload, true)
}

// workers sends what there is per worker, and sums of what there is not.
func (e emitter) workers(all []balancer.WorkerStatus) {
	var copied, spliced, stale, dropped uint64
	var noRoom, noFDs float64
	var turns balancer.Histogram
	for i := range all {
		w := &all[i]
		id := workerLabel(w.ID)
		e.gauge(workerSessions, float64(w.Sessions), id)
		e.seconds(workerBusy, w.BusyS, id)
		copied, spliced = copied+w.CopiedBytes, spliced+w.SplicedBytes
		stale, dropped = stale+w.StaleEvents, dropped+w.LogLinesDropped
		noRoom, noFDs = noRoom+w.PausedNoRoomS, noFDs+w.PausedNoFDsS
		turns = addHistograms(turns, w.Turns)
	}
	e.count(relayBytes, copied, "copy")
	e.count(relayBytes, spliced, "splice")
	e.count(staleEvents, stale)
	e.count(accessLogDropped, dropped)
	e.seconds(acceptPaused, noRoom, "sessions_limit")
	e.seconds(acceptPaused, noFDs, "no_fds")
	e.histogram(workerTurns, turns)
}

// addHistograms adds histograms of the same bounds; the zero one has none yet.
func addHistograms(a, b balancer.Histogram) balancer.Histogram {
	if len(a.Counts) == 0 {
		a = balancer.Histogram{Bounds: b.Bounds, Counts: make([]uint64, len(b.Counts))}
	}
	for i := range min(len(a.Counts), len(b.Counts)) {
		a.Counts[i] += b.Counts[i]
	}
	a.Sum += b.Sum
	return a
}

// host sends what could be read.
func (e emitter) host(h balancer.HostStatus) {
	known := func(d *prometheus.Desc, n int64) {
		if n >= 0 {
			e.gauge(d, float64(n))
		}
	}
	known(hostConntrackEntries, h.ConntrackEntries)
	known(hostConntrackLimit, h.ConntrackLimit)
	known(hostTCPMemory, h.TCPMemoryBytes)
	known(hostTimeWait, h.TimeWaitSockets)
}
