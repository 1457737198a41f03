package worker

// unanswered does what the kernel leaves undone: while TCP_USER_TIMEOUT is set it does not count keepalive's probes but
// waits for that time, which has to be long (tcp_keepalive_timer in net/ipv4/tcp_timer.c; Linux 6.18). It returns the side
// whose peer has left one probe more unanswered than it may, which is when the kernel would give up by the count, or -1
// and when to look again.
func (w *Worker) unanswered(s *session) (side int, nextMs int64) {
	o := &w.frontend(s).Options
	if o.KeepaliveIdle == 0 || o.UserTimeoutMs == 0 {
		return -1, never
	}
	idleMs, intervalMs := int64(o.KeepaliveIdle)*1000, int64(o.KeepaliveInterval)*1000
	if first := s.lastMs + idleMs + intervalMs*int64(o.KeepaliveProbes); first > w.nowMs {
		return -1, first
	}
	most := 0
	for side := range s.fd {
		n := w.probes(s, side)
		if n > o.KeepaliveProbes {
			return side, 0
		}
		most = max(most, n)
	}
	waitMs := intervalMs * int64(o.KeepaliveProbes+1-most)
	if most == 0 {
		waitMs += idleMs
	}
	return -1, w.nowMs + waitMs
}

// probes is how many keepalive probes are out. Those of a closed window are none: bytes wait then, and stall looks after
// them.
func (w *Worker) probes(s *session, side int) int {
	if side == client && s.onUnix() || side == server && s.has(unixServer) {
		return 0
	}
	fd := int(s.fd[side])
	info, errno := w.k.TCPInfo(fd)
	if errno != 0 || info.Probes == 0 {
		return 0
	}
	if unsent, errno := w.k.Unsent(fd); errno != 0 || unsent > 0 {
		return 0
	}
	return int(info.Probes)
}
