package interop

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// startRedis starts a redis-server that keeps everything in memory, at a TCP or a unix address.
func startRedis(t *testing.T, address string) {
	t.Helper()
	args := []string{"--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", t.TempDir()}
	if network, path := split(address); network == "unix" {
		args = append(args, "--port", "0", "--unixsocket", path)
	} else {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "--bind", host, "--port", port)
	}
	launch(t, "redis-server", args...).serves(t, address)
}

func TestRedisBenchmarkLosesNothing(t *testing.T) {
	cases := []struct {
		name string
		args []string
	}{
		{"one command at a time", nil},
		{"pipelined", []string{"-P", "16"}},
		{"large values", []string{"-P", "4", "-d", "65536"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			backend := address(t, "127.0.0.1")
			startRedis(t, backend)
			f := balance(t, setup{backends: []string{backend}})
			benchmark(t, f, c.args...)
			f.judge(t, expected{toBackend: commands * uint64(len("INCR counter")), toClient: commands})
		})
	}
}

// commands of each kind that benchmark sends: a multiple of every pipeline's depth, since redis-benchmark sends whole ones.
const commands = 20_000

// benchmark runs redis-benchmark through f. Then each INCR must have been carried out once.
func benchmark(t *testing.T, f *front, args ...string) {
	t.Helper()
	args = append(redisAddress(t, f.address), args...)
	size := append([]string{"-n", "2000", "-c", "50", "-q", "-t", "set,get"}, args...)
	quiet(t, run(t, "redis-benchmark", size...))
	count := append([]string{"-n", strconv.Itoa(commands), "-c", "50", "-q"}, args...)
	quiet(t, run(t, "redis-benchmark", append(count, "INCR", "counter")...))
	got := run(t, "redis-cli", append(redisAddress(t, f.address), "GET", "counter")...)
	if strings.TrimSpace(got) != strconv.Itoa(commands) {
		t.Errorf("the counter is %q after %d INCR", got, commands)
	}
}

// quiet wants no complaint in what redis-benchmark wrote: it goes on after some errors and exits with 0.
func quiet(t *testing.T, out string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := lines[len(lines)-1]
	t.Logf("redis-benchmark: %s", last[strings.LastIndex(last, "\r")+1:])
	for _, word := range []string{"rror", "WARNING", "closed"} {
		if strings.Contains(out, word) {
			t.Errorf("redis-benchmark complains: %s", out)
		}
	}
}

func redisAddress(t *testing.T, address string) []string {
	t.Helper()
	if network, path := split(address); network == "unix" {
		return []string{"-s", path}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"-h", host, "-p", port}
}
