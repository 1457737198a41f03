package interop

import (
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// families are the kinds of address on either side of the balancer.
var families = []struct{ name, client, backend string }{
	{"IPv6 to IPv6", "[::1]", "[::1]"},
	{"IPv6 to IPv4", "[::1]", "127.0.0.1"},
	{"IPv4 to a unix socket", "127.0.0.1", "unix"},
	{"a unix socket to IPv4", "unix", "127.0.0.1"},
	{"a unix socket to a unix socket", "unix", "unix"},
}

func TestCurlOverEveryFamily(t *testing.T) {
	const size = 64 << 20
	for _, c := range families {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			n := startNginx(t, address(t, c.backend))
			sum := n.fill(t, "file", size)
			f := balance(t, setup{listen: address(t, c.client), backends: n.addresses})
			want := download(t, f, n, sum)
			want.spliced = size / 2
			f.judge(t, want)
		})
	}
}

func TestRedisOverEveryFamily(t *testing.T) {
	for _, c := range families {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			backend := address(t, c.backend)
			startRedis(t, backend)
			f := balance(t, setup{listen: address(t, c.client), backends: []string{backend}})
			benchmark(t, f, "-P", "16")
			f.judge(t, expected{toBackend: commands, toClient: commands})
		})
	}
}
