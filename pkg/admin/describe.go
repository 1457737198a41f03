package admin

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longsplice/longsplice/pkg/stats"
)

// Label values that are no enum elsewhere.
const (
	toBackend = "to_backend"
	toClient  = "to_client"
)

var checkResults = []string{"ok", "fail", "timeout", "local"}

// shedReasons are the ends of established sessions that longsplice chose, the `why` of sessions_shed_total.
var shedReasons = []stats.Reason{stats.Shed, stats.Evicted, stats.Drained, stats.BackendUnhealthy, stats.Shutdown}

// descriptions are all metrics, as describe has made them.
var descriptions []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("longsplice_"+name, help, labels, nil)
	descriptions = append(descriptions, d)
	return d
}

func workerLabel(id int) string { return strconv.Itoa(id) }

// The metrics, by the names that dashboards hold on to.
var (
	sessionsAccepted = describe("sessions_accepted_total", "Sessions let in; active plus ended at every moment.", "frontend")
	sessionsRefused  = describe("sessions_refused_total", "Connections not let in, by reason; they never count as accepted.", "frontend", "reason")
	sessionsActive   = describe("sessions_active", "Sessions held.", "frontend")
	sessionsEnded    = describe("sessions_ended_total", "Sessions ended, by the one reason of each.", "frontend", "reason")
	sessionsShed     = describe("sessions_shed_total", "Established sessions that longsplice closed on purpose.", "frontend", "why")
	sessionsZeroByte = describe("sessions_zero_byte_total", "Sessions that ended without a byte, such as port scans.", "frontend")
	sessionDuration  = describe("session_duration_seconds", "How long ended sessions lasted.", "frontend")
	bytesTotal       = describe("bytes_total", "Bytes relayed, those of live sessions included.", "frontend", "direction")
	listenDrops      = describe("listen_drops_total", "Connections that the kernel dropped because a listener's queue was full.", "frontend")
	acceptQueue      = describe("accept_queue", "Connections that wait in the kernel to be accepted.", "frontend")

	connectDuration    = describe("connect_duration_seconds", "How long connecting to a backend took, per successful attempt.", "pool")
	connectRetries     = describe("connect_retries_total", "Attempts on another backend after one failed.", "pool")
	sessionsConnecting = describe("sessions_connecting", "Sessions whose backend has not answered yet.", "pool")
	poolPanic          = describe("pool_panic", "1 while too few backends are healthy and health is ignored.", "pool")

	backendSessionsActive = describe("backend_sessions_active", "Sessions on a backend.", "pool", "backend")
	backendSessionsEnded  = describe("backend_sessions_ended_total", "Sessions of a backend ended, by whose doing it was.", "pool", "backend", "cause")
	backendBytes          = describe("backend_bytes_total", "Bytes relayed to and from a backend.", "pool", "backend", "direction")
	connectFailures       = describe("connect_failures_total", "Failed attempts to connect to a backend, by reason.", "pool", "backend", "reason")
	backendHealthy        = describe("backend_healthy", "1 if the backend is healthy.", "pool", "backend")
	backendState          = describe("backend_state", "1 for the one state that a backend is in.", "pool", "backend", "state")
	backendWeight         = describe("backend_weight", "Weight of a backend; 0 takes no new sessions.", "pool", "backend")
	portsUsed             = describe("ports_used", "Local ports towards a backend that sessions hold, over all sources.", "pool", "backend")
	portsLimit            = describe("ports_limit", "Local ports towards a backend that there are, over all sources.", "pool", "backend")
	portsResting          = describe("ports_resting", "Local ports towards a backend that the kernel refused a moment ago, most for being in TIME_WAIT.", "pool", "backend")
	healthChecks          = describe("health_checks_total", "Health checks, by result; local: for want of something on our side.", "pool", "backend", "result")

	sessionsLimit = describe("sessions_limit", "Sessions that can be held at once.")
	fdsOpen       = describe("fds_open", "File descriptors in use.")
	fdsLimit      = describe("fds_limit", "File descriptors that the process may have.")
	pipesOpen     = describe("pipes_open", "Pipes of the splice path.", "state")
	pipesLimit    = describe("pipes_limit", "Pipes that may be open at once.")
	pipeDegraded  = describe("pipe_degraded_total", "How often the kernel refused a pipe of useful size, so that bytes were copied.")

	steered          = describe("steered_total", "New connections by what chose their worker: the CPU that received them, the least load, or the kernel's hash.", "how")
	relayBytes       = describe("relay_bytes_total", "Bytes relayed, by how they were moved.", "mode")
	acceptPaused     = describe("accept_paused_seconds_total", "Time in which workers left new connections in the kernel's queue.", "cause")
	staleEvents      = describe("stale_events_total", "Kernel events of sessions that had ended already.")
	accessLogDropped = describe("access_log_dropped_total", "Access log lines dropped because the sink was too slow.")
	workerSessions   = describe("worker_sessions", "Sessions of a worker.", "worker")
	workerBusy       = describe("worker_busy_seconds_total", "Time that a worker did not wait.", "worker")
	workerTurns      = describe("worker_turn_duration_seconds", "How long the turns of the event loops took.")

	reloads    = describe("reloads_total", "Reloads of the configuration, by result.", "result")
	lastReload = describe("config_last_reload_successful", "1 if the last configuration that was read is in force.")
	generation = describe("generation", "Number of the configuration in force, from 1.")
	startTime  = describe("start_time_seconds", "When the process started, in Unix time.")
	buildInfo  = describe("build_info", "1, labelled with what runs.", "version", "commit", "goversion")

	hostConntrackEntries = describe("host_conntrack_entries", "Connections that the host's packet filter tracks.")
	hostConntrackLimit   = describe("host_conntrack_limit", "Connections that the host's packet filter can track.")
	hostTCPMemory        = describe("host_tcp_memory_bytes", "Memory that all TCP sockets of the host hold.")
	hostTimeWait         = describe("host_timewait_sockets", "TCP sockets of the host in TIME_WAIT.")
)
