package tuning

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// reversePath: with strict filtering an answer must come in where the route to its sender leads out.
func reversePath(h *host, g *Goal) (Limit, bool) {
	device, back := h.sourceDevice(g), h.backendDevice(g)
	if len(g.sources()) == 0 || device == "" {
		return Limit{}, false
	}
	name := deviceSysctl(device, "rp_filter")
	l, ok := h.condition(name, "0 or 2", "the larger one of conf.all and of the interface; 1 is strict",
		"with strict filtering the backends' answers to a source address are dropped on an interface other than that of the route to them")
	if own := h.effective(device, "rp_filter"); ok && own == 1 && device != back && back != "" {
		l.Current = "1"
		l.raise(h, name, "2")
	}
	return l, ok
}

// arp: who answers for an extra address, and with which one we ask.
func arp(h *host, g *Goal) (Limit, bool) {
	device := h.sourceDevice(g)
	extra := slices.ContainsFunc(g.sources(), netip.Addr.Is4)
	if !extra || device == "" || device == "lo" {
		return Limit{}, false
	}
	name := deviceSysctl(device, "arp_ignore")
	l, ok := h.condition(name, "1, with arp_announce 2", "the larger one of conf.all and of the interface",
		"with several interfaces each answers for all addresses, and the neighbours send the answers of backends to any of them")
	if !ok {
		return l, false
	}
	ignore, announce := h.effective(device, "arp_ignore"), h.effective(device, "arp_announce")
	l.Current = fmt.Sprintf("%d, with arp_announce %d", ignore, announce)
	if len(h.net.devices) < 2 {
		l.Needed = "-"
		return l, true
	}
	if ignore < 1 || announce < 2 {
		l.State = Warn
		l.Command = fmt.Sprintf("sysctl -w %s=1 %s=2", name, deviceSysctl(device, "arp_announce"))
	}
	return l, true
}

// effective is a sysctl of an interface as the kernel uses it.
func (h *host) effective(device, key string) int64 {
	all, _ := h.number("net.ipv4.conf.all." + key)
	own, _ := h.number(deviceSysctl(device, key))
	return max(all, own)
}

// deviceSysctl writes an interface's name as sysctl(8) wants it: eth0/100 is eth0.100.
func deviceSysctl(device, key string) string {
	return "net.ipv4.conf." + strings.ReplaceAll(device, ".", "/") + "." + key
}

// cpuMax: a throttled worker holds all of its sessions up.
func cpuMax(h *host, g *Goal) (Limit, bool) {
	quota := h.cpuQuota()
	if quota == 0 {
		return Limit{}, false
	}
	l := Limit{
		Name: "cgroup cpu.max", State: Fine, Current: fmt.Sprintf("%.2g CPUs", quota), Needed: Count(h.workers) + " CPUs", Sessions: Unbounded,
		Formula: "CPU time per period >= workers", Why: "a group that has used its time up stands still for the rest of the period, up to 100 ms, with all of its sessions",
	}
	if quota < float64(h.workers) {
		l.State = Warn
		l.Command = "echo max > " + filepath.Join(h.cgroup(), "cpu.max")
		if h.unit.file != "" {
			l.Command = fmt.Sprintf("systemctl set-property %s CPUQuota=%d%%", h.unit.name, h.workers*100)
		}
	}
	return l, true
}

// receiveQueues: one receive queue without RPS is one CPU for all packets.
func receiveQueues(h *host, g *Goal) (Limit, bool) {
	device := h.outside(g)
	dir := filepath.Join(h.roots.Sys, "class/net", device, "queues")
	receive, spread := h.queues(dir, "rx-", "rps_cpus")
	if device == "" || receive == 0 {
		return Limit{}, false
	}
	l := Limit{
		Name: device + " receive queues", State: Fine, Current: Count(receive), Needed: Count(h.workers) + ", or RPS", Sessions: Unbounded,
		Formula: "receive queues >= workers, or rps_cpus set", Why: "packets of one queue are worked on by one CPU; with RPS that CPU hands them on (reported, not changed by tune)",
	}
	if spread {
		l.Current += " with RPS"
	}
	send, steered := h.queues(dir, "tx-", "xps_cpus")
	switch {
	case receive < h.workers && !spread:
		l.State, l.Command = Warn, fmt.Sprintf("for q in /sys/class/net/%s/queues/rx-*; do echo %x > $q/rps_cpus; done", device, 1<<h.cpus-1)
	case send > 1 && !steered:
		l.State, l.Name, l.Current, l.Needed = Warn, device+" send queues", Count(send)+" without XPS", "XPS"
		l.Why = "without xps_cpus the CPUs share the send queues and their locks (reported, not changed by tune)"
		l.Command = fmt.Sprintf("i=0; for q in /sys/class/net/%s/queues/tx-*; do printf %%x $((1<<i)) > $q/xps_cpus; i=$(((i+1)%%%d)); done", device, h.cpus)
	}
	return l, true
}

// queues counts those with a prefix, and tells whether any has CPUs in its mask.
func (h *host) queues(dir, prefix, mask string) (n int64, any bool) {
	for _, name := range names(dir) {
		if strings.HasPrefix(name, prefix) {
			n++
			any = any || strings.Trim(text(filepath.Join(dir, name, mask)), "0,") != ""
		}
	}
	return n, any
}

// outside is the device on which the traffic goes: that of the backends, if it is hardware.
func (h *host) outside(g *Goal) string {
	if device := h.backendDevice(g); slices.Contains(h.net.devices, device) {
		return device
	}
	return ""
}

// interrupts of a device that are all served by one CPU.
func interrupts(h *host, g *Goal) (Limit, bool) {
	device := h.outside(g)
	var lists []string
	for _, irq := range names(filepath.Join(h.roots.Sys, "class/net", device, "device/msi_irqs")) {
		if list := text(filepath.Join(h.roots.Proc, "irq", irq, "effective_affinity_list")); list != "" {
			lists = append(lists, list)
		}
	}
	if device == "" || len(lists) < 2 {
		return Limit{}, false
	}
	slices.Sort(lists)
	distinct := len(slices.Compact(slices.Clone(lists)))
	l := Limit{
		Name: device + " interrupts", State: Fine, Current: strconv.Itoa(distinct) + " CPUs", Needed: "more than one CPU", Sessions: Unbounded,
		Formula: "CPUs that serve the device's interrupts", Why: "one CPU that serves all queues is full long before the others (reported, not changed by tune)",
	}
	if distinct == 1 && h.cpus > 1 {
		l.State, l.Command = Warn, "systemctl enable --now irqbalance"
	}
	return l, true
}
