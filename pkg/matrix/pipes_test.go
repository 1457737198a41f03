package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

const (
	bulkBytes = 128 << 10 // of each session and round: more than a block, so that directions ask for pipes
	pipeBytes = 1 << 20
)

// TestPipesWithinTheQuota is T12: a user without privileges has a quota of pipes, and many more sessions in bulk. No more
// pipes are opened than the quota has useful ones; whoever gets none copies, and every byte is right.
func TestPipesWithinTheQuota(t *testing.T) {
	uid, quota := needQuota(t)
	p, all := bulkSessions(t, uid, scaled(2000))
	p.streamAll(all)
	s := p.status().Pipes
	spliced, copied := p.metric("longsplice_relay_bytes_total", "splice"), p.metric("longsplice_relay_bytes_total", "copy")
	t.Logf("%d sessions: %.0f MB spliced, %.0f MB copied, at most %d pipes of a quota of %d", len(all), spliced/1e6, copied/1e6, s.Limit, quota)
	if s.Degraded > 0 || s.Limit > quota {
		t.Errorf("%d pipes were refused with a limit of %d, want none and at most %d", s.Degraded, s.Limit, quota)
	}
	if spliced == 0 || copied == 0 {
		t.Errorf("%.0f bytes spliced, %.0f copied, want both: more sessions than pipes", spliced, copied)
	}
}

// TestPipesOfAnotherProcess is T12 where another process of the same user has taken the quota. The pipes that are left have
// two slots, which is slower than copying: they are refused and counted, every byte is copied, and it takes no longer than
// with mode = "copy".
func TestPipesOfAnotherProcess(t *testing.T) {
	uid, _ := needQuota(t)
	spawn(t, nil, "hoard", strconv.Itoa(int(uid)))
	n := scaled(1000)
	short, shortAll := bulkSessions(t, uid, n)
	plain, plainAll := bulkSessions(t, uid, n, "[relay]", `mode = "copy"`)
	var shortTook, plainTook time.Duration
	for range 2 {
		shortTook += short.streamAll(shortAll)
		plainTook += plain.streamAll(plainAll)
	}
	degraded, spliced := short.metric("longsplice_pipe_degraded_total"), short.metric("longsplice_relay_bytes_total", "splice")
	if degraded == 0 || spliced > 0 {
		t.Errorf("%.0f pipes refused, %.0f bytes spliced, want some and none", degraded, spliced)
	}
	if n := plain.status().Pipes; n.Degraded > 0 || n.Idle > 0 {
		t.Errorf(`mode = "copy" asked for pipes: %+v`, n)
	}
	ratio := plainTook.Seconds() / shortTook.Seconds()
	t.Logf(`%d sessions: %.0f pipes refused, %.0f %% of the throughput of mode = "copy"`, n, degraded, 100*ratio)
	if quiet() && ratio < 0.8 {
		t.Errorf("%.0f %% of the throughput of copying, want at least 80", 100*ratio)
	}
}

// needQuota returns a user whom nobody else is and how many useful pipes the kernel grants him.
func needQuota(t *testing.T) (uid uint32, pipes int64) {
	t.Helper()
	testkit.Privileged(t, "root: a process of another user")
	pages := sys.ReadInt("/proc/sys/fs/pipe-user-pages-soft", 0)
	if pages == 0 {
		testkit.Missing(t, "a quota of pipes: fs.pipe-user-pages-soft is 0")
	}
	return uint32(64_000 + os.Getpid()%1000), pages * int64(os.Getpagesize()) / pipeBytes
}

// bulkSessions starts a program as uid, with lines before its frontend, and brings n sessions up.
func bulkSessions(t *testing.T, uid uint32, n int, lines ...string) (*program, crowd) {
	t.Helper()
	_, backends := echoBackends(t, "127.0.0.1", 1)
	front := freeAddress(t, "127.0.0.1")
	config := ""
	for _, l := range lines {
		config += l + "\n"
	}
	p := run(t, setup{uid: uid, config: config + frontend("front", front, "pool") + pool("pool", backends)})
	return p, gather(t, front, n)
}

// streamAll lets all of a crowd stream at the same time, watches the pipes meanwhile and returns how long it took.
func (p *program) streamAll(c crowd) time.Duration {
	p.t.Helper()
	began, errs := time.Now(), make([]error, len(c))
	var streaming sync.WaitGroup
	for i, v := range c {
		streaming.Go(func() { errs[i] = v.stream(bulkBytes) })
	}
	over := make(chan time.Duration)
	go func() { streaming.Wait(); over <- time.Since(began) }()
	for {
		select {
		case took := <-over:
			wantNone(p.t, "streams went wrong", errs)
			return took
		case <-time.After(20 * time.Millisecond):
			if s := p.status().Pipes; s.Used+s.Idle > s.Limit {
				p.t.Errorf("%d pipes in use and %d idle, want at most %d", s.Used, s.Idle, s.Limit)
			}
		}
	}
}

// stream sends n bytes and reads them back at the same time, piece by piece: many can do so in little memory.
func (v *visitor) stream(n int64) error {
	const piece = 16 << 10
	if err := v.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	sending := make(chan error, 1)
	go func(from int64) { sending <- v.send(from, n, piece) }(v.sent)
	in, want := make([]byte, piece), make([]byte, piece)
	for end := v.sent + n; v.sent < end; {
		part := min(end-v.sent, piece)
		got, err := io.ReadFull(v.conn, in[:part])
		testkit.FillPattern(want[:got], v.seed, v.sent)
		if !bytes.Equal(in[:got], want[:got]) {
			err = fmt.Errorf("%w in the %d from %d on", errWrong, part, v.sent)
		}
		v.sent += int64(got)
		if err != nil {
			v.leave() // else the sender waits for a reader
			return errors.Join(err, <-sending)
		}
	}
	return <-sending
}

// send writes the n bytes of the visitor's pattern that begin at from.
func (v *visitor) send(from, n int64, piece int64) error {
	out := make([]byte, piece)
	for end := from + n; from < end; from += piece {
		part := out[:min(end-from, piece)]
		testkit.FillPattern(part, v.seed, from)
		if _, err := v.conn.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func init() { roles["hoard"] = hoardRole }

// hoardRole becomes the user whose number is its argument and takes the user's whole quota of pipes: large ones first, then
// ones of the usual size, until the kernel gives only two slots (since Linux 4.5; fs/pipe.c, too_many_pipe_buffers_soft).
func hoardRole(args []string) error {
	uid, err := strconv.Atoi(args[0])
	if err == nil {
		err = errors.Join(syscall.Setgid(uid), syscall.Setuid(uid))
	}
	for err == nil {
		var size int
		if size, err = largestPipe(); err == nil && size <= 2*os.Getpagesize() {
			fmt.Println("ready")
			select {}
		}
	}
	return fmt.Errorf("take the user's quota of pipes: %w", err)
}

// largestPipe opens a pipe, enlarges it if it may, and returns its size in bytes.
func largestPipe() (int, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, err
	}
	if size, err := unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, pipeBytes); err == nil {
		return size, nil
	}
	return unix.FcntlInt(uintptr(ends[0]), unix.F_GETPIPE_SZ, 0)
}
