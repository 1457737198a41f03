package balancer

import (
	"fmt"
	"os"
	"strings"

	"github.com/longsplice/longsplice/pkg/sys"
)

// Host reads what the host as a whole uses.
func (b *Balancer) Host() HostStatus {
	pages, _ := tcpMemoryPages()
	h := HostStatus{
		ConntrackEntries: sys.ReadInt("/proc/sys/net/netfilter/nf_conntrack_count", -1),
		ConntrackLimit:   sys.ReadInt("/proc/sys/net/netfilter/nf_conntrack_max", -1),
		TCPMemoryBytes:   pages, TimeWaitSockets: sockstat("TCP:", "tw"),
	}
	if pages >= 0 {
		h.TCPMemoryBytes = pages * int64(os.Getpagesize())
	}
	return h
}

// tcpMemoryPages is what TCP uses and may use, in pages; -1 if unknown.
func tcpMemoryPages() (used, limit int64) {
	limit = -1
	if data, err := os.ReadFile("/proc/sys/net/ipv4/tcp_mem"); err == nil {
		var low, pressure int64
		if n, _ := fmt.Sscan(string(data), &low, &pressure, &limit); n != 3 {
			limit = -1
		}
	}
	return sockstat("TCP:", "mem"), limit
}

// sockstat is one value of /proc/net/sockstat; -1 if it is not there.
func sockstat(line, key string) int64 {
	data, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return -1
	}
	for _, l := range strings.Split(string(data), "\n") {
		fields := strings.Fields(l)
		if len(fields) == 0 || fields[0] != line {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == key {
				var n int64
				if _, err := fmt.Sscan(fields[i+1], &n); err == nil {
					return n
				}
			}
		}
	}
	return -1
}
