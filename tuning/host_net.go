package tuning

import (
	"encoding/hex"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// network is what the host has of addresses, routes, listening ports and devices.
type network struct {
	local     []netip.Prefix // what connect(2) may come from: addresses, and whole local routes ("ip route add local")
	routes    []route
	listening map[uint16]bool // TCP ports
	devices   []string        // without lo and what only tunnels
	tracked   int64           // TCP sockets in use, of both families
}

// route is one line of the main table.
type route struct {
	to     netip.Prefix
	device string
	metric int64
}

func readNetwork(r Roots) network {
	dir := r.Proc + "/net"
	n := network{listening: map[uint16]bool{}}
	n.local = append(localIPv4(lines(dir+"/fib_trie")), localIPv6(lines(dir+"/if_inet6"))...)
	n.routes = append(routesIPv4(lines(dir+"/route")), routesIPv6(lines(dir+"/ipv6_route"))...)
	n.listen(lines(dir + "/tcp"))
	n.listen(lines(dir + "/tcp6"))
	n.tracked = sockstat(dir+"/sockstat", "TCP:", "inuse") + sockstat(dir+"/sockstat6", "TCP6:", "inuse")
	for _, device := range names(r.Sys + "/class/net") {
		if device != "lo" && exists(r.Sys+"/class/net/"+device+"/device") {
			n.devices = append(n.devices, device)
		}
	}
	return n
}

// localIPv4 reads fib_trie: a line "|-- 192.0.2.2" and below it "/32 host LOCAL".
func localIPv4(trie []string) (all []netip.Prefix) {
	var at netip.Addr
	seen := map[netip.Prefix]bool{}
	for _, line := range trie {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "|--" {
			at, _ = netip.ParseAddr(words[1])
		}
		if len(words) < 3 || words[1] != "host" || words[2] != "LOCAL" {
			continue
		}
		length, err := strconv.Atoi(strings.TrimPrefix(words[0], "/"))
		if p := netip.PrefixFrom(at, length); err == nil && p.IsValid() && !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

// localIPv6 reads if_inet6: the address in 32 digits, then numbers, then the device.
func localIPv6(table []string) (all []netip.Prefix) {
	for _, line := range table {
		if words := strings.Fields(line); len(words) == 6 {
			if a, ok := addr6(words[0]); ok {
				all = append(all, netip.PrefixFrom(a, 128))
			}
		}
	}
	return all
}

// routesIPv4 reads /proc/net/route: addresses as the kernel's words in hexadecimal, whose bytes are the wrong way round on
// little-endian machines (all that this program is built for).
func routesIPv4(table []string) (all []route) {
	for _, line := range table {
		words := strings.Fields(line)
		if len(words) < 8 {
			continue
		}
		to, errA := strconv.ParseUint(words[1], 16, 32)
		mask, errB := strconv.ParseUint(words[7], 16, 32)
		metric, errC := strconv.ParseInt(words[6], 10, 64)
		if errA != nil || errB != nil || errC != nil {
			continue // the head
		}
		a := netip.AddrFrom4([4]byte{byte(to), byte(to >> 8), byte(to >> 16), byte(to >> 24)})
		all = append(all, route{netip.PrefixFrom(a, bits.OnesCount32(uint32(mask))), words[0], metric})
	}
	return all
}

// routesIPv6 reads ipv6_route: destination, its length, source, its length, next hop, metric, ..., flags, device.
// Flag 0x0200, RTF_REJECT, is of routes that lead nowhere.
func routesIPv6(table []string) (all []route) {
	for _, line := range table {
		words := strings.Fields(line)
		if len(words) != 10 {
			continue
		}
		a, ok := addr6(words[0])
		length, errA := strconv.ParseUint(words[1], 16, 8)
		metric, errB := strconv.ParseInt(words[5], 16, 64)
		flags, errC := strconv.ParseUint(words[8], 16, 32)
		if !ok || errA != nil || errB != nil || errC != nil || flags&0x200 != 0 {
			continue
		}
		all = append(all, route{netip.PrefixFrom(a, int(length)), words[9], metric})
	}
	return all
}

func addr6(digits string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != 16 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(raw)), true
}

// listen takes the ports of state 0A, TCP_LISTEN, from /proc/net/tcp.
func (n *network) listen(table []string) {
	for _, line := range table {
		words := strings.Fields(line)
		if len(words) < 4 || words[3] != "0A" {
			continue
		}
		if _, digits, ok := strings.Cut(words[1], ":"); ok {
			if port, err := strconv.ParseUint(digits, 16, 16); err == nil {
				n.listening[uint16(port)] = true
			}
		}
	}
}

// has tells whether a socket can be bound to the address.
func (n *network) has(a netip.Addr) bool {
	return slices.ContainsFunc(n.local, func(p netip.Prefix) bool { return p.Contains(a) })
}

// deviceTo is the device of the longest route; "" if there is none.
func (n *network) deviceTo(a netip.Addr) string {
	var best *route
	for i := range n.routes {
		r := &n.routes[i]
		if !r.to.Contains(a) || r.device == "lo" && !a.IsLoopback() {
			continue
		}
		if best == nil || r.to.Bits() > best.to.Bits() || r.to.Bits() == best.to.Bits() && r.metric < best.metric {
			best = r
		}
	}
	if best == nil {
		return ""
	}
	return best.device
}

// sockstat is one value of a line of /proc/net/sockstat; 0 if it is not there.
func sockstat(path, line, key string) int64 {
	words := strings.Fields(fieldText(path, line))
	for i := 0; i+1 < len(words); i += 2 {
		if words[i] == key {
			n, _ := strconv.ParseInt(words[i+1], 10, 64)
			return n
		}
	}
	return 0
}
