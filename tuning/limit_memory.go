package tuning

import (
	"fmt"
	"math"
	"os"
	"strconv"
)

// sessionBytes is what the program sets aside for a session (kernelPerSession in pkg/balancer/limits.go): it takes no more
// than fit. An idle one takes 9.5 KB: about 4.6 KB of kernel memory per socket, measured on Linux 6.18 over loopback, and
// at most 256 B in the program. What is over is for buffers of those that move.
const sessionBytes = 16 << 10

const memoryFormula = "bytes / 16 KiB: 9.5 KB for an idle session (two sockets of 4.6 KB, measured on Linux 6.18, and 256 B of ours), the rest for those that move"

func memory(h *host, g *Goal) (Limit, bool) {
	if h.memory == 0 {
		return Limit{}, false
	}
	return memoryLimit(g, "RAM", h.memory, "a host without memory kills a process, most likely this one", "add memory"), true
}

func memoryLimit(g *Goal, name string, bytes int64, why, command string) Limit {
	l := Limit{
		Name: name, State: Fine, Current: size(bytes), Needed: size(int64(g.Sessions) * sessionBytes), Sessions: bytes / sessionBytes,
		Formula: memoryFormula, Why: why,
	}
	if l.Sessions < int64(g.Sessions) {
		l.State, l.Command = Short, command
	}
	return l
}

// cgroupMemory: version 2 charges a group for its sockets and their buffers.
func cgroupMemory(h *host, g *Goal) (Limit, bool) {
	bytes, path := h.memoryMax()
	if bytes == 0 {
		return Limit{}, false
	}
	needed := int64(g.Sessions) * sessionBytes
	command := fmt.Sprintf("echo %d > %s", needed, path)
	if h.unit.file != "" {
		command = fmt.Sprintf("systemctl set-property %s MemoryMax=%d", h.unit.name, needed)
	}
	return memoryLimit(g, "cgroup memory.max", bytes, "the group is charged for sockets and buffers too; at its limit windows shrink, and then the process is killed", command), true
}

// tcpMemory: [low, pressure, limit] in pages, of all sockets of the host.
func tcpMemory(h *host, g *Goal) (Limit, bool) {
	const name = "net.ipv4.tcp_mem"
	pages, ok := h.triple(name)
	if !ok {
		return h.missing(name)
	}
	needed := 2 * int64(g.Sessions)
	l := Limit{
		Name: name, State: Fine, Current: Count(pages[2]) + " pages", Needed: Count(needed) + " pages", Sessions: pages[2] / 2,
		Formula: "the third number / 2: one page of buffers for each socket",
		Why:     "from the second number on every window of the host shrinks, and at the third segments are dropped; the unit is pages, not bytes",
	}
	ram := h.memory / int64(os.Getpagesize())
	switch {
	case pages[2] < needed && ram > 0:
		l.raise(h, name, tcpMem(pages, min(roundUp(needed), max(ram/2, pages[2]))))
	case ram > 0 && pages[2] > ram:
		l.State, l.Command = Warn, setCommand(name, tcpMem([3]int64{}, max(ram/8, needed)))
		l.Why = "this is more than the host's memory: written in bytes, most likely, where the kernel counts pages; TCP then takes all memory before it slows down"
	}
	return l, true
}

// tcpMem has the kernel's own proportions below the limit, and lowers nothing.
func tcpMem(now [3]int64, limit int64) string {
	return fmt.Sprintf("%d\t%d\t%d", max(now[0], limit/2), max(now[1], limit*2/3), max(now[2], limit))
}

const (
	leastWindow = 16 << 10
	windowWhy   = "buffers grow by themselves up to the third number; below 16 KiB to begin with a session crawls, and above 16 MiB (32 on Linux 6.16 and later, its default) collapsing a full queue takes seconds"
)

func receiveBuffers(h *host, g *Goal) (Limit, bool) {
	return buffers(h, "net.ipv4.tcp_rmem", leastWindow)
}

func sendBuffers(h *host, g *Goal) (Limit, bool) { return buffers(h, "net.ipv4.tcp_wmem", leastWindow) }

// buffers is tcp_rmem or tcp_wmem: least, first and largest size of a socket's buffer, in bytes.
func buffers(h *host, name string, least int64) (Limit, bool) {
	l, ok := h.condition(name, "4096 16384 1048576 or more", "least, first, largest: bytes of one socket's buffer", windowWhy)
	bytes, triple := h.triple(name)
	if !ok || !triple {
		return l, ok
	}
	most := int64(16 << 20)
	if h.kernelAtLeast(6, 16) {
		most = 32 << 20
	}
	enough := [3]int64{bytes[0], max(bytes[1], least), max(bytes[2], 1<<20)}
	switch {
	case enough != bytes:
		l.raise(h, name, fmt.Sprintf("%d\t%d\t%d", enough[0], enough[1], enough[2]))
	case bytes[2] > most:
		l.State, l.Command = Warn, setCommand(name, fmt.Sprintf("%d %d %d", bytes[0], bytes[1], most))
	}
	return l, true
}

// orphans: sockets that nobody holds any more and whose peer has not acknowledged all.
func orphans(h *host, g *Goal) (Limit, bool) {
	return linear{
		name: "net.ipv4.tcp_max_orphans", units: 1, per: 8,
		formula: "tcp_max_orphans × 8: an eighth of the sessions ends at the same time with a FIN that is not acknowledged yet",
		why:     "beyond it the kernel resets closed connections instead of delivering their last bytes",
	}.look(h, g)
}

// finTimeout is of FIN_WAIT2, and of nothing else.
func finTimeout(h *host, _ *Goal) (Limit, bool) {
	l, ok := h.condition("net.ipv4.tcp_fin_timeout", "30 to 120", "seconds of a closed socket in FIN_WAIT2",
		"this is of FIN_WAIT2: it does not shorten TIME_WAIT, which is 60 s in the source; below 30 a slow peer's last bytes are answered by a reset, above 120 dead peers keep memory")
	if seconds, _ := strconv.Atoi(l.Current); ok && (seconds < 30 || seconds > 120) {
		l.State, l.Command = Warn, setCommand(l.Name, "60")
	}
	return l, ok
}

// notSent: the host-wide form of what relay.low_memory does for our sockets alone.
func notSent(h *host, _ *Goal) (Limit, bool) {
	l, ok := h.condition("net.ipv4.tcp_notsent_lowat", strconv.Itoa(math.MaxUint32), "bytes a socket may hold unsent and still say that it is writable",
		"a small value costs 35-70 % more CPU per GB in every program of the host (measured at 128 KiB); relay.low_memory does it for longsplice alone")
	if n, numeric := h.number(l.Name); ok && numeric && n < math.MaxUint32 {
		l.State, l.Command = Warn, setCommand(l.Name, strconv.Itoa(math.MaxUint32))
	}
	return l, ok
}
