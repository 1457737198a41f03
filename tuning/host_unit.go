package tuning

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// unit is the systemd service of the program with its drop-ins, as systemd.unit(5) puts them together.
type unit struct {
	name     string
	file     string              // "": there is none
	values   map[string][]string // of [Service], in order
	fallback string              // DefaultLimitNOFILE of system.conf, or systemd's own
	managed  bool                // systemd runs this host
}

// systemdNoFile is DefaultLimitNOFILE where system.conf does not say: systemd-system.conf(5), since version 240.
const systemdNoFile = "1024:524288"

// readUnit reads longsplice.service. A unit without a file has systemd's defaults.
func readUnit(r Roots) *unit {
	u := &unit{name: program + ".service", values: map[string][]string{}, fallback: systemdNoFile, managed: exists(r.Run + "/systemd/system")}
	folders := []string{r.Etc + "/systemd/system", r.Run + "/systemd/system", r.Lib + "/systemd/system"}
	for _, dir := range folders {
		if path := filepath.Join(dir, u.name); exists(path) {
			u.file = path
			u.read(path, "[Service]")
			break
		}
	}
	for _, path := range confFiles(folders, "service.d", u.name+".d") {
		u.read(path, "[Service]")
	}
	manager := &unit{values: map[string][]string{}}
	manager.read(r.Etc+"/systemd/system.conf", "[Manager]")
	for _, path := range confFiles([]string{r.Etc + "/systemd", r.Run + "/systemd", r.Lib + "/systemd"}, "system.conf.d") {
		manager.read(path, "[Manager]")
	}
	if v := manager.last("DefaultLimitNOFILE"); v != "" {
		u.fallback = v
	}
	return u
}

// confFiles are the *.conf of the sub-folders in the order of their names; of two with one name, the first folder's counts.
func confFiles(folders []string, subs ...string) (paths []string) {
	for _, sub := range subs {
		byName := map[string]string{}
		for _, dir := range slices.Backward(folders) {
			for _, name := range names(filepath.Join(dir, sub)) {
				if strings.HasSuffix(name, ".conf") {
					byName[name] = filepath.Join(dir, sub, name)
				}
			}
		}
		for _, name := range sorted(byName) {
			paths = append(paths, byName[name])
		}
	}
	return paths
}

func sorted[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// read takes the assignments of one section. An empty one forgets those before it.
func (u *unit) read(path, section string) {
	in := false
	for _, line := range lines(path) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = line == section
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !in || !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if u.values[key] = append(u.values[key], value); value == "" {
			delete(u.values, key)
		}
	}
}

// last is the value of a bootLine that counts; "" if there is none.
func (u *unit) last(key string) string {
	if all := u.values[key]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// noFile is the hard limit of open files that the unit gives, before the kernel's clamp.
func (u *unit) noFile() int64 {
	value := u.last("LimitNOFILE")
	if value == "" {
		value = u.fallback
	}
	if _, hard, both := strings.Cut(value, ":"); both {
		value = hard
	}
	if n := fileLimit(value); n > 0 {
		return n
	}
	return math.MaxInt64
}

// privileged says whether the service may ignore the pipe quotas of users.
func (u *unit) privileged() bool {
	caps := u.last("CapabilityBoundingSet")
	if strings.HasPrefix(caps, "~") {
		caps = ""
	}
	allowed := len(u.values["CapabilityBoundingSet"]) == 0 || strings.Contains(caps, "CAP_SYS_RESOURCE") || strings.Contains(caps, "CAP_SYS_ADMIN")
	user := u.last("User")
	if root := (user == "" || user == "root" || user == "0") && u.last("DynamicUser") != "yes"; root {
		return allowed
	}
	ambient := strings.Join(u.values["AmbientCapabilities"], " ")
	return strings.Contains(ambient, "CAP_SYS_RESOURCE") || strings.Contains(ambient, "CAP_SYS_ADMIN")
}

// serves tells whether a process runs in this unit.
func (u *unit) serves(p *process) bool {
	for _, line := range lines(p.dir + "/cgroup") {
		if strings.HasSuffix(line, "/"+u.name) {
			return true
		}
	}
	return false
}
