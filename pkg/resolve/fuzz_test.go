package resolve

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// FuzzAsk plays a name server whose answers, good and bad, are the input, and asks it again and again: what was known
// of a host is lost only where another answer takes its place.
func FuzzAsk(f *testing.F) {
	f.Add([]byte{1, 0, 10, 0, 0, 1, 1, 2, 0, 0, 0, 9, 226, 1, 2, 0, 0, 0, 8, 227, 228, 1, 0, 10, 0, 0, 2, 226, 225, 225})
	f.Add([]byte{2, 0, 2, 1, 4, 10, 0, 0, 1, 4, 10, 0, 0, 2, 6, 0x20, 1, 0, 9})
	f.Add([]byte{1, 1, 4, 10, 0, 0, 1, 0xe0, 0xe0, 0xe1, 0xe2, 0xe3, 1, 0, 4, 10, 0, 0, 2})
	f.Add([]byte{1, 0, 5, 10, 0, 0, 1, 0xe3, 1, 6, 1, 2, 3, 4})
	f.Add([]byte{3, 3, 4, 1, 1, 1, 1, 4, 1, 1, 1, 1, 5, 1, 1, 1, 1, 7, 0xfe, 0x80, 0, 1, 6, 0, 0, 0, 0, 4, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var last []netip.Addr
		for len(data) > 0 {
			var four, six reply
			four, data = readReply(data)
			six, data = readReply(data)
			r := &Resolver{Lookup: func(_ context.Context, network, _ string) ([]netip.Addr, error) {
				if network == "ip4" {
					return slices.Clone(four.addrs), four.err
				}
				return slices.Clone(six.addrs), six.err
			}}
			before := slices.Clone(last)
			got, err := r.ask(t.Context(), "h", last)
			if !slices.Equal(last, before) {
				t.Fatal("the last answer was written to")
			}
			checkAnswer(t, four, six, last, got, err)
			last = got
		}
	})
}

// reply is what a name server says of one family.
type reply struct {
	addrs []netip.Addr
	err   error
}

// failed tells that the family could not be asked; "not found" is an answer.
func (r reply) failed() bool { return r.err != nil && !isNotFound(r.err) }

// readReply takes a reply from the front of data: an error, or a count and so many addresses.
func readReply(data []byte) (r reply, rest []byte) {
	if len(data) == 0 {
		return reply{err: errNotFound}, nil
	}
	first, data := data[0], data[1:]
	if first >= 0xe0 {
		return reply{err: []error{errNotFound, errServfail, timeout(int(first)), context.DeadlineExceeded, &net.DNSError{}}[first%5]}, data
	}
	for range first % 8 {
		if len(data) < 5 {
			break
		}
		r.addrs = append(r.addrs, addressOf(data[0], binary.BigEndian.Uint32(data[1:])))
		data = data[5:]
	}
	return r, data
}

// addressOf is an IPv4 address, the same mapped into IPv6, an IPv6 address or one with a zone.
func addressOf(kind byte, n uint32) netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], n)
	v4 := netip.AddrFrom4(four)
	v6 := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 12: four[0], 13: four[1], 14: four[2], 15: four[3]})
	return [4]netip.Addr{v4, netip.AddrFrom16(v4.As16()), v6, v6.WithZone("eth0")}[kind%4]
}

func checkAnswer(t *testing.T, four, six reply, last, got []netip.Addr, err error) {
	t.Helper()
	want := map[netip.Addr]bool{}
	for _, r := range []struct {
		reply
		is4 bool
	}{{four, true}, {six, false}} {
		from := r.addrs
		if r.failed() {
			from = last
		}
		if r.err != nil && !r.failed() {
			from = nil
		}
		for _, a := range from {
			if a = a.Unmap(); a.Is4() == r.is4 {
				want[a] = true
			}
		}
	}
	if len(want) == 0 {
		if !slices.Equal(got, last) || err == nil {
			t.Fatalf("no address: %v, %v; want the last answer, %v, and an error", got, err, last)
		}
		return
	}
	if len(got) != len(want) || !slices.IsSortedFunc(got, netip.Addr.Compare) {
		t.Fatalf("%v and %v, last %v: got %v", four, six, last, got)
	}
	for _, a := range got {
		if !want[a] || a.Is4In6() {
			t.Fatalf("%v and %v, last %v: got %v", four, six, last, got)
		}
	}
	if (err != nil) != (four.failed() || six.failed()) {
		t.Fatalf("%v and %v: error %v", four.err, six.err, err)
	}
}
