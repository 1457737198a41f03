package proc

import (
	"fmt"
	"os"
)

// TCPLimits are the thresholds of net.ipv4.tcp_mem in bytes of buffers of the whole machine: from pressure on until they
// are below low again the kernel keeps all receive windows small, and above high it drops (tcp(7)).
func TCPLimits() (low, pressure, high int64, err error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_mem")
	if err != nil {
		return 0, 0, 0, fmt.Errorf("read limits of TCP memory: %w", err)
	}
	if _, err := fmt.Sscan(string(text), &low, &pressure, &high); err != nil {
		return 0, 0, 0, fmt.Errorf("parse net.ipv4.tcp_mem %q: %w", text, err)
	}
	page := int64(os.Getpagesize())
	return low * page, pressure * page, high * page, nil
}
