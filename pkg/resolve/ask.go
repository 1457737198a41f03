package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// lookupTimeout bounds one look-up, whatever resolv.conf says about attempts.
const lookupTimeout = 5 * time.Second

var errNoAddress = errors.New("the answer holds no address")

// ask looks a host up in both families. It returns its addresses in the order of [Answers]; where a family could not be
// asked, those of last. If neither has one, all of last is the answer. The error tells what went wrong, even if
// there is an answer; that one family alone has addresses is not an error.
func (r *Resolver) ask(ctx context.Context, host string, last []netip.Addr) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var (
		six    []netip.Addr
		sixErr error
		asked  = make(chan struct{})
	)
	go func() {
		defer close(asked)
		six, sixErr = r.askFamily(ctx, "ip6", host, last)
	}()
	addrs, err := r.askFamily(ctx, "ip4", host, last)
	<-asked
	addrs, err = append(addrs, six...), worse(err, sixErr)
	if len(addrs) == 0 {
		if err == nil {
			err = fmt.Errorf("lookup %s: %w", host, errNoAddress)
		}
		return last, err
	}
	if isNotFound(err) {
		err = nil
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), err
}

// askFamily returns the family's addresses, or those among last if it could not be asked: "not found" is an answer,
// SERVFAIL and silence are none.
func (r *Resolver) askFamily(ctx context.Context, network, host string, last []netip.Addr) (family []netip.Addr, err error) {
	addrs, err := r.Lookup(ctx, network, host)
	if err != nil && !isNotFound(err) {
		addrs = last
	}
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() == (network == "ip4") {
			family = append(family, a)
		}
	}
	return family, err
}

// worse is the error to speak about: one that says more than that there is nothing.
func worse(a, b error) error {
	if a == nil || isNotFound(a) && b != nil {
		return b
	}
	return a
}

func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// sameTrouble compares errors by kind: their texts differ each time, by a local port for example.
func sameTrouble(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var dnsA, dnsB *net.DNSError
	if errors.As(a, &dnsA) && errors.As(b, &dnsB) {
		return dnsA.IsNotFound == dnsB.IsNotFound && dnsA.IsTimeout == dnsB.IsTimeout && dnsA.IsTemporary == dnsB.IsTemporary
	}
	return a.Error() == b.Error()
}
