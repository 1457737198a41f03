package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// States of a TCP socket as /proc/net/tcp writes them (include/net/tcp_states.h).
const (
	stateEstablished = "01"
	stateListen      = "0A"
)

// Accepted counts the established TCP connections that the processes hold on ports on which they listen: for a backend,
// the sessions it serves. Sockets of other users' processes are seen by root alone.
func Accepted(pids []int) (int, error) {
	sum := 0
	for _, pid := range pids {
		own, err := socketInodes(pid)
		if err != nil {
			return 0, err
		}
		text, err := tcpTables(pid)
		if err != nil {
			return 0, err
		}
		sum += countAccepted(text, own)
	}
	return sum, nil
}

// socketInodes are the sockets that a process has open. One that is closed meanwhile is left out.
func socketInodes(pid int) (map[string]bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list descriptors of process %d: %w", pid, err)
	}
	inodes := map[string]bool{}
	for _, e := range entries {
		link, err := os.Readlink(dir + "/" + e.Name())
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(link, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// tcpTables are the TCP sockets of the process's network namespace; the second table is missing without IPv6.
func tcpTables(pid int) (string, error) {
	four, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return "", fmt.Errorf("list connections of process %d: %w", pid, err)
	}
	six, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp6", pid))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("list connections of process %d: %w", pid, err)
	}
	return string(four) + string(six), nil
}

// countAccepted goes through lines of "sl local remote state tx:rx timer:when retransmits uid timeout inode". The kernel
// may write a socket twice while others come and go; each counts once. own is used up.
func countAccepted(text string, own map[string]bool) int {
	listening, established := map[string]bool{}, map[string]int{} // by port, as hexadecimal text
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || !own[f[9]] {
			continue
		}
		delete(own, f[9])
		_, port, _ := strings.Cut(f[1], ":")
		switch f[3] {
		case stateListen:
			listening[port] = true
		case stateEstablished:
			established[port]++
		}
	}
	n := 0
	for port := range listening {
		n += established[port]
	}
	return n
}
