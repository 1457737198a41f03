package tuning

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// inHost tunes a network namespace for real; what is no part of one (/etc, the state) is a folder.
func inHost(t *testing.T) *Tuner {
	r := Under(t.TempDir())
	r.Proc = "/proc"
	return &Tuner{Roots: r}
}

// realNeeds are needs of one network namespace.
func realNeeds() []Need {
	return []Need{
		{Kind: Sysctl, Name: "net.ipv4.ip_local_port_range", Wanted: "20000\t20999", Why: "a test"},
		{Kind: Sysctl, Name: "net.ipv4.ip_local_reserved_ports", Wanted: "8443,20001,20000", Why: "the kernel writes it in its own way"},
		{Kind: Sysctl, Name: "net.core.somaxconn", Wanted: "5000", Why: "a test"},
		{Kind: Sysctl, Name: "net.ipv4.tcp_notsent_lowat", Wanted: "131072", Why: "a test"},
		{Kind: Sysctl, Name: "net.ipv4.conf.eth0.rp_filter", Wanted: "2", Why: "a test"},
		{Kind: Address, Name: "198.18.255.11/32 dev eth0", Wanted: Present, Why: "a test"},
		{Kind: Address, Name: "198.18.255.12/32 dev eth0", Wanted: Present, Why: "a test"},
		{Kind: Address, Name: "fd00:15:ff::11/128 dev eth0", Wanted: Present, Why: "a test"},
	}
}

// kernelDump is what realNeeds may touch, as the kernel has it.
func kernelDump(r Roots) (map[string]string, error) {
	all := map[string]string{}
	for _, n := range realNeeds() {
		if n.Kind == Sysctl {
			text, err := os.ReadFile(r.SysctlPath(n.Name))
			if err != nil {
				return nil, err
			}
			all[n.Name] = string(text)
		}
	}
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return nil, err
	}
	addrs, err := eth0.Addrs()
	for _, a := range addrs {
		if !strings.HasPrefix(a.String(), "fe80:") { // comes by itself
			all[a.String()] = Present
		}
	}
	return all, err
}

func TestForRealInANetworkNamespace(t *testing.T) {
	host := testkit.NewHost(t, "tune")
	tn := inHost(t)
	err := host.Do(func() error {
		was, err := kernelDump(tn.Roots)
		if err != nil {
			return err
		}
		if err := applyForReal(t, tn); err != nil {
			return err
		}
		out, err := tn.Revert()
		for _, o := range out {
			if o.Result != Restored {
				t.Errorf("%+v", o)
			}
		}
		is, err2 := kernelDump(tn.Roots)
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("the host is not as it was:\n%s", diff)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// applyForReal applies twice and uses what it got.
func applyForReal(t *testing.T, tn *Tuner) error {
	p, err := tn.Plan(realNeeds(), false)
	if err != nil {
		return err
	}
	out, err := tn.Apply(context.Background(), p)
	if err != nil || len(out) != len(realNeeds()) {
		t.Errorf("apply did %d of %d, %v", len(out), len(realNeeds()), err)
	}
	again, err := tn.Plan(realNeeds(), false)
	if err != nil || len(again.Changes) > 0 {
		t.Errorf("a second plan has %+v, %v", again, err)
	}
	if drift, n, err := tn.Verify(); len(drift) > 0 || n != len(realNeeds()) || err != nil {
		t.Errorf("verify finds %v of %d, %v", drift, n, err)
	}
	for _, addr := range []string{"198.18.255.11", "fd00:15:ff::11"} { // at once: nobody asks after it any more
		if err := tryBind(netip.MustParseAddr(addr)); err != nil {
			t.Errorf("bind to %s: %v", addr, err)
		}
	}
	return nil
}

// Adding what is there and removing what is not is no error: a killed apply may be anywhere between.
func TestAddressesAreAddedAndRemovedOnce(t *testing.T) {
	host := testkit.NewHost(t, "addresses")
	for _, prefix := range []netip.Prefix{netip.MustParsePrefix("198.18.255.13/32"), netip.MustParsePrefix("fd00:15:ff::13/128")} {
		err := host.Do(func() error {
			l := kernelLinks{}
			err := errors.Join(l.Add("eth0", prefix), l.Add("eth0", prefix))
			if state, err := l.Look("eth0", prefix); state == AddressAbsent || err != nil {
				t.Errorf("%v was added and is %v, %v", prefix, state, err)
			}
			if link, err := netlink.LinkByName("eth0"); err == nil && prefix.Addr().Is6() {
				all, _ := netlink.AddrList(link, netlink.FAMILY_V6)
				for _, a := range all {
					if a.IP.String() == prefix.Addr().String() && a.Flags&unix.IFA_F_DEPRECATED == 0 {
						t.Errorf("%v: other programs may be given it as their source: flags %#x", prefix, a.Flags)
					}
				}
			}
			err = errors.Join(err, l.Remove("eth0", prefix), l.Remove("eth0", prefix))
			if state, err := l.Look("eth0", prefix); state != AddressAbsent || err != nil {
				t.Errorf("%v was removed and is %v, %v", prefix, state, err)
			}
			if _, err := l.Look("eth7", prefix); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an interface that is not there: %v", err)
			}
			return errors.Join(err, l.Remove("eth7", prefix))
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func tryBind(a netip.Addr) error {
	family, to := unix.AF_INET, unix.Sockaddr(nil)
	if a.Is6() {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: a.As16()}
	} else {
		to = &unix.SockaddrInet4{Addr: a.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, to)
}

func TestWhatTheKernelRefusesIsUndone(t *testing.T) {
	host := testkit.NewHost(t, "refuse")
	for _, c := range []struct {
		name string
		need Need
		want error
	}{
		{"a range upside down", Need{Kind: Sysctl, Name: "net.ipv4.ip_local_port_range", Wanted: "30000\t20000"}, unix.EINVAL},
		{"a fourth of three values", Need{Kind: Sysctl, Name: "net.ipv4.tcp_rmem", Wanted: "4096\t131072\t6291456\t7"}, ErrNotTaken},
		{"an address that cannot be", Need{Kind: Address, Name: "ff02::5/128 dev eth0", Wanted: Present}, unix.EADDRNOTAVAIL},
	} {
		t.Run(c.name, func(t *testing.T) {
			tn := inHost(t)
			err := host.Do(func() error {
				was, err := kernelDump(tn.Roots)
				if err != nil {
					return err
				}
				p, err := tn.Plan(append(realNeeds(), c.need), false)
				if err != nil {
					return err
				}
				_, err = tn.Apply(context.Background(), p)
				failure := new(ApplyError)
				if !errors.As(err, &failure) || failure.Name != c.need.Name || !errors.Is(err, c.want) {
					t.Errorf("apply says %v, want %v", err, c.want)
				}
				is, err := kernelDump(tn.Roots)
				if diff := cmp.Diff(was, is); diff != "" {
					t.Errorf("the host is not as it was:\n%s", diff)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
