package tuning

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// File is what sort of thing apply changes beside the kinds of needs: one of the files below Roots.Etc that --persist
// writes, by its whole path.
const File Kind = "file"

// A place holds one value of the host that apply may change.
type place interface {
	// read returns nil where there is nothing. An error that is fs.ErrNotExist says that the place itself is missing: the
	// kernel has no such setting, the host no such interface.
	read() (*value, error)
	// write puts v there; nil takes away what is there. Done twice it is as done once.
	write(v *value) error
}

// value is what a place holds.
type value struct {
	Text raw         `json:"text"`           // of a sysctl as the kernel writes it, of a file all of it; Present for an address
	Mode fs.FileMode `json:"mode,omitempty"` // of a file, as are its owner and group
	UID  int         `json:"uid,omitempty"`
	GID  int         `json:"gid,omitempty"`
}

// raw is bytes that JSON keeps readable where they are text, and intact where they are not.
type raw string

const base64Mark = "base64:"

func (r raw) MarshalText() ([]byte, error) {
	if utf8.ValidString(string(r)) && !strings.HasPrefix(string(r), base64Mark) {
		return []byte(r), nil
	}
	return []byte(base64Mark + base64.StdEncoding.EncodeToString([]byte(r))), nil
}

func (r *raw) UnmarshalText(text []byte) error {
	coded, is := strings.CutPrefix(string(text), base64Mark)
	if !is {
		*r = raw(text)
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(coded)
	*r = raw(b)
	return err
}

// place finds what a kind and a name mean. Names come from a state file too: none leads out of its root.
func (t *Tuner) place(k Kind, name string) (p place, err error) {
	switch k {
	case Sysctl:
		p, err = sysctlAt(t.Roots, name)
	case Address:
		p, err = addressAt(t.links(), name)
	case File:
		p, err = fileAt(t.Roots, name)
	default:
		err = fmt.Errorf("there is no kind %q", k)
	}
	if err == nil && t.between != nil {
		p = t.between(k, name, p)
	}
	return p, err
}

// sysctl is the path of a file below /proc/sys. Those of net are of the network namespace of the thread that opens them.
type sysctl string

func sysctlAt(r Roots, name string) (sysctl, error) {
	path := r.SysctlPath(name)
	rel, err := filepath.Rel(filepath.Join(r.Proc, "sys"), path)
	if err != nil || rel == "." || !filepath.IsLocal(rel) || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%q is no sysctl", name)
	}
	return sysctl(path), nil
}

func (s sysctl) read() (*value, error) {
	text, err := os.ReadFile(string(s))
	if err != nil {
		return nil, err
	}
	return &value{Text: raw(text)}, nil
}

// write is one write(2): the kernel takes each as a whole value.
func (s sysctl) write(v *value) error {
	f, err := os.OpenFile(string(s), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(string(v.Text))
	return errors.Join(err, f.Close())
}

// address is one address of one interface.
type address struct {
	links  Links
	link   string
	prefix netip.Prefix
}

// addressAt reads "10.0.0.11/32 dev eth0".
func addressAt(l Links, name string) (address, error) {
	words := strings.Fields(name)
	if len(words) != 3 || words[1] != "dev" {
		return address{}, fmt.Errorf("%q is not ADDRESS/BITS dev INTERFACE", name)
	}
	prefix, err := netip.ParsePrefix(words[0])
	return address{l, words[2], prefix}, err
}

func (a address) read() (*value, error) {
	state, err := a.links.Look(a.link, a.prefix)
	if err != nil || state == AddressAbsent {
		return nil, err
	}
	return &value{Text: Present}, nil
}

func (a address) write(v *value) error {
	if v == nil {
		return a.links.Remove(a.link, a.prefix)
	}
	return a.links.Add(a.link, a.prefix)
}

// file is the path of a file that is ours to write as a whole.
type file string

// Files that apply --persist writes, as paths from Roots.Etc. A drop-in's folder is that of its unit. Their names decide
// who wins: systemd and sysctl(8) read folders by name, and what is read later wins. 90 comes behind what packages bring and
// before the 99 that is left to the administrator.
const (
	sysctlFile  = "sysctl.d/90-longsplice.conf"
	modulesFile = "modules-load.d/longsplice.conf"
	dropInFile  = "systemd/system/%s.d/50-longsplice-tune.conf"
)

func fileAt(r Roots, name string) (file, error) {
	rel, err := filepath.Rel(r.Etc, name)
	dropIn, _ := filepath.Match(fmt.Sprintf(dropInFile, "*"), rel)
	if err != nil || rel != sysctlFile && rel != modulesFile && !dropIn {
		return "", fmt.Errorf("%q is no file of longsplice tune", name)
	}
	return file(name), nil
}

func (f file) read() (*value, error) { return readFile(string(f)) }

func (f file) write(v *value) error {
	if v == nil {
		return removeFile(string(f))
	}
	return writeFile(string(f), v)
}

// same tells whether two values mean the same. The kernel writes white space and port lists in its own way.
func same(k Kind, name string, a, b *value) bool {
	if a == nil || b == nil {
		return a == b
	}
	if k == Sysctl {
		return normal(name, a.Text) == normal(name, b.Text)
	}
	return a.Text == b.Text
}

// normal is a sysctl's value without what may differ in writing.
func normal(name string, text raw) string {
	s := strings.Join(strings.Fields(string(text)), " ")
	if strings.HasSuffix(name, "reserved_ports") {
		return portList(s)
	}
	return s
}

// holds tells whether now is what writing wanted comes to. Two settings are rounded up by the kernel: the size of a pipe to
// a power of two (round_pipe_size), a hash table to whole pages (nf_ct_alloc_hashtable).
func holds(k Kind, name string, now, wanted *value) bool {
	if same(k, name, now, wanted) {
		return true
	}
	if now == nil || wanted == nil || name != "fs.pipe-max-size" && name != "net.netfilter.nf_conntrack_buckets" {
		return false
	}
	n, err1 := strconv.Atoi(show(k, now))
	w, err2 := strconv.Atoi(show(k, wanted))
	const page = 4096
	return err1 == nil && err2 == nil && w <= n && n < max(2*w, w+page)
}
