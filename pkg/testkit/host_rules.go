package testkit

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Listen listens inside the host, or for a nil host in the test's own namespace.
func (h *Host) Listen(addr netip.AddrPort) (l *Listener, err error) {
	if h == nil {
		return Listen(addr)
	}
	err = h.Do(func() error {
		l, err = Listen(addr)
		return err
	})
	if err == nil {
		l.host = h
	}
	return l, err
}

// Dial connects to addr from inside the host, or for a nil host from the test's own namespace.
func (h *Host) Dial(addr netip.AddrPort) (*Peer, error) { return h.dial(Options{}, addr) }

func (h *Host) dial(o Options, addr netip.AddrPort) (p *Peer, err error) {
	if h == nil {
		return o.Dial(addr)
	}
	err = h.Do(func() error {
		p, err = o.Dial(addr)
		return err
	})
	return h.own(p, err)
}

// own notes where a new peer lives.
func (h *Host) own(p *Peer, err error) (*Peer, error) {
	if err != nil {
		return nil, err
	}
	p.host = h
	return p, nil
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
	h.mustNft(fmt.Sprintf(`
		add table inet longsplice
		add chain inet longsplice in { type filter hook input priority 0; }
		add chain inet longsplice out { type filter hook output priority 0; }
		add rule inet longsplice in tcp dport %d drop
		add rule inet longsplice out tcp sport %d drop`, port, port))
}

// Undrop ends all drops.
func (h *Host) Undrop() {
	h.t.Helper()
	h.mustNft("delete table inet longsplice")
}

func (h *Host) mustNft(rules string) {
	h.t.Helper()
	if err := h.nft(NeedProgram(h.t, "nft"), rules); err != nil {
		h.t.Fatal(err)
	}
}

// nft gives rules to the host's firewall.
func (h *Host) nft(path, rules string) error {
	cmd := h.Command(path, "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft in %s: %w: %s", h.namespace, err, out)
	}
	return nil
}

// gone is the mark of a socket whose connection has vanished. Hex of "gone".
const gone = 0x676f6e65

// CanVanish prepares the host for peers that vanish. Without nft(8) t skips, as Missing does.
func (h *Host) CanVanish() {
	h.t.Helper()
	h.mustNft(fmt.Sprintf(`
		add table inet vanished
		add chain inet vanished in { type filter hook input priority 0; }
		add chain inet vanished out { type filter hook output priority 0; }
		add rule inet vanished in socket mark %d drop
		add rule inet vanished out meta mark %d drop`, gone, gone))
	h.vanishes = true
}

// vanish marks the socket: the host's rules do the rest, for this connection alone. What has arrived is acknowledged first,
// or else the other side would have unsent bytes by chance. The socket must not give up meanwhile: what comes for one that
// is gone is answered by a RST.
func (p *Peer) vanish() error {
	if p.host == nil || !p.host.vanishes {
		return errors.New("the peer lives in no host that CanVanish")
	}
	p.vanished = true
	err := errors.Join(
		unix.SetsockoptInt(p.fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1), // sends an ACK that is due (tcp_sock_set_quickack)
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_MARK, gone),
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0),
		unix.SetsockoptInt(p.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0),
	)
	if err != nil {
		return fmt.Errorf("set options of the socket: %w", err)
	}
	return nil
}
