package tuning

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/longsplice/longsplice/pkg/config"
)

// notes are what is worth knowing and no limit. They come after the limits, which tell what was looked for in vain.
func (h *host) notes(g *Goal, now []Limit) []Note {
	notes := []Note{}
	for _, f := range []func(*host, *Goal) []Note{
		basis, dangers, (*host).bootNotes, lostToModules, userLimits, spareTracking, othersPrograms, unseen,
	} {
		notes = append(notes, f(h, g)...)
	}
	for i := range now {
		if now[i].Override != "" {
			notes = append(notes, Note{About: now[i].Name, Text: now[i].Override + " would win over what `tune apply --persist` writes to /etc/" + sysctlFile, Command: "remove that line"})
		}
	}
	return notes
}

// basis is what the figures were made from.
func basis(h *host, g *Goal) (notes []Note) {
	if g.Supposed {
		notes = append(notes, Note{About: "configuration", Text: "none was read: supposed are one frontend, one backend, the kernel's choice of source and port, and all defaults"})
	}
	switch {
	case h.process == nil && h.unit.file != "":
		notes = append(notes, Note{About: "process", Text: "longsplice does not run: its limits are those that " + h.unit.file + " would give it"})
	case h.process == nil:
		notes = append(notes, Note{About: "process", Text: "longsplice does not run, and there is no " + h.unit.name + ": its limits are the defaults that a service gets here, not those of this shell"})
	case h.process.elsewhere:
		notes = append(notes, Note{
			About: "process", Text: fmt.Sprintf("pid %d is in another network namespace: what is said of net.* is of this one", h.process.pid),
			Command: fmt.Sprintf("nsenter -t %d -n longsplice tune doctor", h.process.pid),
		})
	}
	if h.process != nil && h.process.guessed {
		notes = append(notes, Note{About: "process", Text: fmt.Sprintf(
			"nobody holds the lock of the admin socket %q: pid %d, found in /proc, is looked at, and may serve something else (%d more run)",
			g.Config.Process.Admin, h.process.pid, h.others)})
	}
	for i := range g.Config.Pools {
		for _, b := range g.Config.Pools[i].Backends {
			if b.Address.Network == config.Host {
				notes = append(notes, Note{About: "pool " + g.Config.Pools[i].Name, Text: b.Address.Host + " was not looked up: it counts as one backend address"})
			}
		}
	}
	return notes
}

// bootNotes: files that contradict each other, or the kernel, about what was looked at.
func (h *host) bootNotes(*Goal) (notes []Note) {
	seen := map[string]bool{}
	for i := range h.files {
		name := h.files[i].name
		if seen[name] || !watched(name) || strings.Contains(name, "nf_conntrack") {
			continue
		}
		seen[name] = true
		won, lost := h.winner(name)
		lost = slices.DeleteFunc(lost, func(l bootLine) bool { return l.value == won.value })
		if len(lost) > 0 {
			notes = append(notes, Note{About: name, Text: fmt.Sprintf("%s sets %s, and %s wins with %s", lost[0].at(), lost[0].value, won.at(), won.value)})
		}
		if value, ok := h.sysctl(name); ok && oneBlank(value) != won.value {
			notes = append(notes, Note{
				About: name, Text: fmt.Sprintf("%s sets %s, and the kernel has %s: it was changed since the boot, or the kernel did not take it", won.at(), won.value, oneBlank(value)),
				Command: "sysctl -p " + won.file,
			})
		}
	}
	return notes
}

// watched says whether a sysctl is of those that matter here.
func watched(name string) bool {
	for _, prefix := range []string{"net.ipv4.tcp_", "net.ipv4.ip_local_", "net.core.", "net.netfilter.", "net.nf_conntrack", "fs.nr_open", "fs.file-max", "fs.epoll.", "fs.pipe-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// lostToModules: nf_conntrack's sysctls exist once its module is loaded, which is after systemd-sysctl has run unless
// modules-load.d names it.
func lostToModules(h *host, _ *Goal) []Note {
	for i := range h.files {
		line := &h.files[i]
		if !strings.Contains(line.name, "nf_conntrack") || h.loadsConntrack() {
			continue
		}
		value, loaded := h.sysctl(line.name)
		text := line.at() + " is lost at boot: the module nf_conntrack is loaded later than that, by the first rule that needs it"
		if loaded && oneBlank(value) != line.value {
			text = fmt.Sprintf("%s, as it was at this one: the kernel has %s", text, oneBlank(value))
		}
		return []Note{{About: line.name, Text: text, Command: "echo nf_conntrack > /etc/" + modulesFile}}
	}
	return nil
}

// loadsConntrack looks for the module in modules-load.d.
func (h *host) loadsConntrack() bool {
	for _, path := range confFiles([]string{h.roots.Etc, h.roots.Run, h.roots.Lib}, "modules-load.d") {
		if slices.Contains(lines(path), "nf_conntrack") {
			return true
		}
	}
	return slices.Contains(lines(h.roots.Etc+"/modules"), "nf_conntrack")
}

// userLimits: limits.conf is of logins, and nothing in it reaches a service.
func userLimits(h *host, _ *Goal) []Note {
	for _, path := range append(confFiles([]string{h.roots.Etc + "/security"}, "limits.d"), h.roots.Etc+"/security/limits.conf") {
		for i, line := range lines(path) {
			if words := strings.Fields(line); len(words) == 4 && !strings.HasPrefix(words[0], "#") && words[2] == "nofile" {
				return []Note{{
					About: path, Text: fmt.Sprintf("line %d sets nofile of logins (pam_limits): a service does not get it, its unit's LimitNOFILE counts", i+1),
				}}
			}
		}
	}
	return nil
}

// spareTracking offers rules where connections are tracked.
func spareTracking(h *host, g *Goal) []Note {
	if _, active := h.tracking(); !active {
		return nil
	}
	return []Note{{
		About: "nf_conntrack", Text: "it tracks both connections of each session. Unless rules of this host need that (NAT, ct state) for these ports, do without:\n" + g.noTrack(),
		Command: "nft -f FILE, with the lines above in FILE",
	}}
}

// Types of BPF programs that can reach into sockets: enum bpf_prog_type of linux/bpf.h.
var socketPrograms = map[string]string{"13": "sock_ops", "14": "sk_skb", "16": "sk_msg"}

// mostFDs bounds the descriptors of one process that are looked through: those that hold programs are agents, and small.
const mostFDs = 512

// othersPrograms finds BPF programs that may redirect or change what our sockets carry: held by processes that may be
// looked into, and pinned.
func othersPrograms(h *host, _ *Goal) (notes []Note) {
	hidden := 0
	for _, pid := range names(h.roots.Proc) {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		dir := filepath.Join(h.roots.Proc, pid)
		fds, err := os.ReadDir(dir + "/fd")
		if os.IsPermission(err) {
			hidden++
		}
		if len(fds) > mostFDs {
			continue
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err != nil || to != "anon_inode:bpf-prog" {
				continue
			}
			if kind := socketPrograms[fieldText(filepath.Join(dir, "fdinfo", fd.Name()), "prog_type:")]; kind != "" {
				notes = append(notes, Note{About: "BPF", Text: fmt.Sprintf("%s (pid %s) holds a %s program: such programs may reach into every socket of this host, ours too", text(dir+"/comm"), pid, kind), Command: "bpftool prog show"})
			}
		}
	}
	if pinned, err := os.ReadDir(h.roots.Sys + "/fs/bpf"); err == nil && len(pinned) > 0 {
		notes = append(notes, Note{About: "BPF", Text: "pinned by other programs: " + few(names(h.roots.Sys+"/fs/bpf"), 6), Command: "bpftool prog show pinned PATH"})
	} else if os.IsPermission(err) {
		notes = append(notes, Note{About: "BPF", Text: "what is pinned in /sys/fs/bpf could not be looked at"})
	}
	if len(notes) == 0 {
		notes = append(notes, Note{
			About: "BPF", Text: "no sock_ops, sk_skb or sk_msg program is pinned or held by a process that could be looked into; what the kernel alone holds could not be looked at",
			Command: "bpftool prog show",
		})
	}
	if hidden > 0 {
		notes = append(notes, Note{About: "BPF", Text: fmt.Sprintf("%d processes could not be looked into: run as root to see who holds BPF programs", hidden)})
	}
	return notes
}

// unseen is what was looked for and is not there. In a network namespace that is not the first, or in a container, some
// sysctls are hidden.
func unseen(h *host, _ *Goal) []Note {
	if len(h.unread) == 0 {
		return nil
	}
	return []Note{{About: "sysctls", Text: "not in this kernel, network namespace or container: " + strings.Join(h.unread, ", ")}}
}
