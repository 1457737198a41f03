package testkit

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// Listen listens inside the host.
func (h *Host) Listen(addr netip.AddrPort) (l *Listener, err error) {
	err = h.Do(func() error {
		l, err = Listen(addr)
		return err
	})
	return l, err
}

// Sysctl sets a net.* value of the host's namespace.
func (h *Host) Sysctl(name, value string) {
	h.t.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	if err := h.Do(func() error { return os.WriteFile(path, []byte(value), 0) }); err != nil {
		h.t.Fatalf("set %s=%s: %v", name, value, err)
	}
}

// Drop makes the host lose every TCP packet to and from its port, in silence, until Undrop. It needs nft(8).
func (h *Host) Drop(port uint16) {
	h.t.Helper()
	nft := NeedProgram(h.t, "nft")
	h.nft(nft, fmt.Sprintf(`
		add table inet longsplice
		add chain inet longsplice in { type filter hook input priority 0; }
		add chain inet longsplice out { type filter hook output priority 0; }
		add rule inet longsplice in tcp dport %d drop
		add rule inet longsplice out tcp sport %d drop`, port, port))
}

// Undrop ends all drops.
func (h *Host) Undrop() {
	h.t.Helper()
	h.nft(NeedProgram(h.t, "nft"), "delete table inet longsplice")
}

func (h *Host) nft(path, rules string) {
	h.t.Helper()
	cmd := h.Command(path, "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("nft in %s: %v: %s", h.namespace, err, out)
	}
}
