package target

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/child"
)

// space is a network namespace with one cable to here. A shell holds it: it goes away with the shell, and the shell with
// this process, however that ends. On this side of the cable are the backends' addresses and the clients'.
type space struct {
	holder *child.Process
	orders *os.File // the shell's input: each line lets it go on
	link   string
	slot   int
}

// firstSource is the last byte before that of the first client address in the cable's network; backends are below.
const firstSource = 240

// inSpace sets up the far end and gives rules to the kernel. Each read waits for an order; the last one's end ends the
// namespace. Ports of all the range may be used for masquerading, as for a balancer with several source addresses.
const inSpace = `set -e
read order
ip link set lo up
ip addr add %s dev eth0
ip link set eth0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects
echo 0 >/proc/sys/net/ipv4/conf/eth0/send_redirects
echo joined
read order
%s -f "$order"
echo forwarding
read order || exit 0
`

// listenPort is where the namespace is addressed.
const listenPort = 8080

// openSpace makes the namespace and the cable.
func openSpace(backends int) (*space, error) {
	nft, err := lookPath("nft")
	if err != nil {
		return nil, err
	}
	ip, err := lookPath("ip")
	if err != nil {
		return nil, err
	}
	s := &space{link: fmt.Sprintf("lsb%d", os.Getpid()), slot: os.Getpid() % (1 << 16)}
	input, orders, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer input.Close()
	s.orders = orders
	script := fmt.Sprintf(inSpace, netip.PrefixFrom(s.addr(1), 24), nft)
	spec := child.Spec{Argv: []string{"/bin/sh", "-c", script}, Stdin: input, NewNetwork: true, Env: []string{"PATH=/usr/sbin:/sbin:" + os.Getenv("PATH")}}
	if s.holder, err = child.Start(spec); err != nil {
		orders.Close()
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	if err := s.join(ip, backends); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// join lays the cable.
func (s *space) join(ip string, backends int) error {
	commands := [][]string{{"link", "add", s.link, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(s.holder.PID())}}
	for i := range backends {
		commands = append(commands, []string{"addr", "add", netip.PrefixFrom(s.addr(2+i), 24).String(), "dev", s.link})
	}
	for i := range sourceCount {
		commands = append(commands, []string{"addr", "add", netip.PrefixFrom(s.addr(firstSource+1+i), 24).String(), "dev", s.link})
	}
	commands = append(commands, []string{"link", "set", s.link, "up"})
	for _, args := range commands {
		if out, err := exec.Command(ip, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return s.order("go", "joined")
}

// order lets the shell go on and waits for its word.
func (s *space) order(line, answer string) error {
	if _, err := fmt.Fprintln(s.orders, line); err != nil {
		return s.holder.Failure("takes no orders")
	}
	return s.holder.WaitOutput(answer + "\n")
}

// addr is an address in 240.0.0.0/4, which no network uses (RFC 1112) and Linux treats as any other: 1 is the
// namespace's.
func (s *space) addr(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{241, byte(s.slot >> 8), byte(s.slot), byte(host)})
}

// forward has the kernel forward to the backends.
func (s *space) forward(p Place, t *Target, backends []netip.AddrPort) (*Live, error) {
	dir, err := os.MkdirTemp("", "longsplice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	l := &Live{To: []netip.AddrPort{netip.AddrPortFrom(s.addr(1), listenPort)}, dir: dir}
	d := t.data(p, backends, dir)
	d.Listen = l.To[0]
	if err = t.writeConfig(d); err == nil {
		err = s.order(dir+"/"+t.file, "forwarding")
	}
	if err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// close takes cable and namespace away.
func (s *space) close() {
	s.orders.Close()
	s.holder.Kill()
	// The namespace is taken down by the kernel later, and the next cable has the same name.
	if ip, err := lookPath("ip"); err == nil {
		_ = exec.Command(ip, "link", "del", s.link).Run()
	}
}

// missingKernel tries it: a firewall of the machine's may stand between.
func (t *Target) missingKernel(p Place) string {
	stage, err := t.Prepare(1)
	if err != nil {
		return err.Error()
	}
	defer stage.Close()
	ln, err := net.Listen("tcp", netip.AddrPortFrom(stage.Backends[0], 0).String())
	if err != nil {
		return err.Error()
	}
	defer ln.Close()
	live, err := stage.Start(p, []netip.AddrPort{ln.Addr().(*net.TCPAddr).AddrPort()})
	if err != nil {
		return err.Error()
	}
	defer live.Stop()
	c, err := net.DialTimeout("tcp", live.To[0].String(), printLimit)
	if err != nil {
		return "what is sent through the namespace does not arrive: " + err.Error()
	}
	c.Close()
	return ""
}
