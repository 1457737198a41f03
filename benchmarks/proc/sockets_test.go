package proc

import (
	"net"
	"os"
	"testing"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000094203c74 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0000000094203c74 20 4 30 10 -1
   2: 0200007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000094203c74 20 4 30 10 -1
   2: 0200007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000094203c74 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:C352 06 00000000:00000000 03:000003E8 00000000     0        0 0 3 0000000094203c74
   4: 0100007F:C360 0100007F:1F91 01 00000000:00000000 00:00000000 00000000     0        0 14 1 0000000094203c74 20 4 30 10 -1
   5: 0100007F:1F90 0100007F:C353 01 00000000:00000000 00:00000000 00000000     0        0 99 1 0000000094203c74 20 4 30 10 -1
`

// Others' sockets, TIME_WAIT, a line that came twice and connections that the process itself made are no sessions.
func TestOnlyOwnSessionsOfAListeningPortCount(t *testing.T) {
	own := map[string]bool{"11": true, "12": true, "13": true, "14": true}
	if n := countAccepted(tcpTable, own); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

func TestAcceptedCountsThisProcess(t *testing.T) {
	before, err := Accepted([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for range 3 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	n, err := Accepted([]int{os.Getpid()})
	if err != nil || n-before != 3 {
		t.Errorf("%d sessions more (%v), want 3", n-before, err)
	}
}

func TestTCPLimitsRise(t *testing.T) {
	low, pressure, high, err := TCPLimits()
	if err != nil || low <= 0 || low > pressure || pressure > high {
		t.Errorf("%d, %d, %d, %v", low, pressure, high, err)
	}
}
