package proc

import (
	"net"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseKernel(t *testing.T) {
	const meminfo = "MemTotal:       32000000 kB\nKReclaimable:   111 kB\nSlab:            520000 kB\nSReclaimable:  300000 kB\n"
	const sockstat = "sockets: used 300\nTCP: inuse 27 orphan 0 tw 9 alloc 30 mem 3\nUDP: inuse 0 mem 7\n"
	got, err := ParseKernel(meminfo, sockstat)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Kernel{Slab: 520000 << 10, TCP: 3 * int64(os.Getpagesize()), Sockets: 30}, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []struct{ meminfo, sockstat string }{
		{"", sockstat}, {meminfo, ""}, {meminfo, "TCP: inuse 27\n"}, {"Slab: many kB\n", sockstat},
	} {
		if got, err := ParseKernel(bad.meminfo, bad.sockstat); err == nil {
			t.Errorf("%q and %q make %+v", bad.meminfo, bad.sockstat, got)
		}
	}
}

func TestFDsAndSocketsAreCounted(t *testing.T) {
	self := []int{os.Getpid()}
	fds, pipes, err := FDs(self)
	if err != nil {
		t.Fatal(err)
	}
	before, err := ReadKernel()
	if err != nil || before.Slab == 0 {
		t.Fatalf("%+v, %v", before, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.Close(); w.Close(); ln.Close() }()
	fds2, pipes2, err := FDs(self)
	if err != nil || fds2 < fds+3 || pipes2 != pipes+2 { // the poller may have opened its own with the first socket
		t.Errorf("%d fds, %d of pipes, %v; before a pipe and a socket %d, %d", fds2, pipes2, err, fds, pipes)
	}
}
