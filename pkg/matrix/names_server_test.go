package matrix

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// answering is how a name server answers.
type answering int

const (
	well answering = iota
	servfail
	notFound
	empty
	silent
	garbled
	truncated // says that the answer is too long for UDP, and does not listen on TCP
	forged    // well, behind answers that somebody else might have sent
)

// nameServer answers for names of its own, over UDP (RFC 1035).
type nameServer struct {
	conn, stranger *net.UDPConn
	mu             sync.Mutex
	names          map[string]*hostName
}

type hostName struct {
	addresses []netip.Addr
	how       answering
	asked     int // for IPv4 addresses
}

// newNameServer listens on port 53 of a loopback address of its own: resolv.conf knows no other port.
func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	testkit.Privileged(t, "root: a name server on port 53")
	s := &nameServer{names: map[string]*hostName{}}
	for _, to := range []**net.UDPConn{&s.conn, &s.stranger} {
		ip := net.IPv4(127, 53, byte(rand.IntN(256)), byte(1+rand.IntN(254)))
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip, Port: 53})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		*to = c
	}
	go s.serve()
	return s
}

// resolved is the words before a command that make it ask this server: the command gets a resolv.conf of its own.
func (s *nameServer) resolved(t *testing.T) []string {
	t.Helper()
	testkit.Privileged(t, "CAP_SYS_ADMIN: a mount namespace")
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", s.conn.LocalAddr().(*net.UDPAddr).IP)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{
		testkit.NeedProgram(t, "unshare"), "--mount", "--propagation", "private",
		"sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, path,
	}
}

// set says what a name's addresses are and how it is answered for from now on.
func (s *nameServer) set(name string, how answering, addresses ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.names[name]
	if h == nil {
		h = &hostName{}
		s.names[name] = h
	}
	h.how = how
	if addresses != nil {
		h.addresses = slices.Clone(addresses)
	}
}

// asked is how often each name was asked for.
func (s *nameServer) asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name].asked
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if q, ok := parseQuestion(buf[:n]); ok {
			s.answer(q, from)
		}
	}
}

func (s *nameServer) answer(q question, to netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.names[q.name]
	if h == nil {
		h = &hostName{how: notFound}
	}
	var addresses []netip.Addr
	if q.kind == typeA {
		addresses = h.addresses
		h.asked++
	}
	send := func(b []byte) { _, _ = s.conn.WriteToUDPAddrPort(b, to) }
	switch h.how {
	case well:
		send(q.reply(0, addresses...))
	case servfail:
		send(q.reply(2))
	case notFound:
		send(q.reply(3))
	case empty:
		send(q.reply(0))
	case garbled:
		send(append(q.reply(0, evil)[:q.end+7], 0xff, 0xff, 0xff))
	case truncated:
		send(q.reply(flagTC))
	case forged:
		_, _ = s.stranger.WriteToUDPAddrPort(q.reply(0, evil), to)
		send(q.with(q.id+1, q.name).reply(0, evil))
		send(q.with(q.id, "evil.example").reply(0, evil))
		send([]byte{byte(q.id >> 8)})
		send(q.reply(0, addresses...))
	}
}

// evil is the address in answers that nobody may believe.
var evil = netip.MustParseAddr("127.66.66.66")

const (
	typeA  = 1
	flagTC = 0x0200
)

// question is what a query asks, with the query's number.
type question struct {
	id   uint16
	name string
	kind uint16
	end  int // of the question in a message
}

// parseQuestion reads a query of one question.
func parseQuestion(b []byte) (q question, ok bool) {
	const header = 12
	if len(b) < header {
		return q, false
	}
	var labels []string
	at := header
	for at < len(b) && b[at] != 0 {
		n := int(b[at])
		if at+1+n > len(b) {
			return q, false
		}
		labels = append(labels, string(b[at+1:at+1+n]))
		at += 1 + n
	}
	if at+5 > len(b) {
		return q, false
	}
	return question{
		id: binary.BigEndian.Uint16(b), name: strings.ToLower(strings.Join(labels, ".")),
		kind: binary.BigEndian.Uint16(b[at+1:]), end: at + 5,
	}, true
}

func (q question) with(id uint16, name string) question {
	q.id, q.name = id, name
	return q
}

// reply is an answer with these addresses. code is an RCODE, or a flag.
func (q question) reply(code uint16, addresses ...netip.Addr) []byte {
	b := binary.BigEndian.AppendUint16(nil, q.id)
	b = binary.BigEndian.AppendUint16(b, 0x8180|code) // a response, recursion desired and available
	for _, n := range []int{1, len(addresses), 0, 0} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	for label := range strings.SplitSeq(q.name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = binary.BigEndian.AppendUint16(append(b, 0), q.kind)
	b = binary.BigEndian.AppendUint16(b, 1) // IN
	for _, a := range addresses {
		b = append(b, 0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4) // the name of the question, A, IN, to be asked again at once
		b = append(b, a.AsSlice()...)
	}
	return b
}
