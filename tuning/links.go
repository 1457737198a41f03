package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddressState is what an interface knows of an address.
type AddressState int

// What an interface can know of an address.
const (
	AddressAbsent    AddressState = iota
	AddressTentative              // IPv6: the kernel is asking whether another machine has it, and nobody may bind to it yet
	AddressDuplicate              // IPv6: another machine has it
	AddressPresent
)

// Links are the interfaces of a host. That there is none of a name is an error that is fs.ErrNotExist.
type Links interface {
	Look(link string, a netip.Prefix) (AddressState, error)
	Add(link string, a netip.Prefix) error    // one that is there already is left as it is
	Remove(link string, a netip.Prefix) error // one that is not there stays so
}

// kernelLinks are those of the network namespace of the calling thread.
type kernelLinks struct{}

func linkByName(name string) (netlink.Link, error) {
	l, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("there is no interface %s: %w", name, fs.ErrNotExist)
	}
	return l, err
}

func (kernelLinks) Look(name string, a netip.Prefix) (AddressState, error) {
	link, err := linkByName(name)
	if err != nil {
		return AddressAbsent, err
	}
	all, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	for range 10 { // others change addresses meanwhile
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
		all, err = netlink.AddrList(link, netlink.FAMILY_ALL)
	}
	if err != nil {
		return AddressAbsent, fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	wanted := *netlinkAddr(a)
	for _, found := range all {
		if found.Equal(wanted) {
			return stateOf(found.Flags), nil
		}
	}
	return AddressAbsent, nil
}

func stateOf(flags int) AddressState {
	switch {
	case flags&unix.IFA_F_DADFAILED != 0:
		return AddressDuplicate
	case flags&unix.IFA_F_TENTATIVE != 0:
		return AddressTentative
	}
	return AddressPresent
}

// Add adds IPv6 addresses as deprecated (preferred lifetime 0): who asks for one gets it, and no other program finds its
// own source address changed (RFC 6724, rule 3). IPv4 does not choose by it: there the first address of an interface stays
// the one that is chosen.
func (kernelLinks) Add(name string, a netip.Prefix) error {
	link, err := linkByName(name)
	if err != nil {
		return err
	}
	addr := netlinkAddr(a)
	if a.Addr().Is6() {
		addr.ValidLft = math.MaxUint32 // forever
	}
	if err := netlink.AddrAdd(link, addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func (kernelLinks) Remove(name string, a netip.Prefix) error {
	link, err := linkByName(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(link, netlinkAddr(a)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return err
	}
	return nil
}

func netlinkAddr(a netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
}
