package matrix

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// handedOut is the ports that this process has given away.
var handedOut sync.Map

// freeAddress is an address of host that nobody listens on, below the kernel's range for outgoing connections: no
// connection takes it before the test does.
func freeAddress(t testing.TB, host string) string {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(22_000)
		address := net.JoinHostPort(host, fmt.Sprint(port))
		if _, taken := handedOut.LoadOrStore(port, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatalf("found no free port on %s", host)
	return ""
}

// frontend is the TOML of a frontend; lines are further keys, then tables.
func frontend(name, listen, pool string, lines ...string) string {
	return fmt.Sprintf("[[frontend]]\nname = %q\nlisten = [%q]\npool = %q\n%s\n", name, listen, pool, strings.Join(lines, "\n"))
}

// pool is the TOML of a pool with backends b0, b1, …; lines are further keys, then tables.
func pool(name string, backends []string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[pool]]\nname = %q\n%s\n", name, strings.Join(lines, "\n"))
	for i, address := range backends {
		fmt.Fprintf(&b, "[[pool.backend]]\nname = \"b%d\"\naddress = %q\n", i, address)
	}
	return b.String()
}

// noChecks is for backends that take a health check for a client.
const noChecks = "[pool.health]\ntype = \"none\""

// eventually waits until ok, for what the program has no part in.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", patience, what)
		}
	}
}
