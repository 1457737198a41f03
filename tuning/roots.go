package tuning

import (
	"path/filepath"
	"strings"
)

// Roots are the folders that a host is seen through; tests point them at fixture trees.
type Roots struct {
	Proc  string // "/proc"
	Sys   string // "/sys"
	Etc   string // "/etc"
	Run   string // "/run": sysctl.d and units that last until the next boot
	Lib   string // "/usr/lib": sysctl.d and units of packages
	State string // process.state_dir: what `tune apply` remembers
}

// Host is the real machine. State is the default of process.state_dir.
func Host() Roots {
	return Roots{Proc: "/proc", Sys: "/sys", Etc: "/etc", Run: "/run", Lib: "/usr/lib", State: "/var/lib/longsplice"}
}

// Under is a whole tree of a host below one folder, as fixtures have it.
func Under(dir string) Roots {
	return Roots{
		Proc: filepath.Join(dir, "proc"), Sys: filepath.Join(dir, "sys"), Etc: filepath.Join(dir, "etc"),
		Run: filepath.Join(dir, "run"), Lib: filepath.Join(dir, "usr/lib"), State: filepath.Join(dir, "var/lib/longsplice"),
	}
}

// SysctlPath is the file of a sysctl. As in sysctl(8) a name is written with dots or with slashes, the first of them
// decides, and the other one is an ordinary character: net.ipv4.conf.eth0/100.rp_filter is of interface eth0.100.
func (r Roots) SysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.Map(func(c rune) rune {
			switch c {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return c
		}, name)
	}
	return filepath.Join(r.Proc, "sys", name)
}
