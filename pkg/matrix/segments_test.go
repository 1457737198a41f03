package matrix

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// T3: a storm of writes of 1 to 100 bytes, none of them held back by Nagle's algorithm, with segments of three sizes, to
// readers that stop and go on. Send buffers are tiny there, so that over and over the program stands with a pipe that holds
// bytes and a sink that takes none; strace counts how often. Every byte must arrive in its place.
func TestSmallSegments(t *testing.T) {
	for _, mode := range []string{"auto", "copy"} {
		t.Run(mode, func(t *testing.T) { storm(t, mode, nil, scaled(6_000)) })
	}
	t.Run("splice", func(t *testing.T) {
		trace := filepath.Join(t.TempDir(), "trace")
		storm(t, "splice", straceSplices(t, trace), scaled(6_000))
		full, all := fullPipes(t, trace)
		t.Logf("%d times a pipe held bytes and its sink took none, of %d calls of splice", full, all)
		if want := scaled(500); full < want {
			t.Errorf("a pipe held bytes and its sink took none %d times, want %d: this is a breeze", full, want)
		}
	})
}

// stormPipe is the size of a pipe in the storm: what a splice into one asks for.
const stormPipe = 64 << 10

// straceSplices is the words that write every splice of the program to a file.
func straceSplices(t *testing.T, to string) []string {
	return []string{
		testkit.NeedProgram(t, "strace"),
		"-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=splice", "-e", "signal=none", "-o", to,
	}
}

// storm runs eight sessions for each segment size, with so many writes in each half.
func storm(t *testing.T, mode string, before []string, writes int) {
	host := testkit.NewHost(t, "storm")
	host.Sysctl("net.ipv4.tcp_wmem", "4096 4096 4096")
	config := relayMode(mode, fmt.Sprintf(`pipe_bytes = "%dB"`, stormPipe), `buffer_bytes = "4KiB"`)
	var all []*traffic
	for _, mss := range []int{536, 1448, 9000} {
		front, name := freeAddress(t, "127.0.0.1"), fmt.Sprint("mss", mss)
		tr, backends := newTrafficOn(t, host, front, 1, sockets{mss: mss, receiveBuffer: 4 << 10, sendBuffer: 64 << 10})
		config += frontend(name, front, name) + pool(name, backends, noChecks)
		all = append(all, tr)
	}
	p := run(t, setup{config: config, host: host, before: before})
	sum := &tally{began: time.Now()}
	var wg sync.WaitGroup
	for _, tr := range all {
		for i := range 8 {
			wg.Go(func() {
				x := tr.drizzle(rand.New(rand.NewPCG(uint64(i), 3)), writes)
				sum.add(x, tr.run(x))
			})
		}
	}
	wg.Wait()
	t.Log(sum)
	sum.check(t)
	checkModes(t, p, mode)
}

// drizzle is an exchange of small writes, to readers that stop.
func (tr *traffic) drizzle(r *rand.Rand, writes int) *exchange {
	const largest = 100
	length := int64(writes * largest / 2)
	x, seed := tr.begin([2]int64{length, length}), r.Uint64()
	talk := manner{chunk: largest, even: true}
	listen := manner{chunk: 2 << 10, even: true, every: 4 << 10, pause: 4 * time.Millisecond}
	part := func(out, in int) func(*net.TCPConn) error {
		return func(c *net.TCPConn) error { // package net sets TCP_NODELAY
			return duplex(c, x.halves[out], x.halves[in], talk, listen, rand.New(rand.NewPCG(seed, uint64(out))))
		}
	}
	x.client, x.server = part(toBackend, toClient), part(toClient, toBackend)
	return x
}

// fullPipes reads a trace of splices: how many out of a pipe met a full sink, and how many there were at all. A splice into
// a pipe asks for the pipe's whole size; one out of it, for the fewer bytes that are in it.
func fullPipes(t *testing.T, path string) (full, all int) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	begun := map[string]string{} // calls of threads that strace shows in two parts
	for lines := bufio.NewScanner(f); lines.Scan(); {
		thread, line, _ := strings.Cut(lines.Text(), " ")
		if call, isBegin := strings.CutSuffix(line, "<unfinished ...>"); isBegin {
			begun[thread] = call
			continue
		}
		if rest, isEnd := strings.CutPrefix(strings.TrimSpace(line), "<... splice resumed>"); isEnd {
			line = begun[thread] + rest
		}
		all++
		if strings.Contains(line, "EAGAIN") && !strings.Contains(line, fmt.Sprintf(" %d, ", stormPipe)) {
			full++
		}
	}
	return full, all
}
