package worker

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"unsafe"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/testkit"
)

func TestSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 192 {
		t.Errorf("a session takes %d bytes, want at most 192", n)
	} else {
		t.Logf("a session takes %d bytes", n)
	}
}

// echo serves an echo backend that passes half-closes on.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// 64 MiB go through an echo backend and back, in every mode.
func TestRelaysBothWays(t *testing.T) {
	for name, mode := range map[string]relay.Mode{"auto": relay.Auto, "copy": relay.Copy, "splice": relay.Splice} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			l, ap := listenOn(t)
			go echo(l)
			r := newRig(t, newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", ap)), func(c *Config) { c.Mode = mode })
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sent, got := sha256.New(), sha256.New()
			go func() {
				p := make([]byte, 1<<20)
				rnd := rand.NewChaCha8([32]byte{1})
				for range 64 {
					rnd.Read(p)
					sent.Write(p)
					c.Write(p)
				}
				c.(*net.TCPConn).CloseWrite()
			}()
			n, err := io.Copy(got, c)
			if err != nil || n != 64<<20 {
				t.Fatalf("got %d bytes, %v; want 64 MiB and the end", n, err)
			}
			if string(sent.Sum(nil)) != string(got.Sum(nil)) {
				t.Fatal("what came back is not what was sent")
			}
			eventually(t, "session counted as ended by the client", func() bool { return r.ended(stats.ClientFIN) == 1 })
		})
	}
}
