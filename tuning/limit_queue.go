package tuning

// Queues are sized for the moment in which all sessions come back: within returnSeconds, with a worker held up for 100 ms
// and a CPU's softirq for 10 ms.
const (
	returnSeconds = 10
	queueShare    = returnSeconds * 10  // one of so many sessions waits in the queue of a listener
	softirqShare  = returnSeconds * 100 // one of so many sessions' SYNs waits for a CPU
)

// acceptQueue cuts the backlog of every listener.
func acceptQueue(h *host, g *Goal) (Limit, bool) {
	return linear{
		name: "net.core.somaxconn", units: 1, per: queueShare, neededAtLeast: 1024,
		formula: "somaxconn × 100: all sessions come back within 10 s while a worker is held up for 100 ms",
		why:     "a connection that finds the accept queue full is dropped and comes again after 1 s; the listener's backlog is cut to this without a word",
	}.look(h, g)
}

// synQueue bounds connections before their third packet, but only where there are no SYN cookies
// (tcp_conn_request in net/ipv4/tcp_input.c).
func synQueue(h *host, g *Goal) (Limit, bool) {
	l, ok := linear{
		name: "net.ipv4.tcp_max_syn_backlog", units: 4, per: 3 * queueShare, neededAtLeast: 256,
		formula: "tcp_max_syn_backlog × 3/4 × 100 where tcp_syncookies is 0, else no bound: the accept queue's length counts",
		why:     "without SYN cookies a SYN that finds three quarters of this queue in use is dropped",
	}.look(h, g)
	if cookies, _ := h.number("net.ipv4.tcp_syncookies"); ok && cookies != 0 {
		l.State, l.Needed, l.Sessions, l.Command, l.needs = Fine, "-", Unbounded, "", nil
	}
	return l, ok
}

func synCookies(h *host, _ *Goal) (Limit, bool) {
	l, ok := h.condition("net.ipv4.tcp_syncookies", "1", "1: cookies once a queue is full",
		"with 0 a flood of SYNs shuts clients out; with 2 every connection is made by a cookie, which is for tests and loses TCP options")
	if ok && l.Current != "1" {
		l.raise(h, l.Name, "1")
	}
	return l, ok
}

// cpuBacklog is where packets wait that came by RPS, veth or loopback.
func cpuBacklog(h *host, g *Goal) (Limit, bool) {
	return linear{
		name: "net.core.netdev_max_backlog", units: 1, per: softirqShare,
		formula: "netdev_max_backlog × 1,000: all sessions come back within 10 s while a CPU is held up for 10 ms",
		why:     "a packet that finds this queue of a CPU full is dropped (second column of /proc/net/softnet_stat)",
	}.look(h, g)
}

func migrate(h *host, _ *Goal) (Limit, bool) {
	l, ok := h.condition("net.ipv4.tcp_migrate_req", "1", "1: a closed listener's queue goes to the other listeners of its address",
		"when a listener of one worker closes, all connections in its queue are reset unless this is 1 (measured: 92 of 200 with 0, none with 1)")
	if ok && l.Current == "0" {
		l.raise(h, l.Name, "1")
	}
	return l, ok
}
